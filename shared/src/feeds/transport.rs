//! Where files come from: one trait for folders, HTTPS, SFTP and FTP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use super::landing::in_time;
use crate::http::{Downloads, TransportError};

/// Bytes a sidecar file may have.
pub const SIDECAR_LIMIT: u64 = 64 << 10;

/// A place that holds feed files. Names are relative to it and never leave it.
#[async_trait]
pub trait FileSource: Send {
    /// The plain files of the place itself; neither directories nor links.
    async fn list(&mut self) -> Result<Vec<Entry>, TransferError>;

    /// The plain files of `processing/`: claimed by a worker that may have died since.
    async fn list_claimed(&mut self) -> Result<Vec<Entry>, TransferError>;

    /// Streams a file to disk and returns its size. A file larger than `limit`, or one that
    /// ends before its announced size, is an error, and nothing is left at `into`.
    async fn download(&mut self, name: &str, into: &Path, limit: u64)
    -> Result<u64, TransferError>;

    /// A sidecar file, of [`SIDECAR_LIMIT`] bytes at most.
    async fn read_small(&mut self, name: &str) -> Result<Vec<u8>, TransferError>;

    /// Moves a file, creating directories on the way. Never overwrites where the protocol can
    /// tell, so that of several workers one succeeds.
    async fn rename(&mut self, from: &str, to: &str) -> Result<Claimed, TransferError>;

    /// Whether files can be moved here, and so are moved away once they are taken.
    fn can_rename(&self) -> bool {
        true
    }

    /// Says goodbye.
    async fn close(self: Box<Self>);
}

/// A file as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name inside the place.
    pub name: String,
    /// Its size, unless the server does not say.
    pub size: Option<u64>,
    /// When it was last written, as far as the server says.
    pub modified: Option<Timestamp>,
    /// The server's own mark of a version (an ETag).
    pub tag: Option<String>,
}

/// Whether a rename can be relied on to claim a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// The file is at its new name.
    Yes,
    /// This place cannot rename; claim it elsewhere (a lease in the table).
    NotSupported,
}

/// What kind of failure a transfer met; decides what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// May work next time.
    Transient,
    /// The server does not accept who we are.
    Credentials,
    /// The server is not the one whose key or certificate we trust.
    HostKey,
    /// No such file or directory.
    NotFound,
    /// The server, or our own limits and settings, forbid it.
    Refused,
}

/// What was tried, and what came of it. Never holds a secret or a file's content.
#[derive(Debug, thiserror::Error)]
#[error("{action}: {problem}")]
pub struct TransferError {
    /// What kind of failure.
    pub fault: Fault,
    /// What was tried, such as `download stock.csv from sftp://host:22`.
    pub action: String,
    /// What came of it.
    pub problem: String,
}

impl TransferError {
    pub(super) fn new(fault: Fault, action: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            fault,
            action: action.into(),
            problem: problem.into(),
        }
    }

    /// A local or remote I/O failure.
    pub(super) fn io(action: impl Into<String>, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let fault = match error.kind() {
            Kind::NotFound => Fault::NotFound,
            Kind::PermissionDenied | Kind::AlreadyExists | Kind::StorageFull => Fault::Refused,
            _ => Fault::Transient,
        };
        Self::new(fault, action, error.to_string())
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        self.fault == Fault::Transient
    }
}

/// Where a feed's files are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// `sftp://user@host:2222/drop/`, `ftps://…` (explicit TLS), `ftp://…`, `https://…` (one
    /// file), `file:///…` or the path of a folder. Never with a password in it.
    pub url: String,
    /// SFTP: the server key's fingerprint, `SHA256:…` as `ssh-keygen -lf` prints it.
    #[serde(default)]
    pub host_key: Option<String>,
    /// Allows `ftp://` and `http://`, which show everything to everyone on the way.
    #[serde(default)]
    pub insecure: bool,
    /// FTPS: a certificate authority to trust beside the system's, as PEM.
    #[serde(default)]
    pub extra_root: Option<String>,
    /// Longest wait for the other side, in seconds, whenever nothing arrives.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u32,
}

fn default_timeout() -> u32 {
    30
}

impl SourceSettings {
    /// Settings with nothing but an address.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            host_key: None,
            insecure: false,
            extra_root: None,
            timeout_seconds: default_timeout(),
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.max(1).into())
    }

    /// Reads and checks the address.
    pub fn place(&self) -> Result<Place, TransferError> {
        let refused =
            |problem: &str| TransferError::new(Fault::Refused, "read the feed's url", problem);
        if !self.url.contains("://") {
            return Ok(Place::Folder(PathBuf::from(&self.url)));
        }
        let url = Url::parse(&self.url).map_err(|error| refused(&error.to_string()))?;
        if url.password().is_some() {
            return Err(refused(
                "a password stands in it; set it as a secret reference",
            ));
        }
        let remote = |port| -> Result<Remote, TransferError> {
            let path =
                percent_decoded(url.path()).ok_or_else(|| refused("its path is not UTF-8"))?;
            let user =
                percent_decoded(url.username()).ok_or_else(|| refused("its user is not UTF-8"))?;
            if path.contains(['\r', '\n', '\0']) || user.contains(['\r', '\n', '\0']) {
                return Err(refused("it contains control characters"));
            }
            let host = url.host_str().filter(|host| !host.is_empty());
            Ok(Remote {
                host: host
                    .ok_or_else(|| refused("it names no host"))?
                    .trim_matches(['[', ']'])
                    .to_owned(),
                port: url.port().unwrap_or(port),
                user,
                path: if path.is_empty() { "/".into() } else { path },
            })
        };
        match url.scheme() {
            "file" => url
                .to_file_path()
                .map(Place::Folder)
                .map_err(|()| refused("not a local path")),
            "sftp" => Ok(Place::Sftp(remote(22)?)),
            "ftps" => Ok(Place::Ftp {
                remote: remote(21)?,
                tls: true,
            }),
            "ftp" if self.insecure => Ok(Place::Ftp {
                remote: remote(21)?,
                tls: false,
            }),
            "ftp" => Err(refused(
                "plain FTP shows password and stock to everyone on the way: use ftps:// or sftp://, or set insecure = true",
            )),
            "https" => Ok(Place::Https(url)),
            "http" if self.insecure => Ok(Place::Https(url)),
            "http" => Err(refused("plain HTTP: use https://, or set insecure = true")),
            other => Err(refused(&format!("unknown scheme {other:?}"))),
        }
    }
}

/// An address, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A local or mounted directory.
    Folder(PathBuf),
    /// One file on a web server.
    Https(Url),
    /// A directory on an SSH server.
    Sftp(Remote),
    /// A directory on an FTP server.
    Ftp {
        /// Where.
        remote: Remote,
        /// With explicit TLS.
        tls: bool,
    },
}

impl Place {
    /// Whether both are one place, however it is written.
    pub fn is_same(&self, other: &Self) -> bool {
        let plain = |it: &Remote| Remote {
            host: it.host.to_lowercase(),
            path: it.path.trim_end_matches('/').to_owned(),
            ..it.clone()
        };
        match (self, other) {
            (Self::Sftp(one), Self::Sftp(other))
            | (Self::Ftp { remote: one, .. }, Self::Ftp { remote: other, .. }) => {
                plain(one) == plain(other)
            }
            // Paths are compared part by part, without regard to a slash at the end.
            (one, other) => one == other,
        }
    }
}

/// A directory on another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name; may be empty.
    pub user: String,
    /// The directory's path, beginning with `/`.
    pub path: String,
}

impl Remote {
    /// The path of a file in this directory.
    pub(super) fn join(&self, name: &str) -> String {
        format!("{}/{name}", self.path.trim_end_matches('/'))
    }
}

/// Secrets, resolved already. Which of them are needed depends on the place.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// SFTP and FTP.
    pub password: Option<SecretString>,
    /// SFTP: an OpenSSH or PKCS#8 private key (Ed25519 or ECDSA).
    pub private_key: Option<SecretString>,
    /// SFTP: what an encrypted private key is opened with.
    pub passphrase: Option<SecretString>,
    /// HTTPS: a bearer token.
    pub token: Option<SecretString>,
}

/// Opens a place. `client` serves HTTPS and must not follow redirects; it also says where SFTP and FTP
/// may go.
pub async fn connect(
    settings: &SourceSettings,
    credentials: &Credentials,
    client: &Downloads,
) -> Result<Box<dyn FileSource>, TransferError> {
    match settings.place()? {
        Place::Folder(path) => Ok(Box::new(super::folder::Folder::open(&path)?)),
        Place::Https(url) => Ok(Box::new(super::https::Https::new(
            url,
            credentials,
            client.clone(),
            settings.timeout(),
        )?)),
        Place::Sftp(remote) => {
            let at = addresses("sftp", &remote, settings, client).await?;
            Ok(Box::new(
                super::sftp::Sftp::connect(remote, &at, settings, credentials).await?,
            ))
        }
        Place::Ftp { remote, tls } => {
            let at = addresses("ftp", &remote, settings, client).await?;
            Ok(Box::new(
                super::ftp::Ftp::connect(remote, &at, tls, settings, credentials).await?,
            ))
        }
    }
}

/// Where a server is, if files may be fetched from there.
async fn addresses(
    scheme: &str,
    remote: &Remote,
    settings: &SourceSettings,
    client: &Downloads,
) -> Result<Vec<SocketAddr>, TransferError> {
    let action = format!("connect to {scheme}://{}:{}", remote.host, remote.port);
    let found = async {
        let found = client.addresses(&remote.host, remote.port).await;
        found.map_err(|error| match error {
            TransportError::Refused { refusal, .. } => {
                TransferError::new(Fault::Refused, &action, refusal.to_string())
            }
            error => TransferError::new(Fault::Transient, &action, error.to_string()),
        })
    };
    in_time(settings.timeout(), &action, found).await
}

/// Refuses names that leave the place or break a protocol's lines.
pub(super) fn check_name(name: &str) -> Result<(), TransferError> {
    let fine = |part: &str| !part.is_empty() && part != "." && part != "..";
    if name.split('/').all(fine) && !name.contains(|c: char| c == '\\' || c.is_control()) {
        return Ok(());
    }
    Err(TransferError::new(
        Fault::Refused,
        format!("use the file name {name:?}"),
        "it is not a plain relative name",
    ))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let pair = [rest.next()?, rest.next()?];
            bytes.extend(hex::decode(pair).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Guard, Http, HttpSettings};

    #[test]
    fn urls_say_where_files_are() {
        let place = |url: &str| SourceSettings::at(url).place();
        assert_eq!(
            place("/srv/feeds").unwrap(),
            Place::Folder("/srv/feeds".into())
        );
        assert_eq!(
            place("file:///srv/feeds").unwrap(),
            Place::Folder("/srv/feeds".into())
        );
        let remote = Remote {
            host: "feeds.example".into(),
            port: 2222,
            user: "dealer one".into(),
            path: "/drop box/".into(),
        };
        assert_eq!(
            place("sftp://dealer%20one@feeds.example:2222/drop%20box/").unwrap(),
            Place::Sftp(remote.clone())
        );
        assert_eq!(remote.path, "/drop box/");
        for (url, words) in [
            ("ftp://feeds.example/", "insecure = true"),
            ("http://feeds.example/a.csv", "insecure = true"),
            ("sftp://user:secret@feeds.example/", "secret reference"),
            ("sftp:///drop", "no host"),
            ("gopher://feeds.example/", "gopher"),
            ("ftps://feeds.example/a%0d%0aDELE%20x", "control"),
        ] {
            let error = place(url).unwrap_err();
            assert_eq!(error.fault, Fault::Refused, "{url}");
            assert!(error.to_string().contains(words), "{url}: {error}");
            assert!(!error.to_string().contains("secret@"), "{error}");
        }
    }

    #[tokio::test]
    async fn no_protocol_leads_to_a_private_address_that_is_not_allowed() {
        let open = async |url: &str, allowed: &[&str]| {
            let http = HttpSettings {
                guard: Guard::new(allowed.iter().map(|it| it.parse().unwrap()).collect()),
                ..HttpSettings::default()
            };
            let client = Http::new(http).unwrap().streaming();
            let settings = SourceSettings {
                insecure: true,
                timeout_seconds: 5,
                ..SourceSettings::at(url)
            };
            let credentials = Credentials {
                password: Some("hunter2".into()),
                ..Credentials::default()
            };
            let opened = connect(&settings, &credentials, &client).await;
            opened.err().expect("nobody listens there")
        };
        for url in [
            "sftp://127.0.0.1:9/drop",
            "sftp://localhost:9/drop",
            "sftp://127.1:9/drop",
            "sftp://[::1]:9/drop",
            "ftps://127.0.0.1:9/drop",
            "ftp://169.254.169.254/drop",
        ] {
            let error = open(url, &["10.0.0.0/8", "127.0.0.1:22"]).await;
            assert_eq!(error.fault, Fault::Refused, "{url}: {error}");
        }
        for (url, allowed) in [
            ("sftp://127.0.0.1:9/drop", "127.0.0.1"),
            ("sftp://localhost:9/drop", "localhost"),
            ("sftp://[::1]:9/drop", "::1"),
            ("ftps://127.0.0.1:9/drop", "127.0.0.0/8"),
        ] {
            let error = open(url, &[allowed]).await;
            assert_eq!(error.fault, Fault::Transient, "{url}: {error}");
        }
    }

    #[test]
    fn names_stay_inside_the_place() {
        for name in ["a.csv", "processing/a.csv", "archive/2026/01/05/a.csv.0123"] {
            check_name(name).unwrap();
        }
        for name in [
            "",
            "/etc/passwd",
            "../a",
            "a/../../b",
            "a//b",
            "./a",
            "a\r\nDELE b",
            "a\\b",
            "a/",
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let credentials = Credentials {
            password: Some("hunter2".into()),
            private_key: Some("-----BEGIN KEY".into()),
            passphrase: Some("open sesame".into()),
            token: Some("tok_1".into()),
        };
        let shown = format!("{credentials:?}");
        for secret in ["hunter2", "BEGIN KEY", "sesame", "tok_1"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

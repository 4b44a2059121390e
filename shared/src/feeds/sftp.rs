//! A directory on an SSH server, whose host key is pinned.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use russh::client::{self, AuthResult, Handle};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate, decode_secret_key};
use russh::{Disconnect, MethodKind};
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::client::{Config as SftpConfig, SftpSession};
use russh_sftp::protocol::{FileAttributes, StatusCode};
use secrecy::ExposeSecret;
use tokio::io::AsyncReadExt;

use super::landing::{Landing, in_time, too_large};
use super::pickup::PROCESSING;
use super::transport::{
    Claimed, Credentials, Entry, Fault, FileSource, Remote, SIDECAR_LIMIT, SourceSettings,
    TransferError, check_name,
};

/// A directory on an SSH server.
pub struct Sftp {
    session: Handle<PinnedKey>,
    files: SftpSession,
    remote: Remote,
}

impl Sftp {
    /// Connects, checks the host key before anything secret is sent, and signs in.
    pub async fn connect(
        remote: Remote,
        addresses: &[SocketAddr],
        settings: &SourceSettings,
        credentials: &Credentials,
    ) -> Result<Self, TransferError> {
        let action = format!("connect to {}", at(&remote));
        let work = open(&remote, addresses, settings, credentials, &action);
        let (session, files) = in_time(settings.timeout(), &action, work).await?;
        let source = Self {
            session,
            files,
            remote,
        };
        let action = source.action("open", &source.remote.path);
        match source.files.metadata(&source.remote.path).await {
            Ok(found) if found.file_type().is_dir() => Ok(source),
            Ok(_) => Err(TransferError::new(
                Fault::NotFound,
                action,
                "it is not a directory",
            )),
            Err(error) => Err(sftp_error(action, &error)),
        }
    }

    fn action(&self, verb: &str, name: &str) -> String {
        format!("{verb} {name} on {}", at(&self.remote))
    }

    async fn entries(&self, path: String) -> Result<Vec<Entry>, TransferError> {
        let action = self.action("list", &path);
        let listing = self.files.read_dir(path).await;
        let listing = listing.map_err(|error| sftp_error(action, &error))?;
        let plain = |attributes: &FileAttributes| {
            attributes.permissions.is_none() || attributes.file_type().is_file()
        };
        let entries = listing.filter_map(|entry| {
            let attributes = entry.metadata();
            plain(&attributes).then(|| Entry {
                name: entry.file_name(),
                size: attributes.size,
                modified: attributes
                    .mtime
                    .and_then(|second| Timestamp::from_second(second.into()).ok()),
                tag: None,
            })
        });
        Ok(entries.collect())
    }

    /// Size of a plain file that is not larger than `limit`.
    async fn size(&self, path: &str, action: &str, limit: u64) -> Result<u64, TransferError> {
        let attributes = self.files.symlink_metadata(path).await;
        let attributes = attributes.map_err(|error| sftp_error(action, &error))?;
        if attributes.permissions.is_some() && !attributes.file_type().is_file() {
            return Err(TransferError::new(
                Fault::Refused,
                action,
                "it is not a plain file",
            ));
        }
        match attributes.size {
            None => Err(TransferError::new(
                Fault::Refused,
                action,
                "the server does not say how large it is",
            )),
            Some(size) if size > limit => Err(too_large(action, limit)),
            Some(size) => Ok(size),
        }
    }
}

#[async_trait]
impl FileSource for Sftp {
    async fn list(&mut self) -> Result<Vec<Entry>, TransferError> {
        self.entries(self.remote.path.clone()).await
    }

    async fn list_claimed(&mut self) -> Result<Vec<Entry>, TransferError> {
        match self.entries(self.remote.join(PROCESSING)).await {
            Err(error) if error.fault == Fault::NotFound => Ok(Vec::new()),
            other => other,
        }
    }

    async fn download(
        &mut self,
        name: &str,
        into: &Path,
        limit: u64,
    ) -> Result<u64, TransferError> {
        check_name(name)?;
        let action = self.action("download", name);
        let path = self.remote.join(name);
        let size = self.size(&path, &action, limit).await?;
        let file = self.files.open(path).await;
        let mut file = file.map_err(|error| sftp_error(&action, &error))?;
        let mut landing = Landing::create(into, limit, &action).await?;
        let mut chunk = vec![0; 256 << 10];
        let received = loop {
            match file.read(&mut chunk).await {
                Ok(0) => break Ok(()),
                Ok(count) => {
                    if let Err(error) = landing.write(&chunk[..count]).await {
                        break Err(error);
                    }
                }
                Err(error) => break Err(TransferError::io(&action, &error)),
            }
        };
        landing.finish(received, Some(size)).await
    }

    async fn read_small(&mut self, name: &str) -> Result<Vec<u8>, TransferError> {
        check_name(name)?;
        let action = self.action("read", name);
        let path = self.remote.join(name);
        self.size(&path, &action, SIDECAR_LIMIT).await?;
        let file = self.files.open(path).await;
        let file = file.map_err(|error| sftp_error(&action, &error))?;
        let mut bytes = Vec::new();
        let read = file.take(SIDECAR_LIMIT + 1).read_to_end(&mut bytes).await;
        read.map_err(|error| TransferError::io(&action, &error))?;
        if bytes.len() as u64 > SIDECAR_LIMIT {
            return Err(too_large(&action, SIDECAR_LIMIT));
        }
        Ok(bytes)
    }

    async fn rename(&mut self, from: &str, to: &str) -> Result<Claimed, TransferError> {
        check_name(from)?;
        check_name(to)?;
        let action = self.action(&format!("move {from} to"), to);
        for (at, _) in to.match_indices('/') {
            // It may be there already; if it could not be made, the rename says so.
            self.files
                .create_dir(self.remote.join(&to[..at]))
                .await
                .ok();
        }
        // Version 3 of the protocol refuses to rename onto a file; not every server does.
        let (from, to) = (self.remote.join(from), self.remote.join(to));
        let taken = self.files.try_exists(to.as_str()).await;
        if taken.map_err(|error| sftp_error(&action, &error))? {
            return Err(TransferError::new(
                Fault::Refused,
                action,
                "the new name is taken",
            ));
        }
        let renamed = self.files.rename(from, to).await;
        renamed.map_err(|error| sftp_error(action, &error))?;
        Ok(Claimed::Yes)
    }

    async fn close(self: Box<Self>) {
        // The server notices either way.
        self.files.close().await.ok();
        let goodbye = self.session.disconnect(Disconnect::ByApplication, "", "en");
        goodbye.await.ok();
    }
}

async fn open(
    remote: &Remote,
    addresses: &[SocketAddr],
    settings: &SourceSettings,
    credentials: &Credentials,
    action: &str,
) -> Result<(Handle<PinnedKey>, SftpSession), TransferError> {
    let config = client::Config {
        nodelay: true,
        ..client::Config::default()
    };
    let expected = settings.host_key.clone();
    let mut session = client::connect(Arc::new(config), addresses, PinnedKey { expected })
        .await
        .map_err(|error| match error {
            Greeting::HostKey(problem) => TransferError::new(Fault::HostKey, action, problem),
            Greeting::Ssh(error) => ssh_error(action, &error),
        })?;
    sign_in(&mut session, remote, credentials, action).await?;
    let failed = |error: russh::Error| ssh_error(action, &error);
    let channel = session.channel_open_session().await.map_err(failed)?;
    channel
        .request_subsystem(true, "sftp")
        .await
        .map_err(failed)?;
    let config = SftpConfig {
        request_timeout_secs: settings.timeout().as_secs(),
        ..SftpConfig::default()
    };
    let files = SftpSession::new_with_config(channel.into_stream(), config).await;
    Ok((session, files.map_err(|error| sftp_error(action, &error))?))
}

/// Signs in with the key if there is one, else with the password.
async fn sign_in(
    session: &mut Handle<PinnedKey>,
    remote: &Remote,
    credentials: &Credentials,
    action: &str,
) -> Result<(), TransferError> {
    let denied = |problem: &str| TransferError::new(Fault::Credentials, action, problem);
    let user = remote.user.clone();
    let result = if let Some(key) = &credentials.private_key {
        let passphrase = credentials.passphrase.as_ref();
        let key = decode_secret_key(
            key.expose_secret(),
            passphrase.map(ExposeSecret::expose_secret),
        );
        // The decoder's words could quote the key.
        let key = key.map_err(|_| {
            denied("the private key cannot be read: wrong passphrase, or neither Ed25519 nor ECDSA")
        })?;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        session.authenticate_publickey(user, key).await
    } else if let Some(password) = &credentials.password {
        session
            .authenticate_password(user, password.expose_secret())
            .await
    } else {
        return Err(denied("neither a private key nor a password is set"));
    };
    match result.map_err(|error| ssh_error(action, &error))? {
        AuthResult::Success => Ok(()),
        AuthResult::Failure {
            remaining_methods, ..
        } => {
            let accepts: Vec<&str> = remaining_methods.iter().map(<&str>::from).collect();
            let user = &remote.user;
            let hint = match remaining_methods.contains(&MethodKind::PublicKey) {
                true if credentials.private_key.is_none() => "; a key is not set",
                _ => "",
            };
            let accepts = accepts.join(", ");
            Err(denied(&format!(
                "the server does not accept user {user:?} (it takes: {accepts}){hint}"
            )))
        }
    }
}

/// Accepts one host key only.
struct PinnedKey {
    expected: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum Greeting {
    #[error("{0}")]
    HostKey(String),
    #[error(transparent)]
    Ssh(#[from] russh::Error),
}

impl client::Handler for PinnedKey {
    type Error = Greeting;

    async fn check_server_key(
        &mut self,
        presented: &PublicKeyOrCertificate,
    ) -> Result<bool, Greeting> {
        let found = match presented {
            PublicKeyOrCertificate::PublicKey { key, .. } => key.fingerprint(HashAlg::Sha256),
            PublicKeyOrCertificate::Certificate(certificate) => {
                certificate.public_key().fingerprint(HashAlg::Sha256)
            }
        };
        let found = found.to_string();
        match &self.expected {
            Some(expected) if same_fingerprint(expected, &found) => Ok(true),
            Some(expected) => Err(Greeting::HostKey(format!(
                "the server's key is {found}, expected {expected}"
            ))),
            None => Err(Greeting::HostKey(format!(
                "host_key is not set; the server presents {found}: have its operator confirm it"
            ))),
        }
    }
}

/// Whether this can be a server key's fingerprint: `SHA256:` and 32 bytes in base64.
pub fn is_fingerprint(text: &str) -> bool {
    let digits = text.trim().trim_end_matches('=').strip_prefix("SHA256:");
    let is_base64 = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/');
    digits.is_some_and(|digits| digits.len() == 43 && digits.bytes().all(is_base64))
}

/// Fingerprints are written with and without the base64 padding.
fn same_fingerprint(a: &str, b: &str) -> bool {
    a.trim().trim_end_matches('=') == b.trim().trim_end_matches('=')
}

fn at(remote: &Remote) -> String {
    format!("sftp://{}:{}", remote.host, remote.port)
}

fn ssh_error(action: &str, error: &russh::Error) -> TransferError {
    match error {
        russh::Error::IO(error) => TransferError {
            // An address that refuses now may answer later.
            fault: Fault::Transient,
            ..TransferError::io(action, error)
        },
        russh::Error::NoCommonAlgo { .. } => {
            TransferError::new(Fault::Refused, action, error.to_string())
        }
        _ => TransferError::new(Fault::Transient, action, error.to_string()),
    }
}

fn sftp_error(action: impl Into<String>, error: &SftpError) -> TransferError {
    let fault = match error {
        SftpError::Status(status) => match status.status_code {
            StatusCode::NoSuchFile => Fault::NotFound,
            StatusCode::NoConnection | StatusCode::ConnectionLost => Fault::Transient,
            _ => Fault::Refused,
        },
        _ => Fault::Transient,
    };
    TransferError::new(fault, action, error.to_string())
}

#[cfg(test)]
#[cfg(feature = "testing")]
#[path = "sftp_tests.rs"]
mod tests;

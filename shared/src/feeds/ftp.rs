//! A directory on an FTP server: explicit TLS with a verified certificate, passive, binary.
//!
//! Plain FTP needs `insecure = true`. On this protocol a rename replaces what has the new name
//! on many servers, so it is looked for first; between two workers the source decides, which
//! only one of them can move.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::ExposeSecret;
use suppaftp::list::{File as Listed, ListParser};
use suppaftp::tokio::{AsyncRustlsConnector, AsyncRustlsFtpStream};
use suppaftp::tokio_rustls::TlsConnector;
use suppaftp::types::FileType;
use suppaftp::{FtpError, Status};
use tokio::io::AsyncReadExt;

use super::landing::{self, Landing, too_large};
use super::pickup::PROCESSING;
use super::transport::{
    Claimed, Credentials, Entry, Fault, FileSource, Remote, SIDECAR_LIMIT, SourceSettings,
    TransferError, check_name,
};

/// A directory on an FTP server.
pub struct Ftp {
    stream: AsyncRustlsFtpStream,
    remote: Remote,
    timeout: Duration,
}

impl Ftp {
    /// Connects, secures the connection unless told otherwise, and signs in.
    pub async fn connect(
        remote: Remote,
        addresses: &[SocketAddr],
        tls: bool,
        settings: &SourceSettings,
        credentials: &Credentials,
    ) -> Result<Self, TransferError> {
        let action = format!("connect to {}", at(&remote));
        let timeout = settings.timeout();
        let work = open((&remote, addresses), tls, settings, credentials, &action);
        let stream = in_time(timeout, &action, work).await?;
        Ok(Self {
            stream,
            remote,
            timeout,
        })
    }

    fn action(&self, verb: &str, name: &str) -> String {
        format!("{verb} {name} on {}", at(&self.remote))
    }

    /// Lists a directory with times to the second (`MLSD`), or as a person would see it.
    async fn entries(&mut self, path: &str) -> Result<Vec<Entry>, TransferError> {
        let action = self.action("list", path);
        let exact = in_time(self.timeout, &action, async {
            self.stream
                .mlsd(Some(path))
                .await
                .map_err(|error| ftp_error(&action, &error))
        });
        let (lines, parse): (_, fn(&str) -> Option<Listed>) = match exact.await {
            Ok(lines) => (lines, |line| ListParser::parse_mlsd(line).ok()),
            // Servers without MLSD refuse it; a directory that is missing is refused again.
            Err(error) if error.fault == Fault::Refused => {
                let lines = in_time(self.timeout, &action, async {
                    self.stream
                        .list(Some(path))
                        .await
                        .map_err(|error| ftp_error(&action, &error))
                });
                (lines.await?, |line| {
                    ListParser::parse_posix(line)
                        .or_else(|_| ListParser::parse_dos(line))
                        .ok()
                })
            }
            Err(error) => return Err(error),
        };
        let files = lines
            .iter()
            .filter_map(|line| parse(line))
            .filter(Listed::is_file);
        let entries = files.map(|file| Entry {
            name: file.name().to_owned(),
            size: Some(file.size() as u64),
            modified: Timestamp::try_from(file.modified()).ok(),
            tag: None,
        });
        Ok(entries.collect())
    }

    /// Streams a file into `landing`; the outcome of the transfer includes the server's own.
    async fn retrieve(
        &mut self,
        path: &str,
        action: &str,
        landing: &mut Landing<'_>,
    ) -> Result<(), TransferError> {
        let failed = |error: FtpError| ftp_error(action, &error);
        let timeout = self.timeout;
        let opened = async { self.stream.retr_as_stream(path).await.map_err(failed) };
        let mut transfer = in_time(timeout, action, opened).await?;
        let mut chunk = vec![0; 64 << 10];
        loop {
            let read = async {
                let read = transfer.read(&mut chunk).await;
                read.map_err(|error| TransferError::io(action, &error))
            };
            match in_time(timeout, action, read).await? {
                0 => break,
                count => landing.write(&chunk[..count]).await?,
            }
        }
        in_time(timeout, action, async {
            transfer.finish().await.map_err(failed)
        })
        .await
    }

    async fn size(&mut self, path: &str, action: &str) -> Result<u64, TransferError> {
        let asked = async {
            let size = self.stream.size(path).await;
            size.map_err(|error| ftp_error(action, &error))
        };
        Ok(in_time(self.timeout, action, asked).await? as u64)
    }
}

#[async_trait]
impl FileSource for Ftp {
    async fn list(&mut self) -> Result<Vec<Entry>, TransferError> {
        let path = self.remote.path.clone();
        self.entries(&path).await
    }

    async fn list_claimed(&mut self) -> Result<Vec<Entry>, TransferError> {
        let path = self.remote.join(PROCESSING);
        match self.entries(&path).await {
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
        let size = self.size(&path, &action).await?;
        if size > limit {
            return Err(too_large(&action, limit));
        }
        let mut landing = Landing::create(into, limit, &action).await?;
        let received = self.retrieve(&path, &action, &mut landing).await;
        landing.finish(received, Some(size)).await
    }

    async fn read_small(&mut self, name: &str) -> Result<Vec<u8>, TransferError> {
        check_name(name)?;
        let action = self.action("read", name);
        let path = self.remote.join(name);
        if self.size(&path, &action).await? > SIDECAR_LIMIT {
            return Err(too_large(&action, SIDECAR_LIMIT));
        }
        let failed = |error: FtpError| ftp_error(&action, &error);
        let read = async {
            let mut transfer = self.stream.retr_as_stream(&path).await.map_err(failed)?;
            let mut bytes = Vec::new();
            let mut limited = (&mut transfer).take(SIDECAR_LIMIT);
            let read = limited.read_to_end(&mut bytes).await;
            read.map_err(|error| TransferError::io(&action, &error))?;
            transfer.finish().await.map_err(failed)?;
            Ok(bytes)
        };
        in_time(self.timeout, &action, read).await
    }

    async fn rename(&mut self, from: &str, to: &str) -> Result<Claimed, TransferError> {
        check_name(from)?;
        check_name(to)?;
        let action = self.action(&format!("move {from} to"), to);
        let (source, target) = (self.remote.join(from), self.remote.join(to));
        let work = async {
            for (at, _) in to.match_indices('/') {
                // It may be there already; if it could not be made, the rename says so.
                self.stream.mkdir(self.remote.join(&to[..at])).await.ok();
            }
            if self.stream.size(&target).await.is_ok() {
                let problem = "the new name is taken";
                return Err(TransferError::new(Fault::Refused, &action, problem));
            }
            let renamed = self.stream.rename(&source, &target).await;
            renamed.map_err(|error| ftp_error(&action, &error))
        };
        in_time(self.timeout, &action, work).await?;
        Ok(Claimed::Yes)
    }

    async fn close(mut self: Box<Self>) {
        // The server notices either way.
        tokio::time::timeout(self.timeout, tokio::task::unconstrained(self.stream.quit()))
            .await
            .ok();
    }
}

async fn open(
    (remote, addresses): (&Remote, &[SocketAddr]),
    tls: bool,
    settings: &SourceSettings,
    credentials: &Credentials,
    action: &str,
) -> Result<AsyncRustlsFtpStream, TransferError> {
    let failed = |error: FtpError| ftp_error(action, &error);
    let Some(password) = &credentials.password else {
        return Err(TransferError::new(
            Fault::Credentials,
            action,
            "no password is set",
        ));
    };
    let mut stream = AsyncRustlsFtpStream::connect(addresses)
        .await
        .map_err(failed)?;
    if tls {
        let connector = connector(settings.extra_root.as_deref(), action)?;
        stream =
            stream
                .into_secure(connector, &remote.host)
                .await
                .map_err(|error| match error {
                    // Going on in the clear would give the password away.
                    FtpError::UnexpectedResponse(_) => {
                        let problem = format!("the server offers no TLS: {error}");
                        TransferError::new(Fault::Refused, action, problem)
                    }
                    error => failed(error),
                })?;
    }
    // Behind NAT a server names an address that cannot be reached; the control connection's can.
    stream.set_passive_nat_workaround(true);
    stream
        .login(remote.user.as_str(), password.expose_secret())
        .await
        .map_err(|error| match error {
            FtpError::UnexpectedResponse(reply) if reply.status == Status::NotLoggedIn => {
                let problem = format!("the server does not accept user {:?}", remote.user);
                TransferError::new(Fault::Credentials, action, problem)
            }
            error => failed(error),
        })?;
    stream
        .transfer_type(FileType::Binary)
        .await
        .map_err(failed)?;
    match stream.cwd(&remote.path).await {
        Ok(()) => Ok(stream),
        Err(FtpError::UnexpectedResponse(_)) => {
            let problem = format!("there is no directory {}", remote.path);
            Err(TransferError::new(Fault::NotFound, action, problem))
        }
        Err(error) => Err(failed(error)),
    }
}

/// The certificates of an `extra_root`, or what is wrong with it.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err("holds no PEM certificate".to_owned()),
        Err(error) => Err(format!("is not a PEM certificate: {error}")),
    }
}

/// TLS that verifies certificates against the system's authorities and one extra, if given.
fn connector(
    extra_root: Option<&str>,
    action: &str,
) -> Result<AsyncRustlsConnector, TransferError> {
    let refused = |problem: String| TransferError::new(Fault::Refused, action, problem);
    let extra: Vec<CertificateDer<'static>> = match extra_root {
        None => Vec::new(),
        Some(pem) => {
            certificates(pem).map_err(|problem| refused(format!("extra_root {problem}")))?
        }
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls_platform_verifier::Verifier::new_with_extra_roots(extra, Arc::clone(&provider))
            .map_err(|error| refused(format!("no certificate can be verified: {error}")))?;
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(error.to_string()))?
        // The platform's verifier, which checks what the default one does; only its roots differ.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)).into())
}

/// Takes a step within its time limit, and outside of tokio's budget for one turn of a task. Once
/// that is used up, a socket passes for one that cannot be written to; then TLS keeps the command,
/// and the FTP library, which flushes nothing, waits for an answer that never comes.
async fn in_time<T>(
    limit: Duration,
    action: &str,
    step: impl Future<Output = Result<T, TransferError>>,
) -> Result<T, TransferError> {
    landing::in_time(limit, action, tokio::task::unconstrained(step)).await
}

fn at(remote: &Remote) -> String {
    format!("ftp://{}:{}", remote.host, remote.port)
}

fn ftp_error(action: &str, error: &FtpError) -> TransferError {
    let fault = match error {
        FtpError::UnexpectedResponse(reply) => match reply.status.code() {
            530 => Fault::Credentials,
            550 => Fault::NotFound,
            // The protocol says so: 4xx may work later, 5xx will not.
            code if code < 500 => Fault::Transient,
            _ => Fault::Refused,
        },
        // The library keeps only the words; rustls's for a bad certificate are these. Any other
        // failed handshake is a connection that broke.
        FtpError::SecureError(words) if words.contains("certificate") => Fault::HostKey,
        FtpError::InvalidAddress(_) => Fault::Refused,
        _ => Fault::Transient,
    };
    TransferError::new(fault, action, error.to_string())
}

#[cfg(test)]
#[cfg(feature = "testing")]
#[path = "ftp_tests.rs"]
mod tests;

//! The real transport: reqwest on rustls, with every limit set.

use std::error::Error as StdError;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::Method;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use url::Url;

use super::guard::Admitted;
use super::{Guard, Refusal, Reply, Request, Transport, TransportError};

const USER_AGENT: &str = concat!("lotwire/", env!("CARGO_PKG_VERSION"));
/// Shorter than servers commonly keep a connection: a function that was frozen meanwhile should
/// not find out by losing a request on a connection the other side has closed.
const IDLE: Duration = Duration::from_secs(20);

/// Limits for every call, and the exemptions from the guard.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// For name, network and TLS together.
    pub connect_timeout: Duration,
    /// For the whole call, the reply's body included.
    pub timeout: Duration,
    /// From sending on until the reply begins; as long as the whole call unless set.
    pub first_byte: Option<Duration>,
    /// The longest reply body taken, in bytes.
    pub reply_limit: usize,
    /// Where calls may go.
    pub guard: Guard,
    /// Whether servers have to be trusted. If not, the system's certificates are not read, which
    /// takes milliseconds, and no call over TLS succeeds.
    pub certificates: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            first_byte: None,
            reply_limit: 1024 * 1024,
            guard: Guard::default(),
            certificates: true,
        }
    }
}

/// The client cannot be set up, because TLS cannot.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up")]
pub struct HttpSetupError(#[from] reqwest::Error);

/// The one HTTP client of the process; cheap to clone, and its clones share connections.
///
/// No redirect is followed, no cookie kept, no proxy asked: each would lead round the guard.
#[derive(Clone)]
pub struct Http {
    /// For public addresses only: its resolver refuses all others.
    guarded: reqwest::Client,
    /// For what is on the allow-list, which may be anywhere.
    exempt: Option<reqwest::Client>,
    guard: Arc<Guard>,
    first_byte: Duration,
    reply_limit: usize,
}

impl Http {
    /// A client with these limits. Reads the system's certificates, so once per process is enough.
    pub fn new(settings: HttpSettings) -> Result<Self, HttpSetupError> {
        Self::resolving_with(settings, Arc::new(SystemNames))
    }

    fn resolving_with(
        settings: HttpSettings,
        names: Arc<dyn Resolve>,
    ) -> Result<Self, HttpSetupError> {
        let guard = Arc::new(settings.guard.clone());
        let guarded_names = GuardedNames {
            names,
            guard: Arc::clone(&guard),
        };
        let exempt = guard.has_exemptions().then(|| client(&settings).build());
        Ok(Self {
            // That calls are encrypted the guard sees to; of a file it is the feed's own setting.
            guarded: client(&settings)
                .dns_resolver(Arc::new(guarded_names))
                .build()?,
            exempt: exempt.transpose()?,
            guard,
            first_byte: settings.first_byte.unwrap_or(settings.timeout),
            reply_limit: settings.reply_limit,
        })
    }

    /// For a body that is streamed to disk rather than taken whole.
    pub fn streaming(&self) -> Downloads {
        Downloads {
            client: self.guarded.clone(),
            guard: Some((Arc::clone(&self.guard), self.exempt.clone())),
        }
    }

    /// The client for a URL, if the guard lets it pass.
    fn client_for(&self, request: &Request) -> Result<&reqwest::Client, Refusal> {
        match self.guard.admit(&request.url)? {
            Admitted::Allowed => Ok(self.exempt.as_ref().unwrap_or(&self.guarded)),
            Admitted::Guarded => Ok(&self.guarded),
        }
    }
}

/// Fetches files: from public addresses only, or those on the allow-list, and without following redirects.
#[derive(Debug, Clone)]
pub struct Downloads {
    client: reqwest::Client,
    /// Who says where it may go, and the client for what is on the allow-list.
    guard: Option<(Arc<Guard>, Option<reqwest::Client>)>,
}

impl Downloads {
    /// A request, if the guard lets its address pass. A name's addresses are checked when it is resolved.
    pub fn request(&self, method: Method, url: Url) -> Result<reqwest::RequestBuilder, Refusal> {
        let client = match &self.guard {
            None => None,
            Some((guard, exempt)) => match guard.admit_download(&url)? {
                Admitted::Allowed => exempt.as_ref(),
                Admitted::Guarded => None,
            },
        };
        Ok(client.unwrap_or(&self.client).request(method, url))
    }

    /// The addresses of a server that is not a web server, if the guard lets each of them pass.
    pub async fn addresses(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, TransportError> {
        let refused = |refusal| TransportError::Refused {
            host: host.to_owned(),
            refusal,
        };
        let guard = match &self.guard {
            None => None,
            Some((guard, _)) => match guard.admit_server(host, port).map_err(refused)? {
                Admitted::Allowed => None,
                Admitted::Guarded => Some(guard),
            },
        };
        let found = tokio::net::lookup_host((host, port)).await;
        let found = found.map_err(|error| TransportError::NotSent {
            host: host.to_owned(),
            reason: error.to_string(),
        })?;
        let found: Vec<_> = found.collect();
        for address in &found {
            if let Some(guard) = guard {
                guard.admit_address(address.ip()).map_err(refused)?;
            }
        }
        Ok(found)
    }
}

/// One that goes wherever it is sent: for tests and worlds.
impl From<reqwest::Client> for Downloads {
    fn from(client: reqwest::Client) -> Self {
        Self {
            client,
            guard: None,
        }
    }
}

fn client(settings: &HttpSettings) -> reqwest::ClientBuilder {
    let client = if settings.certificates {
        reqwest::Client::builder()
    } else {
        reqwest::Client::builder().tls_certs_only([])
    };
    client
        .user_agent(USER_AGENT)
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.timeout)
        .pool_idle_timeout(IDLE)
        .redirect(redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .no_proxy()
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("guard", &self.guard)
            .field("reply_limit", &self.reply_limit)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for Http {
    fn refusal(&self, url: &Url) -> Option<String> {
        let refused = self.guard.admit(url).err();
        refused.map(|refusal| refusal.to_string())
    }

    async fn call(&self, request: Request) -> Result<Reply, TransportError> {
        let host = request.host().to_owned();
        let client = match self.client_for(&request) {
            Ok(client) => client,
            Err(refusal) => return Err(TransportError::Refused { host, refusal }),
        };
        let sent = client
            .request(request.method, request.url)
            .headers(request.headers)
            .body(request.body)
            .send();
        match tokio::time::timeout(self.first_byte, sent).await {
            Ok(Ok(response)) => read(host, response, self.reply_limit).await,
            Ok(Err(error)) => Err(classified(host, &error)),
            Err(_) => {
                let reason = format!("none within {} s", self.first_byte.as_secs_f32());
                Err(TransportError::NoAnswer { host, reason })
            }
        }
    }
}

/// Reads the reply, but no more of it than `limit`.
async fn read(
    host: String,
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Reply, TransportError> {
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let mut body = BytesMut::new();
    let reason = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = limit.saturating_sub(body.len());
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    break format!("longer than {limit} bytes");
                }
            }
            Ok(None) => {
                let body = Bytes::from(body);
                return Ok(Reply {
                    status,
                    headers,
                    body,
                });
            }
            Err(error) => break in_words(&error),
        }
    };
    let reply = Box::new(Reply {
        status,
        headers,
        body: body.into(),
    });
    Err(TransportError::Incomplete {
        host,
        reply,
        reason,
    })
}

/// What a failed call means for whoever has to decide whether to repeat it.
fn classified(host: String, error: &reqwest::Error) -> TransportError {
    let refusal = causes(error).find_map(|cause| cause.downcast_ref::<Refusal>());
    if let Some(refusal) = refusal {
        let refusal = refusal.clone();
        return TransportError::Refused { host, refusal };
    }
    let reason = in_words(error);
    if error.is_connect() || error.is_builder() {
        TransportError::NotSent { host, reason }
    } else {
        TransportError::NoAnswer { host, reason }
    }
}

fn causes<'e>(error: &'e reqwest::Error) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

/// The innermost cause: the outer ones add only that a request was sent, and reqwest's own the URL.
fn in_words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    causes(error)
        .last()
        .map_or_else(|| "failed".to_owned(), ToString::to_string)
}

/// The system's resolver, off the executor's thread.
struct SystemNames;

impl Resolve for SystemNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().to_owned();
            // Port 0 stands for the port of the URL.
            let found = tokio::task::spawn_blocking(move || (host, 0).to_socket_addrs()).await??;
            Ok(Box::new(found) as Addrs)
        })
    }
}

/// Refuses a name if any of its addresses is refused; what passes is what is connected to.
struct GuardedNames {
    names: Arc<dyn Resolve>,
    guard: Arc<Guard>,
}

impl Resolve for GuardedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.guard);
        let found = self.names.resolve(name);
        Box::pin(async move {
            let addresses: Vec<_> = found.await?.collect();
            for address in &addresses {
                guard.admit_address(address.ip())?;
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;

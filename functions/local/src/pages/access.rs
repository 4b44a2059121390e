//! Who may see the pages: whoever is at this machine, and beyond it whoever has the token.
//!
//! A browser sends no `Authorization` header by itself, so it is given a cookie: for a link that works
//! once and is printed at start, or for the token typed into a form. The cookie's value comes from the
//! token, so it outlives restarts and ends with the token.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{ConnectInfo, Request};
use axum::http::header::{AUTHORIZATION, COOKIE, HOST};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use shared::clock::Clock;
use shared::digest::sha256_hex;

const COOKIE_NAME: &str = "lotwire_session";
/// A link that nobody used stands in a log for longer than it should work.
const LINK_LASTS: SignedDuration = SignedDuration::from_mins(10);

/// The token and the one link of this start. Clones share the link.
#[derive(Clone)]
pub struct Access {
    token: SecretString,
    link: Arc<Mutex<Option<Link>>>,
    clock: Clock,
}

struct Link {
    digest: String,
    until: Timestamp,
}

impl Access {
    /// Access by this token.
    pub fn new(token: SecretString, clock: Clock) -> Self {
        Self {
            token,
            link: Arc::default(),
            clock,
        }
    }

    /// Makes the link by which a browser signs in once: its path. A former one ends.
    pub fn sign_in_link(&self, code: &str) -> String {
        let until = self.clock.now().saturating_add(LINK_LASTS);
        let link = Link {
            digest: sha256_hex(code.as_bytes()),
            until: until.unwrap_or(Timestamp::MIN),
        };
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
        format!("/sign-in/{code}")
    }

    /// Whether this is the link's code, which works this once.
    pub(super) fn redeem(&self, code: &str) -> bool {
        let now = self.clock.now();
        let digest = sha256_hex(code.as_bytes());
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = link
            .as_ref()
            .is_some_and(|link| link.digest == digest && now < link.until);
        if fits {
            *link = None;
        }
        fits
    }

    /// Whether this is the token. Digests are compared, so the time it takes says nothing of it.
    pub(super) fn is_token(&self, presented: &str) -> bool {
        let token = self.token.expose_secret();
        !token.is_empty() && sha256_hex(presented.trim().as_bytes()) == sha256_hex(token.as_bytes())
    }

    /// The cookie that admits a browser, as the header that sets it.
    pub(super) fn cookie(&self) -> Option<HeaderValue> {
        let session = self.session();
        let cookie = format!("{COOKIE_NAME}={session}; Path=/; HttpOnly; SameSite=Lax");
        HeaderValue::try_from(cookie).ok()
    }

    fn session(&self) -> String {
        let token = self.token.expose_secret();
        sha256_hex(format!("pages of Lotwire\n{token}").as_bytes())
    }

    /// Whether a request may see the pages.
    pub(super) fn admits(&self, request: &Request) -> bool {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let here = peer.is_some_and(|peer| peer.0.ip().is_loopback());
        let headers = request.headers();
        (here && is_for_this_machine(headers)) || self.bearer(headers) || self.signed_in(headers)
    }

    fn bearer(&self, headers: &HeaderMap) -> bool {
        let presented = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
        let token = presented.and_then(|it| it.strip_prefix("Bearer "));
        token.is_some_and(|token| self.is_token(token))
    }

    fn signed_in(&self, headers: &HeaderMap) -> bool {
        let digest = sha256_hex(self.session().as_bytes());
        let cookies = headers.get_all(COOKIE).iter();
        cookies
            .filter_map(|it| it.to_str().ok())
            .flat_map(|it| it.split(';'))
            .filter_map(|it| it.trim().split_once('='))
            .any(|(name, value)| name == COOKIE_NAME && sha256_hex(value.as_bytes()) == digest)
    }
}

/// Whether a browser on this machine asks for this machine. A page from elsewhere that has its own
/// name resolve to 127.0.0.1 keeps its name in `Host`; a proxy on this machine names whom it asks for.
fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|it| it.to_str().ok());
    let host = host.unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    };
    let proxied = headers.contains_key("forwarded") || headers.contains_key("x-forwarded-for");
    !proxied && ["localhost", "127.0.0.1", "[::1]"].contains(&name)
}

/// Lets a request through to the pages, or asks for the token.
pub(super) async fn admit(
    axum::extract::State(access): axum::extract::State<Access>,
    request: Request,
    next: axum::middleware::Next,
) -> Response {
    if access.admits(&request) {
        return next.run(request).await;
    }
    super::ask_for_token(None).into_response()
}

//! Requests and replies as data.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

/// A request that has not been sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// To what; may hold a token in its path.
    pub url: Url,
    /// Those that hold a secret are marked sensitive.
    pub headers: HeaderMap,
    /// Exactly the bytes to send, so that what was signed is what goes out.
    pub body: Bytes,
}

/// Why a request cannot be put together. Never quotes a value.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A line break or another character no header may hold.
    #[error("the value for the {header} header has characters that no header may hold")]
    HeaderValue {
        /// Which header.
        header: HeaderName,
    },
    /// Basic authentication parts name and password at the first colon.
    #[error("a user name for basic authentication holds a colon")]
    UserName,
    /// The body is no JSON.
    #[error("the body cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl Request {
    /// A request without headers or body.
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// A GET request.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// A POST request.
    pub fn post(url: Url) -> Self {
        Self::new(Method::POST, url)
    }

    /// A PUT request.
    pub fn put(url: Url) -> Self {
        Self::new(Method::PUT, url)
    }

    /// A PATCH request.
    pub fn patch(url: Url) -> Self {
        Self::new(Method::PATCH, url)
    }

    /// A DELETE request.
    pub fn delete(url: Url) -> Self {
        Self::new(Method::DELETE, url)
    }

    /// Sets a header.
    pub fn header(mut self, header: HeaderName, value: &str) -> Result<Self, RequestError> {
        let value = header_value(&header, value)?;
        self.headers.insert(header, value);
        Ok(self)
    }

    /// Sets a header whose value is never shown.
    pub fn secret_header(
        self,
        header: HeaderName,
        value: &SecretString,
    ) -> Result<Self, RequestError> {
        self.sensitive(header, value.expose_secret())
    }

    /// Authenticates with a bearer token.
    pub fn bearer(self, token: &SecretString) -> Result<Self, RequestError> {
        let value = format!("Bearer {}", token.expose_secret());
        self.sensitive(AUTHORIZATION, &value)
    }

    /// Authenticates with a user name and a password.
    pub fn basic(self, user: &str, password: &SecretString) -> Result<Self, RequestError> {
        if user.contains(':') {
            return Err(RequestError::UserName);
        }
        let credentials = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
        self.sensitive(AUTHORIZATION, &format!("Basic {credentials}"))
    }

    fn sensitive(mut self, header: HeaderName, value: &str) -> Result<Self, RequestError> {
        let mut value = header_value(&header, value)?;
        value.set_sensitive(true);
        self.headers.insert(header, value);
        Ok(self)
    }

    /// Sets a JSON body.
    pub fn json(self, body: &impl Serialize) -> Result<Self, RequestError> {
        let body = serde_json::to_vec(body)?;
        Ok(self.body("application/json", body))
    }

    /// Sets a form body (`application/x-www-form-urlencoded`), in the given order.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.body("application/x-www-form-urlencoded", body)
    }

    /// Sets a body of any type.
    pub fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = body.into();
        self
    }

    /// Whom it is for: all of the URL that may be logged.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or("no host")
    }
}

fn header_value(header: &HeaderName, value: &str) -> Result<HeaderValue, RequestError> {
    HeaderValue::from_str(value).map_err(|_| RequestError::HeaderValue {
        header: header.clone(),
    })
}

/// Method, host and size: paths, headers and bodies hold secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, host, length) = (&self.method, self.host(), self.body.len());
        write!(f, "Request({method} {host}, {length} bytes)")
    }
}

/// What came back.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status line's number.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Reply {
    /// A reply without headers.
    pub fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    /// The body read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// The body as text, with what is no UTF-8 replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// A header's first value, if it is there and is text.
    pub fn header(&self, header: &HeaderName) -> Option<&str> {
        self.headers.get(header)?.to_str().ok()
    }
}

/// Status and size: a body may hold a fresh token.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (status, length) = (self.status.as_u16(), self.body.len());
        write!(f, "Reply({status}, {length} bytes)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> Url {
        "https://api.example.com/bot123:TOKEN/send?key=KEY"
            .parse()
            .unwrap()
    }

    #[test]
    fn bodies_say_what_they_are() {
        let json = Request::post(url())
            .json(&serde_json::json!({"text": "2 left"}))
            .unwrap();
        assert_eq!(json.headers[CONTENT_TYPE], "application/json");
        assert_eq!(json.body, r#"{"text":"2 left"}"#);

        let form = Request::post(url()).form(&[("To", "+39 333"), ("Body", "a&b=ü")]);
        assert_eq!(
            form.headers[CONTENT_TYPE],
            "application/x-www-form-urlencoded"
        );
        assert_eq!(form.body, "To=%2B39+333&Body=a%26b%3D%C3%BC");
    }

    #[test]
    fn secrets_are_marked_and_kept_out_of_debug() {
        let secret = SecretString::from("hunter2");
        let request = Request::post(url())
            .basic("Aladdin", &SecretString::from("open sesame"))
            .unwrap()
            .secret_header(HeaderName::from_static("x-key"), &secret)
            .unwrap()
            .body("text/plain", "hunter2");
        // The example of RFC 7617.
        assert_eq!(
            request.headers[AUTHORIZATION],
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
        assert!(
            request
                .headers
                .values()
                .filter(|v| v.is_sensitive())
                .count()
                == 2
        );
        assert_eq!(
            format!("{request:?}"),
            "Request(POST api.example.com, 7 bytes)"
        );
        let reply = Reply::new(StatusCode::OK, "hunter2");
        assert_eq!(format!("{reply:?}"), "Reply(200, 7 bytes)");
    }

    #[test]
    fn what_no_header_may_hold_is_refused_and_not_quoted() {
        let injected = SecretString::from("token\r\nx-evil: hunter2");
        let error = Request::get(url()).bearer(&injected).unwrap_err();
        assert!(error.to_string().contains("authorization"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert!(matches!(
            Request::get(url()).basic("a:b", &injected),
            Err(RequestError::UserName)
        ));
    }
}

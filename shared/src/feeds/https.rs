//! One file on a web server, and its sidecars beside it.
//!
//! A web server offers no rename, so claims are made elsewhere. `modified` and `tag` come from
//! `Last-Modified` and `ETag`; a listing is a `HEAD` request (or the head of a `GET`, where the
//! server refuses `HEAD`).

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{ETAG, HeaderMap, LAST_MODIFIED};
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::landing::{Landing, in_time, too_large};
use super::transport::{
    Claimed, Credentials, Entry, Fault, FileSource, SIDECAR_LIMIT, TransferError, check_name,
};
use crate::http::Downloads;

/// One file on a web server.
#[derive(Debug)]
pub struct Https {
    url: Url,
    name: String,
    token: Option<SecretString>,
    client: Downloads,
    timeout: Duration,
}

/// The file that an address names: its last part.
pub fn file_name(url: &Url) -> Result<String, TransferError> {
    let mut parts = url.path_segments().into_iter().flatten();
    let name = parts.next_back().unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(TransferError::new(
            Fault::Refused,
            "read the feed's url",
            "an https:// address must name a file, not a directory",
        ));
    }
    check_name(&name)?;
    Ok(name)
}

impl Https {
    /// Takes a file's address; its last part is the file's name.
    pub fn new(
        url: Url,
        credentials: &Credentials,
        client: Downloads,
        timeout: Duration,
    ) -> Result<Self, TransferError> {
        Ok(Self {
            name: file_name(&url)?,
            url,
            token: credentials.token.clone(),
            client,
            timeout,
        })
    }

    fn action(&self, verb: &str, name: &str) -> String {
        let host = self.url.host_str().unwrap_or_default();
        format!("{verb} {name} from {}://{host}", self.url.scheme())
    }

    async fn ask(
        &self,
        method: Method,
        name: &str,
        action: &str,
    ) -> Result<Response, TransferError> {
        check_name(name)?;
        let refused = |problem: &str| TransferError::new(Fault::Refused, action, problem);
        let mut url = self.url.clone();
        if name != self.name {
            // The address's own query (a signature, say) belongs to its own file.
            url.set_query(None);
            let mut parts = url
                .path_segments_mut()
                .map_err(|()| refused("not a web address"))?;
            parts.pop().extend(name.split('/'));
        }
        let request = self.client.request(method, url.clone());
        let mut request = request.map_err(|refusal| refused(&refusal.to_string()))?;
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let answer = self.in_time(action, request.send()).await?;
        if *answer.url() != url {
            return Err(refused("the server redirected elsewhere"));
        }
        let status = answer.status();
        let fault = match status {
            _ if status.is_success() => return Ok(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Fault::Credentials,
            StatusCode::NOT_FOUND | StatusCode::GONE => Fault::NotFound,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                Fault::Transient
            }
            _ if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                Fault::Transient
            }
            _ => Fault::Refused,
        };
        Err(TransferError::new(
            fault,
            action,
            format!("HTTP {}", status.as_u16()),
        ))
    }

    async fn in_time<T>(
        &self,
        action: &str,
        work: impl Future<Output = reqwest::Result<T>>,
    ) -> Result<T, TransferError> {
        let work = async {
            work.await.map_err(|error| {
                // The address may hold a signature; it has no place in a message.
                let problem = in_words(&error.without_url());
                TransferError::new(Fault::Transient, action, problem)
            })
        };
        in_time(self.timeout, action, work).await
    }
}

/// An error with its causes: reqwest's own words stop at "error sending request".
fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    words
}

#[async_trait]
impl FileSource for Https {
    async fn list(&mut self) -> Result<Vec<Entry>, TransferError> {
        let action = self.action("look at", &self.name);
        let answer = match self.ask(Method::HEAD, &self.name, &action).await {
            // Some servers know only GET; its body is not read.
            Err(error) if error.fault == Fault::Refused => {
                self.ask(Method::GET, &self.name, &action).await?
            }
            other => other?,
        };
        let headers = answer.headers();
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let modified = text(LAST_MODIFIED).and_then(|date| {
            let date = jiff::fmt::rfc2822::parse(date).ok()?;
            Some(date.timestamp())
        });
        Ok(vec![Entry {
            name: self.name.clone(),
            size: content_length(headers),
            modified,
            tag: text(ETAG).map(str::to_owned),
        }])
    }

    async fn list_claimed(&mut self) -> Result<Vec<Entry>, TransferError> {
        Ok(Vec::new())
    }

    async fn download(
        &mut self,
        name: &str,
        into: &Path,
        limit: u64,
    ) -> Result<u64, TransferError> {
        let action = self.action("download", name);
        let mut answer = self.ask(Method::GET, name, &action).await?;
        let size = content_length(answer.headers());
        if size.is_some_and(|size| size > limit) {
            return Err(too_large(&action, limit));
        }
        let mut landing = Landing::create(into, limit, &action).await?;
        let received = loop {
            match self.in_time(&action, answer.chunk()).await {
                Ok(None) => break Ok(()),
                Ok(Some(chunk)) => {
                    if let Err(error) = landing.write(&chunk).await {
                        break Err(error);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        landing.finish(received, size).await
    }

    async fn read_small(&mut self, name: &str) -> Result<Vec<u8>, TransferError> {
        let action = self.action("read", name);
        let mut answer = self.ask(Method::GET, name, &action).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = self.in_time(&action, answer.chunk()).await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > SIDECAR_LIMIT {
                return Err(too_large(&action, SIDECAR_LIMIT));
            }
        }
        Ok(bytes)
    }

    async fn rename(&mut self, _: &str, _: &str) -> Result<Claimed, TransferError> {
        Ok(Claimed::NotSupported)
    }

    fn can_rename(&self) -> bool {
        false
    }

    async fn close(self: Box<Self>) {}
}

/// The header itself: reqwest's own figure is that of the body, which a `HEAD` does not have.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(reqwest::header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

#[cfg(test)]
#[path = "https_tests.rs"]
mod tests;

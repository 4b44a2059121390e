//! Secrets by reference: the table, the configuration and the logs hold `ssm:/lotwire/slack`,
//! never what it stands for.
//!
//! References to AWS are read through the Parameters and Secrets Lambda extension, over HTTP on
//! the function's own host, so no further SDK is linked. The extension serves once the function is
//! being invoked, not while it initialises. It keeps nothing itself, as the template sets it up: what is
//! remembered here can be read anew.

mod reference;

pub use reference::{SecretRef, SecretRefError};

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderName, StatusCode};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::clock::Clock;
use crate::http::{
    AllowedError, Guard, Http, HttpSettings, HttpSetupError, Reply, Request, Transport,
    TransportError,
};

/// Why no resolver could be made for a Lambda function.
#[derive(Debug, thiserror::Error)]
pub enum InLambdaError {
    /// The extension's address is wrong.
    #[error("the extension's address ({PORT_VARIABLE}): {0}")]
    Address(#[from] url::ParseError),
    /// The extension's host cannot be allowed.
    #[error("the extension's address ({PORT_VARIABLE}): {0}")]
    Host(#[from] AllowedError),
    /// There is no HTTP client.
    #[error(transparent)]
    Client(#[from] HttpSetupError),
}

/// Where the extension listens unless [`PORT_VARIABLE`] names another port.
pub const EXTENSION: &str = "http://localhost:2773";

/// The variable by which AWS lets a function move its extension to another port.
const PORT_VARIABLE: &str = "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT";

const TOKEN: HeaderName = HeaderName::from_static("x-aws-parameters-secrets-token");
const TOKEN_VARIABLE: &str = "AWS_SESSION_TOKEN";
const KEPT_FOR: SignedDuration = SignedDuration::from_mins(5);

/// How long it is remembered that a secret could not be had: the store takes some dozens of questions a
/// second, and whoever waits for one secret must not use up those for the others.
const FAILED_FOR: SignedDuration = SignedDuration::from_secs(5);

/// Reads an environment variable; injected, so that tests need not touch the process.
pub type Environment = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Why a secret cannot be had. Names the reference, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is no such secret, or it is empty: configure it.
    #[error("{reference} is not set")]
    NotSet {
        /// Which one.
        reference: SecretRef,
    },
    /// It could not be read this time.
    #[error("{reference} could not be read: {problem}")]
    Failed {
        /// Which one.
        reference: SecretRef,
        /// What went wrong.
        problem: String,
    },
}

/// Resolves references, and remembers what they stand for for five minutes; for longer while they cannot be
/// read.
pub struct Secrets {
    environment: Environment,
    transport: Arc<dyn Transport>,
    extension: Url,
    clock: Clock,
    kept: Mutex<HashMap<SecretRef, Kept>>,
}

struct Kept {
    /// What it stood for when it was last read.
    value: Option<SecretString>,
    /// Why it could not be had since.
    error: Option<SecretError>,
    until: Timestamp,
}

impl Kept {
    fn answer(&self) -> Option<Result<SecretString, SecretError>> {
        match (&self.value, &self.error) {
            (Some(value), _) => Some(Ok(value.clone())),
            (None, Some(error)) => Some(Err(error.clone())),
            (None, None) => None,
        }
    }
}

impl Secrets {
    /// The clock that says how old a value is.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// A resolver. The transport has to allow plain http to the extension's address.
    pub fn new(
        environment: Environment,
        transport: Arc<dyn Transport>,
        extension: Url,
        clock: Clock,
    ) -> Self {
        Self {
            environment,
            transport,
            extension,
            clock,
            kept: Mutex::default(),
        }
    }

    /// A resolver as a Lambda function has it: the environment, and the extension on its own host.
    ///
    /// Its client may call nothing but the extension; what users configure never gets there.
    pub fn in_lambda(environment: Environment, clock: Clock) -> Result<Self, InLambdaError> {
        let extension: Url = match environment(PORT_VARIABLE).filter(|port| !port.is_empty()) {
            Some(port) => format!("http://localhost:{port}").parse()?,
            None => EXTENSION.parse()?,
        };
        let host = extension.authority().parse()?;
        let client = Http::new(HttpSettings {
            guard: Guard::new(vec![host]),
            // The extension speaks plain HTTP.
            certificates: false,
            ..HttpSettings::default()
        })?;
        Ok(Self::new(environment, Arc::new(client), extension, clock))
    }

    /// What a reference stands for now, or did at most five minutes ago, or when it could last be read.
    pub async fn get(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let now = self.clock.now();
        if let Some(answer) = self.remembered(reference, now) {
            return answer;
        }
        let read = self.read(reference).await;
        let mut kept = self.kept();
        let last = kept.remove(reference).and_then(|kept| kept.value);
        let (value, error, lasts) = match read {
            Ok(value) => (Some(value), None, KEPT_FOR),
            Err(error @ SecretError::NotSet { .. }) => (None, Some(error), FAILED_FOR),
            Err(error @ SecretError::Failed { .. }) => {
                if last.is_some() {
                    tracing::warn!(%error, "a secret could not be read; what it was is still used");
                }
                (last, Some(error), FAILED_FOR)
            }
        };
        // A variable costs nothing to look at.
        let lasts = match (reference, &error) {
            (SecretRef::Env { .. }, Some(_)) => SignedDuration::ZERO,
            _ => lasts,
        };
        let known = Kept {
            value,
            error,
            until: now.saturating_add(lasts).unwrap_or(now),
        };
        let answer = known.answer();
        kept.insert(reference.clone(), known);
        drop(kept);
        answer.unwrap_or_else(|| {
            Err(SecretError::NotSet {
                reference: reference.clone(),
            })
        })
    }

    /// The secrets, or what is wrong with each of those that cannot be had.
    pub async fn all(&self, references: &[&SecretRef]) -> Result<Vec<SecretString>, String> {
        let (mut values, mut problems) = (Vec::new(), Vec::new());
        for reference in references {
            match self.get(reference).await {
                Ok(value) => values.push(value),
                Err(error) => problems.push(error.to_string()),
            }
        }
        match problems.is_empty() {
            true => Ok(values),
            false => Err(problems.join("; ")),
        }
    }

    /// Reads a reference anew next time: for when what it stood for is no longer accepted.
    pub fn forget(&self, reference: &SecretRef) {
        if let Some(kept) = self
            .kept()
            .get_mut(reference)
            .filter(|it| it.error.is_none())
        {
            kept.until = Timestamp::MIN;
        }
    }

    /// Every value handed out and still remembered: what to mask before a request is shown.
    pub fn known(&self) -> Vec<SecretString> {
        self.kept()
            .values()
            .filter_map(|kept| kept.value.clone())
            .collect()
    }

    fn remembered(
        &self,
        reference: &SecretRef,
        now: Timestamp,
    ) -> Option<Result<SecretString, SecretError>> {
        let kept = self.kept();
        let found = kept.get(reference).filter(|kept| now < kept.until)?;
        found.answer()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<SecretRef, Kept>> {
        // A panic elsewhere leaves the map whole: it changes by single insertions.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let value = match reference {
            SecretRef::Env { variable } => (self.environment)(variable),
            SecretRef::Ssm { name } => {
                let query = [("name", name.as_str()), ("withDecryption", "true")];
                let reply = self
                    .ask(reference, "systemsmanager/parameters/get", &query)
                    .await?;
                reply
                    .map(|reply| parameter(&reply))
                    .transpose()
                    .map_err(|problem| failed(reference, problem))?
            }
            SecretRef::SecretsManager { name, field } => {
                let query = [("secretId", name.as_str())];
                let reply = self.ask(reference, "secretsmanager/get", &query).await?;
                reply
                    .map(|reply| secret(&reply, field.as_deref()))
                    .transpose()
                    .map_err(|problem| failed(reference, problem))?
                    .flatten()
            }
        };
        match value {
            Some(value) if !value.is_empty() => Ok(value.into()),
            _ => Err(SecretError::NotSet {
                reference: reference.clone(),
            }),
        }
    }

    /// Asks the extension; `None` if there is no such thing.
    async fn ask(
        &self,
        reference: &SecretRef,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Option<Reply>, SecretError> {
        let failed = |problem: String| failed(reference, problem);
        let token = (self.environment)(TOKEN_VARIABLE)
            .ok_or_else(|| failed(format!("{TOKEN_VARIABLE} is not set, so this is no Lambda")))?;
        let mut url = self
            .extension
            .join(path)
            .map_err(|error| failed(error.to_string()))?;
        url.query_pairs_mut().extend_pairs(query);
        let request = Request::get(url)
            .secret_header(TOKEN, &SecretString::from(token))
            .map_err(|error| failed(error.to_string()))?;

        let reply = match self.transport.call(request).await {
            Ok(reply) => reply,
            Err(error @ TransportError::NotSent { .. }) => {
                let hint = "is the extension's layer on this function?";
                return Err(failed(format!("{error}; {hint}")));
            }
            Err(error) => return Err(failed(error.to_string())),
        };
        if reply.status == StatusCode::OK {
            return Ok(Some(reply));
        }
        // Whatever its status, the extension's answer names the exception it met.
        let text = reply.text();
        let unknown = ["ParameterNotFound", "ResourceNotFoundException"];
        if unknown.iter().any(|exception| text.contains(exception)) {
            return Ok(None);
        }
        Err(failed(format!("the extension answered {}", reply.status)))
    }
}

fn failed(reference: &SecretRef, problem: String) -> SecretError {
    SecretError::Failed {
        reference: reference.clone(),
        problem,
    }
}

/// The part of `GetParameter`'s answer that is wanted.
fn parameter(reply: &Reply) -> Result<String, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        parameter: Parameter,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Parameter {
        value: String,
    }
    // An error of serde_json may quote what it read, so it is not passed on.
    match reply.json::<Answer>() {
        Ok(answer) => Ok(answer.parameter.value),
        Err(_) => Err("the extension's answer is no parameter".to_owned()),
    }
}

/// The part of `GetSecretValue`'s answer that is wanted: all of it, or one field.
fn secret(reply: &Reply, field: Option<&str>) -> Result<Option<String>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        secret_string: Option<String>,
    }
    let answer: Answer = reply
        .json()
        .map_err(|_| "the extension's answer is no secret".to_owned())?;
    let text = answer
        .secret_string
        .ok_or_else(|| "the secret is binary, not text".to_owned())?;
    let Some(field) = field else {
        return Ok(Some(text));
    };
    let fields: HashMap<String, serde_json::Value> =
        serde_json::from_str(&text).map_err(|_| "the secret is no JSON object".to_owned())?;
    match fields.get(field) {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(value)) => Ok(Some(value.clone())),
        Some(_) => Err(format!("field {field:?} of the secret is no text")),
    }
}

/// How many are remembered, and nothing of what.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} remembered)", self.known().len())
    }
}

#[cfg(test)]
mod tests;

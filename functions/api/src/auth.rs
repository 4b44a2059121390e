//! Who may enter: whoever presents one of the configured tokens.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use shared::secrets::{SecretRef, Secrets};
use subtle::{Choice, ConstantTimeEq as _};

use crate::problem::Problem;
use crate::request::Request;

/// The tokens that open the API: one, or two while one replaces the other.
#[derive(Clone)]
pub struct Tokens(Source);

#[derive(Clone)]
enum Source {
    Known(Arc<[SecretString]>),
    Referred(Arc<Secrets>, Arc<[SecretRef]>),
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// These very tokens.
    pub fn known(tokens: impl IntoIterator<Item = SecretString>) -> Self {
        Self(Source::Known(tokens.into_iter().collect()))
    }

    /// The tokens that these references stand for, read when they are needed.
    pub fn referred(secrets: Arc<Secrets>, to: impl IntoIterator<Item = SecretRef>) -> Self {
        Self(Source::Referred(secrets, to.into_iter().collect()))
    }

    /// Admits a request that carries one of the tokens.
    pub(crate) async fn admit(&self, request: &Request) -> Result<(), Problem> {
        let Some(header) = request.headers.get(AUTHORIZATION) else {
            return Err(Problem::unauthorized(
                "send `Authorization: Bearer <token>`",
            ));
        };
        let presented = header.as_bytes();
        let token = match presented.split_at_checked("Bearer ".len()) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token,
            _ => return Err(Problem::unauthorized("the scheme must be Bearer")),
        };
        // Digests are of one length, so that the comparison says nothing of the token's own.
        let digest = Sha256::digest(token.trim_ascii());
        let mut admitted = Choice::from(0);
        for known in self.current().await? {
            let known = known.expose_secret().trim();
            let filled = Choice::from(u8::from(!known.is_empty()));
            admitted |= filled & Sha256::digest(known.as_bytes()).ct_eq(&digest);
        }
        if admitted.into() {
            Ok(())
        } else {
            Err(Problem::unauthorized("this token is not one of ours"))
        }
    }

    /// One reference that cannot be read does not lock out the holders of the other's token.
    async fn current(&self) -> Result<Vec<SecretString>, Problem> {
        match &self.0 {
            Source::Known(tokens) => Ok(tokens.to_vec()),
            Source::Referred(secrets, references) => {
                let mut tokens = Vec::new();
                for reference in references.iter() {
                    match secrets.get(reference).await {
                        Ok(token) => tokens.push(token),
                        Err(error) => tracing::warn!(%error, "an API token cannot be read"),
                    }
                }
                if tokens.is_empty() {
                    return Err(Problem::unavailable("no API token can be read"));
                }
                Ok(tokens)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aws_lambda_events::event::apigw::ApiGatewayV2httpRequest;
    use shared::clock::Clock;

    use super::*;

    fn asking(authorization: &str) -> Request {
        let mut event = ApiGatewayV2httpRequest::default();
        let value = authorization.parse().unwrap();
        event.headers.insert(AUTHORIZATION, value);
        Request::from(event)
    }

    /// References to the environment, as deployed: `API_TOKEN` and its predecessor.
    fn referred(environment: BTreeMap<&'static str, &'static str>) -> Tokens {
        let values = move |name: &str| environment.get(name).map(|it| (*it).to_owned());
        let secrets = Secrets::in_lambda(Box::new(values), Clock::system()).unwrap();
        let references = ["env:TOKEN", "env:PREVIOUS"].map(|it| it.parse().unwrap());
        Tokens::referred(Arc::new(secrets), references)
    }

    const EMPTY: [&str; 4] = ["", " ", "\t", "\n"];

    #[tokio::test]
    async fn a_token_that_is_empty_opens_nothing() {
        for empty in EMPTY {
            let tokens = [
                Tokens::known([empty.to_owned().into()]),
                referred([("TOKEN", empty)].into()),
                referred([("TOKEN", "right"), ("PREVIOUS", empty)].into()),
            ];
            for tokens in &tokens {
                for presented in ["Bearer ", "Bearer  ", "bearer \t", "Bearer"] {
                    let refused = tokens.admit(&asking(presented)).await;
                    assert!(refused.is_err(), "{empty:?} lets {presented:?} in");
                }
            }
            let rotated = referred([("TOKEN", "right"), ("PREVIOUS", empty)].into());
            assert!(rotated.admit(&asking("Bearer right")).await.is_ok());
        }
    }
}

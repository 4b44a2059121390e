//! What a transaction's token promises: whoever sends a request again under it, within ten minutes,
//! has no second effect. The SDK does so when an answer is lost.
//!
//! dynoxide promises it too, but looks through all tokens of those ten minutes at each transaction, so
//! that a table under load gets slower by the minute. Here the oldest leave in their order.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use dynoxide::DynoxideError;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

/// In characters.
pub(super) const LONGEST: usize = 36;

/// How long a token is known.
const KNOWN: Duration = Duration::from_secs(600);

/// What came under a token before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing that was done.
    Nothing,
    /// The very same request.
    Same,
    /// Another one.
    Other,
}

/// A transaction's token, and what the transaction asks for.
#[derive(Debug)]
pub(super) struct Token {
    token: Arc<str>,
    items: u64,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(rename = "TransactItems")]
    items: Value,
}

impl Token {
    /// The token of the transaction that this body asks for.
    pub(super) fn read(token: String, body: &[u8]) -> Result<Self, DynoxideError> {
        let asked: Asked = serde_json::from_slice(body)
            .map_err(|error| DynoxideError::SerializationException(error.to_string()))?;
        Ok(Self {
            token: token.into(),
            items: digest(&asked.items),
        })
    }
}

/// The tokens of what was done in the last ten minutes.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// By token, the digest of what was done.
    done: HashMap<Arc<str>, u64>,
    by_age: VecDeque<(Instant, Arc<str>)>,
}

impl Tokens {
    /// What was done under this token.
    pub(super) fn before(&mut self, token: &Token) -> Before {
        while let Some((_, oldest)) = self
            .by_age
            .pop_front_if(|(done, _)| done.elapsed() >= KNOWN)
        {
            self.done.remove(&oldest);
        }
        match self.done.get(&token.token) {
            None => Before::Nothing,
            Some(known) if *known == token.items => Before::Same,
            Some(_) => Before::Other,
        }
    }

    /// Keeps in mind that this was done.
    pub(super) fn remember(&mut self, Token { token, items }: Token) {
        self.by_age.push_back((Instant::now(), Arc::clone(&token)));
        self.done.insert(token, items);
    }

    /// Forgets the newest again: what was done under them could not be kept.
    pub(super) fn forget_newest(&mut self, count: usize) {
        for (_, token) in self.by_age.drain(self.by_age.len().saturating_sub(count)..) {
            self.done.remove(&token);
        }
    }
}

/// Tells what is asked for from anything else, in whatever order its fields come.
fn digest(asked: &Value) -> u64 {
    match asked {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| hash((name, digest(value))))
            .fold(0, u64::wrapping_add),
        Value::Array(items) => hash(items.iter().map(digest).collect::<Vec<_>>()),
        Value::String(text) => hash(text),
        other => hash(other.to_string()),
    }
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

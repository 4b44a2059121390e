//! HMAC-SHA256 over the raw body, as most vendors sign.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{LiveSecrets, SignatureError, Verified, sole_header};

/// How a vendor writes 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Lower-case hexadecimal.
    Hex,
    /// Standard base64 with padding.
    Base64,
}

/// One vendor's way of signing: in which header, after which prefix, in which encoding.
///
/// What is signed is given in parts, because some put a timestamp, a method or a URL around the
/// body.
#[derive(Debug, Clone, Copy)]
pub struct HmacSha256 {
    header: &'static str,
    prefix: &'static str,
    encoding: Encoding,
}

impl HmacSha256 {
    /// Signatures in hex; `header` in lower case.
    pub const fn hex(header: &'static str) -> Self {
        Self {
            header,
            prefix: "",
            encoding: Encoding::Hex,
        }
    }

    /// Signatures in base64; `header` in lower case.
    pub const fn base64(header: &'static str) -> Self {
        Self {
            header,
            prefix: "",
            encoding: Encoding::Base64,
        }
    }

    /// What stands before the signature in the header, such as `sha256=`.
    pub const fn prefixed(self, prefix: &'static str) -> Self {
        Self { prefix, ..self }
    }

    /// Checks the header against `message`, whose parts are signed one after the other.
    pub fn verify(
        &self,
        headers: &HeaderMap,
        message: &[&[u8]],
        secrets: &LiveSecrets,
    ) -> Result<Verified, SignatureError> {
        self.verify_value(sole_header(headers, self.header)?, message, secrets)
    }

    /// As [`verify`](Self::verify), for a signature that does not have a header to itself: one of
    /// several in a header, or a field of the body.
    pub fn verify_value(
        &self,
        value: &[u8],
        message: &[&[u8]],
        secrets: &LiveSecrets,
    ) -> Result<Verified, SignatureError> {
        let header = self.header;
        let signature = value
            .strip_prefix(self.prefix.as_bytes())
            .filter(|signature| self.encoding.has_form(signature))
            .ok_or(SignatureError::Malformed { header })?;
        secrets
            .find(|key| {
                let expected = self.encoding.encode(&digest(key, message));
                expected.as_bytes().ct_eq(signature).into()
            })
            .ok_or(SignatureError::Mismatch)
    }

    /// The header's value for `message`, signed with the newest secret.
    pub fn sign(&self, message: &[&[u8]], secrets: &LiveSecrets) -> String {
        let newest = secrets.keys().next().unwrap_or_default();
        let signature = self.encoding.encode(&digest(newest, message));
        format!("{}{signature}", self.prefix)
    }
}

impl Encoding {
    pub(super) fn encode(self, bytes: &[u8; 32]) -> String {
        match self {
            Self::Hex => hex::encode(bytes),
            Self::Base64 => STANDARD.encode(bytes),
        }
    }

    /// Whether a text could encode 32 bytes: tells a wrong signature from something else.
    fn has_form(self, text: &[u8]) -> bool {
        match self {
            Self::Hex => text.len() == 64 && text.iter().all(u8::is_ascii_hexdigit),
            Self::Base64 => text.len() == 44 && text.is_ascii(),
        }
    }
}

/// HMAC-SHA256 of the parts, one after the other.
pub(crate) fn digest(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length (RFC 2104)");
    for part in message {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

//! Signature headers of every scheme.
//!
//! The head is a scheme's name and the headers of a forger, who does not have the secret; the body
//! is what is signed. Forged headers never verify. Genuine ones do, and no longer do with one bit of
//! anything signed changed, under another secret, or at another time.

use http::{HeaderMap, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use shared::signature::shared_secret::{verify_basic, verify_header};
use shared::signature::{
    HmacSha256, LiveSecrets, ReplayWindow, SecretsError, SignatureError, Verified, slack, standard,
};

use crate::input::{first_line, headers, one_bit_off, split};

const KEY: &str = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
const OLD_KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

pub(crate) fn run(bytes: &[u8]) {
    let (head, body) = split(bytes);
    let (name, lines) = first_line(head);
    secrets(head);
    let Some(scheme) = Scheme::ALL.into_iter().find(|scheme| scheme.name() == name) else {
        return;
    };
    let offered = headers(lines);
    let forged = scheme.verify(&offered, body, [KEY, OLD_KEY], now());
    told(&forged.expect_err("a forged message verifies"));

    for (number, key) in [KEY, OLD_KEY].into_iter().enumerate() {
        let genuine = scheme.sign(&offered, body, key);
        let verified = scheme.verify(&genuine, body, [KEY, OLD_KEY], now());
        let verified = verified.expect("a genuine message verifies");
        assert_eq!(verified.secret, number);
        assert_eq!(verified.by_old_secret(), number > 0);
        scheme.refuses_changes(&genuine, body, key);
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_795_356_960).expect("in range")
}

/// A refusal has a reason for machines and a sentence for people.
fn told(error: &SignatureError) {
    assert!(!error.reason().is_empty() && !error.to_string().is_empty());
    let by_time = matches!(
        error,
        SignatureError::TimestampTooOld { .. } | SignatureError::TimestampTooNew { .. }
    );
    assert_eq!(error.skew_seconds().is_some(), by_time);
}

/// Secrets as a person may have written them: read, or refused; never shown.
fn secrets(text: &str) {
    let written: Vec<_> = text.lines().map(SecretString::from).collect();
    for live in [standard::secrets(&written), LiveSecrets::new(&written)] {
        match live {
            Ok(live) => assert_eq!(
                format!("{live:?}"),
                format!("LiveSecrets({})", written.len())
            ),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                // Which of them it is: by its number, since there is room for nothing else.
                match error {
                    SecretsError::None => assert!(written.is_empty()),
                    SecretsError::Empty { number } | SecretsError::NotBase64 { number } => {
                        assert!((1..=written.len()).contains(&number), "{error}");
                    }
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Standard,
    Slack,
    Hex,
    Base64,
    Header,
    Basic,
}

const HEX: HmacSha256 = HmacSha256::hex("x-signature").prefixed("sha256=");
const BASE64: HmacSha256 = HmacSha256::base64("x-shopify-hmac-sha256");
const SLACK: HmacSha256 = HmacSha256::hex("x-slack-signature").prefixed("v0=");
const SLACK_TIME: &str = "x-slack-request-timestamp";

impl Scheme {
    const ALL: [Self; 6] = [
        Self::Standard,
        Self::Slack,
        Self::Hex,
        Self::Base64,
        Self::Header,
        Self::Basic,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Slack => "slack",
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Header => "header",
            Self::Basic => "basic",
        }
    }

    fn verify(
        self,
        headers: &HeaderMap,
        body: &[u8],
        keys: [&str; 2],
        at: Timestamp,
    ) -> Result<Verified, SignatureError> {
        let written = keys.map(SecretString::from);
        let live = LiveSecrets::new(&written).expect("secrets");
        let window = ReplayWindow::default();
        match self {
            Self::Standard => {
                let keys = standard::secrets(&written).expect("keys");
                standard::verify(headers, body, &keys, window, at)
            }
            Self::Slack => slack::verify(headers, body, &live, window, at),
            Self::Hex => HEX.verify(headers, &[body], &live),
            Self::Base64 => BASE64.verify(headers, &[body], &live),
            Self::Header => verify_header("x-api-key", headers, &live),
            Self::Basic => verify_basic(headers, "lotwire", &live),
        }
    }

    /// The headers with the scheme's own in place of whatever the forger put there.
    fn sign(self, offered: &HeaderMap, body: &[u8], key: &str) -> HeaderMap {
        let written = [SecretString::from(key)];
        let live = LiveSecrets::new(&written).expect("a secret");
        let seconds = now().as_second().to_string();
        let mut headers = offered.clone();
        let mut set = |name: &'static str, value: &str| {
            headers.insert(name, HeaderValue::from_str(value).expect("a header"));
        };
        match self {
            Self::Standard => {
                let keys = standard::secrets(&written).expect("a key");
                set(standard::ID, "msg_1");
                set(standard::TIMESTAMP, &seconds);
                set(
                    standard::SIGNATURE,
                    &standard::sign("msg_1", now(), body, &keys),
                );
            }
            Self::Slack => {
                let message = [b"v0:", seconds.as_bytes(), b":", body];
                set(SLACK_TIME, &seconds);
                set("x-slack-signature", &SLACK.sign(&message, &live));
            }
            Self::Hex => set("x-signature", &HEX.sign(&[body], &live)),
            Self::Base64 => set("x-shopify-hmac-sha256", &BASE64.sign(&[body], &live)),
            Self::Header => set("x-api-key", key),
            Self::Basic => {
                use base64::Engine as _;
                let pair =
                    base64::engine::general_purpose::STANDARD.encode(format!("lotwire:{key}"));
                set("authorization", &format!("Basic {pair}"));
            }
        }
        headers
    }

    /// The headers that are signed, or are the signature.
    fn guarded(self) -> &'static [&'static str] {
        match self {
            Self::Standard => &[standard::ID, standard::TIMESTAMP, standard::SIGNATURE],
            Self::Slack => &[SLACK_TIME, "x-slack-signature"],
            Self::Hex => &["x-signature"],
            Self::Base64 => &["x-shopify-hmac-sha256"],
            Self::Header => &["x-api-key"],
            Self::Basic => &["authorization"],
        }
    }

    fn refuses_changes(self, genuine: &HeaderMap, body: &[u8], key: &str) {
        let keys = [KEY, OLD_KEY];
        let signs_body = !matches!(self, Self::Header | Self::Basic);
        if let Some(changed) = one_bit_off(body).filter(|_| signs_body) {
            let verified = self.verify(genuine, &changed, keys, now());
            told(&verified.expect_err("a changed body verifies"));
        }
        for name in self.guarded() {
            let value = genuine[*name].as_bytes();
            // Which bit is changed depends on the body, so that in time it is each of them.
            let seeded = [value, body].concat();
            let place = seeded.iter().map(|byte| usize::from(*byte)).sum::<usize>() % value.len();
            let mut changed = value.to_vec();
            changed[place] ^= 1;
            let Ok(value) = HeaderValue::from_bytes(&changed) else {
                continue;
            };
            let mut headers = genuine.clone();
            headers.insert(*name, value);
            // The scheme's own name is read in any case, and so is nothing else.
            let verified = self.verify(&headers, body, keys, now());
            told(&verified.expect_err("a changed header verifies"));
            headers.append(*name, genuine[*name].clone());
            told(
                &self
                    .verify(&headers, body, keys, now())
                    .expect_err("two headers verify"),
            );
        }
        let others = if key == KEY { [OLD_KEY; 2] } else { [KEY; 2] };
        let verified = self.verify(genuine, body, others, now());
        told(&verified.expect_err("verifies under another secret"));
        if matches!(self, Self::Standard | Self::Slack) {
            for minutes in [-6, 6] {
                let at = now() + SignedDuration::from_mins(minutes);
                let error = self
                    .verify(genuine, body, keys, at)
                    .expect_err("verifies at any time");
                assert_eq!(error.skew_seconds(), Some(minutes * 60));
            }
        }
    }
}

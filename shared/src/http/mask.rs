//! A request as it may be shown: on the outbox page, or in a report of a failed delivery.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use http::HeaderValue;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::Request;

const MASK: &str = "****";
/// Fewer characters of a secret than this tell nobody anything, and are found by chance in any text.
const SHORTEST_CUT: usize = 4;
/// Fewer characters of base64 than this are found by chance in any text.
const SHORTEST_BASE64: usize = 8;

/// A request without its secrets, as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskedRequest {
    /// `POST` and so on.
    pub method: String,
    /// The URL.
    pub url: String,
    /// Names and values, in the order they are sent.
    pub headers: Vec<(String, String)>,
    /// The body, or a note of its size where it is not text.
    pub body: String,
}

/// Replaces every known secret by `****`, wherever it stands: as it is, percent-encoded, escaped
/// in JSON or within base64. Headers that authenticate are masked whole.
pub fn mask(request: &Request, secrets: &[SecretString]) -> MaskedRequest {
    let needles = Needles::new(secrets);
    let mut url = request.url.clone();
    if url.password().is_some() {
        // Refused only for URLs that cannot hold a password.
        url.set_password(Some(MASK)).unwrap_or_default();
    }
    let headers = request.headers.iter().map(|(name, value)| {
        let authenticates = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name);
        let shown = if authenticates || value.is_sensitive() {
            MASK.to_owned()
        } else {
            needles.masked(&text_of(value))
        };
        (name.as_str().to_owned(), shown)
    });
    MaskedRequest {
        method: request.method.to_string(),
        url: needles.masked(url.as_str()),
        headers: headers.collect(),
        body: match std::str::from_utf8(&request.body) {
            Ok(text) => needles.masked(text),
            Err(_) => format!("({} bytes that are not text)", request.body.len()),
        },
    }
}

/// Replaces every known secret in somebody's words by `****`; of words that were cut off, the beginning
/// of a secret at their end too.
pub fn mask_words(words: &str, secrets: &[SecretString]) -> String {
    let mut shown = Needles::new(secrets).masked(words);
    let cut = secrets.iter().filter_map(|secret| {
        let secret = secret.expose_secret();
        let ends = secret.char_indices().map(|(end, _)| end).rev();
        ends.take_while(|end| *end >= SHORTEST_CUT)
            .find(|end| shown.ends_with(&secret[..*end]))
    });
    if let Some(length) = cut.max() {
        shown.truncate(shown.len() - length);
        shown.push_str(MASK);
    }
    shown
}

fn text_of(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// What to look for.
struct Needles(Vec<String>);

impl Needles {
    fn new(secrets: &[SecretString]) -> Self {
        let mut needles: Vec<String> = secrets
            .iter()
            .map(ExposeSecret::expose_secret)
            .filter(|secret| !secret.is_empty())
            .flat_map(|secret| [vec![secret.to_owned()], within_base64(secret)].concat())
            .collect();
        // Where one secret begins with another, the whole of it goes.
        needles.sort_unstable_by_key(|needle| std::cmp::Reverse(needle.len()));
        needles.dedup();
        Self(needles)
    }

    fn masked(&self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let found = self
                .0
                .iter()
                .find_map(|needle| spelled(rest.as_bytes(), needle.as_bytes()));
            match found.and_then(|length| rest.get(length..)) {
                Some(after) => {
                    shown.push_str(MASK);
                    rest = after;
                }
                None => {
                    shown.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        shown
    }
}

/// The characters of base64 that depend on nothing but the secret, at each of the three places
/// where it can begin within what is encoded (such as `user:secret`).
fn within_base64(secret: &str) -> Vec<String> {
    let mut found = Vec::new();
    for before in 0..3_usize {
        let padded = [&b"\0\0"[..before], secret.as_bytes()].concat();
        // The first character that holds only bits of the secret, and the last.
        let (start, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&padded);
            found.extend(
                encoded
                    .get(start..end)
                    .filter(|core| core.len() >= SHORTEST_BASE64)
                    .map(str::to_owned),
            );
        }
    }
    found
}

/// How many bytes at the start of `text` spell `secret`, each byte of it in any encoding.
fn spelled(text: &[u8], secret: &[u8]) -> Option<usize> {
    let Some((byte, rest)) = secret.split_first() else {
        return Some(0);
    };
    spellings(text, *byte)
        .into_iter()
        .flatten()
        .find_map(|length| spelled(&text[length..], rest).map(|following| length + following))
}

/// The lengths of what at the start of `text` stands for `byte`: plain, as in URLs, as in JSON.
fn spellings(text: &[u8], byte: u8) -> [Option<usize>; 3] {
    let plain = match text.first() {
        Some(first) if *first == byte => Some(1),
        Some(b'+') if byte == b' ' => Some(1),
        _ => None,
    };
    let percent = match text {
        [b'%', high, low, ..] => (hex_pair(*high, *low) == Some(byte)).then_some(3),
        _ => None,
    };
    let escaped = match text {
        [b'\\', b'u', b'0', b'0', high, low, ..] => {
            (hex_pair(*high, *low) == Some(byte)).then_some(6)
        }
        [b'\\', escape, ..] => (unescaped(*escape) == Some(byte)).then_some(2),
        _ => None,
    };
    [plain, percent, escaped]
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |c: u8| char::from(c).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn unescaped(escape: u8) -> Option<u8> {
    match escape {
        b'"' | b'\\' | b'/' => Some(escape),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        b'b' => Some(8),
        b'f' => Some(12),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn a_secret_that_was_cut_off_is_masked_as_far_as_it_goes() {
        let secrets = [
            SecretString::from("s3cr3t-token"),
            SecretString::from("s3cr3t"),
        ];
        for (words, shown) in [
            ("HTTP 400: s3cr3t-token is wrong", "HTTP 400: **** is wrong"),
            ("HTTP 400: s3cr3t-to", "HTTP 400: ****-to"),
            ("HTTP 400: s3cr", "HTTP 400: ****"),
            ("HTTP 400: s3c", "HTTP 400: s3c"),
            ("", ""),
        ] {
            assert_eq!(mask_words(words, &secrets), shown);
        }
        let one = &secrets[..1];
        assert_eq!(mask_words("HTTP 400: s3cr3t-to", one), "HTTP 400: ****");
    }
    use http::HeaderName;
    use proptest::prelude::*;

    #[test]
    fn a_masked_request_shows_everything_but_the_secrets() {
        let token = SecretString::from("123:AA/b c+\"d\"");
        let request = Request::post(
            url::Url::parse_with_params(
                "https://api.example.com/bot123:AA%2Fb%20c+%22d%22/send",
                [("key", token.expose_secret()), ("to", "stock")],
            )
            .unwrap(),
        )
        .bearer(&token)
        .unwrap()
        .header(HeaderName::from_static("x-note"), "key 123:AA/b c+\"d\"!")
        .unwrap()
        .secret_header(HeaderName::from_static("x-key"), &"other".into())
        .unwrap()
        .json(&serde_json::json!({"token": token.expose_secret(), "text": "2 left"}))
        .unwrap();

        insta::assert_json_snapshot!(mask(&request, &[token]), @r#"
        {
          "method": "POST",
          "url": "https://api.example.com/bot****/send?key=****&to=stock",
          "headers": [
            [
              "authorization",
              "****"
            ],
            [
              "x-note",
              "key ****!"
            ],
            [
              "x-key",
              "****"
            ],
            [
              "content-type",
              "application/json"
            ]
          ],
          "body": "{\"text\":\"2 left\",\"token\":\"****\"}"
        }
        "#);
    }

    #[test]
    fn of_two_secrets_the_longer_goes_first_and_an_empty_one_masks_nothing() {
        let secrets = ["abc", "abcdef", ""].map(SecretString::from);
        assert_eq!(Needles::new(&secrets).masked("abcdef abcd"), "**** ****d");
    }

    #[test]
    fn what_is_not_text_is_counted() {
        let request = Request::put("https://example.com".parse().unwrap())
            .body("application/octet-stream", vec![0xff, 0xfe, 0]);
        assert_eq!(mask(&request, &[]).body, "(3 bytes that are not text)");
        let url = "https://user:hunter2@example.com/".parse().unwrap();
        assert_eq!(
            mask(&Request::get(url), &[]).url,
            "https://user:****@example.com/"
        );
    }

    proptest! {
        #[test]
        fn no_encoding_lets_a_secret_through(secret in "[ -~]{8,40}", before in "[a-z:]{0,7}", after in "[a-z]{0,5}") {
            let needles = Needles::new(&[SecretString::from(secret.clone())]);
            let whole = format!("{before}{secret}{after}");
            let form: String = url::form_urlencoded::byte_serialize(whole.as_bytes()).collect();
            let every: String = secret.bytes().map(|b| format!("%{b:02x}")).collect();
            let json = serde_json::to_string(&whole).unwrap();
            for text in [whole.clone(), form, every, json] {
                prop_assert!(needles.masked(&text).contains(MASK), "{}", text);
            }
            let masked = needles.masked(&STANDARD.encode(&whole));
            let core = STANDARD_NO_PAD.encode(&secret.as_bytes()[2..secret.len() - 2]);
            prop_assert!(masked.contains(MASK), "{}", masked);
            prop_assert!(!masked.contains(&core));
        }

        #[test]
        fn nothing_else_is_touched(text in "[a-z0-9 %+\\\\]{0,60}") {
            let needles = Needles::new(&[SecretString::from("SECRET")]);
            prop_assert_eq!(needles.masked(&text), text);
        }
    }
}

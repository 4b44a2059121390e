//! The codes that open, start and unlock a car: taken out of a body before anybody keeps it.
//!
//! Works on the bytes rather than on the parsed document, so that a body which cannot be parsed, and
//! is kept for somebody to look at, does not hold them either.

use std::borrow::Cow;

/// The fields that hold them, as the vendor calls them.
const FIELDS: &[&[u8]] = &[
    b"IgnitionKeyCode",
    b"TrunkKeyCode",
    b"KeylessCode",
    b"RadioCode",
    b"WheelLockCode",
];

/// Bytes that a tag may have; keeps a body of nothing but names from being searched over and over.
const TAG_MOST: usize = 256;

/// The body without the values of those fields.
pub(super) fn without(body: &[u8]) -> Cow<'_, [u8]> {
    let mut kept = Vec::new();
    let (mut copied, mut from) = (0, 0);
    while let Some(after_name) = next_field(body, from) {
        from = after_name;
        if let Some(value) = value_after(body, after_name) {
            kept.extend_from_slice(&body[copied..value.start]);
            kept.extend_from_slice(value.instead);
            (copied, from) = (value.end, value.end);
        }
    }
    if copied == 0 {
        return Cow::Borrowed(body);
    }
    kept.extend_from_slice(&body[copied..]);
    Cow::Owned(kept)
}

/// Where the next field's name ends, at `from` or later.
fn next_field(body: &[u8], from: usize) -> Option<usize> {
    (from..body.len()).find_map(|at| {
        let field = FIELDS.iter().find(|field| body[at..].starts_with(field))?;
        Some(at + field.len())
    })
}

/// The value of a field, and what is kept in its place.
struct Value {
    start: usize,
    end: usize,
    instead: &'static [u8],
}

/// The value after a field's name: an element's content, or a text or number of JSON.
fn value_after(body: &[u8], after_name: usize) -> Option<Value> {
    let skip = |from: usize, passed: &[u8]| {
        let rest = body[from..].iter();
        from + rest.take_while(|byte| passed.contains(byte)).count()
    };
    let next = skip(after_name, b"\" \t\r\n");
    if body.get(next) == Some(&b':') {
        let start = skip(next + 1, b" \t\r\n");
        return match body.get(start)? {
            b'"' => Some(Value {
                start: start + 1,
                end: end_of_text(body, start + 1),
                instead: b"",
            }),
            b'-' | b'0'..=b'9' => Some(Value {
                start,
                end: skip(start, b"-+.eE0123456789"),
                instead: b"0",
            }),
            _ => None,
        };
    }
    let mut tag = body[next..].iter().take(TAG_MOST);
    let start = next + tag.position(|byte| *byte == b'>')? + 1;
    let is_empty_element = body[start - 2] == b'/';
    // Only an opening tag has a value; after a closing one comes what follows the element.
    let is_closing = {
        let mut backwards = body[..after_name].iter().rev().take(TAG_MOST);
        let distance = backwards.position(|byte| *byte == b'<')?;
        body.get(after_name - distance) == Some(&b'/')
    };
    if is_empty_element || is_closing {
        return None;
    }
    let end = body[start..].windows(2).position(|two| two == b"</");
    Some(Value {
        start,
        end: end.map_or(body.len(), |end| start + end),
        instead: b"",
    })
}

/// Where a JSON text ends that begins at `start`.
fn end_of_text(body: &[u8], start: usize) -> usize {
    let mut escaped = false;
    let end = body[start..].iter().position(|byte| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        byte => *byte == b'"',
    });
    end.map_or(body.len(), |end| start + end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cleaned(body: &str) -> String {
        String::from_utf8(without(body.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn codes_go_and_everything_else_stays() {
        for (body, expected) in [
            (
                "<a><IgnitionKeyCode>35910</IgnitionKeyCode><VIN>1</VIN></a>",
                "<a><IgnitionKeyCode></IgnitionKeyCode><VIN>1</VIN></a>",
            ),
            (
                "<x:RadioCode n='1'><![CDATA[47]]></x:RadioCode> <TrunkKeyCode/><VIN>1</VIN>",
                "<x:RadioCode n='1'></x:RadioCode> <TrunkKeyCode/><VIN>1</VIN>",
            ),
            (
                r#"{"KeylessCode" : "1\"2", "VIN": "1"}"#,
                r#"{"KeylessCode" : "", "VIN": "1"}"#,
            ),
            (
                r#"{"KeylessCode":35910,"VIN":"1"}"#,
                r#"{"KeylessCode":0,"VIN":"1"}"#,
            ),
            (
                r#"{"KeylessCode":null,"VIN":"1"}"#,
                r#"{"KeylessCode":null,"VIN":"1"}"#,
            ),
            ("<RadioCode>4711", "<RadioCode>"),
            (r#"{"RadioCode":"4711"#, r#"{"RadioCode":""#),
            ("no codes here", "no codes here"),
        ] {
            assert_eq!(cleaned(body), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            parts in prop::collection::vec(
                prop_oneof![
                    Just(b"RadioCode".to_vec()),
                    Just(b"<RadioCode>".to_vec()),
                    Just(b"\"RadioCode\":\"".to_vec()),
                    Just(b"</".to_vec()),
                    Just(b">".to_vec()),
                    Just(b":".to_vec()),
                    any::<[u8; 3]>().prop_map(|bytes| bytes.to_vec()),
                ],
                0..12,
            )
        ) {
            let body = parts.concat();
            let once = without(&body).into_owned();
            prop_assert!(once.len() <= body.len());
            prop_assert_eq!(without(&once).len(), once.len());
        }
    }
}

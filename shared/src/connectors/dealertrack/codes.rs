//! The codes that open, start and unlock a car: taken out of a body before anybody reads or keeps it.
//!
//! Only fields are emptied, not texts that mention one: what stays is the same document, and taking
//! the codes out of it again changes nothing. It works on bytes, so that a body which cannot be read
//! does not hold them either.

use std::borrow::Cow;
use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::connectors::xml;

/// The fields that hold them, as the vendor calls them.
const FIELDS: &[&[u8]] = &[
    b"IgnitionKeyCode",
    b"TrunkKeyCode",
    b"KeylessCode",
    b"RadioCode",
    b"WheelLockCode",
];

/// A value, and what is kept in its place.
struct Value {
    place: Range<usize>,
    instead: &'static [u8],
}

impl Value {
    fn emptied(place: Range<usize>) -> Self {
        let instead = b"";
        Self { place, instead }
    }
}

/// The body without the values of those fields.
pub(super) fn without(body: &[u8]) -> Cow<'_, [u8]> {
    let values = if xml::looks_like(body) {
        elements(body)
    } else {
        members(body)
    };
    if values.is_empty() {
        return Cow::Borrowed(body);
    }
    let mut kept = Vec::with_capacity(body.len());
    let mut copied = 0;
    for Value { place, instead } in values {
        kept.extend_from_slice(&body[copied..place.start]);
        kept.extend_from_slice(instead);
        copied = place.end;
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

/// The contents of XML elements that are fields, and of comments that mention one.
fn elements(body: &[u8]) -> Vec<Value> {
    let mut values = Vec::new();
    let unreadable = readable_elements(body, &mut values);
    // Whatever follows a field's name there may be its value.
    if let Some(after_name) = next_field(body, unreadable) {
        values.push(Value::emptied(after_name..body.len()));
    }
    values
}

/// As far as the document can be read, and where that ends.
fn readable_elements(body: &[u8], values: &mut Vec<Value>) -> usize {
    let text = match str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => str::from_utf8(&body[..error.valid_up_to()]).unwrap_or_default(),
    };
    let unmarked = text.trim_start_matches('\u{feff}');
    let offset = text.len() - unmarked.len();
    let place = |position: u64| {
        let position = usize::try_from(position).unwrap_or(unmarked.len());
        offset + position.min(unmarked.len())
    };
    let mut reader = Reader::from_str(unmarked);
    loop {
        let begun = place(reader.buffer_position());
        match reader.read_event() {
            Ok(Event::Start(tag)) if is_field(tag.local_name().as_ref()) => {
                let Ok(content) = reader.read_to_end(tag.name()) else {
                    return begun;
                };
                values.push(Value::emptied(place(content.start)..place(content.end)));
            }
            Ok(Event::Comment(comment)) => {
                let content = begun + "<!--".len()..begun + "<!--".len() + comment.len();
                if next_field(&body[content.clone()], 0).is_some() {
                    values.push(Value::emptied(content));
                }
            }
            Ok(Event::Eof) => return text.len(),
            Ok(_) => {}
            Err(_) => return begun,
        }
    }
}

fn is_field(name: &str) -> bool {
    FIELDS.contains(&name.as_bytes())
}

/// The values of JSON members that are fields.
fn members(body: &[u8]) -> Vec<Value> {
    let mut values = Vec::new();
    let mut from = 0;
    while let Some(after_name) = next_field(body, from) {
        from = after_name;
        if let Some(value) = value_of(body, after_name) {
            from = value.place.end;
            values.push(value);
        }
    }
    values
}

/// The value of the member whose name ends here. A quotation mark within a text is escaped, so one
/// that follows the name directly ends it, and after a colon stands its value.
fn value_of(body: &[u8], after_name: usize) -> Option<Value> {
    let skip = |from: usize, passed: &[u8]| {
        let rest = body[from..].iter();
        from + rest.take_while(|byte| passed.contains(byte)).count()
    };
    const BLANK: &[u8] = b" \t\r\n";
    let after_name = (body.get(after_name) == Some(&b'"')).then_some(after_name + 1)?;
    let colon = skip(after_name, BLANK);
    let colon = (body.get(colon) == Some(&b':')).then_some(colon)?;
    let start = skip(colon + 1, BLANK);
    let (end, instead) = match body.get(start)? {
        b'"' => return Some(Value::emptied(start + 1..end_of_text(body, start + 1))),
        b'-' | b'0'..=b'9' => (skip(start, b"-+.eE0123456789"), b"0".as_slice()),
        b'[' | b'{' => (end_of_nested(body, start), b"null".as_slice()),
        _ => return None,
    };
    Some(Value {
        place: start..end,
        instead,
    })
}

/// Where a JSON text ends that begins at `start`: at its closing quotation mark.
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

/// Where a JSON list or object ends that begins at `start`: after its closing bracket.
fn end_of_nested(body: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(byte) = body.get(at) {
        match byte {
            b'"' => at = end_of_text(body, at + 1),
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth == 1 => return at + 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    body.len()
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
            (
                r#"{"RadioCode":["4711",{"a":"]"}],"VIN":"1"}"#,
                r#"{"RadioCode":null,"VIN":"1"}"#,
            ),
            (r#"{"RadioCode":[].5}"#, r#"{"RadioCode":null.5}"#),
            ("<a><RadioCode>4711", "<a><RadioCode"),
            (
                "<a><VIN>1</a><RadioCode>4711</RadioCode></a>",
                "<a><VIN>1</a><RadioCode",
            ),
            (r#"{"RadioCode":"4711"#, r#"{"RadioCode":""#),
            ("no codes here", "no codes here"),
        ] {
            assert_eq!(cleaned(body), expected);
        }
    }

    #[test]
    fn a_text_that_mentions_a_field_is_no_field() {
        for body in [
            "<a><Notes>RadioCode 4711</Notes><VIN>1</VIN></a>",
            "<a><Notes RadioCode='>'>4711</Notes><VIN>1</VIN></a>",
            "<a><Notes><![CDATA[<RadioCode>]]></Notes><VIN>1</VIN></a>",
            r#"{"Notes":"<RadioCode>","VIN":"1"}"#,
            r#"{"Notes":"RadioCode: 4711","VIN":"1"}"#,
            r#"{"Notes":"\"RadioCode\":\"","VIN":"1"}"#,
        ] {
            assert_eq!(cleaned(body), body);
        }
        let comment = "<a><!-- <RadioCode>4711 --><VIN>1</VIN></a>";
        assert_eq!(cleaned(comment), "<a><!----><VIN>1</VIN></a>");
        let nested =
            "\u{feff}<a><RadioCode><b>1</b><![CDATA[</RadioCode>]]></RadioCode><VIN>1</VIN></a>";
        assert_eq!(
            cleaned(nested),
            "\u{feff}<a><RadioCode></RadioCode><VIN>1</VIN></a>"
        );
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
                    Just(b"</RadioCode>".to_vec()),
                    Just(b"<!--".to_vec()),
                    Just(b"-->".to_vec()),
                    Just(b"<![CDATA[".to_vec()),
                    Just(b"\"".to_vec()),
                    Just(b"[".to_vec()),
                    Just(b"\xef\xbb\xbf<a>".to_vec()),
                    Just(b">".to_vec()),
                    Just(b":".to_vec()),
                    any::<[u8; 3]>().prop_map(|bytes| bytes.to_vec()),
                ],
                0..12,
            )
        ) {
            let body = parts.concat();
            let once = without(&body).into_owned();
            prop_assert_eq!(without(&once).into_owned(), once);
        }
    }
}

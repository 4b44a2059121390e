//! Reading XML that somebody else wrote, into the shape that JSON has.
//!
//! Names are local names, since vendors disagree on namespaces; attributes are left out. An element
//! with children is an object, one without is its text, an empty one is `null`, and elements of one
//! name are a list. Document types are refused, so there are no entities to expand, and depth and
//! number of elements are bounded.

use quick_xml::Reader;
use quick_xml::errors::{Error, IllFormedError};
use quick_xml::events::Event;
use serde_json::{Map, Value};

use super::json::DEPTH_MOST;
use super::push::ParseError;

/// Elements that a body may have.
const ELEMENTS_MOST: usize = 200_000;

/// Whether a body looks like XML rather than JSON.
pub(super) fn looks_like(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    body.trim_ascii_start().first() == Some(&b'<')
}

/// An element that has been opened.
struct Open {
    name: String,
    children: Map<String, Value>,
    text: String,
}

impl Open {
    fn value(self) -> Value {
        if !self.children.is_empty() {
            return Value::Object(self.children);
        }
        // Blanks stay: whether they matter is for the reader of the field to say.
        if self.text.trim().is_empty() {
            Value::Null
        } else {
            Value::String(self.text)
        }
    }

    fn add(&mut self, name: String, value: Value) {
        match self.children.get_mut(&name) {
            None => {
                self.children.insert(name, value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(one) => {
                let first = one.take();
                *one = Value::Array(vec![first, value]);
            }
        }
    }
}

/// Reads a document: an object with the root element as its only field.
pub(super) fn document(body: &[u8]) -> Result<Value, ParseError> {
    let text = std::str::from_utf8(body).map_err(|_| not_xml("it is not UTF-8".to_owned()))?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut open = vec![Open {
        name: String::new(),
        children: Map::new(),
        text: String::new(),
    }];
    let mut elements = 0_usize;
    loop {
        let position = reader.buffer_position();
        let at = |problem: &str| not_xml(format!("{problem} (byte {position})"));
        let event = reader.read_event().map_err(|error| at(in_words(&error)))?;
        match event {
            Event::Start(tag) | Event::Empty(tag) if elements == ELEMENTS_MOST => {
                drop(tag);
                return Err(at("it has too many elements"));
            }
            Event::Start(tag) => {
                elements += 1;
                if open.len() > DEPTH_MOST {
                    return Err(ParseError::TooDeep { most: DEPTH_MOST });
                }
                open.push(Open {
                    name: tag.local_name().as_ref().to_owned(),
                    children: Map::new(),
                    text: String::new(),
                });
            }
            Event::Empty(tag) => {
                elements += 1;
                let name = tag.local_name().as_ref().to_owned();
                if let Some(parent) = open.last_mut() {
                    parent.add(name, Value::Null);
                }
            }
            Event::End(_) => {
                // The reader has checked that tags match.
                let Some(mut closed) = open.pop() else { break };
                let name = std::mem::take(&mut closed.name);
                match open.last_mut() {
                    Some(parent) => parent.add(name, closed.value()),
                    None => return Err(at("an element is closed that was not opened")),
                }
            }
            Event::Text(text) => push_text(&mut open, &text),
            Event::CData(text) => push_text(&mut open, &text),
            Event::GeneralRef(reference) => {
                let character = reference
                    .resolve_char_ref()
                    .map_err(|_| at("it refers to a character that there is not"))?;
                let named = match reference.as_ref() {
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "amp" => Some('&'),
                    "apos" => Some('\''),
                    "quot" => Some('"'),
                    _ => None,
                };
                let character = character
                    .or(named)
                    .ok_or_else(|| at("it refers to an entity that XML does not define"))?;
                push_text(&mut open, character.encode_utf8(&mut [0; 4]));
            }
            Event::DocType(_) => return Err(at("it has a document type")),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(root), true) if root.children.len() == 1 => Ok(Value::Object(root.children)),
        (_, true) => Err(not_xml("it has no single root element".to_owned())),
        (_, false) => Err(not_xml("it ends in the middle of an element".to_owned())),
    }
}

fn push_text(open: &mut [Open], text: &str) {
    if let Some(innermost) = open.last_mut() {
        innermost.text.push_str(text);
    }
}

/// What is wrong, without a word of the body: the reader's own words quote names and references.
fn in_words(error: &Error) -> &'static str {
    match error {
        Error::IllFormed(IllFormedError::MismatchedEndTag { .. }) => {
            "an element is closed by another's name"
        }
        Error::IllFormed(IllFormedError::UnmatchedEndTag(_)) => {
            "an element is closed that was not opened"
        }
        Error::IllFormed(IllFormedError::MissingEndTag(_)) => "an element is not closed",
        Error::Syntax(_) => "a tag, comment or section does not end",
        Error::InvalidAttr(_) => "an attribute is malformed",
        Error::Encoding(_) => "it is not UTF-8",
        _ => "it is not well-formed",
    }
}

fn not_xml(problem: String) -> ParseError {
    ParseError::NotXml { problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn elements_become_the_shape_that_json_has() {
        let read = document(
            b"<?xml version='1.0'?>\n<s:A xmlns:s='urn:x'><B> 1</B><C/><D x='2'>a &amp; &#98;</D>\
              <B><![CDATA[<2>]]></B><B/></s:A>",
        );
        let expected = json!({"A": {"B": [" 1", "<2>", null], "C": null, "D": "a & b"}});
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn what_could_expand_or_overflow_is_refused() {
        let bomb = b"<!DOCTYPE a [<!ENTITY b 'bbbb'>]><a>&b;</a>";
        let problem = document(bomb).unwrap_err().to_string();
        assert!(problem.contains("document type"), "{problem}");
        assert_eq!(document(b"<a>&b;</a>").unwrap_err().reason(), "not_xml");
        let deep = format!("{}{}", "<a>".repeat(33), "</a>".repeat(33));
        let too_deep = ParseError::TooDeep { most: DEPTH_MOST };
        assert_eq!(document(deep.as_bytes()), Err(too_deep));
        let many = format!("<a>{}</a>", "<b/>".repeat(ELEMENTS_MOST));
        assert_eq!(document(many.as_bytes()).unwrap_err().reason(), "not_xml");
    }

    #[test]
    fn half_a_document_is_no_document() {
        for body in [
            "",
            "<a>",
            "<a><b></a>",
            "</a>",
            "<a/><b/>",
            "text",
            "<a>\u{0}",
        ] {
            assert!(document(body.as_bytes()).is_err(), "{body:?}");
        }
        assert!(document(b"<a>\xff</a>").is_err());
    }
}

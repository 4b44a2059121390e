//! The matching rules that Lambda's event filters and SNS filter policies share.
//!
//! A pattern mirrors the shape of what it matches: objects nest, and each leaf is a list of
//! alternatives. What is not understood is refused when the pattern is read, never ignored.

use serde_json::{Map, Value};

/// A parsed filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern(Vec<(String, Node)>);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Nested(Pattern),
    AnyOf(Vec<Rule>),
}

#[derive(Debug, Clone, PartialEq)]
enum Rule {
    Exactly(Value),
    Prefix(String),
    Suffix(String),
    Exists(bool),
    AnythingBut(Vec<Rule>),
}

/// A pattern that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("filter pattern at {path}: {problem}")]
pub struct PatternError {
    /// Dotted path of the offending key.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Pattern {
    /// Reads a pattern such as `{"eventName": ["INSERT", {"prefix": "MOD"}]}`.
    pub fn parse(pattern: &Value) -> Result<Self, PatternError> {
        match pattern {
            Value::Object(fields) => Self::parse_object(fields, "$"),
            _ => Err(error("$", "a pattern is an object")),
        }
    }

    fn parse_object(fields: &Map<String, Value>, path: &str) -> Result<Self, PatternError> {
        fields
            .iter()
            .map(|(key, value)| {
                let path = format!("{path}.{key}");
                let node = match value {
                    Value::Object(nested) => Node::Nested(Self::parse_object(nested, &path)?),
                    Value::Array(rules) if !rules.is_empty() => Node::AnyOf(
                        rules
                            .iter()
                            .map(|rule| Rule::parse(rule, &path))
                            .collect::<Result<_, _>>()?,
                    ),
                    _ => return Err(error(&path, "expected an object or a list of alternatives")),
                };
                Ok((key.clone(), node))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether every key of the pattern finds what it asks for.
    pub fn matches(&self, candidate: &Value) -> bool {
        self.0.iter().all(|(key, node)| {
            let value = candidate.get(key);
            match node {
                Node::Nested(pattern) => pattern.matches(value.unwrap_or(&Value::Null)),
                Node::AnyOf(rules) => rules.iter().any(|rule| rule.matches(value)),
            }
        })
    }
}

impl Rule {
    fn parse(rule: &Value, path: &str) -> Result<Self, PatternError> {
        let Value::Object(operator) = rule else {
            return match rule {
                Value::Array(_) => Err(error(path, "a list is no alternative")),
                literal => Ok(Self::Exactly(literal.clone())),
            };
        };
        let mut entries = operator.iter();
        let (Some((name, operand)), None) = (entries.next(), entries.next()) else {
            return Err(error(path, "an operator object has one key"));
        };
        match (name.as_str(), operand) {
            ("prefix", Value::String(text)) => Ok(Self::Prefix(text.clone())),
            ("suffix", Value::String(text)) => Ok(Self::Suffix(text.clone())),
            ("exists", Value::Bool(wanted)) => Ok(Self::Exists(*wanted)),
            ("anything-but", Value::Array(not)) => not
                .iter()
                .map(|rule| Self::parse(rule, path))
                .collect::<Result<_, _>>()
                .map(Self::AnythingBut),
            ("anything-but", not) => Ok(Self::AnythingBut(vec![Self::parse(not, path)?])),
            (name, _) => Err(error(path, &format!("operator {name:?} is not supported"))),
        }
    }

    fn matches(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Exists(wanted), value) => *wanted == value.is_some(),
            (_, None) => false,
            // A list matches when any of its members does.
            (Self::AnythingBut(not), Some(Value::Array(members))) => members
                .iter()
                .any(|member| !not.iter().any(|rule| rule.matches(Some(member)))),
            (rule, Some(Value::Array(members))) => {
                members.iter().any(|member| rule.matches(Some(member)))
            }
            (Self::Exactly(wanted), Some(value)) => same(wanted, value),
            (Self::Prefix(prefix), Some(Value::String(text))) => text.starts_with(prefix),
            (Self::Suffix(suffix), Some(Value::String(text))) => text.ends_with(suffix),
            (Self::Prefix(_) | Self::Suffix(_), Some(_)) => false,
            (Self::AnythingBut(not), Some(value)) => {
                !not.iter().any(|rule| rule.matches(Some(value)))
            }
        }
    }
}

/// Equal, where 1 and 1.0 are the same number.
fn same(wanted: &Value, value: &Value) -> bool {
    wanted == value || wanted.is_number() && wanted.as_f64() == value.as_f64()
}

fn error(path: &str, problem: &str) -> PatternError {
    PatternError {
        path: path.to_owned(),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(pattern: Value, candidate: Value) -> bool {
        Pattern::parse(&pattern).unwrap().matches(&candidate)
    }

    #[test]
    fn a_stream_filter_picks_records_by_an_attribute_of_their_new_image() {
        let filter = json!({"dynamodb": {"NewImage": {"t": {"S": ["position", "config"]}}}});
        let record = |t: &str| json!({"dynamodb": {"NewImage": {"t": {"S": t}}}});
        assert!(matches(filter.clone(), record("config")));
        assert!(!matches(filter.clone(), record("audit")));
        // A removal has no new image.
        assert!(!matches(filter, json!({"dynamodb": {"OldImage": {}}})));
    }

    #[test]
    fn each_operator_decides_as_aws_documents_it() {
        let cases = [
            (json!([{"prefix": "sh"}]), json!("shopify"), true),
            (json!([{"prefix": "sh"}]), json!("ebay"), false),
            (json!([{"suffix": "fy"}]), json!("shopify"), true),
            (json!([{"anything-but": "sms"}]), json!("mail"), true),
            (
                json!([{"anything-but": ["sms", "mail"]}]),
                json!("mail"),
                false,
            ),
            (
                json!([{"anything-but": {"prefix": "s"}}]),
                json!("sms"),
                false,
            ),
            (json!([{"exists": true}]), json!("x"), true),
            (json!([{"exists": false}]), json!("x"), false),
            (json!([1]), json!(1.0), true),
            (json!([null]), json!(null), true),
            (json!(["a"]), json!(["b", "a"]), true),
            (json!(["a", {"prefix": "z"}]), json!("zebra"), true),
        ];
        for (rules, value, expected) in cases {
            let found = matches(json!({"k": rules}), json!({"k": value}));
            assert_eq!(found, expected, "{rules} on {value}");
        }
        assert!(matches(json!({"k": [{"exists": false}]}), json!({})));
        assert!(!matches(json!({"k": [{"anything-but": "a"}]}), json!({})));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_path() {
        let refused = Pattern::parse(&json!({"a": {"b": [{"numeric": [">", 1]}]}})).unwrap_err();
        assert_eq!(
            refused.to_string(),
            r#"filter pattern at $.a.b: operator "numeric" is not supported"#
        );
        assert!(Pattern::parse(&json!({"a": "b"})).is_err());
        assert!(Pattern::parse(&json!({"a": []})).is_err());
        assert!(Pattern::parse(&json!([])).is_err());
    }
}

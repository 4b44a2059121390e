//! As much YAML as the template's alarms are written in: block and flow collections, scalars and
//! comments. CloudFormation's short forms (`!Ref X`) are read as their argument.

use serde_json::{Map, Value};

/// Reads a block.
pub(crate) fn read(text: &str) -> Value {
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !matches!(line.trim_start().chars().next(), None | Some('#')))
        .map(|line| (line.len() - line.trim_start().len(), line.trim().to_owned()))
        .collect();
    let mut lines = lines.as_slice();
    block(&mut lines)
}

type Lines<'l> = &'l [(usize, String)];

fn block(lines: &mut Lines<'_>) -> Value {
    let Some((depth, first)) = lines.first().cloned() else {
        return Value::Null;
    };
    if first.starts_with("- ") {
        let mut list = Vec::new();
        while let Some((_, line)) = lines
            .first()
            .filter(|(at, line)| *at == depth && line.starts_with("- "))
        {
            // The item's own lines stand two columns further in.
            let mut own = vec![(depth + 2, line[2..].to_owned())];
            let rest = &lines[1..];
            let end = rest
                .iter()
                .position(|(at, _)| *at <= depth)
                .unwrap_or(rest.len());
            own.extend_from_slice(&rest[..end]);
            list.push(block(&mut own.as_slice()));
            *lines = &rest[end..];
        }
        return list.into();
    }
    let mut map = Map::new();
    while let Some((_, line)) = lines.first().filter(|(at, _)| *at == depth) {
        let (key, value) = line
            .split_once(':')
            .unwrap_or_else(|| panic!("no key: {line}"));
        let (key, value) = (key.trim_matches('"').to_owned(), value.trim().to_owned());
        *lines = &lines[1..];
        let nested = lines.first().is_some_and(|(at, _)| *at > depth);
        let value = if value.is_empty() && nested {
            block(lines)
        } else {
            flow(&mut value.as_str())
        };
        map.insert(key, value);
    }
    map.into()
}

fn flow(text: &mut &str) -> Value {
    *text = text.trim_start();
    if let Some(tagged) = text.strip_prefix('!') {
        *text = tagged.split_once(' ').map_or("", |(_, argument)| argument);
        return flow(text);
    }
    if let Some(rest) = text.strip_prefix('[') {
        *text = rest;
        return std::iter::from_fn(|| more(text, ']').then(|| flow(text))).collect();
    }
    if let Some(rest) = text.strip_prefix('{') {
        *text = rest;
        let mut map = Map::new();
        while more(text, '}') {
            let (key, rest) = text.split_once(": ").expect("a key");
            *text = rest;
            map.insert(key.trim_matches('"').to_owned(), flow(text));
        }
        return map.into();
    }
    scalar(text)
}

/// Whether another item follows; past the comma before it, or past the end.
fn more(text: &mut &str, end: char) -> bool {
    *text = text.trim_start_matches([',', ' ']);
    match text.strip_prefix(end) {
        Some(rest) => {
            *text = rest;
            false
        }
        None => true,
    }
}

fn scalar(text: &mut &str) -> Value {
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, rest) = quoted.split_once('"').expect("a closing quote");
        *text = rest;
        return value.into();
    }
    // Expressions have commas and parentheses; within a flow collection nothing here does.
    let end = if text.contains('(') {
        None
    } else {
        text.find([',', ']', '}'])
    };
    let (value, rest) = text.split_at(end.unwrap_or(text.len()));
    *text = rest;
    let value = value.trim();
    value
        .parse::<serde_json::Number>()
        .map_or_else(|_| value.into(), Value::Number)
}

#[test]
fn what_the_template_is_written_in_is_read() {
    let text = r#"
A: !Sub "x ${Y}"
# a comment
List:
  - Id: one
    Of: { Name: Z, Value: !GetAtt [B, C], Deep: [{ "Fn::Sub": v }] }
  - Id: two
Number: 0.10
Expression: IF(a > 4, 100, b)
"#;
    let expected = serde_json::json!({
        "A": "x ${Y}",
        "List": [
            { "Id": "one", "Of": { "Name": "Z", "Value": ["B", "C"], "Deep": [{ "Fn::Sub": "v" }] } },
            { "Id": "two" },
        ],
        "Number": 0.10,
        "Expression": "IF(a > 4, 100, b)",
    });
    assert_eq!(read(text), expected);
}

//! Enough of JSON schema to hold a request against a vendor's published description.

use serde_json::Value;

/// Everything about `value` that the named schema of the description does not allow. A key that the
/// schema does not know is a fault too, although most vendors would let it pass.
pub(super) fn faults(description: &Value, schema: &str, value: &Value) -> Vec<String> {
    let schema = &description["components"]["schemas"][schema];
    assert!(schema.is_object(), "no such schema");
    let mut found = Vec::new();
    check(description, schema, value, "$", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("dangling {reference}"));
        return check(root, target, value, at, found);
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[choice].as_array() {
            let fits = |schema| {
                let mut faults = Vec::new();
                check(root, schema, value, at, &mut faults);
                faults.is_empty()
            };
            if !choices.iter().any(fits) {
                found.push(format!("{at}: fits no choice"));
            }
        }
    }
    let mut fault = |problem: &str| found.push(format!("{at}: {problem}"));
    if !has_type(&schema["type"], value) {
        return fault("wrong type");
    }
    if schema["enum"]
        .as_array()
        .is_some_and(|all| !all.contains(value))
    {
        fault("not a listed value");
    }
    let size = match value {
        Value::String(text) => Some((text.chars().count(), "minLength", "maxLength")),
        Value::Array(entries) => Some((entries.len(), "minItems", "maxItems")),
        Value::Object(entries) => Some((entries.len(), "minProperties", "maxProperties")),
        _ => None,
    };
    if let Some((size, least, most)) = size {
        let size = size as u64;
        let limit = |key: &str| schema[key].as_u64();
        if limit(least).is_some_and(|least| size < least)
            || limit(most).is_some_and(|most| size > most)
        {
            fault("size");
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            fault(&format!("{name} is missing"));
        }
    }
    if let (Some(known), Some(entries)) = (schema["properties"].as_object(), value.as_object()) {
        for (key, value) in entries {
            match known.get(key) {
                Some(schema) => check(root, schema, value, &format!("{at}.{key}"), found),
                None => found.push(format!("{at}.{key}: unknown")),
            }
        }
    }
    if let (Some(schema), Some(entries)) = (schema.get("items"), value.as_array()) {
        for (index, value) in entries.iter().enumerate() {
            check(root, schema, value, &format!("{at}[{index}]"), found);
        }
    }
}

fn has_type(types: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "string" => value.is_string(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("type {other}"),
    };
    match types {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

#[test]
fn the_checker_finds_each_sort_of_fault() {
    let description = serde_json::json!({"components": {"schemas": {
        "Mail": {"type": "object", "required": ["to"], "properties": {
            "to": {"type": "array", "maxItems": 1, "items": {"$ref": "#/components/schemas/Name"}},
            "how": {"anyOf": [{"type": "boolean"}, {"type": "string", "enum": ["fast"]}]},
        }},
        "Name": {"type": "string", "minLength": 2},
    }}});
    let faults = |value| faults(&description, "Mail", &value);
    assert!(faults(serde_json::json!({"to": ["ab"], "how": "fast"})).is_empty());
    let found = faults(serde_json::json!({"to": ["a", 1], "how": "slow", "cc": 1}));
    assert_eq!(
        found,
        [
            "$.cc: unknown",
            "$.how: fits no choice",
            "$.to: size",
            "$.to[0]: size",
            "$.to[1]: wrong type"
        ]
    );
    assert_eq!(faults(serde_json::json!({})), ["$: \"to\" is missing"]);
}

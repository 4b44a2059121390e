//! `template.yaml` as CloudFormation and SAM read it: loops repeated, parameters, maps and conditions
//! filled in, and the resources that SAM adds. What names other resources stays as it is written, in
//! the long form (`{"Ref": …}`, `{"Fn::GetAtt": [resource, attribute]}`, `{"Fn::Sub": …}`).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;

const TEMPLATE: &str = include_str!("../../template.yaml");
/// Where the stack is, as far as the tests are concerned.
pub(crate) const REGION: &str = "eu-south-1";

/// The template as it is written.
pub(crate) fn source() -> Value {
    let yaml: Yaml = serde_yaml_ng::from_str(TEMPLATE).unwrap();
    plain(yaml)
}

/// YAML as JSON, with CloudFormation's short forms as long ones.
fn plain(yaml: Yaml) -> Value {
    match yaml {
        Yaml::Sequence(items) => items.into_iter().map(plain).collect(),
        Yaml::Mapping(entries) => {
            let entries = entries.into_iter();
            let entries =
                entries.map(|(key, value)| (key.as_str().unwrap().to_owned(), plain(value)));
            Value::Object(entries.collect())
        }
        Yaml::Tagged(tagged) => {
            let value = plain(tagged.value);
            match tagged.tag.to_string().trim_start_matches('!') {
                "Ref" => json!({ "Ref": value }),
                "GetAtt" => match value.as_str().and_then(|path| path.split_once('.')) {
                    Some((resource, attribute)) => json!({ "Fn::GetAtt": [resource, attribute] }),
                    None => json!({ "Fn::GetAtt": value }),
                },
                function => json!({ format!("Fn::{function}"): value }),
            }
        }
        other => serde_json::to_value(other).unwrap(),
    }
}

/// A stack's resources, by logical name.
pub(crate) struct Stack {
    pub(crate) resources: BTreeMap<String, Value>,
}

/// What a resource has where there is none of its name.
const NOTHING: &Value = &Value::Null;

impl Stack {
    /// The stack of the template as it stands, with a topic for alarms.
    pub(crate) fn usual() -> Self {
        Self::of(&source(), &[])
    }

    /// The stack of a template, with parameters other than their defaults.
    pub(crate) fn of(source: &Value, given: &[(&str, &str)]) -> Self {
        let reader = Reader::new(source, given);
        let mut resources = BTreeMap::new();
        for (name, body) in reader.repeated(&source["Resources"]) {
            let condition = body["Condition"].as_str();
            if condition.is_none_or(|name| reader.holds(&source["Conditions"][name])) {
                let read = reader.filled(&body);
                resources.insert(name, read.unwrap_or_default());
            }
        }
        for name in resources.keys().cloned().collect::<Vec<_>>() {
            let function = &mut resources.get_mut(&name).unwrap();
            if function["Type"] != "AWS::Serverless::Function" {
                continue;
            }
            let globals = reader.filled(&source["Globals"]["Function"]);
            let added = transformed(&name, function, globals.unwrap_or_default());
            resources.extend(added);
        }
        Self { resources }
    }

    /// Why CloudFormation does not even begin to deploy a template with these parameters.
    pub(crate) fn refusals(source: &Value, given: &[(&str, &str)]) -> Vec<String> {
        Reader::new(source, given).refusals()
    }

    /// These resources and those of another.
    pub(crate) fn with(&self, other: Self) -> Self {
        let mut resources = self.resources.clone();
        resources.extend(other.resources);
        Self { resources }
    }

    /// A resource's properties.
    pub(crate) fn properties(&self, name: &str) -> &Value {
        self.resources
            .get(name)
            .map_or(NOTHING, |it| &it["Properties"])
    }

    /// The properties of a resource of this type.
    pub(crate) fn typed(&self, name: &str, kind: &str) -> &Value {
        let found = self.resources.get(name).filter(|it| it["Type"] == kind);
        found.map_or(NOTHING, |it| &it["Properties"])
    }

    /// The resources of a type, and their properties.
    pub(crate) fn of_type<'s>(
        &'s self,
        kind: &'s str,
    ) -> impl Iterator<Item = (&'s str, &'s Value)> {
        let mine = self
            .resources
            .iter()
            .filter(move |(_, it)| it["Type"] == kind);
        mine.map(|(name, it)| (name.as_str(), &it["Properties"]))
    }
}

/// Makes of a function of SAM's one of Lambda's, and gives what SAM makes beside it.
fn transformed(name: &str, function: &mut Value, globals: Value) -> Vec<(String, Value)> {
    let mut added = Vec::new();
    let mut properties = globals;
    merge(&mut properties, function["Properties"].take());
    let own = properties.as_object_mut().unwrap();
    if let Some(retries) = own.remove("EventInvokeConfig") {
        let config = json!({ "Type": "AWS::Lambda::EventInvokeConfig", "Properties": retries });
        added.push((format!("{name}EventInvokeConfig"), config));
    }
    let events = own.remove("Events").unwrap_or_default();
    for (event, source) in events.as_object().into_iter().flatten() {
        let mut settings = source["Properties"].clone();
        let kind = match source["Type"].as_str() {
            Some("Schedule") => {
                let permission = json!({ "Type": "AWS::Lambda::Permission" });
                added.push((format!("{name}{event}Permission"), permission));
                "AWS::Events::Rule"
            }
            Some("SQS" | "DynamoDB") => {
                settings["FunctionName"] = json!({ "Ref": name });
                "AWS::Lambda::EventSourceMapping"
            }
            _ => "no source that is known here",
        };
        added.push((
            format!("{name}{event}"),
            json!({ "Type": kind, "Properties": settings }),
        ));
    }
    *function = json!({ "Type": "AWS::Lambda::Function", "Properties": properties });
    added
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// The names that a loop or a `Fn::Sub` gives values to.
type Names = BTreeMap<String, Value>;

struct Reader<'s> {
    source: &'s Value,
    parameters: Names,
}

impl<'s> Reader<'s> {
    fn new(source: &'s Value, given: &[(&str, &str)]) -> Self {
        let mut parameters = Names::new();
        for (name, parameter) in source["Parameters"].as_object().into_iter().flatten() {
            let given = given.iter().find(|(wanted, _)| wanted == name);
            let value = given.map_or(parameter["Default"].clone(), |(_, value)| json!(value));
            let value = match value.as_str() {
                Some(list) if parameter["Type"] == "CommaDelimitedList" => {
                    list.split(',').map(Value::from).collect()
                }
                _ => value,
            };
            parameters.insert(name.clone(), value);
        }
        parameters.insert("AWS::Region".to_owned(), json!(REGION));
        Self { source, parameters }
    }

    /// Resources with loops repeated.
    fn repeated(&self, resources: &Value) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        for (name, body) in resources.as_object().into_iter().flatten() {
            if !name.starts_with("Fn::ForEach::") {
                all.push((name.clone(), body.clone()));
                continue;
            }
            let variable = body[0].as_str().unwrap_or_default();
            let over = self.filled(&body[1]).unwrap_or_default();
            for value in over.as_array().into_iter().flatten() {
                let names = Names::from([(variable.to_owned(), value.clone())]);
                let filled = with(&body[2], &names);
                all.extend(
                    filled
                        .as_object()
                        .into_iter()
                        .flatten()
                        .map(|(k, v)| (k.clone(), v.clone())),
                );
            }
        }
        all
    }

    /// What the template's rules say against these parameters.
    fn refusals(&self) -> Vec<String> {
        let rules = self.source["Rules"].as_object().into_iter().flatten();
        let meant = rules.filter(|(_, rule)| self.holds(&rule["RuleCondition"]));
        let asserted = meant.flat_map(|(_, rule)| rule["Assertions"].as_array());
        let failed = asserted.flatten().filter(|one| !self.holds(&one["Assert"]));
        failed
            .map(|one| one["AssertDescription"].as_str().unwrap_or("?").to_owned())
            .collect()
    }

    fn holds(&self, condition: &Value) -> bool {
        let Some((function, of)) = only(condition) else {
            return false;
        };
        match function {
            "Fn::Equals" => {
                let text = |value: &Value| match self.filled(value).unwrap_or_default() {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                text(&of[0]) == text(&of[1])
            }
            "Fn::Contains" => {
                let list = self.filled(&of[0]).unwrap_or_default();
                let sought = self.filled(&of[1]).unwrap_or_default();
                list.as_array().is_some_and(|list| list.contains(&sought))
            }
            "Fn::EachMemberEquals" => {
                let list = self.filled(&of[0]).unwrap_or_default();
                let same = |member: &Value| Some(member) == self.filled(&of[1]).as_ref();
                list.as_array().is_some_and(|list| list.iter().all(same))
            }
            "Fn::Not" => !self.holds(&of[0]),
            "Fn::And" => of
                .as_array()
                .is_some_and(|all| all.iter().all(|it| self.holds(it))),
            _ => false,
        }
    }

    /// A value with everything filled in that is known before anything is made; `None` for what is
    /// to be left out.
    fn filled(&self, value: &Value) -> Option<Value> {
        if let Some((function, of)) = only(value) {
            match function {
                "Ref" if of == "AWS::NoValue" => return None,
                "Ref" => {
                    let name = self.filled(of)?;
                    let known = name.as_str().and_then(|name| self.parameters.get(name));
                    return Some(known.cloned().unwrap_or_else(|| json!({ "Ref": name })));
                }
                "Fn::If" => {
                    let condition = &self.source["Conditions"][of[0].as_str()?];
                    return self.filled(&of[if self.holds(condition) { 1 } else { 2 }]);
                }
                "Fn::FindInMap" => {
                    let key = |at: usize| self.filled(&of[at]);
                    let (map, first, second) = (key(0)?, key(1)?, key(2)?);
                    let found = &self.source["Mappings"][map.as_str()?][first.as_str()?]
                        [second.as_str()?];
                    let default = || self.filled(&of[3]["DefaultValue"]);
                    return if found.is_null() {
                        default()
                    } else {
                        Some(found.clone())
                    };
                }
                "Fn::Sub" => return self.substituted(of),
                "Fn::Select" => {
                    let index = usize::try_from(of[0].as_u64()?).ok()?;
                    return self.filled(&of[1])?.get(index).cloned();
                }
                _ => {}
            }
        }
        Some(match value {
            Value::Array(items) => items.iter().filter_map(|item| self.filled(item)).collect(),
            Value::Object(entries) => {
                let entries = entries.iter();
                let filled =
                    entries.filter_map(|(key, value)| Some((key.clone(), self.filled(value)?)));
                Value::Object(filled.collect())
            }
            other => other.clone(),
        })
    }

    fn substituted(&self, of: &Value) -> Option<Value> {
        let (text, own) = match of {
            Value::Array(parts) => (parts.first()?.as_str()?, self.filled(parts.get(1)?)?),
            other => (other.as_str()?, Value::Null),
        };
        let own: Names = own.as_object().cloned().into_iter().flatten().collect();
        let text = substitute(&substitute(text, &own), &self.parameters);
        let open = text.contains("${");
        Some(if open {
            json!({ "Fn::Sub": text })
        } else {
            json!(text)
        })
    }
}

/// The one entry of an object that has one.
fn only(value: &Value) -> Option<(&str, &Value)> {
    let entries = value.as_object().filter(|entries| entries.len() == 1)?;
    entries
        .iter()
        .next()
        .map(|(key, value)| (key.as_str(), value))
}

/// A loop's body, with its variable in place.
fn with(value: &Value, names: &Names) -> Value {
    match value {
        Value::String(text) => json!(substitute(text, names)),
        Value::Array(items) => items.iter().map(|item| with(item, names)).collect(),
        Value::Object(_) => {
            if let Some(("Ref", of)) = only(value)
                && let Some(known) = of.as_str().and_then(|name| names.get(name))
            {
                return known.clone();
            }
            if let Some(("Fn::Sub", Value::String(text))) = only(value) {
                let text = substitute(text, names);
                let open = text.contains("${");
                return if open {
                    json!({ "Fn::Sub": text })
                } else {
                    json!(text)
                };
            }
            let entries = value.as_object().into_iter().flatten();
            let entries = entries.map(|(key, value)| (substitute(key, names), with(value, names)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

fn substitute(text: &str, names: &Names) -> String {
    if !text.contains("${") {
        return text.to_owned();
    }
    names.iter().fold(text.to_owned(), |text, (name, value)| {
        let value = match value {
            Value::String(value) => value.clone(),
            other => other.to_string(),
        };
        text.replace(&format!("${{{name}}}"), &value)
    })
}

#[test]
fn loops_parameters_maps_and_conditions_are_filled_in_and_sams_resources_added() {
    let source: Yaml = serde_yaml_ng::from_str(
        r#"
Parameters:
  Kinds: { Type: CommaDelimitedList, Default: "a,b" }
  Closed: { Type: String, Default: "no" }
Conditions:
  IsClosed: !Equals [!Ref Closed, "yes"]
Mappings:
  Sizes: { a: { Most: 3 } }
Resources:
  Only:
    Type: X
    Condition: IsClosed
  "Fn::ForEach::Each":
    - Kind
    - !Ref Kinds
    - "Do${Kind}":
        Type: AWS::Serverless::Function
        Properties:
          Reserved: !If [IsClosed, 0, !Ref AWS::NoValue]
          Most: !FindInMap [Sizes, !Ref Kind, Most, { DefaultValue: 9 }]
          Log: !GetAtt [!Sub "Log${Kind}", Arn]
          Events: { Tick: { Type: Schedule }, Work: { Type: SQS, Properties: { Queue: !GetAtt Q.Arn } } }
"#,
    )
    .unwrap();
    let source = plain(source);
    let stack = Stack::of(&source, &[]);
    let names: Vec<_> = stack.resources.keys().map(String::as_str).collect();
    let expected = [
        "Doa",
        "DoaTick",
        "DoaTickPermission",
        "DoaWork",
        "Dob",
        "DobTick",
        "DobTickPermission",
        "DobWork",
    ];
    assert_eq!(names, expected);
    let log = json!({ "Fn::GetAtt": ["Loga", "Arn"] });
    assert_eq!(*stack.properties("Doa"), json!({ "Most": 3, "Log": log }));
    assert_eq!(stack.properties("Dob")["Most"], 9);
    let work = json!({ "Queue": { "Fn::GetAtt": ["Q", "Arn"] }, "FunctionName": { "Ref": "Dob" } });
    assert_eq!(*stack.properties("DobWork"), work);
    let closed = Stack::of(&source, &[("Closed", "yes"), ("Kinds", "a")]);
    assert_eq!(closed.properties("Doa")["Reserved"], 0);
    assert!(closed.resources.contains_key("Only") && !closed.resources.contains_key("Dob"));
}

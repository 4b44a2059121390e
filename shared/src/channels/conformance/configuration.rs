//! Settings are read strictly, and documented as they are.

use super::*;
use crate::channels::settings::Form;

#[test]
fn settings_are_refused_by_the_name_of_the_field() {
    for case in all() {
        let read = |table| case.kind.settings(table).map(drop);
        let table = case.table(case.home);
        assert_eq!(read(table.clone()), Ok(()), "{}", case.name);

        let mut extra = table.clone();
        extra.insert("chanel".into(), "x".into());
        assert_eq!(read(extra).unwrap_err().field, "chanel", "{}", case.name);

        for field in case.kind.documentation() {
            let mut missing = table.clone();
            missing.remove(field.name);
            if field.required {
                let error = read(missing).unwrap_err();
                assert_eq!(error.field, field.name, "{}: {error}", case.name);
            }
            let mut wrong = table.clone();
            let value = match field.form {
                Form::Number | Form::Flag => toml::Value::from("many"),
                _ => toml::Value::from(5),
            };
            wrong.insert(field.name.into(), value);
            let error = read(wrong).unwrap_err();
            assert_eq!(error.field, field.name, "{}: {error}", case.name);
            if field.form == Form::Secret {
                let mut plain = table.clone();
                plain.insert(field.name.into(), "hunter2".into());
                let error = read(plain).unwrap_err();
                assert_eq!(error.field, field.name, "{}: {error}", case.name);
                assert!(!error.to_string().contains("hunter2"), "{error}");
            }
        }
    }
}

#[test]
fn the_documentation_lists_exactly_the_settings_there_are() {
    for kind in ChannelKind::ALL {
        let unknown = toml::Table::from_iter([("?".to_owned(), toml::Value::from(1))]);
        let problem = kind.settings(unknown).unwrap_err().problem;
        // "unknown field `?`, expected one of `url`, `token`"
        let known: Vec<_> = problem.split('`').skip(3).step_by(2).collect();
        let documented = kind.documentation().iter().map(|field| field.name);
        assert_eq!(known, documented.collect::<Vec<_>>(), "{kind}");
        let schema = kind.schema();
        assert_eq!(
            schema["properties"].as_object().unwrap().len(),
            known.len(),
            "{kind}"
        );
    }
}

#[test]
fn the_documented_example_is_in_order() {
    for kind in ChannelKind::ALL {
        let settings = kind.settings(kind.example().parse().unwrap());
        assert!(settings.is_ok(), "{kind}: {settings:?}");
    }
}

#[test]
fn a_kind_is_known_by_its_name() {
    let names: Vec<_> = ChannelKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names, ["slack", "twilio_sms", "sendgrid", "webhook"]);
    for kind in ChannelKind::ALL {
        let text = serde_json::to_string(kind).unwrap();
        assert_eq!(text, format!("\"{kind}\""));
        assert_eq!(serde_json::from_str::<ChannelKind>(&text).unwrap(), *kind);
    }
    let error = "slak".parse::<ChannelKind>().unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no channel \"slak\"; there are slack, twilio_sms, sendgrid, webhook"
    );
}

use proptest::prelude::*;

use super::harmless::LONGEST_SOURCE;
use super::*;
use crate::domain::alert::Ending;

fn channel(name: &str) -> ChannelName {
    name.parse().unwrap()
}

fn worded(message: &Message) -> Rendered {
    Templates::new().render(message, &channel("ops"))
}

fn with_available(available: i64) -> Message {
    let mut message = samples::low_stock();
    let after = message.after.as_mut().unwrap();
    (after.available, after.on_hand) = (available, available + after.reserved);
    message
}

fn problem(source: &str) -> String {
    Templates::check(source).unwrap_err().to_string()
}

#[test]
fn the_default_wording_is_kept_to_the_letter() {
    let low = worded(&with_available(2));
    assert_eq!(low.title, "Inventory alert for Oil 5W-40");
    assert_eq!(low.text, "Low stock: Oil 5W-40 – just 2 units left.");
    assert_eq!(low.fallback, None);
    let one = worded(&with_available(1));
    assert_eq!(one.text, "Low stock: Oil 5W-40 – just 1 unit left.");
    let none = worded(&with_available(0));
    assert_eq!(none.text, "Low stock: Oil 5W-40 – no units left.");
}

#[test]
fn the_number_is_the_one_that_the_rule_compares() {
    let stock = |on_hand, reserved, incoming, backordered| {
        Some(Stock {
            on_hand,
            reserved,
            available: on_hand - reserved,
            unavailable: 0,
            incoming,
            backordered,
        })
    };
    let (low, out, back) = (
        (AlertKind::LowStock, RevisionKind::Opened),
        (AlertKind::OutOfStock, RevisionKind::Opened),
        (AlertKind::LowStock, RevisionKind::Resolved),
    );
    for (basis, (kind, change), after, expected) in [
        (
            Basis::OnHand,
            low,
            stock(5, 5, 0, 0),
            "just 5 units on site, 5 reserved.",
        ),
        (
            Basis::OnHand,
            low,
            stock(1, 0, 9, 0),
            "just 1 unit on site.",
        ),
        (Basis::OnHand, low, stock(0, 0, 9, 0), "no units on site."),
        (
            Basis::OnHand,
            out,
            stock(0, 0, 0, 2),
            "none on site, 2 backordered.",
        ),
        (
            Basis::OnHand,
            back,
            stock(7, 7, 0, 0),
            "7 units on site, 7 reserved.",
        ),
        (
            Basis::Available,
            low,
            stock(5, 3, 4, 0),
            "just 2 units left.",
        ),
        (Basis::Available, out, stock(5, 5, 4, 0), "none left."),
        (
            Basis::Available,
            back,
            stock(8, 1, 4, 0),
            "7 units available.",
        ),
        (
            Basis::Projected,
            low,
            stock(5, 3, 3, 0),
            "just 5 units incl. 3 on the way.",
        ),
        (
            Basis::Projected,
            low,
            stock(2, 0, 3, 3),
            "just 2 units incl. 3 on the way, less 3 backordered.",
        ),
        (
            Basis::Projected,
            low,
            stock(2, 0, 0, 0),
            "just 2 units left, none on the way.",
        ),
        (
            Basis::Projected,
            out,
            stock(0, 0, 3, 3),
            "none incl. 3 on the way, less 3 backordered.",
        ),
        (
            Basis::Projected,
            back,
            stock(2, 0, 5, 0),
            "7 units incl. 5 on the way.",
        ),
    ] {
        let message = Message {
            basis: Some(basis),
            change,
            kind,
            after,
            ..samples::low_stock()
        };
        let words = worded(&message);
        assert_eq!(words.fallback, None);
        let (_, tail) = words.text.split_once(" – ").unwrap();
        assert_eq!(tail, expected, "{basis}: {}", words.text);
        let own = "{{ quantity }} {{ basis }}";
        let quantity = basis.of(&after.unwrap());
        let shown = render(&environment(), own, context(&message)).unwrap();
        assert_eq!(shown, format!("{quantity} {basis}"));
    }
}

/// Which of the rooftops, the first words say: a mail's subject, a phone's notification.
#[test]
fn with_several_places_the_default_wording_names_the_place() {
    let mut templates = Templates::new().naming_places(true);
    let said = |templates: &Templates, message: &Message| {
        let Rendered { title, text, .. } = templates.render(message, &channel("ops"));
        (title, text)
    };
    let title = "Inventory alert for Oil 5W-40 at Milano Nord";
    let mut message = samples::low_stock();
    let low = "Low stock: Oil 5W-40 at Milano Nord – just 2 units left.";
    assert_eq!(
        said(&templates, &message),
        (title.to_owned(), low.to_owned())
    );
    message.change = RevisionKind::Resolved;
    message.ending = Some(Ending::RuleRemoved);
    let (_, text) = said(&templates, &message);
    // How much is sold of it, and whether any is left, may be watched as before.
    let closed = "Alert closed: Oil 5W-40 at Milano Nord – no longer watched for low stock, \
                  because no rule applies to it any more.";
    assert_eq!(text, closed);
    // What is a template in a name is not one in the text.
    message = samples::low_stock();
    message.location = Some("{{ kind }}".to_owned());
    let (title, _) = said(&templates, &message);
    assert_eq!(title, "Inventory alert for Oil 5W-40 at {{ kind }}");
    // A source, a channel and a vehicle are at no place that could be another.
    for message in [
        samples::feed_stale(),
        samples::bare(AlertKind::Conflict, RevisionKind::Opened),
    ] {
        assert_eq!(
            said(&templates, &message),
            said(&Templates::new(), &message)
        );
    }
    let texts = TemplateTexts {
        text: Some("{{ product }}!".into()),
        ..TemplateTexts::default()
    };
    templates.set(AlertKind::LowStock, None, texts).unwrap();
    assert_eq!(said(&templates, &samples::low_stock()).1, "Oil 5W-40!");
}

#[test]
fn every_kind_and_revision_has_its_words() {
    let mut words = String::new();
    for kind in AlertKind::ALL {
        for change in RevisionKind::ALL {
            for message in [samples::full(*kind, *change), samples::bare(*kind, *change)] {
                let Rendered {
                    title,
                    text,
                    fallback,
                } = worded(&message);
                assert_eq!(fallback, None);
                assert!(
                    title.contains("Oil 5W-40") && text.contains("Oil 5W-40"),
                    "{title} / {text}"
                );
                words += &format!("{kind} {change}: {title} / {text}\n");
            }
        }
    }
    insta::assert_snapshot!(words);
}

/// Nothing came back, so nobody is told that something did; not even in the user's words for that.
#[test]
fn an_alert_that_nobody_watches_any_longer_does_not_sound_recovered() {
    let mut templates = Templates::new();
    let texts = TemplateTexts {
        resolved_text: Some("{{ product }} is back".into()),
        ..TemplateTexts::default()
    };
    templates.set(AlertKind::OutOfStock, None, texts).unwrap();
    let mut message = samples::full(AlertKind::OutOfStock, RevisionKind::Resolved);
    let words = templates.render(&message, &channel("ops"));
    assert_eq!(words.text, "Oil 5W-40 is back");
    let endings: Vec<String> = Ending::ALL
        .iter()
        .filter(|ending| !ending.is_recovery())
        .map(|ending| {
            message.ending = Some(*ending);
            templates.render(&message, &channel("ops")).text
        })
        .collect();
    assert!(!endings.is_empty());
    for text in endings {
        assert!(text.starts_with("Alert closed: Oil 5W-40 – "), "{text}");
        for word in ["back", "recovered", "available"] {
            assert!(!text.contains(word), "{text}");
        }
    }
}

#[test]
fn every_default_passes_the_check() {
    for kind in AlertKind::ALL {
        for change in RevisionKind::ALL {
            for part in [Part::Title, Part::Text] {
                let source = default_source(*kind, *change, part);
                assert_eq!(Templates::check(source), Ok(()), "{source}");
            }
        }
    }
}

#[test]
fn a_users_words_win_and_a_channels_own_win_over_those() {
    let texts = |text: &str| TemplateTexts {
        text: Some(text.into()),
        resolved_text: Some(format!("over: {text}")),
        ..TemplateTexts::default()
    };
    let mut templates = Templates::new();
    templates
        .set(
            AlertKind::LowStock,
            None,
            texts("{{ sku }}: {{ before_available }} to {{ available }}"),
        )
        .unwrap();
    templates
        .set(
            AlertKind::LowStock,
            Some(&channel("sms")),
            texts("{{ sku }} {{ location | upper }} {{ at }}"),
        )
        .unwrap();
    let low = samples::low_stock();
    assert_eq!(
        templates.render(&low, &channel("ops")).text,
        "OIL-5W40: 5 to 2"
    );
    assert_eq!(
        templates.render(&low, &channel("sms")).text,
        "OIL-5W40 MILANO NORD 2026-01-15 10:30 CET"
    );
    assert_eq!(
        templates.render(&low, &channel("sms")).title,
        "Inventory alert for Oil 5W-40"
    );
    let resolved = samples::full(AlertKind::LowStock, RevisionKind::Resolved);
    assert_eq!(
        templates.render(&resolved, &channel("ops")).text,
        "over: OIL-5W40: 5 to 2"
    );
    let demand = samples::full(AlertKind::HighDemand, RevisionKind::Opened);
    assert_eq!(templates.render(&demand, &channel("ops")), worded(&demand));
}

#[test]
fn a_mistake_is_named_with_its_line() {
    assert!(
        problem("{{ product }}\n{{ lokation }}")
            .starts_with("line 2: there is no variable \"lokation\"; there are alert, at,")
    );
    assert!(problem("{% if available > 9000 %}{{ lokation }}{% endif %}").contains("lokation"));
    assert!(
        problem("a\n{{ product ").starts_with("line 2: syntax error"),
        "{}",
        problem("a\n{{ product ")
    );
    assert!(problem("{{ product | shout }}").contains("shout"));
    assert!(
        problem("{{ days_of_supply + 1 }}").starts_with("line 1: "),
        "absent for some messages"
    );
    assert_eq!(
        Templates::check("{{ notes | join('; ') }} {{ notes | length }} *{{ product }}*"),
        Ok(())
    );
}

#[test]
fn nothing_can_run_long_or_grow() {
    assert_eq!(
        problem("a\nb {% for n in notes %}{% endfor %}"),
        "line 2: \"for\" is not available; the only statement is \"if\""
    );
    for source in [
        "{%- set x = 'a' -%}",
        "{% macro m() %}{% endmacro %}",
        "{% include 'x' %}",
        "{{ '}}' * 1000000 }}",
        "{{ \"\\\"}}\" * 1000000 }}",
        "{# {{ #}{{ 'a' * 1000000 }}",
        "{{ {'a': {}} and 'a' * 1000000 }}",
        "{{ notes | replace('a', 'aaaa') }}",
        "{{ range(1000000) }}",
    ] {
        assert!(Templates::check(source).is_err(), "{source}");
    }
    for source in [
        "{{ {'a': {}} and 2 * 3 }}",
        "{{ \"\\\"}}\" * 2 }}",
        "{{ '}}' * 2 }}",
    ] {
        let problem = harmless(source).unwrap_err().problem;
        assert!(problem.ends_with("is not available"), "{source}: {problem}");
    }
    assert!(problem(&"x".repeat(LONGEST_SOURCE + 1)).contains("at most 8192 bytes"));
    let wide = format!("{{{{ [{}] | join('x') }}}}", "product,".repeat(900));
    assert_eq!(Templates::check(&wide), Ok(()));
    let mut long = samples::low_stock();
    long.product = "x".repeat(2000);
    let result = render(&environment(), &wide, context(&long)).unwrap_err();
    assert!(
        result.problem.contains("longer than 65536 bytes"),
        "{result}"
    );
    let literal = "{{ product }}".repeat(500);
    let result = render(&environment(), &literal, context(&long)).unwrap_err();
    assert_eq!(result.line, 1, "{result}");
}

#[test]
fn a_template_that_fails_when_it_matters_gives_way_to_the_default() {
    let mut templates = Templates::new();
    let texts = TemplateTexts {
        text: Some("{{ product }}".repeat(500)),
        ..TemplateTexts::default()
    };
    templates.set(AlertKind::LowStock, None, texts).unwrap();
    let mut message = samples::low_stock();
    message.product = "x".repeat(2000);
    let rendered = templates.render(&message, &channel("ops"));
    assert!(rendered.text.ends_with("just 2 units left."));
    assert!(rendered.fallback.is_some());
}

/// One that another version has accepted, say.
#[test]
fn a_template_with_an_unknown_variable_gives_way_when_it_is_used() {
    let mut templates = Templates::new();
    let texts = TemplateTexts {
        text: Some("{{ product }} in {{ lokation }}".into()),
        ..TemplateTexts::default()
    };
    templates.set(AlertKind::LowStock, None, texts).unwrap();
    let rendered = templates.render(&with_available(2), &channel("ops"));
    assert_eq!(rendered.text, "Low stock: Oil 5W-40 – just 2 units left.");
    let fallback = rendered.fallback.unwrap().to_string();
    assert!(fallback.contains("undefined"), "{fallback}");
}

#[test]
fn a_template_that_comes_to_nothing_gives_way_too() {
    let mut templates = Templates::new();
    let texts = TemplateTexts {
        title: Some("{{ vin }}".into()),
        ..TemplateTexts::default()
    };
    templates.set(AlertKind::LowStock, None, texts).unwrap();
    let rendered = templates.render(&samples::low_stock(), &channel("ops"));
    assert_eq!(rendered.title, "Inventory alert for Oil 5W-40");
    assert_eq!(rendered.fallback.unwrap().problem, "the result is empty");
}

#[test]
fn a_name_is_text_and_never_a_template() {
    let mut message = samples::low_stock();
    message.product = "{{ alert }} <b>&\nSecond".into();
    let rendered = worded(&message);
    assert_eq!(
        rendered.title,
        "Inventory alert for {{ alert }} <b>& Second"
    );
    assert!(
        rendered
            .text
            .starts_with("Low stock: {{ alert }} <b>&\nSecond – just")
    );
}

proptest! {
    #[test]
    fn any_source_is_answered(source in "([ -~]|\\{\\{|\\}\\}|\\{%|%\\}|'|\n){0,60}") {
        if Templates::check(&source).is_ok() {
            let message = samples::low_stock();
            prop_assert!(render(&environment(), &source, context(&message)).is_ok());
        }
    }
}

/// What a webhook is sent of stock and of an alert, a template may name, too.
#[test]
fn every_field_of_a_message_has_a_variable() {
    let fields = |of: serde_json::Value| {
        let fields = of.as_object().unwrap().clone();
        fields.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    let has = |name: &str| VARIABLES.iter().any(|(variable, _)| *variable == name);
    let full = Stock {
        on_hand: 6,
        reserved: 1,
        available: 2,
        unavailable: 3,
        incoming: 12,
        backordered: 1,
    };
    for name in fields(serde_json::to_value(full).unwrap()) {
        assert!(has(&name), "{name}");
        let before = format!("before_{name}");
        assert!(has(&before), "{before}");
    }
    let message = Message {
        basis: Some(Basis::OnHand),
        correlation: "0199b6a1".parse().ok(),
        renamed_to: "NEW".parse().ok(),
        renamed_name: Some("Bentley Bentayga".to_owned()),
        digest: samples::digest().digest,
        ..samples::full(AlertKind::LowStock, RevisionKind::Resolved)
    };
    // Whose fields are variables of their own, or what only programs and the default words need.
    let others = [
        "after",
        "before",
        "correlation",
        "digest",
        "ending",
        "renamed_name",
        "renamed_to",
        "zone",
    ];
    let mut without = fields(serde_json::to_value(&message).unwrap());
    without.retain(|name| !has(name));
    without.sort();
    assert_eq!(without, others);
}

#[test]
fn every_variable_is_described_and_no_other() {
    let sample = samples::full(AlertKind::LowStock, RevisionKind::Opened);
    let known: Vec<_> = context(&sample).into_keys().collect();
    let described: Vec<_> = VARIABLES.iter().map(|(name, _)| *name).collect();
    assert_eq!(described, known);
}

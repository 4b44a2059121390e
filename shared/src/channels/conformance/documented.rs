//! What a webhook is sent, as `docs/webhooks.md` has it: each field, and an example of each kind of alert.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::config::environment;
use crate::domain::alert::{Ending, Severity, Subject};
use crate::domain::message::Stock;

/// Each field with what it holds and what it means. What is not known is left out.
const FIELDS: &[(&str, &str, &str)] = &[
    (
        "type",
        "text",
        "`stock.<kind>.<change>`, as `stock.low_stock.opened`",
    ),
    ("timestamp", "time", "When it was so, as `data.at`"),
    (
        "data.alert",
        "text",
        "The alert's id, the same in all its revisions",
    ),
    (
        "data.revision",
        "number",
        "Counts the alert's revisions from 1; they come in this order, some may be for others only",
    ),
    (
        "data.correlation",
        "text",
        "What it goes back to: the webhook, run or call; also in the header `x-correlation-id`",
    ),
    (
        "data.change",
        "text",
        "`opened`, `updated` (it goes on, or fell further), `escalated` (it is graver now), `resolved` (it is over)",
    ),
    (
        "data.ending",
        "text",
        "Why it is over, in a `resolved` revision only: `recovered`, or why nobody watches it any longer, as `rule_removed`",
    ),
    (
        "data.renamed_to",
        "text",
        "The SKU under which the product goes on, or the model line that its vehicles are counted as now, with the ending `renamed`",
    ),
    (
        "data.renamed_name",
        "text",
        "How people call that model line; not for a SKU",
    ),
    ("data.kind", "text", "The kind of alert"),
    ("data.severity", "text", "`info`, `warning` or `critical`"),
    (
        "data.subject.on",
        "text",
        "What it is about: `position`, `group`, `unit`, `connector`, `channel` or `quarantine`",
    ),
    (
        "data.subject.product",
        "text",
        "The SKU, or `line:<make>/<model>`, of a position or a sum over a group",
    ),
    (
        "data.subject.location",
        "text",
        "The location's short name, of a position",
    ),
    (
        "data.subject.group",
        "text",
        "The group of locations that is summed",
    ),
    ("data.subject.vin", "text", "The vehicle"),
    (
        "data.subject.connector",
        "text",
        "The source, of alerts on a feed or its quarantine",
    ),
    (
        "data.subject.reason",
        "text",
        "Why things wait in quarantine",
    ),
    (
        "data.subject.channel",
        "text",
        "The channel that does not carry what it is sent",
    ),
    ("data.at", "time", "When it was so"),
    (
        "data.product",
        "text",
        "The product's name for people, or what stands in its place: a vehicle, a source, a channel",
    ),
    ("data.location", "text", "The location's name for people"),
    (
        "data.zone",
        "text",
        "The IANA zone of the people concerned; the times here are UTC all the same",
    ),
    (
        "data.before",
        "stock",
        "The quantities before the change, all in units; not at the first sight of a product",
    ),
    ("data.after", "stock", "The quantities after it"),
    ("data.….on_hand", "units", "Physically there"),
    ("data.….reserved", "units", "Promised"),
    (
        "data.….available",
        "units",
        "On hand less reserved and unavailable",
    ),
    (
        "data.….unavailable",
        "units",
        "There, and not for sale; left out if none is",
    ),
    ("data.….incoming", "units", "On the way"),
    (
        "data.….backordered",
        "units",
        "Promised beyond what is there",
    ),
    (
        "data.threshold",
        "units",
        "What was crossed: units of stock, or of `high_demand` units sold",
    ),
    (
        "data.basis",
        "text",
        "Which quantity is compared with the threshold: `on_hand`, `available` or `projected`",
    ),
    ("data.rule", "text", "The rule's name"),
    (
        "data.days_of_supply",
        "days",
        "How long what is available lasts at the rate of sale of the last 30 days, or of as many as the item has been known for; not where nothing was sold",
    ),
    (
        "data.sold",
        "units",
        "Sold in the rule's window, of `high_demand`",
    ),
    (
        "data.notes",
        "list of texts",
        "What else matters, a sentence each",
    ),
    (
        "data.notes_left_out",
        "number",
        "How many notes a body of 20 KB had no room for",
    ),
    (
        "data.link",
        "text",
        "A page about it, where `link_base` is set",
    ),
    (
        "data.title",
        "text",
        "The title as people read it, by the templates",
    ),
    (
        "data.text",
        "text",
        "The text as people read it, by the templates",
    ),
];

const SETTINGS: &str = "url = 'https://customer.example.net/hook'\nsecret = 'env:NEW_SECRET'";
const PAGE: &str = "docs/webhooks.md";

/// What the webhook really sends of a message, with the words of the default templates.
fn body_of(message: &Message) -> Value {
    let channel = super::channel(ChannelKind::Webhook, SETTINGS);
    let name: ChannelName = "system".parse().unwrap();
    let words = worded(&Templates::new(), message, &name, channel.limits());
    let envelope = Envelope {
        message: &words.message,
        title: &words.title,
        text: &words.text,
        ..super::envelope(message)
    };
    sent(&*channel, &envelope, &[])
}

/// A message as the evaluator makes it of this kind.
fn example(kind: AlertKind) -> Message {
    use AlertKind as K;
    let full = samples::full(kind, RevisionKind::Opened);
    let bare = |product: &str, note: &str| Message {
        product: product.to_owned(),
        notes: vec![note.to_owned()],
        link: Some("https://stock.example.com/api/v1/a/0199b6a1?k=…".to_owned()),
        ..samples::bare(kind, RevisionKind::Opened)
    };
    let grave = |product: &str, note: &str| Message {
        severity: Severity::Critical,
        ..bare(product, note)
    };
    let left = |available| {
        Some(Stock {
            on_hand: available + 1,
            reserved: 1,
            available,
            incoming: 12,
            ..Stock::default()
        })
    };
    let stock = Message {
        notes: Vec::new(),
        why: None,
        sold: None,
        link: Some("https://stock.example.com/api/v1/a/0199b6a1?k=…".to_owned()),
        ..full
    };
    match kind {
        K::LowStock => stock,
        K::OutOfStock => Message {
            severity: Severity::Critical,
            after: left(0),
            threshold: Some(0),
            days_of_supply: Some(0),
            ..stock
        },
        K::BackInStock => Message {
            before: left(0),
            after: left(7),
            threshold: Some(0),
            ..stock
        },
        K::HighDemand => Message {
            sold: Some(5),
            ..stock
        },
        K::FeedStale => grave(
            "dms",
            "It was last read successfully at 2026-01-15 03:15 UTC.",
        ),
        K::FeedSuspect => grave("dms", "The file has 12 rows; the one before had 240."),
        K::FeedFlawed => bare("dms", "Row 7: the quantity \"9 pcs\" is no number."),
        K::Conflict => bare("Bentley Continental GT", "dms has it at milano, too."),
        K::ChannelDown => grave("ops", "It refuses what is sent: HTTP 410."),
        K::Quarantine => bare("shopify", "3 wait: no location is named \"Depot 7\"."),
    }
}

/// The section of the page, as it should be.
fn section() -> String {
    let mut page = "| field | holds | meaning |\n|---|---|---|\n".to_owned();
    for (field, holds, meaning) in FIELDS {
        page.push_str(&format!("| `{field}` | {holds} | {meaning} |\n"));
    }
    page.push_str("\nAn example of each kind, as it opens; then one that is over:\n\n");
    let mut show = |message: &Message| {
        let body = serde_json::to_string_pretty(&body_of(message)).unwrap();
        page.push_str(&format!("```json\n{body}\n```\n\n"));
    };
    for kind in AlertKind::ALL {
        show(&example(*kind));
    }
    show(&Message {
        revision: 2,
        change: RevisionKind::Resolved,
        ending: Some(Ending::Recovered),
        ..example(AlertKind::LowStock)
    });
    page
}

#[test]
fn the_page_says_what_a_webhook_is_sent() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(PAGE);
    let page = std::fs::read_to_string(&path).unwrap();
    let begin = "<!-- written by the test `the_page_says_what_a_webhook_is_sent`; UPDATE_DOCS=1 renews it -->\n\n";
    let (before, rest) = page.split_once(begin).unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    let expected = format!("{before}{begin}{}<!-- end -->{after}", section());
    if environment::process("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
        return;
    }
    assert!(
        page == expected,
        "{PAGE} is out of date; run the tests once with UPDATE_DOCS=1"
    );
}

/// The path of each value in a body; the quantities of both stocks are described once.
fn paths(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    let Some(object) = value.as_object() else {
        into.insert(path.to_owned());
        return;
    };
    if path == "data.before" || path == "data.after" {
        into.insert(path.to_owned());
        for name in object.keys() {
            into.insert(format!("data.….{name}"));
        }
        return;
    }
    for (name, inner) in object {
        let path = match path {
            "" => name.clone(),
            path => format!("{path}.{name}"),
        };
        paths(inner, &path, into);
    }
}

#[test]
fn every_field_that_is_sent_is_described_and_no_other() {
    let mut found = BTreeSet::new();
    for kind in AlertKind::ALL {
        for change in RevisionKind::ALL {
            paths(&body_of(&samples::full(*kind, *change)), "", &mut found);
        }
    }
    let mut message = samples::low_stock();
    message.subject = Subject::Group {
        product: "OIL-5W40".parse().unwrap(),
        group: "italy".parse().unwrap(),
    };
    message.renamed_to = Some("OIL-5W40-NEW".parse().unwrap());
    message.renamed_name = Some("Bentley Bentayga".to_owned());
    message.correlation = "0199b6a1".parse().ok();
    message.after.as_mut().unwrap().unavailable = 1;
    paths(&body_of(&message), "", &mut found);
    message.notes = vec!["n".repeat(100); 300];
    paths(&body_of(&message), "", &mut found);
    let described: BTreeSet<_> = FIELDS
        .iter()
        .map(|(field, ..)| (*field).to_owned())
        .collect();
    assert_eq!(found, described);
}

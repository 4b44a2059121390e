//! The message contract as labelled values, most important first.
//!
//! A channel that shows a table takes them all; one with little room takes what fits, from the top.

use crate::domain::Subject;
use crate::domain::alert::RevisionKind;
use crate::domain::message::{Digest, Message, Stock};
use crate::domain::rule::Basis;

/// One labelled value of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is, for people.
    pub label: &'static str,
    /// Its value, for people.
    pub value: String,
}

/// What a message says besides its text; only what is known, never a made-up zero. Which rule applies,
/// and where it is written, is for whoever asks to have an alert explained.
pub fn facts(message: &Message) -> Vec<Fact> {
    if let Some(digest) = &message.digest {
        return digest_facts(message, digest);
    }
    let quantity = |label, of: fn(&Stock) -> i64| {
        let before = message.before.as_ref().map(of);
        let after = message.after.as_ref().map(of);
        after.map(|after| (label, change(before, after)))
    };
    let backordered = message
        .after
        .is_some_and(|stock| stock.backordered > 0)
        .then(|| quantity("Backordered", |stock| stock.backordered))
        .flatten();
    // Also where there is none any more: it explains why more is available.
    let unavailable = [message.before, message.after]
        .into_iter()
        .flatten()
        .any(|stock| stock.unavailable > 0)
        .then(|| quantity("Not for sale", |stock| stock.unavailable))
        .flatten();
    let number = |label, value: Option<i64>| value.map(|value| (label, value.to_string()));
    // Something is left: it lasts for a part of a day.
    let is_left = message.after.is_some_and(|stock| stock.available > 0);
    let supply = message.days_of_supply.map(|days| match days {
        0 if is_left => "less than 1".to_owned(),
        days => days.to_string(),
    });
    let since = match message.change {
        RevisionKind::Opened => "Since",
        // An alert is older than what a later word of it says.
        _ => "As of",
    };
    let available = quantity("Available", |stock| stock.available);
    let on_hand = quantity("On hand", |stock| stock.on_hand);
    let (judged, others) = match message.basis.unwrap_or(Basis::Available) {
        Basis::Available => (available, [on_hand, None]),
        Basis::OnHand => (on_hand, [available, None]),
        Basis::Projected => (
            quantity("Projected", Stock::projected),
            [available, on_hand],
        ),
    };
    let [second, third] = others;
    [
        message.location.clone().map(|place| ("Location", place)),
        judged,
        number("Threshold", message.threshold),
        second,
        third,
        quantity("Reserved", |stock| stock.reserved),
        unavailable,
        quantity("Incoming", |stock| stock.incoming),
        backordered,
        supply.map(|supply| ("Days of supply", supply)),
        number("Sold", message.sold),
        identity(&message.subject),
        Some((since, local_time(message))),
    ]
    .into_iter()
    .flatten()
    .map(|(label, value)| Fact { label, value })
    .collect()
}

fn digest_facts(message: &Message, digest: &Digest) -> Vec<Fact> {
    let place = message.location.clone().map(|place| ("Location", place));
    let counts = match digest.reminder {
        true => vec![("Still open", digest.open)],
        false => vec![("New or changed", digest.open), ("Over", digest.resolved)],
    };
    let counts = counts.into_iter();
    let counts = counts.map(|(label, count)| (label, count.to_string()));
    let facts = place.into_iter().chain(counts);
    let facts = facts.chain([("As of", local_time(message))]);
    facts.map(|(label, value)| Fact { label, value }).collect()
}

/// When the condition was met, in the zone of the people concerned (UTC if the zone is unknown).
pub fn local_time(message: &Message) -> String {
    message.local(message.at)
}

fn change(before: Option<i64>, after: i64) -> String {
    match before {
        Some(before) if before != after => format!("{before} → {after}"),
        _ => after.to_string(),
    }
}

fn identity(subject: &Subject) -> Option<(&'static str, String)> {
    Some(match subject {
        Subject::Position { product, .. } | Subject::Group { product, .. } => {
            match product.line() {
                None => ("SKU", product.to_string()),
                Some((make, model)) => ("Model line", format!("{make} {model}")),
            }
        }
        Subject::Unit { vin } => ("VIN", vin.clone()),
        Subject::Connector { connector } | Subject::Quarantine { connector, .. } => {
            ("Source", connector.to_string())
        }
        Subject::Channel { channel } => ("Channel", channel.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    fn lines(message: &Message) -> Vec<String> {
        facts(message)
            .into_iter()
            .map(|fact| format!("{}: {}", fact.label, fact.value))
            .collect()
    }

    #[test]
    fn a_low_stock_message_says_it_all() {
        assert_eq!(
            lines(&samples::low_stock()),
            [
                "Location: Milano Nord",
                "Available: 5 → 2",
                "Threshold: 3",
                "On hand: 6 → 3",
                "Reserved: 1",
                "Incoming: 12",
                "Days of supply: 4",
                "SKU: OIL-5W40",
                "Since: 2026-01-15 10:30 CET",
            ]
        );
        let supply = |left: Stock| {
            let message = Message {
                after: Some(left),
                days_of_supply: Some(0),
                ..samples::low_stock()
            };
            let of_supply = |line: &String| line.starts_with("Days of supply: ");
            lines(&message).into_iter().find(of_supply).unwrap()
        };
        let some = samples::low_stock().after.unwrap();
        assert_eq!(supply(some), "Days of supply: less than 1");
        assert_eq!(supply(Stock::default()), "Days of supply: 0");
    }

    #[test]
    fn what_the_rule_compares_stands_beside_its_threshold() {
        let first = |basis| {
            let message = Message {
                basis: Some(basis),
                ..samples::low_stock()
            };
            lines(&message)[1..4].to_vec()
        };
        assert_eq!(
            first(Basis::OnHand),
            ["On hand: 6 → 3", "Threshold: 3", "Available: 5 → 2"]
        );
        assert_eq!(
            first(Basis::Projected),
            ["Projected: 17 → 14", "Threshold: 3", "Available: 5 → 2"]
        );
    }

    #[test]
    fn what_is_there_and_not_for_sale_explains_what_is_available() {
        let stock = |unavailable| {
            let available = 40 - unavailable;
            let stock = samples::low_stock().after?;
            Some(Stock {
                on_hand: 40,
                reserved: 0,
                available,
                unavailable,
                ..stock
            })
        };
        let told = |before, after| {
            let message = Message {
                before: stock(before),
                after: stock(after),
                ..samples::low_stock()
            };
            let mut lines = lines(&message);
            lines.retain(|line| line.starts_with("Not for sale"));
            lines
        };
        assert_eq!(told(0, 38), ["Not for sale: 0 → 38"]);
        assert_eq!(told(38, 0), ["Not for sale: 38 → 0"]);
        assert!(told(0, 0).is_empty());
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        assert_eq!(
            lines(&samples::feed_stale()),
            ["Source: dms", "Since: 2026-01-15 09:30 UTC"]
        );
    }
}

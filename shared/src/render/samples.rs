//! Messages to try a template on before it is needed, and to write tests with.

use jiff::Timestamp;

use crate::domain::Subject;
use crate::domain::alert::{AlertKind, Ending, RevisionKind, Severity};
#[cfg(test)]
use crate::domain::message::Digest;
use crate::domain::message::{Message, Stock};

/// A message of this kind that says everything a message can say.
pub(crate) fn full(kind: AlertKind, change: RevisionKind) -> Message {
    Message {
        alert: "0199b6a1".into(),
        revision: 1,
        correlation: None,
        change,
        ending: (change == RevisionKind::Resolved).then_some(Ending::Recovered),
        renamed_to: None,
        renamed_name: None,
        kind,
        severity: Severity::Warning,
        subject: subject(kind),
        at: Timestamp::from_second(1_768_469_400).unwrap_or_default(),
        product: "Oil 5W-40".into(),
        location: Some("Milano Nord".into()),
        zone: "Europe/Rome".into(),
        before: Some(Stock {
            on_hand: 6,
            reserved: 1,
            available: 5,
            incoming: 12,
            unavailable: 0,
            backordered: 0,
        }),
        after: Some(Stock {
            on_hand: 3,
            reserved: 1,
            available: 2,
            incoming: 12,
            unavailable: 0,
            backordered: 0,
        }),
        threshold: Some(3),
        basis: None,
        rule: Some("oil".into()),
        why: (kind != AlertKind::FeedStale)
            .then(|| "category oil at milano: 3 or fewer available".into()),
        days_of_supply: Some(4),
        sold: Some(5),
        notes: vec!["two suppliers are late".into()],
        link: Some("https://stock.example.com/p/OIL-5W40?at=milano".into()),
        digest: None,
    }
}

/// Five alerts in one message, two of them named.
#[cfg(test)]
pub(crate) fn digest() -> Message {
    Message {
        alert: "g-00112233445566778899aabbccddeeff-3".into(),
        product: "5 alerts".into(),
        digest: Some(Digest {
            total: 5,
            open: 4,
            resolved: 1,
            reminder: false,
            overtaken: Vec::new(),
            alerts: vec![
                full(AlertKind::LowStock, RevisionKind::Opened),
                full(AlertKind::BackInStock, RevisionKind::Opened),
            ],
        }),
        ..bare(AlertKind::LowStock, RevisionKind::Opened)
    }
}

/// A message of this kind that says as little as one may.
pub(crate) fn bare(kind: AlertKind, change: RevisionKind) -> Message {
    Message {
        location: None,
        zone: "UTC".into(),
        before: None,
        after: None,
        threshold: None,
        basis: None,
        rule: None,
        why: None,
        days_of_supply: None,
        sold: None,
        notes: Vec::new(),
        link: None,
        ..full(kind, change)
    }
}

fn subject(kind: AlertKind) -> Subject {
    // The literals below are well-formed identifiers, which the tests of this file prove.
    let parsed = match kind {
        AlertKind::FeedStale | AlertKind::FeedSuspect | AlertKind::FeedFlawed => "dms"
            .parse()
            .ok()
            .map(|connector| Subject::Connector { connector }),
        AlertKind::ChannelDown => "ops"
            .parse()
            .ok()
            .map(|channel| Subject::Channel { channel }),
        AlertKind::Conflict => None,
        AlertKind::Quarantine => "shopify".parse().ok().map(|connector| Subject::Quarantine {
            connector,
            reason: "unknown_location".into(),
        }),
        _ => "OIL-5W40"
            .parse()
            .ok()
            .zip("milano".parse().ok())
            .map(|(product, location)| Subject::Position { product, location }),
    };
    parsed.unwrap_or_else(|| Subject::Unit {
        vin: "SCBCA63W8JC066789".into(),
    })
}

#[cfg(test)]
pub(crate) fn low_stock() -> Message {
    Message {
        sold: None,
        notes: Vec::new(),
        ..full(AlertKind::LowStock, RevisionKind::Opened)
    }
}

#[cfg(test)]
pub(crate) fn feed_stale() -> Message {
    Message {
        product: "DMS".into(),
        ..bare(AlertKind::FeedStale, RevisionKind::Opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_subject() {
        let on = |kind| full(kind, RevisionKind::Opened).subject.to_string();
        assert_eq!(on(AlertKind::LowStock), "OIL-5W40 at milano");
        assert_eq!(on(AlertKind::FeedSuspect), "dms");
        assert_eq!(on(AlertKind::Conflict), "SCBCA63W8JC066789");
    }
}

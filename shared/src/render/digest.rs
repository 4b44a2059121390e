//! Several alerts in one message: their number first, then as many of them as are named.

use super::fit::{Measure, fit};
use super::templates::{Rendered, Templates};
use crate::domain::ChannelName;
use crate::domain::message::{Digest, Message};

/// The most characters of one alert's line.
const LINE: usize = 240;

/// A group's message in words. Each alert speaks as it would on its own, in a line.
pub(super) fn render(
    templates: &Templates,
    message: &Message,
    digest: &Digest,
    channel: Option<&ChannelName>,
) -> Rendered {
    let total = digest.total;
    let alerts = counted(total, "alert");
    let place = message.location.as_ref();
    let place = place
        .map(|place| format!(" at {place}"))
        .unwrap_or_default();
    let (title, lead) = if digest.reminder {
        // Others may be open there, which another route tells, or each by itself.
        let title = format!("{alerts} still open of those told together{place}");
        (title.clone(), format!("{title}:"))
    } else {
        let counts = [(digest.open, "new or changed"), (digest.resolved, "over")];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let counts = format!("{place}: {}", counts.join(", "));
        let title = format!("{}{counts}", counted(total, "inventory alert"));
        (title, format!("{alerts}{counts}."))
    };
    let mut lines = vec![lead];
    let mut fallback = None;
    for alert in &digest.alerts {
        let words = templates.sentence(alert, channel, (false, true));
        fallback = words.fallback.or(fallback);
        let mut line = words.text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let (None, Some(place)) = (&message.location, &alert.location) {
            line.push_str(&format!(" ({place})"));
        }
        // What is beside the text of an alert on its own: that it flaps, that it has fallen further.
        for note in &alert.notes {
            line.push_str(&format!(" {note}"));
        }
        lines.push(format!("• {}", fit(&line, Measure::Characters(LINE))));
    }
    let named = u32::try_from(digest.alerts.len()).unwrap_or(u32::MAX);
    if let more @ 1.. = total.saturating_sub(named) {
        lines.push(format!("… and {more} more"));
    }
    Rendered {
        title,
        text: lines.join("\n"),
        fallback,
    }
}

fn counted(count: u32, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::alert::{AlertKind, RevisionKind};
    use crate::render::samples;

    fn render(message: &Message) -> Rendered {
        Templates::new().render(message, &"ops".parse().unwrap())
    }

    #[test]
    fn the_count_comes_first_and_what_is_not_named_is_counted() {
        let words = render(&samples::digest());
        assert_eq!(words.title, "5 inventory alerts: 4 new or changed, 1 over");
        assert_eq!(
            words.text,
            "5 alerts: 4 new or changed, 1 over.\n\
             • Low stock: Oil 5W-40 (OIL-5W40) – just 2 units left. (Milano Nord) two suppliers are late\n\
             • Back in stock: Oil 5W-40 (OIL-5W40) – 2 units available. (Milano Nord) two suppliers are late\n\
             … and 3 more"
        );
        assert_eq!(words.fallback, None);
    }

    #[test]
    fn that_an_alert_flaps_is_said_among_others_too() {
        let mut message = samples::digest();
        let digest = message.digest.as_mut().unwrap();
        digest.alerts[0].notes = vec!["It goes up and down.".to_owned()];
        let words = render(&message);
        let line = "• Low stock: Oil 5W-40 (OIL-5W40) – just 2 units left. (Milano Nord) It goes up and down.";
        assert!(words.text.contains(line), "{}", words.text);
    }

    #[test]
    fn a_common_place_is_said_once() {
        let mut message = samples::digest();
        message.location = Some("Milano Nord".into());
        let digest = message.digest.as_mut().unwrap();
        digest.alerts = vec![samples::full(AlertKind::LowStock, RevisionKind::Opened)];
        (digest.total, digest.open, digest.resolved) = (1, 1, 0);
        digest.reminder = true;
        let words = render(&message);
        assert_eq!(
            words.title,
            "1 alert still open of those told together at Milano Nord"
        );
        assert_eq!(
            words.text,
            "1 alert still open of those told together at Milano Nord:\n• Low stock: Oil 5W-40 (OIL-5W40) – just 2 units left. two suppliers are late"
        );
    }

    #[test]
    fn the_end_of_one_alert_is_not_told_beside_another_of_the_same_item() {
        let named = vec![
            samples::full(AlertKind::OutOfStock, RevisionKind::Opened),
            samples::full(AlertKind::LowStock, RevisionKind::Resolved),
        ];
        let digest = Digest::of(3, 1, false, named);
        // Words and data count the same, and a system hears of the end.
        let counts = (digest.total, digest.open, digest.resolved);
        assert_eq!(counts, (2, 2, 0));
        assert_eq!(digest.overtaken[0].kind, AlertKind::LowStock);
        let mut message = samples::digest();
        message.digest = Some(digest);
        let words = render(&message);
        assert_eq!(
            words.text,
            "2 alerts: 2 new or changed.\n\
             • Out of stock: Oil 5W-40 (OIL-5W40) – none left. (Milano Nord) two suppliers are late\n\
             … and 1 more"
        );
    }
}

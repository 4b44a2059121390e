//! What everybody is told until they write their own words.

use super::Part;
use crate::domain::alert::{AlertKind, RevisionKind};

/// What is said after a number of units: of which quantity it is. `$available` is said of what is available.
macro_rules! units_are {
    ($available:literal) => {
        concat!(
            "{% if basis == 'on_hand' %} on site{% if reserved %}, {{ reserved }} reserved{% endif %}\
             {% elif basis == 'projected' %}{% if incoming %} incl. {{ incoming }} on the way\
             {% else %} left, none on the way{% endif %}\
             {% if backordered %}, less {{ backordered }} backordered{% endif %}\
             {% else %}",
            $available,
            "{% endif %}"
        )
    };
}

/// How much there is again, if that is known.
macro_rules! there_is {
    ($what:literal) => {
        concat!(
            $what,
            "{% if quantity is not none %} – {{ quantity }} {% if quantity == 1 %}unit{% else %}units{% endif %}",
            units_are!(" available"),
            "{% endif %}."
        )
    };
}

/// The wording that everybody has until they change it.
pub(super) const fn default_source(
    kind: AlertKind,
    change: RevisionKind,
    part: Part,
) -> &'static str {
    use AlertKind as K;
    match (part, change) {
        // The same for all revisions, so that a mail program keeps them together.
        (Part::Title, _) => match kind {
            K::FeedStale | K::FeedSuspect | K::FeedFlawed | K::Quarantine => {
                "Source alert for {{ product }}"
            }
            K::ChannelDown => "Channel alert for {{ product }}",
            _ => "Inventory alert for {{ product }}",
        },
        (Part::Text, RevisionKind::Resolved) => match kind {
            K::LowStock => there_is!("Stock recovered: {{ product }}"),
            K::OutOfStock => there_is!("No longer out of stock: {{ product }}"),
            K::BackInStock => "Back in stock: {{ product }} – closed.",
            K::HighDemand => "Demand back to normal: {{ product }}.",
            K::FeedStale => "Feed fresh again: {{ product }}.",
            K::FeedSuspect => "Feed accepted again: {{ product }}.",
            K::FeedFlawed => "Files without faults again: {{ product }}.",
            K::Conflict => "Conflict settled: {{ product }} has one owner.",
            K::ChannelDown => "Messages arrive again: {{ product }}.",
            K::Quarantine => "Nothing of {{ product }} waits in quarantine any more.",
        },
        (Part::Text, _) => match kind {
            K::LowStock => concat!(
                "Low stock: {{ product }}{% if quantity is not none %} – ",
                "{% if quantity <= 0 %}no units{% elif quantity == 1 %}just 1 unit\
                 {% else %}just {{ quantity }} units{% endif %}",
                units_are!(" left"),
                "{% endif %}."
            ),
            K::OutOfStock => concat!(
                "Out of stock: {{ product }} – none",
                units_are!(" left"),
                "{% if backordered and basis != 'projected' %}, {{ backordered }} backordered{% endif %}."
            ),
            K::BackInStock => there_is!("Back in stock: {{ product }}"),
            K::HighDemand => {
                "High demand: {{ product }}{% if sold is not none %} – {{ sold }} sold{% endif %}{% if available is not none %}, {% if available <= 0 %}none{% else %}{{ available }}{% endif %} left{% endif %}."
            }
            K::FeedStale => {
                "Feed stale: {{ product }} – {{ why or 'nothing new for too long' }}, so its stock figures may be out of date."
            }
            K::FeedSuspect => {
                "Feed held back: {{ product }} – not all of what it sent can be believed."
            }
            K::FeedFlawed => "Faults in a file: {{ product }} – not all of it could be used.",
            K::Conflict => "Conflict: {{ product }} is claimed by two owners.",
            K::ChannelDown => "Messages do not arrive: {{ product }}.",
            K::Quarantine => {
                "In quarantine: {{ product }} – what it sent could not be applied and waits for you."
            }
        },
    }
}

//! What everybody is told until they write their own words.

use super::Part;
use crate::domain::alert::{AlertKind, RevisionKind};

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
            K::LowStock => {
                "Stock recovered: {{ product }}{% if available is not none %} – {{ available }} {% if available == 1 %}unit{% else %}units{% endif %} available{% endif %}."
            }
            K::OutOfStock => {
                "No longer out of stock: {{ product }}{% if available is not none %} – {{ available }} {% if available == 1 %}unit{% else %}units{% endif %} available{% endif %}."
            }
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
            K::LowStock => {
                "{% if available is none %}Low stock: {{ product }}.{% elif available <= 0 %}Low stock: {{ product }} – no units left.{% elif available == 1 %}Low stock: {{ product }} – just 1 unit left.{% else %}Low stock: {{ product }} – just {{ available }} units left.{% endif %}"
            }
            K::OutOfStock => {
                "Out of stock: {{ product }} – none left{% if backordered %}, {{ backordered }} backordered{% endif %}."
            }
            K::BackInStock => {
                "Back in stock: {{ product }}{% if available is not none %} – {{ available }} {% if available == 1 %}unit{% else %}units{% endif %} available{% endif %}."
            }
            K::HighDemand => {
                "High demand: {{ product }}{% if sold is not none %} – {{ sold }} sold{% endif %}{% if available is not none %}, {% if available <= 0 %}none{% else %}{{ available }}{% endif %} left{% endif %}."
            }
            K::FeedStale => {
                "Feed stale: {{ product }} – nothing new for too long, so its stock figures may be out of date."
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

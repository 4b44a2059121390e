//! The message contract: what every alert revision says, whichever channel carries it.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::alert::{AlertKind, Ending, RevisionKind, Severity, Subject};
use super::id::Correlation;
use super::product::ProductId;
use super::rule::Basis;

/// One alert revision, with everything a reader needs to act on it.
///
/// Written together with the alert, so that what is sent later is what was true at the crossing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The alert's id; with `revision` and the channel's name it is the idempotency key.
    pub alert: String,
    /// Counts the alert's revisions from 1.
    pub revision: u32,
    /// What it goes back to: the webhook, run or API call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<Correlation>,
    /// What this revision says about the alert.
    pub change: RevisionKind,
    /// Why it is over; set on every revision that ends an alert, and on no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// The SKU under which the product goes on, where it has another by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_to: Option<ProductId>,
    /// How people call the model line that its vehicles are counted as now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_name: Option<String>,
    /// What the alert is about.
    pub kind: AlertKind,
    /// How much it matters.
    pub severity: Severity,
    /// What it is attached to.
    pub subject: Subject,
    /// When the condition was met, UTC.
    pub at: Timestamp,
    /// The product's name for people, or what stands in its place (a connector, a VIN).
    pub product: String,
    /// The location's name for people, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The IANA zone in which times are shown.
    pub zone: String,
    /// Stock before the change; absent on the first sight of a product and for other subjects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Stock>,
    /// Stock after the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Stock>,
    /// The threshold that was crossed (units of stock, or units sold).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<i64>,
    /// Which quantity was compared with the threshold, where that is one of stock and not what is available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// The rule's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Why this rule and this number, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Days the available stock lasts at the recent rate of sale, of 30 days at most; absent when nothing was
    /// sold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_of_supply: Option<i64>,
    /// Units sold in the rule's window, for demand alerts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sold: Option<i64>,
    /// What else matters, a sentence each: the evidence against a feed, the other owner of a VIN.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Where to look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Several alerts in one message: what the group has to say, instead of all the above but its
    /// alert's and revision's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// How a note begins on what people do not know yet of what they were told of.
pub const NOW_ALSO: &str = "Now also: ";
/// How notes begin on what is otherwise than people were told.
pub const HAS_CHANGED: &str = "It has changed: ";

/// A sentence that begins as sentences do.
pub fn capitalised(sentence: &str) -> String {
    let mut characters = sentence.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).collect()
}

impl Message {
    /// Says that its alert begins, to who has heard nothing of it.
    pub fn begins(&mut self) {
        self.change = RevisionKind::Opened;
        for note in &mut self.notes {
            let news = [NOW_ALSO, HAS_CHANGED].iter();
            if let Some(said) = news.filter_map(|it| note.strip_prefix(it)).next() {
                *note = capitalised(said);
            }
        }
    }

    /// What it says of each alert: itself, or those that a group's message names.
    pub fn named(&self) -> &[Self] {
        match &self.digest {
            Some(digest) => &digest.alerts,
            None => std::slice::from_ref(self),
        }
    }

    /// Whether it is an end that is told also where nobody has heard of the beginning: that a channel works
    /// again, with what it has refused.
    pub fn is_news_by_itself(&self) -> bool {
        self.kind == AlertKind::ChannelDown
            && self.change == RevisionKind::Resolved
            && !self.notes.is_empty()
    }

    /// Whether it ends with all that is watched of its item, and says the same as the others' ends.
    pub fn closes_item(&self) -> bool {
        self.kind.is_about_stock() && self.ending.is_some_and(Ending::closes_item)
    }

    /// The quantity that the rule compares, of these.
    pub fn judged(&self, stock: &Stock) -> i64 {
        self.basis.unwrap_or(Basis::Available).of(stock)
    }

    /// Which quantity was compared with the threshold, where that is one of stock.
    pub fn compared(&self) -> Option<Basis> {
        let of_stock = self.threshold.is_some() && self.kind.tells_what_is_left();
        of_stock.then(|| self.basis.unwrap_or(Basis::Available))
    }

    /// As a system is sent it: the basis is named also where it is the usual one.
    pub fn as_sent(&self) -> Value {
        let mut data = json!(self);
        if let Some(basis) = self.compared() {
            data["basis"] = json!(basis);
        }
        if let Some(digest) = &self.digest {
            data["digest"]["alerts"] = digest.alerts.iter().map(Self::as_sent).collect();
        }
        data
    }

    /// A time by the clocks of the people concerned (UTC if their zone is unknown).
    pub fn local(&self, at: Timestamp) -> String {
        local_time(at, TimeZone::get(&self.zone).unwrap_or(TimeZone::UTC))
    }
}

/// A time by the clocks of a zone, for people.
pub fn local_time(at: Timestamp, zone: TimeZone) -> String {
    at.to_zoned(zone).strftime("%Y-%m-%d %H:%M %Z").to_string()
}

/// What a group of alerts has to say. The counts are of all of them, whatever is named, but for those
/// that are [`overtaken`](Self::overtaken): words and data count the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// How many alerts it is about.
    pub total: u32,
    /// How many of them are not over: new since the last message, or changed.
    pub open: u32,
    /// How many are over.
    pub resolved: u32,
    /// Whether it only brings to mind what is still open.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reminder: bool,
    /// Those that matter most, each as its last revision has it.
    pub alerts: Vec<Message>,
    /// Ends of alerts of which people are not told, as another of the same thing is open: "recovered" would
    /// be untrue beside "out of stock".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overtaken: Vec<Message>,
}

impl Digest {
    /// Of so many alerts, those that are over among them, and those that are named.
    pub fn of(total: u32, resolved: u32, reminder: bool, named: Vec<Message>) -> Self {
        let ended = |alert: &Message| alert.change == RevisionKind::Resolved;
        let open: Vec<Subject> = named
            .iter()
            .filter(|alert| !ended(alert))
            .map(|alert| alert.subject.clone())
            .collect();
        let (overtaken, alerts): (Vec<_>, Vec<_>) = named
            .into_iter()
            .partition(|alert| ended(alert) && open.contains(&alert.subject));
        let uncounted = u32::try_from(overtaken.len()).unwrap_or(u32::MAX);
        Self {
            total: total.saturating_sub(uncounted),
            open: total.saturating_sub(resolved),
            resolved: resolved.saturating_sub(uncounted),
            reminder,
            alerts,
            overtaken,
        }
    }
}

/// The quantities of a position, in units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// Physically there.
    pub on_hand: i64,
    /// Promised.
    pub reserved: i64,
    /// On hand less reserved and unavailable.
    pub available: i64,
    /// There, and not for sale: damaged, in quality control, safety stock.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unavailable: i64,
    /// On the way.
    pub incoming: i64,
    /// Promised beyond what is there.
    #[serde(default)]
    pub backordered: i64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(units: &i64) -> bool {
    *units == 0
}

impl Stock {
    /// What will be available once everything on the way has arrived and every debt is served.
    pub fn projected(&self) -> i64 {
        self.available + self.incoming - self.backordered
    }
}

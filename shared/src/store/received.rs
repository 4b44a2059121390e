//! Webhooks as they came: kept before anything of them is applied, so that an acknowledged one is
//! never lost (G1) and any of them can be applied again.

use std::collections::BTreeMap;
use std::io::{self, Read, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::due::backed_off;
use super::jobs::is_zero;
use super::keys::{self, Listed};
use super::row::{Expect, Page, Row, Stored, Write};
use super::{Store, StoreError};
use crate::digest::sha256_hex;
use crate::domain::alert::named;
use crate::domain::event::millis;
use crate::domain::id::ConnectorName;
use crate::domain::watch::Moment;

/// How many days a webhook is kept unless told otherwise.
pub const KEPT_DAYS: u16 = 30;
/// How long the function that received it has before the clock applies it instead.
const OVERDUE: SignedDuration = SignedDuration::from_secs(60);
/// What a small item may hold in all: more costs another write unit each time it is written.
const SMALL: usize = 1_024;
/// What an item's keys and its places in the indexes take of that.
const KEYS: usize = 260;
/// An item holds 400 KB; base64 text of this many compressed bytes fits with room.
const PART: usize = 200_000;

named!(
    /// What has become of a webhook.
    ReceivedState {
        /// It is kept, and not yet (wholly) applied.
        Waiting => "waiting",
        /// Everything it says is applied, known, or in quarantine.
        Applied => "applied",
    }
);

/// In so many minutes webhooks were refused, and none taken since the first of them, before people are
/// told: one that somebody has forged is no news.
const LATELY: usize = 5;
/// How long it is remembered that webhooks were refused.
const REFUSED_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Webhooks that were turned away, for what their sender or the set-up has to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// How many.
    pub count: u64,
    /// When the first of them came.
    pub since: Moment,
    /// When the last did.
    pub last: Moment,
    /// Why it was refused, as machines read it.
    pub reason: String,
    /// The same for people.
    pub sentence: String,
    /// When the last came, one of a minute, the oldest first.
    #[serde(default)]
    lately: Vec<Moment>,
}

impl Refused {
    /// Whether its sender is refused again and again, and was not taken in between.
    pub fn is_shut_out(&self, last_taken: Option<Timestamp>) -> bool {
        let first = self.lately.first().filter(|_| self.lately.len() >= LATELY);
        first.is_some_and(|first| last_taken.is_none_or(|taken| taken < first.0))
    }

    /// Whether it is our set-up that keeps them out: nobody can bring that about by what he sends.
    pub fn is_ours_to_mend(&self) -> bool {
        matches!(&*self.reason, "secret_unavailable" | "not_configured")
    }

    /// Whether they were refused for how they are signed.
    pub fn is_for_their_signature(&self) -> bool {
        self.reason.starts_with("signature_")
    }

    /// Whether it still says something to people: none was taken since, or it is of the last day. Where
    /// some webhooks are taken and some are not, each good one would hide the others.
    pub fn still_says(&self, last_taken: Option<Timestamp>, now: Timestamp) -> bool {
        self.is_recent(now) || last_taken.is_none_or(|taken| self.last.0 > taken)
    }

    fn is_recent(&self, now: Timestamp) -> bool {
        now.duration_since(self.last.0) <= SignedDuration::from_hours(24)
    }
}

/// A webhook's body as it is kept: compressed, in parts that each fit an item.
#[derive(Debug, Default)]
pub struct KeptBody {
    parts: Vec<String>,
    length: usize,
}

impl KeptBody {
    /// Compresses a body.
    pub fn of(body: &[u8]) -> Result<Self, StoreError> {
        let compress = || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(body)?;
            encoder.finish()
        };
        let compressed =
            compress().map_err(|error: io::Error| StoreError::aws("compress a webhook", error))?;
        Ok(Self {
            parts: compressed
                .chunks(PART)
                .map(|part| STANDARD.encode(part))
                .collect(),
            length: body.len(),
        })
    }

    /// How many parts there are.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// The body's length in bytes, before it was compressed.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// A webhook's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The same for the same delivery, so that a repeated one is recognised.
    pub id: String,
    /// Which connector it came to.
    pub connector: ConnectorName,
    /// When it first came.
    #[serde(with = "millis")]
    pub at: Timestamp,
    /// The HTTP method.
    pub method: String,
    /// The headers that its parser may need; none that authenticates.
    pub headers: BTreeMap<String, String>,
    /// Its body, compressed, if it is small; then it is kept in no parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// How many parts its body is kept in.
    pub parts: usize,
    /// The body's length in bytes.
    pub length: usize,
    /// How many days it is kept.
    #[serde(default = "usual_days")]
    pub kept_days: u16,
    /// What has become of it.
    pub state: ReceivedState,
    /// When the clock applies it, where that is not a minute after it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_at: Option<Moment>,
    /// How often the clock could not apply it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
    /// The entries of the quarantine that hold rows of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<String>,
}

const fn usual_days() -> u16 {
    KEPT_DAYS
}

impl Received {
    /// The same with its body in the record itself, and nothing left of it, if that makes a small item.
    #[must_use]
    pub fn holding(self, mut kept: KeptBody) -> (Self, KeptBody) {
        let [body] = kept.parts.as_slice() else {
            return (self, kept);
        };
        let holding = Self {
            body: Some(body.clone()),
            parts: 0,
            ..self.clone()
        };
        match serde_json::to_vec(&holding) {
            Ok(record) if record.len() + KEYS <= SMALL => {
                kept.parts.clear();
                (holding, kept)
            }
            _ => (self, kept),
        }
    }

    /// The same with nothing left to be done.
    fn applied(&self) -> Self {
        Self {
            state: ReceivedState::Applied,
            ..self.clone()
        }
    }

    pub(super) fn expires(&self) -> Timestamp {
        let kept = SignedDuration::from_hours(24 * i64::from(self.kept_days));
        self.at.checked_add(kept).unwrap_or(Timestamp::MAX)
    }

    /// Whether it may still be applied: what it has applied is remembered no longer than that.
    pub fn is_kept(&self, now: Timestamp) -> bool {
        now < self.expires()
    }

    /// From when on it counts as forgotten, if it still waits.
    fn overdue(&self) -> Option<Timestamp> {
        let waiting = self.state == ReceivedState::Waiting;
        let first = self.at.checked_add(OVERDUE).unwrap_or(Timestamp::MAX);
        waiting.then(|| self.again_at.map_or(first, |again| again.0))
    }

    /// Whether whoever took it in has had its time by then, and it still waits.
    pub(crate) fn is_overdue(&self, by: Timestamp) -> bool {
        self.is_kept(by) && self.overdue().is_some_and(|overdue| overdue <= by)
    }
}

/// Names a delivery by what it is: length-prefixed, so that no two deliveries share a name.
pub fn delivery_id(connector: &ConnectorName, vendor_id: Option<&str>, body: &[u8]) -> String {
    let vendor_id = vendor_id.unwrap_or_default();
    let name = format!(
        "{}:{connector}{}:{vendor_id}{}",
        connector.as_str().len(),
        vendor_id.len(),
        sha256_hex(body)
    );
    sha256_hex(name.as_bytes())[..40].to_owned()
}

impl Store {
    /// A webhook's record.
    pub async fn received(
        &self,
        connector: &ConnectorName,
        id: &str,
    ) -> Result<Option<Stored<Received>>, StoreError> {
        self.get("look up a webhook", &keys::received(connector, id))
            .await
    }

    /// Keeps a webhook, body first and record last: where there is a record, the body is whole.
    pub async fn receive(
        &self,
        received: &Received,
        body: KeptBody,
    ) -> Result<Stored<Received>, StoreError> {
        const OPERATION: &str = "keep a webhook";
        let expires = received.expires();
        for (number, part) in body.parts.iter().enumerate() {
            let key = keys::received_body(&received.connector, &received.id, number);
            let row = Row::new(key, "body", part)?.expires(expires);
            self.put(OPERATION, row, Expect::Anything).await?;
        }
        // Another copy of the same delivery may have been faster; its record is as good.
        let row = received_row(received)?;
        if self.put(OPERATION, row, Expect::Absent).await? {
            return Ok(Stored {
                key: keys::received(&received.connector, &received.id),
                version: 1,
                data: received.clone(),
            });
        }
        let kept = self.received(&received.connector, &received.id).await?;
        kept.ok_or_else(|| StoreError::Unreadable {
            operation: OPERATION,
            key: format!("R#{}#{}", received.connector, received.id),
            problem: "it is gone".to_owned(),
        })
    }

    /// The same table, where what is written carries a webhook's own id, however often and by whom it is
    /// applied, and where an event that it applies is remembered for as long as it can be applied again
    /// (G2).
    #[must_use]
    pub fn applying(&self, received: &Received) -> Self {
        let store = match received.id.parse() {
            Ok(id) => self.on_behalf_of(id, Some(received.at)),
            Err(_) => self.clone(),
        };
        Self {
            applied_again_until: Some(received.expires()),
            ..store
        }
    }

    /// As [`Store::applying`], where a change of stock is written together with the record of the webhook
    /// that says it and nothing else, so that neither is there without the other. An event that changes
    /// nothing, or of which something is left out, writes no record; one whose webhook has a record
    /// already fails, and writes nothing.
    pub fn keeping(&self, received: &Received) -> Result<Self, StoreError> {
        let row = received_row(&received.applied())?;
        let store = self.applying(received);
        Ok(store.along_with(Some(Write::Put(row, Expect::Absent))))
    }

    /// Keeps a webhook of which everything is dealt with: `false` if it has a record already.
    pub async fn receive_applied(&self, received: &Received) -> Result<bool, StoreError> {
        let row = received_row(&received.applied())?;
        self.put("keep a webhook", row, Expect::Absent).await
    }

    /// Notes that everything a webhook says is dealt with; `false` if it is to be applied again, since
    /// a name that it waits for was learnt meanwhile.
    pub async fn mark_applied(&self, received: &Stored<Received>) -> Result<bool, StoreError> {
        self.put(
            "mark a webhook as applied",
            received_row(&received.data.applied())?,
            Expect::Version(received.version),
        )
        .await
    }

    /// Notes which entries of the quarantine hold rows of a webhook; `None` if somebody else wrote to
    /// it meanwhile.
    pub async fn note_held(
        &self,
        received: &Stored<Received>,
        held: Vec<String>,
    ) -> Result<Option<Stored<Received>>, StoreError> {
        let data = Received {
            held,
            ..received.data.clone()
        };
        let expect = Expect::Version(received.version);
        let row = received_row(&data)?;
        let written = self.put("note what is held", row, expect).await?;
        Ok(written.then(|| Stored {
            key: received.key.clone(),
            version: received.version + 1,
            data,
        }))
    }

    /// Has the clock try again later to apply a webhook, each time after longer: `false` if somebody
    /// has changed its record meanwhile.
    pub async fn put_off_webhook(&self, overdue: &Stored<Received>) -> Result<bool, StoreError> {
        let mut later = overdue.data.clone();
        later.tries += 1;
        later.again_at = Some(Moment(backed_off(self.clock.now(), later.tries)));
        let expect = Expect::Version(overdue.version);
        self.put("put off a webhook", received_row(&later)?, expect)
            .await
    }

    /// A webhook's body.
    pub async fn received_body(&self, received: &Received) -> Result<Vec<u8>, StoreError> {
        const OPERATION: &str = "read a webhook's body";
        let unreadable = |problem: String| StoreError::Unreadable {
            operation: OPERATION,
            key: format!("R#{}#{}", received.connector, received.id),
            problem,
        };
        let decoded = |part: &str| STANDARD.decode(part).map_err(|e| unreadable(e.to_string()));
        let mut compressed = match &received.body {
            Some(body) => decoded(body)?,
            None => Vec::new(),
        };
        for number in 0..received.parts {
            let key = keys::received_body(&received.connector, &received.id, number);
            let part = self
                .get::<String>(OPERATION, &key)
                .await?
                .ok_or_else(|| unreadable(format!("part {number} is gone")))?;
            compressed.extend(decoded(&part.data)?);
        }
        let mut body = Vec::with_capacity(received.length);
        GzDecoder::new(compressed.as_slice())
            .take(u64::try_from(received.length).unwrap_or(u64::MAX))
            .read_to_end(&mut body)
            .map_err(|error| unreadable(error.to_string()))?;
        Ok(body)
    }

    /// Counts webhooks that were turned away, without a day between them. Whoever forges them costs us no
    /// more than a write a second for each instance: that is the caller's to see to.
    pub async fn note_refused(
        &self,
        connector: &ConnectorName,
        count: u64,
        (reason, sentence): (&str, &str),
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "count refused webhooks";
        let now = Moment(self.clock.now());
        let key = keys::refused(connector);
        for attempt in 0.. {
            let stored = self.get::<Refused>(OPERATION, &key).await?;
            let before = stored.as_ref().map(|stored| &stored.data);
            let before = before.filter(|it| it.is_recent(now.0));
            let mut lately = stored
                .as_ref()
                .map_or_else(Vec::new, |it| it.data.lately.clone());
            let (minute, day) = (SignedDuration::from_mins(1), SignedDuration::from_hours(24));
            lately.retain(|at| now.0.duration_since(at.0) <= day);
            // Anybody who knows the address can send what is not signed at all.
            let is_signed = !matches!(reason, "signature_missing" | "timestamp_missing");
            let last = lately.last();
            if is_signed && last.is_none_or(|last| now.0.duration_since(last.0) >= minute) {
                lately.push(now);
                lately.drain(..lately.len().saturating_sub(LATELY));
            }
            let refused = Refused {
                lately,
                count: before.map_or(0, |it| it.count).saturating_add(count),
                since: before.map_or(now, |it| it.since),
                last: now,
                reason: reason.to_owned(),
                sentence: sentence.to_owned(),
            };
            let row = Row::new(key.clone(), "refused", &refused)?;
            let forget = now.0.checked_add(REFUSED_KEPT).unwrap_or(Timestamp::MAX);
            let expect = Expect::from_read(stored.as_ref());
            if self.put(OPERATION, row.expires(forget), expect).await? {
                return Ok(());
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    /// The webhooks of a connector that were turned away.
    pub async fn refused(&self, connector: &ConnectorName) -> Result<Option<Refused>, StoreError> {
        let key = keys::refused(connector);
        let stored = self.get::<Refused>("read refused webhooks", &key).await?;
        Ok(stored.map(|stored| stored.data))
    }

    /// When a connector's last webhook came, of those that are kept.
    pub async fn last_webhook(
        &self,
        connector: &ConnectorName,
    ) -> Result<Option<Timestamp>, StoreError> {
        let list = keys::received_list(connector);
        let page = self
            .spread(
                "look up the last webhook",
                &list,
                (None, None),
                true,
                None,
                1,
            )
            .await?;
        let newest = page.items.into_iter().next();
        Ok(newest.map(|stored: Stored<Received>| stored.data.at))
    }

    /// A page of a connector's webhooks, oldest first, received from `from` until before `until`.
    pub async fn received_between(
        &self,
        connector: &ConnectorName,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Received>, StoreError> {
        let place = |at: Timestamp| format!("{:015}", at.as_millisecond());
        let (from, until) = (from.map(place), until.map(place));
        let page = self
            .spread(
                "list webhooks",
                &keys::received_list(connector),
                (from.as_deref(), until.as_deref()),
                false,
                cursor,
                limit,
            )
            .await?;
        Ok(page.map(|stored: Stored<Received>| stored.data))
    }
}

pub(super) fn received_row(received: &Received) -> Result<Row, StoreError> {
    let list = keys::received_list(&received.connector);
    Ok(Row::new(
        keys::received(&received.connector, &received.id),
        "received",
        received,
    )?
    .listed(Listed::spread(&list, received.at, &received.id))
    .due(received.overdue())
    .expires(received.expires()))
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;

    use super::*;

    #[test]
    fn no_two_deliveries_share_a_name() {
        let connector = |name: &str| name.parse::<ConnectorName>().unwrap();
        let ids = [
            delivery_id(&connector("a"), Some("b1"), b"x"),
            delivery_id(&connector("a"), Some("b"), b"x"),
            delivery_id(&connector("ab"), Some("1"), b"x"),
            delivery_id(&connector("a"), None, b"x"),
            delivery_id(&connector("a"), None, b"y"),
        ];
        for (index, id) in ids.iter().enumerate() {
            assert!(!ids[..index].contains(id));
        }
        assert_eq!(ids[0], delivery_id(&connector("a"), Some("b1"), b"x"));
    }

    #[test]
    fn a_large_body_is_kept_in_parts() {
        // Incompressible enough: a counter through SHA-256.
        let body: Vec<u8> = (0..20_000_u32)
            .flat_map(|n| sha256_hex(&n.to_be_bytes()).into_bytes())
            .collect();
        assert!(KeptBody::of(&body).unwrap().parts() > 1);
        assert_eq!(KeptBody::of(b"{}").unwrap().parts(), 1);
    }

    #[test]
    fn a_small_body_stands_in_its_record_and_a_larger_one_beside_it() {
        let till: ConnectorName = "till".parse().unwrap();
        let held = |length: usize| {
            // Compressed it is hardly smaller.
            let body: String = (0..length / 64)
                .map(|n| sha256_hex(&n.to_be_bytes()))
                .collect();
            let received = Received {
                id: delivery_id(&till, None, body.as_bytes()),
                connector: till.clone(),
                at: Timestamp::UNIX_EPOCH,
                method: "POST".to_owned(),
                headers: BTreeMap::from([("webhook-id".to_owned(), "msg_1".to_owned())]),
                body: None,
                parts: 1,
                length: body.len(),
                kept_days: KEPT_DAYS,
                state: ReceivedState::Waiting,
                again_at: None,
                tries: 0,
                held: Vec::new(),
            };
            let (held, rest) = received.holding(KeptBody::of(body.as_bytes()).unwrap());
            assert_eq!(held.body.is_some(), rest.parts() == 0);
            assert_eq!(held.parts, rest.parts());
            let item = received_row(&held)
                .unwrap()
                .item(Expect::Absent, Timestamp::UNIX_EPOCH);
            let size: usize = item
                .iter()
                .map(|(name, value)| name.len() + bytes(value))
                .sum();
            (held.body.is_some(), size)
        };
        for length in [0, 64, 256, 512, 640, 768, 1_024, 4_096] {
            let (inside, size) = held(length);
            assert!(size <= SMALL, "{length}: an item of {size} bytes");
            assert!(inside || length > 256, "{length}");
        }
        assert!(!held(4_096).0);
    }

    /// A value's size as the table counts it.
    fn bytes(value: &AttributeValue) -> usize {
        match value {
            AttributeValue::S(text) => text.len(),
            AttributeValue::N(digits) => digits.len() / 2 + 2,
            AttributeValue::M(map) => {
                3 + map
                    .iter()
                    .map(|(name, value)| 1 + name.len() + bytes(value))
                    .sum::<usize>()
            }
            AttributeValue::L(list) => 3 + list.iter().map(|value| 1 + bytes(value)).sum::<usize>(),
            _ => 1,
        }
    }
}

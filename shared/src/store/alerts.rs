//! Alerts: the watch over a subject, the alert it opened, what to say, and to whom, written together.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::due::backed_off;
use super::groups::member_row;
use super::intents::{Intent, KEPT, Retold, intent_row};
use super::jobs::is_zero;
use super::keys::{self, Key, Listed};
use super::products::Product;
use super::renames::Names;
use super::row::{Expect, Item, Page, Row, Stored, TRANSACTION, Write, Written, read, text};
use super::{Store, StoreError};
use crate::domain::alert::{AlertState, RevisionKind};
use crate::domain::event::millis;
use crate::domain::group::FlushId;
use crate::domain::id::{ChannelName, ConnectorName, LocationId};
use crate::domain::message::Message;
use crate::domain::position::Sources;
use crate::domain::renamed::Renamed;
use crate::domain::rule::Rule;
use crate::domain::watch::{Moment, Watch, Withheld};
use crate::domain::{AlertKind, Position, ProductId, Severity, Subject};

/// An alert, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Its id.
    pub id: String,
    /// What it is about.
    pub kind: AlertKind,
    /// What it is attached to.
    pub subject: Subject,
    /// How much it matters.
    pub severity: Severity,
    /// Where it stands.
    pub state: AlertState,
    /// Counts its revisions from 1.
    pub revision: u32,
    /// When it was opened.
    #[serde(with = "millis")]
    pub opened_at: Timestamp,
    /// When its last revision was written.
    #[serde(with = "millis")]
    pub updated_at: Timestamp,
    /// What the last revision says.
    pub message: Message,
    /// The channels that were told of any revision; they are the ones to be told of its end.
    pub told: Vec<ChannelName>,
}

/// A watch as it is stored, with what it watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// What is watched.
    pub subject: Subject,
    /// For what.
    pub kind: AlertKind,
    /// Where the watch stands.
    pub watch: Watch,
    /// When time alone may change the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
    /// How often the clock has looked since without an answer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
}

/// The intents of a revision that did not fit into the transaction which wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unwritten {
    /// The alert.
    pub alert: String,
    /// The revision.
    pub revision: u32,
    /// Whether the alert is over with it.
    over: bool,
    /// How much it matters.
    severity: Severity,
    /// What is still to be written.
    intents: Vec<Intent>,
    /// When the clock writes them, if they still are.
    #[serde(with = "millis")]
    due_at: Timestamp,
}

/// How long whoever announces has for the rest of the intents.
const OVERDUE: SignedDuration = SignedDuration::from_secs(90);

impl Unwritten {
    fn of(alert: &Alert, intents: &[Intent], now: Timestamp) -> Self {
        Self {
            alert: alert.id.clone(),
            revision: alert.revision,
            over: alert.state == AlertState::Resolved,
            severity: alert.message.severity,
            intents: intents.to_vec(),
            due_at: now.checked_add(OVERDUE).unwrap_or(Timestamp::MAX),
        }
    }

    /// Whether it is still here by then.
    pub(super) fn is_overdue(&self, by: Timestamp) -> bool {
        self.due_at <= by
    }

    fn key(&self) -> Key {
        keys::unwritten(&self.alert, self.revision)
    }

    fn row(&self) -> Result<Row, StoreError> {
        Ok(Row::new(self.key(), "unwritten", self)?.due(Some(self.due_at)))
    }

    fn writes(&self, intent: &Intent) -> Result<Vec<Write>, StoreError> {
        let mut writes = vec![Write::Put(intent_row(intent)?, Expect::Absent)];
        let member = member_row(intent, (self.over, self.severity))?;
        writes.extend(member.map(|member| Write::Put(member, Expect::Absent)));
        Ok(writes)
    }
}

/// A decision about one watch, to be written as a whole.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The watch's new state.
    pub watched: Watched,
    /// The state it was decided from.
    pub expect: Expect,
    /// What people are to be told, if anything.
    pub announcements: Vec<Announcement>,
    /// Of other alerts on the subject, what is told now that this one is over.
    pub retold: Vec<Retold>,
}

/// What people are to be told.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// The alert after this revision.
    pub alert: Alert,
    /// What the revision before says. The alert itself holds the last one only.
    pub before: Option<Message>,
    /// One for each channel that should carry it.
    pub intents: Vec<Intent>,
}

/// Everything that is kept under a product, read together.
#[derive(Debug, Clone, Default)]
pub struct ProductPicture {
    /// What is known of the product itself.
    pub description: Option<Product>,
    /// Its position at each location.
    pub positions: BTreeMap<LocationId, Position>,
    /// The rules that were imported for this product.
    pub rules: Vec<Rule>,
    /// The SKUs that it had before, the last one first.
    pub formerly: Vec<ProductId>,
    /// Under which SKU it goes on, unless something else has this one now. Its rules are there already, what
    /// is of it in a position may not be.
    pub renamed: Option<Renamed>,
    /// What is watched, at each location and over groups.
    pub watches: Vec<Stored<Watched>>,
}

const PICTURE: &str = "read a product, its positions and watches";
/// So many rows of a product are read at once, whatever they are: one read for the product that is kept
/// at few locations.
const FEW_ROWS: i32 = 16;

impl ProductPicture {
    /// What a product's rows say.
    fn of(rows: Vec<(String, Item)>) -> Result<Self, StoreError> {
        let mut picture = Self::default();
        for (kind, item) in rows {
            match kind.as_str() {
                "product" => picture.description = Some(read(PICTURE, item)?.data),
                "position" => {
                    let position = read::<Position>(PICTURE, item)?.data;
                    picture
                        .positions
                        .insert(position.location.clone(), position);
                }
                "names" => {
                    let names = read::<Names>(PICTURE, item)?.data;
                    picture.formerly = names.formerly;
                    picture.renamed = names.renamed.filter(|it| !it.taken);
                }
                "rule" => picture.rules.push(read(PICTURE, item)?.data),
                "watch" => picture.watches.push(read(PICTURE, item)?),
                _ => {}
            }
        }
        Ok(picture)
    }

    /// Where the product is that had this SKU and this place, as its position says or is about to. What
    /// another source states of the SKU stays with it.
    pub fn renamed_to<'a>(&'a self, position: &'a Position) -> Option<&'a ProductId> {
        let stays = |it: &&Renamed| position.stated_by_others(&it.source).next().is_some();
        let moving = self.renamed.as_ref().filter(|it| !stays(it));
        position.renamed_to().or(moving.map(|it| &it.to))
    }

    /// The positions at these locations that count in their sum. Where its source states it no longer, it
    /// is no member, as where it never was.
    pub fn stated_at<'a>(
        &'a self,
        locations: &'a [LocationId],
        sources: &'a Sources,
    ) -> impl Iterator<Item = &'a Position> {
        let positions = locations.iter().filter_map(|it| self.positions.get(it));
        positions.filter(|position| {
            !position.no_longer_stated(sources) && self.renamed_to(position).is_none()
        })
    }

    /// The product's name for people: as its sources have it, or as its own name tells.
    pub fn name(&self, product: &ProductId, sources: &Sources) -> String {
        let described = self.description.as_ref();
        let title = described.and_then(|known| known.title(sources));
        let called = || self.positions.values().find_map(|it| it.called.as_deref());
        let name = title.or_else(called);
        name.map_or_else(|| product.in_words(), str::to_owned)
    }

    /// The name for people of the model line that its vehicles are counted as now.
    pub fn renamed_name(&self, to: &ProductId) -> Option<&str> {
        let mut lost = self.positions.values().filter_map(|it| it.lost.as_ref());
        let lost = lost.find(|lost| lost.to.as_ref() == Some(to))?;
        lost.called.as_deref()
    }

    /// The watch over a subject for a kind of alert.
    pub fn watch(&self, subject: &Subject, kind: AlertKind) -> Option<&Stored<Watched>> {
        self.watches
            .iter()
            .find(|stored| stored.data.kind == kind && &stored.data.subject == subject)
    }
}

impl Store {
    /// A product with all its positions, rules and watches, as they are now, in one query.
    pub async fn picture(&self, product: &ProductId) -> Result<ProductPicture, StoreError> {
        let pk = keys::product(product);
        ProductPicture::of(self.partition(PICTURE, &pk, "").await?)
    }

    /// The same without what stands at other locations, where that is more than a few rows and no sum
    /// over a group has been watched; and whether it is all. What it costs does not depend on how many
    /// locations have the product.
    pub async fn picture_at(
        &self,
        product: &ProductId,
        location: &LocationId,
    ) -> Result<(ProductPicture, bool), StoreError> {
        let pk = keys::product(product);
        let (mut rows, mut is_whole) = self.first_of_partition(PICTURE, &pk, FEW_ROWS).await?;
        if !is_whole {
            // The sums stand first.
            let sums = |(_, item): &(String, Item)| {
                text(item, "sk").is_some_and(|sk| sk.starts_with(keys::SUMS))
            };
            is_whole = rows.iter().any(sums);
            rows = if is_whole {
                self.partition(PICTURE, &pk, "").await?
            } else {
                let here = keys::at_location(location);
                let (here, of_product) = futures::future::try_join(
                    self.partition(PICTURE, &pk, &here),
                    self.partition_from(PICTURE, &pk, keys::OF_PRODUCT),
                )
                .await?;
                here.into_iter().chain(of_product).collect()
            };
        }
        Ok((ProductPicture::of(rows)?, is_whole))
    }

    /// A subject's watches, as they are now.
    pub async fn watches(&self, subject: &Subject) -> Result<Vec<Stored<Watched>>, StoreError> {
        const OPERATION: &str = "read a subject's watches";
        let (pk, prefix) = keys::watches(subject);
        self.partition(OPERATION, &pk, &prefix)
            .await?
            .into_iter()
            .map(|(_, item)| read(OPERATION, item))
            .collect()
    }

    /// Since when people are told that nothing comes from a source; nothing if it is heard.
    pub async fn told_stale_since(
        &self,
        source: &ConnectorName,
    ) -> Result<Option<Moment>, StoreError> {
        let subject = Subject::Connector {
            connector: source.clone(),
        };
        let watches = self.watches(&subject).await?.into_iter();
        let mut stale = watches.filter(|stored| stored.data.kind == AlertKind::FeedStale);
        Ok(stale.find_map(|stored| stored.data.watch.open_since()))
    }

    /// Writes a decision: `false` if the watch has moved on since it was read.
    pub async fn decide(&self, decision: Decision) -> Result<bool, StoreError> {
        const OPERATION: &str = "write an alert decision";
        let watched = &decision.watched;
        let row = watch_row(watched)?;
        if decision.announcements.is_empty() {
            return self.put(OPERATION, row, decision.expect).await;
        }
        // The watch's version guards the rest: no two decisions from one state can both be written.
        let mut writes = vec![Write::Put(row, decision.expect)];
        for retold in &decision.retold {
            writes.extend(retold.writes()?);
        }
        self.announce_with(OPERATION, writes, &decision.announcements)
            .await
    }

    /// Writes announcements together with what they follow from: `false` if that is not as it was read.
    pub(super) async fn announce_with(
        &self,
        operation: &'static str,
        mut writes: Vec<Write>,
        announcements: &[Announcement],
    ) -> Result<bool, StoreError> {
        let mut intents = Vec::new();
        let mut unwritten = Vec::new();
        for announcement in announcements {
            let Announcement {
                alert, intents: of, ..
            } = announcement;
            writes.extend(announcement.alert_writes()?);
            let left = Unwritten::of(alert, of, self.clock.now());
            for intent in of {
                intents.extend(left.writes(intent)?);
            }
            unwritten.push(left);
        }
        // What one transaction does not take is promised in it, and kept right away or by the clock.
        let fits = writes.len() + intents.len() <= TRANSACTION;
        unwritten.retain(|left| !fits && !left.intents.is_empty());
        for left in &unwritten {
            writes.push(Write::Put(left.row()?, Expect::Absent));
        }
        writes.extend(intents.into_iter().filter(|_| fits));
        if self.transact(operation, writes).await? != Written::Done {
            return Ok(false);
        }
        for left in unwritten {
            if let Err(error) = self.write_intents(&left.key()).await {
                let cause = &error as &(dyn std::error::Error + 'static);
                tracing::warn!(
                    error = cause,
                    alert = left.alert,
                    "not all intents are written; the clock will"
                );
            }
        }
        Ok(true)
    }

    /// Writes the intents that a revision's own transaction did not take, and gives those that were
    /// written now. May be repeated, and by several at a time.
    pub async fn write_intents(&self, key: &Key) -> Result<Vec<Intent>, StoreError> {
        const OPERATION: &str = "write a revision's other intents";
        let mut written = Vec::new();
        let mut conflicts = 0;
        while let Some(stored) = self.get::<Unwritten>(OPERATION, key).await? {
            let mut left = stored.data;
            if left.intents.is_empty() {
                break;
            }
            let mut writes = Vec::new();
            let mut taken = Vec::new();
            while let Some(intent) = left.intents.pop() {
                let more = left.writes(&intent)?;
                if writes.len() + more.len() >= TRANSACTION {
                    left.intents.push(intent);
                    break;
                }
                writes.extend(more);
                taken.push(intent);
            }
            let expect = Expect::Version(stored.version);
            // Whoever decides may not delete what is of an alert; the table does, when its time is over.
            let row = match left.intents.is_empty() {
                true => Row::new(key.clone(), "unwritten", &left)?.expires(self.clock.now()),
                false => left.row()?,
            };
            writes.push(Write::Put(row, expect));
            if self.transact(OPERATION, writes).await? == Written::Done {
                written.extend(taken);
            } else {
                self.after_conflict(OPERATION, conflicts).await?;
                conflicts += 1;
            }
        }
        Ok(written)
    }

    /// Has the clock look at an overdue watch again later, each time after longer: `false` if somebody
    /// has looked at it meanwhile.
    pub async fn put_off_watch(&self, overdue: &Stored<Watched>) -> Result<bool, StoreError> {
        let mut later = overdue.data.clone();
        later.tries += 1;
        later.due = Some(Moment(backed_off(self.clock.now(), later.tries)));
        let row = watch_row(&later)?;
        let expect = Expect::Version(overdue.version);
        self.put("put off a watch", row, expect).await
    }

    /// One alert.
    pub async fn alert(&self, id: &str) -> Result<Option<Alert>, StoreError> {
        let stored = self.get("read an alert", &keys::alert(id)).await?;
        Ok(stored.map(|stored| stored.data))
    }

    /// What one revision of an alert, or a group's message, says.
    pub async fn revision(&self, id: &str, revision: u32) -> Result<Option<Message>, StoreError> {
        let is_alert = id.parse::<FlushId>().is_err();
        if is_alert
            && let Some(alert) = self.alert(id).await?
            && alert.revision == revision
        {
            return Ok(Some(alert.message));
        }
        self.earlier_revision(id, revision).await
    }

    /// What a revision that is not an alert's last says, or a group's message.
    pub async fn earlier_revision(
        &self,
        id: &str,
        revision: u32,
    ) -> Result<Option<Message>, StoreError> {
        let key = keys::revision(id, revision);
        let stored = self.get("read an alert's revision", &key).await?;
        Ok(stored.map(|stored| stored.data))
    }

    /// A page of the watches whose alerts are open and kept from people for this reason, newest first.
    pub async fn withheld_alerts(
        &self,
        reason: Withheld,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Watched>, StoreError> {
        const OPERATION: &str = "list alerts that nobody was told of";
        let list = withheld_list(reason);
        let page = self
            .spread(OPERATION, &list, (None, None), true, cursor, limit)
            .await?;
        Ok(Page {
            items: page.items.into_iter().map(|stored| stored.data).collect(),
            next: page.next,
        })
    }

    /// A page of alerts in one state, newest first.
    pub async fn alerts(
        &self,
        state: AlertState,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Alert>, StoreError> {
        let list = alerts_list(state);
        let page = self
            .spread("list alerts", &list, (None, None), true, cursor, limit)
            .await?;
        Ok(Page {
            items: page.items.into_iter().map(|stored| stored.data).collect(),
            next: page.next,
        })
    }
}

/// A watch; one of an alert that is open and kept from people is listed by the reason.
pub(super) fn watch_row(watched: &Watched) -> Result<Row, StoreError> {
    let key = keys::watch(&watched.subject, watched.kind);
    let row = Row::new(key, "watch", watched)?.due(watched.due.map(|due| due.0));
    let episode = watched.watch.episode();
    let untold = episode.filter(|it| !it.told());
    Ok(match untold.and_then(|it| Some((it, it.withheld?))) {
        Some((it, reason)) => {
            let list = withheld_list(reason);
            row.listed(Listed::spread(&list, it.opened_at.0, &it.alert))
        }
        None => row,
    })
}

fn withheld_list(reason: Withheld) -> String {
    format!("alerts#{reason}")
}

fn alerts_list(state: AlertState) -> String {
    format!("alerts#{state}")
}

impl Announcement {
    /// The alert with what its last revision says, and beside it what the one before said. Who writes
    /// them holds what they follow from by its version, so no revision is written twice.
    fn alert_writes(&self) -> Result<Vec<Write>, StoreError> {
        let alert = &self.alert;
        let Some(before) = &self.before else {
            return Ok(vec![Write::Put(alert_row(alert)?, Expect::Absent)]);
        };
        let key = keys::revision(&alert.id, before.revision);
        let earlier = Row::new(key, "revision", before)?.expires(alert.forgotten_at());
        Ok(vec![
            Write::Put(alert_row(alert)?, Expect::Anything),
            Write::Put(earlier, Expect::Absent),
        ])
    }
}

pub(super) fn alert_row(alert: &Alert) -> Result<Row, StoreError> {
    let listed = Listed::spread(&alerts_list(alert.state), alert.opened_at, &alert.id);
    let row = Row::new(keys::alert(&alert.id), "alert", alert)?.listed(listed);
    Ok(match alert.state {
        AlertState::Open => row,
        AlertState::Resolved => row.expires(alert.forgotten_at()),
    })
}

impl Alert {
    /// Whether this revision ends the alert.
    pub fn is_over(&self) -> bool {
        self.message.change == RevisionKind::Resolved
    }

    /// When what its last revision wrote is kept no longer, if it is not open: as the intents of it.
    fn forgotten_at(&self) -> Timestamp {
        let until = self.updated_at.checked_add(KEPT);
        until.unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;
    use crate::store::schema::TTL_ATTRIBUTE;

    fn alert(change: RevisionKind, revision: u32, updated_at: Timestamp) -> Alert {
        let message = Message {
            revision,
            ..samples::bare(AlertKind::LowStock, change)
        };
        Alert {
            id: message.alert.clone(),
            kind: message.kind,
            subject: message.subject.clone(),
            severity: message.severity,
            state: match change {
                RevisionKind::Resolved => AlertState::Resolved,
                _ => AlertState::Open,
            },
            revision,
            opened_at: Timestamp::UNIX_EPOCH,
            updated_at,
            message,
            told: Vec::new(),
        }
    }

    /// What a revision writes of its alert, and when the table may remove it.
    fn written(announcement: &Announcement) -> Vec<(String, Option<String>)> {
        let writes = announcement.alert_writes().unwrap().into_iter();
        let of = writes.map(|write| {
            let Write::Put(row, expect) = write else {
                panic!("{write:?}");
            };
            let item = row.item(expect, Timestamp::UNIX_EPOCH);
            let expires = item.get(TTL_ATTRIBUTE).map(|at| at.as_n().unwrap().clone());
            (text(&item, "t").unwrap(), expires)
        });
        of.collect()
    }

    #[test]
    fn an_alert_that_is_over_and_its_earlier_revisions_are_kept_as_long_as_its_deliveries() {
        let day = |day: i64| Timestamp::from_second(day * 86_400).unwrap();
        let until = |it: i64| Some(day(it + 400).as_second().to_string());
        let opened = alert(RevisionKind::Opened, 1, day(0));
        let updated = alert(RevisionKind::Updated, 2, day(3));
        let over = alert(RevisionKind::Resolved, 3, day(900));
        let step = |alert: &Alert, before: Option<&Alert>| Announcement {
            alert: alert.clone(),
            before: before.map(|it| it.message.clone()),
            intents: Vec::new(),
        };
        let (alert, revision) = ("alert".to_owned(), "revision".to_owned());
        assert_eq!(written(&step(&opened, None)), [(alert.clone(), None)]);
        assert_eq!(
            written(&step(&updated, Some(&opened))),
            [(alert.clone(), None), (revision.clone(), until(3))]
        );
        assert_eq!(
            written(&step(&over, Some(&updated))),
            [(alert, until(900)), (revision, until(900))]
        );
    }
}

//! What is due, shard by shard and page by page.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use shared::connectors::KnownNames;
use shared::installation::InstallationError;
use shared::store::Stored;
use shared::store::alerts::Watched;
use shared::store::due::Due;
use shared::store::groups::Group;
use shared::store::intents::{Intent, IntentState};
use shared::store::keys::Key;
use shared::store::received::Received;
use shared::store::waits::NewNames;

use super::{Store, StoreError, Ticked, Ticker, failed};

/// How many keys of one shard are read at once.
const PAGE: i32 = 100;

/// After this long an intent that was put back on its queue, and is still not settled, is put back
/// again; one that waits for longer, after as long as it has waited, up to this.
pub(crate) const AGAIN: SignedDuration = SignedDuration::from_mins(5);
const MOST_APART: SignedDuration = SignedDuration::from_hours(1);

/// When the clock puts an intent back again. Mostly its message is on the queue, behind others: a backlog
/// that were put back whole every few minutes would grow by itself.
fn again(intent: &Intent, by: Timestamp) -> Timestamp {
    let waited = by.duration_since(intent.not_before);
    let apart = waited.clamp(AGAIN, MOST_APART);
    by.checked_add(apart).unwrap_or(Timestamp::MAX)
}

/// A message to be announced.
pub(crate) struct Message {
    intent: Intent,
    /// What was put off for it.
    put_off: Option<PutOff>,
}

pub(crate) enum PutOff {
    Intent(Box<Stored<Intent>>),
    Group(Box<Stored<Group>>),
}

impl Message {
    /// An intent that was put off for it.
    pub(crate) fn of(intent: Intent, stored: Stored<Intent>) -> Self {
        let put_off = Some(PutOff::Intent(Box::new(stored)));
        Self { intent, put_off }
    }
}

impl From<Intent> for Message {
    fn from(intent: Intent) -> Self {
        Self {
            intent,
            put_off: None,
        }
    }
}

/// A page's work, in the order in which it is done.
#[derive(Default)]
struct Work {
    ticked: Ticked,
    overdue: Vec<Message>,
    /// What is put on its queue and not late: messages of groups whose time is near, since the queue is
    /// punctual, and what waits for its channel to be live.
    near: Vec<Message>,
    watches: Vec<Stored<Watched>>,
    forgotten: Vec<Stored<Received>>,
    /// Configurations that may name what something waits for.
    named: Vec<Stored<NewNames>>,
}

impl Ticker {
    /// Works through every shard of what fell due, all of them at once.
    pub(crate) async fn sweep(&self, by: Timestamp, stop_at: Timestamp) -> Ticked {
        let shards = Store::due_shards().map(|shard| self.sweep_shard(shard, by, stop_at));
        let mut ticked = Ticked::default();
        for shard in futures::future::join_all(shards).await {
            ticked += shard;
        }
        if ticked.cut_short {
            tracing::warn!("time ran out; the next tick goes on");
        }
        ticked
    }

    async fn sweep_shard(&self, shard: u64, by: Timestamp, stop_at: Timestamp) -> Ticked {
        let mut ticked = Ticked::default();
        // A subject's watches stand in one shard: it is looked at once, however many fell due.
        let mut seen = BTreeSet::new();
        let mut cursor: Option<String> = None;
        loop {
            if self.store.clock().now() >= stop_at {
                ticked.cut_short = true;
                return ticked;
            }
            let page = self.store.due_page(shard, by, cursor.as_deref(), PAGE);
            let page = match page.await {
                Ok(page) => page,
                Err(error) => {
                    ticked.failed += failed("what is due could not be listed", &error);
                    return ticked;
                }
            };
            let mut work = Work::default();
            for key in &page.items {
                // What was sorted is done; the rest stays due.
                if self.is_over(stop_at) {
                    work.ticked.cut_short = true;
                    break;
                }
                match self.sort(key, by, &mut work).await {
                    Ok(()) => {}
                    // Only another program can have written it. It must not silence the heartbeat.
                    Err(error @ StoreError::Unreadable { .. }) => {
                        work.ticked.stuck += failed("something due cannot be read", &error);
                    }
                    Err(error) => {
                        work.ticked.failed +=
                            failed("something due could not be dealt with", &error);
                    }
                }
            }
            ticked += work.ticked;
            ticked.redriven += self.announce(work.overdue, &mut ticked).await;
            self.announce(work.near, &mut ticked).await;
            for watched in work.watches {
                if self.is_over(stop_at) {
                    ticked.cut_short = true;
                    break;
                }
                let subject = &watched.data.subject;
                if seen.insert(subject.clone()) {
                    ticked += self.look(subject).await;
                }
                ticked += self.unless_answered(&watched.key, by).await;
            }
            for named in work.named {
                if let Err(error) = self.release_named(&named).await {
                    let what = "what waits for a configuration's names was not released";
                    ticked.failed += failed(what, &error);
                }
            }
            for received in work.forgotten {
                // Each is as much work as a webhook; what is left over stays due.
                if self.is_over(stop_at) {
                    ticked.cut_short = true;
                    break;
                }
                ticked += self.recover(&received).await;
            }
            cursor = page.next;
            if cursor.is_none() || ticked.cut_short {
                return ticked;
            }
        }
    }

    /// Announces messages, and says how many got through. What the topic does not take is due again with the
    /// next tick: nobody is told until then.
    pub(crate) async fn announce(&self, messages: Vec<Message>, ticked: &mut Ticked) -> usize {
        let (intents, put_off): (Vec<_>, Vec<_>) = messages
            .into_iter()
            .map(|message| (message.intent, message.put_off))
            .unzip();
        let announced = self.bus.announced(&intents).await;
        for (place, put_off) in put_off.into_iter().enumerate() {
            if announced.contains(&place) {
                continue;
            }
            ticked.stuck += 1;
            let due_again = match put_off {
                None => continue,
                Some(PutOff::Intent(stored)) => self.store.take_back_intent(&stored).await,
                Some(PutOff::Group(stored)) => self.store.take_back_group(&stored).await,
            };
            if let Err(error) = due_again {
                ticked.failed += failed("what was not announced is put off", &error);
            }
        }
        announced.len()
    }

    pub(crate) fn is_over(&self, stop_at: Timestamp) -> bool {
        self.store.clock().now() >= stop_at
    }

    /// Puts a watch off that is still due after it was looked at.
    async fn unless_answered(&self, key: &Key, by: Timestamp) -> Ticked {
        let mut ticked = Ticked::default();
        let put_off = async {
            match self.store.due(key, by).await? {
                Some(Due::Watch(stored)) => self.store.put_off_watch(&stored).await,
                _ => Ok(false),
            }
        };
        match put_off.await {
            Ok(put_off) => ticked.stuck += usize::from(put_off),
            Err(error) => ticked.failed += failed("a watch was not put off", &error),
        }
        ticked
    }

    /// Makes due what waits for a location that the configuration in force names.
    async fn release_named(&self, named: &Stored<NewNames>) -> Result<(), InstallationError> {
        let installation = self.installations.current().await?;
        if installation.version < named.data.version {
            return Ok(()); // read again with the next tick
        }
        for connector in installation.config.connectors.keys() {
            let names = KnownNames::configured(&installation.config, connector);
            self.store
                .release_locations(connector, |name| names.has_location(name))
                .await?;
        }
        Ok(self.store.names_released(named).await?)
    }

    async fn sort(&self, key: &Key, by: Timestamp, work: &mut Work) -> Result<(), StoreError> {
        match self.store.due(key, by).await? {
            // It is not sent on its own: what matters is that its group knows of it.
            Some(Due::Intent(stored)) if stored.data.group.is_some() => {
                let group = self.store.enroll(&stored.data).await?;
                work.overdue
                    .extend(group.map(|group| group.intent(by).into()));
                self.store.leave_to_group(&stored).await?;
            }
            Some(Due::Intent(stored)) => {
                // First the time, then the message: of ticks that overlap one sends it. A crash in between
                // only means that the intent waits for its next turn.
                let again = again(&stored.data, by);
                if self.store.put_off(&stored, again).await? {
                    // One that waits for its channel is not late, nor one that was to be tried only now.
                    let in_flight = stored.data.in_flight;
                    let waits = stored.data.state == IntentState::NotSent
                        || !in_flight && stored.data.due_at == stored.data.not_before;
                    let work = if waits {
                        &mut work.near
                    } else {
                        &mut work.overdue
                    };
                    work.push(Message {
                        intent: stored.data.clone(),
                        put_off: Some(PutOff::Intent(stored)),
                    });
                }
            }
            Some(Due::Group(stored)) => {
                let message = stored.data.intent(by);
                let ahead = stored.data.schedule.phase.at().is_some_and(|at| at > by);
                let watched = self.store.is_under_way(&stored.data).await?;
                if self.store.put_off_group(&stored, AGAIN).await? && !watched {
                    let work = if ahead {
                        &mut work.near
                    } else {
                        &mut work.overdue
                    };
                    work.push(Message {
                        intent: message,
                        put_off: Some(PutOff::Group(stored)),
                    });
                }
            }
            Some(Due::Watch(stored)) => work.watches.push(*stored),
            Some(Due::Unwritten(stored)) => {
                for intent in self.store.write_intents(&stored.key).await? {
                    if intent.group.is_some() {
                        let group = self.store.enroll(&intent).await?;
                        work.overdue
                            .extend(group.map(|group| group.intent(by).into()));
                    } else {
                        work.overdue.push(intent.into());
                    }
                }
            }
            Some(Due::Job(stored)) => {
                work.ticked.begun += usize::from(self.store.begin_job(&stored).await?);
            }
            Some(Due::Received(stored)) => work.forgotten.push(*stored),
            Some(Due::Names(stored)) => work.named.push(stored),
            None => {}
        }
        Ok(())
    }
}

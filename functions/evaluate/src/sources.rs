//! Sources that are read on a schedule: stale when nothing good has come for too long, suspect when
//! what came cannot be believed, flawed when it was applied and there is something to mend in it. Senders of
//! webhooks: stale when none is taken any more.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use shared::config::connector::ConnectorSettings;
use shared::domain::alert::{Ending, RevisionKind};
use shared::domain::id::ConnectorName;
use shared::domain::message::{Message, local_time};
use shared::domain::rule::Condition;
use shared::domain::watch::{Moment, Topics, Verdict, fact};
use shared::domain::{AlertKind, Severity, Subject};
use shared::installation::Installation;
use shared::store::feeds::{FeedState, topic, topics_of_columns};
use shared::store::quarantine::Quarantined;
use shared::store::{StoreError, held};

use crate::announce::{Look, Looked};
use crate::record::Health;
use crate::words::link;
use crate::{EvaluateError, Evaluator};

const ATTEMPTS: usize = 8;
/// How soon it is looked whether a sender is heard again. Nothing else says so. Less than a minute, so that
/// each tick of the clock looks.
const LISTEN: SignedDuration = SignedDuration::from_secs(30);

/// Why what a source has in quarantine is over without being applied.
pub(crate) const GONE: &str = "its connector is not in the configuration any more";

/// What holds of a source, when that may change by itself, what there is to say, and what keeps it from being
/// heard, if that is known.
type Judged = (Verdict, Option<Timestamp>, Vec<Note>, Option<&'static str>);

/// What to do about a sender whose signature does not fit.
const UNSIGNED: &str = "If it is the sender: its secret here is not the one that it signs with; compare the two. \
                        If it is not, somebody else has sent them, and nothing is wrong with the sender.";

/// Of a sender of webhooks that is switched on, how long it may be silent, if that is bounded.
fn of_sender(
    installation: &Installation,
    connector: &ConnectorName,
) -> Option<Option<SignedDuration>> {
    let known = installation.config.connectors.get(connector);
    known.filter(|it| it.common.enabled)?.settings.silence()
}

impl Evaluator {
    /// Looks at a source's health.
    pub(crate) async fn look_at_source(
        &self,
        installation: &Installation,
        connector: &ConnectorName,
    ) -> Result<(), EvaluateError> {
        let subject = Subject::Connector {
            connector: connector.clone(),
        };
        for kind in [
            AlertKind::FeedStale,
            AlertKind::FeedSuspect,
            AlertKind::FeedFlawed,
        ] {
            let mut looked = Looked::Again;
            for _ in 0..ATTEMPTS {
                let state = self.store.feed_health(connector).await?;
                let (seen, state) =
                    state.map_or((0, FeedState::default()), |s| (s.version, s.data));
                let now = self.store.clock().now();
                let (verdict, changes_at, notes, why) = match of_sender(installation, connector) {
                    Some(patience) if kind == AlertKind::FeedStale => {
                        self.judge_sender(installation, connector, patience, now)
                            .await?
                    }
                    _ => judge(installation, connector, kind, &state, now),
                };
                let watches = self.store.watches(&subject).await?;
                let stored = watches.iter().find(|stored| stored.data.kind == kind);
                let episode = stored.and_then(|stored| stored.data.watch.episode());
                let known = episode.map(|episode| episode.topics).unwrap_or_default();
                let heard_again = kind == AlertKind::FeedStale
                    && installation.bounds_silence_of(connector)
                    && verdict.condition != Condition::Breached
                    && stored.is_some_and(|stored| stored.data.watch.open_since().is_some());
                if heard_again {
                    // Before the end is written, so that it is not forgotten. It begins later.
                    self.store.look_at_owned_by(connector).await?;
                }
                let words = |change| {
                    let notes = newest_first(&notes, known);
                    Message {
                        why: why.map(str::to_owned),
                        ..words(installation, &subject, kind, change, &notes, now)
                    }
                };
                let look = Look {
                    installation,
                    subject: subject.clone(),
                    kind,
                    stored,
                    verdict,
                    seen: seen.into(),
                    cause: None,
                    covered: BTreeSet::new(),
                    changes_at,
                    keeps_time: kind == AlertKind::FeedStale
                        && of_sender(installation, connector).flatten().is_some(),
                    category: None,
                    beside: Vec::new(),
                    called_for: Vec::new(),
                    positions: Vec::new(),
                };
                looked = self.step(look, &words).await?;
                if kind == AlertKind::FeedStale && installation.bounds_silence_of(connector) {
                    self.forget_health(connector);
                }
                if looked != Looked::Again {
                    break;
                }
            }
            if looked == Looked::Again {
                return Err(StoreError::Contended {
                    operation: "evaluate a source",
                }
                .into());
            }
        }
        Ok(())
    }

    /// Whether a sender of webhooks is refused again and again, or is silent for too long.
    async fn judge_sender(
        &self,
        installation: &Installation,
        connector: &ConnectorName,
        patience: Option<SignedDuration>,
        now: Timestamp,
    ) -> Result<Judged, EvaluateError> {
        let mut verdict = Verdict {
            condition: Condition::Clear,
            severity: severity(AlertKind::FeedStale),
            manner: installation.config.alerts.manner(),
            ..Verdict::unwatched(Ending::Recovered)
        };
        let refused = self.store.refused(connector).await?;
        if refused.is_none() && patience.is_none() {
            return Ok((verdict, None, Vec::new(), None));
        }
        let last = self.store.last_webhook(connector).await?;
        let mut notes = vec![match last {
            Some(at) => format!("The last webhook was taken at {}.", local(installation, at)),
            None => "No webhook of it was taken yet.".to_owned(),
        }];
        let mut why = None;
        let stale_at = patience.map(|patience| match last {
            Some(at) => at.checked_add(patience).unwrap_or(Timestamp::MAX),
            None => now,
        });
        // Anybody can send what is refused: while good ones come, that is no news.
        let is_heard = last.is_some() && stale_at.is_some_and(|at| now < at);
        let shut_out = refused.filter(|refused| {
            refused.is_shut_out(last) && (!is_heard || refused.is_ours_to_mend())
        });
        if let Some(refused) = &shut_out {
            let (count, reason) = (refused.count, &refused.sentence);
            let first =
                format!("{count} requests to its address were refused, the last because {reason}.");
            notes.insert(0, first);
            if refused.is_for_their_signature() {
                notes.insert(1, UNSIGNED.to_owned());
            }
            why = Some(match refused.is_ours_to_mend() {
                true => "its webhooks cannot be checked",
                false => "its webhooks are refused",
            });
        } else if stale_at.is_none_or(|at| now < at) {
            return Ok((verdict, stale_at, Vec::new(), None));
        } else if last.is_none() {
            verdict.pending = patience.unwrap_or_default(); // a new sender has its time to begin
        }
        verdict.condition = Condition::Breached;
        let soon = now.checked_add(LISTEN).unwrap_or(Timestamp::MAX);
        let notes = notes.into_iter().map(Note::from).collect();
        Ok((verdict, Some(soon), notes, why))
    }

    /// Looks whether anything of one kind waits in quarantine.
    pub(crate) async fn look_at_quarantine(
        &self,
        installation: &Installation,
        connector: &ConnectorName,
        reason: &str,
    ) -> Result<(), EvaluateError> {
        let connectors = &installation.config.connectors;
        let reads_files = connectors
            .get(connector)
            .is_some_and(|known| matches!(known.settings, ConnectorSettings::Files(_)));
        if reads_files {
            // What cannot be used of a file is told as its faults.
            return Ok(());
        }
        let subject = Subject::Quarantine {
            connector: connector.clone(),
            reason: reason.to_owned(),
        };
        let is_gone = !installation.config.has_source(connector);
        for _ in 0..ATTEMPTS {
            let Some(held) = self.store.held_kind(connector, reason).await? else {
                return Ok(());
            };
            // What is found by who works by the configuration before, too.
            if is_gone && held.data.open && self.store.close_kind(&held, GONE).await? {
                continue;
            }
            let now = self.store.clock().now();
            let (open, is_more) = match held.data.open {
                true => self.store.open_of_kind(&held.data).await?,
                false => (Vec::new(), false),
            };
            let watches = self.store.watches(&subject).await?;
            let episode = watches.first().and_then(|it| it.data.watch.episode());
            let known = episode.and_then(|episode| episode.facts.as_ref());
            let told_at = episode.and_then(|episode| episode.told_at);
            let was_more = known.is_some_and(|known| known.contains(&fact(NOT_ALL)));
            // Those that are read of very many are others each time.
            let is_old = |entry: &&Quarantined| {
                let was_held = |at: Moment| held.data.was_held_by(entry, at.0);
                (was_more || is_more) && told_at.is_some_and(was_held)
            };
            let is_new = |entry: &Quarantined| {
                let unknown = |known: &BTreeSet<u32>| !known.contains(&fact(entry.name()));
                known.is_some_and(unknown) && !is_old(&entry)
            };
            let verdict = match is_gone {
                true => Verdict::unwatched(Ending::SourceRemoved),
                false => Verdict {
                    condition: if held.data.open {
                        Condition::Breached
                    } else {
                        Condition::Clear
                    },
                    severity: Severity::Warning,
                    manner: installation.config.alerts.manner(),
                    facts: facts_of(open.iter(), is_more),
                    old_facts: facts_of(open.iter().filter(is_old), is_more),
                    gathers: GATHERS,
                    ..Verdict::unwatched(Ending::Recovered)
                },
            };
            let notes = held::in_words(&open, is_more, is_new);
            let words = |change| {
                let notes = if held.data.open { &notes[..] } else { &[] };
                let kind = AlertKind::Quarantine;
                Message {
                    severity: Severity::Warning,
                    ..words(installation, &subject, kind, change, notes, now)
                }
            };
            let look = Look {
                installation,
                subject: subject.clone(),
                kind: AlertKind::Quarantine,
                stored: watches.first(),
                verdict,
                seen: held.version.into(),
                cause: None,
                covered: BTreeSet::new(),
                changes_at: held.data.look_at(now).filter(|_| held.data.open),
                keeps_time: false,
                category: None,
                beside: Vec::new(),
                called_for: Vec::new(),
                positions: Vec::new(),
            };
            if self.step(look, &words).await? != Looked::Again {
                return Ok(());
            }
        }
        Err(StoreError::Contended {
            operation: "evaluate a kind of quarantine",
        }
        .into())
    }

    /// More of what a source states is believed again: its items' alerts were held back.
    ///
    /// By the change itself. An alert of the source says too little: where a good file follows at once, it
    /// never opens.
    pub(crate) async fn look_where_believed_again(
        &self,
        installation: &Installation,
        connector: &ConnectorName,
        health: &Health,
    ) -> Result<(), EvaluateError> {
        let now = self.store.clock().now();
        let trust = |health| installation.trust(connector, health, now);
        if trust(Some(&health.after)) < trust(health.before.as_ref()) {
            // By then nobody looks by its health of before. The clock begins it, so that no record has to
            // wait for that, and whatever else is believed again until then goes along.
            self.store.look_at_owned_by(connector).await?;
        }
        Ok(())
    }
}

/// For how long what else goes to quarantine, or is not believed, is waited for before people are told of it.
const GATHERS: SignedDuration = SignedDuration::from_mins(5);
/// The fact that more is open of a kind than was read.
const NOT_ALL: &str = "and more";

fn facts_of<'a>(entries: impl Iterator<Item = &'a Quarantined>, is_more: bool) -> BTreeSet<u32> {
    let names = entries.map(|entry| fact(entry.name()));
    names.chain(is_more.then(|| fact(NOT_ALL))).collect()
}

/// A sentence about a source, and what it is about where people are told of that once.
struct Note {
    topic: Topics,
    sentence: String,
}

impl From<String> for Note {
    fn from(sentence: String) -> Self {
        Self {
            topic: Topics::NONE,
            sentence,
        }
    }
}

/// What a revision says: all of it, and first what people do not know yet.
fn newest_first(notes: &[Note], known: Topics) -> Vec<String> {
    let is_new = |note: &&Note| !note.topic.beyond(known).is_empty();
    let (new, old): (Vec<_>, Vec<_>) = notes.iter().partition(is_new);
    let notes = new.into_iter().chain(old);
    notes.map(|note| note.sentence.clone()).collect()
}

const fn severity(kind: AlertKind) -> Severity {
    match kind {
        AlertKind::FeedFlawed => Severity::Warning,
        _ => Severity::Critical,
    }
}

/// A time by the account's clocks: a source stands at no place.
fn local(installation: &Installation, at: Timestamp) -> String {
    local_time(at, installation.config.account.zone.0.clone())
}

fn judge(
    installation: &Installation,
    connector: &ConnectorName,
    kind: AlertKind,
    state: &FeedState,
    now: Timestamp,
) -> Judged {
    let known = installation.config.connectors.get(connector);
    let Some((common, ConnectorSettings::Files(files))) = known.map(|c| (&c.common, &c.settings))
    else {
        return (
            Verdict::unwatched(Ending::SourceRemoved),
            None,
            Vec::new(),
            None,
        );
    };
    if !common.enabled {
        return (
            Verdict::unwatched(Ending::SourceRemoved),
            None,
            Vec::new(),
            None,
        );
    }
    let told = |condition| Verdict {
        condition,
        severity: severity(kind),
        manner: installation.config.alerts.manner(),
        ..Verdict::unwatched(Ending::Recovered)
    };
    let if_any = |notes: &[Note]| {
        if notes.is_empty() {
            Condition::Clear
        } else {
            Condition::Breached
        }
    };
    if kind == AlertKind::FeedSuspect {
        let notes: Vec<_> = state.doubts().into_iter().map(Note::from).collect();
        let mut verdict = told(if_any(&notes));
        verdict.facts = state.kinds_of_doubt().map(|it| fact(&it)).collect();
        verdict.gathers = GATHERS;
        return (verdict, None, notes, None);
    }
    if kind == AlertKind::FeedFlawed {
        let remarks = state.remarks.iter();
        let notes: Vec<_> = remarks
            .map(|(kind, sentence)| Note {
                topic: match kind.as_str() {
                    "columns" => topic(kind).with(topics_of_columns(&state.lost)),
                    kind => topic(kind),
                },
                sentence: sentence.clone(),
            })
            .collect();
        let mut verdict = told(if_any(&notes));
        let topics = notes.iter().map(|note| note.topic);
        verdict.topics = topics.fold(Topics::NONE, Topics::with);
        return (verdict, None, notes, None);
    }
    let mut notes = Vec::new();
    let (condition, changes_at) = match state.succeeded_at {
        Some(at) => {
            let stale_at =
                at.0.checked_add(files.stale_after)
                    .unwrap_or(Timestamp::MAX);
            let read = local(installation, at.0);
            notes.push(Note::from(format!("The last good read was at {read}.")));
            if now < stale_at {
                (Condition::Clear, Some(stale_at))
            } else {
                (Condition::Breached, None)
            }
        }
        None => {
            let never = "It has never been read successfully.";
            notes.push(Note::from(never.to_owned()));
            (Condition::Breached, None)
        }
    };
    notes.extend(state.last_error.clone().map(Note::from));
    let mut verdict = told(condition);
    if state.succeeded_at.is_none() {
        verdict.pending = files.stale_after; // a new source has its time to begin
    }
    (verdict, changes_at, notes, None)
}

fn words(
    installation: &Installation,
    subject: &Subject,
    kind: AlertKind,
    change: RevisionKind,
    notes: &[String],
    now: Timestamp,
) -> Message {
    Message {
        alert: String::new(),
        revision: 0,
        correlation: None,
        change,
        kind,
        severity: severity(kind),
        subject: subject.clone(),
        at: now,
        product: subject.to_string(),
        location: None,
        zone: installation.config.account.zone.to_string(),
        before: None,
        after: None,
        threshold: None,
        basis: None,
        rule: None,
        why: None,
        days_of_supply: None,
        sold: None,
        notes: notes.to_vec(),
        link: link(installation, subject),
        ending: None,
        renamed_to: None,
        renamed_name: None,
        digest: None,
    }
}

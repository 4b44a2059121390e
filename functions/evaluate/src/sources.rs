//! Sources that are read on a schedule: stale when nothing good has come for too long, suspect when
//! what came cannot be believed.

use std::collections::BTreeSet;

use jiff::Timestamp;
use shared::config::connector::ConnectorSettings;
use shared::domain::alert::{Ending, RevisionKind};
use shared::domain::id::ConnectorName;
use shared::domain::message::Message;
use shared::domain::rule::Condition;
use shared::domain::watch::Verdict;
use shared::domain::{AlertKind, Severity, Subject};
use shared::installation::Installation;
use shared::store::StoreError;
use shared::store::feeds::FeedState;
use shared::store::jobs::Reexamination;

use crate::announce::{Look, Looked};
use crate::words::link;
use crate::{EvaluateError, Evaluator};

const ATTEMPTS: usize = 8;

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
        for kind in [AlertKind::FeedStale, AlertKind::FeedSuspect] {
            let mut looked = Looked::Again;
            for _ in 0..ATTEMPTS {
                let state = self.store.feed_health(connector).await?;
                let (seen, state) =
                    state.map_or((0, FeedState::default()), |s| (s.version, s.data));
                let now = self.store.clock().now();
                let (verdict, changes_at, notes) =
                    judge(installation, connector, kind, &state, now);
                let watches = self.store.watches(&subject).await?;
                let stored = watches.iter().find(|stored| stored.data.kind == kind);
                let was_open = stored.is_some_and(|s| s.data.watch.episode().is_some());
                if was_open && verdict.condition == Condition::Clear {
                    // First, so that a crash in between leaves no position silent for ever.
                    self.look_again_at_items_of(connector, seen).await?;
                }
                let words = |change| words(installation, &subject, kind, change, &notes, now);
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
                    keeps_time: false,
                    category: None,
                };
                looked = self.step(look, &words).await?;
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

    /// Looks whether anything of one kind waits in quarantine.
    pub(crate) async fn look_at_quarantine(
        &self,
        installation: &Installation,
        connector: &ConnectorName,
        reason: &str,
    ) -> Result<(), EvaluateError> {
        let subject = Subject::Quarantine {
            connector: connector.clone(),
            reason: reason.to_owned(),
        };
        for _ in 0..ATTEMPTS {
            let Some(held) = self.store.held_kind(connector, reason).await? else {
                return Ok(());
            };
            let now = self.store.clock().now();
            let verdict = Verdict {
                condition: if held.data.open {
                    Condition::Breached
                } else {
                    Condition::Clear
                },
                severity: Severity::Warning,
                manner: installation.config.alerts.manner(),
                ..Verdict::unwatched(Ending::Recovered)
            };
            let watches = self.store.watches(&subject).await?;
            let notes = [format!("The first of them: {}", held.data.example)];
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
                changes_at: None,
                keeps_time: false,
                category: None,
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

    /// Its items' alerts were held back while the source was down.
    async fn look_again_at_items_of(
        &self,
        connector: &ConnectorName,
        seen: u64,
    ) -> Result<(), EvaluateError> {
        let job = Reexamination::new(format!("feed-{connector}-{seen}")).of(connector.clone());
        self.store.start_job(job).await?;
        Ok(())
    }
}

fn judge(
    installation: &Installation,
    connector: &ConnectorName,
    kind: AlertKind,
    state: &FeedState,
    now: Timestamp,
) -> (Verdict, Option<Timestamp>, Vec<String>) {
    let known = installation.config.connectors.get(connector);
    let Some((common, ConnectorSettings::Files(files))) = known.map(|c| (&c.common, &c.settings))
    else {
        return (Verdict::unwatched(Ending::SourceRemoved), None, Vec::new());
    };
    if !common.enabled {
        return (Verdict::unwatched(Ending::SourceRemoved), None, Vec::new());
    }
    let told = |condition| Verdict {
        condition,
        severity: Severity::Critical,
        manner: installation.config.alerts.manner(),
        ..Verdict::unwatched(Ending::Recovered)
    };
    if kind == AlertKind::FeedSuspect {
        let condition = if state.suspicions.is_empty() {
            Condition::Clear
        } else {
            Condition::Breached
        };
        return (told(condition), None, state.suspicions.clone());
    }
    let mut notes = Vec::new();
    let (condition, changes_at) = match state.succeeded_at {
        Some(at) => {
            let stale_at =
                at.0.checked_add(files.stale_after)
                    .unwrap_or(Timestamp::MAX);
            notes.push(format!(
                "The last good read was at {}.",
                at.0.strftime("%Y-%m-%d %H:%M UTC")
            ));
            if now < stale_at {
                (Condition::Clear, Some(stale_at))
            } else {
                (Condition::Breached, None)
            }
        }
        None => {
            notes.push("It has never been read successfully.".to_owned());
            (Condition::Breached, None)
        }
    };
    notes.extend(state.last_error.clone());
    let mut verdict = told(condition);
    if state.succeeded_at.is_none() {
        verdict.pending = files.stale_after; // a new source has its time to begin
    }
    (verdict, changes_at, notes)
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
        severity: Severity::Critical,
        subject: subject.clone(),
        at: now,
        product: subject.to_string(),
        location: None,
        zone: installation.config.account.zone.to_string(),
        before: None,
        after: None,
        threshold: None,
        rule: None,
        why: None,
        days_of_supply: None,
        sold: None,
        notes: notes.to_vec(),
        link: link(installation, subject),
        ending: None,
        digest: None,
    }
}

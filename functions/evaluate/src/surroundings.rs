//! What every look needs besides what has changed: the configuration in force, and whether the source
//! that states a position is up.
//!
//! Both are asked for at most once a second, and the source's health only of the source that owns a
//! position that is looked at: nothing here grows with the number of sources. A batch is looked at again
//! if what it was looked at by has changed when it is done. Whoever changes it starts a job that looks
//! at everything. The job starts only once no instance uses the old state; so each position's last look
//! uses the new one. A second look at what was seen by the same state says nothing twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use shared::domain::authority::Authority;
use shared::domain::id::ConnectorName;
use shared::domain::position::Position;
use shared::installation::{Installation, KEPT, SourceHealth, Trust};

use crate::{EvaluateError, Evaluator};

/// What holds while records are looked at.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) installation: Arc<Installation>,
    /// Who has the last word.
    pub(crate) authority: Authority,
    /// The sources that were asked after, and how each was.
    seen: Mutex<BTreeMap<ConnectorName, Trust>>,
}

/// What this instance knows of its sources' health, and when it asked.
#[derive(Debug, Default)]
pub(crate) struct Healths(Mutex<HashMap<ConnectorName, (Timestamp, SourceHealth)>>);

impl Evaluator {
    /// The surroundings as they are now, or were a second ago.
    pub(crate) async fn surroundings(&self) -> Result<Surroundings, EvaluateError> {
        let installation = self.installations.current().await?;
        Ok(Surroundings {
            authority: installation.authority(),
            installation,
            seen: Mutex::default(),
        })
    }

    /// Whether the source that states this position's quantity has no data for it: it is stale, or its
    /// files are not believed or its webhooks do not come, and it has said nothing of this position since.
    pub(crate) async fn inhibits(
        &self,
        around: &Surroundings,
        position: &Position,
    ) -> Result<bool, EvaluateError> {
        let Some(owner) = position.owner(&around.authority.quantities) else {
            return Ok(false);
        };
        let trust = self.trust(&around.installation, owner).await?;
        if let Ok(mut seen) = around.seen.lock() {
            seen.insert(owner.clone(), trust);
        }
        Ok(trust.withholds(position, owner))
    }

    /// Whether a look by what holds now comes to the same as one by these surroundings.
    pub(crate) async fn still_holds(&self, around: &Surroundings) -> Result<bool, EvaluateError> {
        let now = self.installations.current().await?;
        if now.version != around.installation.version {
            return Ok(false);
        }
        let seen = around
            .seen
            .lock()
            .map(|seen| seen.clone())
            .unwrap_or_default();
        for (source, trust) in seen {
            if self.trust(&now, &source).await? != trust {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn trust(
        &self,
        installation: &Installation,
        source: &ConnectorName,
    ) -> Result<Trust, EvaluateError> {
        if installation.files_of(source).is_none() && !installation.bounds_silence_of(source) {
            return Ok(Trust::All);
        }
        let now = self.store.clock().now();
        let health = self.health(installation, source, now).await?;
        Ok(installation.trust_by(source, &health, now))
    }

    /// A source's health has changed: what is known of it is asked for anew.
    pub(crate) fn forget_health(&self, source: &ConnectorName) {
        if let Ok(mut known) = self.healths.0.lock() {
            known.remove(source);
        }
    }

    async fn health(
        &self,
        installation: &Installation,
        source: &ConnectorName,
        now: Timestamp,
    ) -> Result<SourceHealth, EvaluateError> {
        if let Ok(known) = self.healths.0.lock()
            && let Some((asked_at, health)) = known.get(source)
            && (SignedDuration::ZERO..KEPT).contains(&now.duration_since(*asked_at))
        {
            return Ok(health.clone());
        }
        let health = installation.health_of(&self.store, source).await?;
        if let Ok(mut known) = self.healths.0.lock() {
            known.insert(source.clone(), (now, health.clone()));
        }
        Ok(health)
    }
}

//! What every look needs besides what has changed: the configuration in force, and how its sources are.
//!
//! They are read once for a batch or a page, not once for each of its records, and again when it is
//! done. If they have changed in between, its records are looked at again: whoever changed them starts
//! looking at everything (F26) only after that, so the last look at each position is by the state that
//! holds. A second look at what was seen by the same state says nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared::config::connector::ConnectorSettings;
use shared::domain::authority::Authority;
use shared::domain::id::ConnectorName;
use shared::domain::position::Position;
use shared::installation::Installation;

use crate::{EvaluateError, Evaluator};

/// What holds while records are looked at.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) installation: Arc<Installation>,
    /// Who has the last word, with each source's last snapshot.
    pub(crate) authority: Authority,
    /// Sources that cannot be believed at the moment.
    down: BTreeSet<ConnectorName>,
}

impl Surroundings {
    /// Whether the source that states this position's quantity cannot be believed (F47).
    pub(crate) fn inhibit(&self, position: &Position) -> bool {
        position
            .owner(&self.authority.quantities)
            .is_some_and(|owner| self.down.contains(owner))
    }

    /// Whether a look by these comes to the same as by the others.
    pub(crate) fn equal(&self, other: &Self) -> bool {
        self.installation.version == other.installation.version
            && self.authority.quantities.confirmed == other.authority.quantities.confirmed
            && self.down == other.down
    }
}

impl Evaluator {
    /// The surroundings as they are now.
    pub(crate) async fn surroundings(&self) -> Result<Surroundings, EvaluateError> {
        let installation = self.installations.current().await?;
        let now = self.store.clock().now();
        let (mut confirmed, mut down) = (BTreeMap::new(), BTreeSet::new());
        for (name, connector) in &installation.config.connectors {
            let ConnectorSettings::Files(files) = &connector.settings else {
                continue;
            };
            let Some(feed) = self.store.feed(name).await? else {
                continue;
            };
            let feed = feed.data;
            if connector.common.enabled
                && let Some(at) = feed.snapshot_at
            {
                confirmed.insert(name.clone(), at.0);
            }
            let stale = feed
                .succeeded_at
                .is_some_and(|at| now.duration_since(at.0) > files.stale_after);
            if stale || !feed.suspicions.is_empty() {
                down.insert(name.clone());
            }
        }
        Ok(Surroundings {
            authority: installation.authority(confirmed),
            installation,
            down,
        })
    }
}

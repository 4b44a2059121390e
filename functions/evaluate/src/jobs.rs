//! Looking again at everything a change of configuration, or a feed's recovery, may concern (F26).

use std::borrow::Cow;

use jiff::Timestamp;
use shared::domain::Origin;
use shared::installation::Installation;
use shared::store::jobs::Reexamination;

use crate::{EvaluateError, Evaluator};

/// Positions per page: well inside one invocation's time.
const PAGE: i32 = 50;

impl Evaluator {
    /// Starts looking at every position by the new rules, and again when a season begins or ends.
    pub(crate) async fn configuration_changed(&self, version: u64) -> Result<(), EvaluateError> {
        // What wrote the configuration has started it; it starts twice if it is done by now.
        let job = Reexamination::configuration(version);
        self.store.start_job(job).await?;
        let installation = self.installation().await?;
        self.plan_next_season(&installation).await
    }

    /// Looks at the next page of a job, if it is time for it.
    pub async fn proceed(&self, id: &str) -> Result<(), EvaluateError> {
        let Some(stored) = self.store.job(id).await? else {
            return Ok(()); // done already
        };
        let job = &stored.data;
        if job
            .not_before
            .is_some_and(|at| self.store.clock().now() < at.0)
        {
            return Ok(());
        }
        let this = self.because_of_job(id);
        let mut around = self.surroundings().await?;
        let page = self.store.positions(job.cursor.as_deref(), PAGE).await?;
        loop {
            for position in &page.items {
                let owner = position.owner(&around.authority.quantities);
                if job.owned_by.is_none() || owner == job.owned_by.as_ref() {
                    // The list may lag behind; the position itself is read again.
                    let current = self
                        .store
                        .position(&position.product, &position.location)
                        .await?;
                    if let Some(position) = current {
                        this.look_at_position(&around, None, &position).await?;
                    }
                }
            }
            let now = self.surroundings().await?;
            if now.equal(&around) {
                break;
            }
            around = now;
        }
        let installation = &around.installation;
        if page.next.is_none() && job.owned_by.is_none() {
            self.plan_next_season(installation).await?;
        }
        // Somebody else may have looked at the same page meanwhile; then the job is theirs.
        self.store.advance_job(&stored, page.next).await?;
        Ok(())
    }

    /// What a job finds goes back to the job, page by page.
    fn because_of_job(&self, id: &str) -> Cow<'_, Self> {
        let at = self.store.clock().now();
        self.on_behalf_of(id.parse().ok().map(|id| Origin { id, at }))
    }

    /// Has the clock start a job when a rule's season next begins or ends.
    async fn plan_next_season(&self, installation: &Installation) -> Result<(), EvaluateError> {
        let now = self.store.clock().now();
        let Some(at) = next_season(installation, now) else {
            return Ok(());
        };
        let id = format!("{SEASON}{}-{}", installation.version, at.as_millisecond());
        self.store.start_job(Reexamination::new(id).at(at)).await?;
        Ok(())
    }
}

const SEASON: &str = "season-";

fn next_season(installation: &Installation, now: Timestamp) -> Option<Timestamp> {
    let account = &installation.config.account.zone.0;
    let locations = installation.config.locations.locations();
    installation
        .rules
        .rules()
        .iter()
        .filter(|rule| !rule.seasons.is_empty())
        .flat_map(|rule| {
            locations
                .iter()
                .map(|location| &location.zone)
                .chain([account])
                .filter_map(|zone| rule.in_force(now, zone).changes_at)
        })
        .min()
}

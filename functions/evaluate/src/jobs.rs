//! Looking again at everything a change of configuration, or a feed's recovery, may concern.

use std::borrow::Cow;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use jiff::Timestamp;
use shared::config::Config;
use shared::delivery::end_with_channel;
use shared::domain::alert::AlertState;
use shared::domain::{ChannelName, Origin, Subject};
use shared::installation::{Installation, SETTLED};
use shared::store::jobs::{Reexamination, Stage};
use shared::store::quarantine::HeldState;
use shared::store::units::UNPLACED;
use shared::store::{Page, Store, StoreError};

use crate::sources::GONE;
use crate::{EvaluateError, Evaluator};

/// Positions or vehicles per page: well inside one invocation's time.
const PAGE: i32 = 50;
/// Open alerts or entries of the quarantine per page, of which most concern nobody here.
const OPEN: i32 = 100;
/// Messages that waited for their channels are announced at once up to so many.
const MOST_UNSENT: usize = 1_000;
/// What comes once the parts are under way, in this order: what waits for channels, and the lists of what is
/// open.
const UNSENT: &str = "unsent:";
const ALERTS: &str = "alerts:";
const QUARANTINE: &str = "quarantine:";

/// Where a job goes on; nowhere if it is done.
type Next = Option<(Stage, Option<String>)>;

impl Evaluator {
    /// Starts looking at everything by the new rules, and again when a season begins or ends.
    pub(crate) async fn configuration_changed(&self) -> Result<(), EvaluateError> {
        // What wrote the configuration has started it; it starts twice if it is done by now.
        self.store.start_job(Reexamination::configuration()).await?;
        Ok(())
    }

    /// Looks at the next page of a job, if it is time for it.
    pub async fn proceed(&self, id: &str) -> Result<(), EvaluateError> {
        let Some(mut stored) = self.store.job(id).await? else {
            return Ok(()); // done already
        };
        let job = &stored.data;
        if job
            .not_before
            .is_some_and(|at| self.store.clock().now() < at.0)
        {
            return Ok(());
        }
        let begins = job.stage == Stage::Spread && job.cursor.is_none();
        if begins && !self.all_know_of_it().await? {
            // Until nobody begins a look by what held before: the job has the last one.
            tokio::time::sleep(SETTLED).await;
        }
        let this = self.because_of_job(id);
        let mut newer = 0;
        let (looked, next) = match job.stage {
            Stage::Spread => match &job.cursor {
                None => Box::pin(this.spread()).await?,
                Some(cursor) if cursor == UNSENT => this.announce_unsent().await?,
                Some(cursor) => Box::pin(this.end_what_is_open(cursor)).await?,
            },
            Stage::Positions => Box::pin(this.look_at_positions(job, &mut newer)).await?,
            Stage::Units => Box::pin(this.look_at_units(job, &mut newer)).await?,
        };
        if newer > 0 {
            tracing::warn!(
                job = id,
                newer,
                "a job passes over what a newer version has written"
            );
            self.store.look_again_at_what_is_newer().await?;
            stored.data.passed_over += newer;
        }
        // Somebody else may have looked at the same page meanwhile; then the job is theirs.
        self.store.advance_job(&stored, looked, next).await?;
        Ok(())
    }

    /// Whether nobody can look at anything by what held before the job: where all functions are one
    /// process, the configuration that was applied in it is in force for all of them.
    async fn all_know_of_it(&self) -> Result<bool, EvaluateError> {
        let in_force = self.installation().await?.version;
        Ok(self.store.applied_version() == in_force)
    }

    /// Sets the parts of a look at everything to work, and looks at the sources, which are few.
    async fn spread(&self) -> Result<(u64, Next), EvaluateError> {
        for shard in Store::parts() {
            self.store.look_at_part(shard).await?;
        }
        let installation = self.installation().await?;
        for connector in installation.config.connectors.keys() {
            let look = self.look_at_source(&installation, connector);
            unless_hopeless(connector, look).await?;
            for kind in self.store.held_kinds(connector).await? {
                let look = self.look_at_quarantine(&installation, connector, &kind.data.reason);
                unless_hopeless(connector, look).await?;
            }
        }
        self.end_inbox(&installation.config).await?;
        self.plan_next_season(&installation).await?;
        Ok((0, Some((Stage::Spread, Some(UNSENT.to_owned())))))
    }

    /// Has what waits for a channel looked at now: it may have been switched on, or named anew.
    async fn announce_unsent(&self) -> Result<(u64, Next), EvaluateError> {
        let installation = self.installation().await?;
        let channels = &installation.config.channels;
        let in_use = |name: &ChannelName| channels.get(name).is_some_and(|it| it.common.enabled);
        let unsent = self.store.unsent(in_use, MOST_UNSENT).await?;
        self.bus.announce(&unsent).await;
        Ok((0, Some((Stage::Spread, Some(ALERTS.to_owned())))))
    }

    /// Ends what is still open of sources and channels that the configuration does not have any more, a page
    /// at a time: their alerts, and then what of the sources is in quarantine.
    async fn end_what_is_open(&self, cursor: &str) -> Result<(u64, Next), EvaluateError> {
        let installation = self.installation().await?;
        let next = match cursor.strip_prefix(QUARANTINE) {
            None => {
                let from = cursor.strip_prefix(ALERTS);
                let next = self.end_alerts(&installation, from).await?;
                let next = next.map(|next| format!("{ALERTS}{next}"));
                Some(next.unwrap_or_else(|| QUARANTINE.to_owned()))
            }
            Some(from) => {
                let next = self.look_at_held(&installation, from).await?;
                next.map(|next| format!("{QUARANTINE}{next}"))
            }
        };
        Ok((0, next.map(|cursor| (Stage::Spread, Some(cursor)))))
    }

    async fn end_alerts(
        &self,
        installation: &Installation,
        from: Option<&str>,
    ) -> Result<Option<String>, EvaluateError> {
        let from = from.filter(|from| !from.is_empty());
        let page = self.store.alerts(AlertState::Open, from, OPEN).await?;
        let is_gone = |source| !installation.config.has_source(source);
        for alert in &page.items {
            match &alert.subject {
                Subject::Connector { connector } if is_gone(connector) => {
                    let look = self.look_at_source(installation, connector);
                    unless_hopeless(connector, look).await?;
                }
                Subject::Quarantine { connector, reason } if is_gone(connector) => {
                    let look = self.look_at_quarantine(installation, connector, reason);
                    unless_hopeless(connector, look).await?;
                }
                Subject::Channel { channel }
                    if !installation.config.channels.contains_key(channel) =>
                {
                    let end = Box::pin(end_with_channel(&self.store, installation, channel));
                    unless_hopeless(channel, async { Ok(end.await?) }).await?;
                }
                _ => {}
            }
        }
        Ok(page.next)
    }

    /// Closes what no source is there for any more, and has the rest that depends on the configuration say
    /// why it is held now.
    async fn look_at_held(
        &self,
        installation: &Installation,
        from: &str,
    ) -> Result<Option<String>, EvaluateError> {
        let (config, authority) = (&installation.config, installation.authority());
        let from = Some(from).filter(|from| !from.is_empty());
        let page = self.store.quarantined(HeldState::Open, from, OPEN).await?;
        for held in &page.items {
            if !config.has_source(&held.source) {
                self.store.close_quarantined(&held.id, GONE).await?;
            } else if held.reason == UNPLACED {
                self.store.renew_unplaced(held, &authority).await?;
            }
        }
        Ok(page.next)
    }

    /// Removals that wait for approval: few, as a source has one entry.
    async fn end_inbox(&self, config: &Config) -> Result<(), EvaluateError> {
        let mut cursor = None;
        loop {
            let page = self.store.inbox(cursor.as_deref(), OPEN).await?;
            let gone = page.items.iter();
            for entry in gone.filter(|entry| !config.has_source(&entry.connector)) {
                self.store.withdraw_inbox(&entry.id).await?;
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn look_at_positions(
        &self,
        job: &Reexamination,
        newer: &mut u64,
    ) -> Result<(u64, Next), EvaluateError> {
        let page = page(job, |from, most| async move {
            self.store.each_position(from.as_deref(), most).await
        });
        let (page, looked) = readable(page.await?, newer)?;
        let mut around = self.surroundings().await?;
        loop {
            for listed in &page.items {
                if job.is_about(listed.owner(&around.authority.quantities)) {
                    let (product, location) = (&listed.product, &listed.location);
                    let look = async {
                        // The list may lag behind; the position itself is read again.
                        let config = &around.installation.config;
                        let mut now = self.store.position(product, location).await?;
                        if let Some(position) = &now
                            && job.owners.is_empty()
                            && self.end_statements(config, position).await?
                        {
                            now = self.store.position(product, location).await?;
                        }
                        match now {
                            Some(now) => Box::pin(self.look_at_position(&around, None, &now)).await,
                            None => Ok(()),
                        }
                    };
                    unless_hopeless(format!("{product} {location}"), unless_newer(look, newer))
                        .await?;
                }
            }
            if self.still_holds(&around).await? {
                break;
            }
            around = self.surroundings().await?;
        }
        let next = match page.next {
            None if job.owners.is_empty() => Some((Stage::Units, None)),
            None => None,
            cursor => Some((Stage::Positions, cursor)),
        };
        Ok((looked, next))
    }

    async fn look_at_units(
        &self,
        job: &Reexamination,
        newer: &mut u64,
    ) -> Result<(u64, Next), EvaluateError> {
        let installation = self.installation().await?;
        let page = page(job, |from, most| async move {
            self.store.each_unit(from.as_deref(), most).await
        });
        let (page, looked) = readable(page.await?, newer)?;
        for listed in &page.items {
            let look = Box::pin(async {
                let mut now = self.store.unit(listed.vin.as_str()).await?;
                if let Some(unit) = &now
                    && (self.end_claims(&installation, unit).await?
                        | self.place_anew(&installation, unit).await?)
                {
                    now = self.store.unit(listed.vin.as_str()).await?;
                }
                match now {
                    Some(now) => self.look_at_unit(&installation, &now).await,
                    None => Ok(()),
                }
            });
            unless_hopeless(&listed.vin, unless_newer(look, newer)).await?;
        }
        let next = page.next.map(|cursor| (Stage::Units, Some(cursor)));
        Ok((looked, next))
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
        let job = Reexamination::season(installation.version, at);
        self.store.start_job(job).await?;
        Ok(())
    }
}

/// A page of a job's list: of its own shard, or over as many of them as that takes.
async fn page<T, F>(
    job: &Reexamination,
    // No async closure: the compiler cannot tell yet that its futures may change threads.
    read: impl Fn(Option<String>, i32) -> F,
) -> Result<Page<T>, StoreError>
where
    F: Future<Output = Result<Page<T>, StoreError>>,
{
    let beginning = job.shard.map(Store::beginning_of);
    let mut cursor = job.cursor.clone().or_else(|| beginning.clone());
    let mut items = Vec::new();
    loop {
        let left = PAGE - i32::try_from(items.len()).unwrap_or(PAGE);
        let part = read(cursor, left).await?;
        items.extend(part.items);
        cursor = part.next.filter(|next| {
            let shard = beginning.as_deref();
            shard.is_none_or(|shard| next.starts_with(shard))
        });
        if cursor.is_none() || items.len() >= PAGE.unsigned_abs() as usize {
            let next = cursor;
            return Ok(Page { items, next });
        }
    }
}

/// What of a page can be read, and how much there was. What never can be shows in the log, and is passed
/// over: it would keep a job from everything that comes after it, for ever. So is what a newer version has
/// written, which may be there to stay where the version was taken back.
fn readable<T>(
    page: Page<Result<T, StoreError>>,
    newer: &mut u64,
) -> Result<(Page<T>, u64), StoreError> {
    let all = page.items.len() as u64;
    let readable = |item: Result<T, StoreError>| match item {
        Err(error @ StoreError::Newer { .. }) => {
            *newer += 1;
            let cause = &error as &(dyn std::error::Error + 'static);
            tracing::warn!(error = cause, "a job passes over it");
            None
        }
        Err(error) if !error.is_transient() => {
            let cause = &error as &(dyn std::error::Error + 'static);
            tracing::error!(error = cause, "a job passes over what cannot be read");
            None
        }
        item => Some(item),
    };
    let items = page.items.into_iter().filter_map(readable);
    let readable = Page {
        items: items.collect::<Result<_, _>>()?,
        next: page.next,
    };
    Ok((readable, all))
}

/// A job's look at one thing, unless a newer version has written that meanwhile.
async fn unless_newer(
    look: impl Future<Output = Result<(), EvaluateError>>,
    newer: &mut u64,
) -> Result<(), EvaluateError> {
    match look.await {
        Err(error) if error.is_newer() => {
            *newer += 1;
            let cause = &error as &(dyn std::error::Error + 'static);
            tracing::warn!(error = cause, "a job passes over it");
            Ok(())
        }
        looked => looked,
    }
}

/// A job's look at one thing, which is passed over in the same way if no try will ever be better.
async fn unless_hopeless(
    subject: impl Display + Send,
    look: impl Future<Output = Result<(), EvaluateError>>,
) -> Result<(), EvaluateError> {
    match AssertUnwindSafe(look).catch_unwind().await {
        Ok(Err(error)) if !error.is_transient() => {
            let cause = &error as &(dyn std::error::Error + 'static);
            tracing::error!(error = cause, %subject, "a job passes over what no try will mend");
            Ok(())
        }
        Ok(looked) => looked,
        // The panic hook has said why.
        Err(_) => {
            tracing::error!(%subject, "a job passes over what made the evaluator panic");
            Ok(())
        }
    }
}

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

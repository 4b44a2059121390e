//! What is no longer in force with a place that a configuration removes: imported thresholds, and the
//! alerts that are open there.

use shared::config::Config;
use shared::domain::alert::AlertState;
use shared::domain::{GroupName, LocationId, Subject};

use crate::Context;
use crate::problem::Problem;

/// How many thresholds and alerts are looked through; that there may be more is said.
const MOST: usize = 20_000;
/// How many are asked for at once.
const PAGE: i32 = 200;
/// How many of each are named.
const NAMED: usize = 3;

/// The places of one configuration that another lacks.
struct Removed {
    locations: Vec<LocationId>,
    groups: Vec<GroupName>,
}

impl Removed {
    fn between(before: &Config, after: &Config) -> Self {
        let locations = before.locations.locations().iter();
        let mut groups: Vec<_> = locations.clone().flat_map(|it| it.groups.clone()).collect();
        groups.retain(|group| !after.locations.has_group(group));
        groups.sort_unstable();
        groups.dedup();
        let gone = locations.filter(|it| after.locations.location(&it.id).is_none());
        Self {
            locations: gone.map(|it| it.id.clone()).collect(),
            groups,
        }
    }

    fn has(&self, location: Option<&LocationId>, group: Option<&GroupName>) -> bool {
        location.is_some_and(|location| self.locations.contains(location))
            || group.is_some_and(|group| self.groups.contains(group))
    }

    fn in_words(&self) -> String {
        let locations = self.locations.iter().map(|it| format!("location `{it}`"));
        let groups = self.groups.iter().map(|it| format!("group `{it}`"));
        locations.chain(groups).collect::<Vec<_>>().join(", ")
    }
}

/// What was found of one kind.
#[derive(Default)]
struct Found {
    count: usize,
    named: Vec<String>,
    /// Whether not all were looked through.
    more: bool,
}

impl Found {
    fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(name());
        }
    }

    /// `at least 3 open alerts (a, b, …)`; nothing if none was found.
    fn in_words(&self, what: &str) -> Option<String> {
        let least = if self.more { "at least " } else { "" };
        let s = if self.count == 1 { "" } else { "s" };
        let rest = if self.count > self.named.len() {
            ", …"
        } else {
            ""
        };
        let named = self.named.join(", ");
        (self.count > 0).then(|| format!("{least}{} {what}{s} ({named}{rest})", self.count))
    }
}

/// A sentence for each kind of thing that is no longer in force where `after` takes the place of
/// `before`.
pub(super) async fn notes(
    context: &Context<'_>,
    before: &Config,
    after: &Config,
) -> Result<Vec<String>, Problem> {
    let removed = Removed::between(before, after);
    if removed.locations.is_empty() && removed.groups.is_empty() {
        return Ok(Vec::new());
    }
    let places = removed.in_words();
    let thresholds = thresholds(context, &removed).await?;
    let alerts = alerts(context, &removed).await?;
    let thresholds = thresholds.in_words("imported threshold").map(|what| {
        format!(
            "without {places}, what no longer applies: {what}. Kept for when the place comes back; an \
             import with `none` as the threshold takes one away"
        )
    });
    let alerts = alerts.in_words("open alert");
    let alerts = alerts.map(|what| format!("without {places}, what ends: {what}"));
    Ok(thresholds.into_iter().chain(alerts).collect())
}

async fn thresholds(context: &Context<'_>, removed: &Removed) -> Result<Found, Problem> {
    let (mut found, mut seen, mut cursor) = (Found::default(), 0, None);
    loop {
        let page = context
            .store
            .each_imported_rule(cursor.as_deref(), PAGE)
            .await?;
        seen += page.items.len();
        for rule in page.items {
            if removed.has(rule.scope.location.as_ref(), rule.scope.group.as_ref()) {
                let name = rule.id.as_str();
                found.add(|| name.strip_prefix("imported: ").unwrap_or(name).to_owned());
            }
        }
        cursor = page.next;
        found.more = cursor.is_some();
        if cursor.is_none() || seen >= MOST || context.is_late() {
            return Ok(found);
        }
    }
}

async fn alerts(context: &Context<'_>, removed: &Removed) -> Result<Found, Problem> {
    let (mut found, mut seen, mut cursor) = (Found::default(), 0, None);
    loop {
        let page = context
            .store
            .alerts(AlertState::Open, cursor.as_deref(), PAGE)
            .await?;
        seen += page.items.len();
        for alert in page.items {
            let is_gone = match &alert.subject {
                Subject::Position { location, .. } => removed.has(Some(location), None),
                Subject::Group { group, .. } => removed.has(None, Some(group)),
                _ => false,
            };
            if is_gone {
                found.add(|| format!("{} of {}", alert.kind, alert.subject));
            }
        }
        cursor = page.next;
        found.more = cursor.is_some();
        if cursor.is_none() || seen >= MOST || context.is_late() {
            return Ok(found);
        }
    }
}

//! Positions and sums over groups: low, out, and fast-selling stock.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use shared::domain::alert::RevisionKind;
use shared::domain::authority::Authority;
use shared::domain::id::{GroupName, LocationId};
use shared::domain::message::{Message, Stock};
use shared::domain::position::Position;
use shared::domain::rule::{Check, Condition, Facts, Resolution, days_of_supply, total};
use shared::domain::watch::Verdict;
use shared::domain::{AlertKind, ProductId, Severity, Subject};
use shared::installation::Installation;
use shared::store::StoreError;
use shared::store::alerts::ProductPicture;

use crate::announce::{Look, Looked};
use crate::surroundings::Surroundings;
use crate::{EvaluateError, Evaluator};

/// How often a look that met another one starts again.
const ATTEMPTS: usize = 8;
/// The days over which the rate of sale is taken for days of supply.
const SUPPLY_WINDOW: u16 = 30;
/// The graver kind first: while nothing is left, "low" has nothing to add.
const KINDS: [AlertKind; 3] = [
    AlertKind::OutOfStock,
    AlertKind::LowStock,
    AlertKind::HighDemand,
];

/// What is known around one position while it is looked at.
struct Scene<'a> {
    installation: &'a Installation,
    picture: &'a ProductPicture,
    authority: &'a Authority,
    now: Timestamp,
    inhibited: bool,
}

/// What the rules say of a position as it is at `after`, and of the sums it counts in: everything
/// that is decided before anything is written.
pub fn verdicts(
    installation: &Installation,
    authority: &Authority,
    picture: &ProductPicture,
    after: &Position,
    now: Timestamp,
) -> Vec<(Subject, AlertKind, Verdict)> {
    let scene = Scene {
        installation,
        picture,
        authority,
        now,
        inhibited: false,
    };
    scene
        .judge(None, after)
        .into_iter()
        .map(|judged| {
            let resolution = &judged.resolution;
            (resolution.subject(), resolution.kind, judged.verdict)
        })
        .collect()
}

impl Evaluator {
    /// Looks at a position as it was at `after`, and at the groups it counts towards.
    pub(crate) async fn look_at_position(
        &self,
        around: &Surroundings,
        before: Option<&Position>,
        after: &Position,
    ) -> Result<(), EvaluateError> {
        for _ in 0..ATTEMPTS {
            let mut picture = self.store.picture(&after.product).await?;
            // What this record says is looked at, not what may have become of it since: each crossing
            // counts. Of the other positions, the latest.
            picture
                .positions
                .insert(after.location.clone(), after.clone());
            let scene = Scene {
                installation: &around.installation,
                picture: &picture,
                authority: &around.authority,
                now: self.store.clock().now(),
                inhibited: self.inhibits(around, after).await?,
            };
            if self.look_once(&scene, before, after).await? {
                return Ok(());
            }
        }
        Err(StoreError::Contended {
            operation: "evaluate a position",
        }
        .into())
    }

    /// Looks at a product's sum over a group because time has passed.
    pub(crate) async fn look_at_group(
        &self,
        around: &Surroundings,
        product: &ProductId,
        group: &GroupName,
    ) -> Result<(), EvaluateError> {
        let picture = self.store.picture(product).await?;
        let member = around
            .installation
            .config
            .locations
            .members(group)
            .iter()
            .find_map(|location| picture.positions.get(location));
        match member {
            Some(position) => {
                self.because_of_time(position.origin.clone())
                    .look_at_position(around, None, position)
                    .await
            }
            None => Ok(()),
        }
    }

    /// One look at everything that a position concerns; `false` if another look came between.
    async fn look_once(
        &self,
        scene: &Scene<'_>,
        before: Option<&Position>,
        after: &Position,
    ) -> Result<bool, EvaluateError> {
        for judged in scene.judge(before, after) {
            let words = |change| scene.message(change, &judged);
            if self.step(scene.look(&judged), &words).await? == Looked::Again {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What is said of one subject by one rule, or by none.
struct Judged<'a> {
    resolution: Resolution<'a>,
    reading: Reading,
    verdict: Verdict,
    /// The revision of what was judged.
    revision: u64,
    shown: Shown<'a>,
}

/// What a rule says of a position, and with which number.
struct Reading {
    verdict: Verdict,
    threshold: Option<i64>,
    sold: Option<i64>,
    changes_at: Option<Timestamp>,
}

/// The quantities that a message shows.
struct Shown<'a> {
    before: Option<Stock>,
    after: Option<Stock>,
    sold: Option<&'a Position>,
}

impl<'a> Scene<'a> {
    /// What the rules say of the position, kind by kind, and then of the sums it counts in.
    fn judge(&self, before: Option<&Position>, after: &'a Position) -> Vec<Judged<'a>> {
        let installation = self.installation;
        let facts = Facts::of(
            &after.product,
            self.category(),
            &after.location,
            &installation.config.locations,
        );
        let sources = &self.authority.quantities;
        let stock = after.stock(sources);
        let earlier = before.and_then(|before| before.stock(sources));
        let mut judged = Vec::with_capacity(KINDS.len());
        let mut covered = false;
        for kind in KINDS {
            let resolution = installation.rules.resolve(kind, &facts);
            let reading = self.read(&resolution, stock.as_ref(), after);
            let mut verdict = reading.verdict;
            verdict.inhibited |= self.inhibited || (kind == AlertKind::LowStock && covered);
            covered |= kind == AlertKind::OutOfStock && verdict.condition == Condition::Breached;
            judged.push(Judged {
                resolution,
                reading,
                verdict,
                revision: after.revision,
                shown: Shown {
                    before: earlier,
                    after: stock,
                    sold: Some(after),
                },
            });
        }
        for resolution in installation.rules.rules_over_sums(&facts) {
            judged.push(self.judge_sum(resolution, before, after));
        }
        judged
    }

    /// What a rule over a sum says.
    fn judge_sum(
        &self,
        resolution: Resolution<'a>,
        before: Option<&Position>,
        after: &'a Position,
    ) -> Judged<'a> {
        let sources = &self.authority.quantities;
        let members = self.members(&resolution);
        let sum = |stocks: Vec<Option<Stock>>| total(stocks.iter().map(Option::as_ref));
        let stock = sum(members.iter().map(|member| member.stock(sources)).collect());
        let earlier = before.and_then(|before| {
            let as_before = |member: &&Position| {
                if member.location == before.location {
                    before.stock(sources)
                } else {
                    member.stock(sources)
                }
            };
            sum(members.iter().map(as_before).collect())
        });
        let reading = self.read(&resolution, stock.as_ref(), after);
        let mut verdict = reading.verdict;
        verdict.inhibited |= self.inhibited;
        Judged {
            resolution,
            reading,
            verdict,
            revision: members.iter().map(|member| member.revision).sum(),
            shown: Shown {
                before: earlier,
                after: stock,
                sold: None,
            },
        }
    }

    fn category(&self) -> Option<&'a str> {
        self.picture.description.as_ref()?.category.as_deref()
    }

    fn zone(&self, subject: &Subject) -> &'a TimeZone {
        match subject {
            Subject::Position { location, .. } => self.authority.zone(location),
            Subject::Group { group, .. } => self
                .installation
                .config
                .locations
                .members(group)
                .first()
                .map_or(&self.authority.zone, |first| self.authority.zone(first)),
            Subject::Unit { .. } | Subject::Connector { .. } | Subject::Channel { .. } => {
                &self.authority.zone
            }
        }
    }

    fn members(&self, resolution: &Resolution<'_>) -> Vec<&'a Position> {
        let Subject::Group { group, .. } = resolution.subject() else {
            return Vec::new();
        };
        self.installation
            .config
            .locations
            .members(&group)
            .iter()
            .filter_map(|location| self.picture.positions.get(location))
            .collect()
    }

    fn read(&self, resolution: &Resolution<'_>, stock: Option<&Stock>, at: &Position) -> Reading {
        let nothing = Reading {
            verdict: Verdict::without_rule(),
            threshold: None,
            sold: None,
            changes_at: None,
        };
        let Some(rule) = resolution.rule else {
            return nothing;
        };
        let zone = self.zone(&resolution.subject());
        let in_force = rule.in_force(self.now, zone);
        match in_force.check {
            Check::HighDemand(demand) => {
                let today = zone.to_datetime(self.now).date();
                let reading = demand.judge(&at.sold, today);
                let midnight = reading
                    .changes_on
                    .and_then(|day| day.to_zoned(zone.clone()).ok())
                    .map(|midnight| midnight.timestamp());
                Reading {
                    verdict: Verdict::under(rule, reading.condition, false),
                    threshold: Some(demand.at_least),
                    sold: Some(reading.sold),
                    changes_at: [in_force.changes_at, midnight].into_iter().flatten().min(),
                }
            }
            check => match check.threshold() {
                Some(threshold) => Reading {
                    verdict: Verdict::under(rule, threshold.judge(stock), false),
                    threshold: Some(threshold.units),
                    sold: None,
                    changes_at: in_force.changes_at,
                },
                None => nothing,
            },
        }
    }

    fn look(&self, judged: &Judged<'_>) -> Look<'a> {
        let subject = judged.resolution.subject();
        let kind = judged.resolution.kind;
        Look {
            installation: self.installation,
            stored: self.picture.watch(&subject, kind),
            subject,
            kind,
            verdict: judged.verdict,
            seen: judged.revision,
            changes_at: judged.reading.changes_at,
            category: self.category(),
        }
    }

    fn message(&self, change: RevisionKind, judged: &Judged<'_>) -> Message {
        let Judged {
            resolution,
            reading,
            shown,
            ..
        } = judged;
        let subject = resolution.subject();
        let zone = self.zone(&subject);
        let location = match &subject {
            Subject::Position { location, .. } => Some(self.place_name(location)),
            Subject::Group { group, .. } => Some(format!("group {group}")),
            Subject::Unit { .. } | Subject::Connector { .. } | Subject::Channel { .. } => None,
        };
        let today = zone.to_datetime(self.now).date();
        let sold: BTreeMap<_, _> = shown.sold.map(|at| at.sold.clone()).unwrap_or_default();
        Message {
            alert: String::new(),
            revision: 0,
            correlation: None,
            change,
            kind: resolution.kind,
            severity: resolution.rule.map_or(Severity::Info, |rule| rule.severity),
            at: self.now,
            product: product_name(resolution.product, self.picture),
            location,
            zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            before: shown.before,
            after: shown.after,
            threshold: reading.threshold,
            rule: resolution.rule.map(|rule| rule.id.to_string()),
            why: Some(resolution.explain(self.now, zone)),
            days_of_supply: shown
                .after
                .and_then(|stock| days_of_supply(stock.available, &sold, today, SUPPLY_WINDOW)),
            sold: reading.sold,
            notes: Vec::new(),
            link: link(self.installation, &subject),
            ending: None,
            digest: None,
            subject,
        }
    }

    fn place_name(&self, location: &LocationId) -> String {
        self.installation
            .config
            .locations
            .location(location)
            .map_or_else(|| location.to_string(), |known| known.name.clone())
    }
}

/// The product's name for people.
fn product_name(product: &ProductId, picture: &ProductPicture) -> String {
    if let Some(title) = picture
        .description
        .as_ref()
        .and_then(|known| known.title.clone())
    {
        return title;
    }
    match product.line() {
        Some((make, model)) => format!("{} {}", capitalised(make), capitalised(model)),
        None => product.to_string(),
    }
}

/// `continental-gt` → `Continental GT`: short words are abbreviations more often than not.
fn capitalised(folded: &str) -> String {
    let word = |word: &str| match word.chars().next() {
        _ if word.len() <= 2 => word.to_uppercase(),
        Some(first) => first.to_uppercase().chain(word.chars().skip(1)).collect(),
        None => String::new(),
    };
    folded.split('-').map(word).collect::<Vec<_>>().join(" ")
}

/// Where to look at it.
pub(crate) fn link(installation: &Installation, subject: &Subject) -> Option<String> {
    let base = installation.config.account.link_base.as_ref()?;
    let mut url = base.clone();
    let path = |end: &str| format!("{}/api/v1/{end}", base.path().trim_end_matches('/'));
    match subject {
        Subject::Position { product, location } => {
            url.set_path(&path("positions"));
            url.query_pairs_mut()
                .append_pair("product", product.as_str())
                .append_pair("location", location.as_str());
        }
        Subject::Group { product, .. } => {
            url.set_path(&path("positions"));
            url.query_pairs_mut()
                .append_pair("product", product.as_str());
        }
        Subject::Unit { vin } => url.set_path(&path(&format!("units/{vin}"))),
        Subject::Connector { .. } => url.set_path(&path("inbox")),
        Subject::Channel { .. } => url.set_path(&path("channels")),
    }
    Some(url.to_string())
}

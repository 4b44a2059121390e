//! What an import would change, and the change.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures::StreamExt as _;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::rows::{Describes, Import, Line, Rejected, Row, Target, no_such_place};
use crate::digest::sha256_hex;
use crate::domain::event::{Change, ProductDescription, StockEvent, Version};
use crate::domain::id::EventId;
use crate::domain::rule::{
    Basis, Boundary, Check, Layer, Over, Rule, RuleBook, RuleProblem, Said, Scope, Slot, Threshold,
    completed,
};
use crate::domain::watch::OwnManner;
use crate::domain::{Authority, LocationId, ProductId, Severity};
use crate::installation::Installation;
use crate::store::movements::{Act, Movement, api};
use crate::store::products::Product;
use crate::store::stated::Item;
use crate::store::stock::ApplyError;
use crate::store::together::Known;
use crate::store::{Store, StoreError};

/// Rows that are carried out at the same time.
const TOGETHER: usize = 16;

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// There was nothing of the kind before.
    New,
    /// It becomes something else.
    Changed,
    /// It is so already.
    Unchanged,
    /// This very import set it before, and it has changed since: it is left alone.
    Repeated,
}

/// One row beside what stands now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The line of the file, counted from 1; for JSON, the row.
    pub line: u64,
    /// `stock`, `threshold`, `title` or `category`.
    pub sets: String,
    /// Of what: `OIL-5W40 at north`, `category oils`.
    pub of: String,
    /// What becomes of it.
    pub effect: Effect,
    /// What stands now; null if nothing does.
    pub before: Value,
    /// What will.
    pub after: Value,
}

/// An import beside what stands now: what it would do, or what it has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// One for each row that was taken, in their order.
    pub differences: Vec<Difference>,
    /// The rows that were not taken.
    pub rejected: Vec<Rejected>,
    /// Columns that set nothing.
    pub passed_over: Vec<String>,
    /// How many rows are about products that nobody has spoken of before.
    pub unknown: usize,
    /// Those products.
    pub unknown_products: Vec<ProductId>,
}

impl Imported {
    /// How many rows have this effect.
    pub fn count(&self, effect: Effect) -> usize {
        let same = self.differences.iter().filter(|it| it.effect == effect);
        same.count()
    }
}

/// Why an import cannot go on. What is done stays done; a repetition completes it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The import's own key cannot be one.
    #[error("the import's key cannot be used: {0}")]
    Key(#[from] crate::domain::IdError),
}

/// What an import is done with.
pub struct Context<'a> {
    /// The configuration in force.
    pub installation: &'a Installation,
    /// Who owns what.
    pub authority: &'a Authority,
    /// Where the rows come from, for rules' origins: `thresholds.csv`.
    pub name: &'a str,
    /// The import's idempotency key.
    pub key: &'a str,
    /// Who imports.
    pub by: &'a str,
    /// Only compare.
    pub dry_run: bool,
    /// More rows come after these: what only a new version of the configuration brings into force waits
    /// for the last of them.
    pub more: bool,
}

/// What becomes of a threshold's rule, and the row's own key.
struct Planned {
    key: EventId,
    change: Option<RuleChange>,
}

#[derive(Clone)]
enum RuleChange {
    Set(Box<Rule>),
    Remove(Box<Rule>),
}

/// Imported thresholds by the place that they take.
type Thresholds = HashMap<Slot, Rule>;

/// What stands around the rows' thresholds.
struct Around<'a> {
    document: HashMap<Slot, &'a Rule>,
    /// What was imported before; it takes the place of what the document says.
    imported: Thresholds,
    /// What is known of the rows' products.
    known: Known,
}

/// A row's threshold, once it is known that it can stand.
#[derive(Clone)]
struct Taken {
    line: u64,
    of: String,
    key: EventId,
    /// The rule of its scope with nothing in it.
    blank: Rule,
    change: Option<RuleChange>,
}

/// What is set of a row together, or not at all.
#[derive(Clone)]
struct Part {
    line: u64,
    /// What it counts or describes.
    said: Option<Line>,
    threshold: Option<Taken>,
}

impl From<Line> for Part {
    fn from(line: Line) -> Self {
        Self {
            line: line.line,
            said: Some(line),
            threshold: None,
        }
    }
}

impl Part {
    fn about(&self) -> Vec<About> {
        let said = self.said.iter().map(Line::about);
        let threshold = self.threshold.iter().map(|taken| About {
            sets: "threshold",
            what: taken.of.clone(),
        });
        said.chain(threshold).collect()
    }
}

/// What came of it: what it has set, and the threshold that is still to be.
type Outcome = Result<(Option<Difference>, Option<Taken>), Rejected>;

impl Import {
    /// Compares every row with what stands, and unless this is a dry run, makes it so.
    pub async fn run(self, store: &Store, context: &Context<'_>) -> Result<Imported, ImportError> {
        let mut imported = Imported {
            differences: Vec::new(),
            rejected: self.rejected,
            passed_over: self.passed_over,
            ..Imported::default()
        };
        let mut rows = context.current_names(store, self.rows).await?;
        (imported.unknown, imported.unknown_products) = unknown(store, &rows).await?;
        let around = context.around(store, &rows).await?;
        let (parts, refused) = context.judge(&rows, &around)?;
        let mut refused_lines: HashSet<_> = refused.iter().map(|it| it.line).collect();
        imported.rejected.extend(refused);
        rows.retain(|line| !refused_lines.contains(&line.line));
        let known = context.known(store, &rows).await?;
        // Stock that falls goes last, or it would be judged by the thresholds and the category of before. What it is
        // refused for is seen only as it is counted, so that is tried before anything of its row is set.
        let (counts, limits) = (
            parts.iter().any(|part| part.said.is_some()),
            parts.iter().any(|part| part.threshold.is_some()),
        );
        let trial = Context {
            dry_run: true,
            ..*context
        };
        let (first, counted) = match counts && limits && !context.dry_run {
            true => (&trial, parts.clone()),
            false => (context, Vec::new()),
        };
        let (mut thresholds, mut taken_lines) = (Vec::new(), HashSet::new());
        for (line, outcome) in first.set_all(store, parts, &known).await? {
            match outcome {
                Ok((difference, threshold)) => {
                    taken_lines.insert(line);
                    imported
                        .differences
                        .extend(difference.filter(|_| counted.is_empty()));
                    thresholds.extend(threshold);
                }
                Err(rejected) => {
                    refused_lines.insert(line);
                    imported.rejected.push(rejected);
                }
            }
        }
        // Of what there is more by the row, that goes first: there was too little before, or there is enough by
        // the new threshold only with it.
        let counted = counted.into_iter().filter_map(|part| part.said);
        let counted = counted.filter(|line| taken_lines.contains(&line.line));
        let (more, counted): (Vec<_>, Vec<_>) =
            counted.partition(|line| context.is_more(line, &known));
        let more = more.into_iter().map(Part::from).collect();
        for (line, outcome) in context.set_all(store, more, &known).await? {
            match outcome {
                Ok((difference, _)) => imported.differences.extend(difference),
                // It stands otherwise than a moment ago.
                Err(rejected) => {
                    taken_lines.remove(&line);
                    thresholds.retain(|taken| taken.line != line);
                    imported.rejected.push(rejected);
                }
            }
        }
        let differences = context.set_thresholds(store, thresholds, &around).await?;
        let set_lines: HashSet<_> = differences.iter().map(|it| it.line).collect();
        imported.differences.extend(differences);
        // A product has a row for each of its places, and one title.
        let mut said = HashSet::new();
        rows.retain(|line| match &line.row {
            Row::Described {
                product,
                what,
                text,
            } => {
                !refused_lines.contains(&line.line)
                    && said.insert((product.clone(), *what, text.clone()))
            }
            Row::Stock { .. } | Row::Threshold(_) => false,
        });
        let described = rows.into_iter().map(Part::from).collect();
        for (line, outcome) in context.set_all(store, described, &known).await? {
            match outcome {
                Ok((difference, _)) => imported.differences.extend(difference),
                Err(mut rejected) => {
                    if taken_lines.contains(&line) {
                        rejected.detail.push_str("; the rest of the row is taken");
                    }
                    imported.rejected.push(rejected);
                }
            }
        }
        let counted = counted.into_iter().map(Part::from).collect();
        for (line, outcome) in context.set_all(store, counted, &known).await? {
            match outcome {
                Ok((difference, _)) => imported.differences.extend(difference),
                // It stands otherwise than a moment ago.
                Err(mut rejected) => {
                    if set_lines.contains(&line) {
                        rejected.detail.push_str("; its threshold is set");
                    }
                    imported.rejected.push(rejected);
                }
            }
        }
        for rejected in &mut imported.rejected {
            let mut columns = self.columns.iter();
            let place = columns.position(|column| *column == rejected.field);
            rejected.column = rejected.column.or(place.map(|index| index + 1));
        }
        // Of a row first what was said of stock, then the threshold, then what describes.
        imported.differences.sort_by_key(|difference| {
            let sets = ["stock", "threshold"];
            let place = sets.iter().position(|it| *it == difference.sets);
            (difference.line, place.unwrap_or(sets.len()))
        });
        imported.rejected.sort_by_key(|rejected| rejected.line);
        Ok(imported)
    }
}

/// How many rows are about products of which nothing is known, and which those are. One of them may be a
/// slip of the pen, and its threshold would never be looked at.
async fn unknown(store: &Store, rows: &[Line]) -> Result<(usize, Vec<ProductId>), StoreError> {
    let products = rows.iter().filter_map(|line| match &line.row {
        Row::Threshold(target) => Some((line.line, target.scope.single_product()?)),
        Row::Described { product, .. } | Row::Stock { product, .. } => {
            Some((line.line, product.clone()))
        }
    });
    let mut lines: BTreeMap<ProductId, BTreeSet<u64>> = BTreeMap::new();
    for (line, product) in products {
        lines.entry(product).or_default().insert(line);
    }
    let named: Vec<_> = lines.keys().cloned().collect();
    let known = store.known(&[], &named).await?;
    let mut undescribed = named;
    undescribed.retain(|product| known.product(product).is_none());
    let looks = futures::stream::iter(undescribed).map(|product| async move {
        let is_stated = store.has_position(&product).await?;
        Ok::<_, StoreError>((!is_stated).then_some(product))
    });
    let found: Vec<_> = looks.buffered(TOGETHER).collect().await;
    let found: Vec<_> = found.into_iter().collect::<Result<_, _>>()?;
    let found: Vec<ProductId> = found.into_iter().flatten().collect();
    lines.retain(|product, _| found.contains(product));
    let about: BTreeSet<u64> = lines.into_values().flatten().collect();
    Ok((about.len(), found))
}

/// The keys of the thresholds that this import has set before.
async fn repeated(store: &Store, thresholds: &[Taken]) -> Result<HashSet<EventId>, StoreError> {
    let keys: Vec<_> = thresholds.iter().map(|taken| taken.key.clone()).collect();
    let looks = futures::stream::iter(keys).map(|key| async move {
        let before = store.was_carried_out(&key).await?;
        Ok::<_, StoreError>(before.then_some(key))
    });
    let found: Vec<_> = looks.buffered(TOGETHER).collect().await;
    let found: Vec<_> = found.into_iter().collect::<Result<_, _>>()?;
    Ok(found.into_iter().flatten().collect())
}

impl Context<'_> {
    /// What each row counts and sets a threshold to, and the rows of which something is known to be wrong
    /// before anything is set.
    fn judge(
        &self,
        rows: &[Line],
        around: &Around<'_>,
    ) -> Result<(Vec<Part>, Vec<Rejected>), ImportError> {
        let (mut parts, mut refused) = (Vec::new(), Vec::new());
        for row in rows.chunk_by(|one, next| one.line == next.line) {
            match self.part(row, around)? {
                Ok(part) => parts.extend(part),
                Err(rejected) => refused.push(rejected),
            }
        }
        Ok((parts, refused))
    }

    fn part(
        &self,
        row: &[Line],
        around: &Around<'_>,
    ) -> Result<Result<Option<Part>, Rejected>, ImportError> {
        let (mut said, mut threshold) = (None, None);
        for line in row {
            match &line.row {
                Row::Threshold(target) => match self.threshold(line.line, target, around) {
                    Ok((blank, change)) => {
                        threshold = Some(Taken {
                            line: line.line,
                            of: target.in_words(),
                            key: self.threshold_key(target)?,
                            blank,
                            change,
                        });
                    }
                    Err(rejected) => return Ok(Err(rejected)),
                },
                Row::Stock {
                    product, location, ..
                } => {
                    if let Some(rejected) = self.uncountable(line.line, product, location) {
                        return Ok(Err(rejected));
                    }
                    said = Some(line.clone());
                }
                Row::Described { .. } => {}
            }
        }
        let line = row.first().map_or(0, |line| line.line);
        let sets = said.is_some() || threshold.is_some();
        Ok(Ok(sets.then_some(Part {
            line,
            said,
            threshold,
        })))
    }

    /// Whether a row counts more than there was.
    fn is_more(&self, line: &Line, known: &Known) -> bool {
        let Row::Stock {
            product,
            location,
            on_hand,
        } = &line.row
        else {
            return false;
        };
        let before = known
            .position(product, location)
            .and_then(|it| it.balance(&self.authority.quantities));
        before.is_some_and(|before| before < *on_hand)
    }

    /// What is known of what the rows count and describe.
    async fn known(&self, store: &Store, rows: &[Line]) -> Result<Known, StoreError> {
        let (mut items, mut described) = (Vec::new(), Vec::new());
        for line in rows {
            match &line.row {
                Row::Stock {
                    product, location, ..
                } => items.push(Item::Position {
                    product: product.clone(),
                    location: location.clone(),
                }),
                Row::Described { product, .. } => described.push(product.clone()),
                Row::Threshold(_) => {}
            }
        }
        store.known(&items, &described).await
    }

    /// What came of each row, by its line: what it has set, and the threshold that is still to be. One about
    /// what an earlier row sets is refused, and counts in its place where that one is refused.
    async fn set_all(
        &self,
        store: &Store,
        parts: Vec<Part>,
        known: &Known,
    ) -> Result<Vec<(u64, Outcome)>, ImportError> {
        let (mut all, mut set) = (Vec::new(), HashSet::new());
        let mut waiting: Vec<_> = parts.into_iter().map(|part| (part.about(), part)).collect();
        while !waiting.is_empty() {
            let (mut now, mut later, mut spoken) = (Vec::new(), Vec::new(), HashSet::new());
            for (about, part) in waiting {
                if let Some(known) = about.iter().find(|about| set.contains(*about)) {
                    all.push((part.line, Err(known.rejected(part.line))));
                    continue;
                }
                let is_first = about.iter().all(|about| !spoken.contains(about));
                spoken.extend(about.iter().cloned());
                match is_first {
                    true => now.push((about, part)),
                    false => later.push((about, part)),
                }
            }
            // Each row is about something else, so their order does not matter.
            let outcomes: Vec<_> = futures::stream::iter(now)
                .map(async |(about, part)| {
                    let line = part.line;
                    let said = match part.said {
                        Some(said) => self.set(store, said, known).await?.map(Some),
                        None => Ok(None),
                    };
                    let outcome = said.map(|difference| (difference, part.threshold));
                    Ok::<_, ImportError>((about, line, outcome))
                })
                .buffered(TOGETHER)
                .collect()
                .await;
            for outcome in outcomes {
                let (about, line, outcome) = outcome?;
                if outcome.is_ok() {
                    set.extend(about);
                }
                all.push((line, outcome));
            }
            waiting = later;
        }
        Ok(all)
    }

    /// Sets what a row says of stock or of a product.
    async fn set(
        &self,
        store: &Store,
        line: Line,
        known: &Known,
    ) -> Result<Result<Difference, Rejected>, ImportError> {
        match line.row {
            Row::Stock {
                product,
                location,
                on_hand,
            } => {
                let row = (line.line, product, location, on_hand);
                self.stock(store, row, known).await
            }
            Row::Described {
                product,
                what,
                text,
            } => {
                let row = (line.line, product, what, text);
                self.described(store, row, known).await
            }
            Row::Threshold(_) => Ok(Err(line.about().rejected(line.line))),
        }
    }

    /// Sets thresholds that can stand; what becomes of each.
    async fn set_thresholds(
        &self,
        store: &Store,
        thresholds: Vec<Taken>,
        around: &Around<'_>,
    ) -> Result<Vec<Difference>, ImportError> {
        let repeated = repeated(store, &thresholds).await?;
        let now = store.clock().now();
        let mut then = around.imported.clone();
        for taken in &thresholds {
            match &taken.change {
                Some(RuleChange::Set(rule)) => drop(then.insert(rule.slot(), (**rule).clone())),
                Some(RuleChange::Remove(rule)) => drop(then.remove(&rule.slot())),
                None => {}
            }
        }
        let (mut differences, mut rules) = (Vec::new(), Vec::new());
        for taken in thresholds {
            // What one row says may hold for another's product too.
            let mut difference = self.difference(&taken, around, &then, now);
            if !repeated.contains(&taken.key) {
                let is_new = difference.effect != Effect::Unchanged;
                let change = taken
                    .change
                    .filter(|change| is_new || change.is_needed(around));
                let key = taken.key;
                rules.push(Planned { key, change });
            } else if difference.effect != Effect::Unchanged {
                difference.effect = Effect::Repeated;
            }
            differences.push(difference);
        }
        if !self.dry_run {
            self.apply_rules(store, rules).await?;
        }
        Ok(differences)
    }

    /// The rows with the SKUs that their products have now.
    async fn current_names(
        &self,
        store: &Store,
        rows: Vec<Line>,
    ) -> Result<Vec<Line>, ImportError> {
        let named = futures::stream::iter(rows).map(|mut line| async move {
            let product = match &mut line.row {
                Row::Threshold(target) => target.scope.product.as_mut(),
                Row::Described { product, .. } => Some(product),
                // Whoever carries a count out looks.
                Row::Stock { .. } => None,
            };
            if let Some(product) = product {
                *product = store.current_name(product).await?;
            }
            Ok::<_, StoreError>(line)
        });
        let named: Vec<_> = named.buffered(TOGETHER).collect().await;
        Ok(named.into_iter().collect::<Result<_, _>>()?)
    }

    fn threshold_key(&self, target: &Target) -> Result<EventId, crate::domain::IdError> {
        let cells: Map<_, _> = target
            .cells()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        self.row_key(&target.in_words(), cells)
    }

    /// The rules that stand for what these rows are about, and for more than that.
    async fn around<'a>(&'a self, store: &Store, rows: &[Line]) -> Result<Around<'a>, ImportError> {
        let thresholds = || {
            rows.iter().filter_map(|line| match &line.row {
                Row::Threshold(target) => Some((line.line, &**target)),
                Row::Stock { .. } | Row::Described { .. } => None,
            })
        };
        let products = thresholds().filter_map(|(_, target)| target.scope.product.clone());
        let known = store.known(&[], &products.collect::<Vec<_>>()).await?;
        let mut wanted = HashSet::new();
        for (line, target) in thresholds() {
            let Ok(blank) = self.blank(line, target) else {
                continue; // rejected when its turn comes
            };
            for scope in self.wider(&blank, &known) {
                let over = target.over;
                let wider = Target {
                    scope,
                    over,
                    ..Target::default()
                };
                let wider = self.blank(line, &wider)?;
                wanted.insert((wider.scope, wider.id));
            }
            wanted.insert((blank.scope, blank.id));
        }
        let wanted: Vec<_> = wanted.into_iter().collect();
        let imported = store.imported_rules(&wanted).await?;
        let document = self.installation.rules.rules().iter();
        Ok(Around {
            document: document.map(|rule| (rule.slot(), rule)).collect(),
            imported: imported.into_iter().map(|it| (it.slot(), it)).collect(),
            known,
        })
    }

    /// The scopes that cover a rule's own.
    fn wider(&self, rule: &Rule, known: &Known) -> Vec<Scope> {
        let product = rule.scope.product.as_ref();
        let category = product
            .and_then(|product| known.product(product)?.category(&self.authority.quantities));
        rule.scope
            .wider(category, &self.installation.config.locations)
    }

    /// What is in force for a rule's scope under these imported ones, if there is a rule of that very scope.
    fn in_force<'r>(
        &self,
        rule: &Rule,
        around: &'r Around<'_>,
        imported: &'r Thresholds,
    ) -> Option<Cow<'r, Rule>> {
        let own = layer(&rule.slot(), around, imported)?;
        let wider = self.wider_layers(rule, around, imported);
        completed(&[vec![own], wider].concat())
    }

    /// The same, or else what a rule says that is for more than that scope.
    fn applies<'r>(
        &self,
        rule: &Rule,
        around: &'r Around<'_>,
        imported: &'r Thresholds,
    ) -> Option<Cow<'r, Rule>> {
        let own = self.in_force(rule, around, imported);
        own.or_else(|| completed(&self.wider_layers(rule, around, imported)))
    }

    /// The rules for more than a rule's scope, the most specific first.
    fn wider_layers<'r>(
        &self,
        rule: &Rule,
        around: &'r Around<'_>,
        imported: &'r Thresholds,
    ) -> Vec<Layer<'r>> {
        let wider = self.wider(rule, &around.known).into_iter();
        let slots = wider.map(|scope| {
            let wider = Rule {
                scope,
                ..rule.clone()
            };
            wider.slot()
        });
        slots
            .filter_map(|slot| layer(&slot, around, imported))
            .collect()
    }

    /// What becomes of a threshold's rule, if it can stand, and the rule of its scope with nothing in it.
    fn threshold(
        &self,
        line: u64,
        target: &Target,
        around: &Around<'_>,
    ) -> Result<(Rule, Option<RuleChange>), Rejected> {
        let reject = |field: &str, detail: String| Rejected {
            line,
            column: None,
            field: field.to_owned(),
            detail,
        };
        let blank = self
            .blank(line, target)
            .map_err(|error| reject("", error.to_string()))?;
        let stands = around.imported.get(&blank.slot());
        let Some(units) = target.units else {
            // What the document says stays as it is; where nothing was imported, it is so already.
            let change = stands.map(|rule| RuleChange::Remove(Box::new(rule.clone())));
            return Ok((blank, change));
        };
        let rule = altered(stands, blank.clone(), target, units);
        let alone = HashMap::from([(rule.slot(), rule.clone())]);
        let whole = self.in_force(&rule, around, &alone);
        let whole = whole.map_or_else(|| rule.clone(), Cow::into_owned);
        let book = RuleBook::new(vec![whole], &self.installation.config.locations)
            .map_err(|errors| reject("", reason(errors.0)))?;
        if book.strays().next().is_some() {
            return Err(if rule.scope.location.is_some() {
                reject(
                    "location",
                    no_such_place(&self.installation.config.locations),
                )
            } else {
                reject("group", "is not in the configuration".to_owned())
            });
        }
        if let Some(other) = self.namesake(&rule) {
            let detail = format!(
                "rule `{}` ({}) has the import's name",
                other.id, other.origin
            );
            return Err(reject("", detail));
        }
        Ok((blank, Some(RuleChange::Set(Box::new(rule)))))
    }

    /// What is in force for a row's scope now, and what will be.
    fn difference(
        &self,
        taken: &Taken,
        around: &Around<'_>,
        then: &Thresholds,
        now: Timestamp,
    ) -> Difference {
        let zone = self.zone(&taken.blank);
        let value =
            |rule: Option<Cow<'_, Rule>>| rule.map_or(Value::Null, |rule| shown(&rule, now, zone));
        let own = |imported| value(self.in_force(&taken.blank, around, imported));
        let effect = match (own(&around.imported), own(then)) {
            (before, after) if before == after => Effect::Unchanged,
            (Value::Null, _) => Effect::New,
            _ => Effect::Changed,
        };
        // Where nothing is for that very scope, a rule for more than that applies there.
        let applies = |imported| value(self.applies(&taken.blank, around, imported));
        let (before, after) = (applies(&around.imported), applies(then));
        Difference {
            line: taken.line,
            sets: "threshold".to_owned(),
            of: taken.of.clone(),
            effect,
            before,
            after,
        }
    }

    /// The calendar by which a rule's seasons are shown: its location's, its group's first location's,
    /// or the account's.
    fn zone(&self, rule: &Rule) -> &TimeZone {
        let config = &self.installation.config;
        let members = |group| config.locations.members(group).first();
        let first = rule.scope.location.as_ref();
        let first = first.or_else(|| rule.scope.group.as_ref().and_then(members));
        let location = first.and_then(|id| config.locations.location(id));
        location.map_or(&config.account.zone.0, |location| &location.zone)
    }

    /// A rule of the document that happens to have the name of an imported one.
    fn namesake(&self, rule: &Rule) -> Option<&Rule> {
        let mut written = self.installation.config.rules.iter();
        written.find(|other| other.id == rule.id)
    }

    /// The rule that an import gives to a scope of which nothing is said yet.
    fn blank(&self, line: u64, target: &Target) -> Result<Rule, crate::domain::IdError> {
        Ok(Rule {
            id: format!("imported: {}", target.in_words()).parse()?,
            scope: target.scope.folded(),
            check: Check::LowStock(Threshold {
                units: 0,
                boundary: Boundary::AtOrBelow,
                basis: Basis::Available,
                recovery: None,
                over: target.over.unwrap_or(Over::Each),
            }),
            enabled: true,
            severity: Severity::Warning,
            pending: SignedDuration::ZERO,
            keep_firing: SignedDuration::from_mins(5),
            manner: OwnManner::default(),
            seasons: Vec::new(),
            said: Some(Said::default()),
            origin: format!("import {}:{line}", self.name),
        })
    }

    async fn apply_rules(&self, store: &Store, rules: Vec<Planned>) -> Result<(), StoreError> {
        let (mut set, mut remove) = (Vec::new(), Vec::new());
        let mut keys = Vec::new();
        for planned in rules {
            keys.push(planned.key);
            match planned.change {
                Some(RuleChange::Set(rule)) => set.push(*rule),
                Some(RuleChange::Remove(rule)) => remove.push(*rule),
                None => {}
            }
        }
        if !set.is_empty() || !remove.is_empty() {
            store.write_rules(&set, &remove, self.by).await?;
        }
        if !self.more {
            store.rules_in_force().await?;
        }
        // After what they stand for: a repetition of what was cut off in between does it again.
        store.note_carried_out(&keys, self.authority).await
    }

    /// Why nobody can count this product at this place, if nobody can.
    fn uncountable(
        &self,
        line: u64,
        product: &ProductId,
        location: &LocationId,
    ) -> Option<Rejected> {
        let places = &self.installation.config.locations;
        let (field, detail) = match places.location(location) {
            None => ("location", no_such_place(places)),
            Some(_) if product.line().is_some() => {
                let counted = "is counted from the vehicles that stand there";
                ("on_hand", counted.to_owned())
            }
            Some(_) => return None,
        };
        Some(Rejected {
            line,
            column: None,
            field: field.to_owned(),
            detail,
        })
    }

    async fn stock(
        &self,
        store: &Store,
        (line, product, location, on_hand): (u64, ProductId, LocationId, i64),
        known: &Known,
    ) -> Result<Result<Difference, Rejected>, ImportError> {
        // A debt is told as what it is: on hand shows it as zero, and zero counted would change it.
        let before = known
            .position(&product, &location)
            .and_then(|it| it.balance(&self.authority.quantities));
        let mut effect = match before {
            None => Effect::New,
            Some(known) if known == on_hand => Effect::Unchanged,
            Some(_) => Effect::Changed,
        };
        let of = format!("{product} at {location}");
        let movement = Movement {
            key: self.row_key(&of, on_hand)?,
            product,
            location,
            act: Act::Count { quantity: on_hand },
            at: None,
            reason: Some(format!("import {}:{line}", self.name)),
            actor: Some(self.by.to_owned()),
        };
        // What confirms the number is carried out as well: what is heard of later, and is older, does
        // not change it then.
        let mut repeated = self.dry_run && store.was_carried_out(&movement.key).await?;
        if !repeated {
            let outcome = match self.dry_run {
                true => {
                    let would = store.would_carry_out(&movement, self.authority).await;
                    would.map(|()| false)
                }
                false => {
                    let moved = store.carry_out(&movement, self.authority).await;
                    moved.map(|moved| moved.replayed)
                }
            };
            match outcome {
                Ok(replayed) => repeated = replayed,
                // From another line of the file.
                Err(ApplyError::Reused { .. }) => repeated = true,
                Err(ApplyError::Store(error)) => return Err(error.into()),
                Err(refused) => {
                    return Ok(Err(Rejected {
                        line,
                        column: None,
                        field: "on_hand".to_owned(),
                        detail: refused.to_string(),
                    }));
                }
            }
        }
        if repeated && effect != Effect::Unchanged {
            effect = Effect::Repeated;
        }
        Ok(Ok(Difference {
            line,
            sets: "stock".to_owned(),
            of,
            effect,
            before: json!(before),
            after: json!(on_hand),
        }))
    }

    async fn described(
        &self,
        store: &Store,
        (line, product, what, text): (u64, ProductId, Describes, String),
        known: &Known,
    ) -> Result<Result<Difference, Rejected>, ImportError> {
        let reject = |detail: String| {
            Ok(Err(Rejected {
                line,
                column: None,
                field: what.name().to_owned(),
                detail,
            }))
        };
        let sku = product.line().is_none().then(|| product.as_str().parse());
        let Some(Ok(sku)) = sku else {
            return reject("a model line is described by its vehicles".to_owned());
        };
        let sources = &self.authority.quantities;
        let stands = known.product(&product).cloned().unwrap_or_default();
        let said = |of: &Product| {
            let said = match what {
                Describes::Title => of.titled(sources),
                Describes::Category => of.categorized(sources),
            };
            said.map(|(source, text)| (source.clone(), text.to_owned()))
        };
        let before = said(&stands).map(|(_, text)| text);
        // A title's is as it was before there were categories.
        let key = match what {
            Describes::Title => self.row_key(product.as_str(), &text)?,
            Describes::Category => self.row_key(product.as_str(), [what.name(), &text])?,
        };
        let repeated = store.was_carried_out(&key).await?;
        let effect = match &before {
            Some(known) if *known == text => Effect::Unchanged,
            _ if repeated => Effect::Repeated,
            None => Effect::New,
            Some(_) => Effect::Changed,
        };
        let at = store.clock().now();
        let described = ProductDescription {
            sku,
            version: Version::at(at),
            title: (what == Describes::Title).then(|| text.clone()),
            category: (what == Describes::Category).then(|| text.clone()),
            external: [].into(),
        };
        let is_said = matches!(effect, Effect::New | Effect::Changed);
        let after = stands.after(&api()?, &described);
        if is_said
            && let Some((owner, stays)) = said(&after)
            && stays != text
        {
            let what = what.name();
            let detail = format!("it stays `{stays}`: the {what} belongs to `{owner}`");
            return reject(detail);
        }
        if is_said && !self.dry_run {
            let event = StockEvent {
                id: key.clone(),
                source: api()?,
                at,
                actor: Some(self.by.to_owned()),
                change: Change::Described(described),
            };
            match store.apply(&event, self.authority).await {
                Ok(_) => {}
                Err(ApplyError::Store(error)) => return Err(error.into()),
                Err(refused) => return reject(refused.to_string()),
            }
        }
        if !repeated && !self.dry_run {
            store.note_carried_out(&[key], self.authority).await?;
        }
        Ok(Ok(Difference {
            line,
            sets: what.name().to_owned(),
            of: product.to_string(),
            effect,
            before: json!(before),
            after: json!(text),
        }))
    }

    fn row_key(&self, of: &str, what: impl Serialize) -> Result<EventId, crate::domain::IdError> {
        let said = json!([self.key, of, what]).to_string();
        format!("import-{}", sha256_hex(said.as_bytes())).parse()
    }
}

/// What people see of a threshold rule. While a season is on, its number is in force, and the
/// rule's own waits for the season's end.
fn shown(rule: &Rule, now: Timestamp, zone: &TimeZone) -> Value {
    let Check::LowStock(threshold) = rule.check else {
        return Value::Null;
    };
    let mut shown = json!({
        "threshold": threshold.units,
        "boundary": threshold.boundary,
        "basis": threshold.basis,
        "recovery": threshold.recovery,
        "severity": rule.severity,
        "enabled": rule.enabled,
    });
    if !rule.pending.is_zero() {
        shown["pending"] = json!(format!("{:#}", rule.pending));
    }
    if !rule.manner.is_empty() {
        shown["manner"] = json!(rule.manner);
    }
    if let Some(season) = rule.in_force(now, zone).season {
        shown["in_force"] = json!(season.units);
        shown["season_until"] = json!(season.until);
    }
    shown
}

/// What takes a place among all rules: an imported one, or else the document's.
fn layer<'r>(slot: &Slot, around: &'r Around<'_>, imported: &'r Thresholds) -> Option<Layer<'r>> {
    Layer::of(imported.get(slot), around.document.get(slot).copied())
}

/// What a row sets, and of what: one row of a page does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct About {
    sets: &'static str,
    what: String,
}

impl About {
    fn rejected(&self, line: u64) -> Rejected {
        Rejected {
            line,
            column: None,
            field: self.sets.to_owned(),
            detail: format!("an earlier row sets it for {} already", self.what),
        }
    }
}

impl Line {
    fn about(&self) -> About {
        let (sets, what) = match &self.row {
            Row::Stock {
                product, location, ..
            } => ("on_hand", format!("{product} at {location}")),
            Row::Threshold(target) => ("threshold", target.in_words()),
            Row::Described { product, what, .. } => (what.name(), product.to_string()),
        };
        About { sets, what }
    }
}

/// The rule of a row: what it does not say stays as an earlier import has said it.
fn altered(stands: Option<&Rule>, blank: Rule, target: &Target, units: i64) -> Rule {
    let Check::LowStock(mut threshold) = blank.check else {
        return blank;
    };
    let row = Said {
        boundary: target.boundary,
        basis: target.basis,
        recovery: target.recovery,
        severity: target.severity,
    };
    let mut earlier = stands.map(Said::of).unwrap_or_default();
    if let Some(Check::LowStock(known)) = stands.map(|rule| rule.check) {
        // The level from which it is over moves along with the number.
        let shift = units.saturating_sub(known.units);
        earlier.recovery = earlier.recovery.map(|level| level.saturating_add(shift));
    }
    let said = row.or(earlier);
    threshold.units = units;
    threshold.boundary = said.boundary.unwrap_or(threshold.boundary);
    threshold.basis = said.basis.unwrap_or(threshold.basis);
    threshold.recovery = said.recovery;
    Rule {
        check: Check::LowStock(threshold),
        severity: said.severity.unwrap_or(blank.severity),
        said: Some(said),
        ..blank
    }
}

impl RuleChange {
    /// Whether it is carried out although what is in force stays the same: the row says what another rule
    /// said so far, or takes away what says the same as the document.
    fn is_needed(&self, around: &Around<'_>) -> bool {
        match self {
            Self::Set(rule) => {
                let stands = around.imported.get(&rule.slot());
                stands.is_some_and(|stands| stands.said != rule.said)
            }
            Self::Remove(_) => true,
        }
    }
}

impl Target {
    /// What the threshold is for, whichever way category, make and model are spelled.
    fn in_words(&self) -> String {
        let scope = self.scope.folded();
        let what = match (&scope.product, &scope.make, &scope.model, &scope.category) {
            (Some(product), ..) => product.to_string(),
            (None, Some(make), Some(model), _) => format!("{make} {model}"),
            (None, Some(make), None, _) => format!("make {make}"),
            (None, None, _, Some(category)) => format!("category {category}"),
            (None, None, _, None) => "every product".to_owned(),
        };
        match (&scope.location, &scope.group, self.over) {
            (Some(location), ..) => format!("{what} at {location}"),
            (None, Some(group), Some(Over::Sum)) => format!("{what} summed over {group}"),
            (None, Some(group), _) => format!("{what} in {group}"),
            (None, None, _) => what,
        }
    }
}

fn reason(problems: Vec<RuleProblem>) -> String {
    let words = problems.into_iter().map(|problem| match problem {
        RuleProblem::Invalid { reason, .. } => reason.to_owned(),
        other => other.to_string(),
    });
    words.collect::<Vec<_>>().join("; ")
}

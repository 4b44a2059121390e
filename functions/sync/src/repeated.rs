//! Several rows for one item: a contradiction, in which none of them is believed, or parts of one
//! quantity where the connector says so. Either way their order does not matter.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use shared::config::connector::Repeated;
use shared::domain::event::{Change, Level};
use shared::domain::unit::UnitReport;

use crate::flaw::{CONFLICT, Flaw};
use crate::rows::Statement;
use crate::snapshot::ItemKey;

/// How many of an item's rows are named where they contradict each other.
const NAMED: usize = 5;

/// One row of an item that has several.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) line: u64,
    pub(crate) text: String,
    /// What it says, where that could be read.
    pub(crate) statement: Option<Statement>,
}

/// What the rows of one item come to.
#[derive(Debug)]
pub(crate) enum Combined {
    /// One statement, with the line and text of its last row.
    One(Box<(u64, String, Statement)>),
    /// They differ in what they are for: each of them, with the text of all and the reason.
    Conflict(Vec<(Part, Flaw)>),
}

/// Rows that wait for the others of their item.
#[derive(Debug, Default)]
pub(crate) struct Gathered(BTreeMap<ItemKey, Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    seen: u32,
    parts: Vec<Part>,
}

impl Gathered {
    /// Takes a row in; all of an item's `rows`, combined, when this was the last.
    pub(crate) fn add(
        &mut self,
        key: ItemKey,
        rows: u32,
        part: Part,
        repeated: Repeated,
    ) -> Option<Combined> {
        let waiting = self.0.entry(key).or_default();
        waiting.seen += 1;
        match waiting.parts.last_mut() {
            // Parts may be many: only their sum is kept.
            Some(sum) if repeated == Repeated::Sum => {
                let joined = sum.statement.take().zip(part.statement);
                sum.statement = joined.and_then(|(one, two)| join(one, two, repeated));
            }
            _ => waiting.parts.push(part),
        }
        if waiting.seen < rows {
            return None;
        }
        let all = self.0.remove(&key);
        all.map(|all| combine(all.parts, repeated))
    }
}

fn combine(mut parts: Vec<Part>, repeated: Repeated) -> Combined {
    let mut statements = parts.iter().map(|part| part.statement.clone());
    let first = statements.next().flatten();
    let together = statements.fold(first, |together, next| join(together?, next?, repeated));
    match (together, parts.pop()) {
        (Some(statement), Some(last)) => Combined::One(Box::new((last.line, last.text, statement))),
        (_, last) => {
            parts.extend(last);
            let item = parts
                .iter()
                .find_map(|part| part.statement.as_ref())
                .map(|statement| statement.item.clone());
            let name = item.as_ref().map(ToString::to_string);
            let sentence = format!(
                "{} has several rows that differ ({}); none of them is believed.",
                name.unwrap_or_else(|| "The item".to_owned()),
                lines(&parts),
            );
            let texts: Vec<_> = parts.iter().take(NAMED).map(|it| &*it.text).collect();
            let texts = texts.join("; ");
            let said: BTreeSet<_> = parts.iter().map(said).collect();
            let said = said.into_iter().collect::<Vec<_>>().join("; ");
            let told = |part| {
                let text = texts.clone();
                let flaw = Flaw::new(item.as_ref(), CONFLICT, sentence.clone());
                (Part { text, ..part }, flaw.of_rows(&said))
            };
            Combined::Conflict(parts.into_iter().map(told).collect())
        }
    }
}

/// What a row says of that in which it may contradict another, wherever it stands and whenever it was true.
fn said(part: &Part) -> String {
    match part.statement.as_ref().map(|it| &it.change) {
        Some(Change::LevelSet { level, .. }) => json!(level).to_string(),
        Some(Change::Unit(report)) => json!([report.state, report.location]).to_string(),
        _ => part.text.clone(),
    }
}

/// Where the rows stand: not all of very many.
fn lines(parts: &[Part]) -> String {
    let named = parts.iter().take(NAMED).map(|part| part.line.to_string());
    let named: Vec<_> = named.collect();
    match parts.len().saturating_sub(NAMED) {
        0 => format!("lines {}", named.join(", ")),
        more => format!("lines {}, and {more} more", named.join(", ")),
    }
}

/// Two rows of one item as one statement, unless they contradict each other.
fn join(mut one: Statement, two: Statement, repeated: Repeated) -> Option<Statement> {
    match (&mut one.change, two.change) {
        (
            Change::LevelSet {
                level,
                version,
                called,
                ..
            },
            Change::LevelSet {
                level: other,
                version: later,
                called: by,
                ..
            },
        ) => {
            match repeated {
                Repeated::Sum => *level = sum(level, &other)?,
                Repeated::Conflict if *level == other => {}
                Repeated::Conflict => return None,
            }
            *version = (*version).max(later);
            called.take_if(|it| by.as_ref() != Some(it));
        }
        (Change::Unit(report), Change::Unit(other)) => agree(report, *other)?,
        _ => return None,
    }
    one.dated_since |= two.dated_since;
    one.presumed &= two.presumed;
    one.flaws.extend(two.flaws);
    Some(one)
}

/// A quantity that one of the parts does not state is not known of the whole.
fn sum(one: &Level, two: &Level) -> Option<Level> {
    let both = |a: Option<i64>, b: Option<i64>| a?.checked_add(b?);
    Some(Level {
        on_hand: one.on_hand.checked_add(two.on_hand)?,
        reserved: both(one.reserved, two.reserved),
        incoming: both(one.incoming, two.incoming),
        unavailable: match (one.unavailable, two.unavailable) {
            (None, None) => None,
            // What cannot be sold of one part cannot be sold of the whole.
            (a, b) => Some(a.unwrap_or(0).checked_add(b.unwrap_or(0))?),
        },
    })
}

/// State and place must agree; of the other facts, those that differ are left out.
fn agree(one: &mut UnitReport, two: UnitReport) -> Option<()> {
    if one.state != two.state || one.location != two.location {
        return None;
    }
    one.version = one.version.max(two.version);
    one.stock_number
        .take_if(|it| two.stock_number.as_ref() != Some(it));
    one.since.take_if(|it| two.since.as_ref() != Some(it));
    one.fields
        .retain(|name, field| two.fields.get(name) == Some(field));
    Some(())
}

//! G8: every change of a position or a vehicle has exactly one row, which says what it was before and
//! after, and continues the chain.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::stock::balance;
use super::{Findings, Guarantee, Scene, number, text};
use crate::history::Change;
use crate::world::TOKEN;

/// A row, with its members in the order in which they are sealed.
#[derive(Serialize)]
struct Sealed<'a> {
    of: &'a str,
    revision: u64,
    at: i64,
    source: &'a str,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<&'a Value>,
    change: &'a str,
    before: &'a Value,
    after: &'a Value,
    previous: &'a str,
    hash: &'a str,
}

pub(super) async fn check(scene: &Scene<'_>, found: &mut Findings) {
    let mut rows: BTreeMap<(String, u64), &Value> = BTreeMap::new();
    for (_, change) in scene.history.of_kind("ledger") {
        let row = &change.after;
        found.expect(
            Guarantee::G8,
            change.before.is_null() && !row.is_null(),
            || format!("a ledger row was changed: {} -> {row}", change.before),
        );
        if row.is_null() {
            continue;
        }
        let key = (text(row, "of").to_owned(), revision(row));
        found.expect(Guarantee::G8, seal(row) == text(row, "hash"), || {
            format!("a ledger row is not sealed by its hash: {row}")
        });
        rows.insert(key, row);
    }
    for change in scene.history.changes() {
        let after = &change.after;
        let of = match change.kind.as_str() {
            _ if after.is_null() => continue,
            "position" => format!(
                "position {} {}",
                text(after, "product"),
                text(after, "location")
            ),
            "unit" => format!("unit {}", text(after, "vin")),
            _ => continue,
        };
        let row = rows.remove(&(of.clone(), revision(after)));
        match row {
            Some(row) => matches(&of, change, row, found),
            None => found.add(
                Guarantee::G8,
                format!("{of} changed to revision {} without a row", revision(after)),
            ),
        }
    }
    for ((of, revision), row) in rows {
        let of_a_product = of.starts_with("product ");
        found.expect(Guarantee::G8, of_a_product, || {
            format!("row {revision} of {of} tells of a change that never was: {row}")
        });
    }
    doctor(scene, found).await;
}

fn matches(of: &str, change: &Change, row: &Value, found: &mut Findings) {
    let (before, after) = (&change.before, &change.after);
    found.expect(
        Guarantee::G8,
        revision(after) == revision(before) + 1,
        || {
            format!(
                "{of} went from revision {} to {}",
                revision(before),
                revision(after)
            )
        },
    );
    found.expect(
        Guarantee::G8,
        text(row, "previous") == text(before, "chain"),
        || format!("{of}: row {} does not continue the chain", revision(row)),
    );
    found.expect(
        Guarantee::G8,
        text(row, "hash") == text(after, "chain"),
        || format!("{of}: the chain does not end with row {}", revision(row)),
    );
    if change.kind != "position" {
        return;
    }
    for (image, words, when) in [(before, "before", "before"), (after, "after", "after")] {
        let told = row[words]["on_hand"].as_i64();
        let there = balance(image).map(|(balance, _)| balance.max(0));
        found.expect(Guarantee::G8, told == there, || {
            format!(
                "{of}: {when} row {} there were {there:?}: {row}",
                revision(row)
            )
        });
    }
}

fn revision(item: &Value) -> u64 {
    item["revision"].as_u64().unwrap_or_default()
}

fn seal(row: &Value) -> String {
    let sealed = Sealed {
        of: text(row, "of"),
        revision: revision(row),
        at: number(row, "at"),
        source: text(row, "source"),
        event: text(row, "event"),
        actor: row["actor"].as_str(),
        reason: row["reason"].as_str(),
        correlation: row.get("correlation").filter(|known| !known.is_null()),
        change: text(row, "change"),
        before: &row["before"],
        after: &row["after"],
        previous: text(row, "previous"),
        hash: "",
    };
    let text = serde_json::to_string(&sealed).unwrap_or_default();
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The product's own examination finds nothing either.
async fn doctor(scene: &Scene<'_>, found: &mut Findings) {
    let authorization = [("authorization", format!("Bearer {TOKEN}"))];
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/doctor?limit=200{cursor}");
        let hour = Duration::from_secs(3_600);
        let world = scene.world;
        let answer = world
            .ask("GET", &path, &authorization, String::new(), hour)
            .await;
        let Some((200, body)) = answer else {
            found.add(Guarantee::G8, format!("the examination failed: {answer:?}"));
            return;
        };
        for finding in body["items"].as_array().into_iter().flatten() {
            found.add(Guarantee::G8, format!("the examination finds {finding}"));
        }
        match body["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return,
        }
    }
}

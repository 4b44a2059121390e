//! G5: what positions have from the feed, against the files as they were put down.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Findings, Guarantee, Scene, number, text};
use crate::plan::{File, FileKind};

/// In how many whole files in a row something must be missing before it is removed.
const GRACE: usize = 2;

pub(super) fn check(scene: &Scene<'_>, found: &mut Findings) {
    let files = scene.world.records.files();
    let named: Vec<_> = files.iter().map(|file| (name_of(file), file)).collect();
    let mut changes = BTreeMap::new();
    for (_, change) in scene.history.of_kind("position") {
        let after = &change.after;
        let of = [text(after, "product"), text(after, "location")].join(" ");
        changes.insert(
            (format!("position {of}"), number(after, "revision")),
            change,
        );
    }
    for (_, row) in scene.history.of_kind("ledger") {
        let row = &row.after;
        if text(row, "source") != "feed" {
            continue;
        }
        let of = text(row, "of").to_owned();
        let Some(change) = changes.get(&(of.clone(), number(row, "revision"))) else {
            continue; // of a vehicle or a description; that a position has its row is checked elsewhere
        };
        let [before, after] = [&change.before, &change.after].map(base);
        if !before.is_null() && before["level"] == after["level"] {
            // It was true until a later file, too.
            found.expect(Guarantee::G5, is_written(&after, &files), || {
                format!("stated until a time at which no file was written: {row}")
            });
            continue;
        }
        let mut parts = text(row, "event").splitn(3, ':');
        let (Some("file"), Some(name), Some(what)) = (parts.next(), parts.next(), parts.next())
        else {
            found.add(Guarantee::G5, format!("not from a file: {row}"));
            continue;
        };
        let place = named.iter().position(|(known, _)| known == name);
        let Some((place, (_, file))) = place.and_then(|at| Some((at, named.get(at)?))) else {
            found.add(
                Guarantee::G5,
                format!("from a file that nobody put down: {row}"),
            );
            continue;
        };
        let of = of.split(' ').nth(1).unwrap_or_default();
        if what.starts_with("gone:") {
            let whole = files[..=place].iter().rev();
            let whole: Vec<_> = whole
                .filter(|it| it.kind == FileKind::Whole)
                .take(GRACE)
                .collect();
            let absent = |file: &&File| !file.says().contains_key(of);
            let holds =
                file.kind == FileKind::Whole && whole.len() == GRACE && whole.iter().all(absent);
            found.expect(Guarantee::G5, holds, || {
                let kind = file.kind;
                format!(
                    "{of} was removed by {}, which is {kind:?}: {row}",
                    file.name
                )
            });
        } else {
            // A row that was cut inside its number is not among the complete ones.
            let says = file.says().get(of).copied().flatten();
            let believable = matches!(file.kind, FileKind::Whole | FileKind::Cut);
            let stated = after["level"]["on_hand"].as_i64();
            found.expect(
                Guarantee::G5,
                believable && says.is_some() && says == stated,
                || format!("{} says {says:?} of {of}: {row}", file.name),
            );
        }
    }
}

/// What the feed has stated of a position.
fn base(position: &Value) -> Value {
    position["holding"]["bases"]["feed"].clone()
}

/// Whether a file was written when this was last true, or was read then because its own time was still
/// to come.
fn is_written(base: &Value, files: &[File]) -> bool {
    let at = number(&base["version"], "at");
    files.iter().any(|file| {
        let written = file.written.unwrap_or_default().as_millisecond();
        written >= at
    })
}

/// How the ledger names a file: by the beginning of its content's hash.
fn name_of(file: &File) -> String {
    let digest = Sha256::digest(&file.content);
    digest
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

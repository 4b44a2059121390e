//! G5: what the ledger has from the feed, against the files as they were put down.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{Findings, Guarantee, Scene, number, text};
use crate::plan::{File, FileKind};

/// In how many whole files in a row something must be missing before it is removed.
const GRACE: usize = 2;

/// What a file lists, its own number included.
pub(super) fn rows_of(file: &File) -> BTreeMap<String, i64> {
    let lines = File::parse(&file.content);
    lines.into_iter().collect()
}

pub(super) fn check(scene: &Scene<'_>, found: &mut Findings) {
    let files = scene.world.records.files();
    let named: Vec<_> = files.iter().map(|file| (name_of(file), file)).collect();
    for (_, row) in scene.history.of_kind("ledger") {
        let row = &row.after;
        if text(row, "source") != "feed" {
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
        let of = text(row, "of").split(' ').nth(1).unwrap_or_default();
        if what.starts_with("gone:") {
            let whole = files[..=place].iter().rev();
            let whole: Vec<_> = whole
                .filter(|it| it.kind == FileKind::Whole)
                .take(GRACE)
                .collect();
            let absent = |file: &&File| !rows_of(file).contains_key(of);
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
            // A row that was cut inside its number says another one.
            let listed = file.rows.get(of).copied();
            let listed = listed.or_else(|| rows_of(file).get(of).copied());
            let believable = matches!(file.kind, FileKind::Whole | FileKind::Cut);
            let applied = number(&row["after"], "on_hand");
            found.expect(Guarantee::G5, believable && listed == Some(applied), || {
                format!("{} says {listed:?} of {of}: {row}", file.name)
            });
        }
    }
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

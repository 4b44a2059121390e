//! The sample invocations in `events/evaluate` are what the table's stream delivers: each record can
//! be read, is of a kind that the event-source mapping lets through, and says what its file says.

use std::collections::BTreeMap;
use std::path::Path;

use evaluate::{Changed, Invocation, changed};
use serde_dynamo::AttributeValue;
use shared::domain::position::{Position, Sources};
use shared::store::schema::EVALUATED_KINDS;

/// What a record says, in short.
fn said(change: &Changed) -> String {
    let available = |position: &Position| {
        let stock = position.stock(&Sources::default());
        stock.map_or("unknown".to_owned(), |stock| stock.available.to_string())
    };
    match change {
        Changed::Position { before, after } => {
            let before = before.as_deref().map_or("new".to_owned(), available);
            format!(
                "{} {}: {before} -> {}",
                after.product,
                after.location,
                available(after)
            )
        }
        Changed::Unit(unit) => {
            let rivals = unit
                .resolve(&shared::domain::Authority::default())
                .rivals
                .len();
            format!("{}: {rivals} rivals", unit.vin)
        }
        Changed::Feed(connector, _) => format!("feed {connector}"),
        Changed::Sender(connector) => format!("sender {connector}"),
        Changed::Rules(product, _) => format!("rules of {product}"),
        Changed::Product(product, _) => format!("product {product}"),
        Changed::Held(held) => format!("{} of {}: {}", held.reason, held.source, held.open),
        Changed::Configuration(version) => format!("configuration {version}"),
        Changed::Job(id) => format!("job {id}"),
        Changed::Nothing => "nothing".to_owned(),
    }
}

#[test]
fn each_sample_says_what_its_file_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/evaluate");
    let mut found = BTreeMap::new();
    let mut letters = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let invocation = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let records = match invocation {
            Invocation::Changes(event) => event.records,
            Invocation::GivenUp(event) => {
                letters.extend(event.records);
                continue;
            }
        };
        let says: Vec<_> = records
            .into_iter()
            .map(|record| {
                let kind = record.change.new_image.get("t").cloned();
                let filtered = EVALUATED_KINDS.map(|kind| Some(AttributeValue::S(kind.into())));
                assert!(filtered.contains(&kind), "{}: {kind:?}", path.display());
                said(&changed(record).unwrap())
            })
            .collect();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        found.insert(name, says.join("; "));
    }
    let expected = [
        ("configuration-applied", "configuration 5"),
        ("feed-suspect", "feed stock-files"),
        ("job-next-page", "job configuration-5"),
        ("position-falls", "OIL-5W40-1L north: 14 -> 9"),
        (
            "positions-batch",
            "COVER-GT london: new -> 5; WALLBOX-11KW south: 2 -> 0",
        ),
        ("vehicle-claimed-twice", "SJAAM2ZV9TC024868: 1 rivals"),
    ];
    let expected = expected.map(|(name, says)| (name.to_owned(), says.to_owned()));
    assert_eq!(found, BTreeMap::from(expected));
    assert_eq!(letters.len(), 1);
}

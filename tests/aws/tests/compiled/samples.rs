//! Every sample invocation under `events/`, answered by the binary that it is for.

use std::collections::BTreeSet;

use aws_tests::bench::{Bench, SIGNING};
use aws_tests::repository;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::signature::standard;

/// The samples of each function in the order in which they make sense, and what they come to: an
/// HTTP status, or how many records are handed back.
const SAMPLES: [(&str, &[(&str, Comes)]); 6] = [
    (
        "api",
        &[
            ("count", Comes::Status(201)),
            ("sale", Comes::Status(201)),
            ("positions", Comes::Status(200)),
            ("import-dry-run", Comes::Status(200)),
        ],
    ),
    ("clock", &[("tick", Comes::Nothing)]),
    (
        "evaluate",
        &[
            ("configuration-applied", Comes::HandedBack(0)),
            ("feed-suspect", Comes::HandedBack(0)),
            ("given-up", Comes::HandedBack(0)),
            ("job-next-page", Comes::HandedBack(0)),
            ("position-falls", Comes::HandedBack(0)),
            ("positions-batch", Comes::HandedBack(0)),
            ("vehicle-claimed-twice", Comes::HandedBack(0)),
        ],
    ),
    (
        "ingest",
        &[
            ("dealertrack-vehicle-event", Comes::Status(200)),
            ("dealertrack-vehicle-sold", Comes::Status(200)),
            ("generic-stock-level", Comes::Status(200)),
            ("generic-unit-updated", Comes::Status(200)),
            ("shopify-inventory-level", Comes::Status(200)),
            ("shopify-order", Comes::Status(200)),
            ("shopify-product", Comes::Status(200)),
        ],
    ),
    (
        "notify",
        &[
            // Nobody has written this intent: it comes back, as poison does.
            ("one-intent", Comes::HandedBack(1)),
            ("poison", Comes::HandedBack(1)),
        ],
    ),
    (
        "sync",
        &[
            ("tick", Comes::HandedBack(0)),
            ("job", Comes::HandedBack(0)),
        ],
    ),
];

#[derive(Debug, Clone, Copy)]
enum Comes {
    Status(i64),
    HandedBack(usize),
    Nothing,
}

#[test]
fn no_sample_is_forgotten() {
    let mut there = BTreeSet::new();
    for folder in std::fs::read_dir(repository().join("events")).unwrap() {
        let folder = folder.unwrap().path();
        for sample in std::fs::read_dir(&folder).into_iter().flatten() {
            let sample = sample.unwrap().path();
            if sample
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let name = |path: &std::path::Path| path.file_stem().unwrap().to_owned();
                there.insert((name(&folder), name(&sample)));
            }
        }
    }
    let known = SAMPLES.iter().flat_map(|(function, samples)| {
        samples
            .iter()
            .map(|(name, _)| ((*function).into(), (*name).into()))
    });
    assert_eq!(known.collect::<BTreeSet<_>>(), there);
}

#[tokio::test]
async fn every_sample_is_answered() {
    let json_events = Bench::new().await;
    // The sample in XML has its facts elsewhere.
    let xml_events = Bench::with(|config| {
        config
            .replace("\"/id\"", "\"/VehicleEvent/EventId\"")
            .replace("\"/type\"", "\"/VehicleEvent/EventType\"")
            .replace("\"/time\"", "\"/VehicleEvent/EventTime\"")
    })
    .await;
    for (function, samples) in SAMPLES {
        let process = json_events.start(function).await;
        for (sample, comes) in samples {
            let mut event = read(function, sample);
            if function == "ingest" && event["rawPath"] == "/hooks/generic" {
                sign_anew(&mut event);
            }
            let answer = if *sample == "dealertrack-vehicle-event" {
                xml_events.start(function).await.invoke(event).await
            } else {
                process.invoke(event).await
            };
            let of = format!("{function}/{sample}: {answer:?}: {}", process.log());
            match comes {
                Comes::Status(status) => {
                    assert_eq!(answer.returned()["statusCode"], *status, "{of}")
                }
                Comes::HandedBack(some) => assert_eq!(answer.handed_back().len(), *some, "{of}"),
                Comes::Nothing => assert_eq!(answer.returned(), Value::Null, "{of}"),
            }
        }
    }
}

fn read(function: &str, sample: &str) -> Value {
    let path = repository().join(format!("events/{function}/{sample}.json"));
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The sample's own signature is as old as the sample; a receiver takes none that old.
fn sign_anew(event: &mut Value) {
    let body = event["body"].as_str().unwrap();
    let body = match event["isBase64Encoded"].as_bool() {
        Some(true) => STANDARD.decode(body).unwrap(),
        _ => body.as_bytes().to_vec(),
    };
    let now = Timestamp::from_second(Clock::system().now().as_second()).unwrap();
    let id = event["headers"]["webhook-id"].as_str().unwrap();
    let secrets = standard::secrets(&[SecretString::from(SIGNING)]).unwrap();
    let signature = standard::sign(id, now, &body, &secrets);
    event["headers"]["webhook-signature"] = json!(signature);
    event["headers"]["webhook-timestamp"] = json!(now.as_second().to_string());
}

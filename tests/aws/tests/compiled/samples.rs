//! Every sample invocation under `events/`, answered by the binary that it is for.

use aws_tests::bench::Bench;
use aws_tests::samples::{ALERT, CHANNEL, sign_anew, with_facts_in_xml};
use aws_tests::{alerts, repository};
use jiff::SignedDuration;
use serde_json::Value;
use shared::clock::Clock;

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
            ("one-intent", Comes::HandedBack(0)),
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

#[tokio::test]
async fn every_sample_is_answered() {
    let json_events = Bench::new().await;
    // The sample in XML has its facts elsewhere.
    let xml_events = Bench::with(|config| with_facts_in_xml(&config)).await;
    let due_at = Clock::system().now() + SignedDuration::from_hours(1);
    alerts::open(&json_events.store, ALERT, CHANNEL, "webhook", due_at).await;
    for (function, samples) in SAMPLES {
        let process = json_events.start(function).await;
        for (sample, comes) in samples {
            let mut event = read(function, sample);
            if function == "ingest" && event["rawPath"] == "/hooks/generic" {
                sign_anew(&mut event, sample);
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

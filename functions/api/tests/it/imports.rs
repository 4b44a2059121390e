//! Imports: what the dry run says is what happens, and a bad row rejects only itself.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use jiff::SignedDuration;
use lotwire::engine::{Call, Interference, Verdict};
use serde_json::{Value, json};
use shared::config::Config;
use shared::domain::event::{Level, Version};
use shared::domain::position::Sources;
use shared::domain::rule::Scope;
use shared::domain::{Authority, Change, StockEvent};
use shared::store::Store;
use tokio::time::Instant;

use crate::scene::{Answer, DOCUMENT, Scene};

/// The rows that are taken at once if each sets all that it can.
const MOST: usize = 350;

async fn import(scene: &Scene, csv: &str, dry_run: bool, line: usize) -> Answer {
    let target = format!("/api/v1/imports?name=rows.csv&dry_run={dry_run}&line={line}");
    let ask = scene
        .ask("POST", &target)
        .header("idempotency-key", "this import");
    let answer = ask.body("text/csv", csv).send().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

fn counts(answer: &Answer) -> [u64; 5] {
    let count = |name: &str| answer.body["counts"][name].as_u64().unwrap();
    ["new", "changed", "unchanged", "repeated", "rejected"].map(count)
}

fn add(sum: &mut [u64; 5], more: [u64; 5]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}

#[tokio::test]
async fn rows_of_many_pages_do_what_their_dry_run_said() {
    let scene = Scene::new().await;
    scene.stated("SKU-3", "north", 3).await;
    scene.stated("SKU-5", "north", 999).await;
    let header = "product,location,threshold,on_hand\n";
    let rows: Vec<String> = (0..2_000)
        .map(|n| match n {
            0..200 => format!("SKU-{n},north,,{n}\n"),
            200 => "SKU-200,north,few,\n".to_owned(),
            _ => format!("SKU-{n},north,{},\n", n % 9),
        })
        .collect();
    let pages: Vec<_> = rows
        .chunks(MOST)
        .map(|rows| format!("{header}{}", rows.concat()))
        .collect();
    let mut sums = [[0; 5]; 2];
    for (sum, dry_run) in sums.iter_mut().zip([true, false]) {
        for (index, page) in pages.iter().enumerate() {
            let answer = import(&scene, page, dry_run, 2 + MOST * index).await;
            add(sum, counts(&answer));
        }
    }
    assert_eq!(sums[0], [1_997, 1, 1, 0, 1]);
    assert_eq!(sums[1], sums[0], "applied as the dry run said");
    let again = import(&scene, &pages[0], true, 2).await;
    assert_eq!(
        counts(&again),
        [0, 0, MOST as u64 - 1, 0, 1],
        "and then it is so"
    );
    let position = scene.get("/api/v1/positions?product=SKU-199").await;
    assert_eq!(position.body["items"][0]["on_hand"], 199);
    let rule = scene
        .get("/api/v1/explain?product=SKU-1999&location=north")
        .await;
    assert_eq!(rule.body["kinds"][0]["rule"], "imported: SKU-1999 at north");
}

/// A table behind a network, and the processor that works with it, as docs/benchmarks.md has them.
struct Aws {
    /// The share of a whole processor that there is.
    share: f64,
    /// When it is done with what it has.
    free_at: Mutex<Instant>,
}

#[async_trait::async_trait]
impl Interference for Aws {
    async fn before(&self, call: &Call) -> Verdict {
        let is_read = matches!(
            call.operation.as_str(),
            "GetItem" | "BatchGetItem" | "Query"
        );
        // A vehicle takes 1.02 ms of a processor: some reads, and a transaction.
        let (work, takes) = if is_read { (250, 5) } else { (750, 10) };
        let done = {
            let mut free_at = self.free_at.lock().unwrap();
            let work = Duration::from_micros(work).div_f64(self.share);
            *free_at = Instant::now().max(*free_at) + work;
            *free_at
        };
        tokio::time::sleep_until(done).await;
        tokio::time::sleep(Duration::from_millis(takes)).await;
        Verdict::Proceed
    }
}

/// Loses all calls of the table once so many were made.
struct Cut(AtomicI64);

#[async_trait::async_trait]
impl Interference for Cut {
    async fn before(&self, _: &Call) -> Verdict {
        match self.0.fetch_sub(1, Ordering::SeqCst) > 0 {
            true => Verdict::Proceed,
            false => Verdict::ConnectionLost,
        }
    }
}

/// The same where the shelf is filled up and a new season has another threshold, and the other way round.
#[tokio::test(start_paused = true)]
async fn nothing_is_low_meanwhile_that_has_enough_before_and_after_an_import() {
    for (before, after) in [("20,5", "50,40"), ("50,40", "20,5")] {
        let mut seen = BTreeSet::new();
        for calls in 1.. {
            let cut = Arc::new(Cut(AtomicI64::new(i64::MAX)));
            let scene = Scene::behind(cut.clone()).await;
            let header = "product,location,on_hand,threshold";
            let import = async |row: &str, calls: i64| {
                cut.0.store(calls, Ordering::SeqCst);
                let ask = scene
                    .ask("POST", "/api/v1/imports?name=rows.csv")
                    .header("idempotency-key", row);
                let csv = format!("{header}\nOIL,north,{row}\n");
                let status = ask.body("text/csv", &csv).send().await.status;
                cut.0.store(i64::MAX, Ordering::SeqCst);
                status == 200
            };
            assert!(import(before, i64::MAX).await);
            let is_done = import(after, calls).await;
            let path = "/api/v1/explain?product=OIL&location=north";
            let explained = scene.get(path).await.body;
            let kind = &explained["kinds"][0];
            assert_ne!(
                kind["condition"], "breached",
                "{before} {after} {calls}: {explained}"
            );
            seen.insert(format!("{} {}", explained["stock"]["on_hand"], kind["why"]));
            if is_done {
                break;
            }
        }
        assert!(seen.len() > 2, "as before, half done, as after: {seen:?}");
    }
}

/// The evaluator may look between any two writes.
#[tokio::test(start_paused = true)]
async fn stock_is_never_there_before_the_threshold_and_the_category_that_came_with_it() {
    let csv = "product,location,on_hand,threshold,category\n\
        OIL,north,4,2,oils\nPAD,north,4,3,pads\n";
    let mut seen = 0;
    for calls in 1.. {
        let cut = Arc::new(Cut(AtomicI64::new(i64::MAX)));
        let scene = Scene::behind(cut.clone()).await;
        cut.0.store(calls, Ordering::SeqCst);
        let ask = scene
            .ask("POST", "/api/v1/imports?name=rows.csv")
            .header("idempotency-key", "this import");
        let answer = ask.body("text/csv", csv).send().await;
        cut.0.store(i64::MAX, Ordering::SeqCst);
        for (sku, category) in [("OIL", "oils"), ("PAD", "pads")] {
            let path = format!("/api/v1/explain?product={sku}&location=north");
            let explained = scene.get(&path).await.body;
            if explained["stock"].is_null() {
                continue;
            }
            seen += 1;
            let rule = format!("imported: {sku} at north");
            assert_eq!(explained["kinds"][0]["rule"], rule, "{calls}");
            assert_eq!(explained["category"], category, "{calls}");
        }
        if answer.status == 200 {
            break;
        }
    }
    assert!(seen > 2, "{seen}");
}

/// Has the owning source state that nothing is there, just before one of the calls.
#[derive(Default)]
struct SoldOut {
    left: AtomicI64,
    store: OnceLock<Store>,
}

#[async_trait::async_trait]
impl Interference for SoldOut {
    async fn before(&self, _: &Call) -> Verdict {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1
            && let Some(store) = self.store.get()
        {
            let at = store.clock().now() - SignedDuration::from_secs(10);
            let event = StockEvent {
                id: "sold out".parse().unwrap(),
                source: "erp".parse().unwrap(),
                at,
                actor: None,
                change: Change::LevelSet {
                    called: None,
                    product: "OIL".parse().unwrap(),
                    location: "north".parse().unwrap(),
                    level: Level::default(),
                    version: Version::at(at),
                },
            };
            let authority = Authority::default();
            Box::pin(store.apply(&event, &authority)).await.unwrap();
        }
        Verdict::Proceed
    }
}

/// A million units more than there are is no count: there are that many more only once the rest is sold.
#[tokio::test(start_paused = true)]
async fn of_a_count_that_is_refused_after_its_threshold_was_set_the_answer_says_that() {
    let csv = "product,location,on_hand,threshold\nOIL,north,1500000,2\n";
    let (mut before, mut after, mut taken) = (0, 0, 0);
    for calls in 1.. {
        let sold_out = Arc::new(SoldOut::default());
        let scene = Scene::behind(sold_out.clone()).await;
        assert!(sold_out.store.set(scene.store.clone()).is_ok());
        for units in [900_000, 1_700_000] {
            scene.stated("OIL", "north", units).await;
        }
        sold_out.left.store(calls, Ordering::SeqCst);
        let answer = import(&scene, csv, false, 2).await;
        let is_over = sold_out.left.load(Ordering::SeqCst) > 0;
        let limits = scene.get("/api/v1/thresholds").await.body["items"].clone();
        let is_set = !limits.as_array().unwrap().is_empty();
        let differences = answer.body["differences"].as_array().unwrap();
        let sets: Vec<_> = differences
            .iter()
            .map(|it| it["sets"].as_str().unwrap())
            .collect();
        match answer.body["rejected"].as_array().unwrap().as_slice() {
            [] => {
                assert_eq!(sets, ["stock", "threshold"], "{calls}");
                taken += 1;
            }
            [rejected] => {
                assert_eq!(
                    (&rejected["line"], &rejected["field"]),
                    (&json!(2), &json!("on_hand"))
                );
                let detail = rejected["detail"].as_str().unwrap();
                let says_so = detail.ends_with("; its threshold is set");
                assert_eq!(says_so, is_set, "{calls}: {detail}");
                let set: &[&str] = if is_set { &["threshold"] } else { &[] };
                assert_eq!(sets, set, "{calls}");
                (before, after) = match is_set {
                    true => (before, after + 1),
                    false => (before + 1, after),
                };
            }
            more => panic!("{more:?}"),
        }
        if is_over {
            break;
        }
    }
    assert!(
        before > 0 && after > 0 && taken > 0,
        "{before} {after} {taken}"
    );
}

/// The gateway waits for 29 seconds.
#[tokio::test(start_paused = true)]
async fn a_full_page_takes_no_more_than_twenty_seconds_with_the_least_memory_that_is_usual() {
    // With 256 MB, which the template gives, and with 512.
    for share in [0.145, 0.29] {
        let aws = Arc::new(Aws {
            share,
            free_at: Mutex::new(Instant::now()),
        });
        let scene = Scene::behind(aws).await;
        // Each sets all that a row can.
        let rows: String = (0..MOST)
            .map(|n| format!("SKU-{n},north,{n},{},Oil {n},oils\n", n % 9))
            .collect();
        let csv = format!("product,location,on_hand,threshold,title,category\n{rows}");
        let begun = Instant::now();
        let done = import(&scene, &csv, false, 2).await;
        let took = begun.elapsed();
        println!("{took:?} with {share} of a processor");
        assert_eq!(counts(&done)[0], 4 * MOST as u64, "{}", done.body);
        assert!(
            took <= Duration::from_secs(20),
            "{took:?} with {share} of a processor"
        );
    }
    let scene = Scene::new().await;
    let rows = "OIL,3\n".repeat(4 * MOST + 1);
    let ask = scene.ask("POST", "/api/v1/imports");
    let ask = ask.body("text/csv", &format!("product,threshold\n{rows}"));
    assert_eq!(ask.send().await.status, 413);
}

#[tokio::test]
async fn a_row_that_cannot_be_taken_is_named_by_line_and_column() {
    let scene = Scene::new().await;
    scene.vehicle("erp", "SJAAX14V4RC004321", "london").await;
    let csv = "product,location,group,category,threshold,boundary,on_hand\n\
        OIL,north,,,3,,\n\
        OIL,nord,,,3,,\n\
        OIL,,nobody,,3,,\n\
        OIL,north,,,4,,\n\
        ,,,,,,\n\
        PAD,north,,,3,under,\n\
        PAD,north,,,-1,,\n\
        PAD,north,,brakes,3,,\n\
        PAD,south,,,,,many\n\
        line:bentley/bentayga,london,,,,,5\n\
        PAD,north,,,3,,,,9,\n\
        ,,,OIL,5,,\n";
    let answer = import(&scene, csv, false, 2).await;
    assert_eq!(counts(&answer), [4, 0, 0, 0, 9], "{}", answer.body);
    insta::assert_json_snapshot!(answer.body["rejected"]);
}

/// The field stands beside what is wrong with it.
#[tokio::test]
async fn what_is_wrong_with_a_cell_does_not_name_its_field_again() {
    let scene = Scene::new().await;
    let answer = import(
        &scene,
        "product,location,threshold\nOIL,n\u{fc}rd,3\n",
        true,
        2,
    )
    .await;
    let refused = &answer.body["rejected"][0];
    assert_eq!(refused["field"], "location", "{refused}");
    let detail = refused["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("is not in the configuration"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_location_goes_by_its_name_too_and_an_unknown_one_is_told_which_there_are() {
    let scene = Scene::new().await;
    let places = scene.get("/api/v1/config").await.body.to_string();
    assert!(places.contains("north"), "{places}");
    let csv = "product,location,on_hand,threshold\n\
        OIL,NORTH,4,2\n\
        OIL,north,5,\n\
        OIL,North Pole,5,\n\
        OIL,North Pole,,3\n";
    for dry_run in [true, false] {
        let answer = import(&scene, csv, dry_run, 2).await;
        let of = &answer.body["differences"][0]["of"];
        assert_eq!(
            (of, counts(&answer)),
            (&json!("OIL at north"), [2, 0, 0, 0, 3])
        );
        let rejected = answer.body["rejected"].as_array().unwrap();
        let detail = |index: usize| rejected[index]["detail"].as_str().unwrap().to_owned();
        assert!(detail(0).contains("an earlier row"), "{rejected:?}");
        for index in [1, 2] {
            assert!(detail(index).contains("`north` ("), "{rejected:?}");
        }
    }
}

#[tokio::test]
async fn a_rejected_row_is_in_no_other_rows_way() {
    let scene = Scene::new().await;
    // Of each pair the first is rejected: what is not believed, or does not stand.
    let csv = "product,location,on_hand,threshold,recovery\n\
        OIL,north,999999999,,\n\
        OIL,north,5,,\n\
        OIL,north,6,,\n\
        PAD,north,,5,2\n\
        PAD,north,,5,8\n\
        PAD,north,,6,8\n";
    let planned = import(&scene, csv, true, 2).await;
    let answer = import(&scene, csv, false, 2).await;
    let lines = |list: &str| -> Vec<u64> {
        let rows = answer.body[list].as_array().unwrap();
        rows.iter().filter_map(|it| it["line"].as_u64()).collect()
    };
    assert_eq!(lines("differences"), [3, 6], "{}", answer.body);
    assert_eq!(lines("rejected"), [2, 4, 5, 7], "{}", answer.body);
    for part in ["counts", "differences", "rejected"] {
        assert_eq!(planned.body[part], answer.body[part]);
    }
    let position = scene.get("/api/v1/positions?product=OIL").await;
    assert_eq!(position.body["items"][0]["on_hand"], 5);
}

/// A row sets all of what it says or nothing, and what sets nothing takes nobody's place.
#[tokio::test]
async fn a_later_row_counts_in_the_place_of_one_that_sets_nothing_for_whatever_reason() {
    let scene = Scene::new().await;
    let csv = "product,location,on_hand,threshold\n\
        OIL,north,999999999,3\n\
        OIL,north,,4\n\
        line:bentley/bentayga,london,5,1\n\
        line:bentley/bentayga,london,,2\n\
        GAS,north,7,\n\
        GAS,north,8,3\n\
        GAS,north,,5\n\
        GAS,north,,6\n\
        PAD,north,999999999,1\n\
        PAD,north,6,2\n\
        PAD,north,7,\n\
        PAD,north,,3\n";
    let planned = import(&scene, csv, true, 2).await;
    let answer = import(&scene, csv, false, 2).await;
    let lines = |list: &str| -> Vec<u64> {
        let rows = answer.body[list].as_array().unwrap();
        rows.iter().filter_map(|it| it["line"].as_u64()).collect()
    };
    assert_eq!(
        lines("differences"),
        [3, 5, 6, 8, 11, 11],
        "{}",
        answer.body
    );
    assert_eq!(
        lines("rejected"),
        [2, 4, 7, 9, 10, 12, 13],
        "{}",
        answer.body
    );
    for part in ["counts", "differences", "rejected"] {
        assert_eq!(planned.body[part], answer.body[part]);
    }
    let differences = answer.body["differences"].as_array().unwrap().iter();
    let thresholds: Vec<_> = differences
        .filter(|it| it["sets"] == "threshold")
        .map(|it| &it["after"]["threshold"])
        .collect();
    assert_eq!(thresholds, [4, 2, 5, 2]);
    let explained = scene
        .get("/api/v1/explain?product=GAS&location=north")
        .await;
    assert_eq!(explained.body["kinds"][0]["rule"], "imported: GAS at north");
}

#[tokio::test]
async fn windows_line_ends_and_line_breaks_in_cells_leave_the_numbers_right() {
    let scene = Scene::new().await;
    let csv = "product,category,threshold\r\n\"A\r\nB\",,3\r\n,oil,few\r\n\r\n,oil,some\r\n";
    let answer = import(&scene, csv, true, 2).await;
    let lines: Vec<_> = answer.body["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["line"].as_u64())
        .collect();
    assert_eq!(
        lines,
        [Some(2), Some(4), Some(6)],
        "a control character, and two words for numbers"
    );
    let later = import(&scene, csv, true, 102).await;
    assert_eq!(later.body["rejected"][1]["line"], 104);
}

#[tokio::test]
async fn what_changed_since_is_not_set_again_by_a_repetition() {
    let scene = Scene::new().await;
    scene.stated("OIL", "north", 5).await;
    let csv = "product,location,on_hand\nOIL,north,7\n";
    assert_eq!(
        counts(&import(&scene, csv, false, 2).await),
        [0, 1, 0, 0, 0]
    );
    let sale = json!({ "type": "sale", "product": "OIL", "location": "north", "quantity": 1 });
    assert_eq!(scene.moves("sale", sale).await.status, 201);
    for dry_run in [true, false] {
        assert_eq!(
            counts(&import(&scene, csv, dry_run, 2).await),
            [0, 0, 0, 1, 0]
        );
    }
    let position = scene.get("/api/v1/positions?product=OIL").await;
    assert_eq!(position.body["items"][0]["on_hand"], 6);
}

#[tokio::test]
async fn a_number_that_an_import_confirms_holds_against_an_older_sale_that_is_heard_of_later() {
    let scene = Scene::new().await;
    scene.stated("OIL", "north", 7).await;
    let csv = "product,location,on_hand\nOIL,north,7\n";
    for _ in 0..2 {
        let answer = import(&scene, csv, false, 2).await;
        assert_eq!(counts(&answer), [0, 0, 1, 0, 0]);
    }
    scene.sold_ago("OIL", "north", 2, 30).await;
    let position = scene.get("/api/v1/positions?product=OIL").await;
    assert_eq!(position.body["items"][0]["on_hand"], 7);
}

#[tokio::test]
async fn a_threshold_replaces_the_document_s_and_can_be_taken_away() {
    let scene = Scene::new().await;
    // Whoever forgets a SKU does not mean them all.
    let forgotten = "product,location,threshold\n,,5\n,north,5\nOIL,,none\n";
    let answer = import(&scene, forgotten, false, 2).await;
    assert_eq!(counts(&answer), [0, 0, 1, 0, 2]);
    for (refused, line) in answer.body["rejected"].as_array().unwrap().iter().zip(2..) {
        assert_eq!(refused["line"], line);
        assert!(
            refused["detail"].as_str().unwrap().contains("`*`"),
            "{refused}"
        );
    }
    let default = "product,threshold,recovery\n*,5,8\n";
    let changed = import(&scene, default, false, 2).await;
    assert_eq!(changed.body["differences"][0]["before"]["threshold"], 3);
    let rule = |answer: &Answer| answer.body["kinds"][0]["rule"].clone();
    let explained = scene
        .get("/api/v1/explain?product=OIL&location=north")
        .await;
    assert_eq!(rule(&explained), "imported: every product");
    // The document can still be applied over it.
    let again = scene
        .ask("PUT", "/api/v1/config")
        .body("application/toml", crate::scene::DOCUMENT);
    assert_eq!(again.send().await.status, 200);
    let removed = import(&scene, "product,threshold\n*,none\n", false, 2).await;
    assert_eq!(removed.body["differences"][0]["after"]["threshold"], 3);
    let explained = scene
        .get("/api/v1/explain?product=OIL&location=north")
        .await;
    assert_eq!(rule(&explained), "low-by-default");
    let nothing = import(&scene, "product,threshold\n*,none\n", false, 2).await;
    assert_eq!(counts(&nothing), [0, 0, 1, 0, 0], "it is so already");
}

#[tokio::test]
async fn all_pages_of_an_import_come_into_force_by_one_version_even_after_one_was_cut_off() {
    let scene = Scene::new().await;
    let version = async || scene.get("/api/v1/config").await.body["version"].clone();
    let page = async |category: &str, more: bool| {
        let target = format!("/api/v1/imports?name=rows.csv&more={more}");
        let rows = format!("category,location,threshold\n{category},north,7\n");
        let ask = scene.ask("POST", &target).header("idempotency-key", "one");
        let answer = ask.body("text/csv", &rows).send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        counts(&answer)
    };
    scene.described("OIL", "Engine oil", "oil").await;
    let rule = async || {
        let asked = "/api/v1/explain?product=OIL&location=north";
        scene.get(asked).await.body["kinds"][0]["rule"].clone()
    };
    assert_eq!(page("oil", true).await, [1, 0, 0, 0, 0]);
    assert_eq!(page("tyres", true).await, [1, 0, 0, 0, 0]);
    assert_eq!(
        (version().await, rule().await),
        (json!(1), json!("low-by-default"))
    );
    // Whoever sent them was cut off. Of what is repeated nothing is left to write.
    assert_eq!(page("oil", true).await, [0, 0, 1, 0, 0]);
    assert_eq!(page("tyres", false).await, [0, 0, 1, 0, 0]);
    assert_eq!(
        (version().await, rule().await),
        (json!(2), json!("imported: category oil at north"))
    );
    // One that changes nothing makes no version.
    assert_eq!(page("oil", false).await, [0, 0, 1, 0, 0]);
    assert_eq!(version().await, 2);
}

#[tokio::test]
async fn rows_may_come_as_json_and_a_table_without_sense_is_refused() {
    let scene = Scene::new().await;
    let rows = json!({ "rows": [
        { "category": "Brakes", "threshold": 2, "boundary": "below" },
        { "product": "OIL", "location": "north", "on_hand": 4 },
        { "product": "OIL", "colour": "red" },
    ] });
    let answer = scene
        .ask("POST", "/api/v1/imports")
        .json(&rows)
        .send()
        .await;
    assert_eq!(counts(&answer), [2, 0, 0, 0, 1], "{}", answer.body);
    for (csv, detail) in [
        (
            "sku,Lorry,on_hand\n",
            "column 2 is `Lorry`, which means nothing here; the file has `sku`, `Lorry`, `on_hand`",
        ),
        (
            "sku,price\n",
            "nor a `category` beside a `product`; the file has `sku`, `price`",
        ),
        ("VIN,sku,on_hand\n", "vehicles are not imported"),
        ("sku,sku,on_hand\n", "stands before already"),
    ] {
        let answer = scene
            .ask("POST", "/api/v1/imports")
            .body("text/csv", csv)
            .send()
            .await;
        assert_eq!(
            (answer.status, answer.kind()),
            (422, "urn:lotwire:problem:unreadable_table")
        );
        assert!(
            answer.body["detail"].as_str().unwrap().contains(detail),
            "{}",
            answer.body
        );
    }
    let answer = scene
        .ask("POST", "/api/v1/imports")
        .body("text/html", "x")
        .send()
        .await;
    assert_eq!(answer.status, 415);
}

#[tokio::test]
async fn a_table_as_a_spreadsheet_writes_it_is_taken() {
    let scene = Scene::new().await;
    for (number, (text, location)) in [
        (
            "SKU;Name;Stock;Location\r\nA-1;\"Oil; 1 l\";4;north\r\n",
            "north",
        ),
        (
            "sep=;\r\nItem Code;Product;Qty;Site;;\r\nA-2;Oil, 2 l;4.0;north;;\r\n",
            "north",
        ),
        (
            "\u{feff}Part Number\tItem Name\tQty On Hand\tWarehouse\nA-3\tOil 3 l\t4\tsouth\n",
            "south",
        ),
        (
            "product,title,on_hand,location\nA-4,\"Oil, 4 l\",4,north\n",
            "north",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let sku = format!("A-{}", number + 1);
        let done = scene
            .ask("POST", "/api/v1/imports")
            .body("text/csv", text)
            .send()
            .await;
        assert_eq!(done.body["counts"]["new"], 2, "{text:?}: {}", done.body);
        assert_eq!(
            done.body["counts"]["rejected"], 0,
            "{text:?}: {}",
            done.body
        );
        let query = format!("/api/v1/positions?product={sku}&location={location}");
        let stock = scene.get(&query).await;
        assert_eq!(stock.body["items"][0]["on_hand"], 4, "{}", stock.body);
        let product = scene.store.product(&sku.parse().unwrap()).await.unwrap();
        let product = product.unwrap();
        let title = product.title(&Sources::default()).unwrap();
        assert!(title.starts_with("Oil"), "{title}");
    }
    let refused = scene
        .ask("POST", "/api/v1/imports")
        .body("text/csv", "SKU;Treshold;Stock;Location\nA-1;3;4;north\n")
        .send()
        .await;
    assert_eq!(refused.status, 422);
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("column 2 is `Treshold`"), "{detail}");
}

/// With a category beside it a rule for that category applies, or the threshold for this very product.
#[tokio::test]
async fn a_category_beside_a_product_is_the_products() {
    let scene = Scene::new().await;
    let csv = "product,title,category,location,on_hand,threshold\n\
        DSC-1,Brake disc,brakes,north,5,8\n\
        DSC-2,Brake disc 2,brakes,north,5,\n\
        *,,brakes,north,,4\n\
        ,,brakes,south,,6\n";
    for (dry_run, new) in [(true, 9), (false, 9)] {
        let answer = import(&scene, csv, dry_run, 2).await;
        assert_eq!(counts(&answer), [new, 0, 0, 0, 0], "{}", answer.body);
        assert_eq!(answer.body["passed_over"], json!([]));
    }
    for sku in ["DSC-1", "DSC-2"] {
        let product = scene.store.product(&sku.parse().unwrap()).await.unwrap();
        let product = product.unwrap();
        assert_eq!(product.category(&Sources::default()), Some("brakes"));
    }
    let of = |answer: &Answer| -> Vec<String> {
        let rows = answer.body["items"].as_array().unwrap().iter();
        rows.map(|row| {
            format!(
                "{} {} {}",
                row["product"], row["category"], row["threshold"]
            )
        })
        .collect()
    };
    let mut thresholds = of(&scene.get("/api/v1/thresholds").await);
    thresholds.sort();
    let expected = ["\"DSC-1\" null 8", "null \"brakes\" 4", "null \"brakes\" 6"];
    assert_eq!(thresholds, expected);
    let alone = "product,category\nDSC-3,brakes\n";
    assert_eq!(
        counts(&import(&scene, alone, false, 2).await),
        [1, 0, 0, 0, 0]
    );
}

#[tokio::test]
async fn what_says_what_a_threshold_is_for_is_passed_over_with_a_word_where_there_is_none() {
    let scene = Scene::new().await;
    let csv = "product,make,model,location,on_hand\nOIL,Shell,Helix,north,5\n";
    let answer = import(&scene, csv, false, 2).await;
    assert_eq!(answer.body["passed_over"], json!(["make", "model"]));
}

#[tokio::test]
async fn of_a_row_that_cannot_be_taken_nothing_is_set() {
    let scene = Scene::new().await;
    let csv = "product,title,category,location,on_hand,threshold,recovery\n\
        A,Apple,fruit,nowhere,5,3,\n\
        B,Pear,fruit,north,5,3,2\n\
        C,Plum,fruit,north,999999999,3,\n";
    for dry_run in [true, false] {
        let answer = import(&scene, csv, dry_run, 2).await;
        assert_eq!(counts(&answer), [0, 0, 0, 0, 3], "{}", answer.body);
    }
    for sku in ["A", "B", "C"] {
        let product = scene.store.product(&sku.parse().unwrap()).await.unwrap();
        assert_eq!(product, None, "{sku}");
    }
    assert_eq!(
        scene.get("/api/v1/positions").await.body["items"],
        json!([])
    );
    assert_eq!(
        scene.get("/api/v1/thresholds").await.body["items"],
        json!([])
    );
    // The same title in a row that can be taken is taken from there.
    let csv = "product,title,location,on_hand\nD,Fig,nowhere,5\nD,Fig,north,5\n";
    let answer = import(&scene, csv, false, 2).await;
    assert_eq!(counts(&answer), [2, 0, 0, 0, 1], "{}", answer.body);
}

/// As it lies in the folder of a source of files.
#[tokio::test]
async fn a_stock_file_is_taken_and_its_other_columns_are_passed_over_with_a_word() {
    let scene = Scene::new().await;
    let csv = "SKU,Location,Qty,Committed,Reorder point,Price,Last updated\n\
        OIL,north,7,2,3,9.90,2026-01-01\n\
        PAD,north,many,x,,,\n";
    let done = import(&scene, csv, false, 2).await;
    assert_eq!(counts(&done), [2, 0, 0, 0, 1], "{}", done.body);
    let passed_over = json!(["Committed", "Price", "Last updated"]);
    assert_eq!(done.body["passed_over"], passed_over);
    assert_eq!(done.body["rejected"][0]["column"], 3);
    let position = scene.get("/api/v1/positions?product=OIL").await;
    let position = &position.body["items"][0];
    assert_eq!(
        (&position["on_hand"], &position["reserved"]),
        (&json!(7), &json!(0))
    );
}

#[tokio::test]
async fn a_threshold_under_a_season_is_shown_with_what_will_be_in_force() {
    let scene = Scene::new().await;
    let season = "{ from = 2020-01-01, until = 2099-02-15, units = 20 }";
    let text = format!(
        "{DOCUMENT}\n[[rules]]\nname = \"coolant\"\nkind = \"low_stock\"\nproduct = \"COOLANT\"\n\
         threshold = 12\nseasons = [{season}]\n"
    );
    let applied = scene
        .ask("PUT", "/api/v1/config")
        .body("application/toml", &text);
    assert_eq!(applied.send().await.status, 200);
    let planned = import(&scene, "product,threshold\nCOOLANT,3\n", true, 2).await;
    let difference = &planned.body["differences"][0];
    let shown = |side: &str| {
        let of = |key: &str| difference[side][key].clone();
        [of("threshold"), of("in_force"), of("season_until")]
    };
    let until = json!("2099-02-15T00:00:00");
    assert_eq!(shown("before"), [json!(12), json!(20), until.clone()]);
    assert_eq!(shown("after"), [json!(3), json!(20), until], "{difference}");
}

/// Where no rule is for the very scope of a row, one for more than that applies there today: it is what the row
/// changes, and what is back once the row is taken away.
#[tokio::test]
async fn what_applies_before_a_threshold_is_imported_is_shown_also_where_it_is_a_wider_rules() {
    let scene = Scene::new().await;
    let text = format!(
        "{DOCUMENT}\n[[rules]]\nname = \"coolants\"\nkind = \"low_stock\"\ncategory = \"coolant\"\n\
         threshold = 12\nseasons = [{{ from = 2020-01-01, until = 2099-02-15, units = 20 }}]\n"
    );
    let applied = scene
        .ask("PUT", "/api/v1/config")
        .body("application/toml", &text);
    assert_eq!(applied.send().await.status, 200);
    scene.described("COOLANT", "Coolant", "coolant").await;
    let shown = |side: &Value| [side["threshold"].clone(), side["in_force"].clone()];
    let (wider, own) = ([json!(12), json!(20)], [json!(3), Value::Null]);
    let rows = "product,location,threshold\nCOOLANT,,3\nCOOLANT,south,3\nOTHER,,3\n";
    for dry_run in [true, false] {
        let answer = import(&scene, rows, dry_run, 2).await;
        assert_eq!(counts(&answer), [3, 0, 0, 0, 0], "{}", answer.body);
        let [everywhere, south, other] = &answer.body["differences"].as_array().unwrap()[..] else {
            panic!("{}", answer.body);
        };
        for difference in [everywhere, south] {
            assert_eq!(shown(&difference["before"]), wider, "{difference}");
            assert_eq!(shown(&difference["after"]), own, "{difference}");
        }
        // The document has a rule for everything.
        assert_eq!(shown(&other["before"]), [json!(3), Value::Null]);
    }
    let away = "product,location,threshold\nCOOLANT,,none\nCOOLANT,south,none\n";
    let answer = import(&scene, away, true, 2).await;
    for difference in answer.body["differences"].as_array().unwrap() {
        assert_eq!(shown(&difference["before"]), own, "{difference}");
        assert_eq!(shown(&difference["after"]), wider, "{difference}");
    }
    assert_eq!(counts(&answer), [0, 2, 0, 0, 0], "{}", answer.body);
}

/// The document's rule for oils is critical, on hand and over three units later; a row with a number alone
/// changes none of that.
#[tokio::test]
async fn what_a_row_does_not_say_stays_as_the_rule_that_it_overrides_has_it() {
    let scene = Scene::new().await;
    let document = |severity: &str| {
        format!(
            "{DOCUMENT}\n[[rules]]\nname = \"oils\"\nkind = \"low_stock\"\ncategory = \"oil\"\n\
             threshold = 5\nrecovery = 8\nbasis = \"on_hand\"\npending = \"30m\"\nseverity = \"{severity}\"\n"
        )
    };
    let apply = async |text: &str| {
        let ask = scene.ask("PUT", "/api/v1/config");
        let applied = ask.body("application/toml", text).send().await;
        assert_eq!(applied.status, 200, "{}", applied.body);
    };
    apply(&document("critical")).await;
    scene.described("OIL", "Engine oil", "oil").await;
    let rows = "product,threshold,severity\nOIL,12,\nPAD,12,\n";
    for dry_run in [true, false] {
        let answer = import(&scene, rows, dry_run, 2).await;
        assert_eq!(counts(&answer), [2, 0, 0, 0, 0]);
        let after = |row: usize| answer.body["differences"][row]["after"].clone();
        let [oil, pad] = [0, 1].map(after);
        assert_eq!(
            (&oil["severity"], &oil["basis"]),
            (&json!("critical"), &json!("on_hand"))
        );
        assert_eq!(
            (&oil["threshold"], &oil["recovery"]),
            (&json!(12), &json!(15))
        );
        assert_eq!(oil["pending"], "30m");
        // Of no category, so as the rule for all.
        assert_eq!(
            (&pad["severity"], &pad["basis"]),
            (&json!("warning"), &json!("available"))
        );
    }
    let why = async |severity: &str| {
        apply(&document(severity)).await;
        let asked = "/api/v1/explain?product=OIL&location=north";
        let kind = scene.get(asked).await.body["kinds"][0].clone();
        assert_eq!(kind["rule"], "imported: OIL");
        kind["why"].as_str().unwrap().to_owned()
    };
    let said = why("warning").await;
    assert!(
        said.contains("fires at 12 or fewer on hand, over from 15"),
        "{said}"
    );
    assert!(
        said.contains("What its import does not say is as in rule `oils`"),
        "{said}"
    );
    // The document's rule is followed, also when it changes later; what a row said holds.
    let shown = async |row: &str| {
        let rows = format!("product,threshold,severity\n{row}\n");
        let answer = import(&scene, &rows, false, 2).await;
        answer.body["differences"][0]["after"]["severity"].clone()
    };
    assert_eq!(shown("OIL,11,").await, "warning");
    assert_eq!(shown("OIL,11,critical").await, "critical");
    assert_eq!(shown("OIL,10,").await, "critical");
    // So it does where another row is the wider rule.
    let rows = "product,category,threshold,severity\nGAS,,3,\n,gases,4,info\n";
    scene.described("GAS", "Gas", "gases").await;
    let answer = import(&scene, rows, true, 2).await;
    assert_eq!(answer.body["differences"][0]["after"]["severity"], "info");
}

#[tokio::test]
async fn imported_thresholds_are_paged_through_as_the_rows_that_import_them() {
    let scene = Scene::new().await;
    let csv = "product,category,make,model,location,group,threshold,boundary,basis,recovery,over,severity\n\
        OIL,,,,north,,3,below,on_hand,5,,critical\n\
        OIL,,,,,,7,,,,,\n\
        ,oil,,,,warehouses,21,,,,sum,\n\
        ,,bentley,bentayga,london,,2,,,,,\n\
        *,,,,,,4,,,,,\n";
    let done = import(&scene, csv, false, 2).await;
    // Two of them are in the document with other numbers.
    assert_eq!(counts(&done), [3, 2, 0, 0, 0], "{}", done.body);
    let (mut rows, mut next) = (Vec::new(), String::new());
    loop {
        let page = scene
            .get(&format!("/api/v1/thresholds?limit=2{next}"))
            .await;
        assert_eq!(page.status, 200, "{}", page.body);
        let items = page.body["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        rows.extend(items.iter().cloned());
        match page.body["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(rows.len(), 5, "{rows:?}");
    let oil = rows.iter().find(|row| row["location"] == "north").unwrap();
    let expected = json!({
        "product": "OIL", "location": "north", "threshold": 3, "boundary": "below",
        "basis": "on_hand", "recovery": 5, "severity": "critical",
    });
    assert_eq!(*oil, expected);
    let again = scene
        .ask("POST", "/api/v1/imports?dry_run=true")
        .json(&json!({ "rows": rows }));
    assert_eq!(counts(&again.send().await), [0, 0, 5, 0, 0]);
}

/// Of such a rule it is not known what its row left blank: it says all of it itself.
#[tokio::test]
async fn a_threshold_from_before_it_was_noted_what_its_row_said_is_exported_whole_and_keeps_it() {
    let scene = Scene::new().await;
    let csv = "product,location,threshold,boundary,basis,recovery,severity\n\
        OIL,north,3,below,on_hand,5,critical\n";
    import(&scene, csv, false, 2).await;
    let picture = scene.store.picture(&"OIL".parse().unwrap()).await;
    let mut old = picture.unwrap().rules;
    assert_eq!(old.len(), 1);
    old[0].said = None;
    scene.store.change_rules(&old, &[], "test").await.unwrap();
    let exported = async |threshold| {
        let page = scene.get("/api/v1/thresholds").await;
        let rows = page.body["items"].as_array().unwrap().clone();
        let expected = json!({
            "product": "OIL", "location": "north", "threshold": threshold, "boundary": "below",
            "basis": "on_hand", "recovery": threshold + 2, "severity": "critical",
        });
        let found = rows.iter().find(|row| row["product"] == "OIL");
        assert_eq!(found, Some(&expected));
    };
    exported(3).await;
    import(
        &scene,
        "product,location,threshold\nOIL,north,7\n",
        false,
        2,
    )
    .await;
    exported(7).await;
}

#[tokio::test]
async fn an_import_that_is_repeated_leaves_alone_what_was_changed_since_and_a_new_one_does_not() {
    let scene = Scene::new().await;
    let rows = |threshold: &str, title: &str| {
        format!("product,location,threshold,title\nSKU-1,north,{threshold},{title}\n")
    };
    let send = async |key: &str, csv: &str| {
        let ask = scene
            .ask("POST", "/api/v1/imports?name=rows.csv&dry_run=false&line=2")
            .header("idempotency-key", key);
        let answer = ask.body("text/csv", csv).send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        counts(&answer)
    };
    let stands = async || {
        let of = Scope {
            product: Some("SKU-1".parse().unwrap()),
            ..Scope::default()
        };
        let wanted = [(of, "imported: SKU-1 at north".parse().unwrap())];
        let mut rules = scene.store.imported_rules(&wanted).await.unwrap();
        rules.pop().unwrap().check.threshold().unwrap().units
    };
    let (first, second) = (rows("5", "Oil"), rows("9", "Better oil"));
    assert_eq!(send("one", &first).await, [2, 0, 0, 0, 0]);
    assert_eq!(send("two", &second).await, [0, 2, 0, 0, 0]);
    assert_eq!(stands().await, 9);
    assert_eq!(send("one", &first).await, [0, 0, 0, 2, 0], "sent twice");
    assert_eq!(stands().await, 9);
    // What was so when it was imported is as much imported.
    assert_eq!(send("three", &second).await, [0, 0, 2, 0, 0]);
    assert_eq!(send("four", &first).await, [0, 2, 0, 0, 0], "as a new one");
    assert_eq!(send("three", &second).await, [0, 0, 0, 2, 0]);
    // Taken away, and taken away already.
    let none = "product,location,threshold\nSKU-1,north,none\n";
    assert_eq!(send("five", none).await, [0, 1, 0, 0, 0]);
    assert_eq!(send("six", none).await, [0, 0, 1, 0, 0]);
    assert_eq!(send("four", &first).await, [0, 0, 1, 1, 0]);
}

#[tokio::test]
async fn a_title_that_belongs_to_another_source_is_refused_and_says_whose_it_is() {
    let scene = Scene::new().await;
    let owned = DOCUMENT.replace("[ownership]\n", "[ownership]\ntitle = [\"erp\"]\n");
    let owned = Config::check(&owned, "lotwire.toml").unwrap();
    assert!(scene.store.apply_config(&owned, "test").await.unwrap());
    scene.described("OIL", "Engine oil", "oil").await;
    // How many there are does not wait for what they are called.
    for (csv, new, rest) in [
        ("product,title\nOIL,Oil\nMUG,Mug\n", 1, false),
        (
            "product,title,location,on_hand\nOIL,Oil,north,5\nCUP,Cup,north,5\n",
            3,
            true,
        ),
    ] {
        for dry_run in [true, false] {
            let answer = import(&scene, csv, dry_run, 2).await;
            assert_eq!(counts(&answer), [new, 0, 0, 0, 1], "{}", answer.body);
            let refused = &answer.body["rejected"][0];
            let detail = refused["detail"].as_str().unwrap();
            assert!(
                detail.contains("`Engine oil`") && detail.contains("`erp`"),
                "{detail}"
            );
            assert_eq!(detail.ends_with("; the rest of the row is taken"), rest);
        }
    }
}

#[tokio::test]
async fn rows_about_products_that_nobody_knows_are_counted_and_named() {
    let scene = Scene::new().await;
    scene.stated("STATED", "north", 3).await;
    scene.described("DESCRIBED", "Oil", "oils").await;
    let rows = "product,category,location,on_hand,threshold\n\
                STATED,,north,,4\nDESCRIBED,,north,,4\nTYOP,,north,,4\nNEW,,north,7,4\n,oils,north,,4\n";
    for dry_run in [true, false] {
        let answer = import(&scene, rows, dry_run, 2).await;
        let unknown = json!({ "rows": 2, "products": ["NEW", "TYOP"] });
        assert_eq!(answer.body["unknown"], unknown, "{}", answer.body);
        assert_eq!(answer.body["counts"]["rejected"], 0);
    }
    // What was counted is known by then.
    let answer = import(&scene, rows, true, 2).await;
    assert_eq!(
        answer.body["unknown"],
        json!({ "rows": 1, "products": ["TYOP"] })
    );
    let spoilt = "product,location,on_hand\n#REF!,north,4\n\"1,2E+12\",north,4\n";
    let answer = import(&scene, spoilt, false, 2).await;
    assert_eq!(counts(&answer), [0, 0, 0, 0, 2], "{}", answer.body);
}

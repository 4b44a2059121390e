//! The configuration: shown, compared, applied, or refused with every fault and its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use lotwire::engine::{Call, Interference, Verdict};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::domain::Change;
use shared::domain::event::{Level, Version};
use shared::store::stated::{Item, Stated};

use crate::scene::{DOCUMENT, Scene};

#[tokio::test]
async fn a_document_is_compared_and_then_applied() {
    let scene = Scene::new().await;
    // A line more moves every rule, and that is no difference.
    let text = format!(
        "# moved\n{}",
        DOCUMENT.replace("threshold = 20", "threshold = 25")
    );
    let put = |target: &'static str| scene.ask("PUT", target).body("application/toml", &text);
    let planned = put("/api/v1/config?dry_run=true").send().await;
    assert_eq!(planned.status, 200, "{}", planned.body);
    assert_eq!(
        planned.body["differences"],
        json!([{ "path": "rules.oil-in-all.threshold", "before": 20, "after": 25 }])
    );
    assert_eq!(scene.get("/api/v1/config").await.body["version"], 1);
    let applied = put("/api/v1/config")
        .header("lotwire-actor", "maria")
        .send()
        .await;
    assert_eq!(
        (&applied.body["version"], &applied.body["applied_by"]),
        (&json!(2), &json!("maria"))
    );
    let again = put("/api/v1/config").send().await;
    assert_eq!(
        (&again.body["changed"], &again.body["version"]),
        (&json!(false), &json!(2))
    );
    let shown = scene.get("/api/v1/config").await;
    assert_eq!(shown.body["rules"], json!({ "in_document": 3 }));
}

#[tokio::test]
async fn a_document_with_faults_is_refused_with_all_of_them() {
    let scene = Scene::new().await;
    let text = DOCUMENT
        .replace("threshold = 3", "threshold = -3")
        .replace("kind = \"rooftop\"", "kind = \"roof\"");
    let refused = scene
        .ask("PUT", "/api/v1/config?name=my.toml")
        .body("application/toml", &text)
        .send()
        .await;
    assert_eq!(refused.status, 422);
    insta::assert_json_snapshot!(refused.body);
    assert_eq!(scene.get("/api/v1/config").await.body["version"], 1);
}

#[tokio::test]
async fn a_document_is_applied_only_over_what_it_was_compared_with() {
    let scene = Scene::new().await;
    let mine = DOCUMENT.replace("threshold = 20", "threshold = 25");
    let theirs = DOCUMENT.replace("threshold = 20", "threshold = 30");
    let put =
        |target: &'static str, text: &str| scene.ask("PUT", target).body("application/toml", text);
    let planned = put("/api/v1/config?dry_run=true", &mine).send().await;
    let tag = planned.header("etag").unwrap().to_owned();
    assert_eq!(tag, "\"1\"");
    let applied = put("/api/v1/config", &theirs)
        .header("if-match", &tag)
        .send()
        .await;
    assert_eq!(applied.status, 200, "{}", applied.body);
    assert_eq!(applied.header("etag"), Some("\"2\""));

    let refused = put("/api/v1/config", &mine)
        .header("if-match", &tag)
        .send()
        .await;
    assert_eq!(refused.status, 412);
    assert_eq!(refused.body["reason"], "overtaken");
    let planned = put("/api/v1/config?dry_run=true", &mine)
        .header("if-match", &tag)
        .send()
        .await;
    assert_eq!(planned.status, 412, "nor is it compared");
    for (name, value) in [
        ("if-none-match", "*"),
        ("if-match", "W/\"2\""),
        ("if-match", "\"two\""),
    ] {
        let refused = put("/api/v1/config", &mine)
            .header(name, value)
            .send()
            .await;
        assert_eq!(refused.status, 412, "{name}: {value}");
    }
    let shown = scene.get("/api/v1/config").await;
    assert_eq!(
        (&shown.body["version"], shown.header("etag")),
        (&json!(2), Some("\"2\""))
    );
}

/// What stands in the document for the place, and for its group, taken out.
fn without_the_north() -> String {
    let place = "[locations.north]\nname = \"North warehouse\"\nkind = \"warehouse\"\n\
                 groups = [\"warehouses\"]\n";
    assert!(DOCUMENT.contains(place));
    DOCUMENT
        .replace(place, "")
        .replace("{ north = \"north\", ", "{ ")
        .replace("{ north = \"north\" }", "{ south = \"south\" }")
}

#[tokio::test]
async fn what_is_no_longer_in_force_with_a_place_is_named_before_and_after() {
    // An alert is open for OIL in the north.
    let scene = crate::channels::scene().await;
    scene.stated("OIL", "north", 2).await;
    let rows = "product,location,group,threshold\nOIL,north,,3\nPAD,north,,4\nPAD,south,,4\n\
                PAD,,warehouses,9\n";
    let import = scene.ask("POST", "/api/v1/imports");
    let imported = import.body("text/csv", rows).send().await;
    assert_eq!(imported.body["counts"]["new"], 4, "{}", imported.body);
    let put = async |document: &str, dry_run: bool| {
        let target = format!("/api/v1/config?dry_run={dry_run}");
        let answer = scene.ask("PUT", &target).body("application/toml", document);
        let answer = answer.send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let notes = answer.body["notes"].as_array().unwrap().iter();
        let notes = notes.map(|note| note.as_str().unwrap().to_owned());
        let notes: Vec<_> = notes.filter(|note| note.starts_with("without")).collect();
        notes
    };
    let north = without_the_north();
    for dry_run in [true, false] {
        let notes = put(&north, dry_run).await;
        let [stock, thresholds, alerts] = &notes[..] else {
            panic!("{notes:?}");
        };
        let told = "without location `north`: 1 position there. ";
        assert!(stock.starts_with(told), "{stock}");
        let told = "without location `north`, what no longer applies: 2 imported thresholds (";
        assert!(thresholds.starts_with(told), "{thresholds}");
        for threshold in ["OIL at north", "PAD at north"] {
            assert!(thresholds.contains(threshold), "{thresholds}");
        }
        let told = "without location `north`, what ends: 1 open alert (low_stock of OIL at north)";
        assert_eq!(alerts, told);
    }
    // They are kept, and known as what they are.
    let listed = scene.get("/api/v1/thresholds").await.body;
    let listed = listed["items"].as_array().unwrap();
    let out = |row: &&Value| row["in_force"] == false;
    let places: Vec<_> = listed
        .iter()
        .filter(out)
        .filter_map(|row| row["location"].as_str())
        .collect();
    assert_eq!((listed.len(), places), (4, vec!["north", "north"]));
    let group = north.replace("warehouses", "shops");
    let notes = put(&group, true).await;
    let told = "without group `warehouses`, what no longer applies: 1 imported threshold (PAD in warehouses)";
    assert!(notes.len() == 1 && notes[0].starts_with(told), "{notes:?}");
    // A document that takes nothing away has nothing to say.
    assert_eq!(put(DOCUMENT, false).await, [""; 0]);
    let listed = scene.get("/api/v1/thresholds").await.body;
    let mut listed = listed["items"].as_array().unwrap().iter();
    assert!(listed.all(|row| row.get("in_force").is_none()));
}

/// A table that takes two seconds for each page of a list, once it is slow.
#[derive(Default)]
struct Slow(AtomicBool);

#[async_trait::async_trait]
impl Interference for Slow {
    async fn before(&self, call: &Call) -> Verdict {
        if self.0.load(Ordering::Relaxed) && call.operation == "Query" {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        Verdict::Proceed
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_that_takes_much_away_is_written_long_before_the_time_is_over() {
    let slow = Arc::new(Slow::default());
    let clock = Clock::starting_at("2026-11-30T12:00:00Z".parse().unwrap());
    let scene = Scene::behind_at(slow.clone(), clock).await;
    scene.stated("OIL", "north", 5).await;
    slow.0.store(true, Ordering::Relaxed);
    let begun = tokio::time::Instant::now();
    let document = without_the_north();
    let ask = scene.ask("PUT", "/api/v1/config");
    let answer = ask.body("application/toml", &document).send().await;
    let took = begun.elapsed();
    assert_eq!((answer.status, &answer.body["version"]), (200, &json!(2)));
    assert!(took < Duration::from_secs(14), "{took:?}");
    let notes = answer.body["notes"].to_string();
    for unknown in [
        "how much is not known",
        "how many imported thresholds is not known",
        "how many open alerts is not known",
    ] {
        assert!(notes.contains(unknown), "{notes}");
    }
}

#[tokio::test]
async fn what_people_entered_at_a_place_whose_id_changes_is_told() {
    let scene = Scene::new().await;
    for (sku, on_hand) in [("OIL", 30), ("PAD", 5), ("CAP", 5)] {
        scene.stated(sku, "north", on_hand).await;
    }
    let renamed = DOCUMENT
        .replace("[locations.north]", "[locations.cold]")
        .replace("north = \"north\"", "north = \"cold\"");
    let told = async || {
        let ask = scene.ask("PUT", "/api/v1/config?dry_run=true");
        let answer = ask.body("application/toml", &renamed).send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let notes = answer.body["notes"].as_array().unwrap().iter();
        let notes = notes.map(|note| note.as_str().unwrap().to_owned());
        let about = |note: &String| note.contains("what people counted");
        notes.filter(about).collect::<Vec<_>>()
    };
    assert_eq!(told().await, [""; 0], "only a source has said anything");
    let sale = json!({ "product": "OIL", "location": "north", "type": "sale", "quantity": 28 });
    assert!(scene.moves("s1", sale).await.status < 300);
    let count = json!({ "product": "PAD", "location": "north", "type": "count", "quantity": 7 });
    assert!(scene.moves("c1", count).await.status < 300);
    let [note] = &told().await[..] else {
        panic!("nothing is told");
    };
    for words in [
        "location `north` stays with that id",
        ": 2 positions. If only",
        "keep its id and change `name`",
    ] {
        assert!(note.contains(words), "{note}");
    }
}

#[tokio::test]
async fn what_becomes_of_stock_is_said_before_a_connector_or_its_name_for_a_place_is_removed() {
    let scene = Scene::new().await;
    scene.stated("OIL", "north", 5).await;
    scene.stated("PAD", "north", 5).await;
    scene.stated("OIL", "south", 5).await;
    scene.vehicle("erp", "SCBCG2ZG0RC012345", "london").await;
    scene.vehicle("drop", "SCBCG2ZG0RC012346", "london").await;
    let notes = async |document: &str, dry_run: bool| {
        let target = format!("/api/v1/config?dry_run={dry_run}");
        let answer = scene.ask("PUT", &target).body("application/toml", document);
        let answer = answer.send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let notes = answer.body["notes"].as_array().unwrap().iter();
        let notes = notes.map(|note| note.as_str().unwrap().to_owned());
        let about =
            |note: &String| note.starts_with("without") || note.starts_with("connector `erp`");
        notes.filter(about).collect::<Vec<_>>()
    };
    // Its name for a place: a sender may call it by ours.
    let unnamed = DOCUMENT.replace("{ north = \"north\", south", "{ south");
    let [told] = &notes(&unnamed, true).await[..] else {
        panic!("nothing is told");
    };
    let begins = "connector `erp` no longer lists location `north`, and what it states there stays";
    assert!(
        told.starts_with(begins) && told.contains("2 positions"),
        "{told}"
    );

    let begins = DOCUMENT.find("[connectors.erp]").unwrap();
    let ends = DOCUMENT.find("[connectors.drop]").unwrap();
    let without = DOCUMENT
        .replace(&DOCUMENT[begins..ends], "")
        .replace("[\"erp\"]", "[\"drop\"]");
    for dry_run in [true, false] {
        let [told] = &notes(&without, dry_run).await[..] else {
            panic!("nothing is told");
        };
        let begins = "without connector `erp`, what it states ends within minutes: 3 positions and 1 vehicle.";
        assert!(told.starts_with(begins), "{told}");
        assert!(told.contains("`enabled = false`"), "how to keep it: {told}");
    }
    let off = DOCUMENT.replace("kind = \"files\"", "kind = \"files\"\nenabled = false");
    assert_eq!(notes(&off, true).await, [""; 0], "what it stated stands");
}

/// What a document would do to stock: what is noted about the connectors `erp` and `drop`.
async fn noted(scene: &Scene, document: &str, time: i64) -> Vec<String> {
    let ask = scene.ask("PUT", "/api/v1/config?dry_run=true");
    let ask = ask.body("application/toml", document);
    let answer = ask.send_within(SignedDuration::from_secs(time)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let notes = answer.body["notes"].as_array().unwrap().iter();
    let notes = notes.map(|note| note.as_str().unwrap().to_owned());
    let about =
        |note: &String| note.contains("connector `erp`") || note.contains("connector `drop`");
    notes.filter(about).collect()
}

#[tokio::test]
async fn what_two_exchanged_names_do_to_stock_is_said_before() {
    let scene = Scene::new().await;
    let exchanged = DOCUMENT.replace(
        "{ north = \"north\", south = \"south\"",
        "{ north = \"south\", south = \"north\"",
    );
    // From before names were kept.
    scene.stated("PAD", "north", 5).await;
    let [told] = &noted(&scene, &exchanged, 30).await[..] else {
        panic!("nothing is told");
    };
    let begins = "connector `erp` calls location `north` by other names now";
    assert!(
        told.starts_with(begins) && told.contains("1 position"),
        "{told}"
    );

    for (product, location) in [("OIL", "north"), ("GAS", "north"), ("OIL", "south")] {
        let at = scene.store.clock().now();
        let stated = Change::LevelSet {
            product: product.parse().unwrap(),
            location: location.parse().unwrap(),
            level: Level {
                on_hand: 5,
                ..Level::default()
            },
            version: Version::at(at),
            called: Some(location.to_owned()),
        };
        scene.applied(at, stated).await;
    }
    let told = noted(&scene, &exchanged, 30).await;
    for (place, how_much) in [("north", "2 positions"), ("south", "1 position")] {
        let told = told
            .iter()
            .find(|note| note.contains("ends within minutes") && note.contains(place));
        let told = told.unwrap_or_else(|| panic!("{place}"));
        let begins = format!(
            "connector `erp` means another place now by a name that it had for location `{place}`"
        );
        assert!(
            told.starts_with(&begins) && told.contains(how_much),
            "{told}"
        );
    }
    assert_eq!(told.len(), 3, "{told:?}");
}

/// How much that is nobody knows.
#[tokio::test]
async fn that_what_moved_by_a_corrected_name_goes_along_with_a_replay_is_said_before() {
    let scene = Scene::new().await;
    let till = |place: &str| {
        let till = format!(
            "[connectors.till]\nkind = \"generic\"\nlocations = {{ 5 = \"{place}\" }}\n\
             webhook = {{ secret = \"env:TILL\" }}\n[connectors.drop]"
        );
        DOCUMENT.replace("[connectors.drop]", &till)
    };
    let notes = async |document: &str, dry_run: bool| {
        let target = format!("/api/v1/config?dry_run={dry_run}");
        let answer = scene.ask("PUT", &target).body("application/toml", document);
        let answer = answer.send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let notes = answer.body["notes"].as_array().unwrap().iter();
        let notes = notes.map(|note| note.as_str().unwrap().to_owned());
        notes
            .filter(|note| note.contains("by `5`"))
            .collect::<Vec<_>>()
    };
    assert_eq!(notes(&till("north"), false).await, [""; 0]);
    assert_eq!(notes(&till("north"), true).await, [""; 0]);
    // Nothing was ever sold or moved there. That how much there is was stated is another matter.
    scene.stated("PAD", "north", 5).await;
    scene.vehicle("till", "SCBCG2ZG0RC012345", "north").await;
    assert_eq!(notes(&till("south"), true).await, [""; 0]);
    scene.sold_ago("OIL", "north", 2, 60).await;
    let [told] = &notes(&till("south"), true).await[..] else {
        panic!("nothing is told");
    };
    assert!(told.ends_with("lotwire replay --connector till"), "{told}");
}

/// Files and webhooks both say what they call the place.
#[tokio::test]
async fn that_vehicles_stay_where_their_places_name_led_before_is_said() {
    let scene = Scene::new().await;
    let document = DOCUMENT.replace(
        "{ north = \"north\" }",
        "{ Yard = \"north\", Lot = \"south\" }",
    );
    let put = scene.ask("PUT", "/api/v1/config");
    let put = put.body("application/toml", &document).send().await;
    assert_eq!(put.status, 200, "{}", put.body);
    let moved = document
        .replace("Yard = \"north\"", "Yard = \"london\"")
        .replace("{ north = \"north\", south", "{ north = \"london\", south");
    let moved = moved.replace(", london = \"london\"", "");
    let about = async || {
        let told = noted(&scene, &moved, 30).await;
        let told = told.into_iter().filter(|note| note.contains("vehicle"));
        told.collect::<Vec<_>>()
    };
    assert_eq!(about().await, [""; 0]);
    for (source, vin, called) in [
        ("erp", "SCBCG2ZG0RC012345", "north"),
        ("erp", "SCBCG2ZG0RC012346", "north"),
        ("drop", "SCBCG2ZG0RC012347", "Yard"),
    ] {
        scene.vehicle_called(source, vin, "north", called).await;
    }
    let told = about().await;
    for (source, how_many, then) in [
        ("erp", "2 vehicles", "lotwire replay --connector erp"),
        ("drop", "1 vehicle.", "next whole file"),
    ] {
        let begins = format!(
            "connector `{source}` means another place now by a name that it had for location `north`; vehicles"
        );
        let told: Vec<_> = told.iter().filter(|it| it.starts_with(&begins)).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains(how_many) && told[0].contains(then),
            "{told:?}"
        );
    }
    assert_eq!(told.len(), 2, "{told:?}");
}

#[tokio::test]
async fn how_much_stock_a_removed_connector_concerns_is_said_however_much_there_is() {
    let scene = Scene::new().await;
    let drop = "drop".parse().unwrap();
    let listed = (0..30).map(|n| {
        Stated::now(Item::Position {
            product: format!("SKU-{n}").parse().unwrap(),
            location: "north".parse().unwrap(),
        })
    });
    let listed: Vec<_> = listed.collect();
    scene.store.save_stated(&drop, &listed).await.unwrap();
    let without = |begins: &str, ends: &str| {
        let (begins, ends) = (DOCUMENT.find(begins).unwrap(), DOCUMENT.find(ends).unwrap());
        DOCUMENT.replace(&DOCUMENT[begins..ends], "")
    };
    // There is no time to look at all positions.
    let told = noted(&scene, &without("[connectors.drop]", "[ownership]"), 0).await;
    assert!(told.len() == 1 && told[0].contains("at least"), "{told:?}");
    let without =
        without("[connectors.erp]", "[connectors.drop]").replace("[\"erp\"]", "[\"drop\"]");
    let told = noted(&scene, &without, 0).await;
    assert!(
        told.len() == 1 && told[0].contains("how much is not known"),
        "{told:?}"
    );
}

#[tokio::test]
async fn what_rules_name_and_nothing_is_known_of_is_told_and_not_refused() {
    let scene = Scene::new().await;
    let rule = |number: usize, scope: &str| {
        format!("\n[[rules]]\nname = \"r{number}\"\nkind = \"low_stock\"\nthreshold = 1\n{scope}\n")
    };
    let with = |scopes: &[String]| {
        let rules = scopes.iter().enumerate();
        let rules: String = rules.map(|(number, scope)| rule(number, scope)).collect();
        format!("{DOCUMENT}{rules}")
    };
    let notes = async |document: &str, dry_run: bool| {
        let target = format!("/api/v1/config?dry_run={dry_run}");
        let answer = scene.ask("PUT", &target).body("application/toml", document);
        let answer = answer.send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let notes = answer.body["notes"].as_array().unwrap().iter();
        let notes = notes.map(|note| note.as_str().unwrap().to_owned());
        notes
            .filter(|note| note.starts_with("rules name"))
            .collect::<Vec<_>>()
    };
    let scopes = [
        "product = \"PADD-1\"",
        "product = \"PAD-1\"",
        "make = \"Bently\"",
        "make = \"BENTLEY\"",
        "make = \"Bentley\"\nmodel = \"Bentaiga\"",
        "category = \"Brakess\"",
        "category = \"brakes\"",
    ]
    .map(str::to_owned);
    // Nothing is known of anything before anything is heard.
    assert_eq!(notes(&with(&scopes), true).await, [""; 0]);
    scene.stated("PAD-1", "north", 5).await;
    scene.described("PAD-1", "Brake pad", "Brakes").await;
    scene.described("OIL", "Oil", "Oil").await;
    scene.described("MUG", "Mug", "gifts").await;
    scene.vehicle("erp", "SCBCG2ZG0RC012345", "london").await;
    for dry_run in [true, false, false] {
        let told = notes(&with(&scopes), dry_run).await;
        let [products, makes, categories] = &told[..] else {
            panic!("{told:?}");
        };
        assert!(
            products.contains("the 2 products `PADD-1`, `"),
            "{products}"
        );
        assert!(
            makes.contains("the make `Bently` (perhaps `bentley`), of which nothing is known"),
            "{makes}"
        );
        assert!(
            categories.contains("the category `Brakess` (perhaps `Brakes`),"),
            "{categories}"
        );
        for known in ["`PAD-1`", "`BENTLEY`", "`brakes`", "`Oil`"] {
            assert!(!told.concat().contains(known), "{told:?}");
        }
    }
    let many: Vec<_> = (10..22)
        .map(|n| format!("product = \"NONE-{n}\""))
        .collect();
    let told = notes(&with(&many), true).await;
    let [told] = &told[..] else {
        panic!("{told:?}");
    };
    assert!(
        told.contains("the 12 products `NONE-10`, ") && told.contains("`NONE-19` and 2 more,"),
        "{told}"
    );
    assert!(!told.contains("NONE-20"), "{told}");
}

/// A group has rules for what its sources call so today. From one day to the next one of them may call it
/// otherwise, and a rule that applied applies no more.
#[tokio::test]
async fn a_source_that_spells_a_make_or_category_otherwise_than_the_rules_is_told_of() {
    let scene = Scene::new().await;
    let rules = "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\nmake = \"Land Rover\"\n\
        [[rules]]\nname = \"b\"\nkind = \"low_stock\"\nthreshold = 3\nmake = \"Jaguar\"\n\
        [[rules]]\nname = \"c\"\nkind = \"low_stock\"\nthreshold = 3\ncategory = \"Brake pads\"\n";
    let document = format!("{DOCUMENT}{rules}");
    let notes = async || {
        let status = scene.get("/api/v1/status").await;
        let target = "/api/v1/config?dry_run=true";
        let applied = scene.ask("PUT", target).body("application/toml", &document);
        let applied = applied.send().await;
        let of_rules = |notes: &Value| -> Vec<String> {
            let notes = notes
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|it| it.as_str());
            let notes = notes.filter(|note| note.starts_with("rules name"));
            notes.map(str::to_owned).collect()
        };
        let notes = of_rules(&status.body["configuration"]["notes"]);
        assert_eq!(notes, of_rules(&applied.body["notes"]));
        notes
    };
    let apply = scene
        .ask("PUT", "/api/v1/config")
        .body("application/toml", &document);
    assert_eq!(apply.send().await.status, 200);
    assert_eq!(notes().await, [""; 0], "nothing is known at all");
    let (first, second) = ("SCBCG2ZG0RC012345", "SJAAX14V4RC004321");
    scene.described("OIL", "Oil", "Oil").await;
    scene.described("MUG", "Mug", "gifts").await;
    scene.vehicle_of("Land-Rover", first, "london").await;
    scene.vehicle_of("JAGUAR", second, "london").await;
    scene.described("PAD", "Pad", "brake pads").await;
    assert_eq!(notes().await, [""; 0], "that is the same word");
    // One of them, and one product, is called otherwise.
    scene
        .vehicle_of("Landrover", "SALGA2EV9HA298784", "london")
        .await;
    scene.described("PAD-2", "Pad", "Brake-Pads").await;
    let told = notes().await;
    let [makes, categories] = &told[..] else {
        panic!("{told:?}");
    };
    let makes_right = "rules name the make `Land Rover` (perhaps `landrover`), which is there in another spelling";
    assert!(makes.starts_with(makes_right), "{makes}");
    assert!(
        categories.starts_with(
            "rules name the category `Brake pads` (perhaps `Brake-Pads`), which is there"
        ),
        "{categories}"
    );
    // And now all of them.
    scene.vehicle_of("Landrover", first, "london").await;
    scene.described("PAD", "Pad", "Brake-Pads").await;
    let told = notes().await;
    let [makes, categories] = &told[..] else {
        panic!("{told:?}");
    };
    let makes_right = "rules name the make `Land Rover` (perhaps `landrover`), of which nothing is there any more";
    assert!(makes.starts_with(makes_right), "{makes}");
    assert!(
        categories.starts_with(
            "rules name the category `Brake pads` (perhaps `Brake-Pads`), of which nothing is known"
        ),
        "{categories}"
    );
}

//! From a file to an alert.

use jiff::SignedDuration;
use shared::clock::Clock;
use shared::config::Config;
use shared::domain::AlertKind;
use shared::domain::alert::AlertState;
use shared::store::movements::{Act, Movement};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::flow::Running;
use crate::observed::Observed;

fn config(drop: &std::path::Path) -> String {
    format!(
        r#"
[account]
name = "Test"
zone = "Europe/Rome"
currency = "EUR"
[locations.milano]
name = "Milano"
kind = "warehouse"
[connectors.generic]
kind = "generic"
[connectors.generic.webhook]
secret = "env:GENERIC"
[connectors.erp]
kind = "files"
url = {drop:?}
stable_for = "0s"
locations = {{ milano = "milano" }}
[channels.room]
kind = "slack"
url = "env:NOT_SET"
[[routes]]
name = "all"
channels = ["room"]
[[rules]]
name = "low"
kind = "low_stock"
threshold = 5
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_says_two_again_after_a_receipt_is_two_in_the_ledger_and_an_alert() {
    let drop = tempfile::tempdir().unwrap();
    let running = Running::with(&config(drop.path())).await;
    let store = &running.stack.store;
    let (product, location) = ("OIL".parse().unwrap(), "milano".parse().unwrap());
    let erp = "erp".parse().unwrap();
    let read = async || {
        let text = "sku,location,on_hand\nOIL,milano,2\nGAS,milano,50\n";
        std::fs::write(drop.path().join("stock.csv"), text).unwrap();
        running.stack.sync.start(&erp).await.unwrap();
        running.settle().await;
    };
    read().await;
    let open = running.alerts(AlertState::Open).await;
    assert_eq!((open.len(), open[0].kind), (1, AlertKind::LowStock));

    let receipt = Movement {
        key: "receipt".parse().unwrap(),
        product: "OIL".parse().unwrap(),
        location: "milano".parse().unwrap(),
        act: Act::Receipt { quantity: 10 },
        at: Some(Clock::system().now() - SignedDuration::from_millis(5)),
        reason: None,
        actor: None,
    };
    let installation = running.stack.installations.current().await.unwrap();
    let authority = installation.authority();
    store.carry_out(&receipt, &authority).await.unwrap();
    running.settle().await;
    let stock = || async {
        let position = store.position(&product, &location).await.unwrap();
        position.unwrap().stock(&authority.quantities).unwrap()
    };
    assert_eq!(stock().await.on_hand, 12);
    assert_eq!(running.alerts(AlertState::Open).await.len(), 0);

    read().await;
    assert_eq!(stock().await.on_hand, 2);
    let of = shared::store::keys::position_history(&product, &location);
    let rows = store.history(&of, None, 10).await.unwrap().items;
    let last = rows.last().unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(
        (&last.before["on_hand"], &last.after["on_hand"]),
        (&12.into(), &2.into())
    );
    assert_eq!(last.source, erp);
    let open = running.alerts(AlertState::Open).await;
    assert_eq!((open.len(), open[0].kind), (1, AlertKind::LowStock));
    assert_eq!(open[0].message.before.unwrap().on_hand, 12);
}

/// Servers that make a file anew for each request often do not say when it was written.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_address_said_before_is_news_when_it_says_it_again() {
    for has_tag in [false, true] {
        let server = MockServer::start().await;
        let place = format!("{}/stock.csv", server.uri());
        let config = config(place.as_ref()).replace("stable_for", "insecure = true\nstable_for");
        let running = Running::with(&config).await;
        let (product, location) = ("OIL".parse().unwrap(), "milano".parse().unwrap());
        let erp = "erp".parse().unwrap();
        for there in [5, 4, 5] {
            let file = format!("sku,location,on_hand\nOIL,milano,{there}\nGAS,milano,50\n");
            let mut answer = ResponseTemplate::new(200).set_body_string(file);
            if has_tag {
                answer = answer.insert_header("etag", format!("\"{there}\""));
            }
            server.reset().await;
            Mock::given(any()).respond_with(answer).mount(&server).await;
            let mut revision = None;
            // Read twice: the second time it says nothing new.
            for _ in 0..2 {
                running.stack.sync.start(&erp).await.unwrap();
                running.settle().await;
                let position = running.stack.store.position(&product, &location);
                let position = position.await.unwrap().unwrap();
                let on_hand = position.stock(&Default::default()).unwrap().on_hand;
                assert_eq!(on_hand, there, "tag: {has_tag}");
                let now = position.revision;
                assert_eq!(*revision.get_or_insert(now), now);
            }
        }
    }
}

/// A file of so many good rows, and others, read as `stock.csv`; what people are told of it.
async fn told_of(observed: &mut Observed, rows: &str) -> Vec<String> {
    let before = observed.vendor.requests().len();
    let good: String = (0..20).map(|n| format!("GOOD-{n},milano,50\n")).collect();
    let text = format!("sku,location,on_hand\n{good}{rows}");
    std::fs::write(observed.drop.path().join("stock.csv"), text).unwrap();
    observed
        .stack
        .sync
        .start(&"erp".parse().unwrap())
        .await
        .unwrap();
    observed.pass(2).await;
    let requests = observed.vendor.requests();
    let bodies = requests[before..].iter();
    bodies
        .map(|request| String::from_utf8(request.body.to_vec()).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_mended_in_a_file_is_told_once_for_each_kind() {
    let mut observed = Observed::start(
        "[connectors.erp]\nkind = \"files\"\nurl = \"{drop}\"\nstable_for = \"0s\"\nlocations = { milano = \"milano\" }",
    )
    .await;
    let files = &mut observed;
    assert_eq!(told_of(files, "").await, Vec::<String>::new());

    let blank = "OIL,milano,\nGAS,milano,\n";
    let told = told_of(files, blank).await;
    let [opened] = told.as_slice() else {
        panic!("{told:?}")
    };
    for part in [
        "feed_flawed",
        "opened",
        "stock.csv: 2 rows without a quantity",
        "OIL at milano",
    ] {
        assert!(opened.contains(part), "{part}: {opened}");
    }
    // The same again is no news, nor are more of them.
    for rows in [blank, "OIL,milano,\nGAS,milano,\nWAX,milano,\n"] {
        assert_eq!(told_of(files, rows).await, Vec::<String>::new());
    }

    let twice = format!("{blank}FAN,milano,4\nFAN,milano,5\n");
    let told = told_of(files, &twice).await;
    let [updated] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert!(updated.contains("updated"), "{updated}");
    let at = |words| {
        updated
            .find(words)
            .unwrap_or_else(|| panic!("{words}: {updated}"))
    };
    assert!(
        at("several rows which differ") < at("without a quantity"),
        "what is new comes first: {updated}"
    );

    let told = told_of(files, "").await;
    let [resolved] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert!(resolved.contains("resolved"), "{resolved}");
}

#[tokio::test(start_paused = true)]
async fn renamed_columns_are_told() {
    let mut observed = Observed::start(
        "[connectors.erp]\nkind = \"files\"\nurl = \"{drop}\"\nstable_for = \"0s\"\nlocations = { milano = \"milano\" }",
    )
    .await;
    let read = async |observed: &mut Observed, header: &str| {
        let rows: String = (0..20).map(|n| format!("GOOD-{n},milano,50,7\n")).collect();
        let text = format!("{header}\n{rows}");
        std::fs::write(observed.drop.path().join("stock.csv"), text).unwrap();
        observed
            .stack
            .sync
            .start(&"erp".parse().unwrap())
            .await
            .unwrap();
        observed.pass(2).await;
    };
    read(&mut observed, "sku,location,on_hand,incoming").await;
    assert_eq!(observed.vendor.requests().len(), 0);
    read(&mut observed, "sku,location,on_hand,coming soon").await;
    let requests = observed.vendor.requests();
    let [told] = requests.as_slice() else {
        panic!("{requests:?}")
    };
    let told = String::from_utf8(told.body.to_vec()).unwrap();
    assert!(
        told.contains("feed_flawed") && told.contains("incoming"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn each_column_that_goes_is_told() {
    let mut observed = Observed::start(
        "[connectors.erp]\nkind = \"files\"\nurl = \"{drop}\"\nstable_for = \"0s\"\nlocations = { milano = \"milano\" }",
    )
    .await;
    let mut told = Vec::new();
    for (header, row) in [
        (",incoming,reserved", ",7,1"),
        (",reserved", ",1"),
        (",reserved", ",1"),
        ("", ""),
        ("", ""),
    ] {
        let before = observed.vendor.requests().len();
        let rows: String = (0..20)
            .map(|n| format!("GOOD-{n},milano,50{row}\n"))
            .collect();
        let text = format!("sku,location,on_hand{header}\n{rows}");
        std::fs::write(observed.drop.path().join("stock.csv"), text).unwrap();
        let erp = "erp".parse().unwrap();
        observed.stack.sync.start(&erp).await.unwrap();
        observed.pass(2).await;
        let requests = observed.vendor.requests();
        let bodies = requests[before..].iter();
        let bodies = bodies.map(|it| String::from_utf8(it.body.to_vec()).unwrap());
        told.push(bodies.collect::<Vec<_>>());
    }
    let times: Vec<_> = told.iter().map(Vec::len).collect();
    assert_eq!(times, [0, 1, 0, 1, 0], "{told:?}");
    assert!(told[1][0].contains("incoming"), "{told:?}");
    assert!(told[3][0].contains("reserved"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn whatever_is_remarked_of_a_whole_file_its_items_are_told_of() {
    let mut observed = Observed::start(
        "[connectors.erp]\nkind = \"files\"\nurl = \"{drop}\"\nstable_for = \"0s\"\nlocations = { milano = \"milano\" }",
    )
    .await;
    let erp = "erp".parse().unwrap();
    // Of these items there is nothing any more; the others are as they were.
    let mut gone: Vec<&str> = Vec::new();
    let mut read = async |observed: &mut Observed, header: &str, more: &str, next: &'static str| {
        gone.push(next);
        let before = observed.vendor.requests().len();
        let items = ["FIRST", "SECOND", "THIRD", "FOURTH"].into_iter();
        let rows: String = items
            .map(|sku| (sku, if gone.contains(&sku) { "0" } else { "50" }))
            .chain((0..20).map(|_| ("", "50")))
            .enumerate()
            .map(|(n, (sku, on_hand))| match sku {
                "" => format!("GOOD-{n},milano,{on_hand}{more}\n"),
                sku => format!("{sku},milano,{on_hand}{more}\n"),
            })
            .collect();
        let text = format!("{header}\n{rows}");
        std::fs::write(observed.drop.path().join("stock.csv"), text).unwrap();
        observed.stack.sync.start(&erp).await.unwrap();
        observed.pass(2).await;
        let feed = observed.stack.store.feed(&erp).await.unwrap().unwrap().data;
        assert!(feed.suspicions.is_empty() && feed.distrusted_after.is_none());
        let mut told = Vec::new();
        for request in &observed.vendor.requests()[before..] {
            let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            if body["type"] == "stock.low_stock.opened" {
                told.push(body["data"]["product"].as_str().unwrap().to_owned());
            }
        }
        (told, feed.remarks)
    };
    let plain = "sku,location,on_hand";
    let (told, _) = read(&mut observed, plain, "", "NONE").await;
    assert_eq!(told, Vec::<String>::new());
    // One blank quantity.
    let blank = "sku,location,on_hand\nBLANK,milano,";
    let (told, remarks) = read(&mut observed, blank, "", "FIRST").await;
    assert_eq!(told, ["FIRST"]);
    assert!(remarks.contains_key("no_data"), "{remarks:?}");
    // An optional column more, and then without it.
    let more = "sku,location,on_hand,incoming";
    let (told, _) = read(&mut observed, more, ",3", "SECOND").await;
    assert_eq!(told, ["SECOND"]);
    let (told, remarks) = read(&mut observed, plain, "", "THIRD").await;
    assert_eq!(told, ["THIRD"]);
    assert!(remarks["columns"].contains("incoming"), "{remarks:?}");
    // And for as long as it is missing.
    let (told, remarks) = read(&mut observed, plain, "", "FOURTH").await;
    assert_eq!(told, ["FOURTH"]);
    assert!(remarks.contains_key("columns"), "{remarks:?}");
}

/// As a shop's export has it: ten are there, of which two are promised and five are damaged.
#[tokio::test(flavor = "multi_thread")]
async fn an_item_is_low_by_what_of_it_can_be_sold() {
    let drop = tempfile::tempdir().unwrap();
    let running = Running::with(&config(drop.path())).await;
    let erp = "erp".parse().unwrap();
    let read = async |row: &str| {
        let text = format!("sku,location,on_hand,reserved,unavailable\nOIL,milano,{row}\n");
        std::fs::write(drop.path().join("stock.csv"), text).unwrap();
        running.stack.sync.start(&erp).await.unwrap();
        running.settle().await;
        let open = running.alerts(AlertState::Open).await;
        let shown = running.get("/api/v1/positions?product=OIL").await;
        let shown = &shown["items"][0];
        let numbers = ["on_hand", "reserved", "unavailable", "available"];
        (
            numbers.map(|name| shown[name].as_i64().unwrap()),
            open.into_iter().next(),
        )
    };
    let (shown, open) = read("10,2,2").await;
    assert_eq!((shown, open), ([10, 2, 2, 6], None));
    let (shown, open) = read("10,2,5").await;
    assert_eq!(shown, [10, 2, 5, 3]);
    let message = open.expect("five is the threshold").message;
    let after = message.after.unwrap();
    assert_eq!((after.on_hand, after.available), (10, 3));
    let (shown, open) = read("30,2,0").await;
    assert_eq!((shown, open), ([30, 2, 0, 28], None));
}

/// The same with other text in it.
fn changed(text: &str, changes: &[(&str, &str)]) -> Config {
    let text = changes.iter().fold(text.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replace(old, new)
    });
    Config::check(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_removed_connector_states_ends_and_comes_back_with_it() {
    let drop = tempfile::tempdir().unwrap();
    let text = config(drop.path());
    let running = Running::with(&text).await;
    let store = &running.stack.store;
    let (erp, vin) = ("erp".parse().unwrap(), "SCBCG2ZG0RC012345");
    let read = async || {
        let rows = format!("OIL,,milano,20,,\nGAS,,milano,30,,\n,{vin},milano,,Bentley,Bentayga\n");
        let text = format!("sku,vin,location,on_hand,make,model\n{rows}");
        std::fs::write(drop.path().join("stock.csv"), text).unwrap();
        running.stack.sync.start(&erp).await.unwrap();
        running.settle().await;
    };
    // What there is by word of anybody: oil, gas, vehicles.
    let there = async || {
        let mut there = Vec::new();
        for product in ["OIL", "GAS", "line:bentley/bentayga"] {
            let shown = running
                .get(&format!(
                    "/api/v1/positions?product={product}&location=milano"
                ))
                .await;
            there.push(shown["items"][0]["on_hand"].as_i64());
        }
        there
    };
    read().await;
    // Of gas somebody else has something to say, too.
    running.level("gas", "GAS", 31).await;
    assert_eq!(there().await, [Some(20), Some(31), Some(1)]);

    let begins = text.find("[connectors.erp]").unwrap();
    let ends = text.find("[channels.room]").unwrap();
    let without = changed(&text, &[(&text[begins..ends], "")]);
    store.apply_config(&without, "test").await.unwrap();
    running.settle().await;
    assert_eq!(there().await, [None, Some(31), None]);
    let unit = running.get(&format!("/api/v1/units/{vin}")).await;
    assert_eq!(unit["state"], "removed");
    // It is known why.
    let of = shared::store::keys::unit_history(vin);
    let rows = store.history(&of, None, 10).await.unwrap().items;
    let why = "its source is not in the configuration any more";
    assert_eq!(rows.last().unwrap().reason.as_deref(), Some(why));
    let (oil, milano) = ("OIL".parse().unwrap(), "milano".parse().unwrap());
    let of = shared::store::keys::position_history(&oil, &milano);
    let rows = store.history(&of, None, 10).await.unwrap().items;
    let last = rows.last().unwrap();
    assert_eq!(last.before["on_hand"], 20);
    assert_eq!(
        (last.source.as_str(), last.event.as_str()),
        ("erp", "configuration:2:ended")
    );
    // Looked at by yet another version, there is nothing more to end.
    let other = changed(
        &text,
        &[
            (&text[begins..ends], ""),
            ("threshold = 5", "threshold = 6"),
        ],
    );
    store.apply_config(&other, "test").await.unwrap();
    running.settle().await;
    assert_eq!(
        store.history(&of, None, 10).await.unwrap().items.len(),
        rows.len()
    );

    store
        .apply_config(&changed(&text, &[]), "test")
        .await
        .unwrap();
    running.settle().await;
    assert_eq!(there().await, [None, Some(31), None], "until it says so");
    read().await;
    assert_eq!(there().await, [Some(20), Some(30), Some(1)]);
}

/// The place has another id for a while, and the vehicles have not moved.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_renamed_and_renamed_back_is_not_told_to_be_out_of_stock() {
    let drop = tempfile::tempdir().unwrap();
    let text = config(drop.path());
    let running = Running::with(&text).await;
    let read = async || {
        let rows: String = (1..=8)
            .map(|n| format!("SCBCG2ZG0RC01234{n},milano,Bentley,Bentayga\n"))
            .collect();
        let text = format!("vin,location,make,model\n{rows}");
        std::fs::write(drop.path().join("stock.csv"), text).unwrap();
        running
            .stack
            .sync
            .start(&"erp".parse().unwrap())
            .await
            .unwrap();
        running.settle().await;
    };
    let there = async |place: &str| {
        let path = format!("/api/v1/positions?product=line:bentley/bentayga&location={place}");
        running.get(&path).await["items"][0]["on_hand"].clone()
    };
    read().await;
    assert_eq!(there("milano").await, 8);
    let renamed = [
        ("[locations.milano]", "[locations.milan]"),
        ("{ milano = \"milano\" }", "{ milano = \"milan\" }"),
    ];
    for (changes, place) in [(&renamed[..], "milan"), (&[], "milano")] {
        let config = changed(&text, changes);
        running
            .stack
            .store
            .apply_config(&config, "test")
            .await
            .unwrap();
        running.settle().await;
        let open = running.alerts(AlertState::Open).await;
        assert_eq!(open.len(), 0, "{place}: {open:?}");
        // By the name that its source has for it, it is the same place.
        assert_eq!(there(place).await, 8, "{place}");
        let line = "line:bentley/bentayga".parse().unwrap();
        for left in running.stack.store.positions_of(&line).await.unwrap() {
            let on_hand = left.stock(&Default::default()).map(|it| it.on_hand);
            let expected = (left.location.as_str() == place).then_some(8);
            assert_eq!(on_hand, expected, "{}", left.location);
        }
        read().await;
        assert_eq!(there(place).await, 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_of_a_place_that_was_taken_for_another_is_at_the_right_one_only() {
    let drop = tempfile::tempdir().unwrap();
    let roma = "[locations.roma]\nname = \"Roma\"\nkind = \"warehouse\"\n[connectors.generic]";
    let text = config(drop.path())
        .replace("[connectors.generic]\n", &format!("{roma}\n"))
        .replace("{ milano = \"milano\" }", "{ North = \"milano\" }");
    let running = Running::with(&text).await;
    let store = &running.stack.store;
    let erp = "erp".parse().unwrap();
    let read = async || {
        let rows: String = (1..=60).map(|n| format!("SKU-{n},North,{n}\n")).collect();
        let text = format!("sku,location,on_hand\n{rows}");
        std::fs::write(drop.path().join("stock.csv"), text).unwrap();
        running.stack.sync.start(&erp).await.unwrap();
        running.settle().await;
    };
    let there = async || {
        let mut there = [0, 0];
        for n in 1..=60 {
            let product = format!("SKU-{n}").parse().unwrap();
            for (at, place) in ["milano", "roma"].iter().enumerate() {
                let position = store.position(&product, &place.parse().unwrap()).await;
                let stock = position
                    .unwrap()
                    .and_then(|it| it.stock(&Default::default()));
                there[at] += usize::from(stock.is_some_and(|stock| stock.on_hand == n));
            }
        }
        there
    };
    read().await;
    assert_eq!(there().await, [60, 0]);
    let right = changed(&text, &[("North = \"milano\"", "North = \"roma\"")]);
    store.apply_config(&right, "test").await.unwrap();
    running.settle().await;
    read().await;
    assert_eq!(there().await, [0, 60]);
    assert_eq!(
        store.inbox(None, 10).await.unwrap().items,
        [],
        "nobody is asked"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_at_the_right_places_after_two_names_were_exchanged() {
    let drop = tempfile::tempdir().unwrap();
    let roma = "[locations.roma]\nname = \"Roma\"\nkind = \"warehouse\"\n[connectors.generic]";
    let (wrong, right) = (
        "{ North = \"milano\", South = \"roma\" }",
        "{ North = \"roma\", South = \"milano\" }",
    );
    let text = config(drop.path())
        .replace("[connectors.generic]\n", &format!("{roma}\n"))
        .replace("{ milano = \"milano\" }", wrong);
    let running = Running::with(&text).await;
    let store = &running.stack.store;
    let erp = "erp".parse().unwrap();
    let read = async || {
        // One of them is at both places, and as much of it.
        let text = "sku,location,on_hand\nOIL,North,20\nOIL,South,20\nGAS,North,30\nWAX,South,40\n";
        std::fs::write(drop.path().join("stock.csv"), text).unwrap();
        running.stack.sync.start(&erp).await.unwrap();
        running.settle().await;
    };
    let there = async |place: &str| {
        let mut there = Vec::new();
        for product in ["OIL", "GAS", "WAX"] {
            let (product, place) = (product.parse().unwrap(), place.parse().unwrap());
            let position = store.position(&product, &place).await.unwrap();
            let stock = position.and_then(|it| it.stock(&Default::default()));
            there.push(stock.map(|stock| stock.on_hand));
        }
        there
    };
    read().await;
    assert_eq!(there("milano").await, [Some(20), Some(30), None]);
    assert_eq!(there("roma").await, [Some(20), None, Some(40)]);
    let right = changed(&text, &[(wrong, right)]);
    store.apply_config(&right, "test").await.unwrap();
    running.settle().await;
    read().await;
    assert_eq!(there("milano").await, [Some(20), None, Some(40)]);
    assert_eq!(there("roma").await, [Some(20), Some(30), None]);
    let inbox = store.inbox(None, 10).await.unwrap().items;
    assert_eq!(inbox, [], "nobody is asked");
    assert_eq!(running.alerts(AlertState::Open).await.len(), 0);
}

/// The way that docs/configuration.md describes: both stand until the new one's first file is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_vehicle_stays_where_it_was_brought_when_its_connector_gets_another_name() {
    let (drop, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let roma = "[locations.roma]\nname = \"Roma\"\nkind = \"warehouse\"\n[connectors.generic]";
    let text = config(drop.path())
        .replace("[connectors.generic]\n", &format!("{roma}\n"))
        .replace(
            "[channels.room]",
            "[ownership]\nstate = [\"erp\"]\n[channels.room]",
        );
    let running = Running::with(&text).await;
    let store = &running.stack.store;
    let vin = "SCBCG2ZG0RC012345";
    let read = async |folder: &std::path::Path, connector: &str| {
        let text = format!("vin,location,make,model\n{vin},milano,Bentley,Bentayga\n");
        std::fs::write(folder.join("stock.csv"), text).unwrap();
        let connector = connector.parse().unwrap();
        running.stack.sync.start(&connector).await.unwrap();
        running.settle().await;
    };
    let place = async || running.get(&format!("/api/v1/units/{vin}")).await["location"].clone();
    read(drop.path(), "erp").await;
    assert_eq!(place().await, "milano");
    let brought = serde_json::json!({ "vin": vin, "location": "roma" });
    running.post("t1", "unit.transferred", brought).await;
    assert_eq!(place().await, "roma");

    let begins = text.find("[connectors.erp]").unwrap();
    let ends = text.find("[ownership]").unwrap();
    let old = &text[begins..ends];
    let new = old
        .replace("[connectors.erp]", "[connectors.erp-2]")
        .replace(
            drop.path().to_str().unwrap(),
            other.path().to_str().unwrap(),
        );
    let both = changed(&text, &[(old, &format!("{old}{new}"))]);
    store.apply_config(&both, "test").await.unwrap();
    running.settle().await;
    read(other.path(), "erp-2").await;
    assert_eq!(place().await, "roma");
    let renamed = changed(
        &text,
        &[
            (old, new.as_str()),
            ("state = [\"erp\"]", "state = [\"erp-2\"]"),
        ],
    );
    store.apply_config(&renamed, "test").await.unwrap();
    running.settle().await;
    assert_eq!(place().await, "roma");
    read(other.path(), "erp-2").await;
    assert_eq!(place().await, "roma");
    let unit = running.get(&format!("/api/v1/units/{vin}")).await;
    assert_eq!(unit["state"], "in_stock");
}

//! Whose word counts: the owner's, whenever others speak, and where nobody owns a field the newest one,
//! in whichever order what was said arrives.

use serde_json::{Value, json};
use shared::config::Config;
use shared::domain::alert::AlertState;
use shared::domain::event::{Change, ProductDescription, Version};
use shared::domain::{AlertKind, Authority, ProductId};
use shared::store::keys;

use crate::bench::{Bench, at, event};
use crate::flow::Running;

const VIN: &str = "SCBCG2ZG0RC012345";
const CONFIG: &str = r#"
[account]
name = "Test"
zone = "Europe/Rome"
currency = "EUR"
[locations.milano]
name = "Milano"
kind = "rooftop"
[locations.london]
name = "London"
kind = "rooftop"
[alerts]
conflict_after = "0s"
[connectors.shop]
kind = "generic"
[connectors.shop.webhook]
secret = "env:GENERIC"
[connectors.yard]
kind = "generic"
[connectors.yard.webhook]
secret = "env:GENERIC"
[[rules]]
name = "bulky"
kind = "low_stock"
category = "bulky"
threshold = 60
"#;

async fn running(ownership: &str) -> Running {
    Running::with(&format!("{CONFIG}[ownership]\n{ownership}\n")).await
}

async fn post(running: &Running, connector: &str, id: &str, kind: &str, data: Value) {
    let (status, answer) = running.post_to(connector, id, kind, data).await;
    assert_eq!(status, 200, "{answer}");
}

async fn apply(running: &Running, ownership: &str) {
    let config = format!("{CONFIG}[ownership]\n{ownership}\n");
    let config = Config::check(&config, "test.toml").unwrap();
    let store = &running.stack.store;
    assert!(store.apply_config(&config, "test").await.unwrap());
    running.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_products_name_and_category_are_its_owners_and_follow_a_change_of_owners() {
    let running = running("title = [\"shop\"]\ncategory = [\"shop\"]").await;
    let level = json!({ "sku": "PAD", "location": "milano", "on_hand": 50 });
    post(&running, "shop", "1", "stock.level", level).await;
    let described =
        |title: &str, category: &str| json!({ "sku": "PAD", "title": title, "category": category });
    let pads = described("Brake pads", "bulky");
    post(&running, "shop", "2", "product.described", pads).await;
    let other = described("BRKPD 4711", "small");
    post(&running, "yard", "3", "product.described", other).await;
    let open = running.alerts(AlertState::Open).await;
    assert_eq!(open.len(), 1, "the owner says that it is bulky");
    assert_eq!(open[0].message.product, "Brake pads");
    apply(&running, "title = [\"yard\"]\ncategory = [\"yard\"]").await;
    let open = running.alerts(AlertState::Open).await;
    assert!(open.is_empty(), "its new owner says that it is small");
    apply(&running, "title = [\"yard\"]\ncategory = [\"shop\"]").await;
    let open = running.alerts(AlertState::Open).await;
    assert_eq!(open[0].message.product, "BRKPD 4711");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_vehicle_stands_and_what_it_is_are_their_owners() {
    let running = running("state = [\"shop\"]\nlocation = [\"yard\"]\nspec = [\"yard\"]").await;
    let said = |location: &str, model: &str| json!({ "vin": VIN, "state": "in_stock", "location": location, "make": "Bentley", "model": model });
    post(
        &running,
        "yard",
        "1",
        "unit.updated",
        said("london", "Continental GT"),
    )
    .await;
    post(
        &running,
        "shop",
        "2",
        "unit.updated",
        said("milano", "Conti"),
    )
    .await;
    let shown = async || {
        let unit = running.get(&format!("/api/v1/units/{VIN}")).await;
        let model = unit["fields"]["model"]["value"].clone();
        [unit["location"].clone(), model, unit["product"].clone()]
    };
    let counted = async |line: &str| {
        let line: ProductId = line.parse().unwrap();
        let positions = running.stack.store.positions_of(&line).await.unwrap();
        let stock = positions.iter().map(|position| {
            let stock = position.stock(&Authority::default().quantities).unwrap();
            (position.location.to_string(), stock.on_hand)
        });
        stock.filter(|(_, there)| *there != 0).collect::<Vec<_>>()
    };
    let (full, short) = ("line:bentley/continental-gt", "line:bentley/conti");
    assert_eq!(shown().await, ["london", "Continental GT", full]);
    assert_eq!(counted(full).await, [("london".to_owned(), 1)]);
    assert_eq!(counted(short).await, []);
    let open = running.alerts(AlertState::Open).await;
    assert_eq!(open[0].kind, AlertKind::Conflict);
    let notes = [
        "It is counted once, at London, by the word of yard.",
        "shop has it at Milano, too.",
    ];
    assert_eq!(open[0].message.notes, notes);
    // By another configuration it counts once it is spoken of again, if only to say the same.
    apply(&running, "state = [\"shop\"]\nspec = [\"shop\"]").await;
    post(
        &running,
        "shop",
        "3",
        "unit.updated",
        said("milano", "Conti"),
    )
    .await;
    assert_eq!(shown().await, ["milano", "Conti", short]);
    assert_eq!(counted(full).await, []);
    assert_eq!(counted(short).await, [("milano".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rooftop_that_only_its_owner_knows_is_the_vehicles_and_has_its_sale() {
    let running = running("location = [\"yard\"]").await;
    let stocked = json!({ "vin": VIN, "state": "in_stock", "location": "milano",
        "make": "Bentley", "model": "Conti" });
    post(&running, "shop", "1", "unit.updated", stocked).await;
    let moved = json!({ "vin": VIN, "location": "london" });
    post(&running, "yard", "2", "unit.updated", moved).await;
    let place = async || running.get(&format!("/api/v1/units/{VIN}")).await["location"].clone();
    assert_eq!(place().await, "london");
    let sold = json!({ "vin": VIN, "location": "milano" });
    post(&running, "shop", "3", "unit.sold", sold).await;
    assert_eq!(place().await, "london");
    let unit = running.stack.store.unit(VIN).await.unwrap().unwrap();
    let sales = unit.demand.iter().map(|sale| sale.location.as_str());
    assert_eq!(sales.collect::<Vec<_>>(), ["london"]);
}

/// What a source says of a product at a minute: by what title, category and name of its own.
type Said = (
    &'static str,
    i64,
    &'static str,
    Option<&'static str>,
    Option<&'static str>,
    Option<&'static str>,
);

async fn hear(bench: &Bench, said: Said) {
    let (source, minute, sku, title, category, item) = said;
    let description = ProductDescription {
        sku: sku.parse().unwrap(),
        version: Version::at(at(minute)),
        title: title.map(str::to_owned),
        category: category.map(str::to_owned),
        external: item
            .map(|it| ("item".to_owned(), it.to_owned()))
            .into_iter()
            .collect(),
    };
    let id = format!("{source}-{sku}-{minute}");
    let event = event(&id, source, minute, Change::Described(description));
    let authority = Authority::default();
    bench.store.apply(&event, &authority).await.unwrap();
}

/// Title and category, as the ledger has them.
async fn known(bench: &Bench, sku: &str) -> [Value; 2] {
    let of = keys::product_history(&sku.parse().unwrap());
    let rows = bench.store.history(&of, None, 100).await.unwrap().items;
    let after = &rows.last().unwrap().after;
    ["title", "category"].map(|name| after[name].clone())
}

#[tokio::test]
async fn what_is_said_of_a_product_comes_to_the_same_in_any_order() {
    let said: [Said; 4] = [
        ("shop", 5, "PAD", None, Some("bulky"), None),
        ("yard", 0, "PAD", Some("Brake pads"), None, None),
        ("shop", 3, "PAD", None, Some("small"), None),
        ("shop", 2, "PAD", Some("Pads"), None, None),
    ];
    for first in 0..4 {
        for step in [1, 3] {
            let bench = Bench::new();
            for place in 0..4 {
                hear(&bench, said[(first + place * step) % 4]).await;
            }
            assert_eq!(
                known(&bench, "PAD").await,
                ["Pads", "bulky"],
                "{first} by {step}"
            );
        }
    }
}

#[tokio::test]
async fn what_was_said_of_a_product_goes_with_it_when_it_is_renamed() {
    let bench = Bench::new();
    for said in [
        ("shop", 0, "OLD", Some("Pads"), Some("bulky"), Some("7")),
        ("yard", 1, "OLD", None, Some("heavy"), None),
        ("shop", 2, "NEW", Some("Brake pads"), None, Some("7")),
    ] {
        hear(&bench, said).await;
    }
    assert_eq!(known(&bench, "NEW").await, ["Brake pads", "heavy"]);
}

//! Orders from the first word to the last: edits, refunds and cancellations.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use lotwire::engine::{Call, Interference, Settings, Verdict};
use serde_json::{Value, json};
use shared::domain::event::{Change, Version};
use shared::store::quarantine::{HeldState, Quarantined};

use super::{ALL, EXCHANGED, ITEM, Shop, order, product, refund};

/// What becomes of an order, its webhooks by topic, and what that comes to: north, south and sold.
type Story = (&'static str, Vec<(&'static str, Value)>, [i64; 3]);

/// What becomes of an order in the shop, each as its webhooks come.
fn stories() -> Vec<Story> {
    let back = refund("cancel", 4, Some(1));
    let south = refund("return", 1, Some(2));
    let lost = refund("no_restock", 4, None);
    let placed = ("orders/create", order("09:30:00", 4, false, &[]));
    vec![
        ("placed", vec![placed.clone()], [6, 5, 4]),
        (
            "cancelled with restock",
            vec![
                placed.clone(),
                (
                    "orders/cancelled",
                    order("09:41:00", 0, true, std::slice::from_ref(&back)),
                ),
                ("refunds/create", back.clone()),
            ],
            [10, 5, 0],
        ),
        (
            "refunded with restock",
            vec![placed.clone(), ("refunds/create", back)],
            [10, 5, 0],
        ),
        (
            "returned elsewhere",
            vec![
                placed.clone(),
                ("refunds/create", south.clone()),
                ("orders/updated", order("09:41:00", 3, false, &[south])),
            ],
            [6, 6, 3],
        ),
        (
            "refunded without restock",
            vec![placed.clone(), ("refunds/create", lost)],
            [6, 5, 0],
        ),
        (
            "edited to nothing",
            vec![
                placed.clone(),
                ("orders/updated", order("09:45:00", 0, false, &[])),
            ],
            [10, 5, 0],
        ),
        (
            "edited to less, and paid",
            vec![
                placed,
                ("orders/updated", order("09:45:00", 3, false, &[])),
                ("orders/paid", order("09:50:00", 3, false, &[])),
            ],
            [7, 5, 3],
        ),
    ]
}

/// A shop whose stock somebody counted before the order, and that takes orders off it.
async fn counting() -> Shop {
    let deduct = (
        "default_location = \"north\"",
        "default_location = \"north\"\norders = \"deduct\"",
    );
    let shop = Shop::open(&[deduct]).await;
    for (place, units) in [("north", 10), ("south", 5)] {
        let counted = crate::bench::level("erp", 0, "OIL", place, units);
        shop.store
            .apply(&counted, &Default::default())
            .await
            .unwrap();
    }
    shop
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_comes_back_once_at_its_place_in_any_order() {
    for (name, webhooks, expected) in stories() {
        for turn in 0..webhooks.len() {
            let mut order = webhooks.clone();
            order.rotate_left(turn);
            if turn % 2 == 1 {
                order.reverse();
            }
            let shop = counting().await;
            // Each twice: as sent, and as sent again under another id.
            for (topic, body) in order.iter().chain(order.iter().rev()) {
                let mut again = body.clone();
                again["sent"] = json!(turn);
                shop.hears(topic, body).await;
                shop.hears(topic, &again).await;
            }
            let found = [
                shop.on_hand("OIL", "north").await.unwrap(),
                shop.on_hand("OIL", "south").await.unwrap(),
                shop.sold("OIL", "north").await,
            ];
            assert_eq!(found, expected, "{name}, turn {turn}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_imported_old_order_counts_on_the_day_it_happened_and_takes_nothing() {
    let shop = counting().await;
    let mut body = order("09:30:00", 4, false, &[]);
    body["processed_at"] = json!("2024-03-01T12:00:00Z");
    shop.hears("orders/create", &body).await;
    let (sku, north) = ("OIL".parse().unwrap(), "north".parse().unwrap());
    let position = shop.store.position(&sku, &north).await.unwrap().unwrap();
    assert_eq!(shop.on_hand("OIL", "north").await, Some(10));
    let days: Vec<_> = position.sold.keys().map(ToString::to_string).collect();
    assert_eq!(days, ["2024-03-01"]);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_fulfilled_in_pieces_is_sold_once() {
    let shop = counting().await;
    let mut body = order("09:30:00", 4, false, &[]);
    shop.hears("orders/create", &body).await;
    for (left, at) in [(3, "09:41:00"), (1, "09:42:00"), (0, "09:43:00")] {
        body["updated_at"] = json!(format!("2026-11-22T{at}Z"));
        body["line_items"][0]["fulfillable_quantity"] = json!(left);
        shop.hears("orders/updated", &body).await;
    }
    shop.hears("orders/fulfilled", &body).await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(6));
    assert_eq!(shop.sold("OIL", "north").await, 4);
}

/// The order as a later version has it: each line with what was ever ordered of it and what still is.
fn edited(updated: &str, lines: &[(i64, i64, i64)]) -> Value {
    let mut body = order(updated, 4, false, &[]);
    let lines = lines.iter().map(|(id, quantity, current)| {
        json!({ "id": id, "variant_id": ITEM + 1_000, "sku": "OIL", "quantity": quantity,
            "current_quantity": current })
    });
    body["line_items"] = lines.collect();
    body
}

#[tokio::test(start_paused = true)]
async fn what_an_edit_changes_counts_from_the_edit_and_not_from_the_order() {
    // Ten were there, four were ordered at 09:30, and at 09:40 somebody counted twenty.
    let placed = edited("09:30:00", &[(91, 4, 4)]);
    let more = edited("09:50:00", &[(91, 6, 6)]);
    let returned = {
        let mut back = refund("return", 1, Some(1));
        for time in ["created_at", "processed_at"] {
            back[time] = json!("2026-11-22T09:52:00Z");
        }
        back
    };
    for (name, webhooks, expected) in [
        ("as it was", vec![], 20),
        ("two more", vec![more.clone()], 18),
        (
            "two more, of which one is removed",
            vec![more, edited("09:55:00", &[(91, 6, 5)])],
            19,
        ),
        ("one removed", vec![edited("09:50:00", &[(91, 4, 3)])], 21),
        (
            "one removed and ordered again",
            vec![
                edited("09:50:00", &[(91, 4, 3)]),
                edited("09:55:00", &[(91, 4, 4)]),
            ],
            20,
        ),
        ("cancelled", vec![order("09:50:00", 0, true, &[])], 24),
        ("fulfilled", vec![edited("09:50:00", &[(91, 4, 4)])], 20),
        (
            "two more, and one returned",
            vec![edited("09:50:00", &[(91, 6, 6)]), returned],
            19,
        ),
        (
            "another line",
            vec![edited("09:50:00", &[(91, 4, 4), (92, 3, 3)])],
            17,
        ),
        (
            "another line, of which one is removed",
            vec![
                edited("09:50:00", &[(91, 4, 4), (92, 3, 3)]),
                edited("09:55:00", &[(91, 4, 4), (92, 3, 2)]),
            ],
            18,
        ),
    ] {
        let mut webhooks: Vec<_> = webhooks.into_iter().map(Some).collect();
        webhooks.extend([Some(placed.clone()), None]);
        for turn in 0..2 * webhooks.len() {
            let mut heard = webhooks.clone();
            heard.rotate_left(turn % webhooks.len());
            if turn >= webhooks.len() {
                heard.reverse();
            }
            let shop = counting().await;
            for body in heard.iter().chain(heard.iter().rev()) {
                match body {
                    Some(body) => {
                        let is_refund = body["refund_line_items"].is_array();
                        let topic = ["orders/updated", "refunds/create"][usize::from(is_refund)];
                        shop.hears(topic, body).await;
                    }
                    None => {
                        let mut counted = crate::bench::level("erp", 1, "OIL", "north", 20);
                        counted.at = "2026-11-22T09:40:00Z".parse().unwrap();
                        if let Change::LevelSet { version, .. } = &mut counted.change {
                            *version = Version::at(counted.at);
                        }
                        shop.store
                            .apply(&counted, &Default::default())
                            .await
                            .unwrap();
                    }
                }
            }
            let found = shop.on_hand("OIL", "north").await;
            assert_eq!(found, Some(expected), "{name}, turn {turn}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_that_an_edit_added_is_known_as_such_though_both_versions_are_heard_at_once() {
    let placed = edited("09:30:00", &[(91, 4, 4)]);
    let more = edited("09:50:00", &[(91, 4, 4), (92, 3, 3)]);
    for turn in 0..12_u64 {
        let shop = counting().await;
        let mut counted = crate::bench::level("erp", 1, "OIL", "north", 20);
        counted.at = "2026-11-22T09:40:00Z".parse().unwrap();
        if let Change::LevelSet { version, .. } = &mut counted.change {
            *version = Version::at(counted.at);
        }
        let authority = Default::default();
        shop.store.apply(&counted, &authority).await.unwrap();
        // Each begins some steps after the other.
        let after_steps = async |steps: u64, body: &Value| {
            for _ in 0..steps {
                tokio::task::yield_now().await;
            }
            shop.hears("orders/updated", body).await;
        };
        tokio::join!(
            after_steps(4 * turn, &placed),
            after_steps(3 * (12 - turn), &more)
        );
        let found = shop.on_hand("OIL", "north").await;
        assert_eq!(found, Some(17), "turn {turn}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_without_a_place_stays_where_it_was_and_one_with_a_name_goes_where_that_leads() {
    let deducts = "default_location = \"north\"\norders = \"deduct\"";
    let elsewhere = deducts.replace("north", "south");
    let default = ("default_location = \"north\"", elsewhere.as_str());
    let exchanged = [("default_location = \"north\"", deducts), EXCHANGED];
    let connector = "shop".parse().unwrap();
    // Where it is taken from stock, and where it counts once the configuration is another.
    for (place, changes, first, then) in [
        (None, &[default][..], "north", "north"),
        (Some(2), &exchanged[..], "south", "north"),
    ] {
        let shop = counting().await;
        let said = |updated: &str, current: i64, refunds: &[Value]| {
            let mut body = order(updated, current, false, refunds);
            body["location_id"] = json!(place);
            body
        };
        let left = async || {
            [
                shop.on_hand("OIL", "north").await,
                shop.on_hand("OIL", "south").await,
            ]
        };
        let less = |at: &str, units: i64| match at {
            "north" => [Some(10 - units), Some(5)],
            _ => [Some(10), Some(5 - units)],
        };
        shop.hears("orders/create", &said("09:30:00", 4, &[])).await;
        assert_eq!(left().await, less(first, 4), "{place:?}");
        shop.configure(changes).await;
        // Heard again, edited, and partly refunded where it was sold.
        let replayed = shop.ingest.replay(&connector, &ALL, None);
        replayed.await.unwrap();
        assert_eq!(left().await, less(then, 4), "{place:?}");
        shop.hears("orders/updated", &said("09:35:00", 3, &[]))
            .await;
        assert_eq!(left().await, less(then, 3), "{place:?}");
        let back = refund("return", 2, place);
        shop.hears("refunds/create", &back).await;
        assert_eq!(left().await, less(then, 1), "{place:?}");
        let replayed = shop.ingest.replay(&connector, &ALL, None);
        replayed.await.unwrap();
        assert_eq!(left().await, less(then, 1), "{place:?}");
        assert_eq!(shop.sold("OIL", then).await, 1, "{place:?}");
    }
}

const EAST: (&str, &str) = (
    "[connectors.shop]",
    "[locations.east]\nname = \"East\"\nkind = \"warehouse\"\n[connectors.shop]",
);

/// As [`super::CONFIG`] with orders that take from stock, and with the names of places as `changes` has them.
fn deducting<'a>(default: &'a str, changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let default = ("default_location = \"north\"", default);
    std::iter::once(default)
        .chain(changes.iter().copied())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_known_stays_at_its_place_though_nothing_names_that_any_more() {
    let (deducts, unnamed) = (
        "default_location = \"north\"\norders = \"deduct\"",
        (r#", "2" = "south""#, ""),
    );
    let connector = "shop".parse().unwrap();
    // The place of the order and of its refund, as the shop calls them; and what is left there.
    for (place, changes, there, stood) in [
        (None, deducting("orders = \"deduct\"", &[]), "north", 10),
        (Some(2), deducting(deducts, &[unnamed]), "south", 5),
    ] {
        let shop = counting().await;
        let said = |updated: &str, current: i64, cancelled: bool, refunds: &[Value]| {
            let mut body = order(updated, current, cancelled, refunds);
            body["location_id"] = json!(place);
            body
        };
        let left = async || {
            let on_hand = shop.on_hand("OIL", there).await.unwrap();
            (stood - on_hand, shop.sold("OIL", there).await)
        };
        let none: [Quarantined; 0] = [];
        let placed = said("09:30:00", 4, false, &[]);
        shop.hears("orders/create", &placed).await;
        assert_eq!(left().await, (4, 4), "{place:?}");
        shop.configure(&changes).await;
        // Heard again, edited to less, and then to have another line.
        shop.ingest.replay(&connector, &ALL, None).await.unwrap();
        assert_eq!(left().await, (4, 4), "{place:?}");
        shop.hears("orders/updated", &said("09:35:00", 3, false, &[]))
            .await;
        assert_eq!(left().await, (3, 3), "{place:?}");
        let mut more = said("09:36:00", 3, false, &[]);
        let another = json!({ "id": 92, "variant_id": ITEM + 1_000, "sku": "OIL", "quantity": 2,
            "current_quantity": 2 });
        more["line_items"].as_array_mut().unwrap().push(another);
        shop.hears("orders/updated", &more).await;
        assert_eq!(left().await, (5, 5), "{place:?}");
        // Cancelled, and all of it is back.
        let back = refund("cancel", 3, place);
        let mut over = said("09:41:00", 0, true, std::slice::from_ref(&back));
        more["line_items"][1]["current_quantity"] = json!(0);
        over["line_items"] = more["line_items"].clone();
        over["line_items"][0]["current_quantity"] = json!(0);
        shop.hears("orders/cancelled", &over).await;
        shop.hears("refunds/create", &back).await;
        assert_eq!(left().await, (0, 0), "{place:?}");
        assert_eq!(shop.held(HeldState::Open).await, none, "{place:?}");
        // What is new there has to wait for a name.
        let mut new = placed.clone();
        (new["id"], new["line_items"][0]["id"]) = (json!(10), json!(101));
        let said = shop.hears("orders/create", &new).await;
        assert_eq!(said["quarantined"], 1, "{place:?}");
        let held = shop.held(HeldState::Open).await;
        assert_eq!(held[0].reason, "unknown_location", "{place:?}");
        assert_eq!(left().await, (0, 0), "{place:?}");
        shop.configure(&deducting(deducts, &[])).await;
        shop.ticks().await;
        assert_eq!(left().await, (4, 4), "{place:?}");
        assert_eq!(shop.held(HeldState::Open).await, none, "{place:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refunded_at_an_unknown_place_is_back_once_that_has_a_name_and_the_order_does_not_wait()
 {
    let deducts = "default_location = \"north\"\norders = \"deduct\"";
    let back = refund("return", 4, Some(3));
    let cancelled = order("09:41:00", 0, true, std::slice::from_ref(&back));
    for webhooks in [
        vec![("orders/cancelled", &cancelled)],
        vec![("refunds/create", &back)],
        vec![("orders/cancelled", &cancelled), ("refunds/create", &back)],
        vec![("refunds/create", &back), ("orders/cancelled", &cancelled)],
    ] {
        let shop = counting().await;
        let stated = crate::bench::level("erp", 0, "OIL", "east", 5);
        let authority = Default::default();
        shop.store.apply(&stated, &authority).await.unwrap();
        shop.hears("orders/create", &order("09:30:00", 4, false, &[]))
            .await;
        for (topic, body) in webhooks {
            let said = shop.hears(topic, body).await;
            assert_eq!(said["quarantined"], 1, "{said}");
        }
        assert_eq!(shop.sold("OIL", "north").await, 0);
        assert_eq!(shop.on_hand("OIL", "north").await, Some(6));
        let held = shop.held(HeldState::Open).await;
        assert_eq!(held.len(), 1, "{held:?}");
        assert_eq!(held[0].reason, "unknown_location");
        let named = (r#""2" = "south""#, r#""2" = "south", "3" = "east""#);
        shop.configure(&deducting(deducts, &[EAST, named])).await;
        shop.ticks().await;
        assert_eq!(shop.on_hand("OIL", "north").await, Some(6));
        assert_eq!(shop.on_hand("OIL", "east").await, Some(9));
        assert_eq!(shop.held(HeldState::Open).await.len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_is_taken_from_stock_whatever_the_clock_says_that_dates_it() {
    // Which of its times are how far ahead; the shop's clock says ten, and somebody has counted at eleven.
    let times = ["created_at", "processed_at", "updated_at"];
    for (ahead, held) in [(&times[1..2], 0), (&times[..], 1), (&times[1..], 1)] {
        for at in [
            "2026-11-22T11:00:00Z",
            "2026-11-25T10:00:00Z",
            "2099-01-01T00:00:00Z",
        ] {
            let shop = counting().await;
            let mut body = order("10:00:00", 4, false, &[]);
            for time in times {
                body[time] = json!("2026-11-22T10:00:00Z");
            }
            for time in ahead {
                body[*time] = json!(at);
            }
            let said = shop.hears("orders/create", &body).await;
            assert_eq!(said["quarantined"], held, "{body}");
            assert_eq!(shop.on_hand("OIL", "north").await, Some(6), "{body}");
            assert_eq!(shop.sold("OIL", "north").await, 4, "{body}");
            let mut counted = crate::bench::level("erp", 1, "OIL", "north", 20);
            counted.at = "2026-11-22T10:30:00Z".parse().unwrap();
            if let Change::LevelSet { version, .. } = &mut counted.change {
                *version = Version::at(counted.at);
            }
            let authority = Default::default();
            shop.store.apply(&counted, &authority).await.unwrap();
            assert_eq!(shop.on_hand("OIL", "north").await, Some(20), "{body}");
            // What is heard later of it counts, too, by a clock that was put right.
            tokio::time::sleep(std::time::Duration::from_hours(1)).await;
            let mut edited = body.clone();
            for time in times {
                edited[time] = json!("2026-11-22T10:00:00Z");
            }
            edited["updated_at"] = json!("2026-11-22T10:45:00Z");
            edited["line_items"][0]["current_quantity"] = json!(3);
            shop.hears("orders/updated", &edited).await;
            assert_eq!(shop.on_hand("OIL", "north").await, Some(21), "{body}");
            assert_eq!(shop.sold("OIL", "north").await, 3, "{body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_order_took_from_stock_it_has_taken_whatever_orders_count_as_later() {
    let shop = counting().await;
    let placed = order("09:30:00", 4, false, &[]);
    shop.hears("orders/create", &placed).await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(6));
    shop.configure(&[]).await;
    shop.ingest
        .replay(&"shop".parse().unwrap(), &ALL, None)
        .await
        .unwrap();
    shop.hears("orders/paid", &order("09:50:00", 4, false, &[]))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(6));
    shop.hears("orders/updated", &order("09:55:00", 3, false, &[]))
        .await;
    assert_eq!(shop.on_hand("OIL", "north").await, Some(7));
    assert_eq!(shop.sold("OIL", "north").await, 3);
}

/// Counts the reads of whole partitions.
#[derive(Debug, Default)]
struct Queries(AtomicUsize);

#[async_trait]
impl Interference for Queries {
    async fn before(&self, call: &Call) -> Verdict {
        if call.operation == "Query" {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Verdict::Proceed
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_at_a_place_without_a_name_is_read_once_however_many_lines_it_has() {
    let mut took = Vec::new();
    for lines in [2, 12] {
        let queries = Arc::new(Queries::default());
        let settings = Settings {
            interference: queries.clone(),
            ..Settings::default()
        };
        let shop = Shop::disturbed(&[], settings).await;
        let items: Vec<_> = (0..lines).map(|n| (ITEM + n, format!("OIL-{n}"))).collect();
        let items: Vec<_> = items
            .iter()
            .map(|(item, sku)| (*item, sku.as_str()))
            .collect();
        let all = product("active", "08:59:00", &items);
        shop.hears("products/create", &all).await;
        let order = |known: i64, updated: &str| {
            let mut order = order(updated, 4, false, &[]);
            order["location_id"] = json!(2);
            let line = |n: i64| {
                json!({ "id": 91 + n, "variant_id": ITEM + n + 1_000, "sku": format!("OIL-{n}"),
                    "quantity": 4, "current_quantity": 4 })
            };
            order["line_items"] = (0..known).map(line).collect();
            order
        };
        shop.hears("orders/create", &order(1, "09:30:00")).await;
        // The place has no name any more, and the order goes on where its first line is.
        shop.configure(&[(", \"2\" = \"south\"", "")]).await;
        let before = queries.0.load(Ordering::SeqCst);
        let edited = order(lines, "09:40:00");
        shop.hears("orders/updated", &edited).await;
        took.push(queries.0.load(Ordering::SeqCst) - before);
        for n in 0..lines {
            let sold = shop.sold(&format!("OIL-{n}"), "south").await;
            assert_eq!(sold, 4, "{n} of {lines}");
        }
    }
    assert_eq!(took[0], took[1], "{took:?}");
}

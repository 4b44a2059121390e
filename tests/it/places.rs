//! Vehicles that webhooks reported, after names of places lead elsewhere: they are where their source's name
//! leads now, once they are replayed.

use std::collections::BTreeMap;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use ingest::Selection;
use jiff::{SignedDuration, Timestamp};
use lotwire::engine::Pump;
use serde_json::json;
use shared::domain::alert::AlertState;
use shared::domain::ledger::check_chain;
use shared::store::keys;
use shared::store::quarantine::HeldState;

use crate::bench::{SECRET, event_signed};
use crate::shopify::Shop;

const LINE: &str = "line:bentley/azure";
const RULE: &str = "kind = \"low_stock\"\nthreshold = 9";
const SENDERS: [&str; 2] = ["lot", "dms"];
/// By name: the vehicles that stand there in the end, and how many were sold from there.
const STANDS: [(&str, i64, i64); 2] = [("222", 3, 1), ("333", 4, 1)];

/// Places, and two senders that both call them by these names.
fn places(ids: &[&str], named: &[(&str, &str)]) -> String {
    let ids = ids
        .iter()
        .map(|id| format!("[locations.{id}]\nname = \"{id}\"\nkind = \"rooftop\"\n"));
    let named = named.iter().map(|(name, id)| format!("{name} = \"{id}\""));
    let named = named.collect::<Vec<_>>().join(", ");
    let lot = format!(
        "[connectors.lot]\nkind = \"generic\"\nlocations = {{ {named} }}\n\
         webhook = {{ secret = \"env:TILL\" }}\n"
    );
    let dms = format!(
        "[connectors.dms]\nkind = \"dealertrack\"\nlocations = {{ {named} }}\npayload = \"trusted\"\n\
         currency = \"EUR\"\ndistance = \"km\"\n\
         verify = {{ kind = \"header-secret\", header = \"X-Secret\", secret = \"env:TILL\" }}\n\
         events = {{ stocked = \"stocked\", sold = \"sold\", moved = \"transferred\", held = \"reserved\" }}\n\
         [connectors.dms.pointers]\nevent_id = \"/id\"\nevent_type = \"/type\"\ntime = \"/time\"\n\
         vin = \"/vin\"\ncompany = \"/company\"\nto_company = \"/to\"\nmake = \"/make\"\nmodel = \"/model\"\n"
    );
    ids.chain([lot, dms, "[channels.out]".to_owned()]).collect()
}

const ALL: [&str; 4] = ["lodi", "mil", "milano", "roma"];
const FIRST: [(&str, &str); 2] = [("222", "mil"), ("333", "milano")];

/// A dealer group, one of whose systems tells of its vehicles.
struct Group {
    shop: Shop,
    carried: Pump,
    sender: &'static str,
    told: usize,
}

impl Group {
    /// Nothing is told yet.
    async fn with(sender: &'static str, named: &[(&str, &str)]) -> Self {
        let places = places(&ALL, named);
        let shop = Shop::open(&[
            (RULE, "kind = \"out_of_stock\""),
            ("[channels.out]", &places),
        ])
        .await;
        let carried = shop.evaluates();
        Self {
            shop,
            carried,
            sender,
            told: 0,
        }
    }

    /// All that its system tells: what comes to stand and is sold where [`STANDS`] says.
    async fn told_by(sender: &'static str) -> Self {
        let mut group = Box::pin(Self::with(sender, &FIRST)).await;
        for (vehicle, place) in [
            (1, "222"),
            (2, "222"),
            (3, "333"),
            (4, "333"),
            (5, "333"),
            (6, "222"),
            (7, "333"),
            (8, "222"),
            (9, "333"),
        ] {
            group.hears("stocked", vehicle, Some(place)).await;
        }
        group.hears("moved", 8, Some("333")).await;
        group.hears("moved", 9, Some("222")).await;
        group.hears("sold", 6, Some("222")).await;
        group.hears("sold", 7, None).await;
        group.rests().await;
        group.counts(&FIRST, "told").await;
        group
    }

    /// A webhook of the sender, in its words.
    async fn hears(&mut self, what: &str, vehicle: usize, place: Option<&str>) {
        tokio::time::sleep(std::time::Duration::from_secs(40)).await;
        let now = self.shop.store.clock().now();
        self.hears_of(now, what, vehicle, place).await;
    }

    /// What has happened then.
    async fn hears_of(&mut self, at: Timestamp, what: &str, vehicle: usize, place: Option<&str>) {
        self.told += 1;
        let now = self.shop.store.clock().now();
        let vin = format!("SCBCG2ZG0RC0123{vehicle:02}");
        let id = format!("told-{}", self.told);
        let (headers, body) = if self.sender == "lot" {
            let mut data = json!({ "vin": vin, "make": "Bentley", "model": "Azure", "at": at });
            if let Some(place) = place {
                data["location"] = json!(place);
            }
            if what == "stocked" {
                data["state"] = json!("in_stock");
            }
            let kinds = [
                ("stocked", "unit.updated"),
                ("moved", "unit.transferred"),
                ("sold", "unit.sold"),
                ("held", "unit.reserved"),
            ];
            let kind = kinds.iter().find(|(word, _)| *word == what).unwrap().1;
            let (headers, body) = event_signed(SECRET, &id, now, kind, &data);
            (
                headers
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect(),
                body,
            )
        } else {
            let to = if what == "moved" { "to" } else { "company" };
            let mut data = json!({
                "id": id, "type": what, "time": at.to_string(), "vin": vin, "make": "Bentley",
                "model": "Azure",
            });
            data[to] = json!(place);
            let headers = BTreeMap::from([("X-Secret".to_owned(), SECRET.to_owned())]);
            (headers, data.to_string())
        };
        let path = format!("/hooks/{}", self.sender);
        let event = json!({
            "version": "2.0",
            "rawPath": path,
            "headers": headers,
            "pathParameters": { "connector": self.sender },
            "requestContext": { "http": { "method": "POST", "path": path }, "timeEpoch": 0 },
            "body": body,
            "isBase64Encoded": false,
        });
        let event: ApiGatewayV2httpRequest = serde_json::from_value(event).unwrap();
        let handled = Box::pin(self.shop.ingest.handle(event, self.shop.soon()));
        let response = handled.await;
        assert_eq!(response.status_code, 200, "{response:?}");
        self.carried.idle().await;
    }

    async fn configure(&self, ids: &[&str], named: &[(&str, &str)]) {
        let places = places(ids, named);
        let changes = [
            (RULE, "kind = \"out_of_stock\""),
            ("[channels.out]", places.as_str()),
        ];
        self.shop.configure(&changes).await;
        self.rests().await;
    }

    /// Until all that waits for a while is judged.
    async fn rests(&self) {
        for _ in 0..3 {
            self.carried.idle().await;
            self.shop.ticks().await;
        }
        self.carried.idle().await;
    }

    /// Applies what was heard again: so many pages of it, or all. How many webhooks changed something.
    async fn replays(&self, pages: usize) -> usize {
        let all = Selection::Between {
            from: None,
            until: None,
        };
        let (connector, mut cursor) = (self.sender.parse().unwrap(), None);
        let mut applied = 0;
        for _ in 0..pages {
            let replayed = self.shop.ingest.replay(&connector, &all, cursor.as_deref());
            let replayed = Box::pin(replayed).await.unwrap();
            assert_eq!(replayed.failed, []);
            applied += replayed.outcome.applied;
            cursor = replayed.next;
            if cursor.is_none() {
                break;
            }
        }
        self.rests().await;
        applied
    }

    /// On hand and promised, in `mil` and `milano`.
    async fn stock(&self) -> [Option<[i64; 2]>; 2] {
        let mut stock = [None; 2];
        for (stock, id) in stock.iter_mut().zip(["mil", "milano"]) {
            let there = self.shop.stock(LINE, id).await;
            *stock = there.map(|it| [it.on_hand, it.reserved]);
        }
        stock
    }

    /// Each vehicle counts once, where its place's name leads; a place that no name leads to has none, and
    /// nobody is told that anything contradicts, or ran out.
    async fn counts(&self, named: &[(&str, &str)], case: &str) {
        let case = format!("{} {case}", self.sender);
        for id in ALL {
            let names: Vec<_> = named.iter().filter(|(_, at)| *at == id).collect();
            let here = STANDS
                .iter()
                .filter(|(name, ..)| names.iter().any(|(it, _)| it == name));
            let (stand, sold) = here.fold((0, 0), |sum, (_, stand, sold)| {
                (sum.0 + stand, sum.1 + sold)
            });
            let expected = (!names.is_empty()).then_some(stand);
            assert_eq!(self.shop.on_hand(LINE, id).await, expected, "{case}: {id}");
            assert_eq!(self.shop.sold(LINE, id).await, sold, "{case}: sold at {id}");
        }
        self.nothing_is_told(&case).await;
        for vehicle in 1..=9 {
            let vin = format!("SCBCG2ZG0RC0123{vehicle:02}");
            let unit = self.shop.store.unit(&vin).await.unwrap().unwrap();
            let of = keys::unit_history(&vin);
            let rows = self.shop.store.history(&of, None, 100).await.unwrap().items;
            assert_eq!(check_chain(&of, &rows, unit.revision, &unit.chain), []);
        }
    }

    async fn nothing_is_told(&self, case: &str) {
        for state in [AlertState::Open, AlertState::Resolved] {
            assert_eq!(self.shop.alerts(state).await, [], "{case}");
        }
        assert_eq!(self.shop.held(HeldState::Open).await, [], "{case}");
    }

    /// Lets what is carried come to rest.
    async fn ends(self) {
        self.carried.stop().await;
    }
}

/// Exchanged; and one name moved to a place whose id comes later, or earlier, in the alphabet.
const CASES: [[(&str, &str); 2]; 4] = [
    [("222", "milano"), ("333", "mil")],
    [("222", "roma"), ("333", "milano")],
    [("222", "mil"), ("333", "lodi")],
    [("222", "lodi"), ("333", "roma")],
];

#[tokio::test(start_paused = true)]
async fn vehicles_of_webhooks_are_where_their_places_names_lead_once_they_are_replayed() {
    for sender in SENDERS {
        for after in CASES {
            let group = Box::pin(Group::told_by(sender)).await;
            group.configure(&ALL, &after).await;
            // Their source has not said anew where they stand.
            group.counts(&FIRST, &format!("{after:?} applied")).await;
            assert_ne!(group.replays(9).await, 0);
            group.counts(&after, &format!("{after:?} replayed")).await;
            assert_eq!(group.replays(9).await, 0, "{after:?} replayed again");
            group
                .counts(&after, &format!("{after:?} replayed twice"))
                .await;
            // As it was.
            group.configure(&ALL, &FIRST).await;
            group.replays(9).await;
            group.counts(&FIRST, &format!("{after:?} and back")).await;
            group.ends().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_ended_half_way_and_begun_anew_comes_to_the_same() {
    for sender in SENDERS {
        for after in CASES {
            let mut group = Box::pin(Group::told_by(sender)).await;
            group.configure(&ALL, &after).await;
            group.replays(1).await;
            group
                .nothing_is_told(&format!("{sender} {after:?} half"))
                .await;
            // A webhook in between says once more what is so.
            group.hears("stocked", 1, Some("222")).await;
            group.replays(9).await;
            group
                .counts(&after, &format!("{after:?} half, then whole"))
                .await;
            group.ends().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn vehicles_of_webhooks_go_along_with_the_id_of_their_place() {
    for sender in SENDERS {
        let group = Box::pin(Group::told_by(sender)).await;
        let there = async |id| group.shop.on_hand(LINE, id).await;
        let moved = [("222", "roma"), ("333", "milano")];
        group.configure(&["lodi", "milano", "roma"], &moved).await;
        assert_eq!(
            [there("roma").await, there("milano").await],
            [Some(3), Some(4)]
        );
        group.nothing_is_told(sender).await;
        // And go on with it, when they are replayed.
        let moved = [("222", "lodi"), ("333", "milano")];
        group.configure(&["lodi", "milano"], &moved).await;
        group.replays(9).await;
        assert_eq!(
            [there("lodi").await, there("milano").await],
            [Some(3), Some(4)]
        );
        assert_eq!(group.shop.sold(LINE, "lodi").await, 1);
        group.nothing_is_told(sender).await;
        assert_eq!(chain_faults_of(&group.shop).await, [""; 0]);
        group.ends().await;
    }
}

/// What is wrong with the positions' ledgers.
async fn chain_faults_of(shop: &Shop) -> Vec<String> {
    let mut faults = Vec::new();
    for id in ALL {
        let position = shop
            .store
            .position(&LINE.parse().unwrap(), &id.parse().unwrap())
            .await;
        if let Some(position) = position.unwrap() {
            let of = keys::position_history(&position.product, &position.location);
            let rows = shop.store.history(&of, None, 100).await.unwrap().items;
            faults.extend(check_chain(&of, &rows, position.revision, &position.chain));
        }
    }
    faults.iter().map(|it| format!("{it:?}")).collect()
}

/// Who has promised a vehicle has promised it wherever it stands. Its place counts once it has a name, unless
/// something newer is said of that.
#[tokio::test(start_paused = true)]
async fn what_is_promised_at_a_place_without_a_name_is_not_for_sale_and_goes_there_once_it_has_one()
{
    let promised = [("stocked", Some("222")), ("held", Some("333"))];
    // On hand and promised in `mil` and `milano`: while the place has no name, and once it has.
    let cases = [
        (None, [Some([1, 1]), None], [Some([0, 0]), Some([1, 1])]),
        (
            Some(("stocked", Some("222"))),
            [Some([1, 0]), None],
            [Some([1, 0]), None],
        ),
        (
            Some(("sold", None)),
            [Some([0, 0]), None],
            [Some([0, 0]), Some([0, 0])],
        ),
    ];
    for sender in SENDERS {
        for (newer, before, after) in cases {
            for late in [false, true] {
                let case = format!("{sender} {newer:?} late: {late}");
                let mut group = Box::pin(Group::with(sender, &FIRST[..1])).await;
                let start = group.shop.store.clock().now() - SignedDuration::from_mins(3);
                let said = promised.iter().copied().chain(newer);
                let mut said: Vec<_> = said.zip(0..).collect();
                if late {
                    said.reverse();
                }
                for ((what, place), minute) in said {
                    let at = start + SignedDuration::from_mins(minute);
                    group.hears_of(at, what, 1, place).await;
                    let held = group.shop.held(HeldState::Open).await;
                    // One thing to see to, also where nothing else is known of it yet.
                    assert!(
                        newer.is_some() || held.len() <= 1,
                        "{case} {what}: {held:?}"
                    );
                }
                let held = group.shop.held(HeldState::Open).await;
                let [entry] = &held[..] else {
                    panic!("{case}: {held:?}")
                };
                assert_eq!(entry.reason, "unknown_location", "{case}");
                assert_eq!(group.stock().await, before, "{case}");
                group.configure(&ALL, &FIRST).await;
                assert_eq!(group.stock().await, after, "{case}, named");
                assert_eq!(group.shop.held(HeldState::Open).await, [], "{case}");
                group.ends().await;
            }
        }
    }
}

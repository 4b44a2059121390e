//! What people are told of: sums over groups, two owners of one vehicle, feeds that cannot be
//! believed, and stock that is back.

use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::Config;
use shared::domain::alert::AlertState;
use shared::domain::unit::UnitState;
use shared::domain::{AlertKind, ConnectorName, Severity, Subject};
use shared::store::Expect;
use shared::store::feeds::{FeedState, Moment};
use shared::store::inbox::UNDECIDED;

use crate::bench::{described, level, sold};
use crate::flow::Running;
use crate::vehicles::vehicle;

pub(crate) const CONFIG: &str = r#"
[account]
name = "Test"
zone = "Europe/Rome"
currency = "EUR"
[locations.north]
name = "North"
kind = "warehouse"
groups = ["warehouses"]
[locations.south]
name = "South"
kind = "warehouse"
groups = ["warehouses"]
[locations.london]
name = "London"
kind = "rooftop"
[locations.milano]
name = "Milano"
kind = "rooftop"
[connectors.generic]
kind = "generic"
[connectors.generic.webhook]
secret = "env:GENERIC"
[connectors.erp]
kind = "files"
url = "/nowhere/drop"
locations = { north = "north", south = "south", london = "london", milano = "milano" }
[channels.room]
kind = "slack"
url = "env:NOT_SET"
[channels.shop-floor]
kind = "slack"
url = "env:NOT_SET"
[[routes]]
name = "all"
kinds = ["low_stock", "out_of_stock", "conflict", "feed_suspect"]
channels = ["room"]
[[routes]]
name = "good-news"
kinds = ["back_in_stock"]
channels = ["shop-floor", "room"]
[[rules]]
name = "together"
kind = "low_stock"
group = "warehouses"
over = "sum"
threshold = 8
[[rules]]
name = "gone"
kind = "out_of_stock"
"#;

fn kinds(alerts: &[shared::store::alerts::Alert]) -> Vec<AlertKind> {
    let mut kinds: Vec<_> = alerts.iter().map(|alert| alert.kind).collect();
    kinds.sort();
    kinds
}

async fn stated(running: &Running, source: &str, minute: i64, location: &str, on_hand: i64) {
    let installation = running.stack.installations.current().await.unwrap();
    let authority = installation.authority();
    let event = level(source, minute, "PAD", location, on_hand);
    running.stack.store.apply(&event, &authority).await.unwrap();
    running.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_low_when_its_locations_together_are() {
    let running = Running::with(CONFIG).await;
    stated(&running, "generic", 0, "north", 20).await;
    stated(&running, "generic", 0, "south", 6).await;
    assert!(
        running.alerts(AlertState::Open).await.is_empty(),
        "they have enough"
    );
    stated(&running, "generic", 1, "north", 2).await;
    let open = running.alerts(AlertState::Open).await;
    assert_eq!(kinds(&open), [AlertKind::LowStock]);
    let message = &open[0].message;
    assert_eq!(message.after.unwrap().available, 8);
    assert_eq!(message.before.unwrap().available, 26);
    assert_eq!(message.location.as_deref(), Some("group warehouses"));
    stated(&running, "generic", 2, "south", 40).await;
    assert!(running.alerts(AlertState::Open).await.is_empty());
    assert_eq!(running.alerts(AlertState::Resolved).await.len(), 1);
}

/// Nobody is told of it, and whoever looks finds it.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_a_graver_one_covers_is_counted_and_listed_with_it() {
    let running = Running::with(CONFIG).await;
    stated(&running, "generic", 0, "north", 20).await;
    stated(&running, "generic", 0, "south", 6).await;
    stated(&running, "generic", 1, "north", 0).await;
    let told = running.alerts(AlertState::Open).await;
    assert_eq!(kinds(&told), [AlertKind::OutOfStock]);
    let covered = running.get("/api/v1/alerts?state=covered").await;
    let [sum] = covered["items"].as_array().unwrap().as_slice() else {
        panic!("{covered}");
    };
    assert_eq!(sum["kind"], "low_stock");
    assert_eq!(sum["covered_by"], told[0].id.as_str());
    let all = running.get("/api/v1/alerts").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
    let status = running.get("/api/v1/status").await;
    assert_eq!(status["open_alerts"]["count"], 1);
    assert_eq!(status["covered_alerts"]["count"], 1);
    // The graver one is over: people are told of the other once it is seen whether more comes.
    stated(&running, "generic", 2, "north", 1).await;
    let covered = running.get("/api/v1/alerts?state=covered").await;
    assert_eq!(covered["items"][0]["covered_by"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_that_is_back_is_told_once_to_each() {
    let running = Running::with(CONFIG).await;
    stated(&running, "generic", 0, "london", 4).await;
    stated(&running, "generic", 1, "london", 0).await;
    assert_eq!(
        kinds(&running.alerts(AlertState::Open).await),
        [AlertKind::OutOfStock]
    );
    stated(&running, "generic", 2, "london", 3).await;
    let over = running.alerts(AlertState::Resolved).await;
    assert_eq!(
        kinds(&over),
        [AlertKind::OutOfStock, AlertKind::BackInStock]
    );
    // There is nothing to act on any more.
    let severity = |kind: AlertKind| over.iter().find(|it| it.kind == kind).unwrap().severity;
    assert_ne!(severity(AlertKind::OutOfStock), Severity::Info);
    assert_eq!(severity(AlertKind::BackInStock), Severity::Info);
    let deliveries = running.stack.store.intents(None, 100).await.unwrap().items;
    let mut told: Vec<_> = deliveries
        .iter()
        .map(|d| {
            let kind = over.iter().find(|alert| alert.id == d.alert).unwrap().kind;
            (kind.name(), d.revision, d.channel.as_str())
        })
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("back_in_stock", 1, "shop-floor"),
            ("out_of_stock", 1, "room"),
            ("out_of_stock", 2, "room"),
        ],
        "the room knows from the other's end"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_vehicle_at_two_rooftops_is_one_conflict_and_counted_once() {
    let market = "[connectors.market]\nkind = 'generic'\nwebhook = { secret = 'env:MARKET' }\n\
                  [alerts]\nconflict_after = '0s'";
    let running = Running::with(&format!("{CONFIG}\n{market}")).await;
    let vehicle = |location: &str| {
        json!({ "vin": "SCBCG2ZG0RC012345", "state": "in_stock", "location": location,
            "make": "Bentley", "model": "Continental GT" })
    };
    running.post("u1", "unit.updated", vehicle("london")).await;
    // The second word comes from another source.
    let unit = running
        .stack
        .store
        .unit("SCBCG2ZG0RC012345")
        .await
        .unwrap()
        .unwrap();
    let report = shared::domain::unit::UnitReport {
        called: None,
        source_gone: false,
        vin: unit.vin.clone(),
        version: shared::domain::Version::at(Clock::system().now()),
        state: Some(shared::domain::unit::UnitState::InStock),
        location: Some("milano".parse().unwrap()),
        stock_number: None,
        since: None,
        brought: false,
        undated: false,
        fields: std::collections::BTreeMap::new(),
    };
    let event = shared::domain::StockEvent {
        id: "other".parse().unwrap(),
        source: "market".parse().unwrap(),
        at: Clock::system().now(),
        actor: None,
        change: shared::domain::Change::Unit(Box::new(report)),
    };
    let authority = shared::domain::Authority::default();
    running.stack.store.apply(&event, &authority).await.unwrap();
    running.settle().await;
    let open = running.alerts(AlertState::Open).await;
    assert_eq!(kinds(&open), [AlertKind::Conflict]);
    assert_eq!(
        open[0].message.notes.len(),
        2,
        "{:?}",
        open[0].message.notes
    );
    let line = "line:bentley/continental-gt".parse().unwrap();
    let positions = running.stack.store.positions_of(&line).await.unwrap();
    let sellable: i64 = positions
        .iter()
        .filter_map(|position| position.stock(&authority.quantities))
        .map(|stock| stock.available)
        .sum();
    assert_eq!(sellable, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rooftop_at_which_a_vehicle_never_was_is_not_told_to_be_out_of_it() {
    let running = Running::with(CONFIG).await;
    let authority = shared::domain::Authority::default();
    let line = "line:bentley/continental-gt".parse().unwrap();
    let says = async |source: &str, minute: i64, state: UnitState, location: &str| {
        let report = vehicle(source, minute, state, location);
        let store = &running.stack.store;
        store.apply(&report, &authority).await.unwrap();
        running.settle().await;
    };
    let sold = async |location: &str| -> i64 {
        let at = location.parse().unwrap();
        let position = running.stack.store.position(&line, &at).await.unwrap();
        position.map_or(0, |position| position.sold.values().sum())
    };
    // Sold, as two sources tell it: at two rooftops, and the later word first.
    says("market", 5, UnitState::Sold, "milano").await;
    says("dms", 1, UnitState::Sold, "london").await;
    assert_eq!((sold("london").await, sold("milano").await), (1, 0));
    let open = async || {
        let mut open = running.alerts(AlertState::Open).await;
        // Both cannot have sold it.
        open.retain(|alert| alert.kind != AlertKind::Conflict);
        open
    };
    assert_eq!(open().await, []);
    // Late news that it was at one of them: that one is out of it.
    says("dms", 0, UnitState::InStock, "london").await;
    let open = open().await;
    assert_eq!(kinds(&open), [AlertKind::OutOfStock]);
    assert!(open[0].subject.to_string().ends_with("at london"));
}

/// Nobody's stock has run out, but where somebody wants to know of just this model.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_vehicle_on_its_way_to_a_rooftop_is_no_reason_for_an_alert() {
    let bentley = "[[rules]]\nname = 'bentley'\nkind = 'out_of_stock'\nmake = 'Bentley'\n\
                   model = 'Continental GT'\n";
    for (more, first) in [("", vec![]), (bentley, vec![AlertKind::OutOfStock])] {
        let dms = "[connectors.dms]\nkind = 'generic'\nwebhook = { secret = 'env:DMS' }";
        let running = Running::with(&format!("{CONFIG}\n{more}\n{dms}")).await;
        let authority = shared::domain::Authority::default();
        let says = async |minute: i64, state: UnitState| {
            let report = vehicle("dms", minute, state, "london");
            let store = &running.stack.store;
            store.apply(&report, &authority).await.unwrap();
            running.settle().await;
            kinds(&running.alerts(AlertState::Open).await)
        };
        assert_eq!(says(0, UnitState::InTransit).await, first, "{more}");
        let path = "/api/v1/explain?product=line:bentley/continental-gt&location=london";
        let answer = running.get(path).await["kinds"][1]["answer"].to_string();
        assert_eq!(answer.contains("none has been here yet"), first.is_empty());
        assert_eq!(says(1, UnitState::InStock).await, []);
        assert_eq!(says(2, UnitState::Sold).await, [AlertKind::OutOfStock]);
        // The next one on its way makes nothing better.
        assert_eq!(says(3, UnitState::InTransit).await, [AlertKind::OutOfStock]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_cannot_be_believed_is_one_alert_and_holds_items_without_data_back() {
    let running = Running::with(CONFIG).await;
    let erp: ConnectorName = "erp".parse().unwrap();
    let store = &running.stack.store;
    for minute in 0..3 {
        stated(&running, "erp", minute, "london", 9 - minute).await;
    }
    // As of when its items have no data.
    let write = async |suspicions: Vec<String>, distrusted_after: Option<Moment>| {
        let known = store.feed(&erp).await.unwrap();
        let now = Moment(Clock::system().now());
        let state = FeedState {
            succeeded_at: Some(now),
            tried_at: Some(now),
            suspicions,
            distrusted_after,
            ..known
                .as_ref()
                .map(|known| known.data.clone())
                .unwrap_or_default()
        };
        assert!(
            store
                .save_feed(&erp, &state, Expect::from_read(known.as_ref()))
                .await
                .unwrap()
        );
        running.settle().await;
    };
    let reason = vec!["The file has no row.".to_owned()];
    let now = Moment(Clock::system().now());
    write(reason.clone(), Some(now)).await;
    stated(&running, "erp", 5, "london", 0).await;
    let open = running.alerts(AlertState::Open).await;
    assert_eq!(
        kinds(&open),
        [AlertKind::FeedSuspect],
        "the items' alerts are held back"
    );
    assert_eq!(
        open[0].message.notes,
        [
            "The file has no row.",
            "What it does not state stays as it was, and nothing is told of that until a good file is read.",
        ]
    );

    write(Vec::new(), None).await;
    // As the clock does within a minute.
    for part in store.jobs_under_way([].iter(), 100).await.unwrap() {
        let waits = store.job(&part.id).await.unwrap().unwrap();
        assert!(store.begin_job(&waits).await.unwrap());
    }
    running.settle().await;
    let open = running.alerts(AlertState::Open).await;
    assert_eq!(
        kinds(&open),
        [AlertKind::OutOfStock],
        "and told once the feed is back"
    );
}

/// The number on the shelf may be old, and what was done since is not.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_feed_that_is_down_withholds_is_listed_and_what_others_did_is_told() {
    let running = Running::with(CONFIG).await;
    let erp: ConnectorName = "erp".parse().unwrap();
    let store = &running.stack.store;
    for place in ["london", "milano"] {
        stated(&running, "erp", 0, place, 9).await;
    }
    let now = Moment(Clock::system().now());
    let state = FeedState {
        succeeded_at: Some(now),
        suspicions: vec!["The file has no row.".to_owned()],
        distrusted_after: Some(now),
        ..FeedState::default()
    };
    assert!(store.save_feed(&erp, &state, Expect::Absent).await.unwrap());
    running.settle().await;
    stated(&running, "erp", 5, "london", 0).await;
    let withheld = running.get("/api/v1/alerts?state=withheld").await;
    let [item] = withheld["items"].as_array().unwrap().as_slice() else {
        panic!("{withheld}");
    };
    assert_eq!(
        (&item["kind"], &item["state"], &item["withheld"]),
        (
            &json!("out_of_stock"),
            &json!("withheld"),
            &json!("source_down")
        )
    );
    let status = running.get("/api/v1/status").await;
    assert_eq!(status["withheld_alerts"]["count"], 1);
    assert_eq!(status["covered_alerts"]["count"], 0);

    let installation = running.stack.installations.current().await.unwrap();
    let sale = sold("s1", "generic", 6, "PAD", "milano", 9);
    let authority = installation.authority();
    store.apply(&sale, &authority).await.unwrap();
    running.settle().await;
    let open = running.alerts(AlertState::Open).await;
    assert_eq!(
        kinds(&open),
        [AlertKind::OutOfStock, AlertKind::FeedSuspect]
    );
    let out = open.iter().find(|it| it.kind == AlertKind::OutOfStock);
    assert_eq!(out.unwrap().subject.to_string(), "PAD at milano");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remark_about_a_file_holds_nothing_back_and_neither_does_distrust_of_what_was_stated_since()
 {
    let running = Running::with(CONFIG).await;
    let erp: ConnectorName = "erp".parse().unwrap();
    stated(&running, "erp", 0, "london", 9).await;
    let now = Moment(Clock::system().now());
    let mut state = FeedState {
        succeeded_at: Some(now),
        ..FeedState::default()
    };
    let remark = ("no_data".to_owned(), "1 row without a quantity.".to_owned());
    state.remark(&[remark].into());
    let store = &running.stack.store;
    assert!(store.save_feed(&erp, &state, Expect::Absent).await.unwrap());
    running.settle().await;
    stated(&running, "erp", 1, "london", 0).await;
    let open = running.alerts(AlertState::Open).await;
    assert_eq!(kinds(&open), [AlertKind::OutOfStock, AlertKind::FeedFlawed]);
    stated(&running, "erp", 2, "london", 9).await;

    // A file that is not believed, after which the source states this item all the same.
    let stored = store.feed(&erp).await.unwrap().unwrap();
    let mut state = stored.data.clone();
    state.suspicions = vec!["The last row is incomplete.".to_owned()];
    state.believe(false);
    let expect = Expect::from_read(Some(&stored));
    assert!(store.save_feed(&erp, &state, expect).await.unwrap());
    running.settle().await;
    stated(&running, "erp", 3, "london", 0).await;
    let open = running.alerts(AlertState::Open).await;
    assert_eq!(
        kinds(&open),
        [
            AlertKind::OutOfStock,
            AlertKind::FeedSuspect,
            AlertKind::FeedFlawed
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hears_that_little_is_left_hears_that_it_was_out_and_the_other_way_round() {
    let few = "[[rules]]\nname = 'few'\nkind = 'low_stock'\nlocation = 'london'\nthreshold = 5\n";
    let running = Running::with(&format!("{CONFIG}{few}")).await;
    let of = async |state, kind| {
        let alerts = running.alerts(state).await;
        alerts
            .into_iter()
            .find(|it| it.kind == kind)
            .unwrap()
            .message
    };
    for (minute, on_hand) in [(0, 9), (1, 0), (2, 2)] {
        stated(&running, "generic", minute, "london", on_hand).await;
    }
    let low = of(AlertState::Open, AlertKind::LowStock).await;
    assert_eq!(low.notes, ["It is no longer out of stock."]);
    let out = of(AlertState::Resolved, AlertKind::OutOfStock).await;
    assert_eq!(out.notes, ["It is still low: the threshold is 5."]);
    // Of what was low before it was out nothing begins.
    for (minute, on_hand) in [(3, 0), (4, 3)] {
        stated(&running, "generic", minute, "london", on_hand).await;
    }
    let again = of(AlertState::Open, AlertKind::LowStock).await;
    assert_eq!(again.alert, low.alert);
    let ended = running.alerts(AlertState::Resolved).await;
    let ends = ended.iter().filter(|it| it.kind == AlertKind::OutOfStock);
    let notes: Vec<_> = ends.map(|it| it.message.notes.clone()).collect();
    assert_eq!(notes, vec![out.notes.clone(); 2]);
}

/// Of everything else: what there is for the first time is evaluated beside it.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_does_not_wait_until_a_first_load_is_evaluated() {
    const LOADED: usize = 400;
    let running = Running::with(CONFIG).await;
    stated(&running, "generic", 0, "london", 9).await;
    let stopped = running.while_stopped(async |stack| {
        let authority = stack.installations.current().await.unwrap().authority();
        let load = (0..LOADED).map(|number| {
            let sku = format!("SKU-{number}");
            level("generic", 0, &sku, "milano", 0)
        });
        for event in load.chain([level("generic", 1, "PAD", "london", 0)]) {
            stack.store.apply(&event, &authority).await.unwrap();
        }
    });
    let running = Box::pin(stopped).await;
    let store = &running.stack.store;
    let open = async || {
        let product = "PAD".parse().unwrap();
        let picture = store.picture(&product).await.unwrap();
        let mut watches = picture.watches.iter();
        watches.any(|it| it.data.watch.episode().is_some())
    };
    while !open().await {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let last = format!("SKU-{}", LOADED - 1).parse().unwrap();
    let picture = store.picture(&last).await.unwrap();
    assert!(picture.watches.is_empty(), "the load is evaluated by now");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_file_that_is_held_meanwhile_is_told_and_the_same_once_more_is_not() {
    let running = Running::with(CONFIG).await;
    let lacks = |file: &str, count: i64, one: &str| {
        format!("{file} lacks {count} of 40 items, such as {one}; {UNDECIDED}.")
    };
    let is_news = async |suspicion: String, waits: bool| {
        let undecided = waits.then(|| suspicion.clone());
        feed_is(&running, |feed| {
            feed.suspicions = vec![suspicion.clone()];
            feed.undecided.clone_from(&undecided);
        })
        .await;
        let connector = "erp".parse().unwrap();
        let subject = Subject::Connector { connector };
        let watches = running.stack.store.watches(&subject).await.unwrap();
        let suspect = watches
            .iter()
            .find(|it| it.data.kind == AlertKind::FeedSuspect);
        suspect
            .unwrap()
            .data
            .watch
            .episode()
            .unwrap()
            .news_since
            .is_some()
    };
    assert!(!is_news(lacks("a.csv", 8, "A"), true).await, "it begins");
    assert!(
        !is_news(lacks("b.csv", 8, "A"), true).await,
        "the same again"
    );
    assert!(is_news(lacks("c.csv", 9, "B"), true).await, "other items");
    let few = |file: &str, rows: i64| format!("{file}: {rows} rows where 40 are usual.");
    assert!(is_news(few("d.csv", 12), false).await, "another fault");
}

/// Writes a source's health as it is after some change, and waits until everything is done with it.
async fn feed_is(running: &Running, change: impl Fn(&mut FeedState)) {
    let erp: ConnectorName = "erp".parse().unwrap();
    running.stack.store.change_feed(&erp, change).await.unwrap();
    running.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_is_explained_as_down_where_its_alerts_are_withheld_and_nowhere_else() {
    let now = Moment(Clock::system().now());
    let long_ago = Moment(now.0 - jiff::SignedDuration::from_hours(1));
    let epoch = Moment(jiff::Timestamp::UNIX_EPOCH);
    let failed = Some("no answer".to_owned());
    for (succeeded_at, distrusted_after, last_error, down) in [
        (now, None, None, false),
        // Nothing good has come for too long.
        (long_ago, None, failed.clone(), true),
        // It could not be read just now, and was not long ago.
        (now, None, failed, false),
        (now, Some(now), None, true),
        // What it has stated since it was last believed is data.
        (now, Some(epoch), None, false),
    ] {
        let running = Running::with(CONFIG).await;
        feed_is(&running, |feed| {
            feed.succeeded_at = Some(succeeded_at);
            feed.distrusted_after = distrusted_after;
            feed.last_error.clone_from(&last_error);
        })
        .await;
        stated(&running, "erp", 0, "london", 0).await;
        let open = running.alerts(AlertState::Open).await;
        let is_told = open.iter().any(|it| it.kind == AlertKind::OutOfStock);
        let explained = running
            .get("/api/v1/explain?product=PAD&location=london")
            .await;
        assert_eq!(explained["feed"]["down"], down, "{explained}");
        assert_eq!(is_told, !down, "{explained}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_is_switched_off_withholds_nothing_any_more() {
    let running = Running::with(CONFIG).await;
    let hour = jiff::SignedDuration::from_hours(1);
    feed_is(&running, |feed| {
        feed.succeeded_at = Some(Moment(Clock::system().now() - hour));
    })
    .await;
    stated(&running, "erp", 0, "london", 0).await;
    let open = running.alerts(AlertState::Open).await;
    assert!(!kinds(&open).contains(&AlertKind::OutOfStock));
    let off = CONFIG.replace("kind = \"files\"", "kind = \"files\"\nenabled = false");
    let off = Config::check(&off, "test.toml").unwrap();
    running
        .stack
        .store
        .apply_config(&off, "test")
        .await
        .unwrap();
    running.settle().await;
    let open = running.alerts(AlertState::Open).await;
    assert_eq!(kinds(&open), [AlertKind::OutOfStock]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_is_explained_by_its_places_but_those_where_nobody_states_it_any_more() {
    // A sum is at none of its places.
    let route = |name: &str, about: &str| {
        format!("[[routes]]\nname = \"{name}\"\n{about}\nchannels = [\"shop-floor\"]\n")
    };
    let of_place = route("north", "locations = [\"north\"]");
    let of_group = route("houses", "groups = [\"warehouses\"]");
    let running = Running::with(&format!("{CONFIG}{of_place}{of_group}")).await;
    stated(&running, "generic", 0, "north", 5).await;
    stated(&running, "generic", 0, "south", 20).await;
    let members = |sum: &Value| {
        let members = sum["members"].as_array().unwrap().clone();
        let shown = |it: Value| [it["location"].clone(), it["stock"]["on_hand"].clone()];
        members.into_iter().map(shown).collect::<Vec<_>>()
    };
    // The same from whichever of its places it is asked.
    for place in ["north", "south"] {
        let path = format!("/api/v1/explain?product=PAD&location={place}");
        let explained = running.get(&path).await;
        let shown = members(&explained["group_sums"][0]);
        let all = [("north", 5), ("south", 20)].map(|(place, units)| [json!(place), json!(units)]);
        assert_eq!(shown, all, "{explained}");
        let routes = explained["group_sums"][0]["routes"].as_str().unwrap();
        let led = "Route `north` does not: it is about locations north, and this has none.";
        assert!(routes.contains(led), "{routes}");
        // It is of its group.
        let led = "Route `houses` sends it to shop-floor";
        assert!(routes.contains(led), "{routes}");
    }
    let ended = json!({ "sku": "PAD", "location": "south" });
    running.post("end", "stock.ended", ended).await;
    let open = running.alerts(AlertState::Open).await;
    assert_eq!(kinds(&open), [AlertKind::LowStock]);
    let told = running.stack.store.intents_of(&open[0].id).await.unwrap();
    let told: Vec<_> = told.iter().map(|it| it.channel.as_str()).collect();
    assert_eq!(told, ["room", "shop-floor"]);
    let explained = running
        .get("/api/v1/explain?product=PAD&location=north")
        .await;
    let sum = &explained["group_sums"][0];
    assert_eq!(
        (&sum["stock"]["on_hand"], &sum["condition"]),
        (&json!(5), &json!("fires"))
    );
    assert_eq!(members(sum), [[json!("north"), json!(5)]]);
}

/// Imports rows, as a person does who posts a file.
async fn import(running: &Running, csv: &str) {
    let mut headers = http::HeaderMap::new();
    let key = csv.replace(['\n', '\t'], " ");
    for (name, value) in [
        ("authorization", "Bearer token"),
        ("content-type", "text/csv"),
        ("idempotency-key", key.as_str()),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    let target = "/api/v1/imports?name=rows.csv&dry_run=false&line=2";
    let (status, answer) = running.send(target, &headers, csv).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["counts"]["rejected"], 0, "{answer}");
    running.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_changes_a_products_rules_opens_and_closes_its_alerts_while_its_stock_stands() {
    let rest = r#"
[[rules]]
name = "bulky"
kind = "low_stock"
category = "bulky"
threshold = 60
"#;
    let running = Running::with(&format!("{CONFIG}{rest}")).await;
    let applies = async |event: &shared::domain::StockEvent| {
        let installation = running.stack.installations.current().await.unwrap();
        let authority = installation.authority();
        running.stack.store.apply(event, &authority).await.unwrap();
        running.settle().await;
    };
    let is_low = async |product: &str| {
        let subject = format!("{product} at london");
        let open = running.alerts(AlertState::Open).await;
        open.iter()
            .any(|alert| alert.subject.to_string() == subject)
    };
    let products = ["ANYWHERE", "HERE", "ALL", "CATEGORY"];
    for product in products {
        applies(&level("generic", 0, product, "london", 50)).await;
        assert!(!is_low(product).await);
    }
    for (product, limit, due) in [
        ("ANYWHERE", "product,threshold\nANYWHERE,50\n", true),
        ("ANYWHERE", "product,threshold\nANYWHERE,none\n", false),
        ("HERE", "product,location,threshold\nHERE,london,50\n", true),
        (
            "HERE",
            "product,location,threshold\nHERE,london,10\n",
            false,
        ),
        // For more than one product: a new version of the configuration.
        ("ALL", "location,threshold\nlondon,50\n", true),
        ("ALL", "location,threshold\nlondon,none\n", false),
    ] {
        import(&running, limit).await;
        assert_eq!(is_low(product).await, due, "{limit}");
    }
    // A category that has a rule, and one that has none.
    for (minute, category, due) in [(1, "bulky", true), (2, "small", false)] {
        applies(&described("generic", minute, "CATEGORY", category)).await;
        assert_eq!(is_low("CATEGORY").await, due, "{category}");
    }
}

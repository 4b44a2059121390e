//! How things stand.

use std::sync::Arc;

use api::ports::{Deployed, Liveness, State};
use jiff::SignedDuration;
use serde_json::json;
use shared::channels::ChannelKind;
use shared::clock::Clock;
use shared::config::Config;
use shared::domain::{ChannelName, ConnectorName};
use shared::http::{Http, HttpSettings};
use shared::secrets::{EXTENSION, Secrets};
use shared::store::Store;
use shared::store::feeds::{FeedState, Moment};
use shared::store::jobs::{Reexamination, Stage};
use shared::store::quarantine::Quarantined;
use shared::store::received::{KeptBody, Received, ReceivedState};
use shared::store::row::Expect;
use shared::store::runs::{Lease, RunState};
use shared::store::stated::{Item, Stated};

use crate::scene::{DOCUMENT, Scene};

#[tokio::test]
async fn what_waits_and_what_was_read_is_told() {
    let scene = Scene::new().await;
    let now = scene.store.clock().now();
    let source = "erp".parse().unwrap();
    for row in ["one", "two"] {
        let held = Quarantined::new(&source, now, "a.csv:2", row, ("no_data", "No quantity."));
        assert!(scene.store.quarantine(&held).await.unwrap());
    }
    let feed = FeedState {
        succeeded_at: Some(Moment(now)),
        last_error: Some("the server hung up".to_owned()),
        ..FeedState::default()
    };
    let drop = "drop".parse().unwrap();
    let saved = scene.store.save_feed(&drop, &feed, Expect::Anything).await;
    assert!(saved.unwrap());
    let asked = Reexamination::new("asked-1");
    assert!(scene.store.start_job(asked).await.unwrap());

    let status = scene.get("/api/v1/status").await;
    assert_eq!(status.status, 200, "{}", status.body);
    let status = status.body;
    assert_eq!(status["configuration"]["version"], 1);
    assert_eq!(status["quarantine"], json!({ "count": 2, "more": false }));
    assert_eq!(status["open_alerts"], json!({ "count": 0, "more": false }));
    let connectors = status["connectors"].as_array().unwrap();
    let of = |name: &str| connectors.iter().find(|it| it["name"] == name).unwrap();
    assert_eq!(of("erp")["hook"], "/hooks/erp");
    assert_eq!(of("drop")["last_error"], "the server hung up");
    let read = of("drop")["last_success"].as_str().unwrap();
    let read: jiff::Timestamp = read.parse().unwrap();
    assert_eq!(read.as_millisecond(), now.as_millisecond());
    let jobs = status["jobs"].as_array().unwrap();
    let job = jobs.iter().find(|job| job["id"] == "asked-1").unwrap();
    let since = job["since"].as_str().unwrap().parse::<jiff::Timestamp>();
    assert!(since.unwrap().duration_since(now).as_secs() < 60, "{job}");
    // Here nobody can tell; a laptop can.
    assert_eq!(status["channels"], json!([]));
}

#[tokio::test]
async fn a_run_whose_worker_died_is_not_running() {
    let scene = Scene::new().await;
    let drop: ConnectorName = "drop".parse().unwrap();
    scene.store.begin_run(&drop, "s1").await.unwrap();
    let mut run = scene.store.run(&drop, "s1").await.unwrap().unwrap().data;
    run.state = RunState::Running;
    let saved = scene.store.save_run(&run, Expect::Anything).await;
    assert!(saved.unwrap());
    let state = async || {
        let status = scene.get("/api/v1/status").await.body;
        let connectors = status["connectors"].as_array().unwrap();
        let of = connectors.iter().find(|it| it["name"] == "drop").unwrap();
        of["last_run"]["state"].clone()
    };
    assert_eq!(state().await, "queued");
    let now = scene.store.clock().now();
    let lease = Lease {
        slot: "s1".to_owned(),
        holder: "worker".to_owned(),
        until: Moment(now + SignedDuration::from_mins(2)),
    };
    let taken = scene.store.take_run_lease(&drop, &lease).await;
    assert_eq!(taken.unwrap(), None);
    assert_eq!(state().await, "running");
}

/// A laptop, where one secret is missing and the disk is full.
struct Laptop;

#[async_trait::async_trait]
impl Liveness for Laptop {
    async fn channels(&self, _: &Config) -> Vec<State<ChannelName>> {
        Vec::new()
    }

    async fn connectors(&self, config: &Config) -> Vec<State<ConnectorName>> {
        let states = config.connectors.keys().map(|name| State {
            name: name.clone(),
            problem: (name.as_str() == "erp").then(|| "env:LOTWIRE_ERP_SECRET is not set".into()),
            note: None,
        });
        states.collect()
    }

    fn has_room(&self) -> Option<bool> {
        Some(false)
    }
}

#[tokio::test]
async fn a_full_disk_is_said_by_the_status_and_by_the_health_check() {
    let scene = Scene::with_liveness(Arc::new(Laptop)).await;
    let status = scene.get("/api/v1/status").await;
    assert_eq!(
        (status.status, &status.body["storage"]),
        (200, &json!("full"))
    );
    let health = scene.get("/healthz").await;
    let said = json!({ "status": "storage_full", "configuration": 1 });
    assert_eq!((health.status, health.body), (503, said));
    let well = Scene::new().await;
    assert_eq!(well.get("/api/v1/status").await.body["storage"], "ok");
}

#[tokio::test]
async fn a_connector_without_its_secret_is_not_said_to_be_well() {
    let scene = Scene::with_liveness(Arc::new(Laptop)).await;
    let status = scene.get("/api/v1/status").await.body;
    let connectors = status["connectors"].as_array().unwrap();
    let of = |name: &str| connectors.iter().find(|it| it["name"] == name).unwrap();
    assert_eq!(of("erp")["live"], false);
    assert_eq!(of("erp")["problem"], "env:LOTWIRE_ERP_SECRET is not set");
    assert_eq!(of("drop")["live"], true);
    let applied = scene.ask("PUT", "/api/v1/config?dry_run=true");
    let applied = applied.body("application/toml", DOCUMENT).send().await.body;
    let notes = applied["notes"].as_array().unwrap();
    let wanted = "connector `erp` is not live: env:LOTWIRE_ERP_SECRET is not set";
    assert!(notes.iter().any(|note| note == wanted), "{notes:?}");
}

/// The secrets of connectors, as far as they are set.
fn secrets() -> Secrets {
    let transport = Arc::new(Http::new(HttpSettings::default()).unwrap());
    let environment = |name: &str| (name == "LOTWIRE_SHOP_SECRET").then(|| "shhh".to_owned());
    let extension = EXTENSION.parse().unwrap();
    Secrets::new(Box::new(environment), transport, extension, Clock::system())
}

/// On AWS, too: the API may read connectors' secrets.
#[tokio::test]
async fn a_connector_whose_secret_is_missing_is_named_where_the_functions_are_deployed() {
    let liveness = Deployed {
        kinds: vec![ChannelKind::Slack],
        secrets: Arc::new(secrets()),
    };
    let scene = Scene::with_liveness(Arc::new(liveness)).await;
    let document = format!(
        "{DOCUMENT}\n[connectors.shop]\nkind = 'generic'\nwebhook.secret = 'env:LOTWIRE_SHOP_SECRET'\n\
         [connectors.lost]\nkind = 'generic'\nwebhook.secret = 'ssm:/lotwire/connectors/lost'\n"
    );
    let put = scene.ask("PUT", "/api/v1/config");
    let applied = put.body("application/toml", &document).send().await.body;
    let notes = applied["notes"].to_string();
    assert!(notes.contains("connector `lost` is not live"), "{notes}");
    assert!(!notes.contains("`shop` is not live"), "{notes}");
    let status = scene.get("/api/v1/status").await.body;
    let connectors = status["connectors"].as_array().unwrap();
    let of = |name: &str| connectors.iter().find(|it| it["name"] == name).unwrap();
    assert_eq!(of("shop")["live"], true);
    assert_eq!(of("lost")["live"], false);
    let problem = of("lost")["problem"].as_str().unwrap();
    assert!(
        problem.contains("ssm:/lotwire/connectors/lost"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_channel_whose_kind_is_not_deployed_is_told_at_apply_and_in_status() {
    let kinds = vec![ChannelKind::Slack];
    let liveness = Deployed {
        kinds,
        secrets: Arc::new(secrets()),
    };
    let scene = Scene::with_liveness(Arc::new(liveness)).await;
    let document = format!(
        "{DOCUMENT}\n[channels.room]\nkind = 'slack'\nurl = 'env:ROOM'\n\
         [channels.ops]\nkind = 'webhook'\nurl = 'https://ops.example.com/'\nsecret = 'env:OPS'\n"
    );
    let put = scene.ask("PUT", "/api/v1/config");
    let applied = put.body("application/toml", &document).send().await.body;
    let why = "its kind webhook is not deployed; add `webhook` to the stack's parameter Channels, \
               build and deploy";
    let note = format!("channel `ops` is not live: {why}");
    let notes = applied["notes"].as_array().unwrap();
    assert!(notes.contains(&json!(note)), "{notes:?}");
    assert!(
        !notes
            .iter()
            .any(|it| it.to_string().contains("`room` is not live")),
        "{notes:?}"
    );
    let status = scene.get("/api/v1/status").await.body;
    let channels = status["channels"].as_array().unwrap();
    let of = |name: &str| channels.iter().find(|it| it["name"] == name).unwrap();
    assert_eq!(
        (&of("ops")["live"], &of("ops")["problem"]),
        (&json!(false), &json!(why))
    );
    // Of the other only its next message will tell.
    assert_eq!(
        (&of("room")["live"], &of("room")["problem"]),
        (&json!(null), &json!(null))
    );
}

#[tokio::test]
async fn a_look_at_everything_is_told_with_how_far_it_is() {
    let scene = Scene::new().await;
    let progress = async || scene.get("/api/v1/status").await.body["reexamination"].clone();
    assert_eq!(progress().await, json!(null));
    let begun = scene.store.clock().now();
    let id = |shard: u64| format!("everything.{shard}");
    let pages = async |shard: u64, looked: &[u64]| {
        for (index, looked) in looked.iter().enumerate() {
            let job = scene.store.job(&id(shard)).await.unwrap().unwrap();
            let next = (Stage::Units, Some(index.to_string()));
            scene
                .store
                .advance_job(&job, *looked, Some(next))
                .await
                .unwrap();
        }
    };
    let end = async |shard: u64| {
        let job = scene.store.job(&id(shard)).await.unwrap().unwrap();
        scene.store.advance_job(&job, 0, None).await.unwrap();
    };
    for shard in Store::parts() {
        scene.store.look_at_part(shard).await.unwrap();
    }
    pages(0, &[50, 50]).await;
    let first = progress().await;
    // Nobody has counted them yet.
    assert_eq!(
        (&first["looked"], &first["of"]),
        (&json!(100), &json!(null))
    );
    let parts = Store::parts().end;
    assert_eq!(first["parts"], parts);
    let since = first["since"].as_str().unwrap().parse::<jiff::Timestamp>();
    assert!(since.unwrap().duration_since(begun).as_secs() < 60);
    for shard in Store::parts() {
        pages(shard, &[20]).await;
        end(shard).await;
    }
    assert_eq!(progress().await, json!(null), "all parts are done");

    for shard in Store::parts() {
        scene.store.look_at_part(shard).await.unwrap();
    }
    pages(0, &[60, 60]).await;
    end(0).await;
    pages(1, &[5]).await;
    let second = progress().await;
    assert_eq!(second["looked"], 125);
    assert_eq!(second["of"], 120 + (parts - 1) * 20);
    assert_eq!(second["parts"], parts - 1);
    // One that has more to look at than the last time may have any number left.
    pages(2, &[25]).await;
    let third = progress().await;
    assert_eq!(third["looked"], 150);
    assert_eq!(third["of"], json!(null));
    let jobs = scene.get("/api/v1/status").await.body["jobs"].clone();
    let jobs = jobs.as_array().unwrap();
    assert!(jobs.iter().all(|job| job["shard"].is_null()), "{jobs:?}");
}

#[tokio::test]
async fn the_look_at_what_sources_state_is_one_job_however_many_parts_it_has() {
    let scene = Scene::new().await;
    for shard in Store::parts() {
        let id = format!("believed-again.{shard}");
        let owners = ["drop", "erp"].map(|source| source.parse().unwrap());
        let mut part = Reexamination::new(id).of(owners.into());
        part.shard = Some(shard);
        part.looked = 10;
        scene.store.start_job(part).await.unwrap();
    }
    let jobs = scene.get("/api/v1/status").await.body["jobs"].clone();
    // That of the configuration is another.
    let of_sources = jobs.as_array().unwrap().iter();
    let jobs: Vec<_> = of_sources
        .filter(|job| job["id"] != "configuration")
        .collect();
    let parts = Store::parts().count();
    let shown = jobs
        .iter()
        .map(|job| (&job["owned_by"], &job["looked"], &job["parts"]));
    let shown: Vec<_> = shown.collect();
    let owners = json!(["drop", "erp"]);
    assert_eq!(shown, [(&owners, &json!(parts * 10), &json!(parts))]);
    assert!(jobs[0]["since"].is_string(), "{jobs:?}");
}

#[tokio::test]
async fn what_a_file_lacks_and_stays_is_told_until_it_is_back() {
    let scene = Scene::new().await;
    let (store, now) = (&scene.store, Moment(scene.store.clock().now()));
    let erp: ConnectorName = "erp".parse().unwrap();
    let item = Item::Position {
        product: "OIL".parse().unwrap(),
        location: "north".parse().unwrap(),
    };
    scene.stated("OIL", "north", 7).await;
    let kept = "a.csv lacks 9 of 40 items, such as OIL at north; they stay, as ann has rejected their removal";
    for lacks_it in [true, false] {
        let stated = Stated {
            until: lacks_it.then_some(now),
            ..Stated::now(item.clone())
        };
        store.save_stated(&erp, &[stated]).await.unwrap();
        for source in ["erp", "drop"] {
            let source = source.parse().unwrap();
            let change = |state: &mut FeedState| state.kept = lacks_it.then(|| kept.to_owned());
            store.change_feed(&source, change).await.unwrap();
        }
        let explained = scene
            .get("/api/v1/explain?product=OIL&location=north")
            .await
            .body;
        let feed = &explained["feed"];
        assert_eq!(feed["lacks_it"], lacks_it, "{feed}");
        assert_eq!(feed["had_it_until"].is_string(), lacks_it, "{feed}");
        let status = scene.get("/api/v1/status").await.body;
        let connectors = status["connectors"].as_array().unwrap();
        let read = connectors.iter().find(|it| it["name"] == "drop").unwrap();
        for told in [&feed["kept"], &read["kept"]] {
            assert_eq!(told.as_str(), lacks_it.then_some(kept));
        }
    }
}

#[tokio::test]
async fn a_job_shows_however_much_is_due_before_it() {
    const LOOKED_AT: usize = 100;
    let scene = Scene::new().await;
    let (store, now) = (&scene.store, scene.store.clock().now());
    let job = store.job("configuration").await.unwrap().unwrap();
    // As many as are looked at are due before it, wherever it is listed.
    let earlier = now.checked_sub(SignedDuration::from_hours(1)).unwrap();
    let by = now.checked_add(SignedDuration::from_hours(1)).unwrap();
    let mut shards = Vec::new();
    for shard in Store::due_shards() {
        let page = store.due_page(shard, by, None, 1_000).await.unwrap();
        if page.items.contains(&job.key) {
            shards.push(shard);
        }
    }
    let [shard] = shards[..] else {
        panic!("{shards:?}")
    };
    let mut number = 0;
    while store
        .due_page(shard, by, None, 1_000)
        .await
        .unwrap()
        .items
        .len()
        <= LOOKED_AT
    {
        for _ in 0..500 {
            number += 1;
            let other = Reexamination::new(format!("other-{number}")).at(earlier);
            assert!(store.start_job(other).await.unwrap());
        }
    }
    let shown = store.jobs_under_way([].iter(), LOOKED_AT).await.unwrap();
    let configuration = shown.iter().filter(|it| it.id == "configuration");
    assert_eq!(configuration.count(), 1);
}

#[tokio::test]
async fn a_connector_s_last_webhook_is_told() {
    let scene = Scene::new().await;
    let connector = async || {
        let status = scene.get("/api/v1/status").await.body;
        let connectors = status["connectors"].as_array().unwrap().clone();
        connectors
            .into_iter()
            .find(|it| it["name"] == "erp")
            .unwrap()
    };
    assert_eq!(connector().await["last_webhook"], json!(null));
    for (id, at) in [("a", "2026-01-15T09:30:00Z"), ("b", "2026-01-15T09:00:00Z")] {
        let received = Received {
            id: id.to_owned(),
            connector: "erp".parse().unwrap(),
            at: at.parse().unwrap(),
            method: "POST".to_owned(),
            headers: [].into(),
            body: None,
            parts: 1,
            length: 2,
            kept_days: 30,
            state: ReceivedState::Applied,
            again_at: None,
            tries: 0,
            held: Vec::new(),
        };
        let body = KeptBody::of(b"{}").unwrap();
        scene.store.receive(&received, body).await.unwrap();
    }
    assert_eq!(connector().await["last_webhook"], "2026-01-15T09:30:00Z");
}

//! What time sets off.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use aws_tests::{alerts, eventually};
use jiff::SignedDuration;
use serde_json::json;
use shared::store::intents::IntentState;

use crate::world::{ERP, World};

#[test]
fn a_scheduled_sync_reads_a_file_server_applies_the_difference_and_archives_the_file() {
    World::run(async |world| {
        let root = world.files.root();
        let archive = root.join("archive");
        let (stack, clock) = (&world.stack, world.stack.store.clock());
        for (minutes_ago, number, second, on_hand) in [(10, 1, "first", 14), (5, 2, "second", 2)] {
            let path = root.join("stock.csv");
            let rows = format!("sku,location,on_hand\nSYNC-A,north,20\nSYNC-B,north,{on_hand}\n");
            fs::write(&path, rows).unwrap();
            let at = clock.now() - SignedDuration::from_mins(minutes_ago);
            let at = UNIX_EPOCH + Duration::from_secs(at.as_second().try_into().unwrap());
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(at).unwrap();

            // The rule's own event; two runs never share a minute.
            let slot = clock.now() + SignedDuration::from_mins(-minutes_ago);
            let tick = json!({
                "version": "0",
                "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
                "detail-type": "Scheduled Event",
                "source": "aws.events",
                "account": "000000000000",
                "time": slot.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                "region": "eu-south-1",
                "resources": ["arn:aws:events:eu-south-1:000000000000:rule/lotwire-dev-SyncTick"],
                "detail": {},
            });
            stack.set_off("Sync", &tick).await;
            eventually(&format!("the {second} file is applied"), async || {
                let position = stack.list("positions?product=SYNC-B").await.pop()?;
                (position["on_hand"] == on_hand).then_some(())
            })
            .await;
            // While it is read it is in neither place.
            eventually(&format!("the {second} file is archived"), async || {
                (archive.is_dir() && files(&archive) == number).then_some(())
            })
            .await;
        }
        let ledger = stack.list("ledger?product=SYNC-A&location=north").await;
        assert_eq!(
            ledger.len(),
            1,
            "what is the same in both is written once: {ledger:?}"
        );
        eventually("the vendor is told of what ran low", async || {
            let seen = world.vendor.seen(ERP);
            let low = |seen: &aws_tests::vendor::Seen| seen.body["data"]["product"] == "SYNC-B";
            seen.iter().any(low).then_some(())
        })
        .await;
    });
}

/// How many files there are in a folder, and in those in it.
fn files(folder: &Path) -> usize {
    let there = fs::read_dir(folder)
        .unwrap()
        .map(|found| found.unwrap().path());
    there
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

#[test]
fn what_nobody_announced_the_clocks_next_tick_delivers() {
    World::run(async |world| {
        let store = &world.stack.store;
        let due = store.clock().now();
        let which = alerts::open(store, "never-announced", "erp", "webhook", due).await;
        // The rule fires every minute, and nothing here sets it off.
        eventually("it is delivered", async || {
            let intents = store.intents_of(&which.alert).await.unwrap();
            (intents[0].state == IntentState::Delivered).then_some(())
        })
        .await;
        let seen = world.vendor.seen(ERP);
        let ours = seen
            .iter()
            .filter(|seen| seen.body["data"]["alert"] == "never-announced");
        assert_eq!(ours.count(), 1);
    });
}

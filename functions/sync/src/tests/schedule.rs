//! Runs: once per slot, one at a time, and what they leave behind.

use std::time::Duration;

use futures::future::join_all;
use jiff::SignedDuration;
use shared::run_queue::Started;
use shared::store::feeds::Moment;
use shared::store::runs::{FileOutcome, Lease, RunState};

use super::bench::{Bench, erp, stock_file, tick_at};

#[tokio::test(start_paused = true)]
async fn a_file_becomes_stock_and_is_archived() {
    let bench = Bench::with("").await;
    let report = bench.read("stock.csv", stock_file(3)).await;
    assert_eq!(report.outcome, FileOutcome::Applied);
    assert_eq!((report.counts.rows, report.counts.added), (3, 3));
    assert_eq!(report.counts.drift, 0);
    assert_eq!(
        bench
            .position("SKU-2")
            .await
            .stock(&Default::default())
            .unwrap()
            .on_hand,
        12
    );

    let archived = bench.files_in("archive");
    assert!(archived[0].starts_with("stock.csv."), "{archived:?}");
    assert!(bench.files_in("processing").is_empty() && bench.files_in("error").is_empty());

    let feed = bench.feed().await;
    assert!(feed.suspicions.is_empty() && feed.last_error.is_none());
    assert!(feed.succeeded_at.is_some());
    // The snapshot is as old as the file, not as the reading of it.
    let written_at = bench
        .now()
        .checked_sub(SignedDuration::from_mins(15))
        .unwrap();
    assert_eq!(feed.snapshot_at, Some(Moment(written_at)));
    let run = bench.last_run().await;
    assert_eq!(run.state, RunState::Done);
    assert!(run.checkpoint.is_null());
}

/// What the other paths missed is repaired, and counted.
#[tokio::test(start_paused = true)]
async fn what_differs_is_repaired_and_counted() {
    let bench = Bench::with("").await;
    bench.read("stock.csv", stock_file(100)).await;
    let mut changed = stock_file(100);
    for number in 0..10 {
        let (old, new) = (
            format!("SKU-{number},main,{}\n", 10 + number),
            format!("SKU-{number},main,1\n"),
        );
        assert!(changed.contains(&old));
        changed = changed.replace(&old, &new);
    }
    let report = bench.read("stock.csv", &changed).await;
    assert_eq!((report.counts.drift, report.counts.added), (10, 0));
    assert_eq!(bench.stock().await["SKU-9"], 1);
    assert_eq!(bench.metric("SyncDrift"), [0.0, 10.0]);
    // The same again is no drift.
    let report = bench.read("stock.csv", &changed).await;
    assert_eq!(
        (report.outcome, report.counts.drift),
        (FileOutcome::Applied, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn rows_that_their_source_dates_after_its_last_file_are_told_apart() {
    let bench = Bench::with("").await;
    let row =
        |sku: &str, on_hand: i64, at: &str| format!("{sku},main,{on_hand},2026-01-15T{at}:00Z\n");
    let file = |rows: [String; 2]| format!("sku,location,on_hand,updated_at\n{}", rows.concat());
    // Written at 09:31; the next file at 09:47.
    bench
        .read(
            "a.csv",
            file([row("OIL", 5, "08:00"), row("GAS", 5, "08:00")]),
        )
        .await;
    let report = bench
        .read(
            "b.csv",
            file([row("OIL", 4, "09:40"), row("GAS", 4, "08:00")]),
        )
        .await;
    assert_eq!(
        (report.counts.drift, report.counts.changed_at_source),
        (2, 1)
    );
    assert_eq!(
        bench.stock().await.into_values().collect::<Vec<_>>(),
        [4, 4]
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_tick_five_times_at_once_is_one_run() {
    let bench = Bench::with("").await;
    bench.drop("stock.csv", stock_file(3));
    let ticks = (0..5).map(|_| bench.sync.schedule(tick_at(bench.now()), bench.now()));
    join_all(ticks)
        .await
        .into_iter()
        .for_each(|tick| tick.unwrap());
    bench.drain().await;
    let runs = bench.store.runs(&erp(), None, 10).await.unwrap().items;
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].files.len(), 1);
}

/// The sample invocations are what this function takes.
#[tokio::test(start_paused = true)]
async fn the_sample_tick_queues_the_run_that_the_sample_job_does() {
    let bench = Bench::with("").await;
    bench.drop("stock.csv", stock_file(3));
    let deadline = bench
        .now()
        .checked_add(SignedDuration::from_mins(5))
        .unwrap();
    for (sample, there) in [
        (include_str!("../../../../events/sync/tick.json"), 0),
        (include_str!("../../../../events/sync/job.json"), 3),
    ] {
        let invocation = serde_json::from_str(sample).unwrap();
        let response = bench.sync.handle(invocation, deadline).await.unwrap();
        assert!(response.batch_item_failures.is_empty());
        assert_eq!(bench.there().await, there);
    }
    assert_eq!(bench.last_run().await.slot, "2026-01-15T09:45:00Z");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_no_job_comes_back_alone() {
    let bench = Bench::with("").await;
    let invocation = serde_json::json!({ "Records": [
        { "messageId": "1", "body": "not a job" },
        { "messageId": "2", "body": "{\"connector\":\"erp\",\"slot\":\"unknown\"}" },
    ] });
    let invocation = serde_json::from_value(invocation).unwrap();
    let deadline = bench
        .now()
        .checked_add(SignedDuration::from_mins(5))
        .unwrap();
    let response = bench.sync.handle(invocation, deadline).await.unwrap();
    let failed: Vec<_> = response
        .batch_item_failures
        .iter()
        .map(|it| it.item_identifier.as_str())
        .collect();
    assert_eq!(failed, ["1"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_begun_and_lost_its_worker_is_taken_up_by_the_same_tick_again() {
    let bench = Bench::with("").await;
    let slot = tick_at(bench.now());
    let name = bench.now().to_string();
    assert!(bench.store.begin_run(&erp(), &name).await.unwrap());
    bench.sync.schedule(slot, bench.now()).await.unwrap();
    assert_eq!(bench.deliver(SignedDuration::from_mins(15)).await.0, 1);
    assert_eq!(bench.last_run().await.state, RunState::Done);
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_finds_nothing_new_writes_one_small_row() {
    let bench = Bench::with("").await;
    bench.read("stock.csv", stock_file(3)).await;
    let (folder, hidden) = (bench.folder(), bench.folder().with_extension("hidden"));
    for (is_there, runs) in [(true, 1), (false, 2)] {
        if !is_there {
            // That it cannot be read is news once.
            std::fs::rename(&folder, &hidden).unwrap();
            bench.tick().await;
            bench.drain().await;
        }
        let before = bench.feed().await;
        let spent = bench.store.spent();
        bench.tick().await;
        bench.drain().await;
        let spent = bench.store.spent() - spent;
        assert_eq!(spent.write, 1.0, "{is_there}");
        assert!(spent.read <= 7.0, "{spent:?}");
        let listed = bench.store.runs(&erp(), None, 10).await.unwrap();
        assert_eq!(listed.items.len(), runs);
        let after = bench.feed().await;
        assert!(after.tried_at > before.tried_at);
        assert_eq!(after.last_error.is_some(), !is_there);
        // `CostAlarm` takes off what a run over a file writes, by this.
        assert_eq!(bench.metric("SyncRows"), [3.0]);
    }
    // What there is to do is done.
    std::fs::rename(&hidden, &folder).unwrap();
    let report = bench.read("stock.csv", stock_file(4)).await;
    assert_eq!((report.counts.added, bench.there().await), (1, 4));
    assert_eq!(bench.feed().await.last_error, None);
}

#[tokio::test(start_paused = true)]
async fn what_a_file_changes_is_counted_as_it_is_applied() {
    const ROWS: usize = 1_000;
    let bench = Bench::with("").await;
    bench.drop("stock.csv", stock_file(ROWS));
    bench.tick().await;
    let applied = || bench.metric("EventsApplied").iter().sum::<f64>();
    // No time is left after each part.
    for _ in 0..100 {
        if applied() > 0.0 {
            break;
        }
        bench.deliver(SignedDuration::ZERO).await;
    }
    let counted = applied();
    assert!(counted > 0.0 && counted < ROWS as f64, "{counted}");
    bench.drain().await;
    assert_eq!(applied(), ROWS as f64);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_being_run_is_not_run_beside_it() {
    let bench = Bench::with("").await;
    bench.drop("stock.csv", stock_file(3));
    let until = bench
        .now()
        .checked_add(SignedDuration::from_mins(17))
        .unwrap();
    let lease = Lease {
        slot: "earlier".into(),
        holder: "another worker".into(),
        until: Moment(until),
    };
    assert_eq!(
        bench.store.take_run_lease(&erp(), &lease).await.unwrap(),
        None
    );
    let started = bench.sync.start(&erp()).await.unwrap();
    assert_eq!(
        started,
        Started::Running {
            slot: "earlier".into()
        }
    );
    bench.tick().await;
    bench.drain().await;
    let run = bench.last_run().await;
    assert_eq!(run.state, RunState::Skipped);
    assert!(run.note.unwrap().contains("earlier"));
    assert!(bench.stock().await.is_empty());
    // The other worker died: its lease ends, and the next slot takes over.
    bench.tick().await;
    bench.drain().await;
    assert_eq!(bench.there().await, 3);
}

/// Its message was lost, or its workers died until it was given up.
#[tokio::test(start_paused = true)]
async fn a_run_that_was_left_behind_is_ended_by_the_next_one() {
    let bench = Bench::with("").await;
    let earlier = bench.now().to_string();
    assert!(bench.store.begin_run(&erp(), &earlier).await.unwrap());
    bench.tick().await;
    bench.drain().await;
    let left = bench.store.run(&erp(), &earlier).await.unwrap().unwrap();
    assert_eq!(left.data.state, RunState::Failed);
    let next = bench.last_run().await;
    assert_eq!(next.state, RunState::Done);
    assert!(left.data.note.unwrap().contains(&next.slot));
    assert!(left.data.finished_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_person_can_start_a_run() {
    let bench = Bench::with("").await;
    bench.drop("stock.csv", stock_file(3));
    let started = bench.sync.start(&erp()).await.unwrap();
    assert!(matches!(started, Started::Queued { .. }));
    bench.drain().await;
    assert_eq!(bench.there().await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_has_just_arrived_is_waited_for() {
    let bench = Bench::with("ready = \"stable\"\nstable_for = \"30s\"").await;
    bench.drop("stock.csv", stock_file(3));
    bench.tick().await;
    let before = bench.now();
    bench.drain().await;
    assert!(bench.now().duration_since(before) >= SignedDuration::from_secs(30));
    assert_eq!(bench.there().await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_cannot_be_read_changes_nothing_but_the_last_error() {
    let bench = Bench::with("").await;
    bench.read("stock.csv", stock_file(3)).await;
    let before = bench.feed().await;
    let (folder, hidden) = (bench.folder(), bench.folder().with_extension("hidden"));
    std::fs::rename(&folder, &hidden).unwrap();
    bench.tick().await;
    bench.drain().await;
    let feed = bench.feed().await;
    assert!(feed.last_error.unwrap().contains("open folder"));
    assert_eq!(
        (feed.succeeded_at, feed.snapshot_at),
        (before.succeeded_at, before.snapshot_at)
    );
    assert_eq!(bench.last_run().await.state, RunState::Failed);
    assert_eq!(bench.there().await, 3);
    std::fs::rename(&hidden, &folder).unwrap();
    bench.tick().await;
    bench.drain().await;
    assert_eq!(bench.feed().await.last_error, None);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_comes_again_has_no_effect_and_an_older_one_neither() {
    let bench = Bench::with("").await;
    let (first, second) = (
        bench.now(),
        bench
            .now()
            .checked_add(SignedDuration::from_mins(5))
            .unwrap(),
    );
    bench.drop_at("stock.csv", stock_file(3), first);
    bench.read_what_is_there().await;
    bench.drop_at("stock.csv", stock_file(3), first);
    let report = bench.read_what_is_there().await;
    assert_eq!(report.outcome, FileOutcome::Duplicate);
    let newer = stock_file(3).replace("SKU-1,main,11", "SKU-1,main,7");
    bench.drop_at("stock.csv", newer, second);
    bench.read_what_is_there().await;
    let earlier = first.checked_add(SignedDuration::from_mins(1)).unwrap();
    bench.drop_at(
        "stock.csv",
        "sku,location,on_hand\nSKU-0,main,99\n",
        earlier,
    );
    let report = bench.read_what_is_there().await;
    assert_eq!(report.outcome, FileOutcome::Older);
    assert!(report.sentences[0].contains("older"));
    assert_eq!(
        bench.stock().await.into_values().collect::<Vec<_>>(),
        [10, 7, 12]
    );
    assert_eq!(bench.files_in("archive").len(), 4);
    assert!(bench.files_in("processing").is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_same_content_may_come_all_day() {
    let bench = Bench::with("").await;
    for count in 1..=4 {
        let report = bench.read("stock.csv", stock_file(3)).await;
        assert_eq!(report.outcome, FileOutcome::Applied);
        assert_eq!(bench.files_in("archive").len(), count);
    }
    assert_eq!(bench.position("SKU-0").await.revision, 1);
}

/// The trap "stale full sync racing a webhook".
#[tokio::test(start_paused = true)]
async fn a_file_from_before_a_webhook_does_not_undo_it() {
    let bench = Bench::with("").await;
    bench.read("stock.csv", stock_file(3)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let exported_at = bench.now();
    let sold_at = exported_at
        .checked_add(SignedDuration::from_secs(1))
        .unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    bench.state("SKU-0", 9, sold_at).await;
    bench.drop_at("stock.csv", stock_file(3), exported_at);
    let report = bench.read_what_is_there().await;
    assert_eq!(report.outcome, FileOutcome::Applied);
    assert_eq!(bench.stock().await["SKU-0"], 9);
    // A file from after it has the last word.
    let report = bench.read("stock.csv", stock_file(3)).await;
    assert_eq!((bench.stock().await["SKU-0"], report.counts.drift), (10, 1));
}

/// As after `kill -9`: a lease that nobody renews, a run that is not over, half a copy, and a file that
/// a worker had claimed.
#[tokio::test(start_paused = true)]
async fn what_a_killed_process_left_is_taken_up_at_the_next_start() {
    let bench = Bench::with("").await;
    bench.drop("s.csv", stock_file(3));
    let Started::Queued { slot } = bench.sync.start(&erp()).await.unwrap() else {
        panic!("nothing is going");
    };
    let claimed = bench.folder().join("processing");
    std::fs::create_dir(&claimed).unwrap();
    std::fs::rename(bench.folder().join("s.csv"), claimed.join("s.csv")).unwrap();
    let lease = Lease {
        slot,
        holder: "the process that died".to_owned(),
        until: Moment(bench.now() + SignedDuration::from_mins(2)),
    };
    bench.store.take_run_lease(&erp(), &lease).await.unwrap();
    std::fs::write(bench.sync.scratch.join("dead.feed"), "sku").unwrap();
    let keep = bench.sync.scratch.join("notes.txt");
    std::fs::write(&keep, "mine").unwrap();

    assert_eq!(bench.sync.recover().await.unwrap(), 1);
    assert!(!bench.sync.scratch.join("dead.feed").exists() && keep.exists());
    bench.drain().await;
    assert_eq!(bench.there().await, 3);
    assert!(bench.last_run().await.state.is_over());
    assert_eq!(bench.sync.recover().await.unwrap(), 0);
}

//! What is believed of a file, and what is told about the rest.

use jiff::SignedDuration;
use shared::domain::unit::UnitState;
use shared::store::quarantine::HeldState;
use shared::store::runs::{FileOutcome, FileReport};

use super::bench::{Bench, erp, stock_file};

const HEADER: &str = "sku,location,on_hand\n";

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_locks_no_later_file_out() {
    let bench = Bench::with("").await;
    let ahead = bench.now() + SignedDuration::from_hours(6);
    bench.drop_at("s.csv", stock_file(3), ahead);
    assert_eq!(
        bench.read_what_is_there().await.outcome,
        FileOutcome::Applied
    );
    let next = stock_file(3).replace("SKU-0,main,10", "SKU-0,main,9");
    let report = bench.read("s.csv", next).await;
    assert_eq!(
        (report.outcome, report.counts.drift),
        (FileOutcome::Applied, 1),
        "{report:?}"
    );
    // And while it stays ahead, each of its files counts.
    let ahead = bench.now() + SignedDuration::from_hours(6);
    bench.drop_at(
        "s.csv",
        stock_file(3).replace("SKU-0,main,10", "SKU-0,main,8"),
        ahead,
    );
    let report = bench.read_what_is_there().await;
    assert_eq!(
        (report.outcome, report.counts.drift),
        (FileOutcome::Applied, 1),
        "{report:?}"
    );
    assert_eq!(bench.stock().await["SKU-0"], 8);
}

#[tokio::test(start_paused = true)]
async fn rows_dated_after_their_file_count_with_the_files_time_and_are_told() {
    let bench = Bench::with("").await;
    let rows = "sku,location,on_hand,updated_at\nA,main,5,2026-01-15T14:00:00Z\nB,main,5,2026-01-15T09:31:00Z\n";
    let report = bench.read("s.csv", rows).await;
    assert_eq!(
        (report.outcome, report.counts.added),
        (FileOutcome::Applied, 2)
    );
    let until = |position: shared::domain::Position| position.stated_by(&erp()).unwrap().version.at;
    assert!(until(bench.position("A").await) <= bench.now());
    let remarks = bench.feed().await.remarks;
    assert!(remarks["from_the_future"].contains("1 row "), "{remarks:?}");
    assert!(
        remarks["from_the_future"].contains("time_zone"),
        "{remarks:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_file_of_which_little_can_be_used_is_no_good_file() {
    let bench = Bench::with("grace = 1").await;
    bench.read("s.csv", stock_file(20)).await;
    let good = bench.feed().await;
    for spoilt in [
        stock_file(20).replace(",main,", ",roma,"),
        stock_file(20)
            .replace('\n', " pcs\n")
            .replace("on_hand pcs", "on_hand"),
    ] {
        let report = bench.read("s.csv", spoilt).await;
        assert_eq!(report.outcome, FileOutcome::Suspect, "{report:?}");
        assert!(
            report.sentences[0].contains("20 of 20 rows cannot be used"),
            "{report:?}"
        );
        let feed = bench.feed().await;
        assert_eq!(
            (feed.succeeded_at, feed.snapshot_at),
            (good.succeeded_at, good.snapshot_at)
        );
        assert_eq!(bench.there().await, 20);
    }
    // Nine of twenty may be unusable, by the default of half.
    let mut rows = stock_file(20);
    for number in 0..9 {
        rows = rows.replace(
            &format!("SKU-{number},main,{}\n", 10 + number),
            &format!("SKU-{number},main,x\n"),
        );
    }
    let report = bench.read("s.csv", rows).await;
    assert_eq!(report.outcome, FileOutcome::Applied, "{report:?}");
    assert!(bench.feed().await.suspicions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nul_bytes_in_the_place_of_rows_are_no_end() {
    let bench = Bench::with("grace = 1\nmax_removals = { count = 100, percent = 100 }").await;
    bench.read("s.csv", stock_file(30)).await;
    let whole = stock_file(30).into_bytes();
    for cut in [whole.len() * 9 / 10, whole.len() - 14, whole.len() - 2] {
        for end in [&b""[..], b"\n"] {
            let mut padded = whole[..cut].to_vec();
            padded.resize(whole.len() - end.len().min(1), 0);
            padded.extend(end);
            for _ in 0..2 {
                let report = bench.read("s.csv", &padded).await;
                assert_eq!(
                    (report.outcome, report.counts.removed),
                    (FileOutcome::Suspect, 0),
                    "{cut}"
                );
                assert!(report.sentences.join(" ").contains("NUL"), "{report:?}");
            }
        }
    }
    assert_eq!(bench.there().await, 30);
    let stock = bench.stock().await;
    assert!((0..30).all(|number| stock[&format!("SKU-{number}")] == 10 + number));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_its_lines_and_is_cut_again_and_again_is_never_believed() {
    let bench = Bench::with("").await;
    assert_eq!(
        bench.read("s.csv", stock_file(12)).await.outcome,
        FileOutcome::Applied
    );
    let whole = stock_file(12);
    for _ in 0..5 {
        let report = bench.read("s.csv", whole.trim_end()).await;
        assert_eq!(report.outcome, FileOutcome::Suspect, "{report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_never_ends_its_last_line_is_learnt() {
    let bench = Bench::with("").await;
    let bare = |rows| stock_file(rows).trim_end().to_owned();
    for rows in [3, 4] {
        let report = bench.read("s.csv", bare(rows)).await;
        assert_eq!(report.outcome, FileOutcome::Suspect);
        assert!(
            report.sentences[0].contains("final_newline = false"),
            "{report:?}"
        );
    }
    let report = bench.read("s.csv", bare(5)).await;
    assert_eq!(
        (report.outcome, report.counts.added),
        (FileOutcome::Applied, 2),
        "{report:?}"
    );
    assert_eq!(bench.there().await, 5);
    assert_eq!(
        bench.read("s.csv", bare(5)).await.outcome,
        FileOutcome::Applied
    );
    // Another exporter ends its lines: learnt the same way.
    let outcomes = [
        bench.read("s.csv", stock_file(5)).await.outcome,
        bench.read("s.csv", stock_file(6)).await.outcome,
        bench.read("s.csv", stock_file(5)).await.outcome,
    ];
    assert_eq!(
        outcomes,
        [
            FileOutcome::Suspect,
            FileOutcome::Suspect,
            FileOutcome::Applied
        ]
    );
    // One that is cut in between is still cut.
    let whole = stock_file(5);
    let report = bench.read("s.csv", &whole[..whole.len() - 1]).await;
    assert_eq!(report.outcome, FileOutcome::Suspect);
    // Or it is said once.
    let told = Bench::with("format = { final_newline = false }").await;
    assert_eq!(
        told.read("s.csv", bare(3)).await.outcome,
        FileOutcome::Applied
    );
    assert_eq!(told.there().await, 3);
}

/// It may be one file that was cut, and is sent again and again.
#[tokio::test(start_paused = true)]
async fn the_same_content_sent_again_teaches_nothing_of_how_files_end() {
    let bench = Bench::with("").await;
    let bare = |rows| stock_file(rows).trim_end().to_owned();
    for _ in 0..5 {
        let report = bench.read("s.csv", bare(3)).await;
        assert_eq!(report.outcome, FileOutcome::Suspect);
    }
    let outcomes = [
        bench.read("s.csv", bare(4)).await.outcome,
        bench.read("s.csv", bare(5)).await.outcome,
    ];
    assert_eq!(outcomes, [FileOutcome::Suspect, FileOutcome::Applied]);
}

/// What a first look finds sold was not sold today, unless its row says when.
#[tokio::test(start_paused = true)]
async fn vehicles_that_the_first_file_has_as_sold_are_no_demand_of_that_day() {
    let bench = Bench::with("locations = { main = \"milano\" }").await;
    let vins = [
        "SCBCG2ZG7TC031207",
        "SCBDG4ZG1TC031655",
        "SJAAX14V4RC004321",
    ];
    let file = |states: [&str; 3], first: &str| {
        let row = |(vin, state): (&&str, &str)| {
            let updated = if *vin == vins[0] { first } else { "" };
            format!("{vin},Bentley,Bentayga,main,{state},{updated}\n")
        };
        let rows = vins.iter().zip(states).map(row).collect::<String>();
        format!("VIN,Make,Model,Location,Status,Last updated\n{rows}")
    };
    let sold_on = async |vin: &str| {
        let demand = bench.unit(vin).await.demand;
        let days = demand.iter().map(|sale| sale.day.to_string());
        days.collect::<Vec<_>>()
    };
    let dated = "2026-01-09T10:00:00Z";
    let states = ["Sold", "Sold", "Available"];
    bench.read("v.csv", file(states, dated)).await;
    assert_eq!(sold_on(vins[0]).await, ["2026-01-09"], "its row says when");
    assert_eq!(sold_on(vins[1]).await, [""; 0]);
    // What is sold from then on is.
    let states = ["Sold", "Sold", "Sold"];
    bench.read("v.csv", file(states, dated)).await;
    assert_eq!(sold_on(vins[1]).await, [""; 0]);
    assert_eq!(sold_on(vins[2]).await, ["2026-01-15"]);
}

/// It was there before, whatever its word meant; what comes with the word is new.
#[tokio::test(start_paused = true)]
async fn vehicles_that_were_listed_by_a_word_that_is_mapped_later_are_no_demand_of_that_day() {
    let places = "locations = { main = \"milano\" }";
    let bench = Bench::with(places).await;
    let vins = [
        "SCBCG2ZG7TC031207",
        "SCBDG4ZG1TC031655",
        "SJAAX14V4RC004321",
        "ZFA31200003123456",
    ];
    let file = |states: &[&str]| {
        let rows = vins.iter().zip(states);
        let rows = rows.map(|(vin, state)| format!("{vin},Bentley,Bentayga,main,{state}\n"));
        format!(
            "VIN,Make,Model,Location,Status\n{}",
            rows.collect::<String>()
        )
    };
    let (old, there) = ("Consegnato", "Available");
    bench.read("v.csv", file(&[old, there])).await;
    bench.read("v.csv", file(&[old, there, old])).await;
    let mapped = format!("{places}\nstatuses = {{ {old} = \"sold\" }}");
    bench.reconfigure(&mapped).await;
    bench.read("v.csv", file(&[old, old, old, old])).await;
    for (vin, is_demand) in vins.iter().zip([false, true, false, true]) {
        let unit = bench.unit(vin).await;
        let state = unit.resolve(&bench.authority().await).state;
        assert_eq!(state, UnitState::Sold, "{vin}");
        assert_eq!(unit.demand.len(), usize::from(is_demand), "{vin}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_many_rows_with_one_kind_of_fault_one_entry_stands_for_the_rest() {
    let bench = Bench::with("").await;
    let file = |spoilt: usize, without: usize| {
        let rows = (0..2_500).map(|n| match n {
            _ if n < spoilt => format!("BAD-{n},main,many\n"),
            _ if n < spoilt + without => format!("NONE-{n},main,\n"),
            n => format!("SKU-{n},main,{n}\n"),
        });
        format!("{HEADER}{}", rows.collect::<String>())
    };
    let held = async || {
        let (mut all, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = bench
                .store
                .quarantined(HeldState::Open, cursor.as_deref(), 100);
            let page = page.await.unwrap();
            all.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return all;
            }
        }
    };
    for _ in 0..2 {
        let report = bench.read("s.csv", file(1_100, 5)).await;
        assert_eq!(report.counts.quarantined, 1_105);
        let all = held().await;
        let of = |reason: &str| all.iter().filter(|it| it.reason == reason).count();
        assert_eq!((of("unreadable"), of("no_data")), (21, 5));
        let rest: Vec<_> = all.iter().filter(|it| it.about.len() > 1).collect();
        let [rest] = rest[..] else { panic!("{rest:?}") };
        assert_eq!((&*rest.row, &*rest.place), ("BAD-20,main,many", "s.csv:22"));
        assert!(
            rest.sentence.contains("\"many\" cannot be read"),
            "{rest:?}"
        );
        assert!(rest.sentence.contains("More rows"), "{rest:?}");
        assert!(rest.about.contains(&"BAD-21".to_owned()) && rest.more);
    }
    assert!(bench.feed().await.remarks["unreadable"].contains("1100 rows"));
    // With few of them there is no rest.
    bench.read("s.csv", file(3, 0)).await;
    let all = held().await;
    assert_eq!(all.len(), 3, "{all:?}");
}

/// A person has decided about the rows that were there.
#[tokio::test(start_paused = true)]
async fn who_dismisses_many_rows_hears_of_a_row_that_is_wrong_for_the_first_time() {
    let bench = Bench::with("").await;
    let file = |spoilt: usize, also: &str| {
        let rows = (0..2_000).map(|n| match n {
            _ if n < spoilt => format!("BAD-{n},main,many\n"),
            n => format!("SKU-{n},main,{n}\n"),
        });
        format!("{HEADER}{}{also}", rows.collect::<String>())
    };
    let open = async || {
        let open = bench.store.quarantined(HeldState::Open, None, 100).await;
        open.unwrap().items
    };
    let dismiss = async || {
        for held in open().await {
            let dismissed = bench.store.dismiss_quarantined(&held.id, "me", "old stock");
            dismissed.await.unwrap();
        }
    };
    bench.read("s.csv", file(25, "")).await;
    assert_eq!(open().await.len(), 21);
    dismiss().await;
    bench.read("s.csv", file(25, "")).await;
    assert_eq!(open().await, []);
    bench.read("s.csv", file(25, "PAD-NEW,main,two\n")).await;
    let held = open().await;
    assert_eq!(held.len(), 1, "{held:?}");
    assert!(held[0].about.contains(&"PAD-NEW".to_owned()), "{held:?}");
    dismiss().await;
    // Of more than it can name it is not known whether all were there.
    for also in ["", "PAD-NEW,main,two\n"] {
        bench.read("s.csv", file(400, also)).await;
        assert!(open().await.iter().any(|held| held.more), "{also}");
        dismiss().await;
    }
}

#[tokio::test(start_paused = true)]
async fn prices_that_are_all_a_hundredfold_are_held_and_told_together() {
    let bench = Bench::with("locations = { main = \"milano\" }").await;
    let vins = [
        "SCBCG2ZG7TC031207",
        "SCBDG4ZG1TC031655",
        "SJAAX14V4RC004321",
    ];
    let file = |factor: u32| {
        let row = |vin: &&str| format!("{vin},Bentley,Bentayga,{}\n", 150_000 * factor);
        format!(
            "VIN,Make,Model,Price\n{}",
            vins.iter().map(row).collect::<String>()
        )
    };
    bench.read("v.csv", file(1)).await;
    let report = bench.read("v.csv", file(100)).await;
    assert_eq!(report.outcome, FileOutcome::Applied);
    let told = |report: &FileReport| report.sentences.join(" ");
    assert!(
        told(&report).contains("3 rows with values that cannot be believed"),
        "{report:?}"
    );
    assert!(told(&report).contains(vins[0]), "{report:?}");
    assert!(bench.feed().await.remarks.contains_key("held_for_review"));
    let price = bench.unit(vins[0]).await;
    let price = format!("{:?}", price.field("price", &[]));
    assert!(price.contains("150000"), "{price}");
    // Nothing is held any more: nothing is left to tell.
    bench.read("v.csv", file(1)).await;
    assert!(bench.feed().await.remarks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_same_bad_rows_in_the_next_file_are_no_new_entries() {
    let bench = Bench::with("").await;
    let rows = "A,main,x\nB,main,1\nC,roma,1\nD,roma,2\nE,main,1\nF,main,1\nG,main,1\n";
    bench.read("monday.csv", format!("{HEADER}{rows}")).await;
    let entries = async || {
        bench
            .store
            .quarantined(HeldState::Open, None, 20)
            .await
            .unwrap()
            .items
    };
    // One for the row, and one for the place however many rows name it.
    assert_eq!(entries().await.len(), 2, "{:?}", entries().await);
    bench
        .read("tuesday.csv", format!("{HEADER}NEW,main,4\n{rows}"))
        .await;
    assert_eq!(entries().await.len(), 2);
}

/// Two sources read one file, each its own place; and one that was read once is read no more.
#[tokio::test(start_paused = true)]
async fn rows_of_a_place_that_the_source_is_not_read_for_do_not_count_as_unusable() {
    let file = |other: &str, units: u32| -> String {
        let rows = (0..10).map(|n| match n {
            0..3 => format!("SKU-{n},main,{units}\n"),
            _ => format!("SKU-{n},{other},{units}\n"),
        });
        format!("{HEADER}{}", rows.collect::<String>())
    };
    let bench = Bench::with("locations = { main = \"milano\" }").await;
    // What is known by that name is ours all the same: a place of another source.
    let report = bench.read("s.csv", file("milano", 1)).await;
    assert_eq!(
        (report.outcome, report.counts.added),
        (FileOutcome::Applied, 3),
        "{report:?}"
    );
    assert!(
        bench.feed().await.remarks["unknown_location"].contains("7 rows"),
        "they are told"
    );
    // Nobody knows these: the column may be garbled.
    let report = bench.read("s.csv", file("x9", 2)).await;
    assert_eq!(report.outcome, FileOutcome::Suspect, "{report:?}");
    assert!(
        report.sentences[0].contains("min_usable_percent"),
        "{report:?}"
    );
    // None is of use.
    let none = file("milano", 3).replace(",main,", ",milano,");
    let report = bench.read("s.csv", none).await;
    assert_eq!(report.outcome, FileOutcome::Suspect, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_place_that_was_taken_out_of_the_configuration_do_not_count_as_unusable() {
    let file = |units: u32| -> String {
        let places = ["main", "second", "second", "second"];
        let rows = places.iter().enumerate();
        let rows = rows.map(|(n, place)| format!("SKU-{n},{place},{units}\n"));
        format!("{HEADER}{}", rows.collect::<String>())
    };
    let both = "locations = { main = \"milano\", second = \"main\" }";
    let bench = Bench::with(both).await;
    assert_eq!(bench.read("s.csv", file(1)).await.counts.added, 4);
    bench.reconfigure("locations = { main = \"milano\" }").await;
    for units in 2..5 {
        let report = bench.read("s.csv", file(units)).await;
        assert_eq!(report.outcome, FileOutcome::Applied, "{report:?}");
        assert_eq!(bench.stock().await["SKU-0"], i64::from(units));
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_file_is_told_and_a_strange_name_is_set_aside_alone() {
    let bench = Bench::with("").await;
    let report = bench.read("s.csv", "").await;
    assert_eq!(report.outcome, FileOutcome::Refused);
    assert!(bench.feed().await.suspicions[0].contains("empty"));
    bench.drop("a\u{7}.csv", stock_file(2));
    let report = bench.read("b.csv", stock_file(3)).await;
    assert_eq!(
        (report.outcome, report.counts.added),
        (FileOutcome::Applied, 3)
    );
    let feed = bench.feed().await;
    assert!(feed.suspicions.is_empty());
    assert!(
        feed.remarks["file_names"].contains("a\\u{7}.csv"),
        "{feed:?}"
    );
    std::fs::remove_file(bench.folder().join("a\u{7}.csv")).unwrap();
    bench.read("b.csv", stock_file(3)).await;
    assert!(bench.feed().await.remarks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_blank_state_says_nothing_and_a_state_that_is_not_read_is_told() {
    let bench = Bench::with("locations = { main = \"milano\" }").await;
    let file = |header: &str, one: &str, two: &str| {
        format!(
            "VIN,Make,Model,{header}\nSCBCG2ZG7TC031207,Bentley,Bentayga,{one}\nSCBDG4ZG1TC031655,Bentley,Bentayga,{two}\n"
        )
    };
    bench.read("v.csv", file("Status", "Sold", "")).await;
    let state = async |vin: &str| {
        bench
            .unit(vin)
            .await
            .resolve(&shared::domain::Authority::default())
            .state
    };
    assert_eq!(
        state("SCBDG4ZG1TC031655").await,
        UnitState::InStock,
        "it stands in a stock file"
    );
    bench.read("v.csv", file("Status", "", "Sold")).await;
    assert_eq!(
        state("SCBCG2ZG7TC031207").await,
        UnitState::Sold,
        "nothing was said of it"
    );
    // Without the column each would be in stock again.
    let report = bench.read("v.csv", "VIN,Make,Model\nSCBCG2ZG7TC031207,Bentley,Bentayga\nSCBDG4ZG1TC031655,Bentley,Bentayga\n").await;
    assert_eq!(report.outcome, FileOutcome::Refused, "{report:?}");
    assert_eq!(state("SCBDG4ZG1TC031655").await, UnitState::Sold);
    let of_places = Bench::with("").await;
    of_places
        .read("p.csv", "sku,Dealer,on_hand\nA,main,5\nB,D-001,6\n")
        .await;
    let remarks = of_places.feed().await.remarks;
    let said = "The column \"Dealer\" holds the names of places and is not read";
    assert!(remarks["unread_place"].contains(said), "{remarks:?}");
    let unread = Bench::with("locations = { main = \"milano\" }").await;
    unread
        .read("v.csv", file("Deal Status Text", "x", "y"))
        .await;
    let remarks = unread.feed().await.remarks;
    assert!(
        remarks["unread_state"].contains("Deal Status Text"),
        "{remarks:?}"
    );
}

//! What is left after a kill, a torn write, a full disk.

use super::*;
use crate::engine::{EmbeddedAws, Settings};
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use shared::store::INSUFFICIENT_STORAGE;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// What a process that is killed now leaves behind, opened by the next one.
fn after_a_kill(directory: &Path) -> (tempfile::TempDir, EmbeddedAws) {
    after_a_kill_in_a_write(directory, None)
}

/// The same, when it is killed with so many bytes written to the redo log.
fn after_a_kill_in_a_write(
    directory: &Path,
    written: Option<u64>,
) -> (tempfile::TempDir, EmbeddedAws) {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        // The memory that SQLite's processes share is not a file after the last of them.
        if !entry.file_name().to_string_lossy().ends_with("-shm") {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    if let Some(length) = written {
        let redo = std::fs::File::options()
            .write(true)
            .open(redo_log(copy.path()));
        redo.unwrap().set_len(length).unwrap();
    }
    let aws = EmbeddedAws::open(copy.path(), Settings::default()).unwrap();
    (copy, aws)
}

fn redo_log(directory: &Path) -> std::path::PathBuf {
    directory.join("tables.db-redo")
}

async fn items(aws: &EmbeddedAws) -> Vec<BTreeMap<String, AttributeValue>> {
    let scanned = aws.dynamodb().scan().table_name(TABLE).send().await;
    let items = scanned.unwrap().items.unwrap();
    items.into_iter().map(BTreeMap::from_iter).collect()
}

fn kept_tables() -> (tempfile::TempDir, EmbeddedAws) {
    let directory = tempfile::tempdir().unwrap();
    let aws = EmbeddedAws::open(directory.path(), Settings::default()).unwrap();
    aws.tables().ensure_table(&table()).unwrap();
    (directory, aws)
}

#[tokio::test]
async fn a_kill_changes_no_item_and_no_number_of_a_stream_record() {
    let (directory, aws) = kept_tables();
    for number in 0..20 {
        put(&aws, &format!("key-{}", number % 5), &number.to_string()).await;
    }
    // Enough for SQLite's own commit, and what comes after it.
    for number in 0..12 {
        let long = "x".repeat(390_000);
        put(&aws, &format!("long-{}", number % 3), &long).await;
    }
    let delete = aws.dynamodb().delete_item().table_name(TABLE);
    delete.key("pk", text("key-1")).send().await.unwrap();
    let (_copy, killed) = after_a_kill(directory.path());
    assert_eq!(items(&killed).await, items(&aws).await);
    let changes = |aws: &EmbeddedAws| aws.tables().changes(TABLE, None).unwrap();
    assert_eq!(changes(&killed), changes(&aws));
    // It goes on from there, through a second kill too.
    put(&killed, "key-1", "back").await;
    let (_second_copy, again) = after_a_kill(_copy.path());
    assert_eq!(changes(&again).len(), changes(&aws).len() + 1);
    assert_eq!(changes(&again), changes(&killed));
}

#[tokio::test]
async fn a_transaction_that_is_cancelled_leaves_nothing_after_a_kill_either() {
    let (directory, aws) = kept_tables();
    put(&aws, "there", "1").await;
    let new = Put::builder().table_name(TABLE).item("pk", text("new"));
    let taken = Put::builder()
        .table_name(TABLE)
        .item("pk", text("there"))
        .condition_expression("attribute_not_exists(pk)");
    let write = |put: aws_sdk_dynamodb::types::builders::PutBuilder| {
        TransactWriteItem::builder()
            .put(put.build().unwrap())
            .build()
    };
    let cancelled = aws.dynamodb().transact_write_items();
    let cancelled = cancelled
        .transact_items(write(new))
        .transact_items(write(taken));
    cancelled.send().await.unwrap_err();
    put(&aws, "after", "2").await;
    assert_eq!(items(&aws).await.len(), 2);
    let (_copy, killed) = after_a_kill(directory.path());
    assert_eq!(items(&killed).await, items(&aws).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_are_each_answered_and_each_there() {
    let (directory, aws) = kept_tables();
    let counted: Vec<_> = (0..64)
        .map(|number| {
            let aws = aws.clone();
            tokio::spawn(async move {
                let update = aws.dynamodb().update_item().table_name(TABLE);
                let update = update
                    .key("pk", text("count"))
                    .update_expression("ADD n :one")
                    .expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
                update.send().await.unwrap();
                put(&aws, &format!("own-{number}"), "x").await;
                let get = aws.dynamodb().get_item().table_name(TABLE);
                let got = get.key("pk", text(&format!("own-{number}"))).send().await;
                assert!(got.unwrap().item.is_some(), "what was answered is read");
            })
        })
        .collect();
    for one in counted {
        one.await.unwrap();
    }
    let (_copy, killed) = after_a_kill(directory.path());
    let count = items(&killed).await;
    let count = count.iter().find_map(|item| item.get("n"));
    assert_eq!(count, Some(&AttributeValue::N("64".to_owned())));
    assert_eq!(items(&killed).await.len(), 65);
}

#[tokio::test]
async fn tables_that_had_to_be_opened_again_have_what_was_answered() {
    let (_directory, aws) = kept_tables();
    put(&aws, "a", "1").await;
    let before = aws.tables().changes(TABLE, None).unwrap();
    aws.tables()
        .turns
        .take(|database| database.open_again(&"a test"));
    assert_eq!(aws.tables().changes(TABLE, None).unwrap(), before);
    put(&aws, "b", "2").await;
    assert_eq!(items(&aws).await.len(), 2);
}

#[tokio::test]
async fn a_write_that_was_cut_short_is_dropped_and_all_before_it_is_there() {
    let (directory, aws) = kept_tables();
    put(&aws, "a", "1").await;
    put(&aws, "b", "2").await;
    let before = items(&aws).await;
    let changes = aws.tables().changes(TABLE, None).unwrap();
    let length = || std::fs::metadata(redo_log(directory.path())).unwrap().len();
    let whole = length();
    put(&aws, "a", "torn").await;
    let torn = length();
    assert!(torn > whole + 8, "the write is in the log");
    for length in [whole + 1, whole + 8, (whole + torn) / 2, torn - 1] {
        let (_copy, opened) = after_a_kill_in_a_write(directory.path(), Some(length));
        assert_eq!(items(&opened).await, before, "cut to {length} bytes");
        assert_eq!(opened.tables().changes(TABLE, None).unwrap(), changes);
    }
}

/// Names the directory to the child process of the next tests.
const CHILD: &str = "EMBEDDED_TABLES_CHILD";
/// Bytes in each item that it writes: SQLite commits after some hundred of them.
const LONG: usize = 64 * 1024;

/// A process that writes one item after the other, each under its number, and says of each what came of
/// it. A file of it holds at most so many kilobytes.
fn writer(directory: &Path, first: usize, kilobytes: Option<u32>) -> Child {
    let limit = kilobytes.map_or_else(String::new, |limit| {
        // Ignored, the signal becomes an error of the write, as of a full disk.
        format!("trap '' XFSZ; ulimit -S -f {limit};")
    });
    Command::new("bash")
        .arg("-c")
        .arg(format!("{limit} exec \"$0\" \"$@\""))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg("engine::tables::tests::durability::write_until_killed")
        .env(CHILD, format!("{first} {}", directory.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The number of each write, and whether it was acknowledged.
fn said(child: &mut Child) -> impl Iterator<Item = (bool, usize)> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.filter_map(|line| {
        let line = line.unwrap();
        let (word, number) = line.split_once(' ')?;
        let acknowledged = match word {
            "acknowledged" => true,
            "refused" => false,
            _ => return None,
        };
        Some((acknowledged, number.parse().ok()?))
    })
}

fn has(aws: &EmbeddedAws, number: usize) -> bool {
    let key = json!({ "pk": { "S": number.to_string() } });
    let request = json!({ "TableName": TABLE, "Key": key });
    let found = aws.tables().ask("GetItem", &request).unwrap();
    found["Item"]["value"]["S"]
        .as_str()
        .is_some_and(|value| value.len() == LONG)
}

#[test]
fn a_process_killed_again_and_again_loses_no_acknowledged_write() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    // Before, in the midst of and after commits of SQLite.
    for more in [1, 60, 125, 126, 127, 128, 129] {
        let first = acknowledged.len() * 2;
        let mut child = writer(directory.path(), first, None);
        let enough = acknowledged.len() + more;
        let lines = said(&mut child);
        for (done, number) in lines {
            assert!(done, "write {number} was refused");
            acknowledged.push(number);
            if acknowledged.len() == enough {
                child.kill().unwrap(); // SIGKILL: no destructor runs
            }
        }
        child.wait().unwrap();
        assert!(acknowledged.len() >= enough, "the child ended early");
    }
    let aws = EmbeddedAws::open(directory.path(), Settings::default()).unwrap();
    for number in &acknowledged {
        assert!(has(&aws, *number), "write {number} was acknowledged");
    }
    let records = aws.tables().changes(TABLE, None).unwrap();
    assert!(records.len() >= acknowledged.len());
}

#[test]
fn a_full_disk_refuses_writes_and_loses_none_that_were_acknowledged() {
    // Full before SQLite commits, and at its first commit.
    for kilobytes in [3_000, 20_000] {
        let directory = tempfile::tempdir().unwrap();
        let mut child = writer(directory.path(), 0, Some(kilobytes));
        let lines = said(&mut child);
        let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
        let mut enough = usize::MAX;
        for (done, number) in lines {
            if done {
                acknowledged.push(number);
            } else {
                refused.push(number);
            }
            if refused.len() == 3 && enough == usize::MAX {
                enough = acknowledged.len() + 20;
                make_room(&child);
            }
            if acknowledged.len() == enough {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(refused.len() >= 3, "nothing was refused");
        assert!(
            acknowledged.len() >= enough,
            "{kilobytes}: with room again it did not go on: {refused:?}"
        );
        let aws = EmbeddedAws::open(directory.path(), Settings::default()).unwrap();
        for number in acknowledged {
            assert!(has(&aws, number), "write {number} was acknowledged");
        }
        for number in refused {
            assert!(!has(&aws, number), "write {number} was refused");
        }
    }
}

/// Lifts the limit of a [`writer`], as if the disk had room again.
fn make_room(child: &Child) {
    let lifted = Command::new("prlimit")
        .args(["--fsize=unlimited", "--pid", &child.id().to_string()])
        .status();
    assert!(lifted.unwrap().success());
}

#[test]
#[ignore = "the child process of the tests above"]
fn write_until_killed() {
    #[expect(clippy::disallowed_methods, reason = "set by the parent test alone")]
    let Ok(asked) = std::env::var(CHILD) else {
        return; // run on its own, it has nothing to do
    };
    let (first, directory) = asked.split_once(' ').unwrap();
    let first: usize = first.parse().unwrap();
    // An SDK that retries, as the program's: a full disk is not tried again.
    let settings = Settings::default();
    let aws = EmbeddedAws::open(Path::new(directory), settings).unwrap();
    aws.tables().ensure_table(&table()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let long = "x".repeat(LONG);
    runtime.block_on(async {
        for number in first.. {
            let write = aws.dynamodb().put_item().table_name(TABLE);
            let write = write
                .item("pk", text(&number.to_string()))
                .item("value", text(&long));
            match write.send().await {
                Ok(_) => {
                    assert!(!aws.tables().disk_is_full());
                    println!("acknowledged {number}");
                }
                Err(error) => {
                    // At once, with the reason, and what is there is read meanwhile.
                    assert_eq!(error.code(), Some(INSUFFICIENT_STORAGE), "{error:?}");
                    assert!(has(&aws, first), "what was written is read");
                    assert!(aws.tables().disk_is_full());
                    println!("refused {number}");
                }
            }
        }
    });
}

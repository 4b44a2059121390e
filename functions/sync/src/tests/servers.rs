//! The whole way over real servers.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use jiff::SignedDuration;
use shared::clock::Clock;
use shared::store::runs::{FileOutcome, RunState};
use shared::testing::servers::{Ftpd, Speaks, Sshd};

use super::bench::{Bench, Setup, stock_file, write_at};

/// Two files, one after the other, and a look at what became of them.
async fn whole_way(setup: Setup, root: &std::path::Path) {
    let bench = Bench::of(setup).await;
    let first = bench
        .now()
        .checked_sub(jiff::SignedDuration::from_mins(10))
        .unwrap();
    let second = bench
        .now()
        .checked_sub(jiff::SignedDuration::from_mins(5))
        .unwrap();
    for (at, content, changed) in [
        (first, stock_file(30), 30),
        (
            second,
            stock_file(30).replace("SKU-3,main,13\n", "SKU-3,main,1\n"),
            1,
        ),
    ] {
        write_at(&root.join("stock.csv"), content.as_bytes(), at);
        bench.sync.start(&super::bench::erp()).await.unwrap();
        bench.drain().await;
        let run = bench.last_run().await;
        assert_eq!(run.state, RunState::Done, "{run:?}");
        let report = &run.files[0];
        assert_eq!(report.outcome, FileOutcome::Applied, "{report:?}");
        assert_eq!(
            report.counts.added + report.counts.drift,
            changed,
            "{report:?}"
        );
        assert!(!root.join("stock.csv").exists());
        assert!(root.join("archive").is_dir());
    }
    assert_eq!(bench.stock().await["SKU-3"], 1);
    assert_eq!(bench.there().await, 30);
}

fn real_time(settings: &str, url: String, secrets: &[(&str, &str)]) -> Setup {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Setup {
        url: Some(url),
        clock: Clock::system(),
        environment: secrets.iter().map(owned).collect(),
        ..Setup::with(settings)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_sftp() {
    let server = Sshd::start();
    let settings = format!(
        "private_key = \"env:SFTP_KEY\"\nhost_key = {:?}",
        server.host_key
    );
    let setup = real_time(
        &settings,
        server.url(),
        &[("SFTP_KEY", &server.private_key)],
    );
    whole_way(setup, &server.root()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_ftps() {
    let server = Ftpd::start(Speaks::Ftps);
    let settings = format!(
        "password = \"env:FTP_PASSWORD\"\nextra_root = {:?}",
        server.certificate
    );
    let setup = real_time(
        &settings,
        server.url("ftps"),
        &[("FTP_PASSWORD", Ftpd::PASSWORD)],
    );
    whole_way(setup, &server.root()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_another_key_is_not_read() {
    let server = Sshd::start();
    let other = format!("SHA256:{}", "A".repeat(43));
    let settings = format!("private_key = \"env:SFTP_KEY\"\nhost_key = {other:?}");
    let setup = real_time(
        &settings,
        server.url(),
        &[("SFTP_KEY", &server.private_key)],
    );
    let bench = Bench::of(setup).await;
    let path = server.root().join("stock.csv");
    write_at(&path, stock_file(3).as_bytes(), bench.now());
    bench.sync.start(&super::bench::erp()).await.unwrap();
    bench.drain().await;
    assert_eq!(bench.last_run().await.state, RunState::Failed);
    let error = bench.feed().await.last_error.unwrap();
    assert!(error.contains(&server.host_key), "{error}");
    assert!(path.exists());
    assert!(bench.stock().await.is_empty());
}

/// A web server that sends its file byte by byte, and does not come to its end.
fn drips() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/stock.csv", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                let read = stream.read(&mut request).unwrap_or_default();
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\
                            last-modified: Mon, 05 Jan 2026 10:00:00 GMT\r\nconnection: close\r\n\r\n";
                let mut sent = stream.write_all(head.as_bytes());
                while sent.is_ok() && !request[..read].starts_with(b"HEAD") {
                    std::thread::sleep(Duration::from_millis(20));
                    sent = stream.write_all(b"x");
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_takes_longer_than_the_function_may_ends_the_run_with_the_reason() {
    let bench = Bench::of(real_time("insecure = true", drips(), &[])).await;
    bench.sync.start(&super::bench::erp()).await.unwrap();
    let delivered = bench.deliver(SignedDuration::from_secs(12));
    let delivered = tokio::time::timeout(Duration::from_secs(11), delivered).await;
    assert_eq!(delivered.expect("it ends in time"), (1, 0));
    let run = bench.last_run().await;
    assert_eq!(run.state, RunState::Failed, "{run:?}");
    let error = bench.feed().await.last_error.unwrap();
    assert!(
        error.starts_with("download stock.csv: it took longer than 1 s ("),
        "{error}"
    );
    assert!(error.ends_with(" of 1000000 bytes)"), "{error}");
    assert_eq!(run.note, Some(error));
    assert_eq!(
        bench.store.run_lease(&super::bench::erp()).await.unwrap(),
        None
    );
    assert_eq!(std::fs::read_dir(&bench.sync.scratch).unwrap().count(), 0);
}

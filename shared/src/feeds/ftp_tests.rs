use std::os::unix::fs::symlink;
use std::time::SystemTime;

use super::*;
use crate::feeds::transport::connect;
use crate::testing::servers::{Ftpd, Speaks};

fn settings(server: &Ftpd) -> SourceSettings {
    SourceSettings {
        extra_root: Some(server.certificate.clone()),
        ..SourceSettings::at(server.url("ftps"))
    }
}

fn password(text: &str) -> Credentials {
    Credentials {
        password: Some(text.into()),
        ..Credentials::default()
    }
}

async fn open(settings: &SourceSettings) -> Result<Box<dyn FileSource>, TransferError> {
    open_as(settings, Ftpd::PASSWORD).await
}

async fn open_as(
    settings: &SourceSettings,
    word: &str,
) -> Result<Box<dyn FileSource>, TransferError> {
    let client = reqwest::Client::builder().build().unwrap().into();
    connect(settings, &password(word), &client).await
}

async fn fault(settings: &SourceSettings, word: &str) -> (Fault, String) {
    match open_as(settings, word).await {
        Ok(_) => panic!("connected"),
        Err(error) => (error.fault, error.to_string()),
    }
}

async fn exercise(mut source: Box<dyn FileSource>, server: &Ftpd) {
    let root = server.root();
    std::fs::write(root.join("stock.csv"), "vin\n1\n").unwrap();
    std::fs::write(root.join("stock.csv.sha256"), "abc").unwrap();
    std::fs::create_dir(root.join("folder")).unwrap();
    symlink("stock.csv", root.join("link.csv")).unwrap();

    let mut listing = source.list().await.unwrap();
    listing.sort_by(|a, b| a.name.cmp(&b.name));
    let stock = listing
        .iter()
        .find(|entry| entry.name == "stock.csv")
        .unwrap();
    assert_eq!(stock.size, Some(6));
    assert!(!listing.iter().any(|entry| entry.name.contains("folder")));
    let written = std::fs::metadata(root.join("stock.csv"))
        .unwrap()
        .modified()
        .unwrap();
    let written = written
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert_eq!(stock.modified.unwrap().as_second().cast_unsigned(), written);
    assert_eq!(source.read_small("stock.csv.sha256").await.unwrap(), b"abc");

    assert_eq!(source.list_claimed().await.unwrap(), []);
    let claimed = source
        .rename("stock.csv", "processing/stock.csv")
        .await
        .unwrap();
    assert_eq!(claimed, Claimed::Yes);
    let second = source
        .rename("stock.csv", "processing/other.csv")
        .await
        .unwrap_err();
    assert_eq!(second.fault, Fault::NotFound);
    assert_eq!(source.list_claimed().await.unwrap()[0].name, "stock.csv");
    let place = tempfile::tempdir().unwrap();
    let into = place.path().join("landed");
    assert_eq!(
        source
            .download("processing/stock.csv", &into, 6)
            .await
            .unwrap(),
        6
    );
    assert_eq!(std::fs::read(&into).unwrap(), b"vin\n1\n");

    let archived = "archive/2026/01/05/stock.csv.0123456789ab";
    source
        .rename("processing/stock.csv", archived)
        .await
        .unwrap();
    std::fs::write(root.join("stock.csv"), vec![b'x'; 70_000]).unwrap();
    let taken = source.rename("stock.csv", archived).await.unwrap_err();
    assert_eq!(taken.fault, Fault::Refused);
    assert_eq!(std::fs::read(root.join(archived)).unwrap(), b"vin\n1\n");

    std::fs::remove_file(&into).unwrap();
    for (name, fault) in [
        ("stock.csv", Fault::Refused),
        ("../passwd", Fault::Refused),
        ("a\r\nDELE stock.csv", Fault::Refused),
        ("none.csv", Fault::NotFound),
    ] {
        let error = source.download(name, &into, 69_999).await.unwrap_err();
        assert_eq!((error.fault, into.exists()), (fault, false), "{error}");
    }
    assert_eq!(
        source.read_small("stock.csv").await.unwrap_err().fault,
        Fault::Refused
    );
    // The connection is still good after all of this.
    assert_eq!(
        source.download("stock.csv", &into, 70_000).await.unwrap(),
        70_000
    );
    source.close().await;
}

#[tokio::test]
async fn lists_claims_and_downloads_over_tls() {
    let server = Ftpd::start(Speaks::Ftps);
    exercise(open(&settings(&server)).await.unwrap(), &server).await;
}

#[tokio::test]
async fn plain_ftp_works_only_when_asked_for() {
    let server = Ftpd::start(Speaks::PlainFtp);
    let mut settings = SourceSettings::at(server.url("ftp"));
    let (kind, words) = fault(&settings, Ftpd::PASSWORD).await;
    assert_eq!(kind, Fault::Refused);
    assert!(words.contains("insecure = true"), "{words}");
    settings.insecure = true;
    exercise(open(&settings).await.unwrap(), &server).await;
}

#[tokio::test]
async fn a_server_without_tls_gets_no_password() {
    let server = Ftpd::start(Speaks::PlainFtp);
    let (kind, words) = fault(&settings(&server), Ftpd::PASSWORD).await;
    assert_eq!(kind, Fault::Refused);
    assert!(words.contains("offers no TLS"), "{words}");
}

#[tokio::test]
async fn a_large_binary_file_arrives_whole() {
    let server = Ftpd::start(Speaks::Ftps);
    // Line ends of every kind: a transfer in text mode would change them.
    let line = b"SCBCG2ZG0RC012345,BX1042,2024\r\nBentley\n\r\xff";
    let content = line.repeat((30 << 20) / line.len());
    std::fs::write(server.root().join("stock.bin"), &content).unwrap();
    let mut source = open(&settings(&server)).await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let into = place.path().join("landed");
    let size = source.download("stock.bin", &into, 64 << 20).await.unwrap();
    assert_eq!(size, content.len() as u64);
    assert!(std::fs::read(&into).unwrap() == content);
}

#[tokio::test]
async fn an_unknown_certificate_or_another_name_is_refused() {
    let server = Ftpd::start(Speaks::Ftps);
    let mut unknown = settings(&server);
    unknown.extra_root = None;
    let (kind, words) = fault(&unknown, Ftpd::PASSWORD).await;
    assert_eq!(kind, Fault::HostKey, "{words}");
    let mut other_name = settings(&server);
    other_name.url = other_name.url.replace("localhost", "127.0.0.1");
    let (kind, words) = fault(&other_name, Ftpd::PASSWORD).await;
    assert_eq!(kind, Fault::HostKey, "{words}");
    let mut garbage = settings(&server);
    garbage.extra_root = Some("-----BEGIN CERTIFICATE-----\nAAAA".into());
    assert_eq!(fault(&garbage, Ftpd::PASSWORD).await.0, Fault::Refused);
}

#[tokio::test]
async fn wrong_credentials_and_directories_are_told_apart() {
    let server = Ftpd::start(Speaks::Ftps);
    let (kind, words) = fault(&settings(&server), "wrong").await;
    assert_eq!(kind, Fault::Credentials);
    assert!(!words.contains("wrong"), "{words}");
    let mut missing = settings(&server);
    missing.url.push_str("/nowhere");
    assert_eq!(fault(&missing, Ftpd::PASSWORD).await.0, Fault::NotFound);
    let settings = settings(&server);
    drop(server);
    assert_eq!(fault(&settings, Ftpd::PASSWORD).await.0, Fault::Transient);
}

/// A task that has done much since it last waited must not have its commands kept back.
#[tokio::test]
async fn commands_are_sent_however_busy_the_task_was() {
    let server = Ftpd::start(Speaks::Ftps);
    let mut settings = settings(&server);
    settings.timeout_seconds = 3;
    let mut source = open(&settings).await.unwrap();
    let mut name = "a0".to_owned();
    std::fs::write(server.root().join(&name), "vin\n1\n").unwrap();
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    // Tokio lets a task do some 128 things at a time; each number of them is left over once.
    for busy in 0..=130 {
        (0..busy).for_each(|_| sender.send(()).unwrap());
        tokio::task::yield_now().await;
        for _ in 0..busy {
            receiver.recv().await.unwrap();
        }
        let next = format!("a{}", busy + 1);
        source.rename(&name, &next).await.unwrap();
        name = next;
    }
}

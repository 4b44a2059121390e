use std::os::unix::fs::symlink;
use std::time::SystemTime;

use super::*;
use crate::feeds::transport::{Place, connect};
use crate::testing::servers::{Ftpd, Speaks, Sshd};

fn settings(server: &Sshd) -> SourceSettings {
    SourceSettings {
        host_key: Some(server.host_key.clone()),
        ..SourceSettings::at(server.url())
    }
}

fn with_key(key: &str) -> Credentials {
    Credentials {
        private_key: Some(key.into()),
        ..Credentials::default()
    }
}

async fn open(
    settings: &SourceSettings,
    credentials: &Credentials,
) -> Result<Box<dyn FileSource>, TransferError> {
    connect(
        settings,
        credentials,
        &reqwest::Client::builder().build().unwrap().into(),
    )
    .await
}

async fn fault(settings: &SourceSettings, credentials: &Credentials) -> (Fault, String) {
    match open(settings, credentials).await {
        Ok(_) => panic!("connected"),
        Err(error) => (error.fault, error.to_string()),
    }
}

#[tokio::test]
async fn lists_claims_and_downloads_from_openssh() {
    let server = Sshd::start();
    let root = server.root();
    std::fs::write(root.join("stock.csv"), "vin\n1\n").unwrap();
    std::fs::write(root.join("stock.csv.sha256"), "abc").unwrap();
    std::fs::create_dir(root.join("folder")).unwrap();
    symlink("/etc/passwd", root.join("link.csv")).unwrap();
    let mut source = open(&settings(&server), &with_key(&server.private_key))
        .await
        .unwrap();

    let mut listing = source.list().await.unwrap();
    listing.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<_> = listing
        .iter()
        .map(|entry| (entry.name.as_str(), entry.size))
        .collect();
    assert_eq!(
        names,
        [("stock.csv", Some(6)), ("stock.csv.sha256", Some(3))]
    );
    let written = std::fs::metadata(root.join("stock.csv"))
        .unwrap()
        .modified()
        .unwrap();
    let written = written
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert_eq!(
        listing[0].modified.unwrap().as_second().cast_unsigned(),
        written
    );
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
    assert!(root.join(archived).exists());
    std::fs::write(root.join("stock.csv"), "new").unwrap();
    let taken = source.rename("stock.csv", archived).await.unwrap_err();
    assert_eq!(taken.fault, Fault::Refused);
    assert_eq!(std::fs::read(root.join(archived)).unwrap(), b"vin\n1\n");
    source.close().await;
}

#[tokio::test]
async fn a_large_file_arrives_whole() {
    let server = Sshd::start();
    let line = b"SCBCG2ZG0RC012345,BX1042,2024,Bentley\n";
    let content = line.repeat((30 << 20) / line.len());
    std::fs::write(server.root().join("stock.csv"), &content).unwrap();
    let mut source = open(&settings(&server), &with_key(&server.private_key))
        .await
        .unwrap();
    let place = tempfile::tempdir().unwrap();
    let into = place.path().join("landed");
    let size = source.download("stock.csv", &into, 64 << 20).await.unwrap();
    assert_eq!(size, content.len() as u64);
    assert!(std::fs::read(&into).unwrap() == content);
}

#[tokio::test]
async fn limits_names_and_links_are_refused_and_leave_nothing() {
    let server = Sshd::start();
    std::fs::write(server.root().join("stock.csv"), vec![b'x'; 70_000]).unwrap();
    symlink("/etc/passwd", server.root().join("link.csv")).unwrap();
    let mut source = open(&settings(&server), &with_key(&server.private_key))
        .await
        .unwrap();
    let place = tempfile::tempdir().unwrap();
    let into = place.path().join("landed");
    for name in ["stock.csv", "link.csv", "../host", "/etc/passwd"] {
        let error = source.download(name, &into, 69_999).await.unwrap_err();
        assert_eq!(
            (error.fault, into.exists()),
            (Fault::Refused, false),
            "{error}"
        );
    }
    assert_eq!(
        source.read_small("stock.csv").await.unwrap_err().fault,
        Fault::Refused
    );
    let error = source.download("none.csv", &into, 10).await.unwrap_err();
    assert_eq!(error.fault, Fault::NotFound);
}

#[tokio::test]
async fn another_host_key_is_a_permanent_error_that_names_both() {
    let server = Sshd::start();
    let expected = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";
    let mut settings = settings(&server);
    settings.host_key = Some(expected.into());
    let (kind, words) = fault(&settings, &with_key(&server.private_key)).await;
    assert_eq!(kind, Fault::HostKey);
    assert!(
        words.contains(expected) && words.contains(&server.host_key),
        "{words}"
    );
    settings.host_key = None;
    let (kind, words) = fault(&settings, &with_key(&server.private_key)).await;
    assert_eq!(kind, Fault::HostKey);
    assert!(words.contains(&server.host_key), "{words}");
}

#[tokio::test]
async fn wrong_credentials_are_told_apart_from_an_absent_server() {
    let server = Sshd::start();
    let settings = settings(&server);
    let wrong_password = Credentials {
        password: Some("hunter2".into()),
        ..Credentials::default()
    };
    for credentials in [
        with_key(&server.wrong_key()),
        with_key("not a key"),
        with_key(&server.encrypted_key),
        wrong_password,
        Credentials::default(),
    ] {
        let (kind, words) = fault(&settings, &credentials).await;
        assert_eq!(kind, Fault::Credentials, "{words}");
        assert!(
            !words.contains("hunter2") && !words.contains("not a key"),
            "{words}"
        );
    }
    let mut missing = settings.clone();
    missing.url.push_str("/nowhere");
    let (kind, _) = fault(&missing, &with_key(&server.private_key)).await;
    assert_eq!(kind, Fault::NotFound);
    let key = with_key(&server.private_key);
    drop(server);
    assert_eq!(fault(&settings, &key).await.0, Fault::Transient);
}

#[tokio::test]
async fn an_encrypted_key_opens_with_its_passphrase() {
    let server = Sshd::start();
    let credentials = Credentials {
        passphrase: Some(Sshd::PASSPHRASE.into()),
        ..with_key(&server.encrypted_key)
    };
    let mut source = open(&settings(&server), &credentials).await.unwrap();
    assert_eq!(source.list().await.unwrap(), []);
}

#[tokio::test]
async fn a_password_signs_in_and_a_server_that_is_not_openssh_serves() {
    let server = Ftpd::start(Speaks::Sftp);
    std::fs::write(server.root().join("stock.csv"), vec![b'x'; 300_000]).unwrap();
    let settings = SourceSettings {
        host_key: Some(server.host_key.clone()),
        ..SourceSettings::at(server.url("sftp"))
    };
    let password = |text: &str| Credentials {
        password: Some(text.into()),
        ..Credentials::default()
    };
    let mut source = open(&settings, &password(Ftpd::PASSWORD)).await.unwrap();
    assert_eq!(source.list().await.unwrap()[0].size, Some(300_000));
    let place = tempfile::tempdir().unwrap();
    let into = place.path().join("landed");
    assert_eq!(
        source.download("stock.csv", &into, 1 << 20).await.unwrap(),
        300_000
    );
    assert_eq!(
        fault(&settings, &password("wrong")).await.0,
        Fault::Credentials
    );
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_on() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = SourceSettings {
        timeout_seconds: 1,
        ..SourceSettings::at(format!("sftp://user@{}/", silent.local_addr().unwrap()))
    };
    let (kind, words) = fault(&settings, &with_key("unused")).await;
    assert_eq!(kind, Fault::Transient);
    assert!(words.contains("within 1 s"), "{words}");
    assert!(matches!(settings.place(), Ok(Place::Sftp(_))));
}

use std::io::Write;
use std::net::TcpListener;

use reqwest::Client;
use wiremock::matchers::{bearer_token, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::feeds::transport::{SourceSettings, connect};
use crate::http::{Guard, Http, HttpSettings};

fn client() -> Downloads {
    let client = Client::builder().redirect(reqwest::redirect::Policy::none());
    client.build().unwrap().into()
}

async fn source(url: &str) -> Box<dyn FileSource> {
    let settings = SourceSettings {
        insecure: true,
        timeout_seconds: 5,
        ..SourceSettings::at(url)
    };
    let credentials = Credentials {
        token: Some("tok_1".into()),
        ..Credentials::default()
    };
    connect(&settings, &credentials, &client()).await.unwrap()
}

async fn server(status: u16, body: &str) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/feeds/stock.csv"))
        .and(bearer_token("tok_1"))
        .respond_with(ResponseTemplate::new(status).set_body_string(body))
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_listing_is_a_head_request() {
    let server = MockServer::start().await;
    let head = ResponseTemplate::new(200)
        .insert_header("etag", "\"v7\"")
        .insert_header("last-modified", "Mon, 05 Jan 2026 10:00:00 GMT")
        .insert_header("content-length", "1234");
    Mock::given(method("HEAD"))
        .respond_with(head)
        .expect(1)
        .mount(&server)
        .await;
    let mut source = source(&format!("{}/feeds/stock.csv?sig=1", server.uri())).await;
    let expected = Entry {
        name: "stock.csv".into(),
        size: Some(1234),
        modified: Some("2026-01-05T10:00:00Z".parse().unwrap()),
        tag: Some("\"v7\"".into()),
    };
    assert_eq!(source.list().await.unwrap(), [expected]);
    assert_eq!(source.list_claimed().await.unwrap(), []);
    assert_eq!(
        source.rename("stock.csv", "x").await.unwrap(),
        Claimed::NotSupported
    );
}

#[tokio::test]
async fn a_server_without_head_is_asked_with_get() {
    let server = server(200, "vin\n1\n").await;
    let refused = ResponseTemplate::new(405);
    Mock::given(method("HEAD"))
        .respond_with(refused)
        .mount(&server)
        .await;
    let mut source = source(&format!("{}/feeds/stock.csv", server.uri())).await;
    assert_eq!(source.list().await.unwrap()[0].size, Some(6));
}

#[tokio::test]
async fn downloads_stream_to_disk_within_the_limit() {
    let body = "vin,make\n".repeat(100_000);
    let server = server(200, &body).await;
    let mut source = source(&format!("{}/feeds/stock.csv", server.uri())).await;
    let place = tempfile::tempdir().unwrap();
    let into = place.path().join("landed");
    let size = source.download("stock.csv", &into, 1 << 20).await.unwrap();
    assert_eq!(size, body.len() as u64);
    assert_eq!(std::fs::read_to_string(&into).unwrap(), body);
    std::fs::remove_file(&into).unwrap();
    let error = source.download("stock.csv", &into, 1000).await.unwrap_err();
    assert_eq!((error.fault, into.exists()), (Fault::Refused, false));
    let error = source.read_small("stock.csv").await.unwrap_err();
    assert_eq!(error.fault, Fault::Refused);
}

#[tokio::test]
async fn sidecars_stand_beside_the_file() {
    let server = MockServer::start().await;
    Mock::given(path("/feeds/stock.csv.sha256"))
        .respond_with(ResponseTemplate::new(200).set_body_string("abc"))
        .mount(&server)
        .await;
    let mut source = source(&format!("{}/feeds/stock.csv?sig=1", server.uri())).await;
    assert_eq!(source.read_small("stock.csv.sha256").await.unwrap(), b"abc");
    let error = source.read_small("../secret").await.unwrap_err();
    assert_eq!(error.fault, Fault::Refused);
}

#[tokio::test]
async fn answers_are_told_apart() {
    for (status, fault) in [
        (401, Fault::Credentials),
        (403, Fault::Credentials),
        (404, Fault::NotFound),
        (302, Fault::Refused),
        (400, Fault::Refused),
        (429, Fault::Transient),
        (503, Fault::Transient),
    ] {
        let server = server(status, "").await;
        let mut source = source(&format!("{}/feeds/stock.csv?sig=s3cret", server.uri())).await;
        let error = source.read_small("stock.csv").await.unwrap_err();
        assert_eq!(error.fault, fault, "{status}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn a_followed_redirect_is_refused() {
    let server = server(200, "vin\n").await;
    let there = format!("{}/feeds/stock.csv", server.uri());
    Mock::given(path("/old/stock.csv"))
        .respond_with(ResponseTemplate::new(302).insert_header("location", &*there))
        .mount(&server)
        .await;
    let url = Url::parse(&format!("{}/old/stock.csv", server.uri())).unwrap();
    let follows = Client::builder().build().unwrap().into();
    let credentials = Credentials {
        token: Some("tok_1".into()),
        ..Credentials::default()
    };
    let mut source = Https::new(url, &credentials, follows, Duration::from_secs(5)).unwrap();
    let error = source.read_small("stock.csv").await.unwrap_err();
    assert_eq!(error.fault, Fault::Refused);
    assert!(error.to_string().contains("redirected"), "{error}");
}

/// By the one client that functions have: not where the guard lets nobody go.
#[tokio::test]
async fn a_feed_without_encryption_is_read_where_its_setting_permits_that() {
    let server = server(200, "vin\n").await;
    let by_number = format!("{}/feeds/stock.csv", server.uri());
    let by_name = by_number.replace("127.0.0.1", "localhost");
    let read_from = async |url: &str, insecure: bool, allowed: &[&str]| {
        let http = HttpSettings {
            guard: Guard::new(allowed.iter().map(|entry| entry.parse().unwrap()).collect()),
            ..HttpSettings::default()
        };
        let settings = SourceSettings {
            insecure,
            ..SourceSettings::at(url)
        };
        let credentials = Credentials {
            token: Some("tok_1".into()),
            ..Credentials::default()
        };
        let downloads = Http::new(http).unwrap().streaming();
        let mut place = connect(&settings, &credentials, &downloads).await?;
        place.read_small("stock.csv").await
    };
    let read = async |insecure, allowed| read_from(&by_number, insecure, allowed).await;
    assert_eq!(read(true, &["127.0.0.1"]).await.unwrap(), b"vin\n");
    assert_eq!(read(true, &["127.0.0.0/8"]).await.unwrap(), b"vin\n");
    let named = read_from(&by_name, true, &["localhost"]).await;
    assert_eq!(named.unwrap(), b"vin\n");
    let unencrypted = read(false, &["127.0.0.1"]).await.unwrap_err();
    assert!(unencrypted.to_string().contains("insecure = true"));
    let here = read(true, &[]).await.unwrap_err();
    assert_eq!(here.fault, Fault::Refused);
    assert!(here.to_string().contains("127.0.0.1 is"), "{here}");
}

/// Answers one request with these bytes and hangs up.
fn answers_once(bytes: &'static [u8]) -> (std::thread::JoinHandle<()>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/stock.csv", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        std::io::Read::read(&mut stream, &mut request).unwrap();
        stream.write_all(bytes).unwrap();
    });
    (thread, url)
}

#[tokio::test]
async fn a_body_that_stops_short_is_an_error_and_leaves_nothing() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nvin\n1\n"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nvin\n1\n\r\n",
    ] {
        let (thread, url) = answers_once(answer);
        let mut source = source(&url).await;
        let place = tempfile::tempdir().unwrap();
        let into = place.path().join("landed");
        let error = source
            .download("stock.csv", &into, 1 << 20)
            .await
            .unwrap_err();
        assert_eq!(
            (error.fault, into.exists()),
            (Fault::Transient, false),
            "{error}"
        );
        thread.join().unwrap();
    }
}

#[tokio::test]
async fn a_directory_is_no_file() {
    let url = Url::parse("https://feeds.example/drop/").unwrap();
    let error = Https::new(
        url,
        &Credentials::default(),
        client(),
        Duration::from_secs(1),
    )
    .unwrap_err();
    assert_eq!(error.fault, Fault::Refused);
}

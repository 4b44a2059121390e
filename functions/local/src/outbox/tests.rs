use super::*;

use std::sync::Mutex;

use http::StatusCode;
use secrecy::SecretString;
use shared::domain::ChannelName;

/// Counts what reaches it, and answers the same to everything.
struct Vendor {
    reached: Mutex<usize>,
    answer: Result<Reply, TransportError>,
}

impl Vendor {
    fn answering(answer: Result<Reply, TransportError>) -> Arc<Self> {
        Arc::new(Self {
            reached: Mutex::new(0),
            answer,
        })
    }
}

#[async_trait]
impl Transport for Vendor {
    async fn call(&self, _: Request) -> Result<Reply, TransportError> {
        *self.reached.lock().unwrap() += 1;
        self.answer.clone()
    }
}

fn clock() -> Clock {
    Clock::starting_at("2026-01-15T09:30:00Z".parse().unwrap())
}

fn request() -> Request {
    Request::post("https://api.example.com/bot-hunter2/send".parse().unwrap())
        .bearer(&"hunter2".into())
        .unwrap()
        .body("application/json", r#"{"text":"2 left","token":"hunter2"}"#)
}

async fn carry(outbox: &Outbox, live: bool) -> Result<Reply, TransportError> {
    let channel: ChannelName = "ops".parse().unwrap();
    let secrets = [SecretString::from("hunter2")];
    let sender = Sender {
        party: Party::Channel(&channel),
        kind: "slack",
        missing: (!live).then_some("env:TOKEN is not set"),
        accepted: &|_| Reply::new(StatusCode::CREATED, "in its stead"),
        secrets: &secrets,
    };
    outbox.carry(&sender, request()).await
}

#[tokio::test]
async fn without_credentials_nothing_leaves_and_the_exact_request_shows() {
    let vendor = Vendor::answering(Ok(Reply::new(StatusCode::OK, "")));
    let outbox = Outbox::in_memory(vendor.clone(), clock());
    let reply = carry(&outbox, false).await.unwrap();
    assert_eq!(reply.text(), "in its stead");
    assert_eq!(*vendor.reached.lock().unwrap(), 0);

    let entries = outbox.entries();
    assert_eq!(
        serde_json::to_value(&entries).unwrap(),
        serde_json::json!([{
            "channel": "ops", "kind": "slack", "method": "POST",
            "url": "https://api.example.com/bot-****/send",
            "headers": [["authorization", "****"], ["content-type", "application/json"]],
            "body": r#"{"text":"2 left","token":"****"}"#,
            "at": entries[0].at.to_string(), "sent": false,
            "missing": "env:TOKEN is not set", "status": 201
        }])
    );
}

#[tokio::test]
async fn with_credentials_the_vendor_answers() {
    let vendor = Vendor::answering(Ok(Reply::new(StatusCode::TOO_MANY_REQUESTS, "")));
    let outbox = Outbox::in_memory(vendor.clone(), clock());
    let reply = carry(&outbox, true).await.unwrap();
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(*vendor.reached.lock().unwrap(), 1);
    let entry = &outbox.entries()[0];
    assert_eq!((entry.sent, entry.status), (true, Some(429)));
}

#[tokio::test]
async fn what_did_not_leave_is_not_called_sent() {
    let (host, reason) = ("api.example.com".to_owned(), "refused".to_owned());
    let vendor = Vendor::answering(Err(TransportError::NotSent { host, reason }));
    let outbox = Outbox::in_memory(vendor, clock());
    assert!(carry(&outbox, true).await.is_err());
    let entry = &outbox.entries()[0];
    assert_eq!((entry.sent, entry.status), (false, None));
}

#[tokio::test]
async fn it_survives_a_restart_and_no_secret_reaches_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let vendor = Vendor::answering(Ok(Reply::new(StatusCode::OK, "")));
    let open = || Outbox::open(directory.path(), vendor.clone(), clock()).unwrap();
    carry(&open(), false).await.unwrap();
    carry(&open(), true).await.unwrap();
    let entries = open().entries();
    let sent: Vec<bool> = entries.iter().map(|entry| entry.sent).collect();
    assert_eq!(sent, [true, false]);
    let text = std::fs::read_to_string(directory.path().join("outbox.jsonl")).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn the_page_and_the_json_show_the_same() {
    let vendor = Vendor::answering(Ok(Reply::new(StatusCode::OK, "")));
    let outbox = Outbox::in_memory(vendor, clock());
    carry(&outbox, false).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, outbox.routes()).into_future());
    let get = async |path: &str| {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{address}{path}");
        client
            .get(url)
            .send()
            .await
            .unwrap()
            .error_for_status()
            .unwrap()
    };

    let page = get("/outbox").await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'"));
    let page = page.text().await.unwrap();
    assert!(page.contains("1 request") && page.contains("not sent") && page.contains("2 left"));
    for part in ["/outbox.js", "/outbox.css"] {
        assert!(page.contains(part));
        assert!(!get(part).await.text().await.unwrap().is_empty());
    }
    let json: Vec<OutboxEntry> =
        serde_json::from_slice(&get("/outbox.json").await.bytes().await.unwrap()).unwrap();
    assert_eq!(json, outbox.entries());
    server.abort();
}

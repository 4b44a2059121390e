//! The client against servers that behave, misbehave, and names that resolve to what they should
//! not.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;
use wiremock::matchers::{any, body_string, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

fn settings(allowed: &[&str]) -> HttpSettings {
    HttpSettings {
        guard: Guard::new(allowed.iter().map(|entry| entry.parse().unwrap()).collect()),
        ..HttpSettings::default()
    }
}

fn to_loopback() -> HttpSettings {
    settings(&["127.0.0.0/8"])
}

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

async fn get(settings: HttpSettings, to: &str) -> Result<Reply, TransportError> {
    let http = Http::new(settings).unwrap();
    http.call(Request::get(url(to))).await
}

#[tokio::test]
async fn a_request_arrives_as_it_was_made_and_the_reply_comes_back() {
    let vendor = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/send"))
        .and(header("user-agent", USER_AGENT))
        .and(header("authorization", "Bearer token"))
        .and(header("content-type", "application/json"))
        .and(body_string("{\"text\":\"2 left\"}"))
        .respond_with(
            ResponseTemplate::new(201)
                .insert_header("x-request-id", "r1")
                .set_body_string("{\"id\":7}"),
        )
        .expect(1)
        .mount(&vendor)
        .await;

    let request = Request::new(Method::POST, url(&format!("{}/send", vendor.uri())))
        .bearer(&"token".into())
        .unwrap()
        .json(&serde_json::json!({"text": "2 left"}))
        .unwrap();
    let reply = Http::new(to_loopback())
        .unwrap()
        .call(request)
        .await
        .unwrap();
    assert_eq!(reply.status, StatusCode::CREATED);
    assert_eq!(reply.headers["x-request-id"], "r1");
    assert_eq!(reply.json::<serde_json::Value>().unwrap()["id"], 7);
}

#[tokio::test]
async fn a_redirect_is_a_reply_and_is_not_followed() {
    for status in [301, 302, 307, 308] {
        let vendor = MockServer::start().await;
        let elsewhere = format!("{}/elsewhere", vendor.uri());
        let reply = ResponseTemplate::new(status).insert_header("location", elsewhere.as_str());
        Mock::given(path("/hook"))
            .respond_with(reply)
            .expect(1)
            .mount(&vendor)
            .await;
        Mock::given(path("/elsewhere"))
            .respond_with(ResponseTemplate::new(200))
            .expect(0)
            .mount(&vendor)
            .await;
        let reply = get(to_loopback(), &format!("{}/hook", vendor.uri())).await;
        assert_eq!(reply.unwrap().status, status);
    }
}

#[tokio::test]
async fn a_forbidden_target_is_never_called() {
    let inside = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200))
        .expect(0)
        .mount(&inside)
        .await;
    let port = inside.address().port();
    for target in [
        format!("https://127.0.0.1:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        format!("https://2130706433:{port}/"),
        format!("http://vendor.example:{port}/"),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
        // A name, so that it is the resolver's answer that is refused.
        format!("https://localhost:{port}/"),
    ] {
        let refused = get(HttpSettings::default(), &target).await;
        assert!(
            matches!(refused, Err(TransportError::Refused { .. })),
            "{target}: {refused:?}"
        );
    }
}

/// Names that answer with the next address of a list each time they are asked.
struct Rebinding {
    answers: Mutex<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Rebinding {
    fn new(answers: &[&str]) -> Arc<Self> {
        let answers = answers.iter().rev().map(|ip| ip.parse().unwrap());
        Arc::new(Self {
            answers: Mutex::new(answers.collect()),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Resolve for Rebinding {
    fn resolve(&self, _: Name) -> Resolving {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.lock().unwrap().pop().unwrap();
        let addresses: Addrs = Box::new(std::iter::once(SocketAddr::new(answer, 0)));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let names = Rebinding::new(&["127.0.0.1", "10.0.0.1"]);
    let http = Http::resolving_with(settings(&["127.0.0.1/32"]), Arc::clone(&names) as _).unwrap();
    let target = url(&format!("https://vendor.example:{port}/"));

    // No TLS here: what counts is who is connected to.
    let met = tokio::spawn(async move { listener.accept().await.map(drop) });
    let error = http.call(Request::get(target.clone())).await.unwrap_err();
    assert!(matches!(error, TransportError::NotSent { .. }), "{error}");
    met.await.unwrap().unwrap();
    assert_eq!(names.asked.load(Ordering::SeqCst), 1);

    // The second answer points into the network.
    let error = http.call(Request::get(target)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "call to vendor.example refused: 10.0.0.1 is private"
    );
}

#[tokio::test]
async fn a_name_with_one_bad_address_among_good_ones_is_refused() {
    struct Both;
    impl Resolve for Both {
        fn resolve(&self, _: Name) -> Resolving {
            let both = ["8.8.8.8:0", "169.254.169.254:0"].map(|text| text.parse().unwrap());
            let addresses: Addrs = Box::new(both.into_iter());
            Box::pin(std::future::ready(Ok(addresses)))
        }
    }
    let http = Http::resolving_with(HttpSettings::default(), Arc::new(Both)).unwrap();
    let error = http
        .call(Request::get(url("https://vendor.example/")))
        .await;
    assert!(
        matches!(error, Err(TransportError::Refused { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn no_connection_means_not_sent() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let error = get(to_loopback(), &format!("http://{address}/bot123:TOKEN/"))
        .await
        .unwrap_err();
    assert!(matches!(error, TransportError::NotSent { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("TOKEN"));

    let nameless = get(to_loopback(), "https://no-such-name.invalid/")
        .await
        .unwrap_err();
    assert!(
        matches!(nameless, TransportError::NotSent { .. }),
        "{nameless}"
    );
}

#[tokio::test]
async fn an_answer_that_does_not_begin_in_time_is_none() {
    let vendor = MockServer::start().await;
    let late = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    Mock::given(any()).respond_with(late).mount(&vendor).await;
    let settings = HttpSettings {
        first_byte: Some(Duration::from_millis(50)),
        ..to_loopback()
    };
    let error = get(settings, &vendor.uri()).await.unwrap_err();
    let expected = "no answer from 127.0.0.1: none within 0.05 s";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn silence_after_sending_means_no_answer() {
    let vendor = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    Mock::given(any()).respond_with(slow).mount(&vendor).await;
    let patience = HttpSettings {
        timeout: Duration::from_millis(100),
        ..to_loopback()
    };
    let error = get(patience, &vendor.uri()).await.unwrap_err();
    let host = "127.0.0.1".to_owned();
    let reason = "timed out".to_owned();
    assert_eq!(error, TransportError::NoAnswer { host, reason });
}

/// A server that reads a request, says `answer` and hangs up.
async fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await?;
        let mut request = [0; 1024];
        let read = socket.read(&mut request).await?;
        assert!(read > 0);
        socket.write_all(answer.as_bytes()).await
    });
    format!("http://{address}/")
}

#[tokio::test]
async fn a_connection_lost_after_sending_means_no_answer() {
    let error = get(to_loopback(), &answering("").await).await.unwrap_err();
    assert!(matches!(error, TransportError::NoAnswer { .. }), "{error}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_taken_for_the_whole() {
    let cut = "HTTP/1.1 202 Accepted\r\ncontent-length: 100\r\n\r\nsku,on_hand\n";
    let error = get(to_loopback(), &answering(cut).await).await.unwrap_err();
    let TransportError::Incomplete { reply, .. } = error else {
        panic!("{error}")
    };
    // Whoever sent something still learns that it was taken.
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!(reply.text(), "sku,on_hand\n");
}

#[tokio::test]
async fn a_reply_is_read_up_to_its_limit() {
    let vendor = MockServer::start().await;
    let long = ResponseTemplate::new(200).set_body_string("x".repeat(1000));
    Mock::given(any()).respond_with(long).mount(&vendor).await;
    let limited = |reply_limit| HttpSettings {
        reply_limit,
        ..to_loopback()
    };
    let whole = get(limited(1000), &vendor.uri()).await.unwrap();
    assert_eq!(whole.body.len(), 1000);

    let error = get(limited(999), &vendor.uri()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "127.0.0.1 answered 200 OK with an incomplete body: longer than 999 bytes"
    );
}

use super::*;
use crate::engine::{BoxError, Invocation, Settings};
use axum::http::HeaderName;
use shared::clock::Clock;
use shared::telemetry;
use shared::testing::Captured;
use std::sync::Mutex;

type Events = Arc<Mutex<Vec<ApiGatewayV2httpRequest>>>;

fn aws() -> EmbeddedAws {
    EmbeddedAws::in_memory(Settings {
        clock: Clock::starting_at("2026-01-15T09:30:00Z".parse().unwrap()),
        ..Settings::default()
    })
    .unwrap()
}

fn function<H>(handle: H) -> HttpFunction
where
    H: Fn(ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, BoxError>
        + Send
        + Sync
        + 'static,
{
    let handler = move |event, _: Invocation| {
        let answer = handle(event);
        async move { answer }
    };
    Function::new("api", Duration::from_secs(29), handler)
}

/// Keeps each event and answers 200.
fn keeping(events: &Events) -> HttpFunction {
    let events = Arc::clone(events);
    function(move |event| {
        events.lock().unwrap().push(event);
        Ok(answer_of(200, "{}"))
    })
}

fn answer_of(status: i64, body: &str) -> ApiGatewayV2httpResponse {
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = status;
    answer.body = Some(EventBody::Text(body.to_owned()));
    answer
}

async fn call(
    gateway: &Gateway,
    request: Request<&'static [u8]>,
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let (parts, body) = request.into_parts();
    let source = "203.0.113.7".parse().unwrap();
    let response = gateway
        .answer(parts, source, Bytes::from_static(body))
        .await;
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, MAXIMUM_BODY).await.unwrap();
    (parts.status, parts.headers, body.to_vec())
}

fn request(method: &str, uri: &str) -> Request<&'static [u8]> {
    Request::builder()
        .method(method)
        .uri(uri)
        .body(&b""[..])
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_becomes_api_gateways_event() {
    let aws = aws();
    let events = Events::default();
    let gateway = Gateway::new(&aws)
        .route("POST /hooks/{connector}", keeping(&events))
        .unwrap();
    let request = Request::builder()
        .method("POST")
        .uri("/hooks/auto%20trader?tag=a&tag=b%20c&empty=")
        .header("Host", "abc.example.com")
        .header("Content-Type", "application/json; charset=utf-8")
        .header("User-Agent", "probe/1")
        .header("X-Many", "one")
        .header("X-Many", "two")
        .header("Cookie", "a=1; b=2")
        .header("Cookie", "c=3")
        .body("{\"vin\":\"ü\"}".as_bytes())
        .unwrap();
    assert_eq!(call(&gateway, request).await.0, StatusCode::OK);

    let event = serde_json::to_value(&events.lock().unwrap()[0]).unwrap();
    let id = event["requestContext"]["requestId"].clone();
    assert_eq!(id.as_str().unwrap().len(), 36);
    let expected = json!({
        "version": "2.0",
        "routeKey": "POST /hooks/{connector}",
        "rawPath": "/hooks/auto%20trader",
        "rawQueryString": "tag=a&tag=b%20c&empty=",
        "cookies": ["a=1", "b=2", "c=3"],
        "headers": {
            "host": "abc.example.com",
            "content-type": "application/json; charset=utf-8",
            "user-agent": "probe/1",
            "x-many": "one,two",
        },
        "queryStringParameters": { "tag": "a,b c", "empty": "" },
        "pathParameters": { "connector": "auto trader" },
        "stageVariables": {},
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": "abc.example.com",
            "domainPrefix": "abc",
            "http": {
                "method": "POST",
                "path": "/hooks/auto%20trader",
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "probe/1",
            },
            "requestId": id,
            "routeKey": "POST /hooks/{connector}",
            "stage": "$default",
            "time": "15/Jan/2026:09:30:00 +0000",
            "timeEpoch": 1_768_469_400_000_i64,
        },
        "body": "{\"vin\":\"ü\"}",
        "isBase64Encoded": false,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&event[key], value, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_text_arrives_as_base64() {
    let aws = aws();
    let cases: [(Option<&str>, &'static [u8], bool); 6] = [
        (Some("application/json"), b"{}", false),
        (Some("TEXT/CSV"), b"a,b", false),
        (None, b"plain", false),
        (Some("application/zip"), b"PK", true),
        (Some("application/x-www-form-urlencoded"), b"a=1", true),
        (Some("application/json"), b"\xff\xfe", true),
    ];
    for (kind, body, encoded) in cases {
        let events = Events::default();
        let gateway = Gateway::new(&aws)
            .route("$default", keeping(&events))
            .unwrap();
        let mut request = Request::builder()
            .method("PUT")
            .uri("/")
            .body(body)
            .unwrap();
        if let Some(kind) = kind {
            request
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        call(&gateway, request).await;
        let events = events.lock().unwrap();
        assert_eq!(events[0].is_base64_encoded, encoded, "{kind:?}");
        let arrived = events[0].body.clone().unwrap();
        let raw = if encoded {
            STANDARD.decode(arrived).unwrap()
        } else {
            arrived.into_bytes()
        };
        assert_eq!(raw, body, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_closest_route_wins() {
    let named = |name: &'static str| function(move |_| Ok(answer_of(200, name)));
    let gateway = Gateway::new(&aws());
    let keys = [
        "$default",
        "ANY /{all+}",
        "GET /api/v1/{proxy+}",
        "GET /api/v1/{kind}",
        "ANY /api/v1/rules",
        "POST /api/v1/rules",
        "GET /api/v1/{kind}/{id}",
    ];
    let gateway = keys.into_iter().fold(gateway, |gateway, key| {
        gateway.route(key, named(key)).unwrap()
    });
    let cases = [
        ("GET", "/", "$default"),
        ("PUT", "/api/v1/x", "ANY /{all+}"),
        ("GET", "/api/v1/a/b/c", "GET /api/v1/{proxy+}"),
        ("GET", "/api/v1/a", "GET /api/v1/{kind}"),
        ("GET", "/api/v1/a/b", "GET /api/v1/{kind}/{id}"),
        ("GET", "/api/v1/rules", "ANY /api/v1/rules"),
        ("POST", "/api/v1/rules", "POST /api/v1/rules"),
    ];
    for (method, path, expected) in cases {
        let (_, _, body) = call(&gateway, request(method, path)).await;
        assert_eq!(
            String::from_utf8(body).unwrap(),
            expected,
            "{method} {path}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_route_the_answer_is_api_gateways_404() {
    let gateway = Gateway::new(&aws())
        .route("GET /a/{b}", function(|_| Ok(answer_of(200, ""))))
        .unwrap();
    for (method, path) in [
        ("POST", "/a/b"),
        ("GET", "/a/"),
        ("GET", "/a"),
        ("GET", "/a/b/c"),
    ] {
        let (status, _, body) = call(&gateway, request(method, path)).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}");
        assert_eq!(body, br#"{"message":"Not Found"}"#);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_becomes_a_response() {
    let gateway = Gateway::new(&aws())
        .route(
            "GET /",
            function(|_| {
                let mut answer = answer_of(201, "AP8=");
                answer.is_base64_encoded = true;
                let png = HeaderValue::from_static("image/png");
                answer.headers.insert(CONTENT_TYPE, png);
                for value in ["1", "2"] {
                    let name = HeaderName::from_static("x-many");
                    answer
                        .multi_value_headers
                        .append(name, HeaderValue::from_static(value));
                }
                answer.cookies = vec!["a=1; HttpOnly".to_owned(), "b=2".to_owned()];
                Ok(answer)
            }),
        )
        .unwrap();
    let (status, headers, body) = call(&gateway, request("GET", "/")).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(headers[CONTENT_TYPE], "image/png");
    let all = |name: &str| {
        headers
            .get_all(name)
            .iter()
            .map(|v| v.to_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(all("x-many"), ["1", "2"]);
    assert_eq!(all("set-cookie"), ["a=1; HttpOnly", "b=2"]);
    assert_eq!(body, [0x00, 0xff]);
}

#[tokio::test(start_paused = true)]
async fn failures_look_as_they_do_on_aws() {
    let error = function(|_| Err("no".into()));
    let panic = function(|_| panic!("a handler's own fault"));
    let nonsense = function(|_| {
        let mut answer = answer_of(200, "not base64!");
        answer.is_base64_encoded = true;
        Ok(answer)
    });
    for failing in [error, panic, nonsense] {
        let gateway = Gateway::new(&aws()).route("GET /", failing).unwrap();
        let (status, _, body) = call(&gateway, request("GET", "/")).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(body, br#"{"message":"Internal Server Error"}"#);
    }
}

#[tokio::test(start_paused = true)]
async fn the_gateway_gives_up_after_thirty_seconds_and_the_run_goes_on() {
    let done = Arc::new(tokio::sync::Notify::new());
    let finished = Arc::clone(&done);
    let slow = Function::new("slow", Duration::from_secs(60), move |_, _| {
        let finished = Arc::clone(&finished);
        async move {
            tokio::time::sleep(Duration::from_secs(45)).await;
            finished.notify_one();
            Ok(answer_of(200, "late"))
        }
    });
    let gateway = Gateway::new(&aws()).route("GET /", slow).unwrap();
    let began = tokio::time::Instant::now();
    let (status, _, body) = call(&gateway, request("GET", "/")).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(body, br#"{"message":"Endpoint request timed out"}"#);
    assert_eq!(began.elapsed().as_secs(), 30);
    done.notified().await;
    assert_eq!(began.elapsed().as_secs(), 45);
}

#[tokio::test]
async fn over_a_socket_local_routes_come_first_and_long_bodies_are_refused() {
    let events = Events::default();
    let gateway = Gateway::new(&aws())
        .route("$default", keeping(&events))
        .unwrap();
    let local = axum::Router::new().route("/healthz", axum::routing::get(|| async { "well" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let until = async move { drop(stopped.await) };
    let server = tokio::spawn(gateway.serve(listener, local, until));

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let health = client.get(format!("{base}/healthz")).send().await.unwrap();
    assert_eq!(health.text().await.unwrap(), "well");
    let fits = vec![b'x'; MAXIMUM_BODY];
    let taken = client
        .post(format!("{base}/hooks"))
        .body(fits)
        .send()
        .await
        .unwrap();
    assert_eq!(taken.status(), StatusCode::OK);
    let long = client
        .post(format!("{base}/hooks"))
        .body(vec![b'x'; MAXIMUM_BODY + 1]);
    // The server may answer and hang up before the whole body is sent.
    if let Ok(refused) = long.send().await {
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    drop(client);
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    let events = events.lock().unwrap();
    assert_eq!(
        events.len(),
        1,
        "neither the health check nor the long body reached the function"
    );
    assert_eq!(
        events[0].request_context.http.source_ip.as_deref(),
        Some("127.0.0.1")
    );
}

#[test]
fn route_keys_are_checked() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for wrong in ["/path", "GET path", "GET /{all+}/more", "G@T /"] {
            let ok = function(|_| Ok(answer_of(200, "")));
            assert!(Gateway::new(&aws()).route(wrong, ok).is_err(), "{wrong}");
        }
    });
}

/// A gateway that answers 200 at once, under these limits; where it listens, and how it is stopped.
async fn under(limits: Limits) -> (SocketAddr, tokio::sync::oneshot::Sender<()>) {
    let gateway = Gateway::new(&aws()).route("$default", keeping(&Events::default()));
    let router = gateway.unwrap().into_router(axum::Router::new());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(server::serve(listener, router, limits, async move {
        drop(stopped.await);
    }));
    (address, stop)
}

/// Sends this and reads until the gateway hangs up.
async fn until_hung_up(address: SocketAddr, sent: &[u8]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let mut answer = Vec::new();
    // A reset is a way to hang up, too.
    let _read = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

const WHOLE: &[u8] = b"GET /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_request_that_never_ends_is_hung_up_on() {
    let limits = Limits {
        headers: Duration::from_millis(100),
        ..Limits::default()
    };
    let (address, _stop) = under(limits).await;
    for half in ["", "GET /a HT", "GET /a HTTP/1.1\r\nhost: a\r\nx-y: "] {
        let answer = until_hung_up(address, half.as_bytes()).await;
        assert!(!answer.contains("200"), "{half:?}: {answer}");
    }
    // A connection that idles after its request, too.
    let idle = until_hung_up(address, b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(idle.starts_with("HTTP/1.1 200"), "{idle}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_answered() {
    let gateway = Gateway::new(&aws()).route("$default", keeping(&Events::default()));
    let never = futures::stream::pending::<Result<Bytes, std::io::Error>>();
    let request = Request::post("/hooks/shop").body(Body::from_stream(never));
    let answer = gateway.unwrap().receive(request.unwrap()).await;
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn when_all_connections_are_taken_more_are_refused_until_one_is_free() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let (address, _stop) = under(limits).await;
    let connect = || tokio::net::TcpStream::connect(address);
    let held = [connect().await.unwrap(), connect().await.unwrap()];
    let refused = until_hung_up(address, WHOLE).await;
    assert!(
        refused.is_empty() || refused.starts_with("HTTP/1.1 503"),
        "{refused}"
    );
    drop(held);
    while !until_hung_up(address, WHOLE)
        .await
        .starts_with("HTTP/1.1 200")
    {
        tokio::task::yield_now().await;
    }
}

/// A flood is to be seen in the log, and is not to fill it.
#[tokio::test]
async fn that_connections_are_refused_is_one_line_of_the_log_until_there_is_room_again() {
    let logs = Captured::default();
    let writer = logs.clone();
    let levels = "info".parse().unwrap();
    let subscriber = telemetry::in_lambda(move || writer.clone(), &levels, Clock::system());
    let _subscriber = tracing::subscriber::set_default(subscriber);
    let said = |what: &str| {
        let mut lines = logs.json();
        lines.retain(|line| line["message"].as_str().unwrap().contains(what));
        lines
    };
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let (address, _stop) = under(limits).await;
    let connect = || tokio::net::TcpStream::connect(address);
    let held = [connect().await.unwrap(), connect().await.unwrap()];
    assert!(said("connections").is_empty(), "{}", logs.text());
    for _ in 0..5 {
        let refused = until_hung_up(address, WHOLE).await;
        assert!(!refused.contains("200"), "{refused}");
    }
    let lines = said("too many connections");
    let [line] = &lines[..] else {
        panic!("{}", logs.text());
    };
    assert_eq!((&line["level"], &line["all"]), (&"WARN".into(), &2.into()));
    assert_eq!(line["peer"], "127.0.0.1");
    drop(held);
    let mut refused = 5;
    while !until_hung_up(address, WHOLE)
        .await
        .starts_with("HTTP/1.1 200")
    {
        refused += 1;
        tokio::task::yield_now().await;
    }
    assert_eq!(said("too many connections").len(), 1);
    let lines = said("there is room for connections again");
    let [line] = &lines[..] else {
        panic!("{}", logs.text());
    };
    assert_eq!(line["refused"], refused);
}

#[tokio::test]
async fn a_stop_lets_go_of_idle_connections() {
    let (address, stop) = under(Limits::default()).await;
    let idle = until_hung_up(address, b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n");
    let idle = tokio::spawn(idle);
    let whole = until_hung_up(address, WHOLE).await;
    assert!(whole.starts_with("HTTP/1.1 200"), "{whole}");
    stop.send(()).unwrap();
    let answer = idle.await.unwrap();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 200"),
        "{answer}"
    );
}

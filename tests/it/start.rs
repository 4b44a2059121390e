//! Starting the program: what it keeps, what it says, and whom it lets in.

use std::os::unix::fs::PermissionsExt as _;

use reqwest::StatusCode;
use reqwest::header::{COOKIE, HOST, LOCATION, SET_COOKIE};
use serde_json::Value;

use crate::program::{Folder, client, text, tree};

const DOCUMENT: &str = r#"
[account]
name = "Mine"
zone = "Europe/Rome"
currency = "EUR"

[locations.milano]
name = "Milano"
kind = "warehouse"

[connectors.till]
kind = "generic"
webhook = { secret = "env:LOTWIRE_TILL_SECRET" }

[channels.room]
kind = "slack"
url = "env:LOTWIRE_ROOM"

[channels.other]
kind = "slack"
url = "env:LOTWIRE_OTHER"

[[routes]]
name = "all"
channels = ["room", "other"]

[[rules]]
name = "low"
kind = "low_stock"
threshold = 3
"#;

fn with_threshold(units: u32) -> String {
    DOCUMENT.replace("threshold = 3", &format!("threshold = {units}"))
}

/// `configuration  version 2, applied … (by)`
fn configuration(greeting: &str) -> &str {
    let mut lines = greeting.lines();
    lines
        .find(|line| line.starts_with("configuration"))
        .unwrap()
}

#[test]
fn a_data_directory_keeps_its_configuration_unless_another_is_named() {
    let folder = Folder::new();
    folder.write("lotwire.toml", DOCUMENT);
    let data = folder.path("data");
    let data = data.to_str().unwrap();
    let first = folder.start(&["--data", data]);
    let line = configuration(&first.greeting);
    assert!(
        line.contains("version 1") && line.contains("lotwire.toml"),
        "{line}"
    );

    // What `apply` set survives a restart, beside an older lotwire.toml.
    folder.write("newer.toml", &with_threshold(5));
    let applied = folder.run(&[
        "apply",
        "newer.toml",
        "--yes",
        "--url",
        &first.url,
        "--data",
        data,
    ]);
    let shown = text(&applied.stdout);
    assert!(applied.status.success(), "{}", text(&applied.stderr));
    assert!(shown.contains("~ rules.low.threshold: 3 -> 5"), "{shown}");
    drop(first);
    let again = folder.start(&["--data", data]);
    assert!(
        configuration(&again.greeting).contains("version 2"),
        "{}",
        again.greeting
    );
    assert!(
        again
            .greeting
            .contains("lotwire.toml here differs in 1 setting"),
        "{}",
        again.greeting
    );
    drop(again);

    // A folder without one is no reason to take the sample.
    let elsewhere = Folder::new();
    let kept = elsewhere.start(&["--data", data]);
    assert!(
        configuration(&kept.greeting).contains("version 2"),
        "{}",
        kept.greeting
    );
    assert!(!kept.greeting.contains("sample"), "{}", kept.greeting);
    drop(kept);

    folder.write("named.toml", &with_threshold(7));
    let named = folder.start(&["--data", data, "--config", "named.toml"]);
    let line = configuration(&named.greeting);
    assert!(
        line.contains("version 3") && line.contains("named.toml"),
        "{line}"
    );
    assert!(
        named.greeting.contains("~ rules.low.threshold: 5 -> 7"),
        "{}",
        named.greeting
    );
}

#[test]
fn an_address_or_a_document_that_cannot_be_used_leaves_nothing_behind() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let refused = |arguments: &[&str]| {
        let ended = folder.run(arguments);
        assert!(!ended.status.success());
        let left: Vec<_> = tree(folder.0.path()).into_iter().skip(1).collect();
        let left: Vec<_> = left
            .iter()
            .filter(|it| it.extension().is_none_or(|it| it != "toml"))
            .collect();
        assert!(left.is_empty(), "{arguments:?} left {left:?}");
        text(&ended.stderr)
    };
    let said = refused(&["--listen", &address.to_string()]);
    assert!(
        said.contains(&format!("cannot listen on {address}")),
        "{said}"
    );
    let said = refused(&["--listen", "nobody.invalid:9400"]);
    assert!(
        said.contains("cannot listen on nobody.invalid:9400"),
        "{said}"
    );
    folder.write(
        "broken.toml",
        &DOCUMENT.replace("threshold = 3", "threshold = -3"),
    );
    let said = refused(&["--listen", "127.0.0.1:0", "--config", "broken.toml"]);
    assert!(
        said.contains("broken.toml:30:13: rules.low.threshold"),
        "{said}"
    );
    let said = refused(&["--listen", "127.0.0.1:0", "--config", "missing.toml"]);
    assert!(said.contains("missing.toml: "), "{said}");
}

#[test]
fn a_start_says_what_comes_in_where_and_who_can_be_told() {
    let folder = Folder::new();
    folder.write("lotwire.toml", DOCUMENT);
    let mut command = folder.command(&["--listen", "localhost:0"]);
    command.env("LOTWIRE_ROOM", "https://hooks.slack.com/services/T0/B0/x");
    command.env("LOTWIRE_OTHER", "");
    let running = crate::program::Program::start(command);
    let said = &running.greeting;
    for line in [
        format!(
            "till (generic): {}/hooks/till; its LOTWIRE_TILL_SECRET is made up; start with it set to \
             the sender's own secret",
            running.url
        ),
        "room (slack): live".to_owned(),
        "other (slack): not live: env:LOTWIRE_OTHER is not set".to_owned(),
    ] {
        assert!(said.contains(&line), "{line} is not in {said}");
    }
    let token = std::fs::read_to_string(folder.path(".lotwire/token")).unwrap();
    assert!(
        !said.contains(token.trim()),
        "the token is for nobody's log"
    );

    let status = folder.run(&["status", "--url", &running.url]);
    let status = text(&status.stdout);
    assert!(status.contains("room (slack): live"), "{status}");
    assert!(
        status.contains("other (slack): not live: env:LOTWIRE_OTHER is not set"),
        "{status}"
    );
    assert!(
        status.contains("till (generic): webhooks at /hooks/till"),
        "{status}"
    );
    assert!(
        status.contains("its LOTWIRE_TILL_SECRET is made up"),
        "{status}"
    );
    assert!(status.contains("deliveries    none"), "{status}");
    let json = folder.run(&["status", "--json", "--url", &running.url]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["configuration"]["version"], 1);
}

#[test]
fn what_is_kept_is_for_its_owner_only() {
    let folder = Folder::new();
    let data = folder.path("data");
    // As a former version, or a careless copy, may have left it.
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(data.join("outbox.jsonl"), "").unwrap();
    let running = folder.start(&["--data", data.to_str().unwrap()]);
    let found = tree(&data);
    assert!(found.len() > 6, "{found:?}");
    for path in found {
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
    drop(running);
}

#[tokio::test]
async fn the_pages_are_open_here_and_ask_for_the_token_elsewhere() {
    let folder = Folder::new();
    let running = folder.start(&[]);
    let (client, url) = (client(), &running.url);
    let get = |path: &str, host: &str| {
        let request = client.get(format!("{url}{path}"));
        if host.is_empty() {
            request
        } else {
            request.header(HOST, host)
        }
    };
    for (path, says) in [
        ("/", "href=/outbox"),
        ("/status", "not live"),
        ("/outbox", "Outbox"),
        ("/docs/api.md", "GET /api/v1/status"),
    ] {
        let page = get(path, "").send().await.unwrap();
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        let page = page.text().await.unwrap();
        assert!(page.contains(says), "{path}: {page}");
    }
    // By another name, as from another machine.
    for path in ["/", "/status", "/outbox", "/outbox.json"] {
        let page = get(path, "stock.example").send().await.unwrap();
        assert_eq!(page.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let token = std::fs::read_to_string(folder.path(".lotwire/token")).unwrap();
    let by_token = get("/outbox.json", "stock.example").bearer_auth(token.trim());
    assert_eq!(by_token.send().await.unwrap().status(), StatusCode::OK);

    // The link works once, and leaves a cookie.
    let link = running
        .greeting
        .lines()
        .find_map(|line| line.split_once("/sign-in/"));
    let link = format!("/sign-in/{}", link.unwrap().1);
    let first = get(&link, "stock.example").send().await.unwrap();
    assert_eq!(
        (first.status(), &first.headers()[LOCATION]),
        (StatusCode::SEE_OTHER, &"/".parse().unwrap())
    );
    let cookie = first.headers()[SET_COOKIE]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    assert!(!cookie.contains(token.trim()));
    let second = get(&link, "stock.example").send().await.unwrap();
    assert_eq!(second.status(), StatusCode::UNAUTHORIZED);
    let inside = get("/outbox", "stock.example")
        .header(COOKIE, &cookie)
        .send()
        .await
        .unwrap();
    assert_eq!(inside.status(), StatusCode::OK);
    let forged = get("/outbox", "stock.example").header(COOKIE, format!("{cookie}0"));
    assert_eq!(
        forged.send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );

    // And so does the token, typed.
    for (typed, status) in [
        (token.trim(), StatusCode::SEE_OTHER),
        ("guess", StatusCode::UNAUTHORIZED),
        ("", StatusCode::UNAUTHORIZED),
    ] {
        let form = client
            .post(format!("{url}/sign-in"))
            .body(format!("token={typed}"));
        assert_eq!(form.send().await.unwrap().status(), status, "{typed}");
    }
}

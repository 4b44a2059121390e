//! Commands against a real server on this machine.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use api::{Api, Ports, Tokens};
use serde_json::Value;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::installation::Installations;
use shared::store::Store;

use super::*;
use crate::engine::{EmbeddedAws, Function, Settings};
use crate::gateway::Gateway;
use crate::stack::resources;

const DOCUMENT: &str = r#"
[account]
name = "Northgate"
zone = "Europe/London"
currency = "EUR"

[locations.north]
name = "North warehouse"
kind = "warehouse"
"#;

/// A served API and a directory to work in.
struct Site {
    url: String,
    directory: tempfile::TempDir,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Site {
    async fn open() -> Self {
        let aws = EmbeddedAws::in_memory(Settings::default()).unwrap();
        resources::make(&aws).unwrap();
        let store = Store::new(
            aws.dynamodb(),
            resources::TABLE,
            Clock::system(),
            Chance::seeded(1),
        );
        let tokens = Tokens::known(["open sesame".to_owned().into()]);
        let installations = Installations::new(store.clone());
        let api = Api::new(store, installations, tokens, Ports::default());
        let function = Function::new(
            "api",
            Duration::from_secs(30),
            move |event, invocation: crate::engine::Invocation| {
                let api = api.clone();
                async move { Ok(api.handle(event, invocation.deadline).await) }
            },
        );
        let gateway = Gateway::new(&aws).route("ANY /{proxy+}", function).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(gateway.serve(listener, axum::Router::new(), async {
            let _dropped = stopped.await;
        }));
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), "open sesame\n").unwrap();
        Self {
            url: format!("http://{address}"),
            directory,
            _stop: stop,
        }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Runs a command line as a process would; gives the exit code and what it wrote.
    async fn run(&self, line: &[&str]) -> (u8, String) {
        let data = self.directory.path().display().to_string();
        let server = ["--url", &self.url, "--data", &data];
        run(line.iter().copied().chain(server)).await
    }
}

async fn run<'a>(line: impl Iterator<Item = &'a str>) -> (u8, String) {
    let cli = Cli::try_parse_from(std::iter::once("lotwire").chain(line)).unwrap();
    let written = Mutex::new(Vec::new());
    let code = {
        let mut show = Show::to(To(&written), To(&written));
        let mut command = cli.command.unwrap();
        // Whatever stands in the tester's own environment is no token of these servers.
        command.server_mut().token =
            std::fs::read_to_string(command.server_mut().data.join("token"))
                .ok()
                .map(|token| token.trim().to_owned().into());
        end(carry_out(command, &mut show).await, &mut show)
    };
    let code = (0..=3).find(|it| ExitCode::from(*it) == code).unwrap();
    let written = written.into_inner().unwrap();
    (code, String::from_utf8(written).unwrap())
}

struct To<'a>(&'a Mutex<Vec<u8>>);

impl std::io::Write for To<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Command {
    fn server_mut(&mut self) -> &mut Server {
        match self {
            Self::Check { server, .. }
            | Self::Apply { server, .. }
            | Self::Replay { server, .. }
            | Self::Import { server, .. }
            | Self::Doctor { server } => server,
        }
    }
}

#[tokio::test]
async fn a_document_is_checked_without_a_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lotwire.toml");
    let file = path.display().to_string();
    std::fs::write(&path, DOCUMENT).unwrap();
    let (code, text) = run(["check", &file].into_iter()).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.starts_with("account: Northgate (Europe/London)"),
        "{text}"
    );

    std::fs::write(&path, DOCUMENT.replace("warehouse\"\n", "shed\"\n")).unwrap();
    let (code, text) = run(["check", &file].into_iter()).await;
    assert_eq!(code, 1);
    assert!(
        text.contains("lotwire.toml:9:8: locations.north.kind"),
        "{text}"
    );
    let (_, json) = run(["check", &file, "--json"].into_iter()).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["errors"][0]["line"], 9);

    let (code, _) = run(["check", "no-such-file.toml"].into_iter()).await;
    assert_eq!(code, 2);
}

#[tokio::test]
async fn a_document_is_shown_and_then_applied() {
    let site = Site::open().await;
    let file = site.file("lotwire.toml", DOCUMENT);
    let (code, text) = site.run(&["apply", &file]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("nothing was applied"), "{text}");
    let (code, text) = site.run(&["apply", &file, "--yes"]).await;
    assert_eq!(
        (code, text.contains("applied as version 1")),
        (0, true),
        "{text}"
    );
    let other = site.file(
        "lotwire.toml",
        &DOCUMENT.replace("North warehouse", "Leeds"),
    );
    let (_, text) = site.run(&["check", &other, "--diff"]).await;
    assert!(
        text.contains("~ locations.north.name: \"North warehouse\" -> \"Leeds\""),
        "{text}"
    );
}

#[tokio::test]
async fn a_file_is_compared_applied_and_its_repetition_is_harmless() {
    let site = Site::open().await;
    let document = site.file("lotwire.toml", DOCUMENT);
    assert_eq!(site.run(&["apply", &document, "--yes"]).await.0, 0);
    let rows: String = (0..1_200)
        .map(|n| format!("SKU-{n},north,{n},{}\n", n % 7))
        .collect();
    let file = site.file(
        "stock.csv",
        &format!("product,location,on_hand,threshold\n{rows}"),
    );
    let (code, planned) = site.run(&["import", &file]).await;
    assert_eq!(code, 0, "{planned}");
    assert!(
        planned.contains("would be: 2400 new, 0 changed"),
        "{planned}"
    );
    let (_, done) = site.run(&["import", &file, "--yes"]).await;
    assert!(done.contains("done: 2400 new, 0 changed"), "{done}");
    let (_, repeated) = site.run(&["import", &file, "--yes"]).await;
    assert!(
        repeated.contains("done: 0 new, 0 changed, 2400 unchanged"),
        "{repeated}"
    );

    let bad = site.file(
        "bad.csv",
        "product,location,on_hand\nSKU-1,north,5\nSKU-2,north,many\n",
    );
    let (code, text) = site.run(&["import", &bad]).await;
    assert_eq!(code, 1);
    assert!(
        text.contains("line 3, column 3: on_hand `many` is not a whole number"),
        "{text}"
    );

    let (code, text) = site.run(&["doctor"]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("1200 positions, 0 vehicles"), "{text}");
}

#[tokio::test]
async fn whoever_is_not_let_in_or_finds_nobody_hears_so() {
    let site = Site::open().await;
    std::fs::write(site.directory.path().join("token"), "guessed").unwrap();
    let (code, text) = site.run(&["doctor"]).await;
    assert_eq!(
        (code, text.contains("does not accept the token")),
        (3, true),
        "{text}"
    );
    // A port that was just given back is nobody's.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{free}");
    let data = site.directory.path().display().to_string();
    let (code, text) = run(["doctor", "--url", &url, "--data", &data].into_iter()).await;
    assert_eq!(
        (code, text.contains("cannot be reached")),
        (3, true),
        "{text}"
    );
    let (code, text) =
        run(["doctor", "--url", "http://example.com", "--data", &data].into_iter()).await;
    assert_eq!((code, text.contains("https only")), (2, true), "{text}");
}

#[test]
fn without_a_command_the_stack_starts() {
    let cli = Cli::try_parse_from([
        "lotwire",
        "--listen",
        "127.0.0.1:0",
        "--data",
        "here",
        "--empty",
    ])
    .unwrap();
    assert!(cli.command.is_none() && cli.start.empty);
    assert!(
        Cli::try_parse_from(["lotwire", "replay"]).is_err(),
        "a connector is needed"
    );
}

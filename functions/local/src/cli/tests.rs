//! Commands against a real server on this machine.

mod again;
mod init;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use api::{Api, Ports, Tokens};
use serde_json::Value;
use shared::chance::Chance;
use shared::clock::Clock;
use shared::domain::watch::Moment;
use shared::installation::Installations;
use shared::store::inbox::{InboxEntry, InboxState};
use shared::store::quarantine::Quarantined;
use shared::store::{Expect, Store};

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
    store: Store,
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
        let api = Api::new(store.clone(), installations, tokens, Ports::default());
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
            store,
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
        self.run_before(None, line).await
    }

    /// Each of these commands can be given as it was printed, and asks this server.
    fn would_take(&self, printed: &str) {
        let mut commands = printed.split("lotwire ").skip(1).peekable();
        assert!(commands.peek().is_some(), "{printed}");
        for command in commands {
            let command = command.split(['`', '\n']).next().unwrap();
            let line = std::iter::once("lotwire").chain(command.split_whitespace());
            let taken =
                Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{command}: {error}"));
            let mut command = taken.command.unwrap();
            let server = command.server_mut();
            assert_eq!(server.url.as_str().trim_end_matches('/'), self.url);
            assert_eq!(server.data, self.directory.path());
        }
    }

    /// The same before somebody who will have typed this.
    async fn run_before(&self, person: Option<&str>, line: &[&str]) -> (u8, String) {
        let data = self.directory.path().display().to_string();
        let server = ["--url", &self.url, "--data", &data];
        run_before(person, line.iter().copied().chain(server)).await
    }
}

async fn run<'a>(line: impl Iterator<Item = &'a str>) -> (u8, String) {
    run_before(None, line).await
}

async fn run_before<'a>(person: Option<&str>, line: impl Iterator<Item = &'a str>) -> (u8, String) {
    let cli = Cli::try_parse_from(std::iter::once("lotwire").chain(line)).unwrap();
    let written = Mutex::new(Vec::new());
    let code = {
        let mut show = Show::to(To(&written), To(&written));
        if let Some(person) = person {
            show = show.before(person.as_bytes());
        }
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
            | Self::Resend { server, .. }
            | Self::Import { server, .. }
            | Self::Quarantine { server, .. }
            | Self::Inbox { server, .. }
            | Self::Explain { server, .. }
            | Self::Sync { server, .. }
            | Self::Export { server, .. }
            | Self::Doctor { server, .. }
            | Self::Status { server }
            | Self::Evaluate { server } => server,
            Self::Bench(_) | Self::Init(_) => unreachable!("it asks no server"),
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
async fn a_document_is_shown_and_applied_by_consent() {
    let site = Site::open().await;
    let file = site.file("lotwire.toml", DOCUMENT);
    let (code, text) = site.run(&["apply", &file, "--dry-run"]).await;
    assert_eq!(code, 0, "{text}");
    let (code, text) = site.run(&["apply", &file]).await;
    assert_eq!((code, text.contains("nobody to ask")), (2, true), "{text}");
    for refusal in ["n\n", "\n", ""] {
        let (code, text) = site.run_before(Some(refusal), &["apply", &file]).await;
        assert_eq!(
            (code, text.contains("nothing was applied")),
            (0, true),
            "{text}"
        );
    }
    let (code, text) = site.run_before(Some("y\n"), &["apply", &file]).await;
    assert_eq!(
        (code, text.contains("applied as version 1")),
        (0, true),
        "{text}"
    );
    let (code, text) = site.run(&["apply", &file]).await;
    assert_eq!(code, 0, "nobody is asked about nothing: {text}");
    assert!(text.contains("what applies already"), "{text}");

    let other = site.file(
        "lotwire.toml",
        &DOCUMENT.replace("North warehouse", "Leeds"),
    );
    let (_, text) = site.run(&["check", &other, "--diff"]).await;
    let change = "~ locations.north.name: \"North warehouse\" -> \"Leeds\"";
    assert!(text.contains(change), "{text}");
    let (code, text) = site.run(&["apply", &other, "--yes"]).await;
    assert_eq!(code, 0);
    assert!(
        text.contains(change) && text.contains("applied as version 2"),
        "{text}"
    );
    let (code, text) = site.run(&["apply", &file, "--yes", "--json"]).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &answer["changed"]), (0, &Value::Bool(false)));
}

/// Somebody else applies another document while the question stands.
struct Meanwhile<'a> {
    site: &'a Site,
    document: &'a str,
    typed: std::io::Cursor<&'static [u8]>,
}

impl std::io::Read for Meanwhile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.typed.read(buffer)
    }
}

impl std::io::BufRead for Meanwhile<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        let line = [
            "apply",
            self.document,
            "--yes",
            "--url",
            &self.site.url,
            "--data",
        ];
        let data = self.site.directory.path().display().to_string();
        let applied = std::thread::scope(|scope| {
            let apply = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = { runtime }.enable_all().build().unwrap();
                runtime.block_on(run(line.into_iter().chain([data.as_str()])))
            });
            apply.join().unwrap()
        });
        assert_eq!(applied.0, 0, "{}", applied.1);
        self.typed.fill_buf()
    }
    fn consume(&mut self, read: usize) {
        self.typed.consume(read);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_is_not_applied_over_another_than_was_shown() {
    let site = Site::open().await;
    let mine = site.file("mine.toml", DOCUMENT);
    let theirs = site.file("theirs.toml", &DOCUMENT.replace("Northgate", "Southgate"));
    let written = Mutex::new(Vec::new());
    let code = {
        let person = Meanwhile {
            site: &site,
            document: &theirs,
            typed: std::io::Cursor::new(b"y\n"),
        };
        let mut show = Show::to(To(&written), To(&written)).before(person);
        let data = site.directory.path().display().to_string();
        let line = [
            "lotwire", "apply", &mine, "--url", &site.url, "--data", &data,
        ];
        let mut command = Cli::try_parse_from(line).unwrap().command.unwrap();
        command.server_mut().token = Some("open sesame".to_owned().into());
        end(carry_out(command, &mut show).await, &mut show)
    };
    let text = String::from_utf8(written.into_inner().unwrap()).unwrap();
    assert_eq!(code, ExitCode::from(2), "{text}");
    assert!(text.contains("version 1 applies"), "{text}");
    let (_, shown) = site.run(&["check", &theirs, "--diff"]).await;
    assert!(shown.contains("what applies already"), "{shown}");
}

#[tokio::test]
async fn a_file_is_compared_applied_and_its_repetition_is_harmless() {
    let site = Site::open().await;
    let document = site.file("lotwire.toml", DOCUMENT);
    assert_eq!(site.run(&["apply", &document, "--yes"]).await.0, 0);
    let rows: String = (0..400)
        .map(|n| format!("SKU-{n},north,{n},{}\n", n % 7))
        .collect();
    let file = site.file(
        "stock.csv",
        &format!("product,location,on_hand,threshold\n{rows}"),
    );
    let (code, planned) = site.run(&["import", &file]).await;
    assert_eq!(code, 0, "{planned}");
    assert!(
        planned.contains("would be: 800 new, 0 changed"),
        "{planned}"
    );
    let (_, done) = site.run(&["import", &file, "--yes"]).await;
    assert!(done.contains("done: 800 new, 0 changed"), "{done}");
    let (_, repeated) = site.run(&["import", &file, "--yes"]).await;
    assert!(
        repeated.contains("done: 0 new, 0 changed, 800 unchanged"),
        "{repeated}"
    );

    let bad = site.file(
        "bad.csv",
        "product,location,on_hand\nSKU-1,north,1\nSKU-2,north,many\n",
    );
    let (code, text) = site.run(&["import", &bad]).await;
    assert_eq!(code, 1);
    assert!(
        text.contains("line 3, column 3: on_hand `many` is not a whole number"),
        "{text}"
    );
    // Said once, although it is refused both times.
    let (code, text) = site.run(&["import", &bad, "--yes"]).await;
    assert_eq!(
        (code, text.matches("line 3, column 3").count()),
        (1, 1),
        "{text}"
    );

    // As a spreadsheet saves it: semicolons, its own names, Windows' letters.
    let path = site.directory.path().join("export.csv");
    std::fs::write(
        &path,
        b"SKU;Name;Stock;Location\r\nSKU-1;\"Tr\xe4ger; vorn\";1;north\r\n",
    )
    .unwrap();
    let (code, text) = site.run(&["import", path.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("title  SKU-1  –    Träger; vorn"), "{text}");
    assert!(text.contains("1 new, 0 changed, 1 unchanged"), "{text}");

    let (code, text) = site.run(&["doctor"]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("\n400 positions, 0 vehicles"), "{text}");
    // Ended early it goes on where it was.
    let (_, rest) = text.split_once("200 positions, ").unwrap();
    let (_, rest) = rest.split_once("--from ").unwrap();
    let (place, _) = rest.split_once('`').unwrap();
    let (code, text) = site.run(&["doctor", "--from", place]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("\n200 positions, 0 vehicles"), "{text}");

    let (code, text) = site.run(&["evaluate"]).await;
    assert_eq!(
        (code, text.contains("is being evaluated")),
        (0, true),
        "{text}"
    );
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

#[tokio::test]
async fn the_quarantine_is_a_list_to_work_off() {
    let site = Site::open().await;
    let (code, text) = site.run(&["quarantine"]).await;
    assert_eq!(
        (code, text.as_str()),
        (0, "nothing in quarantine is open\n")
    );
    let source = "erp".parse().unwrap();
    let why = ("no_data", "on_hand is empty");
    let now = site.store.clock().now();
    let held = Quarantined::new(&source, now, "stock.csv:2", "OIL,", why);
    assert!(site.store.quarantine(&held).await.unwrap());

    let (code, text) = site.run(&["quarantine"]).await;
    assert_eq!(code, 1);
    assert!(text.contains(&held.id), "{text}");
    assert!(
        text.contains("no_data: on_hand is empty (stock.csv:2)"),
        "{text}"
    );
    let flags = format!(
        "--url {} --data {}",
        site.url,
        site.directory.path().display()
    );
    let told = format!("lotwire quarantine {flags} dismiss ID --reason TEXT");
    assert!(text.contains(&told), "{text}");
    site.would_take(&text);
    let dismiss = ["quarantine", "dismiss", &held.id, "--reason", "given up"];
    let (code, text) = site.run(&dismiss).await;
    assert_eq!(code, 0, "{text}");
    let (code, text) = site.run(&["quarantine", "--state", "dismissed"]).await;
    assert_eq!(code, 0);
    assert!(text.trim_end().ends_with(": given up"), "{text}");
    let (code, text) = site.run(&dismiss).await;
    assert_eq!(code, 2, "{text}");
}

#[tokio::test]
async fn what_waits_for_approval_is_listed_and_decided() {
    let site = Site::open().await;
    let path = site.file("lotwire.toml", DOCUMENT);
    assert_eq!(site.run(&["apply", &path, "--yes"]).await.0, 0);
    let (code, text) = site.run(&["inbox"]).await;
    assert_eq!((code, text.as_str()), (0, "nothing waits for approval\n"));
    for (id, count) in [("drop-1", 40), ("drop-2", 7)] {
        let entry = InboxEntry {
            id: id.to_owned(),
            at: Moment(site.store.clock().now()),
            connector: "drop".parse().unwrap(),
            file: "stock.csv".to_owned(),
            count,
            held: 50,
            limit: "5 rows and 10 %".to_owned(),
            examples: vec!["OIL at north".to_owned()],
            set: "abc".to_owned(),
            state: InboxState::Waiting,
            by: None,
            resolved_at: None,
        };
        let saved = site.store.save_inbox(&entry, Expect::Absent).await;
        assert!(saved.unwrap());
    }
    let (code, text) = site.run(&["inbox"]).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("drop-1") && text.contains("stock.csv lacks 40 of 50, such as OIL at north"),
        "{text}"
    );
    let (_, text) = site.run(&["status"]).await;
    assert!(text.contains("2, listed by `lotwire inbox --url"), "{text}");
    site.would_take(&text);
    let state = async |id| {
        let entry = site.store.inbox_entry(id).await.unwrap();
        entry.unwrap().data.state
    };
    let (code, text) = site.run(&["inbox", "approve", "drop-1"]).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("removes those of the 40 that it still lacks"),
        "{text}"
    );
    assert_eq!(state("drop-1").await, InboxState::Approved);
    let (code, text) = site.run(&["inbox", "reject", "drop-2"]).await;
    assert_eq!(code, 0, "{text}");
    assert_eq!(state("drop-2").await, InboxState::Rejected);
    // Once decided it stays so.
    let (code, text) = site.run(&["inbox", "reject", "drop-1"]).await;
    assert_eq!(code, 2, "{text}");
    let (code, text) = site.run(&["inbox", "approve", "../status"]).await;
    assert_eq!(code, 2, "{text}");
    assert_eq!(site.run(&["inbox"]).await.0, 0);
}

/// As behind `| head`.
#[tokio::test]
async fn a_closed_pipe_ends_a_command_quietly() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let site = Site::open().await;
    let path = site.file("lotwire.toml", DOCUMENT);
    assert_eq!(site.run(&["apply", &path, "--yes"]).await.0, 0);
    let data = site.directory.path().display().to_string();
    for command in ["quarantine", "inbox", "status", "export"] {
        let line = ["lotwire", command, "--url", &site.url, "--data", &data];
        let mut command = Cli::try_parse_from(line).unwrap().command.unwrap();
        command.server_mut().token = Some("open sesame".to_owned().into());
        let written = Mutex::new(Vec::new());
        let code = {
            let mut show = Show::to(Closed, To(&written));
            end(carry_out(command, &mut show).await, &mut show)
        };
        assert_eq!(code, ExitCode::from(141));
        let written = String::from_utf8(written.into_inner().unwrap()).unwrap();
        assert_eq!(written, "");
    }
}

#[tokio::test]
async fn why_there_is_no_alert_is_told_in_words() {
    let site = Site::open().await;
    let path = site.directory.path().join("lotwire.toml");
    std::fs::write(&path, DOCUMENT).unwrap();
    let file = path.display().to_string();
    site.run(&["apply", &file, "--yes"]).await;
    let (code, text) = site.run(&["explain", "OIL", "north"]).await;
    assert_eq!(code, 0, "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "stock         nothing is known of OIL: no source has named it, and nobody has counted it",
            "low stock     No alert: no low_stock rule applies here.",
        ]
    );
    let (code, text) = site.run(&["explain", "OIL", "nowhere"]).await;
    assert_ne!(code, 0);
    assert!(text.contains("nowhere"), "{text}");
    let (code, text) = site.run(&["sync", "drop"]).await;
    assert_ne!(code, 0);
    assert!(text.contains("drop"), "{text}");
}

#[tokio::test]
async fn what_a_removed_place_takes_out_of_force_is_told_by_apply_and_export() {
    let site = Site::open().await;
    let two = format!("{DOCUMENT}\n[locations.south]\nname = \"South\"\nkind = \"warehouse\"\n");
    let two = site.file("two.toml", &two);
    assert_eq!(site.run(&["apply", &two, "--yes"]).await.0, 0);
    let rows = site.file(
        "rows.csv",
        "product,location,threshold\nOIL,north,3\nOIL,south,3\n",
    );
    assert_eq!(site.run(&["import", &rows, "--yes"]).await.0, 0);
    let (_, text) = site.run(&["export"]).await;
    assert!(!text.contains("of places that"), "{text}");

    let one = site.file("one.toml", DOCUMENT);
    let note = "note: without location `south`, what no longer applies: 1 imported threshold (OIL at south)";
    let (_, text) = site.run(&["apply", &one, "--dry-run"]).await;
    assert!(text.contains(note), "{text}");
    let (_, text) = site.run_before(Some("n\n"), &["apply", &one]).await;
    assert!(text.find(note) < text.find("apply this at"), "{text}");
    let (code, text) = site.run(&["apply", &one, "--yes"]).await;
    // Said once, although the server says it both times.
    assert_eq!((code, text.matches(note).count()), (0, 1), "{text}");
    let (code, text) = site.run(&["export"]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("OIL,,,,south,,3"), "{text}");
    assert!(
        text.contains("of places that the configuration does not have: 1;"),
        "{text}"
    );
    let (_, text) = site.run(&["export", "--json"]).await;
    assert!(!text.contains("in_force"), "{text}");
    // As it says, such a threshold can be taken away.
    let none = site.file("none.csv", "product,location,threshold\nOIL,south,none\n");
    assert_eq!(site.run(&["import", &none, "--yes"]).await.0, 0);
    let (_, text) = site.run(&["export"]).await;
    assert!(!text.contains("south"), "{text}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_told_by_check() {
    let site = Site::open().await;
    let drop = site.directory.path().join("drop");
    let files = format!("{DOCUMENT}\n[connectors.files]\nkind = \"files\"\nurl = {drop:?}\n");
    let file = site.file("lotwire.toml", &files);
    let (code, text) = site.run(&["check", &file]).await;
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("connectors.files.url: there is no folder"),
        "{text}"
    );
    // A server may have it.
    assert_eq!(site.run(&["check", &file, "--diff"]).await.0, 0);
    std::fs::create_dir(&drop).unwrap();
    assert_eq!(site.run(&["check", &file]).await.0, 0);
}

#[tokio::test]
async fn a_file_that_is_imported_again_says_what_stays_and_how_to_set_it_once_more() {
    let site = Site::open().await;
    let document = site.file("lotwire.toml", DOCUMENT);
    let (code, text) = site.run(&["apply", &document, "--yes"]).await;
    assert_eq!(code, 0, "{text}");
    let nine = site.file("nine.csv", "product,location,on_hand\nOIL,north,9\n");
    let four = site.file("four.csv", "product,location,on_hand\nOIL,north,4\n");
    for file in [&nine, &four] {
        let (code, text) = site.run(&["import", file, "--yes"]).await;
        assert_eq!(code, 0, "{text}");
    }
    for more in [None, Some("--yes")] {
        let line = ["import", &nine].into_iter().chain(more);
        let (code, text) = site.run(&line.collect::<Vec<_>>()).await;
        assert_eq!(code, 0, "{text}");
        assert!(!text.contains("stock  OIL at north"), "{text}");
        assert!(
            text.contains("1 repeated: this very file") && text.contains("With --again"),
            "{text}"
        );
    }
    let (_, text) = site.run(&["import", &nine, "--again", "--yes"]).await;
    assert!(text.contains("done: 0 new, 1 changed"), "{text}");
}

#[tokio::test]
async fn what_is_exported_can_be_imported_and_changes_nothing() {
    let site = Site::open().await;
    let document = site.file("lotwire.toml", DOCUMENT);
    let (code, text) = site.run(&["apply", &document, "--yes"]).await;
    assert_eq!(code, 0, "{text}");
    let rows = "product,location,threshold,recovery\n\"OIL, 5W40\",north,3,5\nPAD,,4,\n";
    let rows = site.file("rows.csv", rows);
    site.run(&["import", &rows, "--yes"]).await;
    let exported = site.file("exported.csv", "");
    let (code, text) = site.run(&["export", &exported]).await;
    assert_eq!(code, 0, "{text}");
    let table = std::fs::read_to_string(&exported).unwrap();
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains("\"OIL, 5W40\",,,,north,,3,"), "{table}");
    let (code, text) = site.run(&["import", &exported]).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("2 unchanged"), "{text}");
    let (_, shown) = site.run(&["export"]).await;
    assert!(shown.starts_with(&table), "{shown}");
    let data = site.directory.path().display().to_string();
    // Not a byte of it is lost where the server cannot be reached or does not know us.
    let line = ["export", &exported, "--url", "http://127.0.0.1:1", "--data"];
    let (code, text) = run(line.into_iter().chain([data.as_str()])).await;
    assert_eq!(code, 3, "{text}");
    assert_eq!(std::fs::read_to_string(&exported).unwrap(), table);
    let (code, _) = site.run(&["export", &exported, "--json"]).await;
    assert_eq!(code, 0);
    let rows: Value = serde_json::from_str(&std::fs::read_to_string(&exported).unwrap()).unwrap();
    assert_eq!(rows["rows"].as_array().unwrap().len(), 2);
    let mut listed = rows["rows"].as_array().unwrap().iter();
    assert!(listed.any(|row| row["product"] == "PAD"), "{rows}");
    let beside: Vec<_> = std::fs::read_dir(site.directory.path()).unwrap().collect();
    let hidden = beside.iter().filter(|it| {
        let name = it.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".part")
    });
    assert_eq!(hidden.count(), 0);
}

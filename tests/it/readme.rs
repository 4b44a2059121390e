//! README.md to the letter: its commands are taken from the text itself, run one after another in one
//! shell, and what they print is compared with what the text says.
//!
//! Three things differ from a reader's evening: the program is the one that was built for the tests,
//! the ports are free ones, and Slack is a stand-in on this machine.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::program::Folder;

const README: &str = include_str!("../../README.md");
const LOCAL: &str = include_str!("../../docs/local.md");
/// How long what takes "a second or two" may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);
const SLACK: &str = "https://hooks.slack.com/services/…";

/// A fenced block, under its `##` section.
#[derive(Debug)]
struct Block {
    section: String,
    language: String,
    text: String,
    line: usize,
}

fn blocks(text: &str) -> Vec<Block> {
    let (mut found, mut section) = (Vec::<Block>::new(), String::new());
    let mut open = false;
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(language) = line.strip_prefix("```") {
            if !open {
                found.push(Block {
                    section: section.clone(),
                    language: language.to_owned(),
                    text: String::new(),
                    line: number,
                });
            }
            open = !open;
        } else if open {
            let block = found.last_mut().unwrap();
            block.text.push_str(line);
            block.text.push('\n');
        } else if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut section);
        }
    }
    found
}

#[test]
fn it_says_what_it_is_in_three_lines_and_sets_up_in_two_commands() {
    let head = README.split("\n## Set up\n").next().unwrap();
    let lines: Vec<_> = head.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!((lines[0], lines.len()), ("# Lotwire", 4), "{lines:?}");
    let blocks = blocks(README);
    let set_up = blocks
        .iter()
        .filter(|block| block.section == "Set up" && block.language == "sh");
    let commands: Vec<_> = set_up.map(|block| block.text.trim()).collect();
    assert_eq!(commands, ["cargo run", "tests/run.sh"]);
}

/// One shell, as the reader's second terminal; the first one's `cargo run` is stopped and started in it.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

const END: &str = "== the end of a block ==";

impl Shell {
    fn open(folder: &Folder, port: u16, sftp: u16) -> Self {
        let mut child = Command::new("bash");
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOTWIRE_")) {
            child.env_remove(name);
        }
        let mut child = child
            .current_dir(folder.0.path())
            .env("PROGRAM", env!("CARGO_BIN_EXE_lotwire"))
            .env("PORT", port.to_string())
            .env("SFTP_PORT", sftp.to_string())
            .env("LOTWIRE_ALLOWED_HOSTS", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut shell = Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        // `cargo run` without a command is the first terminal's: it ends the one before it (Ctrl-C),
        // starts anew beside this shell, and is waited for.
        shell.run(
            r#"
set -o pipefail
running=
stop_it() { [ -z "$running" ] || { kill -INT "$running"; wait "$running" || true; running=; }; }
trap stop_it EXIT
cargo() {
    [ "$1" = run ] || { echo "cargo $*" >&2; return 1; }
    shift; [ "${1:-}" = -- ] && shift
    case "${1:-}" in
        ''|--*)
            stop_it
            "$PROGRAM" --listen "127.0.0.1:$PORT" "$@" > server.out 2> server.err &
            running=$!
            until grep -q '^stop ' server.out; do
                kill -0 "$running" || { cat server.err >&2; return 1; }
                sleep 0.05
            done
            ;;
        *) "$PROGRAM" "$@" --url "http://127.0.0.1:$PORT" ;;
    esac
}
"#,
        );
        shell
    }

    /// Runs commands; gives what they printed.
    fn run(&mut self, commands: &str) -> String {
        writeln!(
            self.input,
            "{commands}\nprintf '\\n%s %s\\n' '{END}' \"$?\""
        )
        .unwrap();
        let mut printed = String::new();
        loop {
            let before = printed.len();
            let read = self.output.read_line(&mut printed).unwrap();
            assert!(read > 0, "the shell ended: {printed}");
            if let Some(status) = printed[before..].strip_prefix(END) {
                assert_eq!(status.trim(), "0", "{commands}\nprinted {printed}");
                printed.truncate(before);
                return printed;
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _closed = writeln!(
            self.input,
            "stop_it; kill \"$(cat \"$sftp/pid\" 2>/dev/null)\" 2>/dev/null; exit"
        );
        let _reaped = self.child.wait();
    }
}

/// Whether a line is as the text says; `…` stands for anything.
fn is_as(line: &str, said: &str) -> bool {
    let mut parts = said.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

/// Whether all lines are; a line `…` stands for any number of lines.
fn all_are_as(printed: &str, said: &str) -> bool {
    fn from(printed: &[&str], said: &[&str]) -> bool {
        match (printed, said) {
            ([], []) => true,
            (_, ["…", rest @ ..]) => (0..=printed.len()).any(|skip| from(&printed[skip..], rest)),
            ([line, printed @ ..], [expected, said @ ..]) => {
                is_as(line, expected) && from(printed, said)
            }
            _ => false,
        }
    }
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    };
    let (printed, said) = (lines(printed), lines(said));
    from(
        &printed.iter().map(String::as_str).collect::<Vec<_>>(),
        &said.iter().map(String::as_str).collect::<Vec<_>>(),
    )
}

#[test]
fn an_ellipsis_stands_for_anything_and_nothing_else_does() {
    assert!(all_are_as(
        "{\"a\":\"x1\"}\n\nb\nc\nd\n",
        "{\"a\":\"…\"}\n…\nd\n"
    ));
    assert!(!all_are_as("{\"a\":\"x1\"}\nb\n", "{\"a\":\"…\"}\n"));
    assert!(!all_are_as("ab", "a") && !all_are_as("", "a") && !all_are_as("ba", "…b"));
}

/// Whether commands only ask, so that they may be asked again until what they set off is done.
fn only_asks(commands: &str) -> bool {
    let acts = [
        "-X ", "--data", "shopify ", "cargo ", "touch ", "printf ", "sed ", "kill ",
    ];
    !acts.iter().any(|act| commands.contains(act))
}

#[tokio::test(flavor = "multi_thread")]
async fn its_six_steps_work_to_the_letter() {
    let slack = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_string("ok"))
        .mount(&slack)
        .await;
    let folder = Folder::new();
    // The sample's files are where the reader has them.
    let sample = folder.path("functions/local");
    std::fs::create_dir_all(&sample).unwrap();
    let theirs = concat!(env!("CARGO_MANIFEST_DIR"), "/sample");
    std::os::unix::fs::symlink(theirs, sample.join("sample")).unwrap();
    let (port, sftp) = (free_port(), free_port());
    let address = format!("{}/services/T0/B0/x", slack.uri());

    let played = tokio::task::spawn_blocking(move || {
        let mut shell = Shell::open(&folder, port, sftp);
        shell.run("cargo run");
        let blocks = blocks(README);
        let mut steps = blocks
            .iter()
            .filter(|block| block.section == "Try it")
            .peekable();
        let mut compared = 0;
        while let Some(block) = steps.next() {
            assert_eq!(
                block.language, "sh",
                "line {}: output of nothing",
                block.line
            );
            let here = block
                .text
                .replace("127.0.0.1:9400", "127.0.0.1:$PORT")
                .replace("2222", "$SFTP_PORT")
                .replace(SLACK, &address);
            let mut printed = shell.run(&here);
            let Some(said) = steps.next_if(|next| next.language != "sh") else {
                continue;
            };
            compared += 1;
            let until = Instant::now() + SOON;
            while !all_are_as(&printed, &said.text) && only_asks(&here) && Instant::now() < until {
                printed = shell.run(&here);
            }
            assert!(
                all_are_as(&printed, &said.text),
                "README.md, line {}: the text says\n{}and this was printed:\n{printed}",
                said.line,
                said.text
            );
        }
        assert!(compared >= 8, "{compared} outputs were compared");
        // What the last step promises.
        let until = Instant::now() + SOON;
        loop {
            let sent = shell.run(
                r#"curl -sS "http://127.0.0.1:$PORT/outbox.json" | jq -r '.[] | select(.sent and .channel == "stock-room") | .body'"#,
            );
            if sent.contains("OIL-5W40-1L") || sent.contains("Engine oil") {
                break;
            }
            assert!(
                Instant::now() < until,
                "Slack was not told of the oil: {sent}"
            );
        }
    });
    played.await.unwrap();
    let told = slack.received_requests().await.unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|it| String::from_utf8_lossy(&it.body))
        .collect();
    assert!(told.iter().any(|it| it.contains("Engine oil")), "{told:?}");
}

#[test]
fn a_local_installation_is_backed_up_restored_and_upgraded_as_its_page_says() {
    let folder = Folder::new();
    let mut shell = Shell::open(&folder, free_port(), free_port());
    shell.run("cargo run");
    let count = |shell: &mut Shell, key: &str, quantity: u64| {
        let body = format!(
            r#"{{"type": "count", "product": "PAD-1", "location": "north", "quantity": {quantity}}}"#
        );
        shell.run(&format!(
            "curl -fsS -X POST http://127.0.0.1:$PORT/api/v1/movements \
             -H \"authorization: Bearer $(cat .lotwire/token)\" -H 'idempotency-key: {key}' \
             -H 'content-type: application/json' --data '{body}'"
        ))
    };
    let counted = |shell: &mut Shell| {
        let found = shell.run(
            "curl -fsS -H \"authorization: Bearer $(cat .lotwire/token)\" \
             \"http://127.0.0.1:$PORT/api/v1/positions?product=PAD-1\" | jq -c '.items[].on_hand'",
        );
        found.trim().to_owned()
    };
    count(&mut shell, "c1", 7);
    let steps = blocks(LOCAL);
    let play = |shell: &mut Shell, section: &str| {
        let mut blocks = steps.iter().filter(|it| it.section == section).peekable();
        assert!(blocks.peek().is_some(), "{section}");
        while let Some(block) = blocks.next() {
            // Who asks it has started it.
            let starts = block.text.contains("cargo ");
            let before = if starts { "cargo run\n" } else { "" };
            let printed = shell.run(&format!("{before}{}", block.text));
            if let Some(said) = blocks.next_if(|next| next.language == "text") {
                let line = said.line;
                assert!(all_are_as(&printed, &said.text), "line {line}: {printed}");
            }
        }
    };
    shell.run("stop_it");
    play(&mut shell, "Back up");
    shell.run("cargo run");
    count(&mut shell, "c2", 3);
    assert_eq!(counted(&mut shell), "3");
    shell.run("stop_it");
    play(&mut shell, "Restore");
    assert_eq!(counted(&mut shell), "7");
    play(&mut shell, "Upgrade");
    assert_eq!(counted(&mut shell), "7");
}

/// A port that was just given back is nobody's.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

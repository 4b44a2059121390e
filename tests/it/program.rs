//! The compiled program, run in a directory as a person would.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// What a start prints last: all of it has been read by then.
const LAST_LINE: &str = "stop ";

/// A running program; killed, not asked, when dropped.
pub(crate) struct Program {
    child: Child,
    /// What it printed when it was ready.
    pub(crate) greeting: String,
    pub(crate) url: String,
}

/// A folder to run it in, without any of the tester's own variables.
pub(crate) struct Folder(pub(crate) tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lotwire"));
        command.args(arguments).current_dir(self.0.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOTWIRE_")) {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// Starts the stack on a free port.
    pub(crate) fn start(&self, arguments: &[&str]) -> Program {
        let mut command = self.command(arguments);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "localhost:0"]);
        }
        Program::start(command)
    }
}

impl Program {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut greeting = String::new();
        for line in lines.by_ref() {
            let line = line.unwrap();
            greeting.push_str(&line);
            greeting.push('\n');
            if line.starts_with(LAST_LINE) {
                break;
            }
        }
        let mut errors = child.stderr.take().unwrap();
        let url = greeting.strip_prefix("lotwire ready on ");
        let Some(url) = url.and_then(|rest| rest.lines().next()) else {
            let mut said = String::new();
            errors.read_to_string(&mut said).unwrap();
            panic!("it did not start: {greeting}{said}");
        };
        // Whoever closes the pipes would end the program at its next line.
        std::thread::spawn(move || lines.for_each(drop));
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        Self {
            url: url.to_owned(),
            child,
            greeting,
        }
    }
}

impl Program {
    /// Ends it at once, by SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A client that follows no redirects.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Everything under a directory, itself included.
pub(crate) fn tree(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        if path.is_dir() {
            found.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|it| it.unwrap().path()),
            );
        }
    }
    found
}

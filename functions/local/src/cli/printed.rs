//! Commands that are printed work as they are printed: where another server is meant than the usual one, they
//! say which.

use std::path::Path;

use clap::CommandFactory as _;

use super::{Cli, DATA, URL};

const PROGRAM: &str = "lotwire ";

/// What a command has to say so that it asks this server; nothing of the usual one.
pub(crate) fn flags(url: &str, data: &Path) -> String {
    let (url, data) = (url.trim_end_matches('/'), data.display().to_string());
    let mut flags = String::new();
    if url != URL {
        flags.push_str(&format!(" --url {}", quoted(url)));
    }
    if data != DATA {
        flags.push_str(&format!(" --data {}", quoted(&data)));
    }
    flags
}

/// A text with the flags in each of its commands that asks a server.
pub(crate) fn completed(text: &str, flags: &str) -> String {
    if flags.is_empty() {
        return text.to_owned();
    }
    let program = Cli::command();
    let asks = |word: &str| {
        let command = program.find_subcommand(word);
        command.is_some_and(|it| {
            it.get_arguments()
                .any(|argument| argument.get_id() == "url")
        })
    };
    let (mut done, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(PROGRAM) {
        let (before, command) = rest.split_at(at + PROGRAM.len());
        let is_word = |c: char| c.is_ascii_lowercase();
        let length = command.find(|c| !is_word(c)).unwrap_or(command.len());
        let (word, after) = command.split_at(length);
        done.push_str(before);
        done.push_str(word);
        if asks(word) {
            done.push_str(flags);
        }
        rest = after;
    }
    done.push_str(rest);
    done
}

/// As a shell takes it for one word.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_command_asks_the_server_that_is_meant() {
        assert_eq!(flags("http://127.0.0.1:9400/", Path::new(".lotwire")), "");
        let flags = flags("http://127.0.0.1:9500/", Path::new("my data"));
        for (told, expected) in [
            (
                "see `lotwire status`.",
                "see `lotwire status --url http://127.0.0.1:9500 --data 'my data'`.",
            ),
            (
                "to leave it: lotwire quarantine dismiss ID --reason TEXT",
                "to leave it: lotwire quarantine --url http://127.0.0.1:9500 --data 'my data' dismiss ID \
                 --reason TEXT",
            ),
            ("`lotwire init` writes one", "`lotwire init` writes one"),
            ("lotwire ready on http://x", "lotwire ready on http://x"),
            (
                "`lotwire --config mine.toml`",
                "`lotwire --config mine.toml`",
            ),
            ("nothing", "nothing"),
        ] {
            assert_eq!(completed(told, &flags), expected);
            assert_eq!(completed(told, ""), told);
        }
    }
}

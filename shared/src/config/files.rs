//! Whether a source of files can be read as it is set up: what would fail with each read is told before
//! the first.

use jiff::SignedDuration;

use super::connector::Ready;
use super::document::Node;
use super::error::Problems;
use super::references::text;
use crate::feeds::pickup::{PickupSettings, can_take, matches, takes_name};
use crate::feeds::transport::{Place, SourceSettings};
use crate::feeds::{ftp, https, sftp};

/// Sources are read this often; one that is stale before the next read always is.
const BETWEEN_READS: SignedDuration = SignedDuration::from_mins(15);
/// For how long a sender of webhooks may be silent: no shorter than five looks take, and no longer than its
/// last webhook is surely known.
const BETWEEN_LOOKS: SignedDuration = SignedDuration::from_mins(5);
const MOST_SILENT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Where a document is to be in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    /// On this one: its folders can be looked at.
    This,
    /// Wherever.
    Any,
}

/// Checks a connector's patience, and its other settings if it reads files.
pub(crate) fn check_files(connector: &Node<'_>, machine: Machine, problems: &mut Problems<'_>) {
    let word = |key: &str| connector.get(key).and_then(|field| text(&field));
    let reads = word("kind").as_deref() == Some("files");
    check_times(connector, reads, problems);
    if !reads {
        return;
    }
    let flag = |key: &str| connector.get(key).and_then(|field| field.value.as_bool());
    let Some(url) = connector.get("url") else {
        return;
    };
    // One of which an escape has made something else is told of already.
    let address = text(&url).filter(|it| !it.contains(char::is_control));
    let Some(address) = address else { return };
    let source = SourceSettings {
        insecure: flag("insecure").unwrap_or(false),
        ..SourceSettings::at(address)
    };
    let place = match source.place() {
        Ok(place) => place,
        Err(error) => {
            url.refuse(problems, error.problem);
            return;
        }
    };
    check_credentials(connector, &place, problems);
    check_pickup(connector, &place, problems);
    match &place {
        Place::Folder(folder) => {
            let is_read = machine == Machine::This && flag("enabled") != Some(false);
            if is_read && !folder.is_dir() {
                let problem = format!(
                    "there is no folder {} on this machine; make it first",
                    folder.display()
                );
                url.refuse(problems, problem);
            }
        }
        Place::Sftp(remote) | Place::Ftp { remote, .. } => {
            if remote.user.is_empty() {
                url.refuse(
                    problems,
                    "names no user; put one before the host, as in `sftp://user@host/drop/`",
                );
            }
        }
        Place::Https(address) => {
            if let Err(error) = https::file_name(address) {
                url.refuse(problems, error.problem);
            }
        }
    }
}

/// Two sources that take the same files would each archive the other's before it is read.
pub(crate) fn check_apart<'d>(
    connectors: impl IntoIterator<Item = (String, Node<'d>)>,
    problems: &mut Problems<'_>,
) {
    let mut seen: Vec<(String, Place, String)> = Vec::new();
    for (name, connector) in connectors {
        let word = |key: &str| connector.get(key).and_then(|field| text(&field));
        let enabled = connector.get("enabled").and_then(|it| it.value.as_bool());
        let (Some("files"), Some(url)) = (word("kind").as_deref(), word("url")) else {
            continue;
        };
        let source = SourceSettings {
            insecure: true, // whether that is permitted is asked elsewhere
            ..SourceSettings::at(url)
        };
        // Nothing is moved on a web server.
        let place = source.place().ok();
        let place = place.filter(|it| enabled != Some(false) && !matches!(it, Place::Https(_)));
        let Some(place) = place else { continue };
        let glob = word("glob").unwrap_or_else(|| PickupSettings::default().glob);
        let takes = |one: &str, other: &str| matches(one, &other.replace(['*', '?'], "ß"));
        let other = seen.iter().find(|(_, there, theirs)| {
            there.is_same(&place) && (takes(theirs, &glob) || takes(&glob, theirs))
        });
        if let Some((other, ..)) = other {
            let problem = format!(
                "connector `{other}` takes the same files from there, and each would archive the other's; \
                 give each a folder of its own, or a `glob` that means its own files"
            );
            let key = if connector.get("glob").is_some() {
                "glob"
            } else {
                "url"
            };
            connector.refuse_field(problems, key, problem);
        }
        seen.push((name, place, glob));
    }
}

/// What the place needs to let us in, and what it has no use for.
fn check_credentials(connector: &Node<'_>, place: &Place, problems: &mut Problems<'_>) {
    let (what, keys): (_, &[&str]) = match place {
        Place::Folder(_) => ("a folder", &[]),
        Place::Https(_) => ("a web address", &["token"]),
        Place::Sftp(_) => (
            "an SFTP server",
            &["password", "private_key", "passphrase", "host_key"],
        ),
        Place::Ftp { .. } => ("an FTP server", &["password", "extra_root"]),
    };
    for key in [
        "password",
        "private_key",
        "passphrase",
        "host_key",
        "token",
        "extra_root",
    ] {
        if connector.get(key).is_some() && !keys.contains(&key) {
            connector.refuse_field(
                problems,
                key,
                format!("is of no use for {what}; leave it out"),
            );
        }
    }
    match place {
        Place::Folder(_) | Place::Https(_) => {}
        Place::Ftp { .. } => {
            if connector.get("password").is_none() {
                let problem = "missing; an FTP server lets nobody in without one";
                connector.refuse_field(problems, "password", problem);
            }
            let root = connector.get("extra_root");
            if let Some(field) = root
                && let Some(pem) = text(&field)
                && let Err(problem) = ftp::certificates(&pem)
            {
                field.refuse(problems, problem);
            }
        }
        Place::Sftp(_) => {
            match connector.get("host_key") {
                None => {
                    let problem = "missing; an SFTP server is known by its key alone: give `SHA256:…`, as `ssh-keygen -lf` prints it";
                    connector.refuse_field(problems, "host_key", problem);
                }
                Some(field) => {
                    if text(&field).is_some_and(|key| !sftp::is_fingerprint(&key)) {
                        let problem = "is no key's fingerprint; give `SHA256:` and 43 characters, as `ssh-keygen -lf` prints it";
                        field.refuse(problems, problem);
                    }
                }
            }
            if connector.get("password").is_none() && connector.get("private_key").is_none() {
                connector.refuse_field(
                    problems,
                    "private_key",
                    "missing; give a `private_key` or a `password`",
                );
            }
        }
    }
}

/// Whether any file can be picked up.
fn check_pickup(connector: &Node<'_>, place: &Place, problems: &mut Problems<'_>) {
    let word = |key: &str| connector.get(key).and_then(|field| text(&field));
    let usual = PickupSettings::default();
    let settings = PickupSettings {
        glob: word("glob").unwrap_or(usual.glob),
        done_suffix: word("done_suffix").unwrap_or(usual.done_suffix),
        checksum_suffix: word("checksum_suffix").unwrap_or(usual.checksum_suffix),
        ..PickupSettings::default()
    };
    let mut suffixes_are_sound = true;
    for (key, suffix) in [
        ("done_suffix", &settings.done_suffix),
        ("checksum_suffix", &settings.checksum_suffix),
    ] {
        if suffix.contains(['/', '\\']) {
            let problem = "has a slash in it; markers lie beside their files";
            connector.refuse_field(problems, key, problem);
        }
        // That it is empty is told already. Every name ends with it.
        suffixes_are_sound &= !suffix.is_empty();
    }
    if settings.glob.is_empty() {
        // So is this.
    } else if settings.glob.contains(['/', '\\']) {
        let problem =
            "has a slash in it, and is matched with names alone; the folder belongs into `url`";
        connector.refuse_field(problems, "glob", problem);
    } else if settings.glob.contains(['[', '{']) {
        let problem = "only `*` and `?` stand for other characters; where one of several is meant, write `?` or `*`";
        connector.refuse_field(problems, "glob", problem);
    } else if suffixes_are_sound {
        let served = match place {
            Place::Https(address) => https::file_name(address).ok(),
            _ => None,
        };
        if let Some(name) = served {
            if !takes_name(&name, &settings) {
                let problem = format!("does not mean the one file that `url` names, `{name}`");
                connector.refuse_field(problems, "glob", problem);
            }
        } else if !can_take(&settings) {
            let problem = "means no file that is ever read: names that begin with a point, and those that end in `.part`, `.tmp`, `.filepart` or a marker's ending, are left alone";
            connector.refuse_field(problems, "glob", problem);
        }
    }
    // A web server lists no markers.
    let ready = connector.get("ready");
    if let Some(field) = ready.filter(|_| matches!(place, Place::Https(_)))
        && text(&field).is_some_and(|it| it != Ready::Stable.name())
    {
        let problem = "a web address shows one file and no marker beside it; use `stable`";
        field.refuse(problems, problem);
    }
}

fn check_times(connector: &Node<'_>, reads: bool, problems: &mut Problems<'_>) {
    let Some(field) = connector.get("stale_after") else {
        return;
    };
    let span = text(&field).and_then(|it| it.parse::<SignedDuration>().ok());
    let Some(span) = span.filter(|span| !span.is_negative()) else {
        return;
    };
    if !reads && !(BETWEEN_LOOKS..=MOST_SILENT).contains(&span) {
        field.refuse(
            problems,
            "is less than 5 minutes or more than 7 days of silence",
        );
    }
    if reads && span < BETWEEN_READS {
        field.refuse(
            problems,
            "is shorter than the 15 minutes between two reads, so that it would always be stale",
        );
    }
}

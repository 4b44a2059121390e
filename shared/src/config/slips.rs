//! Slips of whoever writes TOML seldom, in words that say what to write instead: curly quotes, Windows paths,
//! brackets.

use std::ops::Range;

use toml::de::DeValue;

use super::document::Node;
use super::error::Problems;
use super::words::shortened;

/// Quotation marks of word processors and of other languages, and the accent that looks like one.
const CURLY: [char; 11] = ['“', '”', '„', '‟', '«', '»', '‘', '’', '‚', '‛', '`'];
const PATH: &str = "a backslash between double quotes begins an escape, such as `\\n` for a new line; write one that \
                    is meant as it stands, as in a Windows path, between single quotes: 'C:\\Users\\till'";

/// What makes a text no TOML, and where: in the reader's words, unless it is one of these slips.
pub(crate) fn in_words(text: &str, span: &Range<usize>, message: &str) -> (Range<usize>, String) {
    let (start, line) = line_at(text, span.start);
    if let Some((at, quote)) = curly(line) {
        let straight = match quote {
            '‘' | '’' | '‚' | '‛' | '`' => '\'',
            _ => '"',
        };
        let problem =
            format!("`{quote}` is no quotation mark here; type a straight one: {straight}");
        return (start + at..start + at + quote.len_utf8(), problem);
    }
    let ends_in_escape = message.contains("basic string") && line.trim_end().ends_with("\\\"");
    let is_escape = message.contains("escaped value") || message.contains("unicode");
    let before = match ends_in_escape {
        true => line,
        false => text.get(start..span.start).unwrap_or_default(),
    };
    if (is_escape || ends_in_escape)
        && let Some(at) = before.rfind('\\')
    {
        return (start + at..start + at + 1, PATH.to_owned());
    }
    if message == "duplicate key" {
        return (span.clone(), twice(text, span, line));
    }
    (span.clone(), message.to_owned())
}

/// A second table or value of a name, or a list of tables that is begun as a table.
fn twice(text: &str, span: &Range<usize>, line: &str) -> String {
    let key = text.get(span.clone()).unwrap_or_default();
    let key = shortened(key.trim().trim_matches(['"', '\'']));
    match begins(line) {
        Some(_) => format!(
            "`{key}` stands there already: a name is given once. Of several in a list each begins with \
             two brackets, as `[[rules]]`; of several that go by name each has its own, as `[channels.NAME]`"
        ),
        None => format!("`{key}` stands there already: a key is given once in a table"),
    }
}

/// The first curly quote of a line that is within no straight ones; or the one that was to end them.
fn curly(line: &str) -> Option<(usize, char)> {
    let (mut within, mut escaped) = (None, false);
    for (at, c) in line.char_indices() {
        match within {
            _ if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(quote) if c == quote => within = None,
            Some(_) => {}
            None if c == '#' => return None,
            None if matches!(c, '"' | '\'') => within = Some(c),
            None if CURLY.contains(&c) => return Some((at, c)),
            None => {}
        }
    }
    let last = line.trim_end_matches([' ', '\t', '\r', ',', ']', '}']);
    let last = last.char_indices().next_back();
    last.filter(|(_, c)| within.is_some() && CURLY.contains(c))
}

/// A line of a text and where it begins.
fn line_at(text: &str, at: usize) -> (usize, &str) {
    let at = text.floor_char_boundary(at);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[start..].split('\n').next().unwrap_or_default();
    (start, line)
}

/// A line that begins a table, `[rules.low]`, or one of a list of tables, `[[rules]]`: as it is written, and
/// its keys.
fn begins(line: &str) -> Option<(&str, Vec<&str>)> {
    let line = line.trim_start();
    let written = line.get(..=line.rfind(']')?)?;
    let keys = written.strip_prefix('[')?.strip_suffix(']')?;
    let keys = keys
        .strip_prefix('[')
        .and_then(|keys| keys.strip_suffix(']'))
        .unwrap_or(keys);
    Some((written, keys.split('.').map(str::trim).collect()))
}

/// What to write in place of a table where a list of tables is expected.
pub(crate) fn of_list(node: &Node<'_>, problems: &Problems<'_>) -> Option<String> {
    let table = node.value.as_table()?;
    let (_, line) = line_at(problems.text(), node.span.start);
    let Some((written, keys)) = begins(line) else {
        return Some("put it into brackets: `[{ … }]`".to_owned());
    };
    let depth = keys.iter().position(|key| *key == node.name())?;
    let mut advice = format!(
        "write `[[{}]]`, with two brackets, in place of `{}`",
        keys[..=depth].join("."),
        shortened(written)
    );
    let holds = |value: &DeValue<'_>| value.as_table().is_some() || value.as_array().is_some();
    let named = table.iter().find(|(_, value)| holds(value.get_ref()));
    if let Some((name, _)) = named.filter(|_| depth + 1 < keys.len()) {
        let name = shortened(name.get_ref());
        advice.push_str(&format!(", and `name = \"{name}\"` below it"));
    }
    Some(advice)
}

/// What to write in place of a list of tables where tables that go by name are expected, or a single one.
pub(crate) fn of_table(node: &Node<'_>, by_name: bool, problems: &Problems<'_>) -> Option<String> {
    let list = node.value.as_array()?;
    let (_, line) = line_at(problems.text(), node.span.start);
    let (written, keys) = begins(line)?;
    let (written, keys) = (shortened(written), keys.join("."));
    if !by_name {
        return Some(format!("write `[{keys}]` in place of `{written}`"));
    }
    let name = list.first().and_then(|first| first.get_ref().as_table());
    let name = name.and_then(|first| first.get("name"));
    let name = name.and_then(|name| name.get_ref().as_str());
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name = name.filter(|it| !it.is_empty() && it.len() <= 40 && it.chars().all(bare));
    Some(format!(
        "each goes by its name: write `[{keys}.{}]` in place of `{written}`",
        name.unwrap_or("NAME")
    ))
}

/// What to write where settings of one table stand in that of all tables that go by name; and the first of
/// these settings.
pub(crate) fn of_named<'d>(node: &Node<'d>) -> Option<(Node<'d>, String)> {
    let stray = node.entries().map(|(_, child)| child);
    let stray = stray.filter(|child| is_plain(child.value));
    let first = stray.min_by_key(|child| child.span.start)?;
    let advice = format!(
        "each goes by a name: begin it with `[{}.NAME]`, and write its settings below that",
        node.path
    );
    Some((first, advice))
}

/// Whether it is neither a table nor a list.
pub(crate) fn is_plain(value: &DeValue<'_>) -> bool {
    value.as_table().is_none() && value.as_array().is_none()
}

/// Windows paths of which an escape has made something else: `"C:\temp"` has a tab in it.
pub(crate) fn check_paths(node: &Node<'_>, problems: &mut Problems<'_>) {
    if let DeValue::String(text) = node.value
        && let [drive, b':', escaped, ..] = text.as_bytes()
        && drive.is_ascii_alphabetic()
        && escaped.is_ascii_control()
    {
        node.refuse(problems, PATH);
    }
    for (_, child) in node.entries() {
        check_paths(&child, problems);
    }
}

//! Words of error messages: lists, suggestions, and what of a value may be shown.

/// `` `a` ``, `` `a` or `b` ``, `` `a`, `b` or `c` ``
pub(crate) fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// The name that was most likely meant, if one is close enough.
pub(crate) fn nearest<'n>(found: &str, names: &[&'n str]) -> Option<&'n str> {
    let found = found.to_ascii_lowercase().replace(['-', ' '], "_");
    if found.len() > 64 {
        return None;
    }
    names
        .iter()
        .map(|name| (distance(&found, name), *name))
        .filter(|(distance, name)| *distance <= (name.chars().count() / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

/// Of these names the few that are most like what was written, the nearest first: one begins with it, or
/// has a few other characters.
pub fn alike(found: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
    const FEW: usize = 3;
    let wanted = found.to_lowercase();
    if wanted.chars().count() > 64 {
        return Vec::new();
    }
    let mut near: Vec<(usize, String)> = names
        .into_iter()
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let edits = distance(&wanted, &lower);
            let close = edits <= (wanted.chars().count() / 3).max(1);
            (close || lower.starts_with(&wanted)).then_some((edits, name))
        })
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().map(|(_, name)| name).take(FEW).collect()
}

/// The number of single-character edits, a swap of neighbours being one, from one text to the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

/// The last part of a dotted path.
pub(crate) fn last_of(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// A value for a message, in backquotes, unless it might be a secret.
///
/// Someone will paste a token into the wrong field; a message ends up in a build log.
pub(crate) fn shown(path: &str, value: &str) -> String {
    shown_unless_secret(path, value).unwrap_or_else(|| "this value".to_owned())
}

/// The same; nothing if it might be a secret.
pub(crate) fn shown_unless_secret(path: &str, value: &str) -> Option<String> {
    (!may_be_secret(path, value)).then(|| format!("`{}`", shortened(value)))
}

fn may_be_secret(path: &str, value: &str) -> bool {
    const TELLING: [&str; 6] = ["secret", "token", "password", "key", "url", "credential"];
    let telling = TELLING.iter().any(|word| last_of(path).contains(word));
    telling || !looks_like_words(value)
}

/// Words and small numbers, as in `Europe/Rome` or `north-warehouse-12`. Anything denser is a
/// secret for all we know.
fn looks_like_words(value: &str) -> bool {
    let short = value.len() < 12;
    let word = |part: &str| {
        let same_case = |rest: &str| {
            rest.chars().all(char::is_lowercase) || rest.chars().all(char::is_uppercase)
        };
        let mut rest = part.chars();
        rest.next();
        let number = part.len() <= 4 && part.chars().all(|c| c.is_ascii_digit());
        let letters = part.chars().all(char::is_alphabetic) && same_case(rest.as_str());
        part.len() < 16 && (short || number || letters)
    };
    value.len() <= 40 && value.split([' ', '/', ':', '.', ',', '-', '_']).all(word)
}

/// Text cut to a length that suits one line, with control characters made visible.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    let mut short: String = text
        .chars()
        .take(MOST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(MOST).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        let names = ["threshold", "boundary", "basis"];
        assert_eq!(nearest("treshold", &names), Some("threshold"));
        assert_eq!(nearest("Boundray", &names), Some("boundary"));
        assert_eq!(nearest("colour", &names), None);
        assert_eq!(
            nearest("keep-firing", &["keep_firing"]),
            Some("keep_firing")
        );
    }

    #[test]
    fn a_swap_of_neighbours_is_one_edit() {
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn what_might_be_a_secret_is_not_shown() {
        for value in [
            "under",
            "15 minutes",
            "America/New_Yrok",
            "north-warehouse-12",
            "Größe",
            "",
        ] {
            assert_eq!(shown("rules.a.boundary", value), format!("`{value}`"));
        }
        for (path, value) in [
            ("channels.a.token", "short"),
            ("rules.a.boundary", "xoxb-1234567890-abcdef"),
            (
                "account.name2",
                "https://hooks.example.com/T000/B000XXXX1234",
            ),
            ("routes.a.channels", "abcdefghijklmnopqrstuvwxyz"),
            ("routes.a.channels", "+0aAA0a0/a00+0Aa"),
            ("rules.a.kind", "AbCdEfGhIjKl"),
        ] {
            assert_eq!(shown(path, value), "this value", "{path} = {value}");
        }
    }

    #[test]
    fn lists_read_like_sentences() {
        assert_eq!(one_of(&["a"]), "`a`");
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
    }
}

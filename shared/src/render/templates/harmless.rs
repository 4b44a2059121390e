//! What a template may not contain, so that it can neither run long nor grow.

use super::TemplateError;

/// The longest source, in bytes.
pub(super) const LONGEST_SOURCE: usize = 8 * 1024;

/// Refuses what could make a template run long or grow: statements other than `if`, and `*`.
///
/// Reads the source as the template engine does: text, comments, and code in which a quoted string
/// is no code.
pub(super) fn harmless(source: &str) -> Result<(), TemplateError> {
    let refuse = |at: usize, problem: String| TemplateError {
        line: source[..at].matches('\n').count() + 1,
        problem,
    };
    if source.len() > LONGEST_SOURCE {
        let problem = format!("a template has at most {LONGEST_SOURCE} bytes");
        return Err(TemplateError { line: 1, problem });
    }
    let mut at = 0;
    while let Some(found) = source[at..]
        .find("{{")
        .into_iter()
        .chain(source[at..].find("{%"))
        .chain(source[at..].find("{#"))
        .min()
    {
        at += found;
        let kind = &source[at..at + 2];
        let inside = at + 2;
        if kind == "{#" {
            at = source[inside..]
                .find("#}")
                .map_or(source.len(), |end| inside + end + 2);
            continue;
        }
        if kind == "{%" {
            let word: String = source[inside..]
                .trim_start_matches(['-', '+'])
                .trim_start()
                .chars()
                .take_while(char::is_ascii_alphanumeric)
                .collect();
            if !matches!(word.as_str(), "if" | "elif" | "else" | "endif") {
                return Err(refuse(
                    at,
                    format!("\"{word}\" is not available; the only statement is \"if\""),
                ));
            }
        }
        at = code_end(source, inside)
            .map_err(|(at, what)| refuse(at, format!("\"{what}\" is not available")))?;
    }
    Ok(())
}

/// Where the code that begins here ends, or where it uses `*` or a map, whose closing braces would
/// look like the end of the code.
fn code_end(source: &str, begin: usize) -> Result<usize, (usize, char)> {
    let mut quote = None;
    let mut characters = source[begin..].char_indices().peekable();
    while let Some((offset, character)) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => drop(characters.next()),
            (Some(open), close) if open == close => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '*' | '{') => return Err((begin + offset, character)),
            (None, '}' | '%') if characters.peek().is_some_and(|(_, next)| *next == '}') => {
                return Ok(begin + offset + 2);
            }
            (None, _) => {}
        }
    }
    Ok(source.len())
}

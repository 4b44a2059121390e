//! Reading the numbers people write: `239,950`, `239.950,00`, `1'234`, `12 345`.

/// Which character parts the whole from the fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecimalMark {
    /// `1,234.50`
    #[default]
    Point,
    /// `1.234,50`
    Comma,
}

/// Blanks and apostrophes part groups of three in every convention.
fn parts_groups_anywhere(c: char) -> bool {
    matches!(
        c,
        ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}' | '\'' | '\u{2019}'
    )
}

/// The digits of a whole number without its group marks, or `None` if it is not written like one.
///
/// Strict on purpose: `239,95` is not read as 23995. The last group has three digits, those before
/// it two or three (`12,34,567` is how India writes), and one number uses one mark.
pub(crate) fn ungrouped(text: &str, is_mark: impl Fn(char) -> bool) -> Option<String> {
    let is_mark = |c| parts_groups_anywhere(c) || is_mark(c);
    let Some(mark) = text.chars().find(|c| is_mark(*c)) else {
        return all_digits(text).then(|| text.to_owned());
    };
    let groups: Vec<&str> = text.split(mark).collect();
    let (first, rest) = groups.split_first()?;
    let (last, middle) = rest.split_last()?;
    let written_well = (1..=3).contains(&first.len())
        && middle.iter().all(|group| matches!(group.len(), 2 | 3))
        && last.len() == 3
        && groups.iter().all(|group| all_digits(group));
    written_well.then(|| groups.concat())
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A plain decimal (`1234.50`) from the way people write one, or `None`.
pub(crate) fn plain_decimal(text: &str, mark: DecimalMark) -> Option<String> {
    let (point, group) = match mark {
        DecimalMark::Point => ('.', ','),
        DecimalMark::Comma => (',', '.'),
    };
    let (sign, unsigned) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => ("-", rest.trim_start()),
        None => ("", text),
    };
    let (whole, fraction) = match unsigned.split_once(point) {
        Some((whole, fraction)) if all_digits(fraction) => (whole, Some(fraction)),
        Some(_) => return None,
        None => (unsigned, None),
    };
    let whole = ungrouped(whole, |c| c == group)?;
    Some(fraction.map_or_else(
        || format!("{sign}{whole}"),
        |fraction| format!("{sign}{whole}.{fraction}"),
    ))
}

//! How bytes are taken apart: as a head of text, an empty line, and a body. Corpora stay readable so.

use http::{HeaderMap, HeaderName, HeaderValue};

/// What stands before the first empty line, and what after it. Without one, all of it is body.
pub(crate) fn split(bytes: &[u8]) -> (&str, &[u8]) {
    let at = bytes.windows(2).position(|pair| pair == b"\n\n");
    let Some(at) = at else { return ("", bytes) };
    match std::str::from_utf8(&bytes[..at]) {
        Ok(head) => (head, &bytes[at + 2..]),
        Err(_) => ("", bytes),
    }
}

/// The first line, and those after it.
pub(crate) fn first_line(head: &str) -> (&str, &str) {
    head.split_once('\n').unwrap_or((head, ""))
}

/// `name: value` lines as headers; what cannot be one is left out, as a gateway would.
pub(crate) fn headers(lines: &str) -> HeaderMap {
    let pairs = lines.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        let value = HeaderValue::from_str(value.trim()).ok()?;
        Some((name, value))
    });
    let mut headers = HeaderMap::new();
    // Repeated ones are kept: signature checks have to refuse them.
    pairs.for_each(|(name, value)| {
        headers.append(name, value);
    });
    headers
}

/// The same bytes with one bit changed, chosen by the bytes themselves; `None` if there are none.
pub(crate) fn one_bit_off(bytes: &[u8]) -> Option<Vec<u8>> {
    let sum = bytes.iter().fold(7_usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    let mut changed = bytes.to_vec();
    let place = sum.checked_rem(bytes.len())?;
    changed[place] ^= 1 << ((sum >> 8) % 8);
    Some(changed)
}

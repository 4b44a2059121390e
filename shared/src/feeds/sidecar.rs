//! The small files beside a feed: checksums and done markers.

use serde::Deserialize;

/// Why a sidecar file says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SidecarError {
    /// No SHA-256 for this name.
    #[error("the checksum file has no SHA-256 for {name:?}")]
    NoChecksum {
        /// The feed's file name.
        name: String,
    },
    /// Not a done marker.
    #[error(
        "the done marker cannot be read: expected nothing, a row count, JSON or rows=… sha256=…"
    )]
    NotADoneMarker,
}

/// What a done marker states; an empty one states nothing but that the upload is over.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct DoneMarker {
    /// Rows in the file, header and trailer not counted.
    pub rows: Option<u64>,
    /// Hex SHA-256 of the file.
    pub sha256: Option<String>,
}

/// Finds the checksum for `name` in what `sha256sum` writes (`<hex>  <name>`) or in a bare hash.
pub fn checksum(text: &[u8], name: &str) -> Result<String, SidecarError> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().filter_map(|line| {
        let line = line.trim().trim_start_matches('\u{feff}');
        let (hash, of) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        is_sha256(hash).then(|| (hash.to_ascii_lowercase(), of))
    });
    let lines: Vec<_> = lines.collect();
    let ours = lines.iter().find(|(_, of)| {
        let of = of.trim_start().trim_start_matches('*');
        of.rsplit(['/', '\\']).next() == Some(name)
    });
    match (ours, &lines[..]) {
        (Some((hash, _)), _) => Ok(hash.clone()),
        (None, [(hash, "")]) => Ok(hash.clone()),
        _ => Err(SidecarError::NoChecksum { name: name.into() }),
    }
}

/// Reads a done marker: nothing, a row count, JSON, or `rows=…` and `sha256=…` in any order.
pub fn done_marker(text: &[u8]) -> Result<DoneMarker, SidecarError> {
    let text = std::str::from_utf8(text).map_err(|_| SidecarError::NotADoneMarker)?;
    let text = text.trim().trim_start_matches('\u{feff}');
    if text.starts_with('{') {
        let marker: DoneMarker =
            serde_json::from_str(text).map_err(|_| SidecarError::NotADoneMarker)?;
        return match &marker.sha256 {
            Some(hash) if !is_sha256(hash) => Err(SidecarError::NotADoneMarker),
            _ => Ok(marker),
        };
    }
    let mut marker = DoneMarker::default();
    for word in text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';')) {
        let value = word.rsplit(['=', ':']).next().unwrap_or(word);
        if word.is_empty() {
            continue;
        } else if is_sha256(value) {
            marker.sha256 = Some(value.to_ascii_lowercase());
        } else if let Ok(rows) = value.parse() {
            marker.rows = Some(rows);
        } else {
            return Err(SidecarError::NotADoneMarker);
        }
    }
    Ok(marker)
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn checksums_are_taken_for_the_right_name_only() {
        let one = format!("{}  stock.csv\n", HASH.to_uppercase());
        assert_eq!(checksum(one.as_bytes(), "stock.csv").unwrap(), HASH);
        assert!(checksum(one.as_bytes(), "other.csv").is_err());
        assert_eq!(checksum(HASH.as_bytes(), "stock.csv").unwrap(), HASH);
        let many = format!("{}  a.csv\n{HASH} *out/stock.csv\n", "0".repeat(64));
        assert_eq!(checksum(many.as_bytes(), "stock.csv").unwrap(), HASH);
        for text in [&HASH[1..], "not a hash  stock.csv", ""] {
            assert!(checksum(text.as_bytes(), "stock.csv").is_err(), "{text}");
        }
    }

    #[test]
    fn done_markers_come_in_several_hands() {
        let full = DoneMarker {
            rows: Some(120),
            sha256: Some(HASH.into()),
        };
        for text in [
            format!("rows=120\nsha256={HASH}\n"),
            format!("{HASH} 120"),
            format!(r#"{{"rows": 120, "sha256": "{HASH}"}}"#),
        ] {
            assert_eq!(done_marker(text.as_bytes()).unwrap(), full, "{text}");
        }
        assert_eq!(done_marker(b"\n").unwrap(), DoneMarker::default());
        assert_eq!(done_marker(b"42").unwrap().rows, Some(42));
        for text in [
            "failed",
            "rows=many",
            r#"{"rows":-1}"#,
            r#"{"sha256":"12"}"#,
        ] {
            assert!(done_marker(text.as_bytes()).is_err(), "{text}");
        }
    }
}

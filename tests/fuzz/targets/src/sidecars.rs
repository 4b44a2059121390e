//! Checksums and done markers beside a feed.

use shared::feeds::sidecar::{checksum, done_marker};

use crate::input::split;

pub(crate) fn run(bytes: &[u8]) {
    let (name, text) = split(bytes);
    match checksum(text, name) {
        Ok(hash) => {
            assert!(is_sha256(&hash), "{hash:?}");
            let line = format!("{hash}  {name}\n");
            // A name with a blank at an end, or a path's mark in it, cannot be written on such a line.
            if !name.is_empty()
                && name == name.trim()
                && !name.contains(['/', '\\', '*', '\n', '\r'])
            {
                assert_eq!(checksum(line.as_bytes(), name), Ok(hash));
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(marker) = done_marker(text) {
        assert!(marker.sha256.as_deref().is_none_or(is_sha256));
        let rows = marker
            .rows
            .map(|rows| format!("rows={rows} "))
            .unwrap_or_default();
        let hash = marker
            .sha256
            .as_ref()
            .map(|hash| format!("sha256={hash}"))
            .unwrap_or_default();
        let again =
            done_marker(format!("{rows}{hash}").as_bytes()).expect("what it says is a marker");
        let lower = marker.sha256.as_ref().map(|hash| hash.to_ascii_lowercase());
        assert_eq!((again.rows, again.sha256), (marker.rows, lower));
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

//! How large a binary is as it is deployed.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::Error;

/// Sizes in bytes.
pub(crate) struct Size {
    pub(crate) stripped: u64,
    /// As a zip file holds it, which adds a hundred bytes for its directory.
    pub(crate) zipped: u64,
}

impl Size {
    #[expect(clippy::cast_precision_loss, reason = "a size, for people")]
    pub(crate) fn megabytes(&self, bytes: u64) -> f64 {
        bytes as f64 / 1_000_000.0
    }
}

/// The size of a binary, which the release profile has stripped.
pub(crate) fn of(binary: &Path) -> Result<Size, Error> {
    let content = std::fs::read(binary)
        .map_err(|error| format!("{}: {error}; build it first", binary.display()))?;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&content)?;
    Ok(Size {
        stripped: content.len().try_into()?,
        zipped: encoder.finish()?.len().try_into()?,
    })
}

//! What a whole read showed: the material from which completeness is judged.

use sha2::{Digest, Sha256};

/// What was seen while one file was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Rows that were readable.
    pub rows: u64,
    /// Rows that were set aside.
    pub bad_rows: u64,
    /// Bytes as delivered (compressed, if they were).
    pub raw_bytes: u64,
    /// Bytes of text after unpacking, before decoding.
    pub text_bytes: u64,
    /// Lower-case hex SHA-256 of the delivered bytes; none if they were not read to their end.
    pub sha256: Option<String>,
    /// Whether the file was gzip, and whether its own length and CRC held.
    pub gzip: Gzip,
    /// How the last line ended.
    pub ending: Ending,
    /// Whether the very last row was a bad one.
    pub last_row_bad: bool,
    /// The closing count, where the format declares one.
    pub trailer: Trailer,
    /// Header names as written.
    pub header: Vec<String>,
    /// Why reading stopped before the end, if it did.
    pub stopped: Option<FeedError>,
}

impl Evidence {
    /// Evidence of a read that could not even begin.
    pub(crate) fn of_refused(bytes: &[u8], error: FeedError) -> Self {
        Self {
            rows: 0,
            bad_rows: 0,
            raw_bytes: bytes.len() as u64,
            text_bytes: 0,
            sha256: Some(hex::encode(Sha256::digest(bytes))),
            gzip: Gzip::No,
            ending: Ending::Empty,
            last_row_bad: false,
            trailer: Trailer::NotDeclared,
            header: Vec::new(),
            stopped: Some(error),
        }
    }
}

/// What gzip's own trailer said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gzip {
    /// Not a gzip file.
    No,
    /// Every member ended with the right CRC and length.
    Complete,
    /// The stream stops inside a member, or was not read that far.
    Incomplete,
    /// The stream contradicts its CRC, its length or the format.
    Corrupt,
}

/// How the text of a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// With a line end.
    Newline,
    /// In the middle of a line, as some exports always do.
    Bare,
    /// With half of the CR LF that ends the other lines.
    HalfNewline,
    /// With NUL bytes, which some disks and servers leave where the rest of a file never arrived.
    NotText,
    /// There was no text.
    Empty,
}

/// The closing count of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trailer {
    /// The format has none.
    NotDeclared,
    /// The format has one, the file did not.
    Missing,
    /// Found.
    Found {
        /// The rows it claims.
        rows: u64,
        /// Rows that came after it, where none should.
        rows_after: u64,
    },
}

/// Why a file as a whole cannot be read, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// The settings are unusable.
    #[error("feed settings: {0}")]
    Format(#[from] super::format::FormatError),
    /// There is no header line.
    #[error("the file is empty: it has no header line")]
    NoHeader,
    /// The header line cannot be split.
    #[error("the header (line {line}) cannot be read: {why}")]
    BadHeader {
        /// Where it stands.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Not one column is known.
    #[error("no column of the header is known: {header}; {hint}")]
    UnknownHeader {
        /// The header, shortened.
        header: String,
        /// What may help.
        hint: &'static str,
    },
    /// Required columns are not there.
    #[error("columns that `format.required` names are missing: {missing}; the header has {header}")]
    MissingColumns {
        /// Canonical names, comma separated.
        missing: String,
        /// The header, shortened.
        header: String,
    },
    /// Two columns claim the same meaning.
    #[error(
        "column {column:?}: header {name:?} stands at positions {first} and {second}; \
         say under `format.columns` from which header it is read, or from none with `[]`"
    )]
    AmbiguousColumn {
        /// The canonical column.
        column: String,
        /// The header name.
        name: String,
        /// Counted from 1.
        first: usize,
        /// Counted from 1.
        second: usize,
    },
    /// Something else than delimited text.
    #[error("the file is {0}, not delimited text")]
    NotText(&'static str),
    /// The source failed.
    #[error("reading failed after {after} bytes: {why}")]
    Read {
        /// Bytes delivered before.
        after: u64,
        /// The source's words.
        why: String,
    },
    /// The gzip stream stops early.
    #[error("the gzip stream stops before its end, after {after} bytes")]
    GzipCut {
        /// Compressed bytes delivered.
        after: u64,
    },
    /// The gzip stream contradicts itself.
    #[error("the gzip stream is corrupt: {why}")]
    GzipCorrupt {
        /// The decoder's words.
        why: String,
    },
    /// More bytes than allowed.
    #[error("the file has more than max_bytes = {limit} bytes")]
    TooManyBytes {
        /// The limit.
        limit: u64,
    },
    /// More text than allowed.
    #[error("the file unpacks to more than max_expanded_bytes = {limit} bytes")]
    TooMuchText {
        /// The limit.
        limit: u64,
    },
    /// Suspiciously well compressed.
    #[error("the file unpacks to more than max_ratio = {limit} times its size")]
    Ratio {
        /// The limit.
        limit: u64,
    },
    /// More rows than allowed.
    #[error("the file has more than max_rows = {limit} rows")]
    TooManyRows {
        /// The limit.
        limit: u64,
    },
}

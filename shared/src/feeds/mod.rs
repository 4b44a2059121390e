//! File feeds: how delimited files are fetched, read and proved whole.
//!
//! Nothing here knows our store. A connector lists and downloads through [`transport`], decides
//! what to take with [`pickup`], reads rows with [`delimited`], and asks [`complete`] whether the
//! read may be believed before it lets absence mean anything.
//!
//! | module | its job |
//! |---|---|
//! | [`mod@format`] | settings of one feed: delimiter, charset, columns, limits |
//! | [`delimited`] | bytes → rows, streaming, bad rows set aside |
//! | [`row`], [`value`], [`times`] | typed cells: absent, no data, value, invalid |
//! | [`columns`], [`header`], [`status`] | canonical columns, which header feeds them, and words for states |
//! | [`evidence`], [`complete`], [`drift`], [`samples`] | what a read showed, whether it was whole, how its columns changed |
//! | [`pickup`], [`sidecar`] | which listed files are ready, and what their marker files say |
//! | [`transport`] and below | folder, HTTPS, SFTP, FTP |

pub mod columns;
pub mod complete;
pub mod delimited;
pub mod disk;
pub mod drift;
pub mod evidence;
pub mod folder;
pub mod format;
pub mod ftp;
pub mod header;
pub mod https;
pub mod pickup;
pub mod row;
pub mod samples;
pub mod sftp;
pub mod sidecar;
pub mod status;
pub mod times;
pub mod transport;
pub mod value;

mod charset;
mod input;
mod landing;
mod lines;
mod scan;

pub use charset::text_of;

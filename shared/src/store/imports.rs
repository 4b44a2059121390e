//! Thresholds and stock set in bulk: read, compared, and only then applied.
//!
//! A row is judged by itself: one that cannot be read or carried out is rejected with its line and
//! column, nothing of it is set, and the others go on. Only a title or a category that belongs to another
//! source is left out by itself. Thresholds become imported rules, each in the one slot that its
//! scope has; stock is counted, as if somebody had counted it by hand. A row's idempotency key comes
//! from the import's own and from what the row says, so a repeated import has no second effect.

mod compare;
mod export;
mod rows;

pub use compare::{Context, Difference, Effect, ImportError, Imported};
pub use export::cells_of;
pub use rows::{
    COLUMNS, Describes, Import, Line, RecordLines, Rejected, Row, Table, TableError, Target,
    threshold_columns,
};

//! What can go wrong with the table, and whether trying again helps.

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The code by which the embedded engine says that its disk is full.
pub const INSUFFICIENT_STORAGE: &str = "InsufficientStorage";

/// A failed table operation.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The table refused or dropped the request for now.
    #[error("{operation}: the table is busy or out of reach")]
    Busy {
        /// What was being done.
        operation: &'static str,
        /// The SDK's words.
        source: BoxError,
    },
    /// The disk that holds the table is full, which is the embedded engine's alone.
    #[error("{operation}: the disk is full")]
    Full {
        /// What was being done.
        operation: &'static str,
    },
    /// Others kept changing the same item.
    #[error("{operation}: too many others are changing the same item")]
    Contended {
        /// What was being done.
        operation: &'static str,
    },
    /// An item does not have the shape that this version reads.
    #[error("{operation}: the stored item {key} cannot be read: {problem}")]
    Unreadable {
        /// What was being done.
        operation: &'static str,
        /// The item's key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A newer version of Lotwire has written an item, and this one would lose some of it.
    #[error("{operation}: the stored item {key} is of a newer version of Lotwire than this")]
    Newer {
        /// What was being done.
        operation: &'static str,
        /// The item's key.
        key: String,
    },
    /// A page cursor that we did not hand out.
    #[error("the cursor is not one of ours")]
    Cursor,
    /// The table takes no such item or key, now or later: a name longer than a key may be, an item
    /// larger than an item may be.
    #[error("{operation}: the table refuses what it is given")]
    Refused {
        /// What was being done.
        operation: &'static str,
        /// The SDK's words.
        source: BoxError,
    },
    /// Anything else.
    #[error("{operation} failed")]
    Aws {
        /// What was being done.
        operation: &'static str,
        /// The SDK's words.
        source: BoxError,
    },
}

impl StoreError {
    pub(crate) fn aws(operation: &'static str, source: impl Into<BoxError>) -> Self {
        Self::Aws {
            operation,
            source: source.into(),
        }
    }

    /// Whether the same request will be refused whenever it is made, because of what it says.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        // While versions change over, the newer one is there the next time.
        matches!(
            self,
            Self::Busy { .. } | Self::Contended { .. } | Self::Full { .. } | Self::Newer { .. }
        )
    }
}

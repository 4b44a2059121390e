//! DynamoDB's operations: read from JSON and written to JSON outside of any lock, and run on the tables
//! in between.

use dynoxide::DynoxideError;
use dynoxide::actions::vector_lifecycle::VectorIndexLifecycle;
use dynoxide::actions::{
    batch_get_item, batch_write_item, create_table, delete_item, delete_table, describe_stream,
    describe_table, describe_time_to_live, get_item, get_records, get_shard_iterator, list_streams,
    list_tables, put_item, query, scan, transact_get_items, transact_write_items, update_item,
    update_table, update_time_to_live,
};
use dynoxide::storage::Storage;
use futures::FutureExt as _;

use super::tokens::{self, Token};

/// Declares the operations: each one's name, the types of its question and answer, and what runs it.
macro_rules! operations {
    ($($name:ident ($module:ident :: $request:ident, $response:ident) $run:expr;)*) => {
        /// What is asked of the tables.
        pub(super) enum Request {
            $($name(Box<$module::$request>),)*
        }

        /// What they answer.
        pub(super) enum Response {
            $($name(Box<$module::$response>),)*
        }

        impl Request {
            /// Reads what is asked under an operation's name.
            pub(super) fn read(name: &str, body: &[u8]) -> Result<Self, DynoxideError> {
                match name {
                    $(stringify!($name) => serde_json::from_slice(body)
                        .map(|request| Self::$name(Box::new(request)))
                        .map_err(|error| DynoxideError::SerializationException(error.to_string())),)*
                    other => Err(DynoxideError::ValidationException(
                        format!("the embedded DynamoDB does not offer {other}"))),
                }
            }

            /// The operation's name.
            pub(super) fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                }
            }

            /// Does it.
            pub(super) fn run(self, storage: &Storage) -> Result<Response, DynoxideError> {
                match self {
                    $(Self::$name(request) => execute($run, storage, request).map(Response::$name),)*
                }
            }
        }

        impl Response {
            /// The answer in DynamoDB's own JSON.
            pub(super) fn json(&self) -> Result<Vec<u8>, DynoxideError> {
                match self {
                    $(Self::$name(response) => serde_json::to_vec(response),)*
                }
                .map_err(|error| DynoxideError::InternalServerError(error.to_string()))
            }
        }
    };
}

operations! {
    CreateTable(create_table::CreateTableRequest, CreateTableResponse) create_table::execute;
    DescribeTable(describe_table::DescribeTableRequest, DescribeTableResponse)
        async |storage, request| {
            describe_table::execute(storage, request, &VectorIndexLifecycle::new()).await
        };
    UpdateTable(update_table::UpdateTableRequest, UpdateTableResponse)
        async |storage, request| {
            update_table::execute(storage, request, &VectorIndexLifecycle::new()).await
        };
    DeleteTable(delete_table::DeleteTableRequest, DeleteTableResponse)
        async |storage, request| {
            delete_table::execute(storage, request, &VectorIndexLifecycle::new()).await
        };
    ListTables(list_tables::ListTablesRequest, ListTablesResponse) list_tables::execute;
    PutItem(put_item::PutItemRequest, PutItemResponse) put_item::execute;
    GetItem(get_item::GetItemRequest, GetItemResponse) get_item::execute;
    UpdateItem(update_item::UpdateItemRequest, UpdateItemResponse) update_item::execute;
    DeleteItem(delete_item::DeleteItemRequest, DeleteItemResponse) delete_item::execute;
    Query(query::QueryRequest, QueryResponse) query::execute;
    Scan(scan::ScanRequest, ScanResponse) scan::execute;
    BatchGetItem(batch_get_item::BatchGetItemRequest, BatchGetItemResponse)
        batch_get_item::execute;
    BatchWriteItem(batch_write_item::BatchWriteItemRequest, BatchWriteItemResponse)
        batch_write_item::execute;
    TransactGetItems(transact_get_items::TransactGetItemsRequest, TransactGetItemsResponse)
        transact_get_items::execute;
    TransactWriteItems(transact_write_items::TransactWriteItemsRequest, TransactWriteItemsResponse)
        transact_write_items::execute;
    UpdateTimeToLive(update_time_to_live::UpdateTimeToLiveRequest, UpdateTimeToLiveResponse)
        update_time_to_live::execute;
    DescribeTimeToLive(describe_time_to_live::DescribeTimeToLiveRequest, DescribeTimeToLiveResponse)
        describe_time_to_live::execute;
    ListStreams(list_streams::ListStreamsRequest, ListStreamsResponse) list_streams::execute;
    DescribeStream(describe_stream::DescribeStreamRequest, DescribeStreamResponse)
        describe_stream::execute;
    GetShardIterator(get_shard_iterator::GetShardIteratorRequest, GetShardIteratorResponse)
        get_shard_iterator::execute;
    GetRecords(get_records::GetRecordsRequest, GetRecordsResponse) get_records::execute;
}

impl Request {
    /// Whether it changes items.
    pub(super) fn writes(&self) -> bool {
        matches!(
            self,
            Self::PutItem(_)
                | Self::UpdateItem(_)
                | Self::DeleteItem(_)
                | Self::BatchWriteItem(_)
                | Self::TransactWriteItems(_)
        )
    }

    /// Whether it changes what tables there are.
    pub(super) fn defines(&self) -> bool {
        matches!(
            self,
            Self::CreateTable(_)
                | Self::UpdateTable(_)
                | Self::DeleteTable(_)
                | Self::UpdateTimeToLive(_)
        )
    }
}

/// A request on its way to the tables.
pub(super) struct Call {
    pub(super) request: Request,
    /// The request as it came, for the redo log; of one that only reads, nothing.
    pub(super) body: Vec<u8>,
    /// A transaction's.
    pub(super) token: Option<Token>,
}

impl Call {
    pub(super) fn read(name: &str, body: &[u8]) -> Result<Self, DynoxideError> {
        let mut request = Request::read(name, body)?;
        let token = match &mut request {
            // One that is too long is dynoxide's to refuse.
            Request::TransactWriteItems(transaction) => transaction
                .client_request_token
                .take_if(|token| token.len() <= tokens::LONGEST)
                .map(|token| Token::read(token, body)),
            _ => None,
        };
        let body = if request.writes() {
            body.to_vec()
        } else {
            Vec::new()
        };
        Ok(Self {
            request,
            body,
            token: token.transpose()?,
        })
    }
}

/// Does one operation. Here and not in the match over all of them, which would have the futures of all
/// of them on its stack in a debug build.
#[expect(
    clippy::boxed_local,
    reason = "by value each of them would be on that stack too"
)]
fn execute<Q, A>(
    operation: impl AsyncFnOnce(&Storage, Q) -> Result<A, DynoxideError>,
    storage: &Storage,
    request: Box<Q>,
) -> Result<Box<A>, DynoxideError> {
    at_once(Box::pin(operation(storage, *request))).map(Box::new)
}

/// What dynoxide does on SQLite never waits.
pub(super) fn at_once<T>(
    work: impl Future<Output = Result<T, DynoxideError>>,
) -> Result<T, DynoxideError> {
    work.now_or_never().unwrap_or_else(|| {
        let words = "an operation on the tables did not end at once";
        Err(DynoxideError::InternalServerError(words.to_owned()))
    })
}

//! Pages, and the cursors between them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use shared::digest::sha256_hex;
use shared::store::Page;

use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::problem::Problem;
use crate::request::Request;

/// Parts a cursor's list from its place; stands in neither.
const SEPARATOR: char = '\u{1d}';

/// Which page is asked for.
pub(crate) struct Wanted {
    list: String,
    cursor: Option<String>,
    pub(crate) limit: i32,
}

impl Wanted {
    /// Takes `cursor` and `limit` out of the query. The other parameters are the list's filters.
    pub(crate) fn read(request: &Request, fields: &mut Fields) -> Result<Self, Problem> {
        let list = identity(request);
        let cursor: Option<String> = fields.parsed("cursor");
        let cursor = cursor.map(|cursor| opened(&cursor, &list)).transpose()?;
        Ok(Self {
            list,
            cursor,
            limit: fields.limit(),
        })
    }

    /// Where the page begins, in the store's terms.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The page as an answer.
    pub(crate) fn answer(&self, items: Vec<Value>, next: Option<&str>) -> Answer {
        Answer::ok(json!({ "items": items, "next": next.map(|next| self.sealed(next)) }))
    }

    pub(crate) fn sealed(&self, place: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}{SEPARATOR}{place}", self.list))
    }
}

/// What a cursor belongs to: the path and the filters, whatever their order.
fn identity(request: &Request) -> String {
    let mut filters: Vec<_> = request
        .query
        .iter()
        .filter(|(name, _)| name != "cursor" && name != "limit")
        .collect();
    filters.sort();
    let mut digest = sha256_hex(json!([request.path, filters]).to_string().as_bytes());
    digest.truncate(12);
    digest
}

fn opened(cursor: &str, list: &str) -> Result<String, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(Problem::cursor)?;
    match text.split_once(SEPARATOR) {
        Some((of, place)) if of == list => Ok(place.to_owned()),
        _ => Err(Problem::cursor()),
    }
}

/// Pages through a list until a page is full, the list ends, or the time is over.
///
/// A filter or an empty shard may leave a stored page without anything to show; the caller would
/// have to come back for nothing.
pub(crate) async fn fill<T, E, F>(
    context: &Context<'_>,
    wanted: &Wanted,
    // No async closure: the compiler cannot tell yet that its futures may change threads.
    mut fetch: impl FnMut(Option<String>, i32) -> F,
    mut show: impl FnMut(T) -> Option<Value>,
) -> Result<Answer, Problem>
where
    F: Future<Output = Result<Page<T>, E>>,
    Problem: From<E>,
{
    let mut items = Vec::new();
    let mut cursor = wanted.cursor().map(str::to_owned);
    loop {
        let room = wanted.limit - i32::try_from(items.len()).unwrap_or(wanted.limit);
        let page = fetch(cursor.take(), room).await?;
        items.extend(page.items.into_iter().filter_map(&mut show));
        cursor = page.next;
        let full = i32::try_from(items.len()).is_ok_and(|shown| shown >= wanted.limit);
        if full || cursor.is_none() || context.is_late() {
            return Ok(wanted.answer(items, cursor.as_deref()));
        }
    }
}

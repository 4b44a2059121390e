//! Thresholds and stock in bulk, and the thresholds that are imported.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value, json};
use shared::digest::sha256_hex;
use shared::domain::catalogue::Directory;
use shared::domain::rule::Scope;
use shared::store::imports::{self, Effect, Import, Imported};

use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::paging::{Wanted, fill};
use crate::problem::{FieldError, Problem};

/// What may be set at once, so that it is done well within the 29 seconds that the gateway waits: 350 rows,
/// each with stock, a threshold, a title and a category.
const MOST_SET: usize = 1_400;
/// Differences and rejections that an answer lists.
const MOST_SHOWN: usize = 100;

pub(super) async fn run(context: &Context<'_>) -> Result<Answer, Problem> {
    let mut query = Fields::of_query(context.request);
    let dry_run = query.flag("dry_run");
    let more = query.flag("more");
    let name = query.text("name", 100).unwrap_or_else(|| "rows".to_owned());
    let first_line = query.integer("line").unwrap_or(2);
    let first_line = match u64::try_from(first_line) {
        Ok(line) if line >= 2 => line,
        _ => {
            query.refuse("line", "is not a line from 2 on");
            2
        }
    };
    query.finish(|| Some(()))?;
    let installation = context.installation().await?;
    let import = read(context, first_line, &installation.config.locations)?;
    let set = import.rows.len();
    if set > MOST_SET {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_many_rows",
            "Too many rows at once",
            format!(
                "they set {set} quantities, thresholds, titles and categories; send rows that set at most {MOST_SET}, \
                 and the others after them"
            ),
        ));
    }
    let authority = installation.authority();
    let content = sha256_hex(context.request.body());
    let imported = import
        .run(
            context.store,
            &imports::Context {
                installation: &installation,
                authority: &authority,
                name: &name,
                key: context
                    .request
                    .header("idempotency-key")
                    .unwrap_or(&content),
                by: context.request.actor().unwrap_or("api"),
                dry_run,
                more,
            },
        )
        .await?;
    Ok(Answer::ok(shown(&imported, dry_run)))
}

/// A page of the thresholds that were imported, as the rows that import them.
pub(super) async fn thresholds(context: &Context<'_>) -> Result<Answer, Problem> {
    let mut query = Fields::of_query(context.request);
    let wanted = Wanted::read(context.request, &mut query)?;
    query.finish(|| Some(()))?;
    let store = context.store;
    let installation = context.installation().await?;
    let places = &installation.config.locations;
    // Of a place that was removed since.
    let is_stray = |scope: &Scope| {
        let location = scope.location.as_ref();
        let group = scope.group.as_ref();
        location.is_some_and(|location| places.location(location).is_none())
            || group.is_some_and(|group| !places.has_group(group))
    };
    fill(
        context,
        &wanted,
        |cursor: Option<String>, room| async move {
            store.each_imported_rule(cursor.as_deref(), room).await
        },
        |rule| {
            let mut cells = imports::cells_of(&rule)?;
            if is_stray(&rule.scope) {
                cells.insert("in_force".to_owned(), false.into());
            }
            Some(Value::Object(cells))
        },
    )
    .await
}

fn read(context: &Context<'_>, first_line: u64, places: &Directory) -> Result<Import, Problem> {
    let request = context.request;
    if request.is_of_type("application/json") {
        return Ok(Import::from_cells(&cells(context)?, places));
    }
    if !request.is_of_type("text/csv") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Not a type that can be read here",
            "send Content-Type: text/csv, or application/json",
        ));
    }
    Import::from_csv(request.text()?, first_line, places).map_err(|error| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "unreadable_table",
            "The table cannot be read",
            error.to_string(),
        )
    })
}

/// `{"rows": [{"product": "OIL", "location": "north", "threshold": 3}]}`
fn cells(context: &Context<'_>) -> Result<Vec<BTreeMap<String, String>>, Problem> {
    let mut body = Fields::of_body(context.request)?;
    let rows = match body.take("rows") {
        Some(Value::Array(rows)) => rows,
        _ => {
            body.refuse("rows", "is not a list of rows");
            Vec::new()
        }
    };
    body.finish(|| Some(()))?;
    let read = rows.into_iter().enumerate().map(|(index, row)| match row {
        Value::Object(row) => Ok(as_text(row)),
        _ => Err(FieldError::body(
            "rows",
            format!("row {} is not an object", index + 1),
        )),
    });
    let read: Result<_, _> = read.collect();
    read.map_err(|error| Problem::invalid(vec![error]))
}

fn as_text(row: Map<String, Value>) -> BTreeMap<String, String> {
    let cells = row.into_iter().map(|(name, value)| match value {
        Value::Null => (name, String::new()),
        Value::String(text) => (name, text),
        other => (name, other.to_string()),
    });
    cells.collect()
}

fn shown(imported: &Imported, dry_run: bool) -> Value {
    let telling = |effect: &Effect| *effect != Effect::Unchanged;
    let differences: Vec<_> = imported
        .differences
        .iter()
        .filter(|it| telling(&it.effect))
        .take(MOST_SHOWN)
        .collect();
    let rejected: Vec<_> = imported.rejected.iter().take(MOST_SHOWN).collect();
    json!({
        "dry_run": dry_run,
        "counts": {
            "new": imported.count(Effect::New),
            "changed": imported.count(Effect::Changed),
            "unchanged": imported.count(Effect::Unchanged),
            "repeated": imported.count(Effect::Repeated),
            "rejected": imported.rejected.len(),
        },
        "differences": differences,
        "rejected": rejected,
        "passed_over": imported.passed_over,
        "unknown": {
            "rows": imported.unknown,
            "products": &imported.unknown_products[..imported.unknown_products.len().min(MOST_SHOWN)],
        },
    })
}

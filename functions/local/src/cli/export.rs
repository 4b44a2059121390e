//! `lotwire export`: the imported thresholds as a CSV file that `lotwire import` takes.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use super::client::Body;
use super::show::Show;
use super::{Failure, Server};

/// Thresholds that are asked for at once.
const PAGE: &str = "200";
/// The columns of a threshold, as an import names them.
const COLUMNS: [&str; 12] = [
    "product",
    "category",
    "make",
    "model",
    "location",
    "group",
    "threshold",
    "boundary",
    "basis",
    "recovery",
    "over",
    "severity",
];

pub(super) async fn run(
    file: Option<&Path>,
    server: &Server,
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    let mut written = 0_u64;
    match file {
        None => write(show.answers(), server, &mut written).await?,
        Some(path) => {
            let unwritable =
                |error: io::Error| Failure::Usage(format!("{}: {error}", path.display()));
            let file = File::create(path).map_err(unwritable)?;
            write(io::BufWriter::new(file), server, &mut written).await?;
        }
    }
    show.progress(&match written {
        1 => "1 threshold".to_owned(),
        more => format!("{more} thresholds"),
    });
    Ok(())
}

/// Writes page by page, so that a million of them take no room.
async fn write(to: impl Write, server: &Server, written: &mut u64) -> Result<(), Failure> {
    let client = server.client()?;
    let mut table = csv::Writer::from_writer(to);
    if !server.json {
        table.write_record(COLUMNS).map_err(unwritable)?;
    }
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", PAGE)];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let path = "/api/v1/thresholds";
        let page = client
            .ask(Method::GET, path, &query, Body::None, &[])
            .await?;
        for row in page["items"].as_array().into_iter().flatten() {
            *written += 1;
            if server.json {
                all.push(row.clone());
                continue;
            }
            let cells = COLUMNS.map(|column| match &row[column] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            table.write_record(cells).map_err(unwritable)?;
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    let mut to = table.into_inner().map_err(unwritable)?;
    if server.json {
        writeln!(to, "{:#}", json!({ "rows": all })).map_err(unwritable)?;
    }
    to.flush().map_err(unwritable)
}

fn unwritable(error: impl std::fmt::Display) -> Failure {
    Failure::Usage(format!("cannot be written: {error}"))
}

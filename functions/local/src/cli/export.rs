//! `lotwire export`: the imported thresholds as a CSV file that `lotwire import` takes.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::Value;
use shared::store::imports::threshold_columns;

use super::client::Body;
use super::show::Show;
use super::{Failure, Server};

/// Thresholds that are asked for at once.
const PAGE: &str = "200";
pub(super) async fn run(
    file: Option<&Path>,
    server: &Server,
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    let mut written = Written::default();
    match file {
        None => write(show.answers(), server, &mut written).await?,
        Some(path) => {
            let unwritable =
                |error: io::Error| Failure::Usage(format!("{}: {error}", path.display()));
            match std::fs::metadata(path) {
                // Such as /dev/stdout.
                Ok(known) if !known.is_file() => {
                    let file = File::create(path).map_err(unwritable)?;
                    write(io::BufWriter::new(file), server, &mut written).await?;
                }
                known => {
                    // Beside it: what is there stays until all of the new one is.
                    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
                    let mut name = path.file_name().unwrap_or_default().to_owned();
                    name.push(format!(".{}.part", std::process::id()));
                    let beside = Beside(path.with_file_name(name));
                    let file = File::create_new(&beside.0).map_err(unwritable)?;
                    if let Ok(known) = known {
                        file.set_permissions(known.permissions())
                            .map_err(unwritable)?;
                    }
                    write(io::BufWriter::new(file), server, &mut written).await?;
                    std::fs::rename(&beside.0, &path).map_err(unwritable)?;
                }
            }
        }
    }
    show.progress(&match written.rows {
        1 => "1 threshold".to_owned(),
        more => format!("{more} thresholds"),
    });
    if written.strays > 0 {
        show.progress(&format!(
            "of places that the configuration does not have: {}; `lotwire import` refuses such a row \
             unless its threshold is `none`, which takes it away",
            written.strays
        ));
    }
    Ok(())
}

/// How many rows were written.
#[derive(Default)]
struct Written {
    rows: u64,
    /// Those of a place that the configuration does not have.
    strays: u64,
}

/// Writes page by page, so that a million of them take no room.
async fn write(to: impl Write, server: &Server, written: &mut Written) -> Result<(), Failure> {
    let client = server.client()?;
    let mut rows = match server.json {
        true => Rows::Json(to),
        false => Rows::Table(Box::new(csv::Writer::from_writer(to))),
    };
    rows.begin()?;
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", PAGE)];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let path = "/api/v1/thresholds";
        let mut page = client
            .ask(Method::GET, path, &query, Body::None, &[])
            .await?;
        let items = page["items"].as_array_mut().into_iter().flatten();
        for row in items {
            // It says something of the row, and is no column of it.
            let in_force = row.as_object_mut().and_then(|row| row.remove("in_force"));
            written.strays += u64::from(in_force == Some(false.into()));
            rows.add(row, written.rows == 0)?;
            written.rows += 1;
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    rows.end()
}

/// A file that is gone with this, unless it has got another name.
struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// Where the rows go, one after the other.
enum Rows<W: Write> {
    Table(Box<csv::Writer<W>>),
    Json(W),
}

impl<W: Write> Rows<W> {
    fn begin(&mut self) -> Result<(), Failure> {
        match self {
            Self::Table(table) => table.write_record(threshold_columns()).map_err(unwritable),
            Self::Json(to) => write!(to, "{{\n  \"rows\": [").map_err(unwritable),
        }
    }

    fn add(&mut self, row: &Value, first: bool) -> Result<(), Failure> {
        match self {
            Self::Table(table) => {
                let cells = threshold_columns().map(|column| match &row[column] {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                table.write_record(cells).map_err(unwritable)
            }
            Self::Json(to) => {
                let comma = if first { "" } else { "," };
                write!(to, "{comma}\n    {row}").map_err(unwritable)
            }
        }
    }

    fn end(self) -> Result<(), Failure> {
        match self {
            Self::Table(mut table) => table.flush().map_err(unwritable),
            Self::Json(mut to) => {
                writeln!(to, "\n  ]\n}}").map_err(unwritable)?;
                to.flush().map_err(unwritable)
            }
        }
    }
}

fn unwritable(error: impl Into<io::Error>) -> Failure {
    match Failure::from(error.into()) {
        Failure::Usage(problem) => Failure::Usage(format!("cannot be written: {problem}")),
        closed => closed,
    }
}

//! Delimited text to rows, streaming: memory does not grow with the file.
//!
//! A bad row never stops the rest. What stops a read (a failing source, a limit, a gzip stream
//! cut short) ends the iteration and stands in [`Evidence::stopped`], so a read that merely ran
//! out of rows and one that was interrupted cannot be confused.

use std::io::Read;
use std::sync::Arc;

use encoding_rs::WINDOWS_1252;

use super::charset::Charset;
use super::evidence::{Evidence, FeedError, Trailer};
use super::format::FeedFormat;
use super::header::Header;
use super::lines::{END_MARK, Found, Lines, blank};
use super::row::{BadRow, Field, Row, Sheet, shorten};
use super::scan::{Dialect, Span};

/// Bytes of a bad row looked at to show how it begins.
const SHOWN: usize = 200;

/// Reads one file, row by row.
pub struct Reader<R: Read> {
    lines: Lines<R>,
    format: FeedFormat,
    sheet: Arc<Sheet>,
    spans: Vec<Span>,
    rows: u64,
    bad_rows: u64,
    last_row_bad: bool,
    trailer: Option<(u64, u64)>,
}

impl<R: Read> Reader<R> {
    /// Reads up to and including the header, and maps its columns.
    pub fn open(source: R, format: &FeedFormat) -> Result<Self, FeedError> {
        format.check()?;
        let mut lines = Lines::open(source, format)?;
        for _ in 0..format.skip_lines {
            lines.skip_line()?;
        }
        lines.skip_blank_lines()?;
        lines.dialect = Dialect {
            delimiter: lines.delimiter(format)?,
            quoting: format.quoting,
        };
        let mut spans = Vec::new();
        let names = if format.header {
            lines.header(format.charset, &mut spans)?
        } else {
            format.names.clone()
        };
        let header = Header::map(names, format)?;
        Ok(Self {
            lines,
            sheet: Arc::new(Sheet::new(header, format)),
            format: format.clone(),
            spans,
            rows: 0,
            bad_rows: 0,
            last_row_bad: false,
            trailer: None,
        })
    }

    /// The header and the columns it feeds.
    pub fn header(&self) -> &Header {
        &self.sheet.header
    }

    /// Reads whatever is left, and says what the whole read showed.
    pub fn finish(mut self) -> Evidence {
        self.by_ref().for_each(drop);
        let ending = self.lines.ending();
        let stopped = self.lines.stopped;
        let delivered = self.lines.input.close();
        Evidence {
            rows: self.rows,
            bad_rows: self.bad_rows,
            raw_bytes: delivered.raw_bytes,
            text_bytes: delivered.text_bytes,
            sha256: delivered.sha256,
            gzip: delivered.gzip,
            ending,
            last_row_bad: self.last_row_bad,
            trailer: match (self.trailer, &self.format.trailer) {
                (Some((rows, rows_after)), _) => Trailer::Found { rows, rows_after },
                (None, Some(_)) => Trailer::Missing,
                (None, None) => Trailer::NotDeclared,
            },
            header: self.sheet.header.names().to_vec(),
            stopped,
        }
    }

    /// The next row, whether good or bad; none at the end.
    fn advance(&mut self) -> Result<Option<Result<Row, BadRow>>, FeedError> {
        loop {
            let line = self.lines.line;
            let Some(found) = self
                .lines
                .next(&mut self.spans, self.format.max_row_bytes)?
            else {
                return Ok(None);
            };
            let length = match found {
                Found::Row { length } => length,
                Found::Broken { field, why } => {
                    let column = field.and_then(|field| self.sheet.header.label(field));
                    let column = column.map(str::to_owned);
                    self.lines.fill_line(SHOWN)?;
                    let bad = BadRow {
                        line,
                        column,
                        found: self.shown(self.lines.first_line()),
                        why: why.into(),
                    };
                    self.lines.drop_line()?;
                    return self.counted(Err(bad)).map(Some);
                }
            };
            let bytes = self.lines.peek(length);
            // Spreadsheets close with lines of nothing but delimiters.
            let hollow = |span: &Span| !span.quoted && blank(&bytes[span.start..span.end]);
            if self.spans.iter().all(hollow) || bytes.trim_ascii() == [END_MARK] {
                self.lines.consume(length);
                continue;
            }
            if let Some(pattern) = &self.format.trailer
                && let Ok(text) = self.format.charset.decode(bytes)
                && let Some(rows) = pattern.rows(&text)
            {
                self.trailer = Some((rows, 0));
                self.lines.consume(length);
                continue;
            }
            let row = self.row(line, bytes);
            self.lines.consume(length);
            return self.counted(row).map(Some);
        }
    }

    fn counted(&mut self, row: Result<Row, BadRow>) -> Result<Result<Row, BadRow>, FeedError> {
        if self.rows + self.bad_rows >= self.format.max_rows {
            return Err(FeedError::TooManyRows {
                limit: self.format.max_rows,
            });
        }
        self.last_row_bad = row.is_err();
        match row {
            Ok(_) => self.rows += 1,
            Err(_) => self.bad_rows += 1,
        }
        if let Some((_, after)) = &mut self.trailer {
            *after += 1;
        }
        Ok(row)
    }

    fn row(&self, line: u64, bytes: &[u8]) -> Result<Row, BadRow> {
        let bad = |field: Option<usize>, found: &[u8], why: String| BadRow {
            line,
            column: field
                .and_then(|field| self.sheet.header.label(field))
                .map(str::to_owned),
            found: self.shown(found),
            why,
        };
        if bytes.contains(&0) {
            let why = "NUL bytes stand where text should: the file is damaged".to_owned();
            return Err(bad(None, bytes, why));
        }
        let names = self.sheet.header.names();
        let expected = names.len();
        let found = self.spans.len();
        let (spans, surplus) = self.spans.split_at(found.min(expected));
        // Spreadsheets add empty fields at the end of a row, or leave them away under no name.
        let surplus_is_empty = surplus
            .iter()
            .all(|span| blank(&bytes[span.start..span.end]));
        let nothing_lacks = names[spans.len()..].iter().all(String::is_empty);
        if !surplus_is_empty || !nothing_lacks {
            let why = format!("{found} fields, the header has {expected}");
            return Err(bad(None, bytes, why));
        }
        let long = |span: &Span| span.end - span.start > self.format.max_field_bytes;
        if let Some(field) = spans.iter().position(long) {
            let limit = self.format.max_field_bytes;
            let why = format!("the field has more than max_field_bytes = {limit} bytes");
            return Err(bad(Some(field), &bytes[spans[field].start..], why));
        }
        let decoded = match self.format.charset.decode(bytes) {
            Ok(decoded) => decoded,
            Err(at) => {
                let field = spans.iter().position(|span| at < span.end);
                let why = format!("byte {} of the row is not UTF-8", at + 1);
                return Err(bad(field, bytes, why));
            }
        };
        let mut text = String::with_capacity(decoded.len());
        let mut fields = Vec::with_capacity(expected);
        for span in spans {
            let start = text.len();
            // Quotes and delimiters are ASCII, so a span of valid UTF-8 is valid UTF-8.
            match decoded {
                std::borrow::Cow::Borrowed(all) => text.push_str(&all[span.start..span.end]),
                std::borrow::Cow::Owned(_) => text.push_str(
                    &WINDOWS_1252
                        .decode_without_bom_handling(&bytes[span.start..span.end])
                        .0,
                ),
            }
            if span.escaped {
                let plain = text[start..].replace("\"\"", "\"");
                text.truncate(start);
                text.push_str(&plain);
            }
            fields.push(Field {
                end: text.len(),
                quoted: span.quoted,
            });
        }
        let end = text.len();
        fields.resize(expected, Field { end, quoted: false });
        Ok(Row {
            line,
            sheet: Arc::clone(&self.sheet),
            text,
            fields,
        })
    }

    fn shown(&self, bytes: &[u8]) -> String {
        let bytes = bytes[..bytes.len().min(SHOWN)].trim_ascii_end();
        let charset = match self.format.charset {
            // A byte that is not UTF-8 should not hide the rest.
            Charset::Utf8 | Charset::Utf16 => return shorten(&String::from_utf8_lossy(bytes), 40),
            other => other,
        };
        charset
            .decode(bytes)
            .map_or_else(|_| String::new(), |text| shorten(&text, 40))
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Row, BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.lines.stopped.is_some() {
            return None;
        }
        self.advance().unwrap_or_else(|error| {
            self.lines.stopped = Some(error);
            None
        })
    }
}

/// Reads a whole file that is in memory. Never panics, whatever the bytes.
pub fn read_all(bytes: &[u8], format: &FeedFormat) -> (Vec<Row>, Vec<BadRow>, Evidence) {
    let (mut rows, mut bad_rows) = (Vec::new(), Vec::new());
    let mut reader = match Reader::open(bytes, format) {
        Ok(reader) => reader,
        Err(error) => return (rows, bad_rows, Evidence::of_refused(bytes, error)),
    };
    for row in reader.by_ref() {
        match row {
            Ok(row) => rows.push(row),
            Err(bad) => bad_rows.push(bad),
        }
    }
    (rows, bad_rows, reader.finish())
}

#[cfg(test)]
#[path = "delimited_tests.rs"]
mod tests;

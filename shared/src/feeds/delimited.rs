//! Delimited text to rows, streaming: memory does not grow with the file.
//!
//! A bad row never stops the rest. What stops a read (a failing source, a limit, a gzip stream
//! cut short) ends the iteration and stands in [`Evidence::stopped`], so a read that merely ran
//! out of rows and one that was interrupted cannot be confused.

use std::io::Read;
use std::sync::Arc;

use encoding_rs::WINDOWS_1252;

use super::charset::Charset;
use super::evidence::{Ending, Evidence, FeedError, Trailer};
use super::format::{Delimiter, FeedFormat};
use super::header::{self, Header};
use super::input::Input;
use super::row::{BadRow, Field, Row, Sheet, shorten};
use super::scan::{Dialect, Scanned, Span, line_length};

const CHUNK: usize = 64 << 10;

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
        let dialect = Dialect {
            delimiter: lines.delimiter(format)?,
            quoting: format.quoting,
        };
        lines.dialect = dialect;
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
            let Some(found) = self.lines.next(&mut self.spans, self.format.max_row_bytes)? else {
                return Ok(None);
            };
            let length = match found {
                Found::Row { length } => length,
                Found::Broken { field, why } => {
                    let column = field.and_then(|field| self.sheet.header.label(field));
                    let bad = BadRow {
                        line,
                        column: column.map(str::to_owned),
                        found: self.shown(self.lines.first_line()),
                        why: why.into(),
                    };
                    self.lines.drop_line()?;
                    return self.counted(Err(bad)).map(Some);
                }
            };
            let bytes = self.lines.peek(length);
            // Spreadsheets close with lines of nothing but delimiters.
            let hollow = |span: &Span| span.start == span.end && !span.quoted;
            if blank(bytes) || (self.spans.len() > 1 && self.spans.iter().all(hollow)) {
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
        let expected = self.sheet.header.names().len();
        if self.spans.len() != expected {
            let why = format!("{} fields, the header has {expected}", self.spans.len());
            return Err(bad(None, bytes, why));
        }
        let long = |span: &Span| span.end - span.start > self.format.max_field_bytes;
        if let Some(field) = self.spans.iter().position(long) {
            let limit = self.format.max_field_bytes;
            let why = format!("the field has more than max_field_bytes = {limit} bytes");
            return Err(bad(Some(field), &bytes[self.spans[field].start..], why));
        }
        let decoded = match self.format.charset.decode(bytes) {
            Ok(decoded) => decoded,
            Err(at) => {
                let field = self.spans.iter().position(|span| at < span.end);
                let why = format!("byte {} of the row is not UTF-8", at + 1);
                return Err(bad(field, bytes, why));
            }
        };
        let mut text = String::with_capacity(decoded.len());
        let mut fields = Vec::with_capacity(self.spans.len());
        for span in &self.spans {
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
        Ok(Row {
            line,
            sheet: Arc::clone(&self.sheet),
            text,
            fields,
        })
    }

    fn shown(&self, bytes: &[u8]) -> String {
        let bytes = bytes[..bytes.len().min(200)].trim_ascii_end();
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

fn blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

/// What stands next in the buffer.
enum Found {
    Row {
        length: usize,
    },
    Broken {
        field: Option<usize>,
        why: &'static str,
    },
}

/// A window on the text that always begins at the start of a line.
struct Lines<R: Read> {
    input: Input<R>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    last: bool,
    /// Line number of the window's first byte.
    line: u64,
    dialect: Dialect,
    /// The last two bytes of text seen, and whether any line ended in CR LF.
    tail: [u8; 2],
    crlf: bool,
    stopped: Option<FeedError>,
}

impl<R: Read> Lines<R> {
    fn open(source: R, format: &FeedFormat) -> Result<Self, FeedError> {
        Ok(Self {
            input: Input::open(source, format)?,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            last: false,
            line: 1,
            dialect: Dialect {
                delimiter: b',',
                quoting: format.quoting,
            },
            tail: [0; 2],
            crlf: false,
            stopped: None,
        })
    }

    fn window(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn peek(&self, length: usize) -> &[u8] {
        &self.buffer[self.start..self.start + length]
    }

    /// Makes the window longer, or sets `last`.
    fn fill(&mut self) -> Result<(), FeedError> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < CHUNK / 2 {
            self.buffer.resize(self.buffer.len() + CHUNK, 0);
        }
        let count = self.input.read(&mut self.buffer[self.end..])?;
        let new = &self.buffer[self.end..self.end + count];
        match new {
            [] => self.last = true,
            [only] => self.tail = [self.tail[1], *only],
            [.., before, after] => self.tail = [*before, *after],
        }
        self.end += count;
        Ok(())
    }

    /// Finds the next row, following an open quote or a long line for `limit` bytes at most.
    fn next(&mut self, spans: &mut Vec<Span>, limit: usize) -> Result<Option<Found>, FeedError> {
        loop {
            if self.start == self.end && self.last {
                return Ok(None);
            }
            let found = self.dialect.scan(self.window(), self.last, spans);
            match found {
                Scanned::Row { length } if length > limit => {
                    return Ok(Some(Found::Broken {
                        field: None,
                        why: "the row has more than max_row_bytes bytes",
                    }));
                }
                Scanned::Row { length } => return Ok(Some(Found::Row { length })),
                Scanned::Broken { field, why } => {
                    return Ok(Some(Found::Broken {
                        field: Some(field),
                        why,
                    }));
                }
                Scanned::More if self.end - self.start > limit => {
                    return Ok(Some(Found::Broken {
                        field: None,
                        why: "the row, or a quote in it, does not end within max_row_bytes",
                    }));
                }
                Scanned::More => self.fill()?,
            }
        }
    }

    /// As much of the first line as is in the window.
    fn first_line(&self) -> &[u8] {
        let window = self.window();
        &window[..line_length(window, true).unwrap_or(window.len())]
    }

    /// Steps over a row of `length` bytes.
    fn consume(&mut self, length: usize) {
        let bytes = &self.buffer[self.start..self.start + length];
        // Most rows are one line; a CR or LF inside quotes is counted as an editor would.
        let mut lines = 0;
        let mut previous = 0;
        for byte in bytes {
            match (previous, byte) {
                (b'\r', b'\n') => self.crlf = true,
                (_, b'\r' | b'\n') => lines += 1,
                _ => {}
            }
            previous = *byte;
        }
        self.line += lines;
        self.start += length;
    }

    /// Steps over the first line, however long, without keeping it.
    fn drop_line(&mut self) -> Result<(), FeedError> {
        loop {
            if let Some(length) = line_length(self.window(), self.last) {
                self.consume(length);
                return Ok(());
            }
            // All of it belongs to the line, except that a CR may be half of a line end.
            let kept = usize::from(self.window().last() == Some(&b'\r'));
            self.start = self.end - kept;
            self.fill()?;
        }
    }

    fn skip_line(&mut self) -> Result<(), FeedError> {
        if self.start == self.end && !self.last {
            self.fill()?;
        }
        self.drop_line()
    }

    fn skip_blank_lines(&mut self) -> Result<(), FeedError> {
        loop {
            match line_length(self.window(), self.last) {
                None => self.fill()?,
                Some(0) => return Ok(()),
                Some(length) if blank(self.peek(length)) => self.consume(length),
                Some(_) => return Ok(()),
            }
            if self.end - self.start > CHUNK {
                return Ok(());
            }
        }
    }

    /// The delimiter that is set, or the candidate that suits the next line best.
    fn delimiter(&mut self, format: &FeedFormat) -> Result<u8, FeedError> {
        if let Delimiter::Byte(byte) = format.delimiter {
            return Ok(byte);
        }
        let mut best = (b',', (0, 0));
        for delimiter in Delimiter::CANDIDATES {
            self.dialect.delimiter = delimiter;
            let mut spans = Vec::new();
            let Some(Found::Row { length }) = self.next(&mut spans, format.max_row_bytes)? else {
                continue;
            };
            let bytes = self.peek(length);
            let names = spans.iter().map(|span| {
                let name = String::from_utf8_lossy(&bytes[span.start..span.end]);
                name.into_owned()
            });
            let names: Vec<String> = names.collect();
            let known = if format.header {
                header::known_columns(&names, format)
            } else {
                usize::from(names.len() == format.names.len())
            };
            if (known, names.len()) > best.1 {
                best = (delimiter, (known, names.len()));
            }
        }
        Ok(best.0)
    }

    /// Reads the header line.
    fn header(
        &mut self,
        charset: Charset,
        spans: &mut Vec<Span>,
    ) -> Result<Vec<String>, FeedError> {
        let line = self.line;
        let bad = |why: &str| FeedError::BadHeader {
            line,
            why: why.into(),
        };
        let length = match self.next(spans, CHUNK)? {
            None => return Err(FeedError::NoHeader),
            Some(Found::Broken { why, .. }) => return Err(bad(why)),
            Some(Found::Row { length }) => length,
        };
        let bytes = self.peek(length);
        let names = spans.iter().map(|span| {
            let name = charset.decode(&bytes[span.start..span.end]);
            let name = name.map_err(|_| bad("it is not UTF-8"))?;
            Ok(name.replace("\"\"", "\"").trim().to_owned())
        });
        let names: Vec<String> = names.collect::<Result<_, FeedError>>()?;
        self.consume(length);
        Ok(names)
    }

    fn ending(&self) -> Ending {
        match self.tail {
            [0, 0] => Ending::Empty,
            [_, b'\n'] => Ending::Newline,
            [_, b'\r'] if self.crlf => Ending::HalfNewline,
            [_, b'\r'] => Ending::Newline,
            _ => Ending::Bare,
        }
    }
}

#[cfg(test)]
#[path = "delimited_tests.rs"]
mod tests;

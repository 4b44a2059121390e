//! A window on the text that always begins at the start of a line.
//!
//! It holds one chunk, or one row if that is longer, up to the limit for rows.

use std::io::Read;

use super::charset::Charset;
use super::evidence::{Ending, FeedError};
use super::format::{Delimiter, FeedFormat};
use super::header;
use super::input::Input;
use super::scan::{Dialect, Scanned, Span, line_length};
use super::value::unguarded;

/// Bytes asked of the input at a time, more or less.
pub(super) const CHUNK: usize = 64 << 10;

/// Enough bytes to hold a line such as `sep=;`.
const SEPARATOR_LINE: usize = 16;

/// What DOS programs write at the end of a text file.
pub(super) const END_MARK: u8 = 0x1a;

/// What stands next in the buffer.
pub(super) enum Found {
    Row {
        length: usize,
    },
    Broken {
        field: Option<usize>,
        why: &'static str,
    },
}

/// A window on the text that always begins at the start of a line.
pub(super) struct Lines<R: Read> {
    pub(super) input: Input<R>,
    pub(super) buffer: Vec<u8>,
    start: usize,
    end: usize,
    last: bool,
    /// Line number of the window's first byte.
    pub(super) line: u64,
    pub(super) dialect: Dialect,
    /// The last two bytes of text seen, and whether any line ended in CR LF.
    tail: [u8; 2],
    crlf: bool,
    /// Whether the last line that is not blank holds NUL bytes.
    nul: bool,
    pub(super) stopped: Option<FeedError>,
}

impl<R: Read> Lines<R> {
    pub(super) fn open(source: R, format: &FeedFormat) -> Result<Self, FeedError> {
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
            nul: false,
            stopped: None,
        })
    }

    fn window(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(super) fn peek(&self, length: usize) -> &[u8] {
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
    pub(super) fn next(
        &mut self,
        spans: &mut Vec<Span>,
        limit: usize,
    ) -> Result<Option<Found>, FeedError> {
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

    /// Makes the window hold the first line, or this much of it.
    pub(super) fn fill_line(&mut self, enough: usize) -> Result<(), FeedError> {
        while self.end - self.start < enough && line_length(self.window(), self.last).is_none() {
            self.fill()?;
        }
        Ok(())
    }

    /// As much of the first line as is in the window.
    pub(super) fn first_line(&self) -> &[u8] {
        let window = self.window();
        &window[..line_length(window, true).unwrap_or(window.len())]
    }

    /// Steps over a row of `length` bytes.
    pub(super) fn consume(&mut self, length: usize) {
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
        if !blank(bytes) {
            self.nul = bytes.contains(&0);
        }
        self.line += lines;
        self.start += length;
    }

    /// Steps over the first line, however long, without keeping it.
    pub(super) fn drop_line(&mut self) -> Result<(), FeedError> {
        let mut nul = false;
        loop {
            if let Some(length) = line_length(self.window(), self.last) {
                nul |= self.peek(length).contains(&0);
                self.consume(length);
                self.nul = nul;
                return Ok(());
            }
            nul |= self.window().contains(&0);
            // All of it belongs to the line, except that a CR may be half of a line end.
            let kept = usize::from(self.window().last() == Some(&b'\r'));
            self.start = self.end - kept;
            self.fill()?;
        }
    }

    pub(super) fn skip_line(&mut self) -> Result<(), FeedError> {
        if self.start == self.end && !self.last {
            self.fill()?;
        }
        self.drop_line()
    }

    pub(super) fn skip_blank_lines(&mut self) -> Result<(), FeedError> {
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

    /// The delimiter that a first line such as `sep=;` names, as Excel writes it. The line is stepped
    /// over.
    fn declared_delimiter(&mut self) -> Result<Option<u8>, FeedError> {
        self.fill_line(SEPARATOR_LINE)?;
        let line = self.first_line();
        let length = line.len();
        let text = line.trim_ascii_end();
        let text = text
            .strip_prefix(b"\"")
            .map_or(text, |text| text.strip_suffix(b"\"").unwrap_or(text));
        let (Some(name), &[delimiter]) = (text.get(..4), text.get(4..).unwrap_or_default()) else {
            // A tab is a blank at the end of its line.
            if line.starts_with(b"sep=\t") {
                self.consume(length);
                return Ok(Some(b'\t'));
            }
            return Ok(None);
        };
        if !name.eq_ignore_ascii_case(b"sep=") || !delimiter.is_ascii() {
            return Ok(None);
        }
        self.consume(length);
        Ok(Some(delimiter))
    }

    /// The delimiter that is set or declared, or the candidate that suits the next line best.
    pub(super) fn delimiter(&mut self, format: &FeedFormat) -> Result<u8, FeedError> {
        let declared = self.declared_delimiter()?;
        if let Delimiter::Byte(byte) = format.delimiter {
            return Ok(byte);
        }
        if let Some(declared) = declared {
            return Ok(declared);
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
            if names.len() > 1 && (known, names.len()) > best.1 {
                best = (delimiter, (known, names.len()));
            }
        }
        Ok(best.0)
    }

    /// Reads the header line.
    pub(super) fn header(
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
            Ok(unguarded(&name.replace("\"\"", "\"")).to_owned())
        });
        let names: Vec<String> = names.collect::<Result<_, FeedError>>()?;
        self.consume(length);
        Ok(names)
    }

    pub(super) fn ending(&self) -> Ending {
        if self.nul {
            return Ending::NotText;
        }
        match self.tail {
            [0, 0] => Ending::Empty,
            // The end mark of DOS stands behind the last line.
            [_, b'\n'] | [b'\n', END_MARK] => Ending::Newline,
            [_, b'\r'] if self.crlf => Ending::HalfNewline,
            [_, b'\r'] => Ending::Newline,
            _ => Ending::Bare,
        }
    }
}

/// Whether there is nothing but blanks.
pub(super) fn blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

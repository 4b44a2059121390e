//! Where one row ends and its fields begin, on bytes.
//!
//! Stricter than most readers about quotes, on purpose: a closing quote must be followed by a
//! delimiter or a line end. A row that breaks this costs its own first line and nothing after
//! it, whereas a lenient reader lets one stray quote swallow every row up to the next quote.

/// How rows are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quoting: bool,
}

/// One field inside the scanned bytes, without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) quoted: bool,
    /// Whether it contains doubled quotes.
    pub(super) escaped: bool,
}

/// What the bytes begin with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// A row of this many bytes, its line end included.
    Row { length: usize },
    /// More bytes are needed to tell.
    More,
    /// A row that cannot be split: which field, and why.
    Broken { field: usize, why: &'static str },
}

impl Dialect {
    /// Splits the row that `bytes` begin with. `last`: no bytes follow these.
    pub(super) fn scan(self, bytes: &[u8], last: bool, spans: &mut Vec<Span>) -> Scanned {
        spans.clear();
        let mut at = 0;
        loop {
            let quoted = self.quoting && bytes.get(at) == Some(&b'"');
            let span = if quoted {
                match self.quoted(bytes, at + 1, last) {
                    Ok(span) => span,
                    Err(Scanned::Broken { why, .. }) => {
                        return Scanned::Broken {
                            field: spans.len(),
                            why,
                        };
                    }
                    Err(other) => return other,
                }
            } else {
                let Some(length) = bytes[at..]
                    .iter()
                    .position(|byte| *byte == self.delimiter || matches!(byte, b'\r' | b'\n'))
                else {
                    if !last {
                        return Scanned::More;
                    }
                    spans.push(Span::plain(at, bytes.len()));
                    return Scanned::Row {
                        length: bytes.len(),
                    };
                };
                Span::plain(at, at + length)
            };
            let after = span.end + usize::from(quoted);
            spans.push(span);
            match bytes.get(after) {
                Some(byte) if *byte == self.delimiter => at = after + 1,
                Some(b'\r') => match bytes.get(after + 1) {
                    Some(b'\n') => return Scanned::Row { length: after + 2 },
                    None if !last => return Scanned::More,
                    _ => return Scanned::Row { length: after + 1 },
                },
                Some(_) => return Scanned::Row { length: after + 1 },
                None => return Scanned::Row { length: after },
            }
        }
    }

    /// The quoted field whose content begins at `start`.
    fn quoted(self, bytes: &[u8], start: usize, last: bool) -> Result<Span, Scanned> {
        let broken = |why| Scanned::Broken { field: 0, why };
        let mut escaped = false;
        let mut from = start;
        loop {
            let Some(found) = bytes[from..].iter().position(|byte| *byte == b'"') else {
                return Err(if last {
                    broken("a quote is opened and never closed")
                } else {
                    Scanned::More
                });
            };
            let end = from + found;
            match bytes.get(end + 1) {
                Some(b'"') => {
                    escaped = true;
                    from = end + 2;
                }
                None if !last => return Err(Scanned::More),
                Some(byte) if *byte != self.delimiter && !matches!(byte, b'\r' | b'\n') => {
                    return Err(broken("text follows a closing quote"));
                }
                _ => {
                    return Ok(Span {
                        start,
                        end,
                        quoted: true,
                        escaped,
                    });
                }
            }
        }
    }
}

impl Span {
    fn plain(start: usize, end: usize) -> Self {
        Self {
            start,
            end,
            quoted: false,
            escaped: false,
        }
    }
}

/// Length of the first line of `bytes` with its line end, if it is all there.
pub(super) fn line_length(bytes: &[u8], last: bool) -> Option<usize> {
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    match end {
        Some(end) if bytes[end] == b'\n' => Some(end + 1),
        Some(end) => match bytes.get(end + 1) {
            Some(b'\n') => Some(end + 2),
            None if !last => None,
            _ => Some(end + 1),
        },
        None => last.then_some(bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> (Scanned, Vec<&[u8]>) {
        let mut spans = Vec::new();
        let dialect = Dialect {
            delimiter: b',',
            quoting: true,
        };
        let scanned = dialect.scan(bytes, true, &mut spans);
        let fields = spans.iter().map(|span| &bytes[span.start..span.end]);
        (scanned, fields.collect())
    }

    #[test]
    fn rows_end_at_any_line_end_outside_quotes() {
        let expected: Vec<&[u8]> = vec![b"a", b"b\nc", b""];
        for (end, length) in [("\n", 9), ("\r\n", 10), ("\r", 9), ("", 8)] {
            let bytes = format!("a,\"b\nc\",{end}").into_bytes();
            assert_eq!(fields(&bytes), (Scanned::Row { length }, expected.clone()));
        }
    }

    #[test]
    fn broken_quotes_name_their_field() {
        let (scanned, _) = fields(b"a,\"b\nc,d\n");
        assert!(matches!(scanned, Scanned::Broken { field: 1, .. }));
        let (scanned, _) = fields(b"a,b,\"6\" kit\",d\n");
        assert!(matches!(scanned, Scanned::Broken { field: 2, .. }));
    }

    #[test]
    fn nothing_is_decided_on_half_a_line_end_or_half_an_escape() {
        let dialect = Dialect {
            delimiter: b',',
            quoting: true,
        };
        for bytes in [&b"a,b\r"[..], b"a,\"b\"", b"a,\"b", b"a"] {
            let scanned = dialect.scan(bytes, false, &mut Vec::new());
            assert_eq!(scanned, Scanned::More, "{bytes:?}");
        }
    }
}

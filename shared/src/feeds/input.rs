//! The way in: counts and hashes what is delivered, unpacks gzip within limits, yields UTF-8 or
//! an ASCII superset.

use std::io::{self, Chain, Cursor, Read};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::charset::Transcoded;
use super::evidence::{FeedError, Gzip};
use super::format::FeedFormat;

/// Small files may compress to almost nothing; the ratio is judged above this size.
const RATIO_FLOOR: u64 = 1 << 20;

/// A feed's bytes on their way to the row scanner.
pub(super) struct Input<R: Read> {
    text: Expanded<R>,
    transcoded: Option<Transcoded>,
    ended: bool,
}

impl<R: Read> Input<R> {
    pub(super) fn open(source: R, format: &FeedFormat) -> Result<Self, FeedError> {
        let mut tally = Tally::new(source, format.max_bytes);
        let magic = read_up_to(&mut tally, 4).map_err(|error| explain(error, tally.count))?;
        let gzip = magic.starts_with(&[0x1f, 0x8b]);
        let whole = Cursor::new(magic).chain(tally);
        let body = if gzip {
            Body::Gzip(Box::new(MultiGzDecoder::new(whole)))
        } else {
            Body::Plain(whole)
        };
        let mut text = Expanded {
            body,
            head: Cursor::new(Vec::new()),
            count: 0,
            end: if gzip { Gzip::Incomplete } else { Gzip::No },
            max_expanded: format.max_expanded_bytes,
            max_ratio: format.max_ratio,
        };
        let mut head =
            read_up_to(&mut text, 16).map_err(|error| explain(error, text.raw().count))?;
        if let Some(kind) = other_kind(&head) {
            return Err(FeedError::NotText(kind));
        }
        let (mark, encoding) = format.charset.plan(&head);
        head.drain(..mark);
        text.head = Cursor::new(head);
        Ok(Self {
            text,
            transcoded: encoding.map(Transcoded::new),
            ended: false,
        })
    }

    /// Fills `out`; 0 means the end, which is then also the end of the delivered bytes.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, FeedError> {
        loop {
            let result = match &mut self.transcoded {
                Some(transcoded) => transcoded.read(&mut self.text, out),
                None => self.text.read(out),
            };
            match result {
                Ok(count) => {
                    self.ended |= count == 0;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(explain(error, self.text.raw().count)),
            }
        }
    }

    /// Reads what is left (within `max_bytes`) so that the hash covers all of it.
    pub(super) fn close(self) -> Delivered {
        let gzip = self.text.end;
        let text_bytes = self.text.count;
        let mut tally = match self.text.body {
            Body::Plain(whole) => whole.into_inner().1,
            Body::Gzip(decoder) => decoder.into_inner().into_inner().1,
        };
        let complete = self.ended || io::copy(&mut tally, &mut io::sink()).is_ok();
        Delivered {
            raw_bytes: tally.count,
            text_bytes,
            sha256: complete.then(|| hex::encode(tally.hash.finalize())),
            gzip,
        }
    }
}

/// What the way in saw.
pub(super) struct Delivered {
    pub(super) raw_bytes: u64,
    pub(super) text_bytes: u64,
    pub(super) sha256: Option<String>,
    pub(super) gzip: Gzip,
}

/// Counts and hashes the delivered bytes.
struct Tally<R> {
    source: R,
    hash: Sha256,
    count: u64,
    limit: u64,
}

impl<R> Tally<R> {
    fn new(source: R, limit: u64) -> Self {
        Self {
            source,
            hash: Sha256::new(),
            count: 0,
            limit,
        }
    }
}

impl<R: Read> Read for Tally<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(out)?;
        self.hash.update(&out[..count]);
        self.count += count as u64;
        if self.count > self.limit {
            return Err(io::Error::other(FeedError::TooManyBytes {
                limit: self.limit,
            }));
        }
        Ok(count)
    }
}

type Whole<R> = Chain<Cursor<Vec<u8>>, Tally<R>>;

enum Body<R: Read> {
    Plain(Whole<R>),
    Gzip(Box<MultiGzDecoder<Whole<R>>>),
}

/// The unpacked bytes, within limits.
struct Expanded<R: Read> {
    body: Body<R>,
    /// Bytes looked at already, to be read again.
    head: Cursor<Vec<u8>>,
    count: u64,
    end: Gzip,
    max_expanded: u64,
    max_ratio: u64,
}

impl<R: Read> Expanded<R> {
    fn raw(&self) -> &Tally<R> {
        match &self.body {
            Body::Plain(whole) => whole.get_ref().1,
            Body::Gzip(decoder) => decoder.get_ref().get_ref().1,
        }
    }

    fn unpack(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let decoder = match &mut self.body {
            Body::Plain(whole) => return whole.read(out),
            Body::Gzip(decoder) => decoder,
        };
        let result = decoder.read(out);
        match &result {
            Ok(0) if !out.is_empty() => self.end = Gzip::Complete,
            Ok(_) => {}
            Err(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    return Err(io::Error::other(FeedError::GzipCut {
                        after: self.raw().count,
                    }));
                }
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                    self.end = Gzip::Corrupt;
                    return Err(io::Error::other(FeedError::GzipCorrupt {
                        why: error.to_string(),
                    }));
                }
                _ => {}
            },
        }
        result
    }
}

impl<R: Read> Read for Expanded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let seen = self.head.read(out)?;
        if seen > 0 {
            return Ok(seen);
        }
        let count = self.unpack(out)?;
        self.count += count as u64;
        if self.count > self.max_expanded {
            return Err(io::Error::other(FeedError::TooMuchText {
                limit: self.max_expanded,
            }));
        }
        if self.end != Gzip::No
            && self.count > RATIO_FLOOR
            && self.count / self.max_ratio.max(1) > self.raw().count
        {
            return Err(io::Error::other(FeedError::Ratio {
                limit: self.max_ratio,
            }));
        }
        Ok(count)
    }
}

fn read_up_to(source: &mut impl Read, count: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(count).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The feed error an I/O error carries, or the I/O error put into words.
fn explain(error: io::Error, after: u64) -> FeedError {
    let why = error.to_string();
    error
        .into_inner()
        .and_then(|inner| inner.downcast::<FeedError>().ok())
        .map_or(FeedError::Read { after, why }, |known| *known)
}

/// Things that arrive under a feed's name: a workbook, an archive, an error page.
fn other_kind(head: &[u8]) -> Option<&'static str> {
    let text = head.trim_ascii_start().to_ascii_lowercase();
    if head.starts_with(b"PK\x03\x04") {
        Some("a zip archive or a workbook (.xlsx)")
    } else if head.starts_with(b"\xd0\xcf\x11\xe0") {
        Some("an old Excel workbook (.xls)")
    } else if text.starts_with(b"<!doctype html") || text.starts_with(b"<html") {
        Some("an HTML page")
    } else {
        None
    }
}

//! Bytes to text.
//!
//! UTF-8 and Windows-1252 share their ASCII half, so delimiters can be found before decoding and
//! each row is decoded by itself: one row in the wrong charset spoils one row. UTF-16 cannot be
//! split that way and is turned into UTF-8 on its way in.

use std::borrow::Cow;
use std::io::{self, Read};

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};
use serde::Deserialize;

/// How bytes become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Charset {
    /// A byte order mark decides; without one a row is UTF-8 if it can be, else Windows-1252.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// UTF-8, with or without a mark; a row that is not becomes a bad row.
    #[serde(rename = "utf-8")]
    Utf8,
    /// UTF-16; without a mark, little endian as Windows writes it.
    #[serde(rename = "utf-16")]
    Utf16,
    /// Windows-1252, which has a letter for every byte.
    #[serde(rename = "windows-1252")]
    Windows1252,
}

impl Charset {
    /// What must be done to a stream that begins with `first`: bytes to drop, and whether to transcode.
    pub(super) fn plan(self, first: &[u8]) -> (usize, Option<&'static Encoding>) {
        match (self, Encoding::for_bom(first)) {
            (Self::Windows1252, _) => (0, None),
            (Self::Utf8 | Self::Auto, Some((encoding, length)))
                if encoding == encoding_rs::UTF_8 =>
            {
                (length, None)
            }
            (Self::Utf16 | Self::Auto, Some((encoding, length)))
                if encoding == UTF_16LE || encoding == UTF_16BE =>
            {
                (length, Some(encoding))
            }
            (Self::Utf16, _) => (0, Some(UTF_16LE)),
            _ => (0, None),
        }
    }

    /// One row's text, or where its first unreadable byte stands.
    pub(super) fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, usize> {
        match self {
            Self::Windows1252 => Ok(WINDOWS_1252.decode_without_bom_handling(bytes).0),
            Self::Auto => Ok(std::str::from_utf8(bytes).map_or_else(
                |_| WINDOWS_1252.decode_without_bom_handling(bytes).0,
                Cow::Borrowed,
            )),
            Self::Utf8 | Self::Utf16 => std::str::from_utf8(bytes)
                .map(Cow::Borrowed)
                .map_err(|error| error.valid_up_to()),
        }
    }
}

/// A UTF-16 stream, read as UTF-8.
pub(super) struct Transcoded {
    decoder: Decoder,
    waiting: Vec<u8>,
    ended: bool,
    flushed: bool,
}

impl Transcoded {
    pub(super) fn new(encoding: &'static Encoding) -> Self {
        Self {
            decoder: encoding.new_decoder_without_bom_handling(),
            waiting: Vec::new(),
            ended: false,
            flushed: false,
        }
    }

    /// Fills `out` (at least four bytes) from `input`; 0 means the end.
    pub(super) fn read(&mut self, input: &mut impl Read, out: &mut [u8]) -> io::Result<usize> {
        while !self.flushed {
            if self.waiting.is_empty() && !self.ended {
                self.waiting.resize(8192, 0);
                let count = input.read(&mut self.waiting)?;
                self.waiting.truncate(count);
                self.ended = count == 0;
            }
            let last = self.ended;
            let (result, consumed, written, _) =
                self.decoder.decode_to_utf8(&self.waiting, out, last);
            self.waiting.drain(..consumed);
            self.flushed = last && result == CoderResult::InputEmpty;
            if written > 0 {
                return Ok(written);
            }
        }
        Ok(0)
    }
}

/// A whole text whose charset nobody named: its byte-order mark decides; without one it is UTF-8 if it
/// can be, else Windows-1252.
pub fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match (Encoding::for_bom(bytes), std::str::from_utf8(bytes)) {
        (Some((encoding, _)), _) => encoding.decode(bytes).0,
        (None, Ok(text)) => Cow::Borrowed(text),
        (None, Err(_)) => WINDOWS_1252.decode(bytes).0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcode(bytes: &[u8], encoding: &'static Encoding) -> String {
        let (mut input, mut out) = (bytes, Vec::new());
        let mut transcoded = Transcoded::new(encoding);
        let mut chunk = [0; 7];
        loop {
            match transcoded.read(&mut input, &mut chunk).unwrap() {
                0 => return String::from_utf8(out).unwrap(),
                count => out.extend_from_slice(&chunk[..count]),
            }
        }
    }

    #[test]
    fn utf16_survives_small_buffers_and_an_odd_last_byte() {
        let text = "Škoda Octávia 🚗 km";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(transcode(&little, UTF_16LE), text);
        assert_eq!(transcode(&big, UTF_16BE), text);
        assert_eq!(transcode(&little[..3], UTF_16LE), "Š\u{fffd}");
        assert_eq!(transcode(&[], UTF_16LE), "");
    }

    #[test]
    fn a_mark_decides_unless_the_setting_does() {
        assert_eq!(Charset::Auto.plan(b"\xef\xbb\xbfVIN"), (3, None));
        assert_eq!(Charset::Auto.plan(b"\xff\xfeV\0"), (2, Some(UTF_16LE)));
        assert_eq!(Charset::Auto.plan(b"\xfe\xff\0V"), (2, Some(UTF_16BE)));
        assert_eq!(Charset::Utf16.plan(b"V\0I\0"), (0, Some(UTF_16LE)));
        assert_eq!(Charset::Windows1252.plan(b"\xff\xfeVI"), (0, None));
        assert_eq!(Charset::Auto.plan(b"VIN"), (0, None));
    }

    #[test]
    fn auto_reads_each_row_as_utf8_or_windows_1252() {
        assert_eq!(
            Charset::Auto.decode("Citroën".as_bytes()).unwrap(),
            "Citroën"
        );
        assert_eq!(
            Charset::Auto.decode(b"Citro\xebn \x80").unwrap(),
            "Citroën €"
        );
        assert_eq!(Charset::Utf8.decode(b"Citro\xebn"), Err(5));
    }
}

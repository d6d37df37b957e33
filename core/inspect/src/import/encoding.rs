//! Decoding of encoded captures: gzip, and texts in UTF-8 with a byte order mark or in UTF-16.

use std::io::{ErrorKind, Write as _};

use flate2::write::MultiGzDecoder;

use super::{PREVIEW, ReadError};

/// The encoding of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    /// UTF-8 with a byte order mark.
    Utf8Bom,
    Utf16 {
        big_endian: bool,
        bom: bool,
    },
}

/// An incremental decoder of an encoded capture.
#[derive(Debug)]
pub(super) enum EncodingDecoder {
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Text(TextDecoder),
}

/// An incremental decoder from a text's encoding to UTF-8.
#[derive(Debug)]
pub(super) struct TextDecoder {
    encoding: Encoding,
    /// Bytes of the byte order mark that are still to be skipped.
    bom: usize,
    /// The first byte of an incomplete UTF-16 unit.
    first_byte: Option<u8>,
    /// A high surrogate whose low surrogate is still to come.
    high_surrogate: Option<u16>,
}

/// The result of decoding a whole capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Complete,
    Truncated,
    /// The checksum is wrong or missing.
    Unverified,
}

/// The byte order mark of UTF-8.
const UTF8_BOM: [u8; 3] = [0xef, 0xbb, 0xbf];

/// The bytes examined to detect UTF-16 without a byte order mark.
const UTF16_SAMPLE: usize = 16;

/// Unsupported formats by their magic numbers, with advice.
const UNSUPPORTED: [(&[u8], &str); 9] = [
    (b"BZh", "compressed by bzip2; decompress it first (bunzip2)"),
    (b"\xfd7zXZ\0", "compressed by xz; decompress it first (unxz)"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; decompress it first (unzstd)"),
    (b"\x04\x22\x4d\x18", "compressed by lz4; decompress it first (unlz4)"),
    (b"PK\x03\x04", "a ZIP archive; unpack it first"),
    (b"snoop\0\0\0", "a capture of snoop; convert it (editcap FILE NEW.pcapng)"),
    (b"GMBU", "a capture of Microsoft's Network Monitor; convert it (editcap FILE NEW.pcapng)"),
    (b"RTSS", "a capture of Microsoft's Network Monitor; convert it (editcap FILE NEW.pcapng)"),
    (b"MSFT", "an event trace of Windows; convert it (etl2pcapng FILE NEW.pcapng)"),
];

/// Returns the name of an unsupported format and advice, if these are its first bytes.
pub(super) fn unsupported(first: &[u8]) -> Option<&'static str> {
    UNSUPPORTED.iter().find(|(magic, _)| first.starts_with(magic)).map(|(_, words)| *words)
}

impl Encoding {
    /// Detects an encoding by the first bytes. A text encoding is a guess, to be confirmed by the decoded text.
    pub(super) fn detect(first: &[u8]) -> Option<Self> {
        if first.starts_with(&[0x1f, 0x8b, 8]) {
            return Some(Self::Gzip);
        }
        if first.starts_with(&UTF8_BOM) {
            return Some(Self::Utf8Bom);
        }
        let units = first.get(..first.len().min(UTF16_SAMPLE) & !1).unwrap_or_default().chunks_exact(2);
        let is_text = |big_endian: bool| {
            let is_ascii = |unit: &[u8]| match unit {
                [a, b] => (1..0x80).contains(&Self::unit(big_endian, [*a, *b])),
                _ => false,
            };
            units.len() > 1 && units.clone().all(is_ascii)
        };
        Some(match first.get(..2)? {
            [0xff, 0xfe] => Self::Utf16 { big_endian: false, bom: true },
            [0xfe, 0xff] => Self::Utf16 { big_endian: true, bom: true },
            _ if is_text(false) => Self::Utf16 { big_endian: false, bom: false },
            _ if is_text(true) => Self::Utf16 { big_endian: true, bom: false },
            _ => return None,
        })
    }

    /// Returns a UTF-16 unit.
    const fn unit(big_endian: bool, pair: [u8; 2]) -> u16 {
        if big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
    }

    /// Creates a decoder.
    pub(super) fn decoder(self) -> EncodingDecoder {
        let bom = match self {
            Self::Gzip => return EncodingDecoder::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Self::Utf8Bom => UTF8_BOM.len(),
            Self::Utf16 { bom, .. } => 2 * usize::from(bom),
        };
        EncodingDecoder::Text(TextDecoder { encoding: self, bom, first_byte: None, high_surrogate: None })
    }

    /// Returns the first decoded bytes, at most [`PREVIEW`].
    pub(super) fn decode_first(self, first: &[u8]) -> Vec<u8> {
        let (mut decoder, mut out) = (self.decoder(), Vec::new());
        // The error stops decoding early; a real one is reported when the capture is read.
        let mut take = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            if out.len() < PREVIEW { Ok(()) } else { Err(ReadError::from("enough")) }
        };
        let _: Result<Ending, ReadError> = decoder.feed(first, &mut take).and_then(|()| decoder.finish(&mut take));
        out.truncate(PREVIEW);
        out
    }

    /// Maps a position in the decoded capture to one in the file; 0 if that is unknown.
    pub(super) fn file_position(self, at: u64) -> u64 {
        match self {
            Self::Gzip => 0,
            Self::Utf8Bom => at + UTF8_BOM.len() as u64,
            // Exact for ASCII, of which dumps and JSON Lines nearly always consist.
            Self::Utf16 { bom, .. } => 2 * (at + u64::from(bom)),
        }
    }
}

impl EncodingDecoder {
    /// Decodes the next bytes and passes the output to `emit`.
    pub(super) fn feed<E: From<ReadError>>(
        &mut self,
        mut bytes: &[u8],
        mut emit: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Gzip(decoder) => {
                while !bytes.is_empty() {
                    // Each write decodes a bounded amount, so a high compression ratio does not fill the memory.
                    let used = decoder.write(bytes).map_err(|error| damaged(&error))?;
                    bytes = bytes.get(used..).unwrap_or_default();
                    let out = std::mem::take(decoder.get_mut());
                    if !out.is_empty() {
                        emit(&out)?;
                    }
                    if used == 0 && out.is_empty() {
                        return Err(ReadError::from("it goes on after what is compressed by gzip").into());
                    }
                }
                Ok(())
            }
            Self::Text(text) => {
                let out = text.feed(bytes);
                if out.is_empty() { Ok(()) } else { emit(&out) }
            }
        }
    }

    /// Ends the capture and passes the remaining output to `emit`.
    pub(super) fn finish<E: From<ReadError>>(self, mut emit: impl FnMut(&[u8]) -> Result<(), E>) -> Result<Ending, E> {
        match self {
            Self::Gzip(mut decoder) => {
                let finished = decoder.try_finish();
                let out = std::mem::take(decoder.get_mut());
                if !out.is_empty() {
                    emit(&out)?;
                }
                match finished {
                    Ok(()) => Ok(Ending::Complete),
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Ending::Truncated),
                    Err(_) => Ok(Ending::Unverified),
                }
            }
            Self::Text(text) if text.first_byte.is_some() || text.high_surrogate.is_some() => Ok(Ending::Truncated),
            Self::Text(_) => Ok(Ending::Complete),
        }
    }
}

fn damaged(error: &std::io::Error) -> ReadError {
    format!("what is compressed by gzip is damaged: {error}").into()
}

impl TextDecoder {
    fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let bom = self.bom.min(bytes.len());
        self.bom -= bom;
        let bytes = bytes.get(bom..).unwrap_or_default();
        let Encoding::Utf16 { big_endian, .. } = self.encoding else { return bytes.to_vec() };
        let mut text = String::with_capacity(bytes.len() / 2);
        for byte in bytes {
            let Some(first) = self.first_byte.take() else {
                self.first_byte = Some(*byte);
                continue;
            };
            let unit = Encoding::unit(big_endian, [first, *byte]);
            match self.high_surrogate.take() {
                None if (0xd800..0xdc00).contains(&unit) => self.high_surrogate = Some(unit),
                high => {
                    let units = high.into_iter().chain([unit]);
                    text.extend(char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)));
                }
            }
        }
        text.into_bytes()
    }
}

//! Wrappings of a capture: compression by gzip, and encodings of text.

use std::io::{ErrorKind, Write as _};

use flate2::write::MultiGzDecoder;

use super::{PREVIEW, Wrong};

/// The wrapping of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrapping {
    Gzip,
    /// UTF-8 with a byte order mark, which is no part of a text.
    Mark,
    Utf16 {
        big_endian: bool,
        mark: bool,
    },
}

/// Takes the wrapping off as the bytes come.
#[derive(Debug)]
pub(super) enum Unwrapper {
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Text(Text),
}

/// Makes UTF-8 of a text in another encoding.
#[derive(Debug)]
pub(super) struct Text {
    wrapping: Wrapping,
    /// The number of bytes of the mark that are still to come.
    mark: usize,
    /// Half a unit, and half a pair of units.
    byte: Option<u8>,
    high: Option<u16>,
}

/// The end of an unwrapped capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    Cut,
    /// The checksum is wrong or not there.
    Unproven,
}

/// A mark, and what it tells.
const UTF_8: [u8; 3] = [0xef, 0xbb, 0xbf];

/// So many bytes tell UTF-16 where there is no mark.
const TELLING: usize = 16;

/// Captures and archives that are not read, by their first bytes, and what can be done.
const FOREIGN: [(&[u8], &str); 9] = [
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

/// Returns the name of a form that is not read, and how to convert it.
pub(super) fn foreign(first: &[u8]) -> Option<&'static str> {
    FOREIGN.iter().find(|(magic, _)| first.starts_with(magic)).map(|(_, words)| *words)
}

impl Wrapping {
    /// Returns the wrapping that the first bytes announce; an encoding of text may be no wrapping.
    pub(super) fn announced(first: &[u8]) -> Option<Self> {
        if first.starts_with(&[0x1f, 0x8b, 8]) {
            return Some(Self::Gzip);
        }
        if first.starts_with(&UTF_8) {
            return Some(Self::Mark);
        }
        let units = first.get(..first.len().min(TELLING) & !1).unwrap_or_default().chunks_exact(2);
        let is_text = |big_endian: bool| {
            let is_ascii = |unit: &[u8]| match unit {
                [a, b] => (1..0x80).contains(&Self::unit(big_endian, [*a, *b])),
                _ => false,
            };
            units.len() > 1 && units.clone().all(is_ascii)
        };
        Some(match first.get(..2)? {
            [0xff, 0xfe] => Self::Utf16 { big_endian: false, mark: true },
            [0xfe, 0xff] => Self::Utf16 { big_endian: true, mark: true },
            _ if is_text(false) => Self::Utf16 { big_endian: false, mark: false },
            _ if is_text(true) => Self::Utf16 { big_endian: true, mark: false },
            _ => return None,
        })
    }

    const fn unit(big_endian: bool, pair: [u8; 2]) -> u16 {
        if big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
    }

    pub(super) fn unwrapper(self) -> Unwrapper {
        let mark = match self {
            Self::Gzip => return Unwrapper::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Self::Mark => UTF_8.len(),
            Self::Utf16 { mark, .. } => 2 * usize::from(mark),
        };
        Unwrapper::Text(Text { wrapping: self, mark, byte: None, high: None })
    }

    /// Returns the beginning of the unwrapped capture.
    pub(super) fn unwrap_first(self, first: &[u8]) -> Vec<u8> {
        let (mut unwrapper, mut out) = (self.unwrapper(), Vec::new());
        // An error further on is reported when it is read.
        let mut take = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            if out.len() < PREVIEW { Ok(()) } else { Err(Wrong::from("enough")) }
        };
        let _: Result<Ending, Wrong> = unwrapper.feed(first, &mut take).and_then(|()| unwrapper.finish(&mut take));
        out.truncate(PREVIEW);
        out
    }

    /// Returns the position in the file of a position in the unwrapped capture.
    pub(super) fn place(self, at: u64) -> u64 {
        match self {
            Self::Gzip => 0,
            Self::Mark => at + UTF_8.len() as u64,
            // Nearly everything that a dump or a line is written in takes two bytes.
            Self::Utf16 { mark, .. } => 2 * (at + u64::from(mark)),
        }
    }
}

impl Unwrapper {
    /// Takes the next bytes; gives them unwrapped.
    pub(super) fn feed<E: From<Wrong>>(
        &mut self,
        mut bytes: &[u8],
        mut give: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Gzip(decoder) => {
                while !bytes.is_empty() {
                    // It takes as much as it can give at a time, so that little is held however well it is compressed.
                    let used = decoder.write(bytes).map_err(|error| damaged(&error))?;
                    bytes = bytes.get(used..).unwrap_or_default();
                    let out = std::mem::take(decoder.get_mut());
                    if !out.is_empty() {
                        give(&out)?;
                    }
                    if used == 0 && out.is_empty() {
                        return Err(Wrong::from("it goes on after what is compressed by gzip").into());
                    }
                }
                Ok(())
            }
            Self::Text(text) => {
                let out = text.feed(bytes);
                if out.is_empty() { Ok(()) } else { give(&out) }
            }
        }
    }

    /// Ends the capture: gives the bytes that are left; returns how it ends.
    pub(super) fn finish<E: From<Wrong>>(self, mut give: impl FnMut(&[u8]) -> Result<(), E>) -> Result<Ending, E> {
        match self {
            Self::Gzip(mut decoder) => {
                let finished = decoder.try_finish();
                let out = std::mem::take(decoder.get_mut());
                if !out.is_empty() {
                    give(&out)?;
                }
                match finished {
                    Ok(()) => Ok(Ending::Whole),
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Ending::Cut),
                    Err(_) => Ok(Ending::Unproven),
                }
            }
            Self::Text(text) if text.byte.is_some() || text.high.is_some() => Ok(Ending::Cut),
            Self::Text(_) => Ok(Ending::Whole),
        }
    }
}

fn damaged(error: &std::io::Error) -> Wrong {
    format!("what is compressed by gzip is damaged: {error}").into()
}

impl Text {
    fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mark = self.mark.min(bytes.len());
        self.mark -= mark;
        let bytes = bytes.get(mark..).unwrap_or_default();
        let Wrapping::Utf16 { big_endian, .. } = self.wrapping else { return bytes.to_vec() };
        let mut text = String::with_capacity(bytes.len() / 2);
        for byte in bytes {
            let Some(first) = self.byte.take() else {
                self.byte = Some(*byte);
                continue;
            };
            let unit = Wrapping::unit(big_endian, [first, *byte]);
            match self.high.take() {
                None if (0xd800..0xdc00).contains(&unit) => self.high = Some(unit),
                high => {
                    let units = high.into_iter().chain([unit]);
                    text.extend(char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)));
                }
            }
        }
        text.into_bytes()
    }
}

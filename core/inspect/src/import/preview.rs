//! A description of a capture in words, before it is read.

use super::{
    Format, PREVIEW,
    detect::{detect, detect_encoding, dump_of, packets_of, stream_of},
    encoding::{self, Encoding},
};
use crate::Direction;

/// The form of a capture, by its first bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// The form it is read as.
    pub format: Format,
    /// Whether the bytes look like the protocol. Of packets it is not known before they are read.
    pub recognised: bool,
    /// The direction of the bytes, where they are of one and tell it.
    pub direction: Option<Direction>,
    /// In words, for the person who opened it.
    pub words: String,
    /// The first bytes that were found in a dump or are raw.
    pub bytes: Vec<u8>,
    /// It is compressed.
    pub compressed: bool,
    /// Why it cannot be read, and what can be done.
    pub refusal: Option<String>,
}

/// Tells from the first bytes what a capture is.
#[must_use]
pub fn preview(bytes: &[u8]) -> Preview {
    let first = bytes.get(..PREVIEW).unwrap_or(bytes);
    if let Some(encoding) = detect_encoding(first) {
        let inner = preview(&encoding.decode_first(first));
        let compressed = inner.compressed || encoding == Encoding::Gzip;
        let words =
            if encoding == Encoding::Gzip { format!("{}, compressed by gzip", inner.words) } else { inner.words };
        return Preview { compressed, words, ..inner };
    }
    let (format, direction) = detect(first);
    let plain = |recognised, words: String, bytes| Preview {
        format,
        recognised,
        direction,
        words,
        bytes,
        compressed: false,
        refusal: None,
    };
    if let Some(words) = encoding::unsupported(first) {
        let refusal = Some(format!("it is {words}"));
        return Preview { refusal, ..plain(false, capital(words.into()), Vec::new()) };
    }
    match format {
        Format::Pcap => plain(true, "A pcap file".into(), Vec::new()),
        Format::PcapNg => plain(true, "A pcapng file".into(), Vec::new()),
        Format::JsonLines => plain(true, "Rows that the inspector exported".into(), Vec::new()),
        Format::Hex => match dump_of(first) {
            Some(Ok(dump)) => {
                let form = dump.form().words();
                let found: usize = dump.blocks.iter().map(|piece| piece.bytes.len()).sum();
                if packets_of(&dump).is_some() {
                    let packets = dump.blocks.len();
                    let s = if packets == 1 { "" } else { "s" };
                    return plain(
                        true,
                        format!("A packet dump: {packets} packet{s}, {found} bytes in {form}"),
                        Vec::new(),
                    );
                }
                let (bytes, direction) = stream_of(&dump);
                let words = format!("{found} bytes in {form}, {}", sender(direction));
                Preview { direction, ..plain(direction.is_some(), capital(words), bytes) }
            }
            Some(Err(error)) => {
                let at = error.at.unwrap_or(0);
                plain(false, format!("A hex dump that cannot be read: at byte {at}, {}", error.message), Vec::new())
            }
            None => plain(false, "Not known".into(), Vec::new()),
        },
        Format::Raw if first.is_empty() => plain(false, "Nothing: it is empty".into(), Vec::new()),
        Format::Raw => {
            let more = if bytes.len() > first.len() { "more than " } else { "" };
            let ends = match direction {
                Some(_) if has_bare_line_ends(first) => "; its lines end with a bare LF, as nothing but text would",
                _ => "",
            };
            let words = format!("{more}{} raw bytes, {}{ends}", first.len(), sender(direction));
            plain(direction.is_some(), capital(words), first.to_vec())
        }
    }
}

/// Returns words for the sender of raw bytes.
fn sender(direction: Option<Direction>) -> &'static str {
    match direction {
        Some(Direction::Out) => "what a client sent",
        Some(Direction::In) => "what a server sent",
        None => "which do not look like the protocol",
    }
}

fn capital(mut words: String) -> String {
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

fn has_bare_line_ends(bytes: &[u8]) -> bool {
    bytes.contains(&b'\n') && !bytes.windows(2).any(|pair| pair == b"\r\n")
}

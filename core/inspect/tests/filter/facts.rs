//! The fields of a row, gathered without the filter.

use chanwire_inspect::{Capture, Direction, Entry, RowKind};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

/// A row, as the naive evaluator sees it.
pub(super) struct Facts {
    pub(super) no: f64,
    pub(super) time: f64,
    pub(super) delta: Option<f64>,
    pub(super) rtt: Option<f64>,
    pub(super) len: f64,
    pub(super) conn: f64,
    pub(super) inward: bool,
    pub(super) cmd: Option<String>,
    pub(super) status: Option<String>,
    pub(super) push: bool,
    pub(super) err: Option<String>,
    pub(super) bad: bool,
    pub(super) text: String,
    pub(super) bytes: Vec<u8>,
    pub(super) json: Option<Json>,
}

/// A JSON value with every member of its objects, also those of the same name.
#[derive(Clone, Debug)]
pub(super) enum Json {
    Null,
    Truth(bool),
    Number(f64),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

pub(super) fn facts(capture: &Capture) -> Vec<Facts> {
    let entries: Vec<Entry<'_>> = capture.entries(capture.first(), capture.end_number()).collect();
    let mut before = None;
    let facts = entries.iter().map(|entry| {
        let time = entry.time();
        let delta = before.map(|before| time - before);
        before = Some(time);
        of(capture, entry, delta)
    });
    facts.collect()
}

fn of(capture: &Capture, entry: &Entry<'_>, delta: Option<f64>) -> Facts {
    let frame = entry.kind() == RowKind::Frame;
    let (out, r#in) = (entry.direction() == Direction::Out, entry.direction() == Direction::In);
    let word = |wanted: bool| (wanted && !entry.head().is_empty()).then(|| entry.head().to_owned());
    let fault = entry.kind() == RowKind::Fault;
    let answered = || {
        let request = capture.entry(entry.pair()?)?;
        (request.kind() == RowKind::Frame).then(|| request.head().to_owned())
    };
    let cmd = if (frame && (out || entry.is_push())) || (fault && out) {
        word(true)
    } else if frame {
        answered()
    } else {
        None
    };
    let says_bytes = |bytes: &[u8]| String::from_utf8_lossy(&unescaped(bytes)).into_owned();
    Facts {
        no: entry.number() as f64,
        time: entry.time(),
        delta,
        rtt: entry.rtt(),
        len: entry.bytes().len() as f64,
        conn: f64::from(entry.connection()),
        inward: r#in,
        cmd,
        status: word(r#in && ((frame && !entry.is_push()) || fault)),
        push: entry.is_push(),
        err: entry.describe().fault.map(|fault| fault.error).or(entry.describe().error),
        bad: entry.is_bad(),
        text: match entry.note() {
            Some(text) => format!("{} {text}", entry.head()),
            None => says_bytes(entry.bytes()),
        },
        bytes: entry.bytes().to_vec(),
        json: frame.then(|| payload(entry.bytes())).flatten(),
    }
}

fn payload(bytes: &[u8]) -> Option<Json> {
    let start = bytes.iter().position(|byte| *byte == b'{')?;
    serde_json::from_slice(&bytes[start..]).ok()
}

/// Decodes escapes within quotes, one byte after the other.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut at, mut quoted) = (Vec::new(), 0, false);
    let four = |at: usize| {
        let digits = std::str::from_utf8(bytes.get(at..at + 4)?).ok()?;
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
    };
    while let Some(byte) = bytes.get(at).copied() {
        at += 1;
        if byte == b'"' {
            quoted = !quoted;
        }
        if byte != b'\\' || !quoted {
            out.push(byte);
            continue;
        }
        let next = bytes.get(at).copied();
        let simple = match next {
            Some(b'n') => Some(b'\n'),
            Some(b'r') => Some(b'\r'),
            Some(b't') => Some(b'\t'),
            Some(b'b') => Some(8),
            Some(b'f') => Some(12),
            Some(b'"' | b'\\' | b'/') => next,
            _ => None,
        };
        if let Some(plain) = simple {
            out.push(plain);
            at += 1;
        } else if next == Some(b'u')
            && let Some(first) = four(at + 1)
        {
            let low = (bytes.get(at + 5..at + 7) == Some(b"\\u")).then(|| four(at + 7)).flatten();
            let (units, length) = match (first, low) {
                (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => (vec![first, low], 11),
                _ => (vec![first], 5),
            };
            out.extend(String::from_utf16_lossy(&units).bytes());
            at += length;
        } else {
            out.push(byte);
            out.extend(next);
            at += usize::from(next.is_some());
        }
    }
    out
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }

            fn visit_bool<E>(self, truth: bool) -> Result<Json, E> {
                Ok(Json::Truth(truth))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
                Ok(Json::Number(number as f64))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
                Ok(Json::Number(number as f64))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
                Ok(Json::Number(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
                let mut all = Vec::new();
                while let Some(element) = elements.next_element()? {
                    all.push(element);
                }
                Ok(Json::Array(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = members.next_entry()? {
                    all.push(member);
                }
                Ok(Json::Object(all))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

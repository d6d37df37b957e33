//! Plans of writes: bytes that are cut, delayed or damaged on their way.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::{
    Problem,
    typed::{Form, number},
    visible,
};

/// The most steps of one plan.
pub const MAX_STEPS: usize = 4096;

/// The most bytes that one plan sends.
pub const MAX_BYTES: usize = 1 << 20;

/// The longest wait, in milliseconds: ten minutes, well above the two that the protocol gives a frame.
pub const MAX_WAIT: u64 = 600_000;

/// One of the things that are done, in order, to send something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write these bytes in a write of their own.
    Bytes(Vec<u8>),
    /// Wait for this number of milliseconds.
    Wait(u64),
    /// Shut down the sending half.
    End,
    /// Reset the connection.
    Reset,
}

/// Faults that are made in bytes on their way, in the order of the fields. Positions count in the bytes that the fields
/// before have left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Every CR LF becomes a bare LF.
    pub bare_lf: bool,
    /// The number of times that everything is sent again.
    pub again: usize,
    /// The most bytes to send before the sending half is shut down.
    pub truncate: Option<usize>,
    /// The ends of writes.
    pub cuts: Vec<Cut>,
    /// Bytes between the cuts are sent in small pieces.
    pub drip: Option<Drip>,
    /// The end of the connection, when all is sent.
    pub finish: Finish,
}

/// Between two writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The number of bytes sent before it.
    pub at: usize,
    /// The wait there, in milliseconds.
    pub wait: u64,
}

/// So many bytes at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drip {
    /// The number of bytes of a piece, at least 1.
    pub bytes: usize,
    /// The wait between two pieces, in milliseconds.
    pub every: u64,
}

/// The end of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finish {
    /// The connection stays open.
    #[default]
    Nothing,
    /// The sending half is shut down.
    End,
    /// The connection is reset.
    Reset,
}

impl Faults {
    /// Reads faults as they were typed, field by field; an empty field asks for none.
    ///
    /// | field | what is typed |
    /// |---|---|
    /// | `bare_lf` | `yes` |
    /// | `again` | a number |
    /// | `truncate` | a number of bytes |
    /// | `cut` | positions, each with a wait if it has one: `7, 9+500` |
    /// | `drip` | a number of bytes |
    /// | `every` | milliseconds between two drips, 0 where nothing is typed |
    /// | `finish` | `end` or `reset` |
    ///
    /// # Errors
    ///
    /// The problem of each invalid field.
    pub fn read(typed: &BTreeMap<String, String>) -> Result<Self, Vec<Problem>> {
        let mut form = Form::new(typed);
        let faults = Self {
            bare_lf: form.choice("bare_lf", &[("yes", true)]).unwrap_or_default(),
            again: form.number("again", 1..=1000).unwrap_or_default(),
            truncate: form.number("truncate", 0..=MAX_BYTES),
            cuts: cuts(&mut form),
            drip: drip(&mut form),
            finish: form.choice("finish", &[("end", Finish::End), ("reset", Finish::Reset)]).unwrap_or_default(),
        };
        form.finish(faults)
    }

    /// Returns the steps by which these bytes are sent.
    ///
    /// # Errors
    ///
    /// A position outside the bytes to send, or more bytes or steps than a plan may have.
    pub fn steps(&self, bytes: &[u8]) -> Result<Vec<Step>, Problem> {
        let sent = self.sent(bytes)?;
        let mut cuts = self.cuts.clone();
        cuts.sort_by_key(|cut| cut.at);
        let mut steps = Vec::new();
        let mut from = 0;
        for Cut { at, wait } in cuts {
            let Some(piece) = sent.get(from..at) else {
                return Err(problem("cut", format!("Nothing can be cut at {at}: {} bytes are sent", sent.len())));
            };
            self.pieces(piece, &mut steps)?;
            if wait > 0 {
                push(&mut steps, Step::Wait(wait))?;
            } else if at > from && at < sent.len() {
                self.pause(&mut steps)?;
            }
            from = at;
        }
        self.pieces(sent.get(from..).unwrap_or_default(), &mut steps)?;
        match self.finish {
            Finish::Reset => push(&mut steps, Step::Reset)?,
            Finish::End => push(&mut steps, Step::End)?,
            Finish::Nothing if self.truncate.is_some() => push(&mut steps, Step::End)?,
            Finish::Nothing => {}
        }
        Ok(steps)
    }

    /// Returns all the bytes that are sent, whatever the writes.
    fn sent(&self, bytes: &[u8]) -> Result<Vec<u8>, Problem> {
        let once = if self.bare_lf { without_cr(bytes) } else { bytes.to_vec() };
        let times = self.again.saturating_add(1);
        let length = once.len().saturating_mul(times);
        if length > MAX_BYTES {
            let field = if self.again > 0 { Some("again".to_owned()) } else { None };
            let message = format!("At most {MAX_BYTES} bytes can be sent at once, and these are {length}");
            return Err(Problem { field, message });
        }
        let mut sent = once.repeat(times);
        if let Some(count) = self.truncate {
            if count > sent.len() {
                let message = format!("Nothing can be truncated at {count}: {} bytes are sent", sent.len());
                return Err(problem("truncate", message));
            }
            sent.truncate(count);
        }
        Ok(sent)
    }

    /// Appends the writes between two cuts.
    fn pieces(&self, bytes: &[u8], steps: &mut Vec<Step>) -> Result<(), Problem> {
        let size = self.drip.map_or(usize::MAX, |drip| drip.bytes.max(1));
        for (index, piece) in bytes.chunks(size).enumerate() {
            if index > 0 {
                self.pause(steps)?;
            }
            push(steps, Step::Bytes(piece.to_vec()))?;
        }
        Ok(())
    }

    /// Returns the wait between two pieces.
    fn pause(&self, steps: &mut Vec<Step>) -> Result<(), Problem> {
        match self.drip {
            Some(Drip { every, .. }) if every > 0 => push(steps, Step::Wait(every)),
            _ => Ok(()),
        }
    }
}

fn push(steps: &mut Vec<Step>, step: Step) -> Result<(), Problem> {
    if steps.len() == MAX_STEPS {
        let message = format!("A plan has at most {MAX_STEPS} steps: drip more bytes at a time");
        return Err(problem("drip", message));
    }
    steps.push(step);
    Ok(())
}

fn without_cr(bytes: &[u8]) -> Vec<u8> {
    let follows = bytes.iter().skip(1).map(Some).chain([None]);
    let kept = bytes.iter().zip(follows).filter(|(byte, next)| (**byte, *next) != (b'\r', Some(&b'\n')));
    kept.map(|(byte, _)| *byte).collect()
}

fn problem(field: &str, message: String) -> Problem {
    Problem { field: Some(field.into()), message }
}

fn cuts(form: &mut Form) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let words = form.text("cut").unwrap_or_default();
    for word in words.split([',', ' ']).filter(|word| !word.is_empty()) {
        let (at, wait) = word.split_once('+').unwrap_or((word, "0"));
        let wait = wait.strip_suffix("ms").unwrap_or(wait);
        match (number(at, &(0..=MAX_BYTES)), number(wait, &(0..=MAX_WAIT))) {
            (Some(at), Some(wait)) => cuts.push(Cut { at, wait }),
            _ => {
                let message = format!(
                    "'{}' must be a position, with + and at most {MAX_WAIT} ms if it waits there: 7, 9+500",
                    visible(word)
                );
                form.wrong("cut", message);
            }
        }
    }
    cuts
}

fn drip(form: &mut Form) -> Option<Drip> {
    let every = form.number("every", 0..=MAX_WAIT);
    let bytes = form.number("drip", 1..=MAX_BYTES);
    if bytes.is_none() && form.text("drip").is_none() && every.is_some() {
        form.wrong("drip", "How many bytes at a time is missing".into());
    }
    bytes.map(|bytes| Drip { bytes, every: every.unwrap_or_default() })
}

/// One member, named by the action.
impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// As bytes, and not as a list of numbers.
        struct Bytes<'a>(&'a [u8]);

        impl Serialize for Bytes<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(self.0)
            }
        }

        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Bytes(bytes) => map.serialize_entry("bytes", &Bytes(bytes))?,
            Self::Wait(wait) => map.serialize_entry("wait", wait)?,
            Self::End => map.serialize_entry("end", &true)?,
            Self::Reset => map.serialize_entry("reset", &true)?,
        }
        map.end()
    }
}

//! A dump that is read as its text comes.

use memchr::memchr;

use super::{
    Part, Syntax,
    form::Form,
    offsets::Offsets,
    parse,
    run::{NOT_A_DUMP, Run},
};
use crate::import::ReadError;

/// The longest line of a dump with offsets, in bytes. Other lines than those of the dump may stand between them.
const MAX_LINE: usize = 1 << 20;

/// The longest literal, list or array, in bytes of text: these are read as a whole.
pub(super) const MAX_WHOLE: usize = 64 << 20;

/// A reader of one dump. Places in its errors count from the dump's first byte.
#[derive(Debug)]
pub(in crate::import) struct Reader(Kind);

#[derive(Debug)]
enum Kind {
    Lines(Lines),
    Run(Run),
    Whole(Vec<u8>),
}

/// Lines with offsets. A line is read when the next one has come, whose offset tells how many bytes it has.
#[derive(Debug)]
struct Lines {
    offsets: Offsets,
    /// The line that is to be read next, and its place.
    line: Option<(u64, String)>,
    /// The beginning of the line after it, and its place.
    begun: Vec<u8>,
    place: u64,
}

impl Reader {
    pub(in crate::import) fn new(syntax: Syntax) -> Self {
        Self(match syntax {
            Syntax::Lines(layout) => {
                Kind::Lines(Lines { offsets: Offsets::new(layout), line: None, begun: Vec::new(), place: 0 })
            }
            Syntax::Run(Form::Words(group)) => Kind::Run(Run::words(group.bytes)),
            Syntax::Run(Form::List) => Kind::Run(Run::decimals()),
            Syntax::Run(_) => Kind::Run(Run::pairs()),
            Syntax::Whole(_) => Kind::Whole(Vec::new()),
        })
    }

    /// Returns the number of bytes that were fed and are not read yet.
    pub(in crate::import) fn waiting(&self) -> usize {
        match &self.0 {
            Kind::Lines(lines) => lines.begun.len(),
            Kind::Run(_) => 0,
            Kind::Whole(text) => text.len(),
        }
    }

    /// Reads the next bytes of the text.
    pub(in crate::import) fn feed(&mut self, text: &[u8], emit: &mut dyn FnMut(Part<'_>)) -> Result<(), ReadError> {
        match &mut self.0 {
            Kind::Lines(lines) => lines.feed(text, emit),
            Kind::Run(run) => {
                let mut bytes = Vec::with_capacity(text.len() / 2);
                let read = run.feed(text, &mut bytes);
                emit(Part::Bytes(&bytes));
                read
            }
            Kind::Whole(whole) => {
                whole.extend_from_slice(text);
                if whole.len() <= MAX_WHOLE {
                    return Ok(());
                }
                let words = format!(
                    "a literal, list or array of more than {MAX_WHOLE} bytes of text is not read; dump its bytes with xxd"
                );
                Err(ReadError::from(words).at(MAX_WHOLE as u64))
            }
        }
    }

    /// Reads the rest of the text.
    pub(in crate::import) fn finish(self, emit: &mut dyn FnMut(Part<'_>)) -> Result<(), ReadError> {
        match self.0 {
            Kind::Lines(lines) => lines.finish(emit),
            Kind::Run(run) => {
                let mut bytes = Vec::new();
                let read = run.finish(&mut bytes);
                emit(Part::Bytes(&bytes));
                read
            }
            Kind::Whole(text) => {
                let dump = parse(&String::from_utf8_lossy(&text)).unwrap_or_else(|| Err(NOT_A_DUMP.into()))?;
                for block in &dump.blocks {
                    emit(Part::Block { indented: block.indented, time: block.time });
                    emit(Part::Bytes(&block.bytes));
                }
                Ok(())
            }
        }
    }
}

impl Lines {
    fn feed(&mut self, mut text: &[u8], emit: &mut dyn FnMut(Part<'_>)) -> Result<(), ReadError> {
        while let Some(end) = memchr(b'\n', text) {
            let (line, rest) = text.split_at(end + 1);
            self.begun.extend_from_slice(line);
            self.complete(emit)?;
            text = rest;
        }
        self.begun.extend_from_slice(text);
        if self.begun.len() > MAX_LINE {
            return Err(ReadError::from(format!("a line of more than {MAX_LINE} bytes is not read")).at(self.place));
        }
        Ok(())
    }

    /// Reads the line before the one that is complete now.
    fn complete(&mut self, emit: &mut dyn FnMut(Part<'_>)) -> Result<(), ReadError> {
        let text = String::from_utf8_lossy(&self.begun).into_owned();
        let place = self.place;
        self.place += self.begun.len() as u64;
        self.begun.clear();
        if let Some((place, line)) = self.line.take() {
            self.offsets.line(&line, Some(&text), emit).map_err(|error| error.at(place))?;
        }
        self.line = Some((place, text));
        Ok(())
    }

    fn finish(mut self, emit: &mut dyn FnMut(Part<'_>)) -> Result<(), ReadError> {
        if !self.begun.is_empty() {
            self.complete(emit)?;
        }
        match self.line.take() {
            Some((place, line)) => self.offsets.line(&line, None, emit).map_err(|error| error.at(place)),
            None => Ok(()),
        }
    }
}

//! An import into a capture.

use super::{Import, ImportError, ImportOptions, Sink, Summary};
use crate::{Capture, Direction, Gap, JsonLinesReader, Time, visible};

/// An import of one capture into a [`Capture`].
///
/// ```
/// use chanwire_inspect::{Capture, import::{CaptureImport, ImportOptions}};
///
/// let mut capture = Capture::new(1 << 20);
/// let mut import = CaptureImport::new(ImportOptions::default(), 0);
/// import.feed(b"4c 49 53 54 0d 0a", &mut capture).unwrap();
/// let summary = import.finish(&mut capture).unwrap();
/// assert_eq!((summary.connections, capture.entry(1).unwrap().bytes()), (1, &b"LIST\r\n"[..]));
/// ```
#[derive(Debug)]
pub struct CaptureImport {
    import: Import,
    state: State,
}

#[derive(Debug)]
struct State {
    /// The number that is added to each connection's.
    before: u32,
    max_payload: Option<usize>,
    lines: JsonLinesReader,
    marks: Vec<u64>,
}

impl CaptureImport {
    /// Begins an import. The first connection gets the number `before` + 1.
    #[must_use]
    pub fn new(options: ImportOptions, before: u32) -> Self {
        let ImportOptions { max_payload, .. } = options;
        let state = State { before, max_payload, lines: JsonLinesReader::new(before), marks: Vec::new() };
        Self { import: Import::new(options), state }
    }

    /// Takes the next bytes and records the events that they complete.
    ///
    /// # Errors
    /// When they cannot be read. Events recorded before stay.
    pub fn feed(&mut self, bytes: &[u8], capture: &mut Capture) -> Result<(), ImportError> {
        self.import.feed(bytes, &mut Recorder { capture, state: &mut self.state })
    }

    /// Ends the capture and records the events that are left.
    ///
    /// # Errors
    /// When the bytes cannot be read as anything.
    pub fn finish(mut self, capture: &mut Capture) -> Result<Summary, ImportError> {
        let read = self.import.finish(&mut Recorder { capture, state: &mut self.state });
        let lines = self.state.lines.connections();
        self.state.lines.finish(capture);
        read.map(|summary| Summary { connections: summary.connections.max(lines), ..summary })
    }

    /// Returns the rows that turned out to be marked, since this was last asked.
    pub fn take_marks(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.state.marks)
    }
}

struct Recorder<'a> {
    capture: &'a mut Capture,
    state: &'a mut State,
}

impl Recorder<'_> {
    const fn number(&self, connection: u32) -> u32 {
        self.state.before.saturating_add(connection)
    }
}

impl Sink for Recorder<'_> {
    fn open(&mut self, connection: u32, time: Time, client: &str, server: &str) {
        let number = self.number(connection);
        if client.is_empty() {
            return match self.state.max_payload {
                Some(most) => self.capture.open_with(number, server, most, most),
                None => self.capture.open(number, server),
            };
        }
        let label = format!("{client} to {server}");
        self.capture.open(number, &label);
        self.capture.note(number, time, "connected", &visible(&label), false);
    }

    fn bytes(&mut self, connection: u32, direction: Direction, time: Time, bytes: &[u8]) {
        self.capture.bytes(self.number(connection), direction, time, bytes);
    }

    fn gap(&mut self, connection: u32, direction: Direction, time: Time, bytes: u64, text: &str) {
        let text = match bytes {
            0 => text.to_owned(),
            1 => format!("1 byte is {text}"),
            bytes => format!("{bytes} bytes are {text}"),
        };
        let gap = Gap { bytes, frames: None, paired: None };
        self.capture.gap(self.number(connection), Some(direction), time, gap, &visible(&text));
    }

    fn end(&mut self, connection: u32, direction: Direction, time: Time) {
        self.capture.end(self.number(connection), direction, time);
    }

    fn shut_down(&mut self, connection: u32, direction: Direction, time: Time) {
        self.capture.shut_down(self.number(connection), direction, time);
    }

    fn close(&mut self, connection: u32, time: Time, reason: &str, bad: bool) {
        // A connection that did not break goes on after the capture.
        if bad {
            self.capture.close(self.number(connection), time);
        } else {
            self.capture.leave(self.number(connection), time);
        }
        self.capture.note(self.number(connection), time, "closed", &visible(reason), bad);
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        self.state.marks.extend(self.state.lines.line(line, self.capture)?);
        Ok(())
    }
}

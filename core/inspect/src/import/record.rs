//! An import into a capture.

use super::Sink;
use crate::{Capture, Direction, Gap, visible};

/// Records what is imported, with connections numbered after those that are there.
#[derive(Debug)]
pub struct Recorder<'a> {
    capture: &'a mut Capture,
    /// What is added to each connection's number.
    before: u32,
}

impl<'a> Recorder<'a> {
    /// Records into `capture`; connection 1 of the import becomes `before` + 1.
    pub fn new(capture: &'a mut Capture, before: u32) -> Self {
        Self { capture, before }
    }

    const fn number(&self, connection: u32) -> u32 {
        self.before.saturating_add(connection)
    }
}

impl Sink for Recorder<'_> {
    fn open(&mut self, connection: u32, time: f64, client: &str, server: &str) {
        let number = self.number(connection);
        if client.is_empty() {
            return self.capture.open(number, server);
        }
        let label = format!("{client} to {server}");
        self.capture.open(number, &label);
        self.capture.note(number, time, "connected", &visible(&label), false);
    }

    fn bytes(&mut self, connection: u32, direction: Direction, time: f64, bytes: &[u8]) {
        self.capture.bytes(self.number(connection), direction, time, bytes);
    }

    fn gap(&mut self, connection: u32, direction: Direction, time: f64, bytes: u64, text: &str) {
        let text = match bytes {
            0 => text.to_owned(),
            1 => format!("1 byte is {text}"),
            bytes => format!("{bytes} bytes are {text}"),
        };
        let gap = Gap { bytes, frames: None, paired: None };
        self.capture.gap(self.number(connection), Some(direction), time, gap, &visible(&text));
    }

    fn end(&mut self, connection: u32, direction: Direction, time: f64) {
        self.capture.end(self.number(connection), direction, time);
        let who = if direction == Direction::Out { "client" } else { "server" };
        let text = format!("the {who} shut down its sending half");
        self.capture.note(self.number(connection), time, "half-closed", &text, false);
    }

    fn close(&mut self, connection: u32, time: f64, reason: &str, bad: bool) {
        self.capture.close(self.number(connection), time);
        self.capture.note(self.number(connection), time, "closed", &visible(reason), bad);
    }

    fn note(&mut self, connection: u32, time: f64, head: &str, text: &str, bad: bool) {
        self.capture.note(self.number(connection), time, &visible(head), &visible(text), bad);
    }

    fn mark(&mut self) {}
}

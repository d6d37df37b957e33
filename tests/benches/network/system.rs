//! The interface of a system under load.

use std::{
    io::{Read, Write},
    time::Duration,
};

use crate::link::Link;

/// The timeout for anything that a measurement waits for.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// A running server of one of the systems.
pub(crate) trait System {
    /// Returns its name in the table.
    fn name(&self) -> &'static str;

    /// Returns its process.
    fn id(&self) -> u32;

    /// Opens connections that can send requests, greeted as the protocol wants it.
    fn connect(&self, count: usize) -> Vec<Link>;

    /// Opens connections that receive everything that is [published](Self::publish) from now on, and nothing else.
    fn subscribe(&self, count: usize) -> Vec<Link>;

    /// Returns the request to store this durably before it is acknowledged; `None` for a system that is not set up to.
    fn store(&self, content: &str) -> Option<Exchange>;

    /// Returns the request to send this to all subscribers, with an acknowledgement.
    fn publish(&self, content: &str) -> Exchange;

    /// Returns the number of bytes pushed for the message of this number, counted from 1 since the server started.
    fn push_size(&self, number: u64, content: &str) -> u64;
}

/// A request, and the form of its answers.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) request: Vec<u8>,
    /// The position in the request of [`ID_DIGITS`] digits that are other ones each time; `None` if it is always the
    /// same.
    pub(crate) id_at: Option<usize>,
    pub(crate) reply: Reply,
}

/// The digits of an id that differs from request to request.
pub(crate) const ID_DIGITS: usize = 32;

/// Returns a size as it is added up.
pub(crate) fn size(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The form of an answer that says yes. Any other ends the measurement.
#[derive(Clone, Copy)]
pub(crate) enum Reply {
    /// So many bytes, of which this is the first.
    Sized(u8, usize),
    /// So many lines, of which this is the first byte.
    Lines(u8, usize),
    /// All up to a closing brace, of which this is the first byte.
    Object(u8),
}

/// Counts answers without reading them.
pub(crate) struct Replies {
    reply: Reply,
    /// Bytes or lines of the answer that has begun.
    begun: usize,
    /// Whether the next byte is an answer's first.
    at_start: bool,
}

impl Replies {
    pub(crate) fn new(reply: Reply) -> Self {
        Self { reply, begun: 0, at_start: true }
    }

    /// Counts the answers that these bytes complete.
    pub(crate) fn count(&mut self, bytes: &[u8]) -> usize {
        let Some(last) = bytes.last() else { return 0 };
        let (Reply::Sized(first, _) | Reply::Lines(first, _) | Reply::Object(first)) = self.reply;
        let says_yes = !self.at_start || bytes.first() == Some(&first);
        assert!(says_yes, "an answer that does not say yes: {}", String::from_utf8_lossy(bytes));
        let count = |end: u8| bytes.iter().filter(|byte| **byte == end).count();
        let (units, of_reply, is_at_end) = match self.reply {
            Reply::Sized(_, size) => (bytes.len(), size, true),
            Reply::Lines(_, lines) => (count(b'\n'), lines, *last == b'\n'),
            Reply::Object(_) => (count(b'}'), 1, *last == b'}'),
        };
        self.begun += units;
        let complete = self.begun / of_reply;
        self.begun %= of_reply;
        self.at_start = self.begun == 0 && is_at_end;
        complete
    }
}

/// Sends this and reads as much as the expected answer has, which it must be.
pub(crate) fn ask(stream: &mut (impl Read + Write), request: &str, expected: &str) {
    let answer = exchange(stream, request, expected.len());
    assert_eq!(answer, expected, "the answer to {request:?}");
}

/// Sends this and reads so many bytes of the answer.
pub(crate) fn exchange(stream: &mut (impl Read + Write), request: &str, size: usize) -> String {
    stream.write_all(request.as_bytes()).expect("a server that reads");
    read(stream, size)
}

/// Reads this number of bytes within the link's timeout.
pub(crate) fn read(stream: &mut impl Read, size: usize) -> String {
    let mut answer = vec![0; size];
    if let Err(error) = stream.read_exact(&mut answer) {
        panic!("{size} bytes did not come ({error}), but: {}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8(answer).expect("UTF-8")
}

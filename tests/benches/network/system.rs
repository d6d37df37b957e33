//! The interface of a system under load.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// The timeout for anything that a measurement waits for.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// A running server of one of the systems.
pub(crate) trait System {
    /// Returns its name in the table.
    fn name(&self) -> &'static str;

    /// Returns its process.
    fn id(&self) -> u32;

    /// Opens connections that can send requests, greeted as the protocol wants it.
    fn connect(&self, count: usize) -> Vec<TcpStream>;

    /// Opens connections that receive everything that is [published](Self::publish) from now on, and nothing else.
    fn subscribe(&self, count: usize) -> Vec<TcpStream>;

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
    pub(crate) reply: Reply,
}

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
        let (Reply::Sized(first, _) | Reply::Lines(first, _)) = self.reply;
        let says_yes = !self.at_start || bytes.first() == Some(&first);
        assert!(says_yes, "an answer that does not say yes: {}", String::from_utf8_lossy(bytes));
        let (units, of_reply) = match self.reply {
            Reply::Sized(_, size) => (bytes.len(), size),
            Reply::Lines(_, lines) => (bytes.iter().filter(|byte| **byte == b'\n').count(), lines),
        };
        self.begun += units;
        let complete = self.begun / of_reply;
        self.begun %= of_reply;
        self.at_start = self.begun == 0 && (matches!(self.reply, Reply::Sized(..)) || *last == b'\n');
        complete
    }
}

/// Sends this and reads as much as the expected answer has, which it must be.
pub(crate) fn ask(stream: &mut TcpStream, request: &str, expected: &str) {
    let answer = exchange(stream, request, expected.len());
    assert_eq!(answer, expected, "the answer to {request:?}");
}

/// Sends this and reads so many bytes of the answer.
pub(crate) fn exchange(stream: &mut TcpStream, request: &str, size: usize) -> String {
    stream.write_all(request.as_bytes()).expect("a server that reads");
    read(stream, size)
}

/// Reads this number of bytes within a timeout.
pub(crate) fn read(stream: &mut TcpStream, size: usize) -> String {
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    let mut answer = vec![0; size];
    if let Err(error) = stream.read_exact(&mut answer) {
        panic!("{size} bytes did not come ({error}), but: {}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8(answer).expect("UTF-8")
}

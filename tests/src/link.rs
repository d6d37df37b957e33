//! A connection without sockets: a driver of an endpoint, with every read and write as short as the test
//! likes.

use std::collections::VecDeque;

use chanwire_core::{
    Time,
    endpoint::{ConnectionAction, Endpoint},
};

/// One end of a connection, and the bytes that are on their way to it.
#[derive(Debug)]
pub struct End<E> {
    /// The state machine.
    pub endpoint: E,
    /// Everything that it has written.
    pub written: Vec<u8>,
    inbox: VecDeque<u8>,
    /// Whether the peer has shut down its sending half: nothing comes behind the inbox.
    ending: bool,
    eof_read: bool,
    last: ConnectionAction,
}

impl<E: Endpoint> End<E> {
    /// Creates an end of a new connection.
    pub const fn new(endpoint: E) -> Self {
        let inbox = VecDeque::new();
        Self { endpoint, written: Vec::new(), inbox, ending: false, eof_read: false, last: ConnectionAction::Open }
    }

    /// Adds bytes that the peer sent.
    pub fn arrive(&mut self, bytes: &[u8]) {
        self.inbox.extend(bytes);
    }

    /// Notes that the peer has shut down its sending half.
    pub fn end_arrives(&mut self) {
        self.ending = true;
    }

    /// Reads at most `most` bytes, if the endpoint wants to read and some are there. Returns them; none at the end of
    /// the stream.
    pub fn read(&mut self, now: Time, most: usize) -> Option<Vec<u8>> {
        if !self.endpoint.wants_read() || self.endpoint.action() >= ConnectionAction::Close || self.eof_read {
            return None;
        }
        if self.inbox.is_empty() {
            if !self.ending {
                return None;
            }
            self.eof_read = true;
            self.endpoint.handle_eof(now);
            return Some(Vec::new());
        }
        let bytes: Vec<u8> = self.inbox.drain(..most.clamp(1, self.inbox.len())).collect();
        self.endpoint.handle_input(now, &bytes);
        Some(bytes)
    }

    /// Writes at most `most` bytes, and returns them.
    pub fn write(&mut self, now: Time, most: usize) -> Vec<u8> {
        if self.endpoint.action() >= ConnectionAction::Close {
            return Vec::new();
        }
        let mut slices = [&[][..]; 3];
        let count = self.endpoint.transmit(&mut slices);
        let bytes: Vec<u8> = slices.iter().take(count).flat_map(|slice| slice.iter().copied()).take(most).collect();
        if !bytes.is_empty() {
            self.endpoint.handle_written(now, bytes.len());
        }
        self.written.extend_from_slice(&bytes);
        bytes
    }

    /// Returns the number of bytes that wait to be written, as far as one large vectored write sees them.
    #[must_use]
    pub fn unsent(&self) -> usize {
        let mut slices = [&[][..]; 256];
        let count = self.endpoint.transmit(&mut slices);
        slices.iter().take(count).map(|slice| slice.len()).sum()
    }

    /// Returns what the driver does with the connection itself.
    ///
    /// # Panics
    ///
    /// If it moves back.
    pub fn action(&mut self) -> ConnectionAction {
        let link = self.endpoint.action();
        assert!(link >= self.last, "the connection goes from {:?} back to {link:?}", self.last);
        self.last = link;
        link
    }

    /// Returns whether the sending half is shut down.
    pub fn has_finished(&mut self) -> bool {
        self.action() >= ConnectionAction::Close
            || self.action() >= ConnectionAction::FinishWriting && self.unsent() == 0
    }
}

/// Carries at most `most` bytes from one end towards the other, and the end of the stream once it is there.
pub fn carry<A: Endpoint, B: Endpoint>(from: &mut End<A>, to: &mut End<B>, now: Time, most: usize) -> bool {
    let bytes = from.write(now, most);
    to.arrive(&bytes);
    if from.has_finished() && !to.ending {
        to.end_arrives();
        return true;
    }
    !bytes.is_empty()
}

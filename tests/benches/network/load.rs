//! The load: senders and subscribers on one thread, woken by what comes.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read as _, Write as _},
    iter::repeat_n,
    net::TcpStream,
    os::fd::AsFd as _,
    rc::Rc,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token};
use rustix::net::{RecvFlags, recv};

use crate::system::{Exchange, Replies, size};

/// The highest number of bytes in one read.
const READ: usize = 1024 * 1024;

/// Requests stand side by side in a block of about this many bytes, so that one write takes many.
const BLOCK: usize = 64 * 1024;

/// Tells which connections something has come for.
pub(crate) struct Poller {
    poll: Poll,
    events: Events,
    /// The buffer of every read.
    pub(crate) scratch: Vec<u8>,
}

impl Poller {
    pub(crate) fn new() -> Self {
        let poll = Poll::new().expect("a poll");
        Self { poll, events: Events::with_capacity(4096), scratch: vec![0; READ] }
    }

    fn add(&self, stream: TcpStream, number: usize, interest: Interest) -> mio::net::TcpStream {
        stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).expect("a connection");
        let mut stream = mio::net::TcpStream::from_std(stream);
        self.poll.registry().register(&mut stream, Token(number), interest).expect("a registration");
        stream
    }

    /// Waits for this long at most.
    pub(crate) fn wait(&mut self, at_most: Duration) {
        match self.poll.poll(&mut self.events, Some(at_most)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => panic!("cannot wait: {error}"),
            _ => {}
        }
    }

    /// Returns the numbers of the connections that something has happened to.
    pub(crate) fn woken(&self) -> Vec<usize> {
        self.events.iter().map(|event| event.token().0).collect()
    }
}

/// A connection that sends one request again and again.
pub(crate) struct Sender {
    stream: mio::net::TcpStream,
    /// The size of one request.
    size: usize,
    block: Rc<[u8]>,
    /// Bytes that were written, and bytes that are to be.
    written: usize,
    wanted: usize,
    replies: Replies,
    /// When each request was asked that is not answered.
    open: VecDeque<Instant>,
}

impl Sender {
    /// Returns senders on these connections, numbered from `first` on.
    pub(crate) fn all(poller: &Poller, streams: Vec<TcpStream>, first: usize, exchange: &Exchange) -> Vec<Self> {
        let size = exchange.request.len();
        let block: Rc<[u8]> = exchange.request.repeat((BLOCK / size).max(2)).into();
        let sender = |(number, stream)| Self {
            stream: poller.add(stream, first + number, Interest::READABLE | Interest::WRITABLE),
            size,
            block: block.clone(),
            written: 0,
            wanted: 0,
            replies: Replies::new(exchange.reply),
            open: VecDeque::new(),
        };
        streams.into_iter().enumerate().map(sender).collect()
    }

    /// Returns the number of unanswered requests.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    /// Sends so many more requests.
    pub(crate) fn ask(&mut self, count: usize) {
        self.wanted += count * self.size;
        self.open.extend(repeat_n(Instant::now(), count));
        self.flush();
    }

    /// Writes what the kernel takes.
    pub(crate) fn flush(&mut self) {
        while self.written < self.wanted {
            let start = self.written % self.size;
            let end = self.block.len().min(start + self.wanted - self.written);
            match self.stream.write(&self.block[start..end]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("a sender cannot write: {error}"),
            }
        }
    }

    /// Reads the answers that have come; `answered` takes when each was asked for and when it was read.
    pub(crate) fn receive(&mut self, scratch: &mut [u8], mut answered: impl FnMut(Instant, Instant)) -> usize {
        let mut total = 0;
        loop {
            let read = taken(self.stream.read(scratch));
            let now = Instant::now();
            let count = self.replies.count(&scratch[..read]);
            for asked in self.open.drain(..count) {
                answered(asked, now);
            }
            total += count;
            // Bytes that arrive after this read wake the poll again.
            if read < scratch.len() {
                return total;
            }
        }
    }
}

/// A connection that listens, and counts what it hears.
pub(crate) struct Subscriber {
    stream: mio::net::TcpStream,
    /// Bytes that have come.
    pub(crate) heard: u64,
}

impl Subscriber {
    /// Returns subscribers on these connections, numbered from `first` on.
    pub(crate) fn all(poller: &Poller, streams: Vec<TcpStream>, first: usize) -> Vec<Self> {
        let subscriber =
            |(number, stream)| Self { stream: poller.add(stream, first + number, Interest::READABLE), heard: 0 };
        streams.into_iter().enumerate().map(subscriber).collect()
    }

    /// Takes what has come. The kernel throws it away instead of copying it, which costs the same for every system.
    pub(crate) fn receive(&mut self, scratch: &mut [u8]) {
        loop {
            let received = recv(self.stream.as_fd(), &mut *scratch, RecvFlags::TRUNC);
            let count = taken(received.map(|(_, count)| count).map_err(io::Error::from));
            self.heard += size(count);
            if count < scratch.len() {
                return;
            }
        }
    }

    /// Returns the next bytes as they are; empty when there is none now.
    pub(crate) fn read(&mut self, scratch: &mut [u8]) -> Vec<u8> {
        let count = taken(self.stream.read(scratch));
        self.heard += size(count);
        scratch[..count].to_vec()
    }
}

/// Returns the number of bytes read, if the connection lives.
fn taken(read: io::Result<usize>) -> usize {
    match read {
        Ok(0) => panic!("the server has closed a connection"),
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => panic!("a connection is lost: {error}"),
    }
}

//! The load: senders and subscribers on one thread, woken by what comes.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    iter::repeat_n,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll};

use crate::{
    link::{Link, PolledLink},
    system::{Exchange, ID_DIGITS, Replies, size},
};

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

    fn add(&self, link: Link, number: usize, interest: Interest) -> PolledLink {
        PolledLink::register(link, self.poll.registry(), number, interest)
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

/// The number of the next request with an id of its own.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// A connection that sends one request again and again.
pub(crate) struct Sender {
    link: PolledLink,
    /// Requests with ids of their own that are to be written, and where in a request the id stands.
    numbered: Vec<u8>,
    id_at: Option<usize>,
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
    pub(crate) fn all(poller: &Poller, links: Vec<Link>, first: usize, exchange: &Exchange) -> Vec<Self> {
        let size = exchange.request.len();
        let block: Rc<[u8]> = exchange.request.repeat((BLOCK / size).max(2)).into();
        let sender = |(number, link)| Self {
            link: poller.add(link, first + number, Interest::READABLE | Interest::WRITABLE),
            numbered: Vec::new(),
            id_at: exchange.id_at,
            size,
            block: block.clone(),
            written: 0,
            wanted: 0,
            replies: Replies::new(exchange.reply),
            open: VecDeque::new(),
        };
        links.into_iter().enumerate().map(sender).collect()
    }

    /// Returns the number of unanswered requests.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    /// Sends so many more requests.
    pub(crate) fn ask(&mut self, count: usize) {
        match self.id_at {
            Some(at) => (0..count).for_each(|_| self.add_numbered(at)),
            None => self.wanted += count * self.size,
        }
        self.open.extend(repeat_n(Instant::now(), count));
        self.flush();
    }

    fn add_numbered(&mut self, at: usize) {
        let start = self.numbered.len() + at;
        self.numbered.extend_from_slice(&self.block[..self.size]);
        let id = format!("{:0ID_DIGITS$x}", NEXT_ID.fetch_add(1, Ordering::Relaxed));
        self.numbered[start..start + ID_DIGITS].copy_from_slice(id.as_bytes());
    }

    /// Writes what the kernel takes.
    pub(crate) fn flush(&mut self) {
        match self.link.flush() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            flushed => flushed.expect("a sender that can write"),
        }
        while !self.numbered.is_empty() {
            match self.link.write(&self.numbered) {
                Ok(count) => drop(self.numbered.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("a sender cannot write: {error}"),
            }
        }
        while self.written < self.wanted {
            let start = self.written % self.size;
            let end = self.block.len().min(start + self.wanted - self.written);
            match self.link.write(&self.block[start..end]) {
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
            let read = taken(self.link.read(scratch));
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
    link: PolledLink,
    /// Bytes that have come.
    pub(crate) heard: u64,
}

impl Subscriber {
    /// Returns subscribers on these connections, numbered from `first` on.
    pub(crate) fn all(poller: &Poller, links: Vec<Link>, first: usize) -> Vec<Self> {
        let subscriber = |(number, link)| Self { link: poller.add(link, first + number, Interest::READABLE), heard: 0 };
        links.into_iter().enumerate().map(subscriber).collect()
    }

    /// Takes what has come, at the same cost for every system.
    pub(crate) fn receive(&mut self, scratch: &mut [u8]) {
        loop {
            let count = taken(self.link.discard(scratch));
            self.heard += size(count);
            if count < scratch.len() {
                return;
            }
        }
    }

    /// Returns the next bytes as they are; empty when there is none now.
    pub(crate) fn read(&mut self, scratch: &mut [u8]) -> Vec<u8> {
        let count = taken(self.link.read(scratch));
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

//! One sender, and all who hear it.

use std::time::{Duration, Instant};

use crate::{
    load::{Poller, Sender, Subscriber},
    running::cpu_time,
    system::{System, TIMEOUT},
};

/// The highest number of bytes on their way to the slowest subscriber. It keeps every system's queues short enough that
/// none has to drop anything.
const WINDOW: u64 = 400_000;

/// The content to send: a message of usual length.
pub(crate) const CONTENT: &str =
    "The quick brown fox jumps over the lazy dog, and nobody here has asked what he was paid to do it all";

pub(crate) struct Group<'a> {
    system: &'a dyn System,
    poller: Poller,
    sender: Sender,
    subscribers: Vec<Subscriber>,
    content: String,
    /// The number of messages sent.
    sent: u64,
    /// The number of bytes that a subscriber has received when it has received them all.
    due: u64,
}

/// The work that a group did in some time.
pub(crate) struct Burst {
    /// Messages that all have heard, and the bytes that each subscriber heard.
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
    /// The CPU time of the server's threads meanwhile.
    pub(crate) cpu: Duration,
}

impl<'a> Group<'a> {
    /// Returns a group on a server that has sent nothing yet.
    pub(crate) fn new(system: &'a dyn System, subscribers: usize, content: String) -> Self {
        let poller = Poller::new();
        let subscribers = Subscriber::all(&poller, system.subscribe(subscribers), 1);
        let exchange = system.publish(&content);
        let sender = Sender::all(&poller, system.connect(1), 0, &exchange).pop().expect("one sender");
        let mut group = Self { system, poller, sender, subscribers, content, sent: 0, due: 0 };
        group.check();
        group
    }

    /// Delivers one message to every subscriber: afterwards bytes are only counted.
    fn check(&mut self) {
        self.send(1);
        let end = Instant::now() + TIMEOUT;
        let size = usize::try_from(self.due).unwrap_or_default();
        let mut heard = vec![Vec::new(); self.subscribers.len()];
        while self.sender.open() > 0 || heard.iter().any(|heard| heard.len() < size) {
            assert!(Instant::now() < end, "{}: the first message has not come", self.system.name());
            self.poller.wait(TIMEOUT);
            self.sender.receive(&mut self.poller.scratch, |_, _| {});
            for (subscriber, heard) in self.subscribers.iter_mut().zip(&mut heard) {
                heard.extend(subscriber.read(&mut self.poller.scratch));
            }
        }
        for heard in heard {
            let heard = String::from_utf8(heard).expect("UTF-8");
            assert!(heard.len() == size && heard.contains(&self.content), "{} sent {heard:?}", self.system.name());
        }
    }

    /// Sends so many messages. The number of bytes due after each is returned.
    pub(crate) fn send(&mut self, count: usize) -> u64 {
        for _ in 0..count {
            self.sent += 1;
            self.due += self.system.push_size(self.sent, &self.content);
        }
        self.sender.ask(count);
        self.due
    }

    /// Handles what has come, or waits for it. `answered` takes when a message was sent and when its answer was read;
    /// `heard` takes a subscriber's index, and how many bytes it has heard now.
    pub(crate) fn turn(
        &mut self,
        at_most: Duration,
        mut answered: impl FnMut(Instant, Instant),
        mut heard: impl FnMut(usize, u64),
    ) {
        self.poller.wait(at_most);
        for number in self.poller.woken() {
            match number.checked_sub(1) {
                None => {
                    self.sender.receive(&mut self.poller.scratch, &mut answered);
                    self.sender.flush();
                }
                Some(index) => {
                    let subscriber = &mut self.subscribers[index];
                    subscriber.receive(&mut self.poller.scratch);
                    heard(index, subscriber.heard);
                }
            }
        }
    }

    /// Returns the number of bytes that the slowest subscriber has not received.
    pub(crate) fn unheard(&self) -> u64 {
        self.due - self.subscribers.iter().map(|subscriber| subscriber.heard).min().unwrap_or_default()
    }

    /// Sends, with no more than `depth` messages unanswered, as fast as all can hear, until `done` says so; then waits
    /// until they have.
    pub(crate) fn burst(
        &mut self,
        depth: usize,
        mut done: impl FnMut(u64) -> bool,
        mut answered: impl FnMut(Instant, Instant),
    ) -> Burst {
        let (start, sent, due, cpu) = (Instant::now(), self.sent, self.due, cpu_time(self.system.id()));
        let mut end = None;
        loop {
            let unheard = self.unheard();
            if end.is_none() && done(self.sent - sent) {
                end = Some(Instant::now());
            }
            match end {
                None => {
                    let room = WINDOW.saturating_sub(unheard) / self.system.push_size(self.sent, &self.content);
                    let room =
                        usize::try_from(room).unwrap_or(usize::MAX).min(depth.saturating_sub(self.sender.open()));
                    if room > 0 {
                        self.send(room);
                    }
                }
                Some(end) => {
                    if unheard == 0 && self.sender.open() == 0 {
                        break;
                    }
                    assert!(end.elapsed() < TIMEOUT, "{}: {unheard} bytes were not heard", self.system.name());
                }
            }
            self.turn(TIMEOUT, &mut answered, |_, _| {});
        }
        Burst {
            messages: self.sent - sent,
            bytes: self.due - due,
            elapsed: start.elapsed(),
            cpu: cpu_time(self.system.id()) - cpu,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.subscribers.len()
    }

    pub(crate) fn system(&self) -> &dyn System {
        self.system
    }
}

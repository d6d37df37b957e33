//! The TCP connections of a capture: their clients, the protocol that they speak, and the bytes that they carried.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::SocketAddr,
};

use super::{
    Sink,
    summary::Counts,
    tcp::{Fit, Out, Segment, Stream},
};
use crate::{Direction, Time, guess_direction, visible};

/// The most connections that are followed at one time. Beyond it, the oldest one is dropped.
const MAX_CONNECTIONS: usize = 65_536;

/// The most bytes that are kept of each direction of a connection while it is not known whether it speaks the protocol.
const MAX_UNJUDGED: usize = 8 << 10;

/// The most bytes that are kept of all connections that wait to be judged.
const MAX_UNJUDGED_TOTAL: usize = 32 << 20;

/// The most bytes of all connections that may be held until bytes before them arrive.
const MAX_HELD_TOTAL: usize = 64 << 20;

/// Nanoseconds after a close for which a SYN with the same sequence number is a copy of the old one. Later, it begins a
/// new connection.
const COPY: i64 = 100_000_000;

/// The most bytes that are shown of the text that a reset may carry.
const MAX_RESET_TEXT: usize = 512;

/// The two ends of a connection, the smaller address first.
type Key = (SocketAddr, SocketAddr);

/// All connections of a capture.
#[derive(Debug)]
pub(super) struct Connections {
    /// Whether connections of any protocol are shown.
    everything: bool,
    ids: HashMap<Key, u64>,
    connections: BTreeMap<u64, Connection>,
    /// Connections that are over. They are dropped first to make room for others.
    over: VecDeque<u64>,
    next: u64,
    held: usize,
    unjudged: usize,
    /// The time of the last packet that has one, in nanoseconds.
    now: i64,
    counts: Counts,
}

#[derive(Debug)]
struct Connection {
    key: Key,
    /// The end of the key that is the client, once that is known.
    client: Option<usize>,
    /// By the end that sends.
    streams: [Stream; 2],
    /// The sequence numbers of the SYNs, by the end that sent them.
    syns: [Option<u32>; 2],
    judged: Judged,
    opened: Time,
    state: State,
    /// The text that is shown if a direction does not begin with its first byte.
    middle: &'static str,
    /// The number of bytes its packets carried.
    payload: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Open,
    /// There was a reset that may not have been accepted. If more segments follow, it was not.
    Reset {
        side: usize,
        time: Time,
    },
    /// It is over since this time, in nanoseconds.
    Over {
        since: i64,
        reset: bool,
    },
}

/// Whether a connection speaks the protocol, and is shown.
#[derive(Debug)]
enum Judged {
    /// Unknown. The events so far are kept for when it turns out to speak the protocol, with the first bytes of both
    /// ends.
    Not(Vec<(usize, Time, Event)>, [Vec<u8>; 2]),
    /// Shown with this number.
    Shown(u32),
    /// Not shown.
    PassedOver,
}

/// An event that is reported later.
#[derive(Debug)]
enum Event {
    Bytes(Vec<u8>),
    Gap(u64),
    Middle,
    End,
    /// The reason, and whether it is marked as bad.
    Close(String, bool),
}

/// The relation of a segment to a connection of the same ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// It belongs to the connection.
    Part,
    /// The connection is over, and all of the segment was seen before.
    Copy,
    /// It begins another connection, or is of one whose beginning was not captured.
    Another,
}

/// The earlier connection of the same ends.
#[derive(Clone, Copy, Debug)]
struct Before {
    /// The end that was the client, if that connection is shown.
    client: Option<usize>,
    /// Whether it ended with a reset.
    reset: bool,
}

impl Connections {
    /// Returns an empty set; `everything` shows connections of any protocol.
    pub(super) fn new(everything: bool) -> Self {
        Self {
            everything,
            ids: HashMap::new(),
            connections: BTreeMap::new(),
            over: VecDeque::new(),
            next: 0,
            held: 0,
            unjudged: 0,
            now: 0,
            counts: Counts::default(),
        }
    }

    /// Shows all connections from now on.
    pub(super) const fn show_all(&mut self) {
        self.everything = true;
    }

    /// Takes a segment. `over` is the capture's comment on why it is the connection's last one.
    pub(super) fn take(
        &mut self,
        time: Time,
        (from, to): (SocketAddr, SocketAddr),
        segment: &Segment<'_>,
        over: Option<&str>,
        sink: &mut dyn Sink,
    ) {
        self.now = time.nanoseconds().unwrap_or(self.now);
        let (key, side) = if from <= to { ((from, to), 0) } else { ((to, from), 1) };
        let mut id = self.ids.get(&key).copied();
        let mut before = None;
        if let Some(known) = id.and_then(|id| self.connections.get_mut(&id)) {
            match known.relation(side, segment, self.now) {
                Relation::Part => {}
                Relation::Copy if segment.reset => {
                    self.counts.reset_text += segment.bytes.len() as u64;
                    return;
                }
                Relation::Copy => return known.copy(side, segment),
                Relation::Another => {
                    before = Some(known.as_before());
                    if let Some(old) = id.take().and_then(|id| self.remove(id)) {
                        self.finish_one(old, time, "another connection of the same ends began", sink);
                    }
                }
            }
        }
        let id = match id {
            Some(id) => id,
            None => {
                if segment.length() == 0 && !segment.syn && !segment.fin {
                    self.counts.bare += 1;
                    return;
                }
                self.open(key, time, before, segment.syn, sink)
            }
        };
        let Some(mut connection) = self.connections.remove(&id) else { return };
        connection.payload += segment.bytes.len() as u64;
        self.advance(&mut connection, time, side, (segment, over), sink);
        if connection.is_over() {
            self.over.push_back(id);
        }
        if self.over.len() > 2 * MAX_CONNECTIONS {
            // Most of them were removed when a new connection of the same ends began.
            self.over.retain(|id| self.connections.contains_key(id));
        }
        self.connections.insert(id, connection);
    }

    /// Ends the capture. Returns the counts of its connections.
    pub(super) fn finish(&mut self, time: Time, sink: &mut dyn Sink) -> Counts {
        let all = std::mem::take(&mut self.connections);
        self.ids.clear();
        // If no connection looks like the protocol, all of them are shown.
        let is_last_resort = !self.everything && self.counts.shown == 0;
        self.everything |= is_last_resort;
        for (_, connection) in all {
            self.finish_one(connection, time, "the capture ends", sink);
        }
        self.counts.unlike = is_last_resort && self.counts.shown > 0;
        self.counts
    }

    fn open(&mut self, key: Key, time: Time, before: Option<Before>, syn: bool, sink: &mut dyn Sink) -> u64 {
        if self.connections.len() >= MAX_CONNECTIONS {
            while let Some(id) = self.over.pop_front() {
                if let Some(oldest) = self.remove(id) {
                    self.finish_one(oldest, time, "", sink);
                    break;
                }
            }
        }
        if self.connections.len() >= MAX_CONNECTIONS
            && let Some(oldest) = self.connections.keys().next().copied().and_then(|id| self.remove(id))
        {
            self.finish_one(oldest, time, "more connections at one time than can be followed", sink);
        }
        let id = self.next;
        self.next += 1;
        self.ids.insert(key, id);
        let before = before.filter(|_| !syn);
        let mut connection = Connection {
            key,
            client: before.and_then(|before| before.client),
            streams: [Stream::default(), Stream::default()],
            syns: [None, None],
            judged: Judged::Not(Vec::new(), [Vec::new(), Vec::new()]),
            opened: time,
            state: State::Open,
            middle: if before.is_some_and(|before| before.reset) { AFTER_RESET } else { MIDDLE },
            payload: 0,
        };
        // A connection after one that speaks the protocol is shown whatever it carries.
        if connection.client.is_some() {
            self.show(&mut connection, sink);
        }
        self.connections.insert(id, connection);
        id
    }

    fn remove(&mut self, id: u64) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        if self.ids.get(&connection.key) == Some(&id) {
            self.ids.remove(&connection.key);
        }
        Some(connection)
    }

    fn advance(
        &mut self,
        connection: &mut Connection,
        time: Time,
        side: usize,
        (segment, over): (&Segment<'_>, Option<&str>),
        sink: &mut dyn Sink,
    ) {
        let other = 1 - side;
        if let State::Reset { .. } = connection.state
            && (segment.length() > 0 || segment.fin || segment.syn)
            && !segment.reset
        {
            connection.state = State::Open;
            self.counts.ignored_resets += 1;
        }
        let before = connection.held();
        let now = self.now;
        let mut streams = std::mem::take(&mut connection.streams);
        let [a, b] = &mut streams;
        let (stream, peer) = if side == 0 { (a, b) } else { (b, a) };
        if segment.syn {
            let client = if segment.acknowledges.is_none() { side } else { other };
            connection.client.get_or_insert(client);
            if let Some(syn) = connection.syns.get_mut(side) {
                syn.get_or_insert(segment.sequence);
            }
            stream.start(segment.sequence, &mut |out| self.report(connection, side, time, out, sink));
            if let Some(first) = segment.acknowledges
                && peer.may_start(first.wrapping_sub(1))
            {
                if let Some(syn) = connection.syns.get_mut(other) {
                    syn.get_or_insert(first.wrapping_sub(1));
                }
                peer.start(first.wrapping_sub(1), &mut |out| self.report(connection, other, time, out, sink));
            }
        }
        // The bytes of a reset are not part of the stream, but may be a message for human readers.
        if !segment.reset {
            stream.take(now, segment, &mut |out| self.report(connection, side, time, out, sink));
        }
        if let Some(sequence) = segment.acknowledges {
            peer.acknowledge(sequence);
            peer.settle(now, &mut |out| self.report(connection, other, time, out, sink));
        }
        if self.held + stream.held_bytes() > MAX_HELD_TOTAL {
            stream.emit_held(&mut |out| self.report(connection, side, time, out, sink));
        }
        let is_certain = over.is_some() || stream.can_reset(segment.sequence);
        let is_reset = segment.reset && is_certain;
        if is_reset {
            if let (Some(_), Some(acknowledged)) = (over, segment.acknowledges) {
                stream.reach(segment.sequence, &mut |out| self.report(connection, side, time, out, sink));
                peer.reach(acknowledged, &mut |out| self.report(connection, other, time, out, sink));
            }
            stream.finish(&mut |out| self.report(connection, side, time, out, sink));
            peer.finish(&mut |out| self.report(connection, other, time, out, sink));
        } else if segment.reset && connection.state == State::Open {
            connection.state = State::Reset { side, time };
        }
        let is_over = is_reset || stream.has_ended() && peer.has_ended();
        connection.streams = streams;
        self.held = (self.held + connection.held()).saturating_sub(before);
        if is_over {
            let mut reason = over.unwrap_or_else(|| connection.over(is_reset.then_some(side))).to_owned();
            if segment.reset && !segment.bytes.is_empty() {
                let said = segment.bytes.get(..MAX_RESET_TEXT).unwrap_or(segment.bytes);
                let more = if said.len() < segment.bytes.len() { "…" } else { "" };
                reason = format!("{reason}, with the text '{}{more}'", visible(&String::from_utf8_lossy(said)));
            }
            self.close(connection, time, &reason, is_reset, sink);
            connection.state = State::Over { since: now, reset: is_reset };
        }
        // The text of a reset is not part of the stream.
        if segment.reset {
            connection.payload -= segment.bytes.len() as u64;
            self.counts.reset_text += segment.bytes.len() as u64;
        }
    }

    /// Ends a connection that is no longer followed.
    fn finish_one(&mut self, mut connection: Connection, time: Time, reason: &str, sink: &mut dyn Sink) {
        if !connection.is_over() {
            let before = connection.held();
            let mut streams = std::mem::take(&mut connection.streams);
            for (side, stream) in streams.iter_mut().enumerate() {
                stream.finish(&mut |out| self.report(&mut connection, side, time, out, sink));
            }
            connection.streams = streams;
            self.held = self.held.saturating_sub(before);
            match connection.state {
                State::Reset { side, time } => {
                    let reason = connection.over(Some(side));
                    self.close(&mut connection, time, reason, true, sink);
                }
                State::Open | State::Over { .. } => self.close(&mut connection, time, reason, false, sink),
            }
        }
        if self.everything {
            self.show(&mut connection, sink);
        } else {
            self.pass_over(&mut connection);
        }
        if let Judged::Shown(_) = connection.judged {
            self.counts.repeated += connection.streams.iter().map(Stream::repeated).sum::<u64>();
        } else {
            self.counts.passed_over += u64::from(connection.payload > 0);
            self.counts.passed_over_bytes += connection.payload;
            self.counts.empty += u64::from(connection.payload == 0);
        }
    }

    /// Reports that a connection is over.
    fn close(&mut self, connection: &mut Connection, time: Time, reason: &str, bad: bool, sink: &mut dyn Sink) {
        if self.everything {
            self.show(connection, sink);
        }
        match &mut connection.judged {
            Judged::Shown(number) => sink.close(*number, time, reason, bad),
            Judged::Not(events, _) => {
                events.push((0, time, Event::Close(reason.into(), bad)));
                // Kept while no connection looks like the protocol, since all may then be shown in the end.
                if self.counts.shown > 0 {
                    self.pass_over(connection);
                }
            }
            Judged::PassedOver => {}
        }
    }

    /// Reports the output of a direction, or keeps it until the connection is judged.
    fn report(&mut self, connection: &mut Connection, side: usize, time: Time, out: Out<'_>, sink: &mut dyn Sink) {
        match &mut connection.judged {
            Judged::PassedOver => {}
            Judged::Shown(number) => {
                let number = *number;
                let direction = connection.direction(side);
                match out {
                    Out::Bytes(bytes) => sink.bytes(number, direction, time, bytes),
                    Out::Gap(bytes) => {
                        self.counts.missing += bytes;
                        sink.gap(number, direction, time, bytes, MISSING);
                    }
                    Out::Middle => sink.gap(number, direction, time, 0, connection.middle),
                    Out::End => sink.shut_down(number, direction, time),
                }
            }
            Judged::Not(events, begun) => {
                let (event, length) = match out {
                    Out::Bytes(bytes) => {
                        if let Some(begun) = begun.get_mut(side) {
                            begun.extend_from_slice(bytes);
                        }
                        (Event::Bytes(bytes.to_vec()), bytes.len())
                    }
                    Out::Gap(bytes) => (Event::Gap(bytes), 0),
                    Out::Middle => (Event::Middle, 0),
                    Out::End => (Event::End, 0),
                };
                events.push((side, time, event));
                self.unjudged += length;
                if length > 0 || events.len() > MAX_UNJUDGED {
                    self.judge(connection, side, sink);
                }
            }
        }
    }

    /// Judges whether one end has sent the protocol.
    fn judge(&mut self, connection: &mut Connection, side: usize, sink: &mut dyn Sink) {
        let Judged::Not(events, begun) = &connection.judged else { return };
        let Some(begun) = begun.get(side) else { return };
        let guess = guess_direction(begun);
        if guess.is_some() || self.everything {
            match guess {
                Some(Direction::Out) => _ = connection.client.get_or_insert(side),
                Some(Direction::In) => _ = connection.client.get_or_insert(1 - side),
                None => {}
            }
            self.show(connection, sink);
        } else if begun.len() > MAX_UNJUDGED || events.len() > MAX_UNJUDGED || self.unjudged > MAX_UNJUDGED_TOTAL {
            self.pass_over(connection);
        }
    }

    fn pass_over(&mut self, connection: &mut Connection) {
        if let Judged::Not(_, begun) = &connection.judged {
            let length = begun.iter().map(Vec::len).sum();
            self.unjudged = self.unjudged.saturating_sub(length);
            connection.judged = Judged::PassedOver;
        }
    }

    /// Reports everything that was kept of a connection; from now on it is reported at once.
    fn show(&mut self, connection: &mut Connection, sink: &mut dyn Sink) {
        if !matches!(connection.judged, Judged::Not(..)) {
            return;
        }
        self.counts.shown += 1;
        let number = self.counts.shown;
        let judged = std::mem::replace(&mut connection.judged, Judged::Shown(number));
        let Judged::Not(events, begun) = judged else { return };
        self.unjudged = self.unjudged.saturating_sub(begun.iter().map(Vec::len).sum());
        // A server's well-known port is nearly always smaller than a client's ephemeral port.
        let (a, b) = connection.key;
        let client = *connection.client.get_or_insert(usize::from(a.port() < b.port()));
        let (client, server) = if client == 0 { (a, b) } else { (b, a) };
        // IPv4 addresses may be mapped into IPv6.
        let [client, server] = [client, server].map(|end| SocketAddr::new(end.ip().to_canonical(), end.port()));
        sink.open(number, connection.opened, &client.to_string(), &server.to_string());
        for (side, time, events) in events {
            let out = match &events {
                Event::Bytes(bytes) => Out::Bytes(bytes),
                Event::Gap(bytes) => Out::Gap(*bytes),
                Event::Middle => Out::Middle,
                Event::End => Out::End,
                Event::Close(reason, bad) => {
                    sink.close(number, time, reason, *bad);
                    continue;
                }
            };
            self.report(connection, side, time, out, sink);
        }
    }
}

/// The text of a gap's row.
const MISSING: &str = "not in the capture";
const MIDDLE: &str = "the capture begins inside this connection";
const AFTER_RESET: &str = "this was sent after the connection was reset";

impl Connection {
    fn direction(&self, side: usize) -> Direction {
        if self.client == Some(side) { Direction::Out } else { Direction::In }
    }

    fn held(&self) -> usize {
        self.streams.iter().map(Stream::held_bytes).sum()
    }

    const fn is_over(&self) -> bool {
        matches!(self.state, State::Over { .. })
    }

    fn as_before(&self) -> Before {
        let reset = matches!(self.state, State::Over { reset: true, .. } | State::Reset { .. });
        Before { client: self.client.filter(|_| matches!(self.judged, Judged::Shown(_))), reset }
    }

    /// Returns the reason why it is over: closed, or reset by one end.
    fn over(&self, reset: Option<usize>) -> &'static str {
        match reset {
            None => "closed",
            Some(side) if side == self.client.unwrap_or(0) => "reset by the client",
            Some(_) => "reset by the server",
        }
    }

    /// Counts a segment that was seen before.
    fn copy(&mut self, side: usize, segment: &Segment<'_>) {
        self.payload += segment.bytes.len() as u64;
        if let Some(stream) = self.streams.get_mut(side) {
            stream.repeat(segment.bytes.len());
        }
    }

    /// Classifies a segment from one end.
    fn relation(&self, side: usize, segment: &Segment<'_>, now: i64) -> Relation {
        let [a, b] = &self.streams;
        let (stream, peer) = if side == 0 { (a, b) } else { (b, a) };
        let [of_a, of_b] = self.syns;
        let (syn, peer_syn) = if side == 0 { (of_a, of_b) } else { (of_b, of_a) };
        if segment.syn {
            let answers_another = segment
                .acknowledges
                .zip(peer_syn)
                .is_some_and(|(acknowledged, syn)| acknowledged != syn.wrapping_add(1));
            return match (syn, self.state) {
                (Some(syn), State::Over { since, reset }) if syn == segment.sequence && !answers_another => {
                    let is_late = reset || now.saturating_sub(since) >= COPY;
                    if segment.acknowledges.is_none() && is_late { Relation::Another } else { Relation::Copy }
                }
                (_, State::Over { .. }) => Relation::Another,
                (Some(syn), _) if syn == segment.sequence && !answers_another => Relation::Part,
                (None, _) if stream.may_start(segment.sequence) && !answers_another => Relation::Part,
                _ => Relation::Another,
            };
        }
        let has_bytes = segment.length() > 0 && !segment.reset;
        if !has_bytes {
            return if self.is_over() { Relation::Copy } else { Relation::Part };
        }
        let fit = stream.fit(segment.sequence, segment.length());
        let is_acknowledging = segment.acknowledges.is_none_or(|sequence| peer.can_be_acknowledged(sequence));
        match (fit, self.is_over()) {
            (Fit::Foreign, _) => Relation::Another,
            (Fit::Seen | Fit::Far, _) if !is_acknowledging => Relation::Another,
            (Fit::Seen, true) => Relation::Copy,
            (_, true) => Relation::Another,
            (_, false) => Relation::Part,
        }
    }
}

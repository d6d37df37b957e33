//! The TCP connections of a capture: who is the client, which of them speak the protocol, and what each carried.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::SocketAddr,
};

use super::{
    Sink,
    tcp::{Out, Segment, Stream},
};
use crate::{Direction, guess_direction};

/// How many connections are followed at one time; those beyond are counted only.
const MAX_CONNECTIONS: usize = 65_536;

/// How much is kept of each direction of a connection while it does not show whether it speaks the protocol.
const MAX_UNJUDGED: usize = 8 << 10;

/// How much is kept of all connections that wait to be judged.
const MAX_UNJUDGED_TOTAL: usize = 32 << 20;

/// How many bytes of all connections may wait for those before them.
const MAX_HELD_TOTAL: usize = 64 << 20;

/// The two ends of a connection, the smaller address first.
type Key = (SocketAddr, SocketAddr);

/// All connections of a capture.
#[derive(Debug)]
pub(super) struct Connections {
    everything: bool,
    ids: HashMap<Key, u64>,
    connections: BTreeMap<u64, Connection>,
    /// Those that are over, which make room for others.
    over: VecDeque<u64>,
    next: u64,
    held: usize,
    unjudged: usize,
    counts: Counts,
}

/// What became of the connections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) shown: u32,
    /// None of those shown looks like the protocol.
    pub(super) unlike: bool,
    /// They carried something that does not look like the protocol.
    pub(super) passed_over: u64,
    /// There was no room to follow them.
    pub(super) beyond: u64,
    /// Bytes that are missing from those shown.
    pub(super) missing: u64,
}

#[derive(Debug)]
struct Connection {
    key: Key,
    /// Which end of the key is the client, once that is known.
    client: Option<usize>,
    /// By the end that sends.
    streams: [Stream; 2],
    judged: Judged,
    opened: f64,
    over: bool,
    /// The first sequence number of the SYN that opened it.
    syn: Option<u32>,
}

#[derive(Debug)]
enum Judged {
    /// What came so far, to be told when it turns out to be the protocol.
    Not(Vec<(usize, f64, Told)>, [Vec<u8>; 2]),
    Shown(u32),
    PassedOver,
}

/// An event that is told later.
#[derive(Debug)]
enum Told {
    Bytes(Vec<u8>),
    Gap(u64),
    Middle,
    End,
    Close(String, bool),
}

impl Connections {
    /// `everything` shows all connections, whatever they carry.
    pub(super) fn new(everything: bool) -> Self {
        Self {
            everything,
            ids: HashMap::new(),
            connections: BTreeMap::new(),
            over: VecDeque::new(),
            next: 0,
            held: 0,
            unjudged: 0,
            counts: Counts::default(),
        }
    }

    /// From now on all connections are shown.
    pub(super) const fn show_all(&mut self) {
        self.everything = true;
    }

    /// Takes a segment. If the capture says why it is the connection's last one, that is `over`.
    pub(super) fn take(
        &mut self,
        time: f64,
        (from, to): (SocketAddr, SocketAddr),
        segment: &Segment<'_>,
        over: Option<&str>,
        sink: &mut dyn Sink,
    ) {
        let (key, side) = if from <= to { ((from, to), 0) } else { ((to, from), 1) };
        let opens = segment.syn && segment.acknowledges.is_none();
        let mut id = self.ids.get(&key).copied();
        if let Some(known) = id.and_then(|id| self.connections.get(&id))
            && opens
            && known.syn != Some(segment.sequence)
            && (known.over || known.syn.is_some())
        {
            // The same ends speak again.
            if let Some(old) = id.take().and_then(|id| self.forget(id)) {
                self.finish_one(old, time, "another connection of the same ends began", sink);
            }
        }
        let id = match id {
            Some(id) => id,
            None => {
                let is_empty = segment.bytes.is_empty() && segment.missing == 0;
                if is_empty && !segment.syn && !segment.fin {
                    return;
                }
                let Some(id) = self.open(key, time) else { return };
                id
            }
        };
        let Some(mut connection) = self.connections.remove(&id) else { return };
        self.advance(&mut connection, time, side, (segment, over), sink);
        if connection.over {
            self.over.push_back(id);
        }
        self.connections.insert(id, connection);
    }

    /// The capture has ended.
    pub(super) fn finish(&mut self, time: f64, sink: &mut dyn Sink) -> Counts {
        let all = std::mem::take(&mut self.connections);
        self.ids.clear();
        // Where nothing looks like the protocol, what there is is better than nothing.
        let is_last_resort = !self.everything && self.counts.shown == 0;
        self.everything |= is_last_resort;
        for (_, mut connection) in all {
            if connection.over {
                self.settle(&mut connection, sink);
            } else {
                self.finish_one(connection, time, "the capture ends", sink);
            }
        }
        self.counts.unlike = is_last_resort && self.counts.shown > 0;
        self.counts
    }

    fn open(&mut self, key: Key, time: f64) -> Option<u64> {
        if self.connections.len() >= MAX_CONNECTIONS {
            let oldest = self.over.pop_front().and_then(|id| self.forget(id));
            let Some(mut oldest) = oldest else {
                self.counts.beyond += 1;
                return None;
            };
            self.pass_over(&mut oldest);
        }
        let id = self.next;
        self.next += 1;
        self.ids.insert(key, id);
        self.connections.insert(
            id,
            Connection {
                key,
                client: None,
                streams: [Stream::default(), Stream::default()],
                judged: Judged::Not(Vec::new(), [Vec::new(), Vec::new()]),
                opened: time,
                over: false,
                syn: None,
            },
        );
        Some(id)
    }

    fn forget(&mut self, id: u64) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        if self.ids.get(&connection.key) == Some(&id) {
            self.ids.remove(&connection.key);
        }
        Some(connection)
    }

    fn advance(
        &mut self,
        connection: &mut Connection,
        time: f64,
        side: usize,
        (segment, over): (&Segment<'_>, Option<&str>),
        sink: &mut dyn Sink,
    ) {
        if connection.over {
            return;
        }
        let other = 1 - side;
        let before = connection.held();
        let mut streams = std::mem::take(&mut connection.streams);
        let [a, b] = &mut streams;
        let (stream, peer) = if side == 0 { (a, b) } else { (b, a) };
        if segment.syn {
            if segment.acknowledges.is_none() {
                connection.client.get_or_insert(side);
                connection.syn = Some(segment.sequence);
            } else {
                connection.client.get_or_insert(other);
            }
            stream.start(segment.sequence, &mut |out| self.tell(connection, side, time, out, sink));
        }
        stream.take(time, segment, &mut |out| self.tell(connection, side, time, out, sink));
        if let Some(sequence) = segment.acknowledges {
            peer.acknowledge(sequence);
            peer.settle(time, &mut |out| self.tell(connection, other, time, out, sink));
        }
        if self.held + stream.held_bytes() > MAX_HELD_TOTAL {
            stream.relieve(&mut |out| self.tell(connection, side, time, out, sink));
        }
        if segment.reset {
            if let (Some(_), Some(acknowledged)) = (over, segment.acknowledges) {
                stream.reach(segment.sequence, &mut |out| self.tell(connection, side, time, out, sink));
                peer.reach(acknowledged, &mut |out| self.tell(connection, other, time, out, sink));
            }
            stream.finish(&mut |out| self.tell(connection, side, time, out, sink));
            peer.finish(&mut |out| self.tell(connection, other, time, out, sink));
        }
        if segment.reset || stream.has_ended() && peer.has_ended() {
            connection.over = true;
        }
        connection.streams = streams;
        self.held = (self.held + connection.held()).saturating_sub(before);
        if connection.over {
            let client = connection.client.unwrap_or(0);
            let reason = match (segment.reset, side == client) {
                (false, _) => "closed",
                (true, true) => "reset by the client",
                (true, false) => "reset by the server",
            };
            self.close(connection, time, over.unwrap_or(reason), segment.reset, sink);
        }
    }

    fn finish_one(&mut self, mut connection: Connection, time: f64, reason: &str, sink: &mut dyn Sink) {
        if connection.over {
            return;
        }
        let before = connection.held();
        let mut streams = std::mem::take(&mut connection.streams);
        for (side, stream) in streams.iter_mut().enumerate() {
            stream.finish(&mut |out| self.tell(&mut connection, side, time, out, sink));
        }
        self.held = self.held.saturating_sub(before);
        self.close(&mut connection, time, reason, false, sink);
    }

    /// The connection is over.
    fn close(&mut self, connection: &mut Connection, time: f64, reason: &str, bad: bool, sink: &mut dyn Sink) {
        if self.everything {
            self.show(connection, sink);
        }
        match &mut connection.judged {
            Judged::Shown(number) => sink.close(*number, time, reason, bad),
            Judged::Not(told, _) => {
                told.push((0, time, Told::Close(reason.into(), bad)));
                // As long as nothing looks like the protocol, this may be all there is.
                if self.counts.shown > 0 {
                    self.pass_over(connection);
                }
            }
            Judged::PassedOver => {}
        }
    }

    /// Decides on a connection that is over, once all are.
    fn settle(&mut self, connection: &mut Connection, sink: &mut dyn Sink) {
        if self.everything {
            self.show(connection, sink);
        } else {
            self.pass_over(connection);
        }
    }

    /// Something came out of a direction.
    fn tell(&mut self, connection: &mut Connection, side: usize, time: f64, out: Out<'_>, sink: &mut dyn Sink) {
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
                    Out::Middle => sink.gap(number, direction, time, 0, MIDDLE),
                    Out::End => sink.shut_down(number, direction, time),
                }
            }
            Judged::Not(told, begun) => {
                let (told_now, length) = match out {
                    Out::Bytes(bytes) => {
                        if let Some(begun) = begun.get_mut(side) {
                            begun.extend_from_slice(bytes);
                        }
                        (Told::Bytes(bytes.to_vec()), bytes.len())
                    }
                    Out::Gap(bytes) => (Told::Gap(bytes), 0),
                    Out::Middle => (Told::Middle, 0),
                    Out::End => (Told::End, 0),
                };
                told.push((side, time, told_now));
                self.unjudged += length;
                if length > 0 || told.len() > MAX_UNJUDGED {
                    self.judge(connection, side, sink);
                }
            }
        }
    }

    /// Looks whether what one end has sent is the protocol.
    fn judge(&mut self, connection: &mut Connection, side: usize, sink: &mut dyn Sink) {
        let Judged::Not(told, begun) = &connection.judged else { return };
        let Some(begun) = begun.get(side) else { return };
        let guess = guess_direction(begun);
        if guess.is_some() || self.everything {
            match guess {
                Some(Direction::Out) => _ = connection.client.get_or_insert(side),
                Some(Direction::In) => _ = connection.client.get_or_insert(1 - side),
                None => {}
            }
            self.show(connection, sink);
        } else if begun.len() > MAX_UNJUDGED || told.len() > MAX_UNJUDGED || self.unjudged > MAX_UNJUDGED_TOTAL {
            self.pass_over(connection);
        }
    }

    fn pass_over(&mut self, connection: &mut Connection) {
        if let Judged::Not(_, begun) = &connection.judged {
            let length = begun.iter().map(Vec::len).sum();
            self.unjudged = self.unjudged.saturating_sub(length);
            self.counts.passed_over += u64::from(length > 0);
            connection.judged = Judged::PassedOver;
        }
    }

    /// Tells everything that was kept of a connection, and from now on all at once.
    fn show(&mut self, connection: &mut Connection, sink: &mut dyn Sink) {
        if !matches!(connection.judged, Judged::Not(..)) {
            return;
        }
        self.counts.shown += 1;
        let number = self.counts.shown;
        let judged = std::mem::replace(&mut connection.judged, Judged::Shown(number));
        let Judged::Not(told, begun) = judged else { return };
        self.unjudged = self.unjudged.saturating_sub(begun.iter().map(Vec::len).sum());
        // Servers listen at the port that every client knows, and that is hardly ever the larger one.
        let (a, b) = connection.key;
        let client = *connection.client.get_or_insert(usize::from(a.port() < b.port()));
        let (client, server) = if client == 0 { (a, b) } else { (b, a) };
        // An address of the older family may stand in the newer one.
        let [client, server] = [client, server].map(|end| SocketAddr::new(end.ip().to_canonical(), end.port()));
        sink.open(number, connection.opened, &client.to_string(), &server.to_string());
        for (side, time, told) in told {
            let out = match &told {
                Told::Bytes(bytes) => Out::Bytes(bytes),
                Told::Gap(bytes) => Out::Gap(*bytes),
                Told::Middle => Out::Middle,
                Told::End => Out::End,
                Told::Close(reason, bad) => {
                    sink.close(number, time, reason, *bad);
                    continue;
                }
            };
            self.tell(connection, side, time, out, sink);
        }
    }
}

/// What a gap's row says.
const MISSING: &str = "not in the capture";
const MIDDLE: &str = "the capture begins inside this connection";

impl Connection {
    fn direction(&self, side: usize) -> Direction {
        if self.client == Some(side) { Direction::Out } else { Direction::In }
    }

    fn held(&self) -> usize {
        self.streams.iter().map(Stream::held_bytes).sum()
    }
}

//! The watchers of passing traffic, and the queue of each.
//!
//! Publishing an event never blocks. Each watcher has a bounded queue. When it is full, whole frames are dropped for
//! this watcher alone and counted, and a gap record precedes the next bytes. A frame that was partly queued is queued
//! to its end, unless that takes as much again as the queue's limit.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::body::Bytes;
use chanwire_inspect::{Direction, Gap, Time};
use tokio::sync::Notify;

use super::{
    backlog::{Backlog, EarlierTraffic, Event, EventKind},
    boundaries::Boundary,
    open_connection::{Both, DIRECTIONS, OpenConnection, Passed, Piece},
    record::{Record, RecordKind},
};

/// The open connections of a tap and their watchers.
#[derive(Clone, Debug)]
pub(crate) struct Watchers {
    state: Arc<Mutex<State>>,
    started: Instant,
    /// Nanoseconds since 1970 at the start.
    epoch: i64,
}

#[derive(Debug, Default)]
struct State {
    next_connection: u32,
    next_watcher: u64,
    connections: BTreeMap<u32, OpenConnection>,
    watchers: BTreeMap<u64, Queue>,
    backlog: Backlog,
}

/// The queued records of one watcher.
#[derive(Debug)]
struct Queue {
    limit: usize,
    records: VecDeque<Record>,
    weight: usize,
    /// The flows of each connection that was announced to the watcher; a connection that found the queue full is not.
    flows: BTreeMap<u32, Both<Flow>>,
    /// Connections that opened and closed without being announced to the watcher.
    unannounced: u64,
    /// Whether some flow has a gap that is not queued yet.
    has_open_gaps: bool,
    notify: Arc<Notify>,
}

/// One direction of a connection, as seen by one watcher.
#[derive(Clone, Debug, Default, PartialEq)]
enum Flow {
    /// Every byte is queued.
    #[default]
    Passing,
    /// Bytes are dropped; the counts of the gap so far.
    Missing { bytes: u64, frames: u64, paired: u64, reason: &'static str },
}

/// The multiple of its limit up to which a queue takes the ends of partly queued frames.
const SLACK: usize = 2;

const QUEUE_FULL: &str = "queue full";
const LATE: &str = "before the watcher came";

/// A watcher's end of its queue. Dropping it ends the watching.
#[derive(Debug)]
pub(crate) struct Watcher {
    number: u64,
    /// The traffic before its first record.
    pub(crate) earlier: EarlierTraffic,
    all: Watchers,
    notify: Arc<Notify>,
}

impl Watchers {
    /// Creates the state without watchers, with a backlog of `backlog` bytes for watchers that attach later.
    pub(crate) fn new(backlog: usize) -> Self {
        let epoch = nanoseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let state = State { backlog: Backlog::new(backlog), ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), started: Instant::now(), epoch }
    }

    /// Returns the time since 1970, to the nanosecond; it never goes back.
    pub(super) fn now(&self) -> Time {
        Time::from_nanoseconds(self.epoch.saturating_add(nanoseconds(self.started.elapsed())))
    }

    /// Attaches a watcher. Its queue begins with the backlog, and each connection begins at a frame boundary. `limit`
    /// bounds the queue in bytes, in addition to the backlog.
    pub(crate) fn watch(&self, limit: usize) -> Watcher {
        let time = self.now();
        let notify = Arc::new(Notify::new());
        let mut state = self.lock();
        let number = state.next_watcher;
        state.next_watcher += 1;
        let mut queue = Queue {
            // Twice the backlog, so that the queue counts as low with all of the backlog in it.
            limit: limit + 2 * state.backlog.limit(),
            records: VecDeque::new(),
            weight: 0,
            flows: BTreeMap::new(),
            unannounced: 0,
            has_open_gaps: false,
            notify: notify.clone(),
        };
        let begins = state.backlog.events().next().map_or(time, |event| event.time);
        for (connection, open) in state.backlog.initial() {
            queue.announce(connection, begins, open);
        }
        for event in state.backlog.events() {
            queue.take(event);
        }
        state.watchers.insert(number, queue);
        Watcher { number, earlier: state.backlog.evicted(), all: self.clone(), notify }
    }

    /// Adds an accepted connection, and returns its number.
    pub(crate) fn open(&self, client: String, server: String) -> u32 {
        let time = self.now();
        let mut state = self.lock();
        state.next_connection += 1;
        let connection = state.next_connection;
        let open = OpenConnection::new(client, server);
        state.connections.insert(connection, open.clone());
        state.publish(Event { connection, time, kind: EventKind::Open(Box::new(open)) });
        connection
    }

    /// Publishes bytes. The pair tells whether they begin and whether they end at a frame boundary; `boundaries` are
    /// the boundaries in them.
    pub(crate) fn bytes(
        &self,
        connection: u32,
        direction: Direction,
        bytes: &Bytes,
        (starts_at_boundary, ends_at_boundary): (bool, bool),
        boundaries: &[Boundary],
    ) {
        let time = self.now();
        let piece = Piece {
            direction,
            bytes: bytes.clone(),
            starts_at_boundary,
            ends_at_boundary,
            boundaries: boundaries.to_vec(),
        };
        let mut state = self.lock();
        let State { connections, watchers, .. } = &mut *state;
        let Some(open) = connections.get_mut(&connection) else { return };
        for queue in watchers.values_mut() {
            if !queue.flows.contains_key(&connection) && queue.has_room(0) {
                queue.announce(connection, time, open);
            }
        }
        open.count(&piece);
        state.publish(Event { connection, time, kind: EventKind::Bytes(piece) });
    }

    /// Ends one direction.
    pub(crate) fn end(&self, connection: u32, direction: Direction) {
        let time = self.now();
        let mut state = self.lock();
        if let Some(open) = state.connections.get_mut(&connection) {
            open.end(direction);
        }
        state.publish(Event { connection, time, kind: EventKind::End(direction) });
    }

    /// Removes a connection that is over.
    pub(crate) fn close(&self, connection: u32, reason: &str, bad: bool) {
        let time = self.now();
        let mut state = self.lock();
        state.connections.remove(&connection);
        state.publish(Event { connection, time, kind: EventKind::Close { reason: reason.into(), bad } });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No holder can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

impl State {
    /// Queues an event for every watcher and appends it to the backlog.
    fn publish(&mut self, event: Event) {
        for queue in self.watchers.values_mut() {
            queue.take(&event);
        }
        self.backlog.push(event);
    }
}

impl Watcher {
    /// Waits for a record.
    pub(crate) async fn wait(&self) {
        self.notify.notified().await;
    }

    /// Returns the number of queued bytes.
    pub(crate) fn waiting(&self) -> usize {
        self.all.lock().watchers.get(&self.number).map_or(0, |queue| queue.weight)
    }

    /// Takes queued records of at most `most` bytes, or one record.
    pub(crate) fn take(&self, most: usize) -> Vec<Record> {
        let time = self.all.now();
        let mut state = self.all.lock();
        let State { watchers, connections, .. } = &mut *state;
        let Some(queue) = watchers.get_mut(&self.number) else { return Vec::new() };
        let mut taken = Vec::new();
        let mut weight = 0;
        while let Some(record) = queue.records.pop_front_if(|next| weight == 0 || weight + next.weight() <= most) {
            weight += record.weight();
            queue.weight -= record.weight();
            taken.push(record);
        }
        if queue.has_open_gaps && queue.is_low() {
            queue.end_gaps(time, connections);
        }
        if !queue.records.is_empty() {
            self.notify.notify_one();
        }
        taken
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.all.lock().watchers.remove(&self.number);
    }
}

impl Queue {
    fn has_room(&self, bytes: usize) -> bool {
        self.weight + bytes < self.limit
    }

    /// Returns whether a flow may resume after a gap: only at half the limit, so that there is one gap and not
    /// hundreds.
    fn is_low(&self) -> bool {
        self.weight <= self.limit / 2
    }

    fn push(&mut self, record: Record) {
        self.weight += record.weight();
        self.records.push_back(record);
        self.notify.notify_one();
    }

    /// Queues an event of a connection.
    fn take(&mut self, &Event { connection, time, ref kind }: &Event) {
        match kind {
            EventKind::Open(open) => {
                if self.has_room(0) {
                    self.announce(connection, time, open);
                }
            }
            EventKind::Bytes(piece) => self.bytes(connection, time, piece),
            EventKind::End(direction) => {
                if self.flows.contains_key(&connection) {
                    self.end_gap(connection, *direction, time);
                    self.push(Record { connection, time, kind: RecordKind::End(*direction) });
                }
            }
            EventKind::Close { reason, bad } => {
                for direction in DIRECTIONS {
                    self.end_gap(connection, direction, time);
                }
                // Queued even when the queue is full: there is one for each announced connection.
                if self.flows.remove(&connection).is_some() {
                    self.push(Record {
                        connection,
                        time,
                        kind: RecordKind::Close { reason: reason.clone(), bad: *bad },
                    });
                } else {
                    self.unannounced += 1;
                }
            }
        }
    }

    /// Announces a connection to the watcher, with a gap for what passed before.
    fn announce(&mut self, connection: u32, time: Time, open: &OpenConnection) {
        let kind = RecordKind::Open { client: open.client.clone(), server: open.server.clone() };
        self.push(Record { connection, time, kind });
        if self.unannounced > 0 {
            let text = format!("{} connections came and went before this one unseen ({QUEUE_FULL})", self.unannounced);
            let nothing = Gap { bytes: 0, frames: Some(0), paired: Some(0) };
            self.push(Record { connection, time, kind: RecordKind::Gap(Direction::Out, nothing, text) });
            self.unannounced = 0;
        }
        let mut flows = Both::default();
        if open.passed.out.bytes > 0 || open.passed.back.bytes > 0 {
            // Answers to requests before the gap are still to come.
            let unanswered = u64::try_from(open.unanswered).unwrap_or_default();
            let late = |Passed { bytes, frames }, paired| Flow::Missing { bytes, frames, paired, reason: LATE };
            flows = Both { out: late(open.passed.out, unanswered), back: late(open.passed.back, 0) };
        }
        for direction in DIRECTIONS.into_iter().filter(|direction| *open.ended.of(*direction)) {
            self.push(Record { connection, time, kind: RecordKind::End(direction) });
        }
        self.flows.insert(connection, flows);
    }

    fn bytes(&mut self, connection: u32, time: Time, piece: &Piece) {
        let Piece { direction, ref bytes, starts_at_boundary, ref boundaries, .. } = *piece;
        let (has_room, is_low) = (self.has_room(bytes.len()), self.is_low());
        let has_slack = self.weight + bytes.len() < SLACK * self.limit;
        let Some(flow) = self.flows.get_mut(&connection).map(|flows| flows.of_mut(direction)) else { return };
        let mut passing = 0..bytes.len();
        match flow {
            Flow::Passing if has_room => {}
            Flow::Passing => {
                // A partly queued frame is completed, unless it exceeds the slack.
                let (at, passed) = match boundaries.first() {
                    _ if starts_at_boundary || !has_slack => (0, 0),
                    Some(first) => (first.at, 1),
                    None => (bytes.len(), 0),
                };
                passing = 0..at;
                if at < bytes.len() {
                    *flow = Flow::Missing { bytes: 0, frames: 0, paired: 0, reason: QUEUE_FULL };
                    self.has_open_gaps = true;
                    flow.drop_bytes(bytes.len() - at, boundaries.get(passed..).unwrap_or_default());
                }
            }
            Flow::Missing { .. } => {
                let resume = match boundaries.first() {
                    _ if !is_low || !has_room => None,
                    _ if starts_at_boundary => Some((0, 0)),
                    Some(first) => Some((first.at, 1)),
                    None => None,
                };
                let Some((at, passed)) = resume else { return flow.drop_bytes(bytes.len(), boundaries) };
                flow.drop_bytes(at, boundaries.get(..passed).unwrap_or_default());
                passing = at.min(bytes.len())..bytes.len();
                self.end_gap(connection, direction, time);
            }
        }
        if !passing.is_empty() {
            self.push(Record { connection, time, kind: RecordKind::Bytes(direction, bytes.slice(passing)) });
        }
    }

    /// Queues the gap of a direction, if it has one, and resumes the flow.
    fn end_gap(&mut self, connection: u32, direction: Direction, time: Time) {
        let flow = self.flows.get_mut(&connection).map(|flows| flows.of_mut(direction));
        let Some(Flow::Missing { bytes, frames, paired, reason }) = flow.map(std::mem::take) else { return };
        if bytes == 0 && frames == 0 && paired == 0 {
            // The other direction has the gap.
            return;
        }
        let s = if frames == 1 { "" } else { "s" };
        let how =
            if reason == LATE { "passed before the watcher came" } else { "dropped here by the tap (queue full)" };
        let text = format!("{frames} frame{s}, {bytes} bytes {how}");
        let gap = Gap { bytes, frames: Some(frames), paired: Some(paired) };
        self.push(Record { connection, time, kind: RecordKind::Gap(direction, gap, text) });
    }

    /// Ends the gaps of all directions that are at a frame boundary.
    fn end_gaps(&mut self, time: Time, connections: &BTreeMap<u32, OpenConnection>) {
        let is_missing = |flow: &Flow| matches!(flow, Flow::Missing { reason, .. } if *reason != LATE);
        let mut missing = Vec::new();
        for (connection, flows) in &self.flows {
            let directions = DIRECTIONS.into_iter().filter(|direction| is_missing(flows.of(*direction)));
            missing.extend(directions.map(|direction| (*connection, direction)));
        }
        self.has_open_gaps = false;
        for (connection, direction) in missing {
            if connections.get(&connection).is_some_and(|open| *open.at_boundary.of(direction)) {
                self.end_gap(connection, direction, time);
            } else {
                self.has_open_gaps = true;
            }
        }
    }
}

impl Flow {
    /// Adds dropped bytes to the gap.
    fn drop_bytes(&mut self, length: usize, boundaries: &[Boundary]) {
        if let Self::Missing { bytes, frames, paired, .. } = self {
            *bytes += length as u64;
            *frames += boundaries.iter().filter(|boundary| boundary.is_frame).count() as u64;
            *paired += boundaries.iter().filter(|boundary| boundary.is_paired).count() as u64;
        }
    }
}

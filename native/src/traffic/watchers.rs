//! The watchers of passing traffic, and the queue of each.
//!
//! Telling a watcher never waits. Each has a queue of bounded size; when that is full, whole frames are left out for
//! this watcher alone, counted, and a gap says so where the stream goes on. A frame that has begun is told to its end,
//! unless that takes as much again as the queue may hold.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::body::Bytes;
use chanwire_inspect::{Direction, Gap, Time};
use tokio::sync::Notify;

use super::{
    backlog::{Backlog, Earlier, Event, Happened},
    cutter::Cut,
    open_connection::{Both, DIRECTIONS, OpenConnection, Passed, Piece},
    record::{Record, What},
};

/// The connections of a tap and everybody who watches them.
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

/// The records that wait for one watcher.
#[derive(Debug)]
struct Queue {
    limit: usize,
    records: VecDeque<Record>,
    weight: usize,
    /// The flows that it knows of each connection; none of one whose beginning found no room.
    known: BTreeMap<u32, Both<Flow>>,
    /// Connections that came and went without a word to this watcher.
    unseen: u64,
    /// Some of it is missing and was not said yet.
    is_behind: bool,
    notify: Arc<Notify>,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum Flow {
    /// It gets everything.
    #[default]
    Passing,
    /// It has missed so much.
    Missing { bytes: u64, frames: u64, paired: u64, why: &'static str },
}

/// The multiple of its limit that a queue may take for the ends of frames whose beginnings it has.
const SLACK: usize = 2;

const QUEUE_FULL: &str = "queue full";
const LATE: &str = "before the watcher came";

/// A watcher's end of its queue. Dropping it ends the watching.
#[derive(Debug)]
pub(crate) struct Watcher {
    number: u64,
    /// The traffic that it is told nothing of.
    pub(crate) earlier: Earlier,
    all: Watchers,
    notify: Arc<Notify>,
}

impl Watchers {
    /// Begins without a watcher. Of what passes, the last `backlog` bytes are kept for those who come late.
    pub(crate) fn new(backlog: usize) -> Self {
        let epoch = nanoseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let state = State { backlog: Backlog::new(backlog), ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), started: Instant::now(), epoch }
    }

    /// Returns the time since 1970, to the nanosecond; it never goes back.
    pub(super) fn now(&self) -> Time {
        Time::from_nanoseconds(self.epoch.saturating_add(nanoseconds(self.started.elapsed())))
    }

    /// Begins to watch: what the backlog has, and everything that passes from now on; each connection from its first
    /// whole frame on. The queue has room for `limit` bytes beside the backlog.
    pub(crate) fn watch(&self, limit: usize) -> Watcher {
        let time = self.now();
        let notify = Arc::new(Notify::new());
        let mut state = self.lock();
        let number = state.next_watcher;
        state.next_watcher += 1;
        let mut queue = Queue {
            // With all of the backlog in it there is still room to go on after a gap.
            limit: limit + 2 * state.backlog.limit(),
            records: VecDeque::new(),
            weight: 0,
            known: BTreeMap::new(),
            unseen: 0,
            is_behind: false,
            notify: notify.clone(),
        };
        let begins = state.backlog.events().next().map_or(time, |event| event.time);
        for (connection, live) in state.backlog.before() {
            queue.meet(connection, begins, live);
        }
        for event in state.backlog.events() {
            queue.take(event);
        }
        state.watchers.insert(number, queue);
        Watcher { number, earlier: state.backlog.dropped(), all: self.clone(), notify }
    }

    /// Adds an accepted connection, and returns its number.
    pub(crate) fn open(&self, client: String, server: String) -> u32 {
        let time = self.now();
        let mut state = self.lock();
        state.next_connection += 1;
        let connection = state.next_connection;
        let live = OpenConnection::new(client, server);
        state.connections.insert(connection, live.clone());
        state.tell(Event { connection, time, what: Happened::Open(Box::new(live)) });
        connection
    }

    /// Passes bytes on to the watchers. `between` says whether they begin and whether they end between two frames,
    /// `cuts` where frames end in them.
    pub(crate) fn bytes(
        &self,
        connection: u32,
        direction: Direction,
        bytes: &Bytes,
        (begins_between, ends_between): (bool, bool),
        cuts: &[Cut],
    ) {
        let time = self.now();
        let piece = Piece { direction, bytes: bytes.clone(), begins_between, ends_between, cuts: cuts.to_vec() };
        let mut state = self.lock();
        let State { connections, watchers, .. } = &mut *state;
        let Some(live) = connections.get_mut(&connection) else { return };
        for queue in watchers.values_mut() {
            if !queue.known.contains_key(&connection) && queue.has_room(0) {
                queue.meet(connection, time, live);
            }
        }
        live.pass(&piece);
        state.tell(Event { connection, time, what: Happened::Bytes(piece) });
    }

    /// Ends one direction.
    pub(crate) fn end(&self, connection: u32, direction: Direction) {
        let time = self.now();
        let mut state = self.lock();
        if let Some(live) = state.connections.get_mut(&connection) {
            live.end(direction);
        }
        state.tell(Event { connection, time, what: Happened::End(direction) });
    }

    /// Removes a connection that is over.
    pub(crate) fn close(&self, connection: u32, reason: &str, bad: bool) {
        let time = self.now();
        let mut state = self.lock();
        state.connections.remove(&connection);
        state.tell(Event { connection, time, what: Happened::Close { reason: reason.into(), bad } });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds it can fail half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

impl State {
    /// Tells everybody, and keeps it for those who come late.
    fn tell(&mut self, event: Event) {
        for queue in self.watchers.values_mut() {
            queue.take(&event);
        }
        self.backlog.keep(event);
    }
}

impl Watcher {
    /// Waits until there is something.
    pub(crate) async fn wait(&self) {
        self.notify.notified().await;
    }

    /// Returns the bytes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.all.lock().watchers.get(&self.number).map_or(0, |queue| queue.weight)
    }

    /// Takes what waits, up to so many bytes or one record.
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
        if queue.is_behind && queue.is_low() {
            queue.settle(time, connections);
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

    /// Says whether there is enough room to go on after it was full, so that there is one gap and not hundreds.
    fn is_low(&self) -> bool {
        self.weight <= self.limit / 2
    }

    fn push(&mut self, record: Record) {
        self.weight += record.weight();
        self.records.push_back(record);
        self.notify.notify_one();
    }

    /// Takes an event of a connection.
    fn take(&mut self, &Event { connection, time, ref what }: &Event) {
        match what {
            Happened::Open(live) => {
                if self.has_room(0) {
                    self.meet(connection, time, live);
                }
            }
            Happened::Bytes(piece) => self.bytes(connection, time, piece),
            Happened::End(direction) => {
                if self.known.contains_key(&connection) {
                    self.catch_up(connection, *direction, time);
                    self.push(Record { connection, time, what: What::End(*direction) });
                }
            }
            Happened::Close { reason, bad } => {
                for direction in DIRECTIONS {
                    self.catch_up(connection, direction, time);
                }
                // There is always room for it: it came with the connection's beginning.
                if self.known.remove(&connection).is_some() {
                    self.push(Record { connection, time, what: What::Close { reason: reason.clone(), bad: *bad } });
                } else {
                    self.unseen += 1;
                }
            }
        }
    }

    /// Introduces a connection to the watcher.
    fn meet(&mut self, connection: u32, time: Time, live: &OpenConnection) {
        let what = What::Open { client: live.client.clone(), server: live.server.clone() };
        self.push(Record { connection, time, what });
        if self.unseen > 0 {
            let text = format!("{} connections came and went before this one unseen ({QUEUE_FULL})", self.unseen);
            let nothing = Gap { bytes: 0, frames: Some(0), paired: Some(0) };
            self.push(Record { connection, time, what: What::Gap(Direction::Out, nothing, text) });
            self.unseen = 0;
        }
        let mut flows = Both::default();
        if live.passed.out.bytes > 0 || live.passed.back.bytes > 0 {
            // Answers to what it did not see will come.
            let open = u64::try_from(live.open).unwrap_or_default();
            let late = |Passed { bytes, frames }, paired| Flow::Missing { bytes, frames, paired, why: LATE };
            flows = Both { out: late(live.passed.out, open), back: late(live.passed.back, 0) };
        }
        for direction in DIRECTIONS.into_iter().filter(|direction| *live.ended.of(*direction)) {
            self.push(Record { connection, time, what: What::End(direction) });
        }
        self.known.insert(connection, flows);
    }

    fn bytes(&mut self, connection: u32, time: Time, piece: &Piece) {
        let Piece { direction, ref bytes, begins_between, ref cuts, .. } = *piece;
        let (has_room, is_low) = (self.has_room(bytes.len()), self.is_low());
        let has_slack = self.weight + bytes.len() < SLACK * self.limit;
        let Some(flow) = self.known.get_mut(&connection).map(|flows| flows.of_mut(direction)) else { return };
        let mut passing = 0..bytes.len();
        match flow {
            Flow::Passing if has_room => {}
            Flow::Passing => {
                // A frame that has begun is not cut in two, unless it is so large that it would never end.
                let (at, passed) = match cuts.first() {
                    _ if begins_between || !has_slack => (0, 0),
                    Some(first) => (first.at, 1),
                    None => (bytes.len(), 0),
                };
                passing = 0..at;
                if at < bytes.len() {
                    *flow = Flow::Missing { bytes: 0, frames: 0, paired: 0, why: QUEUE_FULL };
                    self.is_behind = true;
                    flow.miss(bytes.len() - at, cuts.get(passed..).unwrap_or_default());
                }
            }
            Flow::Missing { .. } => {
                let resume = match cuts.first() {
                    _ if !is_low || !has_room => None,
                    _ if begins_between => Some((0, 0)),
                    Some(first) => Some((first.at, 1)),
                    None => None,
                };
                let Some((at, passed)) = resume else { return flow.miss(bytes.len(), cuts) };
                flow.miss(at, cuts.get(..passed).unwrap_or_default());
                passing = at.min(bytes.len())..bytes.len();
                self.catch_up(connection, direction, time);
            }
        }
        if !passing.is_empty() {
            self.push(Record { connection, time, what: What::Bytes(direction, bytes.slice(passing)) });
        }
    }

    /// Says what was missed of a direction, if anything was: from here on it gets everything.
    fn catch_up(&mut self, connection: u32, direction: Direction, time: Time) {
        let flow = self.known.get_mut(&connection).map(|flows| flows.of_mut(direction));
        let Some(Flow::Missing { bytes, frames, paired, why }) = flow.map(std::mem::take) else { return };
        if bytes == 0 && frames == 0 && paired == 0 {
            // The other direction says it.
            return;
        }
        let s = if frames == 1 { "" } else { "s" };
        let how = if why == LATE { "passed before the watcher came" } else { "dropped here by the tap (queue full)" };
        let text = format!("{frames} frame{s}, {bytes} bytes {how}");
        let gap = Gap { bytes, frames: Some(frames), paired: Some(paired) };
        self.push(Record { connection, time, what: What::Gap(direction, gap, text) });
    }

    /// Says, when there is room again, what was missed where the stream is between two frames anyway.
    fn settle(&mut self, time: Time, connections: &BTreeMap<u32, OpenConnection>) {
        let is_missing = |flow: &Flow| matches!(flow, Flow::Missing { why, .. } if *why != LATE);
        let mut missing = Vec::new();
        for (connection, flows) in &self.known {
            let directions = DIRECTIONS.into_iter().filter(|direction| is_missing(flows.of(*direction)));
            missing.extend(directions.map(|direction| (*connection, direction)));
        }
        self.is_behind = false;
        for (connection, direction) in missing {
            if connections.get(&connection).is_some_and(|live| *live.between.of(direction)) {
                self.catch_up(connection, direction, time);
            } else {
                self.is_behind = true;
            }
        }
    }
}

impl Flow {
    fn miss(&mut self, length: usize, cuts: &[Cut]) {
        if let Self::Missing { bytes, frames, paired, .. } = self {
            *bytes += length as u64;
            *frames += cuts.iter().filter(|cut| cut.is_frame).count() as u64;
            *paired += cuts.iter().filter(|cut| cut.is_paired).count() as u64;
        }
    }
}

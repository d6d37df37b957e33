//! Tests of a hub whose store fails: a [`Store`] with injected faults, run by the store's thread as usual.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, mpsc},
};

use chanwire_core::{
    Time,
    endpoint::{Endpoint as _, Reply, Server, ServerCommand, ServerEvent},
    hub::{ConnectionId, Effect, Hub, HubLimits, Moment, Peer, Snapshot, StoreOutcome, Write},
    wire::{Channel, ChannelName, Response, Timestamp},
};

use super::{CommitError, SqliteStore, Store, StoreError, StoreHandle, StoreStatus, start};

/// A fault of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Fails before it does anything.
    Before,
    /// Takes effect and still reports failure, as after an I/O error of the last sync.
    After,
    Panic,
}

/// A store with a list of faults, one for each command. It works once they are used up.
struct Faulty {
    store: SqliteStore,
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

impl Faulty {
    fn run<T>(&mut self, work: impl FnOnce(&mut SqliteStore) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let broken = || StoreError::Damaged { file: "chanwire.db".into(), problem: "I/O error".into() };
        let fault = self.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::None => work(&mut self.store),
            Fault::Before => Err(broken()),
            Fault::After => work(&mut self.store).and_then(|_| Err(broken())),
            Fault::Panic => panic!("as configured"),
        }
    }
}

impl Store for Faulty {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        self.run(Store::load)
    }

    fn load_names(&mut self, names: &[ChannelName]) -> Result<Snapshot, StoreError> {
        self.run(|store| store.load_names(names))
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), CommitError> {
        let commit = |store: &mut SqliteStore| match store.commit(writes) {
            Err(CommitError::Failed(error)) => Err(error),
            other => Ok(other),
        };
        self.run(commit)?
    }

    fn probe(&mut self) -> Result<(), StoreError> {
        self.store.probe()
    }

    fn status(&self) -> Arc<StoreStatus> {
        self.store.status()
    }
}

/// A hub over a faulty store, with connections that send messages.
struct World {
    hub: Hub,
    store: StoreHandle,
    outcomes: mpsc::Receiver<StoreOutcome>,
    senders: BTreeMap<ConnectionId, Server>,
    /// The contents that each connection sent and that are not yet answered, oldest first.
    unanswered: BTreeMap<ConnectionId, VecDeque<String>>,
    acknowledged: Vec<String>,
    refused: Vec<String>,
    time: u64,
}

const UNABLE: &str = "SERVER_ERROR\r\n{\"error\": \"Database connection failed\", \"details\": \"Unable to store message in channel database\"}";

impl World {
    fn new(mut store: SqliteStore, faults: Arc<Mutex<VecDeque<Fault>>>) -> Self {
        let mut hub = Hub::new(HubLimits::default(), store.load().unwrap(), Moment::default());
        let address: chanwire_core::wire::Address = "127.0.0.1:1".parse().unwrap();
        let listener = hub.add_listener(std::slice::from_ref(&address));
        hub.fix_channel(Channel { channel_name: "a".parse().unwrap(), address });
        let (sender, outcomes) = mpsc::channel();
        let store = start(Faulty { store, faults }, move |outcome| sender.send(outcome).unwrap()).unwrap();
        let ids = [1, 2, 3].map(ConnectionId);
        for id in ids {
            hub.connect(id, Peer::Address([127, 0, 0, 1].into()), Some(listener), Time::default()).unwrap();
        }
        let server = |id| (id, Server::new(id, chanwire_core::Limits::server()));
        Self {
            hub,
            store,
            outcomes,
            senders: ids.map(server).into(),
            unanswered: ids.map(|id| (id, VecDeque::new())).into(),
            acknowledged: Vec::new(),
            refused: Vec::new(),
            time: 0,
        }
    }

    /// Sends this number of messages on each connection, and runs all resulting effects.
    fn send(&mut self, count: usize) {
        for (id, server) in &mut self.senders {
            for _ in 0..count {
                self.time += 1;
                let content = format!("{:06}", self.time);
                let request = format!("MESSAGE\r\n{{\"username\": \"u{}\", \"message_content\": \"{content}\"}}", id.0);
                self.unanswered.get_mut(id).unwrap().push_back(content);
                server.handle_input(Time::from_millis(self.time), request.as_bytes());
            }
            while let Some(event) = server.poll_event() {
                let ServerEvent::Request { ticket, request } = event else { panic!("{event:?}") };
                let now = Moment { time: Time::from_millis(self.time), wall: Timestamp::from_unix(1_698_937_472) };
                self.hub.handle_request(*id, ticket, request, now).unwrap();
            }
        }
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Publish(_) => {}
                Effect::Store(command) => {
                    self.store.send(command).unwrap();
                    let outcome = self.outcomes.recv().unwrap();
                    self.hub.handle_outcome(outcome, Time::from_millis(self.time)).unwrap();
                }
                Effect::Send(connection, ServerCommand::Respond { reply, .. }) => self.answered(connection, reply),
                other => panic!("{other:?}"),
            }
        }
        assert!(self.unanswered.values().all(VecDeque::is_empty), "not answered: {:?}", self.unanswered);
    }

    fn answered(&mut self, connection: ConnectionId, reply: Reply) {
        let content = self.unanswered.get_mut(&connection).unwrap().pop_front().unwrap();
        let Reply::Response(response) = reply else { panic!("{reply:?}") };
        if matches!(response, Response::Delivered { .. }) {
            self.acknowledged.push(content);
        } else {
            let mut bytes = Vec::new();
            response.encode(&mut bytes);
            assert_eq!(String::from_utf8(bytes).unwrap(), UNABLE);
            self.refused.push(content);
        }
    }
}

/// Runs rounds of messages with these faults. Returns the contents of the stored, acknowledged and refused messages.
fn run(faults: &[Fault], rounds: usize) -> [Vec<String>; 3] {
    let directory = tempfile::tempdir().unwrap();
    let script = Arc::new(Mutex::new(VecDeque::new()));
    let mut world = World::new(SqliteStore::open(directory.path()).unwrap(), Arc::clone(&script));
    world.send(2);
    assert_eq!((world.acknowledged.len(), world.refused.len()), (6, 0));
    script.lock().unwrap().extend(faults);
    for _ in 0..rounds {
        world.send(2);
    }
    // Without faults, it recovers by itself: only the messages that it refused before are refused.
    script.lock().unwrap().clear();
    let refused = world.refused.len();
    world.send(2);
    world.send(2);
    assert_eq!(world.refused.len(), refused);
    world.store.close();

    let mut store = SqliteStore::open(directory.path()).unwrap();
    let last_id = store.load().unwrap().logs[0].last_id;
    let everything = chanwire_core::hub::Query {
        channel_name: "a".parse().unwrap(),
        range: chanwire_core::wire::HistoryRange::After(0),
        limit: usize::MAX,
        max_bytes: usize::MAX,
        purpose: chanwire_core::hub::Purpose::Replay,
    };
    let stored = store.reader().unwrap().read(&everything).unwrap();
    assert!(stored.iter().map(|message| message.id).eq(1..=last_id), "not dense: {stored:?}");
    for id in 1..=3 {
        let by_sender = stored.iter().filter(|message| *message.username == *format!("u{id}"));
        assert!(by_sender.map(|message| &message.message_content).is_sorted(), "out of the order sent: {stored:?}");
    }
    let stored: Vec<String> = stored.into_iter().map(|message| message.message_content).collect();
    let mut unique = stored.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), stored.len(), "stored twice: {stored:?}");
    assert!(
        world.acknowledged.iter().all(|content| unique.binary_search(content).is_ok()),
        "acknowledged, but not stored"
    );
    [stored, world.acknowledged, world.refused]
}

#[test]
fn a_commit_that_fails_refuses_its_messages_and_takes_no_ids() {
    for fault in [Fault::Before, Fault::Panic] {
        let [stored, acknowledged, refused] = run(&[fault], 3);
        assert!(!refused.is_empty() && stored.len() == acknowledged.len(), "{fault:?}: {refused:?}");
    }
}

#[test]
fn a_commit_that_is_stored_and_reports_failure_keeps_its_ids() {
    let [stored, acknowledged, refused] = run(&[Fault::After], 3);
    assert!(!refused.is_empty() && stored.len() == acknowledged.len() + refused.len(), "{refused:?}");
}

#[test]
fn nothing_is_stored_until_the_store_can_be_read_again_after_a_failed_commit() {
    let broken = [Fault::After, Fault::Before, Fault::Panic, Fault::Before, Fault::After, Fault::Before];
    let [stored, acknowledged, refused] = run(&broken, 4);
    // Of the refused messages, only those of the first commit are stored.
    assert!(stored.len() > acknowledged.len() && stored.len() < acknowledged.len() + refused.len(), "{stored:?}");
}

#[test]
fn every_answer_is_true_for_any_order_of_failures() {
    let kinds = [Fault::None, Fault::Before, Fault::After, Fault::Panic];
    // Every 31st of the 1024 sequences of five faults.
    for number in (0..1024_usize).step_by(31) {
        let faults: Vec<Fault> = (0..5).map(|index| kinds[number >> (2 * index) & 3]).collect();
        run(&faults, 3);
    }
}

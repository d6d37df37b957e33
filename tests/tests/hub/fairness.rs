//! Commits take from everybody in turn, whoever floods.

use std::{collections::BTreeMap, sync::Arc};

use chanwire_core::{
    Limits,
    endpoint::Reply,
    hub::{ChannelRecord, ListenerId},
};

use super::*;

/// A hub whose store carries out one command after the other.
struct Flood {
    hub: Hub,
    disk: Disk,
    listener: ListenerId,
    now: Moment,
    command: Option<StoreCommand>,
    /// The number of each connection's requests that succeeded, and of those that did not.
    done: BTreeMap<u64, usize>,
    refused: BTreeMap<u64, usize>,
}

impl Flood {
    /// Returns a server that hosts `here` and lists so many channels more, whose leases end after 10 s.
    fn over(leased: usize, limit: usize) -> Self {
        let record = |number: usize| {
            let (channel, position) = (channel(&number.to_string(), ADA, 1), number as u64);
            Write::PutChannel(ChannelRecord {
                channel,
                registered_from: Some(ip(ADA)),
                position,
                lease: Some(10),
                account: None,
            })
        };
        let mut disk = Disk::default();
        for first in (0..leased).step_by(1000) {
            let writes = (first..leased.min(first + 1000)).map(record).collect();
            disk.carry_out(&StoreCommand::Commit(Arc::new(writes)), Fate::Done);
        }
        let mut limits = HubLimits::default();
        limits.max_channels = limit;
        limits.max_address_channels = limit;
        let mut hub = Hub::new(limits, disk.snapshot(), Moment::default());
        let listener = hub.add_listener(&[at("127.0.0.1", 22236)]);
        hub.fix_channel(channel("here", "127.0.0.1", 22236));
        let (now, done, refused) = (Moment::default(), BTreeMap::new(), BTreeMap::new());
        Self { hub, disk, listener, now, command: None, done, refused }
    }

    fn connect(&mut self, id: u64) {
        self.hub.connect(ConnectionId(id), Peer::Address(ip(ADA)), Some(self.listener), Time::default()).unwrap();
    }

    fn ask(&mut self, id: u64, request: Request) {
        self.hub
            .handle_request(
                ConnectionId(id),
                ticket(&mut Server::new(ConnectionId(id), Limits::server())),
                request,
                self.now,
            )
            .unwrap();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Publish(_) => {}
                Effect::Store(command) => assert_eq!(self.command.replace(command), None),
                Effect::Send(connection, ServerCommand::Respond { reply, .. }) => {
                    let is_error = matches!(reply, Reply::Response(Response::Error(_)));
                    let counts = if is_error { &mut self.refused } else { &mut self.done };
                    *counts.entry(connection.0).or_default() += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Runs the store's command, if any, and returns the number of changes in it.
    fn commit(&mut self) -> Option<usize> {
        self.drain();
        let command = self.command.take()?;
        let StoreCommand::Commit(writes) = &command else { panic!("{command:?}") };
        let outcome = self.disk.carry_out(&command, Fate::Done);
        self.hub.handle_outcome(outcome, self.now.time).unwrap();
        self.drain();
        Some(writes.len())
    }

    fn done(&self, id: u64) -> usize {
        self.done.get(&id).copied().unwrap_or(0)
    }
}

fn of_size(bytes: usize) -> Request {
    say(&"x".repeat(bytes), Some("here"))
}

#[test]
fn a_message_beside_a_flood_is_in_the_next_commit() {
    for (flooders, each, sizes) in
        [(50, 300, vec![100]), (300, 50, vec![100]), (300, 50, vec![1, 3000]), (40, 40, vec![60_000, 100])]
    {
        let mut flood = Flood::over(0, 10);
        for id in 0..=flooders {
            flood.connect(id);
        }
        for id in 1..=flooders {
            for number in 0..each {
                flood.ask(id, of_size(sizes[(id as usize + number) % sizes.len()]));
            }
        }
        flood.drain();
        for round in 1..=10 {
            flood.ask(0, of_size(100));
            // The commit that is with the store, and the next one.
            flood.commit().unwrap();
            assert!(flood.commit().unwrap() > 1, "{flooders} flooders");
            assert_eq!(flood.done(0), round, "{flooders} flooders, {sizes:?}");
        }
    }
}

#[test]
fn senders_of_large_messages_get_no_more_bytes_than_others() {
    let mut flood = Flood::over(0, 10);
    let sizes = [(1, 60_000), (2, 10), (3, 900)];
    for (id, _) in sizes {
        flood.connect(id);
    }
    for number in 0..1000 {
        for (id, bytes) in sizes {
            if number < 1000 * 900 / bytes {
                flood.ask(id, of_size(bytes));
            }
        }
    }
    while flood.done(2) < 1000 {
        flood.commit().unwrap();
    }
    // 1000 times 10 bytes, and 100 and the name for each.
    let share = 115 * 1000;
    for (id, bytes) in [(1, 60_000), (3, 900)] {
        let had = flood.done(id) * bytes;
        assert!(had.abs_diff(share) < 2 * 64 * 1024, "connection {id} had {had} bytes");
    }
}

#[test]
fn hosts_and_removals_take_turns_with_messages() {
    let mut flood = Flood::over(0, 100_000);
    let hosts = 1..=20;
    for id in 0..=20 {
        flood.connect(id);
    }
    for id in hosts {
        for number in 0..500 {
            flood.ask(id, host(&format!("{id} {number}"), ADA, 1));
            flood.ask(id, unhost(&format!("{id} {number}")));
        }
    }
    flood.drain();
    for round in 1..=20 {
        flood.ask(0, of_size(100));
        flood.commit().unwrap();
        flood.commit().unwrap();
        assert_eq!(flood.done(0), round);
    }
}

#[test]
fn leases_that_end_by_the_thousands_delay_no_message() {
    const LEASES: usize = 2000;
    let mut flood = Flood::over(LEASES, 100_000);
    flood.connect(0);
    flood.connect(1);
    flood.now.time = Time::from_millis(10_000);
    flood.hub.handle_timeout(flood.now.time);
    let (mut commits, mut most) = (0, 0);
    flood.drain();
    while flood.disk.snapshot().channels.len() > 1 {
        flood.ask(0, of_size(100));
        flood.ask(1, host(&format!("new {commits}"), ADA, 1));
        flood.ask(1, unhost(&format!("new {commits}")));
        most = most.max(flood.commit().unwrap());
        commits += 1;
        flood.hub.handle_timeout(flood.now.time);
        flood.commit().unwrap();
        assert_eq!(flood.done(0), commits, "of {LEASES} leases are left {}", flood.disk.snapshot().channels.len());
    }
    assert!(most <= 600, "{most} in one commit");
    while flood.commit().is_some() {}
    // All of them, and nothing that wakes the hub without need.
    assert_eq!(flood.disk.snapshot().channels.len(), 0);
    // Their names are kept for a while, and freed a few at a time too.
    let end = flood.hub.poll_timeout().expect("they are kept");
    assert!(end >= flood.now.time.after(std::time::Duration::from_secs(60)));
    flood.now.time = end;
    flood.hub.handle_timeout(end);
    let (mut most, mut commits_of_names) = (0, 0);
    while let Some(writes) = flood.commit() {
        (most, commits_of_names) = (most.max(writes), commits_of_names + 1);
    }
    assert!(most <= 600 && commits_of_names > 1, "{most} in one commit, of {commits_of_names}");
    let stored = flood.disk.snapshot();
    assert_eq!((stored.released.len(), flood.hub.names(), flood.hub.poll_timeout()), (0, 1, None));
    assert_eq!((flood.done(1), flood.hub.is_idle()), (2 * commits, true));
}

#[test]
fn all_requests_waiting_for_one_name_have_their_turn() {
    let mut flood = Flood::over(0, 10);
    for id in 0..200 {
        flood.connect(id);
    }
    // Each moves the same channel, and the last sends what goes elsewhere.
    for id in 0..100 {
        flood.ask(id, host("there", ADA, 1 + u16::try_from(id).unwrap()));
        flood.ask(100 + id, say("m", Some("there")));
    }
    let mut commits = 0;
    while flood.commit().is_some() {
        commits += 1;
    }
    let answered = |id: &u64| flood.done(*id) + flood.refused.get(id).copied().unwrap_or(0) == 1;
    assert!((0..200).all(|id| answered(&id)), "{:?} {:?}", flood.done, flood.refused);
    assert_eq!((commits, flood.hub.is_idle()), (100, true));
}

//! The cost of a call does not grow with the stored data or with the number of pending requests.

use std::time::{Duration, Instant};

use chanwire_core::{
    Limits,
    hub::{ChannelLog, ChannelRecord, ListenerId, SendKey, SendRecord, Sender},
};

use super::*;

/// One size and another that is 32 times as large. Linear work takes 32 times as long, and a tree's at most a few
/// times.
const SIZES: [usize; 2] = [1000, 32_000];
const AT_MOST: u32 = 8;

/// Returns a hub that lists `here` and so many channels with leases of 10 s, and may list this many more.
fn hub(channels: usize, room: usize) -> (Hub, ListenerId) {
    let record = |number: usize| {
        let (channel, position) = (channel(&number.to_string(), ADA, 1), number as u64);
        ChannelRecord { channel, registered_from: Some(ip(ADA)), position, lease: Some(10), account: None }
    };
    let mut limits = HubLimits::default();
    limits.max_channels = channels + 1 + room;
    limits.max_address_channels = limits.max_channels;
    let stored = Snapshot { channels: (0..channels).map(record).collect(), ..Snapshot::default() };
    let mut hub = Hub::new(limits, stored, Moment::default());
    let listener = hub.add_listener(&[at("127.0.0.1", 22236)]);
    hub.fix_channel(channel("here", "127.0.0.1", 22236));
    (hub, listener)
}

fn connect(hub: &mut Hub, listener: ListenerId, id: u64) {
    hub.connect(ConnectionId(id), Peer::Address(ip(ADA)), Some(listener), Time::default()).unwrap();
}

fn send(hub: &mut Hub, id: u64, request: Request) {
    let ticket = ticket(&mut Server::new(ConnectionId(id), Limits::server()));
    hub.handle_request(ConnectionId(id), ticket, request, Moment::default()).unwrap();
}

/// Takes all effects. The command for the store, if there is one.
fn take(hub: &mut Hub) -> Option<StoreCommand> {
    let mut command = None;
    while let Some(effect) = hub.poll_effect() {
        if let Effect::Store(next) = effect {
            command = Some(next);
        }
    }
    command
}

/// Returns the least that a call takes, of many. It is compared, not measured: whatever else the machine does makes
/// some of the calls slower, and not all.
#[track_caller]
fn compare(label: &str, mut run: impl FnMut(usize) -> Vec<Duration>) {
    let [small, large] = SIZES.map(|size| run(size).into_iter().min().unwrap());
    assert!(
        large < small * AT_MOST + Duration::from_micros(50),
        "{label}: {small:?}, and {large:?} of 32 times as many"
    );
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

#[test]
fn a_host_beyond_the_limit_is_refused_at_the_same_cost() {
    compare("HOSTs of new names while leases end", |size| {
        let (mut hub, listener) = hub(size, 0);
        connect(&mut hub, listener, 1);
        hub.handle_timeout(Time::from_millis(10_000));
        take(&mut hub).unwrap();
        (0..50)
            .map(|round| {
                let ask = |hub: &mut Hub, number| send(hub, 1, host(&format!("new {round} {number}"), ADA, 1));
                timed(|| (0..20).for_each(|number| ask(&mut hub, number))).0
            })
            .collect()
    });
}

#[test]
fn leases_that_end_together_are_processed_in_small_batches() {
    compare("leases that end together", |size| {
        let runs = 0..5;
        let run = |_| {
            let (mut hub, _) = hub(size, 0);
            // The first list is encoded as a whole.
            assert_eq!(take(&mut hub), None);
            timed(|| {
                hub.handle_timeout(Time::from_millis(10_000));
                take(&mut hub).unwrap();
                hub.handle_outcome(StoreOutcome::Committed, Time::from_millis(10_000)).unwrap();
            })
            .0
        };
        runs.map(run).collect()
    });
}

#[test]
fn reloading_after_a_failed_commit_costs_as_much_as_the_commit() {
    compare("reading back", |size| {
        let (mut hub, listener) = hub(size, 0);
        connect(&mut hub, listener, 1);
        let run = |_| {
            send(&mut hub, 1, say("m", Some("here")));
            take(&mut hub).unwrap();
            let (time, ()) = timed(|| {
                hub.handle_outcome(StoreOutcome::Failed, Time::default()).unwrap();
                let command = take(&mut hub);
                assert_eq!(command, Some(StoreCommand::Load(vec!["here".parse().unwrap()])));
                hub.handle_outcome(StoreOutcome::Loaded(Snapshot::default()), Time::default()).unwrap();
                assert_eq!(take(&mut hub), None);
            });
            time
        };
        (0..30).map(run).collect()
    });
}

#[test]
fn an_outcome_costs_the_same_for_any_number_of_pending_requests() {
    compare("an outcome while many wait for one name", |size| {
        let (mut hub, listener) = hub(10, 1);
        let count = (size / 10) as u64;
        for id in 0..count {
            connect(&mut hub, listener, id);
            // The first is with the store, and the others wait for what becomes of it, and then for each other.
            send(&mut hub, id, host("there", ADA, 1 + u16::try_from(id).unwrap()));
        }
        let mut command = take(&mut hub);
        let run = |_| {
            assert!(matches!(command.take(), Some(StoreCommand::Commit(writes)) if writes.len() == 1));
            let (time, next) = timed(|| {
                hub.handle_outcome(StoreOutcome::Committed, Time::default()).unwrap();
                take(&mut hub)
            });
            command = next;
            time
        };
        (0..30).map(run).collect()
    });
}

/// Returns the key of the message of this number, stored in `here`.
fn send_record(number: usize) -> SendRecord {
    let key = SendKey {
        sender: Sender::Guest("user1".parse().unwrap()),
        client_message_id: format!("{number:016}").parse().unwrap(),
        digest: 0,
    };
    SendRecord { channel_name: named("here"), id: number as u64, timestamp: Timestamp::default(), key }
}

#[test]
fn a_message_with_an_id_costs_the_same_for_any_number_of_keys() {
    compare("a MESSAGE with an id", |size| {
        let stored = Snapshot { sends: (1..=size).map(send_record).collect(), ..Snapshot::default() };
        let mut hub = Hub::new(HubLimits::default(), stored, Moment::default());
        let listener = hub.add_listener(&[at("127.0.0.1", 22236)]);
        hub.fix_channel(channel("here", "127.0.0.1", 22236));
        connect(&mut hub, listener, 1);
        assert_eq!((take(&mut hub), hub.counters().send_keys), (None, size));
        let run = |number: u32| {
            let (time, ()) = timed(|| {
                send(&mut hub, 1, say_again("m", 1_000_000 + number));
                assert!(take(&mut hub).is_some());
                hub.handle_outcome(StoreOutcome::Committed, Time::default()).unwrap();
                assert_eq!(take(&mut hub), None);
            });
            time
        };
        (0..30).map(run).collect()
    });
}

/// Joins channels of these numbers from a connection, and takes its answers.
fn join_all(hub: &mut Hub, id: u64, numbers: std::ops::Range<usize>) {
    for number in numbers {
        send(hub, id, join(&number.to_string(), JoinFrom::After(0)));
        assert_eq!(take(hub), None);
    }
}

/// Returns a hub that hosts so many channels, each with a message, at the address of its first listener.
fn local(channels: usize) -> (Hub, [ListenerId; 2]) {
    let name = |number: usize| number.to_string();
    let record = |number| ChannelRecord {
        channel: channel(&name(number), "127.0.0.1", 22240),
        registered_from: Some(ip(ADA)),
        position: number as u64,
        lease: None,
        account: None,
    };
    let log = |number| ChannelLog {
        channel_name: named(&name(number)),
        last_id: 1,
        first_id: 1,
        last_timestamp: Timestamp::default(),
        since: Timestamp::default(),
        account: None,
    };
    let channels = 0..channels;
    let stored = Snapshot {
        channels: channels.clone().map(record).collect(),
        logs: channels.map(log).collect(),
        ..Snapshot::default()
    };
    let mut limits = HubLimits::default();
    limits.max_joins = usize::MAX;
    let mut hub = Hub::new(limits, stored, Moment::default());
    let listeners = [22240, 22236].map(|port| hub.add_listener(&[at("127.0.0.1", port)]));
    (hub, listeners)
}

#[test]
fn changing_local_addresses_costs_the_same_for_any_number_of_joins() {
    compare("a change of local addresses", |size| {
        let (mut hub, [listener, other]) = local(size);
        connect(&mut hub, listener, 1);
        join_all(&mut hub, 1, 0..size);
        let mut flip = false;
        let run = |_| {
            flip = !flip;
            let own = ["127.0.0.1", "10.0.0.1"].map(|host| at(host, 22236));
            let own = if flip { &own[..] } else { &own[..1] };
            let (time, ()) = timed(|| {
                hub.set_local_addresses(other, own);
                assert_eq!(take(&mut hub), None);
            });
            time
        };
        (0..30).map(run).collect()
    });
}

#[test]
fn leaving_a_channel_costs_the_same_for_any_number_of_joins() {
    compare("LEAVE", |size| {
        let (mut hub, [listener, _]) = local(size);
        connect(&mut hub, listener, 1);
        join_all(&mut hub, 1, 0..size);
        let run = |number: usize| {
            let (time, command) = timed(|| {
                send(&mut hub, 1, leave(&(size - 1 - number).to_string()));
                take(&mut hub)
            });
            assert_eq!(command, None);
            time
        };
        (0..30).map(run).collect()
    });
}

#[test]
fn disconnecting_costs_the_same_for_any_number_of_joins() {
    compare("a disconnect, and a step of what follows", |size| {
        let (mut hub, [listener, _]) = local(size);
        let runs = (0..5).map(|id| {
            connect(&mut hub, listener, id);
            join_all(&mut hub, id, 0..size);
            let (time, command) = timed(|| {
                hub.disconnect(ConnectionId(id));
                hub.handle_timeout(Time::default());
                take(&mut hub)
            });
            assert_eq!((hub.joins(), command), (0, None));
            while hub.poll_timeout() == Some(Time::default()) {
                hub.handle_timeout(Time::default());
            }
            time
        });
        runs.collect()
    });
}

//! Random days of a hub: requests, failures, departures and crashes in any order, judged by [`Trial`].
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::IpAddr;

use chanwire_core::wire::{Address, Channel, HistoryRange, Host, JoinFrom, Message, Request, Role, RoleTarget};
use chanwire_tests::{
    accounts,
    generate::times,
    hub_trial::{Setup, Trial},
    name::named,
    store::{Disk, Fate},
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

const PEERS: [&str; 6] = ["127.0.0.1", "::ffff:127.0.0.1", "::1", "10.0.0.9", "::ffff:10.0.0.9", "192.168.1.5"];
const PLACES: [(&str, u16); 13] = [
    ("127.0.0.1", 22236),
    ("LocalHost", 22236),
    ("::1", 22236),
    ("10.0.0.1", 22236),
    ("::ffff:10.0.0.1", 22236),
    ("localhost", 22240),
    ("127.0.0.1", 22240),
    ("192.168.1.5", 22240),
    ("10.0.0.9", 5),
    ("::ffff:10.0.0.9", 6),
    ("peer.example", 1),
    ("PEER.example", 1),
    ("peer.example", 2),
];
const NAMES: [&str; 5] = ["a", "b", "c", "d", "fixed"];
const ROLES: [Option<Role>; 6] =
    [None, Some(Role::Moderator), Some(Role::Member), Some(Role::Muted), Some(Role::Banned), Some(Role::Banned)];

#[derive(Clone, Debug)]
enum Op {
    /// One connection asks all of these at once.
    Ask(Index, Vec<(Kind, i64)>),
    /// Takes all outputs so far.
    Drain,
    Store(Fate),
    /// The store works, and so many pages are read and delivered before the hub gets the outcome.
    StoreAndRead(Fate, usize),
    /// The store works, and retention drops messages and says so before the hub hears of it.
    StoreAndTrim(Fate, &'static str, u64),
    /// A page is read and not delivered yet; or it cannot be read.
    Read(bool),
    Page,
    /// The next credentials are verified.
    Verify,
    SayHello(Index),
    /// A connection has read its page.
    ReadOn(Index),
    /// A connection's peer ends its stream.
    End(Index),
    Trim(&'static str, u64, bool),
    Pass(u64),
    Connect(&'static str, usize),
    Disconnect(Index),
    /// The second listener gets, or loses, an address.
    Move(bool),
    Crash(Fate),
}

#[derive(Clone, Debug)]
enum Kind {
    List,
    Host(&'static str, (&'static str, u16), Option<u32>),
    Message(Option<&'static str>),
    /// A message under one of few ids, with one of two contents; 0 is sent most.
    Again(&'static str, u8, u8),
    Unhost(&'static str),
    Join(&'static str, JoinFrom, u8),
    Who(&'static str),
    Leave(&'static str),
    History(&'static str, HistoryRange, u16),
    Channels(u64, u16, Option<&'static str>),
    Delete(&'static str, u64),
    Role(&'static str, &'static str, Option<Role>, Option<u32>),
    Settings(&'static str, Option<bool>, Option<u16>),
    Connections(u64, u16),
    Disconnect(u64),
    /// An account with a wrong password, or a wrong token. The model knows the hosts of channels by their addresses.
    Auth(Option<&'static str>),
}

fn kind() -> impl Strategy<Value = Kind> {
    let lease = prop_oneof![3 => Just(None), 1 => select(vec![Some(10), Some(30)])];
    let from = prop_oneof![(0..8_u64).prop_map(JoinFrom::After), (0..8_u16).prop_map(JoinFrom::Last)];
    let range = prop_oneof![
        Just(HistoryRange::Last),
        (0..9_u64).prop_map(HistoryRange::After),
        (1..9_u64).prop_map(HistoryRange::Before),
    ];
    prop_oneof![
        2 => Just(Kind::List),
        6 => (select(&NAMES[..]), select(&PLACES[..]), lease).prop_map(|(name, place, lease)| Kind::Host(name, place, lease)),
        2 => Just(Kind::Message(None)),
        5 => select(&NAMES[..]).prop_map(|name| Kind::Message(Some(name))),
        5 => (select(&NAMES[..]), 0..6_u8, select(&[0, 0, 0, 1][..]))
            .prop_map(|(name, id, content)| Kind::Again(name, id, content)),
        1 => select(&NAMES[..]).prop_map(Kind::Unhost),
        4 => (select(&NAMES[..]), from, 0..3_u8).prop_map(|(name, from, user)| Kind::Join(name, from, user)),
        2 => select(&NAMES[..]).prop_map(Kind::Who),
        1 => select(&NAMES[..]).prop_map(Kind::Leave),
        2 => (select(&NAMES[..]), range, 1..5_u16).prop_map(|(name, range, limit)| Kind::History(name, range, limit)),
        2 => (0..8_u64, 1..5_u16, select(vec![None, None, Some("A"), Some("f"), Some("x")]))
            .prop_map(|(after, limit, contains)| Kind::Channels(after, limit, contains)),
        3 => (select(&NAMES[..]), 1..6_u64).prop_map(|(name, id)| Kind::Delete(name, id)),
        3 => (select(&NAMES[..]), select(&PEERS[..]), select(&ROLES[..]), select(vec![None, None, Some(1), Some(20)]))
            .prop_map(|(name, peer, role, seconds)| Kind::Role(name, peer, role, seconds)),
        2 => (select(&NAMES[..]), select(vec![None, None, Some(false), Some(true)]), select(vec![None, Some(0), Some(0), Some(15)]))
            .prop_map(|(name, members_only, slow_mode)| Kind::Settings(name, members_only, slow_mode)),
        1 => (0..15_u64, 1..6_u16).prop_map(|(after, limit)| Kind::Connections(after, limit)),
        1 => (0..15_u64).prop_map(Kind::Disconnect),
        3 => select(&[Some("ann"), Some("bob"), Some("nobody"), None][..]).prop_map(Kind::Auth),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![4 => Just(Fate::Done), 1 => Just(Fate::Lost), 1 => Just(Fate::Denied), 1 => Just(Fate::Refused)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => (any::<Index>(), vec((kind(), 0..100_i64), 1..5)).prop_map(|(who, asked)| Op::Ask(who, asked)),
        10 => Just(Op::Drain),
        16 => fate().prop_map(Op::Store),
        4 => (fate(), 0..4_usize).prop_map(|(fate, pages)| Op::StoreAndRead(fate, pages)),
        2 => (fate(), select(&NAMES[..]), 1..9_u64).prop_map(|(fate, name, id)| Op::StoreAndTrim(fate, name, id)),
        3 => proptest::bool::weighted(0.9).prop_map(Op::Read),
        8 => Just(Op::Page),
        6 => Just(Op::Verify),
        1 => any::<Index>().prop_map(Op::SayHello),
        8 => any::<Index>().prop_map(Op::ReadOn),
        1 => any::<Index>().prop_map(Op::End),
        2 => (select(&NAMES[..]), 1..14_u64, proptest::bool::weighted(0.7)).prop_map(|(name, id, tell)| Op::Trim(name, id, tell)),
        2 => prop_oneof![4 => 1..20_u64, 1 => 50..90_u64].prop_map(Op::Pass),
        3 => (select(&PEERS[..]), 0..2_usize).prop_map(|(peer, listener)| Op::Connect(peer, listener)),
        2 => any::<Index>().prop_map(Op::Disconnect),
        1 => any::<bool>().prop_map(Op::Move),
        1 => fate().prop_map(Op::Crash),
    ]
}

fn address((host, port): (&str, u16)) -> Address {
    Address::new(host, port).unwrap()
}

fn request(kind: &Kind, number: usize) -> Request {
    match kind {
        Kind::List => Request::List,
        Kind::Host(name, place, lease) => {
            let channel = Channel { channel_name: named(name), address: address(*place) };
            Request::Host(Host { channel, lease: *lease })
        }
        Kind::Unhost(name) => Request::Unhost { channel_name: named(name) },
        Kind::Join(name, from, user) => {
            let username = (*user > 0).then(|| named(&format!("user{user}")));
            Request::Join { channel_name: named(name), from: *from, username }
        }
        Kind::Who(name) => Request::Who { channel_name: named(name) },
        Kind::Leave(name) => Request::Leave { channel_name: named(name) },
        Kind::History(name, range, limit) => {
            Request::History { channel_name: named(name), range: *range, limit: *limit }
        }
        Kind::Again(name, id, content) => Request::Message(Message {
            username: named("user1"),
            message_content: format!("again {name} {id} {content}"),
            channel_name: Some(named(name)),
            client_message_id: Some(format!("{id:016}").parse().unwrap()),
        }),
        Kind::Channels(after, limit, contains) => {
            Request::Channels { after: *after, limit: *limit, contains: contains.map(Into::into) }
        }
        Kind::Delete(name, id) => Request::Delete { channel_name: named(name), id: *id },
        Kind::Role(name, peer, role, seconds) => {
            let target = RoleTarget::Address(ip(peer));
            Request::Role { channel_name: named(name), target, role: *role, seconds: *seconds }
        }
        Kind::Settings(name, members_only, slow_mode) => {
            Request::Settings { channel_name: named(name), members_only: *members_only, slow_mode: *slow_mode }
        }
        Kind::Connections(after, limit) => Request::Connections { after: *after, limit: *limit },
        Kind::Disconnect(connection) => Request::Disconnect { connection: *connection },
        Kind::Auth(None) => Request::Auth(accounts::token("wrong")),
        Kind::Auth(Some(account)) => Request::Auth(accounts::password(account, "wrong")),
        // Each says something else, so that it can be found again in the store.
        Kind::Message(name) => Request::Message(Message {
            username: named("user1"),
            message_content: format!("message {number}"),
            channel_name: name.map(named),
            client_message_id: None,
        }),
    }
}

fn ip(peer: &str) -> IpAddr {
    peer.parse().unwrap()
}

fn second_listener(more: bool) -> Vec<Address> {
    let mut own = vec![address(("127.0.0.1", 22240))];
    if more {
        own.push(address(("192.168.1.5", 22240)));
    }
    own
}

fn connect_some(trial: &mut Trial) {
    for (index, peer) in PEERS.iter().enumerate() {
        trial.connect(ip(peer), index % 2);
    }
    trial.connect_without_rights(0);
    trial.connect_operator();
}

/// Returns one of the open connections, once all outputs are taken.
fn one_of(trial: &mut Trial, who: Index) -> Option<u64> {
    trial.drain();
    let open = trial.open();
    (!open.is_empty()).then(|| *who.get(&open))
}

fn live(ops: &[Op], fixed: bool, limit: usize) {
    let first = ["127.0.0.1", "::1", "10.0.0.1"].map(|host| address((host, 22236))).into();
    let fixed =
        fixed.then(|| Channel { channel_name: "fixed".parse().unwrap(), address: address(("localhost", 22240)) });
    let own = vec![first, second_listener(false)];
    let fixed = fixed.into_iter().collect();
    let (joins, names, address_channels) = (3, limit + 1, 2);
    let setup = Setup {
        own,
        fixed,
        limit,
        address_channels,
        joins,
        names,
        max_id: 12,
        drop_names_after: 100,
        retry_window: 60,
        max_send_keys: 5,
    };
    let mut trial = Trial::start(setup, Disk::default());
    connect_some(&mut trial);
    let mut number = 0;
    for op in ops {
        match op {
            Op::Ask(who, asked) => {
                let open = trial.open();
                if open.is_empty() {
                    continue;
                }
                let id = *who.get(&open);
                for (kind, at) in asked {
                    number += 1;
                    // A client that has ended its stream sends no requests.
                    if !trial.has_ended(id) {
                        trial.ask(id, &request(kind, number), *at);
                    }
                }
            }
            Op::Drain => trial.drain(),
            Op::Store(fate) => {
                trial.store(*fate);
            }
            Op::StoreAndRead(fate, pages) => {
                trial.store_and(*fate, |trial| {
                    for _ in 0..*pages {
                        trial.page();
                    }
                });
            }
            Op::StoreAndTrim(fate, name, id) => {
                trial.store_and(*fate, |trial| trial.trim(name, *id, true));
            }
            Op::Read(can) => trial.read(*can),
            Op::Page => {
                trial.page();
            }
            Op::Verify => {
                trial.verify();
            }
            Op::SayHello(who) => {
                if let Some(id) = one_of(&mut trial, *who) {
                    trial.say_hello(id);
                }
            }
            Op::ReadOn(who) => {
                if let Some(id) = one_of(&mut trial, *who) {
                    trial.read_on(id);
                }
            }
            Op::End(who) => {
                if let Some(id) = one_of(&mut trial, *who) {
                    trial.end(id);
                }
            }
            Op::Trim(name, id, tell) => trial.trim(name, *id, *tell),
            Op::Pass(seconds) => trial.pass(*seconds),
            Op::Connect(peer, listener) => {
                // Drained first: a CONNECTIONS that was asked before does not show it.
                trial.drain();
                trial.connect(ip(peer), *listener);
            }
            Op::Disconnect(who) => {
                // Drained first, so that earlier outputs precede this input.
                if let Some(id) = one_of(&mut trial, *who) {
                    trial.disconnect(id);
                }
            }
            Op::Move(more) => {
                trial.drain();
                trial.set_local_addresses(1, second_listener(*more));
            }
            Op::Crash(fate) => {
                trial.drain();
                trial = trial.crash(*fate);
                connect_some(&mut trial);
            }
        }
    }
    trial.drain();
    trial.settle();
    // The known and the stored state are the same in the end.
    let mut again = trial.crash(Fate::Done);
    let id = again.connect(ip("203.0.113.1"), 0);
    again.ask(id, &Request::List, 0);
    again.drain();
    assert_eq!(again.answers(id).len(), 1);
}

proptest! {
    #![proptest_config(times(1500))]

    #[test]
    fn the_laws_hold_for_any_history(ops in vec(op(), 0..60), fixed in any::<bool>(), limit in 2..8_usize) {
        live(&ops, fixed, limit);
    }
}

proptest! {
    #![proptest_config(times(500))]

    /// Few names and one place for all, so that requests get into each other's way.
    #[test]
    fn the_laws_hold_in_a_crowd(
        requests in vec((any::<Index>(), kind(), 0..3_i64, fate(), 0..6_u8), 1..80)
    ) {
        let ops: Vec<_> = requests.into_iter().flat_map(|(who, kind, at, fate, then)| {
            let kind = match kind {
                Kind::Host(name, place, lease) => Kind::Host(if name == "a" { "b" } else { "a" }, place, lease),
                Kind::Message(Some(_)) => Kind::Message(Some("a")),
                Kind::Again(_, id, content) => Kind::Again("a", id % 2, content),
                Kind::Join(_, from, user) => Kind::Join("a", from, user),
                Kind::Who(_) => Kind::Who("a"),
                Kind::Leave(_) => Kind::Leave("a"),
                Kind::Delete(_, id) => Kind::Delete("a", id % 2 + 1),
                Kind::Role(_, peer, role, seconds) => Kind::Role("a", peer, role, seconds),
                Kind::Settings(_, members_only, slow_mode) => Kind::Settings("a", members_only, slow_mode),
                other => other,
            };
            let mut ops = vec![Op::Ask(who, vec![(kind, at)])];
            match then {
                0 => ops.push(Op::Store(fate)),
                1 => ops.push(Op::Drain),
                2 => ops.push(Op::Page),
                3 => ops.push(Op::ReadOn(who)),
                4 => ops.push(Op::Verify),
                _ => {}
            }
            ops
        }).collect();
        live(&ops, false, 100);
    }
}

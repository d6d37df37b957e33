//! Random days of a hub: requests, failures, departures and crashes in any order, judged by [`Trial`].
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::IpAddr;

use chanwire_core::wire::{Address, Channel, Message, Request};
use chanwire_tests::{
    generate::times,
    hub_trial::{Setup, Trial},
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

#[derive(Clone, Debug)]
enum Op {
    /// One connection asks all of these at once.
    Ask(Index, Vec<(Asked, i64)>),
    /// What is wanted so far is taken.
    Drain,
    Store(Fate),
    Connect(&'static str, usize),
    Disconnect(Index),
    /// The second listener gets, or loses, an address.
    Move(bool),
    Crash(Fate),
}

#[derive(Clone, Debug)]
enum Asked {
    List,
    Host(&'static str, (&'static str, u16)),
    Message(Option<&'static str>),
}

fn asked() -> impl Strategy<Value = Asked> {
    prop_oneof![
        2 => Just(Asked::List),
        4 => (select(&NAMES[..]), select(&PLACES[..])).prop_map(|(name, place)| Asked::Host(name, place)),
        2 => Just(Asked::Message(None)),
        3 => select(&NAMES[..]).prop_map(|name| Asked::Message(Some(name))),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![4 => Just(Fate::Done), 1 => Just(Fate::Lost), 1 => Just(Fate::Denied)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => (any::<Index>(), vec((asked(), 0..100_i64), 1..5)).prop_map(|(who, what)| Op::Ask(who, what)),
        10 => Just(Op::Drain),
        16 => fate().prop_map(Op::Store),
        3 => (select(&PEERS[..]), 0..2_usize).prop_map(|(peer, listener)| Op::Connect(peer, listener)),
        2 => any::<Index>().prop_map(Op::Disconnect),
        1 => any::<bool>().prop_map(Op::Move),
        1 => fate().prop_map(Op::Crash),
    ]
}

fn address((host, port): (&str, u16)) -> Address {
    Address::new(host, port).unwrap()
}

fn request(asked: &Asked, number: usize) -> Request {
    match asked {
        Asked::List => Request::List,
        Asked::Host(name, place) => Request::Host(Channel { channel_name: (*name).into(), address: address(*place) }),
        // Each says something else, so that it can be found again in the store.
        Asked::Message(name) => Request::Message(Message {
            username: "user1".into(),
            message_content: format!("message {number}"),
            channel_name: name.map(String::from),
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
}

fn live(ops: &[Op], fixed: bool, limit: usize) {
    let first = ["127.0.0.1", "::1", "10.0.0.1"].map(|host| address((host, 22236))).into();
    let fixed = fixed.then(|| Channel { channel_name: "fixed".into(), address: address(("localhost", 22240)) });
    let setup = Setup { own: vec![first, second_listener(false)], fixed: fixed.into_iter().collect(), limit };
    let mut trial = Trial::start(setup, Disk::default());
    connect_some(&mut trial);
    let mut number = 0;
    for op in ops {
        match op {
            Op::Ask(who, what) => {
                let open = trial.open();
                if open.is_empty() {
                    continue;
                }
                for (asked, at) in what {
                    number += 1;
                    trial.ask(*who.get(&open), &request(asked, number), *at);
                }
            }
            Op::Drain => trial.drain(),
            Op::Store(fate) => drop(trial.store(*fate)),
            Op::Connect(peer, listener) => drop(trial.connect(ip(peer), *listener)),
            Op::Disconnect(who) => {
                // What is wanted is taken before the hub is told more.
                trial.drain();
                let open = trial.open();
                if !open.is_empty() {
                    trial.disconnect(*who.get(&open));
                }
            }
            Op::Move(more) => {
                trial.drain();
                trial.set_own_addresses(1, second_listener(*more));
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
    // What is known and what is stored are the same in the end.
    let mut again = trial.crash(Fate::Done);
    let id = again.connect(ip("203.0.113.1"), 0);
    again.ask(id, &Request::List, 0);
    again.drain();
    assert_eq!(again.answers(id).len(), 1);
}

proptest! {
    #![proptest_config(times(2500))]

    #[test]
    fn the_laws_hold_whatever_happens(ops in vec(op(), 0..60), fixed in any::<bool>(), limit in 2..8_usize) {
        live(&ops, fixed, limit);
    }
}

proptest! {
    #![proptest_config(times(800))]

    /// Few names and one place for all, so that requests get into each other's way.
    #[test]
    fn the_laws_hold_in_a_crowd(
        asked in vec((any::<Index>(), asked(), 0..3_i64, fate(), 0..4_u8), 1..80)
    ) {
        let ops: Vec<_> = asked.into_iter().flat_map(|(who, asked, at, fate, then)| {
            let asked = match asked {
                Asked::Host(name, place) => Asked::Host(if name == "a" { "b" } else { "a" }, place),
                Asked::Message(Some(_)) => Asked::Message(Some("a")),
                other => other,
            };
            let mut ops = vec![Op::Ask(who, vec![(asked, at)])];
            match then {
                0 => ops.push(Op::Store(fate)),
                1 => ops.push(Op::Drain),
                _ => {}
            }
            ops
        }).collect();
        live(&ops, false, 100);
    }
}

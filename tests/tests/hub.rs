//! The rules of channels, one by one. [`Trial`] checks the laws that hold throughout; here stands what each rule says.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::IpAddr;

use chanwire_core::{
    endpoint::{Endpoint as _, Misuse, Server, ServerEvent, Ticket},
    hub::{ConnectionId, Effect, Hub, HubLimits, Snapshot, StoreCommand, StoreOutcome, Write},
    wire::{Address, Channel, ErrorResponse, Message, Request, Response, Timestamp},
};
use chanwire_tests::{
    hub_model::not_stored,
    hub_trial::{Setup, Trial},
    store::{Disk, Fate},
};

const ADA: &str = "10.0.0.9";
const BOB: &str = "192.168.1.5";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(host: &str, port: u16) -> Address {
    Address::new(host, port).unwrap()
}

fn channel(name: &str, host: &str, port: u16) -> Channel {
    Channel { channel_name: name.into(), address: at(host, port) }
}

fn host(name: &str, host: &str, port: u16) -> Request {
    Request::Host(channel(name, host, port))
}

fn say(content: &str, channel_name: Option<&str>) -> Request {
    let channel_name = channel_name.map(String::from);
    Request::Message(Message { username: "user1".into(), message_content: content.into(), channel_name })
}

fn hosted(name: &str) -> Response {
    Response::Hosted { channel_name: name.into() }
}

fn delivered(at: i64) -> Response {
    Response::Delivered { timestamp: Timestamp::from_unix(at) }
}

fn refused(error: &'static str, details: &str) -> Response {
    Response::Error(ErrorResponse::request(error, details))
}

/// A server that listens at port 22236 of every interface of a machine.
fn setup() -> Setup {
    let own = ["127.0.0.1", "::1", "10.0.0.1"].map(|host| at(host, 22236)).into();
    Setup { own: vec![own], fixed: Vec::new(), limit: 100_000 }
}

fn trial() -> Trial {
    Trial::start(setup(), Disk::default())
}

/// A server that hosts `here`, and lists `there`, which Bob hosts at 192.168.1.5:22240.
fn two_channels() -> (Trial, u64, u64) {
    let mut trial = trial();
    let (ada, bob) = (trial.connect(ip(ADA), 0), trial.connect(ip(BOB), 0));
    trial.ask(ada, &host("here", "10.0.0.1", 22236), 0);
    trial.settle();
    trial.ask(bob, &host("there", BOB, 22240), 0);
    trial.settle();
    assert_eq!((trial.answers(ada), trial.answers(bob)), (vec![hosted("here")], vec![hosted("there")]));
    (trial, ada, bob)
}

fn ask(trial: &mut Trial, id: u64, request: &Request) -> Vec<Response> {
    trial.ask(id, request, 0);
    trial.settle();
    trial.answers(id)
}

fn listed(trial: &mut Trial) -> Vec<Channel> {
    let id = trial.connect(ip("203.0.113.1"), 0);
    trial.ask(id, &Request::List, 0);
    trial.drain();
    let answers = trial.answers(id);
    trial.disconnect(id);
    let [Response::Channels(channels)] = answers.as_slice() else { panic!("LIST is answered {answers:?}") };
    channels.clone()
}

// Directory.

#[test]
fn an_empty_directory_is_listed_at_once() {
    assert_eq!(listed(&mut trial()), []);
}

#[test]
fn a_channel_is_listed_only_when_it_is_stored() {
    let mut trial = trial();
    let ada = trial.connect(ip(ADA), 0);
    trial.ask(ada, &host("x", "peer.example", 1), 0);
    trial.drain();
    assert_eq!((trial.answers(ada), listed(&mut trial)), (vec![], vec![]));
    trial.store(Fate::Done);
    assert_eq!((trial.answers(ada), listed(&mut trial)), (vec![hosted("x")], vec![channel("x", "peer.example", 1)]));
}

#[test]
fn channels_are_listed_in_order_of_creation_also_when_moved() {
    let mut trial = trial();
    let ada = trial.connect(ip(ADA), 0);
    for name in ["z", "a", "m"] {
        assert_eq!(ask(&mut trial, ada, &host(name, "peer.example", 1)), [hosted(name)]);
    }
    assert_eq!(ask(&mut trial, ada, &host("z", "peer.example", 2)), [hosted("z")]);
    let expected = [("z", 2), ("a", 1), ("m", 1)].map(|(name, port)| channel(name, "peer.example", port));
    assert_eq!(listed(&mut trial), expected);
    // A store gives its directory back in any order.
    assert_eq!(listed(&mut trial.crash(Fate::Done)), expected);
}

#[test]
fn a_channel_is_listed_as_it_was_registered() {
    let mut trial = trial();
    let ada = trial.connect(ip(ADA), 0);
    for (name, address) in [("a", "LocalHost"), ("b", "::FFFF:10.0.0.1"), ("c", "0:0:0:0:0:0:0:1")] {
        ask(&mut trial, ada, &host(name, address, 22236));
    }
    let hosts: Vec<_> = listed(&mut trial).iter().map(|channel| channel.address.host().to_owned()).collect();
    assert_eq!(hosts, ["LocalHost", "::FFFF:10.0.0.1", "0:0:0:0:0:0:0:1"]);
}

#[test]
fn a_host_that_changes_nothing_writes_nothing() {
    let mut trial = trial();
    let (ada, bob) = (trial.connect(ip(ADA), 0), trial.connect(ip(BOB), 0));
    for (id, address) in [(ada, "LOCALHOST"), (ada, "localhost"), (bob, "127.0.0.1"), (bob, "::ffff:127.0.0.1"), (bob, "::1")] {
        assert_eq!(ask(&mut trial, id, &host("x", address, 22236)), [hosted("x")], "{address}");
    }
    assert_eq!((trial.disk.commits, listed(&mut trial)), (1, vec![channel("x", "LOCALHOST", 22236)]));
}

#[test]
fn a_host_from_elsewhere_cannot_move_a_channel() {
    let (mut trial, ada, _) = two_channels();
    let answer = refused("Channel already exists", "The channel 'there' is hosted at 192.168.1.5:22240");
    assert_eq!(ask(&mut trial, ada, &host("there", "10.0.0.1", 22236)), [answer]);
    assert_eq!(trial.disk.commits, 2);
}

#[test]
fn an_ipv6_address_stands_in_brackets_in_details() {
    let (mut trial, ada, bob) = two_channels();
    assert_eq!(ask(&mut trial, ada, &host("six", "2001:db8::1", 7)), [hosted("six")]);
    let answer = refused("Channel already exists", "The channel 'six' is hosted at [2001:db8::1]:7");
    assert_eq!(ask(&mut trial, bob, &host("six", "2001:db8::1", 8)), [answer]);
}

#[test]
fn who_sends_from_the_registered_address_may_move_a_channel() {
    let mut trial = trial();
    let (ada, bob) = (trial.connect(ip(ADA), 0), trial.connect(ip("::ffff:192.168.1.5"), 0));
    assert_eq!(ask(&mut trial, ada, &host("x", BOB, 1)), [hosted("x")]);
    assert_eq!(ask(&mut trial, bob, &host("x", BOB, 2)), [hosted("x")]);
    // Now it was registered from Bob's address and at Bob's address, and Ada is nobody any more.
    let answer = refused("Channel already exists", "The channel 'x' is hosted at 192.168.1.5:2");
    assert_eq!(ask(&mut trial, ada, &host("x", BOB, 3)), [answer]);
}

#[test]
fn where_a_channel_was_registered_from_outlives_a_restart() {
    let mut trial = trial();
    let ada = trial.connect(ip("::ffff:10.0.0.9"), 0);
    ask(&mut trial, ada, &host("x", "peer.example", 1));
    let mut trial = trial.crash(Fate::Done);
    let (ada, bob) = (trial.connect(ip(ADA), 0), trial.connect(ip(BOB), 0));
    let answer = refused("Channel already exists", "The channel 'x' is hosted at peer.example:1");
    assert_eq!(ask(&mut trial, bob, &host("x", "peer.example", 2)), [answer]);
    assert_eq!(ask(&mut trial, ada, &host("x", "peer.example", 2)), [hosted("x")]);
}

#[test]
fn names_are_never_looked_up() {
    let mut trial = trial();
    let (ada, local) = (trial.connect(ip(ADA), 0), trial.connect(ip("127.0.0.1"), 0));
    ask(&mut trial, ada, &host("name", "ip6-localhost", 1));
    ask(&mut trial, ada, &host("local", "localhost", 1));
    let answer = refused("Channel already exists", "The channel 'name' is hosted at ip6-localhost:1");
    assert_eq!(ask(&mut trial, local, &host("name", "ip6-localhost", 2)), [answer]);
    // `localhost` is no name that anybody must look up.
    assert_eq!(ask(&mut trial, local, &host("local", "localhost", 2)), [hosted("local")]);
}

#[test]
fn a_mapped_loopback_is_localhost() {
    for loopback in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        assert!(at("localhost", 1).is_at(ip(loopback)), "{loopback}");
    }
}

#[test]
fn of_two_hosts_of_one_name_the_first_stored_wins() {
    let mut trial = trial();
    let (ada, bob) = (trial.connect(ip(ADA), 0), trial.connect(ip(BOB), 0));
    trial.ask(ada, &host("x", ADA, 1), 0);
    trial.ask(bob, &host("x", BOB, 1), 0);
    trial.drain();
    trial.store(Fate::Done);
    assert_eq!(trial.answers(ada), [hosted("x")]);
    let answer = refused("Channel already exists", "The channel 'x' is hosted at 10.0.0.9:1");
    assert_eq!((trial.answers(bob), trial.disk.commits), (vec![answer], 1));
}

#[test]
fn the_second_host_of_a_name_gets_it_when_the_first_fails() {
    let mut trial = trial();
    let (ada, bob) = (trial.connect(ip(ADA), 0), trial.connect(ip(BOB), 0));
    trial.ask(ada, &host("x", ADA, 1), 0);
    trial.ask(bob, &host("x", BOB, 1), 0);
    trial.store(Fate::Lost);
    assert_eq!((trial.answers(ada), trial.answers(bob)), (vec![not_stored()], vec![]));
    trial.settle();
    assert_eq!((trial.answers(bob), listed(&mut trial)), (vec![hosted("x")], vec![channel("x", BOB, 1)]));
}

#[test]
fn the_limit_of_channels_is_enforced_and_named() {
    let mut trial = Trial::start(Setup { limit: 2, ..setup() }, Disk::default());
    let (ada, bob) = (trial.connect(ip(ADA), 0), trial.connect(ip(BOB), 0));
    // Those that wait to be stored count.
    trial.ask(ada, &host("a", ADA, 1), 0);
    trial.ask(bob, &host("b", BOB, 1), 0);
    let carl = trial.connect(ip("10.0.0.3"), 0);
    trial.ask(carl, &host("c", "10.0.0.3", 1), 0);
    trial.settle();
    let [Response::Error(error)] = &*trial.answers(carl) else { panic!("a third channel") };
    assert_eq!(error.error, "Limit reached");
    assert!(error.details.contains('2'), "{}", error.details);
    assert_eq!((trial.answers(ada), trial.answers(bob)), (vec![hosted("a")], vec![hosted("b")]));
    // A channel that is there may move.
    assert_eq!(ask(&mut trial, bob, &host("b", BOB, 2)), [hosted("b")]);
}

// Fixed channels.

#[test]
fn a_fixed_channel_is_listed_and_nobody_moves_it() {
    let fixed = vec![channel("general", "127.0.0.1", 22236)];
    let mut trial = Trial::start(Setup { fixed: fixed.clone(), ..setup() }, Disk::default());
    // Not even from its own address.
    let local = trial.connect(ip("127.0.0.1"), 0);
    let answer = refused("Channel already exists", "The channel 'general' is hosted at 127.0.0.1:22236");
    assert_eq!(ask(&mut trial, local, &host("general", "127.0.0.1", 1)), [answer]);
    assert_eq!(ask(&mut trial, local, &host("general", "localhost", 22236)), [hosted("general")]);
    assert_eq!((listed(&mut trial), trial.disk.commits), (fixed, 0));
}

#[test]
fn a_fixed_channel_hides_the_stored_one_of_its_name_for_this_run() {
    let (trial, ..) = two_channels();
    let disk = trial.disk.clone();
    let fixed = channel("there", "10.0.0.1", 22236);
    let mut trial = Trial::start(Setup { fixed: vec![fixed.clone()], ..setup() }, disk);
    let here = channel("here", "10.0.0.1", 22236);
    assert_eq!(listed(&mut trial), [here.clone(), fixed.clone()]);
    // Reading the store back after a failure does not bring the stored one forth.
    let ada = trial.connect(ip(ADA), 0);
    trial.ask(ada, &say("lost", Some("there")), 0);
    trial.store(Fate::Lost);
    trial.settle();
    assert_eq!((trial.answers(ada), listed(&mut trial)), (vec![not_stored()], vec![here.clone(), fixed]));
    let mut next = Trial::start(setup(), trial.disk.clone());
    assert_eq!(listed(&mut next), [here, channel("there", BOB, 22240)]);
}

#[test]
fn a_channel_fixed_during_a_commit_keeps_its_place() {
    let mut hub = Hub::new(HubLimits::default(), Snapshot::default());
    let listener = hub.add_listener(vec![at("127.0.0.1", 22236)]);
    hub.connect(ConnectionId(1), ip(ADA), listener).unwrap();
    let mut server = Server::new(chanwire_core::Limits::server());
    let request = host("x", ADA, 1);
    hub.handle_request(ConnectionId(1), ticket(&mut server), request, Timestamp::default()).unwrap();
    assert!(matches!(hub.poll_effect(), Some(Effect::Store(StoreCommand::Commit(_)))));
    hub.fix_channel(channel("general", "127.0.0.1", 22236));
    hub.handle_outcome(StoreOutcome::Committed).unwrap();
    hub.handle_request(ConnectionId(1), ticket(&mut server), Request::List, Timestamp::default()).unwrap();
    let mut last = None;
    while let Some(effect) = hub.poll_effect() {
        last = Some(effect);
    }
    let Some(Effect::Answer { reply: chanwire_core::endpoint::Reply::Encoded(bytes), .. }) = last else {
        panic!("LIST is answered {last:?}")
    };
    let list = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(list.contains("general") && list.contains("\"x\""), "{list}");
}

// Routing.

#[test]
fn a_message_without_a_name_goes_to_the_one_channel_of_the_address_it_was_sent_to() {
    let own = |port| vec![at("127.0.0.1", port)];
    let fixed = vec![channel("a", "127.0.0.1", 1), channel("b", "127.0.0.1", 2)];
    let mut trial = Trial::start(Setup { own: vec![own(1), own(2)], fixed, limit: 10 }, Disk::default());
    let (first, second) = (trial.connect(ip(ADA), 0), trial.connect(ip(ADA), 1));
    trial.ask(first, &say("to a", None), 5);
    trial.ask(second, &say("to b", None), 5);
    trial.ask(second, &say("to a by name", Some("a")), 5);
    trial.settle();
    assert_eq!(trial.answers(second), [delivered(5), delivered(5)]);
    let said = |name| trial.disk.messages(name).iter().map(|message| message.message_content.clone()).collect::<Vec<_>>();
    assert_eq!((said("a"), said("b")), (vec!["to a".to_owned(), "to a by name".into()], vec!["to b".into()]));
}

#[test]
fn any_own_address_in_any_spelling_makes_a_channel_live_here() {
    for address in ["127.0.0.1", "localhost", "LOCALHOST", "::1", "0:0::1", "10.0.0.1", "::ffff:10.0.0.1"] {
        let mut trial = trial();
        let ada = trial.connect(ip(ADA), 0);
        ask(&mut trial, ada, &host("x", address, 22236));
        assert_eq!(ask(&mut trial, ada, &say("hello", None)), [delivered(0)], "{address}");
        assert_eq!(trial.disk.messages("x").len(), 1);
    }
}

#[test]
fn another_port_or_another_machine_is_elsewhere() {
    for (address, port) in [("127.0.0.1", 22237), ("10.0.0.2", 22236), ("general.example", 22236)] {
        let mut trial = trial();
        let ada = trial.connect(ip(ADA), 0);
        ask(&mut trial, ada, &host("x", address, port));
        let details = format!("The channel 'x' is hosted at {address}:{port}");
        assert_eq!(ask(&mut trial, ada, &say("m", Some("x"))), [refused("Channel hosted elsewhere", &details)]);
    }
}

#[test]
fn a_message_finds_no_channel() {
    let mut trial = trial();
    let ada = trial.connect(ip(ADA), 0);
    let unknown = refused("Channel not found", "The requested channel 'gaming' does not exist");
    assert_eq!(ask(&mut trial, ada, &say("m", Some("gaming"))), [unknown]);
    let [Response::Error(error)] = &*ask(&mut trial, ada, &say("n", None)) else { panic!("delivered to nobody") };
    assert_eq!(error.error, "Channel not found");
}

#[test]
fn a_message_to_several_channels_must_name_one() {
    let (mut trial, ada, _) = two_channels();
    ask(&mut trial, ada, &host("second", "localhost", 22236));
    let answer = refused("Invalid payload", "Missing required field 'channel_name'");
    assert_eq!(ask(&mut trial, ada, &say("m", None)), [answer]);
    assert_eq!(ask(&mut trial, ada, &say("n", Some("second"))), [delivered(0)]);
}

#[test]
fn a_channel_that_moved_away_gets_no_messages_here() {
    let (mut trial, ada, bob) = two_channels();
    assert_eq!(ask(&mut trial, ada, &host("here", ADA, 1)), [hosted("here")]);
    let answer = refused("Channel hosted elsewhere", "The channel 'here' is hosted at 10.0.0.9:1");
    assert_eq!(ask(&mut trial, bob, &say("m", Some("here"))), [answer]);
    let [Response::Error(error)] = &*ask(&mut trial, bob, &say("n", None)) else { panic!("delivered to nobody") };
    assert_eq!(error.error, "Channel not found");
    // And back: the ids go on.
    ask(&mut trial, ada, &host("here", "10.0.0.1", 22236));
    assert_eq!(ask(&mut trial, bob, &say("o", None)), [delivered(0)]);
}

#[test]
fn a_channel_lives_where_the_machines_addresses_say() {
    let (mut trial, _, bob) = two_channels();
    let own = vec![at("127.0.0.1", 22236), at(BOB, 22240)];
    trial.set_own_addresses(0, own);
    assert_eq!(ask(&mut trial, bob, &say("m", None)), [delivered(0)]);
    assert_eq!(trial.disk.messages("there").len(), 1);
    let answer = refused("Channel hosted elsewhere", "The channel 'here' is hosted at 10.0.0.1:22236");
    assert_eq!(ask(&mut trial, bob, &say("n", Some("here"))), [answer]);
}

// Messages.

#[test]
fn ids_are_dense_in_each_channel_and_go_on_after_a_restart() {
    let (mut trial, ada, bob) = two_channels();
    for round in 0..3 {
        trial.ask(ada, &say(&format!("ada {round}"), Some("here")), 0);
        trial.ask(bob, &say(&format!("bob {round}"), Some("here")), 0);
    }
    trial.settle();
    let mut trial = trial.crash(Fate::Done);
    let ada = trial.connect(ip(ADA), 0);
    ask(&mut trial, ada, &say("after", Some("here")));
    let ids: Vec<_> = trial.disk.messages("here").iter().map(|message| message.id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn timestamps_never_run_back_in_a_channel() {
    let (mut trial, ada, _) = two_channels();
    trial.ask(ada, &say("a", None), 100);
    trial.ask(ada, &say("b", None), 50);
    trial.settle();
    trial.ask(ada, &say("c", None), 99);
    trial.ask(ada, &say("d", None), 101);
    trial.settle();
    assert_eq!(trial.answers(ada), [delivered(100), delivered(100), delivered(100), delivered(101)]);
    let mut trial = trial.crash(Fate::Done);
    let ada = trial.connect(ip(ADA), 0);
    assert_eq!(ask(&mut trial, ada, &say("e", None)), [delivered(101)]);
}

#[test]
fn messages_that_follow_each_other_share_a_commit() {
    let (mut trial, ada, bob) = two_channels();
    let before = trial.disk.commits;
    for round in 0..50 {
        trial.ask(ada, &say(&format!("ada {round}"), None), 0);
        trial.ask(bob, &say(&format!("bob {round}"), None), 0);
    }
    trial.settle();
    assert_eq!((trial.disk.commits - before, trial.disk.last_id("here")), (1, 100));
}

#[test]
fn what_comes_during_a_commit_shares_the_next_one() {
    let (mut trial, ada, bob) = two_channels();
    let before = trial.disk.commits;
    trial.ask(ada, &say("first", None), 0);
    trial.drain();
    for round in 0..5 {
        trial.ask(bob, &say(&format!("bob {round}"), None), 0);
        trial.drain();
    }
    trial.settle();
    assert_eq!(trial.disk.commits - before, 2);
}

#[test]
fn more_messages_than_one_commit_carries_keep_their_order() {
    let (mut trial, ada, _) = two_channels();
    // More than 4,096, the most that one commit carries, over as many connections as their own limit asks for.
    let mut expected = Vec::new();
    for part in 0..5 {
        let id = trial.connect(ip(ADA), 0);
        for round in 0..900 {
            let content = format!("{part} {round}");
            trial.ask(id, &say(&content, None), 0);
            expected.push(content);
        }
    }
    let before = trial.disk.commits;
    trial.settle();
    assert_eq!(trial.disk.commits - before, 2);
    let said: Vec<_> = trial.disk.messages("here").iter().map(|message| message.message_content.clone()).collect();
    assert_eq!(said, expected);
    assert_eq!(trial.answers(ada), []);
}

// Order of effects.

#[test]
fn a_host_and_then_list_in_one_write_lists_the_new_channel() {
    let mut trial = trial();
    let ada = trial.connect(ip(ADA), 0);
    trial.ask(ada, &host("x", ADA, 1), 0);
    trial.ask(ada, &Request::List, 0);
    trial.settle();
    assert_eq!(trial.answers(ada), [hosted("x"), Response::Channels(vec![channel("x", ADA, 1)])]);
}

#[test]
fn a_message_after_host_in_one_write_finds_the_new_channel() {
    let mut trial = trial();
    let ada = trial.connect(ip(ADA), 0);
    trial.ask(ada, &host("x", "localhost", 22236), 0);
    trial.ask(ada, &say("m", Some("x")), 1);
    trial.ask(ada, &say("n", None), 2);
    trial.ask(ada, &Request::List, 2);
    trial.settle();
    let list = Response::Channels(vec![channel("x", "localhost", 22236)]);
    assert_eq!(trial.answers(ada), [hosted("x"), delivered(1), delivered(2), list]);
    assert_eq!(trial.disk.commits, 2);
}

#[test]
fn nothing_that_follows_a_failed_host_takes_it_for_done() {
    let mut trial = trial();
    let ada = trial.connect(ip(ADA), 0);
    trial.ask(ada, &host("x", "localhost", 22236), 0);
    trial.ask(ada, &say("m", Some("x")), 1);
    trial.ask(ada, &Request::List, 2);
    trial.store(Fate::Lost);
    trial.settle();
    let answer = refused("Channel not found", "The requested channel 'x' does not exist");
    assert_eq!(trial.answers(ada), [not_stored(), answer, Response::Channels(vec![])]);
}

#[test]
fn list_waits_for_the_messages_before_it_and_for_nobody_elses() {
    let (mut trial, ada, bob) = two_channels();
    trial.ask(ada, &say("m", None), 0);
    trial.ask(ada, &Request::List, 0);
    trial.ask(bob, &Request::List, 0);
    trial.drain();
    let listed = trial.model.listed();
    assert_eq!(trial.answers(bob), [Response::Channels(listed.clone())]);
    assert_eq!(trial.answers(ada), []);
    trial.store(Fate::Done);
    assert_eq!(trial.answers(ada), [delivered(0), Response::Channels(listed)]);
}

// The store fails.

#[test]
fn a_failed_commit_is_answered_in_the_protocols_words() {
    let (mut trial, ada, bob) = two_channels();
    trial.ask(ada, &say("m", None), 0);
    trial.ask(bob, &host("there", BOB, 1), 0);
    trial.store(Fate::Lost);
    let answer = Response::Error(ErrorResponse::server(
        "Database connection failed",
        "Unable to store message in channel database",
    ));
    assert_eq!((trial.answers(ada), trial.answers(bob)), (vec![answer.clone()], vec![answer]));
    assert_eq!(trial.command, Some(StoreCommand::Load));
}

#[test]
fn the_next_message_takes_the_number_of_the_one_that_failed() {
    let (mut trial, ada, bob) = two_channels();
    trial.ask(ada, &say("lost", None), 0);
    trial.store(Fate::Lost);
    trial.ask(bob, &say("kept", None), 0);
    trial.settle();
    assert_eq!((trial.answers(ada), trial.answers(bob)), (vec![not_stored()], vec![delivered(0)]));
    assert_eq!(trial.disk.find("kept").map(|message| message.id), Some(1));
}

#[test]
fn a_failed_commit_that_was_stored_in_truth_is_found_out() {
    let (mut trial, ada, bob) = two_channels();
    trial.ask(ada, &say("denied", None), 70);
    trial.ask(bob, &host("new", BOB, 1), 0);
    trial.store(Fate::Denied);
    trial.ask(ada, &say("next", None), 0);
    trial.settle();
    assert_eq!(trial.answers(ada), [not_stored(), delivered(70)]);
    assert_eq!(trial.disk.find("next").map(|message| message.id), Some(2));
    let names: Vec<_> = listed(&mut trial).into_iter().map(|channel| channel.channel_name).collect();
    assert_eq!((trial.answers(bob), names), (vec![not_stored()], vec!["here".to_owned(), "there".into(), "new".into()]));
}

#[test]
fn nothing_is_stored_until_the_store_can_be_read() {
    let (mut trial, ada, bob) = two_channels();
    trial.ask(ada, &say("a", None), 0);
    trial.store(Fate::Lost);
    trial.ask(bob, &say("b", None), 0);
    for round in 0..3 {
        assert_eq!(trial.command, Some(StoreCommand::Load));
        trial.store(Fate::Lost);
        assert_eq!(trial.answers(bob), [not_stored()]);
        // Nobody asks the store in vain while nothing waits.
        assert_eq!(trial.command, None);
        trial.ask(bob, &say(&format!("b {round}"), None), 0);
        trial.drain();
    }
    trial.settle();
    assert_eq!((trial.answers(bob), trial.answers(ada)), (vec![delivered(0)], vec![not_stored()]));
}

#[test]
fn list_is_answered_while_the_store_is_down() {
    let (mut trial, ada, _) = two_channels();
    trial.ask(ada, &say("a", None), 0);
    trial.store(Fate::Lost);
    trial.store(Fate::Lost);
    assert_eq!(trial.answers(ada), [not_stored()]);
    assert_eq!(listed(&mut trial), trial.model.listed());
}

#[test]
fn what_waited_is_decided_anew_after_the_store_was_read() {
    let (mut trial, ada, bob) = two_channels();
    trial.ask(ada, &host("here", ADA, 1), 0);
    trial.drain();
    // Decided by what was known then: it lives here.
    trial.ask(bob, &say("m", Some("here")), 0);
    trial.store(Fate::Denied);
    trial.settle();
    let answer = refused("Channel hosted elsewhere", "The channel 'here' is hosted at 10.0.0.9:1");
    assert_eq!((trial.answers(ada), trial.answers(bob)), (vec![not_stored()], vec![answer]));
}

#[test]
fn a_host_is_not_acknowledged_from_a_state_that_is_in_doubt() {
    for store_comes_back in [true, false] {
        let (mut trial, _, bob) = two_channels();
        trial.ask(bob, &host("there", BOB, 1), 0);
        trial.store(Fate::Denied);
        if !store_comes_back {
            trial.store(Fate::Lost);
        }
        // By what was known, this changes nothing. By what is stored, it does.
        trial.ask(bob, &host("there", BOB, 22240), 0);
        trial.settle();
        assert_eq!(trial.answers(bob), [not_stored(), hosted("there")]);
        let stored = trial.disk.channel("there").map(|record| record.channel.clone());
        assert_eq!(stored, Some(channel("there", BOB, 22240)));
    }
}

// Connections that go away.

#[test]
fn what_a_connection_that_left_asked_for_is_carried_out() {
    let mut trial = trial();
    let ada = trial.connect(ip(ADA), 0);
    trial.ask(ada, &host("x", "localhost", 22236), 0);
    trial.ask(ada, &say("m", None), 0);
    trial.drain();
    trial.disconnect(ada);
    trial.settle();
    assert_eq!(trial.disk.messages("x").len(), 1);
    assert_eq!(trial.hub.connections(), 0);
}

#[test]
fn a_connection_that_left_is_forgotten_when_its_request_is_decided_anew() {
    let (mut trial, ada, bob) = two_channels();
    trial.ask(ada, &host("here", ADA, 1), 0);
    trial.drain();
    trial.ask(bob, &say("m", Some("here")), 0);
    trial.disconnect(bob);
    trial.store(Fate::Denied);
    trial.store(Fate::Done);
    assert_eq!(trial.hub.connections(), 1);
}

// Wrong calls.

fn ticket(server: &mut Server) -> Ticket {
    server.handle_input(chanwire_core::Time::default(), b"LIST\r\n");
    let Some(ServerEvent::Request { ticket, .. }) = server.poll_event() else { panic!("a request") };
    ticket
}

#[test]
fn wrong_calls_are_told_and_change_nothing() {
    let mut hub = Hub::new(HubLimits::default(), Snapshot::default());
    let listener = hub.add_listener(vec![at("127.0.0.1", 22236)]);
    let mut server = Server::new(chanwire_core::Limits::server());
    let now = Timestamp::default();
    hub.connect(ConnectionId(1), ip(ADA), listener).unwrap();
    assert_eq!(hub.connect(ConnectionId(1), ip(BOB), listener), Err(Misuse::DuplicateConnection));
    let unknown = hub.handle_request(ConnectionId(2), ticket(&mut server), Request::List, now);
    assert_eq!(unknown, Err(Misuse::UnknownConnection));
    assert_eq!(hub.handle_outcome(StoreOutcome::Committed), Err(Misuse::UnexpectedOutcome));
    assert_eq!(hub.handle_outcome(StoreOutcome::Failed), Err(Misuse::UnexpectedOutcome));
    hub.handle_request(ConnectionId(1), ticket(&mut server), host("x", ADA, 1), now).unwrap();
    let Some(Effect::Store(StoreCommand::Commit(writes))) = hub.poll_effect() else { panic!("a commit") };
    assert!(matches!(&*writes, [Write::PutChannel(record)] if record.registered_from == ip(ADA)));
    let loaded = StoreOutcome::Loaded(Snapshot::default());
    assert_eq!(hub.handle_outcome(loaded), Err(Misuse::UnexpectedOutcome));
    assert_eq!(hub.poll_effect(), None);
    hub.handle_outcome(StoreOutcome::Committed).unwrap();
    assert!(matches!(hub.poll_effect(), Some(Effect::Answer { connection: ConnectionId(1), .. })));
    assert!(hub.is_idle());
}

//! The directory: listing, hosting and moving channels.

use super::*;

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
    // The store may return the directory in any order.
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
fn a_host_request_that_changes_nothing_writes_nothing() {
    let mut trial = trial();
    let (ada, bob) = (trial.connect(ip(ADA), 0), trial.connect(ip(BOB), 0));
    for (id, address) in
        [(ada, "LOCALHOST"), (ada, "localhost"), (bob, "127.0.0.1"), (bob, "::ffff:127.0.0.1"), (bob, "::1")]
    {
        assert_eq!(ask(&mut trial, id, &host("x", address, 22236)), [hosted("x")], "{address}");
    }
    assert_eq!((trial.disk.commits, listed(&mut trial)), (1, vec![channel("x", "LOCALHOST", 22236)]));
}

#[test]
fn a_host_request_from_elsewhere_cannot_move_a_channel() {
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
fn a_client_at_the_registered_address_may_move_a_channel() {
    let mut trial = trial();
    let (ada, bob) = (trial.connect(ip(ADA), 0), trial.connect(ip("::ffff:192.168.1.5"), 0));
    assert_eq!(ask(&mut trial, ada, &host("x", BOB, 1)), [hosted("x")]);
    assert_eq!(ask(&mut trial, bob, &host("x", BOB, 2)), [hosted("x")]);
    // Now it is registered from and at Bob's address, and Ada has no rights.
    let answer = refused("Channel already exists", "The channel 'x' is hosted at 192.168.1.5:2");
    assert_eq!(ask(&mut trial, ada, &host("x", BOB, 3)), [answer]);
}

#[test]
fn the_address_a_channel_was_registered_from_survives_a_restart() {
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
    // `localhost` needs no lookup.
    assert_eq!(ask(&mut trial, local, &host("local", "localhost", 2)), [hosted("local")]);
}

#[test]
fn a_mapped_loopback_is_localhost() {
    for loopback in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
        assert!(at("localhost", 1).is_at(ip(loopback)), "{loopback}");
    }
}

#[test]
fn of_two_host_requests_for_a_name_the_first_stored_wins() {
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
    // Those that are being stored count.
    trial.ask(ada, &host("a", ADA, 1), 0);
    trial.ask(bob, &host("b", BOB, 1), 0);
    trial.drain();
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
fn an_address_hosts_as_many_channels_as_its_limit_and_others_host_theirs() {
    let mut trial = Trial::start(Setup { address_channels: 2, ..setup() }, Disk::default());
    let full = refused("Limit reached", "An address may host at most 2 channels");
    let [ada, bob] = [ADA, BOB].map(|host| trial.connect(ip(host), 0));
    // All asked at once, so that those count which are not stored yet.
    for name in ["a", "b", "c"] {
        trial.ask(ada, &host(name, "peer.example", 1), 0);
    }
    trial.settle();
    assert_eq!(trial.answers(ada), [hosted("a"), hosted("b"), full.clone()]);
    assert_eq!(ask(&mut trial, bob, &host("c", "peer.example", 1)), [hosted("c")]);
    // A channel that is hosted already may be moved, and one that is removed makes room.
    assert_eq!(ask(&mut trial, ada, &host("a", "peer.example", 2)), [hosted("a")]);
    assert_eq!(ask(&mut trial, ada, &unhost("b")), [removed("b")]);
    assert_eq!(ask(&mut trial, ada, &host("d", "peer.example", 1)), [hosted("d")]);
    // After a restart those that are stored count.
    let mut trial = trial.crash(Fate::Done);
    let ada = trial.connect(ip(ADA), 0);
    assert_eq!(ask(&mut trial, ada, &host("e", "peer.example", 1)), [full]);
}

#[test]
fn a_channel_that_is_taken_over_counts_for_its_new_host() {
    let mut trial = Trial::start(Setup { address_channels: 1, ..setup() }, Disk::default());
    let [ada, bob] = [ADA, BOB].map(|host| trial.connect(ip(host), 0));
    assert_eq!(ask(&mut trial, ada, &host("a", BOB, 1)), [hosted("a")]);
    assert_eq!(ask(&mut trial, bob, &host("b", BOB, 2)), [hosted("b")]);
    let full = refused("Limit reached", "An address may host at most 1 channels");
    assert_eq!(ask(&mut trial, bob, &host("a", BOB, 3)), [full]);
    assert_eq!(ask(&mut trial, bob, &unhost("b")), [removed("b")]);
    assert_eq!(ask(&mut trial, bob, &host("a", BOB, 3)), [hosted("a")]);
    assert_eq!(ask(&mut trial, ada, &host("c", ADA, 3)), [hosted("c")]);
}

#[test]
fn an_ipv6_network_counts_as_one_address_and_the_operator_and_loopback_have_no_limit() {
    let mut trial = Trial::start(Setup { address_channels: 1, ..setup() }, Disk::default());
    let hosts = |trial: &mut Trial, id, name| ask(trial, id, &host(name, "peer.example", 1)) == [hosted(name)];
    let [one, same, other] =
        ["2001:db8:0:1::1", "2001:db8:0:1:ffff::", "2001:db8:0:2::1"].map(|host| trial.connect(ip(host), 0));
    assert_eq!(
        [(one, "a"), (same, "b"), (other, "c")].map(|(id, name)| hosts(&mut trial, id, name)),
        [true, false, true]
    );
    let (operator, local) = (trial.connect_operator(), trial.connect(ip("::ffff:127.0.0.9"), 0));
    for (id, names) in [(operator, ["d", "e"]), (local, ["f", "g"])] {
        assert!(names.iter().all(|name| hosts(&mut trial, id, name)));
    }
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
fn a_channel_fixed_during_a_commit_keeps_its_position_in_the_list() {
    let mut hub = Hub::new(HubLimits::default(), Snapshot::default(), Moment::default());
    let listener = hub.add_listener(&[at("127.0.0.1", 22236)]);
    hub.connect(ConnectionId(1), Peer::Address(ip(ADA)), Some(listener), Time::default()).unwrap();
    let mut server = Server::new(ConnectionId(1), chanwire_core::Limits::server());
    let request = host("x", ADA, 1);
    hub.handle_request(ConnectionId(1), ticket(&mut server), request, Moment::default()).unwrap();
    assert!(matches!(hub.poll_effect(), Some(Effect::Publish(_))));
    assert!(matches!(hub.poll_effect(), Some(Effect::Store(StoreCommand::Commit(_)))));
    hub.fix_channel(channel("general", "127.0.0.1", 22236));
    hub.handle_outcome(StoreOutcome::Committed, Time::default()).unwrap();
    hub.handle_request(ConnectionId(1), ticket(&mut server), Request::List, Moment::default()).unwrap();
    let mut last = None;
    while let Some(effect) = hub.poll_effect() {
        last = Some(effect);
    }
    let Some(Effect::Send(_, ServerCommand::Respond { reply, .. })) = last else { panic!("LIST is answered {last:?}") };
    let mut bytes = Vec::new();
    reply.encode(&mut bytes).unwrap();
    let list = String::from_utf8(bytes).unwrap();
    assert!(list.contains("general") && list.contains("\"x\""), "{list}");
}

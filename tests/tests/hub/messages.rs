//! The routing and storing of messages.

use super::*;

#[test]
fn a_message_without_a_name_goes_to_the_one_channel_of_the_address_it_was_sent_to() {
    let own = |port| vec![at("127.0.0.1", port)];
    let fixed = vec![channel("a", "127.0.0.1", 1), channel("b", "127.0.0.1", 2)];
    let mut trial = Trial::start(Setup { own: vec![own(1), own(2)], fixed, ..setup() }, Disk::default());
    let (first, second) = (trial.connect(ip(ADA), 0), trial.connect(ip(ADA), 1));
    trial.ask(first, &say("to a", None), 5);
    trial.ask(second, &say("to b", None), 5);
    trial.ask(second, &say("to a by name", Some("a")), 5);
    trial.settle();
    assert_eq!(trial.answers(second), [delivered(5), delivered(5)]);
    let said =
        |name| trial.disk.messages(name).iter().map(|message| message.message_content.clone()).collect::<Vec<_>>();
    assert_eq!((said("a"), said("b")), (vec!["to a".to_owned(), "to a by name".into()], vec!["to b".into()]));
}

#[test]
fn a_channel_at_any_spelling_of_a_local_address_lives_here() {
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
fn a_message_without_a_matching_channel_is_refused() {
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
    trial.set_local_addresses(0, own);
    assert_eq!(ask(&mut trial, bob, &say("m", None)), [delivered(0)]);
    assert_eq!(trial.disk.messages("there").len(), 1);
    let answer = refused("Channel hosted elsewhere", "The channel 'here' is hosted at 10.0.0.1:22236");
    assert_eq!(ask(&mut trial, bob, &say("n", Some("here"))), [answer]);
}

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
fn messages_received_during_a_commit_share_the_next_one() {
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
    // More than any commit carries, over as many connections as their own limit asks for.
    for part in 0..5 {
        let id = trial.connect(ip(ADA), 0);
        for round in 0..900 {
            trial.ask(id, &say(&format!("{part} {round}"), None), 0);
        }
    }
    let before = trial.disk.commits;
    trial.settle();
    assert!((2..10).contains(&(trial.disk.commits - before)), "{} commits", trial.disk.commits - before);
    for part in 0..5 {
        let said = trial.disk.messages("here").iter().map(|message| &message.message_content);
        let own = said.filter(|content| content.starts_with(&format!("{part} ")));
        assert!(own.eq(&(0..900).map(|round| format!("{part} {round}")).collect::<Vec<_>>()), "connection {part}");
    }
    assert_eq!(trial.answers(ada), []);
}

#[test]
fn channels_of_clients_do_not_take_the_operators_messages_without_a_name() {
    let fixed = vec![channel("news", "127.0.0.1", 22236), channel("far", BOB, 22240)];
    let mut trial = Trial::start(Setup { fixed, ..setup() }, Disk::default());
    let (ada, bob, operator) = (trial.connect(ip(ADA), 0), trial.connect(ip(BOB), 0), trial.connect_operator());
    for (number, name) in ["a", "n", "news2", "z"].iter().enumerate() {
        assert_eq!(ask(&mut trial, ada, &host(name, "10.0.0.1", 22236)), [hosted(name)]);
        assert_eq!(ask(&mut trial, bob, &say(&format!("to all {number}"), None)), [delivered(0)]);
        assert_eq!(ask(&mut trial, bob, &say(&format!("to {name}"), Some(name))), [delivered(0)]);
        assert_eq!(trial.disk.last_id(name), 1);
        // One comes to live here and leaves again.
        trial.set_local_addresses(0, vec![at("10.0.0.1", 22236)]);
        trial.set_local_addresses(0, vec![at("127.0.0.1", 22236), at("10.0.0.1", 22236)]);
    }
    assert_eq!(trial.disk.last_id("news"), 4);
    // A second one of the operator's makes the name needed; without any, all count.
    let required = refused("Invalid payload", "Missing required field 'channel_name'");
    assert_eq!(ask(&mut trial, operator, &unhost("news")), [removed("news")]);
    assert_eq!(ask(&mut trial, bob, &say("to whom?", None)), std::slice::from_ref(&required));
    for name in ["a", "n", "news2"] {
        assert_eq!(ask(&mut trial, ada, &unhost(name)), [removed(name)]);
    }
    assert_eq!(ask(&mut trial, bob, &say("finally to z", None)), [delivered(0)]);
    assert_eq!(trial.disk.last_id("z"), 2);

    let fixed = ["news", "more"].map(|name| channel(name, "127.0.0.1", 22236)).into();
    let mut trial = Trial::start(Setup { fixed, ..setup() }, Disk::default());
    let bob = trial.connect(ip(BOB), 0);
    assert_eq!(ask(&mut trial, bob, &say("to which?", None)), [required]);
}

//! UNHOST, moving away, and the operator: who may, and what becomes of those who joined.

use super::*;

fn channel_removed(name: &str) -> ErrorResponse {
    ErrorResponse::server("Channel removed", format!("The channel '{name}' is no longer hosted here"))
}

fn not_its_host(name: &str) -> Response {
    refused("Not the channel's host", &format!("Only its host may remove the channel '{name}'"))
}

#[test]
fn only_the_host_removes_a_channel() {
    // Carl registers it at Bob's address: both are its host, and Ada is not.
    const CARL: &str = "10.0.0.3";
    for (who, may) in [(ADA, false), (BOB, true), (CARL, true), ("::ffff:192.168.1.5", true), ("127.0.0.1", false)] {
        let mut trial = trial();
        let (carl, peer) = (trial.connect(ip(CARL), 0), trial.connect(ip(who), 0));
        ask(&mut trial, carl, &host("x", BOB, 1));
        let expected = if may { removed("x") } else { not_its_host("x") };
        assert_eq!(ask(&mut trial, peer, &unhost("x")), [expected], "{who}");
        assert_eq!((listed(&mut trial).is_empty(), trial.disk.channel("x").is_none()), (may, may));
        // Also after a restart.
        assert_eq!(listed(&mut trial.crash(Fate::Done)).is_empty(), may);
    }
}

#[test]
fn a_connection_without_address_rights_is_the_host_of_no_channel() {
    let not_allowed =
        [refused("Not allowed", "This connection has no address rights, so it may not host or remove channels")];
    let fixed = vec![channel("fixed", "127.0.0.1", 22236)];
    let mut trial = Trial::start(Setup { fixed: fixed.clone(), ..setup() }, Disk::default());
    let (ada, guest, operator) = (trial.connect(ip(ADA), 0), trial.connect_without_rights(0), trial.connect_operator());
    ask(&mut trial, ada, &host("ada", ADA, 1));
    // A channel without a client as its host: the operator registered it elsewhere.
    ask(&mut trial, operator, &host("free", "peer.example", 1));
    for name in ["ada", "free", "fixed", "new"] {
        // Also where a HOST would change nothing.
        assert_eq!(ask(&mut trial, guest, &host(name, ADA, 1)), not_allowed, "{name}");
        assert_eq!(ask(&mut trial, guest, &unhost(name)), not_allowed, "{name}");
    }
    assert_eq!(listed(&mut trial).len(), 3);
    // Everything else is as for others.
    let said = ask(&mut trial, guest, &say("hello", Some("fixed")));
    assert!(matches!(said.as_slice(), [Response::Delivered { .. }]), "{said:?}");
}

#[test]
fn names_are_never_looked_up_to_find_a_host() {
    let mut trial = trial();
    let (ada, local) = (trial.connect(ip(ADA), 0), trial.connect(ip("127.0.0.1"), 0));
    ask(&mut trial, ada, &host("x", "ip6-localhost", 1));
    assert_eq!(ask(&mut trial, local, &unhost("x")), [not_its_host("x")]);
}

#[test]
fn unknown_and_fixed_channels_cannot_be_removed() {
    let fixed = vec![channel("general", "127.0.0.1", 22236)];
    let mut trial = Trial::start(Setup { fixed: fixed.clone(), ..setup() }, Disk::default());
    let local = trial.connect(ip("127.0.0.1"), 0);
    let unknown = refused("Channel not found", "The requested channel 'gaming' does not exist");
    assert_eq!(ask(&mut trial, local, &unhost("gaming")), [unknown]);
    assert_eq!(ask(&mut trial, local, &unhost("general")), [not_its_host("general")]);
    assert_eq!((listed(&mut trial), trial.disk.commits), (fixed, 0));
}

#[test]
fn the_operator_may_move_and_remove_every_channel() {
    let (mut trial, ada, bob) = two_channels();
    let operator = trial.connect_operator();
    assert_eq!(ask(&mut trial, operator, &host("there", BOB, 7)), [hosted("there")]);
    assert_eq!(listed(&mut trial)[1], channel("there", BOB, 7));
    // At this address it is Bob's again, no matter which client moved it there.
    assert_eq!(ask(&mut trial, bob, &host("there", BOB, 8)), [hosted("there")]);
    assert_eq!(ask(&mut trial, operator, &unhost("here")), [removed("here")]);
    assert_eq!(ask(&mut trial, operator, &unhost("there")), [removed("there")]);
    assert_eq!(listed(&mut trial), []);
    // A channel that the operator registers elsewhere belongs to no client.
    assert_eq!(ask(&mut trial, operator, &host("x", "peer.example", 1)), [hosted("x")]);
    let trial = &mut trial.crash(Fate::Done);
    let (ada_again, operator) = (trial.connect(ip(ADA), 0), trial.connect_operator());
    assert_eq!(ask(trial, ada_again, &unhost("x")), [not_its_host("x")]);
    assert_eq!(ask(trial, operator, &unhost("x")), [removed("x")]);
    assert_ne!(ada, ada_again);
}

#[test]
fn the_operators_connection_is_at_no_listener() {
    let (mut trial, ..) = two_channels();
    let operator = trial.connect_operator();
    let answers = ask(&mut trial, operator, &say("to whom?", None));
    let [Response::Error(error)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(error.error, "Channel not found");
    assert_eq!(ask(&mut trial, operator, &say("named", Some("here"))), [delivered(0)]);
    assert_eq!(ask(&mut trial, operator, &join("here", JoinFrom::After(0))), [joined("here", 1, 1)]);
    assert_eq!(trial.received(operator), here([1]));
}

#[test]
fn a_channel_is_on_the_list_until_its_removal_is_stored() {
    let (mut trial, ada, _) = two_channels();
    trial.ask(ada, &unhost("here"), 0);
    trial.ask(ada, &Request::List, 0);
    trial.drain();
    assert_eq!((trial.answers(ada), listed(&mut trial).len()), (vec![], 2));
    trial.store(Fate::Done);
    let rest = Response::Channels(vec![channel("there", BOB, 22240)]);
    assert_eq!(trial.answers(ada), [removed("here"), rest]);
}

#[test]
fn a_removal_that_fails_changes_nothing() {
    let (mut trial, ada, bob) = two_channels();
    ask(&mut trial, bob, &listen("here"));
    trial.ask(ada, &unhost("here"), 0);
    trial.store(Fate::Lost);
    trial.settle();
    assert_eq!((trial.answers(ada), listed(&mut trial).len()), (vec![not_stored()], 2));
    assert_eq!(trial.closed(bob), None);
    say_many(&mut trial, ada, 1);
    assert_eq!(trial.received(bob), here([1]));
}

#[test]
fn a_removal_reported_as_failed_but_stored_closes_subscribers() {
    let (mut trial, ada, bob) = two_channels();
    ask(&mut trial, bob, &listen("here"));
    trial.ask(ada, &unhost("here"), 0);
    trial.store(Fate::Denied);
    trial.settle();
    assert_eq!((trial.answers(ada), trial.closed(bob)), (vec![not_stored()], Some(&channel_removed("here"))));
}

#[test]
fn the_ids_of_a_name_go_on_when_it_is_hosted_again_and_it_is_listed_last() {
    let (mut trial, ada, bob) = two_channels();
    say_many(&mut trial, ada, 3);
    assert_eq!(ask(&mut trial, ada, &unhost("here")), [removed("here")]);
    let unknown = refused("Channel not found", "The requested channel 'here' does not exist");
    assert_eq!(ask(&mut trial, bob, &join("here", JoinFrom::After(0))), [unknown]);
    assert_eq!(ask(&mut trial, bob, &host("here", "localhost", 22236)), [hosted("here")]);
    assert_eq!(ask(&mut trial, bob, &join("here", JoinFrom::After(1))), [joined("here", 2, 3)]);
    say_many(&mut trial, ada, 1);
    assert_eq!(trial.received(bob), here([2, 3, 4]));
    let names: Vec<_> = listed(&mut trial).into_iter().map(|channel| channel.channel_name).collect();
    assert_eq!(names, ["there", "here"]);
    // Now it is Bob's.
    assert_eq!(ask(&mut trial, ada, &unhost("here")), [not_its_host("here")]);
}

#[test]
fn subscribers_of_a_removed_channel_get_its_stored_messages_and_are_closed() {
    type Goes = fn(&mut Trial, u64);
    let ways: [Goes; 3] = [
        |trial, ada| trial.ask(ada, &unhost("here"), 0),
        |trial, ada| trial.ask(ada, &host("here", ADA, 9), 0),
        |trial, _| {
            trial.store(Fate::Done);
            trial.set_local_addresses(0, vec![at("10.0.0.7", 22236)]);
        },
    ];
    for goes in ways {
        let (mut trial, ada, _) = two_channels();
        say_many(&mut trial, ada, 3);
        let others: Vec<u64> = (0..3).map(|_| trial.connect(ip("203.0.113.9"), 0)).collect();
        let [live, replaying, other] = others[..] else { unreachable!() };
        ask(&mut trial, live, &listen("here"));
        trial.ask(replaying, &join("here", JoinFrom::After(0)), 0);
        trial.ask(ada, &say("with the last commit", Some("here")), 0);
        goes(&mut trial, ada);
        while trial.store(Fate::Done) {}
        // A live subscriber has everything, and one that is behind gets it first.
        assert_eq!(trial.closed(live), Some(&channel_removed("here")));
        assert_eq!((trial.closed(replaying), trial.closed(other)), (None, None));
        trial.settle();
        assert_eq!((trial.received(live), trial.received(replaying)), (here([4]), here(1..=4)));
        assert_eq!(trial.hub.joins(), 0);
    }
}

#[test]
fn a_message_to_a_changing_channel_is_decided_after_the_change() {
    type Changes = fn(&mut Trial, u64);
    let unknown = || refused("Channel not found", "The requested channel 'here' does not exist");
    let moved = || refused("Channel hosted elsewhere", "The channel 'here' is hosted at 10.0.0.9:9");
    let nowhere = || refused("Channel not found", "The message names no channel and 127.0.0.1:22236 hosts none");
    let removes: Changes = |trial, ada| trial.ask(ada, &unhost("here"), 0);
    let moves: Changes = |trial, ada| trial.ask(ada, &host("here", ADA, 9), 0);
    let lets_go: Changes = |trial, _| trial.pass(11);
    for (changes, named) in [(removes, unknown()), (moves, moved()), (lets_go, unknown())] {
        for waits in [false, true] {
            let (mut trial, ada, bob) = two_channels();
            ask(&mut trial, ada, &leased("here", "10.0.0.1", 22236, 10));
            let [one, two] = [(); 2].map(|()| trial.connect(ip("203.0.113.9"), 0));
            ask(&mut trial, one, &listen("here"));
            if waits {
                // The change comes after another commit.
                trial.ask(bob, &say("before", Some("here")), 0);
                trial.drain();
            }
            changes(&mut trial, ada);
            if waits {
                trial.store(Fate::Done);
            }
            trial.drain();
            trial.ask(bob, &say("to the channel", Some("here")), 0);
            trial.ask(two, &say("to whichever there is", None), 0);
            while trial.store(Fate::Done) {}
            let before = waits.then(|| delivered(0));
            assert_eq!(trial.answers(bob), before.into_iter().chain([named.clone()]).collect::<Vec<_>>());
            assert_eq!(trial.answers(two), [nowhere()]);
            assert_eq!(
                (trial.received(one), trial.closed(one)),
                (here(1..=waits.into()), Some(&channel_removed("here")))
            );
        }
    }
}

#[test]
fn a_message_waits_only_for_the_removal_of_its_own_channel() {
    let (mut trial, ada, bob) = two_channels();
    ask(&mut trial, ada, &host("another", "10.0.0.1", 22236));
    let carl = trial.connect(ip("203.0.113.9"), 0);
    trial.ask(ada, &unhost("another"), 0);
    trial.drain();
    trial.ask(carl, &say("there", Some("another")), 0);
    trial.drain();
    trial.ask(bob, &say("here", Some("here")), 0);
    trial.store(Fate::Lost);
    trial.settle();
    // The failed removal has changed nothing.
    assert_eq!(trial.answers(ada), [not_stored()]);
    assert_eq!((trial.answers(bob), trial.answers(carl)), (vec![delivered(0)], vec![delivered(0)]));
}

#[test]
fn removing_a_local_address_loses_no_pending_message() {
    let (mut trial, ada, bob) = two_channels();
    let carl = trial.connect(ip("203.0.113.9"), 0);
    ask(&mut trial, carl, &listen("here"));
    trial.ask(ada, &say("with the store", Some("here")), 0);
    trial.drain();
    trial.ask(bob, &say("waits", Some("here")), 0);
    trial.ask(bob, &Request::List, 0);
    trial.set_local_addresses(0, vec![at("10.0.0.7", 22236)]);
    let elsewhere = refused("Channel hosted elsewhere", "The channel 'here' is hosted at 10.0.0.1:22236");
    assert_eq!(trial.closed(carl), None);
    trial.store(Fate::Done);
    assert_eq!(trial.answers(bob)[..1], [elsewhere]);
    assert_eq!((trial.answers(ada), trial.received(carl)), (vec![delivered(0)], here([1])));
    assert_eq!(trial.closed(carl), Some(&channel_removed("here")));
}

#[test]
fn removing_a_local_address_closes_subscribers_also_while_the_store_fails() {
    let (mut trial, ada, bob) = two_channels();
    ask(&mut trial, bob, &listen("here"));
    trial.ask(ada, &say("with the store", Some("here")), 0);
    trial.drain();
    trial.set_local_addresses(0, vec![at("10.0.0.7", 22236)]);
    trial.store(Fate::Lost);
    assert_eq!(trial.closed(bob), None);
    trial.store(Fate::Lost);
    assert_eq!((trial.answers(ada), trial.closed(bob)), (vec![not_stored()], Some(&channel_removed("here"))));
}

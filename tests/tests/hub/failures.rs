//! The store fails, or the server stops.

use chanwire_core::Limits;

use super::*;

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
    // Only what it was about is in doubt.
    assert_eq!(trial.command, Some(StoreCommand::Load(vec!["here".parse().unwrap(), "there".parse().unwrap()])));
}

#[test]
fn the_next_message_gets_the_id_of_the_one_that_failed() {
    let (mut trial, ada, bob) = two_channels();
    trial.ask(ada, &say("lost", None), 0);
    trial.store(Fate::Lost);
    trial.ask(bob, &say("kept", None), 0);
    trial.settle();
    assert_eq!((trial.answers(ada), trial.answers(bob)), (vec![not_stored()], vec![delivered(0)]));
    assert_eq!(trial.disk.find("kept").map(|message| message.id), Some(1));
}

#[test]
fn a_commit_reported_as_failed_but_stored_is_detected_on_reload() {
    let (mut trial, ada, bob) = two_channels();
    trial.ask(ada, &say("denied", None), 70);
    trial.ask(bob, &host("new", BOB, 1), 0);
    trial.store(Fate::Denied);
    trial.ask(ada, &say("next", None), 0);
    trial.settle();
    assert_eq!(trial.answers(ada), [not_stored(), delivered(70)]);
    assert_eq!(trial.disk.find("next").map(|message| message.id), Some(2));
    let names: Vec<_> = listed(&mut trial).into_iter().map(|channel| channel.channel_name).collect();
    assert_eq!((trial.answers(bob), names), (vec![not_stored()], ["here", "there", "new"].map(named).into()));
}

#[test]
fn nothing_is_stored_until_the_store_can_be_read() {
    let (mut trial, ada, bob) = two_channels();
    trial.ask(ada, &say("a", None), 0);
    trial.store(Fate::Lost);
    trial.ask(bob, &say("b", None), 0);
    for round in 0..3 {
        assert_eq!(trial.command, Some(StoreCommand::Load(vec!["here".parse().unwrap()])));
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
fn pending_requests_are_decided_anew_after_a_reload() {
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
fn a_host_is_not_acknowledged_before_the_state_is_reloaded() {
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

#[test]
fn messages_dropped_after_a_reload_stay_dropped() {
    for fate in [Fate::Lost, Fate::Denied] {
        let (mut trial, ada, bob) = two_channels();
        say_many(&mut trial, ada, 5);
        trial.ask(ada, &say("fails", Some("here")), 0);
        trial.store(fate);
        // The store is read, then retention drops messages and says so, and then the hub hears what was read.
        trial.store_and(Fate::Done, |trial| trial.trim("here", 4, true));
        let last_id = trial.disk.last_id("here");
        assert_eq!(ask(&mut trial, bob, &join("here", JoinFrom::After(0))), [joined("here", 4, last_id)]);
        assert_eq!(trial.received(bob), here(4..=last_id));
    }
}

#[test]
fn a_failed_commit_of_other_names_leaves_a_name_unchanged() {
    let (mut trial, ada, bob) = two_channels();
    say_many(&mut trial, ada, 2);
    trial.ask(bob, &host("third", BOB, 3), 0);
    trial.store(Fate::Denied);
    // While that is read back, what is known of `here` serves everybody.
    assert_eq!(trial.command, Some(StoreCommand::Load(vec!["third".parse().unwrap()])));
    trial.ask(ada, &listen("here"), 0);
    trial.drain();
    assert_eq!(trial.answers(ada), [joined("here", 3, 2)]);
    trial.settle();
    assert_eq!((trial.answers(bob), listed(&mut trial).len()), (vec![not_stored()], 3));
}

#[test]
fn a_refused_commit_is_not_read_back() {
    let (mut trial, ada, bob) = two_channels();
    trial.pass(1);
    trial.ask(ada, &say("refused", None), 0);
    trial.ask(bob, &host("there", BOB, 1), 0);
    trial.store(Fate::Refused);
    assert_eq!((trial.answers(ada), trial.answers(bob)), (vec![not_stored()], vec![not_stored()]));
    assert_eq!(trial.command, None);
    // The known state is unchanged, so this request changes nothing and stores nothing.
    assert_eq!(ask(&mut trial, bob, &host("there", BOB, 22240)), [hosted("there")]);
    assert_eq!(ask(&mut trial, ada, &say("next", None)), [delivered(0)]);
    assert_eq!(trial.disk.find("next").map(|message| message.id), Some(1));
}

#[test]
fn a_lease_whose_end_is_refused_ends_later() {
    let mut trial = trial();
    let ada = trial.connect(ip(ADA), 0);
    assert_eq!(ask(&mut trial, ada, &leased("x", ADA, 1, 10)), [hosted("x")]);
    trial.pass(10);
    trial.store(Fate::Refused);
    assert_eq!((trial.command.clone(), listed(&mut trial).len()), (None, 1));
    trial.pass(4);
    assert_eq!(trial.command, None);
    trial.pass(1);
    trial.settle();
    assert_eq!(listed(&mut trial), []);
}

/// Returns a hub with a commit at the store and requests that wait for it.
fn stopping() -> (Hub, StoreCommand) {
    let mut hub = Hub::new(HubLimits::default(), Snapshot::default(), Moment::default());
    let listener = hub.add_listener(&[at("127.0.0.1", 22236)]);
    hub.fix_channel(channel("here", "127.0.0.1", 22236));
    for id in 0..3 {
        hub.connect(ConnectionId(id), Peer::Address(ip(ADA)), Some(listener), Time::default()).unwrap();
    }
    let mut commands = Vec::new();
    let mut send = |hub: &mut Hub, id, request| {
        let ticket = ticket(&mut Server::new(ConnectionId(id), Limits::server()));
        hub.handle_request(ConnectionId(id), ticket, request, Moment::default()).unwrap();
        while let Some(effect) = hub.poll_effect() {
            if let Effect::Store(command) = effect {
                commands.push(command);
            }
        }
    };
    send(&mut hub, 0, host("0", ADA, 1));
    for number in 1..1000_u16 {
        send(&mut hub, 0, host(&number.to_string(), ADA, number));
        send(&mut hub, 1, host("0", ADA, number));
        send(&mut hub, 1, history("here", HistoryRange::Last, 1));
        send(&mut hub, 2, say("m", Some("here")));
    }
    hub.disconnect(ConnectionId(2));
    assert!(!hub.is_idle());
    assert_eq!(commands.len(), 1);
    (hub, commands.remove(0))
}

#[test]
fn a_stopping_hub_decides_only_the_writes_that_are_with_the_store() {
    for outcome in [StoreOutcome::Committed, StoreOutcome::Failed, StoreOutcome::Refused] {
        let (mut hub, command) = stopping();
        let StoreCommand::Commit(writes) = command else { panic!("{command:?}") };
        hub.stop();
        let mut disconnected = Vec::new();
        let mut answers = 0;
        let mut carry_out = |hub: &mut Hub| {
            while let Some(effect) = hub.poll_effect() {
                match effect {
                    Effect::Send(ConnectionId(0), ServerCommand::Respond { .. }) => answers += 1,
                    Effect::Disconnected(id) => disconnected.push(id),
                    Effect::Publish(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        carry_out(&mut hub);
        assert!(!hub.is_idle());
        let late = Moment { time: Time::from_millis(1_000_000), ..Moment::default() };
        hub.handle_outcome(outcome, late.time).unwrap();
        // Requests that come late are dropped, and time brings nothing.
        let ticket = ticket(&mut Server::new(ConnectionId(1), Limits::server()));
        hub.handle_request(ConnectionId(1), ticket, host("late", ADA, 1), late).unwrap();
        hub.handle_timeout(late.time);
        carry_out(&mut hub);
        assert_eq!((hub.is_idle(), hub.poll_timeout()), (true, None));
        assert_eq!((writes.len(), answers, disconnected), (1, 1, vec![ConnectionId(2)]));
        assert_eq!(hub.connections(), 2);
    }
}

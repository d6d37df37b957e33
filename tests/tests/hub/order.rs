//! The order of effects, connections that go away, and wrong calls.

use super::*;

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
fn requests_after_a_failed_host_do_not_see_its_channel() {
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
fn list_waits_only_for_its_connections_earlier_messages() {
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

#[test]
fn requests_of_a_closed_connection_are_carried_out() {
    let mut trial = trial();
    let ada = trial.connect(ip(ADA), 0);
    trial.ask(ada, &host("x", "localhost", 22236), 0);
    trial.ask(ada, &say("m", None), 0);
    trial.drain();
    trial.disconnect(ada);
    // It keeps its place until all is done: the HOST is with the store, and then the MESSAGE.
    trial.store(Fate::Done);
    assert!(trial.released.is_empty());
    trial.settle();
    assert_eq!(trial.disk.messages("x").len(), 1);
    assert_eq!(trial.hub.connections(), 0);
    assert!(trial.released.contains(&ada));
}

#[test]
fn a_closed_connection_is_released_when_its_request_is_decided_anew() {
    let (mut trial, ada, bob) = two_channels();
    trial.ask(ada, &host("here", ADA, 1), 0);
    trial.drain();
    trial.ask(bob, &say("m", Some("here")), 0);
    trial.disconnect(bob);
    trial.store(Fate::Denied);
    trial.store(Fate::Done);
    assert_eq!(trial.hub.connections(), 1);
    assert!(trial.released.contains(&bob));
}

#[test]
fn invalid_calls_are_errors_and_change_nothing() {
    let mut hub = Hub::new(HubLimits::default(), Snapshot::default(), Moment::default());
    let listener = hub.add_listener(&[at("127.0.0.1", 22236)]);
    let mut server = Server::new(ConnectionId(1), chanwire_core::Limits::server());
    let (now, start) = (Moment::default(), Time::default());
    let from = |peer| Peer::Address(ip(peer));
    hub.connect(ConnectionId(1), from(ADA), Some(listener), Time::default()).unwrap();
    assert_eq!(
        hub.connect(ConnectionId(1), from(BOB), Some(listener), Time::default()),
        Err(Misuse::DuplicateConnection)
    );
    let unknown = hub.handle_request(ConnectionId(2), ticket(&mut server), Request::List, now);
    assert_eq!(unknown, Err(Misuse::UnknownConnection));
    assert_eq!(hub.handle_outcome(StoreOutcome::Committed, start), Err(Misuse::UnexpectedOutcome));
    assert_eq!(hub.handle_outcome(StoreOutcome::Failed, start), Err(Misuse::UnexpectedOutcome));
    hub.handle_request(ConnectionId(1), ticket(&mut server), host("x", ADA, 1), now).unwrap();
    assert!(matches!(hub.poll_effect(), Some(Effect::Publish(_))));
    let Some(Effect::Store(StoreCommand::Commit(writes))) = hub.poll_effect() else { panic!("a commit") };
    assert!(matches!(&writes[..], [Write::PutChannel(record)] if record.registered_from == Some(ip(ADA))));
    let loaded = StoreOutcome::Loaded(Snapshot::default());
    assert_eq!(hub.handle_outcome(loaded, start), Err(Misuse::UnexpectedOutcome));
    assert_eq!(hub.poll_effect(), None);
    hub.handle_outcome(StoreOutcome::Committed, start).unwrap();
    assert!(matches!(hub.poll_effect(), Some(Effect::Publish(_))));
    assert!(matches!(hub.poll_effect(), Some(Effect::Send(ConnectionId(1), ServerCommand::Respond { .. }))));
    // Unknown ids have no effect.
    hub.handle_drained(ConnectionId(9));
    hub.handle_trimmed(&named("x"), 7, Time::default());
    hub.disconnect(ConnectionId(9));
    assert_eq!((hub.poll_effect(), hub.joins(), hub.connections()), (None, 0, 1));
    assert!(hub.is_idle());
}

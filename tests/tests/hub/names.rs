//! Names: how many are known, and when they are forgotten.

use super::*;

/// Returns a server that knows three names at most, of which one has had a message.
fn with_name(drop_names_after: u64) -> (Trial, u64) {
    let mut trial = Trial::start(Setup { names: 3, drop_names_after, ..setup() }, Disk::default());
    let ada = trial.connect(ip(ADA), 0);
    ask(&mut trial, ada, &host("here", "10.0.0.1", 22236));
    say_many(&mut trial, ada, 3);
    (trial, ada)
}

#[test]
fn known_names_are_limited_and_stay_usable_at_the_limit() {
    let (mut trial, ada) = with_name(1000);
    let full = refused("Limit reached", "A server knows at most 3 names");
    assert_eq!(ask(&mut trial, ada, &unhost("here")), [removed("here")]);
    for name in ["a", "b"] {
        assert_eq!(ask(&mut trial, ada, &host(name, ADA, 1)), [hosted(name)]);
    }
    assert_eq!(ask(&mut trial, ada, &host("c", ADA, 1)), std::slice::from_ref(&full));
    assert_eq!(ask(&mut trial, ada, &host("here", "10.0.0.1", 22236)), [hosted("here")]);
    say_many(&mut trial, ada, 1);
    assert_eq!(ask(&mut trial, ada, &host("c", ADA, 1)), std::slice::from_ref(&full));
    // A name without messages is dropped with its channel.
    assert_eq!(ask(&mut trial, ada, &unhost("a")), [removed("a")]);
    assert_eq!(ask(&mut trial, ada, &host("c", ADA, 1)), [hosted("c")]);
    let mut trial = trial.crash(Fate::Done);
    let ada = trial.connect(ip(ADA), 0);
    assert_eq!((trial.hub.names(), ask(&mut trial, ada, &host("d", ADA, 1))), (3, vec![full]));
}

#[test]
fn only_a_new_name_over_the_limit_is_refused() {
    let mut trial = Trial::start(Setup { names: 2, max_id: 2, ..setup() }, Disk::default());
    let clients = [ADA, BOB, "192.0.2.7"].map(|from| trial.connect(ip(from), 0));
    ask(&mut trial, clients[0], &host("here", "10.0.0.1", 22236));
    // Everybody asks before the store is given anything.
    let asked = [host("a", ADA, 1), say("one", Some("here")), host("b", ADA, 1)];
    clients.iter().zip(&asked).for_each(|(id, request)| trial.ask(*id, request, 0));
    trial.settle();
    let full = refused("Limit reached", "A server knows at most 2 names");
    assert_eq!(clients.map(|id| trial.answers(id)), [[hosted("a")], [delivered(0)], [full]].map(Vec::from));
    // The last id is given to one of them.
    let asked = [say("two", Some("here")), say("three", Some("here")), host("a", ADA, 1)];
    clients.iter().zip(&asked).for_each(|(id, request)| trial.ask(*id, request, 0));
    trial.ask(clients[0], &unhost("a"), 0);
    trial.settle();
    let full = refused("Limit reached", "The channel 'here' has had 2 messages");
    assert_eq!(clients.map(|id| trial.answers(id)), [vec![delivered(0), removed("a")], vec![full], vec![hosted("a")]]);
    assert_eq!((trial.disk.last_id("here"), trial.disk.channel("a")), (2, None));
}

#[test]
fn an_unlisted_name_without_messages_is_dropped_and_begins_anew() {
    let (mut trial, ada) = with_name(1000);
    trial.pass(5000);
    ask(&mut trial, ada, &unhost("here"));
    // It keeps messages.
    trial.pass(5000);
    trial.settle();
    trial.trim("here", 3, true);
    trial.pass(5000);
    assert_eq!((trial.hub.names(), trial.hub.poll_timeout()), (1, None));
    trial.trim("here", 4, true);
    trial.pass(999);
    assert_eq!(trial.command, None);
    // Hosted again it is known for longer, and its ids go on.
    ask(&mut trial, ada, &host("here", "10.0.0.1", 22236));
    trial.pass(5000);
    say_many(&mut trial, ada, 1);
    trial.trim("here", 5, true);
    assert_eq!(ask(&mut trial, ada, &unhost("here")), [removed("here")]);
    trial.pass(999);
    assert_eq!((trial.hub.names(), trial.command.clone()), (1, None));
    trial.pass(1);
    // It is known until that is stored.
    assert_eq!((trial.hub.names(), trial.disk.snapshot().logs.len()), (1, 1));
    trial.settle();
    assert_eq!((trial.hub.names(), trial.disk.snapshot().logs.len()), (0, 0));
    assert_eq!(ask(&mut trial, ada, &host("here", "10.0.0.1", 22236)), [hosted("here")]);
    let beyond = refused("Invalid payload", "Field 'after' is beyond the last id 0");
    assert_eq!(ask(&mut trial, ada, &join("here", JoinFrom::After(4))), [beyond]);
    assert_eq!(ask(&mut trial, ada, &say("anew", Some("here"))), [delivered(0)]);
    assert_eq!(trial.disk.last_id("here"), 1);
}

#[test]
fn the_time_until_a_name_is_dropped_continues_across_a_restart() {
    let (mut trial, ada) = with_name(1000);
    trial.trim("here", 4, true);
    ask(&mut trial, ada, &unhost("here"));
    for _ in 0..3 {
        trial.pass(300);
        trial = trial.crash(Fate::Done);
        assert_eq!(trial.hub.names(), 1);
    }
    trial.pass(99);
    assert_eq!(trial.command, None);
    trial.pass(1);
    trial.settle();
    assert_eq!(trial.hub.names(), 0);
    assert_eq!(trial.crash(Fate::Done).hub.names(), 0);
}

#[test]
fn a_name_emptied_without_notice_to_the_hub_is_dropped_after_a_restart() {
    let (mut trial, ada) = with_name(1000);
    ask(&mut trial, ada, &unhost("here"));
    trial.pass(500);
    trial.trim("here", 4, false);
    trial.pass(5000);
    assert_eq!((trial.hub.names(), trial.command.clone()), (1, None));
    let mut trial = trial.crash(Fate::Done);
    trial.pass(0);
    trial.settle();
    assert_eq!(trial.hub.names(), 0);
}

#[test]
fn a_failed_store_drops_no_name_early_and_the_drop_is_retried() {
    for fate in [Fate::Lost, Fate::Denied] {
        let (mut trial, ada) = with_name(1000);
        trial.trim("here", 4, true);
        ask(&mut trial, ada, &unhost("here"));
        trial.pass(1000);
        trial.store(fate);
        trial.settle();
        for _ in 0..3 {
            trial.pass(5);
            trial.settle();
        }
        assert_eq!((trial.hub.names(), trial.disk.snapshot().logs.len()), (0, 0));
    }
}

#[test]
fn a_fixed_name_is_never_dropped() {
    let fixed = vec![channel("here", "127.0.0.1", 22236)];
    let mut trial = Trial::start(Setup { fixed, drop_names_after: 1000, ..setup() }, Disk::default());
    let ada = trial.connect(ip(ADA), 0);
    say_many(&mut trial, ada, 3);
    trial.trim("here", 4, true);
    for _ in 0..2 {
        trial.pass(100_000);
        trial.settle();
        assert_eq!((trial.hub.names(), trial.disk.last_id("here")), (1, 3));
        trial = trial.crash(Fate::Done);
    }
}

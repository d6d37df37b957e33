//! Leases: for how long a channel stays on the list.

use super::*;

fn names(trial: &mut Trial) -> Vec<ChannelName> {
    listed(trial).into_iter().map(|channel| channel.channel_name).collect()
}

/// Ada has hosted `x` with a lease of 30 s, and 20 s have passed.
fn with_lease() -> (Trial, u64) {
    let mut trial = trial();
    let ada = trial.connect(ip(ADA), 0);
    assert_eq!(ask(&mut trial, ada, &leased("x", ADA, 1, 30)), [hosted("x")]);
    trial.pass(20);
    (trial, ada)
}

/// Returns the number of seconds after which the hub wants to be woken.
fn wake(trial: &Trial) -> Option<u64> {
    trial.hub.poll_timeout().map(|at| at.since(trial.now).as_secs())
}

#[test]
fn a_channel_whose_lease_has_ended_is_taken_off_the_list_durably() {
    let (mut trial, _) = with_lease();
    assert_eq!(wake(&trial), Some(10));
    trial.pass(9);
    assert_eq!((trial.command.clone(), names(&mut trial).len()), (None, 1));
    trial.pass(1);
    // It is there until that is stored.
    assert_eq!(names(&mut trial).len(), 1);
    trial.settle();
    assert_eq!((names(&mut trial).len(), trial.disk.channel("x"), wake(&trial)), (0, None, Some(60)));
    assert_eq!(names(&mut trial.crash(Fate::Done)).len(), 0);
}

#[test]
fn the_host_renews_its_lease_and_nothing_is_written_for_that() {
    let (mut trial, ada) = with_lease();
    let commits = trial.disk.commits;
    for _ in 0..5 {
        assert_eq!(ask(&mut trial, ada, &leased("x", ADA, 1, 30)), [hosted("x")]);
        assert_eq!(wake(&trial), Some(30));
        trial.pass(29);
    }
    assert_eq!((names(&mut trial).len(), trial.disk.commits), (1, commits));
    trial.pass(1);
    trial.settle();
    assert_eq!(names(&mut trial).len(), 0);
}

#[test]
fn only_the_host_renews_or_sets_its_lease() {
    let (mut trial, _) = with_lease();
    let (bob, commits) = (trial.connect(ip(BOB), 0), trial.disk.commits);
    for request in [leased("x", ADA, 1, 30), host("x", ADA, 1), leased("x", ADA, 1, 86_400)] {
        assert_eq!(ask(&mut trial, bob, &request), [hosted("x")]);
    }
    assert_eq!((wake(&trial), trial.disk.commits), (Some(10), commits));
    trial.pass(10);
    trial.settle();
    assert_eq!(names(&mut trial).len(), 0);
}

#[test]
fn a_host_without_a_lease_ends_the_lease() {
    let (mut trial, ada) = with_lease();
    assert_eq!(ask(&mut trial, ada, &host("x", ADA, 1)), [hosted("x")]);
    assert_eq!(wake(&trial), None);
    trial.pass(1_000_000);
    trial.settle();
    let mut trial = trial.crash(Fate::Done);
    trial.pass(1_000_000);
    trial.settle();
    assert_eq!(names(&mut trial).len(), 1);
}

#[test]
fn a_lease_may_be_set_later_and_changed() {
    let (mut trial, ada, bob) = two_channels();
    assert_eq!(wake(&trial), None);
    for (lease, commits) in [(60, 1), (60, 0), (10, 1), (86_400, 1)] {
        let before = trial.disk.commits;
        assert_eq!(ask(&mut trial, ada, &leased("here", "10.0.0.1", 22236, lease)), [hosted("here")]);
        assert_eq!((wake(&trial), trial.disk.commits - before), (Some(lease.into()), commits));
    }
    // The one that ends first is the one that is waited for.
    assert_eq!(ask(&mut trial, bob, &leased("there", BOB, 22240, 20)), [hosted("there")]);
    assert_eq!(wake(&trial), Some(20));
}

#[test]
fn setting_a_lease_changes_neither_how_it_is_listed_nor_whose_it_is() {
    let mut trial = trial();
    let (ada, local) = (trial.connect(ip(ADA), 0), trial.connect(ip("127.0.0.1"), 0));
    let operator = trial.connect_operator();
    ask(&mut trial, ada, &host("x", "LocalHost", 1));
    for (id, lease) in [(local, 10), (operator, 20)] {
        assert_eq!(ask(&mut trial, id, &leased("x", "127.0.0.1", 1, lease)), [hosted("x")]);
    }
    assert_eq!((wake(&trial), listed(&mut trial)), (Some(20), vec![channel("x", "LocalHost", 1)]));
    assert_eq!(ask(&mut trial, ada, &unhost("x")), [removed("x")]);
}

#[test]
fn after_a_restart_a_lease_counts_from_the_start() {
    let (trial, _) = with_lease();
    let mut trial = trial.crash(Fate::Done);
    assert_eq!(wake(&trial), Some(30));
    trial.pass(30);
    trial.settle();
    assert_eq!(names(&mut trial).len(), 0);
}

#[test]
fn a_failed_store_delays_the_end_of_a_lease_and_it_is_retried() {
    for fate in [Fate::Lost, Fate::Denied] {
        let (mut trial, _) = with_lease();
        trial.pass(10);
        // The commit fails, and so does reading the store back.
        trial.store(fate);
        trial.store(Fate::Lost);
        assert_eq!(names(&mut trial).len(), 1);
        let (mut waited, mut wakes) = (0, 0);
        while names(&mut trial).len() == 1 {
            let seconds = wake(&trial).unwrap();
            (waited, wakes) = (waited + seconds, wakes + 1);
            trial.pass(seconds);
            trial.settle();
        }
        assert!((1..=30).contains(&waited) && wakes <= 3, "{wakes} times in {waited} s");
        assert_eq!(trial.disk.channel("x"), None);
    }
}

#[test]
fn a_lease_whose_end_failed_ends_later_also_after_a_reload() {
    for fate in [Fate::Lost, Fate::Denied] {
        let (mut trial, ada) = with_lease();
        ask(&mut trial, ada, &leased("y", ADA, 2, 40));
        trial.pass(10);
        trial.store(fate);
        trial.store(Fate::Done);
        let mut waited = 0;
        while trial.disk.channel("x").is_some() {
            // It is looked at again soon, and not all the time.
            let seconds = wake(&trial).unwrap();
            assert!((1..=10).contains(&seconds), "{seconds} s");
            waited += seconds;
            trial.pass(seconds);
            trial.settle();
        }
        assert!(waited <= 10, "{waited} s");
        // The other one goes on as if nothing had been.
        assert_eq!((names(&mut trial), wake(&trial)), (vec!["y".parse().unwrap()], Some(30 - waited)));
    }
}

#[test]
fn a_lease_goes_on_when_its_channel_is_reloaded() {
    for fate in [Fate::Lost, Fate::Denied] {
        let mut trial = trial();
        let ada = trial.connect(ip(ADA), 0);
        ask(&mut trial, ada, &leased("here", "10.0.0.1", 22236, 30));
        trial.pass(20);
        trial.ask(ada, &say("m", Some("here")), 0);
        trial.store(fate);
        trial.settle();
        assert_eq!((trial.answers(ada), wake(&trial)), (vec![not_stored()], Some(10)));
        trial.pass(10);
        trial.settle();
        assert_eq!(names(&mut trial).len(), 0);
    }
}

#[test]
fn subscribers_are_closed_when_a_lease_ends() {
    let (mut trial, ada, bob) = two_channels();
    ask(&mut trial, ada, &leased("here", "10.0.0.1", 22236, 10));
    ask(&mut trial, bob, &listen("here"));
    say_many(&mut trial, ada, 1);
    trial.pass(10);
    trial.settle();
    let error = ErrorResponse::server("Channel removed", "The channel 'here' is no longer hosted here");
    assert_eq!((trial.received(bob), trial.closed(bob)), (here([1]), Some(&error)));
}

#[test]
fn a_host_that_comes_while_the_removal_is_stored_registers_anew() {
    let (mut trial, ada) = with_lease();
    trial.pass(10);
    trial.ask(ada, &leased("x", ADA, 1, 30), 0);
    trial.drain();
    assert_eq!(trial.answers(ada), []);
    trial.settle();
    assert_eq!(
        (trial.answers(ada), names(&mut trial), wake(&trial)),
        (vec![hosted("x")], vec!["x".parse().unwrap()], Some(30))
    );
}

#[test]
fn a_lease_counts_from_the_last_host_received_though_an_earlier_one_sets_it() {
    let mut trial = trial();
    let (ada, again) = (trial.connect(ip(ADA), 0), trial.connect(ip(ADA), 0));
    // The lease waits behind another channel.
    trial.ask(ada, &host("y", ADA, 2), 0);
    trial.ask(ada, &leased("x", ADA, 1, 30), 0);
    trial.pass(20);
    trial.ask(again, &host("x", ADA, 1), 0);
    trial.settle();
    assert_eq!((trial.answers(ada), trial.answers(again)), (vec![hosted("y"), hosted("x")], vec![hosted("x")]));
    assert_eq!((trial.disk.channel("x").and_then(|record| record.lease), wake(&trial)), (Some(30), Some(30)));
}

#[test]
fn moving_a_channel_sets_its_lease_anew() {
    let (mut trial, ada) = with_lease();
    assert_eq!(ask(&mut trial, ada, &leased("x", ADA, 2, 40)), [hosted("x")]);
    assert_eq!(wake(&trial), Some(40));
    assert_eq!(ask(&mut trial, ada, &host("x", ADA, 3)), [hosted("x")]);
    assert_eq!(wake(&trial), None);
}

#[test]
fn many_leases_that_end_together_are_ended_by_one_commit() {
    let mut trial = trial();
    let ada = trial.connect(ip(ADA), 0);
    for number in 0..50 {
        ask(&mut trial, ada, &leased(&number.to_string(), ADA, 1, 10));
    }
    let before = trial.disk.commits;
    trial.pass(10);
    trial.settle();
    assert_eq!((names(&mut trial).len(), trial.disk.commits - before), (0, 1));
}

#[test]
fn a_fixed_channel_has_no_lease() {
    let fixed = vec![channel("general", "127.0.0.1", 22236)];
    let mut trial = Trial::start(Setup { fixed, ..setup() }, Disk::default());
    let local = trial.connect(ip("127.0.0.1"), 0);
    assert_eq!(ask(&mut trial, local, &leased("general", "127.0.0.1", 22236, 10)), [hosted("general")]);
    assert_eq!((wake(&trial), trial.disk.commits), (None, 0));
}

/// Ada's `x` has left the list 5 s ago, and is kept for her for 55 s more.
fn released() -> (Trial, u64, u64) {
    let (mut trial, ada) = with_lease();
    ask(&mut trial, ada, &host("y", ADA, 1));
    trial.pass(10);
    trial.settle();
    trial.pass(5);
    let bob = trial.connect(ip(BOB), 0);
    assert_eq!(names(&mut trial), ["y"]);
    (trial, ada, bob)
}

fn kept(name: &str, seconds: u64) -> Response {
    refused("Channel already exists", &format!("The channel '{name}' is kept for its last host for {seconds} s"))
}

#[test]
fn a_name_stays_its_last_hosts_for_a_while_after_its_lease() {
    let (mut trial, _, bob) = released();
    for (passes, left) in [(0, 55), (54, 1)] {
        trial.pass(passes);
        for request in [host("x", BOB, 1), leased("x", ADA, 1, 30), host("x", ADA, 1)] {
            assert_eq!(ask(&mut trial, bob, &request), [kept("x", left)]);
        }
        assert_eq!(wake(&trial), Some(left));
    }
    assert_eq!(
        ask(&mut trial, bob, &unhost("x")),
        [refused("Channel not found", "The requested channel 'x' does not exist")]
    );
    trial.pass(1);
    trial.settle();
    assert_eq!((trial.disk.released("x"), wake(&trial)), (None, None));
    assert_eq!(ask(&mut trial, bob, &host("x", BOB, 1)), [hosted("x")]);
    assert_eq!(names(&mut trial), ["y", "x"]);
}

#[test]
fn the_last_host_or_the_operator_takes_a_kept_name_back_with_its_position() {
    for (who, address) in [(ADA, ADA), (ADA, "192.0.2.9"), ("operator", BOB)] {
        let (mut trial, _, _) = released();
        let again = if who == "operator" { trial.connect_operator() } else { trial.connect(ip(who), 0) };
        assert_eq!(ask(&mut trial, again, &leased("x", address, 2, 40)), [hosted("x")]);
        assert_eq!((names(&mut trial), wake(&trial)), (vec!["x".parse().unwrap(), "y".parse().unwrap()], Some(40)));
        assert_eq!(names(&mut trial.crash(Fate::Done)), ["x", "y"]);
    }
}

#[test]
fn a_name_is_kept_across_a_restart_and_no_longer_than_without_one() {
    let (mut trial, _, _) = released();
    for left in [55, 35, 15] {
        trial = trial.crash(Fate::Done);
        let bob = trial.connect(ip(BOB), 0);
        assert_eq!(ask(&mut trial, bob, &host("x", BOB, 1)), [kept("x", left)]);
        assert_eq!(wake(&trial), Some(left));
        trial.pass(left.min(20));
    }
    trial.settle();
    let bob = trial.connect(ip(BOB), 0);
    assert_eq!(ask(&mut trial, bob, &host("x", BOB, 1)), [hosted("x")]);
}

#[test]
fn a_name_is_kept_for_as_long_as_its_lease_was_but_a_minute_at_least_and_an_hour_at_most() {
    for (lease, grace) in [(10, 60), (60, 60), (61, 61), (3600, 3600), (3601, 3600), (86_400, 3600)] {
        let mut trial = trial();
        let ada = trial.connect(ip(ADA), 0);
        ask(&mut trial, ada, &leased("x", ADA, 1, lease));
        trial.pass(lease.into());
        trial.settle();
        assert_eq!(wake(&trial), Some(grace), "a lease of {lease} s");
    }
}

#[test]
fn an_unhosted_channel_is_not_kept() {
    let (mut trial, ada) = with_lease();
    let bob = trial.connect(ip(BOB), 0);
    assert_eq!(ask(&mut trial, ada, &unhost("x")), [removed("x")]);
    assert_eq!(ask(&mut trial, bob, &host("x", BOB, 1)), [hosted("x")]);
}

#[test]
fn a_failed_store_frees_no_name_early() {
    for fate in [Fate::Lost, Fate::Denied] {
        let (mut trial, _, bob) = released();
        trial.ask(bob, &host("z", BOB, 1), 0);
        trial.store(fate);
        trial.settle();
        trial.answers(bob);
        assert_eq!(ask(&mut trial, bob, &host("x", BOB, 1)), [kept("x", 55)]);
        trial.pass(55);
        trial.store(fate);
        trial.settle();
        trial.pass(10);
        trial.settle();
        assert_eq!((ask(&mut trial, bob, &host("x", BOB, 1)), trial.disk.released("x")), (vec![hosted("x")], None));
    }
}

#[test]
fn kept_names_count_as_known_and_not_as_listed() {
    let mut trial = Trial::start(Setup { limit: 1, names: 2, ..setup() }, Disk::default());
    let ada = trial.connect(ip(ADA), 0);
    let full = refused("Limit reached", "A server knows at most 2 names");
    for name in ["a", "b"] {
        assert_eq!(ask(&mut trial, ada, &leased(name, ADA, 1, 10)), [hosted(name)]);
        trial.pass(10);
        trial.settle();
    }
    assert_eq!((trial.hub.names(), ask(&mut trial, ada, &host("c", ADA, 1))), (2, vec![full]));
    assert_eq!(ask(&mut trial, ada, &host("b", ADA, 1)), [hosted("b")]);
    trial.pass(50);
    trial.settle();
    let full = refused("Limit reached", "A tracker lists at most 1 channels");
    assert_eq!((trial.hub.names(), ask(&mut trial, ada, &host("c", ADA, 1))), (1, vec![full]));
}

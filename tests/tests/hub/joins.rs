//! JOIN and LEAVE: which messages are pushed, without a gap and nothing twice.

use JoinFrom::{After, Last};

use super::*;

/// Returns `here` with so many messages, Ada who has sent them, and Bob.
fn with_messages(count: u64) -> (Trial, u64, u64) {
    let (mut trial, ada, bob) = two_channels();
    say_many(&mut trial, ada, count);
    (trial, ada, bob)
}

fn beyond(last_id: u64) -> Response {
    refused("Invalid payload", &format!("Field 'after' is beyond the last id {last_id}"))
}

#[test]
fn the_answer_has_the_first_id_to_be_pushed_and_the_last_stored_id() {
    for (stored, trimmed, from, first_id) in [
        (0, 0, Last(0), 1),
        (0, 0, Last(1000), 1),
        (0, 0, After(0), 1),
        (5, 0, Last(0), 6),
        (5, 0, Last(1), 5),
        (5, 0, Last(5), 1),
        (5, 0, Last(6), 1),
        (5, 0, Last(1000), 1),
        (5, 0, After(0), 1),
        (5, 0, After(4), 5),
        (5, 0, After(5), 6),
        // A gap that retention has left is reported.
        (5, 3, After(0), 3),
        (5, 3, After(1), 3),
        (5, 3, After(2), 3),
        (5, 3, After(3), 4),
        (5, 3, Last(1000), 3),
        (5, 3, Last(2), 4),
        (5, 6, After(0), 6),
        (5, 6, Last(3), 6),
    ] {
        for after_restart in [false, true] {
            let (mut trial, ..) = with_messages(stored);
            trial.trim("here", trimmed, !after_restart);
            if after_restart {
                trial = trial.crash(Fate::Done);
            }
            let carl = trial.connect(ip("10.0.0.3"), 0);
            let answer = ask(&mut trial, carl, &join("here", from));
            assert_eq!(answer, [joined("here", first_id, stored)], "{stored} {trimmed} {from:?}");
            assert_eq!(trial.received(carl), here(first_id..=stored));
            let ada = trial.connect(ip(ADA), 0);
            say_many(&mut trial, ada, 2);
            assert_eq!(trial.received(carl), here(stored + 1..=stored + 2));
        }
    }
}

#[test]
fn a_join_beyond_the_end_is_refused() {
    for (stored, after) in [(0, 1), (3, 4), (3, (1 << 53) - 1)] {
        let (mut trial, _, bob) = with_messages(stored);
        assert_eq!(ask(&mut trial, bob, &join("here", After(after))), [beyond(stored)]);
        assert_eq!(trial.hub.joins(), 0);
    }
}

#[test]
fn joined_twice_left_twice_and_joined_again() {
    let (mut trial, ada, bob) = with_messages(1);
    let already = refused("Already joined", "This connection has joined 'here' already");
    let not = refused("Not joined", "This connection has not joined 'here'");
    assert_eq!(ask(&mut trial, bob, &leave("here")), std::slice::from_ref(&not));
    assert_eq!(ask(&mut trial, bob, &listen("here")), [joined("here", 2, 1)]);
    assert_eq!(ask(&mut trial, bob, &join("here", After(0))), [already]);
    assert_eq!(trial.received(bob), []);
    assert_eq!(ask(&mut trial, bob, &leave("here")), [left("here")]);
    assert_eq!(ask(&mut trial, bob, &leave("here")), [not]);
    say_many(&mut trial, ada, 1);
    assert_eq!(trial.received(bob), []);
    assert_eq!(ask(&mut trial, bob, &join("here", After(1))), [joined("here", 2, 2)]);
    say_many(&mut trial, ada, 1);
    assert_eq!(trial.received(bob), here([2, 3]));
}

#[test]
fn as_many_channels_can_be_joined_as_the_limit_allows() {
    let mut trial = Trial::start(Setup { joins: 2, ..setup() }, Disk::default());
    let (ada, bob) = (trial.connect(ip(ADA), 0), trial.connect(ip(BOB), 0));
    for name in ["a", "b", "c"] {
        ask(&mut trial, ada, &host(name, "localhost", 22236));
    }
    let limit = refused("Limit reached", "A connection may join at most 2 channels");
    for name in ["a", "b"] {
        assert_eq!(ask(&mut trial, ada, &listen(name)), [joined(name, 1, 0)]);
    }
    assert_eq!(ask(&mut trial, ada, &listen("c")), [limit]);
    // It is the limit of one connection, and LEAVE makes room.
    assert_eq!(ask(&mut trial, bob, &listen("c")), [joined("c", 1, 0)]);
    assert_eq!(ask(&mut trial, ada, &leave("a")), [left("a")]);
    assert_eq!(ask(&mut trial, ada, &listen("c")), [joined("c", 1, 0)]);
    for (name, number) in [("b", 1), ("a", 2), ("c", 3)] {
        ask(&mut trial, bob, &say(&format!("{number}"), Some(name)));
    }
    assert_eq!(trial.received(ada), [(named("b"), 1), (named("c"), 1)]);
    assert_eq!(trial.received(bob), [(named("c"), 1)]);
}

#[test]
fn a_channel_that_is_not_here_can_be_neither_joined_nor_left_nor_read() {
    let (mut trial, ada, _) = two_channels();
    let elsewhere = refused("Channel hosted elsewhere", "The channel 'there' is hosted at 192.168.1.5:22240");
    let unknown = refused("Channel not found", "The requested channel 'gaming' does not exist");
    for request in [listen("there"), leave("there"), history("there", HistoryRange::Last, 1)] {
        assert_eq!(ask(&mut trial, ada, &request), std::slice::from_ref(&elsewhere));
    }
    for request in [join("gaming", After(7)), leave("gaming"), history("gaming", HistoryRange::Last, 1)] {
        assert_eq!(ask(&mut trial, ada, &request), std::slice::from_ref(&unknown));
    }
}

#[test]
fn every_subscriber_gets_each_message_once_including_the_sender_and_no_one_else() {
    let (mut trial, ada, bob) = two_channels();
    let carl = trial.connect(ip("10.0.0.3"), 0);
    for id in [ada, bob] {
        assert_eq!(ask(&mut trial, id, &listen("here")), [joined("here", 1, 0)]);
    }
    let before = trial.pushes;
    say_many(&mut trial, ada, 1);
    assert_eq!((trial.received(ada), trial.received(bob), trial.received(carl)), (here([1]), here([1]), vec![]));
    assert_eq!(trial.pushes - before, 1, "encoded once");
}

#[test]
fn messages_stored_during_a_replay_follow_it_once() {
    let (mut trial, ada, bob) = with_messages(5);
    trial.ask(bob, &join("here", After(0)), 0);
    trial.read(true);
    // One is stored after the page was read, and one while it is on its way to the peer.
    say_many(&mut trial, ada, 1);
    assert_eq!(trial.received(bob), []);
    trial.page();
    assert_eq!(trial.received(bob), here(1..=5));
    say_many(&mut trial, ada, 1);
    assert_eq!((trial.received(bob), trial.reads()), (vec![], 0), "a replaying reader hears nothing live");
    trial.read_on(bob);
    trial.page();
    assert_eq!(trial.received(bob), here([6, 7]));
    // It is live now, though it has not read its page.
    say_many(&mut trial, ada, 1);
    assert_eq!(trial.received(bob), here([8]));
}

#[test]
fn a_page_read_between_a_commit_and_its_outcome_shows_no_unacknowledged_message() {
    let (mut trial, ada, bob) = with_messages(2);
    trial.ask(bob, &join("here", After(0)), 0);
    trial.ask(ada, &say("3", Some("here")), 0);
    trial.drain();
    trial.store_and(Fate::Done, |trial| {
        trial.page();
        assert_eq!(trial.received(bob), here([1, 2]));
    });
    trial.settle();
    assert_eq!(trial.received(bob), here([3]));
}

#[test]
fn a_long_replay_comes_in_pages_each_when_the_last_one_was_read() {
    let (mut trial, ada, bob) = two_channels();
    let content = "x".repeat(20_000);
    for number in 0..30 {
        trial.ask(ada, &say(&format!("{number} {content}"), Some("here")), 0);
    }
    trial.settle();
    trial.ask(bob, &join("here", After(0)), 0);
    let mut pages = Vec::new();
    while trial.page() {
        assert_eq!(trial.reads(), 0, "one page at a time");
        pages.push(trial.received(bob).len());
        say_many(&mut trial, ada, 1);
        trial.read_on(bob);
    }
    assert!(pages.len() > 3 && pages.iter().all(|count| *count <= 10), "{pages:?}");
    let live = trial.received(bob);
    assert_eq!(live.last(), Some(&(named("here"), trial.disk.last_id("here"))));
}

#[test]
fn two_replays_of_one_connection_take_turns() {
    let (mut trial, ada, bob) = two_channels();
    ask(&mut trial, ada, &host("other", "localhost", 22236));
    for name in ["here", "other"] {
        for number in 0..8 {
            trial.ask(ada, &say(&format!("{name} {number} {}", "x".repeat(40_000)), Some(name)), 0);
        }
    }
    trial.settle();
    trial.ask(bob, &join("here", After(0)), 0);
    trial.ask(bob, &join("other", After(0)), 0);
    trial.settle();
    let mut turns: Vec<ChannelName> = trial.received(bob).into_iter().map(|(name, _)| name).collect();
    assert_eq!(turns.len(), 16);
    turns.dedup();
    assert!(turns.len() > 2, "{turns:?}");
}

#[test]
fn leaving_during_a_replay_ends_it_and_allows_a_new_join() {
    for from in [After(0), After(2), After(5), Last(0), Last(1)] {
        let (mut trial, ada, bob) = with_messages(5);
        trial.ask(bob, &join("here", After(0)), 0);
        trial.read(true);
        trial.ask(bob, &leave("here"), 0);
        trial.drain();
        // The page that was asked for is still on its way.
        trial.ask(bob, &join("here", from), 0);
        trial.settle();
        let first = match from {
            After(id) => id + 1,
            Last(count) => 6 - u64::from(count),
        };
        assert_eq!(trial.received(bob), here(first..=5), "{from:?}");
        assert_eq!(trial.answers(bob), [joined("here", 1, 5), left("here"), joined("here", first, 5)]);
        say_many(&mut trial, ada, 1);
        assert_eq!(trial.received(bob), here([6]));
    }
    let (mut trial, ada, bob) = with_messages(5);
    trial.ask(bob, &join("here", After(0)), 0);
    trial.ask(bob, &leave("here"), 0);
    trial.settle();
    say_many(&mut trial, ada, 1);
    assert_eq!((trial.received(bob), trial.hub.joins()), (vec![], 0));
}

#[test]
fn a_commit_reported_as_failed_but_stored_reaches_subscribers() {
    let (mut trial, ada, bob) = with_messages(1);
    ask(&mut trial, bob, &listen("here"));
    trial.ask(ada, &say("denied", Some("here")), 0);
    trial.store(Fate::Denied);
    assert_eq!(trial.received(bob), []);
    trial.ask(ada, &say("next", Some("here")), 0);
    trial.settle();
    assert_eq!(trial.received(bob), here([2, 3]));
}

#[test]
fn unreadable_messages_close_only_the_subscriber_that_replays_them() {
    let (mut trial, ada, bob) = with_messages(3);
    let carl = trial.connect(ip("10.0.0.3"), 0);
    ask(&mut trial, carl, &listen("here"));
    trial.ask(bob, &join("here", After(0)), 0);
    trial.read(false);
    trial.page();
    let details = "The stored messages of 'here' cannot be read at the moment";
    assert_eq!(trial.closed(bob), Some(&ErrorResponse::server("Slow consumer", details)));
    say_many(&mut trial, ada, 1);
    assert_eq!((trial.received(carl), trial.hub.joins()), (here([4]), 1));
}

#[test]
fn a_replay_overtaken_by_retention_closes_the_subscriber() {
    for at in [Some(3), None] {
        let (mut trial, _, bob) = with_messages(5);
        trial.ask(bob, &join("here", After(0)), 0);
        trial.drain();
        // Some of what is due is dropped, or all of it.
        trial.trim("here", at.unwrap_or(6), true);
        trial.page();
        let details = "Messages of 'here' that were not read yet are no longer kept";
        assert_eq!(trial.closed(bob), Some(&ErrorResponse::server("Slow consumer", details)));
    }
}

#[test]
fn after_the_end_of_its_stream_a_peer_gets_all_promised_messages() {
    for (from, promised) in [(After(0), 1), (Last(2), 4), (Last(0), 6)] {
        let (mut trial, ada, bob) = with_messages(5);
        trial.ask(bob, &join("here", from), 0);
        trial.end(bob);
        assert_eq!(trial.has_finished(bob), promised > 5);
        say_many(&mut trial, ada, 1);
        trial.settle();
        assert!(trial.has_finished(bob));
        let heard = trial.received(bob);
        assert!(heard.starts_with(&here(promised..=5)), "{from:?}: {heard:?}");
        assert_eq!(trial.hub.joins(), 0);
    }
}

#[test]
fn a_peer_that_has_left_every_channel_finishes_at_once() {
    let (mut trial, _, bob) = with_messages(5);
    trial.ask(bob, &join("here", After(0)), 0);
    trial.ask(bob, &leave("here"), 0);
    trial.end(bob);
    assert!(trial.has_finished(bob));
    trial.settle();
}

#[test]
fn messages_sent_before_a_join_are_included_in_it() {
    let mut trial = trial();
    let ada = trial.connect(ip(ADA), 0);
    for request in [
        host("here", "localhost", 22236),
        listen("here"),
        say("1", None),
        leave("here"),
        say("2", None),
        say("3", None),
        join("here", Last(2)),
        say("4", None),
    ] {
        trial.ask(ada, &request, 7);
    }
    trial.settle();
    let expected = [
        hosted("here"),
        joined("here", 1, 0),
        delivered(7),
        left("here"),
        delivered(7),
        delivered(7),
        joined("here", 2, 3),
        delivered(7),
    ];
    assert_eq!((trial.answers(ada), trial.received(ada)), (expected.to_vec(), here([1, 2, 3, 4])));
}

#[test]
fn a_join_does_not_wait_for_commits_of_other_connections() {
    let (mut trial, ada, bob) = with_messages(1);
    trial.ask(ada, &say("2", Some("here")), 0);
    trial.drain();
    trial.ask(bob, &listen("here"), 0);
    trial.drain();
    assert_eq!(trial.answers(bob), [joined("here", 2, 1)]);
    trial.store(Fate::Done);
    assert_eq!(trial.received(bob), here([2]));
}

#[test]
fn a_connection_closed_before_its_turn_does_not_join() {
    let (mut trial, ada, bob) = with_messages(1);
    trial.ask(bob, &say("2", Some("here")), 0);
    trial.ask(bob, &join("here", After(0)), 0);
    trial.drain();
    trial.disconnect(bob);
    trial.settle();
    assert_eq!((trial.hub.joins(), trial.disk.last_id("here")), (0, 2));
    say_many(&mut trial, ada, 1);
}

#[test]
fn closed_connections_leave_no_joins_behind() {
    let (mut trial, ada, bob) = with_messages(5);
    let others: Vec<u64> = (0..4).map(|_| trial.connect(ip(BOB), 0)).collect();
    // One live, one with a page that was asked for, one with a page that it has not read, one that has ended.
    for (id, from) in others.iter().zip([Last(0), After(0), After(1), After(2)]) {
        trial.ask(*id, &join("here", from), 0);
    }
    trial.drain();
    assert_eq!((trial.hub.joins(), trial.reads()), (4, 3));
    trial.page();
    trial.end(others[3]);
    for id in others.into_iter().chain([ada, bob]) {
        trial.disconnect(id);
    }
    assert_eq!((trial.hub.joins(), trial.hub.connections()), (0, 0));
    trial.settle();
    assert!(trial.hub.is_idle());
}

//! HISTORY: which messages it gives, and where it is cut.

use HistoryRange::{After, Before, Last};

use super::*;

/// Returns the ids that HISTORY gives.
fn read(trial: &mut Trial, id: u64, range: HistoryRange, limit: u16) -> Vec<u64> {
    let answers = ask(trial, id, &history("here", range, limit));
    let [Response::History { channel_name, messages }] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(channel_name, "here");
    ids(messages)
}

#[test]
fn history_respects_ranges_limits_and_retention() {
    let (mut trial, ada, bob) = two_channels();
    assert_eq!(read(&mut trial, bob, Last, 1), Vec::<u64>::new());
    say_many(&mut trial, ada, 9);
    for (trimmed, range, limit, expected) in [
        (0, Last, 1000, 1..=9),
        (0, Last, 1, 9..=9),
        (0, Last, 4, 6..=9),
        (0, After(0), 3, 1..=3),
        (0, After(4), 3, 5..=7),
        (0, After(8), 3, 9..=9),
        (0, Before(5), 3, 2..=4),
        (0, Before(3), 5, 1..=2),
        (0, Before(10), 2, 8..=9),
        (0, Before((1 << 53) - 1), 2, 8..=9),
        (4, Last, 1000, 4..=9),
        (4, After(0), 2, 4..=5),
        (4, After(5), 2, 6..=7),
        (4, Before(6), 5, 4..=5),
    ] {
        trial.trim("here", trimmed, true);
        assert_eq!(read(&mut trial, bob, range, limit), expected.collect::<Vec<_>>(), "{trimmed} {range:?} {limit}");
    }
    for range in [After(9), After(10), After((1 << 53) - 1), Before(1), Before(4)] {
        assert_eq!(read(&mut trial, bob, range, 5), Vec::<u64>::new(), "{range:?}");
    }
}

#[test]
fn the_messages_are_as_they_were_stored() {
    let (mut trial, ada, bob) = two_channels();
    trial.ask(ada, &say("\"\u{0}é\u{2028}\"", Some("here")), 77);
    trial.settle();
    let messages = trial.disk.messages("here").to_vec();
    let expected = Response::History { channel_name: "here".parse().unwrap(), messages };
    assert_eq!(ask(&mut trial, bob, &history("here", Last, 100)), [expected]);
}

/// Returns a message that is this long as an element of the answer.
fn of_length(length: usize, number: u64) -> Request {
    let message = StoredMessage::new(
        "here".parse().unwrap(),
        number,
        "user1".parse().unwrap(),
        number.to_string(),
        Timestamp::from_unix(0),
    );
    let mut bytes = Vec::new();
    message.encode_push(&mut bytes);
    let left = length - (bytes.len() - "MESSAGE\r\n".len());
    say(&format!("{number}{}", "x".repeat(left)), Some("here"))
}

const LIMIT: usize = 262_144;
/// The text around the messages.
const FRAME: usize = "{\"channel_name\": \"here\", \"messages\": []}".len();

#[test]
fn a_page_is_cut_at_262144_bytes_and_not_before() {
    // Three messages: together exactly as much as fits, or one byte more.
    for (last, fit) in [(LIMIT - FRAME - 2 * 80_000 - 4, 3), (LIMIT - FRAME - 2 * 80_000 - 3, 2)] {
        for (range, expected) in [(After(0), [1, 2, 3]), (Last, [3, 2, 1]), (Before(4), [3, 2, 1])] {
            let (mut trial, ada, bob) = two_channels();
            for (number, length) in [(1, 80_000), (2, last), (3, 80_000)] {
                assert_eq!(ask(&mut trial, ada, &of_length(length, number)), [delivered(0)]);
            }
            let mut expected = expected[..fit].to_vec();
            expected.sort_unstable();
            assert_eq!(read(&mut trial, bob, range, 1000), expected, "{range:?} {fit}");
        }
    }
}

#[test]
fn one_message_is_given_however_large_it_is() {
    let (mut trial, ada, bob) = two_channels();
    for number in 1..=3 {
        ask(&mut trial, ada, &of_length(LIMIT + 1, number));
    }
    for (range, expected) in [(After(0), 1), (After(1), 2), (Last, 3), (Before(3), 2)] {
        assert_eq!(read(&mut trial, bob, range, 1000), [expected]);
    }
}

#[test]
fn history_read_between_a_commit_and_its_outcome_shows_no_unacknowledged_message() {
    for (range, limit, expected) in
        [(Last, 1, vec![2]), (Last, 5, vec![1, 2]), (Before(9), 1, vec![2]), (After(2), 5, vec![])]
    {
        let (mut trial, ada, bob) = two_channels();
        say_many(&mut trial, ada, 2);
        trial.ask(ada, &say("3", Some("here")), 0);
        trial.ask(bob, &history("here", range, limit), 0);
        trial.drain();
        trial.store_and(Fate::Done, |trial| {
            trial.page();
        });
        let [Response::History { messages, .. }] = &trial.answers(bob)[..] else { panic!("no history") };
        assert_eq!(ids(messages), expected, "{range:?}");
    }
}

#[test]
fn history_waits_for_earlier_requests_and_later_ones_wait_for_it() {
    let (mut trial, ada, bob) = two_channels();
    trial.ask(ada, &say("1", Some("here")), 0);
    trial.ask(ada, &history("here", Last, 1), 0);
    trial.ask(ada, &Request::List, 0);
    trial.ask(ada, &say("2", Some("here")), 0);
    trial.drain();
    assert_eq!((trial.reads(), trial.answers(ada)), (0, vec![]));
    trial.store(Fate::Done);
    assert_eq!((trial.reads(), trial.answers(ada)), (1, vec![delivered(0)]));
    // It waits for no other connection, and none waits for it.
    assert_eq!(ask_while_reading(&mut trial, bob), [listed_answer(&trial)]);
    trial.settle();
    let messages = trial.disk.messages("here")[..1].to_vec();
    let shown = Response::History { channel_name: "here".parse().unwrap(), messages };
    assert_eq!(trial.answers(ada), [shown, listed_answer(&trial), delivered(0)]);
}

fn ask_while_reading(trial: &mut Trial, id: u64) -> Vec<Response> {
    trial.ask(id, &Request::List, 0);
    trial.drain();
    trial.answers(id)
}

fn listed_answer(trial: &Trial) -> Response {
    Response::Channels(trial.model.listed())
}

#[test]
fn unreadable_messages_are_answered_with_an_error() {
    let (mut trial, ada, bob) = two_channels();
    say_many(&mut trial, ada, 1);
    trial.ask(bob, &history("here", Last, 1), 0);
    trial.read(false);
    trial.page();
    let answers = trial.answers(bob);
    let [Response::Error(error)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((error.blame, &*error.error), (chanwire_core::wire::Blame::Server, "Database connection failed"));
    // The connection goes on.
    assert_eq!(read(&mut trial, bob, Last, 1), [1]);
}

#[test]
fn a_closed_connection_is_released_when_its_page_arrives() {
    let (mut trial, ada, bob) = two_channels();
    say_many(&mut trial, ada, 1);
    trial.ask(bob, &history("here", Last, 1), 0);
    trial.drain();
    trial.disconnect(bob);
    assert_eq!(trial.hub.connections(), 2);
    trial.page();
    assert_eq!(trial.hub.connections(), 1);
}

#[test]
fn many_history_requests_do_not_delay_a_subscribers_next_page() {
    let (mut trial, ada, bob) = two_channels();
    say_many(&mut trial, ada, 3);
    for _ in 0..200 {
        let one = trial.connect(ip("203.0.113.9"), 0);
        trial.ask(one, &history("here", HistoryRange::Last, 1), 0);
    }
    trial.ask(bob, &join("here", JoinFrom::After(0)), 0);
    trial.drain();
    // Not everything is with the store at once.
    assert_eq!(trial.reads(), 16);
    for _ in 0..20 {
        trial.page();
    }
    assert_eq!(trial.received(bob), here(1..=3));
    trial.settle();
}

#[test]
fn nothing_is_read_for_closed_connections_and_their_later_requests_are_carried_out() {
    let (mut trial, ada, bob) = two_channels();
    say_many(&mut trial, ada, 3);
    let crowd: Vec<u64> = (0..200).map(|_| trial.connect(ip("203.0.113.9"), 0)).collect();
    for (number, one) in crowd.iter().enumerate() {
        trial.ask(*one, &history("here", HistoryRange::Last, 1), 0);
        trial.ask(*one, &say(&format!("after it {number}"), Some("here")), 0);
        trial.ask(*one, &join("here", JoinFrom::After(0)), 0);
    }
    trial.drain();
    crowd.iter().for_each(|one| trial.disconnect(*one));
    trial.ask(bob, &history("here", HistoryRange::Before(2), 1), 0);
    for _ in 0..17 {
        assert!(trial.page());
    }
    assert!(matches!(&trial.answers(bob)[..], [Response::History { messages, .. }] if ids(messages) == [1]));
    assert_eq!(trial.reads(), 0);
    trial.settle();
    assert_eq!((trial.disk.last_id("here"), trial.hub.connections()), (203, 2));
}

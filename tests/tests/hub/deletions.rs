//! DELETE: what it leaves, who may, and what nobody is shown any more.

use super::*;

fn delete(id: u64) -> Request {
    Request::Delete { channel_name: named("here"), id }
}

fn deleted(id: u64) -> Response {
    Response::Deleted { channel_name: named("here"), id }
}

fn no_message(id: u64) -> Response {
    refused("Message not found", &format!("The channel 'here' has no message {id}"))
}

/// Returns the content, and the deletion, of each stored message of `here`.
fn stored(trial: &Trial) -> Vec<(&str, &str, bool, Option<u64>)> {
    let messages = trial.disk.messages("here").iter();
    messages.map(|it| (&*it.username, &*it.message_content, it.deleted, it.deletes)).collect()
}

/// Returns a server that hosts `here` with three messages, with connections of its host, of a client and of the operator.
fn three_messages() -> (Trial, u64, u64, u64) {
    let (mut trial, ada, bob) = two_channels();
    say_many(&mut trial, ada, 3);
    let operator = trial.connect_operator();
    (trial, ada, bob, operator)
}

#[test]
fn a_deleted_message_keeps_its_number_and_user_and_a_record_takes_the_next() {
    let (mut trial, ada, bob, operator) = three_messages();
    ask(&mut trial, bob, &listen("here"));
    assert_eq!(ask(&mut trial, ada, &delete(2)), [deleted(2)]);
    assert_eq!(ask(&mut trial, operator, &delete(1)), [deleted(1)]);
    assert_eq!(trial.received(bob), here([4, 5]));
    let expected = [
        ("user1", "(deleted)", true, None),
        ("user1", "(deleted)", true, None),
        ("user1", "number 3", false, None),
        ("host", "Deleted message 2", false, Some(2)),
        ("operator", "Deleted message 1", false, Some(1)),
    ];
    assert_eq!(stored(&trial), expected);
    // Reading again gives no text; the next message follows the records.
    let answers = ask(&mut trial, bob, &history("here", HistoryRange::Last, 9));
    let [Response::History { messages, .. }] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(*messages, trial.disk.messages("here"));
    assert_eq!(ask(&mut trial, ada, &say_again("m", 1)), [delivered_as(0, 6)]);
}

#[test]
fn to_delete_again_is_ok_and_stores_nothing() {
    let (mut trial, ada, _, operator) = three_messages();
    assert_eq!(ask(&mut trial, ada, &delete(2)), [deleted(2)]);
    let commits = trial.disk.commits;
    assert_eq!(ask(&mut trial, operator, &delete(2)), [deleted(2)]);
    assert_eq!((trial.disk.commits, trial.disk.last_id("here")), (commits, 4));
}

#[test]
fn what_cannot_be_deleted_is_refused() {
    let (mut trial, ada, bob, operator) = three_messages();
    let not_allowed = refused("Not allowed", "Only the host and the moderators of 'here' may delete its messages");
    let without_rights = trial.connect_without_rights(0);
    // Whether a message is there is not said to those who may not delete it.
    for (who, id) in [(bob, 1), (bob, 77), (without_rights, 1)] {
        assert_eq!(ask(&mut trial, who, &delete(id)), std::slice::from_ref(&not_allowed));
    }
    assert_eq!(ask(&mut trial, ada, &delete(4)), [no_message(4)]);
    ask(&mut trial, ada, &delete(2));
    let details = "Message 4 of 'here' is the record of a deletion, which cannot be deleted";
    assert_eq!(ask(&mut trial, operator, &delete(4)), [refused("Not allowed", details)]);
    let elsewhere = Request::Delete { channel_name: named("there"), id: 1 };
    let details = "The channel 'there' is hosted at 192.168.1.5:22240";
    assert_eq!(ask(&mut trial, bob, &elsewhere), [refused("Channel hosted elsewhere", details)]);
    let missing = Request::Delete { channel_name: named("gone"), id: 1 };
    let details = "The requested channel 'gone' does not exist";
    assert_eq!(ask(&mut trial, ada, &missing), [refused("Channel not found", details)]);
    assert_eq!(trial.disk.last_id("here"), 4);
}

#[test]
fn a_page_that_was_read_before_and_comes_after_is_read_again() {
    let (mut trial, ada, bob, _) = three_messages();
    trial.ask(ada, &delete(2), 0);
    assert!(trial.page());
    // Both are read before the deletion is stored, and come after.
    let eve = trial.connect(ip("203.0.113.5"), 0);
    trial.ask(bob, &join("here", JoinFrom::After(0)), 0);
    trial.ask(eve, &history("here", HistoryRange::Before(4), 3), 0);
    trial.read(true);
    trial.read(true);
    trial.store(Fate::Done);
    trial.settle();
    assert_eq!(trial.received(bob), here(1..=4));
    let answers = trial.answers(eve);
    let [Response::History { messages, .. }] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(messages.iter().map(|message| message.deleted).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn a_page_that_begins_later_than_asked_for_is_read_again_too() {
    let (mut trial, ada, bob, _) = three_messages();
    trial.trim("here", 3, false);
    trial.ask(ada, &delete(3), 0);
    assert!(trial.page());
    // The first of the ids that are asked for are kept no more, so a later one is read.
    trial.ask(bob, &history("here", HistoryRange::After(0), 1), 0);
    trial.read(true);
    trial.store(Fate::Done);
    trial.settle();
    let answers = trial.answers(bob);
    let [Response::History { messages, .. }] = &answers[..] else { panic!("{answers:?}") };
    assert!(matches!(&messages[..], [message] if message.id == 3 && message.deleted), "{messages:?}");
}

#[test]
fn a_page_without_the_deleted_message_is_not_read_again() {
    let (mut trial, ada, bob, _) = three_messages();
    trial.ask(ada, &delete(2), 0);
    assert!(trial.page());
    trial.ask(bob, &history("here", HistoryRange::After(2), 9), 0);
    trial.read(true);
    trial.store(Fate::Done);
    assert!(trial.page());
    assert!(matches!(trial.answers(bob)[..], [Response::History { .. }]) && trial.reads() == 0);
}

#[test]
fn of_two_deletions_of_one_message_the_first_is_stored() {
    let (mut trial, ada, _, operator) = three_messages();
    let others: Vec<u64> = (0..5).map(|_| trial.connect(ip(ADA), 0)).collect();
    for id in [ada, operator].into_iter().chain(others.iter().copied()) {
        trial.ask(id, &delete(2), 0);
        trial.ask(id, &Request::List, 0);
    }
    // A closed connection's is carried out like the others.
    trial.disconnect(others[0]);
    trial.settle();
    for id in [ada, operator].into_iter().chain(others.into_iter().skip(1)) {
        assert!(matches!(&trial.answers(id)[..], [first, Response::Channels(_)] if *first == deleted(2)));
    }
    assert_eq!(trial.disk.last_id("here"), 4);
}

#[test]
fn of_different_messages_several_are_deleted_in_one_commit() {
    let (mut trial, ada, bob, operator) = three_messages();
    let commits = trial.disk.commits;
    // Both are read while another commit is with the store.
    trial.ask(bob, &say("m", Some("here")), 0);
    trial.drain();
    trial.ask(ada, &delete(2), 0);
    trial.ask(operator, &delete(3), 0);
    while trial.page() {}
    trial.settle();
    assert_eq!((trial.answers(ada), trial.answers(operator)), (vec![deleted(2)], vec![deleted(3)]));
    assert_eq!((trial.disk.commits, trial.disk.last_id("here")), (commits + 2, 6));
}

#[test]
fn a_deletion_that_is_not_known_to_be_stored_can_be_asked_for_again() {
    for (fate, last_id) in [(Fate::Lost, 4), (Fate::Denied, 4), (Fate::Refused, 4)] {
        let (mut trial, ada, bob, _) = three_messages();
        ask(&mut trial, bob, &listen("here"));
        trial.ask(ada, &delete(2), 0);
        while trial.page() {}
        trial.store(fate);
        assert_eq!(trial.answers(ada), [not_stored()], "{fate:?}");
        assert_eq!(ask(&mut trial, ada, &delete(2)), [deleted(2)], "{fate:?}");
        assert_eq!(trial.disk.last_id("here"), last_id, "{fate:?}");
        assert_eq!(trial.received(bob), here([4]), "{fate:?}");
    }
}

#[test]
fn a_message_that_cannot_be_read_is_not_deleted_and_the_next_request_goes_on() {
    let (mut trial, ada, ..) = three_messages();
    trial.ask(ada, &delete(2), 0);
    trial.ask(ada, &delete(3), 0);
    trial.read(false);
    trial.settle();
    let not_read = ErrorResponse::server("Database connection failed", "Unable to read messages from channel database");
    assert_eq!(trial.answers(ada), [Response::Error(not_read), deleted(3)]);
}

#[test]
fn retention_may_drop_the_message_before_it_is_deleted() {
    let (mut trial, ada, ..) = three_messages();
    // Known in time: it is not there. Not known yet: it is deleted all the same, and there is a record.
    trial.ask(ada, &delete(1), 0);
    trial.read(true);
    trial.trim("here", 2, true);
    trial.settle();
    assert_eq!(trial.answers(ada), [no_message(1)]);
    trial.ask(ada, &delete(2), 0);
    trial.trim("here", 3, false);
    trial.settle();
    assert_eq!(trial.answers(ada), [no_message(2)]);
    assert_eq!(trial.disk.last_id("here"), 3);
    trial.ask(ada, &delete(3), 0);
    trial.read(true);
    trial.trim("here", 4, false);
    trial.settle();
    assert_eq!((trial.answers(ada), trial.disk.last_id("here")), (vec![deleted(3)], 4));
}

#[test]
fn a_message_that_was_deleted_has_its_first_answer_when_it_is_sent_again() {
    let (mut trial, mut ada, ..) = three_messages();
    assert_eq!(ask(&mut trial, ada, &say_again("m", 1)), [delivered_as(0, 4)]);
    ask(&mut trial, ada, &delete(4));
    for _ in 0..2 {
        assert_eq!(ask(&mut trial, ada, &say_again("m", 1)), [delivered_as(0, 4)]);
        // Nobody knows any more whether it was this text.
        assert_eq!(ask(&mut trial, ada, &say_again("other", 1)), [delivered_as(0, 4)]);
        trial = trial.crash(Fate::Done);
        ada = trial.connect(ip(ADA), 0);
    }
}

#[test]
fn a_deletion_waits_for_a_change_of_its_channel() {
    let (mut trial, ada, bob, operator) = three_messages();
    trial.ask(operator, &delete(2), 0);
    trial.ask(ada, &unhost("here"), 0);
    // The removal is with the store when the message is read.
    trial.drain();
    trial.settle();
    assert_eq!(trial.answers(ada), [removed("here")]);
    assert_eq!(trial.answers(operator), [refused("Channel not found", "The requested channel 'here' does not exist")]);
    assert_eq!(trial.disk.last_id("here"), 3);
    ask(&mut trial, bob, &host("here", "10.0.0.1", 22236));
    assert_eq!(ask(&mut trial, operator, &delete(2)), [deleted(2)]);
}

#[test]
fn a_full_channel_takes_no_record() {
    let mut trial = Trial::start(Setup { max_id: 3, ..setup() }, Disk::default());
    let ada = trial.connect(ip(ADA), 0);
    ask(&mut trial, ada, &host("here", "10.0.0.1", 22236));
    say_many(&mut trial, ada, 3);
    let full = refused("Limit reached", "The channel 'here' has had 3 messages");
    assert_eq!(ask(&mut trial, ada, &delete(2)), [full]);
    assert_eq!(
        ask(&mut trial, ada, &say("m", Some("here"))),
        [refused("Limit reached", "The channel 'here' has had 3 messages")]
    );
}

//! Messages that are sent again under their client's id.

use std::sync::Arc;

use chanwire_core::Limits;

use super::*;

fn reused() -> Response {
    refused("Message id reused", "This client_message_id belongs to another message")
}

/// Returns the ids of the messages that are stored in `here`.
fn stored(trial: &Trial) -> Vec<(u64, String)> {
    trial.disk.messages("here").iter().map(|message| (message.id, message.message_content.clone())).collect()
}

#[test]
fn a_repeated_message_is_stored_once_and_has_the_first_answer() {
    let (mut trial, ada, bob) = two_channels();
    trial.ask(ada, &say_again("m", 1), 5);
    trial.settle();
    assert_eq!(trial.answers(ada), [delivered_as(5, 1)]);
    say_many(&mut trial, bob, 3);
    // On another connection, from another address, and later.
    trial.ask(bob, &say_again("m", 1), 9);
    trial.settle();
    assert_eq!(trial.answers(bob), [delivered_as(5, 1)]);
    assert_eq!(trial.disk.messages("here").len(), 4);
    assert_eq!(trial.hub.counters().repeated_messages, 1);
}

#[test]
fn an_answer_without_an_id_of_the_client_s_has_no_id() {
    let (mut trial, ada, _) = two_channels();
    assert_eq!(ask(&mut trial, ada, &say("m", None)), [delivered(0)]);
}

#[test]
fn another_message_under_the_same_id_is_refused() {
    let (mut trial, ada, _) = two_channels();
    ask(&mut trial, ada, &say_again("m", 1));
    assert_eq!(ask(&mut trial, ada, &say_again("other", 1)), [reused()]);
    assert_eq!(ask(&mut trial, ada, &say_again("m", 1)), [delivered_as(0, 1)]);
    assert_eq!(stored(&trial), [(1, "m".into())]);
    assert_eq!(trial.hub.counters().repeated_messages, 1);
}

#[test]
fn another_sender_and_another_channel_have_ids_of_their_own() {
    let (mut trial, ada, _) = two_channels();
    ask(&mut trial, ada, &host("second", "localhost", 22236));
    let Request::Message(first) = say_again("m", 1) else { panic!("a message") };
    let by_bob = Message { username: named("bob"), message_content: "from bob".into(), ..first.clone() };
    let elsewhere =
        Message { channel_name: Some(named("second")), message_content: "elsewhere".into(), ..first.clone() };
    for message in [first, by_bob, elsewhere] {
        let [Response::Delivered { .. }] = &*ask(&mut trial, ada, &Request::Message(message)) else {
            panic!("refused")
        };
    }
    assert_eq!((trial.disk.messages("here").len(), trial.disk.messages("second").len()), (2, 1));
}

#[test]
fn messages_of_one_commit_share_an_id_and_take_one() {
    let (mut trial, ada, bob) = two_channels();
    // The first occupies the store, so the others share the next commit.
    trial.ask(ada, &say("first", Some("here")), 1);
    trial.drain();
    trial.ask(bob, &say_again("m", 1), 2);
    trial.ask(ada, &say_again("m", 1), 3);
    trial.ask(ada, &say_again("other", 1), 3);
    trial.ask(ada, &say("next", Some("here")), 4);
    trial.settle();
    assert_eq!(trial.answers(bob), [delivered_as(2, 2)]);
    assert_eq!(trial.answers(ada), [delivered(1), delivered_as(2, 2), reused(), delivered(4)]);
    assert_eq!(stored(&trial), [(1, "first".into()), (2, "m".into()), (3, "next".into())]);
    assert_eq!(trial.hub.counters().repeated_messages, 1);
}

#[test]
fn a_commit_that_only_repeats_is_answered_at_once() {
    let (mut trial, ada, _) = two_channels();
    ask(&mut trial, ada, &say_again("m", 1));
    trial.ask(ada, &say_again("m", 1), 0);
    trial.drain();
    assert_eq!((trial.answers(ada), &trial.command), (vec![delivered_as(0, 1)], &None));
}

#[test]
fn repetitions_of_a_failed_commit_fail_with_it_and_may_be_sent_again() {
    let (mut trial, ada, bob) = two_channels();
    trial.ask(ada, &say("first", Some("here")), 0);
    trial.drain();
    trial.ask(ada, &say_again("m", 1), 0);
    trial.ask(bob, &say_again("m", 1), 0);
    trial.store(Fate::Done);
    trial.store(Fate::Lost);
    trial.ask(bob, &say_again("m", 1), 7);
    trial.settle();
    assert_eq!(trial.answers(ada), [delivered(0), not_stored()]);
    assert_eq!(trial.answers(bob), [not_stored(), delivered_as(7, 2)]);
}

#[test]
fn a_message_of_a_commit_that_was_kept_and_reported_as_failed_is_found_again() {
    let (mut trial, ada, bob) = two_channels();
    trial.ask(ada, &say_again("m", 1), 5);
    trial.store(Fate::Denied);
    trial.ask(bob, &say_again("m", 1), 9);
    trial.settle();
    assert_eq!((trial.answers(ada), trial.answers(bob)), (vec![not_stored()], vec![delivered_as(5, 1)]));
    assert_eq!(stored(&trial), [(1, "m".into())]);
}

#[test]
fn a_repeated_message_has_the_first_answer_after_a_restart() {
    for fate in [Fate::Done, Fate::Denied] {
        let (mut trial, ada, _) = two_channels();
        trial.ask(ada, &say_again("m", 1), 5);
        trial.drain();
        // The server dies before it can answer.
        let mut trial = trial.crash(fate);
        let ada = trial.connect(ip(ADA), 0);
        trial.ask(ada, &say_again("m", 1), 9);
        trial.ask(ada, &say_again("other", 1), 9);
        trial.settle();
        assert_eq!(trial.answers(ada), [delivered_as(5, 1), reused()], "{fate:?}");
        assert_eq!(stored(&trial), [(1, "m".into())]);
    }
}

#[test]
fn the_answer_outlives_the_message() {
    let (mut trial, ada, bob) = two_channels();
    ask(&mut trial, ada, &say_again("m", 1));
    say_many(&mut trial, bob, 1);
    trial.trim("here", 2, true);
    assert_eq!(ask(&mut trial, ada, &say_again("m", 1)), [delivered_as(0, 1)]);
    assert_eq!(trial.disk.last_id("here"), 2);
}

#[test]
fn the_window_counts_in_the_times_that_are_stored() {
    let (mut trial, ada, _) = two_channels();
    let say_at = |trial: &mut Trial, at| {
        trial.ask(ada, &say_again("m", 1), at);
        trial.settle();
        trial.answers(ada)
    };
    assert_eq!(say_at(&mut trial, 100), [delivered_as(100, 1)]);
    // Monotonic time is of no account.
    trial.pass(1000);
    assert_eq!(say_at(&mut trial, 109), [delivered_as(100, 1)]);
    assert_eq!(say_at(&mut trial, 110), [delivered_as(110, 2)]);
    // The clock was set back.
    assert_eq!(say_at(&mut trial, 50), [delivered_as(110, 2)]);
}

#[test]
fn a_channel_that_is_gone_or_elsewhere_is_answered_before_any_id() {
    let (mut trial, ada, _) = two_channels();
    ask(&mut trial, ada, &say_again("m", 1));
    assert_eq!(ask(&mut trial, ada, &host("here", ADA, 1)), [hosted("here")]);
    let elsewhere = refused("Channel hosted elsewhere", "The channel 'here' is hosted at 10.0.0.9:1");
    assert_eq!(ask(&mut trial, ada, &say_again("m", 1)), [elsewhere]);
    ask(&mut trial, ada, &unhost("here"));
    let gone = refused("Channel not found", "The requested channel 'here' does not exist");
    assert_eq!(ask(&mut trial, ada, &say_again("m", 1)), [gone]);
}

#[test]
fn a_full_channel_still_answers_what_it_has_stored() {
    let mut trial = Trial::start(Setup { max_id: 1, ..setup() }, Disk::default());
    let ada = trial.connect(ip(ADA), 0);
    ask(&mut trial, ada, &host("here", "10.0.0.1", 22236));
    ask(&mut trial, ada, &say_again("m", 1));
    let full = refused("Limit reached", "The channel 'here' has had 1 messages");
    assert_eq!(ask(&mut trial, ada, &say_again("n", 2)), [full]);
    assert_eq!(ask(&mut trial, ada, &say_again("m", 1)), [delivered_as(0, 1)]);
}

#[test]
fn the_oldest_ids_are_evicted_and_counted() {
    let mut trial = Trial::start(Setup { max_send_keys: 2, ..setup() }, Disk::default());
    let ada = trial.connect(ip(ADA), 0);
    ask(&mut trial, ada, &host("here", "10.0.0.1", 22236));
    for id in 1..=3 {
        ask(&mut trial, ada, &say_again(&format!("m {id}"), id));
    }
    let counters = trial.hub.counters();
    assert_eq!((counters.send_keys, counters.evicted_send_keys), (2, 1));
    assert_eq!(ask(&mut trial, ada, &say_again("m 3", 3)), [delivered_as(0, 3)]);
    assert_eq!(ask(&mut trial, ada, &say_again("m 1", 1)), [delivered_as(0, 4)]);
}

#[test]
fn a_new_window_and_limit_hold_at_once() {
    let (mut trial, ada, _) = two_channels();
    let limits = Arc::new(Limits::server());
    let say_at = |trial: &mut Trial, content: &str, id, at| {
        trial.ask(ada, &say_again(content, id), at);
        trial.settle();
        trial.answers(ada)
    };
    say_at(&mut trial, "m", 1, 0);
    trial.reconfigure(|setup| setup.retry_window = 5, &limits);
    assert_eq!(say_at(&mut trial, "m", 1, 5), [delivered_as(5, 2)]);
    trial.reconfigure(|setup| (setup.retry_window, setup.max_send_keys) = (100, 1), &limits);
    assert_eq!(say_at(&mut trial, "n", 2, 5), [delivered_as(5, 3)]);
    assert_eq!(trial.hub.counters().send_keys, 1);
    assert_eq!(say_at(&mut trial, "m", 1, 5), [delivered_as(5, 4)]);
}

#[test]
fn a_channel_whose_times_are_ahead_drops_no_id_of_another() {
    let day = 86_400;
    let (mut trial, ada, _) = two_channels();
    ask(&mut trial, ada, &host("ahead", "10.0.0.1", 22236));
    let Request::Message(message) = say_again("m", 2) else { panic!("a message") };
    let ahead = |content: &str, id: u32| {
        let client_message_id = Some(format!("{id:016}").parse().unwrap());
        let (channel_name, message_content) = (Some(named("ahead")), content.into());
        Request::Message(Message { channel_name, message_content, client_message_id, ..message.clone() })
    };
    // The clock is a day ahead once.
    trial.ask(ada, &ahead("first", 1), day);
    trial.settle();
    assert_eq!(trial.answers(ada), [delivered_as(day, 1)]);
    assert_eq!(ask(&mut trial, ada, &say_again("m", 1)), [delivered_as(0, 1)]);
    for id in 2..=6 {
        let content = format!("after {id}");
        assert_eq!(ask(&mut trial, ada, &ahead(&content, id)), [delivered_as(day, id.into())]);
    }
    assert_eq!(ask(&mut trial, ada, &say_again("m", 1)), [delivered_as(0, 1)]);
    // Nor does a start.
    let mut trial = trial.crash(Fate::Done);
    let ada = trial.connect(ip(ADA), 0);
    assert_eq!(ask(&mut trial, ada, &say_again("m", 1)), [delivered_as(0, 1)]);
    assert_eq!(stored(&trial), [(1, "m".into())]);
}

#[test]
fn repeated_messages_count_towards_the_size_of_a_commit() {
    let (mut trial, ada, _) = two_channels();
    let long = "m".repeat(60_000);
    // The first occupies the store, so the others wait for the next commit.
    trial.ask(ada, &say("first", Some("here")), 0);
    trial.drain();
    for _ in 0..3 {
        trial.ask(ada, &say_again(&long, 1), 0);
    }
    trial.ask(ada, &say("next", Some("here")), 0);
    trial.store(Fate::Done);
    trial.drain();
    let Some(StoreCommand::Commit(writes)) = &trial.command else { panic!("a commit") };
    assert_eq!(writes.len(), 1);
    trial.settle();
    let again = || delivered_as(0, 2);
    assert_eq!(trial.answers(ada), [delivered(0), again(), again(), again(), delivered(0)]);
}

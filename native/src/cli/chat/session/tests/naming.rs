//! Taking another name.

use super::*;

/// Returns a session on the channel, at a host that says who is there, with message 7 shown.
fn live_with_presence() -> Trial {
    let mut trial = Trial::new(true);
    trial.features = &[Hello::CLIENT_MESSAGE_ID, Hello::PRESENCE];
    trial.wants();
    trial.connected(1);
    trial.listed(1, "127.0.0.1:22236");
    assert_eq!(trial.wants(), ["list 1", "join 1 last 20 as ann"]);
    trial.joined(1, 7, 7);
    trial.push(1, &message(7, "bob", "hello"));
    trial.wants();
    trial
}

#[test]
fn another_name_joins_again_and_misses_and_repeats_nothing() {
    let mut trial = live_with_presence();
    trial.line("before");
    trial.line("/nick eve");
    trial.line("after");
    assert_eq!(trial.wants(), ["say 1 before", "Leave { channel_name: \"general\" }", "say 1 after as eve"]);
    trial.push(1, &message(8, "ann", "before"));
    trial.delivered(1);
    trial.answer(1, left());
    assert_eq!(trial.wants(), ["8 ann: before", "join 1 after 7 as eve"]);
    trial.delivered(1);
    trial.joined(1, 8, 9);
    trial.push(1, &message(8, "ann", "before"));
    trial.push(1, &message(9, "eve", "after"));
    assert_eq!(trial.wants(), ["* you are eve now", "9 eve: after"]);
    // The next connection has the name, too, and what was typed under the former one keeps that.
    trial.line("more");
    trial.line("/nick dan");
    trial.wants();
    trial.lose(1);
    trial.wants();
    assert_eq!(trial.come_back(2), ["join 2 after 8 as dan"]);
    trial.joined(2, 9, 9);
    assert_eq!(trial.wants(), ["* connected again", "* you are dan now", "say 2 more as eve"]);
}

#[test]
fn a_name_that_the_server_does_not_allow_is_not_taken() {
    let mut trial = live_with_presence();
    trial.line("/nick bob");
    trial.wants();
    trial.answer(1, left());
    assert_eq!(trial.wants(), ["join 1 after 6 as bob"]);
    trial.answer(1, Response::Error(ErrorResponse::request("Not allowed", "The name 'bob' belongs to an account")));
    let refused = "! Not allowed: The name 'bob' belongs to an account; you stay ann";
    assert_eq!(trial.wants(), [refused, "join 1 after 6 as ann"]);
    trial.joined(1, 7, 7);
    trial.push(1, &message(7, "bob", "hello"));
    assert_eq!(trial.wants(), [""; 0]);
    trial.line("still");
    assert_eq!(trial.wants(), ["say 1 still"]);
}

#[test]
fn a_name_is_a_guests_and_a_valid_one() {
    let mut trial = Trial::live(true, &[]);
    for (line, start) in [
        ("/nick", "! /nick takes a name: "),
        ("/nick ann", "! you are ann already"),
        ("/nick eve", "* you are eve now"),
    ] {
        trial.line(line);
        let wants = trial.wants();
        assert!(wants.len() == 1 && wants[0].starts_with(start), "{wants:?}");
    }
    trial.session.options.signs_in = true;
    trial.line("/nick dan");
    trial.line("hi");
    assert_eq!(trial.wants(), ["! an account keeps its name; /nick is for guests", "say 1 hi as eve"]);
}

#[test]
fn a_name_that_is_chosen_while_a_join_is_under_way_is_taken_by_another_one() {
    let mut trial = live_with_presence();
    trial.lose(1);
    trial.wants();
    assert_eq!(trial.come_back(2), ["join 2 after 6 as ann"]);
    trial.line("/nick eve");
    assert_eq!(trial.wants(), [""; 0]);
    trial.joined(2, 7, 7);
    assert_eq!(trial.wants(), ["* connected again", "Leave { channel_name: \"general\" }"]);
    trial.push(2, &message(7, "bob", "hello"));
    trial.answer(2, left());
    assert_eq!(trial.wants(), ["join 2 after 6 as eve"]);
    trial.joined(2, 7, 7);
    trial.push(2, &message(7, "bob", "hello"));
    assert_eq!(trial.wants(), ["* you are eve now"]);
}

#[test]
fn a_refusal_of_the_former_name_is_none_of_the_one_chosen_meanwhile() {
    let mut trial = live_with_presence();
    trial.line("/nick bob");
    trial.answer(1, left());
    trial.line("/nick eve");
    trial.wants();
    trial.answer(1, Response::Error(ErrorResponse::request("Not allowed", "The name 'bob' belongs to an account")));
    assert_eq!(trial.wants(), ["join 1 after 6 as eve"]);
    trial.joined(1, 7, 7);
    assert_eq!(trial.wants(), ["* you are eve now"]);
}

#[test]
fn the_user_is_not_shown_to_leave_under_a_former_name_but_others_of_that_name_are() {
    let mut trial = live_with_presence();
    trial.line("/nick eve");
    trial.answer(1, left());
    trial.joined(1, 7, 7);
    trial.wants();
    trial.session.handle_event(trial.now, 1.into(), presence(&["eve"], &["ann"]));
    assert_eq!(trial.wants(), [""; 0]);
    trial.session.handle_event(trial.now, 1.into(), presence(&["ann"], &[]));
    trial.session.handle_event(trial.now, 1.into(), presence(&[], &["ann"]));
    assert_eq!(trial.wants(), ["* ann joined", "* ann left"]);
}

#[test]
fn the_present_name_is_mentioned_and_the_users_own_messages_mention_nobody() {
    let mut trial = live_with_presence();
    trial.line("/nick eve");
    trial.answer(1, left());
    trial.joined(1, 7, 7);
    trial.push(1, &message(7, "bob", "hello"));
    trial.wants();
    trial.push(1, &message(8, "bob", "Eve?"));
    trial.push(1, &message(9, "bob", "ann?"));
    trial.push(1, &message(10, "ann", "eve is me"));
    assert_eq!(trial.wants(), ["8 bob: Eve? (new mention)", "9 bob: ann?", "10 ann: eve is me"]);
}

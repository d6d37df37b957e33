//! Reading back and searching.

use super::*;

fn history(ids: std::ops::RangeInclusive<u64>) -> Response {
    let messages = ids.map(|id| message(id, "bob", "old")).collect();
    Response::History { channel_name: "general".parse().unwrap(), messages }
}

#[test]
fn messages_wait_while_older_ones_are_read_and_none_is_lost() {
    let mut trial = Trial::live(true, &[message(107, "bob", "hello")]);
    trial.session.handle_read_back();
    assert_eq!(trial.wants(), ["read back 1 of general", "tabs [1 general]"]);
    trial.session.handle_older(trial.now, 107);
    assert_eq!(trial.wants(), ["history 1 Before(107) 100"]);
    trial.push(1, &message(108, "bob", "ann, meanwhile"));
    assert_eq!(trial.wants(), ["ring", "tabs [1 general +1 @1]"]);
    trial.answer(1, history(7..=106));
    assert_eq!(trial.wants(), ["100 before 107"]);
    // What is typed then is said as ever.
    trial.session.handle_read_on();
    trial.line("hi");
    assert_eq!(trial.wants(), ["108 bob: ann, meanwhile (mention)", "tabs ", "say 1 hi"]);
    trial.push(1, &message(109, "ann", "hi"));
    assert_eq!(trial.wants(), ["109 ann: hi"]);
    // What was read once is loaded, also for a search.
    trial.line("/search Old");
    assert_eq!(trial.wants(), ["read back 103 of general for Old", "tabs [1 general]"]);
    trial.session.handle_read_on();
    trial.line("/search");
    assert_eq!(trial.wants()[1], "read back 103 of general for Old");
}

#[test]
fn older_messages_that_cannot_come_are_told_of() {
    let mut trial = Trial::live(true, &[message(107, "bob", "hello")]);
    trial.session.handle_read_back();
    trial.session.handle_older(trial.now, 107);
    trial.wants();
    trial.answer(1, Response::Error(ErrorResponse::server("Database connection failed", "x")));
    assert_eq!(trial.wants(), ["none before 107: Database connection failed: x"]);
    trial.session.handle_older(trial.now, 107);
    trial.lose(1);
    assert_eq!(trial.wants()[1], "none before 107: lost");
    trial.session.handle_older(trial.now, 107);
    assert!(trial.wants().contains(&"none before 107: there is no connection now".into()));
}

#[test]
fn nothing_is_read_back_where_there_is_nothing() {
    let mut trial = Trial::live(true, &[]);
    trial.line("/search");
    trial.session.handle_read_back();
    trial.line("/leave");
    trial.line("/search x");
    let none = ["! /search needs a text", "! no message was loaded"];
    assert_eq!(trial.wants()[..2], none);
    assert_eq!(trial.wants().last(), None);
    let mut pipe = Trial::live(false, &[message(7, "bob", "hello")]);
    pipe.line("/search hello");
    assert!(pipe.wants()[0].starts_with("! /search needs a terminal"));
}

#[test]
fn a_screen_that_lags_while_older_messages_are_read_leaves_no_channel() {
    let mut trial = Trial::live(true, &[message(7, "bob", "hello")]);
    trial.session.handle_read_back();
    trial.wants();
    trial.session.handle_behind();
    trial.push(1, &message(8, "bob", "b"));
    assert_eq!(trial.wants(), ["tabs [1 general +1]"]);
    trial.session.handle_read_on();
    assert_eq!(trial.wants(), ["8 bob: b", "tabs "]);
}

#[test]
fn requests_of_a_connection_that_ends_or_is_given_up_while_the_channel_is_joined_again_are_told_of() {
    for is_lost in [true, false] {
        let mut trial = Trial::live(true, &[message(107, "ann", "mine")]);
        trial.session.handle_behind();
        trial.session.handle_older(trial.now, 107);
        trial.line("/delete 107");
        trial.line("y");
        trial.session.handle_caught_up();
        trial.answer(1, left());
        trial.wants();
        assert!(matches!(trial.session.current().unwrap().phase, Phase::Joining(_)));
        if is_lost {
            trial.lose(1);
        } else {
            // The user does not wait for the answers.
            trial.session.handle_end(trial.now);
            trial.session.handle_end(trial.now);
        }
        let wants = trial.wants();
        let told = |start: &str| wants.iter().any(|want| want.starts_with(start));
        assert!(told("none before 107: ") && told("! whether message 107 is deleted is not known"), "{wants:?}");
    }
}

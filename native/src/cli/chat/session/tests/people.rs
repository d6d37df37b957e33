//! The people of a channel.

use super::*;

#[test]
fn a_host_that_says_who_is_there_is_told_the_name_and_asked_by_a_command() {
    let mut trial = Trial::new(true);
    trial.wants();
    trial.session.handle_connected(1.into());
    let mut hello = Hello::new(65_536);
    hello.features = vec![Hello::PRESENCE.into()];
    trial.session.handle_hello(1.into(), Some(hello));
    trial.wants();
    trial.listed(1, "127.0.0.1:22236");
    let Some(Output::Send { request: Request::Join { username, .. }, .. }) = trial.session.poll_output() else {
        panic!("no JOIN")
    };
    assert_eq!(username, Some("ann".parse().unwrap()));
    trial.joined(1, 1, 0);
    trial.wants();
    trial.line("/who");
    assert_eq!(trial.wants(), ["Who { channel_name: \"general\" }"]);
    let users = ["ann", "bob"].map(|name| chanwire_core::wire::User { username: name.parse().unwrap(), account: None });
    let channel_name = "general".parse().unwrap();
    trial.answer(1, Response::Who { channel_name, count: 3, users: users.into(), complete: true });
    assert_eq!(trial.wants(), ["* here, on 3 connections: ann, bob"]);
}

#[test]
fn a_host_that_does_not_say_who_is_there_is_not_told_the_name() {
    let mut trial = Trial::new(true);
    trial.wants();
    trial.connected(1);
    trial.wants();
    trial.listed(1, "127.0.0.1:22236");
    let Some(Output::Send { request: Request::Join { username: None, .. }, .. }) = trial.session.poll_output() else {
        panic!("no JOIN without a name")
    };
    trial.joined(1, 1, 0);
    trial.wants();
    trial.line("/who");
    assert_eq!(trial.wants(), ["! this channel's host does not say who is there"]);
}

#[test]
fn those_who_join_and_leave_are_shown_to_a_user_who_wants_it_but_not_the_user() {
    for (interactive, shows_presence) in [(true, true), (true, false), (false, true)] {
        let mut trial = Trial::live(interactive, &[]);
        trial.session.rooms[0].options.shows_presence = shows_presence;
        for (joined, left) in
            [(&["ann", "bob"][..], &[][..]), (&[], &["cleo", "bob"]), (&["dan"], &["eve"]), (&["ann"], &[])]
        {
            trial.session.handle_event(trial.now, 1.into(), presence(joined, left));
        }
        // A channel of many has notices without names.
        trial.session.handle_event(trial.now, 1.into(), presence(&[], &[]));
        let shown: &[&str] = &["* bob joined", "* cleo, bob left", "* dan joined; eve left"];
        assert_eq!(trial.wants(), if interactive && shows_presence { shown } else { &[] });
    }
}

#[test]
fn mentions_by_others_are_marked_and_new_ones_told_from_earlier_ones() {
    let mut trial = Trial::live(true, &[message(7, "bob", "hello")]);
    trial.line("/history");
    trial.wants();
    let messages = vec![message(6, "bob", "is Ann here?")];
    trial.answer(1, Response::History { channel_name: "general".parse().unwrap(), messages });
    assert_eq!(trial.wants()[1], "6 bob: is Ann here? (mention)");
    for (id, name, text, shown) in [
        (8, "bob", "ann!", "8 bob: ann! (new mention)"),
        (9, "ann", "ann is me", "9 ann: ann is me"),
        (10, "bob", "annoying", "10 bob: annoying"),
    ] {
        trial.push(1, &message(id, name, text));
        assert_eq!(trial.wants(), [shown]);
    }
    // What was missed is not new.
    trial.lose(1);
    trial.wants();
    trial.come_back(2);
    trial.joined(2, 10, 11);
    trial.push(2, &message(10, "bob", "annoying"));
    trial.push(2, &message(11, "bob", "ann?"));
    assert_eq!(trial.wants()[1..], ["11 bob: ann? (mention)"]);
}

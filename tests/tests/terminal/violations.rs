//! `join` and `chat` on a server that breaks the protocol: the violation is shown, and the connection made anew.

use crate::{
    fake::{Fake, joined, push},
    running::Running,
};

/// Pushes after message 5, each with the violation that is shown.
const VIOLATIONS: [(&str, u64, &str); 3] = [
    ("g", 5, "the server pushed message 5, repeated or out of order: the next is above 5"),
    ("g", 4, "the server pushed message 4, repeated or out of order: the next is above 5"),
    ("another", 6, "the server pushed a message of the channel 'another', which is not joined"),
];

#[test]
fn join_shows_a_violation_and_goes_on_after_the_last_message() {
    for (channel, id, words) in VIOLATIONS {
        let server = Fake::listen();
        let join = Running::start(server.address(), &["join", "g", "--history", "1"]);
        let mut client = server.accept_greeting();
        client.expect("JOIN\r\n{\"channel_name\": \"g\", \"history\": 1}");
        client.answer(&[joined(5, 5), push("g", 5), push(channel, id)].concat());
        client.expect_end();
        join.error.wait_with(&format!("{}: {words}; coming back after message 5", server.address()));

        let mut client = server.accept_greeting();
        client.expect("JOIN\r\n{\"channel_name\": \"g\", \"after\": 5}");
        client.answer(&[joined(6, 6), push("g", 6)].concat());
        join.error.wait_with("connected again");
        let printed = join.out.wait(2);
        assert!(printed[0].ends_with("5 bob: number 5") && printed[1].ends_with("6 bob: number 6"), "{printed:?}");
    }
}

#[test]
fn chat_shows_a_violation_and_goes_on_after_the_last_message() {
    for (channel, id, words) in VIOLATIONS {
        let server = Fake::listen();
        let chat = Running::start(server.address(), &["chat", "g", "--user", "ann"]);
        let mut client = server.accept_and_list();
        client.expect("JOIN\r\n{\"channel_name\": \"g\", \"history\": 20}");
        client.answer(&[joined(5, 5), push("g", 5), push(channel, id)].concat());
        client.expect_end();
        chat.error.wait_with(&format!("{}: {words} (trying again)", server.address()));

        let mut client = server.accept_and_list();
        // Again the last message that is known, by which the history is known again.
        client.expect("JOIN\r\n{\"channel_name\": \"g\", \"after\": 4}");
        client.answer(&[joined(5, 6), push("g", 5), push("g", 6)].concat());
        chat.error.wait_with("connected again");
        let printed = chat.out.wait(2);
        assert!(printed[0].ends_with("bob: number 5") && printed[1].ends_with("bob: number 6"), "{printed:?}");
    }
}

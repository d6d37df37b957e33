//! `chanwire chat` through pipes.

use std::collections::BTreeSet;

use chanwire_tests::process::{Launch, Server, refusing_address};
use tempfile::tempdir;

use crate::running::{Running, again, general};

/// Returns the messages that a chat has shown, without their times.
fn shown_messages(chat: &Running) -> Vec<String> {
    chat.out.all().iter().map(|line| line.split_once(' ').unwrap().1.into()).collect()
}

/// Returns the messages in the channel's history.
fn stored(server: &Server) -> Vec<String> {
    let history = Launch::new(["history", "general", "--after", "0", "--limit", "1000", "--server"])
        .arg(server.address(0).to_string())
        .run();
    assert_eq!(history.code, Some(0), "{history:?}");
    history.stdout.lines().map(|line| line.splitn(3, ' ').nth(2).unwrap().into()).collect()
}

#[test]
fn two_users_chat() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let (mut ann, mut bob) = (Running::chat(server.address(0), "ann"), Running::chat(server.address(0), "bob"));
    ann.line("hello");
    bob.out.wait(1);
    bob.line("hello yourself");
    bob.line("//twice");
    ann.out.wait(3);
    let expected = ["ann: hello", "bob: hello yourself", "bob: /twice"];
    assert_eq!(shown_messages(&ann), expected);
    ann.line("/list");
    ann.out.wait_with("general  ");
    // A user that joins later sees the earlier messages.
    let mut eve = Running::chat(server.address(0), "eve");
    eve.out.wait(3);
    assert_eq!(shown_messages(&eve), expected);
    eve.line("/quit");
    ann.end();
    bob.end();
    for chat in [&mut ann, &mut bob, &mut eve] {
        assert!(chat.wait().success(), "{:?}", chat.error.all());
    }
    server.stop();
}

#[test]
fn a_pipe_sends_its_lines_and_the_chat_ends_when_all_are_answered() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let lines: String = (0..500).map(|number| format!("{number}\n")).collect();
    let chat = Launch::new(["chat", "general", "--user", "ann", "--server"]).arg(server.address(0).to_string());
    let chat = chat.input(lines.as_bytes()).run();
    assert_eq!(chat.code, Some(0), "{chat:?}");
    assert_eq!(stored(&server), (0..500).map(|number| format!("ann: {number}")).collect::<Vec<_>>());
    server.stop();
}

#[test]
fn a_chat_across_a_killed_server_loses_and_repeats_nothing() {
    const ROUNDS: usize = 6;
    const EACH: usize = 40;
    let data = tempdir().unwrap();
    let mut server = general(data.path());
    let address = server.address(0);
    let mut chats = [Running::chat(address, "ann"), Running::chat(address, "bob")];
    for round in 0..ROUNDS {
        for number in 0..EACH {
            for chat in &mut chats {
                // The same words again and again, too: of these only the number tells.
                if number % 4 == 0 {
                    chat.line("hm");
                }
                chat.line(&format!("{round}.{number}"));
            }
            if number == EACH / 2 {
                // Some are answered, and others are on their way.
                chats[0].out.wait_with(&format!(": {round}.{}", number / 2));
                server.kill();
                server = again(data.path(), address);
            }
        }
        chats.iter().for_each(|chat| chat.error.wait_with_many("connected again", round + 1));
    }
    for chat in &chats {
        for user in ["ann", "bob"] {
            chat.out.wait_with(&format!("{user}: {}.{}", ROUNDS - 1, EACH - 1));
        }
    }
    let stored = stored(&server);
    for user in ["ann", "bob"] {
        let own: Vec<_> = stored.iter().filter_map(|line| line.strip_prefix(&format!("{user}: "))).collect();
        let once: BTreeSet<_> = own.iter().filter(|text| **text != "hm").collect();
        assert_eq!(once.len(), ROUNDS * EACH, "{user}: a message is lost: {own:?}");
        assert_eq!(own.len(), ROUNDS * (EACH + EACH / 4), "{user}: a message is lost or doubled: {own:?}");
    }
    // Both have seen what is stored, each message once and in its order.
    for mut chat in chats {
        chat.out.wait(stored.len());
        chat.end();
        assert!(chat.wait().success(), "{:?}", chat.error.all());
        assert_eq!(shown_messages(&chat), stored);
    }
    server.stop();
}

#[test]
fn chat_escapes_control_characters_of_others() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let chat = Running::chat(server.address(0), "ann");
    let hostile = "\u{1b}[2J\u{1b}[10;10Hmoved \u{1b}]0;title\u{7} \u{202e}desrever\u{2066} \u{9b}31m";
    let send = Launch::new(["send", "--user", "eve", hostile, "--server"]).arg(server.address(0).to_string()).run();
    assert_eq!(send.code, Some(0), "{send:?}");
    chat.out.wait(1);
    let shown = r"eve: \u{1b}[2J\u{1b}[10;10Hmoved \u{1b}]0;title\u{7} \u{202e}desrever\u{2066} \u{9b}31m";
    assert_eq!(shown_messages(&chat), [shown]);
    let tail = Running::start(server.address(0), &["join", "general", "--history", "1"]);
    assert!(tail.out.wait(1)[0].ends_with(shown));
    server.stop();
}

#[test]
fn a_chat_that_cannot_begin_reports_the_reason() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let chat = |arguments: &[&str], address: &str| {
        Launch::new(["chat", "--server", address]).args(arguments).variable("USER", "ann").run()
    };
    let address = server.address(0).to_string();
    let nowhere = chat(&["gaming"], &address);
    let expected = format!("chanwire: there is no channel 'gaming' at {address}; it lists general");
    assert_eq!(nowhere.refusal(3), expected);
    let nobody = chat(&["general", "--user", " "], &address);
    assert!(nobody.refusal(2).contains("'username'"), "{nobody:?}");
    let (_socket, refusing) = refusing_address();
    let closed = chat(&["general"], &refusing.to_string());
    assert!(closed.refusal(1).ends_with("is a server running there?"), "{closed:?}");
    server.stop();
}

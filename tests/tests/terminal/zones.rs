//! Times and days in the time zone that `TZ` names.

use std::process::Command;

use chanwire_tests::process::{Launch, binary};

use crate::{
    fake::{Fake, joined, stored},
    running::Running,
};

/// Fourteen hours ahead of UTC, without a look at the system's list of zones.
const AHEAD: &str = "<+14>-14";

#[test]
fn chat_shows_times_and_days_of_the_zone_and_so_does_its_history() {
    let server = Fake::listen();
    let mut command = Command::new(binary());
    command.args(["chat", "g", "--user", "ann", "--server", &server.address().to_string()]).env("TZ", AHEAD);
    let mut chat = Running::spawn(&mut command);
    let mut client = server.accept_and_list();
    client.expect("JOIN\r\n");
    let pushes = [(7, "2023-11-02T09:59:59Z"), (8, "2023-11-02T10:00:00Z")];
    let pushes = pushes.map(|(id, timestamp)| format!("MESSAGE\r\n{}", stored("g", id, timestamp)));
    client.answer(&(joined(7, 8) + &pushes.concat()));
    assert_eq!(chat.out.wait(2), ["23:59 bob: number 7", "00:00 bob: number 8"]);
    chat.error.wait_with("* 2023-11-02");
    chat.error.wait_with("* 2023-11-03");

    chat.line("/history 1");
    client.expect("HISTORY\r\n{\"channel_name\": \"g\", \"before\": 7, \"limit\": 1}");
    let older = stored("g", 6, "2023-10-31T12:30:00Z");
    client.answer(&format!("OK\r\n{{\"channel_name\": \"g\", \"messages\": [{older}]}}"));
    assert_eq!(chat.out.wait(3)[2], "02:30 bob: number 6");
    chat.error.wait_with("* 2023-11-01");
}

#[test]
fn the_command_history_shows_the_times_of_the_protocol_in_every_zone() {
    let server = Fake::listen();
    let address = server.address().to_string();
    let answering = std::thread::spawn(move || {
        let mut client = server.accept();
        client.expect("HISTORY\r\n");
        let message = stored("g", 1, "2023-11-02T10:00:00Z");
        client.answer(&format!("OK\r\n{{\"channel_name\": \"g\", \"messages\": [{message}]}}"));
    });
    let history = Launch::new(["history", "g", "--server", &address]).variable("TZ", AHEAD).run();
    assert_eq!(history.stdout, "2023-11-02T10:00:00Z 1 bob: number 1\n", "{history:?}");
    answering.join().unwrap();
}

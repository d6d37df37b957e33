//! Pastes into `chanwire chat`, on a real terminal.

use std::{net::SocketAddr, path::Path};

use chanwire_tests::process::{Launch, binary, wait_for};
use tempfile::tempdir;

use crate::{running::general, tmux::Tmux};

fn chat(folder: &Path, server: SocketAddr) -> Tmux {
    let (binary, server) = (binary(), server.to_string());
    let chat = ["env", "TZ=UTC", binary.to_str().unwrap(), "chat", "general", "--user", "ann", "--server", &server];
    let tmux = Tmux::run_in(folder, ("80", "24"), &chat);
    tmux.shows(&["on general at", "\n>"]);
    tmux
}

/// Waits until at least this number of messages is stored, and returns them.
fn stored(server: SocketAddr, count: usize) -> Vec<String> {
    wait_for(&format!("{count} messages"), || {
        let mut messages: Vec<String> = Vec::new();
        loop {
            let history = Launch::new(["history", "general", "--json", "--limit", "1000", "--after"]);
            let history = history.arg(messages.len().to_string()).args(["--server", &server.to_string()]).run();
            let page: serde_json::Value = serde_json::from_str(&history.stdout).unwrap();
            let page = page.pointer("/payload/messages").unwrap().as_array().unwrap();
            if page.is_empty() {
                return (messages.len() >= count).then_some(messages);
            }
            messages
                .extend(page.iter().map(|message| message.get("message_content").unwrap().as_str().unwrap().into()));
        }
    })
}

#[test]
fn a_paste_of_one_line_is_inserted_whole_at_any_size() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    let tmux = chat(data.path(), address);
    for (count, length) in [1024, 2500, 60_000].into_iter().enumerate() {
        let text = "abcdefghi ".repeat(length / 10);
        tmux.paste(text.as_bytes(), true);
        // The paste is complete without a further key.
        tmux.shows(&["abcdefghi"]);
        tmux.keys(&["Enter"]);
        assert_eq!(stored(address, count + 1).pop().unwrap(), text);
    }
    // An unmarked paste, as of terminals without bracketed paste.
    let text = "0123456789".repeat(500);
    tmux.paste(format!("{text}\nsecond\n").as_bytes(), false);
    assert_eq!(stored(address, 5)[3..], [text, "second".into()]);
    for too_long in [70_000, 1_500_000] {
        tmux.paste("x".repeat(too_long).as_bytes(), true);
        tmux.shows(&[&format!(
            "not sent: a {} of {too_long} bytes",
            if too_long > 1 << 20 { "paste" } else { "line" }
        )]);
    }
    tmux.keys(&["C-l"]);
    tmux.text("after it");
    tmux.keys(&["Enter"]);
    assert_eq!(stored(address, 6).pop().unwrap(), "after it");
    server.stop();
}

#[test]
fn a_paste_keeps_its_tabs_and_is_never_a_command() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    let tmux = chat(data.path(), address);
    tmux.paste(b"name\tport\n", false);
    tmux.shows(&["ann: name"]);
    tmux.paste(b"name\tport\n", true);
    tmux.shows(&["> name"]);
    tmux.keys(&["Enter"]);
    for command in ["/quit", "//twice", "/leave"] {
        tmux.paste(command.as_bytes(), true);
        tmux.shows(&[&format!("> /{command}")]);
        tmux.keys(&["Enter"]);
        tmux.shows(&[&format!("ann: {command}")]);
    }
    assert_eq!(stored(address, 5), ["name\tport", "name\tport", "/quit", "//twice", "/leave"]);
    server.stop();
}

#[test]
fn a_paste_of_many_lines_asks_once_and_keeps_what_is_being_typed() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    let tmux = chat(data.path(), address);
    let lines: Vec<String> =
        ["/quit".into(), "/leave".into()].into_iter().chain((0..198).map(|line| format!("line\t{line}"))).collect();
    let paste = lines.join("\r\n") + "\n";
    tmux.text("being typed");
    tmux.shows(&["> being typed"]);
    tmux.paste(paste.as_bytes(), true);
    tmux.shows(&["send 200 lines? y/n", "\ny/n>"]);
    tmux.text("n");
    tmux.keys(&["Enter"]);
    tmux.shows(&["\n> being typed"]);
    tmux.paste(paste.as_bytes(), true);
    tmux.shows(&["\ny/n>"]);
    tmux.text("y");
    tmux.keys(&["Enter"]);
    assert_eq!(stored(address, 200), lines);
    tmux.shows(&["\n> being typed"]);
    tmux.keys(&["C-c"]);
    tmux.paste(b"one\ntwo\n", true);
    tmux.shows(&["send 2 lines? y/n"]);
    tmux.text("o");
    tmux.keys(&["Enter"]);
    tmux.shows(&["ann: one\n      two"]);
    assert_eq!(stored(address, 201)[200], "one\ntwo");
    server.stop();
}

#[test]
fn a_megabyte_of_lines_is_sent() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    let tmux = chat(data.path(), address);
    let lines: Vec<String> = (0..10_000).map(|line| format!("{line} {}", "x".repeat(95))).collect();
    tmux.paste(lines.join("\n").as_bytes(), true);
    tmux.shows(&["send 10000 lines? y/n"]);
    tmux.text("y");
    tmux.keys(&["Enter"]);
    assert_eq!(stored(address, 10_000), lines);
    server.stop();
}

//! `chanwire chat` in a real terminal, as tmux shows it.

use std::net::SocketAddr;

use chanwire_tests::process::Launch;
use tempfile::tempdir;

use crate::{
    running::{again, general},
    tmux::Tmux,
};

/// Returns the screen with `HH:MM` for every time and `SERVER` for the address.
fn without_times(screen: &str, server: SocketAddr) -> String {
    let line = |line: &str| match line.split_once(' ') {
        Some((time, rest)) if time.len() == 5 && time.as_bytes().get(2) == Some(&b':') => format!("HH:MM {rest}\n"),
        Some(("*", day)) if day.len() == 10 && day.starts_with("20") => "* DAY\n".into(),
        _ => format!("{line}\n"),
    };
    let lines: String = screen.trim_end().lines().map(line).collect();
    lines.replace(&server.to_string(), "SERVER")
}

fn send(server: SocketAddr, text: &str) {
    let sent = Launch::new(["send", "--user", "bob", text, "--server"]).arg(server.to_string()).run();
    assert_eq!(sent.code, Some(0), "{sent:?}");
}

#[test]
fn incoming_messages_appear_above_the_input_line() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    send(address, "before");
    let arguments = ["chat", "general", "--user", "ann", "--server", &address.to_string()];
    let tmux = Tmux::run(data.path(), &[], &arguments);
    tmux.shows(&["bob: before", "\n>"]);
    tmux.text("hello bob");
    tmux.keys(&["Enter"]);
    tmux.shows(&["ann: hello bob"]);
    tmux.text("a line not sent yt");
    tmux.keys(&["Left", "e"]);
    tmux.shows(&["> a line not sent yet"]);
    send(address, "\u{1b}[2J\u{1b}[1;1H\u{1b}]0;mine\u{7}\u{202e}back");
    let screen = tmux.shows(&["202e}back", "> a line not sent yet"]);
    let expected = r"* times are UTC
* on general at SERVER as ann; /help shows the commands
* DAY
HH:MM bob: before
HH:MM ann: hello bob
HH:MM bob: \u{1b}[2J\u{1b}[1;1H\u{1b}]0;mine\u{7}\u{202e}back
> a line not sent yet
";
    assert_eq!(without_times(&screen, address), expected);
    assert_ne!(tmux.ask(&["display-message", "-p", "#{pane_title}"]), "mine\n");

    // It stays while the server is away, and what is typed then is sent when it is back.
    server.kill();
    tmux.shows(&["(trying again)"]);
    tmux.keys(&["Enter"]);
    tmux.shows(&["kept until there is a connection: a line not sent yet"]);
    let server = again(data.path(), address);
    tmux.shows(&["connected again", "ann: a line not sent yet"]);
    tmux.keys(&["Up"]);
    tmux.shows(&["> a line not sent yet"]);
    tmux.keys(&["C-u"]);
    tmux.text("/quit");
    tmux.keys(&["Enter"]);
    assert_eq!(tmux.exit_code(), 0);
    server.stop();
}

#[test]
fn colours_are_off_with_no_color() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    send(address, "before");
    let arguments = ["chat", "general", "--user", "ann", "--server", &address.to_string()];
    for (name, variables, wanted) in [("with", &[][..], true), ("without", &["NO_COLOR=1"], false)] {
        let folder = data.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let tmux = Tmux::run(&folder, variables, &arguments);
        tmux.shows(&["bob: before", "\n>"]);
        let screen = tmux.ask(&["capture-pane", "-p", "-e"]);
        assert_eq!(screen.contains('\u{1b}'), wanted, "{screen:?}");
    }
    server.stop();
}

//! Several channels in one `chanwire chat`.

use std::{fs, net::SocketAddr, path::Path};

use chanwire_tests::process::{Launch, Server, binary, wait_for};
use tempfile::tempdir;

use crate::{
    fake::{Fake, joined},
    running::{Running, again, general},
    tmux::Tmux,
};

/// Lists a channel of `host` at `tracker` and at its host.
fn host(tracker: SocketAddr, host: SocketAddr, channel: &str) {
    for server in if tracker == host { vec![host] } else { vec![host, tracker] } {
        let hosted = Launch::new(["host", channel, &host.to_string(), "--server", &server.to_string()]).run();
        assert_eq!(hosted.code, Some(0), "{hosted:?}");
    }
}

fn send(server: SocketAddr, channel: &str, text: &str) {
    let send = ["send", "--user", "bob", "--channel", channel, text, "--server"];
    let sent = Launch::new(send).arg(server.to_string()).run();
    assert_eq!(sent.code, Some(0), "{sent:?}");
}

/// Returns a server with `general`, and another one with `away`, which the first lists.
fn two_servers(data: &Path) -> (Server, Server) {
    let folders = ["tracker", "peer"].map(|name| data.join(name));
    folders.iter().for_each(|folder| fs::create_dir(folder).unwrap());
    let [tracker, peer] = folders.map(|folder| general(&folder));
    host(tracker.address(0), peer.address(0), "away");
    (tracker, peer)
}

/// Returns a chat of ann's on `general` in so many columns and 24 rows.
fn chat(folder: &Path, server: SocketAddr, columns: &str) -> Tmux {
    let (binary, server) = (binary(), server.to_string());
    let command = ["env", "TZ=UTC", binary.to_str().unwrap(), "chat", "general", "--user", "ann", "--server", &server];
    let tmux = Tmux::run_in(folder, (columns, "24"), &command);
    tmux.shows(&["on general at", "\n>"]);
    tmux
}

#[test]
fn the_channels_are_listed_above_the_line_with_what_is_new_in_the_others() {
    let data = tempdir().unwrap();
    let (tracker, peer) = two_servers(data.path());
    let address = tracker.address(0);
    host(address, address, "世界");
    for columns in ["60", "120"] {
        let folder = data.path().join(columns);
        fs::create_dir(&folder).unwrap();
        let tmux = chat(&folder, address, columns);
        assert!(!tmux.screen().contains("[1 general]"));
        tmux.text("/join aw");
        tmux.keys(&["Tab", "Enter"]);
        tmux.shows(&["* on away at", "\n1 general  [2 away]\n>"]);
        tmux.text("/join 世");
        tmux.keys(&["Tab", "Enter"]);
        tmux.shows(&["* on 世界 at", "\n1 general  2 away  [3 世界]\n>"]);
        tmux.text("half a lin");
        send(address, "general", &format!("one of {columns}"));
        send(address, "general", &format!("Ann? {columns}"));
        send(peer.address(0), "away", &format!("far {columns}"));
        let screen = tmux.shows(&["\n1 general +2 @1  2 away +1  [3 世界]\n> half a lin\n"]);
        assert!(!screen.contains(&format!("one of {columns}")), "{screen}");
        tmux.keys(&["M-2"]);
        let screen =
            tmux.shows(&[&format!("bob: far {columns}"), "\n1 general +2 @1  [2 away]  3 世界\n> half a lin\n"]);
        assert!(!screen.contains(&format!("one of {columns}")), "{screen}");
        tmux.text(&format!("e {columns}"));
        tmux.keys(&["Enter"]);
        tmux.shows(&[&format!("ann: half a line {columns}\n")]);
        tmux.text("/switch gen");
        tmux.keys(&["Tab", "Enter"]);
        tmux.shows(&[
            &format!("bob: one of {columns}\n"),
            &format!("bob: Ann? {columns}\n"),
            "\n[1 general]  2 away  3 世界\n>",
        ]);
        tmux.text("/leave 3");
        tmux.keys(&["Enter"]);
        tmux.shows(&["* left 世界", "\n[1 general]  2 away\n>"]);
        tmux.text("/leave");
        tmux.keys(&["Enter"]);
        let screen = tmux.shows(&["* left general; on away"]);
        let last: Vec<_> = screen.trim_end().lines().rev().take(2).collect();
        assert!(last[0].trim_end() == ">" && !last[1].contains("[1"), "{screen}");
        tmux.text("/quit");
        tmux.keys(&["Enter"]);
        assert_eq!(tmux.exit_code(), 0);
    }
    tracker.stop();
    peer.stop();
}

#[test]
fn a_narrower_terminal_shortens_the_list_of_channels_and_leaves_nothing_behind() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let names: Vec<String> = (1..=7).map(|number| format!("channel-{number}")).collect();
    names.iter().for_each(|name| host(server.address(0), server.address(0), name));
    let tmux = chat(data.path(), server.address(0), "120");
    for name in &names {
        tmux.text(&format!("/join {name}"));
        tmux.keys(&["Enter"]);
        tmux.shows(&[&format!("* on {name} at")]);
    }
    let whole =
        "1 general  2 channel-1  3 channel-2  4 channel-3  5 channel-4  6 channel-5  7 channel-6  [8 channel-7]";
    tmux.shows(&[&format!("\n{whole}\n>")]);
    tmux.text("typed");
    tmux.ask(&["resize-window", "-x", "60", "-y", "24"]);
    tmux.shows(&["\n[8 channel-7]  …\n> typed\n"]);
    tmux.ask(&["resize-window", "-x", "110", "-y", "24"]);
    let screen = tmux.shows(&[&format!("\n{whole}\n> typed\n")]);
    assert_eq!(screen.matches("> typed").count(), 1, "{screen}");
    assert_eq!(screen.matches("channel-7]").count(), 1, "{screen}");
    server.stop();
}

#[test]
fn every_channel_comes_back_by_itself_and_sends_what_was_typed_to_it() {
    let data = tempdir().unwrap();
    let (mut tracker, mut peer) = two_servers(data.path());
    let (here, there) = (tracker.address(0), peer.address(0));
    let tmux = chat(data.path(), here, "100");
    tmux.text("/join away");
    tmux.keys(&["Enter"]);
    tmux.shows(&["* on away at"]);
    peer.kill();
    tmux.shows(&["\n1 general  [2 away ?]\n>"]);
    tmux.text("for away");
    tmux.keys(&["Enter"]);
    tmux.shows(&["* kept until there is a connection: for away"]);
    tmux.keys(&["M-1"]);
    tracker.kill();
    tmux.shows(&["\n[1 general ?]  2 away ?\n>"]);
    tmux.text("for general");
    tmux.keys(&["Enter"]);
    tmux.shows(&["* kept until there is a connection: for general"]);
    tracker = again(&data.path().join("tracker"), here);
    tmux.shows(&["\n* connected again", "ann: for general", "\n[1 general]  2 away ?\n>"]);
    peer = again(&data.path().join("peer"), there);
    tmux.shows(&["* away: connected again", "\n[1 general]  2 away\n>"]);
    tmux.keys(&["M-2"]);
    tmux.shows(&["ann: for away"]);
    for (server, channel, text) in [(here, "general", "for general"), (there, "away", "for away")] {
        let history = Launch::new(["history", channel, "--server"]).arg(server.to_string()).run();
        assert!(
            history.stdout.ends_with(&format!(" ann: {text}\n")) && history.stdout.lines().count() == 1,
            "{history:?}"
        );
    }
    tracker.stop();
    peer.stop();
}

#[test]
fn a_pipe_talks_on_several_channels() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    host(address, address, "other");
    let mut ann = Running::chat(address, "ann");
    ann.line("one");
    ann.line("/join other");
    ann.error.wait_with("on other at");
    ann.line("two");
    ann.out.wait_with("ann: two");
    send(address, "general", "meanwhile");
    ann.line("/switch general");
    ann.line("three");
    ann.out.wait_with("bob: meanwhile");
    ann.end();
    assert!(ann.wait().success(), "{:?}", ann.error.all());
    for (channel, texts) in [("general", &["one", "meanwhile", "three"][..]), ("other", &["two"])] {
        let stored = wait_for(channel, || {
            let history = Launch::new(["history", channel, "--server"]).arg(address.to_string()).run();
            let stored: Vec<_> =
                history.stdout.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect();
            if stored.len() == texts.len() { Ok(stored) } else { Err(history) }
        });
        assert_eq!(stored, texts);
    }
    server.stop();
}

#[test]
fn a_line_that_was_begun_for_a_channel_that_cannot_be_joined_is_not_sent_to_another_at_once() {
    let data = tempdir().unwrap();
    let server = Fake::listen();
    let tmux = Tmux::run(data.path(), &[], &["chat", "g", "--user", "ann", "--server", &server.address().to_string()]);
    let mut first = server.accept_and_list();
    first.expect("JOIN\r\n");
    first.answer(&joined(1, 0));
    tmux.shows(&["* on g at", "\n>"]);
    tmux.text("/join nope");
    tmux.keys(&["Enter"]);
    let mut second = server.accept_greeting();
    second.expect("LIST\r\n");
    tmux.text("secret");
    tmux.shows(&["\n> secret\n"]);
    second.answer("OK\r\n{\"channels\": []}");
    tmux.shows(&["(back to g", "\n> secret\n"]);
    tmux.keys(&["Enter"]);
    tmux.shows(&["not sent: another channel is shown now", "\n> secret\n"]);
    tmux.keys(&["C-c"]);
    tmux.text("public");
    tmux.keys(&["Enter"]);
    first.expect("MESSAGE\r\n{\"username\": \"ann\", \"message_content\": \"");
    first.expect("public");
}

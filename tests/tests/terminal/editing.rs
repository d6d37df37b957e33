//! The line that is being typed in `chanwire chat`, on a real terminal.

use std::{net::SocketAddr, path::Path};

use chanwire_tests::process::{Server, binary, wait_for};
use tempfile::tempdir;

use crate::{running::general, tmux::Tmux};

/// Returns a chat of ann's on `general` in so many columns and 24 rows.
fn chat(folder: &Path, server: SocketAddr, columns: &str) -> Tmux {
    let (binary, server) = (binary(), server.to_string());
    let chat = [binary.to_str().unwrap(), "chat", "general", "--user", "ann", "--server", &server];
    let tmux = Tmux::run_in(folder, (columns, "24"), &[&["env", "TZ=UTC"], &chat[..]].concat());
    tmux.shows(&["on general at", "\n>"]);
    tmux
}

/// Returns the rows that are not notes, without their times.
fn rows(screen: &str) -> Vec<String> {
    let rows = screen.lines().filter(|row| !row.starts_with("* ") && !row.starts_with("typed"));
    let untimed = rows.map(|row| if row.get(2..3) == Some(":") { row.get(6..).unwrap_or_default() } else { row });
    untimed.filter(|row| !row.is_empty()).map(Into::into).collect()
}

fn world() -> (tempfile::TempDir, Server) {
    let data = tempdir().unwrap();
    let server = general(data.path());
    (data, server)
}

#[test]
fn a_sent_line_that_wraps_leaves_nothing_behind() {
    let (data, server) = world();
    let tmux = chat(data.path(), server.address(0), "60");
    for (letter, length) in [("q", 130), ("x", 58), ("z", 57), ("w", 59), ("j", 600)] {
        tmux.keys(&["C-l"]);
        tmux.text(&letter.repeat(length));
        wait_for("the typed line", || (tmux.screen().matches(letter).count() == length).then_some(()));
        tmux.keys(&["Enter"]);
        let screen = tmux.shows(&[&format!("ann: {letter}"), "\n>"]);
        assert_eq!(screen.matches(letter).count(), length, "{screen}");
    }
    server.stop();
}

#[test]
fn wide_and_composed_characters_are_edited_where_they_are_seen() {
    let (data, server) = world();
    let tmux = chat(data.path(), server.address(0), "40");
    tmux.text("世界 二三四");
    tmux.shows(&["> 世界 二三四"]);
    tmux.keys(&["C-w"]);
    tmux.text("x");
    tmux.keys(&["Left", "Left", "Left"]);
    tmux.text("y");
    tmux.shows(&["> 世y界 x"]);
    let cursor = tmux.ask(&["display-message", "-p", "#{cursor_x}"]);
    assert_eq!(cursor.trim(), "5");
    tmux.keys(&["End", "BSpace", "BSpace", "BSpace"]);
    tmux.text("e\u{301}é");
    tmux.keys(&["Left", "BSpace", "Enter"]);
    tmux.shows(&["ann: 世yé"]);
    server.stop();
}

#[test]
fn chat_survives_any_terminal_size() {
    let (data, server) = world();
    let tmux = chat(data.path(), server.address(0), "60");
    let tty = tmux.ask(&["display-message", "-p", "#{pane_tty}"]);
    tmux.text(&"word ".repeat(30));
    tmux.shows(&["word word"]);
    for (columns, rows) in [("0", "0"), ("1", "1"), ("2", "1"), ("3", "0"), ("0", "7"), ("60", "24")] {
        let status =
            std::process::Command::new("stty").args(["-F", tty.trim(), "cols", columns, "rows", rows]).status();
        assert!(status.unwrap().success());
        tmux.text("é");
        tmux.keys(&["Left", "BSpace", "End"]);
    }
    tmux.keys(&["C-c"]);
    tmux.text("still here");
    tmux.keys(&["Enter"]);
    tmux.shows(&["ann: still here"]);
    server.stop();
}

#[test]
fn a_message_can_have_line_breaks_and_is_shown_with_them() {
    let (data, server) = world();
    let tmux = chat(data.path(), server.address(0), "60");
    tmux.keys(&["C-l"]);
    tmux.text("first");
    tmux.keys(&["M-Enter"]);
    tmux.text("12:00 bob: second");
    tmux.shows(&["> first\n  12:00 bob: second"]);
    tmux.keys(&["Enter"]);
    let screen = tmux.shows(&["ann: first\n      12:00 bob: second\n>"]);
    assert_eq!(rows(&screen), ["ann: first", "      12:00 bob: second", ">"]);
    server.stop();
}

#[test]
fn the_first_interrupt_clears_and_the_next_leaves() {
    let (data, server) = world();
    let tmux = chat(data.path(), server.address(0), "60");
    tmux.text("half a line");
    tmux.shows(&["> half a line"]);
    tmux.keys(&["C-c"]);
    tmux.text("whole");
    tmux.keys(&["Enter"]);
    let screen = tmux.shows(&["ann: whole"]);
    assert!(!screen.contains("half"), "{screen}");
    tmux.keys(&["C-c"]);
    assert_eq!(tmux.exit_code(), 0);
    server.stop();
}

#[test]
fn a_chat_is_suspended_and_goes_on() {
    let (data, server) = world();
    let (binary, address) = (binary(), server.address(0).to_string());
    let shell = ["env", "TZ=UTC", "PS1=shell> ", "bash", "--norc", "--noprofile", "-i"];
    let tmux = Tmux::run_in(data.path(), ("80", "24"), &shell);
    tmux.shows(&["shell>"]);
    tmux.text(&format!("{} chat general --user ann --server {address}", binary.display()));
    tmux.keys(&["Enter"]);
    tmux.shows(&["on general at", "\n>"]);
    for round in ["key", "signal"] {
        tmux.text(&format!("half {round}"));
        tmux.shows(&[&format!("> half {round}")]);
        if round == "key" {
            tmux.keys(&["C-z"]);
        } else {
            tmux.stop_foreground();
        }
        tmux.shows(&["Stopped"]);
        // The shell has its terminal as it was: it echoes, and lines end at Enter.
        tmux.text(&format!("stty -a | grep -c -e '-icanon' -e '-isig'; echo back {round}"));
        tmux.keys(&["Enter"]);
        tmux.shows(&[&format!("\n0\nback {round}")]);
        tmux.text("clear; fg");
        tmux.keys(&["Enter"]);
        tmux.shows(&[&format!("> half {round}")]);
        tmux.keys(&["Enter"]);
        tmux.shows(&[&format!("ann: half {round}"), "\n>"]);
    }
    server.stop();
}

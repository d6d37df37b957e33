//! Reading back and searching in `chanwire chat`, on a real terminal.

use std::{fs, net::SocketAddr, path::Path};

use chanwire_tests::process::{Launch, binary, check, wait_for};
use tempfile::tempdir;

use crate::{running::general, tmux::Tmux};

fn send(server: SocketAddr, lines: &str) {
    let sent = Launch::new(["send", "--user", "bob", "--server"]).arg(server.to_string()).input(lines.as_bytes()).run();
    assert_eq!(sent.code, Some(0), "{sent:?}");
}

/// Returns a chat of ann's on `general` in so many columns and 24 rows.
fn chat(folder: &Path, server: SocketAddr, columns: &str) -> Tmux {
    fs::create_dir(folder).unwrap();
    let (binary, server) = (binary(), server.to_string());
    let command = ["env", "TZ=UTC", binary.to_str().unwrap(), "chat", "general", "--user", "ann", "--server", &server];
    let tmux = Tmux::run_in(folder, (columns, "24"), &command);
    tmux.shows(&["on general at", "\n>"]);
    tmux
}

#[test]
fn page_up_reads_back_to_the_first_message_and_the_typed_line_stays() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    send(address, &(1..=400).map(|number| format!("世界 number {number}\n")).collect::<String>());
    for columns in ["60", "120"] {
        let tmux = chat(&data.path().join(columns), address, columns);
        tmux.shows(&["number 400\n"]);
        tmux.text("half 世");
        tmux.keys(&["PPage"]);
        tmux.shows(&["-- messages ", "q returns\n[1 general]\n> half 世\n"]);
        // What comes meanwhile waits.
        send(address, &format!("meanwhile {columns}\n"));
        tmux.shows(&["\n[1 general +1]\n> half 世\n"]);
        let screen = wait_for("the first message", || {
            tmux.keys(&["PPage"]);
            let screen = tmux.screen();
            check(screen.contains("the first"), screen.clone()).map(|()| screen)
        });
        let rows: Vec<_> = screen.lines().collect();
        assert!(rows[0].starts_with("* 20") && rows[1].ends_with(" bob: 世界 number 1"), "{screen}");
        assert!(rows[20].ends_with(" bob: 世界 number 20") && rows[21].starts_with("-- "), "{screen}");
        tmux.keys(&["NPage"]);
        tmux.shows(&["number 20\n", "number 40\n"]);
        tmux.keys(&["Up"]);
        tmux.shows(&["number 19\n", "number 39\n"]);
        // Any other key is for the line, and goes back to the chat.
        tmux.text("x");
        let screen = tmux.shows(&["number 400\n", &format!("bob: meanwhile {columns}\n> half 世x\n")]);
        assert!(!screen.contains("-- messages"), "{screen}");
        tmux.keys(&["PPage", "q"]);
        tmux.shows(&[&format!("bob: meanwhile {columns}\n> half 世x\n")]);
        tmux.keys(&["Enter"]);
        tmux.shows(&["ann: half 世x\n"]);
        // The end of the messages goes back, too.
        tmux.keys(&["PPage"]);
        tmux.shows(&["-- messages "]);
        wait_for("the chat", || {
            tmux.keys(&["NPage"]);
            let screen = tmux.screen();
            check(!screen.contains("-- messages"), screen)
        });
        tmux.text("last");
        tmux.shows(&["ann: half 世x\n> last\n"]);
    }
    server.stop();
}

#[test]
fn a_search_marks_what_it_finds_in_what_was_loaded() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    let text = |number: u32| if number.is_multiple_of(50) { "die Straße" } else { "other" };
    send(address, &(1..=120).map(|number| format!("{} {number}\n", text(number))).collect::<String>());
    let tmux = chat(&data.path().join("60"), address, "60");
    tmux.shows(&["other 120\n"]);
    tmux.text("/search STRASSE");
    tmux.keys(&["Enter"]);
    tmux.shows(&["not loaded"]);
    // Older ones are loaded beside it.
    let found = |what: &str| {
        wait_for(what, || {
            let screen = tmux.ask(&["capture-pane", "-p", "-e"]);
            let marked: Vec<_> = screen.lines().filter(|row| row.contains("\u{1b}[7m")).collect();
            check(marked.len() == 1 && marked[0].contains(what), screen.clone())
        });
    };
    wait_for("a match", || {
        tmux.keys(&["n"]);
        let screen = tmux.ask(&["capture-pane", "-p", "-e"]);
        check(screen.contains("\u{1b}[7m"), screen)
    });
    // A key that was pressed before the screen showed the one before it has gone further; N stays at the newest match.
    wait_for("the newest match", || {
        tmux.keys(&["N"]);
        let screen = tmux.ask(&["capture-pane", "-p", "-e"]);
        let is_marked = |row: &str| row.contains("\u{1b}[7m") && row.contains("bob: die Straße 100");
        check(screen.lines().any(is_marked), screen.clone())
    });
    tmux.keys(&["n"]);
    found("bob: die Straße 50");
    tmux.keys(&["n"]);
    tmux.shows(&["no further one"]);
    found("bob: die Straße 50");
    tmux.keys(&["N"]);
    found("bob: die Straße 100");
    tmux.ask(&["resize-window", "-x", "40", "-y", "12"]);
    found("bob: die Straße 100");
    tmux.keys(&["C-c"]);
    let screen = tmux.shows(&["other 120\n"]);
    assert!(screen.trim_end().ends_with("\n>"), "{screen}");
    server.stop();
}

#[test]
fn the_main_screen_is_back_after_suspension_and_at_the_end() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    send(server.address(0), "one\n");
    let tmux = chat(&data.path().join("80"), server.address(0), "80");
    tmux.shows(&["bob: one\n"]);
    tmux.keys(&["PPage"]);
    tmux.shows(&["-- messages "]);
    tmux.ask(&["resize-window", "-x", "60", "-y", "20"]);
    tmux.shows(&["-- messages "]);
    tmux.keys(&["q"]);
    let screen = tmux.shows(&["bob: one\n>"]);
    assert!(!screen.contains("-- messages"), "{screen}");
    tmux.keys(&["PPage"]);
    tmux.shows(&["-- messages "]);
    tmux.keys(&["C-d"]);
    assert_eq!(tmux.exit_code(), 0);
    tmux.shows(&["bob: one\n"]);
    server.stop();
}

//! Presence, departures and mentions in `chanwire chat` on a real terminal.

use std::{fs, net::SocketAddr, path::Path};

use chanwire_tests::process::{Launch, binary, check, wait_for};
use tempfile::tempdir;

use crate::{
    running::{Running, general},
    tmux::Tmux,
};

/// Returns a chat of ann's in so many columns.
fn chat(folder: &Path, server: SocketAddr, columns: &str, options: &[&str]) -> Tmux {
    fs::create_dir(folder).unwrap();
    let (binary, server) = (binary(), server.to_string());
    let command = ["env", "TZ=UTC", binary.to_str().unwrap(), "chat", "general", "--user", "ann", "--server", &server];
    let tmux = Tmux::run_in(folder, (columns, "24"), &[&command, options].concat());
    tmux.shows(&["on general at", "\n>"]);
    tmux
}

fn send(server: SocketAddr, text: &str) {
    let sent = Launch::new(["send", "--user", "bob", text, "--server"]).arg(server.to_string()).run();
    assert_eq!(sent.code, Some(0), "{sent:?}");
}

#[test]
fn those_who_join_and_leave_are_shown_unless_the_user_does_not_want_it() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    let narrow = chat(&data.path().join("narrow"), address, "60", &[]);
    let wide = chat(&data.path().join("wide"), address, "120", &[]);
    let quiet = chat(&data.path().join("quiet"), address, "80", &["--no-presence"]);
    let mut bob = Running::chat(address, "bob");
    for terminal in [&narrow, &wide] {
        terminal.shows(&["* bob joined\n"]);
    }
    bob.end();
    assert!(bob.wait().success());
    for terminal in [&narrow, &wide] {
        terminal.shows(&["* bob left\n"]);
    }
    // The notice was for all of them.
    send(address, "after it");
    let screen = quiet.shows(&["bob: after it"]);
    assert!(!screen.contains("joined") && !screen.contains("left"), "{screen}");
    assert!(!narrow.screen().contains("ann joined"), "{}", narrow.screen());
    server.stop();
}

#[test]
fn a_mention_is_highlighted_and_a_new_one_rings_the_bell_where_it_is_asked_for() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    send(address, "earlier, ann");
    for (name, options, bells) in [("bell", &["--bell"][..], 1), ("no-bell", &[], 0)] {
        let tmux = chat(&data.path().join(name), address, "80", options);
        let raw = data.path().join(name).join("raw");
        tmux.ask(&["pipe-pane", &format!("cat >{}", raw.display())]);
        send(address, &format!("{name}: Ann, look"));
        send(address, &format!("{name}: annoying"));
        tmux.shows(&[&format!("bob: {name}: annoying")]);
        let screen = tmux.ask(&["capture-pane", "-p", "-e"]);
        let row = |text: &str| screen.lines().find(|row| row.contains(text)).unwrap().to_owned();
        for (text, is_mention) in [("earlier, ann", true), ("Ann, look", true), ("annoying", false)] {
            assert_eq!(row(text).contains("33m"), is_mention, "{screen:?}");
        }
        wait_for("what the terminal was sent", || {
            let sent = String::from_utf8_lossy(&fs::read(&raw).unwrap()).into_owned();
            check(sent.contains("annoying"), sent.clone()).map(|()| assert_eq!(sent.matches('\u{7}').count(), bells))
        });
        // It rings at once also while messages are read back.
        tmux.keys(&["PPage"]);
        tmux.shows(&["-- messages "]);
        send(address, &format!("{name}: ann again"));
        tmux.shows(&["[1 general +1 @1]"]);
        wait_for("what the terminal was sent while messages are read", || {
            let sent = String::from_utf8_lossy(&fs::read(&raw).unwrap()).into_owned();
            check(sent.contains("+1 @1"), sent.clone()).map(|()| assert_eq!(sent.matches('\u{7}').count(), 2 * bells))
        });
    }
    server.stop();
}

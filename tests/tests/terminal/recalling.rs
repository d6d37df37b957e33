//! Completion, and the search through what was typed, in `chanwire chat` on a real terminal.

use chanwire_tests::process::{Launch, wait_for};
use tempfile::tempdir;

use crate::{running::general, tmux::Tmux};

#[test]
fn tab_completes_names_commands_and_channels() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0).to_string();
    for user in ["Bob", "bobby"] {
        let sent = Launch::new(["send", "--user", user, "hello", "--server", &address]).run();
        assert_eq!(sent.code, Some(0), "{sent:?}");
    }
    let tmux = Tmux::run(data.path(), &[], &["chat", "general", "--user", "ann", "--server", &address]);
    tmux.shows(&["bobby: hello", "\n>"]);
    tmux.text("bo");
    for shown in ["> bobby:", "> Bob:", "> bo", "> bobby:"] {
        tmux.keys(&["Tab"]);
        tmux.shows(&[&format!("\n{shown}\n")]);
    }
    tmux.text("hi, and @B");
    tmux.keys(&["Tab", "Tab"]);
    tmux.text("too");
    tmux.shows(&["> bobby: hi, and @Bob too"]);
    tmux.keys(&["C-u"]);
    tmux.text("/jo");
    tmux.keys(&["Tab"]);
    tmux.text("gen");
    tmux.keys(&["Tab"]);
    tmux.shows(&["> /join general"]);
    // Of what is nothing's beginning, it is a tab.
    tmux.keys(&["C-u"]);
    tmux.text("xyz");
    tmux.keys(&["Tab"]);
    tmux.text("end");
    tmux.shows(&["> xyz   end"]);
    server.stop();
}

#[test]
fn control_r_finds_what_was_typed_and_sends_it_again() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0).to_string();
    let tmux = Tmux::run(data.path(), &[], &["chat", "general", "--user", "ann", "--server", &address]);
    tmux.shows(&["on general at", "\n>"]);
    for text in ["the first words", "the second words", "other"] {
        tmux.text(text);
        tmux.keys(&["Enter"]);
        tmux.shows(&[&format!("ann: {text}")]);
    }
    tmux.text("half");
    tmux.keys(&["C-r"]);
    tmux.shows(&["\n(search: )"]);
    tmux.text("words");
    tmux.shows(&["(search: words) the second words"]);
    tmux.keys(&["C-r"]);
    tmux.shows(&["(search: words) the first words"]);
    tmux.text("x");
    tmux.shows(&["(no match: wordsx) the first words"]);
    tmux.keys(&["C-c"]);
    tmux.shows(&["\n> half\n"]);
    tmux.keys(&["C-u", "C-r"]);
    tmux.text("FIRST");
    tmux.shows(&["(search: FIRST) the first words"]);
    tmux.keys(&["Home"]);
    tmux.text("again: ");
    tmux.shows(&["> again: the first words"]);
    tmux.keys(&["Enter"]);
    tmux.shows(&["ann: again: the first words"]);
    tmux.keys(&["C-r"]);
    tmux.text("sec");
    tmux.keys(&["Enter"]);
    wait_for("the second words once more", || {
        let screen = tmux.screen();
        (screen.matches("ann: the second words").count() == 2).then_some(()).ok_or(screen)
    });
    server.stop();
}

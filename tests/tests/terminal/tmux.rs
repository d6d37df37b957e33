//! A real terminal: tmux shows what a command draws, and types and pastes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use chanwire_tests::process::{binary, program, wait_for};

/// A terminal in which one command runs.
pub(crate) struct Tmux {
    program: PathBuf,
    socket: PathBuf,
}

impl Tmux {
    /// The program, with these arguments, in 80 columns and 24 rows.
    pub(crate) fn run(folder: &Path, variables: &[&str], arguments: &[&str]) -> Self {
        let binary = binary();
        let command = [&["env", "TZ=UTC"], variables, &[binary.to_str().unwrap()], arguments].concat();
        Self::run_in(folder, ("80", "24"), &command)
    }

    /// A command in so many columns and rows.
    pub(crate) fn run_in(folder: &Path, (columns, rows): (&str, &str), command: &[&str]) -> Self {
        let tmux = Self { program: program("tmux"), socket: folder.join("tmux") };
        let mut words = vec!["-f", "/dev/null", "-u", "new-session", "-d", "-x", columns, "-y", rows];
        words.extend(command);
        // It stays when the command has ended, and knows how.
        words.extend([";", "set-option", "remain-on-exit", "on"]);
        tmux.ask(&words);
        tmux
    }

    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let output = Command::new(&self.program).arg("-S").arg(&self.socket).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn keys(&self, keys: &[&str]) {
        self.ask(&[&["send-keys"], keys].concat());
    }

    pub(crate) fn text(&self, text: &str) {
        self.keys(&["-l", text]);
    }

    /// Pastes a text, as a terminal does for a program that wants pastes marked, or as if it was typed.
    pub(crate) fn paste(&self, text: &[u8], marked: bool) {
        let file = self.socket.with_extension("clip");
        fs::write(&file, text).unwrap();
        self.ask(&["load-buffer", file.to_str().unwrap()]);
        self.ask(if marked { &["paste-buffer", "-p"] } else { &["paste-buffer"] });
    }

    /// What is on the screen.
    pub(crate) fn screen(&self) -> String {
        self.ask(&["capture-pane", "-p"])
    }

    /// What is on the screen, once it shows all of this.
    pub(crate) fn shows(&self, texts: &[&str]) -> String {
        wait_for(&format!("{texts:?} on the screen"), || {
            let screen = self.screen();
            texts.iter().all(|text| screen.contains(text)).then_some(screen)
        })
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // Only this one: its socket is its own.
        let _ = Command::new(&self.program).arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

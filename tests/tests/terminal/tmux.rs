//! A real terminal: tmux shows what a command draws, and types and pastes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use chanwire_tests::process::{Signal, binary, check, process_states, program, wait_for};
use rustix::process::{Pid, kill_process_group};

/// The script of the shell in the pane: it runs a command and prints its exit code, because tmux itself can miss the
/// end of a process. It stays until the terminal is closed.
const SCRIPT: &str = r#""$@"; printf '\n[exit code %s]\n' "$?"; exec cat"#;

/// A terminal in which one command runs. If the test fails, it prints the screen and the processes in it.
pub(crate) struct Tmux {
    program: PathBuf,
    socket: PathBuf,
}

impl Tmux {
    /// Runs the program, with these arguments, in 80 columns and 24 rows.
    pub(crate) fn run(folder: &Path, variables: &[&str], arguments: &[&str]) -> Self {
        let binary = binary();
        let command = [&["env", "TZ=UTC"], variables, &[binary.to_str().unwrap()], arguments].concat();
        Self::run_in(folder, ("80", "24"), &command)
    }

    /// Runs a command in so many columns and rows.
    pub(crate) fn run_in(folder: &Path, (columns, rows): (&str, &str), command: &[&str]) -> Self {
        let tmux = Self { program: program("tmux"), socket: folder.join("tmux") };
        let words = ["-f", "/dev/null", "-u", "new-session", "-d", "-x", columns, "-y", rows, "sh", "-c", SCRIPT, "sh"];
        tmux.ask(&[&words, command].concat());
        tmux
    }

    /// Waits for the end of the command, and returns its exit code.
    pub(crate) fn exit_code(&self) -> i32 {
        let screen = self.shows(&["[exit code "]);
        let (_, code) = screen.rsplit_once("[exit code ").unwrap();
        code.split(']').next().unwrap().parse().unwrap()
    }

    pub(crate) fn ask(&self, words: &[&str]) -> String {
        self.try_ask(words).unwrap_or_else(|error| panic!("tmux {words:?}: {error}"))
    }

    fn try_ask(&self, words: &[&str]) -> Result<String, String> {
        let output = Command::new(&self.program).arg("-S").arg(&self.socket).args(words).output();
        let output = output.map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
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

    /// Stops the job in the foreground of an interactive shell, as `kill` does from another terminal.
    pub(crate) fn stop_foreground(&self) {
        let id = self.ask(&["display-message", "-p", "#{pane_pid}"]);
        let stat = fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap();
        // After the name in brackets: state, parent, group, session, terminal, and the terminal's foreground group.
        let group = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(5).unwrap();
        let group = Pid::from_raw(group.parse().unwrap()).unwrap();
        kill_process_group(group, Signal::TSTP).unwrap();
    }

    /// Returns the text on the screen.
    pub(crate) fn screen(&self) -> String {
        self.ask(&["capture-pane", "-p"])
    }

    /// Waits until the screen shows all of this, and returns its text.
    pub(crate) fn shows(&self, texts: &[&str]) -> String {
        wait_for(&format!("{texts:?} on the screen"), || {
            let screen = self.screen();
            check(texts.iter().all(|text| screen.contains(text)), screen.clone()).map(|()| screen)
        })
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        if thread::panicking() {
            let shown = |words: &[&str]| self.try_ask(words).unwrap_or_else(|error| format!("tmux {words:?}: {error}"));
            let shell = shown(&["display-message", "-p", "#{pane_pid}"]);
            let states = shell.trim().parse().map_or(shell, process_states);
            eprintln!("the terminal:\n{states}{}", shown(&["capture-pane", "-p"]));
        }
        // Only this one: its socket is its own.
        let _ = Command::new(&self.program).arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

//! Input and output of a chat: a terminal with line editing, or plain streams.

use std::{
    env,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
};

use tokio::sync::mpsc;

use super::{completion::Completion, input::UserInput, session::Tab, terminal::Terminal, view::Entry};
use crate::threads;

/// Input and output of a chat.
pub(super) enum Screen {
    Terminal(Box<Terminal>),
    Plain { lines: mpsc::Receiver<UserInput> },
}

impl Screen {
    /// Opens a terminal, if both standard input and standard output are one with control sequences; else plain streams.
    pub(super) fn open() -> Result<Self, String> {
        let steerable = env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        if !(steerable && io::stdin().is_terminal() && io::stdout().is_terminal()) {
            let (typed, lines) = mpsc::channel(16);
            threads::spawn("input", move || read_lines(&typed))?;
            return Ok(Self::Plain { lines });
        }
        let terminal = Terminal::open().map_err(|error| format!("cannot use the terminal: {error}"))?;
        Ok(Self::Terminal(Box::new(terminal)))
    }

    /// Returns whether there is a user who can be asked.
    pub(super) const fn is_interactive(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// Waits for the next action; cancel safe. After [`UserInput::End`] it waits for ever.
    pub(super) async fn next_input(&mut self) -> Result<UserInput, String> {
        match self {
            Self::Plain { lines } => match lines.recv().await {
                Some(typed) => Ok(typed),
                None => std::future::pending().await,
            },
            Self::Terminal(terminal) => {
                terminal.next_input().await.map_err(|error| format!("cannot use the terminal: {error}"))
            }
        }
    }

    /// Shows lines, each with its end. `aside` says that they are about the chat and not of it.
    pub(super) fn show(&mut self, lines: &str, aside: bool) -> io::Result<()> {
        match self {
            Self::Plain { .. } if aside => {
                // Nothing is left to do if this cannot be written.
                let _ = io::stderr().write_all(lines.as_bytes());
                Ok(())
            }
            Self::Plain { .. } => {
                let mut out = io::stdout().lock();
                out.write_all(lines.as_bytes()).and_then(|()| out.flush())
            }
            Self::Terminal(terminal) => {
                terminal.show(lines);
                Ok(())
            }
        }
    }

    /// Rings the terminal's bell.
    pub(super) fn ring(&mut self, bell: &'static str) {
        if let Self::Terminal(terminal) = self {
            terminal.ring(bell);
        }
    }

    /// Returns whether the screen does not keep up. Plain streams are written at once.
    pub(super) fn is_behind(&self) -> bool {
        matches!(self, Self::Terminal(terminal) if terminal.is_behind())
    }

    /// Returns whether everything is shown.
    pub(super) fn has_caught_up(&self) -> bool {
        match self {
            Self::Plain { .. } => true,
            Self::Terminal(terminal) => terminal.has_caught_up(),
        }
    }

    /// Sets the channels that are listed above the input line.
    pub(super) fn set_tabs(&mut self, tabs: Vec<Tab>) {
        if let Self::Terminal(terminal) = self {
            terminal.set_tabs(tabs);
        }
    }

    /// Shows messages to read back, and looks for a text in them, if one is given.
    pub(super) fn read_back(&mut self, channel: String, entries: Vec<Entry>, search: Option<String>) {
        if let Self::Terminal(terminal) = self {
            terminal.read_back(channel, entries, search);
        }
    }

    /// Adds older messages to those to read back, or the reason for which there are none now.
    pub(super) fn add_older(&mut self, channel: &str, before: u64, older: Result<Vec<Entry>, String>) {
        if let Self::Terminal(terminal) = self {
            terminal.add_older(channel, before, older);
        }
    }

    /// Keeps a line that was begun from being sent by the next Enter, which may have been meant for another channel.
    pub(super) fn hold_line(&mut self) {
        if let Self::Terminal(terminal) = self {
            terminal.hold_line();
        }
    }

    /// Sets whether the next line answers a question.
    pub(super) fn ask(&mut self, question: bool) {
        if let Self::Terminal(terminal) = self {
            terminal.ask(question);
        }
    }

    /// Completes the text before the cursor, as it was asked for.
    pub(super) fn complete(&mut self, completion: Completion) {
        if let Self::Terminal(terminal) = self {
            terminal.complete(completion);
        }
    }

    /// Shows what waits and leaves the terminal as it was.
    pub(super) async fn close(self) {
        if let Self::Terminal(terminal) = self {
            terminal.close().await;
        }
    }
}

fn read_lines(lines: &mpsc::Sender<UserInput>) {
    let mut input = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let typed = match input.read_until(b'\n', &mut line) {
            Ok(0) => UserInput::End,
            Ok(_) => {
                let end = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(&line);
                let text = String::from_utf8(end.into());
                text.map_or_else(|_| UserInput::Unreadable("a line that is not UTF-8".into()), UserInput::Line)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let _ = lines.blocking_send(UserInput::Unreadable(format!("cannot read standard input: {error}")));
                UserInput::End
            }
        };
        let last = matches!(typed, UserInput::End);
        if lines.blocking_send(typed).is_err() || last {
            return;
        }
    }
}

//! Where lines are typed and shown: a terminal with line editing, or plain streams.

use std::{
    env,
    io::{self, BufRead as _, IsTerminal as _, Write as _},
};

use rustyline_async::{Readline, ReadlineError, ReadlineEvent, SharedWriter};
use tokio::sync::mpsc;

use crate::threads;

/// What is shown before what is typed.
const PROMPT: &str = "> ";
const QUESTION: &str = "y/n> ";

/// What the user did.
pub(super) enum Typed {
    Line(String),
    /// A line that is no text.
    Unreadable(String),
    /// Nothing more comes.
    End,
}

/// Where lines are typed and shown.
pub(super) enum Screen {
    Terminal(Box<Terminal>),
    Plain { lines: mpsc::Receiver<Typed> },
}

pub(super) struct Terminal {
    editor: Readline,
    writer: SharedWriter,
    /// Lines to be shown in one piece.
    lines: String,
}

impl Screen {
    /// A terminal, if both standard input and standard output are one that can be steered; else plain streams.
    pub(super) fn open() -> Result<Self, String> {
        let steerable = env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        if !(steerable && io::stdin().is_terminal() && io::stdout().is_terminal()) {
            let (tell, lines) = mpsc::channel(16);
            threads::spawn("input", move || read_lines(&tell))?;
            return Ok(Self::Plain { lines });
        }
        let (mut editor, writer) =
            Readline::new(PROMPT.into()).map_err(|error| format!("cannot use the terminal: {error}"))?;
        // What was said comes back from the channel, with its time and in its place.
        editor.should_print_line_on(false, false);
        Ok(Self::Terminal(Box::new(Terminal { editor, writer, lines: String::new() })))
    }

    /// Whether somebody sits there who can be asked.
    pub(super) const fn is_interactive(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// What is typed next. Nothing is lost if it is not waited for to the end. After [`Typed::End`] it waits for ever.
    pub(super) async fn typed(&mut self) -> Result<Typed, String> {
        match self {
            Self::Plain { lines } => match lines.recv().await {
                Some(typed) => Ok(typed),
                None => std::future::pending().await,
            },
            Self::Terminal(terminal) => match terminal.editor.readline().await {
                Ok(ReadlineEvent::Line(line)) => {
                    terminal.editor.add_history_entry(line.clone());
                    Ok(Typed::Line(line))
                }
                Ok(ReadlineEvent::Eof | ReadlineEvent::Interrupted) | Err(ReadlineError::Closed) => Ok(Typed::End),
                Err(ReadlineError::IO(error)) => Err(format!("cannot read what is typed: {error}")),
            },
        }
    }

    /// Shows lines, each with its end. `aside` says that they are about the chat and not of it.
    pub(super) fn show(&mut self, lines: &str, aside: bool) -> io::Result<()> {
        match self {
            Self::Plain { .. } if aside => {
                // There is nobody left to tell if this cannot be written.
                let _ = io::stderr().write_all(lines.as_bytes());
                Ok(())
            }
            Self::Plain { .. } => {
                let mut out = io::stdout().lock();
                out.write_all(lines.as_bytes()).and_then(|()| out.flush())
            }
            Self::Terminal(terminal) => {
                terminal.lines += lines;
                Ok(())
            }
        }
    }

    /// All that is to be shown now has been given.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Self::Terminal(terminal) = self else { return Ok(()) };
        if terminal.lines.is_empty() {
            return Ok(());
        }
        let shown = terminal.writer.write_all(terminal.lines.as_bytes());
        terminal.lines.clear();
        match shown {
            // Five hundred pieces wait for the editor. The writer has kept this one, and gives it with the next.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            shown => shown,
        }
    }

    /// Whether what is typed next answers a question.
    pub(super) fn ask(&mut self, question: bool) -> io::Result<()> {
        match self {
            Self::Plain { .. } => Ok(()),
            Self::Terminal(terminal) => {
                terminal.editor.update_prompt(if question { QUESTION } else { PROMPT }).map_err(io::Error::other)
            }
        }
    }

    /// Shows what waits and leaves the terminal as it was.
    pub(super) fn close(mut self) {
        let _ = self.flush();
        if let Self::Terminal(mut terminal) = self {
            // The terminal may be gone.
            let _ = terminal.editor.flush();
        }
    }
}

fn read_lines(tell: &mpsc::Sender<Typed>) {
    let mut input = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let typed = match input.read_until(b'\n', &mut line) {
            Ok(0) => Typed::End,
            Ok(_) => {
                let end = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(&line);
                let text = String::from_utf8(end.into());
                text.map_or_else(|_| Typed::Unreadable("a line that is not UTF-8".into()), Typed::Line)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let _ = tell.blocking_send(Typed::Unreadable(format!("cannot read standard input: {error}")));
                Typed::End
            }
        };
        let last = matches!(typed, Typed::End);
        if tell.blocking_send(typed).is_err() || last {
            return;
        }
    }
}

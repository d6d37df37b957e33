//! The terminal of the live tables: its alternate screen, keys, and size.

use std::{collections::VecDeque, io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::timeout,
};

use super::screen::Screen;
use crate::cli::terminal::{Key, Keys, Modes, Output, modes, start_keys};

/// Takes the alternate screen and hides the cursor.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l";
/// Shows the cursor and returns to the screen from before.
const LEAVE: &str = "\u{1b}[?25h\u{1b}[?1049l";

/// Time for the last output when the terminal is left.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

pub(super) struct Display {
    modes: Modes,
    input: mpsc::Receiver<Vec<u8>>,
    keys: Keys,
    /// Keys that are decoded and not yet handled.
    pressed: VecDeque<Key>,
    output: Output,
    /// Control sequences to be written before the next screen.
    before: String,
    /// The screen that was written last.
    drawn: String,
    is_suspending: bool,
    resized: Signal,
    continued: Signal,
    stopped: Signal,
}

/// An event of the terminal.
#[derive(Debug)]
pub(super) enum Event {
    Key(Key),
    /// The screen is to be drawn, perhaps in another size.
    Changed,
    /// The terminal is gone.
    End,
}

impl Display {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            modes: Modes::enter()?,
            input: start_keys()?,
            keys: Keys::default(),
            pressed: VecDeque::new(),
            output: Output::start()?,
            before: ENTER.into(),
            drawn: String::new(),
            is_suspending: false,
            resized: signal(SignalKind::window_change())?,
            continued: signal(SignalKind::from_raw(libc::SIGCONT))?,
            stopped: signal(SignalKind::from_raw(libc::SIGTSTP))?,
        })
    }

    /// Waits for the next event; cancel safe.
    pub(super) async fn next(&mut self) -> io::Result<Event> {
        if let Some(key) = self.pressed.pop_front() {
            return Ok(Event::Key(key));
        }
        tokio::select! {
            bytes = self.input.recv() => match bytes {
                Some(bytes) => {
                    let Self { keys, pressed, .. } = self;
                    keys.feed(&bytes, |key| pressed.push_back(key));
                    Ok(Event::Changed)
                }
                None => Ok(Event::End),
            },
            written = self.output.written() => {
                written?;
                if self.is_suspending && self.before.is_empty() {
                    self.modes.restore()?;
                    modes::stop();
                    self.resume()?;
                }
                Ok(Event::Changed)
            }
            _ = self.resized.recv() => {
                self.redraw();
                Ok(Event::Changed)
            }
            _ = self.continued.recv() => {
                self.resume()?;
                Ok(Event::Changed)
            }
            _ = self.stopped.recv() => {
                if modes::can_be_continued() {
                    self.is_suspending = true;
                    self.before += LEAVE;
                    self.drawn.clear();
                }
                Ok(Event::Changed)
            }
        }
    }

    /// Draws what has changed, once what was drawn before is written.
    pub(super) fn draw(&mut self, screen: &mut Screen) {
        if self.output.is_writing() {
            return;
        }
        let (columns, rows) = modes::size();
        let lines = if self.is_suspending { Vec::new() } else { screen.lines(columns, rows) };
        // Erased before it is written: after a row that is full, the cursor is still on its last character.
        let erased = |(index, line): (usize, &String)| {
            let erase = if index + 1 == lines.len() { 'J' } else { 'K' };
            format!("\u{1b}[{erase}{line}")
        };
        let text = lines.iter().enumerate().map(erased).collect::<Vec<_>>().join("\r\n");
        if self.before.is_empty() && text == self.drawn {
            return;
        }
        let mut out = std::mem::take(&mut self.before);
        if !self.is_suspending {
            out += &format!("\u{1b}[H{text}");
        }
        self.drawn = text;
        self.output.write(out);
    }

    /// Draws everything anew, after something else has drawn on the terminal or its size has changed.
    pub(super) fn redraw(&mut self) {
        self.before += "\u{1b}[2J";
        self.drawn.clear();
    }

    /// Stops the process, as Ctrl-Z does. The terminal is left before that.
    pub(super) fn suspend(&mut self) {
        modes::request_stop();
    }

    /// Goes on where the process was stopped: others have used the terminal since.
    fn resume(&mut self) -> io::Result<()> {
        self.is_suspending = false;
        self.modes.edit()?;
        self.before = ENTER.into();
        self.drawn.clear();
        Ok(())
    }

    /// Leaves the terminal as it was.
    pub(super) async fn close(mut self) {
        let _ = timeout(LAST_OUTPUT, async {
            while self.output.is_writing() {
                self.output.written().await?;
            }
            self.output.write(LEAVE.into());
            self.output.written().await
        })
        .await;
    }
}

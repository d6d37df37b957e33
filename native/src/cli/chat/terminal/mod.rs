//! A terminal in which a line is edited while messages arrive: keys in, typed lines out, messages above the line.
//!
//! Written here rather than taken from a library, of which these were compared. rustyline-async 0.4 reads at most 1 KiB
//! per wake-up through crossterm's event stream, so that a longer paste stalls, and miscounts wrapped rows and wide
//! characters. rustyline 17 and reedline 0.4x edit well but block a thread of their own: neither lets the prompt change
//! or the program decide while a line is being typed, and with reedline the same event source reads pastes. crossterm
//! 0.29 alone holds a paste of any size until it ends. unicode-segmentation and unicode-width find character boundaries
//! and widths.

mod completing;
mod drawing;
mod layout;
mod line;
mod reading_back;
mod searching;

use std::{collections::VecDeque, io, mem, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::timeout,
};

use super::{completion::Completion, input::UserInput, session::Tab, tabs::row_of_tabs, view::View};
use crate::cli::terminal::{Key, Keys, MAX_PASTE, Modes, Output, modes, start_keys};
use completing::Completing;
use drawing::Drawn;
use layout::Layout;
use line::{History, Line, MAX_LINE};
use searching::Searching;

const PROMPT: &str = "> ";
const QUESTION: &str = "y/n> ";

/// Bytes of output that may wait before no more should come.
const MAX_WAITING: usize = 64 * 1024;

/// Time for the last output when the terminal is left.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

const PASTES_ON: &str = "\u{1b}[?2004h";
const PASTES_OFF: &str = "\u{1b}[?2004l";

pub(super) struct Terminal {
    modes: Modes,
    input: mpsc::Receiver<Vec<u8>>,
    input_ended: bool,
    keys: Keys,
    /// Keys that are decoded and not yet handled.
    pressed: VecDeque<Key>,
    line: Line,
    history: History,
    /// The completion that the last key began or went on with.
    completing: Option<Completing>,
    searching: Option<Searching>,
    /// The line that was being typed when a question was asked, while it is open.
    set_aside: Option<Line>,
    /// Whether the line was begun on another channel, so that Enter does not send it the first time.
    is_held: bool,
    /// The channels that are listed above the line.
    tabs: Vec<Tab>,
    /// Messages that are read back, on the terminal's alternate screen.
    view: Option<View>,
    /// Whether the terminal shows its alternate screen.
    is_alternate: bool,
    /// Whether reading back has ended and that was not reported.
    view_ended: bool,
    /// Text to be shown above the line, and control sequences before it.
    above: String,
    /// The bell, if it is to ring.
    bell: &'static str,
    drawn: Drawn,
    /// Whether something has changed since it was drawn.
    changed: bool,
    /// Whether it has been behind and has not caught up since.
    behind: bool,
    suspending: bool,
    output: Output,
    resized: Signal,
    continued: Signal,
    stopped: Signal,
}

impl Terminal {
    pub(super) fn open() -> io::Result<Self> {
        let modes = Modes::enter()?;
        Ok(Self {
            modes,
            input: start_keys()?,
            input_ended: false,
            keys: Keys::default(),
            pressed: VecDeque::new(),
            line: Line::default(),
            history: History::default(),
            completing: None,
            searching: None,
            set_aside: None,
            is_held: false,
            tabs: Vec::new(),
            view: None,
            is_alternate: false,
            view_ended: false,
            above: PASTES_ON.into(),
            bell: "",
            drawn: Drawn::default(),
            changed: true,
            behind: false,
            suspending: false,
            output: Output::start()?,
            resized: signal(SignalKind::window_change())?,
            continued: signal(SignalKind::from_raw(libc::SIGCONT))?,
            stopped: signal(SignalKind::from_raw(libc::SIGTSTP))?,
        })
    }

    /// Waits for the next action; cancel safe.
    pub(super) async fn next_input(&mut self) -> io::Result<UserInput> {
        loop {
            if mem::take(&mut self.view_ended) {
                return Ok(UserInput::ReadOn);
            }
            if let Some(before) = self.view.as_mut().and_then(View::wants_older) {
                return Ok(UserInput::Older(before));
            }
            if let Some(key) = self.pressed.pop_front() {
                self.changed = true;
                match self.read_by(key).and_then(|key| self.press(key)) {
                    Some(typed) => return Ok(typed),
                    None => continue,
                }
            }
            if self.draw() {
                return Ok(UserInput::Drawn);
            }
            tokio::select! {
                bytes = self.input.recv(), if !self.input_ended => match bytes {
                    Some(bytes) => {
                        let Self { keys, pressed, .. } = self;
                        keys.feed(&bytes, |key| pressed.push_back(key));
                    }
                    None => {
                        self.input_ended = true;
                        return Ok(UserInput::End);
                    }
                },
                written = self.output.written() => {
                    written?;
                    self.stop_if_suspending()?;
                    if self.behind && self.has_caught_up() {
                        self.behind = false;
                        return Ok(UserInput::Drawn);
                    }
                }
                _ = self.resized.recv() => self.changed = true,
                _ = self.continued.recv() => self.resume()?,
                _ = self.stopped.recv() => {
                    self.end_view();
                    self.suspending = modes::can_be_continued();
                    self.changed = true;
                }
            }
        }
    }

    /// Shows lines above the one that is being typed.
    pub(super) fn show(&mut self, lines: &str) {
        for line in lines.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => self.above.extend([line, "\r\n"]),
                None => self.above += line,
            }
        }
        self.changed = true;
    }

    /// Rings the bell, also while messages are read back.
    pub(super) fn ring(&mut self, bell: &'static str) {
        self.bell = bell;
        self.changed = true;
    }

    /// Returns whether the terminal does not keep up with its output.
    pub(super) fn is_behind(&self) -> bool {
        self.above.len() > MAX_WAITING
    }

    /// Returns whether it has shown everything.
    pub(super) fn has_caught_up(&self) -> bool {
        self.above.is_empty() && !self.output.is_writing()
    }

    /// Sets whether the next line answers a question.
    pub(super) fn ask(&mut self, question: bool) {
        self.completing = None;
        self.end_view();
        if let Some(searching) = self.searching.take() {
            searching.cancel(&mut self.line);
        }
        match (question, self.set_aside.take()) {
            (true, None) => self.set_aside = Some(mem::take(&mut self.line)),
            (true, aside) => self.set_aside = aside,
            (false, Some(aside)) => self.line = aside,
            (false, None) => {}
        }
        self.changed = true;
    }

    /// Keeps a line that was begun from being sent by the next Enter. Keys that wait were pressed before, too.
    pub(super) fn hold_line(&mut self) {
        let line = self.set_aside.as_ref().unwrap_or(&self.line);
        self.is_held = !(line.is_empty() && self.pressed.is_empty() && self.input.is_empty());
    }

    /// Sets the channels that are listed above the line.
    pub(super) fn set_tabs(&mut self, tabs: Vec<Tab>) {
        self.tabs = tabs;
        self.changed = true;
    }

    /// Completes the text before the cursor, after [`UserInput::Complete`].
    pub(super) fn complete(&mut self, completion: Completion) {
        self.completing = Completing::begin(&mut self.line, completion);
        self.changed = true;
    }

    /// Shows what waits and leaves the terminal as it was.
    pub(super) async fn close(mut self) {
        let leave = self.leave_alternate();
        let _ = timeout(LAST_OUTPUT, async {
            while self.output.is_writing() {
                self.output.written().await?;
            }
            let out = leave.to_owned() + &self.drawn.erase(modes::size().0) + &self.above + PASTES_OFF;
            self.output.write(out);
            self.output.written().await
        })
        .await;
    }

    fn press(&mut self, key: Key) -> Option<UserInput> {
        let key = self.search(key)?;
        let completing = self.completing.take();
        let line = &mut self.line;
        match key {
            Key::Char('\t') if self.set_aside.is_none() && completing.is_some() => {
                self.completing = completing;
                if let Some(completing) = &mut self.completing {
                    completing.next(line);
                }
            }
            Key::Char('\t') if self.set_aside.is_none() => return Some(UserInput::Complete(line.before().into())),
            Key::PageUp if self.set_aside.is_none() => return Some(UserInput::ReadBack),
            Key::PageUp | Key::PageDown => {}
            Key::AltDigit(number) => return Some(UserInput::Switch(number.into())),
            Key::Search if self.set_aside.is_none() => self.searching = Some(Searching::begin(line)),
            Key::Search => {}
            Key::Char(char) => {
                if !line.insert(char.encode_utf8(&mut [0; 4])) {
                    return Some(too_long(line.text().len() + char.len_utf8()));
                }
            }
            Key::LineBreak => {
                if !line.insert("\n") {
                    return Some(too_long(line.text().len() + 1));
                }
            }
            Key::Paste(text) => return self.paste(text),
            Key::PasteTooLong(length) => {
                return Some(UserInput::Unreadable(format!(
                    "a paste of {length} bytes; at most {MAX_PASTE} are taken"
                )));
            }
            Key::Enter if self.set_aside.is_none() && mem::take(&mut self.is_held) && !line.is_empty() => {
                let hint = "another channel is shown now than when this line was begun; Enter sends it here";
                return Some(UserInput::Unreadable(hint.into()));
            }
            Key::Enter => {
                let text = line.take();
                if self.set_aside.is_none() {
                    self.history.add(&text);
                }
                return Some(UserInput::Line(text));
            }
            Key::Interrupt if !line.is_empty() => {
                line.take();
                self.is_held = false;
            }
            Key::Interrupt if self.set_aside.is_some() => return Some(UserInput::Line("n".into())),
            Key::EndOfInput if !line.is_empty() => line.delete(),
            Key::Interrupt | Key::EndOfInput => return Some(UserInput::End),
            Key::Suspend => modes::request_stop(),
            Key::Redraw => {
                self.above += "\u{1b}[H\u{1b}[2J";
                self.drawn = Drawn::default();
            }
            Key::Backspace => line.backspace(),
            Key::Delete => line.delete(),
            Key::Left => line.left(),
            Key::Right => line.right(),
            Key::WordLeft => line.word_left(),
            Key::WordRight => line.word_right(),
            Key::Home => line.home(),
            Key::End => line.end(),
            Key::Up => self.history.up(line),
            Key::Down => self.history.down(line),
            Key::KillWord => line.kill_word(),
            Key::KillToStart => line.kill_to_start(),
            Key::KillToEnd => line.kill_to_end(),
        }
        None
    }

    /// Handles a key of a search. Returns the key if it is for the line.
    fn search(&mut self, key: Key) -> Option<Key> {
        let Some(mut searching) = self.searching.take() else { return Some(key) };
        let (history, line) = (&mut self.history, &mut self.line);
        match key {
            Key::Char(char) if char != '\t' => searching.push(char, history, line),
            Key::Backspace => searching.pop(history, line),
            Key::Search => searching.again(history, line),
            Key::Interrupt => {
                searching.cancel(line);
                return None;
            }
            key => {
                let is_shown = searching.has_found();
                searching.accept(line);
                // A line that comes back only now is not sent unseen.
                return Some(key).filter(|key| is_shown || *key != Key::Enter);
            }
        }
        self.searching = Some(searching);
        None
    }

    /// A paste of one line goes into the line that is being typed. It is text: where it would begin a command, it gets
    /// the slash that makes it none. It answers no question.
    fn paste(&mut self, text: String) -> Option<UserInput> {
        let text = match text.trim_end_matches('\n') {
            "" => return None,
            one if !one.contains('\n') => one,
            _ => return Some(UserInput::Paste(text)),
        };
        let line = self.set_aside.as_mut().unwrap_or(&mut self.line);
        let slash = if line.cursor() == 0 && text.starts_with('/') { "/" } else { "" };
        let length = line.text().len() + slash.len() + text.len();
        if length > MAX_LINE {
            return Some(too_long(length));
        }
        line.insert(&format!("{slash}{text}"));
        None
    }

    /// Draws what has changed, once what was drawn before is written. Whether it has taken what it was behind with.
    fn draw(&mut self) -> bool {
        if !self.changed || self.output.is_writing() {
            return false;
        }
        if self.view.is_some() {
            let out = mem::take(&mut self.bell).to_owned() + &self.draw_view();
            self.changed = false;
            self.output.write(out);
            return false;
        }
        let was_behind = self.is_behind();
        self.behind |= was_behind;
        self.changed = false;
        let (columns, rows) = modes::size();
        let mut out = mem::take(&mut self.bell).to_owned()
            + self.leave_alternate()
            + &self.drawn.erase(columns)
            + &mem::take(&mut self.above);
        if self.suspending {
            out += PASTES_OFF;
        } else {
            let prompt = match &self.searching {
                Some(searching) => searching.prompt(),
                None if self.set_aside.is_some() => QUESTION.into(),
                None => PROMPT.into(),
            };
            let layout = Layout::new(&prompt, self.line.text(), self.line.cursor(), columns);
            let top = if self.tabs.is_empty() { None } else { Some(row_of_tabs(&self.tabs, columns)) };
            let height = rows.saturating_sub(1 + usize::from(top.is_some()));
            out += &self.drawn.draw(&layout.window(height).under(top));
        }
        self.output.write(out);
        was_behind
    }

    fn stop_if_suspending(&mut self) -> io::Result<()> {
        // While more has come to be drawn, it is not erased yet.
        if self.suspending && self.drawn.is_nothing() && !self.output.is_writing() {
            self.modes.restore()?;
            modes::stop();
            self.resume()?;
        }
        Ok(())
    }

    /// Goes on where the process was stopped, by a key or from outside: others have used the terminal since.
    fn resume(&mut self) -> io::Result<()> {
        self.suspending = false;
        self.modes.edit()?;
        self.drawn = Drawn::default();
        self.above.insert_str(0, PASTES_ON);
        self.changed = true;
        Ok(())
    }
}

fn too_long(length: usize) -> UserInput {
    UserInput::Unreadable(format!("a line of {length} bytes; a message has at most {MAX_LINE}"))
}

//! Reading back on the terminal's alternate screen, with the line that is being typed below the messages.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

use super::{PROMPT, Terminal, layout::Layout};
use crate::cli::{
    chat::{
        tabs::row_of_tabs,
        view::{Entry, View},
    },
    terminal::{Key, modes},
};

const ALTERNATE: &str = "\u{1b}[?1049h";
const MAIN: &str = "\u{1b}[?1049l";

impl Terminal {
    /// Shows messages to read back: a page before the last ones, or those with a text.
    pub(in crate::cli::chat) fn read_back(&mut self, channel: String, entries: Vec<Entry>, search: Option<String>) {
        let (columns, rows) = modes::size();
        let height = rows.saturating_sub(1 + self.lines_below(columns, rows).rows.len());
        let mut view = View::new(channel, entries, columns, height);
        match search {
            Some(text) => view.search(text),
            None => view.back(true),
        }
        self.view = Some(view);
        self.view_ended = false;
        self.changed = true;
    }

    /// Adds older messages, or the reason for which there are none now, unless another channel is read.
    pub(in crate::cli::chat) fn add_older(&mut self, channel: &str, before: u64, older: Result<Vec<Entry>, String>) {
        if let Some(view) = self.view.as_mut().filter(|view| view.channel() == channel) {
            view.add_older(before, older);
            self.changed = true;
        }
    }

    /// Handles a key while messages are read back. Returns the key if it is for the line.
    pub(super) fn read_by(&mut self, key: Key) -> Option<Key> {
        let Some(view) = &mut self.view else { return Some(key) };
        match key {
            Key::PageUp => view.back(true),
            Key::Up => view.back(false),
            Key::Home => view.home(),
            Key::PageDown | Key::Down => {
                if !view.forth(key == Key::PageDown) {
                    self.end_view();
                }
            }
            Key::Char('n' | 'N') if view.search_on(key == Key::Char('N')) => {}
            Key::Redraw => {}
            Key::Char('q') | Key::Enter | Key::Interrupt | Key::End => self.end_view(),
            key => {
                self.end_view();
                // After the end of reading back is reported.
                self.pressed.push_front(key);
            }
        }
        None
    }

    /// Ends reading back.
    pub(super) fn end_view(&mut self) {
        self.view_ended |= self.view.take().is_some();
        self.changed |= self.view_ended;
    }

    /// Returns the control sequence that shows the main screen again, if the alternate one is shown.
    pub(super) fn leave_alternate(&mut self) -> &'static str {
        if std::mem::take(&mut self.is_alternate) { MAIN } else { "" }
    }

    /// Returns text and control sequences that draw the messages and the line below them.
    pub(super) fn draw_view(&mut self) -> String {
        let (columns, rows) = modes::size();
        let below = self.lines_below(columns, rows);
        let Some(view) = &mut self.view else { return String::new() };
        let height = rows.saturating_sub(1 + below.rows.len());
        view.resize(columns, height);
        let mut out = String::from(if self.is_alternate { "" } else { ALTERNATE });
        self.is_alternate = true;
        out += "\u{1b}[H";
        let blank = height.saturating_sub(view.shown().count());
        let messages = view.shown().chain(std::iter::repeat_n(String::new(), blank));
        let rows: Vec<_> =
            messages.chain([view.status()]).chain(below.rows.iter().map(|row| row.text.clone())).collect();
        // Each row is erased first: at the end of a full one, that would erase its last character.
        out += &rows.iter().map(|row| format!("\u{1b}[2K{row}")).collect::<Vec<_>>().join("\r\n");
        let (row, column) = (height + 2 + below.cursor_row, 1 + below.before_cursor().width());
        let _ = write!(out, "\u{1b}[J\u{1b}[{row};{column}H");
        out
    }

    /// Returns the rows below the messages: the channels, if there are several, and the line.
    fn lines_below(&self, columns: usize, rows: usize) -> Layout {
        let layout = Layout::new(PROMPT, self.line.text(), self.line.cursor(), columns);
        let top = if self.tabs.is_empty() { None } else { Some(row_of_tabs(&self.tabs, columns)) };
        layout.window(rows / 2).under(top)
    }
}

//! The screen of `chanwire top`: the table, the row that is chosen, and a question about it.

use super::table::{Column, Entry, Order, Sample, Totals, entries, fitted, lines};
use crate::cli::terminal::Key;

/// The lines above the table: totals, a message, and the header.
const ABOVE: usize = 3;

/// The state of the screen.
#[derive(Debug)]
pub(super) struct Screen {
    order: Order,
    before: Option<Sample>,
    entries: Vec<Entry>,
    has_sample: bool,
    /// The number of the connection that is chosen.
    chosen: Option<u64>,
    /// The first row that is shown.
    first: usize,
    /// The connection that the open question is about.
    question: Option<u64>,
    message: Option<String>,
}

/// An action that a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// End this connection.
    Disconnect(u64),
}

impl Screen {
    pub(super) const fn new(column: Column) -> Self {
        Self {
            order: Order::by(column),
            before: None,
            entries: Vec::new(),
            has_sample: false,
            chosen: None,
            first: 0,
            question: None,
            message: None,
        }
    }

    /// Takes the next sample.
    pub(super) fn update(&mut self, sample: Sample) {
        self.entries = entries(self.before.as_ref(), &sample);
        self.order.sort(&mut self.entries);
        (self.before, self.has_sample) = (Some(sample), true);
        // A message about a sample that failed is over.
        self.message = None;
        if self.place().is_none() {
            self.chosen = None;
        }
    }

    /// Shows a message, which is harmless, until the next sample or key.
    pub(super) fn show(&mut self, message: String) {
        self.message = Some(message);
    }

    /// Handles a key.
    pub(super) fn press(&mut self, key: &Key) -> Option<Action> {
        if let Some(connection) = self.question.take() {
            return (*key == Key::Char('y')).then_some(Action::Disconnect(connection));
        }
        self.message = None;
        match key {
            Key::Char('q') | Key::Interrupt | Key::EndOfInput => return Some(Action::Quit),
            Key::Suspend => return Some(Action::Suspend),
            Key::Redraw => return Some(Action::Redraw),
            Key::Char('d') | Key::Delete => match self.chosen {
                Some(connection) => self.question = Some(connection),
                None => self.message = Some("choose a connection with the arrow keys first".into()),
            },
            Key::Char(key) => {
                if let Some(column) = Column::of_key(*key) {
                    self.order = self.order.after(column);
                    self.order.sort(&mut self.entries);
                }
            }
            Key::Down => self.choose(|place| place.map_or(0, |place| place + 1)),
            Key::Up => self.choose(|place| place.map_or(0, |place| place.saturating_sub(1))),
            Key::Home => self.choose(|_| 0),
            Key::End => self.choose(|_| usize::MAX),
            _ => {}
        }
        None
    }

    fn choose(&mut self, next: impl FnOnce(Option<usize>) -> usize) {
        let place = next(self.place()).min(self.entries.len().saturating_sub(1));
        self.chosen = self.entries.get(place).map(|entry| entry.row.connection);
    }

    /// Returns the place of the chosen row in the order.
    fn place(&self) -> Option<usize> {
        let chosen = self.chosen?;
        self.entries.iter().position(|entry| entry.row.connection == chosen)
    }

    /// Returns the lines of a screen of this size.
    pub(super) fn lines(&mut self, columns: usize, rows: usize) -> Vec<String> {
        let height = rows.saturating_sub(ABOVE);
        let place = self.place();
        if let Some(place) = place {
            self.first = self.first.clamp((place + 1).saturating_sub(height.max(1)), place);
        }
        self.first = self.first.min(self.entries.len().saturating_sub(height));
        let shown = self.entries.get(self.first..).unwrap_or_default();
        let shown = shown.get(..height).unwrap_or(shown);
        let (header, table) = lines(shown, columns.saturating_sub(MARK.len()));
        let totals = match self.has_sample {
            true => Totals::of(&self.entries).line(),
            false => "asking the server".into(),
        };
        let mut all = vec![fitted(&totals, columns), fitted(&self.status(), columns)];
        all.push(fitted(&format!("{NO_MARK}{header}"), columns));
        for (index, row) in table.iter().enumerate() {
            let mark = if place == Some(self.first + index) { MARK } else { NO_MARK };
            all.push(fitted(&format!("{mark}{row}"), columns));
        }
        all.truncate(rows);
        all
    }

    fn status(&self) -> String {
        if let Some(connection) = self.question {
            let peer = self.entries.iter().find(|entry| entry.row.connection == connection);
            let peer =
                peer.map_or(String::new(), |entry| format!(" of {}", chanwire_inspect::visible(&entry.row.peer)));
            return format!("disconnect {connection}{peer}? y/n");
        }
        match &self.message {
            Some(message) => message.clone(),
            None => format!("q quit  ↑↓ choose  d disconnect  order: {}", Column::KEYS),
        }
    }
}

const MARK: &str = "> ";
const NO_MARK: &str = "  ";

#[cfg(test)]
mod tests {
    use chanwire_core::wire::ConnectionRow;

    use super::*;

    fn sample(ids: impl IntoIterator<Item = u64>) -> Sample {
        let row = |connection| ConnectionRow {
            connection,
            peer: "192.0.2.7".into(),
            listener: None,
            seconds: 0,
            requests: connection,
            received_bytes: 0,
            sent_bytes: 0,
            pushes: 0,
            joined: 0,
            waiting_bytes: 0,
        };
        Sample { at: 0.0, rows: ids.into_iter().map(row).collect() }
    }

    /// Returns the first word of each row, with the mark of the chosen one.
    fn ids(screen: &mut Screen, rows: usize) -> Vec<String> {
        let lines = screen.lines(80, rows);
        let id = |line: &String| {
            let mark = if line.starts_with(MARK) { ">" } else { "" };
            let word = line.trim_start_matches('>').split_whitespace().next().unwrap_or_default();
            format!("{mark}{word}")
        };
        lines.iter().skip(ABOVE).map(id).collect()
    }

    #[test]
    fn the_chosen_connection_stays_chosen_and_in_sight() {
        let mut screen = Screen::new(Column::Id);
        assert!(screen.lines(80, 24)[0].starts_with("asking"), "{screen:?}");
        screen.update(sample(1..=9));
        assert_eq!(ids(&mut screen, ABOVE + 3), ["1", "2", "3"]);
        for _ in 0..5 {
            screen.press(&Key::Down);
        }
        assert_eq!(ids(&mut screen, ABOVE + 3), ["3", "4", ">5"]);
        screen.update(sample([2, 5, 6, 7]));
        assert_eq!(ids(&mut screen, ABOVE + 3), [">5", "6", "7"]);
        // By the other order, it has another place.
        screen.press(&Key::Char('i'));
        assert_eq!(ids(&mut screen, ABOVE + 2), ["6", ">5"]);
        screen.press(&Key::End);
        screen.press(&Key::Down);
        assert_eq!(ids(&mut screen, ABOVE + 2), ["5", ">2"]);
        screen.press(&Key::Home);
        screen.press(&Key::Up);
        assert_eq!(ids(&mut screen, ABOVE + 2), [">7", "6"]);
        screen.update(sample([1]));
        assert_eq!(ids(&mut screen, ABOVE + 2), ["1"]);
        screen.update(sample([]));
        screen.press(&Key::Down);
        assert_eq!(ids(&mut screen, ABOVE + 2), Vec::<String>::new());
    }

    #[test]
    fn a_connection_is_ended_only_after_a_yes() {
        let mut screen = Screen::new(Column::Id);
        screen.update(sample(1..=3));
        assert_eq!(screen.press(&Key::Char('d')), None);
        assert!(screen.lines(80, 24)[1].contains("choose a connection"), "{screen:?}");
        screen.press(&Key::Down);
        screen.press(&Key::Down);
        for no in [Key::Char('n'), Key::Enter, Key::Interrupt, Key::Paste("y".into())] {
            assert_eq!(screen.press(&Key::Char('d')), None);
            assert_eq!(screen.lines(80, 24)[1], "disconnect 2 of 192.0.2.7? y/n");
            assert_eq!(screen.press(&no), None);
            assert!(screen.lines(80, 24)[1].starts_with("q quit"), "{screen:?}");
        }
        screen.press(&Key::Char('d'));
        // A sample that comes meanwhile, and another order, do not change which one is meant.
        screen.update(sample(2..=3));
        assert_eq!(screen.press(&Key::Char('y')), Some(Action::Disconnect(2)));
        assert_eq!(screen.press(&Key::Char('y')), None);
        assert_eq!(screen.press(&Key::Char('q')), Some(Action::Quit));
    }

    #[test]
    fn no_size_is_too_small() {
        let mut screen = Screen::new(Column::Id);
        screen.update(sample(1..=20));
        screen.press(&Key::End);
        for (columns, rows) in (0..50).flat_map(|columns| (0..8).map(move |rows| (columns, rows))) {
            let lines = screen.lines(columns, rows);
            assert!(lines.len() <= rows, "{columns} {rows}: {lines:?}");
            let width = |line: &String| unicode_width::UnicodeWidthStr::width(line.as_str());
            assert!(lines.iter().all(|line| width(line) <= columns), "{columns} {rows}: {lines:?}");
        }
    }
}

//! The screen of `chanwire top`: one of the tables, the row that is chosen, and a question about it.

use chanwire_core::wire::ConnectionRow;

use super::{
    channels::{ChannelColumn, ChannelRow},
    connections::ConnectionColumn,
    feed::Sample,
    table::{Column as _, Entry, Order, Row, entries, fitted, lines},
};
use crate::cli::terminal::Key;

/// The lines above the table: totals, a message, and the header.
const ABOVE: usize = 3;

/// The state of the screen.
#[derive(Debug)]
pub(super) struct Screen {
    connections: View<ConnectionRow>,
    channels: View<ChannelRow>,
    /// Whether the table of channels is shown.
    shows_channels: bool,
    before: Option<Sample>,
    /// The connection that the open question is about.
    question: Option<u64>,
    message: Option<String>,
}

/// The view of a table.
#[derive(Debug)]
struct View<R: Row> {
    order: Order<R::Column>,
    entries: Vec<Entry<R>>,
    /// The key of the row that is chosen.
    chosen: Option<R::Key>,
    /// The first row that is shown.
    first: usize,
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
    pub(super) const fn new(order: Order<ConnectionColumn>, channels: Order<ChannelColumn>) -> Self {
        Self {
            connections: View::new(order),
            channels: View::new(channels),
            shows_channels: false,
            before: None,
            question: None,
            message: None,
        }
    }

    /// Takes the next sample.
    pub(super) fn update(&mut self, sample: Sample) {
        let seconds = self.before.as_ref().map(|before| sample.at - before.at);
        let before = self.before.take().unwrap_or_default();
        self.connections.update(&before.connections, &sample.connections, seconds);
        self.channels.update(&before.channels, &sample.channels, seconds);
        self.before = Some(sample);
        // A message about a sample that failed is over.
        self.message = None;
    }

    /// Shows a message, which must be safe to show, until the next sample or key.
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
            Key::Char('c') => self.shows_channels = !self.shows_channels,
            Key::Char('d') | Key::Delete if !self.shows_channels => match self.connections.chosen {
                Some(connection) => self.question = Some(connection),
                None => self.message = Some("choose a connection with the arrow keys first".into()),
            },
            key if self.shows_channels => self.channels.press(key),
            key => self.connections.press(key),
        }
        None
    }

    /// Returns the lines of a screen of this size.
    pub(super) fn lines(&mut self, columns: usize, rows: usize) -> Vec<String> {
        let height = rows.saturating_sub(ABOVE);
        let (totals, table) = match self.shows_channels {
            true => self.channels.lines(columns, height),
            false => self.connections.lines(columns, height),
        };
        let totals = if self.before.is_some() { totals } else { "asking the server".into() };
        let mut all = vec![fitted(&totals, columns), fitted(&self.status(), columns)];
        all.extend(table);
        all.truncate(rows);
        all
    }

    fn status(&self) -> String {
        if let Some(connection) = self.question {
            let peer = self.connections.entries.iter().find(|entry| entry.row.connection == connection);
            let peer =
                peer.map_or(String::new(), |entry| format!(" of {}", chanwire_inspect::visible(&entry.row.peer)));
            return format!("disconnect {connection}{peer}? y/n");
        }
        match (&self.message, self.shows_channels) {
            (Some(message), _) => message.clone(),
            (None, false) => format!("q quit  c channels  ↑↓ choose  d disconnect  order: {}", ConnectionColumn::KEYS),
            (None, true) => format!("q quit  c connections  ↑↓ choose  order: {}", ChannelColumn::KEYS),
        }
    }
}

impl<R: Row> View<R> {
    const fn new(order: Order<R::Column>) -> Self {
        Self { order, entries: Vec::new(), chosen: None, first: 0 }
    }

    fn update(&mut self, before: &[R], now: &[R], seconds: Option<f64>) {
        self.entries = entries(before, now, seconds);
        self.order.sort(&mut self.entries);
        if self.place().is_none() {
            self.chosen = None;
        }
    }

    /// Handles a key that orders or chooses.
    fn press(&mut self, key: &Key) {
        match key {
            Key::Char(key) => {
                if let Some(column) = R::Column::of_key(*key) {
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
    }

    fn choose(&mut self, next: impl FnOnce(Option<usize>) -> usize) {
        let place = next(self.place()).min(self.entries.len().saturating_sub(1));
        self.chosen = self.entries.get(place).map(|entry| entry.row.key());
    }

    /// Returns the place of the chosen row in the order.
    fn place(&self) -> Option<usize> {
        let chosen = self.chosen.as_ref()?;
        self.entries.iter().position(|entry| entry.row.key() == *chosen)
    }

    /// Returns the totals, and the header with as many rows as this height.
    fn lines(&mut self, columns: usize, height: usize) -> (String, Vec<String>) {
        let place = self.place();
        if let Some(place) = place {
            self.first = self.first.clamp((place + 1).saturating_sub(height.max(1)), place);
        }
        self.first = self.first.min(self.entries.len().saturating_sub(height));
        let shown = self.entries.get(self.first..).unwrap_or_default();
        let shown = shown.get(..height).unwrap_or(shown);
        let (header, table) = lines(shown, columns.saturating_sub(MARK.len()));
        let mut all = vec![fitted(&format!("{NO_MARK}{header}"), columns)];
        for (index, row) in table.iter().enumerate() {
            let mark = if place == Some(self.first + index) { MARK } else { NO_MARK };
            all.push(fitted(&format!("{mark}{row}"), columns));
        }
        (R::totals(&self.entries), all)
    }
}

const MARK: &str = "> ";
const NO_MARK: &str = "  ";

#[cfg(test)]
mod tests {
    use chanwire_core::wire::ChannelActivity;

    use super::*;

    fn screen() -> Screen {
        Screen::new(Order::by(ConnectionColumn::Id), Order::by(ChannelColumn::Joined))
    }

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
        Sample { connections: ids.into_iter().map(row).collect(), ..Sample::default() }
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
        let mut screen = screen();
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
        let mut screen = screen();
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

    /// Returns a sample with a channel for each of these numbers of subscribers, which is also its name.
    fn channels(joined: impl IntoIterator<Item = u64>) -> Sample {
        let row = |joined: u64| ChannelRow {
            channel_name: joined.to_string().parse().unwrap(),
            last_id: 0,
            activity: ChannelActivity { joined, behind: 0, stored_bytes: 0 },
        };
        Sample { channels: joined.into_iter().map(row).collect(), ..sample(1..=9) }
    }

    #[test]
    fn a_key_switches_between_the_tables_which_keep_their_order_and_choice() {
        let mut screen = screen();
        screen.update(channels([3, 5, 4]));
        screen.press(&Key::Down);
        screen.press(&Key::Char('c'));
        assert_eq!(ids(&mut screen, 24), ["5", "4", "3"]);
        assert!(screen.lines(80, 24)[0].starts_with("3 channels, "), "{screen:?}");
        assert!(screen.lines(80, 24)[1].starts_with("q quit  c connections"), "{screen:?}");
        screen.press(&Key::End);
        // There is nothing to disconnect.
        assert_eq!(screen.press(&Key::Char('d')), None);
        assert!(screen.lines(80, 24)[1].starts_with("q quit"), "{screen:?}");
        screen.press(&Key::Char('h'));
        assert_eq!(ids(&mut screen, 24), [">3", "4", "5"]);
        screen.update(channels([3, 7]));
        assert_eq!(ids(&mut screen, 24), [">3", "7"]);
        screen.press(&Key::Char('c'));
        assert_eq!(ids(&mut screen, ABOVE + 2), [">1", "2"]);
        assert_eq!(screen.press(&Key::Char('d')), None);
        assert_eq!(screen.press(&Key::Char('y')), Some(Action::Disconnect(1)));
    }

    #[test]
    fn each_key_of_the_help_orders_by_a_column_of_its_own() {
        fn assert_keys<R: Row>() {
            let key = |key: &str| R::Column::of_key(key.chars().next().unwrap()).unwrap();
            assert_eq!(R::Column::KEYS.split(' ').map(key).collect::<Vec<_>>(), R::Column::ALL);
            // Keys with another use, and the space between the keys of the help.
            for key in ['c', 'd', 'q', 'y', ' '] {
                assert_eq!(R::Column::of_key(key), None);
            }
        }
        assert_keys::<ConnectionRow>();
        assert_keys::<ChannelRow>();
    }

    #[test]
    fn no_size_is_too_small() {
        let mut screen = screen();
        screen.update(channels(1..=20));
        screen.press(&Key::End);
        for (columns, rows) in (0..50).flat_map(|columns| (0..8).map(move |rows| (columns, rows))) {
            screen.press(&Key::Char('c'));
            let lines = screen.lines(columns, rows);
            assert!(lines.len() <= rows, "{columns} {rows}: {lines:?}");
            let width = |line: &String| unicode_width::UnicodeWidthStr::width(line.as_str());
            assert!(lines.iter().all(|line| width(line) <= columns), "{columns} {rows}: {lines:?}");
        }
    }
}

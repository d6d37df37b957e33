//! The table of connections: rates from two samples, the order of rows, and columns that fit.

use std::{cmp::Ordering, collections::BTreeMap};

use chanwire_core::wire::ConnectionRow;
use chanwire_inspect::visible;
use clap::ValueEnum;
use serde::Serialize;
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// The connections of a server at one time.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// The time, in seconds from some origin.
    pub(super) at: f64,
    pub(super) rows: Vec<ConnectionRow>,
}

/// Uses per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Rates {
    requests_per_second: f64,
    received_bytes_per_second: f64,
    sent_bytes_per_second: f64,
    pushes_per_second: f64,
}

/// A connection with its rates, which the first sample does not have.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) row: ConnectionRow,
    pub(super) rates: Option<Rates>,
}

/// A column, by which rows are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Column {
    Id,
    Peer,
    Listener,
    Open,
    #[value(name = "req/s")]
    RequestRate,
    #[value(name = "in/s")]
    ReceivedRate,
    #[value(name = "out/s")]
    SentRate,
    #[value(name = "push/s")]
    PushRate,
    Joined,
    Waiting,
    Requests,
    Received,
    Sent,
}

impl Column {
    /// Every column, in the order in which they are shown.
    const ALL: [Self; 13] = [
        Self::Id,
        Self::Peer,
        Self::Listener,
        Self::Open,
        Self::RequestRate,
        Self::ReceivedRate,
        Self::SentRate,
        Self::PushRate,
        Self::Joined,
        Self::Waiting,
        Self::Requests,
        Self::Received,
        Self::Sent,
    ];

    /// The columns that a narrow terminal does without, the first to go first.
    const DISPENSABLE: [Self; 11] = [
        Self::Sent,
        Self::Received,
        Self::Requests,
        Self::Listener,
        Self::PushRate,
        Self::Open,
        Self::Joined,
        Self::Waiting,
        Self::SentRate,
        Self::ReceivedRate,
        Self::RequestRate,
    ];

    /// The keys that order by each column, for the screen's help.
    pub(super) const KEYS: &'static str = "i p l t r n o u j w R N O";

    /// Returns the column that a key orders by.
    pub(super) const fn of_key(key: char) -> Option<Self> {
        Some(match key {
            'i' => Self::Id,
            'p' => Self::Peer,
            'l' => Self::Listener,
            't' => Self::Open,
            'r' => Self::RequestRate,
            'n' => Self::ReceivedRate,
            'o' => Self::SentRate,
            'u' => Self::PushRate,
            'j' => Self::Joined,
            'w' => Self::Waiting,
            'R' => Self::Requests,
            'N' => Self::Received,
            'O' => Self::Sent,
            _ => return None,
        })
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Id => "ID",
            Self::Peer => "PEER",
            Self::Listener => "LISTENER",
            Self::Open => "OPEN",
            Self::RequestRate => "REQ/S",
            Self::ReceivedRate => "IN/S",
            Self::SentRate => "OUT/S",
            Self::PushRate => "PUSH/S",
            Self::Joined => "JOINED",
            Self::Waiting => "WAITING",
            Self::Requests => "REQUESTS",
            Self::Received => "RECEIVED",
            Self::Sent => "SENT",
        }
    }

    /// Returns whether its smallest value comes first. The largest of the others are of interest.
    const fn is_ascending(self) -> bool {
        matches!(self, Self::Id | Self::Peer | Self::Listener)
    }

    const fn is_text(self) -> bool {
        matches!(self, Self::Peer | Self::Listener)
    }

    fn cell(self, Entry { row, rates }: &Entry) -> String {
        let rate = |of: fn(&Rates) -> f64| rates.as_ref().map_or("-".into(), |rates| short(of(rates)));
        match self {
            Self::Id => row.connection.to_string(),
            Self::Peer => visible(&row.peer).into_owned(),
            Self::Listener => visible(row.listener.as_deref().unwrap_or("-")).into_owned(),
            Self::Open => duration(row.seconds),
            Self::RequestRate => rate(|rates| rates.requests_per_second),
            Self::ReceivedRate => rate(|rates| rates.received_bytes_per_second),
            Self::SentRate => rate(|rates| rates.sent_bytes_per_second),
            Self::PushRate => rate(|rates| rates.pushes_per_second),
            Self::Joined => short(row.joined as f64),
            Self::Waiting => short(row.waiting_bytes as f64),
            Self::Requests => short(row.requests as f64),
            Self::Received => short(row.received_bytes as f64),
            Self::Sent => short(row.sent_bytes as f64),
        }
    }

    fn compare(self, one: &Entry, other: &Entry) -> Ordering {
        let rate = |of: fn(&Rates) -> f64| {
            let of = |entry: &Entry| entry.rates.as_ref().map_or(0.0, of);
            of(one).total_cmp(&of(other))
        };
        let (a, b) = (&one.row, &other.row);
        match self {
            Self::Id => a.connection.cmp(&b.connection),
            Self::Peer => a.peer.cmp(&b.peer),
            Self::Listener => a.listener.cmp(&b.listener),
            Self::Open => a.seconds.cmp(&b.seconds),
            Self::RequestRate => rate(|rates| rates.requests_per_second),
            Self::ReceivedRate => rate(|rates| rates.received_bytes_per_second),
            Self::SentRate => rate(|rates| rates.sent_bytes_per_second),
            Self::PushRate => rate(|rates| rates.pushes_per_second),
            Self::Joined => a.joined.cmp(&b.joined),
            Self::Waiting => a.waiting_bytes.cmp(&b.waiting_bytes),
            Self::Requests => a.requests.cmp(&b.requests),
            Self::Received => a.received_bytes.cmp(&b.received_bytes),
            Self::Sent => a.sent_bytes.cmp(&b.sent_bytes),
        }
    }
}

/// The order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) column: Column,
    pub(super) is_reversed: bool,
}

impl Order {
    pub(super) const fn by(column: Column) -> Self {
        Self { column, is_reversed: false }
    }

    /// Returns the order after a column's key: by that column, or the other way round.
    pub(super) fn after(self, column: Column) -> Self {
        Self { column, is_reversed: column == self.column && !self.is_reversed }
    }

    /// Sorts entries. Those that are equal are in the order of their numbers.
    pub(super) fn sort(self, entries: &mut [Entry]) {
        entries.sort_by(|one, other| {
            let order = self.column.compare(one, other);
            let order = if self.column.is_ascending() == self.is_reversed { order.reverse() } else { order };
            order.then(one.row.connection.cmp(&other.row.connection))
        });
    }
}

/// Returns the connections of a sample, with their rates since the one before. The counts of a connection that is new
/// are from that time.
pub(super) fn entries(before: Option<&Sample>, now: &Sample) -> Vec<Entry> {
    let past: BTreeMap<u64, &ConnectionRow> =
        before.iter().flat_map(|sample| &sample.rows).map(|row| (row.connection, row)).collect();
    let seconds = before.map(|before| (now.at - before.at).max(0.001));
    let entry = |row: &ConnectionRow| {
        let rates = seconds.map(|seconds| {
            let rate = |of: fn(&ConnectionRow) -> u64| {
                let before = past.get(&row.connection).map_or(0, |row| of(row));
                of(row).saturating_sub(before) as f64 / seconds
            };
            Rates {
                requests_per_second: rate(|row| row.requests),
                received_bytes_per_second: rate(|row| row.received_bytes),
                sent_bytes_per_second: rate(|row| row.sent_bytes),
                pushes_per_second: rate(|row| row.pushes),
            }
        });
        Entry { row: row.clone(), rates }
    };
    now.rows.iter().map(entry).collect()
}

/// The sums over all connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Totals {
    connections: usize,
    #[serde(flatten)]
    rates: Rates,
    joined: u64,
    waiting_bytes: u64,
}

impl Totals {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut totals = Self { connections: entries.len(), ..Self::default() };
        for Entry { row, rates } in entries {
            totals.joined += row.joined;
            totals.waiting_bytes += row.waiting_bytes;
            let rates = rates.unwrap_or_default();
            totals.rates.requests_per_second += rates.requests_per_second;
            totals.rates.received_bytes_per_second += rates.received_bytes_per_second;
            totals.rates.sent_bytes_per_second += rates.sent_bytes_per_second;
            totals.rates.pushes_per_second += rates.pushes_per_second;
        }
        totals
    }

    /// Returns them as a line.
    pub(super) fn line(&self) -> String {
        let Self { connections, rates, joined, waiting_bytes } = self;
        let s = if *connections == 1 { "" } else { "s" };
        format!(
            "{connections} connection{s}, {} req/s, {}B/s in, {}B/s out, {} push/s, {} joined, {}B waiting",
            short(rates.requests_per_second),
            short(rates.received_bytes_per_second),
            short(rates.sent_bytes_per_second),
            short(rates.pushes_per_second),
            short(*joined as f64),
            short(*waiting_bytes as f64),
        )
    }
}

/// Returns the header and the rows, as many columns of them as fit into this width.
pub(super) fn lines(entries: &[Entry], width: usize) -> (String, Vec<String>) {
    let mut columns: Vec<Cells> = Column::ALL
        .into_iter()
        .map(|column| {
            let cells: Vec<String> = entries.iter().map(|entry| column.cell(entry)).collect();
            let width = cells.iter().map(|cell| cell.width()).max().unwrap_or(0).max(column.title().len());
            Cells { column, cells, width }
        })
        .collect();
    for dispensable in Column::DISPENSABLE {
        let all: usize = columns.iter().map(|it| it.width + GAP).sum();
        if all <= width + GAP {
            break;
        }
        columns.retain(|it| it.column != dispensable);
    }
    let line = |cell: &dyn Fn(&Cells) -> String| {
        let cells = columns.iter().map(|it| padded(&cell(it), it.width, it.column.is_text()));
        fitted(cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end(), width)
    };
    let header = line(&|it| it.column.title().into());
    let row = |index: usize| line(&|it| it.cells.get(index).cloned().unwrap_or_default());
    (header, (0..entries.len()).map(row).collect())
}

/// A column with its cells and the width of the widest.
struct Cells {
    column: Column,
    cells: Vec<String>,
    width: usize,
}

/// The columns between two columns.
const GAP: usize = 2;

/// Fills a cell up with blanks: texts at their right, numbers at their left.
fn padded(cell: &str, width: usize, is_text: bool) -> String {
    let blanks = " ".repeat(width.saturating_sub(cell.width()));
    if is_text { format!("{cell}{blanks}") } else { format!("{blanks}{cell}") }
}

/// Cuts a line that is wider than this.
pub(super) fn fitted(line: &str, width: usize) -> String {
    if line.width() <= width {
        return line.into();
    }
    let mut cut = String::new();
    let mut room = width.saturating_sub(1);
    for grapheme in line.graphemes(true) {
        let Some(rest) = room.checked_sub(grapheme.width()) else { break };
        room = rest;
        cut += grapheme;
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// Returns a number in at most five characters up to 10^15: with one decimal below 10, and with `k`, `M`, `G` or `T`.
fn short(number: f64) -> String {
    let (mut number, mut units) = (number, ["", "k", "M", "G", "T"].into_iter().peekable());
    let mut unit = units.next().unwrap_or_default();
    // Rounded, it would have four digits.
    while number >= 999.5
        && let Some(next) = units.next()
    {
        number /= 1000.0;
        unit = next;
    }
    if number < 9.95 && number.fract() > 0.0 { format!("{number:.1}{unit}") } else { format!("{number:.0}{unit}") }
}

/// Returns seconds with the two largest units.
fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(connection: u64, requests: u64, received_bytes: u64) -> ConnectionRow {
        ConnectionRow {
            connection,
            peer: "192.0.2.7".into(),
            listener: Some("127.0.0.1:22236".into()),
            seconds: 61,
            requests,
            received_bytes,
            sent_bytes: 0,
            pushes: 0,
            joined: 2,
            waiting_bytes: 1500,
        }
    }

    fn sample(at: f64, rows: &[ConnectionRow]) -> Sample {
        Sample { at, rows: rows.to_vec() }
    }

    #[test]
    fn rates_are_what_came_between_two_samples() {
        let before = sample(10.0, &[row(1, 100, 1000), row(2, 5, 5)]);
        let now = sample(12.0, &[row(1, 110, 5000), row(3, 4, 0)]);
        let rates: Vec<_> = entries(Some(&before), &now).into_iter().map(|entry| entry.rates.unwrap()).collect();
        assert_eq!((rates[0].requests_per_second, rates[0].received_bytes_per_second), (5.0, 2000.0));
        // All that a new connection did, it did since.
        assert_eq!(rates[1].requests_per_second, 2.0);
        assert!(entries(None, &now).iter().all(|entry| entry.rates.is_none()));
        // Counts that go back, as after a restart of the server, are no negative rate.
        assert_eq!(entries(Some(&now), &before)[0].rates.unwrap().requests_per_second, 0.0);
    }

    #[test]
    fn a_column_orders_by_its_largest_value_and_the_same_key_turns_it_round() {
        let mut all = entries(None, &sample(0.0, &[row(1, 5, 0), row(2, 7, 0), row(3, 5, 0)]));
        let mut ids = |order: Order| {
            order.sort(&mut all);
            all.iter().map(|entry| entry.row.connection).collect::<Vec<_>>()
        };
        let by = Order::by(Column::Requests);
        assert_eq!(ids(by), [2, 1, 3]);
        assert_eq!(ids(by.after(Column::Requests)), [1, 3, 2]);
        assert_eq!(ids(by.after(Column::Id)), [1, 2, 3]);
        assert_eq!(ids(by.after(Column::Id).after(Column::Id)), [3, 2, 1]);
        assert_eq!(by.after(Column::Requests).after(Column::Requests), by);
    }

    #[test]
    fn each_key_of_the_help_orders_by_a_column_of_its_own() {
        let columns: Vec<Column> =
            Column::KEYS.split(' ').map(|key| Column::of_key(key.chars().next().unwrap()).unwrap()).collect();
        assert_eq!(columns, Column::ALL);
        // The keys that do something else.
        for key in ['d', 'q', 'y', ' '] {
            assert_eq!(Column::of_key(key), None);
        }
    }

    #[test]
    fn columns_that_do_not_fit_are_left_out_and_the_rest_is_cut() {
        let before = sample(0.0, &[row(17, 0, 0)]);
        let all = entries(Some(&before), &sample(2.0, &[row(17, 25, 1_500_000)]));
        let (header, rows) = lines(&all, 200);
        assert_eq!(
            header,
            "ID  PEER       LISTENER          OPEN  REQ/S  IN/S  OUT/S  PUSH/S  JOINED  WAITING  REQUESTS  RECEIVED  SENT"
        );
        assert_eq!(
            rows,
            ["17  192.0.2.7  127.0.0.1:22236  1m01s     12  750k      0       0       2     1.5k        25      1.5M     0"
                .to_owned()]
        );
        for width in 0..130 {
            let (header, rows) = lines(&all, width);
            assert!(header.width() <= width && rows[0].width() <= width, "{width}: {header}\n{}", rows[0]);
        }
        assert_eq!(lines(&all, 40).0, "ID  PEER       REQ/S  IN/S  OUT/S");
        assert_eq!(lines(&all, 10).1, ["17  192.0…"]);
    }

    #[test]
    fn texts_are_harmless_and_padded_by_their_width() {
        let mut wide = row(1, 0, 0);
        (wide.peer, wide.listener) = ("\u{1b}[2J\u{202e}世界".into(), None);
        let (_, rows) = lines(&entries(None, &sample(0.0, &[wide, row(2, 0, 0)])), 200);
        assert!(rows[0].contains(r"\u{1b}[2J\u{202e}世界  -"), "{rows:?}");
        let at = |row: &str| row.split("1m01s").next().unwrap().width();
        assert_eq!(at(&rows[0]), at(&rows[1]), "{rows:?}");
        assert_eq!(fitted("世界世界", 5), "世界…");
        assert_eq!(fitted("世界世界", 4), "世…");
        assert_eq!(fitted("世界", 0), "");
    }

    #[test]
    fn numbers_and_durations_are_short() {
        let numbers = [0.0, 0.04, 0.5, 9.94, 9.96, 42.4, 999.4, 999.6, 1000.0, 1500.0, 999_600.0, 2.5e9, 3e12, 5e15];
        let texts = numbers.map(short);
        let expected =
            ["0", "0.0", "0.5", "9.9", "10", "42", "999", "1.0k", "1k", "1.5k", "1.0M", "2.5G", "3T", "5000T"];
        assert_eq!(texts, expected);
        assert_eq!(
            [0, 59, 60, 3599, 3600, 86_399, 90_000].map(duration),
            ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d01h"]
        );
    }
}

//! The table of connections.

use std::cmp::Ordering;

use chanwire_core::wire::ConnectionRow;
use chanwire_inspect::visible;
use clap::ValueEnum;
use serde::Serialize;

use super::table::{Column, Entry, Row, counted, short};

/// Uses per second of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct ConnectionRates {
    requests_per_second: f64,
    received_bytes_per_second: f64,
    sent_bytes_per_second: f64,
    pushes_per_second: f64,
}

impl Row for ConnectionRow {
    type Key = u64;
    type Rates = ConnectionRates;
    type Column = ConnectionColumn;

    fn key(&self) -> u64 {
        self.connection
    }

    fn rates(rate: impl Fn(fn(&Self) -> u64) -> f64) -> ConnectionRates {
        ConnectionRates {
            requests_per_second: rate(|row| row.requests),
            received_bytes_per_second: rate(|row| row.received_bytes),
            sent_bytes_per_second: rate(|row| row.sent_bytes),
            pushes_per_second: rate(|row| row.pushes),
        }
    }

    fn totals(entries: &[Entry<Self>]) -> String {
        ConnectionTotals::of(entries).line()
    }
}

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum ConnectionColumn {
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

impl Column for ConnectionColumn {
    type Row = ConnectionRow;

    const ALL: &'static [Self] = &[
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

    const DISPENSABLE: &'static [Self] = &[
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

    const KEYS: &'static str = "i p l t r n o u j w R N O";

    fn of_key(key: char) -> Option<Self> {
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

    fn title(self) -> &'static str {
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

    fn is_ascending(self) -> bool {
        matches!(self, Self::Id | Self::Peer | Self::Listener)
    }

    fn is_text(self) -> bool {
        matches!(self, Self::Peer | Self::Listener)
    }

    fn cell(self, entry: &Entry<ConnectionRow>) -> String {
        let row = &entry.row;
        match self {
            Self::Id => row.connection.to_string(),
            Self::Peer => visible(&row.peer).into_owned(),
            Self::Listener => visible(row.listener.as_deref().unwrap_or("-")).into_owned(),
            Self::Open => duration(row.seconds),
            Self::RequestRate => entry.rate(|rates| rates.requests_per_second),
            Self::ReceivedRate => entry.rate(|rates| rates.received_bytes_per_second),
            Self::SentRate => entry.rate(|rates| rates.sent_bytes_per_second),
            Self::PushRate => entry.rate(|rates| rates.pushes_per_second),
            Self::Joined => short(row.joined as f64),
            Self::Waiting => short(row.waiting_bytes as f64),
            Self::Requests => short(row.requests as f64),
            Self::Received => short(row.received_bytes as f64),
            Self::Sent => short(row.sent_bytes as f64),
        }
    }

    fn compare(self, one: &Entry<ConnectionRow>, other: &Entry<ConnectionRow>) -> Ordering {
        let (a, b) = (&one.row, &other.row);
        match self {
            Self::Id => a.connection.cmp(&b.connection),
            Self::Peer => a.peer.cmp(&b.peer),
            Self::Listener => a.listener.cmp(&b.listener),
            Self::Open => a.seconds.cmp(&b.seconds),
            Self::RequestRate => one.compare_rate(other, |rates| rates.requests_per_second),
            Self::ReceivedRate => one.compare_rate(other, |rates| rates.received_bytes_per_second),
            Self::SentRate => one.compare_rate(other, |rates| rates.sent_bytes_per_second),
            Self::PushRate => one.compare_rate(other, |rates| rates.pushes_per_second),
            Self::Joined => a.joined.cmp(&b.joined),
            Self::Waiting => a.waiting_bytes.cmp(&b.waiting_bytes),
            Self::Requests => a.requests.cmp(&b.requests),
            Self::Received => a.received_bytes.cmp(&b.received_bytes),
            Self::Sent => a.sent_bytes.cmp(&b.sent_bytes),
        }
    }
}

/// The sums over all connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct ConnectionTotals {
    connections: usize,
    #[serde(flatten)]
    rates: ConnectionRates,
    joined: u64,
    waiting_bytes: u64,
}

impl ConnectionTotals {
    pub(super) fn of(entries: &[Entry<ConnectionRow>]) -> Self {
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

    fn line(&self) -> String {
        let Self { connections, rates, joined, waiting_bytes } = self;
        format!(
            "{}, {} req/s, {}B/s in, {}B/s out, {} push/s, {} joined, {}B waiting",
            counted(*connections, "connection"),
            short(rates.requests_per_second),
            short(rates.received_bytes_per_second),
            short(rates.sent_bytes_per_second),
            short(rates.pushes_per_second),
            short(*joined as f64),
            short(*waiting_bytes as f64),
        )
    }
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
    use unicode_width::UnicodeWidthStr as _;

    use super::{
        super::table::{Order, entries, lines},
        *,
    };

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

    #[test]
    fn rates_are_what_came_between_two_samples() {
        let before = [row(1, 100, 1000), row(2, 5, 5)];
        let now = [row(1, 110, 5000), row(3, 4, 0)];
        let rates: Vec<_> = entries(&before, &now, Some(2.0)).into_iter().map(|entry| entry.rates.unwrap()).collect();
        assert_eq!((rates[0].requests_per_second, rates[0].received_bytes_per_second), (5.0, 2000.0));
        // All that a new connection did, it did since.
        assert_eq!(rates[1].requests_per_second, 2.0);
        assert!(entries(&[], &now, None).iter().all(|entry| entry.rates.is_none()));
        // Counts that go back, as after a restart of the server, are no negative rate.
        assert_eq!(entries(&now, &before, Some(2.0))[0].rates.unwrap().requests_per_second, 0.0);
    }

    #[test]
    fn a_column_orders_by_its_largest_value_and_the_same_key_turns_it_round() {
        let mut all = entries(&[], &[row(1, 5, 0), row(2, 7, 0), row(3, 5, 0)], None);
        let mut ids = |order: Order<ConnectionColumn>| {
            order.sort(&mut all);
            all.iter().map(|entry| entry.row.connection).collect::<Vec<_>>()
        };
        let by = Order::by(ConnectionColumn::Requests);
        assert_eq!(ids(by), [2, 1, 3]);
        assert_eq!(ids(by.after(ConnectionColumn::Requests)), [1, 3, 2]);
        assert_eq!(ids(by.after(ConnectionColumn::Id)), [1, 2, 3]);
        assert_eq!(ids(by.after(ConnectionColumn::Id).after(ConnectionColumn::Id)), [3, 2, 1]);
        assert_eq!(by.after(ConnectionColumn::Requests).after(ConnectionColumn::Requests), by);
    }

    #[test]
    fn columns_that_do_not_fit_are_left_out_and_the_rest_is_cut() {
        let all = entries(&[row(17, 0, 0)], &[row(17, 25, 1_500_000)], Some(2.0));
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
        let (_, rows) = lines(&entries(&[], &[wide, row(2, 0, 0)], None), 200);
        assert!(rows[0].contains(r"\u{1b}[2J\u{202e}世界  -"), "{rows:?}");
        let at = |row: &str| row.split("1m01s").next().unwrap().width();
        assert_eq!(at(&rows[0]), at(&rows[1]), "{rows:?}");
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(
            [0, 59, 60, 3599, 3600, 86_399, 90_000].map(duration),
            ["0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d01h"]
        );
    }
}

//! The table of channels.

use std::cmp::Ordering;

use chanwire_core::wire::{ChannelActivity, ChannelName, ListedChannel};
use chanwire_inspect::visible;
use clap::ValueEnum;
use serde::Serialize;

use super::table::{Column, Entry, Row, counted, short};

/// A channel that lives at the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChannelRow {
    pub(super) channel_name: ChannelName,
    pub(super) last_id: u64,
    pub(super) activity: ChannelActivity,
}

impl ChannelRow {
    /// Returns the row of a listed channel; `None` for one that lives elsewhere.
    pub(super) fn of(listed: ListedChannel) -> Option<Self> {
        let ListedChannel { channel, last_id, activity, .. } = listed;
        Some(Self { channel_name: channel.channel_name, last_id: last_id.unwrap_or(0), activity: activity? })
    }
}

/// Uses per second of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct ChannelRates {
    messages_per_second: f64,
    stored_bytes_per_second: f64,
}

impl Row for ChannelRow {
    type Key = ChannelName;
    type Rates = ChannelRates;
    type Column = ChannelColumn;

    fn key(&self) -> ChannelName {
        self.channel_name.clone()
    }

    fn rates(rate: impl Fn(fn(&Self) -> u64) -> f64) -> ChannelRates {
        ChannelRates {
            // Ids have no gaps.
            messages_per_second: rate(|row| row.last_id),
            stored_bytes_per_second: rate(|row| row.activity.stored_bytes),
        }
    }

    fn totals(entries: &[Entry<Self>]) -> String {
        ChannelTotals::of(entries).line()
    }
}

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum ChannelColumn {
    Channel,
    #[value(name = "msg/s")]
    MessageRate,
    #[value(name = "in/s")]
    StoredRate,
    Joined,
    Behind,
    LastId,
    Stored,
}

impl Column for ChannelColumn {
    type Row = ChannelRow;

    const ALL: &'static [Self] =
        &[Self::Channel, Self::MessageRate, Self::StoredRate, Self::Joined, Self::Behind, Self::LastId, Self::Stored];

    const DISPENSABLE: &'static [Self] =
        &[Self::Stored, Self::LastId, Self::Behind, Self::StoredRate, Self::Joined, Self::MessageRate];

    const KEYS: &'static str = "h m n j b l N";

    fn of_key(key: char) -> Option<Self> {
        Some(match key {
            'h' => Self::Channel,
            'm' => Self::MessageRate,
            'n' => Self::StoredRate,
            'j' => Self::Joined,
            'b' => Self::Behind,
            'l' => Self::LastId,
            'N' => Self::Stored,
            _ => return None,
        })
    }

    fn title(self) -> &'static str {
        match self {
            Self::Channel => "CHANNEL",
            Self::MessageRate => "MSG/S",
            Self::StoredRate => "IN/S",
            Self::Joined => "JOINED",
            Self::Behind => "BEHIND",
            Self::LastId => "LAST ID",
            Self::Stored => "STORED",
        }
    }

    fn is_ascending(self) -> bool {
        self == Self::Channel
    }

    fn is_text(self) -> bool {
        self == Self::Channel
    }

    fn cell(self, entry: &Entry<ChannelRow>) -> String {
        let ChannelRow { channel_name, last_id, activity } = &entry.row;
        match self {
            Self::Channel => visible(channel_name).into_owned(),
            Self::MessageRate => entry.rate(|rates| rates.messages_per_second),
            Self::StoredRate => entry.rate(|rates| rates.stored_bytes_per_second),
            Self::Joined => short(activity.joined as f64),
            Self::Behind => short(activity.behind as f64),
            Self::LastId => last_id.to_string(),
            Self::Stored => short(activity.stored_bytes as f64),
        }
    }

    fn compare(self, one: &Entry<ChannelRow>, other: &Entry<ChannelRow>) -> Ordering {
        let (a, b) = (&one.row, &other.row);
        match self {
            Self::Channel => a.channel_name.cmp(&b.channel_name),
            Self::MessageRate => one.compare_rate(other, |rates| rates.messages_per_second),
            Self::StoredRate => one.compare_rate(other, |rates| rates.stored_bytes_per_second),
            Self::Joined => a.activity.joined.cmp(&b.activity.joined),
            Self::Behind => a.activity.behind.cmp(&b.activity.behind),
            Self::LastId => a.last_id.cmp(&b.last_id),
            Self::Stored => a.activity.stored_bytes.cmp(&b.activity.stored_bytes),
        }
    }
}

/// The sums over all channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct ChannelTotals {
    channels: usize,
    #[serde(flatten)]
    rates: ChannelRates,
    joined: u64,
    behind: u64,
}

impl ChannelTotals {
    pub(super) fn of(entries: &[Entry<ChannelRow>]) -> Self {
        let mut totals = Self { channels: entries.len(), ..Self::default() };
        for Entry { row, rates } in entries {
            totals.joined += row.activity.joined;
            totals.behind += row.activity.behind;
            let rates = rates.unwrap_or_default();
            totals.rates.messages_per_second += rates.messages_per_second;
            totals.rates.stored_bytes_per_second += rates.stored_bytes_per_second;
        }
        totals
    }

    fn line(&self) -> String {
        let Self { channels, rates, joined, behind } = self;
        format!(
            "{}, {} msg/s, {}B/s in, {} joined, {} behind",
            counted(*channels, "channel"),
            short(rates.messages_per_second),
            short(rates.stored_bytes_per_second),
            short(*joined as f64),
            short(*behind as f64),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::table::{entries, lines},
        *,
    };

    fn row(name: &str, last_id: u64, joined: u64, stored_bytes: u64) -> ChannelRow {
        let activity = ChannelActivity { joined, behind: joined / 2, stored_bytes };
        ChannelRow { channel_name: name.parse().unwrap(), last_id, activity }
    }

    #[test]
    fn a_channel_has_the_rates_of_its_messages_and_their_bytes() {
        let before = [row("general", 100, 3, 5000)];
        let now = [row("general", 110, 3, 8000), row("games\u{202e}", 4, 0, 40)];
        let all = entries(&before, &now, Some(2.0));
        let (header, rows) = lines(&all, 200);
        assert_eq!(header, "CHANNEL        MSG/S  IN/S  JOINED  BEHIND  LAST ID  STORED");
        assert_eq!(
            rows,
            [
                "general            5  1.5k       3       1      110      8k",
                r"games\u{202e}      2    20       0       0        4      40",
            ]
        );
        assert_eq!(ChannelRow::totals(&all), "2 channels, 7 msg/s, 1.5kB/s in, 3 joined, 1 behind");
        assert_eq!(lines(&all, 30).0, "CHANNEL        MSG/S  JOINED");
    }

    #[test]
    fn a_channel_that_lives_elsewhere_has_no_row() {
        let address = chanwire_core::wire::Address::new("peer.example", 22240).unwrap();
        let channel = chanwire_core::wire::Channel { channel_name: "there".parse().unwrap(), address };
        let listed = ListedChannel { channel, position: 1, last_id: None, members_only: false, activity: None };
        assert_eq!(ChannelRow::of(listed), None);
    }
}

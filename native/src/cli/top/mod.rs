//! `chanwire top`: live tables of a server's connections and channels.

mod channels;
mod connections;
mod display;
mod feed;
mod screen;
mod table;

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use chanwire_core::wire::ConnectionRow;
use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use self::{
    channels::{ChannelColumn, ChannelRow, ChannelTotals},
    connections::{ConnectionColumn, ConnectionTotals},
    display::{Display, Event},
    feed::{Feed, Sample, Update},
    screen::{Action, Screen},
    table::{Entry, Order, Row, entries, lines},
};
use super::{
    Failure, Outcome,
    backup::DataDir,
    link::{Target, runtime},
    text,
};
use crate::clock::wall_time;

/// Show a server's connections and channels in live tables, and end a connection
///
/// It asks the server as its operator. Rates are those between two refreshes. `c` switches between connections and
/// channels, the arrow keys choose a row, and `d` ends the chosen connection after a question.
///
/// The columns of connections: number (also in the log, as `id`), address, listener, time since it was accepted, requests, bytes
/// received and sent and messages pushed per second, joined channels, bytes that wait until it reads, and the sums of
/// requests and bytes since it was accepted. A narrow terminal shows fewer. A letter orders by a column, and again turns
/// the order round: `i p l t r n o u j w R N O`, in this sequence.
///
/// The columns of channels, of those that live at the server: name, messages and bytes of their texts stored per second,
/// subscribers, subscribers that still lack stored messages, id of the last message, and bytes of texts stored since the
/// server's start: `h m n j b l N`.
#[derive(Debug, Args)]
pub(super) struct Top {
    #[command(flatten)]
    data_dir: DataDir,

    /// Seconds between two refreshes, 1 to 3600
    #[arg(long, short, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=3600))]
    interval: u16,

    /// The column to order connections by
    #[arg(long, value_name = "COLUMN", default_value = "req/s")]
    sort: ConnectionColumn,

    /// The column to order channels by
    #[arg(long, value_name = "COLUMN", default_value = "msg/s")]
    sort_channels: ChannelColumn,

    /// Print the tables once, after the first interval
    #[arg(long)]
    once: bool,

    /// Print one line of JSON for each refresh, from the first interval on, with all connections and channels
    #[arg(long)]
    json: bool,
}

impl Top {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let is_live = !(self.once || self.json);
        if is_live && !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
            return Err(Failure::usage("the live tables need a terminal; use --once or --json"));
        }
        let interval = Duration::from_secs(self.interval.into());
        let target = Target::Operator(self.data_dir.path()?);
        let orders = (Order::by(self.sort), Order::by(self.sort_channels));
        runtime()?.block_on(async {
            let feed = Feed::start(target, interval);
            match (self.json, self.once) {
                (false, false) => live(feed, orders).await,
                (json, once) => print(feed, orders, json, once).await,
            }
        })
    }
}

/// The orders of both tables.
type Orders = (Order<ConnectionColumn>, Order<ChannelColumn>);

/// Prints refreshes, or the first one.
async fn print(mut feed: Feed, orders: Orders, is_json: bool, once: bool) -> Result<Outcome, Failure> {
    let mut before: Option<Sample> = None;
    loop {
        let sample = match feed.next().await {
            Update::Sample(sample) => sample,
            Update::Failed(failure) => return Err(failure),
            Update::Disconnected(_) => continue,
        };
        if let Some(before) = &before {
            let seconds = sample.at - before.at;
            let mut connections = entries(&before.connections, &sample.connections, Some(seconds));
            let mut channels = entries(&before.channels, &sample.channels, Some(seconds));
            orders.0.sort(&mut connections);
            orders.1.sort(&mut channels);
            let text = match is_json {
                true => as_json(&connections, &channels, seconds)?,
                false => format!("{}\n{}", as_text(&connections), as_text(&channels)),
            };
            if !text::print(&text)? || once {
                return Ok(Outcome::Done);
            }
        }
        before = Some(sample);
    }
}

fn as_text<R: Row>(all: &[Entry<R>]) -> String {
    let (header, rows) = lines(all, usize::MAX / 2);
    format!("{}\n{header}\n{}", R::totals(all), rows.iter().map(|row| format!("{row}\n")).collect::<String>())
}

/// Returns a refresh as one line. The names of members are those of the protocol.
fn as_json(
    connections: &[Entry<ConnectionRow>],
    channels: &[Entry<ChannelRow>],
    seconds: f64,
) -> Result<String, Failure> {
    let connection = |row: &ConnectionRow| {
        json!({
            "connection": row.connection, "peer": row.peer, "listener": row.listener, "seconds": row.seconds,
            "requests": row.requests, "received_bytes": row.received_bytes, "sent_bytes": row.sent_bytes,
            "pushes": row.pushes, "joined": row.joined, "waiting_bytes": row.waiting_bytes,
        })
    };
    let channel = |ChannelRow { channel_name, last_id, activity }: &ChannelRow| {
        json!({
            "channel_name": &**channel_name, "last_id": last_id, "joined": activity.joined,
            "behind": activity.behind, "stored_bytes": activity.stored_bytes,
        })
    };
    let written = || {
        let refresh = json!({
            "time": wall_time().to_string(), "interval": seconds,
            "totals": ConnectionTotals::of(connections), "connections": with_rates(connections, connection)?,
            "channel_totals": ChannelTotals::of(channels), "channels": with_rates(channels, channel)?,
        });
        serde_json::to_string(&refresh)
    };
    Ok(written().map_err(|error: serde_json::Error| error.to_string())? + "\n")
}

/// Returns the rows as objects of the members of their rates and their own.
fn with_rates<R: Row>(entries: &[Entry<R>], of: impl Fn(&R) -> Value) -> Result<Vec<Value>, serde_json::Error> {
    let object = |entry: &Entry<R>| {
        let mut members = serde_json::to_value(entry.rates)?;
        if let (Some(members), Value::Object(row)) = (members.as_object_mut(), of(&entry.row)) {
            members.extend(row);
        }
        Ok(members)
    };
    entries.iter().map(object).collect()
}

/// Shows the live tables until a key or a signal ends it.
async fn live(mut feed: Feed, orders: Orders) -> Result<Outcome, Failure> {
    let cannot = |error: io::Error| Failure::from(format!("cannot use the terminal: {error}"));
    let wait_for = |kind| signal(kind).map_err(cannot);
    let (mut interrupt, mut terminate, mut hang_up) =
        (wait_for(SignalKind::interrupt())?, wait_for(SignalKind::terminate())?, wait_for(SignalKind::hangup())?);
    // A server that cannot be asked at all is told before the terminal is used.
    let first = match feed.next().await {
        Update::Failed(failure) => return Err(failure),
        update => update,
    };
    let mut screen = Screen::new(orders.0, orders.1);
    take(&mut screen, first);
    let mut display = Display::open().map_err(cannot)?;
    let result = loop {
        display.draw(&mut screen);
        tokio::select! {
            update = feed.next() => take(&mut screen, update),
            event = display.next() => match event {
                Ok(Event::Key(key)) => match screen.press(&key) {
                    Some(Action::Quit) => break Ok(()),
                    Some(Action::Suspend) => display.suspend(),
                    Some(Action::Redraw) => display.redraw(),
                    Some(Action::Disconnect(connection)) => feed.disconnect(connection),
                    None => {}
                },
                Ok(Event::Changed) => {}
                Ok(Event::End) => break Ok(()),
                Err(error) => break Err(cannot(error)),
            },
            _ = interrupt.recv() => break Ok(()),
            _ = terminate.recv() => break Ok(()),
            _ = hang_up.recv() => break Ok(()),
        }
    };
    display.close().await;
    result.map(|()| Outcome::Done)
}

fn take(screen: &mut Screen, update: Update) {
    match update {
        Update::Sample(sample) => screen.update(sample),
        Update::Failed(failure) => screen.show(failure.words),
        Update::Disconnected(message) => screen.show(message),
    }
}

//! `chanwire top`: a live table of a server's connections.

mod display;
mod feed;
mod screen;
mod table;

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use self::{
    display::{Display, Event},
    feed::{Feed, Update},
    screen::{Action, Screen},
    table::{Column, Order, Sample, Totals, entries, lines},
};
use super::{
    Failure, Outcome,
    backup::DataDir,
    link::{Target, runtime},
    text,
};
use crate::clock::wall_time;

/// Show a server's connections in a live table, and end one
///
/// It asks the server as its operator. Rates are those between two refreshes. The arrow keys choose a connection, and
/// `d` ends it after a question.
///
/// The columns: number (also in the log, as `id`), address, listener, time since it was accepted, requests, bytes
/// received and sent and messages pushed per second, joined channels, bytes that wait until it reads, and the sums of
/// requests and bytes since it was accepted. A narrow terminal shows fewer. A letter orders by a column, and again turns
/// the order round: `i p l t r n o u j w R N O`, in this sequence.
#[derive(Debug, Args)]
pub(super) struct Top {
    #[command(flatten)]
    data_dir: DataDir,

    /// Seconds between two refreshes, 1 to 3600
    #[arg(long, short, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=3600))]
    interval: u16,

    /// The column to order by
    #[arg(long, value_name = "COLUMN", default_value = "req/s")]
    sort: Column,

    /// Print the table once, after the first interval
    #[arg(long)]
    once: bool,

    /// Print one line of JSON for each refresh, from the first interval on, with all connections
    #[arg(long)]
    json: bool,
}

impl Top {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let is_live = !(self.once || self.json);
        if is_live && !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
            return Err(Failure::usage("the live table needs a terminal; use --once or --json"));
        }
        let interval = Duration::from_secs(self.interval.into());
        let target = Target::Operator(self.data_dir.path()?);
        let order = Order::by(self.sort);
        runtime()?.block_on(async {
            let feed = Feed::start(target, interval);
            match (self.json, self.once) {
                (false, false) => live(feed, self.sort).await,
                (json, once) => print(feed, order, json, once).await,
            }
        })
    }
}

/// Prints refreshes, or the first one.
async fn print(mut feed: Feed, order: Order, is_json: bool, once: bool) -> Result<Outcome, Failure> {
    let mut before: Option<Sample> = None;
    loop {
        let sample = match feed.next().await {
            Update::Sample(sample) => sample,
            Update::Failed(failure) => return Err(failure),
            Update::Disconnected(_) => continue,
        };
        if let Some(before) = &before {
            let mut all = entries(Some(before), &sample);
            order.sort(&mut all);
            let text = if is_json { as_json(&all, sample.at - before.at)? } else { as_text(&all) };
            if !text::print(&text)? || once {
                return Ok(Outcome::Done);
            }
        }
        before = Some(sample);
    }
}

fn as_text(all: &[table::Entry]) -> String {
    let (header, rows) = lines(all, usize::MAX / 2);
    format!("{}\n{header}\n{}", Totals::of(all).line(), rows.iter().map(|row| format!("{row}\n")).collect::<String>())
}

/// Returns a refresh as one line. The names of members are those of the protocol.
fn as_json(all: &[table::Entry], seconds: f64) -> Result<String, Failure> {
    let connection = |entry: &table::Entry| {
        let row = &entry.row;
        let mut members = serde_json::to_value(entry.rates)?;
        let row = json!({
            "connection": row.connection, "peer": row.peer, "listener": row.listener, "seconds": row.seconds,
            "requests": row.requests, "received_bytes": row.received_bytes, "sent_bytes": row.sent_bytes,
            "pushes": row.pushes, "joined": row.joined, "waiting_bytes": row.waiting_bytes,
        });
        if let (Some(members), serde_json::Value::Object(row)) = (members.as_object_mut(), row) {
            members.extend(row);
        }
        Ok(members)
    };
    let written = || {
        let rows: Result<Vec<_>, serde_json::Error> = all.iter().map(connection).collect();
        let refresh = json!({
            "time": wall_time().to_string(), "interval": seconds, "totals": Totals::of(all), "connections": rows?,
        });
        serde_json::to_string(&refresh)
    };
    Ok(written().map_err(|error| error.to_string())? + "\n")
}

/// Shows the live table until a key or a signal ends it.
async fn live(mut feed: Feed, column: Column) -> Result<Outcome, Failure> {
    let cannot = |error: io::Error| Failure::from(format!("cannot use the terminal: {error}"));
    let wait_for = |kind| signal(kind).map_err(cannot);
    let (mut interrupt, mut terminate, mut hang_up) =
        (wait_for(SignalKind::interrupt())?, wait_for(SignalKind::terminate())?, wait_for(SignalKind::hangup())?);
    // A server that cannot be asked at all is told before the terminal is used.
    let first = match feed.next().await {
        Update::Failed(failure) => return Err(failure),
        update => update,
    };
    let mut screen = Screen::new(column);
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

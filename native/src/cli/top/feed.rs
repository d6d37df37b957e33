//! Samples from the server, and requests to end a connection.

use std::time::{Duration, Instant};

use chanwire_core::wire::{ConnectionRow, Request, Response};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::channels::ChannelRow;
use crate::{
    cli::{
        Failure,
        ask::code,
        link::{self, Target},
        text::as_text,
    },
    client::Connection,
};

/// The most connections or channels that are asked for at once.
const PAGE: u16 = 1000;

/// A task that asks the server again and again.
pub(super) struct Feed {
    target: Target,
    updates: mpsc::Receiver<Update>,
    sender: mpsc::Sender<Update>,
}

/// The connections and channels of a server at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// The time, in seconds from some origin.
    pub(super) at: f64,
    pub(super) connections: Vec<ConnectionRow>,
    /// Those that live at the server.
    pub(super) channels: Vec<ChannelRow>,
}

/// News from the server.
pub(super) enum Update {
    Sample(Sample),
    /// No sample could be had. It is tried again after the interval.
    Failed(Failure),
    /// The outcome of a request to end a connection, in words.
    Disconnected(String),
}

impl Feed {
    /// Starts to ask, at once and then in each interval.
    pub(super) fn start(target: Target, every: Duration) -> Self {
        let (sender, updates) = mpsc::channel(1);
        tokio::spawn(ask(target.clone(), every, sender.clone()));
        Self { target, updates, sender }
    }

    /// Waits for the next update; cancel safe.
    pub(super) async fn next(&mut self) -> Update {
        match self.updates.recv().await {
            Some(update) => update,
            // It has a sender itself.
            None => std::future::pending().await,
        }
    }

    /// Asks the server to end a connection.
    pub(super) fn disconnect(&self, connection: u64) {
        let (target, sender) = (self.target.clone(), self.sender.clone());
        tokio::spawn(async move {
            let answered = match target.connect().await {
                Ok(server) => request(&server, Request::Disconnect { connection }).await.map(drop),
                Err(failure) => Err(failure),
            };
            let words = match answered {
                Ok(()) => format!("disconnected {connection}"),
                Err(Failure { words, .. }) => words,
            };
            // The screen may be closed.
            let _ = sender.send(Update::Disconnected(words)).await;
        });
    }
}

async fn ask(target: Target, every: Duration, sender: mpsc::Sender<Update>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begin = Instant::now();
    let mut connection: Option<Connection> = None;
    loop {
        ticks.tick().await;
        let sample = async {
            let server = match connection.take() {
                Some(server) => server,
                None => target.connect().await?,
            };
            let sample = sample(&server, begin).await?;
            connection = Some(server);
            Ok(sample)
        };
        let update = sample.await.map_or_else(Update::Failed, Update::Sample);
        if sender.send(update).await.is_err() {
            return;
        }
    }
}

/// Asks for all connections and channels, page by page.
async fn sample(server: &Connection, begin: Instant) -> Result<Sample, Failure> {
    let mut sample = Sample { at: begin.elapsed().as_secs_f64(), ..Sample::default() };
    let mut after = Some(0);
    while let Some(position) = after {
        let asked = Request::Connections { after: position, limit: PAGE };
        let Response::Connections { connections, next } = request(server, asked).await? else {
            return Err(other_answer());
        };
        sample.connections.extend(connections);
        after = next_page(position, next)?;
    }
    let mut after = Some(0);
    while let Some(position) = after {
        let asked = Request::Channels { after: position, limit: PAGE, contains: None };
        let Response::ChannelPage { channels, next } = request(server, asked).await? else {
            return Err(other_answer());
        };
        sample.channels.extend(channels.into_iter().filter_map(ChannelRow::of));
        after = next_page(position, next)?;
    }
    Ok(sample)
}

/// Returns where the next page begins. A server whose pages lead nowhere would be asked for ever.
fn next_page(after: u64, next: Option<u64>) -> Result<Option<u64>, Failure> {
    match next {
        Some(next) if next <= after => Err("the server's pages do not end".into()),
        next => Ok(next),
    }
}

fn other_answer() -> Failure {
    "the server gave another answer than was asked for".into()
}

async fn request(server: &Connection, request: Request) -> Result<Response, Failure> {
    let answered = server.request(request).await;
    match link::answer(answered.map_err(Into::into))? {
        Response::Error(error) if error.error == "Unknown command" => Err(Failure {
            words: "the server is too old to list its connections and channels".into(),
            code: code(error.blame),
        }),
        Response::Error(error) => {
            let words = as_text(&Response::Error(error.clone()));
            Err(Failure { words: words.trim_end().into(), code: code(error.blame) })
        }
        response => Ok(response),
    }
}

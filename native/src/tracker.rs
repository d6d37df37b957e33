//! Keeps the channels that are hosted here on the list of another server, its tracker, for as long as this one runs.
//!
//! [`Registration`] decides when what is asked; [`keep`] connects, waits and obeys.

mod registration;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use chanwire_core::{
    Limits,
    endpoint::{Client, ClientEvent, Endpoint as _},
    wire::{Channel, ErrorResponse},
};
use chanwire_inspect::visible;
use tokio::{
    net::TcpStream,
    sync::{Notify, watch},
    time::{Sleep, sleep, sleep_until, timeout},
};

use self::registration::{Notice, Registration};
use crate::{
    clock::Clock,
    driver::{self, Application, Ending},
    server_address::ServerAddress,
    socket, threads,
};

/// How long taking the channels off the list may take when the server stops.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long a tracker may take to accept a connection, or to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer that is read from a tracker.
const MAX_ANSWER: usize = 64 * 1024;

/// How many characters of a tracker's own words are logged.
const MAX_WORDS: usize = 200;

/// Keeps these channels listed by this tracker, for `lease` seconds after it last heard of them, until the server
/// stops; then takes them off its list, if that is possible soon.
pub(crate) async fn keep(
    tracker: ServerAddress,
    channels: Vec<Channel>,
    lease: u32,
    stopping: watch::Receiver<bool>,
    clock: Clock,
) {
    let mut registration = Registration::new(channels, lease, random);
    let overtime = async {
        stopped(stopping.clone()).await;
        sleep(LAST_WORDS).await;
    };
    tokio::select! {
        () = register(&tracker, &mut registration, stopping.clone(), clock) => {}
        () = overtime => {
            tracing::warn!(%tracker, "the tracker did not answer in time; the channels leave its list when their lease ends");
        }
    }
}

/// Connects again and again until the server stops and the channels are off the list.
async fn register(
    tracker: &ServerAddress,
    registration: &mut Registration,
    stopping: watch::Receiver<bool>,
    clock: Clock,
) {
    while !registration.is_over() {
        let connected = tokio::select! {
            connected = connect(tracker, PATIENCE.min(registration.third())) => connected,
            () = stopped(stopping.clone()), if !registration.is_stopping() => {
                registration.stop();
                continue;
            }
        };
        let why = match connected {
            Ok(mut stream) => talk(tracker, &mut stream, registration, stopping.clone(), clock).await,
            Err(why) => why,
        };
        if let Some(notice) = registration.handle_lost(clock.now(), why) {
            log(tracker, &notice);
        }
        let again = registration.poll_timeout().map(|at| clock.instant(at));
        if let Some(again) = again.filter(|_| !registration.is_over()) {
            tokio::select! {
                () = sleep_until(again) => {}
                () = stopped(stopping.clone()), if !registration.is_stopping() => registration.stop(),
            }
        }
    }
}

async fn connect(tracker: &ServerAddress, patience: Duration) -> Result<TcpStream, String> {
    threads::check()?;
    match timeout(patience, socket::connect_to(tracker)).await {
        Ok(connected) => connected.map_err(|error| format!("cannot connect: {error}")),
        Err(_) => Err(format!("no connection within {} seconds", patience.as_secs())),
    }
}

/// Uses one connection to its end, and says why it ended.
async fn talk(
    tracker: &ServerAddress,
    stream: &mut TcpStream,
    registration: &mut Registration,
    stopping: watch::Receiver<bool>,
    clock: Clock,
) -> String {
    registration.handle_connected(clock.now());
    let mut limits = Limits::client();
    limits.answer_timeout = PATIENCE.min(registration.third());
    limits.frame_timeout = PATIENCE;
    limits.max_payload = MAX_ANSWER;
    let mut talk = Talk {
        tracker,
        registration,
        room: limits.max_in_flight,
        stopped: Box::pin(stopped(stopping)),
        alarm: Box::pin(sleep(Duration::ZERO)),
        ending: false,
        why: None,
        useless: Arc::new(Notify::new()),
    };
    let useless = Arc::clone(&talk.useless);
    let mut client = Client::new(limits);
    let ending = tokio::select! {
        ending = driver::drive(&mut client, stream, &mut talk, clock) => ending,
        () = useless.notified() => Ending::Closed,
    };
    talk.why.unwrap_or_else(|| match ending {
        Ending::Failed(error) => format!("the connection broke: {error}"),
        Ending::Closed | Ending::Reset => "it closed the connection".into(),
    })
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // Without its sender the server is as good as stopped.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Without a source of randomness every server waits equally long, and registers all the same.
fn random() -> u32 {
    getrandom::u32().unwrap_or_default()
}

/// Carries requests and answers between a registration and a connection.
struct Talk<'a> {
    tracker: &'a ServerAddress,
    registration: &'a mut Registration,
    /// How many requests may be unanswered.
    room: usize,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
    alarm: Pin<Box<Sleep>>,
    /// Everything is said, and the connection told to close.
    ending: bool,
    why: Option<String>,
    /// Told when the connection can serve no more.
    useless: Arc<Notify>,
}

impl Talk<'_> {
    /// Leaves the connection without listening on: whoever breaks the rules may do it for ever.
    fn leave(&mut self, why: String) {
        self.why.get_or_insert(why);
        self.useless.notify_one();
    }
}

impl Application<Client> for Talk<'_> {
    fn on_event(&mut self, _: &mut Client, clock: Clock, event: ClientEvent) {
        match event {
            ClientEvent::Answer { response, .. } => {
                if let Some(notice) = self.registration.handle_answer(clock.now(), &response) {
                    log(self.tracker, &notice);
                }
            }
            ClientEvent::Notice(ErrorResponse { error, details, .. }) => self.leave(format!("{error}: {details}")),
            ClientEvent::Broken(breach) => self.leave(breach.to_string()),
            ClientEvent::Push(_) => self.leave("the server sent a message although nothing was joined".into()),
            ClientEvent::Ended { .. } => {}
        }
    }

    fn poll_call(&mut self, client: &mut Client, clock: Clock, cx: &mut Context<'_>) -> Poll<()> {
        if !self.registration.is_stopping() && self.stopped.as_mut().poll(cx).is_ready() {
            self.registration.stop();
        }
        let now = clock.now();
        let mut told = false;
        while client.in_flight() < self.room
            && let Some(request) = self.registration.poll_request(now)
        {
            // A connection that is closing takes none, and its end is told soon.
            if client.send(now, &request).is_err() {
                break;
            }
            told = true;
        }
        if self.registration.is_over() && !self.ending {
            self.ending = true;
            client.shutdown(now);
            told = true;
        }
        match self.registration.poll_timeout() {
            _ if told => Poll::Ready(()),
            Some(at) => {
                self.alarm.as_mut().reset(clock.instant(at));
                self.alarm.as_mut().poll(cx)
            }
            None => Poll::Pending,
        }
    }
}

/// What a tracker said, made harmless and cut: it may have said megabytes.
fn words(why: &str) -> String {
    let mut end = why.char_indices().map(|(at, _)| at).skip(MAX_WORDS);
    match end.next().and_then(|end| why.get(..end)) {
        Some(start) => format!("{}… ({} bytes)", visible(start), why.len()),
        None => visible(why).into_owned(),
    }
}

fn log(tracker: &ServerAddress, notice: &Notice) {
    match notice {
        Notice::Listed(name) => tracing::info!(%tracker, channel = %visible(name), "the tracker lists the channel"),
        Notice::Removed(name) => {
            tracing::info!(%tracker, channel = %visible(name), "the channel is off the tracker's list");
        }
        Notice::Refused { channel_name, why } => {
            let (channel, why) = (visible(channel_name), words(why));
            tracing::warn!(%tracker, %channel, %why, "the tracker does not list the channel; asking again and again");
        }
        Notice::Lost(why) => {
            tracing::warn!(%tracker, why = %words(why), "no connection to the tracker; trying again and again");
        }
    }
}

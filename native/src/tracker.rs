//! Registers the locally hosted channels at another server, the tracker, while this server runs.
//!
//! [`Registration`] decides which requests are due; [`keep`] connects, waits and sends them.

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
    sync::{Notify, watch},
    time::{Sleep, sleep, sleep_until},
};

use self::registration::{Loss, Notice, Registration};
use crate::{
    client::{Connector, ErrorKind},
    clock::Clock,
    driver::{self, Application, Ending},
    server_address::ServerAddress,
    threads,
    tls::Stream,
};

/// Timeout for unregistering the channels when the server stops.
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout for connecting to a tracker, and for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest payload accepted from a tracker, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// The most characters of a tracker's text that are logged.
const MAX_LOGGED: usize = 200;

/// Keeps these channels registered at a tracker until the server stops, with a lease of `lease` seconds; then
/// unregisters them within [`UNREGISTER_TIMEOUT`].
pub(crate) async fn keep(
    tracker: Connector,
    channels: Vec<Channel>,
    lease: u32,
    stopping: watch::Receiver<bool>,
    clock: Clock,
) {
    let mut registration = Registration::new(channels, lease, random);
    let overtime = async {
        stopped(stopping.clone()).await;
        sleep(UNREGISTER_TIMEOUT).await;
    };
    let name = tracker.server();
    tokio::select! {
        () = register(&tracker, &mut registration, stopping.clone(), clock) => {}
        () = overtime => {
            tracing::warn!(tracker = %name, "the tracker did not answer in time; the channels leave its list when their lease ends");
        }
    }
}

/// Connects and reconnects until the server stops and the channels are unregistered.
async fn register(tracker: &Connector, registration: &mut Registration, stopping: watch::Receiver<bool>, clock: Clock) {
    while !registration.is_done() {
        let connected = tokio::select! {
            connected = connect(tracker, TIMEOUT.min(registration.interval())) => connected,
            () = stopped(stopping.clone()), if !registration.is_stopping() => {
                registration.stop();
                continue;
            }
        };
        let (loss, reason) = match connected {
            Ok(mut stream) => {
                let reason = serve(tracker.server(), &mut stream, registration, stopping.clone(), clock).await;
                (Loss::Temporary, reason)
            }
            Err(failed) => failed,
        };
        if let Some(notice) = registration.handle_lost(clock.now(), loss, reason) {
            log(tracker.server(), &notice);
        }
        let again = registration.poll_timeout().map(|at| clock.instant(at));
        if let Some(again) = again.filter(|_| !registration.is_done()) {
            tokio::select! {
                () = sleep_until(again) => {}
                () = stopped(stopping.clone()), if !registration.is_stopping() => registration.stop(),
            }
        }
    }
}

async fn connect(tracker: &Connector, limit: Duration) -> Result<Stream, (Loss, String)> {
    threads::check().map_err(|reason| (Loss::Temporary, reason))?;
    tracker.open_within(limit, tracker.server()).await.map_err(|kind| match kind {
        ErrorKind::Connect(error) => (Loss::Temporary, format!("cannot connect: {error}")),
        kind if kind.is_permanent() => (Loss::Permanent, kind.to_string()),
        kind => (Loss::Temporary, kind.to_string()),
    })
}

/// Serves one connection to its end, and returns the reason of the end.
async fn serve(
    tracker: &ServerAddress,
    stream: &mut Stream,
    registration: &mut Registration,
    stopping: watch::Receiver<bool>,
    clock: Clock,
) -> String {
    registration.handle_connected(clock.now());
    let mut limits = Limits::client();
    limits.answer_timeout = TIMEOUT.min(registration.interval());
    limits.frame_timeout = TIMEOUT;
    limits.max_payload = MAX_ANSWER;
    let mut session = Session {
        tracker,
        registration,
        max_in_flight: limits.max_in_flight,
        stopped: Box::pin(stopped(stopping)),
        alarm: Box::pin(sleep(Duration::ZERO)),
        shutting_down: false,
        reason: None,
        unusable: Arc::new(Notify::new()),
    };
    let unusable = Arc::clone(&session.unusable);
    let mut client = Client::new(limits);
    let ending = tokio::select! {
        ending = driver::drive(&mut client, stream, &mut session, clock) => ending,
        () = unusable.notified() => Ending::Closed,
    };
    session.reason.unwrap_or_else(|| match ending {
        Ending::Failed(error) => format!("the connection broke: {error}"),
        Ending::Closed | Ending::Reset => "it closed the connection".into(),
    })
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A dropped sender counts as a stop.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Returns a random number, or 0 without a source of randomness: then there is no jitter.
fn random() -> u32 {
    getrandom::u32().unwrap_or_default()
}

/// Carries requests and answers between a registration and a connection.
struct Session<'a> {
    tracker: &'a ServerAddress,
    registration: &'a mut Registration,
    /// The most requests in flight.
    max_in_flight: usize,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
    alarm: Pin<Box<Sleep>>,
    /// Whether the client's shutdown was requested.
    shutting_down: bool,
    reason: Option<String>,
    /// Notified when the connection cannot be used any more.
    unusable: Arc<Notify>,
}

impl Session<'_> {
    /// Drops the connection at once: a tracker that violates the protocol is not read any further.
    fn abandon(&mut self, reason: String) {
        self.reason.get_or_insert(reason);
        self.unusable.notify_one();
    }
}

impl Application<Client> for Session<'_> {
    fn on_event(&mut self, _: &mut Client, clock: Clock, event: ClientEvent) {
        match event {
            ClientEvent::Answer { response, .. } => {
                if let Some(notice) = self.registration.handle_answer(clock.now(), &response) {
                    log(self.tracker, &notice);
                }
            }
            ClientEvent::Closing(ErrorResponse { error, details, .. }) => self.abandon(format!("{error}: {details}")),
            ClientEvent::Broken(violation) => self.abandon(violation.to_string()),
            ClientEvent::Push(_) => self.abandon("the server sent a message although nothing was joined".into()),
            ClientEvent::Notice(_) | ClientEvent::Ended { .. } => {}
        }
    }

    fn poll_call(&mut self, client: &mut Client, clock: Clock, cx: &mut Context<'_>) -> Poll<()> {
        if !self.registration.is_stopping() && self.stopped.as_mut().poll(cx).is_ready() {
            self.registration.stop();
        }
        let now = clock.now();
        let mut called = false;
        while client.in_flight() < self.max_in_flight
            && let Some(request) = self.registration.poll_request(now)
        {
            // A closing connection refuses requests; its end is reported soon.
            if client.send(now, &request).is_err() {
                break;
            }
            called = true;
        }
        if self.registration.is_done() && !self.shutting_down {
            self.shutting_down = true;
            client.shutdown(now);
            called = true;
        }
        match self.registration.poll_timeout() {
            _ if called => Poll::Ready(()),
            Some(at) => {
                self.alarm.as_mut().reset(clock.instant(at));
                self.alarm.as_mut().poll(cx)
            }
            None => Poll::Pending,
        }
    }
}

/// Returns the start of a tracker's text, made safe to log: the text may have megabytes.
fn excerpt(reason: &str) -> String {
    let mut end = reason.char_indices().map(|(at, _)| at).skip(MAX_LOGGED);
    match end.next().and_then(|end| reason.get(..end)) {
        Some(start) => format!("{}… ({} bytes)", visible(start), reason.len()),
        None => visible(reason).into_owned(),
    }
}

fn log(tracker: &ServerAddress, notice: &Notice) {
    match notice {
        Notice::Listed(name) => tracing::info!(%tracker, channel = %visible(name), "the tracker lists the channel"),
        Notice::Removed(name) => {
            tracing::info!(%tracker, channel = %visible(name), "the channel is off the tracker's list");
        }
        Notice::Refused { channel_name, reason } => {
            let (channel, reason) = (visible(channel_name), excerpt(reason));
            tracing::warn!(%tracker, %channel, %reason, "the tracker does not list the channel; asking again and again");
        }
        Notice::Lost(reason) => {
            tracing::warn!(%tracker, reason = %excerpt(reason), "no connection to the tracker; trying again and again");
        }
    }
}

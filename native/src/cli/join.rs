//! `chanwire join`: a channel's messages as they come, a line each.

use std::{future::pending, io, mem, pin::pin, time::Duration};

use chanwire_core::wire::{ChannelName, JoinFrom, Response, Username};
use chanwire_inspect::visible;
use clap::Args;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use tokio::{
    sync::oneshot,
    task::yield_now,
    time::{Instant, sleep_until},
};

use super::{Failure, Outcome, ask, link, sign_in::SignInOptions, text, trust::TrustOptions, user::system_name};
use crate::{
    client::{Client, Error, ErrorKind, NOT_ALLOWED, Subscription, SubscriptionEvent},
    server_address::ServerAddress,
    threads,
};

/// Print the messages of a channel as they come
///
/// If the server says that a peer hosts the channel, it is joined there.
///
/// Goes on until it is interrupted, standard output is closed, the channel is removed, or nothing came for the time of
/// --until-idle.
///
/// Each line is a message: time, id, user and text. When the connection is lost, it connects again, goes on after the
/// last message that it printed, and reports both on standard error. When the channel was removed, the exit code is 4,
/// and the last line on standard error has the id to go on after.
#[derive(Debug, Args)]
pub(super) struct Join {
    /// The channel's name
    channel: String,

    /// Begin with this many of the last messages, 0 to 1000
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=1000))]
    history: u16,

    /// Begin after the message with this id (0: from the beginning)
    #[arg(long, value_name = "ID", conflicts_with = "history")]
    after: Option<u64>,

    /// End with exit code 0 when no message came for this many seconds, 1 to 86400, on a connection that held
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    until_idle: Option<u32>,

    /// The name under which `who` shows you [default: the system's user name, or the account]
    #[arg(long, short, value_name = "NAME")]
    user: Option<String>,

    /// The server that lists the channel (HOST:PORT, tls://HOST:PORT or unix:/PATH)
    #[arg(long, value_name = "ADDR", env = "CHANWIRE_SERVER", default_value = "127.0.0.1:22236")]
    server: ServerAddress,

    #[command(flatten)]
    trust: TrustOptions,

    #[command(flatten)]
    sign_in: SignInOptions,

    /// Print each message as one line of JSON
    #[arg(long)]
    json: bool,
}

impl Join {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        match ChannelName::try_from(self.channel.as_str()) {
            Ok(channel_name) => link::runtime()?.block_on(self.follow(&channel_name)),
            Err(error) => ask::refuse(error, self.json),
        }
    }

    async fn follow(self, channel_name: &ChannelName) -> Result<Outcome, Failure> {
        let from = self.after.map_or(JoinFrom::Last(self.history), JoinFrom::After);
        let given = self.user.map(Username::try_from).transpose().map_err(|error| Failure::usage(error.to_string()))?;
        let idle = self.until_idle.map(|seconds| Duration::from_secs(seconds.into()));
        let mut unread = pin!(reader_left());
        let connector = self.sign_in.connector(self.server, self.trust.trust()?)?;
        // An account is shown by its own name.
        let name = if given.is_some() || connector.signs_in() { given.map(Name::Given) } else { Name::of_system() };
        let mut is_guess = matches!(name, Some(Name::Guessed(_)));
        let joining = Client::over(connector);
        let joined = tokio::select! {
            joined = join(&joining, channel_name, from, name) => joined,
            () = &mut unread => return Ok(Outcome::Done),
        };
        let mut subscription = match joined {
            Ok(subscription) => subscription,
            Err(error) => return failed(&error, self.after, self.json),
        };
        let mut quiet_since = Some(Instant::now());
        loop {
            let printed = subscription.last_id();
            let idle_at = idle.zip(quiet_since).map(|(idle, since)| since + idle);
            let event = tokio::select! {
                // Biased, so that an event that has come is no idle time.
                biased;
                event = subscription.next() => event,
                () = &mut unread => return Ok(Outcome::Done),
                () = is_idle(idle_at) => return Ok(Outcome::Done),
            };
            // Without a connection, nothing can come.
            let is_lost = matches!(event, Some(Ok(SubscriptionEvent::Lost { .. })));
            match event {
                Some(Ok(SubscriptionEvent::Message(message))) => {
                    let line = if self.json { text::message_json(&message) } else { text::message_line(&message) };
                    if !text::print(&line)? {
                        return Ok(Outcome::Done);
                    }
                }
                Some(Ok(SubscriptionEvent::Missed { first, last })) => {
                    text::note(&format!("messages {first} to {last} are kept no more"));
                }
                Some(Ok(SubscriptionEvent::Lost { error, after })) => {
                    text::note(&match error.retry_after() {
                        None => format!("{}; coming back after message {after}", visible(&error.to_string())),
                        Some(time) => {
                            let (server, seconds) = (error.server(), time.as_secs());
                            format!("{server}: the server stops; back in {seconds} s after message {after}")
                        }
                    });
                }
                Some(Ok(SubscriptionEvent::Resumed)) => text::note("connected again"),
                // An account has the name since.
                Some(Err(error)) if is_not_allowed(&error) && mem::take(&mut is_guess) => {
                    let reason = visible(&error.to_string()).into_owned();
                    text::note(&format!("{reason}; going on without a name (--user NAME gives another one)"));
                    let joined = tokio::select! {
                        joined = joining.join(channel_name, JoinFrom::After(printed)) => joined,
                        () = &mut unread => return Ok(Outcome::Done),
                    };
                    subscription = match joined {
                        Ok(subscription) => subscription,
                        Err(error) => return failed(&error, Some(printed), self.json),
                    };
                }
                Some(Err(error)) => {
                    let outcome = failed(&error, Some(printed), self.json);
                    if error.refusal().is_some() {
                        text::note(&format!("go on with --after {printed}"));
                    }
                    return outcome;
                }
                None => return Ok(Outcome::Done),
            }
            // Printing may have waited for the reader, which is no idle time.
            quiet_since = (!is_lost).then(Instant::now);
        }
    }
}

/// Turns of the other tasks after which what has come to the socket has come to the subscription.
const TURNS: usize = 8;

/// Waits until a time, if there is one, and until what has come by then can be seen: the process may have been stopped.
async fn is_idle(at: Option<Instant>) {
    let Some(at) = at else { return pending().await };
    sleep_until(at).await;
    for _ in 0..TURNS {
        yield_now().await;
    }
}

/// The name under which a user joins.
enum Name {
    Given(Username),
    /// The system's name for the user, with whom the server need not agree.
    Guessed(Username),
}

impl Name {
    fn of_system() -> Option<Self> {
        system_name().and_then(|name| Username::try_from(name).ok()).map(Self::Guessed)
    }
}

/// Joins a channel, under the name where the server allows it.
async fn join(
    client: &Client,
    channel_name: &ChannelName,
    from: JoinFrom,
    name: Option<Name>,
) -> Result<Subscription, Error> {
    match name {
        Some(Name::Given(name)) => client.join_as(channel_name, from, name).await,
        Some(Name::Guessed(name)) => match client.join_as(channel_name, from, name).await {
            // The name may be that of somebody else's account.
            Err(error) if is_not_allowed(&error) => client.join(channel_name, from).await,
            joined => joined,
        },
        None => client.join(channel_name, from).await,
    }
}

fn is_not_allowed(error: &Error) -> bool {
    error.refusal().is_some_and(|refusal| refusal.error == NOT_ALLOWED)
}

/// Reports why messages come no more, and how to go on.
fn failed(error: &Error, after: Option<u64>, json: bool) -> Result<Outcome, Failure> {
    let code = match error.kind() {
        ErrorKind::Refused(refusal) => return ask::report(&Response::Error(refusal.clone()), json),
        ErrorKind::Closing(_) => 4,
        _ => link::failure(error).code,
    };
    let go_on = after.map_or_else(String::new, |after| format!("; go on with --after {after}"));
    Err(Failure { words: format!("{}{go_on}", visible(&error.to_string())), code })
}

/// Returns when the reader of standard output has closed it, also while there is nothing to print. Never returns where
/// the system cannot know, as with a file.
async fn reader_left() {
    let (closed, is_closed) = oneshot::channel();
    let watch = move || {
        let out = io::stdout();
        loop {
            match poll(&mut [PollFd::new(&out, PollFlags::empty())], None) {
                Ok(_) => {
                    let _ = closed.send(());
                    return;
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    };
    // Without the thread, the next line that cannot be printed ends the command.
    if threads::spawn("reader", watch).is_err() || is_closed.await.is_err() {
        pending::<()>().await;
    }
}

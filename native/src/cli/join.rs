//! `chanwire join`: a channel's messages as they come, a line each.

use std::{future::pending, io, pin::pin};

use chanwire_core::wire::{ChannelName, JoinFrom, Response};
use chanwire_inspect::visible;
use clap::Args;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use tokio::sync::oneshot;

use super::{Failure, Outcome, ask, link, text};
use crate::{
    client::{Client, Error, ErrorKind, SubscriptionEvent},
    server_address::ServerAddress,
    threads,
};

/// Print the messages of a channel as they come
///
/// If the server says that a peer hosts the channel, it is joined there.
///
/// Goes on until it is interrupted, standard output is closed, or the channel is removed.
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

    /// The server that lists the channel (HOST:PORT)
    #[arg(long, value_name = "ADDR", env = "CHANWIRE_SERVER", default_value = "127.0.0.1:22236")]
    server: ServerAddress,

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
        let mut unread = pin!(reader_left());
        let joining = Client::new(self.server);
        let joined = tokio::select! {
            joined = joining.join(channel_name, from) => joined,
            () = &mut unread => return Ok(Outcome::Done),
        };
        let mut subscription = match joined {
            Ok(subscription) => subscription,
            Err(error) => return failed(&error, self.after, self.json),
        };
        loop {
            let printed = subscription.last_id();
            let event = tokio::select! {
                event = subscription.next() => event,
                () = &mut unread => return Ok(Outcome::Done),
            };
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
                Some(Err(error)) => return failed(&error, Some(printed), self.json),
                None => return Ok(Outcome::Done),
            }
        }
    }
}

/// Reports why messages come no more, and how to go on.
fn failed(error: &Error, after: Option<u64>, json: bool) -> Result<Outcome, Failure> {
    let code = match error.kind() {
        ErrorKind::Refused(refusal) => return ask::report(&Response::Error(refusal.clone()), json),
        ErrorKind::Closing(_) => 4,
        _ => 1,
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

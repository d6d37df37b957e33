//! `chanwire join`: a channel's messages as they come, a line each.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
    thread,
};

use chanwire_core::{
    Limits,
    endpoint::{Client, ClientEvent},
    wire::{Address, ErrorResponse, JoinFrom, Request, Response},
};
use chanwire_inspect::visible;
use clap::Args;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use tokio::sync::Notify;

use super::{
    Failure, Outcome, ask,
    link::{self, Target},
    text,
};
use crate::{
    clock::Clock,
    driver::{self, Application, Ending},
};

/// Print the messages of a channel as they come
///
/// Goes on until it is interrupted, nobody reads what it prints, or the server ends the connection.
///
/// A line tells when, the message's id, who, and what. When the server has ended the connection, the exit code is 1, or 4
/// if it said why, and the last line on standard error tells the id to go on after.
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

    /// The server that hosts the channel (HOST:PORT)
    #[arg(long, value_name = "ADDR", env = "CHANWIRE_SERVER", default_value = "127.0.0.1:22236")]
    server: Address,

    /// Print each message as one line of JSON
    #[arg(long)]
    json: bool,
}

impl Join {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let from = self.after.map_or(JoinFrom::Last(self.history), JoinFrom::After);
        let request = Request::Join { channel_name: self.channel, from };
        let target = Target::Server(self.server);
        let mut tail = Tail { json: self.json, after: self.after, ..Tail::default() };
        let ending = link::runtime()?
            .block_on(async {
                let mut stream = target.connect().await?;
                let clock = Clock::start();
                let mut client = Client::new(Limits::client());
                client.send(clock.now(), &request).map_err(|misuse| misuse.to_string())?;
                let enough = Arc::clone(&tail.enough);
                watch_reader(Arc::clone(&enough));
                Ok(tokio::select! {
                    ending = driver::drive(&mut client, &mut stream, &mut tail, clock) => Some(ending),
                    () = enough.notified() => None,
                })
            })
            .map_err(|why: String| format!("{target}: {why}"))?;
        match (tail.stopped, ending) {
            (Some(Stopped::Refused(error)), _) => ask::report(&Response::Error(error), self.json),
            (Some(Stopped::Unread), _) | (None, None) => Ok(Outcome::Done),
            (Some(Stopped::Unprinted(why)), _) => Err(why.into()),
            (Some(Stopped::Noticed(error)), _) => {
                let words = format!("{target}: {}", visible(&error.to_string()));
                Err(Failure { words: words + &tail.after.map_or(String::new(), go_on), code: 4 })
            }
            (Some(Stopped::Broken(why)), _) => {
                Err(format!("{target}: {why}{}", tail.after.map_or(String::new(), go_on)).into())
            }
            (None, Some(ending)) => {
                let why = match ending {
                    Ending::Failed(error) => format!("the connection broke: {error}"),
                    _ => "the server closed the connection".into(),
                };
                Err(format!("{target}: {why}{}", tail.after.map_or(String::new(), go_on)).into())
            }
        }
    }
}

/// Tells when nobody can read standard output any more, also while there is nothing to print. Never where the system
/// does not know, as of a file.
fn watch_reader(enough: Arc<Notify>) {
    thread::spawn(move || {
        let out = io::stdout();
        loop {
            match poll(&mut [PollFd::new(&out, PollFlags::empty())], None) {
                Ok(_) => return enough.notify_one(),
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    });
}

fn go_on(after: u64) -> String {
    format!("; go on with --after {after}")
}

/// Prints what is pushed.
#[derive(Default)]
struct Tail {
    json: bool,
    /// The id that all messages up to have been printed, where it is known.
    after: Option<u64>,
    stopped: Option<Stopped>,
    /// Told when there is no sense in reading on.
    enough: Arc<Notify>,
}

/// Why it stopped.
enum Stopped {
    /// The server does not let it join.
    Refused(ErrorResponse),
    /// The server said why it closes.
    Noticed(ErrorResponse),
    /// Nobody reads what is printed.
    Unread,
    Unprinted(String),
    /// The server broke the protocol.
    Broken(String),
}

impl Tail {
    fn stop(&mut self, why: Stopped) {
        self.stopped.get_or_insert(why);
        self.enough.notify_one();
    }
}

impl Application<Client> for Tail {
    fn on_event(&mut self, _: &mut Client, _: Clock, event: ClientEvent) {
        match event {
            ClientEvent::Answer { response: Response::Joined { first_id, .. }, .. } => {
                self.after = Some(first_id.saturating_sub(1));
            }
            ClientEvent::Answer { response: Response::Error(error), .. } => self.stop(Stopped::Refused(error)),
            ClientEvent::Push(message) if self.stopped.is_none() => {
                let line = if self.json { text::message_json(&message) } else { text::message_line(&message) };
                match text::print(&line) {
                    Ok(true) => self.after = Some(message.id),
                    Ok(false) => self.stop(Stopped::Unread),
                    Err(why) => self.stop(Stopped::Unprinted(why)),
                }
            }
            ClientEvent::Notice(error) => self.stop(Stopped::Noticed(error)),
            ClientEvent::Broken(breach) => self.stop(Stopped::Broken(visible(&breach.to_string()).into_owned())),
            ClientEvent::Answer { .. } | ClientEvent::Push(_) | ClientEvent::Ended { .. } => {}
        }
    }

    fn on_quiet(&mut self) {}

    fn poll_tell(&mut self, _: &mut Client, _: Clock, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

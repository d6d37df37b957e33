//! `chanwire join`: a channel's messages as they come, a line each.

use std::{
    future::pending,
    io, mem,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use chanwire_core::{
    Limits, Time,
    endpoint::{Client, ClientEvent},
    wire::{Blame, ErrorResponse, JoinFrom, Request, Response},
};
use chanwire_inspect::visible;
use clap::Args;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use tokio::{
    sync::{Notify, oneshot},
    time::sleep,
};

use super::{
    Failure, Outcome, ask,
    backoff::Backoff,
    follow::{find_host, is_elsewhere},
    link::{self, Target},
    text,
};
use crate::{
    clock::Clock,
    driver::{self, Application, Ending},
    server_address::ServerAddress,
    threads,
};

/// A connection that held this long was a good one: the next wait is the shortest again.
const HELD: Duration = Duration::from_secs(10);

/// What a server says before it closes because of UNHOST, the end of a lease or a move.
const CHANNEL_REMOVED: &str = "Channel removed";

/// Print the messages of a channel as they come
///
/// Where the server says that a peer hosts the channel, it is joined there.
///
/// Goes on until it is interrupted, nobody reads what it prints, or the channel is removed.
///
/// A line tells when, the message's id, who, and what. When the connection is lost it comes back, goes on after the last
/// message that it printed, and says both on standard error. When the channel was removed, the exit code is 4, and the
/// last line on standard error tells the id to go on after.
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
        let seed = getrandom::u64().map_err(|error| format!("no random numbers: {error}"))?;
        let tail = Tail { json: self.json, after: self.after, ..Tail::default() };
        let from = self.after.map_or(JoinFrom::Last(self.history), JoinFrom::After);
        let follower = Follower {
            target: Target::Server(self.server.clone()),
            server: self.server,
            channel_name: self.channel,
            tail,
            backoff: Backoff::new(seed),
        };
        link::runtime()?.block_on(follower.run(from))
    }
}

/// Joins a channel again and again.
struct Follower {
    /// The server that lists the channel.
    server: ServerAddress,
    /// The one that hosts it, as far as is known.
    target: Target,
    channel_name: String,
    tail: Tail,
    backoff: Backoff,
}

impl Follower {
    async fn run(mut self, mut from: JoinFrom) -> Result<Outcome, Failure> {
        let mut unread = pin!(reader_left());
        loop {
            let why = tokio::select! {
                why = self.follow(from) => why,
                () = &mut unread => return Ok(Outcome::Done),
            };
            let why = match self.tail.stopped.take() {
                None => why,
                Some(Stopped::Refused(error)) if is_elsewhere(&error) && self.is_at_first() => {
                    match find_host(&self.server, &self.channel_name).await? {
                        Some(host) => self.target = Target::Server(host),
                        None => return ask::report(&Response::Error(error), self.tail.json),
                    }
                    continue;
                }
                // The server may be able to serve it later.
                Some(Stopped::Refused(error)) if self.tail.joined && error.blame == Blame::Server => error.to_string(),
                Some(Stopped::Refused(error)) => return ask::report(&Response::Error(error), self.tail.json),
                Some(Stopped::Unread) => return Ok(Outcome::Done),
                Some(Stopped::Unprinted(why)) => return Err(why.into()),
                Some(Stopped::Noticed(error)) if !self.tail.joined || error.error == CHANNEL_REMOVED => {
                    return Err(Failure { words: self.last_words(&error.to_string()), code: 4 });
                }
                Some(Stopped::Noticed(error)) => error.to_string(),
                Some(Stopped::Broken(why)) => why,
            };
            let after = match self.tail.after {
                Some(after) if self.tail.joined => after,
                _ => return Err(self.last_words(&why).into()),
            };
            if !mem::replace(&mut self.tail.lost, true) {
                text::tell(&format!("{}: {}; coming back after message {after}", self.target, visible(&why)));
            }
            from = JoinFrom::After(after);
            tokio::select! {
                () = sleep(self.backoff.next_wait()) => {}
                () = &mut unread => return Ok(Outcome::Done),
            }
        }
    }

    /// Whether the server that lists the channel is taken for its host.
    fn is_at_first(&self) -> bool {
        matches!(&self.target, Target::Server(target) if *target == self.server)
    }

    /// Prints what one connection brings, and says why it ended unless the tail knows better.
    async fn follow(&mut self, from: JoinFrom) -> String {
        let mut stream = match self.target.connect().await {
            Ok(stream) => stream,
            Err(why) => return why,
        };
        let clock = Clock::start();
        let mut client = Client::new(Limits::client());
        if let Err(misuse) = client.send(clock.now(), &Request::Join { channel_name: self.channel_name.clone(), from })
        {
            return misuse.to_string();
        }
        let enough = Arc::new(Notify::new());
        self.tail.enough = Arc::clone(&enough);
        self.tail.here = false;
        let ending = tokio::select! {
            ending = driver::drive(&mut client, &mut stream, &mut self.tail, clock) => ending,
            () = enough.notified() => Ending::Closed,
        };
        if self.tail.here && clock.now() >= Time::default().after(HELD) {
            self.backoff.reset();
        }
        match ending {
            Ending::Failed(error) => format!("the connection broke: {error}"),
            Ending::Closed | Ending::Reset => "the server closed the connection".into(),
        }
    }

    fn last_words(&self, why: &str) -> String {
        format!("{}: {}{}", self.target, visible(why), self.tail.after.map_or(String::new(), go_on))
    }
}

/// Returns when nobody can read standard output any more, also while there is nothing to print. Never where the system
/// does not know, as of a file.
async fn reader_left() {
    let (tell, told) = oneshot::channel();
    let watch = move || {
        let out = io::stdout();
        loop {
            match poll(&mut [PollFd::new(&out, PollFlags::empty())], None) {
                Ok(_) => {
                    let _ = tell.send(());
                    return;
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    };
    // Without the thread the next line that cannot be printed tells it.
    if threads::spawn("reader", watch).is_err() || told.await.is_err() {
        pending::<()>().await;
    }
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
    /// Whether any connection has joined, and whether this one has.
    joined: bool,
    here: bool,
    /// The loss of the last connection was told, and no other has joined since.
    lost: bool,
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
    fn join(&mut self, first_id: u64) {
        (self.joined, self.here) = (true, true);
        if mem::take(&mut self.lost) {
            text::tell("connected again");
        }
        if let Some(next) = self.after.map(|after| after + 1).filter(|next| *next < first_id) {
            text::tell(&format!("messages {next} to {} are kept no more", first_id - 1));
        }
        self.after = Some(first_id.saturating_sub(1));
    }

    fn stop(&mut self, why: Stopped) {
        self.stopped.get_or_insert(why);
        self.enough.notify_one();
    }
}

impl Application<Client> for Tail {
    fn on_event(&mut self, _: &mut Client, _: Clock, event: ClientEvent) {
        match event {
            ClientEvent::Answer { response: Response::Joined { first_id, .. }, .. } => self.join(first_id),
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
            ClientEvent::Broken(breach) => self.stop(Stopped::Broken(breach.to_string())),
            ClientEvent::Answer { .. } | ClientEvent::Push(_) | ClientEvent::Ended { .. } => {}
        }
    }

    fn on_quiet(&mut self) {}

    fn poll_tell(&mut self, _: &mut Client, _: Clock, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

//! `chanwire list`, `host`, `unhost` and `history`: one request, one answer.

use std::{
    env,
    io::{self, Write as _},
    path::PathBuf,
    pin::pin,
    task::{Context, Poll},
    time::Instant,
};

use chanwire_core::{
    Limits,
    endpoint::{Client, ClientEvent, Endpoint as _},
    wire::{self, Address, Blame, Channel, HISTORY_LIMIT, HistoryRange, Request, Response},
};
use chanwire_inspect::visible;
use clap::Args;
use tokio::time::timeout_at;

use super::{
    Failure, Outcome,
    follow::ask_host,
    link::{self, Target},
    progress::Progress,
    text,
};
use crate::{
    clock::Clock,
    driver::{self, Application},
    server_address::ServerAddress,
};

const SERVER_VARIABLE: &str = "CHANWIRE_SERVER";
const DEFAULT_SERVER: &str = "127.0.0.1:22236";

/// Where the server is, and how its answer is shown.
#[derive(Debug, Args)]
pub(super) struct Ask {
    /// The server to ask (HOST:PORT)
    #[arg(long, value_name = "ADDR", env = SERVER_VARIABLE, default_value = DEFAULT_SERVER)]
    pub(super) server: ServerAddress,

    /// Print the answer as one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    ask: Ask,
}

#[derive(Debug, Args)]
pub(super) struct Host {
    /// The channel's name
    name: String,
    /// Where its peer server listens (HOST:PORT)
    address: Address,
    /// Keep it listed this many seconds, 10 to 86400, unless it is hosted again [default: until `unhost`]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(10..=86_400))]
    lease: Option<u32>,
    #[command(flatten)]
    ask: AskAnyone,
}

#[derive(Debug, Args)]
pub(super) struct Unhost {
    /// The channel's name
    name: String,

    #[command(flatten)]
    ask: AskAnyone,
}

/// Which server is asked, by its address or as its operator, and how its answer is shown.
#[derive(Debug, Args)]
struct AskAnyone {
    // An option of its own: the variable must not stand against --data-dir.
    /// The server to ask (HOST:PORT) [env: CHANWIRE_SERVER] [default: 127.0.0.1:22236]
    #[arg(long, value_name = "ADDR", conflicts_with = "data_dir")]
    server: Option<ServerAddress>,

    /// Ask the server that keeps its data here instead, as its operator: whoever hosts the channel
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Print the answer as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Show the stored messages of a channel
///
/// Each is a line: when, the message's id, who, and what. Where the server says that a peer hosts the channel, that peer
/// is asked.
///
/// A server gives as many as fit in one answer, of 256 KiB. For those before or after it, ask again with the first or
/// last id that was shown.
#[derive(Debug, Args)]
pub(super) struct History {
    /// The channel's name
    channel: String,

    /// The first messages after this id (0: from the beginning) instead of the last ones
    #[arg(long, value_name = "ID", conflicts_with = "before")]
    after: Option<u64>,

    /// The last messages before this id
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    before: Option<u64>,

    /// How many at most, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = HISTORY_LIMIT, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,

    #[command(flatten)]
    ask: Ask,
}

impl List {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        self.ask.run(&Request::List)
    }
}

impl Host {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let channel = Channel { channel_name: self.name, address: self.address };
        self.ask.run(&Request::Host(wire::Host { channel, lease: self.lease }))
    }
}

impl Unhost {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        self.ask.run(&Request::Unhost { channel_name: self.name })
    }
}

impl AskAnyone {
    fn run(self, request: &Request) -> Result<Outcome, Failure> {
        let target = match (self.data_dir, self.server) {
            (Some(data_dir), _) => Target::Operator(data_dir),
            (None, Some(server)) => Target::Server(server),
            (None, None) => {
                let server = env::var(SERVER_VARIABLE).unwrap_or_else(|_| DEFAULT_SERVER.into());
                let server = server.parse().map_err(|error| {
                    Failure::usage(format!("invalid value '{server}' for {SERVER_VARIABLE}: {error}"))
                })?;
                Target::Server(server)
            }
        };
        ask(&target, self.json, request)
    }
}

impl History {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let range = match (self.after, self.before) {
            (Some(id), _) => HistoryRange::After(id),
            (None, Some(id)) => HistoryRange::Before(id),
            (None, None) => HistoryRange::Last,
        };
        let request = Request::History { channel_name: self.channel.clone(), range, limit: self.limit };
        self.ask.run_at_host(&self.channel, &request)
    }
}

impl Ask {
    /// Asks and prints the answer.
    pub(super) fn run(self, request: &Request) -> Result<Outcome, Failure> {
        ask(&Target::Server(self.server), self.json, request)
    }

    /// Asks the server that hosts the channel and prints its answer.
    pub(super) fn run_at_host(self, channel_name: &str, request: &Request) -> Result<Outcome, Failure> {
        let response = link::runtime()?.block_on(ask_host(self.server, channel_name, request))?;
        report(&response, self.json)
    }
}

fn ask(target: &Target, json: bool, request: &Request) -> Result<Outcome, Failure> {
    let response = link::runtime()?.block_on(exchange(target, request)).map_err(|why| format!("{target}: {why}"))?;
    report(&response, json)
}

/// Prints an answer where it belongs, and says how the command ends.
pub(super) fn report(response: &Response, json: bool) -> Result<Outcome, Failure> {
    let text = if json { text::as_json(response) } else { text::as_text(response) };
    let Response::Error(error) = response else {
        text::print(&text)?;
        return Ok(Outcome::Done);
    };
    if json {
        text::print(&text)?;
    } else {
        // There is nobody left to tell if this cannot be written.
        let _ = io::stderr().write_all(text.as_bytes());
    }
    Ok(outcome(error.blame))
}

const fn outcome(blame: Blame) -> Outcome {
    match blame {
        Blame::Request => Outcome::Refused,
        Blame::Server => Outcome::Unable,
    }
}

/// The exit code of a command that failed by such an error.
pub(super) const fn code(blame: Blame) -> u8 {
    match blame {
        Blame::Request => 3,
        Blame::Server => 4,
    }
}

/// Asks a server one thing. On a terminal it says how long it waits.
pub(super) async fn exchange(target: &Target, request: &Request) -> Result<Response, String> {
    let mut stream = target.connect().await?;
    let clock = Clock::start();
    let mut client = Client::new(Limits::client());
    client.send(clock.now(), request).map_err(|misuse| misuse.to_string())?;
    let mut asking = Asking::default();
    let started = Instant::now();
    let mut progress = Progress::beside_output();
    let ending = {
        let mut driving = pin!(driver::drive(&mut client, &mut stream, &mut asking, clock));
        loop {
            let Some(next) = progress.next() else { break driving.await };
            match timeout_at(next.into(), &mut driving).await {
                Ok(ending) => break ending,
                Err(_) => progress.tell(format_args!("waiting for {target}, {} s", started.elapsed().as_secs())),
            }
        }
    };
    asking.answer.ok_or_else(|| asking.why.unwrap_or_else(|| link::unanswered(&ending)))
}

/// Waits for one answer.
#[derive(Default)]
struct Asking {
    answer: Option<Response>,
    why: Option<String>,
}

impl Application<Client> for Asking {
    fn on_event(&mut self, client: &mut Client, clock: Clock, event: ClientEvent) {
        match event {
            ClientEvent::Answer { response, .. } => {
                self.answer = Some(response);
                client.shutdown(clock.now());
            }
            ClientEvent::Notice(error) => self.answer = Some(Response::Error(error)),
            ClientEvent::Broken(breach) => self.why = Some(visible(&breach.to_string()).into_owned()),
            ClientEvent::Push(_) | ClientEvent::Ended { .. } => {}
        }
    }

    fn on_quiet(&mut self) {}

    fn poll_tell(&mut self, _: &mut Client, _: Clock, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

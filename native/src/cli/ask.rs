//! `chanwire hello`, `list`, `host`, `unhost`, `history` and `disconnect`: one request, one answer.

use std::{
    env,
    io::{self, Write as _},
    path::PathBuf,
};

use chanwire_core::wire::{
    self, Address, Blame, Channel, ChannelName, HISTORY_LIMIT, HistoryRange, NotAName, PayloadFault, Request, Response,
};
use clap::Args;

use super::{
    Failure, Outcome,
    backup::DataDir,
    link::{self, Target},
    text,
};
use crate::{client::Client, server_address::ServerAddress};

const SERVER_VARIABLE: &str = "CHANWIRE_SERVER";
const DEFAULT_SERVER: &str = "127.0.0.1:22236";

/// The server to ask, and the form of its answer.
#[derive(Debug, Args)]
pub(super) struct Ask {
    /// The server to ask (HOST:PORT)
    #[arg(long, value_name = "ADDR", env = SERVER_VARIABLE, default_value = DEFAULT_SERVER)]
    pub(super) server: ServerAddress,

    /// Print the answer as one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Show what a server can do, and its limits
///
/// A server that is older than this command answers `Unknown command`, and the exit code is 3.
#[derive(Debug, Args)]
pub(super) struct Hello {
    #[command(flatten)]
    ask: Ask,
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
    /// The address of its peer server (HOST:PORT)
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

/// The server to ask, by its address or as its operator, and the form of its answer.
#[derive(Debug, Args)]
struct AskAnyone {
    // An option of its own: the variable must not stand against --data-dir.
    /// The server to ask (HOST:PORT) [env: CHANWIRE_SERVER] [default: 127.0.0.1:22236]
    #[arg(long, value_name = "ADDR", conflicts_with = "data_dir")]
    server: Option<ServerAddress>,

    /// Ask the server that keeps its data here instead, as its operator, who may change every channel
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Print the answer as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Show the stored messages of a channel
///
/// Each is a line: time, id, user and text. If the server says that a peer hosts the channel, that peer is asked.
///
/// A server returns as many as fit in one answer of 256 KiB. For earlier or later ones, ask again with the first or
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

    /// At most this many, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = HISTORY_LIMIT, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,

    #[command(flatten)]
    ask: Ask,
}

/// End a connection of a server, as its operator
///
/// `chanwire top` shows the numbers of connections, and the log has them as `id`. Requests that the server has read are
/// carried out and answered; messages that wait for the connection are dropped.
#[derive(Debug, Args)]
pub(super) struct Disconnect {
    /// The connection's number
    connection: u64,

    #[command(flatten)]
    data_dir: DataDir,

    /// Print the answer as one line of JSON
    #[arg(long)]
    json: bool,
}

impl Disconnect {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let request = Request::Disconnect { connection: self.connection };
        if let Err(fault) = request.validate() {
            return report(&Response::Error(fault.reply()), self.json);
        }
        ask(&Target::Operator(self.data_dir.path()?), self.json, request)
    }
}

impl Hello {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        self.ask.run(Request::Hello { notices: false })
    }
}

impl List {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        self.ask.run(Request::List)
    }
}

impl Host {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let channel_name = match ChannelName::try_from(self.name) {
            Ok(channel_name) => channel_name,
            Err(error) => return refuse(error, self.ask.json),
        };
        let channel = Channel { channel_name, address: self.address };
        self.ask.run(Request::Host(wire::Host { channel, lease: self.lease }))
    }
}

impl Unhost {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        match ChannelName::try_from(self.name) {
            Ok(channel_name) => self.ask.run(Request::Unhost { channel_name }),
            Err(error) => refuse(error, self.ask.json),
        }
    }
}

impl AskAnyone {
    fn run(self, request: Request) -> Result<Outcome, Failure> {
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
        match ChannelName::try_from(self.channel) {
            Ok(channel_name) => {
                let request = Request::History { channel_name: channel_name.clone(), range, limit: self.limit };
                self.ask.run_at_host(&channel_name, request)
            }
            Err(error) => refuse(error, self.ask.json),
        }
    }
}

impl Ask {
    /// Asks and prints the answer.
    pub(super) fn run(self, request: Request) -> Result<Outcome, Failure> {
        ask(&Target::Server(self.server), self.json, request)
    }

    /// Asks the server that hosts the channel and prints its answer.
    pub(super) fn run_at_host(self, channel_name: &ChannelName, request: Request) -> Result<Outcome, Failure> {
        let answered = link::runtime()?.block_on(async {
            let client = Client::new(self.server);
            let answered = link::watched(client.server(), client.ask_host(channel_name, request)).await;
            client.close().await;
            link::answer(answered)
        });
        report(&answered?, self.json)
    }
}

fn ask(target: &Target, json: bool, request: Request) -> Result<Outcome, Failure> {
    let answered = link::runtime()?.block_on(async {
        let connection = target.connect().await?;
        let answered = link::watched(target, connection.request(request)).await;
        connection.close().await;
        link::answer(answered.map_err(Into::into))
    });
    report(&answered?, json)
}

/// Reports a text that is no channel's name as a server would.
pub(super) fn refuse(error: NotAName, json: bool) -> Result<Outcome, Failure> {
    report(&Response::Error(PayloadFault::from(error).reply()), json)
}

/// Prints an answer where it belongs, and returns the outcome of the command.
pub(super) fn report(response: &Response, json: bool) -> Result<Outcome, Failure> {
    let text = if json { text::as_json(response) } else { text::as_text(response) };
    let Response::Error(error) = response else {
        text::print(&text)?;
        return Ok(Outcome::Done);
    };
    if json {
        text::print(&text)?;
    } else {
        // Nothing is left to do if this cannot be written.
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

/// Returns the exit code of a command that failed by such an error.
pub(super) const fn code(blame: Blame) -> u8 {
    match blame {
        Blame::Request => 3,
        Blame::Server => 4,
    }
}

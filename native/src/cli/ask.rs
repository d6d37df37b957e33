//! `chanwire hello`, `host`, `unhost`, `who` and `disconnect`: one request, one answer.

use std::{
    env,
    io::{self, Write as _},
    path::PathBuf,
};

use chanwire_core::wire::{self, Address, Blame, Channel, ChannelName, NotAName, PayloadFault, Request, Response};
use clap::Args;

use super::{
    Failure, Outcome,
    backup::DataDir,
    link::{self, Target},
    sign_in::SignInOptions,
    text,
    trust::TrustOptions,
};
use crate::{
    client::{self, Client, Connector},
    server_address::ServerAddress,
};

const SERVER_VARIABLE: &str = "CHANWIRE_SERVER";
const DEFAULT_SERVER: &str = "127.0.0.1:22236";

/// The server to ask, and the form of its answer.
#[derive(Debug, Args)]
pub(super) struct Ask {
    /// The server to ask (HOST:PORT, tls://HOST:PORT or unix:/PATH)
    #[arg(long, value_name = "ADDR", env = SERVER_VARIABLE, default_value = DEFAULT_SERVER)]
    pub(super) server: ServerAddress,

    #[command(flatten)]
    pub(super) trust: TrustOptions,

    #[command(flatten)]
    pub(super) sign_in: SignInOptions,

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
pub(super) struct AskAnyone {
    // An option of its own: the variable must not stand against --data-dir.
    /// The server to ask (HOST:PORT, tls://HOST:PORT or unix:/PATH) [env: CHANWIRE_SERVER] [default: 127.0.0.1:22236]
    #[arg(long, value_name = "ADDR", conflicts_with = "data_dir")]
    server: Option<ServerAddress>,

    #[command(flatten)]
    trust: TrustOptions,

    #[command(flatten)]
    sign_in: SignInOptions,

    /// Ask the server that keeps its data here instead, as its operator, who may change every channel
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Print the answer as one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Show who has joined a channel
///
/// The first line is the number of connections. The users who gave a name follow, each once, the one that joined first of
/// all first; an account stands in brackets where it is not the name. If the server says that a peer hosts the channel,
/// that peer is asked.
///
/// For servers whose `chanwire hello` names the feature `presence`. The command joins the channel while it asks, and does
/// not count itself.
#[derive(Debug, Args)]
pub(super) struct Who {
    /// The channel's name
    channel: String,

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

impl Who {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let channel_name = match ChannelName::try_from(self.channel) {
            Ok(channel_name) => channel_name,
            Err(error) => return refuse(error, self.ask.json),
        };
        let (json, connector) = (self.ask.json, self.ask.connector()?);
        let answered = link::runtime()?.block_on(async {
            let client = Client::over(connector);
            let answered = link::watched(client.server(), client.who(&channel_name)).await;
            client.close().await;
            link::answer(answered.map(|who| {
                let client::Who { count, users, complete } = who;
                Response::Who { channel_name, count, users, complete }
            }))
        });
        report(&answered?, json)
    }
}

impl Hello {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        self.ask.run(Request::Hello { notices: false })
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
        let target = match self.data_dir {
            Some(data_dir) => Target::Operator(data_dir),
            None => Target::Server(self.sign_in.connector(server(self.server)?, self.trust.trust()?)?),
        };
        ask(&target, self.json, request)
    }

    /// Asks the server that hosts the channel, or as the operator, and prints the answer.
    pub(super) fn run_at_host(self, channel_name: &ChannelName, request: Request) -> Result<Outcome, Failure> {
        if let Some(data_dir) = self.data_dir {
            return ask(&Target::Operator(data_dir), self.json, request);
        }
        let Self { trust, sign_in, json, .. } = self;
        Ask { server: server(self.server)?, trust, sign_in, json }.run_at_host(channel_name, request)
    }
}

/// Returns the server to ask: the given one, or the one that the environment names.
fn server(given: Option<ServerAddress>) -> Result<ServerAddress, Failure> {
    if let Some(server) = given {
        return Ok(server);
    }
    let server = env::var(SERVER_VARIABLE).unwrap_or_else(|_| DEFAULT_SERVER.into());
    server.parse().map_err(|error| Failure::usage(format!("invalid value '{server}' for {SERVER_VARIABLE}: {error}")))
}

impl Ask {
    /// Asks and prints the answer.
    pub(super) fn run(self, request: Request) -> Result<Outcome, Failure> {
        let (json, connector) = (self.json, self.connector()?);
        ask(&Target::Server(connector), json, request)
    }

    /// Asks the server that hosts the channel and prints its answer.
    pub(super) fn run_at_host(self, channel_name: &ChannelName, request: Request) -> Result<Outcome, Failure> {
        self.run_as_client(Some(channel_name), request)
    }

    /// Asks the server, or the one that hosts the channel, and prints the answer. A message is sent again under its id
    /// where its answer was lost.
    pub(super) fn run_as_client(self, channel: Option<&ChannelName>, request: Request) -> Result<Outcome, Failure> {
        let (json, connector) = (self.json, self.connector()?);
        let answered = link::runtime()?.block_on(async {
            let client = Client::over(connector);
            let answered = async {
                match channel {
                    Some(channel_name) => client.ask_host(channel_name, request).await,
                    None => client.request(request).await,
                }
            };
            let answered = link::watched(client.server(), answered).await;
            client.close().await;
            link::answer(answered)
        });
        report(&answered?, json)
    }

    /// Returns the way to the server. Asks for a password on the terminal.
    pub(super) fn connector(self) -> Result<Connector, Failure> {
        self.sign_in.connector(self.server, self.trust.trust()?)
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

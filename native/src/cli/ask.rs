//! `chanwire list`, `host` and `send`: one request, one answer.

use std::{
    borrow::Cow,
    io::{self, Write as _},
    task::{Context, Poll},
    time::Duration,
};

use chanwire_core::{
    Limits,
    endpoint::{Client, ClientEvent, Endpoint as _},
    wire::{self, Address, Blame, Channel, Head as _, Message, Request, Response},
};
use chanwire_inspect::visible;
use clap::Args;
use tokio::{net::TcpStream, time::timeout};

use super::{Failure, Outcome};
use crate::{
    clock::Clock,
    driver::{self, Application, Ending},
};

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Where the server is, and how its answer is shown.
#[derive(Debug, Args)]
struct Ask {
    /// The server to ask (HOST:PORT)
    #[arg(long, value_name = "ADDR", env = "CHANWIRE_SERVER", default_value = "127.0.0.1:22236")]
    server: Address,

    /// Print the answer as one line of JSON
    #[arg(long)]
    json: bool,
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
    ask: Ask,
}

#[derive(Debug, Args)]
pub(super) struct Send {
    /// What to say
    text: String,
    /// Who says it
    #[arg(long, short, value_name = "NAME", env = "USER")]
    user: String,
    /// The channel; needed where the server hosts more than one at the address that is asked
    #[arg(long, short, value_name = "NAME")]
    channel: Option<String>,
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

impl Send {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let message = Message { username: self.user, message_content: self.text, channel_name: self.channel };
        self.ask.run(&Request::Message(message))
    }
}

impl Ask {
    fn run(self, request: &Request) -> Result<Outcome, Failure> {
        let response = self.exchange(request).map_err(|why| format!("{}: {why}", self.server))?;
        let text = if self.json { format!("{}\n", as_json(&response)) } else { as_text(&response) };
        let (outcome, printed) = match &response {
            Response::Error(error) if !self.json => (outcome(error.blame), io::stderr().write_all(text.as_bytes())),
            Response::Error(error) => (outcome(error.blame), io::stdout().write_all(text.as_bytes())),
            _ => (Outcome::Done, io::stdout().write_all(text.as_bytes())),
        };
        match printed {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(format!("cannot print the answer: {error}").into())
            }
            _ => Ok(outcome),
        }
    }

    fn exchange(&self, request: &Request) -> Result<Response, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
        runtime.block_on(async {
            let connect = TcpStream::connect((self.server.host(), self.server.port()));
            let connected = timeout(CONNECT, connect).await;
            let connected = connected.map_err(|_| format!("no connection within {} seconds", CONNECT.as_secs()))?;
            let mut stream =
                connected.map_err(|error| format!("cannot connect: {error}; is a server running there?"))?;
            let clock = Clock::start();
            let mut client = Client::new(Limits::client());
            client.send(clock.now(), request).map_err(|misuse| misuse.to_string())?;
            let mut asking = Asking::default();
            let ending = driver::drive(&mut client, &mut stream, &mut asking, clock).await;
            asking.answer.ok_or_else(|| asking.why.unwrap_or_else(|| unanswered(&ending)))
        })
    }
}

fn unanswered(ending: &Ending) -> String {
    match ending {
        Ending::Failed(error) => format!("the connection broke before the answer came: {error}"),
        Ending::Closed | Ending::Reset => "the server closed the connection without an answer".into(),
    }
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

const fn outcome(blame: Blame) -> Outcome {
    match blame {
        Blame::Request => Outcome::Refused,
        Blame::Server => Outcome::Unable,
    }
}

/// What the server said, made harmless for a terminal.
fn as_text(response: &Response) -> String {
    match response {
        Response::Channels(channels) if channels.is_empty() => "no channels\n".into(),
        Response::Channels(channels) => {
            let names: Vec<_> = channels.iter().map(|channel| visible(&channel.channel_name)).collect();
            let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
            let line = |(name, channel): (&Cow<'_, str>, &Channel)| format!("{name:width$}  {}\n", channel.address);
            names.iter().zip(channels).map(line).collect()
        }
        Response::Hosted { channel_name } => format!("hosted {}\n", visible(channel_name)),
        Response::Delivered { timestamp } => format!("delivered {timestamp}\n"),
        Response::Error(error) => format!("{}: {}\n", visible(&error.error), visible(&error.details)),
        _ => String::new(),
    }
}

/// The answer as one object: its status, and its payload in canonical bytes.
fn as_json(response: &Response) -> String {
    let mut frame = Vec::new();
    response.encode(&mut frame);
    let status = response.status().name();
    let payload = frame.get(status.len() + 2..).unwrap_or_default();
    format!("{{\"status\": \"{status}\", \"payload\": {}}}", String::from_utf8_lossy(payload))
}

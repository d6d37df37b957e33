//! `chanwire send`: one message from the command line, or a message a line from standard input.

use std::{
    collections::VecDeque,
    io::{self, BufRead as _, IsTerminal as _},
    task::{Context, Poll, ready},
};

use chanwire_core::{
    Limits,
    endpoint::{Client, ClientEvent, Endpoint as _},
    wire::{Message, Request, Response},
};
use chanwire_inspect::visible;
use clap::Args;
use tokio::sync::mpsc;

use super::{
    Failure, Outcome,
    ask::{self, Ask},
    follow::{find_host, is_elsewhere},
    link::{self, Target},
    size::check_size,
    text,
    user::User,
};
use crate::{
    clock::Clock,
    driver::{self, Application, Ending},
    threads,
};

/// How many messages are on their way at one time: enough for the server to store many by one commit.
const WINDOW: usize = 256;

/// Send a message to a channel, or one for each line of standard input
///
/// Lines are sent without waiting for the answers to those before. A line that is refused is named on standard error with
/// the reason, and the others are sent; the exit code tells that there was one.
///
/// Where the server says that a peer hosts the channel, that peer is asked.
#[derive(Debug, Args)]
pub(super) struct Send {
    /// What to say; `-`, or nothing where standard input is no terminal: each line of standard input
    text: Option<String>,
    #[command(flatten)]
    user: User,
    /// The channel; needed where the server hosts more than one at the address that is asked
    #[arg(long, short, value_name = "NAME")]
    channel: Option<String>,
    #[command(flatten)]
    ask: Ask,
}

impl Send {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let message =
            Message { username: self.user.name()?, message_content: String::new(), channel_name: self.channel };
        match self.text {
            Some(text) if text != "-" => {
                let request = Request::Message(Message { message_content: text, ..message.clone() });
                match &message.channel_name {
                    Some(channel_name) => self.ask.run_at_host(channel_name, &request),
                    None => self.ask.run(&request),
                }
            }
            None if io::stdin().is_terminal() => {
                Err(Failure::usage("there is nothing to send; give a text, or `-` to send what you type, a line each"))
            }
            _ => link::runtime()?.block_on(send_lines(message, self.ask)),
        }
    }
}

async fn send_lines(message: Message, ask: Ask) -> Result<Outcome, Failure> {
    let (tell, lines) = mpsc::channel(WINDOW);
    let mut reader = Some(tell);
    let mut feed = Feed {
        lines,
        seeks: message.channel_name.is_some(),
        message,
        json: ask.json,
        asked: VecDeque::new(),
        line: 0,
        refused: None,
        elsewhere: None,
        again: None,
        stopped: None,
        over: false,
        mute: false,
    };
    let mut server = ask.server;
    loop {
        let target = Target::Server(server.clone());
        let mut stream = target.connect().await.map_err(|why| format!("{target}: {why}"))?;
        if let Some(tell) = reader.take() {
            threads::spawn("input", move || read_lines(&tell))?;
        }
        let clock = Clock::start();
        let mut client = Client::new(Limits::client());
        let ending = driver::drive(&mut client, &mut stream, &mut feed, clock).await;
        let Some(refusal) = feed.elsewhere.take() else { return feed.verdict(&target, &ending) };
        feed.seeks = false;
        feed.over = false;
        let channel_name = feed.message.channel_name.clone().unwrap_or_default();
        match find_host(&server, &channel_name).await? {
            Some(host) => (server, feed.again) = (host, Some(refusal.text)),
            None => feed.refuse(refusal.line, &refusal.why, 3),
        }
    }
}

/// A line of standard input, or why it cannot be sent.
type Line = Result<String, Unsent>;

struct Unsent {
    why: String,
    /// Whether there are no more.
    last: bool,
}

fn read_lines(tell: &mpsc::Sender<Line>) {
    let mut input = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let line = match input.read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => {
                let end = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(&line);
                String::from_utf8(end.into()).map_err(|_| Unsent { why: "it is not UTF-8".into(), last: false })
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(Unsent { why: format!("cannot read standard input: {error}"), last: true }),
        };
        let last = matches!(line, Err(Unsent { last: true, .. }));
        if tell.blocking_send(line).is_err() || last {
            return;
        }
    }
}

/// Sends lines and takes their answers.
struct Feed {
    lines: mpsc::Receiver<Line>,
    message: Message,
    json: bool,
    /// Whether the channel may turn out to be at a peer. Until a message is delivered, lines are sent one by one.
    seeks: bool,
    /// The numbers of the lines that are not answered, from 1.
    asked: VecDeque<u64>,
    /// The last line that was taken.
    line: u64,
    /// How many lines were refused, and the exit code for it.
    refused: Option<(u64, u8)>,
    /// The line that is to be sent to a peer instead.
    elsewhere: Option<Refusal>,
    /// The line that is sent next, before others are taken.
    again: Option<String>,
    stopped: Option<(String, u8)>,
    /// There is nothing more to send.
    over: bool,
    /// Nobody reads what is printed. What is to be sent is sent all the same.
    mute: bool,
}

/// A line that the server refuses because a peer hosts the channel.
struct Refusal {
    line: u64,
    text: String,
    why: String,
}

impl Feed {
    fn stop(&mut self, why: String, code: u8) {
        self.stopped.get_or_insert((why, code));
        self.over = true;
    }

    /// Says that a line is not delivered. The others are sent all the same.
    fn refuse(&mut self, line: u64, why: &str, code: u8) {
        let (count, before) = self.refused.unwrap_or_default();
        self.refused = Some((count + 1, before.max(code)));
        text::tell(&format!("line {line}: {}", visible(why)));
    }

    fn answer(&mut self, response: &Response) {
        let line = self.asked.pop_front().unwrap_or(self.line);
        if let Response::Error(error) = response
            && self.seeks
            && is_elsewhere(error)
        {
            let text = self.message.message_content.clone();
            self.elsewhere = Some(Refusal { line, text, why: error.to_string() });
            self.over = true;
            return;
        }
        if let Response::Error(error) = response {
            self.refuse(line, &error.to_string(), ask::code(error.blame));
        } else {
            self.seeks = false;
        }
        if self.mute {
            return;
        }
        let shown = match (self.json, response) {
            (true, _) => text::print(&text::as_json(response)),
            // It was told already.
            (false, Response::Error(_)) => Ok(true),
            (false, _) => text::print(&text::as_text(response)),
        };
        match shown {
            Ok(read) => self.mute = !read,
            Err(why) => self.stop(why, 1),
        }
    }

    fn verdict(self, target: &Target, ending: &Ending) -> Result<Outcome, Failure> {
        let unknown = match self.asked.front() {
            Some(first) if *first == self.line => format!("; whether line {first} was delivered is not known"),
            Some(first) => format!("; whether lines {first} to {} were delivered is not known", self.line),
            None => String::new(),
        };
        if let Some((why, code)) = self.stopped {
            return Err(Failure { words: format!("{target}: {why}{unknown}"), code });
        }
        if !self.asked.is_empty() {
            return Err(format!("{target}: {}{unknown}", link::unanswered(ending)).into());
        }
        if !self.over {
            let next = self.line + 1;
            return Err(format!("{target}: the connection ended; line {next} and those after it were not sent").into());
        }
        match self.refused {
            None => Ok(Outcome::Done),
            Some((count, code)) => {
                let were = if count == 1 { "line was" } else { "lines were" };
                Err(Failure { words: format!("{count} of {} {were} not delivered", self.line), code })
            }
        }
    }

    /// Sends the next line.
    fn send(&mut self, client: &mut Client, clock: Clock, text: String, line: u64) {
        self.message.message_content = text;
        let request = Request::Message(self.message.clone());
        if let Err(why) = check_size(&request) {
            self.line = line;
            return self.refuse(line, &why, 3);
        }
        match client.send(clock.now(), &request) {
            Ok(_) => {
                self.line = line;
                self.asked.push_back(line);
            }
            Err(_) => self.stop(format!("the connection is closing; line {line} was not sent"), 1),
        }
    }
}

impl Application<Client> for Feed {
    fn on_event(&mut self, client: &mut Client, clock: Clock, event: ClientEvent) {
        match event {
            ClientEvent::Answer { response, .. } => {
                self.answer(&response);
                if self.over {
                    client.shutdown(clock.now());
                }
            }
            ClientEvent::Notice(error) => {
                self.stop(visible(&error.to_string()).into_owned(), ask::code(error.blame));
            }
            ClientEvent::Broken(breach) => self.stop(visible(&breach.to_string()).into_owned(), 1),
            ClientEvent::Push(_) | ClientEvent::Ended { .. } => {}
        }
    }

    fn on_quiet(&mut self) {}

    fn poll_tell(&mut self, client: &mut Client, clock: Clock, cx: &mut Context<'_>) -> Poll<()> {
        // An answer makes room, and then this is asked again.
        let window = if self.seeks { 1 } else { WINDOW };
        if self.over || client.in_flight() >= window {
            return Poll::Pending;
        }
        let (line, next) = match self.again.take() {
            Some(text) => (self.line, Some(Ok(text))),
            None => (self.line + 1, ready!(self.lines.poll_recv(cx))),
        };
        match next {
            None => self.over = true,
            Some(Err(Unsent { why, last: true })) => self.stop(format!("line {line}: {why}"), 1),
            Some(Err(Unsent { why, last: false })) => {
                self.line = line;
                self.refuse(line, &why, 1);
            }
            Some(Ok(text)) => self.send(client, clock, text, line),
        }
        if self.over {
            client.shutdown(clock.now());
        }
        Poll::Ready(())
    }
}

//! `chanwire send`: one message from the command line, or a message a line from standard input.

use std::{
    collections::VecDeque,
    io::{self, BufRead as _, IsTerminal as _},
};

use chanwire_core::wire::{ChannelName, ErrorResponse, Message, Request, Response};
use chanwire_inspect::visible;
use clap::Args;
use tokio::sync::mpsc;

use super::{
    Failure, Outcome,
    ask::{self, Ask},
    link,
    size::check_size,
    text,
    user::User,
};
use crate::{
    client::{Client, Connection, Error, ErrorKind, Pending, Unanswered, is_elsewhere},
    server_address::ServerAddress,
    threads,
};

/// Messages without an answer at most: enough for the server to store many by one commit.
const WINDOW: usize = 256;

/// Send a message to a channel, or one for each line of standard input
///
/// Lines are sent without waiting for the answers to those before. A line that is refused is reported on standard error
/// with the reason, and the others are sent; the exit code is then not 0.
///
/// If the server says that a peer hosts the channel, the message goes to that peer.
#[derive(Debug, Args)]
pub(super) struct Send {
    /// The text; with `-`, or without a text where standard input is no terminal, each line of standard input is one
    text: Option<String>,
    #[command(flatten)]
    user: User,
    /// The channel; needed if the server hosts more than one at the address that is asked
    #[arg(long, short, value_name = "NAME")]
    channel: Option<String>,
    #[command(flatten)]
    ask: Ask,
}

impl Send {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let username = self.user.name()?;
        let channel_name = match self.channel.map(ChannelName::try_from).transpose() {
            Ok(channel_name) => channel_name,
            Err(error) => return ask::refuse(error, self.ask.json),
        };
        let message = Message { username, message_content: String::new(), channel_name };
        match self.text {
            Some(text) if text != "-" => {
                let request = Request::Message(Message { message_content: text, ..message.clone() });
                match &message.channel_name {
                    Some(channel_name) => self.ask.run_at_host(channel_name, request),
                    None => self.ask.run(request),
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
    let words = |error: Error| error.to_string();
    let mut server = ask.server;
    let mut connection = Connection::open(&server).await.map_err(words)?;
    let (read, lines) = mpsc::channel(WINDOW);
    threads::spawn("input", move || read_lines(&read))?;
    let mut feed = Feed {
        lines,
        seeks: message.channel_name.clone(),
        message,
        json: ask.json,
        open: VecDeque::new(),
        line: 0,
        refused: None,
        stopped: None,
        over: false,
        mute: false,
    };
    while let Some(Elsewhere { channel_name, line, text, refusal }) = feed.run(&connection).await {
        let Some(host) = Client::new(server.clone()).find_host(&channel_name).await.map_err(words)? else {
            feed.refuse(line, &refusal.to_string(), 3);
            continue;
        };
        connection.close().await;
        connection = Connection::open(&host).await.map_err(words)?;
        server = host;
        feed.submit(&connection, text, line).await;
    }
    connection.close().await;
    feed.verdict(&server)
}

/// A line of standard input, or the reason why it cannot be sent.
type Line = Result<String, Unsent>;

struct Unsent {
    reason: String,
    /// Whether it is the last line.
    last: bool,
}

/// Reads standard input to its end.
fn read_lines(lines: &mpsc::Sender<Line>) {
    let mut input = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let line = match input.read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => {
                let end = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(&line);
                String::from_utf8(end.into()).map_err(|_| Unsent { reason: "it is not UTF-8".into(), last: false })
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(Unsent { reason: format!("cannot read standard input: {error}"), last: true }),
        };
        let last = matches!(line, Err(Unsent { last: true, .. }));
        if lines.blocking_send(line).is_err() || last {
            return;
        }
    }
}

/// Sends lines and takes their answers.
struct Feed {
    lines: mpsc::Receiver<Line>,
    message: Message,
    json: bool,
    /// The channel, if a peer may turn out to host it. Until a message is delivered, lines are sent one by one.
    seeks: Option<ChannelName>,
    /// Answers that are to come, each with the number of its line, from 1.
    open: VecDeque<(u64, Pending)>,
    /// The last line that was taken.
    line: u64,
    /// The number of lines that were refused, and the exit code for it.
    refused: Option<(u64, u8)>,
    /// The reason for stopping early, and the exit code.
    stopped: Option<(String, u8)>,
    /// Nothing more is to be sent.
    over: bool,
    /// Standard output is closed. Messages are sent all the same.
    mute: bool,
}

/// A line that the server refuses because a peer hosts the channel.
struct Elsewhere {
    channel_name: ChannelName,
    line: u64,
    text: String,
    refusal: ErrorResponse,
}

/// The next thing that happens.
enum Step {
    Answer(Result<Response, Unanswered>),
    Line(Option<Line>),
    Ended(Error),
}

impl Feed {
    /// Sends lines and takes their answers until all are answered, or it stops. Returns early with a line that is to be
    /// sent to the channel's host.
    async fn run(&mut self, connection: &Connection) -> Option<Elsewhere> {
        while !self.over || !self.open.is_empty() {
            match self.next(connection).await {
                Step::Answer(Ok(response)) => self.answer(&response),
                Step::Answer(Err(Unanswered { error, .. })) => match error.kind() {
                    ErrorKind::Refused(refusal) if self.seeks.is_some() && is_elsewhere(refusal) => {
                        let channel_name = self.seeks.take()?;
                        let (line, _) = self.open.pop_front()?;
                        let (text, refusal) = (self.message.message_content.clone(), refusal.clone());
                        return Some(Elsewhere { channel_name, line, text, refusal });
                    }
                    ErrorKind::Refused(refusal) => self.answer(&Response::Error(refusal.clone())),
                    kind => {
                        self.stop_by(kind);
                        break;
                    }
                },
                Step::Line(line) => self.take(connection, line).await,
                Step::Ended(error) => {
                    let next = self.line + 1;
                    match error.kind() {
                        ErrorKind::Closing(_) | ErrorKind::Violation(_) => self.stop_by(error.kind()),
                        _ => {
                            self.stop(format!("the connection ended; line {next} and those after it were not sent"), 1)
                        }
                    }
                    break;
                }
            }
        }
        None
    }

    async fn next(&mut self, connection: &Connection) -> Step {
        // Until a message is delivered, each waits for the answer to the one before.
        let window = if self.seeks.is_some() { 1 } else { WINDOW };
        let takes = !self.over && self.open.len() < window;
        let is_open = !self.open.is_empty();
        let Self { open, lines, .. } = self;
        let answer = async {
            match open.front_mut() {
                Some((_, pending)) => pending.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = answer => Step::Answer(answer),
            error = connection.closed(), if !is_open => Step::Ended(error),
            line = lines.recv(), if takes => Step::Line(line),
        }
    }

    /// Takes what standard input gives.
    async fn take(&mut self, connection: &Connection, line: Option<Line>) {
        let number = self.line + 1;
        match line {
            None => self.over = true,
            Some(Err(Unsent { reason, last: true })) => self.stop(format!("line {number}: {reason}"), 1),
            Some(Err(Unsent { reason, last: false })) => {
                self.line = number;
                self.refuse(number, &reason, 1);
            }
            Some(Ok(text)) => {
                self.line = number;
                self.submit(connection, text, number).await;
            }
        }
    }

    /// Sends a line.
    async fn submit(&mut self, connection: &Connection, text: String, line: u64) {
        self.message.message_content = text;
        let request = Request::Message(self.message.clone());
        if let Err(reason) = check_size(&request) {
            return self.refuse(line, &reason, 3);
        }
        match connection.submit(request).await {
            Ok(pending) => self.open.push_back((line, pending)),
            Err(_) => self.stop(format!("the connection is closing; line {line} was not sent"), 1),
        }
    }

    fn stop(&mut self, reason: String, code: u8) {
        self.stopped.get_or_insert((reason, code));
        self.over = true;
    }

    /// Stops because the connection has ended.
    fn stop_by(&mut self, kind: &ErrorKind) {
        let code = match kind {
            ErrorKind::Closing(error) => ask::code(error.blame),
            _ => 1,
        };
        self.stop(link::unanswered(kind), code);
    }

    /// Reports that a line is not delivered. The others are sent all the same.
    fn refuse(&mut self, line: u64, reason: &str, code: u8) {
        let (count, before) = self.refused.unwrap_or_default();
        self.refused = Some((count + 1, before.max(code)));
        text::note(&format!("line {line}: {}", visible(reason)));
    }

    /// Takes the answer to the first open line.
    fn answer(&mut self, response: &Response) {
        let line = self.open.pop_front().map_or(self.line, |(line, _)| line);
        if let Response::Error(error) = response {
            self.refuse(line, &error.to_string(), ask::code(error.blame));
        } else {
            self.seeks = None;
        }
        if self.mute {
            return;
        }
        let shown = match (self.json, response) {
            (true, _) => text::print(&text::as_json(response)),
            // It was reported already.
            (false, Response::Error(_)) => Ok(true),
            (false, _) => text::print(&text::as_text(response)),
        };
        match shown {
            Ok(read) => self.mute = !read,
            Err(reason) => self.stop(reason, 1),
        }
    }

    fn verdict(self, server: &ServerAddress) -> Result<Outcome, Failure> {
        let unknown = match self.open.front() {
            Some((first, _)) if *first == self.line => format!("; whether line {first} was delivered is not known"),
            Some((first, _)) => format!("; whether lines {first} to {} were delivered is not known", self.line),
            None => String::new(),
        };
        if let Some((reason, code)) = self.stopped {
            return Err(Failure { words: format!("{server}: {reason}{unknown}"), code });
        }
        match self.refused {
            None => Ok(Outcome::Done),
            Some((count, code)) => {
                let were = if count == 1 { "line was" } else { "lines were" };
                Err(Failure { words: format!("{count} of {} {were} not delivered", self.line), code })
            }
        }
    }
}

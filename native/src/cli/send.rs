//! `chanwire send`: one message from the command line, or a message a line from standard input.

use std::{
    collections::VecDeque,
    io::{self, BufRead as _, IsTerminal as _},
    time::Duration,
};

use chanwire_core::wire::{Blame, ChannelName, ClientMessageId, ErrorResponse, Message, Request, Response};
use chanwire_inspect::visible;
use clap::Args;
use tokio::{sync::mpsc, time::sleep};

use super::{
    Failure, Outcome,
    ask::{self, Ask},
    link,
    size::check_size,
    text,
    user::User,
};
use crate::{
    client::{
        Backoff, Client, Connection, Error, ErrorKind, Pending, RETRIES, Unanswered, is_decisive, is_elsewhere,
        is_repeatable, random_id,
    },
    clock::since_boot,
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
///
/// Each message has an id, under which the server stores it once. If the connection is lost before the answer comes, or
/// the server fails to store the message, it is sent again under its id, at most five times within about 8 seconds. To an
/// older server, which knows no ids, it is not sent again, nor to another host, which does not know this one.
///
/// A line that the server failed to store is sent again before further lines; those on their way meanwhile may be stored
/// before it. If no answer says whether a message is stored, that is reported. To be able to send it again then, give it an
/// id with --id.
#[derive(Debug, Args)]
pub(super) struct Send {
    /// The text; with `-`, or without a text where standard input is no terminal, each line of standard input is one
    text: Option<String>,
    #[command(flatten)]
    user: User,
    /// The channel; needed if the server hosts more than one at the address that is asked
    #[arg(long, short, value_name = "NAME")]
    channel: Option<String>,
    /// The message's id instead of a random one: 16 to 64 of A-Z, a-z, 0-9, '.', '_', ':' and '-'; a text that is sent
    /// again with the same id is stored once
    #[arg(long, value_name = "ID")]
    id: Option<ClientMessageId>,
    #[command(flatten)]
    ask: Ask,
}

impl Send {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let username = self.user.name(self.ask.sign_in.account())?;
        let channel_name = match self.channel.map(ChannelName::try_from).transpose() {
            Ok(channel_name) => channel_name,
            Err(error) => return ask::refuse(error, self.ask.json),
        };
        let message = Message { username, message_content: String::new(), channel_name, client_message_id: self.id };
        match self.text {
            Some(text) if text != "-" => {
                let channel = message.channel_name.clone();
                self.ask.run_as_client(channel.as_ref(), Request::Message(Message { message_content: text, ..message }))
            }
            _ if message.client_message_id.is_some() => {
                Err(Failure::usage("--id is the id of one message; give its text"))
            }
            None if io::stdin().is_terminal() => {
                Err(Failure::usage("there is nothing to send; give a text, or `-` to send what you type, a line each"))
            }
            _ => link::runtime()?.block_on(send_lines(message, self.ask)),
        }
    }
}

async fn send_lines(message: Message, ask: Ask) -> Result<Outcome, Failure> {
    let failed = |error: Error| link::failure(&error);
    let json = ask.json;
    let client = Client::over(ask.connector()?);
    let mut server = client.server().clone();
    let mut connection = Connection::open(client.connector(), &server).await.map_err(failed)?;
    let (read, lines) = mpsc::channel(WINDOW);
    threads::spawn("input", move || read_lines(&read))?;
    let seed = getrandom::u64().map_err(|error| format!("no random numbers: {error}"))?;
    let mut feed = Feed {
        lines,
        seeks: message.channel_name.clone(),
        message,
        json,
        open: VecDeque::new(),
        line: 0,
        failed: VecDeque::new(),
        waits: false,
        refused: None,
        unsure: false,
        stopped: None,
        over: false,
        mute: false,
        retries: 0,
        backoff: Backoff::new(seed),
        retry_window: None,
    };
    feed.greet(&connection).await;
    while let Some(interruption) = feed.run(&connection).await {
        match interruption {
            Interruption::Elsewhere { channel_name, refusal } => {
                let Some(Open { line, text, id, .. }) = feed.open.pop_front() else { continue };
                let Some(host) = client.find_host(&channel_name).await.map_err(failed)? else {
                    feed.refuse(line, &refusal.to_string(), 3);
                    continue;
                };
                connection.close().await;
                connection = Connection::open(client.connector(), &host).await.map_err(failed)?;
                server = host;
                feed.greet(&connection).await;
                feed.submit(&connection, text, line, id).await;
            }
            Interruption::Lost(mut kind) => {
                // A failure to connect is a try, too.
                let opened = loop {
                    let Some(wait) = feed.wait(&kind) else { break None };
                    sleep(wait).await;
                    match Connection::open(client.connector(), &server).await {
                        Ok(opened) => break Some(opened),
                        Err(error) => kind = error.kind().clone(),
                    }
                };
                match opened {
                    Some(opened) if feed.submit_again(&opened).await => connection = opened,
                    _ => {
                        feed.stop_by(&kind);
                        break;
                    }
                }
            }
        }
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
    /// Lines whose answers are to come.
    open: VecDeque<Open>,
    /// Lines that the server failed to store, to be sent again one by one.
    failed: VecDeque<Open>,
    /// Whether to wait before the next of them.
    waits: bool,
    /// The last line that was taken.
    line: u64,
    /// The number of lines that were refused, and the exit code for it.
    refused: Option<(u64, u8)>,
    /// Whether one of them may be delivered all the same.
    unsure: bool,
    /// The reason for stopping early, and the exit code.
    stopped: Option<(String, u8)>,
    /// Nothing more is to be sent.
    over: bool,
    /// Standard output is closed. Messages are sent all the same.
    mute: bool,
    /// The times that it connected or sent a line again since the server carried out or refused one.
    retries: u32,
    backoff: Backoff,
    /// The time within which the server knows ids; `None` of an older one.
    retry_window: Option<Duration>,
}

/// A line that is sent.
struct Open {
    /// Its number, from 1.
    line: u64,
    text: String,
    /// Its id, if the server knows ids.
    id: Option<ClientMessageId>,
    /// The time since boot at which it was sent first.
    since: Duration,
    /// Whether it was sent before, so that it may be stored.
    repeated: bool,
    /// Its answer that is to come; `None` if the connection ended before.
    answer: Option<Pending>,
}

/// A reason to go on with another connection.
enum Interruption {
    /// A peer hosts the channel, so the server refuses the first open line.
    Elsewhere { channel_name: ChannelName, refusal: ErrorResponse },
    /// The connection ended.
    Lost(ErrorKind),
}

/// The next thing that happens.
enum Step {
    Answer(Result<Response, Unanswered>),
    Line(Option<Line>),
    Ended(Error),
}

impl Feed {
    /// Sends lines and takes their answers until all are answered, or it stops. Returns early with the reason to go on
    /// with another connection.
    async fn run(&mut self, connection: &Connection) -> Option<Interruption> {
        while !self.over || !self.open.is_empty() || !self.failed.is_empty() {
            if self.open.is_empty()
                && let Some(failed) = self.failed.pop_front()
            {
                self.repeat(connection, failed).await;
                continue;
            }
            match self.next(connection).await {
                Step::Answer(Ok(response)) => self.answer(&response),
                Step::Answer(Err(Unanswered { error, .. })) => match error.kind() {
                    // A line that this host may have stored is not sent to another, which does not know its id.
                    ErrorKind::Refused(refusal)
                        if self.seeks.is_some() && is_elsewhere(refusal) && !self.is_repeating() =>
                    {
                        let (channel_name, refusal) = (self.seeks.take()?, refusal.clone());
                        return Some(Interruption::Elsewhere { channel_name, refusal });
                    }
                    ErrorKind::Refused(refusal) if refusal.blame == Blame::Server && self.keep_failed() => {}
                    ErrorKind::Refused(refusal) => self.answer(&Response::Error(refusal.clone())),
                    kind => return Some(Interruption::Lost(kind.clone())),
                },
                Step::Line(line) => self.take(connection, line).await,
                Step::Ended(error) => return Some(Interruption::Lost(error.kind().clone())),
            }
        }
        None
    }

    /// Asks a new connection's server whether it knows ids.
    async fn greet(&mut self, connection: &Connection) {
        // Where that fails, the connection has ended, which is seen next.
        self.retry_window = connection.retry_window().await.ok().flatten();
    }

    /// Returns the time to wait before it connects again. `None`: it stops.
    fn wait(&mut self, kind: &ErrorKind) -> Option<Duration> {
        let wait = self.backoff.wait(kind.retry_after());
        if kind.is_permanent() || self.retries >= RETRIES || !self.open.iter().all(|open| self.is_known(open, wait)) {
            return None;
        }
        self.retries += 1;
        Some(wait)
    }

    /// Returns whether the server will know the line's id after this wait.
    fn is_known(&self, open: &Open, wait: Duration) -> bool {
        let elapsed = since_boot().saturating_sub(open.since) + wait;
        open.id.is_some() && self.retry_window.is_some_and(|window| is_repeatable(elapsed, window))
    }

    /// Returns whether the first open line was sent before.
    fn is_repeating(&self) -> bool {
        self.open.front().is_some_and(|open| open.repeated)
    }

    /// Keeps the first open line, which the server failed to store, to be sent again. Returns false if it cannot be.
    fn keep_failed(&mut self) -> bool {
        let is_kept =
            self.retries < RETRIES && self.open.front().is_some_and(|open| self.is_known(open, Duration::ZERO));
        let Some(open) = self.open.pop_front_if(|_| is_kept) else { return false };
        let index = self.failed.partition_point(|failed| failed.line < open.line);
        self.failed.insert(index, Open { answer: None, repeated: true, ..open });
        self.waits = true;
        true
    }

    /// Sends a line again that the server failed to store, after a wait since the last failure.
    async fn repeat(&mut self, connection: &Connection, failed: Open) {
        if std::mem::take(&mut self.waits) {
            self.retries += 1;
            sleep(self.backoff.next_wait()).await;
        }
        if !self.is_known(&failed, Duration::ZERO) {
            return self.refuse_unsure(failed.line, "the server failed to store it", 4);
        }
        let request = self.request(failed.text.clone(), failed.id.clone());
        // If the connection has ended, that is seen next.
        let answer = connection.submit(request).await.ok();
        self.open.push_back(Open { answer, ..failed });
    }

    async fn next(&mut self, connection: &Connection) -> Step {
        // Until a message is delivered, each waits for the answer to the one before.
        let window = if self.seeks.is_some() { 1 } else { WINDOW };
        // No line overtakes one that is sent again.
        let takes = !self.over && self.open.len() < window && self.failed.is_empty() && !self.is_repeating();
        let Self { open, lines, .. } = self;
        let is_answered = open.front().is_some_and(|open| open.answer.is_some());
        let answer = async {
            match open.front_mut().and_then(|open| open.answer.as_mut()) {
                Some(pending) => pending.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = answer, if is_answered => Step::Answer(answer),
            error = connection.closed(), if !is_answered => Step::Ended(error),
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
                match self.retry_window.map(|_| random_id()).transpose() {
                    Ok(id) => self.submit(connection, text, number, id).await,
                    Err(error) => self.stop(format!("line {number}: {error}"), 1),
                }
            }
        }
    }

    /// Sends a line.
    async fn submit(&mut self, connection: &Connection, text: String, line: u64, id: Option<ClientMessageId>) {
        let request = self.request(text.clone(), id.clone());
        if let Err(reason) = check_size(&request) {
            return self.refuse(line, &reason, 3);
        }
        let since = since_boot();
        match connection.submit(request).await.ok() {
            answer if answer.is_some() || id.is_some() => {
                self.open.push_back(Open { line, text, id, since, repeated: false, answer });
            }
            _ => self.stop(format!("the connection is closing; line {line} was not sent"), 1),
        }
    }

    /// Sends the open lines again on a new connection. Returns false if its server does not know their ids.
    async fn submit_again(&mut self, connection: &Connection) -> bool {
        match connection.retry_window().await {
            Ok(None) => return false,
            Ok(window) => self.retry_window = window,
            // It has ended already, which is seen next.
            Err(_) => {}
        }
        if !self.open.iter().all(|open| self.is_known(open, Duration::ZERO)) {
            return false;
        }
        for mut open in std::mem::take(&mut self.open) {
            open.repeated = true;
            let request = self.request(open.text.clone(), open.id.clone());
            // If it ends again, that is seen next.
            open.answer = connection.submit(request).await.ok();
            self.open.push_back(open);
        }
        true
    }

    fn request(&self, message_content: String, client_message_id: Option<ClientMessageId>) -> Request {
        Request::Message(Message { message_content, client_message_id, ..self.message.clone() })
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
        match kind {
            ErrorKind::Closing(_) | ErrorKind::Violation(_) => self.stop(link::unanswered(kind), code),
            _ if self.open.is_empty() && self.failed.is_empty() => {
                let next = self.line + 1;
                self.stop(format!("the connection ended; line {next} and those after it were not sent"), code);
            }
            _ => self.stop(link::unanswered(kind), code),
        }
    }

    /// Reports that a line is not delivered. The others are sent all the same.
    fn refuse(&mut self, line: u64, reason: &str, code: u8) {
        let (count, before) = self.refused.unwrap_or_default();
        self.refused = Some((count + 1, before.max(code)));
        text::note(&format!("line {line}: {}", visible(reason)));
    }

    /// Reports that a line may be delivered or not.
    fn refuse_unsure(&mut self, line: u64, reason: &str, code: u8) {
        self.unsure = true;
        self.refuse(line, &format!("{reason}; whether it was delivered is not known"), code);
    }

    /// Takes the answer to the first open line.
    fn answer(&mut self, response: &Response) {
        let (line, repeated) = self.open.pop_front().map_or((self.line, false), |open| (open.line, open.repeated));
        let failure = match response {
            Response::Error(error) => Some(error),
            _ => None,
        };
        if failure.is_none_or(|error| error.blame != Blame::Server) {
            self.retries = 0;
            self.backoff.reset();
        }
        match failure {
            None => self.seeks = None,
            Some(error) if error.blame == Blame::Server || repeated && !is_decisive(error) => {
                self.refuse_unsure(line, &error.to_string(), ask::code(error.blame));
            }
            Some(error) => self.refuse(line, &error.to_string(), ask::code(error.blame)),
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
        let first = self.open.iter().chain(&self.failed).map(|open| open.line).min();
        let unknown = match first {
            Some(line) if line == self.line => {
                format!("; whether line {line} was delivered is not known")
            }
            Some(line) => {
                format!("; whether lines {line} to {} were delivered is not known", self.line)
            }
            None => String::new(),
        };
        if let Some((reason, code)) = self.stopped {
            return Err(Failure { words: format!("{server}: {reason}{unknown}"), code });
        }
        match self.refused {
            None => Ok(Outcome::Done),
            Some((count, code)) => {
                let were = if count == 1 { "line was" } else { "lines were" };
                let surely = if self.unsure { "surely " } else { "" };
                Err(Failure { words: format!("{count} of {} {were} not {surely}delivered", self.line), code })
            }
        }
    }
}

//! `chanwire send`: one message from the command line, or a message a line from standard input.

use std::{
    collections::VecDeque,
    io::{self, BufRead as _, IsTerminal as _},
    task::{Context, Poll},
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
    link::{self, Target},
    text,
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
/// Lines are sent without waiting for the answers to those before. At the first that is refused it stops and says which
/// line it was; those that were on their way then may have been delivered, and it says how many.
#[derive(Debug, Args)]
pub(super) struct Send {
    /// What to say; `-`, or nothing where standard input is no terminal: each line of standard input
    text: Option<String>,
    /// Who says it
    #[arg(long, short, value_name = "NAME", env = "USER")]
    user: String,
    /// The channel; needed where the server hosts more than one at the address that is asked
    #[arg(long, short, value_name = "NAME")]
    channel: Option<String>,
    #[command(flatten)]
    ask: Ask,
}

impl Send {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        match self.text {
            Some(text) if text != "-" => {
                let (username, channel_name) = (self.user, self.channel);
                self.ask.run(&Request::Message(Message { username, message_content: text, channel_name }))
            }
            None if io::stdin().is_terminal() => {
                Err(Failure::usage("there is nothing to send; give a text, or `-` to send what you type, a line each"))
            }
            _ => self.send_lines(),
        }
    }

    fn send_lines(self) -> Result<Outcome, Failure> {
        let target = Target::Server(self.ask.server);
        let (tell, lines) = mpsc::channel(WINDOW);
        let mut feed = Feed {
            lines,
            message: Message { username: self.user, message_content: String::new(), channel_name: self.channel },
            json: self.ask.json,
            asked: VecDeque::new(),
            line: 0,
            delivered: 0,
            stopped: None,
            over: false,
            mute: false,
        };
        let ending = link::runtime()?
            .block_on(async {
                let mut stream = target.connect().await?;
                threads::spawn("input", move || read_lines(&tell))?;
                let clock = Clock::start();
                let mut client = Client::new(Limits::client());
                Ok(driver::drive(&mut client, &mut stream, &mut feed, clock).await)
            })
            .map_err(|why: String| format!("{target}: {why}"))?;
        feed.verdict(&target, &ending)
    }
}

/// A line of standard input, or why there are no more.
type Line = Result<String, String>;

fn read_lines(tell: &mpsc::Sender<Line>) {
    let mut input = io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let line = match input.read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) => {
                let end = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(&line);
                String::from_utf8(end.into()).map_err(|_| "it is not UTF-8".into())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(format!("cannot read standard input: {error}")),
        };
        let last = line.is_err();
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
    /// The numbers of the lines that are not answered, from 1.
    asked: VecDeque<u64>,
    /// The last line that was taken.
    line: u64,
    delivered: u64,
    stopped: Option<Stopped>,
    /// There is nothing more to send.
    over: bool,
    /// Nobody reads what is printed. What is to be sent is sent all the same.
    mute: bool,
}

/// Why it stopped before the last line.
struct Stopped {
    why: String,
    code: u8,
    /// The line that was refused, with how many had been delivered.
    line: Option<(u64, u64)>,
}

impl Feed {
    fn stop(&mut self, why: String, code: u8, line: Option<u64>) {
        let line = line.map(|line| (line, self.delivered));
        self.stopped.get_or_insert(Stopped { why, code, line });
        self.over = true;
    }

    fn answer(&mut self, response: &Response) {
        let line = self.asked.pop_front().unwrap_or(self.line);
        match response {
            Response::Error(error) => {
                self.stop(visible(&error.to_string()).into_owned(), ask::code(error.blame), Some(line));
            }
            _ => self.delivered += 1,
        }
        if self.mute {
            return;
        }
        let shown = match (self.json, response) {
            (true, _) => text::print(&text::as_json(response)),
            // It is told at the end.
            (false, Response::Error(_)) => Ok(true),
            (false, _) => text::print(&text::as_text(response)),
        };
        match shown {
            Ok(read) => self.mute = !read,
            Err(why) => self.stop(why, 1, None),
        }
    }

    fn verdict(self, target: &Target, ending: &Ending) -> Result<Outcome, Failure> {
        let unknown = match self.asked.front() {
            Some(first) if *first == self.line => format!("; whether line {first} was delivered is not known"),
            Some(first) => format!("; whether lines {first} to {} were delivered is not known", self.line),
            None => String::new(),
        };
        match self.stopped {
            Some(Stopped { why, code, line: Some((line, before)) }) => {
                let beyond = self.line.saturating_sub(line);
                let after = self.delivered.saturating_sub(before);
                let sent = match beyond {
                    0 => String::new(),
                    _ => format!("; of the {beyond} lines after it that had been sent, {after} were delivered"),
                };
                Err(Failure { words: format!("line {line}: {why}{sent}{unknown}"), code })
            }
            Some(Stopped { why, code, line: None }) => {
                Err(Failure { words: format!("{target}: {why}{unknown}"), code })
            }
            None if !self.asked.is_empty() => Err(format!("{target}: {}{unknown}", link::unanswered(ending)).into()),
            None if !self.over => {
                let next = self.line + 1;
                Err(format!("{target}: the connection ended; line {next} and those after it were not sent").into())
            }
            None => Ok(Outcome::Done),
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
                self.stop(visible(&error.to_string()).into_owned(), ask::code(error.blame), None);
            }
            ClientEvent::Broken(breach) => self.stop(visible(&breach.to_string()).into_owned(), 1, None),
            ClientEvent::Push(_) | ClientEvent::Ended { .. } => {}
        }
    }

    fn on_quiet(&mut self) {}

    fn poll_tell(&mut self, client: &mut Client, clock: Clock, cx: &mut Context<'_>) -> Poll<()> {
        // An answer makes room, and then this is asked again.
        if self.over || client.in_flight() >= WINDOW {
            return Poll::Pending;
        }
        match self.lines.poll_recv(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => self.over = true,
            Poll::Ready(Some(Err(why))) => {
                let line = self.line + 1;
                self.stop(format!("line {line}: {why}"), 1, None);
            }
            Poll::Ready(Some(Ok(text))) => {
                self.message.message_content = text;
                let sent = client.send(clock.now(), &Request::Message(self.message.clone()));
                match sent {
                    Ok(_) => {
                        self.line += 1;
                        self.asked.push_back(self.line);
                    }
                    Err(_) => {
                        let line = self.line + 1;
                        self.stop(format!("the connection is closing; line {line} was not sent"), 1, None);
                    }
                }
            }
        }
        if self.over {
            client.shutdown(clock.now());
        }
        Poll::Ready(())
    }
}

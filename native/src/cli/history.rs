//! `chanwire history`: the stored messages of a channel, one page of them or all.

use std::fmt;

use chanwire_core::wire::{ChannelName, HISTORY_LIMIT, HistoryRange, Request, StoredMessage};
use clap::Args;

use super::{
    Failure, Outcome,
    ask::{self, Ask},
    link,
    progress::Progress,
    text,
};
use crate::client::{Client, Error};

/// The messages that are asked for at once, to read all.
const PAGE: u16 = 1000;

/// Show the stored messages of a channel
///
/// Each is a line: time, id, user and text. If the server says that a peer hosts the channel, that peer is asked.
///
/// A server returns as many as fit in one answer of 256 KiB. For earlier or later ones, ask again with the first or
/// last id that was shown, or for all: up to the last one at the time of asking, however many there are. With --all or
/// --contains, each message is printed when its page was read, and --json prints a line for each message instead of one
/// for the answer.
#[derive(Debug, Args)]
pub(super) struct History {
    /// The channel's name
    channel: String,

    /// The first messages after this id (0: from the beginning) instead of the last ones
    #[arg(long, value_name = "ID")]
    after: Option<u64>,

    /// The last messages before this id; with --all or --contains, also those between --after and it
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    before: Option<u64>,

    /// At most this many, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = HISTORY_LIMIT, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,

    /// All messages that are kept, or all after, before or between the ids
    #[arg(long, conflicts_with = "limit")]
    all: bool,

    /// Of all these messages, only those whose text contains this, in any case of the letters A to Z
    #[arg(long, value_name = "TEXT", conflicts_with = "limit", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    contains: Option<String>,

    #[command(flatten)]
    ask: Ask,
}

impl History {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let channel_name = match ChannelName::try_from(self.channel.as_str()) {
            Ok(channel_name) => channel_name,
            Err(error) => return ask::refuse(error, self.ask.json),
        };
        if self.all || self.contains.is_some() {
            return self.run_for_all(&channel_name);
        }
        let range = match (self.after, self.before) {
            (Some(_), Some(_)) => return Err(Failure::usage("--after and --before together need --all or --contains")),
            (Some(id), None) => HistoryRange::After(id),
            (None, Some(id)) => HistoryRange::Before(id),
            (None, None) => HistoryRange::Last,
        };
        let request = Request::History { channel_name: channel_name.clone(), range, limit: self.limit };
        self.ask.run_at_host(&channel_name, request)
    }

    fn run_for_all(self, channel_name: &ChannelName) -> Result<Outcome, Failure> {
        let json = self.ask.json;
        let part = self.contains.map(|part| part.to_ascii_lowercase());
        let (after, before) = (self.after.unwrap_or(0), self.before);
        let connector = self.ask.connector()?;
        let mut reading = Reading { after, json, progress: progress(part.is_some()), part };
        link::runtime()?.block_on(async {
            let client = Client::over(connector);
            let read = reading.read(&client, channel_name, before).await;
            reading.progress.clear();
            client.close().await;
            match read {
                Ok(outcome) => Ok(outcome),
                Err(Stop::Output(reason)) => Err(reason.into()),
                Err(Stop::Server(error)) => {
                    let refused = link::answer(Err(error));
                    let before = before.map_or_else(String::new, |before| format!(" --before {before}"));
                    let go_on = format!("go on with --after {}{before}", reading.after);
                    match refused {
                        Ok(refusal) => {
                            let outcome = ask::report(&refusal, json);
                            if reading.after > after {
                                text::note(&go_on);
                            }
                            outcome
                        }
                        Err(failure) if reading.after > after => {
                            Err(Failure { words: format!("{}; {go_on}", failure.words), ..failure })
                        }
                        Err(failure) => Err(failure),
                    }
                }
            }
        })
    }
}

/// Returns the progress of reading all messages: beside those that are printed, or where few are.
fn progress(is_search: bool) -> Progress {
    if is_search { Progress::new() } else { Progress::beside_output() }
}

/// The reason for which reading ends early.
enum Stop {
    Server(Error),
    Output(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

/// Progress through a channel's messages, of which one page is in memory.
struct Reading {
    /// The id of the last message that was read.
    after: u64,
    json: bool,
    /// Text that messages must contain to be printed, in lower case.
    part: Option<String>,
    progress: Progress,
}

impl Reading {
    /// Prints the messages up to the last one at this time, or before an id.
    async fn read(
        &mut self,
        client: &Client,
        channel_name: &ChannelName,
        before: Option<u64>,
    ) -> Result<Outcome, Stop> {
        let last = link::watched(client.server(), client.history(channel_name, HistoryRange::Last, 1)).await?;
        let kept = last.last().map(|message| message.id);
        let last = kept.unwrap_or(0).min(before.map_or(u64::MAX, |before| before - 1));
        if kept.is_none() && self.after > 0 {
            text::note("the channel keeps no messages any more");
        }
        // At least one request tells whether there is such a channel.
        loop {
            let reading = client.history(channel_name, HistoryRange::After(self.after), PAGE);
            let page = link::watched(client.server(), reading).await?;
            let first = page.first().map_or(last + 1, |message| message.id).min(last + 1);
            // Where reading begins with the oldest one that is kept, none is missed.
            if (self.after > 0 || first > last) && first > self.after + 1 {
                self.progress.clear();
                text::note(&format!("messages {} to {} are kept no more", self.after + 1, first - 1));
            }
            if page.is_empty() {
                break;
            }
            let goes_on = self.print(page.into_iter().take_while(|message| message.id <= last), last)?;
            if !goes_on || self.after >= last {
                break;
            }
        }
        Ok(Outcome::Done)
    }

    /// Prints the messages of a page that are asked for. Returns `false` where standard output was closed by its reader.
    fn print(&mut self, page: impl Iterator<Item = StoredMessage>, last: u64) -> Result<bool, Stop> {
        let mut lines = String::new();
        // Without a message up to it, there is none left.
        let mut end = last;
        for message in page {
            end = message.id;
            if self.part.as_ref().is_none_or(|part| message.message_content.to_ascii_lowercase().contains(part)) {
                lines += &if self.json { text::message_json(&message) } else { text::message_line(&message) };
            }
        }
        if !lines.is_empty() {
            self.progress.clear();
            if !text::print(&lines).map_err(Stop::Output)? {
                return Ok(false);
            }
        }
        self.after = end;
        self.progress.update(ReadSoFar { id: end, last });
        Ok(true)
    }
}

/// Progress as a share of the ids.
struct ReadSoFar {
    id: u64,
    last: u64,
}

impl fmt::Display for ReadSoFar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = u128::from(self.id) * 100 / u128::from(self.last.max(1));
        write!(f, "read up to message {} of {}, {percent} %", self.id, self.last)
    }
}

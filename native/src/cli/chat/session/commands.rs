//! The commands of a chat.

use chanwire_core::{
    Time,
    endpoint::ClientEvent,
    wire::{ChannelName, HistoryRange, Request, Response},
};

use super::{MAX_LISTED, Output, PAGE, PendingRequest, Phase, Question, Session, Shown, count};
use crate::server_address::ServerAddress;

/// The commands, each with its slash.
pub(in crate::cli::chat) const COMMANDS: [&str; 8] =
    ["/list", "/join", "/leave", "/history", "/who", "/nick", "/help", "/quit"];

/// The text of `/help`.
const HELP: [&str; 13] = [
    "TEXT           send TEXT; Alt-Enter begins a new line of it",
    "/list          list the channels",
    "/join NAME     go to another channel",
    "/leave         leave this channel",
    "/history [N]   show N older messages (default 20)",
    "/who           show who is on this channel",
    "/nick NAME     take another name, if you are signed in to no account",
    "/help          show this help",
    "/quit          quit; so do Ctrl-D and Ctrl-C on an empty line",
    "Tab            complete a command or a name; again: the next one",
    "Ctrl-R         search through what was typed",
    "Ctrl-Z         suspend the chat; fg continues it",
    "//TEXT         send /TEXT, a text that begins with a slash",
];

impl Session {
    /// Handles a typed line.
    pub(in crate::cli::chat) fn handle_line(&mut self, now: Time, line: &str) {
        if self.over || self.leaving.is_some() {
            return;
        }
        if self.answer(now, line) {
            return self.settle(now);
        }
        let (command, rest) = match line.strip_prefix('/') {
            None => return self.say(now, line),
            Some(text) if text.starts_with('/') => return self.say(now, text),
            Some(command) => command.split_once(' ').unwrap_or((command, "")),
        };
        match (command, rest.trim()) {
            ("list", "") => self.list(),
            ("join", "") => self.trouble("/join needs the name of a channel; /list shows them"),
            ("join", name) => self.go_to(name),
            ("leave", "") => {
                self.leave();
                self.left = None;
                self.note("on no channel; /join NAME goes to one, /quit leaves the chat");
            }
            ("history", number) => self.history(number),
            ("who", "") => self.who(),
            ("nick", name) => self.rename(name),
            ("help", "") => HELP.into_iter().for_each(|line| self.note(line)),
            ("quit", "") => self.handle_end(now),
            _ => self.trouble(format!("not sent: {line} (/help shows the commands; //TEXT says /TEXT)")),
        }
    }

    /// Handles a line as the answer to an open question. Returns whether it was one.
    fn answer(&mut self, now: Time, line: &str) -> bool {
        let answer = line.trim().to_ascii_lowercase();
        let answered = match self.asking {
            Some(Question::Paste) => self.answer_about_a_paste(&answer),
            Some(Question::Trust) => self.answer_about_trust(now, &answer),
            None => false,
        };
        if !answered {
            return false;
        }
        self.asking = None;
        self.outputs.push_back(Output::Asking(false));
        true
    }

    fn say(&mut self, now: Time, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.room.is_none() {
            return self.trouble(format!("not sent: {text} (on no channel; /join NAME goes to one)"));
        }
        self.queue(text.into());
        if self.options.interactive && !matches!(self.phase, Phase::Live(..)) {
            self.note(format!("kept until there is a connection: {text}"));
        }
        self.settle(now);
    }

    fn list(&mut self) {
        if let Phase::Live(connection, _) = &mut self.phase
            && connection.to.same_place(&self.tracker)
        {
            return connection.ask(&mut self.outputs, PendingRequest::List, Request::List);
        }
        if self.listing.is_none() {
            let connection = self.connect(self.tracker.clone());
            self.listing = Some(connection.link);
        }
    }

    /// Handles an event of the separate connection for `/list`.
    pub(super) fn listed(&mut self, event: ClientEvent) {
        let ClientEvent::Answer { response, .. } = event else {
            // Reported with the end of the connection.
            return;
        };
        if let Some(link) = self.listing.take() {
            self.outputs.push_back(Output::Close { link });
        }
        self.show_channels(self.tracker.clone(), response);
    }

    pub(super) fn show_channels(&mut self, of: ServerAddress, response: Response) {
        match response {
            Response::Channels(channels) => {
                self.listed = channels.iter().take(MAX_LISTED).map(|channel| channel.channel_name.clone()).collect();
                self.outputs.push_back(Output::Show(Shown::Channels { of, channels }));
            }
            Response::Error(error) => self.trouble(format!("{of}: {error}")),
            _ => {}
        }
    }

    fn go_to(&mut self, name: &str) {
        let name = match ChannelName::try_from(name) {
            Ok(name) => name,
            Err(error) => return self.trouble(error.to_string()),
        };
        if self.room.as_ref().is_some_and(|room| room.name == name) {
            return self.trouble(format!("this is {name} already"));
        }
        let left = self.leave();
        self.left = left.or(self.left.take());
        self.backoff.reset();
        self.enter(name);
    }

    fn history(&mut self, number: &str) {
        let limit = if number.is_empty() { Some(PAGE) } else { number.parse().ok() };
        let Some(limit) = limit.filter(|limit| (1..=1000).contains(limit)) else {
            return self.trouble("/history takes a number from 1 to 1000");
        };
        let (Phase::Live(connection, _), Some(room)) = (&mut self.phase, &self.room) else {
            return self.trouble("there is no connection to a channel now");
        };
        let range = room.oldest.map_or(HistoryRange::Last, HistoryRange::Before);
        let request = Request::History { channel_name: room.name.clone(), range, limit };
        connection.ask(&mut self.outputs, PendingRequest::History, request);
    }

    pub(super) fn show_history(&mut self, response: Response) {
        let messages = match response {
            Response::History { messages, .. } => messages,
            Response::Error(error) => return self.trouble(error.to_string()),
            _ => return,
        };
        let Some(oldest) = messages.first().map(|message| message.id) else {
            return self.note("no older messages");
        };
        if let Some(room) = &mut self.room {
            room.oldest = Some(oldest);
            messages.iter().for_each(|message| room.names.seen(&message.username));
        }
        self.note(format!("{} from before:", count(messages.len(), "message")));
        for message in messages {
            let mention = self.mention(&message, false);
            self.outputs.push_back(Output::Show(Shown::Message(message, mention)));
        }
        self.note("that was before");
    }
}

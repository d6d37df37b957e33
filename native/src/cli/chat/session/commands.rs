//! The commands of a chat.

use chanwire_core::{
    Time,
    endpoint::ClientEvent,
    wire::{ChannelName, HistoryRange, Request, Response},
};

use super::{Output, PAGE, PendingRequest, Phase, Question, Session, Shown, count};
use crate::server_address::ServerAddress;

/// The text of `/help`.
const HELP: [&str; 9] = [
    "TEXT           send TEXT; Alt-Enter begins a new line of it",
    "/list          list the channels",
    "/join NAME     go to another channel",
    "/leave         leave this channel",
    "/history [N]   show N older messages (default 20)",
    "/help          show this help",
    "/quit          quit; so do Ctrl-D and Ctrl-C on an empty line",
    "Ctrl-Z         suspend the chat; fg continues it",
    "//TEXT         send /TEXT, a text that begins with a slash",
];

impl Session {
    /// Handles a typed line.
    pub(in crate::cli::chat) fn handle_line(&mut self, now: Time, line: &str) {
        if self.over || self.leaving.is_some() {
            return;
        }
        if self.answer(line) {
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
            ("help", "") => HELP.into_iter().for_each(|line| self.note(line)),
            ("quit", "") => self.handle_end(now),
            _ => self.trouble(format!("not sent: {line} (/help shows the commands; //TEXT says /TEXT)")),
        }
    }

    /// Handles a line as the answer to an open question. Returns whether it was one.
    fn answer(&mut self, line: &str) -> bool {
        let answer = line.trim().to_ascii_lowercase();
        let answered = match (self.asking, &mut self.room, &*answer) {
            (Some(Question::Again(id)), Some(room), "y" | "yes") => {
                room.outbox.resend(id);
                true
            }
            (Some(Question::Again(id)), Some(room), "n" | "no") => {
                room.outbox.discard(id);
                true
            }
            (Some(Question::Paste), _, answer) => self.answer_about_a_paste(answer),
            _ => false,
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
        if self.interactive && !matches!(self.phase, Phase::Live(..)) {
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
            Response::Channels(channels) => self.outputs.push_back(Output::Show(Shown::Channels { of, channels })),
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
        }
        self.note(format!("{} from before:", count(messages.len(), "message")));
        self.outputs.extend(messages.into_iter().map(|message| Output::Show(Shown::Message(message))));
        self.note("that was before");
    }
}

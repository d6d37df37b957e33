//! The commands of a chat.

use chanwire_core::{
    Time,
    endpoint::ClientEvent,
    wire::{Channel, ChannelName, Response},
};

use super::{Link, MAX_LISTED, Output, Room, RoomId, Session, Shown};
use crate::server_address::ServerAddress;

/// The commands, each with its slash.
pub(in crate::cli::chat) const COMMANDS: [&str; 11] =
    ["/list", "/join", "/switch", "/leave", "/history", "/search", "/delete", "/who", "/nick", "/help", "/quit"];

/// The text of `/help`.
const HELP: [&str; 18] = [
    "TEXT           send TEXT; Alt-Enter begins a new line of it",
    "/list          list the channels",
    "/join NAME     join another channel, too, and go there",
    "/switch NAME   go to one of your channels, also by its number; without NAME: to the next one with news",
    "/leave [NAME]  leave this channel, or another one of yours",
    "/history [N]   show N older messages (default 20)",
    "/search [TEXT] read the messages with TEXT, of those that were loaded; n and N go to others",
    "/delete [ID]   delete the message ID, which PageUp shows, or your last one, after a question",
    "/who           show who is on this channel",
    "/nick NAME     take another name, if you are signed in to no account",
    "/help          show this help",
    "/quit          quit; so do Ctrl-D and Ctrl-C on an empty line",
    "Tab            complete a command or a name; again: the next one",
    "PageUp         read back; PageDown past the end, or q, returns",
    "Alt-1 … Alt-9  go to the channel of this number",
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
            return;
        }
        let (command, rest) = match line.strip_prefix('/') {
            None => return self.say(now, line),
            Some(text) if text.starts_with('/') => return self.say(now, text),
            Some(command) => command.split_once(' ').unwrap_or((command, "")),
        };
        match (command, rest.trim()) {
            ("list", "") => self.list(),
            ("join", "") => self.trouble("/join needs the name of a channel; /list shows them"),
            ("join", name) => self.join(now, name),
            ("switch", named) => self.switch(now, named),
            ("leave", named) => self.leave(now, named),
            ("history", number) => self.in_room(now, |room| room.history(number)),
            ("search", text) => self.search(text),
            ("delete", number) => self.delete(now, number),
            ("who", "") => self.in_room(now, Room::who),
            ("nick", name) => self.rename(now, name),
            ("help", "") => HELP.into_iter().for_each(|line| self.note(line)),
            ("quit", "") => self.handle_end(now),
            _ => self.trouble(format!("not sent: {line} (/help shows the commands; //TEXT says /TEXT)")),
        }
    }

    /// Handles the key that shows the channel of a number.
    pub(in crate::cli::chat) fn handle_switch(&mut self, now: Time, number: usize) {
        if self.over || self.leaving.is_some() {
            return;
        }
        match number.checked_sub(1).and_then(|index| self.rooms.get(index)).map(|room| room.id) {
            Some(id) => self.switch_to(now, id),
            None => self.trouble(format!("there is no channel {number}")),
        }
    }

    fn say(&mut self, now: Time, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.current_mut() {
            None => {
                self.unsettled = true;
                self.trouble(format!("not sent: {text} (on no channel; /join NAME goes to one)"));
            }
            Some(room) => {
                room.say(now, text);
                self.collect(now);
            }
        }
    }

    /// Runs a command of the channel that is shown.
    fn in_room(&mut self, now: Time, run: impl FnOnce(&mut Room)) {
        match self.current_mut() {
            None => self.trouble("on no channel; /join NAME goes to one"),
            Some(room) => {
                run(room);
                self.collect(now);
            }
        }
    }

    fn list(&mut self) {
        if self.current_mut().is_some_and(Room::list) {
            self.drain();
        } else if self.listing.is_none() {
            self.listings += 1;
            let link = Link { room: RoomId::NONE, number: self.listings };
            self.listing = Some(link);
            self.outputs.push_back(Output::Connect { link, to: self.tracker.clone() });
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
        let shown = channels_of(self.tracker.clone(), response);
        if let Some(Shown::Channels { channels, .. }) = &shown {
            self.listed = names_of(channels);
        }
        self.outputs.extend(shown.map(Output::Show));
    }
}

/// Returns a list of channels as it is shown.
pub(super) fn channels_of(of: ServerAddress, response: Response) -> Option<Shown> {
    match response {
        Response::Channels(channels) => Some(Shown::Channels { of, channels }),
        Response::Error(error) => Some(Shown::Trouble(format!("{of}: {error}"))),
        _ => None,
    }
}

/// Returns the names of channels, as many as are remembered.
pub(super) fn names_of(channels: &[Channel]) -> Vec<ChannelName> {
    channels.iter().take(MAX_LISTED).map(|channel| channel.channel_name.clone()).collect()
}

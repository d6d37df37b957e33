//! A chat as a state machine without I/O: typed lines, events of connections and time go in; connections to make,
//! requests to send and lines to show come out.

mod asking;
mod channels;
mod commands;
mod reading_back;
mod room;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use chanwire_core::{
    Time,
    endpoint::ClientEvent,
    wire::{Channel, ChannelName, ClientMessageId, Hello, Request, StoredMessage, Username},
};

use super::completion::{Completion, Known, complete};
use crate::{server_address::ServerAddress, tls::Pin};
use asking::Question;
use channels::MAX_ROOMS;
use room::{Failure, QUEUED, Room};

pub(super) use channels::Tab;
pub(super) use commands::COMMANDS;

/// Time for the last answers once the user leaves.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// The most listed channels that are remembered.
const MAX_LISTED: usize = 1000;

/// The id of a connection that the session opened. Events of an abandoned one are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Link {
    room: RoomId,
    /// Counts the connections of a channel, from 1.
    number: u64,
}

/// Tells the channels of a session apart, also those that were left and joined again: from 1, and [`RoomId::NONE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct RoomId(u64);

impl RoomId {
    /// No channel: of the separate connections for `/list`.
    const NONE: Self = Self(0);
}

/// An action that the session wants carried out.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Output {
    /// Connects, then calls [`Session::handle_connected`] or [`Session::handle_lost`].
    Connect { link: Link, to: ServerAddress },
    /// Sends a request.
    Send { link: Link, request: Request },
    /// Closes the connection after its last answer. Its events need not be reported.
    Close { link: Link },
    /// Trusts a server with this key from now on.
    Trust { server: ServerAddress, pin: Pin },
    /// Shows output to the user.
    Show(Shown),
    /// Rings the bell, if the user wants that.
    Ring,
    /// Sets the channels that are listed above the input line; none while there is only one.
    Tabs(Vec<Tab>),
    /// Shows messages to read back, and looks for a text in them, if one is given.
    ReadBack { channel: ChannelName, messages: Vec<(StoredMessage, Mention)>, search: Option<String> },
    /// Messages before an id, to read back, or the reason for which there are none now.
    Older { channel: ChannelName, before: u64, messages: Result<Vec<(StoredMessage, Mention)>, String> },
    /// The user is on another channel without having gone there: a line that was begun is not sent at once.
    Moved,
    /// Sets whether the next line answers a question.
    Asking(bool),
    /// Ends the chat.
    Quit(Verdict),
}

/// Output for the user. Texts are untrusted; they are escaped when shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shown {
    Message(StoredMessage, Mention),
    Channels {
        of: ServerAddress,
        channels: Vec<Channel>,
    },
    /// Information.
    Note(String),
    /// A problem.
    Trouble(String),
}

/// Whether a message of somebody else has the user's name in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mention {
    No,
    /// In a message from before the channel was joined.
    Earlier,
    New,
}

/// The end of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The exit code.
    pub(super) code: u8,
    /// The reason, if it is a failure.
    pub(super) reason: Option<String>,
}

/// The loss of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// The time after which the server asked to come back.
    pub(super) retry_after: Option<Duration>,
    /// The pin of a server for which nobody vouches, so that nothing was sent to it.
    pub(super) untrusted: Option<Pin>,
    /// Whether connecting again cannot help: the account was refused, or would be sent where it must not.
    pub(super) is_final: bool,
    pub(super) reason: String,
}

/// Makes an id for a message.
pub(super) type NewId = fn() -> Result<ClientMessageId, String>;

/// The user of a chat, and the user's choices.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) user: Username,
    /// Whether there is a user to answer questions.
    pub(super) interactive: bool,
    /// Whether to show who joins and leaves.
    pub(super) shows_presence: bool,
    /// Whether connections sign in to an account.
    pub(super) signs_in: bool,
    /// Makes ids for messages.
    pub(super) new_id: NewId,
}

/// A server for which nobody vouches.
#[derive(Clone, Debug)]
struct Untrusted {
    to: ServerAddress,
    /// The pin of its key.
    pin: Pin,
}

/// A chat on several channels, of which one is shown.
#[derive(Debug)]
pub(super) struct Session {
    tracker: ServerAddress,
    /// The user's name is that for the next channel.
    options: Options,
    seed: u64,
    outputs: VecDeque<Output>,
    /// The channels, in the order in which they were joined.
    rooms: Vec<Room>,
    /// The channels that the user has left, until their messages are answered.
    left: Vec<Room>,
    /// Counts the channels that were ever joined.
    rooms_made: u64,
    /// The channels that were shown, the present one last.
    shown: Vec<RoomId>,
    /// The tabs that were set last.
    tabs: Vec<Tab>,
    /// A separate connection to the tracker for `/list`.
    listing: Option<Link>,
    /// Counts those connections.
    listings: u64,
    /// The channels that the tracker listed last.
    listed: Vec<ChannelName>,
    asking: Option<Question>,
    /// Whether messages are read back, so that those that come wait.
    is_reading_back: bool,
    /// The text that was searched last.
    searched: Option<String>,
    /// The time at which the chat ends even without all answers.
    leaving: Option<Time>,
    /// Whether a channel was ever joined: before that, a failure ends the chat.
    joined_once: bool,
    /// Whether a message with an unknown outcome was given up.
    unsettled: bool,
    over: bool,
}

impl Session {
    /// Starts a chat on this channel. The seed is for jitter alone.
    pub(super) fn new(tracker: ServerAddress, channel: ChannelName, options: Options, seed: u64) -> Self {
        let mut session = Self {
            tracker,
            options,
            seed,
            outputs: VecDeque::new(),
            rooms: Vec::new(),
            left: Vec::new(),
            rooms_made: 0,
            shown: Vec::new(),
            tabs: Vec::new(),
            listing: None,
            listings: 0,
            listed: Vec::new(),
            asking: None,
            is_reading_back: false,
            searched: None,
            leaving: None,
            joined_once: false,
            unsettled: false,
            over: false,
        };
        session.enter(channel);
        session.collect(Time::default());
        session
    }

    /// Returns the next output.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns whether there is an output.
    pub(super) fn has_output(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// Returns the time at which to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.rooms.iter().chain(&self.left).filter_map(Room::poll_timeout).chain(self.leaving).min()
    }

    /// Returns whether to read further lines: not while many messages are waiting.
    pub(super) fn wants_input(&self) -> bool {
        let has_room = self.left.len() < MAX_ROOMS;
        self.leaving.is_none() && has_room && self.current().is_none_or(|room| room.outbox.waiting() < QUEUED)
    }

    /// Handles a connection that was made.
    pub(super) fn handle_connected(&mut self, link: Link) {
        if self.listing == Some(link) {
            self.outputs.push_back(Output::Send { link, request: Request::List });
        } else if let Some(room) = self.room_of(link) {
            room.handle_connected(link);
            self.drain();
        }
    }

    /// Handles the server's answer to HELLO.
    pub(super) fn handle_hello(&mut self, link: Link, hello: Option<Hello>) {
        if let Some(room) = self.room_of(link) {
            room.handle_hello(link, hello);
            self.drain();
        }
    }

    /// Handles an event of a connection.
    pub(super) fn handle_event(&mut self, now: Time, link: Link, event: ClientEvent) {
        if self.listing == Some(link) {
            self.listed(event);
        } else if let Some(room) = self.room_of(link) {
            room.handle_event(now, link, event);
            self.collect(now);
        }
    }

    /// Handles a connection that could not be made or has ended.
    pub(super) fn handle_lost(&mut self, now: Time, link: Link, lost: Lost) {
        if self.listing == Some(link) {
            self.listing = None;
            return self.trouble(format!("{}: {}", self.tracker, lost.reason));
        }
        // Without a terminal, or when the chat is ending, nobody can be asked.
        let untrusted = lost.untrusted.filter(|_| self.options.interactive && self.leaving.is_none());
        if let Some(room) = self.room_of(link) {
            room.handle_lost(now, link, Lost { untrusted, ..lost });
            self.collect(now);
        }
    }

    /// Handles a timeout; early calls do nothing.
    pub(super) fn handle_timeout(&mut self, now: Time) {
        if self.leaving.is_some_and(|at| at <= now) {
            return self.quit();
        }
        self.rooms.iter_mut().chain(&mut self.left).for_each(|room| room.handle_timeout(now));
        self.collect(now);
    }

    /// Handles the end of the input. Waits for the remaining answers, at most [`LAST_ANSWERS`].
    pub(super) fn handle_end(&mut self, now: Time) {
        if self.over {
            return;
        }
        let waiting = self.waiting();
        if waiting == 0 && self.has_begun() || self.leaving.is_some() {
            return self.quit();
        }
        self.leaving = Some(now.after(LAST_ANSWERS));
        if self.options.interactive {
            self.note(format!(
                "waiting up to {} seconds for {}; Ctrl-C leaves now",
                LAST_ANSWERS.as_secs(),
                count(waiting, "message")
            ));
        }
        self.rooms.iter_mut().for_each(|room| room.settle(now));
        self.collect(now);
    }

    /// Handles input that cannot be sent.
    pub(super) fn handle_unreadable(&mut self, reason: &str) {
        self.unsettled = true;
        self.trouble(format!("not sent: {reason}"));
    }

    /// Handles a paste of several lines.
    pub(super) fn handle_paste(&mut self, now: Time, text: String) {
        if self.over || self.leaving.is_some() {
            return;
        }
        match self.current_mut() {
            Some(room) => {
                room.paste(text);
                room.settle(now);
                self.collect(now);
            }
            None => {
                let lines = count(text.split('\n').filter(|line| !line.is_empty()).count(), "pasted line");
                self.trouble(format!("not sent: {lines} (on no channel; /join NAME goes to one)"));
            }
        }
    }

    /// Handles a screen that lags: skips the shown channel's messages from now on.
    pub(super) fn handle_behind(&mut self) {
        if let Some(room) = self.current_mut() {
            room.handle_behind();
            self.drain();
        }
    }

    /// Handles a screen that has caught up: continues with the shown channel's last messages.
    pub(super) fn handle_caught_up(&mut self) {
        if let Some(room) = self.current_mut() {
            room.handle_caught_up();
            self.drain();
        }
    }

    /// Returns whether the shown channel's messages are skipped.
    pub(super) fn is_skipping(&self) -> bool {
        self.current().is_some_and(Room::is_skipping)
    }

    /// Completes the text before the cursor.
    pub(super) fn complete(&self, before: &str) -> Completion {
        let room = self.current();
        let user = room.map_or(&self.options.user, |room| &room.options.user);
        let names = room.into_iter().flat_map(|room| room.names.iter()).filter(|name| *name != &**user);
        let known = Known {
            names: names.collect(),
            listed: self.listed.iter().map(ChannelName::as_str).collect(),
            joined: self.rooms.iter().map(|room| room.name.as_str()).collect(),
        };
        complete(before, &known)
    }

    /// Does what has become possible after a channel has changed.
    fn collect(&mut self, now: Time) {
        self.drain();
        let has_failed = |room: &Room| room.failure.is_some();
        while let Some(mut room) = take(&mut self.rooms, has_failed).or_else(|| take(&mut self.left, has_failed)) {
            if let Some(failure) = room.failure.take() {
                self.failed(&room, failure);
                self.drain();
            }
        }
        if self.over {
            return;
        }
        while let Some(mut room) = take(&mut self.left, |room| room.is_done(now)) {
            room.leave();
            self.take_last(&room);
        }
        self.ask();
        if self.leaving.is_some_and(|at| at <= now || self.waiting() == 0 && self.has_begun()) {
            return self.quit();
        }
        self.set_tabs();
    }

    /// Takes the outputs of the channels.
    fn drain(&mut self) {
        for room in self.rooms.iter_mut().chain(&mut self.left) {
            if room.leaving.is_some() {
                room.outputs.retain(|output| *output != Output::Ring);
            }
            self.outputs.append(&mut room.outputs);
            self.unsettled |= room.unsettled;
            self.joined_once |= room.was_joined();
            if let Some(found) = room.found.take() {
                self.listed = found;
            }
            if let Some(refused) = room.naming.take_refused()
                && self.options.user == refused
            {
                self.options.user = room.options.user.clone();
            }
        }
    }

    /// Takes the last outputs of a channel that is removed.
    fn take_last(&mut self, room: &Room) {
        self.outputs.extend(room.outputs.iter().cloned());
        self.unsettled |= room.unsettled;
    }

    /// Counts the messages that wait for a connection or for an answer.
    fn waiting(&self) -> usize {
        self.rooms.iter().chain(&self.left).map(Room::waiting).sum()
    }

    /// Returns whether a channel was found, or there is a user who sees whether it is.
    const fn has_begun(&self) -> bool {
        self.joined_once || self.options.interactive
    }

    fn quit(&mut self) {
        self.stop_asking();
        // Several channels' messages are told apart by the channels' names.
        let several = self.rooms.len() + self.left.len() > 1;
        for room in self.rooms.iter_mut().chain(&mut self.left) {
            if several {
                room.hide();
            }
            room.leave();
        }
        self.drain();
        if let Some(link) = self.listing.take() {
            self.outputs.push_back(Output::Close { link });
        }
        // An interactive user has seen it.
        let failed = self.unsettled && !self.options.interactive;
        let reason = failed.then(|| "not every message was surely sent, see above".to_owned());
        self.end(Verdict { code: u8::from(reason.is_some()), reason });
    }

    fn end(&mut self, verdict: Verdict) {
        self.rooms.clear();
        self.left.clear();
        self.shown.clear();
        self.leaving = None;
        self.over = true;
        self.outputs.push_back(Output::Quit(verdict));
    }

    fn note(&mut self, text: impl Into<String>) {
        self.outputs.push_back(Output::Show(Shown::Note(text.into())));
    }

    fn trouble(&mut self, text: impl Into<String>) {
        self.outputs.push_back(Output::Show(Shown::Trouble(text.into())));
    }
}

/// Removes the first channel that is so.
fn take(rooms: &mut Vec<Room>, is_so: impl Fn(&Room) -> bool) -> Option<Room> {
    let index = rooms.iter().position(is_so)?;
    Some(rooms.remove(index))
}

/// Formats a count: `1 message`, `2 messages`.
fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

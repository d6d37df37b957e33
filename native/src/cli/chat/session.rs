//! A chat as a state machine without I/O: typed lines, events of connections and time go in; connections to make,
//! requests to send and lines to show come out.

mod commands;
mod joining;
mod naming;
mod pastes;
mod people;
#[cfg(test)]
mod tests;
mod trusting;

use std::{collections::VecDeque, time::Duration};

use chanwire_core::{
    Time,
    endpoint::ClientEvent,
    wire::{
        Blame, Channel, ChannelName, ClientMessageId, Hello, Message, Notice, Request, Response, StoredMessage,
        Username,
    },
};

use pastes::Pastes;
use people::Names;

pub(super) use commands::COMMANDS;

use super::completion::{Completion, complete};
use super::outbox::{NextMessage, Outbox, OwnId};
use crate::{client::Backoff, server_address::ServerAddress, tls::Pin};

/// Messages that are shown when a channel is joined, and by `/history`.
pub(super) const PAGE: u16 = 20;

/// Time for the last answers once the user leaves.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// The most listed channels that are remembered.
const MAX_LISTED: usize = 1000;

/// A connection that held this long was a good one: the next wait is the shortest again.
const HELD: Duration = Duration::from_secs(10);

/// The id of a connection that the session opened. Events of an abandoned one are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Link(u64);

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

/// A chat on one channel at a time.
#[derive(Debug)]
pub(super) struct Session {
    tracker: ServerAddress,
    options: Options,
    outputs: VecDeque<Output>,
    links: u64,
    backoff: Backoff,
    /// The time until which messages wait after the server has failed to store one.
    resume_at: Option<Time>,
    room: Option<Room>,
    /// The previous channel, until the next one is joined.
    left: Option<Room>,
    phase: Phase,
    /// A separate connection to the tracker for `/list`.
    listing: Option<Link>,
    /// The channels that the tracker listed last.
    listed: Vec<ChannelName>,
    asking: Option<Question>,
    pastes: Pastes,
    /// The name before the one that was chosen last, until a server has taken that one.
    former_name: Option<Username>,
    /// Whether the channel is joined again only to be there under another name.
    is_renaming: bool,
    /// Whether the screen lags, so that joining again skips messages.
    behind: bool,
    /// The time at which the chat ends even without all answers.
    leaving: Option<Time>,
    /// Whether a channel was ever joined: before that, a failure ends the chat.
    joined_once: bool,
    /// Whether a message with an unknown outcome was given up.
    unsettled: bool,
    over: bool,
}

/// A question that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// Whether to send the lines that were pasted.
    Paste,
    /// Whether to trust a server.
    Trust,
}

/// A channel that the user wants to be on.
#[derive(Debug)]
struct Room {
    name: ChannelName,
    /// The server at which it was last joined.
    host: Option<ServerAddress>,
    /// The address on the tracker's list, while it is joined through the tracker's Unix socket.
    listed: Option<ServerAddress>,
    /// The last known message.
    known: Option<Known>,
    /// The id of the oldest message that was shown.
    oldest: Option<u64>,
    names: Names,
    outbox: Outbox,
    /// The last shown reason for not being joined.
    shown_reason: Option<String>,
}

/// A position in a channel's messages.
#[derive(Debug)]
struct Known {
    id: u64,
    /// The message of that id, which identifies the history when joining again.
    message: Option<StoredMessage>,
}

#[derive(Debug)]
enum Phase {
    /// No channel is selected.
    Out,
    /// Waiting for the next attempt.
    Waiting {
        until: Time,
    },
    /// Waiting for the user, who may trust this server.
    Untrusted(Untrusted),
    /// Finding the channel's host at the tracker.
    Looking(ServerConnection),
    /// Joining the channel at its host.
    Joining(ServerConnection),
    Live(ServerConnection, Reading),
}

/// A connection to the tracker or a host, with its pending requests.
#[derive(Debug)]
struct ServerConnection {
    link: Link,
    to: ServerAddress,
    /// Requests without an answer so far, the oldest first.
    pending: VecDeque<PendingRequest>,
    /// The time for which the server knows the ids of messages; `None` of an older one.
    retry_window: Option<Duration>,
    /// Whether the server says who is on a channel.
    has_presence: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PendingRequest {
    /// LIST, to find the channel.
    Where,
    /// LIST, to show the channels.
    List,
    /// JOIN after the id `since`, or with the last messages. `skips`: the last messages instead of all missed ones.
    Join {
        since: Option<u64>,
        skips: bool,
    },
    /// LEAVE, to skip messages until the channel is joined again, or to join it under another name.
    Leave,
    Message(OwnId),
    History,
    Who,
}

/// Progress of the stored messages since the channel was joined.
#[derive(Debug)]
struct Reading {
    since: Time,
    /// The message that must come first, if the history is still the same.
    anchor: Option<StoredMessage>,
    /// The id of the last message shown before. Messages up to it are not shown again.
    shown: u64,
    /// The id of the last message that was stored when the channel was joined.
    last_earlier: u64,
    skipping: Skipping,
}

/// Whether messages are skipped, so that the screen can catch up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skipping {
    No,
    /// None is skipped, and the channel is being left to be joined again under another name.
    Renaming,
    /// The channel is being left.
    Leaving,
    /// The channel is left, until it is joined again.
    Left,
}

impl Session {
    /// Starts a chat on this channel. The seed is for jitter alone.
    pub(super) fn new(tracker: ServerAddress, channel: ChannelName, options: Options, seed: u64) -> Self {
        let mut session = Self {
            tracker,
            options,
            outputs: VecDeque::new(),
            links: 0,
            backoff: Backoff::new(seed),
            resume_at: None,
            room: None,
            left: None,
            phase: Phase::Out,
            listing: None,
            listed: Vec::new(),
            asking: None,
            pastes: Pastes::default(),
            former_name: None,
            is_renaming: false,
            behind: false,
            leaving: None,
            joined_once: false,
            unsettled: false,
            over: false,
        };
        session.enter(channel);
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
        let retry = match self.phase {
            Phase::Waiting { until } => Some(until),
            _ => None,
        };
        [retry, self.resume_at, self.leaving].into_iter().flatten().min()
    }

    /// Returns whether to read further lines: not while many messages are waiting.
    pub(super) fn wants_input(&self) -> bool {
        self.leaving.is_none() && self.room.as_ref().is_none_or(|room| room.outbox.waiting() < 256)
    }

    /// Handles a connection that was made.
    pub(super) fn handle_connected(&mut self, link: Link) {
        if self.listing == Some(link) {
            self.outputs.push_back(Output::Send { link, request: Request::List });
            return;
        }
        match &mut self.phase {
            Phase::Looking(connection) if connection.link == link => {
                connection.ask(&mut self.outputs, PendingRequest::Where, Request::List)
            }
            // It joins when the host has answered HELLO.
            _ => {}
        }
    }

    /// Handles the server's answer to HELLO.
    pub(super) fn handle_hello(&mut self, link: Link, hello: Option<Hello>) {
        if let Phase::Looking(connection) | Phase::Joining(connection) = &mut self.phase
            && connection.link == link
        {
            connection.has_presence = hello.as_ref().is_some_and(|hello| hello.has(Hello::PRESENCE));
            let hello = hello.filter(|hello| hello.has(Hello::CLIENT_MESSAGE_ID));
            connection.retry_window = hello.and_then(|hello| hello.retry_window).map(Duration::from_secs);
            if matches!(&self.phase, Phase::Joining(connection) if connection.pending.is_empty()) {
                self.join();
            }
        }
    }

    /// Handles an event of a connection.
    pub(super) fn handle_event(&mut self, now: Time, link: Link, event: ClientEvent) {
        if self.listing == Some(link) {
            return self.listed(event);
        }
        let (Phase::Looking(connection) | Phase::Joining(connection) | Phase::Live(connection, _)) = &mut self.phase
        else {
            return;
        };
        if connection.link != link {
            return;
        }
        match event {
            ClientEvent::Answer { response, .. } => match connection.pending.pop_front() {
                Some(PendingRequest::Where) => self.found(now, response),
                Some(PendingRequest::Join { since, skips }) => self.joined(now, since, skips, response),
                Some(PendingRequest::Leave) => self.left(),
                Some(PendingRequest::Message(number)) => self.answered(now, number, response),
                Some(PendingRequest::List) => {
                    let of = connection.to.clone();
                    self.show_channels(of, response);
                }
                Some(PendingRequest::History) => self.show_history(response),
                Some(PendingRequest::Who) => self.show_who(response),
                None => {}
            },
            ClientEvent::Push(message) => self.pushed(message),
            ClientEvent::Notice(Notice::Presence(presence)) => self.people_changed(presence),
            // Other notices are not known, and the rest is reported with the end of the connection.
            ClientEvent::Notice(_) | ClientEvent::Closing(_) | ClientEvent::Broken(_) | ClientEvent::Ended { .. } => {}
        }
        self.settle(now);
    }

    /// Handles a connection that could not be made or has ended.
    pub(super) fn handle_lost(&mut self, now: Time, link: Link, lost: Lost) {
        if self.listing == Some(link) {
            self.listing = None;
            self.trouble(format!("{}: {}", self.tracker, lost.reason));
            return;
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Out);
        if let Phase::Looking(connection) | Phase::Joining(connection) = &phase
            && connection.link == link
            && let Some(pin) = lost.untrusted
            && self.ask_for_trust(Untrusted { to: connection.to.clone(), pin })
        {
            return;
        }
        if let Phase::Looking(connection) | Phase::Joining(connection) = &phase
            && connection.link == link
            && lost.is_final
        {
            let reason = Some(format!("{}: {}", connection.to, lost.reason));
            return self.end(Verdict { code: 1, reason });
        }
        match phase {
            Phase::Looking(connection) if connection.link == link => self.tracker_failed(now, lost.reason),
            Phase::Joining(connection) if connection.link == link => {
                self.try_again(now, format!("{}: {}", connection.to, lost.reason), 1, lost.retry_after)
            }
            Phase::Live(connection, reading) if connection.link == link => {
                if now.since(reading.since) >= HELD {
                    self.backoff.reset();
                }
                self.try_again(now, format!("{}: {}", connection.to, lost.reason), 1, lost.retry_after);
            }
            // The connection was abandoned.
            phase => self.phase = phase,
        }
        self.settle(now);
    }

    /// Handles a timeout; early calls do nothing.
    pub(super) fn handle_timeout(&mut self, now: Time) {
        if self.leaving.is_some_and(|at| at <= now) {
            return self.quit();
        }
        if matches!(self.phase, Phase::Waiting { until } if until <= now) {
            self.find_host();
        }
        if self.resume_at.is_some_and(|at| at <= now) {
            self.resume_at = None;
            self.settle(now);
        }
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
        self.settle(now);
    }

    /// Handles input that cannot be sent.
    pub(super) fn handle_unreadable(&mut self, reason: &str) {
        self.unsettled = true;
        self.trouble(format!("not sent: {reason}"));
    }

    /// Completes the text before the cursor.
    pub(super) fn complete(&self, before: &str) -> Completion {
        let names = self.room.iter().flat_map(|room| room.names.iter());
        complete(before, names.filter(|name| *name != &*self.options.user), self.listed.iter().map(ChannelName::as_str))
    }

    fn answered(&mut self, now: Time, number: OwnId, response: Response) {
        let Some(room) = &mut self.room else { return };
        match response {
            Response::Error(error) if error.blame == Blame::Request => {
                if let Some(text) = room.outbox.answered(number) {
                    self.unsettled = true;
                    self.trouble(format!("not sent: {text} ({error})"));
                }
            }
            Response::Error(error) => match room.outbox.failed(number) {
                Some(text) => {
                    self.trouble(error.to_string());
                    self.give_up([text]);
                }
                None => {
                    if self.resume_at.is_none() {
                        self.resume_at = Some(now.after(self.backoff.wait(None)));
                        self.trouble(format!("{error} (trying again)"));
                    }
                }
            },
            _ => {
                self.backoff.reset();
                room.outbox.answered(number);
            }
        }
    }

    fn pushed(&mut self, message: StoredMessage) {
        let (Phase::Live(_, reading), Some(room)) = (&mut self.phase, &mut self.room) else { return };
        if !matches!(reading.skipping, Skipping::No | Skipping::Renaming) || message.id <= reading.shown {
            return;
        }
        match reading.anchor.take() {
            Some(anchor) if anchor == message => return,
            // It was deleted meanwhile, and the record of that follows.
            Some(anchor) if message.deleted && anchor.clone().tombstone() == message => return,
            Some(_) => self.outputs.push_back(Output::Show(Shown::Trouble(
                "the channel has other messages than before; here they are as they are now".into(),
            ))),
            None => {}
        }
        room.known = Some(Known { id: message.id, message: Some(message.clone()) });
        room.oldest.get_or_insert(message.id);
        room.names.said(&message.username);
        let is_new = message.id > reading.last_earlier;
        let mention = self.mention(&message, is_new);
        self.outputs.push_back(Output::Show(Shown::Message(message, mention)));
    }

    /// Does what has become possible: sends, asks, and leaves.
    fn settle(&mut self, now: Time) {
        if self.over {
            return;
        }
        self.queue_pasted();
        if let (Phase::Live(connection, _), Some(room), None) = (&mut self.phase, &mut self.room, self.resume_at) {
            let window = connection.retry_window;
            let lost = room.outbox.take_unrepeatable(now, &connection.to, window);
            while let Some(next) = room.outbox.send_next(now, &connection.to, window) {
                let NextMessage { number, id, username, text } = next;
                let message = Message {
                    username,
                    message_content: text,
                    channel_name: Some(room.name.clone()),
                    client_message_id: id,
                };
                connection.ask(&mut self.outputs, PendingRequest::Message(number), Request::Message(message));
            }
            self.give_up(lost);
        }
        self.ask_about_a_paste();
        let waits = self.waiting() > 0;
        if self.leaving.is_some_and(|at| at <= now || !waits && self.has_begun()) {
            self.quit();
        }
    }

    /// Shows the messages that may be stored, and that cannot be sent again without being stored twice.
    fn give_up(&mut self, texts: impl IntoIterator<Item = String>) {
        for text in texts {
            self.unsettled = true;
            self.trouble(format!("maybe sent: {text} (whether it was stored is not known; it is not sent again)"));
        }
    }

    /// Counts the messages that wait for the connection or for an answer.
    fn waiting(&self) -> usize {
        self.pastes.to_send() + self.room.as_ref().map_or(0, |room| room.outbox.waiting())
    }

    /// Returns whether the channel was found, or there is a user who sees whether it is.
    const fn has_begun(&self) -> bool {
        self.joined_once || self.options.interactive
    }

    /// Leaves the channel, and shows the unsettled messages. Returns the room if it was joined.
    fn leave(&mut self) -> Option<Room> {
        self.hang_up();
        self.phase = Phase::Out;
        if self.asking.take().is_some() {
            self.outputs.push_back(Output::Asking(false));
        }
        self.drop_pastes();
        let room = self.room.take()?;
        (self.resume_at, self.is_renaming) = (None, false);
        let (unsent, unanswered) = room.outbox.unsettled();
        self.unsettled |= room.outbox.waiting() > 0;
        let lines = unsent.into_iter().map(|text| format!("not sent: {text}"));
        for line in lines.chain(unanswered.into_iter().map(|text| format!("no answer came: {text}"))) {
            self.outputs.push_back(Output::Show(Shown::Trouble(line)));
        }
        room.host.is_some().then(|| Room { outbox: Outbox::default(), shown_reason: None, ..room })
    }

    fn quit(&mut self) {
        self.leave();
        if let Some(link) = self.listing.take() {
            self.outputs.push_back(Output::Close { link });
        }
        // An interactive user has seen it.
        let failed = self.unsettled && !self.options.interactive;
        let reason = failed.then(|| "not every message was surely sent, see above".to_owned());
        self.end(Verdict { code: u8::from(reason.is_some()), reason });
    }

    fn end(&mut self, verdict: Verdict) {
        self.hang_up();
        self.phase = Phase::Out;
        self.leaving = None;
        self.over = true;
        self.outputs.push_back(Output::Quit(verdict));
    }

    /// Gives up the connection, if there is one.
    fn hang_up(&mut self) {
        if let Phase::Looking(connection) | Phase::Joining(connection) | Phase::Live(connection, _) = &self.phase {
            self.outputs.push_back(Output::Close { link: connection.link });
        }
    }

    fn connect(&mut self, to: ServerAddress) -> ServerConnection {
        let link = self.new_link();
        self.outputs.push_back(Output::Connect { link, to: to.clone() });
        ServerConnection { link, to, pending: VecDeque::new(), retry_window: None, has_presence: false }
    }

    const fn new_link(&mut self) -> Link {
        self.links += 1;
        Link(self.links)
    }

    fn note(&mut self, text: impl Into<String>) {
        self.outputs.push_back(Output::Show(Shown::Note(text.into())));
    }

    fn trouble(&mut self, text: impl Into<String>) {
        self.outputs.push_back(Output::Show(Shown::Trouble(text.into())));
    }
}

impl ServerConnection {
    fn ask(&mut self, outputs: &mut VecDeque<Output>, request_kind: PendingRequest, request: Request) {
        self.pending.push_back(request_kind);
        outputs.push_back(Output::Send { link: self.link, request });
    }
}

/// Formats a count: `1 message`, `2 messages`.
fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

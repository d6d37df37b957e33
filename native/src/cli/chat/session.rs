//! A chat as a state machine without I/O: typed lines, events of connections and time go in; connections to make,
//! requests to send and lines to show come out.

mod commands;
mod joining;
mod pastes;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use chanwire_core::{
    Time,
    endpoint::ClientEvent,
    wire::{Blame, Channel, ChannelName, Message, Request, Response, StoredMessage, Username},
};

use pastes::Pastes;

use super::outbox::{Maybe, Outbox, OwnId};
use crate::{client::Backoff, server_address::ServerAddress};

/// Messages that are shown when a channel is joined, and by `/history`.
pub(super) const PAGE: u16 = 20;

/// Time for the last answers once the user leaves.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

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
    Message(StoredMessage),
    Channels {
        of: ServerAddress,
        channels: Vec<Channel>,
    },
    /// Information.
    Note(String),
    /// A problem.
    Trouble(String),
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
    /// Whether the server certainly carries out no more of the requests, because it ended the connection itself and not
    /// because of a request.
    pub(super) ended_by_server: bool,
    /// The time after which the server asked to come back.
    pub(super) retry_after: Option<Duration>,
    pub(super) reason: String,
}

/// A chat on one channel at a time.
#[derive(Debug)]
pub(super) struct Session {
    tracker: ServerAddress,
    user: Username,
    /// Whether there is a user to answer questions.
    interactive: bool,
    outputs: VecDeque<Output>,
    links: u64,
    backoff: Backoff,
    room: Option<Room>,
    /// The previous channel, until the next one is joined.
    left: Option<Room>,
    phase: Phase,
    /// A separate connection to the tracker for `/list`.
    listing: Option<Link>,
    asking: Option<Question>,
    pastes: Pastes,
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
    /// Whether to send a message again.
    Again(OwnId),
    /// Whether to send the lines that were pasted.
    Paste,
}

/// A channel that the user wants to be on.
#[derive(Debug)]
struct Room {
    name: ChannelName,
    /// The server at which it was last joined.
    host: Option<ServerAddress>,
    /// The last known message.
    known: Option<Known>,
    /// The id of the oldest message that was shown.
    oldest: Option<u64>,
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
    /// LEAVE, to skip messages until the channel is joined again.
    Leave,
    Message(OwnId),
    History,
}

/// Progress of the stored messages since the channel was joined.
#[derive(Debug)]
struct Reading {
    since: Time,
    /// The id of the last message stored when it was joined.
    end: u64,
    /// Whether all messages up to `end` have been received.
    done: bool,
    /// Whether the outbox has decided which messages to send again.
    decided: bool,
    /// Whether no message was missed since it was last joined.
    complete: bool,
    /// The message that must come first, if the history is still the same.
    anchor: Option<StoredMessage>,
    /// The id of the last message shown before. Messages up to it are not shown again.
    shown: u64,
    skipping: Skipping,
}

/// Whether messages are skipped, so that the screen can catch up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skipping {
    No,
    /// The channel is being left.
    Leaving,
    /// The channel is left, until it is joined again.
    Left,
}

impl Session {
    /// Starts a chat on this channel. The seed is for jitter alone.
    pub(super) fn new(
        tracker: ServerAddress,
        user: Username,
        channel: ChannelName,
        interactive: bool,
        seed: u64,
    ) -> Self {
        let mut session = Self {
            tracker,
            user,
            interactive,
            outputs: VecDeque::new(),
            links: 0,
            backoff: Backoff::new(seed),
            room: None,
            left: None,
            phase: Phase::Out,
            listing: None,
            asking: None,
            pastes: Pastes::default(),
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
        [retry, self.leaving].into_iter().flatten().min()
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
            Phase::Joining(connection) if connection.link == link => self.join(),
            _ => {}
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
                Some(PendingRequest::Message(id)) => self.answered(id, response),
                Some(PendingRequest::List) => {
                    let of = connection.to.clone();
                    self.show_channels(of, response);
                }
                Some(PendingRequest::History) => self.show_history(response),
                None => {}
            },
            ClientEvent::Push(message) => self.pushed(message),
            // Reported with the end of the connection.
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
        match std::mem::replace(&mut self.phase, Phase::Out) {
            Phase::Looking(connection) if connection.link == link => self.tracker_failed(now, lost.reason),
            Phase::Joining(connection) if connection.link == link => {
                self.try_again(now, format!("{}: {}", connection.to, lost.reason), 1, lost.retry_after)
            }
            Phase::Live(connection, reading) if connection.link == link => {
                if now.since(reading.since) >= HELD {
                    self.backoff.reset();
                }
                if let Some(room) = &mut self.room {
                    room.outbox.lost(lost.ended_by_server);
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
        if self.interactive {
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

    fn answered(&mut self, id: OwnId, response: Response) {
        let Some(room) = &mut self.room else { return };
        match response {
            Response::Error(error) if error.blame == Blame::Request => {
                if let Some(text) = room.outbox.refused(id) {
                    self.unsettled = true;
                    self.trouble(format!("not sent: {text} ({error})"));
                }
            }
            Response::Error(error) => {
                room.outbox.failed(id);
                self.trouble(error.to_string());
            }
            Response::Delivered { timestamp } => room.outbox.delivered(id, timestamp),
            // The endpoint accepts no other answer to a MESSAGE.
            _ => {}
        }
    }

    fn pushed(&mut self, message: StoredMessage) {
        let (Phase::Live(_, reading), Some(room)) = (&mut self.phase, &mut self.room) else { return };
        if reading.end <= message.id {
            reading.done = true;
        }
        if reading.skipping != Skipping::No || message.id <= reading.shown {
            return;
        }
        match reading.anchor.take() {
            Some(anchor) if anchor == message => return,
            Some(_) => {
                reading.complete = false;
                self.outputs.push_back(Output::Show(Shown::Trouble(
                    "the channel has other messages than before; here they are as they are now".into(),
                )));
            }
            None => {}
        }
        let is_new = reading.complete || reading.end < message.id;
        let maybe = if message.username == self.user { room.outbox.pushed(&message, is_new) } else { None };
        room.known = Some(Known { id: message.id, message: Some(message.clone()) });
        room.oldest.get_or_insert(message.id);
        self.outputs.push_back(Output::Show(Shown::Message(message)));
        if maybe.is_some_and(|id| self.asking == Some(Question::Again(id))) {
            // The same words under the same name may be another user's, so the question stays.
            self.note("this may be the one");
        }
    }

    /// Does what has become possible: decides on what was lost, sends, asks, and leaves.
    fn settle(&mut self, now: Time) {
        if self.over {
            return;
        }
        self.queue_pasted();
        if let (Phase::Live(connection, reading), Some(room)) = (&mut self.phase, &mut self.room)
            && reading.done
        {
            if !reading.decided {
                reading.decided = true;
                room.outbox.read_again(reading.complete);
            }
            let known = room.known.as_ref().map_or(0, |known| known.id);
            while let Some((id, text)) = room.outbox.send_next(known) {
                let message = Message {
                    username: self.user.clone(),
                    message_content: text,
                    channel_name: Some(room.name.clone()),
                };
                connection.ask(&mut self.outputs, PendingRequest::Message(id), Request::Message(message));
            }
        }
        self.ask_about_the_next();
        let waits = self.waiting() > 0;
        if self.leaving.is_some_and(|at| at <= now || !waits && self.has_begun()) {
            self.quit();
        }
    }

    /// Counts the messages that wait for the connection or for an answer.
    fn waiting(&self) -> usize {
        self.pastes.to_send() + self.room.as_ref().map_or(0, |room| room.outbox.waiting())
    }

    /// Returns whether the channel was found, or there is a user who sees whether it is.
    const fn has_begun(&self) -> bool {
        self.joined_once || self.interactive
    }

    fn ask_about_the_next(&mut self) {
        let Some(room) = &mut self.room else { return };
        if matches!(self.asking, Some(Question::Again(id)) if !room.outbox.is_maybe(id)) {
            self.asking = None;
            self.outputs.push_back(Output::Asking(false));
            self.outputs.push_back(Output::Show(Shown::Note("it was sent, as is seen now".into())));
        }
        while self.asking.is_none()
            && let Some(Maybe { id, text, has_come }) = room.outbox.first_maybe()
        {
            let reason = match has_come {
                true => "one of these words has come under this name, and whether it is this one is not known",
                false => "whether it was stored is not known",
            };
            if self.interactive && self.leaving.is_none() {
                let question = format!("maybe sent: {text} ({reason}) - send it again? y/n");
                self.asking = Some(Question::Again(id));
                self.outputs.push_back(Output::Show(Shown::Trouble(question)));
                self.outputs.push_back(Output::Asking(true));
                return;
            }
            let words = format!("maybe sent: {text} ({reason}; it is not sent again)");
            self.outputs.push_back(Output::Show(Shown::Trouble(words)));
            self.unsettled = true;
            room.outbox.discard(id);
        }
        self.ask_about_a_paste();
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
        let (unsent, maybe) = room.outbox.unsettled();
        self.unsettled |= !unsent.is_empty() || !maybe.is_empty();
        let lines = unsent.into_iter().map(|text| format!("not sent: {text}"));
        for line in lines.chain(maybe.into_iter().map(|text| format!("maybe sent: {text}"))) {
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
        let failed = self.unsettled && !self.interactive;
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
        ServerConnection { link, to, pending: VecDeque::new() }
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

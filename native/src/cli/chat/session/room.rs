//! One channel of a chat, with its connection, its unsettled messages and the messages that were loaded.

mod deleting;
mod joining;
mod log;
mod naming;
mod pastes;
mod people;
mod reading;

use std::{collections::VecDeque, mem, time::Duration};

use chanwire_core::{
    Time,
    endpoint::ClientEvent,
    wire::{Blame, ChannelName, Hello, Message, Notice, Request, Response, StoredMessage, Username},
};

use super::{
    Link, Lost, Options, Output, RoomId, Shown, Untrusted,
    commands::{channels_of, names_of},
    count,
};
use crate::{
    cli::chat::outbox::{NextMessage, Outbox, OwnId},
    client::Backoff,
    server_address::ServerAddress,
};
use joining::PendingJoin;
use log::Log;
use naming::Naming;
use pastes::Pastes;
use people::Names;
use reading::Unread;

/// Messages that are shown when a channel is joined, and by `/history`.
pub(in crate::cli::chat) const PAGE: u16 = 20;

/// A connection that held this long was a good one: the next wait is the shortest again.
pub(super) const HELD: Duration = Duration::from_secs(10);

/// Messages that wait before no further ones are taken.
pub(super) const QUEUED: usize = 256;

/// A channel that the user wants to be on.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: RoomId,
    pub(super) name: ChannelName,
    tracker: ServerAddress,
    pub(super) options: Options,
    /// Outputs that the session has not taken.
    pub(super) outputs: VecDeque<Output>,
    links: u64,
    backoff: Backoff,
    /// The time until which messages wait after the server has failed to store one.
    resume_at: Option<Time>,
    pub(super) phase: Phase,
    /// The server at which it was last joined.
    host: Option<ServerAddress>,
    /// The address on the tracker's list, while it is joined through the tracker's Unix socket.
    listed: Option<ServerAddress>,
    /// The last known message.
    known: Option<Known>,
    /// The id of the oldest message that was shown.
    oldest: Option<u64>,
    log: Log,
    /// Whether its messages are shown as they come. Otherwise they wait in the log.
    is_shown: bool,
    pub(super) unread: Unread,
    pub(super) names: Names,
    pub(super) naming: Naming,
    pub(super) outbox: Outbox,
    pub(super) pastes: Pastes,
    /// The last shown reason for not being joined.
    shown_reason: Option<String>,
    /// Whether the screen lags, so that joining again skips messages.
    behind: bool,
    /// The channels that the tracker listed, until the session takes them.
    pub(super) found: Option<Vec<ChannelName>>,
    /// The reason for which it cannot be joined. The session removes it then.
    pub(super) failure: Option<Failure>,
    /// Whether a message was not surely sent.
    pub(super) unsettled: bool,
    /// The time at which it is left even without all answers, once the user has left it.
    pub(super) leaving: Option<Time>,
}

/// The reason for which a channel cannot be joined.
#[derive(Debug)]
pub(super) struct Failure {
    /// The exit code of a chat that ends with it.
    pub(super) code: u8,
    pub(super) reason: String,
}

/// A position in a channel's messages.
#[derive(Debug)]
struct Known {
    id: u64,
    /// The message of that id, which identifies the history when joining again.
    message: Option<StoredMessage>,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// It failed or was left.
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
pub(super) struct ServerConnection {
    link: Link,
    pub(super) to: ServerAddress,
    /// Requests without an answer so far, the oldest first.
    pending: VecDeque<PendingRequest>,
    /// The time for which the server knows the ids of messages; `None` of an older one.
    retry_window: Option<Duration>,
    /// Whether the server says who is on a channel.
    has_presence: bool,
    /// The name under which the channel was joined last on it, if one was given.
    joined_as: Option<Username>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PendingRequest {
    /// LIST, to find the channel.
    Where,
    /// LIST, to show the channels.
    List,
    Join(PendingJoin),
    /// LEAVE, to skip messages until the channel is joined again, or to join it under another name.
    Leave,
    Message(OwnId),
    History,
    /// HISTORY before an id, to read back.
    Older(u64),
    Delete(u64),
    Who,
}

/// Progress of the stored messages since the channel was joined.
#[derive(Debug)]
pub(super) struct Reading {
    since: Time,
    /// The message that must come first, if the history is still the same.
    anchor: Option<StoredMessage>,
    /// The id of the last message shown before. Messages up to it are not shown again.
    shown: u64,
    /// The id of the last message that was stored when the channel was joined.
    last_earlier: u64,
    /// Whether it was joined before, so that those messages are news, too.
    again: bool,
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

impl Room {
    /// Begins to join a channel. The seed is for jitter alone.
    pub(super) fn new(id: RoomId, tracker: ServerAddress, name: ChannelName, options: Options, seed: u64) -> Self {
        let mut room = Self {
            id,
            name,
            tracker,
            options,
            outputs: VecDeque::new(),
            links: 0,
            backoff: Backoff::new(seed),
            resume_at: None,
            phase: Phase::Out,
            host: None,
            listed: None,
            known: None,
            oldest: None,
            log: Log::default(),
            is_shown: true,
            unread: Unread::default(),
            names: Names::default(),
            naming: Naming::default(),
            outbox: Outbox::default(),
            pastes: Pastes::default(),
            shown_reason: None,
            behind: false,
            found: None,
            failure: None,
            unsettled: false,
            leaving: None,
        };
        room.find_host();
        room
    }

    /// Returns the time at which to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let retry = match self.phase {
            Phase::Waiting { until } => Some(until),
            _ => None,
        };
        [retry, self.resume_at, self.leaving].into_iter().flatten().min()
    }

    /// Returns whether it is joined now.
    pub(super) const fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live(..))
    }

    /// Returns whether it was ever joined.
    pub(super) const fn was_joined(&self) -> bool {
        self.host.is_some()
    }

    /// Handles a connection that was made.
    pub(super) fn handle_connected(&mut self, link: Link) {
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
                Some(PendingRequest::Join(join)) => self.joined(now, join, response),
                Some(PendingRequest::Leave) => self.left(),
                Some(PendingRequest::Message(number)) => self.answered(now, number, response),
                Some(PendingRequest::List) => {
                    if let Response::Channels(channels) = &response {
                        self.found = Some(names_of(channels));
                    }
                    self.outputs.extend(channels_of(connection.to.clone(), response).map(Output::Show));
                }
                Some(PendingRequest::History) => self.show_history(response),
                Some(PendingRequest::Older(before)) => self.show_older(before, response),
                Some(PendingRequest::Delete(id)) => self.deleted(id, response),
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
        match mem::replace(&mut self.phase, Phase::Out) {
            Phase::Looking(connection) | Phase::Joining(connection)
                if connection.link == link && lost.untrusted.is_some() =>
            {
                if let Some(pin) = lost.untrusted {
                    self.phase = Phase::Untrusted(Untrusted { to: connection.to, pin });
                }
            }
            Phase::Looking(connection) | Phase::Joining(connection) if connection.link == link && lost.is_final => {
                self.report_unanswered(connection.pending, &lost.reason);
                self.fail(format!("{}: {}", connection.to, lost.reason), 1);
            }
            Phase::Looking(connection) if connection.link == link => self.tracker_failed(now, lost.reason),
            Phase::Joining(connection) if connection.link == link => {
                self.report_unanswered(connection.pending, &lost.reason);
                self.try_again(now, format!("{}: {}", connection.to, lost.reason), 1, lost.retry_after)
            }
            Phase::Live(connection, reading) if connection.link == link => {
                self.report_unanswered(connection.pending, &lost.reason);
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
        if matches!(self.phase, Phase::Waiting { until } if until <= now) {
            self.find_host();
        }
        if self.resume_at.is_some_and(|at| at <= now) {
            self.resume_at = None;
            self.settle(now);
        }
    }

    /// Sends a text, once there is a connection.
    pub(super) fn say(&mut self, now: Time, text: &str) {
        self.queue(text.into());
        if self.options.interactive && !self.is_live() {
            self.note(format!("kept until there is a connection: {text}"));
        }
        self.settle(now);
    }

    /// Requests the channels, if it is connected to the tracker. Returns whether it is.
    pub(super) fn list(&mut self) -> bool {
        match &mut self.phase {
            Phase::Live(connection, _) if connection.to.same_place(&self.tracker) => {
                connection.ask(&mut self.outputs, PendingRequest::List, Request::List);
                true
            }
            _ => false,
        }
    }

    fn answered(&mut self, now: Time, number: OwnId, response: Response) {
        match response {
            Response::Error(error) if error.blame == Blame::Request => {
                if let Some(text) = self.outbox.answered(number) {
                    self.unsettled = true;
                    self.trouble(format!("not sent: {text} ({error})"));
                }
            }
            Response::Error(error) => match self.outbox.failed(number) {
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
                self.outbox.answered(number);
            }
        }
    }

    fn pushed(&mut self, message: StoredMessage) {
        let Phase::Live(_, reading) = &mut self.phase else { return };
        if !matches!(reading.skipping, Skipping::No | Skipping::Renaming) || message.id <= reading.shown {
            return;
        }
        let is_new = message.id > reading.last_earlier;
        let is_news = is_new || reading.again;
        match reading.anchor.take() {
            Some(anchor) if anchor == message => return,
            // It was deleted meanwhile, and the record of that follows.
            Some(anchor) if message.deleted && anchor.clone().tombstone() == message => return,
            Some(_) => {
                self.drop_log();
                self.trouble("the channel has other messages than before; here they are as they are now");
            }
            None => {}
        }
        self.known = Some(Known { id: message.id, message: Some(message.clone()) });
        self.names.said(&message.username);
        let mention = self.mention(&message, is_new);
        let is_news = is_news && !self.is_own(&message);
        self.came(message, mention, is_news);
    }

    /// Sends what can be sent now.
    pub(super) fn settle(&mut self, now: Time) {
        self.queue_pasted();
        if let (Phase::Live(connection, _), None) = (&mut self.phase, self.resume_at) {
            let window = connection.retry_window;
            let lost = self.outbox.take_unrepeatable(now, &connection.to, window);
            while let Some(next) = self.outbox.send_next(now, &connection.to, window) {
                let NextMessage { number, id, username, text } = next;
                let message = Message {
                    username,
                    message_content: text,
                    channel_name: Some(self.name.clone()),
                    client_message_id: id,
                };
                connection.ask(&mut self.outputs, PendingRequest::Message(number), Request::Message(message));
            }
            self.give_up(lost);
        }
    }

    /// Shows the messages that may be stored, and that cannot be sent again without being stored twice.
    fn give_up(&mut self, texts: impl IntoIterator<Item = String>) {
        for text in texts {
            self.unsettled = true;
            self.trouble(format!("maybe sent: {text} (whether it was stored is not known; it is not sent again)"));
        }
    }

    /// Counts the messages that wait for the connection or for an answer, and those that are being deleted.
    pub(super) fn waiting(&self) -> usize {
        let deletions = match &self.phase {
            Phase::Joining(connection) | Phase::Live(connection, _) => {
                connection.pending.iter().filter(|request| matches!(request, PendingRequest::Delete(_))).count()
            }
            _ => 0,
        };
        self.pastes.to_send() + self.outbox.waiting() + deletions
    }

    /// Returns whether nothing more is to be waited for, once the user has left it.
    pub(super) fn is_done(&self, now: Time) -> bool {
        self.waiting() == 0 || self.leaving.is_some_and(|at| at <= now)
    }

    /// Leaves the channel, and shows the unsettled messages.
    pub(super) fn leave(&mut self) {
        self.hang_up();
        self.phase = Phase::Out;
        self.drop_pastes();
        let (unsent, unanswered) = self.outbox.unsettled();
        self.unsettled |= self.outbox.waiting() > 0;
        let lines = unsent.into_iter().map(|text| format!("not sent: {text}"));
        let lines: Vec<_> = lines.chain(unanswered.into_iter().map(|text| format!("no answer came: {text}"))).collect();
        lines.into_iter().for_each(|line| self.trouble(line));
    }

    /// Gives the channel up for a reason that will not pass.
    fn fail(&mut self, reason: String, code: u8) {
        self.leave();
        self.failure = Some(Failure { code, reason });
    }

    /// Gives up the connection, if there is one.
    fn hang_up(&mut self) {
        if let Phase::Looking(connection) | Phase::Joining(connection) | Phase::Live(connection, _) = &mut self.phase {
            self.outputs.push_back(Output::Close { link: connection.link });
            let pending = mem::take(&mut connection.pending);
            self.report_unanswered(pending, "the connection was given up");
        }
    }

    /// Reports the requests of a connection that is gone for whose answers the user waits.
    fn report_unanswered(&mut self, pending: VecDeque<PendingRequest>, reason: &str) {
        for request in pending {
            match request {
                PendingRequest::Older(before) => self.no_older(before, reason.into()),
                PendingRequest::Delete(id) => {
                    self.trouble(format!("whether message {id} is deleted is not known: no answer came"));
                }
                _ => {}
            }
        }
    }

    fn connect(&mut self, to: ServerAddress) -> ServerConnection {
        self.links += 1;
        let link = Link { room: self.id, number: self.links };
        self.outputs.push_back(Output::Connect { link, to: to.clone() });
        ServerConnection {
            link,
            to,
            pending: VecDeque::new(),
            retry_window: None,
            has_presence: false,
            joined_as: None,
        }
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        let text = self.titled(text.into());
        self.outputs.push_back(Output::Show(Shown::Note(text)));
    }

    pub(super) fn trouble(&mut self, text: impl Into<String>) {
        let text = self.titled(text.into());
        self.outputs.push_back(Output::Show(Shown::Trouble(text)));
    }

    /// Puts the channel's name before a text, while another channel is shown.
    fn titled(&self, text: String) -> String {
        if self.is_shown { text } else { format!("{}: {text}", self.name) }
    }
}

impl ServerConnection {
    fn ask(&mut self, outputs: &mut VecDeque<Output>, request_kind: PendingRequest, request: Request) {
        self.pending.push_back(request_kind);
        outputs.push_back(Output::Send { link: self.link, request });
    }
}

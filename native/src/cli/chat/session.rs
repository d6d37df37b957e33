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
    wire::{Blame, Channel, Message, Request, Response, StoredMessage},
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

/// A connection that the session asked for. Events of one that it has given up are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Link(u64);

/// An action that the session wants carried out.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Output {
    /// Connect, then call [`Session::handle_connected`] or [`Session::handle_lost`].
    Connect { link: Link, to: ServerAddress },
    /// Send this request.
    Send { link: Link, request: Request },
    /// Close after the last answer. Nothing of it need be reported.
    Close { link: Link },
    /// Show this.
    Show(Shown),
    /// The next line answers a question, or no longer does.
    Asking(bool),
    /// It is over.
    Quit(Verdict),
}

/// Output for the user. Its text is as others sent it, and is escaped where it is shown.
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
    /// Why, unless all is well.
    pub(super) why: Option<String>,
}

/// The loss of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// Whether the server certainly carries out nothing more of what it was sent: it ended the connection, and not
    /// because of a request.
    pub(super) ended_by_server: bool,
    pub(super) reason: String,
}

/// A chat on one channel at a time.
#[derive(Debug)]
pub(super) struct Session {
    tracker: ServerAddress,
    user: String,
    /// Whether there is a user who can be asked.
    interactive: bool,
    outputs: VecDeque<Output>,
    links: u64,
    backoff: Backoff,
    room: Option<Room>,
    /// The channel that was left for another one, until that is joined.
    left: Option<Room>,
    phase: Phase,
    /// A connection to the tracker for `/list` alone.
    listing: Option<Link>,
    asking: Option<Question>,
    pastes: Pastes,
    /// The screen does not keep up: messages are skipped where the channel is joined anew.
    behind: bool,
    /// The time at which it ends, even if answers are missing.
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
    name: String,
    /// The server at which it was joined last.
    host: Option<ServerAddress>,
    /// The last of its messages that is known.
    known: Option<Known>,
    /// The id of the oldest message that was shown.
    oldest: Option<u64>,
    outbox: Outbox,
    /// The reason why it is not joined, as it was shown last.
    shown_reason: Option<String>,
}

/// A position in a channel's messages.
#[derive(Debug)]
struct Known {
    id: u64,
    /// The message of that id, by which the same history is known again.
    message: Option<StoredMessage>,
}

#[derive(Debug)]
enum Phase {
    /// No channel is wanted.
    Out,
    /// Until it is time for another try.
    Waiting {
        until: Time,
    },
    /// The tracker is asked where the channel is.
    Looking(Line),
    /// The host is asked to let it join.
    Joining(Line),
    Live(Line, Reading),
}

/// The connection that a channel is joined, or to be joined, by.
#[derive(Debug)]
struct Line {
    link: Link,
    to: ServerAddress,
    /// Requests without an answer.
    asked: VecDeque<Asked>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// LIST, to find the channel.
    Where,
    /// LIST, to show the channels.
    List,
    /// JOIN after the id `since`, or with the last messages. With `skips` those are wanted instead of all that were
    /// missed.
    Join {
        since: Option<u64>,
        skips: bool,
    },
    /// Its messages are skipped until it is joined again.
    Leave,
    Message(OwnId),
    History,
}

/// Progress of the stored messages since the channel was joined.
#[derive(Debug)]
struct Reading {
    since: Time,
    /// The id of the last message that was stored then.
    end: u64,
    /// Whether all messages up to it have come.
    done: bool,
    /// Whether it was decided which of the user's own messages are sent again.
    decided: bool,
    /// Whether nothing was missed since the last time it was joined.
    complete: bool,
    /// The message that must come first if this is still the same history.
    anchor: Option<StoredMessage>,
    /// The last message that was shown before it was joined: those up to it are not shown again.
    shown: u64,
    skipping: Skipping,
}

/// Whether messages are skipped, so that the screen can catch up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skipping {
    No,
    /// The channel is being left.
    Leaving,
    /// None comes any more, until the channel is joined again.
    Left,
}

impl Session {
    /// Starts a chat on this channel. The seed is for jitter alone.
    pub(super) fn new(tracker: ServerAddress, user: String, channel: String, interactive: bool, seed: u64) -> Self {
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

    /// Returns whether to read further lines. It is false while many messages wait.
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
            Phase::Looking(line) if line.link == link => line.ask(&mut self.outputs, Asked::Where, Request::List),
            Phase::Joining(line) if line.link == link => self.join(),
            _ => {}
        }
    }

    /// Handles an event of a connection.
    pub(super) fn handle_event(&mut self, now: Time, link: Link, event: ClientEvent) {
        if self.listing == Some(link) {
            return self.listed(event);
        }
        let (Phase::Looking(line) | Phase::Joining(line) | Phase::Live(line, _)) = &mut self.phase else { return };
        if line.link != link {
            return;
        }
        match event {
            ClientEvent::Answer { response, .. } => match line.asked.pop_front() {
                Some(Asked::Where) => self.found(now, response),
                Some(Asked::Join { since, skips }) => self.joined(now, since, skips, response),
                Some(Asked::Leave) => self.left(),
                Some(Asked::Message(id)) => self.answered(id, response),
                Some(Asked::List) => {
                    let of = line.to.clone();
                    self.show_channels(of, response);
                }
                Some(Asked::History) => self.show_history(response),
                None => {}
            },
            ClientEvent::Push(message) => self.pushed(message),
            // The reason for an end comes with the end.
            ClientEvent::Notice(_) | ClientEvent::Broken(_) | ClientEvent::Ended { .. } => {}
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
            Phase::Looking(line) if line.link == link => self.not_found(now, lost.reason),
            Phase::Joining(line) if line.link == link => {
                self.try_again(now, format!("{}: {}", line.to, lost.reason), 1)
            }
            Phase::Live(line, reading) if line.link == link => {
                if now.since(reading.since) >= HELD {
                    self.backoff.reset();
                }
                if let Some(room) = &mut self.room {
                    room.outbox.lost(lost.ended_by_server);
                }
                self.try_again(now, format!("{}: {}", line.to, lost.reason), 1);
            }
            // Of a connection that was given up.
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
            self.look();
        }
    }

    /// Handles the end of the input: answers are waited for, but not for long.
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
    pub(super) fn handle_unreadable(&mut self, why: &str) {
        self.unsettled = true;
        self.trouble(format!("not sent: {why}"));
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
            // The endpoint takes no other answer for one to a MESSAGE.
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
        let maybe = if message.username == self.user { room.outbox.came(&message, is_new) } else { None };
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
        if let (Phase::Live(line, reading), Some(room)) = (&mut self.phase, &mut self.room)
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
                line.ask(&mut self.outputs, Asked::Message(id), Request::Message(message));
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
            let why = match has_come {
                true => "one of these words has come under this name, and whether it is this one is not known",
                false => "whether it was stored is not known",
            };
            if self.interactive && self.leaving.is_none() {
                let question = format!("maybe sent: {text} ({why}) - send it again? y/n");
                self.asking = Some(Question::Again(id));
                self.outputs.push_back(Output::Show(Shown::Trouble(question)));
                self.outputs.push_back(Output::Asking(true));
                return;
            }
            let words = format!("maybe sent: {text} ({why}; it is not sent again)");
            self.outputs.push_back(Output::Show(Shown::Trouble(words)));
            self.unsettled = true;
            room.outbox.discard(id);
        }
        self.ask_about_a_paste();
    }

    /// Leaves the channel, and shows the messages that stay open. Returns what is known of it if it was joined.
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
        let why = failed.then(|| "not every message was surely sent, see above".to_owned());
        self.end(Verdict { code: u8::from(why.is_some()), why });
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
        if let Phase::Looking(line) | Phase::Joining(line) | Phase::Live(line, _) = &self.phase {
            self.outputs.push_back(Output::Close { link: line.link });
        }
    }

    fn connect(&mut self, to: ServerAddress) -> Line {
        let link = self.new_link();
        self.outputs.push_back(Output::Connect { link, to: to.clone() });
        Line { link, to, asked: VecDeque::new() }
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

impl Line {
    fn ask(&mut self, outputs: &mut VecDeque<Output>, asked: Asked, request: Request) {
        self.asked.push_back(asked);
        outputs.push_back(Output::Send { link: self.link, request });
    }
}

/// Formats a count: `1 message`, `2 messages`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

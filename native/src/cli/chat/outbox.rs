//! The user's messages to a channel that are not settled, in the order typed.

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use chanwire_core::{
    Time,
    wire::{ClientMessageId, Username},
};

use crate::{client::is_repeatable, server_address::ServerAddress};

/// The most messages in flight.
const WINDOW: usize = 64;

/// The number of one of the user's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OwnId(u64);

/// The user's messages that are not settled.
///
/// Each has an id. A server that knows ids stores a message once, however often it is sent within the server's window,
/// so whatever was not answered is sent again, in order. An older server does not, and another server does not know the
/// id: whether the message is stored is not known then, and it is not sent again.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: VecDeque<OwnMessage>,
    next: u64,
}

#[derive(Debug)]
struct OwnMessage {
    number: OwnId,
    id: ClientMessageId,
    /// The name under which it was typed. The server knows the id of no other sender.
    username: Username,
    text: String,
    /// Whether it is sent on this connection and not answered.
    is_in_flight: bool,
    /// The first time that it was sent.
    sent: Option<Sent>,
    /// Whether the server has failed to store it.
    has_failed: bool,
}

#[derive(Debug)]
struct Sent {
    at: Time,
    /// The server, which alone knows its id.
    host: ServerAddress,
    /// Whether it was sent with its id each time.
    has_id: bool,
}

/// A message to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NextMessage {
    pub(super) number: OwnId,
    /// Its id, for a server that knows ids.
    pub(super) id: Option<ClientMessageId>,
    pub(super) username: Username,
    pub(super) text: String,
}

impl Outbox {
    /// Queues a message.
    pub(super) fn push(&mut self, id: ClientMessageId, username: Username, text: String) {
        let number = OwnId(self.next);
        let message = OwnMessage { number, id, username, text, is_in_flight: false, sent: None, has_failed: false };
        self.messages.push_back(message);
        self.next += 1;
    }

    /// Returns the next message to send to this server, and marks it as sent. `retry_window` is the server's; `None` of an
    /// older one.
    pub(super) fn send_next(
        &mut self,
        now: Time,
        host: &ServerAddress,
        retry_window: Option<Duration>,
    ) -> Option<NextMessage> {
        // Until a failed message is settled, no later one overtakes it.
        let window = if self.messages.iter().any(|message| message.has_failed) { 1 } else { WINDOW };
        if self.messages.iter().filter(|message| message.is_in_flight).count() >= window {
            return None;
        }
        let message = self.messages.iter_mut().find(|message| !message.is_in_flight)?;
        message.is_in_flight = true;
        message.sent.get_or_insert_with(|| Sent { at: now, host: host.clone(), has_id: retry_window.is_some() });
        let id = retry_window.map(|_| message.id.clone());
        Some(NextMessage { number: message.number, id, username: message.username.clone(), text: message.text.clone() })
    }

    /// Removes a message that is answered, and returns its text.
    pub(super) fn answered(&mut self, number: OwnId) -> Option<String> {
        let index = self.messages.iter().position(|message| message.number == number)?;
        self.messages.remove(index).map(|message| message.text)
    }

    /// Handles a failure of the server, which does not know whether it has stored the message. Returns its text if it
    /// cannot be sent again.
    pub(super) fn failed(&mut self, number: OwnId) -> Option<String> {
        let message = self.messages.iter_mut().find(|message| message.number == number)?;
        (message.is_in_flight, message.has_failed) = (false, true);
        if message.sent.as_ref().is_some_and(|sent| sent.has_id) { None } else { self.answered(number) }
    }

    /// Handles a disconnect: what was not answered is to be sent again.
    pub(super) fn lost(&mut self) {
        self.messages.iter_mut().for_each(|message| message.is_in_flight = false);
    }

    /// Removes the messages that were sent and must not be sent again to this server with this window, and returns their
    /// texts: they may be stored, and would be stored twice.
    pub(super) fn take_unrepeatable(
        &mut self,
        now: Time,
        host: &ServerAddress,
        retry_window: Option<Duration>,
    ) -> Vec<String> {
        let is_kept = |message: &OwnMessage| match (&message.sent, retry_window) {
            (None, _) => true,
            (Some(_), _) if message.is_in_flight => true,
            (Some(sent), Some(window)) => {
                sent.has_id && sent.host.same_place(host) && is_repeatable(now.since(sent.at), window)
            }
            (Some(_), None) => false,
        };
        let (kept, taken) = self.messages.drain(..).partition(is_kept);
        self.messages = kept;
        let taken: VecDeque<OwnMessage> = taken;
        taken.into_iter().map(|message| message.text).collect()
    }

    /// Returns the number of messages that wait for the connection or for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.messages.len()
    }

    /// Returns the remaining messages: those never sent, and those sent without an answer.
    pub(super) fn unsettled(&self) -> (Vec<&str>, Vec<&str>) {
        let texts = |was_sent: bool| {
            let such = self.messages.iter().filter(|message| message.sent.is_some() == was_sent);
            such.map(|message| message.text.as_str()).collect()
        };
        (texts(false), texts(true))
    }
}

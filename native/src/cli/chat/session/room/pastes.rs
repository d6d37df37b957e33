//! Pasted lines, sent after the user has confirmed the paste.

use std::{collections::VecDeque, mem};

use chanwire_core::wire::{Message, Request};

use super::{QUEUED, Room, count};
use crate::cli::size::check_size;

/// The most bytes of pastes that wait to be confirmed.
const MAX_WAITING: usize = 1 << 20;

#[derive(Debug, Default)]
pub(in crate::cli::chat::session) struct Pastes {
    /// Pastes that wait to be confirmed, in order. The user is asked about the first one.
    waiting: VecDeque<String>,
    /// Lines of confirmed pastes, not in the outbox yet.
    to_send: VecDeque<String>,
}

impl Pastes {
    pub(in crate::cli::chat::session) fn to_send(&self) -> usize {
        self.to_send.len()
    }

    /// Returns the lines of the first paste that waits to be confirmed.
    pub(in crate::cli::chat::session) fn to_confirm(&self) -> Option<usize> {
        self.waiting.front().map(|text| lines_of(text).count())
    }
}

impl Room {
    /// Handles a paste of several lines. A line that begins with a slash is text, not a command.
    pub(in crate::cli::chat::session) fn paste(&mut self, text: String) {
        let waiting: usize = self.pastes.waiting.iter().map(String::len).sum();
        if waiting + text.len() > MAX_WAITING {
            return self.unsendable("too much was pasted; answer the question before that");
        }
        self.pastes.waiting.push_back(text);
    }

    /// Handles a line as the answer to the question about the first paste. Returns whether it was one.
    pub(in crate::cli::chat::session) fn answer_about_a_paste(&mut self, answer: &str) -> bool {
        match answer {
            "y" | "yes" | "o" | "one" => {
                let Some(text) = self.pastes.waiting.pop_front() else { return true };
                if answer.starts_with('y') {
                    self.pastes.to_send.extend(lines_of(&text).map(str::to_owned));
                } else {
                    self.pastes.to_send.push_back(text.trim_end_matches('\n').into());
                }
            }
            "n" | "no" => drop(self.pastes.waiting.pop_front()),
            _ => return false,
        }
        true
    }

    /// Moves pasted lines to the outbox while it has room.
    pub(super) fn queue_pasted(&mut self) {
        while self.outbox.waiting() < QUEUED
            && let Some(text) = self.pastes.to_send.pop_front()
        {
            self.queue(text);
        }
    }

    /// Adds a message to the outbox, unless it is too large for any server.
    pub(super) fn queue(&mut self, text: String) {
        let id = match (self.options.new_id)() {
            Ok(id) => id,
            Err(reason) => return self.unsendable(&reason),
        };
        let message = Message {
            username: self.options.user.clone(),
            message_content: text,
            channel_name: Some(self.name.clone()),
            client_message_id: Some(id.clone()),
        };
        let request = Request::Message(message);
        let fits = check_size(&request);
        let Request::Message(Message { message_content: text, .. }) = request else { return };
        match fits {
            Ok(()) => self.outbox.push(id, self.options.user.clone(), text),
            Err(reason) => {
                let start: String = text.chars().take(40).collect();
                self.unsendable(&format!("{start}… ({reason})"));
            }
        }
    }

    /// Reports input that cannot be sent.
    fn unsendable(&mut self, reason: &str) {
        self.unsettled = true;
        self.trouble(format!("not sent: {reason}"));
    }

    /// Drops all pasted lines, and reports that they are not sent.
    pub(super) fn drop_pastes(&mut self) {
        self.drop_unconfirmed();
        let lines = mem::take(&mut self.pastes.to_send).len();
        self.report_unsent(lines);
    }

    /// Drops the pastes that wait to be confirmed, and reports that they are not sent.
    pub(in crate::cli::chat::session) fn drop_unconfirmed(&mut self) {
        let lines = self.pastes.waiting.drain(..).map(|text| lines_of(&text).count()).sum();
        self.report_unsent(lines);
    }

    fn report_unsent(&mut self, lines: usize) {
        if lines > 0 {
            self.unsettled = true;
            self.trouble(format!("not sent: {}", count(lines, "pasted line")));
        }
    }
}

/// Returns the lines that can be messages.
fn lines_of(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').filter(|line| !line.is_empty())
}

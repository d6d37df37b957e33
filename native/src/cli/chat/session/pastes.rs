//! Pasted lines, sent after the user has confirmed the paste.

use std::{collections::VecDeque, mem};

use chanwire_core::{
    Time,
    wire::{Message, Request},
};

use super::{Output, Question, Session, Shown, count};
use crate::cli::size::check_size;

/// The most bytes of pastes that wait to be confirmed.
const MAX_WAITING: usize = 1 << 20;

/// Pasted lines move to the outbox while it holds fewer messages than this.
const QUEUED: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Pastes {
    /// Pastes that wait to be confirmed, in order. The user is asked about the first one.
    waiting: VecDeque<String>,
    /// Lines of confirmed pastes, not in the outbox yet.
    to_send: VecDeque<String>,
}

impl Pastes {
    pub(super) fn to_send(&self) -> usize {
        self.to_send.len()
    }
}

impl Session {
    /// Handles a paste of several lines. A line that begins with a slash is text, not a command.
    pub(in crate::cli::chat) fn handle_paste(&mut self, now: Time, text: String) {
        if self.over || self.leaving.is_some() {
            return;
        }
        if self.room.is_none() {
            let lines = count(lines_of(&text).count(), "pasted line");
            return self.trouble(format!("not sent: {lines} (on no channel; /join NAME goes to one)"));
        }
        let waiting: usize = self.pastes.waiting.iter().map(String::len).sum();
        if waiting + text.len() > MAX_WAITING {
            return self.handle_unreadable("too much was pasted; answer the question before that");
        }
        self.pastes.waiting.push_back(text);
        self.settle(now);
    }

    pub(super) fn ask_about_a_paste(&mut self) {
        if let (None, Some(text)) = (self.asking, self.pastes.waiting.front()) {
            let lines = count(lines_of(text).count(), "line");
            let question = format!("send {lines}? y/n (o: as one message)");
            self.asking = Some(Question::Paste);
            self.outputs.push_back(Output::Show(Shown::Trouble(question)));
            self.outputs.push_back(Output::Asking(true));
        }
    }

    /// Handles a line as the answer to the question about the first paste. Returns whether it was one.
    pub(super) fn answer_about_a_paste(&mut self, answer: &str) -> bool {
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

    /// Moves lines to the outbox while it has room.
    pub(super) fn queue_pasted(&mut self) {
        while self.room.as_ref().is_some_and(|room| room.outbox.waiting() < QUEUED)
            && let Some(text) = self.pastes.to_send.pop_front()
        {
            self.queue(text);
        }
    }

    /// Adds a message to the outbox, unless it is too large for any server.
    pub(super) fn queue(&mut self, text: String) {
        let Some(room) = &mut self.room else { return };
        let id = match (self.options.new_id)() {
            Ok(id) => id,
            Err(reason) => return self.handle_unreadable(&reason),
        };
        let message = Message {
            username: self.options.user.clone(),
            message_content: text,
            channel_name: Some(room.name.clone()),
            client_message_id: Some(id.clone()),
        };
        let request = Request::Message(message);
        let fits = check_size(&request);
        let Request::Message(Message { message_content: text, .. }) = request else { return };
        match fits {
            Ok(()) => room.outbox.push(id, self.options.user.clone(), text),
            Err(reason) => {
                let start: String = text.chars().take(40).collect();
                self.handle_unreadable(&format!("{start}… ({reason})"));
            }
        }
    }

    /// Reports the pasted lines that are not sent.
    pub(super) fn drop_pastes(&mut self) {
        let waiting: usize = self.pastes.waiting.drain(..).map(|text| lines_of(&text).count()).sum();
        let lines = waiting + mem::take(&mut self.pastes.to_send).len();
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

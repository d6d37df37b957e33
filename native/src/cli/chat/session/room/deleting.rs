//! Deleting a message.

use chanwire_core::wire::{Request, Response};

use super::{PendingRequest, Phase, Room};

/// The most characters of a message's text in a question.
const EXCERPT: usize = 60;

impl Room {
    /// Returns the id of the user's last message, of those that were loaded.
    pub(in crate::cli::chat::session) fn last_own(&self) -> Option<u64> {
        let mut messages = self.log.newest_first();
        let own = messages.find(|message| self.is_own(message) && !message.deleted && message.deletes.is_none());
        own.map(|own| own.id)
    }

    /// Returns the user and the begin of the text of a message, if it was loaded, to follow its number.
    pub(in crate::cli::chat::session) fn excerpt(&self, id: u64) -> String {
        let Some(message) = self.log.newest_first().find(|message| message.id == id) else { return String::new() };
        let text: String = message.message_content.chars().take(EXCERPT).collect();
        let more = if text.len() < message.message_content.len() { "…" } else { "" };
        format!(", {}: {text}{more}", message.username)
    }

    /// Requests the deletion of a message.
    pub(in crate::cli::chat::session) fn delete(&mut self, id: u64) {
        let Phase::Live(connection, _) = &mut self.phase else {
            return self.trouble(format!("message {id} is not deleted: there is no connection now"));
        };
        let request = Request::Delete { channel_name: self.name.clone(), id };
        connection.ask(&mut self.outputs, PendingRequest::Delete(id), request);
    }

    /// Shows the host's answer.
    pub(super) fn deleted(&mut self, id: u64, response: Response) {
        match response {
            Response::Error(error) => self.trouble(format!("message {id} is not deleted: {error}")),
            _ => self.note(format!("message {id} is deleted")),
        }
    }
}

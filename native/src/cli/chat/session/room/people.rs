//! The people of a channel: who is there, who joins and leaves, and who mentions the user.

use std::collections::VecDeque;

use chanwire_core::wire::{Presence, Request, Response, StoredMessage, User, Username};

use super::{PendingRequest, Phase, Room, count};
use crate::cli::chat::session::Mention;

/// The most names that are remembered of a channel.
const REMEMBERED: usize = 500;

/// The most names in one list of those who joined or left.
const NAMED: usize = 5;

/// Names that were seen on a channel: of those who said something, the last one first, then of others.
#[derive(Debug, Default)]
pub(in crate::cli::chat::session) struct Names(VecDeque<Username>);

impl Names {
    /// Adds one who said something.
    pub(super) fn said(&mut self, name: &Username) {
        if self.0.front() == Some(name) {
            return;
        }
        self.0.retain(|known| known != name);
        self.0.push_front(name.clone());
        self.0.truncate(REMEMBERED);
    }

    /// Adds another one.
    pub(super) fn seen(&mut self, name: &Username) {
        if self.0.len() < REMEMBERED && !self.0.contains(name) {
            self.0.push_back(name.clone());
        }
    }

    pub(in crate::cli::chat::session) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Username::as_str)
    }
}

impl Room {
    /// Asks the host who is on the channel.
    pub(in crate::cli::chat::session) fn who(&mut self) {
        let Phase::Live(connection, _) = &mut self.phase else {
            return self.trouble("there is no connection to a channel now");
        };
        if !connection.has_presence {
            return self.trouble("this channel's host does not say who is there");
        }
        let request = Request::Who { channel_name: self.name.clone() };
        connection.ask(&mut self.outputs, PendingRequest::Who, request);
    }

    /// Shows the host's answer.
    pub(super) fn show_who(&mut self, response: Response) {
        let (total, users, complete) = match response {
            Response::Who { count, users, complete, .. } => (count, users, complete),
            Response::Error(error) => return self.trouble(error.to_string()),
            _ => return,
        };
        users.iter().for_each(|user| self.names.seen(&user.username));
        let names: Vec<_> = users.iter().map(|user| user.username.as_str()).collect();
        let names = if names.is_empty() { "nobody gave a name".into() } else { names.join(", ") };
        let more = if complete { "" } else { " and others" };
        let connections = count(usize::try_from(total).unwrap_or(usize::MAX), "connection");
        self.note(format!("here, on {connections}: {names}{more}"));
    }

    /// Handles a notice of those who joined and left, and shows it to a user who wants that.
    pub(super) fn people_changed(&mut self, presence: Presence) {
        let Presence { joined, mut left, .. } = presence;
        joined.iter().for_each(|user| self.names.seen(&user.username));
        left.retain(|user| !self.naming.has_left(&user.username));
        if !self.is_shown || !self.options.interactive || !self.options.shows_presence || self.is_skipping() {
            return;
        }
        let changes = [(joined, "joined"), (left, "left")].map(|(users, change)| {
            let others: Vec<_> = users.iter().filter(|user| user.username != self.options.user).collect();
            (!others.is_empty()).then(|| format!("{} {change}", list(&others)))
        });
        let changes: Vec<_> = changes.into_iter().flatten().collect();
        if !changes.is_empty() {
            self.note(changes.join("; "));
        }
    }

    /// Returns whether a message has a name that the user has or had on the channel.
    pub(super) fn is_own(&self, message: &StoredMessage) -> bool {
        message.username == self.options.user || self.naming.was(&message.username)
    }

    /// Returns whether a message mentions the user. `is_new`: it was stored after the channel was joined.
    pub(super) fn mention(&self, message: &StoredMessage, is_new: bool) -> Mention {
        let user = &self.options.user;
        match !self.is_own(message) && mentions(&message.message_content, user) {
            false => Mention::No,
            true if is_new => Mention::New,
            true => Mention::Earlier,
        }
    }
}

/// Lists the first names, and the number of the others.
fn list(users: &[&User]) -> String {
    let names: Vec<_> = users.iter().take(NAMED).map(|user| user.username.as_str()).collect();
    let names = names.join(", ");
    match users.len().saturating_sub(NAMED) {
        0 => names,
        more => format!("{names} and {}", count(more, "other")),
    }
}

/// Returns whether a text has the name as a word of its own, whatever the case of its letters.
fn mentions(text: &str, name: &str) -> bool {
    let (text, name) = (text.to_lowercase(), name.to_lowercase());
    let is_part_of_word = |char: Option<char>| char.is_some_and(|char| char.is_alphanumeric() || char == '_');
    text.match_indices(&name).any(|(at, found)| {
        let (before, after) = (text.get(..at), text.get(at + found.len()..));
        !is_part_of_word(before.and_then(|before| before.chars().next_back()))
            && !is_part_of_word(after.and_then(|after| after.chars().next()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Username {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_is_mentioned_where_it_is_a_word_of_its_own() {
        for (text, name, is_mention) in [
            ("ann: hi", "ann", true),
            ("hi @ANN!", "ann", true),
            ("Ann", "aNN", true),
            ("hannah and annie", "ann", false),
            ("hannah, ann", "ann", true),
            ("ann_b", "ann", false),
            ("ärger", "ä", false),
            ("so, Ä?", "ä", true),
            ("ask Ann B. about it", "ann b.", true),
            ("", "ann", false),
        ] {
            assert_eq!(mentions(text, name), is_mention, "{text:?} {name:?}");
        }
    }

    #[test]
    fn names_are_in_the_order_of_speech_and_bounded() {
        let mut names = Names::default();
        ["ann", "bob", "ann"].map(name).iter().for_each(|name| names.said(name));
        ["cleo", "bob"].map(name).iter().for_each(|name| names.seen(name));
        assert_eq!(names.iter().collect::<Vec<_>>(), ["ann", "bob", "cleo"]);
        (0..2000).for_each(|number| names.said(&name(&number.to_string())));
        (0..2000).for_each(|number| names.seen(&name(&format!("{number}?"))));
        assert_eq!((names.0.len(), names.iter().next()), (REMEMBERED, Some("1999")));
    }

    #[test]
    fn a_long_list_of_names_has_the_number_of_those_left_out() {
        let users: Vec<_> = (0..32).map(|number| User { username: name(&number.to_string()), account: None }).collect();
        let users: Vec<_> = users.iter().collect();
        for (count, words) in [(1, "0"), (5, "0, 1, 2, 3, 4"), (6, "0, 1, 2, 3, 4 and 1 other")] {
            assert_eq!(list(users.get(..count).unwrap()), words);
        }
        assert_eq!(list(&users), "0, 1, 2, 3, 4 and 27 others");
    }
}

//! What this client has sent to a channel and not yet seen there: what was delivered, what must be sent again, and what
//! nobody can know.

use std::collections::VecDeque;

/// How many messages are on their way at one time.
const WINDOW: usize = 64;

/// One of the user's own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnId(u64);

/// The user's own messages, in the order typed.
///
/// A message stays here until it was seen among the channel's messages, since only that tells an earlier "hi" from a
/// later one: when the connection is lost and the channel is read again, each push takes the first message of the same
/// words that was not seen yet, the acknowledged ones included.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    own: VecDeque<Own>,
    next: u64,
}

#[derive(Debug)]
struct Own {
    id: OwnId,
    text: String,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not sent, or surely not stored: to be sent.
    Queued,
    /// Sent on this connection, and not answered.
    Sent,
    /// As [`Sent`](Self::Sent), and seen: it is stored, whatever the answer is.
    Seen,
    /// Acknowledged and not seen.
    Delivered,
    /// The connection was lost before the answer. `gone` says that nothing more can come of it.
    Lost { gone: bool },
    /// Nobody knows.
    Maybe,
}

impl Outbox {
    /// One more to be sent.
    pub(super) fn push(&mut self, text: String) {
        self.own.push_back(Own { id: OwnId(self.next), text, state: State::Queued });
        self.next += 1;
    }

    /// The next to be sent now, if there is room: it counts as sent.
    pub(super) fn send_next(&mut self) -> Option<(OwnId, String)> {
        let on_their_way = self.own.iter().filter(|own| matches!(own.state, State::Sent | State::Seen)).count();
        if on_their_way >= WINDOW {
            return None;
        }
        let own = self.own.iter_mut().find(|own| own.state == State::Queued)?;
        own.state = State::Sent;
        Some((own.id, own.text.clone()))
    }

    /// It was acknowledged.
    pub(super) fn delivered(&mut self, id: OwnId) {
        match self.state(id) {
            Some(State::Seen) => self.take(id),
            Some(State::Sent) => self.set(id, State::Delivered),
            _ => None,
        };
    }

    /// It was refused: it is not stored. Gives its words.
    pub(super) fn refused(&mut self, id: OwnId) -> Option<String> {
        self.take(id)
    }

    /// The server does not know whether it is stored. Whether that is so for the client too.
    pub(super) fn failed(&mut self, id: OwnId) -> bool {
        if self.state(id) == Some(State::Seen) {
            self.take(id);
            return false;
        }
        self.set(id, State::Maybe).is_some()
    }

    /// A message of the user's name was pushed with these words. Gives the one of which it had not been known whether
    /// it is stored.
    pub(super) fn seen(&mut self, text: &str) -> Option<OwnId> {
        let unseen = |own: &&mut Own| !matches!(own.state, State::Queued | State::Seen) && own.text == text;
        let own = self.own.iter_mut().find(unseen)?;
        let (id, state) = (own.id, own.state);
        if state == State::Sent {
            own.state = State::Seen;
            return None;
        }
        self.take(id);
        (state == State::Maybe).then_some(id)
    }

    /// The connection was lost. `gone` says that the server can have nothing of it that it has not carried out.
    pub(super) fn lost(&mut self, gone: bool) {
        self.own.retain(|own| own.state != State::Seen);
        for own in &mut self.own {
            if own.state == State::Sent {
                own.state = State::Lost { gone };
            }
        }
    }

    /// The channel was read again up to its end. `complete` says that nothing stored since can have been missed: then
    /// what was not seen is not stored, and is sent again.
    pub(super) fn read_again(&mut self, complete: bool) {
        // All that was acknowledged is stored, so it was seen, or stands where nothing can be seen any more.
        self.own.retain(|own| own.state != State::Delivered);
        for own in &mut self.own {
            own.state = match own.state {
                State::Lost { gone: true } if complete => State::Queued,
                State::Lost { .. } => State::Maybe,
                state => state,
            };
        }
    }

    /// The first of which nobody knows, and its words.
    pub(super) fn first_maybe(&self) -> Option<(OwnId, &str)> {
        self.own.iter().find(|own| own.state == State::Maybe).map(|own| (own.id, own.text.as_str()))
    }

    /// Sends it again.
    pub(super) fn resend(&mut self, id: OwnId) {
        self.set(id, State::Queued);
    }

    /// Thinks of it no more.
    pub(super) fn forget(&mut self, id: OwnId) {
        self.take(id);
    }

    /// How many wait for the connection or for an answer.
    pub(super) fn waiting(&self) -> usize {
        let waits = |own: &&Own| matches!(own.state, State::Queued | State::Sent | State::Lost { .. });
        self.own.iter().filter(waits).count()
    }

    /// What is left if nothing more comes: those that were surely not sent, and those that were maybe.
    pub(super) fn unsettled(&self) -> (Vec<&str>, Vec<&str>) {
        let with = |wanted: fn(State) -> bool| {
            self.own.iter().filter(|own| wanted(own.state)).map(|own| own.text.as_str()).collect()
        };
        (
            with(|state| state == State::Queued),
            with(|state| matches!(state, State::Sent | State::Lost { .. } | State::Maybe)),
        )
    }

    fn state(&self, id: OwnId) -> Option<State> {
        self.own.iter().find(|own| own.id == id).map(|own| own.state)
    }

    fn set(&mut self, id: OwnId, state: State) -> Option<String> {
        let own = self.own.iter_mut().find(|own| own.id == id)?;
        own.state = state;
        Some(own.text.clone())
    }

    fn take(&mut self, id: OwnId) -> Option<String> {
        let index = self.own.iter().position(|own| own.id == id)?;
        self.own.remove(index).map(|own| own.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An outbox in which these were sent.
    fn sent(texts: &[&str]) -> (Outbox, Vec<OwnId>) {
        let mut outbox = Outbox::default();
        texts.iter().for_each(|text| outbox.push((*text).into()));
        let ids = std::iter::from_fn(|| outbox.send_next().map(|(id, _)| id)).collect();
        (outbox, ids)
    }

    fn sent_again(outbox: &mut Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.send_next().map(|(_, text)| text)).collect()
    }

    #[test]
    fn what_is_missing_is_sent_again_in_order_and_nothing_else() {
        let (mut outbox, ids) = sent(&["a", "b", "c", "d", "e"]);
        outbox.delivered(ids[0]);
        outbox.seen("a");
        outbox.delivered(ids[1]);
        outbox.lost(true);
        outbox.push("f".into());
        for text in ["b", "d", "f"] {
            assert_eq!(outbox.seen(text), None);
        }
        outbox.read_again(true);
        assert_eq!(sent_again(&mut outbox), ["c", "e", "f"]);
    }

    #[test]
    fn an_acknowledged_message_takes_its_push_before_a_later_one_of_the_same_words() {
        let (mut outbox, ids) = sent(&["hi", "hi", "hi"]);
        outbox.delivered(ids[0]);
        outbox.lost(true);
        assert_eq!((outbox.seen("hi"), outbox.seen("hi")), (None, None));
        outbox.read_again(true);
        assert_eq!(sent_again(&mut outbox), ["hi"]);
    }

    #[test]
    fn a_message_that_was_seen_is_not_sent_again_although_its_answer_is_lost() {
        let (mut outbox, _) = sent(&["a"]);
        assert_eq!(outbox.seen("a"), None);
        outbox.lost(false);
        outbox.read_again(false);
        assert_eq!((outbox.waiting(), outbox.first_maybe()), (0, None));
    }

    #[test]
    fn what_cannot_be_decided_is_asked_and_never_sent_by_itself() {
        for (gone, complete) in [(false, true), (true, false), (false, false)] {
            let (mut outbox, ids) = sent(&["a", "b"]);
            outbox.lost(gone);
            outbox.read_again(complete);
            assert_eq!(sent_again(&mut outbox), [""; 0], "{gone} {complete}");
            assert_eq!(outbox.first_maybe(), Some((ids[0], "a")));
            outbox.resend(ids[0]);
            assert_eq!(outbox.first_maybe(), Some((ids[1], "b")));
            outbox.forget(ids[1]);
            assert_eq!(sent_again(&mut outbox), ["a"]);
        }
    }

    #[test]
    fn a_server_that_does_not_know_leaves_the_question_until_the_message_is_seen() {
        let (mut outbox, ids) = sent(&["a", "b"]);
        outbox.seen("b");
        assert_eq!((outbox.failed(ids[0]), outbox.failed(ids[1])), (true, false));
        assert_eq!(outbox.first_maybe(), Some((ids[0], "a")));
        assert_eq!(outbox.seen("a"), Some(ids[0]));
        assert_eq!((outbox.first_maybe(), outbox.unsettled()), (None, (Vec::new(), Vec::new())));
    }

    #[test]
    fn a_window_bounds_what_is_on_its_way() {
        let mut outbox = Outbox::default();
        (0..=WINDOW).for_each(|number| outbox.push(number.to_string()));
        let first = outbox.send_next().unwrap().0;
        assert_eq!(sent_again(&mut outbox).len(), WINDOW - 1);
        outbox.delivered(first);
        assert_eq!(sent_again(&mut outbox), [WINDOW.to_string()]);
        assert_eq!(outbox.refused(OwnId(1)), Some("1".into()));
        assert_eq!(outbox.waiting(), WINDOW - 1);
    }
}

use super::*;

const KNOWN: u64 = 7;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

fn push(id: u64, text: &str, seconds: i64) -> StoredMessage {
    StoredMessage {
        channel_name: "general".parse().unwrap(),
        id,
        username: "ann".parse().unwrap(),
        message_content: text.into(),
        timestamp: at(seconds),
    }
}

/// Returns an outbox of a user whose name another client has, too.
fn shared() -> Outbox {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.pushed(&push(KNOWN, "something else", 0), true), None);
    outbox
}

/// Sends these messages.
fn sent(mut outbox: Outbox, texts: &[&str]) -> (Outbox, Vec<OwnId>) {
    texts.iter().for_each(|text| outbox.push((*text).into()));
    let ids = std::iter::from_fn(|| outbox.send_next(KNOWN).map(|(id, _)| id)).collect();
    (outbox, ids)
}

fn sent_again(outbox: &mut Outbox) -> Vec<String> {
    std::iter::from_fn(|| outbox.send_next(KNOWN + 20).map(|(_, text)| text)).collect()
}

/// Returns the words of all that may be stored, and whether each may have come.
fn maybe(outbox: &mut Outbox) -> Vec<(String, bool)> {
    std::iter::from_fn(|| {
        let Maybe { id, text, has_come } = outbox.first_maybe()?;
        let found = (text.to_owned(), has_come);
        outbox.discard(id);
        Some(found)
    })
    .collect()
}

#[test]
fn missing_messages_are_sent_again_in_order_and_ambiguous_ones_are_asked_about() {
    for (outbox, asked) in [(Outbox::default(), vec![]), (shared(), vec![("d".into(), true)])] {
        let (mut outbox, ids) = sent(outbox, &["a", "b", "c", "d", "e"]);
        outbox.delivered(ids[0], at(0));
        outbox.pushed(&push(8, "a", 0), true);
        outbox.delivered(ids[1], at(0));
        outbox.lost(true);
        for (id, text) in [(9, "b"), (10, "d")] {
            assert_eq!(outbox.pushed(&push(id, text, 0), true), None);
        }
        outbox.read_again(true);
        assert_eq!(sent_again(&mut outbox), ["c", "e"]);
        assert_eq!(maybe(&mut outbox), asked);
    }
}

#[test]
fn a_name_is_shared_once_something_comes_that_was_not_said_here_while_one_was_there() {
    for (text, is_new, is_shared) in [("b", true, true), ("b", false, false), ("a", true, false)] {
        let (mut outbox, _) = sent(Outbox::default(), &["a"]);
        outbox.pushed(&push(8, text, 0), is_new);
        assert_eq!(outbox.is_shared, is_shared, "{text} {is_new}");
    }
    // Not before it is sent: it only waits.
    let mut outbox = Outbox::default();
    outbox.push("a".into());
    outbox.pushed(&push(8, "a", 0), true);
    assert!(outbox.is_shared);
}

#[test]
fn an_acknowledged_message_takes_its_push_before_a_later_one_of_the_same_words() {
    for acknowledged in [0, 3] {
        let (mut outbox, ids) = sent(shared(), &["hi", "hi", "hi"]);
        // Another's, from before ours was sent, and of another time.
        outbox.pushed(&push(KNOWN, "hi", 3), true);
        if acknowledged == 3 {
            outbox.delivered(ids[0], at(3));
        }
        outbox.pushed(&push(8, "hi", 3), true);
        if acknowledged == 0 {
            outbox.delivered(ids[0], at(3));
        }
        outbox.lost(true);
        outbox.read_again(true);
        assert_eq!(sent_again(&mut outbox), ["hi", "hi"], "{acknowledged}");
        assert_eq!(maybe(&mut outbox), []);
    }
}

#[test]
fn a_push_of_another_time_is_not_the_acknowledged_message() {
    let (mut outbox, ids) = sent(shared(), &["hi", "hi"]);
    outbox.delivered(ids[0], at(4));
    outbox.pushed(&push(8, "hi", 3), true);
    outbox.pushed(&push(9, "hi", 4), true);
    outbox.lost(true);
    outbox.read_again(true);
    assert_eq!((sent_again(&mut outbox).len(), maybe(&mut outbox)), (0, vec![("hi".into(), true)]));
}

#[test]
fn of_several_of_the_same_words_as_many_are_asked_about_as_may_have_come() {
    let (mut outbox, _) = sent(shared(), &["hi", "hi", "hi"]);
    outbox.pushed(&push(8, "hi", 0), true);
    outbox.lost(true);
    outbox.read_again(true);
    assert_eq!(sent_again(&mut outbox), ["hi", "hi"]);
    assert_eq!(maybe(&mut outbox), [("hi".into(), true)]);
}

#[test]
fn an_unknown_outcome_is_asked_about_and_never_sent_by_itself() {
    for (gone, complete) in [(false, true), (true, false), (false, false)] {
        let (mut outbox, ids) = sent(Outbox::default(), &["a", "b"]);
        outbox.lost(gone);
        outbox.read_again(complete);
        assert_eq!(sent_again(&mut outbox), [""; 0], "{gone} {complete}");
        assert_eq!(outbox.first_maybe(), Some(Maybe { id: ids[0], text: "a", has_come: false }));
        outbox.resend(ids[0]);
        assert_eq!(outbox.first_maybe(), Some(Maybe { id: ids[1], text: "b", has_come: false }));
        outbox.discard(ids[1]);
        assert_eq!(sent_again(&mut outbox), ["a"]);
    }
}

#[test]
fn a_server_that_does_not_know_leaves_the_question_also_when_the_words_come_if_they_may_be_anothers() {
    let (mut outbox, ids) = sent(shared(), &["a", "b"]);
    outbox.pushed(&push(8, "b", 0), true);
    outbox.failed(ids[0]);
    outbox.failed(ids[1]);
    assert_eq!(outbox.pushed(&push(9, "a", 0), true), Some(ids[0]));
    assert_eq!(outbox.unsettled(), (vec![], vec!["a", "b"]));
    assert_eq!(maybe(&mut outbox), [("a".into(), true), ("b".into(), true)]);

    let (mut outbox, ids) = sent(Outbox::default(), &["a", "a"]);
    outbox.failed(ids[0]);
    // It may be either, and the second's answer will tell.
    assert_eq!(outbox.pushed(&push(8, "a", 0), true), Some(ids[0]));
    outbox.delivered(ids[1], at(0));
    assert_eq!(outbox.pushed(&push(9, "a", 0), true), None);
    assert_eq!(outbox.unsettled(), (vec![], vec![]));
}

#[test]
fn a_window_bounds_what_is_on_its_way() {
    let mut outbox = Outbox::default();
    (0..=WINDOW).for_each(|number| outbox.push(number.to_string()));
    let first = outbox.send_next(0).unwrap().0;
    assert_eq!(sent_again(&mut outbox).len(), WINDOW - 1);
    outbox.delivered(first, at(0));
    assert_eq!(sent_again(&mut outbox), [WINDOW.to_string()]);
    assert_eq!(outbox.refused(OwnId(1)), Some("1".into()));
    assert_eq!(outbox.waiting(), WINDOW - 1);
}

/// Checks that a flood of messages under this name is not retained for ever, and hides nothing.
#[test]
fn retained_messages_are_bounded() {
    let (mut outbox, ids) = sent(shared(), &["hi", "hi"]);
    for id in 0..10_000 {
        outbox.pushed(&push(KNOWN + 1 + id, "hi", 0), true);
    }
    assert_eq!(outbox.matching.unmatched("hi").count(), 1024);
    outbox.delivered(ids[0], at(0));
    outbox.lost(true);
    outbox.read_again(true);
    assert_eq!((sent_again(&mut outbox).len(), maybe(&mut outbox)), (0, vec![("hi".into(), true)]));
    assert_eq!(outbox.matching.unmatched("hi").count(), 0);
}

/// A client, or two of one name that say the same, a server that fails and dies, and a network: every order in which
/// things can happen to them, up to a few messages.
mod interleavings {
    use std::{
        collections::{BTreeMap, HashSet},
        fmt::Write as _,
    };

    use super::*;

    /// All of it, as it is at one moment.
    #[derive(Clone, Debug, Default)]
    struct World {
        outbox: Outbox,
        typed: usize,
        /// Messages still to be typed.
        mine: usize,
        /// Messages still to be sent by another user of the same name.
        anothers: usize,
        seconds: i64,
        /// The stored messages by id, each with its author and time.
        log: Vec<(Option<OwnId>, i64)>,
        /// Requests and answers in transit.
        requests: VecDeque<OwnId>,
        answers: VecDeque<(OwnId, Option<i64>)>,
        /// The number of stored messages received.
        heard: usize,
        acknowledged: usize,
        failed: usize,
        /// After a disconnect, the requests that the server may still carry out.
        lost: Option<Vec<OwnId>>,
        again: bool,
        labels: Vec<&'static str>,
    }

    impl World {
        fn is_live(&self) -> bool {
            self.lost.is_none() || self.again
        }

        /// Returns whether no request or answer is on its way.
        fn is_quiet(&self) -> bool {
            let nothing = self.requests.is_empty() && self.answers.is_empty() && self.heard == self.log.len();
            self.is_live() && nothing && self.lost.as_ref().is_none_or(Vec::is_empty)
        }

        fn send(&mut self) {
            while let Some((id, _)) = self.outbox.send_next(self.heard as u64) {
                self.requests.push_back(id);
            }
        }

        fn hear(&mut self) {
            let (_, seconds) = self.log[self.heard];
            self.heard += 1;
            self.outbox.pushed(&push(self.heard as u64, "ok", seconds), true);
        }

        /// Returns every world that can follow.
        fn next(&self) -> Vec<Self> {
            let mut worlds = Vec::new();
            let mut may = |can: bool, label: &'static str, happen: &dyn Fn(&mut Self)| {
                if can {
                    let mut world = self.clone();
                    world.labels.push(label);
                    happen(&mut world);
                    worlds.push(world);
                }
            };
            may(self.mine > 0, "I type", &|world| {
                world.mine -= 1;
                world.typed += 1;
                world.outbox.push("ok".into());
                if world.is_live() {
                    world.send();
                }
            });
            may(self.anothers > 0, "the other's is stored", &|world| {
                world.anothers -= 1;
                world.log.push((None, world.seconds));
            });
            may(self.seconds == 0, "a second passes", &|world| world.seconds = 1);
            let asked = self.is_live() && !self.requests.is_empty();
            for (label, stores, says) in
                [("mine is stored", true, true), ("mine is lost", false, false), ("mine is denied", true, false)]
            {
                may(asked && (says || self.failed == 0), label, &|world| {
                    let id = world.requests.pop_front().unwrap();
                    if stores {
                        world.log.push((Some(id), world.seconds));
                    }
                    world.failed += usize::from(!says);
                    world.answers.push_back((id, says.then_some(world.seconds)));
                });
            }
            may(self.is_live() && !self.answers.is_empty(), "an answer comes", &|world| match world
                .answers
                .pop_front()
                .unwrap()
            {
                (id, Some(seconds)) => {
                    world.acknowledged += 1;
                    world.outbox.delivered(id, at(seconds));
                }
                (id, None) => world.outbox.failed(id),
            });
            may(self.is_live() && self.heard < self.log.len(), "a push comes", &Self::hear);
            for gone in [true, false] {
                may(self.lost.is_none(), if gone { "the server dies" } else { "I am cut off" }, &|world| {
                    let requests = std::mem::take(&mut world.requests);
                    world.lost = Some(if gone { Vec::new() } else { requests.into() });
                    world.answers.clear();
                    world.outbox.lost(gone);
                });
            }
            may(self.lost.as_ref().is_some_and(|left| !left.is_empty()), "what I had sent is stored late", &|world| {
                let id = world.lost.as_mut().unwrap().remove(0);
                world.log.push((Some(id), world.seconds));
            });
            may(!self.is_live(), "I am back", &|world| {
                world.again = true;
                while world.heard < world.log.len() {
                    world.hear();
                }
                world.outbox.read_again(true);
                // No more is asked than may have come and was not acknowledged, or may still come, or has failed.
                let left = world.lost.as_ref().map_or(0, Vec::len);
                let most = world.log.len() - world.acknowledged + left + world.failed;
                assert!(maybe(&mut world.outbox.clone()).len() <= most, "{world:#?}");
                world.send();
            });
            worlds
        }

        /// When nothing is on its way, each of mine is stored, or I am told that it may not be; and none is stored
        /// twice without my having been asked.
        fn judge(&self) {
            let mut stored: BTreeMap<OwnId, usize> = BTreeMap::new();
            for id in self.log.iter().filter_map(|(whose, _)| *whose) {
                *stored.entry(id).or_default() += 1;
            }
            let copies: usize = stored.values().sum();
            let asked = maybe(&mut self.outbox.clone()).len();
            assert!(copies <= self.typed, "stored twice: {self:#?}");
            assert!(copies + asked >= self.typed, "dropped: {self:#?}");
            assert!(self.outbox.is_shared || asked <= self.failed, "asked without need: {self:#?}");
            assert_eq!(self.outbox.waiting(), 0, "{self:#?}");
        }
    }

    fn walk(begin: World) {
        let (mut seen, mut worlds, mut ends) = (HashSet::new(), vec![begin], 0);
        while let Some(world) = worlds.pop() {
            let mut key = String::new();
            write!(key, "{:?}", World { labels: Vec::new(), ..world.clone() }).unwrap();
            if !seen.insert(key) {
                continue;
            }
            if world.is_quiet() {
                world.judge();
                ends += 1;
            }
            worlds.extend(world.next());
        }
        assert!(ends > 300, "{ends} ends of {} worlds", seen.len());
    }

    #[test]
    fn among_two_of_one_name_nothing_is_dropped_and_nothing_sent_twice() {
        walk(World { outbox: shared(), mine: 2, anothers: 2, ..World::default() });
    }

    #[test]
    fn alone_under_a_name_one_is_asked_only_about_what_the_server_did_not_know() {
        walk(World { mine: 3, ..World::default() });
    }
}

//! Single connections: which answers and pushes each peer gets until its end.

use chanwire_core::wire::JoinFrom;
use chanwire_tests::generate::times;
use proptest::{collection::vec, prelude::*};

use super::*;

fn join(from: JoinFrom) -> Request {
    Request::Join { channel_name: "here".parse().unwrap(), from, username: None }
}

/// Returns a world with `count` stored messages of at least `length` bytes, and the connection that sent them.
fn with_messages(count: usize, length: usize) -> (World, u64) {
    let mut world = World::new();
    let sender = world.connect();
    for number in 0..count {
        world.say(sender, &format!("{number} {}", "x".repeat(length)));
        world.store();
        world.take(sender, usize::MAX);
    }
    (world, sender)
}

/// Reads at a connection's peer until nothing more comes.
fn take_all(world: &mut World, id: u64) {
    loop {
        let before = world.server(id).written.len();
        world.take(id, usize::MAX);
        if world.server(id).written.len() == before {
            return;
        }
    }
}

/// Returns an answer with this status, or this error.
fn answer(word: &str) -> Got {
    Got::Answer(word.into())
}

fn pushes(ids: impl IntoIterator<Item = u64>) -> Vec<Got> {
    ids.into_iter().map(Got::Push).collect()
}

#[test]
fn a_peer_that_ends_its_stream_after_join_gets_all_promised_messages() {
    for (count, length) in [(0, 1), (3, 1), (2_500, 1), (40, 60_000)] {
        for from in [JoinFrom::After(0), JoinFrom::Last(1000), JoinFrom::Last(0)] {
            let (mut world, sender) = with_messages(count, length);
            let reader = world.connect();
            world.send(reader, &join(from));
            world.end(reader);
            // Later messages were not promised.
            world.say(sender, "more");
            world.store();
            take_all(&mut world, reader);
            let last = count as u64;
            let first = match from {
                JoinFrom::After(id) => id + 1,
                JoinFrom::Last(many) => (last + 1).saturating_sub(many.into()).max(1),
            };
            let expected = [vec![answer("OK")], pushes(first..=last)].concat();
            let got = world.got(reader);
            assert!(got.starts_with(&expected), "{count} {from:?}: {} of {}", got.len(), expected.len());
            assert!(got.len() <= expected.len() + 1);
            assert_eq!(world.server(reader).action(), ConnectionAction::Close, "{count} {from:?}");
            world.disconnect(reader);
            world.disconnect(sender);
            assert_eq!((world.hub.joins(), world.hub.connections(), world.hub.is_idle()), (0, 0, true));
        }
    }
}

#[test]
fn a_connection_without_a_join_never_gets_a_push() {
    let (mut world, sender) = with_messages(3, 10);
    let (reader, stranger) = (world.connect(), world.connect());
    world.send(reader, &join(JoinFrom::After(0)));
    world.send(stranger, &Request::List);
    for number in 0..100 {
        world.say(sender, &number.to_string());
        world.say(stranger, &format!("stranger {number}"));
        world.store();
    }
    for id in [reader, stranger, sender] {
        take_all(&mut world, id);
    }
    assert_eq!(world.got(stranger), vec![answer("OK"); 101]);
    assert_eq!(world.got(sender), vec![answer("OK"); 103]);
    assert_eq!(world.got(reader), [vec![answer("OK")], pushes(1..=203)].concat());
}

#[test]
fn a_slow_subscriber_rejoins_without_loss_and_the_others_get_everything() {
    let (mut world, sender) = with_messages(0, 0);
    let readers: Vec<u64> = (0..100).map(|_| world.connect()).collect();
    let (stuck, others) = readers.split_first().unwrap();
    for id in &readers {
        world.send(*id, &join(JoinFrom::Last(0)));
        take_all(&mut world, *id);
    }
    let content = "x".repeat(10_000);
    for _ in 0..200 {
        world.say(sender, &content);
        world.store();
        world.take(sender, usize::MAX);
        others.iter().for_each(|id| world.take(*id, usize::MAX));
    }
    take_all(&mut world, *stuck);
    let got = world.got(*stuck);
    assert_eq!(got, [answer("OK"), answer("Slow consumer")]);
    assert_eq!(world.server(*stuck).action(), ConnectionAction::FinishWriting);
    for id in others {
        assert_eq!(world.got(*id), [vec![answer("OK")], pushes(1..=200)].concat());
    }
    world.disconnect(*stuck);
    let again = world.connect();
    world.send(again, &join(JoinFrom::After(0)));
    take_all(&mut world, again);
    assert_eq!(world.got(again), [vec![answer("OK")], pushes(1..=200)].concat());
}

#[test]
fn bytes_queued_for_a_replaying_subscriber_are_bounded_for_any_channel_length() {
    let (mut world, sender) = with_messages(200, 60_000);
    let reader = world.connect();
    world.send(reader, &join(JoinFrom::After(0)));
    for number in 0..50 {
        world.say(sender, &format!("{number} {}", "y".repeat(60_000)));
        world.store();
    }
    let mut peak = 0;
    while world.server(reader).unsent() > 0 {
        peak = peak.max(world.server(reader).unsent());
        world.take(reader, 5_000);
    }
    assert!(peak < 400_000, "{peak} bytes waited");
    assert_eq!(world.got(reader), [vec![answer("OK")], pushes(1..=250)].concat());
}

proptest! {
    #![proptest_config(times(150))]

    /// For any pace of reading, and any messages sent meanwhile.
    #[test]
    fn a_replay_continues_into_live_pushes_without_gap_or_repetition(
        stored in 0..60_usize, length in prop_oneof![0..50_usize, 5_000..30_000_usize], after in any::<prop::sample::Index>(),
        steps in vec((0..3_usize, 0..200_000_usize, any::<bool>()), 0..60),
    ) {
        let (mut world, sender) = with_messages(stored, length);
        let after = after.index(stored + 1) as u64;
        let reader = world.connect();
        world.send(reader, &join(JoinFrom::After(after)));
        for (new_messages, max_bytes, store) in steps {
            for _ in 0..new_messages {
                world.say(sender, &"z".repeat(length + 1));
            }
            if store {
                world.store();
            }
            world.take(reader, max_bytes);
            world.take(sender, usize::MAX);
        }
        world.store();
        take_all(&mut world, reader);
        let last = world.disk.last_id("here");
        prop_assert_eq!(world.got(reader), [vec![answer("OK")], pushes(after + 1..=last)].concat());
    }
}

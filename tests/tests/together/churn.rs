//! Connections that come and go leak nothing.

use chanwire_core::wire::JoinFrom;

use super::*;

/// Two hundred thousand connections, a thousand at a time, that join, receive, leave, end, or just disconnect.
#[test]
fn two_hundred_thousand_joins_and_leaves_leave_no_live_object() {
    let mut world = World::new();
    let sender = world.connect();
    for wave in 0..200_u64 {
        let readers: Vec<u64> = (0..1_000).map(|_| world.connect()).collect();
        for id in &readers {
            // A third of them read stored messages first.
            let from = if id % 3 == 0 { JoinFrom::Last(2) } else { JoinFrom::Last(0) };
            world.send(*id, &Request::Join { channel_name: "here".parse().unwrap(), from, username: None });
        }
        assert_eq!((world.hub.joins(), world.hub.connections()), (1_000, 1_001));
        world.say(sender, &wave.to_string());
        world.store();
        world.take(sender, usize::MAX);
        for id in &readers {
            match id % 4 {
                // Disconnected without having read a byte.
                0 => {}
                1 => world.take(*id, usize::MAX),
                2 => world.send(*id, &Request::Leave { channel_name: "here".parse().unwrap() }),
                _ => {
                    world.take(*id, 100);
                    world.end(*id);
                    world.take(*id, usize::MAX);
                    assert_eq!(world.server(*id).action(), ConnectionAction::Close);
                }
            }
            world.disconnect(*id);
        }
        assert_eq!((world.hub.joins(), world.hub.connections()), (0, 1));
        assert!(world.hub.is_idle() && world.servers.len() == 1);
        assert!(world.pushes.drain(..).all(|pushes| pushes.strong_count() == 0), "pushes are kept");
    }
    world.disconnect(sender);
    assert_eq!((world.hub.joins(), world.hub.connections(), world.next), (0, 0, 200_001));
}

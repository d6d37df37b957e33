//! A server that is killed again and again while messages pour in and readers listen.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use chanwire_tests::{
    chance::{Chance, crash_rounds},
    process::{Answer, Peer, check, pour, wait_for},
};
use tempfile::tempdir;

use crate::{host_general, join_after, message, number, serve, stored};

const SENDERS: usize = 4;
const READERS: usize = 3;

fn content(round: usize, number: usize) -> String {
    format!("{round:04}-{number:08}")
}

/// Returns the requests of one batch of a sender.
fn batch(round: usize, sender: usize, batch: usize) -> String {
    (batch * 20..(batch + 1) * 20).map(|number| message(&format!("u{sender}"), &content(round, number))).collect()
}

fn row(push: &Answer) -> stored::Row {
    assert_eq!(push.status, "MESSAGE", "{}", push.raw);
    let text = |field: &str| push.payload[field].as_str().unwrap().to_owned();
    (number(push, "id"), text("username"), text("message_content"))
}

/// Subscribes from the message after this one until the server is killed, and returns the messages.
fn listen(mut peer: Peer, after: i64) -> JoinHandle<Vec<stored::Row>> {
    thread::spawn(move || {
        let mut heard = Vec::new();
        let Ok(answer) = peer.try_send(join_after(after)).and_then(|()| peer.try_answer()) else { return heard };
        assert_eq!(number(&answer, "first_id"), after + 1, "{}", answer.raw);
        while let Ok(push) = peer.try_answer() {
            heard.push(row(&push));
        }
        heard
    })
}

#[test]
fn subscribers_of_a_crashing_server_get_each_stored_message_once_and_in_order() {
    let data = tempdir().unwrap();
    let launch = serve(data.path());
    let server = launch.start();
    host_general(&server);
    server.kill();
    let mut chance = Chance::new();
    let mut heard: Vec<Vec<stored::Row>> = vec![Vec::new(); READERS];
    let mut acknowledged: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for round in 0..crash_rounds() {
        let server = launch.start();
        let delivered = Arc::new(AtomicUsize::new(0));
        let listening: Vec<_> =
            heard.iter().map(|heard| listen(server.connect(), heard.last().map_or(0, |(id, ..)| *id))).collect();
        let pouring: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let requests = move |number| batch(round, sender, number);
                pour(server.connect(), requests, Arc::clone(&delivered))
            })
            .collect();
        let enough = 50 + chance.below(4_000);
        wait_for("enough answers", || check(delivered.load(Relaxed) >= enough, delivered.load(Relaxed)));
        server.kill();
        for (sender, count) in pouring.into_iter().enumerate() {
            acknowledged.insert((round, sender), count.join().unwrap());
        }
        for (all, listening) in heard.iter_mut().zip(listening) {
            all.extend(listening.join().unwrap());
        }
        let stored = stored::general(data.path());
        for ((round, sender), count) in &acknowledged {
            let (name, prefix) = (format!("u{sender}"), format!("{round:04}-"));
            let own = stored.iter().filter(|(_, username, text)| *username == name && text.starts_with(&prefix));
            let mut own = own.map(|(_, _, text)| text.clone());
            assert!((0..*count).all(|number| own.next() == Some(content(*round, number))), "round {round}, {name}");
        }
        // Every message that a subscriber received is stored: a push follows stable storage too.
        for heard in &heard {
            assert!(heard.len() <= stored.len() && heard[..] == stored[..heard.len()], "round {round}");
        }
    }
    // A subscriber that comes back in the end has everything.
    let server = launch.start();
    let stored = stored::general(data.path());
    for mut heard in heard {
        let after = heard.last().map_or(0, |(id, ..)| *id);
        let mut peer = server.connect();
        assert!(peer.ask(join_after(after)).is_ok());
        heard.extend((after..stored.len() as i64).map(|_| row(&peer.answer())));
        assert!(heard == stored);
    }
    server.stop();
}

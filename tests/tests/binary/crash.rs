//! A server that is killed while messages and channels pour in: what it acknowledged is there.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use chanwire_tests::{
    chance::{Chance, crash_rounds},
    process::{Launch, answers, check, pour, wait_for},
};
use tempfile::tempdir;

use crate::{
    database::{Stored, messages},
    requests::{LIST, host_at, message_to},
};

const CONNECTIONS: usize = 8;

/// One in so many requests is a HOST.
const HOST_EVERY: usize = 40;

/// A request of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Channel(String),
    Message { channel: String, content: String },
}

fn asked(round: usize, connection: usize, number: usize) -> Asked {
    match number % HOST_EVERY {
        0 => Asked::Channel(format!("r{round}-c{connection}-n{number}")),
        even if even % 2 == 0 => message(format!("own{connection}"), round, number),
        _ => message("shared".into(), round, number),
    }
}

fn message(channel: String, round: usize, number: usize) -> Asked {
    Asked::Message { channel, content: format!("{round:03}-{number:09}") }
}

impl Asked {
    fn encode(&self, connection: usize) -> String {
        match self {
            Self::Channel(name) => host_at(name, "192.0.2.7", 22240),
            Self::Message { channel, content } => message_to(channel, &format!("u{connection}"), content),
        }
    }
}

/// Returns the requests of one batch of a connection.
fn batch(round: usize, connection: usize, batch: usize) -> String {
    (batch * 50..(batch + 1) * 50).map(|number| asked(round, connection, number).encode(connection)).collect()
}

/// Returns the messages of one connection in one channel, as they were stored.
fn of(stored: &[Stored], connection: usize) -> Vec<String> {
    let own = stored.iter().filter(|message| message.username == format!("u{connection}"));
    own.map(|message| message.content.clone()).collect()
}

fn everything_acknowledged_is_stored(data_dir: &Path, round: usize, acknowledged: &[usize]) {
    let stored = messages(data_dir);
    for (connection, count) in acknowledged.iter().enumerate() {
        for channel in ["shared".to_owned(), format!("own{connection}")] {
            let all = of(stored.get(&channel).map_or(&[], Vec::as_slice), connection);
            // In the order sent, and nothing twice; what is stored and was not acknowledged may follow.
            assert!(all.is_sorted_by(|one, next| one < next), "{channel}: {all:?}");
            let found: Vec<&String> =
                all.iter().filter(|content| content.starts_with(&format!("{round:03}-"))).collect();
            let sent: Vec<String> = (0..*count)
                .filter_map(|number| match asked(round, connection, number) {
                    Asked::Message { channel: to, content } if to == channel => Some(content),
                    _ => None,
                })
                .collect();
            assert!(found.len() >= sent.len() && sent.iter().eq(found.into_iter().take(sent.len())), "{channel}");
        }
    }
}

#[test]
fn a_killed_server_has_everything_that_it_acknowledged() {
    let data = tempdir().unwrap();
    // Channels of other addresses are not stored differently; these live here, so that they take messages.
    let launch = Launch::serve(data.path()).args(["--advertise", "192.0.2.9:22236"]);
    let mut channels: Vec<String> = (0..CONNECTIONS).map(|connection| format!("own{connection}")).collect();
    channels.push("shared".into());
    let server = launch.start();
    let hosts: String = channels.iter().map(|name| host_at(name, "192.0.2.9", 22236)).collect();
    assert!(answers(&server.ask(hosts)).iter().all(chanwire_tests::process::Answer::is_ok));
    server.kill();

    let mut chance = Chance::new();
    for round in 0..crash_rounds() {
        let server = launch.start();
        let enough = 100 + chance.below(6_000);
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let pouring: Vec<_> = (0..CONNECTIONS)
            .map(|connection| {
                let requests = move |number| batch(round, connection, number);
                pour(server.connect(), requests, Arc::clone(&acknowledged))
            })
            .collect();
        wait_for("enough answers", || check(acknowledged.load(Relaxed) >= enough, acknowledged.load(Relaxed)));
        server.kill();
        let counts: Vec<usize> = pouring.into_iter().map(|connection| connection.join().unwrap()).collect();
        assert!(counts.iter().sum::<usize>() >= enough);
        everything_acknowledged_is_stored(data.path(), round, &counts);

        // The next server lists every channel of this round that was acknowledged, each once, and the ids go on.
        let next = launch.start();
        let list = next.ask(LIST);
        let listed: Vec<&str> =
            list.split("\"channel_name\": \"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        for (connection, count) in counts.into_iter().enumerate() {
            for number in (0..count).step_by(HOST_EVERY) {
                channels.push(format!("r{round}-c{connection}-n{number}"));
            }
        }
        for name in &channels {
            assert_eq!(listed.iter().filter(|listed| *listed == name).count(), 1, "{name}");
        }
        let last = messages(data.path())["shared"].last().unwrap().id;
        assert!(answers(&next.ask(message_to("shared", "after", "the crash")))[0].is_ok());
        let stored = messages(data.path());
        assert_eq!(stored["shared"].last().map(|last| (last.id, last.username.as_str())), Some((last + 1, "after")));
        next.kill();
    }
}

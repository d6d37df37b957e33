//! JOIN, LEAVE, HISTORY and UNHOST over TCP.

use std::{
    env, fs,
    hash::{DefaultHasher, Hasher as _},
    io::{Read as _, Write as _},
    net::{IpAddr, Shutdown},
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use chanwire_tests::process::{
    Answer, DEADLINE, Launch, Peer, Server, Signal, answers, check, raise_file_limit, wait_for, without_times,
};
use tempfile::{TempDir, tempdir};

use crate::{
    database::stored_contents,
    requests::{
        DELIVERED, LIST, channel_removed, history, host, host_at, hosted, join, join_after, joined, leave, left,
        message, message_to, push, refused, removed, stored, unhost,
    },
};

/// An address of the server that outlives a restart on another port.
const ADVERTISED: (&str, u16) = ("192.0.2.9", 22236);

fn launch(data_dir: &Path) -> Launch {
    Launch::serve(data_dir).args(["--advertise", "192.0.2.9:22236", "--write-timeout", "60"])
}

/// Returns a server that hosts `general`.
fn general(arguments: &[&str]) -> (Server, TempDir) {
    let data = tempdir().unwrap();
    let server = launch(data.path()).args(arguments).start();
    assert_eq!(server.ask(host_at("general", ADVERTISED.0, ADVERTISED.1)), hosted("general"));
    (server, data)
}

#[test]
fn a_session_reads_and_writes_a_channel_to_the_byte() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let none = refused("Channel not found", "The requested channel 'none' does not exist");
    let elsewhere = refused("Channel hosted elsewhere", "The channel 'away' is hosted at 192.0.2.7:22240");
    let session = [
        (host("general", server.address(0)), hosted("general")),
        (host_at("away", "192.0.2.7", 22240), hosted("away")),
        (join("general"), joined("general", 1, 0)),
        (join("general"), refused("Already joined", "This connection has joined 'general' already")),
        (message("ann", "one"), DELIVERED.to_owned() + &push("general", 1, "ann", "one")),
        (leave("general"), left("general")),
        (leave("general"), refused("Not joined", "This connection has not joined 'general'")),
        (message("ann", "two"), DELIVERED.into()),
        (
            history("general", 1),
            format!("OK\r\n{{\"channel_name\": \"general\", \"messages\": [{}]}}", stored("general", 2, "ann", "two")),
        ),
        (join_after("general", 3), refused("Invalid payload", "Field 'after' is beyond the last id 2")),
        (join("none"), none.clone()),
        (history("none", 5), none),
        (join("away"), elsewhere.clone()),
        (leave("away"), elsewhere),
        (unhost("away"), removed("away")),
        (LIST.into(), crate::requests::listed(&[("general", "127.0.0.1", server.address(0).port())])),
    ];
    let mut peer = server.connect();
    for (request, expected) in &session {
        peer.send(request);
        let got = String::from_utf8(peer.exactly(expected.len() + 19 * expected.matches("\"T\"").count())).unwrap();
        assert_eq!(without_times(&got), *expected, "{request}");
    }
    peer.finish();
    assert_eq!(peer.read_to_end(), "");
    server.stop();
}

#[test]
fn promised_messages_are_sent_after_the_end_of_the_stream() {
    let (server, _data) = general(&[]);
    let said: String = (1..=300).map(|number| message("u", &number.to_string())).collect();
    assert_eq!(without_times(&server.ask(said)), DELIVERED.repeat(300));
    let pushes: String = (1..=300).map(|id| push("general", id, "u", &id.to_string())).collect();
    assert_eq!(without_times(&server.ask(join_after("general", 0))), joined("general", 1, 300) + &pushes);
    assert_eq!(server.ask(join("general")), joined("general", 301, 300));
    server.stop();
}

#[test]
fn two_subscribers_get_each_others_messages_and_a_third_client_gets_none() {
    let (server, data) = general(&[]);
    let (mut ann, mut bob, mut third) = (server.connect(), server.connect(), server.connect());
    for peer in [&mut ann, &mut bob] {
        assert_eq!(peer.ask(join("general")).raw, joined("general", 1, 0));
    }
    for round in 0..20 {
        ann.send(message("ann", &format!("ann {round}")));
        bob.send(message("bob", &format!("bob {round}")));
        assert_eq!(without_times(&third.ask(message("third", "none")).raw), DELIVERED);
        // All subscribers get the three messages in the order in which they were stored.
        let [to_ann, to_bob] = [&mut ann, &mut bob].map(|peer| {
            let got: Vec<_> = (0..4).map(|_| peer.answer()).collect();
            let pushes = got.into_iter().filter(|answer| answer.status == "MESSAGE");
            pushes.map(|push| (push.id(), push.raw)).collect::<Vec<_>>()
        });
        assert_eq!(to_ann, to_bob);
        assert!(to_ann.iter().map(|(id, _)| *id).eq(3 * round + 1..=3 * round + 3), "{to_ann:?}");
    }
    third.finish();
    assert_eq!(third.read_to_end(), "", "a client without a JOIN gets no push");
    assert_eq!(stored_contents(data.path(), "general").len(), 60);
    server.stop();
}

/// Returns the ids of the pushes in what a reader got, which must be dense, and what comes after the last of them.
fn pushed(got: &str, first: u64) -> (u64, Vec<String>) {
    let answers = answers(got);
    let pushes = answers.iter().take_while(|answer| answer.status == "MESSAGE");
    let ids: Vec<u64> = pushes.map(Answer::id).collect();
    let last = first + ids.len() as u64;
    assert!(ids.iter().copied().eq(first..last), "{ids:?}");
    (last - 1, answers.into_iter().skip(ids.len()).map(|answer| answer.raw).collect())
}

#[test]
fn one_stuck_subscriber_costs_the_others_nothing() {
    // A thousand of them read some gigabytes: a long run's.
    let others: u64 = env::var("CHANWIRE_READERS").map_or(100, |readers| readers.parse().unwrap()) - 1;
    raise_file_limit(others + 500);
    let (server, _data) = general(&[]);
    let mut stuck = Peer::connect_narrow(server.address(0));
    assert!(stuck.ask(join("general")).is_ok());
    let content = "x".repeat(60_000);
    // More than the kernel's buffers and the server's bound hold.
    let count = 120;
    let length = push("general", 1, "u", &content).len() + 19;
    let one = move |id: u64| length + id.to_string().len() - 1;
    // The number of messages that all subscribers have together.
    let read = Arc::new(AtomicU64::new(0));
    let mut readers: Vec<Peer> = (0..others).map(|_| server.connect()).collect();
    readers.iter_mut().for_each(|reader| reader.send(join("general")));
    readers.iter_mut().for_each(|reader| assert!(reader.answer().is_ok()));
    let reading: Vec<_> = readers
        .into_iter()
        .enumerate()
        .map(|(index, mut reader)| {
            let read = Arc::clone(&read);
            thread::spawn(move || {
                let (mut bytes, mut hash) = (Vec::new(), DefaultHasher::new());
                for id in 1..=count {
                    let push = reader.exactly(one(id));
                    hash.write(&push);
                    // The bytes of a thousand subscribers are more than a test should keep.
                    if index == 0 {
                        bytes.extend(push);
                    }
                    read.fetch_add(1, Relaxed);
                }
                reader.finish();
                (bytes, hash.finish(), reader.read_to_end())
            })
        })
        .collect();
    let mut sender = server.connect();
    for sent in 0..count {
        // No reader is ever so far behind that it would be slow, however late its thread runs.
        while read.load(Relaxed) + 8 < others * sent {
            thread::yield_now();
        }
        assert!(sender.ask(message("u", &content)).is_ok());
    }
    let mut all = reading.into_iter().map(|reader| reader.join().unwrap());
    let (bytes, hash, rest) = all.next().unwrap();
    assert_eq!((pushed(&String::from_utf8(bytes).unwrap(), 1), rest), ((count, vec![]), String::new()));
    assert!(all.all(|(_, other, rest)| other == hash && rest.is_empty()), "each of them got the same bytes");

    // The stuck subscriber gets whole messages and the error, rejoins and misses nothing.
    let (last, rest) = pushed(&stuck.read_to_end(), 1);
    let slow = "SERVER_ERROR\r\n{\"error\": \"Slow consumer\", \"details\": \"More than 1048576 bytes are waiting to be read\"}";
    assert_eq!(rest, [slow]);
    assert!(last < count);
    let again = server.ask(join_after("general", last));
    let (answer, pushes) = again.split_at(joined("general", last + 1, count).len());
    assert_eq!((answer, pushed(pushes, last + 1)), (&*joined("general", last + 1, count), (count, vec![])));
    server.stop();
}

#[test]
fn after_a_crash_a_subscriber_rejoins_with_after_and_misses_nothing() {
    let (server, data) = general(&[]);
    let mut reader = server.connect();
    assert!(reader.ask(join("general")).is_ok());
    let mut sender = server.connect();
    let sending = thread::spawn(move || {
        let mut acknowledged = 0;
        while sender.try_send(message("u", &format!("{acknowledged}"))).is_ok()
            && sender.try_answer().is_ok_and(|answer| answer.is_ok())
        {
            acknowledged += 1;
        }
        acknowledged
    });
    let mut heard = Vec::new();
    while heard.len() < 200 {
        heard.push(reader.answer());
    }
    server.kill();
    while let Ok(push) = reader.try_answer() {
        heard.push(push);
    }
    let acknowledged = sending.join().unwrap();
    let last = heard.len() as u64;

    let server = launch(data.path()).start();
    for number in 0..10 {
        assert!(server.ask(message("u", &format!("after {number}"))).starts_with("OK"));
    }
    let again = server.ask(join_after("general", last));
    heard.extend(answers(&again).into_iter().skip(1));
    server.stop();
    let received: Vec<(u64, &str)> = heard.iter().map(|push| (push.id(), push.content())).collect();
    let kept = stored_contents(data.path(), "general");
    let kept: Vec<(u64, &str)> = (1..).zip(kept.iter().map(String::as_str)).collect();
    assert_eq!(received, kept);
    assert!(kept.len() >= acknowledged + 10, "{acknowledged} were acknowledged");
}

#[test]
fn only_the_host_and_the_operator_remove_a_channel_and_subscribers_are_notified() {
    let (server, data) = general(&[]);
    let mut reader = server.connect();
    assert!(reader.ask(join("general")).is_ok());
    let other: IpAddr = "127.0.0.2".parse().unwrap();
    let mut stranger = Peer::connect_from(other, server.address(0));
    let not_its_host = refused("Not the channel's host", "Only its host may remove the channel 'general'");
    assert_eq!(stranger.ask(unhost("general")).raw, not_its_host);
    assert_eq!(stranger.ask(host_at("general", "127.0.0.2", 5)).error(), "Channel already exists");
    assert!(stranger.ask(message_to("general", "u", "the last")).is_ok());
    assert_eq!(server.ask(unhost("general")), removed("general"));
    assert_eq!(without_times(&reader.read_to_end()), push("general", 1, "u", "the last") + &channel_removed("general"));

    // The operator's socket speaks the same protocol.
    assert_eq!(stranger.ask(host_at("general", ADVERTISED.0, ADVERTISED.1)).raw, hosted("general"));
    let mut operator = UnixStream::connect(data.path().join("operator.sock")).unwrap();
    operator.set_read_timeout(Some(DEADLINE)).unwrap();
    operator.write_all((unhost("general") + LIST).as_bytes()).unwrap();
    operator.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    operator.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, removed("general") + &crate::requests::listed(&[]));
    // The name's ids go on, and who registered it now is its host.
    assert_eq!(stranger.ask(host_at("general", ADVERTISED.0, ADVERTISED.1)).raw, hosted("general"));
    assert_eq!(stranger.ask(join_after("general", 1)).raw, joined("general", 2, 1));
    assert_eq!(server.ask(unhost("general")), not_its_host);
    drop(stranger);
    server.stop();
    assert_eq!(stored_contents(data.path(), "general"), ["the last"]);
}

#[test]
fn two_thousand_connections_that_join_and_close_leave_none_behind() {
    let (mut server, _data) = general(&["--log", "debug"]);
    let open = || fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count();
    let before = open();
    let mut sender = server.connect();
    for wave in 0..10_u64 {
        let mut readers: Vec<Peer> = (0..200).map(|_| server.connect()).collect();
        for reader in &mut readers {
            assert!(reader.ask(join_after("general", wave)).is_ok());
        }
        assert!(sender.ask(message("u", "x")).is_ok());
        for (number, mut reader) in readers.into_iter().enumerate() {
            match number % 3 {
                0 => drop(reader),
                1 => assert!(reader.answer().raw.contains(&format!("\"id\": {}", wave + 1))),
                _ => {
                    reader.send(leave("general"));
                    reader.finish();
                    assert!(reader.read_to_end().ends_with(&left("general")));
                }
            }
        }
        // The sender's own connection stays.
        wait_for("all of them to be closed", || check(open() == before + 1, open()));
    }
    drop(sender);
    wait_for("the sender to be closed", || check(open() == before, open()));
    server.signal(Signal::TERM);
    assert!(server.wait(DEADLINE).success());
    // Sockets are one thing, and what the hub keeps of their connections is another.
    let log = server.log();
    assert!(log.contains("hub stopped connections=0 joins=0 mailboxes=0"), "{log}");
}

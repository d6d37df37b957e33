//! Delivered means durable: SIGKILL cannot see a missing sync, because the kernel keeps what was only written. So the
//! server runs under strace, and the order of its system calls is looked at.
//!
//! Seen to fail with `synchronous=OFF` and with `synchronous=NORMAL` in the store.

use std::{net::SocketAddr, path::Path, thread};

use chanwire_tests::process::{Launch, Peer, program, wait_for};
use tempfile::tempdir;

use crate::{
    requests::{history, host_at, message_to, unhost},
    trace::{Call, calls, strace, whole_trace},
};

/// One acknowledged request.
struct Acknowledged {
    /// A word that is in what must be stored, and nowhere else; empty where something is removed and nothing else is
    /// stored meanwhile.
    word: String,
    /// The position of its last byte in the bytes that the connection sent.
    last_sent: usize,
    /// The position of its answer's first byte in the bytes that the connection received.
    first_received: usize,
}

/// One connection, and what it was acknowledged.
struct Conversation {
    own: SocketAddr,
    requests: Vec<Acknowledged>,
}

/// Sends rounds of requests, each round in one write, and reads all its answers before the next.
fn converse(mut peer: Peer, connection: usize, rounds: &[usize]) -> Conversation {
    let mut conversation = Conversation { own: peer.address(), requests: Vec::new() };
    let (mut sent, mut received) = (0, 0);
    for (round, size) in rounds.iter().enumerate() {
        let mut words = Vec::new();
        let mut stream = String::new();
        for number in 0..*size {
            let word = format!("word-{connection}-{round}-{number}-");
            stream += &match number % 4 {
                1 => host_at(&word, "192.0.2.7", 22240),
                _ => message_to("general", "u", &word),
            };
            words.push((word, sent + stream.len() - 1));
        }
        peer.send(&stream);
        sent += stream.len();
        for (word, last_sent) in words {
            let answer = peer.answer();
            assert!(answer.is_ok(), "{}", answer.raw);
            conversation.requests.push(Acknowledged { word, last_sent, first_received: received });
            received += answer.raw.len();
        }
    }
    conversation
}

/// Hosts a channel and removes it, each alone.
fn host_and_unhost(mut peer: Peer, rounds: usize) -> Conversation {
    let mut conversation = Conversation { own: peer.address(), requests: Vec::new() };
    let (mut sent, mut received) = (0, 0);
    for round in 0..rounds {
        let name = format!("removed-{round}-");
        for (request, word) in [(host_at(&name, "192.0.2.7", 22240), name.clone()), (unhost(&name), String::new())] {
            sent += request.len();
            let answer = peer.ask(request);
            assert!(answer.is_ok(), "{}", answer.raw);
            conversation.requests.push(Acknowledged { word, last_sent: sent - 1, first_received: received });
            received += answer.raw.len();
        }
    }
    conversation
}

/// Returns the call, among these of one connection, that carried the byte of this number.
fn carrying<'c>(calls: &[&'c Call], byte: usize) -> &'c Call {
    let mut carried = 0;
    let mut calls = calls.iter().filter(|call| call.result > 0);
    calls
        .find(|call| {
            carried += usize::try_from(call.result).unwrap();
            carried > byte
        })
        .unwrap_or_else(|| panic!("nothing carried byte {byte}, only {carried} bytes were"))
}

/// Between the read that ends a request and the write that begins its answer, what it stores was written to the log,
/// and then a sync of the log returned.
fn was_synced_before_its_answer(calls: &[Call], conversation: &Conversation, log: &Path) {
    let peer = format!("->{}]", conversation.own);
    let on_connection = |names: &[&str]| -> Vec<&Call> {
        calls.iter().filter(|call| call.on.ends_with(&peer) && names.contains(&call.name.as_str())).collect()
    };
    let reads = on_connection(&["read", "recvfrom", "readv", "recvmsg"]);
    let writes = on_connection(&["write", "writev", "sendto", "sendmsg"]);
    for Acknowledged { word, last_sent, first_received } in &conversation.requests {
        let read = carrying(&reads, *last_sent);
        let answer = carrying(&writes, *first_received);
        let mut after = calls.iter().skip_while(|call| call.begin < read.end);
        let stored = after.find(|call| call.is_write_to(log) && call.arguments.contains(word.as_str()));
        let stored = stored.unwrap_or_else(|| panic!("{word} was never written to the log"));
        let sync = calls.iter().find(|call| call.begin > stored.end && call.is_sync_of(log));
        let sync = sync.unwrap_or_else(|| panic!("the log was never synced after {word} was written to it"));
        assert!(sync.end < answer.begin, "{word} was answered before it was synced:\n{sync:?}\n{answer:?}");
    }
}

#[test]
fn every_acknowledgement_follows_a_sync_of_its_write() {
    let (data, traces) = (tempdir().unwrap(), tempdir().unwrap());
    let trace = traces.path().join("trace");
    let traced = "read,recvfrom,readv,recvmsg,write,writev,sendto,sendmsg,pwrite64,fsync,fdatasync";
    let launch = Launch::serve(data.path()).args(["--advertise", "192.0.2.9:22236"]);
    let server = launch.under(strace(&trace, 8192, traced)).start();
    // The first thing that is stored at all, in a connection of its own.
    let mut first = server.connect();
    let own = first.address();
    let request = host_at("general", "192.0.2.9", 22236);
    assert!(first.ask(&request).is_ok());
    let begin = Acknowledged { word: "general".into(), last_sent: request.len() - 1, first_received: 0 };
    let mut conversations = vec![Conversation { own, requests: vec![begin] }];

    let conversing: Vec<_> = (0..4)
        .map(|connection| {
            let peer = server.connect();
            thread::spawn(move || converse(peer, connection, &[1, 1, 1, 2, 1, 20, 3, 1, 1, 5]))
        })
        .collect();
    conversations.extend(conversing.into_iter().map(|conversation| conversation.join().unwrap()));
    conversations.push(host_and_unhost(server.connect(), 5));
    let calls = calls(&whole_trace(server, &trace));
    // The server's path for it: what the temporary directory is a link to.
    let log = data.path().canonicalize().unwrap().join("chanwire.db-wal");
    for conversation in &conversations {
        was_synced_before_its_answer(&calls, conversation, &log);
    }
    assert_eq!(conversations.iter().map(|conversation| conversation.requests.len()).sum::<usize>(), 1 + 4 * 36 + 2 * 5);

    // The log's name was durable too before the first answer, and so was the database's.
    let directory = log.parent().unwrap();
    let created = calls.iter().find(|call| call.is_write_to(&log)).unwrap();
    let named = calls.iter().find(|call| call.begin > created.begin && call.is_sync_of(directory)).unwrap();
    let answer = calls.iter().find(|call| call.on.ends_with(&format!("->{own}]")) && call.name != "recvfrom").unwrap();
    assert!(named.end < answer.begin, "{named:?}\n{answer:?}");
}

/// Counts the restarts of the WAL. Before each, all pages moved from it into the database were synced: the WAL's frames
/// are overwritten then, and acknowledged messages are in the database's file alone.
fn restarts_after_syncs(calls: &[Call], database: &Path, log: &Path) -> usize {
    let moved: Vec<&Call> = calls.iter().filter(|call| call.is_write_to(database)).collect();
    let begun: Vec<&Call> = calls.iter().filter(|call| call.is_write_at(log, 0)).collect();
    let mut restarts = 0;
    for restart in &begun {
        let Some(last) = moved.iter().take_while(|call| call.begin < restart.begin).last() else { continue };
        let mut after = calls.iter().skip_while(|call| call.begin <= last.end);
        let sync = after.find(|call| call.is_sync_of(database)).map(|sync| sync.end);
        assert!(
            sync.is_some_and(|end| end < restart.begin),
            "the log was begun anew before the database was synced:\n{last:?}\n{restart:?}"
        );
        restarts += 1;
    }
    restarts
}

/// Runs a command to its end, which must be a success, and returns its calls of these kinds.
fn traced_calls(command: Launch, trace: &Path, kinds: &str) -> Vec<Call> {
    let strace = program("strace");
    let options = ["-f", "-yy", "-s", "256", "-o", trace.to_str().unwrap()];
    let kinds = format!("-etrace={kinds}");
    let wrapper = [strace.to_str().unwrap()].into_iter().chain(options).chain([kinds.as_str()]);
    let finished = command.under(wrapper).run();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    calls(&std::fs::read_to_string(trace).unwrap())
}

const WRITES: &str = "pwrite64,write,fsync,fdatasync,link,linkat,rename,renameat,renameat2";

#[test]
fn the_database_is_synced_before_the_wal_is_restarted() {
    let (data, traces) = (tempdir().unwrap(), tempdir().unwrap());
    let directory = data.path().canonicalize().unwrap();
    let (database, log) = (directory.join("chanwire.db"), directory.join("chanwire.db-wal"));
    let trace = traces.path().join("trace");
    // A small store has a short log.
    let launch = Launch::serve(data.path()).args(["--advertise", "192.0.2.9:22236", "--store-max", "16M"]);
    let server = launch.clone().under(strace(&trace, 16, WRITES)).start();
    let mut peer = server.connect();
    assert!(peer.ask(host_at("general", "192.0.2.9", 22236)).is_ok());
    for _ in 0..400 {
        peer.send(message_to("general", "u", "x").repeat(150));
        (0..150).for_each(|_| assert!(peer.answer().is_ok()));
    }
    let restarts = restarts_after_syncs(&calls(&whole_trace(server, &trace)), &database, &log);
    assert!(restarts >= 2, "the log was begun anew {restarts} times");

    // Without a commit it is retention that moves the log.
    let launch = launch.args(["--retain-count", "1"]).under(strace(&trace, 16, WRITES));
    let server = launch.start();
    let mut peer = server.connect();
    wait_for("retention", || {
        let history = peer.ask(history("general", 2));
        (history.payload["messages"].as_array()?.len() == 1).then_some(())
    });
    let restarts = restarts_after_syncs(&calls(&whole_trace(server, &trace)), &database, &log);
    assert!(restarts >= 2, "retention began the log anew {restarts} times");
}

#[test]
fn a_backup_is_synced_before_its_rename_and_the_rename_before_success_is_reported() {
    let (data, backups, traces) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let server = Launch::serve(data.path()).args(["--advertise", "192.0.2.9:22236"]).start();
    let mut peer = server.connect();
    assert!(peer.ask(host_at("general", "192.0.2.9", 22236)).is_ok());
    assert!(peer.ask(message_to("general", "u", "kept")).is_ok());
    let trace = traces.path().join("trace");
    let directory = backups.path().canonicalize().unwrap();
    let (file, part) = (directory.join("some.db"), directory.join("some.db.part"));
    let launch = Launch::new(["backup", "--data-dir"]).arg(data.path()).arg(&file);
    let calls = traced_calls(launch, &trace, WRITES);
    let named = calls.iter().find(|call| call.names(&file)).unwrap_or_else(|| panic!("never named: {calls:?}"));
    let written = calls.iter().rfind(|call| call.is_write_to(&part)).unwrap();
    let synced = calls.iter().find(|call| call.begin > written.end && call.is_sync_of(&part));
    assert!(synced.is_some_and(|sync| sync.end < named.begin), "named before it was synced:\n{written:?}\n{named:?}");
    let directory_synced = calls.iter().find(|call| call.begin > named.end && call.is_sync_of(&directory)).unwrap();
    let said = calls.iter().find(|call| call.name == "write" && call.arguments.contains("backed up")).unwrap();
    assert!(directory_synced.end < said.begin, "{directory_synced:?}\n{said:?}");
    server.stop();
}

#[test]
fn a_restored_database_is_synced_before_its_rename_and_the_rename_before_success_is_reported() {
    let (data, backups, traces) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let server = Launch::serve(data.path()).args(["--advertise", "192.0.2.9:22236"]).start();
    let mut peer = server.connect();
    assert!(peer.ask(host_at("general", "192.0.2.9", 22236)).is_ok());
    assert!(peer.ask(message_to("general", "u", "kept")).is_ok());
    server.stop();
    let backup = backups.path().join("some.db");
    let copied = Launch::new(["backup", "--data-dir"]).arg(data.path()).arg(&backup).run();
    assert_eq!(copied.code, Some(0), "{copied:?}");

    let trace = traces.path().join("trace");
    let directory = data.path().canonicalize().unwrap();
    let (database, part) = (directory.join("chanwire.db"), directory.join("chanwire.db.part"));
    let launch = Launch::new(["restore", "--data-dir"]).arg(data.path()).arg(&backup);
    let calls = traced_calls(launch, &trace, &format!("{WRITES},unlink,unlinkat"));
    let synced_between = |file: &Path, from: usize, to: usize| {
        calls.iter().any(|call| call.begin > from && call.end < to && call.is_sync_of(file))
    };
    let written = calls.iter().rfind(|call| call.is_write_to(&part)).unwrap();
    // The database that was there has one more name, before its own is the other's. A mark was durable by then.
    let kept = calls.iter().find(|call| call.name.starts_with("link") && call.result == 0).unwrap();
    let named = calls.iter().find(|call| call.name.starts_with("rename") && call.names(&database)).unwrap();
    assert!(synced_between(&part, written.end, kept.begin), "not synced before others were touched: {calls:?}");
    assert!(synced_between(&directory, written.end, kept.begin), "the mark was not durable: {calls:?}");
    assert!(synced_between(&directory, kept.end, named.begin), "what was there could be lost: {calls:?}");
    let quoted = format!("\"{}\"", directory.join("chanwire.restoring").display());
    let unmarked =
        calls.iter().find(|call| call.name.starts_with("unlink") && call.arguments.contains(&quoted)).unwrap();
    assert!(synced_between(&directory, named.end, unmarked.begin), "the mark went too early: {calls:?}");
    let said = calls.iter().find(|call| call.name == "write" && call.arguments.contains("restored")).unwrap();
    assert!(synced_between(&directory, unmarked.end, said.begin), "{said:?}");
}

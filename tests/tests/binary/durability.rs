//! Delivered means durable: SIGKILL cannot see a missing sync, because the kernel keeps what was only written. So the
//! server runs under strace, and the order of its system calls is looked at.
//!
//! Seen to fail with `synchronous=OFF` and with `synchronous=NORMAL` in the store.

use std::{fs, net::SocketAddr, path::Path, thread};

use chanwire_tests::process::{Launch, Peer, Signal, program, wait_for};
use tempfile::tempdir;

use crate::{
    requests::{host_at, message_to, unhost},
    trace::{Call, calls},
};

/// One acknowledged request.
struct Acknowledged {
    /// A word that is in what must be stored, and nowhere else; empty where something is removed and nothing else is
    /// stored meanwhile.
    word: String,
    /// Where its last byte stands in what the connection sent.
    last_sent: usize,
    /// Where the first byte of its answer stands in what the connection received.
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

/// The call, among these of one connection, that carried the byte of this number.
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
fn every_acknowledgement_follows_a_sync_of_what_it_acknowledges() {
    let (data, traces) = (tempdir().unwrap(), tempdir().unwrap());
    let trace = traces.path().join("trace");
    let strace = program("strace");
    // `-D` makes the server this test's own child, and strace the one who looks on.
    let wrapper = [strace.to_str().unwrap(), "-D", "-f", "-yy", "-s", "8192", "-o", trace.to_str().unwrap()];
    let traced = "-etrace=read,recvfrom,readv,recvmsg,write,writev,sendto,sendmsg,pwrite64,fsync,fdatasync";
    let launch = Launch::serve(data.path()).args(["--advertise", "192.0.2.9:22236"]);
    let mut server = launch.under(wrapper.into_iter().chain([traced])).start();
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
    server.signal(Signal::TERM);
    assert!(server.wait(chanwire_tests::process::DEADLINE).success(), "{}", server.log());
    let id = server.id().to_string();
    let text = wait_for("the end of the trace", || {
        let text = String::from_utf8_lossy(&fs::read(&trace).unwrap()).into_owned();
        let mut ends = text.lines().filter_map(|line| line.strip_suffix("+++ exited with 0 +++"));
        ends.any(|thread| thread.trim_end() == id).then_some(text)
    });

    let calls = calls(&text);
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

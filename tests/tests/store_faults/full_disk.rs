//! A disk that is full, by a limit on the size of files, and then is not.

use std::{
    collections::BTreeSet,
    thread::{self, JoinHandle},
};

use chanwire_tests::process::{Peer, Server, wait_for};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tempfile::tempdir;

use crate::{host_general, join_after, message, number, serve, stored};

const UNABLE: &str = "SERVER_ERROR\r\n{\"error\": \"Database connection failed\", \"details\": \"Unable to store message in channel database\"}";

const SENDERS: usize = 4;

fn content(sender: usize, number: usize) -> String {
    format!("{sender}.{number} {}", "x".repeat(1_500))
}

fn limit_files(server: &Server, bytes: Option<u64>) {
    let id = i32::try_from(server.id()).ok().and_then(Pid::from_raw);
    let maximum = getrlimit(Resource::Fsize).maximum;
    prlimit(id, Resource::Fsize, Rlimit { current: bytes, maximum }).unwrap();
}

/// Sends from this number on, ten at a time, until five were refused, and says which were delivered and which not.
fn until_refused(mut peer: Peer, sender: usize, first: usize) -> JoinHandle<(Vec<usize>, Vec<usize>)> {
    thread::spawn(move || {
        let (mut delivered, mut refused) = (Vec::new(), Vec::new());
        for batch in (first..first + 100_000).step_by(10) {
            peer.send((batch..batch + 10).map(|number| message("u", &content(sender, number))).collect::<String>());
            for number in batch..batch + 10 {
                let answer = peer.answer();
                if answer.is_ok() {
                    delivered.push(number);
                } else {
                    assert_eq!(answer.raw, UNABLE);
                    refused.push(number);
                }
            }
            if refused.len() >= 5 {
                return (delivered, refused);
            }
        }
        panic!("the disk never became full")
    })
}

#[test]
fn a_full_disk_acknowledges_nothing_and_the_server_recovers_by_itself() {
    let data = tempdir().unwrap();
    let server = serve(data.path()).start();
    host_general(&server);
    let mut reader = server.connect();
    assert!(reader.ask(join_after(0)).is_ok());
    let (mut delivered, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..3 {
        limit_files(&server, Some((round + 1) * 600_000));
        let first = usize::try_from(round).unwrap() * 100_000;
        let senders: Vec<_> = (0..SENDERS).map(|sender| until_refused(server.connect(), sender, first)).collect();
        for (sender, sending) in senders.into_iter().enumerate() {
            let (yes, no) = sending.join().unwrap();
            delivered.extend(yes.into_iter().map(|number| content(sender, number)));
            refused.extend(no.into_iter().map(|number| content(sender, number)));
        }
        // Reads are served all the while.
        let mut peer = server.connect();
        assert!(peer.ask("LIST\r\n").is_ok());
        assert!(peer.ask("HISTORY\r\n{\"channel_name\": \"general\", \"limit\": 3}").is_ok());
        limit_files(&server, None);
        wait_for("a message that is stored again", || {
            let again = format!("again {round}");
            let answer = peer.ask(message("u", &again));
            if answer.is_ok() { Ok(delivered.insert(again)) } else { Err(answer) }
        });
    }
    server.wait_for_log("the store works again");

    let last_id = number(&server.connect().ask(join_after(0)), "last_id");
    let heard: Vec<(i64, String)> = (1..=last_id)
        .map(|_| reader.answer())
        .map(|push| (number(&push, "id"), push.payload["message_content"].as_str().unwrap().to_owned()))
        .collect();
    server.kill();
    let stored = stored::general(data.path());
    assert!(heard.iter().map(|(id, text)| (id, text)).eq(stored.iter().map(|(id, _, text)| (id, text))));
    let texts: BTreeSet<String> = stored.iter().map(|(_, _, text)| text.clone()).collect();
    assert_eq!(texts.len(), stored.len(), "something is stored twice");
    assert!(delivered.is_subset(&texts), "something that was acknowledged is not stored");
    // A refused message is "not known to be stored"; with a full disk none of them is.
    assert!(texts.is_disjoint(&refused), "something that was refused is stored");
}

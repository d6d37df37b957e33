//! A store that may take only so much, and a disk that has only so much left.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread,
};

use chanwire_tests::process::{Peer, Server, check, wait_for};
use tempfile::tempdir;

use crate::{host_general, message, serve};

const UNABLE: &str = "SERVER_ERROR\r\n{\"error\": \"Database connection failed\", \"details\": \"Unable to store message in channel database\"}";

/// Returns the bytes that the files of a directory take on the disk.
fn taken(data_dir: &Path) -> u64 {
    let files = fs::read_dir(data_dir).unwrap().map(|entry| entry.unwrap());
    files.filter_map(|entry| entry.metadata().ok()).map(|file| file.blocks() * 512).sum()
}

/// Sends so many batches, and says how many of the messages were delivered. The others were refused as they should be.
fn flood(mut peer: Peer, batches: usize) -> usize {
    let batch = message("u", &"x".repeat(20_000)).repeat(20);
    let mut delivered = 0;
    for _ in 0..batches {
        peer.send(&batch);
        for _ in 0..20 {
            let answer = peer.answer();
            assert!(answer.is_ok() || answer.raw == UNABLE, "{}", answer.raw);
            delivered += usize::from(answer.is_ok());
        }
    }
    delivered
}

#[test]
fn a_store_never_exceeds_its_size_limit() {
    let data = tempdir().unwrap();
    let server = serve(data.path()).args(["--store-max", "16M"]).start();
    host_general(&server);
    assert!(server.banner().iter().any(|line| line == "storing at most 16 MiB"), "{:?}", server.banner());
    let flooding: Vec<_> = (0..3).map(|_| server.connect()).map(|peer| thread::spawn(|| flood(peer, 60))).collect();
    let mut most = 0;
    while flooding.iter().any(|flood| !flood.is_finished()) {
        most = most.max(taken(data.path()));
        thread::yield_now();
    }
    let delivered: usize = flooding.into_iter().map(|flood| flood.join().unwrap()).sum();
    // The lock, the operator's socket, and the WAL's index are beside the two files.
    assert!(most <= (16 << 20) + (1 << 20), "{most} bytes");
    assert!(delivered > 2_000, "only {delivered} of 3600");
    let mut peer = server.connect();
    assert!(peer.ask(message("u", "the last")).is_ok());
    let last = peer.ask("HISTORY\r\n{\"channel_name\": \"general\", \"limit\": 1}");
    assert!(last.raw.contains("the last"), "{}", last.raw);
    server.stop();
}

/// Returns a server whose data directory is a file system of its own, of 64 MiB, in a namespace that ends with it.
fn on_a_small_disk(data: &Path) -> (Server, PathBuf) {
    let mount = format!("mount -t tmpfs -o size=64M,mode=700 none {} && exec \"$0\" \"$@\"", data.display());
    let launch = serve(data).args(["--store-min-free", "32M"]).under(["unshare", "-rm", "sh", "-c", &mount]);
    let server = launch.start();
    let inside = PathBuf::from(format!("/proc/{}/root{}", server.id(), data.display()));
    (server, inside)
}

#[test]
fn nothing_is_stored_while_free_space_is_low_and_the_store_recovers_by_itself() {
    let data = tempdir().unwrap();
    let (server, inside) = on_a_small_disk(data.path());
    host_general(&server);
    let mut peer = server.connect();
    assert!(peer.ask(message("u", "before")).is_ok());
    for round in 0..2 {
        fs::write(inside.join("filler"), vec![1; 40 << 20]).unwrap();
        wait_for("a refusal", || (peer.ask(message("u", "filling")).raw == UNABLE).then_some(()));
        assert_eq!(peer.ask(message("u", "refused")).raw, UNABLE);
        // Stored messages are read, and a channel can be removed.
        assert!(
            peer.ask("HISTORY\r\n{\"channel_name\": \"general\", \"after\": 0, \"limit\": 1}").raw.contains("before")
        );
        assert!(peer.ask("LIST\r\n").is_ok());
        server.wait_for_log("storing is stopped: too little space is free");
        fs::remove_file(inside.join("filler")).unwrap();
        wait_for("a message that is stored again", || peer.ask(message("u", "again")).is_ok().then_some(()));
        wait_for("both in the log", || {
            let log = server.log();
            let count = |text| log.matches(text).count();
            check(count("storing is stopped") == round + 1 && count("storing goes on") == round + 1, log)
        });
    }
    server.stop();
}

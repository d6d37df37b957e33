//! A database that something else removes or changes under a running server: nothing is acknowledged from then on.

use std::{fs, path::Path};

use chanwire_tests::process::Launch;
use tempfile::tempdir;

use crate::{host_general, message, serve, stored};

const UNABLE: &str = "SERVER_ERROR\r\n{\"error\": \"Database connection failed\", \"details\": \"Unable to store message in channel database\"}";

type Fault = fn(&Path, &Path);

const FAULTS: [(&str, Fault); 6] = [
    ("was removed, or its directory was moved", |data, _| fs::remove_file(data.join("chanwire.db")).unwrap()),
    ("was removed, or its directory was moved", |data, _| fs::rename(data, data.with_file_name("away")).unwrap()),
    ("was replaced by another file", |data, backup| {
        fs::copy(backup, data.join("new")).unwrap();
        fs::rename(data.join("new"), data.join("chanwire.db")).unwrap();
    }),
    ("was ", |data, backup| assert!(fs::copy(backup, data.join("chanwire.db")).unwrap() > 0)),
    ("was cut short, to 100 bytes of ", |data, _| {
        fs::OpenOptions::new().write(true).open(data.join("chanwire.db")).unwrap().set_len(100).unwrap();
    }),
    ("was cut short, to 0 bytes of ", |data, _| {
        fs::File::create(data.join("chanwire.db-wal")).unwrap();
    }),
];

#[test]
fn outside_changes_are_detected_and_logged_before_the_next_acknowledgement() {
    for (number, (logged, fault)) in FAULTS.iter().enumerate() {
        let parent = tempdir().unwrap();
        let (data, backup) = (parent.path().join("data"), parent.path().join("some.db"));
        let server = serve(&data).start();
        host_general(&server);
        let mut peer = server.connect();
        for text in ["1", "2", "3"] {
            assert!(peer.ask(message("u", text)).is_ok());
        }
        let made = Launch::new(["backup", "--data-dir"]).arg(&data).arg(&backup).run();
        assert_eq!(made.code, Some(0), "{made:?}");
        assert!(peer.ask(message("u", "4")).is_ok());
        fault(&data, &backup);
        let bytes = |name| fs::read(data.join(name)).ok();
        let before = ["chanwire.db", "chanwire.db-wal"].map(bytes);
        for _ in 0..3 {
            assert_eq!(peer.ask(message("u", "lost")).raw, UNABLE, "fault {number}");
        }
        assert!(peer.ask("LIST\r\n").is_ok());
        server.wait_for_log(logged);
        server.wait_for_log("stop the server, put the data directory back or restore a backup");
        server.stop();
        assert!(["chanwire.db", "chanwire.db-wal"].map(bytes) == before, "fault {number}: shutting down changed it");
    }
}

#[test]
fn a_directory_that_was_moved_away_and_back_has_all_that_was_acknowledged() {
    let parent = tempdir().unwrap();
    let (data, away) = (parent.path().join("data"), parent.path().join("away"));
    let server = serve(&data).start();
    host_general(&server);
    let mut peer = server.connect();
    assert!(peer.ask(message("u", "1")).is_ok());
    fs::rename(&data, &away).unwrap();
    assert_eq!(peer.ask(message("u", "lost")).raw, UNABLE);
    server.stop();
    fs::rename(&away, &data).unwrap();
    let server = serve(&data).start();
    assert!(server.connect().ask(message("u", "2")).is_ok());
    server.stop();
    let contents: Vec<String> = stored::general(&data).into_iter().map(|(_, _, text)| text).collect();
    assert_eq!(contents, ["1", "2"]);
}

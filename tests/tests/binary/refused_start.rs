//! Starts that cannot work: one line that says why, an exit code, and nothing touched.

use std::{collections::BTreeMap, fs, net::TcpListener, path::Path};

use chanwire_tests::process::Launch;
use rusqlite::Connection;
use tempfile::tempdir;

use crate::requests::{LIST, host_at, hosted, listed};

/// Returns the bytes of each file in a directory, but the lock's. The operator's socket has none.
fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let files = files.filter(|file| file.file_type().unwrap().is_file());
    let files = files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()));
    files.filter(|(name, _)| name != "chanwire.lock").collect()
}

#[test]
fn a_second_server_on_the_same_data_is_refused_and_the_first_goes_on() {
    let data = tempdir().unwrap();
    let launch = Launch::serve(data.path());
    let first = launch.start();
    assert_eq!(first.ask(host_at("before", "192.0.2.7", 1)), hosted("before"));
    let second = launch.run();
    let line = second.refusal(1);
    for part in
        [&format!("in use by another chanwire process (pid {})", first.id()), &data.path().display().to_string()]
    {
        assert!(line.contains(part.as_str()), "{line}");
    }
    assert_eq!(first.ask(host_at("after", "192.0.2.7", 1)), hosted("after"));
    assert_eq!(first.ask(LIST), listed(&[("before", "192.0.2.7", 1), ("after", "192.0.2.7", 1)]));
    first.kill();
    // The first server's lock ends with it, in any kind of end.
    launch.start().stop();
}

#[test]
fn a_port_in_use_is_named() {
    let data = tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let page = Launch::new(["serve", "--listen", "127.0.0.1:0", "--http", &address, "--data-dir"]).arg(data.path());
    let listen = Launch::serve(data.path()).args(["--listen", &address]);
    let host = Launch::serve(data.path()).args(["--host", &format!("general=192.0.2.7:1@{address}")]);
    for (launch, flag) in [(listen, "--listen"), (host, "--host"), (page, "--http")] {
        let finished = launch.run();
        let line = finished.refusal(1);
        assert!(line.starts_with(&format!("chanwire: cannot listen on {address}: ")) && line.contains(flag), "{line}");
    }
}

#[test]
fn an_address_that_is_not_this_machines_is_named() {
    let data = tempdir().unwrap();
    let finished = Launch::serve(data.path()).args(["--listen", "192.0.2.7:22236"]).run();
    assert!(finished.refusal(1).contains("cannot listen on 192.0.2.7:22236: "), "{finished:?}");
}

#[test]
fn an_impossible_data_directory_is_named() {
    let base = tempdir().unwrap();
    let file = base.path().join("file");
    fs::write(&file, "precious").unwrap();
    for path in [file.clone(), file.join("below"), "/proc/chanwire".into(), "/dev/null/chanwire".into()] {
        let finished = Launch::serve(&path).run();
        let line = finished.refusal(1);
        assert!(line.contains(&format!("the data directory {}: ", path.display())), "{line}");
        assert!(line.contains("--data-dir"), "{line}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

/// Checks that it is refused with one line that says this, and is left as it was.
fn is_left_as_it_was(data_dir: &Path, says: &str) {
    let before = contents(data_dir);
    let finished = Launch::serve(data_dir).run();
    let line = finished.refusal(1);
    assert!(line.contains(says) && line.contains("chanwire.db"), "{line}");
    assert_eq!(contents(data_dir), before, "{says}");
}

#[test]
fn a_file_that_is_no_database_is_left_as_it_was() {
    for bytes in [&b"precious notes\n"[..], b"x", &[0; 8192], b"SQLite format 3\0"] {
        let data = tempdir().unwrap();
        fs::write(data.path().join("chanwire.db"), bytes).unwrap();
        is_left_as_it_was(data.path(), "is not a database, and was left as it is");
    }
}

#[test]
fn the_database_of_another_application_is_left_as_it_was() {
    for (application_id, mode) in [(0, "DELETE"), (0x0f05_5112, "WAL")] {
        let data = tempdir().unwrap();
        let other = Connection::open(data.path().join("chanwire.db")).unwrap();
        other.pragma_update_and_check(None, "journal_mode", mode, |_| Ok(())).unwrap();
        other.pragma_update(None, "application_id", application_id).unwrap();
        other.execute_batch("CREATE TABLE channels (precious TEXT); INSERT INTO channels VALUES ('notes')").unwrap();
        other.close().unwrap();
        is_left_as_it_was(data.path(), "is the database of another application");
    }
}

#[test]
fn a_newer_servers_database_is_left_as_it_was() {
    let data = tempdir().unwrap();
    Launch::serve(data.path()).start().stop();
    let newer = Connection::open(data.path().join("chanwire.db")).unwrap();
    newer.pragma_update(None, "user_version", 1_000).unwrap();
    newer.close().unwrap();
    is_left_as_it_was(data.path(), "was written by a newer chanwire");
}

#[test]
fn a_log_whose_database_is_gone_is_left_as_it_was() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    assert_eq!(server.ask(host_at("a", "192.0.2.7", 1)), hosted("a"));
    server.kill();
    let database = data.path().join("chanwire.db");
    let kept = fs::read(&database).unwrap();
    fs::remove_file(&database).unwrap();
    is_left_as_it_was(data.path(), "is missing, but its log");
    fs::write(&database, kept).unwrap();
    assert_eq!(Launch::serve(data.path()).start().ask(LIST), listed(&[("a", "192.0.2.7", 1)]));
}

#[test]
fn a_command_line_that_is_wrong_is_refused_with_two() {
    let data = tempdir().unwrap();
    for wrong in [
        &["--nonsense"][..],
        &["--listen", "127.0.0.1"],
        &["--listen", "localhost:22236"],
        &["--http", "nowhere"],
        &["--host", "general"],
        &["--host", "general=chat.example:1"],
        &["--host", "=192.0.2.7:1"],
        &["--advertise", "not an address"],
        &["--max-payload", "0"],
        &["--max-payload", "many"],
        &["--max-connections", "0"],
        &["--max-channels", "0"],
        &["--request-timeout", "0"],
        &["--write-timeout", "0"],
        &["--log-format", "xml"],
    ] {
        let finished = Launch::new(["serve", "--data-dir"]).arg(data.path()).args(wrong).run();
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{wrong:?}: {finished:?}");
        assert!(finished.stderr.contains(wrong[0]), "{wrong:?}: {finished:?}");
    }
    assert!(contents(data.path()).is_empty());
}

#[test]
fn a_log_level_that_is_none_is_a_wrong_command_line() {
    let data = tempdir().unwrap();
    let finished = Launch::serve(data.path()).args(["--log", "a=b=c"]).run();
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(finished.stderr.contains("--log"), "{finished:?}");
}

#[test]
fn a_channel_given_twice_is_a_wrong_command_line() {
    let data = tempdir().unwrap();
    let twice = ["--host", "a=192.0.2.7:1@127.0.0.1:0", "--host", "a=192.0.2.7:2@127.0.0.1:0"];
    let finished = Launch::serve(data.path()).args(twice).run();
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(finished.stderr.contains("--host"), "{finished:?}");
}

#[test]
fn the_log_can_be_lines_of_json() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).args(["--log-format", "json", "--log", "debug"]).start();
    assert_eq!(server.ask(LIST), listed(&[]));
    server.wait_for_log("client_closed");
    let log = server.log();
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    server.stop();
}

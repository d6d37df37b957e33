//! Files that the program makes: who may read them, and what stands at their names already.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    time::Duration,
};

use chanwire_tests::process::{Launch, Peer, Server, Signal, check, wait_for};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::tempdir;

use crate::requests::{LIST, host, hosted, listed};

/// Longer than any stop may take.
const STOP: Duration = Duration::from_secs(10);

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn tap(server: &Server, file: &Path) -> Launch {
    let to = server.address(0).to_string();
    Launch::new(["tap", "--http", "off", "--listen", "127.0.0.1:0", "--to", &to, "--write"]).arg(file)
}

#[test]
fn every_written_file_is_private_under_any_umask() {
    for umask in ["000", "022", "077", "117", "777"] {
        let base = tempdir().unwrap();
        let data = base.path().join("deep/data");
        let after = |launch: Launch| launch.after(&format!("umask {umask}"));
        let server = after(Launch::serve(&data)).start();
        assert_eq!(server.ask(host("general", server.address(0))), hosted("general"));
        for folder in [base.path().join("deep"), data.clone()] {
            assert_eq!(mode(&folder), 0o700, "umask {umask}: {}", folder.display());
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&data).unwrap().map(Result::unwrap) {
            assert_eq!(mode(&entry.path()), 0o600, "umask {umask}: {}", entry.path().display());
            names.push(entry.file_name().into_string().unwrap());
        }
        names.sort();
        assert_eq!(
            names,
            [
                "chanwire.db",
                "chanwire.db-shm",
                "chanwire.db-wal",
                "chanwire.last-commit",
                "chanwire.lock",
                "operator.sock"
            ],
            "a file that this test does not know"
        );
        let backup = base.path().join("backup.db");
        let copied = after(Launch::new(["backup", "--data-dir"]).arg(&data).arg(&backup)).run();
        assert_eq!((copied.code, mode(&backup)), (Some(0), 0o600), "umask {umask}: {copied:?}");
        for name in ["t.jsonl", "t.pcapng"] {
            let file = base.path().join(name);
            after(tap(&server, &file)).start().stop();
            assert_eq!(mode(&file), 0o600, "umask {umask}: {name}");
        }
        server.stop();
    }
}

#[test]
fn a_capture_that_replaces_a_readable_file_is_private() {
    let base = tempdir().unwrap();
    let server = Launch::serve(&base.path().join("data")).start();
    let file = base.path().join("t.jsonl");
    fs::write(&file, "old\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    tap(&server, &file).arg("--overwrite").start().stop();
    assert_eq!(mode(&file), 0o600);
    server.stop();
}

#[test]
fn a_link_at_a_name_of_the_data_directory_never_leads_to_its_target() {
    for name in [
        "chanwire.db",
        "chanwire.db.new",
        "chanwire.db-wal",
        "chanwire.db-shm",
        "chanwire.erasing",
        "chanwire.last-commit",
        "chanwire.lock",
        "operator.sock",
    ] {
        for exists in [true, false] {
            let base = tempdir().unwrap();
            let (data, target) = (base.path().join("data"), base.path().join("target"));
            fs::create_dir(&data).unwrap();
            if exists {
                fs::write(&target, "precious").unwrap();
                fs::set_permissions(&target, fs::Permissions::from_mode(0o644)).unwrap();
            }
            symlink(&target, data.join(name)).unwrap();
            match Launch::serve(&data).try_start() {
                // One that is only in the way is removed; without the operator's socket it serves, and says so.
                Ok(server) => {
                    assert!(
                        matches!(name, "chanwire.db.new" | "chanwire.erasing" | "operator.sock"),
                        "{name} was taken"
                    );
                    assert_eq!(server.ask(LIST), listed(&[]));
                    assert_eq!(server.stop().contains("no socket for the operator"), name == "operator.sock");
                }
                Err(finished) => {
                    let line = finished.refusal(1);
                    assert!(line.contains(name) && line.contains("--data-dir"), "{name}: {line}");
                }
            }
            assert_eq!(target.exists(), exists, "{name} was followed");
            if exists {
                assert_eq!((fs::read(&target).unwrap().as_slice(), mode(&target)), (&b"precious"[..], 0o644), "{name}");
            }
        }
    }
}

#[test]
fn a_data_directory_that_is_itself_a_link_is_used() {
    let base = tempdir().unwrap();
    let (data, link) = (base.path().join("data"), base.path().join("link"));
    fs::create_dir(&data).unwrap();
    symlink(&data, &link).unwrap();
    let server = Launch::serve(&link).start();
    assert_eq!(server.ask(LIST), listed(&[]));
    server.stop();
    assert!(data.join("chanwire.db").is_file());
    let copied = Launch::new(["backup", "--data-dir"]).arg(&link).arg(link.join("backup.db")).run();
    assert_eq!(copied.code, Some(0), "{copied:?}");
}

#[test]
fn a_data_directory_that_others_may_write_is_mended_and_that_is_logged() {
    let base = tempdir().unwrap();
    let data = base.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
    let server = Launch::serve(&data).start();
    assert_eq!(mode(&data), 0o755);
    server.wait_for_log("others could write the data directory (mode 777); its mode is 755 now");
    server.stop();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o1777)).unwrap();
    let finished = Launch::serve(&data).run();
    assert!(finished.refusal(1).contains("can be written by other users (mode 1777)"), "{finished:?}");
}

#[test]
fn a_backup_or_a_capture_never_follows_a_link() {
    let base = tempdir().unwrap();
    let server = Launch::serve(&base.path().join("data")).start();
    let target = base.path().join("target");
    let names = ["b.db", "c.db.part", "t.jsonl", "t.pcapng"].map(|name| base.path().join(name));
    for exists in [true, false] {
        if exists {
            fs::write(&target, "precious").unwrap();
        } else {
            fs::remove_file(&target).unwrap();
        }
        for name in &names {
            symlink(&target, name).unwrap();
            let launch = match name.extension().unwrap().to_str().unwrap() {
                "db" => Launch::new(["backup", "--data-dir"]).arg(base.path().join("data")).arg(name),
                "part" => {
                    Launch::new(["backup", "--data-dir"]).arg(base.path().join("data")).arg(name.with_extension(""))
                }
                _ => tap(&server, name).arg("--overwrite"),
            };
            let finished = launch.run();
            let line = finished.refusal(1);
            assert!(line.contains(&name.display().to_string()), "{line}");
            assert_eq!(fs::read(&target).ok(), exists.then(|| b"precious".to_vec()), "{}", name.display());
            fs::remove_file(name).unwrap();
        }
    }
    server.stop();
}

#[test]
fn a_capture_into_an_unread_pipe_is_refused_or_stops_on_request() {
    let base = tempdir().unwrap();
    let server = Launch::serve(&base.path().join("data")).start();
    for name in ["t.jsonl", "t.pcapng"] {
        let pipe = base.path().join(name);
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let finished = tap(&server, &pipe).run();
        assert!(finished.refusal(1).contains("it is a pipe or a socket that nobody reads"), "{finished:?}");

        // With a reader that takes nothing it fills, and still ends.
        let reader = fs::File::options().read(true).write(true).open(&pipe).unwrap();
        let mut stuck = tap(&server, &pipe).start();
        let mut peer = Peer::connect(stuck.address(0));
        for _ in 0..100 {
            peer.send(LIST.repeat(100));
            (0..100).for_each(|_| assert!(peer.answer().is_ok()));
        }
        stuck.signal(Signal::TERM);
        assert_eq!(stuck.wait(STOP).code(), Some(1), "{}", stuck.log());
        stuck.wait_for_log(&format!("recording to {} stopped: ", pipe.display()));
        drop(reader);
    }
    server.stop();
}

#[test]
fn a_capture_into_a_pipe_that_is_read_is_whole() {
    let base = tempdir().unwrap();
    let server = Launch::serve(&base.path().join("data")).start();
    let pipe = base.path().join("t.jsonl");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let holder = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let tap = tap(&server, &pipe).start();
    // Only the tap is its writer from now on.
    let reader = fs::File::open(&pipe).unwrap();
    drop(holder);
    let reading = std::thread::spawn(move || std::io::read_to_string(reader).unwrap());
    let mut peer = Peer::connect(tap.address(0));
    for _ in 0..1_000 {
        assert!(peer.ask(LIST).is_ok());
    }
    drop(peer);
    tap.stop();
    wait_for("the end of the capture", || check(reading.is_finished(), "it is still open"));
    let rows = reading.join().unwrap();
    assert_eq!(rows.matches("LIST\\r\\n").count(), 1_000, "{}", rows.len());
    server.stop();
}

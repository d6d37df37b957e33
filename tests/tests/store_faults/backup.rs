//! `chanwire backup` beside a server that is written to.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use chanwire_tests::process::{Background, Launch, check, wait_for};
use tempfile::tempdir;

use crate::{host_general, message, serve, stored};

fn backup(data_dir: &Path, file: &Path) -> Launch {
    Launch::new(["backup", "--data-dir"]).arg(data_dir).arg(file)
}

#[test]
fn a_backup_under_load_has_all_that_was_acknowledged_before_it_and_a_server_runs_on_it() {
    let (data, restored) = (tempdir().unwrap(), tempdir().unwrap());
    let server = serve(data.path()).start();
    host_general(&server);
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let (mut peer, counted) = (server.connect(), Arc::clone(&acknowledged));
    let writing = Background::start(move |stop| {
        for number in 1.. {
            if stop.load(Relaxed) {
                return;
            }
            assert!(peer.ask(message("u", &format!("{number} {}", "x".repeat(10_000)))).is_ok());
            counted.store(number, Relaxed);
        }
    });
    let exceeds = |count: usize| {
        let acknowledged = acknowledged.load(Relaxed);
        check(acknowledged > count, acknowledged)
    };
    wait_for("a database of some size", || exceeds(500));
    let before = acknowledged.load(Relaxed);
    let file = restored.path().join("chanwire.db");
    let finished = backup(data.path(), &file).run();
    let after = acknowledged.load(Relaxed);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    assert!(finished.stdout.starts_with("backed up "), "{finished:?}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(restored.path()).unwrap().count(), 1, "only the one file");
    let copied = stored::general(restored.path()).len();
    // One more may be stored and not acknowledged yet.
    assert!((before..=after + 1).contains(&copied), "{copied} messages, acknowledged {before} before, {after} after");
    wait_for("more messages", || exceeds(after));
    writing.stop();

    let again = backup(data.path(), &file).run();
    assert!(again.refusal(1).contains("is there already, and was left as it is"), "{again:?}");
    let second = serve(restored.path()).start();
    assert!(second.connect().ask(message("u", "goes on")).is_ok());
    second.stop();
    let goes_on = stored::general(restored.path());
    assert_eq!(goes_on.last().map(|(id, _, text)| (*id, text.as_str())), Some((copied as i64 + 1, "goes on")));
    server.stop();
    assert_eq!(stored::general(data.path()).len(), acknowledged.load(Relaxed));
}

#[test]
fn a_backup_without_a_server_has_what_a_crash_left_in_the_log() {
    let (data, restored) = (tempdir().unwrap(), tempdir().unwrap());
    let server = serve(data.path()).start();
    host_general(&server);
    assert!(server.connect().ask(message("u", "kept")).is_ok());
    server.kill();
    let finished = backup(data.path(), &restored.path().join("chanwire.db")).run();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(stored::general(restored.path()).len(), 1);
    assert_eq!(stored::general(data.path()).len(), 1);
    let nowhere = backup(restored.path().join("no").as_path(), &restored.path().join("b.db")).run();
    assert!(nowhere.refusal(1).contains("there is no database"), "{nowhere:?}");
    assert!(!restored.path().join("no").exists());
}

#[test]
fn a_backup_beyond_the_file_size_limit_fails_and_leaves_nothing() {
    let (data, restored) = (tempdir().unwrap(), tempdir().unwrap());
    let server = serve(data.path()).start();
    host_general(&server);
    server.stop();
    let limited = backup(data.path(), &restored.path().join("chanwire.db")).after("ulimit -f 8").run();
    assert!(
        limited.refusal(1).ends_with("check its disk, and the limit on the size of files (ulimit -f)"),
        "{limited:?}"
    );
    assert_eq!(fs::read_dir(restored.path()).unwrap().count(), 0);
}

/// Returns the binary without the rights of root, to whom no directory is read-only, run as nobody who owns these
/// files.
fn without_rights(launch: Launch, directory: &Path) -> Launch {
    if !rustix::process::geteuid().is_root() {
        return launch;
    }
    for entry in fs::read_dir(directory).unwrap() {
        chown(entry.unwrap().path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    chown(directory, Some(NOBODY), Some(NOBODY)).unwrap();
    let id = NOBODY.to_string();
    launch.under(["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"])
}

const NOBODY: u32 = 65_534;

#[test]
fn a_backup_is_made_from_a_directory_that_cannot_be_written() {
    let parent = tempdir().unwrap();
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for ending in ["in order", "by a crash", "by a crash, without the shared memory's file"] {
        let (data, backups) = (parent.path().join("data"), parent.path().join("backups"));
        let _ = fs::remove_dir_all(&data);
        let _ = fs::remove_dir_all(&backups);
        fs::create_dir(&backups).unwrap();
        fs::set_permissions(&backups, fs::Permissions::from_mode(0o777)).unwrap();
        let server = serve(&data).start();
        host_general(&server);
        assert!(server.connect().ask(message("u", "kept")).is_ok());
        match ending {
            "in order" => drop(server.stop()),
            "by a crash" => server.kill(),
            _ => {
                server.kill();
                fs::remove_file(data.join("chanwire.db-shm")).unwrap();
            }
        }
        fs::set_permissions(&data, fs::Permissions::from_mode(0o555)).unwrap();
        let names = || fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>();
        let before = names();
        let file = backups.join("chanwire.db");
        let finished = without_rights(backup(&data, &file), &data).run();
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{ending}: {finished:?}");
        assert_eq!(stored::general(&backups).len(), 1, "{ending}");
        assert_eq!(names(), before, "{ending}");
        assert_eq!(fs::read_dir(&backups).unwrap().count(), 1, "{ending}");
    }
}

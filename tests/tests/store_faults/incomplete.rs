//! Files truncated, removed or replaced while no server ran: the start is refused and the missing part reported.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use chanwire_tests::process::{Launch, Server};
use tempfile::{TempDir, tempdir};

use crate::{host_general, message, serve, stored};

const NOTE: &str = "chanwire.last-commit";

fn say(server: &Server, numbers: std::ops::RangeInclusive<usize>) {
    let mut peer = server.connect();
    for number in numbers {
        assert!(peer.ask(message("u", &format!("{number} {}", "x".repeat(1000)))).is_ok());
    }
}

/// A directory of a server that was killed, with messages 1 to 90, the last 60 of them in the WAL alone.
struct Crashed {
    _parent: TempDir,
    data: PathBuf,
    /// The database file with 10 messages, and a backup of it.
    old: PathBuf,
    backup: PathBuf,
    /// A directory with the WAL of another server, which has had more messages.
    other: PathBuf,
}

impl Crashed {
    fn new() -> Self {
        let parent = tempdir().unwrap();
        let path = |name: &str| parent.path().join(name);
        let (data, old, backup, other) = (path("data"), path("old.db"), path("backup.db"), path("other"));
        let run = |numbers| {
            let server = serve(&data).start();
            host_general(&server);
            say(&server, numbers);
            server
        };
        run(1..=10).stop();
        fs::copy(data.join("chanwire.db"), &old).unwrap();
        let made = Launch::new(["backup", "--data-dir"]).arg(&data).arg(&backup).run();
        assert_eq!(made.code, Some(0), "{made:?}");
        run(11..=30).stop();
        run(31..=90).kill();
        let server = serve(&other).start();
        let request =
            "HOST\r\n{\"channel_name\": \"else\", \"peer_server_ip\": \"192.0.2.9\", \"peer_server_port\": 22236}";
        let mut peer = server.connect();
        assert!(peer.ask(request).is_ok());
        for number in 0..200 {
            assert!(peer.ask(message("u", &number.to_string()).replace("general", "else")).is_ok());
        }
        server.kill();
        Self { _parent: parent, data, old, backup, other }
    }

    fn wal(&self) -> PathBuf {
        self.data.join("chanwire.db-wal")
    }

    fn database(&self) -> PathBuf {
        self.data.join("chanwire.db")
    }

    /// Starts and stops a server, so that the database file holds everything.
    fn settle(&self) {
        serve(&self.data).start().stop();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

fn cut(wal: &Path, to: u64) {
    fs::OpenOptions::new().write(true).open(wal).unwrap().set_len(to).unwrap();
}

type Fault = fn(&Crashed);

const FAULTS: [(&str, &[&str], Fault); 9] = [
    ("WAL cut", &["WAL frames are missing, the last ", " of the 90 messages ever stored are missing"], |crashed| {
        cut(&crashed.wal(), fs::metadata(crashed.wal()).unwrap().len() / 2);
    }),
    ("WAL cut by a byte", &["WAL frames are missing"], |crashed| {
        cut(&crashed.wal(), fs::metadata(crashed.wal()).unwrap().len() - 1);
    }),
    ("WAL removed", &["the last 60 of the 90 messages ever stored are missing"], |crashed| {
        fs::remove_file(crashed.wal()).unwrap();
    }),
    ("WAL emptied", &["the last 60 of the 90 messages ever stored are missing"], |crashed| cut(&crashed.wal(), 0)),
    ("WAL of another", &["is missing: the database or its WAL is another's"], |crashed| {
        copy(&crashed.other.join("chanwire.db-wal"), &crashed.wal());
    }),
    ("a backup beside the WAL", &["it was put beside the WAL of another database"], |crashed| {
        copy(&crashed.backup, &crashed.database());
    }),
    ("an older database beside the WAL", &["is damaged: "], |crashed| copy(&crashed.old, &crashed.database())),
    ("an older database", &["the last 80 of the 90 messages ever stored are missing"], |crashed| {
        crashed.settle();
        copy(&crashed.old, &crashed.database());
    }),
    ("no database", &["the last 90 of the 90 messages ever stored are missing"], |crashed| {
        crashed.settle();
        fs::remove_file(crashed.database()).unwrap();
    }),
];

fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let files = files.filter(|file| file.file_type().unwrap().is_file());
    let files = files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()));
    // SQLite makes an empty WAL where there is none.
    let is_kept = |name: &str, bytes: &[u8]| name != "chanwire.lock" && !name.ends_with("-shm") && !bytes.is_empty();
    files.filter(|(name, bytes)| is_kept(name, bytes)).collect()
}

#[test]
fn a_start_with_missing_messages_is_refused_with_counts_until_a_backup_is_restored() {
    for (fault, says, make) in FAULTS {
        let crashed = Crashed::new();
        make(&crashed);
        let before = contents(&crashed.data);
        for _ in 0..2 {
            let refused = serve(&crashed.data).run();
            let line = refused.refusal(1);
            assert!(says.iter().all(|words| line.contains(words)), "{fault}: {line}");
            assert!(line.contains("restore"), "{fault}: {line}");
            assert!(contents(&crashed.data) == before, "{fault}: it was refused, and changed");
        }
        let restored = Launch::new(["restore", "--data-dir"]).arg(&crashed.data).arg(&crashed.backup).run();
        assert_eq!(restored.code, Some(0), "{fault}: {restored:?}");
        serve(&crashed.data).start().stop();
        assert_eq!(stored::general(&crashed.data).len(), 10, "{fault}");
    }
}

#[test]
fn without_the_note_a_server_starts_with_the_remaining_messages() {
    let crashed = Crashed::new();
    fs::remove_file(crashed.wal()).unwrap();
    let refused = serve(&crashed.data).run();
    let note = crashed.data.join(NOTE);
    let line = refused.refusal(1);
    assert!(line.ends_with(&format!("or go on with what is left: remove {}", note.display())), "{line}");
    fs::remove_file(note).unwrap();
    let server = serve(&crashed.data).start();
    say(&server, 31..=31);
    server.kill();
    assert_eq!(stored::general(&crashed.data).len(), 31);
    serve(&crashed.data).start().stop();
}

#[test]
fn a_directory_that_was_copied_whole_is_complete() {
    let crashed = Crashed::new();
    let copied = crashed.data.with_file_name("copied");
    fs::create_dir(&copied).unwrap();
    for (name, bytes) in contents(&crashed.data) {
        fs::write(copied.join(name), bytes).unwrap();
    }
    serve(&copied).start().stop();
    assert_eq!(stored::general(&copied).len(), 90);
}

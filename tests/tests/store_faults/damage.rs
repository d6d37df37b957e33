//! Database files that are cut short or changed: refused with words that help, or served, but never emptied.

use std::{fs, net::TcpListener, path::Path};

use chanwire_tests::{chance::Chance, process::Launch};
use rusqlite::Connection;
use tempfile::tempdir;

use crate::{host_general, message, serve, stored};

const CHANNELS: i64 = 300;
const MESSAGES: i64 = 1_000;

/// A directory of a server that has ended in order: one file.
fn database() -> Vec<u8> {
    let data = tempdir().unwrap();
    let server = serve(data.path()).start();
    host_general(&server);
    let mut peer = server.connect();
    let host = |number: i64| {
        format!(
            "HOST\r\n{{\"channel_name\": \"c{number}\", \"peer_server_ip\": \"192.0.2.7\", \"peer_server_port\": 1}}"
        )
    };
    peer.send((1..CHANNELS).map(host).collect::<String>());
    peer.send(
        (0..MESSAGES).map(|number| message("user", &format!("{number} {}", "x".repeat(200)))).collect::<String>(),
    );
    (0..CHANNELS - 1 + MESSAGES).for_each(|_| assert!(peer.answer().is_ok()));
    server.stop();
    fs::read(data.path().join("chanwire.db")).unwrap()
}

/// What a start on this directory says. It never serves: its address is taken, which is found out after the store is
/// opened. `None` if it found nothing wrong with the store.
fn refusal(data_dir: &Path) -> Option<String> {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let start = Launch::new(["serve", "--http", "off", "--listen", &address, "--data-dir"]).arg(data_dir).run();
    let line = start.refusal(1);
    (!line.contains("cannot listen on")).then(|| line.to_owned())
}

/// How many channels, logs and messages there are.
fn counts(data_dir: &Path) -> rusqlite::Result<(i64, i64, i64)> {
    let database = Connection::open(data_dir.join("chanwire.db"))?;
    let count = |table| database.query_row(&format!("SELECT count(*) FROM {table} NOT INDEXED"), [], |row| row.get(0));
    Ok((count("channels")?, count("logs")?, count("messages")?))
}

/// Whether it is refused. If it is, it is as it was; if not, everything is there.
fn is_refused(bytes: &[u8], what: &str) -> bool {
    let data = tempdir().unwrap();
    let file = data.path().join("chanwire.db");
    fs::write(&file, bytes).unwrap();
    match refusal(data.path()) {
        Some(line) => {
            let helps = ["restore the data directory from a backup", "was left as it is", "choose another directory"];
            assert!(line.contains("chanwire.db") && helps.iter().any(|help| line.contains(help)), "{what}: {line}");
            assert!(fs::read(&file).unwrap() == bytes, "{what}: it was refused, and changed");
            let log = fs::read(data.path().join("chanwire.db-wal")).unwrap_or_default();
            assert!(log.is_empty(), "{what}: it was refused, and written to");
            true
        }
        None => {
            assert_eq!(counts(data.path()).unwrap(), (CHANNELS, 1, MESSAGES), "{what}: it was served, and emptied");
            false
        }
    }
}

#[test]
fn a_database_that_is_cut_short_is_refused() {
    let whole = database();
    assert!(!is_refused(&whole, "the whole one"));
    let mut chance = Chance::new();
    let pages = whole.len() / 4096;
    let mut cuts = vec![0, 1, 16, 99, 100, 4095, 4096, whole.len() - 4096, whole.len() - 1];
    cuts.extend((0..10).map(|_| 1 + chance.below(whole.len() - 1)));
    cuts.extend((0..5).map(|_| 4096 * (1 + chance.below(pages - 1))));
    for cut in cuts {
        let what = format!("cut at {cut} of {}", whole.len());
        assert!(is_refused(&whole[..cut], &what), "{what}");
    }
}

#[test]
fn a_database_with_changed_bytes_is_refused_or_whole_but_never_emptied() {
    let whole = database();
    let mut chance = Chance::new();
    // The kind and the count of cells of each page.
    for page in 0..whole.len() / 4096 {
        let mut changed = whole.clone();
        let at = page * 4096 + if page == 0 { 100 } else { 0 };
        let is_tree = [2, 5, 10, 13].contains(&changed[at]);
        changed[at] ^= 0x40;
        assert!(is_refused(&changed, &format!("the kind of page {page}")) || !is_tree);
    }
    for _ in 0..60 {
        let mut changed = whole.clone();
        let at = chance.below(whole.len());
        let bit = 1 << chance.below(8);
        changed[at] ^= bit;
        is_refused(&changed, &format!("byte {at} ^ {bit}"));
    }
    // Text that is no UTF-8.
    let texts = whole.windows(9).enumerate().filter(|(_, text)| text == b"192.0.2.7");
    let refused = texts.filter(|(at, _)| {
        let mut changed = whole.clone();
        changed[*at] ^= 0x80;
        is_refused(&changed, &format!("no UTF-8 at byte {at}"))
    });
    assert!(refused.take(5).count() > 0);
    // Some bits of the header, and all of the tables' version and the application's id.
    let is_named = |bit: usize| (60..64).contains(&(bit / 8)) || (68..72).contains(&(bit / 8));
    for bit in (0..800).filter(|bit| is_named(*bit) || chance.below(16) == 0) {
        let mut changed = whole.clone();
        let at = bit / 8;
        changed[at] ^= 1 << (bit % 8);
        let refused = is_refused(&changed, &format!("byte {at} of the header is {} now", changed[at]));
        assert!(refused || !is_named(bit), "byte {at} of the header is {} now", changed[at]);
    }
}

#[test]
fn a_log_that_is_cut_short_or_changed_loses_what_follows_and_nothing_before() {
    let data = tempdir().unwrap();
    let server = serve(data.path()).start();
    host_general(&server);
    let mut peer = server.connect();
    for number in 0..30 {
        assert!(peer.ask(message("u", &number.to_string())).is_ok());
    }
    server.kill();
    let (file, log) = (data.path().join("chanwire.db"), data.path().join("chanwire.db-wal"));
    let (file, log) = (fs::read(file).unwrap(), fs::read(log).unwrap());
    let mut chance = Chance::new();
    for round in 0..12 {
        let damaged = tempdir().unwrap();
        fs::write(damaged.path().join("chanwire.db"), &file).unwrap();
        let mut bytes = log.clone();
        let at = 32 + chance.below(log.len() - 32);
        if round % 2 == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << chance.below(8);
        }
        fs::write(damaged.path().join("chanwire.db-wal"), &bytes).unwrap();
        let before = stored::general(damaged.path());
        // Each commit wrote at least one frame, so what begins whole frames before the damage is there.
        let server = serve(damaged.path()).start();
        host_general(&server);
        assert!(server.connect().ask(message("u", "after")).is_ok(), "round {round}");
        server.stop();
        let mut expected = before.clone();
        expected.push((before.len() as i64 + 1, "u".into(), "after".into()));
        assert_eq!(stored::general(damaged.path()), expected, "round {round}");
        assert!(before.iter().map(|(_, _, text)| text.clone()).eq((0..before.len()).map(|number| number.to_string())));
    }
}

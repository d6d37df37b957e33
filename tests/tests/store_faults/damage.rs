//! Database files that are cut short or changed: refused with words that help, or served, but never emptied.

use std::{fs, net::TcpListener, path::Path};

use chanwire_tests::{
    chance::Chance,
    process::{DEADLINE, Launch, Server},
};
use rusqlite::Connection;
use tempfile::tempdir;

use crate::{host_general, message, serve, stored};

const CHANNELS: i64 = 300;
const MESSAGES: i64 = 1_000;

/// Returns a directory of a server that has ended in order: one file.
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

/// Starts a server on this directory, and returns the lines of its log. It never serves: its address is in use, which
/// is found out after the store is opened.
fn start(data_dir: &Path) -> Vec<String> {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let start = Launch::new(["serve", "--http", "off", "--listen", &address, "--data-dir"]).arg(data_dir).run();
    assert_eq!((start.code, start.stdout.as_str()), (Some(1), ""), "{start:?}");
    start.stderr.lines().map(str::to_owned).collect()
}

/// Returns the numbers of channels, channel logs and messages.
fn counts(data_dir: &Path) -> rusqlite::Result<(i64, i64, i64)> {
    let database = Connection::open(data_dir.join("chanwire.db"))?;
    let count = |table| database.query_row(&format!("SELECT count(*) FROM {table} NOT INDEXED"), [], |row| row.get(0));
    Ok((count("channels")?, count("logs")?, count("messages")?))
}

/// The outcome of a start on a database.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    /// It is refused with one line, and is as it was.
    Refused,
    /// All but some channels is served.
    Apart,
    Whole,
}

fn start_on(bytes: &[u8], label: &str) -> Start {
    let data = tempdir().unwrap();
    let file = data.path().join("chanwire.db");
    fs::write(&file, bytes).unwrap();
    let lines = start(data.path());
    let (last, said) = lines.split_last().unwrap_or_else(|| panic!("{label}: nothing is said"));
    if last.contains("cannot listen on") {
        assert_eq!(counts(data.path()).unwrap(), (CHANNELS, 1, MESSAGES), "{label}: it was served, and emptied");
        let apart = said.iter().filter(|line| line.contains("its channel is kept apart")).count();
        assert!(said.iter().all(|line| line.contains("chanwire.db")), "{label}: {lines:?}");
        return if apart > 0 { Start::Apart } else { Start::Whole };
    }
    let helps = ["restore the data directory from a backup", "was left as it is", "choose another directory"];
    assert!(last.contains("chanwire.db") && helps.iter().any(|help| last.contains(help)), "{label}: {last}");
    assert_eq!(said, <[String; 0]>::default(), "{label}: it was refused with more than one line");
    assert!(fs::read(&file).unwrap() == bytes, "{label}: it was refused, and changed");
    let log = fs::read(data.path().join("chanwire.db-wal")).unwrap_or_default();
    assert!(log.is_empty(), "{label}: it was refused, and written to");
    Start::Refused
}

fn is_refused(bytes: &[u8], label: &str) -> bool {
    start_on(bytes, label) == Start::Refused
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
        let label = format!("cut at {cut} of {}", whole.len());
        assert!(is_refused(&whole[..cut], &label), "{label}");
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
    let apart = texts.filter(|(at, _)| {
        let mut changed = whole.clone();
        changed[*at] ^= 0x80;
        start_on(&changed, &format!("no UTF-8 at byte {at}")) == Start::Apart
    });
    assert!(apart.take(5).count() > 0);
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

/// Returns the row that a query finds.
fn row(database: &Connection, sql: &str) -> Vec<String> {
    let mut select = database.prepare(sql).unwrap();
    let columns = select.column_count();
    let row =
        |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get_ref(at).map(|value| format!("{value:?}"))).collect();
    select.query_row([], row).unwrap()
}

fn host(name: &str, ip: &str, port: u16) -> String {
    format!("HOST\r\n{{\"channel_name\": \"{name}\", \"peer_server_ip\": \"{ip}\", \"peer_server_port\": {port}}}")
}

fn say(name: &str) -> String {
    format!("MESSAGE\r\n{{\"username\": \"u\", \"message_content\": \"m\", \"channel_name\": \"{name}\"}}")
}

/// Asks all that can be asked about a damaged channel, and of each request something about another channel.
fn is_served_but_for(server: &Server, name: &str, label: &str) {
    let (mut peer, mut other) = (server.connect(), server.connect());
    let named = format!("{{\"channel_name\": \"{name}\"}}");
    for request in [
        say(name),
        host(name, "192.0.2.10", 7),
        format!("UNHOST\r\n{named}"),
        format!("HISTORY\r\n{named}"),
        format!("JOIN\r\n{named}"),
    ] {
        let answer = peer.ask(&request);
        let says = format!("Stored data of the channel '{name}' is damaged");
        assert!(answer.raw.contains(&says), "{label}, {request}: {}", answer.raw);
        let answer = other.ask(say("general"));
        assert!(answer.is_ok(), "{label}, {request}: {}", answer.raw);
    }
    for request in [host("new", "192.0.2.9", 22236), "HISTORY\r\n{\"channel_name\": \"general\"}".into()] {
        let answer = other.ask(&request);
        assert!(answer.is_ok(), "{label}, {request}: {}", answer.raw);
    }
}

/// One row of the directory or of the logs is damaged: its channel is refused in words and the log names it, everybody
/// else is served, and the row stays as it is. While the server runs, and when it is started again.
#[test]
fn a_channel_of_which_a_row_is_damaged_is_kept_apart_and_the_others_are_served() {
    let data = tempdir().unwrap();
    let launch = serve(data.path()).args(["--retain-count", "50"]);
    let server = launch.start();
    host_general(&server);
    let mut peer = server.connect();
    for request in [host("other", "192.0.2.9", 22236), host("c7", "192.0.2.7", 1), say("other"), say("general")] {
        assert!(peer.ask(request).is_ok());
    }
    server.stop();
    let file = data.path().join("chanwire.db");
    let whole = fs::read(&file).unwrap();
    for (table, name, change) in [
        ("channels", "c7", "port = port + 1"),
        ("channels", "c7", "registered_from = '127.0.0.3'"),
        ("logs", "other", "last_id = last_id | 64"),
        ("logs", "other", "last_id = last_id - 1"),
        ("logs", "other", "bytes = bytes + (1 << 20)"),
    ] {
        let label = format!("{table} SET {change}");
        fs::write(&file, &whole).unwrap();
        fs::remove_file(data.path().join("chanwire.last-commit")).unwrap();
        let server = launch.start();
        let mut peer = server.connect();
        assert!(peer.ask(say("general")).is_ok(), "{label}");
        let select = format!("SELECT rowid, * FROM {table} WHERE name = '{name}'");
        let database = Connection::open(&file).unwrap();
        database.busy_timeout(DEADLINE).unwrap();
        database.execute(&format!("UPDATE {table} SET {change} WHERE name = ?1"), [name]).unwrap();
        let damaged = row(&database, &select);
        drop(database);
        // A commit finds it, with the writes of others.
        peer.send([say("general"), host(name, "192.0.2.10", 7), say("general")].concat());
        let is_ok = [(); 3].map(|()| peer.answer().is_ok());
        assert_eq!(is_ok, [true, false, true], "{label}");
        is_served_but_for(&server, name, &label);
        let is_row = |line: &str| {
            ["ERROR", "chanwire.db", &format!("table=\"{table}\""), "id=", &format!("channel \"{name}\"")]
                .iter()
                .all(|part| line.contains(part))
        };
        let log = server.stop();
        assert_eq!(log.lines().filter(|line| is_row(line)).count(), 1, "{label}: {log}");

        let server = launch.start();
        is_served_but_for(&server, name, &label);
        let log = server.stop();
        assert_eq!(log.lines().filter(|line| is_row(line)).count(), 1, "{label}: {log}");
        assert_eq!(row(&Connection::open(&file).unwrap(), &select), damaged, "{label}");
        // A backup of it would be as damaged.
        let backup = Launch::new(["backup", "--data-dir"]).arg(data.path()).arg(data.path().join("backup.db")).run();
        assert!(
            backup.refusal(1).contains(&format!(" of the table {table}, channel \"{name}\"")),
            "{label}: {backup:?}"
        );
    }
}

#[test]
fn a_damaged_wal_loses_only_the_commits_after_the_damage() {
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

//! The service manager: what a server tells it, and the units that are shipped.

use std::{fs, io::ErrorKind, os::unix::net::UnixDatagram, path::Path, process::Command, time::Instant};

use chanwire_tests::process::{DEADLINE, Launch, Signal, binary, check, wait_for};
use rusqlite::Connection;
use tempfile::{TempDir, tempdir};

use crate::requests::{LIST, host, hosted};

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, folder }
    }

    fn watches(&self, launch: Launch) -> Launch {
        launch.variable("NOTIFY_SOCKET", self.folder.path().join("notify"))
    }

    /// Returns the next message as lines.
    fn next(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(buffer.get(..length).unwrap()).lines().map(String::from).collect()
    }

    /// Returns the next message without a `STATUS`, a change of the server's state.
    fn next_change(&self) -> Vec<String> {
        let is_change = |message: &Vec<String>| !message.iter().any(|line| line.starts_with("STATUS="));
        std::iter::repeat_with(|| self.next()).find(is_change).unwrap()
    }
}

#[test]
fn the_service_manager_is_told_each_state_in_order() {
    let data = tempdir().unwrap();
    let manager = Manager::new();
    let file = data.path().join("chanwire.toml");
    fs::write(&file, "[limits]\nmax_joins = 5\n").unwrap();
    let launch = Launch::serve(data.path()).arg("--config").arg(&file);
    let mut server = manager.watches(launch).start();
    assert_eq!(manager.next_change(), ["READY=1"]);
    assert_eq!(server.ask(LIST), "OK\r\n{\"channels\": []}");

    fs::write(&file, "[limits]\nmax_joins = 6\n").unwrap();
    server.signal(Signal::HUP);
    let reloading = manager.next_change();
    let [reload, time] = &reloading[..] else { panic!("{reloading:?}") };
    assert_eq!(reload, "RELOADING=1");
    let micros: u64 = time.strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    assert!((seconds - micros as f64 / 1e6).abs() < DEADLINE.as_secs_f64(), "{micros} at {uptime}");
    assert_eq!(manager.next_change(), ["READY=1"]);
    server.wait_for_log("limits.max_joins 5 → 6 applied");

    server.signal(Signal::TERM);
    assert_eq!(manager.next_change(), ["STOPPING=1"]);
    assert_eq!(server.wait(DEADLINE).code(), Some(0));
}

#[test]
fn a_migration_is_reported_before_the_server_is_ready() {
    let data = tempdir().unwrap();
    let older = include_str!("../../../native/src/store/schema/fixtures/version_4.sql");
    Connection::open(data.path().join("chanwire.db")).unwrap().execute_batch(older).unwrap();
    let manager = Manager::new();
    let server = manager.watches(Launch::serve(data.path())).start();
    let first = ["STATUS=migrating the database: checking its pages", "EXTEND_TIMEOUT_USEC=20000000"];
    assert_eq!(manager.next(), first);
    assert_eq!(manager.next_change(), ["READY=1"]);
    server.stop();
}

#[test]
fn reports_have_counts_and_feed_the_watchdog_twice_in_its_time() {
    let data = tempdir().unwrap();
    let manager = Manager::new();
    let server = manager.watches(Launch::serve(data.path())).variable("WATCHDOG_USEC", "400000").start();
    let mut peer = server.connect();
    assert_eq!(peer.ask(host("general", server.address(0))).raw, hosted("general"));
    let expected = ["STATUS=connections: 1, listed channels: 1, joins: 0", "WATCHDOG=1"];
    wait_for("a report", || check(manager.next() == expected, ()));
    let began = Instant::now();
    for _ in 0..5 {
        assert_eq!(manager.next()[1], "WATCHDOG=1");
    }
    assert!(began.elapsed().as_millis() >= 5 * 200 - 200, "{:?}", began.elapsed());

    // A process that stands still feeds nothing.
    server.signal(Signal::STOP);
    manager.socket.set_nonblocking(true).unwrap();
    while manager.socket.recv(&mut [0; 4096]).is_ok() {}
    std::thread::sleep(std::time::Duration::from_secs(1));
    let nothing = manager.socket.recv(&mut [0; 4096]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    server.signal(Signal::CONT);
    server.stop();
}

#[test]
fn a_server_without_a_watchdog_feeds_none_and_one_without_a_manager_runs() {
    let data = tempdir().unwrap();
    let manager = Manager::new();
    let server = manager.watches(Launch::serve(data.path())).start();
    let report = std::iter::repeat_with(|| manager.next()).find(|message| message[0].starts_with("STATUS=")).unwrap();
    assert_eq!(report.len(), 1, "{report:?}");
    // A manager that has gone is no reason to stop.
    drop(manager);
    server.signal(Signal::HUP);
    server.wait_for_log("cannot reach the service manager at NOTIFY_SOCKET");
    assert_eq!(server.ask(LIST), "OK\r\n{\"channels\": []}");
    server.stop();
}

#[test]
fn the_units_are_valid_and_confine_the_server() {
    // Without systemd there is nothing that can check the units.
    let Some(analyzer) =
        ["/usr/bin/systemd-analyze", "/bin/systemd-analyze"].map(Path::new).into_iter().find(|path| path.is_file())
    else {
        return;
    };
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../native/packaging");
    let folder = tempdir().unwrap();
    for name in ["chanwire.service", "chanwire.socket"] {
        let unit = fs::read_to_string(packaging.join(name)).unwrap();
        // The command must be there for the check.
        fs::write(folder.path().join(name), unit.replace("/usr/bin/chanwire", &binary().display().to_string()))
            .unwrap();
    }
    let analyze = |arguments: &[&str]| {
        let output = Command::new(analyzer).args(arguments).current_dir(folder.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        text
    };
    assert_eq!(analyze(&["verify", "./chanwire.service", "./chanwire.socket"]), "");
    let security = analyze(&["security", "--offline=true", "--threshold=20", "./chanwire.service"]);
    assert!(security.contains("Overall exposure level for chanwire.service: 1."), "{security}");
    let user = fs::read_to_string(packaging.join("chanwire.sysusers")).unwrap();
    assert!(user.lines().any(|line| line.starts_with("u chanwire - ")), "{user}");
}

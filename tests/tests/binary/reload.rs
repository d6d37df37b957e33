//! SIGHUP: what is applied to a running server, what is not, and that nobody loses a connection by it.

use std::{fs, path::PathBuf, sync::atomic::Ordering};

use chanwire_tests::process::{Background, Launch, Peer, Server, Signal, check, wait_for};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::{TempDir, tempdir};

use crate::{
    metrics,
    requests::{LIST, history, host, hosted, join, listed, message},
};

/// A server with a configuration file.
struct Configured {
    server: Server,
    file: PathBuf,
    _data: TempDir,
}

impl Configured {
    fn start(text: &str, flags: &[&str]) -> Self {
        let data = tempdir().unwrap();
        let file = data.path().join("chanwire.toml");
        fs::write(&file, text).unwrap();
        let launch = Launch::serve(&data.path().join("data")).args(["--config".as_ref(), file.as_path()]);
        Self { server: launch.args(flags).start(), file, _data: data }
    }

    /// Replaces the file as a whole.
    fn write(&self, text: &str) {
        let next = self.file.with_extension("next");
        fs::write(&next, text).unwrap();
        fs::rename(&next, &self.file).unwrap();
    }

    /// Reloads, and returns the lines logged by it, up to the last one.
    fn reload(&self) -> String {
        let before = self.server.log().len();
        self.server.signal(Signal::HUP);
        wait_for("the end of the reload", || {
            let log = self.server.log();
            let new = log.get(before..).unwrap_or_default().to_owned();
            let is_over = new.lines().any(|line| line.contains("SIGHUP: ") && new.ends_with('\n'));
            check(is_over, new.clone()).map(|()| new)
        })
    }

    fn reload_of(&self, text: &str) -> String {
        self.write(text);
        self.reload()
    }
}

#[test]
fn live_keys_are_applied_to_open_connections_and_the_others_are_named() {
    let it = Configured::start("[limits]\nmax_payload = 1000\nmax_joins = 1\n", &[]);
    let mut peer = it.server.connect();
    let address = it.server.address(0);
    assert_eq!(peer.ask(host("a", address)).raw, hosted("a"));
    assert_eq!(peer.ask(host("b", address)).raw, hosted("b"));
    assert!(peer.ask(join("a")).is_ok());
    assert_eq!(peer.ask(join("b")).error(), "Limit reached");

    let log = it.reload_of("[limits]\nmax_payload = 300\nmax_joins = 2\n[http]\nlisten = '127.0.0.1:1'\n");
    for line in ["limits.max_payload 1000 → 300 applied", "limits.max_joins 1 → 2 applied", "reloaded: 2 changes"] {
        assert!(log.contains(line), "{line}: {log}");
    }
    // The flag stays in force over the file.
    assert!(!log.contains("http.listen"), "{log}");
    assert!(peer.ask(join("b")).is_ok());
    let long = message("u", &"x".repeat(400));
    assert!(peer.ask(&long).details().contains("300"), "the next request has the new limit");
    assert!(it.server.connect().ask(&long).details().contains("300"));

    let again = it.reload();
    assert!(again.contains("reloaded: 0 changes"), "{again}");
    // The connection that was refused may end meanwhile.
    assert_eq!(again.lines().filter(|line| !line.contains("connection_ended")).count(), 1, "{again}");
    let log = it.reload_of("[limits]\nmax_payload = 300\nmax_joins = 2\n[store]\nmin_free = '1M'\n");
    assert!(log.contains("store.min_free 256M → 1M needs a restart"), "{log}");
    it.server.stop();
}

/// Lets the server open no further file, or as many as before.
fn set_file_limit(server: &Server, current: Option<u64>) -> Option<u64> {
    let id = Pid::from_raw(i32::try_from(server.id()).unwrap());
    let Rlimit { maximum, .. } = rustix::process::getrlimit(Resource::Nofile);
    prlimit(id, Resource::Nofile, Rlimit { current, maximum }).unwrap().current
}

#[test]
fn a_file_with_any_fault_changes_nothing() {
    let it = Configured::start("[limits]\nmax_joins = 1\n", &[]);
    let mut peer = it.server.connect();
    for name in ["a", "b"] {
        assert_eq!(peer.ask(host(name, it.server.address(0))).raw, hosted(name));
    }
    assert!(peer.ask(join("a")).is_ok());
    let changes_nothing = |peer: &mut Peer, why: &str| {
        let log = it.reload();
        assert!(log.contains(why) && log.contains("not reloaded, every setting stays as it is"), "{why}: {log}");
        assert_eq!(peer.ask(join("b")).error(), "Limit reached");
    };
    for (text, why) in [
        ("", "the file is empty"),
        ("[limits]\nmax_joins = 5\nmax_na", "chanwire.toml:3:"),
        ("[limits]\nmax_joins = 5\nmax_names = 0\n", "limits.max_names: 0 is not in 1..=30000000"),
        ("[limits]\nmax_joins = 5\nmax_jions = 5\n", "limits.max_jions is no key; did you mean max_joins?"),
    ] {
        it.write(text);
        changes_nothing(&mut peer, why);
    }
    fs::remove_file(&it.file).unwrap();
    changes_nothing(&mut peer, "No such file");
    fs::create_dir(&it.file).unwrap();
    changes_nothing(&mut peer, "it is not a regular file");
    fs::remove_dir(&it.file).unwrap();
    it.write("[limits]\nmax_joins = 5\n");
    let files = set_file_limit(&it.server, Some(3));
    changes_nothing(&mut peer, "Too many open files");
    set_file_limit(&it.server, files);
    assert!(it.reload().contains("limits.max_joins 1 → 5 applied"));
    assert!(peer.ask(join("b")).is_ok());
    it.server.stop();
}

#[test]
fn a_lower_connection_limit_ends_no_connection_and_a_higher_one_lets_more_in() {
    let it = Configured::start("[limits]\nmax_connections = 2\n", &[]);
    let mut held = [it.server.connect(), it.server.connect()];
    let is_full = |limit: usize| {
        let answer = it.server.connect().read_to_end();
        assert!(answer.contains(&format!("its limit of {limit} connections")), "{answer}");
    };
    held.iter_mut().for_each(|peer| assert!(peer.ask(LIST).is_ok()));
    is_full(2);
    it.reload_of("[limits]\nmax_connections = 3\n");
    let mut third = it.server.connect();
    assert!(third.ask(LIST).is_ok());
    is_full(3);
    it.reload_of("[limits]\nmax_connections = 1\n");
    held.iter_mut().chain([&mut third]).for_each(|peer| assert!(peer.ask(LIST).is_ok()));
    is_full(1);
    drop(held);
    // One is left, and that is as many as there may be.
    it.reload_of("[limits]\nmax_connections = 1\nmax_joins = 7\n");
    is_full(1);
    drop(third);
    crate::readers::served_in_the_end(&it.server);
    it.server.stop();
}

#[test]
fn a_lower_retention_drops_messages_without_a_restart() {
    let it = Configured::start("# nothing yet\n", &[]);
    let mut peer = it.server.connect();
    assert_eq!(peer.ask(host("a", it.server.address(0))).raw, hosted("a"));
    for number in 0..5 {
        assert!(peer.ask(message("u", &number.to_string())).is_ok());
    }
    let log = it.reload_of("[store]\nretain_count = 2\n");
    assert!(log.contains("store.retain_count unlimited → 2 applied"), "{log}");
    wait_for("the old messages to be dropped", || {
        let kept = peer.ask(history("a", 10)).raw;
        check(!kept.contains("\"id\": 3,") && kept.contains("\"id\": 4,"), kept)
    });
    it.server.stop();
}

#[test]
fn the_log_level_is_applied() {
    let it = Configured::start("[log]\nlevel = 'info'\n", &["--log-format", "json"]);
    assert_eq!(it.server.ask(LIST), listed(&[]));
    assert!(it.reload_of("[log]\nlevel = 'debug'\n").contains("log.level info → debug applied"));
    assert_eq!(it.server.ask(LIST), listed(&[]));
    it.server.wait_for_log("\"DEBUG\"");
    it.server.stop();
}

#[test]
fn a_hundred_reloads_under_load_lose_no_connection() {
    let it = Configured::start("[limits]\nmax_joins = 500\n", &[]);
    assert_eq!(it.server.connect().ask(host("a", it.server.address(0))).raw, hosted("a"));
    let load: Vec<Background<usize>> = (0..8)
        .map(|_| {
            let mut peer = it.server.connect();
            Background::start(move |stop| {
                let mut asked = 0;
                while !stop.load(Ordering::Relaxed) {
                    assert!(peer.ask(message("u", "x")).is_ok());
                    assert!(peer.ask(LIST).is_ok());
                    asked += 2;
                }
                asked
            })
        })
        .collect();
    for number in 0..100 {
        let text = |joins: usize| format!("[limits]\nmax_joins = {joins}\nmax_payload = {}\n", 1000 + joins);
        let log = if number % 3 == 2 { it.reload_of("[limits]\nmax_joins") } else { it.reload_of(&text(number + 1)) };
        assert!(log.contains(if number % 3 == 2 { "not reloaded" } else { "reloaded: " }), "{log}");
    }
    for peer in load {
        assert!(peer.stop() > 0);
    }
    it.server.stop();
}

#[test]
fn a_failed_reload_is_a_metric_until_one_succeeds() {
    let it = Configured::start("[limits]\nmax_joins = 1\n", &["--metrics", "127.0.0.1:0"]);
    let address = metrics::address(&it.server);
    let value = || {
        let scraped = metrics::scrape(address);
        let line = scraped.lines().find_map(|line| line.strip_prefix("chanwire_config_last_reload_successful "));
        line.unwrap_or("none").to_owned()
    };
    assert_eq!(value(), "1");
    it.reload_of("[limits]\nmax_joints = 2\n");
    assert_eq!(value(), "0");
    it.reload_of("[limits]\nmax_joins = 2\n");
    assert_eq!(value(), "1");
}

//! Standard error and standard output that are full, closed, or never read.

use std::{
    fs::{self, File},
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use chanwire_tests::process::{Launch, Peer, Server, Signal, wait_for};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, mknodat},
    process::{Pid, Resource, Rlimit, getrlimit, prlimit},
};
use tempfile::{TempDir, tempdir};

use crate::{
    database::stored_contents,
    readers::served_in_the_end,
    requests::{LIST, host, hosted, listed, message, message_to},
};

/// Longer than any stop may take.
const STOP: Duration = Duration::from_secs(10);

/// A fault of standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Full,
    Closed,
    NeverRead,
}

/// Makes a named pipe.
fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// Opens the reader of a named pipe. It does not wait for a writer.
fn reader(path: &Path) -> File {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    File::options().read(true).custom_flags(flags).open(path).unwrap()
}

struct Bench {
    base: TempDir,
    pipe: PathBuf,
    reader: Option<File>,
}

impl Bench {
    fn new() -> Self {
        let base = tempdir().unwrap();
        let path = base.path().join("pipe");
        pipe(&path);
        let reader = Some(reader(&path));
        Self { base, pipe: path, reader }
    }

    fn data(&self) -> PathBuf {
        self.base.path().join("data")
    }

    fn start(&mut self, broken: Broken, more: &[&str]) -> Server {
        let target = if broken == Broken::Full { Path::new("/dev/full") } else { &self.pipe };
        let server = Launch::serve(&self.data()).args(more).after(&format!("exec 2>'{}'", target.display())).start();
        if broken == Broken::Closed {
            self.reader = None;
        }
        server
    }
}

/// Requests that make more log lines, at the level of trace, than wait anywhere: 12 MB.
fn floods(peer: &mut Peer) {
    let requests = message_to("none", "u", &"x".repeat(4_000)).repeat(100);
    for _ in 0..30 {
        peer.send(&requests);
        (0..100).for_each(|_| assert_eq!(peer.answer().error(), "Channel not found"));
    }
}

#[test]
fn a_server_that_cannot_log_serves_and_stops_as_any_other() {
    for broken in [Broken::Full, Broken::Closed, Broken::NeverRead] {
        let mut bench = Bench::new();
        let mut server = bench.start(broken, &["--log", "trace", "--max-connections", "2"]);
        let address = server.address(0);
        let mut peer = server.connect();
        assert_eq!(peer.ask(host("general", address)).raw, hosted("general"), "{broken:?}");
        if broken == Broken::NeverRead {
            floods(&mut peer);
        }
        // A connection over the limit is logged, and costs no other.
        let other = served_in_the_end(&server);
        for _ in 0..3 {
            assert!(server.connect().read_to_end().contains("Server busy"), "{broken:?}");
        }
        drop(other);
        drop(served_in_the_end(&server));
        let count = 500;
        peer.send((0..count).map(|number| message("u", &number.to_string())).collect::<String>());
        assert!(peer.answer().is_ok());
        server.signal(Signal::TERM);
        let mut answered = 1;
        while let Ok(answer) = peer.try_answer() {
            assert!(answer.is_ok(), "{}", answer.raw);
            answered += 1;
        }
        assert_eq!(server.wait(STOP).code(), Some(0), "{broken:?}");
        assert!(
            stored_contents(&bench.data(), "general")
                .into_iter()
                .eq((0..answered).map(|number: i32| number.to_string()))
        );
    }
}

#[test]
fn a_store_recovers_from_a_failure_that_could_not_be_logged() {
    for broken in [Broken::Full, Broken::Closed] {
        let mut bench = Bench::new();
        let server = bench.start(broken, &[]);
        let mut peer = server.connect();
        assert!(peer.ask(host("general", server.address(0))).is_ok());
        let limit = |bytes| {
            let id = i32::try_from(server.id()).ok().and_then(Pid::from_raw);
            let maximum = getrlimit(Resource::Fsize).maximum;
            prlimit(id, Resource::Fsize, Rlimit { current: bytes, maximum }).unwrap();
        };
        for round in 0..3 {
            limit(Some(1));
            for _ in 0..3 {
                assert_eq!(peer.ask(message("u", "refused")).status, "SERVER_ERROR", "{broken:?}");
            }
            limit(None);
            wait_for("a message that is stored again", || {
                let answer = peer.ask(message("u", &format!("stored {round}")));
                if answer.is_ok() { Ok(()) } else { Err(answer.raw) }
            });
        }
        server.stop();
        assert_eq!(stored_contents(&bench.data(), "general"), ["stored 0", "stored 1", "stored 2"], "{broken:?}");
    }
}

#[test]
fn dropped_log_lines_are_counted_and_the_count_is_logged_later() {
    for format in ["text", "json"] {
        let mut bench = Bench::new();
        let mut server = bench.start(Broken::NeverRead, &["--log", "trace", "--log-format", format]);
        // More lines than the queue and the pipe hold.
        (0..10).for_each(|_| floods(&mut server.connect()));
        let mut reader = bench.reader.take().unwrap();
        let mut log = Vec::new();
        let mut read = || {
            let mut piece = [0; 64 * 1024];
            while let Ok(count @ 1..) = reader.read(&mut piece) {
                log.extend_from_slice(&piece[..count]);
            }
            let text = String::from_utf8_lossy(&log).into_owned();
            let line = text.lines().find(|line| line.contains("log lines were dropped")).map(str::to_owned);
            line.ok_or_else(|| text.lines().last().map(str::to_owned))
        };
        let line = wait_for("the count", &mut read);
        if format == "json" {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(line["fields"]["dropped"].as_u64().unwrap() > 0, "{line}");
        }
        // Later events are logged as ever.
        server.signal(Signal::TERM);
        let stopped = wait_for("its end", || {
            let _ = read();
            server.try_wait().ok_or("it runs")
        });
        assert!(stopped.success());
        // The last lines are still in the pipe.
        let _ = read();
        assert!(String::from_utf8_lossy(&log).contains("SIGTERM: answering what was read"));
    }
}

#[test]
fn a_command_reports_a_write_error_but_not_a_closed_pipe() {
    let base = tempdir().unwrap();
    let (data, pipe) = (base.path().join("data"), base.path().join("pipe"));
    self::pipe(&pipe);
    let server = Launch::serve(&data).start();
    let address = server.address(0).to_string();
    assert!(server.connect().ask(host("general", server.address(0))).is_ok());
    assert!(server.connect().ask(message("u", "hello")).is_ok());
    let recorded = base.path().join("recorded.bin");
    fs::write(&recorded, "LIST\r\n").unwrap();
    let recorded = recorded.display().to_string();
    let commands: [&[&str]; 10] = [
        &["--help"],
        &["--version"],
        &["serve", "--help"],
        &["decode", "--help"],
        &["list", "--server", &address],
        &["list", "--json", "--server", &address],
        &["history", "general", "--server", &address],
        &["join", "general", "--history", "1", "--server", &address],
        &["send", "--user", "u", "again", "--server", &address],
        &["decode", &recorded],
    ];
    for command in commands {
        let full = Launch::new(command).after("exec >/dev/full").run();
        assert_eq!(full.code, Some(1), "{command:?}: {full:?}");
        assert!(full.stderr.contains("cannot print") && full.stderr.contains("No space left"), "{command:?}: {full:?}");
        let both = Launch::new(command).after("exec >/dev/full 2>/dev/full").run();
        assert_eq!(both.code, Some(1), "{command:?}: {both:?}");

        let closed = format!("exec 3<>'{0}' >'{0}' 3>&-", pipe.display());
        let unread = Launch::new(command).after(&closed).run();
        assert_eq!((unread.code, unread.stderr.as_str()), (Some(0), ""), "{command:?}: {unread:?}");
    }
    server.stop();
}

#[test]
fn a_closed_standard_error_changes_no_exit_code() {
    let base = tempdir().unwrap();
    let strange = base.path().join("strange.bin");
    fs::write(&strange, "\u{1}\u{2}").unwrap();
    let strange = strange.display().to_string();
    let nobody = "127.0.0.1:1";
    let commands: [(&[&str], i32); 7] = [
        (&["--nonsense"], 2),
        (&["serve", "--log", "loud"], 2),
        (&["serve", "--data-dir", "/dev/null/x"], 1),
        (&["list", "--server", nobody], 1),
        (&["join", "general", "--server", nobody], 1),
        (&["decode", &strange], 3),
        (&["tap", "--listen", "127.0.0.1:0", "--to", nobody, "--write", "/nowhere/x.jsonl"], 1),
    ];
    for (command, code) in commands {
        for script in ["exec 2>/dev/full", "exec 2>&-", "true"] {
            let finished = Launch::new(command).after(script).run();
            assert_eq!(finished.code, Some(code), "{command:?} {script}: {finished:?}");
        }
    }
}

#[test]
fn a_server_whose_banner_cannot_be_printed_runs_and_logs_where_it_listens() {
    let data = tempdir().unwrap();
    let log = data.path().join("log");
    let launch = Launch::serve(&data.path().join("data")).after(&format!("exec >/dev/full 2>'{}'", log.display()));
    let mut server = launch.start_unseen();
    let line = wait_for("a line that says where", || {
        let log = fs::read_to_string(&log).unwrap_or_default();
        log.lines().find(|line| line.contains("listening on ")).map(str::to_owned).ok_or(log)
    });
    let (_, address) = line.split_once("listening on ").unwrap();
    let address = address.split(';').next().unwrap().trim().parse().unwrap();
    assert_eq!(Peer::connect(address).ask(LIST).raw, listed(&[]));
    server.signal(Signal::TERM);
    assert!(server.wait(STOP).success());
}

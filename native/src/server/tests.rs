//! A whole server of which one part after the other ends unexpectedly.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use chanwire_core::{AddressLimits, Limits, hub::HubLimits, rights::GuestPolicy};

use super::*;
use crate::{
    store::{Memory, MemoryEngine, Retention, SendRetention},
    tls::{Trust, write_pair},
};

/// The limit on each wait, far above the usual time.
const DEADLINE: Duration = Duration::from_secs(30);

const LIST: &str = "LIST\r\n";

/// The part after this one: a new part does not compile without a place here, and so in the tests.
const fn after(part: Part) -> Option<Part> {
    Some(match part {
        Part::Hub => Part::Store,
        Part::Store => Part::Reader,
        Part::Reader => Part::Retention,
        Part::Retention => Part::Listener,
        Part::Listener => Part::Operator,
        Part::Operator => Part::Addresses,
        Part::Addresses => Part::Certificate,
        Part::Certificate => Part::Tracker,
        Part::Tracker => Part::Page,
        Part::Page => Part::Metrics,
        Part::Metrics => return None,
    })
}

/// Whether the server cannot go on without this part.
const fn is_vital(part: Part) -> bool {
    matches!(part, Part::Hub | Part::Store | Part::Reader)
}

struct Bench {
    server: Running,
    directory: tempfile::TempDir,
    tracker: TcpListener,
}

/// A server with a channel of its own at its second listener, and the inspector's page.
fn config(data_dir: &Path) -> Config {
    let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Config {
        listen: vec![local.into()],
        unix_sockets: Vec::new(),
        tls: Some(write_pair(data_dir, &["chat.example"], 1)),
        tls_mode: None,
        hosted: vec!["general=chat.example:1@127.0.0.1:0".parse().unwrap()],
        advertised: Vec::new(),
        http: Some(local),
        http_hosts: Vec::new(),
        trusted_proxies: Vec::new(),
        http_tls: false,
        metrics: MetricsConfig { address: Some(local), ..MetricsConfig::default() },
        data_dir: data_dir.to_owned(),
        store_max: None,
        store_min_free: 0,
        retention: Retention {
            count: Some(1),
            age: None,
            bytes: None,
            sends: SendRetention::of(&HubLimits::default()),
        },
        trackers: Vec::new(),
        tracker_trust: Trust::system(),
        lease: 300,
        limits: Limits::server(),
        hub_limits: HubLimits::default(),
        address_limits: AddressLimits::default(),
        accounts: Arc::default(),
        rules: Vec::new(),
        guests: GuestPolicy::default(),
        max_connections: 100,
        drain: DrainConfig::default(),
    }
}

impl Bench {
    fn start(part: Part) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tracker = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = config(directory.path());
        if part == Part::Tracker {
            // It does not answer, and a server that stops waits for it.
            config.trackers = vec![tracker.local_addr().unwrap().to_string().parse().unwrap()];
        }
        Self { server: Running::start(config, Inherited::default()).unwrap(), directory, tracker }
    }

    /// Returns the answer of the channel `general`'s listener to a request.
    fn ask(&self, request: &str) -> String {
        exchange(TcpStream::connect(self.server.addresses[1]).unwrap(), request)
    }

    fn say(&self, content: &str) -> String {
        self.ask(&format!("MESSAGE\r\n{{\"username\": \"u\", \"message_content\": \"{content}\"}}"))
    }

    fn ask_operator(&self) -> String {
        exchange(UnixStream::connect(self.directory.path().join(OPERATOR_SOCKET)).unwrap(), LIST)
    }

    fn ask_page(&self) -> String {
        let url = self.server.banner.lines().last().unwrap();
        let address = url.trim_start_matches("inspector at http://").split('/').next().unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        exchange(TcpStream::connect(address).unwrap(), &request)
    }

    /// A connection that asks for something that this vital part has to do.
    fn gives_work(&self, part: Part) -> TcpStream {
        let mut stream = TcpStream::connect(self.server.addresses[1]).unwrap();
        let request = match part {
            Part::Store => "MESSAGE\r\n{\"username\": \"u\", \"message_content\": \"never answered\"}",
            Part::Reader => "HISTORY\r\n{\"channel_name\": \"general\"}",
            _ => LIST,
        };
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Shows that a part works.
    fn uses(&self, part: Part) {
        match part {
            Part::Hub | Part::Store | Part::Reader => unreachable!("the server ends with it"),
            // Nothing of it is seen from outside but that it can end once more.
            Part::Addresses | Part::Certificate => {}
            Part::Retention => {
                for content in ["one", "two", "three"] {
                    assert!(self.say(content).starts_with("OK"));
                }
                let history = || self.ask("HISTORY\r\n{\"channel_name\": \"general\"}");
                until("retention", history, |history| history.contains("three") && !history.contains("two"));
            }
            Part::Listener => assert!(self.ask(LIST).starts_with("OK")),
            Part::Operator => assert!(self.ask_operator().starts_with("OK")),
            Part::Tracker => {
                let (mut stream, _) = self.tracker.accept().unwrap();
                let mut asked = [0; 6];
                stream.read_exact(&mut asked).unwrap();
                assert_eq!(&asked, b"HOST\r\n");
            }
            Part::Page => assert!(self.ask_page().starts_with("HTTP/1.1 200")),
            Part::Metrics => {
                let address = self.server.metrics_address.unwrap();
                let answer = exchange(TcpStream::connect(address).unwrap(), "GET /livez HTTP/1.0\r\n\r\n");
                assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
            }
        }
    }
}

/// Sends this and reads to the end of the stream; what was read before the stream broke, if it does.
fn exchange(mut stream: impl io::Read + io::Write + Stream, request: &str) -> String {
    stream.bound();
    let mut answer = Vec::new();
    let _ = stream.write_all(request.as_bytes());
    // An HTTP server takes it for the end of the connection.
    if !request.contains("HTTP/") {
        stream.finish();
    }
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

trait Stream {
    fn bound(&self);
    fn finish(&self);
}

macro_rules! stream {
    ($kind:ty) => {
        impl Stream for $kind {
            fn bound(&self) {
                self.set_read_timeout(Some(DEADLINE)).unwrap();
            }

            fn finish(&self) {
                let _ = self.shutdown(std::net::Shutdown::Write);
            }
        }
    };
}
stream!(TcpStream);
stream!(UnixStream);

fn until<T: std::fmt::Debug>(label: &str, look: impl Fn() -> T, fits: impl Fn(&T) -> bool) {
    let end = Instant::now() + DEADLINE;
    loop {
        let seen = look();
        if fits(&seen) {
            return;
        }
        assert!(Instant::now() < end, "{label}: {seen:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn ends(part: Part) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut bench = Bench::start(part);
        let acknowledged = bench.say("acknowledged");
        assert!(acknowledged.starts_with("OK"), "{acknowledged}");
        if is_vital(part) {
            bench.server.supervisor.doomed.end(part);
            let _unanswered = bench.gives_work(part);
            let error = timeout(DEADLINE, bench.server.failed()).await.expect("the server does not notice");
            assert!(matches!(error, ServeError::Died(died) if died == part), "{error}");
            let Bench { server, directory, .. } = bench;
            let error = timeout(DEADLINE, server.stop(Err(error))).await.expect("it does not stop").unwrap_err();
            assert!(matches!(error, ServeError::Died(died) if died == part), "{error}");
            let (data_dir, retention) = (directory.path().to_owned(), config(directory.path()).retention);
            let stored = StoreConfig { data_dir, max: None, min_free: 0, retention };
            let stored = store::open(&stored).unwrap().load().unwrap();
            assert!(stored.logs[0].last_id >= 1, "what was acknowledged is not stored");
            return;
        }
        // Twice: it was really started again.
        for _ in 0..2 {
            bench.uses(part);
            bench.server.supervisor.doomed.end(part);
            if part == Part::Retention {
                assert!(bench.say("more").starts_with("OK") && bench.say("three").starts_with("OK"));
            }
            until("its end", || bench.server.supervisor.doomed.has_ended(), |ended| *ended);
            bench.uses(part);
        }
        for other in [Part::Listener, Part::Operator, Part::Page] {
            bench.uses(other);
        }
        let Bench { server, directory, .. } = bench;
        timeout(DEADLINE, server.stop(Ok(()))).await.unwrap().unwrap();
        assert!(!directory.path().join("chanwire.db-wal").exists(), "the log was not moved into the database");
    });
}

#[test]
fn a_part_that_ends_unexpectedly_is_started_again_or_ends_the_server() {
    let mut next = Some(Part::Hub);
    while let Some(part) = next {
        ends(part);
        next = after(part);
    }
}

#[test]
fn a_server_runs_on_any_engine_and_finds_again_what_that_has_kept() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let memory = Memory::default();
        for start in 1..=2 {
            let engine = Box::new(MemoryEngine(memory.clone()));
            let server =
                Running::start_with(config(directory.path()), Inherited::default(), engine, "in memory").unwrap();
            assert!(server.banner.contains("storing in memory\n"), "{}", server.banner);
            let ask = |request: &str| exchange(TcpStream::connect(server.addresses[1]).unwrap(), request);
            let host = format!(
                "HOST\r\n{{\"channel_name\": \"c{start}\", \"peer_server_ip\": \"192.0.2.7\", \"peer_server_port\": 1}}"
            );
            assert!(ask(&host).starts_with("OK"));
            let say = format!("MESSAGE\r\n{{\"username\": \"u\", \"message_content\": \"number {start}\"}}");
            assert!(ask(&say).starts_with("OK"));
            let listed = ask(LIST);
            let history = ask("HISTORY\r\n{\"channel_name\": \"general\"}");
            for kept in 1..=start {
                assert!(listed.contains(&format!("\"c{kept}\"")), "{listed}");
                assert!(history.contains(&format!("\"number {kept}\"")), "{history}");
            }
            timeout(DEADLINE, server.stop(Ok(()))).await.unwrap().unwrap();
            assert!(memory.is_closed());
        }
        assert!(!directory.path().join("chanwire.db").exists());
    });
}

//! The real binary: started with a data directory and on ports of its own, asked over TCP, stopped, and killed by its
//! id when the test is over.
//!
//! Nothing here waits for a time: everything waits for a condition, and gives up loudly at [`DEADLINE`].
#![expect(clippy::panic, clippy::expect_used, reason = "a panic is how a test fails")]

mod peer;

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

pub use peer::{Answer, Peer, answers, without_times};
pub use rustix::process::Signal;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, kill_process, setrlimit};

/// How long anything may take that a test waits for. Far more than it takes.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The binary under test: the one that `CHANWIRE_BIN` names, else the one that `make build` makes.
///
/// # Panics
///
/// If it is not there.
#[must_use]
pub fn binary() -> PathBuf {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/chanwire");
    let path = env::var_os("CHANWIRE_BIN").map_or_else(built, PathBuf::from);
    assert!(
        path.is_file(),
        "{} is missing: run `make build`, or name a binary with CHANWIRE_BIN (`cargo build -p chanwire` makes one)",
        path.display()
    );
    path
}

/// A program of the system that a test cannot do without.
///
/// # Panics
///
/// If it is not installed, with the command that installs it.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: run `apt-get install {name}` as root"))
}

/// Asks again and again until there is an answer.
///
/// # Panics
///
/// If there is none by the deadline.
pub fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {DEADLINE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Lets this process open as many files as the system allows it.
///
/// # Panics
///
/// If that is fewer than `wanted`.
pub fn raise_file_limit(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    assert!(
        limit.maximum.is_none_or(|maximum| maximum >= wanted),
        "this test opens {wanted} files, the system allows {:?}: run `ulimit -Hn {wanted}` as root",
        limit.maximum
    );
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }).expect("a higher limit");
    }
}

/// The binary with its arguments, before it is started.
#[derive(Clone, Debug)]
pub struct Launch {
    wrapper: Vec<OsString>,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, Option<OsString>)>,
    input: Vec<u8>,
}

impl Launch {
    /// Any command of it. What the tests' own environment says to it does not count.
    pub fn new(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let unset = |name: &str| (name.into(), None);
        Self {
            wrapper: Vec::new(),
            arguments: arguments.into_iter().map(|argument| argument.as_ref().into()).collect(),
            variables: vec![unset("CHANWIRE_SERVER"), unset("CHANWIRE_DATA_DIR")],
            input: Vec::new(),
        }
    }

    /// A server without a page that keeps its data there, and listens on a free port of loopback.
    #[must_use]
    pub fn serve(data_dir: &Path) -> Self {
        Self::new(["serve", "--http", "off", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir)
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args(self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// A variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.into(), Some(value.as_ref().into())));
        self
    }

    /// What it finds on its standard input.
    #[must_use]
    pub fn input(mut self, bytes: &[u8]) -> Self {
        self.input = bytes.into();
        self
    }

    /// Another program that becomes it: the program's own arguments, and then the whole command line, follow.
    #[must_use]
    pub fn under(mut self, wrapper: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.wrapper = wrapper.into_iter().map(|word| word.as_ref().into()).collect();
        self
    }

    /// A shell that first does this, for example lowers a limit, and then becomes it.
    #[must_use]
    pub fn after(self, script: &str) -> Self {
        self.under([program("sh").into_os_string(), "-c".into(), format!("{script} && exec \"$0\" \"$@\"").into()])
    }

    fn spawn(&self) -> Child {
        let mut words = self.wrapper.iter().cloned().chain([binary().into()]).chain(self.arguments.iter().cloned());
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = self.input.clone();
        // It may end without reading its input.
        thread::spawn(move || stdin.write_all(&input));
        child
    }

    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// If it does not end.
    #[must_use]
    pub fn run(&self) -> Finished {
        let mut process = Process(self.spawn());
        let stdout = collect(process.0.stdout.take().expect("a pipe"));
        let stderr = collect(process.0.stderr.take().expect("a pipe"));
        let status = process.wait(DEADLINE);
        let text = |reader: thread::JoinHandle<Vec<u8>>| {
            String::from_utf8(reader.join().expect("what it wrote")).expect("UTF-8")
        };
        Finished { code: status.code(), status, stdout: text(stdout), stderr: text(stderr) }
    }

    /// Starts a server and waits until it has told where it listens.
    ///
    /// # Panics
    ///
    /// If it ends before.
    #[must_use]
    pub fn start(&self) -> Server {
        let mut process = Process(self.spawn());
        let log = Log::default();
        log.follow(process.0.stderr.take().expect("a pipe"));
        let (tell, told) = mpsc::channel();
        let stdout = BufReader::new(process.0.stdout.take().expect("a pipe"));
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));

        let has_page = !self.arguments.windows(2).any(|pair| *pair == ["--http", "off"]);
        let last = if has_page { "inspector at " } else { "data in " };
        let mut banner = Vec::new();
        while !banner.last().is_some_and(|line: &String| line.starts_with(last)) {
            match told.recv_timeout(DEADLINE) {
                Ok(line) => banner.push(line),
                Err(error) => panic!("no banner ({error}); it said: {banner:?}\n{}", log.text()),
            }
        }
        let listening = banner.iter().filter_map(|line| line.strip_prefix("listening on "));
        let addresses = listening.map(|address| address.parse().expect("an address")).collect();
        Server { process, log, banner, addresses }
    }
}

/// How a command ended and what it said.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code, if no signal ended it.
    pub code: Option<i32>,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// What it said on standard error, when it failed with one line and this exit code.
    ///
    /// # Panics
    ///
    /// If it ended or spoke in another way.
    #[must_use]
    pub fn refusal(&self, code: i32) -> &str {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        let line = self.stderr.strip_suffix('\n').filter(|line| !line.is_empty() && !line.contains('\n'));
        line.unwrap_or_else(|| panic!("not one line: {self:?}"))
    }
}

fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is what there is.
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// A child that is killed when it goes out of scope.
#[derive(Debug)]
struct Process(Child);

impl Process {
    fn wait(&mut self, within: Duration) -> ExitStatus {
        let end = Instant::now() + within;
        loop {
            if let Some(status) = self.0.try_wait().expect("a child of this process") {
                return status;
            }
            assert!(Instant::now() < end, "the process {} did not end within {within:?}", self.0.id());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a process has said on standard error so far.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn follow(&self, mut from: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                let bytes = buffer.get(..count).unwrap_or_default();
                log.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            }
        });
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    process: Process,
    log: Log,
    banner: Vec<String>,
    addresses: Vec<SocketAddr>,
}

impl Server {
    /// The lines that it greeted with.
    #[must_use]
    pub fn banner(&self) -> &[String] {
        &self.banner
    }

    /// Where its listener of this number listens, in the order of its banner.
    ///
    /// # Panics
    ///
    /// If it has no such listener.
    #[must_use]
    pub fn address(&self, listener: usize) -> SocketAddr {
        *self.addresses.get(listener).expect("a listener")
    }

    /// Its process's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// A connection to its first listener.
    #[must_use]
    pub fn connect(&self) -> Peer {
        Peer::connect(self.address(0))
    }

    /// What its first listener answers to this on a connection of its own, up to the end of the stream.
    #[must_use]
    pub fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut peer = self.connect();
        peer.send(bytes);
        peer.finish();
        peer.rest()
    }

    /// What it has said on standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until it has said this on standard error.
    pub fn wait_for_log(&self, text: &str) {
        wait_for(text, || self.log().contains(text).then_some(()));
    }

    /// The memory that it has in RAM, in bytes.
    ///
    /// # Panics
    ///
    /// If it is gone.
    #[must_use]
    pub fn resident(&self) -> u64 {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.id())).expect("a running process");
        let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a count of pages");
        pages * u64::try_from(rustix::param::page_size()).expect("a small number")
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// If it is gone.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).expect("an id");
        kill_process(id, signal).expect("a running process");
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    ///
    /// If it takes longer than this.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        self.process.wait(within)
    }

    /// Ends it as an operator does.
    ///
    /// # Panics
    ///
    /// If it does not end well.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait(DEADLINE);
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Ends it as a crash does.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        let _ = self.wait(DEADLINE);
    }
}

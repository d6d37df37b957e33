//! Runs the real binary: starts it with its own data directory and ports, talks to it over TCP, stops it, and kills it
//! by its id at the end of the test.
//!
//! Nothing here waits for a fixed time. Every wait is for a condition, and fails at [`DEADLINE`].
#![expect(clippy::panic, clippy::expect_used, reason = "a panic is how a test fails")]

#[cfg(target_os = "linux")]
mod machine;
mod peer;
mod pour;
mod tls_pair;

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt, fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

#[cfg(target_os = "linux")]
pub use machine::Machine;
pub use peer::{Answer, Peer, answers, without_times};
pub use pour::pour;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
pub use rustix::process::Signal;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, kill_process, setrlimit};
pub use tls_pair::TlsPair;

/// The timeout of every wait in a test. Far more than anything takes.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Returns the binary under test: the one that `CHANWIRE_BIN` names, else the one that `make build` makes.
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

/// Returns the path of an installed program that a test needs.
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

/// The outcome of one look at a condition: the value waited for, or the state seen instead.
pub trait Look<T> {
    /// Returns the value.
    ///
    /// # Errors
    ///
    /// If it is not there yet: the state seen, `None` if there is none to show.
    fn found(self) -> Result<T, Option<String>>;
}

impl<T, S: fmt::Debug> Look<T> for Result<T, S> {
    fn found(self) -> Result<T, Option<String>> {
        self.map_err(|seen| Some(format!("{seen:?}")))
    }
}

impl<T> Look<T> for Option<T> {
    fn found(self) -> Result<T, Option<String>> {
        self.ok_or(None)
    }
}

/// Polls until it has found something.
///
/// # Panics
///
/// If there is nothing by the deadline, with what was seen last.
pub fn wait_for<T, L: Look<T>>(condition: &str, mut look: impl FnMut() -> L) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        let seen = match look().found() {
            Ok(found) => return found,
            Err(seen) => seen.unwrap_or_else(|| "nothing".into()),
        };
        assert!(Instant::now() < end, "{condition}: not within {DEADLINE:?}; seen last: {seen}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Returns nothing if it holds, else the state seen, for [`wait_for`].
///
/// # Errors
///
/// If it does not hold.
pub fn check<S>(holds: bool, seen: S) -> Result<(), S> {
    if holds { Ok(()) } else { Err(seen) }
}

/// A thread of a test that works until it is stopped. It is stopped and joined when the test ends, also
/// where an assertion fails.
#[derive(Debug)]
pub struct Background<T> {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<T>>,
}

impl<T: Send + 'static> Background<T> {
    /// Starts it. The work is to end soon after the flag turns true.
    pub fn start(work: impl FnOnce(&AtomicBool) -> T + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self { stop, thread: Some(thread::spawn(move || work(&stopped))) }
    }

    /// Stops it, and returns the result of its work.
    ///
    /// # Panics
    ///
    /// If it has panicked.
    pub fn stop(mut self) -> T {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("a thread that was not waited for");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl<T> Drop for Background<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The test has failed already.
            let _ = thread.join();
        }
    }
}

/// Returns a loopback address at which no socket listens, and none can, for as long as the socket is kept.
///
/// # Panics
///
/// If the system gives none.
#[must_use]
pub fn refusing_address() -> (OwnedFd, SocketAddr) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = getsockname(&socket).expect("its address").try_into().expect("an address of IPv4");
    (socket, address)
}

/// Raises this process's limit of open files as far as the system allows.
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
    program: PathBuf,
    wrapper: Vec<OsString>,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, Option<OsString>)>,
    input: Vec<u8>,
}

impl Launch {
    /// Prepares any command of the binary. The environment's `CHANWIRE_` variables are not passed on, nor are the servers
    /// that the user knows.
    pub fn new(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        Self {
            program: binary(),
            wrapper: Vec::new(),
            arguments: arguments.into_iter().map(|argument| argument.as_ref().into()).collect(),
            variables: vec![
                // Servers of one machine would contend for the default address.
                ("CHANWIRE_METRICS_LISTEN".into(), Some("off".into())),
                ("XDG_CONFIG_HOME".into(), Some("/nonexistent".into())),
            ],
            input: Vec::new(),
        }
    }

    /// Returns a server without the inspector page, with this data directory and a free port of the loopback address.
    #[must_use]
    pub fn serve(data_dir: &Path) -> Self {
        Self::new(["serve", "--http", "off", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.into(), Some(value.as_ref().into())));
        self
    }

    /// Removes a variable from its environment.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.variables.push((name.into(), None));
        self
    }

    /// Sets its standard input.
    #[must_use]
    pub fn input(mut self, bytes: &[u8]) -> Self {
        self.input = bytes.into();
        self
    }

    /// Runs it by another program, such as strace, which replaces itself with it or starts it. `wrapper` is that
    /// program with its arguments; the binary's command line is appended.
    #[must_use]
    pub fn under(mut self, wrapper: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.wrapper = wrapper.into_iter().map(|word| word.as_ref().into()).collect();
        self
    }

    /// Runs it by a shell that first runs this script, for example to lower a limit.
    #[must_use]
    pub fn after(self, script: &str) -> Self {
        self.under([program("sh").into_os_string(), "-c".into(), format!("{script} && exec \"$0\" \"$@\"").into()])
    }

    /// Runs this binary instead.
    #[must_use]
    pub fn program(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.program);
        self
    }

    fn spawn(&self) -> Child {
        let program = self.program.clone().into_os_string();
        let mut words = self.wrapper.iter().cloned().chain([program]).chain(self.arguments.iter().cloned());
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Variables that are meant for the tests must not configure the program.
        for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"CHANWIRE_")) {
            command.env_remove(name);
        }
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

    /// Starts a server and waits until it has printed its addresses.
    ///
    /// # Panics
    ///
    /// If it ends before.
    #[must_use]
    pub fn start(&self) -> Server {
        self.try_start().unwrap_or_else(|finished| panic!("no banner: {finished:?}"))
    }

    /// Starts a server and waits until it has printed its addresses.
    ///
    /// # Errors
    ///
    /// If it ends before: its exit status and output.
    ///
    /// # Panics
    ///
    /// If it does neither.
    pub fn try_start(&self) -> Result<Server, Finished> {
        let mut server = self.start_unseen();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(server.process.0.stdout.take().expect("a pipe"));
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));

        let has_page = !self.arguments.windows(2).any(|pair| *pair == ["--http", "off"]);
        let is_tap = self.arguments.first().is_some_and(|command| command == "tap");
        let last = match (has_page, is_tap) {
            (true, _) => "inspector at ",
            (false, true) if self.arguments.iter().any(|argument| argument == "--write") => "writing ",
            (false, true) => "passing on to ",
            (false, false) => "data in ",
        };
        while !server.banner.last().is_some_and(|line: &String| line.starts_with(last)) {
            match lines.recv_timeout(DEADLINE) {
                Ok(line) => server.banner.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let status = server.wait(DEADLINE);
                    let stdout = server.banner.iter().map(|line| format!("{line}\n")).collect();
                    return Err(Finished { code: status.code(), status, stdout, stderr: server.log.whole() });
                }
                Err(error) => panic!("no banner ({error}); it said: {:?}\n{}", server.banner, server.log()),
            }
        }
        let listening = server.banner.iter().filter_map(|line| line.strip_prefix("listening on "));
        let tcp = listening.filter(|address| !address.starts_with("unix:"));
        server.addresses = tcp.map(|address| address.parse().expect("an address")).collect();
        Ok(server)
    }

    /// Starts a server without reading its standard output.
    #[must_use]
    pub fn start_unseen(&self) -> Server {
        let mut process = Process(self.spawn());
        let log = Log::default();
        log.follow(process.0.stderr.take().expect("a pipe"));
        Server { process, log, banner: Vec::new(), addresses: Vec::new() }
    }
}

/// The exit status and output of a command.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code, if no signal ended it.
    pub code: Option<i32>,
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// Returns its line on standard error, if it failed with one line and this exit code.
    ///
    /// # Panics
    ///
    /// If its exit code or output is different.
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
        // Bytes read before an error are kept.
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// A child process that is killed on drop, with its descendants.
#[derive(Debug)]
pub struct Process(pub Child);

impl Process {
    /// Waits until it has ended.
    ///
    /// # Panics
    ///
    /// If it takes longer than this.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
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
        // Killing a wrapper such as strace does not kill its program.
        let descendants = descendants(self.0.id());
        // It may have ended already.
        let _ = self.0.kill();
        for id in descendants {
            let _ = kill_process(id, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// Describes a process and its descendants for a failed test, one line each, with the kernel's name of its state, such
/// as `Z (zombie)`.
#[must_use]
pub fn process_states(id: u32) -> String {
    let own = i32::try_from(id).ok().and_then(Pid::from_raw);
    let line = |id: Pid| {
        let id = id.as_raw_nonzero();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let field =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map_or("", str::trim).to_owned();
        let state = if status.is_empty() { "no such process".into() } else { field("State:") };
        format!("process {id} {}: {state}\n", field("Name:"))
    };
    own.into_iter().chain(descendants(id)).map(line).collect()
}

/// Returns the children of a process, and their descendants.
fn descendants(id: u32) -> Vec<Pid> {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    let children: Vec<u32> = children.split_whitespace().filter_map(|child| child.parse().ok()).collect();
    let all = children.iter().copied().chain(children.iter().flat_map(|child| {
        descendants(*child).into_iter().filter_map(|id| u32::try_from(id.as_raw_nonzero().get()).ok())
    }));
    all.filter_map(|id| i32::try_from(id).ok().and_then(Pid::from_raw)).collect()
}

/// The standard error of a process so far.
#[derive(Clone, Debug, Default)]
struct Log {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Whether standard error is closed.
    ended: Arc<AtomicBool>,
}

impl Log {
    fn follow(&self, mut from: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                let bytes = buffer.get(..count).unwrap_or_default();
                log.bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            }
            log.ended.store(true, Ordering::Release);
        });
    }

    /// Returns all output of a process that has ended.
    fn whole(&self) -> String {
        wait_for("the end of standard error", || check(self.ended.load(Ordering::Acquire), self.text()));
        self.text()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
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
    /// Returns the lines that it printed when it started.
    #[must_use]
    pub fn banner(&self) -> &[String] {
        &self.banner
    }

    /// Returns the address of its listener of this number, in the order of its banner.
    ///
    /// # Panics
    ///
    /// If it has no such listener.
    #[must_use]
    pub fn address(&self, listener: usize) -> SocketAddr {
        *self.addresses.get(listener).expect("a listener")
    }

    /// Returns its process's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// Connects to its first listener.
    #[must_use]
    pub fn connect(&self) -> Peer {
        Peer::connect(self.address(0))
    }

    /// Sends this on a new connection to its first listener, and returns all answers up to the end of the stream.
    #[must_use]
    pub fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut peer = self.connect();
        peer.send(bytes);
        peer.finish();
        peer.read_to_end()
    }

    /// Returns its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until its log contains this text.
    pub fn wait_for_log(&self, text: &str) {
        wait_for(text, || {
            let log = self.log();
            check(log.contains(text), log)
        });
    }

    /// Returns its resident memory in bytes.
    ///
    /// # Panics
    ///
    /// If it has exited.
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
    /// If it has exited.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw).expect("an id");
        kill_process(id, signal).expect("a running process");
    }

    /// Returns its exit status, if it has ended.
    ///
    /// # Panics
    ///
    /// If the system call fails.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.process.0.try_wait().expect("a child of this process")
    }

    /// Waits until it has ended and its log is complete.
    ///
    /// # Panics
    ///
    /// If it takes longer than this.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let status = self.process.wait(within);
        self.log.whole();
        status
    }

    /// Stops it with SIGTERM, and returns its whole log.
    ///
    /// # Panics
    ///
    /// If it does not exit with success.
    pub fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.wait(DEADLINE);
        assert!(status.success(), "{status}");
        self.log()
    }

    /// Kills it, like a crash.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        // Does not wait for the end of the log: a descendant may keep standard error open.
        let _ = self.process.wait(DEADLINE);
    }
}

impl Drop for Server {
    /// Prints the server's state and log where the test has failed.
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the server:\n{}{}", process_states(self.id()), self.log());
        }
    }
}

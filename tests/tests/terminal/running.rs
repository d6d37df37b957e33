//! Commands that run while a test talks with them.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use chanwire_tests::process::{Launch, Server, binary, check, process_states, wait_for};

/// Starts a server that hosts `general` at the address it listens at.
pub(crate) fn general(data_dir: &Path) -> Server {
    let server = Launch::serve(data_dir).start();
    let address = server.address(0);
    let host = Launch::new(["host", "general", &address.to_string(), "--server", &address.to_string()]).run();
    assert_eq!(host.stdout, "hosted general\n", "{host:?}");
    server
}

/// Starts a server on the same data and at the same address as one that has ended.
pub(crate) fn again(data_dir: &Path, address: SocketAddr) -> Server {
    Launch::new(["serve", "--http", "off", "--listen", &address.to_string(), "--data-dir"]).arg(data_dir).start()
}

/// A command with pipes for a terminal. It is killed when it goes out of scope, and its state and output are printed
/// where the test has failed.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    input: Option<ChildStdin>,
    pub(crate) out: Lines,
    pub(crate) error: Lines,
}

/// The whole lines read so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn follow(&self, from: impl Read + Send + 'static) {
        let lines = Arc::clone(&self.0);
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until there are as many.
    pub(crate) fn wait(&self, count: usize) -> Vec<String> {
        wait_for(&format!("{count} lines"), || {
            let lines = self.all();
            if lines.len() >= count { Ok(lines) } else { Err(lines) }
        })
    }

    /// Waits until one of them holds this.
    pub(crate) fn wait_with(&self, text: &str) {
        self.wait_with_many(text, 1);
    }

    /// Waits until as many of them hold this.
    pub(crate) fn wait_with_many(&self, text: &str, count: usize) {
        wait_for(text, || {
            let lines = self.all();
            check(lines.iter().filter(|line| line.contains(text)).count() >= count, lines)
        });
    }
}

impl Running {
    pub(crate) fn start(server: SocketAddr, arguments: &[&str]) -> Self {
        Self::spawn(Command::new(binary()).args(arguments).args(["--server", &server.to_string()]))
    }

    /// Runs any command line, in UTC unless it names another time zone.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        if !command.get_envs().any(|(name, _)| name == "TZ") {
            command.env("TZ", "UTC");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (out, error) = (Lines::default(), Lines::default());
        out.follow(child.stdout.take().unwrap());
        error.follow(child.stderr.take().unwrap());
        Self { input: child.stdin.take(), child, out, error }
    }

    /// Starts a chat on `general` and waits until it has joined.
    pub(crate) fn chat(server: SocketAddr, user: &str) -> Self {
        let chat = Self::start(server, &["chat", "general", "--user", user]);
        chat.error.wait_with("on general at ");
        chat
    }

    /// Types a line.
    pub(crate) fn line(&mut self, line: &str) {
        self.input.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Ends its input.
    pub(crate) fn end(&mut self) {
        self.input = None;
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("its end", || self.child.try_wait().unwrap().ok_or_else(|| (self.out.all(), self.error.all())))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if thread::panicking() {
            let (states, out, error) = (process_states(self.id()), self.out.all(), self.error.all());
            eprintln!("the command:\n{states}standard output: {out:#?}\nstandard error: {error:#?}");
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! `chanwire chat` where messages come faster than its terminal takes them.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    process::{Child, Command},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use chanwire_tests::process::{binary, process_states, wait_for};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::fake::UNKNOWN;

/// A server on whose one channel so much is said that the connection is always full.
struct Flood {
    address: SocketAddr,
    /// The id of the last message that was sent.
    last: Arc<AtomicU64>,
    /// Whether the channel was left.
    left: Arc<AtomicBool>,
}

impl Flood {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let flood = Self { address, last: Arc::default(), left: Arc::default() };
        let (ids, left) = (Arc::clone(&flood.last), Arc::clone(&flood.left));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, ids, left) = (stream.unwrap(), Arc::clone(&ids), Arc::clone(&left));
                thread::spawn(move || serve(&stream, address, &ids, &left));
            }
        });
        flood
    }
}

fn serve(stream: &TcpStream, address: SocketAddr, last: &Arc<AtomicU64>, left: &AtomicBool) {
    let joined = Arc::new(Mutex::new(false));
    // A request is carried out between two pieces of the flood.
    let asked = Arc::new(AtomicBool::new(false));
    let mut out = stream;
    thread::spawn({
        let (mut pushes, is_joined, is_asked) = (stream.try_clone().unwrap(), Arc::clone(&joined), Arc::clone(&asked));
        let ids = Arc::clone(last);
        move || loop {
            let joined = is_joined.lock().unwrap();
            if !*joined || is_asked.load(Ordering::Relaxed) {
                drop(joined);
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            let mut bytes = String::new();
            for _ in 0..100 {
                let id = ids.fetch_add(1, Ordering::Relaxed) + 1;
                bytes += &push(id);
            }
            if pushes.write_all(bytes.as_bytes()).is_err() {
                return;
            }
        }
    });
    for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        let answer = |out: &mut &TcpStream, payload: &str| drop(out.write_all(format!("OK\r\n{payload}").as_bytes()));
        // A command's line follows the payload of the one before.
        match line.rsplit('}').next().unwrap_or_default().trim_end() {
            "HELLO" => drop(out.write_all(UNKNOWN.as_bytes())),
            "LIST" => answer(
                &mut out,
                &format!(
                    "{{\"channels\": [{{\"channel_name\": \"general\", \"peer_server_ip\": \"127.0.0.1\", \
                     \"peer_server_port\": {}}}]}}",
                    address.port()
                ),
            ),
            "JOIN" => {
                asked.store(true, Ordering::Relaxed);
                let mut joined = joined.lock().unwrap();
                asked.store(false, Ordering::Relaxed);
                let first = last.load(Ordering::Relaxed) + 1;
                answer(
                    &mut out,
                    &format!(
                        "{{\"status\": \"joined\", \"channel_name\": \"general\", \"first_id\": {first}, \
                         \"last_id\": {}}}",
                        first - 1
                    ),
                );
                *joined = true;
            }
            "LEAVE" => {
                asked.store(true, Ordering::Relaxed);
                let mut joined = joined.lock().unwrap();
                asked.store(false, Ordering::Relaxed);
                *joined = false;
                left.store(true, Ordering::Relaxed);
                answer(&mut out, "{\"status\": \"left\", \"channel_name\": \"general\"}");
            }
            _ => {}
        }
    }
}

fn push(id: u64) -> String {
    format!(
        "MESSAGE\r\n{{\"channel_name\": \"general\", \"id\": {id}, \"username\": \"bob\", \"message_content\": \
         \"number {id} {}\", \"timestamp\": \"2026-11-23T09:15:02Z\"}}",
        "x".repeat(100)
    )
}

/// A chat on a terminal of which the test decides how fast it takes what it is to show.
struct Chat {
    child: Child,
    terminal: File,
    /// All that the terminal was shown.
    text: String,
}

impl Chat {
    fn start(server: SocketAddr) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let path = ptsname(&terminal, Vec::new()).unwrap();
        let open =
            || -> OwnedFd { File::options().read(true).write(true).open(path.to_str().unwrap()).unwrap().into() };
        let child = Command::new(binary())
            .args(["chat", "general", "--user", "ann", "--server", &server.to_string()])
            .env("TERM", "xterm")
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap();
        Self { child, terminal: terminal.into(), text: String::new() }
    }

    /// Returns the most memory that it ever had, in bytes.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        if thread::panicking() {
            let states = process_states(self.child.id());
            let tail: String = self.text.lines().rev().take(24).map(|line| format!("{line:?}\n")).collect();
            eprintln!("the chat:\n{states}its last lines, the newest first:\n{tail}");
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_flooded_channel_is_skipped_while_the_terminal_does_not_keep_up() {
    let flood = Flood::start();
    let mut chat = Chat::start(flood.address);
    // The terminal takes nothing: the chat reads no more, until it leaves the channel.
    let sent = || flood.last.load(Ordering::Relaxed);
    wait_for("that the channel is left", || flood.left.load(Ordering::Relaxed).then_some(()));
    let settled = sent();
    assert!(settled < 1_000_000, "{settled}");
    assert!(chat.peak() < 64 << 20, "{} bytes after {settled} messages", chat.peak());
    // The terminal takes everything again: what was skipped is said, and the newest messages follow.
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = chat.terminal.read(&mut buffer).unwrap();
        chat.text += &String::from_utf8_lossy(&buffer[..count]);
        let said = chat.text.split_once(" skipped: the terminal does not keep up");
        if said.is_some_and(|(_, after)| after.contains("number ") && after.contains("\n> ")) {
            break;
        }
        assert!(chat.text.len() < 4 << 20, "nothing was skipped");
    }
    let (before, after) = chat.text.split_once(" skipped: the terminal").unwrap();
    let number_of = |text: &str| text.split(' ').next().unwrap().parse::<u64>().unwrap();
    let count = number_of(before.rsplit_once("* ").unwrap().1);
    let last_shown = number_of(before.rsplit_once("number ").unwrap().1);
    let next_shown = number_of(after.split_once("number ").unwrap().1);
    assert_eq!(last_shown + count + 1, next_shown);
    assert!(chat.peak() < 64 << 20, "{} bytes", chat.peak());
    // It hears what is typed.
    chat.terminal.write_all(b"/quit\r").unwrap();
    let reader = thread::spawn({
        let mut terminal = chat.terminal.try_clone().unwrap();
        move || while terminal.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
    let status = wait_for("its end", || chat.child.try_wait().unwrap());
    assert!(status.success(), "{status:?}");
    drop(chat);
    drop(reader);
}

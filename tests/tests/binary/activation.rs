//! Listening sockets that a server is started with, which stay open while it restarts.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, AsRawFd as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use chanwire_tests::process::{DEADLINE, Launch, Server, Signal};
use rustix::io::{FdFlags, fcntl_setfd};
use tempfile::tempdir;

use crate::requests::LIST;

const EMPTY: &str = "OK\r\n{\"channels\": []}";

/// Starts a server with this socket, as systemd does: it inherits the descriptor and variables that tell of it.
pub(crate) fn start_with(socket: impl AsFd, launch: Launch) -> Server {
    let socket = socket.as_fd();
    let launch = launch.variable("LISTEN_FDS", "1").variable("LISTEN_FDS_FIRST_FD", socket.as_raw_fd().to_string());
    // The shell becomes the server, so its number is the server's.
    let launch = launch.after("export LISTEN_PID=$$");
    // Only while it is started: no other server of these tests is to inherit it.
    fcntl_setfd(socket, FdFlags::empty()).unwrap();
    let server = launch.start_unseen();
    fcntl_setfd(socket, FdFlags::CLOEXEC).unwrap();
    server
}

fn serve(data_dir: &Path, address: SocketAddr) -> Launch {
    Launch::new(["serve", "--http", "off", "--listen", &address.to_string(), "--data-dir"]).arg(data_dir)
}

/// Asks for the list on a connection of its own.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(LIST.as_bytes())?;
    let mut answer = [0; EMPTY.len()];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn ten_restarts_refuse_none_of_the_clients_that_ask_one_after_the_other() {
    let data = tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = (0..3)
        .map(|_| {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                let mut asked = 0;
                while !over.load(Relaxed) {
                    match ask(address) {
                        Ok(answer) => assert_eq!(answer, EMPTY),
                        Err(error) => panic!("after {asked} answers: {error}"),
                    }
                    asked += 1;
                }
                asked
            })
        })
        .collect();
    for _ in 0..10 {
        let mut server = start_with(&socket, serve(data.path(), address));
        // It serves, and is in the middle of it.
        for _ in 0..20 {
            assert_eq!(ask(address).unwrap(), EMPTY);
        }
        server.signal(Signal::TERM);
        assert_eq!(server.wait(Duration::from_secs(10)).code(), Some(0), "{}", server.log());
    }
    // Those that wait in the backlog are answered by a last one.
    let server = start_with(&socket, serve(data.path(), address));
    assert_eq!(ask(address).unwrap(), EMPTY);
    over.store(true, Relaxed);
    let asked: Vec<u32> = asking.into_iter().map(|asking| asking.join().unwrap()).collect();
    assert!(asked.iter().all(|asked| *asked > 10), "{asked:?}");
    server.stop();
}

#[test]
fn a_socket_that_no_listener_has_is_an_error_that_says_what_to_do() {
    let data = tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let other = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut server = start_with(&socket, serve(data.path(), other));
    assert_eq!(server.wait(DEADLINE).code(), Some(1));
    let words = format!("the socket at {address} that was passed (LISTEN_FDS) belongs to no listener");
    assert!(server.log().contains(&words) && server.log().contains(&format!("--listen {address}")), "{}", server.log());

    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut server = start_with(&datagrams, serve(data.path(), other));
    assert_eq!(server.wait(DEADLINE).code(), Some(1));
    assert!(server.log().contains("pass listening TCP and Unix stream sockets only"), "{}", server.log());
}

#[test]
fn a_socket_that_was_passed_to_another_process_is_not_taken() {
    let data = tempdir().unwrap();
    let launch = Launch::serve(data.path()).variable("LISTEN_FDS", "1").variable("LISTEN_PID", "1");
    let server = launch.start();
    assert_eq!(server.ask(LIST), EMPTY);
    server.stop();
}

#[test]
fn a_client_that_connects_before_the_server_starts_is_served_as_any_other() {
    let data = tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut early = TcpStream::connect(address).unwrap();
    early.write_all(LIST.as_bytes()).unwrap();
    early.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let nothing = early.read(&mut [0]).unwrap_err();
    assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
    let server = start_with(&socket, serve(data.path(), address));
    early.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answer = [0; EMPTY.len()];
    early.read_exact(&mut answer).unwrap();
    assert_eq!(answer, EMPTY.as_bytes());
    drop(early);
    server.stop();
}

//! Starts, stops and restarts of a server.

use std::{path::Path, time::Duration};

use chanwire_tests::process::{DEADLINE, Launch, Peer, Server, Signal, answers, wait_for, without_times};
use tempfile::tempdir;

use crate::{
    database::stored_contents,
    requests::{DELIVERED, LIST, host, host_at, hosted, listed, message},
};

/// Longer than any stop may take.
const STOP: Duration = Duration::from_secs(10);

#[test]
fn the_banner_names_every_address_and_the_data_directory() {
    let data = tempdir().unwrap();
    let launch = Launch::new(["serve", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--data-dir"]);
    let launch = launch.arg(data.path()).args(["--host", "g\u{202e}=chat.example:22240@127.0.0.1:0"]);
    let server = launch.start();
    let [version, listening, own, hosting, storing, data_in, inspector] = server.banner() else { panic!("{server:?}") };
    assert!(version.starts_with("chanwire ") && version["chanwire ".len()..].split('.').count() == 3, "{version}");
    assert_eq!(*listening, format!("listening on {}", server.address(0)));
    assert_eq!(*own, format!("listening on {}", server.address(1)));
    assert_eq!(*hosting, format!(r"hosting g\u{{202e}} at chat.example:22240 on {}", server.address(1)));
    assert!(storing.starts_with("storing at most ") && storing.contains("half of the free space"), "{storing}");
    assert_eq!(*data_in, format!("data in {}", data.path().display()));
    let (page, token) = inspector.split_once("/#token=").unwrap_or_else(|| panic!("{inspector}"));
    let port = page.strip_prefix("inspector at http://127.0.0.1:").map(str::parse::<u16>);
    assert!(matches!(port, Some(Ok(1..))), "{inspector}");
    assert!(token.len() >= 22 && token.bytes().all(|byte| byte.is_ascii_graphic()), "{inspector}");
    server.stop();
}

#[test]
fn the_data_directory_is_named_by_the_flag_or_the_environment() {
    let base = tempdir().unwrap();
    let at = |launch: Launch, folder: &Path| {
        let server = launch.args(["--http", "off", "--listen", "127.0.0.1:0"]).start();
        assert_eq!(*server.banner().last().unwrap(), format!("data in {}", folder.display()));
        assert!(folder.join("chanwire.db").is_file());
        server.stop();
    };
    let serve = || Launch::new(["serve"]).variable("HOME", base.path().join("home")).variable("XDG_DATA_HOME", "");
    at(serve(), &base.path().join("home/.local/share/chanwire"));
    at(serve().variable("XDG_DATA_HOME", base.path().join("xdg")), &base.path().join("xdg/chanwire"));
    // The rule says that a path which is not absolute does not count.
    at(serve().variable("XDG_DATA_HOME", "xdg"), &base.path().join("home/.local/share/chanwire"));
    let variable = || serve().variable("CHANWIRE_DATA_DIR", base.path().join("variable"));
    at(variable(), &base.path().join("variable"));
    at(variable().arg("--data-dir").arg(base.path().join("flag")), &base.path().join("flag"));
}

#[test]
fn channels_and_ids_go_on_after_a_restart() {
    let data = tempdir().unwrap();
    let launch = Launch::serve(data.path()).args(["--advertise", "192.0.2.9:22236"]);
    let channels = [("general", "192.0.2.9", 22236), ("away", "192.0.2.7", 22240)];
    for round in 0..3 {
        let server = launch.start();
        if round == 0 {
            for (name, ip, port) in channels {
                assert_eq!(server.ask(host_at(name, ip, port)), hosted(name));
            }
        }
        assert_eq!(server.ask(LIST), listed(&channels));
        let two = [0, 1].map(|number| message("u", &format!("{round}.{number}")));
        assert_eq!(without_times(&server.ask(two.concat())), DELIVERED.repeat(2));
        server.stop();
    }
    assert_eq!(stored_contents(data.path(), "general"), ["0.0", "0.1", "1.0", "1.1", "2.0", "2.1"]);
}

/// Peers of every kind that a server should not wait for, and one whose requests it has read.
fn stops_in_order(signal: Signal) {
    let data = tempdir().unwrap();
    let mut server = Launch::serve(data.path()).start();
    let address = server.address(0);
    let (mut idle, mut fresh, mut partial, mut busy) =
        (server.connect(), server.connect(), server.connect(), server.connect());
    assert_eq!(idle.ask(host("general", address)).raw, hosted("general"));
    assert!(partial.ask("LIST\r\nMESSAGE\r\n{\"username\": \"u\"").is_ok());
    let count = 5_000;
    let mut sender = busy.another();
    let stream: String = (0..count).map(|number| message("u", &number.to_string())).collect();
    let sending = std::thread::spawn(move || {
        // It stops reading in the middle.
        let _ = sender.try_send(stream);
    });
    assert!(busy.answer().is_ok());
    server.signal(signal);
    let mut answered = 1;
    while let Ok(answer) = busy.try_answer() {
        assert!(answer.is_ok(), "{}", answer.raw);
        answered += 1;
    }
    for peer in [&mut idle, &mut fresh, &mut partial] {
        assert_eq!(peer.read_to_end(), "");
    }
    let status = server.wait(STOP);
    assert_eq!(status.code(), Some(0), "{}", server.log());
    sending.join().unwrap();
    // Every stored message was answered, and every answered message is stored.
    assert!(
        stored_contents(data.path(), "general").into_iter().eq((0..answered).map(|number: i32| number.to_string()))
    );
    assert!(!data.path().join("chanwire.db-wal").exists(), "the log was not moved into the database");
}

#[test]
fn sigterm_answers_the_requests_read_and_exits() {
    stops_in_order(Signal::TERM);
}

#[test]
fn sigint_answers_the_requests_read_and_exits() {
    stops_in_order(Signal::INT);
}

/// Returns a server with a peer that is owed more than all buffers hold, and takes nothing of it.
fn with_a_peer_that_never_reads(data_dir: &Path) -> (Server, Peer) {
    let server = Launch::serve(data_dir).start();
    let hosts: String = (0..200).map(|number| host_at(&format!("{number:064}"), "192.0.2.7", 22240)).collect();
    assert_eq!(answers(&server.ask(hosts)).len(), 200);
    let mut peer = server.connect();
    assert!(peer.ask(LIST).is_ok());
    // 24 kB each: 48 MB.
    peer.send(LIST.repeat(2_000));
    (server, peer)
}

#[test]
fn a_peer_that_never_reads_does_not_keep_a_server_from_stopping() {
    let data = tempdir().unwrap();
    let (mut server, peer) = with_a_peer_that_never_reads(data.path());
    server.signal(Signal::TERM);
    assert_eq!(server.wait(STOP).code(), Some(0), "{}", server.log());
    drop(peer);
    assert_eq!(Launch::serve(data.path()).start().ask(LIST).matches("channel_name").count(), 200);
}

#[test]
fn a_second_signal_exits_at_once_and_is_logged() {
    let data = tempdir().unwrap();
    let (mut server, peer) = with_a_peer_that_never_reads(data.path());
    server.signal(Signal::INT);
    server.wait_for_log("SIGINT: answering what was read");
    server.signal(Signal::TERM);
    let status = server.wait(Duration::from_secs(3));
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
    server.wait_for_log("stopping at once");
    drop(peer);
    // Nothing that was acknowledged is lost by that.
    assert_eq!(Launch::serve(data.path()).start().ask(LIST).matches("channel_name").count(), 200);
}

#[test]
fn nothing_is_accepted_while_a_server_stops() {
    let data = tempdir().unwrap();
    let (mut server, peer) = with_a_peer_that_never_reads(data.path());
    server.signal(Signal::TERM);
    let address = server.address(0);
    wait_for("a refused connection", || std::net::TcpStream::connect(address).err().ok_or("a connection"));
    server.signal(Signal::TERM);
    let _ = server.wait(DEADLINE);
    drop(peer);
}

//! Decoding of a live capture.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use chanwire_tests::{
    examples,
    process::{Process, check, program, wait_for},
};

use crate::script;

/// Returns whether this user may capture on loopback. Some containers do not allow it; then there is nothing to test.
fn may_capture() -> bool {
    let tried = Command::new(program("tshark")).args(["-i", "lo", "-a", "duration:1", "-c", "1"]).output().unwrap();
    tried.status.success()
}

#[test]
fn live_traffic_of_any_port_is_decoded() {
    if !may_capture() {
        eprintln!("tshark may not capture on loopback here: not tested");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut request = [0; 6];
            if client.read_exact(&mut request).is_ok() {
                client.write_all(examples::LISTED).unwrap();
            }
        }
    });
    let tshark = Command::new(program("tshark"))
        .args(["-l", "-i", "lo", "-f", &format!("tcp port {}", address.port())])
        .arg("-X")
        .arg(format!("lua_script:{}", script().display()))
        .args(["-Y", "chanwire", "-T", "fields", "-e", "chanwire.command", "-e", "chanwire.channel"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut tshark = Process(tshark);
    let output = tshark.0.stdout.take().unwrap();
    let (sender, rows) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            if sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    let mut lines = Vec::new();
    // tshark does not report when its capture begins, so the exchange is repeated until it appears.
    wait_for("a decoded exchange", || {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(examples::LIST).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, examples::LISTED);
        lines.extend(rows.try_iter());
        let has = |wanted: &str| lines.iter().any(|line| line == wanted);
        check(has("LIST\t") && has("\ttest_channel,general"), lines.clone())
    });
    drop((tshark, rows));
    reader.join().unwrap();
}

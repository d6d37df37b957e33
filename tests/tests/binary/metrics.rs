//! `--metrics`, and `chanwire health`.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
};

use chanwire_tests::process::{Finished, Launch, Server};

const DEFAULT: &str = "127.0.0.1:22290";

/// Returns the address of a server's metrics, as its banner has it.
pub(crate) fn address(server: &Server) -> SocketAddr {
    let line = server.banner().iter().find_map(|line| line.strip_prefix("metrics at http://"));
    line.and_then(|line| line.strip_suffix("/metrics")).unwrap().parse().unwrap()
}

/// Returns the answer to a request of `/metrics`.
pub(crate) fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn health(address: SocketAddr, arguments: &[&str]) -> Finished {
    Launch::new(["health", "--metrics", &address.to_string()]).args(arguments).run()
}

#[test]
fn health_tells_by_its_exit_code_whether_a_server_is_ready() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::serve(data.path()).args(["--metrics", "127.0.0.1:0"]).start();
    let address = address(&server);
    let asked = health(address, &[]);
    assert_eq!(asked.stdout, "ready\nhub: ok\nstore: ok\nlisteners: ok\ndraining: ok\n");
    assert_eq!((asked.code, asked.stderr.as_str()), (Some(0), ""));
    let asked = health(address, &["--json"]);
    assert!(asked.stdout.starts_with("{\"ready\":true,\"checks\":[{\"name\":\"hub\",\"fault\":null}"), "{asked:?}");
    drop(server);
    let asked = health(address, &[]);
    assert!(asked.code == Some(1) && asked.stderr.contains("no answer from"), "{asked:?}");
}

#[test]
fn a_default_address_that_is_taken_is_done_without_and_a_chosen_one_is_not() {
    // Another server of this machine may have it.
    let _taken = TcpListener::bind(DEFAULT);
    let data = tempfile::tempdir().unwrap();
    let server = Launch::serve(data.path()).without("CHANWIRE_METRICS_LISTEN").start();
    server.wait_for_log("serving no metrics");
    assert!(!server.banner().iter().any(|line| line.starts_with("metrics")), "{:?}", server.banner());
    let other = tempfile::tempdir().unwrap();
    let refused = Launch::serve(other.path()).args(["--metrics", DEFAULT]).run();
    assert!(refused.code == Some(1) && refused.stderr.contains("choose another address with --metrics"), "{refused:?}");
}

#[test]
fn names_without_metrics_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let refused = Launch::serve(data.path()).args(["--metrics", "off", "--metrics-host", "metrics.example"]).run();
    assert!(refused.code == Some(2) && refused.stderr.contains("--metrics-host"), "{refused:?}");
}

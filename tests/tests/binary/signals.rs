//! Signals that end a process which does not know them.

use chanwire_tests::process::{Launch, Signal};
use tempfile::tempdir;

use crate::requests::{LIST, host, hosted, listed, message};

#[test]
fn signals_without_an_action_are_logged_and_end_nothing() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let mut peer = server.connect();
    assert_eq!(peer.ask(host("general", server.address(0))).raw, hosted("general"));
    for (signal, name) in [(Signal::HUP, "SIGHUP"), (Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2")] {
        for _ in 0..2 {
            server.signal(signal);
            server.wait_for_log(&format!("{name}: ignored"));
        }
        // The connection from before goes on.
        assert!(peer.ask(message("u", name)).is_ok());
    }
    server.signal(Signal::PIPE);
    server.signal(Signal::XFSZ);
    assert!(peer.ask(LIST).is_ok());
    server.stop();
}

#[test]
fn a_server_that_was_stopped_and_goes_on_serves_as_before() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    for signal in [Signal::TSTP, Signal::STOP] {
        server.signal(signal);
        server.signal(Signal::CONT);
        assert_eq!(server.ask(LIST), listed(&[]));
    }
    server.stop();
}

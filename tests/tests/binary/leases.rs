//! Channels that are on the list for as long as they are hosted again and again.

use std::time::{Duration, Instant};

use chanwire_tests::process::{Launch, without_times};
use tempfile::tempdir;

use crate::requests::{LIST, channel_removed, host_at, hosted, join, leased, listed, message, push};

/// The shortest lease there is.
const SHORTEST: u32 = 10;

#[test]
fn a_channel_whose_lease_ends_leaves_the_list_and_subscribers_are_notified() {
    let data = tempdir().unwrap();
    let launch = Launch::serve(data.path()).args(["--advertise", "192.0.2.9:22236"]);
    let server = launch.start();
    let begin = Instant::now();
    assert_eq!(server.ask(leased("general", "192.0.2.9", 22236, SHORTEST)), hosted("general"));
    // Without one it stays, and what another sends renews nothing.
    assert_eq!(server.ask(host_at("stays", "192.0.2.7", 1)), hosted("stays"));
    let mut reader = server.connect();
    assert!(reader.ask(join("general")).is_ok());
    reader.send(message("ann", "as long as it lives"));
    let heard = without_times(&reader.read_to_end());
    assert!(begin.elapsed() >= Duration::from_secs(SHORTEST.into()), "after {:?}", begin.elapsed());
    let message = push("general", 1, "ann", "as long as it lives");
    assert!(heard.ends_with(&(message + &channel_removed("general"))), "{heard}");
    assert_eq!(server.ask(LIST), listed(&[("stays", "192.0.2.7", 1)]));
    server.kill();
    // That it left is stored.
    let server = launch.start();
    assert_eq!(server.ask(LIST), listed(&[("stays", "192.0.2.7", 1)]));
    server.stop();
}

#[test]
fn leases_outside_their_range_are_refused() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    for (lease, right) in [(9, false), (10, true), (86_400, true), (86_401, false)] {
        let answer = server.ask(leased("general", "192.0.2.9", 22236, lease));
        assert_eq!(answer.contains("Field 'lease' must be an integer from 10 to 86400"), !right, "{answer}");
        assert_eq!(answer == hosted("general"), right);
    }
    server.stop();
}

//! The tracker is a real server too.

use std::net::IpAddr;

use chanwire_tests::process::{DEADLINE, Launch, Peer, Server, check, wait_for};
use tempfile::tempdir;

use crate::peer;

/// Returns the list of a server, in its order: `name at port`.
fn listed(server: &Server) -> Vec<String> {
    let answer = server.connect().ask("LIST\r\n");
    let channels = answer.payload["channels"].as_array().unwrap_or_else(|| panic!("{}", answer.raw));
    let text = |channel: &serde_json::Value| {
        format!("{} at {}", channel["channel_name"].as_str().unwrap(), channel["peer_server_port"])
    };
    channels.iter().map(text).collect()
}

fn wait_until_listed(server: &Server, expected: &[&str]) {
    wait_for(&format!("{expected:?} on the list"), || {
        let listed = listed(server);
        check(listed == expected, listed)
    });
}

/// Starts the same server again, at the address that it had.
fn at(server: &Server, data_dir: &std::path::Path) -> Launch {
    let address = server.address(0).to_string();
    Launch::new(["serve", "--http", "off", "--listen", &address, "--data-dir"]).arg(data_dir)
}

fn host(name: &str, port: u16) -> String {
    format!("HOST\r\n{{\"channel_name\": \"{name}\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": {port}}}")
}

#[test]
fn every_tracker_lists_the_channels_until_the_peer_stops() {
    let data = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let trackers = [Launch::serve(data[0].path()).start(), Launch::serve(data[1].path()).start()];
    let peer = peer(data[2].path(), "general", 40_001, trackers[0].address(0))
        .args(["--tracker", &format!("localhost:{}", trackers[1].address(0).port())])
        .args(["--host", "random=127.0.0.1:40002@127.0.0.1:0"])
        .start();
    for tracker in &trackers {
        wait_until_listed(tracker, &["general at 40001", "random at 40002"]);
    }
    assert!(Peer::connect(peer.address(1)).ask("MESSAGE\r\n{\"username\": \"u\", \"message_content\": \"c\"}").is_ok());
    for name in ["general", "random"] {
        wait_for("both in the log", || {
            let log = peer.log();
            check(log.matches(&format!("channel={name}")).count() == 2, log)
        });
    }
    let log = peer.stop();
    let listed_there = format!("the tracker lists the channel tracker={}", trackers[0].address(0));
    assert_eq!(log.matches(&listed_there).count(), 2, "{log}");
    for tracker in trackers {
        assert_eq!(listed(&tracker), [""; 0], "UNHOST was answered before the peer ended");
        tracker.stop();
    }
}

#[test]
fn a_killed_peers_channel_leaves_the_list_when_its_lease_ends_and_one_without_a_lease_stays() {
    let data = [tempdir().unwrap(), tempdir().unwrap()];
    let tracker = Launch::serve(data[0].path()).start();
    let mut old = tracker.connect();
    assert!(old.ask(host("old", 40_000)).is_ok());
    let peer = peer(data[1].path(), "general", 40_001, tracker.address(0)).start();
    wait_until_listed(&tracker, &["old at 40000", "general at 40001"]);
    peer.kill();
    assert_eq!(listed(&tracker), ["old at 40000", "general at 40001"]);
    wait_until_listed(&tracker, &["old at 40000"]);
    assert!(old.ask("UNHOST\r\n{\"channel_name\": \"old\"}").is_ok());
    assert_eq!(listed(&tracker), [""; 0]);
    tracker.stop();
}

#[test]
fn a_killed_peer_that_comes_back_at_another_port_moves_its_channel_at_once() {
    let data = [tempdir().unwrap(), tempdir().unwrap()];
    let tracker = Launch::serve(data[0].path()).start();
    let first = peer(data[1].path(), "general", 40_001, tracker.address(0)).start();
    wait_until_listed(&tracker, &["general at 40001"]);
    first.kill();
    let second = peer(data[1].path(), "general", 40_002, tracker.address(0)).start();
    wait_until_listed(&tracker, &["general at 40002"]);
    second.stop();
    assert_eq!(listed(&tracker), [""; 0]);
    tracker.stop();
}

#[test]
fn a_restarted_tracker_lists_the_channel_again_with_or_without_its_data() {
    let data = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let mut tracker = Launch::serve(data[0].path()).start();
    let again = [at(&tracker, data[0].path()), at(&tracker, data[1].path())];
    let peer = peer(data[2].path(), "general", 40_001, tracker.address(0)).start();
    wait_until_listed(&tracker, &["general at 40001"]);
    for (number, next) in again.into_iter().enumerate() {
        tracker.kill();
        // It logs when the connection is lost, and when the channel is listed again.
        let lost = "no connection to the tracker";
        wait_for("the loss in the log", || check(peer.log().matches(lost).count() == number + 1, peer.log()));
        tracker = next.start();
        let listed_again = "the tracker lists the channel";
        wait_for("the return in the log", || check(peer.log().matches(listed_again).count() == number + 2, peer.log()));
        assert_eq!(listed(&tracker), ["general at 40001"]);
    }
    peer.stop();
    assert_eq!(listed(&tracker), [""; 0]);
    tracker.stop();
}

#[test]
fn a_peer_whose_tracker_is_not_there_yet_serves_and_registers_later() {
    let data = [tempdir().unwrap(), tempdir().unwrap()];
    let place = Launch::serve(data[0].path()).start();
    let (later, address) = (at(&place, data[0].path()), place.address(0));
    place.stop();
    let peer = peer(data[1].path(), "general", 40_001, address).start();
    assert!(Peer::connect(peer.address(1)).ask("MESSAGE\r\n{\"username\": \"u\", \"message_content\": \"c\"}").is_ok());
    peer.wait_for_log("cannot connect");
    let tracker = later.start();
    wait_until_listed(&tracker, &["general at 40001"]);
    assert_eq!(peer.log().matches("no connection to the tracker").count(), 1, "{}", peer.log());
    // Now it goes for good: the peer stops all the same, and before connections that do not end are left.
    tracker.kill();
    let mut peer = peer;
    peer.signal(chanwire_tests::process::Signal::TERM);
    assert!(peer.wait(DEADLINE).success());
    assert!(!peer.log().contains("some peers did not end"), "{}", peer.log());
}

#[test]
fn a_channel_of_another_host_is_registered_once_it_is_free() {
    let data = [tempdir().unwrap(), tempdir().unwrap()];
    let tracker = Launch::serve(data[0].path()).start();
    let mut other = Peer::connect_from(IpAddr::from([127, 0, 0, 2]), tracker.address(0));
    let elsewhere =
        "HOST\r\n{\"channel_name\": \"general\", \"peer_server_ip\": \"127.0.0.2\", \"peer_server_port\": 7}";
    assert!(other.ask(elsewhere).is_ok());
    let peer = peer(data[1].path(), "general", 40_001, tracker.address(0)).start();
    peer.wait_for_log("Channel already exists: The channel 'general' is hosted at 127.0.0.2:7");
    assert_eq!(listed(&tracker), ["general at 7"]);
    assert!(other.ask("UNHOST\r\n{\"channel_name\": \"general\"}").is_ok());
    wait_until_listed(&tracker, &["general at 40001"]);
    let log = peer.stop();
    assert_eq!(log.matches("Channel already exists").count(), 1, "{log}");
    tracker.stop();
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    for (flags, says) in [
        (&["--tracker", "tracker.example:22236"][..], "--host"),
        (&["--host", "a=127.0.0.1:1@127.0.0.1:0", "--lease", "30"], "--tracker"),
        (&["--host", "a=127.0.0.1:1@127.0.0.1:0", "--tracker", "t:1", "--lease", "9"], "10..=86400"),
        (&["--host", "a=127.0.0.1:1@127.0.0.1:0", "--tracker", "nowhere"], "HOST:PORT"),
    ] {
        let finished = Launch::new(["serve"]).args(flags).run();
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(finished.stderr.contains(says), "{finished:?}");
    }
}

//! Rights in a hub: what each principal sees, may write and host, what belongs to accounts, and reloads.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "hub_rights/bench.rs"]
mod bench;
#[path = "hub_rights/deleting.rs"]
mod deleting;
#[path = "hub_rights/ownership.rs"]
mod ownership;
#[path = "hub_rights/properties.rs"]
mod properties;
#[path = "hub_rights/reload.rs"]
mod reload;
#[path = "hub_rights/roles.rs"]
mod roles;
#[path = "hub_rights/settings.rs"]
mod settings;
#[path = "hub_rights/writing.rs"]
mod writing;

use bench::{Bench, delete, hidden, host, host_at, message, named, role, settings};

const NOT_FOUND: &str = "REQUEST_ERROR\r\n{\"error\": \"Channel not found\", \"details\": \"The requested channel 'staff-x' does not exist\"}";
const MAY_NOT_HOST: &str = "REQUEST_ERROR\r\n{\"error\": \"Not allowed\", \"details\": \"This connection may not host or remove the channel 'staff-x'\"}";
const BOTH: &str = "OK\r\n{\"channels\": [{\"channel_name\": \"general\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": 22236}, {\"channel_name\": \"staff-x\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": 22236}]}";
const GENERAL: &str = "OK\r\n{\"channels\": [{\"channel_name\": \"general\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": 22236}]}";

/// Returns a server that hosts `general`, and `staff-x`, which is hidden from guests.
fn two_channels() -> (Bench, u64) {
    let mut bench = Bench::new(hidden());
    let (operator, guest) = (bench.operator(), bench.guest("192.0.2.7"));
    for name in ["general", "staff-x"] {
        assert!(bench.ask(operator, &host(name)).starts_with("OK"));
    }
    (bench, guest)
}

#[test]
fn a_hidden_channel_is_on_the_lists_of_those_who_may_read_it() {
    let (mut bench, guest) = two_channels();
    let (ann, bob, operator) = (bench.account("ann"), bench.account("bob"), bench.operator());
    for (who, list) in [(guest, GENERAL), (bob, GENERAL), (ann, BOTH), (operator, BOTH)] {
        assert_eq!(bench.ask(who, "LIST\r\n"), list);
        let page = bench.ask(who, "CHANNELS\r\n{}");
        assert_eq!(page.contains("staff-x"), list == BOTH, "{page}");
    }
}

#[test]
fn to_those_who_may_not_read_it_a_hidden_channel_does_not_exist() {
    let (mut bench, guest) = two_channels();
    let bob = bench.account("bob");
    for who in [guest, bob] {
        for command in ["JOIN", "LEAVE", "HISTORY", "WHO"] {
            assert_eq!(bench.ask(who, &named(command, "staff-x")), NOT_FOUND);
        }
        assert_eq!(bench.ask(who, &message("zoe", "hi", Some("staff-x"), None)), NOT_FOUND);
        assert_eq!(bench.ask(who, &delete("staff-x", 1)), NOT_FOUND);
        for request in [host("staff-x"), host_at("staff-x", "192.0.2.7"), named("UNHOST", "staff-x")] {
            assert_eq!(bench.ask(who, &request), MAY_NOT_HOST);
        }
    }
}

#[test]
fn a_message_without_a_name_goes_to_the_one_channel_that_its_sender_may_read() {
    let (mut bench, guest) = two_channels();
    let ann = bench.account("ann");
    assert!(bench.ask(guest, &message("zoe", "hi", None, None)).starts_with("OK"));
    assert_eq!(bench.contents("general"), ["hi"]);
    assert!(bench.ask(ann, &message("ann", "hi", None, None)).contains("Missing required field 'channel_name'"));
    let operator = bench.operator();
    assert!(bench.ask(operator, &named("UNHOST", "general")).starts_with("OK"));
    let none = "REQUEST_ERROR\r\n{\"error\": \"Channel not found\", \"details\": \"The message names no channel and 127.0.0.1:22236 hosts none\"}";
    assert_eq!(bench.ask(guest, &message("zoe", "hi", None, None)), none);
    assert!(bench.ask(ann, &message("ann", "secret", None, None)).starts_with("OK"));
    assert_eq!(bench.contents("staff-x"), ["secret"]);
}

//! Hosting of channels: their addresses, listeners and rights.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

use chanwire_tests::process::{Answer, Launch, Peer, without_times};
use tempfile::tempdir;

use crate::{
    database::{messages, stored_contents},
    requests::{DELIVERED, LIST, host, host_at, hosted, listed, message, message_to},
};

fn error_and_details(answer: &Answer) -> (&str, &str) {
    assert_eq!(answer.status, "REQUEST_ERROR", "{}", answer.raw);
    (answer.error(), answer.details())
}

#[test]
fn a_message_without_a_channel_goes_to_the_only_channel_of_its_listener() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).args(["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]).start();
    let mut peers: Vec<Peer> = (0..3).map(|listener| Peer::connect(server.address(listener))).collect();
    for (name, listener) in [("first", 0), ("second", 1), ("third", 2), ("fourth", 2)] {
        // The channel's address decides, not the connection of the HOST.
        assert_eq!(peers[0].ask(host(name, server.address(listener))).raw, hosted(name));
    }
    assert!(peers[0].ask(message("u", "to the first")).is_ok());
    assert!(peers[1].ask(message("u", "to the second")).is_ok());
    let several = peers[2].ask(message("u", "to whom?"));
    assert_eq!(error_and_details(&several), ("Invalid payload", "Missing required field 'channel_name'"));
    assert!(peers[0].ask(message_to("fourth", "u", "by its name")).is_ok());
    let unknown = peers[0].ask(message_to("gaming", "u", "c"));
    assert_eq!(error_and_details(&unknown), ("Channel not found", "The requested channel 'gaming' does not exist"));
    assert_eq!(stored_contents(data.path(), "first"), ["to the first"]);
    assert_eq!(stored_contents(data.path(), "second"), ["to the second"]);
    assert_eq!(stored_contents(data.path(), "fourth"), ["by its name"]);
    assert!(!messages(data.path()).contains_key("third"));
    server.stop();
}

#[test]
fn a_message_to_an_address_without_a_channel_is_refused() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let mut peer = server.connect();
    assert_eq!(peer.ask(message("u", "c")).error(), "Channel not found");
    for (name, ip, shown) in [
        ("four", "192.0.2.7", "192.0.2.7:22240"),
        ("six", "2001:DB8::7", "[2001:DB8::7]:22240"),
        ("name", "Chat.Example", "Chat.Example:22240"),
    ] {
        assert_eq!(peer.ask(host_at(name, ip, 22240)).raw, hosted(name));
        let elsewhere = peer.ask(message_to(name, "u", "c"));
        let (error, details) = error_and_details(&elsewhere);
        assert_eq!(error, "Channel hosted elsewhere");
        assert!(details.contains(&format!("'{name}'")) && details.contains(shown), "{details}");
    }
    assert_eq!(peer.ask(message("u", "c")).error(), "Channel not found");
    assert!(messages(data.path()).is_empty());
    server.stop();
}

/// Returns a server whose second listener is that of the channel `fixed`.
fn with_fixed_channel(data_dir: &Path) -> Launch {
    Launch::serve(data_dir).args(["--host", "fixed=192.0.2.7:22240@127.0.0.1:0"])
}

#[test]
fn a_channel_of_the_command_line_has_its_own_listener_and_cannot_be_moved() {
    let data = tempdir().unwrap();
    let launch = with_fixed_channel(data.path());
    let server = launch.start();
    let fixed = listed(&[("fixed", "192.0.2.7", 22240)]);
    assert_eq!(server.ask(LIST), fixed);
    let mut at_fixed = Peer::connect(server.address(1));
    assert_eq!(at_fixed.ask(LIST).raw, fixed);
    assert!(at_fixed.ask(message("u", "1")).is_ok());
    let mut peer = server.connect();
    assert_eq!(peer.ask(message("u", "nobody's")).error(), "Channel not found");
    assert!(peer.ask(message_to("fixed", "u", "2")).is_ok());
    // A HOST that changes nothing is accepted from every client.
    assert_eq!(peer.ask(host_at("fixed", "192.0.2.7", 22240)).raw, hosted("fixed"));
    for (ip, port) in [("127.0.0.1", 22240), ("192.0.2.7", 22241)] {
        let moved = peer.ask(host_at("fixed", ip, port));
        let (error, details) = error_and_details(&moved);
        assert_eq!(error, "Channel already exists");
        assert!(details.contains("192.0.2.7:22240"), "{details}");
    }
    assert_eq!(peer.ask(LIST).raw, fixed);
    server.stop();

    // The channel exists only while the server runs with the flag; its messages stay.
    let server = Launch::serve(data.path()).start();
    assert_eq!(server.ask(LIST), listed(&[]));
    server.stop();
    let server = launch.start();
    assert!(Peer::connect(server.address(1)).ask(message("u", "3")).is_ok());
    assert_eq!(stored_contents(data.path(), "fixed"), ["1", "2", "3"]);
    server.stop();
}

#[test]
fn a_channel_at_an_advertised_address_is_hosted_here() {
    let data = tempdir().unwrap();
    let server =
        Launch::serve(data.path()).args(["--advertise", "chat.example", "--advertise", "192.0.2.9:443"]).start();
    let port = server.address(0).port();
    let mut peer = server.connect();
    for (name, ip, port) in [("named", "CHAT.example", port), ("forwarded", "192.0.2.9", 443)] {
        assert_eq!(peer.ask(host_at(name, ip, port)).raw, hosted(name));
        assert!(peer.ask(message_to(name, "u", "here")).is_ok());
    }
    // The same host with another port is another server.
    assert_eq!(peer.ask(host_at("other", "chat.example", port ^ 1)).raw, hosted("other"));
    assert_eq!(peer.ask(message_to("other", "u", "c")).error(), "Channel hosted elsewhere");
    assert_eq!(stored_contents(data.path(), "named").len() + stored_contents(data.path(), "forwarded").len(), 2);
    server.stop();
}

#[test]
fn a_wildcard_listener_has_every_local_address() {
    for wildcard in ["0.0.0.0:0", "[::]:0"] {
        let data = tempdir().unwrap();
        let server = Launch::serve(data.path()).args(["--listen", wildcard]).start();
        let port = server.address(1).port();
        assert!(server.address(1).ip().is_unspecified());
        let mut peer = Peer::connect(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
        assert_eq!(peer.ask(message("u", "nobody's")).error(), "Channel not found");
        assert_eq!(peer.ask(host_at("local", "LocalHost", port)).raw, hosted("local"));
        assert!(peer.ask(message("u", "1")).is_ok());
        // The address that registered a channel may move it, also from a listener where IPv4 addresses are mapped.
        assert_eq!(peer.ask(host_at("local", "127.0.0.1", port)).raw, hosted("local"));
        assert!(peer.ask(message("u", "2")).is_ok());
        assert_eq!(stored_contents(data.path(), "local"), ["1", "2"], "{wildcard}");
        assert_eq!(peer.ask(host_at("second", "127.0.0.1", port)).raw, hosted("second"));
        assert_eq!(peer.ask(message("u", "to whom?")).error(), "Invalid payload", "{wildcard}");
        server.stop();
    }
}

#[test]
fn only_a_channels_host_moves_it() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let from = |last| Peer::connect_from(IpAddr::from([127, 0, 0, last]), server.address(0));
    let (mut registrar, mut peer, mut stranger) = (from(2), from(3), from(4));
    assert_eq!(registrar.ask(host_at("c", "127.0.0.3", 1)).raw, hosted("c"));
    assert_eq!(stranger.ask(host_at("c", "127.0.0.3", 1)).raw, hosted("c"));
    let refused = stranger.ask(host_at("c", "127.0.0.4", 1));
    assert_eq!(error_and_details(&refused), ("Channel already exists", "The channel 'c' is hosted at 127.0.0.3:1"));
    assert_eq!(peer.ask(host_at("c", "127.0.0.3", 2)).raw, hosted("c"));
    assert_eq!(registrar.ask(LIST).raw, listed(&[("c", "127.0.0.3", 2)]));
    // The stored owner of a channel is its owner after a restart too.
    let refused = stranger.ask(host_at("c", "127.0.0.4", 1));
    assert_eq!(error_and_details(&refused).0, "Channel already exists");
    server.stop();
    let server = Launch::serve(data.path()).start();
    let from = |last| Peer::connect_from(IpAddr::from([127, 0, 0, last]), server.address(0));
    assert_eq!(from(4).ask(host_at("c", "127.0.0.4", 1)).error(), "Channel already exists");
    assert_eq!(from(3).ask(host_at("c", "127.0.0.3", 3)).raw, hosted("c"));
    assert_eq!(server.ask(LIST), listed(&[("c", "127.0.0.3", 3)]));
    server.stop();
}

#[test]
fn delivered_messages_of_many_connections_keep_each_connections_order() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    assert_eq!(server.ask(host("general", server.address(0))), hosted("general"));
    let mut peers: Vec<Peer> = (0..8).map(|_| server.connect()).collect();
    for (user, peer) in peers.iter_mut().enumerate() {
        peer.send((0..100).map(|count| message(&format!("u{user}"), &count.to_string())).collect::<String>());
    }
    for peer in &mut peers {
        peer.finish();
        assert_eq!(without_times(&peer.read_to_end()), DELIVERED.repeat(100));
    }
    let stored = &messages(data.path())["general"];
    for user in 0..8 {
        let of_user = stored.iter().filter(|message| message.username == format!("u{user}"));
        assert!(of_user.map(|message| message.content.clone()).eq((0..100).map(|count| count.to_string())), "u{user}");
    }
    server.stop();
}

#[test]
fn the_operator_hosts_and_removes_any_channel_by_the_data_directory() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let mut stranger = Peer::connect_from(IpAddr::from([127, 0, 0, 2]), server.address(0));
    assert_eq!(stranger.ask(host_at("c", "127.0.0.2", 1)).raw, hosted("c"));
    let operator = |arguments: &[&str]| {
        let finished = Launch::new(arguments).arg("--data-dir").arg(data.path()).run();
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stdout
    };
    assert_eq!(operator(&["host", "c", "192.0.2.9:2"]), "hosted c\n");
    assert_eq!(server.ask(LIST), listed(&[("c", "192.0.2.9", 2)]));
    assert_eq!(stranger.ask(host_at("c", "127.0.0.2", 1)).error(), "Channel already exists");
    assert_eq!(operator(&["unhost", "c"]), "removed c\n");
    assert_eq!(server.ask(LIST), listed(&[]));
    let with_server =
        Launch::new(["host", "c", "192.0.2.9:2", "--server", "127.0.0.1:1", "--data-dir"]).arg(data.path()).run();
    assert_eq!(with_server.code, Some(2), "{with_server:?}");
    server.stop();
}

/// Each connection's task answers LIST from a published copy of the directory. The hub publishes a change before it
/// acknowledges it.
#[test]
fn an_acknowledged_channel_is_listed_for_everybody_at_once() {
    const CHANNELS: u16 = 300;
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let mut host = Peer::connect(server.address(0));
    let mut others: Vec<Peer> = (0..4).map(|_| Peer::connect(server.address(0))).collect();
    for number in 1..=CHANNELS {
        let name = format!("channel-{number}");
        assert_eq!(host.ask(host_at(&name, "192.0.2.7", number)).raw, hosted(&name));
        for other in &mut others {
            let list = other.ask(LIST).raw;
            assert!(list.contains(&format!("\"{name}\"")), "{name} is acknowledged and not listed: {list}");
        }
    }
    // A LIST behind an unanswered HOST is answered after it, with the new address.
    others[0].send(host_at("channel-1", "192.0.2.7", 7) + LIST);
    assert_eq!(others[0].answer().raw, hosted("channel-1"));
    let list = others[0].answer().raw;
    assert!(list.contains("\"channel-1\", \"peer_server_ip\": \"192.0.2.7\", \"peer_server_port\": 7}"), "{list}");
}

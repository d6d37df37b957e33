//! Listeners with rules of their own.

use std::fs;

use chanwire_tests::process::{Launch, Peer};
use tempfile::tempdir;

use crate::requests::{LIST, host, host_at, hosted, join, listed, message_to, unhost};

#[test]
fn an_address_has_no_rights_at_a_listener_without_address_rights() {
    let data = tempdir().unwrap();
    let file = data.path().join("chanwire.toml");
    let listeners = "[[listener]]\naddress = '127.0.0.1:0'\n\
                     [[listener]]\naddress = '127.0.0.1:0'\naddress_rights = false\n";
    fs::write(&file, listeners).unwrap();
    let serve = Launch::new(["serve", "--http", "off", "--data-dir"]).arg(data.path().join("data"));
    let server = serve.arg("--config").arg(&file).start();
    let (mut host_of_it, mut guest) = (server.connect(), Peer::connect(server.address(1)));
    assert_eq!(host_of_it.ask(host("general", server.address(0))).raw, hosted("general"));
    // From the same address.
    for request in [host_at("general", "127.0.0.1", 1), host_at("new", "127.0.0.1", 1), unhost("general")] {
        assert_eq!(guest.ask(request).error(), "Not allowed");
    }
    let general = ("general", "127.0.0.1", server.address(0).port());
    assert_eq!(guest.ask(LIST).raw, listed(&[general]));
    assert!(guest.ask(join("general")).is_ok());
    assert!(guest.ask(message_to("general", "bob", "hello")).is_ok());
    assert!(host_of_it.ask(unhost("general")).is_ok());
    server.stop();
}

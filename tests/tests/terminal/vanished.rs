//! Servers and links that vanish without a word, and links of their own, in network namespaces. Needs root, as whoever
//! makes these does.

use std::{path::Path, process::Command};

use chanwire_tests::process::{Launch, Machine, Server, binary, program, wait_for};
use tempfile::tempdir;

use crate::running::Running;

/// The server's address.
const SERVER: &str = "10.0.0.2:22236";

/// A client's machine and a server's, and a cable between them.
struct Network {
    client: Machine,
    server: Machine,
}

impl Network {
    /// Makes the machines; returns `None`, with a note, for a user who may not.
    fn new() -> Option<Self> {
        let network = Self { client: Machine::new("client")?, server: Machine::new("server")? };
        network.plug();
        Some(network)
    }

    /// Connects the two.
    fn plug(&self) {
        self.client.connect(("client", "10.0.0.1/24"), &self.server, ("server", "10.0.0.2/24"));
    }

    /// Cuts the power of the server's machine.
    fn lose_power(&self, server: Server) {
        self.pull();
        server.kill();
        self.server.turn_off();
    }

    /// Turns the server's machine on again.
    fn restore_power(&self) {
        self.server.turn_on();
        self.plug();
    }

    /// Pulls the cable.
    fn pull(&self) {
        self.client.ip("link del client");
    }

    fn serve(&self, data_dir: &Path) -> Server {
        let serve = Launch::new(["serve", "--http", "off", "--listen", SERVER, "--data-dir"]).arg(data_dir);
        serve.under(self.server.inside()).start()
    }

    /// Runs a command on the server's machine, which must succeed.
    fn at_server(&self, arguments: &[&str]) {
        let done = Launch::new(arguments).args(["--server", SERVER]).under(self.server.inside()).run();
        assert_eq!(done.code, Some(0), "{done:?}");
    }

    /// Returns a command on the client's machine that probes idle connections every second.
    fn at_client(&self, arguments: &[&str]) -> Running {
        let [ip, rest @ ..] = self.client.inside();
        let mut command = Command::new(program(ip));
        command.args(rest).arg(binary()).args(arguments).env("CHANWIRE_KEEP_ALIVE", "1");
        Running::spawn(&mut command)
    }
}

#[test]
fn clients_notice_a_vanished_server_and_miss_nothing_after_it_returns() {
    let Some(network) = Network::new() else { return };
    let data = tempdir().unwrap();
    let mut server = network.serve(data.path());
    network.at_server(&["host", "general", SERVER]);
    network.at_server(&["send", "-u", "ann", "the first"]);

    let tap = network.at_client(&["tap", "--http", "off", "--listen", "127.0.0.1:22237", "--to", SERVER]);
    tap.out.wait_with("passing on to ");
    let join = network.at_client(&["join", "general", "--history", "1", "--server", SERVER]);
    let tapped = network.at_client(&["join", "general", "--history", "1", "--server", "127.0.0.1:22237"]);
    let chat = network.at_client(&["chat", "general", "--user", "bob", "--server", SERVER]);
    let all = [&join, &tapped, &chat];
    for client in all {
        client.out.wait_with("the first");
    }

    for round in ["at once", "later"] {
        network.lose_power(server);
        if round == "later" {
            // They notice by themselves, also while the server is silent.
            for client in [&join, &tapped] {
                client.error.wait_with_many("coming back after message ", 2);
            }
        }
        network.restore_power();
        server = network.serve(data.path());
        network.at_server(&["send", "-u", "ann", round]);
        for client in all {
            client.out.wait_with(round);
        }
    }
    for client in [&join, &tapped] {
        assert_eq!(client.out.all().len(), 3, "each message once: {:?}", client.out.all());
        client.error.wait_with_many("connected again", 2);
    }
    server.stop();
}

#[test]
fn lines_in_flight_to_a_vanished_server_are_reported() {
    let Some(network) = Network::new() else { return };
    let data = tempdir().unwrap();
    let server = network.serve(data.path());
    network.at_server(&["host", "general", SERVER]);
    let mut send = network.at_client(&["send", "--user", "ann", "--server", SERVER]);
    send.line("one");
    send.out.wait_with("delivered");
    network.lose_power(server);
    send.line("two");
    assert_eq!(send.wait().code(), Some(1));
    send.error.wait_with("whether line 2 was delivered is not known");
}

#[test]
fn a_link_local_server_is_reached_through_its_zone() {
    let Some(network) = Network::new() else { return };
    network.server.ip("addr add fe80::2/64 dev server nodad");
    network.client.ip("addr add fe80::1/64 dev client nodad");
    let data = tempdir().unwrap();
    let serve = Launch::new(["serve", "--http", "off", "--listen", "[::]:22236", "--data-dir"]).arg(data.path());
    let server = serve.under(network.server.inside()).start();
    for server in ["[fe80::2%client]:22236", "10.0.0.2:22236"] {
        let list = Launch::new(["list", "--server", server]).under(network.client.inside()).run();
        assert_eq!((list.code, list.stdout.as_str()), (Some(0), "no channels\n"), "{list:?}");
    }
    let unknown = Launch::new(["list", "--server", "[fe80::2%none]:22236"]).run();
    assert!(unknown.refusal(1).contains("[fe80::2%none]:22236: cannot connect: "), "{unknown:?}");
    server.stop();
}

#[test]
fn a_client_that_vanished_leaves_no_connection_behind() {
    let Some(network) = Network::new() else { return };
    let data = tempdir().unwrap();
    let serve = Launch::new(["serve", "--http", "off", "--listen", SERVER, "--data-dir"]).arg(data.path());
    let server = serve.variable("CHANWIRE_KEEP_ALIVE", "1").under(network.server.inside()).start();
    network.at_server(&["host", "general", SERVER]);
    let open = || std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count();
    let before = open();
    let join = network.at_client(&["join", "general", "--server", SERVER]);
    wait_for("a connection", || (open() > before).then_some(()));
    network.pull();
    drop(join);
    wait_for("its end", || (open() == before).then_some(()));
    server.stop();
}

//! HAProxy and nginx in front of the server, and clients on machines of their own. Needs root, as whoever makes network
//! namespaces does.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use chanwire_tests::process::{Finished, Launch, Machine, Process, Server, program, wait_for};
use tempfile::tempdir;

const README: &str = include_str!("../../../README.md");

/// The module of nginx that carries TCP. Debian has it as a package.
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Returns the README's example in this language that contains these words.
fn example(language: &str, words: &str) -> &'static str {
    let begin = format!("```{language}\n");
    let fences = README.split(&begin).skip(1).filter_map(|rest| rest.split("```").next());
    let mut examples = fences.filter(|example| example.contains(words));
    examples.next().unwrap_or_else(|| panic!("the README has no {language} with {words}"))
}

/// Two clients' machines, each with a cable to the server's.
struct Machines {
    server: Machine,
    ann: Machine,
    bob: Machine,
}

impl Machines {
    /// Makes them; returns `None`, with a note, for a user who may not.
    fn new() -> Option<Self> {
        let machines = Self { server: Machine::new("server")?, ann: Machine::new("ann")?, bob: Machine::new("bob")? };
        machines.ann.connect(("eth0", "10.0.1.1/24"), &machines.server, ("ann", "10.0.1.254/24"));
        machines.bob.connect(("eth0", "10.0.2.1/24"), &machines.server, ("bob", "10.0.2.254/24"));
        Some(machines)
    }

    fn serve(&self, directory: &Path) -> Server {
        let file = directory.join("chanwire.toml");
        // A listener that all could reach, if they were proxies.
        let reachable = example("toml", "proxy = true").replace("127.0.0.1:", "0.0.0.0:");
        fs::write(&file, reachable).unwrap();
        let serve = Launch::new(["serve", "--http", "off", "--log", "debug", "--data-dir"]).arg(directory.join("data"));
        serve.arg("--config").arg(file).under(self.server.inside()).start()
    }

    /// Starts a proxy on the server's machine.
    fn proxy(&self, command: &[&str]) -> Process {
        let mut words = self.server.inside().into_iter().chain(command.iter().copied());
        let mut proxy = Command::new(program(words.next().unwrap()));
        Process(proxy.args(words).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// Runs a command of a client.
    fn run(&self, client: &str, arguments: &[&str], port: u16) -> Finished {
        let (machine, server) = match client {
            "ann" => (&self.ann, format!("10.0.1.254:{port}")),
            _ => (&self.bob, format!("10.0.2.254:{port}")),
        };
        Launch::new(arguments).args(["--server", &server]).under(machine.inside()).run()
    }

    /// Checks that each client owns what it has hosted through a proxy, and nothing else.
    fn check(&self, server: &Server) {
        let run = |client, arguments: &[&str]| self.run(client, arguments, 22236);
        wait_for("the proxy", || {
            let listed = run("ann", &["list"]);
            (listed.code == Some(0)).then_some(()).ok_or(listed)
        });
        for client in ["ann", "bob"] {
            let hosted = run(client, &["host", client, "chat.example:22236"]);
            assert_eq!(hosted.code, Some(0), "{hosted:?}");
        }
        let refused = run("bob", &["unhost", "ann"]);
        assert!(refused.stderr.contains("Only its host may remove the channel 'ann'"), "{refused:?}");
        let refused = run("ann", &["host", "bob", "other.example:1"]);
        assert!(refused.stderr.contains("The channel 'bob' is hosted at chat.example:22236"), "{refused:?}");
        for client in ["ann", "bob"] {
            let removed = run(client, &["unhost", client]);
            assert_eq!(removed.code, Some(0), "{removed:?}");
        }
        for peer in ["peer=10.0.1.1:", "peer=10.0.2.1:"] {
            server.wait_for_log(peer);
        }
        assert!(!server.log().contains("peer=127.0.0.1:"), "{}", server.log());
    }
}

#[test]
fn behind_haproxy_each_client_has_the_rights_of_its_own_address() {
    let Some(machines) = Machines::new() else { return };
    for version in ["send-proxy-v2", "send-proxy"] {
        let directory = tempdir().unwrap();
        let server = machines.serve(directory.path());
        let file = directory.path().join("haproxy.cfg");
        fs::write(&file, example("haproxy", "send-proxy-v2").replace("send-proxy-v2", version)).unwrap();
        let _proxy = machines.proxy(&["haproxy", "-db", "-q", "-f", file.to_str().unwrap()]);
        machines.check(&server);
        server.stop();
    }
}

#[test]
fn behind_nginx_each_client_has_the_rights_of_its_own_address() {
    let Some(machines) = Machines::new() else { return };
    let directory = tempdir().unwrap();
    let server = machines.serve(directory.path());
    let (file, here) = (directory.path().join("nginx.conf"), directory.path().display());
    let text = format!(
        "load_module {NGINX_STREAM};\npid {here}/pid;\nerror_log {here}/log;\nevents {{}}\n{}",
        example("nginx", "proxy_protocol on")
    );
    fs::write(&file, text).unwrap();
    let _proxy = machines.proxy(&["nginx", "-g", "daemon off;", "-c", file.to_str().unwrap()]);
    machines.check(&server);
    server.stop();
}

#[test]
fn a_header_from_elsewhere_is_not_believed() {
    let Some(machines) = Machines::new() else { return };
    let directory = tempdir().unwrap();
    let server = machines.serve(directory.path());
    // Neither without a header nor with one.
    let direct = machines.run("ann", &["list"], 22237);
    assert_ne!(direct.code, Some(0), "{direct:?}");
    let forged = "exec 3<>/dev/tcp/10.0.1.254/22237; printf 'PROXY TCP4 10.0.2.1 10.0.2.254 5000 22236\\r\\nLIST\\r\\n' >&3; \
                  cat <&3";
    let [ip, rest @ ..] = machines.ann.inside();
    let answer = Command::new(program(ip)).args(rest).args(["bash", "-c", forged]).output().unwrap();
    assert_eq!(answer.stdout, b"", "{answer:?}");
    server.wait_for_log("10.0.1.1:");
    server.wait_for_log("not a proxy of this listener");
    assert!(!server.log().contains("peer=10.0.2.1:"), "{}", server.log());
    server.stop();
}

#[test]
fn connections_without_a_header_keep_no_proxy_out() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("chanwire.toml");
    fs::write(&file, "[[listener]]\naddress = '127.0.0.1:0'\nproxy = true\nproxy_from = ['127.0.0.1']\n").unwrap();
    let launch = Launch::new(["serve", "--http", "off", "--data-dir"]).arg(directory.path().join("data"));
    let server = launch.arg("--config").arg(file).start();
    // Those beyond 1,024 make the first ones close.
    let silent: Vec<_> = (0..1100).map(|_| server.connect()).collect();
    let mut client = server.connect();
    client.send("PROXY TCP4 192.0.2.7 192.0.2.1 50001 22236\r\nHELLO\r\n{}");
    client.finish();
    assert!(client.read_to_end().starts_with("OK"));
    server.wait_for_log("reason=\"proxy_header\"");
    drop(silent);
    server.stop();
}

//! The reason for the end of a connection, or for its refusal: the same word in the answer, in the log and in metrics.

use std::{fs, net::TcpStream, path::Path, time::Duration};

use chanwire_core::{
    Limits, Time,
    endpoint::{ConnectionId, Reason, Server as Endpoint},
    wire::ErrorResponse,
};
use chanwire_tests::process::{Launch, Peer, Server, Signal, wait_for};
use rustix::net::sockopt::set_socket_linger;
use serde_json::Value;
use tempfile::tempdir;

use crate::{
    metrics::{self, scrape},
    requests::{LIST, host, join, message, unhost},
};

/// Ends a connection for this reason, and returns everything that it received where the peer can be told.
fn provoke(reason: Reason, server: &Server, data: &Path) -> String {
    let mut peer = server.connect();
    let mut send = |bytes: &str| {
        peer.send(bytes);
        peer.read_to_end()
    };
    match reason {
        Reason::ClientClosed => {
            peer.finish();
            peer.read_to_end()
        }
        Reason::ClientLost => {
            let stream = TcpStream::connect(server.address(0)).unwrap();
            set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
            drop(stream);
            String::new()
        }
        Reason::MalformedCommand => send("GET / HTTP/1.1\r\n\r\n"),
        Reason::InvalidPayload => send("HOST\r\n7"),
        Reason::PayloadTooLarge => send(&message("ann", &"x".repeat(300))),
        Reason::IncompleteRequest => {
            peer.send("LI");
            peer.finish();
            peer.read_to_end()
        }
        Reason::RequestTimedOut => send("LI"),
        Reason::NotReading => {
            // Answers are larger than requests, so they fill the kernel's buffers.
            while peer.try_send("PING\r\n".repeat(1000)).is_ok() {}
            String::new()
        }
        Reason::SlowConsumer => {
            assert!(peer.ask(host("general", server.address(0))).is_ok());
            let mut reader = Peer::connect_narrow(server.address(0));
            assert!(reader.ask(join("general")).is_ok());
            let text = message("ann", &"x".repeat(60_000));
            // The reader reads nothing until the server has decided that it is too slow.
            wait_for("a slow consumer", || {
                assert!(peer.ask(&text).is_ok());
                server.log().contains("Slow consumer").then_some(())
            });
            reader.read_to_end()
        }
        Reason::ChannelRemoved => {
            assert!(peer.ask(host("general", server.address(0))).is_ok());
            assert!(peer.ask(join("general")).is_ok());
            assert!(server.ask(unhost("general")).starts_with("OK"));
            peer.read_to_end()
        }
        Reason::Disconnected => {
            assert!(peer.ask("HELLO\r\n{\"notices\": true}").is_ok());
            let ended = Launch::new(["disconnect", "1", "--data-dir"]).arg(data).run();
            assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "disconnected 1\n"), "{ended:?}");
            peer.read_to_end()
        }
        Reason::ServerBusy | Reason::AddressBusy => {
            assert!(peer.ask(LIST).is_ok());
            server.connect().read_to_end()
        }
        Reason::Denied => peer.read_to_end(),
        Reason::ProxyHeader => {
            peer.send("PROXY TCP4 ");
            peer.finish();
            peer.read_to_end()
        }
        Reason::EncryptionRequired => send(LIST),
        Reason::TlsHandshake => send("\x16\x03\x01\x00\x01\x00"),
        Reason::ServerStopping => {
            assert!(peer.ask("HELLO\r\n{\"notices\": true}").is_ok());
            server.signal(Signal::TERM);
            peer.read_to_end()
        }
        Reason::AccessRevoked => {
            assert!(peer.ask("HELLO\r\n{\"notices\": true}").is_ok());
            assert!(peer.ask(host("general", server.address(0))).is_ok());
            assert!(peer.ask(join("general")).is_ok());
            let file = data.join("chanwire.toml");
            let text = fs::read_to_string(&file).unwrap().replace("guests = 'all'", "guests = 'none'");
            fs::write(&file, text).unwrap();
            server.signal(Signal::HUP);
            peer.read_to_end()
        }
        // No part of this server closes with such an error; an application of the library may.
        Reason::ServerClosed => {
            let mut endpoint = Endpoint::new(ConnectionId(0), Limits::server());
            endpoint.close(Time::default(), ErrorResponse::server("Teapot", "short and stout"));
            assert_eq!(endpoint.ended(false).reason, Reason::ServerClosed);
            String::new()
        }
    }
}

const fn options(reason: Reason) -> &'static [&'static str] {
    match reason {
        Reason::PayloadTooLarge => &["--max-payload", "256"],
        Reason::RequestTimedOut => &["--request-timeout", "1"],
        Reason::NotReading => &["--write-timeout", "1"],
        Reason::SlowConsumer => &["--max-pushed", "65536"],
        Reason::ServerBusy => &["--max-connections", "1"],
        Reason::AddressBusy => &["--exempt", "192.0.2.1", "--address-connections", "1"],
        Reason::Denied => &["--deny", "127.0.0.0/8"],
        _ => &[],
    }
}

/// Prepares a server that ends a connection for this reason.
fn launch(reason: Reason, directory: &Path) -> Launch {
    let keys = match reason {
        Reason::ProxyHeader => "proxy = true\nproxy_from = ['127.0.0.1']",
        Reason::EncryptionRequired | Reason::TlsHandshake => {
            let new = Launch::new(["tls", "new", "--name", "chat.example", "--certificate"]);
            let made = new.arg(directory.join("crt")).arg("--key").arg(directory.join("key")).run();
            assert_eq!(made.code, Some(0), "{made:?}");
            "tls = 'required'\n[tls]\ncertificate = 'DIR/crt'\nkey = 'DIR/key'"
        }
        Reason::AccessRevoked => "[auth]\nguests = 'all'",
        _ => return Launch::serve(directory),
    };
    let file = directory.join("chanwire.toml");
    let text = format!("[[listener]]\naddress = '127.0.0.1:0'\n{keys}\n");
    fs::write(&file, text.replace("DIR", &directory.display().to_string())).unwrap();
    Launch::new(["serve", "--http", "off", "--data-dir"]).arg(directory.join("data")).arg("--config").arg(file)
}

/// Returns the limit that is logged with a reason, and its value.
const fn limit(reason: Reason) -> Option<(&'static str, u64)> {
    match reason {
        Reason::PayloadTooLarge => Some(("max_payload", 256)),
        Reason::RequestTimedOut => Some(("request_timeout", 1)),
        Reason::NotReading => Some(("write_timeout", 1)),
        Reason::SlowConsumer => Some(("max_pushed", 65_536)),
        Reason::ServerBusy => Some(("max_connections", 1)),
        Reason::AddressBusy => Some(("address_connections", 1)),
        _ => None,
    }
}

/// Waits for the event of a connection that ended or was refused for this reason.
fn event(server: &Server, reason: Reason) -> Value {
    let (name, expected) = match reason {
        Reason::ServerBusy | Reason::AddressBusy | Reason::ProxyHeader => ("connections_refused", "WARN"),
        Reason::Denied | Reason::EncryptionRequired | Reason::TlsHandshake => ("connections_refused", "INFO"),
        Reason::ClientClosed => ("connection_ended", "DEBUG"),
        _ => ("connection_ended", "INFO"),
    };
    wait_for(&format!("the event {name}: {}", reason.as_str()), || {
        let log = server.log();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let member = |value: &Value, name: &str| value.get(name).cloned().unwrap_or_default();
        let fields = |line: Value| (member(&line, "level"), member(&line, "fields"));
        let mut events = lines.map(fields).filter(|(_, fields)| member(fields, "event") == name);
        let found = events.find(|(_, fields)| member(fields, "reason") == reason.as_str());
        let found = found.map(|(level, fields)| {
            assert_eq!(level, expected);
            fields
        });
        found.ok_or(log)
    })
}

#[test]
fn every_reason_is_the_same_word_in_the_answer_in_the_log_and_in_metrics() {
    for reason in Reason::ALL {
        let data = tempdir().unwrap();
        let launch = launch(*reason, data.path()).args(["--log", "debug", "--log-format", "json"]);
        let launch = launch.args(["--metrics", "127.0.0.1:0"]);
        let server = launch.args(options(*reason)).start();
        let received = provoke(*reason, &server, data.path());
        if *reason == Reason::ServerClosed {
            continue;
        }
        if let Some(error) = reason.error() {
            assert!(received.contains(&format!("\"error\": \"{error}\"")), "{reason:?}: {received}");
            // Clients know no other word for a server that has no room for them.
            let told = if *reason == Reason::AddressBusy { Reason::ServerBusy } else { *reason };
            assert_eq!(error.to_lowercase().replace(' ', "_"), told.as_str());
        }
        let event = event(&server, *reason);
        // A server that has stopped serves no metrics.
        if *reason != Reason::ServerStopping {
            let name = if reason.is_refusal() { "refused" } else { "ended" };
            let line = format!("chanwire_connections_{name}_total{{reason=\"{}\"}} 1\n", reason.as_str());
            wait_for(&line, || {
                let scraped = scrape(metrics::address(&server));
                if scraped.contains(&line) { Ok(()) } else { Err(scraped) }
            });
        }
        let logged = event["limit"].as_str().zip(event["value"].as_u64());
        assert_eq!(logged, limit(*reason), "{event}");
        assert!(event["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{event}");
        if reason.is_refusal() {
            assert_eq!(event["count"], 1, "{event}");
            continue;
        }
        for name in ["id", "seconds", "requests", "faults", "received", "sent", "pushes", "throttled_ms"] {
            assert!(event[name].is_u64(), "{name}: {event}");
        }
        assert_eq!((&event["kind"], &event["listener"]), (&"plain".into(), &0.into()), "{event}");
    }
}

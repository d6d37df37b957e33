//! Chanwire itself: every message is durable before it is acknowledged or pushed.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr},
};

use chanwire_tests::process::{Answer, Launch, Server, answers};
use tempfile::TempDir;

use crate::{
    link::{Certificate, Link},
    running::folder,
    system::{Exchange, ID_DIGITS, Reply, System, ask, read, size},
};

pub(crate) struct Chanwire {
    server: Server,
    /// That of its TLS.
    certificate: Option<Certificate>,
    _folder: TempDir,
}

const ANSWER: &str = "OK\r\n{\"status\": \"delivered\", \"timestamp\": \"2026-01-01T00:00:00Z\"}";

impl Chanwire {
    pub(crate) fn start() -> Self {
        Self::start_by(None, |launch| launch)
    }

    pub(crate) fn start_with_tls() -> Self {
        Self::start_by(Some(Certificate::make()), |launch| launch)
    }

    /// Starts it with a listener of metrics at a port of its own.
    pub(crate) fn start_with_metrics() -> Self {
        Self::start_by(None, |launch| launch.args(["--metrics", "127.0.0.1:0"]))
    }

    fn start_by(certificate: Option<Certificate>, configure: impl FnOnce(Launch) -> Launch) -> Self {
        let folder = folder();
        let launch = Launch::serve(folder.path());
        let launch = match &certificate {
            Some(certificate) => certificate.pair.used_by(launch),
            None => launch,
        };
        let started = Self { server: configure(launch).start(), certificate, _folder: folder };
        let port = started.server.address(0).port();
        let host = format!(
            "HOST\r\n{{\"channel_name\": \"general\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": {port}}}"
        );
        ask(&mut started.connect_one(), &host, "OK\r\n{\"status\": \"success\", \"channel_name\": \"general\"}");
        started
    }

    /// Returns the ids of the messages stored after this one, as pushed to a subscriber that joins with it.
    pub(crate) fn ids_after(&self, id: u64) -> Vec<u64> {
        let mut stream = self.connect_one().into_tcp();
        let join = format!("JOIN\r\n{{\"channel_name\": \"general\", \"after\": {id}}}");
        stream.write_all(join.as_bytes()).expect("a server that reads");
        // A subscriber that ends its stream is sent what the answer promises, and then is closed.
        stream.shutdown(Shutdown::Write).expect("an open connection");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an end of the stream");
        let answers = answers(&text);
        let (joined, pushes) = answers.split_first().expect("an answer");
        let ids: Vec<u64> = pushes.iter().map(Answer::id).collect();
        assert_eq!(ids.last().copied(), joined.payload["last_id"].as_u64(), "what was promised");
        ids
    }

    /// Returns the address of its metrics.
    pub(crate) fn metrics(&self) -> SocketAddr {
        let line = self.server.banner().iter().find_map(|line| line.strip_prefix("metrics at http://"));
        let address = line.and_then(|line| line.strip_suffix("/metrics")).and_then(|address| address.parse().ok());
        address.expect("a listener of metrics")
    }

    fn connect_one(&self) -> Link {
        Link::connect(self.server.address(0)).encrypted(self.certificate.as_ref())
    }
}

/// Chanwire, storing each message once under an id of its own.
pub(crate) struct WithIds(pub(crate) Chanwire);

impl System for WithIds {
    fn name(&self) -> &'static str {
        "with ids"
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    fn connect(&self, count: usize) -> Vec<Link> {
        self.0.connect(count)
    }

    fn subscribe(&self, count: usize) -> Vec<Link> {
        self.0.subscribe(count)
    }

    fn store(&self, content: &str) -> Option<Exchange> {
        Some(self.publish(content))
    }

    fn publish(&self, content: &str) -> Exchange {
        let before = format!(
            "MESSAGE\r\n{{\"username\": \"ann\", \"message_content\": \"{content}\", \"client_message_id\": \""
        );
        let request = format!("{before}{}\"}}", "0".repeat(ID_DIGITS));
        Exchange { request: request.into_bytes(), id_at: Some(before.len()), reply: Reply::Object(b'O') }
    }

    fn push_size(&self, number: u64, content: &str) -> u64 {
        self.0.push_size(number, content)
    }
}

impl System for Chanwire {
    fn name(&self) -> &'static str {
        if self.certificate.is_some() { "chanwire TLS" } else { "chanwire" }
    }

    fn id(&self) -> u32 {
        self.server.id()
    }

    fn connect(&self, count: usize) -> Vec<Link> {
        (0..count).map(|_| self.connect_one()).collect()
    }

    fn subscribe(&self, count: usize) -> Vec<Link> {
        let joined = "OK\r\n{\"status\": \"joined\", \"channel_name\": \"general\", ";
        let mut streams = self.connect(count);
        for stream in &mut streams {
            ask(stream, "JOIN\r\n{\"channel_name\": \"general\"}", joined);
            // The ids differ in length.
            while read(stream, 1) != "}" {}
        }
        streams
    }

    fn store(&self, content: &str) -> Option<Exchange> {
        Some(self.publish(content))
    }

    fn publish(&self, content: &str) -> Exchange {
        let request = format!("MESSAGE\r\n{{\"username\": \"ann\", \"message_content\": \"{content}\"}}");
        Exchange { request: request.into_bytes(), id_at: None, reply: Reply::Sized(b'O', ANSWER.len()) }
    }

    fn push_size(&self, number: u64, content: &str) -> u64 {
        let rest = "MESSAGE\r\n{\"channel_name\": \"general\", \"id\": , \"username\": \"ann\", \"message_content\": \"\", \
                    \"timestamp\": \"2026-01-01T00:00:00Z\"}";
        size(rest.len() + content.len()) + u64::from(number.max(1).ilog10()) + 1
    }
}

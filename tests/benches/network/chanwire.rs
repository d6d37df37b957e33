//! Chanwire itself: every message is durable before it is acknowledged or pushed.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
};

use chanwire_tests::process::{Answer, Launch, Server, answers};
use tempfile::TempDir;

use crate::{
    running::folder,
    system::{Exchange, Reply, System, ask, read, size},
};

pub(crate) struct Chanwire {
    server: Server,
    _folder: TempDir,
}

const ANSWER: &str = "OK\r\n{\"status\": \"delivered\", \"timestamp\": \"2026-01-01T00:00:00Z\"}";

impl Chanwire {
    pub(crate) fn start() -> Self {
        let folder = folder();
        let server = Launch::serve(folder.path()).start();
        let started = Self { server, _folder: folder };
        let port = started.server.address(0).port();
        let host = format!(
            "HOST\r\n{{\"channel_name\": \"general\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": {port}}}"
        );
        ask(&mut started.connect_one(), &host, "OK\r\n{\"status\": \"success\", \"channel_name\": \"general\"}");
        started
    }

    /// Returns the ids of the messages stored after this one, as pushed to a subscriber that joins with it.
    pub(crate) fn ids_after(&self, id: u64) -> Vec<u64> {
        let mut stream = self.connect_one();
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

    fn connect_one(&self) -> TcpStream {
        TcpStream::connect(self.server.address(0)).expect("a connection")
    }
}

impl System for Chanwire {
    fn name(&self) -> &'static str {
        "chanwire"
    }

    fn id(&self) -> u32 {
        self.server.id()
    }

    fn connect(&self, count: usize) -> Vec<TcpStream> {
        (0..count).map(|_| self.connect_one()).collect()
    }

    fn subscribe(&self, count: usize) -> Vec<TcpStream> {
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
        Exchange { request: request.into_bytes(), reply: Reply::Sized(b'O', ANSWER.len()) }
    }

    fn push_size(&self, number: u64, content: &str) -> u64 {
        let rest = "MESSAGE\r\n{\"channel_name\": \"general\", \"id\": , \"username\": \"ann\", \"message_content\": \"\", \
                    \"timestamp\": \"2026-01-01T00:00:00Z\"}";
        size(rest.len() + content.len()) + u64::from(number.max(1).ilog10()) + 1
    }
}

//! Redis: streams that are synced before they are acknowledged, or pub/sub that stores nothing.

use std::net::TcpStream;

use crate::{
    running::Running,
    system::{Exchange, Reply, System, ask, size},
};

pub(crate) struct Redis {
    running: Running,
    durable: bool,
}

impl Redis {
    /// Starts it with an append-only file that is synced before each acknowledgement. It is never rewritten meanwhile.
    pub(crate) fn start_durable() -> Self {
        let durable = ["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"];
        Self { running: start(&durable), durable: true }
    }

    /// Starts it without any file, and with no subscriber too slow for it.
    pub(crate) fn start_volatile() -> Self {
        let volatile = ["--appendonly", "no", "--client-output-buffer-limit", "pubsub 0 0 0"];
        Self { running: start(&volatile), durable: false }
    }

    /// Keeps a value so large that an answer has as many bytes as this one, and gives the request for it.
    pub(crate) fn keep(&self, reply: Reply) -> Exchange {
        let (Reply::Sized(_, size) | Reply::Lines(_, size)) = reply;
        let framing = |value: usize| format!("${value}\r\n\r\n").len();
        let value = "x".repeat(size - framing(size));
        let answer = value.len() + framing(value.len());
        ask(&mut self.running.connect(), &command(&["SET", "list", &value]), "+OK\r\n");
        Exchange { request: command(&["GET", "list"]).into_bytes(), reply: Reply::Sized(b'$', answer) }
    }
}

fn start(more: &[&str]) -> Running {
    Running::start("redis-server", |folder, port| {
        let folder = folder.display().to_string();
        let port = port.to_string();
        let common = ["--bind", "127.0.0.1", "--port", &port, "--dir", &folder, "--save", ""];
        common.iter().chain(more).map(ToString::to_string).collect()
    })
}

fn command(words: &[&str]) -> String {
    let bulk: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{bulk}", words.len())
}

impl System for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn id(&self) -> u32 {
        self.running.id()
    }

    fn connect(&self, count: usize) -> Vec<TcpStream> {
        (0..count).map(|_| self.running.connect()).collect()
    }

    fn subscribe(&self, count: usize) -> Vec<TcpStream> {
        let joined = "*3\r\n$9\r\nsubscribe\r\n$7\r\ngeneral\r\n:1\r\n";
        let mut streams = self.connect(count);
        for stream in &mut streams {
            ask(stream, &command(&["SUBSCRIBE", "general"]), joined);
        }
        streams
    }

    fn store(&self, content: &str) -> Option<Exchange> {
        let request = command(&["XADD", "general", "*", "username", "ann", "content", content]);
        // The length of the entry's id, and the id.
        self.durable.then(|| Exchange { request: request.into_bytes(), reply: Reply::Lines(b'$', 2) })
    }

    fn publish(&self, content: &str) -> Exchange {
        let request = command(&["PUBLISH", "general", content]);
        Exchange { request: request.into_bytes(), reply: Reply::Lines(b':', 1) }
    }

    fn push_size(&self, _: u64, content: &str) -> u64 {
        let length = content.len();
        let rest = "*3\r\n$7\r\nmessage\r\n$7\r\ngeneral\r\n$\r\n\r\n";
        size(rest.len() + length + length.to_string().len())
    }
}

//! Redis: streams that are synced before they are acknowledged, or pub/sub that stores nothing.

use crate::{
    link::{Certificate, Link},
    running::Running,
    system::{Exchange, Reply, System, ask, size},
};

pub(crate) struct Redis {
    running: Running,
    durable: bool,
    /// That of its TLS.
    certificate: Option<Certificate>,
}

/// An append-only file that is synced before each acknowledgement, and never rewritten meanwhile.
const DURABLE: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"];

/// No file, and no subscriber that is too slow.
const VOLATILE: [&str; 4] = ["--appendonly", "no", "--client-output-buffer-limit", "pubsub 0 0 0"];

impl Redis {
    pub(crate) fn start_durable() -> Self {
        Self { running: start(&DURABLE, None), durable: true, certificate: None }
    }

    pub(crate) fn start_durable_with_tls() -> Self {
        let certificate = Some(Certificate::make());
        Self { running: start(&DURABLE, certificate.as_ref()), durable: true, certificate }
    }

    pub(crate) fn start_volatile() -> Self {
        Self { running: start(&VOLATILE, None), durable: false, certificate: None }
    }

    pub(crate) fn start_volatile_with_tls() -> Self {
        let certificate = Some(Certificate::make());
        Self { running: start(&VOLATILE, certificate.as_ref()), durable: false, certificate }
    }

    /// Keeps a value so large that an answer has this many bytes, and gives the request for it.
    pub(crate) fn keep(&self, size: usize) -> Exchange {
        let framing = |value: usize| format!("${value}\r\n\r\n").len();
        let value = "x".repeat(size - framing(size));
        let answer = value.len() + framing(value.len());
        ask(&mut self.running.connect(), &command(&["SET", "list", &value]), "+OK\r\n");
        Exchange { request: command(&["GET", "list"]).into_bytes(), id_at: None, reply: Reply::Sized(b'$', answer) }
    }
}

fn start(more: &[&str], certificate: Option<&Certificate>) -> Running {
    Running::start("redis-server", |folder, port| {
        let folder = folder.display().to_string();
        let port = port.to_string();
        let common = ["--bind", "127.0.0.1", "--dir", &folder, "--save", ""];
        let mut arguments: Vec<String> = common.iter().chain(more).map(ToString::to_string).collect();
        match certificate {
            None => arguments.extend(["--port".into(), port]),
            Some(Certificate { pair, .. }) => {
                let by_tls = ["--port", "0", "--tls-auth-clients", "no", "--tls-port", &port];
                arguments.extend(by_tls.map(ToString::to_string));
                for (option, file) in [("--tls-cert-file", &pair.certificate), ("--tls-key-file", &pair.key)] {
                    arguments.extend([option.into(), file.display().to_string()]);
                }
            }
        }
        arguments
    })
}

fn command(words: &[&str]) -> String {
    let bulk: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{bulk}", words.len())
}

impl System for Redis {
    fn name(&self) -> &'static str {
        if self.certificate.is_some() { "redis TLS" } else { "redis" }
    }

    fn id(&self) -> u32 {
        self.running.id()
    }

    fn connect(&self, count: usize) -> Vec<Link> {
        (0..count).map(|_| self.running.connect().encrypted(self.certificate.as_ref())).collect()
    }

    fn subscribe(&self, count: usize) -> Vec<Link> {
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
        self.durable.then(|| Exchange { request: request.into_bytes(), id_at: None, reply: Reply::Lines(b'$', 2) })
    }

    fn publish(&self, content: &str) -> Exchange {
        let request = command(&["PUBLISH", "general", content]);
        Exchange { request: request.into_bytes(), id_at: None, reply: Reply::Lines(b':', 1) }
    }

    fn push_size(&self, _: u64, content: &str) -> u64 {
        let length = content.len();
        let rest = "*3\r\n$7\r\nmessage\r\n$7\r\ngeneral\r\n$\r\n\r\n";
        size(rest.len() + length + length.to_string().len())
    }
}

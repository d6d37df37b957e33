//! NATS without JetStream: it stores nothing.

use std::{fs, io::Write as _};

use crate::{
    link::{Certificate, Link},
    running::Running,
    system::{Exchange, Reply, System, ask, read, size},
};

pub(crate) struct Nats {
    running: Running,
    /// That of its TLS.
    certificate: Option<Certificate>,
}

impl Nats {
    pub(crate) fn start() -> Self {
        Self::start_by(None)
    }

    pub(crate) fn start_with_tls() -> Self {
        Self::start_by(Some(Certificate::make()))
    }

    fn start_by(certificate: Option<Certificate>) -> Self {
        let running = Running::start("nats-server", |folder, port| {
            let config = folder.join("nats.conf");
            // Its PINGs would be counted as pushes.
            let mut text = format!("listen: \"127.0.0.1:{port}\"\nping_interval: \"10m\"\n");
            if let Some(Certificate { pair, .. }) = &certificate {
                let (certificate, key) = (pair.certificate.display(), pair.key.display());
                text += &format!("tls {{ cert_file: \"{certificate}\", key_file: \"{key}\" }}\n");
            }
            fs::write(&config, text).expect("a file");
            vec!["-c".into(), config.display().to_string()]
        });
        Self { running, certificate }
    }

    fn greet(&self, count: usize, greeting: &str, answer: &str) -> Vec<Link> {
        let greeted = |_| {
            let mut stream = self.running.connect();
            // It introduces itself in one line.
            while read(&mut stream, 1) != "\n" {}
            let mut stream = stream.encrypted(self.certificate.as_ref());
            ask(&mut stream, greeting, answer);
            stream
        };
        let mut streams: Vec<_> = (0..count).map(greeted).collect();
        // Some two seconds after a client has come it is asked once, whatever the interval is. That would be counted.
        for stream in &mut streams {
            assert_eq!(read(stream, 6), "PING\r\n");
            stream.write_all(b"PONG\r\n").expect("a server that reads");
        }
        streams
    }
}

impl System for Nats {
    fn name(&self) -> &'static str {
        if self.certificate.is_some() { "nats TLS" } else { "nats" }
    }

    fn id(&self) -> u32 {
        self.running.id()
    }

    fn connect(&self, count: usize) -> Vec<Link> {
        // Verbose: every PUB is acknowledged.
        self.greet(count, "CONNECT {\"verbose\":true}\r\nPING\r\n", "+OK\r\nPONG\r\n")
    }

    fn subscribe(&self, count: usize) -> Vec<Link> {
        self.greet(count, "CONNECT {\"verbose\":false}\r\nSUB general 1\r\nPING\r\n", "PONG\r\n")
    }

    fn store(&self, _: &str) -> Option<Exchange> {
        None
    }

    fn publish(&self, content: &str) -> Exchange {
        let request = format!("PUB general {}\r\n{content}\r\n", content.len());
        Exchange { request: request.into_bytes(), id_at: None, reply: Reply::Lines(b'+', 1) }
    }

    fn push_size(&self, _: u64, content: &str) -> u64 {
        let length = content.len();
        size("MSG general 1 \r\n\r\n".len() + length + length.to_string().len())
    }
}

//! A server made of nothing but a socket, which says what a test wants.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
};

use chanwire_tests::process::DEADLINE;

/// The request with which `join` and `chat` begin a connection.
pub(crate) const HELLO: &str = "HELLO\r\n{\"notices\": true}";

/// The answer to it of a server that is older than HELLO.
pub(crate) const UNKNOWN: &str =
    "REQUEST_ERROR\r\n{\"error\": \"Unknown command\", \"details\": \"Unknown command 'HELLO'\"}";

/// A listener of such a server.
pub(crate) struct Fake(TcpListener);

impl Fake {
    pub(crate) fn listen() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Accepts the next connection.
    pub(crate) fn accept(&self) -> Client {
        let (stream, _) = self.0.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Client { stream, read: String::new() }
    }

    /// Accepts a client that asks for notices first, and answers as a server that is older than HELLO.
    pub(crate) fn accept_greeting(&self) -> Client {
        let mut client = self.accept();
        client.expect(HELLO);
        client.answer(UNKNOWN);
        client
    }

    /// Accepts a client that asks for the channels, and answers that `g` is here.
    pub(crate) fn accept_and_list(&self) -> Client {
        let mut client = self.accept_greeting();
        client.expect("LIST\r\n");
        let (host, port) = (self.address().ip(), self.address().port());
        client.answer(&format!(
            "OK\r\n{{\"channels\": [{{\"channel_name\": \"g\", \"peer_server_ip\": \"{host}\", \"peer_server_port\": \
             {port}}}]}}"
        ));
        client
    }
}

/// One accepted connection.
pub(crate) struct Client {
    stream: TcpStream,
    read: String,
}

impl Client {
    /// Reads until all of this has come, and drops it with all before it.
    pub(crate) fn expect(&mut self, text: &str) {
        loop {
            if let Some(at) = self.read.find(text) {
                self.read.drain(..at + text.len());
                return;
            }
            let mut buffer = [0; 1024];
            let length = self.stream.read(&mut buffer).unwrap();
            assert_ne!(length, 0, "{text:?} does not come: {:?}", self.read);
            self.read += &String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
        }
    }

    pub(crate) fn answer(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the client has closed its end.
    pub(crate) fn expect_end(mut self) {
        // A reset is an end too.
        let _ = self.stream.read_to_end(&mut Vec::new());
    }
}

/// Returns the answer to a JOIN of `g`.
pub(crate) fn joined(first_id: u64, last_id: u64) -> String {
    format!(
        "OK\r\n{{\"status\": \"joined\", \"channel_name\": \"g\", \"first_id\": {first_id}, \"last_id\": {last_id}}}"
    )
}

/// Returns a message of a channel as an object.
pub(crate) fn stored(channel: &str, id: u64, timestamp: &str) -> String {
    format!(
        "{{\"channel_name\": \"{channel}\", \"id\": {id}, \"username\": \"bob\", \"message_content\": \"number {id}\", \
         \"timestamp\": \"{timestamp}\"}}"
    )
}

/// Returns a pushed message.
pub(crate) fn push(channel: &str, id: u64) -> String {
    format!("MESSAGE\r\n{}", stored(channel, id, "2023-11-02T15:04:32Z"))
}

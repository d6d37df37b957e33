//! A client made of nothing but a socket, so that it can do everything wrong that a client can.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt::set_socket_recv_buffer_size};
use serde_json::Value;

use super::DEADLINE;

/// One connection, seen from the client.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    /// The bytes read and not yet returned.
    unread: Vec<u8>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its bytes.
    pub raw: String,
    /// Its command or status.
    pub status: String,
    /// Its payload.
    pub payload: Value,
}

impl Answer {
    /// Returns the protocol's name of the error, empty if it is none.
    #[must_use]
    pub fn error(&self) -> &str {
        self.text("error")
    }

    /// Returns the protocol's name of the error, empty if it is none.
    #[must_use]
    pub fn details(&self) -> &str {
        self.text("details")
    }

    /// Returns whether the status is OK.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.status == "OK"
    }

    /// Returns the id of a push; 0 if it is none.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.payload.get("id").and_then(Value::as_u64).unwrap_or_default()
    }

    /// Returns the content of a push, empty if it is none.
    #[must_use]
    pub fn content(&self) -> &str {
        self.text("message_content")
    }

    fn text(&self, name: &str) -> &str {
        self.payload.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Peer {
    /// Connects.
    ///
    /// # Panics
    ///
    /// If no socket listens there.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    /// Connects to a server that may reset the connection at once, since it has no room.
    ///
    /// # Errors
    ///
    /// As connecting has.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        TcpStream::connect_timeout(&address, DEADLINE).map(Self::new)
    }

    /// Connects from another address of this machine: all of 127.0.0.0/8 are.
    ///
    /// # Panics
    ///
    /// If no socket listens there.
    #[must_use]
    pub fn connect_from(own: IpAddr, address: SocketAddr) -> Self {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&socket, &SocketAddr::new(own, 0)).expect("an address of this machine");
        connect(&socket, &address).unwrap_or_else(|error| panic!("{address}: {error}"));
        Self::new(socket.into())
    }

    /// Connects with a receive buffer so small that the kernel holds little of what is not read.
    ///
    /// # Panics
    ///
    /// If no socket listens there.
    #[must_use]
    pub fn connect_narrow(address: SocketAddr) -> Self {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        set_socket_recv_buffer_size(&socket, 4096).expect("a socket without a connection");
        connect(&socket, &address).unwrap_or_else(|error| panic!("{address}: {error}"));
        Self::new(socket.into())
    }

    fn new(stream: TcpStream) -> Self {
        // One write leaves as one segment, and two writes as two.
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(DEADLINE)).expect("a TCP socket");
        stream.set_write_timeout(Some(DEADLINE)).expect("a TCP socket");
        Self { stream, unread: Vec::new() }
    }

    /// Returns its own end's address, by which the server's end is known.
    ///
    /// # Panics
    ///
    /// If the system does not tell.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.stream.local_addr().expect("a TCP socket")
    }

    /// Returns the same connection once more, so that one thread can write while another reads.
    ///
    /// # Panics
    ///
    /// If this process may open no more files.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { stream: self.stream.try_clone().expect("one more file"), unread: Vec::new() }
    }

    /// Writes all of it.
    ///
    /// # Panics
    ///
    /// If the connection is closed, or accepts no bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("a connection that takes bytes");
    }

    /// Writes all of it if the connection is still there.
    ///
    /// # Errors
    ///
    /// As writing has.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Ends its own half of the connection.
    ///
    /// # Panics
    ///
    /// If the connection is closed.
    pub fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("a connection");
    }

    /// Reads the next answer.
    ///
    /// # Panics
    ///
    /// If none comes.
    pub fn answer(&mut self) -> Answer {
        self.try_answer().unwrap_or_else(|error| panic!("no answer: {error}; so far {:?}", self.shown()))
    }

    /// Reads the next answer, if the connection delivers one.
    ///
    /// # Errors
    ///
    /// As reading has, the end of the stream among them.
    pub fn try_answer(&mut self) -> io::Result<Answer> {
        loop {
            if let Some(answer) = first(&self.unread) {
                self.unread.drain(..answer.raw.len());
                return Ok(answer);
            }
            let mut buffer = [0; 64 * 1024];
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.unread.extend(buffer.iter().take(count)),
            }
        }
    }

    /// Sends this and waits for one answer.
    pub fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Answer {
        self.send(bytes);
        self.answer()
    }

    /// Reads as many bytes.
    ///
    /// # Panics
    ///
    /// If they do not come.
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.unread);
        self.unread = bytes.split_off(bytes.len().min(count));
        let read = bytes.len();
        bytes.resize(count, 0);
        let rest = bytes.get_mut(read..).unwrap_or_default();
        self.stream.read_exact(rest).unwrap_or_else(|error| panic!("not {count} bytes: {error}"));
        bytes
    }

    /// Reads to the end of the stream.
    ///
    /// # Panics
    ///
    /// If the stream does not end, or not in order.
    pub fn read_to_end(&mut self) -> String {
        let end = self.stream.read_to_end(&mut self.unread);
        end.unwrap_or_else(|error| panic!("the stream did not end in order: {error}; so far {:?}", self.shown()));
        String::from_utf8(std::mem::take(&mut self.unread)).expect("UTF-8")
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.unread).chars().take(1000).collect()
    }
}

/// Returns the answer that these bytes begin with, if it is all there.
fn first(bytes: &[u8]) -> Option<Answer> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let payload = bytes.get(line + 2..)?;
    let mut values = serde_json::Deserializer::from_slice(payload).into_iter::<Value>();
    let payload = match values.next()? {
        Ok(payload) => payload,
        Err(error) if error.is_eof() => return None,
        Err(error) => panic!("{error} in {:?}", String::from_utf8_lossy(bytes)),
    };
    let raw = bytes.get(..line + 2 + values.byte_offset())?;
    let raw = String::from_utf8(raw.into()).expect("UTF-8");
    let status = raw.get(..line)?.into();
    Some(Answer { raw, status, payload })
}

/// Decodes all of these answers.
///
/// # Panics
///
/// If anything else is among them.
#[must_use]
pub fn answers(text: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let answer = first(rest.as_bytes()).unwrap_or_else(|| panic!("no answer: {rest:?}"));
        rest = rest.get(answer.raw.len()..).unwrap_or_default();
        answers.push(answer);
    }
    answers
}

/// Returns the text with `T` for every timestamp that has the protocol's form.
#[must_use]
pub fn without_times(text: &str) -> String {
    const FORM: &str = "0000-00-00T00:00:00Z";
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\"timestamp\": \"").map(|at| at + 14) {
        let (before, after) = rest.split_at(at);
        out += before;
        let stamp = after.get(..FORM.len()).unwrap_or_default();
        let shape: String = stamp.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
        rest = if shape == FORM {
            out.push('T');
            after.get(FORM.len()..).unwrap_or_default()
        } else {
            after
        };
    }
    out + rest
}

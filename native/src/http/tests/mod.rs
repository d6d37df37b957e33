//! The HTTP side over real sockets on loopback: what these tests share.

mod admission;
mod encrypted;
mod flow;
mod plan;
mod rules;
mod shutdown;
mod stream;
mod tapped;
mod tls_target;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::ORIGIN;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::{
    access::Token,
    serve::serve_within,
    shared::{HttpConfig, Limits, Target, TargetTrust},
};
use crate::file_limit::Files;

/// Ends a test that would hang; no test passes because of it.
async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("the test hangs")
}

/// Bounds that no test comes to by being slow.
fn patient() -> Limits {
    let forever = Duration::from_secs(300);
    Limits { token_wait: forever, ping: forever, write_timeout: forever, ..Limits::of(&Files::plenty()) }
}

/// An HTTP side that runs, and ends with its test.
struct Server {
    address: SocketAddr,
    token: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Serves with these addresses as targets "0", "1" and so on.
    async fn start(targets: &[SocketAddr]) -> Self {
        Self::start_with(targets, &[], patient()).await
    }

    async fn start_with(targets: &[SocketAddr], hosts: &[&str], limits: Limits) -> Self {
        let target = |(id, address): (usize, &SocketAddr)| Target::plain(id.to_string(), *address);
        let config = HttpConfig {
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            targets: targets.iter().enumerate().map(target).collect(),
            ..HttpConfig::default()
        };
        Self::start_from(config, limits).await
    }

    async fn start_from(config: HttpConfig, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let token = Token::generate().unwrap();
        let (stop, shutdown) = watch::channel(false);
        let text = token.to_string();
        let task = tokio::spawn(serve_within(listener, config, token, shutdown, limits));
        Self { address, token: text, stop, task }
    }

    /// Sends a request line and headers, each without its line end, and returns the whole answer.
    async fn request(&self, lines: &[&str]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut text = lines.join("\r\n").replace("PORT", &self.address.port().to_string());
        text.push_str("\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        within(stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Opens the WebSocket with the right origin and says nothing.
    async fn open(&self) -> Page {
        let origin = format!("http://{}", self.address);
        self.open_from(Some(&origin)).await.unwrap()
    }

    /// Opens the WebSocket from a page of this origin. The error is the status of the refusal.
    async fn open_from(&self, origin: Option<&str>) -> Result<Page, u16> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        self.open_over(stream, origin).await
    }

    async fn open_over(&self, stream: TcpStream, origin: Option<&str>) -> Result<Page, u16> {
        let mut request = format!("ws://{}/bridge", self.address).into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        let config = WebSocketConfig::default().max_write_buffer_size(8 << 20);
        match within(tokio_tungstenite::client_async_with_config(request, stream, Some(config))).await {
            Ok((socket, _)) => Ok(Page { socket }),
            Err(WsError::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens the WebSocket and shows the token.
    async fn admitted(&self) -> Page {
        let mut page = self.open().await;
        page.show(&self.token).await;
        assert_eq!(page.control().await["type"], "welcome");
        page
    }

    /// Opens a bridge to target "0".
    async fn bridged(&self) -> Page {
        let mut page = self.admitted().await;
        page.connect("0").await;
        page
    }

    /// Lets everything that can move come to rest: with everything on one thread, and one request after the other
    /// answered, whatever else was ready has had its turn many times.
    async fn settle(&self) {
        for _ in 0..100 {
            let answer = self.request(&["GET / HTTP/1.1", "Host: 127.0.0.1:PORT"]).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    }
}

/// The page's end of a WebSocket.
struct Page {
    socket: WebSocketStream<TcpStream>,
}

impl Page {
    async fn say(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn send(&mut self, bytes: impl Into<axum::body::Bytes>) {
        self.socket.send(Message::binary(bytes)).await.unwrap();
    }

    async fn show(&mut self, token: &str) {
        self.say(json!({"type": "token", "token": token})).await;
    }

    async fn wait(&mut self, ms: u64) {
        self.say(json!({"type": "wait", "ms": ms})).await;
    }

    async fn eof(&mut self) {
        self.say(json!({"type": "eof"})).await;
    }

    async fn grant(&mut self, bytes: u64) {
        self.say(json!({"type": "credit", "bytes": bytes})).await;
    }

    /// Connects, and returns what `opened` says.
    async fn connect(&mut self, target: &str) -> Value {
        self.say(json!({"type": "connect", "target": target})).await;
        let opened = self.control().await;
        assert_eq!(opened["type"], "opened", "{opened}");
        opened
    }

    async fn next(&mut self) -> Message {
        loop {
            match within(self.socket.next()).await.unwrap().unwrap() {
                Message::Ping(_) => {}
                message => return message,
            }
        }
    }

    /// The next message, which is control.
    async fn control(&mut self) -> Value {
        match self.next().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("no control message: {other:?}"),
        }
    }

    /// The next `length` bytes, in however many messages.
    async fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            match self.next().await {
                Message::Binary(more) => {
                    assert!(more.len() <= 64 << 10, "one read takes at most 64 KiB, not {}", more.len());
                    bytes.extend_from_slice(&more);
                }
                other => panic!("no bytes but {other:?}, after {} bytes", bytes.len()),
            }
        }
        assert_eq!(bytes.len(), length, "more bytes than expected");
        bytes
    }

    /// Asserts that the page is told this reason, and then the ordinary end.
    async fn over(&mut self, reason: &str) {
        assert_eq!(self.control().await, json!({"type": "closed", "reason": reason}));
        assert_eq!(self.code().await, 1000);
    }

    /// The close code, which comes next.
    async fn code(&mut self) -> u16 {
        match self.next().await {
            Message::Close(Some(frame)) => {
                assert_eq!(frame.reason.is_empty(), u16::from(frame.code) == 1000, "{frame}");
                frame.code.into()
            }
            other => panic!("no close frame: {other:?}"),
        }
    }

    /// Asserts that nothing is on its way to the page: what is sent after a ping comes after its pong.
    async fn nothing_comes(&mut self, server: &Server) {
        server.settle().await;
        self.socket.send(Message::Ping("quiet".into())).await.unwrap();
        assert_eq!(self.next().await, Message::Pong("quiet".into()));
    }
}

/// A TCP listener and its address.
async fn peer() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A TCP server that sends back what it receives.
async fn echo() -> SocketAddr {
    let (listener, address) = peer().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await.ok();
            });
        }
    });
    address
}

/// `length` bytes in which no stretch repeats soon.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| ((i * 31) ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

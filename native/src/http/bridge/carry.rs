//! Carries bytes between a page and a TCP connection, until both directions are done.

use std::io;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::Message;
use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::control::{FromPage, ToPage};
use super::credit::{Credit, TooMuch};
use super::end::End;
use super::socket::{Event, PageSocket};

/// The ordinary reason for an end.
const CLOSED: &str = "the server closed the connection";

/// One bridge between `opened` and `closed`.
///
/// Each side is read only when the other has taken what was read before: a page's message is held until TCP has taken
/// all of it, and TCP is read only against credit and when the last message is with the kernel. No buffer exists
/// while nothing moves.
struct Carrier {
    tcp: TcpStream,
    credit: Credit,
    /// The rest of the page's last message.
    to_tcp: Bytes,
    page_done: bool,
    peer_done: bool,
    /// Why TCP takes nothing any more. What the peer sent before can still be read, and is, since it often says why.
    write_error: Option<io::Error>,
}

/// Carries bytes both ways. `Ok` is the reason why the TCP connection is over.
pub(super) async fn carry(page: &mut PageSocket, tcp: TcpStream, ping: Duration) -> Result<String, End> {
    Carrier { tcp, credit: Credit::new(), to_tcp: Bytes::new(), page_done: false, peer_done: false, write_error: None }
        .run(page, ping)
        .await
}

impl Carrier {
    async fn run(mut self, page: &mut PageSocket, ping: Duration) -> Result<String, End> {
        let mut ping = interval_at(Instant::now() + ping, ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let may_read = !self.peer_done && !page.is_sending() && self.credit.next_read() > 0;
            // The page has the peer's eof before it hears that all is over.
            let may_end = self.peer_done && !page.is_sending();
            if may_end && (self.page_done || self.write_error.is_some()) {
                return Ok(self.write_error.map_or(CLOSED.to_owned(), |error| reason(&error)));
            }
            tokio::select! {
                event = page.event(self.to_tcp.is_empty()) => match event? {
                    Event::Sent => {}
                    Event::Binary(bytes) => self.take_bytes(bytes)?,
                    Event::Text(text) => self.take_control(FromPage::parse(&text)?).await?,
                },
                ready = self.tcp.writable(), if !self.to_tcp.is_empty() => {
                    self.write(ready);
                }
                ready = self.tcp.readable(), if may_read => {
                    match ready.and_then(|()| self.read()) {
                        Ok(Some(message)) => page.post(message),
                        Ok(None) => match self.write_error.take() {
                            Some(error) => return Ok(reason(&error)),
                            None => {
                                self.peer_done = true;
                                page.post(ToPage::Eof {}.message()?);
                            }
                        },
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Ok(reason(&error)),
                    }
                }
                // After the peer's eof nothing is read that could fail, and the connection can still be reset.
                ready = self.tcp.ready(Interest::ERROR), if may_end => {
                    let error = match ready {
                        Ok(_) => self.tcp.take_error().unwrap_or_else(Some),
                        Err(error) => Some(error),
                    };
                    return Ok(error.map_or(CLOSED.to_owned(), |error| reason(&error)));
                }
                _ = ping.tick(), if !page.is_sending() => page.post(Message::Ping(Bytes::new())),
            }
        }
    }

    fn take_bytes(&mut self, bytes: Bytes) -> Result<(), End> {
        if self.page_done {
            return Err(End::AFTER_EOF);
        }
        if self.write_error.is_none() {
            self.to_tcp = bytes;
        }
        Ok(())
    }

    async fn take_control(&mut self, message: FromPage) -> Result<(), End> {
        match message {
            FromPage::Credit { bytes } => self.credit.grant(bytes).map_err(|TooMuch| End::TOO_MUCH_CREDIT),
            FromPage::Eof {} if self.page_done => Err(End::AFTER_EOF),
            FromPage::Eof {} => {
                self.page_done = true;
                // It fails only where the connection is over, and that is noticed in reading.
                let _ = self.tcp.shutdown().await;
                Ok(())
            }
            FromPage::Token { .. } | FromPage::Connect { .. } => Err(End::OUT_OF_PLACE),
        }
    }

    /// Writes what TCP takes at once.
    fn write(&mut self, ready: io::Result<()>) {
        match ready.and_then(|()| self.tcp.try_write(&self.to_tcp)) {
            Ok(written) => self.to_tcp.advance(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                self.write_error = Some(error);
                self.to_tcp.clear();
            }
        }
    }

    /// Makes one read one message; `None` is the end of the stream.
    fn read(&mut self) -> io::Result<Option<Message>> {
        let size = self.credit.next_read();
        let mut buffer = BytesMut::with_capacity(size).limit(size);
        let read = self.tcp.try_read_buf(&mut buffer)?;
        self.credit.spend(read);
        Ok((read > 0).then(|| Message::Binary(buffer.into_inner().freeze())))
    }
}

/// Why a TCP connection is over, in words.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        // The system's word for a reset after the peer's end of stream: the peer did not half-close, it closed.
        io::ErrorKind::BrokenPipe => CLOSED.to_owned(),
        _ => error.to_string(),
    }
}

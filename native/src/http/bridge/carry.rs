//! Relays bytes between a page and a TCP connection until both directions are closed.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::Message;
use bytes::{BufMut as _, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::control::{FromPage, ToPage};
use super::credit::{Credit, TooMuch};
use super::end::End;
use super::milliseconds;
use super::plan::{Plan, Step, Until};
use super::socket::{Event, PageSocket};

/// The ordinary reason for an end.
const CLOSED: &str = "the server closed the connection";
/// The reason for an end that the page asked for.
const RESET: &str = "reset by the page";

/// Timeout for writing a page's remaining bytes after it has disconnected.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// The most queued messages to a page. While there are more, nothing is written to TCP.
const MAX_QUEUED: usize = 256;

/// One bridge between `opened` and `closed`.
///
/// TCP is read only with credit, and only once the last message was passed to the kernel. The page's bytes are queued
/// until TCP accepts them, up to a bound at which the page is no longer read. A page with reports knows how much is
/// queued and stays below the bound, so that its credit is always read. Otherwise credit queued behind requests could
/// deadlock with a server that reads no requests until its answers are read. An idle bridge has no buffers.
struct Carrier {
    tcp: TcpStream,
    opened: Instant,
    credit: Credit,
    /// Whether TCP has bytes without credit for them.
    unread: bool,
    plan: Plan,
    /// Whether the page gets reports of reads and writes.
    report: bool,
    /// Messages to the page in order: the report of a write before everything read later, and the report of a read
    /// right before its bytes.
    outgoing: VecDeque<Message>,
    page_done: bool,
    peer_done: bool,
    /// The error of a failed write. Bytes that the peer sent before are still read, since they often explain it.
    write_error: Option<io::Error>,
}

/// Relays bytes in both directions over a connection that was opened at `opened`. Returns the reason of its end.
pub(super) async fn carry(
    page: &mut PageSocket,
    tcp: TcpStream,
    opened: Instant,
    report: bool,
    ping: Duration,
) -> Result<String, End> {
    let carrier = Carrier {
        tcp,
        opened,
        credit: Credit::new(),
        unread: false,
        plan: Plan::default(),
        report,
        outgoing: VecDeque::new(),
        page_done: false,
        peer_done: false,
        write_error: None,
    };
    carrier.run(page, ping).await
}

impl Carrier {
    async fn run(mut self, page: &mut PageSocket, ping: Duration) -> Result<String, End> {
        let mut ping = interval_at(Instant::now() + ping, ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.plan.take_finish() {
                self.finish().await?;
            }
            if !page.is_sending()
                && let Some(message) = self.outgoing.pop_front()
            {
                page.post(message);
            }
            if self.plan.wants_reset() && self.outgoing.is_empty() {
                // If this fails, the connection is closed without a reset.
                let _ = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
                return Ok(RESET.to_owned());
            }
            let may_go_on = self.outgoing.len() < MAX_QUEUED;
            let may_write = may_go_on && self.plan.to_write().is_some();
            let idle = !page.is_sending() && self.outgoing.is_empty();
            // Without credit, one read detects whether there are bytes or the end of the stream.
            let may_read = !self.peer_done && idle && !self.unread;
            // The page must receive the peer's end of stream before the end of the connection.
            let may_end = self.peer_done && idle;
            let wait = self.plan.wait();
            if may_end && (self.page_done || self.write_error.is_some()) {
                return Ok(self.write_error.map_or(CLOSED.to_owned(), |error| reason(&error)));
            }
            tokio::select! {
                event = page.event(self.plan.has_room()) => match event {
                    Ok(Event::Sent) => {}
                    Ok(Event::Binary(bytes)) => self.plan.push(Step::Write(bytes))?,
                    Ok(Event::Text(text)) => self.take_control(FromPage::parse(&text)?)?,
                    Err(end) => {
                        self.drain().await?;
                        return Err(end);
                    }
                },
                ready = self.tcp.writable(), if may_write => {
                    self.write(ready)?;
                }
                () = until(wait), if may_go_on => {
                    self.plan.waited();
                    self.report(&ToPage::Waited { at: self.age() })?;
                }
                ready = self.tcp.readable(), if may_read => {
                    match ready.and_then(|()| self.read()) {
                        Ok(Read::Bytes(bytes)) => self.received(Message::Binary(bytes))?,
                        Ok(Read::Unread) => self.unread = true,
                        Ok(Read::End) => match self.write_error.take() {
                            Some(error) => return Ok(reason(&error)),
                            None => {
                                self.peer_done = true;
                                self.received(ToPage::Eof {}.message()?)?;
                            }
                        },
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Ok(reason(&error)),
                    }
                }
                // After the peer's end of stream there are no reads to fail, but the connection can still be reset.
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

    fn take_control(&mut self, message: FromPage) -> Result<(), End> {
        match message {
            FromPage::Credit { bytes } => {
                self.credit.grant(bytes).map_err(|TooMuch| End::TOO_MUCH_CREDIT)?;
                self.unread &= self.credit.next_read() == 0;
                Ok(())
            }
            FromPage::Wait { ms } => self.plan.push(Step::Wait(Until::After(Duration::from_millis(ms)))),
            FromPage::Eof {} => self.plan.push(Step::Finish),
            FromPage::Reset {} => self.plan.push(Step::Reset),
            FromPage::Token { .. } | FromPage::Connect { .. } | FromPage::Watch {} => Err(End::OUT_OF_PLACE),
        }
    }

    /// Shuts down the sending half.
    async fn finish(&mut self) -> Result<(), End> {
        self.page_done = true;
        // It fails only if the connection has failed, which reading detects.
        let _ = self.tcp.shutdown().await;
        self.report(&ToPage::Ended { at: self.age() })
    }

    /// Writes once, as much as TCP accepts.
    fn write(&mut self, ready: io::Result<()>) -> Result<(), End> {
        let Some(bytes) = self.plan.to_write() else { return Ok(()) };
        match ready.and_then(|()| self.tcp.try_write(bytes)) {
            Ok(written) => {
                self.plan.wrote(written);
                self.report(&ToPage::Wrote { bytes: written, at: self.age() })?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                self.write_error = Some(error);
                self.plan.stop_writing();
            }
        }
        Ok(())
    }

    /// Writes the queued bytes up to the next wait, after the page has disconnected.
    async fn drain(&mut self) -> Result<(), End> {
        let write = async {
            while self.plan.to_write().is_some() {
                let ready = self.tcp.writable().await;
                self.write(ready)?;
            }
            Ok(())
        };
        timeout(DRAIN_TIMEOUT, write).await.unwrap_or(Ok(()))
    }

    /// Queues a message with bytes read now, after the report of the read.
    fn received(&mut self, message: Message) -> Result<(), End> {
        self.report(&ToPage::Read { at: self.age() })?;
        self.outgoing.push_back(message);
        Ok(())
    }

    /// Queues a report, if the page wants reports.
    fn report(&mut self, report: &ToPage<'_>) -> Result<(), End> {
        if self.report {
            self.outgoing.push_back(report.message()?);
        }
        Ok(())
    }

    /// Returns the milliseconds since the connection was opened.
    fn age(&self) -> f64 {
        milliseconds(self.opened.elapsed())
    }

    /// Reads once, as much as the credit allows.
    fn read(&mut self) -> io::Result<Read> {
        let size = self.credit.next_read();
        if size == 0 {
            let peek = || SockRef::from(&self.tcp).peek(&mut [MaybeUninit::uninit()]);
            let seen = self.tcp.try_io(Interest::READABLE, peek)?;
            return Ok(if seen > 0 { Read::Unread } else { Read::End });
        }
        let mut buffer = BytesMut::with_capacity(size).limit(size);
        let read = self.tcp.try_read_buf(&mut buffer)?;
        self.credit.spend(read);
        Ok(if read > 0 { Read::Bytes(buffer.into_inner().freeze()) } else { Read::End })
    }
}

/// The result of a read from TCP.
enum Read {
    Bytes(Bytes),
    /// Bytes for which there is no credit.
    Unread,
    /// The end of the stream.
    End,
}

async fn until(end: Option<Instant>) {
    match end {
        // Boxed, because few bridges ever wait.
        Some(end) => Box::pin(sleep_until(end)).await,
        None => std::future::pending().await,
    }
}

/// Describes the error that ended a TCP connection.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        // The error for a reset after the peer's end of stream: the peer closed instead of half-closing.
        io::ErrorKind::BrokenPipe => CLOSED.to_owned(),
        _ => error.to_string(),
    }
}

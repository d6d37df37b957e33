//! Carries bytes between a page and a TCP connection, until both directions are done.

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

/// The time for TCP to take what a page sent before it left.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// The most reports that may wait for a page that does not take them. Nothing more is written until it does.
const MOST_REPORTS: usize = 256;

/// One bridge between `opened` and `closed`.
///
/// TCP is read only against credit and when the last message is with the kernel. What the page sends is kept until TCP
/// has taken it, up to a bound at which the page is not read any more; one that asks for reports knows how much is
/// kept and stays below it, so that its credit is always heard. (A server that waits until its answers are read takes
/// no requests meanwhile: credit that stood behind requests would come never.) No buffer exists while nothing moves.
struct Carrier {
    tcp: TcpStream,
    opened: Instant,
    credit: Credit,
    /// TCP has bytes for which there was no credit.
    unread: bool,
    plan: Plan,
    /// Whether the page is told what was read and written when, and what it was not told yet, in order. It hears of a
    /// write before it hears anything that came after, and when something was read just before what that was.
    report: bool,
    untold: VecDeque<Message>,
    page_done: bool,
    peer_done: bool,
    /// The error after which TCP takes nothing any more. Bytes that the peer sent before are still read, since they
    /// often say why.
    write_error: Option<io::Error>,
}

/// Carries bytes both ways over a connection that was `opened` then. `Ok` is the reason why it is over.
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
        untold: VecDeque::new(),
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
                && let Some(message) = self.untold.pop_front()
            {
                page.post(message);
            }
            if self.plan.wants_reset() && self.untold.is_empty() {
                // If it fails, closing alone must do.
                let _ = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
                return Ok(RESET.to_owned());
            }
            let may_go_on = self.untold.len() < MOST_REPORTS;
            let may_write = may_go_on && self.plan.to_write().is_some();
            let quiet = !page.is_sending() && self.untold.is_empty();
            // Without credit it is found out once whether bytes wait, or the end of the stream.
            let may_read = !self.peer_done && quiet && !self.unread;
            // The page has the peer's eof before it hears that all is over.
            let may_end = self.peer_done && quiet;
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
                        self.write_last().await?;
                        return Err(end);
                    }
                },
                ready = self.tcp.writable(), if may_write => {
                    self.write(ready)?;
                }
                () = until(wait), if may_go_on => {
                    self.plan.waited();
                    self.tell(&ToPage::Waited { at: self.age() })?;
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
        // It fails only where the connection is over, and that is noticed in reading.
        let _ = self.tcp.shutdown().await;
        self.tell(&ToPage::Ended { at: self.age() })
    }

    /// Writes what TCP takes at once.
    fn write(&mut self, ready: io::Result<()>) -> Result<(), End> {
        let Some(bytes) = self.plan.to_write() else { return Ok(()) };
        match ready.and_then(|()| self.tcp.try_write(bytes)) {
            Ok(written) => {
                self.plan.wrote(written);
                self.tell(&ToPage::Wrote { bytes: written, at: self.age() })?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                self.write_error = Some(error);
                self.plan.stop_writing();
            }
        }
        Ok(())
    }

    /// Writes what the page sent before it left, as far as it was to be written at once and TCP takes it in time.
    async fn write_last(&mut self) -> Result<(), End> {
        let write = async {
            while self.plan.to_write().is_some() {
                let ready = self.tcp.writable().await;
                self.write(ready)?;
            }
            Ok(())
        };
        timeout(LAST_WRITES, write).await.unwrap_or(Ok(()))
    }

    /// Tells what was read just now, after when that was.
    fn received(&mut self, message: Message) -> Result<(), End> {
        self.tell(&ToPage::Read { at: self.age() })?;
        self.untold.push_back(message);
        Ok(())
    }

    fn tell(&mut self, report: &ToPage<'_>) -> Result<(), End> {
        if self.report {
            self.untold.push_back(report.message()?);
        }
        Ok(())
    }

    /// Milliseconds since the connection was opened.
    fn age(&self) -> f64 {
        milliseconds(self.opened.elapsed())
    }

    /// Makes one read one message.
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
        // Boxed, because hardly any bridge ever waits.
        Some(end) => Box::pin(sleep_until(end)).await,
        None => std::future::pending().await,
    }
}

/// Says in words why a TCP connection is over.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        // The system's word for a reset after the peer's end of stream: the peer did not half-close, it closed.
        io::ErrorKind::BrokenPipe => CLOSED.to_owned(),
        _ => error.to_string(),
    }
}

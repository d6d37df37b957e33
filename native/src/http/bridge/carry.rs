//! Relays bytes between a page and a TCP connection, which may be encrypted, until both directions are closed.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::Message;
use tokio::io::Interest;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::control::{FromPage, ToPage};
use super::credit::{Credit, TooMuch};
use super::end::End;
use super::milliseconds;
use super::plan::{Plan, Step, Until};
use super::socket::{Event, PageSocket};
use crate::shared_stream::SharedStream;
use crate::socket::reset_on_close;

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
    stream: SharedStream,
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
    /// Whether the sending half is being shut down.
    is_finishing: bool,
    page_done: bool,
    peer_done: bool,
    /// The error of a failed write. Bytes that the peer sent before are still read, since they often explain it.
    write_error: Option<io::Error>,
}

/// Relays bytes in both directions over a connection that was opened at `opened`. Returns the reason of its end.
pub(super) async fn carry(
    page: &mut PageSocket,
    stream: SharedStream,
    opened: Instant,
    report: bool,
    ping: Duration,
) -> Result<String, End> {
    let carrier = Carrier {
        stream,
        opened,
        credit: Credit::new(),
        unread: false,
        plan: Plan::default(),
        report,
        outgoing: VecDeque::new(),
        is_finishing: false,
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
            self.is_finishing |= self.plan.take_finish();
            if !page.is_sending()
                && let Some(message) = self.outgoing.pop_front()
            {
                page.post(message);
            }
            if self.plan.wants_reset() && self.outgoing.is_empty() {
                reset_on_close(self.stream.tcp());
                return Ok(RESET.to_owned());
            }
            let may_go_on = self.outgoing.len() < MAX_QUEUED;
            let may_write = may_go_on && self.plan.to_write().is_some();
            let wait = self.plan.wait();
            let idle = !page.is_sending() && self.outgoing.is_empty();
            let may_read = !self.peer_done && idle && !self.unread;
            let most = self.credit.next_read();
            // The page must receive the peer's end of stream before the end of the connection.
            let may_end = self.peer_done && idle;
            if may_end && (self.page_done || self.write_error.is_some()) {
                return Ok(self.write_error.map_or(CLOSED.to_owned(), |error| reason(&error)));
            }
            let to_write: &[u8] = self.plan.to_write().map_or(&[], |bytes| bytes.as_ref());
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
                written = self.stream.write(to_write), if may_write => {
                    self.wrote(written)?;
                }
                // It fails only if the connection has failed, which reading detects.
                _ = self.stream.finish(), if self.is_finishing => {
                    self.is_finishing = false;
                    self.page_done = true;
                    self.report(&ToPage::Ended { at: self.age() })?;
                }
                () = until(wait), if may_go_on => {
                    self.plan.waited();
                    self.report(&ToPage::Waited { at: self.age() })?;
                }
                read = self.stream.read(most), if may_read && most > 0 => match read {
                    Ok(bytes) if !bytes.is_empty() => {
                        self.credit.spend(bytes.len());
                        self.received(Message::Binary(bytes))?;
                    }
                    Ok(_) => if let Some(ended) = self.peer_ended()? {
                        return Ok(ended);
                    },
                    Err(error) => return Ok(reason(&error)),
                },
                // Without credit, only whether there are bytes or the end of the stream is of interest.
                seen = self.stream.peek(), if may_read && most == 0 => match seen {
                    Ok(true) => self.unread = true,
                    Ok(false) => if let Some(ended) = self.peer_ended()? {
                        return Ok(ended);
                    },
                    Err(error) => return Ok(reason(&error)),
                },
                // After the peer's end of stream there are no reads to fail, but the connection can still be reset.
                ready = self.stream.tcp().ready(Interest::ERROR), if may_end => {
                    let error = match ready {
                        Ok(_) => self.stream.tcp().take_error().unwrap_or_else(Some),
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

    /// Handles the server's end of stream. Returns the reason for the connection's end, if it has ended.
    fn peer_ended(&mut self) -> Result<Option<String>, End> {
        if let Some(error) = self.write_error.take() {
            return Ok(Some(reason(&error)));
        }
        self.peer_done = true;
        self.received(ToPage::Eof {}.message()?)?;
        Ok(None)
    }

    /// Handles the result of a write.
    fn wrote(&mut self, written: io::Result<usize>) -> Result<(), End> {
        match written {
            Ok(written) => {
                self.plan.wrote(written);
                self.report(&ToPage::Wrote { bytes: written, at: self.age() })
            }
            Err(error) => {
                self.write_error = Some(error);
                self.plan.stop_writing();
                Ok(())
            }
        }
    }

    /// Writes the queued bytes up to the next wait, after the page has disconnected.
    async fn drain(&mut self) -> Result<(), End> {
        let write = async {
            while let Some(bytes) = self.plan.to_write() {
                let written = self.stream.write(bytes).await;
                self.wrote(written)?;
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

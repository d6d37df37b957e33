//! What passes through a tap, for a page that watches.
//!
//! Many records go in one message: a page takes hundreds of thousands of them a second, and few thousands of messages.
//! The page grants credit as it takes them, since nothing else tells how far it is; what it does not take waits in the
//! watcher's own queue, where whole frames are left out in the end.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::Message;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::control::{FromPage, ToPage};
use super::credit::{Credit, TooMuch};
use super::end::End;
use super::socket::{Event, PageSocket};
use crate::traffic::{EarlierTraffic, Watchers};

/// The most bytes that may wait for one page.
const QUEUE: usize = 8 << 20;
/// So much is worth a message of its own.
const BATCH: usize = 64 << 10;
/// The time for which the first record of a message waits for others.
const FLUSH: Duration = Duration::from_millis(16);

/// Sends what passes until the page has seen enough.
pub(super) async fn watch(page: &mut PageSocket, watchers: &Watchers, ping: Duration) -> Result<(), End> {
    let watcher = watchers.watch(QUEUE);
    let EarlierTraffic { connections, frames, bytes } = watcher.earlier;
    page.post(ToPage::Watching { connections, frames, bytes }.message()?);
    let mut ping = interval_at(Instant::now() + ping, ping);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut credit = Credit::new();
    // When what waits is sent at the latest.
    let mut due = None;
    loop {
        let may_send = due.is_some() && !page.is_sending() && !credit.is_spent();
        if may_send && (watcher.waiting() >= BATCH || due.is_some_and(|due| due <= Instant::now())) {
            let mut message = Vec::new();
            for record in watcher.take(BATCH) {
                record.write(&mut message);
            }
            due = None;
            if !message.is_empty() {
                credit.overdraw(message.len());
                page.post(Message::Binary(message.into()));
            }
        }
        tokio::select! {
            event = page.event(true) => match event? {
                Event::Sent => {}
                Event::Text(text) => match FromPage::parse(&text)? {
                    FromPage::Credit { bytes } => credit.grant(bytes).map_err(|TooMuch| End::TOO_MUCH_CREDIT)?,
                    _ => return Err(End::WATCHING),
                },
                Event::Binary(_) => return Err(End::WATCHING),
            },
            // Also while a message is due already: it may be full now.
            () = watcher.wait() => {
                due.get_or_insert_with(|| Instant::now() + FLUSH);
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if may_send => {}
            _ = ping.tick(), if !page.is_sending() => page.post(Message::Ping(Bytes::new())),
        }
    }
}

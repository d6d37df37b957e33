//! A tap's traffic, sent to a watching page.
//!
//! Records are batched, since a page can process hundreds of thousands of records a second but only a few thousand
//! messages. The page grants credit as it processes them. Without credit, records stay in the watcher's queue, which
//! drops whole frames when it is full.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::Message;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::control::{FromPage, ToPage};
use super::credit::{Credit, TooMuch};
use super::end::End;
use super::socket::{Event, PageSocket};
use crate::traffic::{EarlierTraffic, Watchers};

/// The watcher's queue limit in bytes.
const QUEUE: usize = 8 << 20;
/// The size in bytes at which a message is sent at once.
const BATCH: usize = 64 << 10;
/// The longest time that a record waits for others.
const FLUSH: Duration = Duration::from_millis(16);

/// Sends the tap's traffic until the page closes the WebSocket.
pub(super) async fn watch(page: &mut PageSocket, watchers: &Watchers, ping: Duration) -> Result<(), End> {
    let watcher = watchers.watch(QUEUE);
    let EarlierTraffic { connections, frames, bytes } = watcher.earlier;
    page.post(ToPage::Watching { connections, frames, bytes }.message()?);
    let mut ping = interval_at(Instant::now() + ping, ping);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut credit = Credit::new();
    // The time at which queued records are sent at the latest.
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
            // Awaited even with a due time: the batch may be full now.
            () = watcher.wait() => {
                due.get_or_insert_with(|| Instant::now() + FLUSH);
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if may_send => {}
            _ = ping.tick(), if !page.is_sending() => page.post(Message::Ping(Bytes::new())),
        }
    }
}

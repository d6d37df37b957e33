use std::{
    io,
    pin::Pin,
    sync::Weak,
    task::{Context, Poll},
};

use chanwire_core::{
    endpoint::Pushes,
    wire::{StoredMessage, Timestamp},
};
use tokio::{io::ReadBuf, sync::mpsc};

use super::*;

/// How many pushes come between two reads, and how many bytes each has.
const PUSHES: usize = 50;
const CONTENT: usize = 10_000;

/// After how many reads it ends.
const READS: usize = 100;

/// A reader that never stops sending, and for whom something is pushed whenever it is read.
struct Flood {
    hub: mpsc::UnboundedReceiver<Input>,
    mailbox: Option<Arc<Mailbox>>,
    /// Everything that was pushed, as long as the connection holds it.
    pushed: Vec<Weak<Pushes>>,
    /// The most that it held, in pushes.
    most: usize,
    reads: usize,
    /// Whether it takes what it is sent.
    takes: bool,
    taken: usize,
}

impl Flood {
    fn push(&mut self) {
        while let Ok(input) = self.hub.try_recv() {
            if let Input::Connect { mailbox, .. } = input {
                self.mailbox = Some(mailbox);
            }
        }
        let mailbox = self.mailbox.as_ref().unwrap();
        for _ in 0..PUSHES {
            let message = StoredMessage {
                channel_name: "general".into(),
                id: 1,
                username: "u".into(),
                message_content: "x".repeat(CONTENT),
                timestamp: Timestamp::from_unix(0),
            };
            let pushes = Pushes::new(&[message]);
            self.pushed.push(Arc::downgrade(&pushes));
            if mailbox.put(Mail::Push(pushes)) {
                mailbox.wake();
            }
        }
        self.pushed.retain(|pushes| pushes.strong_count() > 0);
        self.most = self.most.max(self.pushed.len());
    }
}

impl AsyncRead for Flood {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.reads += 1;
        // It goes on for as long as it is heard, but not for ever.
        if self.reads < READS {
            self.push();
            buffer.put_slice(b"    ");
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.takes {
            return Poll::Pending;
        }
        self.taken += bytes.len();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Serves such a reader to its end.
async fn serve_flood(takes: bool) -> Flood {
    let (tell_hub, hub) = mpsc::unbounded_channel();
    let mut flood = Flood { hub, mailbox: None, pushed: Vec::new(), most: 0, reads: 0, takes, taken: 0 };
    let accepted = Accepted { id: ConnectionId(0), peer: None, listener: None };
    let mut limits = Limits::server();
    limits.write_timeout = std::time::Duration::from_millis(100);
    serve(&mut flood, accepted, &limits, &tell_hub, &PublishedList::default(), Clock::start()).await;
    flood
}

#[tokio::test]
async fn a_reader_that_never_stops_sending_holds_no_more_than_its_bound() {
    let flood = serve_flood(false).await;
    // What may be unread, what comes between two reads, and the last one that was told.
    let bound = Limits::server().max_pushed / CONTENT + PUSHES + 1;
    assert!(flood.most <= bound, "{} pushes of {CONTENT} bytes", flood.most);
}

#[tokio::test]
async fn a_reader_that_never_stops_sending_is_still_sent_everything() {
    let flood = serve_flood(true).await;
    assert!(flood.most <= PUSHES + 1, "{} pushes of {CONTENT} bytes", flood.most);
    assert!(flood.reads >= READS && flood.taken > (READS - 2) * PUSHES * CONTENT, "{} {}", flood.reads, flood.taken);
}

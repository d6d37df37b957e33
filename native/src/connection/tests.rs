use std::{
    io,
    pin::Pin,
    sync::Weak,
    task::{Context, Poll},
};

use chanwire_core::{
    endpoint::Pushes,
    hub::{Hub, HubLimits, Moment, Query, ReadId, Snapshot, StoreCommand, StoreOutcome},
    wire::{StoredMessage, Timestamp},
};
use tokio::{
    io::ReadBuf,
    sync::{Semaphore, mpsc},
};

use super::*;
use crate::{
    accounts::Verifier,
    hub_task,
    store::{Done, Retention, Storage},
};

/// The default number of pushes between two reads, and the bytes of each.
const PUSHES: usize = 50;
const CONTENT: usize = 10_000;

/// The number of reads after which the input ends.
const READS: usize = 100;

/// A peer that keeps sending, and to which messages are pushed after each read from it.
struct Flood {
    hub: mpsc::UnboundedReceiver<Input>,
    mailbox: Option<Arc<Mailbox>>,
    /// All pushes that the connection still holds.
    pushed: Vec<Weak<Pushes>>,
    /// The most pushes held at once.
    most: usize,
    reads: usize,
    /// The number of pushes between two reads.
    burst: usize,
    /// Whether it accepts writes.
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
        for _ in 0..self.burst {
            let message = StoredMessage::new(
                "general".parse().unwrap(),
                1,
                "u".parse().unwrap(),
                "x".repeat(CONTENT),
                Timestamp::from_unix(0),
            );
            let pushes = Pushes::new(&[message]);
            self.pushed.push(Arc::downgrade(&pushes));
            if mailbox.put(ServerCommand::Push(pushes)) {
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
        // The input ends after a fixed number of reads, so that the test ends.
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

/// Serves such a peer until its input ends.
async fn serve_flood(takes: bool) -> Flood {
    serve_some(takes, PUSHES, READS).await
}

/// Like [`serve_flood`], with these numbers of pushes between two reads and of reads.
async fn serve_some(takes: bool, burst: usize, reads: usize) -> Flood {
    let (tell_hub, hub) = mpsc::unbounded_channel();
    let flood = Flood { hub, mailbox: None, pushed: Vec::new(), most: 0, reads: READS - reads, burst, takes, taken: 0 };
    let accepted =
        Accepted { id: ConnectionId(0), peer: None, kind: Kind::Operator, listener: None, has_address_rights: false };
    let mut limits = Limits::server();
    limits.write_timeout = std::time::Duration::from_millis(100);
    let (limits, place) = (Arc::new(limits), Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap());
    let mut served = None;
    let at_end = |flood, _| served = Some(flood);
    serve(flood, accepted, place.into(), None, &|| limits.clone(), link(tell_hub, Clock::start()), at_end).await;
    served.unwrap()
}

fn link(hub: HubSender, clock: Clock) -> Arc<HubLink> {
    Arc::new(HubLink { hub, published: PublishedList::default(), counts: Arc::default(), clock })
}

#[tokio::test]
async fn a_reader_that_never_stops_sending_holds_no_more_than_its_bound() {
    let flood = serve_flood(false).await;
    // The limit on unread pushes, the pushes between two reads, and the last one.
    let bound = Limits::server().max_pushed / CONTENT + PUSHES + 1;
    assert!(flood.most <= bound, "{} pushes of {CONTENT} bytes", flood.most);
}

#[tokio::test]
async fn a_reader_that_never_stops_sending_is_still_sent_everything() {
    let flood = serve_flood(true).await;
    assert!(flood.most <= PUSHES + 1, "{} pushes of {CONTENT} bytes", flood.most);
    assert!(flood.reads >= READS && flood.taken > (READS - 2) * PUSHES * CONTENT, "{} {}", flood.reads, flood.taken);
}

#[tokio::test]
async fn pushes_that_came_before_its_task_had_its_turn_make_no_reader_slow() {
    // Three times the limit on unread pushes waits in the mailbox when the task first runs.
    let burst = 3 * Limits::server().max_pushed / CONTENT;
    let flood = serve_some(true, burst, 3).await;
    assert!(flood.taken > 2 * burst * CONTENT, "{} bytes of {}", flood.taken, 2 * burst * CONTENT);
}

/// A peer that sends these bytes and then resets the connection.
struct Broken(&'static [u8]);

impl AsyncRead for Broken {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        buffer.put_slice(mem::take(&mut self.0));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Broken {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A store that completes a command when the test allows it.
struct Slow(mpsc::UnboundedSender<StoreCommand>);

impl Storage for Slow {
    fn store(&mut self, command: StoreCommand) {
        self.0.send(command).unwrap();
    }

    fn read(&mut self, _: ReadId, _: Query) {}

    fn retain(&mut self, _: Retention) {}
}

#[tokio::test]
async fn a_peer_that_breaks_its_connection_keeps_its_place_until_its_requests_are_carried_out() {
    const ROOM: u32 = 3;
    const HOST: &[u8] =
        b"HOST\r\n{\"channel_name\": \"x\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": 1}";
    let places = Arc::new(Semaphore::new(ROOM as usize));
    let (tell_hub, inputs) = mpsc::unbounded_channel();
    let (done, all_done) = mpsc::unbounded_channel();
    let (asked, mut commands) = mpsc::unbounded_channel();
    let clock = Clock::start();
    let hub = tokio::spawn(async move {
        let hub =
            Hub::new(HubLimits::default(), Snapshot::default(), Moment { time: clock.now(), ..Moment::default() });
        hub_task::run(
            hub,
            inputs,
            all_done,
            &mut Slow(asked),
            &PublishedList::default(),
            &mut Verifier::new(Arc::default(), drop),
            clock,
        )
        .await;
    });
    for id in 0..=ROOM.into() {
        // The last one asks for nothing. Its place is free when the hub has heard of it, and so of those before it.
        let (request, place) = match places.clone().try_acquire_owned() {
            Ok(place) => (HOST, place),
            Err(_) => (&b""[..], Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap()),
        };
        let last = place.semaphore().clone();
        let accepted = Accepted {
            id: ConnectionId(id),
            peer: None,
            kind: Kind::Operator,
            listener: None,
            has_address_rights: false,
        };
        let at_end = |_, ending| assert!(matches!(ending, Ending::Failed(_)), "{ending:?}");
        let limits = &|| Limits::server().into();
        serve(Broken(request), accepted, place.into(), None, limits, link(tell_hub.clone(), clock), at_end).await;
        if request.is_empty() {
            drop(last.acquire().await.unwrap());
        }
    }
    let Some(StoreCommand::Commit(writes)) = commands.recv().await else { panic!("a commit") };
    assert_eq!((writes.len(), places.available_permits()), (1, 0));
    done.send(Done::Outcome(StoreOutcome::Committed)).unwrap();
    drop(places.acquire_many(ROOM).await.unwrap());
    tell_hub.send(Input::Stop).unwrap();
    hub.await.unwrap();
}

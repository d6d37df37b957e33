use std::time::{Duration, Instant};

use chanwire_core::{
    Limits,
    endpoint::{ConnectionId, Server, ServerEvent},
};

use super::*;

const SHORT: Duration = Duration::from_millis(20);

/// The time after which the peer gives up.
const LONG: Duration = Duration::from_secs(20);

/// A peer that sends without end, and reads everything or nothing.
struct Torrent {
    /// The first bytes that it sends.
    first: &'static [u8],
    /// The bytes that it then sends over and over.
    then: &'static [u8],
    since: Instant,
    takes: bool,
    taken: Vec<u8>,
    ended: bool,
}

impl Torrent {
    fn new(first: &'static [u8], then: &'static [u8]) -> Self {
        Self { first, then, since: Instant::now(), takes: true, taken: Vec::new(), ended: false }
    }
}

impl AsyncRead for Torrent {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.since.elapsed() > LONG {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        let then = self.then;
        buffer.put_slice(std::mem::replace(&mut self.first, then));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Torrent {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.takes {
            return Poll::Pending;
        }
        self.taken.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Nobody;

impl Application<Server> for Nobody {
    fn on_event(&mut self, _: &mut Server, _: Clock, _: ServerEvent) {}
}

/// Runs a server's connection with short timeouts to such a peer, and returns its ending.
async fn end(peer: &mut Torrent) -> Ending {
    let mut limits = Limits::server();
    (limits.frame_timeout, limits.write_timeout, limits.linger) = (SHORT, SHORT, SHORT);
    let ending = drive(&mut Server::new(ConnectionId(0), limits), peer, &mut Nobody, Clock::start()).await;
    assert!(!peer.ended, "no deadline has ended it");
    ending
}

#[tokio::test]
async fn a_peer_that_goes_on_after_its_fault_is_closed_when_the_linger_is_over() {
    let mut peer = Torrent::new(b"!", b"and so on");
    assert!(matches!(end(&mut peer).await, Ending::Closed));
    assert!(peer.taken.starts_with(b"REQUEST_ERROR\r\n{\"error\": \"Malformed command\""));
}

#[tokio::test]
async fn a_peer_that_takes_nothing_and_goes_on_is_reset() {
    let mut peer = Torrent { takes: false, ..Torrent::new(b"!", b"and so on") };
    assert!(matches!(end(&mut peer).await, Ending::Reset));
}

#[tokio::test]
async fn a_frame_of_endless_spaces_has_its_deadline() {
    let mut peer = Torrent::new(b"HOST\r\n", b"        ");
    assert!(matches!(end(&mut peer).await, Ending::Closed));
    assert!(peer.taken.starts_with(b"REQUEST_ERROR\r\n{\"error\": \"Request timed out\""));
}

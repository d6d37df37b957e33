//! The accept loop of all listeners.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    time::sleep,
};

/// The first and the longest wait after a failed accept.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// A socket that accepts connections.
pub(crate) trait Accept {
    type Accepted;

    fn accept_one(&self) -> impl Future<Output = io::Result<Self::Accepted>> + Send;
}

impl Accept for TcpListener {
    type Accepted = (TcpStream, SocketAddr);

    async fn accept_one(&self) -> io::Result<Self::Accepted> {
        self.accept().await
    }
}

impl Accept for UnixListener {
    type Accepted = UnixStream;

    async fn accept_one(&self) -> io::Result<Self::Accepted> {
        Ok(self.accept().await?.0)
    }
}

/// The incoming connections of a listener.
pub(crate) struct Incoming<'l, L> {
    listener: &'l L,
    /// The listener's name in logs.
    name: &'static str,
    /// The wait after the next failed accept.
    wait: Duration,
}

impl<'l, L: Accept> Incoming<'l, L> {
    pub(crate) const fn new(listener: &'l L, name: &'static str) -> Self {
        Self { listener, name, wait: BACK_OFF.0 }
    }

    /// Accepts the next connection. A failed accept, for example without a free file descriptor, is logged and retried
    /// with backoff.
    pub(crate) async fn next(&mut self) -> L::Accepted {
        loop {
            match self.listener.accept_one().await {
                Ok(accepted) => {
                    self.wait = BACK_OFF.0;
                    return accepted;
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    let Self { name, wait, .. } = self;
                    tracing::warn!(%error, "cannot accept a connection to the {name}; trying again in {wait:?}");
                    sleep(*wait).await;
                    *wait = BACK_OFF.1.min(*wait * 2);
                }
            }
        }
    }
}

/// Returns whether an error belongs to a connection that closed before it was accepted, and not to the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::VecDeque};

    use tokio::time::Instant;

    use super::*;

    /// A listener with scripted results.
    struct Scripted(RefCell<VecDeque<io::Result<u32>>>);

    impl Accept for Scripted {
        type Accepted = u32;

        fn accept_one(&self) -> impl Future<Output = io::Result<u32>> + Send {
            std::future::ready(self.0.borrow_mut().pop_front().unwrap())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failed_accepts_are_retried_with_backoff() {
        let failed = || Err(io::Error::other("too many open files"));
        let mut script: VecDeque<_> = [Ok(1), Err(io::ErrorKind::ConnectionAborted.into()), Ok(2)].into();
        script.extend((0..10).map(|_| failed()));
        script.extend([Ok(3), failed(), Ok(4)]);
        let listener = Scripted(RefCell::new(script));
        let mut incoming = Incoming::new(&listener, "listener");
        let began = Instant::now();
        assert_eq!((incoming.next().await, incoming.next().await), (1, 2));
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(incoming.next().await, 3);
        // 5, 10, 20, … 640 ms, and then a second twice.
        assert_eq!(began.elapsed(), Duration::from_millis(5 * 255 + 2000));
        // A successful accept resets the backoff.
        assert_eq!(incoming.next().await, 4);
        assert_eq!(began.elapsed(), Duration::from_millis(5 * 255 + 2005));
    }
}

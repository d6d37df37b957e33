//! Supervision of a running server's parts: a part that ends unexpectedly is restarted, or ends the server.

use std::{fmt, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};

/// The first and the longest wait before a restart.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// A part of the server with its own task or thread.
///
/// The checkpoint thread and the log thread are not supervised: they catch their own panics and continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Hub,
    Store,
    Reader,
    Retention,
    Listener,
    Operator,
    Addresses,
    Certificate,
    Tracker,
    Page,
    Metrics,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hub => "hub task",
            Self::Store => "store's thread",
            Self::Reader => "store's reader",
            Self::Retention => "retention thread",
            Self::Listener => "listener",
            Self::Operator => "operator's socket",
            Self::Addresses => "watch on this machine's addresses",
            Self::Certificate => "watch on the certificate",
            Self::Tracker => "registration with a tracker",
            Self::Page => "inspector's page",
            Self::Metrics => "metrics listener",
        })
    }
}

/// Restarts parts, and reports the end of those that cannot be restarted.
#[derive(Clone)]
pub(crate) struct Supervisor {
    deaths: mpsc::UnboundedSender<Part>,
    stopping: watch::Receiver<bool>,
    #[cfg(test)]
    pub(crate) doomed: doom::Doomed,
}

impl Supervisor {
    /// Creates a supervisor of parts that may end once `stopping` is true. The receiver gets the vital parts that end.
    pub(crate) fn new(stopping: watch::Receiver<bool>) -> (Self, mpsc::UnboundedReceiver<Part>) {
        let (deaths, ended) = mpsc::unbounded_channel();
        let supervisor = Self {
            deaths,
            stopping,
            #[cfg(test)]
            doomed: doom::Doomed::default(),
        };
        (supervisor, ended)
    }

    /// Returns a supervisor of parts that may end at another time.
    pub(crate) fn until(&self, stopping: watch::Receiver<bool>) -> Self {
        Self { stopping, ..self.clone() }
    }

    /// Runs a stateless part until the server stops, and restarts it with backoff.
    pub(crate) async fn keep<F: Future<Output = ()>>(mut self, part: Part, mut run: impl FnMut() -> F) {
        let mut wait = BACK_OFF.0;
        loop {
            let began = Instant::now();
            self.run(part, async { run().await }).await;
            if *self.stopping.borrow() {
                return;
            }
            if began.elapsed() > BACK_OFF.1 {
                wait = BACK_OFF.0;
            }
            tracing::error!("the {part} ended unexpectedly; starting it again in {wait:?}");
            tokio::select! {
                () = sleep(wait) => {}
                _ = self.stopping.wait_for(|stopping| *stopping) => return,
            }
            wait = BACK_OFF.1.min(wait * 2);
        }
    }

    /// Runs a part to its end or to a panic, which the panic hook logs.
    pub(crate) async fn run(&self, part: Part, running: impl Future<Output = ()>) {
        #[cfg(test)]
        let running = self.doomed.or(part, running);
        tracing::trace!(%part, "starting");
        let _ = AssertUnwindSafe(running).catch_unwind().await;
    }

    /// Returns a guard for a part that cannot be restarted: dropping it ends the server.
    pub(crate) fn vital(&self, part: Part) -> Vital {
        Vital {
            part,
            deaths: self.deaths.clone(),
            #[cfg(test)]
            doomed: self.doomed.clone(),
        }
    }
}

/// A guard that reports the end of a vital part when dropped.
pub(crate) struct Vital {
    part: Part,
    deaths: mpsc::UnboundedSender<Part>,
    #[cfg(test)]
    doomed: doom::Doomed,
}

impl Vital {
    /// Marks progress of the part. Tests can make it panic here.
    pub(crate) fn beat(&self) {
        #[cfg(test)]
        self.doomed.panic_if(self.part);
    }
}

impl Drop for Vital {
    fn drop(&mut self) {
        // Without a receiver the server has ended already.
        let _ = self.deaths.send(self.part);
    }
}

#[cfg(test)]
mod doom {
    //! Fault injection: ends parts on a test's request.

    use std::sync::{Arc, Mutex};

    use tokio::sync::Notify;

    use super::Part;

    #[derive(Clone, Default)]
    pub(crate) struct Doomed(Arc<(Mutex<Option<Part>>, Notify)>);

    impl Doomed {
        /// Lets a part panic: a task at once, a thread at its next work.
        pub(crate) fn end(&self, part: Part) {
            *self.0.0.lock().unwrap() = Some(part);
            self.0.1.notify_waiters();
        }

        /// Whether a part has ended after a stop was requested.
        pub(crate) fn has_ended(&self) -> bool {
            self.0.0.lock().unwrap().is_none()
        }

        pub(super) fn panic_if(&self, part: Part) {
            let is_it = self.0.0.lock().unwrap().take_if(|doomed| *doomed == part).is_some();
            assert!(!is_it, "the {part} panics as it was told");
        }

        /// Runs a part until it ends or a stop is requested.
        pub(super) async fn or(&self, part: Part, run: impl Future<Output = ()>) {
            let doomed = async {
                loop {
                    let notified = self.0.1.notified();
                    self.panic_if(part);
                    notified.await;
                }
            };
            tokio::select! {
                () = doomed => {}
                () = run => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[tokio::test]
    async fn a_part_that_returns_or_panics_is_started_again_until_the_server_stops() {
        let (stop, stopping) = watch::channel(false);
        let (supervisor, _deaths) = Supervisor::new(stopping);
        let starts = AtomicU32::new(0);
        let part = supervisor.keep(Part::Listener, || async {
            let number = starts.fetch_add(1, Relaxed);
            assert!(number != 1, "the second one panics");
            if number == 3 {
                stop.send(true).unwrap();
            }
        });
        let began = Instant::now();
        part.await;
        assert_eq!(starts.into_inner(), 4);
        // A part that ends at once does not keep a processor busy.
        assert!(began.elapsed() >= BACK_OFF.0 * (1 + 2 + 4), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_part_that_waits_to_be_started_again_does_not_keep_the_server_from_stopping() {
        let (stop, stopping) = watch::channel(false);
        let (supervisor, _deaths) = Supervisor::new(stopping);
        let starts = AtomicU32::new(0);
        let part = supervisor.keep(Part::Page, || async {
            starts.fetch_add(1, Relaxed);
        });
        let stop = async {
            tokio::task::yield_now().await;
            stop.send(true).unwrap();
        };
        tokio::join!(part, stop);
        assert_eq!(starts.into_inner(), 1);
    }

    #[tokio::test]
    async fn the_end_of_a_vital_part_is_told_however_it_ends() {
        let (_stop, stopping) = watch::channel(false);
        let (supervisor, mut deaths) = Supervisor::new(stopping);
        for panics in [false, true] {
            let vital = supervisor.vital(Part::Store);
            let thread = std::thread::spawn(move || {
                vital.beat();
                assert!(!panics);
            });
            assert_eq!(deaths.recv().await, Some(Part::Store));
            assert_eq!(thread.join().is_err(), panics);
        }
    }
}

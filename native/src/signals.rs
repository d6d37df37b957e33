//! The signals that a server or a tap handles.

use std::{future::poll_fn, io, process, task::Poll};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::logging;

/// The signals that stop the process: the first in order, the second at once.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Installs the handlers. Until then, the signals end the process.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for a signal, and returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    /// Ends the process at the next signal.
    pub(crate) fn exit_at_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            tracing::warn!("stopping at once: what was not finished may be lost");
            logging::flush();
            process::exit(1);
        });
    }
}

/// Ignores signals that would end the process and have no meaning for it, and logs them.
///
/// # Errors
///
/// If the handlers cannot be installed.
pub(crate) fn ignore_others() -> io::Result<()> {
    let mut signals =
        [("SIGUSR1", signal(SignalKind::user_defined1())?), ("SIGUSR2", signal(SignalKind::user_defined2())?)];
    tokio::spawn(async move {
        loop {
            let name = poll_fn(|cx| {
                let came =
                    signals.iter_mut().find_map(|(name, signal)| signal.poll_recv(cx).is_ready().then_some(*name));
                came.map_or(Poll::Pending, Poll::Ready)
            });
            tracing::info!("{}: ignored", name.await);
        }
    });
    Ok(())
}

/// The signal to reload the configuration, SIGHUP.
pub(crate) struct ReloadSignal(Signal);

impl ReloadSignal {
    /// Installs the handler. Until then, the signal ends the process.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the signal. Several that come at one time are one.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

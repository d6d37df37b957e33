//! The drain of a server that stops: its settings, and the part of the time that each step may take.

use std::{num::NonZeroU32, time::Duration};

use chanwire_core::hub::DrainPlan;

/// The settings of a drain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainConfig {
    /// Time between the signal and the first step, in which everything is served and the server is not ready. A load
    /// balancer stops sending new connections meanwhile.
    pub(crate) delay: Duration,
    /// Connections with notices that are closed per second.
    pub(crate) rate: NonZeroU32,
    /// Time for all steps after the delay.
    pub(crate) timeout: Duration,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { delay: Duration::ZERO, rate: NonZeroU32::MIN.saturating_add(1999), timeout: Duration::from_secs(10) }
    }
}

impl DrainConfig {
    /// Returns the pace of the closings, all of which are in the first half of the timeout.
    pub(crate) fn plan(&self) -> DrainPlan {
        DrainPlan { rate: self.rate, within: self.timeout / 2 }
    }

    /// Returns the time after which connections that are not closed are reset.
    pub(crate) fn connections(&self) -> Duration {
        self.timeout * 6 / 10
    }

    /// Returns the time for those to end.
    pub(crate) fn resets(&self) -> Duration {
        self.timeout / 20
    }

    /// Returns the time for the store's last commit.
    pub(crate) fn commit(&self) -> Duration {
        self.timeout * 3 / 10
    }
}

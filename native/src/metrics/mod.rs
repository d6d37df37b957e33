//! Metrics and health of a running server.
//!
//! Nothing in the way of a request is shared between threads for them: the hub counts in plain integers and is asked at
//! each scrape, and a connection stores its own totals once per wake. No label ever holds a channel, a user or an
//! address, so clients cannot add series.

mod counts;
mod health;
mod process;
mod text;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use chanwire_core::{endpoint::Traffic, hub::Counters};
use tokio::{
    sync::{Mutex, oneshot, watch},
    task::spawn_blocking,
    time::timeout,
};

pub(crate) use self::{
    counts::{ConnectionCounts, CountedWait, Kind},
    health::{Check, parse_checks, write_checks},
};
use self::{process::Sizes, text::Scrape};
use crate::{
    config::LastReload,
    hub_task::{HubSender, Input},
    store::StoreStatus,
    tls::Certificates,
};

/// Timeout for the hub's answer, and for the file system's.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The hub task's answer to a scrape.
#[derive(Debug)]
pub(crate) struct HubReport {
    pub(crate) counters: Counters,
    /// The traffic of all connections since the start.
    pub(crate) traffic: Traffic,
}

/// The sources of metrics and health checks.
pub(crate) struct Sources {
    pub(crate) hub: HubSender,
    pub(crate) store: Arc<StoreStatus>,
    pub(crate) connections: Arc<ConnectionCounts>,
    pub(crate) last_reload: Arc<LastReload>,
    pub(crate) certificates: Option<Arc<Certificates>>,
    /// True once the server drains.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Metrics and health checks of a server.
pub(crate) struct Metrics {
    sources: Sources,
    /// Held while files are looked up, so that a disk that does not answer blocks one thread and no more.
    looking: Arc<Mutex<()>>,
}

impl Metrics {
    pub(crate) fn new(sources: Sources) -> Self {
        Self { sources, looking: Arc::default() }
    }

    /// Returns all metrics in the text format of Prometheus.
    pub(crate) async fn text(&self) -> String {
        let (hub, sizes) = tokio::join!(self.hub(), self.sizes());
        let Sources { store, connections, last_reload, certificates, .. } = &self.sources;
        let certificate = certificates.as_ref().map(|it| (it.not_after(), it.is_read()));
        let (store, connections, reloaded) = (store.clone(), connections.clone(), last_reload.get());
        text::encode(Scrape { hub, sizes, store, connections, reloaded, certificate })
    }

    /// Checks whether the server lives: a server that does not should be restarted.
    pub(crate) async fn live(&self) -> Vec<Check> {
        vec![Check::new("hub", self.hub().await.is_none().then(|| "it does not answer".into()))]
    }

    /// Checks whether the server is ready: one that is not should get no clients.
    pub(crate) async fn ready(&self) -> Vec<Check> {
        let mut checks = self.live().await;
        let (open, all) = self.sources.connections.listeners();
        let closed = (open < all).then(|| format!("{open} of {all} accept connections"));
        let draining = (*self.sources.stopping.borrow()).then(|| "the server drains, it is about to stop".into());
        checks.push(Check::new("store", self.sources.store.fault()));
        checks.push(Check::new("listeners", closed));
        checks.push(Check::new("draining", draining));
        if let Some(certificates) = &self.sources.certificates {
            checks.push(Check::new("certificate", certificates.fault()));
        }
        checks
    }

    /// Asks the hub; `None` if it does not answer in time.
    async fn hub(&self) -> Option<HubReport> {
        let (answer, answered) = oneshot::channel();
        self.sources.hub.send(Input::Report(answer)).ok()?;
        timeout(TIMEOUT, answered).await.ok()?.ok()
    }

    /// Looks up the sizes of files and of the process; `None` if the file system does not answer in time.
    async fn sizes(&self) -> Option<Sizes> {
        let (store, looking) = (self.sources.store.clone(), self.looking.clone());
        let look = async {
            let guard = looking.lock_owned().await;
            let look = move || {
                let sizes = Sizes::look(store.file());
                drop(guard);
                sizes
            };
            spawn_blocking(look).await.ok()
        };
        timeout(TIMEOUT, look).await.ok()?
    }
}

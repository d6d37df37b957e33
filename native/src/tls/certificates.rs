//! The certificate in force, which is replaced while the server runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use chanwire_core::wire::Timestamp;
use rustls::{
    ServerConfig,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{sync::watch, task::spawn_blocking, time::sleep};

use super::{Pair, PairFault, Pin, TlsFiles, pair::Stamp, provider};
use crate::clock::wall_time;

/// The time between two looks at the files.
const LOOK: Duration = Duration::from_secs(60);

/// The certificate that new connections are served with, and the files that it is read from again.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: TlsFiles,
    in_force: ArcSwap<Pair>,
    /// Whether the files have held a pair when they were last read.
    is_read: AtomicBool,
    /// How often the files were asked to be read at once, and up to which of these times they have been.
    asked: watch::Sender<u64>,
    read: watch::Sender<u64>,
}

/// The last reading of the files.
#[derive(Debug)]
struct Reading {
    /// `None` before the first.
    stamp: Option<Stamp>,
    fault: Option<PairFault>,
}

impl Certificates {
    /// Reads the files for the first time.
    pub(crate) fn load(files: TlsFiles) -> Result<Arc<Self>, PairFault> {
        let pair = Pair::load(&files)?;
        log(&pair);
        let (in_force, is_read) = (ArcSwap::from_pointee(pair), AtomicBool::new(true));
        let (asked, read) = (watch::Sender::new(0), watch::Sender::new(0));
        Ok(Arc::new(Self { files, in_force, is_read, asked, read }))
    }

    /// Returns the settings of the sessions of accepted connections, which carry this protocol (ALPN).
    pub(crate) fn sessions(self: &Arc<Self>, alpn: &[u8]) -> Result<Arc<ServerConfig>, PairFault> {
        let builder = ServerConfig::builder_with_provider(provider());
        // Its ciphers are for these versions.
        let fault = |error: rustls::Error| PairFault::Certificate(error.to_string());
        let versions = builder.with_safe_default_protocol_versions().map_err(fault)?;
        let mut config = versions.with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = vec![alpn.into()];
        // A session that goes on from an earlier one would keep the certificate of then.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// Returns the end of the validity of the certificate in force.
    pub(crate) fn not_after(&self) -> Timestamp {
        self.in_force.load().certificate().not_after
    }

    /// Returns the pin of the key in force.
    pub(crate) fn pin(&self) -> Pin {
        self.in_force.load().certificate().pin
    }

    /// Returns whether the files have held a pair when they were last read.
    pub(crate) fn is_read(&self) -> bool {
        self.is_read.load(Relaxed)
    }

    /// Returns why clients refuse the certificate in force, if its time is over.
    pub(crate) fn fault(&self) -> Option<String> {
        let not_after = self.not_after();
        (not_after <= wall_time()).then(|| format!("it expired at {not_after}"))
    }

    /// Has the files read by the [watch](Self::watch), and returns the wait until they are.
    pub(crate) fn reload(&self) -> impl Future<Output = ()> + use<> {
        let mut number = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        let mut read = self.read.subscribe();
        async move {
            // An error says that nobody reads them any more.
            let _ = read.wait_for(|read| *read >= number).await;
        }
    }

    /// Reads the files again whenever that is asked for, and when they have changed, until `stop` is true.
    pub(crate) async fn watch(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        // The first look reads again what was read at the start, in case it changed since.
        let mut last = Reading { stamp: None, fault: None };
        let mut asked = self.asked.subscribe();
        loop {
            let done = *self.read.borrow();
            let is_asked = tokio::select! {
                _ = asked.wait_for(|asked| *asked > done) => true,
                () = sleep(LOOK) => false,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let number = *asked.borrow();
            let this = self.clone();
            // A file system that does not answer blocks this thread alone.
            let looked = spawn_blocking(move || {
                let reading = this.look(&last, is_asked);
                reading.unwrap_or(last)
            });
            last = tokio::select! {
                Ok(reading) = looked => reading,
                _ = stop.wait_for(|stop| *stop) => return,
                else => return,
            };
            self.read.send_replace(number);
        }
    }

    /// Reads the files if that is asked for, if they have changed, or if they held no pair the last time.
    fn look(&self, last: &Reading, is_asked: bool) -> Option<Reading> {
        let stamp = Some(Stamp::of(&self.files));
        if !is_asked && stamp == last.stamp && last.fault.is_none() {
            return None;
        }
        let fault = match Pair::load(&self.files) {
            Ok(pair) => {
                self.replace(pair);
                None
            }
            Err(fault) => {
                if is_asked || last.fault.as_ref() != Some(&fault) {
                    let not_after = self.not_after();
                    tracing::error!(
                        event = "certificate_not_reloaded",
                        %fault,
                        %not_after,
                        "cannot reload the certificate, the one before it stays in force; trying again each minute"
                    );
                }
                Some(fault)
            }
        };
        self.is_read.store(fault.is_none(), Relaxed);
        Some(Reading { stamp, fault })
    }

    /// Serves new connections with this pair.
    fn replace(&self, pair: Pair) {
        if self.in_force.load().certified().cert != pair.certified().cert {
            log(&pair);
            self.in_force.store(Arc::new(pair));
        }
    }
}

fn log(pair: &Pair) {
    let certificate = pair.certificate();
    let names = chanwire_inspect::visible(&certificate.names.join(", ")).into_owned();
    tracing::info!(
        event = "certificate_loaded",
        names,
        not_after = %certificate.not_after,
        pin = %certificate.pin,
        "new TLS connections are served with this certificate"
    );
    if let Some(words) = certificate.expiry(wall_time()) {
        tracing::warn!("the certificate: {words}");
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.in_force.load().certified().clone())
    }
}

#[cfg(test)]
mod tests;

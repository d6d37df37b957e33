//! The log of refused connections: at most one event per second and cause, with a count, so that a flood does not fill
//! the log.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chanwire_core::{admission::Refusal, endpoint::Reason};
use tokio::time::sleep;

/// The time for which refusals are counted before they are logged.
const PERIOD: Duration = Duration::from_secs(1);

/// The limit on all connections.
const MAX_CONNECTIONS: &str = "max_connections";

/// The limit on the operator's connections, which is not a key of the configuration.
const MAX_OPERATORS: &str = "max_operators";

/// The cause of a refused connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    reason: Reason,
    /// The limit that was reached: its name, and its value.
    limit: Option<(&'static str, u64)>,
    /// Whether the peer is none of the proxies for which the listener is.
    is_no_proxy: bool,
}

impl Cause {
    /// Returns the cause of refusals when all connections are in use.
    pub(crate) fn full(limit: u32) -> Self {
        Self::of(Reason::ServerBusy, Some((MAX_CONNECTIONS, limit.into())))
    }

    /// Returns the cause of refusals when all operator connections are in use.
    pub(crate) fn too_many_operators(limit: u32) -> Self {
        Self::of(Reason::ServerBusy, Some((MAX_OPERATORS, limit.into())))
    }

    /// Returns the cause of refusals by a listener for proxies, when the peer is not one.
    pub(crate) const fn no_proxy() -> Self {
        Self { is_no_proxy: true, ..Self::of(Reason::Denied, None) }
    }

    /// Returns the cause of refusals when a proxy sends no valid PROXY header.
    pub(crate) const fn proxy_header() -> Self {
        Self::of(Reason::ProxyHeader, None)
    }

    /// Returns the cause of refusals of plain text where TLS is required.
    pub(crate) const fn encryption_required() -> Self {
        Self::of(Reason::EncryptionRequired, None)
    }

    /// Returns the cause of refusals when a TLS handshake fails.
    pub(crate) const fn tls_handshake() -> Self {
        Self::of(Reason::TlsHandshake, None)
    }

    const fn of(reason: Reason, limit: Option<(&'static str, u64)>) -> Self {
        Self { reason, limit, is_no_proxy: false }
    }

    pub(crate) const fn reason(self) -> Reason {
        self.reason
    }

    /// Returns the log message for refused connections, the last of which came from this peer.
    fn words(self, peer: Option<IpAddr>) -> &'static str {
        match self.limit {
            None if matches!(self.reason, Reason::ProxyHeader) => {
                "closed connections of proxies without a PROXY header; let the proxy send one (send-proxy, proxy_protocol)"
            }
            None if matches!(self.reason, Reason::TlsHandshake) => {
                "TLS handshake failed: closed connections; chanwire_tls_handshake_failures_total counts them by cause"
            }
            None if matches!(self.reason, Reason::EncryptionRequired) => "TLS is required: refused plain connections",
            None if self.is_no_proxy => {
                "not a proxy of this listener: closed connections; if it is yours, add its address to proxy_from"
            }
            None => "denied by limits.deny: closed connections",
            Some((MAX_CONNECTIONS, _)) => "connection limit reached: refused connections",
            Some((MAX_OPERATORS, _)) => "operator connection limit reached: refused connections",
            Some(_) if peer.is_some_and(is_private) => {
                "connection limit of an address reached: refused connections; if it is a proxy's or a router's, with \
                 many clients behind it, add it to limits.exempt"
            }
            Some(_) => "connection limit of an address reached: refused connections",
        }
    }
}

impl From<Refusal> for Cause {
    fn from(refusal: Refusal) -> Self {
        Self::of(refusal.reason(), refusal.limit())
    }
}

/// Returns whether an address is private, so that many clients may be behind it.
const fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

/// Refused connections that are not logged yet.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Vec<Refused>>);

/// Refused connections with one cause.
#[derive(Debug)]
struct Refused {
    cause: Cause,
    count: u64,
    /// The last one's peer; `None` through a Unix socket.
    peer: Option<SocketAddr>,
}

impl Refusals {
    /// Notes a refused connection. It is logged with others within a second.
    pub(crate) fn note(self: &Arc<Self>, cause: Cause, peer: Option<SocketAddr>) {
        tracing::debug!(reason = cause.reason.as_str(), peer = peer.map(tracing::field::display), "connection refused");
        let mut all = self.lock();
        if all.is_empty() {
            let this = self.clone();
            tokio::spawn(async move {
                sleep(PERIOD).await;
                this.log();
            });
        }
        match all.iter_mut().find(|refused| refused.cause == cause) {
            Some(refused) => (refused.count, refused.peer) = (refused.count + 1, peer),
            None => all.push(Refused { cause, count: 1, peer }),
        }
    }

    /// Logs all refusals that are not logged yet.
    pub(crate) fn log(&self) {
        let all = std::mem::take(&mut *self.lock());
        for Refused { cause, count, peer } in all {
            macro_rules! event {
                ($level:ident) => {
                    tracing::$level!(
                        event = "connections_refused",
                        reason = cause.reason.as_str(),
                        limit = cause.limit.map(|(name, _)| name),
                        value = cause.limit.map(|(_, value)| value),
                        count,
                        peer = peer.map(tracing::field::display),
                        "{}",
                        cause.words(peer.map(|peer| peer.ip()))
                    )
                };
            }
            // Programs that try every address of the internet are no news; a proxy that is kept out is.
            let is_common = matches!(cause.reason, Reason::Denied | Reason::TlsHandshake | Reason::EncryptionRequired);
            if is_common && !cause.is_no_proxy {
                event!(info);
            } else {
                event!(warn);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Refused>> {
        // No holder can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

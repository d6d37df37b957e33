//! Why a server or a tap does not run.

use std::{io, net::SocketAddr};

use crate::{
    store::StoreError,
    supervisor::Part,
    tls::{PairFault, TlsError},
    unix_socket::{ListenAddress, UnixPath, UnixSocketError},
};

/// Why the server does not run, in words for an operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot listen on {address}: {cause}; stop what uses it, or choose another address with {flag}")]
    Listen { address: SocketAddr, flag: &'static str, cause: io::Error },
    #[error("cannot listen on {path}: {cause}")]
    UnixSocket { path: UnixPath, cause: UnixSocketError },
    #[error(
        "cannot listen on {v4} beside {v6}, which takes IPv4 as well; leave {v4} out, or add 0.0.0.0:{} for all of IPv4",
        v4.port()
    )]
    Overlap { v4: SocketAddr, v6: SocketAddr },
    #[error(
        "cannot use the socket number {index} of those that were passed (LISTEN_FDS): {cause}; pass listening TCP and \
         Unix stream sockets only"
    )]
    Passed { index: usize, cause: io::Error },
    #[error(
        "the socket at {address} that was passed (LISTEN_FDS) belongs to no listener; add --listen {address}, or \
         correct the address of the one who passes it (ListenStream= of the socket unit)"
    )]
    Unclaimed { address: ListenAddress },
    #[error("--tls-ca: {0}")]
    TrackerTrust(TlsError),
    #[error("{0}; `chanwire config check` says where it is set")]
    Tls(#[from] PairFault),
    #[error("cannot {action}: {cause}")]
    System { action: &'static str, cause: io::Error },
    #[error("cannot serve the inspector's page: {0}")]
    Page(io::Error),
    #[error(
        "the {0} ended unexpectedly (a bug, please report); everything acknowledged is stored, start the server again"
    )]
    Died(Part),
    #[error(
        "cannot close the store: its last commit takes too long; everything acknowledged is stored; check its disk \
         before the next start"
    )]
    Unfinished,
}

impl ServeError {
    /// Makes an I/O error say what could not be done.
    pub(crate) const fn system(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::System { action, cause }
    }
}

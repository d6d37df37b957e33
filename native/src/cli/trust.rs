//! The options of commands that may connect by TLS.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use super::Failure;
use crate::tls::{KnownServers, Pin, Trust};

/// The servers that are trusted by TLS.
#[derive(Clone, Debug, Args)]
pub(super) struct TrustOptions {
    /// Trust a `tls://` server by the certificate authorities in this PEM file, instead of the system's
    #[arg(long, value_name = "FILE", env = "CHANWIRE_TLS_CA")]
    tls_ca: Option<PathBuf>,

    /// Trust a `tls://` server that has this key (sha256/BASE64, see `chanwire tls show`), whatever its certificate says,
    /// and others only by --tls-ca; may be given more than once
    #[arg(long, value_name = "PIN", env = "CHANWIRE_TLS_PIN", value_delimiter = ',')]
    tls_pin: Vec<Pin>,
}

impl TrustOptions {
    /// Returns the chosen trust; without one, the servers that the user came to know by `chat`, and else the system's
    /// authorities.
    pub(super) fn trust(&self) -> Result<Trust, Failure> {
        self.trust_beside(KnownServers::of_user().map(Arc::new).as_ref())
    }

    /// Returns the chosen trust; without one, these servers, and else the system's authorities.
    pub(super) fn trust_beside(&self, known: Option<&Arc<KnownServers>>) -> Result<Trust, Failure> {
        let pins = self.tls_pin.iter().copied();
        match (&self.tls_ca, known) {
            (Some(file), _) => Trust::authorities(file)
                .map(|trust| trust.or_pins(pins))
                .map_err(|error| Failure::usage(format!("--tls-ca: {error}"))),
            (None, _) if !self.tls_pin.is_empty() => Ok(Trust::pins(pins)),
            (None, Some(known)) => Ok(Trust::known(Arc::clone(known))),
            (None, None) => Ok(Trust::system()),
        }
    }

    /// Returns whether the trust was chosen.
    pub(super) fn is_chosen(&self) -> bool {
        self.tls_ca.is_some() || !self.tls_pin.is_empty()
    }
}

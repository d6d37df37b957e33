//! TLS: certificates and their keys, and the sessions of accepted connections.

mod accept;
mod certificate;
mod certificates;
mod client;
mod error;
mod issue;
mod known_servers;
#[cfg(test)]
pub(crate) mod made;
mod pair;
mod pem_file;
mod pin;
mod records;
mod stream;
mod trust;
mod verifier;

use std::{str::FromStr, sync::Arc};

use rustls::crypto::CryptoProvider;

use self::known_servers::Known;
#[cfg(test)]
pub(crate) use self::pair::tests::write_pair;
pub(crate) use self::{
    accept::{HANDSHAKE_TIMEOUT, HandshakeFailure, Handshakes},
    certificate::Certificate,
    certificates::Certificates,
    client::handshake,
    issue::{SigningKey, check_name},
    known_servers::KnownServers,
    pair::{Pair, PairFault},
    pem_file::PemFile,
    records::IncompleteRecord,
    stream::Stream,
};
pub use self::{
    error::TlsError,
    pair::TlsFiles,
    pin::{NotAPin, Pin},
    trust::Trust,
};

/// The protocol's name in the negotiation of protocols (ALPN).
pub(crate) const ALPN: &[u8] = b"chanwire";

/// The name of HTTP in it, for the inspector's page.
pub(crate) const HTTP_ALPN: &[u8] = b"http/1.1";

/// Returns the cryptography of every session. Never the process's default, which depends on the other packages of a
/// program that embeds this one.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Whether a listener takes TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsMode {
    /// Plain text alone.
    Off,
    /// TLS from clients that begin with it, plain text from the others.
    Optional,
    /// TLS alone.
    Required,
}

impl FromStr for TlsMode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "off" => Self::Off,
            "optional" => Self::Optional,
            "required" => Self::Required,
            _ => return Err(()),
        })
    }
}

//! The servers that a client trusts.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
};

use super::{Known, KnownServers, PemFile, Pin, TlsError, provider};
use crate::server_address::ServerAddress;

/// The servers that a client trusts, where it connects to them by TLS (`tls://HOST:PORT`).
///
/// ```
/// use chanwire::{Client, Pin, Trust};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // The server's owner reads it from `chanwire tls show`.
/// let pin: Pin = "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=".parse()?;
/// let client = Client::with_trust("tls://192.0.2.7:22236".parse()?, Trust::pins([pin]));
/// assert!(client.server().is_tls());
/// # Ok(())
/// # }
/// ```
///
/// The peers that a server lists are trusted in the same way, and one whose certificate is for the server's own name is
/// trusted as the server is: it has the server's key.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    authorities: Source,
    pins: Vec<Pin>,
    known: Option<Arc<KnownServers>>,
}

/// The authorities that vouch for servers.
#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    /// Those in a file, which is read at each connection, so that it may be replaced.
    File(Arc<Path>),
    Nobody,
}

/// The rule for one server.
#[derive(Debug)]
pub(super) enum Check {
    /// The certificate's chain, or one of these keys. The system's authorities may be missing, for a reason.
    Chain { authorities: Result<Arc<Authorities>, Box<str>>, or: Vec<Pin> },
    /// One of these keys. `place` is the file and line that has it.
    Pins { pins: Vec<Pin>, place: Option<Box<str>> },
}

/// Certificate authorities.
#[derive(Debug)]
pub(super) struct Authorities {
    pub(super) verifier: Arc<dyn ServerCertVerifier>,
}

impl Authorities {
    /// Makes authorities of roots, of which there must be at least one.
    fn new(roots: RootCertStore) -> Result<Self, String> {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider()).build();
        Ok(Self { verifier: verifier.map_err(|error| error.to_string())? })
    }

    /// Reads the authorities in a PEM file.
    fn read(file: &Path) -> Result<Self, TlsError> {
        let failed =
            |cause: String| TlsError::Trust(format!("cannot use {} for authorities: {cause}", file.display()).into());
        let certificates = PemFile::read(file).map_err(|error| failed(error.to_string()))?.certificates();
        let mut roots = RootCertStore::empty();
        for certificate in certificates.map_err(failed)? {
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
        Self::new(roots).map_err(failed)
    }

    /// Returns the system's authorities, or why there are none. Once read, they are not read again.
    fn system() -> Result<Arc<Self>, Box<str>> {
        static SYSTEM: OnceLock<Arc<Authorities>> = OnceLock::new();
        if let Some(system) = SYSTEM.get() {
            return Ok(Arc::clone(system));
        }
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // Some systems have certificates that cannot be parsed; the others are of use.
        let _ = roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let causes: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
            return Err(if causes.is_empty() { "none is installed".into() } else { causes.join(", ").into() });
        }
        for error in &found.errors {
            tracing::warn!(%error, "cannot read some of the system's certificate authorities");
        }
        let system = Arc::new(Self::new(roots)?);
        Ok(Arc::clone(SYSTEM.get_or_init(|| system)))
    }
}

impl Trust {
    /// Trusts servers for whose certificate one of the system's certificate authorities vouches. This is the default.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// Trusts servers for whose certificate an authority in this PEM file vouches, and no others. A certificate that is
    /// signed with its own key is its own authority. The file is read again at each connection.
    ///
    /// # Errors
    ///
    /// [`TlsError::Trust`] if the file cannot be read, or has no certificate.
    pub fn authorities(file: &Path) -> Result<Self, TlsError> {
        let trust = Self::authorities_unchecked(file);
        trust.check_authorities().map(|()| trust)
    }

    /// Trusts the authorities in a PEM file that may not be there.
    pub(crate) fn authorities_unchecked(file: &Path) -> Self {
        Self { authorities: Source::File(file.into()), ..Self::default() }
    }

    /// Checks that the authorities can be read.
    pub(crate) fn check_authorities(&self) -> Result<(), TlsError> {
        match &self.authorities {
            Source::File(file) => Authorities::read(file).map(drop),
            Source::System | Source::Nobody => Ok(()),
        }
    }

    /// Trusts servers that have one of these keys, whatever their certificates say, and no others.
    #[must_use]
    pub fn pins(pins: impl IntoIterator<Item = Pin>) -> Self {
        Self { authorities: Source::Nobody, ..Self::default() }.or_pins(pins)
    }

    /// Trusts servers that have one of these keys as well.
    #[must_use]
    pub fn or_pins(mut self, pins: impl IntoIterator<Item = Pin>) -> Self {
        self.pins.extend(pins);
        self
    }

    /// Trusts known servers by their keys, and others by the system's authorities.
    pub(crate) fn known(known: Arc<KnownServers>) -> Self {
        Self { known: Some(known), ..Self::default() }
    }

    /// Returns the rule for a server, which may be on the list of another. It may block.
    pub(super) fn check(&self, server: &ServerAddress, listed_by: &ServerAddress) -> Result<Check, TlsError> {
        let mut or = self.pins.clone();
        if let Some(known) = &self.known {
            if let Some(Known { pins, place }) = known.find(server)? {
                return Ok(Check::Pins { pins, place: Some(place) });
            }
            or.extend(known.find(listed_by)?.into_iter().flat_map(|known| known.pins));
        }
        let authorities = match &self.authorities {
            Source::System => Authorities::system(),
            Source::File(file) => Ok(Arc::new(Authorities::read(file)?)),
            Source::Nobody => return Ok(Check::Pins { pins: or, place: None }),
        };
        Ok(Check::Chain { authorities, or })
    }
}

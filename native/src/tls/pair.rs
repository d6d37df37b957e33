//! A certificate with its key.

use std::{fs::Metadata, os::unix::fs::MetadataExt as _, path::PathBuf, sync::Arc};

use rustls::{Error, InconsistentKeys, sign::CertifiedKey};
use thiserror::Error;

use super::{Certificate, PemFile, provider};

/// The files of a certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers build it")]
pub struct TlsFiles {
    /// The certificate chain (PEM), which begins with the server's certificate.
    pub certificate: PathBuf,
    /// The key (PEM), which others must not be able to read.
    pub key: PathBuf,
}

/// The reason why a pair cannot be used.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum PairFault {
    #[error("cannot use the certificate: {0}")]
    Certificate(String),
    #[error("cannot use the key: {0}")]
    Key(String),
}

/// A certificate with its chain and its key.
#[derive(Debug)]
pub(crate) struct Pair {
    certified: Arc<CertifiedKey>,
    certificate: Certificate,
}

impl Pair {
    /// Reads a pair. A certificate whose time is over is one, too: the plain listeners and clients that know the key
    /// can do without it.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, PairFault> {
        let of_certificate = |words: String| PairFault::Certificate(words);
        let chain = PemFile::read(&files.certificate).map_err(|error| of_certificate(error.to_string()))?;
        let chain = chain.certificates().map_err(of_certificate)?;
        let certificate = Certificate::parse(chain.first().map_or(&[], |first| first)).map_err(of_certificate)?;

        let of_key = |words: String| PairFault::Key(words);
        let key = PemFile::read(&files.key).map_err(|error| of_key(error.to_string()))?;
        if key.is_read_by_others() {
            return Err(of_key("everybody may read it; run `chmod o-rwx` on it".into()));
        }
        let key = key.key().map_err(of_key)?;
        let key = provider().key_provider.load_private_key(key).map_err(|error| of_key(error.to_string()))?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Self { certified: Arc::new(certified), certificate })
            }
            Err(Error::InconsistentKeys(_)) => {
                Err(of_key("it is the key of another certificate; are both files of the same renewal?".into()))
            }
            Err(error) => Err(of_certificate(error.to_string())),
        }
    }

    pub(crate) const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    pub(super) const fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

/// The signs of a change of the files, which need no reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp([Option<(u64, i64, i64)>; 2]);

impl Stamp {
    /// Looks at the files. One that cannot be looked at has no stamp.
    pub(super) fn of(files: &TlsFiles) -> Self {
        let of = |metadata: Metadata| (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
        Self([&files.certificate, &files.key].map(|path| path.metadata().ok().map(of)))
    }
}

#[cfg(test)]
pub(super) mod tests;

//! PEM files.

use std::{
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject as _},
};

/// The largest file that is read.
const LARGEST: u64 = 1 << 20;

/// The characters of a line.
const LINE: usize = 64;

/// A file in PEM format.
pub(crate) struct PemFile {
    bytes: Vec<u8>,
    mode: u32,
}

impl PemFile {
    /// Reads a regular file. Symbolic links are followed: the files of a certificate's renewal often are some.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        // Opening a pipe without a writer does not block.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST {
            return Err(io::Error::other(format!("it has more than {LARGEST} bytes")));
        }
        Ok(Self { bytes, mode: metadata.mode() })
    }

    /// Makes a file of its contents, which only this program has.
    pub(crate) fn of(text: impl Into<Vec<u8>>) -> Self {
        Self { bytes: text.into(), mode: 0 }
    }

    /// Returns the first private key.
    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, String> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| match error {
            pem::Error::NoItemsFound => "it has no private key (BEGIN PRIVATE KEY)".into(),
            error => format!("invalid PEM: {error}"),
        })
    }

    /// Returns whether it has a private key, of any kind.
    pub(crate) fn has_key(&self) -> bool {
        const END: &[u8] = b"PRIVATE KEY-----";
        self.bytes.windows(END.len()).any(|bytes| bytes == END)
    }

    /// Returns whether its permissions let users read or write it that are neither its owner nor in its group.
    pub(super) const fn is_read_by_others(&self) -> bool {
        self.mode & 0o006 != 0
    }

    /// Returns the certificates, of which there is at least one.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let all: Vec<_> = CertificateDer::pem_slice_iter(&self.bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("invalid PEM: {error}"))?;
        if all.is_empty() { Err("it has no certificate (BEGIN CERTIFICATE)".into()) } else { Ok(all) }
    }
}

/// Encodes one section of a file.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while let Some((line, after)) = rest.split_at_checked(LINE.min(rest.len())).filter(|(line, _)| !line.is_empty()) {
        text += line;
        text.push('\n');
        rest = after;
    }
    text + &format!("-----END {label}-----\n")
}

//! A certificate and its key, as `chanwire tls new` makes them.

use std::path::{Path, PathBuf};

use super::{Launch, Server};

/// The files of a certificate that is signed with its own key.
#[derive(Clone, Debug)]
pub struct TlsPair {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The pin of the key.
    pub pin: String,
}

impl TlsPair {
    /// Makes a pair for 127.0.0.1 in a folder, or another in its place.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    #[must_use]
    pub fn make(folder: &Path) -> Self {
        let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
        let make = Launch::new(["tls", "new", "--json", "--force", "--name", "127.0.0.1", "--name", "localhost"]);
        let made = make.arg("--certificate").arg(&certificate).arg("--key").arg(&key).run();
        let shown: serde_json::Value = serde_json::from_str(&made.stdout).unwrap_or_else(|_| panic!("{made:?}"));
        let pin = shown.get("pin").and_then(serde_json::Value::as_str).unwrap_or_else(|| panic!("{made:?}"));
        Self { certificate, key, pin: pin.into() }
    }

    /// Has a server or a tap take TLS with this pair.
    #[must_use]
    pub fn used_by(&self, launch: Launch) -> Launch {
        launch.arg("--tls-certificate").arg(&self.certificate).arg("--tls-key").arg(&self.key)
    }
}

impl Server {
    /// Returns `tls://` and the address of its first listener.
    #[must_use]
    pub fn tls_address(&self) -> String {
        format!("tls://{}", self.address(0))
    }
}

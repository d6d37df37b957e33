//! Certificates and keys that tests make.

use std::{fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tempfile::TempDir;

use super::{ALPN, Certificate, Pin, Trust, provider};

/// A certificate authority, in a file.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
    _directory: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let file = directory.path().join("ca.pem");
        fs::write(&file, pem(params.self_signed(&key).unwrap().der())).unwrap();
        Self { issuer: Issuer::new(params, key), file, _directory: directory }
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.issue_with(names, |_| {}, KeyPair::generate().unwrap())
    }

    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
        key: KeyPair,
    ) -> Identity {
        let mut params = params(names);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: certificate.der().clone(), key }
    }

    /// Issues a certificate by an authority between this one and it, and returns both certificates.
    pub(crate) fn issue_between(
        &self,
        names: &[&str],
        between: CertificateParams,
    ) -> (Identity, CertificateDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let intermediate = between.signed_by(&key, &self.issuer).unwrap().der().clone();
        let (issuer, key) = (Issuer::new(between, key), KeyPair::generate().unwrap());
        let certificate = params(names).signed_by(&key, &issuer).unwrap().der().clone();
        (Identity { certificate, key }, intermediate)
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::authorities(&self.file).unwrap()
    }
}

pub(crate) fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
}

pub(crate) fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

/// A server's certificate and its key.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: KeyPair,
}

impl Identity {
    pub(crate) fn self_signed(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { certificate: params(names).self_signed(&key).unwrap().der().clone(), key }
    }

    pub(crate) fn pin(&self) -> Pin {
        Certificate::parse(&self.certificate).unwrap().pin
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }

    pub(crate) fn config(&self) -> ServerConfig {
        let chain = vec![self.certificate.clone()];
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_no_client_auth().with_single_cert(chain, self.private_key()).unwrap();
        config.alpn_protocols = vec![ALPN.into()];
        config
    }
}

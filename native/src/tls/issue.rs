//! Self-signed certificates.

use std::time::Duration;

use chanwire_core::wire::Timestamp;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::{DnsName, PrivateKeyDer};

use super::pem_file::encode;

/// Time by which a certificate is valid before it was made, for clients whose clocks are slow.
const BEFORE: u64 = 3600;

const DAY: u64 = 86_400;

/// A name that a certificate can be for: a DNS name, which may begin with `*.`, or an IP address.
///
/// # Errors
///
/// If the text is neither.
pub(crate) fn check_name(text: &str) -> Result<String, String> {
    let is_address = text.parse::<std::net::IpAddr>().is_ok();
    if is_address || DnsName::try_from(text.strip_prefix("*.").unwrap_or(text)).is_ok() {
        Ok(text.into())
    } else {
        Err("expected a DNS name in ASCII, such as chat.example, or an IP address".into())
    }
}

/// The key of a self-signed certificate.
pub(crate) struct SigningKey(KeyPair);

impl SigningKey {
    /// Makes a key: ECDSA on P-256, which every TLS client knows.
    pub(crate) fn generate() -> Result<Self, String> {
        KeyPair::generate().map(Self).map_err(|error| error.to_string())
    }

    /// Returns it in PEM format (PKCS #8).
    pub(crate) fn to_pem(&self) -> String {
        encode("PRIVATE KEY", self.0.serialized_der())
    }

    /// Makes a certificate for these names that is valid for so many days from now on, in PEM format.
    pub(crate) fn certificate(&self, names: &[String], now: Timestamp, days: u32) -> Result<String, String> {
        let words = |error: rcgen::Error| error.to_string();
        let mut params = CertificateParams::new(names).map_err(words)?;
        let now = u64::try_from(now.as_unix()).unwrap_or_default();
        let at = |seconds| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
        params.not_before = at(now.saturating_sub(BEFORE));
        params.not_after = at(now.saturating_add(u64::from(days) * DAY));
        let mut subject = DistinguishedName::new();
        if let Some(name) = names.first() {
            subject.push(DnType::CommonName, name.as_str());
        }
        params.distinguished_name = subject;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Two certificates of one issuer must not have the same.
        let mut serial = [0; 16];
        getrandom::fill(&mut serial).map_err(|error| error.to_string())?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let certificate = params.self_signed(&self.0).map_err(words)?;
        Ok(encode("CERTIFICATE", certificate.der()))
    }
}

impl TryFrom<PrivateKeyDer<'static>> for SigningKey {
    type Error = String;

    fn try_from(key: PrivateKeyDer<'static>) -> Result<Self, String> {
        KeyPair::try_from(&key).map(Self).map_err(|error| error.to_string())
    }
}

//! The parts of a certificate that people and clients look at.

use std::net::{Ipv4Addr, Ipv6Addr};

use chanwire_core::wire::Timestamp;
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::{FromDer as _, X509Version},
};

use super::Pin;

/// A certificate.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// The DNS names and IP addresses that it is for.
    pub(crate) names: Vec<String>,
    /// The beginning of its validity.
    pub(crate) not_before: Timestamp,
    /// The end of its validity.
    pub(crate) not_after: Timestamp,
    /// The pin of its key.
    pub(crate) pin: Pin,
    /// Whether its issuer is its subject.
    pub(crate) is_self_signed: bool,
}

impl Certificate {
    /// Parses the DER encoding.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        if certificate.version() != X509Version::V3 {
            return Err("it has no version 3 of X.509, which every TLS client needs".into());
        }
        let names = match certificate.subject_alternative_name() {
            Ok(Some(extension)) => extension.value.general_names.iter().filter_map(name).collect(),
            Ok(None) => Vec::new(),
            Err(error) => return Err(error.to_string()),
        };
        let validity = certificate.validity();
        Ok(Self {
            names,
            not_before: Timestamp::from_unix(validity.not_before.timestamp()),
            not_after: Timestamp::from_unix(validity.not_after.timestamp()),
            pin: Pin::of(certificate.public_key().raw),
            is_self_signed: certificate.issuer().as_raw() == certificate.subject().as_raw(),
        })
    }
}

/// The time before the end of its validity from which a certificate is to be renewed. Renewals by certbot leave 30 days.
const SOON: i64 = 14 * 86_400;

impl Certificate {
    /// Returns a warning if its time is over, soon over, or has not begun.
    pub(crate) fn expiry(&self, now: Timestamp) -> Option<String> {
        let Self { not_before, not_after, .. } = self;
        if *not_after <= now {
            Some(format!("it expired at {not_after}; renew it"))
        } else if not_after.as_unix() - now.as_unix() <= SOON {
            Some(format!("it expires at {not_after}; renew it"))
        } else if *not_before > now {
            Some(format!("it is not valid before {not_before}; is this machine's clock right?"))
        } else {
            None
        }
    }
}

/// Returns a DNS name or an IP address as text.
fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).into()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(|bytes| Ipv6Addr::from(bytes).to_string())).ok()
        }
        _ => None,
    }
}

//! The check of a server's certificate.

use chanwire_core::wire::Timestamp;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{Certificate, TlsError, provider, trust::Check};

/// Checks the certificate of one server by one rule.
#[derive(Debug)]
pub(super) struct Verifier {
    check: Check,
    /// The names of which the certificate must have one: the server's, and that of the server that lists it.
    names: Vec<ServerName<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(check: Check, names: Vec<ServerName<'static>>) -> Self {
        Self { check, names, algorithms: provider().signature_verification_algorithms }
    }

    fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<(), TlsError> {
        let certificate = Certificate::parse(end_entity).map_err(|error| TlsError::Certificate(error.into()))?;
        let pin = certificate.pin;
        let (authorities, or) = match &self.check {
            Check::Pins { pins, .. } if pins.contains(&pin) => return Ok(()),
            Check::Pins { pins, place } => {
                return Err(TlsError::WrongPin { pin, trusted: pins.clone(), place: place.clone() });
            }
            Check::Chain { authorities, or } => (authorities, or),
        };
        if or.contains(&pin) {
            return Ok(());
        }
        let authorities = authorities.as_ref().map_err(|cause| {
            let words = format!(
                "cannot read the system's certificate authorities: {cause}; name others with --tls-ca, or add --tls-pin \
                 {pin} if the server's owner says that this is its key"
            );
            TlsError::Trust(words.into())
        })?;
        for name in &self.names {
            match authorities.verifier.verify_server_cert(end_entity, intermediates, name, ocsp_response, now) {
                Ok(_) => return Ok(()),
                Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => {}
                Err(error) => return Err(fault(&error, &certificate)),
            }
        }
        let expected = self.names.first().map_or_else(Box::default, |name| name.to_str().into());
        Err(TlsError::WrongName { expected, names: certificate.names })
    }
}

/// Returns the fault of a certificate whose chain was refused.
fn fault(error: &Error, certificate: &Certificate) -> TlsError {
    let &Certificate { not_before, not_after, pin, is_self_signed, .. } = certificate;
    let Error::InvalidCertificate(error) = error else { return TlsError::Certificate(error.to_string().into()) };
    let of_chain = |words: String| TlsError::Certificate(format!("a certificate of its chain {words}").into());
    match error {
        CertificateError::ExpiredContext { not_after: end, .. } if timestamp(*end) != not_after => {
            of_chain(format!("expired at {}; the server's owner must renew the chain", timestamp(*end)))
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsError::Expired(not_after),
        CertificateError::NotValidYetContext { not_before: begin, .. } if timestamp(*begin) != not_before => {
            of_chain(format!("is valid only from {} on", timestamp(*begin)))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsError::NotYetValid(not_before)
        }
        // An issuer may have a trusted one's name and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsError::UnknownIssuer { pin },
        // A certificate that is signed with its own key may be marked as an authority.
        CertificateError::Other(_) if is_self_signed => TlsError::UnknownIssuer { pin },
        error => TlsError::Certificate(error.to_string().into()),
    }
}

fn timestamp(time: UnixTime) -> Timestamp {
    Timestamp::from_unix(time.as_secs().try_into().unwrap_or(i64::MAX))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, ocsp_response, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

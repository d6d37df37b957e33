//! The client's side of a TLS handshake.

use std::{net::IpAddr, sync::Arc};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{ALPN, TlsError, Trust, provider, verifier::Verifier};
use crate::server_address::ServerAddress;

/// Encrypts a stream to a server. A peer's certificate may also be for the name of the server that lists the peer.
pub(crate) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    server: &ServerAddress,
    listed_by: &ServerAddress,
    trust: &Trust,
) -> Result<TlsStream<S>, TlsError> {
    let name = name(server)?;
    let mut names = vec![name.clone()];
    // A name that TLS does not know is in no certificate.
    names.extend(self::name(listed_by).ok().filter(|other| *other != name));
    // Reading the system's authorities may block.
    let check = {
        let (trust, server, listed_by) = (trust.clone(), server.clone(), listed_by.clone());
        let checked = tokio::task::spawn_blocking(move || trust.check(&server, &listed_by)).await;
        checked.map_err(|error| TlsError::Trust(error.to_string().into()))??
    };
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Handshake(error.to_string().into()))?;
    let verifier = Arc::new(Verifier::new(check, names));
    let mut config = config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.into()];
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.map_err(|error| TlsError::of_handshake(&error))
}

/// Returns the host as a name in certificates: without an address's zone, and without the dot at a name's end.
fn name(server: &ServerAddress) -> Result<ServerName<'static>, TlsError> {
    // A Unix socket has none, and is never reached by TLS.
    let host = server.host().unwrap_or_default();
    if let Ok(ip) = host.split('%').next().unwrap_or(host).parse::<IpAddr>() {
        return Ok(ServerName::IpAddress(ip.into()));
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_owned();
    ServerName::try_from(name)
        .map_err(|_| TlsError::Trust(format!("{host} cannot be the name of a server with a certificate").into()))
}

#[cfg(test)]
mod tests;

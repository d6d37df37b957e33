//! Reads the header that a proxy sends before a client's bytes.

use std::{io, net::SocketAddr, time::Duration};

use chanwire_core::proxy_header::{MAX_LENGTH, ProxyHeader, ProxyHeaderError};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

/// Timeout for a whole header.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The reason why a connection has no header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoHeader {
    #[error("{0}")]
    Wrong(#[from] ProxyHeaderError),
    #[error("its PROXY header was not complete after {} seconds", TIMEOUT.as_secs())]
    Late,
    #[error("others came before its PROXY header was complete")]
    Displaced,
    #[error("it ended without a byte")]
    Silent,
    #[error("it ended before its PROXY header was complete")]
    Ended,
    #[error("it failed: {0}")]
    Failed(#[from] io::Error),
}

/// Reads a header, and no byte beyond it. Returns the client's address, if the proxy names one.
pub(crate) async fn read(stream: &mut TcpStream) -> Result<Option<SocketAddr>, NoHeader> {
    timeout(TIMEOUT, read_all(stream)).await.unwrap_or(Err(NoHeader::Late))
}

async fn read_all(stream: &mut TcpStream) -> Result<Option<SocketAddr>, NoHeader> {
    let mut bytes = [0; MAX_LENGTH];
    let mut taken = 0;
    loop {
        // A look first: bytes beyond the header belong to the protocol.
        let seen = taken + stream.peek(bytes.get_mut(taken..).unwrap_or_default()).await?;
        if seen == taken {
            return Err(if taken == 0 { NoHeader::Silent } else { NoHeader::Ended });
        }
        let header = ProxyHeader::parse(bytes.get(..seen).unwrap_or_default())?;
        let end = header.map_or(seen, |header| header.length);
        stream.read_exact(bytes.get_mut(taken..end).unwrap_or_default()).await?;
        if let Some(header) = header {
            return Ok(header.source);
        }
        taken = end;
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncWriteExt as _,
        net::TcpListener,
        time::{advance, pause},
    };

    use super::*;

    /// Returns both ends of a connection: a proxy's, and this server's.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        proxy.set_nodelay(true).unwrap();
        (proxy, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn the_bytes_after_a_header_are_left_to_the_protocol_however_they_arrive() {
        let text = b"PROXY TCP4 192.0.2.7 192.0.2.1 50001 22236\r\n".to_vec();
        let binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\xc0\0\x02\x07\xc0\0\x02\x01\xc3\x51\0\x50\x04\0\0".to_vec();
        for header in [text, binary] {
            for piece in [1, 7, 1000] {
                let (mut proxy, mut server) = pair().await;
                let all = [&header[..], b"LIST\r\n"].concat();
                let write = async {
                    for piece in all.chunks(piece) {
                        proxy.write_all(piece).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                    proxy.shutdown().await.unwrap();
                };
                let read = async {
                    let source = read(&mut server).await.unwrap();
                    assert_eq!(source, Some("192.0.2.7:50001".parse().unwrap()));
                    let mut rest = Vec::new();
                    server.read_to_end(&mut rest).await.unwrap();
                    assert_eq!(rest, b"LIST\r\n");
                };
                tokio::join!(write, read);
            }
        }
    }

    #[tokio::test]
    async fn a_connection_without_a_header_is_told_apart_by_its_reason() {
        let (mut proxy, mut server) = pair().await;
        proxy.write_all(b"LIST\r\n").await.unwrap();
        assert!(matches!(read(&mut server).await, Err(NoHeader::Wrong(ProxyHeaderError::NoHeader))));
        let (mut proxy, mut server) = pair().await;
        proxy.write_all(b"PROXY TCP4 ").await.unwrap();
        drop(proxy);
        assert!(matches!(read(&mut server).await, Err(NoHeader::Ended)));
        let (proxy, mut server) = pair().await;
        drop(proxy);
        assert!(matches!(read(&mut server).await, Err(NoHeader::Silent)));
        let (mut proxy, mut server) = pair().await;
        proxy.write_all(b"PROXY TCP4 ").await.unwrap();
        pause();
        let reading = tokio::spawn(async move { read(&mut server).await });
        tokio::task::yield_now().await;
        advance(TIMEOUT).await;
        assert!(matches!(reading.await.unwrap(), Err(NoHeader::Late)));
        drop(proxy);
    }
}

//! Connections of the load: in plain text, or by TLS with one certificate, which is the only one that is trusted.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    os::fd::AsFd as _,
    sync::Arc,
};

use chanwire_tests::process::TlsPair;
use mio::{Interest, Registry, Token};
use rustix::net::{RecvFlags, recv};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    client::Resumption,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tempfile::TempDir;

use crate::{running::folder, system::TIMEOUT};

/// A certificate for a server's TLS, and the clients' trust in it alone.
pub(crate) struct Certificate {
    pub(crate) pair: TlsPair,
    config: Arc<ClientConfig>,
    _folder: TempDir,
}

impl Certificate {
    /// Makes one as `chanwire tls new` does.
    pub(crate) fn make() -> Self {
        let folder = folder();
        let pair = TlsPair::make(folder.path());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&pair.certificate).expect("a certificate")).expect("a trust anchor");
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of the provider")
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Every system carries out whole handshakes.
        config.resumption = Resumption::disabled();
        Self { pair, config: Arc::new(config), _folder: folder }
    }
}

/// A connection that blocks.
pub(crate) enum Link {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Link {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        Self::Plain(stream)
    }

    /// Goes on by TLS, if there is a certificate.
    pub(crate) fn encrypted(self, by: Option<&Certificate>) -> Self {
        let Some(certificate) = by else { return self };
        let mut stream = self.into_tcp();
        let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST).into());
        let mut session = ClientConnection::new(certificate.config.clone(), name).expect("a session");
        while session.is_handshaking() {
            session.complete_io(&mut stream).expect("a handshake");
        }
        Self::Tls(Box::new(StreamOwned::new(session, stream)))
    }

    /// Returns the socket of a connection in plain text.
    pub(crate) fn into_tcp(self) -> TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(_) => panic!("a connection by TLS is no TCP stream"),
        }
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A connection that does not block.
pub(crate) struct PolledLink {
    stream: mio::net::TcpStream,
    session: Option<Box<ClientConnection>>,
}

impl PolledLink {
    pub(crate) fn register(link: Link, registry: &Registry, number: usize, interest: Interest) -> Self {
        let (stream, session) = match link {
            Link::Plain(stream) => (stream, None),
            Link::Tls(stream) => {
                let (session, stream) = stream.into_parts();
                (stream, Some(Box::new(session)))
            }
        };
        stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).expect("a connection");
        let mut stream = mio::net::TcpStream::from_std(stream);
        registry.register(&mut stream, Token(number), interest).expect("a registration");
        Self { stream, session }
    }

    /// Reads what has come, until the buffer is full or nothing is left.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return self.stream.read(buffer) };
        let mut filled = 0;
        while filled < buffer.len() {
            match session.reader().read(&mut buffer[filled..]) {
                Ok(0) => return Ok(filled),
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => match session.read_tls(&mut self.stream) {
                    Ok(0) => return Ok(filled),
                    Ok(_) => {
                        session.process_new_packets().map_err(io::Error::other)?;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock && filled > 0 => return Ok(filled),
                    Err(error) => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Takes what has come, and returns the number of its bytes. In plain text the kernel throws them away instead of
    /// copying them.
    pub(crate) fn discard(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        if self.session.is_some() {
            return self.read(scratch);
        }
        Ok(recv(self.stream.as_fd(), scratch, RecvFlags::TRUNC).map(|(_, count)| count)?)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let Some(session) = &mut self.session else { return self.stream.write(bytes) };
        let count = session.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    /// Writes what a session has encrypted and not written.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        while session.wants_write() {
            session.write_tls(&mut self.stream)?;
        }
        Ok(())
    }
}

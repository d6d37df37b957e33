//! Connections to servers.

use std::{fmt, io, net::IpAddr, path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
    runtime::Runtime,
    time::timeout,
};

use crate::{driver::Ending, server::OPERATOR_SOCKET, server_address::ServerAddress, socket, threads};

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// What a connection is made to.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Server(ServerAddress),
    /// The server that keeps its data there, with an operator's rights.
    Operator(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(address) => address.fmt(f),
            Self::Operator(data_dir) => data_dir.join(OPERATOR_SOCKET).display().fmt(f),
        }
    }
}

/// Either kind of stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Target {
    /// Connects, or says why not and what to do.
    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, String> {
        match self {
            Self::Server(address) => {
                if address.host().parse::<IpAddr>().is_err() {
                    threads::check()?;
                }
                Ok(Box::new(self.within(socket::connect_to(address)).await?))
            }
            Self::Operator(data_dir) => {
                Ok(Box::new(self.within(UnixStream::connect(data_dir.join(OPERATOR_SOCKET))).await?))
            }
        }
    }

    async fn within<S>(&self, connecting: impl Future<Output = io::Result<S>>) -> Result<S, String> {
        let question = match self {
            Self::Server(_) => "is a server running there?",
            Self::Operator(_) => "is a server running that keeps its data there?",
        };
        let connected = timeout(CONNECT, connecting).await;
        let connected = connected.map_err(|_| format!("no connection within {} seconds", CONNECT.as_secs()))?;
        connected.map_err(|error| format!("cannot connect: {error}; {question}"))
    }
}

/// What a command that talks to one server runs on.
pub(super) fn runtime() -> Result<Runtime, String> {
    threads::runtime_here()
}

/// Why an answer did not come.
pub(super) fn unanswered(ending: &Ending) -> String {
    match ending {
        Ending::Failed(error) => format!("the connection broke before the answer came: {error}"),
        Ending::Closed | Ending::Reset => "the server closed the connection without an answer".into(),
    }
}

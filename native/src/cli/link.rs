//! The server that a command asks.

use std::{fmt, future::Future, path::PathBuf, pin::pin, time::Instant};

use chanwire_core::wire::Response;
use chanwire_inspect::visible;
use tokio::{
    net::UnixStream,
    runtime::Runtime,
    time::{timeout, timeout_at},
};

use super::{Failure, ask, progress::Progress};
use crate::{
    client::{CONNECT_TIMEOUT, Connection, Connector, Error, ErrorKind, SignInError},
    server::OPERATOR_SOCKET,
    threads,
};

/// A server, and the way to it.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Server(Connector),
    /// The server that keeps its data there, with an operator's rights.
    Operator(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(connector) => connector.server().fmt(f),
            Self::Operator(data_dir) => data_dir.join(OPERATOR_SOCKET).display().fmt(f),
        }
    }
}

impl Target {
    /// Connects.
    ///
    /// # Errors
    ///
    /// The reason, with the target and advice.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        match self {
            Self::Server(connector) => {
                let opened = Connection::open(connector, connector.server()).await;
                opened.map_err(|error| failure(&error))
            }
            Self::Operator(data_dir) => {
                let connecting = UnixStream::connect(data_dir.join(OPERATOR_SOCKET));
                let connected = match timeout(CONNECT_TIMEOUT, connecting).await {
                    Ok(connected) => connected.map_err(|error| {
                        format!("{self}: cannot connect: {error}; is a server running that keeps its data there?")
                    }),
                    Err(_) => Err(format!("{self}: {}", ErrorKind::ConnectTimeout(CONNECT_TIMEOUT))),
                };
                Ok(Connection::over(connected?, self.to_string()))
            }
        }
    }
}

/// Returns the failure of a command by an error, with the exit code of a refusal where the server refused to sign in.
pub(super) fn failure(error: &Error) -> Failure {
    let code = match error.kind() {
        ErrorKind::SignIn(SignInError::Refused(refusal)) => ask::code(refusal.blame),
        _ => 1,
    };
    Failure { words: visible(&error.to_string()).into_owned(), code }
}

/// Starts the runtime of a command that talks to one server.
pub(super) fn runtime() -> Result<Runtime, String> {
    threads::runtime_here()
}

/// Waits for a server's answer, and shows on a terminal for how long.
pub(super) async fn watched<T>(server: impl fmt::Display, answering: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let mut progress = Progress::beside_output();
    let mut answering = pin!(answering);
    loop {
        let Some(next) = progress.next() else { return answering.await };
        match timeout_at(next.into(), &mut answering).await {
            Ok(answer) => return answer,
            Err(_) => progress.update(format_args!("waiting for {server}, {} s", started.elapsed().as_secs())),
        }
    }
}

/// Makes an answer of an error that the server gave, be it an answer or the reason why it closes.
///
/// # Errors
///
/// The reason why there is none, with the server.
pub(super) fn answer(answered: Result<Response, Error>) -> Result<Response, Failure> {
    answered.or_else(|error| match error.kind() {
        ErrorKind::Refused(refusal) | ErrorKind::Closing(refusal) => Ok(Response::Error(refusal.clone())),
        ErrorKind::SignIn(_) => Err(failure(&error)),
        kind => Err(format!("{}: {}", error.server(), unanswered(kind)).into()),
    })
}

/// Describes why an answer did not come.
pub(super) fn unanswered(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::Broken(error) => format!("the connection broke before the answer came: {error}"),
        ErrorKind::Closed => "the server closed the connection without an answer".into(),
        kind => visible(&kind.to_string()).into_owned(),
    }
}

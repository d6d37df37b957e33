//! Signing in to an account, before anything else is sent on a connection.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use chanwire_core::{
    Limits,
    endpoint::{Client, ClientEvent},
    wire::{Credentials, ErrorResponse, Request, Response},
};
use tokio::sync::oneshot;

use super::ErrorKind;
use crate::{
    clock::Clock,
    driver::{self, Application, Ending},
    server_address::ServerAddress,
    tls::Stream,
};

/// The error of a server that does not know AUTH.
const UNKNOWN_COMMAND: &str = "Unknown command";

/// The errors of a server that is asked later with more success.
const TOO_MANY_ATTEMPTS: &str = "Too many attempts";

/// The credentials of a client.
#[derive(Clone, Debug)]
pub(crate) struct SignIn {
    pub(crate) credentials: Credentials,
    /// Whether they may be sent in plain text to another machine.
    pub(crate) allows_plaintext: bool,
}

/// The reason why a client did not sign in to its account. Nothing else was sent.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// The server refused the credentials.
    #[error("cannot sign in: {0}")]
    Refused(ErrorResponse),
    /// The server does not know AUTH.
    #[error("cannot sign in: the server is older than accounts; connect without one")]
    Unsupported,
    /// The connection is not encrypted, so the credentials were not sent.
    #[error(
        "cannot sign in: the connection is not encrypted, and others could read the password or token on its way; use \
         a tls:// address, or allow it with --allow-plaintext-password"
    )]
    Plaintext,
    /// A peer hosts the channel, and the credentials are for the server that lists it.
    #[error("{0} hosts the channel, and a password or token is sent to no other server than its own; ask {0} itself")]
    Elsewhere(ServerAddress),
}

impl SignInError {
    /// Returns whether it may succeed later although nothing is changed.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, Self::Refused(error) if error.error == TOO_MANY_ATTEMPTS)
    }
}

impl SignIn {
    /// Signs in on a new connection to the server.
    pub(super) async fn run(&self, stream: &mut Stream) -> Result<(), ErrorKind> {
        if !(self.allows_plaintext || stream.is_private()) {
            return Err(ErrorKind::SignIn(SignInError::Plaintext));
        }
        let clock = Clock::start();
        let mut client = Client::new(Limits::client());
        let (done, mut outcome) = oneshot::channel();
        let mut attempt = Attempt { request: Some(Request::Auth(self.credentials.clone())), done: Some(done) };
        // The stream is as it was where this is dropped: nothing comes unasked before the next request.
        let ending = tokio::select! {
            biased;
            outcome = &mut outcome => return outcome.unwrap_or(Err(ErrorKind::Closed)),
            ending = driver::drive(&mut client, stream, &mut attempt, clock) => ending,
        };
        match (outcome.try_recv(), ending) {
            (Ok(outcome), _) => outcome,
            (Err(_), Ending::Failed(error)) => Err(ErrorKind::Broken(Arc::new(error))),
            (Err(_), Ending::Reset) => Err(ErrorKind::WriteTimeout),
            (Err(_), Ending::Closed) => Err(ErrorKind::Closed),
        }
    }
}

/// The one request of a connection that signs in.
struct Attempt {
    request: Option<Request>,
    /// Takes the outcome, once.
    done: Option<oneshot::Sender<Result<(), ErrorKind>>>,
}

impl Application<Client> for Attempt {
    fn on_event(&mut self, _: &mut Client, _: Clock, event: ClientEvent) {
        let outcome = match event {
            ClientEvent::Answer { response: Response::Authenticated { .. }, .. } => Ok(()),
            ClientEvent::Answer { response: Response::Error(error), .. } => {
                Err(ErrorKind::SignIn(match &*error.error {
                    UNKNOWN_COMMAND => SignInError::Unsupported,
                    _ => SignInError::Refused(error),
                }))
            }
            ClientEvent::Closing(error) => Err(ErrorKind::Closing(error)),
            ClientEvent::Broken(violation) => Err(ErrorKind::Violation(violation)),
            ClientEvent::Ended { .. } => Err(ErrorKind::Closed),
            _ => return,
        };
        if let Some(done) = self.done.take() {
            // The caller may have stopped waiting.
            let _ = done.send(outcome);
        }
    }

    fn poll_call(&mut self, client: &mut Client, clock: Clock, _: &mut Context<'_>) -> Poll<()> {
        match self.request.take() {
            Some(request) => {
                // A connection without a request takes one.
                let _ = client.send(clock.now(), &request);
                Poll::Ready(())
            }
            None => Poll::Pending,
        }
    }
}

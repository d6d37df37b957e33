//! Sending a message so that it is stored once, whatever happens to connections and servers meanwhile.

use std::time::Duration;

use chanwire_core::wire::{ClientMessageId, ErrorResponse, Message, Request, Response};

use super::{Backoff, Error, ErrorKind, Unanswered, connection::Connection, is_lost, is_repeatable};
use crate::clock::since_boot;

/// The most times that a message is sent again: for about 8 seconds, in which a server restarts.
pub(crate) const RETRIES: u32 = 5;

/// A message that is sent until it is answered, a bounded number of times.
///
/// A server that knows ids stores it once within its window. To an older server it is sent again only if it was certainly
/// not received. Once a server may have received it, no failure says that it was not stored, except a
/// [decisive](is_decisive) one.
#[derive(Debug)]
pub(crate) struct Sending {
    message: Message,
    id: ClientMessageId,
    backoff: Backoff,
    retries: u32,
    received: Option<Received>,
}

/// The tries that a server may have received.
#[derive(Debug)]
struct Received {
    /// The time since boot of the first one.
    first: Duration,
    /// The window of the server.
    window: Duration,
    /// The failure of the last one whose outcome is unknown.
    error: Error,
}

/// Returns a new id for a message.
pub(crate) fn random_id() -> Result<ClientMessageId, ErrorKind> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(no_random_numbers)?;
    Ok(ClientMessageId::from_random(u128::from_ne_bytes(bits)))
}

fn no_random_numbers(error: getrandom::Error) -> ErrorKind {
    ErrorKind::System(format!("no random numbers: {error}").into())
}

impl Sending {
    /// Takes a message, with its id if it has one.
    pub(crate) fn new(message: Message) -> Result<Self, ErrorKind> {
        let id = message.client_message_id.clone().map_or_else(random_id, Ok)?;
        let backoff = Backoff::new(getrandom::u64().map_err(no_random_numbers)?);
        Ok(Self { message, id, backoff, retries: 0, received: None })
    }

    /// Sends the message once, under its id if the server knows ids.
    pub(crate) async fn send(&mut self, connection: &Connection) -> Result<Response, Unanswered> {
        // Without an answer to HELLO the message is not sent.
        let window = connection.retry_window().await.map_err(|lost| Unanswered { sent: false, ..lost })?;
        let began = since_boot();
        self.check(began, window)?;
        let mut message = self.message.clone();
        if window.is_some() {
            message.client_message_id = Some(self.id.clone());
        }
        let answered = connection.request(Request::Message(message)).await;
        if let (Err(Unanswered { sent: true, error }), Some(window)) = (&answered, window)
            && error.is_temporary()
        {
            self.was_received(began, window, error);
        }
        answered
    }

    /// Refuses another try if this server could store the message a second time.
    fn check(&mut self, now: Duration, window: Option<Duration>) -> Result<(), Unanswered> {
        match &mut self.received {
            Some(received) if !window.is_some_and(|window| received.is_repeatable(now, window)) => {
                self.retries = RETRIES;
                Err(Unanswered { error: received.error.clone(), sent: true })
            }
            _ => Ok(()),
        }
    }

    /// Handles the failure of a try that a server with this window may have received.
    fn was_received(&mut self, began: Duration, window: Duration, error: &Error) {
        match &mut self.received {
            // A server that stops did not carry out this try, which says nothing of those before.
            Some(_) if error.retry_after().is_some() => {}
            Some(received) => received.error = error.clone(),
            None => self.received = Some(Received { first: began, window, error: error.clone() }),
        }
    }

    /// Returns the time to wait before the message is sent again, or the error if it is not.
    pub(crate) fn wait(&mut self, unanswered: Unanswered) -> Result<Duration, Error> {
        self.wait_from(since_boot(), unanswered)
    }

    fn wait_from(&mut self, now: Duration, Unanswered { error, sent }: Unanswered) -> Result<Duration, Error> {
        let has_retries = self.retries < RETRIES;
        let wait = match &self.received {
            Some(received) => {
                let wait = self.backoff.wait(error.retry_after());
                let repeats =
                    has_retries && error.is_temporary() && received.is_repeatable(now + wait, received.window);
                let reason = if error.refusal().is_some_and(is_decisive) { &error } else { &received.error };
                repeats.then_some(wait).ok_or_else(|| reason.clone())?
            }
            // The connection was lost before the message was sent.
            None if self.retries == 0 && !sent && is_lost(&error) => Duration::ZERO,
            None => return Err(error),
        };
        self.retries += 1;
        Ok(wait)
    }
}

impl Received {
    fn is_repeatable(&self, now: Duration, window: Duration) -> bool {
        is_repeatable(now.saturating_sub(self.first), window)
    }
}

/// Returns whether this refusal of a repeated message says that it is not stored. A server gives others before it looks
/// for the message's id.
pub(crate) fn is_decisive(refusal: &ErrorResponse) -> bool {
    matches!(&*refusal.error, "Message id reused" | "Limit reached")
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use super::*;

    const WINDOW: Duration = Duration::from_secs(3600);
    const START: Duration = Duration::from_secs(1_000_000);

    fn error(kind: ErrorKind) -> Error {
        Error::new("192.0.2.1:22236", kind)
    }

    fn closed() -> Error {
        error(ErrorKind::Closed)
    }

    fn not_connected() -> Unanswered {
        let kind = ErrorKind::Connect(Arc::new(io::ErrorKind::ConnectionRefused.into()));
        Unanswered { error: error(kind), sent: false }
    }

    fn sending() -> Sending {
        let (username, channel_name) = ("ann".parse().unwrap(), None);
        let message = Message { username, message_content: "a".into(), channel_name, client_message_id: None };
        Sending::new(message).unwrap()
    }

    /// Returns a message whose first answer was lost.
    fn received() -> Sending {
        let mut sending = sending();
        sending.was_received(START, WINDOW, &closed());
        sending.wait_from(START, Unanswered { error: closed(), sent: true }).unwrap();
        sending
    }

    #[test]
    fn a_message_that_may_be_stored_never_fails_as_if_nothing_was_sent() {
        let mut sending = received();
        let given_up = std::iter::repeat_with(|| sending.wait_from(START, not_connected())).find_map(Result::err);
        assert!(matches!(given_up.unwrap().kind(), ErrorKind::Closed));
        assert_eq!(sending.retries, RETRIES);
        // No connection, and nothing was sent before.
        let given_up = super::tests::sending().wait_from(START, not_connected()).unwrap_err();
        assert!(matches!(given_up.kind(), ErrorKind::Connect(_)));
    }

    #[test]
    fn only_a_refusal_that_decides_says_that_a_repeated_message_is_not_stored() {
        for (name, decides) in [
            ("Message id reused", true),
            ("Limit reached", true),
            ("Channel not found", false),
            ("Channel hosted elsewhere", false),
        ] {
            let refusal = || error(ErrorKind::Refused(ErrorResponse::request(name, "x")));
            let given_up = received().wait_from(START, Unanswered { error: refusal(), sent: true }).unwrap_err();
            assert_eq!(given_up.refusal().is_some(), decides, "{name}");
            let given_up = sending().wait_from(START, Unanswered { error: refusal(), sent: true }).unwrap_err();
            assert_eq!(given_up.refusal().unwrap().error, name);
        }
    }

    #[test]
    fn a_server_that_stops_does_not_say_that_earlier_tries_were_not_received() {
        let mut sending = received();
        let stopping = error(ErrorKind::Closing(ErrorResponse::server_stopping(1)));
        sending.was_received(START, WINDOW, &stopping);
        let given_up = std::iter::repeat_with(|| sending.wait_from(START, not_connected())).find_map(Result::err);
        assert!(matches!(given_up.unwrap().kind(), ErrorKind::Closed));
    }

    #[test]
    fn a_message_is_not_repeated_near_the_end_of_the_window_nor_to_an_older_server() {
        for (window, seconds, repeats) in
            [(Some(WINDOW), 3500, true), (Some(WINDOW), 3541, false), (Some(WINDOW / 2), 1800, false), (None, 0, false)]
        {
            let mut sending = received();
            let checked = sending.check(START + Duration::from_secs(seconds), window);
            assert_eq!(checked.is_ok(), repeats, "{window:?} {seconds}");
            if let Err(unanswered) = checked {
                assert!(sending.wait_from(START, unanswered).is_err());
            }
            assert!(super::tests::sending().check(START, window).is_ok());
        }
        let late = START + Duration::from_secs(3541);
        assert!(received().wait_from(late, not_connected()).is_err());
    }

    #[test]
    fn a_restart_of_some_seconds_is_bridged() {
        let mut sending = sending();
        sending.was_received(START, WINDOW, &closed());
        let waits = std::iter::repeat_with(|| sending.wait_from(START, not_connected())).map_while(Result::ok);
        let total: Duration = waits.sum();
        assert!(total > Duration::from_millis(3800) && total < Duration::from_secs(8), "{total:?}");
    }
}

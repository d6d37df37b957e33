//! Limits of what one connection may cost.

use core::time::Duration;

/// The limits of one connection. Every one is enforced by the endpoints, and named in the answer that it causes.
///
/// | limit | server | client | precedent |
/// |---|---|---|---|
/// | `max_payload` | 64 KiB | 64 MiB | the protocol; an SMTP server's line and message limits are separate in the same way |
/// | `frame_timeout` | 120 s | 120 s | the protocol; nginx gives a request's header 60 s |
/// | `write_timeout` | 10 s | 10 s | the protocol; NATS resets a client that takes nothing for 10 s |
/// | `linger` | 2 s | 2 s | the protocol; nginx's `lingering_timeout` is 5 s |
/// | `answer_timeout` | – | 30 s | libpq and Redis clients wait without end, people do not |
/// | `max_in_flight` | 1,024 | 1,024 | HTTP/2 servers allow 100 to 1,000 streams |
/// | `max_in_flight_bytes` | 256 KiB | – | four of the largest payloads |
/// | `max_unsent` | 256 KiB | – | the size of a large socket buffer |
/// | `list_ahead` | 64 KiB | – | what one large write takes |
/// | `max_pushed` | 1 MiB | – | the protocol; Redis drops a subscriber at 8 to 32 MiB, NATS at 64 MiB |
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest payload that is read, in bytes from its first bracket to its last.
    pub max_payload: usize,
    /// The time that a frame may take from its first byte to its last.
    pub frame_timeout: Duration,
    /// The time for which bytes may wait for a peer that takes none of them.
    pub write_timeout: Duration,
    /// The time for which a closing connection reads on, so that no reset destroys answers on their way.
    pub linger: Duration,
    /// The time for which a client waits for the oldest answer that it is owed.
    pub answer_timeout: Duration,
    /// The number of requests that may be unanswered before reading stops.
    pub max_in_flight: usize,
    /// The payload bytes of unanswered requests that may be held before reading stops. LIST and HISTORY count 256 KiB,
    /// since their answers can be large.
    pub max_in_flight_bytes: usize,
    /// The bytes of answers that may be unsent before reading stops. The answers to what is in flight then may come on
    /// top of it.
    pub max_unsent: usize,
    /// The bytes of a list that are held in memory ahead of what is written. It is all that a peer which stops reading
    /// keeps of a list that has changed since.
    pub list_ahead: usize,
    /// The bytes of live pushes that may be unsent before the reader is too slow.
    pub max_pushed: usize,
    /// The time for which a message may be sent again under its `client_message_id` without being stored twice, for HELLO:
    /// the `retry_window` of the [`HubLimits`](crate::hub::HubLimits). `None` where nothing decides by these ids: HELLO
    /// then does not name them. It is no default, since not every application has a hub.
    pub retry_window: Option<Duration>,
    /// Whether the application has accounts, for HELLO: see [`Hello::AUTH`](crate::wire::Hello::AUTH).
    pub accounts: bool,
    /// Whether AUTH may come without encryption from another machine.
    pub plaintext_auth: bool,
}

impl Limits {
    /// Returns the protocol's defaults for a server's connection.
    #[must_use]
    pub const fn server() -> Self {
        Self {
            max_payload: 65_536,
            frame_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_secs(10),
            linger: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(30),
            max_in_flight: 1024,
            max_in_flight_bytes: 256 * 1024,
            max_unsent: 256 * 1024,
            list_ahead: 64 * 1024,
            max_pushed: 1024 * 1024,
            retry_window: None,
            accounts: false,
            plaintext_auth: false,
        }
    }

    /// Returns the protocol's defaults for a client's connection: as a server's, but answers may be 64 MiB.
    #[must_use]
    pub const fn client() -> Self {
        Self { max_payload: 64 * 1024 * 1024, ..Self::server() }
    }
}

//! The log's event at the end of each connection.

use chanwire_core::{
    Time,
    endpoint::{ConnectionEnd, Reason, Server, Traffic},
};

use super::{Accepted, Session};

/// Logs the end of a connection: its reason, and what it exchanged. Everything in it is a number, one of the server's
/// own words, or the name of an account, which has no character that must be escaped.
pub(super) fn log(session: &Session, server: &Server, end: ConnectionEnd, now: Time) {
    let Accepted { id, kind, peer, listener, .. } = session.accepted;
    let ConnectionEnd { reason, limit, .. } = end;
    let throttled = server.throttled(now).map_or(0, |times| (times.connection + times.address).as_millis());
    let Traffic { received_bytes: received, sent_bytes: sent, requests, refusals: faults, pushes, .. } =
        *server.traffic();
    macro_rules! event {
        ($level:ident) => {
            tracing::$level!(
                event = "connection_ended",
                id = id.0,
                peer = peer.map(tracing::field::display),
                listener = listener.map(|listener| listener.index()),
                kind = kind.name(),
                account = session.sign_ins.account(),
                reason = reason.as_str(),
                limit = limit.map(|(name, _)| name),
                value = limit.map(|(_, value)| value),
                seconds = now.since(session.begin).as_secs(),
                requests,
                faults,
                received,
                sent,
                pushes,
                throttled_ms = u64::try_from(throttled).unwrap_or(u64::MAX),
                "connection ended"
            )
        };
    }
    // A client that leaves is no news: a tracker has one connection for each request.
    if reason == Reason::ClientClosed {
        event!(debug);
    } else {
        event!(info);
    }
}

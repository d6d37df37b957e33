//! Connections, as CONNECTIONS lists them.

#![expect(clippy::exhaustive_structs, reason = "callers build these values, and the protocol fixes their fields")]

use alloc::string::String;

use super::{
    encode,
    fields::{
        CONNECTION, JOINED_CHANNELS, LISTENER, PEER, PUSHES, RECEIVED_BYTES, REQUESTS, SECONDS, SENT_BYTES,
        WAITING_BYTES,
    },
    payload::{MembersOf, PayloadFault},
};

/// A server's connection, as CONNECTIONS lists it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ConnectionRow {
    /// Its number, which is also in the server's log: connections are counted as they are accepted.
    pub connection: u64,
    /// The address from which it came; `unknown` without address rights, and `operator` for one of the operator.
    pub peer: String,
    /// The address of the listener that accepted it; `None` for one of the operator.
    pub listener: Option<String>,
    /// The whole seconds for which it is open.
    pub seconds: u64,
    /// Its requests.
    pub requests: u64,
    /// Bytes received from it.
    pub received_bytes: u64,
    /// Bytes sent to it.
    pub sent_bytes: u64,
    /// Messages pushed to it.
    pub pushes: u64,
    /// Channels that it has joined.
    pub joined: u64,
    /// Bytes that wait until it reads.
    pub waiting_bytes: u64,
}

impl ConnectionRow {
    pub(super) fn of(members: &MembersOf<'_, 10>) -> Result<Self, PayloadFault> {
        Ok(Self {
            connection: members.integer(CONNECTION)?,
            peer: members.text(PEER)?,
            listener: members.optional_text(LISTENER)?,
            seconds: members.integer(SECONDS)?,
            requests: members.integer(REQUESTS)?,
            received_bytes: members.integer(RECEIVED_BYTES)?,
            sent_bytes: members.integer(SENT_BYTES)?,
            pushes: members.integer(PUSHES)?,
            joined: members.integer(JOINED_CHANNELS)?,
            waiting_bytes: members.integer(WAITING_BYTES)?,
        })
    }

    pub(super) fn write(&self, object: &mut encode::Object<'_>) {
        object
            .integer(CONNECTION, self.connection)
            .text(PEER, &self.peer)
            .optional_text(LISTENER, self.listener.as_deref())
            .integer(SECONDS, self.seconds)
            .integer(REQUESTS, self.requests)
            .integer(RECEIVED_BYTES, self.received_bytes)
            .integer(SENT_BYTES, self.sent_bytes)
            .integer(PUSHES, self.pushes)
            .integer(JOINED_CHANNELS, self.joined)
            .integer(WAITING_BYTES, self.waiting_bytes);
    }
}

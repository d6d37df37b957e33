//! Channels, as CHANNELS lists them.

#![expect(clippy::exhaustive_structs, reason = "callers build these values, and the protocol fixes their fields")]

use super::{
    Channel, encode,
    fields::{BEHIND, LAST_ID, MEMBERS_ONLY, POSITION, STORED_BYTES, SUBSCRIBERS},
    payload::{MembersOf, PayloadFault},
};

/// A channel, as CHANNELS lists it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ListedChannel {
    /// The channel.
    pub channel: Channel,
    /// Its place in the order of creation, from 1. It stays while the channel is listed, and a channel that is created
    /// later has a greater one.
    pub position: u64,
    /// The id of its last message, 0 if it has none; `None` if the channel lives elsewhere or may not be read.
    pub last_id: Option<u64>,
    /// Whether only members may read and write it.
    pub members_only: bool,
    /// Its use, which only the operator is told, of channels that live at the server.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub activity: Option<ChannelActivity>,
}

/// The use of a channel, as CHANNELS tells the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ChannelActivity {
    /// Connections that have joined it.
    pub joined: u64,
    /// Those of them that still lack stored messages.
    pub behind: u64,
    /// Bytes of the texts that were stored in it since the server's start.
    pub stored_bytes: u64,
}

impl ListedChannel {
    pub(super) fn of(members: &MembersOf<'_, 9>) -> Result<Self, PayloadFault> {
        let joined = members.optional_integer(SUBSCRIBERS)?;
        let behind = members.optional_integer(BEHIND)?.unwrap_or(0);
        let stored_bytes = members.optional_integer(STORED_BYTES)?.unwrap_or(0);
        Ok(Self {
            channel: Channel::of(members)?,
            position: members.integer(POSITION)?,
            last_id: members.optional_integer(LAST_ID)?,
            members_only: members.optional_flag(MEMBERS_ONLY)?.unwrap_or(false),
            activity: joined.map(|joined| ChannelActivity { joined, behind, stored_bytes }),
        })
    }

    pub(super) fn write(&self, object: &mut encode::Object<'_>) {
        self.channel.write(object);
        object.integer(POSITION, self.position).optional_integer(LAST_ID, self.last_id);
        if self.members_only {
            object.flag(MEMBERS_ONLY, true);
        }
        if let Some(ChannelActivity { joined, behind, stored_bytes }) = self.activity {
            object.integer(SUBSCRIBERS, joined).integer(BEHIND, behind).integer(STORED_BYTES, stored_bytes);
        }
    }
}

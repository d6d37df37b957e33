//! Channels and messages.

#![expect(clippy::exhaustive_structs, reason = "callers build these values, and the protocol fixes their fields")]

use alloc::{format, string::String, vec::Vec};

use super::{
    AccountName, Address, ChannelName, ClientMessageId, Status, Timestamp, Username, encode,
    fields::{
        ACCOUNT, CHANNEL_NAME, DELETED, DELETES, ID, MESSAGE_CONTENT, PEER_SERVER_IP, PEER_SERVER_PORT, STORED_MESSAGE,
        TIMESTAMP, USERNAME,
    },
    payload::{Members, MembersOf, PayloadFault},
};

/// A channel and where it is hosted: what HOST registers and LIST lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Channel {
    /// Its name.
    pub channel_name: ChannelName,
    /// The address of its peer server.
    pub address: Address,
}

/// A message to be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Message {
    /// The user who sends it.
    pub username: Username,
    /// The text.
    pub message_content: String,
    /// The channel it is for; without one, the one channel of the address it is sent to.
    pub channel_name: Option<ChannelName>,
    /// The client's id of it, by which it may be sent again without being stored twice.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub client_message_id: Option<ClientMessageId>,
}

/// A message as its channel keeps it: what a push carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StoredMessage {
    /// The channel it is in.
    pub channel_name: ChannelName,
    /// Its number in the channel: 1 for the first, then without a gap, below 2^53.
    pub id: u64,
    /// The user who sent it.
    pub username: Username,
    /// The text.
    pub message_content: String,
    /// The time at which the server took it. Never below that of the message before.
    pub timestamp: Timestamp,
    /// The account of the user, which the server has verified; `None` for a guest, who may have given any name.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub account: Option<AccountName>,
    /// Whether it is deleted. Its text is lost, and its content is [`DELETED_CONTENT`].
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "core::ops::Not::not"))]
    pub deleted: bool,
    /// The number of the message that it deletes, if it is the record of a deletion.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub deletes: Option<u64>,
}

/// The content of a message that is deleted.
pub const DELETED_CONTENT: &str = "(deleted)";

impl Channel {
    pub(super) fn of<const SIZE: usize>(members: &MembersOf<'_, SIZE>) -> Result<Self, PayloadFault> {
        Ok(Self {
            channel_name: members.name(CHANNEL_NAME)?,
            address: members.address(PEER_SERVER_IP, PEER_SERVER_PORT)?,
        })
    }

    pub(super) fn write(&self, object: &mut encode::Object<'_>) {
        object
            .text(CHANNEL_NAME, &self.channel_name)
            .text(PEER_SERVER_IP, self.address.host())
            .integer(PEER_SERVER_PORT, self.address.port().into());
    }
}

impl StoredMessage {
    /// Makes a guest's message.
    #[must_use]
    pub const fn new(
        channel_name: ChannelName,
        id: u64,
        username: Username,
        message_content: String,
        timestamp: Timestamp,
    ) -> Self {
        Self { channel_name, id, username, message_content, timestamp, account: None, deleted: false, deletes: None }
    }

    /// Makes the record of a deletion, which takes a number of its own: `deletes` is that of the deleted message.
    #[must_use]
    pub fn record(channel_name: ChannelName, id: u64, username: Username, deletes: u64, timestamp: Timestamp) -> Self {
        let message_content = format!("Deleted message {deletes}");
        Self { deletes: Some(deletes), ..Self::new(channel_name, id, username, message_content, timestamp) }
    }

    /// Returns what is left of it once it is deleted.
    #[must_use]
    pub fn tombstone(self) -> Self {
        Self { message_content: DELETED_CONTENT.into(), deleted: true, ..self }
    }

    /// Reads the payload of a push.
    ///
    /// # Errors
    ///
    /// The first wrong thing in it.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadFault> {
        Self::of(&Members::read(payload, &STORED_MESSAGE)?)
    }

    pub(super) fn of(members: &Members<'_>) -> Result<Self, PayloadFault> {
        Ok(Self {
            channel_name: members.name(CHANNEL_NAME)?,
            id: members.integer(ID)?,
            username: members.name(USERNAME)?,
            message_content: members.content(MESSAGE_CONTENT)?,
            timestamp: members.timestamp(TIMESTAMP)?,
            account: members.optional_name(ACCOUNT)?,
            deleted: members.optional_flag(DELETED)?.unwrap_or(false),
            deletes: members.optional_integer(DELETES)?,
        })
    }

    /// Appends the frame by which it is pushed, in canonical bytes.
    pub fn encode_push(&self, out: &mut Vec<u8>) {
        encode::start_line(out, Status::Push);
        encode::object(out, |object| self.write(object));
    }

    /// Returns the length of that frame where no text needs an escape. It is longer by the escapes.
    pub(crate) fn plain_push_length(&self) -> usize {
        const WITHOUT_TEXTS: &str = "MESSAGE\r\n{\"channel_name\": \"\", \"id\": , \"username\": \"\", \"message_content\": \"\", \
                                     \"timestamp\": \"1970-01-01T00:00:00Z\"}";
        WITHOUT_TEXTS.len()
            + digits(self.id)
            + self.channel_name.len()
            + self.username.len()
            + self.message_content.len()
            + self.account.as_ref().map_or(0, |account| ", \"account\": \"\"".len() + account.len())
            + if self.deleted { ", \"deleted\": true".len() } else { 0 }
            + self.deletes.map_or(0, |id| ", \"deletes\": ".len() + digits(id))
    }

    pub(super) fn write(&self, object: &mut encode::Object<'_>) {
        object
            .text(CHANNEL_NAME, &self.channel_name)
            .integer(ID, self.id)
            .text(USERNAME, &self.username)
            .text(MESSAGE_CONTENT, &self.message_content)
            .display(TIMESTAMP, self.timestamp)
            .optional_text(ACCOUNT, self.account.as_deref());
        if self.deleted {
            object.flag(DELETED, true);
        }
        object.optional_integer(DELETES, self.deletes);
    }
}

/// Returns the number of digits of a number.
pub(super) fn digits(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

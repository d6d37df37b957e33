//! Users of a channel.

#![expect(clippy::exhaustive_structs, reason = "callers build these values, and the protocol fixes their fields")]

use super::{
    AccountName, Username, encode,
    fields::{ACCOUNT, USERNAME},
    payload::{MembersOf, PayloadFault},
};

/// A user who has joined a channel under a name, or joins or leaves it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct User {
    /// The name.
    pub username: Username,
    /// The account; `None` for a guest.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub account: Option<AccountName>,
}

impl User {
    pub(super) fn of(members: &MembersOf<'_, 2>) -> Result<Self, PayloadFault> {
        Ok(Self { username: members.name(USERNAME)?, account: members.optional_name(ACCOUNT)? })
    }

    pub(super) fn write(&self, object: &mut encode::Object<'_>) {
        object.text(USERNAME, &self.username).optional_text(ACCOUNT, self.account.as_deref());
    }
}

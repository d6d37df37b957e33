//! Moderation of a channel by a client.

use chanwire_core::wire::{ChannelName, ChannelSettings, ListedRole, Request, Response, Role, RoleTarget};

use super::{Client, Error};

/// The settings of a channel, and its roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moderation {
    /// The settings.
    pub settings: ChannelSettings,
    /// The roles. Only the host, the operator and moderators are shown them.
    pub roles: Vec<ListedRole>,
}

/// Requests of the host, a moderator or an operator. Each returns [`ErrorKind::Refused`](super::ErrorKind::Refused) among
/// others where the client may not do this.
impl Client {
    /// Deletes a message of a channel; the account that sent it may do that too. When this returns, its text is replaced,
    /// and the record of its deletion is the channel's newest message. A message that is deleted already is left as it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Refused`](super::ErrorKind::Refused) among others where the client may not delete it, or where the
    /// channel does not keep it; see [`ErrorKind`](super::ErrorKind).
    pub async fn delete(&self, channel_name: &ChannelName, id: u64) -> Result<(), Error> {
        let request = Request::Delete { channel_name: channel_name.clone(), id };
        self.ask_host(channel_name, request).await.map(drop)
    }

    /// Gives somebody a role in a channel, in place of the one there is, for so many seconds or until another is given.
    /// `None` takes the role away.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`](super::ErrorKind).
    pub async fn set_role(
        &self,
        channel_name: &ChannelName,
        target: RoleTarget,
        role: Option<Role>,
        seconds: Option<u32>,
    ) -> Result<(), Error> {
        let request = Request::Role { channel_name: channel_name.clone(), target, role, seconds };
        self.ask_host(channel_name, request).await.map(drop)
    }

    /// Returns the settings of a channel, and its roles where the client may give some.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`](super::ErrorKind).
    pub async fn settings(&self, channel_name: &ChannelName) -> Result<Moderation, Error> {
        self.change_settings(channel_name, None, None).await
    }

    /// Changes the settings of a channel that are given, and returns those in force.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`](super::ErrorKind).
    pub async fn change_settings(
        &self,
        channel_name: &ChannelName,
        members_only: Option<bool>,
        slow_mode: Option<u16>,
    ) -> Result<Moderation, Error> {
        let request = Request::Settings { channel_name: channel_name.clone(), members_only, slow_mode };
        Ok(match self.ask_host(channel_name, request).await? {
            Response::Settings { settings, roles, .. } => Moderation { settings, roles },
            // The endpoint decodes an answer by its request.
            _ => Moderation::default(),
        })
    }
}

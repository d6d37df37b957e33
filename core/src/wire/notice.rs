//! Notices: news of a channel that are no messages.

#![expect(clippy::exhaustive_structs, reason = "callers build these values, and the protocol fixes their fields")]

use alloc::{string::String, vec::Vec};

use super::{
    ChannelName, ChannelSettings, Role, Status, Timestamp, User, encode,
    fields::{
        CHANNEL_NAME, COUNT, JOINED_USERS, LEFT_USERS, NEWS, NOTICE, PRESENCE, ROLE, ROLE_NOTICE, SETTINGS, UNTIL, USER,
    },
    moderation::word_of,
    payload::{Members, PayloadFault},
};

/// News of a channel that is no message, for a connection that joined it and asked for notices with HELLO. It answers
/// no request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Notice {
    /// `presence`: connections have joined or left the channel.
    Presence(Presence),
    /// `settings`: the settings of the channel have changed.
    Settings {
        /// The channel.
        channel_name: ChannelName,
        /// The settings that are in force.
        settings: ChannelSettings,
    },
    /// `role`: the role of this connection in the channel has changed.
    Role {
        /// The channel.
        channel_name: ChannelName,
        /// The role; `None` if there is none now.
        role: Option<Role>,
        /// The time at which it ends; `None` if it does not end.
        #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
        until: Option<Timestamp>,
    },
    /// A kind that is not known. A client ignores it.
    Other {
        /// The kind.
        notice: String,
        /// The channel.
        channel_name: ChannelName,
    },
}

/// A change of the connections that have joined a channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Presence {
    /// The channel.
    pub channel_name: ChannelName,
    /// The number of connections that have joined it now.
    pub count: u64,
    /// Users who have joined since the last notice and are there now: at most [`MAX_USERS`](Self::MAX_USERS), and none
    /// of a channel with many connections.
    pub joined: Vec<User>,
    /// Users who have left since and are not there now, as many.
    pub left: Vec<User>,
}

impl Presence {
    /// The most users of each list. More are left out.
    pub const MAX_USERS: usize = 32;

    /// Returns the notice that says what this one and an earlier one say together: of a user, the later change counts.
    /// One who joined and then left is among those who left, since the client may have learned of the user by a WHO in
    /// between.
    fn following(&self, earlier: &Self) -> Self {
        let merged = |earlier: &[User], later: &[User], opposite: &[User]| {
            let is_final = |user: &&User| !later.contains(user) && !opposite.contains(user);
            let users = earlier.iter().filter(is_final).chain(later);
            users.take(Self::MAX_USERS).cloned().collect()
        };
        Self {
            channel_name: self.channel_name.clone(),
            count: self.count,
            joined: merged(&earlier.joined, &self.joined, &self.left),
            left: merged(&earlier.left, &self.left, &self.joined),
        }
    }
}

impl Notice {
    /// Returns the word of its kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Presence(_) => "presence",
            Self::Settings { .. } => "settings",
            Self::Role { .. } => "role",
            Self::Other { notice, .. } => notice,
        }
    }

    /// Returns the name of the channel.
    #[must_use]
    pub const fn channel_name(&self) -> &ChannelName {
        match self {
            Self::Presence(presence) => &presence.channel_name,
            Self::Settings { channel_name, .. }
            | Self::Role { channel_name, .. }
            | Self::Other { channel_name, .. } => channel_name,
        }
    }

    /// Returns the notice to send in place of an earlier one of its kind and channel, which was not sent, and this one.
    #[must_use]
    pub fn replacing(&self, earlier: &Self) -> Self {
        match (self, earlier) {
            (Self::Presence(later), Self::Presence(earlier)) => Self::Presence(later.following(earlier)),
            _ => self.clone(),
        }
    }

    /// Reads the payload of a notice. Members that are not known are ignored.
    ///
    /// # Errors
    ///
    /// The first wrong thing in it.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadFault> {
        let members = Members::read(payload, &NEWS)?;
        let notice: String = members.text(NOTICE)?;
        match &*notice {
            "presence" => {
                let lists = [JOINED_USERS, LEFT_USERS];
                let (members, [joined, left]) = Members::read_lists(payload, &PRESENCE, lists, &USER, User::of)?;
                let (channel_name, count) = (members.name(CHANNEL_NAME)?, members.integer(COUNT)?);
                Ok(Self::Presence(Presence { channel_name, count, joined, left }))
            }
            "settings" => {
                let members = Members::read(payload, &SETTINGS)?;
                let (channel_name, settings) = (members.name(CHANNEL_NAME)?, ChannelSettings::of(&members)?);
                Ok(Self::Settings { channel_name, settings })
            }
            "role" => {
                let members = Members::read(payload, &ROLE_NOTICE)?;
                let (channel_name, role) = (members.name(CHANNEL_NAME)?, members.role(ROLE)?);
                Ok(Self::Role { channel_name, role, until: members.optional_name(UNTIL)? })
            }
            _ => Ok(Self::Other { notice, channel_name: members.name(CHANNEL_NAME)? }),
        }
    }

    /// Appends the frame in canonical bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode::start_line(out, Status::Notice);
        encode::object(out, |object| {
            object.text(NOTICE, self.kind()).text(CHANNEL_NAME, self.channel_name());
            match self {
                Self::Presence(Presence { count, joined, left, .. }) => {
                    object.integer(COUNT, *count);
                    for (key, users) in [(JOINED_USERS, joined), (LEFT_USERS, left)] {
                        if !users.is_empty() {
                            object.objects(key, users, |object, user| user.write(object));
                        }
                    }
                }
                Self::Settings { settings, .. } => settings.write(object),
                Self::Role { role, until, .. } => {
                    object.text(ROLE, word_of(*role));
                    if let Some(until) = until {
                        object.display(UNTIL, until);
                    }
                }
                Self::Other { .. } => {}
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString as _, vec};

    use super::*;

    fn users(names: &str) -> Vec<User> {
        let user = |name: &str| User { username: name.parse().unwrap(), account: None };
        names.split_whitespace().map(user).collect()
    }

    fn presence(count: u64, joined: &str, left: &str) -> Notice {
        let (channel_name, joined, left) = ("general".parse().unwrap(), users(joined), users(left));
        Notice::Presence(Presence { channel_name, count, joined, left })
    }

    #[test]
    fn of_two_presence_notices_the_later_count_and_change_of_each_user_remain() {
        for (earlier, later, merged) in [
            (presence(2, "ann bob", ""), presence(1, "", "bob"), presence(1, "ann", "bob")),
            (presence(1, "", "bob"), presence(2, "bob", ""), presence(2, "bob", "")),
            (presence(2, "ann", "bob"), presence(3, "ann cleo", "dan"), presence(3, "ann cleo", "bob dan")),
            (presence(2, "ann", "bob"), presence(9, "", ""), presence(9, "ann", "bob")),
        ] {
            assert_eq!(later.replacing(&earlier), merged);
        }
    }

    #[test]
    fn a_merged_list_has_no_more_users_than_one_notice_may() {
        let names = |from: usize| (from..from + 20).map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
        let Notice::Presence(merged) = presence(40, &names(20), "").replacing(&presence(20, &names(0), "")) else {
            panic!("another kind")
        };
        assert_eq!(merged.joined.len(), Presence::MAX_USERS);
    }

    #[test]
    fn a_later_notice_of_another_kind_replaces_the_earlier_one_whole() {
        let other = |kind: &str| Notice::Other { notice: kind.into(), channel_name: "general".parse().unwrap() };
        assert_eq!(other("new").replacing(&other("new")), other("new"));
        assert_eq!(vec![presence(1, "", "").kind(), other("new").kind()], ["presence", "new"]);
    }
}

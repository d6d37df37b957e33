//! `chanwire delete`, `role` and `settings`: moderate a channel.

use std::net::IpAddr;

use chanwire_core::wire::{AccountName, ChannelName, Request, Role, RoleTarget};
use clap::Args;

use super::{
    Failure, Outcome,
    ask::{AskAnyone, refuse},
};

/// Delete a message of a channel, as its host, a moderator or the account that sent it
///
/// The message keeps its number, its user and its time, and its text is replaced by "(deleted)". The deletion is a message
/// of the channel, so that readers learn of it. Whoever has read the text before keeps it. If the server says that a peer
/// hosts the channel, that peer is asked.
#[derive(Debug, Args)]
pub(super) struct Delete {
    /// The channel's name
    channel: String,

    /// The message's number, as `history` shows it
    #[arg(value_parser = clap::value_parser!(u64).range(1..=(1 << 53) - 1))]
    id: u64,

    #[command(flatten)]
    ask: AskAnyone,
}

impl Delete {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        match ChannelName::try_from(self.channel) {
            Ok(channel_name) => {
                let request = Request::Delete { channel_name: channel_name.clone(), id: self.id };
                self.ask.run_at_host(&channel_name, request)
            }
            Err(error) => refuse(error, self.ask.json),
        }
    }
}

/// The roles, for the help.
pub(super) const ROLES: &str = "\
Roles:
  moderator  deletes messages, and gives the roles below
  member     reads and writes where `settings` lets only members; for accounts
  muted      may not write
  banned     may neither read nor write; connections that have joined are ended
  none       takes the role away";

/// Mute or ban somebody in a channel, or make an account a member or a moderator
///
/// The channel's host and the server's operator give every role; a moderator gives those of members, muted and banned,
/// to anyone but moderators and the host. A subject has one role in a channel, and a new one replaces it. A role of an
/// account goes before that of its address.
///
/// `chanwire settings` lists the roles of a channel. The server logs who gave which. If the server says that a peer hosts
/// the channel, that peer is asked. For servers whose `chanwire hello` names the feature `moderation`.
#[derive(Debug, Args)]
#[command(after_help = ROLES)]
pub(super) struct SetRole {
    /// The channel's name
    channel: String,

    /// The role: moderator, member, muted, banned or none
    #[arg(value_parser = role)]
    role: GivenRole,

    #[command(flatten)]
    subject: Subject,

    /// Have the role end after this many seconds, 1 to 31536000 [default: until another is given]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=31_536_000))]
    seconds: Option<u32>,

    #[command(flatten)]
    ask: AskAnyone,
}

/// The one to whom a role is given.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// Give it to this account
    #[arg(long, value_name = "NAME")]
    to_account: Option<AccountName>,

    /// Give it to whoever comes from this address; of IPv6, from its /64 network
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,

    /// Give it to the sender of the message with this number: the account, or the address while the server remembers it
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..=(1 << 53) - 1))]
    sender_of: Option<u64>,
}

/// A role, or none.
#[derive(Clone, Copy, Debug)]
struct GivenRole(Option<Role>);

fn role(word: &str) -> Result<GivenRole, String> {
    match word {
        Role::NONE => Ok(GivenRole(None)),
        word => word.parse().map(|role| GivenRole(Some(role))).map_err(|error| format!("{error}, or none")),
    }
}

impl SetRole {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Subject { to_account, address, sender_of } = self.subject;
        let target = to_account.map(RoleTarget::Account).or_else(|| address.map(RoleTarget::Address));
        let target = target.or_else(|| sender_of.map(RoleTarget::SenderOf));
        let target = target.ok_or_else(|| Failure::usage("--to-account, --address or --sender-of is missing"))?;
        match ChannelName::try_from(self.channel) {
            Ok(channel_name) => {
                let GivenRole(role) = self.role;
                let request = Request::Role { channel_name: channel_name.clone(), target, role, seconds: self.seconds };
                self.ask.run_at_host(&channel_name, request)
            }
            Err(error) => refuse(error, self.ask.json),
        }
    }
}

/// Show or change the settings of a channel, and list its roles
///
/// Without an option it changes nothing. The channel's host and the server's operator may change settings; its moderators
/// are shown the roles too. Settings hold at once: where only members may read, connections of others that have joined
/// are ended.
///
/// If the server says that a peer hosts the channel, that peer is asked. For servers whose `chanwire hello` names the
/// feature `moderation`.
#[derive(Debug, Args)]
pub(super) struct Settings {
    /// The channel's name
    channel: String,

    /// Let only members, moderators and the host read and write (true or false); for a channel of an account, or one that
    /// the operator fixed
    #[arg(long, value_name = "BOOL")]
    members_only: Option<bool>,

    /// Have everyone but moderators and the host wait this many seconds between two messages, 0 to 3600
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(0..=3600))]
    slow_mode: Option<u16>,

    #[command(flatten)]
    ask: AskAnyone,
}

impl Settings {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let Self { members_only, slow_mode, .. } = self;
        match ChannelName::try_from(self.channel) {
            Ok(channel_name) => {
                let request = Request::Settings { channel_name: channel_name.clone(), members_only, slow_mode };
                self.ask.run_at_host(&channel_name, request)
            }
            Err(error) => refuse(error, self.ask.json),
        }
    }
}

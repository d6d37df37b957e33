//! Summaries of rows, in one line.

use std::fmt::Display;

use chanwire_core::wire::{
    ChannelSettings, Credentials, ErrorResponse, HistoryRange, Host, JoinFrom, Notice, Presence, Request, Response,
    Role, Skipped, StoredMessage, User,
};

use crate::{Fault, visible::one_line};

/// The most characters of a peer's text in a summary; a longer one ends in `…`.
pub const MAX_SUMMARY: usize = 200;

pub(crate) fn of_request(request: &Request) -> String {
    match request {
        Request::List => line("which channels are there?"),
        Request::Host(Host { channel, lease }) => match lease {
            None => line(format_args!("{} at {}", channel.channel_name, channel.address)),
            Some(seconds) => line(format_args!("{} at {} for {seconds} s", channel.channel_name, channel.address)),
        },
        Request::Message(message) => match &message.channel_name {
            None => line(format_args!("{}: {}", message.username, message.message_content)),
            Some(channel) => line(format_args!("{} to {channel}: {}", message.username, message.message_content)),
        },
        Request::Unhost { channel_name } | Request::Leave { channel_name } | Request::Who { channel_name } => {
            line(channel_name)
        }
        Request::Join { channel_name, from, username } => {
            let user = username.as_ref().map_or(String::new(), |username| format!(" as {username}"));
            match from {
                JoinFrom::Last(0) => line(format_args!("{channel_name}{user}")),
                JoinFrom::Last(count) => line(format_args!("{channel_name} with the last {count}{user}")),
                JoinFrom::After(id) => line(format_args!("{channel_name} after {id}{user}")),
            }
        }
        Request::History { channel_name, range, limit } => match range {
            HistoryRange::Last => line(format_args!("the last {limit} of {channel_name}")),
            HistoryRange::After(id) => line(format_args!("{limit} of {channel_name} after {id}")),
            HistoryRange::Before(id) => line(format_args!("{limit} of {channel_name} before {id}")),
        },
        Request::Hello { notices: false } => line("what can the server do?"),
        Request::Hello { notices: true } => line("what can the server do? with notices"),
        Request::Auth(Credentials::Password { account, .. }) => line(format_args!("as {account}, with a password")),
        Request::Auth(Credentials::Token(_)) => line("with a token"),
        Request::Channels { after, limit, contains } => {
            let place = if *after == 0 { "the first " } else { "" };
            let with = contains.as_ref().map_or(String::new(), |part| format!(" with '{part}'"));
            let after = if *after == 0 { String::new() } else { format!(" after {after}") };
            line(format_args!("{place}{limit} channels{with}{after}"))
        }
        Request::Delete { channel_name, id } => line(format_args!("message {id} of {channel_name}")),
        Request::Role { channel_name, target, role, seconds } => {
            let role = role.map_or(Role::NONE, Role::as_str);
            let seconds = seconds.map_or(String::new(), |seconds| format!(" for {seconds} s"));
            line(format_args!("{role} in {channel_name}: {target}{seconds}"))
        }
        Request::Settings { channel_name, members_only, slow_mode } => {
            let members_only = members_only.map_or(String::new(), |only| format!(", members only {only}"));
            let slow_mode = slow_mode.map_or(String::new(), |seconds| format!(", slow mode {seconds} s"));
            line(format_args!("{channel_name}{members_only}{slow_mode}"))
        }
        Request::Connections { after: 0, limit } => line(format_args!("the first {limit} connections")),
        Request::Connections { after, limit } => line(format_args!("{limit} connections after {after}")),
        Request::Disconnect { connection } => line(format_args!("connection {connection}")),
        _ => String::new(),
    }
}

pub(crate) fn of_response(response: &Response) -> String {
    match response {
        Response::Channels(channels) => match channels.len() {
            1 => line("1 channel"),
            count => line(format_args!("{count} channels")),
        },
        Response::Hosted { channel_name } => line(format_args!("success {channel_name}")),
        Response::Delivered { timestamp, id: None } => line(format_args!("delivered {timestamp}")),
        Response::Delivered { timestamp, id: Some(id) } => line(format_args!("delivered {timestamp} as {id}")),
        Response::Removed { channel_name } => line(format_args!("removed {channel_name}")),
        Response::Joined { channel_name, first_id, last_id } => {
            line(format_args!("joined {channel_name} from {first_id}, last {last_id}"))
        }
        Response::Left { channel_name } => line(format_args!("left {channel_name}")),
        Response::History { channel_name, messages } => match (messages.first(), messages.last()) {
            (Some(first), Some(last)) => line(format_args!("{channel_name} {} to {}", first.id, last.id)),
            _ => line(format_args!("{channel_name}: no messages")),
        },
        Response::Hello(hello) => {
            let features = if hello.features.is_empty() { "no features".into() } else { hello.features.join(", ") };
            line(format_args!("protocol {}, {features}, payloads to {}", hello.protocol, hello.max_payload))
        }
        Response::Authenticated { account } => line(format_args!("authenticated as {account}")),
        Response::Who { channel_name, count, users, complete } => {
            let more = if *complete { "" } else { " and more" };
            let users = if users.is_empty() { String::new() } else { format!(", {}", names(users)) };
            line(format_args!("{count} in {channel_name}{users}{more}"))
        }
        Response::ChannelPage { channels, next } => {
            let s = if channels.len() == 1 { "" } else { "s" };
            let more = if next.is_some() { " and more" } else { "" };
            line(format_args!("{} channel{s}{more}", channels.len()))
        }
        Response::Deleted { channel_name, id } => line(format_args!("deleted message {id} of {channel_name}")),
        Response::RoleSet { channel_name, role } => {
            line(format_args!("{} in {channel_name}", role.map_or(Role::NONE, Role::as_str)))
        }
        Response::Settings { channel_name, settings, roles } => {
            let s = if roles.len() == 1 { "" } else { "s" };
            let roles = if roles.is_empty() { String::new() } else { format!(", {} role{s}", roles.len()) };
            line(format_args!("{channel_name}{}{roles}", of_settings(*settings)))
        }
        Response::Connections { connections, next } => {
            let s = if connections.len() == 1 { "" } else { "s" };
            let more = if next.is_some() { " and more" } else { "" };
            line(format_args!("{} connection{s}{more}", connections.len()))
        }
        Response::Disconnected { connection } => line(format_args!("disconnected {connection}")),
        Response::Error(error) => line(error),
        _ => String::new(),
    }
}

fn of_settings(ChannelSettings { members_only, slow_mode }: ChannelSettings) -> String {
    let members = if members_only { ", members only" } else { "" };
    let slow = if slow_mode > 0 { format!(", slow mode {slow_mode} s") } else { String::new() };
    format!("{members}{slow}")
}

pub(crate) fn of_push(message: &StoredMessage) -> String {
    let StoredMessage { channel_name, id, username, message_content, account, .. } = message;
    match account {
        None => line(format_args!("{channel_name} {id}, {username}: {message_content}")),
        Some(account) => line(format_args!("{channel_name} {id}, {username} (account {account}): {message_content}")),
    }
}

pub(crate) fn of_notice(notice: &Notice) -> String {
    let (kind, channel_name) = (notice.kind(), notice.channel_name());
    let Presence { count, joined, left, .. } = match notice {
        Notice::Presence(presence) => presence,
        Notice::Settings { settings, .. } => {
            return line(format_args!("{kind} of {channel_name}{}", of_settings(*settings)));
        }
        Notice::Role { role, until, .. } => {
            let until = until.map_or(String::new(), |until| format!(" until {until}"));
            return line(format_args!("{kind} in {channel_name}: {}{until}", role.map_or(Role::NONE, Role::as_str)));
        }
        _ => return line(format_args!("{kind} of {channel_name}")),
    };
    let changes = [("joined", joined), ("left", left)].map(|(change, users)| match users.is_empty() {
        true => String::new(),
        false => format!(", {change} {}", names(users)),
    });
    line(format_args!("{kind} of {channel_name}: {count}{}", changes.concat()))
}

fn names(users: &[User]) -> String {
    users.iter().map(|user| &*user.username).collect::<Vec<_>>().join(" ")
}

pub(crate) fn of_fault(fault: &Fault) -> String {
    line(format_args!("{}: {}", fault.error, fault.details))
}

/// Returns the protocol's name of an error.
pub(crate) fn of_error(error: &ErrorResponse) -> String {
    line(&error.error)
}

/// Summarizes a payload of which nothing is known but that it is JSON.
pub(crate) fn of_json(payload: &[u8]) -> String {
    line(String::from_utf8_lossy(payload.get(..4 * MAX_SUMMARY).unwrap_or(payload)))
}

pub(crate) fn of_skipped(length: u64, reason: Skipped) -> String {
    match reason {
        Skipped::WhiteSpace => of_white_space(length),
        Skipped::Object => of_object(length),
        Skipped::Discarded => of_discarded(length),
    }
}

pub(crate) fn of_white_space(length: u64) -> String {
    format!("{} between frames", bytes(length))
}

pub(crate) fn of_object(length: u64) -> String {
    format!("{} that belong to the command before", bytes(length))
}

pub(crate) fn of_discarded(length: u64) -> String {
    format!("{} after the connection's last frame", bytes(length))
}

/// Summarizes the beginning of a frame whose rest is missing.
pub(crate) fn of_cut(length: u64) -> String {
    format!("{} of a frame whose rest is missing", bytes(length))
}

/// Summarizes bytes between a gap and the next frame.
pub(crate) fn of_unaligned(length: u64) -> String {
    format!("{} before the first frame after a gap", bytes(length))
}

fn bytes(length: u64) -> String {
    format!("{length} {}", if length == 1 { "byte" } else { "bytes" })
}

fn line(shown: impl Display) -> String {
    one_line(MAX_SUMMARY, format_args!("{shown}"))
}

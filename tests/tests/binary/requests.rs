//! The bytes that the tests send, and those that they expect.

use std::net::SocketAddr;

pub(crate) const LIST: &str = "LIST\r\n";

pub(crate) fn host(name: &str, address: SocketAddr) -> String {
    host_at(name, &address.ip().to_string(), address.port())
}

pub(crate) fn host_at(name: &str, ip: &str, port: u16) -> String {
    format!("HOST\r\n{{\"channel_name\": \"{name}\", \"peer_server_ip\": \"{ip}\", \"peer_server_port\": {port}}}")
}

pub(crate) fn message(username: &str, content: &str) -> String {
    format!("MESSAGE\r\n{{\"username\": \"{username}\", \"message_content\": \"{content}\"}}")
}

pub(crate) fn message_to(channel: &str, username: &str, content: &str) -> String {
    format!(
        "MESSAGE\r\n{{\"username\": \"{username}\", \"message_content\": \"{content}\", \"channel_name\": \"{channel}\"}}"
    )
}

pub(crate) fn hosted(name: &str) -> String {
    format!("OK\r\n{{\"status\": \"success\", \"channel_name\": \"{name}\"}}")
}

/// With `T` for its timestamp.
pub(crate) const DELIVERED: &str = "OK\r\n{\"status\": \"delivered\", \"timestamp\": \"T\"}";

pub(crate) fn leased(name: &str, ip: &str, port: u16, lease: u32) -> String {
    host_at(name, ip, port).replace('}', &format!(", \"lease\": {lease}}}"))
}

/// Returns a request that names a channel, and this after it.
fn named(command: &str, name: &str, rest: &str) -> String {
    format!("{command}\r\n{{\"channel_name\": \"{name}\"{rest}}}")
}

pub(crate) fn unhost(name: &str) -> String {
    named("UNHOST", name, "")
}

pub(crate) fn leave(name: &str) -> String {
    named("LEAVE", name, "")
}

pub(crate) fn join(name: &str) -> String {
    named("JOIN", name, "")
}

pub(crate) fn join_after(name: &str, id: u64) -> String {
    named("JOIN", name, &format!(", \"after\": {id}"))
}

pub(crate) fn history(name: &str, limit: u16) -> String {
    named("HISTORY", name, &format!(", \"limit\": {limit}"))
}

pub(crate) fn joined(name: &str, first_id: u64, last_id: u64) -> String {
    format!(
        "OK\r\n{{\"status\": \"joined\", \"channel_name\": \"{name}\", \"first_id\": {first_id}, \"last_id\": {last_id}}}"
    )
}

pub(crate) fn left(name: &str) -> String {
    format!("OK\r\n{{\"status\": \"left\", \"channel_name\": \"{name}\"}}")
}

pub(crate) fn removed(name: &str) -> String {
    format!("OK\r\n{{\"status\": \"removed\", \"channel_name\": \"{name}\"}}")
}

/// Returns a message as its channel keeps it, with `T` for its timestamp.
pub(crate) fn stored(channel: &str, id: u64, username: &str, content: &str) -> String {
    format!(
        "{{\"channel_name\": \"{channel}\", \"id\": {id}, \"username\": \"{username}\", \"message_content\": \"{content}\", \"timestamp\": \"T\"}}"
    )
}

/// Returns a push, with `T` for its timestamp.
pub(crate) fn push(channel: &str, id: u64, username: &str, content: &str) -> String {
    format!("MESSAGE\r\n{}", stored(channel, id, username, content))
}

pub(crate) fn channel_removed(name: &str) -> String {
    format!(
        "SERVER_ERROR\r\n{{\"error\": \"Channel removed\", \"details\": \"The channel '{name}' is no longer hosted here\"}}"
    )
}

pub(crate) fn listed(channels: &[(&str, &str, u16)]) -> String {
    let entry = |(name, ip, port): &(&str, &str, u16)| {
        format!("{{\"channel_name\": \"{name}\", \"peer_server_ip\": \"{ip}\", \"peer_server_port\": {port}}}")
    };
    let entries: Vec<String> = channels.iter().map(entry).collect();
    format!("OK\r\n{{\"channels\": [{}]}}", entries.join(", "))
}

pub(crate) fn refused(error: &str, details: &str) -> String {
    format!("REQUEST_ERROR\r\n{{\"error\": \"{error}\", \"details\": \"{details}\"}}")
}

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

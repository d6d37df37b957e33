//! Every example that the protocol's text gives, byte for byte, and what each one means.

use chanwire_core::wire::{
    Address, Blame, Channel, Command, ErrorResponse, Hello, Host, Message, Request, Response, Timestamp,
};

use crate::name::named;

/// The request for the list.
pub const LIST: &[u8] = b"LIST\r\n";
/// The request for a new channel.
pub const HOST: &[u8] =
    b"HOST\r\n{\"channel_name\": \"test_channel\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": 22236}";
/// The request to deliver a message.
pub const MESSAGE: &[u8] = b"MESSAGE\r\n{\"username\": \"user1\", \"message_content\": \"Hello, World!\"}";
/// The answer to LIST, with two channels.
pub const LISTED: &[u8] = b"OK\r\n{\"channels\": [{\"channel_name\": \"test_channel\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": 22236}, {\"channel_name\": \"general\", \"peer_server_ip\": \"192.168.1.5\", \"peer_server_port\": 22240}]}";
/// The answer to HOST.
pub const HOSTED: &[u8] = b"OK\r\n{\"status\": \"success\", \"channel_name\": \"test_channel\"}";
/// The answer to MESSAGE.
pub const DELIVERED: &[u8] = b"OK\r\n{\"status\": \"delivered\", \"timestamp\": \"2023-11-02T15:04:32Z\"}";
/// The answer to a payload without a field that it needs.
pub const INVALID_PAYLOAD: &[u8] =
    b"REQUEST_ERROR\r\n{\"error\": \"Invalid payload\", \"details\": \"Missing required field 'channel_name'\"}";
/// The answer to a request that names a channel that is not there.
pub const CHANNEL_NOT_FOUND: &[u8] =
    b"REQUEST_ERROR\r\n{\"error\": \"Channel not found\", \"details\": \"The requested channel 'gaming' does not exist\"}";
/// The answer when the store fails.
pub const DATABASE_FAILED: &[u8] = b"SERVER_ERROR\r\n{\"error\": \"Database connection failed\", \"details\": \"Unable to store message in channel database\"}";

/// Returns the two channels of the examples.
///
/// # Panics
///
/// Never: both addresses are valid.
#[must_use]
#[expect(clippy::expect_used, reason = "constants that the tests would refuse at once")]
pub fn channels() -> [Channel; 2] {
    let channel = |name: &str, host: &str, port| Channel {
        channel_name: named(name),
        address: Address::new(host, port).expect("an address of the examples"),
    };
    [channel("test_channel", "127.0.0.1", 22236), channel("general", "192.168.1.5", 22240)]
}

/// Returns each example request, and what it means.
#[must_use]
pub fn requests() -> [(&'static [u8], Request); 3] {
    let [channel, _] = channels();
    let message = Message {
        username: named("user1"),
        message_content: "Hello, World!".into(),
        channel_name: None,
        client_message_id: None,
    };
    [(LIST, Request::List), (HOST, Request::Host(Host { channel, lease: None })), (MESSAGE, Request::Message(message))]
}

/// Returns each example answer, the command that it answers, and what it means.
#[must_use]
pub fn responses() -> [(&'static [u8], Command, Response); 6] {
    let error = |blame, error: &'static str, details: &str| {
        Response::Error(ErrorResponse { blame, error: error.into(), details: details.into(), retry_after: None })
    };
    // 2023-11-02T15:04:32Z
    let timestamp = Timestamp::from_unix(1_698_937_472);
    [
        (LISTED, Command::List, Response::Channels(channels().into())),
        (HOSTED, Command::Host, Response::Hosted { channel_name: named("test_channel") }),
        (DELIVERED, Command::Message, Response::Delivered { timestamp, id: None }),
        (
            INVALID_PAYLOAD,
            Command::Host,
            error(Blame::Request, "Invalid payload", "Missing required field 'channel_name'"),
        ),
        (
            CHANNEL_NOT_FOUND,
            Command::Message,
            error(Blame::Request, "Channel not found", "The requested channel 'gaming' does not exist"),
        ),
        (
            DATABASE_FAILED,
            Command::Message,
            error(Blame::Server, "Database connection failed", "Unable to store message in channel database"),
        ),
    ]
}

/// Returns the answer to HELLO of a server that knows no ids of messages and sets no rate.
#[must_use]
pub fn hello(max_payload: usize) -> Hello {
    let mut hello = Hello::new(max_payload as u64);
    hello.features = [Hello::PRESENCE, Hello::CHANNELS, Hello::MODERATION].map(String::from).into();
    hello
}

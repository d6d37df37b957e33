//! Requests as the log may show them.

use std::fmt;

use chanwire_core::wire::{Request, StartLine as _};

/// A request without its text: its command, and the length in bytes of each text in it.
pub(super) struct Outline<'a>(pub(super) &'a Request);

impl fmt::Debug for Outline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut outline = f.debug_struct(self.0.command().name());
        match self.0 {
            Request::Host(host) => outline
                .field("channel_name", &host.channel.channel_name.len())
                .field("peer_server_ip", &host.channel.address.host().len()),
            Request::Message(message) => outline
                .field("username", &message.username.len())
                .field("message_content", &message.message_content.len())
                .field("channel_name", &message.channel_name.as_ref().map_or(0, |name| name.len())),
            Request::Unhost { channel_name }
            | Request::Join { channel_name, .. }
            | Request::Leave { channel_name }
            | Request::History { channel_name, .. }
            | Request::Delete { channel_name, .. }
            | Request::Role { channel_name, .. }
            | Request::Settings { channel_name, .. } => outline.field("channel_name", &channel_name.len()),
            Request::Channels { contains: Some(contains), .. } => outline.field("contains", &contains.len()),
            _ => &mut outline,
        }
        .finish()
    }
}

#[cfg(test)]
mod tests {
    use chanwire_core::wire::Message;

    use super::*;

    #[test]
    fn an_outline_has_lengths_and_no_text() {
        let message = Message {
            username: "ann".parse().unwrap(),
            message_content: "hello".into(),
            channel_name: None,
            client_message_id: None,
        };
        let outline = format!("{:?}", Outline(&Request::Message(message)));
        assert_eq!(outline, "MESSAGE { username: 3, message_content: 5, channel_name: 0 }");
        let unhost = Request::Unhost { channel_name: "general".parse().unwrap() };
        assert_eq!(format!("{:?}", Outline(&unhost)), "UNHOST { channel_name: 7 }");
        assert_eq!(format!("{:?}", Outline(&Request::List)), "LIST");
    }
}

//! The size of a message, checked against the protocol's limit.

use chanwire_core::{
    Limits,
    wire::{Request, StartLine as _},
};

/// Checks that the payload of a request is within the protocol's limit: a server closes the connection for a larger
/// one.
pub(super) fn check_size(request: &Request) -> Result<(), String> {
    let mut frame = Vec::new();
    request.encode(&mut frame);
    let (size, limit) = (frame.len() - request.command().name().len() - "\r\n".len(), Limits::server().max_payload);
    if size > limit { Err(format!("a message of {size} bytes; a server takes at most {limit}")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use chanwire_core::wire::Message;

    use super::*;

    #[test]
    fn a_payload_of_the_limit_is_the_largest() {
        let request = |length| {
            Request::Message(Message {
                username: "a".parse().unwrap(),
                message_content: "x".repeat(length),
                channel_name: None,
                client_message_id: None,
            })
        };
        let around = r#"{"username": "a", "message_content": ""}"#.len();
        assert_eq!(check_size(&request(65_536 - around)), Ok(()));
        let reason = "a message of 65537 bytes; a server takes at most 65536";
        assert_eq!(check_size(&request(65_537 - around)), Err(reason.into()));
    }
}

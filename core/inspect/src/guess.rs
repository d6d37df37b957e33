//! Which direction a recorded stream is.

use chanwire_core::{
    Limits,
    wire::{Command, Decoder, FaultKind, Item, Request, StartLine as _, Status, StoredMessage},
};

use crate::Direction;

/// Guesses from a stream's first bytes which direction it is; `None` if they do not tell.
///
/// The first word that only a client or only a server says decides. `MESSAGE` is said by both, so its payload decides:
/// a push has an `id` and a `timestamp`.
///
/// ```
/// use chanwire_inspect::{Direction, guess_direction};
///
/// assert_eq!(guess_direction(b"LIST\r\n"), Some(Direction::Out));
/// assert_eq!(guess_direction(b"\nOK\r\n{\"chan"), Some(Direction::In));
/// assert_eq!(guess_direction(b"HTTP/1.1 200 OK\r\n"), None);
/// ```
#[must_use]
pub fn guess_direction(bytes: &[u8]) -> Option<Direction> {
    // To a decoder of requests, a status is a well-formed word that it does not know: it goes on after it.
    let mut decoder = Decoder::<Command>::new(Limits::client().max_payload);
    decoder.feed(bytes);
    while let Some(item) = decoder.next_item() {
        let guess = match item {
            Item::Frame(frame) if frame.start_line == Command::Message => by_payload(frame.payload),
            Item::Frame(_) => Some(Direction::Out),
            // A word that was not followed by what ends it may be anything.
            Item::Fault(fault) if matches!(fault.kind, FaultKind::BadByte { .. } | FaultKind::LongStartLine) => None,
            Item::Fault(fault) => by_word(fault.start_line.as_bytes()),
            Item::Skipped(..) => None,
        };
        if guess.is_some() {
            return guess;
        }
    }
    by_word(decoder.partial()?.start_line?.name().as_bytes())
}

fn by_word(word: &[u8]) -> Option<Direction> {
    match (Command::parse(word), Status::parse(word)) {
        (Some(_), None) => Some(Direction::Out),
        (None, Some(_)) => Some(Direction::In),
        _ => None,
    }
}

fn by_payload(payload: &[u8]) -> Option<Direction> {
    if StoredMessage::decode(payload).is_ok() {
        return Some(Direction::In);
    }
    Request::decode(Command::Message, payload).is_ok().then_some(Direction::Out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_that_tells_decides() {
        use Direction::{In, Out};
        let push = "MESSAGE\r\n{\"channel_name\": \"general\", \"id\": 7, \"username\": \"user1\", \
                    \"message_content\": \"hi\", \"timestamp\": \"2023-11-02T15:04:32Z\"}";
        for (bytes, expected) in [
            ("", None),
            ("HO", None),
            ("HOST\r\n", Some(Out)),
            ("HOST\r\n{\"chan", Some(Out)),
            ("LIST\n", Some(Out)),
            ("PING\r\n{}LIST\r\n", Some(Out)),
            ("HOST\r\n[1]", Some(Out)),
            ("HOST", None),
            ("SERVER_ERROR\r\n{}", Some(In)),
            ("OK\n", Some(In)),
            ("MESSAGE\r\n{\"username\": \"user1\", \"message_content\": \"hi\"}", Some(Out)),
            (push, Some(In)),
            ("MESSAGE\r\n{}", None),
            ("MESSAGE\r\n{}OK\r\n{}", Some(In)),
            ("MESSAGE\r\n{", None),
            ("GET / HTTP/1.1\r\n", None),
            ("LIST/OK\r\n", None),
        ] {
            assert_eq!(guess_direction(bytes.as_bytes()), expected, "{bytes}");
        }
    }
}

//! Completions while a filter is typed.

use chanwire_inspect::{Capture, Completions, Direction, complete};

fn capture() -> Capture {
    let mut capture = Capture::new(1 << 20);
    capture.open(7, "192.0.2.7:1");
    capture.bytes(
        7,
        Direction::Out,
        0.0,
        b"MESSAGE\r\n{\"username\": \"user one\", \"message_content\": \"hi\", \"n\": 5}",
    );
    capture.bytes(7, Direction::In, 1.0, b"REQUEST_ERROR\r\n{\"error\": \"Channel not found\", \"details\": \"\"}");
    capture
}

/// Completes where the caret stands.
fn at(text: &str) -> (String, Vec<String>) {
    let caret = text.find('^').unwrap();
    let text = text.replacen('^', "", 1);
    let Completions { start, end, items } = complete(&text, caret, &capture());
    (text[start..end].into(), items.into_iter().map(|item| item.text).collect())
}

#[test]
fn fields_operators_and_values_are_offered_where_they_may_stand() {
    for (text, replaced, items) in [
        ("di^", "di", vec!["dir"]),
        ("d^i", "di", vec!["delta", "dir"]),
        ("dir ^", "", vec!["==", "!=", "in"]),
        ("dir == ^", "", vec!["in", "out"]),
        ("dir == o^", "o", vec!["out"]),
        ("dir==in ^", "", vec!["&&", "||"]),
        ("dir==in && sta^", "sta", vec!["status"]),
        ("status == RE^", "RE", vec!["REQUEST_ERROR"]),
        ("status in (OK, S^", "S", vec!["SERVER_ERROR"]),
        ("conn == ^", "", vec!["7"]),
        ("err == ^", "", vec!["\"Channel not found\""]),
        ("err == \"Chan^", "\"Chan", vec!["\"Channel not found\""]),
        ("json.u^", "json.u", vec!["json.username"]),
        ("json.username == ^", "", vec!["\"user one\""]),
        ("json.n == ^", "", vec!["5"]),
        ("(push || r^", "r", vec!["rtt"]),
        ("\"unfinished^", "\"unfinished", vec![]),
    ] {
        assert_eq!(at(text), (replaced.to_owned(), items.into_iter().map(String::from).collect()), "{text}");
    }
}

#[test]
fn something_is_offered_wherever_something_must_come() {
    for text in ["^", "json.^", "status ^", "err in (^", "!^"] {
        let (_, items) = at(text);
        assert!(!items.is_empty(), "{text}");
    }
    // A caret within a character stands before it.
    assert_eq!(complete("é", 1, &capture()), complete("é", 0, &capture()));
}

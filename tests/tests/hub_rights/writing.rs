//! The right to write, reserved usernames, and the account of a message.

use super::{bench::pushed, *};

/// Everybody may read `news`, and the staff may write there.
fn news() -> Bench {
    let mut rights = hidden();
    let (guests, staff) = (|| vec!["guests".parse().unwrap()], || vec!["@staff".parse().unwrap()]);
    let mut rule = rights.rules.pop().unwrap();
    (rule.channels, rule.read, rule.write, rule.host) = ("news".parse().unwrap(), guests(), staff(), staff());
    rights.rules.push(rule);
    let mut bench = Bench::new(rights);
    let operator = bench.operator();
    assert!(bench.ask(operator, &host("news")).starts_with("OK"));
    bench
}

const MAY_NOT_WRITE: &str = "REQUEST_ERROR\r\n{\"error\": \"Not allowed\", \"details\": \"This connection may not write to the channel 'news'\"}";

#[test]
fn those_who_may_only_read_are_told_so() {
    let mut bench = news();
    let (ann, bob, guest) = (bench.account("ann"), bench.account("bob"), bench.guest("192.0.2.7"));
    assert!(bench.ask(guest, &named("JOIN", "news")).starts_with("OK"));
    for who in [bob, guest] {
        assert_eq!(bench.ask(who, &message("zoe", "spam", Some("news"), None)), MAY_NOT_WRITE);
        assert_eq!(bench.ask(who, &message("zoe", "spam", None, None)), MAY_NOT_WRITE);
    }
    assert!(bench.ask(ann, &message("ann", "hi", Some("news"), None)).starts_with("OK"));
    assert_eq!(bench.contents("news"), ["hi"]);
    assert_eq!(pushed(&bench.received(guest)), bench.stored("news"));
}

#[test]
fn a_message_has_the_account_of_its_sender() {
    let mut bench = news();
    let (ann, guest) = (bench.account("ann"), bench.guest("192.0.2.7"));
    bench.ask(guest, &named("JOIN", "news"));
    bench.ask(ann, &message("Ann B.", "hi", Some("news"), None));
    let push = "{\"channel_name\": \"news\", \"id\": 1, \"username\": \"Ann B.\", \"message_content\": \"hi\", \"timestamp\": \"1970-01-01T00:00:00Z\", \"account\": \"ann\"}";
    assert_eq!(bench.received(guest), format!("MESSAGE\r\n{push}"));
    let history = format!("OK\r\n{{\"channel_name\": \"news\", \"messages\": [{push}]}}");
    assert_eq!(bench.ask(guest, &named("HISTORY", "news")), history);
}

#[test]
fn a_known_id_comes_before_the_right_to_write() {
    let mut bench = news();
    let ann = bench.account("ann");
    let again = message("ann", "hi", Some("news"), Some(1));
    let answer = bench.ask(ann, &again);
    assert!(answer.contains("\"id\": 1"), "{answer}");
    let mut rights = (*bench.rights).clone();
    rights.rules.first_mut().unwrap().write.clear();
    bench.reload(rights);
    assert_eq!(bench.ask(ann, &again), answer);
    assert!(bench.ask(ann, &message("ann", "other", Some("news"), Some(1))).contains("Message id reused"));
    assert_eq!(bench.ask(ann, &message("ann", "hi", Some("news"), Some(2))), MAY_NOT_WRITE);
}

#[test]
fn the_ids_of_an_account_are_its_own_under_any_username() {
    let mut rights = hidden();
    rights.rules.clear();
    let mut bench = Bench::new(rights);
    let (ann, bob, guest) = (bench.account("ann"), bench.account("bob"), bench.guest("192.0.2.7"));
    bench.ask(ann, &host("general"));
    for who in [ann, bob, guest] {
        assert!(bench.ask(who, &message("zoe", "hi", Some("general"), Some(1))).starts_with("OK"));
    }
    assert_eq!(bench.stored("general").len(), 3);
    // The same id under another name is another message of the same sender.
    assert!(bench.ask(ann, &message("ann", "hi", Some("general"), Some(1))).contains("Message id reused"));
}

#[test]
fn an_account_s_name_is_its_alone_and_any_other_is_anybody_s() {
    let mut bench = Bench::new(hidden());
    let guest = bench.guest("192.0.2.7");
    let (ann, bob, operator) = (bench.account("ann"), bench.account("bob"), bench.operator());
    bench.ask(guest, &host("general"));
    let reserved = |username: &str| {
        format!(
            "REQUEST_ERROR\r\n{{\"error\": \"Not allowed\", \"details\": \"The username '{username}' is an account's, and this connection is not signed in to it\"}}"
        )
    };
    for username in ["ann", "Ann", "ANN"] {
        for who in [guest, bob, operator] {
            assert_eq!(bench.ask(who, &message(username, "hi", Some("general"), None)), reserved(username));
        }
        assert!(bench.ask(ann, &message(username, "hi", Some("general"), None)).starts_with("OK"));
    }
    for username in ["anna", "a nn", "änn"] {
        for who in [guest, ann, bob] {
            assert!(bench.ask(who, &message(username, "hi", Some("general"), None)).starts_with("OK"));
        }
    }
    // Whether the name is reserved is said only of a channel that is there.
    assert!(bench.ask(guest, &message("ann", "hi", Some("gone"), None)).contains("Channel not found"));
}

#[test]
fn who_shows_an_account_s_connections_under_its_name_which_no_guest_may_join_with() {
    let mut bench = news();
    let (guest, ann) = (bench.guest("192.0.2.7"), bench.account("ann"));
    let join = |more: &str| format!("JOIN\r\n{{\"channel_name\": \"news\"{more}}}");
    let refused = bench.ask(guest, &join(", \"username\": \"Ann\""));
    assert!(refused.starts_with("REQUEST_ERROR\r\n{\"error\": \"Not allowed\""), "{refused}");
    bench.ask(guest, &join(", \"username\": \"guest\""));
    bench.ask(ann, &join(""));
    let users = "[{\"username\": \"guest\"}, {\"username\": \"ann\", \"account\": \"ann\"}]";
    let answer = bench.ask(guest, "WHO\r\n{\"channel_name\": \"news\"}");
    assert_eq!(
        answer,
        format!("OK\r\n{{\"channel_name\": \"news\", \"count\": 2, \"users\": {users}, \"complete\": true}}")
    );
}

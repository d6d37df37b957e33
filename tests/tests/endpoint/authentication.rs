//! AUTH at the server's end: credentials that came over plain text.

use super::*;

const PASSWORD: &[u8] = b"AUTH\r\n{\"account\": \"ann\", \"password\": \"correct horse\"}";
const TOKEN: &[u8] = b"AUTH\r\n{\"token\": \"0123\"}";

#[test]
fn credentials_over_plain_text_are_refused_in_their_turn_and_the_connection_goes_on() {
    let mut end = server();
    feed(&mut end, at(0), &[b"LIST\r\n", PASSWORD, TOKEN, b"LIST\r\n"].concat());
    let mut refused = Vec::new();
    let mut tickets = Vec::new();
    while let Some(event) = end.endpoint.poll_event() {
        match event {
            ServerEvent::Request { ticket, request } => {
                assert_eq!(request, Request::List);
                tickets.push(ticket);
            }
            ServerEvent::Refused { error, closes } => {
                assert!(!closes);
                refused.push(error.to_string());
            }
            other => panic!("{other:?}"),
        }
    }
    let details = [
        "Encryption required: A password is accepted over TLS only",
        "Encryption required: A token is accepted over TLS only",
    ];
    assert_eq!(refused, details);
    for ticket in tickets {
        respond(&mut end, at(0), ticket, hosted("x"));
    }
    let answers = written(&mut end, at(0));
    let places: Vec<_> = ["OK", "A password", "A token"].iter().map(|word| answers.find(word)).collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{answers}");
    assert_eq!((answers.matches("OK").count(), end.action()), (2, ConnectionAction::Open));
}

#[test]
fn credentials_are_taken_over_tls_from_the_same_machine_and_where_the_operator_allows_it() {
    let mut limits = Limits::server();
    limits.plaintext_auth = true;
    let new = || Server::new(ConnectionId(0), Limits::server());
    let servers = [new().with_encryption(), new().with_local_peer(), Server::new(ConnectionId(0), limits)];
    for server in servers {
        let mut end = End::new(server);
        feed(&mut end, at(0), &[PASSWORD, TOKEN].concat());
        assert_eq!(tickets(&mut end).len(), 2);
        assert_eq!(written(&mut end, at(0)), "");
    }
}

#[test]
fn hello_names_the_feature_of_a_server_with_accounts() {
    let mut limits = Limits::server();
    limits.accounts = true;
    let mut end = End::new(Server::new(ConnectionId(0), limits));
    feed(&mut end, at(0), b"HELLO\r\n{}");
    let hello = "OK\r\n{\"protocol\": 1, \"features\": [\"presence\", \"channels\", \"moderation\", \"auth\"], \"encrypted\": false, \"max_payload\": 65536}";
    assert_eq!(written(&mut end, at(0)), hello);
}

#[test]
fn an_auth_costs_ten_units() {
    let address = Arc::new(chanwire_core::Bucket::new(chanwire_core::Rate::new(1000, 1000).unwrap()));
    let throttle = chanwire_core::endpoint::Throttle::new(chanwire_core::Rate::new(1, 10).unwrap(), address);
    let server = Server::new(ConnectionId(0), Limits::server()).with_throttle(throttle).with_local_peer();
    let mut end = End::new(server);
    feed(&mut end, at(0), &[TOKEN, b"LIST\r\n"].concat());
    assert_eq!(tickets(&mut end).len(), 1);
    assert_eq!(due(&end.endpoint), Some((1_000, Timer::Rate)));
}

#[test]
fn no_error_of_an_auth_shows_what_was_sent() {
    let secret = "hunter2";
    for payload in [
        r#"{"account": "ann", "password": "hunter2", "password": "hunter2"}"#,
        r#"{"account": "hunter2 ", "password": "hunter2"}"#,
        r#"{"account": "ann", "password": "hunter2", "token": "hunter2"}"#,
        r#"{"account": "ann", "password": ["hunter2"]}"#,
        r#"{"password": "hunter2"}"#,
        r#"{"account": "ann", "password": "hunter2"hunter2}"#,
        r#"{"account": "ann", "password": hunter2}"#,
        r#"{"account": "ann", "password": "hunter2\x"}"#,
        r#"["hunter2"]"#,
    ] {
        let mut end = End::new(Server::new(ConnectionId(0), Limits::server()).with_local_peer());
        feed(&mut end, at(0), format!("AUTH\r\n{payload}").as_bytes());
        let events: Vec<_> = std::iter::from_fn(|| end.endpoint.poll_event()).collect();
        assert!(matches!(&events[..], [ServerEvent::Refused { closes: false, .. }]), "{events:?}");
        let answer = written(&mut end, at(0));
        assert!(answer.contains("Invalid payload"), "{answer}");
        assert!(!answer.contains(secret) && !format!("{events:?}").contains(secret), "{answer} {events:?}");
    }
}

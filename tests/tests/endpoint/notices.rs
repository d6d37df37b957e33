//! The server: notices, which wait until nothing else does.

use chanwire_core::wire::User;

use super::*;

fn presence(channel_name: &str, count: u64, joined: &[&str], left: &[&str]) -> Notice {
    let users = |names: &[&str]| {
        names.iter().map(|name| User { username: name.parse().unwrap(), account: None }).collect::<Vec<_>>()
    };
    let channel_name = channel_name.parse().unwrap();
    Notice::Presence(Presence { channel_name, count, joined: users(joined), left: users(left) })
}

fn other(kind: &str, channel_name: &str) -> Notice {
    Notice::Other { notice: kind.into(), channel_name: channel_name.parse().unwrap() }
}

fn frames(notices: &[Notice]) -> Vec<u8> {
    let mut out = Vec::new();
    notices.iter().for_each(|notice| notice.encode(&mut out));
    out
}

/// Returns a connection that has asked for notices, and has read the answer.
fn notified(change: impl FnOnce(&mut Limits)) -> End<Server> {
    let mut end = limited(change);
    feed(&mut end, at(0), b"HELLO\r\n{\"notices\": true}");
    written(&mut end, at(0));
    while end.endpoint.poll_event().is_some() {}
    end
}

fn notify(end: &mut End<Server>, notice: &Notice) {
    end.endpoint.handle_command(at(0), ServerCommand::Notify(Arc::new(notice.clone()))).unwrap();
}

/// Begins an answer that is not read.
fn leave_unread(end: &mut End<Server>) -> Vec<u8> {
    feed(end, at(0), b"LIST\r\n");
    let ticket = one_ticket(end);
    respond(end, at(0), ticket, hosted("x"));
    bytes(&hosted("x"))
}

#[test]
fn a_connection_that_asked_for_no_notices_is_sent_none() {
    let mut end = server();
    notify(&mut end, &presence("a", 1, &[], &[]));
    assert_eq!(written(&mut end, at(0)), "");
    let mut end = notified(|_| {});
    let unread = leave_unread(&mut end);
    notify(&mut end, &presence("a", 1, &[], &[]));
    feed(&mut end, at(0), b"HELLO\r\n{}");
    let text = written(&mut end, at(0));
    assert!(text.as_bytes().starts_with(&unread) && !text.contains("NOTICE"), "{text}");
}

#[test]
fn a_notice_is_sent_once_nothing_else_waits() {
    let mut end = notified(|_| {});
    let first = presence("a", 1, &["ann"], &[]);
    notify(&mut end, &first);
    assert_eq!(written(&mut end, at(0)).into_bytes(), frames(std::slice::from_ref(&first)));
    let unread = leave_unread(&mut end);
    notify(&mut end, &first);
    let more = leave_unread(&mut end);
    assert_eq!(written(&mut end, at(0)).into_bytes(), [unread, more, frames(&[first])].concat());
}

#[test]
fn of_one_kind_and_channel_a_later_notice_replaces_the_one_that_waits() {
    let mut end = notified(|_| {});
    let unread = leave_unread(&mut end);
    for notice in [
        presence("a", 3, &["ann", "bob"], &[]),
        presence("b", 7, &[], &[]),
        other("weather", "a"),
        presence("a", 2, &[], &["bob"]),
        other("weather", "a"),
        presence("a", 3, &["cleo"], &[]),
    ] {
        notify(&mut end, &notice);
    }
    let mut text = written(&mut end, at(0)).into_bytes();
    let mut rest = text.split_off(unread.len());
    for notice in [presence("a", 3, &["ann", "cleo"], &["bob"]), other("weather", "a"), presence("b", 7, &[], &[])] {
        let frame = frames(&[notice]);
        let place = rest.windows(frame.len()).position(|window| window == frame).expect("a notice that waited");
        rest.drain(place..place + frame.len());
    }
    assert_eq!((text, rest), (unread, Vec::new()));
}

#[test]
fn waiting_notices_make_no_reader_slow_and_are_bounded() {
    let mut end = notified(|limits| limits.max_pushed = 100);
    leave_unread(&mut end);
    let waiting = end.endpoint.waiting_bytes();
    for count in 0..10_000 {
        notify(&mut end, &presence("a", count, &["ann"], &[]));
    }
    assert_eq!((end.endpoint.waiting_bytes(), end.action()), (waiting, ConnectionAction::Open));
    assert_eq!(written(&mut end, at(0)).matches("NOTICE").count(), 1);
    // However many channels have one, few are encoded at once.
    leave_unread(&mut end);
    for number in 0..1000 {
        notify(&mut end, &presence(&number.to_string(), 1, &["x".repeat(64).as_str()], &[]));
    }
    end.write(at(0), waiting);
    assert!((1..20_000).contains(&end.endpoint.waiting_bytes()), "{}", end.endpoint.waiting_bytes());
    assert_eq!(written(&mut end, at(0)).matches("NOTICE").count(), 1000);
}

#[test]
fn the_notices_of_a_channel_that_is_left_are_dropped() {
    let mut end = notified(|_| {});
    let unread = leave_unread(&mut end);
    notify(&mut end, &presence("a", 1, &[], &[]));
    notify(&mut end, &presence("b", 1, &[], &[]));
    feed(&mut end, at(0), b"LEAVE\r\n{\"channel_name\": \"a\"}");
    let ticket = one_ticket(&mut end);
    let left = Response::Left { channel_name: "a".parse().unwrap() };
    respond(&mut end, at(0), ticket, left.clone());
    let expected = [unread, bytes(&left), frames(&[presence("b", 1, &[], &[])])].concat();
    assert_eq!(written(&mut end, at(0)).into_bytes(), expected);
}

#[test]
fn a_closing_connection_is_sent_no_notice_after_its_reason() {
    let mut end = notified(|_| {});
    leave_unread(&mut end);
    notify(&mut end, &presence("a", 1, &[], &[]));
    end.endpoint.close(at(0), ErrorResponse::server("Channel removed", "x"));
    notify(&mut end, &presence("b", 1, &[], &[]));
    let text = written(&mut end, at(0));
    assert!(text.ends_with("\"details\": \"x\"}") && !text.contains("NOTICE"), "{text}");
}

//! The token, the targets, and the bounds on how many may come.

use super::*;

#[tokio::test]
async fn the_token_opens_the_conversation_and_the_targets_are_told() {
    let (_listener, one) = peer().await;
    let server = Server::start(&[one, "[::1]:22240".parse().unwrap()]).await;
    let mut page = server.open().await;
    page.show(&server.token).await;
    let targets = json!([{"id": "0", "address": one.to_string()}, {"id": "1", "address": "[::1]:22240"}]);
    let welcome = json!({"type": "welcome", "version": env!("CARGO_PKG_VERSION"), "targets": targets});
    assert_eq!(page.control().await, welcome);
    let opened = page.connect("0").await;
    assert_eq!(opened["target"], "0");
    assert_eq!(opened["remote"], one.to_string());
    assert!(opened["local"].as_str().unwrap().starts_with("127.0.0.1:"), "{opened}");
}

#[tokio::test]
async fn a_wrong_token_is_refused() {
    let server = Server::start(&[]).await;
    let flipped: String = server.token.chars().map(|c| if c == '0' { '1' } else { '0' }).collect();
    for wrong in ["", "0", &server.token[1..], &format!("{}0", server.token), &flipped, &server.token.to_uppercase()] {
        // A token of digits alone has no other case.
        if wrong == server.token {
            continue;
        }
        let mut page = server.open().await;
        page.show(wrong).await;
        assert_eq!(page.code().await, 4401, "{wrong}");
    }
}

#[tokio::test]
async fn nothing_comes_before_the_token() {
    let server = Server::start(&[echo().await]).await;
    let first = [
        Message::text(r#"{"type":"connect","target":"0"}"#),
        Message::text(r#"{"type":"credit","bytes":1}"#),
        Message::text(server.token.clone()),
        Message::binary(server.token.clone().into_bytes()),
    ];
    for message in first {
        let mut page = server.open().await;
        page.socket.send(message.clone()).await.unwrap();
        page.socket.send(Message::text(json!({"type": "token", "token": server.token}).to_string())).await.unwrap();
        assert_eq!(page.code().await, 4401, "{message:?}");
    }
}

#[tokio::test]
async fn a_page_that_does_not_show_its_token_in_time_is_closed() {
    let limits = Limits { token_wait: Duration::from_millis(20), ..patient() };
    let server = Server::start_with(&[], &[], limits).await;
    let mut page = server.open().await;
    // A code of its own: the token may still be the right one.
    assert_eq!(page.code().await, 4408);
    assert_eq!(Limits::default().token_wait, Duration::from_secs(2));
}

#[tokio::test]
async fn pings_do_not_make_time_for_the_token() {
    let limits = Limits { token_wait: Duration::from_millis(100), ..patient() };
    let server = Server::start_with(&[], &[], limits).await;
    let Page { socket } = server.open().await;
    let (mut sender, mut receiver) = socket.split();
    let pinging = async { while sender.send(Message::Ping("".into())).await.is_ok() {} };
    let closed = async {
        loop {
            if let Message::Close(Some(frame)) = receiver.next().await.unwrap().unwrap() {
                return u16::from(frame.code);
            }
        }
    };
    let code = within(async {
        tokio::select! {
            code = closed => code,
            () = pinging => panic!("the WebSocket ended without a close frame"),
        }
    });
    assert_eq!(code.await, 4408);
}

#[tokio::test]
async fn a_page_names_a_configured_target_and_nothing_else() {
    let address = echo().await;
    let server = Server::start(&[address]).await;
    for target in ["1", "00", "", &address.to_string(), "127.0.0.1:22"] {
        let mut page = server.admitted().await;
        page.say(json!({"type": "connect", "target": target})).await;
        assert_eq!(page.code().await, 4404, "{target}");
    }
    let instead = [
        Message::text(r#"{"type":"connect","target":0}"#),
        Message::text(r#"{"type":"connect","address":"127.0.0.1:22"}"#),
        Message::text(r#"{"type":"credit","bytes":1}"#),
        Message::text(r#"{"type":"eof"}"#),
        Message::text("LIST"),
        Message::binary(&b"LIST\r\n"[..]),
    ];
    for message in instead {
        let mut page = server.admitted().await;
        page.socket.send(message.clone()).await.unwrap();
        assert_eq!(page.code().await, 4400, "{message:?}");
    }
}

#[tokio::test]
async fn control_that_is_out_of_place_is_refused() {
    let server = Server::start(&[echo().await]).await;
    let token = json!({"type": "token", "token": server.token}).to_string();
    for text in ["{", r#"{"type":"connect","target":"0"}"#, &token, r#"{"type":"closed","reason":""}"#] {
        let mut page = server.bridged().await;
        page.socket.send(Message::text(text)).await.unwrap();
        assert_eq!(page.code().await, 4400, "{text}");
    }
}

#[tokio::test]
async fn the_seventeenth_connection_is_refused_until_one_ends() {
    let server = Server::start(&[]).await;
    let mut pages = Vec::new();
    for _ in 0..16 {
        pages.push(server.admitted().await);
    }
    let mut page = server.open().await;
    page.show(&server.token).await;
    assert_eq!(page.code().await, 4429);

    drop(pages.pop());
    within(admitted_at_last(&server)).await;
}

/// Tries until there is room.
pub(super) async fn admitted_at_last(server: &Server) {
    loop {
        let mut page = server.open().await;
        page.show(&server.token).await;
        match page.next().await {
            Message::Text(_) => return,
            Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 4429),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn at_most_64_wait_for_their_token() {
    let server = Server::start(&[]).await;
    let mut pages = Vec::new();
    for _ in 0..64 {
        pages.push(server.open().await);
    }
    let origin = format!("http://{}", server.address);
    assert_eq!(server.open_from(Some(&origin)).await.err(), Some(503));

    // One that shows its token makes room for another.
    let page = &mut pages[0];
    page.show(&server.token).await;
    assert_eq!(page.control().await["type"], "welcome");
    server.open().await;
}

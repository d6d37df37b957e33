//! The token, the targets, and the bounds on how many may come.

use std::collections::VecDeque;

use super::*;

#[tokio::test]
async fn the_token_admits_the_page_and_the_targets_follow() {
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
    assert_eq!(Limits::of(&Files::plenty()).token_wait, Duration::from_secs(2));
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
async fn of_more_than_64_that_wait_for_their_token_the_oldest_goes_first() {
    let server = Server::start(&[]).await;
    let mut pages = VecDeque::new();
    for number in 0..64 + 10 {
        pages.push_back(server.open().await);
        if number >= 64 {
            assert_eq!(pages.pop_front().unwrap().code().await, 4408);
        }
    }
    // One that shows its token has a place among the others, and makes room.
    for _ in 0..10 {
        let mut page = pages.pop_front().unwrap();
        page.show(&server.token).await;
        assert_eq!(page.control().await["type"], "welcome");
        server.open().await;
        page.say(json!({"type": "connect", "target": "none"})).await;
        assert_eq!(page.code().await, 4404);
    }
}

#[tokio::test]
async fn strangers_who_open_websockets_without_end_keep_no_user_out() {
    let server = Server::start(&[]).await;
    let mut strangers = VecDeque::new();
    for _ in 0..20 {
        for _ in 0..40 {
            strangers.push_back(server.open().await);
            strangers.truncate(200);
        }
        let mut page = server.open().await;
        // More come while it fetches its token, fewer than there are places.
        for _ in 0..40 {
            strangers.push_back(server.open().await);
        }
        page.show(&server.token).await;
        assert_eq!(page.control().await["type"], "welcome");
    }
}

/// A connection that asks for the page's largest file again and again and reads nothing.
async fn greedy(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    // Until it takes no more, because nothing is read.
    let asked = timeout(Duration::from_millis(50), async {
        loop {
            stream.write_all(request.repeat(100).as_bytes()).await.unwrap();
        }
    });
    assert!(asked.await.is_err());
    stream
}

#[tokio::test]
async fn clients_that_read_nothing_do_not_hold_the_page() {
    let limits = Limits { http: 8, ..patient() };
    let server = Server::start_with(&[], &[], limits).await;
    let mut holders = Vec::new();
    for _ in 0..20 {
        holders.push(greedy(&server).await);
        server.settle().await;
    }
    // As many as have no place are reset, so that the kernel keeps nothing for them. These are the ones that took bytes
    // least recently, perhaps not the oldest. None is read from: that would keep a connection alive.
    let reset = async {
        let mut reset = 0;
        while reset < 20 - 8 {
            for error in holders.iter().filter_map(|holder| holder.take_error().unwrap()) {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
                reset += 1;
            }
            tokio::task::yield_now().await;
        }
    };
    within(reset).await;
}

#[tokio::test]
async fn a_response_that_nobody_reads_is_given_up() {
    let limits = Limits { write_timeout: Duration::from_millis(50), ..patient() };
    let server = Server::start_with(&[], &[], limits).await;
    let mut holder = greedy(&server).await;
    let reset = async {
        loop {
            if let Err(error) = holder.write_all(b"GET").await {
                return error.kind();
            }
        }
    };
    assert_eq!(within(reset).await, io::ErrorKind::ConnectionReset);
    assert_eq!(Limits::of(&Files::plenty()).write_timeout, Duration::from_secs(10));
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_more_is_closed_by_itself() {
    let server = Server::start(&[]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET /none HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let since = std::time::Instant::now();
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    assert!(since.elapsed() >= crate::http::connections::HEAD_WAIT && answer.starts_with(b"HTTP/1.1 404"));
}

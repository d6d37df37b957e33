//! The bytes, and the ways in which a connection ends.

use socket2::SockRef;

use super::*;

#[tokio::test]
async fn bytes_pass_unchanged() {
    let server = Server::start(&[echo().await]).await;
    let mut page = server.bridged().await;
    let every: Vec<u8> = (0..=255).collect();
    for bytes in [every, vec![0], b"LIST\r\n".to_vec(), pattern(1_000_000)] {
        page.send(bytes.clone()).await;
        let back = page.bytes(bytes.len()).await;
        assert!(back == bytes, "{} bytes came back changed", bytes.len());
        page.grant(bytes.len() as u64).await;
    }
    page.send(Vec::new()).await;
    page.send(b"after an empty message".to_vec()).await;
    assert_eq!(page.bytes(22).await, b"after an empty message");
}

#[tokio::test]
async fn a_page_may_send_along_with_connect() {
    let server = Server::start(&[echo().await]).await;
    let mut page = server.admitted().await;
    page.say(json!({"type": "connect", "target": "0"})).await;
    page.send(b"early".to_vec()).await;
    page.eof().await;
    assert_eq!(page.control().await["type"], "opened");
    assert_eq!(page.bytes(5).await, b"early");
    assert_eq!(page.control().await, json!({"type": "eof"}));
    page.over("the server closed the connection").await;
}

#[tokio::test]
async fn the_page_can_half_close() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let mut page = server.bridged().await;
    let (mut stream, _) = listener.accept().await.unwrap();

    page.send(b"all I say".to_vec()).await;
    page.eof().await;
    let mut said = Vec::new();
    within(stream.read_to_end(&mut said)).await.unwrap();
    assert_eq!(said, b"all I say");

    stream.write_all(b"answer").await.unwrap();
    assert_eq!(page.bytes(6).await, b"answer");
    drop(stream);
    assert_eq!(page.control().await, json!({"type": "eof"}));
    page.over("the server closed the connection").await;
}

#[tokio::test]
async fn the_server_can_half_close() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let mut page = server.bridged().await;
    let (mut stream, _) = listener.accept().await.unwrap();

    stream.write_all(b"all I say").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(page.bytes(9).await, b"all I say");
    assert_eq!(page.control().await, json!({"type": "eof"}));

    page.send(b"answer".to_vec()).await;
    let mut said = [0; 6];
    within(stream.read_exact(&mut said)).await.unwrap();
    assert_eq!(&said, b"answer");
    page.eof().await;
    assert_eq!(within(stream.read(&mut said)).await.unwrap(), 0);
    page.over("the server closed the connection").await;
}

#[tokio::test]
async fn nothing_follows_the_pages_eof() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    for message in [Message::binary(&b"x"[..]), Message::text(r#"{"type":"eof"}"#)] {
        let mut page = server.bridged().await;
        let (_stream, _) = listener.accept().await.unwrap();
        page.eof().await;
        page.socket.send(message).await.unwrap();
        assert_eq!(page.code().await, 4400);
    }
}

#[tokio::test]
async fn a_reset_is_told() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let mut page = server.bridged().await;
    let (stream, _) = listener.accept().await.unwrap();
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    page.over("connection reset").await;
}

#[tokio::test]
async fn the_last_words_before_a_reset_are_delivered() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let mut page = server.bridged().await;
    let (mut stream, _) = listener.accept().await.unwrap();
    page.send(b"MESSAGE and more than is read".to_vec()).await;
    assert_eq!(within(stream.read_u8()).await.unwrap(), b'M');
    stream.write_all(b"ERROR").await.unwrap();
    // Closing with unread input resets the connection.
    drop(stream);
    assert_eq!(page.bytes(5).await, b"ERROR");
    page.over("connection reset").await;
}

#[tokio::test]
async fn a_reset_that_a_write_meets_first_is_told_after_the_last_words() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let mut page = server.bridged().await;
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(&pattern(1 << 20)).await.unwrap();
    stream.write_all(b"ERROR").await.unwrap();
    // All credit is spent, so nothing is read that could fail.
    page.bytes(1 << 20).await;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    page.send(b"lost".to_vec()).await;
    page.send(b"lost as well".to_vec()).await;
    page.nothing_comes(&server).await;
    page.grant(5).await;
    assert_eq!(page.bytes(5).await, b"ERROR");
    page.grant(1).await;
    page.over("connection reset").await;
}

#[tokio::test]
async fn a_write_to_a_connection_that_is_closed_ends_it() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let mut page = server.bridged().await;
    drop(listener.accept().await.unwrap());
    assert_eq!(page.control().await, json!({"type": "eof"}));
    page.send(b"is anybody there?".to_vec()).await;
    page.over("the server closed the connection").await;
}

#[tokio::test]
async fn a_refused_connection_is_told_in_words() {
    let (listener, address) = peer().await;
    drop(listener);
    let server = Server::start(&[address]).await;
    let mut page = server.admitted().await;
    page.say(json!({"type": "connect", "target": "0"})).await;
    page.over(&format!("Connection refused (nothing listens at {address}: is the server running?)")).await;
}

#[tokio::test]
async fn closing_the_websocket_closes_tcp() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    for orderly in [true, false] {
        let mut page = server.bridged().await;
        let (mut stream, _) = listener.accept().await.unwrap();
        for part in [&b"l"[..], b"as", b"t"] {
            page.send(part).await;
        }
        if orderly {
            page.socket.close(None).await.unwrap();
        } else {
            drop(page);
        }
        let mut said = Vec::new();
        within(stream.read_to_end(&mut said)).await.unwrap();
        assert_eq!(said, b"last");
    }
}

#[tokio::test]
async fn a_message_above_a_mebibyte_is_refused() {
    let server = Server::start(&[echo().await]).await;
    let mut page = server.bridged().await;
    page.send(pattern(1 << 20)).await;
    assert!(page.bytes(1 << 20).await == pattern(1 << 20), "the largest message came back changed");
    // It is refused by its head, before any of it is taken in.
    let head = [&[0x82, 0xff][..], &((1_u64 << 20) + 1).to_be_bytes(), &[0; 4]].concat();
    page.socket.get_mut().write_all(&head).await.unwrap();
    assert_eq!(page.code().await, 1009);
}

#[tokio::test]
async fn a_message_above_a_mebibyte_in_small_frames_is_refused() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    let server = Server::start(&[echo().await]).await;
    let mut page = server.bridged().await;
    for part in 0..17 {
        let kind = if part == 0 { Data::Binary } else { Data::Continue };
        let frame = Frame::message(pattern(1 << 16), OpCode::Data(kind), false);
        page.socket.send(Message::Frame(frame)).await.unwrap();
    }
    assert_eq!(page.code().await, 1009);
}

#[tokio::test]
async fn text_that_is_not_utf_8_and_broken_frames_are_refused() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    let server = Server::start(&[echo().await]).await;
    for (bytes, kind, code) in [(&b"\xff"[..], Data::Text, 1007), (b"x", Data::Continue, 1002)] {
        let mut page = server.bridged().await;
        let frame = Frame::message(bytes, OpCode::Data(kind), true);
        page.socket.send(Message::Frame(frame)).await.unwrap();
        assert_eq!(page.code().await, code);
    }
}

#[tokio::test]
async fn the_close_frame_is_not_followed_by_a_reset() {
    let server = Server::start(&[echo().await]).await;
    let mut page = server.bridged().await;
    page.say(json!("not understood")).await;
    page.send(pattern(1 << 20)).await;
    assert_eq!(page.code().await, 4400);
    page.socket.flush().await.unwrap();
    // A socket that is closed with unread input is reset.
    assert_eq!(within(page.socket.get_mut().read(&mut [0])).await.unwrap(), 0);
}

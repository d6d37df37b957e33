//! The end of the HTTP side.

use std::time::Instant;

use super::*;

/// Stops the server and asserts that it ends well, and does not hang.
async fn stop(server: Server) {
    let began = Instant::now();
    server.stop.send(true).unwrap();
    within(server.task).await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    assert!(TcpStream::connect(server.address).await.is_err(), "the listener is still open");
}

#[tokio::test]
async fn open_bridges_are_closed_with_1001() {
    let (listener, address) = peer().await;
    let server = Server::start(&[address]).await;
    let unknown = server.open().await;
    let admitted = server.admitted().await;
    let bridged = server.bridged().await;
    let (mut stream, _) = listener.accept().await.unwrap();
    let pages = tokio::spawn(async move {
        for mut page in [unknown, admitted, bridged] {
            assert_eq!(page.code().await, 1001);
        }
    });
    stop(server).await;
    pages.await.unwrap();
    assert_eq!(within(stream.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn clients_that_do_nothing_do_not_hold_it_up() {
    let server = Server::start(&[echo().await]).await;
    // A page that never answers the close frame, a request that never ends, and a connection that never began one.
    let mut page = server.bridged().await;
    let mut half = TcpStream::connect(server.address).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1").await.unwrap();
    let silent = TcpStream::connect(server.address).await.unwrap();
    server.settle().await;
    page.send(b"still here".to_vec()).await;
    stop(server).await;
    drop((page, half, silent));
}

#[tokio::test]
async fn it_also_ends_when_nobody_is_left_to_stop_it() {
    let Server { task, stop, .. } = Server::start(&[]).await;
    drop(stop);
    within(task).await.unwrap().unwrap();
}

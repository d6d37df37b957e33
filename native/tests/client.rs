//! The client against a real server and against servers that misbehave.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chanwire::{
    Channel, Client, ErrorKind, HistoryRange, HostedChannel, JoinFrom, Message, Server, ServerConfig, StoredMessage,
    Subscription, SubscriptionEvent, protocol::wire::ErrorResponse,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// The limit on each wait, far above the usual time.
const DEADLINE: Duration = Duration::from_secs(60);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("the future did not complete in time")
}

fn message(channel_name: &str, content: &str) -> Message {
    Message {
        username: "ann".parse().unwrap(),
        message_content: content.into(),
        channel_name: Some(channel_name.parse().unwrap()),
        client_message_id: None,
    }
}

fn channel(name: &str, address: SocketAddr) -> Channel {
    Channel { channel_name: name.parse().unwrap(), address: address.to_string().parse().unwrap() }
}

/// Starts a server with its data in this directory, and connects a client.
async fn start(directory: &TempDir, listen: SocketAddr) -> (Server, Client) {
    let mut config = ServerConfig::new(directory.path());
    config.listen = vec![listen];
    let server = Server::start(config).await.unwrap();
    let client = Client::connect(server.address().into()).await.unwrap();
    (server, client)
}

fn anywhere() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

async fn next(subscription: &mut Subscription) -> SubscriptionEvent {
    soon(subscription.next()).await.expect("an event").unwrap()
}

async fn next_message(subscription: &mut Subscription) -> StoredMessage {
    soon(subscription.next_message()).await.expect("a message").unwrap()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, chanwire::Error>) -> ErrorResponse {
    result.unwrap_err().refusal().expect("a refusal").clone()
}

#[tokio::test]
async fn a_channel_is_hosted_joined_written_read_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let (server, client) = start(&directory, anywhere()).await;
    let general = channel("general", server.address());
    client.host(general.clone(), Some(60)).await.unwrap();
    assert_eq!(client.list().await.unwrap(), [general]);

    let mut subscription = client.join(&"general".parse().unwrap(), JoinFrom::Last(10)).await.unwrap();
    assert_eq!(subscription.last_id(), 0);
    // Many requests in flight: answers and messages come in order.
    let sends = (1..=300).map(|number| client.send(message("general", &number.to_string())));
    futures_util::future::try_join_all(sends).await.unwrap();
    for id in 1..=300 {
        let message = next_message(&mut subscription).await;
        assert_eq!((message.id, subscription.last_id()), (id, id));
    }
    let history = client.history(&"general".parse().unwrap(), HistoryRange::Before(300), 2).await.unwrap();
    assert_eq!(history.iter().map(|message| message.id).collect::<Vec<_>>(), [298, 299]);

    client.unhost(&"general".parse().unwrap()).await.unwrap();
    let error = soon(subscription.next()).await.unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Closing(notice) if notice.error == "Channel removed"), "{error}");
    assert!(subscription.next().await.is_none());
    assert_eq!(refusal(client.send(message("general", "x")).await).error, "Channel not found");
    assert_eq!(refusal(client.join(&"general".parse().unwrap(), JoinFrom::Last(0)).await).error, "Channel not found");
    assert_eq!(
        refusal(client.history(&"general".parse().unwrap(), HistoryRange::Last, 0).await).error,
        "Invalid payload"
    );
    client.close().await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn who_names_a_subscription_that_joined_under_a_name() {
    let directory = tempfile::tempdir().unwrap();
    let (server, client) = start(&directory, anywhere()).await;
    client.host(channel("general", server.address()), None).await.unwrap();
    let general = "general".parse().unwrap();
    let _unnamed = client.join(&general, JoinFrom::Last(0)).await.unwrap();
    let _named = client.join_as(&general, JoinFrom::Last(0), "bob".parse().unwrap()).await.unwrap();
    let who = client.who(&general).await.unwrap();
    let names: Vec<_> = who.users.iter().map(|user| user.username.as_str()).collect();
    assert_eq!((who.count, &names[..]), (2, &["bob"][..]));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn questions_who_is_there_do_not_end_each_others_join() {
    let directory = tempfile::tempdir().unwrap();
    let (server, client) = start(&directory, anywhere()).await;
    client.host(channel("general", server.address()), None).await.unwrap();
    let general = "general".parse().unwrap();
    let _bob = client.join_as(&general, JoinFrom::Last(0), "bob".parse().unwrap()).await.unwrap();
    let asked = (0..20).map(|_| client.who(&general));
    for who in futures_util::future::join_all(asked).await {
        let who = who.unwrap();
        assert_eq!((who.count, who.users.len()), (1, 1));
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_and_its_client_survive_a_restart_of_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let (server, client) = start(&directory, anywhere()).await;
    let address = server.address();
    client.host(channel("general", address), None).await.unwrap();
    let mut subscription = client.join(&"general".parse().unwrap(), JoinFrom::Last(0)).await.unwrap();
    client.send(message("general", "before")).await.unwrap();
    assert_eq!(next_message(&mut subscription).await.message_content, "before");

    server.stop().await.unwrap();
    let SubscriptionEvent::Lost { after, .. } = next(&mut subscription).await else { panic!("the loss is reported") };
    assert_eq!(after, 1);
    let error = client.send(message("general", "meanwhile")).await.unwrap_err();
    assert!(error.is_temporary() && error.server() == address.to_string(), "{error}");

    let (server, other) = start(&directory, address).await;
    // The old client connects again by itself.
    client.send(message("general", "after")).await.unwrap();
    other.send(message("general", "last")).await.unwrap();
    assert!(matches!(next(&mut subscription).await, SubscriptionEvent::Resumed));
    for (id, content) in [(2, "after"), (3, "last")] {
        let message = next_message(&mut subscription).await;
        assert_eq!((message.id, &*message.message_content), (id, content));
    }
    soon(subscription.leave()).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn messages_that_are_kept_no_more_are_reported_as_missed() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::new(directory.path());
    config.retain_count = Some(1);
    let server = Server::start(config).await.unwrap();
    let client = Client::connect(server.address().into()).await.unwrap();
    client.host(channel("general", server.address()), None).await.unwrap();
    for content in ["one", "two", "three"] {
        client.send(message("general", content)).await.unwrap();
    }
    while client.history(&"general".parse().unwrap(), HistoryRange::Last, 9).await.unwrap().len() > 1 {
        tokio::task::yield_now().await;
    }
    let mut subscription = client.join(&"general".parse().unwrap(), JoinFrom::After(0)).await.unwrap();
    assert_eq!(subscription.last_id(), 0);
    assert!(matches!(next(&mut subscription).await, SubscriptionEvent::Missed { first: 1, last: 2 }));
    assert_eq!(subscription.last_id(), 2);
    assert_eq!(next_message(&mut subscription).await.message_content, "three");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_channel_is_followed_to_the_peer_that_hosts_it() {
    let (tracker_directory, peer_directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (tracker, client) = start(&tracker_directory, anywhere()).await;
    let mut config = ServerConfig::new(peer_directory.path());
    // A port that is free now is taken for as long as the listener is.
    let reserved = std::net::TcpListener::bind(anywhere()).unwrap().local_addr().unwrap();
    config.hosted = vec![HostedChannel { channel: channel("away", reserved), bind: reserved }];
    config.trackers = vec![tracker.address().into()];
    let peer = Server::start(config).await.unwrap();
    assert_eq!(peer.addresses()[1], reserved);
    while client.list().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }

    let mut subscription = client.join(&"away".parse().unwrap(), JoinFrom::Last(0)).await.unwrap();
    client.send(message("away", "one")).await.unwrap();
    client.send(message("away", "two")).await.unwrap();
    assert_eq!(next_message(&mut subscription).await.message_content, "one");
    assert_eq!(
        client.history(&"away".parse().unwrap(), HistoryRange::Last, 1).await.unwrap()[0].message_content,
        "two"
    );
    peer.stop().await.unwrap();
    tracker.stop().await.unwrap();
}

/// A server that reads one request of each connection and does what `serve` says.
async fn fake<F: Future<Output = ()> + Send>(
    serve: impl Fn(usize, String, TcpStream) -> F + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(anywhere()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 1024];
            let length = stream.read(&mut buffer).await.unwrap();
            if length > 0 {
                let number = count.fetch_add(1, Ordering::Relaxed);
                serve(number, String::from_utf8_lossy(&buffer[..length]).into_owned(), stream).await;
            }
        }
    });
    (address, requests)
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_is_repeated_only_where_that_does_no_harm() {
    let (address, requests) = fake(|number, _, mut stream| async move {
        // The first connection of each client ends without an answer.
        if number == 1 {
            stream.write_all(b"OK\r\n{\"channels\": []}").await.unwrap();
        }
    })
    .await;
    let client = Client::new(address.into());
    assert_eq!(soon(client.list()).await.unwrap(), []);
    assert_eq!(requests.load(Ordering::Relaxed), 2);
}

/// HELLO's answer of a server that knows ids.
const KNOWS_IDS: &str = "OK\r\n{\"protocol\": 1, \"features\": [\"client_message_id\"], \"encrypted\": false, \
    \"max_payload\": 65536, \"retry_window\": 3600}";

const DELIVERED: &str = "OK\r\n{\"status\": \"delivered\", \"timestamp\": \"2023-11-02T15:04:32Z\", \"id\": 7}";

/// Returns a server that answers HELLO so, ends the first connection at its MESSAGE and answers the MESSAGE of the next
/// one so, and the MESSAGEs that it received.
async fn losing(hello: &'static str, answer: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let messages = Arc::<Mutex<Vec<String>>>::default();
    let received = messages.clone();
    let serve = move |number, _, mut stream: TcpStream| {
        let received = received.clone();
        async move {
            stream.write_all(hello.as_bytes()).await.unwrap();
            let mut buffer = [0; 1024];
            let length = stream.read(&mut buffer).await.unwrap();
            received.lock().unwrap().push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            if number > 0 {
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    };
    (fake(serve).await.0, messages)
}

#[tokio::test]
async fn a_message_whose_answer_was_lost_is_sent_again_under_its_id() {
    let (address, messages) = losing(KNOWS_IDS, DELIVERED).await;
    soon(Client::new(address.into()).send(message("g", "once"))).await.unwrap();
    let messages = messages.lock().unwrap();
    assert!(messages.len() == 2 && messages[0] == messages[1], "{messages:?}");
    assert!(messages[0].contains("\"client_message_id\": \""), "{messages:?}");
}

#[tokio::test]
async fn a_message_that_an_older_server_did_not_answer_is_not_sent_again() {
    let unknown = "REQUEST_ERROR\r\n{\"error\": \"Unknown command\", \"details\": \"HELLO\"}";
    let (address, messages) = losing(unknown, DELIVERED).await;
    let error = soon(Client::new(address.into()).send(message("g", "once"))).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Closed), "{error}");
    let messages = messages.lock().unwrap();
    assert!(messages.len() == 1 && !messages[0].contains("client_message_id"), "{messages:?}");
}

#[tokio::test]
async fn a_message_that_one_host_may_have_stored_is_not_sent_to_another() {
    let elsewhere = "REQUEST_ERROR\r\n{\"error\": \"Channel hosted elsewhere\", \"details\": \"x\"}";
    let (address, messages) = losing(KNOWS_IDS, elsewhere).await;
    let error = soon(Client::new(address.into()).send(message("g", "once"))).await.unwrap_err();
    // The outcome of the first try.
    assert!(matches!(error.kind(), ErrorKind::Closed), "{error}");
    assert_eq!(messages.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_server_says_what_it_can_do_and_an_older_one_that_it_does_not_know() {
    let directory = tempfile::tempdir().unwrap();
    let (server, client) = start(&directory, anywhere()).await;
    let hello = client.hello().await.unwrap();
    assert_eq!((hello.protocol, hello.encrypted, hello.max_payload), (1, false, 65_536));
    assert_eq!(hello.features, ["client_message_id", "presence", "channels", "moderation"]);
    assert_eq!((hello.units_per_second, hello.retry_window), (None, Some(3600)));
    client.close().await;
    server.stop().await.unwrap();

    let (address, requests) = fake(|_, request, mut stream| async move {
        assert_eq!(request, "HELLO\r\n{}");
        let answer = "REQUEST_ERROR\r\n{\"error\": \"Unknown command\", \"details\": \"Unknown command 'HELLO'\"}";
        stream.write_all(answer.as_bytes()).await.unwrap();
        // The same connection goes on.
        let mut list = [0; 6];
        stream.read_exact(&mut list).await.unwrap();
        assert_eq!(&list, b"LIST\r\n");
        stream.write_all(b"OK\r\n{\"channels\": []}").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let client = Client::new(address.into());
    assert_eq!(refusal(soon(client.hello()).await).error, "Unknown command");
    assert_eq!(soon(client.list()).await.unwrap(), []);
    assert_eq!(requests.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_violation_of_the_protocol_is_reported_and_the_connection_made_anew() {
    let (address, _) = fake(|number, request, mut stream| async move {
        // It asks for notices before it joins, also of a server that does not know how.
        assert!(request.starts_with("HELLO\r\n{\"notices\": true}JOIN\r\n"), "{request}");
        let unknown = "REQUEST_ERROR\r\n{\"error\": \"Unknown command\", \"details\": \"Unknown command 'HELLO'\"}";
        let push = |channel: &str, id: u64| {
            format!(
                "MESSAGE\r\n{{\"channel_name\": \"{channel}\", \"id\": {id}, \"username\": \"u\", \
                 \"message_content\": \"m\", \"timestamp\": \"2023-11-02T15:04:32Z\"}}"
            )
        };
        let joined = |first: u64| {
            format!("OK\r\n{{\"status\": \"joined\", \"channel_name\": \"g\", \"first_id\": {first}, \"last_id\": 9}}")
        };
        let said = match number {
            0 => joined(5) + &push("g", 5) + &push("g", 5),
            1 => {
                assert!(request.contains("\"after\": 5"), "{request}");
                joined(6) + &push("g", 6) + &push("g", 4)
            }
            _ => {
                assert!(request.contains("\"after\": 6"), "{request}");
                joined(7) + &push("g", 7) + &push("another", 8)
            }
        };
        stream.write_all((unknown.to_owned() + &said).as_bytes()).await.unwrap();
        // Until the client goes.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let mut subscription =
        soon(Client::new(address.into()).join(&"g".parse().unwrap(), JoinFrom::Last(0))).await.unwrap();
    for (id, words) in [(5, "repeated or out of order"), (6, "repeated or out of order"), (7, "not joined")] {
        if id > 5 {
            assert!(matches!(next(&mut subscription).await, SubscriptionEvent::Resumed));
        }
        assert_eq!(next_message(&mut subscription).await.id, id);
        let SubscriptionEvent::Lost { error, after } = next(&mut subscription).await else { panic!("a loss") };
        assert!(matches!(error.kind(), ErrorKind::Violation(_)) && error.to_string().contains(words), "{error}");
        assert_eq!(after, id);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_and_no_wait() {
    let gone = std::net::TcpListener::bind(anywhere()).unwrap().local_addr().unwrap();
    let error = soon(Client::connect(gone.into())).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Connect(_)), "{error}");
    let error = soon(Client::new(gone.into()).join(&"g".parse().unwrap(), JoinFrom::Last(0))).await.unwrap_err();
    assert_eq!(error.server(), gone.to_string());
}

#[tokio::test]
async fn a_subscription_comes_back_when_a_server_that_stops_asked_for_it_and_misses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (server, client) = start(&directory, anywhere()).await;
    let address = server.address();
    client.host(channel("general", address), None).await.unwrap();
    let mut subscription = client.join(&"general".parse().unwrap(), JoinFrom::Last(0)).await.unwrap();
    client.send(message("general", "one")).await.unwrap();
    assert_eq!(next_message(&mut subscription).await.message_content, "one");
    server.stop().await.unwrap();

    let SubscriptionEvent::Lost { error, after } = next(&mut subscription).await else { panic!("a loss") };
    let ErrorKind::Closing(reason) = error.kind() else { panic!("{error}") };
    assert_eq!((reason, after), (&ErrorResponse::server_stopping(1), 1));
    assert_eq!((error.retry_after(), error.is_temporary()), (Some(Duration::from_secs(1)), true));
    let stopped = std::time::Instant::now();
    let (server, client) = start(&directory, address).await;
    client.send(message("general", "two")).await.unwrap();
    assert!(matches!(next(&mut subscription).await, SubscriptionEvent::Resumed));
    // The event is there as soon as the connection is lost, so the wait began before.
    assert!(stopped.elapsed() > Duration::from_millis(500), "{:?}", stopped.elapsed());
    let again = next_message(&mut subscription).await;
    assert_eq!((again.id, &*again.message_content), (2, "two"));
    subscription.leave().await;
    server.stop().await.unwrap();
}

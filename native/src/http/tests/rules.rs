//! Which requests are answered, and what every answer carries.

use super::*;

const SECURITY: [&str; 5] = [
    "content-security-policy: default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src \
     'self' data:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors \
     'none'; require-trusted-types-for 'script'; trusted-types chanwire",
    "x-content-type-options: nosniff",
    "referrer-policy: no-referrer",
    "cross-origin-opener-policy: same-origin",
    "cross-origin-resource-policy: same-origin",
];

const HOST: &str = "Host: 127.0.0.1:PORT";
const ORIGIN: &str = "Origin: http://127.0.0.1:PORT";
const UPGRADE: [&str; 3] =
    ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="];

/// Asserts the status, and the headers that stand on every answer.
fn check(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "not {status}: {answer}");
    let head = answer.split("\r\n\r\n").next().unwrap();
    for header in SECURITY {
        let count = head.split("\r\n").filter(|line| *line == header).count();
        assert_eq!(count, 1, "{header} in {answer}");
    }
    assert_eq!(head.matches("cache-control: ").count(), 1, "{answer}");
}

/// Asserts that the answer says something to its reader.
fn explains(answer: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: text/plain; charset=utf-8"), "{answer}");
    assert!(body.len() > 20 && body.ends_with(".\n"), "{answer}");
}

#[tokio::test]
async fn the_page_is_at_the_root() {
    let server = Server::start(&[]).await;
    let root = server.request(&["GET / HTTP/1.1", HOST]).await;
    check(&root, 200);
    assert!(root.contains("content-type: text/html; charset=utf-8\r\n"), "{root}");
    assert!(root.contains("cache-control: no-store\r\n"), "{root}");
    assert!(root.to_lowercase().contains("<!doctype html>"), "{root}");

    let body = |answer: &str| answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    let named = server.request(&["GET /index.html?query HTTP/1.1", HOST]).await;
    assert_eq!(body(&named), body(&root));

    let head = server.request(&["HEAD / HTTP/1.1", HOST]).await;
    check(&head, 200);
    assert_eq!(body(&head), "");
    assert!(head.contains(&format!("content-length: {}\r\n", body(&root).len())), "{head}");
}

#[tokio::test]
async fn the_page_without_a_build_keeps_the_policy_and_says_what_to_do() {
    let page = include_str!("../without-page.html");
    assert!(page.contains("make build"));
    for forbidden in ["<script", "<style", " style=", " onclick", "http:", "https:", "src="] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_in_words() {
    let server = Server::start(&[]).await;
    for path in ["/favicon", "/assets/", "/bridge/", "/../Cargo.toml", "//index.html", "/%69ndex.html"] {
        let answer = server.request(&[&format!("GET {path} HTTP/1.1"), HOST]).await;
        check(&answer, 404);
        explains(&answer);
    }
    for (method, path) in [("POST", "/"), ("OPTIONS", "/nowhere"), ("DELETE", "/index.html"), ("PUT", "/bridge")] {
        let answer = server.request(&[&format!("{method} {path} HTTP/1.1"), HOST, "Content-Length: 0"]).await;
        check(&answer, 405);
        explains(&answer);
        assert!(
            answer.to_lowercase().replace("get,head", "get, head").contains("\r\nallow: get, head\r\n"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_request_is_for_one_of_our_names() {
    let server = Server::start_with(&[], &["chat.example", "proxy.example:8443"], patient()).await;
    for host in [
        "127.0.0.1:PORT",
        "localhost:PORT",
        "LOCALHOST:PORT",
        "[::1]:PORT",
        "chat.example:PORT",
        "chat.example",
        "proxy.example:8443",
    ] {
        check(&server.request(&["GET / HTTP/1.1", &format!("Host: {host}")]).await, 200);
    }
    let absolute = server.request(&["GET http://127.0.0.1:PORT/ HTTP/1.1", HOST]).await;
    check(&absolute, 200);

    for lines in [
        &["GET / HTTP/1.1"] as &[_],
        &["GET / HTTP/1.1", "Host:"],
        &["GET / HTTP/1.1", "Host: 127.0.0.1"],
        &["GET / HTTP/1.1", "Host: localhost:1"],
        &["GET / HTTP/1.1", "Host: evil.example:PORT"],
        &["GET / HTTP/1.1", "Host: proxy.example:PORT"],
        &["GET / HTTP/1.1", "Host: 127.0.0.1:PORT:PORT"],
        &["GET / HTTP/1.1", HOST, HOST],
        &["GET / HTTP/1.1", HOST, "Host: evil.example"],
        &["GET http://evil.example/ HTTP/1.1", HOST],
        &["GET /nowhere HTTP/1.1", "Host: evil.example"],
        &["POST / HTTP/1.1", "Host: evil.example"],
        &["GET /bridge HTTP/1.1", "Host: evil.example", "Origin: http://evil.example"],
    ] {
        let answer = server.request(lines).await;
        check(&answer, 421);
        explains(&answer);
        assert!(!answer.contains("evil"), "{answer}");
    }
}

#[tokio::test]
async fn only_our_own_page_may_open_the_bridge() {
    let server = Server::start(&[]).await;
    let port = server.address.port();
    let origins = [
        None,
        Some("null".to_owned()),
        Some(format!("http://127.0.0.1:{}", port ^ 1)),
        Some("http://127.0.0.1".to_owned()),
        Some(format!("http://localhost:{port}")),
        Some(format!("http://evil.example:{port}")),
        Some(format!("http://127.0.0.1:{port}.evil.example")),
        Some(format!("http://127.0.0.1:{port}/")),
        Some(format!("ws://127.0.0.1:{port}")),
    ];
    for origin in origins {
        assert_eq!(server.open_from(origin.as_deref()).await.err(), Some(403), "{origin:?}");
    }
    for scheme in ["http", "https"] {
        let mut page = server.open_from(Some(&format!("{scheme}://127.0.0.1:{port}"))).await.unwrap();
        page.show(&server.token).await;
        assert_eq!(page.control().await["type"], "welcome", "{scheme}");
    }
}

#[tokio::test]
async fn every_answer_of_the_bridge_has_the_headers() {
    let server = Server::start(&[]).await;
    let [upgrade, version, key] = UPGRADE;
    let plain = server.request(&["GET /bridge HTTP/1.1", HOST, ORIGIN]).await;
    check(&plain, 426);
    explains(&plain);
    assert!(plain.contains("upgrade: websocket\r\n"), "{plain}");

    for origin in ["Origin: null", "X-Origin: none"] {
        let foreign = server.request(&["GET /bridge HTTP/1.1", HOST, origin, upgrade, version, key]).await;
        check(&foreign, 403);
        explains(&foreign);
    }
    let old = server.request(&["GET /bridge HTTP/1.1", HOST, ORIGIN, upgrade, "Sec-WebSocket-Version: 8", key]).await;
    check(&old, 400);

    // A WebSocket does not end with its head, and this one is not compressed whatever is offered.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let offer = "Sec-WebSocket-Extensions: permessage-deflate";
    let lines = ["GET /bridge HTTP/1.1", HOST, ORIGIN, upgrade, version, key, offer, "Connection: Upgrade", "", ""];
    let text = lines.join("\r\n").replace("PORT", &server.address.port().to_string());
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(within(stream.read_u8()).await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap();
    check(&answer, 101);
    assert!(!answer.contains("deflate"), "{answer}");
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_at_the_start() {
    let refused = async |hosts: &[&str], targets: &[(&str, &str)]| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let target = |&(id, address): &(&str, &str)| Target::plain(id, address.replace("PORT", &port).parse().unwrap());
        let config = HttpConfig {
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            targets: targets.iter().map(target).collect(),
            ..HttpConfig::default()
        };
        let (_stop, shutdown) = watch::channel(false);
        let error =
            within(crate::http::serve::serve(listener, config, Token::generate().unwrap(), &Files::plenty(), shutdown))
                .await
                .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        error.to_string()
    };
    let host = refused(&["http://chat.example"], &[]).await;
    assert!(host.starts_with("--http-host: 'http://chat.example' is not a host"), "{host}");
    for own in ["127.0.0.1:PORT", "0.0.0.0:PORT", "[::ffff:127.0.0.1]:PORT", "[::]:PORT"] {
        let target = refused(&[], &[("0", "127.0.0.1:1"), ("1", own)]).await;
        assert!(target.contains("target 1") && target.contains("own address"), "{target}");
    }
    let twice = refused(&[], &[("7", "127.0.0.1:1"), ("7", "127.0.0.1:2")]).await;
    assert_eq!(twice, "two targets have the id 7");
}

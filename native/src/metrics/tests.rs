//! The metrics and health checks of a whole server, over HTTP.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use chanwire_core::{
    Rate, Time,
    endpoint::Reason,
    hub::{ChannelRecord, Hub, HubLimits, Moment, Snapshot},
    wire::{Channel, Timestamp},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
};

use super::*;
use crate::{Server, ServerConfig, tls::write_pair};

/// Every metric, with its type. A name that leaves this list breaks somebody's dashboard.
const GOLDEN: &str = include_str!("golden.txt");

async fn server(directory: &Path) -> Server {
    let mut config = ServerConfig::new(directory);
    config.metrics = Some("127.0.0.1:0".parse().unwrap());
    config.store_min_free = 0;
    config.tls = Some(write_pair(directory, &["chat.example"], 1));
    Server::start(config).await.unwrap()
}

/// Makes the metrics of a server that has this hub and these connections.
fn metrics(hub: HubSender, connections: Arc<ConnectionCounts>, stopping: watch::Receiver<bool>) -> Metrics {
    let last_reload = Arc::new(LastReload::new(Timestamp::default()));
    Metrics::new(Sources { hub, store: Arc::default(), connections, last_reload, certificates: None, stopping })
}

/// Asks with this header, and returns the answer.
async fn get(address: SocketAddr, path: &str, header: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.0\r\n{header}\r\n")).await
}

async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn scrape(server: &Server) -> String {
    get(server.metrics_address().unwrap(), "/metrics", "").await
}

/// Sends a request to a server, ends the stream, and returns the answer.
async fn ask(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Returns the value of a series.
fn value(text: &str, series: &str) -> Option<f64> {
    let rest = |line: &'_ str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(rest)
}

/// Returns each metric's line of `# TYPE`, without that.
fn types(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect()
}

#[tokio::test]
async fn names_and_types_are_those_of_the_golden_list() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let text = scrape(&server).await;
    assert_eq!(types(&text).join("\n") + "\n", GOLDEN);
    assert!(text.starts_with("HTTP/1.0 200 OK\r\n") && text.contains("text/plain; version=0.0.4; charset=utf-8"));
    let version = format!("chanwire_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    for series in [&version, "chanwire_hub_up", "chanwire_store_up"] {
        assert_eq!(value(&text, series), Some(1.0), "{series} in {text}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_passes_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let host = format!(
        "HOST\r\n{{\"channel_name\": \"secret name\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": {}}}",
        server.address().port()
    );
    let requests = [
        host.as_str(),
        "MESSAGE\r\n{\"username\": \"secret user\", \"message_content\": \"hi\"}",
        "JOIN\r\n{\"channel_name\": \"secret name\", \"after\": 0}",
        "LIST\r\n",
        "PING\r\n",
        "AUTH\r\n{\"account\": \"ann\", \"password\": \"secret word\"}",
        "LEAVE\r\n{\"channel_name\": \"nowhere\"}",
    ];
    let answers = ask(&server, &requests.concat()).await;
    let sent: usize = requests.iter().map(|request| request.len()).sum();
    // The connection's end is counted a moment after the peer sees it.
    let mut text = scrape(&server).await;
    while value(&text, "chanwire_connections{kind=\"plain\"}") != Some(0.0)
        || value(&text, "chanwire_sent_bytes_total") != Some(answers.len() as f64)
    {
        text = scrape(&server).await;
    }
    let expected = [
        ("chanwire_connections_accepted_total{kind=\"plain\"}", 1.0),
        ("chanwire_connections_ended_total{reason=\"client_closed\"}", 1.0),
        ("chanwire_connections_ended_total{reason=\"slow_consumer\"}", 0.0),
        ("chanwire_requests_total{command=\"HOST\",status=\"OK\"}", 1.0),
        ("chanwire_requests_total{command=\"MESSAGE\",status=\"OK\"}", 1.0),
        ("chanwire_requests_total{command=\"LIST\",status=\"OK\"}", 1.0),
        ("chanwire_requests_total{command=\"LEAVE\",status=\"REQUEST_ERROR\"}", 1.0),
        ("chanwire_auth_total{result=\"failed\"}", 1.0),
        ("chanwire_errors_total{error=\"authentication_failed\"}", 1.0),
        ("chanwire_errors_total{error=\"unknown_command\"}", 1.0),
        ("chanwire_errors_total{error=\"channel_not_found\"}", 1.0),
        ("chanwire_messages_stored_total", 1.0),
        ("chanwire_pushes_total", 1.0),
        ("chanwire_channels{place=\"here\"}", 1.0),
        ("chanwire_channels{place=\"elsewhere\"}", 0.0),
        ("chanwire_joins", 0.0),
        ("chanwire_received_bytes_total", sent as f64),
        ("chanwire_commit_duration_seconds_count", 2.0),
        ("chanwire_request_duration_seconds_count{command=\"MESSAGE\"}", 1.0),
    ];
    for (series, expected) in expected {
        assert_eq!(value(&text, series), Some(expected), "{series} in {text}");
    }
    assert!(value(&text, "chanwire_database_bytes").unwrap() + value(&text, "chanwire_wal_bytes").unwrap() > 0.0);
    assert!(!text.contains("secret"), "{text}");

    let named = "MESSAGE\r\n{\"username\": \"secret user\", \"message_content\": \"hi\", \
        \"client_message_id\": \"secret-id-0123456789\"}";
    ask(&server, &named.repeat(3)).await;
    let text = scrape(&server).await;
    for (series, expected) in [
        ("chanwire_messages_stored_total", 2.0),
        ("chanwire_messages_duplicate_total", 2.0),
        ("chanwire_send_keys", 1.0),
        ("chanwire_send_keys_evicted_total", 0.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series} in {text}");
    }
    assert!(!text.contains("secret"), "{text}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn every_reason_has_a_series() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let text = scrape(&server).await;
    for reason in Reason::ALL {
        let family = if reason.is_refusal() { "refused" } else { "ended" };
        let series = format!("chanwire_connections_{family}_total{{reason=\"{}\"}}", reason.as_str());
        assert_eq!(value(&text, &series), Some(0.0), "{series} in {text}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn connections_that_wait_for_a_rate_are_counted_while_they_wait_and_their_time_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::new(directory.path());
    config.metrics = Some("127.0.0.1:0".parse().unwrap());
    config.store_min_free = 0;
    config.address_limits.exempt.clear();
    config.address_limits.connection_rate = Rate::new(4, 1).unwrap();
    let server = Server::start(config).await.unwrap();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all("LIST\r\n".repeat(13).as_bytes()).await.unwrap();
    let waiting = "chanwire_throttled_connections{scope=\"connection\"}";
    while value(&scrape(&server).await, waiting) != Some(1.0) {}
    stream.shutdown().await.unwrap();
    stream.read_to_string(&mut String::new()).await.unwrap();
    let mut text = scrape(&server).await;
    while value(&text, waiting) != Some(0.0) {
        text = scrape(&server).await;
    }
    // Twelve of them have waited for a quarter of a second each.
    let waited = value(&text, "chanwire_throttled_seconds_total{scope=\"connection\"}").unwrap();
    assert!((2.9..30.0).contains(&waited), "{waited} s");
    assert_eq!(value(&text, "chanwire_throttled_seconds_total{scope=\"address\"}"), Some(0.0));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_error_that_closes_a_connection_is_counted_once() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let host = format!(
        "HOST\r\n{{\"channel_name\": \"a\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": {}}}",
        server.address().port()
    );
    // The client removes its own channel after it has joined it.
    let requests = [&host, "JOIN\r\n{\"channel_name\": \"a\"}", "UNHOST\r\n{\"channel_name\": \"a\"}"];
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(requests.concat().as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert!(answers.contains("\"Channel removed\""), "{answers}");
    let text = scrape(&server).await;
    assert_eq!(value(&text, "chanwire_errors_total{error=\"channel_removed\"}"), Some(1.0), "{text}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_for_another_name_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let address = server.metrics_address().unwrap();
    for path in ["/metrics", "/livez", "/readyz"] {
        let answer = get(address, path, "Host: evil.example\r\n").await;
        assert!(answer.starts_with("HTTP/1.0 421") && answer.contains("--metrics-host"), "{path}: {answer}");
        assert!(get(address, path, &format!("Host: {address}\r\n")).await.starts_with("HTTP/1.0 200"), "{path}");
    }
    assert!(get(address, "/", "").await.starts_with("HTTP/1.0 404"));
    assert!(exchange(address, "POST /metrics HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.0 405"));
    server.stop().await.unwrap();
}

/// Returns the text of a hub with this many channels.
async fn text_with_channels(count: u64) -> String {
    let record = |position: u64| ChannelRecord {
        channel: Channel {
            channel_name: format!("channel {position}").parse().unwrap(),
            address: "192.0.2.7:22236".parse().unwrap(),
        },
        registered_from: None,
        position,
        lease: None,
        account: None,
    };
    let stored = Snapshot { channels: (0..count).map(record).collect(), ..Snapshot::default() };
    let mut hub = Hub::new(HubLimits::default(), stored, Moment { time: Time::default(), ..Moment::default() });
    hub.add_listener(&["192.0.2.7:22236".parse().unwrap()]);
    let report = HubReport { counters: hub.counters(), traffic: Traffic::default() };
    assert_eq!(report.counters.channels_here, usize::try_from(count).unwrap());
    let reloaded = LastReload::new(Timestamp::default()).get();
    text::encode(Scrape {
        hub: Some(report),
        sizes: None,
        store: Arc::default(),
        connections: Arc::default(),
        reloaded,
        certificate: None,
    })
}

#[tokio::test]
async fn the_number_of_series_does_not_depend_on_the_number_of_channels() {
    let series = |text: String| -> BTreeSet<String> {
        text.lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    assert_eq!(series(text_with_channels(100_000).await), series(text_with_channels(0).await));
}

#[tokio::test]
async fn a_hub_that_does_not_answer_is_down_and_the_rest_is_served() {
    // The receiver is kept, and reads nothing.
    let (hub, _inputs) = mpsc::unbounded_channel();
    let (_stop, stopping) = watch::channel(false);
    let metrics = self::metrics(hub, Arc::default(), stopping);
    let text = metrics.text().await;
    assert_eq!(value(&text, "chanwire_hub_up"), Some(0.0));
    assert_eq!(value(&text, "chanwire_store_up"), Some(1.0));
    assert!(text.contains("process_") && !text.contains("chanwire_requests_total{"), "{text}");
    assert!(metrics.live().await.iter().all(|check| check.fault.is_some()));
}

#[tokio::test]
async fn a_server_that_drains_lives_and_is_not_ready() {
    let (hub, mut inputs) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Input::Report(answer)) = inputs.recv().await {
            let mut hub = Hub::new(HubLimits::default(), Snapshot::default(), Moment::default());
            let _ = answer.send(HubReport { counters: hub.counters(), traffic: Traffic::default() });
        }
    });
    let (stop, stopping) = watch::channel(false);
    let connections = Arc::new(ConnectionCounts::default());
    let metrics = self::metrics(hub, connections.clone(), stopping);
    let failing = async || {
        let checks = metrics.ready().await.into_iter().filter(|check| check.fault.is_some());
        checks.map(|check| check.name).collect::<Vec<_>>()
    };
    assert!(failing().await.is_empty());
    connections.add_listener();
    assert_eq!(failing().await, ["listeners"]);
    let open = connections.listen();
    assert!(failing().await.is_empty());
    drop(open);
    stop.send(true).unwrap();
    assert_eq!(failing().await, ["listeners", "draining"]);
    assert!(metrics.live().await.iter().all(|check| check.fault.is_none()));
}

/// Asks until the answer begins so, for 30 s at most.
async fn until(address: SocketAddr, path: &str, start: &str) -> String {
    let since = Instant::now();
    loop {
        let answer = get(address, path, "").await;
        if answer.starts_with(start) {
            return answer;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "{path} does not begin with {start:?}: {answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_store_that_fails_makes_the_server_unready_until_it_works_again_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let address = server.metrics_address().unwrap();
    let host = "HOST\r\n{\"channel_name\": \"a\", \"peer_server_ip\": \"192.0.2.7\", \"peer_server_port\": 1}";
    until(address, "/readyz", "HTTP/1.0 200").await;
    // Another program that holds the write lock.
    let other = rusqlite::Connection::open(directory.path().join("chanwire.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(ask(&server, host).await.starts_with("SERVER_ERROR"));
    let answer = until(address, "/readyz?verbose", "HTTP/1.0 503").await;
    assert!(answer.contains("[+]hub ok\n[-]store commit fails") && answer.contains("[+]listeners ok"), "{answer}");
    assert!(get(address, "/livez", "").await.starts_with("HTTP/1.0 200"));
    let text = scrape(&server).await;
    assert_eq!(value(&text, "chanwire_store_up"), Some(0.0));
    assert!(value(&text, "chanwire_store_failures_total{operation=\"commit\"}") >= Some(1.0));
    // No client has to ask for anything.
    other.execute_batch("ROLLBACK").unwrap();
    until(address, "/readyz", "HTTP/1.0 200").await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_chosen_address_that_is_taken_ends_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = ServerConfig::new(directory.path());
    config.metrics = Some(taken.local_addr().unwrap());
    let error = Server::start(config).await.unwrap_err().to_string();
    assert!(error.contains("choose another address with --metrics"), "{error}");
}

/// Returns the names of metrics in an expression of Prometheus.
fn metrics_in(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    words.filter(|word| word.starts_with("chanwire_") || word.starts_with("process_"))
}

#[tokio::test]
async fn every_metric_of_the_dashboard_and_the_rules_is_exported() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let text = scrape(&server).await;
    let series: BTreeSet<&str> = text.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    let rules = include_str!("../../packaging/prometheus.rules.yml");
    let dashboard = include_str!("../../packaging/grafana.json");
    serde_json::from_str::<serde_json::Value>(dashboard).unwrap();
    for (file, least) in [(rules, 5), (dashboard, 25)] {
        let names: BTreeSet<&str> = metrics_in(file).collect();
        let missing: Vec<&&str> = names.difference(&series).collect();
        assert!(missing.is_empty() && names.len() >= least, "{missing:?} of {names:?}");
    }
    // Of the rules' labels, each value is one that is exported.
    for label in ["operation=\"commit\"", "operation=\"load\"", "operation=\"read\"", "reason=\"server_busy\""] {
        assert!(text.contains(label), "{label}");
    }
    server.stop().await.unwrap();
}

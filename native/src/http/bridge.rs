//! The bridge: one WebSocket carries one TCP connection, because a page cannot open one itself. Where the server is
//! reached by TLS, the bridge encrypts the connection.
//!
//! Binary messages are the stream's bytes, unchanged; text messages are control messages ([`control`]). The page sends
//! its token, receives the list of targets, and chooses one to connect to. On request, the bridge reports the time of
//! each read and write, because the page's own clock would measure a busy page.

mod carry;
mod control;
mod credit;
mod end;
mod plan;
mod socket;
mod watch;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::http::header::UPGRADE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use chanwire_inspect::visible;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use self::carry::carry;
use self::control::{FromPage, ToPage};
use self::end::End;
use self::socket::{Event, PageSocket};
use super::access::{PeerAddress, client_address, same_origin};
use super::connections::PoolPermit;
use super::shared::{Shared, Tap, Target, stopped};
use crate::client::ErrorKind;
use crate::server_address::ServerAddress;
use crate::shared_stream::SharedStream;

/// The largest message and the largest frame from a page, in bytes.
const MESSAGE_SIZE: usize = 1 << 20;
/// The read buffer of each open WebSocket in bytes.
const READ_BUFFER: usize = 8 << 10;
/// The write buffer of a WebSocket in bytes, for one message and pongs.
const WRITE_BUFFER: usize = 256 << 10;
/// Timeout for the page's answer to a close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// Timeout for connecting to a target, the TLS handshake included.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Answers a request for `/bridge`.
pub(super) async fn upgrade(
    State(shared): State<Arc<Shared>>,
    Extension(PeerAddress(peer)): Extension<PeerAddress>,
    headers: HeaderMap,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if !asks_for_websocket(&headers) {
        return (
            StatusCode::UPGRADE_REQUIRED,
            [(UPGRADE, "websocket")],
            "This path speaks WebSocket only; the inspector's page uses it.\n",
        )
            .into_response();
    }
    if !same_origin(&headers) {
        return (
            StatusCode::FORBIDDEN,
            "The bridge is open only to this server's own page: Origin must be http:// or https:// and then what \
             Host says.\n",
        )
            .into_response();
    }
    let client = client_address(peer, &headers, &shared.trusted_proxies);
    let socket = match socket {
        Ok(socket) => socket,
        Err(rejection) => return rejection.into_response(),
    };
    let Ok(waiting) = shared.waiting.enter().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    socket
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER)
        .max_message_size(MESSAGE_SIZE)
        .max_frame_size(MESSAGE_SIZE)
        .on_failed_upgrade(move |error| tracing::debug!(%client, %error, "a WebSocket was not opened"))
        .on_upgrade(move |socket| bridge(socket, shared, client, waiting))
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let is_websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    headers.get(UPGRADE).is_some_and(is_websocket)
}

async fn bridge(socket: WebSocket, shared: Arc<Shared>, client: IpAddr, waiting: PoolPermit) {
    let mut shutdown = shared.shutdown.clone();
    let mut page = PageSocket::new(socket);
    let authenticated = tokio::select! {
        authenticated = timeout(shared.limits.token_wait, authenticate(&mut page, &shared)) => authenticated.unwrap_or(Err(End::LATE)),
        () = waiting.displaced() => return page.close(End::DISPLACED, Duration::ZERO).await,
        () = stopped(&mut shutdown) => Err(End::STOPPING),
    };
    // The socket counts against the pool until it is closed.
    let connection = match authenticated {
        Ok(connection) => connection,
        Err(end) => {
            tracing::debug!(%client, %end, "a bridge was refused");
            tokio::select! {
                () = page.close(end, CLOSE_WAIT) => {}
                () = waiting.displaced() => {}
            }
            return;
        }
    };
    drop(waiting);
    let end = tokio::select! {
        end = serve(&mut page, &shared, client) => end.err().unwrap_or(End::DONE),
        () = stopped(&mut shutdown) => End::STOPPING,
    };
    tracing::debug!(%client, %end, "a bridge ended");
    page.close(end, CLOSE_WAIT).await;
    drop(connection);
}

/// Serves an authenticated page. Returns `Ok` when the TCP connection is closed and the page has received the reason.
async fn serve(page: &mut PageSocket, shared: &Shared, client: IpAddr) -> Result<(), End> {
    let tap = shared.tap.as_ref();
    let welcome = ToPage::Welcome { version: env!("CARGO_PKG_VERSION"), targets: &shared.targets, tap };
    page.send(welcome.message()?).await?;

    let (target, report) = match choose(page, shared).await? {
        Choice::Target(target, report) => (target, report),
        Choice::Tap(tap) => return watch::watch(page, &tap.watchers, shared.limits.ping).await,
    };
    let requested_at = Instant::now();
    let reason = match connect(target).await {
        Ok(stream) => {
            let after = milliseconds(requested_at.elapsed());
            let reached = |address: SocketAddr| ServerAddress::from(address).with_tls(stream.is_tls()).to_string();
            // A connection that has failed meanwhile has no peer.
            let remote = stream.tcp().peer_addr().map_or_else(|_| target.server.to_string(), reached);
            let local = stream.tcp().local_addr().map_err(|_| End::INTERNAL)?;
            let opened = ToPage::Opened { target: &target.id, local, remote: &remote, after };
            let opened_at = Instant::now();
            page.send(opened.message()?).await?;
            tracing::debug!(%client, target = target.id, address = %target.server, "a bridge is open");
            carry(page, stream, opened_at, report, shared.limits.ping).await?
        }
        Err(reason) => reason,
    };
    page.send(ToPage::Closed { reason: &reason }.message()?).await
}

/// Waits for the token and acquires a connection permit.
async fn authenticate(page: &mut PageSocket, shared: &Shared) -> Result<OwnedSemaphorePermit, End> {
    let Event::Text(text) = page.event(true).await? else {
        return Err(End::NO_TOKEN);
    };
    match FromPage::parse(&text) {
        Ok(FromPage::Token { token }) if shared.token.matches(&token) => {}
        Ok(FromPage::Token { .. }) => return Err(End::WRONG_TOKEN),
        _ => return Err(End::NO_TOKEN),
    }
    let connections = shared.connections.clone();
    connections.try_acquire_owned().map_err(|_| End::TOO_MANY)
}

/// A page's choice.
enum Choice<'a> {
    /// A connection to a target, and whether it wants reports.
    Target(&'a Target, bool),
    /// The tap's traffic.
    Tap(&'a Tap),
}

/// Waits for the page to choose a target or the tap.
async fn choose<'a>(page: &mut PageSocket, shared: &'a Shared) -> Result<Choice<'a>, End> {
    let Event::Text(text) = page.event(true).await? else {
        return Err(End::NOT_CONNECTED);
    };
    match FromPage::parse(&text)? {
        FromPage::Connect { target: id, report } => {
            let target = shared.targets.iter().find(|target| target.id == id);
            target.map(|target| Choice::Target(target, report)).ok_or(End::NO_TARGET)
        }
        FromPage::Watch {} => shared.tap.as_ref().map(Choice::Tap).ok_or(End::NO_TAP),
        _ => Err(End::NOT_CONNECTED),
    }
}

/// Converts a time to milliseconds.
fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Opens the connection. The error is the reason shown by the page.
///
/// The page is not read meanwhile; its messages wait in the WebSocket.
async fn connect(target: &Target) -> Result<SharedStream, String> {
    let server = &target.server;
    target.connector().open_shared_within(CONNECT_WAIT).await.map_err(|failure| match failure {
        ErrorKind::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            format!("Connection refused (nothing listens at {server}: is the server running?)")
        }
        ErrorKind::Connect(error) => format!("cannot connect to {server}: {error}"),
        ErrorKind::ConnectTimeout(limit) => format!("no answer from {server} within {} s", limit.as_secs()),
        // Its words may quote the server's certificate.
        failure => visible(&format!("cannot connect to {server}: {failure}")).into_owned(),
    })
}

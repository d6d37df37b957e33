//! The bridge: one WebSocket carries one TCP connection, because a page cannot open one itself.
//!
//! Binary messages are the stream's bytes, unchanged; text messages are control ([`control`]). The page shows its
//! token, is told the targets, names one, and is connected to it. If it asks for reports it is told when each read and
//! each write was made: by a page's own clock the times between them would be those of the page, which may be busy.

mod carry;
mod control;
mod credit;
mod end;
mod plan;
mod socket;
mod watch;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::http::header::UPGRADE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use self::carry::carry;
use self::control::{FromPage, ToPage};
use self::end::End;
use self::socket::{Event, PageSocket};
use super::access::same_origin;
use super::connections::PoolPermit;
use super::shared::{Shared, Tap, Target, stopped};
use crate::socket as tcp_socket;

/// The largest message and the largest frame from a page, in bytes.
const MESSAGE_SIZE: usize = 1 << 20;
/// The bytes read from a WebSocket at a time; every open one holds as much, so it is small.
const READ_BUFFER: usize = 8 << 10;
/// The bytes that may wait to be written to a WebSocket: the one message on its way, and answers to pings.
const WRITE_BUFFER: usize = 256 << 10;
/// The timeout from our close frame to the page's.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// The timeout of connecting to a target.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Answers a request for `/bridge`.
pub(super) async fn upgrade(
    State(shared): State<Arc<Shared>>,
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
        .on_failed_upgrade(|error| tracing::debug!(%error, "a WebSocket was not opened"))
        .on_upgrade(move |socket| bridge(socket, shared, waiting))
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let is_websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    headers.get(UPGRADE).is_some_and(is_websocket)
}

async fn bridge(socket: WebSocket, shared: Arc<Shared>, waiting: PoolPermit) {
    let mut shutdown = shared.shutdown.clone();
    let mut page = PageSocket::new(socket);
    let admitted = tokio::select! {
        admitted = timeout(shared.limits.token_wait, admit(&mut page, &shared)) => admitted.unwrap_or(Err(End::LATE)),
        () = waiting.displaced() => return page.close(End::DISPLACED, Duration::ZERO).await,
        () = stopped(&mut shutdown) => Err(End::STOPPING),
    };
    // Until it is closed the socket counts as open, whichever way it ends.
    let connection = match admitted {
        Ok(connection) => connection,
        Err(end) => {
            tracing::debug!(?end, "a bridge was refused");
            tokio::select! {
                () = page.close(end, CLOSE_WAIT) => {}
                () = waiting.displaced() => {}
            }
            return;
        }
    };
    drop(waiting);
    let end = tokio::select! {
        end = converse(&mut page, &shared) => end.err().unwrap_or(End::DONE),
        () = stopped(&mut shutdown) => End::STOPPING,
    };
    tracing::debug!(?end, "a bridge ended");
    page.close(end, CLOSE_WAIT).await;
    drop(connection);
}

/// Converses with a page that has shown the token. `Ok` when the TCP connection is over and the page knows
/// why.
async fn converse(page: &mut PageSocket, shared: &Shared) -> Result<(), End> {
    let tap = shared.tap.as_ref();
    let welcome = ToPage::Welcome { version: env!("CARGO_PKG_VERSION"), targets: &shared.targets, tap };
    page.say(welcome.message()?).await?;

    let (target, report) = match choose(page, shared).await? {
        Choice::Target(target, report) => (target, report),
        Choice::Tap(tap) => return watch::watch(page, &tap.watchers, shared.limits.ping).await,
    };
    let asked = Instant::now();
    let reason = match connect(target).await {
        Ok(tcp) => {
            let opened = ToPage::Opened {
                target: &target.id,
                local: tcp.local_addr().map_err(|_| End::INTERNAL)?,
                remote: target.address,
                after: milliseconds(asked.elapsed()),
            };
            let opened_at = Instant::now();
            page.say(opened.message()?).await?;
            tracing::debug!(target = target.id, address = %target.address, "a bridge is open");
            carry(page, tcp, opened_at, report, shared.limits.ping).await?
        }
        Err(reason) => reason,
    };
    page.say(ToPage::Closed { reason: &reason }.message()?).await
}

/// Waits for the token and takes a place among the connections.
async fn admit(page: &mut PageSocket, shared: &Shared) -> Result<OwnedSemaphorePermit, End> {
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
    /// The traffic that passes through the tap.
    Tap(&'a Tap),
}

/// Waits for the page to name a target, or to ask for what passes.
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

/// Converts a time to the page's unit.
fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Opens the TCP connection. The error is the reason for the page.
///
/// The page is not read meanwhile: what it sends along with `connect` waits in its WebSocket.
async fn connect(target: &Target) -> Result<TcpStream, String> {
    let address = target.address;
    let tcp = match timeout(CONNECT_WAIT, tcp_socket::connect(&[address])).await {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(format!("Connection refused (nothing listens at {address}: is the server running?)"));
        }
        Ok(Err(error)) => return Err(format!("cannot connect to {address}: {error}")),
        Err(_) => {
            let seconds = CONNECT_WAIT.as_secs();
            return Err(format!("no answer from {address} within {seconds} s"));
        }
    };
    Ok(tcp)
}

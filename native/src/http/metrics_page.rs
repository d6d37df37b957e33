//! Metrics and health checks over HTTP, on a listener of their own: a scraper has neither the token of the inspector's
//! page nor its names.

use std::{
    io,
    net::{self, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{
        StatusCode, Uri,
        header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::watch};

use super::{
    access::{Authority, Names},
    connections::accept,
    shared::stopped,
};
use crate::{
    file_limit::Files,
    metrics::{Check, Metrics, write_checks},
    socket::{Families, listen},
};

/// The most connections at one time. A further one displaces the least active.
pub(crate) const METRICS_FILES: u32 = 16;

/// The write timeout of responses.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The format of the metrics. Prometheus 3 refuses a response without it.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The listener of metrics and health checks, bound to an address.
pub(crate) struct MetricsPage {
    socket: net::TcpListener,
    address: SocketAddr,
    /// Host names of requests besides addresses and localhost.
    hosts: Arc<[Authority]>,
    limit: usize,
}

impl MetricsPage {
    /// Binds the address.
    pub(crate) fn bind(address: SocketAddr, hosts: &[Authority], files: &Files) -> io::Result<Self> {
        let listener = listen(address, Families::Both)?;
        let address = listener.local_addr().unwrap_or(address);
        let limit = usize::try_from(files.part(METRICS_FILES)).unwrap_or(usize::MAX);
        Ok(Self { socket: listener.into_std()?, address, hosts: hosts.into(), limit })
    }

    /// Returns the address that it is bound to.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stopping` is true. May be called again after a panic.
    pub(crate) async fn serve(&self, metrics: Arc<Metrics>, mut stopping: watch::Receiver<bool>) {
        // A copy of the socket, so that a restart after a panic can use it again.
        let listener = match self.socket.try_clone().and_then(TcpListener::from_std) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "cannot serve metrics"),
        };
        let router = router(metrics, self.hosts.clone());
        let others = stopping.clone();
        tokio::select! {
            () = accept(&listener, "metrics", &router, None, &others, self.limit, WRITE_TIMEOUT) => {}
            () = stopped(&mut stopping) => {}
        }
    }
}

fn router(metrics: Arc<Metrics>, hosts: Arc<[Authority]>) -> Router {
    Router::new()
        .route("/metrics", get(text))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .fallback(async || (StatusCode::NOT_FOUND, "Here are /metrics, /livez and /readyz.\n"))
        .layer(from_fn_with_state(hosts, guard))
        .with_state(metrics)
}

/// Refuses a request for an unknown host name with 421.
async fn guard(State(hosts): State<Arc<[Authority]>>, request: Request, next: Next) -> Response {
    let mut response = if Names::include_addresses(&hosts, request.headers()) {
        next.run(request).await
    } else {
        let advice = "This server does not answer to the name in the Host header.\n\
                      Use an IP address or localhost, or start it with --metrics-host NAME to serve that name too.\n";
        (StatusCode::MISDIRECTED_REQUEST, advice).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, axum::http::HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, axum::http::HeaderValue::from_static("nosniff"));
    response
}

async fn text(State(metrics): State<Arc<Metrics>>) -> Response {
    ([(CONTENT_TYPE, FORMAT)], metrics.text().await).into_response()
}

async fn live(State(metrics): State<Arc<Metrics>>, uri: Uri) -> Response {
    respond(&metrics.live().await, &uri)
}

async fn ready(State(metrics): State<Arc<Metrics>>, uri: Uri) -> Response {
    respond(&metrics.ready().await, &uri)
}

fn respond(checks: &[Check], uri: &Uri) -> Response {
    let is_verbose = |parameter: &str| parameter.split('=').next() == Some("verbose");
    let verbose = uri.query().is_some_and(|query| query.split('&').any(is_verbose));
    let works = checks.iter().all(|check| check.fault.is_none());
    let status = if works { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, write_checks(checks, verbose)).into_response()
}

//! A recording proxy between clients and a server: its watchers get all traffic.

mod file;
mod relay;
#[cfg(test)]
mod tests;

use std::{io, net::SocketAddr, panic::AssertUnwindSafe, path::PathBuf, sync::Arc, time::Duration};

use chanwire_inspect::Filter;
use futures_util::FutureExt as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

pub(crate) use self::file::Form;
pub(crate) use self::relay::Route;
#[cfg(test)]
pub(crate) use self::relay::relay;
use crate::{
    accept::Incoming,
    banner, file_limit,
    http::{self, HttpConfig, InspectorPage, Tap, Target, TargetTrust},
    local_addresses::is_local,
    serve_error::ServeError,
    server_address::ServerAddress,
    signals::StopSignals,
    socket::{Families, listen, tcp_addresses},
    supervisor::{Part, Supervisor},
    tls::{ALPN, Certificates, HTTP_ALPN, PairFault, TlsFiles, Trust},
    traffic::Watchers,
};

/// The most connections relayed at one time; further clients wait to be accepted.
const CONNECTIONS: u32 = 8192;

/// Timeout for writing the remaining rows when the tap stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of a tap.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    /// The server that clients are relayed to.
    pub(crate) to: ServerAddress,
    /// The certificates that are accepted of it.
    pub(crate) trust: Trust,
    /// The certificate for clients that begin with TLS, if they may.
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) http_hosts: Vec<String>,
    /// Whether the page is served by TLS, with the certificate for clients.
    pub(crate) http_tls: bool,
    pub(crate) write: Option<(PathBuf, Form)>,
    /// The size of the backlog for a page that is opened later, in bytes.
    pub(crate) backlog: usize,
    /// Whether `write` may replace a file that is not empty.
    pub(crate) overwrite: bool,
    /// Whether the file has passwords and tokens, which are masked otherwise.
    pub(crate) with_secrets: bool,
    /// The filter of the file and the page's initial filter, with its text as typed.
    pub(crate) filter: Option<(Filter, String)>,
}

/// An error that keeps a tap from running.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TapError {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("cannot find {to}: {cause}")]
    To { to: ServerAddress, cause: io::Error },
    #[error("--to {to} is the tap's own address {listen}: name the server's, and have clients connect to the tap")]
    Loop { to: ServerAddress, listen: SocketAddr },
    #[error("--tls-certificate, --tls-key: {0}")]
    Certificate(#[from] PairFault),
    #[error("cannot write {}: {cause}{}", path.display(), advice(cause))]
    Write { path: PathBuf, cause: io::Error },
    #[error("recording to {} stopped: {cause}; what it has up to there can be read", path.display())]
    Recording { path: PathBuf, cause: io::Error },
}

/// Returns advice for a file that cannot be created.
fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AlreadyExists => "; name another file, or add --overwrite",
        io::ErrorKind::NotFound => "; make its directory first, or name another file",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::IsADirectory => {
            "; name a file in a directory that you may write to"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room, or name a file on another file system"
        }
        io::ErrorKind::FileTooLarge => "; raise the limit on the size of files (ulimit -f)",
        _ => "",
    }
}

/// Runs a tap until a signal ends it.
pub(crate) async fn run(config: Config) -> Result<(), TapError> {
    const SIGNALS: &str = "wait for signals";
    let _file_size = file_limit::handle_file_size_signal().map_err(ServeError::system(SIGNALS))?;
    // A connection needs two files: one to the client and one to the server.
    let files =
        file_limit::raise(2 * CONNECTIONS, http::FILES).map_err(ServeError::system("raise the limit of open files"))?;
    let room = (files.connections / 2).max(1);

    let listener = listen(config.listen, Families::Both).map_err(|cause| ServeError::Listen {
        address: config.listen,
        flag: "--listen",
        cause,
    })?;
    let listen = listener.local_addr().unwrap_or(config.listen);
    let to = tcp_addresses(&config.to).await.map_err(|cause| TapError::To { to: config.to.clone(), cause })?;
    if to.iter().any(|to| http::leads_to_itself(listen, *to)) {
        return Err(TapError::Loop { to: config.to, listen });
    }

    // Only pages attach late.
    let watchers = Watchers::new(if config.http.is_some() { config.backlog } else { 0 });
    let (stop, stopping) = watch::channel(false);
    let (supervisor, _) = Supervisor::new(stopping.clone());
    let (failed, mut failure) = mpsc::channel(1);
    let mut parts = JoinSet::new();
    let certificates = config.tls.map(Certificates::load).transpose()?;
    let sessions = certificates.as_ref().map(|it| it.sessions(ALPN)).transpose()?;
    let page_tls = certificates.as_ref().filter(|_| config.http_tls).map(|it| it.sessions(HTTP_ALPN)).transpose()?;
    if let Some(certificates) = certificates {
        parts.spawn(certificates.watch(stopping.clone()));
    }
    let page = match config.http {
        None => None,
        Some(address) => {
            let target = |address: &SocketAddr| {
                if config.to.is_tls() {
                    Target::by_trust("0", config.to.clone(), *address, TargetTrust::Of(config.trust.clone()))
                } else {
                    Target::plain("0", *address)
                }
            };
            let tap = Tap { listen, to: config.to.to_string(), watchers: watchers.clone() };
            let targets = to.first().map(target).into_iter().collect();
            let http = HttpConfig {
                hosts: config.http_hosts,
                tls: page_tls,
                targets,
                tap: Some(tap),
                ..HttpConfig::default()
            };
            Some(Arc::new(InspectorPage::bind(address, http, files)?))
        }
    };
    let url = page.as_ref().map(|page| match &config.filter {
        Some((_, typed)) => format!("{}&filter={}", page.url(), utf8_percent_encode(typed, NON_ALPHANUMERIC)),
        None => page.url(),
    });
    let writer = match config.write {
        None => None,
        Some((path, form)) => {
            let filter = config.filter.map(|(filter, _)| filter);
            let file = file::Writer::create(&path, form, filter, config.overwrite, config.with_secrets)
                .map_err(|cause| TapError::Write { path: path.clone(), cause })?;
            let watcher = watchers.watch(file::QUEUE);
            let (finish, finishing) = watch::channel(false);
            let log_path = path.clone();
            let task = tokio::spawn(async move {
                let written = AssertUnwindSafe(file::write(watcher, file, finishing)).catch_unwind().await;
                let written = written.unwrap_or_else(|_| Err(io::Error::other("the writer panicked")));
                if let Err(error) = &written {
                    tracing::error!(
                        "cannot write {}: {error}; recording stops here, and clients go on",
                        log_path.display()
                    );
                }
                written
            });
            Some((path, finish, task))
        }
    };
    // Signals are caught only from here on, so that they end the process at once during a slow name lookup.
    let mut signals = StopSignals::new().map_err(ServeError::system(SIGNALS))?;
    // The page is started last, after everything that can fail.
    if let Some(page) = page {
        let serve = move || {
            let (page, stopping, failed) = (page.clone(), stopping.clone(), failed.clone());
            async move { page.serve(stopping, failed).await }
        };
        parts.spawn(supervisor.clone().keep(Part::Page, serve));
    }
    if to.iter().any(|to| is_local(to.ip())) {
        tracing::warn!(
            "the server is on this machine and sees this machine's address for every client of the tap: whoever \
             reaches {listen} may move and remove the channels that are hosted from here; let only those connect whom \
             you trust"
        );
    }
    let route = Route { sessions, to: config.to.clone(), trust: config.trust };
    banner::print(&banner(
        listen,
        route.sessions.is_some(),
        &config.to,
        writer.as_ref().map(|(path, ..)| path),
        url.as_deref(),
    ));
    let mut result = tokio::select! {
        name = signals.next() => {
            tracing::info!("{name}: stopping");
            Ok(())
        }
        Some(error) = failure.recv() => Err(ServeError::Page(error).into()),
        () = supervisor.keep(Part::Listener, || accept(&listener, &route, &watchers, room)) => Ok(()),
    };
    signals.exit_at_next();
    let _ = stop.send(true);
    if let Some((path, finish, task)) = writer {
        let _ = finish.send(true);
        match tokio::time::timeout(FLUSH_TIMEOUT, task).await {
            Err(_) => {
                let cause = io::ErrorKind::TimedOut.into();
                result = result.and(Err(TapError::Recording { path, cause }));
            }
            Ok(written) => {
                if let Err(cause) = written.map_err(io::Error::other).flatten() {
                    result = result.and(Err(TapError::Recording { path, cause }));
                }
            }
        }
    }
    while parts.join_next().await.is_some() {}
    result
}

async fn accept(listener: &TcpListener, route: &Route, watchers: &Watchers, room: u32) {
    let room = Arc::new(Semaphore::new(usize::try_from(room).unwrap_or(Semaphore::MAX_PERMITS)));
    let mut incoming = Incoming::new(listener, "tap");
    // The semaphore is never closed, so the loop runs until its task is dropped.
    while let Ok(permit) = room.clone().acquire_owned().await {
        let (client, peer) = incoming.next().await;
        let (route, watchers) = (route.clone(), watchers.clone());
        tokio::spawn(async move {
            relay::relay(client, peer, &route, &watchers).await;
            drop(permit);
        });
    }
}

/// Returns the start-up message with the addresses and the file.
fn banner(
    listen: SocketAddr,
    takes_tls: bool,
    to: &ServerAddress,
    file: Option<&PathBuf>,
    page: Option<&str>,
) -> String {
    let mut text = format!("chanwire {}\n", env!("CARGO_PKG_VERSION"));
    let ways = if takes_tls { "taking TLS and plain text\n" } else { "" };
    text += &format!("listening on {listen}\n{ways}passing on to {to}\n");
    if let Some(file) = file {
        text += &format!("writing {}\n", file.display());
    }
    if let Some(page) = page {
        text += &format!("inspector at {page}\n");
    }
    text
}

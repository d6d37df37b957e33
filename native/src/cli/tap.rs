//! `chanwire tap`

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};

use super::{Failure, Outcome, filter, trust::TrustOptions};
use crate::{
    config::{self, HttpAddress, NO_PAGE, http_host, listen_address},
    files,
    logging::{self, LogFormat},
    server_address::ServerAddress,
    tap::{self, Config, Form},
    threads,
    tls::TlsFiles,
};

/// Stand between clients and a server, and show every byte that passes
///
/// Clients connect to --listen instead of the server and notice nothing: bytes, ends and resets pass unchanged. The
/// printed URL opens the inspector on their traffic; --write records it to a file, also with no page open. If the file
/// cannot be written any more, the tap logs an error and stops recording, clients go on, and the exit code is 1.
///
/// A server at tls://HOST:PORT is reached by TLS. With a certificate of its own, the tap takes TLS from its clients as
/// well. It then waits for a client's first byte before it connects to the server. What is shown and recorded is what
/// was encrypted, with tls:// before the address of an encrypted side.
///
/// The server sees the tap's address in place of its clients'. Everybody who reaches --listen may therefore do what is
/// allowed from the tap's machine, such as moving or removing the channels that are hosted from it: let only clients
/// connect that you trust. The tap warns of this at its start if the server is on its own machine.
#[derive(Debug, Args)]
#[command(after_long_help = filter::HELP)]
pub(super) struct Tap {
    /// Clients connect here (IP:PORT)
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    listen: SocketAddr,

    /// The server that they reach (HOST:PORT, or tls://HOST:PORT)
    #[arg(long, value_name = "ADDR")]
    to: ServerAddress,

    #[command(flatten)]
    trust: TrustOptions,

    /// Take TLS from clients that begin with it, with the certificate in this file (PEM), followed by the others of its
    /// chain; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,

    /// The certificate's key (PEM), which others must not be able to read
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,

    /// Serve the inspector's page here, or `off`
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    http: HttpAddress,

    /// Another name by which the page may be asked for, beside those of loopback (127.0.0.1, ::1, localhost); may be
    /// given more than once
    #[arg(long, value_name = "HOST[:PORT]", value_parser = http_host)]
    http_host: Vec<String>,

    /// Serve the page by TLS alone (`required`), with the certificate of --tls-certificate, or in plain text alone (`off`)
    #[arg(long, value_name = "MODE", default_value = "off", requires_if("required", "tls_certificate"))]
    http_tls: HttpTls,

    /// Record to this file, which only you may read: JSON Lines if it ends in .jsonl, packets for Wireshark if it ends
    /// in .pcapng
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,

    /// Keep this much of the last traffic for a page that is opened later, such as 64K or 16M, or 0
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = backlog)]
    backlog: usize,

    /// Replace the file if there is something in it already
    #[arg(long, requires = "write")]
    overwrite: bool,

    /// Record passwords and tokens, which are masked otherwise
    #[arg(long, requires = "write")]
    with_secrets: bool,

    /// Record only what passes this filter, such as 'err || cmd == HOST'; the page begins with it as well
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,

    /// Log this and everything more severe on standard error: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,
}

/// The TLS of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum HttpTls {
    Off,
    Required,
}

impl Tap {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        logging::start(&self.log, LogFormat::Text)?;
        files::keep_private();
        let Self { http: HttpAddress(http), http_host, .. } = &self;
        if http.is_none() && !http_host.is_empty() {
            return Err(Failure::usage(format!("--http-host: {NO_PAGE}")));
        }
        if http.is_none() && self.http_tls == HttpTls::Required {
            return Err(Failure::usage(format!("--http-tls: {NO_PAGE}")));
        }
        if http.is_none() && self.write.is_none() && self.filter.is_some() {
            return Err(Failure::usage("--filter: there is neither a page nor a file to show it in; add --write FILE"));
        }
        let filter = match self.filter {
            Some(typed) => Some((filter::parse(&typed)?, typed)),
            None => None,
        };
        let write = match self.write {
            None => None,
            Some(path) => {
                let form = Form::of(&path)
                    .map_err(|reason| Failure::usage(format!("--write {}: {reason}", path.display())))?;
                Some((path, form))
            }
        };
        let config = Config {
            listen: self.listen,
            to: self.to,
            trust: self.trust.trust()?,
            tls: self.tls_certificate.zip(self.tls_key).map(|(certificate, key)| TlsFiles { certificate, key }),
            http: self.http.0,
            http_hosts: self.http_host,
            http_tls: self.http_tls == HttpTls::Required,
            write,
            backlog: self.backlog,
            overwrite: self.overwrite,
            with_secrets: self.with_secrets,
            filter,
        };
        let runtime = threads::runtime()?;
        let result = runtime.block_on(tap::run(config)).map_err(|error| error.to_string());
        // A thread that looks up a name or writes to a pipe may be stuck.
        runtime.shutdown_background();
        result?;
        Ok(Outcome::Done)
    }
}

/// The largest backlog: beyond it, a file is the better place.
const LARGEST_BACKLOG: usize = 256 << 20;

fn backlog(typed: &str) -> Result<usize, String> {
    let bytes = if typed == "0" { Some(0) } else { config::bytes(typed)?.0 };
    bytes
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|bytes| *bytes <= LARGEST_BACKLOG)
        .ok_or_else(|| "at most 256M; to keep more, record to a file with --write".into())
}

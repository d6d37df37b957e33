//! `chanwire serve`

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use chanwire_core::{Limits, hub::HubLimits};
use clap::Args;

use super::{Failure, Outcome};
use crate::{
    config::{self, Advertised, Config, Hosted, Size, default_data_dir},
    files,
    http::Authority,
    logging::{self, LogFormat},
    server,
    server_address::ServerAddress,
    store::{self, Retention},
    threads,
};

/// Advice for the one who built this program, if SQLite was built without the flags that it should have.
const SQLITE_ADVICE: &str = env!("CHANWIRE_SQLITE_ADVICE");

/// The largest payload limit: every connection may keep a payload in memory.
const LARGEST_PAYLOAD: i64 = 16 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Listen here (IP:PORT) for every channel; may be given more than once
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:22236", value_parser = listen)]
    listen: Vec<SocketAddr>,

    /// Host a channel while this process runs, listed at ADDR; listen for it at BIND, or at ADDR; may be given more
    /// than once
    #[arg(long = "host", value_name = "NAME=ADDR[@BIND]")]
    hosted: Vec<Hosted>,

    /// Keep the channels of --host on this server's list as well (HOST:PORT); may be given more than once
    #[arg(long = "tracker", value_name = "ADDR", requires = "hosted")]
    trackers: Vec<ServerAddress>,

    /// Seconds for which a tracker lists them after it last heard of them, 10 to 86400
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "trackers", value_parser = clap::value_parser!(u32).range(10..=86_400))]
    lease: u32,

    /// An address (HOST or HOST:PORT) at which others reach this server, beside those it listens at: a channel
    /// registered there lives here; may be given more than once
    #[arg(long, value_name = "ADDR")]
    advertise: Vec<Advertised>,

    /// Serve the inspector's page here, or `off`
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:22280")]
    http: Http,

    /// Another name by which the page may be asked for, beside those of loopback (127.0.0.1, ::1, localhost); may be
    /// given more than once
    #[arg(long, value_name = "HOST[:PORT]", value_parser = http_host)]
    http_host: Vec<String>,

    /// Keep messages and channels here [default: $XDG_DATA_HOME/chanwire or ~/.local/share/chanwire]
    #[arg(long, value_name = "DIR", env = "CHANWIRE_DATA_DIR")]
    data_dir: Option<PathBuf>,

    /// Keep at most this many messages of each channel; older ones are dropped
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 53))]
    retain_count: Option<u64>,

    /// Keep messages this long, such as 90s, 30m, 12h or 30d
    #[arg(long, value_name = "TIME", value_parser = config::duration)]
    retain_age: Option<Duration>,

    /// Keep at most this many bytes of each channel's messages, such as 512K, 100M or 2G, or `unlimited`
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = config::bytes)]
    retain_bytes: Size,

    /// Let the store take at most this many bytes over all channels, such as 512M or 20G, or `unlimited`; beyond that
    /// the oldest messages of the largest channels are dropped [default: half of the space that is free at the start]
    #[arg(long, value_name = "SIZE", value_parser = config::store_max)]
    store_max: Option<Size>,

    /// Store nothing while fewer bytes than this are free on the file system
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = config::bytes)]
    store_min_free: Size,

    /// Refuse a request with a payload of more bytes than this
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(256..=LARGEST_PAYLOAD))]
    max_payload: u32,

    /// Serve at most this many connections at one time
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,

    /// List at most this many channels
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    max_channels: u32,

    /// Know at most this many names: of listed channels, and of those that had messages or whose lease has just ended
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=30_000_000))]
    max_names: u32,

    /// Forget a name after this time in which it was neither listed nor kept a message, such as 12h or 30d; its ids
    /// begin anew then
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = config::duration)]
    forget_names: Duration,

    /// Let one connection join at most this many channels
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_joins: u32,

    /// Close a connection as too slow that leaves more than this many bytes of new messages unread
    #[arg(long, value_name = "N", default_value_t = 1_048_576, value_parser = clap::value_parser!(u32).range(1024..))]
    max_pushed: u32,

    /// Refuse a request that takes longer than this from its first byte to its last, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    request_timeout: u32,

    /// Reset a connection whose peer reads nothing for this long while bytes wait for it, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    write_timeout: u32,

    /// Log this and everything more severe on standard error: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,

    /// Format of the log
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

/// An address, or `off`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Http(pub(super) Option<SocketAddr>);

impl FromStr for Http {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            address => address
                .parse()
                .map(|address| Self(Some(address)))
                .map_err(|_| "expected IP:PORT, such as 127.0.0.1:22280, or off".into()),
        }
    }
}

/// Parses an address to listen at. Names are not looked up.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected IP:PORT, such as 127.0.0.1:22236, 0.0.0.0:22236 or [::1]:22236".into())
}

/// The error where --http-host is given without a page.
pub(super) const NO_PAGE: &str = "--http-host: with --http off there is no page to be asked for; leave one of them out";

/// Parses a name by which the page can be asked for.
pub(super) fn http_host(text: &str) -> Result<String, String> {
    text.parse::<Authority>().map(|_| text.into()).map_err(|error| error.to_string())
}

impl Serve {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        logging::start(&self.log, self.log_format)?;
        if !SQLITE_ADVICE.is_empty() {
            tracing::info!("{SQLITE_ADVICE}");
        }
        files::keep_private();
        if self.http.0.is_none() && !self.http_host.is_empty() {
            return Err(Failure::usage(NO_PAGE));
        }
        let config = self.config()?;
        if let Some(name) = config.hosted_twice() {
            return Err(Failure::usage(format!(
                "--host names the channel '{name}' more than once; name each channel once"
            )));
        }
        let runtime = threads::runtime()?;
        let result = runtime.block_on(server::run(config)).map_err(|error| error.to_string());
        // A thread that looks up a name or writes to a pipe may be stuck.
        runtime.shutdown_background();
        result?;
        Ok(Outcome::Done)
    }

    fn config(self) -> Result<Config, Failure> {
        let data_dir = self.data_dir.or_else(default_data_dir);
        let data_dir = data_dir.ok_or("there is no home directory to keep data in; name one with --data-dir")?;
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let mut limits = Limits::server();
        limits.max_payload = count(self.max_payload);
        limits.frame_timeout = Duration::from_secs(self.request_timeout.into());
        limits.write_timeout = Duration::from_secs(self.write_timeout.into());
        limits.max_pushed = count(self.max_pushed);
        let mut hub_limits = HubLimits::default();
        hub_limits.max_joins = count(self.max_joins);
        hub_limits.max_channels = count(self.max_channels);
        hub_limits.max_names = count(self.max_names);
        hub_limits.drop_names_after = self.forget_names;
        hub_limits.max_id = store::MAX_ID;
        Ok(Config {
            listen: self.listen,
            hosted: self.hosted,
            advertised: self.advertise,
            http: self.http.0,
            http_hosts: self.http_host,
            data_dir,
            retention: Retention { count: self.retain_count, age: self.retain_age, bytes: self.retain_bytes.0 },
            store_max: self.store_max,
            store_min_free: self.store_min_free.0.unwrap_or_default(),
            trackers: self.trackers,
            lease: self.lease,
            limits,
            hub_limits,
            max_connections: self.max_connections,
        })
    }
}

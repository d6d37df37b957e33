//! The server's configuration and the parsers of its values.

mod file;
mod finding;
mod keys;
mod reload;
mod rules;
mod settings;
mod suggest;
#[cfg(test)]
mod tests;
mod toml_text;
mod value;

use std::{collections::HashSet, env, net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use chanwire_core::{
    AddressLimits, Limits, Network,
    hub::HubLimits,
    rights::{self, Rights},
    wire::{Address, Channel, NotAName},
};

#[cfg(test)]
pub(crate) use self::keys::KEY;
pub(crate) use self::{
    finding::{Finding, Origin, Place, origin_members},
    keys::{Applied, Fallback, Key, REPEATED, TABLE},
    reload::{LastReload, Reloaded, Reloader},
    rules::unknown as unknown_subject,
    settings::{Setting, Settings, Sources, absolute},
    suggest::{closest, named},
    toml_text::TomlText,
    value::{Kind, Value},
};
use crate::{
    accounts::{Account, Accounts},
    drain::DrainConfig,
    http::Authority,
    server_address::ServerAddress,
    store::Retention,
    tls::{TlsFiles, TlsMode, Trust},
    unix_socket::UnixPath,
};

/// The configuration of `chanwire serve`.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The listeners for all channels.
    pub(crate) listen: Vec<Listen>,
    /// Unix sockets for all channels.
    pub(crate) unix_sockets: Vec<UnixPath>,
    /// The files of the certificate and its key, if the listeners take TLS.
    pub(crate) tls: Option<TlsFiles>,
    /// The TLS mode of the listeners without one of their own, if it is not the default.
    pub(crate) tls_mode: Option<TlsMode>,
    /// Channels that exist while the process runs, each with its listener.
    pub(crate) hosted: Vec<Hosted>,
    /// Further addresses at which the listeners can be reached.
    pub(crate) advertised: Vec<Advertised>,
    /// The address of the inspector's page, if it is served.
    pub(crate) http: Option<SocketAddr>,
    /// Host names of the page besides loopback's.
    pub(crate) http_hosts: Vec<String>,
    /// The proxies in front of the page.
    pub(crate) trusted_proxies: Vec<Network>,
    /// Whether the page is served by TLS, with the certificate of the listeners.
    pub(crate) http_tls: bool,
    pub(crate) metrics: MetricsConfig,
    pub(crate) data_dir: PathBuf,
    /// The retention of each channel.
    pub(crate) retention: Retention,
    /// The size limit of the store over all channels, if configured.
    pub(crate) store_max: Option<Size>,
    /// The free bytes on the store's file system below which nothing is stored.
    pub(crate) store_min_free: u64,
    /// Other servers at which the hosted channels are registered while the process runs.
    pub(crate) trackers: Vec<ServerAddress>,
    /// The certificates of those servers that are accepted.
    pub(crate) tracker_trust: Trust,
    /// The lease of those registrations in seconds.
    pub(crate) lease: u32,
    pub(crate) limits: Limits,
    pub(crate) hub_limits: HubLimits,
    pub(crate) address_limits: AddressLimits,
    /// The accounts, as the data directory has them.
    pub(crate) accounts: Arc<Accounts>,
    /// The rules, and the rights of guests to channels without one.
    pub(crate) rules: Vec<rights::Rule>,
    pub(crate) guests: rights::GuestPolicy,
    pub(crate) max_connections: u32,
    pub(crate) drain: DrainConfig,
}

/// A listener for all channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) address: SocketAddr,
    /// The networks of the proxies whose header connections begin with; `None`: clients connect directly.
    pub(crate) proxies: Option<Vec<Network>>,
    /// Whether a client has the rights of the host of each channel at its address.
    pub(crate) address_rights: bool,
    /// The TLS mode, if it is not the default.
    pub(crate) tls: Option<TlsMode>,
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self { address, proxies: None, address_rights: true, tls: None }
    }
}

/// The configuration of the listener of metrics and health checks.
#[derive(Clone, Debug, Default)]
pub(crate) struct MetricsConfig {
    /// The address, if they are served.
    pub(crate) address: Option<SocketAddr>,
    /// Whether nobody has chosen it. The server does without metrics then if the address is taken.
    pub(crate) is_default: bool,
    /// Host names of requests besides addresses and localhost.
    pub(crate) hosts: Vec<Authority>,
}

impl Config {
    /// Sets the accounts.
    pub(crate) fn set_accounts(&mut self, accounts: Arc<Accounts>) {
        self.limits.accounts = !accounts.is_empty();
        self.accounts = accounts;
    }

    /// Returns the rights of everybody.
    pub(crate) fn rights(&self) -> Rights {
        let of = |account: &Account| rights::Account {
            groups: account.groups.iter().filter_map(|group| group.parse().ok()).collect(),
            is_operator: account.is_operator,
            revision: account.revision(),
        };
        let accounts = self.accounts.iter().map(|(name, account)| (name.clone(), of(account))).collect();
        Rights { accounts, rules: self.rules.clone(), guests: self.guests }
    }

    /// Returns a channel that is hosted twice, if there is one.
    pub(crate) fn hosted_twice(&self) -> Option<&str> {
        let mut names = HashSet::new();
        let mut all = self.hosted.iter().map(|hosted| hosted.channel.channel_name.as_str());
        all.find(|name| !names.insert(*name))
    }
}

/// `NAME=ADDR[@BIND]`: a channel, the address it is listed at, and where to listen for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hosted {
    pub(crate) channel: Channel,
    pub(crate) bind: SocketAddr,
}

impl FromStr for Hosted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A channel name may contain `=` and `@`, an address neither.
        let (name, addresses) = text.rsplit_once('=').ok_or("expected NAME=ADDR or NAME=ADDR@BIND")?;
        let (address, bind) = match addresses.split_once('@') {
            Some((address, bind)) => (address, Some(bind)),
            None => (addresses, None),
        };
        let address: Address = address.parse().map_err(|error| format!("{address:?} is no address: {error}"))?;
        let bind = match bind {
            Some(bind) => bind.parse().map_err(|_| format!("expected IP:PORT after the @, found {bind:?}"))?,
            None => bind_of(&address).ok_or_else(|| {
                format!(
                    "names are never looked up: say where to listen, as in {name}={address}@0.0.0.0:{}",
                    address.port()
                )
            })?,
        };
        let channel_name = name.parse().map_err(|error: NotAName| error.to_string())?;
        Ok(Self { channel: Channel { channel_name, address }, bind })
    }
}

fn bind_of(address: &Address) -> Option<SocketAddr> {
    let host = if address.host().eq_ignore_ascii_case("localhost") { "127.0.0.1" } else { address.host() };
    Some(SocketAddr::new(host.parse().ok()?, address.port()))
}

/// `HOST` or `HOST:PORT`: an address at which the server can be reached from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Advertised {
    /// A host, with each listener's port.
    Host(String),
    /// An address of the listeners with this port. If none has it, the port is forwarded, to the listeners for all
    /// channels.
    Address(Address),
}

impl FromStr for Advertised {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Address::new(text, 1) {
            Some(_) => Ok(Self::Host(text.into())),
            None => text.parse().map(Self::Address).map_err(|error| format!("{error}, or HOST alone")),
        }
    }
}

impl Advertised {
    /// Returns the address to add to a listener's addresses. `forwarded`: no listener has its port.
    fn of(&self, bound: SocketAddr, for_all_channels: bool, forwarded: bool) -> Option<Address> {
        match self {
            Self::Host(host) => Address::new(host.as_str(), bound.port()),
            Self::Address(address) => {
                let is_its = address.port() == bound.port() || forwarded && for_all_channels;
                is_its.then(|| address.clone())
            }
        }
    }
}

/// Returns the configured addresses of each listener, besides the one that it is bound to.
pub(crate) fn given_addresses(
    bound: &[(SocketAddr, Vec<Channel>)],
    listen: usize,
    advertised: &[Advertised],
) -> Vec<Vec<Address>> {
    let has_port = |port| bound.iter().any(|(bound, _)| bound.port() == port);
    let of = |index: usize, (bound, channels): &(SocketAddr, Vec<Channel>)| {
        let advertised = advertised.iter().filter_map(move |advertised| {
            let forwarded = matches!(advertised, Advertised::Address(address) if !has_port(address.port()));
            advertised.of(*bound, index < listen, forwarded)
        });
        channels.iter().map(|channel| channel.address.clone()).chain(advertised).collect()
    };
    bound.iter().enumerate().map(|(index, listener)| of(index, listener)).collect()
}

/// Returns the addresses of Unix sockets: those that no listener has the port of, and so are forwarded.
pub(crate) fn forwarded_addresses(bound: &[(SocketAddr, Vec<Channel>)], advertised: &[Advertised]) -> Vec<Address> {
    let is_forwarded = |port| bound.iter().all(|(bound, _)| bound.port() != port);
    let forwarded = advertised.iter().filter_map(|advertised| match advertised {
        Advertised::Address(address) if is_forwarded(address.port()) => Some(address.clone()),
        _ => None,
    });
    forwarded.collect()
}

/// Parses a number with one of these units.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let wrong = || {
        let units: Vec<&str> = units.iter().map(|(unit, _)| *unit).filter(|unit| !unit.is_empty()).collect();
        format!("expected a number from 1 with one of the units {}", units.join(", "))
    };
    let unit = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(unit).ok_or_else(wrong)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let product = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
    // The maximum is that of an SQLite integer.
    product.filter(|product| (1..=i64::MAX.unsigned_abs()).contains(product)).ok_or_else(wrong)
}

/// Parses a time such as `90s`, `30m`, `12h` or `30d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    with_unit(text, &[("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)]).map(Duration::from_secs)
}

/// Parses a size such as `65536`, `512K`, `100M` or `2G`, where 1K is 1024 bytes, or `unlimited`.
pub(crate) fn bytes(text: &str) -> Result<Size, String> {
    if text == "unlimited" {
        return Ok(Size(None));
    }
    let sized = with_unit(text, &[("", 1), ("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1 << 40)]);
    sized.map(|bytes| Size(Some(bytes))).map_err(|reason| format!("{reason}, or none of them, or `unlimited`"))
}

/// A size in bytes; `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) Option<u64>);

/// Parses an address to listen at. Names are not looked up.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected IP:PORT, such as 127.0.0.1:22236, 0.0.0.0:22236 or [::1]:22236".into())
}

/// The address of the inspector's page, or `off`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpAddress(pub(crate) Option<SocketAddr>);

impl FromStr for HttpAddress {
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

/// The error where names of the page are given without a page.
pub(crate) const NO_PAGE: &str = "with --http off there is no page to be asked for; leave one of them out";

/// The address of the metrics, or `off`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MetricsAddress(pub(crate) Option<SocketAddr>);

impl MetricsAddress {
    /// The address if none is chosen.
    pub(crate) const DEFAULT: &str = "127.0.0.1:22290";
}

impl FromStr for MetricsAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| format!("expected IP:PORT, such as {}, or off", Self::DEFAULT);
        if text == "off" { Ok(Self(None)) } else { text.parse().map(Some).map(Self).map_err(wrong) }
    }
}

/// The error where --metrics-host is given without metrics.
pub(crate) const NO_METRICS: &str = "with --metrics off there are none to be asked for; leave one of them out";

/// Parses a name by which the page can be asked for.
pub(crate) fn http_host(text: &str) -> Result<String, String> {
    text.parse::<Authority>().map(|_| text.into()).map_err(|error| error.to_string())
}

/// Returns the default data directory, by the XDG base directory rule.
pub(crate) fn default_data_dir() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    Some(base.join("chanwire"))
}

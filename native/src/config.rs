//! The server's configuration and the parsers of its command-line values.

use std::{collections::HashSet, env, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use chanwire_core::{
    Limits,
    hub::HubLimits,
    wire::{Address, Channel, Host, Request},
};

use crate::{
    server_address::ServerAddress,
    store::{self, Retention},
};

/// The configuration of `chanwire serve`.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Addresses of the listeners for all channels.
    pub(crate) listen: Vec<SocketAddr>,
    /// Channels that exist while the process runs, each with its listener.
    pub(crate) hosted: Vec<Hosted>,
    /// Further addresses at which the listeners can be reached.
    pub(crate) advertised: Vec<Advertised>,
    /// The address of the inspector's page, if it is served.
    pub(crate) http: Option<SocketAddr>,
    /// Host names of the page besides loopback's.
    pub(crate) http_hosts: Vec<String>,
    pub(crate) data_dir: PathBuf,
    /// The retention of each channel.
    pub(crate) retention: Retention,
    /// The size limit of the store over all channels, if configured.
    pub(crate) store_max: Option<Size>,
    /// The free bytes on the store's file system below which nothing is stored.
    pub(crate) store_min_free: u64,
    /// Other servers at which the hosted channels are registered while the process runs.
    pub(crate) trackers: Vec<ServerAddress>,
    /// The lease of those registrations in seconds.
    pub(crate) lease: u32,
    pub(crate) limits: Limits,
    pub(crate) hub_limits: HubLimits,
    pub(crate) max_connections: u32,
}

impl Config {
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
        let channel = Channel { channel_name: name.into(), address };
        match Request::Host(Host { channel: channel.clone(), lease: None }).validate() {
            Ok(()) => Ok(Self { channel, bind }),
            Err(fault) => Err(fault.kind.to_string()),
        }
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

/// Parses the size limit of a store, and checks it against the minimum.
pub(crate) fn store_max(text: &str) -> Result<Size, String> {
    let size = bytes(text)?;
    match size.0 {
        Some(bytes) if bytes < store::LEAST => Err(format!("at least {}M are needed", store::LEAST >> 20)),
        _ => Ok(size),
    }
}

/// A size in bytes; `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) Option<u64>);

/// Returns the default data directory, by the XDG base directory rule.
pub(crate) fn default_data_dir() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    Some(base.join("chanwire"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosted(text: &str) -> Result<(String, String, String), String> {
        let Hosted { channel, bind } = text.parse()?;
        Ok((channel.channel_name, channel.address.to_string(), bind.to_string()))
    }

    #[test]
    fn a_hosted_channel_has_a_name_an_address_and_a_place_to_listen() {
        let three = |a: &str, b: &str, c: &str| Ok((a.into(), b.into(), c.into()));
        assert_eq!(hosted("general=192.0.2.7:22240"), three("general", "192.0.2.7:22240", "192.0.2.7:22240"));
        assert_eq!(hosted("a=b=localhost:1"), three("a=b", "localhost:1", "127.0.0.1:1"));
        assert_eq!(hosted("a@b=[::1]:1@[::]:2"), three("a@b", "[::1]:1", "[::]:2"));
        assert_eq!(hosted("g=chat.example:1@0.0.0.0:2"), three("g", "chat.example:1", "0.0.0.0:2"));
    }

    #[test]
    fn an_invalid_hosted_channel_has_a_specific_error() {
        for (text, words) in [
            ("general", "expected NAME=ADDR"),
            ("general=1.2.3.4", "expected HOST:PORT"),
            ("general=chat.example:1", "say where to listen"),
            ("general=1.2.3.4:1@x", "after the @"),
            ("=1.2.3.4:1", "Field 'channel_name' must be"),
        ] {
            let error = hosted(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn times_and_sizes_have_units() {
        for (text, seconds) in [("1s", 1), ("90m", 5400), ("12h", 43_200), ("30d", 2_592_000)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for (text, count) in [("1", 1), ("2K", 2048), ("3M", 3 << 20), ("1G", 1 << 30), ("2T", 2 << 40)] {
            assert_eq!(bytes(text), Ok(Size(Some(count))), "{text}");
        }
        assert_eq!(bytes("unlimited"), Ok(Size(None)));
        for text in ["", "0s", "5", "d", "-1d", "1.5h", "1w", "1 d", "é", "18446744073709551615d"] {
            assert!(duration(text).unwrap_err().contains("units s, m, h, d"), "{text}");
        }
        for text in ["", "0", "1k", "G", "1GiB", "-1", "9223372036854775808", "9000000T"] {
            assert!(bytes(text).unwrap_err().contains("K, M, G, T, or none of them"), "{text}");
        }
    }

    #[test]
    fn advertised_addresses_go_to_the_listeners_that_they_reach() {
        let listener = |text: &str| (text.parse().unwrap(), Vec::new());
        let bound = [listener("127.0.0.1:22236"), listener("127.0.0.1:22240")];
        let given = |text: &str| {
            let given = given_addresses(&bound, 1, &[text.parse().unwrap()]);
            given
                .iter()
                .map(|given| given.iter().map(Address::to_string).collect::<Vec<_>>().join(" "))
                .collect::<Vec<_>>()
        };
        assert_eq!(given("chat.example"), ["chat.example:22236", "chat.example:22240"]);
        assert_eq!(given("chat.example:22240"), ["", "chat.example:22240"]);
        assert_eq!(given("chat.example:443"), ["chat.example:443", ""]);
        assert_eq!(given("2001:db8::1"), ["[2001:db8::1]:22236", "[2001:db8::1]:22240"]);
    }
}

//! The addresses of peer servers.

use alloc::{boxed::Box, string::String};
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A host and a port, as they were registered.
///
/// It is listed as it was spelled and compared by what it means: a mapped IPv6 address is its IPv4 address, names
/// ignore case, and `localhost` is 127.0.0.1 and ::1. Nothing is ever looked up. Equality (`==`) is of the spelling;
/// [`same_place`](Self::same_place) is of the meaning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    spelled: Box<str>,
    ip: Option<IpAddr>,
    port: u16,
}

impl Address {
    /// Makes the address of `host`, an IPv4 or IPv6 address or an RFC 1123 host name, at `port`.
    ///
    /// `None` if the host is something else, or unspecified, multicast or zoned, or if the port is 0. A name whose
    /// last label is a number is no name but a misspelled address.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Option<Self> {
        let spelled: Box<str> = host.into().into();
        if port == 0 {
            return None;
        }
        let ip = spelled.parse().ok().map(canonical);
        let usable = match ip {
            Some(ip) => !ip.is_unspecified() && !ip.is_multicast(),
            None => is_host_name(&spelled),
        };
        usable.then_some(Self { spelled, ip, port })
    }

    /// Makes the address of an IP and a port. `None` if it is unspecified or multicast, or the port is 0.
    #[must_use]
    pub fn from_ip(ip: IpAddr, port: u16) -> Option<Self> {
        Self::new(alloc::format!("{ip}"), port)
    }

    /// Returns the host, as it was spelled.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.spelled
    }

    /// Returns the port, never 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns whether the host is this IP address. A name never is, but for `localhost`.
    #[must_use]
    pub fn is_at(&self, ip: IpAddr) -> bool {
        let ip = canonical(ip);
        match self.ip {
            Some(own) => own == ip,
            None => self.is_localhost() && (ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST),
        }
    }

    /// Returns whether both mean one place.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        self.port == other.port
            && match (self.ip, other.ip) {
                (Some(ip), _) => other.is_at(ip),
                (None, Some(ip)) => self.is_at(ip),
                (None, None) => self.spelled.eq_ignore_ascii_case(&other.spelled),
            }
    }

    /// Returns its locations, for an index: two addresses are of the [same place](Self::same_place) if and only if they
    /// have a location in common.
    pub(crate) fn locations(&self) -> impl Iterator<Item = Location> + use<> {
        let host = match self.ip {
            Some(ip) => Host::Ip(ip),
            None if self.is_localhost() => Host::Ip(Ipv4Addr::LOCALHOST.into()),
            None => Host::Name(self.spelled.to_ascii_lowercase().into()),
        };
        let is_also = self.is_localhost().then(|| Host::Ip(Ipv6Addr::LOCALHOST.into()));
        let port = self.port;
        [Some(host), is_also].into_iter().flatten().map(move |host| Location { host, port })
    }

    fn is_localhost(&self) -> bool {
        self.spelled.eq_ignore_ascii_case("localhost")
    }
}

/// One place that an [`Address`] means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    Ip(IpAddr),
    /// In lower case.
    Name(Box<str>),
}

/// `192.168.1.5:22240`, `[::1]:22240`, `localhost:22240`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (&self.spelled, self.port);
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Returns the IPv4 address that an IPv6 address maps, or the address itself.
#[must_use]
pub fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            && bytes.first() != Some(&b'-')
            && bytes.last() != Some(&b'-')
    };
    let number = |label: &str| match label.strip_prefix("0x").or_else(|| label.strip_prefix("0X")) {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    };
    name.len() <= 253 && name.split('.').all(label) && !name.rsplit('.').next().is_some_and(number)
}

/// Text that is no `HOST:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotAnAddress;

impl fmt::Display for NotAnAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected HOST:PORT, such as 192.168.1.5:22240, [2001:db8::5]:22240 or chat.example:22240")
    }
}

impl core::error::Error for NotAnAddress {}

/// Reads what [`Display`](fmt::Display) writes.
impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let (host, port) = text.rsplit_once(':').ok_or(NotAnAddress)?;
        let host = match host.strip_prefix('[') {
            Some(host) => host.strip_suffix(']').filter(|host| host.contains(':')).ok_or(NotAnAddress)?,
            None if host.contains(':') => return Err(NotAnAddress),
            None => host,
        };
        // A number is parsed with a plus sign too.
        let port = port.parse().ok().filter(|_| !port.starts_with('+')).ok_or(NotAnAddress)?;
        Self::new(host, port).ok_or(NotAnAddress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn address(host: &str) -> Address {
        Address::new(host, 22236).unwrap()
    }

    #[test]
    fn addresses_and_names_are_told_from_what_is_neither() {
        for host in [
            "127.0.0.1",
            "::1",
            "::ffff:10.0.0.1",
            "localhost",
            "a",
            "Chat-1.example.org",
            "1a.2b",
            "0x1g",
            "0x1.a",
            "fe80::1",
        ] {
            assert!(Address::new(host, 1).is_some(), "{host}");
        }
        for host in [
            "",
            "0.0.0.0",
            "::",
            "::ffff:0.0.0.0",
            "224.0.0.1",
            "ff02::1",
            "fe80::1%eth0",
            "1.2.3",
            "01.2.3.4",
            "256.1.1.1",
            "7",
            "0x7f000001",
            "0X7F000001",
            "0x",
            "127.0.0.0x1",
            "a..b",
            "a.",
            "-a",
            "a-",
            "a_b",
            "[::1]",
            "a b",
            "é",
            &"a".repeat(64),
        ] {
            assert!(Address::new(host, 1).is_none(), "{host}");
        }
        assert!(Address::new("localhost", 0).is_none());
        let long = ["abc."; 63].concat() + "a";
        assert_eq!((long.len(), Address::new(&*long, 1).is_some()), (253, true));
        assert!(Address::new(long + "b", 1).is_none());
    }

    #[test]
    fn places_compare_by_meaning() {
        let same = [
            ("127.0.0.1", "::ffff:127.0.0.1"),
            ("localhost", "127.0.0.1"),
            ("LocalHost", "::1"),
            ("A.b", "a.B"),
            ("::1", "0:0:0:0:0:0:0:1"),
            ("localhost", "LOCALHOST"),
        ];
        for (a, b) in same {
            assert!(address(a).same_place(&address(b)) && address(b).same_place(&address(a)), "{a} {b}");
        }
        for (a, b) in [("127.0.0.1", "::1"), ("a", "b"), ("localhost", "127.0.0.2"), ("a", "10.0.0.1")] {
            assert!(!address(a).same_place(&address(b)) && !address(b).same_place(&address(a)), "{a} {b}");
        }
        assert!(!address("a").same_place(&Address::new("a", 1).unwrap()));
    }

    #[test]
    fn addresses_of_one_place_have_a_location_in_common() {
        let hosts = ["127.0.0.1", "::ffff:127.0.0.1", "::1", "localhost", "LOCALHOST", "a.B", "A.b", "b", "10.0.0.1"];
        let all = hosts.iter().flat_map(|host| [Address::new(*host, 1), Address::new(*host, 2)]).flatten();
        let all: alloc::vec::Vec<Address> = all.collect();
        for (one, other) in all.iter().flat_map(|one| all.iter().map(move |other| (one, other))) {
            let is_common = one.locations().any(|location| other.locations().any(|other| other == location));
            assert_eq!(is_common, one.same_place(other), "{one} {other}");
        }
    }

    #[test]
    fn ipv6_stands_in_brackets() {
        assert_eq!(address("::1").to_string(), "[::1]:22236");
        assert_eq!(address("general.example").to_string(), "general.example:22236");
        for text in ["[::1]:22236", "general.example:22236", "127.0.0.1:1"] {
            assert_eq!(text.parse().map(|address: Address| address.to_string()), Ok(text.to_string()));
        }
        for text in ["", "a:+5", "::1:22236", "[127.0.0.1]:1", "[::1]", "a:0", "a:65536", "a", "[::1:5"] {
            assert_eq!(text.parse::<Address>(), Err(NotAnAddress), "{text}");
        }
    }
}

//! Where a server is reached, as a user names it.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use chanwire_core::wire::Address;

/// A host and a port to connect to: an [`Address`], or one that has a meaning only on this machine or to its resolver.
///
/// A registered address means the same to everybody. This one may also have an IPv6 zone, and a name may have what
/// resolvers allow beyond RFC 1123: underscores, a dot at its end, letters of any script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerAddress {
    host: Box<str>,
    port: u16,
}

impl ServerAddress {
    /// The host, as the resolver is asked for it.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Whether both mean one place, as far as that is known without a look-up.
    pub(crate) fn same_place(&self, other: &Self) -> bool {
        let address = |one: &Self| Address::new(one.host(), one.port);
        match (address(self), address(other)) {
            (Some(one), Some(other)) => one.same_place(&other),
            (None, None) => self.port == other.port && self.host.eq_ignore_ascii_case(&other.host),
            _ => false,
        }
    }

    /// The same host at another port.
    pub(crate) fn at_port(&self, port: u16) -> Self {
        Self { host: self.host.clone(), port }
    }
}

impl From<Address> for ServerAddress {
    fn from(address: Address) -> Self {
        Self { host: address.host().into(), port: address.port() }
    }
}

/// `192.168.1.5:22236`, `[fe80::1%eth0]:22236`, `chat.example:22236`.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Text that is no address of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected HOST:PORT, such as 192.168.1.5:22236, [fe80::1%eth0]:22236 or chat.example:22236")]
pub(crate) struct NotAServer;

/// Reads what [`Display`](fmt::Display) writes.
impl FromStr for ServerAddress {
    type Err = NotAServer;

    fn from_str(text: &str) -> Result<Self, NotAServer> {
        if let Ok(address) = text.parse::<Address>() {
            return Ok(address.into());
        }
        let (host, port) = text.rsplit_once(':').ok_or(NotAServer)?;
        let port = port.parse().ok().filter(|given| *given != 0 && !port.starts_with('+')).ok_or(NotAServer)?;
        let (host, is_host) = match host.strip_prefix('[') {
            Some(host) => {
                let host = host.strip_suffix(']').ok_or(NotAServer)?;
                (host, is_zoned(host))
            }
            None => (host, is_resolvable(host)),
        };
        if is_host { Ok(Self { host: host.into(), port }) } else { Err(NotAServer) }
    }
}

/// Whether it is an IPv6 address with a zone.
fn is_zoned(host: &str) -> bool {
    let usable = |ip: Ipv6Addr| !ip.is_unspecified() && !ip.is_multicast();
    host.split_once('%').is_some_and(|(ip, zone)| {
        let is_zone = !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'%');
        is_zone && ip.parse().is_ok_and(usable)
    })
}

/// Whether a resolver may know such a name. What decides is the resolver.
fn is_resolvable(name: &str) -> bool {
    // Where the name ends is said by a dot, and what it is, by the rest.
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain: String = name.chars().map(|char| if is_letter(char) { 'a' } else { char }).collect();
    plain.parse::<IpAddr>().is_err() && Address::new(plain, 1).is_some()
}

/// Whether a name has it beyond RFC 1123.
fn is_letter(char: char) -> bool {
    // Combining marks and joiners are parts of words in many scripts.
    char == '_' || !char.is_ascii() && !char.is_control() && !char.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_resolver_may_know_is_an_address() {
        for text in [
            "127.0.0.1:1",
            "[::1]:22236",
            "[fe80::1%eth0]:22236",
            "[fe80::1%2]:22236",
            "localhost:22236",
            "chat.example.:22236",
            "my_host:1",
            "_chat._tcp.example:1",
            "bücher.example:1",
            "例え.テスト:1",
            "xn--bcher-kva.example:65535",
        ] {
            let address = text.parse::<ServerAddress>().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "chat.example",
            "chat.example:0",
            "chat.example:+1",
            "chat.example:65536",
            ":1",
            ".:1",
            "a..:1",
            "a..b:1",
            "-a:1",
            "a b:1",
            "é f:1",
            "0x7f000001:1",
            "0x7f000001.:1",
            "127.0.0.0x1:1",
            "1.2.3:1",
            "127.0.0.1.:1",
            "0.0.0.0:1",
            "fe80::1%eth0:1",
            "[fe80::1%]:1",
            "[fe80::1%a%b]:1",
            "[fe80::1%a b]:1",
            "[::%1]:1",
            "[ff02::1%eth0]:1",
            "[127.0.0.1%eth0]:1",
            "[localhost]:1",
            "[::1:1",
        ] {
            assert_eq!(text.parse::<ServerAddress>(), Err(NotAServer), "{text}");
        }
        let same = |one: &str, other: &str| one.parse::<ServerAddress>().unwrap().same_place(&other.parse().unwrap());
        assert!(same("localhost:1", "[::1]:1") && same("My_Host:1", "my_host:1"));
        assert!(
            !same("my_host:1", "my_host:2")
                && !same("[fe80::1%a]:1", "[fe80::1%b]:1")
                && !same("[fe80::1%a]:1", "[fe80::1]:1")
        );
        assert!(format!("{}:1", "é".repeat(64)).parse::<ServerAddress>().is_err());
    }
}

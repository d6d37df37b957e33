//! The address of a server, as a user names it.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::Path,
    str::FromStr,
};

use chanwire_core::wire::Address;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use crate::unix_socket::{NotAPath, UnixPath};

/// A host and a port to connect to, or the path of a Unix socket: an [`Address`], or one that has a meaning only on this
/// machine or to its resolver.
///
/// With `tls://` in front, the connection is encrypted, or there is none: a client never falls back to plain text.
///
/// A registered address means the same to everybody. This one may also have an IPv6 zone, and a name may have what
/// resolvers allow beyond RFC 1123: underscores, a dot at its end, and letters of any script, for which the resolver is
/// asked by the ASCII form that IDNA (UTS 46) gives them.
///
/// ```
/// use chanwire::ServerAddress;
///
/// let server: ServerAddress = "bücher.example:22236".parse()?;
/// assert_eq!(server.to_string(), "bücher.example:22236");
/// assert_eq!((server.host(), server.port()), (Some("xn--bcher-kva.example"), Some(22236)));
/// assert!("tls://chat.example:22236".parse::<ServerAddress>()?.is_tls());
///
/// let local: ServerAddress = "unix:/run/chanwire/chanwire.sock".parse()?;
/// assert_eq!(local.path(), Some("/run/chanwire/chanwire.sock".as_ref()));
/// # Ok::<(), chanwire::NotAServer>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddress(Place);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place {
    Host {
        /// As it was given.
        given: Box<str>,
        /// In ASCII, where that differs.
        ascii: Option<Box<str>>,
        port: u16,
        is_tls: bool,
    },
    Unix(UnixPath),
}

/// The parts of an address that are needed to connect.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Location<'a> {
    /// A host in the form for the resolver, and a port.
    Host(&'a str, u16),
    /// The path of a Unix socket.
    Unix(&'a Path),
}

/// The prefix of an address that is reached by TLS.
pub(crate) const TLS: &str = "tls://";

impl ServerAddress {
    /// Returns the host, in the ASCII form for which the resolver is asked; `None` for a Unix socket.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        match self.location() {
            Location::Host(host, _) => Some(host),
            Location::Unix(_) => None,
        }
    }

    /// Returns the port, never 0; `None` for a Unix socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self.location() {
            Location::Host(_, port) => Some(port),
            Location::Unix(_) => None,
        }
    }

    /// Returns the path of a Unix socket.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self.location() {
            Location::Host(..) => None,
            Location::Unix(path) => Some(path),
        }
    }

    pub(crate) fn location(&self) -> Location<'_> {
        match &self.0 {
            Place::Host { given, ascii, port, .. } => Location::Host(ascii.as_deref().unwrap_or(given), *port),
            Place::Unix(path) => Location::Unix(path.as_ref()),
        }
    }

    /// Returns whether it is reached by TLS.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        matches!(self.0, Place::Host { is_tls: true, .. })
    }

    /// Returns the same place, reached by TLS or in plain text. A Unix socket is always reached in plain text.
    #[must_use]
    pub fn with_tls(mut self, wanted: bool) -> Self {
        if let Place::Host { is_tls, .. } = &mut self.0 {
            *is_tls = wanted;
        }
        self
    }

    /// Returns whether both mean one place, as far as that is known without a look-up. The way there does not matter.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        match (self.location(), other.location()) {
            (Location::Unix(one), Location::Unix(other)) => one == other,
            (Location::Host(host, port), Location::Host(other_host, other_port)) => {
                match (Address::new(host, port), Address::new(other_host, other_port)) {
                    (Some(one), Some(other)) => one.same_place(&other),
                    (None, None) => port == other_port && host.eq_ignore_ascii_case(other_host),
                    _ => false,
                }
            }
            _ => false,
        }
    }

    /// Returns the same host at another port.
    pub(crate) fn at_port(&self, other: u16) -> Self {
        let mut address = self.clone();
        if let Place::Host { port, .. } = &mut address.0 {
            *port = other;
        }
        address
    }

    const fn host_at(given: Box<str>, ascii: Option<Box<str>>, port: u16) -> Self {
        Self(Place::Host { given, ascii, port, is_tls: false })
    }
}

impl From<Address> for ServerAddress {
    fn from(address: Address) -> Self {
        Self::host_at(address.host().into(), None, address.port())
    }
}

impl From<SocketAddr> for ServerAddress {
    fn from(address: SocketAddr) -> Self {
        let given = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            _ => address.ip().to_string(),
        };
        Self::host_at(given.into(), None, address.port())
    }
}

/// Writes it as it was given: `192.168.1.5:22236`, `[fe80::1%eth0]:22236`, `tls://chat.example:22236`.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Host { given, port, is_tls, .. } => {
                f.write_str(if *is_tls { TLS } else { "" })?;
                if given.contains(':') { write!(f, "[{given}]:{port}") } else { write!(f, "{given}:{port}") }
            }
            Place::Unix(path) => path.fmt(f),
        }
    }
}

/// The reason why a text is no address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAServer {
    /// It is neither a host and a port nor the path of a Unix socket.
    #[error(
        "expected HOST:PORT, such as 192.168.1.5:22236, [fe80::1%eth0]:22236 or chat.example:22236, or for TLS \
         tls://HOST:PORT, or for a Unix socket unix:/PATH"
    )]
    Form,
    /// The path of the Unix socket has a control character.
    #[error("the path of the Unix socket has a control character")]
    Path,
    /// The path of the Unix socket is longer than the system allows.
    #[error("{}", NotAPath::Long { length: *.length })]
    LongPath {
        /// Its bytes.
        length: usize,
    },
    /// IDNA does not allow a character in a host name.
    #[error("the host name has the character {0:?} (U+{code:04X}), which IDNA does not allow", code = u32::from(*.0))]
    Character(char),
    /// IDNA does not allow a label: the characters do not go together, such as letters of two directions of writing.
    #[error("the part {0:?} of the host name is not allowed by IDNA")]
    Label(Box<str>),
    /// The ASCII form of the name is longer than a host name may be.
    #[error("the host name is too long: its ASCII form has a part of more than 63 characters, or more than 253")]
    Long,
}

/// Reads what [`Display`](fmt::Display) writes.
impl FromStr for ServerAddress {
    type Err = NotAServer;

    fn from_str(text: &str) -> Result<Self, NotAServer> {
        if let Some(place) = text.strip_prefix(TLS) {
            let place = place.parse::<Self>()?;
            // `tls://` twice is a mistake.
            let is_plain_host = place.host().is_some() && !place.is_tls();
            return if is_plain_host { Ok(place.with_tls(true)) } else { Err(NotAServer::Form) };
        }
        if let Ok(address) = text.parse::<Address>() {
            return Ok(address.into());
        }
        if UnixPath::is_meant(text) {
            let path = text.parse().map_err(|error| match error {
                NotAPath::Form => NotAServer::Path,
                NotAPath::Long { length } => NotAServer::LongPath { length },
            })?;
            return Ok(Self(Place::Unix(path)));
        }
        let (host, port) = text.rsplit_once(':').ok_or(NotAServer::Form)?;
        let port = port.parse().ok().filter(|given| *given != 0 && !port.starts_with('+')).ok_or(NotAServer::Form)?;
        let ascii = match host.strip_prefix('[') {
            Some(host) => {
                let host = host.strip_suffix(']').filter(|host| is_zoned(host)).ok_or(NotAServer::Form)?;
                return Ok(Self::host_at(host.into(), None, port));
            }
            None if host.is_ascii() => None,
            None => Some(to_ascii(host)?),
        };
        if is_resolvable(ascii.as_deref().unwrap_or(host)) {
            Ok(Self::host_at(host.into(), ascii, port))
        } else {
            Err(NotAServer::Form)
        }
    }
}

/// Returns whether it is an IPv6 address with a zone.
fn is_zoned(host: &str) -> bool {
    let usable = |ip: Ipv6Addr| !ip.is_unspecified() && !ip.is_multicast();
    host.split_once('%').is_some_and(|(ip, zone)| {
        let is_zone = !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'%');
        is_zone && ip.parse().is_ok_and(usable)
    })
}

/// Returns whether a resolver may know such a name in ASCII. The resolver decides.
fn is_resolvable(name: &str) -> bool {
    // A dot may mark the end of a name that is complete.
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = name.replace('_', "a");
    plain.parse::<IpAddr>().is_err() && Address::new(plain, 1).is_some()
}

/// Converts a name with letters of other scripts.
fn to_ascii(name: &str) -> Result<Box<str>, NotAServer> {
    let convert = |text: &str, length| {
        let ascii = Uts46::new().to_ascii(text.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow, length);
        ascii.map(Box::<str>::from)
    };
    if name.chars().any(|char| char.is_control() || char.is_whitespace()) {
        return Err(NotAServer::Form);
    }
    if let Ok(ascii) = convert(name, DnsLength::VerifyAllowRootDot) {
        return Ok(ascii);
    }
    let refused = |text: &str| convert(text, DnsLength::Ignore).is_err();
    let label = name.split('.').find(|label| refused(label));
    // A mark that only cannot begin a name may follow a letter.
    let is_refused = |char: &char| refused(&format!("a{char}"));
    Err(match label.map(|label| (label, label.chars().find(is_refused))) {
        Some((_, Some(char))) => NotAServer::Character(char),
        Some((label, None)) => NotAServer::Label(label.into()),
        None if refused(name) => NotAServer::Label(name.into()),
        None => NotAServer::Long,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_addresses_for_the_resolver() {
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
            "tls://127.0.0.1:1",
            "tls://[fe80::1%eth0]:22236",
            "tls://bücher.example:1",
            "unix:1",
            "unix:/run/chanwire/chanwire.sock",
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
            "unix:",
            "unix:run/chanwire.sock",
            "tls://unix:/run/chanwire.sock",
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
            "tls://",
            "tls://chat.example",
            "tls://tls://chat.example:1",
            "TLS://chat.example:1",
            "https://chat.example:1",
        ] {
            assert_eq!(text.parse::<ServerAddress>(), Err(NotAServer::Form), "{text}");
        }
        let same = |one: &str, other: &str| one.parse::<ServerAddress>().unwrap().same_place(&other.parse().unwrap());
        assert!(
            same("localhost:1", "[::1]:1") && same("My_Host:1", "my_host:1") && same("bücher.a:1", "xn--bcher-kva.a:1")
        );
        // The way to a place is no part of it.
        assert!(same("tls://localhost:1", "[::1]:1"));
        let address = |text: &str| text.parse::<ServerAddress>().unwrap();
        assert_ne!(address("tls://a:1"), address("a:1"));
        assert_eq!(address("tls://a:1").with_tls(false), address("a:1"));
        assert!(
            !same("my_host:1", "my_host:2")
                && !same("[fe80::1%a]:1", "[fe80::1%b]:1")
                && !same("[fe80::1%a]:1", "[fe80::1]:1")
        );
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_refused_with_the_reason() {
        let refusal = |path: &str| format!("unix:/{path}").parse::<ServerAddress>().unwrap_err();
        assert_eq!(refusal("a\nb"), NotAServer::Path);
        assert_eq!(refusal(&"a".repeat(200)), NotAServer::LongPath { length: 201 });
        assert!(refusal(&"a".repeat(200)).to_string().contains("201 bytes"));
        let path: ServerAddress = "unix:/a".parse().unwrap();
        assert!(path.same_place(&"unix://a".parse().unwrap()) && !path.same_place(&"a:1".parse().unwrap()));
    }

    #[test]
    fn a_name_in_another_script_is_resolved_by_its_ascii_form() {
        for (name, ascii) in [
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example.", "xn--bcher-kva.example."),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("faß.de", "xn--fa-hia.de"),
            ("_chat.münchen.de", "_chat.xn--mnchen-3ya.de"),
            ("ｃｈａｔ.example", "chat.example"),
        ] {
            let address: ServerAddress = format!("{name}:1").parse().unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!((address.host(), address.to_string()), (Some(ascii), format!("{name}:1")));
        }
    }

    #[test]
    fn a_name_that_has_no_ascii_form_is_refused_with_the_reason() {
        let refusal = |name: &str| format!("{name}:1").parse::<ServerAddress>().unwrap_err();
        assert_eq!(refusal("a\u{e000}b.example"), NotAServer::Character('\u{e000}'));
        assert_eq!(refusal("xn--é.example"), NotAServer::Label("xn--é".into()));
        assert_eq!(refusal("\u{301}é.example"), NotAServer::Label("\u{301}é".into()));
        assert_eq!(refusal(&"é".repeat(64)), NotAServer::Long);
        // An address in digits of full width is an address misspelled.
        assert_eq!(refusal("１２７.0.0.1"), NotAServer::Form);
        let words = refusal("a\u{e000}.example").to_string();
        assert!(words.contains("(U+E000), which IDNA does not allow"), "{words}");
    }
}

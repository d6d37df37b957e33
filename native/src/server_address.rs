//! The address of a server, as a user names it.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use chanwire_core::wire::Address;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// A host and a port to connect to: an [`Address`], or one that has a meaning only on this machine or to its resolver.
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
/// assert_eq!((server.host(), server.port()), ("xn--bcher-kva.example", 22236));
/// # Ok::<(), chanwire::NotAServer>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddress {
    /// As it was given.
    given: Box<str>,
    /// In ASCII, where that differs.
    ascii: Option<Box<str>>,
    port: u16,
}

impl ServerAddress {
    /// Returns the host, in the ASCII form for which the resolver is asked.
    #[must_use]
    pub fn host(&self) -> &str {
        self.ascii.as_deref().unwrap_or(&self.given)
    }

    /// Returns the port, never 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns whether both mean one place, as far as that is known without a look-up.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        let address = |one: &Self| Address::new(one.host(), one.port);
        match (address(self), address(other)) {
            (Some(one), Some(other)) => one.same_place(&other),
            (None, None) => self.port == other.port && self.host().eq_ignore_ascii_case(other.host()),
            _ => false,
        }
    }

    /// Returns the same host at another port.
    pub(crate) fn at_port(&self, port: u16) -> Self {
        Self { port, ..self.clone() }
    }
}

impl From<Address> for ServerAddress {
    fn from(address: Address) -> Self {
        Self { given: address.host().into(), ascii: None, port: address.port() }
    }
}

impl From<SocketAddr> for ServerAddress {
    fn from(address: SocketAddr) -> Self {
        let given = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            _ => address.ip().to_string(),
        };
        Self { given: given.into(), ascii: None, port: address.port() }
    }
}

/// Writes it as it was given: `192.168.1.5:22236`, `[fe80::1%eth0]:22236`, `chat.example:22236`.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { given, port, .. } = self;
        if given.contains(':') { write!(f, "[{given}]:{port}") } else { write!(f, "{given}:{port}") }
    }
}

/// The reason why a text is no address of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAServer {
    /// It is no host and port.
    #[error("expected HOST:PORT, such as 192.168.1.5:22236, [fe80::1%eth0]:22236 or chat.example:22236")]
    Form,
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
        if let Ok(address) = text.parse::<Address>() {
            return Ok(address.into());
        }
        let (host, port) = text.rsplit_once(':').ok_or(NotAServer::Form)?;
        let port = port.parse().ok().filter(|given| *given != 0 && !port.starts_with('+')).ok_or(NotAServer::Form)?;
        let ascii = match host.strip_prefix('[') {
            Some(host) => {
                let host = host.strip_suffix(']').filter(|host| is_zoned(host)).ok_or(NotAServer::Form)?;
                return Ok(Self { given: host.into(), ascii: None, port });
            }
            None if host.is_ascii() => None,
            None => Some(to_ascii(host)?),
        };
        if is_resolvable(ascii.as_deref().unwrap_or(host)) {
            Ok(Self { given: host.into(), ascii, port })
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
            assert_eq!(text.parse::<ServerAddress>(), Err(NotAServer::Form), "{text}");
        }
        let same = |one: &str, other: &str| one.parse::<ServerAddress>().unwrap().same_place(&other.parse().unwrap());
        assert!(
            same("localhost:1", "[::1]:1") && same("My_Host:1", "my_host:1") && same("bücher.a:1", "xn--bcher-kva.a:1")
        );
        assert!(
            !same("my_host:1", "my_host:2")
                && !same("[fe80::1%a]:1", "[fe80::1%b]:1")
                && !same("[fe80::1%a]:1", "[fe80::1]:1")
        );
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
            assert_eq!((address.host(), address.to_string()), (ascii, format!("{name}:1")));
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

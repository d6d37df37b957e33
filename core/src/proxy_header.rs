//! The header that a proxy sends before a client's bytes: the [PROXY protocol], versions 1 and 2.
//!
//! [PROXY protocol]: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::{self, FromStr},
};

/// The longest header that is read. The headers of version 2 that have no TLVs, and those of version 1, are shorter.
pub const MAX_LENGTH: usize = 536;

/// The longest header of version 1, with its line end.
const MAX_TEXT: usize = 107;

const TEXT_SIGNATURE: &[u8] = b"PROXY ";
const BINARY_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The bytes of version 2 before the addresses: the signature, version and command, family, and length.
const BINARY_START: usize = 16;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyHeader {
    /// The client's address and port. `None`: the proxy speaks for itself (`LOCAL`), or does not know (`UNKNOWN`).
    pub source: Option<SocketAddr>,
    /// The length in bytes. The client's bytes follow.
    pub length: usize,
}

/// Bytes that are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyHeaderError {
    /// They do not begin as one.
    NoHeader,
    /// It is longer than any that is read.
    TooLong,
    /// It begins as one, and its content is wrong.
    Malformed,
}

impl fmt::Display for ProxyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHeader => "it does not begin with a PROXY header",
            Self::TooLong => "its PROXY header is too long",
            Self::Malformed => "its PROXY header is malformed",
        })
    }
}

impl core::error::Error for ProxyHeaderError {}

impl ProxyHeader {
    /// Parses the header at the start of a connection's bytes. `None`: it is not whole yet.
    ///
    /// The result does not change as more bytes arrive, once there is one.
    ///
    /// ```
    /// use chanwire_core::proxy_header::ProxyHeader;
    ///
    /// let bytes = b"PROXY TCP4 192.0.2.7 192.0.2.1 50001 22236\r\nLIST\r\n";
    /// let header = ProxyHeader::parse(bytes)?.unwrap();
    /// assert_eq!(header.source, Some("192.0.2.7:50001".parse().unwrap()));
    /// assert_eq!(&bytes[header.length..], b"LIST\r\n");
    /// assert_eq!(ProxyHeader::parse(&bytes[..20])?, None);
    /// # Ok::<(), chanwire_core::proxy_header::ProxyHeaderError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the bytes are no header, whatever follows.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, ProxyHeaderError> {
        if begins(bytes, TEXT_SIGNATURE) {
            parse_text(bytes)
        } else if begins(bytes, BINARY_SIGNATURE) {
            parse_binary(bytes)
        } else {
            Err(ProxyHeaderError::NoHeader)
        }
    }
}

/// Returns whether bytes begin with a signature, as far as they go.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(byte, expected)| byte == expected)
}

/// Parses a header of version 1: a line.
fn parse_text(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let line = bytes.get(..MAX_TEXT).unwrap_or(bytes);
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        return if line.len() == MAX_TEXT { Err(ProxyHeaderError::TooLong) } else { Ok(None) };
    };
    let source = line
        .get(TEXT_SIGNATURE.len()..end)
        .and_then(|line| line.strip_suffix(b"\r"))
        .and_then(|line| str::from_utf8(line).ok())
        .and_then(text_source)
        .ok_or(ProxyHeaderError::Malformed)?;
    Ok(Some(ProxyHeader { source, length: end + 1 }))
}

/// Parses the rest of a line after the signature: `UNKNOWN`, or a family, two addresses and two ports.
fn text_source(line: &str) -> Option<Option<SocketAddr>> {
    let (family, rest) = line.split_once(' ').unwrap_or((line, ""));
    match family {
        "TCP4" => endpoints::<Ipv4Addr>(rest).map(Some),
        "TCP6" => endpoints::<Ipv6Addr>(rest).map(Some),
        // More may follow, and is ignored.
        "UNKNOWN" => Some(None),
        _ => None,
    }
    .map(|source| source.and_then(usable))
}

fn endpoints<A: FromStr + Into<IpAddr>>(text: &str) -> Option<SocketAddr> {
    let mut parts = text.split(' ');
    let source: A = parts.next()?.parse().ok()?;
    let _destination: A = parts.next()?.parse().ok()?;
    let (source_port, _destination_port) = (port(parts.next()?)?, port(parts.next()?)?);
    parts.next().is_none().then(|| SocketAddr::new(source.into(), source_port))
}

/// Parses a port: a number without a sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_canonical = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    text.parse().ok().filter(|_| is_canonical)
}

/// Parses a header of version 2.
fn parse_binary(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let Some([command, family, length @ ..]) = bytes.get(BINARY_SIGNATURE.len()..BINARY_START) else {
        return Ok(None);
    };
    let length = match length {
        [high, low] => BINARY_START + usize::from(u16::from_be_bytes([*high, *low])),
        _ => return Err(ProxyHeaderError::Malformed),
    };
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyHeaderError::Malformed),
    };
    if length > MAX_LENGTH {
        return Err(ProxyHeaderError::TooLong);
    }
    let Some(rest) = bytes.get(BINARY_START..length) else { return Ok(None) };
    // TLVs follow the addresses, and are ignored.
    let source = match family {
        _ if is_local => None,
        0x11 => Some(binary_source::<4, 12>(rest)?),
        0x21 => Some(binary_source::<16, 36>(rest)?),
        // No family, datagrams, or Unix sockets: no address that could have rights here.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => None,
        _ => return Err(ProxyHeaderError::Malformed),
    };
    Ok(Some(ProxyHeader { source: source.and_then(usable), length }))
}

/// Returns the source of two addresses of `A` bytes and two ports, `ALL` bytes together.
fn binary_source<const A: usize, const ALL: usize>(bytes: &[u8]) -> Result<SocketAddr, ProxyHeaderError>
where
    IpAddr: From<[u8; A]>,
{
    let addresses = bytes.first_chunk::<ALL>().ok_or(ProxyHeaderError::Malformed)?;
    let source = addresses.first_chunk::<A>();
    let port = addresses.get(2 * A..).and_then(|ports| ports.first_chunk::<2>());
    let (source, port) = source.zip(port).ok_or(ProxyHeaderError::Malformed)?;
    Ok(SocketAddr::new(IpAddr::from(*source), u16::from_be_bytes(*port)))
}

/// Returns a source if a client can have it: an unspecified address is nobody's.
fn usable(source: SocketAddr) -> Option<SocketAddr> {
    let source = SocketAddr::new(source.ip().to_canonical(), source.port());
    (!source.ip().is_unspecified()).then_some(source)
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec::Vec};

    use super::{ProxyHeaderError::*, *};

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&BINARY_SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    fn v4(source: [u8; 4], port: u16, tlvs: &[u8]) -> Vec<u8> {
        binary(0x21, 0x11, &[&source[..], &[192, 0, 2, 1], &port.to_be_bytes(), &[0, 80], tlvs].concat())
    }

    fn v6(source: &str, tlvs: &[u8]) -> Vec<u8> {
        let source: Ipv6Addr = source.parse().unwrap();
        binary(0x21, 0x21, &[&source.octets()[..], &[0; 16], &[1, 0], &[0, 80], tlvs].concat())
    }

    /// Returns the results of every prefix, each of which is nothing until one is final.
    fn parsed(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
        let results: Vec<_> = (0..=bytes.len()).map(|end| ProxyHeader::parse(&bytes[..end])).collect();
        let undecided = results.iter().take_while(|result| **result == Ok(None)).count();
        let last = *results.last().unwrap();
        assert!(results[undecided..].iter().all(|result| *result == last), "{}", bytes.escape_ascii());
        if let Ok(Some(header)) = last {
            assert_eq!(undecided, header.length, "{}", bytes.escape_ascii());
        }
        last
    }

    fn source(header: &[u8]) -> Result<Option<SocketAddr>, ProxyHeaderError> {
        let bytes = [header, b"LIST\r\n"].concat();
        parsed(&bytes).map(|parsed| {
            let parsed = parsed.unwrap();
            assert_eq!(&bytes[parsed.length..], b"LIST\r\n");
            parsed.source
        })
    }

    #[test]
    fn both_versions_name_the_client_however_the_bytes_arrive() {
        let at = |text: &str| Ok(Some(text.parse().unwrap()));
        let longest =
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535";
        for (text, expected) in [
            ("PROXY TCP4 192.0.2.7 192.0.2.1 50001 22236", at("192.0.2.7:50001")),
            ("PROXY TCP4 192.0.2.7 192.0.2.1 0 0", at("192.0.2.7:0")),
            ("PROXY TCP6 2001:db8::7 ::1 1 2", at("[2001:db8::7]:1")),
            ("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2", at("192.0.2.7:1")),
            (longest, at("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535")),
            ("PROXY TCP4 0.0.0.0 192.0.2.1 1 2", Ok(None)),
            ("PROXY UNKNOWN", Ok(None)),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2", Ok(None)),
        ] {
            assert_eq!(source(format!("{text}\r\n").as_bytes()), expected, "{text}");
        }
        for (header, expected) in [
            (v4([192, 0, 2, 7], 50_001, b""), at("192.0.2.7:50001")),
            (v4([192, 0, 2, 7], 1, &[0x04, 0, 1, 0]), at("192.0.2.7:1")),
            (v6("2001:db8::7", b"\xff\xff\xff"), at("[2001:db8::7]:256")),
            (v6("::ffff:192.0.2.7", b""), at("192.0.2.7:256")),
            (v6("::", b""), Ok(None)),
            (v6("2001:db8::7", &[0; MAX_LENGTH - BINARY_START - 36]), at("[2001:db8::7]:256")),
            (binary(0x20, 0x00, b""), Ok(None)),
            (binary(0x20, 0x11, &[1; 12]), Ok(None)),
            (binary(0x21, 0x00, b"anything"), Ok(None)),
            (binary(0x21, 0x12, &[1; 12]), Ok(None)),
            (binary(0x21, 0x31, &[1; 216]), Ok(None)),
        ] {
            assert_eq!(source(&header), expected, "{}", header.escape_ascii());
        }
    }

    #[test]
    fn everything_else_is_an_error_however_the_bytes_arrive() {
        for text in [
            "LIST\r\n",
            "\r\nLIST\r\n",
            "proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXYTCP4 1.2.3.4 1.2.3.4 1 1\r\n",
            " PROXY UNKNOWN\r\n",
            "\r\n\r\n\0\r\nQUIT\r\n",
        ] {
            assert_eq!(parsed(text.as_bytes()), Err(NoHeader), "{}", text.escape_debug());
        }
        for line in [
            "PROXY ",
            "PROXY UNKNOWN\n",
            "PROXY UNKNOWNS\r",
            "PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 1",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r",
            "PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r",
            "PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 1\r",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r",
            "PROXY TCP4 ::1 ::1 1 1\r",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r",
            "PROXY TCP6 fe80::1%eth0 ::1 1 1\r",
            "PROXY TCP4 1.2.3.4\t1.2.3.4 1 1\r",
        ] {
            assert_eq!(parsed(format!("{line}\n").as_bytes()), Err(Malformed), "{line}");
        }
        assert_eq!(parsed(b"PROXY TCP4 \xff\r\n"), Err(Malformed));
        assert_eq!(parsed(&[b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat()), Err(TooLong));
        for (header, error) in [
            (binary(0x11, 0x11, &[1; 12]), Malformed),
            (binary(0x22, 0x11, &[1; 12]), Malformed),
            (binary(0x21, 0x13, &[1; 12]), Malformed),
            (binary(0x21, 0x41, &[1; 12]), Malformed),
            (binary(0x21, 0x11, &[1; 11]), Malformed),
            (binary(0x21, 0x21, &[1; 35]), Malformed),
            (binary(0x21, 0x11, &[1; MAX_LENGTH - BINARY_START + 1]), TooLong),
        ] {
            assert_eq!(parsed(&header), Err(error), "{}", header.escape_ascii());
        }
    }
}

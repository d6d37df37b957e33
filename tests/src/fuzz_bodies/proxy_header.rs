//! The header that a proxy sends before a client's bytes.

use std::net::{IpAddr, SocketAddr};

use chanwire_core::proxy_header::{MAX_LENGTH, ProxyHeader, ProxyHeaderError};

use super::Input;
use crate::show;

/// Parses any bytes as a header, and headers that say what the bytes choose.
///
/// # Panics
///
/// If a result depends on how the bytes arrive, a header is longer than it may be, or a header that a proxy writes is not
/// read as it was meant.
pub fn proxy_header(data: &[u8]) {
    let _ = check_prefixes(data);
    let mut input = Input::new(data);
    let source: [u8; 16] = std::array::from_fn(|_| input.byte());
    let port = u16::from_be_bytes([input.byte(), input.byte()]);
    let is_v4 = input.byte().is_multiple_of(2);
    let rest = input.rest();
    let source = if is_v4 { IpAddr::from(<[u8; 4]>::try_from(&source[..4]).unwrap()) } else { IpAddr::from(source) };
    let (tlvs, stream) = rest.split_at(rest.len().min(600) / 2);
    for (header, may_be_long) in [(text(source, port), false), (binary(source, port, tlvs), true)] {
        let expected = if header.len() > MAX_LENGTH && may_be_long {
            Err(ProxyHeaderError::TooLong)
        } else {
            let canonical = SocketAddr::new(source.to_canonical(), port);
            let source = (!canonical.ip().is_unspecified()).then_some(canonical);
            Ok(Some((source, header.len())))
        };
        let bytes = [&header, stream].concat();
        let parsed = check_prefixes(&bytes).map(|header| header.map(|header| (header.source, header.length)));
        assert_eq!(parsed, expected, "{}", show::bytes(&bytes));
    }
}

/// Checks that the result is the same for however many bytes have arrived, and returns it.
fn check_prefixes(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let whole = ProxyHeader::parse(bytes);
    // Nothing beyond the longest header is looked at.
    let shown = || show::bytes(bytes);
    let mut is_final = false;
    for end in 0..=bytes.len().min(MAX_LENGTH + 1) {
        let parsed = ProxyHeader::parse(&bytes[..end]);
        assert!(!is_final || parsed == whole, "{end}: {parsed:?} and then {whole:?}: {}", shown());
        is_final |= parsed != Ok(None);
        if let Ok(Some(header)) = parsed {
            assert!(header.length <= end && header.length <= MAX_LENGTH, "{end}: {header:?}: {}", shown());
        }
    }
    assert!(is_final || bytes.len() < MAX_LENGTH, "never decided: {}", shown());
    whole
}

fn text(source: IpAddr, port: u16) -> Vec<u8> {
    let (family, destination) = if source.is_ipv4() { ("TCP4", "192.0.2.1") } else { ("TCP6", "2001:db8::1") };
    format!("PROXY {family} {source} {destination} {port} 22236\r\n").into_bytes()
}

fn binary(source: IpAddr, port: u16, tlvs: &[u8]) -> Vec<u8> {
    let (family, addresses) = match source {
        IpAddr::V4(ip) => (0x11, [&ip.octets()[..], &[192, 0, 2, 1]].concat()),
        IpAddr::V6(ip) => (0x21, [&ip.octets()[..], &[1; 16]].concat()),
    };
    let rest = [&addresses, &port.to_be_bytes()[..], &[0, 80], tlvs].concat();
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x21, family], &length, &rest].concat()
}

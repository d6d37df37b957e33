//! Packets that are made up around bytes that are real.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use etherparse::{IpHeaders, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, PacketBuilder, TcpHeader};

/// Returns the two ends of a connection, of one family.
pub(super) fn ends(
    connection: u32,
    client: Option<SocketAddr>,
    server: Option<SocketAddr>,
) -> (SocketAddr, SocketAddr) {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let port = 32_768 + u16::try_from(connection % 28_000).unwrap_or_default();
    let local = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    match (client.map(canonical), server.map(canonical)) {
        (Some(client), Some(server)) if client.is_ipv4() == server.is_ipv4() => (client, server),
        (Some(client), Some(server)) => (mapped(client), mapped(server)),
        (None, Some(server)) => (SocketAddr::new(server.ip(), port), server),
        (Some(client), None) => (client, SocketAddr::new(client.ip(), 22_236)),
        (None, None) => (local(port), local(22_236)),
    }
}

/// Returns an IPv6 address: of an IPv4 address, the mapped one.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// Returns a whole packet, with checksums.
pub(super) fn packet(source: SocketAddr, destination: SocketAddr, tcp: TcpHeader, bytes: &[u8]) -> Option<Vec<u8>> {
    let ip = match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = Ipv4Header { source: source.octets(), destination: destination.octets(), ..ipv4()? };
            IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = Ipv6Header {
                traffic_class: 0,
                flow_label: Ipv6FlowLabel::ZERO,
                payload_length: 0,
                next_header: IpNumber::TCP,
                hop_limit: 64,
                source: source.octets(),
                destination: destination.octets(),
            };
            IpHeaders::Ipv6(header, etherparse::Ipv6Extensions::default())
        }
        _ => return None,
    };
    let builder = PacketBuilder::ip(ip).tcp_header(tcp);
    let mut packet = Vec::with_capacity(builder.size(bytes.len()));
    builder.write_to_vec(&mut packet, bytes).ok()?;
    Some(packet)
}

fn ipv4() -> Option<Ipv4Header> {
    Ipv4Header::new(0, 64, IpNumber::TCP, [0; 4], [0; 4]).ok()
}

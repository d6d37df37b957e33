//! Synthetic TCP/IP packets around recorded bytes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use etherparse::{IpHeaders, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, PacketBuilder, TcpHeader};

/// The server's port in packets of connections whose address is unknown: the protocol's default port.
const DEFAULT_PORT: u16 = 22_236;

/// Returns the client's and the server's address for a connection's packets, both of one address family. An unknown
/// client has a port that depends on the connection's number.
pub(super) fn endpoints(
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
        (Some(client), None) => (client, SocketAddr::new(client.ip(), DEFAULT_PORT)),
        (None, None) => (local(port), local(DEFAULT_PORT)),
    }
}

/// Returns the IPv4-mapped IPv6 address of an IPv4 address, and an IPv6 address unchanged.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// Returns a complete packet with checksums; `None` if the addresses are of two families or the bytes are too many.
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

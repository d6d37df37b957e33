//! The address of a channel's host, as this machine reaches it.

use std::net::IpAddr;

use chanwire_core::wire::{Address, canonical};

use crate::server_address::ServerAddress;

/// Returns the address to connect to for an address that a tracker lists, which says nothing of TLS: a host is reached
/// as its tracker was, so that a client that asked for TLS never speaks plain text. A loopback address that another
/// machine lists is that machine's: peers register themselves as `localhost` where they run beside their tracker.
pub(crate) fn host_of(tracker: &ServerAddress, listed: &Address) -> ServerAddress {
    // A tracker at a Unix socket is on this machine.
    let is_elsewhere = tracker.host().is_some_and(|host| !is_loopback(host));
    if is_elsewhere && is_loopback(listed.host()) {
        return tracker.at_port(listed.port());
    }
    ServerAddress::from(listed.clone()).with_tls(tracker.is_tls())
}

fn is_loopback(host: &str) -> bool {
    let ip = host.parse().ok().map(|ip: IpAddr| canonical(ip));
    ip.map_or_else(|| host.eq_ignore_ascii_case("localhost"), |ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_that_another_machine_lists_is_that_machines() {
        for (tracker, listed, host) in [
            ("192.0.2.1:22236", "127.0.0.1:22240", "192.0.2.1:22240"),
            ("tracker.example:22236", "LocalHost:22236", "tracker.example:22236"),
            ("[2001:db8::1]:22236", "[::1]:1", "[2001:db8::1]:1"),
            ("[fe80::1%eth0]:22236", "127.0.0.1:1", "[fe80::1%eth0]:1"),
            ("192.0.2.1:22236", "[::ffff:127.0.0.1]:1", "192.0.2.1:1"),
            ("192.0.2.1:22236", "192.0.2.7:22240", "192.0.2.7:22240"),
            ("127.0.0.1:22236", "127.0.0.1:22240", "127.0.0.1:22240"),
            ("localhost:22236", "[::1]:22240", "[::1]:22240"),
            ("tls://192.0.2.1:22236", "192.0.2.7:22240", "tls://192.0.2.7:22240"),
            ("tls://tracker.example:22236", "127.0.0.1:22240", "tls://tracker.example:22240"),
            ("unix:/run/chanwire.sock", "127.0.0.1:22240", "127.0.0.1:22240"),
        ] {
            let found = host_of(&tracker.parse().unwrap(), &listed.parse().unwrap());
            assert_eq!(found.to_string(), host, "{tracker} lists {listed}");
        }
    }
}

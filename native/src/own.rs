//! The addresses at which a listener can be reached.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use chanwire_core::{hub::ListenerId, wire::Address};

use crate::hub_task::{HubSender, Input};

/// How often a machine's interfaces are looked at: a laptop that changes its network is at home again by then.
const REFRESH: Duration = Duration::from_secs(30);

/// A listener and the addresses that it was given beside the one that it is bound to.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) bound: SocketAddr,
    pub(crate) given: Vec<Address>,
}

impl Own {
    /// Every own address: the first names the listener. A wildcard is loopback and every interface.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let port = self.bound.port();
        let ips = match self.bound.ip() {
            ip if !ip.is_unspecified() => vec![ip],
            IpAddr::V4(_) => wildcard(IpAddr::is_ipv4),
            // A wildcard of IPv6 takes IPv4 as well.
            IpAddr::V6(_) => wildcard(|_| true),
        };
        let bound = ips.into_iter().filter_map(|ip| Address::from_ip(ip, port));
        bound.chain(self.given.iter().cloned()).collect()
    }

    fn is_wildcard(&self) -> bool {
        self.bound.ip().is_unspecified()
    }
}

fn wildcard(wanted: impl Fn(&IpAddr) -> bool) -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot list this machine's addresses; name them with --advertise");
        Vec::new()
    });
    let mut ips = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    ips.extend(interfaces.iter().map(if_addrs::Interface::ip));
    ips.retain(wanted);
    let mut seen = std::collections::HashSet::new();
    ips.retain(|ip| seen.insert(*ip));
    ips
}

/// Tells the hub when the addresses of a wildcard listener change. Runs until it is dropped.
pub(crate) async fn watch(listeners: Vec<(ListenerId, Own)>, hub: HubSender) {
    let wildcards = listeners.into_iter().filter(|(_, own)| own.is_wildcard());
    let mut known: Vec<_> = wildcards.map(|(id, own)| (id, own.addresses(), own)).collect();
    if known.is_empty() {
        return;
    }
    loop {
        tokio::time::sleep(REFRESH).await;
        for (id, before, own) in &mut known {
            let now = own.addresses();
            if now != *before {
                tracing::info!(listener = %own.bound, "this machine's addresses have changed");
                before.clone_from(&now);
                let _ = hub.send(Input::OwnAddresses(*id, now));
            }
        }
    }
}

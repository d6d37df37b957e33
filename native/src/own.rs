//! The addresses at which a listener can be reached.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use chanwire_core::{hub::ListenerId, wire::Address};
use tokio::sync::watch;

use crate::{
    hub_task::{HubSender, Input},
    socket::Families,
};

/// How often a machine's interfaces are looked at: a laptop that changes its network is at home again by then.
const REFRESH: Duration = Duration::from_secs(30);

/// A listener and the addresses that it was given beside the one that it is bound to.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) bound: SocketAddr,
    pub(crate) families: Families,
    pub(crate) given: Vec<Address>,
}

impl Own {
    /// Every own address: the first names the listener. A wildcard is loopback and every interface.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        if !self.is_wildcard() {
            return self.addresses_at(&[]);
        }
        self.addresses_at(&interfaces().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot list this machine's addresses; name them with --advertise");
            Vec::new()
        }))
    }

    /// As [`addresses`](Self::addresses), on a machine whose interfaces have these.
    fn addresses_at(&self, interfaces: &[IpAddr]) -> Vec<Address> {
        let port = self.bound.port();
        let ips = match self.bound.ip() {
            ip if !ip.is_unspecified() => vec![ip],
            IpAddr::V4(_) => wildcard(interfaces, IpAddr::is_ipv4),
            IpAddr::V6(_) => wildcard(interfaces, |ip| ip.is_ipv6() || self.families == Families::Both),
        };
        let bound = ips.into_iter().filter_map(|ip| Address::from_ip(ip, port));
        bound.chain(self.given.iter().cloned()).collect()
    }

    fn is_wildcard(&self) -> bool {
        self.bound.ip().is_unspecified()
    }
}

/// Whether an address is this machine's own.
pub(crate) fn is_local(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    // Where the interfaces cannot be listed, only loopback is known.
    ip.is_loopback() || ip.is_unspecified() || interfaces().is_ok_and(|own| own.contains(&ip))
}

/// Returns where this machine itself reaches a listener.
pub(crate) fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        ip if !ip.is_unspecified() => ip,
        ip if ip.is_ipv4() => Ipv4Addr::LOCALHOST.into(),
        _ => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, bound.port())
}

fn interfaces() -> io::Result<Vec<IpAddr>> {
    Ok(if_addrs::get_if_addrs()?.iter().map(if_addrs::Interface::ip).collect())
}

fn wildcard(interfaces: &[IpAddr], wanted: impl Fn(&IpAddr) -> bool) -> Vec<IpAddr> {
    let mut ips = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    ips.extend_from_slice(interfaces);
    ips.retain(wanted);
    let mut seen = std::collections::HashSet::new();
    ips.retain(|ip| seen.insert(*ip));
    ips
}

/// A listener that the hub knows, and the own addresses that the hub was told.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) id: ListenerId,
    pub(crate) own: Own,
    pub(crate) addresses: Vec<Address>,
}

/// Tells the hub when the addresses of a wildcard listener change, until the server stops.
pub(crate) async fn watch(listeners: Vec<Registered>, hub: HubSender, mut stopping: watch::Receiver<bool>) {
    let mut wildcards: Vec<_> = listeners.into_iter().filter(|listener| listener.own.is_wildcard()).collect();
    loop {
        tokio::select! {
            () = tokio::time::sleep(REFRESH), if !wildcards.is_empty() => {
                refresh(&mut wildcards, interfaces(), &hub);
            }
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
    }
}

/// Tells the hub of the listeners whose addresses are others now. What cannot be looked at has not changed: channels
/// live at these addresses, and people have joined them.
fn refresh(wildcards: &mut [Registered], interfaces: io::Result<Vec<IpAddr>>, hub: &HubSender) {
    let interfaces = match interfaces {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!(%error, "cannot list this machine's addresses; going on with those that were known");
            return;
        }
    };
    for Registered { id, own, addresses } in wildcards {
        let now = own.addresses_at(&interfaces);
        if now != *addresses {
            tracing::info!(listener = %own.bound, "this machine's addresses have changed");
            addresses.clone_from(&now);
            let _ = hub.send(Input::LocalAddresses(*id, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use chanwire_core::hub::{Hub, HubLimits, Moment, Snapshot};
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn a_machine_whose_addresses_cannot_be_listed_keeps_those_that_were_known() {
        let own = Own {
            bound: "0.0.0.0:22236".parse().unwrap(),
            families: Families::Both,
            given: vec!["chat.example:22236".parse().unwrap()],
        };
        let at = |ips: &[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        let addresses = own.addresses_at(&at(&["127.0.0.1", "10.0.0.1", "::1"]));
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.1:22236", "10.0.0.1:22236", "chat.example:22236"]);
        let mut hub = Hub::new(HubLimits::default(), Snapshot::default(), Moment::default());
        let id = hub.add_listener(&addresses);
        let mut wildcards = [Registered { id, own, addresses: addresses.clone() }];
        let (hub, mut told) = mpsc::unbounded_channel();
        let mut told_after = |interfaces| {
            refresh(&mut wildcards, interfaces, &hub);
            match told.try_recv() {
                Ok(Input::LocalAddresses(_, addresses)) => Some(addresses),
                _ => None,
            }
        };
        assert_eq!(told_after(Err(io::ErrorKind::OutOfMemory.into())), None);
        assert_eq!(told_after(Ok(at(&["10.0.0.1"]))), None);
        assert_eq!(told_after(Ok(at(&[]))), Some(vec![addresses[0].clone(), addresses[2].clone()]));
        assert_eq!(told_after(Ok(at(&["10.0.0.1"]))), Some(addresses));
    }
}

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

/// Interval between two looks at the machine's interfaces, for machines that change networks.
const REFRESH: Duration = Duration::from_secs(30);

/// A listener's bound address, and the addresses that were configured for it.
#[derive(Clone, Debug)]
pub(crate) struct LocalAddress {
    pub(crate) bound: SocketAddr,
    pub(crate) families: Families,
    pub(crate) given: Vec<Address>,
}

impl LocalAddress {
    /// Returns every address of the listener; the first one is its name in the hub. A wildcard stands for loopback and
    /// every interface.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        if !self.is_wildcard() {
            return self.addresses_at(&[]);
        }
        self.addresses_at(&interfaces().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot list this machine's addresses; name them with --advertise");
            Vec::new()
        }))
    }

    /// Returns the [`addresses`](Self::addresses) on a machine whose interfaces have these.
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

/// Returns whether an address belongs to this machine.
pub(crate) fn is_local(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    // Only loopback is known if the interfaces cannot be listed.
    ip.is_loopback() || ip.is_unspecified() || interfaces().is_ok_and(|interfaces| interfaces.contains(&ip))
}

/// Returns the address at which this machine itself reaches a listener.
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

/// A listener that is registered with the hub, and its addresses there.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) id: ListenerId,
    pub(crate) local: LocalAddress,
    pub(crate) addresses: Vec<Address>,
}

/// Sends the hub the addresses of wildcard listeners whenever they change, until the server stops.
pub(crate) async fn watch(listeners: Vec<Registered>, hub: HubSender, mut stopping: watch::Receiver<bool>) {
    let mut wildcards: Vec<_> = listeners.into_iter().filter(|listener| listener.local.is_wildcard()).collect();
    loop {
        tokio::select! {
            () = tokio::time::sleep(REFRESH), if !wildcards.is_empty() => {
                refresh(&mut wildcards, interfaces(), &hub);
            }
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
    }
}

/// Sends the hub the listeners' addresses that changed. If the interfaces cannot be listed, the known addresses stay,
/// since removing them would close the joins of their channels.
fn refresh(wildcards: &mut [Registered], interfaces: io::Result<Vec<IpAddr>>, hub: &HubSender) {
    let interfaces = match interfaces {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!(%error, "cannot list this machine's addresses; going on with those that were known");
            return;
        }
    };
    for Registered { id, local, addresses } in wildcards {
        let now = local.addresses_at(&interfaces);
        if now != *addresses {
            tracing::info!(listener = %local.bound, "this machine's addresses have changed");
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
        let local = LocalAddress {
            bound: "0.0.0.0:22236".parse().unwrap(),
            families: Families::Both,
            given: vec!["chat.example:22236".parse().unwrap()],
        };
        let at = |ips: &[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        let addresses = local.addresses_at(&at(&["127.0.0.1", "10.0.0.1", "::1"]));
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.1:22236", "10.0.0.1:22236", "chat.example:22236"]);
        let mut hub = Hub::new(HubLimits::default(), Snapshot::default(), Moment::default());
        let id = hub.add_listener(&addresses);
        let mut wildcards = [Registered { id, local, addresses: addresses.clone() }];
        let (hub, mut inputs) = mpsc::unbounded_channel();
        let mut sent_after = |interfaces| {
            refresh(&mut wildcards, interfaces, &hub);
            match inputs.try_recv() {
                Ok(Input::LocalAddresses(_, addresses)) => Some(addresses),
                _ => None,
            }
        };
        assert_eq!(sent_after(Err(io::ErrorKind::OutOfMemory.into())), None);
        assert_eq!(sent_after(Ok(at(&["10.0.0.1"]))), None);
        assert_eq!(sent_after(Ok(at(&[]))), Some(vec![addresses[0].clone(), addresses[2].clone()]));
        assert_eq!(sent_after(Ok(at(&["10.0.0.1"]))), Some(addresses));
    }
}

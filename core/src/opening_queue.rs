//! The connections that a server waits for at one time, shared among addresses.

use alloc::collections::{BTreeMap, BTreeSet};
use core::{cmp::Reverse, net::IpAddr};

use crate::admission::of_subscriber;

/// Connections that open: the server waits for a TLS handshake, or for the PROXY header of a proxy. Their number is
/// bounded.
///
/// When it is full, a new one displaces the oldest one of the address that has most, as an address with one more
/// would. So many silent connections displace each other, and a client that goes on at once has its place for as long as
/// others have more, however many addresses are silent. An address is an IPv4 address, or the /64 network of an IPv6
/// address.
#[derive(Debug)]
pub struct OpeningQueue {
    limit: usize,
    /// The number of the next one.
    next: u64,
    len: usize,
    /// Those of each address, the oldest first.
    addresses: BTreeMap<IpAddr, BTreeSet<u64>>,
}

/// A connection in an [`OpeningQueue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpeningId {
    address: IpAddr,
    number: u64,
}

impl OpeningQueue {
    /// Makes an empty queue for so many connections, and for at least one.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit: if limit == 0 { 1 } else { limit }, next: 0, len: 0, addresses: BTreeMap::new() }
    }

    /// Begins to wait for one. The second value is the one that is displaced by it: it is over.
    pub fn begin(&mut self, address: IpAddr) -> (OpeningId, Option<OpeningId>) {
        let begun = OpeningId { address: of_subscriber(address), number: self.next };
        self.next += 1;
        self.len += 1;
        self.addresses.entry(begun.address).or_default().insert(begun.number);
        if self.len <= self.limit {
            return (begun, None);
        }
        let oldest = self.addresses.iter().filter_map(|(address, all)| Some((*address, *all.first()?, all.len())));
        let displaced = oldest.max_by_key(|(_, number, count)| (*count, Reverse(*number)));
        let displaced = displaced.map(|(address, number, _)| OpeningId { address, number });
        displaced.into_iter().for_each(|displaced| self.end(displaced));
        (begun, displaced)
    }

    /// Ends the wait for one. One that was displaced is over already.
    pub fn end(&mut self, opening: OpeningId) {
        let OpeningId { address, number } = opening;
        let Some(all) = self.addresses.get_mut(&address) else { return };
        if all.remove(&number) {
            self.len -= 1;
        }
        if all.is_empty() {
            self.addresses.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec::Vec};

    use super::*;

    fn silent(network: u8, host: u8) -> IpAddr {
        [10, 0, network, host].into()
    }

    #[test]
    fn the_oldest_of_the_address_with_most_makes_room() {
        let mut queue = OpeningQueue::new(4);
        let (first, second) = (silent(0, 1), silent(0, 2));
        let one = queue.begin(first).0;
        let many: Vec<OpeningId> = (0..3).map(|_| queue.begin(second).0).collect();
        // One that is over leaves room.
        queue.end(many[1]);
        let (late, displaced) = queue.begin(second);
        assert_eq!(displaced, None);
        assert_eq!(queue.begin(first).1, Some(many[0]));
        // Both have two, so the oldest of all goes.
        let (third, displaced) = queue.begin(silent(0, 3));
        assert_eq!(displaced, Some(one));
        // It was displaced, so its end frees nothing.
        queue.end(one);
        assert_eq!(queue.begin(silent(0, 4)).1, Some(many[2]));
        for over in [late, third] {
            queue.end(over);
        }
        assert_eq!((queue.begin(silent(0, 5)).1, queue.begin(silent(0, 6)).1), (None, None));
    }

    #[test]
    fn addresses_that_fill_it_do_not_keep_a_client_out_that_goes_on_at_once() {
        let mut queue = OpeningQueue::new(1024);
        let begin_silent = |queue: &mut OpeningQueue, count: usize| {
            for index in 0..count {
                let _silent = queue.begin(silent(0, u8::try_from(index % 16).unwrap()));
            }
        };
        for _ in 0..100 {
            begin_silent(&mut queue, 2000);
            let (client, displaced) = queue.begin([192, 0, 2, 7].into());
            assert!(displaced.is_some());
            // Far more come than while it lasts.
            begin_silent(&mut queue, 2000);
            let before = queue.len;
            queue.end(client);
            assert_eq!(queue.len, before - 1, "it was displaced");
        }
        assert!(queue.addresses.len() <= 16 && queue.len < 1024);
    }

    #[test]
    fn a_network_of_an_ipv6_subscriber_is_one_address() {
        let mut queue = OpeningQueue::new(3);
        let other = queue.begin(silent(0, 1)).0;
        let own: Vec<OpeningId> =
            (1..=3).map(|host| queue.begin(format!("2001:db8:0:1::{host}").parse().unwrap()).0).collect();
        assert_eq!(queue.begin("2001:db8:0:1::4".parse().unwrap()).1, Some(own[1]));
        let before = queue.len;
        queue.end(other);
        assert_eq!(queue.len, before - 1);
    }
}

//! The addresses from which guests sent the last messages.

use alloc::collections::{BTreeMap, VecDeque, btree_map::Entry};
use core::net::IpAddr;

use crate::wire::ChannelName;

/// The most messages whose senders are remembered.
const MAX_REMEMBERED: usize = 100_000;

/// The addresses from which guests sent the last messages, so that a moderator can name a sender by a message. They are
/// in memory only.
#[derive(Debug, Default)]
pub(super) struct Senders {
    /// The messages of each channel, in the order of their ids.
    by_channel: BTreeMap<ChannelName, VecDeque<(u64, IpAddr)>>,
    /// The messages, oldest first. Those of a dropped name stay until their turn comes.
    order: VecDeque<(ChannelName, u64)>,
}

impl Senders {
    /// Remembers from where a channel's newest message came.
    pub(super) fn add(&mut self, channel_name: &ChannelName, id: u64, address: IpAddr) {
        self.by_channel.entry(channel_name.clone()).or_default().push_back((id, address));
        self.order.push_back((channel_name.clone(), id));
        if self.order.len() > MAX_REMEMBERED
            && let Some((channel_name, id)) = self.order.pop_front()
            && let Entry::Occupied(mut messages) = self.by_channel.entry(channel_name)
        {
            messages.get_mut().pop_front_if(|(first, _)| *first == id);
            if messages.get().is_empty() {
                messages.remove();
            }
        }
    }

    /// Returns the address from which a message came.
    pub(super) fn of(&self, channel_name: &ChannelName, id: u64) -> Option<IpAddr> {
        let messages = self.by_channel.get(channel_name)?;
        let place = messages.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        messages.get(place).map(|(_, address)| *address)
    }

    /// Drops what is remembered of a channel, whose ids start again.
    pub(super) fn drop_channel(&mut self, channel_name: &ChannelName) {
        self.by_channel.remove(channel_name);
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    fn ip(number: u64) -> IpAddr {
        Ipv4Addr::from_bits(u32::try_from(number).unwrap()).into()
    }

    #[test]
    fn the_last_messages_of_all_channels_are_remembered() {
        let (one, other): (ChannelName, ChannelName) = ("one".parse().unwrap(), "other".parse().unwrap());
        let mut senders = Senders::default();
        senders.add(&other, 7, ip(7));
        for id in 1..=MAX_REMEMBERED as u64 {
            senders.add(&one, id, ip(id));
        }
        // The oldest of all goes first, and its channel with it.
        assert_eq!((senders.of(&other, 7), senders.by_channel.len()), (None, 1));
        assert_eq!((senders.of(&one, 1), senders.of(&one, 100_000)), (Some(ip(1)), Some(ip(100_000))));
        senders.add(&other, 8, ip(8));
        assert_eq!((senders.of(&one, 1), senders.of(&one, 2), senders.of(&other, 8)), (None, Some(ip(2)), Some(ip(8))));
        assert_eq!(senders.of(&one, 100_001), None);
        assert_eq!(senders.order.len(), MAX_REMEMBERED);
    }

    #[test]
    fn a_dropped_name_has_no_senders_and_may_begin_again() {
        let name: ChannelName = "one".parse().unwrap();
        let mut senders = Senders::default();
        senders.add(&name, 1, ip(1));
        senders.drop_channel(&name);
        assert_eq!(senders.of(&name, 1), None);
        senders.add(&name, 1, ip(2));
        assert_eq!(senders.of(&name, 1), Some(ip(2)));
    }
}

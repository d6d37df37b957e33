//! CHANNELS: the list of channels, a page at a time.

use alloc::vec::Vec;

use super::{ConnectionId, Hub, Peer, connection_page::MAX_NUMBER, directory::Entry};
use crate::wire::{ChannelActivity, ListedChannel, Response, channel_page};

/// The most channels that one request looks at, so that a search for a rare name does not delay other requests. For the
/// operator, the subscriptions of these channels count with them.
const MAX_LOOKED_AT: usize = 10_000;

impl Hub {
    /// Returns a page of the listed channels: of the first after the position `after`, at most `limit`, those whose names
    /// contain a part. Also returns the number of channels and subscriptions that were looked at.
    pub(super) fn channel_page(
        &self,
        id: ConnectionId,
        after: u64,
        limit: u16,
        contains: Option<&str>,
    ) -> (Response, usize) {
        let view = self.view(id);
        let is_operator = self.connections.get(&id).is_some_and(|connection| connection.peer == Peer::Operator);
        // On the wire positions count from 1, so that 0 is before the first.
        let mut entries = self.directory.entries_from(after);
        let (mut channels, mut last, mut looked_at) = (Vec::new(), after, 0);
        while channels.len() < limit.into()
            && looked_at < MAX_LOOKED_AT
            && let Some((position, entry)) = entries.next()
        {
            looked_at += 1;
            last = position + 1;
            let is_wanted = contains.is_none_or(|part| contains_part(&entry.channel.channel_name, part));
            if is_wanted && view.has(entry.rule) {
                let listed = self.listed_channel(id, last, entry, is_operator);
                looked_at += listed.activity.map_or(0, |activity| activity.joined as usize);
                channels.push(listed);
            }
        }
        let next = entries.next().is_some().then_some(last);
        (channel_page(channels, next), looked_at)
    }

    fn listed_channel(&self, id: ConnectionId, position: u64, entry: &Entry, is_operator: bool) -> ListedChannel {
        let channel = &entry.channel;
        let lives_here = self.directory.is_local(&channel.address) && !self.damaged.contains(&channel.channel_name);
        let log = lives_here.then(|| self.log(&channel.channel_name));
        let activity = log.filter(|_| is_operator).map(|log| {
            let (joined, behind) = self.joins.count_in(&channel.channel_name);
            let stored_bytes = log.stored_bytes.min(MAX_NUMBER);
            ChannelActivity { joined: joined as u64, behind: behind as u64, stored_bytes }
        });
        let may_read = || self.refuse_to_read(id, &channel.channel_name).is_none();
        let last_id = log.filter(|_| may_read()).map(|log| log.last_id);
        let members_only = lives_here && self.moderation.settings(&channel.channel_name).members_only;
        ListedChannel { channel: channel.clone(), position, last_id, members_only, activity }
    }
}

/// Returns whether a name contains a part, in any case of ASCII letters.
fn contains_part(name: &str, part: &str) -> bool {
    let (name, part) = (name.as_bytes(), part.as_bytes());
    name.windows(part.len().max(1)).any(|window| window.eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_anywhere_and_in_any_case_of_ascii_letters() {
        for (name, part, is_found) in [
            ("general", "gen", true),
            ("general", "AL", true),
            ("GeNeRaL", "general", true),
            ("general", "generals", false),
            ("general", "x", false),
            ("Zoë", "OË", false),
            ("Zoë", "Oë", true),
            ("a.b", "a-b", false),
        ] {
            assert_eq!(contains_part(name, part), is_found, "{name} {part}");
        }
    }
}

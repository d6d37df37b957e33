//! The encoded lists of channels: that of guests, which is published, and those of accounts that may read others.

use alloc::{collections::BTreeMap, vec::Vec};

use super::{directory::Entry, listed::Listed};
use crate::{endpoint::Listing, rights::View, wire::Channel};

/// The most lists beside that of guests. The one that was asked for longest ago is dropped for another.
const MAX_OTHERS: usize = 64;

/// The most changes that a list which nobody asks for waits with. With more, it is dropped, so that it costs no memory; to
/// encode it anew costs what as many changes have saved.
const MAX_WAITING: usize = 4096;

/// One list for each view of the channels. Principals with equal views share it, so there are as many lists as sets of
/// readable rules, however many accounts there are. Each is encoded in pieces, and a change encodes those around it.
#[derive(Debug)]
pub(super) struct Lists {
    guests: List,
    others: Vec<List>,
    /// The most bytes that only past versions of a list hold.
    max_past: usize,
    /// The number of LISTs that were answered from lists that are dropped.
    answers: usize,
}

/// The list of a view.
#[derive(Debug)]
struct List {
    view: View,
    listed: Listed,
}

impl List {
    /// Makes a list that is not encoded yet.
    fn new(view: View, max_past: usize) -> Self {
        let mut listed = Listed::new(max_past);
        listed.change(0);
        Self { view, listed }
    }

    fn current(&mut self, entries: &BTreeMap<u64, Entry>) -> Listing {
        let view = &self.view;
        self.listed.current(entries, |entry| channel_in(view, entry))
    }
}

/// Returns the channel of an entry, if it is in this view.
fn channel_in<'a>(view: &View, entry: &'a Entry) -> Option<&'a Channel> {
    view.has(entry.rule).then_some(&entry.channel)
}

impl Lists {
    /// Makes the lists of no channels. Past versions of each list may hold so many bytes.
    pub(super) fn new(guests: View, max_past: usize) -> Self {
        let guests = List { view: guests, listed: Listed::new(max_past) };
        Self { guests, others: Vec::new(), max_past, answers: 0 }
    }

    /// Returns whether this is the view of guests.
    pub(super) fn is_guests(&self, view: &View) -> bool {
        self.guests.view == *view
    }

    /// Records that a channel was added or removed at this position.
    pub(super) fn change(&mut self, position: u64) {
        self.guests.listed.change(position);
        let others = self.others.extract_if(.., |other| {
            other.listed.change(position);
            other.listed.waiting() > MAX_WAITING
        });
        self.answers += others.map(|other| other.listed.answers()).sum::<usize>();
    }

    /// Has the list of guests show this view, and drops the others, after the rules have changed.
    pub(super) fn set_guests(&mut self, view: View, entries: &BTreeMap<u64, Entry>) {
        self.answers += self.others.drain(..).map(|other| other.listed.answers()).sum::<usize>();
        self.guests.view = view;
        entries.keys().for_each(|position| self.guests.listed.change(*position));
    }

    /// Returns the list of a view, and the number of channels that were looked at to encode it whole.
    pub(super) fn current(&mut self, view: &View, entries: &BTreeMap<u64, Entry>) -> (Listing, usize) {
        if self.is_guests(view) {
            return (self.guests.current(entries), 0);
        }
        let found = self.others.iter().position(|other| other.view == *view);
        let cost = if found.is_some() { 0 } else { entries.len() };
        let mut list = match found {
            Some(index) => self.others.remove(index),
            None => List::new(view.clone(), self.max_past),
        };
        let listing = list.current(entries);
        // The last is the one that was asked for last.
        self.others.push(list);
        if self.others.len() > MAX_OTHERS {
            self.answers += self.others.remove(0).listed.answers();
        }
        (listing, cost)
    }

    /// Returns the list of guests, if this has not returned it before.
    pub(super) fn unpublished(&mut self, entries: &BTreeMap<u64, Entry>) -> Option<Listing> {
        let view = &self.guests.view;
        self.guests.listed.unpublished(entries, |entry| channel_in(view, entry))
    }

    /// Returns the bytes that the current lists hold, and those that only past versions of them hold.
    pub(super) fn held(&self) -> (usize, usize) {
        let held = self.others.iter().chain([&self.guests]).map(|list| list.listed.held());
        held.fold((0, 0), |(current, past), held| (current + held.0, past + held.1))
    }

    /// Returns the number of answered LISTs, by the hub or by endpoints.
    pub(super) fn answers(&self) -> usize {
        let lists = self.others.iter().chain([&self.guests]);
        self.answers + lists.map(|list| list.listed.answers()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, sync::Arc, vec::Vec};

    use super::*;
    use crate::{
        Time,
        hub::{ChannelRecord, directory::Directory},
        rights::{Principal, Rights, Rule},
        wire::{AccountName, Response},
    };

    fn name(number: usize) -> AccountName {
        format!("a{number}").parse().unwrap()
    }

    fn put(directory: &mut Directory, channel_name: &str, position: u64) {
        let address = "192.0.2.7:22236".parse().unwrap();
        let channel = Channel { channel_name: channel_name.parse().unwrap(), address };
        let record = ChannelRecord { channel, registered_from: None, account: None, position, lease: None };
        directory.put(record, Time::default());
    }

    /// Returns a directory of so many rules, each of which shows its channels to one account, with a channel of each rule
    /// and one without a rule, so many times.
    fn directory(rules: usize, times: usize) -> (Directory, Arc<Rights>) {
        let mut rights = Rights::default();
        for number in 0..rules {
            let account: AccountName = name(number);
            rights.accounts.insert(account.clone(), Default::default());
            let read = Vec::from([account.as_str().parse().unwrap()]);
            let channels = format!("r{number}-*").parse().unwrap();
            rights.rules.push(Rule { channels, read, write: Vec::new(), host: Vec::new() });
        }
        let (rights, mut directory) = (Arc::new(rights), Directory::new(1 << 20));
        directory.set_rights(rights.clone());
        for time in 0..times {
            for rule in 0..=rules {
                let prefix = if rule < rules { format!("r{rule}") } else { "all".into() };
                put(&mut directory, &format!("{prefix}-{time}"), (time * (rules + 1) + rule) as u64);
            }
        }
        (directory, rights)
    }

    fn view(rights: &Rights, number: usize) -> View {
        rights.view(Principal::Account(&name(number)))
    }

    fn listed(directory: &mut Directory, view: &View) -> (Vec<String>, usize) {
        let (listing, cost) = directory.list(view);
        let bytes = listing.to_vec().unwrap();
        let payload = bytes.strip_prefix(b"OK\r\n").unwrap();
        let status = crate::wire::Status::Ok;
        let Ok(Response::Channels(channels)) = Response::decode(crate::wire::Command::List, status, payload) else {
            panic!("no list")
        };
        (channels.into_iter().map(|channel| channel.channel_name.into()).collect(), cost)
    }

    #[test]
    fn a_list_is_encoded_whole_once_and_follows_the_changes() {
        let (mut directory, rights) = directory(2, 300);
        let own = |directory: &mut Directory| listed(directory, &view(&rights, 1));
        let (channels, cost) = own(&mut directory);
        let is_its = |name: &String| name.starts_with("r1-") || name.starts_with("all-");
        assert_eq!((channels.len(), channels.iter().all(is_its), cost), (600, true, 900));
        for change in 0..100 {
            put(&mut directory, &format!("r1-new{change}"), 1000 + 2 * change);
            put(&mut directory, &format!("r0-new{change}"), 1001 + 2 * change);
            directory.remove(&format!("r1-{change}").parse().unwrap());
            let (channels, cost) = own(&mut directory);
            assert_eq!((channels.len(), channels.iter().all(is_its), cost), (600, true, 0));
        }
        let (guests, _) = listed(&mut directory, &rights.view(Principal::Guest));
        assert!(guests.len() == 300 && guests.iter().all(|name| name.starts_with("all-")));
        assert_eq!(listed(&mut directory, &rights.view(Principal::Operator)).0.len(), 1000);
    }

    #[test]
    fn principals_with_equal_views_share_a_list_and_those_with_that_of_guests_have_none() {
        let (mut directory, rights) = directory(1, 3);
        let (one, other) = (directory.list(&view(&rights, 0)), directory.list(&rights.view(Principal::Operator)));
        assert_eq!((one.0 == other.0, other.1), (true, 0));
        assert_eq!(directory.list(&view(&rights, 7)).0, directory.list(&rights.view(Principal::Guest)).0);
        assert_eq!(directory.lists.others.len(), 1);
    }

    #[test]
    fn the_list_that_was_asked_for_longest_ago_is_dropped_for_another() {
        let (mut directory, rights) = directory(MAX_OTHERS + 1, 1);
        let mut cost = |number| directory.list(&view(&rights, number)).1;
        assert!((0..MAX_OTHERS).all(|number| cost(number) > 0));
        assert_eq!((cost(0), cost(1)), (0, 0));
        assert!(cost(MAX_OTHERS) > 0);
        assert_eq!((cost(0), cost(1), cost(3)), (0, 0, 0));
        assert!(cost(2) > 0);
        assert_eq!(directory.lists.others.len(), MAX_OTHERS);
    }

    #[test]
    fn a_list_that_nobody_asks_for_waits_with_few_changes() {
        let (mut directory, rights) = directory(1, 1);
        directory.list(&view(&rights, 0)).0.count_answer();
        for position in 10..=10 + MAX_WAITING as u64 {
            put(&mut directory, "all-new", position);
        }
        assert_eq!((directory.lists.others.len(), directory.lists.answers()), (0, 1));
        assert!(directory.list(&view(&rights, 0)).1 > 0);
    }
}

//! The encoded list of channels. A change encodes only the pieces around it; past versions share the others, within a
//! limit on memory.

#[cfg(test)]
mod tests;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};
use core::mem;

use crate::{
    endpoint::{Account, Group, Listing, Piece, Version},
    wire::{Channel, LIST_SEPARATOR, encode_channel},
};

/// The most bytes of a piece, some tens of channels; a single larger channel is a piece too. A change encodes one piece.
const MAX_PIECE: usize = 2 * 1024;

/// The most pieces of a group. A change copies one group's pointers.
const MAX_GROUP: usize = 64;

/// The fewest past versions at which unused ones are searched for.
const MIN_SEARCHED: usize = 16;

/// The list of channels in versions that share unchanged pieces. A past version is kept while a connection reads it.
///
/// Two neighbouring pieces of a group never fit into one piece, and two neighbouring groups never into one group. So
/// pieces stay half full on average, however channels come and go.
#[derive(Debug)]
pub(super) struct Listed {
    groups: Vec<Arc<Group>>,
    /// The positions of channels that were added or removed since `groups` was encoded.
    changed: BTreeSet<u64>,
    current: Kept,
    past: Vec<Kept>,
    /// The most bytes that only past versions hold.
    max_past: usize,
    /// The number of past versions at which unused ones are searched for next.
    search_at: usize,
    is_published: bool,
    account: Arc<Account>,
}

/// A version that is kept alive.
#[derive(Debug)]
struct Kept {
    version: Arc<Version>,
    listing: Listing,
}

impl Kept {
    fn new(groups: &[Arc<Group>], account: &Arc<Account>) -> Self {
        let (version, listing) = Version::new(groups, account);
        Self { version, listing }
    }
}

impl Listed {
    pub(super) fn new(max_past: usize) -> Self {
        let account = Arc::default();
        Self {
            groups: Vec::new(),
            changed: BTreeSet::new(),
            current: Kept::new(&[], &account),
            past: Vec::new(),
            max_past,
            search_at: MIN_SEARCHED,
            is_published: false,
            account,
        }
    }

    /// Records that a channel was added, removed, hidden or shown at this position.
    pub(super) fn change(&mut self, position: u64) {
        self.changed.insert(position);
    }

    /// Returns the number of recorded changes that are not encoded.
    pub(super) fn waiting(&self) -> usize {
        self.changed.len()
    }

    /// Returns the list of these channels. Every change since the last call must have been [recorded](Self::change).
    pub(super) fn current<T>(
        &mut self,
        entries: &BTreeMap<u64, T>,
        channel: impl Fn(&T) -> Option<&Channel>,
    ) -> Listing {
        if !self.changed.is_empty() {
            self.encode(entries, channel);
            let before = mem::replace(&mut self.current, Kept::new(&self.groups, &self.account));
            self.past.push(before);
            self.is_published = false;
            self.drop_past();
        }
        self.current.listing.clone()
    }

    /// Returns the list of these channels, if this has not returned it before.
    pub(super) fn unpublished<T>(
        &mut self,
        entries: &BTreeMap<u64, T>,
        channel: impl Fn(&T) -> Option<&Channel>,
    ) -> Option<Listing> {
        if self.is_published && self.changed.is_empty() {
            return None;
        }
        let current = self.current(entries, channel);
        self.is_published = true;
        Some(current)
    }

    /// Returns the bytes that the current version holds, and those that only past versions hold.
    pub(super) fn held(&self) -> (usize, usize) {
        let current = self.current.version.weight;
        (current, self.account.held().saturating_sub(current))
    }

    /// Returns the number of answered LISTs, by the hub or by endpoints.
    pub(super) fn answers(&self) -> usize {
        self.account.answers()
    }

    /// Drops past versions without readers. If the others still hold too much, drops those whose readers made no progress
    /// for the longest time. The version before the current one is always kept: until the current one is published, an
    /// endpoint may answer with it.
    fn drop_past(&mut self) {
        let holds = |listed: &Self, most: usize| listed.held().1 > most;
        if self.past.len() < self.search_at && !holds(self, self.max_past) {
            return;
        }
        let last = self.past.pop();
        self.past.retain(|kept| !kept.listing.is_unused());
        if holds(self, self.max_past) {
            self.past.sort_by_key(|kept| kept.listing.progress());
            // Below the limit by a quarter, so that not every change searches all of them.
            let enough = self.max_past - self.max_past / 4;
            let mut past = mem::take(&mut self.past).into_iter();
            while holds(self, enough) && past.next().is_some() {}
            self.past = past.collect();
        }
        self.past.extend(last);
        self.search_at = MIN_SEARCHED.max(2 * self.past.len());
    }

    /// Encodes the changed pieces.
    fn encode<T>(&mut self, entries: &BTreeMap<u64, T>, channel: impl Fn(&T) -> Option<&Channel>) {
        let account = self.account.clone();
        let mut changed = mem::take(&mut self.changed).into_iter().peekable();
        let mut before = mem::take(&mut self.groups);
        if before.is_empty() {
            // An empty piece, which covers all positions.
            let nothing = Piece::new(0, Arc::default(), &account);
            before.push(Group::new(Vec::from([nothing]), &account));
        }
        // Entries before the first piece belong to it.
        let mut start = Some(0);
        let mut before = before.into_iter().peekable();
        while let Some(group) = before.next() {
            let end = before.peek().map(|next| next.start());
            let is_before = |end: Option<u64>| move |position: &u64| end.is_none_or(|end| *position < end);
            if !changed.peek().is_some_and(is_before(end)) {
                start = None;
                self.add(group, &account);
                continue;
            }
            let mut pieces = Vec::with_capacity(group.pieces.len() + 1);
            let mut rest = group.pieces.iter().peekable();
            while let Some(piece) = rest.next() {
                let start = start.take().unwrap_or(piece.start);
                let end = rest.peek().map(|next| next.start).or(end);
                if changed.next_if(is_before(end)).is_none() {
                    add_piece(&mut pieces, piece.clone(), &account);
                    continue;
                }
                while changed.next_if(is_before(end)).is_some() {}
                let entries = entries.range(start..end.unwrap_or(u64::MAX));
                let entries = entries.filter_map(|(position, entry)| Some((*position, channel(entry)?)));
                encode(start, entries, |start, bytes| {
                    // An unchanged piece is shared.
                    let is_same = (start, bytes) == (piece.start, &*piece.bytes);
                    let piece = if is_same { piece.clone() } else { Piece::new(start, bytes.into(), &account) };
                    add_piece(&mut pieces, piece, &account);
                });
            }
            for pieces in pieces.chunks(MAX_GROUP) {
                self.add(Group::new(pieces.to_vec(), &account), &account);
            }
        }
    }

    /// Appends a group, merged with the last one if both fit.
    fn add(&mut self, group: Arc<Group>, account: &Arc<Account>) {
        match self.groups.last_mut() {
            Some(last) if last.pieces.len() + group.pieces.len() <= MAX_GROUP => {
                let mut pieces = last.pieces.clone();
                group.pieces.iter().for_each(|piece| add_piece(&mut pieces, piece.clone(), account));
                *last = Group::new(pieces, account);
            }
            _ => self.groups.push(group),
        }
    }
}

/// Appends a piece, merged with the last one if both fit.
fn add_piece(pieces: &mut Vec<Arc<Piece>>, piece: Arc<Piece>, account: &Arc<Account>) {
    match pieces.last_mut() {
        Some(last) if last.bytes.len() + piece.bytes.len() <= MAX_PIECE => {
            *last = Piece::new(last.start, [&*last.bytes, &*piece.bytes].concat().into(), account);
        }
        _ => pieces.push(piece),
    }
}

/// Encodes these channels in pieces as full as possible.
fn encode<'a>(mut start: u64, channels: impl Iterator<Item = (u64, &'a Channel)>, mut add: impl FnMut(u64, &[u8])) {
    let mut bytes = Vec::with_capacity(MAX_PIECE);
    for (position, channel) in channels {
        let before = bytes.len();
        bytes.extend_from_slice(LIST_SEPARATOR);
        encode_channel(channel, &mut bytes);
        if bytes.len() > MAX_PIECE && before > 0 {
            add(start, bytes.get(..before).unwrap_or_default());
            bytes.drain(..before);
            start = position;
        }
    }
    if !bytes.is_empty() {
        add(start, &bytes);
    }
}

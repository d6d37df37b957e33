use alloc::{format, string::String, sync::Weak, vec};

use super::*;
use crate::{
    endpoint::Unread,
    wire::{Address, encode_channels},
};

/// A generator of numbers that is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Channels by their positions, and their list.
struct Trial {
    channels: BTreeMap<u64, Channel>,
    listed: Listed,
}

/// Makes a channel whose entry is of about this size.
fn channel(name: &str, size: u64, port: u16) -> Channel {
    let size = usize::try_from(size).unwrap().min(200);
    let host: Vec<String> = (0..=size / 60).map(|_| "h".repeat(1 + size.min(59))).collect();
    let address = Address::new(host.join("."), port).unwrap();
    Channel { channel_name: name.parse().unwrap(), address }
}

impl Trial {
    fn new(max_past: usize) -> Self {
        Self { channels: BTreeMap::new(), listed: Listed::new(max_past) }
    }

    fn full(count: u64, max_past: usize) -> Self {
        let mut trial = Self::new(max_past);
        (0..count).for_each(|position| trial.put(position, 20, 1));
        trial.list();
        trial
    }

    fn put(&mut self, position: u64, size: u64, port: u16) {
        // Names that need escapes, and so more bytes than they have characters.
        self.channels.insert(position, channel(&format!("{position}\\\"é"), size, port));
        self.listed.change(position);
    }

    fn remove(&mut self, position: u64) {
        self.channels.remove(&position);
        self.listed.change(position);
    }

    fn list(&mut self) -> Listing {
        self.listed.current(&self.channels, shown)
    }

    fn naive(&self) -> Vec<u8> {
        let mut out = Vec::new();
        encode_channels(self.channels.values(), &mut out);
        out
    }

    /// Returns the pieces of the current version.
    fn pieces(&self) -> Vec<Arc<Piece>> {
        self.listed.current.version.pieces().cloned().collect()
    }

    /// Returns the number of pieces of the current version that are not among these.
    fn new_pieces(&self, before: &[Arc<Piece>]) -> usize {
        let is_new = |piece: &&Arc<Piece>| !before.iter().any(|other| Arc::ptr_eq(piece, other));
        self.pieces().iter().filter(is_new).count()
    }

    fn check(&self) {
        for group in &self.listed.groups {
            assert!((1..=MAX_GROUP).contains(&group.pieces.len()), "a group of {} pieces", group.pieces.len());
            for pair in group.pieces.windows(2) {
                let len = pair[0].bytes.len() + pair[1].bytes.len();
                assert!(len > MAX_PIECE, "two pieces that stand together have {len} bytes");
                assert!(pair[0].start < pair[1].start);
            }
        }
        for pair in self.listed.groups.windows(2) {
            let count = pair[0].pieces.len() + pair[1].pieces.len();
            assert!(count > MAX_GROUP, "two groups that stand together have {count} pieces");
            assert!(pair[0].start() < pair[1].start());
        }
        for piece in self.pieces() {
            let channels = piece.bytes.windows(18).filter(|bytes| bytes == b", {\"channel_name\":").count();
            assert!(
                piece.bytes.len() <= MAX_PIECE || channels == 1,
                "{} bytes, {channels} channels",
                piece.bytes.len()
            );
        }
    }
}

fn shown(channel: &Channel) -> Option<&Channel> {
    Some(channel)
}

#[test]
fn after_any_changes_the_list_is_as_if_encoded_at_once_and_earlier_ones_are_as_they_were() {
    for seed in 0..12 {
        let mut numbers = Numbers(seed);
        let mut trial = Trial::new(usize::MAX);
        // Few positions, so that most changes meet a channel; or many, so that there are many groups.
        let positions = [30, 300, 2500][usize::try_from(seed % 3).unwrap()];
        let mut earlier: Vec<(Listing, Vec<u8>)> = Vec::new();
        for _ in 0..30 {
            let first = numbers.below(positions);
            let most = 1 + numbers.below(positions);
            let run = numbers.below(most);
            match numbers.below(5) {
                // Anywhere, or all in a row.
                0 | 1 => (0..run).for_each(|_| {
                    let (position, size) = (numbers.below(positions), numbers.below(200));
                    trial.put(position, size, 1);
                }),
                2 => (first..first + run).for_each(|position| trial.put(position, numbers.below(60), 22_236)),
                3 => (first..first + run).for_each(|position| trial.remove(position)),
                _ => (0..run).for_each(|_| trial.remove(numbers.below(positions))),
            }
            let listing = trial.list();
            let bytes = listing.to_vec().unwrap();
            assert!(bytes == trial.naive(), "seed {seed}: {}", String::from_utf8_lossy(&bytes));
            assert_eq!(listing.size(), bytes.len());
            trial.check();
            earlier.push((listing, bytes));
            for (listing, bytes) in &earlier {
                assert!(listing.to_vec().unwrap() == *bytes, "seed {seed}: an earlier version has changed");
            }
            if earlier.len() > 4 {
                earlier.remove(usize::try_from(numbers.below(4)).unwrap());
            }
        }
    }
}

#[test]
fn a_change_of_one_channel_encodes_one_piece_and_at_most_its_neighbours() {
    let mut trial = Trial::full(20_000, usize::MAX);
    let mut numbers = Numbers(1);
    for step in 0..100 {
        let before = trial.pieces();
        let position = numbers.below(20_000);
        match step % 4 {
            0 => trial.put(position, 20, 2),
            1 => trial.put(position, numbers.below(200), 3),
            2 => trial.remove(position),
            _ => trial.put(20_000 + step, 20, 4),
        }
        let held = trial.listed.held().0;
        let _current = trial.list();
        let new = trial.new_pieces(&before);
        assert!((1..=3).contains(&new), "{new} pieces of {} are new", before.len());
        // One version more costs its difference: its pieces, a group or two, and the list of groups.
        let (now, past) = trial.listed.held();
        assert!(past <= 100 * 20_000 && now.abs_diff(held) < 20_000, "{held} becomes {now}, and {past}");
    }
    trial.check();
    assert!(trial.list().to_vec().unwrap() == trial.naive());
}

#[test]
fn a_channel_may_be_put_before_all_others() {
    let mut trial = Trial::full(3000, usize::MAX);
    for count in [100, 2000] {
        (0..count).for_each(|position| trial.remove(position));
        trial.list();
        trial.put(count / 2, 20, 1);
        trial.put(0, 20, 2);
        assert!(trial.list().to_vec().unwrap() == trial.naive());
        trial.check();
    }
}

#[test]
fn unchanged_channels_share_every_piece() {
    let mut trial = Trial::full(3000, usize::MAX);
    let (before, listing) = (trial.pieces(), trial.list());
    // As when everything is read back from the store.
    (0..3000).for_each(|position| trial.remove(position));
    (0..3000).for_each(|position| trial.put(position, 20, 1));
    assert_ne!(trial.list(), listing);
    assert_eq!((trial.new_pieces(&before), trial.pieces().len()), (0, before.len()));
}

#[test]
fn as_channels_go_pieces_become_fewer() {
    let mut trial = Trial::full(20_000, usize::MAX);
    let all = trial.pieces().len();
    let mut numbers = Numbers(2);
    for _ in 0..100_000 {
        let position = numbers.below(20_000);
        trial.remove(position);
        if trial.listed.changed.len() > 500 {
            trial.list();
        }
    }
    trial.list();
    trial.check();
    assert!((50..500).contains(&trial.channels.len()), "{}", trial.channels.len());
    // Half full on average, but for the last of each group.
    let least = 2 * trial.list().size() / MAX_PIECE + trial.listed.groups.len() + 1;
    let left = trial.pieces().len();
    assert!(left <= least && left * 50 < all, "{left} pieces of {all}, where {least} are enough");
    (0..20_000).for_each(|position| trial.remove(position));
    assert_eq!(trial.list().to_vec().unwrap(), b"OK\r\n{\"channels\": []}");
    assert_eq!(trial.pieces().len(), 0);
}

#[test]
fn a_version_that_nobody_reads_is_dropped() {
    let mut trial = Trial::full(1000, 200_000);
    let mut versions: Vec<Weak<Version>> = Vec::new();
    for round in 0..300 {
        trial.put(round * 7 % 1000, 20, 7);
        trial.list();
        versions.push(Arc::downgrade(&trial.listed.current.version));
    }
    let alive = versions.iter().filter(|version| version.strong_count() > 0).count();
    assert!(alive <= 2 * MIN_SEARCHED, "{alive} versions");
    assert!(trial.listed.held().1 <= 200_000);
}

/// Every channel changes again and again while readers of old versions stand still.
#[test]
fn past_versions_hold_no_more_than_they_may_and_those_who_read_on_lose_nothing() {
    const MAX: usize = 1_000_000;
    const SIZE: u64 = 5000;
    let mut trial = Trial::full(SIZE, MAX);
    let (size, mut numbers) = (trial.list().size(), Numbers(3));
    let read = |unread: &mut Unread| unread.take(|_, _| false);
    // It began before all others, and reads slowly: a piece now and then.
    let mut slow = Unread::new(trial.list());
    let mut stuck: Vec<Unread> = Vec::new();
    let mut most = 0;
    let mut pieces = 0;
    for round in 0..1000 {
        // More than it can change in a round is what no single version may exceed.
        for _ in 0..20 {
            trial.put(numbers.below(SIZE), 20, u16::try_from(1 + round).unwrap());
        }
        let mut unread = Unread::new(trial.list());
        assert_eq!(read(&mut unread), Some(true));
        stuck.push(unread);
        most = most.max(trial.listed.held().1);
        if round % 3 == 0 {
            pieces += 1;
            match read(&mut slow) {
                Some(true) => {}
                Some(false) => slow = Unread::new(trial.list()),
                None => panic!("round {round}: who read on was withdrawn"),
            }
        }
    }
    assert!(size > 400_000 && pieces > 200, "{size} bytes, {pieces} pieces");
    // Plus the bytes that one round changes.
    assert!((MAX / 2..MAX + 30 * 2 * MAX_PIECE).contains(&most), "{most} bytes are held by past versions");
    let left: Vec<bool> = stuck.iter_mut().map(|unread| read(unread).is_some()).collect();
    let lost = left.iter().filter(|left| !**left).count();
    // The oldest first, but for those who read the same version as somebody who reads on.
    assert!(lost > 900 && left.iter().rev().take(5).all(|left| *left), "{lost} are withdrawn: {left:?}");
    // And when the readers are gone, nothing is kept for them.
    drop((stuck, slow));
    (0..1 + MIN_SEARCHED as u64 * 2).for_each(|position| {
        trial.put(position, 20, 9);
        trial.list();
    });
    assert!(trial.listed.held().1 < MAX / 2, "{:?}", trial.listed.held());
}

#[test]
fn a_change_is_published_once_and_counted_as_past_from_then_on() {
    let mut trial = Trial::new(0);
    let publish = |trial: &mut Trial| trial.listed.unpublished(&trial.channels, shown);
    assert!(publish(&mut trial).is_some());
    assert_eq!(publish(&mut trial), None);
    trial.put(1, 20, 1);
    // Given to somebody is not published.
    let given = trial.list();
    assert_eq!(publish(&mut trial), Some(given.clone()));
    assert_eq!(publish(&mut trial), None);
    // The one before the current is not withdrawn, however little past versions may hold.
    trial.put(2, 20, 1);
    trial.list();
    assert!(given.to_vec().is_some());
    trial.put(3, 20, 1);
    trial.list();
    assert_eq!(given.to_vec(), None);
    assert_eq!(vec![trial.list()], [publish(&mut trial).unwrap()]);
}

//! A hash table that grows by one bucket at a time.

use alloc::{collections::BTreeSet, vec::Vec};

/// No number.
const NONE: u32 = u32::MAX;

/// The numbers for which a bucket has places.
const PLACES: usize = 7;

/// The count of numbers for each bucket at which a bucket is added.
const LOAD: usize = 3;

/// Numbers by the hashes of what they stand for, which their owner has and compares. Each number is there once at most.
///
/// It grows by linear hashing: a number that is added splits one bucket at most, so that none costs what a table twice
/// as large does.
#[derive(Debug, Default)]
pub(super) struct Table {
    buckets: Vec<Bucket>,
    /// The numbers whose buckets had no place, behind their hashes' bits in reverse: those of one bucket stand together.
    others: BTreeSet<(u32, u32)>,
    /// The count of numbers.
    len: usize,
}

/// Numbers whose hashes end alike, in one line of the processor's cache.
#[derive(Debug)]
#[repr(align(64))]
struct Bucket {
    places: [Place; PLACES],
    /// The count of its numbers among the others.
    others: u32,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// The last bits of the hash.
    bits: u32,
    /// [`NONE`] if the place is free.
    number: u32,
}

impl Place {
    const FREE: Self = Self { bits: 0, number: NONE };
}

impl Bucket {
    const EMPTY: Self = Self { places: [Place::FREE; PLACES], others: 0 };
}

impl Table {
    /// Returns the number of this hash for which `is` holds.
    pub(super) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let bits = hash as u32;
        let Bucket { places, others } = self.buckets.get(self.index(bits))?;
        let is_it = |place: &&Place| place.bits == bits && place.number != NONE && is(place.number);
        let found = places.iter().find(is_it).map(|place| place.number);
        if found.is_some() || *others == 0 {
            return found;
        }
        let bits = bits.reverse_bits();
        self.others.range((bits, 0)..=(bits, NONE)).map(|(_, number)| *number).find(|number| is(*number))
    }

    /// Adds a number that is not there.
    pub(super) fn add(&mut self, number: u32, hash: u64) {
        self.len += 1;
        if self.buckets.len() * LOAD < self.len {
            self.split();
        }
        self.put(Place { bits: hash as u32, number });
    }

    /// Removes a number of this hash, if it is there.
    pub(super) fn remove(&mut self, number: u32, hash: u64) {
        let bits = hash as u32;
        let index = self.index(bits);
        let Some(Bucket { places, others }) = self.buckets.get_mut(index) else { return };
        if let Some(place) = places.iter_mut().find(|place| place.number == number) {
            *place = Place::FREE;
        } else if *others > 0 && self.others.remove(&(bits.reverse_bits(), number)) {
            *others -= 1;
        } else {
            return;
        }
        self.len -= 1;
    }

    /// Returns the bucket of a hash: that of its last bits, as many as the number of the last bucket has; of one bit less
    /// where there is no such bucket yet.
    const fn index(&self, bits: u32) -> usize {
        let count = self.buckets.len();
        let mask = count.next_power_of_two() - 1;
        let index = (bits as usize) & mask;
        if index < count { index } else { index & (mask >> 1) }
    }

    /// Adds a bucket, and moves to it those of another that belong there.
    fn split(&mut self) {
        let new = self.buckets.len();
        self.buckets.push(Bucket::EMPTY);
        let Some(highest) = new.checked_ilog2() else { return };
        let split = new ^ (1 << highest);
        let Some(bucket) = self.buckets.get_mut(split) else { return };
        let Bucket { places, others } = core::mem::replace(bucket, Bucket::EMPTY);
        places.into_iter().filter(|place| place.number != NONE).for_each(|place| self.put(place));
        if others > 0 {
            let first = (split as u32).reverse_bits();
            let last = first | u32::MAX >> highest;
            let others: Vec<(u32, u32)> = self.others.range((first, 0)..=(last, NONE)).copied().collect();
            for (bits, number) in others {
                self.others.remove(&(bits, number));
                self.put(Place { bits: bits.reverse_bits(), number });
            }
        }
    }

    /// Puts a number into a free place of its bucket, or to the others.
    fn put(&mut self, new: Place) {
        let index = self.index(new.bits);
        let Some(Bucket { places, others }) = self.buckets.get_mut(index) else { return };
        match places.iter_mut().find(|place| place.number == NONE) {
            Some(place) => *place = new,
            None => {
                *others += 1;
                self.others.insert((new.bits.reverse_bits(), new.number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;
    use crate::hub::digest::digest;

    /// Hashes of which some are equal, others end alike, and the rest look random.
    fn hash(number: u32) -> u64 {
        match number % 4 {
            0 => 5,
            1 => u64::from(number) << 16,
            _ => u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7,
        }
    }

    fn found(table: &Table, numbers: core::ops::Range<u32>) -> Vec<u32> {
        numbers.filter_map(|number| table.find(hash(number), |found| found == number)).collect()
    }

    #[test]
    fn numbers_are_found_until_they_are_removed() {
        let mut table = Table::default();
        assert_eq!(found(&table, 0..10), []);
        table.remove(3, hash(3));
        let mut expected = BTreeSet::new();
        for round in 0..5 {
            for number in 0..600 {
                if expected.insert(number) {
                    table.add(number, hash(number));
                }
                let removed = (number * 7 + round) % 600;
                if number % 3 > 0 {
                    table.remove(removed, hash(removed));
                    expected.remove(&removed);
                }
                assert_eq!(table.len, expected.len());
            }
            assert!(!table.others.is_empty());
            assert_eq!(found(&table, 0..600), expected.iter().copied().collect::<Vec<_>>());
        }
        (0..600).for_each(|number| table.remove(number, hash(number)));
        assert!(table.len == 0 && table.others.is_empty() && table.buckets.iter().all(|bucket| bucket.others == 0));
    }

    #[test]
    fn a_number_is_found_by_its_hash_and_what_it_stands_for() {
        let mut table = Table::default();
        (0..20).for_each(|number| table.add(number, 7));
        for number in [3, 17] {
            assert_eq!((table.find(7, |found| found == number), table.find(8, |_| true)), (Some(number), None));
        }
        assert_eq!(table.find(7, |found| found == 20), None);
    }

    #[test]
    fn few_numbers_find_no_place_at_any_size() {
        let mut table = Table::default();
        for number in 0..20_000 {
            table.add(number, digest(&[&number.to_string()]));
            assert_eq!(table.buckets.len(), (number as usize + 1).div_ceil(LOAD));
            assert!(table.others.len() * 20 <= table.len.max(400), "{number}");
        }
        assert_eq!(size_of::<Bucket>(), 64);
    }
}

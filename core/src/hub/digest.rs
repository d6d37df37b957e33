//! A fast digest of texts.

/// An odd number whose bits look random.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns a number by which lists of texts are told apart. Lists that differ by chance have one digest once in 2^64;
/// whoever looks for two of one digest finds them.
///
/// Digests are stored, so they never change.
pub(super) fn digest(texts: &[&str]) -> u64 {
    texts.iter().fold(FACTOR, |digest, text| {
        let digest = text.as_bytes().chunks(8).fold(digest, |digest, bytes| mix(digest ^ word(bytes)));
        mix(digest ^ text.len() as u64)
    })
}

fn word(bytes: &[u8]) -> u64 {
    match bytes.try_into() {
        Ok(bytes) => u64::from_le_bytes(bytes),
        Err(_) => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Makes each bit depend on all bits.
const fn mix(number: u64) -> u64 {
    let product = (number as u128) * (FACTOR as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, string::String, vec, vec::Vec};

    use super::*;

    #[test]
    fn digests_stay_as_they_were_stored() {
        let digests = [digest(&[]), digest(&[""]), digest(&["ann", "Hello, world!"]), digest(&["ann\n", "äöü€😀"])];
        assert_eq!(
            digests,
            [
                11_400_714_819_323_198_485,
                13_730_537_811_256_138_321,
                16_031_937_912_683_234_327,
                15_148_960_630_532_203_920
            ]
        );
    }

    #[test]
    fn texts_that_differ_little_have_digests_that_differ_in_about_half_of_the_bits() {
        let base: Vec<u8> = (0..40).map(|number| b'a' + number % 26).collect();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let of = |text: &str| digest(&["ann", text]);
        let before = of(&text(base.clone()));
        let mut differing = 0;
        for place in 0..base.len() {
            let mut other = base.clone();
            other[place] ^= 1;
            differing += (of(&text(other)) ^ before).count_ones();
        }
        assert!((28..=36).contains(&(differing / 40)), "{differing}");
    }

    #[test]
    fn the_ends_of_texts_count() {
        let lists = [
            vec!["ab", "c"],
            vec!["a", "bc"],
            vec!["abc"],
            vec!["abc", ""],
            vec!["", "abc"],
            vec!["abc\0"],
            vec!["abc\0\0\0\0\0"],
            vec!["abc\0\0\0\0\0\0"],
        ];
        let digests: BTreeMap<u64, _> = lists.iter().map(|list| (digest(list), list)).collect();
        assert_eq!(digests.len(), lists.len());
    }
}

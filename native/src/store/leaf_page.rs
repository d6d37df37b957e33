//! The unused parts of a page of SQLite's file format.

/// The type of a page that has rows of a table, in its first byte.
const TABLE_LEAF: u8 = 13;

/// The page number from which the first byte of another kind of page, which begins with a page number, may look like
/// [`TABLE_LEAF`].
pub(super) const TOO_MANY_PAGES: u32 = (TABLE_LEAF as u32) << 24;

/// Overwrites the unused parts of a page with rows, and returns whether there was anything in them. Other pages, and
/// ones whose header is not sound, are left as they are.
///
/// SQLite overwrites a row that is deleted or moved, but where it spreads the rows of a page over others and builds the
/// page anew, what lies between the row pointers and the first row stays as it was: a copy of rows that have moved.
pub(super) fn clear_unused(page: &mut [u8]) -> bool {
    let Some(unused) = unused(page) else { return false };
    let mut had_any = false;
    for (start, end) in unused {
        if let Some(part) = page.get_mut(start..end)
            && part.iter().any(|byte| *byte != 0)
        {
            part.fill(0);
            had_any = true;
        }
    }
    had_any
}

/// Returns the unused parts of a page with rows: the gap before the rows, and the free blocks between them without
/// their headers.
fn unused(page: &[u8]) -> Option<Vec<(usize, usize)>> {
    const HEADER: usize = 8;
    let number = |at: usize| page.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes).map(usize::from);
    if page.first() != Some(&TABLE_LEAF) {
        return None;
    }
    let rows = HEADER + 2 * number(3)?;
    // The format encodes 65536 as 0.
    let content = if number(5)? == 0 { 1 << 16 } else { number(5)? };
    if content < rows || content > page.len() {
        return None;
    }
    let mut unused = vec![(rows, content)];
    let (mut block, mut end) = (number(1)?, content);
    while block != 0 {
        let (next, size) = (number(block)?, number(block + 2)?);
        // They are in ascending order, so this ends.
        if block < end || size < 4 || block + size > page.len() {
            return None;
        }
        end = block + size;
        unused.push((block + 4, end));
        block = next;
    }
    Some(unused)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of 64 bytes with two rows at its end, one free block of 8 bytes between them, and `rest` elsewhere.
    fn page(rest: u8) -> Vec<u8> {
        let mut page = vec![rest; 64];
        page[..8].copy_from_slice(&[13, 0, 50, 0, 2, 0, 40, 0]);
        page[8..12].copy_from_slice(&[0, 40, 0, 58]);
        page[40..50].fill(1);
        page[50..54].copy_from_slice(&[0, 0, 0, 8]);
        page[58..].fill(2);
        page
    }

    #[test]
    fn the_gap_and_the_free_blocks_are_cleared_and_nothing_else() {
        let mut some = page(7);
        assert!(clear_unused(&mut some));
        assert_eq!(some, page(0));
        assert!(!clear_unused(&mut some));
    }

    #[test]
    fn pages_of_other_kinds_and_unsound_ones_are_left_alone() {
        let changes: [(usize, u8); 8] = [
            // An index, a table's inner page, the number of a page.
            (0, 10),
            (0, 5),
            (0, 0),
            // Rows that begin in the row pointers or after the end.
            (6, 11),
            (5, 1),
            // A free block before the rows, one that ends after the page, one that is followed by itself.
            (2, 30),
            (53, 20),
            (51, 50),
        ];
        for (at, byte) in changes {
            let mut some = page(7);
            some[at] = byte;
            let before = some.clone();
            assert!(!clear_unused(&mut some), "{at} {byte}");
            assert_eq!(some, before);
        }
        for length in 0..58 {
            let mut short = page(7)[..length].to_vec();
            let before = short.clone();
            assert!(!clear_unused(&mut short));
            assert_eq!(short, before);
        }
    }
}

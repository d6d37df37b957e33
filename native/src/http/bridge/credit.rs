//! The page's credit: flow control from the bridge to the page.

/// The bytes that the bridge may read from TCP for one page. A page cannot hold its WebSocket's messages back, so
/// without this a fast server would fill the browser's memory.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Credit {
    left: u64,
    /// Bytes sent beyond the credit, deducted from the next grants.
    owed: u64,
}

/// An error for a grant beyond [`Credit::MAX`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

impl Credit {
    /// The credit of a new connection, in bytes.
    pub(super) const INITIAL: u64 = 1 << 20;
    /// The most unused credit in bytes.
    pub(super) const MAX: u64 = 16 << 20;
    /// The most bytes per read.
    pub(super) const READ: u64 = 64 << 10;

    pub(super) fn new() -> Self {
        Self { left: Self::INITIAL, owed: 0 }
    }

    /// Adds a grant. Above [`Self::MAX`] nothing is added.
    pub(super) fn grant(&mut self, bytes: u64) -> Result<(), TooMuch> {
        let paid = bytes.min(self.owed);
        match self.left.checked_add(bytes - paid) {
            Some(left) if left <= Self::MAX => {
                self.left = left;
                self.owed -= paid;
                Ok(())
            }
            _ => Err(TooMuch),
        }
    }

    /// Returns the bytes that the next read may take; 0 while the page has to grant some first.
    pub(super) fn next_read(&self) -> usize {
        // At most 64 Ki, which every `usize` holds.
        self.left.min(Self::READ) as usize
    }

    /// Returns whether nothing may be sent until the page grants more.
    pub(super) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// Deducts sent bytes, possibly more than the credit.
    pub(super) fn overdraw(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.owed += bytes.saturating_sub(self.left);
        self.left = self.left.saturating_sub(bytes);
    }

    /// Deducts read bytes.
    pub(super) fn spend(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.next_read());
        self.left = self.left.saturating_sub(bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mebibyte_can_be_read_and_not_a_byte_more() {
        let mut credit = Credit::new();
        let mut total = 0;
        for _ in 0..100 {
            let read = credit.next_read().min(60_000);
            credit.spend(read);
            total += read;
        }
        assert_eq!(total, 1 << 20);
        credit.grant(1).unwrap();
        assert_eq!(credit.next_read(), 1);
        credit.spend(1);
        assert_eq!(credit.next_read(), 0);
    }

    #[test]
    fn overdrawn_credit_is_repaid_first() {
        let mut credit = Credit::new();
        credit.overdraw((1 << 20) + 100);
        assert!(credit.is_spent());
        credit.grant(100).unwrap();
        assert!(credit.is_spent());
        credit.grant(1 << 20).unwrap();
        assert_eq!(credit, Credit::new());
    }

    #[test]
    fn one_read_takes_at_most_64_kib() {
        assert_eq!(Credit::new().next_read(), 65_536);
    }

    #[test]
    fn sixteen_mebibytes_may_be_outstanding_and_not_a_byte_more() {
        let mut credit = Credit::new();
        credit.grant(15 << 20).unwrap();
        assert_eq!(credit.grant(1), Err(TooMuch));
        credit.grant(0).unwrap();
        credit.spend(10);
        assert_eq!(credit.grant(11), Err(TooMuch));
        credit.grant(10).unwrap();
        assert_eq!(credit.grant(u64::MAX), Err(TooMuch));
        assert_eq!(credit.next_read(), 65_536);
    }
}

//! The names that belong to accounts.

use alloc::collections::BTreeMap;

use super::changes::uncount;
use crate::wire::{AccountName, ChannelName};

/// The names that accounts have hosted. A name stays its account's when it is taken off the list, so that no other host
/// has what is stored under it.
#[derive(Debug, Default)]
pub(super) struct Owners {
    by_name: BTreeMap<ChannelName, AccountName>,
    counts: BTreeMap<AccountName, usize>,
}

impl Owners {
    /// Returns the account that a name belongs to.
    pub(super) fn of(&self, channel_name: &ChannelName) -> Option<&AccountName> {
        self.by_name.get(channel_name)
    }

    /// Returns the number of names that belong to an account.
    pub(super) fn count(&self, account: &AccountName) -> usize {
        self.counts.get(account).copied().unwrap_or(0)
    }

    /// Gives a name to an account, or to none.
    pub(super) fn set(&mut self, channel_name: &ChannelName, account: Option<&AccountName>) {
        if self.of(channel_name) == account {
            return;
        }
        let before = match account {
            Some(account) => {
                *self.counts.entry(account.clone()).or_default() += 1;
                self.by_name.insert(channel_name.clone(), account.clone())
            }
            None => self.by_name.remove(channel_name),
        };
        uncount(&mut self.counts, before);
    }
}

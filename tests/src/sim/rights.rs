//! The rights that a server has had during a run, and what they allow.

use std::sync::Arc;

use chanwire_core::{
    rights::{Account, Action, GuestPolicy, Principal, Rights, Rule},
    wire::{AccountName, ChannelName, Username},
};
use fastrand::Rng;

use crate::accounts::ACCOUNTS;

/// All rights that were in force, oldest first. A request is decided by those of a moment between its arrival and its
/// answer.
#[derive(Debug)]
pub(super) struct RightsHistory(Vec<Arc<Rights>>);

/// The one who asks, and the rights by which it may have been decided.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    account: Option<AccountName>,
    rights: Vec<Arc<Rights>>,
}

impl RightsHistory {
    /// Makes the history of a server that starts with these rights.
    pub(super) fn new(rights: Arc<Rights>) -> Self {
        Self(vec![rights])
    }

    pub(super) fn push(&mut self, rights: Arc<Rights>) {
        self.0.push(rights);
    }

    /// Returns the number of the rights in force.
    pub(super) const fn latest(&self) -> usize {
        self.0.len() - 1
    }

    /// Returns what is asked by a guest or an account, and decided by the rights of number `from` or later ones.
    pub(super) fn asked(&self, account: Option<&AccountName>, from: usize) -> Asked {
        Asked { account: account.cloned(), rights: self.0.get(from..).unwrap_or_default().to_vec() }
    }
}

impl Asked {
    /// Returns the one who asks.
    fn principal(&self) -> Principal<'_> {
        self.account.as_ref().map_or(Principal::Guest, Principal::Account)
    }

    /// Returns whether it was allowed at some moment.
    pub(super) fn is_allowed(&self, action: Action, channel_name: &ChannelName) -> bool {
        self.rights.iter().any(|rights| rights.may(self.principal(), action, channel_name))
    }

    /// Returns whether it was not allowed at some moment.
    pub(super) fn is_refused(&self, action: Action, channel_name: &ChannelName) -> bool {
        self.rights.iter().any(|rights| !rights.may(self.principal(), action, channel_name))
    }

    /// Returns whether a username was another's at some moment.
    pub(super) fn is_name_refused(&self, username: &Username) -> bool {
        self.rights.iter().any(|rights| !rights.may_use_name(self.principal(), username))
    }

    /// Returns whether a username could be used at some moment.
    pub(super) fn is_name_allowed(&self, username: &Username) -> bool {
        self.rights.iter().any(|rights| rights.may_use_name(self.principal(), username))
    }

    /// Returns whether an account existed at some moment.
    pub(super) fn has_account(&self, account: &AccountName) -> bool {
        self.rights.iter().any(|rights| rights.accounts.contains_key(account))
    }

    /// Returns whether an account was missing at some moment, or has changed.
    pub(super) fn account_changed(&self, account: &AccountName) -> bool {
        let mut known = self.rights.iter().map(|rights| rights.accounts.get(account));
        let first = known.next().flatten();
        first.is_none() || known.any(|later| later != first)
    }

    /// Returns whether a view of the channels that it may read was this, for the rights of one moment.
    pub(super) fn is_view(&self, is: impl Fn(&dyn Fn(&ChannelName) -> bool) -> bool) -> bool {
        let mut views = self.rights.iter();
        views.any(|rights| is(&|name| rights.may(self.principal(), Action::Read, name)))
    }
}

/// Draws rights: which accounts there are, with which revisions, and rules for some channels.
pub(super) fn draw(names: &[&str], rng: &mut Rng) -> Arc<Rights> {
    let mut rights = Rights::default();
    for (name, _) in ACCOUNTS {
        let Ok(name) = name.parse::<AccountName>() else { continue };
        if rng.u8(0..6) > 0 {
            let revision = rng.u64(0..6) / 5;
            rights.accounts.insert(name, Account { revision, ..Account::default() });
        }
    }
    for name in names {
        if rng.u8(0..3) == 0 {
            let Ok(channels) = name.parse() else { continue };
            let mut subjects = || match rng.u8(0..5) {
                0 => vec![],
                1 => vec!["ann"],
                2 => vec!["accounts"],
                3 => vec!["ann", "bob"],
                _ => vec!["guests"],
            };
            let mut parsed = || subjects().into_iter().filter_map(|subject| subject.parse().ok()).collect();
            rights.rules.push(Rule { channels, read: parsed(), write: parsed(), host: parsed() });
        }
    }
    rights.guests = match rng.u8(0..6) {
        0 => GuestPolicy::Read,
        1 => GuestPolicy::None,
        _ => GuestPolicy::All,
    };
    Arc::new(rights)
}

//! Rights: who may read, write and host which channels.
//!
//! [`Rights`] has the accounts, without their secrets, and the rules of the configuration. One pure function,
//! [`may`](Rights::may), is asked by every command, push and list; another, [`Standing::may`], says what the roles and
//! settings of a channel allow.

mod moderation;
mod pattern;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::{fmt, str::FromStr};

pub use moderation::{ChannelAction, Standing};
pub use pattern::{NotAPattern, Pattern};

use crate::wire::{AccountName, ChannelName, NotAName, Username};

/// The accounts of a server and the rights of everybody.
///
/// The first rule whose pattern matches a channel's name decides; the rights to a channel without one are those of
/// [`GuestPolicy`]. By default there are no accounts and no rules, and guests have all rights.
///
/// - Operators have all rights.
/// - An account has the rights of a guest and those of its own.
/// - Whoever may not read a channel may neither write to it nor host it.
///
/// ```
/// use chanwire_core::rights::{Account, Action, Principal, Rights, Rule};
///
/// let mut rights = Rights::default();
/// rights.accounts.insert("ann".parse()?, Account { groups: ["staff".parse()?].into(), ..Account::default() });
/// rights.rules.push(Rule {
///     channels: "staff-*".parse()?,
///     read: vec!["@staff".parse()?],
///     write: vec!["ann".parse()?],
///     host: vec![],
/// });
///
/// let (channel_name, ann) = ("staff-lounge".parse()?, "ann".parse()?);
/// assert!(!rights.may(Principal::Guest, Action::Read, &channel_name));
/// assert!(rights.may(Principal::Account(&ann), Action::Write, &channel_name));
/// assert!(!rights.may(Principal::Account(&ann), Action::Host, &channel_name));
/// assert!(rights.may(Principal::Guest, Action::Host, &"general".parse()?));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a configuration builds it")]
pub struct Rights {
    /// The accounts.
    pub accounts: BTreeMap<AccountName, Account>,
    /// The rules, in order.
    pub rules: Vec<Rule>,
    /// The rights of guests to channels without a rule.
    pub guests: GuestPolicy,
}

/// An account, without its secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a configuration builds it")]
pub struct Account {
    /// The groups that it belongs to.
    pub groups: BTreeSet<GroupName>,
    /// Whether it has all rights.
    pub is_operator: bool,
    /// A number that is another after each change of its password or tokens. A change ends the account's connections.
    pub revision: u64,
}

/// A rule: who has which rights to the channels whose names match a pattern. Operators have every right, also where a
/// list is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a configuration builds it")]
pub struct Rule {
    /// The pattern.
    pub channels: Pattern,
    /// Those who may read: see it listed, and get its messages.
    pub read: Vec<Subject>,
    /// Those who may write to it.
    pub write: Vec<Subject>,
    /// Those who may host it.
    pub host: Vec<Subject>,
}

/// The rights of guests to channels without a rule. Accounts have all rights to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a configuration names every one")]
pub enum GuestPolicy {
    /// All.
    #[default]
    All,
    /// To read.
    Read,
    /// None.
    None,
}

/// One or many to whom a rule gives a right: `guests`, which is everybody, `accounts`, an account, or `@` and a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol of rules fixes them")]
pub enum Subject {
    /// Everybody: an account has no fewer rights than a guest.
    Guests,
    /// Every account.
    Accounts,
    /// One account.
    Account(AccountName),
    /// Every account of a group.
    Group(GroupName),
}

/// The name of a group of accounts. It has the form of an account's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(AccountName);

/// The one who asks for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are no others")]
pub enum Principal<'a> {
    /// A connection that is not signed in.
    Guest,
    /// A connection that is signed in to an account. One that does not exist has the rights of a guest.
    Account(&'a AccountName),
    /// The operator's connection.
    Operator,
}

/// A right to a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are no others")]
pub enum Action {
    /// LIST shows it; JOIN, HISTORY, pushes.
    Read,
    /// MESSAGE.
    Write,
    /// HOST, UNHOST.
    Host,
}

impl Rights {
    /// Returns whether `principal` has the right to this channel, whether or not the channel exists.
    #[must_use]
    pub fn may(&self, principal: Principal<'_>, action: Action, channel_name: &ChannelName) -> bool {
        self.may_by(self.rule_of(channel_name), principal, action)
    }

    /// Returns the number of the first rule whose pattern matches a name.
    pub(crate) fn rule_of(&self, channel_name: &ChannelName) -> Option<usize> {
        self.rules.iter().position(|rule| rule.channels.matches(channel_name))
    }

    /// Returns whether `principal` has the right to the channels of the rule of this number, or of none.
    pub(crate) fn may_by(&self, rule: Option<usize>, principal: Principal<'_>, action: Action) -> bool {
        let account = match principal {
            Principal::Operator => return true,
            Principal::Guest => None,
            Principal::Account(name) => self.accounts.get_key_value(name),
        };
        if account.is_some_and(|(_, account)| account.is_operator) {
            return true;
        }
        let Some(rule) = rule.and_then(|rule| self.rules.get(rule)) else {
            return account.is_some() || self.guests.allows(action);
        };
        let has = |subjects: &[Subject]| subjects.iter().any(|subject| subject.includes(account));
        has(&rule.read)
            && match action {
                Action::Read => true,
                Action::Write => has(&rule.write),
                Action::Host => has(&rule.host),
            }
    }

    /// Returns the channels that a principal may read.
    pub(crate) fn view(&self, principal: Principal<'_>) -> View {
        let may_read = |rule| self.may_by(rule, principal, Action::Read);
        View { without_rule: may_read(None), rules: (0..self.rules.len()).map(|rule| may_read(Some(rule))).collect() }
    }

    /// Returns whether messages may be sent under this username: the name of an account, whatever the case of its letters,
    /// is that account's alone.
    #[must_use]
    pub fn may_use_name(&self, principal: Principal<'_>, username: &Username) -> bool {
        match self.owner_of(username) {
            Some(owner) => principal == Principal::Account(owner),
            None => true,
        }
    }

    /// Returns the account whose name this username is, whatever the case of its letters.
    fn owner_of(&self, username: &Username) -> Option<&AccountName> {
        if self.accounts.is_empty() {
            return None;
        }
        self.accounts.get_key_value(username.to_ascii_lowercase().as_str()).map(|(name, _)| name)
    }

    /// Returns whether an account is an operator's.
    #[must_use]
    pub fn is_operator(&self, account: &AccountName) -> bool {
        self.accounts.get(account).is_some_and(|account| account.is_operator)
    }
}

/// The channels that a principal may read, by the rules.
///
/// Principals with equal views are shown equal lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct View {
    /// Whether those without a rule are among them.
    without_rule: bool,
    /// Whether those of each rule are.
    rules: Vec<bool>,
}

impl View {
    /// Returns whether the channels of the rule of this number, or of none, are among them.
    pub(crate) fn has(&self, rule: Option<usize>) -> bool {
        match rule {
            None => self.without_rule,
            Some(rule) => self.rules.get(rule).copied().unwrap_or(false),
        }
    }

    /// Returns the rules whose channels are among them; `None` stands for those without a rule.
    pub(crate) fn rules(&self) -> impl Iterator<Item = Option<usize>> {
        let rules = self.rules.iter().enumerate().filter(|(_, has)| **has).map(|(rule, _)| Some(rule));
        self.without_rule.then_some(None).into_iter().chain(rules)
    }
}

impl GuestPolicy {
    const fn allows(self, action: Action) -> bool {
        match self {
            Self::All => true,
            Self::Read => matches!(action, Action::Read),
            Self::None => false,
        }
    }
}

impl Subject {
    /// Returns whether it includes this account, or a guest.
    fn includes(&self, account: Option<(&AccountName, &Account)>) -> bool {
        match (self, account) {
            (Self::Guests, _) | (Self::Accounts, Some(_)) => true,
            (Self::Account(wanted), Some((name, _))) => wanted == name,
            (Self::Group(group), Some((_, account))) => account.groups.contains(group),
            (_, None) => false,
        }
    }
}

impl FromStr for Subject {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        match text.strip_prefix('@') {
            Some(group) => group.parse().map(Self::Group),
            None if text == "guests" => Ok(Self::Guests),
            None if text == "accounts" => Ok(Self::Accounts),
            None => text.parse().map(Self::Account),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guests => f.write_str("guests"),
            Self::Accounts => f.write_str("accounts"),
            Self::Account(name) => name.fmt(f),
            Self::Group(group) => write!(f, "@{group}"),
        }
    }
}

impl FromStr for GroupName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        text.parse().map(Self)
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

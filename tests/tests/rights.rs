//! Laws of rights: patterns agree with a naive matcher, decisions with a model that is a table of who is listed where.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;

use chanwire_core::{
    rights::{Account, Action, GuestPolicy, Pattern, Principal, Rights, Rule, Subject},
    wire::{AccountName, ChannelName, Username},
};
use chanwire_tests::generate::times;
use proptest::{collection::vec, prelude::*, sample::select};

const ACTIONS: [Action; 3] = [Action::Read, Action::Write, Action::Host];

/// Returns whether a text matches, by trying each length of text for a `*`.
fn naive(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|length| naive(rest, text.get(length..).unwrap_or_default())),
        Some((first, rest)) => text.split_first().is_some_and(|(one, others)| one == first && naive(rest, others)),
    }
}

fn pattern() -> impl Strategy<Value = Pattern> {
    "[ab*é]{1,8}".prop_map(|text| text.parse().unwrap())
}

fn channel_name() -> impl Strategy<Value = ChannelName> {
    "[abé*]{1,8}".prop_map(|text| text.parse().unwrap())
}

fn subjects() -> impl Strategy<Value = Vec<Subject>> {
    let subjects = ["guests", "accounts", "ann", "bob", "@staff", "@ops"].map(|text| text.parse().unwrap());
    vec(select(subjects.to_vec()), 0..3)
}

fn rule() -> impl Strategy<Value = Rule> {
    let lists = (subjects(), subjects(), subjects());
    (pattern(), lists).prop_map(|(channels, (read, write, host))| Rule { channels, read, write, host })
}

fn account() -> impl Strategy<Value = Account> {
    (vec(select(vec!["staff", "ops"]), 0..3), proptest::bool::weighted(0.2)).prop_map(|(groups, is_operator)| {
        let groups = groups.into_iter().map(|name| name.parse().unwrap()).collect();
        Account { groups, is_operator, revision: 0 }
    })
}

fn rights() -> impl Strategy<Value = Rights> {
    let names = select(vec!["ann", "bob", "eve"]).prop_map(|name| name.parse::<AccountName>().unwrap());
    let policies = select(vec![GuestPolicy::All, GuestPolicy::Read, GuestPolicy::None]);
    let accounts = proptest::collection::btree_map(names, account(), 0..4);
    (accounts, vec(rule(), 0..5), policies).prop_map(|(accounts, rules, guests)| Rights { accounts, rules, guests })
}

/// Returns the subjects that a principal is, as texts; `None` for an operator.
fn roles(rights: &Rights, principal: Principal<'_>) -> Option<BTreeSet<String>> {
    let mut roles = BTreeSet::from(["guests".to_owned()]);
    let Principal::Account(name) = principal else { return (principal == Principal::Guest).then_some(roles) };
    let Some(account) = rights.accounts.get(name) else { return Some(roles) };
    if account.is_operator {
        return None;
    }
    roles.extend(["accounts".to_owned(), name.to_string()]);
    roles.extend(account.groups.iter().map(|group| format!("@{group}")));
    Some(roles)
}

/// Returns the actions that a principal may do, by the model.
fn model(rights: &Rights, principal: Principal<'_>, name: &ChannelName) -> [bool; 3] {
    let Some(roles) = roles(rights, principal) else { return [true; 3] };
    let text: Vec<char> = name.chars().collect();
    for rule in &rights.rules {
        if naive(&rule.channels.as_str().chars().collect::<Vec<_>>(), &text) {
            let [read, write, host] = [&rule.read, &rule.write, &rule.host]
                .map(|list| list.iter().any(|subject| roles.contains(&subject.to_string())));
            return [read, read && write, read && host];
        }
    }
    match rights.guests {
        _ if roles.contains("accounts") => [true; 3],
        GuestPolicy::All => [true; 3],
        GuestPolicy::Read => [true, false, false],
        GuestPolicy::None => [false; 3],
    }
}

proptest! {
    #![proptest_config(times(1000))]

    #[test]
    fn a_pattern_matches_what_the_naive_one_does(pattern in pattern(), name in channel_name()) {
        let (characters, text): (Vec<_>, Vec<_>) = (pattern.as_str().chars().collect(), name.chars().collect());
        prop_assert_eq!(pattern.matches(&name), naive(&characters, &text));
    }

    #[test]
    fn decisions_agree_with_the_model(rights in rights(), name in channel_name()) {
        let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| name.parse::<AccountName>().unwrap());
        let accounts = [&ann, &bob, &eve].map(Principal::Account);
        for principal in accounts.into_iter().chain([Principal::Guest, Principal::Operator]) {
            let decided = ACTIONS.map(|action| rights.may(principal, action, &name));
            prop_assert_eq!(decided, model(&rights, principal, &name), "{:?}", principal);
        }
    }

    #[test]
    fn no_principal_has_fewer_rights_than_a_guest(rights in rights(), name in channel_name()) {
        let ann = "ann".parse().unwrap();
        for action in ACTIONS {
            if rights.may(Principal::Guest, action, &name) {
                prop_assert!(rights.may(Principal::Account(&ann), action, &name));
                prop_assert!(rights.may(Principal::Operator, action, &name));
            }
        }
    }

    #[test]
    fn a_name_is_its_account_s_alone(rights in rights(), username in "[aAnNbBoO]{3}|zoe") {
        let owner = rights.accounts.keys().find(|name| username.eq_ignore_ascii_case(name));
        let username: Username = username.parse().unwrap();
        let [ann, bob] = ["ann", "bob"].map(|name| name.parse().unwrap());
        for principal in [Principal::Guest, Principal::Operator, Principal::Account(&ann), Principal::Account(&bob)] {
            let allowed = owner.is_none_or(|owner| principal == Principal::Account(owner));
            prop_assert_eq!(rights.may_use_name(principal, &username), allowed);
        }
    }
}

#[test]
fn by_default_everybody_may_do_everything_and_no_name_is_reserved() {
    let (rights, name, ann) = (Rights::default(), "general".parse().unwrap(), "ann".parse().unwrap());
    for principal in [Principal::Guest, Principal::Operator] {
        assert_eq!(ACTIONS.map(|action| rights.may(principal, action, &name)), [true; 3]);
        assert!(rights.may_use_name(principal, &ann));
    }
}

#[test]
fn subjects_and_patterns_are_read_as_they_are_written() {
    for text in ["guests", "accounts", "ann", "@staff", "guests2"] {
        assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
    }
    assert_eq!("guests".parse(), Ok(Subject::Guests));
    for text in ["", "@", "@@staff", "Ann", "@ staff"] {
        assert!(text.parse::<Subject>().is_err(), "{text}");
    }
    assert!("".parse::<Pattern>().is_err());
    assert!("*".repeat(Pattern::MAX).parse::<Pattern>().is_ok());
    assert!("é".repeat(Pattern::MAX + 1).parse::<Pattern>().is_err());
}

//! The rules of rights, and what is wrong with them as a whole.

use std::collections::BTreeSet;

use chanwire_core::{
    rights::{Pattern, Rule, Subject},
    wire::ChannelName,
};

use super::suggest::closest;
use crate::accounts::Accounts;

/// Returns whether a channel's name can match a pattern.
pub(super) fn can_match(pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return ChannelName::try_from(pattern).is_ok() };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let middle = middle.replace('*', "");
    // A name neither begins nor ends with white space, and has a character.
    let fill = |is_end: bool| if is_end { &["", "a"][..] } else { &[""] };
    let mut starts = fill(first.is_empty()).iter();
    starts.any(|start| {
        let mut ends = fill(last.is_empty()).iter();
        ends.any(|end| ChannelName::try_from(format!("{start}{first}{middle}{last}{end}")).is_ok())
    })
}

/// Returns whether every name that matches `other` matches `pattern`, too, as far as one trial can tell.
fn covers(pattern: &Pattern, other: &Pattern) -> bool {
    // A character that the pattern has not itself: only its `*` matches it, as that would match any text.
    let Some(any) = ('\u{e000}'..'\u{f8ff}').find(|char| !pattern.as_str().contains(*char)) else { return false };
    let trial = other.as_str().replace('*', any.encode_utf8(&mut [0; 4]));
    ChannelName::try_from(trial).is_ok_and(|trial| pattern.matches(&trial))
}

/// Returns the numbers of rules that never decide, each with that of an earlier one that matches all of its channels.
pub(super) fn shadowed(rules: &[Rule]) -> Vec<(usize, usize)> {
    let of = |(index, rule): (usize, &Rule)| {
        let earlier = rules.iter().take(index).position(|earlier| covers(&earlier.channels, &rule.channels))?;
        Some((index, earlier))
    };
    rules.iter().enumerate().filter_map(of).collect()
}

/// Returns what is wrong with the name of an account or a group, and the one that was meant.
pub(crate) fn unknown(subject: &Subject, accounts: &Accounts) -> Option<(String, Option<String>)> {
    match subject {
        Subject::Guests | Subject::Accounts => None,
        Subject::Account(name) if accounts.contains_key(name) => None,
        Subject::Account(name) => {
            let meant = closest(name, accounts.keys().map(|name| &**name)).map(Into::into);
            Some((format!("there is no account '{name}'"), meant))
        }
        Subject::Group(group) => {
            let groups: BTreeSet<&str> =
                accounts.values().flat_map(|account| &account.groups).map(String::as_str).collect();
            let group = group.to_string();
            if groups.contains(&*group) {
                return None;
            }
            let meant = closest(&group, groups).map(|group| format!("@{group}"));
            Some((format!("no account is in the group '{group}'"), meant))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_no_name_matches_is_found() {
        for (pattern, can) in [
            ("general", true),
            ("*", true),
            ("**", true),
            ("staff-*", true),
            ("* x *", true),
            ("a b", true),
            (" x", false),
            ("x ", false),
            (" *", false),
            ("a\tb*", false),
        ] {
            assert_eq!(can_match(pattern), can, "{pattern:?}");
        }
        for (length, can) in [(64, true), (65, false)] {
            let name = "a".repeat(length);
            for pattern in [name.clone(), format!("*{name}*"), name.replacen('a', "a*", 9)] {
                assert_eq!(can_match(&pattern), can, "{pattern}");
            }
        }
    }

    #[test]
    fn a_rule_behind_one_that_matches_all_of_its_channels_is_found() {
        let rules = |patterns: &[&str]| -> Vec<(usize, usize)> {
            let rule =
                |pattern: &&str| Rule { channels: pattern.parse().unwrap(), read: vec![], write: vec![], host: vec![] };
            shadowed(&patterns.iter().map(rule).collect::<Vec<_>>())
        };
        assert_eq!(rules(&["staff-*", "staff-x", "*", "general"]), [(1, 0), (3, 2)]);
        assert_eq!(rules(&["a*c", "a*b*c", "ab*", "a"]), [(1, 0)]);
        assert_eq!(rules(&["general", "general"]), [(1, 0)]);
        assert_eq!(rules(&["staff-x", "staff-*", "*-x"]), []);
    }
}

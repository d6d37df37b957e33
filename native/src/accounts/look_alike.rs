//! Names that people may take for another.

use chanwire_core::wire::AccountName;

/// Returns the accounts whose names look like this one, itself not among them.
pub(crate) fn look_alikes<'a>(
    name: &AccountName,
    accounts: impl IntoIterator<Item = &'a AccountName>,
) -> Vec<&'a AccountName> {
    let looks = outline(name);
    accounts.into_iter().filter(|other| *other != name && outline(other) == looks).collect()
}

/// Returns the same text for names that look alike.
fn outline(name: &str) -> String {
    let mut outline = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        // Longer ones first.
        let pairs = [("rn", "m"), ("vv", "w"), ("cl", "d"), ("c1", "d")];
        if let Some((pair, like)) = pairs.iter().find(|(pair, _)| rest.starts_with(pair)) {
            outline += like;
            rest = rest.strip_prefix(pair).unwrap_or_default();
            continue;
        }
        match first {
            '.' | '_' | '-' => {}
            '0' => outline.push('o'),
            '1' | 'i' => outline.push('l'),
            '5' => outline.push('s'),
            '2' => outline.push('z'),
            other => outline.push(other),
        }
        // The grammar has one byte for each character.
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
    }
    outline
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> AccountName {
        text.parse().unwrap()
    }

    #[test]
    fn names_that_look_alike_are_found() {
        for (one, other) in [
            ("bob", "b0b"),
            ("alice", "a1ice"),
            ("alice", "aiice"),
            ("mary", "rnary"),
            ("william", "vvilliam"),
            ("dan", "clan"),
            ("dan", "c1an"),
            ("sue", "5ue"),
            ("zoe", "2oe"),
            ("ann.bot", "ann-bot"),
            ("annbot", "ann_bot"),
        ] {
            assert_eq!(look_alikes(&name(one), [&name(other)]), [&name(other)], "{one} {other}");
            assert_eq!(look_alikes(&name(other), [&name(one)]), [&name(one)], "{other} {one}");
        }
    }

    #[test]
    fn other_names_are_not() {
        for (one, other) in [("ann", "bob"), ("ann", "anna"), ("ann", "ann"), ("bob", "bod"), ("r.n", "m")] {
            assert!(look_alikes(&name(one), [&name(other)]).is_empty(), "{one} {other}");
        }
    }
}

//! Suggestions for names that do not exist.

use strsim::damerau_levenshtein;

use super::keys::{Key, Table};

/// Returns the candidate that is most like a text, if one is like it at all.
pub(crate) fn closest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |candidate: &&str| {
        let distance = damerau_levenshtein(text, candidate);
        (distance <= (text.len().max(candidate.len()) / 3).max(1)).then_some(distance)
    };
    let scored = candidates.into_iter().filter_map(|candidate| Some((near(&candidate)?, candidate)));
    scored.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// Returns the key that was meant by a path: its name if it is in the same section, else its path.
pub(super) fn key(table: &Table, path: &str) -> Option<String> {
    let path = path.replace('-', "_").to_lowercase();
    let (section, name) = path.rsplit_once('.').unwrap_or(("", &path));
    let names = |key: &&&'static Key| key.section() == section;
    if let Some(name) = closest(name, table.keys.iter().filter(names).map(|key| key.name())) {
        return Some(name.into());
    }
    // A name in another section, or the flag's name.
    let near = |wanted: &str| {
        let flags: Vec<(String, &str)> = table
            .keys
            .iter()
            .flat_map(|key| {
                let flag = (!key.only_in_file).then(|| (key.flag.replace('-', "_"), key.path));
                [(key.name().into(), key.path)].into_iter().chain(flag)
            })
            .collect();
        let found = closest(wanted, flags.iter().map(|(name, _)| name.as_str()))?.to_owned();
        flags.into_iter().find(|(name, _)| *name == found).map(|(_, path)| path.to_owned())
    };
    near(name)
}

/// Returns the section that was meant.
pub(super) fn section(table: &Table, name: &str) -> Option<String> {
    closest(&name.to_lowercase(), table.sections()).map(Into::into)
}

/// Returns the variable that was meant.
pub(super) fn variable(table: &Table, name: &str, others: &[&str]) -> Option<String> {
    let mut names: Vec<String> = table.with_flags().map(Key::variable).collect();
    names.extend(others.iter().map(|name| (*name).to_owned()));
    // The variable that follows from the path of a key that has another one.
    let derived = |key: &&'static Key| name == format!("CHANWIRE_{}", key.path.replace('.', "_").to_uppercase());
    if let Some(key) = table.with_flags().find(derived) {
        return Some(key.variable());
    }
    closest(name, names.iter().map(String::as_str)).map(Into::into)
}

/// Returns the key that a user names by its path, name, flag or variable.
pub(crate) fn named(table: &Table, name: &str) -> Result<&'static Key, Option<String>> {
    let flag = name.trim_start_matches('-');
    let is_it =
        |key: &&&'static Key| key.path == name || !key.only_in_file && (key.flag == flag || key.variable() == name);
    if let Some(key) = table.keys.iter().find(is_it) {
        return Ok(key);
    }
    Err(key(table, flag).map(|found| {
        let section = name.rsplit_once('.').map(|(section, _)| section);
        match section {
            Some(section) if !found.contains('.') => format!("{section}.{found}"),
            _ => found,
        }
    }))
}

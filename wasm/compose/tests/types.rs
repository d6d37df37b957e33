//! Tests that the types declared to TypeScript are those of the values.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};

use chanwire_inspect::{Direction, Listing, Problem, check, commands};
use serde_json::Value;

const TYPES: &str = include_str!("../src/types.d.ts");

/// Returns the members of each interface, and whether each may be absent.
fn declared() -> BTreeMap<&'static str, BTreeMap<&'static str, bool>> {
    let mut interfaces = BTreeMap::new();
    let mut members: Option<(&str, BTreeMap<_, _>)> = None;
    for line in TYPES.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("export interface ") {
            members = Some((name.trim_end_matches(" {"), BTreeMap::new()));
        } else if line == "}" {
            interfaces.extend(members.take());
        } else if let (Some((_, members)), Some((name, _)), false) =
            (&mut members, line.split_once(": "), line.starts_with(['/', '*']))
        {
            members.insert(name.trim_end_matches('?'), name.ends_with('?'));
        }
    }
    interfaces
}

/// Checks a value against its interface, and notes each optional member that was there.
fn assert_declared(value: &Value, interface: &'static str, seen: &mut BTreeSet<(&'static str, String)>) {
    let declared = declared().remove(interface).unwrap_or_else(|| panic!("no interface {interface}"));
    let members = value.as_object().unwrap();
    for (name, inner) in members {
        let optional = declared.get(name.as_str()).unwrap_or_else(|| panic!("{interface}.{name} is not declared"));
        assert!(!inner.is_null(), "{interface}.{name} is null");
        if *optional {
            seen.insert((interface, name.clone()));
        }
        let nested = match (interface, name.as_str()) {
            (_, "span" | "key" | "value" | "command" | "separator" | "payload") if inner.is_object() => "Span",
            (_, "fault") => "Fault",
            ("CommandForm", "fields") => "CommandField",
            (_, "fields" | "children") => "Field",
            _ => continue,
        };
        match inner {
            Value::Array(elements) => elements.iter().for_each(|element| assert_declared(element, nested, seen)),
            single => assert_declared(single, nested, seen),
        }
    }
    let required: Vec<_> = declared.into_iter().filter(|(_, optional)| !optional).map(|(name, _)| name).collect();
    assert!(required.iter().all(|name| members.contains_key(*name)), "{interface} lacks one of {required:?}: {value}");
}

#[test]
fn every_member_that_leaves_is_declared_and_every_declared_one_leaves() {
    let requests = format!("HOST\r\n{{\"a\": [1{}]}} \nHO?T", ", 1".repeat(chanwire_inspect::MAX_FIELDS));
    let mut rows = check(requests.as_bytes());
    let mut answers = Listing::new(Direction::In, None);
    answers.feed(b"REQUEST_ERROR\r\n{\"error\": \"a\", \"details\": \"b\"}");
    rows.extend(answers.next_row());
    let problem = Problem { field: Some("a".into()), message: "b".into() };
    let mut seen = BTreeSet::new();
    for row in rows {
        assert_declared(&serde_json::to_value(row).unwrap(), "Row", &mut seen);
    }
    for form in commands() {
        assert_declared(&serde_json::to_value(form).unwrap(), "CommandForm", &mut seen);
    }
    assert_declared(&serde_json::to_value(problem).unwrap(), "Problem", &mut seen);
    let optional = declared().into_iter().flat_map(|(interface, members)| {
        members.into_iter().filter(|(_, optional)| *optional).map(move |(name, _)| (interface, name.to_string()))
    });
    assert_eq!(seen, optional.collect());
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(chanwire_compose::version(), env!("CARGO_PKG_VERSION"));
}

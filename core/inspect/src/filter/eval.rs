//! Evaluation of an expression for a row.

use chanwire_core::wire::StartLine as _;

use super::{
    expr::{Expr, Field, Needle, Operator, Test, Value},
    json::{self, Found},
    pattern::Pattern,
    text,
};
use crate::{Direction, Entry, RowKind};

impl Expr {
    pub(super) fn holds(&self, entry: &Entry<'_>) -> bool {
        match self {
            Self::Or(parts) => parts.iter().any(|part| part.holds(entry)),
            Self::And(parts) => parts.iter().all(|part| part.holds(entry)),
            Self::Not(inner) => !inner.holds(entry),
            Self::Test(test) => test.holds(entry),
        }
    }
}

impl Test {
    fn holds(&self, entry: &Entry<'_>) -> bool {
        match self {
            Self::Has(field) => has(field, entry),
            Self::Compare(field, operator, value) => compare(field, *operator, value, entry),
            Self::OneOf(field, values) => values.iter().any(|value| compare(field, Operator::Equal, value, entry)),
            Self::Contains(field, needle) => contains(field, needle, entry),
            Self::Matches(field, pattern) => matches(field, pattern, entry),
        }
    }

    /// Returns the cost of an expression, so that the cheapest is evaluated first.
    fn cost(&self) -> u32 {
        match self {
            Self::Has(Field::Json(_)) => 3,
            Self::Has(_) => 0,
            Self::Compare(field, ..) | Self::OneOf(field, _) | Self::Contains(field, _) => match field {
                Field::Json(_) => 3,
                Field::Text | Field::Bytes => 2,
                Field::Cmd | Field::Status | Field::Err => 1,
                _ => 0,
            },
            Self::Matches(..) => 4,
        }
    }
}

impl Expr {
    fn cost(&self) -> u32 {
        match self {
            Self::Or(parts) | Self::And(parts) => parts.iter().map(Self::cost).max().unwrap_or(0),
            Self::Not(inner) => inner.cost(),
            Self::Test(test) => test.cost(),
        }
    }

    /// Returns the same expression with its cheap parts first.
    pub(super) fn in_order_of_cost(mut self) -> Self {
        match &mut self {
            Self::Or(parts) | Self::And(parts) => {
                let sorted = std::mem::take(parts).into_iter().map(Self::in_order_of_cost);
                parts.extend(sorted);
                parts.sort_by_key(Self::cost);
            }
            Self::Not(inner) => {
                let plain = std::mem::replace(&mut **inner, Self::And(Vec::new()));
                **inner = plain.in_order_of_cost();
            }
            Self::Test(_) => {}
        }
        self
    }
}

fn has(field: &Field, entry: &Entry<'_>) -> bool {
    match field {
        Field::Rtt => entry.rtt().is_some(),
        Field::Push => entry.is_push(),
        Field::Err => entry.is_bad(),
        Field::Cmd => command(entry).is_some(),
        Field::Status => status(entry).is_some(),
        Field::Json(path) => json::any(entry, path, |_| true),
        _ => true,
    }
}

/// Returns the command, or the word in its place where it is not known.
fn command<'a>(entry: &Entry<'a>) -> Option<&'a str> {
    let word = || word_of_fault(entry, Direction::Out);
    entry.command().map(|command| command.name()).or_else(word)
}

fn status<'a>(entry: &Entry<'a>) -> Option<&'a str> {
    let word = || word_of_fault(entry, Direction::In);
    entry.status().map(|status| status.name()).or_else(word)
}

fn word_of_fault<'a>(entry: &Entry<'a>, direction: Direction) -> Option<&'a str> {
    let word = entry.head();
    (entry.kind() == RowKind::Fault && entry.direction() == direction && !word.is_empty()).then_some(word)
}

fn compare(field: &Field, operator: Operator, value: &Value, entry: &Entry<'_>) -> bool {
    match (field, value) {
        (Field::Json(path), _) if operator == Operator::NotEqual => {
            // There is a value, and none of them is the same.
            let mut there = false;
            let same = json::ask(entry, path, |found| {
                there = true;
                compare_found(&found, Operator::Equal, value)
            });
            there && same == Some(false)
        }
        (Field::Json(path), _) => json::any(entry, path, |found| compare_found(&found, operator, value)),
        (_, Value::Number(wanted) | Value::Duration(wanted)) => {
            number(field, entry).is_some_and(|number| order(operator, number.partial_cmp(wanted)))
        }
        (Field::Dir, Value::Direction(wanted)) => equality(operator, entry.direction() == *wanted),
        (Field::Push, Value::Truth(wanted)) => equality(operator, entry.is_push() == *wanted),
        (Field::Bytes, Value::Bytes(wanted)) => equality(operator, entry.bytes() == wanted),
        (Field::Cmd, Value::Text(wanted)) => command(entry).is_some_and(|word| equality(operator, word == wanted)),
        (Field::Status, Value::Text(wanted)) => status(entry).is_some_and(|word| equality(operator, word == wanted)),
        (Field::Err, Value::Text(wanted)) => entry.error().is_some_and(|name| equality(operator, name == *wanted)),
        (Field::Text, Value::Text(wanted)) => equality(operator, text::of(entry) == *wanted),
        // The parser gives each field what it is compared with.
        _ => false,
    }
}

fn number(field: &Field, entry: &Entry<'_>) -> Option<f64> {
    match field {
        Field::No => Some(entry.number() as f64),
        Field::Time => entry.is_timed().then(|| entry.time()),
        Field::Delta => entry.delta(),
        Field::Rtt => entry.rtt(),
        Field::Len => Some(entry.length() as f64),
        Field::Conn => Some(entry.connection().into()),
        _ => None,
    }
}

fn compare_found(found: &Found<'_>, operator: Operator, value: &Value) -> bool {
    match (found, value) {
        (Found::Number(number), Value::Number(wanted)) => order(operator, number.partial_cmp(wanted)),
        (Found::Text(text), Value::Text(wanted)) => order(operator, Some((**text).cmp(wanted.as_str()))),
        (Found::Truth(truth), Value::Truth(wanted)) => equality(operator, truth == wanted),
        (Found::Null, Value::Null) => equality(operator, true),
        _ => false,
    }
}

fn order(operator: Operator, ordering: Option<std::cmp::Ordering>) -> bool {
    ordering.is_some_and(|ordering| match operator {
        Operator::Equal => ordering.is_eq(),
        Operator::NotEqual => ordering.is_ne(),
        Operator::Less => ordering.is_lt(),
        Operator::AtMost => ordering.is_le(),
        Operator::More => ordering.is_gt(),
        Operator::AtLeast => ordering.is_ge(),
    })
}

fn equality(operator: Operator, same: bool) -> bool {
    match operator {
        Operator::Equal => same,
        Operator::NotEqual => !same,
        _ => false,
    }
}

fn contains(field: &Field, needle: &Needle, entry: &Entry<'_>) -> bool {
    search(field, entry, |bytes| needle.is_in(bytes))
}

fn matches(field: &Field, pattern: &Pattern, entry: &Entry<'_>) -> bool {
    search(field, entry, |bytes| pattern.is_in(bytes))
}

fn search(field: &Field, entry: &Entry<'_>, is_in: impl Fn(&[u8]) -> bool) -> bool {
    match field {
        Field::Text => is_in(text::of(entry).as_bytes()),
        Field::Bytes => is_in(entry.bytes()),
        Field::Cmd => command(entry).is_some_and(|word| is_in(word.as_bytes())),
        Field::Status => status(entry).is_some_and(|word| is_in(word.as_bytes())),
        Field::Err => entry.error().is_some_and(|name| is_in(name.as_bytes())),
        Field::Json(path) => json::any(entry, path, |found| match found {
            Found::Text(text) => is_in(text.as_bytes()),
            _ => false,
        }),
        _ => false,
    }
}

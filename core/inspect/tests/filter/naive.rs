//! A naive evaluation of filters, by the language's description alone.

use super::{
    asked::{Ask, Field, Operand, PATTERNS},
    facts::{Facts, Json},
};

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(f64),
    Text(String),
    Bytes(Vec<u8>),
    Truth(bool),
    Null,
    Nested,
}

pub(super) fn holds(ask: &Ask, facts: &Facts) -> bool {
    match ask {
        Ask::Or(parts) => parts.iter().any(|part| holds(part, facts)),
        Ask::And(parts) => parts.iter().all(|part| holds(part, facts)),
        Ask::Not(inner) => !holds(inner, facts),
        Ask::Has(Field::Named("err")) => facts.bad,
        Ask::Has(Field::Named("push")) => facts.push,
        Ask::Has(field) => !values(field, facts).is_empty(),
        Ask::Compare(field, "!=", operand) => {
            let values = values(field, facts);
            !values.is_empty() && !values.iter().any(|value| compare(value, "==", operand))
        }
        Ask::Compare(field, operator, operand) => {
            values(field, facts).iter().any(|value| compare(value, operator, operand))
        }
        Ask::OneOf(field, operands) => {
            let values = values(field, facts);
            operands.iter().any(|operand| values.iter().any(|value| compare(value, "==", operand)))
        }
        Ask::Contains(field, needle) => searched(field, facts)
            .iter()
            .any(|hay| needle.is_empty() || hay.windows(needle.len()).any(|window| window == &needle[..])),
        Ask::Fits(field, pattern) => {
            let (_, of_text, of_bytes) = PATTERNS.into_iter().find(|(asked, ..)| asked == pattern).unwrap();
            let is_bytes = matches!(field, Field::Named("bytes"));
            let regex = regex::bytes::Regex::new(if is_bytes { of_bytes } else { of_text }).unwrap();
            searched(field, facts).iter().any(|hay| regex.is_match(hay))
        }
    }
}

fn searched(field: &Field, facts: &Facts) -> Vec<Vec<u8>> {
    let bytes = |value| match value {
        Value::Text(text) => Some(text.into_bytes()),
        Value::Bytes(bytes) => Some(bytes),
        _ => None,
    };
    values(field, facts).into_iter().filter_map(bytes).collect()
}

fn values(field: &Field, facts: &Facts) -> Vec<Value> {
    let number = |number: Option<f64>| number.map(Value::Number).into_iter().collect();
    let text = |text: &Option<String>| text.clone().map(Value::Text).into_iter().collect();
    match field {
        Field::Named("no") => number(Some(facts.no)),
        Field::Named("time") => number(Some(facts.time)),
        Field::Named("delta") => number(facts.delta),
        Field::Named("rtt") => number(facts.rtt),
        Field::Named("len") => number(Some(facts.len)),
        Field::Named("conn") => number(Some(facts.conn)),
        Field::Named("dir") => vec![Value::Truth(facts.inward)],
        Field::Named("push") => vec![Value::Truth(facts.push)],
        Field::Named("cmd") => text(&facts.cmd),
        Field::Named("status") => text(&facts.status),
        Field::Named("err") => text(&facts.err),
        Field::Named("text") => vec![Value::Text(facts.text.clone())],
        Field::Named(_) => vec![Value::Bytes(facts.bytes.clone())],
        Field::Json(path) => facts.json.iter().flat_map(|json| at(json, path)).collect(),
    }
}

/// Returns the values that a path leads to: in an array it goes on in every element, and also in the one that it names.
fn at(json: &Json, path: &[&str]) -> Vec<Value> {
    let mut found = Vec::new();
    if path.is_empty() {
        found.push(match json {
            Json::Null => Value::Null,
            Json::Truth(truth) => Value::Truth(*truth),
            Json::Number(number) => Value::Number(*number),
            Json::Text(text) => Value::Text(text.clone()),
            Json::Array(_) | Json::Object(_) => Value::Nested,
        });
    }
    match json {
        Json::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                found.extend(at(element, path));
                if path.first() == Some(&index.to_string().as_str()) {
                    found.extend(at(element, &path[1..]));
                }
            }
        }
        Json::Object(members) if !path.is_empty() => {
            for (_, value) in members.iter().filter(|(name, _)| name == path[0]) {
                found.extend(at(value, &path[1..]));
            }
        }
        _ => {}
    }
    found
}

fn compare(value: &Value, operator: &str, operand: &Operand) -> bool {
    let ordering = match (value, operand) {
        (Value::Number(number), Operand::Number(wanted) | Operand::Millis(wanted)) => number.partial_cmp(wanted),
        (Value::Text(text), Operand::Text(wanted)) => Some(text.cmp(wanted)),
        (Value::Bytes(bytes), Operand::Bytes(wanted)) => Some(bytes.cmp(wanted)),
        (Value::Truth(truth), Operand::Truth(wanted) | Operand::Inward(wanted)) => Some(truth.cmp(wanted)),
        (Value::Null, Operand::Null) => Some(std::cmp::Ordering::Equal),
        _ => None,
    };
    ordering.is_some_and(|ordering| match operator {
        "==" => ordering.is_eq(),
        "<" => ordering.is_lt(),
        "<=" => ordering.is_le(),
        ">" => ordering.is_gt(),
        _ => ordering.is_ge(),
    })
}

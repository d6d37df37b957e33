//! Questions that are made up, with the words in which they are asked.

use std::fmt::Write as _;

use proptest::{collection::vec, prelude::*, sample::select};

/// A question, as the naive evaluator reads it.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    Or(Vec<Ask>),
    And(Vec<Ask>),
    Not(Box<Ask>),
    Has(Field),
    Compare(Field, &'static str, Operand),
    OneOf(Field, Vec<Operand>),
    Contains(Field, Vec<u8>),
    Fits(Field, &'static str),
}

#[derive(Clone, Debug)]
pub(super) enum Field {
    Named(&'static str),
    Json(Vec<&'static str>),
}

#[derive(Clone, Debug)]
pub(super) enum Operand {
    Number(f64),
    Millis(f64),
    Text(String),
    Bytes(Vec<u8>),
    Truth(bool),
    Inward(bool),
    Null,
}

/// Texts that are searched for: many occur, spelled as they are or otherwise.
pub(super) const TEXTS: [&str; 22] = [
    "user1",
    "an",
    "a",
    "Hello",
    "\n",
    "\\n",
    "\u{e9}",
    "\u{1f600}",
    "\"",
    "general",
    "channels",
    "0",
    "1000",
    "\u{fffd}",
    "username\": \"us",
    "",
    "Invalid payload",
    "MESSAGE",
    "OK",
    "late",
    "{",
    "\\u0061",
];

/// Patterns, with their equals in Rust's other engine, for texts and for bytes.
pub(crate) const PATTERNS: [(&str, &str, &str); 13] = [
    ("us.r", "us.r", "us.r"),
    ("^OK", "^OK", "^OK"),
    ("(?i)HELLO", "(?i)HELLO", "(?i)HELLO"),
    (r"\d{4}", "[0-9]{4}", "[0-9]{4}"),
    ("a|b$", "a|b$", "a|b$"),
    (r"\\u00", r"\\u00", r"\\u00"),
    ("", "", ""),
    (r"[^\x00-\x7f]", r"[^\x00-\x7f]", r"(?-u)[\x80-\xff]"),
    (" . ", " . ", "(?-u) [^\n] "),
    (r"\W{2}", "[^0-9A-Za-z_]{2}", r"(?-u)[\x00-/:-@\[-^`{-\xff]{2}"),
    (r"\bn\b", r"(?-u:\b)n(?-u:\b)", r"(?-u)\bn\b"),
    ("(?i)É", "É|é", "É"),
    (r"[\s\d]{2}", "[\t-\r 0-9]{2}", "(?-u)[\t-\r 0-9]{2}"),
];

const NAMES: [&[&str]; 10] = [
    &["username"],
    &["message_content"],
    &["channels"],
    &["channels", "channel_name"],
    &["channels", "0", "peer_server_port"],
    &["a"],
    &["a", "b"],
    &["n"],
    &["dotted.name"],
    &["a", "1", "b"],
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![8 => select(&TEXTS[..]).prop_map(String::from), 1 => any::<String>()]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        select(vec![0.0, 1.0, 2.0, 7.0, 22236.0, 1000.0, 1e3, -0.5, 1.5, 100.0]),
        (-10_i32..200).prop_map(f64::from)
    ]
}

pub(super) fn ask() -> BoxedStrategy<Ask> {
    let leaf = prop_oneof![
        2 => named(&["no", "len", "conn"]).prop_flat_map(|field| ordered(field, number().prop_map(Operand::Number).boxed())),
        2 => named(&["time", "delta", "rtt"])
            .prop_flat_map(|field| ordered(field, number().prop_map(Operand::Millis).boxed())),
        1 => (named(&["dir"]), equal(), any::<bool>())
            .prop_map(|(field, operator, inward)| Ask::Compare(field, operator, Operand::Inward(inward))),
        1 => (named(&["push"]), equal(), any::<bool>())
            .prop_map(|(field, operator, truth)| Ask::Compare(field, operator, Operand::Truth(truth))),
        1 => select(vec!["rtt", "cmd", "status", "push", "err"]).prop_map(|name| Ask::Has(Field::Named(name))),
        4 => named(&["cmd", "status", "err", "text"]).prop_flat_map(searched),
        2 => (named(&["bytes"]), bytes()).prop_map(|(field, bytes)| Ask::Contains(field, bytes)),
        1 => (named(&["bytes"]), equal(), bytes())
            .prop_map(|(field, operator, bytes)| Ask::Compare(field, operator, Operand::Bytes(bytes))),
        6 => select(&NAMES[..]).prop_flat_map(|path| json(Field::Json(path.to_vec()))),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(Ask::Or),
            vec(inner.clone(), 2..4).prop_map(Ask::And),
            inner.prop_map(|inner| Ask::Not(Box::new(inner))),
        ]
    })
    .boxed()
}

fn named(names: &'static [&'static str]) -> impl Strategy<Value = Field> {
    select(names).prop_map(Field::Named)
}

fn equal() -> impl Strategy<Value = &'static str> {
    select(vec!["==", "!="])
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        select(&TEXTS[..])
            .prop_filter("bytes are some", |text| !text.is_empty())
            .prop_map(|text| text.as_bytes().to_vec()),
        vec(any::<u8>(), 1..3),
    ]
}

fn ordered(field: Field, operand: BoxedStrategy<Operand>) -> BoxedStrategy<Ask> {
    let operator = select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let one = field.clone();
    prop_oneof![
        (operator, operand.clone()).prop_map(move |(operator, value)| Ask::Compare(one.clone(), operator, value)),
        vec(operand, 1..4).prop_map(move |values| Ask::OneOf(field.clone(), values)),
    ]
    .boxed()
}

fn searched(field: Field) -> BoxedStrategy<Ask> {
    let [a, b, c, d] = std::array::from_fn(|_| field.clone());
    prop_oneof![
        (equal(), text()).prop_map(move |(operator, text)| Ask::Compare(a.clone(), operator, Operand::Text(text))),
        vec(text().prop_map(Operand::Text), 1..4).prop_map(move |values| Ask::OneOf(b.clone(), values)),
        text().prop_map(move |text| Ask::Contains(c.clone(), text.into_bytes())),
        select(&PATTERNS[..]).prop_map(move |(pattern, ..)| Ask::Fits(d.clone(), pattern)),
    ]
    .boxed()
}

fn json(field: Field) -> BoxedStrategy<Ask> {
    let value = prop_oneof![
        number().prop_map(Operand::Number),
        text().prop_map(Operand::Text),
        any::<bool>().prop_map(Operand::Truth),
        Just(Operand::Null),
    ];
    let order = prop_oneof![number().prop_map(Operand::Number), text().prop_map(Operand::Text)].boxed();
    let (has, same) = (field.clone(), field.clone());
    prop_oneof![
        Just(Ask::Has(has)),
        (equal(), value).prop_map(move |(operator, value)| Ask::Compare(same.clone(), operator, value)),
        ordered(field.clone(), order),
        searched(field),
    ]
    .boxed()
}

impl Ask {
    /// Writes it with everything in parentheses.
    pub(super) fn written(&self) -> String {
        let joined = |parts: &[Self], between: &str| {
            parts.iter().map(|part| format!("({})", part.written())).collect::<Vec<_>>().join(between)
        };
        match self {
            Self::Or(parts) => joined(parts, " || "),
            Self::And(parts) => joined(parts, "&&"),
            Self::Not(inner) => format!("!({})", inner.written()),
            Self::Has(field) => field.written(),
            Self::Compare(field, operator, value) => format!("{}{operator}{}", field.written(), value.written()),
            Self::OneOf(field, values) => {
                let values: Vec<_> = values.iter().map(Operand::written).collect();
                format!("{} in ({})", field.written(), values.join(", "))
            }
            Self::Contains(Field::Named("bytes"), bytes) => {
                format!("bytes contains {}", Operand::Bytes(bytes.clone()).written())
            }
            Self::Contains(field, text) => {
                format!("{} contains {}", field.written(), quoted(std::str::from_utf8(text).unwrap()))
            }
            Self::Fits(field, pattern) => format!("{}~{}", field.written(), quoted(pattern)),
        }
    }
}

impl Field {
    fn written(&self) -> String {
        match self {
            Self::Named(name) => (*name).into(),
            Self::Json(path) => {
                let mut out = "json".to_owned();
                for name in path {
                    let name = if name.contains('.') { quoted(name) } else { (*name).into() };
                    write!(out, ".{name}").unwrap();
                }
                out
            }
        }
    }
}

impl Operand {
    fn written(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Millis(millis) if *millis % 1000.0 == 0.0 => format!("{}s", millis / 1000.0),
            Self::Millis(millis) => format!("{millis}ms"),
            Self::Text(text) => quoted(text),
            Self::Bytes(bytes) => bytes.iter().fold("0x".into(), |out, byte| format!("{out}{byte:02x}")),
            Self::Truth(truth) => truth.to_string(),
            Self::Inward(inward) => if *inward { "in" } else { "out" }.into(),
            Self::Null => "null".into(),
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

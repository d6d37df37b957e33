//! The same JSON, spelled in another way: other white space, other escapes, other order of members.

use std::fmt::Write as _;

use serde_json::Value;

/// JSON as it might be spelled: members in any order and any number, numbers in any form.
#[derive(Clone, Debug)]
pub enum Json {
    /// A number or a word, as it is.
    Raw(String),
    /// A string.
    Text(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Vec<(String, Json)>),
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(array) => Self::Array(array.iter().map(Self::from).collect()),
            Value::Object(object) => {
                Self::Object(object.iter().map(|(name, value)| (name.clone(), Self::from(value))).collect())
            }
            other => Self::Raw(other.to_string()),
        }
    }
}

impl Json {
    /// Spells the value by the choices; in the plainest way once they run out.
    #[must_use]
    pub fn spell(&self, choices: &[u8]) -> String {
        let mut speller = Speller { out: String::new(), choices: choices.iter() };
        speller.value(self);
        speller.out
    }
}

struct Speller<'a> {
    out: String,
    choices: std::slice::Iter<'a, u8>,
}

impl Speller<'_> {
    fn choice(&mut self) -> u8 {
        self.choices.next().copied().unwrap_or(0)
    }

    fn space(&mut self) {
        let choice = self.choice();
        self.out.push_str(match choice % 8 {
            1 | 2 => " ",
            3 => "\t",
            4 => "\r\n",
            5 => " \n\t",
            _ => "",
        });
    }

    fn value(&mut self, value: &Json) {
        match value {
            Json::Raw(raw) => self.out.push_str(raw),
            Json::Text(text) => self.text(text),
            Json::Array(array) => self.list('[', array, ']', |speller, value| speller.value(value)),
            Json::Object(object) => self.list('{', object, '}', |speller, (name, value)| {
                speller.text(name);
                speller.space();
                speller.out.push(':');
                speller.space();
                speller.value(value);
            }),
        }
    }

    fn list<T>(&mut self, open: char, items: &[T], close: char, mut item: impl FnMut(&mut Self, &T)) {
        self.out.push(open);
        self.space();
        for (index, value) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
                self.space();
            }
            item(self, value);
            self.space();
        }
        self.out.push(close);
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for char in text.chars() {
            let short = match char {
                '"' | '\\' | '/' => Some(char),
                '\u{8}' => Some('b'),
                '\u{c}' => Some('f'),
                '\n' => Some('n'),
                '\r' => Some('r'),
                '\t' => Some('t'),
                _ => None,
            };
            let must = char < ' ' || char == '"' || char == '\\';
            match (self.choice() % 5, short) {
                (3, Some(short)) => self.out.extend(['\\', short]),
                (choice @ (1 | 2), _) => self.units(char, choice == 1),
                (_, Some(short)) if must => self.out.extend(['\\', short]),
                _ if must => self.units(char, true),
                _ => self.out.push(char),
            }
        }
        self.out.push('"');
    }

    fn units(&mut self, char: char, lower: bool) {
        for unit in char.encode_utf16(&mut [0; 2]) {
            let _ = if lower { write!(self.out, "\\u{unit:04x}") } else { write!(self.out, "\\u{unit:04X}") };
        }
    }
}

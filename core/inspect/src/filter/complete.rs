//! Completions of a filter that is being typed.

use std::collections::BTreeSet;

use chanwire_core::wire::{Command, StartLine as _, Status};
use serde::Serialize;

use super::{
    expr::{FIELDS, Field, Kind},
    json::{self, Found},
    lex::{self, Symbol, Token, TokenKind},
    path::Path,
    spelling::{in_word, quote},
};
use crate::Capture;

/// The most rows that are searched for names and values, the newest first.
const SAMPLE: u64 = 2000;

/// The most completions.
const MAX_COMPLETIONS: usize = 50;

/// A longer value is not offered.
const LONGEST_VALUE: usize = 64;

/// Completions of a part of the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Completions {
    /// The part that an item replaces starts here, in bytes of the text.
    pub start: usize,
    /// And it ends before here.
    pub end: usize,
    /// The likeliest first.
    pub items: Vec<Completion>,
}

/// One thing that may stand there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Completion {
    /// As it is written in the filter.
    pub text: String,
    /// Its kind.
    pub kind: CompletionKind,
    /// Its meaning in a few words; empty where the text says all.
    pub hint: String,
}

/// The kind of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CompletionKind {
    /// A field.
    Field,
    /// An operator, or what joins two tests.
    Operator,
    /// A value, most of them seen in the capture.
    Value,
}

/// Returns the completions at the caret, at this byte of the text.
#[must_use]
pub fn complete(text: &str, caret: usize, capture: &Capture) -> Completions {
    let caret = (0..=caret.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let before = text.get(..caret).unwrap_or_default();
    let start = start_of_word(before);
    let typed = before.get(start..).unwrap_or_default();
    let rest = text.get(caret..).unwrap_or_default();
    let end = caret + rest.find(|char| !in_word(char)).unwrap_or(rest.len());
    let items = match lex::tokens(before.get(..start).unwrap_or_default()) {
        Ok(tokens) => items(&tokens, typed, capture),
        Err(_) => Vec::new(),
    };
    Completions { start, end, items }
}

/// Returns the start of the word or quoted text that the text ends in.
fn start_of_word(text: &str) -> usize {
    let (mut quote, mut escaped) = (None, false);
    for (at, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quote.is_some() => escaped = true,
            '"' => quote = if quote.is_some() { None } else { Some(at) },
            _ => {}
        }
    }
    quote.unwrap_or_else(|| text.trim_end_matches(in_word).len())
}

fn items(tokens: &[Token], typed: &str, capture: &Capture) -> Vec<Completion> {
    let candidates = match after(tokens) {
        After::Start => fields(typed, capture),
        After::Field(field) => operators(&field),
        After::Operator(field) => values(&field, capture),
        After::Test => joins(),
        After::Nothing => Vec::new(),
    };
    let wanted = typed.trim_start_matches('"').to_lowercase();
    let fits = |item: &Completion| {
        let text = item.text.trim_matches('"').to_lowercase();
        text.starts_with(&wanted) && item.text != typed
    };
    candidates.into_iter().filter(fits).take(MAX_COMPLETIONS).collect()
}

/// The end of the text before the caret.
enum After {
    Start,
    Field(Field),
    Operator(Field),
    Test,
    Nothing,
}

fn after(tokens: &[Token]) -> After {
    let Some((last, before)) = tokens.split_last() else { return After::Start };
    match &last.kind {
        TokenKind::Symbol(Symbol::And | Symbol::Or | Symbol::Not) => After::Start,
        TokenKind::Symbol(Symbol::Open | Symbol::OpenBrace | Symbol::Comma) => match field_of_set(tokens) {
            Some(field) => After::Operator(field),
            None => After::Start,
        },
        TokenKind::Symbol(Symbol::Close | Symbol::CloseBrace) => After::Test,
        TokenKind::Symbol(_) => of_field(before.last()).map_or(After::Nothing, After::Operator),
        TokenKind::Word(word) if word == "contains" && of_field(before.last()).is_some() => {
            of_field(before.last()).map_or(After::Nothing, After::Operator)
        }
        TokenKind::Word(word) if word == "in" && of_field(before.last()).is_some() => After::Nothing,
        // A value may be called like a field.
        _ if is_operator(before.last()) => After::Test,
        _ => of_field(Some(last)).map_or(After::Test, After::Field),
    }
}

fn is_operator(token: Option<&Token>) -> bool {
    match token.map(|token| &token.kind) {
        Some(TokenKind::Symbol(symbol)) => !matches!(
            symbol,
            Symbol::And | Symbol::Or | Symbol::Not | Symbol::Open | Symbol::Close | Symbol::CloseBrace
        ),
        Some(TokenKind::Word(word)) => word == "contains",
        _ => false,
    }
}

fn of_field(token: Option<&Token>) -> Option<Field> {
    match &token?.kind {
        TokenKind::Word(word) => FIELDS.iter().find(|(name, ..)| name == word).map(|(_, field, _)| field.clone()),
        TokenKind::Path(path) => Some(Field::Json(path.clone())),
        _ => None,
    }
}

/// Returns the field of the set that is open at the end.
fn field_of_set(tokens: &[Token]) -> Option<Field> {
    let open = tokens.iter().rposition(|token| {
        matches!(token.kind, TokenKind::Symbol(Symbol::Open | Symbol::OpenBrace | Symbol::And | Symbol::Or))
    })?;
    let in_word = tokens.get(open.checked_sub(1)?)?;
    let in_set = matches!(&in_word.kind, TokenKind::Word(word) if word == "in");
    if in_set { of_field(tokens.get(open.checked_sub(2)?)) } else { None }
}

fn item(text: impl Into<String>, kind: CompletionKind, hint: impl Into<String>) -> Completion {
    Completion { text: text.into(), kind, hint: hint.into() }
}

fn fields(typed: &str, capture: &Capture) -> Vec<Completion> {
    let mut items: Vec<Completion> =
        FIELDS.iter().map(|(name, _, description)| item(*name, CompletionKind::Field, *description)).collect();
    // Names within the path that is there.
    let stem = typed.rfind('.').and_then(|at| typed.get(..at)).filter(|stem| stem.starts_with("json"));
    let outer: Option<Vec<String>> =
        stem.map(|stem| stem.split(['.', '[']).skip(1).map(|name| name.trim_end_matches(']').into()).collect());
    let outer = outer.unwrap_or_default();
    let names = names(capture, &outer);
    items.extend(names.into_iter().filter_map(|name| {
        let path = Path::new(outer.iter().cloned().chain([name]).collect())?;
        Some(item(Field::Json(path).to_string(), CompletionKind::Field, "in the payload"))
    }));
    items
}

fn operators(field: &Field) -> Vec<Completion> {
    let kind = field.kind();
    let mut operators = vec![("==", "is"), ("!=", "is there and is not")];
    if kind.is_searched() {
        operators.extend([("contains", "has it somewhere"), ("~", "fits a regular expression")]);
    }
    if kind.is_ordered() {
        operators.extend([("<", "less"), ("<=", "at most"), (">", "more"), (">=", "at least")]);
    }
    operators.push(("in", "is one of (a, b)"));
    let mut items: Vec<Completion> =
        operators.into_iter().map(|(spelled, hint)| item(spelled, CompletionKind::Operator, hint)).collect();
    if field.may_be_absent() {
        items.extend(joins());
    }
    items
}

fn joins() -> Vec<Completion> {
    [("&&", "and"), ("||", "or")].map(|(spelled, hint)| item(spelled, CompletionKind::Operator, hint)).into()
}

fn values(field: &Field, capture: &Capture) -> Vec<Completion> {
    let value = |text: String| item(text, CompletionKind::Value, "");
    let words = |words: &mut dyn Iterator<Item = String>| words.map(|word| value(spelled(&word))).collect();
    match field {
        Field::Conn => capture
            .connections()
            .map(|connection| {
                item(connection.to_string(), CompletionKind::Value, capture.label(connection).unwrap_or_default())
            })
            .collect(),
        Field::Dir => words(&mut ["in", "out"].map(String::from).into_iter()),
        Field::Push => words(&mut ["true", "false"].map(String::from).into_iter()),
        Field::Cmd => words(&mut Command::ALL.iter().map(|command| command.name().into())),
        Field::Status => words(
            &mut [Status::Ok, Status::RequestError, Status::ServerError].map(|status| status.name().into()).into_iter(),
        ),
        Field::Err => words(&mut capture.store().errors().iter().cloned()),
        Field::Json(path) => values_at(capture, path).into_iter().map(value).collect(),
        _ if field.kind() == Kind::Duration => {
            words(&mut ["1ms", "10ms", "50ms", "100ms", "1s"].map(String::from).into_iter())
        }
        _ => Vec::new(),
    }
}

/// Returns a text as it is written in a filter.
fn spelled(text: &str) -> String {
    if !text.is_empty() && text.chars().all(in_word) {
        return text.into();
    }
    let mut quoted = String::new();
    // Writing to a string does not fail.
    let _ = quote(text, &mut quoted);
    quoted
}

/// Returns the rows that are searched.
fn sample(capture: &Capture) -> impl Iterator<Item = crate::Entry<'_>> {
    let end = capture.end_number();
    capture.entries(end.saturating_sub(SAMPLE).max(capture.first()), end)
}

/// Returns the names of members that were seen in the objects that these names lead to.
fn names(capture: &Capture, outer: &[String]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in sample(capture) {
        json::member_names(&entry, outer, |name| {
            if names.len() < MAX_COMPLETIONS && name.len() <= LONGEST_VALUE {
                names.insert(name.to_owned());
            }
        });
    }
    names
}

/// Returns the values that were seen at a path, as they are written in a filter.
fn values_at(capture: &Capture, path: &Path) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for entry in sample(capture) {
        json::any(&entry, path, |found| {
            let text = match found {
                Found::Text(text) if text.len() <= LONGEST_VALUE => {
                    // A text that looks like something else keeps its quotes.
                    let word = spelled(&text);
                    let plain = matches!(&*text, "true" | "false" | "null")
                        || text.starts_with(|char: char| char.is_ascii_digit() || char == '-');
                    if plain { format!("\"{text}\"") } else { word }
                }
                Found::Number(number) => number.to_string(),
                Found::Truth(truth) => truth.to_string(),
                Found::Null => "null".into(),
                Found::Text(_) | Found::Nested => return false,
            };
            if seen.len() < MAX_COMPLETIONS {
                seen.insert(text);
            }
            false
        });
    }
    seen
}

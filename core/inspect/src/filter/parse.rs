//! From tokens to an expression.

use std::ops::Range;

use chanwire_core::wire::{Command, StartLine as _, Status};

use super::{
    MAX_LENGTH, Mistake,
    expr::{Expr, FIELDS, Field, Kind, Needle, Operator, Test, Value},
    lex::{self, Symbol, Token, TokenKind},
    pattern::{Of, Pattern},
};
use crate::Direction;

/// The deepest nesting of parentheses and negations.
const MAX_DEPTH: usize = 64;

/// The most regular expressions. Each may take 256 KiB compiled, and as much again while it searches.
const MAX_PATTERNS: usize = 8;

/// Reads a text that is not empty.
pub(super) fn parse(text: &str) -> Result<Expr, Mistake> {
    if text.len() > MAX_LENGTH {
        return Err(Mistake::new(0..text.len(), format!("a filter has at most {MAX_LENGTH} bytes")));
    }
    let tokens = lex::tokens(text)?;
    let mut parser = Parser { tokens: &tokens, end: text.trim_end().len(), depth: 0, patterns: 0 };
    let expr = parser.or()?;
    match parser.tokens.first() {
        None => Ok(expr),
        Some(Token { kind: TokenKind::Symbol(Symbol::Close), at }) => {
            Err(Mistake::new(at.clone(), "there is no '(' that this closes"))
        }
        Some(token) => {
            let meant = token.kind.word().and_then(spelled_out).filter(|symbol| *symbol != "!");
            let message = match meant {
                Some(symbol) => format!("expected '&&' or '||' before it; write {symbol} for this word"),
                None => "expected '&&' or '||' before it".into(),
            };
            Err(Mistake::new(token.at.clone(), message))
        }
    }
}

struct Parser<'t> {
    tokens: &'t [Token],
    /// The end of the text.
    end: usize,
    depth: usize,
    patterns: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<&'t TokenKind> {
        self.tokens.first().map(|token| &token.kind)
    }

    fn next(&mut self) -> Option<&'t Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn take(&mut self, symbol: Symbol) -> bool {
        let there = self.peek() == Some(&TokenKind::Symbol(symbol));
        if there {
            self.next();
        }
        there
    }

    /// Returns the position of the next token, or of the end.
    fn here(&self) -> Range<usize> {
        self.tokens.first().map_or(self.end..self.end, |token| token.at.clone())
    }

    fn expected(&self, description: impl Into<String>) -> Mistake {
        Mistake::new(self.here(), format!("expected {}", description.into()))
    }

    fn or(&mut self) -> Result<Expr, Mistake> {
        let mut parts = vec![self.and()?];
        while self.take(Symbol::Or) {
            parts.push(self.and()?);
        }
        Ok(one_or(parts, Expr::Or))
    }

    fn and(&mut self) -> Result<Expr, Mistake> {
        let mut parts = vec![self.not()?];
        while self.take(Symbol::And) {
            parts.push(self.not()?);
        }
        Ok(one_or(parts, Expr::And))
    }

    fn not(&mut self) -> Result<Expr, Mistake> {
        let at = self.here();
        let (not, open) =
            (self.take(Symbol::Not), !self.tokens.is_empty() && self.peek() == Some(&TokenKind::Symbol(Symbol::Open)));
        if !not && !open {
            return self.test().map(Expr::Test);
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Mistake::new(at, format!("this nests deeper than {MAX_DEPTH} levels")));
        }
        let expr = if not {
            Expr::Not(Box::new(self.not()?))
        } else {
            self.next();
            let inner = self.or()?;
            if !self.take(Symbol::Close) {
                return Err(self.expected("')', '&&' or '||'"));
            }
            inner
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn test(&mut self) -> Result<Test, Mistake> {
        let Some(token) = self.tokens.first() else { return Err(self.expected("a field, or a text to look for")) };
        let field = match &token.kind {
            TokenKind::Word(word) => FIELDS.iter().find(|(name, ..)| name == word).map(|(_, field, _)| field.clone()),
            TokenKind::Path(path) => Some(Field::Json(path.clone())),
            TokenKind::Quoted(text) => {
                self.next();
                self.refuse_operator("a field stands before an operator: text contains \"…\"")?;
                return Ok(Test::Contains(Field::Text, Needle::text(text)));
            }
            TokenKind::Symbol(_) => return Err(self.expected("a field, or a text to look for")),
        };
        self.next();
        match (field, &token.kind) {
            (Some(field), _) => self.of_field(field, token.at.clone()),
            (None, TokenKind::Word(word)) => {
                self.refuse_operator(no_field(word)).map_err(|mistake| Mistake {
                    at: token.at.start,
                    length: token.at.len(),
                    ..mistake
                })?;
                if let (Some(symbol), true) = (spelled_out(word), self.begins_test()) {
                    let message = format!("write {symbol} for this word; to look for the text, write \"{word}\"");
                    return Err(Mistake::new(token.at.clone(), message));
                }
                Ok(Test::Contains(Field::Text, Needle::text(word)))
            }
            (None, _) => Err(Mistake::new(token.at.clone(), "expected a field, or a text to look for")),
        }
    }

    /// Returns whether only another test can come next.
    fn begins_test(&self) -> bool {
        match self.peek() {
            None => false,
            Some(TokenKind::Symbol(symbol)) => matches!(symbol, Symbol::Open | Symbol::Not),
            Some(_) => true,
        }
    }

    /// Returns the error of a comparison of a word that is no field.
    fn refuse_operator(&self, message: impl Into<String>) -> Result<(), Mistake> {
        let operator = match self.peek() {
            Some(TokenKind::Symbol(symbol)) => comparison(*symbol).is_some() || *symbol == Symbol::Matches,
            Some(TokenKind::Word(word)) => word == "contains" || word == "in",
            _ => false,
        };
        if operator { Err(Mistake::new(self.here(), message)) } else { Ok(()) }
    }

    fn of_field(&mut self, field: Field, at: Range<usize>) -> Result<Test, Mistake> {
        let kind = field.kind();
        match self.peek() {
            Some(TokenKind::Symbol(Symbol::Matches)) => {
                self.check(kind.is_searched(), &field, "~")?;
                self.next();
                let of = if field == Field::Bytes { Of::Bytes } else { Of::Text };
                let pattern = self.pattern(of)?;
                Ok(Test::Matches(field, pattern))
            }
            Some(TokenKind::Symbol(symbol)) if comparison(*symbol).is_some() => {
                let Some(operator) = comparison(*symbol) else { return Err(self.expected("an operator")) };
                self.check(kind.is_ordered() || !operator.is_order(), &field, operator.spelled())?;
                self.next();
                self.check_spelling(&field)?;
                let value = self.value(kind)?;
                if operator.is_order() && matches!(value, Value::Truth(_) | Value::Null) {
                    return Err(Mistake::new(at, "only numbers and texts have an order"));
                }
                Ok(Test::Compare(field, operator, value))
            }
            Some(TokenKind::Word(word)) if word == "contains" => {
                self.check(kind.is_searched(), &field, "contains")?;
                self.next();
                let needle = self.needle(kind)?;
                Ok(Test::Contains(field, needle))
            }
            Some(TokenKind::Word(word)) if word == "in" => {
                self.next();
                self.set(&field).map(|values| Test::OneOf(field, values))
            }
            _ if field.may_be_absent() => Ok(Test::Has(field)),
            _ => {
                let message = format!("expected an operator after it; to look for the text, write \"{field}\"");
                Err(Mistake::new(at.end..at.end, message))
            }
        }
    }

    fn check(&self, can: bool, field: &Field, operator: &str) -> Result<(), Mistake> {
        if can {
            return Ok(());
        }
        let can = match (field.kind().is_ordered(), field.kind().is_searched()) {
            (true, _) => "==, !=, <, <=, >, >= and in",
            (_, true) => "==, !=, contains, ~ and in",
            _ => "==, != and in",
        };
        Err(Mistake::new(self.here(), format!("{field} is not for {operator}, but for {can}")))
    }

    /// Rejects a known word of the protocol in another spelling, which finds nothing. Between quotes a text is taken as
    /// it stands.
    fn check_spelling(&self, field: &Field) -> Result<(), Mistake> {
        let Some(TokenKind::Word(word)) = self.peek() else { return Ok(()) };
        let known: Vec<&str> = match field {
            Field::Cmd => Command::ALL.iter().map(|command| command.name()).collect(),
            Field::Status => [Status::Ok, Status::RequestError, Status::ServerError].map(|status| status.name()).into(),
            _ => return Ok(()),
        };
        match known.into_iter().find(|known| known.eq_ignore_ascii_case(word) && known != word) {
            None => Ok(()),
            Some(known) => {
                let message = format!("it is spelled {known}; for exactly these letters, write \"{word}\"");
                Err(Mistake::new(self.here(), message))
            }
        }
    }

    /// Digits that may be meant as bytes or as a text.
    fn check_digits(&self, kind: Kind) -> Result<(), Mistake> {
        let Some(TokenKind::Word(word)) = self.peek() else { return Ok(()) };
        let digits = word.len().is_multiple_of(2) && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        if kind == Kind::Bytes && digits {
            let message = format!("write 0x{word} for these bytes, or \"{word}\" for this text");
            return Err(Mistake::new(self.here(), message));
        }
        Ok(())
    }

    fn set(&mut self, field: &Field) -> Result<Vec<Value>, Mistake> {
        let kind = field.kind();
        let close = if self.take(Symbol::OpenBrace) {
            Symbol::CloseBrace
        } else if self.take(Symbol::Open) {
            Symbol::Close
        } else {
            return Err(self.expected("values in parentheses, as in (a, b)"));
        };
        let mut values = Vec::new();
        loop {
            self.check_spelling(field)?;
            values.push(self.value(kind)?);
            if !self.take(Symbol::Comma) {
                break;
            }
        }
        if self.take(close) { Ok(values) } else { Err(self.expected("',' or the end of the set")) }
    }

    fn value(&mut self, kind: Kind) -> Result<Value, Mistake> {
        self.check_digits(kind)?;
        let description = match kind {
            Kind::Number => "a number",
            Kind::Duration => "a duration, such as 50ms or 2s",
            Kind::Direction => "in or out",
            Kind::Truth => "true or false",
            Kind::Text => "a text",
            Kind::Bytes => "a text, or bytes such as 0x0d0a",
            Kind::Json => "a value: a text, a number, true, false or null",
        };
        let (spelled, quoted) = match self.peek() {
            Some(TokenKind::Word(word)) => (word.as_str(), false),
            Some(TokenKind::Quoted(text)) => (text.as_str(), true),
            _ => return Err(self.expected(description)),
        };
        let value = match kind {
            Kind::Number if !quoted => number(spelled).map(Value::Number),
            Kind::Duration if !quoted => duration(spelled).map(Value::Duration),
            Kind::Direction => spelled.parse::<Direction>().ok().map(Value::Direction),
            Kind::Truth if !quoted => spelled.parse().ok().map(Value::Truth),
            Kind::Number | Kind::Duration | Kind::Truth => None,
            Kind::Text => Some(Value::Text(spelled.into())),
            Kind::Bytes if !quoted && spelled.starts_with("0x") => bytes(spelled).map(Value::Bytes),
            Kind::Bytes => Some(Value::Bytes(spelled.into())),
            Kind::Json if quoted => Some(Value::Text(spelled.into())),
            Kind::Json => Some(match spelled {
                "true" => Value::Truth(true),
                "false" => Value::Truth(false),
                "null" => Value::Null,
                _ => number(spelled).map_or_else(|| Value::Text(spelled.into()), Value::Number),
            }),
        };
        let value = value.ok_or_else(|| self.expected(description))?;
        self.next();
        Ok(value)
    }

    fn needle(&mut self, kind: Kind) -> Result<Needle, Mistake> {
        self.check_digits(kind)?;
        let needle = match self.peek() {
            Some(TokenKind::Word(word)) if kind == Kind::Bytes && word.starts_with("0x") => {
                Needle::bytes(&bytes(word).ok_or_else(|| self.expected("bytes, two hexadecimal digits each"))?)
            }
            Some(TokenKind::Word(text) | TokenKind::Quoted(text)) => Needle::text(text),
            _ => return Err(self.expected("a text")),
        };
        self.next();
        Ok(needle)
    }

    fn pattern(&mut self, of: Of) -> Result<Pattern, Mistake> {
        let source = match self.peek() {
            Some(TokenKind::Word(text) | TokenKind::Quoted(text)) => text,
            _ => return Err(self.expected("a regular expression in double quotes")),
        };
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(Mistake::new(self.here(), format!("a filter has at most {MAX_PATTERNS} regular expressions")));
        }
        let pattern = Pattern::new(source, of).map_err(|reason| Mistake::new(self.here(), reason))?;
        self.next();
        Ok(pattern)
    }
}

fn one_or(mut parts: Vec<Expr>, many: fn(Vec<Expr>) -> Expr) -> Expr {
    match (parts.len(), parts.pop()) {
        (1, Some(one)) => one,
        (_, last) => {
            parts.extend(last);
            many(parts)
        }
    }
}

const fn comparison(symbol: Symbol) -> Option<Operator> {
    Some(match symbol {
        Symbol::Equal => Operator::Equal,
        Symbol::NotEqual => Operator::NotEqual,
        Symbol::Less => Operator::Less,
        Symbol::AtMost => Operator::AtMost,
        Symbol::More => Operator::More,
        Symbol::AtLeast => Operator::AtLeast,
        _ => return None,
    })
}

/// Returns the operator that other languages spell with this word.
fn spelled_out(word: &str) -> Option<&'static str> {
    const WORDS: [(&str, &str); 3] = [("and", "&&"), ("or", "||"), ("not", "!")];
    WORDS.iter().find(|(spelled, _)| spelled.eq_ignore_ascii_case(word)).map(|(_, symbol)| *symbol)
}

fn no_field(word: &str) -> String {
    let of_payload = word.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
    let hint = if of_payload { format!("of a payload's fields write json.{word}, ") } else { String::new() };
    format!("there is no field '{}'; {hint}fields are {}", crate::visible(word), names())
}

fn names() -> String {
    let names: Vec<&str> = FIELDS.iter().map(|(name, ..)| *name).chain(["json.…"]).collect();
    names.join(" ")
}

/// Parses a number as JSON spells it; also with leading zeros.
fn number(spelled: &str) -> Option<f64> {
    let digits = spelled.strip_prefix('-').unwrap_or(spelled);
    let starts = digits.starts_with(|char: char| char.is_ascii_digit());
    let plain = digits.chars().all(|char| char.is_ascii_digit() || ".eE+-".contains(char));
    spelled.parse().ok().filter(|number: &f64| starts && plain && number.is_finite())
}

/// Parses a duration, in milliseconds.
fn duration(spelled: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 6] = [("us", 1e-3), ("µs", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 60e3), ("h", 3600e3)];
    let (digits, factor) = UNITS.iter().find_map(|(unit, factor)| Some((spelled.strip_suffix(unit)?, factor)))?;
    number(digits).map(|number| number * factor).filter(|millis| millis.is_finite())
}

/// Parses bytes as `0x` and two digits for each.
fn bytes(spelled: &str) -> Option<Vec<u8>> {
    let digits = spelled.strip_prefix("0x")?.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    if pairs.is_empty() || !rest.is_empty() { None } else { pairs.iter().map(byte).collect() }
}

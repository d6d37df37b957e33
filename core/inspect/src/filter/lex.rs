//! A filter's text as tokens with their positions.

use std::ops::Range;

use super::{
    Mistake,
    path::Path,
    spelling::{in_name, in_word},
};

/// One token and the bytes that it stands in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) at: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    /// A word without quotes.
    Word(String),
    /// A text between quotes, decoded.
    Quoted(String),
    /// `json.` and the names after it.
    Path(Path),
    Symbol(Symbol),
}

impl TokenKind {
    /// Returns the word, if it is one without quotes.
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symbol {
    Equal,
    NotEqual,
    Less,
    AtMost,
    More,
    AtLeast,
    Matches,
    And,
    Or,
    Not,
    Open,
    Close,
    OpenBrace,
    CloseBrace,
    Comma,
}

/// Longer ones first, so that the first that fits is the whole of it.
const SYMBOLS: [(&str, Symbol); 16] = [
    ("==", Symbol::Equal),
    ("!=", Symbol::NotEqual),
    ("<=", Symbol::AtMost),
    (">=", Symbol::AtLeast),
    ("&&", Symbol::And),
    ("||", Symbol::Or),
    ("<", Symbol::Less),
    (">", Symbol::More),
    ("~", Symbol::Matches),
    ("!", Symbol::Not),
    ("(", Symbol::Open),
    (")", Symbol::Close),
    ("{", Symbol::OpenBrace),
    ("}", Symbol::CloseBrace),
    (",", Symbol::Comma),
    // A common spelling of `==`.
    ("=", Symbol::Equal),
];

/// Returns the tokens of a text.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Mistake> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next_token()? {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next_token(&mut self) -> Result<Option<Token>, Mistake> {
        self.at += self.rest().len() - self.rest().trim_start().len();
        let start = self.at;
        let Some(first) = self.rest().chars().next() else { return Ok(None) };
        let kind = if first == '"' {
            TokenKind::Quoted(self.quoted()?)
        } else if let Some((spelled, symbol)) = SYMBOLS.iter().find(|(spelled, _)| self.rest().starts_with(spelled)) {
            self.at += spelled.len();
            TokenKind::Symbol(*symbol)
        } else if self.rest().starts_with("json.") {
            TokenKind::Path(self.path()?)
        } else if in_word(first) {
            TokenKind::Word(self.word(in_word))
        } else {
            let expected = match first {
                '&' => "expected '&&'",
                '|' => "expected '||'",
                '\'' => "a text stands between double quotes",
                _ => "this character must stand between double quotes",
            };
            return Err(Mistake::new(start..start + first.len_utf8(), expected));
        };
        Ok(Some(Token { kind, at: start..self.at }))
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let rest = self.rest();
        let end = rest.find(|char| !belongs(char)).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default().to_owned();
        self.at += end;
        word
    }

    fn path(&mut self) -> Result<Path, Mistake> {
        self.at += "json".len();
        let mut names = Vec::new();
        loop {
            let start = self.at;
            let name = if self.rest().starts_with(".\"") {
                self.at += 1;
                self.quoted()?
            } else if self.rest().starts_with('.') {
                self.at += 1;
                let word = self.word(in_name);
                if word.is_empty() {
                    let message = "expected the name of a field, as in json.username";
                    return Err(Mistake::new(self.at..self.at, message));
                }
                word
            } else if self.rest().starts_with('[') {
                self.at += 1;
                let index = self.word(|char| char.is_ascii_digit());
                if index.is_empty() || self.take() != Some(']') {
                    let message = "expected an index, as in [0]; without one, every element is meant";
                    return Err(Mistake::new(start..self.at, message));
                }
                index
            } else {
                break;
            };
            names.push(name);
        }
        let end = self.at;
        // Two texts side by side are no path.
        if self.rest().starts_with(|char| char == '"' || in_word(char)) {
            return Err(Mistake::new(end..end, "expected an operator"));
        }
        Path::new(names)
            .ok_or_else(|| Mistake::new(end..end, format!("at most {} names may follow json", Path::MAX_NAMES)))
    }

    /// Returns a text between quotes, from the opening one to after the closing one.
    fn quoted(&mut self) -> Result<String, Mistake> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let at = self.at;
            let Some(char) = self.take() else {
                return Err(Mistake::new(start..self.at, "expected '\"' at the end of the text"));
            };
            match char {
                '"' => return Ok(out),
                '\\' => match self.escape() {
                    Some(char) => out.push(char),
                    None => {
                        let next = self.text.get(at + 1..).and_then(|rest| rest.chars().next());
                        let end = at + 1 + next.map_or(0, char::len_utf8);
                        let message = r#"expected one of \" \\ \n \r \t \u{…} after a backslash"#;
                        return Err(Mistake::new(at..end, message));
                    }
                },
                plain => out.push(plain),
            }
        }
    }

    fn take(&mut self) -> Option<char> {
        let char = self.rest().chars().next()?;
        self.at += char.len_utf8();
        Some(char)
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.take()? {
            '"' => '"',
            '\\' => '\\',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (digits, _) = self.rest().strip_prefix('{')?.split_once('}')?;
                if !(1..=6).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return None;
                }
                let length = digits.len() + 2;
                let char = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                self.at += length;
                char
            }
            _ => return None,
        })
    }
}

//! A JSON value built from the reader's tokens, to be compared with another parser's.

use chanwire_core::wire::json::{JsonError, Reader, Token, TokenKind};
use serde_json::{Map, Value};

/// Returns the value that a text means, and whether one of its numbers is too large for a double, which a general
/// parser may refuse; such a number becomes null.
///
/// # Errors
///
/// If the text is not JSON: the place and the reason.
///
/// # Panics
///
/// If the reader's tokens do not form one value, or their offsets do not follow each other.
pub fn value(text: &[u8]) -> Result<(Value, bool), JsonError> {
    let mut builder = Builder { reader: Reader::new(text), end: 0, huge: false };
    let value = match builder.token()? {
        Some(token) => builder.value(token.kind)?,
        None => return Ok((Value::String("no token at all".into()), false)),
    };
    assert_eq!((builder.token()?, builder.reader.depth()), (None, 0), "something follows the value");
    Ok((value, builder.huge))
}

struct Builder<'a> {
    reader: Reader<'a>,
    end: usize,
    huge: bool,
}

impl<'a> Builder<'a> {
    fn token(&mut self) -> Result<Option<Token<'a>>, JsonError> {
        let token = self.reader.next_token()?;
        if let Some(token) = &token {
            assert!(self.end <= token.start && token.start < token.end, "{token:?} after byte {}", self.end);
            self.end = token.end;
        }
        Ok(token)
    }

    fn value(&mut self, kind: TokenKind<'a>) -> Result<Value, JsonError> {
        Ok(match kind {
            TokenKind::Null => Value::Null,
            TokenKind::Boolean(value) => value.into(),
            TokenKind::String(text) => text.decode().into_owned().into(),
            TokenKind::Number(spelled) => {
                let number = serde_json::from_str(spelled);
                self.huge |= number.is_err();
                number.unwrap_or_default()
            }
            TokenKind::ArrayStart => {
                let mut array = Vec::new();
                loop {
                    match self.token()? {
                        Some(Token { kind: TokenKind::ArrayEnd, .. }) => break Value::Array(array),
                        Some(token) => array.push(self.value(token.kind)?),
                        None => unreachable!("an array without an end"),
                    }
                }
            }
            TokenKind::ObjectStart => {
                let mut object = Map::new();
                loop {
                    match self.token()? {
                        Some(Token { kind: TokenKind::ObjectEnd, .. }) => break Value::Object(object),
                        Some(Token { kind: TokenKind::Key(name), .. }) => {
                            let Some(token) = self.token()? else { unreachable!("a name without a value") };
                            let value = self.value(token.kind)?;
                            object.insert(name.decode().into_owned(), value);
                        }
                        other => unreachable!("{other:?} where a name should stand"),
                    }
                }
            }
            kind @ (TokenKind::ObjectEnd | TokenKind::ArrayEnd | TokenKind::Key(_)) => {
                unreachable!("{kind:?} where a value should stand")
            }
        })
    }
}

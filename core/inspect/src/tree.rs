//! A payload as a tree of fields, each with the bytes that it stands in.

use chanwire_core::{
    Span,
    wire::json::{JsonError, Reader, Token, TokenKind},
};

use crate::{Field, FieldKind};

/// The most values of one payload that are shown. An answer to LIST may hold a hundred thousand.
pub const MAX_FIELDS: usize = 2000;

/// The most characters of one value or name that are shown; a longer one ends in `…`.
pub const MAX_TEXT: usize = 4096;

/// Returns the members of the object that starts at the position `start`.
///
/// After [`MAX_FIELDS`] values the rest is only counted; the count is given beside. The payload is read to its end all
/// the same.
pub(crate) fn members(payload: &[u8], start: u64) -> Result<(Vec<Field>, u64), JsonError> {
    let mut tree = Tree { start, ..Tree::default() };
    let mut reader = Reader::new(payload);
    while let Some(token) = reader.next_token()? {
        tree.take(&token);
    }
    Ok((tree.members, tree.rest.values))
}

/// A tree that is being built.
#[derive(Default)]
struct Tree {
    start: u64,
    /// The objects and arrays that are open, the root first.
    open: Vec<Field>,
    /// The name of the value that comes next.
    key: Option<(String, Span)>,
    shown: usize,
    rest: Rest,
    members: Vec<Field>,
}

/// The values that are not shown.
#[derive(Default)]
struct Rest {
    values: u64,
    /// The number of objects and arrays that are open.
    open: usize,
}

impl Tree {
    fn take(&mut self, token: &Token<'_>) {
        let span = Span::new(self.start + token.start as u64, self.start + token.end as u64);
        let (kind, text) = match token.kind {
            TokenKind::Key(name) => {
                if self.shown < MAX_FIELDS {
                    self.key = Some((cut(&name.decode()), span));
                }
                return;
            }
            TokenKind::ObjectEnd | TokenKind::ArrayEnd => return self.close(span.end),
            _ if self.shown == MAX_FIELDS => {
                let starts = matches!(token.kind, TokenKind::ObjectStart | TokenKind::ArrayStart);
                self.rest.values += 1;
                self.rest.open += usize::from(starts);
                return;
            }
            TokenKind::ObjectStart => (FieldKind::Object, String::new()),
            TokenKind::ArrayStart => (FieldKind::Array, String::new()),
            TokenKind::String(text) => (FieldKind::String, cut(&text.decode())),
            TokenKind::Number(spelled) => (FieldKind::Number, cut(spelled)),
            TokenKind::Boolean(truth) => (FieldKind::Boolean, truth.to_string()),
            TokenKind::Null => (FieldKind::Null, "null".into()),
        };
        // The root is no member.
        self.shown += usize::from(!self.open.is_empty());
        let (name, key) = match self.key.take() {
            Some((name, key)) => (name, Some(key)),
            None => (self.open.last().map(|array| array.children.len().to_string()).unwrap_or_default(), None),
        };
        let field = Field { name, key, value: span, kind, text, children: Vec::new() };
        match kind {
            FieldKind::Object | FieldKind::Array => self.open.push(field),
            _ => self.add(field),
        }
    }

    fn close(&mut self, end: u64) {
        if self.rest.open > 0 {
            self.rest.open -= 1;
        } else if let Some(mut field) = self.open.pop() {
            field.value.end = end;
            self.add(field);
        }
    }

    fn add(&mut self, field: Field) {
        match self.open.last_mut() {
            Some(parent) => parent.children.push(field),
            None => self.members = field.children,
        }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        None => text.into(),
        Some(_) => text.chars().take(MAX_TEXT - 1).chain(['…']).collect(),
    }
}

//! Filters of rows: one language for the page and the command line.

mod complete;
mod eval;
mod expr;
mod json;
mod lex;
mod parse;
mod path;
mod pattern;
mod prefilter;
mod spelling;
mod text;

use std::{
    fmt::{self, Display, Formatter},
    ops::Range,
    str::FromStr,
};

use serde::Serialize;

pub use complete::{Completion, CompletionKind, Completions, complete};
use expr::{Expr, Field, Needle, Test};
pub(crate) use prefilter::Candidates;
use prefilter::Required;

use crate::Entry;

/// The longest text of a filter, in bytes.
pub const MAX_LENGTH: usize = 4096;

/// A predicate on rows.
///
/// ```
/// use chanwire_inspect::{Capture, Direction, Filter};
///
/// let mut capture = Capture::new(1 << 20);
/// capture.open(1, "");
/// capture.bytes(1, Direction::Out, 0.0, b"MESSAGE\r\n{\"username\": \"\\u0061nn\", \"message_content\": \"hi\"}");
/// let entry = capture.entry(1).unwrap();
///
/// let filter: Filter = "dir == out && cmd == MESSAGE && json.username contains an".parse()?;
/// assert!(filter.matches(&entry));
/// let mistake = "dir == sideways".parse::<Filter>().unwrap_err();
/// assert_eq!((mistake.at, mistake.message.as_str()), (7, "expected in or out"));
/// # Ok::<(), chanwire_inspect::Mistake>(())
/// ```
///
/// A word or a text in quotes alone is looked for in the row's text. Else a field stands before an operator:
///
/// | field | what it is | operators |
/// |---|---|---|
/// | `no` `len` `conn` | number of the row, length in bytes, number of the connection | `==` `!=` `<` `<=` `>` `>=` `in` |
/// | `time` `delta` `rtt` | since the first event, since the row before, round trip of an answer; as `50ms`, `2s` | the same |
/// | `dir` | `in` or `out` | `==` `!=` `in` |
/// | `push` | whether the server pushed it, a message or a notice | the same; also alone |
/// | `cmd` | command; of an answer, the one that it answers | `==` `!=` `contains` `~` `in`; also alone |
/// | `status` | status of an answer | the same |
/// | `err` | name of the error; alone, anything bad | the same |
/// | `text` | the row as text, the escapes of JSON's strings decoded | `==` `!=` `contains` `~` `in` |
/// | `bytes` | its bytes: `bytes contains 0x0d0a` | the same |
/// | `json.name` | values of its payload; in an array `json.0`, or all | all; also alone |
///
/// A row that does not have a field says no to every operator, `!=` too. Of several values, one is enough; to `!=` none
/// may be the same. `&&` binds tighter than `||`, and `!` tightest.
#[derive(Clone, Debug)]
pub struct Filter {
    /// As it was written.
    written: Expr,
    /// As it is asked.
    asked: Expr,
    required: Option<Required>,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    ///
    /// The first mistake in it. An empty text is one: where it means no filter, do not ask.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        parse::parse(text).map(Self::new)
    }

    /// Looks for a text: what it means is `text contains "…"`.
    #[must_use]
    pub fn containing(text: &str) -> Self {
        Self::new(Expr::Test(Test::Contains(Field::Text, Needle::text(text))))
    }

    /// Returns a filter of rows that both filters match.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self::new(Expr::And(vec![self.written.clone(), other.written.clone()]))
    }

    fn new(written: Expr) -> Self {
        let asked = written.clone().in_order_of_cost();
        let required = Required::of(&asked);
        Self { written, asked, required }
    }

    /// Returns whether it matches a row.
    #[must_use]
    pub fn matches(&self, entry: &Entry<'_>) -> bool {
        self.asked.holds(entry)
    }

    /// Returns bytes that every matching row must have, if there are any.
    pub(crate) const fn required(&self) -> Option<&Required> {
        self.required.as_ref()
    }
}

impl FromStr for Filter {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        Self::parse(text)
    }
}

/// A text that reads back as the same filter.
impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.written, f)
    }
}

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// Its start, in bytes of the text.
    pub at: usize,
    /// Its length in bytes; 0 where something is missing.
    pub length: usize,
    /// The error, or what was expected.
    pub message: String,
}

impl Mistake {
    fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { at: at.start, length: at.len(), message: message.into() }
    }
}

impl Display for Mistake {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.at, self.message)
    }
}

impl std::error::Error for Mistake {}

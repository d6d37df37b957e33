//! Regular expressions whose time is linear in what they search, and whose memory is bounded.

use std::sync::{Arc, Mutex, PoisonError};

use regex_automata::{
    Input,
    hybrid::dfa::{Cache, DFA},
    nfa::thompson,
};
use regex_syntax::{
    ast::{self, Ast, ClassPerl, ClassPerlKind, ClassSet, ClassSetItem},
    hir::{Hir, translate::TranslatorBuilder},
};

/// A regular expression that says of bytes whether it fits somewhere in them.
///
/// One of texts is as JavaScript's with its flag `u`: `.` and what stands in brackets is one character, `(?i)` knows
/// Unicode's upper and lower case, and `\w \d \s \b` are of ASCII; classes such as `\p{L}` there are none, for the
/// tables of Unicode are larger than all the rest. One of bytes knows nothing but bytes.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    source: Arc<str>,
    dfa: Arc<DFA>,
    /// The states that were met so far.
    cache: Arc<Mutex<Cache>>,
}

/// The haystack of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// UTF-8.
    Text,
    /// Anything.
    Bytes,
}

impl Pattern {
    /// The most memory of one compiled pattern, which may take as much again while it searches.
    const SIZE: usize = 256 << 10;

    /// # Errors
    ///
    /// The error in it, in one line.
    pub(super) fn new(source: &str, of: Of) -> Result<Self, String> {
        let hir = read(source, of)?;
        let nfa = thompson::Compiler::new()
            .configure(thompson::Config::new().utf8(false).nfa_size_limit(Some(Self::SIZE)))
            .build_from_hir(&hir)
            .map_err(|error| last_line(&error))?;
        let mut builder = DFA::builder();
        builder.configure(DFA::config().cache_capacity(Self::SIZE));
        let dfa = builder.build_from_nfa(nfa).map_err(|error| last_line(&error))?;
        let cache = Arc::new(Mutex::new(dfa.create_cache()));
        Ok(Self { source: source.into(), dfa: Arc::new(dfa), cache })
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        // A search that was broken off leaves nothing behind that the next one could stumble over.
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.dfa.try_search_fwd(&mut cache, &Input::new(bytes).earliest(true));
        // It gives up only where it is told to, and it is not.
        found.is_ok_and(|end| end.is_some())
    }
}

const NO_PROPERTIES: &str =
    "there are no classes of Unicode's properties here: write out what is meant, as in [a-zà-ÿ]";

fn read(source: &str, of: Of) -> Result<Hir, String> {
    let mut ast = parse(source)?;
    if of == Of::Text {
        make_ascii(&mut ast)?;
    }
    let mut translator = TranslatorBuilder::new().unicode(of == Of::Text).utf8(false).build();
    translator.translate(source, &ast).map_err(|error| last_line(&error))
}

fn parse(source: &str) -> Result<Ast, String> {
    ast::parse::Parser::new().parse(source).map_err(|error| last_line(&error))
}

/// Puts classes of ASCII where those of Perl stand. The parser bounds how deep it can be nested.
fn make_ascii(ast: &mut Ast) -> Result<(), String> {
    match ast {
        Ast::ClassPerl(class) => *ast = Ast::ClassBracketed(Box::new(ascii(class)?)),
        Ast::ClassBracketed(class) => make_set_ascii(&mut class.kind)?,
        Ast::Assertion(assertion) => {
            // Without look-behind, the end of a word can only be found in ASCII.
            let source = match assertion.kind {
                ast::AssertionKind::WordBoundary => r"(?-u:\b)",
                ast::AssertionKind::NotWordBoundary => r"(?-u:\B)",
                ast::AssertionKind::WordBoundaryStart => r"(?-u:\b{start})",
                ast::AssertionKind::WordBoundaryEnd => r"(?-u:\b{end})",
                ast::AssertionKind::WordBoundaryStartHalf => r"(?-u:\b{start-half})",
                ast::AssertionKind::WordBoundaryEndHalf => r"(?-u:\b{end-half})",
                _ => return Ok(()),
            };
            *ast = parse(source)?;
        }
        Ast::Repetition(repetition) => make_ascii(&mut repetition.ast)?,
        Ast::Group(group) => make_ascii(&mut group.ast)?,
        Ast::Alternation(alternation) => alternation.asts.iter_mut().try_for_each(make_ascii)?,
        Ast::Concat(concat) => concat.asts.iter_mut().try_for_each(make_ascii)?,
        Ast::ClassUnicode(_) => return Err(NO_PROPERTIES.into()),
        Ast::Empty(_) | Ast::Flags(_) | Ast::Literal(_) | Ast::Dot(_) => {}
    }
    Ok(())
}

fn make_set_ascii(set: &mut ClassSet) -> Result<(), String> {
    match set {
        ClassSet::Item(item) => make_item_ascii(item),
        ClassSet::BinaryOp(operation) => {
            make_set_ascii(&mut operation.lhs)?;
            make_set_ascii(&mut operation.rhs)
        }
    }
}

fn make_item_ascii(item: &mut ClassSetItem) -> Result<(), String> {
    match item {
        ClassSetItem::Unicode(_) => return Err(NO_PROPERTIES.into()),
        ClassSetItem::Perl(class) => *item = ClassSetItem::Bracketed(Box::new(ascii(class)?)),
        ClassSetItem::Bracketed(class) => make_set_ascii(&mut class.kind)?,
        ClassSetItem::Union(union) => union.items.iter_mut().try_for_each(make_item_ascii)?,
        _ => {}
    }
    Ok(())
}

/// Returns a class of Perl in ASCII, in brackets.
fn ascii(class: &ClassPerl) -> Result<ast::ClassBracketed, String> {
    let source = match class.kind {
        ClassPerlKind::Digit => "[0-9]",
        ClassPerlKind::Space => r"[\t\n\v\f\r ]",
        ClassPerlKind::Word => "[0-9A-Za-z_]",
    };
    match &parse(source)? {
        Ast::ClassBracketed(brackets) => Ok(ast::ClassBracketed { negated: class.negated, ..(**brackets).clone() }),
        _ => Err("no class".into()),
    }
}

/// Returns the last line of the innermost error, which has the cause.
fn last_line(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let said = innermost.to_string();
    let last = said.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern, Of::Text).unwrap().is_in(text.as_bytes())
    }

    #[test]
    fn in_a_text_one_of_a_class_is_one_character() {
        for (pattern, text) in [
            ("^.$", "é"),
            ("^.$", "😀"),
            ("^[äö]$", "ö"),
            ("^[^a]$", "日"),
            ("^[à-ý]{2}$", "éü"),
            ("(?i)^ÄÖß$", "äöß"),
            ("(?i)straße", "STRAßE"),
            (r"^\W$", "é"),
            (r"^[\W_]$", "é"),
            (r"^[\w&&[^a]]+$", "b_9"),
            (r"\bpeer\b", "épeeré"),
            (r"^\w{1,64}$", "user_1"),
            (r"^\D\S.{4}$", "é日😀ñab"),
            (r"x\b{end}", "x."),
        ] {
            assert!(fits(pattern, text), "{pattern} in {text}");
        }
        for (pattern, text) in [
            ("^..$", "é"),
            (r"\w", "é"),
            (r"\d", "٣"),
            (r"\s", "\u{a0}"),
            ("[äö]", "ü"),
            (r"^[\w]$", "é"),
            (r"\Bx", ".x"),
        ] {
            assert!(!fits(pattern, text), "{pattern} in {text}");
        }
    }

    #[test]
    fn in_bytes_one_of_a_class_is_one_byte() {
        let fits = |pattern, bytes: &[u8]| Pattern::new(pattern, Of::Bytes).unwrap().is_in(bytes);
        assert!(fits("^..$", "é".as_bytes()) && fits(r"\xff.\x00", b"\xffa\x00") && fits("^[^a]$", b"\x80"));
        assert!(!fits("^.$", "é".as_bytes()));
        assert!(Pattern::new("[äö]", Of::Bytes).is_err());
    }

    #[test]
    fn a_class_without_tables_is_refused_by_name() {
        for pattern in [r"\p{L}", r"\pN", r"[\p{Greek}]"] {
            let reason = Pattern::new(pattern, Of::Text).unwrap_err();
            assert!(reason.contains("Unicode's properties"), "{pattern}: {reason}");
        }
        assert!(Pattern::new("(", Of::Text).unwrap_err().contains("unclosed group"));
    }
}

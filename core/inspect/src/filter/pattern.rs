//! Regular expressions whose time is linear in what they search, and whose memory is bounded.

use std::sync::{Arc, Mutex, PoisonError};

use regex_automata::{
    Input,
    hybrid::dfa::{Cache, DFA},
    nfa::thompson,
    util::syntax,
};

/// A regular expression that says of bytes whether it fits somewhere in them.
///
/// It is one of bytes: `.` is one byte, classes such as `\w`, and `(?i)`, know ASCII only. So the tables of Unicode are
/// not needed, which are larger than all the rest.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    source: Arc<str>,
    dfa: Arc<DFA>,
    /// The states that were met so far.
    cache: Arc<Mutex<Cache>>,
}

impl Pattern {
    /// What one pattern may take when it is compiled, and as much again while it searches.
    const SIZE: usize = 256 << 10;

    /// # Errors
    ///
    /// What is wrong with it, in one line.
    pub(super) fn new(source: &str) -> Result<Self, String> {
        let mut builder = DFA::builder();
        builder
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(thompson::Config::new().utf8(false).nfa_size_limit(Some(Self::SIZE)))
            .configure(DFA::config().cache_capacity(Self::SIZE));
        let dfa = builder.build(source).map_err(|error| last_line(&error))?;
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

/// The innermost reason, whose last line says what is wrong.
fn last_line(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let said = innermost.to_string();
    let last = said.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

//! Patterns of channel names.

use alloc::sync::Arc;
use core::{fmt, str::FromStr};

use crate::wire::ChannelName;

/// A pattern of channel names: `*` is any text, also none, and every other character is itself. Case matters.
///
/// ```
/// use chanwire_core::rights::Pattern;
///
/// let pattern: Pattern = "staff-*".parse()?;
/// assert!(pattern.matches(&"staff-lounge".parse()?));
/// assert!(!pattern.matches(&"old-staff-lounge".parse()?));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Arc<str>);

/// A text that is no pattern: it has no or more than [`Pattern::MAX`] characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotAPattern;

impl Pattern {
    /// The most characters of a pattern: twice those of a name.
    pub const MAX: usize = 128;

    /// Returns whether a name matches, in time linear in the lengths of both.
    #[must_use]
    pub fn matches(&self, channel_name: &ChannelName) -> bool {
        let name = channel_name.as_str();
        let Some((first, others)) = self.0.split_once('*') else { return *self.0 == *name };
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let (middle, last) = others.rsplit_once('*').unwrap_or(("", others));
        // The leftmost place of each part leaves the most for those behind it, so none is looked for twice.
        for part in middle.split('*') {
            let Some((_, after)) = rest.split_once(part) else { return false };
            rest = after;
        }
        rest.ends_with(last)
    }

    /// Returns it as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Pattern {
    type Err = NotAPattern;

    fn from_str(text: &str) -> Result<Self, NotAPattern> {
        let is_pattern = (1..=Self::MAX).contains(&text.chars().take(Self::MAX + 1).count());
        if is_pattern { Ok(Self(text.into())) } else { Err(NotAPattern) }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for NotAPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a pattern has 1 to {} characters", Pattern::MAX)
    }
}

impl core::error::Error for NotAPattern {}

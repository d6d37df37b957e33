//! Names of channels and users, from texts that are known to be names.

use std::str::FromStr;

use chanwire_core::wire::NotAName;

/// Makes a name.
///
/// # Panics
///
/// If the text is none.
#[must_use]
#[expect(clippy::panic, reason = "a panic is how a test fails")]
pub fn named<N: FromStr<Err = NotAName>>(text: &str) -> N {
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

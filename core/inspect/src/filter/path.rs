//! Paths to values in a payload.

/// The names that lead to a value in a payload. On an array a name that is a number is an index; any other one, and the
/// end of the path, means every element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(Vec<String>);

impl Path {
    /// The most names.
    pub(super) const MAX_NAMES: usize = 32;

    pub(super) fn new(names: Vec<String>) -> Option<Self> {
        (1..=Self::MAX_NAMES).contains(&names.len()).then_some(Self(names))
    }

    pub(super) fn names(&self) -> &[String] {
        &self.0
    }
}

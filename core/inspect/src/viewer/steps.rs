//! From one row to another.

use serde::{Deserialize, Serialize};

use super::Viewer;
use crate::Filter;

/// The kind of row to go to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// One that the highlight matches.
    Highlight,
    /// One where something is wrong.
    Bad,
    /// One that is marked.
    Mark,
    /// One in which this text is.
    Text(String),
}

/// The position of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Located {
    /// See [`View::epoch`](crate::View::epoch).
    pub epoch: u64,
    /// Its position, or that of the nearest row.
    pub position: u64,
    /// Whether it is the row itself.
    pub exact: bool,
}

impl Viewer {
    /// Returns where a row stands in the view, or the nearest one that does.
    #[must_use]
    pub fn locate(&self, number: u64) -> Option<Located> {
        let (position, exact) = self.view.locate(number)?;
        Some(Located { epoch: self.view.epoch(), position, exact })
    }

    /// Returns the next row of the view after this one, or before it, of that kind. The row itself need not be in the
    /// view.
    #[must_use]
    pub fn step(&self, from: u64, forward: bool, step: &Step) -> Option<u64> {
        match step {
            Step::Highlight => {
                self.highlight.as_ref()?;
                let at = self.highlighted.position_of(if forward { from + 1 } else { from });
                self.highlighted.number_at(if forward { at } else { at.checked_sub(1)? })
            }
            Step::Mark if forward => self.marks.range(from + 1..).copied().find(|mark| self.shows(*mark)),
            Step::Mark => self.marks.range(..from).rev().copied().find(|mark| self.shows(*mark)),
            Step::Bad => {
                self.walk(from, forward).find(|number| self.capture.entry(*number).is_some_and(|entry| entry.is_bad()))
            }
            Step::Text(text) => {
                let filter = Filter::containing(text);
                self.walk(from, forward)
                    .find(|number| self.capture.entry(*number).is_some_and(|entry| filter.matches(&entry)))
            }
        }
    }

    fn shows(&self, number: u64) -> bool {
        self.view.locate(number).is_some_and(|(_, exact)| exact)
    }

    /// Returns the numbers of the view after this one, or before it.
    fn walk(&self, from: u64, forward: bool) -> impl Iterator<Item = u64> {
        let (begin, end) = (self.view.begin(), self.view.end());
        let (mut front, mut back) = if forward {
            (self.view.position_of(from.saturating_add(1)), end)
        } else {
            (begin, self.view.position_of(from))
        };
        std::iter::from_fn(move || {
            if front >= back {
                return None;
            }
            let position = if forward {
                front += 1;
                front - 1
            } else {
                back -= 1;
                back
            };
            self.view.number_at(position)
        })
    }
}

//! A capture as one person looks at it.

mod detail;
mod export;
mod shown;
mod steps;

use std::{
    cell::RefCell,
    collections::{BTreeSet, VecDeque},
};

use crate::{Capture, Carried, Filter, Mistake, StatisticsRow, View};
pub use detail::{Detail, FieldDetail, Region, detail};
use export::Running;
pub use export::{ExportFormat, ExportPart, ExportRequest, ExportScope};
pub use shown::{ArrivingFrame, ListRow, ReadRegion, Scanning, ShownFrame, Status, StreamPiece};
pub use steps::{Located, Step};

/// A capture with a filter, a time range, a highlight and marks: what stands behind the inspector's page.
///
/// Record into [`capture_mut`](Self::capture_mut), then call [`advance`](Self::advance) until there is nothing more to
/// do. Everything else answers from what was looked at so far.
#[derive(Debug)]
pub struct Viewer {
    capture: Capture,
    view: View,
    highlight: Option<Filter>,
    /// The rows of the view that the highlight matches.
    highlighted: View,
    marks: BTreeSet<u64>,
    /// Of large frames that were shown, the newest first.
    large_summaries: RefCell<VecDeque<(u64, String)>>,
    exporting: Option<Running>,
}

impl Viewer {
    /// Returns a viewer of an empty capture with this memory limit in bytes and no filter.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            capture: Capture::new(limit),
            view: View::new(),
            highlight: None,
            highlighted: View::new(),
            marks: BTreeSet::new(),
            large_summaries: RefCell::default(),
            exporting: None,
        }
    }

    /// Returns a viewer of a capture that goes on where another was: see [`Capture::carried`].
    #[must_use]
    pub fn resumed(limit: usize, carried: Carried) -> Self {
        Self { capture: Capture::resumed(limit, carried), ..Self::new(limit) }
    }

    /// Returns the capture.
    #[must_use]
    pub const fn capture(&self) -> &Capture {
        &self.capture
    }

    /// Returns the capture, to record in it.
    pub const fn capture_mut(&mut self) -> &mut Capture {
        &mut self.capture
    }

    /// Returns the rows that are shown.
    #[must_use]
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// Forgets every row, and every mark with it.
    pub fn clear(&mut self) {
        self.capture.clear();
        self.marks.clear();
    }

    /// Shows only what this filter matches; an empty text shows everything.
    ///
    /// # Errors
    ///
    /// The first mistake in it. The last filter stays in force.
    pub fn set_filter(&mut self, text: &str) -> Result<(), Mistake> {
        let filter = read(text)?;
        self.view.set_filter(filter, &self.capture);
        self.highlight_again();
        Ok(())
    }

    /// Marks what this filter matches, without hiding the rest; an empty text marks nothing.
    ///
    /// # Errors
    ///
    /// The first mistake in it. The last highlight stays in force.
    pub fn set_highlight(&mut self, text: &str) -> Result<(), Mistake> {
        self.highlight = read(text)?;
        self.highlight_again();
        Ok(())
    }

    /// Shows only rows of these times: see [`View::set_range`].
    pub fn set_range(&mut self, range: Option<(f64, f64)>) {
        self.view.set_range(range, &self.capture);
        self.highlighted.set_range(range, &self.capture);
    }

    /// Freezes the view, or continues it.
    pub fn pause(&mut self, paused: bool) {
        self.view.freeze(paused, &self.capture);
        self.highlighted.freeze(paused, &self.capture);
    }

    fn highlight_again(&mut self) {
        let both = self.highlight.as_ref().map(|highlight| match self.view.filter() {
            Some(filter) => filter.and(highlight),
            None => highlight.clone(),
        });
        self.highlighted.set_filter(both, &self.capture);
    }

    /// Looks at rows that were not looked at yet, for a bounded time. Returns whether there are more.
    pub fn advance(&mut self) -> bool {
        let first = self.capture.first();
        if self.marks.first().is_some_and(|mark| *mark < first) {
            self.marks = self.marks.split_off(&first);
        }
        let more = self.view.advance(&self.capture);
        let more_highlights = self.highlight.is_some() && self.highlighted.advance(&self.capture);
        more || more_highlights
    }

    /// Sets or takes away a mark. A row that is not held has none.
    pub fn mark(&mut self, number: u64, on: bool) {
        if on && self.capture.entry(number).is_some() {
            self.marks.insert(number);
        } else {
            self.marks.remove(&number);
        }
    }

    /// Returns the numbers of the rows that are marked.
    pub fn marks(&self) -> impl Iterator<Item = u64> {
        self.marks.iter().copied()
    }

    /// Returns the statistics since the last clear.
    #[must_use]
    pub fn statistics(&self) -> Vec<StatisticsRow> {
        self.capture.statistics()
    }

    fn is_highlighted(&self, entry: &crate::Entry<'_>) -> bool {
        self.highlight.as_ref().is_some_and(|highlight| highlight.matches(entry))
    }
}

fn read(text: &str) -> Result<Option<Filter>, Mistake> {
    if text.trim().is_empty() { Ok(None) } else { Filter::parse(text).map(Some) }
}

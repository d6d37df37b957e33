//! Rows and status for the page, which reads their serialized form.

use std::borrow::Cow;

use serde::Serialize;

use super::{Detail, Viewer, detail};
use crate::{Direction, Ending, Entry, Fault, ReadPart, RowKind, ShownEnding, secret};

/// One row of the list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListRow {
    /// Its number.
    pub number: u64,
    /// Its connection.
    pub connection: u32,
    /// Which way it went.
    pub direction: Direction,
    /// The kind of the row.
    pub kind: RowKind,
    /// Whether it came unasked: a message that the server pushed, or a notice.
    pub push: bool,
    /// Whether something is wrong.
    pub bad: bool,
    /// Whether it is marked.
    pub marked: bool,
    /// Whether the highlight matches it.
    pub highlighted: bool,
    /// Milliseconds since the capture's first event.
    pub time: f64,
    /// Whether it is known when it was; if not, its time is that of the row before it.
    #[serde(skip_serializing_if = "is_true")]
    pub timed: bool,
    /// Milliseconds since the row above it in the view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<f64>,
    /// See [`Entry::head`].
    pub head: String,
    /// See [`Entry::rtt`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt: Option<f64>,
    /// See [`Entry::pair`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<u64>,
    /// The number of its bytes.
    pub length: usize,
    /// See [`Entry::summary`].
    pub summary: String,
}

/// Returns whether it holds, to leave out what nearly all rows have.
const fn is_true(truth: &bool) -> bool {
    *truth
}

/// A row with its parts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShownFrame {
    /// As it stands in the list.
    pub row: ListRow,
    /// The position of its first byte in its stream.
    pub position: u64,
    /// The reads that brought it.
    pub reads: Vec<ReadRegion>,
    /// Its parts, if it is a frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// The fault, by the row's own positions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The reason for the end of its connection, if it is the note of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<ShownEnding>,
}

/// The part of a read that lies in a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ReadRegion {
    /// See [`ReadPart`].
    pub start: usize,
    /// See [`ReadPart`].
    pub end: usize,
    /// See [`ReadPart`].
    pub time: f64,
    /// See [`ReadPart`].
    pub begins: bool,
    /// See [`ReadPart`].
    pub ends: bool,
}

/// A row of a stream that is read as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamPiece<'a> {
    /// As it stands in the list.
    pub row: ListRow,
    /// Its bytes.
    pub bytes: Cow<'a, [u8]>,
}

/// A frame that is still arriving.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArrivingFrame {
    /// Its connection.
    pub connection: u32,
    /// Which way it goes.
    pub direction: Direction,
    /// Its start in its stream.
    pub start: u64,
    /// Up to where it has come.
    pub end: u64,
    /// See [`Arriving`](crate::Arriving).
    pub head: &'static str,
    /// See [`Arriving`](crate::Arriving).
    pub state: String,
    /// Its first bytes.
    pub bytes: Vec<u8>,
}

/// The status of a viewer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// See [`View::epoch`](crate::View::epoch).
    pub epoch: u64,
    /// The positions of the view's rows that are held.
    pub begin: u64,
    /// See `begin`.
    pub end: u64,
    /// See [`Capture::first`](crate::Capture::first).
    pub first: u64,
    /// See [`Capture::end_number`](crate::Capture::end_number).
    pub captured: u64,
    /// See [`Capture::dropped`](crate::Capture::dropped).
    pub dropped: u64,
    /// See [`Capture::bad`](crate::Capture::bad).
    pub bad: u64,
    /// See [`Capture::bad_seen`](crate::Capture::bad_seen).
    pub bad_seen: u64,
    /// See [`View::scanning`](crate::View::scanning).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scanning: Option<Scanning>,
    /// The number of rows of the view that the highlight matches, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highlights: Option<u64>,
    /// The memory in use, in bytes.
    pub memory: usize,
    /// The most there may be.
    pub limit: usize,
    /// The frames that are still arriving; of many, the first.
    pub arriving: Vec<ArrivingFrame>,
}

/// The progress of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Scanning {
    /// Rows that were looked at.
    pub done: u64,
    /// The total.
    pub total: u64,
}

/// The most arriving frames that are reported.
const MAX_ARRIVING: usize = 100;

/// The most bytes of each.
const FIRST_BYTES: usize = 24;

/// The bytes from which decoding a frame takes long.
const LARGE: usize = 16 << 10;

/// The most summaries of such frames that are kept: more than a list shows at one time.
const MAX_LARGE: usize = 256;

impl Viewer {
    /// Returns the status of the viewer.
    #[must_use]
    pub fn status(&self) -> Status {
        let (capture, view) = (&self.capture, &self.view);
        let arriving = capture.arriving().take(MAX_ARRIVING).map(|frame| ArrivingFrame {
            connection: frame.connection,
            direction: frame.direction,
            start: frame.span.start,
            end: frame.span.end,
            head: frame.head,
            state: frame.state,
            bytes: secret::mask_loosely(frame.bytes.get(..FIRST_BYTES).unwrap_or(frame.bytes)).into_owned(),
        });
        Status {
            epoch: view.epoch(),
            begin: view.begin(),
            end: view.end(),
            first: capture.first(),
            captured: capture.end_number(),
            dropped: capture.dropped(),
            bad: capture.bad(),
            bad_seen: capture.bad_seen(),
            scanning: view.scanning(capture).map(|(done, total)| Scanning { done, total }),
            highlights: self.highlight.as_ref().map(|_| self.highlighted.end() - self.highlighted.begin()),
            memory: capture.memory() + view.memory() + self.highlighted.memory(),
            limit: capture.limit(),
            arriving: arriving.collect(),
        }
    }

    /// Returns up to `count` held rows of the view from a position.
    #[must_use]
    pub fn rows(&self, position: u64, count: usize) -> Vec<ListRow> {
        let positions = position..position.saturating_add(count as u64).min(self.view.end());
        positions.filter_map(|position| self.row_at(position)).collect()
    }

    fn row_at(&self, position: u64) -> Option<ListRow> {
        let entry = self.capture.entry(self.view.number_at(position)?)?;
        let above = position.checked_sub(1).and_then(|above| self.view.number_at(above));
        Some(self.list_row(&entry, above))
    }

    /// Returns a row as it stands below another one.
    fn list_row(&self, entry: &Entry<'_>, above: Option<u64>) -> ListRow {
        let above = above.and_then(|above| self.capture.entry(above));
        ListRow {
            number: entry.number(),
            connection: entry.connection(),
            direction: entry.direction(),
            kind: entry.kind(),
            push: entry.is_push(),
            bad: entry.is_bad(),
            marked: self.marks.contains(&entry.number()),
            highlighted: self.is_highlighted(entry),
            time: entry.time(),
            timed: entry.is_timed(),
            delta: above.filter(|above| above.is_timed() && entry.is_timed()).map(|above| entry.time() - above.time()),
            head: entry.head().into(),
            rtt: entry.rtt(),
            pair: entry.pair(),
            length: entry.length(),
            summary: self.summary(entry),
        }
    }

    /// Returns a row's summary; that of a large frame, which takes long to read, is kept.
    fn summary(&self, entry: &Entry<'_>) -> String {
        if entry.length() < LARGE {
            return entry.summary();
        }
        let mut known = self.large_summaries.borrow_mut();
        if let Some((_, summary)) = known.iter().find(|(number, _)| *number == entry.number()) {
            return summary.clone();
        }
        let summary = entry.summary();
        known.truncate(MAX_LARGE - 1);
        known.push_front((entry.number(), summary.clone()));
        summary
    }

    /// Returns the row with this number as the list shows it, or would.
    fn numbered(&self, entry: &Entry<'_>) -> ListRow {
        let position = self.view.position_of(entry.number());
        self.list_row(entry, position.checked_sub(1).and_then(|above| self.view.number_at(above)))
    }

    /// Returns a row with its parts; ask its entry for the bytes.
    #[must_use]
    pub fn frame(&self, number: u64) -> Option<ShownFrame> {
        let entry = self.capture.entry(number)?;
        let described = entry.describe();
        let region = |ReadPart { start, end, time, begins, ends }| ReadRegion { start, end, time, begins, ends };
        Some(ShownFrame {
            row: self.numbered(&entry),
            position: self.capture.position(&entry),
            reads: entry.reads().into_iter().map(region).collect(),
            detail: detail(&described),
            fault: described.fault,
            ending: entry.ending().map(Ending::shown),
        })
    }

    /// Returns the rows of a row's connection around it: so many that have bytes before it, itself, and so many after
    /// it.
    #[must_use]
    pub fn stream(&self, number: u64, before: usize, after: usize) -> Vec<StreamPiece<'_>> {
        let Some(entry) = self.capture.entry(number) else { return Vec::new() };
        let of_connection = |other: &Entry<'_>| other.connection() == entry.connection() && other.length() > 0;
        let earlier = (self.capture.first()..number).rev().filter_map(|number| self.capture.entry(number));
        let mut pieces: Vec<Entry<'_>> = earlier.filter(of_connection).take(before).collect();
        pieces.reverse();
        pieces.push(entry);
        let later = self.capture.entries(number + 1, self.capture.end_number());
        pieces.extend(later.filter(of_connection).take(after));
        pieces.iter().map(|entry| StreamPiece { row: self.numbered(entry), bytes: entry.masked_bytes() }).collect()
    }
}

//! Tables of which each row has rates: rates from two samples, the order of rows, and columns that fit.

use std::{cmp::Ordering, collections::BTreeMap, fmt::Debug};

use serde::Serialize;
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// A row of a table, at one time.
pub(super) trait Row: Clone + Debug {
    /// Tells rows apart, also of several samples.
    type Key: Clone + Debug + Ord;
    /// The uses per second.
    type Rates: Copy + Debug + Default + PartialEq + Serialize;
    /// The columns.
    type Column: Column<Row = Self>;

    fn key(&self) -> Self::Key;

    /// Returns the uses per second, of which `rate` returns each by its count.
    fn rates(rate: impl Fn(fn(&Self) -> u64) -> f64) -> Self::Rates;

    /// Returns the sums over all rows as a line.
    fn totals(entries: &[Entry<Self>]) -> String;
}

/// A column, by which rows are ordered.
pub(super) trait Column: Copy + Debug + PartialEq + 'static {
    type Row: Row<Column = Self>;

    /// Every column, in the order in which they are shown.
    const ALL: &'static [Self];

    /// The columns that a narrow terminal does without, the first to go first.
    const DISPENSABLE: &'static [Self];

    /// The keys that order by each column, for the screen's help.
    const KEYS: &'static str;

    /// Returns the column that a key orders by.
    fn of_key(key: char) -> Option<Self>;

    fn title(self) -> &'static str;

    /// Returns whether its smallest value comes first. The largest of the others are of interest.
    fn is_ascending(self) -> bool;

    fn is_text(self) -> bool;

    fn cell(self, entry: &Entry<Self::Row>) -> String;

    fn compare(self, one: &Entry<Self::Row>, other: &Entry<Self::Row>) -> Ordering;
}

/// A row with its rates, which the first sample does not have.
#[derive(Clone, Debug)]
pub(super) struct Entry<R: Row> {
    pub(super) row: R,
    pub(super) rates: Option<R::Rates>,
}

impl<R: Row> Entry<R> {
    /// Returns a rate as a cell.
    pub(super) fn rate(&self, of: fn(&R::Rates) -> f64) -> String {
        self.rates.as_ref().map_or("-".into(), |rates| short(of(rates)))
    }

    /// Compares a rate with another's.
    pub(super) fn compare_rate(&self, other: &Self, of: fn(&R::Rates) -> f64) -> Ordering {
        let of = |entry: &Self| entry.rates.as_ref().map_or(0.0, of);
        of(self).total_cmp(&of(other))
    }
}

/// The order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order<C> {
    column: C,
    is_reversed: bool,
}

impl<C: Column> Order<C> {
    pub(super) const fn by(column: C) -> Self {
        Self { column, is_reversed: false }
    }

    /// Returns the order after a column's key: by that column, or the other way round.
    pub(super) fn after(self, column: C) -> Self {
        Self { column, is_reversed: column == self.column && !self.is_reversed }
    }

    /// Sorts entries. Those that are equal are in the order of their keys.
    pub(super) fn sort(self, entries: &mut [Entry<C::Row>]) {
        entries.sort_by(|one, other| {
            let order = self.column.compare(one, other);
            let order = if self.column.is_ascending() == self.is_reversed { order.reverse() } else { order };
            order.then_with(|| one.row.key().cmp(&other.row.key()))
        });
    }
}

/// Returns the rows of a sample, with their rates in the seconds since the one before, which are `None` for the first.
/// The counts of a row that is new are from that time.
pub(super) fn entries<R: Row>(before: &[R], now: &[R], seconds: Option<f64>) -> Vec<Entry<R>> {
    let past: BTreeMap<R::Key, &R> = before.iter().map(|row| (row.key(), row)).collect();
    let entry = |row: &R| {
        let before = past.get(&row.key());
        let rates = seconds.map(|seconds| {
            R::rates(|of| of(row).saturating_sub(before.map_or(0, |row| of(row))) as f64 / seconds.max(0.001))
        });
        Entry { row: row.clone(), rates }
    };
    now.iter().map(entry).collect()
}

/// Returns the header and the rows, as many columns of them as fit into this width.
pub(super) fn lines<R: Row>(entries: &[Entry<R>], width: usize) -> (String, Vec<String>) {
    let mut columns: Vec<Cells<R::Column>> = R::Column::ALL
        .iter()
        .map(|column| {
            let cells: Vec<String> = entries.iter().map(|entry| column.cell(entry)).collect();
            let width = cells.iter().map(|cell| cell.width()).max().unwrap_or(0).max(column.title().len());
            Cells { column: *column, cells, width }
        })
        .collect();
    for dispensable in R::Column::DISPENSABLE {
        let all: usize = columns.iter().map(|it| it.width + GAP).sum();
        if all <= width + GAP {
            break;
        }
        columns.retain(|it| it.column != *dispensable);
    }
    let line = |cell: &dyn Fn(&Cells<R::Column>) -> String| {
        let cells = columns.iter().map(|it| padded(&cell(it), it.width, it.column.is_text()));
        fitted(cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end(), width)
    };
    let header = line(&|it| it.column.title().into());
    let row = |index: usize| line(&|it| it.cells.get(index).cloned().unwrap_or_default());
    (header, (0..entries.len()).map(row).collect())
}

/// A column with its cells and the width of the widest.
struct Cells<C> {
    column: C,
    cells: Vec<String>,
    width: usize,
}

/// The columns between two columns.
const GAP: usize = 2;

/// Fills a cell up with blanks: texts at their right, numbers at their left.
fn padded(cell: &str, width: usize, is_text: bool) -> String {
    let blanks = " ".repeat(width.saturating_sub(cell.width()));
    if is_text { format!("{cell}{blanks}") } else { format!("{blanks}{cell}") }
}

/// Cuts a line that is wider than this.
pub(super) fn fitted(line: &str, width: usize) -> String {
    if line.width() <= width {
        return line.into();
    }
    let mut cut = String::new();
    let mut room = width.saturating_sub(1);
    for grapheme in line.graphemes(true) {
        let Some(rest) = room.checked_sub(grapheme.width()) else { break };
        room = rest;
        cut += grapheme;
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// Returns a number in at most five characters up to 10^15: with one decimal below 10, and with `k`, `M`, `G` or `T`.
pub(super) fn short(number: f64) -> String {
    let (mut number, mut units) = (number, ["", "k", "M", "G", "T"].into_iter().peekable());
    let mut unit = units.next().unwrap_or_default();
    // Rounded, it would have four digits.
    while number >= 999.5
        && let Some(next) = units.next()
    {
        number /= 1000.0;
        unit = next;
    }
    if number < 9.95 && number.fract() > 0.0 { format!("{number:.1}{unit}") } else { format!("{number:.0}{unit}") }
}

/// Returns a number of things, in words.
pub(super) fn counted(count: usize, thing: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_a_width() {
        assert_eq!(fitted("世界世界", 5), "世界…");
        assert_eq!(fitted("世界世界", 4), "世…");
        assert_eq!(fitted("世界", 0), "");
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 0.04, 0.5, 9.94, 9.96, 42.4, 999.4, 999.6, 1000.0, 1500.0, 999_600.0, 2.5e9, 3e12, 5e15];
        let texts = numbers.map(short);
        let expected =
            ["0", "0.0", "0.5", "9.9", "10", "42", "999", "1.0k", "1k", "1.5k", "1.0M", "2.5G", "3T", "5000T"];
        assert_eq!(texts, expected);
    }
}

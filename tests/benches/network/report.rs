//! The measurements, for people and for programs.

use std::{
    fmt, thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

/// All that was measured.
pub(crate) struct Report {
    tables: Vec<Table>,
}

/// One part's measurements, and whether they are what is wanted.
pub(crate) struct Table {
    name: &'static str,
    title: String,
    columns: &'static [&'static str],
    rows: Vec<Vec<Cell>>,
    verdicts: Vec<Verdict>,
}

/// A number of a table with its digits after the point, or a word.
#[derive(Clone)]
pub(crate) enum Cell {
    Number(f64, usize),
    Word(String),
}

struct Verdict {
    claim: String,
    value: f64,
    wanted: String,
    met: bool,
}

impl Cell {
    pub(crate) fn number(number: f64, digits: usize) -> Self {
        Self::Number(number, digits)
    }

    fn json(&self) -> Value {
        match self {
            Self::Number(number, _) => json!(number),
            Self::Word(word) => json!(word),
        }
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Self::Number(number as f64, 0)
    }
}

impl From<&str> for Cell {
    fn from(word: &str) -> Self {
        Self::Word(word.to_owned())
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number, digits) => write!(f, "{number:.digits$}"),
            Self::Word(word) => f.write_str(word),
        }
    }
}

impl Table {
    pub(crate) fn new(name: &'static str, title: String, columns: &'static [&'static str]) -> Self {
        Self { name, title, columns, rows: Vec::new(), verdicts: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn at_least(&mut self, claim: impl Into<String>, value: f64, bound: f64) {
        let wanted = format!("at least {bound}");
        self.verdicts.push(Verdict { claim: claim.into(), value, wanted, met: value >= bound });
    }

    pub(crate) fn at_most(&mut self, claim: impl Into<String>, value: f64, bound: f64) {
        let wanted = format!("at most {bound}");
        self.verdicts.push(Verdict { claim: claim.into(), value, wanted, met: value <= bound });
    }

    fn json(&self) -> Value {
        let row = |row: &Vec<Cell>| row.iter().map(Cell::json).collect::<Value>();
        let verdict = |Verdict { claim, value, wanted, met }: &Verdict| json!({"what": claim, "value": value, "wanted": wanted, "met": met});
        json!({
            "name": self.name,
            "title": self.title,
            "columns": self.columns,
            "rows": self.rows.iter().map(row).collect::<Value>(),
            "targets": self.verdicts.iter().map(verdict).collect::<Value>(),
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}\n", self.title)?;
        let heads = self.columns.iter().map(ToString::to_string).collect::<Vec<_>>();
        let rows = self.rows.iter().map(|row| row.iter().map(Cell::to_string).collect());
        let lines: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
        let width =
            |column| lines.iter().filter_map(|line| line.get(column)).map(|cell: &String| cell.chars().count()).max();
        let widths: Vec<usize> = (0..self.columns.len()).filter_map(width).collect();
        for line in &lines {
            for (cell, width) in line.iter().zip(&widths) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f)?;
        }
        writeln!(f)?;
        for Verdict { claim, value, wanted, met } in &self.verdicts {
            let met = if *met { "met" } else { "MISSED" };
            writeln!(f, "  {claim}: {value:.2} (wanted: {wanted}; {met})")?;
        }
        Ok(())
    }
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { tables: Vec::new() }
    }

    pub(crate) fn add(&mut self, table: Table) {
        self.tables.push(table);
    }

    pub(crate) fn json(&self) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        json!({
            "unix_time": now.as_secs(),
            "cores": cores(),
            "tables": self.tables.iter().map(Table::json).collect::<Value>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Over loopback, {} cores, the load on the same machine; medians of the rounds.", cores())?;
        self.tables.iter().try_for_each(|table| write!(f, "{table}"))
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The samples of several systems, by round.
pub(crate) struct Rounds<S> {
    /// For each system, one of each round.
    samples: Vec<Samples<S>>,
}

/// One system's samples, in the order of the rounds.
pub(crate) struct Samples<S>(Vec<S>);

impl<S> Rounds<S> {
    /// Measures each system once a round, every other round in the opposite order.
    pub(crate) fn run<T>(systems: &[T], rounds: usize, mut sample: impl FnMut(&T) -> S) -> Self {
        let mut systems: Vec<&T> = systems.iter().collect();
        Self::run_mut(&mut systems, rounds, |system| sample(system))
    }

    /// Runs the rounds of systems that change.
    pub(crate) fn run_mut<T>(systems: &mut [T], rounds: usize, mut sample: impl FnMut(&mut T) -> S) -> Self {
        let mut samples: Vec<_> = systems.iter().map(|_| Samples(Vec::new())).collect();
        for round in 0..rounds {
            let mut turns: Vec<_> = systems.iter_mut().zip(&mut samples).collect();
            if round % 2 == 1 {
                turns.reverse();
            }
            for (system, samples) in turns {
                samples.0.push(sample(system));
            }
        }
        Self { samples }
    }

    pub(crate) fn by_system(&self) -> impl Iterator<Item = &Samples<S>> {
        self.samples.iter()
    }

    /// Returns the ratio of one system's value to the other's: the median of all rounds.
    pub(crate) fn ratio(&self, one: usize, other: usize, value: impl Fn(&S) -> f64) -> f64 {
        self.compare(one, other, |one, other| value(one) / value(other))
    }

    /// Returns the difference of one system's value to the other's: the median of all rounds.
    pub(crate) fn difference(&self, one: usize, other: usize, value: impl Fn(&S) -> f64) -> f64 {
        self.compare(one, other, |one, other| value(one) - value(other))
    }

    /// Compares one system's samples with the other's: the median of all rounds.
    pub(crate) fn compare(&self, one: usize, other: usize, compare: impl Fn(&S, &S) -> f64) -> f64 {
        let pairs = self.samples[one].0.iter().zip(&self.samples[other].0);
        quantile(&mut pairs.map(|(one, other)| compare(one, other)).collect::<Vec<_>>(), 0.5)
    }
}

impl<S> Samples<S> {
    /// Returns the median of all rounds, shown with so many digits after the point.
    pub(crate) fn median(&self, digits: usize, value: impl Fn(&S) -> f64) -> Cell {
        Cell::Number(quantile(&mut self.0.iter().map(value).collect::<Vec<_>>(), 0.5), digits)
    }
}

/// Returns the value that this part of all values does not exceed.
pub(crate) fn quantile(values: &mut [f64], part: f64) -> f64 {
    assert!(!values.is_empty(), "nothing was measured");
    let index = ((values.len() - 1) as f64 * part).round() as usize;
    *values.select_nth_unstable_by(index, f64::total_cmp).1
}

/// Returns a time in microseconds.
pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

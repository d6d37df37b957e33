//! Statistics of traffic, counted as it comes in.

mod histogram;
mod timeline;
mod trips;

use chanwire_core::wire::{Command, StartLine as _, Status};
use serde::Serialize;

pub use timeline::Timeline;
pub(crate) use timeline::Times;
use trips::Trips;

/// Counts of all traffic since the last clear, whether it is still held or not.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    commands: [Counts; COMMANDS],
    statuses: [Counts; 3],
    pushes: Counts,
    notices: Counts,
    faults: Counts,
    skipped: Counts,
}

const COMMANDS: usize = Command::ALL.len();
const STATUSES: [Status; 3] = [Status::Ok, Status::RequestError, Status::ServerError];

#[derive(Debug, Default)]
struct Counts {
    count: u64,
    bytes: u64,
    bad: u64,
    trips: Trips,
}

impl Counts {
    const fn take(&mut self, bytes: usize, bad: bool) {
        self.count += 1;
        self.bytes += bytes as u64;
        self.bad += bad as u64;
    }
}

/// The kind of traffic that a row is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request(Command),
    Answer(Status),
    Push,
    Notice,
    Fault,
    Skipped,
    /// A row without bytes, which is not counted.
    Note,
}

impl Statistics {
    /// Counts a row.
    pub(crate) fn take(&mut self, kind: Kind, bytes: usize, bad: bool) {
        if let Some(counts) = self.counts(kind) {
            counts.take(bytes, bad);
        }
    }

    /// Counts the answer to a request of this command, with its round trip in milliseconds if known; `spoilt` if only
    /// its answer tells that it was wrong.
    pub(crate) fn answered(&mut self, command: Command, status: Status, trip: Option<f64>, spoilt: bool) {
        for kind in [Kind::Request(command), Kind::Answer(status)] {
            if let Some(counts) = self.counts(kind) {
                trip.into_iter().for_each(|trip| counts.trips.take(trip));
            }
        }
        if let Some(counts) = self.counts(Kind::Request(command)) {
            counts.bad += u64::from(spoilt);
        }
    }

    fn counts(&mut self, kind: Kind) -> Option<&mut Counts> {
        match kind {
            Kind::Request(command) => {
                let place = Command::ALL.iter().position(|known| *known == command)?;
                self.commands.get_mut(place)
            }
            Kind::Answer(status) => {
                let place = STATUSES.iter().position(|known| *known == status)?;
                self.statuses.get_mut(place)
            }
            Kind::Push => Some(&mut self.pushes),
            Kind::Notice => Some(&mut self.notices),
            Kind::Fault => Some(&mut self.faults),
            Kind::Skipped => Some(&mut self.skipped),
            Kind::Note => None,
        }
    }

    /// Returns one line for each kind that was seen.
    pub(crate) fn table(&self) -> Vec<StatisticsRow> {
        use StatisticsGroup::{Command as ByCommand, Other, Push, Status as ByStatus};
        let commands =
            Command::ALL.iter().zip(&self.commands).map(|(command, counts)| (ByCommand, command.name(), counts));
        let statuses = STATUSES.iter().zip(&self.statuses).map(|(status, counts)| (ByStatus, status.name(), counts));
        let others = [
            (Push, Status::Push.name(), &self.pushes),
            (Push, Status::Notice.name(), &self.notices),
            (Other, "fault", &self.faults),
            (Other, "skipped", &self.skipped),
        ];
        let rows = commands.chain(statuses).chain(others).filter(|(_, _, counts)| counts.count > 0);
        rows.map(|(group, name, counts)| StatisticsRow {
            group,
            name,
            count: counts.count,
            bytes: counts.bytes,
            bad: counts.bad,
            p50: counts.trips.percentile(50),
            p95: counts.trips.percentile(95),
            p99: counts.trips.percentile(99),
            approximate: counts.trips.is_approximate(),
        })
        .collect()
    }
}

/// The kind of traffic that a line of the statistics is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StatisticsGroup {
    /// The requests of one command.
    Command,
    /// The answers with one status.
    Status,
    /// Messages that the server pushed, and notices.
    Push,
    /// Rows that are no frames.
    Other,
}

/// Traffic of one kind since the last clear.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatisticsRow {
    /// The kind of traffic.
    pub group: StatisticsGroup,
    /// The command, the status, `fault` or `skipped`.
    pub name: &'static str,
    /// The number of rows.
    pub count: u64,
    /// The number of their bytes.
    pub bytes: u64,
    /// The number of bad rows; of a command also requests that were answered by an error.
    pub bad: u64,
    /// The round trip in milliseconds that half of the answered ones took at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    /// The time that 95 of 100 did not exceed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95: Option<f64>,
    /// The time that 99 of 100 did not exceed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
    /// Whether the round trips are to within 4 %, because there are too many to keep each.
    pub approximate: bool,
}

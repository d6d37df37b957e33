//! Traffic between clients and a server, for its watchers: the page, and the writer of a recording.

mod backlog;
mod boundaries;
#[cfg(test)]
mod gaps;
mod open_connection;
mod record;
mod watchers;

pub(crate) use self::{
    backlog::EarlierTraffic,
    boundaries::BoundaryFinder,
    record::{Record, RecordKind},
    watchers::{Watcher, Watchers},
};

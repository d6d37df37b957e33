//! Traffic that passes between clients and a server, for those who watch it: the page, and the writer of a recording.

mod backlog;
mod cutter;
#[cfg(test)]
mod gaps;
mod open_connection;
mod record;
mod watchers;

pub(crate) use self::{
    backlog::Earlier,
    cutter::Cutter,
    record::{Record, What},
    watchers::{Watcher, Watchers},
};

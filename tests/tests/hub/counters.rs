//! Counts of the hub's work.

use std::{collections::BTreeSet, time::Duration};

use chanwire_core::{
    hub::Counters,
    wire::{Command, Status},
};

use super::*;

/// Returns the counts of a command's answers, by status, that are not zero.
fn answers(counters: &Counters, command: Command) -> Vec<(Status, u64)> {
    let requests = counters.requests.iter().filter(|((other, _), count)| *other == command && **count > 0);
    requests.map(|((_, status), count)| (*status, *count)).collect()
}

#[test]
fn every_command_and_error_is_there_from_the_start() {
    let mut trial = trial();
    let counters = trial.hub.counters();
    assert_eq!(counters.requests.len(), 3 * (Command::ALL.len() - 1));
    let names: BTreeSet<&str> = ErrorResponse::NAMES.iter().copied().collect();
    assert!(counters.errors.keys().copied().eq(names));
    assert!(counters.requests.values().chain(counters.errors.values()).all(|count| *count == 0));
}

#[test]
fn messages_of_one_commit_are_counted_together_and_failed_ones_as_errors() {
    let (mut trial, ada, bob) = two_channels();
    let before = trial.hub.counters();
    for text in ["a", "b", "c"] {
        trial.ask(ada, &say(text, None), 0);
    }
    trial.settle();
    trial.ask(bob, &say("lost", None), 0);
    trial.store(Fate::Lost);
    trial.settle();
    let counters = trial.hub.counters();
    assert_eq!(counters.messages_stored, 3);
    assert_eq!(answers(&counters, Command::Message), [(Status::Ok, 3), (Status::ServerError, 1)]);
    assert_eq!(counters.errors["Database connection failed"], 1);
    let commits = counters.commit_messages.count() - before.commit_messages.count();
    let messages = counters.commit_messages.sum() - before.commit_messages.sum();
    assert!(messages == 3 && commits <= 2, "{commits} commits");
    assert_eq!(counters.request_milliseconds[&Command::Message].count(), 4);
}

#[test]
fn the_time_with_the_store_is_counted() {
    let (mut trial, ada, _) = two_channels();
    trial.ask(ada, &say("slow", None), 0);
    trial.drain();
    trial.now = trial.now.after(Duration::from_millis(30));
    trial.settle();
    let times = &trial.hub.counters().request_milliseconds[&Command::Message];
    assert_eq!((times.count(), times.sum()), (1, 30));
}

#[test]
fn channels_are_counted_by_where_they_live_as_addresses_change() {
    let (mut trial, ada, _) = two_channels();
    let count = |trial: &mut Trial| {
        let counters = trial.hub.counters();
        (counters.channels_here, counters.channels_elsewhere)
    };
    assert_eq!(count(&mut trial), (1, 1));
    trial.ask(ada, &host("far", "203.0.113.7", 1), 0);
    trial.settle();
    assert_eq!(count(&mut trial), (1, 2));
    trial.set_local_addresses(0, vec![at("203.0.113.7", 1), at("10.0.0.1", 22236)]);
    assert_eq!(count(&mut trial), (2, 1));
}

//! Chanwire: host chat channels over a text protocol that anyone can type.
#![forbid(unsafe_code)]
// They panic where the stream cannot be written.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod accept;
mod banner;
mod cli;
mod clock;
mod config;
mod connection;
mod driver;
mod file_limit;
mod files;
mod http;
mod hub_task;
mod listener;
mod logging;
mod mailbox;
mod own;
mod serve_error;
mod server;
mod server_address;
mod signals;
mod socket;
mod store;
mod supervisor;
mod tap;
mod threads;
mod tracker;

use std::{panic, process::ExitCode};

/// Runs the command line of the program `chanwire`.
#[doc(hidden)]
#[must_use]
pub fn command_line() -> ExitCode {
    // A panic was printed or logged where it was.
    let code = panic::catch_unwind(cli::run).unwrap_or(ExitCode::from(101));
    logging::flush();
    code
}

//! Chanwire: host chat channels over a text protocol that anyone can type.
#![forbid(unsafe_code)]

mod cli;
mod clock;
mod config;
mod connection;
mod driver;
mod file_limit;
mod http;
mod hub_task;
mod listener;
mod logging;
mod mailbox;
mod own;
mod server;
mod server_address;
mod socket;
mod store;
mod tap;
mod tracker;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    cli::Cli::parse().run()
}

//! Chanwire: host chat channels over a text protocol that anyone can type.
//!
//! - [`Client`] is for programs that talk on channels: bots, bridges, tests. The command line is one of them.
//! - [`Server`] is the whole server inside another program: its store, its directory of channels, its inspector.
//! - [`driver`] carries bytes between a stream and one end of the protocol, for those who bring their own transport.
//! - [`protocol`] is the protocol itself without I/O: the crate `chanwire-core`, of which the types below are.
//!
//! A bot that answers every message that begins with `!echo`:
//!
//! ```no_run
#![doc = include_str!("../examples/bot.rs")]
//! ```
//!
//! Everything needs a tokio runtime with its I/O and time enabled. The program `chanwire` is the same package.
#![forbid(unsafe_code)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
// They panic where the stream cannot be written.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod accept;
mod accounts;
mod admission;
mod banner;
mod cli;
pub mod client;
mod clock;
mod config;
mod connection;
mod drain;
pub mod driver;
mod embedded;
mod file_limit;
mod files;
mod http;
mod hub_task;
mod inherited;
mod listener;
mod local_addresses;
mod logging;
mod mailbox;
mod metrics;
mod openings;
mod proxy_header;
mod refusals;
mod serve_error;
mod server;
mod server_address;
mod service_manager;
mod shared_stream;
mod signals;
mod socket;
mod store;
mod supervisor;
mod tap;
mod threads;
mod tls;
mod tracker;
mod traffic;
mod unix_socket;

use std::{
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
};

pub use chanwire_core as protocol;
#[doc(inline)]
pub use chanwire_core::wire::{
    AccountName, Address, Channel, ChannelActivity, ChannelName, Credentials, Hello, HistoryRange, JoinFrom,
    ListedChannel, Message, NotAName, NotASecret, Secret, StoredMessage, Timestamp, User, Username,
};
use listenfd::ListenFd;

pub use self::{
    client::{Client, Error, ErrorKind, Moderation, SignInError, Subscription, SubscriptionEvent, Who},
    clock::Clock,
    embedded::{HostedChannel, Server, ServerConfig, ServerError},
    server_address::{NotAServer, ServerAddress},
    tls::{NotAPin, Pin, TlsError, TlsFiles, Trust},
};

/// Runs the command line of the program `chanwire`.
#[doc(hidden)]
#[must_use]
pub fn command_line() -> ExitCode {
    // First, because it changes the environment, which must not be while there are threads.
    let passed = ListenFd::from_env();
    // A panic was printed or logged where it was.
    let code = panic::catch_unwind(AssertUnwindSafe(|| cli::run(passed))).unwrap_or(ExitCode::from(101));
    logging::flush();
    code
}

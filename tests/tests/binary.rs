//! The real binary, over TCP and on its command line: `CHANWIRE_BIN`, else what `make build` makes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

#[path = "binary/accounts.rs"]
mod accounts;
#[path = "binary/activation.rs"]
mod activation;
#[path = "binary/addresses.rs"]
mod addresses;
#[path = "binary/bridge.rs"]
mod bridge;
#[path = "binary/cli.rs"]
mod cli;
#[path = "binary/config.rs"]
mod config;
#[path = "binary/crash.rs"]
mod crash;
#[path = "binary/database.rs"]
mod database;
#[path = "binary/decode.rs"]
mod decode;
#[path = "binary/drain.rs"]
mod drain;
#[path = "binary/durability.rs"]
mod durability;
#[path = "binary/faults.rs"]
mod faults;
#[path = "binary/files.rs"]
mod files;
#[path = "binary/hosting.rs"]
mod hosting;
#[path = "binary/joins.rs"]
mod joins;
#[path = "binary/leases.rs"]
mod leases;
#[path = "binary/limits.rs"]
mod limits;
#[path = "binary/listeners.rs"]
mod listeners;
#[path = "binary/log_fields.rs"]
mod log_fields;
#[path = "binary/log_lines.rs"]
mod log_lines;
#[path = "binary/log_privacy.rs"]
mod log_privacy;
#[path = "binary/metrics.rs"]
mod metrics;
#[path = "binary/moderation.rs"]
mod moderation;
#[path = "binary/page.rs"]
mod page;
#[cfg(target_os = "linux")]
#[path = "binary/proxies.rs"]
mod proxies;
#[path = "binary/readers.rs"]
mod readers;
#[path = "binary/reasons.rs"]
mod reasons;
#[path = "binary/refused_start.rs"]
mod refused_start;
#[path = "binary/reload.rs"]
mod reload;
#[path = "binary/repeated_sends.rs"]
mod repeated_sends;
#[path = "binary/requests.rs"]
mod requests;
#[path = "binary/service_manager.rs"]
mod service_manager;
#[path = "binary/session.rs"]
mod session;
#[path = "binary/sign_in.rs"]
mod sign_in;
#[path = "binary/signals.rs"]
mod signals;
#[path = "binary/sockets.rs"]
mod sockets;
#[path = "binary/standard_error.rs"]
mod standard_error;
#[path = "binary/start_stop.rs"]
mod start_stop;
#[path = "binary/tap.rs"]
mod tap;
#[path = "binary/threads.rs"]
mod threads;
#[path = "binary/tls.rs"]
mod tls;
#[path = "binary/tls_clients.rs"]
mod tls_clients;
#[path = "binary/trace.rs"]
mod trace;
#[path = "binary/unix_sockets.rs"]
mod unix_sockets;

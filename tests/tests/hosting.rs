//! A peer server that keeps its channels on a tracker's list: two real processes.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a panic is how a test fails")]

#[path = "hosting/scripted.rs"]
mod scripted;
#[path = "hosting/two_processes.rs"]
mod two_processes;

use std::{net::SocketAddr, path::Path};

use chanwire_tests::process::Launch;

/// Returns a server whose channel of this name is listed at this port of 127.0.0.1, and that has it listed by a
/// tracker.
fn peer(data_dir: &Path, name: &str, port: u16, tracker: SocketAddr) -> Launch {
    let host = format!("{name}=127.0.0.1:{port}@127.0.0.1:0");
    Launch::serve(data_dir).args(["--host", &host, "--lease", "10", "--tracker", &tracker.to_string()])
}

//! The real binary's store: when its disk is full, when it is killed, when its files are damaged, when it drops what
//! it need not keep, when it is copied and put back, and when its files change behind its back.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a panic is how a test fails")]

#[path = "store_faults/backup.rs"]
mod backup;
#[path = "store_faults/crash_loop.rs"]
mod crash_loop;
#[path = "store_faults/damage.rs"]
mod damage;
#[path = "store_faults/full_disk.rs"]
mod full_disk;
#[path = "store_faults/incomplete.rs"]
mod incomplete;
#[path = "store_faults/moved.rs"]
mod moved;
#[path = "store_faults/restore.rs"]
mod restore;
#[path = "store_faults/retention.rs"]
mod retention;
#[path = "store_faults/room.rs"]
mod room;
#[path = "store_faults/stored.rs"]
mod stored;

use std::path::Path;

use chanwire_tests::process::{Answer, Launch, Server};

/// Returns a server at which the channels that are hosted at 192.0.2.9:22236 live, however often it is started.
fn serve(data_dir: &Path) -> Launch {
    Launch::serve(data_dir).args(["--advertise", "192.0.2.9:22236"])
}

/// Hosts the channel `general` there.
fn host_general(server: &Server) {
    let request =
        "HOST\r\n{\"channel_name\": \"general\", \"peer_server_ip\": \"192.0.2.9\", \"peer_server_port\": 22236}";
    let answer = server.connect().ask(request);
    assert!(answer.is_ok(), "{}", answer.raw);
}

fn message(username: &str, content: &str) -> String {
    format!(
        "MESSAGE\r\n{{\"username\": \"{username}\", \"message_content\": \"{content}\", \"channel_name\": \"general\"}}"
    )
}

fn join_after(after: i64) -> String {
    format!("JOIN\r\n{{\"channel_name\": \"general\", \"after\": {after}}}")
}

fn number(answer: &Answer, field: &str) -> i64 {
    answer.payload[field].as_i64().unwrap_or_else(|| panic!("{}", answer.raw))
}

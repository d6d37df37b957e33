//! The terminal of commands that draw on it: its modes, its keys, and output that does not block.

mod keys;
pub(super) mod modes;
mod output;

use std::io::{self, Read as _};

use tokio::sync::mpsc;

pub(super) use self::{
    keys::{Key, Keys, MAX_PASTE},
    modes::Modes,
    output::Output,
};
use crate::threads;

/// Bytes that one read takes at most: all that a terminal has at one time.
const READ: usize = 64 * 1024;

/// Starts to read the bytes of keys, on a thread of its own.
pub(super) fn start_keys() -> io::Result<mpsc::Receiver<Vec<u8>>> {
    let (keys, input) = mpsc::channel(4);
    threads::spawn("keys", move || read(&keys)).map_err(io::Error::other)?;
    Ok(input)
}

fn read(keys: &mpsc::Sender<Vec<u8>>) {
    let mut input = io::stdin().lock();
    let mut bytes = vec![0; READ];
    loop {
        match input.read(&mut bytes) {
            Ok(0) => return,
            Ok(count) => {
                let read = bytes.get(..count).unwrap_or_default().to_vec();
                if keys.blocking_send(read).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The terminal is gone.
            Err(_) => return,
        }
    }
}

//! The terminal's modes, its size, and job control.

use std::io;

use rustix::{
    io::Errno,
    process::{Pid, Signal, getpgrp, getpid, getsid, kill_process, kill_process_group},
    termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};

/// The modes for editing a line, until this is dropped.
#[derive(Debug)]
pub(in crate::cli) struct Modes {
    before: Termios,
}

impl Modes {
    /// Saves the terminal's modes and sets those for editing.
    pub(in crate::cli) fn enter() -> io::Result<Self> {
        let modes = Self { before: tcgetattr(io::stdin())? };
        modes.edit()?;
        Ok(modes)
    }

    /// Sets the modes for editing: every key is a byte that comes at once. Output is processed as before.
    pub(in crate::cli) fn edit(&self) -> io::Result<()> {
        let mut raw = self.before.clone();
        raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        raw.input_modes -=
            InputModes::ICRNL | InputModes::INLCR | InputModes::IGNCR | InputModes::IXON | InputModes::ISTRIP;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        set(&raw)
    }

    /// Sets the modes that were before.
    pub(in crate::cli) fn restore(&self) -> io::Result<()> {
        set(&self.before)
    }
}

impl Drop for Modes {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = self.restore();
    }
}

fn set(modes: &Termios) -> io::Result<()> {
    loop {
        match tcsetattr(io::stdin(), OptionalActions::Now, modes) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Columns and rows. A terminal that does not know them counts as 80 by 24.
pub(in crate::cli) fn size() -> (usize, usize) {
    let size = tcgetwinsize(io::stdout()).ok();
    let known = |number: Option<u16>, default| number.filter(|number| *number > 0).map_or(default, usize::from);
    (known(size.map(|size| size.ws_col), 80), known(size.map(|size| size.ws_row), 24))
}

/// Returns whether a shell with job control started this, which can continue what was stopped: it gives each job a
/// process group of its own.
pub(in crate::cli) fn can_be_continued() -> bool {
    getsid(None).is_ok_and(|session| session != getpgrp())
}

/// Asks this job to stop, as the terminal does where it handles Ctrl-Z itself.
pub(in crate::cli) fn request_stop() {
    if can_be_continued() {
        // It is this process's own group.
        let _ = kill_process_group(getpgrp(), Signal::TSTP);
    }
}

/// Stops this process until it is continued.
pub(in crate::cli) fn stop() {
    let own: Pid = getpid();
    let _ = kill_process(own, Signal::STOP);
}

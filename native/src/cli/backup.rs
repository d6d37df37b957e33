//! `chanwire backup` and `chanwire restore`

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Failure, Outcome, link, progress::Progress};
use crate::{config::default_data_dir, file_limit, files, store};

#[derive(Debug, Args)]
pub(super) struct DataDir {
    /// The server's data directory [default: $XDG_DATA_HOME/chanwire or ~/.local/share/chanwire]
    #[arg(long, value_name = "DIR", env = "CHANWIRE_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

/// Copy a server's messages and channels into a file; the server may run
///
/// The file appears under its name when it is complete, checked and on stable storage. `chanwire restore` restores it.
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The file to create
    file: PathBuf,

    #[command(flatten)]
    data_dir: DataDir,
}

/// Replace a server's database by a backup, while the server is stopped
///
/// The backup is checked before anything is changed. The replaced database is kept beside it under another name.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The backup, which is not changed
    file: PathBuf,

    #[command(flatten)]
    data_dir: DataDir,
}

impl DataDir {
    pub(super) fn path(self) -> Result<PathBuf, Failure> {
        let data_dir = self.data_dir.or_else(default_data_dir);
        Ok(data_dir.ok_or("there is no home directory to find data in; name a directory with --data-dir")?)
    }
}

impl Backup {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let data_dir = self.data_dir.path()?;
        let size = copying(|progress| store::back_up(&data_dir, &self.file, progress))?;
        let text = format!("backed up {} to {} ({size} bytes)\n", data_dir.display(), self.file.display());
        print(&text, "the backup is made")
    }
}

impl Restore {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let data_dir = self.data_dir.path()?;
        let restored = copying(|progress| store::restore(&self.file, &data_dir, progress))?;
        print(&restored_text(&self.file, &data_dir, &restored), "the backup is restored")
    }
}

fn restored_text(file: &Path, data_dir: &Path, restored: &store::Restored) -> String {
    let store::Restored { channels, leased, messages, replaced } = restored;
    let mut text = format!("restored {} to {}: {messages} messages", file.display(), data_dir.display());
    text += &format!(", {channels} listed channels, {leased} of them with a lease\n");
    if let Some(replaced) = replaced {
        text += &format!("the database that was there is kept as {}\n", replaced.display());
    }
    text += "\
When the server starts, each channel is listed as it was: one with a lease for the whole lease, unless its host\n\
renews it, the others until they are taken off the list. Channels hosted since the backup must be hosted again\n\
with `chanwire host`. Ids given since the backup are given again.\n";
    text
}

/// Runs a copy and shows its progress on one line.
fn copying<T>(copy: impl FnOnce(&mut dyn FnMut(u32, u32)) -> Result<T, store::StoreError>) -> Result<T, Failure> {
    files::keep_private();
    let runtime = link::runtime()?;
    let _inside = runtime.enter();
    let _file_size =
        file_limit::handle_file_size_signal().map_err(|error| format!("cannot wait for signals: {error}"))?;
    let mut progress = Progress::new();
    let copied = copy(&mut |done, all| progress.copied(done, all));
    drop(progress);
    Ok(copied.map_err(|error| error.to_string())?)
}

fn print(text: &str, done: &str) -> Result<Outcome, Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("{done}, but this cannot be printed: {error}").into())
        }
        _ => Ok(Outcome::Done),
    }
}

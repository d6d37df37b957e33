//! `chanwire backup`

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
};

use clap::Args;

use super::{Failure, Outcome, link};
use crate::{config::default_data_dir, file_limit, store};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The file to make; to restore it, put it into an empty data directory as `chanwire.db`
    file: PathBuf,

    /// The server's data directory [default: $XDG_DATA_HOME/chanwire or ~/.local/share/chanwire]
    #[arg(long, value_name = "DIR", env = "CHANWIRE_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

impl Backup {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let data_dir = self.data_dir.or_else(default_data_dir);
        let data_dir =
            data_dir.ok_or("there is no home directory to find data in; name a directory with --data-dir")?;
        let runtime = link::runtime()?;
        let _inside = runtime.enter();
        let _file_size =
            file_limit::outlive_file_size().map_err(|error| format!("cannot wait for signals: {error}"))?;
        let mut err = io::stderr();
        let on_terminal = err.is_terminal();
        let mut show = |text: &str| {
            // Who does not see the progress has the backup all the same.
            let _ = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
        };
        let copied = store::back_up(&data_dir, &self.file, |done, all| {
            if on_terminal {
                let percent = u64::from(done) * 100 / u64::from(all.max(1));
                show(&format!("copying: {percent} %"));
            }
        });
        if on_terminal {
            show("");
        }
        let size = copied.map_err(|error| error.to_string())?;
        let text = format!("backed up {} to {} ({size} bytes)\n", data_dir.display(), self.file.display());
        match io::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(format!("the backup is made, but this cannot be printed: {error}").into())
            }
            _ => Ok(Outcome::Done),
        }
    }
}

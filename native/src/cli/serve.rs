//! `chanwire serve`

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use listenfd::ListenFd;

use super::{Failure, Outcome, config::refused, flags::Flags};
use crate::{
    config::{Reloader, Sources, absolute},
    files, logging, server, threads,
};

/// Advice for the one who built this program, if SQLite was built without the flags that it should have.
const SQLITE_ADVICE: &str = env!("CHANWIRE_SQLITE_ADVICE");

const SOURCES: &str = "\
Each option is also a key of the configuration file and an environment variable.
An option overrides the variable, which overrides the file:
`chanwire config explain` lists them.";

#[derive(Debug, Args)]
#[command(after_help = SOURCES)]
pub(super) struct Serve {
    /// Read the configuration from this file (TOML) [default: none]
    #[arg(long, value_name = "FILE", env = "CHANWIRE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,

    #[command(flatten)]
    flags: Flags,
}

impl Serve {
    pub(super) fn run(self, passed: ListenFd) -> Result<Outcome, Failure> {
        let sources = Sources::new(self.config.as_deref().map(absolute), self.flags.0);
        let (read, accounts) = sources.read().with_files().with_accounts(None);
        let (settings, warnings) = read.checked().map_err(|findings| refused(&findings))?;
        logging::start(&settings.log_level(), settings.log_format())?;
        for warning in warnings {
            tracing::warn!("{}", warning.words());
        }
        if !SQLITE_ADVICE.is_empty() {
            tracing::info!("{SQLITE_ADVICE}");
        }
        files::keep_private();
        let mut config =
            settings.config().ok_or("there is no home directory to keep data in; name one with --data-dir")?;
        let accounts = Arc::new(accounts.accounts);
        config.set_accounts(accounts.clone());
        let runtime = threads::runtime()?;
        let result = runtime
            .block_on(server::run(config, passed, Reloader::new(sources, settings, accounts)))
            .map_err(|error| error.to_string());
        // A thread that looks up a name or writes to a pipe may be stuck.
        runtime.shutdown_background();
        result?;
        Ok(Outcome::Done)
    }
}

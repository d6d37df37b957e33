//! Reloading the configuration while the server runs.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chanwire_core::wire::Timestamp;

use super::{Applied, Config, Finding, Place, Setting, Settings, Sources};
use crate::{
    accounts::{Accounts, NAME},
    clock::wall_time,
    logging,
};

/// The settings that are in force, and the sources from which they are read again.
pub(crate) struct Reloader {
    sources: Sources,
    /// The settings that the server works with: after a reload, the new values of live keys and the old ones of the
    /// others.
    in_force: Settings,
    /// The accounts that are in force.
    accounts: Arc<Accounts>,
}

/// The settings and accounts that a reload has read, and the changes that follow from them.
#[derive(Debug)]
struct Next {
    changes: Vec<Change>,
    settings: Settings,
    accounts: Accounts,
    warnings: Vec<Finding>,
}

/// A setting whose value in the sources is not the one in force.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    path: &'static str,
    from: String,
    to: String,
    applied: Applied,
}

/// The outcome of the last reload, for the metrics. The start counts as a reload, since a server with a fault in its
/// configuration does not start.
#[derive(Debug)]
pub(crate) struct LastReload(Mutex<Reloaded>);

/// The outcome of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reloaded {
    /// Whether the last one succeeded.
    pub(crate) is_successful: bool,
    /// The time of the last one that succeeded.
    pub(crate) succeeded_at: Timestamp,
}

impl LastReload {
    /// Creates the outcome of a start at this time.
    pub(crate) const fn new(started_at: Timestamp) -> Self {
        Self(Mutex::new(Reloaded { is_successful: true, succeeded_at: started_at }))
    }

    pub(crate) fn get(&self) -> Reloaded {
        *self.lock()
    }

    fn failed(&self) {
        self.lock().is_successful = false;
    }

    fn succeeded(&self, succeeded_at: Timestamp) {
        *self.lock() = Reloaded { is_successful: true, succeeded_at };
    }

    fn lock(&self) -> MutexGuard<'_, Reloaded> {
        // No holder can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reloader {
    pub(crate) const fn new(sources: Sources, in_force: Settings, accounts: Arc<Accounts>) -> Self {
        Self { sources, in_force, accounts }
    }

    /// Reads and checks everything, and applies what can be changed in a running server. If there is any fault,
    /// nothing is applied. Each fault and each change is logged, and `last` tells the outcome.
    pub(crate) fn reload(&mut self, last: &LastReload, apply: impl FnOnce(&Config)) {
        match self.read() {
            Err(findings) => {
                last.failed();
                let faults = findings.iter().filter(|finding| finding.is_fault()).count();
                findings.iter().for_each(log);
                tracing::error!(faults, "SIGHUP: the configuration is not reloaded, every setting stays as it is");
            }
            Ok(None) => {
                tracing::info!("SIGHUP: ignored, there is no configuration file to reload (serve --config)");
            }
            Ok(Some(Next { changes, settings, accounts, warnings })) => {
                warnings.iter().for_each(log);
                let of_accounts = self.count_changes(&accounts);
                self.put_into_force(settings, accounts, apply);
                last.succeeded(wall_time());
                if of_accounts > 0 {
                    tracing::info!(accounts = self.accounts.len(), changed = of_accounts, "accounts changed");
                }
                for Change { path, from, to, applied } in &changes {
                    match applied {
                        Applied::Live => tracing::info!("{path} {from} → {to} applied"),
                        Applied::Restart => tracing::warn!("{path} {from} → {to} needs a restart"),
                    }
                }
                let s = if changes.len() == 1 { "" } else { "s" };
                tracing::info!("SIGHUP: configuration reloaded: {} change{s}", changes.len());
            }
        }
    }

    /// Reads the sources and the accounts, and returns the changes with the settings that follow from them. `None`: there
    /// is no file of either kind.
    fn read(&self) -> Result<Option<Next>, Vec<Finding>> {
        // The accounts of the directory in use, whatever the sources say by now.
        let data_dir = self.in_force.config().map(|config| config.data_dir);
        let (mut read, contents) = self.sources.read().with_accounts(data_dir.as_deref());
        if !contents.exists() && !self.accounts.is_empty() {
            let file = data_dir.unwrap_or_default().join(NAME).into();
            let message = "the file is missing; an empty one removes all accounts";
            read.findings.push(Finding::of_file(Place { file, line: 1, column: 1 }, message));
        }
        if self.sources.file.is_none() && !contents.exists() && self.accounts.is_empty() {
            return Ok(None);
        }
        let (read, warnings) = read.checked()?;
        let (mut changes, mut settings) = (Vec::new(), Vec::new());
        for (old, new) in self.in_force.iter().zip(read.iter()) {
            if old.value == new.value {
                settings.push(new.clone());
                continue;
            }
            let applied = new.key.applied;
            changes.push(Change { path: new.key.path, from: shown(old), to: shown(new), applied });
            settings.push(if applied == Applied::Live { new.clone() } else { old.clone() });
        }
        Ok(Some(Next { changes, settings: settings.into_iter().collect(), accounts: contents.accounts, warnings }))
    }

    /// Counts the accounts that are not as they are in force, those added and removed among them.
    fn count_changes(&self, next: &Accounts) -> usize {
        let names: BTreeSet<_> = self.accounts.keys().chain(next.keys()).collect();
        names.into_iter().filter(|name| self.accounts.get(*name) != next.get(*name)).count()
    }

    /// Nothing here can fail, so all of it is applied.
    fn put_into_force(&mut self, next: Settings, accounts: Accounts, apply: impl FnOnce(&Config)) {
        if next.log_level() != self.in_force.log_level() {
            logging::set_filter(&next.log_level());
        }
        self.accounts = Arc::new(accounts);
        if let Some(mut config) = next.config() {
            config.set_accounts(self.accounts.clone());
            apply(&config);
        }
        self.in_force = next;
    }
}

fn log(finding: &Finding) {
    if finding.is_fault() {
        tracing::error!("{}", finding.words());
    } else {
        tracing::warn!("{}", finding.words());
    }
}

/// Returns a value for the log.
fn shown(setting: &Setting) -> String {
    match &setting.value {
        Some(_) if setting.key.is_secret => "(hidden)".into(),
        Some(value) => chanwire_inspect::visible(&value.to_string()).into_owned(),
        None => "(found at the start)".into(),
    }
}

#[cfg(test)]
mod tests;

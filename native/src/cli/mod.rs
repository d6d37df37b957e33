//! The command line.

mod account;
mod ask;
mod backup;
mod chat;
mod config;
mod decode;
mod filter;
mod flags;
mod health;
mod history;
mod join;
mod link;
mod list;
mod man;
mod moderate;
mod password;
mod progress;
mod send;
mod serve;
mod sign_in;
mod size;
mod tap;
mod terminal;
mod text;
mod tls;
mod top;
mod trust;
mod user;

use std::{io, process::ExitCode};

use clap::{Parser, Subcommand};
use listenfd::ListenFd;

use crate::{
    logging::{self, LogError},
    socket,
};

/// Host chat channels, talk to them, and see every byte.
#[derive(Debug, Parser)]
#[command(name = "chanwire", version, about, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Probe an idle connection after this many seconds, 1 to 7200
    #[arg(
        long,
        global = true,
        hide = true,
        value_name = "SECONDS",
        env = "CHANWIRE_KEEP_ALIVE",
        default_value_t = socket::KEEP_ALIVE,
        value_parser = clap::value_parser!(u16).range(1..=7200)
    )]
    keep_alive: u16,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it failed: no connection, no answer, a file or directory that cannot be
     used, or one to decode that ends too early
  2  the command line or the configuration is wrong
  3  the server refused it (REQUEST_ERROR), or `decode` found a fault
  4  the server could not do it (SERVER_ERROR)";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server: a tracker that lists channels, and a peer server for those that live here
    Serve(Box<serve::Serve>),
    #[command(subcommand)]
    Config(config::Config),
    Hello(ask::Hello),
    List(list::List),
    /// Put a channel on a server's list
    Host(ask::Host),
    /// Take a channel off a server's list
    Unhost(ask::Unhost),
    Send(send::Send),
    History(history::History),
    Join(join::Join),
    Who(ask::Who),
    Chat(chat::Chat),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Tap(Box<tap::Tap>),
    Decode(decode::Decode),
    Health(health::Health),
    Top(top::Top),
    #[command(subcommand)]
    Tls(tls::Tls),
    Delete(moderate::Delete),
    #[command(name = "role")]
    SetRole(moderate::SetRole),
    Settings(moderate::Settings),
    #[command(subcommand)]
    Account(account::Account),
    Disconnect(ask::Disconnect),
    #[command(hide = true)]
    Man(man::Man),
}

/// The outcome of a command that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// REQUEST_ERROR, or a fault that `decode` found.
    Refused,
    /// SERVER_ERROR.
    Unable,
    /// The input of `decode` ends too early, which was reported.
    Cut,
}

/// The reason why a command failed.
#[derive(Debug)]
struct Failure {
    /// The message for the user.
    words: String,
    code: u8,
}

impl Failure {
    /// Returns the failure of a command line that cannot be meant.
    fn usage(words: impl Into<String>) -> Self {
        Self { words: words.into(), code: 2 }
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Filter(words) => Self::usage(words),
            LogError::Thread(words) | LogError::Started(words) => words.into(),
        }
    }
}

impl<S: Into<String>> From<S> for Failure {
    fn from(words: S) -> Self {
        Self { words: words.into(), code: 1 }
    }
}

/// Runs the command of the command line. `passed` are the sockets that the process was started with.
pub(crate) fn run(passed: ListenFd) -> ExitCode {
    let result = match Cli::try_parse() {
        Ok(cli) => cli.run(passed),
        Err(error) => print_usage(&error),
    };
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Refused) => ExitCode::from(3),
        Ok(Outcome::Unable) => ExitCode::from(4),
        Ok(Outcome::Cut) => ExitCode::from(1),
        Err(Failure { words, code }) => {
            if !words.is_empty() {
                logging::say(&format!("chanwire: {words}"));
            }
            ExitCode::from(code)
        }
    }
}

/// Prints help, the version, or the mistake in the command line.
fn print_usage(error: &clap::Error) -> Result<Outcome, Failure> {
    match (error.print(), error.use_stderr()) {
        // A reader that closes standard output has seen enough.
        (Err(cause), false) if cause.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot print: {cause}").into())
        }
        (_, false) => Ok(Outcome::Done),
        // Nothing is left to do if this could not be written.
        (_, true) => Err(Failure::usage("")),
    }
}

impl Cli {
    fn run(self, passed: ListenFd) -> Result<Outcome, Failure> {
        socket::set_keep_alive(self.keep_alive);
        match self.command {
            Command::Serve(serve) => serve.run(passed),
            Command::Config(config) => config.run(),
            Command::Hello(hello) => hello.run(),
            Command::List(list) => list.run(),
            Command::Host(host) => host.run(),
            Command::Unhost(unhost) => unhost.run(),
            Command::Send(send) => send.run(),
            Command::History(history) => history.run(),
            Command::Join(join) => join.run(),
            Command::Who(who) => who.run(),
            Command::Chat(chat) => chat.run(),
            Command::Backup(backup) => backup.run(),
            Command::Restore(restore) => restore.run(),
            Command::Tap(tap) => tap.run(),
            Command::Decode(decode) => decode.run(),
            Command::Health(health) => health.run(),
            Command::Top(top) => top.run(),
            Command::Tls(tls) => tls.run(),
            Command::Delete(delete) => delete.run(),
            Command::SetRole(role) => role.run(),
            Command::Settings(settings) => settings.run(),
            Command::Account(account) => account.run(),
            Command::Disconnect(disconnect) => disconnect.run(),
            Command::Man(man) => man.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preformatted_help_fits_into_80_columns() {
        for text in [EXIT_CODES, decode::COLUMNS, filter::HELP, moderate::ROLES] {
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }
}

//! Logs on standard error.
//!
//! Logging never blocks and never fails: see [`queue`].

mod queue;

use std::{
    fmt::Write as _,
    io::{self, Write},
    panic,
    sync::OnceLock,
    thread,
    time::Duration,
};

use chanwire_inspect::visible;
use rustix::event::{PollFd, PollFlags, poll};
use tracing::subscriber::set_global_default;
use tracing_subscriber::{
    EnvFilter,
    filter::LevelFilter,
    fmt::{
        MakeWriter,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
};

use self::queue::{Queue, Sink};
use crate::threads;

/// How long the end of the program waits for the last lines to be written.
const FLUSH: Duration = Duration::from_secs(1);

const THREAD: &str = "log";

static QUEUE: Queue = Queue::new();

/// Set once the queue has a writer.
static STARTED: OnceLock<()> = OnceLock::new();

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// Why nothing can be logged.
pub(crate) enum LogError {
    /// The filter cannot be understood.
    Filter(String),
    /// The system refuses the thread that writes.
    Thread(String),
    /// Something else in this process logs already.
    Started(String),
}

/// Sends everything that is logged to standard error from now on, panics among it.
///
/// # Errors
///
/// If the filter cannot be understood, or there is no thread that writes.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let filter = understood(filter).map_err(LogError::Filter)?;
    let write = move || QUEUE.write(&mut StandardError, |count| notice(count, format));
    threads::spawn(THREAD, write).map_err(LogError::Thread)?;
    let _ = STARTED.set(());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Lines).with_target(false);
    // The events of `tracing` alone: records of the `log` crate would show, at trace, whole messages of a WebSocket.
    let started = match format {
        LogFormat::Text => set_global_default(logs.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).finish()),
        LogFormat::Json => set_global_default(logs.json().finish()),
    };
    started.map_err(|error| LogError::Started(error.to_string()))?;
    // The usual hook writes to standard error itself, and so may block.
    panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("without a message");
        let at = panic.location().map(ToString::to_string);
        let thread = thread::current();
        tracing::error!(thread = thread.name(), at, "panic (a bug, please report): {}", visible(message));
    }));
    Ok(())
}

/// Writes a line to standard error, after everything that was logged. That nobody can be told is no error.
pub(crate) fn say(line: &str) {
    let line = format!("{line}\n");
    if STARTED.get().is_some() {
        QUEUE.push(line.as_bytes());
    } else {
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// Waits a moment for the last lines to be written.
pub(crate) fn flush() {
    if STARTED.get().is_some() {
        QUEUE.flush(FLUSH);
    }
}

/// Gives each event to the queue.
struct Lines;

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for Lines {
    /// An event comes in one piece.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        QUEUE.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct StandardError;

impl Sink for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match io::stderr().write(bytes) {
                // Another program has made the terminal or pipe that it shares with this one non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&io::stderr(), PollFlags::OUT)], None)?;
                }
                written => return written,
            }
        }
    }
}

/// The line that tells how many were dropped, in the format of the others.
fn notice(count: u64, format: LogFormat) -> String {
    let mut time = String::new();
    // Without a time it says as much.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let s = if count == 1 { " was" } else { "s were" };
    let message = format!("{count} log line{s} dropped: standard error could not be written");
    let mut line = String::new();
    let _ = match format {
        LogFormat::Text => writeln!(line, "{time}  WARN {message}"),
        LogFormat::Json => writeln!(
            line,
            "{}",
            serde_json::json!({"timestamp": time, "level": "WARN", "fields": {"message": message, "dropped": count}})
        ),
    };
    line
}

/// A level, or the levels of parts of the program, such as `info,hyper=debug`.
fn understood(text: &str) -> Result<EnvFilter, String> {
    let wrong = || format!("--log {text}: expected error, warn, info, debug, trace or off");
    // A word alone would be the name of a part, of which everything is logged and nothing of the others.
    let is_part = |part: &str| !part.is_empty() && (part.contains('=') || part.parse::<LevelFilter>().is_ok());
    if !text.split(',').map(str::trim).all(is_part) {
        return Err(wrong());
    }
    EnvFilter::try_new(text).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_dropped_lines_is_a_line_of_the_format() {
        let text = notice(1, LogFormat::Text);
        assert!(text.ends_with("Z  WARN 1 log line was dropped: standard error could not be written\n"), "{text}");
        let json = notice(12, LogFormat::Json);
        assert!(json.ends_with('\n') && json.matches('\n').count() == 1, "{json}");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["level"], &json["fields"]["dropped"]), (&"WARN".into(), &12.into()), "{json}");
        assert!(json["timestamp"].as_str().unwrap().starts_with("20"), "{json}");
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        for level in ["error", "warn", "info", "DEBUG", "trace", "off", "info,hyper=debug", "chanwire=debug,warn"] {
            assert!(understood(level).is_ok(), "{level}");
        }
        for none in ["loud", "", "info,loud", "hyper", "info=loud", "infos"] {
            let refused = understood(none).map(drop).unwrap_err();
            assert!(refused.contains("expected error, warn, info"), "{none}: {refused}");
        }
    }
}

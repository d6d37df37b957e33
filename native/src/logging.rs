//! Logs on standard error.
//!
//! Logging never blocks and never fails: see [`queue`].

mod journal;
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
use tracing::{Level, subscriber::set_global_default};
use tracing_subscriber::{
    EnvFilter,
    filter::LevelFilter,
    fmt::{
        self, MakeWriter,
        format::{JsonFields, Writer},
        time::{FormatTime as _, SystemTime},
    },
};

use self::{
    journal::WithPriority,
    queue::{Queue, Sink},
};
use crate::threads;

/// Timeout for writing the remaining lines when the program ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

const THREAD: &str = "log";

static QUEUE: Queue = Queue::new();

/// Replaces the filter of what is logged. Set once logging has started.
static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

type SetFilter = Box<dyn Fn(EnvFilter) + Send + Sync>;

/// Set once the queue has a writer.
static STARTED: OnceLock<Started> = OnceLock::new();

struct Started {
    /// Whether systemd's journal reads standard error.
    journal: bool,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// A reason why logging cannot start.
pub(crate) enum LogError {
    /// The filter is invalid.
    Filter(String),
    /// The system refused the writer thread.
    Thread(String),
    /// Something else in this process logs already.
    Started(String),
}

/// Starts logging to standard error. Panics are logged too.
///
/// # Errors
///
/// If the filter is invalid, or the writer thread cannot be started.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let filter = parse_filter(filter).map_err(|wrong| LogError::Filter(format!("--log {filter}: {wrong}")))?;
    let journal = journal::is_standard_error();
    let write = move || QUEUE.write(&mut StandardError, |count| notice(count, format, journal));
    threads::spawn(THREAD, write).map_err(LogError::Thread)?;
    let _ = STARTED.set(Started { journal });
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Lines);
    // The events of `tracing` alone: records of the `log` crate would show, at trace, whole messages of a WebSocket.
    let (started, set_filter): (_, SetFilter) = match format {
        LogFormat::Text if journal => {
            let lines = fmt::format().with_target(false).with_ansi(false).without_time();
            let logs = logs.with_ansi(false).event_format(WithPriority(lines)).with_filter_reloading();
            let handle = logs.reload_handle();
            (set_global_default(logs.finish()), Box::new(move |filter| drop(handle.reload(filter))))
        }
        LogFormat::Text => {
            let logs = logs.with_target(false).with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
            let logs = logs.with_filter_reloading();
            let handle = logs.reload_handle();
            // It fails only if nothing logs any more.
            (set_global_default(logs.finish()), Box::new(move |filter| drop(handle.reload(filter))))
        }
        LogFormat::Json if journal => {
            let lines = fmt::format().with_target(false).json();
            let logs = logs.fmt_fields(JsonFields::new()).event_format(WithPriority(lines)).with_filter_reloading();
            let handle = logs.reload_handle();
            (set_global_default(logs.finish()), Box::new(move |filter| drop(handle.reload(filter))))
        }
        LogFormat::Json => {
            let logs = logs.with_target(false).json().with_filter_reloading();
            let handle = logs.reload_handle();
            (set_global_default(logs.finish()), Box::new(move |filter| drop(handle.reload(filter))))
        }
    };
    let _ = SET_FILTER.set(set_filter);
    started.map_err(|error| LogError::Started(error.to_string()))?;
    // The default hook writes to standard error directly and so may block.
    panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("without a message");
        let at = panic.location().map(ToString::to_string);
        let thread = thread::current();
        tracing::error!(thread = thread.name(), at, "panic (a bug, please report): {}", visible(message));
    }));
    Ok(())
}

/// Logs by another filter from now on. One that is invalid changes nothing.
pub(crate) fn set_filter(filter: &str) {
    if let (Some(set), Ok(filter)) = (SET_FILTER.get(), parse_filter(filter)) {
        set(filter);
    }
}

/// Writes a line to standard error after everything logged so far. A failed write is ignored.
pub(crate) fn say(line: &str) {
    match STARTED.get() {
        Some(Started { journal }) => {
            let priority = if *journal { journal::priority(Level::ERROR) } else { "" };
            QUEUE.push(format!("{priority}{line}\n").as_bytes());
        }
        None => drop(io::stderr().write_all(format!("{line}\n").as_bytes())),
    }
}

/// Waits for the remaining lines to be written, at most [`FLUSH_TIMEOUT`].
pub(crate) fn flush() {
    if STARTED.get().is_some() {
        QUEUE.flush(FLUSH_TIMEOUT);
    }
}

/// A writer that appends each event to the queue.
struct Lines;

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl Write for Lines {
    /// Appends an event, which the caller passes in one piece.
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
                // Another program that shares the terminal or pipe has made it non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&io::stderr(), PollFlags::OUT)], None)?;
                }
                written => return written,
            }
        }
    }
}

/// Returns a log line with the number of dropped lines.
fn notice(count: u64, format: LogFormat, journal: bool) -> String {
    let mut time = String::new();
    // If formatting fails, the line has no time.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let s = if count == 1 { " was" } else { "s were" };
    let message = format!("{count} log line{s} dropped: standard error could not be written");
    let mut line = String::from(if journal { journal::priority(Level::WARN) } else { "" });
    let _ = match format {
        LogFormat::Text if journal => writeln!(line, " WARN {message}"),
        LogFormat::Text => writeln!(line, "{time}  WARN {message}"),
        LogFormat::Json => writeln!(
            line,
            "{}",
            serde_json::json!({"timestamp": time, "level": "WARN", "fields": {"message": message, "dropped": count}})
        ),
    };
    line
}

/// Checks a level, or levels of parts of the program.
pub(crate) fn check_filter(text: &str) -> Result<(), String> {
    parse_filter(text).map(drop)
}

/// Parses a level, or levels of parts of the program, such as `info,hyper=debug`.
fn parse_filter(text: &str) -> Result<EnvFilter, String> {
    let wrong = || "expected error, warn, info, debug, trace or off".into();
    // `EnvFilter` takes a lone word for a part's name and would log nothing of the others.
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
        assert_eq!(
            notice(2, LogFormat::Text, true),
            "<4> WARN 2 log lines were dropped: standard error could not be written\n"
        );
        let text = notice(1, LogFormat::Text, false);
        assert!(text.ends_with("Z  WARN 1 log line was dropped: standard error could not be written\n"), "{text}");
        let json = notice(12, LogFormat::Json, false);
        assert!(json.ends_with('\n') && json.matches('\n').count() == 1, "{json}");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["level"], &json["fields"]["dropped"]), (&"WARN".into(), &12.into()), "{json}");
        assert!(json["timestamp"].as_str().unwrap().starts_with("20"), "{json}");
    }

    #[test]
    fn an_invalid_filter_is_refused() {
        for level in ["error", "warn", "info", "DEBUG", "trace", "off", "info,hyper=debug", "chanwire=debug,warn"] {
            assert!(parse_filter(level).is_ok(), "{level}");
        }
        for invalid in ["loud", "", "info,loud", "hyper", "info=loud", "infos"] {
            let refused = parse_filter(invalid).map(drop).unwrap_err();
            assert!(refused.contains("expected error, warn, info"), "{invalid}: {refused}");
        }
    }
}

//! Lines for systemd's journal, which has a time of its own and takes each line's priority from its beginning.

use std::{env, fmt, io};

use rustix::fs::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Returns whether the journal reads standard error. `JOURNAL_STREAM` names the device and the inode of the socket that
/// systemd has made for that; a program that redirects standard error still has the variable.
pub(super) fn is_standard_error() -> bool {
    let Some(named) = env::var_os("JOURNAL_STREAM") else { return false };
    fstat(io::stderr()).is_ok_and(|found| named.to_str() == Some(&*format!("{}:{}", found.st_dev, found.st_ino)))
}

/// Returns the beginning of a line of this level: a priority of syslog.
pub(super) const fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

/// A format of events whose lines begin with their priority.
pub(super) struct WithPriority<F>(pub(super) F);

impl<S, N, F> FormatEvent<S, N> for WithPriority<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writer.write_str(priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

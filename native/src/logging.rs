//! Logs on standard error.

use std::io;

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// Sends what is logged to standard error from now on.
///
/// # Errors
///
/// If the filter cannot be understood, in words.
pub(crate) fn start(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = understood(filter)?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    match format {
        LogFormat::Text => logs.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
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

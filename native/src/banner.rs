//! The lines on standard output that say where everything is.

use std::io::{self, Write as _};

/// Prints a banner. One that cannot be printed is logged; a reader that closed standard output wants none.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            tracing::warn!(%error, "cannot print where the server listens: {}", text.trim_end().replace('\n', "; "));
        }
        _ => {}
    }
}

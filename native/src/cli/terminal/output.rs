//! Output that does not block.

use std::{
    io::{self, Write as _},
    sync::mpsc as blocking,
};

use tokio::sync::mpsc;

use crate::threads;

/// A writer on a thread of its own, so that a terminal that takes nothing holds up nothing else. It writes one piece at a
/// time.
pub(in crate::cli) struct Output {
    pieces: blocking::Sender<String>,
    results: mpsc::UnboundedReceiver<io::Result<()>>,
    writing: bool,
}

impl Output {
    pub(in crate::cli) fn start() -> io::Result<Self> {
        let (pieces, to_write) = blocking::channel::<String>();
        let (report, results) = mpsc::unbounded_channel();
        let write = move || {
            for piece in to_write {
                let mut out = io::stdout().lock();
                let written = out.write_all(piece.as_bytes()).and_then(|()| out.flush());
                if report.send(written).is_err() {
                    return;
                }
            }
        };
        threads::spawn("output", write).map_err(io::Error::other)?;
        Ok(Self { pieces, results, writing: false })
    }

    pub(in crate::cli) const fn is_writing(&self) -> bool {
        self.writing
    }

    pub(in crate::cli) fn write(&mut self, piece: String) {
        self.writing = self.pieces.send(piece).is_ok();
    }

    /// Waits until the piece that is being written is.
    pub(in crate::cli) async fn written(&mut self) -> io::Result<()> {
        match self.results.recv().await {
            Some(result) => {
                self.writing = false;
                result
            }
            None => std::future::pending().await,
        }
    }
}

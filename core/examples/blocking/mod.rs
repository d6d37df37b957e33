//! Drives either end of a connection over a socket of `std`. All the I/O of the two examples is here.

use std::{
    io::{self, ErrorKind, IoSlice, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use chanwire_core::{
    Time,
    endpoint::{ConnectionAction, Endpoint},
};

/// A monotonic clock that starts when it is created.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Time {
        Time::default().after(self.0.elapsed())
    }
}

/// Writes once if there is output, or else reads once. The caller then polls for events. Returns `false` when the
/// connection has ended and the socket is to be dropped.
///
/// The caller has answered every request before, so there is always something to write or to wait for.
pub(crate) fn step(endpoint: &mut impl Endpoint, stream: &mut TcpStream, clock: Clock) -> io::Result<bool> {
    // A deadline bounds the one call that may block. A timeout of zero would mean none.
    let timeout = endpoint.poll_timeout().map(|due| due.at.since(clock.now()).max(Duration::from_millis(1)));
    let mut slices = [&[][..]; 16];
    let done = match (endpoint.action(), endpoint.transmit(&mut slices)) {
        (ConnectionAction::Close | ConnectionAction::Reset, _) => return Ok(false),
        (action, 0) => {
            if action == ConnectionAction::FinishWriting {
                stream.shutdown(Shutdown::Write)?;
            }
            stream.set_read_timeout(timeout)?;
            let mut buffer = [0; 16 * 1024];
            stream.read(&mut buffer).map(|count| match buffer.get(..count) {
                Some([]) | None => endpoint.handle_eof(clock.now()),
                Some(bytes) => endpoint.handle_input(clock.now(), bytes),
            })
        }
        _ => {
            stream.set_write_timeout(timeout)?;
            let written = stream.write_vectored(&slices.map(IoSlice::new));
            written.map(|count| endpoint.handle_written(clock.now(), count))
        }
    };
    match done {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            endpoint.handle_timeout(clock.now());
            Ok(true)
        }
        Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
        _ => Ok(true),
    }
}

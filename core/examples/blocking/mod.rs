//! Drives either end of a connection over a socket of `std`. This is all the I/O that the two examples have.

use std::{
    io::{self, ErrorKind, IoSlice, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use chanwire_core::{
    Time,
    endpoint::{ConnectionAction, Endpoint},
};

/// A connection's clock: its origin is the moment at which it was made.
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

/// One write if there is something to write, else one read; then it is time to take events again. `false` when the
/// connection is over, and the socket is to be dropped.
///
/// For an application that has answered all it was asked before it calls: then there is always one of the two to do.
pub(crate) fn turn(endpoint: &mut impl Endpoint, stream: &mut TcpStream, clock: Clock) -> io::Result<bool> {
    // A deadline bounds the one call that may block. A timeout of zero would mean none.
    let patience = endpoint.poll_timeout().map(|due| due.at.since(clock.now()).max(Duration::from_millis(1)));
    let mut slices = [&[][..]; 16];
    let done = match (endpoint.action(), endpoint.transmit(&mut slices)) {
        (ConnectionAction::Close | ConnectionAction::Reset, _) => return Ok(false),
        (link, 0) => {
            if link == ConnectionAction::FinishWriting {
                stream.shutdown(Shutdown::Write)?;
            }
            stream.set_read_timeout(patience)?;
            let mut buffer = [0; 16 * 1024];
            stream.read(&mut buffer).map(|count| match buffer.get(..count) {
                Some([]) | None => endpoint.handle_eof(clock.now()),
                Some(bytes) => endpoint.handle_input(clock.now(), bytes),
            })
        }
        _ => {
            stream.set_write_timeout(patience)?;
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

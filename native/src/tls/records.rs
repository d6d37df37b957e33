//! A deadline for the rest of a TLS record.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// A stream of TLS records under a session. Reading fails once a record has begun and its rest has not come in time: the
/// session keeps what came of it, up to 16 KiB, and a frame's deadline runs only from its first decrypted byte.
#[derive(Debug)]
pub(crate) struct Records<S> {
    stream: S,
    timeout: Duration,
    position: Position,
    /// The time at which the incomplete record began.
    began: Option<Instant>,
    /// Made when a read has to wait for the rest.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// The rest of a record did not come in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a TLS record was not complete in {} s", timeout.as_secs())]
pub(crate) struct IncompleteRecord {
    pub(crate) timeout: Duration,
}

/// The position in a record: a header of five bytes, of which the last two are the length of what follows.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    header: u8,
    left: u16,
}

/// The size of a record's header.
const HEADER: u8 = 5;

impl Position {
    /// Goes on by these bytes. Returns whether a record has ended in them.
    fn advance(&mut self, mut bytes: &[u8]) -> bool {
        let mut has_ended = false;
        while let [first, rest @ ..] = bytes {
            if self.header < HEADER {
                self.header += 1;
                // The bytes before those of the length are shifted out.
                self.left = self.left << 8 | u16::from(*first);
                bytes = rest;
            } else {
                let taken = bytes.len().min(self.left.into());
                self.left -= u16::try_from(taken).unwrap_or(self.left);
                bytes = bytes.get(taken..).unwrap_or_default();
            }
            if self.header == HEADER && self.left == 0 {
                *self = Self::default();
                has_ended = true;
            }
        }
        has_ended
    }

    const fn is_inside(self) -> bool {
        self.header > 0
    }
}

impl<S> Records<S> {
    pub(crate) fn new(stream: S, timeout: Duration) -> Self {
        Self { stream, timeout, position: Position::default(), began: None, deadline: None }
    }

    /// Returns the stream.
    pub(crate) const fn get_ref(&self) -> &S {
        &self.stream
    }

    fn advance(&mut self, bytes: &[u8]) {
        if self.position.advance(bytes) {
            (self.began, self.deadline) = (None, None);
        }
        if self.position.is_inside() {
            self.began.get_or_insert_with(Instant::now);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Records<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if read.is_ready() {
            this.advance(buffer.filled().get(before..).unwrap_or_default());
            return read;
        }
        let Some(began) = this.began else { return Poll::Pending };
        let timeout = this.timeout;
        ready!(this.deadline.get_or_insert_with(|| Box::pin(sleep_until(began + timeout))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, IncompleteRecord { timeout })))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Records<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Records of these lengths.
    fn records(lengths: &[u16]) -> Vec<u8> {
        let record = |length: &u16| {
            let mut record = vec![0x17, 3, 3];
            record.extend(length.to_be_bytes());
            record.resize(record.len() + usize::from(*length), 0xff);
            record
        };
        lengths.iter().flat_map(record).collect()
    }

    #[test]
    fn each_record_ends_where_its_length_says_however_it_is_cut() {
        let bytes = records(&[1, 0, 300, 16_640, 2]);
        let mut ends = Vec::new();
        let mut position = Position::default();
        for (index, byte) in bytes.iter().enumerate() {
            if position.advance(&[*byte]) {
                ends.push(index + 1);
            }
            assert_eq!(position.is_inside(), ends.last() != Some(&(index + 1)));
        }
        assert_eq!(ends, [6, 11, 316, 16_961, 16_968]);
        for piece in [2, 7, 4096, bytes.len()] {
            let mut position = Position::default();
            for piece in bytes.chunks(piece) {
                position.advance(piece);
            }
            assert!(!position.is_inside());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_has_its_time_from_its_first_byte_and_silence_between_records_has_no_end() {
        let timeout = Duration::from_secs(10);
        let (mut near, far) = tokio::io::duplex(64);
        let mut far = Records::new(far, timeout);
        let mut buffer = [0; 64];
        for _ in 0..3 {
            // Bytes that drip do not begin the time anew, and a whole record does.
            let record = records(&[2]);
            for piece in record.chunks(3) {
                near.write_all(piece).await.unwrap();
                assert_eq!(far.read(&mut buffer).await.unwrap(), piece.len());
                let silence = tokio::time::timeout(Duration::from_secs(4), far.read(&mut buffer)).await;
                assert!(silence.is_err());
            }
            assert!(tokio::time::timeout(10 * timeout, far.read(&mut buffer)).await.is_err());
        }
        let began = Instant::now();
        for byte in [0x17, 3, 3] {
            near.write_all(&[byte]).await.unwrap();
            far.read_exact(&mut buffer[..1]).await.unwrap();
            let _ = tokio::time::timeout(Duration::from_secs(3), far.read(&mut buffer)).await;
        }
        let error = far.read(&mut buffer).await.unwrap_err();
        assert!(error.get_ref().is_some_and(|error| error.is::<IncompleteRecord>()), "{error}");
        assert_eq!(began.elapsed(), timeout);
    }
}

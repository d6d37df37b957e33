//! A bounded queue of log lines in front of standard error, which may be full, closed, or never read.
//!
//! Logging appends to the queue and never blocks; a separate thread writes. Lines beyond the bound and lines that
//! cannot be written are dropped and counted, and the count is written once writing works again.

use std::{
    io, mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The queue's limit in bytes.
const CAPACITY: usize = 4 << 20;

/// A destination of lines.
pub(super) trait Sink {
    /// Writes like [`io::Write::write`]; may block.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
}

/// A bounded queue of lines with one writer.
pub(super) struct Queue {
    state: Mutex<State>,
    /// Notified when there is something to write.
    filled: Condvar,
    /// Notified when everything is written or dropped.
    drained: Condvar,
}

struct State {
    /// Complete lines.
    waiting: Vec<u8>,
    /// Whether the writer has taken lines and not finished them.
    is_writing: bool,
    /// Lines dropped since the count was last written.
    dropped: u64,
    /// Whether the last write failed. If so, the count is written with the next line.
    is_failing: bool,
}

impl Queue {
    pub(super) const fn new() -> Self {
        let state = State { waiting: Vec::new(), is_writing: false, dropped: 0, is_failing: false };
        Self { state: Mutex::new(state), filled: Condvar::new(), drained: Condvar::new() }
    }

    /// Appends lines, or drops and counts them if there is no room. Never waits for the writer.
    pub(super) fn push(&self, lines: &[u8]) {
        let mut state = self.lock();
        if state.waiting.len() + lines.len() > CAPACITY {
            state.dropped += count_lines(lines);
        } else {
            state.waiting.extend_from_slice(lines);
            self.filled.notify_one();
        }
    }

    /// Waits until everything is written or dropped, but no longer than this.
    pub(super) fn flush(&self, within: Duration) {
        let unfinished = |state: &mut State| state.is_writing || state.has_work();
        let waited = self.drained.wait_timeout_while(self.lock(), within, unfinished);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Writes lines for ever. `notice` formats the count of dropped lines.
    pub(super) fn write(&self, sink: &mut impl Sink, notice: impl Fn(u64) -> String) -> ! {
        // A write that failed may have written part of a line.
        let mut at_line_start = true;
        loop {
            let (mut lines, dropped) = self.take();
            let mut first = String::new();
            if dropped > 0 {
                if !at_line_start {
                    first.push('\n');
                }
                first += &notice(dropped);
            }
            let notice_len = first.len();
            if notice_len > 0 {
                lines.splice(..0, first.into_bytes());
            }
            let written = write_all(sink, &lines, &mut at_line_start);
            let mut state = self.lock();
            state.is_writing = false;
            state.is_failing = written < lines.len();
            if written < notice_len {
                state.dropped += dropped;
            }
            state.dropped += count_lines(lines.get(written.max(notice_len)..).unwrap_or_default());
            // The buffer of a large burst is not kept.
            lines.clear();
            if state.waiting.is_empty() && lines.capacity() <= CAPACITY / 16 {
                state.waiting = lines;
            }
            if !state.has_work() {
                self.drained.notify_all();
            }
        }
    }

    /// Waits until there is something to write, and takes it.
    fn take(&self) -> (Vec<u8>, u64) {
        let idle = |state: &mut State| !state.has_work();
        let mut state = self.filled.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        state.is_writing = true;
        (mem::take(&mut state.waiting), mem::take(&mut state.dropped))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No holder can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_work(&self) -> bool {
        !self.waiting.is_empty() || self.dropped > 0 && !self.is_failing
    }
}

fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Writes until it fails. Returns how many bytes were written.
fn write_all(sink: &mut impl Sink, bytes: &[u8], at_line_start: &mut bool) -> usize {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match sink.write(rest) {
            Ok(count @ 1..) => {
                written += count;
                *at_line_start = bytes.get(written - 1) == Some(&b'\n');
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{Receiver, Sender, channel},
        thread,
    };

    use super::*;

    /// The limit on each wait, far above the usual time.
    const DEADLINE: Duration = Duration::from_secs(30);

    /// A sink that accepts a number of bytes or fails, as ordered by the test for each write.
    struct ScriptedSink {
        orders: Receiver<io::Result<usize>>,
        called: Sender<()>,
        written: Sender<Vec<u8>>,
    }

    impl Sink for ScriptedSink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.called.send(());
            // The test has ended when its sender is dropped. The writer's thread has no end, so it waits for ever.
            let order = self.orders.recv().unwrap_or_else(|_| {
                loop {
                    thread::park();
                }
            });
            let count = order?.min(bytes.len());
            let _ = self.written.send(bytes[..count].to_vec());
            Ok(count)
        }
    }

    struct Bench {
        queue: &'static Queue,
        orders: Sender<io::Result<usize>>,
        called: Receiver<()>,
        written: Receiver<Vec<u8>>,
    }

    impl Bench {
        fn new() -> Self {
            let queue: &'static Queue = Box::leak(Box::new(Queue::new()));
            let ((orders, receiver), (calling, called), (write, written)) = (channel(), channel(), channel());
            let mut sink = ScriptedSink { orders: receiver, called: calling, written: write };
            thread::spawn(move || queue.write(&mut sink, |count| format!("{count} dropped\n")));
            Self { queue, orders, called, written }
        }

        fn full() -> io::Error {
            io::ErrorKind::StorageFull.into()
        }

        /// Waits until the writer calls the sink.
        fn await_write(&self) {
            self.called.recv_timeout(DEADLINE).unwrap();
        }

        fn expect_written(&self, expected: &str) {
            let written = self.written.recv_timeout(DEADLINE).unwrap();
            assert_eq!(String::from_utf8(written).unwrap(), expected);
        }
    }

    #[test]
    fn a_blocked_writer_does_not_block_logging_and_lines_beyond_the_limit_are_counted() {
        let bench = Bench::new();
        bench.queue.push(b"first\n");
        bench.await_write();
        let line = [&[b'x'; 999][..], b"\n"].concat();
        let fit = CAPACITY / line.len();
        for _ in 0..fit + 7 {
            bench.queue.push(&line);
        }
        assert!(bench.queue.lock().waiting.len() <= CAPACITY);
        bench.orders.send(Ok(usize::MAX)).unwrap();
        bench.expect_written("first\n");
        bench.await_write();
        bench.orders.send(Ok(usize::MAX)).unwrap();
        let rest = String::from_utf8(bench.written.recv_timeout(DEADLINE).unwrap()).unwrap();
        assert!(rest.starts_with("7 dropped\nxxx"), "{}", &rest[..20]);
        assert_eq!(rest.lines().count(), fit + 1);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_the_count_comes_with_the_next_one() {
        let bench = Bench::new();
        for round in 1..=3 {
            bench.queue.push(b"lost\nlost too\n");
            bench.await_write();
            bench.orders.send(Err(Bench::full())).unwrap();
            bench.queue.flush(DEADLINE);
            assert_eq!(bench.queue.lock().dropped, 2 * round);
        }
        bench.queue.push(b"kept\n");
        bench.await_write();
        bench.orders.send(Ok(usize::MAX)).unwrap();
        bench.expect_written("6 dropped\nkept\n");
        bench.queue.push(b"kept\n");
        bench.await_write();
        bench.orders.send(Ok(usize::MAX)).unwrap();
        bench.expect_written("kept\n");
    }

    #[test]
    fn a_line_that_was_written_in_part_is_counted_and_ended_before_the_next_one() {
        let bench = Bench::new();
        bench.queue.push(b"one\ntwo\n");
        bench.await_write();
        bench.orders.send(Ok(6)).unwrap();
        bench.expect_written("one\ntw");
        bench.await_write();
        bench.orders.send(Err(Bench::full())).unwrap();
        bench.queue.flush(DEADLINE);
        bench.queue.push(b"three\n");
        bench.await_write();
        bench.orders.send(Ok(usize::MAX)).unwrap();
        bench.expect_written("\n1 dropped\nthree\n");
    }

    #[test]
    fn flushing_waits_for_the_last_line_and_not_for_ever() {
        let bench = Bench::new();
        bench.queue.push(b"last\n");
        bench.await_write();
        // The sink has no order yet, so the writer is blocked.
        bench.queue.flush(Duration::from_millis(1));
        bench.orders.send(Ok(usize::MAX)).unwrap();
        bench.queue.flush(DEADLINE);
        assert_eq!(bench.written.try_recv().unwrap(), b"last\n");
    }
}

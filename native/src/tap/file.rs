//! What passes, written to a file as it passes.

use std::{
    fs::{File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use chanwire_inspect::{Capture, Filter, JsonLinesWriter, PcapNg, Time, visible};
use rustix::fs::{OFlags, fcntl_setfl};
use tokio::sync::watch;

use crate::{
    files,
    traffic::{Record, Watcher, What},
};

/// The most bytes that may wait to be written.
pub(super) const QUEUE: usize = 64 << 20;

/// The bytes written at a time.
const BATCH: usize = 1 << 20;

/// The most bytes held of frames that arrive. Written ones are not needed any more.
const HELD: usize = 64 << 20;

/// The format of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    JsonLines,
    PcapNg,
}

impl Form {
    /// Returns the format that a file's name asks for.
    ///
    /// # Errors
    /// When its ending is neither.
    pub(crate) fn of(path: &Path) -> Result<Self, String> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("jsonl" | "ndjson") => Ok(Self::JsonLines),
            Some("pcapng") => Ok(Self::PcapNg),
            _ => Err("the file's name must end in .jsonl or .pcapng, which says how it is written".into()),
        }
    }
}

#[derive(Debug)]
enum Output {
    JsonLines(JsonLinesWriter),
    PcapNg(PcapNg),
}

/// Makes rows of what passes, and writes those that pass the filter.
#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    output: Output,
    filter: Option<Filter>,
    capture: Capture,
    /// The number of the next row to be written.
    next: u64,
    /// The time of the first event, from which the capture counts.
    origin: Option<Time>,
    /// Connections that are over, and of which rows may still be to be written.
    over: Vec<u32>,
}

/// Writes until the watching is to end, and then what is left.
pub(super) async fn write(watcher: Watcher, mut writer: Writer, mut end: watch::Receiver<bool>) -> io::Result<()> {
    loop {
        let last = tokio::select! {
            biased;
            () = watcher.wait() => false,
            _ = end.wait_for(|end| *end) => true,
        };
        loop {
            let records = watcher.take(BATCH);
            if records.is_empty() {
                break;
            }
            // A file may block, and then nothing else may wait for it.
            writer = tokio::task::spawn_blocking(move || writer.take(&records).map(|()| writer))
                .await
                .map_err(io::Error::other)??;
        }
        if last {
            return tokio::task::spawn_blocking(move || writer.finish()).await.map_err(io::Error::other)?;
        }
    }
}

impl Writer {
    /// Begins a file that only this user may read. One that has something in it already is left alone, unless
    /// `overwrite` is asked for. A link at its name is not followed.
    pub(super) fn create(path: &Path, form: Form, filter: Option<Filter>, overwrite: bool) -> io::Result<Self> {
        let file = files::open(File::options().write(true).create(true).truncate(false).mode(0o600), path)?;
        let found = file.metadata()?;
        if found.is_file() {
            if found.len() > 0 && !overwrite {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if found.mode() & 0o077 != 0 {
                file.set_permissions(Permissions::from_mode(0o600))?;
            }
            file.set_len(0)?;
        }
        // Whoever reads a pipe may be slow.
        fcntl_setfl(&file, OFlags::empty())?;
        let output = match form {
            Form::JsonLines => Output::JsonLines(JsonLinesWriter::new()),
            Form::PcapNg => Output::PcapNg(PcapNg::new()),
        };
        let mut writer =
            Self { file, output, filter, capture: Capture::new(HELD), next: 1, origin: None, over: Vec::new() };
        writer.flush()?;
        Ok(writer)
    }

    fn take(&mut self, records: &[Record]) -> io::Result<()> {
        for record in records {
            self.record(record);
        }
        self.flush()
    }

    fn finish(mut self) -> io::Result<()> {
        let open: Vec<u32> = self.capture.connections().collect();
        for connection in open {
            self.capture.leave(connection, Time::UNKNOWN);
        }
        self.flush()?;
        // A pipe or a device has nothing to sync.
        if self.file.metadata()?.is_file() { self.file.sync_all() } else { Ok(()) }
    }

    fn record(&mut self, record: &Record) {
        let Record { connection, time, what } = record;
        let (connection, time) = (*connection, *time);
        if self.origin.is_none() {
            self.origin = Some(time);
            if let Output::JsonLines(lines) = &mut self.output {
                lines.set_origin(time);
            }
        }
        match what {
            What::Open { client, server } => {
                let label = format!("{client} to {server}");
                self.capture.open(connection, &label);
                self.capture.note(connection, time, "connected", &visible(&label), false);
            }
            What::Bytes(direction, bytes) => self.capture.bytes(connection, *direction, time, bytes),
            What::Gap(direction, gap, text) => self.capture.gap(connection, Some(*direction), time, *gap, text),
            What::End(direction) => self.capture.shut_down(connection, *direction, time),
            What::Close { reason, bad } => {
                self.capture.close(connection, time);
                self.capture.note(connection, time, "closed", &visible(reason), *bad);
                self.over.push(connection);
            }
        }
    }

    /// Writes the rows that are complete.
    fn flush(&mut self) -> io::Result<()> {
        let origin = self.origin.unwrap_or_default();
        let mut out = Vec::new();
        for entry in self.capture.entries(self.next, self.capture.end_number()) {
            if self.filter.as_ref().is_some_and(|filter| !filter.matches(&entry)) {
                continue;
            }
            match &mut self.output {
                Output::PcapNg(packets) => packets.row(&self.capture, &entry, origin, false),
                Output::JsonLines(lines) => lines.row(&self.capture, &entry, false, &mut out),
            }
        }
        self.next = self.capture.end_number();
        // Whether or not the row passed that says so.
        for connection in self.over.drain(..) {
            match &mut self.output {
                Output::PcapNg(packets) => packets.drop_connection(connection),
                Output::JsonLines(lines) => lines.drop_connection(connection),
            }
        }
        if let Output::PcapNg(packets) = &mut self.output {
            out = packets.take();
        }
        self.file.write_all(&out)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use chanwire_inspect::{
        Direction,
        import::{CaptureImport, ImportOptions},
    };

    use super::*;

    #[test]
    fn nothing_is_kept_of_connections_that_are_over_whatever_the_filter_lets_pass() {
        let folder = tempfile::tempdir().unwrap();
        for (name, form) in [("t.jsonl", Form::JsonLines), ("t.pcapng", Form::PcapNg)] {
            let filter = Filter::parse("cmd == LIST").unwrap();
            let mut writer = Writer::create(&folder.path().join(name), form, Some(filter), false).unwrap();
            let before = format!("{:?}", writer.output).len();
            for connection in 1..=1000 {
                let record = |what| Record { connection, time: Time::from_parts(1_000_000_000, 0), what };
                let bytes = Bytes::from_static(b"LIST\r\nHOST\r\n{}");
                let open = What::Open { client: "127.0.0.1:5".into(), server: "127.0.0.1:6".into() };
                let close = What::Close { reason: "closed".into(), bad: false };
                writer.take(&[open, What::Bytes(Direction::Out, bytes), close].map(record)).unwrap();
            }
            let after = format!("{:?}", writer.output).len();
            assert!(after < before + 100, "{name}: {after} after {before}");
            assert!(std::fs::metadata(folder.path().join(name)).unwrap().len() > 100_000, "{name}");
        }
    }

    /// A count of milliseconds in a float has no room for the nanoseconds of a date.
    #[test]
    fn a_recording_keeps_every_nanosecond() {
        let folder = tempfile::tempdir().unwrap();
        let times = [1_700_000_000_123_456_789, 1_700_000_000_123_456_790, 1_700_000_009_000_000_001];
        for (name, form) in [("t.jsonl", Form::JsonLines), ("t.pcapng", Form::PcapNg)] {
            let path = folder.path().join(name);
            let mut writer = Writer::create(&path, form, None, false).unwrap();
            let open = What::Open { client: "127.0.0.1:5".into(), server: "127.0.0.1:6".into() };
            let asked = What::Bytes(Direction::Out, Bytes::from_static(b"LIST\r\n"));
            let answered = What::Bytes(Direction::In, Bytes::from_static(b"OK\r\n{\"channels\": []}"));
            let records = times.into_iter().zip([open, asked, answered]).map(|(time, what)| Record {
                connection: 1,
                time: Time::from_nanoseconds(time),
                what,
            });
            writer.take(&records.collect::<Vec<_>>()).unwrap();
            writer.finish().unwrap();
            let mut capture = Capture::new(1 << 20);
            let mut import = CaptureImport::new(ImportOptions::default(), 0);
            import.feed(&std::fs::read(path).unwrap(), &mut capture).unwrap();
            import.finish(&mut capture).unwrap();
            let origin = capture.origin().unwrap();
            let frames = capture.entries(1, capture.end_number()).filter(|entry| entry.length() > 0);
            let read: Vec<_> = frames.map(|entry| origin.plus(entry.time()).nanoseconds().unwrap()).collect();
            assert_eq!(read, times[1..], "{name}");
        }
    }
}

//! Recording of passing traffic to a file.

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
    traffic::{Record, RecordKind, Watcher},
};

/// The watcher's queue limit in bytes.
pub(super) const QUEUE: usize = 64 << 20;

/// The bytes written at a time.
const BATCH: usize = 1 << 20;

/// The capture's limit in bytes. It need only hold frames that are not complete; written ones may be dropped.
const HELD: usize = 64 << 20;

/// The format of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    JsonLines,
    PcapNg,
}

impl Form {
    /// Returns the format for a file name's extension.
    ///
    /// # Errors
    /// Another extension, or none.
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

/// A writer of the rows that match the filter.
#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    output: Output,
    filter: Option<Filter>,
    capture: Capture,
    /// The number of the first row that is not written yet.
    next: u64,
    /// The time of the first event; the capture's times count from it.
    origin: Option<Time>,
    /// Closed connections whose last rows are not written yet.
    closed: Vec<u32>,
}

/// Writes a watcher's records until `finish` is set, then the remaining ones.
pub(super) async fn write(watcher: Watcher, mut writer: Writer, mut finish: watch::Receiver<bool>) -> io::Result<()> {
    loop {
        let last = tokio::select! {
            biased;
            () = watcher.wait() => false,
            _ = finish.wait_for(|finish| *finish) => true,
        };
        loop {
            let records = watcher.take(BATCH);
            if records.is_empty() {
                break;
            }
            // On a blocking thread, since writing to a file may block.
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
    /// Creates a file that only this user may read. A file that is not empty is an error unless `overwrite` is set. A
    /// symbolic link is not followed. Passwords and tokens are masked unless they are wanted.
    pub(super) fn create(
        path: &Path,
        form: Form,
        filter: Option<Filter>,
        overwrite: bool,
        with_secrets: bool,
    ) -> io::Result<Self> {
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
        // Blocking, for a pipe whose reader is slow.
        fcntl_setfl(&file, OFlags::empty())?;
        let output = match form {
            Form::JsonLines => Output::JsonLines(JsonLinesWriter::new().with_secrets(with_secrets)),
            Form::PcapNg => Output::PcapNg(PcapNg::new().with_secrets(with_secrets)),
        };
        let mut writer =
            Self { file, output, filter, capture: Capture::new(HELD), next: 1, origin: None, closed: Vec::new() };
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
        let Record { connection, time, kind } = record;
        let (connection, time) = (*connection, *time);
        if self.origin.is_none() {
            self.origin = Some(time);
            if let Output::JsonLines(lines) = &mut self.output {
                lines.set_origin(time);
            }
        }
        match kind {
            RecordKind::Open { client, server } => {
                let label = format!("{client} to {server}");
                self.capture.open(connection, &label);
                self.capture.note(connection, time, "connected", &visible(&label), false);
            }
            RecordKind::Bytes(direction, bytes) => self.capture.bytes(connection, *direction, time, bytes),
            RecordKind::Gap(direction, gap, text) => self.capture.gap(connection, Some(*direction), time, *gap, text),
            RecordKind::End(direction) => self.capture.shut_down(connection, *direction, time),
            RecordKind::Close { reason, bad } => {
                self.capture.close(connection, time);
                self.capture.note(connection, time, "closed", &visible(reason), *bad);
                self.closed.push(connection);
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
        // Dropped even if the filter leaves their last row out.
        for connection in self.closed.drain(..) {
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
    fn closed_connections_are_dropped_whatever_the_filter_matches() {
        let folder = tempfile::tempdir().unwrap();
        for (name, form) in [("t.jsonl", Form::JsonLines), ("t.pcapng", Form::PcapNg)] {
            let filter = Filter::parse("cmd == LIST").unwrap();
            let mut writer = Writer::create(&folder.path().join(name), form, Some(filter), false, false).unwrap();
            let before = format!("{:?}", writer.output).len();
            for connection in 1..=1000 {
                let record = |kind| Record { connection, time: Time::from_parts(1_000_000_000, 0), kind };
                let bytes = Bytes::from_static(b"LIST\r\nHOST\r\n{}");
                let open = RecordKind::Open { client: "127.0.0.1:5".into(), server: "127.0.0.1:6".into() };
                let close = RecordKind::Close { reason: "closed".into(), bad: false };
                writer.take(&[open, RecordKind::Bytes(Direction::Out, bytes), close].map(record)).unwrap();
            }
            let after = format!("{:?}", writer.output).len();
            assert!(after < before + 100, "{name}: {after} after {before}");
            assert!(std::fs::metadata(folder.path().join(name)).unwrap().len() > 100_000, "{name}");
        }
    }

    /// A floating-point count of milliseconds cannot represent a date's nanoseconds.
    #[test]
    fn a_recording_keeps_every_nanosecond() {
        let folder = tempfile::tempdir().unwrap();
        let times = [1_700_000_000_123_456_789, 1_700_000_000_123_456_790, 1_700_000_009_000_000_001];
        for (name, form) in [("t.jsonl", Form::JsonLines), ("t.pcapng", Form::PcapNg)] {
            let path = folder.path().join(name);
            let mut writer = Writer::create(&path, form, None, false, false).unwrap();
            let open = RecordKind::Open { client: "127.0.0.1:5".into(), server: "127.0.0.1:6".into() };
            let asked = RecordKind::Bytes(Direction::Out, Bytes::from_static(b"LIST\r\n"));
            let answered = RecordKind::Bytes(Direction::In, Bytes::from_static(b"OK\r\n{\"channels\": []}"));
            let records = times.into_iter().zip([open, asked, answered]).map(|(time, kind)| Record {
                connection: 1,
                time: Time::from_nanoseconds(time),
                kind,
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

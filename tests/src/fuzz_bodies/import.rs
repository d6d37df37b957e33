//! Captures that anybody may have made.

use chanwire_inspect::{
    Capture, Direction, PcapNg, RowKind, Time,
    import::{CaptureImport, Import, ImportError, ImportOptions, Sink, Summary, preview},
};

use super::Input;

/// The memory limit of a capture here, in bytes.
const LIMIT: usize = 2 << 20;

/// Imports any bytes as a capture, whole and in pieces.
///
/// # Panics
///
/// If the events depend on the pieces, if an error has no place in the capture, or if more memory is taken than was
/// allowed.
pub fn import(data: &[u8]) {
    let mut input = Input::new(data);
    let options = ImportOptions {
        everything: input.byte() % 2 == 1,
        direction: match input.byte() % 3 {
            0 => None,
            1 => Some(Direction::Out),
            _ => Some(Direction::In),
        },
        max_payload: None,
    };
    let (capture, pieces) = input.pieces();
    let _ = preview(capture);
    let whole = imported(&[capture], options);
    let cut = imported(&pieces, options);
    assert_eq!(whole, cut);
    if let Err(error) = &whole.1 {
        assert!(error.at <= capture.len() as u64, "{error}");
    }

    let mut recorded = Capture::new(LIMIT);
    let mut import = CaptureImport::new(options, 7);
    let fed = pieces.iter().try_for_each(|piece| {
        import.feed(piece, &mut recorded)?;
        assert!(recorded.memory() <= LIMIT + (1 << 20), "{} bytes", recorded.memory());
        Ok::<(), ImportError>(())
    });
    let finished = fed.and_then(|()| import.finish(&mut recorded));
    assert!(recorded.memory() <= LIMIT + (1 << 20), "{} bytes", recorded.memory());
    let mut packets = PcapNg::new();
    for entry in recorded.entries(recorded.first(), recorded.end_number()) {
        assert!(entry.connection() > 7);
        assert!(recorded.describe(entry.number()).is_some());
        packets.row(&recorded, &entry, recorded.origin().unwrap_or_default(), false);
        assert!(entry.length() > 0 || matches!(entry.kind(), RowKind::Note | RowKind::Gap), "{entry:?}");
    }
    // Every recorded capture can be exported, and every export can be imported.
    let mut again = CaptureImport::new(ImportOptions::default(), 0);
    let mut capture_again = Capture::new(LIMIT);
    let read = again.feed(&packets.take(), &mut capture_again).and_then(|()| again.finish(&mut capture_again));
    assert!(read.is_ok_and(|summary| !summary.cut));
    // A line of JSON may be none of a row; everything else can be recorded if it can be read.
    if let (Ok(_), Err(error)) = (&whole.1, finished) {
        assert!(capture.trim_ascii_start().starts_with(b"{"), "{error}");
    }
}

fn imported(pieces: &[&[u8]], options: ImportOptions) -> (Imported, Result<Summary, ImportError>) {
    let mut imported = Imported::default();
    let mut import = Import::new(options);
    for piece in pieces {
        if let Err(error) = import.feed(piece, &mut imported) {
            return (imported, Err(error));
        }
    }
    let summary = import.finish(&mut imported);
    (imported, summary)
}

/// The reported events, in order; adjacent runs of bytes are merged.
#[derive(Debug, Default, PartialEq)]
struct Imported(Vec<Event>);

#[derive(Debug, PartialEq)]
enum Event {
    Bytes(u32, Direction, Vec<u8>),
    Other(String),
}

impl Sink for Imported {
    fn open(&mut self, connection: u32, time: Time, client: &str, server: &str) {
        self.0.push(Event::Other(format!("open {connection} {time:?} {client} {server}")));
    }

    fn bytes(&mut self, connection: u32, direction: Direction, _: Time, bytes: &[u8]) {
        assert!(!bytes.is_empty());
        match self.0.last_mut() {
            Some(Event::Bytes(last, way, all)) if (*last, *way) == (connection, direction) => {
                all.extend_from_slice(bytes);
            }
            _ => self.0.push(Event::Bytes(connection, direction, bytes.to_vec())),
        }
    }

    fn gap(&mut self, connection: u32, direction: Direction, time: Time, bytes: u64, text: &str) {
        self.0.push(Event::Other(format!("gap {connection} {direction} {time:?} {bytes} {text}")));
    }

    fn end(&mut self, connection: u32, direction: Direction, time: Time) {
        self.0.push(Event::Other(format!("end {connection} {direction} {time:?}")));
    }

    fn shut_down(&mut self, connection: u32, direction: Direction, time: Time) {
        self.0.push(Event::Other(format!("shut down {connection} {direction} {time:?}")));
    }

    fn close(&mut self, connection: u32, time: Time, reason: &str, bad: bool) {
        self.0.push(Event::Other(format!("close {connection} {time:?} {reason} {bad}")));
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        self.0.push(Event::Other(line.escape_ascii().to_string()));
        Ok(())
    }
}

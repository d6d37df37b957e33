//! Laws of the inspector for any two streams.

use chanwire_core::{Limits, Span};
use chanwire_inspect::{Capture, Direction, Field, MAX_SUMMARY, MAX_TEXT, Row, RowKind, visible};

use super::Input;

/// Inspects any bytes in both directions, by turns.
///
/// # Panics
///
/// If the rows depend on the pieces, do not tile the streams, name bytes that are not theirs, show something that hides
/// or acts, or if an answer is paired with what it cannot answer.
pub fn inspect(data: &[u8]) {
    let mut input = Input::new(data);
    let limit = input.limit(65_536, 1);
    let feeds = input.pairs(30);
    let mut stream = input.rest();
    let (mut whole, mut bytewise) = (Watch::new(limit), Watch::new(limit));
    for (index, (direction, length)) in feeds.iter().enumerate() {
        let direction = if direction % 2 == 0 { Direction::Out } else { Direction::In };
        let (bytes, rest) = stream.split_at(stream.len().min((*length).into()));
        stream = rest;
        whole.feed(direction, index, [bytes]);
        bytewise.feed(direction, index, bytes.chunks(1));
        assert_eq!(whole.rows(), bytewise.rows(), "after {index}");
    }
    whole.feed(Direction::Out, feeds.len(), [stream]);
    bytewise.feed(Direction::Out, feeds.len(), stream.chunks(1));
    whole.finish();
    bytewise.finish();
    assert_eq!(whole.rows(), bytewise.rows());
    whole.check();
}

/// The one connection that is recorded.
const CONNECTION: u32 = 1;

/// Much more than what is fed takes, so that nothing is dropped.
const MEMORY: usize = 64 << 20;

/// A capture and what it was fed.
struct Watch {
    capture: Capture,
    limit: usize,
    out: Vec<u8>,
    r#in: Vec<u8>,
}

impl Watch {
    fn new(limit: usize) -> Self {
        let mut capture = Capture::new(MEMORY);
        capture.open_with(CONNECTION, "192.0.2.7:50123", limit, Limits::client().max_payload);
        Self { capture, limit, out: Vec::new(), r#in: Vec::new() }
    }

    fn feed<'a>(&mut self, direction: Direction, time: usize, pieces: impl IntoIterator<Item = &'a [u8]>) {
        for piece in pieces {
            self.capture.bytes(CONNECTION, direction, time as f64, piece);
            let fed = match direction {
                Direction::Out => &mut self.out,
                Direction::In => &mut self.r#in,
            };
            fed.extend_from_slice(piece);
            for arriving in self.capture.arriving().filter(|arriving| arriving.direction == direction) {
                assert_eq!(arriving.span.end, fed.len() as u64, "{arriving:?}");
            }
        }
    }

    fn finish(&mut self) {
        for direction in [Direction::Out, Direction::In] {
            self.capture.end(CONNECTION, direction, 1e3);
        }
        assert_eq!(self.capture.arriving().next(), None);
    }

    /// Returns each row, the number of what it answers or is answered by, and the time between them where it is an
    /// answer.
    fn rows(&self) -> Vec<(Row, Option<u64>, Option<f64>)> {
        let rows = self.capture.entries(self.capture.first(), self.capture.end_number());
        rows.map(|entry| (self.capture.describe(entry.number()).unwrap(), entry.pair(), entry.rtt())).collect()
    }

    fn check(&self) {
        let (mut out, mut r#in) = (0, 0);
        let (rows, mut oldest) = (self.rows(), 1);
        for ((row, pair, rtt), number) in rows.iter().zip(1..) {
            let (at, bytes) = match row.direction {
                Direction::Out => (&mut out, &self.out),
                Direction::In => (&mut r#in, &self.r#in),
            };
            assert!(row.span.start == *at && row.span.end > *at, "{row:?} does not start at {at}");
            *at = row.span.end;
            check_row(row, bytes, self.limit);
            let Some(pair) = *pair else { continue };
            let (other, back, _) = &rows[usize::try_from(pair - 1).unwrap()];
            assert_eq!(*back, Some(number), "{other:?} and {row:?} are a pair");
            assert!(row.direction != other.direction, "{other:?} and {row:?} go the same way");
            if row.direction == Direction::In {
                assert!((oldest..number).contains(&pair), "{row:?} answers what is answered, or to come");
                assert!(other.kind != RowKind::Skipped && rtt.is_some_and(|time| time >= 0.0), "{row:?}");
                oldest = pair + 1;
            }
        }
        assert_eq!((out, r#in), (self.out.len() as u64, self.r#in.len() as u64));
    }
}

fn check_row(row: &Row, bytes: &[u8], limit: usize) {
    for shown in [Some(&row.head), Some(&row.summary), row.error.as_ref()].into_iter().flatten() {
        assert_eq!(&*visible(shown), shown);
        // A character that is written out takes up to ten.
        assert!(shown.chars().count() <= 10 * MAX_SUMMARY + 100, "{} characters", shown.chars().count());
    }
    if let (Some(command), Some(separator)) = (row.command, row.separator) {
        assert_eq!((slice(bytes, command), slice(bytes, separator)), (row.head.as_bytes(), &b"\r\n"[..]));
        assert_eq!((command.start, command.end), (row.span.start, separator.start));
    }
    assert_eq!((row.command.is_some(), row.separator.is_some()), (row.kind == RowKind::Frame, row.command.is_some()));
    if let Some(payload) = row.payload {
        assert_eq!(payload.end, row.span.end);
        assert!(row.direction == Direction::In || payload.len() <= limit as u64, "{row:?} is beyond the limit");
        check_fields(&row.fields, bytes, payload);
    }
    if let Some(at) = row.fault.as_ref().and_then(|fault| fault.at) {
        // The byte after the largest payload is at fault without belonging to it.
        assert!((row.span.start..=row.span.end).contains(&at), "{row:?}");
    }
}

/// Checks that fields stand one after the other, each within its parent.
fn check_fields(fields: &[Field], bytes: &[u8], within: Span) {
    let mut at = within.start;
    for field in fields {
        let first = field.key.unwrap_or(field.value);
        assert!(at <= first.start && first.end <= field.value.end, "{field:?} before {at}");
        assert!(!field.value.is_empty() && field.value.end <= within.end, "{field:?} is not within {within:?}");
        assert!(field.key.is_none_or(|key| slice(bytes, key).starts_with(b"\"")), "{field:?}");
        assert!(field.text.chars().count() <= MAX_TEXT && field.name.chars().count() <= MAX_TEXT);
        check_fields(&field.children, bytes, field.value);
        at = field.value.end;
    }
}

fn slice(bytes: &[u8], span: Span) -> &[u8] {
    &bytes[usize::try_from(span.start).unwrap()..usize::try_from(span.end).unwrap()]
}

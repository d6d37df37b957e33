//! Runs a stream through a decoder in many ways and checks that they agree.

use chanwire_core::{
    Span,
    wire::{Decoder, Fault, FaultKind, Item, Skipped, StartLine},
};

/// An item that owns its bytes, so that runs can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen<H> {
    /// A frame.
    Frame {
        /// Its command or status.
        head: H,
        /// The span of the start line's word.
        start_line_span: Span,
        /// The span of the CRLF.
        separator: Span,
        /// The span of the payload.
        payload_span: Span,
        /// The payload.
        payload: Vec<u8>,
    },
    /// A fault, without its words: they follow from these.
    Fault {
        /// Its bytes.
        span: Span,
        /// The byte that decided it.
        at: Option<u64>,
        /// The start line of the frame.
        head: String,
        /// The kind of fault.
        kind: FaultKind,
    },
    /// Bytes that mean nothing.
    Skipped(Span, Skipped),
}

impl<H: StartLine> Seen<H> {
    /// Returns the bytes that it covers.
    #[must_use]
    pub const fn span(&self) -> Span {
        match self {
            Self::Frame { start_line_span, payload_span, .. } => Span::new(start_line_span.start, payload_span.end),
            Self::Fault { span, .. } | Self::Skipped(span, _) => *span,
        }
    }
}

impl<H: StartLine> From<Item<'_, H>> for Seen<H> {
    fn from(item: Item<'_, H>) -> Self {
        match item {
            Item::Frame(frame) => Self::Frame {
                head: frame.start_line,
                start_line_span: frame.start_line_span,
                separator: frame.separator,
                payload_span: frame.payload_span,
                payload: frame.payload.to_vec(),
            },
            Item::Fault(fault) => Self::from(fault),
            Item::Skipped(span, reason) => Self::Skipped(span, reason),
        }
    }
}

impl<H> From<Fault> for Seen<H> {
    fn from(fault: Fault) -> Self {
        Self::Fault { span: fault.span, at: fault.at, head: fault.start_line, kind: fault.kind }
    }
}

/// The items of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run<H> {
    /// The items before the end of the stream was fed.
    pub before: Vec<Seen<H>>,
    /// The items after it.
    pub after: Vec<Seen<H>>,
}

impl<H: StartLine> Run<H> {
    /// Returns all items.
    pub fn all(&self) -> impl Iterator<Item = &Seen<H>> {
        self.before.iter().chain(&self.after)
    }
}

/// Returns every item that the bytes so far complete.
pub fn drain<H: StartLine>(decoder: &mut Decoder<H>) -> Vec<Seen<H>> {
    std::iter::from_fn(|| decoder.next_item().map(Seen::from)).collect()
}

/// The way in which the bytes of a piece reach a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// All of them are fed.
    Fed,
    /// All of them are at hand.
    AtHand,
    /// They are at hand for the first item, and what is left is fed.
    FedAfterOne,
}

impl Way {
    fn give<H: StartLine>(self, decoder: &mut Decoder<H>, mut piece: &[u8]) -> Vec<Seen<H>> {
        let mut items = Vec::new();
        while self != Self::Fed
            && let Some(item) = decoder.next_item_of(&mut piece)
        {
            items.push(item.into());
            if self == Self::FedAfterOne {
                break;
            }
        }
        decoder.feed(piece);
        items.extend(drain(decoder));
        items
    }
}

/// Feeds a decoder the pieces one by one, taking the available items after each, and then the end of the stream.
///
/// # Panics
///
/// If the items depend on how the pieces are given, or if what the decoder says of the frame that is still arriving
/// does not fit the items.
pub fn run<'a, H: StartLine>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> Run<H> {
    let mut decoders = [Way::Fed, Way::AtHand, Way::FedAfterOne].map(|way| (way, Decoder::new(limit)));
    let (mut before, mut fed) = (Vec::new(), Vec::new());
    for piece in pieces {
        fed.extend_from_slice(piece);
        let [first, second, third] = decoders.each_mut().map(|(way, decoder)| way.give(decoder, piece));
        assert!(first == second && first == third, "{first:?}, {second:?} and {third:?} of {fed:?}");
        before.extend(first);
        for (_, decoder) in &decoders {
            check_rest(decoder, before.last().map_or(0, |item: &Seen<H>| item.span().end), &fed);
        }
    }
    let [first, second, third] = decoders.each_mut().map(|(_, decoder)| {
        decoder.finish();
        let after = drain(decoder);
        assert!(decoder.is_closed(), "something can still come after the end of {fed:?}");
        after
    });
    assert!(first == second && first == third, "{first:?}, {second:?} and {third:?} after {fed:?}");
    Run { before, after: first }
}

/// Checks that the bytes after the last item are the partial frame, or white space, or come after the end of the
/// conversation.
fn check_rest<H: StartLine>(decoder: &Decoder<H>, items_end: u64, fed: &[u8]) {
    assert_eq!(decoder.unread(), 0, "bytes are left unread although no item came");
    match decoder.partial() {
        Some(partial) => assert_eq!(
            (partial.span.end, decoder.is_closed()),
            (fed.len() as u64, false),
            "the partial frame of {fed:?}"
        ),
        None if decoder.is_closed() => {}
        None => assert!(rest(fed, items_end).iter().all(|byte| b" \t\r\n".contains(byte)), "between frames: {fed:?}"),
    }
    if let Some(partial) = decoder.partial() {
        assert_eq!(partial.span.start, items_end, "the partial frame starts where the last item of {fed:?} ends");
    }
}

fn rest(bytes: &[u8], from: u64) -> &[u8] {
    usize::try_from(from).ok().and_then(|from| bytes.get(from..)).unwrap_or_default()
}

/// Returns the stream in pieces that end at these positions, in any order; positions that repeat give empty pieces.
#[must_use]
pub fn cut<'a>(stream: &'a [u8], at: &[usize]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = at.iter().map(|at| at % (stream.len() + 1)).collect();
    at.sort_unstable();
    at.push(stream.len());
    let mut start = 0;
    at.into_iter()
        .map(|end| {
            let piece = stream.get(start..end).unwrap_or_default();
            start = end;
            piece
        })
        .collect()
}

/// Checks that items cover every byte of the stream in order, none twice and none empty.
///
/// # Panics
///
/// If they do not.
pub fn check_tiling<H: StartLine>(run: &Run<H>, length: usize) {
    let mut at = 0;
    for item in run.all() {
        let span = item.span();
        assert_eq!(span.start, at, "a gap or an overlap before {item:?}");
        assert!(span.end > at, "an empty item {item:?}");
        at = span.end;
    }
    assert_eq!(at, length as u64, "the items end before the stream");
}

/// Runs a stream whole, in two pieces at every byte, byte by byte, and every beginning of it on its own; all of them
/// must agree. Gives what the whole stream says.
///
/// # Panics
///
/// If they do not agree, or do not tile.
pub fn check_every_cut<H: StartLine>(stream: &[u8], limit: usize) -> Run<H> {
    let whole = run::<H>([stream], limit);
    check_tiling(&whole, stream.len());
    assert_eq!(run(stream.chunks(1), limit), whole, "byte by byte");
    for at in 0..=stream.len() {
        let (left, right) = stream.split_at(at);
        assert_eq!(run([left, b"", right], limit), whole, "cut at {at}");
        let beginning = run::<H>([left], limit);
        check_tiling(&beginning, at);
        assert_eq!(
            Some(&*beginning.before),
            whole.before.get(..beginning.before.len()),
            "what is known after {at} bytes changes with what follows"
        );
    }
    whole
}

//! The items that a stream is cut into.

#![expect(clippy::exhaustive_enums, clippy::exhaustive_structs, reason = "a reader of a stream handles every item")]

use super::fault::Fault;
use crate::Span;

/// One complete frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a, H> {
    /// The start line.
    pub start_line: H,
    /// The span of the start line, which starts the frame.
    pub start_line_span: Span,
    /// The span of the CRLF after it.
    pub separator: Span,
    /// The span of the payload: empty, and right after the separator, where none is taken. White space may stand
    /// between separator and payload.
    pub payload_span: Span,
    /// The payload, from its `{` to the `}` that closes it. Its brackets match; nothing else is known of it.
    pub payload: &'a [u8],
}

impl<H> Frame<'_, H> {
    /// Returns the whole frame, from its first byte to its last.
    #[must_use]
    pub const fn span(&self) -> Span {
        Span::new(self.start_line_span.start, self.payload_span.end)
    }
}

/// A stretch of the stream. Items tile it: each byte belongs to exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item<'a, H> {
    /// A complete frame.
    Frame(Frame<'a, H>),
    /// A fault. If it is not recoverable, only [`Skipped::Discarded`] can follow.
    Fault(Fault),
    /// Bytes that mean nothing.
    Skipped(Span, Skipped),
}

impl<H> Item<'_, H> {
    /// Returns the bytes that the item covers.
    #[must_use]
    pub const fn span(&self) -> Span {
        match self {
            Self::Frame(frame) => frame.span(),
            Self::Fault(fault) => fault.span,
            Self::Skipped(span, _) => *span,
        }
    }
}

/// A reason for skipping bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// White space between frames, the whole run of it.
    WhiteSpace,
    /// The object or array that belongs to a command which takes no payload, is unknown or was refused.
    Object,
    /// Bytes after a fault that ends the connection.
    Discarded,
}

//! One direction of a connection, row by row.

use chanwire_core::{
    Limits, Span,
    wire::{
        self, Command, Decoder, Frame, Item, Notice, PayloadFault, PayloadFaultKind, Request, Response, Skipped,
        StartLine, Status, StoredMessage,
    },
};

use crate::{Direction, Fault, Row, RowKind, secret, summary, tree};

/// Cuts one direction of a connection into [`Row`]s.
///
/// Bytes go in by [`feed`](Self::feed) in any pieces, the end of the stream by [`finish`](Self::finish); after either,
/// take rows by [`next_row`](Self::next_row) until there is none. The rows do not depend on the pieces, tile the
/// stream, and no more is kept than the frame that is arriving and what was fed and not yet taken.
///
/// An answer's payload is read as the answer of whichever command it fits, since a listing does not see the requests:
/// [`Capture`](crate::Capture) does.
#[derive(Debug)]
pub struct Listing {
    side: Side,
    with_fields: bool,
    with_secrets: bool,
}

#[derive(Debug)]
enum Side {
    Out(Decoder<Command>),
    In(Decoder<Status>),
}

impl Listing {
    /// Returns a listing of a stream in this direction that has payloads of at most `max_payload` bytes; `None` for the
    /// protocol's default: what a server reads of a request, what a client reads of an answer.
    #[must_use]
    pub fn new(direction: Direction, max_payload: Option<usize>) -> Self {
        let side = match direction {
            Direction::Out => Side::Out(Decoder::new(max_payload.unwrap_or(Limits::server().max_payload))),
            Direction::In => Side::In(Decoder::new(max_payload.unwrap_or(Limits::client().max_payload))),
        };
        Self { side, with_fields: true, with_secrets: false }
    }

    /// Shows the passwords and tokens of AUTH in its rows, which are masked otherwise.
    #[must_use]
    pub const fn with_secrets(mut self, with_secrets: bool) -> Self {
        self.with_secrets = with_secrets;
        self
    }

    /// Leaves the fields out of its rows.
    pub(crate) const fn without_fields(mut self) -> Self {
        self.with_fields = false;
        self
    }

    /// Takes the next bytes of the stream. Bytes after [`finish`](Self::finish) are ignored.
    pub fn feed(&mut self, bytes: &[u8]) {
        match &mut self.side {
            Side::Out(decoder) => decoder.feed(bytes),
            Side::In(decoder) => decoder.feed(bytes),
        }
    }

    /// Ends the stream.
    pub fn finish(&mut self) {
        match &mut self.side {
            Side::Out(decoder) => decoder.finish(),
            Side::In(decoder) => decoder.finish(),
        }
    }

    /// Returns the next row, if the bytes so far complete one.
    pub fn next_row(&mut self) -> Option<Row> {
        self.next_row_asked(None)
    }

    /// Returns the next row, an answer read as one to this command, if it is known.
    pub(crate) fn next_row_asked(&mut self, asked: Option<Command>) -> Option<Row> {
        let (fields, masks) = (self.with_fields, !self.with_secrets);
        Some(match &mut self.side {
            Side::Out(decoder) => match decoder.next_item()? {
                Item::Frame(frame) => {
                    let mut row = add_fields(request_row(&frame), &frame, fields);
                    if masks && frame.start_line == Command::Auth {
                        secret::mask_fields(&mut row.fields);
                    }
                    row
                }
                Item::Fault(fault) => fault_row(Direction::Out, &fault),
                Item::Skipped(span, reason) => skipped_row(Direction::Out, span, reason),
            },
            Side::In(decoder) => match decoder.next_item()? {
                Item::Frame(frame) if !frame.start_line.is_answer() => add_fields(unasked_row(&frame), &frame, fields),
                Item::Frame(frame) => add_fields(answer_row(&frame, asked), &frame, fields),
                Item::Fault(fault) => fault_row(Direction::In, &fault),
                Item::Skipped(span, reason) => skipped_row(Direction::In, span, reason),
            },
        })
    }
}

fn request_row(frame: &Frame<'_, Command>) -> Row {
    match Request::decode(frame.start_line, frame.payload) {
        Ok(request) => frame_row(Direction::Out, frame, summary::of_request(&request), None),
        Err(fault) => faulty_row(Direction::Out, frame, &fault),
    }
}

fn unasked_row(frame: &Frame<'_, Status>) -> Row {
    let summary = match frame.start_line {
        Status::Notice => Notice::decode(frame.payload).map(|notice| summary::of_notice(&notice)),
        _ => StoredMessage::decode(frame.payload).map(|message| summary::of_push(&message)),
    };
    let row = match summary {
        Ok(summary) => frame_row(Direction::In, frame, summary, None),
        Err(fault) => faulty_row(Direction::In, frame, &fault),
    };
    Row { push: true, ..row }
}

fn answer_row(frame: &Frame<'_, Status>, asked: Option<Command>) -> Row {
    let (row, error) = match decode_answer(frame, asked) {
        Ok(Some(response)) => {
            let row = frame_row(Direction::In, frame, summary::of_response(&response), None);
            (row, if let Response::Error(error) = response { Some(error) } else { None })
        }
        Ok(None) => (frame_row(Direction::In, frame, summary::of_json(frame.payload), None), None),
        Err(fault) => (faulty_row(Direction::In, frame, &fault), None),
    };
    Row { status: Some(frame.start_line.name()), error: error.as_ref().map(summary::of_error), ..row }
}

/// Returns the answer, decoded for the command asked or for any command that it fits; `None` if it is JSON but fits
/// none.
pub(crate) fn decode_answer(
    frame: &Frame<'_, Status>,
    asked: Option<Command>,
) -> Result<Option<Response>, PayloadFault> {
    if let Some(command) = asked {
        return Response::decode(command, frame.start_line, frame.payload).map(Some);
    }
    let mut wrong = None;
    for command in Command::ALL {
        match Response::decode(*command, frame.start_line, frame.payload) {
            Ok(response) => return Ok(Some(response)),
            Err(fault) => wrong = Some(fault),
        }
    }
    // An error's fields are the same whatever was asked, and so is what makes it no JSON.
    match wrong {
        Some(fault) if frame.start_line != Status::Ok || matches!(fault.kind, PayloadFaultKind::Json(_)) => Err(fault),
        _ => Ok(None),
    }
}

fn faulty_row<H: StartLine>(direction: Direction, frame: &Frame<'_, H>, fault: &PayloadFault) -> Row {
    let fault = Fault::of_payload(fault, frame.payload_span.start);
    frame_row(direction, frame, summary::of_fault(&fault), Some(fault))
}

fn frame_row<H: StartLine>(direction: Direction, frame: &Frame<'_, H>, summary: String, fault: Option<Fault>) -> Row {
    let payload = frame.start_line.takes_payload().then_some(frame.payload_span);
    Row {
        command: Some(frame.start_line_span),
        separator: Some(frame.separator),
        payload,
        fault,
        ..plain_row(RowKind::Frame, direction, frame.span(), frame.start_line.name().into(), summary)
    }
}

fn add_fields<H>(row: Row, frame: &Frame<'_, H>, wanted: bool) -> Row {
    let payload = row.payload.filter(|_| wanted);
    // If the payload is no JSON, the fault says so.
    let members = payload.and_then(|span| tree::members(frame.payload, span.start).ok());
    let (fields, omitted) = members.unwrap_or_default();
    Row { fields, omitted, ..row }
}

fn fault_row(direction: Direction, fault: &wire::Fault) -> Row {
    let shown = Fault::of_frame(fault);
    let row = plain_row(RowKind::Fault, direction, fault.span, fault.start_line.clone(), summary::of_fault(&shown));
    Row { fault: Some(shown), ..row }
}

fn skipped_row(direction: Direction, span: Span, reason: Skipped) -> Row {
    let head = match reason {
        Skipped::WhiteSpace => "white space",
        Skipped::Object => "object",
        Skipped::Discarded => "discarded",
    };
    plain_row(RowKind::Skipped, direction, span, head.into(), summary::of_skipped(span.len(), reason))
}

pub(crate) fn plain_row(kind: RowKind, direction: Direction, span: Span, head: String, summary: String) -> Row {
    Row {
        kind,
        direction,
        span,
        head,
        push: false,
        command: None,
        separator: None,
        payload: None,
        fields: Vec::new(),
        omitted: 0,
        summary,
        fault: None,
        status: None,
        error: None,
        pair: None,
        rtt: None,
    }
}

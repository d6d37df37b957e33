//! Payloads: what can be read comes back, and what cannot is wrong somewhere in it.

use chanwire_core::wire::{
    Command, Decoder, Item, PayloadFault, PayloadFaultKind, Request, Response, StartLine, Status, StoredMessage,
};

use super::Input;
use crate::show;

/// Decodes any bytes as the payload of a request, an answer or a push.
///
/// # Panics
///
/// If what can be read does not come back from its canonical bytes, if those are not their own canonical bytes, or if
/// the place of what is wrong is not in the payload.
pub fn request(data: &[u8]) {
    let mut input = Input::new(data);
    let kind = usize::from(input.byte());
    let payload = input.rest();
    let command = Command::ALL[kind % Command::ALL.len()];
    match kind / Command::ALL.len() {
        0 => check_request(command, payload),
        1 => check_response(command, Status::Ok, payload),
        2 => check_response(command, Status::RequestError, payload),
        3 => check_response(command, Status::ServerError, payload),
        _ => {
            if let Err(fault) = StoredMessage::decode(payload) {
                check_place(Status::Push, payload, &fault);
            }
        }
    }
}

fn check_request(command: Command, payload: &[u8]) {
    let request = match Request::decode(command, payload) {
        Ok(request) => request,
        Err(fault) => return check_place(command, payload, &fault),
    };
    assert_eq!((request.command(), request.validate()), (command, Ok(())));
    let canonical = encoded(|out| request.encode(out));
    let (again, payload) = frame::<Command>(&canonical);
    let decoded = Request::decode(again, &payload).unwrap();
    assert_eq!((again, &decoded), (command, &request));
    assert_eq!(encoded(|out| decoded.encode(out)), canonical);
}

fn check_response(command: Command, status: Status, payload: &[u8]) {
    let response = match Response::decode(command, status, payload) {
        Ok(response) => response,
        Err(fault) => return check_place(status, payload, &fault),
    };
    assert_eq!(response.status(), status);
    let canonical = encoded(|out| response.encode(out));
    let (again, payload) = frame::<Status>(&canonical);
    let decoded = Response::decode(command, again, &payload).unwrap();
    assert_eq!((again, &decoded), (status, &response));
    assert_eq!(encoded(|out| decoded.encode(out)), canonical);
}

fn check_place<H: StartLine>(head: H, payload: &[u8], fault: &PayloadFault) {
    let shown = show::bytes(payload);
    let bytes = [head.name().as_bytes(), b"\r\n", payload].concat();
    let mut decoder = Decoder::<H>::new(usize::MAX);
    decoder.feed(&bytes);
    // A frame's payload has its closing bracket, so nothing in it can end too early.
    let framed = matches!(decoder.next_item(), Some(Item::Frame(frame)) if frame.payload == payload);
    let end = if framed { payload.len() } else { payload.len() + 1 };
    match (fault.kind, fault.at) {
        (PayloadFaultKind::Json(error), at) => {
            assert_eq!(at, Some(error.at), "{fault:?}: {shown}");
            assert!(error.at < end, "{fault:?} is beyond the payload: {shown}");
        }
        (PayloadFaultKind::Missing(_), None) => {}
        (PayloadFaultKind::Duplicate(_), Some(at)) => {
            assert_eq!(payload.get(at), Some(&b'"'), "a name does not start at {fault:?}: {shown}");
        }
        (PayloadFaultKind::Wrong(_), Some(at)) => {
            let first = payload.get(at).copied();
            let starts = first.is_some_and(|byte| b"\"{[tfn-0123456789".contains(&byte));
            assert!(starts, "a value does not start at {fault:?}: {shown}");
        }
        _ => panic!("{fault:?}: {shown}"),
    }
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

/// Returns the one frame that these bytes are: its head and its payload.
fn frame<H: StartLine>(bytes: &[u8]) -> (H, Vec<u8>) {
    let mut decoder = Decoder::<H>::new(usize::MAX);
    decoder.feed(bytes);
    let Some(Item::Frame(frame)) = decoder.next_item() else { panic!("no frame: {}", show::bytes(bytes)) };
    let (head, payload) = (frame.start_line, frame.payload.to_vec());
    assert_eq!(frame.span().end, bytes.len() as u64, "{}", show::bytes(bytes));
    (head, payload)
}

//! The rules of one connection, one by one, on a virtual clock.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "endpoint/answers.rs"]
mod answers;
#[path = "endpoint/authentication.rs"]
mod authentication;
#[path = "endpoint/backpressure.rs"]
mod backpressure;
#[path = "endpoint/client.rs"]
mod client;
#[path = "endpoint/closing.rs"]
mod closing;
#[path = "endpoint/deadlines.rs"]
mod deadlines;
#[path = "endpoint/lists.rs"]
mod lists;
#[path = "endpoint/notices.rs"]
mod notices;
#[path = "endpoint/pushes.rs"]
mod pushes;
#[path = "endpoint/rates.rs"]
mod rates;
#[path = "endpoint/reconfigure.rs"]
mod reconfigure;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use chanwire_core::{
    Limits, Time,
    endpoint::{
        Client, ClientEvent, ConnectionAction, ConnectionId, Deadline, Endpoint, Misuse, ProtocolViolation, Reason,
        Reply, Server, ServerCommand, ServerEvent, Ticket, Timer,
    },
    wire::{
        ErrorResponse, Hello, HistoryRange, JoinFrom, Message, Notice, Presence, Request, Response, StoredMessage,
        Timestamp,
    },
};
use chanwire_tests::{
    examples,
    link::{End, carry},
    name::named,
};

const START: u64 = 1_000_000;
const ALL: usize = usize::MAX;

/// Returns the time this many milliseconds after the start.
const fn at(millis: u64) -> Time {
    Time::from_millis(START + millis)
}

fn due<E: Endpoint>(endpoint: &E) -> Option<(u64, Timer)> {
    endpoint.poll_timeout().map(|Deadline { at, timer }| (at.as_millis() - START, timer))
}

fn server() -> End<Server> {
    limited(|_| {})
}

/// Returns a server with other limits; unless it is one of them, LISTs can be in flight together.
fn limited(change: impl FnOnce(&mut Limits)) -> End<Server> {
    let mut limits = Limits::server();
    limits.max_in_flight_bytes = usize::MAX;
    change(&mut limits);
    End::new(Server::new(ConnectionId(0), limits))
}

/// Gives bytes at once, whatever the endpoint wants.
fn feed<E: Endpoint>(end: &mut End<E>, now: Time, bytes: &[u8]) {
    end.endpoint.handle_input(now, bytes);
}

fn tickets(end: &mut End<Server>) -> Vec<Ticket> {
    let events = std::iter::from_fn(|| end.endpoint.poll_event());
    events
        .filter_map(|event| if let ServerEvent::Request { ticket, .. } = event { Some(ticket) } else { None })
        .collect()
}

fn one_ticket(end: &mut End<Server>) -> Ticket {
    let mut tickets = tickets(end);
    assert_eq!(tickets.len(), 1);
    tickets.remove(0)
}

fn hosted(name: &str) -> Response {
    Response::Hosted { channel_name: name.parse().unwrap() }
}

/// Returns an answer that has this many characters of text.
fn long(length: usize) -> Response {
    Response::Error(ErrorResponse::request("Channel not found", "x".repeat(length)))
}

fn bytes(response: &Response) -> Vec<u8> {
    let mut out = Vec::new();
    response.encode(&mut out);
    out
}

/// Returns the next output as text.
fn written<E: Endpoint>(end: &mut End<E>, now: Time) -> String {
    let mut all = Vec::new();
    loop {
        let more = end.write(now, ALL);
        if more.is_empty() {
            return String::from_utf8(all).unwrap();
        }
        all.extend(more);
    }
}

fn error(error: &str) -> String {
    format!("REQUEST_ERROR\r\n{{\"error\": \"{error}\", ")
}

fn respond(end: &mut End<Server>, now: Time, ticket: Ticket, reply: impl Into<Reply>) {
    end.endpoint.respond(now, ticket, reply).unwrap();
}

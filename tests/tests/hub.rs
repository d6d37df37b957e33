//! The rules of channels, one by one. [`Trial`] checks the general laws after every step.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

#[path = "hub/authentication.rs"]
mod authentication;
#[path = "hub/channel_pages.rs"]
mod channel_pages;
#[path = "hub/cost.rs"]
mod cost;
#[path = "hub/counters.rs"]
mod counters;
#[path = "hub/damaged.rs"]
mod damaged;
#[path = "hub/deletions.rs"]
mod deletions;
#[path = "hub/directory.rs"]
mod directory;
#[path = "hub/drain.rs"]
mod drain;
#[path = "hub/failures.rs"]
mod failures;
#[path = "hub/fairness.rs"]
mod fairness;
#[path = "hub/joins.rs"]
mod joins;
#[path = "hub/leases.rs"]
mod leases;
#[path = "hub/messages.rs"]
mod messages;
#[path = "hub/names.rs"]
mod names;
#[path = "hub/operator.rs"]
mod operator;
#[path = "hub/order.rs"]
mod order;
#[path = "hub/presence.rs"]
mod presence;
#[path = "hub/reading.rs"]
mod reading;
#[path = "hub/reconfigure.rs"]
mod reconfigure;
#[path = "hub/removal.rs"]
mod removal;
#[path = "hub/retries.rs"]
mod retries;

use std::net::IpAddr;

use chanwire_core::{
    Time,
    endpoint::{Endpoint as _, Misuse, Server, ServerCommand, ServerEvent, Ticket},
    hub::{ConnectionId, Effect, Hub, HubLimits, Moment, Peer, Snapshot, StoreCommand, StoreOutcome, Write},
    wire::{
        Address, Channel, ChannelName, ErrorResponse, HistoryRange, Host, JoinFrom, Message, Request, Response,
        StoredMessage, Timestamp,
    },
};
use chanwire_tests::{
    hub_model::not_stored,
    hub_trial::{Setup, Trial},
    name::named,
    store::{Disk, Fate},
};

const ADA: &str = "10.0.0.9";
const BOB: &str = "192.168.1.5";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(host: &str, port: u16) -> Address {
    Address::new(host, port).unwrap()
}

fn channel(name: &str, host: &str, port: u16) -> Channel {
    Channel { channel_name: name.parse().unwrap(), address: at(host, port) }
}

fn host(name: &str, host: &str, port: u16) -> Request {
    Request::Host(Host { channel: channel(name, host, port), lease: None })
}

fn leased(name: &str, host: &str, port: u16, lease: u32) -> Request {
    Request::Host(Host { channel: channel(name, host, port), lease: Some(lease) })
}

fn unhost(name: &str) -> Request {
    Request::Unhost { channel_name: name.parse().unwrap() }
}

fn join(name: &str, from: JoinFrom) -> Request {
    Request::Join { channel_name: name.parse().unwrap(), from, username: None }
}

/// Returns a JOIN for messages from now on.
fn listen(name: &str) -> Request {
    join(name, JoinFrom::Last(0))
}

fn leave(name: &str) -> Request {
    Request::Leave { channel_name: name.parse().unwrap() }
}

fn history(name: &str, range: HistoryRange, limit: u16) -> Request {
    Request::History { channel_name: name.parse().unwrap(), range, limit }
}

fn joined(name: &str, first_id: u64, last_id: u64) -> Response {
    Response::Joined { channel_name: name.parse().unwrap(), first_id, last_id }
}

fn left(name: &str) -> Response {
    Response::Left { channel_name: name.parse().unwrap() }
}

fn removed(name: &str) -> Response {
    Response::Removed { channel_name: name.parse().unwrap() }
}

fn say(content: &str, channel_name: Option<&str>) -> Request {
    let channel_name = channel_name.map(named);
    Request::Message(Message {
        username: "user1".parse().unwrap(),
        message_content: content.into(),
        channel_name,
        client_message_id: None,
    })
}

/// Returns a MESSAGE of `user1` to `here`, under one of its ids.
fn say_again(content: &str, id: u32) -> Request {
    let Request::Message(message) = say(content, Some("here")) else { panic!("a message") };
    Request::Message(Message { client_message_id: Some(format!("{id:016}").parse().unwrap()), ..message })
}

fn hosted(name: &str) -> Response {
    Response::Hosted { channel_name: name.parse().unwrap() }
}

fn delivered(at: i64) -> Response {
    Response::Delivered { timestamp: Timestamp::from_unix(at), id: None }
}

/// Returns the answer to a MESSAGE with an id of the client's.
fn delivered_as(at: i64, id: u64) -> Response {
    Response::Delivered { timestamp: Timestamp::from_unix(at), id: Some(id) }
}

fn refused(error: &'static str, details: &str) -> Response {
    Response::Error(ErrorResponse::request(error, details))
}

/// Returns the setup of a server with one listener at port 22236 and three local addresses.
fn setup() -> Setup {
    let own = ["127.0.0.1", "::1", "10.0.0.1"].map(|host| at(host, 22236)).into();
    Setup {
        own: vec![own],
        fixed: Vec::new(),
        limit: 100_000,
        address_channels: 100_000,
        joins: 1000,
        names: 1_000_000,
        max_id: u64::MAX,
        drop_names_after: 1_000_000_000,
        retry_window: 10,
        max_send_keys: 100,
    }
}

fn trial() -> Trial {
    Trial::start(setup(), Disk::default())
}

/// Returns a server that hosts `here`, and lists `there`, which Bob hosts at 192.168.1.5:22240.
fn two_channels() -> (Trial, u64, u64) {
    let mut trial = trial();
    let (ada, bob) = (trial.connect(ip(ADA), 0), trial.connect(ip(BOB), 0));
    trial.ask(ada, &host("here", "10.0.0.1", 22236), 0);
    trial.settle();
    trial.ask(bob, &host("there", BOB, 22240), 0);
    trial.settle();
    assert_eq!((trial.answers(ada), trial.answers(bob)), (vec![hosted("here")], vec![hosted("there")]));
    (trial, ada, bob)
}

fn ask(trial: &mut Trial, id: u64, request: &Request) -> Vec<Response> {
    trial.ask(id, request, 0);
    trial.settle();
    trial.answers(id)
}

fn ticket(server: &mut Server) -> Ticket {
    // Not LIST, which fills the limit on bytes in flight.
    server.handle_input(Time::default(), b"LEAVE\r\n{\"channel_name\": \"x\"}");
    let Some(ServerEvent::Request { ticket, .. }) = server.poll_event() else { panic!("a request") };
    ticket
}

fn listed(trial: &mut Trial) -> Vec<Channel> {
    let id = trial.connect(ip("203.0.113.1"), 0);
    trial.ask(id, &Request::List, 0);
    trial.drain();
    let answers = trial.answers(id);
    trial.disconnect(id);
    let [Response::Channels(channels)] = answers.as_slice() else { panic!("LIST is answered {answers:?}") };
    channels.clone()
}

/// Says as many things in `here`, and waits until they are stored.
fn say_many(trial: &mut Trial, id: u64, count: u64) {
    for _ in 0..count {
        let number = trial.disk.last_id("here") + 1;
        trial.ask(id, &say(&format!("number {number}"), Some("here")), 0);
        trial.store(Fate::Done);
    }
    trial.answers(id);
}

/// Pushes of `here`.
fn here(ids: impl IntoIterator<Item = u64>) -> Vec<(ChannelName, u64)> {
    ids.into_iter().map(|id| (named("here"), id)).collect()
}

fn ids(messages: &[StoredMessage]) -> Vec<u64> {
    messages.iter().map(|message| message.id).collect()
}

//! The rules of channels, one by one. [`Trial`] checks the laws that hold throughout; here stands what each rule says.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

#[path = "hub/directory.rs"]
mod directory;
#[path = "hub/failures.rs"]
mod failures;
#[path = "hub/messages.rs"]
mod messages;
#[path = "hub/order.rs"]
mod order;

use std::net::IpAddr;

use chanwire_core::{
    endpoint::{Endpoint as _, Misuse, Server, ServerEvent, Ticket},
    hub::{ConnectionId, Effect, Hub, HubLimits, Snapshot, StoreCommand, StoreOutcome, Write},
    wire::{Address, Channel, ErrorResponse, Message, Request, Response, Timestamp},
};
use chanwire_tests::{
    hub_model::not_stored,
    hub_trial::{Setup, Trial},
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
    Channel { channel_name: name.into(), address: at(host, port) }
}

fn host(name: &str, host: &str, port: u16) -> Request {
    Request::Host(channel(name, host, port))
}

fn say(content: &str, channel_name: Option<&str>) -> Request {
    let channel_name = channel_name.map(String::from);
    Request::Message(Message { username: "user1".into(), message_content: content.into(), channel_name })
}

fn hosted(name: &str) -> Response {
    Response::Hosted { channel_name: name.into() }
}

fn delivered(at: i64) -> Response {
    Response::Delivered { timestamp: Timestamp::from_unix(at) }
}

fn refused(error: &'static str, details: &str) -> Response {
    Response::Error(ErrorResponse::request(error, details))
}

/// A server that listens at port 22236 of every interface of a machine.
fn setup() -> Setup {
    let own = ["127.0.0.1", "::1", "10.0.0.1"].map(|host| at(host, 22236)).into();
    Setup { own: vec![own], fixed: Vec::new(), limit: 100_000 }
}

fn trial() -> Trial {
    Trial::start(setup(), Disk::default())
}

/// A server that hosts `here`, and lists `there`, which Bob hosts at 192.168.1.5:22240.
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

fn listed(trial: &mut Trial) -> Vec<Channel> {
    let id = trial.connect(ip("203.0.113.1"), 0);
    trial.ask(id, &Request::List, 0);
    trial.drain();
    let answers = trial.answers(id);
    trial.disconnect(id);
    let [Response::Channels(channels)] = answers.as_slice() else { panic!("LIST is answered {answers:?}") };
    channels.clone()
}

fn ticket(server: &mut Server) -> Ticket {
    server.handle_input(chanwire_core::Time::default(), b"LIST\r\n");
    let Some(ServerEvent::Request { ticket, .. }) = server.poll_event() else { panic!("a request") };
    ticket
}

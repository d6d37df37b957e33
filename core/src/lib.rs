//! The chanwire protocol without I/O: decoding and encoding, connections, and the decisions of a channel server.
//!
//! This page is the contract of the crate. `PROTOCOL.md` beside it specifies the bytes.
//!
//! ```text
//!                 endpoint::Client                                    endpoint::Server            hub::Hub
//!                ┌────────────────┐         bytes, both ways         ┌────────────────┐  Request ┌───────────┐
//!    send ──────►│                │ transmit ─► … ─► handle_input    │                ├─ Ticket ►│           │
//!                │   wire inside  │                                  │   wire inside  │          │ directory │
//!    events ◄────┤                │ handle_input ◄─ … ◄─ transmit    │                │◄ respond ┤ ids       │
//!                └────────────────┘                                  └────────────────┘   Reply  └──┬─────▲──┘
//!                                                                                      StoreCommand │     │ StoreOutcome
//!                                                                                                ┌──▼─────┴──┐
//!                                                                                                │ your store│
//!                                                                                                └───────────┘
//! ```
//!
//! # Layers
//!
//! | layer | knows | never knows |
//! |---|---|---|
//! | [`wire`] | where a frame ends, its content, its canonical bytes, the position of each byte | connections, roles, channels |
//! | [`endpoint`] | one connection: limits, deadlines, answers in request order, backpressure, closing | the meaning of a channel |
//! | [`hub`] | the requests of all connections: directory, routing, ids, what must be stored before what is answered | sockets, databases, clocks |
//!
//! Each layer uses only those above it in the table and can be used without those below: an inspector uses `wire`, a
//! client `wire` and `endpoint`. None does I/O, reads a clock or starts a thread; the program that drives them does.
//!
//! # Four kinds of calls
//!
//! 1. **Inputs**: every `handle_…`, [`Client::send`], [`Server::respond`] and the other sending methods of a server,
//!    [`Endpoint::shutdown`], [`Hub::connect`], [`Hub::disconnect`], and the hub's changes of listeners and fixed
//!    channels. They take `&mut self` and never block.
//! 2. **Results**, each taken once: [`Decoder::next_item`], [`Endpoint::poll_event`], [`Hub::poll_effect`].
//! 3. **State**, readable any number of times: [`Endpoint::transmit`], [`Endpoint::action`], [`Endpoint::wants_read`],
//!    [`Endpoint::poll_timeout`]. Only inputs change it.
//! 4. **Values**: requests, responses and addresses, which have no state.
//!
//! # In which order
//!
//! After any input to an endpoint, poll its events until there is none. Then write the bytes of `transmit` and report
//! the number written to `handle_written`; carry out `action` once nothing is left to write; read only while
//! `wants_read`; call `handle_timeout` at `poll_timeout` (an earlier call has no effect).
//!
//! Give the hub all available inputs, then poll its effects until there is none. The last effect may be a store
//! command: a commit is assembled only when no other effect is left, so one commit serves many requests. At most one
//! command is outstanding, and every command needs its outcome reported, also a failure. Answers may reach the
//! connection's `Server` in any order; each has its [`Ticket`], and they leave in request order. All other commands for
//! one connection, such as pushes, must reach its `Server` in the hub's order. [`Hub::handle_event`] takes the events
//! of a `Server`, [`Server::handle_command`] the commands of a hub. Call [`Hub::handle_timeout`] at
//! [`Hub::poll_timeout`], so that leases end.
//!
//! If the hub runs on another thread, a LIST need not go there: [`Server::list_at_once`] answers it from the list that
//! the hub last [published](hub::Effect::Publish), if no earlier request is unanswered. The hub must outlive the
//! sending of its lists.
//!
//! Report a closed connection to the hub by `disconnect`, after its last request.
//!
//! [`Rights`](rights::Rights) say who may read, write and host which channels; everybody may by default.
//!
//! A server that strangers reach asks an [`Admission`](admission::Admission) of each connection, and gives the
//! connection's `Server` the [`Throttle`](endpoint::Throttle) that it gets.
//!
//! # Time and wall time
//!
//! [`Time`] is monotonic: milliseconds from an origin that the caller picks. Endpoints measure deadlines by it, the hub
//! leases. It must never go backwards. [`Timestamp`] is wall time in whole seconds: it enters the hub with each
//! request, beside monotonic time in a [`Moment`](hub::Moment), is stored with a message and answered to its sender.
//! Wall time may jump; the timestamps within a channel never decrease.
//!
//! # Errors and their causes
//!
//! | type | whose | what follows |
//! |---|---|---|
//! | [`Fault`] | the peer's: bytes that are no frame | it knows its answer, and whether its connection can go on |
//! | [`PayloadFault`] | the peer's: a whole frame that is wrong inside | it knows its answer; the connection goes on |
//! | [`ErrorResponse`] | as its [`Blame`] says | an answer like any other |
//! | [`ProtocolViolation`] | the server's, seen by a client | the connection is of no more use |
//! | [`StoreOutcome::Failed`] | the store's | the hub answers SERVER_ERROR and reads its state back |
//! | [`StoreOutcome::Refused`] | the store's | the hub answers SERVER_ERROR; its state is as it was |
//! | [`Misuse`] | the caller's | all is as it was before the call, but a ticket that was given is spent |
//!
//! A `Server` answers faults by itself. No input makes this crate panic.
//!
//! # Compatibility
//!
//! A type that a later version may extend is `#[non_exhaustive]`: commands, requests and responses, faults and the
//! other errors, limits. All others are exhaustive on purpose, and a change to one of them is a breaking change:
//! events, effects, store commands and items, so that a new one does not compile until it is handled; and values that a
//! caller builds by naming their fields. Each exhaustive type or module gives its reason beside the lint that it is
//! exempt from.
//!
//! Every public type is `Send` and `Sync`.
//!
//! # Features
//!
//! `serde` (off by default) gives the values of [`wire`] serde's traits, for logs, settings and storage. Commands,
//! statuses, names, addresses and timestamps are the text that they display; all others are their fields. This is not
//! another encoding of the protocol, which only `encode` writes. As with values that are built by hand, numbers and
//! contents are checked by [`Request::validate`](wire::Request::validate), not when they are read.
//!
//! # Limits
//!
//! [`Limits`] bound the cost of one connection and [`HubLimits`] that of all; the defaults are the protocol's. Limits
//! by position in the stream do not depend on how the stream is cut. Of undecoded input, a server's endpoint keeps at
//! most one payload and one read, and nothing while it is idle.
//!
//! # A whole exchange
//!
//! A client hosts a channel and sends a message to it. The store here makes nothing durable; it shows the place of a
//! real one: answers leave only after its outcomes.
//!
//! ```
//! use chanwire_core::{
//!     Limits, Time,
//!     endpoint::{Client, ClientEvent, Endpoint, Server},
//!     hub::{ConnectionId, Effect, Hub, HubLimits, Moment, Peer, Snapshot, StoreCommand, StoreOutcome},
//!     wire::{Address, Channel, Host, Message, Request, Response, Timestamp},
//! };
//!
//! /// Passes one end's output to the other end as one read, like a network.
//! fn carry(now: Time, from: &mut impl Endpoint, to: &mut impl Endpoint) {
//!     let mut slices = [&[][..]; 8];
//!     let count = from.transmit(&mut slices);
//!     let bytes = slices[..count].concat();
//!     from.handle_written(now, bytes.len());
//!     to.handle_input(now, &bytes);
//! }
//!
//! let now = Time::from_millis(0);
//! let wall = Timestamp::from_unix(1_698_937_472);
//! let here: Address = "127.0.0.1:22236".parse()?;
//!
//! let mut hub = Hub::new(HubLimits::default(), Snapshot::default(), Moment { time: now, wall });
//! let listener = hub.add_listener(&[here.clone()]);
//! let connection = ConnectionId(1);
//! let (mut client, mut server) = (Client::new(Limits::client()), Server::new(connection, Limits::server()));
//! hub.connect(connection, Peer::Address("192.0.2.7".parse()?), Some(listener), now)?;
//!
//! // Both leave in one write. Nobody waits for the first answer.
//! let channel = Channel { channel_name: "general".parse()?, address: here };
//! let host = client.send(now, &Request::Host(Host { channel, lease: None }))?;
//! let (username, message_content) = ("ann".parse()?, "hello".into());
//! let message = Message { username, message_content, channel_name: None, client_message_id: None };
//! let message = client.send(now, &Request::Message(message))?;
//! carry(now, &mut client, &mut server);
//!
//! while let Some(event) = server.poll_event() {
//!     hub.handle_event(connection, event, Moment { time: now, wall })?;
//! }
//! let (mut commits, mut answers) = (0, 0);
//! while let Some(effect) = hub.poll_effect() {
//!     match effect {
//!         Effect::Send(_, command) => {
//!             answers += 1;
//!             server.handle_command(now, command)?;
//!         }
//!         Effect::Store(StoreCommand::Commit(writes)) => {
//!             // No request is answered before its write is durable.
//!             assert_eq!((writes.len(), answers), (1, commits));
//!             commits += 1;
//!             hub.handle_outcome(StoreOutcome::Committed, now)?;
//!         }
//!         // There is one connection, and the hub is at hand for each LIST.
//!         Effect::Publish(_) => {}
//!         other => unreachable!("nothing failed and nothing is read: {other:?}"),
//!     }
//! }
//! // The message was routed when it was known that its channel is stored: two commits, one after the other.
//! assert_eq!((commits, answers), (2, 2));
//!
//! carry(now, &mut server, &mut client);
//! let answers: Vec<_> = core::iter::from_fn(|| client.poll_event()).collect();
//! assert_eq!(answers, [
//!     ClientEvent::Answer { id: host, response: Response::Hosted { channel_name: "general".parse()? } },
//!     ClientEvent::Answer { id: message, response: Response::Delivered { timestamp: wall, id: None } },
//! ]);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! [`Blame`]: wire::Blame
//! [`ProtocolViolation`]: endpoint::ProtocolViolation
//! [`Client::send`]: endpoint::Client::send
//! [`Decoder::next_item`]: wire::Decoder::next_item
//! [`Endpoint::action`]: endpoint::Endpoint::action
//! [`Endpoint::poll_event`]: endpoint::Endpoint::poll_event
//! [`Endpoint::poll_timeout`]: endpoint::Endpoint::poll_timeout
//! [`Endpoint::shutdown`]: endpoint::Endpoint::shutdown
//! [`Endpoint::transmit`]: endpoint::Endpoint::transmit
//! [`Endpoint::wants_read`]: endpoint::Endpoint::wants_read
//! [`ErrorResponse`]: wire::ErrorResponse
//! [`Fault`]: wire::Fault
//! [`Hub::connect`]: hub::Hub::connect
//! [`Hub::disconnect`]: hub::Hub::disconnect
//! [`Hub::handle_event`]: hub::Hub::handle_event
//! [`Hub::handle_timeout`]: hub::Hub::handle_timeout
//! [`Hub::poll_timeout`]: hub::Hub::poll_timeout
//! [`Hub::poll_effect`]: hub::Hub::poll_effect
//! [`HubLimits`]: hub::HubLimits
//! [`Misuse`]: endpoint::Misuse
//! [`PayloadFault`]: wire::PayloadFault
//! [`Server::handle_command`]: endpoint::Server::handle_command
//! [`Server::list_at_once`]: endpoint::Server::list_at_once
//! [`Server::respond`]: endpoint::Server::respond
//! [`StoreOutcome::Failed`]: hub::StoreOutcome::Failed
//! [`StoreOutcome::Refused`]: hub::StoreOutcome::Refused
//! [`Ticket`]: endpoint::Ticket
//! [`Timestamp`]: wire::Timestamp
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

extern crate alloc;

pub mod admission;
mod attempts;
mod auto_traits;
pub mod endpoint;
pub mod hub;
mod limits;
pub mod opening_queue;
pub mod proxy_header;
mod rate;
pub mod rights;
mod span;
mod time;
pub mod wire;

pub use admission::{AddressLimits, Network};
pub use limits::Limits;
pub use rate::{Bucket, Rate};
pub use span::Span;
pub use time::Time;

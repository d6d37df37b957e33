//! Compile-time assertions that every public type can be sent to another thread and shared with it.

use crate::{
    Bucket, Limits, Rate, Span, Time,
    admission::{AddressLimits, Admission, Network, NetworkError, Permit, Refusal},
    endpoint::{
        Client, ClientEvent, ConnectionAction, Deadline, Listing, Misuse, ProtocolViolation, Pushes, Reply, RequestId,
        Server, ServerCommand, ServerEvent, Throttle, Ticket, Timer,
    },
    hub::{
        ChannelLog, ChannelRecord, ConnectionId, Effect, Found, Hub, HubLimits, ListenerId, Moment, Peer, Purpose,
        Query, ReadId, ReleasedChannel, Replay, Snapshot, StoreCommand, StoreOutcome, Write,
    },
    wire::{
        AccountName, Address, Blame, Channel, ChannelName, Command, Decoder, ErrorResponse, Fault, FaultKind, Field,
        FieldKind, Frame, HistoryRange, Host, Item, JoinFrom, Message, NotAName, NotATimestamp, NotAnAddress, Partial,
        PayloadFault, PayloadFaultKind, Place, Request, Response, ResumeState, Skipped, Status, StoredMessage,
        Timestamp, UnknownCommand, UnknownStatus, Username,
        json::{JsonError, Reader, Text, Token, TokenKind},
    },
};

const fn send_and_sync<T: Send + Sync>() {}

macro_rules! assert_send_and_sync {
    ($($public:ty),* $(,)?) => {
        const _: () = {
            $(send_and_sync::<$public>();)*
        };
    };
}

assert_send_and_sync!(Bucket, Limits, Rate, Span, Time);
assert_send_and_sync!(AddressLimits, Admission, Network, NetworkError, Permit, Refusal);
assert_send_and_sync!(
    ProtocolViolation,
    Client,
    ClientEvent,
    Deadline,
    ConnectionAction,
    Listing,
    Misuse,
    Pushes,
    Reply,
    RequestId
);
assert_send_and_sync!(Server, ServerCommand, ServerEvent, Throttle, Ticket, Timer);
assert_send_and_sync!(ChannelLog, ChannelRecord, ConnectionId, Effect, Found, Hub, HubLimits, ListenerId);
assert_send_and_sync!(Moment, Peer, Purpose, Query, ReadId, ReleasedChannel, Replay, Snapshot, StoreCommand);
assert_send_and_sync!(StoreOutcome, Write);
assert_send_and_sync!(Address, Blame, Channel, Command, Decoder<Command>, Decoder<Status>, ErrorResponse, Fault);
assert_send_and_sync!(FaultKind, Field, FieldKind, Frame<'_, Command>, HistoryRange, Host, Item<'_, Status>, JoinFrom);
assert_send_and_sync!(Message, NotATimestamp, NotAnAddress, Partial<Command>, PayloadFault, PayloadFaultKind, Place);
assert_send_and_sync!(Request, Response, ResumeState, Skipped, StoredMessage, Timestamp, UnknownCommand, UnknownStatus);
assert_send_and_sync!(AccountName, ChannelName, NotAName, Username);
assert_send_and_sync!(JsonError, Reader<'_>, Text<'_>, Token<'_>, TokenKind<'_>);

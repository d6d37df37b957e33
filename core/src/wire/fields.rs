//! The names of the members of payloads, and for each kind of payload the table of its fields.

use super::{
    Command,
    payload::{Field, FieldKind},
};

pub(super) const CHANNEL_NAME: &str = "channel_name";
pub(super) const PEER_SERVER_IP: &str = "peer_server_ip";
pub(super) const PEER_SERVER_PORT: &str = "peer_server_port";
pub(super) const USERNAME: &str = "username";
pub(super) const ACCOUNT: &str = "account";
pub(super) const PASSWORD: &str = "password";
pub(super) const TOKEN: &str = "token";
pub(super) const MESSAGE_CONTENT: &str = "message_content";
pub(super) const CLIENT_MESSAGE_ID: &str = "client_message_id";
pub(super) const TIMESTAMP: &str = "timestamp";
pub(super) const CHANNELS: &str = "channels";
pub(super) const ERROR: &str = "error";
pub(super) const DETAILS: &str = "details";
pub(super) const RETRY_AFTER: &str = "retry_after";
pub(super) const ID: &str = "id";
pub(super) const STATUS: &str = "status";
pub(super) const LEASE: &str = "lease";
pub(super) const AFTER: &str = "after";
pub(super) const BEFORE: &str = "before";
pub(super) const HISTORY: &str = "history";
pub(super) const LIMIT: &str = "limit";
pub(super) const FIRST_ID: &str = "first_id";
pub(super) const LAST_ID: &str = "last_id";
pub(super) const DELETED: &str = "deleted";
pub(super) const DELETES: &str = "deletes";
pub(super) const MESSAGES: &str = "messages";
pub(super) const NOTICES: &str = "notices";
pub(super) const PROTOCOL_VERSION: &str = "protocol";
pub(super) const FEATURES: &str = "features";
pub(super) const ENCRYPTED: &str = "encrypted";
pub(super) const MAX_PAYLOAD: &str = "max_payload";
pub(super) const UNITS_PER_SECOND: &str = "units_per_second";
pub(super) const BURST: &str = "burst";
pub(super) const RETRY_WINDOW: &str = "retry_window";
pub(super) const NOTICE: &str = "notice";
pub(super) const CONNECTION: &str = "connection";
pub(super) const CONNECTIONS: &str = "connections";
pub(super) const PEER: &str = "peer";
pub(super) const LISTENER: &str = "listener";
pub(super) const SECONDS: &str = "seconds";
pub(super) const REQUESTS: &str = "requests";
pub(super) const RECEIVED_BYTES: &str = "received_bytes";
pub(super) const SENT_BYTES: &str = "sent_bytes";
pub(super) const PUSHES: &str = "pushes";
pub(super) const JOINED_CHANNELS: &str = "joined";
pub(super) const WAITING_BYTES: &str = "waiting_bytes";
pub(super) const NEXT: &str = "next";
pub(super) const CONTAINS: &str = "contains";
pub(super) const POSITION: &str = "position";
pub(super) const MEMBERS_ONLY: &str = "members_only";
pub(super) const SUBSCRIBERS: &str = "joined";
pub(super) const BEHIND: &str = "behind";
pub(super) const STORED_BYTES: &str = "stored_bytes";
pub(super) const SLOW_MODE: &str = "slow_mode";
pub(super) const ROLE: &str = "role";
pub(super) const ROLES: &str = "roles";
pub(super) const ADDRESS: &str = "address";
pub(super) const SENDER_OF: &str = "sender_of";
pub(super) const UNTIL: &str = "until";
pub(super) const USERS: &str = "users";
pub(super) const COMPLETE: &str = "complete";
pub(super) const COUNT: &str = "count";
pub(super) const JOINED_USERS: &str = "joined";
pub(super) const LEFT_USERS: &str = "left";

pub(super) static CHANNEL: [Field; 3] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::required(PEER_SERVER_IP, FieldKind::Host),
    Field::required(PEER_SERVER_PORT, FieldKind::Port),
];

pub(super) static HOST: [Field; 4] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::required(PEER_SERVER_IP, FieldKind::Host),
    Field::required(PEER_SERVER_PORT, FieldKind::Port),
    Field::optional(LEASE, FieldKind::Lease),
];

pub(super) static NAMED: [Field; 1] = [Field::required(CHANNEL_NAME, FieldKind::Name)];

pub(super) static JOIN: [Field; 4] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::optional(AFTER, FieldKind::IdOrZero),
    Field::optional(HISTORY, FieldKind::Count),
    Field::optional(USERNAME, FieldKind::Name),
];

pub(super) static RANGE: [Field; 4] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::optional(AFTER, FieldKind::IdOrZero),
    Field::optional(BEFORE, FieldKind::Id),
    Field::optional(LIMIT, FieldKind::Limit),
];

pub(super) static MESSAGE: [Field; 4] = [
    Field::required(USERNAME, FieldKind::Name),
    Field::required(MESSAGE_CONTENT, FieldKind::Content),
    Field::optional(CHANNEL_NAME, FieldKind::Name),
    Field::optional(CLIENT_MESSAGE_ID, FieldKind::ClientMessageId),
];

pub(super) static STORED_MESSAGE: [Field; 8] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::required(ID, FieldKind::Id),
    Field::required(USERNAME, FieldKind::Name),
    Field::required(MESSAGE_CONTENT, FieldKind::Content),
    Field::required(TIMESTAMP, FieldKind::Timestamp),
    Field::optional(ACCOUNT, FieldKind::AccountName),
    Field::optional(DELETED, FieldKind::Flag),
    Field::optional(DELETES, FieldKind::Id),
];

pub(super) static ONE_MESSAGE: [Field; 2] =
    [Field::required(CHANNEL_NAME, FieldKind::Name), Field::required(ID, FieldKind::Id)];

pub(super) static ASK_ROLE: [Field; 6] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::optional(ACCOUNT, FieldKind::AccountName),
    Field::optional(ADDRESS, FieldKind::Ip),
    Field::optional(SENDER_OF, FieldKind::Id),
    Field::required(ROLE, FieldKind::Role),
    Field::optional(SECONDS, FieldKind::RoleSeconds),
];

pub(super) static ROLE_SET: [Field; 2] =
    [Field::required(CHANNEL_NAME, FieldKind::Name), Field::required(ROLE, FieldKind::Role)];

pub(super) static ASK_SETTINGS: [Field; 3] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::optional(MEMBERS_ONLY, FieldKind::Flag),
    Field::optional(SLOW_MODE, FieldKind::SlowMode),
];

pub(super) static SETTINGS: [Field; 4] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::required(MEMBERS_ONLY, FieldKind::Flag),
    Field::required(SLOW_MODE, FieldKind::SlowMode),
    Field::optional(ROLES, FieldKind::Array),
];

pub(super) static LISTED_ROLE: [Field; 5] = [
    Field::optional(ACCOUNT, FieldKind::AccountName),
    Field::optional(ADDRESS, FieldKind::Ip),
    Field::optional(SENDER_OF, FieldKind::Id),
    Field::required(ROLE, FieldKind::Role),
    Field::optional(UNTIL, FieldKind::Timestamp),
];

pub(super) static ROLE_NOTICE: [Field; 3] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::required(ROLE, FieldKind::Role),
    Field::optional(UNTIL, FieldKind::Timestamp),
];

pub(super) static LISTED: [Field; 1] = [Field::required(CHANNELS, FieldKind::Array)];

pub(super) static JOINED: [Field; 3] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::required(FIRST_ID, FieldKind::Id),
    Field::required(LAST_ID, FieldKind::IdOrZero),
];

pub(super) static HISTORY_PAGE: [Field; 2] =
    [Field::required(CHANNEL_NAME, FieldKind::Name), Field::required(MESSAGES, FieldKind::Array)];

pub(super) static ASK_HELLO: [Field; 1] = [Field::optional(NOTICES, FieldKind::Flag)];

pub(super) static AUTH: [Field; 3] = [
    Field::optional(ACCOUNT, FieldKind::AccountName),
    Field::optional(PASSWORD, FieldKind::Secret),
    Field::optional(TOKEN, FieldKind::Secret),
];

pub(super) static AUTHENTICATED: [Field; 1] = [Field::required(ACCOUNT, FieldKind::AccountName)];

pub(super) static HELLO: [Field; 7] = [
    Field::required(PROTOCOL_VERSION, FieldKind::Id),
    Field::required(FEATURES, FieldKind::Texts),
    Field::required(ENCRYPTED, FieldKind::Flag),
    Field::required(MAX_PAYLOAD, FieldKind::Id),
    Field::optional(UNITS_PER_SECOND, FieldKind::Id),
    Field::optional(BURST, FieldKind::Id),
    Field::optional(RETRY_WINDOW, FieldKind::Id),
];

pub(super) static PAGE: [Field; 2] =
    [Field::optional(AFTER, FieldKind::IdOrZero), Field::optional(LIMIT, FieldKind::Limit)];

pub(super) static WHO: [Field; 4] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::required(COUNT, FieldKind::IdOrZero),
    Field::required(USERS, FieldKind::Array),
    Field::required(COMPLETE, FieldKind::Flag),
];

pub(super) static ASK_CHANNELS: [Field; 3] = [
    Field::optional(AFTER, FieldKind::IdOrZero),
    Field::optional(LIMIT, FieldKind::Limit),
    Field::optional(CONTAINS, FieldKind::Part),
];

pub(super) static CHANNEL_PAGE: [Field; 2] =
    [Field::required(CHANNELS, FieldKind::Array), Field::optional(NEXT, FieldKind::Id)];

pub(super) static LISTED_CHANNEL: [Field; 9] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::required(PEER_SERVER_IP, FieldKind::Host),
    Field::required(PEER_SERVER_PORT, FieldKind::Port),
    Field::required(POSITION, FieldKind::Id),
    Field::optional(LAST_ID, FieldKind::IdOrZero),
    Field::optional(MEMBERS_ONLY, FieldKind::Flag),
    Field::optional(SUBSCRIBERS, FieldKind::IdOrZero),
    Field::optional(BEHIND, FieldKind::IdOrZero),
    Field::optional(STORED_BYTES, FieldKind::IdOrZero),
];

pub(super) static NUMBERED: [Field; 1] = [Field::required(CONNECTION, FieldKind::IdOrZero)];

pub(super) static CONNECTION_PAGE: [Field; 2] =
    [Field::required(CONNECTIONS, FieldKind::Array), Field::optional(NEXT, FieldKind::IdOrZero)];

pub(super) static ROW: [Field; 10] = [
    Field::required(CONNECTION, FieldKind::IdOrZero),
    Field::required(PEER, FieldKind::Text),
    Field::optional(LISTENER, FieldKind::Text),
    Field::required(SECONDS, FieldKind::IdOrZero),
    Field::required(REQUESTS, FieldKind::IdOrZero),
    Field::required(RECEIVED_BYTES, FieldKind::IdOrZero),
    Field::required(SENT_BYTES, FieldKind::IdOrZero),
    Field::required(PUSHES, FieldKind::IdOrZero),
    Field::required(JOINED_CHANNELS, FieldKind::IdOrZero),
    Field::required(WAITING_BYTES, FieldKind::IdOrZero),
];

pub(super) static NEWS: [Field; 2] =
    [Field::required(NOTICE, FieldKind::Text), Field::required(CHANNEL_NAME, FieldKind::Name)];

pub(super) static PRESENCE: [Field; 4] = [
    Field::required(CHANNEL_NAME, FieldKind::Name),
    Field::required(COUNT, FieldKind::IdOrZero),
    Field::optional(JOINED_USERS, FieldKind::Array),
    Field::optional(LEFT_USERS, FieldKind::Array),
];

pub(super) static USER: [Field; 2] =
    [Field::required(USERNAME, FieldKind::Name), Field::optional(ACCOUNT, FieldKind::AccountName)];

pub(super) static DELIVERED: [Field; 2] =
    [Field::required(TIMESTAMP, FieldKind::Timestamp), Field::optional(ID, FieldKind::Id)];

pub(super) static FAILED: [Field; 3] = [
    Field::required(ERROR, FieldKind::Text),
    Field::required(DETAILS, FieldKind::Text),
    Field::optional(RETRY_AFTER, FieldKind::Seconds),
];

impl Command {
    /// Returns the fields of its payload, in the order in which they are checked and written.
    #[must_use]
    pub fn fields(self) -> &'static [Field] {
        match self {
            Self::List => &[],
            Self::Host => &HOST,
            Self::Message => &MESSAGE,
            Self::Unhost | Self::Leave | Self::Who => &NAMED,
            Self::Join => &JOIN,
            Self::History => &RANGE,
            Self::Hello => &ASK_HELLO,
            Self::Auth => &AUTH,
            Self::Channels => &ASK_CHANNELS,
            Self::Delete => &ONE_MESSAGE,
            Self::Role => &ASK_ROLE,
            Self::Settings => &ASK_SETTINGS,
            Self::Connections => &PAGE,
            Self::Disconnect => &NUMBERED,
        }
    }
}

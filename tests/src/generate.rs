//! Generators: values, JSON texts and whole streams, right, nearly right and wrong.
#![expect(clippy::panic, reason = "a panic is how a test fails")]

use std::{env, fmt::Debug, num::NonZero, str::FromStr};

use chanwire_core::wire::{
    AccountName, Address, Channel, ChannelActivity, ChannelSettings, ClientMessageId, ConnectionRow, Credentials,
    ErrorResponse, Hello, HistoryRange, Host, JoinFrom, ListedChannel, ListedRole, Message, NotAName, Request,
    Response, Role, RoleTarget, Secret, StoredMessage, Timestamp, User, canonical,
};
use proptest::{collection::vec, prelude::*, sample::select, test_runner::Config};

use crate::{name::named, respell::Json};

/// Runs a property so many times. A failing case becomes a test of its own, so no file of seeds is kept.
#[must_use]
pub fn times(cases: u32) -> Config {
    Config { cases: fewer(cases), failure_persistence: None, ..Config::default() }
}

/// Returns the share of so many cases to run: all, or, on a slow machine, one in as many as `CHANWIRE_FEWER` says.
///
/// # Panics
///
/// If the variable holds no number of parts.
#[must_use]
pub fn fewer(count: u32) -> u32 {
    match env::var("CHANWIRE_FEWER").map(|parts| parts.parse::<NonZero<u32>>()) {
        Err(_) => count,
        Ok(Ok(parts)) => count.div_ceil(parts.get()),
        Ok(Err(error)) => panic!("CHANWIRE_FEWER: {error}"),
    }
}

/// Generates any string, with controls, quotes, backslashes and scalar values of every length.
pub fn text(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    vec(any::<char>(), length).prop_map(|chars| chars.into_iter().collect())
}

/// Generates a channel's or a user's name.
pub fn name<N: FromStr<Err = NotAName> + Debug>() -> impl Strategy<Value = N> {
    let inner = any::<char>().prop_map(|char| if char.is_control() { 'é' } else { char });
    let outer = inner.clone().prop_map(|char| if char.is_whitespace() { 'x' } else { char });
    prop_oneof![
        select(vec!["general", "test_channel", "ä", "a b", "\"\\/", "\u{200b}"]).prop_map(String::from),
        outer.clone().prop_map(String::from),
        (outer.clone(), vec(inner, 0..63), outer).prop_map(|(first, middle, last)| [first]
            .into_iter()
            .chain(middle)
            .chain([last])
            .collect()),
    ]
    .prop_map(|text: String| named(&text))
}

/// Generates a label of a host name that is not a number, as `0x` is one.
fn label() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?", "[0-9]{1,3}[a-wyz]", "[a-z]{63}"]
}

/// Generates the spelling of a host that the protocol accepts.
pub fn host() -> impl Strategy<Value = String> {
    let names = vec(label(), 1..4).prop_map(|labels| labels.join("."));
    let v4 = (1_u8..224, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| std::net::Ipv4Addr::new(a, b, c, d));
    let mapped = v4.clone().prop_map(|ip| ip.to_ipv6_mapped().to_string());
    let v6 = (1_u16..0xff00, any::<[u16; 7]>()).prop_map(|(first, rest)| {
        let [b, c, d, e, f, g, h] = rest;
        std::net::Ipv6Addr::new(first, b, c, d, e, f, g, h).to_string()
    });
    prop_oneof![
        select(vec!["localhost", "127.0.0.1", "::1", "LOCALHOST", "0:0:0:0:0:0:0:1"]).prop_map(String::from),
        names,
        v4.prop_map(|ip| ip.to_string()),
        mapped,
        v6,
    ]
    .boxed()
}

/// Generates an address.
pub fn address() -> impl Strategy<Value = Address> {
    (host(), 1..=u16::MAX).prop_filter_map("an address", |(host, port)| Address::new(host, port)).boxed()
}

/// Generates a channel.
pub fn channel() -> impl Strategy<Value = Channel> {
    (name(), address()).prop_map(|(channel_name, address)| Channel { channel_name, address })
}

/// Generates a moment that twenty bytes can say.
pub fn timestamp() -> impl Strategy<Value = Timestamp> {
    prop_oneof![0_i64..4_102_444_800, any::<i64>()].prop_map(Timestamp::from_unix)
}

/// Generates a message's number in its channel.
pub fn id() -> impl Strategy<Value = u64> {
    prop_oneof![1..100_u64, Just((1 << 53) - 1), 1..1_u64 << 53]
}

/// Generates a client's id of a message.
pub fn client_message_id() -> impl Strategy<Value = ClientMessageId> {
    let random = any::<u128>().prop_map(ClientMessageId::from_random);
    prop_oneof![random, "[A-Za-z0-9._:-]{16,64}".prop_filter_map("an id", |text| text.parse().ok())]
}

/// Generates a message's number, or 0.
fn id_or_zero() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0), 4 => id()]
}

/// Generates a request that a server accepts.
pub fn request() -> impl Strategy<Value = Request> {
    let message = (name(), text(1..40), proptest::option::of(name()), proptest::option::of(client_message_id()));
    let message = message.prop_map(|(username, message_content, channel_name, client_message_id)| Message {
        username,
        message_content,
        channel_name,
        client_message_id,
    });
    let lease = proptest::option::of(prop_oneof![Just(10), Just(86_400), 10..=86_400_u32]);
    let from = prop_oneof![
        id_or_zero().prop_map(JoinFrom::After),
        prop_oneof![Just(0), Just(1000), 0..=1000_u16].prop_map(JoinFrom::Last),
    ];
    let range = prop_oneof![
        Just(HistoryRange::Last),
        id_or_zero().prop_map(HistoryRange::After),
        id().prop_map(HistoryRange::Before),
    ];
    let limit = prop_oneof![Just(1), Just(100), Just(1000), 1..=1000_u16];
    let connections_limit = limit.clone();
    prop_oneof![
        2 => Just(Request::List),
        4 => (channel(), lease).prop_map(|(channel, lease)| Request::Host(Host { channel, lease })),
        5 => message.prop_map(Request::Message),
        1 => name().prop_map(|channel_name| Request::Unhost { channel_name }),
        2 => (name(), from, proptest::option::of(name()))
            .prop_map(|(channel_name, from, username)| Request::Join { channel_name, from, username }),
        1 => name().prop_map(|channel_name| Request::Who { channel_name }),
        1 => name().prop_map(|channel_name| Request::Leave { channel_name }),
        2 => (name(), range, limit.clone())
            .prop_map(|(channel_name, range, limit)| Request::History { channel_name, range, limit }),
        1 => any::<bool>().prop_map(|notices| Request::Hello { notices }),
        1 => credentials().prop_map(Request::Auth),
        1 => (id_or_zero(), limit, proptest::option::of(text(1..64)))
            .prop_map(|(after, limit, contains)| Request::Channels { after, limit, contains }),
        1 => (name(), id()).prop_map(|(channel_name, id)| Request::Delete { channel_name, id }),
        2 => moderating_request(),
        1 => (id_or_zero(), connections_limit).prop_map(|(after, limit)| Request::Connections { after, limit }),
        1 => id_or_zero().prop_map(|connection| Request::Disconnect { connection }),
    ]
    .boxed()
}

/// Generates a ROLE or a SETTINGS.
fn moderating_request() -> impl Strategy<Value = Request> {
    let seconds = proptest::option::of(prop_oneof![Just(1), Just(31_536_000), 1..=31_536_000_u32]);
    let slow_mode = proptest::option::of(prop_oneof![Just(0), Just(3600), 0..=3600_u16]);
    prop_oneof![
        (name(), role_target(), proptest::option::of(role()), seconds)
            .prop_map(|(channel_name, target, role, seconds)| Request::Role { channel_name, target, role, seconds }),
        (name(), proptest::option::of(any::<bool>()), slow_mode).prop_map(|(channel_name, members_only, slow_mode)| {
            Request::Settings { channel_name, members_only, slow_mode }
        }),
    ]
    .boxed()
}

/// Generates a role.
pub fn role() -> impl Strategy<Value = Role> {
    select(&Role::ALL[..])
}

/// Generates one to whom a role is given.
fn role_target() -> impl Strategy<Value = RoleTarget> {
    prop_oneof![
        account_name().prop_map(RoleTarget::Account),
        any::<std::net::IpAddr>().prop_map(|ip| RoleTarget::Address(canonical(ip))),
        id().prop_map(RoleTarget::SenderOf),
    ]
}

/// Generates the settings of a channel.
pub fn settings() -> impl Strategy<Value = ChannelSettings> {
    (any::<bool>(), 0..=3600_u16).prop_map(|(members_only, slow_mode)| ChannelSettings { members_only, slow_mode })
}

/// Generates a role as SETTINGS lists it.
fn listed_role() -> impl Strategy<Value = ListedRole> {
    (role_target(), role(), proptest::option::of(timestamp()))
        .prop_map(|(target, role, until)| ListedRole { target, role, until })
        .boxed()
}

/// Generates credentials of either form.
pub fn credentials() -> impl Strategy<Value = Credentials> {
    let secret = || text(1..40).prop_filter_map("no secret", |secret| secret.parse::<Secret>().ok());
    prop_oneof![
        (account_name(), secret()).prop_map(|(account, password)| Credentials::Password { account, password }),
        secret().prop_map(Credentials::Token),
    ]
}

/// Generates a response.
pub fn response() -> impl Strategy<Value = Response> {
    let retry_after = proptest::option::weighted(0.3, 1..=86_400_u32);
    let error =
        (any::<bool>(), text(0..20), text(0..40), retry_after).prop_map(|(client, error, details, retry_after)| {
            let error =
                if client { ErrorResponse::request(error, details) } else { ErrorResponse::server(error, details) };
            Response::Error(ErrorResponse { retry_after, ..error })
        });
    prop_oneof![
        vec(channel(), 0..4).prop_map(Response::Channels),
        name().prop_map(|channel_name| Response::Hosted { channel_name }),
        name().prop_map(|channel_name| Response::Removed { channel_name }),
        name().prop_map(|channel_name| Response::Left { channel_name }),
        (name(), id(), id_or_zero()).prop_map(|(channel_name, first_id, last_id)| Response::Joined {
            channel_name,
            first_id,
            last_id
        }),
        (name(), vec(stored_message(), 0..4))
            .prop_map(|(channel_name, messages)| Response::History { channel_name, messages }),
        (timestamp(), proptest::option::of(id())).prop_map(|(timestamp, id)| Response::Delivered { timestamp, id }),
        hello().prop_map(Response::Hello),
        account_name().prop_map(|account| Response::Authenticated { account }),
        (name(), id_or_zero(), vec(user(), 0..4), any::<bool>())
            .prop_map(|(channel_name, count, users, complete)| Response::Who { channel_name, count, users, complete }),
        (vec(listed_channel(), 0..4), proptest::option::of(id()))
            .prop_map(|(channels, next)| Response::ChannelPage { channels, next }),
        (name(), id()).prop_map(|(channel_name, id)| Response::Deleted { channel_name, id }),
        (name(), proptest::option::of(role()))
            .prop_map(|(channel_name, role)| Response::RoleSet { channel_name, role }),
        (name(), settings(), vec(listed_role(), 0..4)).prop_map(|(channel_name, settings, roles)| Response::Settings {
            channel_name,
            settings,
            roles
        }),
        (vec(connection_row(), 0..4), proptest::option::of(id_or_zero()))
            .prop_map(|(connections, next)| Response::Connections { connections, next }),
        id_or_zero().prop_map(|connection| Response::Disconnected { connection }),
        error,
    ]
    .boxed()
}

/// Generates a user of a channel.
fn user() -> impl Strategy<Value = User> {
    (name(), proptest::option::of(account_name())).prop_map(|(username, account)| User { username, account }).boxed()
}

/// Generates a channel as CHANNELS lists it.
fn listed_channel() -> impl Strategy<Value = ListedChannel> {
    let activity = (id_or_zero(), id_or_zero(), id_or_zero())
        .prop_map(|(joined, behind, stored_bytes)| ChannelActivity { joined, behind, stored_bytes });
    (channel(), id(), proptest::option::of(id_or_zero()), any::<bool>(), proptest::option::of(activity))
        .prop_map(|(channel, position, last_id, members_only, activity)| ListedChannel {
            channel,
            position,
            last_id,
            members_only,
            activity,
        })
        .boxed()
}

/// Generates a connection as CONNECTIONS lists it.
fn connection_row() -> impl Strategy<Value = ConnectionRow> {
    let counts = [(); 8].map(|()| id_or_zero());
    (text(0..10), proptest::option::of(text(0..10)), counts)
        .prop_map(|(peer, listener, counts)| {
            let [connection, seconds, requests, received_bytes, sent_bytes, pushes, joined, waiting_bytes] = counts;
            ConnectionRow {
                connection,
                peer,
                listener,
                seconds,
                requests,
                received_bytes,
                sent_bytes,
                pushes,
                joined,
                waiting_bytes,
            }
        })
        .boxed()
}

/// Generates the abilities and limits of a server.
fn hello() -> impl Strategy<Value = Hello> {
    let limits = (id(), proptest::option::of(id()), proptest::option::of(id()), proptest::option::of(id()));
    (vec(text(0..10), 0..4), any::<bool>(), limits)
        .prop_map(|(features, encrypted, limits)| {
            let mut hello = Hello::new(limits.0);
            (hello.features, hello.encrypted) = (features, encrypted);
            (hello.units_per_second, hello.burst, hello.retry_window) = (limits.1, limits.2, limits.3);
            hello
        })
        .boxed()
}

/// Generates a message as its channel keeps it.
pub fn stored_message() -> impl Strategy<Value = StoredMessage> {
    let deletion =
        prop_oneof![3 => Just((false, None)), 1 => Just((true, None)), 1 => id().prop_map(|id| (false, Some(id)))];
    (name(), id(), name(), text(1..40), timestamp(), proptest::option::of(account_name()), deletion)
        .prop_map(|(channel_name, id, username, message_content, timestamp, account, (deleted, deletes))| {
            StoredMessage {
                account,
                deleted,
                deletes,
                ..StoredMessage::new(channel_name, id, username, message_content, timestamp)
            }
        })
        .boxed()
}

/// Generates an account's name.
pub fn account_name() -> impl Strategy<Value = AccountName> {
    "[a-z0-9][a-z0-9._-]{0,31}".prop_map(|name| named(&name))
}

/// Generates a JSON tree of any kind, members repeated and numbers in every form.
pub fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        2 => select(vec!["null", "true", "false", "0", "-0", "1e0", "1E400", "22236"]).prop_map(|raw| Json::Raw(raw.into())),
        1 => "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?".prop_map(Json::Raw),
        3 => text(0..8).prop_map(Json::Text),
        1 => "[\\[\\]{}\"\\\\,:]{0,6}".prop_map(Json::Text),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![vec(inner.clone(), 0..4).prop_map(Json::Array), members(inner).prop_map(Json::Object)]
    })
}

fn members(value: impl Strategy<Value = Json>) -> impl Strategy<Value = Vec<(String, Json)>> {
    let name = prop_oneof![
        select(vec!["username", "channel_name", "message_content", "a", "", "\\", "\"}"]).prop_map(String::from),
        text(0..4),
    ];
    vec((name, value), 0..4)
}

/// Generates the text of a JSON object, in any spelling.
pub fn object_text() -> impl Strategy<Value = Vec<u8>> {
    (members(json()), choices()).prop_map(|(members, choices)| Json::Object(members).spell(&choices).into_bytes())
}

/// Generates the text of a JSON array, in any spelling.
pub fn array_text() -> impl Strategy<Value = Vec<u8>> {
    (vec(json(), 0..4), choices()).prop_map(|(array, choices)| Json::Array(array).spell(&choices).into_bytes())
}

/// Generates the text of any JSON value, in any spelling.
pub fn json_text() -> impl Strategy<Value = Vec<u8>> {
    (json(), choices()).prop_map(|(json, choices)| json.spell(&choices).into_bytes())
}

/// Generates the spelling of a [`Json`].
pub fn choices() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..64)
}

/// Generates a byte that is likely to matter in JSON.
fn json_byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        6 => select(b"\"\\{}[],:".to_vec()),
        3 => select(b"0123456789-+.eEutrfnbdaD/ \t\r\n".to_vec()),
        1 => any::<u8>(),
    ]
}

/// Generates the same bytes with a few of them changed, removed, added or doubled.
pub fn mutated(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0_u8..6, json_byte());
    (bytes, vec(edit, 0..4)).prop_map(|(mut bytes, edits)| {
        for (index, action, byte) in edits {
            let at = index.index(bytes.len() + 1);
            match (action, bytes.get_mut(at)) {
                (0 | 1, Some(old)) => *old = byte,
                (2, Some(_)) => drop(bytes.remove(at)),
                (3, Some(_)) => {
                    let tail = bytes.split_off(at);
                    bytes.extend_from_slice(&tail);
                    bytes.extend_from_slice(&tail);
                }
                (4, Some(_)) => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

/// Generates a piece of a stream of requests, most often one after which the stream goes on.
fn segment() -> impl Strategy<Value = Vec<u8>> {
    let frame = request().prop_map(|request| {
        let mut out = Vec::new();
        request.encode(&mut out);
        out
    });
    let word = prop_oneof![
        4 => select(vec!["LIST", "HOST", "MESSAGE", "JOIN", "LEAVE", "HISTORY", "UNHOST", "HELLO", "WHO", "CHANNELS", "CONNECTIONS", "DISCONNECT", "NOTICE", "PING", "list", "OK", "REQUEST_ERROR", "SERVER_ERROR"]).prop_map(String::from),
        1 => "[A-Za-z_]{1,34}",
    ];
    let ending = select(vec!["\r\n", "\r\n", "\r\n", "\r\n ", "\n", "\r", "\r\r\n", "", " \r\n", ":"]);
    let line = (word, ending).prop_map(|(word, ending)| format!("{word}{ending}").into_bytes());
    let respelled = (select(vec!["HOST\r\n", "MESSAGE\r\n \n", "JOIN\r\n", "PING\r\n", "LIST\r\n\t"]), object_text())
        .prop_map(|(line, text)| [line.as_bytes(), &text].concat());
    prop_oneof![
        4 => frame,
        4 => line,
        3 => respelled,
        2 => "[ \t\r\n]{1,5}".prop_map(String::into_bytes),
        2 => object_text(),
        1 => json_text(),
        1 => mutated(object_text()),
        1 => "[{}\\[\\]\"\\\\ a]{1,12}".prop_map(String::into_bytes),
        1 => (60_usize..68, any::<bool>()).prop_map(|(depth, close)| {
            let close = if close { "]".repeat(depth) } else { String::new() };
            ("[".repeat(depth) + &close).into_bytes()
        }),
    ]
}

/// Generates a stream as a peer might send it: frames, nearly frames, white space and what is none of it.
pub fn stream() -> impl Strategy<Value = Vec<u8>> {
    let stream = || vec(segment(), 0..8).prop_map(|segments| segments.concat());
    prop_oneof![4 => stream(), 1 => mutated(stream())]
}

/// Generates a limit on payloads: the protocol's, or one that a short stream passes. None is 0: then not even the first
/// bracket could be a fault's byte.
pub fn limit() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(65_536_usize), 1 => 1..4_usize, 2 => 4..120_usize]
}

/// Generates positions to cut at; some repeat, so that some pieces are empty.
pub fn cuts() -> impl Strategy<Value = Vec<usize>> {
    (vec(0..600_usize, 0..8), any::<bool>()).prop_map(|(mut cuts, twice)| {
        if twice {
            cuts.extend(cuts.clone());
        }
        cuts
    })
}

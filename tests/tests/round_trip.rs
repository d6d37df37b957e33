//! Values to bytes and back: every value, every scalar value, every spelling; and the bytes themselves, against
//! another writer's.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use chanwire_core::wire::{
    Address, CHANNELS_LIMIT, CONNECTIONS_LIMIT, Channel, ChannelActivity, ChannelName, ChannelSettings, Command,
    ConnectionRow, Credentials, Decoder, ErrorResponse, HISTORY_LIMIT, HistoryRange, Host, Item, JoinFrom,
    ListedChannel, ListedRole, Message, Request, Response, Role, RoleTarget, StartLine as _, Status, StoredMessage,
    User, json::Reader,
};
use chanwire_tests::{
    generate::{self, times},
    respell::Json,
    show,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Returns the one frame that these bytes are: its head and its payload.
fn frame<H: chanwire_core::wire::StartLine>(bytes: &[u8]) -> (H, Vec<u8>) {
    let mut decoder = Decoder::<H>::new(usize::MAX);
    decoder.feed(bytes);
    let Some(Item::Frame(frame)) = decoder.next_item() else { panic!("no frame: {}", show::bytes(bytes)) };
    let (head, payload) = (frame.start_line, frame.payload.to_vec());
    assert_eq!(frame.span().end, bytes.len() as u64, "{}", show::bytes(bytes));
    (head, payload)
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

/// Returns a string as another writer writes it. Its escapes are the protocol's.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// Returns a channel, put together from another writer's strings.
fn channel_text(channel: &Channel) -> String {
    format!(
        "{{\"channel_name\": {}, \"peer_server_ip\": {}, \"peer_server_port\": {}}}",
        quoted(&channel.channel_name),
        quoted(channel.address.host()),
        channel.address.port()
    )
}

/// Returns a message as its channel keeps it, put together likewise.
fn message_text(message: &StoredMessage) -> String {
    let StoredMessage { channel_name, id, username, message_content, timestamp, account, deleted, deletes } = message;
    let account = account.as_ref().map_or(String::new(), |account| format!(", \"account\": \"{account}\""));
    let [channel_name, username, content] = [channel_name.as_str(), username, message_content].map(quoted);
    let deleted = if *deleted { ", \"deleted\": true" } else { "" };
    let deletes = deletes.map(|id| format!(", \"deletes\": {id}")).unwrap_or_default();
    format!(
        "{{\"channel_name\": {channel_name}, \"id\": {id}, \"username\": {username}, \"message_content\": {content}, \"timestamp\": \"{timestamp}\"{account}{deleted}{deletes}}}"
    )
}

fn request_text(request: &Request) -> String {
    match request {
        Request::List => "LIST\r\n".into(),
        Request::Host(host) => {
            let channel = channel_text(&host.channel);
            match host.lease {
                None => format!("HOST\r\n{channel}"),
                Some(lease) => format!("HOST\r\n{}, \"lease\": {lease}}}", channel.trim_end_matches('}')),
            }
        }
        Request::Unhost { channel_name } => format!("UNHOST\r\n{{\"channel_name\": {}}}", quoted(channel_name)),
        Request::Leave { channel_name } => format!("LEAVE\r\n{{\"channel_name\": {}}}", quoted(channel_name)),
        Request::Join { channel_name, from, username } => {
            let from = match from {
                JoinFrom::After(id) => format!(", \"after\": {id}"),
                JoinFrom::Last(0) => String::new(),
                JoinFrom::Last(count) => format!(", \"history\": {count}"),
            };
            let username = username.as_ref().map_or(String::new(), |name| format!(", \"username\": {}", quoted(name)));
            format!("JOIN\r\n{{\"channel_name\": {}{from}{username}}}", quoted(channel_name))
        }
        Request::History { channel_name, range, limit } => {
            let range = match range {
                HistoryRange::Last => String::new(),
                HistoryRange::After(id) => format!(", \"after\": {id}"),
                HistoryRange::Before(id) => format!(", \"before\": {id}"),
            };
            let limit = if *limit == HISTORY_LIMIT { String::new() } else { format!(", \"limit\": {limit}") };
            format!("HISTORY\r\n{{\"channel_name\": {}{range}{limit}}}", quoted(channel_name))
        }
        Request::Message(Message { username, message_content, channel_name, client_message_id }) => {
            let channel = channel_name.as_ref().map(|name| format!(", \"channel_name\": {}", quoted(name)));
            let id = client_message_id.as_ref().map(|id| format!(", \"client_message_id\": \"{id}\""));
            format!(
                "MESSAGE\r\n{{\"username\": {}, \"message_content\": {}{}{}}}",
                quoted(username),
                quoted(message_content),
                channel.unwrap_or_default(),
                id.unwrap_or_default()
            )
        }
        Request::Hello { notices: true } => "HELLO\r\n{\"notices\": true}".into(),
        Request::Hello { notices: false } => "HELLO\r\n{}".into(),
        Request::Auth(Credentials::Password { account, password }) => {
            format!("AUTH\r\n{{\"account\": {}, \"password\": {}}}", quoted(account), quoted(password.expose()))
        }
        Request::Auth(Credentials::Token(token)) => format!("AUTH\r\n{{\"token\": {}}}", quoted(token.expose())),
        Request::Who { channel_name } => format!("WHO\r\n{{\"channel_name\": {}}}", quoted(channel_name)),
        Request::Channels { after, limit, contains } => {
            let after = (*after > 0).then(|| format!("\"after\": {after}"));
            let limit = (*limit != CHANNELS_LIMIT).then(|| format!("\"limit\": {limit}"));
            let contains = contains.as_ref().map(|part| format!("\"contains\": {}", quoted(part)));
            let members: Vec<String> = [after, limit, contains].into_iter().flatten().collect();
            format!("CHANNELS\r\n{{{}}}", members.join(", "))
        }
        Request::Delete { channel_name, id } => {
            format!("DELETE\r\n{{\"channel_name\": {}, \"id\": {id}}}", quoted(channel_name))
        }
        Request::Role { channel_name, target, role, seconds } => {
            let (name, target, role) = (quoted(channel_name), target_text(target), role.map_or("none", Role::as_str));
            let seconds = seconds.map_or(String::new(), |seconds| format!(", \"seconds\": {seconds}"));
            format!("ROLE\r\n{{\"channel_name\": {name}, {target}, \"role\": \"{role}\"{seconds}}}")
        }
        Request::Settings { channel_name, members_only, slow_mode } => {
            let members_only = members_only.map_or(String::new(), |only| format!(", \"members_only\": {only}"));
            let slow_mode = slow_mode.map_or(String::new(), |seconds| format!(", \"slow_mode\": {seconds}"));
            format!("SETTINGS\r\n{{\"channel_name\": {}{members_only}{slow_mode}}}", quoted(channel_name))
        }
        Request::Connections { after, limit } => {
            let after = (*after > 0).then(|| format!("\"after\": {after}"));
            let limit = (*limit != CONNECTIONS_LIMIT).then(|| format!("\"limit\": {limit}"));
            let members: Vec<String> = after.into_iter().chain(limit).collect();
            format!("CONNECTIONS\r\n{{{}}}", members.join(", "))
        }
        Request::Disconnect { connection } => format!("DISCONNECT\r\n{{\"connection\": {connection}}}"),
        other => panic!("{other:?} has no text here"),
    }
}

fn response_text(response: &Response) -> String {
    match response {
        Response::Channels(channels) => {
            let channels: Vec<_> = channels.iter().map(channel_text).collect();
            format!("OK\r\n{{\"channels\": [{}]}}", channels.join(", "))
        }
        Response::Hosted { channel_name } => {
            format!("OK\r\n{{\"status\": \"success\", \"channel_name\": {}}}", quoted(channel_name))
        }
        Response::Removed { channel_name } => {
            format!("OK\r\n{{\"status\": \"removed\", \"channel_name\": {}}}", quoted(channel_name))
        }
        Response::Deleted { channel_name, id } => {
            format!("OK\r\n{{\"status\": \"deleted\", \"channel_name\": {}, \"id\": {id}}}", quoted(channel_name))
        }
        Response::Left { channel_name } => {
            format!("OK\r\n{{\"status\": \"left\", \"channel_name\": {}}}", quoted(channel_name))
        }
        Response::Joined { channel_name, first_id, last_id } => format!(
            "OK\r\n{{\"status\": \"joined\", \"channel_name\": {}, \"first_id\": {first_id}, \"last_id\": {last_id}}}",
            quoted(channel_name)
        ),
        Response::History { channel_name, messages } => {
            let messages: Vec<_> = messages.iter().map(message_text).collect();
            let messages = messages.join(", ");
            format!("OK\r\n{{\"channel_name\": {}, \"messages\": [{messages}]}}", quoted(channel_name))
        }
        Response::Delivered { timestamp, id } => {
            let id = id.map_or(String::new(), |id| format!(", \"id\": {id}"));
            format!("OK\r\n{{\"status\": \"delivered\", \"timestamp\": \"{timestamp}\"{id}}}")
        }
        Response::Hello(hello) => {
            let features: Vec<_> = hello.features.iter().map(|feature| quoted(feature)).collect();
            let number =
                |name, value: Option<u64>| value.map_or(String::new(), |value| format!(", \"{name}\": {value}"));
            format!(
                "OK\r\n{{\"protocol\": {}, \"features\": [{}], \"encrypted\": {}, \"max_payload\": {}{}{}{}}}",
                hello.protocol,
                features.join(", "),
                hello.encrypted,
                hello.max_payload,
                number("units_per_second", hello.units_per_second),
                number("burst", hello.burst),
                number("retry_window", hello.retry_window),
            )
        }
        Response::Authenticated { account } => {
            format!("OK\r\n{{\"status\": \"authenticated\", \"account\": {}}}", quoted(account))
        }
        Response::Who { channel_name, count, users, complete } => {
            let user = |user: &User| {
                let account = user.account.as_ref().map_or(String::new(), |name| format!(", \"account\": \"{name}\""));
                format!("{{\"username\": {}{account}}}", quoted(&user.username))
            };
            let users = users.iter().map(user).collect::<Vec<_>>().join(", ");
            let name = quoted(channel_name);
            format!(
                "OK\r\n{{\"channel_name\": {name}, \"count\": {count}, \"users\": [{users}], \"complete\": {complete}}}"
            )
        }
        Response::ChannelPage { channels, next } => {
            let channels: Vec<_> = channels.iter().map(listed_channel_text).collect();
            let next = next.map_or(String::new(), |next| format!(", \"next\": {next}"));
            format!("OK\r\n{{\"channels\": [{}]{next}}}", channels.join(", "))
        }
        Response::RoleSet { channel_name, role } => {
            let (name, role) = (quoted(channel_name), role.map_or("none", Role::as_str));
            format!("OK\r\n{{\"status\": \"set\", \"channel_name\": {name}, \"role\": \"{role}\"}}")
        }
        Response::Settings { channel_name, settings, roles } => {
            let ChannelSettings { members_only, slow_mode } = settings;
            let role = |ListedRole { target, role, until }: &ListedRole| {
                let until = until.map_or(String::new(), |until| format!(", \"until\": \"{until}\""));
                format!("{{{}, \"role\": \"{role}\"{until}}}", target_text(target))
            };
            let listed = roles.iter().map(role).collect::<Vec<_>>().join(", ");
            let roles = if roles.is_empty() { String::new() } else { format!(", \"roles\": [{listed}]") };
            let name = quoted(channel_name);
            format!(
                "OK\r\n{{\"channel_name\": {name}, \"members_only\": {members_only}, \"slow_mode\": {slow_mode}{roles}}}"
            )
        }
        Response::Connections { connections, next } => {
            let rows: Vec<_> = connections.iter().map(row_text).collect();
            let next = next.map_or(String::new(), |next| format!(", \"next\": {next}"));
            format!("OK\r\n{{\"connections\": [{}]{next}}}", rows.join(", "))
        }
        Response::Disconnected { connection } => {
            format!("OK\r\n{{\"status\": \"disconnected\", \"connection\": {connection}}}")
        }
        Response::Error(ErrorResponse { error, details, retry_after, .. }) => {
            format!(
                "{}\r\n{{\"error\": {}, \"details\": {}{}}}",
                response.status().name(),
                quoted(error),
                quoted(details),
                retry_after.map_or(String::new(), |seconds| format!(", \"retry_after\": {seconds}"))
            )
        }
        other => panic!("{other:?} has no text here"),
    }
}

fn target_text(target: &RoleTarget) -> String {
    match target {
        RoleTarget::Account(account) => format!("\"account\": \"{account}\""),
        RoleTarget::Address(ip) => format!("\"address\": \"{ip}\""),
        RoleTarget::SenderOf(id) => format!("\"sender_of\": {id}"),
    }
}

fn listed_channel_text(listed: &ListedChannel) -> String {
    let channel = channel_text(&listed.channel);
    let last_id = listed.last_id.map_or(String::new(), |id| format!(", \"last_id\": {id}"));
    let members_only = if listed.members_only { ", \"members_only\": true" } else { "" };
    let activity = listed.activity.map_or(String::new(), |ChannelActivity { joined, behind, stored_bytes }| {
        format!(", \"joined\": {joined}, \"behind\": {behind}, \"stored_bytes\": {stored_bytes}")
    });
    format!("{}, \"position\": {}{last_id}{members_only}{activity}}}", channel.trim_end_matches('}'), listed.position)
}

fn row_text(row: &ConnectionRow) -> String {
    let listener = row.listener.as_ref().map_or(String::new(), |it| format!(", \"listener\": {}", quoted(it)));
    format!(
        "{{\"connection\": {}, \"peer\": {}{listener}, \"seconds\": {}, \"requests\": {}, \"received_bytes\": {}, \
         \"sent_bytes\": {}, \"pushes\": {}, \"joined\": {}, \"waiting_bytes\": {}}}",
        row.connection,
        quoted(&row.peer),
        row.seconds,
        row.requests,
        row.received_bytes,
        row.sent_bytes,
        row.pushes,
        row.joined,
        row.waiting_bytes,
    )
}

/// Returns the command that a response answers.
fn answers(response: &Response) -> Command {
    match response {
        Response::Hosted { .. } => Command::Host,
        Response::Delivered { .. } => Command::Message,
        Response::Removed { .. } => Command::Unhost,
        Response::Joined { .. } => Command::Join,
        Response::Left { .. } => Command::Leave,
        Response::History { .. } => Command::History,
        Response::Hello(_) => Command::Hello,
        Response::Authenticated { .. } => Command::Auth,
        Response::Who { .. } => Command::Who,
        Response::ChannelPage { .. } => Command::Channels,
        Response::Deleted { .. } => Command::Delete,
        Response::RoleSet { .. } => Command::Role,
        Response::Settings { .. } => Command::Settings,
        Response::Connections { .. } => Command::Connections,
        Response::Disconnected { .. } => Command::Disconnect,
        _ => Command::List,
    }
}

/// Returns the same payload with its members in another order, unknown ones between them, and spelled otherwise.
fn respelled(payload: &[u8], choices: &[u8]) -> String {
    let value: Value = serde_json::from_slice(payload).unwrap();
    let Json::Object(mut members) = Json::from(&value) else { panic!("{value} is no object") };
    members.insert(members.len() / 2, ("unknown".into(), Json::from(&json!({"channel_name": [1.5, null]}))));
    let turn = choices.len() % members.len();
    members.rotate_left(turn);
    Json::Object(members).spell(choices)
}

proptest! {
    #![proptest_config(times(1000))]

    #[test]
    fn requests_come_back(request in generate::request(), choices in generate::choices()) {
        let bytes = encoded(|out| request.encode(out));
        prop_assert_eq!(String::from_utf8(bytes.clone()).unwrap(), request_text(&request));
        prop_assert_eq!(request.validate(), Ok(()));
        let (command, payload) = frame::<Command>(&bytes);
        prop_assert_eq!(command, request.command());
        let decoded = Request::decode(command, &payload).unwrap();
        prop_assert_eq!(&decoded, &request);
        prop_assert_eq!(encoded(|out| decoded.encode(out)), bytes);
        if command.takes_payload() {
            let other = respelled(&payload, &choices);
            prop_assert_eq!(Request::decode(command, other.as_bytes()), Ok(request), "{}", other);
        }
    }

    #[test]
    fn responses_come_back(response in generate::response(), choices in generate::choices()) {
        let bytes = encoded(|out| response.encode(out));
        prop_assert_eq!(String::from_utf8(bytes.clone()).unwrap(), response_text(&response));
        let (status, payload) = frame::<Status>(&bytes);
        prop_assert_eq!(status, response.status());
        let decoded = Response::decode(answers(&response), status, &payload).unwrap();
        prop_assert_eq!(&decoded, &response);
        prop_assert_eq!(encoded(|out| decoded.encode(out)), bytes);
        let other = respelled(&payload, &choices);
        prop_assert_eq!(Response::decode(answers(&response), status, other.as_bytes()), Ok(response), "{}", other);
    }

    #[test]
    fn stored_messages_come_back_and_are_read_in_any_spelling(message in generate::stored_message(), choices in generate::choices()) {
        let bytes = encoded(|out| message.encode_push(out));
        let payload = message_text(&message);
        prop_assert_eq!(String::from_utf8(bytes.clone()).unwrap(), format!("MESSAGE\r\n{payload}"));
        prop_assert_eq!(frame::<Status>(&bytes), (Status::Push, payload.clone().into_bytes()));
        prop_assert_eq!(StoredMessage::decode(payload.as_bytes()), Ok(message.clone()));
        let other = respelled(payload.as_bytes(), &choices);
        prop_assert_eq!(StoredMessage::decode(other.as_bytes()), Ok(message), "{}", other);
    }

    #[test]
    fn decoded_payloads_encode_to_equal_ones(
        command in proptest::sample::select(Command::ALL.iter().copied().filter(|command| *command != Command::List).collect::<Vec<_>>()),
        payload in generate::mutated(generate::request().prop_map(|request| encoded(|out| request.encode(out)))),
    ) {
        // Every accepted payload has canonical bytes, and these are stable.
        let payload = &payload[payload.iter().position(|byte| *byte == b'{').unwrap_or(0)..];
        if let Ok(request) = Request::decode(command, payload) {
            let bytes = encoded(|out| request.encode(out));
            let (command, canonical) = frame::<Command>(&bytes);
            prop_assert_eq!(Request::decode(command, &canonical), Ok(request));
        }
    }

    #[test]
    fn any_content_can_be_encoded_even_the_empty_one_that_no_server_accepts(message_content in generate::text(0..70)) {
        let message = Message {
            username: "u".parse().unwrap(),
            message_content,
            channel_name: Some("\"a\"".parse().unwrap()), client_message_id: None
        };
        let request = Request::Message(message.clone());
        let (_, payload) = frame::<Command>(&encoded(|out| request.encode(out)));
        let expected = json!({
            "username": "u",
            "message_content": message.message_content,
            "channel_name": "\"a\"",
        });
        prop_assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap(), expected);
        let decoded = Request::decode(Command::Message, &payload);
        prop_assert_eq!(request.validate().map_err(|fault| fault.kind), decoded.map(|_| ()).map_err(|fault| fault.kind));
    }

    #[test]
    fn validation_finds_what_a_server_finds(
        name in generate::name::<ChannelName>(),
        id in prop_oneof![0..3_u64, any::<u64>(), (1_u64 << 53) - 2..(1 << 53) + 2],
        count in prop_oneof![0..3_u16, 998..1003_u16],
        lease in prop_oneof![8..12_u32, 86_398..86_403_u32],
    ) {
        let channel_name = || name.clone();
        let channel = Channel { channel_name: channel_name(), address: Address::new("::1", 1).unwrap() };
        let requests = [
            Request::Host(Host { channel, lease: Some(lease) }),
            Request::Unhost { channel_name: channel_name() },
            Request::Leave { channel_name: channel_name() },
            Request::Join { channel_name: channel_name(), from: JoinFrom::After(id), username: None },
            Request::Join { channel_name: channel_name(), from: JoinFrom::Last(count), username: None },
            Request::History { channel_name: channel_name(), range: HistoryRange::After(id), limit: count },
            Request::History { channel_name: channel_name(), range: HistoryRange::Before(id), limit: count },
            Request::History { channel_name: channel_name(), range: HistoryRange::Last, limit: count },
            Request::Channels { after: id, limit: count, contains: None },
            Request::Channels { after: 0, limit: 1, contains: Some("ä".repeat(usize::from(count % 70))) },
        ];
        for request in requests {
            let (_, payload) = frame::<Command>(&encoded(|out| request.encode(out)));
            let decoded = Request::decode(request.command(), &payload).map(|_| ()).map_err(|fault| fault.kind);
            prop_assert_eq!(request.validate().map_err(|fault| fault.kind), decoded, "{:?}", request);
        }
    }

    #[test]
    fn a_fault_s_reply_can_be_sent_and_read(stream in generate::stream()) {
        let mut decoder = Decoder::<Command>::new(100);
        decoder.feed(&stream);
        decoder.finish();
        while let Some(item) = decoder.next_item() {
            let reply = match &item {
                Item::Fault(fault) => fault.reply(),
                Item::Frame(frame) => match Request::decode(frame.start_line, frame.payload) {
                    Err(fault) => fault.reply(),
                    Ok(_) => continue,
                },
                Item::Skipped(..) => continue,
            };
            // Text that a peer sent never reaches a terminal raw.
            prop_assert!(!reply.details.chars().any(char::is_control), "{reply:?}");
            let (status, payload) = frame::<Status>(&encoded(|out| reply.encode(out)));
            prop_assert_eq!(status, Status::RequestError);
            prop_assert_eq!(Response::decode(Command::List, status, &payload), Ok(Response::Error(reply)));
        }
    }
}

#[test]
fn every_scalar_value_comes_back_in_a_message() {
    let scalars: Vec<char> = ('\0'..=char::MAX).collect();
    assert_eq!(scalars.len(), 0x11_0000 - 0x800);
    for chars in scalars.chunks(4096) {
        let message_content: String = chars.iter().collect();
        let message =
            Message { username: "u".parse().unwrap(), message_content, channel_name: None, client_message_id: None };
        let bytes = encoded(|out| Request::Message(message.clone()).encode(out));
        let (command, payload) = frame::<Command>(&bytes);
        let other: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(other["message_content"].as_str(), Some(&*message.message_content));
        assert_eq!(Request::decode(command, &payload), Ok(Request::Message(message)));
    }
}

#[test]
fn every_scalar_value_is_read_from_its_escapes() {
    let scalars: Vec<char> = ('\0'..=char::MAX).collect();
    for chars in scalars.chunks(4096) {
        let text: String = chars.iter().collect();
        // Lower and upper case digits by turns.
        let escaped = Json::Text(text.clone()).spell(&[1, 2].repeat(2048));
        let mut reader = Reader::new(escaped.as_bytes());
        let Ok(Some(token)) = reader.next_token() else { panic!("no string from {:?} on", chars.first()) };
        let chanwire_core::wire::json::TokenKind::String(read) = token.kind else { panic!("{token:?}") };
        assert_eq!(read.decode(), text);
    }
}

/// Returns the spelling of this character between quotes.
fn escape(char: char) -> String {
    let content = Request::Message(Message {
        username: "u".parse().unwrap(),
        message_content: char.into(),
        channel_name: None,
        client_message_id: None,
    });
    let bytes = encoded(|out| content.encode(out));
    let (before, after) = ("MESSAGE\r\n{\"username\": \"u\", \"message_content\": \"", "\"}");
    let text = String::from_utf8(bytes).unwrap();
    text.strip_prefix(before).and_then(|text| text.strip_suffix(after)).unwrap().into()
}

#[test]
fn escapes_are_exactly_the_canonical_ones() {
    let escapes: Vec<String> = (0..0x20).filter_map(char::from_u32).chain(['"', '\\']).map(escape).collect();
    assert_eq!(
        escapes.join(" "),
        r#"\u0000 \u0001 \u0002 \u0003 \u0004 \u0005 \u0006 \u0007 \b \t \n \u000b \f \r \u000e \u000f \u0010 \u0011 \u0012 \u0013 \u0014 \u0015 \u0016 \u0017 \u0018 \u0019 \u001a \u001b \u001c \u001d \u001e \u001f \" \\"#
    );
    for raw in
        ['/', '\u{7f}', '\u{80}', '\u{2028}', '\u{2029}', '\u{feff}', '\u{ffff}', '\u{1f600}', char::MAX, '\'', '<']
    {
        assert_eq!(escape(raw), String::from(raw));
    }
}

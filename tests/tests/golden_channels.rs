//! The commands that make a channel readable, byte for byte: what each frame means, and that it is written back to the
//! same bytes.
#![expect(clippy::panic, clippy::expect_used, reason = "a panic is how a test fails")]

use chanwire_core::{
    endpoint::Pushes,
    wire::{
        Address, CHANNELS_LIMIT, CONNECTIONS_LIMIT, Channel, ChannelActivity, ChannelName, ChannelSettings,
        ClientMessageId, Command, ConnectionRow, Decoder, ErrorResponse, HISTORY_LIMIT, Hello, HistoryRange, Host,
        Item, JoinFrom, ListedChannel, ListedRole, Message, Notice, Presence, Request, Response, Role, RoleTarget,
        StartLine, Status, StoredMessage, Timestamp, User,
    },
};
use chanwire_tests::{accounts, name::named, show, stream::check_every_cut};

const LIMIT: usize = 65_536;

fn name() -> ChannelName {
    named("general")
}

fn message(id: u64, content: &str) -> StoredMessage {
    // 2023-11-02T15:04:32Z
    StoredMessage::new(name(), id, named("user1"), content.into(), Timestamp::from_unix(1_698_937_472))
}

fn requests() -> Vec<(&'static str, Request)> {
    let host = |lease| {
        let address = Address::new("192.168.1.5", 22240).expect("an address");
        Request::Host(Host { channel: Channel { channel_name: name(), address }, lease: Some(lease) })
    };
    let join = |from| Request::Join { channel_name: name(), from, username: None };
    let history = |range, limit| Request::History { channel_name: name(), range, limit };
    let role = |target, role, seconds| Request::Role { channel_name: name(), target, role, seconds };
    let settings = |members_only, slow_mode| Request::Settings { channel_name: name(), members_only, slow_mode };
    vec![
        (
            "HOST\r\n{\"channel_name\": \"general\", \"peer_server_ip\": \"192.168.1.5\", \"peer_server_port\": 22240, \"lease\": 10}",
            host(10),
        ),
        (
            "HOST\r\n{\"channel_name\": \"general\", \"peer_server_ip\": \"192.168.1.5\", \"peer_server_port\": 22240, \"lease\": 86400}",
            host(86_400),
        ),
        (
            "MESSAGE\r\n{\"username\": \"user1\", \"message_content\": \"hi\", \"channel_name\": \"general\", \"client_message_id\": \"5f0c2a7e9b3d4816a0e7c1d2f3b4a596\"}",
            Request::Message(Message {
                username: named("user1"),
                message_content: "hi".into(),
                channel_name: Some(name()),
                client_message_id: Some(ClientMessageId::from_random(0x5f0c_2a7e_9b3d_4816_a0e7_c1d2_f3b4_a596)),
            }),
        ),
        ("UNHOST\r\n{\"channel_name\": \"general\"}", Request::Unhost { channel_name: name() }),
        ("JOIN\r\n{\"channel_name\": \"general\"}", join(JoinFrom::Last(0))),
        ("JOIN\r\n{\"channel_name\": \"general\", \"after\": 0}", join(JoinFrom::After(0))),
        ("JOIN\r\n{\"channel_name\": \"general\", \"after\": 9007199254740991}", join(JoinFrom::After((1 << 53) - 1))),
        ("JOIN\r\n{\"channel_name\": \"general\", \"history\": 1000}", join(JoinFrom::Last(1000))),
        ("LEAVE\r\n{\"channel_name\": \"general\"}", Request::Leave { channel_name: name() }),
        ("HISTORY\r\n{\"channel_name\": \"general\"}", history(HistoryRange::Last, HISTORY_LIMIT)),
        ("HISTORY\r\n{\"channel_name\": \"general\", \"limit\": 1}", history(HistoryRange::Last, 1)),
        ("HISTORY\r\n{\"channel_name\": \"general\", \"after\": 0}", history(HistoryRange::After(0), HISTORY_LIMIT)),
        (
            "HISTORY\r\n{\"channel_name\": \"general\", \"after\": 41, \"limit\": 1000}",
            history(HistoryRange::After(41), 1000),
        ),
        (
            "HISTORY\r\n{\"channel_name\": \"general\", \"before\": 1, \"limit\": 99}",
            history(HistoryRange::Before(1), 99),
        ),
        ("HELLO\r\n{}", Request::Hello { notices: false }),
        ("HELLO\r\n{\"notices\": true}", Request::Hello { notices: true }),
        (
            "AUTH\r\n{\"account\": \"ann\", \"password\": \"\\\"\u{e4}\\\\\\u0001\"}",
            Request::Auth(accounts::password("ann", "\"\u{e4}\\\u{1}")),
        ),
        ("AUTH\r\n{\"token\": \"b3f8c1d29e7a4c60\"}", Request::Auth(accounts::token("b3f8c1d29e7a4c60"))),
        (
            "JOIN\r\n{\"channel_name\": \"general\", \"after\": 7, \"username\": \"ann\"}",
            Request::Join { channel_name: name(), from: JoinFrom::After(7), username: Some(named("ann")) },
        ),
        ("WHO\r\n{\"channel_name\": \"general\"}", Request::Who { channel_name: name() }),
        ("CHANNELS\r\n{}", Request::Channels { after: 0, limit: CHANNELS_LIMIT, contains: None }),
        (
            "CHANNELS\r\n{\"after\": 12, \"limit\": 1000, \"contains\": \"gen\\\"\"}",
            Request::Channels { after: 12, limit: 1000, contains: Some("gen\"".into()) },
        ),
        ("DELETE\r\n{\"channel_name\": \"general\", \"id\": 7}", Request::Delete { channel_name: name(), id: 7 }),
        (
            "ROLE\r\n{\"channel_name\": \"general\", \"account\": \"ann\", \"role\": \"moderator\"}",
            role(RoleTarget::Account(named("ann")), Some(Role::Moderator), None),
        ),
        (
            "ROLE\r\n{\"channel_name\": \"general\", \"address\": \"2001:db8::7\", \"role\": \"banned\", \"seconds\": 31536000}",
            role(RoleTarget::Address([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7].into()), Some(Role::Banned), Some(31_536_000)),
        ),
        (
            "ROLE\r\n{\"channel_name\": \"general\", \"sender_of\": 41, \"role\": \"muted\", \"seconds\": 1}",
            role(RoleTarget::SenderOf(41), Some(Role::Muted), Some(1)),
        ),
        (
            "ROLE\r\n{\"channel_name\": \"general\", \"address\": \"192.0.2.7\", \"role\": \"none\"}",
            role(RoleTarget::Address([192, 0, 2, 7].into()), None, None),
        ),
        ("SETTINGS\r\n{\"channel_name\": \"general\"}", settings(None, None)),
        (
            "SETTINGS\r\n{\"channel_name\": \"general\", \"members_only\": false, \"slow_mode\": 3600}",
            settings(Some(false), Some(3600)),
        ),
        ("SETTINGS\r\n{\"channel_name\": \"general\", \"slow_mode\": 0}", settings(None, Some(0))),
        ("CONNECTIONS\r\n{}", Request::Connections { after: 0, limit: CONNECTIONS_LIMIT }),
        ("CONNECTIONS\r\n{\"after\": 17, \"limit\": 1000}", Request::Connections { after: 17, limit: 1000 }),
        ("DISCONNECT\r\n{\"connection\": 17}", Request::Disconnect { connection: 17 }),
    ]
}

fn responses() -> Vec<(&'static str, Command, Response)> {
    let history = |messages: &[StoredMessage]| Response::History { channel_name: name(), messages: messages.into() };
    vec![
        (
            "OK\r\n{\"status\": \"delivered\", \"timestamp\": \"2023-11-02T15:04:32Z\", \"id\": 41}",
            Command::Message,
            Response::Delivered { timestamp: Timestamp::from_unix(1_698_937_472), id: Some(41) },
        ),
        (
            "OK\r\n{\"status\": \"removed\", \"channel_name\": \"general\"}",
            Command::Unhost,
            Response::Removed { channel_name: name() },
        ),
        (
            "OK\r\n{\"status\": \"joined\", \"channel_name\": \"general\", \"first_id\": 1, \"last_id\": 0}",
            Command::Join,
            Response::Joined { channel_name: name(), first_id: 1, last_id: 0 },
        ),
        (
            "OK\r\n{\"status\": \"left\", \"channel_name\": \"general\"}",
            Command::Leave,
            Response::Left { channel_name: name() },
        ),
        ("OK\r\n{\"channel_name\": \"general\", \"messages\": []}", Command::History, history(&[])),
        (
            "OK\r\n{\"channel_name\": \"general\", \"messages\": [{\"channel_name\": \"general\", \"id\": 1, \"username\": \"user1\", \"message_content\": \"a\", \"timestamp\": \"2023-11-02T15:04:32Z\"}, {\"channel_name\": \"general\", \"id\": 2, \"username\": \"user1\", \"message_content\": \"\\n\", \"timestamp\": \"2023-11-02T15:04:32Z\"}]}",
            Command::History,
            history(&[message(1, "a"), message(2, "\n")]),
        ),
        (
            "OK\r\n{\"channel_name\": \"general\", \"messages\": [{\"channel_name\": \"general\", \"id\": 7, \"username\": \"user1\", \"message_content\": \"(deleted)\", \"timestamp\": \"2023-11-02T15:04:32Z\", \"deleted\": true}, {\"channel_name\": \"general\", \"id\": 8, \"username\": \"host\", \"message_content\": \"Deleted message 7\", \"timestamp\": \"2023-11-02T15:04:32Z\", \"deletes\": 7}]}",
            Command::History,
            history(&[
                message(7, "a").tombstone(),
                StoredMessage::record(name(), 8, named("host"), 7, Timestamp::from_unix(1_698_937_472)),
            ]),
        ),
        (
            "OK\r\n{\"status\": \"deleted\", \"channel_name\": \"general\", \"id\": 7}",
            Command::Delete,
            Response::Deleted { channel_name: name(), id: 7 },
        ),
        (
            "OK\r\n{\"status\": \"set\", \"channel_name\": \"general\", \"role\": \"muted\"}",
            Command::Role,
            Response::RoleSet { channel_name: name(), role: Some(Role::Muted) },
        ),
        (
            "OK\r\n{\"status\": \"set\", \"channel_name\": \"general\", \"role\": \"none\"}",
            Command::Role,
            Response::RoleSet { channel_name: name(), role: None },
        ),
        (
            "OK\r\n{\"channel_name\": \"general\", \"members_only\": false, \"slow_mode\": 0}",
            Command::Settings,
            Response::Settings { channel_name: name(), settings: ChannelSettings::default(), roles: Vec::new() },
        ),
        (
            "OK\r\n{\"channel_name\": \"general\", \"members_only\": true, \"slow_mode\": 3600, \"roles\": [{\"account\": \"ann\", \"role\": \"member\"}, {\"address\": \"192.0.2.7\", \"role\": \"banned\", \"until\": \"2023-11-02T15:04:32Z\"}, {\"sender_of\": 41, \"role\": \"muted\"}]}",
            Command::Settings,
            full_settings(),
        ),
        (
            "OK\r\n{\"protocol\": 1, \"features\": [], \"encrypted\": false, \"max_payload\": 65536}",
            Command::Hello,
            Response::Hello(Hello::new(65_536)),
        ),
        (
            "OK\r\n{\"protocol\": 1, \"features\": [\"auth\", \"\\\"\"], \"encrypted\": true, \"max_payload\": 1, \"units_per_second\": 50, \"burst\": 500, \"retry_window\": 3600}",
            Command::Hello,
            full_hello(),
        ),
        (
            "OK\r\n{\"channel_name\": \"general\", \"count\": 3, \"users\": [{\"username\": \"ann\", \"account\": \"ann\"}, {\"username\": \"bob\"}], \"complete\": true}",
            Command::Who,
            Response::Who {
                channel_name: name(),
                count: 3,
                users: vec![
                    User { username: named("ann"), account: Some(named("ann")) },
                    User { username: named("bob"), account: None },
                ],
                complete: true,
            },
        ),
        ("OK\r\n{\"channels\": []}", Command::Channels, Response::ChannelPage { channels: Vec::new(), next: None }),
        (
            "OK\r\n{\"channels\": [{\"channel_name\": \"general\", \"peer_server_ip\": \"192.168.1.5\", \"peer_server_port\": 22240, \"position\": 1}, {\"channel_name\": \"general\", \"peer_server_ip\": \"192.168.1.5\", \"peer_server_port\": 22240, \"position\": 12, \"last_id\": 0, \"members_only\": true}], \"next\": 12}",
            Command::Channels,
            channel_page(),
        ),
        (
            "OK\r\n{\"channels\": [{\"channel_name\": \"general\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": 22236, \"position\": 1, \"last_id\": 41, \"joined\": 3, \"behind\": 1, \"stored_bytes\": 9007199254740991}]}",
            Command::Channels,
            operators_channel_page(),
        ),
        (
            "OK\r\n{\"status\": \"authenticated\", \"account\": \"ann\"}",
            Command::Auth,
            Response::Authenticated { account: named("ann") },
        ),
        (
            "REQUEST_ERROR\r\n{\"error\": \"Encryption required\", \"details\": \"A password is accepted over TLS only\"}",
            Command::Auth,
            Response::Error(ErrorResponse::credentials_not_encrypted(&accounts::password("ann", "x"))),
        ),
        (
            "REQUEST_ERROR\r\n{\"error\": \"Encryption required\", \"details\": \"A token is accepted over TLS only\"}",
            Command::Auth,
            Response::Error(ErrorResponse::credentials_not_encrypted(&accounts::token("x"))),
        ),
        (
            "OK\r\n{\"connections\": []}",
            Command::Connections,
            Response::Connections { connections: Vec::new(), next: None },
        ),
        (
            "OK\r\n{\"connections\": [{\"connection\": 17, \"peer\": \"192.0.2.7\", \"listener\": \"127.0.0.1:22236\", \"seconds\": 61, \"requests\": 3, \"received_bytes\": 150, \"sent_bytes\": 9007199254740991, \"pushes\": 2, \"joined\": 1, \"waiting_bytes\": 0}, {\"connection\": 18, \"peer\": \"operator\", \"seconds\": 0, \"requests\": 0, \"received_bytes\": 0, \"sent_bytes\": 0, \"pushes\": 0, \"joined\": 0, \"waiting_bytes\": 0}], \"next\": 18}",
            Command::Connections,
            connections(),
        ),
        (
            "OK\r\n{\"status\": \"disconnected\", \"connection\": 17}",
            Command::Disconnect,
            Response::Disconnected { connection: 17 },
        ),
        (
            "SERVER_ERROR\r\n{\"error\": \"Server stopping\", \"details\": \"The server stops; come back in 1 second\", \"retry_after\": 1}",
            Command::List,
            Response::Error(ErrorResponse::server_stopping(1)),
        ),
        (
            "SERVER_ERROR\r\n{\"error\": \"Server stopping\", \"details\": \"The server stops; come back in 5 seconds\", \"retry_after\": 5}",
            Command::Join,
            Response::Error(ErrorResponse::server_stopping(5)),
        ),
    ]
}

/// Returns a page of two channels, one of which lives at a peer.
fn channel_page() -> Response {
    let address = Address::new("192.168.1.5", 22240).expect("an address");
    let channel = Channel { channel_name: name(), address };
    let away = ListedChannel { channel, position: 1, last_id: None, members_only: false, activity: None };
    let here = ListedChannel { position: 12, last_id: Some(0), members_only: true, ..away.clone() };
    Response::ChannelPage { channels: vec![away, here], next: Some(12) }
}

/// Returns a page of a channel, as the operator gets it.
fn operators_channel_page() -> Response {
    let channel = Channel { channel_name: name(), address: Address::new("127.0.0.1", 22236).expect("an address") };
    let activity = Some(ChannelActivity { joined: 3, behind: 1, stored_bytes: 9_007_199_254_740_991 });
    let listed = ListedChannel { channel, position: 1, last_id: Some(41), members_only: false, activity };
    Response::ChannelPage { channels: vec![listed], next: None }
}

/// Returns a page of two connections, one of them the operator's.
fn connections() -> Response {
    let operator = ConnectionRow {
        connection: 18,
        peer: "operator".into(),
        listener: None,
        seconds: 0,
        requests: 0,
        received_bytes: 0,
        sent_bytes: 0,
        pushes: 0,
        joined: 0,
        waiting_bytes: 0,
    };
    let client = ConnectionRow {
        connection: 17,
        peer: "192.0.2.7".into(),
        listener: Some("127.0.0.1:22236".into()),
        seconds: 61,
        requests: 3,
        received_bytes: 150,
        sent_bytes: (1 << 53) - 1,
        pushes: 2,
        joined: 1,
        ..operator.clone()
    };
    Response::Connections { connections: vec![client, operator], next: Some(18) }
}

/// Returns the answer to HELLO of a server that has everything.
fn full_hello() -> Response {
    let mut hello = Hello::new(1);
    hello.features = vec!["auth".into(), "\"".into()];
    hello.encrypted = true;
    (hello.units_per_second, hello.burst, hello.retry_window) = (Some(50), Some(500), Some(3600));
    Response::Hello(hello)
}

const PUSH: &str = "MESSAGE\r\n{\"channel_name\": \"general\", \"id\": 7, \"username\": \"user1\", \"message_content\": \"\\\"hi\\\"\", \"timestamp\": \"2023-11-02T15:04:32Z\"}";

/// Returns the one frame that these bytes are, however they are cut.
fn frame<H: StartLine>(bytes: &str) -> (H, Vec<u8>) {
    check_every_cut::<H>(bytes.as_bytes(), LIMIT);
    let mut decoder = Decoder::<H>::new(LIMIT);
    decoder.feed(bytes.as_bytes());
    let Some(Item::Frame(frame)) = decoder.next_item() else { panic!("no frame: {bytes}") };
    assert_eq!(frame.span().end, bytes.len() as u64, "{bytes}");
    (frame.start_line, frame.payload.to_vec())
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    encode(&mut out);
    show::bytes(&out)
}

#[test]
fn requests_read_and_write_back_byte_for_byte() {
    for (bytes, request) in requests() {
        let (command, payload) = frame::<Command>(bytes);
        assert_eq!(command, request.command());
        assert_eq!(Request::decode(command, &payload), Ok(request.clone()), "{bytes}");
        assert_eq!(encoded(|out| request.encode(out)), show::bytes(bytes.as_bytes()));
        assert_eq!(request.validate(), Ok(()));
    }
}

#[test]
fn responses_read_and_write_back_byte_for_byte() {
    for (bytes, command, response) in responses() {
        let (status, payload) = frame::<Status>(bytes);
        assert_eq!(status, response.status(), "{bytes}");
        assert_eq!(Response::decode(command, status, &payload), Ok(response.clone()), "{bytes}");
        assert_eq!(encoded(|out| response.encode(out)), show::bytes(bytes.as_bytes()));
    }
}

#[test]
fn pushes_read_and_write_back_byte_for_byte() {
    let stored = message(7, "\"hi\"");
    let (status, payload) = frame::<Status>(PUSH);
    assert_eq!((status, StoredMessage::decode(&payload)), (Status::Push, Ok(stored.clone())));
    assert_eq!(encoded(|out| stored.encode_push(out)), show::bytes(PUSH.as_bytes()));
    let signed_in = StoredMessage { account: Some(named("ann.bot-2")), ..stored.clone() };
    let bytes = format!("{}, \"account\": \"ann.bot-2\"}}", PUSH.trim_end_matches('}'));
    assert_eq!(StoredMessage::decode(&frame::<Status>(&bytes).1), Ok(signed_in.clone()));
    assert_eq!(encoded(|out| signed_in.encode_push(out)), show::bytes(bytes.as_bytes()));
    let pushes = Pushes::new(&[stored.clone(), stored]);
    assert_eq!((pushes.len(), pushes.is_empty(), pushes.bytes()), (2, false, PUSH.repeat(2).as_bytes()));
    let none = Pushes::new([]);
    assert_eq!((none.len(), none.is_empty(), none.bytes()), (0, true, &b""[..]));
}

fn full_settings() -> Response {
    let role = |target, role, until| ListedRole { target, role, until };
    let until = Some(Timestamp::from_unix(1_698_937_472));
    Response::Settings {
        channel_name: name(),
        settings: ChannelSettings { members_only: true, slow_mode: 3600 },
        roles: vec![
            role(RoleTarget::Account(named("ann")), Role::Member, None),
            role(RoleTarget::Address([192, 0, 2, 7].into()), Role::Banned, until),
            role(RoleTarget::SenderOf(41), Role::Muted, None),
        ],
    }
}

#[test]
fn notices_read_and_write_back_byte_for_byte() {
    let user = |username: &str| User { username: named(username), account: None };
    let ann = User { account: Some(named("ann")), ..user("ann") };
    let presence = |count, joined: &[User], left: &[User]| {
        let (joined, left) = (joined.to_vec(), left.to_vec());
        Notice::Presence(Presence { channel_name: name(), count, joined, left })
    };
    let unknown = Notice::Other { notice: "weather".into(), channel_name: name() };
    for (bytes, notice) in [
        ("NOTICE\r\n{\"notice\": \"presence\", \"channel_name\": \"general\", \"count\": 0}", presence(0, &[], &[])),
        (
            "NOTICE\r\n{\"notice\": \"presence\", \"channel_name\": \"general\", \"count\": 3, \"joined\": [{\"username\": \"ann\", \"account\": \"ann\"}, {\"username\": \"bob\"}], \"left\": [{\"username\": \"\\\"\"}]}",
            presence(3, &[ann, user("bob")], &[user("\"")]),
        ),
        (
            "NOTICE\r\n{\"notice\": \"settings\", \"channel_name\": \"general\", \"members_only\": true, \"slow_mode\": 5}",
            Notice::Settings { channel_name: name(), settings: ChannelSettings { members_only: true, slow_mode: 5 } },
        ),
        (
            "NOTICE\r\n{\"notice\": \"role\", \"channel_name\": \"general\", \"role\": \"muted\", \"until\": \"2023-11-02T15:04:32Z\"}",
            Notice::Role {
                channel_name: name(),
                role: Some(Role::Muted),
                until: Some(Timestamp::from_unix(1_698_937_472)),
            },
        ),
        (
            "NOTICE\r\n{\"notice\": \"role\", \"channel_name\": \"general\", \"role\": \"none\"}",
            Notice::Role { channel_name: name(), role: None, until: None },
        ),
        ("NOTICE\r\n{\"notice\": \"weather\", \"channel_name\": \"general\"}", unknown.clone()),
    ] {
        let (status, payload) = frame::<Status>(bytes);
        assert_eq!((status, Notice::decode(&payload)), (Status::Notice, Ok(notice.clone())));
        assert_eq!(encoded(|out| notice.encode(out)), show::bytes(bytes.as_bytes()));
    }
    let more = b"{\"count\": \"many\", \"channel_name\": \"general\", \"notice\": \"weather\"}";
    assert_eq!(Notice::decode(more), Ok(unknown));
}

#[test]
fn a_presence_notice_must_have_every_field_as_it_must_be() {
    let right = "{\"notice\": \"presence\", \"channel_name\": \"general\", \"count\": 1, \"joined\": [{\"username\": \"ann\"}], \"left\": []}";
    let read = |payload: &str| Notice::decode(payload.as_bytes()).map_err(|fault| fault.kind.to_string());
    assert!(read(right).is_ok());
    for (from, to, wrong) in [
        (
            "\"general\"",
            "\"\"",
            "Field 'channel_name' must be a string of 1 to 64 characters, without control characters and without white space at its ends",
        ),
        (", \"count\": 1", "", "Missing required field 'count'"),
        ("[{\"username\": \"ann\"}]", "{\"username\": \"ann\"}", "Field 'joined' must be an array of objects"),
        ("[{\"username\": \"ann\"}]", "[\"ann\"]", "Field 'joined' must be an array of objects"),
        ("\"left\": []", "\"left\": [[]]", "Field 'left' must be an array of objects"),
        ("\"left\": []", "\"left\": [{}]", "Missing required field 'username'"),
        (
            "\"ann\"}",
            "\"ann\", \"account\": \"Ann\"}",
            "Field 'account' must be a string of 1 to 32 characters of a-z, 0-9, '.', '_' and '-', the first of them a letter or a digit",
        ),
    ] {
        assert_eq!(read(&right.replacen(from, to, 1)), Err(wrong.into()), "{to}");
    }
}

#[test]
fn an_answer_to_hello_must_have_every_field_as_it_must_be() {
    let right = "{\"protocol\": 1, \"features\": [\"a\"], \"encrypted\": false, \"max_payload\": 65536, \"burst\": 1}";
    let read = |payload: &str| {
        let read = Response::decode(Command::Hello, Status::Ok, payload.as_bytes());
        read.map_err(|fault| fault.kind.to_string())
    };
    assert!(read(right).is_ok());
    assert!(read(&right.replace("}", ", \"new\": [1, {}]}")).is_ok());
    for (from, to, wrong) in [
        ("\"protocol\": 1, ", "", "Missing required field 'protocol'"),
        (": 1, \"f", ": 0, \"f", "Field 'protocol' must be an integer from 1 to 9007199254740991"),
        (": 1, \"f", ": [\"x\"], \"f", "Field 'protocol' must be an integer from 1 to 9007199254740991"),
        ("[\"a\"]", "\"a\"", "Field 'features' must be an array of strings"),
        ("[\"a\"]", "[\"a\", 1]", "Field 'features' must be an array of strings"),
        ("[\"a\"]", "[[\"a\"]]", "Field 'features' must be an array of strings"),
        ("[\"a\"]", "[{\"a\": \"b\"}]", "Field 'features' must be an array of strings"),
        ("false", "0", "Field 'encrypted' must be true or false"),
        ("\"burst\": 1", "\"burst\": true", "Field 'burst' must be an integer from 1 to 9007199254740991"),
        ("\"burst\": 1", "\"protocol\": 1", "Field 'protocol' appears more than once"),
    ] {
        assert_eq!(read(&right.replacen(from, to, 1)), Err(wrong.into()), "{to}");
    }
}

#[test]
fn every_command_and_status_has_its_word_and_no_other() {
    let words: Vec<&str> = Command::ALL.iter().map(|command| command.name()).collect();
    let all = [
        "LIST",
        "HOST",
        "MESSAGE",
        "UNHOST",
        "JOIN",
        "LEAVE",
        "HISTORY",
        "HELLO",
        "AUTH",
        "WHO",
        "CHANNELS",
        "DELETE",
        "ROLE",
        "SETTINGS",
        "CONNECTIONS",
        "DISCONNECT",
    ];
    assert_eq!(words, all);
    for command in Command::ALL {
        assert_eq!(Command::parse(command.name().as_bytes()), Some(*command));
        assert_eq!(command.takes_payload(), *command != Command::List);
        assert_eq!(Command::parse(command.name().to_lowercase().as_bytes()), None);
    }
    assert_eq!(Command::parse(b"OK"), None);
    assert_eq!(Status::parse(b"JOIN"), None);
}

/// The recorded clients of the first release read five members of a push, and ignore those that they do not know.
#[test]
fn to_a_client_that_knows_no_deletions_their_pushes_are_plain_messages() {
    let push = |message: &StoredMessage| {
        let mut bytes = Vec::new();
        message.encode_push(&mut bytes);
        String::from_utf8(bytes).unwrap()
    };
    let at = Timestamp::from_unix(1_698_937_472);
    for (message, text, member) in [
        (message(7, "a").tombstone(), "(deleted)", ", \"deleted\": true}"),
        (StoredMessage::record(name(), 7, named("user1"), 3, at), "Deleted message 3", ", \"deletes\": 3}"),
    ] {
        let pushed = push(&message);
        let known = pushed.strip_suffix(member).unwrap();
        assert_eq!(format!("{known}}}"), push(&self::message(7, text)));
        let payload = pushed.strip_prefix("MESSAGE\r\n").unwrap();
        assert_eq!(StoredMessage::decode(payload.as_bytes()), Ok(message));
    }
}

//! Faults inside a payload: their order, their position and their text.

#[path = "payload_errors/channels.rs"]
mod channels;

use std::fmt::Write as _;

use chanwire_core::wire::{
    Command, PayloadFault, PayloadFaultKind, Request, Response, StartLine as _, Status, StoredMessage,
};
use chanwire_tests::{
    generate::{self, times},
    respell::Json,
    show,
};
use proptest::prelude::*;

/// Shows each payload with its decoded value or error.
fn table<T: show::Shown>(payloads: &[&[u8]], read: impl Fn(&[u8]) -> Result<T, PayloadFault>) -> String {
    let mut out = String::new();
    for payload in payloads {
        let _ = writeln!(out, "{}\n    {}", show::bytes(payload), show::decoded(&read(payload)));
    }
    out
}

fn texts<'a, T: show::Shown>(
    payloads: impl IntoIterator<Item = &'a String>,
    read: impl Fn(&[u8]) -> Result<T, PayloadFault>,
) -> String {
    table(&payloads.into_iter().map(String::as_bytes).collect::<Vec<_>>(), read)
}

fn host(payload: &[u8]) -> Result<Request, PayloadFault> {
    Request::decode(Command::Host, payload)
}

fn message(payload: &[u8]) -> Result<Request, PayloadFault> {
    Request::decode(Command::Message, payload)
}

#[test]
fn auth_has_exactly_one_of_its_forms() {
    let auth = |payload: &[u8]| Request::decode(Command::Auth, payload).map(|request| format!("{request:?}"));
    let fault = |payload: &str| match auth(payload.as_bytes()) {
        Ok(request) => request,
        Err(fault) => fault.kind.to_string(),
    };
    for (payload, expected) in [
        (r#"{"account": "ann", "password": "x"}"#, "Auth(Password { account: \"ann\", password: Secret })"),
        (r#"{"account": null, "password": null, "token": "x"}"#, "Auth(Token(Secret))"),
        ("{}", "Missing required field 'account'"),
        (r#"{"account": "ann"}"#, "Missing required field 'password'"),
        (r#"{"password": "x"}"#, "Missing required field 'account'"),
        (r#"{"account": "ann", "token": "x"}"#, "Field 'token' cannot be given together with 'account'"),
        (r#"{"token": "x", "password": "x"}"#, "Field 'token' cannot be given together with 'password'"),
        (r#"{"account": "ann", "password": ""}"#, "Field 'password' must be a string of 1 to 1024 bytes of UTF-8"),
        (r#"{"token": 7}"#, "Field 'token' must be a string of 1 to 1024 bytes of UTF-8"),
        (
            r#"{"account": "Ann", "password": 1}"#,
            "Field 'account' must be a string of 1 to 32 characters of a-z, 0-9, '.', '_' and '-', the first of them a \
             letter or a digit",
        ),
    ] {
        assert_eq!(fault(payload), expected, "{payload}");
    }
}

#[test]
fn malformed_json_is_reported_with_its_position() {
    insta::assert_snapshot!(table(
        &[
            br#"{"a" 1}"#,
            br#"{"a": }"#,
            br#"{"a": 1 "b": 2}"#,
            br#"{"a": 1,}"#,
            br#"{,}"#,
            br#"{a: 1}"#,
            br#"{'a': 1}"#,
            br#"{"a": 'b'}"#,
            br#"{"a": [1 2]}"#,
            br#"{"a": [1,]}"#,
            br#"{"a": 01}"#,
            br#"{"a": +1}"#,
            br#"{"a": .5}"#,
            br#"{"a": 1.}"#,
            br#"{"a": -}"#,
            br#"{"a": 1e}"#,
            br#"{"a": 0x10}"#,
            br#"{"a": NaN}"#,
            br#"{"a": nul}"#,
            br#"{"a": True}"#,
            br#"{"a": tru }"#,
            br#"{"a": "\x"}"#,
            br#"{"a": "\u12G4"}"#,
            br#"{"a": "\u123"}"#,
            b"{\"a\": \"\t\"}",
            b"{\"a\": \"\n\"}",
            b"{\"a\": \"\0\"}",
            b"{\"a\": \x0c1}",
            b"{\"a\": 1\xc2\xa0}",
            b"{\"a\": 1 // no comment\n}",
            b"\xef\xbb\xbf{}",
        ],
        host
    ));
}

#[test]
fn invalid_utf_8_is_reported_at_its_first_byte() {
    insta::assert_snapshot!(table(
        &[
            b"{\"a\": \"\xff\"}",
            b"{\"a\": \"ok\x80\"}",
            b"{\"a\": \"\xc3\"}",
            b"{\"a\": \"\xc3\xa9\xc3\x28\"}",
            b"{\"a\": \"\xc0\xaf\"}",
            b"{\"a\": \"\xe0\x80\xaf\"}",
            b"{\"a\": \"\xed\xa0\x80\"}",
            b"{\"a\": \"\xf4\x90\x80\x80\"}",
            b"{\"a\": \"\xf0\x9f\x98\"}",
            b"{\"\xff\": 1}",
            b"{\"username\": \"\xff\", \"username\": 1}",
            b"{\xff: 1}",
            b"{\"a\": \"\xff\" oops}",
            b"{\"a\" oops \"\xff\"}",
            b"{\"a\": \"\xff\\x\"}",
        ],
        message
    ));
}

#[test]
fn lone_surrogates_are_refused_wherever_they_stand() {
    insta::assert_snapshot!(table(
        &[
            br#"{"username": "u", "message_content": "\ud83d\ude00"}"#,
            br#"{"username": "u", "message_content": "\uD83D\uDE00"}"#,
            br#"{"username": "u", "message_content": "\ud83d"}"#,
            br#"{"username": "u", "message_content": "\ude00"}"#,
            br#"{"username": "u", "message_content": "\ude00\ud83d"}"#,
            br#"{"username": "u", "message_content": "\ud83dx"}"#,
            br#"{"username": "u", "message_content": "\ud83d\n"}"#,
            br#"{"username": "u", "message_content": "\ud83d\u0041"}"#,
            br#"{"username": "u", "message_content": "\ud83d\ud83d\ude00"}"#,
            br#"{"username": "u", "message_content": "\ud83d\\ude00"}"#,
            br#"{"username": "u", "message_content": "c", "unknown": "\udfff"}"#,
            br#"{"username": "u", "message_content": "c", "unknown": [{"a": ["\ud800"]}]}"#,
            br#"{"username": "u", "message_content": "c", "\ud800": 1}"#,
            br#"{"username": "u", "message_content": "\\ud800 is no escape"}"#,
        ],
        message
    ));
}

#[test]
fn a_repeated_field_is_reported_after_invalid_json() {
    insta::assert_snapshot!(table(
        &[
            br#"{"username": "a", "username": "a", "message_content": "c"}"#,
            br#"{"username": "a", "message_content": "c", "\u0075sername": "b"}"#,
            br#"{"\u0075sername": "a", "user\u006eame": "b", "message_content": "c"}"#,
            br#"{"username": 1, "username": 2}"#,
            br#"{"username": null, "username": null}"#,
            br#"{"username": {}, "username": []}"#,
            br#"{"channel_name": null, "channel_name": null, "username": "u", "message_content": "c"}"#,
            br#"{"message_content": 1, "message_content": 2, "username": 3, "username": 4}"#,
            br#"{"username": 1, "username": 2, "username": 3}"#,
            br#"{"username": 1, "username": 2, oops}"#,
            br#"{"x": 1, "x": 2, "\u0078": 3, "username": "u", "message_content": "c"}"#,
            br#"{"username": "u", "message_content": "c", "Username": "v", "username ": "w"}"#,
            br#"{"username": "u", "message_content": "c", "x": {"username": 1, "username": 2}}"#,
            br#"{"username": "u", "message_content": "c", "x": [{"username": 1}], "peer_server_ip": 1, "peer_server_ip": 1}"#,
        ],
        message
    ));
}

#[test]
fn fields_are_checked_in_protocol_order_each_for_presence_first() {
    insta::assert_snapshot!(table(
        &[
            br#"{}"#,
            br#"{"channel_name": 1}"#,
            br#"{"peer_server_ip": 1, "peer_server_port": 0}"#,
            br#"{"peer_server_port": 0, "peer_server_ip": 1, "channel_name": 1}"#,
            br#"{"channel_name": "a"}"#,
            br#"{"channel_name": "a", "peer_server_port": 0}"#,
            br#"{"channel_name": "a", "peer_server_ip": "nowhere!"}"#,
            br#"{"channel_name": "a", "peer_server_ip": "::1"}"#,
            br#"{"channel_name": "a", "peer_server_ip": "::1", "peer_server_port": 0}"#,
            br#"{"channel_name": "a", "peer_server_ip": "::1", "peer_server_port": 1}"#,
            br#"{"channel_name": null, "peer_server_ip": "::1", "peer_server_port": 1}"#,
            br#"{"channel_name": "a", "peer_server_ip": null, "peer_server_port": 1}"#,
            br#"{"channel_name": "a", "peer_server_ip": "::1", "peer_server_port": null}"#,
        ],
        host
    ));
}

#[test]
fn null_in_an_optional_field_is_its_absence() {
    insta::assert_snapshot!(table(
        &[
            br#"{}"#,
            br#"{"channel_name": 1}"#,
            br#"{"username": "u"}"#,
            br#"{"username": null, "message_content": "c"}"#,
            br#"{"username": "u", "message_content": null}"#,
            br#"{"username": "u", "message_content": "c"}"#,
            br#"{"username": "u", "message_content": "c", "channel_name": null}"#,
            br#"{"username": "u", "message_content": "c", "channel_name": "general"}"#,
            br#"{"username": "u", "message_content": "c", "channel_name": ""}"#,
            br#"{"username": "u", "message_content": "c", "channel_name": false}"#,
            br#"{"channel_name": 1, "message_content": "", "username": "u"}"#,
        ],
        message
    ));
}

#[test]
fn names_and_contents_have_their_bounds() {
    let names = [
        r#""""#.into(),
        r#"" ""#.into(),
        r#"" a""#.into(),
        r#""a ""#.into(),
        r#""a b""#.into(),
        r#""a\u00a0""#.into(),
        r#""\u2028a""#.into(),
        r#""a\tb""#.into(),
        r#""a\u007fb""#.into(),
        r#""a\u0085b""#.into(),
        r#""\u0000""#.into(),
        r#""\u200b""#.into(),
        r#""\ufeffa""#.into(),
        format!("\"{}\"", "x".repeat(64)),
        format!("\"{}\"", "x".repeat(65)),
        "1".into(),
        "true".into(),
        "{}".into(),
        "[]".into(),
        "[\"a\"]".into(),
    ];
    let names = names.map(|name| format!("{{\"username\": {name}, \"message_content\": \" \\t\\u0000\"}}"));
    let contents = [r#""""#, "1", "[]", "{}", r#""\u0000""#, r#"" ""#]
        .map(|content| format!("{{\"username\": \"u\", \"message_content\": {content}}}"));
    insta::assert_snapshot!(texts(names.iter().chain(&contents), message));
}

#[test]
fn ids_of_messages_have_their_bounds() {
    let decode = |id: &str| {
        let payload = format!("{{\"username\": \"u\", \"message_content\": \"c\", \"client_message_id\": {id}}}");
        Request::decode(Command::Message, payload.as_bytes())
    };
    let longest = format!("\"{}\"", "x".repeat(64));
    for id in ["\"0123456789abcdef\"", "\"AZaz09._:-......\"", "\"\\u0030123456789abcdef\"", &longest, "null"] {
        assert!(decode(id).is_ok(), "{id}");
    }
    let too_long = format!("\"{}\"", "x".repeat(65));
    let fault = "Invalid payload: Field 'client_message_id' must be a string of 16 to 64 characters of A-Z, a-z, 0-9, '.', \
                 '_', ':' and '-'";
    for id in ["\"0\"", "\"0123456789abcde\"", "\"0123456789abcde f\"", "\"0123456789abcdé\"", &too_long, "1", "[]"] {
        let found = decode(id).unwrap_err();
        assert_eq!((found.to_string(), found.at), (fault.to_owned(), Some(63)), "{id}");
    }
}

#[test]
fn hosts_and_ports_have_their_bounds() {
    let hosts = [
        "127.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
        "224.0.0.1",
        "239.255.255.255",
        "127.1",
        "127.0.0.01",
        "1.2.3.4.5",
        "::1",
        "::",
        "ff02::1",
        "::ffff:1.2.3.4",
        "::ffff:0.0.0.0",
        "::ffff:224.0.0.1",
        "fe80::1",
        "fe80::1%eth0",
        "[::1]",
        "localhost",
        "a.example",
        "a.example.",
        ".a",
        "a..b",
        "-a",
        "a-",
        "a_b",
        "1a",
        "a.1",
        "",
        " ",
        "a b",
        "127.0.0.1:80",
        "\u{e9}",
        "a/b",
    ]
    .map(|host| format!("{{\"channel_name\": \"a\", \"peer_server_ip\": \"{host}\", \"peer_server_port\": 1}}"));
    let ports = [
        "1",
        "65535",
        "0",
        "65536",
        "-1",
        "-0",
        "1.0",
        "1e2",
        "22236.5",
        "1E0",
        "\"1\"",
        "true",
        "[1]",
        "{}",
        "18446744073709551617",
        "4294967297",
    ]
    .map(|port| format!("{{\"channel_name\": \"a\", \"peer_server_ip\": \"::1\", \"peer_server_port\": {port}}}"));
    insta::assert_snapshot!(texts(hosts.iter().chain(&ports), host));
}

#[test]
fn responses_are_checked_like_requests() {
    let list = |payload: &[u8]| Response::decode(Command::List, Status::Ok, payload);
    let lists = table(
        &[
            br#"{}"#,
            br#"{"channels": []}"#,
            br#"{"channels": null}"#,
            br#"{"channels": {}}"#,
            br#"{"channels": [1]}"#,
            br#"{"channels": [[]]}"#,
            br#"{"channels": [{}]}"#,
            br#"{"channels": [], "channels": []}"#,
            br#"{"channels": [{"channel_name": "a", "peer_server_ip": "::1", "peer_server_port": 0}]}"#,
            br#"{"channels": [{"channel_name": "a", "peer_server_ip": "::1", "peer_server_port": 1, "x": [{}, []]}, {"channel_name": ""}]}"#,
            br#"{"channels": [{"channel_name": "a", "channel_name": "b", "peer_server_ip": "::1", "peer_server_port": 1}]}"#,
            br#"{"next": [{}], "channels": [{"peer_server_port": 1, "peer_server_ip": "::1", "channel_name": "a"}], "more": 1}"#,
        ],
        list,
    );
    let hosted = table(
        &[br#"{}"#, br#"{"status": "success", "channel_name": 1}"#, br#"{"channel_name": "a", "status": "success"}"#],
        |payload| Response::decode(Command::Host, Status::Ok, payload),
    );
    let delivered = table(
        &[
            br#"{"status": "delivered"}"#,
            br#"{"status": "delivered", "timestamp": 1698937472}"#,
            br#"{"status": "delivered", "timestamp": "2023-11-02T15:04:32+00:00"}"#,
            br#"{"status": "delivered", "timestamp": "2023-11-02T15:04:32.5Z"}"#,
            br#"{"status": "delivered", "timestamp": "2023-11-02 15:04:32Z"}"#,
            br#"{"status": "delivered", "timestamp": "2023-02-29T00:00:00Z"}"#,
            br#"{"status": "delivered", "timestamp": "2024-02-29T23:59:59Z"}"#,
        ],
        |payload| Response::decode(Command::Message, Status::Ok, payload),
    );
    let errors = table(
        &[
            br#"{}"#,
            br#"{"details": "d"}"#,
            br#"{"error": "e"}"#,
            br#"{"error": null, "details": "d"}"#,
            br#"{"error": "", "details": ""}"#,
        ],
        |payload| Response::decode(Command::List, Status::ServerError, payload),
    );
    let joined = table(
        &[
            br#"{"status": "joined", "channel_name": "a"}"#,
            br#"{"status": "joined", "channel_name": "a", "first_id": 0, "last_id": 0}"#,
            br#"{"status": "joined", "channel_name": "a", "first_id": 1}"#,
            br#"{"status": "joined", "channel_name": "a", "first_id": 1, "last_id": null}"#,
            br#"{"last_id": 0, "first_id": 1, "channel_name": "a"}"#,
        ],
        |payload| Response::decode(Command::Join, Status::Ok, payload),
    );
    let history = table(
        &[
            br#"{"messages": []}"#,
            br#"{"channel_name": "a"}"#,
            br#"{"channel_name": "a", "messages": [{}]}"#,
            br#"{"channel_name": "a", "messages": [{"channel_name": "a", "id": 0}]}"#,
            br#"{"messages": [{"channel_name": "a", "id": 1, "username": "u", "message_content": "c", "timestamp": "2023-11-02T15:04:32Z", "x": []}], "channel_name": "a"}"#,
        ],
        |payload| Response::decode(Command::History, Status::Ok, payload),
    );
    insta::assert_snapshot!([lists, hosted, delivered, errors, joined, history].join("\n"));
}

#[test]
fn pushed_messages_are_checked_like_requests() {
    let push = |id: &str| {
        format!(
            "{{\"channel_name\": \"a\", \"id\": {id}, \"username\": \"u\", \"message_content\": \"c\", \"timestamp\": \"2023-11-02T15:04:32Z\"}}"
        )
    };
    let ids = ["1", "0", "-1", "9007199254740991", "9007199254740992", "1.0", "\"1\"", "null"].map(push);
    let others: [String; 3] = [
        r#"{"channel_name": "a"}"#.into(),
        r#"{"channel_name": "a", "id": 1, "username": "u", "message_content": "", "timestamp": 1}"#.into(),
        r#"{"channel_name": "a", "id": 1, "username": "u", "message_content": "c", "timestamp": 1}"#.into(),
    ];
    insta::assert_snapshot!(texts(ids.iter().chain(&others), StoredMessage::decode));
}

/// The content of one field of a generated payload.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Is {
    Absent,
    Null,
    Wrong,
    Right,
    Twice,
}

/// A field's name, a right value, a wrong one, and whether it is required.
type Field = (&'static str, &'static str, &'static str, bool);

/// The fields of some commands, in the order in which the protocol checks them.
const TABLES: [(Command, [Field; 3]); 4] = [
    (
        Command::Host,
        [
            ("channel_name", "\"a\"", "\"\"", true),
            ("peer_server_ip", "\"::1\"", "\"::\"", true),
            ("peer_server_port", "1", "1.0", true),
        ],
    ),
    (
        Command::Message,
        [
            ("username", "\"u\"", "\" u\"", true),
            ("message_content", "\" \"", "\"\"", true),
            ("channel_name", "\"a\"", "[]", false),
        ],
    ),
    (
        Command::Join,
        [
            ("channel_name", "\"a\"", "\"\"", true),
            ("after", "0", "-1", false),
            // A value that is valid alone conflicts with the one before it.
            ("history", "1000", "1001", false),
        ],
    ),
    (
        Command::History,
        [("channel_name", "\"a\"", "7", true), ("before", "1", "0", false), ("limit", "1000", "0", false)],
    ),
];

proptest! {
    #![proptest_config(times(2000))]

    /// Compares the reported error with the one that the protocol's order of checks predicts.
    #[test]
    fn the_first_error_is_reported(
        table in 0..TABLES.len(),
        states in proptest::array::uniform3(proptest::sample::select(
            vec![Is::Absent, Is::Null, Is::Wrong, Is::Right, Is::Right, Is::Right, Is::Twice])),
        order in Just([0, 1, 2, 3, 4, 5, 6, 7, 8]).prop_shuffle(),
        unknown in "[a-z]{1,3}",
        broken in proptest::bool::weighted(0.1),
        choices in generate::choices(),
    ) {
        let (command, fields) = TABLES[table];
        let mut members = Vec::new();
        for ((name, right, wrong, _), state) in fields.into_iter().zip(states) {
            let mut add = |value: &str| members.push((String::from(name), Json::Raw(value.into())));
            match state {
                Is::Absent => {}
                Is::Null => add("null"),
                Is::Wrong => add(wrong),
                Is::Right => add(right),
                Is::Twice => {
                    add(right);
                    add(wrong);
                }
            }
        }
        members.extend([(unknown.clone(), Json::Raw("1".into())), (unknown, Json::Raw("[\"x\"]".into()))]);
        if broken {
            members.push(("z".into(), Json::Raw("nil".into())));
        }
        let mut keyed: Vec<_> = order.into_iter().zip(members).collect();
        keyed.sort_by_key(|(key, _)| *key);
        let members: Vec<_> = keyed.into_iter().map(|(_, member)| member).collect();
        let payload = Json::Object(members.clone()).spell(&choices);

        let repeated = members.iter().enumerate().find_map(|(index, (name, _))| {
            let known = fields.iter().find(|(field, ..)| field == name)?;
            members[..index].iter().any(|(before, _)| before == name).then_some(known.0)
        });
        let first_field = fields.into_iter().zip(states).find_map(|((name, .., required), state)| match state {
            Is::Absent if required => Some(format!("Missing required field '{name}'")),
            Is::Null if required => Some(format!("Field '{name}' must be ")),
            Is::Wrong => Some(format!("Field '{name}' must be ")),
            _ => None,
        });
        let is_conflict = command == Command::Join && states[1] == Is::Right && states[2] == Is::Right;
        let conflict = is_conflict.then(|| "Field 'history' cannot be given together with 'after'".into());
        let first_field = first_field.or(conflict);
        let expected = if broken {
            Some(format!("Malformed JSON at byte {}: ", payload.find("nil").unwrap() + 1))
        } else if let Some(name) = repeated {
            Some(format!("Field '{name}' appears more than once"))
        } else {
            first_field
        };
        let read = Request::decode(command, payload.as_bytes());
        match (expected, &read) {
            (None, Ok(_)) => {}
            (Some(expected), Err(fault)) => {
                let details = fault.reply().details;
                prop_assert!(details.starts_with(&expected), "{details}, not {expected}: {payload}");
                if let (Some(at), PayloadFaultKind::Wrong(field)) = (fault.at, fault.kind) {
                    // The reported position is that of the wrong value, after its name and colon.
                    let (_, right, wrong, _) = fields.into_iter().find(|(name, ..)| *name == field.name).unwrap();
                    let value = &payload[at..];
                    prop_assert!([right, wrong, "null"].iter().any(|spelled| value.starts_with(spelled)), "{value}");
                }
                if let (Some(at), PayloadFaultKind::Duplicate(_)) = (fault.at, fault.kind) {
                    prop_assert!(payload[at..].starts_with('"'), "no name at byte {at}: {payload}");
                }
            }
            (expected, _) => prop_assert!(false, "{read:?}, not {expected:?}: {payload}"),
        }
    }
}

//! Values of the fields: names, hosts, ports, identifiers and timestamps.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chanwire_core::wire::{Address, ChannelName, Command, NotAName, Request, StoredMessage, Timestamp, Username};
use chanwire_tests::generate::{self, times};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

/// Returns whether a server takes this as a user's name, and, which must be the same, as a channel's.
fn is_name(name: &str) -> bool {
    let read = [
        (Command::Message, json!({"username": name, "message_content": "c"})),
        (Command::Message, json!({"username": "u", "message_content": "c", "channel_name": name})),
        (Command::Host, json!({"channel_name": name, "peer_server_ip": "::1", "peer_server_port": 1})),
    ];
    let [user, channel, hosted] = read.map(|(command, payload)| {
        let read = Request::decode(command, payload.to_string().as_bytes()).map(drop);
        read.map_err(|fault| fault.kind.to_string())
    });
    let kind = |error: NotAName| error.to_string();
    assert_eq!(user, Username::try_from(name).map(drop).map_err(kind), "{name:?}");
    assert_eq!(channel, ChannelName::try_from(name).map(drop).map_err(kind), "{name:?}");
    assert_eq!((user.is_ok(), channel.is_ok()), (channel.is_ok(), hosted.is_ok()), "{name:?}");
    user.is_ok()
}

/// Unicode's property White_Space, in full.
const WHITE_SPACE: [(char, char); 10] = [
    ('\t', '\r'),
    (' ', ' '),
    ('\u{85}', '\u{85}'),
    ('\u{a0}', '\u{a0}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{2000}', '\u{200a}'),
    ('\u{2028}', '\u{2029}'),
    ('\u{202f}', '\u{202f}'),
    ('\u{205f}', '\u{205f}'),
    ('\u{3000}', '\u{3000}'),
];

fn is_white_space(char: char) -> bool {
    WHITE_SPACE.iter().any(|(first, last)| (*first..=*last).contains(&char))
}

fn is_control(char: char) -> bool {
    matches!(char, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}')
}

fn check_char_in_names(char: char) {
    assert_eq!(is_name(&format!("a{char}b")), !is_control(char), "U+{:04X} inside", char as u32);
    let at_end = !is_control(char) && !is_white_space(char);
    assert_eq!(is_name(&format!("{char}b")), at_end, "U+{:04X} first", char as u32);
    assert_eq!(is_name(&format!("a{char}")), at_end, "U+{:04X} last", char as u32);
    assert_eq!(is_name(&char.to_string()), at_end, "U+{:04X} alone", char as u32);
}

#[test]
fn names_have_no_control_and_no_white_space_at_their_ends() {
    let around = |char: char| [char as u32 - 1, char as u32, char as u32 + 1];
    let edges = WHITE_SPACE.iter().skip(1).flat_map(|(first, last)| around(*first).into_iter().chain(around(*last)));
    for code in (0..0x180).chain(edges) {
        check_char_in_names(char::from_u32(code).unwrap());
    }
}

proptest! {
    #![proptest_config(times(300))]

    #[test]
    fn any_other_character_may_stand_anywhere_in_a_name(char in any::<char>()) {
        check_char_in_names(char);
    }

    #[test]
    fn names_have_1_to_64_characters_of_any_length(chars in vec(prop_oneof!["[a-z]", "[é-ž]", "[一-十]", "[😀-😎]"], 0..70)) {
        prop_assert_eq!(is_name(&chars.concat()), (1..=64).contains(&chars.len()));
    }
}

/// Returns whether this is a host, by the protocol's words: an address, neither unspecified nor multicast, or an RFC
/// 1123 name.
fn is_host(text: &str) -> bool {
    if let Ok(v4) = text.parse::<Ipv4Addr>() {
        let [first, ..] = v4.octets();
        return v4 != Ipv4Addr::new(0, 0, 0, 0) && !(224..240).contains(&first);
    }
    if let Ok(v6) = text.parse::<Ipv6Addr>() {
        return match v6.to_ipv4_mapped() {
            Some(v4) => is_host(&v4.to_string()),
            None => v6 != Ipv6Addr::UNSPECIFIED && v6.octets()[0] != 0xff,
        };
    }
    let labels: Vec<&str> = text.split('.').collect();
    let last_is_number = labels.last().unwrap().chars().all(|char| char.is_ascii_digit());
    let right = |label: &&str| {
        !label.is_empty()
            && label.len() < 64
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|char| matches!(char, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-'))
    };
    text.len() < 254 && labels.iter().all(right) && !last_is_number
}

fn check_host(text: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(Address::new(text, 1).is_some(), is_host(text), "{:?}", text);
    let payload = json!({"channel_name": "a", "peer_server_ip": text, "peer_server_port": 1}).to_string();
    let read = Request::decode(Command::Host, payload.as_bytes());
    prop_assert_eq!(read.is_ok(), is_host(text), "{:?}", read);
    Ok(())
}

/// Generates hosts, and texts that differ little from them.
fn near_host() -> impl Strategy<Value = String> {
    prop_oneof![
        generate::host(),
        any::<Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<Ipv6Addr>().prop_map(|ip| ip.to_string()),
        any::<Ipv4Addr>().prop_map(|ip| ip.to_ipv6_mapped().to_string()),
        "[0-9]{1,3}(\\.[0-9]{1,3}){0,4}",
        "[a-z0-9.:_%-]{0,12}",
        "([a-z0-9-]{1,3}\\.){0,3}[a-z0-9]{60,66}",
        vec("[a-z]{50,63}", 3..6).prop_map(|labels| labels.join(".")),
        generate::text(0..4),
        ("(::1|fe80::1|127\\.0\\.0\\.1|\\[::1\\]|localhost)", "(%eth0|%1|:80|/8| |\\.|)")
            .prop_map(|(host, tail)| host + &tail),
    ]
}

proptest! {
    #![proptest_config(times(1500))]

    #[test]
    fn hosts_are_addresses_and_rfc_1123_names(host in near_host()) {
        check_host(&host)?;
    }

    #[test]
    fn an_address_is_listed_as_it_was_spelled(host in generate::host(), port in 1..=u16::MAX) {
        let address = Address::new(&*host, port).unwrap();
        prop_assert_eq!((address.host(), address.port()), (&*host, port));
        let shown = address.to_string();
        let bracketed = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        prop_assert_eq!(shown, bracketed);
        prop_assert_eq!(Address::new(host, 0), None);
    }

    #[test]
    fn addresses_compare_parsed_and_symmetrically(
        a in generate::host(), b in generate::host(), ip in any::<Ipv4Addr>()
    ) {
        let address = |host: &str| Address::new(host, 1).unwrap();
        let (one, other) = (address(&a), address(&b));
        prop_assert!(one.same_place(&one) && other.same_place(&other));
        prop_assert_eq!(one.same_place(&other), other.same_place(&one), "{} {}", a, b);
        if a.parse::<IpAddr>().is_err() {
            prop_assert!(one.same_place(&address(&a.to_uppercase())));
        }
        prop_assert!(!one.same_place(&Address::new(a, 2).unwrap()));
        // A mapped address equals its IPv4 address.
        let mapped = ip.to_ipv6_mapped();
        if let (Some(plain), Some(worn)) = (Address::from_ip(ip.into(), 1), Address::from_ip(mapped.into(), 1)) {
            prop_assert!(plain.same_place(&worn) && plain.is_at(mapped.into()) && worn.is_at(ip.into()));
            prop_assert!(plain.is_at(ip.into()) && worn.is_at(mapped.into()));
        }
    }
}

#[test]
fn localhost_is_both_loopback_addresses_and_a_mapped_one() {
    for name in ["localhost", "LocalHost"] {
        let address = Address::new(name, 1).unwrap();
        for ip in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(address.is_at(ip.parse().unwrap()), "{name} is at {ip}");
            assert!(address.same_place(&Address::new(ip, 1).unwrap()), "{name} is {ip}");
        }
        for ip in ["127.0.0.2", "::2", "10.0.0.1"] {
            assert!(!address.is_at(ip.parse().unwrap()), "{name} is not at {ip}");
        }
    }
    assert!(!Address::new("localhost.example", 1).unwrap().is_at("::1".parse().unwrap()));
}

/// Generates integers, and texts that are none: with a fraction, an exponent, or no number at all.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        (-2_i64..70_000).prop_map(|number| number.to_string()),
        ((1_i64 << 53) - 3..(1 << 53) + 3).prop_map(|number| number.to_string()),
        "[1-9][0-9]{0,30}",
        "-?(0|[1-9][0-9]{0,4})(\\.[0-9]{1,3}|[eE][+-]?[0-9]{1,2}|)",
        any::<f64>().prop_filter("JSON", |number| number.is_finite()).prop_map(|number| json!(number).to_string()),
        "(true|null|\"1\"|\\[1\\]|\\{\\})",
    ]
}

/// Returns the integer that a text spells without fraction and exponent.
fn integer(spelled: &str) -> Option<u128> {
    spelled.bytes().all(|byte| byte.is_ascii_digit()).then(|| spelled.parse().ok()).flatten()
}

proptest! {
    #![proptest_config(times(2000))]

    #[test]
    fn ports_are_integers_from_1_to_65535(spelled in number()) {
        let payload = format!("{{\"channel_name\": \"a\", \"peer_server_ip\": \"::1\", \"peer_server_port\": {spelled}}}");
        let expected = integer(&spelled).filter(|port| (1..=65_535).contains(port));
        match (Request::decode(Command::Host, payload.as_bytes()), expected) {
            (Ok(Request::Host(host)), Some(port)) => prop_assert_eq!(u128::from(host.channel.address.port()), port),
            (Err(_), None) => {}
            (read, _) => prop_assert!(false, "{read:?} of {spelled}"),
        }
    }

    #[test]
    fn identifiers_are_integers_from_1_below_2_to_the_53(spelled in number()) {
        let payload = format!("{{\"channel_name\": \"a\", \"id\": {spelled}, \"username\": \"u\", \"message_content\": \"c\", \"timestamp\": \"2023-11-02T15:04:32Z\"}}");
        let expected = integer(&spelled).filter(|id| (1..1 << 53).contains(id));
        match (StoredMessage::decode(payload.as_bytes()), expected) {
            (Ok(message), Some(id)) => prop_assert_eq!(u128::from(message.id), id),
            (Err(_), None) => {}
            (read, _) => prop_assert!(false, "{read:?} of {spelled}"),
        }
    }

    #[test]
    fn moments_read_back_and_compare_as_they_are_spelled(one in generate::timestamp(), other in generate::timestamp()) {
        let (a, b) = (one.to_string(), other.to_string());
        prop_assert_eq!((a.len(), a.parse()), (20, Ok(one)));
        prop_assert_eq!(one.cmp(&other), a.cmp(&b));
        prop_assert_eq!(Timestamp::from_unix(one.as_unix()), one);
    }

    #[test]
    fn only_the_protocol_s_form_of_a_moment_is_read(text in prop_oneof![
        "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]Z",
        "20[0-9]{2}-0[0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9])?(Z|z|\\+00:00|)",
        generate::text(0..22),
    ]) {
        if let Ok(read) = text.parse::<Timestamp>() {
            prop_assert_eq!(read.to_string(), text);
        } else {
            prop_assert!(!is_moment(&text), "{text} is a moment");
        }
    }

    #[test]
    fn a_content_is_any_string_but_the_empty_one(value in prop_oneof![
        generate::text(0..3).prop_map(Value::from), Just(json!(null)), Just(json!(1)), Just(json!([])), Just(json!({})),
    ]) {
        let payload = json!({"username": "u", "message_content": value}).to_string();
        let right = value.as_str().is_some_and(|text| !text.is_empty());
        prop_assert_eq!(Request::decode(Command::Message, payload.as_bytes()).is_ok(), right, "{}", value);
    }
}

/// Returns whether a text is a moment of the Gregorian calendar in the protocol's form.
fn is_moment(text: &str) -> bool {
    let form = b"0000-00-00T00:00:00Z";
    let formed = text.len() == form.len()
        && text.bytes().zip(form).all(|(byte, form)| byte == *form || *form == b'0' && byte.is_ascii_digit());
    if !formed {
        return false;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<u32>().unwrap();
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let leap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0;
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day) && number(11, 13) < 24 && number(14, 16) < 60 && number(17, 19) < 60
}

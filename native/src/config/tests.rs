//! Tests of the parsers.

use super::*;

fn hosted(text: &str) -> Result<(String, String, String), String> {
    let Hosted { channel, bind } = text.parse()?;
    Ok((channel.channel_name.into(), channel.address.to_string(), bind.to_string()))
}

#[test]
fn a_hosted_channel_has_a_name_an_address_and_a_place_to_listen() {
    let three = |a: &str, b: &str, c: &str| Ok((a.into(), b.into(), c.into()));
    assert_eq!(hosted("general=192.0.2.7:22240"), three("general", "192.0.2.7:22240", "192.0.2.7:22240"));
    assert_eq!(hosted("a=b=localhost:1"), three("a=b", "localhost:1", "127.0.0.1:1"));
    assert_eq!(hosted("a@b=[::1]:1@[::]:2"), three("a@b", "[::1]:1", "[::]:2"));
    assert_eq!(hosted("g=chat.example:1@0.0.0.0:2"), three("g", "chat.example:1", "0.0.0.0:2"));
}

#[test]
fn an_invalid_hosted_channel_has_a_specific_error() {
    for (text, words) in [
        ("general", "expected NAME=ADDR"),
        ("general=1.2.3.4", "expected HOST:PORT"),
        ("general=chat.example:1", "say where to listen"),
        ("general=1.2.3.4:1@x", "after the @"),
        ("=1.2.3.4:1", "Field 'channel_name' must be"),
    ] {
        let error = hosted(text).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn times_and_sizes_have_units() {
    for (text, seconds) in [("1s", 1), ("90m", 5400), ("12h", 43_200), ("30d", 2_592_000)] {
        assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
    }
    for (text, count) in [("1", 1), ("2K", 2048), ("3M", 3 << 20), ("1G", 1 << 30), ("2T", 2 << 40)] {
        assert_eq!(bytes(text), Ok(Size(Some(count))), "{text}");
    }
    assert_eq!(bytes("unlimited"), Ok(Size(None)));
    for text in ["", "0s", "5", "d", "-1d", "1.5h", "1w", "1 d", "é", "18446744073709551615d"] {
        assert!(duration(text).unwrap_err().contains("units s, m, h, d"), "{text}");
    }
    for text in ["", "0", "1k", "G", "1GiB", "-1", "9223372036854775808", "9000000T"] {
        assert!(bytes(text).unwrap_err().contains("K, M, G, T, or none of them"), "{text}");
    }
}

#[test]
fn advertised_addresses_go_to_the_listeners_that_they_reach() {
    let listener = |text: &str| (text.parse().unwrap(), Vec::new());
    let bound = [listener("127.0.0.1:22236"), listener("127.0.0.1:22240")];
    let given = |text: &str| {
        let given = given_addresses(&bound, 1, &[text.parse().unwrap()]);
        given.iter().map(|given| given.iter().map(Address::to_string).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(given("chat.example"), ["chat.example:22236", "chat.example:22240"]);
    assert_eq!(given("chat.example:22240"), ["", "chat.example:22240"]);
    assert_eq!(given("chat.example:443"), ["chat.example:443", ""]);
    let forwarded = forwarded_addresses(&bound, &["chat.example", "a:22240", "b:1"].map(|text| text.parse().unwrap()));
    assert_eq!(forwarded.iter().map(Address::to_string).collect::<Vec<_>>(), ["b:1"]);
    assert_eq!(given("2001:db8::1"), ["[2001:db8::1]:22236", "[2001:db8::1]:22240"]);
}

//! Errors in texts that are no filters, and their positions.

use chanwire_inspect::Filter;

fn mistake(text: &str) -> (usize, usize, String) {
    let mistake = Filter::parse(text).unwrap_err();
    (mistake.at, mistake.length, mistake.message)
}

#[test]
fn a_mistake_stands_where_it_is_and_says_what_was_expected() {
    for (text, at, length, message) in [
        ("", 0, 0, "expected a field, or a text to look for"),
        ("dir == ", 6, 0, "expected in or out"),
        ("dir == up", 7, 2, "expected in or out"),
        ("rtt > 50", 6, 2, "expected a duration, such as 50ms or 2s"),
        ("len > 50ms", 6, 4, "expected a number"),
        ("dir < in", 4, 1, "dir is not for <, but for ==, != and in"),
        ("status ~ \"(\"", 9, 3, "unclosed group"),
        ("status in OK", 10, 2, "expected values in parentheses, as in (a, b)"),
        ("status in (OK", 13, 0, "expected ',' or the end of the set"),
        ("(a || b", 7, 0, "expected ')', '&&' or '||'"),
        ("a)", 1, 1, "there is no '(' that this closes"),
        ("a b", 2, 1, "expected '&&' or '||' before it"),
        ("a & b", 2, 1, "expected '&&'"),
        ("\"a", 0, 2, "expected '\"' at the end of the text"),
        ("\"\\q\"", 1, 2, r#"expected one of \" \\ \n \r \t \u{…} after a backslash"#),
        ("json. == 1", 5, 0, "expected the name of a field, as in json.username"),
        ("time", 4, 0, "expected an operator after it; to look for the text, write \"time\""),
        ("\"x\" == 1", 4, 2, "a field stands before an operator: text contains \"…\""),
        ("bytes contains 0x1", 15, 3, "expected bytes, two hexadecimal digits each"),
        ("json.a < true", 0, 6, "only numbers and texts have an order"),
        ("cmd == host", 7, 4, r#"it is spelled HOST; for exactly these letters, write "host""#),
        (
            "status in (OK, Server_Error)",
            15,
            12,
            r#"it is spelled SERVER_ERROR; for exactly these letters, write "Server_Error""#,
        ),
        ("bytes contains 0d0a", 15, 4, r#"write 0x0d0a for these bytes, or "0d0a" for this text"#),
        ("bytes == dead", 9, 4, r#"write 0xdead for these bytes, or "dead" for this text"#),
        ("json.a[x] == 1", 6, 1, "expected an index, as in [0]; without one, every element is meant"),
        ("json.a[1 == 1", 6, 3, "expected an index, as in [0]; without one, every element is meant"),
        ("push and err", 5, 3, "expected '&&' or '||' before it; write && for this word"),
        ("push OR err", 5, 2, "expected '&&' or '||' before it; write || for this word"),
        ("push && not err", 8, 3, r#"write ! for this word; to look for the text, write "not""#),
        ("not (err)", 0, 3, r#"write ! for this word; to look for the text, write "not""#),
    ] {
        assert_eq!(mistake(text), (at, length, message.to_owned()), "{text}");
    }
    let (at, length, message) = mistake("a && port == 5");
    assert_eq!((at, length), (5, 4));
    let hint = "there is no field 'port'; of a payload's fields write json.port, fields are no time ";
    assert!(message.starts_with(hint), "{message}");
    assert!(mistake("a-b == 5").2.starts_with("there is no field 'a-b'; fields are no time "));
}

#[test]
fn a_hint_proposes_a_valid_filter() {
    for text in [
        "cmd == HOST",
        "cmd == \"host\"",
        "cmd == FOO",
        "bytes contains 0x0d0a",
        "bytes contains \"0d0a\"",
        "bytes contains beef5",
        "push && !err",
        "not",
        "and && \"or\"",
        "json.username == dev",
    ] {
        Filter::parse(text).unwrap();
    }
}

#[test]
fn the_cost_of_a_filter_is_bounded() {
    let deep = format!("{}a{}", "(".repeat(100), ")".repeat(100));
    assert_eq!(mistake(&deep).2, "this nests deeper than 64 levels");
    assert_eq!(mistake(&"!".repeat(100)).2, "this nests deeper than 64 levels");
    assert_eq!(mistake(&"a".repeat(5000)).2, "a filter has at most 4096 bytes");
    assert!(mistake("text ~ \"(a{1000}){1000}\"").2.contains("exceed"), "{:?}", mistake("text ~ \"(a{1000}){1000}\""));
    let many = ["text ~ a"; 9].join(" && ");
    assert_eq!(mistake(&many).2, "a filter has at most 8 regular expressions");
}

#[test]
fn a_filter_is_printed_in_one_way() {
    for (text, printed) in [
        (
            "dir==in&&cmd==MESSAGE && json.username contains \"an\"",
            "dir == in && cmd == \"MESSAGE\" && json.username contains \"an\"",
        ),
        ("status = OK || rtt>50ms", "status == \"OK\" || rtt > 50ms"),
        ("!( push ) || ! a && (b || c)", "!push || !(\"a\") && (\"b\" || \"c\")"),
        ("status in {OK, \"REQUEST_ERROR\"}", "status in (\"OK\", \"REQUEST_ERROR\")"),
        ("time >= 2s && delta<1.5m", "time >= 2000ms && delta < 90000ms"),
        ("bytes contains 0x0D0a", "bytes contains 0x0d0a"),
        ("json.\"a b\".0 == 1e3", "json.\"a b\".0 == 1000"),
        ("json.a[0].b == 1", "json.a.0.b == 1"),
        ("json.\"a[0]\".b == 1", "json.\"a[0]\".b == 1"),
        ("text ~ \"\\\\d\"", "text ~ \"\\\\d\""),
    ] {
        assert_eq!(Filter::parse(text).unwrap().to_string(), printed, "{text}");
    }
}

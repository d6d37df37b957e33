//! The protocol's fault table, clause by clause: the streams that every layer's tests send.

/// The limit on payloads unless a clause has its own.
pub const LIMIT: usize = 65_536;

/// One clause of a row.
#[derive(Clone, Debug)]
pub struct Clause {
    /// The case, in words.
    pub title: &'static str,
    /// The client's bytes, up to the end of its stream.
    pub stream: Vec<u8>,
    /// The limit on payloads.
    pub limit: usize,
}

macro_rules! clauses {
    ($($title:literal: $stream:expr $(, limit $limit:expr)?;)+) => {
        vec![$(Clause { title: $title, stream: $stream.to_vec(), limit: [$($limit,)? LIMIT][0] }),+]
    };
}

/// Returns the clauses of F1 to F14, each with the name of its row. F15 depends on time, and is not among them.
#[must_use]
pub fn all() -> Vec<(&'static str, Vec<Clause>)> {
    vec![
        ("F1", f01()),
        ("F2", f02()),
        ("F3", f03()),
        ("F4", f04()),
        ("F5", f05()),
        ("F6", f06()),
        ("F7", f07()),
        ("F8", f08()),
        ("F9", f09()),
        ("F10", f10()),
        ("F11", f11()),
        ("F12", f12()),
        ("F13", f13()),
        ("F14", f14()),
    ]
}

/// Returns the clauses of F1: white space between frames and before a payload is skipped.
#[must_use]
pub fn f01() -> Vec<Clause> {
    clauses! {
        "nothing at all": b"";
        "before the first frame": b" \t\r\nLIST\r\n";
        "between frames, as Enter at nc leaves it": b"HOST\r\n{}\r\nLIST\r\n\r\n\n LIST\r\n";
        "at the end": b"LIST\r\n \n";
        "alone": b"\r\n \t";
        "between a command's CRLF and its brace": b"HOST\r\n \t\r\n\n{\"channel_name\": \"a\", \"peer_server_ip\": \"::1\", \"peer_server_port\": 1}";
        "a line end alone is white space, not an empty command": b"\nLIST\r\n\rLIST\r\n";
        "no other white space is skipped": b"LIST\r\n\x0bLIST\r\n";
        "nor a byte order mark": b"\xef\xbb\xbfLIST\r\n";
        "nor before a payload": b"HOST\r\n\xc2\xa0{}";
    }
}

/// Returns the clauses of F2: several requests in one read come out in order.
#[must_use]
pub fn f02() -> Vec<Clause> {
    clauses! {
        "without anything between": b"LIST\r\nMESSAGE\r\n{\"username\": \"u\", \"message_content\": \"c\"}LIST\r\nLIST\r\n";
    }
}

/// Returns the clauses of F3: an object belongs to the line before it.
#[must_use]
pub fn f03() -> Vec<Clause> {
    clauses! {
        "after LIST": b"LIST\r\n{\"a\": [\"}\"]}LIST\r\n";
        "an array after LIST": b"LIST\r\n[1, {}]LIST\r\n";
        "after LIST and white space": b"LIST\r\n \r\n\t{}LIST\r\n";
        "after an unknown command": b"PING\r\n{}LIST\r\n";
        "after an unknown command and white space": b"PING\r\n\n []LIST\r\n";
        "after a bare LF": b"HOST\n{\"channel_name\": 1}LIST\r\n";
        "after a bare LF and white space": b"LIST\n \n{}LIST\r\n";
        "after a bare CR": b"LIST\r{}LIST\r\n";
        "after a bare CR and white space": b"LIST\r \t{}LIST\r\n";
        "neither parsed nor answered": b"LIST\r\n{not JSON, \xff \"\\ud800\"}LIST\r\n";
        "one only: the second is a stray": b"LIST\r\n{}{}LIST\r\n";
        "one only, with white space": b"PING\r\n{} [] LIST\r\n";
        "not after a payload": b"HOST\r\n{}{}LIST\r\n";
        "F11 holds inside: brackets": b"LIST\r\n{]LIST\r\n";
        "F11 holds inside: depth": [b"PING\r\n", &[b'['; 65][..], b"LIST\r\n"].concat();
        "F12 holds inside": b"LIST\r\n{\"a\": 1}LIST\r\n", limit 7;
        "F12 holds inside, not at the limit": b"LIST\r\n{\"a\": 1}LIST\r\n", limit 8;
        "F13 holds inside": b"LIST\r\n{\"a\": ";
        "F13 holds inside a string": b"LIST\n[\"]";
    }
}

/// Returns the clauses of F4: any other object is a stray.
#[must_use]
pub fn f04() -> Vec<Clause> {
    clauses! {
        "at the start": b"{\"a\": 1}LIST\r\n";
        "an array": b"[{}, \"]\"]LIST\r\n";
        "after a payload and white space": b"HOST\r\n{}\r\n{}LIST\r\n";
        "after a stray": b"{}{}[]LIST\r\n";
        "after an array in a payload's place": b"HOST\r\n[]{}LIST\r\n";
        "after the object that belonged to LIST": b"LIST\r\n{}{}";
        "its end is never: only that is answered": b"{\"a\": ";
        "its brackets do not match: only that is answered": b"[}LIST\r\n";
        "it nests too deep: only that is answered": [&[b'['; 65][..], &[b']'; 65]].concat();
        "it is too large: only that is answered": b"{\"a\": 1}LIST\r\n", limit 7;
        "it is as large as it may be": b"{\"a\": 1}LIST\r\n", limit 8;
    }
}

/// Returns the clauses of F5: an unknown command is answered at its line end.
#[must_use]
pub fn f05() -> Vec<Clause> {
    clauses! {
        "unknown": b"PING\r\nLIST\r\n";
        "case matters": b"list\r\nList\r\n";
        "one letter": b"A\r\n";
        "32 bytes": [&[b'a'; 32][..], b"\r\nLIST\r\n"].concat();
        "underscores": b"____\r\n_LIST\r\n";
        "a status is no command": b"REQUEST_ERROR\r\n{}OK\r\n{}";
        "a longer word is not the shorter one": b"LISTS\r\nHOS\r\n";
    }
}

/// Returns the clauses of F6: a line end that is none.
#[must_use]
pub fn f06() -> Vec<Clause> {
    clauses! {
        "a bare LF": b"LIST\nLIST\r\n";
        "of a command that takes a payload": b"MESSAGE\n{\"username\": \"u\", \"message_content\": \"c\"}LIST\r\n";
        "before F5: unknown with a bare LF": b"PING\nLIST\r\n";
        "a bare CR": b"LIST\rLIST\r\n";
        "before F5: unknown with a bare CR": b"PING\rX\r\n";
        "a CR twice: the second begins what follows": b"LIST\r\r\nLIST\r\n";
        "a CR and a byte that begins no command": b"LIST\r:";
        "32 bytes and a bare LF": [&[b'a'; 32][..], b"\nLIST\r\n"].concat();
        "32 bytes and a bare CR": [&[b'a'; 32][..], b"\rLIST\r\n"].concat();
    }
}

/// Returns the clauses of F7: what no command has closes.
#[must_use]
pub fn f07() -> Vec<Clause> {
    clauses! {
        "HTTP": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n{}";
        "a GET": b"GET /\r\n";
        "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00";
        "a digit": b"LIST2\r\nLIST\r\n";
        "a space before the line end": b"LIST \r\n";
        "a hyphen": b"UN-HOST\r\n";
        "a NUL": b"LI\0ST\r\n";
        "a letter that is not ASCII": b"LISTE\xcc\x81\r\n";
        "a quote": b"'LIST'\r\n";
        "a brace": b"HOST{}\r\n";
        "a tab": b"LIST\t\r\n";
        "DEL": b"LIST\x7f\r\n";
        "a backslash": b"LIST\\r\\n";
        "33 letters": [&[b'a'; 33][..], b"\r\nLIST\r\n"].concat();
        "a 33rd byte that is no letter": [&[b'a'; 32][..], b"1\r\n"].concat();
        "1000 letters": [b'a'; 1000];
        "right at the end of the stream": b"LIST\r\n1";
    }
}

/// Returns the clauses of F8: an array is read to its end.
#[must_use]
pub fn f08() -> Vec<Clause> {
    clauses! {
        "empty": b"HOST\r\n[]LIST\r\n";
        "of objects": b"MESSAGE\r\n[{\"username\": \"]\"}, []]LIST\r\n";
        "after white space": b"HOST\r\n \n[1]LIST\r\n";
        "wrong inside": b"HOST\r\n[,,]LIST\r\n";
        "its brackets do not match": b"HOST\r\n[}LIST\r\n";
        "it does not end": b"HOST\r\n[{}";
        "it is too large": b"HOST\r\n[12345]", limit 6;
    }
}

/// Returns the clauses of F9: what is no object closes.
#[must_use]
pub fn f09() -> Vec<Clause> {
    clauses! {
        "a string": b"MESSAGE\r\n\"hello\"LIST\r\n";
        "a number": b"HOST\r\n5LIST\r\n";
        "a word": b"HOST\r\nnull";
        "the next command": b"HOST\r\nLIST\r\n";
        "a closing brace": b"HOST\r\n}";
        "a control character": b"HOST\r\n\x1b[31m";
        "a byte beyond ASCII": b"HOST\r\n\xff";
        "after white space": b"HOST\r\n\r\n x";
    }
}

/// Returns the clauses of F10: a payload that is wrong inside goes on.
#[must_use]
pub fn f10() -> Vec<Clause> {
    clauses! {
        "JSON": b"HOST\r\n{\"channel_name\" \"a\"}LIST\r\n";
        "UTF-8": b"MESSAGE\r\n{\"username\": \"\xff\"}LIST\r\n";
        "a lone surrogate": b"MESSAGE\r\n{\"x\": \"\\ud800\"}LIST\r\n";
        "a field twice": b"MESSAGE\r\n{\"username\": \"a\", \"username\": \"a\", \"message_content\": \"c\"}LIST\r\n";
        "a field missing": b"HOST\r\n{}LIST\r\n";
        "a field wrong": b"HOST\r\n{\"channel_name\": 5}LIST\r\n";
        "each in its own frame": b"HOST\r\n{x}HOST\r\n{\"channel_name\": \"\"}MESSAGE\r\n{\"username\": \"u\"}";
    }
}

/// Returns the clauses of F11: brackets that do not match or nest too deep close.
#[must_use]
pub fn f11() -> Vec<Clause> {
    clauses! {
        "a bracket closes a brace": b"HOST\r\n{\"a\": 1]LIST\r\n";
        "a brace closes a bracket": b"HOST\r\n{\"a\": [1}LIST\r\n";
        "below many levels": b"HOST\r\n{\"a\": [[{}, {\"b\": []]]}";
        "brackets in a string do not count": b"HOST\r\n{\"a\": \"]\\\"]\"}LIST\r\n";
        "64 levels": [b"HOST\r\n{\"a\":", &[b'['; 63][..], &[b']'; 63], b"}LIST\r\n"].concat();
        "65 levels": [b"HOST\r\n{\"a\":", &[b'['; 64][..], &[b']'; 64], b"}LIST\r\n"].concat();
        "65 levels of braces": ["HOST\r\n", &"{\"a\":".repeat(65), "1", &"}".repeat(65)].concat().as_bytes();
        "64 levels again and again": ["HOST\r\n{\"a\":[", &["[".repeat(62), "]".repeat(62) + ","].concat().repeat(2), "0]}LIST\r\n"].concat().as_bytes();
    }
}

/// Returns a HOST with a payload of so many bytes.
fn host_of(bytes: usize) -> Vec<u8> {
    let (before, after) = ("{\"x\": \"", "\"}");
    ["HOST\r\n", before, &"x".repeat(bytes - before.len() - after.len()), after].concat().into_bytes()
}

/// Returns the clauses of F12: a payload may have 65536 bytes.
#[must_use]
pub fn f12() -> Vec<Clause> {
    clauses! {
        "at the limit": [&host_of(LIMIT)[..], b"LIST\r\n"].concat();
        "one byte more": [&host_of(LIMIT + 1)[..], b"LIST\r\n"].concat();
        "the byte after the limit is not looked at": b"HOST\r\n{\"a\":[]LIST", limit 7;
        "so a wrong bracket there is no F11": b"HOST\r\n{\"a\":[}", limit 6;
        "and one right before it is": b"HOST\r\n{\"a\":[}", limit 7;
        "at the limit and the stream ends: incomplete": b"HOST\r\n{\"a\":[", limit 6;
        "it counts from the brace, after white space": b"HOST\r\n\r\n\r\n\r\n{\"a\": 1}LIST\r\n", limit 8;
        "in an array": b"HOST\r\n[1, 2, 3]LIST\r\n", limit 8;
        "in a skipped object, one byte too many": b"LIST\r\n{\"a\": 1}LIST\r\n", limit 7;
        "in a stray, one byte too many": b"{\"a\": 1}LIST\r\n", limit 7;
        "of a payload that never ends": [b"HOST\r\n{".to_vec(), vec![b' '; 70_000]].concat();
        "white space is no payload": [b"LIST\r\n".to_vec(), vec![b' '; 70_000], b"LIST\r\n".to_vec()].concat();
    }
}

/// Returns the clauses of F13: the stream ends inside a frame.
#[must_use]
pub fn f13() -> Vec<Clause> {
    clauses! {
        "inside a command": b"LIS";
        "inside a command, which says nothing yet": b"POST";
        "after 32 letters": [b'a'; 32];
        "after a command's CR": b"LIST\r";
        "after an unknown command's CR": b"PING\r";
        "after the CRLF of a command that takes a payload": b"HOST\r\n";
        "and white space": b"MESSAGE\r\n \r\n";
        "inside a payload": b"HOST\r\n{\"channel_name\": \"a\"";
        "right after its brace": b"HOST\r\n{";
        "inside a string": b"HOST\r\n{\"a\": \"}";
        "inside an escape": b"HOST\r\n{\"a\": \"\\";
        "inside an array in its place": b"HOST\r\n[";
        "inside an object that belongs to LIST": b"LIST\r\n{";
        "inside an object that belongs to an unknown command": b"PING\r\n[{}";
        "inside an object that belongs to a refused line": b"LIST\n{";
        "inside a stray": b"[";
        "but not after LIST": b"LIST\r\n";
        "nor after an unknown command": b"PING\r\n";
        "nor after a refused line": b"HOST\n";
    }
}

/// Returns the clauses of F14: unknown fields are ignored.
#[must_use]
pub fn f14() -> Vec<Clause> {
    clauses! {
        "of any kind": b"HOST\r\n{\"x\": [{\"channel_name\": 1}], \"channel_name\": \"a\", \"y\": null, \"peer_server_ip\": \"::1\", \"z\": {}, \"peer_server_port\": 1, \"\": 1e999}LIST\r\n";
        "twice": b"MESSAGE\r\n{\"x\": 1, \"username\": \"u\", \"x\": 2, \"message_content\": \"c\", \"x\": 3}";
        "another command's fields": b"MESSAGE\r\n{\"peer_server_port\": \"none\", \"username\": \"u\", \"message_content\": \"c\", \"peer_server_port\": 0}";
        "a known name in another case": b"MESSAGE\r\n{\"Username\": 1, \"username\": \"u\", \"message_content\": \"c\"}";
        "a known name inside another field": b"MESSAGE\r\n{\"x\": {\"username\": 1, \"username\": 2}, \"username\": \"u\", \"message_content\": \"c\"}";
    }
}

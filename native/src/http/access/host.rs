//! The host names that this server answers to.
//!
//! Protects against DNS rebinding: a foreign page can point its own name at 127.0.0.1 and would then be same-origin
//! with this server. Its requests have that name in `Host`, so unexpected names are refused.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use thiserror::Error;

/// A host with an optional port, as it stands in a `Host` header and in `--http-host`. An IPv6 address is in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    /// In lower case, because names are case-insensitive.
    Name(String),
    V6(Ipv6Addr),
}

/// An error: a text is not a host with an optional port.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("'{0}' is not a host: write NAME or NAME:PORT, and an IPv6 address in brackets, [::1]:8080")]
pub(crate) struct NotAHost(String);

impl FromStr for Authority {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        parse(text).ok_or_else(|| NotAHost(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Authority> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let host = Host::V6(address.parse().ok()?);
        let port = match port {
            "" => None,
            _ => Some(parse_port(port.strip_prefix(':')?)?),
        };
        return Some(Authority { host, port });
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(parse_port(port)?)),
        None => (text, None),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if name.is_empty() || !name.bytes().all(allowed) {
        return None;
    }
    let host = Host::Name(name.to_ascii_lowercase());
    Some(Authority { host, port })
}

/// Parses a port of digits only; `u16::from_str` would also accept a sign.
fn parse_port(text: &str) -> Option<u16> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// The allowed host names of requests.
#[derive(Debug)]
pub(in crate::http) struct Names {
    port: u16,
    /// The port of a name without one.
    default_port: u16,
    more: Vec<Authority>,
}

impl Names {
    /// Allows 127.0.0.1, `[::1]` and localhost at `port`, and `more`. A name in `more` without a port stands for the
    /// name at `port` and for the name alone, as a proxy on a default port passes it on. A loopback name without a port
    /// is at `default_port`.
    pub(in crate::http) fn new(port: u16, default_port: u16, more: Vec<Authority>) -> Self {
        Self { port, default_port, more }
    }

    /// Returns whether a request has an allowed name: in exactly one `Host` header and, if the target is an absolute
    /// URL, in that too.
    pub(in crate::http) fn include(&self, target: &Uri, headers: &HeaderMap) -> bool {
        let Some(host) = only(headers, HOST).and_then(|host| parse(host.to_str().ok()?)) else {
            return false;
        };
        let agrees = match target.authority() {
            Some(authority) => parse(authority.as_str()).as_ref() == Some(&host),
            None => true,
        };
        agrees && (self.is_loopback(&host) || self.more.iter().any(|more| self.covers(more, &host)))
    }

    /// Returns whether a request has an IP address, localhost or one of these names, at any port. For a listener without
    /// a token: a foreign page that points its own name here has that name in `Host`. No browser leaves `Host` out, but
    /// health checks of version 1.0 do.
    pub(in crate::http) fn include_addresses(more: &[Authority], headers: &HeaderMap) -> bool {
        if !headers.contains_key(HOST) {
            return true;
        }
        let Some(given) = only(headers, HOST).and_then(|host| parse(host.to_str().ok()?)) else { return false };
        let is_address = match &given.host {
            Host::Name(name) => name == "localhost" || name.parse::<Ipv4Addr>().is_ok(),
            Host::V6(_) => true,
        };
        let covers = |more: &Authority| more.host == given.host && (more.port.is_none() || more.port == given.port);
        is_address || more.iter().any(covers)
    }

    fn is_loopback(&self, given: &Authority) -> bool {
        let host = match &given.host {
            Host::Name(name) => *name == Ipv4Addr::LOCALHOST.to_string() || name == "localhost",
            Host::V6(address) => *address == Ipv6Addr::LOCALHOST,
        };
        host && given.port.unwrap_or(self.default_port) == self.port
    }

    fn covers(&self, configured: &Authority, given: &Authority) -> bool {
        let port = match (configured.port, given.port) {
            (Some(configured), Some(given)) => configured == given,
            (Some(configured), None) => matches!(configured, 80 | 443),
            (None, Some(given)) => given == self.port,
            (None, None) => true,
        };
        port && configured.host == given.host
    }
}

/// Returns whether a request is same-origin: its only `Origin` is `http://` or `https://` with the request's `Host`.
/// Browsers allow cross-origin WebSockets, so the server must check.
pub(in crate::http) fn same_origin(headers: &HeaderMap) -> bool {
    let (Some(origin), Some(host)) = (only(headers, ORIGIN), only(headers, HOST)) else {
        return false;
    };
    let origin = origin.as_bytes();
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    authority == Some(host.as_bytes())
}

/// Returns the value of a header that stands exactly once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn included(names: &Names, host: &str) -> bool {
        names.include(&Uri::from_static("/"), &headers(&[(HOST, host)]))
    }

    #[test]
    fn loopback_names_at_the_port_are_served() {
        let names = Names::new(22280, 80, Vec::new());
        for host in ["127.0.0.1:22280", "[::1]:22280", "[0:0:0:0:0:0:0:1]:22280", "localhost:22280", "LocalHost:22280"]
        {
            assert!(included(&names, host), "{host}");
        }
    }

    #[test]
    fn a_listener_without_a_token_takes_addresses_and_names_that_it_is_given() {
        let more: Vec<Authority> = ["metrics.example", "other.example:9090"].map(|host| host.parse().unwrap()).into();
        let is_served = |host: &str| Names::include_addresses(&more, &headers(&[(HOST, host)]));
        for host in
            ["127.0.0.1:22290", "192.0.2.7", "[2001:db8::1]:80", "localhost", "metrics.example:1", "other.example:9090"]
        {
            assert!(is_served(host), "{host}");
        }
        for host in ["", "evil.example", "127.0.0.1.evil.example", "2130706433", "other.example", "a@127.0.0.1"] {
            assert!(!is_served(host), "{host}");
        }
        assert!(Names::include_addresses(&more, &headers(&[])));
        assert!(!Names::include_addresses(&more, &headers(&[(HOST, "127.0.0.1"), (HOST, "127.0.0.1")])));
    }

    #[test]
    fn everything_else_is_not() {
        let names = Names::new(22280, 80, Vec::new());
        for host in [
            "",
            "127.0.0.1",
            "localhost",
            "[::1]",
            "127.0.0.1:22281",
            "127.0.0.1:",
            "127.0.0.1:+22280",
            "127.0.0.1:022280x",
            "127.0.0.1:88888",
            "127.0.0.2:22280",
            "127.1:22280",
            "2130706433:22280",
            "0.0.0.0:22280",
            "localhost.:22280",
            "localhost.evil.example:22280",
            "evil.example:22280",
            "user@localhost:22280",
            "localhost:22280, evil.example",
            "::1:22280",
            "[::1:22280",
            "[::1]22280",
            "[::1]x:22280",
            "[::2]:22280",
            "[::ffff:127.0.0.1]:22280",
            "[localhost]:22280",
        ] {
            assert!(!included(&names, host), "{host}");
        }
    }

    #[test]
    fn the_port_may_be_left_out_only_where_it_is_the_default() {
        let names = Names::new(80, 80, Vec::new());
        assert!(included(&names, "localhost"));
        assert!(included(&names, "127.0.0.1"));
        assert!(included(&names, "[::1]"));
        assert!(included(&names, "localhost:80"));
        assert!(!included(&names, "localhost:22280"));
        let by_tls = Names::new(443, 443, Vec::new());
        assert!(included(&by_tls, "localhost") && included(&by_tls, "localhost:443"));
        assert!(!included(&by_tls, "localhost:80") && !included(&Names::new(80, 443, Vec::new()), "localhost"));
    }

    #[test]
    fn configured_names_are_served_at_their_port() {
        let more = ["Chat.Example", "other.example:8443", "tls.example:443", "[fe80::1]"];
        let more = more.iter().map(|name| name.parse().unwrap()).collect();
        let names = Names::new(22280, 80, more);
        for host in [
            "chat.example",
            "CHAT.example:22280",
            "other.example:8443",
            "tls.example",
            "tls.example:443",
            "[fe80::1]:22280",
            "localhost:22280",
        ] {
            assert!(included(&names, host), "{host}");
        }
        for host in [
            "chat.example:80",
            "other.example",
            "other.example:22280",
            "tls.example:80",
            "x.chat.example",
            "[fe80::2]:22280",
        ] {
            assert!(!included(&names, host), "{host}");
        }
    }

    #[test]
    fn there_is_exactly_one_host() {
        let names = Names::new(22280, 80, Vec::new());
        let target = Uri::from_static("/");
        assert!(!names.include(&target, &headers(&[])));
        let twice = headers(&[(HOST, "localhost:22280"), (HOST, "localhost:22280")]);
        assert!(!names.include(&target, &twice));
    }

    #[test]
    fn an_absolute_target_agrees_with_the_host() {
        let names = Names::new(22280, 80, Vec::new());
        let host = headers(&[(HOST, "localhost:22280")]);
        assert!(names.include(&Uri::from_static("http://LOCALHOST:22280/"), &host));
        assert!(!names.include(&Uri::from_static("http://evil.example:22280/"), &host));
        assert!(!names.include(&Uri::from_static("http://evil@localhost:22280/"), &host));
    }

    #[test]
    fn a_wrong_configured_name_says_what_to_write() {
        let error = "::1".parse::<Authority>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "'::1' is not a host: write NAME or NAME:PORT, and an IPv6 address in brackets, [::1]:8080"
        );
    }

    #[test]
    fn the_origin_is_the_own_host_under_http_or_https() {
        let with = |origin: &str| same_origin(&headers(&[(HOST, "localhost:22280"), (ORIGIN, origin)]));
        assert!(with("http://localhost:22280"));
        assert!(with("https://localhost:22280"));
        for origin in [
            "",
            "null",
            "http://localhost",
            "http://localhost:22281",
            "http://127.0.0.1:22280",
            "http://evil.example:22280",
            "http://localhost:22280/",
            "http://localhost:22280.evil.example",
            "http://evil.example@localhost:22280",
            "ws://localhost:22280",
            "localhost:22280",
            "file://",
        ] {
            assert!(!with(origin), "{origin}");
        }
        assert!(!same_origin(&headers(&[(HOST, "localhost:22280")])));
        assert!(!same_origin(&headers(&[
            (HOST, "localhost:22280"),
            (ORIGIN, "http://localhost:22280"),
            (ORIGIN, "http://evil.example"),
        ])));
    }
}

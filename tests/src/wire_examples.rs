//! Examples in the notation of `core/PROTOCOL.md`: fences of the language `wire`.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use chanwire_core::{rights::Pattern, wire::Channel};

/// One line of an example.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Lines that follow each other are one of these.
    Send(IpAddr, Vec<u8>),
    /// A client ends its stream.
    EndOfStream(IpAddr),
    /// A client receives one whole frame.
    Receive(IpAddr, Vec<u8>),
    /// The server ends its stream.
    Closed(IpAddr),
    /// The server was started with this.
    StartWith(Start),
    /// The next command of the store fails.
    StoreFails,
    /// The store does nothing until it goes on.
    StoreWaits,
    /// The store goes on.
    StoreGoesOn,
    /// Time passes.
    Pass(Duration),
    /// A connection breaks.
    Break(IpAddr),
    /// The operator hides the channels of this pattern from guests.
    Hide(Pattern),
    /// The server stops.
    Stop,
}

/// The start of an example's server.
#[derive(Debug, PartialEq)]
pub enum Start {
    /// `--host`
    Host(Channel),
    /// `--max-payload`
    MaxPayload(usize),
    /// `--max-channels`
    MaxChannels(usize),
    /// A listener at which no client is the host of a channel: `address_rights = false`.
    NoAddressRights,
    /// The server has the accounts of [`ACCOUNTS`](crate::accounts::ACCOUNTS).
    Accounts,
}

/// An example: its steps, each with its line of the page.
pub type Example = Vec<(usize, Step)>;

/// Reads the examples of a page.
///
/// # Errors
///
/// The first line that is not understood.
pub fn examples(page: &str) -> Result<Vec<Example>, String> {
    let mut examples = Vec::new();
    let mut open: Option<(bool, Example)> = None;
    for (line, text) in (1..).zip(page.lines()) {
        match (text.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language == "wire", Vec::new())),
            (Some(""), Some(_)) => match open.take() {
                Some((true, example)) if example.is_empty() => return Err(format!("line {line}: an empty example")),
                Some((true, example)) => examples.push(example),
                _ => return Err(format!("line {line}: what stands here in a fence is no example")),
            },
            (Some(_), Some(_)) => return Err(format!("line {line}: a fence inside a fence")),
            (None, Some((true, example))) => {
                let step = step(text).ok_or_else(|| format!("line {line}: not understood: {text}"))?;
                match (example.last_mut(), step) {
                    (_, None) => {}
                    (Some((_, Step::Send(before, bytes))), Some(Step::Send(from, more))) if *before == from => {
                        bytes.extend(more);
                    }
                    (_, Some(step)) => example.push((line, step)),
                }
            }
            (None, _) => {}
        }
    }
    if open.is_some() {
        return Err("a fence is not closed".into());
    }
    Ok(examples)
}

/// Parses a line of an example: `Some(None)` for a remark, `None` if it is not understood.
fn step(text: &str) -> Option<Option<Step>> {
    if text.starts_with('#') {
        return Some(None);
    }
    if let Some(event) = text.strip_prefix("! ") {
        return event_step(event).map(Some);
    }
    let arrow = text.find(['<', '>'])?;
    let (who, rest) = text.split_at(arrow);
    let who = if who.is_empty() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { who.parse().ok()? };
    Some(Some(match rest.split_at(1) {
        (">", ".") => Step::EndOfStream(who),
        ("<", ".") => Step::Closed(who),
        (">", bytes) => Step::Send(who, unescape(bytes.strip_prefix(' ')?)?),
        (_, bytes) => Step::Receive(who, unescape(bytes.strip_prefix(' ')?)?),
    }))
}

fn event_step(event: &str) -> Option<Step> {
    let words: Vec<&str> = event.split(' ').collect();
    Some(match words.as_slice() {
        ["the", "store", "fails"] => Step::StoreFails,
        ["the", "store", "waits"] => Step::StoreWaits,
        ["the", "store", "goes", "on"] => Step::StoreGoesOn,
        ["the", "server", "stops"] => Step::Stop,
        ["the", "operator", "hides", pattern, "from", "guests"] => Step::Hide(pattern.parse().ok()?),
        ["the", "connection", "of", who, "breaks"] => Step::Break(who.parse().ok()?),
        [seconds, "s", "pass" | "passes"] => Step::Pass(Duration::from_secs(seconds.parse().ok()?)),
        ["started", "with", "--max-payload", bytes] => Step::StartWith(Start::MaxPayload(bytes.parse().ok()?)),
        ["started", "with", "--max-channels", count] => Step::StartWith(Start::MaxChannels(count.parse().ok()?)),
        ["started", "with", "accounts"] => Step::StartWith(Start::Accounts),
        ["started", "without", "address", "rights"] => Step::StartWith(Start::NoAddressRights),
        ["started", "with", "--host", channel] => {
            let (name, address) = channel.split_once('=')?;
            Step::StartWith(Start::Host(Channel {
                channel_name: crate::name::named(name),
                address: address.parse().ok()?,
            }))
        }
        _ => return None,
    })
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let length = match escape.as_bytes() {
            [b'r', ..] => (b'\r', 1),
            [b'n', ..] => (b'\n', 1),
            [b't', ..] => (b'\t', 1),
            [b'\\', ..] => (b'\\', 1),
            [b'x', ..] => (u8::from_str_radix(escape.get(1..3)?, 16).ok()?, 3),
            _ => return None,
        };
        bytes.push(length.0);
        rest = escape.get(length.1..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

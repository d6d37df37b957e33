//! What is printed: for people, made harmless for a terminal, and for programs, in canonical bytes.

use std::{
    borrow::Cow,
    io::{self, Write as _},
};

use chanwire_core::wire::{Channel, Head as _, Response, Status, StoredMessage};
use chanwire_inspect::{readable, visible};

/// Prints and flushes. Somebody who stops reading has seen enough: then it says `false`.
pub(super) fn print(text: &str) -> Result<bool, String> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("cannot print: {error}")),
    }
}

/// Says something on standard error, if anybody can hear it.
pub(super) fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "chanwire: {text}");
}

/// An answer for people.
pub(super) fn as_text(response: &Response) -> String {
    match response {
        Response::Channels(channels) if channels.is_empty() => "no channels\n".into(),
        Response::Channels(channels) => channel_lines(channels).map(|line| line + "\n").collect(),
        Response::Hosted { channel_name } => format!("hosted {}\n", visible(channel_name)),
        Response::Removed { channel_name } => format!("removed {}\n", visible(channel_name)),
        Response::Delivered { timestamp } => format!("delivered {timestamp}\n"),
        Response::History { messages, .. } => messages.iter().map(message_line).collect(),
        Response::Error(error) => format!("{}: {}\n", visible(&error.error), visible(&error.details)),
        _ => String::new(),
    }
}

/// Channels and where they are hosted, in columns.
pub(super) fn channel_lines(channels: &[Channel]) -> impl Iterator<Item = String> {
    let names: Vec<Cow<'_, str>> = channels.iter().map(|channel| visible(&channel.channel_name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    names.into_iter().zip(channels).map(move |(name, channel)| format!("{name:width$}  {}", channel.address))
}

/// A message as one line: when, its id, who, and what.
pub(super) fn message_line(message: &StoredMessage) -> String {
    let StoredMessage { id, username, message_content, timestamp, .. } = message;
    format!("{timestamp} {id} {}: {}\n", visible(username), readable(message_content))
}

/// An answer as one line of JSON: its status, and its payload in canonical bytes.
pub(super) fn as_json(response: &Response) -> String {
    let mut frame = Vec::new();
    response.encode(&mut frame);
    let status = response.status();
    format!("{{\"status\": \"{}\", \"payload\": {}}}\n", status.name(), payload(&frame, status))
}

/// A message as one line of JSON, in canonical bytes.
pub(super) fn message_json(message: &StoredMessage) -> String {
    let mut frame = Vec::new();
    message.encode_push(&mut frame);
    format!("{}\n", payload(&frame, Status::Push))
}

fn payload(frame: &[u8], status: Status) -> Cow<'_, str> {
    String::from_utf8_lossy(frame.get(status.name().len() + 2..).unwrap_or_default())
}

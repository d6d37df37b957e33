//! Output: for people, made harmless for a terminal; for programs, in canonical bytes.

use std::{
    borrow::Cow,
    io::{self, Write as _},
};

use chanwire_core::wire::{
    Channel, ChannelSettings, Hello, ListedChannel, ListedRole, Response, StartLine as _, Status, StoredMessage, User,
};
use chanwire_inspect::{readable, visible};
use unicode_width::UnicodeWidthStr as _;

/// Prints and flushes. Returns `false` where standard output was closed by its reader.
pub(super) fn print(text: &str) -> Result<bool, String> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(format!("cannot print: {error}")),
    }
}

/// Writes a line to standard error. A failure is ignored.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "chanwire: {text}");
}

/// Formats an answer for people.
pub(super) fn as_text(response: &Response) -> String {
    match response {
        Response::Channels(channels) if channels.is_empty() => "no channels\n".into(),
        Response::Channels(channels) => channel_lines(channels).map(|line| line + "\n").collect(),
        Response::Who { count, users, complete, .. } => {
            let s = if *count == 1 { "" } else { "s" };
            let more = if *complete { "" } else { "and others\n" };
            format!("{count} connection{s}\n{}{more}", users.iter().map(user_line).collect::<String>())
        }
        Response::ChannelPage { channels, .. } if channels.is_empty() => "no channels\n".into(),
        Response::ChannelPage { channels, .. } => {
            let listed: Vec<Channel> = channels.iter().map(|listed| listed.channel.clone()).collect();
            let last_id = |listed: &ListedChannel| listed.last_id.map_or(String::new(), |id| format!("  last id {id}"));
            channel_lines(&listed).zip(channels).map(|(line, listed)| line + &last_id(listed) + "\n").collect()
        }
        Response::Hosted { channel_name } => format!("hosted {}\n", visible(channel_name)),
        Response::Removed { channel_name } => format!("removed {}\n", visible(channel_name)),
        Response::Delivered { timestamp, id: None } => format!("delivered {timestamp}\n"),
        Response::Delivered { timestamp, id: Some(id) } => format!("delivered {timestamp} as {id}\n"),
        Response::Hello(hello) => hello_lines(hello),
        Response::Deleted { channel_name, id } => format!("deleted message {id} of {}\n", visible(channel_name)),
        Response::RoleSet { channel_name, role: Some(role) } => format!("{role} in {}\n", visible(channel_name)),
        Response::RoleSet { channel_name, role: None } => format!("no role in {}\n", visible(channel_name)),
        Response::Settings { settings: ChannelSettings { members_only, slow_mode }, roles, .. } => {
            let settings = format!("members_only: {members_only}\nslow_mode: {slow_mode}\n");
            settings + &roles.iter().map(role_line).collect::<String>()
        }
        Response::Disconnected { connection } => format!("disconnected {connection}\n"),
        Response::History { messages, .. } => messages.iter().map(message_line).collect(),
        Response::Error(error) => format!("{}: {}\n", visible(&error.error), visible(&error.details)),
        _ => String::new(),
    }
}

/// Formats the abilities and limits of a server, one on a line, by their names in the protocol.
fn hello_lines(hello: &Hello) -> String {
    let features: Vec<_> = hello.features.iter().map(|feature| visible(feature)).collect();
    let features = if features.is_empty() { "none".into() } else { features.join(", ") };
    let mut lines = format!(
        "protocol: {}\nfeatures: {features}\nencrypted: {}\nmax_payload: {}\n",
        hello.protocol, hello.encrypted, hello.max_payload
    );
    let rates =
        [("units_per_second", hello.units_per_second), ("burst", hello.burst), ("retry_window", hello.retry_window)];
    for (name, value) in rates {
        if let Some(value) = value {
            lines += &format!("{name}: {value}\n");
        }
    }
    lines
}

/// Formats a role of a channel as one line.
fn role_line(ListedRole { target, role, until }: &ListedRole) -> String {
    let until = until.map_or(String::new(), |until| format!(" until {until}"));
    format!("{role:<9}  {target}{until}\n")
}

/// Formats a user of a channel as one line.
fn user_line(user: &User) -> String {
    let name = visible(&user.username);
    match &user.account {
        Some(account) if *account != *user.username => format!("{name} ({account})\n"),
        _ => format!("{name}\n"),
    }
}

/// Formats channels and their addresses in columns.
pub(super) fn channel_lines(channels: &[Channel]) -> impl Iterator<Item = String> {
    let names: Vec<Cow<'_, str>> = channels.iter().map(|channel| visible(&channel.channel_name)).collect();
    let width = names.iter().map(|name| name.width()).max().unwrap_or(0);
    names.into_iter().zip(channels).map(move |(name, channel)| {
        let blanks = width - name.width();
        format!("{name}{:blanks$}  {}", "", channel.address)
    })
}

/// Formats a message as one line: time, id, user and text.
pub(super) fn message_line(message: &StoredMessage) -> String {
    let StoredMessage { id, message_content, timestamp, .. } = message;
    format!("{timestamp} {id}{}: {}\n", sender(message), readable(message_content))
}

/// Formats the sender of a message, to stand behind a time or an id: a blank and the name that a guest gave, or `@` and
/// the account that the server verified, with the username if that is another. No name that a guest gives looks so.
pub(super) fn sender(message: &StoredMessage) -> String {
    let username = visible(&message.username);
    match &message.account {
        None => format!(" {username}"),
        Some(account) if *message.username == **account => format!("@{account}"),
        Some(account) => format!("@{account} {username}"),
    }
}

/// Formats an answer as one line of JSON: its status, and its payload in canonical bytes.
pub(super) fn as_json(response: &Response) -> String {
    let mut frame = Vec::new();
    response.encode(&mut frame);
    let status = response.status();
    format!("{{\"status\": \"{}\", \"payload\": {}}}\n", status.name(), payload(&frame, status))
}

/// Formats a message as one line of JSON, in canonical bytes.
pub(super) fn message_json(message: &StoredMessage) -> String {
    let mut frame = Vec::new();
    message.encode_push(&mut frame);
    format!("{}\n", payload(&frame, Status::Push))
}

fn payload(frame: &[u8], status: Status) -> Cow<'_, str> {
    String::from_utf8_lossy(frame.get(status.name().len() + 2..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use chanwire_core::wire::{Address, ErrorResponse, Timestamp};

    use super::*;

    const HOSTILE: &str = "\u{1b}[2J\r\u{202e}x\u{9b}1A";
    const SHOWN: &str = r"\u{1b}[2J\r\u{202e}x\u{9b}1A";
    /// A name has no control characters, but the marks of writing direction.
    const HOSTILE_NAME: &str = "[2J\u{202e}x";
    const SHOWN_NAME: &str = r"[2J\u{202e}x";

    fn channel(name: &str) -> Channel {
        Channel { channel_name: name.parse().unwrap(), address: Address::new("127.0.0.1", 22_236).unwrap() }
    }

    #[test]
    fn no_text_of_an_answer_controls_the_terminal() {
        let message = StoredMessage::new(
            HOSTILE_NAME.parse().unwrap(),
            1,
            HOSTILE_NAME.parse().unwrap(),
            HOSTILE.into(),
            Timestamp::from_unix(0),
        );
        let messages = vec![message.clone()];
        for (response, texts) in [
            (Response::Channels(vec![channel(HOSTILE_NAME)]), 1),
            (Response::Hosted { channel_name: HOSTILE_NAME.parse().unwrap() }, 1),
            (Response::Removed { channel_name: HOSTILE_NAME.parse().unwrap() }, 1),
            (Response::Deleted { channel_name: HOSTILE_NAME.parse().unwrap(), id: 7 }, 1),
            (Response::History { channel_name: HOSTILE_NAME.parse().unwrap(), messages }, 2),
            (Response::Error(ErrorResponse::request(HOSTILE, HOSTILE)), 2),
        ] {
            let text = as_text(&response);
            assert_eq!(text.matches(SHOWN).count() + text.matches(SHOWN_NAME).count(), texts, "{text:?}");
            let line = text.strip_suffix('\n').unwrap();
            assert!(!line.contains(|char: char| char.is_control() || char == '\u{202e}'), "{line:?}");
        }
        assert_eq!(message_line(&message), format!("1970-01-01T00:00:00Z 1 {SHOWN_NAME}: {SHOWN}\n"));
    }

    #[test]
    fn no_name_that_a_guest_gives_looks_like_an_account() {
        let from = |username: &str, account: Option<&str>| {
            let (channel_name, username) = ("general".parse().unwrap(), username.parse().unwrap());
            let mut message = StoredMessage::new(channel_name, 41, username, "hi".into(), Timestamp::from_unix(0));
            message.account = account.map(|account| account.parse().unwrap());
            message_line(&message)
        };
        for (username, account, line) in [
            ("ann", None, "1970-01-01T00:00:00Z 41 ann: hi\n"),
            ("@ann", None, "1970-01-01T00:00:00Z 41 @ann: hi\n"),
            ("ann", Some("ann"), "1970-01-01T00:00:00Z 41@ann: hi\n"),
            ("Ann B.", Some("ann"), "1970-01-01T00:00:00Z 41@ann Ann B.: hi\n"),
        ] {
            assert_eq!(from(username, account), line);
        }
    }

    #[test]
    fn columns_line_up_by_displayed_width() {
        let channels = ["general", "世界", "e\u{301}", "👩\u{200d}💻", "\u{202e}"].map(channel);
        let lines: Vec<_> = channel_lines(&channels).collect();
        assert_eq!(
            lines,
            [
                "general   127.0.0.1:22236",
                "世界      127.0.0.1:22236",
                "e\u{301}         127.0.0.1:22236",
                "👩\u{200d}💻        127.0.0.1:22236",
                r"\u{202e}  127.0.0.1:22236",
            ]
        );
    }
}

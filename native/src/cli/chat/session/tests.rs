//! A chat against a server that is played by the test.

mod channels;
mod deleting;
mod naming;
mod people;
mod reading_back;

use chanwire_core::{
    Limits,
    endpoint::{Client, ClientEvent, Endpoint as _},
    wire::{ErrorResponse, JoinFrom, Notice, Presence, Response, Timestamp},
};

use super::{
    room::{HELD, Phase},
    *,
};
use crate::cli::chat::tabs::row_of_tabs;

const TRACKER: &str = "192.0.2.1:22236";

/// A session, and the client endpoint that numbers its requests as the real one does.
struct Trial {
    session: Session,
    client: Client,
    now: Time,
    /// The window that the servers tell of; `None` of older ones.
    retry_window: Option<u64>,
    features: &'static [&'static str],
}

/// A connection of the first channel.
impl From<i32> for Link {
    fn from(number: i32) -> Self {
        (1, number).into()
    }
}

/// A connection of a channel, or of none: 0.
impl From<(i32, i32)> for Link {
    fn from((room, number): (i32, i32)) -> Self {
        Self { room: RoomId(room.try_into().unwrap()), number: number.try_into().unwrap() }
    }
}

/// Returns the number of a connection, after that of its channel unless that is the first.
fn number(link: &Link) -> String {
    let RoomId(room) = link.room;
    if room == 1 { link.number.to_string() } else { format!("{room}.{}", link.number) }
}

/// Outputs of the session, in words.
fn words(output: &Output) -> String {
    match output {
        Output::Connect { link, to } => format!("connect {} {to}", number(link)),
        Output::Close { link } => format!("close {}", number(link)),
        Output::Ring => "ring".into(),
        Output::ReadBack { channel, messages, search } => {
            let search = search.as_ref().map_or(String::new(), |text| format!(" for {text}"));
            format!("read back {} of {channel}{search}", messages.len())
        }
        Output::Older { before, messages: Ok(messages), .. } => format!("{} before {before}", messages.len()),
        Output::Older { before, messages: Err(reason), .. } => format!("none before {before}: {reason}"),
        Output::Tabs(tabs) => format!("tabs {}", row_of_tabs(tabs, 1000)),
        Output::Trust { server, pin } => format!("trust {server} {pin}"),
        Output::Moved => "moved".into(),
        Output::Asking(question) => format!("asking {question}"),
        Output::Quit(verdict) => format!("quit {}", verdict.code),
        Output::Show(Shown::Message(message, mention)) => {
            let mark = match mention {
                Mention::No => "",
                Mention::Earlier => " (mention)",
                Mention::New => " (new mention)",
            };
            format!("{} {}: {}{mark}", message.id, message.username, message.message_content)
        }
        Output::Show(Shown::Channels { channels, .. }) => format!("{} channels", channels.len()),
        Output::Show(Shown::Note(text)) => format!("* {text}"),
        Output::Show(Shown::Trouble(text)) => format!("! {text}"),
        Output::Send { link, request } => match request {
            Request::List => format!("list {}", number(link)),
            Request::Join { from, username, .. } => {
                let from = match from {
                    JoinFrom::Last(count) => format!("last {count}"),
                    JoinFrom::After(id) => format!("after {id}"),
                };
                let name = username.as_ref().map_or(String::new(), |name| format!(" as {name}"));
                format!("join {} {from}{name}", number(link))
            }
            Request::Message(message) => {
                let id = if message.client_message_id.is_some() { "" } else { " (no id)" };
                let name = if &*message.username == "ann" { "" } else { &format!(" as {}", message.username) };
                format!("say {} {}{id}{name}", number(link), message.message_content)
            }
            Request::History { range, limit, .. } => format!("history {} {range:?} {limit}", number(link)),
            request => format!("{request:?}"),
        },
    }
}

fn message(id: u64, username: &str, text: &str) -> StoredMessage {
    StoredMessage::new("general".parse().unwrap(), id, username.parse().unwrap(), text.into(), Timestamp::from_unix(0))
}

impl Trial {
    fn new(interactive: bool) -> Self {
        Self::at(TRACKER, interactive)
    }

    fn at(tracker: &str, interactive: bool) -> Self {
        let new_id = || Ok(ClientMessageId::from_random(7));
        let options =
            Options { user: "ann".parse().unwrap(), interactive, shows_presence: true, signs_in: false, new_id };
        let session = Session::new(tracker.parse().unwrap(), "general".parse().unwrap(), options, 7);
        let (now, features) = (Time::default(), &[Hello::CLIENT_MESSAGE_ID][..]);
        Self { session, client: Client::new(Limits::client()), now, retry_window: Some(3600), features }
    }

    /// A connection is made, and the server answers HELLO.
    fn connected(&mut self, link: impl Into<Link>) {
        let link = link.into();
        self.session.handle_connected(link);
        let hello = self.retry_window.map(|window| {
            let mut hello = Hello::new(65_536);
            hello.features = self.features.iter().copied().map(Into::into).collect();
            hello.retry_window = Some(window);
            hello
        });
        self.session.handle_hello(link, hello);
    }

    /// Returns a session on the channel, hosted by the tracker itself, with these messages shown.
    fn live(interactive: bool, messages: &[StoredMessage]) -> Self {
        Self::new(interactive).joins(messages)
    }

    /// As [`live`](Self::live), at a server that knows no ids.
    fn live_at_older(interactive: bool, messages: &[StoredMessage]) -> Self {
        Self { retry_window: None, ..Self::new(interactive) }.joins(messages)
    }

    fn joins(self, messages: &[StoredMessage]) -> Self {
        let mut trial = self;
        assert_eq!(trial.wants(), [format!("connect 1 {TRACKER}")]);
        trial.connected(1);
        assert_eq!(trial.wants(), ["list 1"]);
        trial.listed(1, "127.0.0.1:22236");
        assert_eq!(trial.wants(), ["join 1 last 20"]);
        let last = messages.last().map_or(0, |message| message.id);
        trial.joined(1, messages.first().map_or(1, |message| message.id), last);
        messages.iter().for_each(|message| trial.push(1, message));
        trial.wants();
        trial
    }

    fn wants(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.session.poll_output()).map(|output| words(&output)).collect()
    }

    fn answer(&mut self, link: impl Into<Link>, response: Response) {
        // The endpoint alone makes numbers of requests.
        let id = self.client.send(self.now, &Request::List).unwrap();
        let mut frame = Vec::new();
        Response::Channels(Vec::new()).encode(&mut frame);
        self.client.handle_input(self.now, &frame);
        assert!(self.client.poll_event().is_some());
        self.session.handle_event(self.now, link.into(), ClientEvent::Answer { id, response });
    }

    fn listed(&mut self, link: impl Into<Link>, at: &str) {
        let channel = Channel { channel_name: "general".parse().unwrap(), address: at.parse().unwrap() };
        self.answer(link, Response::Channels(vec![channel]));
    }

    fn joined(&mut self, link: impl Into<Link>, first_id: u64, last_id: u64) {
        self.answer(link, Response::Joined { channel_name: "general".parse().unwrap(), first_id, last_id });
    }

    fn delivered(&mut self, link: impl Into<Link>) {
        self.answer(link, Response::Delivered { timestamp: Timestamp::from_unix(0), id: None });
    }

    fn push(&mut self, link: impl Into<Link>, message: &StoredMessage) {
        self.session.handle_event(self.now, link.into(), ClientEvent::Push(message.clone()));
    }

    fn line(&mut self, line: &str) {
        self.session.handle_line(self.now, line);
    }

    fn lose(&mut self, link: impl Into<Link>) {
        self.session.handle_lost(
            self.now,
            link.into(),
            Lost { retry_after: None, untrusted: None, is_final: false, reason: "lost".into() },
        );
    }

    /// Waits until it tries again, and lets it find the channel: up to JOIN on this link.
    fn come_back(&mut self, link: impl Into<Link>) -> Vec<String> {
        self.now = self.session.poll_timeout().unwrap();
        self.session.handle_timeout(self.now);
        let link = link.into();
        self.wants();
        self.connected(link);
        self.listed(link, "127.0.0.1:22236");
        let wants = self.wants();
        wants.into_iter().filter(|want| !want.starts_with("list")).collect()
    }
}

#[test]
fn a_loopback_address_of_a_remote_tracker_is_the_trackers_host() {
    let mut trial = Trial::new(true);
    trial.wants();
    trial.connected(1);
    trial.wants();
    trial.listed(1, "localhost:22240");
    assert_eq!(trial.wants(), ["close 1", "connect 2 192.0.2.1:22240"]);
    trial.connected(2);
    assert_eq!(trial.wants(), ["join 2 last 20"]);
    trial.joined(2, 1, 0);
    assert_eq!(trial.wants(), ["* on general at 192.0.2.1:22240 as ann; /help shows the commands"]);
    trial.line("/list");
    assert_eq!(trial.wants(), [format!("connect 0.1 {TRACKER}")]);
    trial.connected((0, 1));
    assert_eq!(trial.wants(), ["list 0.1"]);
    trial.listed((0, 1), "localhost:22240");
    assert_eq!(trial.wants(), ["close 0.1", "1 channels"]);
    // A tracker that is away does not keep it from its host.
    trial.lose(2);
    trial.now = trial.session.poll_timeout().unwrap();
    trial.session.handle_timeout(trial.now);
    trial.wants();
    trial.lose(3);
    assert_eq!(trial.wants(), ["connect 4 192.0.2.1:22240"]);
}

#[test]
fn a_channel_of_the_server_at_a_unix_socket_is_joined_there_and_another_at_its_host() {
    const SOCKET: &str = "unix:/run/chanwire.sock";
    let mut trial = Trial::at(SOCKET, true);
    assert_eq!(trial.wants(), [format!("connect 1 {SOCKET}")]);
    trial.connected(1);
    trial.listed(1, "192.0.2.1:22236");
    assert_eq!(trial.wants(), ["list 1", "join 1 last 20"]);
    trial.joined(1, 1, 0);
    assert_eq!(trial.wants(), [format!("* on general at {SOCKET} as ann; /help shows the commands")]);

    let mut trial = Trial::at(SOCKET, true);
    trial.connected(1);
    trial.listed(1, "192.0.2.7:22240");
    trial.wants();
    trial.answer(1, Response::Error(ErrorResponse::request("Channel hosted elsewhere", "x")));
    assert_eq!(trial.wants(), ["close 1", "connect 2 192.0.2.7:22240"]);
    trial.connected(2);
    assert_eq!(trial.wants(), ["join 2 last 20"]);
    // A host that sends it on is not followed in circles.
    trial.answer(2, Response::Error(ErrorResponse::request("Channel hosted elsewhere", "x")));
    assert_eq!(trial.wants(), ["close 2", "quit 3"]);
}

#[test]
fn a_failure_before_the_first_join_ends_the_chat_with_its_exit_code() {
    let mut trial = Trial::new(true);
    trial.lose(1);
    assert_eq!(trial.wants()[1..], ["quit 1"]);

    let mut trial = Trial::new(true);
    trial.connected(1);
    trial.answer(1, Response::Channels(Vec::new()));
    assert_eq!(trial.wants().last().unwrap(), "quit 3");

    let mut trial = Trial::new(true);
    trial.line("early");
    trial.connected(1);
    trial.listed(1, TRACKER);
    trial.answer(1, Response::Error(ErrorResponse::server("Database connection failed", "x")));
    assert_eq!(trial.wants()[4..], ["close 1", "! not sent: early", "quit 4"]);
}

#[test]
fn a_pipe_that_says_nothing_learns_whether_the_channel_is_there() {
    let mut trial = Trial::new(false);
    trial.session.handle_end(trial.now);
    trial.connected(1);
    trial.listed(1, TRACKER);
    assert_eq!(trial.wants()[1..], ["list 1", "join 1 last 20"]);
    trial.joined(1, 1, 0);
    assert_eq!(trial.wants()[1..], ["close 1", "quit 0"]);

    let mut trial = Trial::new(false);
    trial.session.handle_end(trial.now);
    trial.lose(1);
    assert_eq!(trial.wants()[1..], ["quit 1"]);
}

#[test]
fn after_a_loss_it_comes_back_where_it_was_and_sends_again_what_was_not_answered() {
    let before = [message(7, "bob", "hello")];
    let mut trial = Trial::live(true, &before);
    for text in ["a", "b", "c"] {
        trial.line(text);
    }
    assert_eq!(trial.wants(), ["say 1 a", "say 1 b", "say 1 c"]);
    trial.delivered(1);
    trial.lose(1);
    trial.line("d");
    let wants = trial.wants();
    assert_eq!(wants.len(), 2, "{wants:?}");
    assert_eq!(trial.come_back(2), ["join 2 after 6"]);
    trial.joined(2, 7, 9);
    assert_eq!(trial.wants(), ["* connected again", "say 2 b", "say 2 c", "say 2 d"]);
    trial.push(2, &before[0]);
    trial.push(2, &message(8, "ann", "a"));
    trial.push(2, &message(9, "ann", "b"));
    assert_eq!(trial.wants(), ["8 ann: a", "9 ann: b"]);
    for _ in 0..3 {
        trial.delivered(2);
    }
    trial.line("/quit");
    assert_eq!(trial.wants(), ["close 2", "quit 0"]);
}

#[test]
fn of_what_an_older_server_did_not_answer_it_is_told_that_it_may_be_stored() {
    for interactive in [true, false] {
        let mut trial = Trial::live_at_older(interactive, &[message(7, "bob", "hello")]);
        trial.line("a");
        trial.line("b");
        assert_eq!(trial.wants(), ["say 1 a (no id)", "say 1 b (no id)"]);
        trial.delivered(1);
        trial.lose(1);
        trial.line("c");
        trial.wants();
        trial.come_back(2);
        trial.joined(2, 7, 7);
        let maybe = "! maybe sent: b (whether it was stored is not known; it is not sent again)";
        assert_eq!(trial.wants(), ["* connected again", "say 2 c (no id)", maybe]);
        trial.session.handle_end(trial.now);
        trial.wants();
        trial.delivered(2);
        assert_eq!(trial.wants(), ["close 2", if interactive { "quit 0" } else { "quit 1" }]);
    }
}

#[test]
fn another_history_is_known_by_its_messages_and_by_its_end() {
    let lost = || {
        let mut trial = Trial::live(true, &[message(7, "bob", "hello")]);
        trial.lose(1);
        trial.wants();
        assert_eq!(trial.come_back(2), ["join 2 after 6"]);
        trial
    };
    let mut trial = lost();
    trial.joined(2, 7, 7);
    trial.push(2, &message(7, "eve", "hello"));
    let other = "! the channel has other messages than before; here they are as they are now";
    assert_eq!(trial.wants(), ["* connected again", other, "7 eve: hello"]);

    // A message that was deleted meanwhile is the same one.
    let mut trial = lost();
    trial.joined(2, 7, 8);
    trial.push(2, &message(7, "bob", "hello").tombstone());
    trial.push(2, &message(8, "host", "Deleted message 7"));
    assert_eq!(trial.wants(), ["* connected again", "8 host: Deleted message 7"]);

    let mut trial = lost();
    let beyond = ErrorResponse::request("Invalid payload", "Field 'after' is beyond the last id 2");
    trial.answer(2, Response::Error(beyond));
    assert_eq!(trial.wants(), ["join 2 last 20"]);
    trial.joined(2, 1, 1);
    trial.push(2, &message(1, "eve", "a"));
    assert_eq!(trial.wants(), ["* connected again", "1 eve: a"]);
}

#[test]
fn messages_that_are_not_kept_any_more_are_told_of() {
    let mut trial = Trial::live(true, &[message(7, "bob", "hello")]);
    trial.lose(1);
    trial.wants();
    trial.come_back(2);
    trial.joined(2, 10, 10);
    trial.push(2, &message(10, "bob", "later"));
    let missed = "! 2 messages that came meanwhile cannot be shown: the host no longer keeps them";
    assert_eq!(trial.wants(), ["* connected again", missed, "10 bob: later"]);
}

#[test]
fn what_a_server_failed_to_store_is_sent_again_after_a_while_and_what_it_refused_is_not() {
    let mut trial = Trial::live(true, &[]);
    trial.line("a");
    trial.line("b");
    trial.line("c");
    trial.wants();
    let failed = || Response::Error(ErrorResponse::server("Database connection failed", "x"));
    trial.answer(1, failed());
    trial.answer(1, failed());
    assert_eq!(trial.wants(), ["! Database connection failed: x (trying again)"]);
    trial.answer(1, Response::Error(ErrorResponse::request("Invalid payload", "y")));
    assert_eq!(trial.wants(), ["! not sent: c (Invalid payload: y)"]);
    trial.session.handle_timeout(trial.now);
    assert_eq!(trial.wants(), [""; 0]);
    trial.now = trial.session.poll_timeout().unwrap();
    trial.session.handle_timeout(trial.now);
    assert_eq!(trial.wants(), ["say 1 a"]);
    assert_eq!(trial.session.poll_timeout(), None);
    trial.delivered(1);
    assert_eq!(trial.wants(), ["say 1 b"]);

    let mut trial = Trial::live_at_older(true, &[]);
    trial.line("a");
    trial.wants();
    trial.answer(1, failed());
    let maybe = "! maybe sent: a (whether it was stored is not known; it is not sent again)";
    assert_eq!(trial.wants(), ["! Database connection failed: x", maybe]);
}

#[test]
fn a_message_older_than_the_servers_memory_is_not_sent_again() {
    let mut trial = Trial::live(true, &[]);
    trial.line("a");
    trial.lose(1);
    trial.wants();
    trial.come_back(2);
    trial.now = trial.now.after(Duration::from_secs(3600));
    trial.joined(2, 1, 0);
    let maybe = "! maybe sent: a (whether it was stored is not known; it is not sent again)";
    assert_eq!(trial.wants(), ["* connected again", maybe]);
}

#[test]
fn leaving_waits_for_what_is_on_its_way_but_not_for_ever() {
    let mut trial = Trial::live(true, &[]);
    trial.line("a");
    trial.line("/quit");
    assert_eq!(trial.wants(), ["say 1 a", "* waiting up to 10 seconds for 1 message; Ctrl-C leaves now"]);
    trial.now = trial.session.poll_timeout().unwrap();
    trial.session.handle_timeout(trial.now);
    assert_eq!(trial.wants(), ["close 1", "! no answer came: a", "quit 0"]);
    // A second time is now.
    let mut trial = Trial::live(true, &[]);
    trial.lose(1);
    trial.line("a");
    trial.wants();
    trial.session.handle_end(trial.now);
    trial.session.handle_end(trial.now);
    assert_eq!(trial.wants()[1..], ["! not sent: a", "quit 0"]);
    assert_eq!((trial.session.poll_timeout(), trial.wants()), (None, Vec::new()));
}

#[test]
fn the_same_trouble_is_told_once_and_waits_grow_until_a_connection_holds() {
    let mut trial = Trial::live(true, &[]);
    trial.lose(1);
    let mut waits = Vec::new();
    for link in 2..12 {
        let at = trial.session.poll_timeout().unwrap();
        waits.push(at.since(trial.now));
        trial.now = at;
        trial.session.handle_timeout(at);
        trial.lose(link);
    }
    let warnings = trial.wants().into_iter().filter(|want| want.starts_with('!')).count();
    assert_eq!(warnings, 1);
    assert!(waits[0] <= Duration::from_millis(250) && waits[9] >= Duration::from_secs(15), "{waits:?}");
    trial.come_back(12);
    trial.joined(12, 1, 0);
    trial.now = trial.now.after(HELD);
    trial.lose(12);
    assert!(trial.session.poll_timeout().unwrap().since(trial.now) <= Duration::from_millis(250));
}

#[test]
fn a_slash_begins_a_command_and_two_begin_a_text() {
    let mut trial = Trial::live(true, &[message(7, "bob", "hello")]);
    trial.line("//quit");
    trial.line("");
    trial.line("/history");
    trial.line("/history 5");
    assert_eq!(trial.wants(), ["say 1 /quit", "history 1 Before(7) 20", "history 1 Before(7) 5"]);
    for (line, start) in
        [("/nothing", "! not sent: /nothing ("), ("/history x", "! /history takes"), ("/join", "! /join needs")]
    {
        trial.line(line);
        let wants = trial.wants();
        assert!(wants.len() == 1 && wants[0].starts_with(start), "{wants:?}");
    }
    trial.delivered(1);
    trial.answer(
        1,
        Response::History { channel_name: "general".parse().unwrap(), messages: vec![message(3, "bob", "old")] },
    );
    assert_eq!(trial.wants(), ["* 1 message from before:", "3 bob: old", "* that was before"]);
    trial.answer(1, Response::History { channel_name: "general".parse().unwrap(), messages: Vec::new() });
    assert_eq!(trial.wants(), ["* no older messages"]);
}

#[test]
fn a_paste_asks_once_and_is_never_a_command() {
    let mut trial = Trial::live(true, &[]);
    trial.session.handle_paste(trial.now, "/quit\na\n\nb\n".into());
    assert_eq!(trial.wants(), ["! send 3 lines? y/n (o: as one message)", "asking true"]);
    trial.session.handle_paste(trial.now, "c\nd".into());
    assert_eq!(trial.wants(), [""; 0]);
    trial.line("y");
    let second = ["! send 2 lines? y/n (o: as one message)", "asking true"];
    assert_eq!(trial.wants(), [&["asking false", "say 1 /quit", "say 1 a", "say 1 b"], &second[..]].concat());
    trial.line("O");
    assert_eq!(trial.wants(), ["asking false", "say 1 c\nd"]);
    trial.session.handle_paste(trial.now, "e\nf".into());
    trial.wants();
    trial.line("n");
    assert_eq!(trial.wants(), ["asking false"]);
    // A question that is open at the end is reported.
    trial.session.handle_paste(trial.now, "e\nf".into());
    trial.wants();
    trial.line("/leave");
    assert!(trial.wants().contains(&"! not sent: 2 pasted lines".to_owned()));
    trial.session.handle_paste(trial.now, "e\nf".into());
    assert!(trial.wants()[0].starts_with("! not sent: 2 pasted lines (on no channel"));
}

#[test]
fn a_large_paste_is_sent_as_it_is_answered_and_all_of_it() {
    let mut trial = Trial::live(true, &[]);
    let lines: Vec<String> = (0..5000).map(|line| format!("line {line}")).collect();
    trial.session.handle_paste(trial.now, lines.join("\n"));
    trial.line("y");
    let mut said = Vec::new();
    loop {
        let wants = trial.wants();
        let sent: Vec<_> = wants.iter().filter_map(|want| want.strip_prefix("say 1 ").map(str::to_owned)).collect();
        if sent.is_empty() {
            break;
        }
        assert!(trial.session.current().unwrap().outbox.waiting() <= 256);
        sent.iter().for_each(|_| trial.delivered(1));
        said.extend(sent);
    }
    assert_eq!(said, lines);
    // No server takes it, and it would close the connection.
    trial.line(&"x".repeat(65_500));
    let wants = trial.wants();
    assert!(
        wants[0].ends_with("(a message of 65626 bytes; a server takes at most 65536)") && wants.len() == 1,
        "{wants:?}"
    );
}

#[test]
fn messages_are_skipped_while_the_screen_is_behind() {
    let mut trial = Trial::live(true, &[message(1, "bob", "a")]);
    trial.line("mine");
    trial.wants();
    trial.session.handle_behind();
    trial.session.handle_behind();
    assert_eq!(trial.wants(), ["Leave { channel_name: \"general\" }"]);
    trial.push(1, &message(2, "bob", "b"));
    assert!(trial.session.is_skipping());
    trial.delivered(1);
    trial.answer(1, Response::Left { channel_name: "general".parse().unwrap() });
    assert_eq!(trial.wants(), [""; 0]);
    trial.session.handle_caught_up();
    assert_eq!(trial.wants(), ["join 1 last 20"]);
    trial.joined(1, 81, 100);
    let skipped = "! 79 messages skipped: the terminal does not keep up (/history shows the last of them)";
    assert_eq!(trial.wants(), [skipped]);
    trial.push(1, &message(81, "bob", "c"));
    assert_eq!(trial.wants(), ["81 bob: c"]);
    trial.line("/history 7");
    assert_eq!(trial.wants(), ["history 1 Before(81) 7"]);
}

#[test]
fn nothing_is_shown_twice_where_few_messages_were_skipped() {
    let mut trial = Trial::live(true, &[message(1, "bob", "a"), message(2, "bob", "b")]);
    trial.session.handle_behind();
    trial.session.handle_caught_up();
    trial.answer(1, Response::Left { channel_name: "general".parse().unwrap() });
    trial.wants();
    trial.joined(1, 1, 3);
    for (id, text) in [(1, "a"), (2, "b"), (3, "c")] {
        trial.push(1, &message(id, "bob", text));
    }
    assert_eq!(trial.wants(), ["3 bob: c"]);
}

#[test]
fn a_channel_that_is_found_again_while_the_screen_is_behind_goes_on_with_its_last_messages() {
    let mut trial = Trial::live(true, &[message(1, "bob", "a")]);
    trial.session.handle_behind();
    trial.lose(1);
    trial.wants();
    assert_eq!(trial.come_back(2).last().unwrap(), "join 2 last 20");
    trial.joined(2, 81, 100);
    assert!(trial.wants()[0].starts_with("! 79 messages skipped"));
}

#[test]
fn a_server_that_stops_is_left_for_as_long_as_it_asked_and_what_it_did_not_answer_is_sent_again() {
    let mut trial = Trial::live(true, &[message(7, "bob", "hello")]);
    trial.line("a");
    assert_eq!(trial.wants(), ["say 1 a"]);
    let lost = Lost {
        retry_after: Some(Duration::from_secs(3)),
        untrusted: None,
        is_final: false,
        reason: "the server stops".into(),
    };
    trial.session.handle_lost(trial.now, 1.into(), lost);
    assert_eq!(trial.wants(), [format!("! {TRACKER}: the server stops; back in 3 s")]);
    let at = trial.session.poll_timeout().unwrap();
    assert!((3000..4000).contains(&at.since(trial.now).as_millis()), "{at:?}");
    assert_eq!(trial.come_back(2), ["join 2 after 6"]);
    trial.joined(2, 7, 7);
    assert_eq!(trial.wants(), ["* connected again", "say 2 a"]);
}

#[test]
fn messages_in_flight_are_sent_again_if_the_connection_ends_while_the_channel_is_joined_again() {
    let mut trial = Trial::live(true, &[message(1, "bob", "hello")]);
    trial.session.handle_behind();
    trial.line("a");
    trial.answer(1, Response::Left { channel_name: "general".parse().unwrap() });
    trial.line("b");
    trial.session.handle_caught_up();
    trial.delivered(1);
    trial.wants();
    assert!(matches!(trial.session.current().unwrap().phase, Phase::Joining(_)));
    trial.lose(1);
    trial.wants();
    trial.come_back(2);
    trial.joined(2, 1, 1);
    assert_eq!(trial.wants(), ["* connected again", "say 2 b"]);
}

#[test]
fn a_message_that_one_host_may_have_stored_is_not_sent_to_another() {
    let mut trial = Trial::live(true, &[]);
    trial.line("a");
    trial.lose(1);
    trial.line("b");
    trial.now = trial.session.poll_timeout().unwrap();
    trial.session.handle_timeout(trial.now);
    trial.connected(2);
    trial.listed(2, "192.0.2.2:22236");
    trial.connected(3);
    trial.wants();
    trial.joined(3, 1, 0);
    let maybe = "! maybe sent: a (whether it was stored is not known; it is not sent again)";
    assert_eq!(trial.wants(), ["* connected again", "say 3 b", maybe]);
}

/// Returns a notice of those who joined and left.
fn presence(joined: &[&str], left: &[&str]) -> ClientEvent {
    let users = |names: &[&str]| {
        let user = |name: &&str| chanwire_core::wire::User { username: name.parse().unwrap(), account: None };
        names.iter().map(user).collect()
    };
    let (joined, left) = (users(joined), users(left));
    ClientEvent::Notice(Notice::Presence(Presence { channel_name: "general".parse().unwrap(), count: 9, joined, left }))
}

fn left() -> Response {
    Response::Left { channel_name: "general".parse().unwrap() }
}

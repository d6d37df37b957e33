//! A chat against a server that is played by the test.

use chanwire_core::{
    Limits,
    endpoint::{Client, ClientEvent, Endpoint as _},
    wire::{ErrorResponse, JoinFrom, Presence, Timestamp},
};

use super::*;

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

/// Outputs of the session, in words.
fn words(output: &Output) -> String {
    match output {
        Output::Connect { link, to } => format!("connect {} {to}", link.0),
        Output::Close { link } => format!("close {}", link.0),
        Output::Trust { server, pin } => format!("trust {server} {pin}"),
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
            Request::List => format!("list {}", link.0),
            Request::Join { from, username, .. } => {
                let from = match from {
                    JoinFrom::Last(count) => format!("last {count}"),
                    JoinFrom::After(id) => format!("after {id}"),
                };
                let name = username.as_ref().map_or(String::new(), |name| format!(" as {name}"));
                format!("join {} {from}{name}", link.0)
            }
            Request::Message(message) => {
                let id = if message.client_message_id.is_some() { "" } else { " (no id)" };
                let name = if &*message.username == "ann" { "" } else { &format!(" as {}", message.username) };
                format!("say {} {}{id}{name}", link.0, message.message_content)
            }
            Request::History { range, limit, .. } => format!("history {} {range:?} {limit}", link.0),
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
    fn connected(&mut self, link: u64) {
        self.session.handle_connected(Link(link));
        let hello = self.retry_window.map(|window| {
            let mut hello = Hello::new(65_536);
            hello.features = self.features.iter().copied().map(Into::into).collect();
            hello.retry_window = Some(window);
            hello
        });
        self.session.handle_hello(Link(link), hello);
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

    fn answer(&mut self, link: u64, response: Response) {
        // The endpoint alone makes numbers of requests.
        let id = self.client.send(self.now, &Request::List).unwrap();
        let mut frame = Vec::new();
        Response::Channels(Vec::new()).encode(&mut frame);
        self.client.handle_input(self.now, &frame);
        assert!(self.client.poll_event().is_some());
        self.session.handle_event(self.now, Link(link), ClientEvent::Answer { id, response });
    }

    fn listed(&mut self, link: u64, at: &str) {
        let channel = Channel { channel_name: "general".parse().unwrap(), address: at.parse().unwrap() };
        self.answer(link, Response::Channels(vec![channel]));
    }

    fn joined(&mut self, link: u64, first_id: u64, last_id: u64) {
        self.answer(link, Response::Joined { channel_name: "general".parse().unwrap(), first_id, last_id });
    }

    fn delivered(&mut self, link: u64) {
        self.answer(link, Response::Delivered { timestamp: Timestamp::from_unix(0), id: None });
    }

    fn push(&mut self, link: u64, message: &StoredMessage) {
        self.session.handle_event(self.now, Link(link), ClientEvent::Push(message.clone()));
    }

    fn line(&mut self, line: &str) {
        self.session.handle_line(self.now, line);
    }

    fn lose(&mut self, link: u64) {
        self.session.handle_lost(
            self.now,
            Link(link),
            Lost { retry_after: None, untrusted: None, is_final: false, reason: "lost".into() },
        );
    }

    /// Waits until it tries again, and lets it find the channel: up to JOIN on this link.
    fn come_back(&mut self, link: u64) -> Vec<String> {
        self.now = self.session.poll_timeout().unwrap();
        self.session.handle_timeout(self.now);
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
    assert_eq!(trial.wants(), [format!("connect 3 {TRACKER}")]);
    trial.connected(3);
    assert_eq!(trial.wants(), ["list 3"]);
    trial.listed(3, "localhost:22240");
    assert_eq!(trial.wants(), ["close 3", "1 channels"]);
    // A tracker that is away does not keep it from its host.
    trial.lose(2);
    trial.now = trial.session.poll_timeout().unwrap();
    trial.session.handle_timeout(trial.now);
    trial.wants();
    trial.lose(4);
    assert_eq!(trial.wants(), ["connect 5 192.0.2.1:22240"]);
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
fn another_channel_is_another_room_and_unsettled_messages_are_shown() {
    let mut trial = Trial::live(true, &[]);
    trial.line("a");
    trial.line("/join other");
    assert_eq!(trial.wants(), ["say 1 a", "close 1", "! no answer came: a", &format!("connect 2 {TRACKER}")]);
    trial.delivered(1);
    trial.connected(2);
    let other = Channel { channel_name: "other".parse().unwrap(), address: TRACKER.parse().unwrap() };
    trial.answer(2, Response::Channels(vec![other]));
    assert_eq!(trial.wants(), ["list 2", "join 2 last 20"]);
    trial.joined(2, 1, 0);
    assert_eq!(trial.wants(), [format!("* on other at {TRACKER} as ann; /help shows the commands")]);
    trial.line("/leave");
    trial.line("b");
    trial.line("/join general");
    let left = "* on no channel; /join NAME goes to one, /quit leaves the chat";
    let nowhere = "! not sent: b (on no channel; /join NAME goes to one)";
    assert_eq!(trial.wants(), ["close 2", left, nowhere, &format!("connect 3 {TRACKER}")]);
}

#[test]
fn going_to_a_missing_channel_returns_and_misses_nothing() {
    let mut trial = Trial::live(true, &[message(7, "bob", "hello")]);
    trial.line("/join other");
    trial.line("/join another");
    assert_eq!(trial.wants(), ["close 1", &format!("connect 2 {TRACKER}"), "close 2", &format!("connect 3 {TRACKER}")]);
    trial.line("a");
    trial.wants();
    trial.connected(3);
    trial.listed(3, TRACKER);
    let none = format!("! there is no channel 'another' at {TRACKER}; it lists general (back to general)");
    let back = format!("connect 4 {TRACKER}");
    assert_eq!(trial.wants(), ["list 3", "close 3", "! not sent: a", &none, &back]);
    trial.connected(4);
    trial.listed(4, TRACKER);
    assert_eq!(trial.wants(), ["list 4", "join 4 after 6"]);
    trial.joined(4, 7, 8);
    trial.push(4, &message(7, "bob", "hello"));
    trial.push(4, &message(8, "bob", "you are back"));
    assert_eq!(trial.wants(), ["* connected again", "8 bob: you are back"]);
    // After /leave there is nothing to come back to.
    trial.line("/leave");
    trial.line("/join other");
    trial.wants();
    trial.connected(5);
    trial.listed(5, TRACKER);
    let none = format!("! there is no channel 'other' at {TRACKER}; it lists general");
    assert_eq!(trial.wants(), ["list 5", "close 5", &none, "* on no channel; /join NAME goes to one"]);
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
        assert!(trial.session.room.as_ref().unwrap().outbox.waiting() <= 256);
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
    trial.session.handle_lost(trial.now, Link(1), lost);
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
    assert!(matches!(trial.session.phase, Phase::Joining(_)));
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

#[test]
fn a_host_that_says_who_is_there_is_told_the_name_and_asked_by_a_command() {
    let mut trial = Trial::new(true);
    trial.wants();
    trial.session.handle_connected(Link(1));
    let mut hello = Hello::new(65_536);
    hello.features = vec![Hello::PRESENCE.into()];
    trial.session.handle_hello(Link(1), Some(hello));
    trial.wants();
    trial.listed(1, "127.0.0.1:22236");
    let Some(Output::Send { request: Request::Join { username, .. }, .. }) = trial.session.poll_output() else {
        panic!("no JOIN")
    };
    assert_eq!(username, Some("ann".parse().unwrap()));
    trial.joined(1, 1, 0);
    trial.wants();
    trial.line("/who");
    assert_eq!(trial.wants(), ["Who { channel_name: \"general\" }"]);
    let users = ["ann", "bob"].map(|name| chanwire_core::wire::User { username: name.parse().unwrap(), account: None });
    let channel_name = "general".parse().unwrap();
    trial.answer(1, Response::Who { channel_name, count: 3, users: users.into(), complete: true });
    assert_eq!(trial.wants(), ["* here, on 3 connections: ann, bob"]);
}

#[test]
fn a_host_that_does_not_say_who_is_there_is_not_told_the_name() {
    let mut trial = Trial::new(true);
    trial.wants();
    trial.connected(1);
    trial.wants();
    trial.listed(1, "127.0.0.1:22236");
    let Some(Output::Send { request: Request::Join { username: None, .. }, .. }) = trial.session.poll_output() else {
        panic!("no JOIN without a name")
    };
    trial.joined(1, 1, 0);
    trial.wants();
    trial.line("/who");
    assert_eq!(trial.wants(), ["! this channel's host does not say who is there"]);
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

#[test]
fn those_who_join_and_leave_are_shown_to_a_user_who_wants_it_but_not_the_user() {
    for (interactive, shows_presence) in [(true, true), (true, false), (false, true)] {
        let mut trial = Trial::live(interactive, &[]);
        trial.session.options.shows_presence = shows_presence;
        for (joined, left) in
            [(&["ann", "bob"][..], &[][..]), (&[], &["cleo", "bob"]), (&["dan"], &["eve"]), (&["ann"], &[])]
        {
            trial.session.handle_event(trial.now, Link(1), presence(joined, left));
        }
        // A channel of many has notices without names.
        trial.session.handle_event(trial.now, Link(1), presence(&[], &[]));
        let shown: &[&str] = &["* bob joined", "* cleo, bob left", "* dan joined; eve left"];
        assert_eq!(trial.wants(), if interactive && shows_presence { shown } else { &[] });
    }
}

#[test]
fn mentions_by_others_are_marked_and_new_ones_told_from_earlier_ones() {
    let mut trial = Trial::live(true, &[message(7, "bob", "hello")]);
    trial.line("/history");
    trial.wants();
    let messages = vec![message(6, "bob", "is Ann here?")];
    trial.answer(1, Response::History { channel_name: "general".parse().unwrap(), messages });
    assert_eq!(trial.wants()[1], "6 bob: is Ann here? (mention)");
    for (id, name, text, shown) in [
        (8, "bob", "ann!", "8 bob: ann! (new mention)"),
        (9, "ann", "ann is me", "9 ann: ann is me"),
        (10, "bob", "annoying", "10 bob: annoying"),
    ] {
        trial.push(1, &message(id, name, text));
        assert_eq!(trial.wants(), [shown]);
    }
    // What was missed is not new.
    trial.lose(1);
    trial.wants();
    trial.come_back(2);
    trial.joined(2, 10, 11);
    trial.push(2, &message(10, "bob", "annoying"));
    trial.push(2, &message(11, "bob", "ann?"));
    assert_eq!(trial.wants()[1..], ["11 bob: ann? (mention)"]);
}

/// Returns a session on the channel, at a host that says who is there, with message 7 shown.
fn live_with_presence() -> Trial {
    let mut trial = Trial::new(true);
    trial.features = &[Hello::CLIENT_MESSAGE_ID, Hello::PRESENCE];
    trial.wants();
    trial.connected(1);
    trial.listed(1, "127.0.0.1:22236");
    assert_eq!(trial.wants(), ["list 1", "join 1 last 20 as ann"]);
    trial.joined(1, 7, 7);
    trial.push(1, &message(7, "bob", "hello"));
    trial.wants();
    trial
}

fn left() -> Response {
    Response::Left { channel_name: "general".parse().unwrap() }
}

#[test]
fn another_name_joins_again_and_misses_and_repeats_nothing() {
    let mut trial = live_with_presence();
    trial.line("before");
    trial.line("/nick eve");
    trial.line("after");
    assert_eq!(trial.wants(), ["say 1 before", "Leave { channel_name: \"general\" }", "say 1 after as eve"]);
    trial.push(1, &message(8, "ann", "before"));
    trial.delivered(1);
    trial.answer(1, left());
    assert_eq!(trial.wants(), ["8 ann: before", "join 1 after 7 as eve"]);
    trial.delivered(1);
    trial.joined(1, 8, 9);
    trial.push(1, &message(8, "ann", "before"));
    trial.push(1, &message(9, "eve", "after"));
    assert_eq!(trial.wants(), ["* you are eve now", "9 eve: after"]);
    // The next connection has the name, too, and what was typed under the former one keeps that.
    trial.line("more");
    trial.line("/nick dan");
    trial.wants();
    trial.lose(1);
    trial.wants();
    assert_eq!(trial.come_back(2), ["join 2 after 8 as dan"]);
    trial.joined(2, 9, 9);
    assert_eq!(trial.wants(), ["* connected again", "* you are dan now", "say 2 more as eve"]);
}

#[test]
fn a_name_that_the_server_does_not_allow_is_not_taken() {
    let mut trial = live_with_presence();
    trial.line("/nick bob");
    trial.wants();
    trial.answer(1, left());
    assert_eq!(trial.wants(), ["join 1 after 6 as bob"]);
    trial.answer(1, Response::Error(ErrorResponse::request("Not allowed", "The name 'bob' belongs to an account")));
    let refused = "! Not allowed: The name 'bob' belongs to an account; you stay ann";
    assert_eq!(trial.wants(), [refused, "join 1 after 6 as ann"]);
    trial.joined(1, 7, 7);
    trial.push(1, &message(7, "bob", "hello"));
    assert_eq!(trial.wants(), [""; 0]);
    trial.line("still");
    assert_eq!(trial.wants(), ["say 1 still"]);
}

#[test]
fn a_name_is_a_guests_and_a_valid_one() {
    let mut trial = Trial::live(true, &[]);
    for (line, start) in [
        ("/nick", "! /nick takes a name: "),
        ("/nick ann", "! you are ann already"),
        ("/nick eve", "* you are eve now"),
    ] {
        trial.line(line);
        let wants = trial.wants();
        assert!(wants.len() == 1 && wants[0].starts_with(start), "{wants:?}");
    }
    trial.session.options.signs_in = true;
    trial.line("/nick dan");
    trial.line("hi");
    assert_eq!(trial.wants(), ["! an account keeps its name; /nick is for guests", "say 1 hi as eve"]);
}

//! A chat against a server that is played by the test.

use chanwire_core::{
    Limits,
    endpoint::{Client, ClientEvent, Endpoint as _},
    wire::{ErrorResponse, JoinFrom, Timestamp},
};

use super::*;

const TRACKER: &str = "192.0.2.1:22236";

/// A session, and the client endpoint that numbers its requests as the real one does.
struct Trial {
    session: Session,
    client: Client,
    now: Time,
}

/// Outputs of the session, in words.
fn words(output: &Output) -> String {
    match output {
        Output::Connect { link, to } => format!("connect {} {to}", link.0),
        Output::Close { link } => format!("close {}", link.0),
        Output::Asking(question) => format!("asking {question}"),
        Output::Quit(verdict) => format!("quit {}", verdict.code),
        Output::Show(Shown::Message(message)) => {
            format!("{} {}: {}", message.id, message.username, message.message_content)
        }
        Output::Show(Shown::Channels { channels, .. }) => format!("{} channels", channels.len()),
        Output::Show(Shown::Note(text)) => format!("* {text}"),
        Output::Show(Shown::Trouble(text)) => format!("! {text}"),
        Output::Send { link, request } => match request {
            Request::List => format!("list {}", link.0),
            Request::Join { from: JoinFrom::Last(count), .. } => format!("join {} last {count}", link.0),
            Request::Join { from: JoinFrom::After(id), .. } => format!("join {} after {id}", link.0),
            Request::Message(message) => format!("say {} {}", link.0, message.message_content),
            Request::History { range, limit, .. } => format!("history {} {range:?} {limit}", link.0),
            request => format!("{request:?}"),
        },
    }
}

fn message(id: u64, username: &str, text: &str) -> StoredMessage {
    StoredMessage {
        channel_name: "general".parse().unwrap(),
        id,
        username: username.parse().unwrap(),
        message_content: text.into(),
        timestamp: Timestamp::from_unix(0),
    }
}

impl Trial {
    fn new(interactive: bool) -> Self {
        let session =
            Session::new(TRACKER.parse().unwrap(), "ann".parse().unwrap(), "general".parse().unwrap(), interactive, 7);
        Self { session, client: Client::new(Limits::client()), now: Time::default() }
    }

    /// Returns a session on the channel, hosted by the tracker itself, with these messages shown.
    fn live(interactive: bool, messages: &[StoredMessage]) -> Self {
        let mut trial = Self::new(interactive);
        assert_eq!(trial.wants(), [format!("connect 1 {TRACKER}")]);
        trial.session.handle_connected(Link(1));
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
        self.answer(link, Response::Delivered { timestamp: Timestamp::from_unix(0) });
    }

    fn push(&mut self, link: u64, message: &StoredMessage) {
        self.session.handle_event(self.now, Link(link), ClientEvent::Push(message.clone()));
    }

    fn line(&mut self, line: &str) {
        self.session.handle_line(self.now, line);
    }

    fn lose(&mut self, link: u64, gone: bool) {
        self.session.handle_lost(
            self.now,
            Link(link),
            Lost { ended_by_server: gone, retry_after: None, reason: "lost".into() },
        );
    }

    /// Waits until it tries again, and lets it find the channel: up to JOIN on this link.
    fn come_back(&mut self, link: u64) -> Vec<String> {
        self.now = self.session.poll_timeout().unwrap();
        self.session.handle_timeout(self.now);
        self.wants();
        self.session.handle_connected(Link(link));
        self.listed(link, "127.0.0.1:22236");
        let wants = self.wants();
        wants.into_iter().filter(|want| !want.starts_with("list")).collect()
    }
}

#[test]
fn a_loopback_address_of_a_remote_tracker_is_the_trackers_host() {
    let mut trial = Trial::new(true);
    trial.wants();
    trial.session.handle_connected(Link(1));
    trial.wants();
    trial.listed(1, "localhost:22240");
    assert_eq!(trial.wants(), ["close 1", "connect 2 192.0.2.1:22240"]);
    trial.session.handle_connected(Link(2));
    assert_eq!(trial.wants(), ["join 2 last 20"]);
    trial.joined(2, 1, 0);
    assert_eq!(trial.wants(), ["* on general at 192.0.2.1:22240 as ann; /help shows the commands"]);
    trial.line("/list");
    assert_eq!(trial.wants(), [format!("connect 3 {TRACKER}")]);
    trial.session.handle_connected(Link(3));
    assert_eq!(trial.wants(), ["list 3"]);
    trial.listed(3, "localhost:22240");
    assert_eq!(trial.wants(), ["close 3", "1 channels"]);
    // A tracker that is away does not keep it from its host.
    trial.lose(2, true);
    trial.now = trial.session.poll_timeout().unwrap();
    trial.session.handle_timeout(trial.now);
    trial.wants();
    trial.lose(4, true);
    assert_eq!(trial.wants(), ["connect 5 192.0.2.1:22240"]);
}

#[test]
fn a_failure_before_the_first_join_ends_the_chat_with_its_exit_code() {
    let mut trial = Trial::new(true);
    trial.lose(1, true);
    assert_eq!(trial.wants()[1..], ["quit 1"]);

    let mut trial = Trial::new(true);
    trial.session.handle_connected(Link(1));
    trial.answer(1, Response::Channels(Vec::new()));
    assert_eq!(trial.wants().last().unwrap(), "quit 3");

    let mut trial = Trial::new(true);
    trial.line("early");
    trial.session.handle_connected(Link(1));
    trial.listed(1, TRACKER);
    trial.answer(1, Response::Error(ErrorResponse::server("Database connection failed", "x")));
    assert_eq!(trial.wants()[4..], ["close 1", "! not sent: early", "quit 4"]);
}

#[test]
fn a_pipe_that_says_nothing_learns_whether_the_channel_is_there() {
    let mut trial = Trial::new(false);
    trial.session.handle_end(trial.now);
    trial.session.handle_connected(Link(1));
    trial.listed(1, TRACKER);
    assert_eq!(trial.wants()[1..], ["list 1", "join 1 last 20"]);
    trial.joined(1, 1, 0);
    assert_eq!(trial.wants()[1..], ["close 1", "quit 0"]);

    let mut trial = Trial::new(false);
    trial.session.handle_end(trial.now);
    trial.lose(1, true);
    assert_eq!(trial.wants()[1..], ["quit 1"]);
}

#[test]
fn after_a_loss_it_comes_back_where_it_was_and_sends_again_only_what_is_missing() {
    let before = [message(7, "bob", "hello")];
    let mut trial = Trial::live(true, &before);
    for text in ["a", "b", "c"] {
        trial.line(text);
    }
    assert_eq!(trial.wants(), ["say 1 a", "say 1 b", "say 1 c"]);
    trial.delivered(1);
    trial.lose(1, true);
    trial.line("d");
    let wants = trial.wants();
    assert_eq!(wants.len(), 2, "{wants:?}");
    assert_eq!(trial.come_back(2), ["join 2 after 6"]);
    trial.joined(2, 7, 9);
    assert_eq!(trial.wants(), ["* connected again"]);
    trial.push(2, &before[0]);
    trial.push(2, &message(8, "ann", "a"));
    // Not before all has been read: "b" or "c" may still come.
    assert_eq!(trial.wants(), ["8 ann: a"]);
    trial.push(2, &message(9, "ann", "b"));
    assert_eq!(trial.wants(), ["9 ann: b", "say 2 c", "say 2 d"]);
    trial.delivered(2);
    trial.delivered(2);
    trial.line("/quit");
    assert_eq!(trial.wants(), ["close 2", "quit 0"]);
}

#[test]
fn a_message_that_may_be_of_another_user_of_the_name_is_asked_about() {
    let before = [message(6, "ann", "of an earlier day"), message(7, "bob", "hello")];
    let mut trial = Trial::live(true, &before);
    // Another ann says this.
    trial.push(1, &message(8, "ann", "hi"));
    trial.line("b");
    trial.lose(1, true);
    trial.wants();
    trial.come_back(2);
    trial.joined(2, 8, 9);
    trial.push(2, &message(8, "ann", "hi"));
    trial.push(2, &message(9, "ann", "b"));
    let question = "! maybe sent: b (one of these words has come under this name, and whether it is this one is not \
                    known) - send it again? y/n";
    assert_eq!(trial.wants(), ["* connected again", "9 ann: b", question, "asking true"]);
    trial.line("n");
    assert_eq!(trial.wants(), ["asking false"]);
}

#[test]
fn an_empty_channel_at_the_same_place_needs_no_message_to_be_known_by() {
    let mut trial = Trial::live(true, &[]);
    trial.line("a");
    trial.lose(1, true);
    trial.wants();
    assert_eq!(trial.come_back(2), ["join 2 after 0"]);
    trial.joined(2, 1, 0);
    assert_eq!(trial.wants(), ["* connected again", "say 2 a"]);
}

/// It was sent, and the connection is lost; then the channel is joined again, and this is how.
fn maybe(gone: bool, back: impl FnOnce(&mut Trial)) -> (Trial, Vec<String>) {
    let mut trial = Trial::live(true, &[message(7, "bob", "hello")]);
    trial.line("a");
    trial.lose(1, gone);
    trial.wants();
    assert_eq!(trial.come_back(2), ["join 2 after 6"]);
    back(&mut trial);
    let wants = trial.wants();
    (trial, wants)
}

const QUESTION: &str = "! maybe sent: a (whether it was stored is not known) - send it again? y/n";

#[test]
fn an_unknown_outcome_is_asked_about() {
    let same = |trial: &mut Trial| {
        trial.joined(2, 7, 7);
        trial.push(2, &message(7, "bob", "hello"));
    };
    // The other end may still carry it out.
    let (mut trial, wants) = maybe(false, same);
    assert_eq!(wants, ["* connected again", QUESTION, "asking true"]);
    trial.line("what?");
    assert_eq!(trial.wants(), ["say 2 what?"]);
    trial.line("Y");
    assert_eq!(trial.wants(), ["asking false", "say 2 a"]);
    // Another answer.
    let (mut trial, _) = maybe(false, same);
    trial.line("n");
    assert_eq!(trial.wants(), ["asking false"]);
    // It comes after all.
    let (mut trial, _) = maybe(false, same);
    trial.push(2, &message(8, "bob", "a"));
    trial.push(2, &message(9, "ann", "a"));
    assert_eq!(trial.wants(), ["8 bob: a", "9 ann: a", "asking false", "* it was sent, as is seen now"]);
    // Or the same from another ann.
    let (mut trial, _) = maybe(false, same);
    trial.push(2, &message(8, "ann", "I am here, too"));
    trial.push(2, &message(9, "ann", "a"));
    assert_eq!(trial.wants(), ["8 ann: I am here, too", "9 ann: a", "* this may be the one"]);
    trial.line("n");
    assert_eq!(trial.wants(), ["asking false"]);
    trial.push(2, &message(10, "ann", "a"));
    assert_eq!(trial.wants(), ["10 ann: a"]);
}

#[test]
fn messages_that_are_not_kept_any_more_may_have_been_the_ones() {
    let (_, wants) = maybe(true, |trial| {
        trial.joined(2, 10, 10);
        trial.push(2, &message(10, "bob", "later"));
    });
    let missed = "! 2 messages that came meanwhile cannot be shown: the host no longer keeps them";
    assert_eq!(wants, ["* connected again", missed, "10 bob: later", QUESTION, "asking true"]);
}

#[test]
fn another_history_is_known_by_its_messages_and_by_its_end() {
    let (_, wants) = maybe(true, |trial| {
        trial.joined(2, 7, 7);
        trial.push(2, &message(7, "eve", "hello"));
    });
    let other = "! the channel has other messages than before; here they are as they are now";
    assert_eq!(wants, ["* connected again", other, "7 eve: hello", QUESTION, "asking true"]);

    let (mut trial, wants) = maybe(true, |trial| {
        trial.answer(
            2,
            Response::Error(ErrorResponse::request("Invalid payload", "Field 'after' is beyond the last id 2")),
        );
    });
    assert_eq!(wants, ["join 2 last 20"]);
    trial.joined(2, 1, 1);
    trial.push(2, &message(1, "eve", "a"));
    assert_eq!(trial.wants(), ["* connected again", "1 eve: a", QUESTION, "asking true"]);
}

#[test]
fn a_server_that_could_not_store_it_leaves_a_question_and_one_that_refused_it_does_not() {
    let mut trial = Trial::live(true, &[]);
    trial.line("a");
    trial.line("b");
    trial.wants();
    trial.answer(1, Response::Error(ErrorResponse::server("Database connection failed", "x")));
    assert_eq!(trial.wants(), ["! Database connection failed: x", QUESTION, "asking true"]);
    trial.answer(1, Response::Error(ErrorResponse::request("Invalid payload", "y")));
    assert_eq!(trial.wants(), ["! not sent: b (Invalid payload: y)"]);
}

#[test]
fn nobody_is_asked_where_nobody_sits_and_the_exit_code_tells() {
    let mut trial = Trial::live(false, &[message(7, "bob", "hello")]);
    trial.line("a");
    trial.lose(1, false);
    trial.wants();
    trial.come_back(2);
    trial.joined(2, 7, 7);
    trial.push(2, &message(7, "bob", "hello"));
    let maybe = "! maybe sent: a (whether it was stored is not known; it is not sent again)";
    assert_eq!(trial.wants(), ["* connected again", maybe]);
    trial.line("y");
    assert_eq!(trial.wants(), ["say 2 y"]);
    trial.session.handle_end(trial.now);
    assert_eq!(trial.wants(), [""; 0]);
    trial.delivered(2);
    assert_eq!(trial.wants(), ["close 2", "quit 1"]);
}

#[test]
fn leaving_waits_for_what_is_on_its_way_but_not_for_ever() {
    let mut trial = Trial::live(true, &[]);
    trial.line("a");
    trial.line("/quit");
    assert_eq!(trial.wants(), ["say 1 a", "* waiting up to 10 seconds for 1 message; Ctrl-C leaves now"]);
    trial.now = trial.session.poll_timeout().unwrap();
    trial.session.handle_timeout(trial.now);
    assert_eq!(trial.wants(), ["close 1", "! maybe sent: a", "quit 0"]);
    // A second time is now.
    let mut trial = Trial::live(true, &[]);
    trial.lose(1, true);
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
    trial.lose(1, true);
    let mut waits = Vec::new();
    for link in 2..12 {
        let at = trial.session.poll_timeout().unwrap();
        waits.push(at.since(trial.now));
        trial.now = at;
        trial.session.handle_timeout(at);
        trial.lose(link, true);
    }
    let warnings = trial.wants().into_iter().filter(|want| want.starts_with('!')).count();
    assert_eq!(warnings, 1);
    assert!(waits[0] <= Duration::from_millis(250) && waits[9] >= Duration::from_secs(15), "{waits:?}");
    trial.come_back(12);
    trial.joined(12, 1, 0);
    trial.now = trial.now.after(HELD);
    trial.lose(12, true);
    assert!(trial.session.poll_timeout().unwrap().since(trial.now) <= Duration::from_millis(250));
}

#[test]
fn another_channel_is_another_room_and_unsettled_messages_are_shown() {
    let mut trial = Trial::live(true, &[]);
    trial.line("a");
    trial.line("/join other");
    assert_eq!(trial.wants(), ["say 1 a", "close 1", "! maybe sent: a", &format!("connect 2 {TRACKER}")]);
    trial.delivered(1);
    trial.session.handle_connected(Link(2));
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
    trial.session.handle_connected(Link(3));
    trial.listed(3, TRACKER);
    let none = format!("! there is no channel 'another' at {TRACKER}; it lists general (back to general)");
    let back = format!("connect 4 {TRACKER}");
    assert_eq!(trial.wants(), ["list 3", "close 3", "! not sent: a", &none, &back]);
    trial.session.handle_connected(Link(4));
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
    trial.session.handle_connected(Link(5));
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
        wants[0].ends_with("(a message of 65569 bytes; a server takes at most 65536)") && wants.len() == 1,
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
    trial.lose(1, true);
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
    let lost =
        Lost { ended_by_server: true, retry_after: Some(Duration::from_secs(3)), reason: "the server stops".into() };
    trial.session.handle_lost(trial.now, Link(1), lost);
    assert_eq!(trial.wants(), [format!("! {TRACKER}: the server stops; back in 3 s")]);
    let at = trial.session.poll_timeout().unwrap();
    assert!((3000..4000).contains(&at.since(trial.now).as_millis()), "{at:?}");
    assert_eq!(trial.come_back(2), ["join 2 after 6"]);
    trial.joined(2, 7, 7);
    trial.push(2, &message(7, "bob", "hello"));
    assert_eq!(trial.wants(), ["* connected again", "say 2 a"]);
}

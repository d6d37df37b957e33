//! Several channels at once.

use super::*;

impl Trial {
    /// Lets the channel of this number be found at the tracker, up to JOIN.
    fn found(&mut self, room: i32, name: &str) {
        self.connected((room, 1));
        let channel = Channel { channel_name: name.parse().unwrap(), address: TRACKER.parse().unwrap() };
        self.answer((room, 1), Response::Channels(vec![channel]));
    }

    /// Joins another channel of this number, without messages, and goes there.
    fn joins_another(&mut self, room: i32, name: &str) {
        self.line(&format!("/join {name}"));
        self.found(room, name);
        self.joined((room, 1), 1, 0);
        self.wants();
    }
}

#[test]
fn another_channel_is_joined_beside_the_first_and_each_keeps_its_messages() {
    let mut trial = Trial::live(true, &[message(7, "bob", "hello")]);
    trial.line("a");
    trial.line("/join other");
    let tabs = "tabs 1 general  [2 other ?]";
    assert_eq!(trial.wants(), ["say 1 a", &format!("connect 2.1 {TRACKER}"), tabs]);
    trial.line("b");
    assert_eq!(trial.wants(), ["* kept until there is a connection: b"]);
    trial.found(2, "other");
    trial.joined((2, 1), 1, 0);
    let on = format!("* on other at {TRACKER} as ann; /help shows the commands");
    assert_eq!(trial.wants(), ["list 2.1", "join 2.1 last 20", &on, "say 2.1 b", "tabs 1 general  [2 other]"]);
    // What comes to the first waits there, and is counted.
    trial.delivered(1);
    trial.push(1, &message(8, "bob", "one"));
    trial.push(1, &message(9, "bob", "ann?"));
    assert_eq!(trial.wants(), ["tabs 1 general +1  [2 other]", "ring", "tabs 1 general +2 @1  [2 other]"]);
    trial.line("/switch general");
    let shown = ["* on general as ann", "7 bob: hello", "8 bob: one", "9 bob: ann? (mention)"];
    assert_eq!(trial.wants(), [&shown[..], &["tabs [1 general]  2 other"]].concat());
    trial.push(1, &message(10, "bob", "two"));
    assert_eq!(trial.wants(), ["10 bob: two"]);
    trial.line("/history");
    assert_eq!(trial.wants(), ["history 1 Before(7) 20"]);
}

#[test]
fn channels_are_found_by_name_by_number_and_by_news() {
    let mut trial = Trial::live(true, &[]);
    trial.line("/switch");
    trial.line("/switch 2");
    let other = "! 2 is no channel of yours; they are 1 general (/join NAME goes to another)";
    assert_eq!(trial.wants(), ["! there is no other channel; /join NAME goes to one", other]);
    trial.joins_another(2, "2b");
    trial.joins_another(3, "third");
    let mut goes = |line: &str, to: &str| {
        trial.line(line);
        let wants = trial.wants();
        assert_eq!(wants.first().unwrap(), &format!("* on {to} as ann"), "{line}");
    };
    goes("/switch 1", "general");
    goes("/switch 2b", "2b");
    goes("/switch", "general");
    goes("/switch", "2b");
    goes("/join third", "third");
    let mut trial = trial;
    trial.session.handle_switch(trial.now, 2);
    assert_eq!(trial.wants()[0], "* on 2b as ann");
    trial.session.handle_switch(trial.now, 4);
    trial.session.handle_switch(trial.now, 0);
    trial.line("/switch 2");
    assert_eq!(trial.wants(), ["! there is no channel 4", "! there is no channel 0", "! this is 2b already"]);
    // Mentions come before news, and news before the channel that was shown last.
    trial.push(1, &message(1, "bob", "news"));
    trial.line("/switch");
    assert_eq!(trial.wants()[1], "* on general as ann");
    trial.line("/switch 2");
    trial.push(1, &message(2, "bob", "news"));
    trial.push((3, 1), &message(1, "bob", "ann!"));
    trial.wants();
    trial.line("/switch");
    assert_eq!(trial.wants()[0], "* on third as ann");
}

#[test]
fn going_to_a_missing_channel_returns_and_misses_nothing() {
    let mut trial = Trial::live(true, &[message(7, "bob", "hello")]);
    trial.line("/join other");
    trial.line("a");
    trial.wants();
    trial.push(1, &message(8, "bob", "you are away"));
    trial.connected((2, 1));
    trial.listed((2, 1), TRACKER);
    let none = format!("! there is no channel 'other' at {TRACKER}; it lists general (back to general)");
    let away = ["tabs 1 general +1  [2 other ?]", "list 2.1", "close 2.1", "! not sent: a", &none, "moved"];
    assert_eq!(trial.wants(), [&away[..], &["8 bob: you are away", "tabs "]].concat());
    // One that nobody looks at any more is told by its name.
    trial.line("/join third");
    trial.line("/switch general");
    trial.wants();
    trial.connected((3, 1));
    trial.listed((3, 1), TRACKER);
    let none = format!("! third: there is no channel 'third' at {TRACKER}; it lists general");
    assert_eq!(trial.wants(), ["list 3.1", "close 3.1", &none, "tabs "]);
    trial.line("b");
    assert_eq!(trial.wants(), ["say 1 b"]);
}

#[test]
fn a_channel_is_left_alone_and_shows_its_unsettled_messages() {
    let mut trial = Trial::live(true, &[]);
    trial.joins_another(2, "other");
    trial.line("a");
    trial.push(1, &message(1, "bob", "news"));
    trial.wants();
    trial.line("/leave third");
    assert_eq!(trial.wants(), ["! third is no channel of yours; /switch shows them"]);
    trial.line("/leave");
    assert_eq!(trial.wants(), ["* left other; on general", "1 bob: news", "tabs "]);
    // It stays until the answer has come, and is not heard of.
    trial.push((2, 1), &message(1, "bob", "Ann?"));
    assert_eq!(trial.wants(), [""; 0]);
    trial.delivered((2, 1));
    assert_eq!(trial.wants(), ["close 2.1"]);
    trial.joins_another(3, "third");
    trial.line("/leave 1");
    assert_eq!(trial.wants(), ["close 1", "* left general", "tabs "]);
    trial.line("b");
    trial.line("/leave");
    let left = "* on no channel; /join NAME goes to one, /quit leaves the chat";
    assert_eq!(trial.wants(), ["say 3.1 b", left]);
    // It does not wait for ever.
    trial.now = trial.session.poll_timeout().unwrap();
    trial.session.handle_timeout(trial.now);
    assert_eq!(trial.wants(), ["close 3.1", "! third: no answer came: b"]);
    trial.line("c");
    trial.line("/who");
    trial.line("/leave");
    let nowhere = "on no channel; /join NAME goes to one";
    let expected = [format!("! not sent: c ({nowhere})"), format!("! {nowhere}"), format!("! {}", &left[2..])];
    assert_eq!(trial.wants(), expected);
    trial.line("/join general");
    assert_eq!(trial.wants(), [format!("connect 4.1 {TRACKER}")]);
}

#[test]
fn each_channel_comes_back_and_sends_again_its_own_messages() {
    let mut trial = Trial::live(true, &[message(7, "bob", "hello")]);
    trial.line("a");
    trial.joins_another(2, "other");
    trial.line("b");
    trial.lose(1);
    trial.lose((2, 1));
    let wants = trial.wants();
    let lost = |start: &str| wants.iter().any(|want| want.starts_with(start));
    assert!(lost("! general: 192.0.2.1:22236: lost") && lost("! 192.0.2.1:22236: lost"), "{wants:?}");
    assert_eq!(wants.last().unwrap(), "tabs 1 general ?  [2 other ?]");
    trial.now = trial.now.after(Duration::from_secs(1));
    trial.session.handle_timeout(trial.now);
    assert_eq!(trial.wants(), [format!("connect 2 {TRACKER}"), format!("connect 2.2 {TRACKER}")]);
    trial.connected(2);
    trial.listed(2, TRACKER);
    trial.joined(2, 7, 8);
    let back = ["list 2", "join 2 after 6", "* general: connected again", "say 2 a", "tabs 1 general  [2 other ?]"];
    assert_eq!(trial.wants(), back);
    trial.push(2, &message(7, "bob", "hello"));
    trial.push(2, &message(8, "bob", "you were away"));
    assert_eq!(trial.wants(), ["tabs 1 general +1  [2 other ?]"]);
    // The end of the chat waits for both.
    trial.line("/quit");
    assert_eq!(trial.wants(), ["* waiting up to 10 seconds for 2 messages; Ctrl-C leaves now"]);
    trial.delivered(2);
    assert_eq!(trial.wants(), [""; 0]);
    trial.now = trial.session.poll_timeout().unwrap();
    while !trial.session.over {
        trial.session.handle_timeout(trial.now);
        trial.now = trial.session.poll_timeout().unwrap_or(trial.now);
    }
    let wants = trial.wants();
    assert!(wants.contains(&"! other: no answer came: b".into()) && wants.contains(&"close 2".into()), "{wants:?}");
}

#[test]
fn no_more_channels_are_joined_than_there_may_be() {
    let mut trial = Trial::live(true, &[]);
    for room in 2..=16 {
        trial.joins_another(room, &format!("c{room}"));
    }
    trial.line("/join c17");
    let most = "! c17 is not joined: 16 channels are the most at once; /leave NAME leaves one";
    assert_eq!(trial.wants(), [most]);
    trial.line("/leave c2");
    trial.wants();
    trial.line("/join c17");
    assert_eq!(trial.wants()[0], format!("connect 17.1 {TRACKER}"));
}

#[test]
fn messages_that_wait_are_bounded_and_those_left_out_are_counted() {
    let mut trial = Trial::live(true, &[message(1, "bob", "first")]);
    trial.joins_another(2, "other");
    (2..=3001).for_each(|id| trial.push(1, &message(id, "bob", "x")));
    assert_eq!(trial.wants().last().unwrap(), "tabs 1 general +3000  [2 other]");
    trial.line("/switch 1");
    let wants = trial.wants();
    let skipped = "! 2000 messages skipped: too many came meanwhile (/history shows the last of them)";
    assert_eq!(wants[..3], ["* on general as ann", skipped, "2002 bob: x"]);
    assert_eq!(wants[1001..], ["3001 bob: x", "tabs [1 general]  2 other"]);
    trial.line("/history");
    assert_eq!(trial.wants(), ["history 1 Before(2002) 20"]);
}

#[test]
fn a_channel_that_is_not_shown_keeps_its_messages_while_the_screen_lags() {
    let mut trial = Trial::live(true, &[message(1, "bob", "a")]);
    trial.session.handle_behind();
    assert_eq!(trial.wants(), ["Leave { channel_name: \"general\" }"]);
    trial.answer(1, left());
    trial.line("/join other");
    assert_eq!(trial.wants()[0], "join 1 last 20");
    trial.joined(1, 1, 2);
    trial.push(1, &message(1, "bob", "a"));
    trial.push(1, &message(2, "bob", "b"));
    assert_eq!(trial.wants().last().unwrap(), "tabs 1 general +1  [2 other ?]");
    assert!(!trial.session.is_skipping());
}

#[test]
fn a_name_is_taken_on_all_channels_and_one_that_refuses_it_keeps_the_former() {
    let mut trial = Trial::live(true, &[]);
    trial.features = &[Hello::CLIENT_MESSAGE_ID, Hello::PRESENCE];
    trial.joins_another(2, "other");
    trial.line("/nick eve");
    assert_eq!(trial.wants(), ["Leave { channel_name: \"other\" }"]);
    trial.line("/switch general");
    trial.line("a");
    trial.answer((2, 1), left());
    trial
        .answer((2, 1), Response::Error(ErrorResponse::request("Not allowed", "The name 'eve' belongs to an account")));
    let refused = "! other: Not allowed: The name 'eve' belongs to an account; you stay ann";
    let expected =
        ["* on general as eve", "tabs [1 general]  2 other", "say 1 a as eve", "join 2.1 after 0 as eve", refused];
    let wants: Vec<_> = trial.wants().into_iter().filter(|want| !want.ends_with("2 other ?")).collect();
    assert_eq!(wants, [&expected[..], &["join 2.1 after 0 as ann"]].concat());
}

#[test]
fn questions_are_about_their_channel_and_come_one_at_a_time() {
    let mut trial = Trial::live(true, &[]);
    trial.joins_another(2, "other");
    trial.session.handle_paste(trial.now, "a\nb".into());
    assert_eq!(trial.wants(), ["! send 2 lines to other? y/n (o: as one message)", "asking true"]);
    trial.line("/switch general");
    trial.wants();
    trial.session.handle_paste(trial.now, "c\nd".into());
    assert_eq!(trial.wants(), [""; 0]);
    trial.line("y");
    let next = ["! send 2 lines to general? y/n (o: as one message)", "asking true"];
    assert_eq!(trial.wants(), [&["asking false", "say 2.1 a", "say 2.1 b"], &next[..]].concat());
    trial.line("n");
    assert_eq!(trial.wants(), ["asking false"]);
}

#[test]
fn a_pipe_prints_the_messages_of_one_channel_once() {
    let mut trial = Trial::live(false, &[message(7, "bob", "hello")]);
    trial.joins_another(2, "other");
    trial.push(1, &message(8, "bob", "meanwhile"));
    trial.line("/switch general");
    trial.push(1, &message(9, "bob", "later"));
    let wants: Vec<_> = trial.wants().into_iter().filter(|want| !want.starts_with("tabs")).collect();
    assert_eq!(wants, ["* on general as ann", "8 bob: meanwhile", "9 bob: later"]);
}

#[test]
fn lines_of_a_pipe_go_to_no_other_channel_than_the_one_they_were_meant_for() {
    for fails in [
        |trial: &mut Trial| {
            trial.connected((2, 1));
            trial.listed((2, 1), TRACKER);
        },
        |trial: &mut Trial| {
            // It was joined, and fails for good later.
            trial.found(2, "nope");
            trial.joined((2, 1), 1, 0);
            trial.delivered((2, 1));
            trial.lose((2, 1));
            trial.now = trial.session.poll_timeout().unwrap();
            trial.session.handle_timeout(trial.now);
            let lost = Lost { retry_after: None, untrusted: None, is_final: true, reason: "refused".into() };
            trial.session.handle_lost(trial.now, (2, 2).into(), lost);
        },
    ] {
        let mut trial = Trial::live(false, &[]);
        trial.line("/join nope");
        trial.line("a");
        fails(&mut trial);
        trial.line("b");
        let wants = trial.wants();
        let unsent = "! not sent: b (on no channel; /join NAME goes to one)";
        assert!(
            wants.iter().any(|want| want == unsent) && !wants.iter().any(|want| want.starts_with("say 1 ")),
            "{wants:?}"
        );
        // It still is a channel of the chat.
        trial.line("/switch general");
        trial.line("c");
        assert!(trial.wants().contains(&"say 1 c".into()));
        trial.delivered(1);
        trial.session.handle_end(trial.now);
        assert_eq!(trial.wants().last().unwrap(), "quit 1");
    }
    for line in [&*format!("/join {}", "x".repeat(1000)), "/switch nope"] {
        let mut trial = Trial::live(false, &[]);
        trial.line(line);
        trial.line("a");
        let wants = trial.wants();
        assert_eq!(wants.last().unwrap(), "! not sent: a (on no channel; /join NAME goes to one)", "{line}");
    }
}

#[test]
fn a_pipe_that_leaves_a_channel_waits_for_the_answers_of_what_it_said_there() {
    for (is_stored, code) in [(true, "quit 0"), (false, "quit 1")] {
        let mut trial = Trial::live(false, &[]);
        for line in ["hi", "/leave"] {
            trial.line(line);
        }
        trial.session.handle_end(trial.now);
        assert_eq!(trial.wants(), ["say 1 hi", "* on no channel; /join NAME goes to one, /quit leaves the chat"]);
        if is_stored {
            trial.delivered(1);
        } else {
            trial.now = trial.session.poll_timeout().unwrap();
            trial.session.handle_timeout(trial.now);
        }
        assert_eq!(trial.wants().last().unwrap(), code);
    }
    // Also before the connection is made, and if the channel is not there.
    for is_there in [true, false] {
        let mut trial = Trial::new(false);
        trial.line("hi");
        trial.line("/leave");
        trial.session.handle_end(trial.now);
        trial.connected(1);
        if is_there {
            trial.listed(1, TRACKER);
            trial.joined(1, 1, 0);
            trial.delivered(1);
        } else {
            trial.answer(1, Response::Channels(Vec::new()));
        }
        assert_eq!(trial.wants().last().unwrap(), if is_there { "quit 0" } else { "quit 3" });
    }
}

#[test]
fn no_more_channels_wait_for_answers_than_there_may_be_at_once() {
    let mut trial = Trial::live(true, &[]);
    for room in 2..=17 {
        assert!(trial.session.wants_input());
        trial.joins_another(room, "other");
        trial.line("x");
        trial.line("/leave");
    }
    // A pipe waits.
    assert!(!trial.session.wants_input());
    trial.wants();
    trial.joins_another(18, "other");
    trial.line("x");
    trial.line("/leave");
    assert!(trial.wants().contains(&"! other: no answer came: x".into()));
    assert_eq!(trial.session.left.len(), 16);
}

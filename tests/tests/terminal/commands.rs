//! `chanwire join`, `history`, `send` from standard input and `unhost`.

use std::net::SocketAddr;

use chanwire_tests::process::{Finished, Launch, Signal, check, wait_for, without_times};
use rustix::process::{Pid, kill_process};
use tempfile::tempdir;

use crate::{
    fake::{Fake, UNKNOWN, joined, push, stored},
    running::{Running, again, general},
};

fn command(server: SocketAddr, arguments: &[&str]) -> Launch {
    Launch::new(arguments).args(["--server", &server.to_string()]).variable("USER", "ann")
}

/// Returns the lines, without the times that they begin with.
fn untimed(finished: &Finished) -> Vec<String> {
    finished.stdout.lines().map(|line| line.split_once(' ').unwrap().1.into()).collect()
}

#[test]
fn each_line_of_standard_input_is_a_message() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    let lines: String = (1..=1000).map(|number| format!("{number}\r\n")).collect();
    let sent = command(address, &["send"]).input(lines.as_bytes()).run();
    assert_eq!((sent.code, sent.stdout.lines().count(), sent.stderr.as_str()), (Some(0), 1000, ""));
    let last = command(address, &["send", "-", "--json"]).input(b"no end of line").run();
    let answer = "{\"status\": \"OK\", \"payload\": {\"status\": \"delivered\", \"timestamp\": \"T\", \"id\": 1001}}\n";
    assert_eq!((last.code, without_times(&last.stdout)), (Some(0), answer.into()));
    let history = command(address, &["history", "general", "--before", "1001", "--limit", "1000"]).run();
    let expected: Vec<_> = (1..=1000).map(|number| format!("{number} ann: {number}")).collect();
    assert_eq!(untimed(&history), expected);
    let nothing = command(address, &["send"]).run();
    assert_eq!((nothing.code, nothing.stdout.as_str(), nothing.stderr.as_str()), (Some(0), "", ""));
    server.stop();
}

#[test]
fn a_refused_line_is_named_and_the_others_are_sent() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    let large = "x".repeat(70_000);
    for named in [&[][..], &["--channel", "general"]] {
        let lines = [b"\none\n\n\xff\n", large.as_bytes(), b"\n two\nthree"].concat();
        let sent = command(address, &[&["send"], named].concat()).input(&lines).run();
        assert_eq!((sent.code, sent.stdout.lines().count()), (Some(3), 3), "{sent:?}");
        let said: Vec<_> = sent.stderr.lines().collect();
        assert_eq!(said.len(), 5, "{said:?}");
        for line in [1, 3] {
            let begin = format!("chanwire: line {line}: Invalid payload: Field 'message_content'");
            assert!(said.iter().any(|said| said.starts_with(&begin)), "{said:?}");
        }
        assert!(said.contains(&"chanwire: line 4: it is not UTF-8"), "{said:?}");
        assert!(said.iter().any(|said| said.starts_with("chanwire: line 5: a message of 70")), "{said:?}");
        assert_eq!(said[4], "chanwire: 4 of 7 lines were not delivered");
    }
    let unreadable = command(address, &["send"]).input(b"\xff\nfour\n").run();
    assert_eq!((unreadable.code, unreadable.stdout.lines().count()), (Some(1), 1), "{unreadable:?}");
    let history = command(address, &["history", "general"]).run();
    let expected =
        ["1 ann: one", "2 ann:  two", "3 ann: three", "4 ann: one", "5 ann:  two", "6 ann: three", "7 ann: four"];
    assert_eq!(untimed(&history), expected);
    server.stop();
}

#[test]
fn commands_follow_a_channel_to_its_peer() {
    let (here, there) = (tempdir().unwrap(), tempdir().unwrap());
    let (tracker, peer) = (general(here.path()), general(there.path()));
    let hosted = command(peer.address(0), &["host", "away", &peer.address(0).to_string()]).run();
    assert_eq!(hosted.code, Some(0), "{hosted:?}");
    let listed = command(tracker.address(0), &["host", "away", &peer.address(0).to_string()]).run();
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let address = tracker.address(0);
    let one = command(address, &["send", "--channel", "away", "one"]).run();
    assert_eq!(one.code, Some(0), "{one:?}");
    let lines = command(address, &["send", "--channel", "away"]).input(b"\ntwo\nthree\n").run();
    assert_eq!((lines.code, lines.stdout.lines().count()), (Some(3), 2), "{lines:?}");
    let expected = ["1 ann: one", "2 ann: two", "3 ann: three"];
    assert_eq!(untimed(&command(address, &["history", "away"]).run()), expected);
    let tail = Running::start(address, &["join", "away", "--after", "0"]);
    assert!(tail.out.wait(3)[2].ends_with(" 3 ann: three"));
    tracker.stop();
    peer.stop();
}

#[test]
fn the_default_username_is_the_systems_user() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    let as_system = |variables: [&str; 2]| {
        let unset = ["env", "-u", "USER", "-u", "LOGNAME"].map(String::from).to_vec();
        let set = variables.iter().filter(|variable| !variable.is_empty()).map(ToString::to_string);
        let words: Vec<String> = unset.into_iter().chain(set).collect();
        command(address, &["send", "hi"]).under(&words).run()
    };
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let own = rustix::process::getuid().as_raw().to_string();
    let name = passwd.lines().find(|line| line.split(':').nth(2) == Some(&own)).unwrap().split(':').next().unwrap();
    assert_eq!(as_system(["", ""]).code, Some(0));
    assert_eq!(as_system(["LOGNAME=eve", "USER="]).code, Some(0));
    let history = command(address, &["history", "general"]).run();
    assert_eq!(untimed(&history), [format!("1 {name}: hi"), "2 eve: hi".into()]);
    let invalid = as_system(["USER= x", ""]);
    assert!(invalid.refusal(2).ends_with("set another one with --user NAME"), "{invalid:?}");
    server.stop();
}

/// Hostile text of a peer, and its harmless form when printed.
const HOSTILE: &str = "\u{1b}[2J\u{202e}x\u{9b}1A";
const HARMLESS: &str = r"\u{1b}[2J\u{202e}x\u{9b}1A";

/// Returns a server that is older than HELLO, and answers every other request with the same bytes.
fn answering(bytes: String) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, bytes) = (stream.unwrap(), bytes.clone());
            std::thread::spawn(move || {
                use std::io::{Read as _, Write as _};
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    let read = String::from_utf8_lossy(buffer.get(..count).unwrap());
                    let hellos = read.matches("HELLO\r\n").count();
                    let others = read.matches("\r\n").count() - hellos;
                    let _ = stream.write_all((UNKNOWN.repeat(hellos) + &bytes.repeat(others)).as_bytes());
                }
            });
        }
    });
    address
}

#[test]
fn no_text_from_the_network_can_act_on_a_terminal() {
    // JSON cannot have controls unescaped.
    let text = r"\u001b[2J\u202ex\u009b1A\r";
    // Names have none at all.
    let name = r"\u202ex";
    let harmless = r"\u{202e}x";
    let message = format!(
        r#"{{"channel_name": "{name}", "id": 1, "username": "{name}", "message_content": "{text}", "timestamp": "2026-11-23T09:15:02Z"}}"#
    );
    let channel = |name: &str, host: &str| {
        format!(r#"{{"channel_name": "{name}", "peer_server_ip": "{host}", "peer_server_port": 22236}}"#)
    };
    let error = format!("REQUEST_ERROR\r\n{{\"error\": \"{text}\", \"details\": \"{text}\"}}");
    for (arguments, answer, times) in [
        (&["list"][..], format!("OK\r\n{{\"channels\": [{}]}}", channel(name, "127.0.0.1")), 1),
        (&["list"], format!("OK\r\n{{\"channels\": [{}]}}", channel("a", text)), 0),
        (&["list"], error.clone(), 2),
        (&["list"], format!("{HOSTILE}\r\n"), 0),
        (&["host", "a", "127.0.0.1:1"], format!(r#"OK{}{{"status": "success", "channel_name": "{name}"}}"#, "\r\n"), 1),
        (&["host", "a", "127.0.0.1:1"], error.clone(), 2),
        (&["unhost", "a"], format!(r#"OK{}{{"status": "removed", "channel_name": "{name}"}}"#, "\r\n"), 1),
        (&["unhost", "a"], error.clone(), 2),
        (&["history", "a"], format!(r#"OK{}{{"channel_name": "{name}", "messages": [{message}]}}"#, "\r\n"), 2),
        (&["history", "a"], error.clone(), 2),
        (&["send", "hi"], format!(r#"OK{}{{"status": "delivered", "timestamp": "{text}"}}"#, "\r\n"), 0),
        (&["send", "hi"], error.clone(), 2),
        (&["send"], error.clone(), 2),
        (&["join", "a"], error.clone(), 2),
        (&["chat", "a"], error, 2),
        (&["chat", "a"], format!("OK\r\n{{\"channels\": [{}]}}", channel(name, "127.0.0.1")), 1),
    ] {
        let finished = command(answering(answer.clone()), arguments).input(b"hi\n").run();
        let printed = finished.stdout + &finished.stderr;
        let acts = |char: char| (char.is_control() && char != '\n') || char == '\u{202e}';
        assert!(!printed.contains(acts), "{arguments:?}: {printed:?}");
        assert_eq!(printed.matches(harmless).count(), times, "{arguments:?}: {printed}");
        assert!(!printed.is_empty(), "{arguments:?}");
    }
}

#[test]
fn no_username_or_content_of_a_message_can_act_where_it_is_shown() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    // A username has no control characters.
    let name = "\u{202e}eve\u{2066}";
    let sent = command(address, &["send", "--user", name, HOSTILE]).run();
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let shown = format!(r"\u{{202e}}eve\u{{2066}}: {HARMLESS}");
    let history = command(address, &["history", "general"]).run();
    assert_eq!(untimed(&history), [format!("1 {shown}")]);
    let tail = Running::start(address, &["join", "general", "--history", "1"]);
    assert!(tail.out.wait(1)[0].ends_with(&format!("1 {shown}")));
    let chat = Running::chat(address, "ann");
    assert!(chat.out.wait(1)[0].ends_with(&shown));
    server.stop();
}

#[test]
fn zero_width_joiners_are_shown_alike_in_the_terminal_and_by_decode() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../../../core/inspect/src/visible/vectors.json")).unwrap();
    for (id, vector) in (1..).zip(&vectors) {
        let (text, shown) = (vector["text"].as_str().unwrap(), vector["shown"].as_str().unwrap());
        let sent = command(address, &["send", text]).run();
        assert_eq!(sent.code, Some(0), "{sent:?}");
        let history = command(address, &["history", "general", "--limit", "1"]).run();
        assert_eq!(untimed(&history), [format!("{id} ann: {shown}")]);
        let message = serde_json::json!({"username": "ann", "message_content": text});
        let decoded = Launch::new(["decode"]).input(format!("MESSAGE\r\n{message}").as_bytes()).run();
        assert!(decoded.stdout.trim_end().ends_with(&format!(" ann: {shown}")), "{decoded:?}");
    }
    server.stop();
}

#[test]
fn history_is_read_in_pages() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    let sent = command(address, &["send"]).input(b"a\nb\nc\nd\ne\n").run();
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let page = |arguments: &[&str]| untimed(&command(address, &[&["history", "general"], arguments].concat()).run());
    assert_eq!(page(&["--limit", "2"]), ["4 ann: d", "5 ann: e"]);
    assert_eq!(page(&["--before", "4", "--limit", "2"]), ["2 ann: b", "3 ann: c"]);
    assert_eq!(page(&["--after", "0", "--limit", "1"]), ["1 ann: a"]);
    assert_eq!(page(&["--after", "5"]), [""; 0]);
    let json = command(address, &["history", "general", "--limit", "1", "--json"]).run();
    let message = "{\"channel_name\": \"general\", \"id\": 5, \"username\": \"ann\", \"message_content\": \"e\", \
                   \"timestamp\": \"T\"}";
    let expected =
        format!("{{\"status\": \"OK\", \"payload\": {{\"channel_name\": \"general\", \"messages\": [{message}]}}}}\n");
    assert_eq!(without_times(&json.stdout), expected);
    let none = command(address, &["history", "gaming"]).run();
    assert_eq!(none.refusal(3), "Channel not found: The requested channel 'gaming' does not exist");
    server.stop();
}

#[test]
fn all_history_is_read_page_by_page_and_searched() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    // Larger than two answers, in bytes and in messages.
    let lines: String = (1..=2500).map(|number| format!("{number} {}\n", "Word ".repeat(40))).collect();
    let sent = command(address, &["send"]).input(lines.as_bytes()).run();
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let history = |arguments: &[&str]| command(address, &[&["history", "general"], arguments].concat()).run();
    let ids = |finished: &Finished| -> Vec<u64> {
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
        untimed(finished).iter().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
    };
    let range = |first: u64, last: u64| (first..=last).collect::<Vec<_>>();
    assert_eq!(ids(&history(&["--all"])), range(1, 2500));
    assert_eq!(ids(&history(&["--all", "--after", "1200"])), range(1201, 2500));
    assert_eq!(ids(&history(&["--all", "--before", "1301"])), range(1, 1300));
    assert_eq!(ids(&history(&["--all", "--after", "2500"])), range(1, 0));
    let ending_in_77 = (77..=2477).step_by(100).collect::<Vec<_>>();
    assert_eq!(ids(&history(&["--contains", "77 wORD"])), ending_in_77);
    assert_eq!(ids(&history(&["--contains", "99 word", "--before", "200"])), [99, 199]);
    assert_eq!(ids(&history(&["--contains", "nothing of that kind"])), [0; 0]);
    let json = history(&["--contains", "2499 ", "--json"]);
    let message: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, &message["id"]), (Some(0), &2499.into()), "{json:?}");

    let both = history(&["--all", "--limit", "7"]);
    assert_eq!(both.code, Some(2), "{both:?}");
    for arguments in [&["--all"][..], &["--all", "--before", "1"], &["--contains", "x"]] {
        let none = command(address, &[&["history", "gaming"], arguments].concat()).run();
        assert_eq!(none.refusal(3), "Channel not found: The requested channel 'gaming' does not exist");
    }
    server.stop();
}

#[test]
fn history_that_breaks_off_names_the_message_to_go_on_after() {
    let server = Fake::listen();
    let address = server.address();
    let reading = Running::start(address, &["history", "g", "--all"]);
    let page = |ids: &[u64]| {
        let messages: Vec<_> = ids.iter().map(|id| stored("g", *id, "2023-11-02T15:04:32Z")).collect();
        format!("OK\r\n{{\"channel_name\": \"g\", \"messages\": [{}]}}", messages.join(", "))
    };
    let mut client = server.accept();
    client.expect("HISTORY\r\n{\"channel_name\": \"g\", \"limit\": 1}");
    client.answer(&page(&[9]));
    client.expect("\"after\": 0, \"limit\": 1000}");
    client.answer(&page(&[1, 2]));
    client.expect("\"after\": 2, \"limit\": 1000}");
    // Retention was faster than the reader.
    client.answer(&page(&[5, 6]));
    client.expect("\"after\": 6, \"limit\": 1000}");
    client.answer("SERVER_ERROR\r\n{\"error\": \"Database connection failed\", \"details\": \"x\"}");
    let mut reading = reading;
    assert_eq!(reading.wait().code(), Some(4));
    assert_eq!(reading.out.wait(4).len(), 4);
    for said in ["messages 3 to 4 are kept no more", "Database connection failed: x", "go on with --after 6"] {
        reading.error.wait_with(said);
    }
}

#[test]
fn history_between_two_ids_that_breaks_off_names_both_to_go_on_and_what_was_dropped() {
    let server = Fake::listen();
    let address = server.address();
    let page = |ids: &[u64]| {
        let messages: Vec<_> = ids.iter().map(|id| stored("g", *id, "2023-11-02T15:04:32Z")).collect();
        format!("OK\r\n{{\"channel_name\": \"g\", \"messages\": [{}]}}", messages.join(", "))
    };
    let mut reading = Running::start(address, &["history", "g", "--all", "--before", "9", "--after", "2"]);
    let mut client = server.accept();
    client.expect("HISTORY\r\n{\"channel_name\": \"g\", \"limit\": 1}");
    client.answer(&page(&[20]));
    client.expect("\"after\": 2, \"limit\": 1000}");
    client.answer(&page(&[5, 6]));
    client.expect("\"after\": 6, \"limit\": 1000}");
    client.answer("SERVER_ERROR\r\n{\"error\": \"Database connection failed\", \"details\": \"x\"}");
    assert_eq!(reading.wait().code(), Some(4));
    reading.error.wait_with("messages 3 to 4 are kept no more");
    reading.error.wait_with("go on with --after 6 --before 9");
    // All that are asked for were dropped since, on an empty page or below the first that is kept.
    for (left, kept) in [(&[][..], "messages 7 to 8 are kept no more"), (&[15, 16], "messages 7 to 8 are kept no more")]
    {
        let mut reading = Running::start(address, &["history", "g", "--all", "--before", "9", "--after", "6"]);
        let mut client = server.accept();
        client.expect("\"limit\": 1}");
        client.answer(&page(&[20]));
        client.expect("\"after\": 6, \"limit\": 1000}");
        client.answer(&page(left));
        assert_eq!((reading.wait().code(), reading.out.all().len()), (Some(0), 0));
        reading.error.wait_with(kept);
    }
    let mut reading = Running::start(address, &["history", "g", "--all", "--after", "6"]);
    let mut client = server.accept();
    client.expect("\"limit\": 1}");
    client.answer(&page(&[]));
    client.expect("\"after\": 6, \"limit\": 1000}");
    client.answer(&page(&[]));
    assert_eq!(reading.wait().code(), Some(0));
    reading.error.wait_with("the channel keeps no messages any more");
    let both = command(address, &["history", "g", "--after", "1", "--before", "9"]).run();
    assert_eq!(both.refusal(2), "chanwire: --after and --before together need --all or --contains");
}

#[test]
fn join_under_a_guessed_name_goes_on_without_it_when_the_name_becomes_anothers() {
    const GREETING: &str = "OK\r\n{\"protocol\": 1, \"features\": [\"presence\"], \"encrypted\": false, \
                            \"max_payload\": 65536}";
    const REFUSAL: &str =
        "REQUEST_ERROR\r\n{\"error\": \"Not allowed\", \"details\": \"The name 'ann' belongs to an account\"}";
    let server = Fake::listen();
    for given in [false, true] {
        let mut command = std::process::Command::new(chanwire_tests::process::binary());
        command.args(["join", "g", "--server", &server.address().to_string()]).env("USER", "ann");
        command.args(if given { &["--user", "ann"][..] } else { &[] });
        let mut tail = Running::spawn(&mut command);
        let mut client = server.accept();
        let greet = |client: &mut crate::fake::Client| {
            client.expect(crate::fake::HELLO);
            client.answer(GREETING);
        };
        greet(&mut client);
        client.expect("JOIN\r\n{\"channel_name\": \"g\", \"username\": \"ann\"}");
        client.answer(&(joined(3, 2) + &push("g", 3)));
        tail.out.wait(1);
        drop(client);
        let mut client = server.accept();
        greet(&mut client);
        client.expect("\"after\": 3, \"username\": \"ann\"}");
        client.answer(REFUSAL);
        if given {
            assert_eq!(tail.wait().code(), Some(3));
            tail.error.wait_with("Not allowed: The name 'ann' belongs to an account");
            tail.error.wait_with("go on with --after 3");
            continue;
        }
        let mut client = server.accept();
        client.expect("JOIN\r\n{\"channel_name\": \"g\", \"after\": 3}");
        client.answer(&(UNKNOWN.to_owned() + &joined(4, 3) + &push("g", 4)));
        tail.out.wait(2);
        tail.error.wait_with("going on without a name (--user NAME gives another one)");
    }
}

#[test]
fn who_names_those_who_joined_by_join_and_by_chat() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    let _bob = Running::start(address, &["join", "general", "--user", "bob"]);
    let mut of_system = std::process::Command::new(chanwire_tests::process::binary());
    of_system.args(["join", "general", "--server", &address.to_string()]).env("USER", "cleo");
    let _cleo = Running::spawn(&mut of_system);
    let _ann = Running::chat(address, "ann");
    wait_for("their names", || {
        let who = command(address, &["who", "general"]).run();
        let mut lines: Vec<_> = who.stdout.lines().map(String::from).collect();
        lines.sort();
        check(lines == ["3 connections", "ann", "bob", "cleo"], who)
    });
    let invalid = command(address, &["join", "general", "--user", " "]).run();
    assert!(invalid.refusal(2).contains("'username'"), "{invalid:?}");
    server.stop();
}

#[test]
fn join_ends_after_idle_time_and_without_a_connection_no_time_is_idle() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let sent = command(server.address(0), &["send"]).input(b"a\nb\n").run();
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let tail = command(server.address(0), &["join", "general", "--after", "0", "--until-idle", "1"]).run();
    assert_eq!((tail.code, untimed(&tail)), (Some(0), vec!["1 ann: a".into(), "2 ann: b".into()]), "{tail:?}");
    server.stop();

    let server = Fake::listen();
    let mut tail = Running::start(server.address(), &["join", "g", "--until-idle", "1"]);
    let mut client = server.accept_greeting();
    client.expect("JOIN\r\n");
    client.answer(&joined(1, 0));
    drop(client);
    tail.error.wait_with("coming back after message 0");
    let mut client = server.accept_greeting();
    client.expect("JOIN\r\n");
    // Longer than the idle time: a command that counts it has ended.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    client.answer(&[joined(1, 1), push("g", 1)].concat());
    tail.out.wait_with("1 bob: number 1");
    assert_eq!(tail.wait().code(), Some(0));
}

#[test]
fn join_prints_one_line_per_message() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    let mut people = Running::start(address, &["join", "general", "--after", "0"]);
    let program = Running::start(address, &["join", "general", "--history", "1", "--json"]);
    let sent = command(address, &["send"]).input(b"a\nb\n").run();
    assert_eq!(sent.code, Some(0), "{sent:?}");
    people.out.wait_with(" 2 ann: b");
    program.out.wait_with("\"id\": 2, ");
    assert_eq!(people.out.all().len(), 2);
    // Ctrl-C is no failure of the command, and every printed line is whole.
    kill_process(Pid::from_raw(people.id().try_into().unwrap()).unwrap(), Signal::INT).unwrap();
    assert!(people.wait().code().is_none_or(|code| code == 0));
    server.stop();
}

#[test]
fn join_reconnects_after_every_loss_and_misses_nothing() {
    let data = tempdir().unwrap();
    let mut server = general(data.path());
    let address = server.address(0);
    let mut tail = Running::start(address, &["join", "general"]);
    for round in 0..5 {
        // The first one may not have joined yet, and what comes before that is not for it.
        if round > 0 {
            let sent = command(address, &["send"]).input(format!("{round} here\n").as_bytes()).run();
            assert_eq!(sent.code, Some(0), "{sent:?}");
            tail.out.wait_with(&format!("{round} here"));
        } else {
            wait_for("a subscription", || {
                let sent = command(address, &["send", "0 here"]).run();
                assert_eq!(sent.code, Some(0), "{sent:?}");
                (!tail.out.all().is_empty()).then_some(())
            });
        }
        let (kills, words) = (round % 2 == 0, ["the server stops; back in 1 s", "coming back"]);
        if kills {
            server.kill()
        } else {
            server.stop();
        }
        tail.error.wait_with_many(" after message ", round + 1);
        tail.error.wait_with_many(words[usize::from(kills)], (round + 1).div_ceil(2));
        server = again(data.path(), address);
        let sent = command(address, &["send"]).input(format!("{round} away\n").as_bytes()).run();
        assert_eq!(sent.code, Some(0), "{sent:?}");
        tail.out.wait_with(&format!("{round} away"));
        tail.error.wait_with_many("connected again", round + 1);
    }
    let ids: Vec<u64> =
        tail.out.all().iter().map(|line| line.split(' ').nth(1).and_then(|id| id.parse().ok()).unwrap()).collect();
    let first = ids[0];
    assert!(ids.iter().copied().eq(first..first + ids.len() as u64), "{ids:?}");
    // Messages that were dropped meanwhile are reported.
    server.stop();
    let elsewhere =
        Launch::serve(data.path()).args(["--retain-count", "1", "--advertise", &address.to_string()]).start();
    let sent = command(elsewhere.address(0), &["send", "-c", "general"]).input(b"x\ny\nz\n").run();
    assert_eq!(sent.code, Some(0), "{sent:?}");
    wait_for("retention", || {
        let kept = command(elsewhere.address(0), &["history", "general", "--after", "0"]).run();
        (kept.stdout.lines().count() == 1).then_some(())
    });
    elsewhere.stop();
    let server = again(data.path(), address);
    tail.out.wait_with(": z");
    let last = first + ids.len() as u64 - 1;
    tail.error.wait_with(&format!("messages {} to {} are kept no more", last + 1, last + 2));
    let removed = command(address, &["unhost", "general"]).run();
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert_eq!(tail.wait().code(), Some(4));
    tail.error.wait_with(&format!("; go on with --after {}", last + 3));
    server.stop();
}

#[test]
fn join_reports_why_it_cannot_join_and_why_it_was_ended() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    let none = command(address, &["join", "gaming"]).run();
    assert_eq!(none.refusal(3), "Channel not found: The requested channel 'gaming' does not exist");
    let beyond = command(address, &["join", "general", "--after", "7"]).run();
    assert_eq!(beyond.refusal(3), "Invalid payload: Field 'after' is beyond the last id 0");
    let sent = command(address, &["send", "a"]).run();
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let mut tail = Running::start(address, &["join", "general", "--history", "1"]);
    tail.out.wait(1);
    let removed = command(address, &["unhost", "general"]).run();
    assert_eq!(removed.stdout, "removed general\n", "{removed:?}");
    assert_eq!(tail.wait().code(), Some(4));
    tail.error.wait_with("Channel removed: ");
    tail.error.wait_with("; go on with --after 1");
    server.stop();
}

#[test]
fn join_ends_when_its_output_is_closed() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    let sent = command(address, &["send"]).input(b"a\nb\nc\n").run();
    assert_eq!(sent.code, Some(0), "{sent:?}");
    // The shell's status is the tail's.
    let tail = command(address, &["join", "general", "--after", "0"]);
    let tail = tail.under(["bash", "-c", "\"$0\" \"$@\" | head -n 1; exit ${PIPESTATUS[0]}"]).run();
    assert_eq!((tail.code, tail.stdout.lines().count(), tail.stderr.as_str()), (Some(0), 1, ""), "{tail:?}");
    server.stop();
}

#[test]
fn the_operator_removes_what_others_host() {
    let data = tempdir().unwrap();
    let server = general(data.path());
    let address = server.address(0);
    let hosted = command(address, &["host", "other", "192.0.2.7:22240"]).run();
    assert_eq!(hosted.code, Some(0), "{hosted:?}");
    let operator = |name: &str| {
        let launch = Launch::new(["unhost", name, "--data-dir"]).arg(data.path());
        // The environment variable for clients does not conflict with it.
        launch.variable("CHANWIRE_SERVER", "192.0.2.1:1").run()
    };
    let removed = operator("other");
    assert_eq!((removed.code, removed.stdout.as_str()), (Some(0), "removed other\n"), "{removed:?}");
    assert_eq!(operator("other").refusal(3), "Channel not found: The requested channel 'other' does not exist");
    let variable = Launch::new(["unhost", "general"]).variable("CHANWIRE_SERVER", address.to_string()).run();
    assert_eq!(variable.stdout, "removed general\n", "{variable:?}");
    let both = Launch::new(["unhost", "x", "--server", "127.0.0.1:1", "--data-dir", "/"]).run();
    assert_eq!(both.code, Some(2), "{both:?}");
    server.stop();
    assert!(operator("general").refusal(1).ends_with("is a server running that keeps its data there?"));
}

//! The sandbox is the server: it gives every answer that there is, and the same one each time.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};

use chanwire_inspect::{
    Capture, Direction, Row,
    plan::Step,
    sandbox::{ADDRESS, Event, Happening, Sandbox, Scenario, Settings, StoreMode, scenarios},
};
use proptest::{collection::vec, prelude::*, sample::select, test_runner::Config};

const WALL: i64 = 1_698_937_472;
const HOST: &str =
    "HOST\r\n{\"channel_name\": \"general\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": 22236}";
const JOIN: &str = "JOIN\r\n{\"channel_name\": \"general\"}";
const HELLO: &str = "MESSAGE\r\n{\"username\": \"user1\", \"message_content\": \"Hello, World!\"}";
const DELIVERED: &str = "OK\r\n{\"status\": \"delivered\", \"timestamp\": \"2023-11-02T15:04:32Z\"}";
const NOT_STORED: &str = "SERVER_ERROR\r\n{\"error\": \"Database connection failed\", \"details\": \"Unable to store \
                          message in channel database\"}";

fn sandbox() -> Sandbox {
    Sandbox::new(Settings { wall: WALL, ..Settings::default() })
}

fn connect(sandbox: &mut Sandbox, from: &str) -> u32 {
    sandbox.connect(from.parse().unwrap()).unwrap()
}

/// Writes, lets 50 ms pass, and returns what this client has read meanwhile.
fn ask(sandbox: &mut Sandbox, client: u32, text: &str) -> String {
    assert!(sandbox.push(client, Step::Bytes(text.into())));
    after(sandbox, client, 50)
}

/// Lets time pass, and returns what this client has read meanwhile.
fn after(sandbox: &mut Sandbox, client: u32, ms: u64) -> String {
    sandbox.run(sandbox.now() + ms);
    String::from_utf8(stream(&sandbox.take_events(), client, Direction::In)).unwrap()
}

fn stream(events: &[Event], client: u32, which: Direction) -> Vec<u8> {
    reads(events, client, which).concat()
}

fn reads(events: &[Event], client: u32, which: Direction) -> Vec<&[u8]> {
    let bytes = |event: &&Event| event.connection == client;
    let of = |event| match event {
        &Event { event: Happening::Bytes { direction, ref bytes }, .. } if direction == which => Some(bytes.as_slice()),
        _ => None,
    };
    events.iter().filter(bytes).filter_map(of).collect()
}

/// Returns the inspector's rows of a scenario.
fn rows(events: &[Event]) -> Vec<Row> {
    let mut capture = Capture::new(64 << 20);
    for Event { time, connection, event } in events {
        let time = *time as f64;
        match event {
            Happening::Opened { local, .. } => capture.open(*connection, local),
            Happening::Bytes { direction, bytes } => capture.bytes(*connection, *direction, time, bytes),
            Happening::Ended { direction } => capture.end(*connection, *direction, time),
            Happening::Closed { .. } => {}
        }
    }
    (capture.first()..).map_while(|number| capture.describe(number)).collect()
}

fn played(scenario: &Scenario, seed: u64) -> Vec<Event> {
    scenario.play(seed, WALL).take_events()
}

/// Returns the statuses and names in the protocol's table of errors.
fn errors() -> BTreeSet<(String, String)> {
    let page = include_str!("../../PROTOCOL.md");
    let table = page.split("\n## ").find(|section| section.starts_with("Errors\n")).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect::<Vec<_>>());
    cells.map(|cells| (cells[0].clone(), cells[1].clone())).collect()
}

#[test]
fn every_error_of_the_protocol_can_be_seen() {
    let table = errors();
    assert!(table.len() >= 17, "{table:?}");
    let plays: BTreeSet<String> =
        scenarios().iter().filter(|play| play.is_error).map(|play| play.name.into()).collect();
    assert_eq!(plays, table.iter().map(|(_, error)| error.clone()).collect());
    for (status, error) in table {
        let scenario = Scenario::named(&error).unwrap();
        for seed in 0..20 {
            let rows = rows(&played(&scenario, seed));
            let seen = |row: &Row| row.status == Some(status.as_str()) && row.error.as_deref() == Some(error.as_str());
            assert!(rows.iter().any(seen), "{status} {error} with seed {seed}: {rows:#?}");
        }
    }
}

#[test]
fn each_scenario_shows_the_same_under_any_seed() {
    for scenario in scenarios() {
        let streams = |seed| {
            let events = played(scenario, seed);
            let clients: BTreeSet<u32> = events.iter().map(|event| event.connection).collect();
            let text = |client, which| String::from_utf8(stream(&events, client, which)).unwrap();
            let both = |client| (text(client, Direction::Out), text(client, Direction::In));
            clients.into_iter().map(both).collect::<Vec<_>>()
        };
        let first = streams(0);
        for seed in 1..20 {
            assert_eq!(streams(seed), first, "{} with seed {seed}", scenario.name);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_cuts_elsewhere() {
    let mut differ = 0;
    for scenario in scenarios() {
        assert_eq!(played(scenario, 7), played(scenario, 7), "{}", scenario.name);
        differ += usize::from(played(scenario, 7) != played(scenario, 8));
    }
    assert!(differ > scenarios().len() / 2, "only {differ} plays differ");
}

#[test]
fn requests_beyond_the_burst_are_answered_in_order_as_the_rate_allows() {
    const LISTED: &str = "OK\r\n{\"channels\": []}";
    let rate = |units, burst| Settings { units, burst, wall: WALL, ..Settings::default() };
    let mut sandbox = Sandbox::new(rate(1, 3));
    let (ann, operator) = (connect(&mut sandbox, "127.0.0.1"), sandbox.connect_operator().unwrap());
    assert_eq!(ask(&mut sandbox, ann, &"LIST\r\n".repeat(5)), LISTED.repeat(3));
    assert_eq!(sandbox.state().throttled, [ann]);
    let due = sandbox.state().due.unwrap();
    assert_eq!((due.connection, due.event), (Some(ann), "the end of a pause"));
    assert_eq!(ask(&mut sandbox, operator, &"LIST\r\n".repeat(5)), LISTED.repeat(5));

    // The clients that connect after a change have the new rate.
    sandbox.reconfigure(rate(0, 1));
    let bob = connect(&mut sandbox, "192.0.2.7");
    assert_eq!(ask(&mut sandbox, bob, &"LIST\r\n".repeat(5)), LISTED.repeat(5));
    assert_eq!(sandbox.state().throttled, [ann]);

    sandbox.run(due.at - 1);
    assert_eq!(after(&mut sandbox, ann, 0), "");
    assert_eq!(after(&mut sandbox, ann, 50), LISTED);
    assert_eq!(after(&mut sandbox, ann, 1000), LISTED);
    assert_eq!(after(&mut sandbox, ann, 10_000), "");
    assert_eq!(sandbox.state().throttled, [0; 0]);
}

#[test]
fn limits_are_changed_while_the_server_runs() {
    let mut sandbox = sandbox();
    let ann = connect(&mut sandbox, "127.0.0.1");
    let limits = Settings { max_channels: 0, max_payload: 100, seed: 9, wall: 0, ..Settings::default() };
    sandbox.reconfigure(limits);
    assert!(ask(&mut sandbox, ann, HOST).contains("Limit reached"));
    assert!(
        ask(&mut sandbox, ann, &format!("JOIN\r\n{{\"x\": \"{}\"}}", "x".repeat(100))).contains("limit of 100 bytes")
    );
}

#[test]
fn the_operator_may_do_what_only_a_channels_host_may() {
    const UNHOST: &str = "UNHOST\r\n{\"channel_name\": \"general\"}";
    let mut sandbox = sandbox();
    let (ann, bob) = (connect(&mut sandbox, "127.0.0.1"), connect(&mut sandbox, "192.0.2.7"));
    let operator = sandbox.connect_operator().unwrap();
    let opened = Happening::Opened { local: "operator:3".into(), remote: ADDRESS };
    assert_eq!(sandbox.take_events()[2].event, opened);
    assert!(ask(&mut sandbox, ann, HOST).starts_with("OK"));
    assert!(ask(&mut sandbox, bob, UNHOST).contains("Not the channel's host"));
    assert!(ask(&mut sandbox, operator, UNHOST).starts_with("OK\r\n{\"status\": \"removed\""));
}

#[test]
fn two_clients_hear_each_other() {
    let mut sandbox = sandbox();
    let (ann, bob) = (connect(&mut sandbox, "127.0.0.1"), connect(&mut sandbox, "192.0.2.7"));
    let opened = Happening::Opened { local: "192.0.2.7:50002".into(), remote: ADDRESS };
    assert_eq!(sandbox.take_events()[1], Event { time: 0, connection: bob, event: opened });
    assert_eq!(ask(&mut sandbox, ann, HOST), "OK\r\n{\"status\": \"success\", \"channel_name\": \"general\"}");
    assert!(ask(&mut sandbox, ann, JOIN).starts_with("OK\r\n{\"status\": \"joined\""));
    assert!(sandbox.push(bob, Step::Bytes(HELLO.into())));
    sandbox.run(sandbox.now() + 50);
    let events = sandbox.take_events();
    assert_eq!(String::from_utf8(stream(&events, bob, Direction::In)).unwrap(), DELIVERED);
    let push = "MESSAGE\r\n{\"channel_name\": \"general\", \"id\": 1, \"username\": \"user1\", \"message_content\": \
                \"Hello, World!\", \"timestamp\": \"2023-11-02T15:04:32Z\"}";
    assert_eq!(String::from_utf8(stream(&events, ann, Direction::In)).unwrap(), push);
}

#[test]
fn time_passes_when_it_is_told_to() {
    let mut sandbox = sandbox();
    let client = connect(&mut sandbox, "127.0.0.1");
    assert_eq!(ask(&mut sandbox, client, "MESSAGE\r\n{"), "");
    let due = sandbox.state().due.unwrap();
    assert_eq!((due.connection, due.event), (Some(client), "the end of a request"));
    let before = due.at - sandbox.now() - 1;
    assert_eq!(after(&mut sandbox, client, before), "");
    let answer = after(&mut sandbox, client, 20);
    assert!(answer.starts_with("REQUEST_ERROR\r\n{\"error\": \"Request timed out\""), "{answer}");
    // It lingers until the client ends, two seconds at most.
    assert_eq!(sandbox.state().due.unwrap().event, "the end of a connection");
    sandbox.run(sandbox.now() + 2000);
    assert_eq!(sandbox.state().due, None);
    assert!(sandbox.push(client, Step::End));
    sandbox.run(sandbox.now() + 50);
    let events = sandbox.take_events();
    let reason = "the server closed the connection: request_timed_out, request_timeout 120";
    assert_eq!(events.last().unwrap().event, Happening::Closed { reason: reason.into(), bad: false });
    assert!(!sandbox.push(client, Step::Bytes(b"LIST\r\n".to_vec())), "it is over");
    assert_eq!(sandbox.next(), None);
}

#[test]
fn the_store_fails_and_stalls_on_request() {
    let mut sandbox = sandbox();
    let client = connect(&mut sandbox, "127.0.0.1");
    ask(&mut sandbox, client, HOST);
    sandbox.set_store(StoreMode::FailsOnce);
    assert_eq!(ask(&mut sandbox, client, HELLO), NOT_STORED);
    assert_eq!(ask(&mut sandbox, client, HELLO), DELIVERED);
    assert_eq!(sandbox.state().messages, 1);

    sandbox.set_store(StoreMode::FailsOnceButKeeps);
    assert_eq!(ask(&mut sandbox, client, HELLO), NOT_STORED);
    assert_eq!(sandbox.state().messages, 2);
    assert_eq!(ask(&mut sandbox, client, HELLO), DELIVERED);
    assert_eq!(sandbox.state().messages, 3);

    sandbox.set_store(StoreMode::Fails);
    for _ in 0..3 {
        assert_eq!(ask(&mut sandbox, client, HELLO), NOT_STORED);
    }
    sandbox.set_store(StoreMode::Stalls);
    assert_eq!(ask(&mut sandbox, client, HELLO), "");
    assert_eq!(after(&mut sandbox, client, 60_000), "");
    assert_eq!(sandbox.state().waiting, 1);
    sandbox.set_store(StoreMode::Works);
    // The time is when the server took it, not when the store did.
    assert_eq!(after(&mut sandbox, client, 50), DELIVERED);
    assert_eq!((sandbox.state().messages, sandbox.state().waiting), (4, 0));
}

#[test]
fn reads_are_cut_as_the_seed_says_and_not_where_they_are_to_be_whole() {
    let run = |seed, cut_reads| {
        let mut sandbox = Sandbox::new(Settings { seed, cut_reads, ..Settings::default() });
        let client = connect(&mut sandbox, "127.0.0.1");
        for _ in 0..5 {
            sandbox.push(client, Step::Bytes(b"LIST\r\n".to_vec()));
            sandbox.run(sandbox.now() + 50);
        }
        let events = sandbox.take_events();
        assert_eq!(stream(&events, client, Direction::In), b"OK\r\n{\"channels\": []}".repeat(5));
        reads(&events, client, Direction::In).len()
    };
    assert!((0..20).all(|seed| run(seed, false) == 5));
    assert!((0..20).any(|seed| run(seed, true) > 5));
}

#[test]
fn steps_wait_and_each_write_is_its_own() {
    let mut sandbox = sandbox();
    let client = connect(&mut sandbox, "127.0.0.1");
    let steps =
        [Step::Bytes(b"LI".to_vec()), Step::Wait(700), Step::Bytes(b"ST\r\n".to_vec()), Step::Wait(5), Step::End];
    assert!(steps.into_iter().all(|step| sandbox.push(client, step)));
    assert!(!sandbox.push(client, Step::Wait(1)), "nothing follows the end");
    sandbox.run(1000);
    let events = sandbox.take_events();
    let out = |event: &&Event| {
        matches!(
            event.event,
            Happening::Bytes { direction: Direction::Out, .. } | Happening::Ended { direction: Direction::Out }
        )
    };
    assert_eq!(events.iter().filter(out).map(|event| event.time).collect::<Vec<_>>(), [0, 700, 705]);
    assert_eq!(stream(&events, client, Direction::In), b"OK\r\n{\"channels\": []}");
    let reason = "the server closed the connection: client_closed";
    assert_eq!(events.last().unwrap().event, Happening::Closed { reason: reason.into(), bad: false });
}

#[test]
fn a_reset_is_a_reset_on_both_ends() {
    let mut sandbox = Sandbox::new(Settings { network: 8, ..Settings::default() });
    let client = connect(&mut sandbox, "127.0.0.1");
    sandbox.push(client, Step::Reset);
    // A client that takes nothing for ten seconds is reset.
    let paused = connect(&mut sandbox, "127.0.0.1");
    sandbox.set_reading(paused, false);
    sandbox.push(paused, Step::Bytes(b"LIST\r\n".to_vec()));
    sandbox.run(9_000);
    assert_eq!(sandbox.state().paused, [paused]);
    assert_eq!(sandbox.state().due.unwrap().event, "a read by the client");
    sandbox.run(11_000);
    let events = sandbox.take_events();
    let ends: Vec<_> = events
        .iter()
        .filter_map(|Event { connection, event, .. }| match event {
            Happening::Closed { reason, bad } => Some((*connection, reason.as_str(), *bad)),
            _ => None,
        })
        .collect();
    let not_reading = "the server reset the connection: not_reading, write_timeout 10";
    assert_eq!(ends, [(client, "reset by the client: client_lost", false), (paused, not_reading, true)]);
}

#[test]
fn requests_sent_before_a_close_are_carried_out() {
    let mut sandbox = sandbox();
    let (host, client) = (connect(&mut sandbox, "127.0.0.1"), connect(&mut sandbox, "127.0.0.1"));
    ask(&mut sandbox, host, HOST);
    sandbox.push(client, Step::Bytes(HELLO.into()));
    sandbox.run(sandbox.now());
    sandbox.take_events();
    sandbox.close(client);
    sandbox.run(sandbox.now() + 50);
    assert_eq!(sandbox.take_events(), []);
    assert_eq!(sandbox.state().messages, 1);
    assert!(!sandbox.push(client, Step::End));
}

#[test]
fn a_close_makes_room_for_another_client() {
    let mut sandbox = Sandbox::new(Settings { max_connections: 1, ..Settings::default() });
    let first = connect(&mut sandbox, "127.0.0.1");
    assert!(ask(&mut sandbox, first, "LIST\r\n").starts_with("OK\r\n"));
    let second = connect(&mut sandbox, "127.0.0.1");
    assert!(after(&mut sandbox, second, 50).starts_with("SERVER_ERROR\r\n{\"error\": \"Server busy\""));
    sandbox.close(first);
    sandbox.run(sandbox.now() + 50);
    let third = connect(&mut sandbox, "127.0.0.1");
    assert!(ask(&mut sandbox, third, "LIST\r\n").starts_with("OK\r\n"));
}

#[test]
fn settings_are_read_as_they_are_typed() {
    let typed = BTreeMap::from([("seed".into(), " 5 ".into()), ("max_joins".into(), "0".into())]);
    let settings = Settings::read(&typed, 7).unwrap();
    assert_eq!(settings, Settings { seed: 5, max_joins: 0, wall: 7, ..Settings::default() });
    for setting in Settings::all() {
        for (text, good) in [(setting.least, true), (setting.most, true), (setting.most + 1, false)] {
            let typed = BTreeMap::from([(setting.name.into(), text.to_string())]);
            match Settings::read(&typed, 0) {
                Ok(_) => assert!(good, "{} {text}", setting.name),
                Err(problems) => assert!(!good && problems[0].field.as_deref() == Some(setting.name)),
            }
        }
        let typed = BTreeMap::from([(setting.name.into(), setting.default.to_string())]);
        assert_eq!(Settings::read(&typed, 0).unwrap(), Settings::default());
    }
}

#[derive(Clone, Debug)]
enum Action {
    Connect(&'static str),
    Write(u32, &'static str),
    Wait(u32, u64),
    End(u32),
    Reset(u32),
    Close(u32),
    Reads(u32, bool),
    Store(StoreMode),
    Run(u64),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let client = 1_u32..5;
    let text = select(vec![
        HOST,
        JOIN,
        HELLO,
        "LIST\r\n",
        "MESSAGE\r\n{\"user",
        "HOST\r\n{\"channel_name\": \"general\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": 22236, \
         \"lease\": 10}",
        "HISTORY\r\n{\"channel_name\": \"general\"}",
        "UNHOST\r\n{\"channel_name\": \"general\"}",
        "JOIN\r\n{\"channel_name\": \"general\", \"history\": 10}",
        "LIST\n",
        "}",
    ]);
    let action = prop_oneof![
        1 => select(vec!["127.0.0.1", "192.0.2.7", "::1"]).prop_map(Action::Connect),
        8 => (client.clone(), text).prop_map(|(client, text)| Action::Write(client, text)),
        1 => (client.clone(), 0_u64..2000).prop_map(|(client, wait)| Action::Wait(client, wait)),
        1 => client.clone().prop_map(Action::End),
        1 => client.clone().prop_map(Action::Reset),
        1 => client.clone().prop_map(Action::Close),
        1 => (client, any::<bool>()).prop_map(|(client, reads)| Action::Reads(client, reads)),
        1 => select(StoreMode::ALL.to_vec()).prop_map(Action::Store),
        4 => prop_oneof![0_u64..10, 10_u64..200, 1000_u64..130_000].prop_map(Action::Run),
    ];
    vec(action, 1..60)
}

fn run(actions: &[Action], settings: &Settings) -> (Vec<Event>, BTreeMap<u32, Vec<u8>>) {
    let mut sandbox = Sandbox::new(settings.clone());
    let mut given: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for action in actions {
        match *action {
            Action::Connect(from) => drop(sandbox.connect(from.parse().unwrap())),
            Action::Write(client, text) => {
                if sandbox.push(client, Step::Bytes(text.into())) {
                    given.entry(client).or_default().extend_from_slice(text.as_bytes());
                }
            }
            Action::Wait(client, wait) => drop(sandbox.push(client, Step::Wait(wait))),
            Action::End(client) => drop(sandbox.push(client, Step::End)),
            Action::Reset(client) => drop(sandbox.push(client, Step::Reset)),
            Action::Close(client) => sandbox.close(client),
            Action::Reads(client, reads) => sandbox.set_reading(client, reads),
            Action::Store(mode) => sandbox.set_store(mode),
            Action::Run(ms) => sandbox.run(sandbox.now() + ms),
        }
    }
    (sandbox.take_events(), given)
}

proptest! {
    #![proptest_config(Config { cases: 300, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_laws_hold_under_any_actions(
        actions in actions(),
        seed in 0_u64..1000,
        network in select(vec![1, 50, 65_536]),
        max_pushed in select(vec![0, 200, 1 << 20]),
    ) {
        let settings = Settings { seed, network, max_pushed, max_connections: 3, ..Settings::default() };
        let (events, given) = run(&actions, &settings);
        prop_assert_eq!(&run(&actions, &settings).0, &events, "the same again");

        let mut over = BTreeSet::new();
        let mut opened = BTreeSet::new();
        let mut ended = BTreeSet::new();
        let mut last = 0;
        for Event { time, connection, event } in &events {
            prop_assert!(*time >= last, "time runs back");
            last = *time;
            prop_assert!(!over.contains(connection), "{event:?} after the end of {connection}");
            let opens = matches!(event, Happening::Opened { .. });
            prop_assert_eq!(opened.contains(connection), !opens);
            match event {
                Happening::Opened { .. } => drop(opened.insert(*connection)),
                Happening::Bytes { direction, bytes } => {
                    prop_assert!(!bytes.is_empty() && !ended.contains(&(*connection, *direction)));
                }
                Happening::Ended { direction } => prop_assert!(ended.insert((*connection, *direction))),
                Happening::Closed { .. } => drop(over.insert(*connection)),
            }
        }
        // The written bytes are the beginning of the given ones.
        for client in opened {
            let out = stream(&events, client, Direction::Out);
            prop_assert!(given.get(&client).map_or(&[][..], Vec::as_slice).starts_with(&out));
        }
        // Every answer is one that the decoder knows.
        for row in rows(&events).into_iter().filter(|row| row.direction == Direction::In) {
            let cut_short = row.fault.as_ref().is_some_and(|fault| fault.error == "Incomplete response");
            prop_assert!(row.fault.is_none() || cut_short, "{row:?}");
        }
    }
}

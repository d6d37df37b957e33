//! CONNECTIONS and DISCONNECT, which only the operator may use.

use super::*;

fn connections(after: u64, limit: u16) -> Request {
    Request::Connections { after, limit }
}

fn disconnect(connection: u64) -> Request {
    Request::Disconnect { connection }
}

/// Returns the numbers of the connections on a page, and its `next`.
fn page(trial: &mut Trial, asker: u64, after: u64, limit: u16) -> (Vec<u64>, Option<u64>) {
    match &ask(trial, asker, &connections(after, limit))[..] {
        [Response::Connections { connections, next }] => {
            (connections.iter().map(|row| row.connection).collect(), *next)
        }
        other => panic!("{other:?}"),
    }
}

fn error(answers: &[Response]) -> &str {
    match answers {
        [Response::Error(error)] => &error.error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_the_operator_may_see_and_end_connections() {
    let (mut trial, ada, bob) = two_channels();
    assert_eq!(error(&ask(&mut trial, ada, &connections(0, 100))), "Not allowed");
    assert_eq!(error(&ask(&mut trial, ada, &disconnect(bob))), "Not allowed");
    assert_eq!(trial.closed(bob), None);
}

#[test]
fn pages_follow_each_other_in_the_order_of_acceptance() {
    let (mut trial, ..) = two_channels();
    let operator = trial.connect_operator();
    for _ in 0..7 {
        trial.connect(ip(ADA), 0);
    }
    let last = trial.connect(ip(BOB), 0);
    trial.disconnect(last - 1);
    let (mut listed, mut after) = (Vec::new(), 0);
    loop {
        let (page, next) = page(&mut trial, operator, after, 3);
        assert!(page.len() <= 3);
        listed.extend(page);
        let Some(next) = next else { break };
        assert!(next > after);
        after = next;
    }
    let expected: Vec<u64> = (1..=last).filter(|id| *id != last - 1).collect();
    assert_eq!(listed, expected);
    assert_eq!(page(&mut trial, operator, last, 1000), (vec![], None));
}

#[test]
fn a_row_has_the_joins_and_the_age_of_its_connection() {
    let (mut trial, ..) = two_channels();
    let operator = trial.connect_operator();
    let reader = trial.connect(ip(BOB), 0);
    assert_eq!(ask(&mut trial, reader, &join("here", JoinFrom::Last(0))), [joined("here", 1, 0)]);
    trial.now = trial.now.after(std::time::Duration::from_millis(61_999));
    let answers = ask(&mut trial, operator, &connections(reader - 1, 1));
    let [Response::Connections { connections, next: None }] = &answers[..] else { panic!("{answers:?}") };
    let [row] = &connections[..] else { panic!("{connections:?}") };
    assert_eq!((row.connection, row.peer.as_str(), row.seconds), (reader, BOB, 61));
    assert_eq!((row.joined, row.requests), (1, 1));
    assert!(row.received_bytes > 0 && row.sent_bytes > 0 && row.waiting_bytes == 0, "{row:?}");
}

#[test]
fn a_closed_connection_takes_a_place_on_a_page_and_has_no_row() {
    let (mut trial, ada, _) = two_channels();
    let (operator, bob) = (trial.connect_operator(), trial.connect(ip(BOB), 0));
    // Its request is with the store, so the hub still knows the connection after its end.
    trial.ask(bob, &say("hi", Some("here")), 0);
    trial.drain();
    trial.disconnect(bob);
    let after = trial.connect(ip(ADA), 0);
    assert_eq!(page(&mut trial, operator, operator, 1), (vec![], Some(bob)));
    assert_eq!(page(&mut trial, operator, bob, 1), (vec![after], None));
    trial.settle();
    assert_ne!(ada, bob);
}

#[test]
fn a_connection_that_is_ended_is_pushed_nothing_more_and_its_requests_are_carried_out() {
    let (mut trial, ada, _) = two_channels();
    let (operator, reader) = (trial.connect_operator(), trial.connect(ip(BOB), 0));
    assert_eq!(ask(&mut trial, reader, &join("here", JoinFrom::Last(0))), [joined("here", 1, 0)]);
    trial.ask(reader, &say("last words", Some("here")), 0);
    assert_eq!(ask(&mut trial, operator, &disconnect(reader)), [Response::Disconnected { connection: reader }]);
    assert_eq!(trial.closed(reader).unwrap().error, "Disconnected");
    trial.settle();
    assert_eq!(trial.received(reader), []);
    assert_eq!(trial.disk.last_id("here"), 1);
    assert_eq!(error(&ask(&mut trial, operator, &disconnect(reader))), "Connection not found");
    assert_eq!(error(&ask(&mut trial, operator, &disconnect(1_000_000))), "Connection not found");
    assert_eq!(ask(&mut trial, ada, &say("still here", Some("here"))), [delivered(0)]);
}

#[test]
fn the_operator_may_end_its_own_connection_and_is_answered() {
    let (mut trial, ..) = two_channels();
    let operator = trial.connect_operator();
    trial.ask(operator, &disconnect(operator), 0);
    trial.drain();
    assert_eq!(trial.answers(operator), [Response::Disconnected { connection: operator }]);
    assert_eq!(trial.closed(operator).unwrap().error, "Disconnected");
}

#[test]
fn a_store_that_cannot_be_read_back_keeps_nobody_from_seeing_connections() {
    let (mut trial, ada, _) = two_channels();
    let operator = trial.connect_operator();
    trial.ask(operator, &say("lost", Some("here")), 0);
    trial.drain();
    trial.ask(operator, &connections(0, 1), 0);
    trial.ask(operator, &disconnect(1_000_000), 0);
    trial.store(Fate::Lost);
    trial.ask(ada, &say("next", Some("here")), 0);
    trial.drain();
    trial.store(Fate::Lost);
    trial.settle();
    let answers = trial.answers(operator);
    assert!(matches!(&answers[1..], [Response::Connections { .. }, Response::Error(_)]), "{answers:?}");
}

#[test]
fn a_page_is_cut_at_its_greatest_size() {
    let own = Address::new(vec!["a".repeat(60); 3].join("."), 22236).unwrap();
    let mut trial = Trial::start(Setup { own: vec![vec![own]], ..setup() }, Disk::default());
    let operator = trial.connect_operator();
    for _ in 0..1000 {
        trial.connect(ip(ADA), 0);
    }
    let (first, next) = page(&mut trial, operator, 0, 1000);
    let last = *first.last().unwrap();
    assert!(first.len() > 500 && first.len() < 1000 && next == Some(last), "{} rows, {next:?}", first.len());
    let mut bytes = Vec::new();
    for response in ask(&mut trial, operator, &connections(0, 1000)) {
        response.encode(&mut bytes);
    }
    assert!(bytes.len() <= 262_144 + "OK\r\n".len() && bytes.len() > 260_000, "{}", bytes.len());
    let (second, next) = page(&mut trial, operator, last, 1000);
    assert_eq!((second.first(), next), (Some(&(last + 1)), None));
}

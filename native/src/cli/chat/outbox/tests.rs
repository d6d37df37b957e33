use super::*;

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

fn at(seconds: u64) -> Time {
    Time::default().after(Duration::from_secs(seconds))
}

fn host(number: u8) -> ServerAddress {
    format!("192.0.2.{number}:22236").parse().unwrap()
}

fn id(number: u128) -> ClientMessageId {
    ClientMessageId::from_random(number)
}

fn ann() -> Username {
    "ann".parse().unwrap()
}

fn outbox(texts: &[&str]) -> Outbox {
    let mut outbox = Outbox::default();
    texts.iter().zip(1..).for_each(|(text, number)| outbox.push(id(number), ann(), (*text).into()));
    outbox
}

/// Sends all that the window allows.
fn send(outbox: &mut Outbox, now: Time, window: Option<Duration>) -> Vec<NextMessage> {
    std::iter::from_fn(|| outbox.send_next(now, &host(1), window)).collect()
}

fn texts(sent: &[NextMessage]) -> Vec<&str> {
    sent.iter().map(|message| &*message.text).collect()
}

#[test]
fn unanswered_messages_are_sent_again_in_order_with_the_same_ids() {
    let mut outbox = outbox(&["a", "b", "c"]);
    let first = send(&mut outbox, at(0), HOUR);
    assert_eq!(first.iter().map(|message| message.id.clone()).collect::<Vec<_>>(), [1, 2, 3].map(id).map(Some));
    outbox.answered(first[1].number);
    outbox.lost();
    outbox.push(id(4), ann(), "d".into());
    assert_eq!(outbox.take_unrepeatable(at(3500), &host(1), HOUR), [""; 0]);
    let again = send(&mut outbox, at(3500), HOUR);
    assert_eq!(texts(&again), ["a", "c", "d"]);
    assert_eq!((&again[0], &again[1]), (&first[0], &first[2]));
}

#[test]
fn an_older_server_gets_no_ids() {
    let mut outbox = outbox(&["a", "b"]);
    let sent = send(&mut outbox, at(0), None);
    assert!(sent.len() == 2 && sent.iter().all(|message| message.id.is_none()));
}

#[test]
fn a_message_is_sent_again_only_to_a_server_that_knows_its_id_still() {
    for (first, again, seconds, is_repeatable) in [
        (HOUR, HOUR, 3500, true),
        (HOUR, HOUR, 3541, false),
        (HOUR, None, 1, false),
        (None, HOUR, 1, false),
        (None, None, 1, false),
    ] {
        let mut outbox = outbox(&["a"]);
        send(&mut outbox, at(0), first);
        assert_eq!(outbox.take_unrepeatable(at(seconds), &host(1), again), [""; 0], "it is in flight");
        outbox.lost();
        let taken = outbox.take_unrepeatable(at(seconds), &host(1), again);
        assert_eq!(taken.is_empty(), is_repeatable, "{first:?} {again:?} {seconds}");
        assert_eq!(outbox.waiting(), usize::from(is_repeatable));
    }
}

#[test]
fn the_time_counts_from_the_first_try() {
    let mut outbox = outbox(&["a"]);
    for seconds in [0, 3000] {
        assert_eq!(outbox.take_unrepeatable(at(seconds), &host(1), HOUR), [""; 0]);
        send(&mut outbox, at(seconds), HOUR);
        outbox.lost();
    }
    assert_eq!(outbox.take_unrepeatable(at(3600), &host(1), HOUR), ["a"]);
}

#[test]
fn another_host_does_not_know_the_id() {
    let mut outbox = outbox(&["a", "b"]);
    outbox.send_next(at(0), &host(1), HOUR);
    outbox.lost();
    assert_eq!(outbox.take_unrepeatable(at(1), &host(2), HOUR), ["a"]);
    assert_eq!(outbox.send_next(at(1), &host(2), HOUR).unwrap().text, "b");
}

#[test]
fn a_failure_of_the_server_leaves_a_message_with_an_id_to_be_sent_again() {
    for window in [HOUR, None] {
        let mut outbox = outbox(&["a", "b"]);
        let sent = send(&mut outbox, at(0), window);
        let given_up = outbox.failed(sent[0].number);
        outbox.answered(sent[1].number);
        assert_eq!(given_up.is_none(), window.is_some());
        let again = send(&mut outbox, at(1), window);
        assert_eq!(texts(&again), if window.is_some() { vec!["a"] } else { vec![] });
    }
}

#[test]
fn no_message_overtakes_a_failed_one() {
    let mut outbox = outbox(&["a", "b", "c"]);
    let sent = send(&mut outbox, at(0), HOUR);
    outbox.push(id(4), ann(), "d".into());
    outbox.failed(sent[1].number);
    // Those on their way may be stored before it.
    assert_eq!(texts(&send(&mut outbox, at(0), HOUR)), [""; 0]);
    outbox.answered(sent[0].number);
    outbox.failed(sent[2].number);
    for _ in 0..2 {
        let again = send(&mut outbox, at(1), HOUR);
        assert_eq!(texts(&again), ["b"]);
        outbox.failed(again[0].number);
    }
    for text in ["b", "c"] {
        let again = send(&mut outbox, at(1), HOUR);
        assert_eq!(texts(&again), [text]);
        outbox.answered(again[0].number);
    }
    outbox.push(id(5), ann(), "e".into());
    assert_eq!(texts(&send(&mut outbox, at(1), HOUR)), ["d", "e"]);
}

#[test]
fn a_window_bounds_what_is_on_its_way() {
    let mut outbox = outbox(&[""; WINDOW + 1]);
    let sent = send(&mut outbox, at(0), HOUR);
    assert_eq!(sent.len(), WINDOW);
    assert_eq!(outbox.answered(sent[0].number).as_deref(), Some(""));
    assert_eq!(send(&mut outbox, at(0), HOUR).len(), 1);
    assert_eq!(outbox.waiting(), WINDOW);
}

#[test]
fn what_is_left_was_sent_or_not() {
    let mut outbox = outbox(&["a", "b"]);
    outbox.send_next(at(0), &host(1), HOUR);
    assert_eq!(outbox.unsettled(), (vec!["b"], vec!["a"]));
    outbox.lost();
    assert_eq!(outbox.unsettled(), (vec!["b"], vec!["a"]));
}

#[test]
fn a_message_keeps_the_name_under_which_it_was_typed() {
    let mut outbox = outbox(&["a"]);
    send(&mut outbox, at(0), HOUR);
    outbox.push(id(2), "bob".parse().unwrap(), "b".into());
    outbox.lost();
    let again = send(&mut outbox, at(1), HOUR);
    assert_eq!(again.iter().map(|message| message.username.as_str()).collect::<Vec<_>>(), ["ann", "bob"]);
}

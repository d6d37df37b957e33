//! The server: messages that it sends unasked, and readers that are slow.

use chanwire_core::endpoint::Pushes;
use proptest::{collection::vec, prelude::*};

use super::*;

fn message(id: u64, length: usize) -> StoredMessage {
    StoredMessage::new(
        "general".parse().unwrap(),
        id,
        "user1".parse().unwrap(),
        "x".repeat(length),
        Timestamp::from_unix(0),
    )
}

/// Pushes that are this long each.
fn pushes(first: u64, lengths: &[usize]) -> Arc<Pushes> {
    let messages: Vec<_> = (first..).zip(lengths).map(|(id, length)| message(id, *length)).collect();
    Pushes::new(&messages)
}

fn frame(id: u64, length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    message(id, length).encode_push(&mut out);
    out
}

fn joined() -> Response {
    Response::Joined { channel_name: "general".parse().unwrap(), first_id: 1, last_id: 0 }
}

/// Returns a connection that has joined, and has read the answer to that.
fn joined_server(change: impl FnOnce(&mut Limits)) -> End<Server> {
    let mut end = limited(change);
    feed(&mut end, at(0), b"JOIN\r\n{\"channel_name\": \"general\"}");
    let ticket = one_ticket(&mut end);
    respond(&mut end, at(0), ticket, joined());
    written(&mut end, at(0));
    end
}

fn too_slow(limit: usize) -> Response {
    Response::Error(ErrorResponse::server("Slow consumer", format!("More than {limit} bytes are waiting to be read")))
}

fn channel_removed() -> ErrorResponse {
    ErrorResponse::server("Channel removed", "The channel 'general' is no longer hosted here")
}

fn drained(end: &mut End<Server>) -> usize {
    std::iter::from_fn(|| end.endpoint.poll_event()).filter(|event| *event == ServerEvent::Drained).count()
}

#[test]
fn pushes_stand_between_a_request_and_its_answer_in_the_order_given() {
    let mut end = joined_server(|_| {});
    feed(&mut end, at(0), b"LIST\r\n");
    let ticket = one_ticket(&mut end);
    end.endpoint.push(at(0), pushes(1, &[1, 2]));
    respond(&mut end, at(0), ticket, hosted("x"));
    end.endpoint.push(at(0), pushes(3, &[3]));
    let expected = [frame(1, 1), frame(2, 2), bytes(&hosted("x")), frame(3, 3)].concat();
    assert_eq!(written(&mut end, at(0)).into_bytes(), expected);
}

#[test]
fn pushes_to_many_subscribers_are_not_copied() {
    let shared = pushes(1, &[1000]);
    for mut end in [joined_server(|_| {}), joined_server(|_| {})] {
        end.endpoint.push(at(0), shared.clone());
        let mut slices = [&[][..]; 2];
        assert_eq!(end.endpoint.transmit(&mut slices), 1);
        assert_eq!(slices[0].as_ptr(), shared.bytes().as_ptr());
        drop(end);
    }
    assert_eq!(Arc::strong_count(&shared), 1, "nothing keeps it");
}

#[test]
fn pushes_do_not_keep_requests_from_being_read() {
    let mut end = joined_server(|limits| (limits.max_unsent, limits.max_pushed) = (1_000, 10_000));
    end.endpoint.push(at(0), pushes(1, &[4_000]));
    end.endpoint.replay(at(0), pushes(2, &[100_000]));
    assert!(end.endpoint.wants_read());
    feed(&mut end, at(0), b"LIST\r\nLIST\r\n");
    let tickets = tickets(&mut end);
    assert_eq!(tickets.len(), 2);
    // Answers count as ever.
    for ticket in tickets {
        respond(&mut end, at(0), ticket, long(600));
    }
    assert!(!end.endpoint.wants_read());
    written(&mut end, at(0));
    assert!(end.endpoint.wants_read());
}

#[test]
fn a_subscriber_may_leave_unread_bytes_up_to_the_limit() {
    let length = frame(1, 100).len();
    for (limit, slow) in [(3 * length, false), (3 * length - 1, true)] {
        let mut end = joined_server(|limits| limits.max_pushed = limit);
        (1..=3).for_each(|id| end.endpoint.push(at(0), pushes(id, &[100])));
        let events: Vec<_> = std::iter::from_fn(|| end.endpoint.poll_event()).collect();
        let got = written(&mut end, at(0)).into_bytes();
        if slow {
            assert_eq!(got, bytes(&too_slow(limit)));
            assert_eq!(end.action(), ConnectionAction::FinishWriting);
            assert!(matches!(&events[..], [ServerEvent::Refused { closes: true, .. }]), "{events:?}");
        } else {
            assert_eq!(got, [frame(1, 100), frame(2, 100), frame(3, 100)].concat());
            assert_eq!((end.action(), events), (ConnectionAction::Open, vec![]));
            // Bytes that were read make room.
            end.endpoint.push(at(0), pushes(4, &[100]));
            assert_eq!(written(&mut end, at(0)).into_bytes(), frame(4, 100));
        }
    }
}

#[test]
fn a_subscriber_with_nothing_unread_is_never_slow() {
    let mut end = joined_server(|limits| limits.max_pushed = 1_000);
    end.endpoint.push(at(0), pushes(1, &[900; 5]));
    let expected: Vec<u8> = (1..=5).flat_map(|id| frame(id, 900)).collect();
    // One byte is left, and something comes: now it is.
    while end.unsent() > 1 {
        end.write(at(0), 1);
    }
    end.endpoint.push(at(0), pushes(6, &[1]));
    assert_eq!(end.action(), ConnectionAction::Open);
    end.endpoint.push(at(0), pushes(7, &[900]));
    assert!(
        written(&mut end, at(0)).into_bytes() == [&expected[expected.len() - 1..], &bytes(&too_slow(1_000))].concat()
    );
}

#[test]
fn the_default_limit_of_unread_bytes_is_one_mebibyte() {
    let mut end = joined_server(|_| {});
    let mut sent = 0;
    let page = pushes(1, &[60_000]);
    while sent + page.bytes().len() <= 1 << 20 {
        end.endpoint.push(at(0), page.clone());
        sent += page.bytes().len();
    }
    assert_eq!(end.unsent(), sent);
    end.endpoint.push(at(0), page);
    assert_eq!(written(&mut end, at(0)).into_bytes(), bytes(&too_slow(1 << 20)));
}

#[test]
fn after_a_slow_close_nothing_is_pushed_or_decoded() {
    let mut end = joined_server(|limits| limits.max_pushed = 10);
    end.endpoint.push(at(0), pushes(1, &[1]));
    end.endpoint.push(at(0), pushes(2, &[1]));
    while end.endpoint.poll_event().is_some() {}
    end.endpoint.push(at(0), pushes(3, &[1]));
    end.endpoint.replay(at(0), pushes(3, &[1]));
    end.endpoint.close(at(0), channel_removed());
    feed(&mut end, at(0), b"LIST\r\n");
    assert_eq!(end.endpoint.poll_event(), None);
    assert_eq!(written(&mut end, at(0)).into_bytes(), bytes(&too_slow(10)));
    assert_eq!((end.action(), due(&end.endpoint)), (ConnectionAction::FinishWriting, Some((2_000, Timer::Linger))));
}

#[test]
fn a_slow_subscriber_that_reads_nothing_is_reset() {
    for limit in [10, usize::MAX] {
        let mut end = joined_server(|limits| limits.max_pushed = limit);
        end.endpoint.push(at(0), pushes(1, &[100]));
        assert_eq!(due(&end.endpoint), Some((10_000, Timer::Write)));
        // More that waits puts nothing off.
        end.endpoint.push(at(9_000), pushes(2, &[100]));
        end.endpoint.handle_timeout(at(10_000));
        assert_eq!(end.action(), ConnectionAction::Reset);
    }
}

#[test]
fn the_next_page_is_due_when_32_kibibytes_of_the_last_one_are_left() {
    let mut end = joined_server(|_| {});
    end.endpoint.replay(at(0), pushes(1, &[50_000; 3]));
    assert_eq!(drained(&mut end), 0);
    let mut drained_count = 0;
    while end.unsent() > 0 {
        let before = end.unsent();
        end.write(at(0), 1_000);
        let now = drained(&mut end);
        drained_count += now;
        assert_eq!(now == 1, before > 32 * 1024 && end.unsent() <= 32 * 1024, "{before} {}", end.unsent());
    }
    assert_eq!(drained_count, 1);
    // A small page counts as read at once, and each is reported.
    for id in 4..7 {
        end.endpoint.replay(at(0), pushes(id, &[10]));
        assert_eq!(drained(&mut end), 1);
    }
}

#[test]
fn a_replayed_page_makes_no_subscriber_slow() {
    let mut end = joined_server(|limits| limits.max_pushed = 1_000);
    end.endpoint.replay(at(0), pushes(1, &[100_000; 5]));
    end.endpoint.push(at(0), pushes(6, &[100]));
    assert_eq!(end.action(), ConnectionAction::Open);
    let expected = [(1..=5).flat_map(|id| frame(id, 100_000)).collect(), frame(6, 100)].concat();
    assert!(written(&mut end, at(0)).into_bytes() == expected);
}

#[test]
fn closing_sends_queued_output_and_then_the_error() {
    let mut end = joined_server(|_| {});
    end.endpoint.replay(at(0), pushes(1, &[100]));
    end.endpoint.push(at(0), pushes(2, &[100]));
    feed(&mut end, at(0), b"LIST\r\nLIST\r\n");
    let tickets = tickets(&mut end);
    end.endpoint.close(at(0), channel_removed());
    end.endpoint.push(at(0), pushes(3, &[100]));
    assert_eq!(end.action(), ConnectionAction::Open);
    // Pending requests are answered before.
    for ticket in tickets {
        respond(&mut end, at(0), ticket, hosted("x"));
    }
    let answers = bytes(&hosted("x")).repeat(2);
    let expected = [frame(1, 100), frame(2, 100), answers, bytes(&Response::Error(channel_removed()))].concat();
    assert_eq!(written(&mut end, at(0)).into_bytes(), expected);
    assert_eq!(end.action(), ConnectionAction::FinishWriting);
    end.endpoint.handle_eof(at(1));
    assert_eq!(end.action(), ConnectionAction::Close);
}

#[test]
fn an_end_of_stream_waits_for_the_joined_pushes() {
    let mut end = joined_server(|_| {});
    feed(&mut end, at(0), b"LIST\r\n");
    let ticket = one_ticket(&mut end);
    end.endpoint.handle_eof(at(0));
    assert_eq!(end.endpoint.poll_event(), None, "a request is not answered");
    respond(&mut end, at(0), ticket, hosted("x"));
    assert_eq!(end.endpoint.poll_event(), Some(ServerEvent::Ended));
    written(&mut end, at(0));
    assert_eq!((end.action(), due(&end.endpoint)), (ConnectionAction::Open, None));
    end.endpoint.replay(at(0), pushes(1, &[100]));
    assert_eq!(end.endpoint.poll_event(), Some(ServerEvent::Drained));
    let mut got = written(&mut end, at(0)).into_bytes();
    end.endpoint.handle_timeout(at(100_000));
    end.endpoint.push(at(100_000), pushes(2, &[100]));
    end.endpoint.finish(at(100_000));
    // Nothing more will come.
    end.endpoint.push(at(100_000), pushes(3, &[100]));
    assert_eq!((end.action(), end.endpoint.poll_event()), (ConnectionAction::Open, None));
    got.extend(written(&mut end, at(100_000)).into_bytes());
    assert_eq!((got, end.action()), ([frame(1, 100), frame(2, 100)].concat(), ConnectionAction::Close));
}

#[test]
fn an_end_of_stream_without_a_join_waits_for_nothing() {
    let refused =
        Response::Error(ErrorResponse::request("Channel not found", "The requested channel 'general' does not exist"));
    for (answer, ended) in [(refused, None), (joined(), Some(ServerEvent::Ended))] {
        let mut end = server();
        feed(&mut end, at(0), b"JOIN\r\n{\"channel_name\": \"general\"}");
        let ticket = one_ticket(&mut end);
        end.endpoint.handle_eof(at(0));
        respond(&mut end, at(0), ticket, answer);
        assert_eq!(end.endpoint.poll_event(), ended);
        written(&mut end, at(0));
        assert_eq!(end.action() == ConnectionAction::Close, ended.is_none());
    }
}

#[test]
fn a_fault_and_a_shutdown_wait_for_no_pushes() {
    let mut end = joined_server(|_| {});
    feed(&mut end, at(0), b"LIS");
    end.endpoint.handle_eof(at(0));
    assert!(written(&mut end, at(0)).starts_with(&error("Incomplete request")));
    assert_eq!(end.action(), ConnectionAction::Close);
    let mut end = joined_server(|_| {});
    end.endpoint.push(at(0), pushes(1, &[100]));
    end.endpoint.shutdown(at(0));
    assert_eq!(end.action(), ConnectionAction::Open);
    assert_eq!((written(&mut end, at(0)).into_bytes(), end.action()), (frame(1, 100), ConnectionAction::FinishWriting));
    assert_eq!(end.endpoint.poll_event(), None);
}

/// An input of a server endpoint, or a read of its output.
#[derive(Clone, Debug)]
enum Op {
    Push(Vec<usize>),
    Replay(Vec<usize>),
    Answer(usize),
    Write(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => vec(0..300_usize, 1..4).prop_map(Op::Push),
        1 => vec(0..300_usize, 1..4).prop_map(Op::Replay),
        2 => (0..200_usize).prop_map(Op::Answer),
        3 => (1..900_usize).prop_map(Op::Write),
    ]
}

/// A frame, whether it is a push, and whether a live one.
type Frame = (Vec<u8>, bool, bool);

/// Returns the number of bytes of live pushes that are unwritten when so many bytes of these frames are written.
fn unread(frames: &[Frame], taken: usize) -> usize {
    let mut end = 0;
    let of = |(bytes, _, live): &Frame| {
        end += bytes.len();
        if *live { end.saturating_sub(taken).min(bytes.len()) } else { 0 }
    };
    frames.iter().map(of).sum()
}

proptest! {
    #![proptest_config(chanwire_tests::generate::times(1000))]

    /// Nobody is ever sent half a frame, loses an answer, or gets what was pushed in another order; and the one who is
    /// too slow loses all that was not begun, and nothing else.
    #[test]
    fn a_slow_subscriber_gets_the_begun_push_and_every_answer(
        ops in vec(op(), 1..40), limit in 200..3_000_usize,
    ) {
        let mut end = joined_server(|limits| limits.max_pushed = limit);
        end.written.clear();
        // Every frame, and how many bytes of all were written.
        let mut frames: Vec<Frame> = Vec::new();
        let (mut taken, mut next) = (0, 1);
        let mut slow = false;
        for op in ops {
            match op {
                Op::Push(lengths) | Op::Replay(lengths) if slow => drop(lengths),
                Op::Push(lengths) => {
                    end.endpoint.push(at(0), pushes(next, &lengths));
                    let before = unread(&frames, taken);
                    for length in lengths {
                        frames.push((frame(next, length), true, true));
                        next += 1;
                    }
                    slow = before > 0 && unread(&frames, taken) > limit;
                    if slow {
                        let mut start = 0;
                        frames.retain(|(bytes, push, _)| {
                            let begun = start < taken;
                            start += bytes.len();
                            begun || !push
                        });
                        frames.push((bytes(&too_slow(limit)), false, false));
                    }
                }
                Op::Replay(lengths) => {
                    end.endpoint.replay(at(0), pushes(next, &lengths));
                    for length in lengths {
                        frames.push((frame(next, length), true, false));
                        next += 1;
                    }
                }
                Op::Answer(length) if !slow => {
                    feed(&mut end, at(0), b"LIST\r\n");
                    let ticket = one_ticket(&mut end);
                    respond(&mut end, at(0), ticket, long(length));
                    frames.push((bytes(&long(length)), false, false));
                }
                Op::Answer(_) => {}
                Op::Write(most) => taken += end.write(at(0), most).len(),
            }
        }
        written(&mut end, at(0));
        let expected: Vec<u8> = frames.into_iter().flat_map(|(bytes, ..)| bytes).collect();
        prop_assert_eq!(String::from_utf8_lossy(&end.written), String::from_utf8_lossy(&expected));
        prop_assert_eq!(end.action(), if slow { ConnectionAction::FinishWriting } else { ConnectionAction::Open });
    }
}

#[test]
fn a_dropped_page_does_not_keep_a_closing_connection_open() {
    let mut end = joined_server(|_| {});
    end.endpoint.replay(at(0), pushes(1, &[10]));
    end.endpoint.handle_eof(at(0));
    end.endpoint.finish(at(0));
    assert_eq!((end.unsent() > 0, end.action()), (true, ConnectionAction::Open));
    end.endpoint.close_slow(at(0), channel_removed());
    // It must not wait until the peer is taken for one that reads nothing.
    assert_eq!((end.unsent(), end.action()), (0, ConnectionAction::Close));
}

//! The server: new limits while a connection is served.

use super::*;

fn with(change: impl FnOnce(&mut Limits)) -> Arc<Limits> {
    let mut limits = Limits::server();
    limits.max_in_flight_bytes = usize::MAX;
    change(&mut limits);
    Arc::new(limits)
}

/// Returns a HOST whose payload has so many bytes.
fn host_of(bytes: usize) -> Vec<u8> {
    let mut frame = b"HOST\r\n{\"channel_name\": \"".to_vec();
    let before = frame.len() - "HOST\r\n".len();
    let after = "\", \"peer_server_ip\": \"192.0.2.7\", \"peer_server_port\": 5}";
    let padding = bytes - before - after.len() - 30;
    frame.resize(frame.len() + 30, b'n');
    frame.extend(after.as_bytes());
    // White space within the payload counts.
    let end = frame.len() - 1;
    frame.splice(end..end, std::iter::repeat_n(b' ', padding));
    frame
}

#[test]
fn a_new_payload_limit_is_of_the_next_request() {
    let mut end = server();
    let (begun, rest) = (host_of(2000), host_of(2000));
    feed(&mut end, at(0), &begun[..500]);
    end.endpoint.reconfigure(at(1), with(|limits| limits.max_payload = 1000));
    feed(&mut end, at(2), &begun[500..]);
    let ticket = one_ticket(&mut end);
    respond(&mut end, at(2), ticket, hosted("x"));
    written(&mut end, at(2));
    feed(&mut end, at(3), &rest);
    let text = written(&mut end, at(3));
    assert!(text.starts_with(&error("Payload too large")) && text.contains("1000"), "{text}");
}

#[test]
fn a_higher_payload_limit_is_of_the_next_request() {
    let mut end = limited(|limits| limits.max_payload = 1000);
    end.endpoint.reconfigure(at(0), with(|limits| limits.max_payload = 2000));
    feed(&mut end, at(1), &host_of(2000));
    let _ = one_ticket(&mut end);
    feed(&mut end, at(2), &host_of(2001));
    assert_eq!(tickets(&mut end).len(), 0);
}

/// Returns everything that comes of a stream, whose limits change at a position, and which is cut into pieces.
fn outcome(stream: &[u8], position: usize, piece: usize, new: &Arc<Limits>) -> (String, usize) {
    let mut end = limited(|limits| limits.max_payload = 400);
    let mut served = 0;
    let mut all = String::new();
    let (before, after) = stream.split_at(position);
    for (index, part) in [before, after].into_iter().enumerate() {
        if index == 1 {
            end.endpoint.reconfigure(at(0), new.clone());
        }
        for bytes in part.chunks(piece) {
            feed(&mut end, at(0), bytes);
            for ticket in tickets(&mut end) {
                served += 1;
                respond(&mut end, at(0), ticket, hosted("x"));
            }
            all += &written(&mut end, at(0));
        }
    }
    (all, served)
}

#[test]
fn new_limits_do_not_depend_on_how_the_stream_is_cut() {
    let mut stream = Vec::new();
    for bytes in [200, 390, 250] {
        stream.extend(host_of(bytes));
        stream.extend(b"\r\n ");
    }
    for max_payload in [300, 395, 1000] {
        let new = with(|limits| limits.max_payload = max_payload);
        for position in (0..=stream.len()).step_by(7) {
            let whole = outcome(&stream, position, stream.len(), &new);
            for piece in [1, 64] {
                assert_eq!(outcome(&stream, position, piece, &new), whole, "{max_payload} {position} {piece}");
            }
        }
    }
}

#[test]
fn a_request_that_has_begun_keeps_its_deadline() {
    let mut end = server();
    feed(&mut end, at(0), b"LI");
    end.endpoint.reconfigure(at(10_000), with(|limits| limits.frame_timeout = Duration::from_secs(5)));
    assert_eq!(due(&end.endpoint), Some((120_000, Timer::Frame)));
    feed(&mut end, at(20_000), b"ST\r\nLI");
    assert_eq!(due(&end.endpoint), Some((25_000, Timer::Frame)));
}

#[test]
fn a_slow_reader_is_not_reset_by_a_lower_limit_at_once() {
    let mut end = server();
    feed(&mut end, at(0), b"LIST\r\n");
    let ticket = one_ticket(&mut end);
    respond(&mut end, at(0), ticket, Response::Channels(Vec::new()));
    assert_eq!(due(&end.endpoint), Some((10_000, Timer::Write)));
    end.endpoint.reconfigure(at(9000), with(|limits| limits.write_timeout = Duration::from_secs(2)));
    end.endpoint.handle_timeout(at(9000));
    assert_eq!((end.action(), due(&end.endpoint)), (ConnectionAction::Open, Some((11_000, Timer::Write))));
    end.endpoint.handle_timeout(at(11_000));
    assert_eq!(end.action(), ConnectionAction::Reset);
}

#[test]
fn new_limits_put_more_requests_in_flight() {
    let mut end = limited(|limits| limits.max_in_flight = 1);
    feed(&mut end, at(0), b"LIST\r\nLIST\r\nLIST\r\n");
    assert_eq!(tickets(&mut end).len(), 1);
    end.endpoint.reconfigure(at(1), with(|limits| limits.max_in_flight = 3));
    assert_eq!(tickets(&mut end).len(), 2);
}

#[test]
fn hello_tells_the_limit_in_force() {
    let mut end = server();
    let mut ask = |now: Time| {
        feed(&mut end, now, b"HELLO\r\n{}");
        while end.endpoint.poll_event().is_some() {}
        let text = written(&mut end, now);
        end.endpoint.reconfigure(now, with(|limits| limits.max_payload = 1000));
        text
    };
    assert!(ask(at(0)).contains("\"max_payload\": 65536"));
    assert!(ask(at(1)).contains("\"max_payload\": 1000"));
}

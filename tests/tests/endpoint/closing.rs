//! The server: closing, after a fault and when the process stops.

use super::*;

#[test]
fn nothing_is_decoded_after_a_fault_that_closes() {
    for (stream, answer) in [
        (&b"POST / HTTP/1.1\r\n"[..], "Malformed command"),
        (b"HOST\r\n7", "Invalid payload"),
        (b"HOST\r\n{]", "Invalid payload"),
        (&[b'A'; 33], "Malformed command"),
    ] {
        let mut end = server();
        feed(&mut end, at(0), &[stream, b"LIST\r\nLIST\r\n"].concat());
        feed(&mut end, at(0), b"LIST\r\n");
        assert_eq!(tickets(&mut end).len(), 0, "{answer}");
        let text = written(&mut end, at(0));
        assert!(text.starts_with(&error(answer)) && text.matches("_ERROR").count() == 1, "{text}");
        assert_eq!((end.action(), due(&end.endpoint)), (ConnectionAction::FinishWriting, Some((2_000, Timer::Linger))));
    }
}

#[test]
fn a_closing_connection_discards_input_until_the_end_of_the_stream() {
    let mut end = server();
    feed(&mut end, at(0), b"LIST\r\n!");
    let ticket = one_ticket(&mut end);
    // The answer to LIST is still owed: nothing is shut down, and what comes is taken.
    assert_eq!((end.action(), end.endpoint.wants_read()), (ConnectionAction::Open, true));
    feed(&mut end, at(5_000), &[b'{'; 100_000]);
    respond(&mut end, at(6_000), ticket, hosted("x"));
    assert_eq!(end.action(), ConnectionAction::Open);
    let text = written(&mut end, at(7_000));
    assert!(text.starts_with("OK") && text.ends_with("at byte 0\"}"), "{text}");
    assert_eq!((end.action(), due(&end.endpoint)), (ConnectionAction::FinishWriting, Some((9_000, Timer::Linger))));
    feed(&mut end, at(8_000), b"LIST\r\n");
    assert_eq!((end.endpoint.poll_event(), end.endpoint.wants_read()), (None, true));
    // Arriving bytes do not put the end off.
    assert_eq!(due(&end.endpoint), Some((9_000, Timer::Linger)));
    end.endpoint.handle_eof(at(8_500));
    assert_eq!(
        (end.action(), due(&end.endpoint), written(&mut end, at(8_500))),
        (ConnectionAction::Close, None, String::new())
    );
}

#[test]
fn a_closing_connection_lingers_for_two_seconds_without_an_end_of_stream() {
    let mut end = server();
    feed(&mut end, at(0), b"!");
    written(&mut end, at(100));
    for early in [100, 1_000, 2_099] {
        end.endpoint.handle_timeout(at(early));
        assert_eq!(end.action(), ConnectionAction::FinishWriting);
    }
    end.endpoint.handle_timeout(at(2_100));
    assert_eq!((end.action(), due(&end.endpoint), end.endpoint.wants_read()), (ConnectionAction::Close, None, false));
}

#[test]
fn the_sending_half_stays_open_until_the_last_byte_is_written() {
    let mut end = server();
    feed(&mut end, at(0), b"!");
    while end.unsent() > 1 {
        end.write(at(0), 1);
        assert_eq!(end.action(), ConnectionAction::Open);
    }
    end.write(at(0), 1);
    assert_eq!(end.action(), ConnectionAction::FinishWriting);
}

#[test]
fn the_sending_half_stays_open_while_the_transport_holds_output_back() {
    for peer_ended in [false, true] {
        let mut end = server();
        feed(&mut end, at(0), b"!");
        if peer_ended {
            end.endpoint.handle_eof(at(0));
        }
        end.endpoint.handle_flush(at(0), true);
        written(&mut end, at(0));
        assert_eq!((end.action(), due(&end.endpoint)), (ConnectionAction::Open, Some((10_000, Timer::Write))));
        end.endpoint.handle_flush(at(1_000), false);
        let next = if peer_ended { ConnectionAction::Close } else { ConnectionAction::FinishWriting };
        assert_eq!(end.action(), next);
    }
}

#[test]
fn a_connection_lingers_once_the_end_of_its_output_is_sent() {
    for is_sent in [false, true] {
        let mut end = server();
        feed(&mut end, at(0), b"!");
        written(&mut end, at(0));
        end.endpoint.handle_flush(at(1_000), true);
        assert_eq!(due(&end.endpoint), Some((11_000, Timer::Write)));
        if is_sent {
            end.endpoint.handle_flush(at(10_000), false);
            assert_eq!(due(&end.endpoint), Some((12_000, Timer::Linger)));
        }
        end.endpoint.handle_timeout(at(12_000));
        assert_eq!(end.action(), if is_sent { ConnectionAction::Close } else { ConnectionAction::Reset });
    }
}

#[test]
fn a_refused_connection_gets_the_error() {
    let mut end = server();
    let busy = ErrorResponse::server("Server busy", "The server has reached its limit of 10000 connections");
    end.endpoint.close(at(0), busy.clone());
    feed(&mut end, at(0), b"LIST\r\n");
    assert_eq!(end.endpoint.poll_event(), Some(ServerEvent::Refused { error: busy.clone(), closes: true }));
    assert_eq!(end.endpoint.poll_event(), None);
    assert_eq!(written(&mut end, at(0)).into_bytes(), bytes(&Response::Error(busy)));
    assert_eq!(end.action(), ConnectionAction::FinishWriting);
}

#[test]
fn a_shutdown_answers_decoded_requests_and_decodes_no_more() {
    let mut end = server();
    feed(&mut end, at(0), b"LIST\r\nLIST\r\nHOS");
    let tickets = tickets(&mut end);
    end.endpoint.shutdown(at(0));
    feed(&mut end, at(0), b"T\r\n{}LIST\r\n");
    assert_eq!((end.endpoint.poll_event(), end.action()), (None, ConnectionAction::Open));
    for ticket in tickets {
        respond(&mut end, at(0), ticket, hosted("x"));
    }
    assert_eq!(written(&mut end, at(0)).into_bytes(), bytes(&hosted("x")).repeat(2));
    assert_eq!((end.action(), due(&end.endpoint)), (ConnectionAction::FinishWriting, Some((2_000, Timer::Linger))));
    assert!(end.endpoint.wants_read());
    end.endpoint.handle_eof(at(1));
    assert_eq!(end.action(), ConnectionAction::Close);
}

#[test]
fn a_shutdown_also_answers_buffered_requests() {
    let mut end = limited(|limits| limits.max_in_flight = 1);
    feed(&mut end, at(0), &b"LIST\r\n".repeat(3));
    end.endpoint.shutdown(at(0));
    assert!(!end.endpoint.wants_read());
    for _ in 0..3 {
        assert_eq!(end.action(), ConnectionAction::Open);
        let ticket = one_ticket(&mut end);
        respond(&mut end, at(0), ticket, hosted("x"));
    }
    assert_eq!(written(&mut end, at(0)).into_bytes(), bytes(&hosted("x")).repeat(3));
    assert_eq!(end.action(), ConnectionAction::FinishWriting);
}

#[test]
fn a_shutdown_of_an_idle_connection_finishes_at_once() {
    let mut end = server();
    feed(&mut end, at(0), b" \r\n");
    end.endpoint.shutdown(at(7));
    assert_eq!((end.action(), due(&end.endpoint)), (ConnectionAction::FinishWriting, Some((2_007, Timer::Linger))));
    // A second one puts nothing off.
    end.endpoint.shutdown(at(1_000));
    assert_eq!(due(&end.endpoint), Some((2_007, Timer::Linger)));
}

#[test]
fn a_server_that_stops_says_so_after_the_answers_that_it_owes() {
    let mut end = server();
    feed(&mut end, at(0), b"HELLO\r\n{\"notices\": true}LIST\r\nMESSAGE\r\n{\"user");
    let ticket = one_ticket(&mut end);
    assert!(end.endpoint.wants_notices());
    let stopping = ErrorResponse::server_stopping(3);
    end.endpoint.handle_command(at(0), ServerCommand::Close(stopping.clone())).unwrap();
    assert!(!written(&mut end, at(0)).contains("stopping"));
    respond(&mut end, at(1), ticket, hosted("x"));
    let text = written(&mut end, at(1));
    let answers = [hosted("x"), Response::Error(stopping)].map(|response| bytes(&response)).concat();
    assert_eq!(text.as_bytes(), answers);
    assert_eq!(end.action(), ConnectionAction::FinishWriting);
    assert_eq!(end.endpoint.ended(false).reason, Reason::ServerStopping);
}

#[test]
fn a_connection_that_is_reset_ends_for_the_reason_that_the_server_stops() {
    for asks in [&b""[..], b"LIST\r\n", b"LIST\r\nMESSAGE\r\n{\"user"] {
        let mut end = server();
        feed(&mut end, at(0), asks);
        end.endpoint.handle_command(at(0), ServerCommand::Reset).unwrap();
        assert_eq!((end.action(), end.endpoint.ended(false).reason), (ConnectionAction::Reset, Reason::ServerStopping));
        assert_eq!((end.endpoint.poll_timeout(), end.endpoint.wants_read()), (None, false));
    }
}

//! The server: deadlines.

use super::*;

#[test]
fn a_frame_has_120_seconds_from_its_first_byte() {
    for drip in [&b"HOST\r\n{\"channel_name\": \"a\""[..], b"LIST", b"MESSAGE\r\n\r\n\r\n\r\n  "] {
        let mut end = server();
        for (index, byte) in drip.iter().enumerate() {
            feed(&mut end, at(1_000 + index as u64 * 2_000), &[*byte]);
            // A slow drip does not put the deadline off.
            assert_eq!(due(&end.endpoint), Some((121_000, Timer::Frame)));
        }
        end.endpoint.handle_timeout(at(120_999));
        assert_eq!((end.endpoint.poll_event(), end.unsent()), (None, 0));
        end.endpoint.handle_timeout(at(121_000));
        let text = written(&mut end, at(121_000));
        assert_eq!(
            text,
            error("Request timed out") + "\"details\": \"The request was not complete after 120 seconds\"}"
        );
        assert_eq!(
            (end.action(), due(&end.endpoint)),
            (ConnectionAction::FinishWriting, Some((123_000, Timer::Linger)))
        );
    }
}

#[test]
fn a_skipped_object_has_the_same_deadline() {
    for beginning in [&b"LIST\r\n {"[..], b"PING\r\n[", b"{\"a\""] {
        let mut end = server();
        feed(&mut end, at(0), b" ");
        feed(&mut end, at(500), beginning);
        for ticket in tickets(&mut end) {
            respond(&mut end, at(500), ticket, hosted("x"));
        }
        written(&mut end, at(500));
        assert_eq!(due(&end.endpoint), Some((120_500, Timer::Frame)), "{beginning:?}");
        feed(&mut end, at(110_000), b"     ");
        end.endpoint.handle_timeout(at(120_500));
        assert!(written(&mut end, at(120_500)).starts_with(&error("Request timed out")));
    }
}

#[test]
fn white_space_between_frames_starts_no_deadline() {
    let mut end = server();
    feed(&mut end, at(0), b"\r\n ");
    assert_eq!(due(&end.endpoint), None);
    feed(&mut end, at(1), b"LIST\r\n");
    feed(&mut end, at(2), b"\r\n\t");
    assert_eq!(due(&end.endpoint), None);
    end.endpoint.handle_timeout(at(10_000_000));
    assert_eq!((end.action(), end.unsent()), (ConnectionAction::Open, 0));
    feed(&mut end, at(10_000_000), b"L");
    assert_eq!(due(&end.endpoint), Some((10_120_000, Timer::Frame)));
}

#[test]
fn each_frame_has_a_deadline_of_its_own() {
    let mut end = server();
    feed(&mut end, at(0), b"LI");
    feed(&mut end, at(100_000), b"ST\r\nPIN");
    assert_eq!(due(&end.endpoint), Some((220_000, Timer::Frame)));
    feed(&mut end, at(110_000), b"G\r\n");
    written(&mut end, at(110_000));
    assert_eq!(due(&end.endpoint), None);
    // The byte after a bare CR begins a frame.
    feed(&mut end, at(120_000), b"LIST\r");
    feed(&mut end, at(130_000), b"L");
    written(&mut end, at(130_000));
    assert_eq!(due(&end.endpoint), Some((250_000, Timer::Frame)));
}

#[test]
fn a_timeout_is_answered_after_pending_requests() {
    let mut end = server();
    feed(&mut end, at(0), b"LIST\r\nHOST\r\n{");
    let ticket = one_ticket(&mut end);
    end.endpoint.handle_timeout(at(120_000));
    assert_eq!((written(&mut end, at(120_000)), end.action()), (String::new(), ConnectionAction::Open));
    feed(&mut end, at(120_001), b"}LIST\r\n");
    assert_eq!(tickets(&mut end).len(), 0);
    respond(&mut end, at(125_000), ticket, hosted("x"));
    let text = written(&mut end, at(125_000));
    let first = String::from_utf8(bytes(&hosted("x"))).unwrap();
    assert!(text.starts_with(&(first + &error("Request timed out"))), "{text}");
    assert_eq!((end.action(), due(&end.endpoint)), (ConnectionAction::FinishWriting, Some((127_000, Timer::Linger))));
}

#[test]
fn a_peer_that_reads_no_byte_for_ten_seconds_is_reset() {
    let mut end = server();
    feed(&mut end, at(0), b"LIST\r\n");
    let ticket = one_ticket(&mut end);
    assert_eq!(due(&end.endpoint), None);
    respond(&mut end, at(50_000), ticket, hosted("x"));
    assert_eq!(due(&end.endpoint), Some((60_000, Timer::Write)));
    // Each byte taken begins the wait anew, and more to write does not.
    end.write(at(59_000), 1);
    feed(&mut end, at(60_000), b"PING\r\n");
    assert_eq!(due(&end.endpoint), Some((69_000, Timer::Write)));
    end.endpoint.handle_timeout(at(68_999));
    assert_eq!(end.action(), ConnectionAction::Open);
    end.endpoint.handle_timeout(at(69_000));
    assert_eq!((end.action(), due(&end.endpoint), end.endpoint.wants_read()), (ConnectionAction::Reset, None, false));
}

#[test]
fn a_peer_that_has_read_everything_has_no_write_timeout() {
    let mut end = server();
    feed(&mut end, at(0), b"PING\r\n");
    written(&mut end, at(9_999));
    assert_eq!(due(&end.endpoint), None);
    feed(&mut end, at(30_000), b"PING\r\n");
    assert_eq!(due(&end.endpoint), Some((40_000, Timer::Write)));
}

#[test]
fn a_closing_peer_that_reads_nothing_is_reset_too() {
    let mut end = server();
    feed(&mut end, at(0), b"!");
    end.endpoint.handle_eof(at(1));
    assert_eq!((end.action(), due(&end.endpoint)), (ConnectionAction::Open, Some((10_000, Timer::Write))));
    end.endpoint.handle_timeout(at(10_000));
    assert_eq!(end.action(), ConnectionAction::Reset);
}

#[test]
fn output_that_the_transport_holds_back_has_the_write_timeout() {
    let mut end = server();
    feed(&mut end, at(0), b"PING\r\n");
    end.endpoint.handle_flush(at(1_000), true);
    written(&mut end, at(1_000));
    // It says so again and again, which does not begin the wait anew.
    end.endpoint.handle_flush(at(5_000), true);
    assert_eq!((end.unsent(), due(&end.endpoint)), (0, Some((11_000, Timer::Write))));
    end.endpoint.handle_flush(at(6_000), false);
    assert_eq!(due(&end.endpoint), None);
    end.endpoint.handle_flush(at(20_000), true);
    end.endpoint.handle_timeout(at(29_999));
    assert_eq!(end.action(), ConnectionAction::Open);
    end.endpoint.handle_timeout(at(30_000));
    assert_eq!((end.action(), due(&end.endpoint)), (ConnectionAction::Reset, None));
}

#[test]
fn after_a_reset_no_timeout_does_anything() {
    let mut end = server();
    feed(&mut end, at(0), b"PING\r\nHOS");
    end.endpoint.handle_timeout(at(10_000));
    assert_eq!((end.action(), due(&end.endpoint)), (ConnectionAction::Reset, None));
    while end.endpoint.poll_event().is_some() {}
    let unsent = end.unsent();
    end.endpoint.handle_timeout(at(120_000));
    assert_eq!((end.endpoint.poll_event(), end.unsent(), end.action()), (None, unsent, ConnectionAction::Reset));
}

#[test]
fn a_timeout_call_when_nothing_is_due_does_nothing() {
    let mut end = server();
    for stage in 0..5 {
        match stage {
            0 => {}
            1 => feed(&mut end, at(0), b"LIST\r\nHOS"),
            2 => {
                let ticket = one_ticket(&mut end);
                respond(&mut end, at(0), ticket, hosted("x"));
            }
            3 => drop(written(&mut end, at(0))),
            _ => feed(&mut end, at(0), b"!"),
        }
        let before =
            (end.action(), due(&end.endpoint), end.unsent(), end.endpoint.in_flight(), end.endpoint.wants_read());
        for _ in 0..3 {
            end.endpoint.handle_timeout(at(1));
        }
        let after =
            (end.action(), due(&end.endpoint), end.unsent(), end.endpoint.in_flight(), end.endpoint.wants_read());
        assert_eq!(before, after, "stage {stage}");
    }
}

/// The rest of a frame may have come long ago: only the server knows, which does not read.
#[test]
fn a_frame_deadline_pauses_while_the_server_does_not_read() {
    for stops in [0, 7_000] {
        let mut end = server();
        feed(&mut end, at(0), b"LIST\r\nMESSAGE\r\n{\"user");
        let ticket = one_ticket(&mut end);
        assert_eq!(due(&end.endpoint), Some((120_000, Timer::Frame)));
        // A long list, for a peer that reads slowly.
        respond(&mut end, at(stops), ticket, Reply::Encoded(vec![b'x'; 1_000_000].into()));
        let mut now = stops;
        while end.unsent() > 262_144 {
            assert!(!end.endpoint.wants_read());
            assert_eq!(due(&end.endpoint), Some((now + 10_000, Timer::Write)));
            now += 9_000;
            end.endpoint.handle_timeout(at(now));
            end.write(at(now), 5_000);
        }
        assert!(now > 240_000);
        end.write(at(now), 1);
        assert!(end.endpoint.wants_read());
        written(&mut end, at(now));
        // Time that it had before is not given twice.
        assert_eq!(due(&end.endpoint), Some((now + 120_000 - stops, Timer::Frame)));
        feed(&mut end, at(now), b"name\": \"ann\", \"message_content\": \"hi\"}");
        assert_eq!((tickets(&mut end).len(), due(&end.endpoint)), (1, None));
    }
}

#[test]
fn a_frame_deadline_pauses_while_too_much_is_in_flight() {
    let mut end = limited(|limits| limits.max_in_flight_bytes = 256 * 1024 + 1);
    feed(&mut end, at(0), b"LIST\r\nLI");
    let first = one_ticket(&mut end);
    feed(&mut end, at(1_000), b"ST\r\nPING");
    let second = one_ticket(&mut end);
    // It is not looked at, so that its time has not begun.
    assert_eq!((end.endpoint.wants_read(), due(&end.endpoint)), (false, None));
    end.endpoint.handle_timeout(at(500_000));
    respond(&mut end, at(500_000), first, hosted("x"));
    written(&mut end, at(500_000));
    assert_eq!((end.endpoint.wants_read(), due(&end.endpoint)), (true, Some((620_000, Timer::Frame))));
    respond(&mut end, at(500_000), second, hosted("x"));
}

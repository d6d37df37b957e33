//! A peer that violates the protocol: faults between requests, garbage, a slow drip, half a frame, no reading.

use std::collections::BTreeMap;

use chanwire_core::{
    Time,
    endpoint::{ConnectionAction, Deadline, Endpoint, Timer},
};
use fastrand::Rng;

use super::{judge::Judge, later, ledger::Expected, plan::Plan, workload};

/// A peer that follows a script. It is driven like any end of a connection.
#[derive(Debug)]
pub(super) struct Rogue {
    /// The chunks it sends, each after a pause, last first.
    steps: Vec<(u64, Vec<u8>)>,
    next: Time,
    out: Vec<u8>,
    finale: Finale,
    reads: bool,
    /// The time at which it resets the connection, whatever is going on.
    gives_up: Time,
    gave_up: bool,
    saw_eof: bool,
}

/// The last act of a rogue when all is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finale {
    /// It ends its stream and reads to the end of the server's.
    HalfClose,
    /// It stays, and resets the connection in the end.
    Linger,
}

/// Input that follows the protocol nearly, the server's expected answer, whether an object after it would be taken for
/// its payload, and whether the connection goes on.
struct Oddity(&'static str, &'static str, bool, bool);

const ODDITIES: [Oddity; 14] = [
    Oddity("PING\r\n", "Unknown command", true, true),
    Oddity("list\r\n{\"a\": [\"}\"]}\r\n", "Unknown command", false, true),
    Oddity("LIST\n", "Malformed command", true, true),
    Oddity("HOST\rx\r\n", "Malformed command", true, true),
    Oddity("HOST\r\n[1, {}]", "Invalid payload", false, true),
    Oddity("HOST\r\n{}", "Invalid payload", false, true),
    Oddity("MESSAGE\r\n\r\n {\"username\": 5}\r\n", "Invalid payload", false, true),
    Oddity("MESSAGE\r\n{\"username\": \"a\", \"message_content\": \"\\ud800\"}", "Invalid payload", false, true),
    Oddity("{\"stray\": {}}", "Malformed command", false, true),
    Oddity("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "Malformed command", false, false),
    Oddity("MESSAGE\r\n\"text\"", "Invalid payload", false, false),
    Oddity("HOST\r\n{\"a\": ]", "Invalid payload", false, false),
    Oddity("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n", "Malformed command", false, false),
    Oddity("\u{e9}\r\n", "Malformed command", false, false),
];

impl Rogue {
    /// Creates a rogue on this connection, and enters the expected items in the judge's ledger.
    pub(super) fn new(now: Time, link: u64, plan: &Plan, judge: &mut Judge, rng: &mut Rng) -> Self {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        let (mut owns_objects, mut goes_on) = (false, true);
        for _ in 0..rng.usize(1..=8) {
            if !goes_on {
                break;
            }
            if rng.bool() {
                let request = workload::request(plan, judge, link, &BTreeMap::new(), rng);
                request.encode(&mut stream);
                owns_objects = request == chanwire_core::wire::Request::List;
                expected.push(Expected::Request(request));
            } else if let Some(Oddity(text, error, owns, on)) = rng.choice(&ODDITIES)
                && !(owns_objects && text.starts_with('{'))
            {
                // A lone CR is followed by a command that is unknown: two faults.
                stream.extend_from_slice(text.as_bytes());
                expected.push(Expected::Refusal(error));
                if text.starts_with("HOST\rx") {
                    expected.push(Expected::Refusal("Unknown command"));
                }
                (owns_objects, goes_on) = (*owns, *on);
            }
        }
        let ledger = judge.ledger(link);
        let mut finale = if rng.bool() { Finale::HalfClose } else { Finale::Linger };
        if goes_on {
            match rng.u8(0..6) {
                0 => {
                    stream.extend_from_slice(b"MESSAGE\r\n{\"username\": \"cut");
                    expected.push(Expected::Refusal("Incomplete request"));
                    finale = Finale::HalfClose;
                }
                1 => {
                    stream.extend_from_slice(b"MESSAGE\r\n{\"username\": \"never ends");
                    expected.push(Expected::Refusal("Request timed out"));
                    finale = Finale::Linger;
                }
                2 if plan.server.max_payload <= 2000 => {
                    stream.extend_from_slice(b"HOST\r\n{\"a\": \"");
                    stream.resize(stream.len() + plan.server.max_payload, b'x');
                    expected.push(Expected::Refusal("Payload too large"));
                    finale = Finale::Linger;
                }
                3 => {
                    ledger.anything = true;
                    let alphabet = b"LISTHOMEAG\r\n\r\n{}[]\"\\ x";
                    stream.extend((0..rng.usize(1..80)).filter_map(|_| rng.choice(alphabet)));
                }
                _ => {}
            }
        }
        ledger.expected = expected;
        // Reversed, so that the next step is the last.
        let mut steps: Vec<(u64, Vec<u8>)> = Vec::new();
        let (most, pause) = match rng.u8(0..4) {
            0 => (1, 100),
            1 => (20, 2000),
            _ => (10_000, 50),
        };
        let mut rest = stream.as_slice();
        while !rest.is_empty() {
            let (step, after) = rest.split_at(rng.usize(1..=most).min(rest.len()));
            steps.push((rng.u64(0..=pause), step.to_vec()));
            rest = after;
        }
        steps.reverse();
        let gives_up = later(now, rng.u64(1_000..=60_000));
        let reads = rng.u8(0..4) > 0;
        Self { steps, next: now, out: Vec::new(), finale, reads, gives_up, gave_up: false, saw_eof: false }
    }

    /// Makes it reset by this time.
    pub(super) fn hurry(&mut self, until: Time) {
        self.gives_up = self.gives_up.min(until);
    }
}

impl Endpoint for Rogue {
    type Event = ();

    fn handle_input(&mut self, _: Time, _: &[u8]) {}

    fn handle_eof(&mut self, _: Time) {
        self.saw_eof = true;
    }

    fn handle_written(&mut self, _: Time, count: usize) {
        self.out.drain(..count);
    }

    fn handle_flush(&mut self, _: Time, _: bool) {}

    fn handle_timeout(&mut self, now: Time) {
        if self.gives_up <= now {
            self.gave_up = true;
        }
        while self.next <= now
            && let Some((pause, bytes)) = self.steps.pop()
        {
            self.out.extend_from_slice(&bytes);
            self.next = later(now, pause.max(1));
        }
    }

    fn shutdown(&mut self, now: Time) {
        self.gives_up = now;
    }

    fn transmit<'a>(&'a self, out: &mut [&'a [u8]]) -> usize {
        match out.first_mut() {
            Some(place) if !self.out.is_empty() => {
                *place = &self.out;
                1
            }
            _ => 0,
        }
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if self.action() >= ConnectionAction::Close {
            return None;
        }
        let at = if self.steps.is_empty() { self.gives_up } else { self.next.min(self.gives_up) };
        Some(Deadline { at, timer: Timer::Frame })
    }

    fn wants_read(&self) -> bool {
        self.reads && !self.saw_eof
    }

    fn action(&self) -> ConnectionAction {
        if self.gave_up {
            return ConnectionAction::Reset;
        }
        let sent = self.steps.is_empty() && self.out.is_empty();
        match self.finale {
            Finale::HalfClose if sent && self.saw_eof => ConnectionAction::Close,
            Finale::HalfClose if sent => ConnectionAction::FinishWriting,
            _ => ConnectionAction::Open,
        }
    }
}

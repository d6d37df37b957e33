//! A client and a server over any link.

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Send,
    FromClient(usize),
    FromServer(usize),
    ServerReads(usize),
    ClientReads(usize),
    Respond(usize),
    Wait(u64),
    HalfClose,
}

fn step() -> impl Strategy<Value = Step> {
    let some = || prop_oneof![1..30_usize, Just(usize::MAX)];
    prop_oneof![
        3 => Just(Step::Send),
        3 => some().prop_map(Step::FromClient),
        3 => some().prop_map(Step::FromServer),
        3 => some().prop_map(Step::ServerReads),
        3 => some().prop_map(Step::ClientReads),
        3 => any::<usize>().prop_map(Step::Respond),
        2 => (0..4_000_u64).prop_map(Step::Wait),
    ]
}

/// A client and a server with a link between them.
struct Pair {
    client: End<Client>,
    server: Bench,
    now: Time,
    to_send: VecDeque<Request>,
    events: Vec<String>,
}

impl Pair {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Send => {
                if let Some(request) = self.to_send.pop_front()
                    && self.client.endpoint.send(self.now, &request).is_err()
                {
                    self.to_send.push_front(request);
                }
            }
            Step::FromClient(most) => drop(carry(&mut self.client, &mut self.server.end, self.now, *most)),
            Step::FromServer(most) => drop(carry(&mut self.server.end, &mut self.client, self.now, *most)),
            Step::ServerReads(most) => drop(self.server.end.read(self.now, *most)),
            Step::ClientReads(most) => drop(self.client.read(self.now, *most)),
            Step::Respond(which) => self.server.respond(self.now, *which),
            Step::HalfClose => self.client.endpoint.shutdown(self.now),
            Step::Wait(millis) => {
                self.now = self.now.after(Duration::from_millis(*millis));
                self.client.endpoint.handle_timeout(self.now);
                self.server.end.endpoint.handle_timeout(self.now);
            }
        }
        self.server.take_events();
        let events = std::iter::from_fn(|| self.client.endpoint.poll_event()).map(describe);
        self.events.extend(events);
    }

    /// Does whatever is left to do until both ends are closed, without letting time pass.
    fn finish(&mut self, whole: bool) {
        let all = usize::MAX;
        let steps = [
            Step::FromClient(all),
            Step::ServerReads(all),
            Step::Respond(0),
            Step::FromServer(all),
            Step::ClientReads(all),
        ];
        for _ in 0..1_000 {
            if whole && !self.to_send.is_empty() {
                self.take(&Step::Send);
            } else {
                self.take(&Step::HalfClose);
            }
            steps.iter().for_each(|step| self.take(step));
            if self.client.action() == ConnectionAction::Close && self.server.end.action() == ConnectionAction::Close {
                return;
            }
        }
        panic!("the client is {:?} and the server {:?}", self.client.action(), self.server.end.action());
    }
}

fn answer_to(number: usize, request: &Request) -> Response {
    let number = i64::try_from(number).unwrap();
    match request {
        Request::List => Response::Channels(Vec::new()),
        Request::Host(host) => Response::Hosted { channel_name: host.channel.channel_name.clone() },
        Request::Unhost { channel_name } => Response::Removed { channel_name: channel_name.clone() },
        Request::Leave { channel_name } => Response::Left { channel_name: channel_name.clone() },
        // A joined client is kept until everything is pushed: that has tests of its own.
        Request::Join { .. } => Response::Error(ErrorResponse::request("Channel not found", number.to_string())),
        Request::History { channel_name, .. } => {
            Response::History { channel_name: channel_name.clone(), messages: Vec::new() }
        }
        // The server answers it itself.
        Request::Hello { .. } => Response::Hello(examples::hello(65_536)),
        Request::Who { channel_name } => {
            Response::Who { channel_name: channel_name.clone(), count: 1, users: Vec::new(), complete: true }
        }
        Request::Channels { .. } => Response::ChannelPage { channels: Vec::new(), next: None },
        Request::Auth(_) => Response::Authenticated { account: "ann".parse().unwrap() },
        Request::Delete { channel_name, id } => Response::Deleted { channel_name: channel_name.clone(), id: *id },
        Request::Role { channel_name, role, .. } => {
            Response::RoleSet { channel_name: channel_name.clone(), role: *role }
        }
        Request::Settings { channel_name, .. } => {
            let (channel_name, settings) = (channel_name.clone(), ChannelSettings::default());
            Response::Settings { channel_name, settings, roles: Vec::new() }
        }
        Request::Connections { .. } => Response::Connections { connections: Vec::new(), next: None },
        Request::Disconnect { connection } => Response::Disconnected { connection: *connection },
        _ => Response::Delivered { timestamp: Timestamp::from_unix(number), id: None },
    }
}

/// Deadlines that do not come: what is looked at is that closing cuts nothing.
fn patient(mut limits: Limits, max_in_flight: usize) -> Limits {
    let hours = Duration::from_secs(100_000);
    (limits.frame_timeout, limits.write_timeout, limits.answer_timeout) = (hours, hours, hours);
    limits.max_in_flight = max_in_flight;
    limits.plaintext_auth = true;
    limits
}

proptest! {
    #![proptest_config(times(2000))]

    #[test]
    fn every_request_sent_gets_its_answer_over_any_link(
        requests in vec(generate::request(), 0..12), steps in vec(step(), 0..80), whole in any::<bool>(),
        client_limit in 1..6_usize, server_limit in 1..6_usize, unsent in prop_oneof![1..300_usize, Just(usize::MAX)],
        stop in proptest::option::of(0..80_usize), half_close in proptest::option::of(0..80_usize),
    ) {
        let mut server_limits = patient(Limits::server(), server_limit);
        server_limits.max_unsent = unsent;
        let mut pair = Pair {
            client: End::new(Client::new(patient(Limits::client(), client_limit))),
            server: Bench::new(server_limits, |number, request| answer_to(number, request).into()),
            now: Time::from_millis(7),
            to_send: requests.iter().cloned().collect(),
            events: Vec::new(),
        };
        for (index, step) in steps.iter().enumerate() {
            if stop == Some(index) {
                pair.server.end.endpoint.shutdown(pair.now);
            }
            if half_close == Some(index) {
                pair.take(&Step::HalfClose);
            }
            pair.take(step);
        }
        let stopped = stop.is_some_and(|stop| stop < steps.len());
        let whole = whole && !stopped && half_close.is_none_or(|at| at >= steps.len());
        pair.finish(whole);

        let sent = requests.len() - pair.to_send.len();
        let answered = pair.server.seen.len();
        prop_assert!(if stopped { answered <= sent } else { answered == sent }, "{answered} of {sent} are answered");
        prop_assert!(!whole || sent == requests.len());
        let mut expected: Vec<_> = requests.iter().take(answered).enumerate()
            .map(|(number, request)| format!("{number}: {:?}", answer_to(number, request))).collect();
        expected.push(format!("ended {}", sent - answered));
        prop_assert_eq!(pair.events, expected);
    }
}

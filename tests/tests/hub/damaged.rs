//! Something stored of one name is damaged: that name alone is refused.

use chanwire_core::{
    endpoint::Reply,
    hub::{ChannelLog, ChannelRecord, DamagedName},
};

use super::*;

/// A hub with connections that ask, and what it was answered.
struct Asking {
    hub: Hub,
    server: Server,
    commands: Vec<StoreCommand>,
}

const ASKER: ConnectionId = ConnectionId(1);

impl Asking {
    fn start(stored: Snapshot) -> Self {
        let mut hub = Hub::new(HubLimits::default(), stored, Moment::default());
        let listener = hub.add_listener(&[at("10.0.0.1", 22236)]);
        hub.connect(ASKER, Peer::Address(ip(ADA)), Some(listener), Time::default()).unwrap();
        Self { hub, server: Server::new(ConnectionId(1), chanwire_core::Limits::server()), commands: Vec::new() }
    }

    fn ask(&mut self, request: Request) {
        let ticket = ticket(&mut self.server);
        self.hub.handle_request(ASKER, ticket, request, Moment::default()).unwrap();
    }

    /// Takes what the hub wants done, and returns its answers.
    fn answers(&mut self) -> Vec<Response> {
        let mut answers = Vec::new();
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Send(_, ServerCommand::Respond { reply: Reply::Response(response), .. }) => {
                    answers.push(response);
                }
                Effect::Store(command) => self.commands.push(command),
                _ => {}
            }
        }
        answers
    }

    fn finish_command(&mut self, outcome: StoreOutcome) -> Vec<Response> {
        self.hub.handle_outcome(outcome, Time::default()).unwrap();
        self.answers()
    }
}

fn stored(damaged: &[(&str, Option<u64>)]) -> Snapshot {
    let record = |(name, position): (&str, u64)| ChannelRecord {
        channel: channel(name, "10.0.0.1", 22236),
        registered_from: Some(ip(ADA)),
        position,
        lease: None,
        account: None,
    };
    let log = |name: &str| ChannelLog {
        channel_name: name.parse().unwrap(),
        last_id: 5,
        first_id: 1,
        last_timestamp: Timestamp::default(),
        since: Timestamp::default(),
        account: None,
    };
    let is_sound = |name: &str| !damaged.iter().any(|(other, _)| *other == name);
    let name =
        |(name, position): &(&str, Option<u64>)| DamagedName { channel_name: Some(named(name)), position: *position };
    Snapshot {
        channels: [("a", 1), ("b", 2)].into_iter().filter(|(name, _)| is_sound(name)).map(record).collect(),
        released: Vec::new(),
        logs: ["a", "b"].into_iter().filter(|name| is_sound(name)).map(log).collect(),
        damaged: damaged.iter().map(name).collect(),
        moderation: Vec::new(),
        sends: Vec::new(),
    }
}

fn damaged(name: &str) -> Response {
    let details = format!("Stored data of the channel '{name}' is damaged; it is kept apart until it is restored");
    Response::Error(ErrorResponse::server("Database connection failed", details))
}

#[test]
fn every_request_about_a_damaged_name_is_refused_and_nothing_of_it_reaches_the_store() {
    let mut asking = Asking::start(stored(&[("a", Some(7))]));
    let requests =
        [say("m", Some("a")), host("a", ADA, 1), unhost("a"), listen("a"), history("a", HistoryRange::Last, 10)];
    for request in requests {
        asking.ask(request);
        assert_eq!((asking.answers(), &asking.commands[..]), (vec![damaged("a")], &[][..]));
    }
    // The others are served, and none takes the damaged entry's position.
    asking.ask(say("m", Some("b")));
    asking.ask(host("c", ADA, 1));
    asking.answers();
    let Some(StoreCommand::Commit(writes)) = asking.commands.pop() else { panic!("nothing is stored") };
    let [Write::Append { message, .. }] = &writes[..] else { panic!("{writes:?}") };
    assert_eq!((message.channel_name.as_str(), message.id), ("b", 6));
    assert_eq!(asking.finish_command(StoreOutcome::Committed), [delivered(0)]);
    let Some(StoreCommand::Commit(writes)) = asking.commands.pop() else { panic!("nothing is stored") };
    let [Write::PutChannel(record)] = &writes[..] else { panic!("{writes:?}") };
    assert_eq!(record.position, 8);
}

#[test]
fn writes_missing_from_a_commit_are_refused_and_reloaded_and_the_others_are_answered() {
    let mut asking = Asking::start(stored(&[]));
    for request in [say("1", Some("a")), say("2", Some("b")), say("3", Some("a"))] {
        asking.ask(request);
    }
    asking.answers();
    let answers = asking.finish_command(StoreOutcome::CommittedWithout(vec!["a".parse().unwrap()]));
    assert_eq!(answers, [not_stored(), delivered(0), not_stored()]);
    assert_eq!(asking.commands.pop(), Some(StoreCommand::Load(vec!["a".parse().unwrap()])));
    // It is not damaged after all: its ids go on where they were.
    let found =
        Snapshot { channels: stored(&[]).channels[..1].to_vec(), logs: stored(&[]).logs[..1].to_vec(), ..stored(&[]) };
    asking.ask(say("4", Some("a")));
    asking.finish_command(StoreOutcome::Loaded(Snapshot { damaged: Vec::new(), ..found }));
    let Some(StoreCommand::Commit(writes)) = asking.commands.pop() else { panic!("nothing is stored") };
    let [Write::Append { message, .. }] = &writes[..] else { panic!("{writes:?}") };
    assert_eq!(message.id, 6);
    // Now it is.
    asking.finish_command(StoreOutcome::CommittedWithout(vec!["a".parse().unwrap()]));
    let apart = DamagedName { channel_name: Some(named("a")), position: Some(1) };
    asking.finish_command(StoreOutcome::Loaded(Snapshot { damaged: vec![apart], ..Snapshot::default() }));
    asking.ask(say("5", Some("a")));
    asking.ask(say("6", Some("b")));
    assert_eq!(asking.answers(), [damaged("a")]);
    assert_eq!(asking.finish_command(StoreOutcome::Committed), [delivered(0)]);
}

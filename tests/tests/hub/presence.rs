//! WHO, and the notices of who joins and leaves.

use std::collections::{BTreeMap, BTreeSet};

use chanwire_core::{
    Limits,
    hub::ListenerId,
    wire::{Notice, Presence, User},
};
use proptest::{collection::vec, prelude::*};

use super::*;

/// A hub that hosts `here`, on a clock, and the notices that each connection was sent.
struct World {
    hub: Hub,
    listener: ListenerId,
    now: u64,
    notices: BTreeMap<u64, Vec<(u64, Presence)>>,
}

impl World {
    fn new() -> Self {
        let mut hub = Hub::new(HubLimits::default(), Snapshot::default(), Moment::default());
        let listener = hub.add_listener(&[at("127.0.0.1", 22236)]);
        hub.fix_channel(channel("here", "127.0.0.1", 22236));
        Self { hub, listener, now: 0, notices: BTreeMap::new() }
    }

    fn time(&self) -> Time {
        Time::from_millis(self.now)
    }

    /// Connects, and asks for notices or not.
    fn connect(&mut self, id: u64, notices: bool) {
        self.hub.connect(ConnectionId(id), Peer::NoAddressRights, Some(self.listener), self.time()).unwrap();
        let event = ServerEvent::Answered { request: Request::Hello { notices } };
        self.hub.handle_event(ConnectionId(id), event, Moment::default()).unwrap();
    }

    fn ask(&mut self, id: u64, request: Request) -> Response {
        let ticket = ticket(&mut Server::new(ConnectionId(id), Limits::server()));
        let moment = Moment { time: self.time(), ..Moment::default() };
        self.hub.handle_request(ConnectionId(id), ticket, request, moment).unwrap();
        let mut answers = self.take();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }

    fn join(&mut self, id: u64, name: Option<&str>) {
        let username = name.map(|name| name.parse().unwrap());
        let request = Request::Join { channel_name: named("here"), from: JoinFrom::Last(0), username };
        assert_eq!(self.ask(id, request), joined("here", 1, 0));
    }

    /// Takes all effects, notes the notices, and returns the answers.
    fn take(&mut self) -> Vec<Response> {
        let mut answers = Vec::new();
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Send(_, ServerCommand::Respond { reply, .. }) => match reply {
                    chanwire_core::endpoint::Reply::Response(response) => answers.push(response),
                    other => panic!("{other:?}"),
                },
                Effect::Send(ConnectionId(id), ServerCommand::Notify(notice)) => match &*notice {
                    Notice::Presence(presence) => {
                        self.notices.entry(id).or_default().push((self.now, presence.clone()));
                    }
                    other => panic!("{other:?}"),
                },
                _ => {}
            }
        }
        answers
    }

    /// Lets time pass up to this millisecond, and calls the hub whenever it wants.
    fn pass_to(&mut self, until: u64) {
        while let Some(next) = self.hub.poll_timeout().map(Time::as_millis).filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.hub.handle_timeout(self.time());
            assert_eq!(self.take(), []);
        }
        self.now = until;
    }

    fn who(&mut self, id: u64) -> (u64, Vec<String>, bool) {
        match self.ask(id, who("here")) {
            Response::Who { count, users, complete, .. } => (count, names(&users), complete),
            other => panic!("{other:?}"),
        }
    }

    fn take_notices(&mut self, id: u64) -> Vec<(u64, Presence)> {
        self.notices.remove(&id).unwrap_or_default()
    }
}

fn who(name: &str) -> Request {
    Request::Who { channel_name: named(name) }
}

fn names(users: &[User]) -> Vec<String> {
    users.iter().map(|user| user.username.to_string()).collect()
}

/// Returns the count and the names of notices.
fn told(notices: &[(u64, Presence)]) -> Vec<(u64, u64, String, String)> {
    let told = |(at, presence): &(u64, Presence)| {
        (*at, presence.count, names(&presence.joined).join(" "), names(&presence.left).join(" "))
    };
    notices.iter().map(told).collect()
}

fn row(at: u64, count: u64, joined: &str, left: &str) -> (u64, u64, String, String) {
    (at, count, joined.into(), left.into())
}

#[test]
fn who_counts_connections_and_names_each_user_once_oldest_join_first() {
    let mut world = World::new();
    for (id, name) in [(1, Some("cleo")), (2, Some("ann")), (3, Some("cleo")), (4, None), (5, Some("bob"))] {
        world.connect(id, false);
        world.join(id, name);
    }
    assert_eq!(world.who(4), (5, ["cleo", "ann", "bob"].map(String::from).into(), true));
    // The user's other connection joined after ann's.
    world.ask(1, leave("here"));
    assert_eq!(world.who(4), (4, ["ann", "cleo", "bob"].map(String::from).into(), true));
    world.hub.disconnect(ConnectionId(3));
    assert_eq!(world.who(4), (3, ["ann", "bob"].map(String::from).into(), true));
}

#[test]
fn who_is_for_connections_that_have_joined_a_channel_that_lives_here() {
    let (mut trial, ada, _) = two_channels();
    assert_eq!(ask(&mut trial, ada, &who("here")), [refused("Not joined", "This connection has not joined 'here'")]);
    let elsewhere = refused("Channel hosted elsewhere", "The channel 'there' is hosted at 192.168.1.5:22240");
    assert_eq!(ask(&mut trial, ada, &who("there")), [elsewhere]);
    let missing = refused("Channel not found", "The requested channel 'x' does not exist");
    assert_eq!(ask(&mut trial, ada, &who("x")), [missing]);
    ask(&mut trial, ada, &listen("here"));
    let alone = Response::Who { channel_name: named("here"), count: 1, users: Vec::new(), complete: true };
    assert_eq!(ask(&mut trial, ada, &who("here")), [alone]);
}

#[test]
fn at_most_a_thousand_users_are_named_and_no_more_than_262144_bytes() {
    let mut world = World::new();
    for id in 0..1001 {
        world.connect(id, false);
        world.join(id, Some(&id.to_string()));
    }
    let (count, users, complete) = world.who(0);
    assert_eq!((count, users.len(), complete), (1001, 1000, false));
    assert_eq!((users.first().unwrap().as_str(), users.last().unwrap().as_str()), ("0", "999"));
    let long = "\u{1f600}".repeat(64);
    let mut world = World::new();
    world.hub.fix_channel(channel(&long, "127.0.0.1", 22236));
    for id in 0..1000 {
        world.connect(id, false);
        let username = Some(named(&format!("{id:04}{}", "\u{1f600}".repeat(60))));
        world.ask(id, Request::Join { channel_name: named(&long), from: JoinFrom::Last(0), username });
    }
    let answer = world.ask(0, who(&long));
    let mut bytes = Vec::new();
    answer.encode(&mut bytes);
    let Response::Who { count, users, complete, .. } = answer else { panic!("{answer:?}") };
    assert!(bytes.len() <= "OK\r\n".len() + 262_144 && bytes.len() > 261_000, "{} bytes", bytes.len());
    assert!(!complete && count == 1000 && users.len() < 1000, "{} users", users.len());
}

#[test]
fn subscribers_that_asked_for_notices_are_told_who_comes_and_goes_at_most_once_a_second() {
    let mut world = World::new();
    for (id, notices) in [(1, true), (2, false), (3, true), (4, true)] {
        world.connect(id, notices);
    }
    world.join(1, Some("ann"));
    world.join(2, Some("bob"));
    world.pass_to(5000);
    assert_eq!(told(&world.take_notices(1)), [row(1000, 2, "ann bob", "")]);
    world.join(3, Some("cleo"));
    world.pass_to(5000);
    world.pass_to(5500);
    world.hub.disconnect(ConnectionId(2));
    world.pass_to(9000);
    let expected = [row(5000, 3, "cleo", ""), row(6000, 2, "", "bob")];
    assert_eq!(told(&world.take_notices(1)), expected);
    assert_eq!(told(&world.take_notices(3)), expected);
    // One asked for none, and one has not joined.
    assert!(world.notices.is_empty());
}

#[test]
fn a_user_who_comes_and_goes_between_two_notices_is_in_neither_list_unless_a_who_showed_it() {
    let mut world = World::new();
    for id in [1, 2] {
        world.connect(id, true);
    }
    world.join(1, Some("ann"));
    world.pass_to(1000);
    world.take_notices(1);
    world.join(2, Some("bob"));
    world.ask(2, leave("here"));
    world.pass_to(3000);
    assert_eq!(told(&world.take_notices(1)), []);
    world.join(2, Some("bob"));
    assert_eq!(world.who(1), (2, ["ann", "bob"].map(String::from).into(), true));
    world.ask(2, leave("here"));
    world.pass_to(6000);
    assert_eq!(told(&world.take_notices(1)), [row(3000, 1, "", "bob")]);
}

#[test]
fn a_notice_names_32_users_of_each_kind() {
    let mut world = World::new();
    for id in 0..100 {
        world.connect(id, id == 0);
        world.join(id, Some(&format!("{id:03}")));
    }
    world.pass_to(1000);
    let notices = world.take_notices(0);
    let [(_, presence)] = &notices[..] else { panic!("{notices:?}") };
    assert_eq!((presence.count, presence.joined.len(), presence.left.len()), (100, 32, 0));
}

#[test]
fn ten_thousand_joins_in_a_second_cost_each_subscriber_two_notices_at_most() {
    const JOINS: u64 = 10_000;
    let mut world = World::new();
    for id in 0..JOINS {
        world.connect(id, true);
    }
    let mut sent = 0;
    for id in 0..JOINS {
        world.pass_to(id / 10);
        world.join(id, Some(&id.to_string()));
        sent += world.notices.values().map(Vec::len).sum::<usize>();
        assert!(sent < 1000, "{sent} notices while {id} connections join");
    }
    world.pass_to(11_000);
    assert_eq!(world.notices.len() as u64, JOINS);
    for (id, notices) in &world.notices {
        assert!((1..=2).contains(&notices.len()), "connection {id} is sent {notices:?}");
        let (at, last) = notices.last().unwrap();
        // So many connections have a notice in ten seconds, and without names.
        assert_eq!((*at, last.count, last.joined.len()), (10_000, JOINS, 0));
    }
    // Another burst costs one more.
    world.notices.clear();
    for id in 0..1000 {
        world.ask(id, leave("here"));
    }
    world.pass_to(40_000);
    assert!(world.notices.iter().filter(|(id, _)| **id >= 1000).all(|(_, notices)| notices.len() == 1));
    assert_eq!(world.notices.len(), 9000);
}

#[test]
fn a_crowd_that_joins_and_leaves_at_once_keeps_no_state() {
    let mut world = World::new();
    world.connect(0, true);
    world.join(0, None);
    for id in 1..=5000 {
        world.connect(id, true);
        world.join(id, Some(&id.to_string()));
        world.hub.disconnect(ConnectionId(id));
    }
    world.pass_to(20_000);
    assert_eq!(world.who(0), (1, Vec::new(), true));
    assert!(world.take_notices(0).iter().all(|(_, presence)| presence.joined.is_empty()));
    world.hub.disconnect(ConnectionId(0));
    world.pass_to(40_000);
    assert_eq!((world.hub.joins(), world.hub.connections(), world.hub.poll_timeout()), (0, 0, None));
}

/// A step of one connection.
#[derive(Clone, Debug)]
enum Step {
    Join(u64, u8),
    Leave(u64),
    Disconnect(u64),
    Who(u64),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..8_u64, 0..5_u8).prop_map(|(id, name)| Step::Join(id, name)),
        3 => (0..8_u64).prop_map(Step::Leave),
        1 => (0..8_u64).prop_map(Step::Disconnect),
        2 => (0..8_u64).prop_map(Step::Who),
        3 => (1..1500_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(chanwire_tests::generate::times(500))]

    /// A model of it: the joined connections in their order. The answer to WHO is what it says; notices applied to an
    /// answer give what it says when the next notice is sent, and a second after the last change.
    #[test]
    fn who_is_what_has_joined_and_notices_keep_an_answer_up_to_date(steps in vec(step(), 0..60)) {
        let mut world = World::new();
        for id in 0..8 {
            world.connect(id, true);
        }
        // The joined connections, and the users that each client knows by a WHO and the notices after it.
        let mut model: Vec<(u64, Option<String>)> = Vec::new();
        let mut views: BTreeMap<u64, (u64, BTreeSet<String>)> = BTreeMap::new();
        let mut gone = BTreeSet::new();
        let mut last_notice = None;
        let here = |model: &[(u64, Option<String>)]| model.iter().filter_map(|(_, name)| name.clone()).collect::<BTreeSet<_>>();
        for step in steps.into_iter().chain([Step::Pass(1000)]) {
            let has_joined = |model: &[(u64, Option<String>)], id: u64| model.iter().any(|(other, _)| *other == id);
            let is_pass = matches!(step, Step::Pass(_));
            match step {
                Step::Join(id, name) if !gone.contains(&id) && !has_joined(&model, id) => {
                    let name = (name > 0).then(|| format!("user {name}"));
                    world.join(id, name.as_deref());
                    model.push((id, name));
                }
                Step::Leave(id) if has_joined(&model, id) => {
                    prop_assert_eq!(world.ask(id, leave("here")), left("here"));
                    model.retain(|(other, _)| *other != id);
                    views.remove(&id);
                }
                Step::Disconnect(id) if gone.insert(id) => {
                    world.hub.disconnect(ConnectionId(id));
                    model.retain(|(other, _)| *other != id);
                    views.remove(&id);
                }
                Step::Who(id) if has_joined(&model, id) => {
                    let (count, users, complete) = world.who(id);
                    let mut expected: Vec<String> = Vec::new();
                    for name in model.iter().filter_map(|(_, name)| name.clone()) {
                        if !expected.contains(&name) {
                            expected.push(name);
                        }
                    }
                    prop_assert_eq!((count, &users, complete), (model.len() as u64, &expected, true));
                    views.insert(id, (count, users.into_iter().collect()));
                }
                Step::Pass(millis) => world.pass_to(world.now + millis),
                _ => {}
            }
            let mut at = None;
            for (id, notices) in std::mem::take(&mut world.notices) {
                prop_assert!(has_joined(&model, id), "{id} has not joined, and is told {notices:?}");
                for (time, presence) in notices {
                    at = at.max(Some(time));
                    prop_assert_eq!(presence.count, model.len() as u64);
                    if let Some((count, users)) = views.get_mut(&id) {
                        *count = presence.count;
                        users.extend(names(&presence.joined));
                        users.retain(|name| !names(&presence.left).contains(name));
                        prop_assert_eq!(&*users, &here(&model));
                    }
                }
            }
            if let (Some(now), Some(before)) = (at, last_notice) {
                prop_assert!(now >= before + 1000, "{now} after {before}");
            }
            last_notice = at.or(last_notice);
            if is_pass && world.hub.poll_timeout().is_none() {
                for (count, users) in views.values() {
                    prop_assert_eq!((*count, users), (model.len() as u64, &here(&model)));
                }
            }
        }
        prop_assert_eq!(world.hub.poll_timeout(), None);
    }
}

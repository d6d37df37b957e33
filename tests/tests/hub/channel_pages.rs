//! CHANNELS: the list of channels, a page at a time.

use std::collections::BTreeSet;

use chanwire_core::{
    Limits,
    hub::ChannelRecord,
    wire::{ChannelActivity, ListedChannel},
};
use proptest::{collection::vec, prelude::*};

use super::*;

fn page(after: u64, limit: u16, contains: Option<&str>) -> Request {
    Request::Channels { after, limit, contains: contains.map(Into::into) }
}

fn names(channels: &[ListedChannel]) -> Vec<&str> {
    channels.iter().map(|listed| &*listed.channel.channel_name).collect()
}

/// Returns a hub that lists these channels, and a connection to it.
fn hub_of(names: impl Iterator<Item = String>) -> Hub {
    let record = |(position, name): (u64, String)| {
        let channel = channel(&name, "peer.example", 22240);
        ChannelRecord { channel, registered_from: None, account: None, position, lease: None }
    };
    let stored = Snapshot { channels: (0..).zip(names).map(record).collect(), ..Snapshot::default() };
    let mut limits = HubLimits::default();
    limits.max_channels = usize::MAX;
    let mut hub = Hub::new(limits, stored, Moment::default());
    let _ = hub.poll_effect();
    hub.connect(ConnectionId(0), Peer::NoAddressRights, None, Time::default()).unwrap();
    hub
}

/// Asks for a page. Returns its channels, where the next begins, and the size of its payload.
fn ask_page(hub: &mut Hub, request: Request) -> (Vec<ListedChannel>, Option<u64>, usize) {
    ask_page_as(hub, ConnectionId(0), request)
}

fn ask_page_as(hub: &mut Hub, id: ConnectionId, request: Request) -> (Vec<ListedChannel>, Option<u64>, usize) {
    let ticket = ticket(&mut Server::new(id, Limits::server()));
    hub.handle_request(id, ticket, request, Moment::default()).unwrap();
    let Some(Effect::Send(_, ServerCommand::Respond { reply, .. })) = hub.poll_effect() else { panic!("an answer") };
    let mut bytes = Vec::new();
    reply.encode(&mut bytes).unwrap();
    let payload = bytes.strip_prefix(b"OK\r\n").unwrap();
    let answer = Response::decode(chanwire_core::wire::Command::Channels, chanwire_core::wire::Status::Ok, payload);
    let Ok(Response::ChannelPage { channels, next }) = answer else { panic!("{answer:?}") };
    (channels, next, payload.len())
}

/// Returns all pages from the beginning.
fn all_pages(hub: &mut Hub, limit: u16, contains: Option<&str>) -> Vec<(Vec<ListedChannel>, usize)> {
    let (mut pages, mut after) = (Vec::new(), 0);
    loop {
        let (channels, next, size) = ask_page(hub, page(after, limit, contains));
        pages.push((channels, size));
        match next {
            Some(next) => after = next,
            None => return pages,
        }
    }
}

#[test]
fn a_page_has_positions_and_the_last_ids_of_channels_that_live_here() {
    let (mut trial, ada, _) = two_channels();
    say_many(&mut trial, ada, 3);
    let answers = ask(&mut trial, ada, &page(0, 100, None));
    let [Response::ChannelPage { channels, next: None }] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(names(channels), ["here", "there"]);
    let shown: Vec<_> = channels.iter().map(|listed| (listed.position, listed.last_id)).collect();
    assert_eq!(shown, [(1, Some(3)), (2, None)]);
}

#[test]
fn only_the_operator_s_page_has_the_use_of_channels_that_live_here() {
    let (mut trial, ada, bob) = two_channels();
    let operator = trial.connect_operator();
    say_many(&mut trial, ada, 3);
    let activity = |trial: &mut Trial, asker| {
        let answers = ask(trial, asker, &page(0, 100, None));
        let [Response::ChannelPage { channels, .. }] = &answers[..] else { panic!("{answers:?}") };
        channels.iter().map(|listed| listed.activity).collect::<Vec<_>>()
    };
    assert_eq!(activity(&mut trial, ada), [None, None]);
    let stored_bytes = trial.disk.messages("here").iter().map(|message| message.message_content.len() as u64).sum();
    let here = |joined, behind| [Some(ChannelActivity { joined, behind, stored_bytes }), None];
    assert_eq!(activity(&mut trial, operator), here(0, 0));
    // One that lacks the stored messages is behind until it is pushed them.
    trial.ask(bob, &join("here", JoinFrom::After(0)), 0);
    trial.ask(ada, &join("here", JoinFrom::Last(0)), 0);
    trial.drain();
    trial.ask(operator, &page(0, 1, None), 0);
    trial.drain();
    let answers = trial.answers(operator);
    let [Response::ChannelPage { channels, .. }] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(channels[0].activity, here(2, 1)[0]);
    trial.settle();
    assert_eq!(activity(&mut trial, operator), here(2, 0));
    trial.disconnect(bob);
    trial.settle();
    assert_eq!(activity(&mut trial, operator), here(1, 0));
}

#[test]
fn the_stored_bytes_of_a_channel_outlast_a_commit_that_failed() {
    let (mut trial, ada, _) = two_channels();
    let operator = trial.connect_operator();
    let stored_bytes = |trial: &mut Trial| {
        let answers = ask(trial, operator, &page(0, 1, None));
        let [Response::ChannelPage { channels, .. }] = &answers[..] else { panic!("{answers:?}") };
        channels[0].activity.unwrap().stored_bytes
    };
    assert_eq!(ask(&mut trial, ada, &say("héllo", Some("here"))), [delivered(0)]);
    assert_eq!(stored_bytes(&mut trial), 6);
    trial.ask(ada, &say("lost", Some("here")), 0);
    assert!(trial.store(Fate::Lost));
    trial.settle();
    trial.answers(ada);
    assert_eq!(ask(&mut trial, ada, &say("!", Some("here"))), [delivered(0)]);
    assert_eq!(stored_bytes(&mut trial), 7);
}

#[test]
fn the_operator_s_request_looks_at_ten_thousand_subscriptions() {
    let mut hub = hub_of((0..12).map(|number| number.to_string()));
    hub.add_listener(&[Address::new("peer.example", 22240).unwrap()]);
    for id in (1..=1000).map(ConnectionId) {
        hub.connect(id, Peer::NoAddressRights, None, Time::default()).unwrap();
        let mut server = Server::new(id, Limits::server());
        for number in 0..12 {
            let join = join(&number.to_string(), JoinFrom::Last(0));
            hub.handle_request(id, ticket(&mut server), join, Moment::default()).unwrap();
        }
    }
    while hub.poll_effect().is_some() {}
    let operator = ConnectionId(1001);
    hub.connect(operator, Peer::Operator, None, Time::default()).unwrap();
    let (channels, next, _) = ask_page_as(&mut hub, operator, page(0, 100, None));
    assert_eq!((channels.len(), next), (10, Some(10)));
    assert!(channels.iter().all(|listed| listed.activity.unwrap().joined == 1000), "{channels:?}");
    assert_eq!(ask_page(&mut hub, page(0, 100, None)).0.len(), 12);
}

#[test]
fn a_page_ends_at_its_limit_and_the_next_begins_there() {
    let mut hub = hub_of((0..7).map(|number| number.to_string()));
    let (channels, next, _) = ask_page(&mut hub, page(0, 3, None));
    assert_eq!((names(&channels), next), (vec!["0", "1", "2"], Some(3)));
    let (channels, next, _) = ask_page(&mut hub, page(3, 4, None));
    assert_eq!((names(&channels), next), (vec!["3", "4", "5", "6"], None));
    assert_eq!(ask_page(&mut hub, page(7, 4, None)).0, []);
}

#[test]
fn a_request_looks_at_ten_thousand_channels_and_a_page_may_be_empty_and_not_the_last() {
    let name = |number: u32| if number == 25_000 { "the Rare one".into() } else { number.to_string() };
    let mut hub = hub_of((0..30_000).map(name));
    let (channels, next, _) = ask_page(&mut hub, page(0, 1000, Some("rARE")));
    assert_eq!((channels, next), (Vec::new(), Some(10_000)));
    let pages = all_pages(&mut hub, 1000, Some("rARE"));
    let found: Vec<usize> = pages.iter().map(|(channels, _)| channels.len()).collect();
    assert_eq!(found, [0, 0, 1]);
}

#[test]
fn a_page_is_cut_at_262144_bytes_and_nothing_is_left_out() {
    let name = |number: u32| format!("{number:04}{}", "\u{1f600}".repeat(60));
    let mut hub = hub_of((0..3000).map(name));
    let pages = all_pages(&mut hub, 1000, None);
    let sizes: Vec<usize> = pages.iter().map(|(_, size)| *size).collect();
    assert!(pages.len() > 3 && sizes.iter().all(|size| *size <= 262_144), "{sizes:?}");
    // One more would have been too many.
    assert!(sizes.iter().rev().skip(1).all(|size| size + 400 > 262_144), "{sizes:?}");
    let all: Vec<_> = pages.iter().flat_map(|(channels, _)| names(channels)).map(String::from).collect();
    assert!(all.into_iter().eq((0..3000).map(name)));
}

#[test]
fn many_pages_of_one_connection_do_not_keep_another_s_request_waiting() {
    let mut hub = hub_of((0..10_000).map(|number| number.to_string()));
    hub.connect(ConnectionId(1), Peer::NoAddressRights, None, Time::default()).unwrap();
    let tickets = |id| ticket(&mut Server::new(ConnectionId(id), Limits::server()));
    for _ in 0..50 {
        hub.handle_request(ConnectionId(0), tickets(0), page(0, 1, Some("x")), Moment::default()).unwrap();
    }
    hub.handle_request(ConnectionId(1), tickets(1), leave("x"), Moment::default()).unwrap();
    let answered = std::iter::from_fn(|| hub.poll_effect()).filter_map(|effect| match effect {
        Effect::Send(id, ServerCommand::Respond { .. }) => Some(id),
        _ => None,
    });
    let answered: Vec<_> = answered.collect();
    assert_eq!(answered.len(), 51);
    assert!(answered.iter().position(|id| *id == ConnectionId(1)).unwrap() < 3, "{answered:?}");
}

#[test]
fn pages_do_not_keep_a_write_waiting() {
    let mut hub = hub_of((0..10_000).map(|number| number.to_string()));
    let tickets = |id| ticket(&mut Server::new(ConnectionId(id), Limits::server()));
    for id in 1..=20 {
        hub.connect(ConnectionId(id), Peer::NoAddressRights, None, Time::default()).unwrap();
        for _ in 0..20 {
            hub.handle_request(ConnectionId(id), tickets(id), page(0, 1, Some("x")), Moment::default()).unwrap();
        }
    }
    let operator = ConnectionId(100);
    hub.connect(operator, Peer::Operator, None, Time::default()).unwrap();
    let write = host("new", "peer.example", 1);
    hub.handle_request(operator, tickets(100), write, Moment::default()).unwrap();
    let mut answers = 0;
    while let Some(effect) = hub.poll_effect() {
        match effect {
            Effect::Store(_) => break,
            Effect::Send(..) => answers += 1,
            _ => {}
        }
    }
    assert!(answers < 30, "{answers} pages came before the write");
}

/// A step between two pages.
#[derive(Clone, Debug)]
enum Step {
    Host(u8),
    Unhost(u8),
}

proptest! {
    #![proptest_config(chanwire_tests::generate::times(300))]

    #[test]
    fn pages_miss_nothing_that_is_listed_throughout_and_repeat_nothing(
        first in vec(0..12_u8, 0..10),
        steps in vec(vec(prop_oneof![(0..12_u8).prop_map(Step::Host), (0..12_u8).prop_map(Step::Unhost)], 0..3), 0..12),
        limit in 1..4_u16,
        contains in proptest::option::of(proptest::sample::select(vec!["A", "b", "Ab"])),
    ) {
        let name = |number: u8| format!("{}{number}", ["a", "B", "aB"][usize::from(number) % 3]);
        let mut trial = trial();
        let ada = trial.connect(ip(ADA), 0);
        for number in first {
            ask(&mut trial, ada, &host(&name(number), "peer.example", 1));
        }
        let listed_now = |trial: &mut Trial| -> Vec<String> {
            listed(trial).iter().map(|channel| channel.channel_name.to_string()).collect()
        };
        let (mut throughout, mut ever) = (listed_now(&mut trial), BTreeSet::new());
        ever.extend(throughout.clone());
        let (mut shown, mut after, mut steps) = (Vec::new(), 0, steps.into_iter());
        let mut is_changed = false;
        loop {
            let answers = ask(&mut trial, ada, &page(after, limit, contains));
            let [Response::ChannelPage { channels, next }] = &answers[..] else { panic!("{answers:?}") };
            shown.extend(names(channels).into_iter().map(String::from));
            let Some(next) = next else { break };
            prop_assert!(*next > after, "{next} after {after}");
            after = *next;
            for step in steps.next().into_iter().flatten() {
                is_changed = true;
                let request = match step {
                    Step::Host(number) => host(&name(number), "peer.example", 1),
                    Step::Unhost(number) => unhost(&name(number)),
                };
                ask(&mut trial, ada, &request);
                let now = listed_now(&mut trial);
                throughout.retain(|name| now.contains(name));
                ever.extend(now);
            }
        }
        let part = contains.unwrap_or_default().to_ascii_lowercase();
        let is_wanted = |name: &String| name.to_ascii_lowercase().contains(&part);
        for name in throughout.iter().filter(|name| is_wanted(name)) {
            prop_assert_eq!(shown.iter().filter(|other| *other == name).count(), 1, "{} in {:?}", name, shown);
        }
        prop_assert!(shown.iter().all(|name| is_wanted(name) && ever.contains(name)), "{shown:?}");
        if !is_changed {
            prop_assert_eq!(shown, throughout.into_iter().filter(is_wanted).collect::<Vec<_>>());
        }
    }
}

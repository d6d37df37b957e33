//! Laws that hold for any rules, accounts and reloads.

use std::collections::BTreeMap;

use chanwire_core::{
    rights::{Account, Action, GuestPolicy, Principal, Rights, Rule, Subject},
    wire::{AccountName, StoredMessage},
};
use chanwire_tests::{generate::times, store::Fate};
use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    bench::{channel, pushed},
    *,
};

const CHANNELS: [&str; 3] = ["staff-x", "staff-y", "news"];

fn subjects() -> impl Strategy<Value = Vec<Subject>> {
    let subjects = ["guests", "accounts", "ann", "bob", "@staff"].map(|text| text.parse().unwrap());
    vec(select(subjects.to_vec()), 0..3)
}

fn rights() -> impl Strategy<Value = Rights> {
    let rule = (select(vec!["staff-*", "*-x", "news", "*"]), subjects(), subjects(), subjects())
        .prop_map(|(channels, read, write, host)| Rule { channels: channels.parse().unwrap(), read, write, host });
    let account =
        (any::<bool>(), proptest::bool::weighted(0.1), 0..2_u64).prop_map(|(staff, is_operator, revision)| {
            let groups = staff.then(|| "staff".parse().unwrap()).into_iter().collect();
            Account { groups, is_operator, revision }
        });
    let names = select(vec!["ann", "bob"]).prop_map(|name| name.parse::<AccountName>().unwrap());
    let policies = select(vec![GuestPolicy::All, GuestPolicy::All, GuestPolicy::Read, GuestPolicy::None]);
    (proptest::collection::btree_map(names, account, 0..3), vec(rule, 0..4), policies)
        .prop_map(|(accounts, rules, guests)| Rights { accounts, rules, guests })
}

/// One of those who ask: a guest, an account, or the operator.
const ASKERS: [Option<&str>; 4] = [None, Some("ann"), Some("bob"), Some("")];

#[derive(Clone, Debug)]
enum Op {
    Connect(usize),
    Ask(prop::sample::Index, String),
    Hold(bool),
    Reload(Rights),
}

fn request() -> impl Strategy<Value = String> {
    let channel = || select(&CHANNELS[..]);
    prop_oneof![
        1 => Just("LIST\r\n".to_owned()),
        4 => channel().prop_map(|name| named("JOIN", name)),
        2 => channel().prop_map(|name| format!("JOIN\r\n{{\"channel_name\": \"{name}\", \"history\": 100}}")),
        1 => channel().prop_map(|name| named("LEAVE", name)),
        2 => channel().prop_map(|name| named("HISTORY", name)),
        1 => channel().prop_map(|name| named("UNHOST", name)),
        2 => (channel(), select(vec!["127.0.0.1", "192.0.2.7"])).prop_map(|(name, ip)| host_at(name, ip)),
        3 => (channel(), 1..6_u64).prop_map(|(name, id)| delete(name, id)),
        6 => (select(vec!["ann", "Bob", "zoe"]), proptest::option::of(channel()), proptest::option::of(0..4_u8))
            .prop_map(|(user, name, id)| message(user, "hi", name, id)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (0..ASKERS.len()).prop_map(Op::Connect),
        16 => (any::<prop::sample::Index>(), request()).prop_map(|(who, request)| Op::Ask(who, request)),
        2 => any::<bool>().prop_map(Op::Hold),
        1 => rights().prop_map(Op::Reload),
    ]
}

/// A connection, and what it was pushed of each channel since it joined it last.
struct Reader {
    id: u64,
    asker: usize,
    received: String,
}

fn connect(bench: &mut Bench, asker: usize) -> u64 {
    match ASKERS.get(asker).copied().flatten() {
        None => bench.guest("192.0.2.7"),
        Some("") => bench.operator(),
        Some(account) => bench.account(account),
    }
}

/// Returns whether this asker may do something by these rights.
fn may(rights: &Rights, asker: usize, action: Action, name: &str) -> bool {
    let account = ASKERS.get(asker).copied().flatten();
    let name = channel(name);
    match account {
        None => rights.may(Principal::Guest, action, &name),
        Some("") => rights.may(Principal::Operator, action, &name),
        Some(account) => rights.may(Principal::Account(&account.parse().unwrap()), action, &name),
    }
}

/// Takes what a reader has received, and checks that all of it is of channels that it may read.
fn read(bench: &mut Bench, reader: &mut Reader, was: Option<&Rights>) {
    let received = bench.received(reader.id);
    for StoredMessage { channel_name, .. } in pushed(&received) {
        let allowed = |rights: &Rights| may(rights, reader.asker, Action::Read, &channel_name);
        // What was sent before a reload stays sent.
        assert!(
            allowed(&bench.rights) || was.is_some_and(allowed),
            "{channel_name} is pushed to {:?}",
            ASKERS.get(reader.asker)
        );
    }
    reader.received += &received;
}

fn live(first: Rights, ops: &[Op]) {
    let mut bench = Bench::new(first);
    let operator = bench.operator();
    for name in CHANNELS {
        bench.ask(operator, &host(name));
    }
    let mut readers: Vec<Reader> = Vec::new();
    for op in ops {
        match op {
            Op::Connect(asker) => {
                let id = connect(&mut bench, *asker);
                readers.push(Reader { id, asker: *asker, received: String::new() });
            }
            Op::Ask(who, request) => {
                let open: Vec<u64> =
                    readers.iter().map(|reader| reader.id).filter(|id| bench.ended(*id).is_none()).collect();
                if !open.is_empty() {
                    bench.send(*who.get(&open), request);
                }
            }
            Op::Hold(holds) => bench.holds = *holds,
            Op::Reload(rights) => {
                let before = bench.rights.clone();
                bench.settle();
                readers.iter_mut().for_each(|reader| read(&mut bench, reader, None));
                bench.reload(rights.clone());
                readers.iter_mut().for_each(|reader| read(&mut bench, reader, Some(&before)));
            }
        }
        readers.iter_mut().for_each(|reader| read(&mut bench, reader, None));
    }
    bench.holds = false;
    bench.settle();
    readers.iter_mut().for_each(|reader| read(&mut bench, reader, None));
    for reader in &readers {
        check_pushed(&bench, reader);
    }
    for asker in 0..ASKERS.len() {
        check_ways(&mut bench, asker);
    }
}

/// Checks that all that a reader was pushed is what is stored, in order, without a gap since it joined.
fn check_pushed(bench: &Bench, reader: &Reader) {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for message in pushed(&reader.received) {
        let name = message.channel_name.to_string();
        let stored = bench.stored(&name).iter().find(|stored| stored.id == message.id);
        // The text of a deleted message may have been pushed before.
        let was = bench.disk.original(&message.channel_name, message.id);
        assert!(Some(&message) == stored || Some(&message) == was, "{message:?} is pushed, and {stored:?} is stored");
        last.insert(name, message.id);
    }
}

/// Checks that replay, HISTORY and live pushes give an asker the same messages, and none of what it may not read.
fn check_ways(bench: &mut Bench, asker: usize) {
    for name in CHANNELS {
        let (live, late, operator) = (connect(bench, asker), connect(bench, asker), bench.operator());
        let joined = bench.ask(live, &named("JOIN", name));
        let replayed = bench.ask(late, &format!("JOIN\r\n{{\"channel_name\": \"{name}\", \"history\": 1000}}"));
        let history = bench.ask(late, &named("HISTORY", name));
        if !may(&bench.rights, asker, Action::Read, name) {
            let absent = format!(
                "REQUEST_ERROR\r\n{{\"error\": \"Channel not found\", \"details\": \"The requested channel '{name}' does not exist\"}}"
            );
            assert_eq!([joined, replayed, history], [absent.clone(), absent.clone(), absent]);
            continue;
        }
        if !joined.starts_with("OK") {
            // It is gone, or lives elsewhere, for everybody.
            assert_eq!(bench.ask(operator, &named("JOIN", name)), joined);
            continue;
        }
        let expected: Vec<StoredMessage> = bench.stored(name).to_vec();
        assert_eq!(pushed(&replayed), expected);
        for message in &expected {
            let mut payload = Vec::new();
            message.encode_push(&mut payload);
            let payload = String::from_utf8(payload).unwrap().replacen("MESSAGE\r\n", "", 1);
            assert!(history.contains(&payload), "{history}");
        }
        assert!(bench.ask(operator, &message("zoe", "the last", Some(name), None)).starts_with("OK"));
        let newest = bench.stored(name).last().cloned();
        for reader in [live, late] {
            let received = bench.received(reader);
            assert_eq!(pushed(&received).last(), newest.as_ref());
        }
    }
}

/// A HOST or UNHOST of one of those who ask, and what becomes of its commit; the server may be restarted before it.
fn hosting() -> impl Strategy<Value = (usize, String, Fate, bool)> {
    let name = || select(vec!["a", "b"]);
    let host = (name(), select(vec!["127.0.0.1", "192.0.2.7", "203.0.113.9"])).prop_map(|(name, ip)| host_at(name, ip));
    let leased = name().prop_map(|name| self::host(name).replace('}', ", \"lease\": 10}"));
    let request = prop_oneof![4 => host, 1 => leased, 3 => name().prop_map(|name| named("UNHOST", name))];
    let fate =
        prop_oneof![6 => Just(Fate::Done), 1 => Just(Fate::Lost), 1 => Just(Fate::Denied), 1 => Just(Fate::Refused)];
    (0..ASKERS.len(), request, fate, proptest::bool::weighted(0.1))
}

/// Returns the stored state of a name: its owner, and its channel's place and lease.
fn kept(bench: &Bench, name: &str) -> (Option<String>, Option<String>) {
    let listed = bench.disk.channel(name).map(|record| format!("{} {:?}", record.channel.address, record.lease));
    (bench.owner(name).map(Into::into), listed)
}

/// Generates requests of the staff about `staff-x`, which guests do not see.
fn doings() -> impl Strategy<Value = Vec<String>> {
    let doing = prop_oneof![
        4 => select(vec!["127.0.0.1", "192.0.2.7", "198.51.100.9"]).prop_map(|ip| host_at("staff-x", ip)),
        1 => Just(host("staff-x").replace('}', ", \"lease\": 10}")),
        1 => Just(named("UNHOST", "staff-x")),
        3 => Just(message("ann", "secret", Some("staff-x"), None)),
        1 => Just(message("ann", "secret", Some("staff-x"), Some(1))),
        1 => (1..3_u64).prop_map(|id| delete("staff-x", id)),
    ];
    vec(doing, 0..6)
}

/// Generates requests of a guest. CHANNELS is not among them: its positions have gaps where others were hosted, hidden or
/// removed.
fn asked() -> impl Strategy<Value = Vec<String>> {
    let name = || select(vec!["staff-x", "staff-y", "general"]);
    let one = prop_oneof![
        Just("LIST\r\n".to_owned()),
        name().prop_map(|name| named("JOIN", name)),
        name().prop_map(|name| format!("JOIN\r\n{{\"channel_name\": \"{name}\", \"after\": 1}}")),
        (name(), select(vec!["zoe", "ann"]))
            .prop_map(|(name, user)| named("JOIN", name).replace('}', &format!(", \"username\": \"{user}\"}}"))),
        name().prop_map(|name| named("WHO", name)),
        name().prop_map(|name| named("LEAVE", name)),
        name().prop_map(|name| named("HISTORY", name)),
        name().prop_map(|name| named("UNHOST", name)),
        (name(), select(vec!["127.0.0.1", "192.0.2.7"])).prop_map(|(name, ip)| host_at(name, ip)),
        name().prop_map(|name| host(name).replace('}', ", \"lease\": 10}")),
        (name(), 1..3_u64).prop_map(|(name, id)| delete(name, id)),
        (select(vec!["zoe", "ann"]), proptest::option::of(name()), proptest::option::of(0..3_u8))
            .prop_map(|(user, name, id)| message(user, "hi", name, id)),
    ];
    vec(one, 1..12)
}

proptest! {
    #![proptest_config(times(300))]

    #[test]
    fn pushes_replays_and_history_agree_for_every_principal(first in rights(), ops in vec(op(), 0..50)) {
        live(first, &ops);
    }

    #[test]
    fn nobody_but_its_account_and_operators_changes_what_is_an_account_s(steps in vec(hosting(), 1..40)) {
        let mut bench = Bench::new(hidden());
        let mut clients: Vec<u64> = (0..ASKERS.len()).map(|asker| connect(&mut bench, asker)).collect();
        for (asker, request, fate, restarts) in steps {
            if restarts {
                bench = bench.restart();
                clients = (0..ASKERS.len()).map(|asker| connect(&mut bench, asker)).collect();
            }
            let before = ["a", "b"].map(|name| kept(&bench, name));
            bench.fate = fate;
            let answer = bench.ask(clients[asker], &request);
            bench.fate = Fate::Done;
            for (name, (owner, listed)) in ["a", "b"].into_iter().zip(before) {
                let after = kept(&bench, name);
                let account = ASKERS[asker].filter(|account| !account.is_empty());
                if let Some(owner) = owner {
                    let may = account == Some(owner.as_str()) || ASKERS[asker] == Some("");
                    prop_assert!(may || after == (Some(owner.clone()), listed), "{name} of {owner}: {request} {answer}");
                } else if after.0.is_some() {
                    prop_assert_eq!(after.0.as_deref(), account, "{}", request);
                }
            }
        }
    }

    #[test]
    fn a_hidden_channel_and_a_missing_one_are_the_same_to_a_guest(
        doings in doings(), asked in asked(), in_between in any::<bool>()
    ) {
        let [mut there, mut missing] = [(); 2].map(|()| Bench::new(hidden()));
        let ann = there.account_from("ann", "198.51.100.9");
        let mut doings = doings.iter();
        if !in_between {
            doings.by_ref().for_each(|doing| there.send(ann, doing));
        }
        let guests = [there.guest("192.0.2.7"), missing.guest("192.0.2.7")];
        for request in &asked {
            prop_assert_eq!(there.ask(guests[0], request), missing.ask(guests[1], request), "{}", request);
            doings.next().into_iter().for_each(|doing| there.send(ann, doing));
        }
    }
}

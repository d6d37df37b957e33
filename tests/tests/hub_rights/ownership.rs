//! Channels that belong to accounts.

use std::time::Duration;

use chanwire_core::hub::HubLimits;
use chanwire_tests::store::Disk;

use super::*;

const HOSTED: &str = "OK\r\n{\"status\": \"success\", \"channel_name\": \"general\"}";
const OWNED: &str =
    "REQUEST_ERROR\r\n{\"error\": \"Not allowed\", \"details\": \"The channel 'general' belongs to another account\"}";
const NOT_THE_HOST: &str = "REQUEST_ERROR\r\n{\"error\": \"Not the channel's host\", \"details\": \"Only its host may remove the channel 'general'\"}";
const REMOVED: &str = "OK\r\n{\"status\": \"removed\", \"channel_name\": \"general\"}";

#[test]
fn an_account_moves_and_removes_its_channel_from_any_address_and_nobody_else_does() {
    let mut bench = Bench::new(hidden());
    let ann = bench.account("ann");
    assert_eq!(bench.ask(ann, &host("general")), HOSTED);
    // The address that the HOST came from, and the registered one.
    let (same, there) = (bench.guest("203.0.113.9"), bench.guest("127.0.0.1"));
    let bob = bench.account("bob");
    for who in [same, there, bob] {
        let answer = bench.ask(who, &host_at("general", "192.0.2.7"));
        assert!(answer.contains("Channel already exists"), "{answer}");
        assert_eq!(bench.ask(who, &named("UNHOST", "general")), NOT_THE_HOST);
        // As ever, the same address is a success that changes nothing.
        assert_eq!(bench.ask(who, &host("general")), HOSTED);
    }
    let elsewhere = bench.account_from("ann", "198.51.100.4");
    assert_eq!(bench.ask(elsewhere, &host_at("general", "192.0.2.8")), HOSTED);
    assert_eq!(bench.ask(elsewhere, &named("UNHOST", "general")), REMOVED);
    assert_eq!(bench.owner("general"), Some("ann"));
}

#[test]
fn a_name_stays_its_account_s_until_an_operator_hosts_it() {
    let mut bench = Bench::new(hidden());
    let ann = bench.account("ann");
    bench.ask(ann, &host("general"));
    bench.ask(ann, &named("UNHOST", "general"));
    for _ in 0..2 {
        let (guest, bob) = (bench.guest("203.0.113.9"), bench.account("bob"));
        for who in [guest, bob] {
            assert_eq!(bench.ask(who, &host("general")), OWNED);
        }
        // It has no messages, and is an account's all the same after a restart.
        bench = bench.restart();
    }
    let ann = bench.account("ann");
    assert_eq!(bench.ask(ann, &host("general")), HOSTED);
    assert_eq!(bench.ask(ann, &named("UNHOST", "general")), REMOVED);
    let operator = bench.operator();
    assert_eq!(bench.ask(operator, &host("general")), HOSTED);
    assert_eq!(bench.owner("general"), None);
    assert_eq!(bench.ask(operator, &named("UNHOST", "general")), REMOVED);
    let bob = bench.account("bob");
    assert_eq!(bench.ask(bob, &host("general")), HOSTED);
    assert_eq!(bench.owner("general"), Some("bob"));
}

#[test]
fn an_operator_moves_an_account_s_channel_and_it_stays_the_account_s() {
    let mut bench = Bench::new(hidden());
    let (ann, root) = (bench.account("ann"), bench.account("root"));
    bench.ask(ann, &host("general"));
    let operator = bench.operator();
    for who in [operator, root] {
        for ip in ["192.0.2.8", "192.0.2.9"] {
            assert_eq!(bench.ask(who, &host_at("general", ip)), HOSTED);
        }
    }
    assert_eq!(bench.owner("general"), Some("ann"));
    assert_eq!(bench.ask(ann, &named("UNHOST", "general")), REMOVED);
}

#[test]
fn a_guest_s_channel_becomes_an_account_s_when_it_repeats_the_host_from_the_owning_address() {
    let mut bench = Bench::new(hidden());
    let guest = bench.guest("192.0.2.7");
    bench.ask(guest, &host_at("general", "192.0.2.7"));
    // An operator's account is not at the owning address.
    for account in ["bob", "root"] {
        let stranger = bench.account_from(account, "198.51.100.4");
        assert_eq!(bench.ask(stranger, &host_at("general", "192.0.2.7")), HOSTED);
        assert_eq!(bench.owner("general"), None);
    }
    let ann = bench.account_from("ann", "192.0.2.7");
    assert_eq!(bench.ask(ann, &host_at("general", "192.0.2.7")), HOSTED);
    assert_eq!(bench.owner("general"), Some("ann"));
    assert_eq!(bench.ask(guest, &named("UNHOST", "general")), NOT_THE_HOST);
    let commits = bench.disk.commits;
    assert_eq!(bench.ask(ann, &host_at("general", "192.0.2.7")), HOSTED);
    assert_eq!(bench.disk.commits, commits, "a HOST that changes nothing is stored");
}

#[test]
fn a_name_whose_lease_has_ended_stays_its_account_s() {
    let mut bench = Bench::new(hidden());
    let ann = bench.account("ann");
    let leased = host("general").replace('}', ", \"lease\": 10}");
    assert_eq!(bench.ask(ann, &leased), HOSTED);
    let bob = bench.account("bob");
    // The lease ends, then the time for which any host's name is kept, then that after which names are dropped.
    for seconds in [11, 61, 31 * 86_400] {
        bench.now = bench.now.after(Duration::from_secs(seconds));
        bench.hub.handle_timeout(bench.now);
        bench.settle();
        assert_eq!(bench.ask(bob, "LIST\r\n"), "OK\r\n{\"channels\": []}");
        assert_eq!(bench.ask(bob, &host("general")), OWNED);
    }
    assert_eq!(bench.ask(ann, &leased), HOSTED);
}

#[test]
fn an_account_needs_no_address_rights_and_counts_for_no_address() {
    let mut limits = HubLimits::default();
    (limits.max_address_channels, limits.max_account_names) = (1, 2);
    let mut bench = Bench::over(Disk::default(), hidden(), limits);
    let (ann, guest) = (bench.account_from("ann", "192.0.2.7"), bench.guest("192.0.2.7"));
    for name in ["a", "b"] {
        assert!(bench.ask(ann, &host(name)).starts_with("OK"));
    }
    let limit =
        |details: &str| format!("REQUEST_ERROR\r\n{{\"error\": \"Limit reached\", \"details\": \"{details}\"}}");
    assert_eq!(bench.ask(ann, &host("c")), limit("An account may own at most 2 channels"));
    // Its names count also when they are not listed, and may be hosted again.
    assert!(bench.ask(ann, &named("UNHOST", "a")).starts_with("OK"));
    assert_eq!(bench.ask(ann, &host("c")), limit("An account may own at most 2 channels"));
    assert!(bench.ask(ann, &host("a")).starts_with("OK"));
    assert!(bench.ask(guest, &host("d")).starts_with("OK"));
    assert_eq!(bench.ask(guest, &host("e")), limit("An address may host at most 1 channels"));
    let root = bench.account("root");
    let all: String = ["f", "g", "h"].map(host).concat();
    assert_eq!(bench.ask(root, &all).matches("success").count(), 3);
}

#[test]
fn the_names_of_one_commit_count_together() {
    let mut limits = HubLimits::default();
    limits.max_account_names = 2;
    let mut bench = Bench::over(Disk::default(), hidden(), limits);
    let clients: Vec<u64> = (0..5).map(|_| bench.account("ann")).collect();
    bench.holds = true;
    // The first commit is with the store, and the others wait for the next.
    let other = bench.account("bob");
    bench.send(other, &host("other"));
    for (client, name) in clients.iter().zip(["a", "b", "c", "d", "e"]) {
        bench.send(*client, &host(name));
    }
    bench.holds = false;
    bench.settle();
    let answers: String = clients.iter().map(|client| bench.received(*client)).collect();
    assert_eq!((answers.matches("success").count(), answers.matches("Limit reached").count()), (2, 3), "{answers}");
}

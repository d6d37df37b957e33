//! Changes of accounts and rules while connections are open.

use chanwire_core::endpoint::Reason;

use super::{
    bench::{auth, pushed},
    *,
};

const REVOKED: &str = "SERVER_ERROR\r\n{\"error\": \"Access revoked\", \"details\": ";

/// Returns a server that hosts `staff-x`, which nothing hides yet.
fn open() -> (Bench, u64) {
    let mut rights = hidden();
    rights.rules.clear();
    let mut bench = Bench::new(rights);
    let operator = bench.operator();
    bench.ask(operator, &host("staff-x"));
    (bench, operator)
}

#[test]
fn joins_that_are_no_longer_allowed_end_and_others_go_on() {
    let (mut bench, operator) = open();
    let (told, untold, without) = (bench.guest("192.0.2.7"), bench.guest("192.0.2.7"), bench.guest("192.0.2.7"));
    let ann = bench.account("ann");
    bench.ask(told, "HELLO\r\n{\"notices\": true}");
    for who in [told, untold, ann, operator] {
        assert!(bench.ask(who, &named("JOIN", "staff-x")).starts_with("OK"));
    }
    bench.reload(hidden());
    let details = "\"This connection may no longer read the channel 'staff-x'\"}";
    assert_eq!(bench.received(told), format!("{REVOKED}{details}"));
    assert_eq!(bench.received(untold), "");
    for who in [told, untold] {
        assert_eq!(bench.ended(who).map(|end| end.reason), Some(Reason::AccessRevoked));
    }
    for who in [ann, operator, without] {
        assert_eq!(bench.ended(who), None);
    }
    bench.ask(ann, &message("ann", "secret", Some("staff-x"), None));
    assert_eq!(pushed(&bench.received(operator)), bench.stored("staff-x"));
    assert_eq!((bench.received(told), bench.received(untold)), (String::new(), String::new()));
}

#[test]
fn connections_of_accounts_that_changed_or_are_gone_end_and_others_go_on() {
    let (mut bench, operator) = open();
    let [ann, bob, root, guest] =
        [bench.account("ann"), bench.account("bob"), bench.account("root"), bench.guest("192.0.2.7")];
    for who in [ann, bob, root, guest] {
        bench.ask(who, "HELLO\r\n{\"notices\": true}");
    }
    let mut rights = (*bench.rights).clone();
    rights.accounts.remove("ann");
    rights.accounts.get_mut("bob").unwrap().revision += 1;
    bench.reload(rights);
    for (who, name) in [(ann, "ann"), (bob, "bob")] {
        assert_eq!(bench.received(who), format!("{REVOKED}\"The account '{name}' has changed; sign in again\"}}"));
        assert_eq!(bench.ended(who).map(|end| end.reason), Some(Reason::AccessRevoked));
    }
    for who in [root, guest, operator] {
        assert_eq!((bench.received(who), bench.ended(who)), (String::new(), None));
    }
}

#[test]
fn a_reload_that_changes_nothing_ends_nothing() {
    let (mut bench, _) = open();
    let ann = bench.account("ann");
    bench.ask(ann, &named("JOIN", "staff-x"));
    bench.reload((*bench.rights).clone());
    assert_eq!(bench.ended(ann), None);
}

#[test]
fn a_history_that_was_being_read_is_not_given_to_one_who_may_not_read_it_any_more() {
    let (mut bench, operator) = open();
    bench.ask(operator, &message("root?", "secret", Some("staff-x"), None));
    let guest = bench.guest("192.0.2.7");
    bench.holds = true;
    bench.send(guest, &named("HISTORY", "staff-x"));
    bench.reload(hidden());
    bench.holds = false;
    bench.settle();
    assert_eq!(bench.received(guest), NOT_FOUND);
}

#[test]
fn a_replay_that_was_being_read_is_not_given_to_one_who_may_not_read_it_any_more() {
    let (mut bench, operator) = open();
    bench.ask(operator, &message("root?", "secret", Some("staff-x"), None));
    let guest = bench.guest("192.0.2.7");
    bench.holds = true;
    bench.send(guest, "JOIN\r\n{\"channel_name\": \"staff-x\", \"history\": 10}");
    assert!(bench.received(guest).starts_with("OK"));
    bench.reload(hidden());
    bench.holds = false;
    bench.settle();
    assert_eq!((bench.received(guest), bench.ended(guest).is_some()), (String::new(), true));
}

#[test]
fn a_sign_in_that_was_being_verified_fails_if_its_account_has_changed() {
    let (mut bench, _) = open();
    let [ann, bob] = [bench.guest("192.0.2.7"), bench.guest("192.0.2.7")];
    bench.holds_sign_in = true;
    bench.send(ann, &auth("ann"));
    bench.send(bob, &auth("bob"));
    let mut rights = (*bench.rights).clone();
    rights.accounts.get_mut("ann").unwrap().revision += 1;
    bench.reload(rights);
    bench.holds_sign_in = false;
    bench.settle();
    assert!(bench.received(ann).contains("Authentication failed"));
    assert_eq!(bench.received(bob), "OK\r\n{\"status\": \"authenticated\", \"account\": \"bob\"}");
}

#[test]
fn nothing_is_carried_out_for_a_connection_whose_account_is_gone() {
    let (mut bench, _) = open();
    let (ann, bob) = (bench.account("ann"), bench.account("bob"));
    bench.holds = true;
    bench.send(bob, &host("other"));
    let requests = [message("ann", "hi", Some("staff-x"), None), host("mine"), "LIST\r\n".into()].concat();
    bench.send(ann, &requests);
    let mut rights = (*bench.rights).clone();
    rights.accounts.remove("ann");
    bench.reload(rights);
    bench.holds = false;
    bench.settle();
    let refused =
        "REQUEST_ERROR\r\n{\"error\": \"Not allowed\", \"details\": \"The rights of this connection have changed\"}";
    assert_eq!(bench.received(ann), refused.repeat(3));
    assert_eq!((bench.contents("staff-x").len(), bench.owner("mine")), (0, None));
}

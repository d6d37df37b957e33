//! DELETE by accounts: their own messages, and no others.

use chanwire_core::hub::{ActKind, Peer};

use super::*;

/// Returns a server on which a guest hosts `general`, where ann, bob and a guest have said something.
fn three_messages() -> Bench {
    let mut bench = Bench::new(hidden());
    let operator = bench.operator();
    bench.ask(operator, &host("general"));
    let senders = [bench.account("ann"), bench.account("bob"), bench.guest("192.0.2.7")];
    for (who, text) in senders.into_iter().zip(["of ann", "of bob", "of a guest"]) {
        assert!(bench.ask(who, &message("zoe", text, Some("general"), None)).starts_with("OK"));
    }
    bench
}

const NOT_ALLOWED: &str = "REQUEST_ERROR\r\n{\"error\": \"Not allowed\", \"details\": \"Only the host and the moderators of 'general' may delete its messages\"}";

fn deleted(id: u64) -> String {
    format!("OK\r\n{{\"status\": \"deleted\", \"channel_name\": \"general\", \"id\": {id}}}")
}

#[test]
fn an_account_deletes_its_own_messages_under_any_username_and_no_others() {
    let mut bench = three_messages();
    // Another connection of the account, from elsewhere.
    let (ann, guest) = (bench.account_from("ann", "198.51.100.9"), bench.guest("192.0.2.7"));
    for id in [2, 3] {
        assert_eq!(bench.ask(ann, &delete("general", id)), NOT_ALLOWED);
    }
    // A guest has no messages of its own.
    for id in [1, 3] {
        assert_eq!(bench.ask(guest, &delete("general", id)), NOT_ALLOWED);
    }
    assert_eq!(bench.contents("general"), ["of ann", "of bob", "of a guest"]);
    assert_eq!(bench.ask(ann, &delete("general", 1)), deleted(1));
    assert_eq!(bench.ask(ann, &delete("general", 1)), deleted(1));
    assert_eq!(bench.contents("general"), ["(deleted)", "of bob", "of a guest", "Deleted message 1"]);
    let [tombstone, .., record] = bench.stored("general") else { panic!("two messages") };
    assert_eq!(tombstone.account.as_deref(), Some("ann"));
    assert_eq!((&*record.username, record.account.as_deref(), record.deletes), ("ann", Some("ann"), Some(1)));
    // Its record is not a message to be deleted.
    assert!(bench.ask(ann, &delete("general", 4)).contains("is the record of a deletion"));
    let [act] = &bench.acts[..] else { panic!("one act: {:?}", bench.acts) };
    assert_eq!((act.account.as_deref(), act.peer), (Some("ann"), Peer::Address("198.51.100.9".parse().unwrap())));
    assert_eq!((&*act.channel_name, &act.kind), ("general", &ActKind::Deleted { id: 1 }));
}

#[test]
fn the_account_that_owns_a_channel_and_operators_delete_all_messages_from_anywhere() {
    let mut bench = three_messages();
    let bob = bench.account("bob");
    bench.ask(bob, &host("mine"));
    for (number, deletes) in ["one", "two", "three"].into_iter().zip(1..) {
        let guest = bench.guest("127.0.0.1");
        bench.ask(guest, &message("zoe", number, Some("mine"), None));
        // At the channel's address, and not its account.
        assert!(bench.ask(guest, &delete("mine", deletes)).contains("Not allowed"));
    }
    let (bob, root) = (bench.account_from("bob", "198.51.100.9"), bench.account("root"));
    let operator = bench.operator();
    for (who, id) in [(bob, 1), (root, 2), (operator, 3)] {
        assert!(bench.ask(who, &delete("mine", id)).starts_with("OK"));
    }
    let records: Vec<_> = bench.stored("mine").iter().filter(|stored| stored.deletes.is_some()).collect();
    let users: Vec<_> = records.iter().map(|record| (&*record.username, record.account.as_deref())).collect();
    assert_eq!(users, [("bob", Some("bob")), ("root", Some("root")), ("operator", None)]);
}

#[test]
fn nothing_is_deleted_in_a_channel_that_may_not_be_read_any_more() {
    let mut bench = Bench::new(hidden());
    let (operator, ann) = (bench.operator(), bench.account("ann"));
    bench.ask(operator, &host("staff-x"));
    bench.ask(ann, &message("ann", "secret", Some("staff-x"), None));
    let mut rights = hidden();
    rights.rules.first_mut().unwrap().read.clear();
    bench.reload(rights);
    assert_eq!(bench.ask(ann, &delete("staff-x", 1)), NOT_FOUND);
    assert_eq!(bench.contents("staff-x"), ["secret"]);
}

#[test]
fn a_deletion_that_is_not_decided_when_its_account_changes_is_not_carried_out() {
    let mut bench = three_messages();
    let ann = bench.account("ann");
    bench.holds = true;
    bench.send(ann, &delete("general", 1));
    let mut rights = hidden();
    rights.accounts.remove("ann");
    bench.reload(rights);
    bench.holds = false;
    bench.settle();
    assert_eq!(bench.contents("general"), ["of ann", "of bob", "of a guest"]);
    assert!(bench.acts.is_empty());
}

//! ROLE: who may give which role to whom, what it does, when it ends, and where it is kept.

use chanwire_core::hub::{ActKind, GivenRole, Peer, RoleSubject};
use chanwire_core::wire::{Role, Timestamp};
use chanwire_tests::store::Fate;

use super::{bench::pushed, *};

const BOB: &str = "\"account\": \"bob\"";
const ZOE: &str = "192.0.2.7";

fn set(role: &str) -> String {
    format!("OK\r\n{{\"status\": \"set\", \"channel_name\": \"general\", \"role\": \"{role}\"}}")
}

fn refused(error: &str, details: &str) -> String {
    format!("REQUEST_ERROR\r\n{{\"error\": \"{error}\", \"details\": \"{details}\"}}")
}

fn not_allowed(details: &str) -> String {
    refused("Not allowed", details)
}

fn at(ip: &str) -> String {
    format!("\"address\": \"{ip}\"")
}

fn seconds(request: &str, seconds: u32) -> String {
    request.replace('}', &format!(", \"seconds\": {seconds}}}"))
}

fn say(text: &str) -> String {
    message("zoe", text, Some("general"), None)
}

/// Returns a server on which ann hosts `general`, with a connection of hers.
fn hosted_by_ann() -> (Bench, u64) {
    let mut bench = Bench::new(hidden());
    let ann = bench.account("ann");
    assert!(bench.ask(ann, &host("general")).starts_with("OK"));
    (bench, ann)
}

/// Returns the role of a subject as it is stored.
fn stored(bench: &Bench, subject: &str) -> Option<GivenRole> {
    let subject = RoleSubject::from_stored(subject).unwrap();
    let roles = &bench.disk.moderation("general")?.roles;
    roles.iter().find(|(other, _)| *other == subject).map(|(_, given)| *given)
}

#[test]
fn a_muted_sender_is_refused_from_the_act_on_and_is_heard_again_after_it() {
    let (mut bench, ann) = hosted_by_ann();
    let zoe = bench.guest(ZOE);
    let mute = role("general", &at(ZOE), "muted");
    assert!(bench.ask(zoe, &say("one")).starts_with("OK"));
    assert_eq!(bench.ask(ann, &mute), set("muted"));
    assert_eq!(bench.ask(zoe, &say("two")), not_allowed("This connection is muted in 'general'"));
    // It reads on, and so do others from elsewhere, who write.
    assert!(bench.ask(zoe, &named("HISTORY", "general")).contains("one"));
    let eve = bench.guest("198.51.100.9");
    assert!(bench.ask(eve, &say("three")).starts_with("OK"));
    assert_eq!(bench.ask(ann, &role("general", &at(ZOE), "none")), set("none"));
    assert!(bench.ask(zoe, &say("four")).starts_with("OK"));
    assert_eq!(bench.contents("general"), ["one", "three", "four"]);
    assert_eq!(stored(&bench, "address:192.0.2.7"), None);
}

#[test]
fn of_pipelined_messages_those_before_the_act_are_stored_and_those_after_it_refused() {
    let (mut bench, ann) = hosted_by_ann();
    let (zoe, reader) = (bench.guest(ZOE), bench.guest("198.51.100.9"));
    bench.ask(reader, &named("JOIN", "general"));
    let some = |numbers: std::ops::Range<usize>| numbers.map(|number| say(&format!("m{number}"))).collect::<String>();
    bench.holds = true;
    // Some are with the store when the act is asked for, and more wait with it.
    bench.send(zoe, &some(0..300));
    bench.send(zoe, &some(300..1000));
    bench.send(ann, &role("general", &at(ZOE), "banned"));
    bench.holds = false;
    bench.settle();
    let answers = bench.received(zoe);
    let count = bench.contents("general").len();
    assert_eq!(answers.matches("\"delivered\"").count(), count);
    let banned = not_allowed("This connection is banned from 'general'");
    assert_eq!(answers.matches(&banned).count(), 1000 - count);
    // In order: nothing is delivered after the first refusal.
    assert!(!answers[answers.find(&banned).unwrap_or(answers.len())..].contains("delivered"));
    let texts: Vec<String> = (0..count).map(|number| format!("m{number}")).collect();
    assert_eq!(bench.contents("general"), texts);
    assert!((300..400).contains(&count), "{count}");
    assert_eq!(pushed(&bench.received(reader)).len(), count);
}

#[test]
fn a_role_holds_for_messages_that_wait_in_the_same_commit() {
    let (mut bench, ann) = hosted_by_ann();
    let (zoe, other) = (bench.guest(ZOE), bench.account("ann"));
    bench.holds = true;
    // The first is with the store; the others are decided together, and the shorter comes first.
    bench.send(other, &say("first"));
    bench.send(ann, &role("general", &at(ZOE), "muted"));
    bench.send(zoe, &say(&"behind".repeat(100)));
    bench.holds = false;
    bench.settle();
    assert_eq!(bench.contents("general"), ["first"]);
    assert_eq!(bench.received(zoe), not_allowed("This connection is muted in 'general'"));
}

#[test]
fn a_ban_ends_the_joins_of_its_subject_and_of_nobody_else() {
    let (mut bench, ann) = hosted_by_ann();
    let (bob, zoe, told) = (bench.account("bob"), bench.guest(ZOE), bench.account("bob"));
    bench.ask(told, "HELLO\r\n{\"notices\": true}");
    for reader in [bob, zoe, told] {
        bench.ask(reader, &named("JOIN", "general"));
    }
    bench.ask(ann, &message("ann", "one", Some("general"), None));
    bench.ask(ann, &role("general", BOB, "banned"));
    bench.ask(ann, &message("ann", "two", Some("general"), None));
    let received = [bob, zoe, told].map(|reader| bench.received(reader));
    assert_eq!(received.each_ref().map(|received| pushed(received).len()), [1, 2, 1]);
    assert!(bench.ended(bob).is_some() && bench.ended(zoe).is_none());
    assert!(!received[0].contains("ERROR"));
    let reason = "SERVER_ERROR\r\n{\"error\": \"Access revoked\", \"details\": \"This connection may no longer read the channel 'general'\"}";
    assert!(received[2].ends_with(reason), "{}", received[2]);
    // Nothing of it is shown to it any more, on whatever way.
    let bob = bench.account("bob");
    let banned = not_allowed("This connection is banned from 'general'");
    for request in [named("JOIN", "general"), named("HISTORY", "general"), say("three")] {
        assert_eq!(bench.ask(bob, &request), banned);
    }
    assert!(!bench.ask(bob, "CHANNELS\r\n{}").contains("last_id"));
    assert!(bench.ask(bob, "LIST\r\n").contains("general"));
}

#[test]
fn a_page_that_is_read_for_one_who_is_banned_meanwhile_is_not_given() {
    let (mut bench, ann) = hosted_by_ann();
    bench.ask(ann, &message("ann", "secret", Some("general"), None));
    let (zoe, eve) = (bench.guest(ZOE), bench.guest(ZOE));
    bench.holds = true;
    bench.send(zoe, &named("HISTORY", "general"));
    bench.send(eve, &named("JOIN", "general").replace('}', ", \"history\": 10}"));
    bench.send(ann, &role("general", &at(ZOE), "banned"));
    bench.holds = false;
    bench.settle();
    assert_eq!(bench.received(zoe), not_allowed("This connection is banned from 'general'"));
    assert!(!bench.received(eve).contains("secret") && bench.ended(eve).is_some());
}

#[test]
fn a_guest_that_signs_in_to_a_banned_account_ends_where_it_has_joined() {
    let (mut bench, ann) = hosted_by_ann();
    bench.ask(ann, &role("general", BOB, "banned"));
    let guest = bench.guest(ZOE);
    assert!(bench.ask(guest, &named("JOIN", "general")).starts_with("OK"));
    bench.sign_in(guest, "bob");
    assert!(bench.ended(guest).is_some());
    bench.ask(ann, &message("ann", "secret", Some("general"), None));
    assert_eq!(bench.received(guest), "");
}

#[test]
fn a_role_of_an_account_goes_before_that_of_its_address() {
    let (mut bench, ann) = hosted_by_ann();
    bench.ask(ann, &role("general", &at(ZOE), "banned"));
    let bob = bench.account_from("bob", ZOE);
    assert!(bench.ask(bob, &say("one")).contains("banned"));
    bench.ask(ann, &role("general", BOB, "member"));
    assert!(bench.ask(bob, &say("two")).starts_with("OK"));
    bench.ask(ann, &role("general", BOB, "muted"));
    assert!(bench.ask(bob, &say("three")).contains("muted"));
    bench.ask(ann, &role("general", BOB, "none"));
    assert!(bench.ask(bob, &say("four")).contains("banned"));
}

#[test]
fn an_ipv6_address_stands_for_its_network() {
    let (mut bench, ann) = hosted_by_ann();
    bench.ask(ann, &role("general", &at("2001:db8:1:2::7"), "muted"));
    let (same, other) = (bench.guest("2001:db8:1:2:aaaa::1"), bench.guest("2001:db8:1:3::7"));
    assert!(bench.ask(same, &say("one")).contains("muted"));
    assert!(bench.ask(other, &say("two")).starts_with("OK"));
    assert!(
        bench.ask(ann, &settings("general", "")).contains("{\"address\": \"2001:db8:1:2::\", \"role\": \"muted\"}")
    );
    let mapped = at("::ffff:192.0.2.7");
    bench.ask(ann, &role("general", &mapped, "banned"));
    assert!(stored(&bench, "address:192.0.2.7").is_some());
}

#[test]
fn moderators_give_what_they_may_and_only_the_host_and_operators_make_moderators() {
    let (mut bench, ann) = hosted_by_ann();
    let (bob, operator, root) = (bench.account("bob"), bench.operator(), bench.account("root"));
    let carl = "\"account\": \"carl\"";
    let may_not = not_allowed("Only the host and the moderators of 'general' may give roles in it");
    for (asked, target) in [("muted", carl), ("none", BOB)] {
        assert_eq!(bench.ask(bob, &role("general", target, asked)), may_not);
    }
    assert_eq!(bench.ask(ann, &role("general", BOB, "moderator")), set("moderator"));
    for asked in ["member", "muted", "banned", "none"] {
        assert_eq!(bench.ask(bob, &role("general", carl, asked)), set(asked));
    }
    let for_host = not_allowed("Only the host of 'general' may change who its moderators are");
    assert_eq!(bench.ask(bob, &role("general", carl, "moderator")), for_host);
    for asked in ["none", "banned"] {
        assert_eq!(bench.ask(bob, &role("general", BOB, asked)), for_host);
    }
    let no_role = not_allowed("The host of 'general' and the operator have no role in it");
    for (who, target) in [(bob, "ann"), (bob, "root"), (ann, "ann"), (operator, "ann"), (root, "root")] {
        let target = format!("\"account\": \"{target}\"");
        assert_eq!(bench.ask(who, &role("general", &target, "banned")), no_role);
    }
    assert_eq!(
        bench.ask(bob, &role("general", &at(ZOE), "member")),
        not_allowed("Only accounts can be members of 'general'")
    );
    assert_eq!(bench.ask(operator, &role("general", BOB, "none")), set("none"));
    assert_eq!(bench.ask(bob, &role("general", carl, "muted")), may_not);
    assert_eq!(bench.ask(root, &role("general", carl, "moderator")), set("moderator"));
}

#[test]
fn a_moderator_deletes_messages_under_its_own_name() {
    let (mut bench, ann) = hosted_by_ann();
    let zoe = bench.guest(ZOE);
    let (eve, bob) = (bench.guest("198.51.100.9"), bench.account("bob"));
    for text in ["one", "two"] {
        bench.ask(zoe, &say(text));
    }
    for (who, target, id) in [(eve, at("198.51.100.9"), 1), (bob, BOB.into(), 2)] {
        assert!(bench.ask(who, &delete("general", id)).contains("Not allowed"));
        bench.ask(ann, &role("general", &target, "moderator"));
        assert!(bench.ask(who, &delete("general", id)).starts_with("OK"));
    }
    let users: Vec<_> = bench.stored("general").iter().map(|stored| &*stored.username).collect();
    assert_eq!(users, ["zoe", "zoe", "moderator", "bob"]);
}

#[test]
fn the_sender_of_a_message_is_its_account_or_the_address_it_came_from_which_nobody_is_shown() {
    let (mut bench, ann) = hosted_by_ann();
    let (zoe, bob) = (bench.guest(ZOE), bench.account("bob"));
    bench.ask(zoe, &say("one"));
    bench.ask(bob, &message("bob", "two", Some("general"), None));
    let sender_of = |id: u64| format!("\"sender_of\": {id}");
    assert_eq!(bench.ask(ann, &role("general", &sender_of(1), "muted")), set("muted"));
    assert_eq!(bench.ask(ann, &role("general", &sender_of(2), "banned")), set("banned"));
    let listed = "OK\r\n{\"channel_name\": \"general\", \"members_only\": false, \"slow_mode\": 0, \"roles\": [{\"account\": \"bob\", \"role\": \"banned\"}, {\"sender_of\": 1, \"role\": \"muted\"}]}";
    assert_eq!(bench.ask(ann, &settings("general", "")), listed);
    assert!(bench.ask(zoe, &say("three")).contains("muted"));
    assert!(bench.ask(bob, &say("four")).contains("banned"));
    assert_eq!(
        bench.ask(ann, &role("general", &sender_of(3), "muted")),
        refused("Message not found", "The channel 'general' has no message 3")
    );
    // After a restart the address is not known, but the role is, and can be taken by the message that named it.
    let mut bench = bench.restart();
    let (ann, zoe) = (bench.account("ann"), bench.guest(ZOE));
    assert!(bench.ask(zoe, &say("five")).contains("muted"));
    assert_eq!(bench.ask(ann, &settings("general", "")), listed);
    assert_eq!(bench.ask(ann, &role("general", &sender_of(1), "none")), set("none"));
    assert!(bench.ask(zoe, &say("six")).starts_with("OK"));
    let gone = "The address from which message 1 of 'general' came is not known any more";
    assert_eq!(bench.ask(ann, &role("general", &sender_of(1), "muted")), refused("Message not found", gone));
}

#[test]
fn a_role_ends_in_time_also_after_a_restart() {
    for restarts in [false, true] {
        let (mut bench, ann) = hosted_by_ann();
        let zoe = bench.guest(ZOE);
        bench.ask(ann, &seconds(&role("general", &at(ZOE), "banned"), 60));
        let until = Timestamp::from_unix(60);
        assert_eq!(stored(&bench, "address:192.0.2.7").and_then(|given| given.until), Some(until));
        let banned = not_allowed(&format!("This connection is banned from 'general' until {until}"));
        assert_eq!(bench.ask(zoe, &named("JOIN", "general")), banned);
        bench.pass(59);
        let (mut bench, zoe, ann) = match restarts {
            false => (bench, zoe, ann),
            true => {
                let mut bench = bench.restart();
                let (zoe, ann) = (bench.guest(ZOE), bench.account("ann"));
                (bench, zoe, ann)
            }
        };
        assert_eq!(bench.ask(zoe, &say("one")), banned);
        bench.pass(1);
        assert!(bench.ask(zoe, &say("two")).starts_with("OK"), "{restarts}");
        assert!(!bench.ask(ann, &settings("general", "")).contains("roles"));
        // What has ended leaves the store with the next role of the channel.
        assert!(stored(&bench, "address:192.0.2.7").is_some());
        bench.ask(ann, &role("general", BOB, "muted"));
        assert_eq!(stored(&bench, "address:192.0.2.7"), None);
        assert!(stored(&bench, "account:bob").is_some());
    }
}

#[test]
fn a_role_that_has_ended_can_be_given_again_and_a_later_one_replaces_it() {
    let (mut bench, ann) = hosted_by_ann();
    let zoe = bench.guest(ZOE);
    let mute = role("general", &at(ZOE), "muted");
    bench.ask(ann, &seconds(&mute, 10));
    bench.pass(5);
    // For longer, and then for good.
    bench.ask(ann, &seconds(&mute, 10));
    bench.pass(9);
    assert!(bench.ask(zoe, &say("one")).contains("muted"));
    bench.ask(ann, &mute);
    bench.pass(1000);
    assert!(bench.ask(zoe, &say("two")).contains("muted"));
    bench.ask(ann, &seconds(&mute, 10));
    bench.pass(10);
    assert!(bench.ask(zoe, &say("three")).starts_with("OK"));
    assert_eq!(bench.ask(ann, &seconds(&mute, 10)), set("muted"));
    assert!(bench.ask(zoe, &say("four")).contains("muted"));
}

#[test]
fn the_end_of_a_membership_ends_the_join() {
    let (mut bench, ann) = hosted_by_ann();
    let bob = bench.account("bob");
    bench.ask(ann, &settings("general", ", \"members_only\": true"));
    bench.ask(ann, &seconds(&role("general", BOB, "member"), 10));
    assert!(bench.ask(bob, &named("JOIN", "general")).starts_with("OK"));
    bench.pass(9);
    bench.ask(ann, &message("ann", "one", Some("general"), None));
    assert_eq!((pushed(&bench.received(bob)).len(), bench.ended(bob)), (1, None));
    bench.pass(1);
    assert!(bench.ended(bob).is_some());
    bench.ask(ann, &message("ann", "two", Some("general"), None));
    assert_eq!(bench.received(bob), "");
}

#[test]
fn the_one_whose_role_changes_is_notified_if_it_asked_for_notices() {
    let (mut bench, ann) = hosted_by_ann();
    let (bob, other) = (bench.account("bob"), bench.guest(ZOE));
    for reader in [bob, other] {
        bench.ask(reader, "HELLO\r\n{\"notices\": true}");
        bench.ask(reader, &named("JOIN", "general"));
    }
    bench.ask(ann, &seconds(&role("general", BOB, "muted"), 10));
    let notice = |rest: &str| format!("NOTICE\r\n{{\"notice\": \"role\", \"channel_name\": \"general\", {rest}}}");
    assert_eq!(bench.received(bob), notice("\"role\": \"muted\", \"until\": \"1970-01-01T00:00:10Z\""));
    assert_eq!(bench.received(other), "");
    bench.pass(10);
    assert!(bench.received(bob).contains(&notice("\"role\": \"none\"")));
}

#[test]
fn the_same_role_again_is_ok_and_stores_nothing() {
    let (mut bench, ann) = hosted_by_ann();
    let mute = role("general", BOB, "muted");
    bench.ask(ann, &mute);
    let commits = bench.disk.commits;
    assert_eq!(bench.ask(ann, &mute), set("muted"));
    assert_eq!(bench.ask(ann, &role("general", "\"account\": \"carl\"", "none")), set("none"));
    assert_eq!((bench.disk.commits, bench.acts.len()), (commits, 1));
}

#[test]
fn each_act_is_logged_with_the_one_who_did_it() {
    let (mut bench, ann) = hosted_by_ann();
    bench.ask(ann, &seconds(&role("general", BOB, "banned"), 60));
    let operator = bench.operator();
    bench.ask(operator, &role("general", BOB, "none"));
    // Nobody did what was refused.
    let bob = bench.account("bob");
    bench.ask(bob, &role("general", &at(ZOE), "banned"));
    let [ban, pardon] = &bench.acts[..] else { panic!("two acts: {:?}", bench.acts) };
    let subject = RoleSubject::Account("bob".parse().unwrap());
    let until = Some(Timestamp::from_unix(60));
    let given = GivenRole { role: Role::Banned, until, sender_of: None };
    assert_eq!(ban.kind, ActKind::RoleSet { subject: subject.clone(), role: Some(given) });
    assert_eq!((ban.account.as_deref(), ban.peer), (Some("ann"), Peer::Address("203.0.113.9".parse().unwrap())));
    assert_eq!(pardon.kind, ActKind::RoleSet { subject, role: None });
    assert_eq!((pardon.account.as_deref(), pardon.peer), (None, Peer::Operator));
}

#[test]
fn a_role_that_is_not_known_to_be_stored_is_read_back() {
    for (fate, is_kept) in [(Fate::Lost, false), (Fate::Denied, true), (Fate::Refused, false)] {
        let (mut bench, ann) = hosted_by_ann();
        let zoe = bench.guest(ZOE);
        bench.ask(zoe, &named("JOIN", "general"));
        bench.fate = fate;
        let answer = bench.ask(ann, &role("general", &at(ZOE), "banned"));
        assert!(answer.starts_with("SERVER_ERROR"), "{fate:?} {answer}");
        assert!(bench.acts.is_empty());
        assert_eq!(bench.ended(zoe).is_some(), is_kept, "{fate:?}");
        let again = bench.guest(ZOE);
        assert_eq!(bench.ask(again, &say("one")).contains("banned"), is_kept, "{fate:?}");
        // Asked for again, it holds.
        assert_eq!(bench.ask(ann, &role("general", &at(ZOE), "banned")), set("banned"), "{fate:?}");
        assert!(bench.ask(again, &say("two")).contains("banned"), "{fate:?}");
    }
}

#[test]
fn a_known_message_is_answered_also_to_one_who_is_muted_since() {
    let (mut bench, ann) = hosted_by_ann();
    let zoe = bench.guest(ZOE);
    let again = message("zoe", "hi", Some("general"), Some(1));
    let first = bench.ask(zoe, &again);
    bench.ask(ann, &role("general", &at(ZOE), "muted"));
    assert_eq!(bench.ask(zoe, &again), first);
    assert!(bench.ask(zoe, &message("zoe", "hi", Some("general"), Some(2))).contains("muted"));
}

#[test]
fn of_an_account_s_channel_roles_outlive_unhost_a_lease_and_a_restart() {
    let (mut bench, ann) = hosted_by_ann();
    bench.ask(ann, &role("general", &at(ZOE), "banned"));
    bench.ask(ann, &named("UNHOST", "general"));
    let mut bench = bench.restart();
    let ann = bench.account("ann");
    bench.ask(ann, &host("general").replace('}', ", \"lease\": 10}"));
    let zoe = bench.guest(ZOE);
    assert!(bench.ask(zoe, &say("one")).contains("banned"));
    bench.pass(10);
    bench.pass(60);
    assert!(!bench.ask(zoe, "LIST\r\n").contains("general"));
    bench.ask(ann, &host("general"));
    assert!(bench.ask(zoe, &say("two")).contains("banned"));
}

#[test]
fn of_an_address_s_channel_roles_end_with_its_entry_and_no_other_host_has_them() {
    let mut bench = Bench::new(hidden());
    let ada = bench.guest("198.51.100.1");
    let leased = host("general").replace('}', ", \"lease\": 10}");
    let ban = role("general", &at(ZOE), "banned");
    let zoe = bench.guest(ZOE);
    bench.ask(ada, &leased);
    assert_eq!(bench.ask(ada, &ban), set("banned"));
    // Its host comes back while the name is kept for it.
    bench.pass(10);
    bench.ask(ada, &leased);
    assert!(bench.ask(zoe, &say("one")).contains("banned"));
    // Then nobody does, and another takes the name.
    bench.pass(10);
    bench.pass(60);
    assert_eq!(bench.disk.moderation("general"), None);
    let eve = bench.guest("198.51.100.2");
    bench.ask(eve, &host("general"));
    assert!(bench.ask(zoe, &say("two")).starts_with("OK"));
    bench.ask(eve, &ban);
    bench.ask(eve, &named("UNHOST", "general"));
    assert_eq!(bench.disk.moderation("general"), None);
    let ada = bench.guest("198.51.100.1");
    bench.ask(ada, &host("general"));
    assert!(bench.ask(zoe, &say("three")).starts_with("OK"));
    // Claimed by an account, the channel keeps what it has.
    bench.ask(ada, &ban);
    bench.sign_in(ada, "ann");
    bench.ask(ada, &host("general"));
    bench.ask(ada, &named("UNHOST", "general"));
    bench.ask(ada, &host("general"));
    assert!(bench.ask(zoe, &say("four")).contains("banned"));
}

#[test]
fn a_channel_has_a_thousand_roles_at_most() {
    let (mut bench, ann) = hosted_by_ann();
    let numbered = |number: usize| format!("\"account\": \"user{number}\"");
    for number in 0..1000 {
        assert_eq!(bench.ask(ann, &role("general", &numbered(number), "muted")), set("muted"));
    }
    let limit = refused("Limit reached", "A channel has at most 1000 roles");
    assert_eq!(bench.ask(ann, &role("general", &numbered(1000), "muted")), limit);
    assert_eq!(bench.ask(ann, &role("general", &numbered(7), "banned")), set("banned"));
    assert_eq!(bench.ask(ann, &role("general", &numbered(7), "none")), set("none"));
    assert_eq!(bench.ask(ann, &role("general", &numbered(1000), "muted")), set("muted"));
    let all = bench.ask(ann, &settings("general", ""));
    assert_eq!((all.matches("user").count(), all.contains("\"user7\"")), (1000, false));
}

#[test]
fn all_channels_together_have_no_more_roles_than_the_limit() {
    let mut limits = chanwire_core::hub::HubLimits::default();
    limits.max_roles = 2;
    let mut bench = Bench::over(chanwire_tests::store::Disk::default(), hidden(), limits);
    let (ann, one, other) = (bench.account("ann"), bench.account("ann"), bench.account("ann"));
    for name in ["general", "other"] {
        bench.ask(ann, &host(name));
    }
    // Two at one time would be one too many.
    bench.ask(ann, &role("general", BOB, "muted"));
    bench.holds = true;
    bench.send(other, &say("first"));
    bench.send(ann, &role("general", "\"account\": \"carl\"", "muted"));
    bench.send(one, &role("other", BOB, "muted"));
    bench.holds = false;
    bench.settle();
    let mut answers = [ann, one].map(|who| bench.received(who));
    answers.sort();
    assert!(answers[0].starts_with("OK"), "{answers:?}");
    assert_eq!(answers[1], refused("Limit reached", "A server keeps at most 2 roles"));
}

#[test]
fn the_address_of_a_client_without_address_rights_restricts_it_and_gives_it_nothing() {
    let (mut bench, ann) = hosted_by_ann();
    let web = bench.without_rights(ZOE);
    bench.ask(web, &say("one"));
    bench.ask(ann, &role("general", &at(ZOE), "moderator"));
    assert!(bench.ask(web, &delete("general", 1)).contains("Not allowed"));
    assert_eq!(bench.ask(ann, &role("general", "\"sender_of\": 1", "muted")), set("muted"));
    assert!(bench.ask(web, &say("two")).contains("muted"));
}

//! SETTINGS: members only, slow mode, and who may change and see what.

use chanwire_core::{
    hub::{ActKind, RoleSubject},
    wire::ChannelSettings,
};
use chanwire_tests::store::Fate;

use super::{bench::pushed, *};

const MEMBERS: &str = ", \"members_only\": true";

fn shown(members_only: bool, slow_mode: u16) -> String {
    format!("OK\r\n{{\"channel_name\": \"general\", \"members_only\": {members_only}, \"slow_mode\": {slow_mode}}}")
}

fn not_allowed(details: &str) -> String {
    format!("REQUEST_ERROR\r\n{{\"error\": \"Not allowed\", \"details\": \"{details}\"}}")
}

fn slow(seconds: u32) -> String {
    format!(
        "REQUEST_ERROR\r\n{{\"error\": \"Slow mode\", \"details\": \"Wait {seconds} seconds before the next message in 'general'\"}}"
    )
}

fn say(user: &str, text: &str) -> String {
    message(user, text, Some("general"), None)
}

fn hosted_by_ann() -> (Bench, u64) {
    let mut bench = Bench::new(hidden());
    let ann = bench.account("ann");
    assert!(bench.ask(ann, &host("general")).starts_with("OK"));
    (bench, ann)
}

#[test]
fn whoever_sees_a_channel_is_shown_its_settings_and_moderators_its_roles() {
    let (mut bench, ann) = hosted_by_ann();
    let (zoe, bob) = (bench.guest("192.0.2.7"), bench.account("bob"));
    assert_eq!(bench.ask(zoe, &settings("general", "")), shown(false, 0));
    assert_eq!(bench.ask(ann, &settings("general", ", \"slow_mode\": 7")), shown(false, 7));
    assert_eq!(bench.ask(ann, &settings("general", MEMBERS)), shown(true, 7));
    assert_eq!(bench.ask(zoe, &settings("general", "")), shown(true, 7));
    bench.ask(ann, &role("general", "\"account\": \"bob\"", "moderator"));
    let with_roles = shown(true, 7).replace('}', ", \"roles\": [{\"account\": \"bob\", \"role\": \"moderator\"}]}");
    for (who, answer) in [(ann, &with_roles), (bob, &with_roles), (zoe, &shown(true, 7))] {
        assert_eq!(bench.ask(who, &settings("general", "")), *answer);
    }
    let missing = "REQUEST_ERROR\r\n{\"error\": \"Channel not found\", \"details\": \"The requested channel 'nope' does not exist\"}";
    for change in ["", MEMBERS] {
        assert_eq!(bench.ask(zoe, &settings("nope", change)), missing);
    }
    // Hidden ones are as if there were none.
    bench.ask(ann, &host("staff-x"));
    assert_eq!(bench.ask(zoe, &settings("staff-x", "")), missing.replace("nope", "staff-x"));
    assert_eq!(bench.ask(zoe, &role("staff-x", "\"account\": \"bob\"", "muted")), missing.replace("nope", "staff-x"));
}

#[test]
fn the_host_and_operators_change_settings_and_moderators_do_not() {
    let (mut bench, ann) = hosted_by_ann();
    let (bob, operator) = (bench.account("bob"), bench.operator());
    bench.ask(ann, &role("general", "\"account\": \"bob\"", "moderator"));
    let refused = not_allowed("Only the host of 'general' may change its settings");
    let guest = bench.guest("127.0.0.1");
    for who in [bob, guest] {
        assert_eq!(bench.ask(who, &settings("general", MEMBERS)), refused);
    }
    assert!(bench.ask(operator, &settings("general", MEMBERS)).starts_with("OK"));
    assert!(bench.ask(ann, &settings("general", ", \"members_only\": false")).contains("false"));
    let [_, closed, open] = &bench.acts[..] else { panic!("three acts: {:?}", bench.acts) };
    let kind = |members_only| ActKind::SettingsChanged(ChannelSettings { members_only, slow_mode: 0 });
    assert_eq!((&closed.kind, closed.account.as_deref()), (&kind(true), None));
    assert_eq!((&open.kind, open.account.as_deref()), (&kind(false), Some("ann")));
    // The same again stores nothing.
    let commits = bench.disk.commits;
    bench.ask(ann, &settings("general", ", \"members_only\": false"));
    assert_eq!((bench.disk.commits, bench.acts.len()), (commits, 3));
}

#[test]
fn where_only_members_may_the_others_neither_read_nor_write_from_then_on() {
    let (mut bench, ann) = hosted_by_ann();
    let (bob, zoe, root) = (bench.account("bob"), bench.guest("192.0.2.7"), bench.account("root"));
    bench.ask(ann, &role("general", "\"account\": \"bob\"", "member"));
    for reader in [bob, zoe, root] {
        assert!(bench.ask(reader, &named("JOIN", "general")).starts_with("OK"));
    }
    bench.ask(ann, &settings("general", MEMBERS));
    bench.ask(ann, &say("ann", "secret"));
    let received = [bob, zoe, root].map(|reader| pushed(&bench.received(reader)).len());
    assert_eq!((received, bench.ended(zoe).is_some()), ([1, 0, 1], true));
    let zoe = bench.guest("192.0.2.7");
    for command in ["JOIN", "HISTORY"] {
        assert_eq!(bench.ask(zoe, &named(command, "general")), not_allowed("Only members may read 'general'"));
    }
    assert_eq!(bench.ask(zoe, &say("zoe", "hi")), not_allowed("Only members may write to 'general'"));
    assert!(bench.ask(bob, &say("bob", "hi")).starts_with("OK"));
    // It is still on the list, and CHANNELS says what it is.
    assert!(bench.ask(zoe, "LIST\r\n").contains("general"));
    let row = "\"position\": 1, \"members_only\": true}";
    assert!(bench.ask(zoe, "CHANNELS\r\n{}").contains(row));
    assert!(bench.ask(bob, "CHANNELS\r\n{}").contains("\"last_id\": 2, \"members_only\": true}"));
    // Whoever is muted is no member any more.
    bench.ask(ann, &role("general", "\"account\": \"bob\"", "muted"));
    assert!(bench.ended(bob).is_some());
}

#[test]
fn only_a_channel_of_an_account_or_of_the_operator_can_be_for_members() {
    let mut bench = Bench::new(hidden());
    let guest = bench.guest("127.0.0.1");
    bench.ask(guest, &host("general"));
    let refused = not_allowed("The channel 'general' belongs to no account, so it cannot be for members only");
    let operator = bench.operator();
    for who in [guest, operator] {
        assert_eq!(bench.ask(who, &settings("general", MEMBERS)), refused);
    }
    assert_eq!(bench.ask(guest, &settings("general", ", \"members_only\": false")), shown(false, 0));
    assert_eq!(bench.ask(guest, &settings("general", ", \"slow_mode\": 5")), shown(false, 5));
}

#[test]
fn a_members_channel_that_is_off_the_list_is_opened_to_nobody() {
    let (mut bench, ann) = hosted_by_ann();
    bench.ask(ann, &settings("general", MEMBERS));
    bench.ask(ann, &say("ann", "secret"));
    bench.ask(ann, &named("UNHOST", "general"));
    let mut bench = bench.restart();
    let (bob, zoe) = (bench.account("bob"), bench.guest("127.0.0.1"));
    for who in [bob, zoe] {
        assert!(bench.ask(who, &host("general")).contains("Not allowed"));
    }
    // The operator who hosts it lets nobody in either.
    let operator = bench.operator();
    assert!(bench.ask(operator, &host("general")).starts_with("OK"));
    assert_eq!(bench.ask(bob, &named("HISTORY", "general")), not_allowed("Only members may read 'general'"));
    // It is nobody's once the operator has removed it, and only the operator's to host.
    assert!(bench.ask(operator, &named("UNHOST", "general")).starts_with("OK"));
    let mut bench = bench.restart();
    let (bob, zoe) = (bench.account("bob"), bench.guest("127.0.0.1"));
    for who in [bob, zoe] {
        assert!(bench.ask(who, &host("general")).contains("only the operator may host it"));
    }
}

#[test]
fn settings_and_roles_of_a_channel_that_the_operator_fixed_stay_stored() {
    let mut bench = Bench::new(hidden());
    let fixed = || bench::fixed("general");
    bench.hub.fix_channel(fixed());
    let operator = bench.operator();
    assert!(bench.ask(operator, &settings("general", MEMBERS)).starts_with("OK"));
    assert!(bench.ask(operator, &role("general", "\"account\": \"bob\"", "member")).starts_with("OK"));
    bench.ask(operator, &say("zoe", "secret"));
    let mut bench = bench.restart();
    // Not fixed any more, it is the operator's to host.
    let guest = bench.guest("127.0.0.1");
    let kept = not_allowed("The channel 'general' is for members only, and only the operator may host it");
    assert_eq!(bench.ask(guest, &host("general")), kept);
    bench.hub.fix_channel(fixed());
    let (bob, zoe) = (bench.account("bob"), bench.guest("192.0.2.7"));
    let shown = bench.ask(bob, &named("HISTORY", "general"));
    assert!(shown.contains("secret"), "{shown}");
    assert!(bench.ask(zoe, &named("HISTORY", "general")).contains("Only members"));
}

#[test]
fn a_guest_that_hosts_a_name_which_was_fixed_has_nothing_of_its_roles() {
    let mut bench = Bench::new(hidden());
    bench.hub.fix_channel(bench::fixed("general"));
    let operator = bench.operator();
    bench.ask(operator, &role("general", "\"account\": \"bob\"", "moderator"));
    bench.ask(operator, &settings("general", ", \"slow_mode\": 60"));
    let mut bench = bench.restart();
    let (guest, bob) = (bench.guest("192.0.2.7"), bench.account("bob"));
    assert!(bench.ask(guest, &host("general")).starts_with("OK"));
    assert_eq!(bench.ask(guest, &settings("general", "")), shown(false, 0));
    assert!(bench.ask(bob, &role("general", "\"account\": \"carl\"", "muted")).contains("Not allowed"));
    assert_eq!(bench.disk.moderation("general"), None);
}

#[test]
fn in_slow_mode_each_sender_waits_and_moderators_do_not() {
    let (mut bench, ann) = hosted_by_ann();
    bench.ask(ann, &settings("general", ", \"slow_mode\": 10"));
    let (zoe, eve, bob) = (bench.guest("192.0.2.7"), bench.guest("192.0.2.7"), bench.account("bob"));
    assert!(bench.ask(zoe, &say("zoe", "one")).starts_with("OK"));
    assert_eq!(bench.ask(zoe, &say("zoe", "two")), slow(10));
    // Others have timers of their own, whatever their address; an account has one under all names.
    assert!(bench.ask(eve, &say("eve", "three")).starts_with("OK"));
    assert!(bench.ask(bob, &say("bob", "four")).starts_with("OK"));
    assert_eq!(bench.ask(bob, &say("robert", "five")), slow(10));
    for text in ["six", "seven"] {
        assert!(bench.ask(ann, &say("ann", text)).starts_with("OK"));
    }
    bench.ask(ann, &role("general", "\"account\": \"bob\"", "moderator"));
    assert!(bench.ask(bob, &say("bob", "eight")).starts_with("OK"));
    bench.pass(4);
    assert_eq!(bench.ask(zoe, &say("zoe", "nine")), slow(6));
    bench.pass(6);
    assert!(bench.ask(zoe, &say("zoe", "ten")).starts_with("OK"));
    // A change holds at once.
    bench.ask(ann, &settings("general", ", \"slow_mode\": 0"));
    assert!(bench.ask(zoe, &say("zoe", "eleven")).starts_with("OK"));
}

#[test]
fn a_refused_message_keeps_no_key_and_says_when_to_come_back() {
    let (mut bench, ann) = hosted_by_ann();
    bench.ask(ann, &settings("general", ", \"slow_mode\": 10"));
    let zoe = bench.guest("192.0.2.7");
    let keyed = |text: &str, id| message("zoe", text, Some("general"), Some(id));
    let first = bench.ask(zoe, &keyed("one", 1));
    assert_eq!(bench.ask(zoe, &keyed("two", 2)), slow(10));
    // What is stored is answered all the same, and nothing of what was refused is known.
    assert_eq!(bench.ask(zoe, &keyed("one", 1)), first);
    bench.ask(zoe, "HELLO\r\n{}");
    bench.pass(9);
    let when = "REQUEST_ERROR\r\n{\"error\": \"Slow mode\", \"details\": \"Wait 1 second before the next message in 'general'\", \"retry_after\": 1}";
    assert_eq!(bench.ask(zoe, &keyed("other", 2)), when);
    bench.pass(1);
    assert!(bench.ask(zoe, &keyed("other", 2)).starts_with("OK"));
    assert_eq!(bench.contents("general"), ["one", "other"]);
}

#[test]
fn of_messages_that_come_together_one_is_stored_and_if_it_is_not_the_others_are_not_refused_for_it() {
    for (fate, answer) in [(Fate::Done, slow(10)), (Fate::Lost, "SERVER_ERROR".into())] {
        let (mut bench, ann) = hosted_by_ann();
        bench.ask(ann, &settings("general", ", \"slow_mode\": 10"));
        let zoe = bench.guest("192.0.2.7");
        bench.fate = fate;
        let answers = bench.ask(zoe, &[say("zoe", "one"), say("zoe", "two"), say("zoe", "three")].concat());
        assert_eq!(answers.matches(&answer).count(), if fate == Fate::Done { 2 } else { 3 }, "{answers}");
        assert_eq!(bench.contents("general").len(), usize::from(fate == Fate::Done));
        // Nothing was stored, so nothing is to be waited for.
        assert_eq!(bench.ask(zoe, &say("zoe", "four")).starts_with("OK"), fate == Fate::Lost);
    }
}

#[test]
fn subscribers_with_notices_are_told_of_new_settings() {
    let (mut bench, ann) = hosted_by_ann();
    let (told, other) = (bench.account("bob"), bench.account("bob"));
    bench.ask(told, "HELLO\r\n{\"notices\": true}");
    for reader in [told, other] {
        bench.ask(reader, &named("JOIN", "general"));
    }
    bench.ask(ann, &settings("general", ", \"slow_mode\": 5"));
    let notice = "NOTICE\r\n{\"notice\": \"settings\", \"channel_name\": \"general\", \"members_only\": false, \"slow_mode\": 5}";
    assert_eq!([told, other].map(|reader| bench.received(reader)), [notice, ""]);
}

#[test]
fn settings_that_are_not_known_to_be_stored_are_read_back() {
    for (fate, is_kept) in [(Fate::Lost, false), (Fate::Denied, true), (Fate::Refused, false)] {
        let (mut bench, ann) = hosted_by_ann();
        let zoe = bench.guest("192.0.2.7");
        bench.ask(zoe, &named("JOIN", "general"));
        bench.fate = fate;
        assert!(bench.ask(ann, &settings("general", MEMBERS)).starts_with("SERVER_ERROR"));
        assert_eq!(bench.ended(zoe).is_some(), is_kept, "{fate:?}");
        assert_eq!(bench.ask(ann, &settings("general", "")), shown(is_kept, 0));
        let mut bench = bench.restart();
        let ann = bench.account("ann");
        assert_eq!(bench.ask(ann, &settings("general", "")), shown(is_kept, 0));
    }
}

#[test]
fn a_subject_is_stored_as_text_that_reads_back() {
    for text in ["account:bob", "address:192.0.2.7", "address:2001:db8::"] {
        assert_eq!(RoleSubject::from_stored(text).unwrap().to_string(), text);
    }
    for text in ["", "bob", "account:", "account:Bob", "address:bob", "guest:bob"] {
        assert_eq!(RoleSubject::from_stored(text), None, "{text}");
    }
}

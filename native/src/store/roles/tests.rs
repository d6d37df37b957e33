use std::path::Path;

use chanwire_core::{
    hub::{ChannelRecord, Write},
    wire::{AccountName, Address, Channel, Role, StoredMessage},
};

use super::*;
use crate::store::{CommitError, SqliteStore, Store as _, back_up, restore, rows, schema};

fn named(name: &str) -> ChannelName {
    name.parse().unwrap()
}

fn put(name: &str, position: u64, account: Option<&str>) -> Write {
    Write::PutChannel(ChannelRecord {
        channel: Channel { channel_name: named(name), address: Address::new("192.0.2.7", 22240).unwrap() },
        registered_from: Some([192, 0, 2, 8].into()),
        position,
        lease: None,
        account: account.map(|account| account.parse::<AccountName>().unwrap()),
    })
}

fn bob() -> RoleSubject {
    RoleSubject::Account("bob".parse().unwrap())
}

fn zoe() -> RoleSubject {
    RoleSubject::Address([192, 0, 2, 7].into())
}

fn given(role: Role, until: Option<i64>, sender_of: Option<u64>) -> GivenRole {
    GivenRole { role, until: until.map(Timestamp::from_unix), sender_of }
}

fn set_role(name: &str, subject: RoleSubject, role: Option<GivenRole>) -> Write {
    Write::SetRole { channel_name: named(name), subject, role }
}

fn set_settings(name: &str, members_only: bool, slow_mode: u16) -> Write {
    Write::SetSettings { channel_name: named(name), settings: ChannelSettings { members_only, slow_mode } }
}

/// Returns what is stored of the roles and settings of all names.
fn stored(store: &mut SqliteStore) -> Vec<ModerationRecord> {
    let mut found = store.load().unwrap().moderation;
    found.sort_by(|one, other| one.channel_name.cmp(&other.channel_name));
    found.iter_mut().for_each(|record| record.roles.sort_by(|(one, _), (other, _)| one.cmp(other)));
    found
}

/// A store with roles and settings of two channels, of which one has neither messages nor an account.
fn moderated(directory: &Path) -> (SqliteStore, Vec<ModerationRecord>) {
    let mut store = SqliteStore::open(directory).unwrap();
    let (banned, muted) = (given(Role::Banned, Some(1_698_937_472), None), given(Role::Muted, None, Some(41)));
    let first = [
        put("a", 1, Some("ann")),
        put("b", 2, None),
        put("c", 3, None),
        set_role("a", bob(), Some(given(Role::Moderator, None, None))),
        set_settings("a", true, 0),
        set_role("b", zoe(), Some(muted)),
    ];
    store.commit(&first).unwrap();
    store.commit(&[set_role("a", bob(), Some(banned)), set_settings("a", true, 3600)]).unwrap();
    let record =
        |name, settings, roles: &[_]| ModerationRecord { channel_name: named(name), settings, roles: roles.into() };
    let settings = ChannelSettings { members_only: true, slow_mode: 3600 };
    let expected =
        vec![record("a", settings, &[(bob(), banned)]), record("b", ChannelSettings::default(), &[(zoe(), muted)])];
    (store, expected)
}

#[test]
fn roles_and_settings_are_there_after_a_restart_and_in_a_backup() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, expected) = moderated(directory.path());
    assert_eq!(stored(&mut store), expected);
    assert_eq!(store.load_names(&[named("b"), named("c")]).unwrap().moderation, expected[1..]);
    drop(store);
    assert_eq!(stored(&mut SqliteStore::open(directory.path()).unwrap()), expected);
    let (copy, other) = (directory.path().join("copy.db"), tempfile::tempdir().unwrap());
    back_up(directory.path(), &copy, |_, _| {}).unwrap();
    restore(&copy, other.path(), |_, _| {}).unwrap();
    assert_eq!(stored(&mut SqliteStore::open(other.path()).unwrap()), expected);
}

#[test]
fn a_name_without_roles_and_settings_has_no_record() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, expected) = moderated(directory.path());
    store.commit(&[set_role("a", bob(), None), set_settings("a", false, 0)]).unwrap();
    assert_eq!(stored(&mut store), expected[1..]);
    // Those of a channel that is removed go with it, in one commit.
    store.commit(&[Write::DropModeration(named("b")), Write::RemoveChannel(named("b"))]).unwrap();
    store.commit(&[Write::DropModeration(named("c"))]).unwrap();
    assert_eq!(stored(&mut store), []);
    let other = schema::connect(&directory.path().join("chanwire.db")).unwrap();
    let logs = || other.query_row("SELECT count(*) FROM logs WHERE name IN ('b', 'c')", [], |row| row.get(0));
    assert_eq!(logs(), Ok(0));
    // A log that a name has for its roles alone is dropped like others, with them.
    store.commit(&[set_role("b", zoe(), Some(given(Role::Muted, None, None))), set_settings("b", false, 5)]).unwrap();
    store.commit(&[Write::DropName(named("b"))]).unwrap();
    assert_eq!(stored(&mut store), []);
    let rows = "SELECT (SELECT count(*) FROM roles), (SELECT count(*) FROM logs WHERE name = 'b')";
    assert_eq!(other.query_row(rows, [], |row| Ok((row.get(0)?, row.get(1)?))), Ok((0, 0)));
}

#[test]
fn one_commit_may_drop_what_a_name_had_and_give_it_to_another_host() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, expected) = moderated(directory.path());
    let writes = [Write::DropModeration(named("b")), put("b", 2, Some("ann")), put("a", 1, Some("ann"))];
    store.commit(&writes).unwrap();
    assert_eq!(stored(&mut store), expected[..1]);
}

#[test]
fn messages_and_the_account_of_a_name_leave_its_settings_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, expected) = moderated(directory.path());
    let message =
        |id| StoredMessage::new(named("a"), id, "user".parse().unwrap(), "hi".into(), Timestamp::from_unix(7));
    store.commit(&[message(1).into(), put("a", 1, None), message(2).into()]).unwrap();
    store.commit(&[Write::RemoveChannel(named("a"))]).unwrap();
    assert_eq!(stored(&mut store), expected);
}

/// Every change of a text that differs in one bit and is text.
fn flips(text: &str) -> impl Iterator<Item = String> {
    (0..text.len() * 8).filter_map(move |at| {
        let mut bytes = text.to_owned().into_bytes();
        bytes[at / 8] ^= 1 << (at % 8);
        String::from_utf8(bytes).ok()
    })
}

#[test]
fn no_single_bit_of_a_role_or_setting_changes_unnoticed_and_its_channel_alone_is_kept_apart() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, expected) = moderated(directory.path());
    let other = schema::connect(&directory.path().join("chanwire.db")).unwrap();
    let numbers = |column: &str, number: i64| -> Vec<String> {
        (0..63).map(|bit| format!("{column} = {}", number ^ 1 << bit)).collect()
    };
    let texts = |column: &str, text: &str| -> Vec<String> {
        flips(text).map(|text| format!("{column} = '{}'", text.replace('\'', "''"))).collect()
    };
    let checksum: i64 = other.query_row("SELECT checksum FROM roles WHERE log = 1", [], |row| row.get(0)).unwrap();
    let mut of_role = numbers("until", 1_698_937_472);
    of_role.extend(numbers("checksum", checksum));
    of_role.extend(["until = NULL", "sender_of = 1", "sender_of = -1", "role = 'muted'", "log = 3"].map(Into::into));
    of_role.extend(texts("role", "banned"));
    of_role.extend(texts("subject", "account:bob"));
    let mut of_log = numbers("slow_mode", 3600);
    of_log.extend(["members_only = 0", "members_only = 2", "slow_mode = 0"].map(Into::into));
    let save =
        "CREATE TEMP TABLE saved_roles AS SELECT * FROM roles; CREATE TEMP TABLE saved_logs AS SELECT * FROM logs";
    other.execute_batch(save).unwrap();
    for (table, changes) in [("roles", of_role), ("logs", of_log)] {
        for change in changes {
            other.execute_batch(&format!("UPDATE OR REPLACE {table} SET {change} WHERE log = 1")).unwrap();
            let found = store.load().unwrap();
            let is_apart = found.damaged.iter().any(|damaged| damaged.channel_name == Some(named("a")));
            // No name has that log.
            let is_gone = change == "log = 3";
            assert!(is_apart || is_gone, "{change}");
            assert!(found.moderation.iter().all(|record| record.channel_name != named("a")) || is_gone, "{change}");
            assert!(found.channels.iter().any(|record| record.channel.channel_name == named("b")), "{change}");
            assert!(found.moderation.contains(&expected[1]), "{change}");
            let some = store.load_names(&[named("a")]).unwrap();
            assert_eq!(some.damaged.len(), usize::from(!is_gone), "{change}");
            assert!(is_gone || rows::verify(&other).is_err(), "{change}");
            let back = format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM saved_{table}");
            other.execute_batch(&back).unwrap();
        }
    }
    assert_eq!(stored(&mut store), expected);
}

#[test]
fn a_commit_that_fails_leaves_roles_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, expected) = moderated(directory.path());
    let lock = schema::connect(&directory.path().join("chanwire.db")).unwrap();
    lock.execute_batch("CREATE TRIGGER fail BEFORE DELETE ON roles BEGIN SELECT RAISE(ABORT, 'no'); END").unwrap();
    let writes = [set_settings("a", false, 1), set_role("a", bob(), None)];
    assert!(matches!(store.commit(&writes), Err(CommitError::Failed(_))));
    lock.execute_batch("DROP TRIGGER fail").unwrap();
    assert_eq!(stored(&mut store), expected);
}

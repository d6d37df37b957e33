use std::{collections::HashSet, thread};

use chanwire_core::{
    hub::Write,
    wire::{StoredMessage, Timestamp},
};

use super::*;
use crate::store::{Retention, SendRetention, SqliteStore, Store as _, schema, start_trimmer};

const NOW: i64 = 1_698_937_472;

/// Pseudorandom numbers and texts.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// Returns a text of 1 to 60,000 bytes; each order of magnitude is as frequent as the others.
    fn text(&mut self) -> String {
        let most = [10, 100, 1000, 10_000, 60_000][self.below(5)];
        let length = 1 + self.below(most);
        (0..length)
            .map(|_| char::from(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[self.below(62)]))
            .collect()
    }
}

fn message(channel_name: &str, id: u64, text: &str) -> StoredMessage {
    let (name, at) = (channel_name.parse().unwrap(), Timestamp::from_unix(NOW));
    StoredMessage::new(name, id, "ann".parse().unwrap(), text.into(), at)
}

/// Deletes a message. The record has the other id.
fn delete(channel_name: &str, id: u64, record: u64) -> Write {
    let (name, at) = (channel_name.parse().unwrap(), Timestamp::from_unix(NOW));
    let record = StoredMessage::record(name, record, "host".parse().unwrap(), id, at);
    Write::Delete { tombstone: message(channel_name, id, "x").tombstone(), record }
}

/// Finds a part of one of these texts, of 11 bytes or more, in a file of a directory.
fn remains<'t>(directory: &Path, texts: impl IntoIterator<Item = &'t String>) -> Option<String> {
    let parts: HashSet<[u8; 8]> =
        texts.into_iter().flat_map(|text| text.as_bytes().windows(8)).map(|part| part.try_into().unwrap()).collect();
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).find_map(|path| {
        let bytes = fs::read(&path).unwrap();
        let at = bytes.windows(8).step_by(4).position(|part| parts.contains(part))? * 4;
        Some(format!("{} at {at}: {:?}", path.display(), String::from_utf8_lossy(&bytes[at..at + 8])))
    })
}

fn wait_until(mut is_met: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_met() {
        assert!(Instant::now() < end, "it does not come");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Sends messages to some channels and deletes some of them, while retention drops others, in a database with three
/// messages of the channel "general". Returns the deleted texts.
fn use_store(store: &mut SqliteStore, seed: u64, general: &[String]) -> Vec<String> {
    const NAMES: [&str; 5] = ["a", "b", "c", "d", "general"];
    let sends = SendRetention { window: Duration::MAX, max_keys: usize::MAX };
    let retention = Retention { count: Some(300), age: None, bytes: None, sends };
    let trimmer = start_trimmer(store.trimmer(retention).unwrap(), |_, _| {}).unwrap();
    let mut random = Random(seed);
    let mut last = [0, 0, 0, 0, general.len() as u64];
    let mut stored: Vec<(usize, u64, String)> =
        general.iter().zip(1..).map(|(text, id)| (4, id, text.clone())).collect();
    let mut deleted = Vec::new();
    let mut messages = 0;
    while messages < 2000 {
        let mut writes = Vec::new();
        if random.below(4) == 0 && !stored.is_empty() {
            for _ in 0..=random.below(4).min(stored.len() - 1) {
                let (channel, id, text) = stored.swap_remove(random.below(stored.len()));
                last[channel] += 1;
                writes.push(delete(NAMES[channel], id, last[channel]));
                deleted.push(text);
            }
        } else {
            for _ in 0..=random.below(12) {
                let (channel, text) = (random.below(5), random.text());
                last[channel] += 1;
                writes.push(Write::from(message(NAMES[channel], last[channel], &text)));
                stored.push((channel, last[channel], text));
                messages += 1;
            }
        }
        store.commit(&writes).unwrap();
    }
    trimmer.close();
    // The last of those that are sure to be kept.
    let kept = stored.iter().filter(|(channel, id, _)| *id == last[*channel]).map(|(_, _, text)| text);
    let kept: Vec<&String> = kept.filter(|text| text.len() > 20).collect();
    let directory = store.deletions.marker.parent().unwrap();
    assert!(kept.is_empty() || remains(directory, kept).is_some());
    deleted
}

#[test]
fn no_part_of_a_deleted_text_is_in_a_file_of_a_closed_store() {
    for seed in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::open(directory.path()).unwrap();
        // No two texts share a part, since one may be deleted and the other kept.
        let general = [11, 12, 13].map(|seed| Random(seed).text());
        let writes = general.iter().zip(1..).map(|(text, id)| Write::from(message("general", id, text)));
        store.commit(&writes.collect::<Vec<_>>()).unwrap();
        let deleted = use_store(&mut store, seed, &general);
        assert!(deleted.len() > 100, "{}", deleted.len());
        drop(store);
        assert_eq!(remains(directory.path(), &deleted), None, "seed {seed}");
        assert!(!directory.path().join(MARKER).exists());
        // The pages are sound, and so is every row.
        let connection = schema::connect(&directory.path().join(schema::DATABASE)).unwrap();
        assert_eq!(schema::fault(&connection, None).unwrap(), None);
        crate::store::rows::verify(&connection).unwrap();
    }
}

#[test]
fn no_part_of_a_deleted_text_is_in_a_file_of_a_migrated_store() {
    let directory = tempfile::tempdir().unwrap();
    let general = [1, 2, 3].map(|seed| Random(seed).text().repeat(20));
    let older = Connection::open(directory.path().join(schema::DATABASE)).unwrap();
    older.execute_batch(include_str!("../schema/fixtures/version_4.sql")).unwrap();
    for (text, id) in general.iter().zip(1..) {
        let sql = "UPDATE messages SET content = ?1
            WHERE place = ?2 | (SELECT log << 38 FROM logs WHERE name = 'general')";
        assert_eq!(older.execute(sql, (text, id)).unwrap(), 1);
    }
    drop(older);
    let mut store = SqliteStore::open(directory.path()).unwrap();
    let mut deleted = use_store(&mut store, 7, &general);
    store.commit(&[Write::from(message("more", 1, "the last one to be deleted"))]).unwrap();
    store.commit(&[delete("more", 1, 2)]).unwrap();
    deleted.push("the last one to be deleted".into());
    drop(store);
    assert_eq!(remains(directory.path(), &deleted), None);
}

/// A store with three messages in its database's own file, of which the second is deleted.
fn with_deletion(directory: &Path) -> (SqliteStore, Vec<String>) {
    let mut store = SqliteStore::open(directory).unwrap();
    let texts = ["one text".repeat(9), "another text".repeat(999), "the third text".repeat(9)];
    store.commit(&texts.iter().zip(1..).map(|(text, id)| message("a", id, text).into()).collect::<Vec<_>>()).unwrap();
    drop(store);
    let mut store = SqliteStore::open(directory).unwrap();
    assert!(!directory.join(MARKER).exists());
    store.commit(&[delete("a", 2, 4)]).unwrap();
    assert!(directory.join(MARKER).exists());
    assert!(remains(directory, [&texts[1]]).is_some());
    (store, [texts[1].clone()].into())
}

#[test]
fn texts_are_erased_while_the_store_is_used_and_the_others_stay() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, deleted) = with_deletion(directory.path());
    store.deletions.hurry();
    let mut next = 5..;
    wait_until(|| {
        let id = next.next().unwrap();
        store.commit(&[Write::from(message("a", id, "more"))]).unwrap();
        !directory.path().join(MARKER).exists()
    });
    assert_eq!(remains(directory.path(), &deleted), None);
    let kept = "one text".repeat(9);
    assert!(remains(directory.path(), [&kept]).is_some());
    // So are those that are deleted later.
    store.commit(&[delete("a", 1, next.next().unwrap())]).unwrap();
    assert!(directory.path().join(MARKER).exists());
    wait_until(|| !directory.path().join(MARKER).exists());
    assert_eq!(remains(directory.path(), [&kept]), None);
    assert_eq!(store.status().failures(Operation::Erasure), 0);
}

#[test]
fn a_reader_that_keeps_the_wal_is_reported_after_a_while_and_texts_are_erased_when_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, deleted) = with_deletion(directory.path());
    let reader = Connection::open(directory.path().join(schema::DATABASE)).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    store.commit(&[Write::from(message("a", 5, "more"))]).unwrap();
    store.deletions.pending().erase_within = Duration::ZERO;
    store.deletions.hurry();
    wait_until(|| store.status().failures(Operation::Erasure) > 1);
    assert!(directory.path().join(MARKER).exists());
    // Commits go on meanwhile, and nothing else fails.
    store.commit(&[Write::from(message("a", 6, "more"))]).unwrap();
    assert_eq!(store.status().fault(), None);
    drop(reader);
    wait_until(|| !directory.path().join(MARKER).exists());
    assert_eq!(remains(directory.path(), &deleted), None);
}

#[test]
fn a_start_erases_what_a_killed_server_has_left() {
    let (directory, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, deleted) = with_deletion(directory.path());
    for entry in fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        // The shared memory is made anew.
        if !path.to_string_lossy().ends_with("-shm") {
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    drop(store);
    assert!(remains(copy.path(), &deleted).is_some());
    let store = SqliteStore::open(copy.path()).unwrap();
    store.deletions.hurry();
    wait_until(|| !copy.path().join(MARKER).exists());
    assert_eq!(remains(copy.path(), &deleted), None);
}

#[test]
fn a_deletion_whose_directory_cannot_be_marked_is_not_committed() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(directory.path()).unwrap();
    store.commit(&[Write::from(message("a", 1, "some text"))]).unwrap();
    store.deletions = Arc::new(Deletions::open_at("/dev/null/nothing".into()));
    store.commit(&[delete("a", 1, 2)]).unwrap_err();
    store.commit(&[Write::from(message("a", 2, "more"))]).unwrap();
}

//! `chanwire restore`.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use chanwire_tests::process::{Launch, wait_for};
use tempfile::tempdir;

use crate::{host_general, message, serve, stored};

fn command(name: &str, data_dir: &Path, file: &Path) -> Launch {
    Launch::new([name, "--data-dir"]).arg(data_dir).arg(file)
}

#[test]
fn restore_needs_a_stopped_server_and_keeps_the_old_database() {
    let parent = tempdir().unwrap();
    let (data, backup) = (parent.path().join("data"), parent.path().join("some.db"));
    let server = serve(&data).start();
    host_general(&server);
    let mut peer = server.connect();
    assert!(peer.ask(message("u", "1")).is_ok());
    assert_eq!(command("backup", &data, &backup).run().code, Some(0));
    assert!(peer.ask(message("u", "2")).is_ok());

    let refused = command("restore", &data, &backup).run();
    assert!(refused.refusal(1).contains(&format!("is in use by another chanwire process (pid {})", server.id())));
    assert!(peer.ask(message("u", "3")).is_ok());
    server.kill();

    let restored = command("restore", &data, &backup).run();
    assert_eq!((restored.code, restored.stderr.as_str()), (Some(0), ""), "{restored:?}");
    let says = format!("restored {} to {}: 1 messages, 1 listed channels", backup.display(), data.display());
    assert!(restored.stdout.starts_with(&says), "{restored:?}");
    assert!(restored.stdout.contains("must be hosted again"), "{restored:?}");
    let kept = restored.stdout.lines().find_map(|line| line.strip_prefix("the database that was there is kept as "));
    let kept = Path::new(kept.unwrap());
    for file in [kept, &data.join("chanwire.db")] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }

    // The channel is listed as it was, and the ids go on after the backup's last.
    let server = serve(&data).start();
    let mut peer = server.connect();
    wait_for("the restored channel", || peer.ask("LIST\r\n").raw.contains("general").then_some(()));
    assert!(peer.ask(message("u", "goes on")).is_ok());
    server.stop();
    let said = |data_dir: &Path| stored::general(data_dir).into_iter().map(|(id, _, text)| (id, text));
    assert!(said(&data).eq([(1, "1".into()), (2, "goes on".into())]));
    // It is read under the name that a database has.
    let old_data = parent.path().join("old_data");
    fs::create_dir(&old_data).unwrap();
    fs::rename(kept, old_data.join("chanwire.db")).unwrap();
    fs::rename(format!("{}-wal", kept.display()), old_data.join("chanwire.db-wal")).unwrap();
    assert!(said(&old_data).eq([(1, "1".into()), (2, "2".into()), (3, "3".into())]));
}

#[test]
fn restore_refuses_a_file_that_is_no_backup_and_keeps_the_database() {
    let parent = tempdir().unwrap();
    let (data, file) = (parent.path().join("data"), parent.path().join("file"));
    let server = serve(&data).start();
    host_general(&server);
    assert!(server.connect().ask(message("u", "1")).is_ok());
    server.stop();
    fs::write(&file, "notes").unwrap();
    let refused = command("restore", &data, &file).run();
    assert!(refused.refusal(1).contains("is not a database, and was left as it is"), "{refused:?}");
    assert_eq!(stored::general(&data).len(), 1);
}

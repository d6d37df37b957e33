use std::{cell::Cell, fs, path::Path};

use tempfile::tempdir;

use super::*;

fn reloader(file: &Path) -> Reloader {
    let sources = Sources { file: Some(file.into()), variables: Vec::new(), flags: Vec::new() };
    let in_force = sources.read().checked().unwrap().0;
    Reloader::new(sources, in_force, Arc::default())
}

fn joins(reloader: &mut Reloader) -> Option<usize> {
    reload(reloader, &LastReload::new(Timestamp::default()))
}

fn reload(reloader: &mut Reloader, last: &LastReload) -> Option<usize> {
    let applied = Cell::new(None);
    reloader.reload(last, |config| applied.set(Some(config.hub_limits.max_joins)));
    applied.get()
}

#[test]
fn a_change_is_reported_once_if_it_is_live_and_each_time_if_it_needs_a_restart() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("chanwire.toml");
    fs::write(&file, "[limits]\nmax_joins = 50\n[store]\ndata_dir = '/a'\n").unwrap();
    let mut reloader = reloader(&file);
    assert_eq!(reloader.read().unwrap().unwrap().changes, []);
    fs::write(&file, "[limits]\nmax_joins = 100\n[store]\ndata_dir = '/b'\n").unwrap();
    let change = |path, from: &str, to: &str, applied| Change { path, from: from.into(), to: to.into(), applied };
    let live = change("limits.max_joins", "50", "100", Applied::Live);
    let restart = change("store.data_dir", "/a", "/b", Applied::Restart);
    assert_eq!(reloader.read().unwrap().unwrap().changes, [restart, live]);
    assert_eq!(joins(&mut reloader), Some(100));
    assert_eq!(reloader.read().unwrap().unwrap().changes, [change("store.data_dir", "/a", "/b", Applied::Restart)]);
    // The value is equal in another unit and at another place.
    fs::write(&file, "[store]\ndata_dir = '/a'\nretain_bytes = '1024M'\n[limits]\n\nmax_joins = 0x64\n").unwrap();
    assert_eq!(reloader.read().unwrap().unwrap().changes, []);
}

#[test]
fn nothing_is_applied_if_anything_is_wrong() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("chanwire.toml");
    fs::write(&file, "[limits]\nmax_joins = 50\n").unwrap();
    let mut reloader = reloader(&file);
    for wrong in [
        "",
        "[limits]\nmax_joins = 7\nmax_na",
        "[limits]\nmax_joins = 7\nmax_names = 0\n",
        "[limits]\nmax_joins = 7\n[http",
    ] {
        fs::write(&file, wrong).unwrap();
        assert_eq!(joins(&mut reloader), None, "{wrong}");
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(joins(&mut reloader), None);
    fs::write(&file, "[limits]\nmax_joins = 7\n").unwrap();
    assert_eq!(joins(&mut reloader), Some(7));
}

#[test]
fn flags_and_variables_stay_in_force() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("chanwire.toml");
    fs::write(&file, "[limits]\nmax_joins = 50\n").unwrap();
    let variables = vec![("CHANWIRE_LIMITS_MAX_JOINS".into(), "60".into())];
    let sources = Sources { file: Some(file.clone()), variables, flags: Vec::new() };
    let in_force = sources.read().checked().unwrap().0;
    let mut reloader = Reloader::new(sources, in_force, Arc::default());
    fs::write(&file, "[limits]\nmax_joins = 70\n").unwrap();
    assert_eq!(reloader.read().unwrap().unwrap().changes, []);
    assert_eq!(joins(&mut reloader), Some(60));
}

#[test]
fn the_last_reload_is_told_with_the_time_of_the_last_one_that_succeeded() {
    let directory = tempdir().unwrap();
    let file = directory.path().join("chanwire.toml");
    let text = "[limits]\nmax_joins = 50\n";
    fs::write(&file, text).unwrap();
    let mut reloader = reloader(&file);
    let started_at = Timestamp::from_unix(1);
    let last = LastReload::new(started_at);
    let at_start = Reloaded { is_successful: true, succeeded_at: started_at };
    assert_eq!(last.get(), at_start);
    fs::write(&file, "[limits]\nmax_joins = no\n").unwrap();
    reload(&mut reloader, &last);
    assert_eq!(last.get(), Reloaded { is_successful: false, ..at_start });
    // Nothing changed, but the fault is mended.
    fs::write(&file, text).unwrap();
    let before = wall_time();
    reload(&mut reloader, &last);
    let Reloaded { is_successful, succeeded_at } = last.get();
    assert!(is_successful && succeeded_at >= before, "{succeeded_at}");
    // Without a file there is nothing to reload, and nothing fails.
    let sources = crate::config::Sources { file: None, variables: Vec::new(), flags: Vec::new() };
    let in_force = sources.read().checked().unwrap().0;
    let last = LastReload::new(started_at);
    reload(&mut Reloader::new(sources, in_force, Arc::default()), &last);
    assert_eq!(last.get(), at_start);
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

#[test]
fn accounts_are_read_again_with_the_settings_and_all_or_nothing_is_applied() {
    let directory = tempdir().unwrap();
    let (file, accounts) = (directory.path().join("chanwire.toml"), directory.path().join(NAME));
    let settings = |read: &str| {
        let data_dir = directory.path().display();
        format!("[store]\ndata_dir = '{data_dir}'\n[[auth.rule]]\nchannels = 'x'\nread = ['{read}']\n")
    };
    fs::write(&file, settings("ann")).unwrap();
    let mut reloader = reloader(&file);
    let last = LastReload::new(Timestamp::default());
    let mut names = |last: &LastReload| {
        let applied = Cell::new(None);
        reloader.reload(last, |config| {
            let names = config.accounts.keys().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            applied.set(Some((names, config.limits.accounts, config.rights().rules.len())));
        });
        applied.take()
    };
    assert_eq!(names(&last), Some((String::new(), false, 1)));
    write_private(&accounts, "[ann]\n[bob]\n");
    assert_eq!(names(&last), Some(("ann bob".into(), true, 1)));
    for wrong in ["[ann]\n[Bob]\n", "[ann", "[ann]\npassword = 'secret'\n"] {
        write_private(&accounts, wrong);
        assert_eq!(names(&last), None, "{wrong}");
        assert!(!last.get().is_successful);
    }
    fs::remove_file(&accounts).unwrap();
    assert_eq!(names(&last), None, "a missing file");
    // A rule for an account that is removed does not keep it.
    write_private(&accounts, "[bob]\n");
    assert_eq!(names(&last), Some(("bob".into(), true, 1)));
    write_private(&accounts, "");
    assert_eq!(names(&last), Some((String::new(), false, 1)));
    fs::write(&file, settings("Ann")).unwrap();
    assert_eq!(names(&last), None, "a fault of the settings");
}

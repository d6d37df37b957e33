//! `chanwire account`: the file of accounts, changed by commands.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use chanwire_tests::process::{Finished, Launch};
use serde_json::{Value, json};
use tempfile::tempdir;

const PASSWORD: &str = "correct horse battery";

/// Runs `chanwire account`, with a password as standard input.
fn account(data_dir: &Path, arguments: &[&str]) -> Finished {
    let launch = Launch::new(["account"]).args(arguments).arg("--data-dir").arg(data_dir);
    launch.input(format!("{PASSWORD}\n").as_bytes()).run()
}

fn done(data_dir: &Path, arguments: &[&str]) -> Finished {
    let finished = account(data_dir, arguments);
    assert_eq!(finished.code, Some(0), "{arguments:?}: {finished:?}");
    finished
}

fn text(data_dir: &Path) -> String {
    fs::read_to_string(data_dir.join("accounts.toml")).unwrap()
}

fn objects(finished: &Finished) -> Vec<Value> {
    finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn accounts_are_added_listed_changed_and_removed() {
    let parent = tempdir().unwrap();
    let data = parent.path().join("data");
    let added =
        done(&data, &["add", "ann", "--group", "staff", "--group", "night", "--operator", "--password-file", "-"]);
    let path = data.join("accounts.toml");
    assert_eq!(added.stdout, format!("added the account 'ann' in {}\n", path.display()));
    assert!(added.stderr.contains("SIGHUP") && added.stderr.contains("systemctl reload"), "{added:?}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data), mode(&path)), (0o700, 0o600));
    assert!(text(&data).contains("$argon2id$v=19$m=19456,t=2,p=1$") && !text(&data).contains(PASSWORD));
    done(&data, &["add", "bot", "--no-password"]);

    let listed = done(&data, &["list"]);
    assert_eq!(listed.stdout, "ann  operator, @night, @staff, password\nbot  no password\n");
    let ann = json!({"account": "ann", "operator": true, "groups": ["night", "staff"], "password": true, "tokens": []});
    assert_eq!(objects(&done(&data, &["list", "--json"]))[0], ann);

    let before = text(&data);
    let again = done(&data, &["passwd", "ann", "--password-file", "-"]);
    assert!(again.stderr.contains("the password is the one that it has already"), "{again:?}");
    assert_ne!(text(&data), before, "a new salt");

    done(&data, &["remove", "ann"]);
    assert_eq!(done(&data, &["list"]).stdout, "bot  no password\n");
    done(&data, &["remove", "bot"]);
    assert_eq!(done(&data, &["list"]).stdout, "no accounts\n");
    assert_eq!(text(&data), "");
}

#[test]
fn a_token_is_shown_once_and_kept_as_a_hash() {
    let data = tempdir().unwrap();
    let data = data.path();
    done(data, &["add", "bot", "--no-password"]);
    let made = done(data, &["token", "new", "bot", "laptop", "--expires", "2999-01-01T00:00:00Z"]);
    let token = made.stdout.strip_suffix('\n').unwrap();
    assert!(token.starts_with("cwt_") && token.len() == 47, "{token}");
    assert!(!text(data).contains(token) && !made.stderr.contains(token));
    assert!(made.stderr.contains("it expires at 2999-01-01T00:00:00Z; it is shown only here"), "{made:?}");
    assert_ne!(done(data, &["token", "new", "bot", "cron", "--expires", "never"]).stdout, made.stdout);
    let listed = done(data, &["token", "list", "bot"]).stdout;
    assert_eq!(listed, "laptop  expires at 2999-01-01T00:00:00Z\ncron    never expires\n");
    let twice = account(data, &["token", "new", "bot", "cron"]);
    assert!(twice.refusal(1).contains("has a token named 'cron' already; revoke it first"), "{twice:?}");
    done(data, &["token", "revoke", "bot", "laptop"]);
    let tokens = objects(&done(data, &["token", "list", "bot", "--json"]));
    assert_eq!(tokens, [json!({"name": "cron", "expires": null, "expired": false})]);
    let gone = account(data, &["token", "revoke", "bot", "laptop"]);
    assert!(gone.refusal(1).contains("the account 'bot' has no token named 'laptop'"), "{gone:?}");
    let over = account(data, &["token", "new", "bot", "old", "--expires", "2001-01-01T00:00:00Z"]);
    assert!(over.refusal(2).contains("--expires: 2001-01-01T00:00:00Z is over"), "{over:?}");
}

#[test]
fn names_that_look_alike_are_told_of_and_not_refused() {
    let data = tempdir().unwrap();
    done(data.path(), &["add", "mary", "--no-password"]);
    assert!(!done(data.path(), &["add", "martha", "--no-password"]).stderr.contains("looks like"));
    let added = done(data.path(), &["add", "rnary", "--no-password"]);
    assert!(added.stderr.contains("'rnary' looks like the account 'mary'"), "{added:?}");
}

#[test]
fn a_mistake_changes_nothing_and_says_what_to_do() {
    let data = tempdir().unwrap();
    let data = data.path();
    done(data, &["add", "ann", "--password-file", "-"]);
    let before = text(data);
    for (arguments, code, words) in [
        (&["add", "ann", "--no-password"][..], 1, "there is an account 'ann' already; `chanwire account passwd`"),
        (&["passwd", "bob", "--password-file", "-"], 1, "there is no account 'bob'; `chanwire account list`"),
        (&["remove", "bob"], 1, "there is no account 'bob'"),
        (&["token", "new", "bob", "bot"], 1, "there is no account 'bob'"),
        (&["add", "bob", "--password-file", "/nonexistent"], 2, "--password-file /nonexistent: No such file"),
        (&["add", "bob", "--password-file", "/dev/null"], 2, "--password-file /dev/null: the password is empty"),
    ] {
        let refused = account(data, arguments);
        assert!(refused.refusal(code).contains(words), "{arguments:?}: {refused:?}");
    }
    for arguments in [&["add", "Ann"][..], &["add", "guests"], &["add", "-x"], &["add", "bob", "--group", "@a"]] {
        let refused = account(data, arguments);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{arguments:?}: {refused:?}");
    }
    assert_eq!(text(data), before);

    let short =
        Launch::new(["account", "add", "bob", "--password-file", "-", "--data-dir"]).arg(data).input(b"short").run();
    assert!(short.refusal(1).contains("the password is too short: take at least 8 characters"), "{short:?}");
    let missing = account(&data.join("nothing"), &["remove", "ann"]);
    assert!(missing.refusal(1).contains("cannot use the data directory"), "{missing:?}");

    fs::write(data.join("accounts.toml"), "[ann]\npasword = \"x\"\n[Bob]\n").unwrap();
    let faults = account(data, &["add", "carl", "--no-password"]);
    assert_eq!((faults.code, faults.stdout.as_str()), (Some(1), ""), "{faults:?}");
    for words in ["nothing is changed", ":2:1: ann.pasword is no key; did you mean password?", ":3:2: Bob is no name"] {
        assert!(faults.stderr.contains(words), "{words}: {faults:?}");
    }
}

#[test]
fn a_password_is_asked_for_only_on_a_terminal() {
    let data = tempdir().unwrap();
    let launch = Launch::new(["account", "add", "ann", "--data-dir"]).arg(data.path());
    let refused = launch.under([chanwire_tests::process::program("setsid"), "--wait".into()]).run();
    assert!(refused.refusal(2).contains("name a file with --password-file"), "{refused:?}");
}

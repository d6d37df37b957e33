use std::{os::unix::fs::PermissionsExt as _, thread};

use tempfile::TempDir;

use super::*;

const HASH: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

fn directory(text: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    directory
}

/// Changes a file, and returns its new text.
fn edited(before: &str, edit: impl FnOnce(&mut Editor)) -> String {
    let directory = directory(before);
    let mut editor = Editor::open(directory.path()).unwrap();
    edit(&mut editor);
    editor.save().unwrap();
    let contents = Contents::read(directory.path());
    assert_eq!(contents.findings, []);
    // Nothing else is left in the directory.
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    contents.text.unwrap()
}

#[test]
fn the_first_account_makes_a_private_file_in_a_private_directory() {
    let parent = tempfile::tempdir().unwrap();
    let data_dir = parent.path().join("data");
    let mut editor = Editor::open(&data_dir).unwrap();
    let account = Account {
        password: Some(HASH.parse().unwrap()),
        groups: vec!["staff".into()],
        is_operator: true,
        tokens: Vec::new(),
    };
    editor.add(&name("a.b"), &account);
    editor.add(&name("bob"), &Account::default());
    editor.save().unwrap();
    let path = data_dir.join(NAME);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data_dir), mode(&path)), (0o700, 0o600));
    assert_eq!(
        fs::read_to_string(path).unwrap(),
        format!("[\"a.b\"]\npassword = \"{HASH}\"\ngroups = [\"staff\"]\noperator = true\n\n[bob]\n")
    );
}

#[test]
fn everything_else_in_the_file_stays() {
    let before =
        format!("# Ours.\n\n# The boss.\n[ann] # a\npassword = \"{HASH}\" # old\noperator=true\n\n[bob]\n# end\n");
    let new: PasswordHash = HASH.replace("c29tZXNhbHQ", "c2FsdHNhbHQ").parse().unwrap();
    let after = edited(&before, |editor| editor.set_password(&name("ann"), &new));
    assert_eq!(after, before.replace("c29tZXNhbHQ", "c2FsdHNhbHQ"));
    let after = edited(&before, |editor| editor.remove(&name("bob")));
    assert_eq!(
        after,
        format!("# Ours.\n\n# The boss.\n[ann] # a\npassword = \"{HASH}\" # old\noperator=true\n# end\n")
    );
    let after = edited(&before, |editor| editor.remove(&name("ann")));
    assert_eq!(after, "# Ours.\n\n[bob]\n# end\n");
    let after = edited("# Ours.\n\n[ann]\n", |editor| editor.remove(&name("ann")));
    assert_eq!(after, "# Ours.\n");
}

#[test]
fn a_password_is_set_where_there_was_none() {
    let after = edited("[ann]\noperator = true\n", |editor| editor.set_password(&name("ann"), &HASH.parse().unwrap()));
    assert_eq!(after, format!("[ann]\noperator = true\npassword = \"{HASH}\"\n"));
}

#[test]
fn tokens_are_added_and_removed_in_every_form() {
    let hash = "ab".repeat(32);
    let token =
        |name: &str, expires: &str| Token { name: name.into(), sha256: [0xab; 32], expires: expires.parse().ok() };
    let one = format!("[ann]\ntokens = [{{ name = \"bot\", sha256 = \"{hash}\", expires = 2027-01-01T00:00:00Z }}]\n");
    assert_eq!(edited("[ann]\n", |it| it.add_token(&name("ann"), &token("bot", "2027-01-01T00:00:00Z"))), one);
    let two = edited(&one, |it| it.add_token(&name("ann"), &token("cron", "")));
    assert_eq!(two, one.replace("}]", &format!("}}, {{ name = \"cron\", sha256 = \"{hash}\" }}]")));
    assert_eq!(edited(&two, |it| it.remove_token(&name("ann"), "cron")), one);
    assert_eq!(edited(&one, |it| it.remove_token(&name("ann"), "other")), one);
    let sections = format!("[[ann.tokens]]\nname = \"bot\"\nsha256 = \"{hash}\"\n");
    let added = edited(&sections, |it| it.add_token(&name("ann"), &token("cron", "")));
    assert_eq!(added, format!("{sections}\n[[ann.tokens]]\nname = \"cron\"\nsha256 = \"{hash}\"\n"));
    let removed = edited(&added, |it| it.remove_token(&name("ann"), "bot"));
    assert!(removed.contains("cron") && !removed.contains("bot"), "{removed}");
}

#[test]
fn a_file_with_faults_is_not_changed() {
    let directory = directory("[ann]\npasword = 1\n[Bob]\n");
    let error = Editor::open(directory.path()).err().unwrap();
    for words in ["nothing is changed", ":2:1: ann.pasword is no key; did you mean password?", ":3:2: Bob is no name"] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn changes_at_one_time_are_all_kept() {
    let directory = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for number in 0..16 {
            let directory = directory.path();
            scope.spawn(move || {
                let mut editor = Editor::open(directory).unwrap();
                editor.add(&name(&format!("user{number}")), &Account::default());
                editor.save().unwrap();
            });
        }
    });
    assert_eq!(Contents::read(directory.path()).accounts.len(), 16);
}

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

const HASH: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

fn parse(text: &str) -> Contents {
    Contents::parse(&Path::new("accounts.toml").into(), text)
}

fn words(text: &str) -> Vec<String> {
    parse(text).findings.iter().map(Finding::words).collect()
}

#[test]
fn accounts_have_a_password_groups_rights_and_tokens() {
    let sha256 = "ab".repeat(32);
    let contents = parse(&format!(
        "# ours\n[ann]\npassword = \"{HASH}\"\ngroups = [\"staff\", \"night\"]\noperator = true\ntokens = [\n  \
         {{ name = \"bot\", sha256 = \"{sha256}\", expires = 2027-01-01T01:00:00+01:00 }},\n  \
         {{ name = \"cron\", sha256 = \"{sha256}\" }},\n]\n[\"b.c\"]\n"
    ));
    assert_eq!(contents.findings, []);
    let names: Vec<_> = contents.accounts.keys().map(|name| &**name).collect();
    assert_eq!(names, ["ann", "b.c"]);
    let ann = &contents.accounts[&"ann".parse::<AccountName>().unwrap()];
    assert_eq!(ann.password.as_ref().map(ToString::to_string).as_deref(), Some(HASH));
    assert_eq!((&*ann.groups, ann.is_operator), (&["staff".to_owned(), "night".into()][..], true));
    let expires = "2027-01-01T00:00:00Z".parse().ok();
    assert_eq!(
        ann.tokens,
        [
            Token { name: "bot".into(), sha256: [0xab; 32], expires },
            Token { name: "cron".into(), sha256: [0xab; 32], expires: None },
        ]
    );
    let other = &contents.accounts[&"b.c".parse::<AccountName>().unwrap()];
    assert!(other.password.is_none() && other.groups.is_empty() && !other.is_operator && other.tokens.is_empty());
}

#[test]
fn an_empty_file_has_no_accounts_and_no_fault() {
    for text in ["", "\n", "# nobody\n"] {
        let contents = parse(text);
        assert!(contents.accounts.is_empty() && contents.findings.is_empty(), "{text:?}");
    }
}

#[test]
fn every_fault_is_reported_with_its_place() {
    let text = "\
zoe = 1
[Ann]
[bob]
pasword = \"x\"
operator = \"yes\"
groups = [\"@staff\", \"Staff\", 3]
tokens = [{ name = \"a\" }, { nam = \"b\" }, 7]
[guests]
[carl]
password = \"hunter2\"
tokens = [{ name = \"a\", sha256 = \"12\", expires = 2027-01-01 }, { name = \"b\", sha256 = 1 }]
groups = \"staff\"
[dora]
groups = [\"a\", \"a\"]
oops
";
    let expected = [
        "1:1: zoe: an account is a section: write [zoe]",
        "2:2: Ann is no name of an account: expected 1 to 32 characters of a-z, 0-9, '.', '_' and '-', the first of them \
         a letter or a digit",
        "4:1: bob.pasword is no key; did you mean password?",
        "5:12: bob.operator: expected true or false, found a string",
        "6:11: bob.groups: write the name without @, as in \"staff\"",
        "6:21: bob.groups: expected 1 to 32 characters",
        "6:30: bob.groups: expected the name of a group, found an integer",
        "7:11: bob.tokens: it has no sha256",
        "7:29: bob.tokens.nam is no key; did you mean name?",
        "7:42: bob.tokens: expected { name = \"…\", sha256 = \"…\" }, found an integer",
        "8:2: guests is no name of an account: 'guests' means something else in rules; take another",
        "10:12: carl.password: expected a hash as `chanwire account passwd` writes it",
        "11:34: carl.tokens.sha256: expected 64 hexadecimal digits",
        "11:50: carl.tokens.expires: expected a date with a time and an offset",
        "11:87: carl.tokens.sha256: expected a string, found an integer",
        "12:10: carl.groups: expected a list, as in [\"staff\"], found a string",
        "14:16: dora.groups: the group 'a' is named more than once",
        "15:5: invalid TOML",
    ];
    let found = words(text);
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(&format!("accounts.toml:{expected}")), "{found}\nexpected: {expected}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(!format!("{found:?}").contains("hunter2"), "a password in the wrong place is not shown");
}

#[test]
fn names_that_rules_use_otherwise_are_refused() {
    for name in RESERVED {
        let found = words(&format!("[{name}]\n"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(&format!("'{name}' means something else in rules")), "{found:?}");
    }
}

#[test]
fn the_mode_of_the_file_is_checked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    assert!(Contents::read(directory.path()).text.is_none());
    fs::write(&path, "[ann]\n").unwrap();
    for (mode, fault, words) in [
        (0o600, false, ""),
        (0o400, false, ""),
        (0o640, false, "warning: its group may read it"),
        (0o604, true, "everybody may read or write it"),
        (0o602, true, "everybody may read or write it"),
        (0o660, true, "its group may write it"),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let contents = Contents::read(directory.path());
        assert_eq!(contents.has_faults(), fault, "{mode:o}");
        assert_eq!(contents.accounts.len(), usize::from(!fault), "{mode:o}");
        let found: Vec<String> = contents.findings.iter().map(ToString::to_string).collect();
        match found.first() {
            Some(found) => {
                let (kind, words) = words.split_once(": ").unwrap_or(("", words));
                assert!(found.starts_with(kind) && found.contains(words) && !words.is_empty(), "{mode:o}: {found}");
            }
            None => assert_eq!(words, "", "{mode:o}"),
        }
    }
}

#[test]
fn a_link_and_a_file_that_is_not_utf_8_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    let fault = || Contents::read(directory.path()).findings.first().unwrap().words();
    std::os::unix::fs::symlink("/dev/null", &path).unwrap();
    assert!(fault().contains("it is a symbolic link, which is not followed"), "{}", fault());
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"[\xff]").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(fault().contains("valid UTF-8"), "{}", fault());
}

//! The log as programs read it: the members of JSON lines, and the priorities of systemd's journal.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::fs::MetadataExt as _,
    process::{Command, Stdio},
};

use chanwire_tests::process::{Launch, binary, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::tempdir;

use crate::{
    requests::LIST,
    sign_in::{account, auth},
};

/// Returns the names in the first column of the table in README.md that begins with this header.
fn documented(header: &str) -> BTreeSet<String> {
    let readme = include_str!("../../../README.md");
    let (_, table) = readme.split_once("**Logging** ").unwrap();
    let rows = table.lines().skip_while(|line| !line.starts_with(header)).skip(2);
    let cells = rows.take_while(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
    cells.flat_map(|cell| cell.split(',').map(|name| name.trim().trim_matches('`').to_owned())).collect()
}

fn names(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_members_of_json_lines_are_those_of_the_readme() {
    let lines = documented("| member |");
    let ended = documented("| field |");
    assert!(lines.len() >= 5 && ended.len() >= 10, "{lines:?} {ended:?}");
    let data = tempdir().unwrap();
    account(data.path(), "correct horse", &["add", "ann", "--password-file", "-"]);
    let launch = Launch::serve(data.path()).args(["--log", "debug", "--log-format", "json", "--request-timeout", "1"]);
    let server = launch.start();
    // One connection reaches a limit, one signs in, some end by themselves, and one is the operator's.
    let mut slow = server.connect();
    slow.send("LI");
    slow.read_to_end();
    assert!(server.ask(LIST).starts_with("OK"));
    assert!(server.ask(auth("ann", "correct horse")).starts_with("OK"));
    assert!(server.ask("PING\r\n").contains("Unknown command"));
    let unhosted = Launch::new(["unhost", "none", "--data-dir"]).arg(data.path()).run();
    assert_eq!(unhosted.code, Some(3), "{unhosted:?}");
    let log = wait_for("the ends of five connections", || {
        let log = server.log();
        if log.matches("connection_ended").count() >= 5 { Ok(log) } else { Err(log) }
    });
    let (mut seen, mut seen_at_end, mut spans) = (BTreeSet::new(), BTreeSet::new(), 0);
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        for name in names(&line) {
            assert!(lines.contains(&name), "{name} is not in the README: {line}");
            seen.insert(name);
        }
        if let Some(span) = line.get("span") {
            assert_eq!(names(span), ["id", "name", "peer"].map(String::from).into(), "{line}");
            spans += 1;
        }
        assert!(line["fields"]["message"].is_string(), "{line}");
        if line["fields"]["event"] == "connection_ended" {
            seen_at_end.extend(names(&line["fields"]).into_iter().filter(|name| name != "message"));
        }
    }
    seen.insert("fields.message".into());
    assert_eq!((seen, seen_at_end), (lines, ended));
    assert!(spans > 0, "{log}");
    server.stop();
}

#[test]
fn lines_for_the_journal_have_a_priority_and_no_time() {
    for (format, named) in [("text", true), ("json", true), ("text", false)] {
        let data = tempdir().unwrap();
        let path = data.path().join("stderr");
        let file = File::create(&path).unwrap();
        let found = file.metadata().unwrap();
        // A program that was started under systemd and whose standard error is redirected has another inode there.
        let stream = format!("{}:{}", found.dev(), if named { found.ino() } else { found.ino() + 1 });
        let mut child = Command::new(binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--http", "off", "--metrics", "off", "--log", "debug"])
            .args(["--log-format", format, "--data-dir"])
            .arg(data.path().join("data"))
            .env("JOURNAL_STREAM", stream)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .unwrap();
        let banner = BufReader::new(child.stdout.take().unwrap());
        assert!(banner.lines().any(|line| line.unwrap().starts_with("listening on ")));
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success());
        let log = fs::read_to_string(&path).unwrap();
        assert!(log.contains("SIGTERM") && log.contains("hub stopped"), "{log}");
        for line in log.lines() {
            let rest = line.strip_prefix('<').and_then(|line| line.split_once('>'));
            let Some((priority, rest)) = rest.filter(|_| named) else {
                assert!(!named && line.starts_with("20"), "{line}");
                continue;
            };
            let level = match priority {
                "3" => "ERROR",
                "4" => "WARN",
                "6" => "INFO",
                "7" => "DEBUG",
                _ => panic!("{line}"),
            };
            if format == "json" {
                let line: Value = serde_json::from_str(rest).unwrap();
                assert_eq!(line["level"], level, "{line}");
            } else {
                assert!(rest.trim_start().starts_with(level), "{line}");
            }
        }
    }
}

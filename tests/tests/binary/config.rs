//! `chanwire config`, and a server that is started with a file, with variables and with flags.

use std::{fs, path::PathBuf};

use chanwire_tests::process::{Finished, Launch};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::requests::{LIST, listed};

/// Writes a configuration file to a new directory.
fn file(text: &str) -> (TempDir, PathBuf) {
    let directory = tempdir().unwrap();
    let path = directory.path().join("chanwire.toml");
    fs::write(&path, text).unwrap();
    (directory, path)
}

fn check(text: &str, arguments: &[&str]) -> (Finished, PathBuf) {
    let (_directory, path) = file(text);
    (Launch::new(["config", "check"]).arg(&path).args(arguments).run(), path)
}

const SIX_MISTAKES: &str = "[limits]\n\
    max_paylod = 65536\n\
    max_joins = 0\n\
    write_timeout = \"10s\"\n\
    [stor]\n\
    [http]\n\
    listen = \"localhost:1\"\n\
    hosts = [\"a b\"]\n";

/// The places of the six mistakes.
const PLACES: [&str; 6] = ["2:1", "3:13", "4:17", "5:2", "7:10", "8:10"];

#[test]
fn six_mistakes_are_six_lines_and_exit_with_two() {
    let (finished, path) = check(SIX_MISTAKES, &[]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(2), ""), "{finished:?}");
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(lines.len(), 6, "{finished:?}");
    for (line, place) in lines.iter().zip(PLACES) {
        assert!(line.starts_with(&format!("{}:{place}: ", path.display())), "{place}: {line}");
    }
    assert!(lines[0].ends_with("limits.max_paylod is no key; did you mean max_payload?"), "{finished:?}");

    let (finished, path) = check(SIX_MISTAKES, &["--json"]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    let objects = finished.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let objects: Vec<_> = objects.collect();
    let first = serde_json::json!({
        "severity": "fault", "origin": "file", "file": path, "line": 2, "column": 1, "key": "limits.max_paylod",
        "message": "is no key", "suggestion": "max_payload",
    });
    assert_eq!((objects.len(), &objects[0]), (6, &first));
}

#[test]
fn a_server_refuses_a_file_with_faults_in_the_words_of_check() {
    let data = tempdir().unwrap();
    let (_directory, path) = file(SIX_MISTAKES);
    let refused = Launch::serve(data.path()).args(["--config".as_ref(), path.as_path()]).run();
    let checked = Launch::new(["config", "check"]).arg(&path).run();
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{refused:?}");
    assert_eq!(refused.stderr.replace("chanwire: ", ""), checked.stdout);
    assert!(fs::read_dir(data.path()).unwrap().next().is_none(), "nothing is touched");
}

#[test]
fn a_file_without_faults_exits_with_zero() {
    let (finished, path) = check("[limits]\nmax_joins = 5\n", &[]);
    assert_eq!((finished.code, finished.stdout), (Some(0), format!("{}: no faults\n", path.display())));
    let missing = Launch::new(["config", "check", "/nonexistent/chanwire.toml"]).run();
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.stdout.contains("/nonexistent/chanwire.toml:1:1: cannot read the configuration: "), "{missing:?}");
}

#[test]
fn a_server_takes_flags_over_variables_over_the_file() {
    let data = tempdir().unwrap();
    let (_directory, path) = file("[[listener]]\naddress = '127.0.0.1:0'\n[store]\ndata_dir = '/proc/none'\n");
    let launch = Launch::new(["serve", "--http", "off"]).variable("CHANWIRE_CONFIG", &path);
    // The file alone.
    assert!(launch.run().refusal(1).contains("/proc/none"));
    // A variable over the file, and a flag over the variable.
    let launch = launch.variable("CHANWIRE_DATA_DIR", data.path());
    let server = launch.start();
    assert_eq!((server.ask(LIST), server.banner().len()), (listed(&[]), 4), "{:?}", server.banner());
    server.stop();
    let launch = launch.variable("CHANWIRE_LIMITS_MAX_JOIN", "5");
    let server = launch.clone().args(["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]).start();
    assert_ne!(server.address(0), server.address(1));
    server.wait_for_log("CHANWIRE_LIMITS_MAX_JOIN is no variable of chanwire; did you mean CHANWIRE_LIMITS_MAX_JOINS?");
    server.stop();
    assert!(launch.args(["--data-dir", "/proc/other"]).run().stderr.contains("/proc/other"));
}

#[test]
fn each_shown_value_has_its_origin() {
    let (_directory, path) = file("[limits]\nmax_joins = 5\nmax_names = 7\n");
    let show = Launch::new(["config", "show", "--max-names", "9", "--config"]).arg(&path);
    let show = show.variable("CHANWIRE_LIMITS_MAX_CHANNELS", "8");
    let shown = show.run();
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for line in [
        format!("max_joins = 5  # {}:2:1", path.display()),
        "max_channels = 8  # CHANWIRE_LIMITS_MAX_CHANNELS".into(),
        "max_names = 9  # --max-names".into(),
        "max_payload = 65536  # default".into(),
    ] {
        assert!(shown.stdout.lines().any(|shown| shown == line), "{line}: {shown:?}");
    }
    // It is a file itself.
    let (_directory, again) = file(&shown.stdout);
    let objects = |finished: Finished| -> Vec<serde_json::Value> {
        let lines = finished.stdout.lines();
        lines.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["value"].clone()).collect()
    };
    let one = objects(show.args(["--json"]).run());
    assert!(one.len() > 20, "{one:?}");
    assert_eq!(objects(Launch::new(["config", "show", "--json", "--config"]).arg(&again).run()), one);
}

#[test]
fn an_explanation_names_the_range_the_default_and_the_flag() {
    let explained = Launch::new(["config", "explain", "--max-payload"]).run();
    assert_eq!(explained.code, Some(0), "{explained:?}");
    for words in ["256 to 16777216", "65536", "--max-payload", "CHANWIRE_LIMITS_MAX_PAYLOAD"] {
        assert!(explained.stdout.contains(words), "{words}: {explained:?}");
    }
    let none = Launch::new(["config", "explain", "max_paylod"]).run();
    assert_eq!(none.refusal(2), "chanwire: max_paylod is no key; did you mean limits.max_payload?");
}

/// The keys that a reload applies, as the README has them.
const README_LIVE: &str = "`[limits]`, `[auth]`, `[retry]`, `[drain]`, `store.retain_*` and `log.level` are applied";

#[test]
fn the_readme_names_the_keys_that_a_reload_applies() {
    assert!(include_str!("../../../README.md").contains(README_LIVE));
    let finished = Launch::new(["config", "explain", "--json"]).run();
    let keys: Vec<Value> = finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(keys.len() > 50, "{finished:?}");
    for key in keys {
        let path = key["key"].as_str().unwrap();
        let (section, name) = path.split_once('.').unwrap_or((path, ""));
        let is_named = README_LIVE.contains(&format!("`[{section}]`"))
            || README_LIVE.contains(&format!("`{path}`"))
            || (section == "store" && name.starts_with("retain_"));
        assert_eq!(key["is_live"], is_named, "{path}");
    }
}

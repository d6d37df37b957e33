//! Each package's manifest has everything that a registry or a user of `cargo install` needs.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{fs, path::Path, process::Command};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Returns every package of the workspace, as cargo understands its manifest.
fn packages() -> Vec<Value> {
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]).current_dir(root());
    let output = metadata.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata.get("packages").and_then(Value::as_array).unwrap().clone()
}

fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn every_package_has_what_a_registry_asks_for() {
    let packages = packages();
    assert!(packages.len() >= 8);
    for package in &packages {
        let name = text(package, "name");
        for field in ["description", "license", "repository", "rust_version"] {
            assert!(!text(package, field).is_empty(), "{name} has no {field}");
        }
        assert_eq!(text(package, "repository"), text(packages.first().unwrap(), "repository"));
        for (field, most) in [("keywords", 5), ("categories", 5)] {
            let words = package.get(field).and_then(Value::as_array).unwrap();
            assert!((1..=most).contains(&words.len()), "{name}: {field}");
            assert!(words.iter().all(|word| word.as_str().unwrap().len() <= 64), "{name}: {words:?}");
        }
        for dependency in package.get("dependencies").and_then(Value::as_array).unwrap() {
            let is_unversioned = text(dependency, "req") == "*";
            assert!(!is_unversioned || text(dependency, "kind") == "dev", "{name}: a version for {dependency}");
        }
        if ["chanwire", "chanwire-core", "chanwire-inspect"].contains(&name) {
            let folder = Path::new(text(package, "manifest_path")).parent().unwrap();
            assert!(folder.join(text(package, "readme")).is_file(), "{name} has no readme");
        }
    }
}

#[test]
fn the_build_script_expects_the_flags_of_sqlite_that_the_repository_sets() {
    let config = fs::read_to_string(root().join(".cargo/config.toml")).unwrap();
    let set = config.lines().find_map(|line| line.strip_prefix("LIBSQLITE3_FLAGS = ")).unwrap();
    let script = fs::read_to_string(root().join("native/build.rs")).unwrap();
    let expected = script.split_once("const SQLITE_FLAGS: ").unwrap().1.split_once(';').unwrap().1;
    let expected = expected.split_once(';').unwrap().0;
    let expected: Vec<&str> = expected.split('"').filter(|part| part.starts_with('-')).collect();
    assert_eq!(set.trim_matches('"'), expected.join(" "));
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains(&format!("LIBSQLITE3_FLAGS='{}' cargo install", expected.join(" "))));
}

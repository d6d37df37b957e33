//! The list of direct dependencies in CONTRIBUTING.md is whole, and has nothing else.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

/// Every manifest of the repository but the fuzz targets', which CONTRIBUTING.md names in a sentence.
const CRATES: [&str; 8] =
    ["core", "core/inspect", "native", "tests", "wasm", "wasm/bindgen", "wasm/compose", "wasm/sandbox"];
const PACKAGES: [&str; 2] = ["web", "tests/e2e"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// Returns the names in the tables of dependencies, without those that are of the workspace itself, and their versions.
fn of_crates() -> BTreeMap<String, String> {
    let lock = read("Cargo.lock");
    let versions = |name: &str| -> Vec<String> {
        let packages = lock.split("[[package]]").filter(|package| package.contains(&format!("name = \"{name}\"\n")));
        packages
            .map(|package| package.split("version = \"").nth(1).unwrap().split('"').next().unwrap().into())
            .collect()
    };
    let mut all = BTreeMap::new();
    for folder in CRATES {
        let manifest = read(&format!("{folder}/Cargo.toml"));
        let mut is_table = false;
        for line in manifest.lines() {
            if let Some(table) = line.strip_prefix('[') {
                is_table = table.trim_end_matches(']').ends_with("dependencies");
            } else if let Some((name, wanted)) = line.split_once([' ', '.', '=']).filter(|_| is_table)
                && !name.starts_with('#')
                && !name.is_empty()
                && !wanted.contains("workspace = true")
                && !wanted.contains("path = ")
            {
                let wanted = wanted
                    .split('"')
                    .find(|part| part.trim_start_matches('=').starts_with(|c: char| c.is_ascii_digit()));
                let wanted = wanted.unwrap().trim_start_matches('=');
                // The lock file may have a later one, and others of other crates.
                let series = wanted.rsplit_once('.').unwrap().0;
                let found = versions(name).into_iter().find(|version| version.starts_with(&format!("{series}.")));
                all.insert(name.to_owned(), found.unwrap_or_else(|| wanted.to_owned()));
            }
        }
    }
    all
}

fn of_packages() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for folder in PACKAGES {
        let manifest: Value = serde_json::from_str(&read(&format!("{folder}/package.json"))).unwrap();
        for table in ["dependencies", "devDependencies"] {
            for (name, version) in manifest.get(table).and_then(Value::as_object).into_iter().flatten() {
                all.insert(name.clone(), version.as_str().unwrap().to_owned());
            }
        }
    }
    all
}

/// Returns the names and versions of a section's table.
fn listed(section: &str) -> BTreeMap<String, String> {
    let page = read("CONTRIBUTING.md");
    let (_, section) = page.split_once(section).unwrap();
    let rows = section.split("\n### ").next().unwrap().lines().filter(|line| line.starts_with("| ["));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        let [name, _, _, version, _] = *cells else { unreachable!("a row of five cells: {line}") };
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{line}");
        (name.split(']').next().unwrap().trim_start_matches('[').to_owned(), version.to_owned())
    };
    rows.map(row).collect()
}

#[test]
fn every_direct_dependency_is_listed_with_its_version_and_nothing_else_is() {
    let (crates, packages) = (of_crates(), of_packages());
    assert!(crates.len() > 30 && packages.len() > 10, "{crates:?} {packages:?}");
    assert_eq!(listed("### Rust\n"), crates);
    assert_eq!(listed("### The page and its tests\n"), packages);
}

//! The documents are true where a program can tell: paths, names, links and make targets in them exist, the map of the
//! tests is complete, and the changelog has every version of the database.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The documents that are checked.
const DOCUMENTS: [&str; 5] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "README.md"];

/// Folders with a test in each file, all of which are on the map in ARCHITECTURE.md.
const TESTS: [&str; 4] = ["tests/tests", "native/tests", "core/inspect/tests", "tests/e2e"];

/// Folders of sources, in which names are looked up.
const SOURCES: [&str; 5] = ["core", "native", "wasm", "web/src", "tests/src"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| unreachable!("{path}: {error}"))
}

/// Returns the text of a document outside of its fences.
fn prose(document: &str) -> String {
    document.split("```").step_by(2).collect()
}

/// Returns the pieces of code in a line of text.
fn code(prose: &str) -> Vec<&str> {
    prose.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// Returns whether a piece of code can only be meant as a path of the repository.
fn is_path(code: &str) -> bool {
    let is_plain = code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./_-".contains(&byte));
    let is_file =
        [".rs", ".md", ".ts", ".mjs", ".toml", ".lua", ".sh", ".svelte"].iter().any(|end| code.ends_with(end));
    let is_outside = code.starts_with('/') || code.starts_with("target/");
    is_plain && !is_outside && (code.contains('/') || is_file)
}

/// Returns the path of a name, such as `Hub` or `Server::respond`, if a piece of code is one.
fn name(code: &str) -> Option<Vec<&str>> {
    let segments: Vec<&str> = code.split("::").collect();
    let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let first = segments.first()?;
    let is_type = first.starts_with(|first: char| first.is_ascii_uppercase())
        && first.contains(|letter: char| letter.is_ascii_lowercase());
    (is_type && segments.iter().all(is_word)).then_some(segments)
}

/// Returns the targets of the links in a text.
fn links(prose: &str) -> Vec<&str> {
    prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

/// Returns the anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let heading = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title.replace(' ', "-").replace(|letter: char| !(letter.is_alphanumeric() || letter == '-'), "")
    };
    prose(page).lines().filter(|line| line.starts_with('#')).map(heading).collect()
}

/// Returns whether a link leads to something in the repository, or out of it.
fn leads_somewhere(link: &str, from: &str) -> bool {
    if link.starts_with("https://") {
        return true;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let file = if file.is_empty() { from } else { file };
    root().join(file).exists() && anchor.is_none_or(|anchor| anchors(&read(file)).contains(anchor))
}

/// Returns the make targets that a document tells to run, in its fences or in backticks.
fn targets(document: &str) -> Vec<String> {
    let text = prose(document);
    let fenced = document.split("```").skip(1).step_by(2).flat_map(str::lines);
    let commands = code(&text).into_iter().chain(fenced).filter_map(|command| command.strip_prefix("make "));
    commands.filter_map(|command| command.split_whitespace().next()).map(str::to_owned).collect()
}

fn files_under(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            found.push(path);
        } else if !path.ends_with("target") && !path.ends_with("node_modules") {
            files_under(&path, found);
        }
    }
}

/// Returns the words of all sources, and of these the ones that a declaration gives a meaning.
fn words() -> (BTreeSet<String>, BTreeSet<String>) {
    const KEYWORDS: [&str; 9] = ["struct", "enum", "trait", "type", "mod", "const", "static", "class", "interface"];
    let (mut all, mut declared) = (BTreeSet::new(), BTreeSet::new());
    let mut files = Vec::new();
    SOURCES.iter().for_each(|folder| files_under(&root().join(folder), &mut files));
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "rs" || end == "ts")) {
        let text = fs::read_to_string(file).unwrap();
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
        let words: Vec<&str> = text.split(|letter| !is_part(letter)).filter(|word| !word.is_empty()).collect();
        let pairs = words.iter().zip(words.iter().skip(1));
        declared.extend(pairs.filter(|(before, _)| KEYWORDS.contains(before)).map(|(_, word)| (*word).to_owned()));
        all.extend(words.into_iter().map(str::to_owned));
    }
    (all, declared)
}

#[test]
fn every_path_in_the_documents_exists() {
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let text = prose(&read(document));
        missing.extend(
            code(&text)
                .into_iter()
                .filter(|code| is_path(code) && !root().join(code).exists())
                .map(|code| format!("{document}: {code}")),
        );
    }
    assert!(missing.is_empty(), "name the file where it is now, or none: {missing:#?}");
    assert!(code(&prose(&read("ARCHITECTURE.md"))).iter().filter(|code| is_path(code)).count() > 100);
}

#[test]
fn every_type_in_the_documents_is_declared_somewhere() {
    let (words, declared) = words();
    let text = prose(&read("ARCHITECTURE.md")) + &prose(&read("CONTRIBUTING.md"));
    let names: Vec<Vec<&str>> = code(&text).into_iter().filter_map(name).collect();
    assert!(names.len() > 40, "{names:?}");
    let unknown = |name: &&Vec<&str>| {
        let (first, rest) = name.split_first().unwrap();
        !declared.contains(*first) || rest.iter().any(|word| !words.contains(*word))
    };
    let missing: Vec<_> = names.iter().filter(unknown).collect();
    assert!(missing.is_empty(), "use the names that the sources have: {missing:?}");
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    for document in DOCUMENTS {
        let text = prose(&read(document));
        broken.extend(
            links(&text)
                .into_iter()
                .filter(|link| !leads_somewhere(link, document))
                .map(|link| format!("{document}: {link}")),
        );
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_make_target_in_the_documents_exists() {
    let makefile = read("Makefile");
    let known: BTreeSet<&str> =
        makefile.lines().filter_map(|line| line.strip_prefix(".PHONY: ")).flat_map(str::split_whitespace).collect();
    for document in DOCUMENTS {
        let text = read(document);
        for target in targets(&text) {
            assert!(known.contains(target.as_str()), "{document}: make {target}");
        }
    }
    assert!(targets(&read("CONTRIBUTING.md")).len() > 5);
}

#[test]
fn the_map_of_the_tests_has_each_of_them() {
    let text = prose(&read("ARCHITECTURE.md"));
    let mapped: BTreeSet<&str> = code(&text).into_iter().collect();
    let mut unmapped = Vec::new();
    for folder in TESTS {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = format!("{folder}/{name}");
            if (name.ends_with(".rs") || name.ends_with(".test.mjs")) && !mapped.contains(path.as_str()) {
                unmapped.push(path);
            }
        }
    }
    assert!(unmapped.is_empty(), "add to the map of tests in ARCHITECTURE.md what each proves: {unmapped:?}");
}

#[test]
fn the_changelog_has_every_version_of_the_database() {
    let schema = read("native/src/store/schema.rs");
    let versions: usize =
        schema.split_once("MIGRATIONS: [&str; ").unwrap().1.split(']').next().unwrap().parse().unwrap();
    let changelog = read("CHANGELOG.md");
    let rows: Vec<usize> =
        changelog.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok()).collect();
    assert_eq!(rows, (1..=versions).collect::<Vec<_>>());
    assert!(changelog.contains(&format!("writes version {versions}")));
}

#[test]
fn the_checks_detect_missing_paths_names_and_links() {
    assert_eq!(code("`a/b.rs` and `c`\n`d"), ["a/b.rs", "c", "d"]);
    for path in ["core/src/nothing.rs", "core/nothing", "nothing.rs", "NOTHING.md"] {
        assert!(is_path(path) && !root().join(path).exists(), "{path}");
    }
    for other in ["LIST", "make test", "--host", "target/release/chanwire", "/usr/local/bin", "Hub::connect", "a b/c"] {
        assert!(!is_path(other), "{other}");
    }
    assert_eq!(name("Server::respond"), Some(vec!["Server", "respond"]));
    assert!(["LIST", "respond", "Slow consumer", "Vec<u8>"].into_iter().all(|code| name(code).is_none()));
    let (words, declared) = words();
    assert!(declared.contains("Hub") && words.contains("poll_effect"));
    assert!(!declared.contains("HubThatIsNowhere") && !words.contains("poll_nowhere"));
    assert_eq!(links("see [a](b.md) and [c](https://d.example)"), ["b.md", "https://d.example"]);
    assert!(leads_somewhere("core/PROTOCOL.md#limits", "README.md") && leads_somewhere("#licence", "README.md"));
    assert!(!leads_somewhere("core/PROTOCOL.md#nothing", "README.md") && !leads_somewhere("nothing.md", "README.md"));
    assert_eq!(targets("`make test` and\nmake sense\n```sh\nmake fuzz  # now\n```\n"), ["test", "fuzz"]);
}

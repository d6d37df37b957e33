//! Replays what the fuzz targets have found, on any compiler: every input that reached new code, and every one that
//! once broke a law, whose file is named after the bug.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

use std::{fs, path::PathBuf};

use chanwire_tests::fuzz_bodies;

/// A fuzz target's name and its body.
type Target = (&'static str, fn(&[u8]));

const TARGETS: &[Target] = &[
    ("client", fuzz_bodies::client),
    ("deadlines", fuzz_bodies::deadlines),
    ("decoder", |data| fuzz_bodies::decoder(data, |work| allocation_counter::measure(work).bytes_current)),
    ("filter", fuzz_bodies::filter),
    ("import", fuzz_bodies::import),
    ("inspect", fuzz_bodies::inspect),
    ("joined", fuzz_bodies::joined),
    ("oracle", fuzz_bodies::oracle),
    ("proxy_header", fuzz_bodies::proxy_header),
    ("request", fuzz_bodies::request),
    ("server", fuzz_bodies::server),
];

fn fuzz() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(folder: &str) -> Vec<String> {
    let folder = fuzz().join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_target_is_replayed_and_has_a_corpus() {
    let targets: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_string()).collect();
    let sources: Vec<_> = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names("fuzz_targets"), sources);
    assert_eq!(names("corpus"), targets);
}

#[test]
fn the_corpus_breaks_no_law() {
    for (name, body) in TARGETS {
        let inputs = names(&format!("corpus/{name}"));
        assert!(inputs.len() >= 20, "the corpus of {name} is empty, or nearly: run 'make fuzz'");
        for input in inputs {
            let path = fuzz().join("corpus").join(name).join(&input);
            // Shown with the panic of a body, and only then.
            println!("replaying {}", path.display());
            body(&fs::read(path).unwrap());
        }
    }
}

//! Connections that were recorded with the inspector and kept: each file in `recorded/` is run.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{env, path::PathBuf};

use chanwire_inspect::{Direction, ExportFormat, ExportRequest, ExportScope, Viewer};
use chanwire_tests::{examples, recorded};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded")
}

/// Returns a session in which much goes right and some wrong, as the inspector would record it.
fn recorded_session() -> Viewer {
    let mut viewer = Viewer::new(1 << 24);
    let capture = viewer.capture_mut();
    capture.open(1, "192.0.2.7:50123");
    capture.open(2, "192.0.2.8:50124");
    capture.bytes(2, Direction::Out, 0.0, b"LIST\r\n");
    capture.note(1, 0.0, "connected", "192.0.2.7:50123 to 192.0.2.1:22236", false);
    for (request, _) in examples::requests() {
        for piece in request.chunks(9) {
            capture.bytes(1, Direction::Out, 1.0, piece);
        }
        capture.bytes(1, Direction::Out, 2.0, b"\n");
    }
    capture.bytes(1, Direction::In, 3.0, &examples::responses().map(|(bytes, ..)| bytes).concat());
    capture.bytes(1, Direction::Out, 4.0, b"LIST\nPING\r\n{}HOST\r\n{\"channel_name\": \"\xff\"}HO?T and more");
    capture.bytes(1, Direction::In, 5.0, b"OK\r\n{\"a\": tru}OK\r\n[");
    capture.close(1, 6.0);
    viewer
}

fn exported() -> (String, String) {
    let request = ExportRequest {
        format: ExportFormat::Test,
        scope: ExportScope::All,
        connection: Some(1),
        direction: None,
        with_secrets: false,
    };
    let part = recorded_session().export(request, None).unwrap();
    assert_eq!(part.next, None);
    (part.name, String::from_utf8(part.bytes).unwrap())
}

/// `CHANWIRE_RECORDED` names one more folder: the browser's tests put there what the page has exported.
#[test]
fn every_recorded_connection_is_still_read_as_it_was() {
    assert!(recorded::run_folder(&folder()) >= 2, "there are recorded connections");
    if let Some(more) = env::var_os("CHANWIRE_RECORDED") {
        assert!(recorded::run_folder(more.as_ref()) > 0, "{} has files", more.display());
    }
}

// A module has no temporary folder.
#[cfg(unix)]
#[test]
fn a_test_exported_by_the_inspector_runs_from_the_folder() {
    use std::fs;

    let copy = tempfile::tempdir().unwrap();
    let mut before = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        before += 1;
    }
    let (name, file) = exported();
    fs::write(copy.path().join(&name), &file).unwrap();
    assert_eq!(recorded::run_folder(copy.path()), before + 1, "{name}");
    // The export of a row's connection is that connection.
    let (lines, rows) = (file.lines().count(), file.matches("\"row\":").count());
    assert!(lines > 15 && lines == rows, "{file}");
    assert!(file.contains("\"base64\":") && file.contains("\"fault\":{"), "{file}");
}

#[test]
#[should_panic(expected = "the decoded and the recorded row differ")]
fn a_recording_with_other_rows_than_its_bytes_fails() {
    recorded::run(&exported().1.replacen("which channels are there?", "which channels were there?", 1));
}

#[test]
#[should_panic(expected = "the decoded and the recorded row differ")]
fn a_recording_with_changed_bytes_fails() {
    recorded::run(&exported().1.replacen("\"text\":\"LIST\\r\\n\"", "\"text\":\"LIST\\n\"", 1));
}

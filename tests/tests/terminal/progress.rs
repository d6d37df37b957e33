//! Progress of long work: on a terminal that shows nothing else of it, and nowhere else.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use chanwire_tests::process::{Launch, binary, check, program, wait_for};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::tempdir;

use crate::{fake::Fake, running::general, tmux::Tmux};

/// Longer than work may take before progress is shown.
const LONG: Duration = Duration::from_millis(1500);

/// One frame, white space around it, and nothing wrong.
const REQUESTS: &[u8] = b"LIST\r\n\n\n";

/// Runs a command in a terminal, with its standard output elsewhere.
fn run(folder: &std::path::Path, command: &str) -> Tmux {
    let script = format!("exec {} {command} >/dev/null", binary().display());
    Tmux::run_in(folder, ("80", "24"), &["sh", "-c", &script])
}

#[test]
fn decode_shows_how_much_it_has_read() {
    let folder = tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let tmux = run(folder.path(), &format!("decode - <{}", pipe.display()));
    let mut input = OpenOptions::new().write(true).open(&pipe).unwrap();
    wait_for("progress", || {
        input.write_all(&REQUESTS.repeat(1000)).unwrap();
        let screen = tmux.screen();
        check(screen.contains("read ") && screen.contains(" MB"), screen)
    });
    drop(input);
    assert_eq!(tmux.exit_code(), 0);
    let screen = tmux.screen();
    assert!(!screen.contains(" MB"), "the line is left: {screen}");
}

#[test]
fn history_shows_for_how_long_it_waits() {
    let folder = tempdir().unwrap();
    let server = Fake::listen();
    let tmux = run(folder.path(), &format!("history g --server {}", server.address()));
    let mut client = server.accept();
    client.expect("HISTORY\r\n");
    tmux.shows(&[&format!("waiting for {}, ", server.address())]);
    client.answer("OK\r\n{\"channel_name\": \"g\", \"messages\": []}");
    assert_eq!(tmux.exit_code(), 0);
    let screen = tmux.screen();
    assert!(!screen.contains("waiting"), "the line is left: {screen}");
}

#[test]
fn backup_shows_that_it_copies_and_checks() {
    let data = tempdir().unwrap();
    general(data.path()).stop();
    let file = data.path().join("copy");
    let backup = format!("{} backup {} --data-dir {}", binary().display(), file.display(), data.path().display());
    // All that it writes to its terminal.
    let output = Command::new(program("script")).args(["-qec", &backup, "/dev/null"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && shown.contains("\rchecking the copy\u{1b}[K\r\u{1b}[K"), "{shown:?}");
    fs::remove_file(&file).unwrap();

    let quiet = Launch::new(["backup"]).arg(&file).arg("--data-dir").arg(data.path()).run();
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""), "{quiet:?}");
}

#[test]
fn nothing_is_shown_where_standard_error_is_no_terminal() {
    let server = Fake::listen();
    let address = server.address().to_string();
    let answering = thread::spawn(move || {
        let mut client = server.accept();
        client.expect("HISTORY\r\n");
        thread::sleep(LONG);
        client.answer("OK\r\n{\"channel_name\": \"g\", \"messages\": []}");
    });
    let history = Launch::new(["history", "g", "--server", &address]).run();
    assert_eq!((history.code, history.stderr.as_str()), (Some(0), ""), "{history:?}");
    answering.join().unwrap();

    let folder = tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let to = pipe.clone();
    let feeding = thread::spawn(move || {
        let mut input = OpenOptions::new().write(true).open(&to).unwrap();
        let began = Instant::now();
        while began.elapsed() < LONG {
            input.write_all(&REQUESTS.repeat(100)).unwrap();
            thread::sleep(Duration::from_millis(20));
        }
    });
    let decode = Launch::new(["-c", &format!("exec {} decode - <{}", binary().display(), pipe.display())]);
    let decode = decode.program(&program("sh")).run();
    assert_eq!(decode.code, Some(0), "{}", decode.stderr);
    assert!(!decode.stderr.contains(" MB"), "{}", decode.stderr);
    feeding.join().unwrap();
}

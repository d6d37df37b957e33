//! Systems on which few or no threads can be started.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use chanwire_tests::process::{Launch, binary};
use tempfile::tempdir;

use crate::requests::{LIST, listed};

/// Limits the threads of a command. Root has no such limit, and it counts all of a user's threads, so the command runs
/// as an unused user.
fn limited(launch: &Launch, program: &Path, threads: usize) -> Launch {
    let limit = format!("--nproc={threads}");
    let launch = launch.clone().program(program);
    if rustix::process::geteuid().is_root() {
        let user = format!("--reuid={}", 100_000 + std::process::id());
        launch.under(["setpriv", &user, "--clear-groups", "prlimit", &limit])
    } else {
        launch.under(["unshare", "--user", "prlimit", &limit])
    }
}

#[test]
fn a_server_with_too_few_threads_reports_it_and_one_with_enough_serves() {
    let base = tempdir().unwrap();
    // The other user executes the program and creates its data directory here.
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = base.path().join("chanwire");
    fs::copy(binary(), &program).unwrap();
    let (mut refused, mut served) = (0, 0);
    for threads in 1..=24 {
        let data = base.path().join(format!("data{threads}"));
        let launch = limited(&Launch::serve(&data), &program, threads);
        let Ok(server) = launch.try_start() else {
            let finished = launch.run();
            let line = finished.refusal(1);
            assert!(line.contains("thread") && line.contains("ulimit -u"), "{threads} threads: {line}");
            refused += 1;
            continue;
        };
        assert_eq!(server.ask(LIST), listed(&[]), "{threads} threads");
        let log = server.stop();
        assert!(!log.contains("panic"), "{log}");
        served += 1;
    }
    assert!(refused > 2 && served > 2, "{refused} refused, {served} served");
}

#[test]
fn a_command_without_a_thread_reports_it_or_needs_none() {
    let base = tempdir().unwrap();
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = base.path().join("chanwire");
    fs::copy(binary(), &program).unwrap();
    let server = Launch::serve(&base.path().join("data")).start();
    let address = server.address(0);
    let (number, name) = (address.to_string(), format!("localhost:{}", address.port()));
    let file = base.path().join("t.jsonl").display().to_string();
    let tap = ["tap", "--listen", "127.0.0.1:0", "--to", &number, "--write", &file];
    let commands: [(&[&str], i32); 6] = [
        (&["list", "--server", &number], 0),
        (&["list", "--server", &name], 1),
        (&["join", "general", "--server", &number], 3),
        (&["send", "--user", "u", "-", "--server", &number], 1),
        (&["chat", "general", "--user", "u", "--server", &number], 1),
        (&tap, 1),
    ];
    for (command, code) in commands {
        let finished = limited(&Launch::new(command), &program, 1).run();
        assert_eq!(finished.code, Some(code), "{command:?}: {finished:?}");
        assert_eq!(finished.stderr.contains("thread"), code == 1, "{command:?}: {finished:?}");
        assert!(!finished.stderr.contains("panic"), "{command:?}: {finished:?}");
    }
    server.stop();
}

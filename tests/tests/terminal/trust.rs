//! A chat with a server by TLS that nobody vouches for.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use chanwire_tests::process::{Finished, Launch, Server, TlsPair};
use tempfile::tempdir;

use crate::tmux::Tmux;

/// Starts a server with a new key.
fn serve(folder: &Path, listen: &str) -> (Server, TlsPair) {
    let pair = TlsPair::make(folder);
    let launch = Launch::new(["serve", "--http", "off", "--listen", listen, "--data-dir"]).arg(folder.join("data"));
    (pair.used_by(launch).start(), pair)
}

fn run(folder: &Path, arguments: &[&str]) -> Finished {
    Launch::new(arguments).variable("XDG_CONFIG_HOME", folder).run()
}

#[test]
fn a_server_is_trusted_by_its_key_once_the_user_says_so_and_refused_with_another_key() {
    let folder = tempdir().unwrap();
    let (server, pair) = serve(folder.path(), "127.0.0.1:0");
    let address = server.tls_address();
    let listed = server.address(0).to_string();
    let hosted = run(folder.path(), &["host", "general", &listed, "--server", &listed]);
    assert_eq!(hosted.code, Some(0), "{hosted:?}");
    let config = format!("XDG_CONFIG_HOME={}", folder.path().display());
    let chat = |name: &str| {
        let terminal = folder.path().join(name);
        fs::create_dir(&terminal).unwrap();
        Tmux::run(&terminal, &[&config], &["chat", "general", "--user", "ann", "--server", &address])
    };

    // Nothing is kept of a server that is refused.
    let refusing = chat("refusing");
    refusing.shows(&["no trusted authority vouches", "y/n"]);
    refusing.text("n");
    refusing.keys(&["Enter"]);
    refusing.shows(&["its certificate is not trusted"]);
    assert_eq!(refusing.exit_code(), 1);
    let known = folder.path().join("chanwire/known_servers");
    assert!(!known.exists());

    let trusting = chat("trusting");
    let screen = trusting.shows(&["y/n"]);
    assert!(screen.replace('\n', "").contains(&pair.pin), "{screen}");
    trusting.text("y");
    trusting.keys(&["Enter"]);
    trusting.shows(&["trusted from now on", "on general at tls://"]);
    trusting.text("hello");
    trusting.keys(&["Enter"]);
    trusting.shows(&["ann: hello"]);
    assert_eq!(fs::read_to_string(&known).unwrap(), format!("{listed} {}\n", pair.pin));
    assert_eq!(fs::metadata(&known).unwrap().permissions().mode() & 0o777, 0o600);

    // Nobody is asked again.
    let again = chat("again");
    let screen = again.shows(&["ann: hello"]);
    assert!(!screen.contains("y/n"), "{screen}");
    let history = run(folder.path(), &["history", "general", "--server", &address]);
    assert!(history.stdout.contains("ann: hello"), "{history:?}");
    let piped = Launch::new(["chat", "general", "--user", "bob", "--server", &address]);
    let piped = piped.variable("XDG_CONFIG_HOME", folder.path().join("other")).input(b"hi\n").run();
    assert_eq!(piped.code, Some(1), "{piped:?}");
    assert!(piped.stderr.contains("not sent: hi\n"), "{piped:?}");
    assert!(piped.stderr.contains(&format!("add --tls-pin {}\n", pair.pin)), "{piped:?}");

    // Another key at the same address.
    server.kill();
    let (server, swapped) = serve(folder.path(), &listed);
    let screen = trusting.shows(&["another key"]).replace('\n', "");
    for part in [&swapped.pin, &pair.pin, &format!("{} line 1", known.display())] {
        assert!(screen.contains(&**part), "{part}: {screen}");
    }
    assert!(!screen.contains("connected again"), "{screen}");
    let refused = run(folder.path(), &["list", "--server", &address]);
    let words = refused.refusal(1);
    for part in [&swapped.pin, &pair.pin, &format!("{} line 1", known.display())] {
        assert!(words.contains(&**part), "{part}: {words}");
    }
    server.stop();
}

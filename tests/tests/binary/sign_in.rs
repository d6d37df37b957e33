//! Signing in, as the command line and a bare client do it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use chanwire_tests::process::{Finished, Launch, Server, Signal, check, wait_for};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::{
    metrics,
    requests::{LIST, host, hosted, join},
};

const PASSWORD: &str = "correct-horse-battery";
const WRONG: &str = "wrong-horse-battery";

/// A server with accounts.
struct Bench {
    data: TempDir,
    server: Server,
}

impl Bench {
    fn new(arguments: &[&str]) -> Self {
        let data = tempdir().unwrap();
        account(data.path(), PASSWORD, &["add", "ann", "--group", "staff", "--password-file", "-"]);
        let launch = Launch::serve(data.path()).args(["--log", "trace", "--metrics", "127.0.0.1:0"]);
        let server = launch.args(arguments).start();
        Self { data, server }
    }

    /// Runs a command on the server, with this on standard input.
    fn ask(&self, arguments: &[&str], input: &str) -> Finished {
        Launch::new(arguments).arg("--server").arg(self.server.address(0).to_string()).input(input.as_bytes()).run()
    }

    fn account(&self, password: &str, arguments: &[&str]) -> String {
        account(self.data.path(), password, arguments)
    }

    /// Reloads, and waits until that is logged.
    fn reload(&self, words: &str) {
        let before = self.server.log().len();
        self.server.signal(Signal::HUP);
        wait_for("the end of the reload", || {
            let log = self.server.log();
            check(log.get(before..).is_some_and(|new| new.contains(words)), log)
        });
    }
}

/// Runs `chanwire account`, and returns its output.
pub(crate) fn account(data_dir: &Path, password: &str, arguments: &[&str]) -> String {
    let launch = Launch::new(["account"]).args(arguments).arg("--data-dir").arg(data_dir);
    let finished = launch.input(password.as_bytes()).run();
    assert_eq!(finished.code, Some(0), "{arguments:?}: {finished:?}");
    finished.stdout
}

pub(crate) fn auth(account: &str, password: &str) -> String {
    format!("AUTH\r\n{}", json!({"account": account, "password": password}))
}

const AUTHENTICATED: &str = "OK\r\n{\"status\": \"authenticated\", \"account\": \"ann\"}";

const SIGN_IN: [&str; 4] = ["--account", "ann", "--password-file", "-"];

#[test]
fn a_password_or_a_token_signs_in_and_others_have_the_same_words() {
    let bench = Bench::new(&[]);
    let token = account(bench.data.path(), "", &["token", "new", "ann", "bot"]);
    let token = token.trim_end();
    bench.reload("accounts changed");
    let by_token = format!("AUTH\r\n{}", json!({"token": token}));
    assert_eq!(bench.server.connect().ask(auth("ann", PASSWORD)).raw, AUTHENTICATED);
    assert_eq!(bench.server.connect().ask(&by_token).raw, AUTHENTICATED);
    let wrong = bench.server.connect().ask(auth("ann", WRONG)).raw;
    assert!(wrong.contains("\"Authentication failed\""), "{wrong}");
    let mut peer = bench.server.connect();
    for request in [auth("nobody", PASSWORD), auth("guest", WRONG), by_token.replace("cwt_", "cwt-")] {
        assert_eq!(peer.ask(&request).raw, wrong, "{request}");
    }
    // The connection goes on, as a guest's.
    assert!(peer.ask(LIST).is_ok());

    bench.account("", &["token", "revoke", "ann", "bot"]);
    bench.reload("accounts changed");
    assert_eq!(bench.server.connect().ask(&by_token).raw, wrong);
}

#[test]
fn commands_sign_in_and_tell_of_a_wrong_password() {
    let bench = Bench::new(&["--guests", "none"]);
    let address = bench.server.address(0).to_string();
    let as_ann = |arguments: &[&str], password: &str| bench.ask(&[arguments, &SIGN_IN].concat(), password);
    assert_eq!(as_ann(&["hello"], PASSWORD).code, Some(0));
    assert!(as_ann(&["host", "general", &address], PASSWORD).stdout.contains("hosted general"));
    assert!(as_ann(&["list"], PASSWORD).stdout.contains("general"));
    assert_eq!(bench.ask(&["list"], "").stdout, "no channels\n");
    assert!(as_ann(&["send", "--channel", "general", "hello", "--user", "ann"], PASSWORD).stdout.contains("delivered"));
    assert!(as_ann(&["history", "general"], PASSWORD).stdout.contains("ann: hello"));
    let guest = bench.ask(&["history", "general"], "");
    assert!(guest.refusal(3).contains("Channel not found"), "{guest:?}");

    for command in
        [&["list"][..], &["history", "general"], &["join", "general"], &["send", "--channel", "general", "x"]]
    {
        let wrong = as_ann(command, WRONG);
        let words = "cannot sign in: Authentication failed: Unknown account, or wrong password or token";
        assert!(wrong.refusal(3).contains(words), "{command:?}: {wrong:?}");
    }

    let token = bench.account("", &["token", "new", "ann", "bot"]);
    bench.reload("accounts changed");
    let launch = Launch::new(["list", "--server", &address]).variable("CHANWIRE_TOKEN", token.trim_end());
    assert!(launch.run().stdout.contains("general"));
    let file = bench.data.path().join("token");
    fs::write(&file, &token).unwrap();
    let by_file = bench.ask(&["list", "--token-file", file.to_str().unwrap()], "");
    assert!(by_file.stdout.contains("general"), "{by_file:?}");
}

#[test]
fn a_changed_password_ends_connections_and_a_file_with_faults_changes_nothing() {
    let bench = Bench::new(&[]);
    let mut ann = bench.server.connect();
    let mut guest = bench.server.connect();
    assert_eq!(ann.ask(host("general", bench.server.address(0))).raw, hosted("general"));
    assert_eq!(ann.ask(auth("ann", PASSWORD)).raw, AUTHENTICATED);
    assert!(ann.ask(join("general")).is_ok() && guest.ask(join("general")).is_ok());

    let path = bench.data.path().join("accounts.toml");
    let right = fs::read_to_string(&path).unwrap();
    fs::write(&path, right.replace("groups", "grups")).unwrap();
    bench.reload("the configuration is not reloaded, every setting stays as it is");
    assert!(bench.server.log().contains("ann.grups is no key; did you mean groups?"));
    fs::remove_file(&path).unwrap();
    bench.reload("the file is missing; an empty one removes all accounts");
    assert!(ann.ask(LIST).is_ok());
    fs::write(&path, right).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();

    bench.account(WRONG, &["passwd", "ann", "--password-file", "-"]);
    bench.reload("accounts changed");
    // It joined without notices, so it sees the end alone.
    assert_eq!(ann.read_to_end(), "");
    assert!(guest.ask(LIST).is_ok());
    assert!(!bench.server.connect().ask(auth("ann", PASSWORD)).is_ok());
    assert_eq!(bench.server.connect().ask(auth("ann", WRONG)).raw, AUTHENTICATED);

    bench.account("", &["remove", "ann"]);
    bench.reload("accounts changed");
    assert!(!bench.server.connect().ask(auth("ann", WRONG)).is_ok());
}

#[test]
fn the_log_and_the_metrics_tell_of_attempts_and_no_secret() {
    let bench = Bench::new(&["--log-format", "json"]);
    let mut peer = bench.server.connect();
    assert!(!peer.ask(auth("ann", WRONG)).is_ok());
    assert_eq!(peer.ask(auth("ann", PASSWORD)).raw, AUTHENTICATED);
    bench.server.wait_for_log("\"signed in\"");
    let log = bench.server.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = |words: &str| lines.iter().find(|line| line["fields"]["message"] == words).unwrap();
    let failed = line("cannot sign in");
    assert_eq!((&failed["level"], &failed["fields"]["account"]), (&json!("WARN"), &json!("ann")));
    assert!(failed.to_string().contains("127.0.0.1:"), "{failed}");
    assert_eq!(line("signed in")["level"], "INFO");
    let metrics = metrics::scrape(metrics::address(&bench.server));
    for count in ["chanwire_auth_total{result=\"failed\"} 1", "chanwire_auth_total{result=\"authenticated\"} 1"] {
        assert!(metrics.contains(count), "{count}: {metrics}");
    }
    for secret in [PASSWORD, WRONG, "$argon2id"] {
        assert!(!log.contains(secret) && !metrics.contains(secret), "{secret}");
    }
}

#[test]
fn an_older_server_and_a_peer_are_told_nothing() {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        thread,
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let older = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let count = stream.read(&mut request).unwrap();
        assert!(request[..count].starts_with(b"AUTH\r\n"));
        let answer =
            "REQUEST_ERROR\r\n{\"error\": \"Unknown command\", \"details\": \"The command 'AUTH' is not known\"}";
        stream.write_all(answer.as_bytes()).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        rest
    });
    let launch = Launch::new(["list", "--server", &address]).args(SIGN_IN).input(PASSWORD.as_bytes());
    let refused = launch.run();
    assert!(refused.refusal(1).contains("the server is older than accounts"), "{refused:?}");
    assert_eq!(older.join().unwrap(), b"");

    let bench = Bench::new(&[]);
    assert!(bench.server.connect().ask(host("far", ([127, 0, 0, 1], 9).into())).is_ok());
    let elsewhere = bench.ask(&[&["history", "far"][..], &SIGN_IN].concat(), PASSWORD);
    let words = "127.0.0.1:9 hosts the channel, and a password or token is sent to no other server than its own";
    assert!(elsewhere.refusal(1).contains(words), "{elsewhere:?}");
}

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _};

use tempfile::{TempDir, tempdir};

use super::*;
use crate::config::{
    keys::{Fallback, REPEATED, Retired},
    value::Kind,
};

/// A directory with a configuration file.
struct File(TempDir);

impl File {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let directory = tempdir().unwrap();
        fs::write(directory.path().join("chanwire.toml"), text).unwrap();
        Self(directory)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("chanwire.toml")
    }

    fn sources(&self) -> Sources {
        Sources { file: Some(self.path()), variables: Vec::new(), flags: Vec::new() }
    }

    /// Returns what is found in it, without the directory.
    fn findings(&self) -> Vec<String> {
        self.words(&self.sources().read())
    }

    fn words(&self, read: &Read) -> Vec<String> {
        let directory = format!("{}/", self.0.path().display());
        read.findings.iter().map(|finding| finding.to_string().replace(&directory, "")).collect()
    }
}

#[test]
fn a_listener_that_requires_tls_is_not_replaced_in_silence() {
    let file = File::new("[[listener]]\naddress = '127.0.0.1:1'\ntls = 'required'\n");
    let mut sources = file.sources();
    sources.variables.push(("CHANWIRE_LISTENER_ADDRESS".into(), "127.0.0.1:2".into()));
    let found = file.words(&sources.read());
    assert!(found.len() == 1 && found[0].contains(":3:") && found[0].contains("plain text is served"), "{found:?}");
    sources.variables.push(("CHANWIRE_TLS_MODE".into(), "required".into()));
    let found = file.words(&sources.read());
    assert!(!found.iter().any(|found| found.contains("left out")), "{found:?}");
    // Without the variable, TLS is required.
    let found = file.findings();
    assert!(!found.iter().any(|found| found.contains("left out")), "{found:?}");
}

fn findings(text: &str) -> Vec<String> {
    File::new(text).findings()
}

/// Returns a value of a key that is not its default, as TOML and as text.
fn sample(key: &Key) -> (String, String) {
    let text = match (key.kind, key.path) {
        (Kind::Number { max, .. }, _) => return (max.to_string(), max.to_string()),
        (Kind::Size { .. }, _) => "20G",
        (Kind::Time { .. }, _) => "7h",
        (Kind::Bool, "listener.proxy" | "auth.allow_plaintext") => return ("true".into(), "true".into()),
        (Kind::Bool, _) => return ("false".into(), "false".into()),
        (_, "listener.proxy_from") => return ("['192.0.2.0/24', '::1']".into(), "192.0.2.0/24,::1".into()),
        (_, "auth.rule.read" | "auth.rule.write" | "auth.rule.host") => {
            return ("['ann', '@staff']".into(), "ann,@staff".into());
        }
        (_, "auth.rule.channels") => "staff-*",
        (Kind::Choice(words), _) => words.last().unwrap(),
        (Kind::Path | Kind::File, _) => "/some/where \"else\"",
        (_, "listener.address") => "127.0.0.1:1",
        (_, "hosting.channels") => "general=192.0.2.7:22240@127.0.0.1:2",
        (_, "hosting.trackers") => "tls://tracker.example:22236",
        (_, "hosting.tracker_pins") => "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
        (_, "hosting.advertise" | "http.hosts" | "metrics.hosts") => "chat.example",
        (_, "limits.exempt" | "limits.deny") => "192.0.2.0/24",
        (_, "http.trusted_proxies") => "10.0.0.0/8",
        (_, "http.listen") => "127.0.0.1:3",
        (_, "metrics.listen") => "127.0.0.1:4",
        (_, "log.level") => "debug",
        (_, path) => panic!("a new key needs a sample here: {path}"),
    };
    (format!("'{text}'"), text.into())
}

/// Returns a file with one key.
fn with(key: &Key, name: &str, value: &str) -> String {
    match (key.section(), key.is_list) {
        (section, _) if REPEATED.contains(&section) => format!("[[{section}]]\n{name} = {value}\n"),
        (section, true) => format!("[{section}]\n{name} = [{value}]\n"),
        (section, false) => format!("[{section}]\n{name} = {value}\n"),
    }
}

fn values(read: Read) -> BTreeMap<&'static str, Option<Value>> {
    let (settings, _) = read.checked().unwrap();
    settings.iter().map(|setting| (setting.key.path, setting.value.clone())).collect()
}

#[test]
fn flags_and_variables_are_unique_and_defaults_are_valid() {
    let mut names = BTreeSet::new();
    for key in TABLE.with_flags() {
        assert!(names.insert(key.flag.to_owned()) && names.insert(key.variable()), "{key:?}");
        assert!(!OTHER_VARIABLES.contains(&key.variable().as_str()), "{key:?}");
    }
    for key in TABLE.keys {
        assert_eq!(key.only_in_file, key.flag.is_empty(), "{key:?}");
        assert_eq!(key.fallback().is_none(), matches!(key.default, Fallback::Found(_)), "{key:?}");
        assert!(!key.section().is_empty() && !key.name().contains('.'), "{key:?}");
    }
}

#[test]
fn a_misspelled_key_is_named_with_its_place_and_the_one_that_was_meant() {
    for key in TABLE.keys {
        let name = key.name();
        let misspelled = format!("{}x{}", &name[..2], &name[2..]);
        let found = findings(&with(key, &misspelled, &sample(key).0));
        let path = format!("{}.{misspelled}", key.section());
        let expected = format!("chanwire.toml:2:1: {path} is no key; did you mean {name}?");
        assert_eq!(found.first(), Some(&expected), "{found:?}");
    }
}

#[test]
fn a_wrong_value_is_named_with_its_place_and_the_range() {
    for key in TABLE.keys {
        for wrong in ["''", "-1", "0", "true", "1.5", "99999999999999999999", "{}", "1979-05-27"] {
            if matches!(key.kind, Kind::Bool) && wrong == "true" || (key.path, wrong) == ("drain.delay", "0") {
                continue;
            }
            let found = findings(&with(key, key.name(), wrong));
            let column =
                key.name().len() + " = ".len() + 1 + usize::from(key.is_list && !REPEATED.contains(&key.section()));
            let place = format!("chanwire.toml:2:{column}: {}: ", key.path);
            let [found] = &found[..] else { panic!("{wrong}: {found:?}") };
            assert!(found.starts_with(&place), "{wrong}: {found}");
        }
    }
}

#[test]
fn every_mistake_of_a_file_is_found_at_once() {
    let text = "[limits]\n\
                max_paylod = 65536\n\
                max_joins = 0\n\
                max-channels = 7\n\
                write_timeout = \"10s\"\n\
                [stor]\n\
                retain_age = \"30 days\"\n\
                [http]\n\
                listen = \"localhost:1\"\n";
    let expected = [
        "chanwire.toml:2:1: limits.max_paylod is no key; did you mean max_payload?",
        "chanwire.toml:3:13: limits.max_joins: 0 is not in 1..=100000",
        "chanwire.toml:4:1: limits.max-channels is no key; did you mean max_channels?",
        "chanwire.toml:5:17: limits.write_timeout: expected a number from 1 to 86400, found a string",
        "chanwire.toml:6:2: stor is no section; did you mean store?",
        "chanwire.toml:7:14: store.retain_age: expected a number from 1 with one of the units s, m, h, d",
        "chanwire.toml:9:10: http.listen: expected IP:PORT, such as 127.0.0.1:22280, or off",
    ];
    assert_eq!(findings(text), expected);
}

#[test]
fn a_key_in_another_section_or_by_its_flag_is_suggested_with_its_section() {
    for (text, words) in [
        ("max_payload = 1000\n", "1:1: max_payload is no key; did you mean limits.max_payload?"),
        ("[store]\nmax_joins = 1\n", "2:1: store.max_joins is no key; did you mean limits.max_joins?"),
        ("[store]\ndata-dir = '/x'\n", "2:1: store.data-dir is no key; did you mean data_dir?"),
        ("[zzz]\nq = 1\n", "1:2: zzz is no section"),
        ("qqqqqq = 1\n", "1:1: qqqqqq is no key"),
    ] {
        assert_eq!(findings(text), [format!("chanwire.toml:{words}")]);
    }
}

#[test]
fn broken_toml_is_named_with_its_place_beside_the_other_faults() {
    let found = findings("[limits]\nmax_joins 5\nmax_channels = 0\nmax_names =\n[store\nmax = 1\n[http]\nlisten = 1\n");
    let starts = [
        "chanwire.toml:2:11: invalid TOML: ",
        "chanwire.toml:3:16: limits.max_channels: 0 is not in ",
        "chanwire.toml:4:",
        "chanwire.toml:5:",
        "chanwire.toml:8:10: http.listen: expected IP:PORT",
    ];
    assert_eq!(found.len(), starts.len(), "{found:?}");
    assert!(found.iter().zip(starts).all(|(found, start)| found.starts_with(start)), "{found:?}");
    let twice = findings("[limits]\nmax_joins = 5\nmax_joins = 6\n");
    assert!(twice[0].starts_with("chanwire.toml:3:1: invalid TOML: duplicate key"), "{twice:?}");
}

#[test]
fn sections_have_their_form() {
    for (text, words) in [
        ("[listener]\naddress = '127.0.0.1:1'\n", "1:2: listener: there may be several of them: write [[listener]]"),
        ("listener = 'a'\n", "1:1: listener: it is a list of sections: write [[listener]]"),
        ("limits = 5\n", "1:1: limits: it is a section: write [limits]"),
        ("[[limits]]\nmax_joins = 5\n", "1:3: limits: it is a section: write [limits]"),
        ("[[listener]]\n", "1:1: listener: it has no address"),
        ("[http]\nhosts = 'a'\n", "2:9: http.hosts: expected a list, as in [\"…\"], found string"),
    ] {
        assert_eq!(findings(text), [format!("chanwire.toml:{words}")]);
    }
}

#[test]
fn settings_that_contradict_each_other_are_found() {
    for (text, words) in [
        (
            "[metrics]\nlisten = 'off'\nhosts = ['a.example']\n",
            "3:10: metrics.hosts: with --metrics off there are none",
        ),
        ("[metrics]\nlisten = '127.0.0.1:22280'\n", "2:10: metrics.listen: 127.0.0.1:22280 is also an address of http"),
        ("[http]\nlisten = 'off'\nhosts = ['a.example']\n", "3:10: http.hosts: with --http off there is no page"),
        ("[hosting]\ntrackers = ['a:1']\n", "2:13: hosting.trackers: no channel is hosted (--host)"),
        (
            "[hosting]\nchannels = ['a=192.0.2.7:1', 'a=192.0.2.7:2']\n",
            "2:30: hosting.channels: the channel 'a' is named more than once",
        ),
        (
            "[[listener]]\naddress = '127.0.0.1:1'\n[[listener]]\naddress = '127.0.0.1:1'\n",
            "4:11: listener.address: 127.0.0.1:1 is given more than once",
        ),
        (
            "[[listener]]\naddress = '127.0.0.1:1'\nproxy = true\n",
            "3:9: listener.proxy: it needs proxy_from, the networks of the proxies",
        ),
        (
            "[[listener]]\naddress = '127.0.0.1:1'\nproxy = true\nproxy_from = []\n",
            "3:9: listener.proxy: it needs proxy_from, the networks of the proxies",
        ),
        (
            "[[listener]]\naddress = '127.0.0.1:1'\nproxy_from = ['10.0.0.0/8']\n",
            "3:14: listener.proxy_from: it has no effect without proxy = true",
        ),
        (
            "[[listener]]\naddress = 'unix:/run/a'\n[[listener]]\naddress = 'unix:/run/a'\n",
            "4:11: listener.address: unix:/run/a is given more than once",
        ),
        (
            "[[listener]]\naddress = 'unix:/run/a'\naddress_rights = true\n",
            "3:18: listener.address_rights: clients of a Unix socket have no address",
        ),
        (
            "[[listener]]\naddress = 'unix:/run/a'\nproxy = true\nproxy_from = ['::1']\n",
            "3:9: listener.proxy: a Unix socket takes no PROXY header",
        ),
        (
            "[[listener]]\naddress = 'unix:run/a'\n",
            "2:11: listener.address: expected unix: and an absolute path, such as unix:/run/chanwire/chanwire.sock",
        ),
        ("[http]\nlisten = '127.0.0.1:22236'\n", "2:10: http.listen: 127.0.0.1:22236 is also an address of listener"),
        (
            "[[listener]]\naddress = '[::]:9'\n[[listener]]\naddress = '127.0.0.1:9'\n",
            "2:11: listener.address: [::]:9 takes IPv4 as well, and so 127.0.0.1:9",
        ),
    ] {
        let found = findings(text);
        assert!(found.len() == 1 && found[0].starts_with(&format!("chanwire.toml:{words}")), "{found:?}");
    }
    // One beside the other takes nothing from it.
    let both = "[[listener]]\naddress = '[::]:9'\n[[listener]]\naddress = '0.0.0.0:9'\n";
    assert_eq!(findings(both), [""; 0]);
}

#[test]
fn a_flag_overrides_a_variable_which_overrides_the_file_which_overrides_the_default() {
    let key = &LIMITS_MAX_JOINS;
    let file = File::new("[limits]\nmax_joins = 2\n");
    let mut sources = Sources { file: None, variables: Vec::new(), flags: Vec::new() };
    let joins = |sources: &Sources| {
        let (settings, warnings) = sources.read().checked().unwrap();
        assert_eq!(warnings, []);
        (settings.config().unwrap().hub_limits.max_joins, settings.setting(key).unwrap().origin.to_string())
    };
    assert_eq!(joins(&sources), (1000, "default".into()));
    sources.file = Some(file.path());
    assert_eq!(joins(&sources), (2, format!("{}:2:1", file.path().display())));
    sources.variables = vec![("CHANWIRE_LIMITS_MAX_JOINS".into(), "3".into())];
    assert_eq!(joins(&sources), (3, "CHANWIRE_LIMITS_MAX_JOINS".into()));
    sources.flags = vec![(key, Value::Number(4))];
    assert_eq!(joins(&sources), (4, "--max-joins".into()));
}

#[test]
fn every_key_with_a_flag_can_be_a_variable() {
    for key in TABLE.with_flags() {
        let text = sample(key).1;
        let variables = vec![(key.variable(), text.clone().into())];
        let read = Sources { file: None, variables, flags: Vec::new() }.read();
        let value = read.settings.value(key).unwrap();
        assert_eq!((value.to_string(), read.settings.setting(key).unwrap().origin.to_string()), (text, key.variable()));
    }
}

#[test]
fn variables_that_are_wrong_are_faults_and_unknown_ones_are_warnings() {
    let variable = |name: &str, value: &str| {
        let read = Sources { file: None, variables: vec![(name.into(), value.into())], flags: Vec::new() }.read();
        read.findings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let wrong = ["CHANWIRE_LIMITS_MAX_JOINS: 0 is not in 1..=100000"];
    assert_eq!(variable("CHANWIRE_LIMITS_MAX_JOINS", "0"), wrong);
    let unknown =
        "warning: CHANWIRE_LIMITS_MAX_JOIN is no variable of chanwire; did you mean CHANWIRE_LIMITS_MAX_JOINS?";
    assert_eq!(variable("CHANWIRE_LIMITS_MAX_JOIN", "1"), [unknown]);
    let derived = "warning: CHANWIRE_STORE_DATA_DIR is no variable of chanwire; did you mean CHANWIRE_DATA_DIR?";
    assert_eq!(variable("CHANWIRE_STORE_DATA_DIR", "/x"), [derived]);
    assert_eq!(variable("CHANWIRE_DATA_DIR", ""), ["CHANWIRE_DATA_DIR: expected the path of a directory"]);
    for known in OTHER_VARIABLES {
        assert_eq!(variable(known, "1"), [""; 0]);
    }
}

#[test]
fn a_list_in_a_variable_is_separated_by_commas() {
    let variables = vec![("CHANWIRE_LISTENER_ADDRESS".into(), "127.0.0.1:1, [::1]:2".into())];
    let (settings, _) = Sources { file: None, variables, flags: Vec::new() }.read().checked().unwrap();
    let listen = settings.config().unwrap().listen;
    assert_eq!(listen, ["127.0.0.1:1", "[::1]:2"].map(|text| Listen::from(text.parse::<SocketAddr>().unwrap())));
}

#[test]
fn each_listener_has_its_own_keys_and_flags_replace_all_of_them() {
    let file = File::new(
        "[[listener]]\naddress = '127.0.0.1:1'\naddress_rights = false\n\
         [[listener]]\naddress = '127.0.0.1:2'\n\
         [[listener]]\naddress_rights = false\naddress = '127.0.0.1:3'\n",
    );
    let listen = |sources: &Sources| {
        let (settings, _) = sources.read().checked().unwrap();
        let listeners = settings.config().unwrap().listen;
        listeners.iter().map(|it| (it.address.port(), it.address_rights)).collect::<Vec<_>>()
    };
    let mut sources = file.sources();
    assert_eq!(listen(&sources), [(1, false), (2, true), (3, false)]);
    sources.variables = vec![("CHANWIRE_LISTENER_ADDRESS".into(), "127.0.0.1:4,127.0.0.1:5".into())];
    assert_eq!(listen(&sources), [(4, true), (5, true)]);
    sources.flags = vec![(&LISTENER_ADDRESS, Value::List(vec![Value::Text("127.0.0.1:6".into())]))];
    assert_eq!(listen(&sources), [(6, true)]);
}

#[test]
fn tls_needs_both_files_and_a_listener_that_can_take_it() {
    let half = |one: &str, other: &str| {
        let found = findings(&format!("[tls]\n{one} = 'x'\n"));
        let column = one.len() + " = ".len() + 1;
        assert_eq!(found, [format!("chanwire.toml:2:{column}: tls.{one}: it needs tls.{other} as well")]);
    };
    half("certificate", "key");
    half("key", "certificate");
    let listener = |address: &str, tls: &str| format!("[[listener]]\naddress = '{address}'\ntls = '{tls}'\n");
    let alone = ["chanwire.toml:3:7: listener.tls: it needs a certificate: set tls.certificate and tls.key"];
    assert_eq!(findings(&listener("127.0.0.1:1", "required")), alone);
    assert_eq!(findings(&listener("127.0.0.1:1", "off")), [""; 0]);
    let mode = "[tls]\nmode = 'optional'\n";
    assert_eq!(
        findings(mode),
        ["chanwire.toml:2:8: tls.mode: it needs a certificate: set tls.certificate and tls.key"]
    );
    assert_eq!(findings("[tls]\nmode = 'off'\n"), [""; 0]);
    let page = "[http]\ntls = 'required'\n";
    assert_eq!(
        findings(page),
        ["chanwire.toml:2:7: http.tls: it needs a certificate: set tls.certificate and tls.key"]
    );
    let files = "[tls]\ncertificate = 'x'\nkey = 'y'\n";
    assert_eq!(findings(&(page.to_owned() + files)), [""; 0]);
    let no_page = page.to_owned() + "listen = 'off'\n" + files;
    let found = findings(&no_page);
    assert!(found.len() == 1 && found[0].starts_with("chanwire.toml:2:7: http.tls: "), "{found:?}");
    assert_eq!(findings(&(listener("127.0.0.1:1", "required") + files)), [""; 0]);
    let unix = ["chanwire.toml:3:7: listener.tls: a Unix socket takes no TLS; leave this out"];
    assert_eq!(findings(&(listener("unix:/run/x.sock", "optional") + files)), unix);
}

#[test]
fn a_file_that_cannot_be_used_is_a_fault() {
    for (text, words) in [
        (&b""[..], "1:1: the file is empty"),
        (b" \n\t\n", "1:1: the file is empty"),
        (b"[limits]\n# \xff", "2:3: the file is not UTF-8"),
        (&[b'#'; 2 << 20], "1:1: cannot read the configuration: it has more than 1048576 bytes"),
    ] {
        let found = File::new(text).findings();
        assert!(found.len() == 1 && found[0].starts_with(&format!("chanwire.toml:{words}")), "{found:?}");
    }
    assert_eq!(findings("# nothing is set\n"), [""; 0]);

    let file = File::new("# nothing is set\n");
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o646)).unwrap();
    let open = "chanwire.toml:1:1: cannot read the configuration: everybody may write it; run `chmod o-w` on it";
    assert_eq!(file.findings(), [open]);

    fs::remove_file(file.path()).unwrap();
    assert!(file.findings()[0].contains("cannot read the configuration: No such file"), "{:?}", file.findings());
    fs::create_dir(file.path()).unwrap();
    assert!(file.findings()[0].contains("it is not a regular file"), "{:?}", file.findings());
}

#[test]
fn the_order_of_keys_has_no_meaning() {
    let key = |key: &&Key| with(key, key.name(), &sample(key).0).split_once('\n').map(|(_, line)| line.to_owned());
    let sections = TABLE.sections();
    let section = |turn: usize, section: &str| {
        let keys = TABLE.keys.iter().copied().filter(|key| key.section() == section);
        let mut lines: Vec<String> = keys.filter_map(|it| key(&it)).collect();
        let count = lines.len();
        lines.rotate_left(turn % count);
        let header = if REPEATED.contains(&section) { format!("[[{section}]]") } else { format!("[{section}]") };
        format!("{header}\n{}", lines.concat())
    };
    let read = |turn: usize| {
        let mut parts: Vec<String> = sections.iter().map(|name| section(turn, name)).collect();
        let count = parts.len();
        parts.rotate_left(turn % count);
        if turn % 2 == 1 {
            parts.reverse();
        }
        values(File::new(parts.concat()).sources().read())
    };
    let first = read(0);
    assert!(TABLE.keys.iter().all(|key| first[key.path] != key.fallback()), "{first:?}");
    for turn in 1..60 {
        assert_eq!(read(turn), first, "{turn}");
    }
}

#[test]
fn sizes_and_times_are_equal_in_any_unit() {
    let one = File::new("[store]\nretain_bytes = '1G'\nretain_age = '1d'\n[limits]\nmax_joins = 0x_10\n");
    let other = File::new("[store]\nretain_bytes = 1_073_741_824\nretain_age = '24h'\n[limits]\nmax_joins = 16\n");
    // A digit must come after the prefix.
    assert!(one.findings()[0].contains("5:"), "{:?}", one.findings());
    let one = File::new("[store]\nretain_bytes = '1G'\nretain_age = '1d'\n[limits]\nmax_joins = 0x10\n");
    assert_eq!(values(one.sources().read()), values(other.sources().read()));
}

#[test]
fn a_retired_key_is_a_warning_and_its_value_is_the_successors() {
    static RETIRED: [Retired; 2] = [
        Retired { path: "server.joins", successor: Some("limits.max_joins") },
        Retired { path: "limits.colour", successor: None },
    ];
    static WITH_RETIRED: Table = Table { keys: TABLE.keys, retired: &RETIRED };
    let file = File::new("[server]\njoins = 7\nroom = 1\n[limits]\ncolour = 'red'\n");
    let read = file.sources().read_by(&WITH_RETIRED);
    let expected = [
        "warning: chanwire.toml:2:1: server.joins is retired: write limits.max_joins instead",
        "chanwire.toml:3:1: server.room is no key",
        "warning: chanwire.toml:5:1: limits.colour is retired and has no effect",
    ];
    assert_eq!(file.words(&read), expected);
    assert_eq!(read.settings.value(&LIMITS_MAX_JOINS), Some(&Value::Number(7)));
    // The successor's own value goes first.
    let both = File::new("[server]\njoins = 7\n[limits]\nmax_joins = 8\n").sources().read_by(&WITH_RETIRED);
    assert_eq!(both.settings.value(&LIMITS_MAX_JOINS), Some(&Value::Number(8)));
}

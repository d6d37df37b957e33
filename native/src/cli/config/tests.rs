use std::{fmt::Write as _, fs};

use super::*;

/// The example that is shipped.
const EXAMPLE: &str = include_str!("../../../packaging/chanwire.toml");

/// Returns the example, as the table has it.
fn example() -> String {
    let mut text = String::from(
        "# The configuration of `chanwire serve --config FILE`. Every key is here, with its default.\n\
         # `chanwire config check FILE` reports each fault, `chanwire config explain KEY` tells more of a key.\n",
    );
    let mut section = "";
    for key in TABLE.keys {
        if section != key.section() {
            section = key.section();
            // A section of which there may be several begins with the first key.
            let header = if REPEATED.contains(&section) { format!("#[[{section}]]") } else { format!("[{section}]") };
            write!(text, "\n{header}\n").unwrap();
        }
        let value = match key.fallback() {
            Some(Value::List(values)) if REPEATED.contains(&section) && !key.only_in_file => values[0].to_toml(),
            Some(value) => value.to_toml(),
            None if key.path == "store.data_dir" => "\"/var/lib/chanwire\"".into(),
            None if key.path == "hosting.tracker_ca" => "\"/etc/chanwire/tracker-ca.pem\"".into(),
            None if key.path == "auth.rule.channels" => "\"staff-*\"".into(),
            None if key.section() == "auth.rule" => "[\"@staff\"]".into(),
            None if matches!(key.path, "listener.tls" | "tls.mode") => "\"optional\"".into(),
            None if key.section() == "tls" => {
                format!("\"/etc/chanwire/chanwire.{}\"", if key.name() == "key" { "key" } else { "crt" })
            }
            None => "\"20G\"".into(),
        };
        let words = match key.default {
            Fallback::Found(words) => format!(" Default: {words}."),
            Fallback::Value(_) | Fallback::Empty => String::new(),
        };
        let comment = format!("{}.{words} Takes {}; {}.", key.help, key.kind.expected(), key.applied);
        writeln!(text, "{}#{} = {value}", commented(&comment), key.name()).unwrap();
    }
    text
}

/// Returns a text as lines of a comment.
fn commented(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::from("#"));
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > 100 {
            lines += &format!("{line}\n");
            line = "#".into();
        }
        line += &format!(" {word}");
    }
    lines + &line + "\n"
}

fn settings(text: &str) -> Settings {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("chanwire.toml");
    fs::write(&file, text).unwrap();
    Sources::new(Some(file), Vec::new()).read().checked().unwrap().0
}

fn values(settings: &Settings) -> Vec<Option<Value>> {
    settings.iter().map(|setting| setting.value.clone()).collect()
}

#[test]
fn the_example_is_the_table() {
    assert_eq!(EXAMPLE, example(), "write this to native/packaging/chanwire.toml:\n{}", example());
}

#[test]
fn the_example_changes_nothing_until_a_key_is_uncommented() {
    let defaults = values(&Sources::new(None, Vec::new()).read().checked().unwrap().0);
    assert_eq!(values(&settings(EXAMPLE)), defaults);
    let uncommented: Vec<&str> = EXAMPLE
        .lines()
        .map(|line| line.strip_prefix('#').filter(|key| !key.starts_with(' ')).unwrap_or(line))
        .collect();
    let all = settings(&uncommented.join("\n"));
    let given = all.iter().filter(|setting| setting.origin.to_string().contains("chanwire.toml:"));
    assert_eq!(given.count(), TABLE.keys.len());
}

#[test]
fn the_shown_configuration_parses_to_the_same_settings() {
    let text = "[[listener]]\naddress = '127.0.0.1:1'\naddress_rights = false\n[[listener]]\naddress = '[::1]:0'\n\
                [hosting]\nchannels = ['a \"b\\c=192.0.2.7:1', 'é=192.0.2.7:2@0.0.0.0:2']\nadvertise = ['x.example']\n\
                [http]\nlisten = 'off'\n\
                [store]\ndata_dir = '/a\"\\b'\nretain_count = 5\nretain_bytes = 'unlimited'\nmax = '3G'\nmin_free = 1000\n\
                [limits]\nforget_names = '90m'\n[log]\nformat = 'json'\n[auth]\nguests = 'read'\n\
                [[auth.rule]]\nchannels = 'a*'\nread = ['guests', '@b']\nhost = []\n[[auth.rule]]\nchannels = 'b'\n";
    let one = settings(text);
    let shown = toml_of(&one);
    assert_eq!(values(&settings(&shown)), values(&one), "{shown}");
    assert!(shown.contains("max_payload = 65536  # default\n"), "{shown}");
    assert!(shown.contains("retain_count = 5  # ") && shown.contains("chanwire.toml:12:1\n"), "{shown}");
    assert!(shown.contains("address_rights = false  # ") && shown.contains("chanwire.toml:3:18\n"), "{shown}");
    assert_eq!(shown.matches("address_rights").count(), 1, "{shown}");
    assert_eq!(shown.matches("[[auth.rule]]").count(), 2, "{shown}");
    let defaults = settings("# nothing\n");
    assert_eq!(values(&settings(&toml_of(&defaults))), values(&defaults));
}

#[test]
fn a_secret_is_not_shown() {
    static SECRET: Key = Key { path: "http.token", is_secret: true, ..crate::config::KEY };
    let shown = shown(&SECRET, &Value::Text("hunter2".into()));
    assert_eq!(shown, "\"(hidden)\"");
}

#[test]
fn a_key_is_explained_by_its_path_flag_or_variable() {
    for name in ["limits.max_payload", "--max-payload", "CHANWIRE_LIMITS_MAX_PAYLOAD"] {
        let text = explained(named(&TABLE, name).unwrap());
        for words in
            ["Refuse a request", "a number from 256 to 16777216", "65536", "--max-payload N", "CHANWIRE_LIMITS_"]
        {
            assert!(text.contains(words), "{text}");
        }
    }
    let text = explained(named(&TABLE, "listener.address_rights").unwrap());
    assert!(text.contains("none: a key of each [[listener]] of the file"), "{text}");
    assert_eq!(named(&TABLE, "").unwrap_err(), None);
    assert_eq!(named(&TABLE, "limits.max_paylod").unwrap_err(), Some("limits.max_payload".into()));
    assert_eq!(named(&TABLE, "max_paylod").unwrap_err(), Some("limits.max_payload".into()));
    assert_eq!(named(&TABLE, "zzzzzzzz").unwrap_err(), None);
}

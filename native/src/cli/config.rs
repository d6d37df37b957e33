//! `chanwire config`

use std::path::PathBuf;

use chanwire_inspect::visible;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, Outcome, flags::Flags, text::print};
use crate::{
    config::{
        Applied, Fallback, Finding, Key, REPEATED, Setting, Settings, Sources, TABLE, Value, named, origin_members,
    },
    logging,
};

/// Check, show and explain the configuration of `serve`
#[derive(Debug, Subcommand)]
pub(super) enum Config {
    Check(Check),
    Show(Show),
    Explain(Explain),
}

/// Check a configuration file, and report every fault
///
/// The environment and options given here are checked with it, as `serve` would use them. The exit code is 2 if there
/// is a fault. Warnings leave it 0.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The file (TOML) [default: none]
    #[arg(value_name = "FILE", env = "CHANWIRE_CONFIG", hide_env_values = true)]
    file: Option<PathBuf>,

    /// Print one JSON object a finding
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    flags: Flags,
}

/// Show the value of every key and its origin
///
/// The values are those that `serve` would use with the same file, environment and options. The output is a
/// configuration file.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Read the configuration from this file (TOML) [default: none]
    #[arg(long, value_name = "FILE", env = "CHANWIRE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,

    /// Print one JSON object a key
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    flags: Flags,
}

/// Explain a key: its meaning, range, default, flag and variable
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The key, its flag or its variable; without one, all keys are listed
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    key: Option<String>,

    /// Print one JSON object a key
    #[arg(long)]
    json: bool,
}

impl Config {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        match self {
            Self::Check(check) => check.run(),
            Self::Show(show) => show.run(),
            Self::Explain(explain) => explain.run(),
        }
    }
}

/// Returns the failure of a configuration with faults.
pub(super) fn refused(findings: &[Finding]) -> Failure {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    Failure::usage(lines.join("\nchanwire: "))
}

impl Check {
    fn run(self) -> Result<Outcome, Failure> {
        let (read, _) = Sources::new(self.file.clone(), self.flags.0).read().with_files().with_accounts(None);
        let mut text = String::new();
        for finding in &read.findings {
            text += &if self.json { finding.to_json().to_string() } else { finding.to_string() };
            text.push('\n');
        }
        let faults = read.findings.iter().filter(|finding| finding.is_fault()).count();
        if !self.json && faults == 0 {
            let name = self.file.as_deref().map_or("no file".into(), |file| file.display().to_string());
            text += &format!("{}: no faults\n", visible(&name));
        }
        print(&text)?;
        if faults == 0 { Ok(Outcome::Done) } else { Err(Failure::usage("")) }
    }
}

impl Show {
    fn run(self) -> Result<Outcome, Failure> {
        let sources = Sources::new(self.config, self.flags.0);
        let (settings, warnings) = sources.read().checked().map_err(|findings| refused(&findings))?;
        for warning in warnings {
            logging::say(&format!("chanwire: {warning}"));
        }
        print(&if self.json { json_of(&settings) } else { toml_of(&settings) })?;
        Ok(Outcome::Done)
    }
}

const HIDDEN: &str = "(hidden)";

/// Returns the settings as a configuration file, with the origin of each value.
fn toml_of(settings: &Settings) -> String {
    let mut text = String::new();
    let mut section = "";
    for sections in REPEATED.map(|section| repeated(settings, section)) {
        if !text.is_empty() && !sections.is_empty() {
            text.push('\n');
        }
        text += &sections;
    }
    for setting in settings.iter().filter(|setting| !REPEATED.contains(&setting.key.section())) {
        let key = setting.key;
        if section != key.section() {
            section = key.section();
            text += &format!("{}[{section}]\n", if text.is_empty() { "" } else { "\n" });
        }
        text += &line(setting);
    }
    text
}

/// Returns the sections of this name, of which there may be several.
fn repeated(settings: &Settings, section: &str) -> String {
    let keys: Vec<&Setting> = settings.iter().filter(|setting| setting.key.section() == section).collect();
    let items = |setting: &Setting| setting.value.as_ref().map_or(0, |value| value.items().len());
    let line = |setting: &&Setting, index: usize| {
        let value = setting.value.as_ref()?.items().get(index).filter(|value| **value != Value::Unset)?;
        let (key, origin) = (setting.key, setting.origin_of(index).to_string());
        Some(format!("{} = {}  # {}\n", key.name(), shown(key, value), visible(&origin)))
    };
    let sections = (0..keys.iter().map(|setting| items(setting)).max().unwrap_or_default()).map(|index| {
        let lines: String = keys.iter().filter_map(|setting| line(setting, index)).collect();
        format!("[[{section}]]\n{lines}")
    });
    sections.collect::<Vec<_>>().join("\n")
}

/// Returns a key with its value, and the value's origin as a comment.
fn line(setting: &Setting) -> String {
    let key = setting.key;
    match (&setting.value, key.default) {
        (Some(value), _) => format!("{} = {}  # {}\n", key.name(), shown(key, value), origin(setting)),
        (None, Fallback::Found(words)) => format!("# {} is not set  # default: {words}\n", key.name()),
        (None, _) => String::new(),
    }
}

fn origin(setting: &Setting) -> String {
    visible(&setting.origin.to_string()).into_owned()
}

/// Returns a value as TOML, or words in its place if it is secret.
fn shown(key: &Key, value: &Value) -> String {
    if key.is_secret { format!("{HIDDEN:?}") } else { value.to_toml() }
}

/// Returns the settings as JSON, one object a key.
fn json_of(settings: &Settings) -> String {
    let object = |setting: &Setting| {
        let value = setting.value.as_ref();
        let value = value.map(|value| if setting.key.is_secret { HIDDEN.into() } else { value.to_json() });
        let mut object = origin_members(&setting.origin);
        object.insert("key".into(), setting.key.path.into());
        object.insert("value".into(), value.into());
        serde_json::Value::Object(object).to_string() + "\n"
    };
    settings.iter().map(object).collect()
}

impl Explain {
    fn run(self) -> Result<Outcome, Failure> {
        let keys = match &self.key {
            None => TABLE.keys.to_vec(),
            Some(name) => vec![named(&TABLE, name).map_err(|meant| {
                let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
                Failure::usage(format!("{name} is no key{meant}"))
            })?],
        };
        let text: String = match (self.json, self.key.is_some()) {
            (true, _) => keys.iter().map(|key| explained_json(key)).collect(),
            (false, true) => keys.iter().map(|key| explained(key)).collect(),
            (false, false) => {
                let width = keys.iter().map(|key| key.path.len()).max().unwrap_or_default();
                keys.iter().map(|key| format!("{:width$}  {}\n", key.path, key.help)).collect()
            }
        };
        print(&text)?;
        Ok(Outcome::Done)
    }
}

fn default_of(key: &Key) -> String {
    match key.default {
        Fallback::Value(value) => value.into(),
        Fallback::Empty => "none".into(),
        Fallback::Found(words) => words.into(),
    }
}

fn explained(key: &Key) -> String {
    let precedent = if key.precedent.is_empty() { String::new() } else { format!(" ({})", key.precedent) };
    let (flag, variable) = if key.only_in_file {
        (format!("none: a key of each [[{}]] of the file", key.section()), "none".into())
    } else {
        let variable = key.variable() + if key.is_list { ", separated by commas" } else { "" };
        (format!("--{} {}", key.flag, key.value_name), variable)
    };
    let rows = [
        ("value", format!("{}{}", if key.is_list { "a list; each " } else { "" }, key.kind.expected())),
        ("default", default_of(key) + &precedent),
        ("flag", flag),
        ("variable", variable),
        ("change", key.applied.to_string()),
    ];
    let rows: String = rows.iter().map(|(name, words)| format!("  {name:<9} {words}\n")).collect();
    format!("{}\n  {}\n{rows}", key.path, key.help)
}

fn explained_json(key: &Key) -> String {
    let object = json!({
        "key": key.path,
        "help": key.help,
        "value": key.kind.expected(),
        "is_list": key.is_list,
        "default": key.fallback().map(|value| value.to_json()),
        "default_words": default_of(key),
        "precedent": key.precedent,
        "flag": (!key.only_in_file).then(|| format!("--{}", key.flag)),
        "variable": (!key.only_in_file).then(|| key.variable()),
        "is_live": key.applied == Applied::Live,
    });
    format!("{object}\n")
}

#[cfg(test)]
mod tests;

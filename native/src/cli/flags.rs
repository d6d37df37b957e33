//! The flags of `serve`, made from the table of keys.

use std::ffi::OsString;

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches,
    builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser as _},
    parser::ValueSource,
};

use crate::config::{Fallback, Key, Kind, TABLE, Value};

/// The flags that were given.
#[derive(Clone, Debug)]
pub(super) struct Flags(pub(super) Vec<(&'static Key, Value)>);

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        command.args(TABLE.with_flags().map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn arg(key: &'static Key) -> Arg {
    let mut help = String::from(key.help);
    let variable = key.named_variable.map(|variable| format!("[env: {variable}]"));
    let found = match key.default {
        Fallback::Found(default) => Some(format!("[default: {default}]")),
        Fallback::Value(_) | Fallback::Empty => None,
    };
    for part in found.iter().chain(&variable) {
        help = format!("{help} {part}");
    }
    let arg = Arg::new(key.path).long(key.flag).value_name(key.value_name).help(help);
    let arg = match key.default {
        Fallback::Value(default) if key.is_list => arg.default_values(default.split(',')),
        Fallback::Value(default) => arg.default_value(default),
        Fallback::Empty | Fallback::Found(_) => arg,
    };
    let arg = arg.action(if key.is_list { ArgAction::Append } else { ArgAction::Set });
    // `--FLAG` is `--FLAG=true`.
    let is_switch = matches!(key.kind, Kind::Bool);
    let arg = if is_switch { arg.num_args(0..=1).require_equals(true).default_missing_value("true") } else { arg };
    match key.kind {
        Kind::Choice(words) => arg.value_parser(PossibleValuesParser::new(words).try_map(|word| key.kind.parse(&word))),
        _ => arg.value_parser(OsStringValueParser::new().try_map(|text: OsString| key.kind.parse_os(&text))),
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |key: &&'static Key| matches.value_source(key.path) == Some(ValueSource::CommandLine);
        let value = |key: &'static Key| {
            let mut values: Vec<Value> = matches.get_many(key.path)?.cloned().collect();
            Some((key, if key.is_list { Value::List(values) } else { values.pop()? }))
        };
        Ok(Self(TABLE.with_flags().filter(given).filter_map(value).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

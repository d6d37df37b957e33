//! Requests written by hand, and what the server would say of them.

use std::collections::BTreeMap;

use chanwire_core::wire::{self, Command, PayloadFault, PayloadFaultKind, Request, StartLine as _};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Direction, Listing, Row, visible};

/// The form of one command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommandForm {
    /// The command.
    pub command: &'static str,
    /// Its fields, in the order in which they are checked and written.
    pub fields: Vec<CommandField>,
    /// A request as it stands on the wire.
    pub example: &'static str,
}

/// A field of a command's payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommandField {
    /// Its name.
    pub name: &'static str,
    /// The kind of value that is typed into it.
    pub kind: ValueKind,
    /// Whether it must be there.
    pub required: bool,
    /// The values that it may have, in words that complete "must be …".
    pub hint: &'static str,
}

/// The kind of a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueKind {
    /// A string.
    Text,
    /// An integer.
    Integer,
    /// `true` or `false`.
    Flag,
}

/// An error in a typed value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The field, if it is one field's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The error, in the server's words.
    pub message: String,
}

/// Returns a form for each command that there is, in the protocol's order.
#[must_use]
pub fn commands() -> Vec<CommandForm> {
    let field = |field: &wire::Field| CommandField {
        name: field.name,
        kind: match field.kind {
            wire::FieldKind::Flag => ValueKind::Flag,
            kind if kind.is_integer() => ValueKind::Integer,
            _ => ValueKind::Text,
        },
        required: field.required,
        hint: field.kind.rule(),
    };
    let form = |command: &Command| CommandForm {
        command: command.name(),
        fields: command.fields().iter().map(field).collect(),
        example: example(*command),
    };
    Command::ALL.iter().map(form).collect()
}

/// Returns the canonical bytes of a request, from what was typed into each field. An empty field is absent.
///
/// # Errors
///
/// The problems that a server would find, of every field and not only of the first.
pub fn compose(command: &str, values: &BTreeMap<String, String>) -> Result<Vec<u8>, Vec<Problem>> {
    let problem = |message: String| vec![Problem { field: None, message }];
    let Some(command) = Command::parse(command.as_bytes()) else {
        return Err(problem(format!("Unknown command '{}'", visible(command))));
    };
    let request = read(command, values)?;
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    match check(&bytes).into_iter().find_map(|row| row.fault) {
        Some(fault) => Err(problem(fault.details)),
        None => Ok(bytes),
    }
}

/// A request as it is written in a form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Filled {
    /// The command.
    pub command: &'static str,
    /// The value of each field that is not empty.
    pub values: BTreeMap<String, String>,
}

/// Returns the form that [`compose`]s exactly these bytes, if there is one: they are one whole request, right and
/// canonical.
#[must_use]
pub fn fill(bytes: &[u8]) -> Option<Filled> {
    let [row] = <[Row; 1]>::try_from(check(bytes)).ok()?;
    let command = Command::parse(row.head.as_bytes())?.name();
    let values = row.fields.into_iter().map(|field| (field.name, field.text)).collect();
    (compose(command, &values).as_deref() == Ok(bytes)).then_some(Filled { command, values })
}

/// Returns the server's verdicts on these bytes, were they all that a connection sends.
#[must_use]
pub fn check(bytes: &[u8]) -> Vec<Row> {
    let mut listing = Listing::new(Direction::Out, None).with_secrets(true);
    listing.feed(bytes);
    listing.finish();
    std::iter::from_fn(|| listing.next_row()).collect()
}

/// Returns the request that the values make.
fn read(command: Command, values: &BTreeMap<String, String>) -> Result<Request, Vec<Problem>> {
    let mut payload = typed(command, values);
    let good = example_members(command);
    let mut problems: Vec<Problem> = unknown(command, values).collect();
    // An invalid field is replaced by a valid one, so that faults after it are found too.
    for _ in 0..=command.fields().len() {
        match Request::decode(command, Value::Object(payload.clone()).to_string().as_bytes()) {
            Ok(request) if problems.is_empty() => return Ok(request),
            Ok(_) => break,
            Err(fault) => {
                let field = field_of(&fault);
                problems.push(Problem { field: field.map(Into::into), message: fault.kind.to_string() });
                let Some(field) = field else { break };
                // A good value stands in only for a field that must be there, or must be in one of two forms.
                let is_needed = |known: &wire::Field| {
                    known.required || matches!(known.kind, wire::FieldKind::AccountName | wire::FieldKind::Secret)
                };
                let required = command.fields().iter().any(|known| known.name == field && is_needed(known));
                match good.get(field).filter(|_| required) {
                    Some(value) => payload.insert(field.into(), value.clone()),
                    None => payload.remove(field),
                };
            }
        }
    }
    Err(problems)
}

/// Returns the payload as it was typed. A text in place of an integer or a flag stays a string, for the server to
/// refuse.
fn typed(command: Command, values: &BTreeMap<String, String>) -> Map<String, Value> {
    let mut payload = Map::new();
    for field in command.fields() {
        let Some(text) = values.get(field.name).filter(|text| !text.is_empty()) else { continue };
        let typed = match field.kind {
            wire::FieldKind::Flag => text.trim().parse().ok().map(Value::Bool),
            kind if kind.is_integer() => text.trim().parse().ok().map(|integer: u64| integer.into()),
            _ => None,
        };
        payload.insert(field.name.into(), typed.unwrap_or_else(|| text.as_str().into()));
    }
    payload
}

/// Returns problems of values in fields that the command does not have.
fn unknown(command: Command, values: &BTreeMap<String, String>) -> impl Iterator<Item = Problem> {
    let known = move |name: &str| command.fields().iter().any(|field| field.name == name);
    values.iter().filter(move |(name, text)| !text.is_empty() && !known(name)).map(move |(name, _)| Problem {
        field: Some(name.clone()),
        message: format!("{} has no field '{}'", command.name(), visible(name)),
    })
}

const fn field_of(fault: &PayloadFault) -> Option<&'static str> {
    match fault.kind {
        PayloadFaultKind::Duplicate(name) | PayloadFaultKind::Missing(name) => Some(name),
        PayloadFaultKind::Wrong(field) => Some(field.name),
        PayloadFaultKind::Conflict(name, _) | PayloadFaultKind::BeyondEnd { field: name, .. } => Some(name),
        _ => None,
    }
}

/// Returns the protocol's own example of a request.
const fn example(command: Command) -> &'static str {
    match command {
        Command::List => "LIST\r\n",
        Command::Host => {
            "HOST\r\n{\"channel_name\": \"test_channel\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": 22236}"
        }
        Command::Message => "MESSAGE\r\n{\"username\": \"user1\", \"message_content\": \"Hello, World!\"}",
        Command::Unhost => "UNHOST\r\n{\"channel_name\": \"test_channel\"}",
        Command::Join => "JOIN\r\n{\"channel_name\": \"test_channel\", \"history\": 10}",
        Command::Leave => "LEAVE\r\n{\"channel_name\": \"test_channel\"}",
        Command::History => "HISTORY\r\n{\"channel_name\": \"test_channel\", \"limit\": 10}",
        Command::Hello => "HELLO\r\n{\"notices\": true}",
        Command::Auth => "AUTH\r\n{\"account\": \"ann\", \"password\": \"correct horse battery staple\"}",
        Command::Who => "WHO\r\n{\"channel_name\": \"test_channel\"}",
        Command::Channels => "CHANNELS\r\n{\"limit\": 10, \"contains\": \"test\"}",
        Command::Role => {
            "ROLE\r\n{\"channel_name\": \"test_channel\", \"account\": \"bob\", \"role\": \"muted\", \"seconds\": 600}"
        }
        Command::Settings => "SETTINGS\r\n{\"channel_name\": \"test_channel\", \"slow_mode\": 10}",
        Command::Delete => "DELETE\r\n{\"channel_name\": \"test_channel\", \"id\": 7}",
        Command::Connections => "CONNECTIONS\r\n{\"limit\": 10}",
        Command::Disconnect => "DISCONNECT\r\n{\"connection\": 17}",
        _ => "",
    }
}

fn example_members(command: Command) -> Map<String, Value> {
    let payload = example(command).split_once("\r\n").map_or("", |(_, payload)| payload);
    serde_json::from_str(payload).unwrap_or_default()
}

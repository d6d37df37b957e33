//! The user name of messages.

use std::{env, fs};

use chanwire_core::wire::{Message, Request};
use clap::Args;
use rustix::process::getuid;

use super::Failure;

#[derive(Debug, Args)]
pub(super) struct User {
    /// The user name of the messages [default: the system's user name]
    #[arg(long, short, value_name = "NAME")]
    user: Option<String>,
}

impl User {
    /// Returns the name that was given, or else the system's name of its user.
    pub(super) fn name(self) -> Result<String, Failure> {
        let Some(name) = self.user.or_else(|| ["USER", "LOGNAME"].into_iter().find_map(set)).or_else(of_system) else {
            return Err(Failure::usage("the system knows no name of its user; say one with --user NAME"));
        };
        let message = Message { username: name.clone(), message_content: "-".into(), channel_name: None };
        match Request::Message(message).validate() {
            Ok(()) => Ok(name),
            Err(fault) => Err(Failure::usage(format!("{}; say another one with --user NAME", fault.kind))),
        }
    }
}

fn set(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|name| !name.is_empty())
}

/// Looks up this process's user in the system's own list.
fn of_system() -> Option<String> {
    name_in(&fs::read_to_string("/etc/passwd").ok()?, getuid().as_raw())
}

fn name_in(users: &str, id: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_list_of_users_names_each_by_its_number() {
        let users = "root:x:0:0:root:/root:/bin/bash\n# no user\n:x:7::\nann:x:1000:1000:,,,:/home/ann:/bin/sh\n";
        assert_eq!(name_in(users, 0).as_deref(), Some("root"));
        assert_eq!(name_in(users, 1000).as_deref(), Some("ann"));
        assert_eq!(name_in(users, 7), None);
        assert_eq!(name_in(users, 1), None);
    }
}

//! The user name of messages.

use std::{env, fs};

use chanwire_core::wire::{AccountName, Username};
use clap::Args;
use rustix::process::getuid;

use super::Failure;

#[derive(Debug, Args)]
pub(super) struct User {
    /// The user name of the messages [default: the account's name, or else the system's user name]
    #[arg(long, short, value_name = "NAME")]
    user: Option<String>,
}

impl User {
    /// Returns the name given with --user, or else that of the account, or of the user who runs the process.
    pub(super) fn name(self, account: Option<&AccountName>) -> Result<Username, Failure> {
        let default = || account.map(ToString::to_string).or_else(system_name);
        let Some(name) = self.user.or_else(default) else {
            return Err(Failure::usage("the user name is unknown; set one with --user NAME"));
        };
        let wrong = |error| Failure::usage(format!("{error}; set another one with --user NAME"));
        Username::try_from(name).map_err(wrong)
    }
}

/// Returns the name of the user who runs the process.
pub(super) fn system_name() -> Option<String> {
    ["USER", "LOGNAME"].into_iter().find_map(non_empty_variable).or_else(password_file_name)
}

fn non_empty_variable(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|name| !name.is_empty())
}

/// Looks up the process's user in the password file.
fn password_file_name() -> Option<String> {
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
    fn the_password_file_maps_user_ids_to_names() {
        let users = "root:x:0:0:root:/root:/bin/bash\n# no user\n:x:7::\nann:x:1000:1000:,,,:/home/ann:/bin/sh\n";
        assert_eq!(name_in(users, 0).as_deref(), Some("root"));
        assert_eq!(name_in(users, 1000).as_deref(), Some("ann"));
        assert_eq!(name_in(users, 7), None);
        assert_eq!(name_in(users, 1), None);
    }
}

//! The options of commands that may sign in to an account.

use std::{env, path::PathBuf};

use chanwire_core::wire::{AccountName, Credentials};
use clap::Args;

use super::{
    Failure,
    password::{ask, secret_in},
};
use crate::{
    client::{Connector, SignIn},
    server_address::ServerAddress,
    tls::Trust,
};

/// The variable that has a token.
const TOKEN: &str = "CHANWIRE_TOKEN";

/// The account that a command signs in to.
#[derive(Clone, Debug, Args)]
pub(super) struct SignInOptions {
    /// Sign in to this account; its password is asked for
    #[arg(long, value_name = "NAME")]
    account: Option<AccountName>,

    /// Read the account's password from this file, or from standard input (-), instead of asking for it
    #[arg(long, value_name = "FILE", requires = "account")]
    password_file: Option<PathBuf>,

    /// Sign in by the token in this file [env: CHANWIRE_TOKEN has a token itself]
    #[arg(long, value_name = "FILE", conflicts_with = "account")]
    token_file: Option<PathBuf>,

    /// Send the password or token to another machine without encryption, too, where others can read it on its way
    #[arg(long)]
    allow_plaintext_password: bool,
}

impl SignInOptions {
    /// Returns the way to a server, on which the command signs in if it is to. Asks for a password on the terminal.
    pub(super) fn connector(&self, server: ServerAddress, trust: Trust) -> Result<Connector, Failure> {
        let allows_plaintext = self.allow_plaintext_password;
        let sign_in = self.credentials()?.map(|credentials| SignIn { credentials, allows_plaintext });
        Ok(Connector::new(server, trust).with_sign_in(sign_in))
    }

    /// Returns the account that is named.
    pub(super) const fn account(&self) -> Option<&AccountName> {
        self.account.as_ref()
    }

    fn credentials(&self) -> Result<Option<Credentials>, Failure> {
        let parsed =
            |text: &str, of: &str| text.parse().map_err(|_| Failure::usage(format!("{of}: expected 1 to 1024 bytes")));
        if let Some(account) = &self.account {
            let password = match &self.password_file {
                Some(path) => secret_in(path, "--password-file")?,
                None => ask(&format!("Password of '{account}': "))?,
            };
            let password = parsed(&password, "the password")?;
            return Ok(Some(Credentials::Password { account: account.clone(), password }));
        }
        if let Some(path) = &self.token_file {
            return Ok(Some(Credentials::Token(parsed(&secret_in(path, "--token-file")?, "--token-file")?)));
        }
        match env::var(TOKEN) {
            Ok(token) if !token.is_empty() => Ok(Some(Credentials::Token(parsed(&token, TOKEN)?))),
            Err(env::VarError::NotUnicode(_)) => Err(Failure::usage(format!("{TOKEN} is not UTF-8"))),
            _ => Ok(None),
        }
    }
}

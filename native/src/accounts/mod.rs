//! Accounts: the file that keeps them, the hashes of their passwords, and their tokens.

mod editor;
mod file;
mod look_alike;
mod password;
mod token;
mod verifier;

use std::collections::BTreeMap;

use chanwire_core::wire::AccountName;

pub(crate) use self::{
    editor::Editor,
    file::{Contents, NAME, check_account, check_word},
    look_alike::look_alikes,
    password::PasswordHash,
    token::{Secret, Token},
    verifier::{Verified, Verifier},
};

/// An account, without its name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// `None`: nobody signs in by password.
    pub(crate) password: Option<PasswordHash>,
    /// The names of its groups, each once.
    pub(crate) groups: Vec<String>,
    /// Whether it may do everything.
    pub(crate) is_operator: bool,
    pub(crate) tokens: Vec<Token>,
}

impl Account {
    /// Returns a number that is another after each change of the password or the tokens.
    pub(crate) fn revision(&self) -> u64 {
        let mut text = self.password.as_ref().map(ToString::to_string).unwrap_or_default();
        for Token { name, sha256, expires } in &self.tokens {
            text += &format!("\n{name} {sha256:?} {expires:?}");
        }
        let [a, b, c, d, e, f, g, h, ..] = token::sha256(&text);
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

/// All accounts of a server, by name.
pub(crate) type Accounts = BTreeMap<AccountName, Account>;

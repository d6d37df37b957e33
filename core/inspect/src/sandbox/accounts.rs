//! The accounts of a sandbox.

use chanwire_core::wire::{AccountName, Credentials};

/// The accounts of every sandbox, each with its password and its token.
pub const ACCOUNTS: [(&str, &str, &str); 2] =
    [("ann", "correct horse battery staple", "token-of-ann"), ("bob", "hunter2", "token-of-bob")];

/// Returns the account that credentials are of, if they are right. A sandbox has no secrets, so they are only compared.
pub(super) fn verify(credentials: &Credentials) -> Option<AccountName> {
    let is_its = |(name, its_password, its_token): &&(&str, &str, &str)| match credentials {
        Credentials::Password { account, password } => *account == *name && password.expose() == *its_password,
        Credentials::Token(token) => token.expose() == *its_token,
    };
    ACCOUNTS.iter().find(is_its).and_then(|(name, ..)| name.parse().ok())
}

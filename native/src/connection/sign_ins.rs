//! The log of attempts to sign in.

use std::collections::VecDeque;

use chanwire_core::wire::{AccountName, Credentials, Response};

use super::Accepted;

/// The errors that answer AUTH, and nothing else.
const REFUSALS: [&str; 3] = ["Authentication failed", "Too many attempts", "Already authenticated"];

/// A connection's attempts to sign in. Boxed, since most connections make none.
#[derive(Debug, Default)]
pub(super) struct SignIns(Option<Box<Attempts>>);

#[derive(Debug, Default)]
struct Attempts {
    /// The accounts that those name that are not answered yet.
    pending: VecDeque<Option<AccountName>>,
    /// The account that the connection has signed in to.
    account: Option<AccountName>,
}

impl SignIns {
    /// Notes an attempt, with the account that it names.
    pub(super) fn begin(&mut self, credentials: &Credentials) {
        self.0.get_or_insert_default().pending.push_back(credentials.account().cloned());
    }

    /// Returns the account that the connection has signed in to.
    pub(super) fn account(&self) -> Option<&str> {
        self.0.as_ref()?.account.as_deref()
    }

    /// Logs an answer, if it is one to an attempt.
    pub(super) fn end(&mut self, accepted: &Accepted, response: &Response) {
        let Some(Attempts { pending, account: signed_in }) = self.0.as_deref_mut() else { return };
        if pending.is_empty() {
            return;
        }
        match response {
            Response::Authenticated { account } => {
                pending.pop_front();
                *signed_in = Some(account.clone());
                accepted.span().in_scope(|| tracing::info!(%account, "signed in"));
            }
            Response::Error(error) if REFUSALS.contains(&&*error.error) => {
                let account = pending.pop_front().flatten();
                // A name has no character that must be escaped.
                let account = account.as_deref();
                accepted.span().in_scope(|| tracing::warn!(account, error = %error.error, "cannot sign in"));
            }
            _ => {}
        }
    }
}

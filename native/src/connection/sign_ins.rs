//! The log of attempts to sign in.

use std::collections::VecDeque;

use chanwire_core::wire::{AccountName, Credentials, Response};

use super::Accepted;

/// The errors that answer AUTH, and nothing else.
const REFUSALS: [&str; 3] = ["Authentication failed", "Too many attempts", "Already authenticated"];

/// The attempts of a connection that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct SignIns(VecDeque<Option<AccountName>>);

impl SignIns {
    /// Notes an attempt, with the account that it names.
    pub(super) fn begin(&mut self, credentials: &Credentials) {
        self.0.push_back(credentials.account().cloned());
    }

    /// Logs an answer, if it is one to an attempt.
    pub(super) fn end(&mut self, accepted: &Accepted, response: &Response) {
        if self.0.is_empty() {
            return;
        }
        match response {
            Response::Authenticated { account } => {
                self.0.pop_front();
                accepted.span().in_scope(|| tracing::info!(%account, "signed in"));
            }
            Response::Error(error) if REFUSALS.contains(&&*error.error) => {
                let account = self.0.pop_front().flatten();
                // A name has no character that must be escaped.
                let account = account.as_deref();
                accepted.span().in_scope(|| tracing::warn!(account, error = %error.error, "cannot sign in"));
            }
            _ => {}
        }
    }
}

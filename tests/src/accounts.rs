//! The accounts of the tests' servers, and a model of the limits of attempts.
#![expect(clippy::panic, reason = "a panic is how a test fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use chanwire_core::{
    Time,
    wire::{AccountName, Credentials, Secret},
};

use crate::hub_model::of_subscriber;

/// The accounts, each with its password. `ann` has a token, too.
pub const ACCOUNTS: [(&str, &str); 2] = [("ann", "correct horse battery staple"), ("bob", "p\u{e4}ss\"\\{word")];

/// The token of `ann`.
pub const TOKEN: &str = "b3f8c1d29e7a4c60";

/// Returns the account that credentials are of, if they are right.
#[must_use]
pub fn verify(credentials: &Credentials) -> Option<AccountName> {
    match credentials {
        Credentials::Password { account, password } => {
            ACCOUNTS.iter().any(|(name, its)| *account == *name && password.expose() == *its).then(|| account.clone())
        }
        Credentials::Token(token) => (token.expose() == TOKEN).then(|| "ann".parse().ok()).flatten(),
    }
}

/// Makes credentials of an account and its password.
///
/// # Panics
///
/// If they are none.
#[must_use]
pub fn password(account: &str, password: &str) -> Credentials {
    match (account.parse(), password.parse()) {
        (Ok(account), Ok(password)) => Credentials::Password { account, password },
        wrong => panic!("no credentials: {wrong:?}"),
    }
}

/// Makes credentials of a token.
///
/// # Panics
///
/// If it is none.
#[must_use]
pub fn token(token: &str) -> Credentials {
    match token.parse::<Secret>() {
        Ok(token) => Credentials::Token(token),
        Err(error) => panic!("{error}"),
    }
}

/// A model of the limits of attempts: it keeps every subject for ever.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    /// The millisecond at which each subject has as many attempts as a new one.
    full_at: BTreeMap<Subject, u64>,
}

type Subject = (Option<AccountName>, Option<IpAddr>);

/// The milliseconds after which an attempt comes back, and the most that may be missing for one more.
const ATTEMPT: u64 = 10_000;
const MISSING: u64 = 4 * ATTEMPT;

impl Attempts {
    /// Returns the seconds after which such an attempt is allowed; 0 if it is.
    #[must_use]
    pub fn wait(&self, now: Time, from: Option<IpAddr>, credentials: &Credentials) -> u64 {
        let now = now.as_millis();
        let ends = subjects(from, credentials).into_iter().filter_map(|subject| self.full_at.get(&subject));
        let ready = ends.map(|end| end.saturating_sub(MISSING)).max().unwrap_or(0);
        ready.saturating_sub(now).div_ceil(1000)
    }

    /// Counts an attempt.
    pub fn begin(&mut self, now: Time, from: Option<IpAddr>, credentials: &Credentials) {
        for subject in subjects(from, credentials) {
            let end = self.full_at.entry(subject).or_default();
            *end = (*end).max(now.as_millis()) + ATTEMPT;
        }
    }

    /// Takes back an attempt that succeeded.
    pub fn succeed(&mut self, from: Option<IpAddr>, credentials: &Credentials) {
        for subject in subjects(from, credentials) {
            if let Some(end) = self.full_at.get_mut(&subject) {
                *end = end.saturating_sub(ATTEMPT);
            }
        }
    }
}

/// The subjects of an attempt: its address, unless that is exempt, and the account there.
fn subjects(from: Option<IpAddr>, credentials: &Credentials) -> BTreeSet<Subject> {
    let is_exempt = from.is_some_and(|from| from.to_canonical().is_loopback());
    let place = from.map(of_subscriber);
    let address = place.filter(|_| !is_exempt).map(|place| (None, Some(place)));
    let account = credentials.account().map(|account| (Some(account.clone()), place));
    address.into_iter().chain(account).collect()
}

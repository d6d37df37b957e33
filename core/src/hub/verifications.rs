//! The verification of accounts, and the connections that wait for it.

use alloc::{collections::BTreeMap, sync::Arc};
use core::net::IpAddr;

use super::{AuthResult, Connection, ConnectionId, Effect, Hub, refusal};
use crate::{
    Time,
    admission::of_subscriber,
    attempts::{Attempt, Source},
    endpoint::{Misuse, Ticket},
    rights::Rights,
    wire::{AccountName, Command, Credentials, Response, canonical},
};

/// The most passwords that wait to be verified: two seconds of work, where a password takes 65 ms and two are verified
/// at a time.
const MAX_PASSWORDS: usize = 64;

/// The most of them from one address, so that a crowd there, such as behind a proxy on the same machine, leaves room
/// for all others.
const MAX_OF_SOURCE: usize = MAX_PASSWORDS / 2;

/// The seconds after which a client may try again when too many passwords wait.
const RETRY_AFTER: u32 = 2;

/// The number of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VerificationId(u64);

/// The verifications whose results have not come. A connection has one at most.
#[derive(Debug, Default)]
pub(super) struct Verifications {
    open: BTreeMap<VerificationId, Verification>,
    next: u64,
}

#[derive(Debug)]
struct Verification {
    connection: ConnectionId,
    ticket: Ticket,
    attempt: Attempt,
    /// The accounts as they were when it began.
    rights: Arc<Rights>,
    /// The address that a password came from; `None` for a token, which is not hashed slowly.
    password_from: Option<Option<IpAddr>>,
}

impl Verifications {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Drops all of them. Returns their connections.
    pub(super) fn drop_all(&mut self) -> impl Iterator<Item = ConnectionId> + use<> {
        core::mem::take(&mut self.open).into_values().map(|verification| verification.connection)
    }

    /// Returns whether one more password from this address may wait.
    fn has_room(&self, address: Option<IpAddr>) -> bool {
        let passwords = self.open.values().filter_map(|verification| verification.password_from);
        let (all, of_source) =
            passwords.fold((0, 0), |(all, same), from| (all + 1, same + usize::from(from == address)));
        all < MAX_PASSWORDS && of_source < MAX_OF_SOURCE
    }

    fn open(&mut self, verification: Verification) -> VerificationId {
        let id = VerificationId(self.next);
        self.next += 1;
        self.open.insert(id, verification);
        id
    }
}

impl Hub {
    /// Sets the address from which a connection came whose address gives it no rights. Attempts to authenticate are
    /// limited by it.
    pub fn set_address(&mut self, id: ConnectionId, address: IpAddr) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.address = Some(canonical(address));
        }
    }

    /// Handles the result of an [`Effect::Verify`]: the account that the credentials are of, if they are right. If the
    /// account has changed since, they are not.
    ///
    /// # Errors
    ///
    /// [`Misuse::UnexpectedOutcome`] if it was not asked for.
    pub fn handle_verified(&mut self, id: VerificationId, account: Option<AccountName>) -> Result<(), Misuse> {
        let Some(Verification { connection, ticket, attempt, rights, .. }) = self.verifications.open.remove(&id) else {
            // A hub that stopped has dropped those that were open.
            return if self.is_stopped { Ok(()) } else { Err(Misuse::UnexpectedOutcome) };
        };
        // What was right may be so no more.
        let is_same = |name: &AccountName| rights.accounts.get(name) == self.rights().accounts.get(name);
        let account = account.filter(is_same);
        let is_right = account.is_some();
        self.counters.authentication(if is_right { AuthResult::Authenticated } else { AuthResult::Failed });
        let reply = match account {
            None => refusal::not_authenticated().into(),
            Some(account) => {
                self.attempts.succeed(&attempt);
                self.sign_in(connection, account.clone());
                Response::Authenticated { account }.into()
            }
        };
        self.answer_stored(connection, ticket, Command::Auth, reply);
        // The account may have been banned from what the guest has joined.
        self.end_if_joined_unreadable(connection);
        Ok(())
    }

    /// Has credentials verified for a connection, whose later requests wait for the result. Answers at once if it may not
    /// try.
    pub(super) fn authenticate(
        &mut self,
        id: ConnectionId,
        ticket: Ticket,
        credentials: Credentials,
        (now, says_when): (Time, bool),
    ) {
        let Some(Connection { address, account, .. }) = self.connections.get(&id) else { return };
        let address = *address;
        if let Some(account) = account {
            let error = refusal::already_authenticated(account);
            self.counters.authentication(AuthResult::AlreadyAuthenticated);
            return self.answer(id, ticket, Command::Auth, error.into());
        }
        let attempt = match self.begin_attempt(address, &credentials, now) {
            Ok(attempt) => attempt,
            Err(seconds) => {
                let error = refusal::too_many_attempts(seconds, says_when);
                self.counters.authentication(AuthResult::TooManyAttempts);
                return self.answer(id, ticket, Command::Auth, error.into());
            }
        };
        self.wait_for_store(id, false);
        if let Some(connection) = self.connections.get_mut(&id) {
            // What waits for the result is decided by what is known then.
            connection.given_up = 0;
        }
        let password_from = credentials.account().map(|_| address.map(of_subscriber));
        let rights = self.rights().clone();
        let verification = Verification { connection: id, ticket, attempt, rights, password_from };
        let verification = self.verifications.open(verification);
        self.effects.add(Effect::Verify(verification, id, credentials));
    }

    /// Begins an attempt from this address, if one is allowed; else returns the seconds until then.
    fn begin_attempt(&mut self, address: Option<IpAddr>, credentials: &Credentials, now: Time) -> Result<Attempt, u32> {
        let is_exempt = |address| self.limits.exempt.iter().any(|network| network.contains(address));
        let source = Source { address: address.map(of_subscriber), is_exempt: address.is_some_and(is_exempt) };
        if credentials.account().is_some() && !self.verifications.has_room(source.address) {
            return Err(RETRY_AFTER);
        }
        self.attempts.begin(now, source, credentials.account()).map_err(|ready_at| {
            let seconds = ready_at.since(now).as_millis().div_ceil(1000);
            u32::try_from(seconds).unwrap_or(u32::MAX)
        })
    }
}

//! Verifies passwords and tokens, on threads of its own where that takes long.

use std::sync::{Arc, Mutex, PoisonError, mpsc};

use chanwire_core::{
    endpoint::Misuse,
    hub::{Hub, VerificationId},
    wire::{AccountName, Credentials, Secret, Timestamp},
};

use super::{
    Accounts,
    password::{Cost, PasswordHash},
    token,
};
use crate::threads;

/// The threads that hash. Each takes a processor, and the memory of one hash: 19 MiB, or as much as the largest in the
/// file.
const THREADS: usize = 2;

/// The account that verified credentials are of, as it was then.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) id: VerificationId,
    account: Option<(AccountName, u64)>,
}

impl Verified {
    /// Gives the result to the hub.
    pub(crate) fn give_to(self, hub: &mut Hub, verifier: &Verifier) -> Result<(), Misuse> {
        hub.handle_verified(self.id, in_force(self.account, &verifier.accounts))
    }
}

/// Returns an account that was verified, if it has not changed since.
fn in_force(verified: Option<(AccountName, u64)>, accounts: &Accounts) -> Option<AccountName> {
    let (name, revision) = verified?;
    accounts.get(&name).is_some_and(|account| account.revision() == revision).then_some(name)
}

/// A password to verify.
struct Job {
    id: VerificationId,
    account: AccountName,
    revision: u64,
    hash: PasswordHash,
    password: Secret,
}

/// Verifies credentials by the accounts in force.
pub(crate) struct Verifier {
    accounts: Arc<Accounts>,
    /// Random, so that nobody else knows which account stands for a name that there is not.
    key: [u8; 32],
    /// The way to the threads, once there are any.
    jobs: Option<mpsc::Sender<Job>>,
    finished: Arc<dyn Fn(Verified) + Send + Sync>,
}

impl Verifier {
    /// Creates a verifier that gives the results of passwords to `finished`, from other threads.
    pub(crate) fn new(accounts: Arc<Accounts>, finished: impl Fn(Verified) + Send + Sync + 'static) -> Self {
        let mut key = [0; 32];
        // Without a source of randomness, the choice can be told from outside, and no more.
        let _ = getrandom::fill(&mut key);
        Self { accounts, key, jobs: None, finished: Arc::new(finished) }
    }

    /// Replaces the accounts. Results of the ones before are checked against these.
    pub(crate) fn set_accounts(&mut self, accounts: Arc<Accounts>) {
        self.accounts = accounts;
    }

    /// Verifies credentials. Returns the result of a token at once; that of a password comes later.
    pub(crate) fn verify(&mut self, id: VerificationId, credentials: Credentials, now: Timestamp) -> Option<Verified> {
        match credentials {
            Credentials::Token(secret) => Some(Verified { id, account: self.owner(secret.expose(), now) }),
            Credentials::Password { account, password } => {
                let (revision, hash) = self.hash_of(&account);
                let job = Job { id, account, revision, hash, password };
                match self.queue(job) {
                    Ok(()) => None,
                    Err(error) => {
                        tracing::error!("cannot verify a password: {error}");
                        Some(Verified { id, account: None })
                    }
                }
            }
        }
    }

    /// Returns the account that has a token, in a time that does not tell how much of it is right.
    fn owner(&self, secret: &str, now: Timestamp) -> Option<(AccountName, u64)> {
        let sha256 = token::sha256(secret);
        let mut owner = None;
        for (name, account) in self.accounts.iter() {
            for token in &account.tokens {
                if bool::from(token.has(&sha256)) && !token.has_expired(now) {
                    owner = Some((name.clone(), account.revision()));
                }
            }
        }
        owner
    }

    /// Returns the hash that a password of this account must have. A name without one has a hash that no password has,
    /// at the cost of some account's: where all hashes cost the same, a name that there is not costs as much as a wrong
    /// password; and where they do not, the cost of a name does not tell whether there is such an account.
    fn hash_of(&self, name: &AccountName) -> (u64, PasswordHash) {
        if let Some(account) = self.accounts.get(name)
            && let Some(hash) = &account.password
        {
            return (account.revision(), hash.clone());
        }
        let costs: Vec<Cost> =
            self.accounts.values().filter_map(|account| account.password.as_ref()).map(PasswordHash::cost).collect();
        let [a, b, c, d, ..] = token::sha256(&format!("{:?} {name}", self.key));
        let choice = u32::from_be_bytes([a, b, c, d]) as usize % costs.len().max(1);
        (0, PasswordHash::of_nothing(costs.get(choice).copied().unwrap_or(Cost::NEW)))
    }

    /// Gives a password to the threads, which are started for the first one.
    fn queue(&mut self, job: Job) -> Result<(), String> {
        let jobs = match &self.jobs {
            Some(jobs) => jobs,
            None => self.jobs.insert(start(&self.finished)?),
        };
        // The threads live as long as this.
        jobs.send(job).map_err(|error| error.to_string())
    }
}

/// Starts the threads.
fn start(finished: &Arc<dyn Fn(Verified) + Send + Sync>) -> Result<mpsc::Sender<Job>, String> {
    // The hub bounds how many wait.
    let (jobs, queue) = mpsc::channel::<Job>();
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..THREADS {
        let (queue, finished) = (queue.clone(), finished.clone());
        let work = move || {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                // The verifier is gone.
                let Ok(job) = next else { return };
                finished(job.verify());
            }
        };
        threads::spawn("password", work)?;
    }
    Ok(jobs)
}

impl Job {
    fn verify(self) -> Verified {
        let Self { id, account, revision, hash, password } = self;
        let matches = hash.matches(password.expose()).unwrap_or_else(|error| {
            tracing::error!("{error}");
            false
        });
        Verified { id, account: matches.then_some((account, revision)) }
    }
}

#[cfg(test)]
mod tests;

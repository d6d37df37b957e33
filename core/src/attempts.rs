//! Limits of attempts to authenticate.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::IpAddr;

use crate::{Bucket, Rate, Time, wire::AccountName};

/// The rate of attempts, in units of which one comes back each second: one attempt each 10 s after 5 at once.
const RATE: Rate = match Rate::new(1, 5 * ATTEMPT) {
    Some(rate) => rate,
    None => unreachable!(),
};

/// The units of an attempt.
const ATTEMPT: u32 = 10;

/// The most subjects that are remembered. A full table takes about 10 MB.
const MAX_SUBJECTS: usize = 65_536;

/// The attempts to authenticate that failed lately or are under way: of each address, and of each account from each
/// address.
///
/// An attempt is counted before it is verified, and taken back if it succeeds. So the people behind one address may all
/// sign in at once, and an attacker's success with an account of its own takes back nothing but itself. Attempts at an
/// account from one address leave those from another alone: nobody can lock an account for its owner elsewhere.
///
/// A subject is forgotten when it could make as many attempts as a new one, and never before. In a full table a new
/// password is refused, so nobody wins attempts by filling it. Passwords alone cannot fill it: they are verified more
/// slowly than subjects are forgotten. Tokens could, and have half of it; those beyond are not counted, as guessing a
/// token is hopeless.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    buckets: BTreeMap<Subject, Bucket>,
    /// The subjects by the times at which their buckets are full.
    by_end: BTreeSet<(Time, Subject)>,
}

/// Something whose attempts are limited.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Address(IpAddr),
    /// The account at one address, or at connections that have none.
    Account(AccountName, Option<IpAddr>),
}

/// The source of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// The address of its subscriber: see [`of_subscriber`](crate::admission::of_subscriber).
    pub(crate) address: Option<IpAddr>,
    /// Whether only attempts at one account are limited, because others share the address.
    pub(crate) is_exempt: bool,
}

/// An attempt that is under way.
#[derive(Debug)]
#[must_use = "a success is to be taken back"]
pub(crate) struct Attempt([Option<Subject>; 2]);

impl Attempts {
    /// Counts an attempt at an account with a password, or with a token if no account is named.
    ///
    /// # Errors
    ///
    /// The time before which no such attempt is allowed. It is not counted.
    pub(crate) fn begin(&mut self, now: Time, source: Source, account: Option<&AccountName>) -> Result<Attempt, Time> {
        self.forget_some(now);
        let Source { address, is_exempt } = source;
        let subjects = [
            address.filter(|_| !is_exempt).map(Subject::Address),
            account.map(|account| Subject::Account(account.clone(), address)),
        ];
        let known = |subject: &Subject| self.buckets.get(subject);
        let ready = subjects.iter().flatten().filter_map(known).map(|bucket| bucket.ready_for(now, ATTEMPT));
        if let Some(at) = ready.max().filter(|at| *at > now) {
            return Err(at);
        }
        let new = subjects.iter().flatten().filter(|subject| known(subject).is_none()).count();
        let room = if account.is_some() { MAX_SUBJECTS } else { MAX_SUBJECTS / 2 };
        if new > 0 && self.buckets.len() + new > room {
            return match (account, self.by_end.first()) {
                (Some(_), Some((end, _))) => Err(*end),
                _ => Ok(Attempt([None, None])),
            };
        }
        for subject in subjects.iter().flatten() {
            self.change(subject, |bucket| bucket.charge(now, ATTEMPT.into()));
        }
        Ok(Attempt(subjects))
    }

    /// Takes back an attempt, because it succeeded.
    pub(crate) fn succeed(&mut self, Attempt(subjects): &Attempt) {
        for subject in subjects.iter().flatten() {
            if self.buckets.contains_key(subject) {
                self.change(subject, |bucket| bucket.give_back(ATTEMPT.into()));
            }
        }
    }

    fn change(&mut self, subject: &Subject, change: impl FnOnce(&Bucket)) {
        let bucket = self.buckets.entry(subject.clone()).or_insert_with(|| Bucket::new(RATE));
        let end = |bucket: &Bucket| (bucket.full_at(Time::default()), subject.clone());
        self.by_end.remove(&end(bucket));
        change(bucket);
        self.by_end.insert(end(bucket));
    }

    /// Forgets a few subjects whose buckets are full: more than an attempt can add.
    fn forget_some(&mut self, now: Time) {
        for _ in 0..4 {
            if self.by_end.first().is_none_or(|(end, _)| *end > now) {
                return;
            }
            if let Some((_, subject)) = self.by_end.pop_first() {
                self.buckets.remove(&subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec::Vec};

    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(1000 * (1_000_000 + seconds))
    }

    fn from(address: &str) -> Source {
        Source { address: Some(address.parse().unwrap()), is_exempt: false }
    }

    fn account(name: &str) -> AccountName {
        name.parse().unwrap()
    }

    fn fails(attempts: &mut Attempts, seconds: u64, source: Source, name: &str) -> bool {
        attempts.begin(at(seconds), source, Some(&account(name))).is_ok()
    }

    #[test]
    fn an_address_has_5_attempts_and_one_more_each_10_seconds() {
        let mut attempts = Attempts::default();
        for number in 0..5 {
            assert!(fails(&mut attempts, 0, from("192.0.2.7"), &format!("a{number}")));
        }
        let refused = attempts.begin(at(1), from("192.0.2.7"), Some(&account("b")));
        assert_eq!(refused.unwrap_err(), at(10));
        assert!(attempts.begin(at(9), from("192.0.2.7"), None).is_err(), "a token");
        assert!(attempts.begin(at(10), from("192.0.2.7"), None).is_ok());
        assert!(!fails(&mut attempts, 19, from("192.0.2.7"), "b"));
        assert!(fails(&mut attempts, 20, from("192.0.2.7"), "b"));
        // A refused attempt costs nothing, and another address has its own.
        assert!(fails(&mut attempts, 0, from("192.0.2.8"), "b"));
    }

    #[test]
    fn an_exempt_address_is_limited_for_each_account_alone() {
        let mut attempts = Attempts::default();
        let exempt = Source { is_exempt: true, ..from("127.0.0.1") };
        let without_address = Source { address: None, is_exempt: false };
        for source in [exempt, without_address] {
            for name in ["ann", "bob"] {
                let allowed = (0..10).filter(|_| fails(&mut attempts, 0, source, name)).count();
                assert_eq!(allowed, 5, "{name}");
            }
            assert!((0..100).all(|_| attempts.begin(at(0), source, None).is_ok()), "tokens cannot be guessed");
        }
    }

    #[test]
    fn a_strangers_attempts_leave_the_owner_elsewhere_alone() {
        let mut attempts = Attempts::default();
        for host in 0..200 {
            while fails(&mut attempts, 0, from(&format!("192.0.2.{host}")), "ann") {}
        }
        assert!(fails(&mut attempts, 0, from("198.51.100.1"), "ann"));
    }

    #[test]
    fn a_success_takes_back_itself_and_nothing_else() {
        let mut attempts = Attempts::default();
        for _ in 0..1000 {
            let attempt = attempts.begin(at(0), from("192.0.2.7"), Some(&account("ann"))).unwrap();
            attempts.succeed(&attempt);
        }
        let mut failures = 0;
        while fails(&mut attempts, 0, from("192.0.2.7"), "bob") {
            failures += 1;
            // Successes between the failures.
            if let Ok(attempt) = attempts.begin(at(0), from("192.0.2.7"), Some(&account("ann"))) {
                attempts.succeed(&attempt);
            }
        }
        assert_eq!(failures, 5);
    }

    #[test]
    fn any_order_of_attempts_is_allowed_as_by_a_table_without_bounds() {
        let mut attempts = Attempts::default();
        // The nanoseconds of each subject's model, which forgets nothing.
        let mut model: BTreeMap<Subject, u64> = BTreeMap::new();
        let mut state = 7_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let (mut now, mut refused) = (0, 0);
        for _ in 0..20_000 {
            now += next(4);
            let source = Source { is_exempt: next(4) == 0, ..from(&format!("192.0.2.{}", next(3))) };
            let name = [Some(account("ann")), Some(account("bob")), None].into_iter().nth(next(3) as usize).flatten();
            let mut subjects = Vec::new();
            subjects.extend(source.address.filter(|_| !source.is_exempt).map(Subject::Address));
            subjects.extend(name.clone().map(|name| Subject::Account(name, source.address)));
            let seconds = 1_000_000 + now;
            let full_at = |model: &BTreeMap<Subject, u64>, subject: &Subject| {
                model.get(subject).copied().unwrap_or(0).max(seconds)
            };
            let is_allowed = subjects.iter().all(|subject| full_at(&model, subject) - seconds <= 40);
            let attempt = attempts.begin(at(now), source, name.as_ref());
            assert_eq!(attempt.is_ok(), is_allowed, "at {now}: {source:?} {name:?}");
            let Ok(attempt) = attempt else {
                refused += 1;
                continue;
            };
            if next(3) == 0 {
                attempts.succeed(&attempt);
            } else {
                for subject in subjects {
                    let end = full_at(&model, &subject) + 10;
                    model.insert(subject, end);
                }
            }
        }
        assert!((1000..19_000).contains(&refused), "{refused}");
    }

    #[test]
    fn a_full_table_refuses_new_passwords_and_keeps_every_count() {
        let mut attempts = Attempts::default();
        let victim = from("2001:db8:ffff::");
        while fails(&mut attempts, 0, victim, "ann") {}
        let subscriber = |number: u32| from(&format!("2001:db8:{:x}:{:x}::", number >> 16, number & 0xffff));
        for number in 0..2 * u32::try_from(MAX_SUBJECTS).unwrap() {
            assert!(attempts.begin(at(1), subscriber(number), None).is_ok(), "a token");
        }
        assert_eq!(attempts.buckets.len(), MAX_SUBJECTS / 2, "tokens have half");
        let mut number = 1 << 24;
        while fails(&mut attempts, 1, subscriber(number), "bob") {
            number += 1;
        }
        assert_eq!(attempts.buckets.len(), MAX_SUBJECTS);
        assert_eq!(attempts.begin(at(1), subscriber(0x00ff_ffff), Some(&account("bob"))).unwrap_err(), at(11));
        assert!(!fails(&mut attempts, 9, victim, "ann"), "the count is kept");
        assert!(attempts.begin(at(9), from("192.0.2.7"), None).is_ok(), "a token is verified, and not counted");

        // All are forgotten after their time, and the owner of a new address is served again.
        assert!(fails(&mut attempts, 11, from("192.0.2.7"), "ann"));
        for _ in 0..MAX_SUBJECTS {
            let _ = attempts.begin(at(100), Source { address: None, is_exempt: false }, None);
        }
        assert_eq!((attempts.buckets.len(), attempts.by_end.len()), (0, 0));
    }
}

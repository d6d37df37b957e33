//! A bounded pool of connections that evicts the least active one for a new one.
//!
//! Idle connections cannot exhaust the pool: when it is full, a new connection displaces the one that has transferred
//! no byte for the longest time.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore};

/// A bounded pool of connections of one kind.
#[derive(Debug)]
pub(in crate::http) struct Pool {
    permits: Arc<Semaphore>,
    members: Mutex<Members>,
    /// A logical clock: each activity has its own tick.
    ticks: AtomicU64,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    open: HashMap<u64, Arc<Member>>,
}

#[derive(Debug, Default)]
struct Member {
    /// The tick at which it last transferred a byte.
    active: AtomicU64,
    /// Notified when it must make room for another.
    displaced: Notify,
}

/// A connection's permit in a pool, returned when dropped.
#[derive(Debug)]
pub(in crate::http) struct PoolPermit {
    pool: Arc<Pool>,
    number: u64,
    member: Arc<Member>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    /// Creates a pool for `limit` connections.
    pub(in crate::http) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { permits: Arc::new(Semaphore::new(limit)), members: Mutex::default(), ticks: AtomicU64::new(0) })
    }

    /// Acquires a permit. In a full pool it displaces the least active connection and waits for its permit.
    ///
    /// # Errors
    ///
    /// Never, because the semaphore is never closed.
    pub(in crate::http) async fn enter(self: &Arc<Self>) -> Result<PoolPermit, AcquireError> {
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.displace();
                Arc::clone(&self.permits).acquire_owned().await?
            }
        };
        let member = Arc::new(Member { active: AtomicU64::new(self.tick()), displaced: Notify::new() });
        let mut members = self.lock();
        let number = members.next;
        members.next += 1;
        members.open.insert(number, Arc::clone(&member));
        drop(members);
        Ok(PoolPermit { pool: Arc::clone(self), number, member, _permit: permit })
    }

    /// Displaces the least active connection. None is displaced twice, so that each entering connection has its own.
    fn displace(&self) {
        let mut members = self.lock();
        let active = |(number, member): &(&u64, &Arc<Member>)| (member.active.load(Ordering::Relaxed), **number);
        let least = members.open.iter().min_by_key(active).map(|(number, _)| *number);
        if let Some(member) = least.and_then(|number| members.open.remove(&number)) {
            member.displaced.notify_one();
        }
    }

    /// Returns the next tick.
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        // No holder can panic half-way through a change.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle to report a connection's activity to its pool, without a permit.
#[derive(Clone, Debug)]
pub(in crate::http) struct Activity {
    pool: Arc<Pool>,
    member: Arc<Member>,
}

impl Activity {
    /// Records that the connection has transferred a byte.
    pub(in crate::http) fn touch(&self) {
        self.member.active.store(self.pool.tick(), Ordering::Relaxed);
    }
}

impl PoolPermit {
    /// Returns a handle to report the connection's activity.
    pub(in crate::http) fn activity(&self) -> Activity {
        Activity { pool: Arc::clone(&self.pool), member: Arc::clone(&self.member) }
    }

    /// Waits until the connection is displaced.
    pub(in crate::http) async fn displaced(&self) {
        self.member.displaced.notified().await;
    }
}

impl Drop for PoolPermit {
    fn drop(&mut self) {
        self.pool.lock().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_least_active_makes_room() {
        let pool = Pool::new(3);
        let enter = async || pool.enter().await.unwrap();
        let [first, second, third] = [enter().await, enter().await, enter().await];
        first.activity().touch();
        let mut entering = Box::pin(enter());
        assert!(entering.as_mut().now_or_never().is_none(), "a permit is given only once it is free");
        assert!(second.displaced().now_or_never().is_some());
        assert!(first.displaced().now_or_never().is_none() && third.displaced().now_or_never().is_none());
        // Two that enter displace two.
        let mut another = Box::pin(enter());
        assert!(another.as_mut().now_or_never().is_none());
        assert!(third.displaced().now_or_never().is_some());
        drop(second);
        let fourth = entering.await;
        drop(third);
        let fifth = another.await;
        drop(first);
        // With a free permit nothing is displaced.
        let sixth = enter().await;
        for permit in [&fourth, &fifth, &sixth] {
            assert!(permit.displaced().now_or_never().is_none());
        }
    }
}

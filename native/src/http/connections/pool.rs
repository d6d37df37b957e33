//! A bounded number of connections, of which the least active makes room for a new one.
//!
//! Whoever holds all places without using them keeps nobody out: a new connection takes the place of the one that has
//! moved no byte for longest.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore};

/// The places of one kind of connection.
#[derive(Debug)]
pub(in crate::http) struct Pool {
    places: Arc<Semaphore>,
    members: Mutex<Members>,
    /// Counts what the connections do. No two do something at one time, as they would by a clock.
    moments: AtomicU64,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    open: HashMap<u64, Arc<Member>>,
}

#[derive(Debug, Default)]
struct Member {
    /// The moment at which it last moved a byte.
    active: AtomicU64,
    /// Told when another needs its place.
    displaced: Notify,
}

/// A place in a pool. It is free again once this is dropped.
#[derive(Debug)]
pub(in crate::http) struct Place {
    pool: Arc<Pool>,
    number: u64,
    member: Arc<Member>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(in crate::http) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(places)),
            members: Mutex::default(),
            moments: AtomicU64::new(0),
        })
    }

    /// Takes a place. Where none is free, the least active connection is told to give up its own, and is waited for.
    ///
    /// # Errors
    ///
    /// None: the semaphore is never closed.
    pub(in crate::http) async fn enter(self: &Arc<Self>) -> Result<Place, AcquireError> {
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.displace();
                Arc::clone(&self.places).acquire_owned().await?
            }
        };
        let member = Arc::new(Member { active: AtomicU64::new(self.now()), displaced: Notify::new() });
        let mut members = self.lock();
        let number = members.next;
        members.next += 1;
        members.open.insert(number, Arc::clone(&member));
        drop(members);
        Ok(Place { pool: Arc::clone(self), number, member, _permit: permit })
    }

    /// Tells the least active connection to go. It cannot be told twice, so that each that enters has one to wait for.
    fn displace(&self) {
        let mut members = self.lock();
        let active = |(number, member): &(&u64, &Arc<Member>)| (member.active.load(Ordering::Relaxed), **number);
        let least = members.open.iter().min_by_key(active).map(|(number, _)| *number);
        if let Some(member) = least.and_then(|number| members.open.remove(&number)) {
            member.displaced.notify_one();
        }
    }

    /// Returns the next moment.
    fn now(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        // Nobody can panic while holding it; if somebody does, the members are whole all the same.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle by which a connection tells its pool that it is active. It holds no place.
#[derive(Clone, Debug)]
pub(in crate::http) struct Activity {
    pool: Arc<Pool>,
    member: Arc<Member>,
}

impl Activity {
    /// Notes that the connection has moved a byte.
    pub(in crate::http) fn touch(&self) {
        self.member.active.store(self.pool.now(), Ordering::Relaxed);
    }
}

impl Place {
    /// Returns the activity of the connection that has this place.
    pub(in crate::http) fn activity(&self) -> Activity {
        Activity { pool: Arc::clone(&self.pool), member: Arc::clone(&self.member) }
    }

    /// Returns when another needs the place.
    pub(in crate::http) async fn displaced(&self) {
        self.member.displaced.notified().await;
    }
}

impl Drop for Place {
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
        assert!(entering.as_mut().now_or_never().is_none(), "a place is given only once it is free");
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
        // Where a place is free nobody has to go.
        let sixth = enter().await;
        for place in [&fourth, &fifth, &sixth] {
            assert!(place.displaced().now_or_never().is_none());
        }
    }
}

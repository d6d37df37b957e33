//! The thread that a store works on.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use chanwire_core::hub::{StoreCommand, StoreOutcome};

use super::{
    CommitError, Store, StoreError,
    health::Health,
    status::{Operation, StoreStatus},
};

const THREAD: &str = "store";

/// The interval of probes of a store that fails while nothing is to be stored: its health does not depend on clients,
/// which a load balancer may send elsewhere.
pub(super) const PROBE: Duration = Duration::from_secs(1);

/// Gives a store its own thread. `outcomes` is called there, once for each command, in their order.
///
/// A store that panics answers [`StoreOutcome::Failed`] and goes on. Only a panic of `outcomes` itself ends the thread;
/// `outcomes` is dropped then, so that who waits at the other end of its channel learns of it.
///
/// # Errors
///
/// If the system refuses the thread.
pub(crate) fn start(
    store: impl Store,
    outcomes: impl Fn(StoreOutcome) + Send + 'static,
) -> Result<StoreHandle, StoreError> {
    let (commands, inbox) = channel();
    let thread = Builder::new()
        .name(THREAD.into())
        .spawn(move || Worker::new(store).run(&inbox, outcomes))
        .map_err(|cause| StoreError::Thread { name: THREAD, cause })?;
    Ok(StoreHandle { commands, thread })
}

/// A handle to a running store.
#[must_use = "the store is closed in order only by `close`"]
pub(crate) struct StoreHandle {
    commands: Sender<StoreCommand>,
    thread: JoinHandle<()>,
}

/// An error: the store's thread has ended. Queued commands and the current one have no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store's thread has ended; restart the server")]
pub(crate) struct StoreGone;

impl StoreHandle {
    /// Queues a command; never blocks.
    ///
    /// # Errors
    ///
    /// If the thread has ended. No outcome will come: the command [failed](StoreOutcome::Failed).
    pub(crate) fn send(&self, command: StoreCommand) -> Result<(), StoreGone> {
        self.commands.send(command).map_err(|_| StoreGone)
    }

    /// Waits until the queued commands are done and the store is closed.
    ///
    /// Blocks for as long as the disk takes.
    pub(crate) fn close(self) {
        drop(self.commands);
        if self.thread.join().is_err() {
            tracing::error!("the store's thread had ended before it was stopped");
        }
    }
}

struct Worker<S> {
    store: S,
    status: Arc<StoreStatus>,
    commits: Health,
    loads: Health,
}

impl<S: Store> Worker<S> {
    fn new(store: S) -> Self {
        let status = store.status();
        let [commits, loads] =
            [Operation::Commit, Operation::Load].map(|operation| Health::new(operation, Arc::clone(&status)));
        Self { store, status, commits, loads }
    }

    fn run(mut self, inbox: &Receiver<StoreCommand>, outcomes: impl Fn(StoreOutcome)) {
        loop {
            let is_failing = self.commits.is_failing() || self.loads.is_failing();
            let command = match is_failing {
                true => inbox.recv_timeout(PROBE),
                false => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match command {
                Ok(command) => outcomes(self.execute(command)),
                Err(RecvTimeoutError::Timeout) => self.probe(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Tries again what fails, with nothing to store.
    fn probe(&mut self) {
        if self.commits.is_failing() {
            self.commits.attempt(|| self.store.probe());
        }
        if self.loads.is_failing() {
            self.loads.attempt(|| self.store.load_names(&[]));
        }
    }

    fn execute(&mut self, command: StoreCommand) -> StoreOutcome {
        match command {
            StoreCommand::Commit(writes) => {
                let mut is_refused = false;
                let began = Instant::now();
                let committed = self.commits.attempt(|| match self.store.commit(&writes) {
                    Ok(()) => Ok(StoreOutcome::Committed),
                    Err(CommitError::Without { refusals }) => {
                        Ok(StoreOutcome::CommittedWithout(refusals.into_keys().collect()))
                    }
                    Err(CommitError::Failed(error)) => {
                        is_refused = error.is_refusal();
                        Err(error)
                    }
                });
                if committed.is_some() {
                    self.status.committed(began.elapsed());
                }
                committed.unwrap_or(if is_refused { StoreOutcome::Refused } else { StoreOutcome::Failed })
            }
            StoreCommand::Load(names) => {
                self.loads.attempt(|| self.store.load_names(&names)).map_or(StoreOutcome::Failed, StoreOutcome::Loaded)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use chanwire_core::{
        hub::{Snapshot, Write},
        wire::ChannelName,
    };

    use super::*;

    /// A store whose results the test chooses, and which records its calls.
    struct Fake {
        commits: Vec<Result<(), &'static str>>,
        diary: Arc<Mutex<Vec<&'static str>>>,
        proceed: Receiver<()>,
        status: Arc<StoreStatus>,
    }

    impl Store for Fake {
        fn load(&mut self) -> Result<Snapshot, StoreError> {
            unreachable!("it is for the start")
        }

        fn load_names(&mut self, _: &[ChannelName]) -> Result<Snapshot, StoreError> {
            self.diary.lock().unwrap().push("load");
            Ok(Snapshot::default())
        }

        fn commit(&mut self, _: &[Write]) -> Result<(), CommitError> {
            self.proceed.recv().unwrap();
            self.diary.lock().unwrap().push("commit");
            match self.commits.remove(0) {
                Ok(()) => Ok(()),
                Err("panic") => panic!("oh"),
                Err("without") => {
                    let error = StoreError::Damaged { file: "chanwire.db".into(), problem: "a row".into() };
                    Err(CommitError::Without { refusals: [("a".parse().unwrap(), error)].into() })
                }
                Err(problem) => Err(StoreError::Damaged { file: "chanwire.db".into(), problem: problem.into() }.into()),
            }
        }

        fn probe(&mut self) -> Result<(), StoreError> {
            self.diary.lock().unwrap().push("probe");
            match self.commits.remove(0) {
                Ok(()) => Ok(()),
                Err(problem) => Err(StoreError::Damaged { file: "chanwire.db".into(), problem: problem.into() }),
            }
        }

        fn status(&self) -> Arc<StoreStatus> {
            Arc::clone(&self.status)
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            self.diary.lock().unwrap().push("closed");
        }
    }

    fn fake(commits: &[Result<(), &'static str>]) -> (Fake, Sender<()>, Arc<Mutex<Vec<&'static str>>>) {
        let (go, proceed) = channel();
        let diary = Arc::new(Mutex::new(Vec::new()));
        (Fake { commits: commits.to_vec(), diary: Arc::clone(&diary), proceed, status: Arc::default() }, go, diary)
    }

    #[test]
    fn every_command_has_its_outcome_though_the_store_fails_or_panics() {
        let (store, go, diary) = fake(&[Ok(()), Err("broken"), Err("panic"), Err("without"), Ok(())]);
        let (sender, outcomes) = channel();
        let store = start(store, move |outcome| sender.send(outcome).unwrap()).unwrap();
        let expected = [
            StoreOutcome::Committed,
            StoreOutcome::Failed,
            StoreOutcome::Failed,
            StoreOutcome::CommittedWithout(vec!["a".parse().unwrap()]),
            StoreOutcome::Committed,
        ];
        for expected in expected {
            go.send(()).unwrap();
            store.send(StoreCommand::Commit(Arc::default())).unwrap();
            assert_eq!(outcomes.recv().unwrap(), expected);
            store.send(StoreCommand::Load(Vec::new())).unwrap();
            assert_eq!(outcomes.recv().unwrap(), StoreOutcome::Loaded(Snapshot::default()));
        }
        store.close();
        let each = ["commit", "load"].repeat(5);
        assert_eq!(*diary.lock().unwrap(), [each, vec!["closed"]].concat());
    }

    #[test]
    fn closing_waits_for_the_command_in_hand_and_then_for_the_store() {
        let (store, go, diary) = fake(&[Ok(())]);
        let (sender, outcomes) = channel();
        let store = start(store, move |outcome| sender.send(outcome).unwrap()).unwrap();
        store.send(StoreCommand::Commit(Arc::default())).unwrap();
        let closing = std::thread::spawn(move || store.close());
        assert!(diary.lock().unwrap().is_empty());
        go.send(()).unwrap();
        closing.join().unwrap();
        assert_eq!(outcomes.recv().unwrap(), StoreOutcome::Committed);
        assert_eq!(*diary.lock().unwrap(), ["commit", "closed"]);
    }

    #[test]
    fn a_store_that_fails_is_probed_until_it_works_though_nothing_is_to_be_stored() {
        let (store, go, diary) = fake(&[Err("broken"), Err("still broken"), Ok(())]);
        let status = store.status();
        let (sender, outcomes) = channel();
        let store = start(store, move |outcome| sender.send(outcome).unwrap()).unwrap();
        go.send(()).unwrap();
        store.send(StoreCommand::Commit(Arc::default())).unwrap();
        assert_eq!(outcomes.recv().unwrap(), StoreOutcome::Failed);
        assert!(status.fault().is_some());
        while status.fault().is_some() {
            std::thread::yield_now();
        }
        assert_eq!(*diary.lock().unwrap(), ["commit", "probe", "probe"]);
        assert_eq!(status.failures(Operation::Commit), 2);
        store.close();
    }

    #[test]
    fn a_thread_that_is_gone_is_told_to_both_ends() {
        let (store, _go, diary) = fake(&[]);
        let (sender, outcomes) = channel::<StoreOutcome>();
        let store = start(store, move |_| panic!("{sender:?}")).unwrap();
        store.send(StoreCommand::Load(Vec::new())).unwrap();
        outcomes.recv().unwrap_err();
        while store.send(StoreCommand::Load(Vec::new())).is_ok() {
            std::thread::yield_now();
        }
        store.close();
        assert_eq!(*diary.lock().unwrap(), ["load", "closed"]);
    }
}

//! The task that owns the hub, on a separate thread.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chanwire_core::{
    Limits,
    endpoint::{Listing, Misuse, ServerCommand, ServerEvent, Traffic},
    hub::{Act, ActKind, ConnectionId, DrainPlan, Effect, Hub, HubLimits, ListenerId, Moment, Peer},
    rights::Rights,
    wire::{Address, ChannelSettings, Role},
};
use chanwire_inspect::visible;
use tokio::sync::{mpsc, oneshot};

use crate::{
    accounts::{Accounts, Verified, Verifier},
    clock::{Clock, wall_time},
    mailbox::Mailbox,
    metrics::HubReport,
    store::{Done, Retention, Storage},
};

/// The most inputs per batch.
const BATCH: usize = 1024;

/// The most events handled before effects are carried out. Most events only queue a request.
const EVENTS: usize = 8192;

/// The most effects carried out before inputs and the store's results are polled again.
const EFFECTS: usize = 8192;

/// An input of the hub task.
pub(crate) enum Input {
    /// A connection was accepted.
    Connect {
        id: ConnectionId,
        peer: Peer,
        /// The address that it came from, whether or not that gives it rights.
        from: Option<IpAddr>,
        listener: Option<ListenerId>,
        mailbox: Arc<Mailbox>,
    },
    /// The events of a connection's endpoint from one read.
    Events(ConnectionId, Vec<ServerEvent>),
    /// A connection is closed.
    Disconnect(ConnectionId),
    /// A listener has these local addresses now.
    LocalAddresses(ListenerId, Vec<Address>),
    /// Asks for the counts of the hub's work and of all connections.
    Report(oneshot::Sender<HubReport>),
    /// A password is verified.
    Verified(Verified),
    /// These settings hold from now on.
    Reconfigure(Box<LiveSettings>),
    /// Closes all connections after their remaining output, because the server stops.
    Drain(DrainPlan),
    /// Resets the connections that are left.
    ResetConnections,
    /// Stops the hub after the drain timeout: requests at the store are finished, pending ones are dropped.
    Stop,
}

/// The settings that can change while the server runs.
pub(crate) struct LiveSettings {
    pub(crate) hub_limits: HubLimits,
    /// The limits of each connection.
    pub(crate) limits: Arc<Limits>,
    pub(crate) retention: Retention,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) rights: Arc<Rights>,
}

/// The channel list that the hub published last, from which connections answer LIST.
#[derive(Clone, Default)]
pub(crate) struct PublishedList(Arc<Mutex<Option<Listing>>>);

impl PublishedList {
    pub(crate) fn get(&self) -> Option<Listing> {
        self.lock().clone()
    }

    fn set(&self, list: Listing) {
        *self.lock() = Some(list);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Listing>> {
        // No holder can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends inputs to the hub task. Unbounded, because each connection's requests in flight are bounded.
pub(crate) type HubSender = mpsc::UnboundedSender<Input>;

/// Runs the hub until it is stopped and no request is at the store. The store's results come first, and the work
/// between two polls of them is bounded.
pub(crate) async fn run(
    mut hub: Hub,
    mut inputs: mpsc::UnboundedReceiver<Input>,
    mut done: mpsc::UnboundedReceiver<Done>,
    storage: &mut (impl Storage + ?Sized),
    published: &PublishedList,
    verifier: &mut Verifier,
    clock: Clock,
) {
    let mut mailboxes = Mailboxes::default();
    let mut batch = VecDeque::new();
    // Whether inputs or effects are left over.
    let mut has_more = false;
    let mut stopping = false;
    while !(stopping && hub.is_idle() && !has_more) {
        if has_more {
            tokio::task::yield_now().await;
        }
        let hub_timeout = hub.poll_timeout().map(|at| clock.instant(at));
        let mut finished = None;
        tokio::select! {
            biased;
            Some(next) = done.recv() => finished = Some(next),
            () = std::future::ready(()), if has_more => {}
            input = inputs.recv() => {
                let Some(input) = input else { return };
                batch.push_back(input);
            }
            () = until(hub_timeout) => {}
        }
        while batch.len() < BATCH
            && let Ok(input) = inputs.try_recv()
        {
            batch.push_back(input);
        }
        let now = Moment { time: clock.now(), wall: wall_time() };
        hub.handle_timeout(now.time);
        let mut misuses = Vec::new();
        while let Some(next) = finished.take().or_else(|| done.try_recv().ok()) {
            misuses.extend(finish(&mut hub, next, now).err());
        }
        let mut events = 0;
        while events < EVENTS
            && let Some(input) = batch.pop_front()
        {
            stopping |= matches!(input, Input::Stop);
            if let Input::Events(_, more) = &input {
                events += more.len();
            }
            if let Input::Reconfigure(settings) = &input {
                storage.retain(settings.retention);
                verifier.set_accounts(settings.accounts.clone());
            }
            misuses.extend(handle(&mut hub, &mut mailboxes, verifier, input, now).err());
        }
        misuses.into_iter().for_each(log_misuse);
        has_more = carry_out(&mut hub, &mut mailboxes, storage, published, verifier) || !batch.is_empty();
        mailboxes.wake();
    }
    let (connections, joins) = (hub.connections(), hub.joins());
    tracing::debug!(connections, joins, mailboxes = mailboxes.open.len(), "hub stopped");
}

/// Carries out the hub's effects, up to [`EFFECTS`]. Returns whether there may be more.
fn carry_out(
    hub: &mut Hub,
    mailboxes: &mut Mailboxes,
    storage: &mut (impl Storage + ?Sized),
    published: &PublishedList,
    verifier: &mut Verifier,
) -> bool {
    for _ in 0..EFFECTS {
        let Some(effect) = hub.poll_effect() else { return false };
        match effect {
            // Published before the answers to the change are sent, so that a later LIST shows it.
            Effect::Publish(list) => published.set(list),
            Effect::Store(command) => storage.store(command),
            Effect::Read(read, query) => storage.read(read, query),
            Effect::Verify(id, _, credentials) => {
                if let Some(verified) = verifier.verify(id, credentials, wall_time())
                    && let Err(misuse) = verified.give_to(hub, verifier)
                {
                    log_misuse(misuse);
                }
            }
            Effect::Send(connection, command) => mailboxes.put(connection, command),
            Effect::Describe(connection, page) => {
                let answer = page.answer(|id| mailboxes.measure(id));
                mailboxes.put(connection, answer);
            }
            Effect::Acted(act) => log(&act),
            Effect::Disconnected(connection) => drop(mailboxes.disconnected.remove(&connection)),
        }
    }
    true
}

fn log_misuse(misuse: Misuse) {
    tracing::error!(%misuse, "invalid hub input (a bug, please report)");
}

/// Logs an act of moderation.
fn log(Act { connection: ConnectionId(id), peer, account, channel_name, kind }: &Act) {
    let account = account.as_deref();
    let channel = visible(channel_name);
    match kind {
        // A field named `message` would be the event's text.
        ActKind::Deleted { id: message_id } => {
            tracing::info!(event = "moderated", act = "delete", id, %peer, account, %channel, message_id, "message deleted");
        }
        ActKind::RoleSet { subject, role } => {
            let until = role.and_then(|given| given.until).map(|until| until.to_string());
            let role = role.map_or(Role::NONE, |given| given.role.as_str());
            tracing::info!(event = "moderated", act = "role", id, %peer, account, %channel, %subject, role, until, "role set");
        }
        ActKind::SettingsChanged(ChannelSettings { members_only, slow_mode }) => {
            tracing::info!(
                event = "moderated",
                act = "settings",
                id,
                %peer,
                account,
                %channel,
                members_only,
                slow_mode,
                "settings changed"
            );
        }
    }
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn handle(
    hub: &mut Hub,
    mailboxes: &mut Mailboxes,
    verifier: &Verifier,
    input: Input,
    now: Moment,
) -> Result<(), Misuse> {
    match input {
        Input::Connect { id, peer, from, listener, mailbox } => {
            mailboxes.add(id, mailbox);
            hub.connect(id, peer, listener, now.time)?;
            if let Some(from) = from {
                hub.set_address(id, from);
            }
        }
        Input::Events(id, events) => {
            return events.into_iter().try_for_each(|event| hub.handle_event(id, event, now));
        }
        Input::Disconnect(id) => {
            mailboxes.disconnect(id);
            hub.disconnect(id);
        }
        Input::LocalAddresses(listener, addresses) => hub.set_local_addresses(listener, &addresses),
        Input::Report(answer) => {
            // An asker that no longer waits has given up.
            let _ = answer.send(HubReport { counters: hub.counters(), traffic: mailboxes.traffic() });
        }
        Input::Verified(verified) => return verified.give_to(hub, verifier),
        Input::Reconfigure(settings) => {
            hub.set_rights(settings.rights);
            hub.reconfigure(settings.hub_limits, &settings.limits);
        }
        Input::Drain(plan) => hub.drain(plan, now.time),
        Input::ResetConnections => hub.reset_connections(),
        Input::Stop => hub.stop(),
    }
    Ok(())
}

fn finish(hub: &mut Hub, done: Done, now: Moment) -> Result<(), Misuse> {
    match done {
        Done::Outcome(outcome) => return hub.handle_outcome(outcome, now.time),
        Done::Page(read, page) => return hub.handle_page(read, page),
        Done::Trimmed { channel_name, first_id } => hub.handle_trimmed(&channel_name, first_id, now.time),
    }
    Ok(())
}

/// The mailboxes of all connections.
#[derive(Default)]
struct Mailboxes {
    open: HashMap<ConnectionId, Arc<Mailbox>>,
    /// Mailboxes of closed connections with pending requests. They keep the connection's permit until those are done.
    disconnected: HashMap<ConnectionId, Arc<Mailbox>>,
    /// Mailboxes whose readers are woken at the end of the batch, so that all answers of one commit are written
    /// together.
    to_wake: Vec<Arc<Mailbox>>,
    /// The traffic of connections that are closed.
    ended: Traffic,
}

impl Mailboxes {
    fn add(&mut self, id: ConnectionId, mailbox: Arc<Mailbox>) {
        self.open.insert(id, mailbox);
    }

    fn disconnect(&mut self, id: ConnectionId) {
        if let Some(mailbox) = self.open.remove(&id) {
            mailbox.clear();
            self.ended += mailbox.traffic();
            self.disconnected.insert(id, mailbox);
        }
    }

    fn put(&mut self, id: ConnectionId, command: ServerCommand) {
        if let Some(mailbox) = self.open.get(&id)
            && mailbox.put(command)
        {
            self.to_wake.push(mailbox.clone());
        }
    }

    /// Returns the traffic of an open connection, and the number of bytes that wait until its peer reads.
    fn measure(&self, id: ConnectionId) -> (Traffic, usize) {
        self.open.get(&id).map(|mailbox| (mailbox.traffic(), mailbox.waiting_bytes())).unwrap_or_default()
    }

    /// Returns the traffic of all connections since the start.
    fn traffic(&self) -> Traffic {
        let mut sum = self.ended;
        #[expect(clippy::iter_over_hash_type, reason = "a sum does not depend on the order")]
        for mailbox in self.open.values() {
            sum += mailbox.traffic();
        }
        sum
    }

    fn wake(&mut self) {
        self.to_wake.drain(..).for_each(|mailbox| mailbox.wake());
    }
}

//! A client of the protocol on tokio.
//!
//! [`Client`] asks a server, finds the host of a channel, and follows channels as [`Subscription`]s.

mod backoff;
mod carry;
mod connection;
mod error;
mod gate;
mod host;
mod subscription;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use chanwire_core::wire::{
    Channel, ChannelName, ErrorResponse, Hello, HistoryRange, Host, JoinFrom, Message, Request, Response,
    StoredMessage, Timestamp,
};

pub(crate) use self::{
    backoff::Backoff,
    carry::{End, Session, carry, is_cut},
    connection::{CONNECT_TIMEOUT, Connection, Pending, Unanswered, open},
    gate::{Gate, Held},
    host::host_of,
    subscription::size,
};
pub use self::{
    error::{Error, ErrorKind},
    subscription::{Subscription, SubscriptionEvent},
};
use crate::server_address::ServerAddress;

/// The error by which a server refuses a request about a channel that a peer hosts.
const ELSEWHERE: &str = "Channel hosted elsewhere";

/// The error by which a server refuses a request about a channel that it does not list.
const NOT_FOUND: &str = "Channel not found";

/// Servers with a connection, and channels with a known host, at most.
const MAX_KNOWN: usize = 256;

/// A client of one server, and of the peers that host the channels on its list.
///
/// Requests about a channel go to the server, and where it says that a peer hosts the channel, to that peer.
/// Connections are made when they are needed, and made again when they are lost; each is shared by all requests to that
/// server, which do not wait for each other's answers. Clones share them too. A [`Subscription`] has a connection of
/// its own.
///
/// A request that was lost with its connection is sent again if it was certainly not received, or if carrying it out
/// twice does no harm (HELLO, LIST, HISTORY, HOST). A message whose answer was lost may have been
/// delivered or not: [`send`](Self::send) fails then, and [`history`](Self::history) shows whether it was.
///
/// An answer is waited for 30 seconds. All methods are cancel safe: a request whose future is dropped may or may not be
/// carried out. They must be called in a tokio runtime.
///
/// ```
/// use chanwire::{Channel, ChannelName, Client, JoinFrom, Message, Server, ServerConfig};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let server = Server::start(ServerConfig::new(directory.path())).await?;
/// # let address = server.address();
/// // `address` is where a server listens, such as 127.0.0.1:22236.
/// let client = Client::connect(address.into()).await?;
/// let (general, here): (ChannelName, _) = ("general".parse()?, address.to_string().parse()?);
/// client.host(Channel { channel_name: general.clone(), address: here }, None).await?;
/// let mut subscription = client.join(&general, JoinFrom::Last(0)).await?;
///
/// let (username, message_content) = ("ann".parse()?, "hello".into());
/// let timestamp = client.send(Message { username, message_content, channel_name: Some(general) }).await?;
///
/// let message = subscription.next_message().await.expect("a message")?;
/// assert_eq!((message.id, &*message.message_content, message.timestamp), (1, "hello", timestamp));
/// subscription.leave().await;
/// client.close().await;
/// # server.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: ServerAddress,
    /// A slot for each server, each with a lock, so that connecting to one server does not block requests to another.
    connections: Mutex<BTreeMap<ServerAddress, Arc<Slot>>>,
    /// Hosts other than the server, by channel.
    hosts: Mutex<BTreeMap<ChannelName, ServerAddress>>,
}

/// The connection to one server, if there is one.
type Slot = tokio::sync::Mutex<Option<Connection>>;

impl Client {
    /// Creates a client of this server, to which it connects at the first request.
    #[must_use]
    pub fn new(server: ServerAddress) -> Self {
        let (connections, hosts) = (Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { server, connections, hosts }) }
    }

    /// Connects to a server.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] and [`ErrorKind::ConnectTimeout`], after ten seconds.
    pub async fn connect(server: ServerAddress) -> Result<Self, Error> {
        let client = Self::new(server);
        client.connection(client.server()).await?;
        Ok(client)
    }

    /// Returns the server that is asked first.
    #[must_use]
    pub fn server(&self) -> &ServerAddress {
        &self.shared.server
    }

    /// Sends a request to the server, and to no other, and returns its answer. A JOIN is for [`join`](Self::join).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Refused`] if the answer is an error; see [`ErrorKind`] for all others.
    pub async fn request(&self, request: Request) -> Result<Response, Error> {
        self.ask(self.server(), request).await
    }

    /// Returns what the server can do, and its limits.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Refused`] with `Unknown command` by a server that is older than HELLO; see [`ErrorKind`] for all
    /// others.
    pub async fn hello(&self) -> Result<Hello, Error> {
        match self.request(Request::Hello { notices: false }).await? {
            Response::Hello(hello) => Ok(hello),
            // The endpoint decodes an answer by its request.
            _ => Ok(Hello::new(0)),
        }
    }

    /// Returns the channels that the server lists, in the order of their creation.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`].
    pub async fn list(&self) -> Result<Vec<Channel>, Error> {
        match self.request(Request::List).await? {
            Response::Channels(channels) => Ok(channels),
            // The endpoint decodes an answer by its request.
            _ => Ok(Vec::new()),
        }
    }

    /// Puts a channel on the server's list, or renews its lease: for `lease` seconds, 10 to 86,400, unless it is hosted
    /// again; without a lease until [`unhost`](Self::unhost).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Refused`] among others where another hosts a channel of this name; see [`ErrorKind`].
    pub async fn host(&self, channel: Channel, lease: Option<u32>) -> Result<(), Error> {
        self.request(Request::Host(Host { channel, lease })).await.map(drop)
    }

    /// Takes a channel off the server's list.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Refused`] among others where another hosts it; see [`ErrorKind`].
    pub async fn unhost(&self, channel_name: &ChannelName) -> Result<(), Error> {
        self.request(Request::Unhost { channel_name: channel_name.clone() }).await.map(drop)
    }

    /// Sends a message to its channel, and returns the time that the channel's host stored with it: when this returns,
    /// the message is on stable storage. A message without a channel goes to the only one of the server.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`], which says where the outcome is unknown.
    pub async fn send(&self, message: Message) -> Result<Timestamp, Error> {
        let response = match message.channel_name.clone() {
            Some(channel_name) => self.ask_host(&channel_name, Request::Message(message)).await?,
            None => self.request(Request::Message(message)).await?,
        };
        match response {
            Response::Delivered { timestamp } => Ok(timestamp),
            // The endpoint decodes an answer by its request.
            _ => Ok(Timestamp::default()),
        }
    }

    /// Returns stored messages of a channel, oldest first: at most `limit`, 1 to 1,000, and as many as fit into 256
    /// KiB.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`].
    pub async fn history(
        &self,
        channel_name: &ChannelName,
        range: HistoryRange,
        limit: u16,
    ) -> Result<Vec<StoredMessage>, Error> {
        let request = Request::History { channel_name: channel_name.clone(), range, limit };
        match self.ask_host(channel_name, request).await? {
            Response::History { messages, .. } => Ok(messages),
            // The endpoint decodes an answer by its request.
            _ => Ok(Vec::new()),
        }
    }

    /// Joins a channel: its messages come from `from` on.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`]. The first connection is tried once; only one that was lost is made again.
    pub async fn join(&self, channel_name: &ChannelName, from: JoinFrom) -> Result<Subscription, Error> {
        Subscription::join(self.clone(), channel_name, from).await
    }

    /// Closes the connections after the last answers. A later request makes new ones. Subscriptions go on.
    pub async fn close(&self) {
        let slots = std::mem::take(&mut *lock(&self.shared.connections));
        for slot in slots.into_values() {
            if let Some(connection) = slot.lock().await.take() {
                connection.close().await;
            }
        }
    }

    /// Asks the server about a channel, and where it says that a peer hosts the channel, that peer.
    pub(crate) async fn ask_host(&self, channel_name: &ChannelName, request: Request) -> Result<Response, Error> {
        let known = lock(&self.shared.hosts).get(channel_name).cloned();
        if let Some(host) = known {
            match self.ask(&host, request.clone()).await {
                // The channel may have moved. Nothing was carried out.
                Err(error) if is_not_there(&error) => drop(lock(&self.shared.hosts).remove(channel_name)),
                answered => return answered,
            }
        }
        let refused = match self.request(request.clone()).await {
            Err(error) if error.refusal().is_some_and(is_elsewhere) => error,
            answered => return answered,
        };
        let Some(host) = self.find_host(channel_name).await? else { return Err(refused) };
        let response = self.ask(&host, request).await?;
        let mut hosts = lock(&self.shared.hosts);
        if hosts.len() >= MAX_KNOWN {
            hosts.clear();
        }
        hosts.insert(channel_name.clone(), host);
        Ok(response)
    }

    /// Returns the host of a channel on the server's list, unless it is the server or the channel is not listed.
    pub(crate) async fn find_host(&self, channel_name: &ChannelName) -> Result<Option<ServerAddress>, Error> {
        let channels = self.list().await?;
        let channel = channels.into_iter().find(|channel| channel.channel_name == *channel_name);
        let host = channel.map(|channel| host_of(self.server(), &channel.address));
        Ok(host.filter(|host| !host.same_place(self.server())))
    }

    async fn ask(&self, server: &ServerAddress, request: Request) -> Result<Response, Error> {
        let is_repeatable =
            matches!(request, Request::List | Request::History { .. } | Request::Host(_) | Request::Hello { .. });
        match self.connection(server).await?.request(request.clone()).await {
            Err(Unanswered { error, sent }) if is_lost(&error) && (is_repeatable || !sent) => {
                Ok(self.connection(server).await?.request(request).await?)
            }
            answered => Ok(answered?),
        }
    }

    /// Returns the connection to a server, a new one where there is none.
    async fn connection(&self, server: &ServerAddress) -> Result<Connection, Error> {
        let slot = {
            let mut connections = lock(&self.shared.connections);
            if connections.len() >= MAX_KNOWN && !connections.contains_key(server) {
                // Those in use go on until they are answered.
                connections.clear();
            }
            connections.entry(server.clone()).or_default().clone()
        };
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        Ok(slot.insert(Connection::open(server).await?).clone())
    }
}

/// Returns whether this refuses something because a peer hosts the channel.
pub(crate) fn is_elsewhere(error: &ErrorResponse) -> bool {
    error.error == ELSEWHERE
}

/// Returns whether the server that was asked does not host the channel, or is no longer there.
fn is_not_there(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Refused(refusal) => is_elsewhere(refusal) || refusal.error == NOT_FOUND,
        ErrorKind::Connect(_) | ErrorKind::ConnectTimeout(_) => true,
        _ => false,
    }
}

/// Returns whether the connection was lost.
fn is_lost(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Broken(_) | ErrorKind::Closed | ErrorKind::ClientClosed)
}

/// Locks a map, which a panic elsewhere leaves as good as it was.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

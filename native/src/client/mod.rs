//! A client of the protocol on tokio.
//!
//! [`Client`] asks a server, finds the host of a channel, and follows channels as [`Subscription`]s.

mod backoff;
mod carry;
mod connection;
mod connector;
mod error;
mod gate;
mod host;
mod moderation;
mod repeat;
mod sending;
mod sign_in;
mod subscription;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use chanwire_core::wire::{
    Channel, ChannelName, Credentials, ErrorResponse, Hello, HistoryRange, Host, JoinFrom, ListedChannel, Message,
    Request, Response, StoredMessage, Timestamp, User, Username,
};

pub(crate) use self::{
    backoff::Backoff,
    carry::{Session, carry, is_cut},
    connection::{Connection, Pending, Unanswered},
    connector::{CONNECT_TIMEOUT, Connector},
    gate::{Gate, Held},
    host::host_of,
    repeat::is_repeatable,
    sending::{RETRIES, Sending, is_decisive, random_id},
    sign_in::SignIn,
    subscription::size,
};
pub use self::{
    error::{Error, ErrorKind},
    moderation::Moderation,
    sign_in::SignInError,
    subscription::{Subscription, SubscriptionEvent},
};
use crate::{server_address::ServerAddress, tls::Trust};

/// The error by which a server refuses a request about a channel that a peer hosts.
const ELSEWHERE: &str = "Channel hosted elsewhere";

/// The error by which a server refuses a request about a channel that it does not list.
const NOT_FOUND: &str = "Channel not found";

/// The error by which a server refuses what a connection may not do, or a name that it may not use.
pub(crate) const NOT_ALLOWED: &str = "Not allowed";

/// The error by which a server refuses to join a connection twice.
const ALREADY_JOINED: &str = "Already joined";

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
/// twice does no harm (HELLO, LIST, CHANNELS, HISTORY, HOST, and MESSAGE where the server knows ids). A message has an id, a random
/// one unless the caller gave one, under which such a server stores it once: [`send`](Self::send) repeats it by itself,
/// at most five times, when the connection is lost or the server fails: for about 8 seconds, and longer by the time for
/// which a server does not accept a connection (10 seconds a try) or answer (30 seconds a try). An older server knows no
/// ids: a message whose answer was lost may be stored or not, [`send`](Self::send) fails then, and
/// [`history`](Self::history) shows whether it is.
///
/// To a server whose address begins with `tls://` every connection is encrypted, and so are those to the peers that it
/// lists, whose addresses do not say so: with a peer that speaks only plain text, requests fail. [`Trust`] says which
/// certificates are accepted.
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
/// let message = Message { username, message_content, channel_name: Some(general), client_message_id: None };
/// let timestamp = client.send(message).await?;
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
    connector: Connector,
    /// A slot for each server, each with a lock, so that connecting to one server does not block requests to another.
    connections: Mutex<BTreeMap<ServerAddress, Arc<Slot>>>,
    /// Hosts other than the server, by channel.
    hosts: Mutex<BTreeMap<ChannelName, ServerAddress>>,
    /// Held while a channel is joined for [`Client::who`], so that no other call leaves it before the question.
    asking_who: tokio::sync::Mutex<()>,
}

/// The connections and users that have joined a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Who {
    /// The number of connections.
    pub count: u64,
    /// The users who gave a name, the one that joined first of all first.
    pub users: Vec<User>,
    /// Whether these are all users.
    pub complete: bool,
}

/// A request, which several servers may be asked in turn.
enum Call {
    Request(Request),
    Message(Box<Sending>),
}

/// The connection to one server, if there is one.
type Slot = tokio::sync::Mutex<Option<Connection>>;

impl Client {
    /// Creates a client of this server, to which it connects at the first request. By TLS, it trusts the system's
    /// certificate authorities.
    #[must_use]
    pub fn new(server: ServerAddress) -> Self {
        Self::with_trust(server, Trust::system())
    }

    /// Creates a client of this server, which connects at the first request and trusts these certificates.
    #[must_use]
    pub fn with_trust(server: ServerAddress, trust: Trust) -> Self {
        Self::over(Connector::new(server, trust))
    }

    /// Creates a client that signs in to an account of this server with these credentials, on each connection, before
    /// anything else is sent. It never goes on as a guest where that fails, and asks no other server: requests about a
    /// channel that a peer hosts fail. Credentials are not sent in plain text to another machine.
    ///
    /// ```no_run
    /// use chanwire::{Client, Credentials, Trust};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let credentials = Credentials::Token(std::env::var("CHANWIRE_TOKEN")?.parse()?);
    /// let client = Client::with_credentials("tls://chat.example:22236".parse()?, Trust::system(), credentials);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_credentials(server: ServerAddress, trust: Trust, credentials: Credentials) -> Self {
        let sign_in = SignIn { credentials, allows_plaintext: false };
        Self::over(Connector::new(server, trust).with_sign_in(Some(sign_in)))
    }

    /// Creates a client that connects this way.
    pub(crate) fn over(connector: Connector) -> Self {
        let (connections, hosts) = (Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { connector, connections, hosts, asking_who: tokio::sync::Mutex::default() }) }
    }

    /// Connects to a server.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`], [`ErrorKind::Tls`], and after ten seconds [`ErrorKind::ConnectTimeout`].
    pub async fn connect(server: ServerAddress) -> Result<Self, Error> {
        let client = Self::new(server);
        client.connection(client.server()).await?;
        Ok(client)
    }

    /// Returns the server that is asked first.
    #[must_use]
    pub fn server(&self) -> &ServerAddress {
        self.shared.connector.server()
    }

    /// Returns the way to the server and its peers.
    pub(crate) fn connector(&self) -> &Connector {
        &self.shared.connector
    }

    /// Sends a request to the server, and to no other, and returns its answer. A JOIN is for [`join`](Self::join).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Refused`] if the answer is an error; see [`ErrorKind`] for all others.
    pub async fn request(&self, request: Request) -> Result<Response, Error> {
        self.ask(self.server(), &mut self.call(request)?).await
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

    /// Returns a page of the channels that the server lists, in the order of their creation: of those after the position
    /// `after` at most `limit`, 1 to 1,000, whose names contain a part, in any case of ASCII letters. Also returns the
    /// position after which the next page begins; `None` at the end. A page may be short, or empty, and not the last.
    ///
    /// For servers whose [`hello`](Self::hello) has the feature [`Hello::CHANNELS`]. Channels that are listed throughout
    /// are on exactly one page, whatever changes between two requests.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Refused`] with `Unknown command` by an older server; see [`ErrorKind`] for all others.
    pub async fn channels(
        &self,
        after: u64,
        limit: u16,
        contains: Option<&str>,
    ) -> Result<(Vec<ListedChannel>, Option<u64>), Error> {
        let contains = contains.map(Into::into);
        match self.request(Request::Channels { after, limit, contains }).await? {
            Response::ChannelPage { channels, next } => Ok((channels, next)),
            // The endpoint decodes an answer by its request.
            _ => Ok((Vec::new(), None)),
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
    /// To a server that knows ids, the message is sent again under its id until it is answered, at most five times, and
    /// not to another host: ids are known to one host alone.
    ///
    /// A caller that gives the message a `client_message_id` can call this again after an error, with the same message:
    /// within the server's window it is stored once as well. With the random id of a message without one it cannot.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`], which says where the outcome is unknown. If a server may have received the message, this is the
    /// failure of that try, whatever happened to later ones; after [`ErrorKind::Refused`] with a `SERVER_ERROR` the
    /// outcome is unknown, too. [`ErrorKind::Refused`] with `Message id reused` if the message has the id of another one.
    pub async fn send(&self, message: Message) -> Result<Timestamp, Error> {
        let response = match message.channel_name.clone() {
            Some(channel_name) => self.ask_host(&channel_name, Request::Message(message)).await?,
            None => self.request(Request::Message(message)).await?,
        };
        match response {
            Response::Delivered { timestamp, .. } => Ok(timestamp),
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

    /// Returns who has joined a channel, at its host, without this client, which joins it for the question.
    ///
    /// For hosts whose [`hello`](Self::hello) has the feature [`Hello::PRESENCE`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Refused`] with `Unknown command` by an older server; see [`ErrorKind`] for all others.
    pub async fn who(&self, channel_name: &ChannelName) -> Result<Who, Error> {
        let (channel, from) = (|| channel_name.clone(), JoinFrom::Last(0));
        let _asking = self.shared.asking_who.lock().await;
        let join = Request::Join { channel_name: channel(), from, username: None };
        match self.ask_host(channel_name, join).await {
            // A call that was cancelled has not left it.
            Err(error) if error.refusal().is_some_and(|refusal| refusal.error == ALREADY_JOINED) => {}
            joined => drop(joined?),
        }
        let answered = self.ask_host(channel_name, Request::Who { channel_name: channel() }).await;
        let left = self.ask_host(channel_name, Request::Leave { channel_name: channel() }).await;
        let who = match answered? {
            Response::Who { count, users, complete, .. } => Who { count: count.saturating_sub(1), users, complete },
            // The endpoint decodes an answer by its request.
            _ => Who { count: 0, users: Vec::new(), complete: false },
        };
        left.map(|_| who)
    }

    /// Joins a channel: its messages come from `from` on. A guest that joins so has no name, and [`who`](Self::who)
    /// only counts it.
    ///
    /// # Errors
    ///
    /// See [`ErrorKind`]. The first connection is tried once; only one that was lost is made again.
    pub async fn join(&self, channel_name: &ChannelName, from: JoinFrom) -> Result<Subscription, Error> {
        Subscription::join(self.clone(), channel_name, from, None).await
    }

    /// Joins a channel as [`join`](Self::join) does, under a name, by which [`who`](Self::who) and notices of presence
    /// show the subscription. The name is told to hosts whose [`hello`](Self::hello) has the feature
    /// [`Hello::PRESENCE`].
    ///
    /// # Errors
    ///
    /// As of [`join`](Self::join), and [`ErrorKind::Refused`] with `Not allowed` if the name is that of an account to
    /// which the client is not signed in.
    pub async fn join_as(
        &self,
        channel_name: &ChannelName,
        from: JoinFrom,
        username: Username,
    ) -> Result<Subscription, Error> {
        Subscription::join(self.clone(), channel_name, from, Some(username)).await
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
        let mut call = self.call(request)?;
        let known = lock(&self.shared.hosts).get(channel_name).cloned();
        if let Some(host) = known {
            match self.ask(&host, &mut call).await {
                // The channel may have moved. Nothing was carried out: a message that this host may have stored fails
                // otherwise, and is not sent to another host, which does not know its id.
                Err(error) if is_not_there(&error) => drop(lock(&self.shared.hosts).remove(channel_name)),
                answered => return answered,
            }
        }
        let refused = match self.ask(self.server(), &mut call).await {
            Err(error) if error.refusal().is_some_and(is_elsewhere) => error,
            answered => return answered,
        };
        let Some(host) = self.find_host(channel_name).await? else { return Err(refused) };
        let response = self.ask(&host, &mut call).await?;
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

    fn call(&self, request: Request) -> Result<Call, Error> {
        Ok(match request {
            Request::Message(message) => {
                let sending = Sending::new(message).map_err(|kind| Error::new(self.server().to_string(), kind))?;
                Call::Message(sending.into())
            }
            request => Call::Request(request),
        })
    }

    async fn ask(&self, server: &ServerAddress, call: &mut Call) -> Result<Response, Error> {
        let request = match call {
            Call::Message(sending) => return self.send_to(server, sending).await,
            Call::Request(request) => request,
        };
        let is_repeatable = matches!(
            request,
            Request::List
                | Request::History { .. }
                | Request::Host(_)
                | Request::Hello { .. }
                | Request::Channels { .. }
                | Request::Delete { .. }
                | Request::Role { .. }
                | Request::Settings { .. }
        );
        match self.connection(server).await?.request(request.clone()).await {
            Err(Unanswered { error, sent }) if is_lost(&error) && (is_repeatable || !sent) => {
                Ok(self.connection(server).await?.request(request.clone()).await?)
            }
            answered => Ok(answered?),
        }
    }

    /// Sends a message to this server until it is answered or given up.
    async fn send_to(&self, server: &ServerAddress, sending: &mut Sending) -> Result<Response, Error> {
        loop {
            let answered = match self.connection(server).await {
                Ok(connection) => sending.send(&connection).await,
                Err(error) => Err(Unanswered { error, sent: false }),
            };
            match answered {
                Ok(response) => return Ok(response),
                Err(unanswered) => tokio::time::sleep(sending.wait(unanswered)?).await,
            }
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
        Ok(slot.insert(Connection::open(self.connector(), server).await?).clone())
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
        ErrorKind::Connect(_) | ErrorKind::ConnectTimeout(_) | ErrorKind::Tls(_) => true,
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

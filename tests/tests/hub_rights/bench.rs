//! A server without a network: a hub, a store that works, and the endpoints of its connections.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use chanwire_core::{
    Limits, Time,
    endpoint::{ConnectionAction, ConnectionEnd, Endpoint as _, Listing, Server, ServerEvent},
    hub::{
        Act, ConnectionId, Effect, Hub, HubLimits, ListenerId, Moment, Peer, Query, ReadId, StoreCommand,
        VerificationId,
    },
    rights::{Account, GuestPolicy, Rights, Rule},
    wire::{AccountName, Channel, Decoder, Item, Status, StoredMessage, Timestamp},
};
use chanwire_tests::{
    name::named as name,
    store::{Disk, Fate},
};

/// A server and its clients, who read all that they are sent.
pub(crate) struct Bench {
    pub(crate) hub: Hub,
    pub(crate) disk: Disk,
    pub(crate) rights: Arc<Rights>,
    listener: ListenerId,
    published: Option<Listing>,
    clients: BTreeMap<u64, Client>,
    pub(crate) now: Time,
    /// Commands of the store that are not carried out, and reads that are not delivered.
    commands: Vec<StoreCommand>,
    reads: Vec<(ReadId, Query)>,
    /// Accounts whose passwords, all of which are right, are not verified.
    verifications: Vec<(VerificationId, AccountName)>,
    /// Whether the store does nothing.
    pub(crate) holds: bool,
    /// Whether no password is verified.
    pub(crate) holds_sign_in: bool,
    /// The outcome of the store's next command.
    pub(crate) fate: Fate,
    /// The acts of moderation that were to be logged.
    pub(crate) acts: Vec<Act>,
}

struct Client {
    server: Server,
    received: Vec<u8>,
    /// Whether the hub knows that it is closed.
    is_closed: bool,
}

/// Returns the rights of a server with the accounts `ann`, who is of the staff, `bob`, and the operator's `root`.
/// Channels `staff-*` are the staff's.
pub(crate) fn hidden() -> Rights {
    let staff = || vec!["@staff".parse().unwrap()];
    let rule = Rule { channels: "staff-*".parse().unwrap(), read: staff(), write: staff(), host: staff() };
    let ann = Account { groups: ["staff".parse().unwrap()].into(), ..Account::default() };
    let root = Account { is_operator: true, ..Account::default() };
    let accounts = [("ann", ann), ("bob", Account::default()), ("root", root)];
    let accounts = accounts.map(|(name, account)| (name.parse().unwrap(), account)).into();
    Rights { accounts, rules: vec![rule], guests: GuestPolicy::All }
}

pub(crate) fn host(channel_name: &str) -> String {
    host_at(channel_name, "127.0.0.1")
}

pub(crate) fn host_at(channel_name: &str, ip: &str) -> String {
    format!(
        "HOST\r\n{{\"channel_name\": \"{channel_name}\", \"peer_server_ip\": \"{ip}\", \"peer_server_port\": 22236}}"
    )
}

pub(crate) fn auth(account: &str) -> String {
    format!("AUTH\r\n{{\"account\": \"{account}\", \"password\": \"right\"}}")
}

/// Returns the channel that an operator fixes under this name.
pub(crate) fn fixed(channel_name: &str) -> Channel {
    Channel { channel_name: name(channel_name), address: "127.0.0.1:22236".parse().unwrap() }
}

/// Returns a request that names a channel.
pub(crate) fn named(command: &str, channel_name: &str) -> String {
    format!("{command}\r\n{{\"channel_name\": \"{channel_name}\"}}")
}

pub(crate) fn delete(channel_name: &str, id: u64) -> String {
    format!("DELETE\r\n{{\"channel_name\": \"{channel_name}\", \"id\": {id}}}")
}

/// Gives a role to one who is named by a member.
pub(crate) fn role(channel_name: &str, target: &str, role: &str) -> String {
    format!("ROLE\r\n{{\"channel_name\": \"{channel_name}\", {target}, \"role\": \"{role}\"}}")
}

pub(crate) fn settings(channel_name: &str, change: &str) -> String {
    format!("SETTINGS\r\n{{\"channel_name\": \"{channel_name}\"{change}}}")
}

pub(crate) fn message(username: &str, content: &str, channel_name: Option<&str>, id: Option<u8>) -> String {
    let channel_name = channel_name.map_or(String::new(), |name| format!(", \"channel_name\": \"{name}\""));
    let id = id.map_or(String::new(), |id| format!(", \"client_message_id\": \"{id:016}\""));
    format!("MESSAGE\r\n{{\"username\": \"{username}\", \"message_content\": \"{content}\"{channel_name}{id}}}")
}

impl Bench {
    pub(crate) fn new(rights: Rights) -> Self {
        Self::over(Disk::default(), rights, HubLimits::default())
    }

    pub(crate) fn over(disk: Disk, rights: Rights, limits: HubLimits) -> Self {
        Self::over_at(disk, rights, limits, Time::default())
    }

    fn over_at(disk: Disk, rights: Rights, limits: HubLimits, now: Time) -> Self {
        let wall = Timestamp::from_unix(i64::try_from(now.as_millis() / 1000).unwrap());
        let mut hub = Hub::new(limits, disk.snapshot(), Moment { time: now, wall });
        let listener = hub.add_listener(&["127.0.0.1:22236".parse().unwrap()]);
        let rights = Arc::new(rights);
        hub.set_rights(rights.clone());
        Self {
            hub,
            disk,
            rights,
            listener,
            published: None,
            clients: BTreeMap::new(),
            now,
            commands: Vec::new(),
            reads: Vec::new(),
            verifications: Vec::new(),
            holds_sign_in: false,
            holds: false,
            fate: Fate::Done,
            acts: Vec::new(),
        }
    }

    /// Stops the server and starts it over the same store.
    pub(crate) fn restart(self) -> Self {
        let rights = (*self.rights).clone();
        Self::over_at(self.disk, rights, HubLimits::default(), self.now)
    }

    fn connect(&mut self, peer: Peer, listener: Option<ListenerId>) -> u64 {
        let id = self.clients.keys().next_back().map_or(0, |last| last + 1);
        self.hub.connect(ConnectionId(id), peer, listener, self.now).unwrap();
        let mut server = Server::new(ConnectionId(id), Limits::server()).with_local_peer();
        if peer == Peer::Operator {
            server = server.with_own_list();
        }
        self.clients.insert(id, Client { server, received: Vec::new(), is_closed: false });
        id
    }

    pub(crate) fn guest(&mut self, from: &str) -> u64 {
        self.connect(Peer::Address(from.parse::<IpAddr>().unwrap()), Some(self.listener))
    }

    /// Connects a client from 203.0.113.9 that is signed in to this account.
    pub(crate) fn account(&mut self, account: &str) -> u64 {
        self.account_from(account, "203.0.113.9")
    }

    pub(crate) fn account_from(&mut self, account: &str, from: &str) -> u64 {
        let id = self.guest(from);
        self.sign_in(id, account);
        id
    }

    pub(crate) fn sign_in(&mut self, id: u64, account: &str) {
        let answer = self.ask(id, &auth(account));
        assert!(answer.starts_with("OK"), "{answer}");
    }

    /// Connects a client from an address that gives it no rights.
    pub(crate) fn without_rights(&mut self, from: &str) -> u64 {
        let id = self.connect(Peer::NoAddressRights, Some(self.listener));
        self.hub.set_address(ConnectionId(id), from.parse().unwrap());
        id
    }

    pub(crate) fn operator(&mut self) -> u64 {
        self.connect(Peer::Operator, None)
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, seconds: u64) {
        self.settle();
        self.now = self.now.after(std::time::Duration::from_secs(seconds));
        self.hub.handle_timeout(self.now);
        self.settle();
    }

    pub(crate) fn reload(&mut self, rights: Rights) {
        self.settle();
        self.rights = Arc::new(rights);
        self.hub.set_rights(self.rights.clone());
        self.settle();
    }

    /// Sends bytes, and returns all that is received by then.
    pub(crate) fn ask(&mut self, id: u64, bytes: &str) -> String {
        self.send(id, bytes);
        self.received(id)
    }

    pub(crate) fn send(&mut self, id: u64, bytes: &str) {
        let now = self.now;
        self.clients.get_mut(&id).unwrap().server.handle_input(now, bytes.as_bytes());
        self.settle();
    }

    /// Returns what a client has received since the last call.
    pub(crate) fn received(&mut self, id: u64) -> String {
        let client = self.clients.get_mut(&id).unwrap();
        String::from_utf8(std::mem::take(&mut client.received)).unwrap()
    }

    /// Returns why a connection has ended, if it has.
    pub(crate) fn ended(&self, id: u64) -> Option<ConnectionEnd> {
        let server = &self.clients.get(&id).unwrap().server;
        (server.action() != ConnectionAction::Open).then(|| server.ended(false))
    }

    pub(crate) fn contents(&self, channel_name: &str) -> Vec<&str> {
        self.disk.messages(channel_name).iter().map(|message| message.message_content.as_str()).collect()
    }

    /// Carries everything to where it belongs until nothing moves.
    pub(crate) fn settle(&mut self) {
        while self.carry() {}
    }

    fn carry(&mut self) -> bool {
        let (now, mut moved) = (self.now, false);
        let at = Moment { time: now, wall: Timestamp::default() };
        for (id, client) in &mut self.clients {
            while let Some(event) = client.server.poll_event() {
                moved |= matches!(event, ServerEvent::Request { .. });
                let published = || self.published.clone();
                let Some(event) = client.server.list_at_once(now, event, published) else { continue };
                self.hub.handle_event(ConnectionId(*id), event, at).unwrap();
            }
            let mut slices = [&[][..]; 4];
            let count = client.server.transmit(&mut slices);
            let bytes: Vec<u8> = slices.iter().take(count).copied().flatten().copied().collect();
            if !bytes.is_empty() {
                client.server.handle_written(now, bytes.len());
                client.received.extend(bytes);
                moved = true;
            }
            if client.server.action() != ConnectionAction::Open && !client.is_closed {
                client.is_closed = true;
                self.hub.disconnect(ConnectionId(*id));
                moved = true;
            }
        }
        while let Some(effect) = self.hub.poll_effect() {
            moved = true;
            match effect {
                Effect::Publish(listing) => self.published = Some(listing),
                Effect::Send(ConnectionId(id), command) => {
                    self.clients.get_mut(&id).unwrap().server.handle_command(now, command).unwrap();
                }
                Effect::Store(command) => self.commands.push(command),
                Effect::Read(read, query) => self.reads.push((read, query)),
                Effect::Verify(id, _, credentials) => {
                    let account = credentials.account().unwrap().clone();
                    self.verifications.push((id, account));
                }
                Effect::Acted(act) => self.acts.push(act),
                _ => {}
            }
        }
        if !self.holds_sign_in {
            for (id, account) in std::mem::take(&mut self.verifications) {
                self.hub.handle_verified(id, Some(account)).unwrap();
                moved = true;
            }
        }
        if !self.holds {
            for command in std::mem::take(&mut self.commands) {
                let fate = std::mem::replace(&mut self.fate, Fate::Done);
                let outcome = self.disk.carry_out(&command, fate);
                self.hub.handle_outcome(outcome, now).unwrap();
                moved = true;
            }
            for (read, query) in std::mem::take(&mut self.reads) {
                let found = query.found(self.disk.read(&query));
                self.hub.handle_page(read, Some(found)).unwrap();
                moved = true;
            }
        }
        moved
    }

    /// Returns the messages that a channel keeps.
    pub(crate) fn stored(&self, channel_name: &str) -> &[StoredMessage] {
        self.disk.messages(channel_name)
    }

    /// Returns the account that a name belongs to.
    pub(crate) fn owner(&self, channel_name: &str) -> Option<&str> {
        self.disk.owner(channel_name).map(|account| account.as_str())
    }
}

/// Returns the messages that were pushed, of all that a client has received.
pub(crate) fn pushed(received: &str) -> Vec<StoredMessage> {
    let mut decoder = Decoder::<Status>::new(usize::MAX);
    decoder.feed(received.as_bytes());
    let mut pushed = Vec::new();
    while let Some(item) = decoder.next_item() {
        if let Item::Frame(frame) = item
            && frame.start_line == Status::Push
        {
            pushed.push(StoredMessage::decode(frame.payload).unwrap());
        }
    }
    pushed
}

/// Returns the name of a channel.
pub(crate) fn channel(text: &str) -> chanwire_core::wire::ChannelName {
    name(text)
}

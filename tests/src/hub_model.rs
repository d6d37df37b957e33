//! A model of the protocol's rules for channels, as plain as the page that states them: nothing is indexed, cached or
//! remembered, every question is answered from the whole list.

mod moderation;

use std::{collections::BTreeMap, net::IpAddr};

use chanwire_core::{
    Time,
    hub::{ChannelLog, ChannelRecord, HubLimits, ModerationRecord, Peer, SendRecord, Snapshot, Write},
    wire::{
        AccountName, Address, Channel, ChannelName, ChannelSettings, ErrorResponse, Host, JoinFrom, Message, Request,
        Response, Timestamp,
    },
};

/// The directory as far as it is known to be stored, and what the operator set.
#[derive(Clone, Debug)]
pub struct Model {
    /// The local addresses of each listener.
    pub own: Vec<Vec<Address>>,
    /// The server's resource limits.
    pub limits: HubLimits,
    fixed: Vec<Channel>,
    stored: Vec<ChannelRecord>,
    /// The channels that are kept for their hosts, with the end of that time.
    released: Vec<(ChannelRecord, Time)>,
    /// The time when each name was last taken off the list, or had a message dropped.
    idle_since: BTreeMap<ChannelName, Time>,
    /// The current time.
    pub now: Time,
    /// Every name that is listed or hidden by a fixed one, in order of creation.
    order: Vec<ChannelName>,
    /// The first id that is kept and the last that was assigned, of each channel with messages.
    logs: BTreeMap<ChannelName, (u64, u64)>,
    /// The time from which each lease is counted.
    since: BTreeMap<ChannelName, Time>,
    /// The keys of all messages that are known to be stored, in their order.
    sends: Vec<SendRecord>,
    /// The roles and settings that are known to be stored.
    moderation: BTreeMap<ChannelName, ModerationRecord>,
}

/// The correct outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer it at once, with this.
    Answer(Response),
    /// Answer it at once with an error of this name, in words of one's own.
    Refuse(&'static str),
    /// Append it to this channel, then answer.
    Append(ChannelName),
    /// Store the channel, then answer.
    Put,
    /// Take the channel off the list, then answer.
    Remove,
    /// Answer it at once with a page of the listed channels.
    Page,
    /// The channel keeps the message: delete it, then answer, unless it is deleted already or a record.
    Delete,
    /// Store this, then answer.
    Moderate(Write),
    /// It is the operator's and about connections, which this model does not have.
    Operator,
    /// The channel lives here: what follows is between the connection and it.
    Here(ChannelName),
}

/// Converts an IPv4-mapped IPv6 address to IPv4.
#[must_use]
pub const fn plain(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => ip,
        },
        IpAddr::V4(_) => ip,
    }
}

/// Returns the address that stands for a subscriber's: an IPv4 address, or the first of an IPv6 address's /64 network.
#[must_use]
pub fn of_subscriber(ip: IpAddr) -> IpAddr {
    match plain(ip) {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Returns every host that an address's host stands for.
fn meanings(address: &Address) -> Vec<String> {
    let host = address.host().to_lowercase();
    match host.parse::<IpAddr>() {
        Ok(ip) => vec![plain(ip).to_string()],
        Err(_) if host == "localhost" => vec!["127.0.0.1".into(), "::1".into()],
        Err(_) => vec![host],
    }
}

/// Returns whether two addresses mean the same endpoint.
#[must_use]
pub fn same_place(a: &Address, b: &Address) -> bool {
    a.port() == b.port() && meanings(a).iter().any(|meaning| meanings(b).contains(meaning))
}

impl Model {
    /// Creates the model of a server with these local addresses for each listener, and no channel.
    #[must_use]
    pub fn new(own: Vec<Vec<Address>>, limits: HubLimits, now: Time) -> Self {
        Self {
            own,
            limits,
            fixed: Vec::new(),
            stored: Vec::new(),
            released: Vec::new(),
            idle_since: BTreeMap::new(),
            now,
            order: Vec::new(),
            logs: BTreeMap::new(),
            since: BTreeMap::new(),
            sends: Vec::new(),
            moderation: BTreeMap::new(),
        }
    }

    /// Replaces these names by all that a store holds of them. An unchanged lease goes on, and messages that retention
    /// dropped stay dropped.
    pub fn restore(&mut self, names: &[ChannelName], stored: Snapshot, now: Time) {
        let is_meant = |record: &ChannelRecord| names.contains(&record.channel.channel_name);
        let (before, rest) = std::mem::take(&mut self.stored).into_iter().partition::<Vec<_>, _>(is_meant);
        self.stored = rest;
        self.stored.extend(stored.channels);
        self.stored.sort_by_key(|record| record.position);
        let meant = |(record, _): &(ChannelRecord, Time)| is_meant(record);
        let (kept, rest) = std::mem::take(&mut self.released).into_iter().partition::<Vec<_>, _>(meant);
        self.released = rest;
        let hidden =
            |record: &ChannelRecord| self.fixed.iter().any(|fixed| fixed.channel_name == record.channel.channel_name);
        for released in stored.released.into_iter().filter(|released| !hidden(&released.record)) {
            let name = &released.record.channel.channel_name;
            let known = kept.iter().find(|(record, _)| record.channel.channel_name == *name).map(|(_, until)| *until);
            let until = Time::from_millis(u64::try_from(released.until.as_unix()).unwrap_or_default() * 1000);
            self.released.push((released.record, known.unwrap_or(until)));
        }
        let mut records: Vec<_> = self.stored.iter().chain(self.released.iter().map(|(record, _)| record)).collect();
        records.sort_by_key(|record| record.position);
        let is_known = |name: &ChannelName| {
            let fixed = self.fixed.iter().any(|channel| channel.channel_name == *name);
            fixed || records.iter().any(|record| record.channel.channel_name == *name)
        };
        self.order.retain(is_known);
        for record in &records {
            if !self.order.contains(&record.channel.channel_name) {
                self.order.push(record.channel.channel_name.clone());
            }
        }
        self.since.retain(|name, _| self.stored.iter().any(|record| record.channel.channel_name == *name));
        for record in self.stored.iter().filter(|record| is_meant(record)) {
            let name = &record.channel.channel_name;
            let same = |other: &ChannelRecord| other.channel.channel_name == *name && other.lease == record.lease;
            if !before.iter().any(same) {
                self.since.insert(name.clone(), now);
            }
        }
        self.moderation.retain(|name, _| !names.contains(name));
        for record in stored.moderation {
            self.moderation.insert(record.channel_name.clone(), record);
        }
        for send in stored.sends {
            let is_it = |known: &&mut SendRecord| (&known.channel_name, known.id) == (&send.channel_name, send.id);
            match self.sends.iter_mut().find(is_it) {
                Some(known) => *known = send,
                None => self.sends.push(send),
            }
        }
        for name in names.iter().filter(|name| !stored.logs.iter().any(|log| log.channel_name == **name)) {
            self.logs.remove(name);
            self.idle_since.remove(name);
        }
        for ChannelLog { channel_name, first_id, last_id, since, .. } in stored.logs {
            let since = Time::from_millis(u64::try_from(since.as_unix()).unwrap_or_default() * 1000);
            let idle = self.idle_since.entry(channel_name.clone()).or_default();
            *idle = since.max(*idle);
            let log = self.logs.entry(channel_name).or_insert((1, 0));
            *log = (log.0.max(first_id), last_id);
        }
    }

    /// Starts from a snapshot.
    pub fn load(&mut self, stored: Snapshot, now: Time) {
        let released = stored.released.iter().map(|released| &released.record);
        let channels = stored.channels.iter().chain(released).map(|record| &record.channel.channel_name);
        let names: Vec<ChannelName> =
            channels.chain(stored.logs.iter().map(|log| &log.channel_name)).cloned().collect();
        self.restore(&names, stored, now);
    }

    /// Applies durable writes.
    pub fn commit(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::PutChannel(record) => {
                    let name = &record.channel.channel_name;
                    // What another had stored of its channel under this name is not of this one.
                    let kept = self.released.iter().find(|(other, _)| other.channel.channel_name == *name);
                    let is_its = |ip| kept.is_some_and(|(other, _)| hosts(ip, other));
                    if self.find(name).is_none() && record.registered_from.is_some_and(|ip| !is_its(ip)) {
                        self.moderation.remove(name);
                    }
                    self.stored.retain(|other| other.channel.channel_name != *name);
                    self.released.retain(|(other, _)| other.channel.channel_name != *name);
                    self.stored.push(record.clone());
                    if !self.order.contains(name) {
                        self.order.push(name.clone());
                    }
                }
                Write::RemoveChannel(name) => {
                    self.moderation.remove(name);
                    self.since.remove(name);
                    self.idle_since.insert(name.clone(), self.now);
                    self.stored.retain(|other| other.channel.channel_name != *name);
                    self.released.retain(|(other, _)| other.channel.channel_name != *name);
                    self.fixed.retain(|other| other.channel_name != *name);
                    self.order.retain(|other| other != name);
                }
                Write::ReleaseChannel { channel_name: name, until } => {
                    self.since.remove(name);
                    let until = Time::from_millis(u64::try_from(until.as_unix()).unwrap_or_default() * 1000);
                    let is_it = |record: &ChannelRecord| record.channel.channel_name == *name;
                    let record = self.stored.iter().find(|record| is_it(record)).cloned();
                    self.stored.retain(|record| !is_it(record));
                    self.released.extend(record.map(|record| (record, until)));
                }
                Write::SetRole { channel_name, subject, role } => {
                    self.moderation_of(channel_name).set_role(subject, *role);
                }
                Write::SetSettings { channel_name, settings } => {
                    self.moderation_of(channel_name).settings = *settings;
                }
                // It follows from the other writes.
                Write::DropModeration(_) => {}
                Write::DropName(name) => {
                    self.moderation.remove(name);
                    self.logs.remove(name);
                    self.idle_since.remove(name);
                }
                Write::Append { message, send_key } => {
                    self.sends.extend(send_key.clone().map(|key| SendRecord::new(message, key)));
                    let log = self.logs.entry(message.channel_name.clone()).or_insert((1, 0));
                    log.1 = message.id;
                }
                Write::Delete { tombstone, record } => {
                    let is_its =
                        |send: &&mut SendRecord| send.channel_name == tombstone.channel_name && send.id == tombstone.id;
                    self.sends.iter_mut().filter(is_its).for_each(|send| send.key.digest = 0);
                    self.logs.entry(record.channel_name.clone()).or_insert((1, 0)).1 = record.id;
                }
            }
        }
    }

    fn moderation_of(&mut self, name: &ChannelName) -> &mut ModerationRecord {
        let new = || ModerationRecord::new(name.clone(), ChannelSettings::default());
        self.moderation.entry(name.clone()).or_insert_with(new)
    }

    /// Returns whether the operator fixed the channel of this name.
    fn is_fixed(&self, name: &str) -> bool {
        self.fixed.iter().any(|channel| channel.channel_name == name)
    }

    /// Returns the keys that are kept: at most so many, and none after a message of the same channel that is younger by
    /// the window. One more key drops four at most for each of the two reasons.
    fn kept_sends(&self) -> Vec<&SendRecord> {
        let mut kept: Vec<&SendRecord> = Vec::new();
        for send in &self.sends {
            kept.push(send);
            for _ in 0..4 {
                let its_oldest = kept.iter().position(|other| other.channel_name == send.channel_name);
                let is_due = |place: &usize| {
                    kept.get(*place).is_some_and(|oldest| self.is_past(oldest.timestamp, send.timestamp))
                };
                if let Some(place) = its_oldest.filter(is_due) {
                    kept.remove(place);
                }
            }
            for _ in 0..4 {
                if kept.len() > self.limits.max_send_keys {
                    kept.remove(0);
                }
            }
        }
        kept
    }

    /// Returns whether a message is older than a later one by the window in which a send may be repeated.
    #[must_use]
    pub fn is_past(&self, earlier: Timestamp, later: Timestamp) -> bool {
        let window = i64::try_from(self.limits.retry_window.as_secs()).unwrap_or(i64::MAX);
        later.as_unix() - earlier.as_unix() >= window
    }

    /// Returns the stored message that one of this time in this channel repeats, if there is one.
    #[must_use]
    pub fn repeated(
        &self,
        name: &ChannelName,
        account: Option<&AccountName>,
        message: &Message,
        at: Timestamp,
    ) -> Option<SendRecord> {
        let kept = self.kept_sends().into_iter().rev().find(|send| is_key_of(send, name, account, message))?;
        (!self.is_past(kept.timestamp, at)).then(|| kept.clone())
    }

    /// Returns whether this message with a key is stored, whether or not its key is kept.
    #[must_use]
    pub fn has_stored(&self, send: &SendRecord) -> bool {
        self.sends.contains(send)
    }

    /// Returns the number of keys that are kept.
    #[must_use]
    pub fn send_keys(&self) -> usize {
        self.kept_sends().len()
    }

    /// Adds a channel that the operator fixes for this run.
    pub fn fix(&mut self, channel: Channel) {
        if !self.order.contains(&channel.channel_name) {
            self.order.push(channel.channel_name.clone());
        }
        self.fixed.retain(|other| other.channel_name != channel.channel_name);
        self.fixed.push(channel);
    }

    /// Notes that retention has dropped the messages below this id.
    pub fn trim(&mut self, name: &ChannelName, first_id: u64) {
        if let Some(log) = self.logs.get_mut(name)
            && log.0 < first_id
        {
            log.0 = first_id;
            self.idle_since.insert(name.clone(), self.now);
        }
    }

    /// Returns the time until which a channel is kept for its host, if it is.
    #[must_use]
    pub fn kept_until(&self, name: &str) -> Option<Time> {
        self.released.iter().find(|(record, _)| record.channel.channel_name == name).map(|(_, until)| *until)
    }

    /// Returns the known names.
    #[must_use]
    pub fn names(&self) -> std::collections::BTreeSet<&str> {
        let listed = self.order.iter().map(ChannelName::as_str);
        listed.chain(self.logs.keys().map(ChannelName::as_str)).collect()
    }

    /// Returns whether a name may be dropped: it has long been neither listed nor kept, and keeps no message.
    #[must_use]
    pub fn may_drop(&self, name: &str) -> bool {
        let (first_id, last_id) = self.log(name);
        let since = self.idle_since.get(name).copied().unwrap_or_default();
        let is_idle = self.find(name).is_none() && self.kept_until(name).is_none() && first_id > last_id;
        is_idle && self.now.since(since) >= self.limits.drop_names_after.max(self.limits.retry_window)
    }

    /// Returns whether a channel is kept for a host other than this peer.
    fn is_kept_from(&self, peer: Peer, name: &str) -> bool {
        let ip = match peer {
            Peer::Address(ip) => ip,
            Peer::NoAddressRights => return true,
            Peer::Operator => return false,
        };
        let kept = self.released.iter().find(|(record, _)| record.channel.channel_name == name);
        kept.is_some_and(|(record, until)| *until > self.now && !hosts(ip, record))
    }

    /// Counts a channel's lease from this time on.
    pub fn renew(&mut self, name: &ChannelName, from: Time) {
        let since = self.since.entry(name.clone()).or_insert(from);
        *since = from.max(*since);
    }

    /// Returns the end of a stored channel's lease, if it has one.
    #[must_use]
    pub fn lease_end(&self, name: &str) -> Option<Time> {
        let record = self.stored.iter().find(|record| record.channel.channel_name == name)?;
        let lease = std::time::Duration::from_secs(record.lease?.into());
        Some(self.since.get(name)?.after(lease))
    }

    /// Returns the first id that is kept in a channel and the last that was assigned.
    #[must_use]
    pub fn log(&self, name: &str) -> (u64, u64) {
        self.logs.get(name).copied().unwrap_or((1, 0))
    }

    /// Returns the channel of this name with its stored record; it has none if the operator fixed it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(&Channel, Option<&ChannelRecord>)> {
        let fixed = self.fixed.iter().find(|channel| channel.channel_name == name).map(|channel| (channel, None));
        let stored = self.stored.iter().find(|record| record.channel.channel_name == name);
        fixed.or_else(|| stored.map(|record| (&record.channel, Some(record))))
    }

    /// Returns the channels that LIST shows.
    #[must_use]
    pub fn listed(&self) -> Vec<Channel> {
        self.order.iter().filter_map(|name| self.find(name)).map(|(channel, _)| channel.clone()).collect()
    }

    fn lives_at(&self, listener: usize, channel: &Channel) -> bool {
        self.own.get(listener).is_some_and(|own| own.iter().any(|own| same_place(own, &channel.address)))
    }

    /// Returns whether a channel of this name lives at this server.
    #[must_use]
    pub fn is_here(&self, name: &str) -> bool {
        let lives = |(channel, _): (&Channel, _)| (0..self.own.len()).any(|listener| self.lives_at(listener, channel));
        self.find(name).is_some_and(lives)
    }

    /// Returns the correct decision for a request of this peer at this listener; at none if it is the operator's.
    #[must_use]
    pub fn decide(&self, peer: Peer, listener: Option<usize>, request: &Request) -> Decision {
        match request {
            Request::Host(_) | Request::Unhost { .. } if peer == Peer::NoAddressRights => {
                let details = "This connection has no address rights, so it may not host or remove channels";
                error("Not allowed", details.into())
            }
            Request::Host(host) => self.decide_host(peer, host),
            Request::Message(message) => self.decide_message(listener, message),
            Request::Unhost { channel_name } => match self.find(channel_name) {
                None => not_found(channel_name),
                Some(_) if self.is_host(peer, channel_name) => Decision::Remove,
                Some(_) => {
                    error("Not the channel's host", format!("Only its host may remove the channel '{channel_name}'"))
                }
            },
            Request::Join { channel_name, .. } | Request::History { channel_name, .. } => {
                let refused = || self.refuse_to_read(peer, channel_name).map(Decision::Answer);
                let refused = self.refuse_elsewhere(channel_name).or_else(refused);
                refused.unwrap_or_else(|| Decision::Here(channel_name.clone()))
            }
            Request::Leave { channel_name } | Request::Who { channel_name } => {
                self.refuse_elsewhere(channel_name).unwrap_or_else(|| Decision::Here(channel_name.clone()))
            }
            Request::Role { channel_name, target, role, seconds } => {
                self.decide_role(peer, channel_name, target, *role, *seconds)
            }
            Request::Settings { channel_name, members_only, slow_mode } => {
                self.decide_settings(peer, channel_name, *members_only, *slow_mode)
            }
            Request::Channels { .. } => Decision::Page,
            Request::Delete { channel_name, id } => self.refuse_elsewhere(channel_name).unwrap_or_else(|| {
                let (first_id, last_id) = self.log(channel_name);
                if !self.moderates(peer, channel_name) {
                    let details =
                        format!("Only the host and the moderators of '{channel_name}' may delete its messages");
                    return error("Not allowed", details);
                }
                if !(first_id..=last_id).contains(id) {
                    return error("Message not found", format!("The channel '{channel_name}' has no message {id}"));
                }
                Decision::Delete
            }),
            Request::Connections { .. } | Request::Disconnect { .. } => match peer {
                Peer::Operator => Decision::Operator,
                Peer::Address(_) | Peer::NoAddressRights => error(
                    "Not allowed",
                    "Only the server's operator may do this, through the socket in its data directory".into(),
                ),
            },
            _ => Decision::Answer(Response::Channels(self.listed())),
        }
    }

    /// Returns the correct answer to JOIN of a client that has joined these channels, each of which counts toward the
    /// limit.
    #[must_use]
    pub fn join(&self, name: &ChannelName, from: JoinFrom, joined: &[ChannelName], limit: usize) -> Decision {
        let (first_kept, last_id) = self.log(name);
        if joined.iter().any(|other| other == name) {
            return error("Already joined", format!("This connection has joined '{name}' already"));
        }
        if joined.len() >= limit {
            return error("Limit reached", format!("A connection may join at most {limit} channels"));
        }
        let wanted = match from {
            JoinFrom::After(id) if id > last_id => {
                return error("Invalid payload", format!("Field 'after' is beyond the last id {last_id}"));
            }
            JoinFrom::After(id) => id + 1,
            JoinFrom::Last(count) => (last_id + 1).saturating_sub(count.into()),
        };
        Decision::Answer(Response::Joined { channel_name: name.clone(), first_id: wanted.max(first_kept), last_id })
    }

    /// Returns whether this peer has the rights of the channel's host.
    #[must_use]
    pub fn is_host(&self, peer: Peer, name: &str) -> bool {
        let ip = match peer {
            Peer::Address(ip) => ip,
            Peer::NoAddressRights => return false,
            Peer::Operator => return true,
        };
        self.find(name).is_some_and(|(channel, record)| {
            record.is_some_and(|record| hosts(ip, record) && record.channel == *channel)
        })
    }

    fn decide_host(&self, peer: Peer, Host { channel, lease }: &Host) -> Decision {
        let name = &channel.channel_name;
        let Some((listed, record)) = self.find(name) else {
            if self.moderated(name).0.members_only && peer != Peer::Operator {
                return Decision::Refuse("Not allowed");
            }
            if self.is_kept_from(peer, name) {
                return Decision::Refuse("Channel already exists");
            }
            let names = self.names();
            let is_full = !names.contains(name.as_str()) && names.len() >= self.limits.max_names;
            let is_full =
                is_full || self.listed().len() >= self.limits.max_channels || self.hosts_enough(peer, name, 0);
            return if is_full { Decision::Refuse("Limit reached") } else { Decision::Put };
        };
        let may_change = record.is_some() && self.is_host(peer, name);
        if !same_place(&listed.address, &channel.address) {
            let details = format!("The channel '{name}' is hosted at {}", listed.address);
            return match may_change {
                true if self.hosts_enough(peer, name, 0) => Decision::Refuse("Limit reached"),
                true => Decision::Put,
                false => error("Channel already exists", details),
            };
        }
        if may_change && record.is_some_and(|record| record.lease != *lease) {
            return Decision::Put;
        }
        Decision::Answer(Response::Hosted { channel_name: name.clone() })
    }

    /// Returns the number of listed channels whose HOST came from this subscriber.
    #[must_use]
    pub fn hosted_by(&self, subscriber: IpAddr) -> usize {
        let records = self.order.iter().filter_map(|name| self.find(name)?.1);
        records.filter(|record| record.registered_from.map(of_subscriber) == Some(subscriber)).count()
    }

    /// Returns whether a peer that hosts so many channels more may not host the one of this name.
    #[must_use]
    pub fn hosts_enough(&self, peer: Peer, name: &str, more: usize) -> bool {
        let Peer::Address(ip) = peer else { return false };
        let subscriber = of_subscriber(ip);
        let host = self.find(name).and_then(|(_, record)| record?.registered_from);
        let is_exempt = self.limits.exempt.iter().any(|network| network.contains(ip));
        let is_full = self.hosted_by(subscriber) + more >= self.limits.max_address_channels;
        is_full && !is_exempt && host.map(of_subscriber) != Some(subscriber)
    }

    /// Returns whether this HOST renews its channel's lease and changes nothing else.
    #[must_use]
    pub fn renews(&self, peer: Peer, host: &Host) -> bool {
        let name = &host.channel.channel_name;
        let stored = self.find(name).and_then(|(_, record)| record);
        let same = |record: &ChannelRecord| {
            same_place(&record.channel.address, &host.channel.address) && record.lease == host.lease
        };
        stored.is_some_and(same) && self.is_host(peer, name)
    }

    /// Returns the record that this HOST stores: a new registration, or a new lease for one that stays as it was
    /// registered.
    #[must_use]
    pub fn record(&self, peer: Peer, host: &Host) -> (Channel, Option<IpAddr>, Option<u32>) {
        let stored = self.find(&host.channel.channel_name).and_then(|(_, record)| record);
        match stored.filter(|record| same_place(&record.channel.address, &host.channel.address)) {
            Some(record) => (record.channel.clone(), record.registered_from, host.lease),
            None => {
                let from = match peer {
                    Peer::Address(ip) => Some(plain(ip)),
                    Peer::NoAddressRights | Peer::Operator => None,
                };
                (host.channel.clone(), from, host.lease)
            }
        }
    }

    fn refuse_elsewhere(&self, name: &str) -> Option<Decision> {
        match self.find(name) {
            None => Some(not_found(name)),
            Some(_) if self.is_here(name) => None,
            Some((channel, _)) => Some(error(
                "Channel hosted elsewhere",
                format!("The channel '{name}' is hosted at {}", channel.address),
            )),
        }
    }

    fn decide_message(&self, listener: Option<usize>, message: &Message) -> Decision {
        if let Some(name) = &message.channel_name {
            return self.refuse_elsewhere(name).unwrap_or_else(|| Decision::Append(name.clone()));
        }
        let at = |channel: &Channel| listener.is_some_and(|listener| self.lives_at(listener, channel));
        let mut here: Vec<_> = self.listed().into_iter().filter(at).collect();
        // The operator's come first.
        if here.iter().any(|channel| self.fixed.contains(channel)) {
            here.retain(|channel| self.fixed.contains(channel));
        }
        match here.as_slice() {
            [] => Decision::Refuse("Channel not found"),
            [channel] => Decision::Append(channel.channel_name.clone()),
            _ => error("Invalid payload", "Missing required field 'channel_name'".into()),
        }
    }
}

/// Returns whether a stored message has the key of this one, of this account or of a guest.
#[must_use]
pub fn is_key_of(send: &SendRecord, name: &ChannelName, account: Option<&AccountName>, message: &Message) -> bool {
    let sender = account.map_or_else(|| format!("guest:{}", message.username), |account| format!("account:{account}"));
    send.channel_name == *name
        && send.key.sender.parts().concat() == sender
        && Some(&send.key.client_message_id) == message.client_message_id.as_ref()
}

/// Returns the answer to a message whose key was stored so: the first answer, or that its id is another's.
#[must_use]
pub fn repeated_answer(send: &SendRecord, message: &Message) -> Response {
    // The text of a deleted message is not known any more.
    if send.key.digest == digest(message) || send.key.digest == 0 {
        return Response::Delivered { timestamp: send.timestamp, id: Some(send.id) };
    }
    Response::Error(ErrorResponse::request("Message id reused", "This client_message_id belongs to another message"))
}

/// Returns the digest of a message: of the username, its length, the content, and its length, each text in words of 8
/// bytes, the first byte lowest. Each word is added by XOR, and the two halves of the product with a factor follow. It is never 0.
#[must_use]
pub fn digest(message: &Message) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut digest = FACTOR;
    for text in [&*message.username, &message.message_content] {
        let mut words: Vec<u64> = Vec::new();
        for (place, byte) in text.bytes().enumerate() {
            if place % 8 == 0 {
                words.push(0);
            }
            if let Some(word) = words.last_mut() {
                *word |= u64::from(byte) << (8 * (place % 8));
            }
        }
        words.push(text.len() as u64);
        for word in words {
            let product = u128::from(digest ^ word) * u128::from(FACTOR);
            digest = (product % (1 << 64)) as u64 ^ (product >> 64) as u64;
        }
    }
    digest.max(1)
}

/// Returns whether a client at this address is the host of this record.
fn hosts(ip: IpAddr, record: &ChannelRecord) -> bool {
    let ip = plain(ip);
    record.registered_from == Some(ip) || meanings(&record.channel.address).contains(&ip.to_string())
}

fn not_found(name: &str) -> Decision {
    error("Channel not found", format!("The requested channel '{name}' does not exist"))
}

fn error(error: &'static str, details: String) -> Decision {
    Decision::Answer(Response::Error(ErrorResponse::request(error, details)))
}

/// Returns the answer when something cannot be stored.
#[must_use]
pub fn not_stored() -> Response {
    let (error, details) = ("Database connection failed", "Unable to store message in channel database");
    Response::Error(ErrorResponse::server(error, details))
}

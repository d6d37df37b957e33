//! What the protocol says of channels, written down as plainly as it is said there: nothing is indexed, cached or
//! remembered, every question is answered from the whole list.

use std::net::IpAddr;

use chanwire_core::{
    hub::{ChannelRecord, Snapshot, Write},
    wire::{Address, Channel, ErrorResponse, Message, Request, Response},
};

/// The directory as far as it is known to be stored, and what the operator set.
#[derive(Clone, Debug)]
pub struct Model {
    /// The own addresses of each listener.
    pub own: Vec<Vec<Address>>,
    /// The most channels that are listed.
    pub limit: usize,
    fixed: Vec<Channel>,
    stored: Vec<ChannelRecord>,
    /// Every name that was ever listed, in order of creation.
    order: Vec<String>,
}

/// What is right to do with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer it at once, with this.
    Answer(Response),
    /// Answer it at once with an error of this name, in words of one's own.
    Refuse(&'static str),
    /// Append it to this channel, then answer.
    Append(String),
    /// Store the channel, then answer.
    Put,
}

/// An IPv4 address in an IPv6 one's clothes is itself.
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

/// Everything that the host of an address means.
fn meanings(address: &Address) -> Vec<String> {
    let host = address.host().to_lowercase();
    match host.parse::<IpAddr>() {
        Ok(ip) => vec![plain(ip).to_string()],
        Err(_) if host == "localhost" => vec!["127.0.0.1".into(), "::1".into()],
        Err(_) => vec![host],
    }
}

/// Whether two addresses mean one place.
#[must_use]
pub fn same_place(a: &Address, b: &Address) -> bool {
    a.port() == b.port() && meanings(a).iter().any(|meaning| meanings(b).contains(meaning))
}

impl Model {
    /// A server with these own addresses for each listener that knows no channel.
    #[must_use]
    pub const fn new(own: Vec<Vec<Address>>, limit: usize) -> Self {
        Self { own, limit, fixed: Vec::new(), stored: Vec::new(), order: Vec::new() }
    }

    /// Nothing is known but what a store holds.
    pub fn load(&mut self, stored: Snapshot) {
        self.stored = stored.channels;
        self.stored.sort_by_key(|record| record.position);
        for record in &self.stored {
            let name = &record.channel.channel_name;
            if !self.order.contains(name) {
                self.order.push(name.clone());
            }
        }
    }

    /// These writes are durable.
    pub fn commit(&mut self, writes: &[Write]) {
        for write in writes {
            if let Write::PutChannel(record) = write {
                let name = &record.channel.channel_name;
                self.stored.retain(|other| other.channel.channel_name != *name);
                self.stored.push(record.clone());
                if !self.order.contains(name) {
                    self.order.push(name.clone());
                }
            }
        }
    }

    /// The operator lists a channel for this run.
    pub fn fix(&mut self, channel: Channel) {
        if !self.order.contains(&channel.channel_name) {
            self.order.push(channel.channel_name.clone());
        }
        self.fixed.retain(|other| other.channel_name != channel.channel_name);
        self.fixed.push(channel);
    }

    /// The channel of this name, and where it was registered from; nowhere if the operator fixed it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(&Channel, Option<IpAddr>)> {
        let fixed = self.fixed.iter().find(|channel| channel.channel_name == name).map(|channel| (channel, None));
        let stored = self.stored.iter().find(|record| record.channel.channel_name == name);
        fixed.or_else(|| stored.map(|record| (&record.channel, Some(record.registered_from))))
    }

    /// What LIST shows.
    #[must_use]
    pub fn listed(&self) -> Vec<Channel> {
        self.order.iter().filter_map(|name| self.find(name)).map(|(channel, _)| channel.clone()).collect()
    }

    fn lives_at(&self, listener: usize, channel: &Channel) -> bool {
        self.own.get(listener).is_some_and(|own| own.iter().any(|own| same_place(own, &channel.address)))
    }

    /// What is right to do with a request from this address to this listener.
    #[must_use]
    pub fn decide(&self, peer: IpAddr, listener: usize, request: &Request) -> Decision {
        match request {
            Request::Host(channel) => self.decide_host(plain(peer), channel),
            Request::Message(message) => self.decide_message(listener, message),
            _ => Decision::Answer(Response::Channels(self.listed())),
        }
    }

    fn decide_host(&self, peer: IpAddr, channel: &Channel) -> Decision {
        let name = &channel.channel_name;
        let Some((listed, from)) = self.find(name) else {
            return if self.listed().len() >= self.limit { Decision::Refuse("Limit reached") } else { Decision::Put };
        };
        let its_host = from == Some(peer) || meanings(&listed.address).contains(&peer.to_string());
        if same_place(&listed.address, &channel.address) {
            Decision::Answer(Response::Hosted { channel_name: name.clone() })
        } else if from.is_some() && its_host {
            Decision::Put
        } else {
            error("Channel already exists", format!("The channel '{name}' is hosted at {}", listed.address))
        }
    }

    fn decide_message(&self, listener: usize, message: &Message) -> Decision {
        let Some(name) = &message.channel_name else {
            let here: Vec<_> = self.listed().into_iter().filter(|channel| self.lives_at(listener, channel)).collect();
            return match here.as_slice() {
                [] => Decision::Refuse("Channel not found"),
                [channel] => Decision::Append(channel.channel_name.clone()),
                _ => error("Invalid payload", "Missing required field 'channel_name'".into()),
            };
        };
        match self.find(name) {
            None => error("Channel not found", format!("The requested channel '{name}' does not exist")),
            Some((channel, _)) if (0..self.own.len()).any(|listener| self.lives_at(listener, channel)) => {
                Decision::Append(name.clone())
            }
            Some((channel, _)) => {
                error("Channel hosted elsewhere", format!("The channel '{name}' is hosted at {}", channel.address))
            }
        }
    }
}

fn error(error: &'static str, details: String) -> Decision {
    Decision::Answer(Response::Error(ErrorResponse::request(error, details)))
}

/// What is answered when something cannot be stored.
#[must_use]
pub fn not_stored() -> Response {
    let (error, details) = ("Database connection failed", "Unable to store message in channel database");
    Response::Error(ErrorResponse::server(error, details))
}

//! Checks what subscribers are pushed, and when they are closed.

use std::collections::BTreeMap;

use chanwire_core::{
    endpoint::Pushes,
    hub::{Peer, StoreCommand, Write},
    wire::{ChannelName, Decoder, ErrorResponse, Item, Request, Response, Status, StoredMessage, Username},
};

use super::{Client, DeliveredPage, Trial, judge::is_being_deleted};

/// The pushes that one connection expects and has received.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// The channels that it joined.
    pub(super) joined: BTreeMap<ChannelName, Join>,
    /// Every message that it was pushed and the test has not taken.
    pub(super) received: Vec<(ChannelName, u64)>,
    /// Whether it was given a page and has not read it.
    pub(super) has_page: bool,
    /// Whether its peer has ended its stream, and whether the hub was told so.
    pub(super) ending: bool,
    pub(super) reported_end: bool,
    /// Whether it was pushed everything that was promised after the end.
    pub(super) finished: bool,
    /// The error it was closed with.
    pub(super) closed: Option<ErrorResponse>,
}

/// The position up to which a channel was pushed.
#[derive(Debug)]
pub(super) struct Join {
    /// The id that is due next.
    next: u64,
    /// The last id in the answer to JOIN.
    promised: u64,
    /// Whether the channel was removed from here since.
    removed: bool,
    /// Its number: joins are counted in the order of their answers.
    pub(super) number: u64,
    /// The name under which it joined.
    pub(super) username: Option<Username>,
}

impl Subscriptions {
    /// Returns the names of the channels that it joined.
    pub(super) fn names(&self) -> Vec<ChannelName> {
        self.joined.keys().cloned().collect()
    }

    /// Closes it with this error. No pushes follow, and its pending requests are answered as if it had joined
    /// nothing.
    fn close(&mut self, error: ErrorResponse) {
        self.joined.clear();
        self.closed = Some(error);
    }

    /// Notes the answer to a request. `number` is that of a join.
    pub(super) fn answered(&mut self, request: &Request, response: &Response, number: u64) {
        match response {
            Response::Joined { channel_name, first_id, last_id } => {
                let username = match request {
                    Request::Join { username, .. } => username.clone(),
                    _ => None,
                };
                let join = Join { next: *first_id, promised: *last_id, removed: false, number, username };
                self.joined.insert(channel_name.clone(), join);
            }
            Response::Left { channel_name } => drop(self.joined.remove(channel_name)),
            _ => {}
        }
    }
}

impl Trial {
    /// Checks messages that a connection is pushed.
    pub(super) fn pushed(&mut self, id: u64, pushes: &Pushes, live: bool) {
        let client = self.clients.get_mut(&id).expect("pushes for a connection");
        assert!(!client.disconnected, "pushes for connection {id}, which is gone");
        if client.subscriptions.closed.is_some() {
            // The hub does not know yet that it is closed: earlier requests may be carried out, and pushes are lost.
            return;
        }
        assert!(!client.subscriptions.finished, "pushes for connection {id}, which has finished");
        let messages = decode(pushes);
        assert!(!messages.is_empty(), "pushes of nothing");
        for message in messages {
            let name = &message.channel_name;
            let join = client.subscriptions.joined.get_mut(name);
            let join = join.unwrap_or_else(|| panic!("a push of '{name}', which connection {id} has not joined"));
            assert_eq!(message.id, join.next, "the next id of '{name}' for connection {id}, live: {live}");
            let index = usize::try_from(message.id - 1).expect("a small number");
            if !is_being_deleted(self.command.as_ref(), &self.disk, &message) {
                assert_eq!(self.disk.messages(name).get(index), Some(&message), "what is pushed is what is stored");
            }
            join.next += 1;
            client.subscriptions.received.push((message.channel_name, message.id));
        }
    }

    /// Checks that a connection is closed because a channel that it joined was removed.
    pub(super) fn removed(&mut self, id: u64, error: ErrorResponse) {
        let client = self.clients.get_mut(&id).expect("a connection to close");
        assert!(!client.disconnected, "connection {id} is closed when it is gone");
        if client.subscriptions.closed.is_some() {
            return;
        }
        let reason = |(name, _): &(&ChannelName, &Join)| {
            format!("The channel '{name}' is no longer hosted here") == error.details
        };
        let (name, join) = client.subscriptions.joined.iter().find(reason).expect("a channel that was joined");
        assert_eq!(error, ErrorResponse::server("Channel removed", error.details.clone()));
        assert!(join.removed, "'{name}' has not gone");
        // Unless it is hosted here again, and the reader was behind: what is stored then is for those who join anew.
        let storing = self.command.as_ref().is_some_and(|command| appends_to(command, name));
        assert!(
            !storing || self.model.is_here(name),
            "connection {id} is not to hear what is being stored of '{name}'"
        );
        assert_eq!(join.next, self.model.log(name).1 + 1, "what is stored of '{name}' was pushed to connection {id}");
        client.subscriptions.close(error);
        self.closed.insert(id);
    }

    /// Checks that a connection is ended because it may not read what it has joined.
    pub(super) fn revoked(&mut self, id: u64, error: ErrorResponse) {
        let client = self.clients.get_mut(&id).expect("a connection to end");
        assert!(!client.disconnected, "connection {id} is ended when it is gone");
        if client.subscriptions.closed.is_some() {
            return;
        }
        let details = |name: &ChannelName| format!("This connection may no longer read the channel '{name}'");
        let name = client.subscriptions.joined.keys().find(|name| details(name) == error.details);
        let name = name.expect("a channel that was joined");
        assert_eq!(error, ErrorResponse::server("Access revoked", details(name)));
        assert!(self.model.refuse_to_read(client.peer, name).is_some(), "connection {id} may read '{name}'");
        client.subscriptions.close(error);
        self.closed.insert(id);
    }

    /// Checks that a connection is ended because the operator has asked for it.
    pub(super) fn ended_by_operator(&mut self, id: u64) {
        let asks = |client: &Client| {
            let open = client.exchanges.iter().filter(|exchange| exchange.reply.is_none());
            client.peer == Peer::Operator
                && open.map(|exchange| &exchange.request).any(|it| *it == Request::Disconnect { connection: id })
        };
        assert!(self.clients.values().any(asks), "connection {id} is ended, and no operator asks for it");
        let client = self.clients.get_mut(&id).expect("a connection to end");
        assert!(!client.disconnected, "connection {id} is ended when it is gone");
        client.subscriptions.close(ErrorResponse::server("Disconnected", ""));
        self.closed.insert(id);
    }

    /// Checks that a connection is closed because its next page cannot be read.
    pub(super) fn slow(&mut self, id: u64, error: ErrorResponse) {
        let client = self.clients.get_mut(&id).expect("a connection to close");
        assert!(!client.disconnected && client.subscriptions.closed.is_none(), "connection {id} is closed twice");
        assert_eq!(error, ErrorResponse::server("Slow consumer", error.details.clone()));
        let DeliveredPage { query, works, .. } = self.delivered_page.as_ref().expect("a page that was read");
        let join = client.subscriptions.joined.get(&query.channel_name).expect("the page of a channel that it joined");
        let overtaken = self.disk.first_id(&query.channel_name) > join.next;
        assert!(!works || overtaken, "connection {id} could be given a page from {} on", join.next);
        client.subscriptions.close(error);
        self.closed.insert(id);
    }

    /// Checks that a connection whose peer has ended was pushed everything that was promised.
    pub(super) fn finish_subscriber(&mut self, id: u64) {
        let client = self.clients.get_mut(&id).expect("a connection to finish");
        assert!(
            client.subscriptions.reported_end && !client.subscriptions.finished,
            "connection {id} has not ended, or has finished"
        );
        for (name, join) in &client.subscriptions.joined {
            assert!(join.next > join.promised, "connection {id} was promised '{name}' up to {}", join.promised);
        }
        client.subscriptions.finished = true;
        client.subscriptions.joined.clear();
    }

    /// Notes the joined channels that are no longer here.
    pub(super) fn note_removed(&mut self) {
        for (name, join) in self.clients.values_mut().flat_map(|client| &mut client.subscriptions.joined) {
            join.removed |= !self.model.is_here(name);
        }
    }

    /// Checks the pushes while the store is idle, nothing is being read, and no page is left to read.
    pub(super) fn check_pushes(&self) {
        let mut joins = 0;
        for (id, client) in self.clients.iter().filter(|(_, client)| !client.disconnected) {
            joins += client.subscriptions.joined.len();
            assert!(
                !client.subscriptions.reported_end || client.subscriptions.finished,
                "connection {id} is not finished"
            );
            for (name, join) in &client.subscriptions.joined {
                assert!(!join.removed, "connection {id} hears '{name}', which has gone");
                if self.trusted {
                    assert_eq!(
                        join.next,
                        self.disk.last_id(name) + 1,
                        "how much of '{name}' connection {id} has heard"
                    );
                }
            }
        }
        assert_eq!(self.hub.joins(), joins, "the joins that the hub knows");
    }
}

fn appends_to(command: &StoreCommand, name: &str) -> bool {
    let StoreCommand::Commit(writes) = command else { return false };
    writes.iter().any(|write| match write {
        Write::Append { message, .. } | Write::Delete { record: message, .. } => message.channel_name == name,
        _ => false,
    })
}

fn decode(pushes: &Pushes) -> Vec<StoredMessage> {
    let mut decoder = Decoder::<Status>::new(usize::MAX);
    decoder.feed(pushes.bytes());
    let mut messages = Vec::new();
    while let Some(item) = decoder.next_item() {
        let Item::Frame(frame) = item else { panic!("no frame: {item:?}") };
        assert_eq!(frame.start_line, Status::Push);
        let message = StoredMessage::decode(frame.payload).expect("a push's payload");
        let mut bytes = Vec::new();
        message.encode_push(&mut bytes);
        assert!(bytes.ends_with(frame.payload), "a push in canonical bytes");
        messages.push(message);
    }
    assert_eq!(messages.len(), pushes.len());
    messages
}

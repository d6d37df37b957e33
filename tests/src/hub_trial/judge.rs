//! The laws, checked on everything that a hub wants done.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use chanwire_core::{
    endpoint::{Reply, Ticket},
    hub::{StoreCommand, StoreOutcome, Write},
    wire::{Request, Response},
};

use super::{
    Finished, NOW, Trial,
    client::{Asked, find_message},
};
use crate::{
    hub_model::{Decision, Model, not_stored, plain, same_place},
    store::Disk,
};

impl Trial {
    pub(super) fn answered(&mut self, id: u64, ticket: Ticket, reply: Reply) {
        let in_doubt = !self.trusted;
        let pending = self.pending_names();
        let client = self.clients.get_mut(&id).expect("an answer to a connection");
        assert!(!client.gone, "an answer to connection {id}, which is gone");
        let shown = format!("{ticket:?}");
        let index = client.asked.iter().position(|asked| asked.ticket == shown).expect("an answer to a request");
        let (before, rest) = client.asked.split_at_mut(index);
        let asked = rest.first_mut().expect("a request");
        assert_eq!(asked.reply, None, "a second answer to {:?}", asked.request);
        let is_message = |request: &Request| matches!(request, Request::Message(_));
        assert!(
            before.iter().all(|earlier| {
                earlier.reply.is_some() || is_message(&earlier.request) && is_message(&asked.request)
            }),
            "{:?} is answered before an earlier request is",
            asked.request
        );

        let bytes = bytes(&reply);
        let failed = self.finished.as_ref().is_some_and(|finished| finished.outcome == StoreOutcome::Failed);
        let expected = match take_part(asked, plain(client.peer), self.finished.as_mut(), &self.disk) {
            Some(_) if failed => Decision::Answer(not_stored()),
            Some(response) => Decision::Answer(response),
            None => self.model.decide(client.peer, client.listener, &asked.request),
        };
        match (&expected, &asked.request) {
            // The store could not be read either.
            (_, Request::Host(_) | Request::Message(_)) if failed && bytes == encode(&not_stored()) => {}
            (Decision::Answer(Response::Hosted { .. }), _) if in_doubt => {
                panic!("{:?} is acknowledged while it is not known what is stored", asked.request)
            }
            (Decision::Answer(response), _) => assert_eq!(text(&bytes), text(&encode(response))),
            (Decision::Refuse(error), _) => check_error(&bytes, error),
            (Decision::Put, Request::Host(channel)) => {
                check_error(&bytes, "Limit reached");
                let others = pending.iter().filter(|name| **name != channel.channel_name).count();
                assert!(self.model.listed().len() + others >= self.model.limit, "the limit is not reached");
            }
            (Decision::Append(_) | Decision::Put, request) => {
                panic!("{request:?} is answered {} and not stored", text(&bytes))
            }
        }
        check_durable(&self.disk, &self.model, &asked.request, &bytes);
        asked.reply = Some(bytes);
        client.server.respond(NOW, ticket, reply).expect("a ticket of this connection");
        client.write();
    }

    /// Names that a HOST which is not answered would add.
    pub(super) fn pending_names(&self) -> BTreeSet<String> {
        let asked = self.clients.values().flat_map(|client| &client.asked).filter(|asked| asked.reply.is_none());
        let name = |asked: &Asked| match &asked.request {
            Request::Host(channel) => Some(channel.channel_name.clone()),
            _ => None,
        };
        asked.filter_map(name).filter(|name| self.model.find(name).is_none()).collect()
    }

    pub(super) fn commanded(&mut self, command: StoreCommand) {
        assert_eq!(self.command, None, "a second command for the store: {command:?}");
        match &command {
            StoreCommand::Load => assert!(!self.trusted, "the store is read although what it holds is known"),
            StoreCommand::Commit(writes) => {
                assert!(self.trusted, "something is stored before the store was read after a failure");
                assert!(!writes.is_empty(), "a commit of nothing");
                self.check_commit(writes);
            }
        }
        self.command = Some(command);
    }

    pub(super) fn check_commit(&mut self, writes: &[Write]) {
        let mut logs = BTreeMap::new();
        let mut names = BTreeSet::new();
        for write in writes {
            match write {
                Write::Append(message) => {
                    let name = &message.channel_name;
                    let log = logs.entry(name).or_insert((self.disk.last_id(name), self.disk.last_timestamp(name)));
                    let asked = find_message(&mut self.clients, &message.message_content);
                    assert!(asked.routes.contains(name), "{message:?} is stored in the wrong channel");
                    let Request::Message(request) = &asked.request else { panic!("{:?} is stored", asked.request) };
                    assert_eq!(message.username, request.username);
                    assert_eq!(message.id, log.0 + 1, "the id of {message:?}");
                    let expected = log.1.map_or(asked.at, |last| last.max(asked.at));
                    assert_eq!(message.timestamp, expected, "the time of {message:?}");
                    *log = (message.id, Some(message.timestamp));
                }
                Write::PutChannel(record) => {
                    let name = &record.channel.channel_name;
                    assert!(names.insert(name), "'{name}' is stored twice in one commit");
                    let mut hosts = self.clients.values().filter(|client| {
                        plain(client.peer) == record.registered_from
                            && client.next_is(|request| *request == Request::Host(record.channel.clone()))
                    });
                    let client = hosts.next().unwrap_or_else(|| panic!("nobody may have {record:?} stored now"));
                    let request = Request::Host(record.channel.clone());
                    let decision = self.model.decide(client.peer, client.listener, &request);
                    assert_eq!(decision, Decision::Put, "{record:?} is stored");
                }
            }
        }
        let new = names.iter().filter(|name| self.model.find(name).is_none()).count();
        assert!(new == 0 || self.model.listed().len() + new <= self.model.limit, "the limit is passed");
    }

    /// Everything that was with the store is answered.
    pub(super) fn check_finished(&mut self, finished: Finished) {
        let Finished { puts, mut messages, .. } = finished;
        for (channel, from) in puts {
            // Only of a connection that is gone nothing is heard.
            let request = Request::Host(channel);
            let mut gone = self.clients.values_mut().filter(|client| client.gone && plain(client.peer) == from);
            let asked = gone.find_map(|client| {
                client
                    .asked
                    .iter()
                    .position(|asked| asked.request == request)
                    .map(|index| client.asked.drain(..=index).next_back())
            });
            assert!(asked.is_some(), "{request:?} was with the store and is not answered");
        }
        for client in self.clients.values_mut().filter(|client| client.gone) {
            client.asked.retain(|asked| match &asked.request {
                Request::Message(message) => !messages.remove(&message.message_content),
                _ => true,
            });
        }
        assert!(messages.is_empty(), "{messages:?} were with the store and are not answered");
    }

    /// What must hold when the hub wants nothing more for now.
    pub(super) fn check_rest(&mut self) {
        let open = self.open();
        match &self.command {
            None => {
                for client in self.clients.values().filter(|client| !client.gone) {
                    let open = client.asked.iter().find(|asked| asked.reply.is_none());
                    assert!(open.is_none(), "nothing is with the store, and {open:?} is not answered");
                }
                self.clients.retain(|_, client| !client.gone);
                assert!(self.hub.is_idle());
                assert_eq!(self.hub.connections(), open.len(), "connections that the hub knows");
            }
            Some(StoreCommand::Commit(_)) => {
                for client in self.clients.values().filter(|client| !client.gone) {
                    let waits = client.next_is(|request| *request == Request::List);
                    assert!(!waits, "LIST waits although all before it on its connection is answered");
                }
            }
            Some(StoreCommand::Load) => {}
        }
        assert!(self.hub.connections() >= open.len());
    }
}

/// If the request was with the store in the command that has just come back: what it is answered if that went well.
fn take_part(asked: &Asked, peer: IpAddr, finished: Option<&mut Finished>, disk: &Disk) -> Option<Response> {
    match &asked.request {
        Request::Message(message) => {
            if !finished?.messages.remove(&message.message_content) {
                return None;
            }
            let timestamp = disk.find(&message.message_content).map_or(asked.at, |stored| stored.timestamp);
            Some(Response::Delivered { timestamp })
        }
        Request::Host(channel) => {
            let puts = &mut finished?.puts;
            let index = puts.iter().position(|(put, from)| put == channel && *from == peer)?;
            puts.remove(index);
            Some(Response::Hosted { channel_name: channel.channel_name.clone() })
        }
        _ => None,
    }
}

/// What is acknowledged is in the store.
fn check_durable(disk: &Disk, model: &Model, request: &Request, bytes: &[u8]) {
    if !bytes.starts_with(b"OK") {
        return;
    }
    match request {
        Request::Message(message) => {
            assert!(disk.find(&message.message_content).is_some(), "{message:?} is acknowledged and not stored");
        }
        Request::Host(channel) => {
            let name = &channel.channel_name;
            let fixed = model.find(name).filter(|(_, from)| from.is_none()).map(|(channel, _)| channel);
            let stored = fixed.or_else(|| disk.channel(name).map(|record| &record.channel));
            let kept = stored.is_some_and(|stored| same_place(&stored.address, &channel.address));
            assert!(kept, "{channel:?} is acknowledged, and {stored:?} is stored");
        }
        _ => {}
    }
}

fn check_error(bytes: &[u8], error: &str) {
    let start = format!("REQUEST_ERROR\r\n{{\"error\": \"{error}\", ");
    assert!(bytes.starts_with(start.as_bytes()), "{} where '{error}' is due", text(bytes));
}

fn encode(response: &Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    response.encode(&mut bytes);
    bytes
}

fn bytes(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Response(response) => encode(response),
        Reply::Encoded(bytes) => bytes.to_vec(),
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

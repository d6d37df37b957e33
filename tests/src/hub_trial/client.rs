//! A connection, as a trial sees it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use chanwire_core::{
    endpoint::{Endpoint as _, Server},
    wire::{Request, Timestamp},
};

use super::{NOW, judge::text};
use crate::hub_model::{Decision, Model};

#[derive(Debug)]
pub(super) struct Client {
    pub(super) peer: IpAddr,
    pub(super) listener: usize,
    pub(super) server: Server,
    pub(super) asked: Vec<Asked>,
    pub(super) gone: bool,
    /// All that its server wrote, and how many bytes and answers of it the test has taken.
    pub(super) written: Vec<u8>,
    pub(super) taken: (usize, usize),
    /// How many bytes and answers were compared with what was to be written.
    pub(super) compared: (usize, usize),
}

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) ticket: String,
    pub(super) request: Request,
    pub(super) at: Timestamp,
    pub(super) reply: Option<Vec<u8>>,
    /// It is in the commit that is with the store.
    pub(super) storing: bool,
    /// The channels that it was ever right to append it to, by what was known while it waited.
    pub(super) routes: BTreeSet<String>,
}

impl Asked {
    pub(super) fn note_route(&mut self, model: &Model, peer: IpAddr, listener: usize) {
        if let Decision::Append(name) = model.decide(peer, listener, &self.request) {
            self.routes.insert(name);
        }
    }
}

impl Client {
    /// Whether the first request that is not answered is such a one. Of a connection that is gone it is not known
    /// which one that is.
    pub(super) fn next_is(&self, such: impl Fn(&Request) -> bool) -> bool {
        let mut open = self.asked.iter().filter(|asked| asked.reply.is_none());
        if self.gone {
            return open.any(|asked| such(&asked.request));
        }
        open.next().is_some_and(|asked| such(&asked.request))
    }

    /// Writes what is to be written: the answers to the first requests, in order, and nothing else.
    pub(super) fn write(&mut self) {
        loop {
            let mut slices = [&[][..]; 64];
            let count = self.server.transmit(&mut slices);
            let bytes = slices.iter().take(count).copied().collect::<Vec<_>>().concat();
            if bytes.is_empty() {
                break;
            }
            self.server.handle_written(NOW, bytes.len());
            self.written.extend(bytes);
        }
        let (mut start, mut count) = self.compared;
        while let Some(reply) = self.asked.get(count).and_then(|asked| asked.reply.as_deref()) {
            let left = self.written.get(start..).unwrap_or_default();
            assert!(left.starts_with(reply), "{} left where {} is due", text(left), text(reply));
            (start, count) = (start + reply.len(), count + 1);
        }
        assert_eq!(start, self.written.len(), "what left before its turn");
        self.compared = (start, count);
    }
}

/// Finds the request for a message that is about to be stored, and marks it.
pub(super) fn find_message<'a>(clients: &'a mut BTreeMap<u64, Client>, content: &str) -> &'a mut Asked {
    let says =
        |asked: &Asked| matches!(&asked.request, Request::Message(message) if message.message_content == content);
    let mut found = None;
    for client in clients.values_mut() {
        if let Some(index) = client.asked.iter().position(says) {
            let (before, rest) = client.asked.split_at_mut(index);
            let turn = before.iter().all(|earlier| earlier.reply.is_some() || earlier.storing);
            assert!(turn || client.gone, "{content:?} is stored before an earlier request is decided");
            found = rest.first_mut();
        }
    }
    let asked = found.unwrap_or_else(|| panic!("{content:?} is stored, and nobody sent it"));
    assert!(asked.reply.is_none() && !asked.storing, "{content:?} is stored twice or was answered");
    asked.storing = true;
    asked
}

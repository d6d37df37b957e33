//! The user's name on a channel, and taking another one.
//!
//! Messages are sent under the name under which they were typed. On a channel whose host says who is there, the name is
//! given with JOIN: the channel is left and joined again on the same connection, after the last message that was shown,
//! so that none is missed or shown twice.

use std::{collections::VecDeque, mem};

use chanwire_core::wire::{ErrorResponse, Request, Username};

use super::{PendingRequest, Phase, Room, Skipping};

/// The most former names that are remembered.
const REMEMBERED: usize = 8;

/// Changes of the user's name.
#[derive(Debug, Default)]
pub(in crate::cli::chat::session) struct Naming {
    /// The name before the one that was chosen last, until a server has taken that one.
    pub(super) before: Option<Username>,
    /// Whether the channel is joined again only to be there under another name.
    pub(super) is_renaming: bool,
    /// Names under which the user was on the channel or spoke, the last one first.
    former: VecDeque<Username>,
    /// Those under which the user has just left the channel, until the host has told of it.
    leaving: VecDeque<Username>,
    /// The name that the host has refused, until the session takes it.
    refused: Option<Username>,
}

impl Naming {
    /// Returns whether the user had this name.
    pub(super) fn was(&self, name: &Username) -> bool {
        self.former.contains(name)
    }

    /// Forgets that the user left under this name. Returns whether that was so.
    pub(super) fn has_left(&mut self, name: &Username) -> bool {
        let count = self.leaving.len();
        self.leaving.retain(|leaving| leaving != name);
        self.leaving.len() < count
    }

    /// Takes the name that the host has refused.
    pub(in crate::cli::chat::session) const fn take_refused(&mut self) -> Option<Username> {
        self.refused.take()
    }
}

fn remember(names: &mut VecDeque<Username>, name: Username) {
    names.retain(|known| *known != name);
    names.push_front(name);
    names.truncate(REMEMBERED);
}

impl Room {
    /// Takes another name.
    pub(in crate::cli::chat::session) fn rename(&mut self, name: Username) {
        if name == self.options.user {
            return;
        }
        let former = mem::replace(&mut self.options.user, name);
        remember(&mut self.naming.former, former.clone());
        // The one before it may not have been taken yet.
        self.naming.before.get_or_insert(former);
        match &self.phase {
            Phase::Live(connection, _) if connection.has_presence => self.leave_to_rename(),
            // The next JOIN has the name.
            Phase::Joining(_) | Phase::Looking(_) | Phase::Waiting { .. } | Phase::Untrusted(_) => {}
            Phase::Live(..) | Phase::Out => self.confirm_name(),
        }
    }

    /// Leaves the channel to join it under the present name.
    fn leave_to_rename(&mut self) {
        // Messages that are being skipped are followed by a JOIN anyway.
        if let Phase::Live(connection, reading) = &mut self.phase
            && reading.skipping == Skipping::No
        {
            reading.skipping = Skipping::Renaming;
            let request = Request::Leave { channel_name: self.name.clone() };
            connection.ask(&mut self.outputs, PendingRequest::Leave, request);
        }
    }

    /// Handles the answer to a JOIN after one under the name `before` on the same connection.
    pub(super) fn settle_name(&mut self, before: Option<Username>) {
        let Phase::Live(connection, _) = &self.phase else { return };
        let name = connection.joined_as.as_ref();
        let is_present = name.is_none_or(|name| *name == self.options.user);
        match before {
            // The host knows of no earlier name.
            None => self.naming.leaving.clear(),
            Some(before) if name == Some(&before) => {}
            Some(before) => remember(&mut self.naming.leaving, before),
        }
        if is_present {
            self.confirm_name();
        } else {
            // Another one was chosen while the answer was on its way.
            self.leave_to_rename();
        }
    }

    /// Shows the name, once a server has taken it.
    fn confirm_name(&mut self) {
        if self.naming.before.take().is_some() && self.is_shown {
            self.note(format!("you are {} now", self.options.user));
        }
    }

    /// Takes the former name again, which the server allowed.
    pub(super) fn take_former_name(&mut self, refusal: &ErrorResponse) {
        if let Some(former) = self.naming.before.take() {
            let refused = mem::replace(&mut self.options.user, former);
            self.naming.refused = Some(refused);
            self.trouble(format!("{refusal}; you stay {}", self.options.user));
        }
    }
}

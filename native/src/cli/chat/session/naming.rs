//! The user's name, and taking another one.
//!
//! Messages are sent under the name under which they were typed. On a channel whose host says who is there, the name is
//! given with JOIN: the channel is left and joined again on the same connection, after the last message that was shown,
//! so that none is missed or shown twice.

use std::mem;

use chanwire_core::wire::{ErrorResponse, Request, Username};

use super::{PendingRequest, Phase, Session, Skipping};

impl Session {
    /// Takes another name.
    pub(super) fn rename(&mut self, name: &str) {
        if self.options.signs_in {
            return self.trouble("an account keeps its name; /nick is for guests");
        }
        let name = match Username::try_from(name) {
            Ok(name) => name,
            Err(error) => return self.trouble(format!("/nick takes a name: {error}")),
        };
        if name == self.options.user {
            return self.trouble(format!("you are {name} already"));
        }
        let former = mem::replace(&mut self.options.user, name);
        // The one before it may not have been taken yet.
        self.former_name.get_or_insert(former);
        match (&mut self.phase, &self.room) {
            (Phase::Live(connection, reading), Some(room)) if connection.has_presence => {
                // Messages that are being skipped are followed by a JOIN anyway.
                if reading.skipping == Skipping::No {
                    reading.skipping = Skipping::Renaming;
                    let request = Request::Leave { channel_name: room.name.clone() };
                    connection.ask(&mut self.outputs, PendingRequest::Leave, request);
                }
            }
            // The next JOIN has the name.
            (Phase::Joining(_) | Phase::Looking(_) | Phase::Waiting { .. } | Phase::Untrusted(_), _) => {}
            (Phase::Live(..) | Phase::Out, _) => self.confirm_name(),
        }
    }

    /// Shows the name, once a server has taken it.
    pub(super) fn confirm_name(&mut self) {
        if self.former_name.take().is_some() {
            self.note(format!("you are {} now", self.options.user));
        }
    }

    /// Takes the former name again, which the server allowed.
    pub(super) fn take_former_name(&mut self, refusal: &ErrorResponse) {
        if let Some(former) = self.former_name.take() {
            self.options.user = former;
            self.trouble(format!("{refusal}; you stay {}", self.options.user));
        }
    }
}

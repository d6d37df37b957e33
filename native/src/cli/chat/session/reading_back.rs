//! Reading back: older messages of the shown channel, on a screen of their own.

use chanwire_core::Time;

use super::{Output, Session};

impl Session {
    /// Begins to read back.
    pub(in crate::cli::chat) fn handle_read_back(&mut self) {
        self.read_back(None);
    }

    /// Shows the messages that contain a text, or else the text that was searched last.
    pub(super) fn search(&mut self, text: &str) {
        if !self.options.interactive {
            return self.trouble("/search needs a terminal; chanwire history --contains TEXT searches all messages");
        }
        let text = if text.is_empty() { self.searched.clone() } else { Some(text.to_owned()) };
        match text {
            Some(text) => {
                self.searched = Some(text.clone());
                self.read_back(Some(text));
            }
            None => self.trouble("/search needs a text"),
        }
    }

    fn read_back(&mut self, search: Option<String>) {
        if self.over || self.leaving.is_some() {
            return;
        }
        let Some(room) = self.current_mut() else {
            return self.trouble("on no channel; /join NAME goes to one");
        };
        match room.loaded() {
            messages if messages.is_empty() => self.trouble("no message was loaded"),
            messages => {
                // What comes meanwhile waits.
                room.hide();
                let channel = room.name.clone();
                self.drain();
                self.outputs.push_back(Output::ReadBack { channel, messages, search });
                self.is_reading_back = true;
                self.set_tabs();
            }
        }
    }

    /// Requests messages before an id, to read back.
    pub(in crate::cli::chat) fn handle_older(&mut self, now: Time, before: u64) {
        if let Some(room) = self.current_mut() {
            room.older(before);
            self.collect(now);
        }
    }

    /// Ends reading back: shows what came meanwhile.
    pub(in crate::cli::chat) fn handle_read_on(&mut self) {
        self.is_reading_back = false;
        self.show_current(false);
        self.set_tabs();
    }
}

//! The channels of a chat: joining, leaving and showing them.

use chanwire_core::{
    Time,
    wire::{ChannelName, Username},
};

use super::{Failure, LAST_ANSWERS, Link, Output, Room, RoomId, Session, Verdict};

/// The most channels at once. Each has a connection of its own.
pub(super) const MAX_ROOMS: usize = 16;

/// A channel as it is listed above the input line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli::chat) struct Tab {
    pub(in crate::cli::chat) name: ChannelName,
    pub(in crate::cli::chat) is_shown: bool,
    /// Whether there is a connection to it now.
    pub(in crate::cli::chat) is_live: bool,
    /// Messages that came since it was shown.
    pub(in crate::cli::chat) unread: usize,
    /// Those of them that mention the user.
    pub(in crate::cli::chat) mentions: usize,
}

impl Session {
    /// Returns the channel that is shown.
    pub(super) fn current(&self) -> Option<&Room> {
        let id = self.shown.last()?;
        self.rooms.iter().find(|room| room.id == *id)
    }

    pub(super) fn current_mut(&mut self) -> Option<&mut Room> {
        let id = *self.shown.last()?;
        self.room(id)
    }

    pub(super) fn room(&mut self, id: RoomId) -> Option<&mut Room> {
        self.rooms.iter_mut().find(|room| room.id == id)
    }

    pub(super) fn room_of(&mut self, link: Link) -> Option<&mut Room> {
        self.rooms.iter_mut().chain(&mut self.left).find(|room| room.id == link.room)
    }

    /// Joins this channel, and shows it.
    pub(super) fn enter(&mut self, name: ChannelName) {
        self.rooms_made += 1;
        let id = RoomId(self.rooms_made);
        if let Some(room) = self.current_mut() {
            room.hide();
        }
        let seed = self.seed.wrapping_add(id.0);
        self.rooms.push(Room::new(id, self.tracker.clone(), name, self.options.clone(), seed));
        self.shown.push(id);
    }

    /// Joins a channel, or shows it if it is joined already.
    pub(super) fn join(&mut self, now: Time, name: &str) {
        let name = match ChannelName::try_from(name) {
            Ok(name) => name,
            Err(error) => return self.went_nowhere(error.to_string()),
        };
        if let Some(room) = self.rooms.iter().find(|room| room.name == name) {
            let id = room.id;
            return self.switch_to(now, id);
        }
        if self.rooms.len() >= MAX_ROOMS {
            let limit = format!("{MAX_ROOMS} channels are the most at once; /leave NAME leaves one");
            return self.went_nowhere(format!("{name} is not joined: {limit}"));
        }
        self.enter(name);
        self.collect(now);
    }

    /// Leaves a channel, the shown one unless it is named.
    pub(super) fn leave(&mut self, now: Time, named: &str) {
        let id = match named {
            "" => self.shown.last().copied(),
            _ => match self.find(named) {
                Some(id) => Some(id),
                None => return self.trouble(format!("{named} is no channel of yours; /switch shows them")),
            },
        };
        let Some(index) = self.rooms.iter().position(|room| Some(room.id) == id) else {
            return self.trouble("on no channel; /join NAME goes to one, /quit leaves the chat");
        };
        id.into_iter().for_each(|id| self.forget_question(id));
        let is_current = self.shown.last().copied() == id;
        let mut room = self.rooms.remove(index);
        let name = room.name.clone();
        self.shown.retain(|shown| *shown != room.id);
        if self.left.len() >= MAX_ROOMS {
            // The one that waits longest has waited enough.
            self.left.iter_mut().take(1).for_each(|room| room.leaving = Some(now));
        }
        if room.is_done(now) {
            room.leave();
            self.take_last(&room);
        } else {
            room.drop_unconfirmed();
            room.hide();
            room.leaving = Some(now.after(LAST_ANSWERS));
            self.left.push(room);
        }
        match self.back(is_current) {
            _ if !is_current => self.note(format!("left {name}")),
            Some(back) => {
                self.note(format!("left {name}; on {back}"));
                self.show_current(false);
            }
            None => self.note("on no channel; /join NAME goes to one, /quit leaves the chat"),
        }
        self.collect(now);
    }

    /// Handles a channel that cannot be joined, and is removed.
    pub(super) fn failed(&mut self, room: &Room, failure: Failure) {
        let Failure { code, reason } = failure;
        self.take_last(room);
        self.forget_question(room.id);
        let is_current = self.shown.last() == Some(&room.id);
        self.shown.retain(|shown| *shown != room.id);
        if self.rooms.is_empty() && (!self.joined_once || room.was_joined() && room.leaving.is_none()) {
            return self.end(Verdict { code, reason: Some(reason) });
        }
        if is_current && !self.options.interactive {
            // Lines that follow were meant for it.
            self.shown.clear();
        }
        match self.back(is_current && self.options.interactive) {
            _ if !is_current => self.trouble(format!("{}: {reason}", room.name)),
            Some(name) => {
                self.trouble(format!("{reason} (back to {name})"));
                self.outputs.push_back(Output::Moved);
                self.show_current(false);
            }
            None => {
                self.trouble(reason);
                self.note("on no channel; /join NAME goes to one");
            }
        }
    }

    /// Handles a wish to go to a channel that cannot be fulfilled. Without a user who sees that, no channel is the current
    /// one then: lines that follow were not meant for the one before.
    fn went_nowhere(&mut self, reason: String) {
        self.trouble(reason);
        if !self.options.interactive {
            if let Some(room) = self.current_mut() {
                room.hide();
            }
            self.drain();
            self.shown.clear();
            self.set_tabs();
        }
    }

    /// Returns the name of the current channel. `moves`: where there is none, the last one becomes it.
    fn back(&mut self, moves: bool) -> Option<ChannelName> {
        if moves && self.shown.is_empty() {
            self.shown.extend(self.rooms.last().map(|room| room.id));
        }
        self.current().map(|room| room.name.clone())
    }

    /// Shows a channel by its name or its number, or else the next one with news, or the one before.
    pub(super) fn switch(&mut self, now: Time, named: &str) {
        let id = match named {
            "" => self.next_with_news(),
            _ => self.find(named),
        };
        match id {
            Some(id) => self.switch_to(now, id),
            None if named.is_empty() => self.trouble("there is no other channel; /join NAME goes to one"),
            None => {
                let rooms = self.rooms.iter().enumerate().map(|(index, room)| format!("{} {}", index + 1, room.name));
                let rooms: Vec<_> = rooms.collect();
                let rooms = if rooms.is_empty() { "none".into() } else { rooms.join(", ") };
                self.went_nowhere(format!(
                    "{named} is no channel of yours; they are {rooms} (/join NAME goes to another)"
                ));
            }
        }
    }

    /// Returns the channel of this name or number.
    fn find(&self, named: &str) -> Option<RoomId> {
        let of_name = self.rooms.iter().find(|room| *room.name == *named);
        let of_number = || self.rooms.get(named.parse::<usize>().ok()?.checked_sub(1)?);
        of_name.or_else(of_number).map(|room| room.id)
    }

    /// Returns the channel with the most mentions, or else with news, or else the one that was shown before.
    fn next_with_news(&self) -> Option<RoomId> {
        let current = self.shown.last();
        let others = || self.rooms.iter().filter(|room| Some(&room.id) != current);
        let with = |has: fn(&Room) -> bool| others().find(|room| has(room)).map(|room| room.id);
        let before = || self.shown.iter().rev().nth(1).copied();
        with(|room| room.unread.mentions > 0)
            .or_else(|| with(|room| room.unread.messages > 0))
            .or_else(before)
            .or_else(|| with(|_| true))
    }

    pub(super) fn switch_to(&mut self, now: Time, id: RoomId) {
        if self.shown.last() == Some(&id) {
            let name = self.current().map(|room| room.name.clone());
            return self.trouble(format!("this is {} already", name.as_deref().unwrap_or_default()));
        }
        if let Some(room) = self.current_mut() {
            room.hide();
        }
        self.drain();
        self.shown.retain(|shown| *shown != id);
        self.shown.push(id);
        let Some(room) = self.current() else { return };
        let state = if room.is_live() { "" } else { " (no connection now)" };
        self.note(format!("on {} as {}{state}", room.name, room.options.user));
        self.show_current(self.options.interactive);
        self.collect(now);
    }

    /// Shows the current channel's messages. `context`: earlier ones, too.
    pub(super) fn show_current(&mut self, context: bool) {
        if let Some(room) = self.current_mut() {
            room.show(context);
            self.drain();
        }
    }

    /// Takes another name, on all channels.
    pub(super) fn rename(&mut self, now: Time, name: &str) {
        if self.options.signs_in {
            return self.trouble("an account keeps its name; /nick is for guests");
        }
        let name = match Username::try_from(name) {
            Ok(name) => name,
            Err(error) => return self.trouble(format!("/nick takes a name: {error}")),
        };
        if name == self.options.user && self.rooms.iter().all(|room| room.options.user == name) {
            return self.trouble(format!("you are {name} already"));
        }
        self.options.user = name.clone();
        if self.rooms.is_empty() {
            return self.note(format!("you are {name} now"));
        }
        self.rooms.iter_mut().for_each(|room| room.rename(name.clone()));
        self.collect(now);
    }

    /// Sets the list of channels above the input line, if it has changed.
    pub(super) fn set_tabs(&mut self) {
        let tabs = match self.rooms.len() {
            0 => Vec::new(),
            1 if !self.is_reading_back => Vec::new(),
            _ => self.rooms.iter().map(|room| self.tab(room)).collect(),
        };
        if tabs != self.tabs {
            self.tabs.clone_from(&tabs);
            self.outputs.push_back(Output::Tabs(tabs));
        }
    }

    fn tab(&self, room: &Room) -> Tab {
        Tab {
            name: room.name.clone(),
            is_shown: self.shown.last() == Some(&room.id),
            is_live: room.is_live(),
            unread: room.unread.messages,
            mentions: room.unread.mentions,
        }
    }
}

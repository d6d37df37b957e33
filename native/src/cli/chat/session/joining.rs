//! Finding, joining and rejoining a channel.

use std::{mem, time::Duration};

use chanwire_core::{
    Time,
    wire::{ChannelName, JoinFrom, Request, Response},
};

use super::{Known, MAX_LISTED, Names, PAGE, PendingRequest, Phase, Reading, Room, Session, Skipping, Verdict, count};
use crate::{
    cli::{ask::code, chat::outbox::Outbox},
    client::{NOT_ALLOWED, host_of, is_elsewhere},
};

impl Session {
    /// Selects this channel.
    pub(super) fn enter(&mut self, name: ChannelName) {
        self.room = Some(Room {
            name,
            host: None,
            listed: None,
            known: None,
            oldest: None,
            names: Names::default(),
            outbox: Outbox::default(),
            shown_reason: None,
        });
        self.find_host();
    }

    /// Requests the channel's host from the tracker.
    pub(super) fn find_host(&mut self) {
        let connection = self.connect(self.tracker.clone());
        self.phase = Phase::Looking(connection);
    }

    /// Handles the tracker's list of channels.
    pub(super) fn found(&mut self, now: Time, response: Response) {
        let Some(room) = &mut self.room else { return };
        let channels = match response {
            Response::Channels(channels) => channels,
            Response::Error(error) => {
                return self.try_again(now, format!("{}: {error}", self.tracker), code(error.blame), None);
            }
            _ => return,
        };
        self.listed = channels.iter().take(MAX_LISTED).map(|channel| channel.channel_name.clone()).collect();
        let Some(channel) = channels.iter().find(|channel| channel.channel_name == room.name) else {
            let names: Vec<_> = channels.iter().take(10).map(|channel| channel.channel_name.as_str()).collect();
            let others = match (names.is_empty(), channels.len() > names.len()) {
                (true, _) => "no channels".to_owned(),
                (false, true) => format!("{} and others", names.join(", ")),
                (false, false) => names.join(", "),
            };
            let reason = format!("there is no channel '{}' at {}; it lists {others}", room.name, self.tracker);
            return self.try_again(now, reason, 3, None);
        };
        let host = host_of(&self.tracker, &channel.address);
        // The list does not tell whether the channel lives at the server of a Unix socket: JOIN does.
        room.listed = self.tracker.path().map(|_| host.clone());
        if room.listed.is_some() || host.same_place(&self.tracker) {
            // The connection is there already.
            if let Phase::Looking(connection) = mem::replace(&mut self.phase, Phase::Out) {
                self.phase = Phase::Joining(connection);
                self.join();
            }
        } else {
            self.hang_up();
            let connection = self.connect(host);
            self.phase = Phase::Joining(connection);
        }
    }

    /// Handles a failure to reach the tracker, by trying the last known host.
    pub(super) fn tracker_failed(&mut self, now: Time, reason: String) {
        let host = self.room.as_ref().and_then(|room| room.host.clone());
        match host.filter(|host| !host.same_place(&self.tracker)) {
            Some(host) => {
                let connection = self.connect(host);
                self.phase = Phase::Joining(connection);
            }
            None => self.try_again(now, format!("{}: {reason}", self.tracker), 1, None),
        }
    }

    /// Joins the channel from the last known message on, which identifies the history.
    pub(super) fn join(&mut self) {
        self.join_with(self.behind);
    }

    /// Joins the channel. `skips`: with its last messages only, whatever was missed.
    fn join_with(&mut self, skips: bool) {
        let (Phase::Joining(connection), Some(room)) = (&mut self.phase, &self.room) else { return };
        let skips = skips && room.known.is_some();
        let known = room.known.as_ref().filter(|_| !skips);
        let since = known.map(|known| known.id - u64::from(known.message.is_some()));
        let from = since.map_or(JoinFrom::Last(PAGE), JoinFrom::After);
        let username = connection.has_presence.then(|| self.options.user.clone());
        let request = Request::Join { channel_name: room.name.clone(), from, username };
        connection.ask(&mut self.outputs, PendingRequest::Join { since, skips }, request);
    }

    /// Handles the host's answer to JOIN.
    pub(super) fn joined(&mut self, now: Time, since: Option<u64>, skips: bool, response: Response) {
        let Phase::Joining(connection) = mem::replace(&mut self.phase, Phase::Out) else { return };
        let Some(room) = &mut self.room else { return };
        let (first_id, last_id) = match response {
            Response::Joined { first_id, last_id, .. } => (first_id, last_id),
            Response::Error(error) if since.is_some() && error.error == "Invalid payload" => {
                // It ends before the last known message: it is another history.
                room.known = None;
                self.phase = Phase::Joining(connection);
                return self.join();
            }
            Response::Error(error) if error.error == NOT_ALLOWED && self.former_name.is_some() => {
                self.phase = Phase::Joining(connection);
                self.take_former_name(&error);
                return self.join();
            }
            Response::Error(error) if is_elsewhere(&error) && room.listed.is_some() => {
                if let Some(host) = room.listed.take() {
                    self.is_renaming = false;
                    self.phase = Phase::Joining(connection);
                    self.hang_up();
                    let connection = self.connect(host);
                    self.phase = Phase::Joining(connection);
                }
                return;
            }
            Response::Error(error) => {
                let hint = match &*error.error {
                    "Unknown command" => " (this host stores messages, but nobody can listen there)",
                    _ => "",
                };
                let reason = format!("{}: {error}{hint}", connection.to);
                self.phase = Phase::Joining(connection);
                return self.try_again(now, reason, code(error.blame), None);
            }
            _ => return,
        };
        let again = room.host.is_some();
        let known = room.known.take();
        let missed = known.as_ref().map_or(0, |known| first_id.saturating_sub(known.id + 1));
        // Some of the last messages may have been shown already, unless it is another history.
        let shown = known.as_ref().filter(|known| skips && known.id <= last_id).map_or(0, |known| known.id);
        let anchor = known.and_then(|known| known.message).filter(|anchor| anchor.id == first_id);
        let id = anchor.as_ref().map_or(first_id - 1, |anchor| anchor.id).max(shown);
        room.known = Some(Known { id, message: anchor.clone() });
        room.host = Some(connection.to.clone());
        room.shown_reason = None;
        let welcome = if again {
            "connected again".into()
        } else {
            let help = if self.options.interactive { "; /help shows the commands" } else { "" };
            format!("on {} at {} as {}{help}", room.name, connection.to, self.options.user)
        };
        if skips && missed > 0 {
            // The skipped messages precede the last ones.
            room.oldest = None;
        }
        let reading = Reading { since: now, anchor, shown, last_earlier: last_id, skipping: Skipping::No };
        self.phase = Phase::Live(connection, reading);
        self.joined_once = true;
        self.left = None;
        if !skips && !mem::take(&mut self.is_renaming) {
            self.note(welcome);
        }
        self.confirm_name();
        if missed > 0 {
            let missed = count(usize::try_from(missed).unwrap_or(usize::MAX), "message");
            if skips {
                let hint = "the terminal does not keep up (/history shows the last of them)";
                return self.trouble(format!("{missed} skipped: {hint}"));
            }
            self.trouble(format!("{missed} that came meanwhile cannot be shown: the host no longer keeps them"));
        }
    }

    /// Handles a screen that lags: skips the channel's messages from now on.
    pub(in crate::cli::chat) fn handle_behind(&mut self) {
        self.behind = true;
        if let (Phase::Live(connection, reading), Some(room)) = (&mut self.phase, &self.room)
            && reading.skipping == Skipping::No
        {
            reading.skipping = Skipping::Leaving;
            let request = Request::Leave { channel_name: room.name.clone() };
            connection.ask(&mut self.outputs, PendingRequest::Leave, request);
        }
    }

    /// Handles a screen that has caught up: continues with the channel's last messages.
    pub(in crate::cli::chat) fn handle_caught_up(&mut self) {
        self.behind = false;
        if matches!(&self.phase, Phase::Live(_, reading) if reading.skipping == Skipping::Left) {
            self.join_again(true);
        }
    }

    /// Returns whether incoming messages are skipped.
    pub(in crate::cli::chat) const fn is_skipping(&self) -> bool {
        matches!(&self.phase, Phase::Live(_, reading) if matches!(reading.skipping, Skipping::Leaving | Skipping::Left))
    }

    /// Handles the answer to LEAVE, on the same connection.
    pub(super) fn left(&mut self) {
        let Phase::Live(_, reading) = &mut self.phase else { return };
        let skips = mem::replace(&mut reading.skipping, Skipping::Left) != Skipping::Renaming || self.behind;
        self.is_renaming = !skips;
        if !self.behind {
            self.join_again(skips);
        }
    }

    fn join_again(&mut self, skips: bool) {
        if let Phase::Live(connection, _) = mem::replace(&mut self.phase, Phase::Out) {
            self.phase = Phase::Joining(connection);
            self.join_with(skips);
        }
    }

    /// Handles a failure: retries later if that can help, after the time that the server asked for, else shows the
    /// reason.
    pub(super) fn try_again(&mut self, now: Time, reason: String, code: u8, retry_after: Option<Duration>) {
        self.hang_up();
        self.phase = Phase::Out;
        self.is_renaming = false;
        let Some(room) = &mut self.room else { return };
        room.outbox.lost();
        if room.host.is_some() {
            self.phase = Phase::Waiting { until: now.after(self.backoff.wait(retry_after)) };
            // A repeated reason is shown once.
            if room.shown_reason.as_ref() != Some(&reason) {
                room.shown_reason = Some(reason.clone());
                self.trouble(match retry_after {
                    None => format!("{reason} (trying again)"),
                    Some(time) => format!("{reason}; back in {} s", time.as_secs()),
                });
            }
            return;
        }
        self.leave();
        if let Some(left) = self.left.take() {
            self.trouble(format!("{reason} (back to {})", left.name));
            self.room = Some(left);
            self.find_host();
        } else if self.joined_once {
            self.trouble(reason);
            self.note("on no channel; /join NAME goes to one");
        } else {
            self.end(Verdict { code, reason: Some(reason) });
        }
    }
}

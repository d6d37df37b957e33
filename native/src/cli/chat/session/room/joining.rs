//! Finding, joining and rejoining a channel.

use std::{mem, time::Duration};

use chanwire_core::{
    Time,
    wire::{JoinFrom, Request, Response, Username},
};

use super::{Known, PAGE, PendingRequest, Phase, Reading, Room, Skipping, Untrusted, count};
use crate::{
    cli::{ask::code, chat::session::commands::names_of},
    client::{NOT_ALLOWED, host_of, is_elsewhere},
};

/// A JOIN without an answer so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli::chat::session) struct PendingJoin {
    /// The id after which it joins; `None`: with the last messages.
    since: Option<u64>,
    /// Whether it joins with the last messages instead of all missed ones.
    skips: bool,
    /// The name that it gives.
    username: Option<Username>,
}

impl Room {
    /// Requests the channel's host from the tracker.
    pub(super) fn find_host(&mut self) {
        let connection = self.connect(self.tracker.clone());
        self.phase = Phase::Looking(connection);
    }

    /// Handles the tracker's list of channels.
    pub(super) fn found(&mut self, now: Time, response: Response) {
        let channels = match response {
            Response::Channels(channels) => channels,
            Response::Error(error) => {
                return self.try_again(now, format!("{}: {error}", self.tracker), code(error.blame), None);
            }
            _ => return,
        };
        self.found = Some(names_of(&channels));
        let Some(channel) = channels.iter().find(|channel| channel.channel_name == self.name) else {
            let names: Vec<_> = channels.iter().take(10).map(|channel| channel.channel_name.as_str()).collect();
            let others = match (names.is_empty(), channels.len() > names.len()) {
                (true, _) => "no channels".to_owned(),
                (false, true) => format!("{} and others", names.join(", ")),
                (false, false) => names.join(", "),
            };
            let reason = format!("there is no channel '{}' at {}; it lists {others}", self.name, self.tracker);
            return self.try_again(now, reason, 3, None);
        };
        let host = host_of(&self.tracker, &channel.address);
        // The list does not tell whether the channel lives at the server of a Unix socket: JOIN does.
        self.listed = self.tracker.path().map(|_| host.clone());
        if self.listed.is_some() || host.same_place(&self.tracker) {
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
        match self.host.clone().filter(|host| !host.same_place(&self.tracker)) {
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
        let Phase::Joining(connection) = &mut self.phase else { return };
        let skips = skips && self.known.is_some();
        let known = self.known.as_ref().filter(|_| !skips);
        let since = known.map(|known| known.id - u64::from(known.message.is_some()));
        let from = since.map_or(JoinFrom::Last(PAGE), JoinFrom::After);
        let username = connection.has_presence.then(|| self.options.user.clone());
        let request = Request::Join { channel_name: self.name.clone(), from, username: username.clone() };
        connection.ask(&mut self.outputs, PendingRequest::Join(PendingJoin { since, skips, username }), request);
    }

    /// Handles the host's answer to JOIN.
    pub(super) fn joined(&mut self, now: Time, join: PendingJoin, response: Response) {
        let Phase::Joining(mut connection) = mem::replace(&mut self.phase, Phase::Out) else { return };
        let PendingJoin { since, skips, username } = join;
        let (first_id, last_id) = match response {
            Response::Joined { first_id, last_id, .. } => (first_id, last_id),
            Response::Error(error) if since.is_some() && error.error == "Invalid payload" => {
                // It ends before the last known message: it is another history.
                self.known = None;
                self.drop_log();
                self.phase = Phase::Joining(connection);
                return self.join();
            }
            Response::Error(error) if error.error == NOT_ALLOWED && self.naming.before.is_some() => {
                self.phase = Phase::Joining(connection);
                // The refusal is of another name than the present one, if that was chosen meanwhile.
                if username.is_none_or(|name| name == self.options.user) {
                    self.take_former_name(&error);
                }
                return self.join();
            }
            Response::Error(error) if is_elsewhere(&error) && self.listed.is_some() => {
                if let Some(host) = self.listed.take() {
                    self.naming.is_renaming = false;
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
        let again = self.host.is_some();
        let known = self.known.take();
        let missed = known.as_ref().map_or(0, |known| first_id.saturating_sub(known.id + 1));
        // Some of the last messages may have been shown already, unless it is another history.
        let shown = known.as_ref().filter(|known| skips && known.id <= last_id).map_or(0, |known| known.id);
        let anchor = known.and_then(|known| known.message).filter(|anchor| anchor.id == first_id);
        let id = anchor.as_ref().map_or(first_id - 1, |anchor| anchor.id).max(shown);
        self.known = Some(Known { id, message: anchor.clone() });
        self.host = Some(connection.to.clone());
        self.shown_reason = None;
        let welcome = if again {
            "connected again".into()
        } else {
            let help = if self.options.interactive { "; /help shows the commands" } else { "" };
            let name = username.as_ref().unwrap_or(&self.options.user);
            format!("on {} at {} as {name}{help}", self.name, connection.to)
        };
        if skips && missed > 0 {
            // The skipped messages precede the last ones.
            self.drop_log();
        }
        let before = mem::replace(&mut connection.joined_as, username);
        let reading = Reading { since: now, anchor, shown, last_earlier: last_id, again, skipping: Skipping::No };
        self.phase = Phase::Live(connection, reading);
        if !skips && !mem::take(&mut self.naming.is_renaming) {
            self.note(welcome);
        }
        self.settle_name(before);
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
    pub(in crate::cli::chat::session) fn handle_behind(&mut self) {
        // Others do not wait for the screen.
        self.behind = self.is_shown;
        if let Phase::Live(connection, reading) = &mut self.phase
            && self.is_shown
            && reading.skipping == Skipping::No
        {
            reading.skipping = Skipping::Leaving;
            let request = Request::Leave { channel_name: self.name.clone() };
            connection.ask(&mut self.outputs, PendingRequest::Leave, request);
        }
    }

    /// Handles a screen that has caught up: continues with the channel's last messages.
    pub(in crate::cli::chat::session) fn handle_caught_up(&mut self) {
        self.behind = false;
        if matches!(&self.phase, Phase::Live(_, reading) if reading.skipping == Skipping::Left) {
            self.join_again(true);
        }
    }

    /// Returns whether incoming messages are skipped.
    pub(in crate::cli::chat::session) const fn is_skipping(&self) -> bool {
        matches!(&self.phase, Phase::Live(_, reading) if matches!(reading.skipping, Skipping::Leaving | Skipping::Left))
    }

    /// Handles the answer to LEAVE, on the same connection.
    pub(super) fn left(&mut self) {
        let Phase::Live(_, reading) = &mut self.phase else { return };
        let skips = mem::replace(&mut reading.skipping, Skipping::Left) != Skipping::Renaming || self.behind;
        self.naming.is_renaming = !skips;
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
        self.naming.is_renaming = false;
        self.outbox.lost();
        if self.host.is_none() {
            return self.fail(reason, code);
        }
        self.phase = Phase::Waiting { until: now.after(self.backoff.wait(retry_after)) };
        // A repeated reason is shown once.
        if self.shown_reason.as_ref() != Some(&reason) {
            self.shown_reason = Some(reason.clone());
            self.trouble(match retry_after {
                None => format!("{reason} (trying again)"),
                Some(time) => format!("{reason}; back in {} s", time.as_secs()),
            });
        }
    }

    /// Handles the user's decision about the server of an unknown key: connects again, or tries others.
    pub(in crate::cli::chat::session) fn handle_trust(&mut self, now: Time, is_trusted: bool) {
        let Phase::Untrusted(Untrusted { to, .. }) = mem::replace(&mut self.phase, Phase::Out) else { return };
        if !is_trusted {
            // Otherwise the next try would go to the same server, and ask again.
            self.host = None;
            self.try_again(now, format!("{to}: its certificate is not trusted"), 1, None);
        } else if to.same_place(&self.tracker) {
            self.find_host();
        } else {
            let connection = self.connect(to);
            self.phase = Phase::Joining(connection);
        }
        self.settle(now);
    }
}

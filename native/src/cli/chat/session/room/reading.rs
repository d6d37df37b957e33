//! The messages of a channel: shown as they come, or kept until the channel is shown; and older ones.

use std::mem;

use chanwire_core::wire::{HistoryRange, Request, Response, StoredMessage};

use super::{PAGE, PendingRequest, Phase, Room, count};
use crate::cli::chat::session::{Mention, Output, Shown};

/// Messages that are requested at once to read back.
const OLDER: u16 = 100;

/// The messages of a channel that is not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli::chat::session) struct Unread {
    /// Those that came after the channel was joined.
    pub(in crate::cli::chat::session) messages: usize,
    /// Those of them that mention the user.
    pub(in crate::cli::chat::session) mentions: usize,
    /// All that were never shown.
    unshown: usize,
}

impl Room {
    /// Takes a message that came: shows it, or keeps it until the channel is shown. `is_news`: it came after the channel
    /// was joined for the first time.
    pub(super) fn came(&mut self, message: StoredMessage, mention: Mention, is_news: bool) {
        self.log.push(message.clone(), mention);
        if self.is_shown {
            self.oldest.get_or_insert(message.id);
            return self.outputs.push_back(Output::Show(Shown::Message(message, mention)));
        }
        self.unread.unshown += 1;
        self.unread.messages += usize::from(is_news);
        self.unread.mentions += usize::from(is_news && mention != Mention::No);
        if mention == Mention::New {
            self.outputs.push_back(Output::Ring);
        }
    }

    /// Drops the messages that were kept: others follow that do not continue them.
    pub(super) fn drop_log(&mut self) {
        self.log.clear();
        self.oldest = None;
        self.unread = Unread::default();
    }

    /// Shows the messages that waited, and from now on those that come. `context`: at least a page, with earlier ones.
    pub(in crate::cli::chat::session) fn show(&mut self, context: bool) {
        self.is_shown = true;
        let Unread { unshown, .. } = mem::take(&mut self.unread);
        let dropped = unshown.saturating_sub(self.log.len());
        if dropped > 0 {
            let dropped = count(dropped, "message");
            self.trouble(format!("{dropped} skipped: too many came meanwhile (/history shows the last of them)"));
            self.oldest = None;
        }
        let page = if context { PAGE.into() } else { 0 };
        let shown: Vec<_> = self.log.last(unshown.max(page)).cloned().collect();
        if let Some((first, _)) = shown.first() {
            self.oldest = Some(self.oldest.map_or(first.id, |oldest| oldest.min(first.id)));
        }
        for (message, mention) in shown {
            // It has rung already.
            let mention = if mention == Mention::New { Mention::Earlier } else { mention };
            self.outputs.push_back(Output::Show(Shown::Message(message, mention)));
        }
    }

    /// Lets messages wait until the channel is shown again.
    pub(in crate::cli::chat::session) fn hide(&mut self) {
        self.is_shown = false;
        // They do not wait for the screen.
        self.handle_caught_up();
    }

    /// Requests older messages than those that were shown.
    pub(in crate::cli::chat::session) fn history(&mut self, number: &str) {
        let limit = if number.is_empty() { Some(PAGE) } else { number.parse().ok() };
        let Some(limit) = limit.filter(|limit| (1..=1000).contains(limit)) else {
            return self.trouble("/history takes a number from 1 to 1000");
        };
        let Phase::Live(connection, _) = &mut self.phase else {
            return self.trouble("there is no connection to a channel now");
        };
        let range = self.oldest.map_or(HistoryRange::Last, HistoryRange::Before);
        let request = Request::History { channel_name: self.name.clone(), range, limit };
        connection.ask(&mut self.outputs, PendingRequest::History, request);
    }

    /// Returns the messages that were loaded last.
    pub(in crate::cli::chat::session) fn loaded(&self) -> Vec<(StoredMessage, Mention)> {
        self.log.last(usize::MAX).cloned().collect()
    }

    /// Requests messages before an id, to read back.
    pub(in crate::cli::chat::session) fn older(&mut self, before: u64) {
        let Phase::Live(connection, _) = &mut self.phase else {
            return self.no_older(before, "there is no connection now".into());
        };
        let range = HistoryRange::Before(before);
        let request = Request::History { channel_name: self.name.clone(), range, limit: OLDER };
        connection.ask(&mut self.outputs, PendingRequest::Older(before), request);
    }

    pub(super) fn show_older(&mut self, before: u64, response: Response) {
        match response {
            Response::History { messages, .. } => {
                let messages = self.with_mentions(messages);
                self.log.push_older(&messages);
                self.outputs.push_back(Output::Older { channel: self.name.clone(), before, messages: Ok(messages) });
            }
            Response::Error(error) => self.no_older(before, error.to_string()),
            _ => {}
        }
    }

    pub(super) fn no_older(&mut self, before: u64, reason: String) {
        self.outputs.push_back(Output::Older { channel: self.name.clone(), before, messages: Err(reason) });
    }

    fn with_mentions(&self, messages: Vec<StoredMessage>) -> Vec<(StoredMessage, Mention)> {
        let with_mention = |message: StoredMessage| {
            let mention = self.mention(&message, false);
            (message, mention)
        };
        messages.into_iter().map(with_mention).collect()
    }

    pub(super) fn show_history(&mut self, response: Response) {
        let messages = match response {
            Response::History { messages, .. } => messages,
            Response::Error(error) => return self.trouble(error.to_string()),
            _ => return,
        };
        messages.iter().for_each(|message| self.names.seen(&message.username));
        if !self.is_shown {
            // The user has gone to another channel.
            return;
        }
        let Some(oldest) = messages.first().map(|message| message.id) else {
            return self.note("no older messages");
        };
        self.oldest = Some(oldest);
        let messages = self.with_mentions(messages);
        self.log.push_older(&messages);
        self.note(format!("{} from before:", count(messages.len(), "message")));
        for (message, mention) in messages {
            self.outputs.push_back(Output::Show(Shown::Message(message, mention)));
        }
        self.note("that was before");
    }
}

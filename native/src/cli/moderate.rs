//! `chanwire delete`: moderates a channel.

use chanwire_core::wire::{ChannelName, Request};
use clap::Args;

use super::{
    Failure, Outcome,
    ask::{AskAnyone, refuse},
};

/// Delete a message of a channel, as the channel's host or as the account that sent it
///
/// The message keeps its number, its user and its time, and its text is replaced by "(deleted)". The deletion is a message
/// of the channel, so that readers learn of it. Whoever has read the text before keeps it. If the server says that a peer
/// hosts the channel, that peer is asked.
#[derive(Debug, Args)]
pub(super) struct Delete {
    /// The channel's name
    channel: String,

    /// The message's number, as `history` shows it
    #[arg(value_parser = clap::value_parser!(u64).range(1..=(1 << 53) - 1))]
    id: u64,

    #[command(flatten)]
    ask: AskAnyone,
}

impl Delete {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        match ChannelName::try_from(self.channel) {
            Ok(channel_name) => {
                let request = Request::Delete { channel_name: channel_name.clone(), id: self.id };
                self.ask.run_at_host(&channel_name, request)
            }
            Err(error) => refuse(error, self.ask.json),
        }
    }
}

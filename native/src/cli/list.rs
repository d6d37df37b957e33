//! `chanwire list`: the channels that a server lists.

use chanwire_core::wire::{Channel, Hello, ListedChannel, Request, Response};
use clap::Args;

use super::{
    Failure, Outcome,
    ask::{self, Ask},
    link,
};
use crate::client::{Client, Error};

/// The channels that are asked for at once.
const PAGE: u16 = 1000;

/// Show the channels that a server lists
///
/// With an option that a server does not know, as `chanwire hello` tells by the feature `channels`, its whole list is
/// read and searched here.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only channels whose names contain this, in any case of the letters A to Z
    #[arg(long, value_name = "TEXT", value_parser = part)]
    contains: Option<String>,

    /// Also show the id of each channel's last message, of channels that live on the server
    #[arg(long)]
    last_ids: bool,

    #[command(flatten)]
    ask: Ask,
}

/// Checks a part of a name as a server does.
fn part(text: &str) -> Result<String, String> {
    let request = Request::Channels { after: 0, limit: 1, contains: Some(text.into()) };
    request.validate().map(|()| text.into()).map_err(|_| "it must have 1 to 64 characters".into())
}

impl List {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        if self.contains.is_none() && !self.last_ids {
            return self.ask.run(Request::List);
        }
        let (json, connector) = (self.ask.json, self.ask.connector()?);
        let answered = link::runtime()?.block_on(async {
            let client = Client::over(connector);
            let answered = link::watched(client.server(), found(&client, self.contains.as_deref())).await;
            client.close().await;
            link::answer(answered)
        });
        let mut answer = answered?;
        if let (Response::ChannelPage { channels, .. }, false) = (&mut answer, self.last_ids || json) {
            channels.iter_mut().for_each(|channel| channel.last_id = None);
        }
        ask::report(&answer, json)
    }
}

/// Returns the listed channels whose names contain a part, as one answer.
async fn found(client: &Client, contains: Option<&str>) -> Result<Response, Error> {
    // A server that is older than HELLO refuses it.
    let is_paged = match client.hello().await {
        Ok(hello) => hello.has(Hello::CHANNELS),
        Err(error) if error.refusal().is_some() => false,
        Err(error) => return Err(error),
    };
    if !is_paged {
        let is_found = |channel: &Channel| contains.is_none_or(|part| contains_part(&channel.channel_name, part));
        let channels = client.list().await?.into_iter().filter(is_found).collect();
        return Ok(Response::Channels(channels));
    }
    let mut found: Vec<ListedChannel> = Vec::new();
    let mut after = 0;
    loop {
        let (channels, next) = client.channels(after, PAGE, contains).await?;
        found.extend(channels);
        match next {
            Some(next) => after = next,
            None => return Ok(Response::ChannelPage { channels: found, next: None }),
        }
    }
}

/// Returns whether a name contains a part, in any case of ASCII letters.
fn contains_part(name: &str, part: &str) -> bool {
    name.to_ascii_lowercase().contains(&part.to_ascii_lowercase())
}

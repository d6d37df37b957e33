//! Asking the server that hosts a channel, wherever the server that lists it says that is.

use chanwire_core::wire::{ErrorResponse, Request, Response};

use super::{ask::exchange, link::Target, place::host_of};
use crate::server_address::ServerAddress;

/// The protocol's name of the error by which a server refuses what concerns a channel of a peer.
const ELSEWHERE: &str = "Channel hosted elsewhere";

/// Whether this refuses something because a peer hosts the channel.
pub(super) fn is_elsewhere(error: &ErrorResponse) -> bool {
    error.error == ELSEWHERE
}

/// Asks a server, and where it says that a peer hosts the channel, that peer. The answer, or who failed and why.
pub(super) async fn ask_host(server: ServerAddress, channel_name: &str, request: &Request) -> Result<Response, String> {
    let response = ask(&server, request).await?;
    if !matches!(&response, Response::Error(error) if is_elsewhere(error)) {
        return Ok(response);
    }
    match find_host(&server, channel_name).await? {
        Some(host) => ask(&host, request).await,
        None => Ok(response),
    }
}

/// Where a channel of this server's list is hosted, unless it is this server or the channel is gone.
pub(super) async fn find_host(server: &ServerAddress, channel_name: &str) -> Result<Option<ServerAddress>, String> {
    let Response::Channels(channels) = ask(server, &Request::List).await? else { return Ok(None) };
    let channel = channels.into_iter().find(|channel| channel.channel_name == channel_name);
    let host = channel.map(|channel| host_of(server, &channel.address));
    Ok(host.filter(|host| !host.same_place(server)))
}

async fn ask(server: &ServerAddress, request: &Request) -> Result<Response, String> {
    exchange(&Target::Server(server.clone()), request).await.map_err(|why| format!("{server}: {why}"))
}

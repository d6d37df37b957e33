//! The answers of a hub to requests that it does not carry out.

use alloc::format;
use core::fmt::Display;

use crate::wire::{AccountName, Address, ErrorResponse, PayloadFault, PayloadFaultKind, Timestamp};

pub(super) fn not_found(channel_name: &str) -> ErrorResponse {
    ErrorResponse::request("Channel not found", format!("The requested channel '{channel_name}' does not exist"))
}

pub(super) fn none_here(listener: impl Display) -> ErrorResponse {
    ErrorResponse::request("Channel not found", format!("The message names no channel and {listener} hosts none"))
}

pub(super) fn several_here() -> ErrorResponse {
    PayloadFault { at: None, kind: PayloadFaultKind::Missing("channel_name") }.reply()
}

pub(super) fn hosted_elsewhere(channel_name: &str, address: &Address) -> ErrorResponse {
    ErrorResponse::request("Channel hosted elsewhere", hosted_at(channel_name, address))
}

pub(super) fn already_exists(channel_name: &str, address: &Address) -> ErrorResponse {
    ErrorResponse::request("Channel already exists", hosted_at(channel_name, address))
}

pub(super) fn kept_for_host(channel_name: &str, seconds: u64) -> ErrorResponse {
    let details = format!("The channel '{channel_name}' is kept for its last host for {seconds} s");
    ErrorResponse::request("Channel already exists", details)
}

fn hosted_at(channel_name: &str, address: &Address) -> alloc::string::String {
    format!("The channel '{channel_name}' is hosted at {address}")
}

pub(super) fn too_many_channels(limit: usize) -> ErrorResponse {
    ErrorResponse::request("Limit reached", format!("A tracker lists at most {limit} channels"))
}

pub(super) fn too_many_channels_of_address(limit: usize) -> ErrorResponse {
    ErrorResponse::request("Limit reached", format!("An address may host at most {limit} channels"))
}

pub(super) fn too_many_names_of_account(limit: usize) -> ErrorResponse {
    ErrorResponse::request("Limit reached", format!("An account may own at most {limit} channels"))
}

pub(super) fn too_many_names(limit: usize) -> ErrorResponse {
    ErrorResponse::request("Limit reached", format!("A server knows at most {limit} names"))
}

pub(super) fn no_more_ids(channel_name: &str, limit: u64) -> ErrorResponse {
    ErrorResponse::request("Limit reached", format!("The channel '{channel_name}' has had {limit} messages"))
}

pub(super) fn message_id_reused() -> ErrorResponse {
    ErrorResponse::request("Message id reused", "This client_message_id belongs to another message")
}

pub(super) fn not_authenticated() -> ErrorResponse {
    ErrorResponse::request("Authentication failed", "Unknown account, or wrong password or token")
}

pub(super) fn already_authenticated(account: &AccountName) -> ErrorResponse {
    let details = format!("This connection is authenticated as '{account}'");
    ErrorResponse::request("Already authenticated", details)
}

/// Returns the answer to an attempt that is not allowed for so many seconds; `says_when` to a client that can read it.
pub(super) fn too_many_attempts(seconds: u32, says_when: bool) -> ErrorResponse {
    let unit = if seconds == 1 { "second" } else { "seconds" };
    let error = ErrorResponse::request("Too many attempts", format!("Try again in {seconds} {unit}"));
    ErrorResponse { retry_after: says_when.then_some(seconds), ..error }
}

/// The peer may not delete this channel's messages.
pub(super) fn not_a_moderator(channel_name: &str) -> ErrorResponse {
    let details = format!("Only the host and the moderators of '{channel_name}' may delete its messages");
    ErrorResponse::request("Not allowed", details)
}

/// The peer may give no roles in this channel.
pub(super) fn may_not_give_roles(channel_name: &str) -> ErrorResponse {
    let details = format!("Only the host and the moderators of '{channel_name}' may give roles in it");
    ErrorResponse::request("Not allowed", details)
}

/// The peer is a moderator, and this role or its subject is for the host.
pub(super) fn role_is_for_host(channel_name: &str) -> ErrorResponse {
    let details = format!("Only the host of '{channel_name}' may change who its moderators are");
    ErrorResponse::request("Not allowed", details)
}

/// A role would have no effect on the one to whom it is to be given.
pub(super) fn no_role_for_host(channel_name: &str) -> ErrorResponse {
    let details = format!("The host of '{channel_name}' and the operator have no role in it");
    ErrorResponse::request("Not allowed", details)
}

pub(super) fn members_are_accounts(channel_name: &str) -> ErrorResponse {
    ErrorResponse::request("Not allowed", format!("Only accounts can be members of '{channel_name}'"))
}

pub(super) fn sender_not_known(channel_name: &str, id: u64) -> ErrorResponse {
    let details = format!("The address from which message {id} of '{channel_name}' came is not known any more");
    ErrorResponse::request("Message not found", details)
}

pub(super) fn too_many_roles(limit: usize) -> ErrorResponse {
    ErrorResponse::request("Limit reached", format!("A channel has at most {limit} roles"))
}

pub(super) fn too_many_roles_in_all(limit: usize) -> ErrorResponse {
    ErrorResponse::request("Limit reached", format!("A server keeps at most {limit} roles"))
}

pub(super) fn may_not_set(channel_name: &str) -> ErrorResponse {
    ErrorResponse::request("Not allowed", format!("Only the host of '{channel_name}' may change its settings"))
}

/// The channel belongs to an address, and would be open to whoever hosts it next.
pub(super) fn members_need_account(channel_name: &str) -> ErrorResponse {
    let details = format!("The channel '{channel_name}' belongs to no account, so it cannot be for members only");
    ErrorResponse::request("Not allowed", details)
}

/// The name is for members only, and belongs to no account that could host it.
pub(super) fn kept_for_members(channel_name: &str) -> ErrorResponse {
    let details = format!("The channel '{channel_name}' is for members only, and only the operator may host it");
    ErrorResponse::request("Not allowed", details)
}

pub(super) fn members_read(channel_name: &str) -> ErrorResponse {
    ErrorResponse::request("Not allowed", format!("Only members may read '{channel_name}'"))
}

pub(super) fn members_write(channel_name: &str) -> ErrorResponse {
    ErrorResponse::request("Not allowed", format!("Only members may write to '{channel_name}'"))
}

pub(super) fn banned(channel_name: &str, until: Option<Timestamp>) -> ErrorResponse {
    let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
    ErrorResponse::request("Not allowed", format!("This connection is banned from '{channel_name}'{until}"))
}

pub(super) fn muted(channel_name: &str, until: Option<Timestamp>) -> ErrorResponse {
    let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
    ErrorResponse::request("Not allowed", format!("This connection is muted in '{channel_name}'{until}"))
}

/// Returns the answer to a message that comes so many seconds too early; `says_when` to a client that can read it.
pub(super) fn slow_mode(channel_name: &str, seconds: u32, says_when: bool) -> ErrorResponse {
    let unit = if seconds == 1 { "second" } else { "seconds" };
    let details = format!("Wait {seconds} {unit} before the next message in '{channel_name}'");
    ErrorResponse { retry_after: says_when.then_some(seconds), ..ErrorResponse::request("Slow mode", details) }
}

pub(super) fn is_record(channel_name: &str, id: u64) -> ErrorResponse {
    let details = format!("Message {id} of '{channel_name}' is the record of a deletion, which cannot be deleted");
    ErrorResponse::request("Not allowed", details)
}

pub(super) fn no_message(channel_name: &str, id: u64) -> ErrorResponse {
    ErrorResponse::request("Message not found", format!("The channel '{channel_name}' has no message {id}"))
}

pub(super) fn operator_only() -> ErrorResponse {
    ErrorResponse::request(
        "Not allowed",
        "Only the server's operator may do this, through the socket in its data directory",
    )
}

pub(super) fn no_connection(id: u64) -> ErrorResponse {
    ErrorResponse::request("Connection not found", format!("No open connection has the number {id}"))
}

/// Returns the answer to a write that is not known to be stored.
pub(super) fn not_stored() -> ErrorResponse {
    ErrorResponse::server("Database connection failed", "Unable to store message in channel database")
}

/// Something that is stored of the channel is not as it was written.
pub(super) fn damaged(channel_name: &str) -> ErrorResponse {
    let details =
        format!("Stored data of the channel '{channel_name}' is damaged; it is kept apart until it is restored");
    ErrorResponse::server("Database connection failed", details)
}

pub(super) fn not_read() -> ErrorResponse {
    ErrorResponse::server("Database connection failed", "Unable to read messages from channel database")
}

pub(super) fn not_the_host(channel_name: &str) -> ErrorResponse {
    ErrorResponse::request("Not the channel's host", format!("Only its host may remove the channel '{channel_name}'"))
}

pub(super) fn no_address_rights() -> ErrorResponse {
    let details = "This connection has no address rights, so it may not host or remove channels";
    ErrorResponse::request("Not allowed", details)
}

/// Returns the answer to HOST and UNHOST by rule, whether or not there is such a channel.
pub(super) fn may_not_host(channel_name: &str) -> ErrorResponse {
    let details = format!("This connection may not host or remove the channel '{channel_name}'");
    ErrorResponse::request("Not allowed", details)
}

pub(super) fn owned(channel_name: &str) -> ErrorResponse {
    ErrorResponse::request("Not allowed", format!("The channel '{channel_name}' belongs to another account"))
}

pub(super) fn may_not_write(channel_name: &str) -> ErrorResponse {
    ErrorResponse::request("Not allowed", format!("This connection may not write to the channel '{channel_name}'"))
}

pub(super) fn name_of_account(username: &str) -> ErrorResponse {
    let details = format!("The username '{username}' is an account's, and this connection is not signed in to it");
    ErrorResponse::request("Not allowed", details)
}

pub(super) fn already_joined(channel_name: &str) -> ErrorResponse {
    ErrorResponse::request("Already joined", format!("This connection has joined '{channel_name}' already"))
}

pub(super) fn not_joined(channel_name: &str) -> ErrorResponse {
    ErrorResponse::request("Not joined", format!("This connection has not joined '{channel_name}'"))
}

pub(super) fn too_many_joins(limit: usize) -> ErrorResponse {
    ErrorResponse::request("Limit reached", format!("A connection may join at most {limit} channels"))
}

pub(super) fn beyond_end(last_id: u64) -> ErrorResponse {
    PayloadFault { at: None, kind: PayloadFaultKind::BeyondEnd { field: "after", last_id } }.reply()
}

/// Returns the reason for closing a connection whose channel was removed. It answers no request.
pub(super) fn removed(channel_name: &str) -> ErrorResponse {
    ErrorResponse::server("Channel removed", format!("The channel '{channel_name}' is no longer hosted here"))
}

/// Returns the reason for closing a connection whose account is another now. It answers no request.
pub(super) fn account_changed(account: &AccountName) -> ErrorResponse {
    let details = format!("The account '{account}' has changed; sign in again");
    ErrorResponse::server(ErrorResponse::ACCESS_REVOKED, details)
}

/// Returns the reason for closing a connection that may no longer read a channel that it has joined. It answers no
/// request.
pub(super) fn no_longer_readable(channel_name: &str) -> ErrorResponse {
    let details = format!("This connection may no longer read the channel '{channel_name}'");
    ErrorResponse::server(ErrorResponse::ACCESS_REVOKED, details)
}

/// Returns the answer to a request that waited when its connection's rights were revoked.
pub(super) fn revoked() -> ErrorResponse {
    ErrorResponse::request("Not allowed", "The rights of this connection have changed")
}

/// Returns the reason for closing a connection whose next page is not kept any more. It answers no request.
pub(super) fn replay_overtaken(channel_name: &str) -> ErrorResponse {
    let details = format!("Messages of '{channel_name}' that were not read yet are no longer kept");
    ErrorResponse::server("Slow consumer", details)
}

/// Returns the reason for closing a connection whose next page cannot be read. It answers no request. As after any
/// `Slow consumer`, the client comes back with `after`.
pub(super) fn replay_failed(channel_name: &str) -> ErrorResponse {
    let details = format!("The stored messages of '{channel_name}' cannot be read at the moment");
    ErrorResponse::server("Slow consumer", details)
}

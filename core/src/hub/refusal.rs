//! What a hub answers when it does not do what was asked.

use alloc::format;
use core::fmt::Display;

use crate::wire::{Address, ErrorResponse, PayloadFault, PayloadFaultKind};

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

fn hosted_at(channel_name: &str, address: &Address) -> alloc::string::String {
    format!("The channel '{channel_name}' is hosted at {address}")
}

pub(super) fn too_many_channels(limit: usize) -> ErrorResponse {
    ErrorResponse::request("Limit reached", format!("A tracker lists at most {limit} channels"))
}

/// Of a commit it means "not known to be stored".
pub(super) fn not_stored() -> ErrorResponse {
    ErrorResponse::server("Database connection failed", "Unable to store message in channel database")
}

//! The HTTP side: the inspector's page and the bridge that carries a WebSocket's bytes to a TCP connection.
//!
//! Anyone who reaches the bridge can talk to the chat servers in the user's name, so [`access`] is guarded three times:
//! by the name a request is addressed to, by the origin of the page that asks, and by a token that only the user's
//! terminal has shown. Each TCP connection holds a permit of [`connections`] until it ends or becomes a WebSocket,
//! which [`bridge`] carries. Everything else is one of the page's [`assets`].

mod access;
mod assets;
mod bridge;
mod connections;
mod inspector_page;
mod metrics_page;
mod serve;
mod shared;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    access::Authority,
    inspector_page::InspectorPage,
    metrics_page::{METRICS_FILES, MetricsPage},
    serve::leads_to_itself,
    shared::{FILES, HttpConfig, Tap, Target, TargetTrust},
};

//! Access to the page and its bridge: the names that requests may be addressed to, the origins that may open the
//! bridge, and the token.

mod client;
mod guard;
mod host;
mod token;

pub(crate) use self::host::Authority;
pub(super) use self::{
    client::{PeerAddress, client_address},
    guard::guard,
    host::{Names, same_origin},
    token::Token,
};

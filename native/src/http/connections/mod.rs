//! TCP connections at the HTTP stage: a bounded number, of which the least active makes room for a new one, and none of
//! which waits for ever for a peer that takes nothing.

mod accept;
mod pool;
mod watched;

#[cfg(test)]
pub(super) use self::accept::HEAD_WAIT;
pub(super) use self::{
    accept::accept,
    pool::{Pool, PoolPermit},
    watched::Watched,
};

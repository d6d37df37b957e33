//! TCP connections at the HTTP stage: a bounded number, of which the least active makes room for a new one, and none of
//! which waits for ever for a peer that takes nothing.

mod pool;
mod watched;

pub(super) use self::{
    pool::{Pool, PoolPermit},
    watched::Watched,
};

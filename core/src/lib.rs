//! The chanwire protocol without I/O.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod endpoint;
pub mod hub;
mod limits;
mod span;
mod time;
pub mod wire;

pub use limits::Limits;
pub use span::Span;
pub use time::Time;

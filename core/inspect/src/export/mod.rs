//! Exports of recorded traffic for other programs.

mod golden;
mod packet;
mod pcapng;

pub use golden::{MAX_GOLDEN, golden, golden_of};
pub use pcapng::PcapNg;
pub(crate) use pcapng::{GAP, OVER, WRITER};

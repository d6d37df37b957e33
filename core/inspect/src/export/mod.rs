//! What was recorded, for other programs.

mod golden;
mod pcapng;

pub use golden::{MAX_GOLDEN, golden, golden_of};
pub(crate) use pcapng::GAP;
pub use pcapng::PcapNg;

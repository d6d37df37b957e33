//! What was recorded, for other programs.

mod pcapng;

pub(crate) use pcapng::GAP;
pub use pcapng::PcapNg;

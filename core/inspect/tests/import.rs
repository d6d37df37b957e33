//! Captures of other programs are read as what passed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "these are tests")]

#[path = "import/blocks.rs"]
mod blocks;
#[path = "import/conversations.rs"]
mod conversations;
#[path = "import/exports.rs"]
mod exports;
#[path = "import/kit.rs"]
mod kit;
#[path = "import/packets.rs"]
mod packets;
#[path = "import/properties.rs"]
mod properties;
#[path = "import/text.rs"]
mod text;
#[path = "import/tunnels.rs"]
mod tunnels;
#[path = "import/wrapped.rs"]
mod wrapped;

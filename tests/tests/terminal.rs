//! The terminal client on the real binary: `CHANWIRE_BIN`, else what `make build` makes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

#[path = "terminal/chat.rs"]
mod chat;
#[path = "terminal/commands.rs"]
mod commands;
#[path = "terminal/editing.rs"]
mod editing;
#[path = "terminal/fake.rs"]
mod fake;
#[path = "terminal/flood.rs"]
mod flood;
#[path = "terminal/pasting.rs"]
mod pasting;
#[path = "terminal/progress.rs"]
mod progress;
#[path = "terminal/recorded.rs"]
mod recorded;
#[path = "terminal/running.rs"]
mod running;
#[path = "terminal/screen.rs"]
mod screen;
#[path = "terminal/tmux.rs"]
mod tmux;
#[path = "terminal/top.rs"]
mod top;
#[path = "terminal/vanished.rs"]
mod vanished;
#[path = "terminal/violations.rs"]
mod violations;
#[path = "terminal/zones.rs"]
mod zones;

//! The terminal client on the real binary: `CHANWIRE_BIN`, else what `make build` makes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

#[path = "terminal/channels.rs"]
mod channels;
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
#[path = "terminal/people.rs"]
mod people;
#[path = "terminal/progress.rs"]
mod progress;
#[path = "terminal/reading_back.rs"]
mod reading_back;
#[path = "terminal/recalling.rs"]
mod recalling;
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
#[path = "terminal/trust.rs"]
mod trust;
#[cfg(target_os = "linux")]
#[path = "terminal/vanished.rs"]
mod vanished;
#[path = "terminal/violations.rs"]
mod violations;
#[path = "terminal/zones.rs"]
mod zones;

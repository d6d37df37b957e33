//! Short plays, one for each answer that the server has, and some more.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Serialize;

use super::{Sandbox, Settings, StoreMode};
use crate::plan::Step;

/// A play: a sandbox of its own, and what its clients do.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Scenario {
    /// The name of what it shows: for an error, the error's.
    pub name: &'static str,
    /// A description in one sentence.
    pub about: &'static str,
    /// Whether the name is an error's.
    pub is_error: bool,
    #[serde(skip)]
    settings: &'static [(&'static str, &'static str)],
    #[serde(skip)]
    acts: &'static [Act],
}

/// One action of a scenario, 100 ms after the one before. Clients are numbered from 1.
#[derive(Clone, Copy, Debug)]
enum Act {
    Connect(&'static str),
    /// A client without address rights connects.
    ConnectWithoutRights,
    /// The server's operator connects.
    Operator,
    Send(u32, &'static str),
    /// The same action this number of times, as separate steps.
    Often(u32, usize, &'static str),
    /// Writes in pieces, this many milliseconds apart.
    Drip(u32, u64, &'static [&'static str]),
    End(u32),
    Reads(u32, bool),
    Store(StoreMode),
    /// The server's settings change.
    Set(&'static [(&'static str, &'static str)]),
    /// The server stops.
    Stop,
    /// Milliseconds pass.
    Skip(u64),
}

use Act::{Connect, ConnectWithoutRights, Drip, End, Often, Operator, Reads, Send, Set, Skip, Stop, Store};

/// Between two acts, in milliseconds.
const PAUSE: u64 = 100;

/// Addresses for examples: the server's own machine, and two others.
const HOME: &str = "127.0.0.1";
const FRIEND: &str = "192.168.1.5";
const STRANGER: &str = "192.0.2.7";

const HOST: &str =
    "HOST\r\n{\"channel_name\": \"general\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": 22236}";
const HOST_FRIEND: &str =
    "HOST\r\n{\"channel_name\": \"general\", \"peer_server_ip\": \"192.168.1.5\", \"peer_server_port\": 22240}";
const HOST_STRANGER: &str =
    "HOST\r\n{\"channel_name\": \"general\", \"peer_server_ip\": \"192.0.2.7\", \"peer_server_port\": 22240}";
const ASK_NOTICES: &str = "HELLO\r\n{\"notices\": true}";
const HOST_LEASE: &str = "HOST\r\n{\"channel_name\": \"general\", \"peer_server_ip\": \"127.0.0.1\", \
                          \"peer_server_port\": 22236, \"lease\": 10}";
const HOST_NEWS: &str =
    "HOST\r\n{\"channel_name\": \"news\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": 22236}";
const HOST_GAMES: &str =
    "HOST\r\n{\"channel_name\": \"games\", \"peer_server_ip\": \"192.168.1.5\", \"peer_server_port\": 22240}";
const HOST_STAFF: &str =
    "HOST\r\n{\"channel_name\": \"staff-lounge\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": 22236}";
const JOIN_STAFF: &str = "JOIN\r\n{\"channel_name\": \"staff-lounge\"}";
const AUTH: &str = "AUTH\r\n{\"account\": \"ann\", \"password\": \"correct horse battery staple\"}";
const AUTH_TOKEN: &str = "AUTH\r\n{\"token\": \"token-of-bob\"}";
const AUTH_WRONG: &str = "AUTH\r\n{\"account\": \"ann\", \"password\": \"wrong\"}";
const AUTH_NOBODY: &str = "AUTH\r\n{\"account\": \"nobody\", \"password\": \"wrong\"}";
const AUTH_WRONG_TOKEN: &str = "AUTH\r\n{\"token\": \"wrong\"}";
const WHO: &str = "WHO\r\n{\"channel_name\": \"general\"}";
const UNHOST: &str = "UNHOST\r\n{\"channel_name\": \"general\"}";
const JOIN: &str = "JOIN\r\n{\"channel_name\": \"general\"}";
const JOIN_NEWS: &str = "JOIN\r\n{\"channel_name\": \"news\"}";
const LEAVE: &str = "LEAVE\r\n{\"channel_name\": \"general\"}";
const HISTORY: &str = "HISTORY\r\n{\"channel_name\": \"general\"}";
const DELETE: &str = "DELETE\r\n{\"channel_name\": \"general\", \"id\": 1}";
const SLOW_MODE: &str = "SETTINGS\r\n{\"channel_name\": \"general\", \"slow_mode\": 10}";
const SETTINGS: &str = "SETTINGS\r\n{\"channel_name\": \"general\"}";
const MUTE: &str = "ROLE\r\n{\"channel_name\": \"general\", \"sender_of\": 1, \"role\": \"muted\", \"seconds\": 60}";
const UNMUTE: &str = "ROLE\r\n{\"channel_name\": \"general\", \"sender_of\": 1, \"role\": \"none\"}";
const BAN: &str = "ROLE\r\n{\"channel_name\": \"general\", \"address\": \"192.168.1.5\", \"role\": \"banned\"}";
const HELLO: &str = "MESSAGE\r\n{\"username\": \"user1\", \"message_content\": \"Hello, World!\"}";
const HELLO_WITH_ID: &str = "MESSAGE\r\n{\"username\": \"user1\", \"message_content\": \"Hello, World!\", \
                             \"client_message_id\": \"5f0c2a7e9b3d4816a0e7c1d2f3b4a596\"}";
const BYE_WITH_ID: &str = "MESSAGE\r\n{\"username\": \"user1\", \"message_content\": \"Goodbye, World!\", \
                           \"client_message_id\": \"5f0c2a7e9b3d4816a0e7c1d2f3b4a596\"}";
const HELLO_GENERAL: &str =
    "MESSAGE\r\n{\"username\": \"user1\", \"message_content\": \"Hello, World!\", \"channel_name\": \"general\"}";
const HELLO_GAMING: &str =
    "MESSAGE\r\n{\"username\": \"user1\", \"message_content\": \"Hello, World!\", \"channel_name\": \"gaming\"}";

/// Two who talk come first, then every error in the order of the protocol's table, then what else is worth seeing.
const SCENARIOS: &[Scenario] = &[
    play(
        "Two clients",
        "One hosts a channel and joins it, the other says something, and the first hears it.",
        &[Connect(HOME), Connect(FRIEND), Send(1, HOST), Send(1, JOIN), Send(2, HELLO), Send(2, "LIST\r\n")],
    ),
    error(
        "Malformed command",
        "A bare line feed ends a command; the connection goes on. Then a web page's request, which closes it.",
        &[],
        &[Connect(HOME), Send(1, "LIST\n"), Send(1, "LIST\r\n"), Send(1, "POST / HTTP/1.1\r\n")],
    ),
    error(
        "Unknown command",
        "A command that there is not; the connection goes on.",
        &[],
        &[Connect(HOME), Send(1, "PING\r\n"), Send(1, "LIST\r\n")],
    ),
    error(
        "Invalid payload",
        "A field that is missing, one that is wrong, and JSON that is none.",
        &[],
        &[
            Connect(HOME),
            Send(1, "HOST\r\n{\"channel_name\": \"general\"}"),
            Send(
                1,
                "HOST\r\n{\"channel_name\": \"general\", \"peer_server_ip\": \"::1\", \"peer_server_port\": 99999}",
            ),
            Send(1, "HOST\r\n{\"channel_name\" \"general\"}"),
        ],
    ),
    error(
        "Payload too large",
        "A message above a limit that was made small: 64 bytes.",
        &[("max_payload", "64")],
        &[Connect(HOME), Send(1, HELLO_GENERAL)],
    ),
    error(
        "Incomplete request",
        "The sending half is shut down inside a payload.",
        &[],
        &[Connect(HOME), Send(1, "MESSAGE\r\n{\"username\": "), End(1)],
    ),
    error(
        "Request timed out",
        "A request that is never complete, and two minutes that pass at once.",
        &[],
        &[Connect(HOME), Send(1, "MESSAGE\r\n{\"username\": \"user1\""), Skip(121_000)],
    ),
    error(
        "Channel not found",
        "A message to a channel that nobody has hosted.",
        &[],
        &[Connect(HOME), Send(1, HELLO_GAMING), Send(1, HELLO)],
    ),
    error(
        "Channel already exists",
        "Somebody else hosts a channel of the same name at another address.",
        &[],
        &[Connect(FRIEND), Connect(STRANGER), Send(1, HOST_FRIEND), Send(2, HOST_STRANGER), Send(2, "LIST\r\n")],
    ),
    error(
        "Channel hosted elsewhere",
        "A message and a JOIN to a channel that lives at its peer.",
        &[],
        &[Connect(FRIEND), Connect(STRANGER), Send(1, HOST_FRIEND), Send(2, HELLO_GENERAL), Send(2, JOIN)],
    ),
    error(
        "Not the channel's host",
        "Somebody else wants a channel removed; then its host does.",
        &[],
        &[Connect(FRIEND), Connect(STRANGER), Send(1, HOST_FRIEND), Send(2, UNHOST), Send(1, UNHOST)],
    ),
    error(
        "Not allowed",
        "A client without address rights wants to host a channel, and to remove another's.",
        &[],
        &[
            ConnectWithoutRights,
            Connect(FRIEND),
            Send(1, HOST),
            Send(2, HOST_FRIEND),
            Send(1, UNHOST),
            Send(1, "LIST\r\n"),
        ],
    ),
    error("Already joined", "The same JOIN twice.", &[], &[Connect(HOME), Send(1, HOST), Send(1, JOIN), Send(1, JOIN)]),
    error("Not joined", "LEAVE without JOIN.", &[], &[Connect(HOME), Send(1, HOST), Send(1, LEAVE)]),
    error(
        "Limit reached",
        "A second JOIN where a connection may join one channel, and a third channel where the list holds two.",
        &[("max_joins", "1"), ("max_channels", "2")],
        &[
            Connect(HOME),
            Send(1, HOST),
            Send(1, HOST_NEWS),
            Send(1, JOIN),
            Send(1, JOIN_NEWS),
            Send(1, "HOST\r\n{\"channel_name\": \"gaming\", \"peer_server_ip\": \"::1\", \"peer_server_port\": 22236}"),
        ],
    ),
    error(
        "Connection not found",
        "The operator ends a connection that there is not.",
        &[],
        &[Operator, Send(1, "DISCONNECT\r\n{\"connection\": 7}")],
    ),
    error(
        "Message id reused",
        "A message is sent again under its id, and is stored once; then another one under the same id.",
        &[],
        &[
            Connect(HOME),
            Send(1, HOST),
            Send(1, HELLO_WITH_ID),
            Send(1, HELLO_WITH_ID),
            Send(1, BYE_WITH_ID),
            Send(1, HISTORY),
        ],
    ),
    error(
        "Authentication failed",
        "A wrong password, an account that there is not, and a wrong token: one answer for all.",
        &[],
        &[Connect(HOME), Send(1, AUTH_WRONG), Send(1, AUTH_NOBODY), Send(1, AUTH_WRONG_TOKEN), Send(1, AUTH)],
    ),
    error(
        "Already authenticated",
        "A connection is the account's until it ends.",
        &[],
        &[Connect(HOME), Send(1, AUTH), Send(1, AUTH_TOKEN)],
    ),
    error(
        "Too many attempts",
        "Six wrong passwords, of which the last is not looked at; after 10 seconds the right one is.",
        &[],
        &[Connect(STRANGER), Send(1, ASK_NOTICES), Often(1, 6, AUTH_WRONG), Skip(10_000), Send(1, AUTH)],
    ),
    error(
        "Encryption required",
        "A client sends plain text where only TLS is accepted.",
        &[("requires_tls", "1")],
        &[Connect(HOME), Send(1, "LIST\r\n")],
    ),
    error(
        "Slow mode",
        "The host lets its guests write every ten seconds, and one is in a hurry. After HELLO it is told how long to wait.",
        &[],
        &[
            Connect(HOME),
            Connect(FRIEND),
            Send(1, HOST),
            Send(1, SLOW_MODE),
            Send(2, HELLO),
            Send(2, HELLO),
            Send(2, ASK_NOTICES),
            Send(2, HELLO),
            Skip(10_000),
            Send(2, HELLO),
        ],
    ),
    error(
        "Message not found",
        "The host deletes a message, again, and then one that there is not.",
        &[],
        &[
            Connect(HOME),
            Send(1, HOST),
            Send(1, JOIN),
            Send(1, HELLO),
            Send(1, DELETE),
            Send(1, DELETE),
            Send(1, "DELETE\r\n{\"channel_name\": \"general\", \"id\": 7}"),
            Send(1, HISTORY),
        ],
    ),
    error(
        "Database connection failed",
        "The store fails, and comes back: what failed was not stored.",
        &[],
        &[
            Connect(HOME),
            Send(1, HOST),
            Store(StoreMode::Fails),
            Send(1, HELLO),
            Send(1, HISTORY),
            Store(StoreMode::Works),
            Send(1, HELLO),
            Send(1, HISTORY),
        ],
    ),
    error(
        "Slow consumer",
        "One joins and reads nothing more, while another talks; then it reads. Both limits were made small.",
        &[("max_pushed", "1000"), ("network", "1000")],
        &[
            Connect(HOME),
            Connect(FRIEND),
            Send(1, HOST),
            Send(1, JOIN),
            Reads(1, false),
            Often(2, 20, HELLO),
            Reads(1, true),
        ],
    ),
    error(
        "Channel removed",
        "A channel of ten seconds is joined, and its lease ends.",
        &[],
        &[Connect(HOME), Connect(FRIEND), Send(1, HOST_LEASE), Send(2, JOIN), Send(1, HELLO), Skip(11_000)],
    ),
    error(
        "Disconnected",
        "The operator lists the connections and ends one. It is told, since it asked for notices.",
        &[],
        &[
            Connect(FRIEND),
            Operator,
            Send(1, "HELLO\r\n{\"notices\": true}"),
            Send(2, "CONNECTIONS\r\n{}"),
            Send(2, "DISCONNECT\r\n{\"connection\": 1}"),
        ],
    ),
    error(
        "Access revoked",
        "A channel is joined, and then hidden from guests. One reader asked for notices and is told; the other is not told.",
        &[],
        &[
            Connect(HOME),
            Connect(FRIEND),
            Send(1, HOST_STAFF),
            Send(1, ASK_NOTICES),
            Send(1, JOIN_STAFF),
            Send(2, JOIN_STAFF),
            Set(&[("hides_staff", "1")]),
            Connect(STRANGER),
            Send(3, JOIN_STAFF),
            Send(3, "LIST\r\n"),
        ],
    ),
    error(
        "Server busy",
        "A second connection where one is served.",
        &[("max_connections", "1")],
        &[Connect(HOME), Connect(FRIEND), Send(1, "LIST\r\n")],
    ),
    error(
        "Server stopping",
        "The server stops. One client asked for notices and is told when to come back; the other is not told.",
        &[],
        &[Connect(HOME), Connect(FRIEND), Send(1, ASK_NOTICES), Send(2, "LIST\r\n"), Stop],
    ),
    play(
        "Asking first",
        "A client asks what the server can do, and its limits, before its first request; then wrongly.",
        &[Connect(FRIEND), Send(1, "HELLO\r\n{\"notices\": true}LIST\r\n"), Send(1, "HELLO\r\n{\"notices\": \"yes\"}")],
    ),
    play(
        "Who is here",
        "Two join under a name. One asks who is there, and a notice tells it when the other leaves.",
        &[
            Connect(HOME),
            Connect(FRIEND),
            Send(1, HOST),
            Send(1, ASK_NOTICES),
            Send(1, "JOIN\r\n{\"channel_name\": \"general\", \"username\": \"ann\"}"),
            Send(2, "JOIN\r\n{\"channel_name\": \"general\", \"username\": \"bob\"}"),
            Send(1, WHO),
            Skip(2000),
            Send(2, LEAVE),
            Skip(2000),
            Send(1, WHO),
        ],
    ),
    play(
        "Muted and banned",
        "The host mutes the sender of a message for a minute, takes that back, and bans an address: its join ends.",
        &[
            Connect(HOME),
            Connect(FRIEND),
            Send(1, HOST),
            Send(2, ASK_NOTICES),
            Send(2, JOIN),
            Send(2, HELLO),
            Send(1, MUTE),
            Send(2, HELLO),
            Send(1, UNMUTE),
            Send(2, HELLO),
            Send(1, BAN),
            Send(1, SETTINGS),
        ],
    ),
    play(
        "A list in pages",
        "Three channels, two on a page; then those whose names contain a text, in any case.",
        &[
            Connect(HOME),
            Send(1, HOST),
            Send(1, HOST_NEWS),
            Send(1, HOST_GAMES),
            Send(1, HELLO_GENERAL),
            Send(1, "CHANNELS\r\n{\"limit\": 2}"),
            Send(1, "CHANNELS\r\n{\"after\": 2, \"limit\": 2}"),
            Send(1, "CHANNELS\r\n{\"contains\": \"NEW\"}"),
        ],
    ),
    play(
        "A busy address",
        "The third connection from an address that may have two, and one from elsewhere.",
        &[
            Set(&[("address_connections", "2")]),
            Connect(HOME),
            Connect(HOME),
            Connect(HOME),
            Connect(FRIEND),
            Send(1, "LIST\r\n"),
            Send(4, "LIST\r\n"),
        ],
    ),
    play(
        "Pipelining",
        "Several requests in one write: the answers come in the order of the requests.",
        &[
            Connect(HOME),
            Send(
                1,
                "LIST\r\nHOST\r\n{\"channel_name\": \"general\", \"peer_server_ip\": \"127.0.0.1\", \"peer_server_port\": \
             22236}LIST\r\nMESSAGE\r\n{\"username\": \"user1\", \"message_content\": \"Hello, World!\"}PING\r\nLIST\r\n",
            ),
        ],
    ),
    play(
        "A slow request",
        "One request in many writes: TCP has no messages.",
        &[
            Connect(HOME),
            Send(1, HOST),
            Drip(1, 400, &["MES", "SAGE", "\r", "\n{\"user", "name\": \"user1\", \"message_con", "tent\": \"Hello\"}"]),
        ],
    ),
    play(
        "A store that stalls",
        "Nothing is answered until it moves; LIST, which needs no store, waits its turn.",
        &[
            Connect(HOME),
            Send(1, HOST),
            Store(StoreMode::Stalls),
            Send(1, HELLO),
            Send(1, "LIST\r\n"),
            Skip(5_000),
            Store(StoreMode::Works),
        ],
    ),
    play(
        "A commit of unknown outcome",
        "SERVER_ERROR means not known to be stored: here it was.",
        &[Connect(HOME), Send(1, HOST), Store(StoreMode::FailsOnceButKeeps), Send(1, HELLO), Send(1, HISTORY)],
    ),
    play(
        "Sending again",
        "The same commit of unknown outcome, and a message with an id: sent again, it has its answer and is stored once.",
        &[
            Connect(HOME),
            Send(1, HOST),
            Store(StoreMode::FailsOnceButKeeps),
            Send(1, HELLO_WITH_ID),
            Send(1, HELLO_WITH_ID),
            Send(1, HISTORY),
        ],
    ),
    play(
        "Coming back",
        "One joins, leaves with the channel going on, and comes back without missing anything.",
        &[
            Connect(HOME),
            Connect(FRIEND),
            Send(1, HOST),
            Send(2, JOIN),
            Send(1, HELLO),
            Send(2, LEAVE),
            Often(1, 3, HELLO),
            Send(2, "JOIN\r\n{\"channel_name\": \"general\", \"after\": 1}"),
            Send(1, HELLO),
        ],
    ),
];

const fn play(name: &'static str, about: &'static str, acts: &'static [Act]) -> Scenario {
    Scenario { name, about, is_error: false, settings: &[], acts }
}

const fn error(
    name: &'static str,
    about: &'static str,
    settings: &'static [(&'static str, &'static str)],
    acts: &'static [Act],
) -> Scenario {
    Scenario { name, about, is_error: true, settings, acts }
}

/// Returns all scenarios.
#[must_use]
pub const fn scenarios() -> &'static [Scenario] {
    SCENARIOS
}

impl Scenario {
    /// Returns the scenario of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name).copied()
    }

    /// Returns the settings of its sandbox, as they would be typed, beside the seed.
    #[must_use]
    pub fn typed(&self) -> BTreeMap<String, String> {
        self.settings.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect()
    }

    /// Plays it in a sandbox of its own, which can then be played with.
    #[must_use]
    pub fn play(&self, seed: u64, wall: i64) -> Sandbox {
        let settings = Settings::read(&self.typed(), wall).unwrap_or_default();
        let mut sandbox = Sandbox::new(Settings { seed, wall, ..settings });
        for act in self.acts {
            sandbox.act(*act);
            sandbox.run(sandbox.now() + PAUSE);
        }
        sandbox
    }
}

impl Sandbox {
    fn act(&mut self, act: Act) {
        match act {
            Connect(from) => {
                if let Ok(from) = from.parse::<IpAddr>() {
                    self.connect(from);
                }
            }
            ConnectWithoutRights => {
                self.connect_without_rights();
            }
            Operator => drop(self.connect_operator()),
            Send(client, text) => self.write(client, text),
            Often(client, times, text) => {
                for _ in 0..times {
                    self.write(client, text);
                    self.run(self.now() + PAUSE);
                }
            }
            Drip(client, wait, pieces) => {
                for piece in pieces {
                    self.write(client, piece);
                    self.push(client, Step::Wait(wait));
                }
                self.run(self.now() + wait * pieces.len() as u64);
            }
            End(client) => {
                self.push(client, Step::End);
            }
            Reads(client, reads) => self.set_reading(client, reads),
            Store(mode) => self.set_store(mode),
            Set(changed) => {
                let typed = changed.iter().map(|(name, value)| (String::from(*name), String::from(*value))).collect();
                self.reconfigure(Settings::read(&typed, 0).unwrap_or_default());
            }
            Stop => self.stop(),
            Skip(ms) => self.run(self.now() + ms),
        }
    }

    fn write(&mut self, client: u32, text: &str) {
        self.push(client, Step::Bytes(text.into()));
    }
}

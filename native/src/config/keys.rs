//! The keys of the configuration: the one table from which the file, the environment, the flags of `serve` and the
//! `config` commands derive.

use std::{collections::BTreeSet, fmt};

use chanwire_core::{
    Network,
    rights::{Pattern, Subject},
};

use super::{
    Advertised, Hosted, HttpAddress, MetricsAddress, http_host, rules,
    value::{Kind, Value},
};
use crate::{logging, server_address::ServerAddress, store, tls::Pin, unix_socket::ListenAddress};

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    /// The section and name, as in `limits.max_payload`.
    pub(crate) path: &'static str,
    /// The flag of `serve` without its dashes; none for a key that is [only in the file](Self::only_in_file).
    pub(crate) flag: &'static str,
    /// The name of the flag's value in its help.
    pub(crate) value_name: &'static str,
    /// The environment variable, where it is not the one that follows from the path.
    pub(crate) named_variable: Option<&'static str>,
    pub(crate) kind: Kind,
    /// Whether it has several values.
    pub(crate) is_list: bool,
    pub(crate) default: Fallback,
    /// The help of the flag.
    pub(crate) help: &'static str,
    /// The precedent of the default, or nothing.
    pub(crate) precedent: &'static str,
    pub(crate) applied: Applied,
    /// Whether its value is never shown.
    pub(crate) is_secret: bool,
    /// Whether it belongs to one of several sections, and so has neither a flag nor a variable.
    pub(crate) only_in_file: bool,
}

/// The value of a key that is not given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fallback {
    /// This value; of a list, these values with commas.
    Value(&'static str),
    /// An empty list.
    Empty,
    /// A value that is found at the start.
    Found(&'static str),
}

/// The time at which a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// At a reload.
    Live,
    /// At the next start.
    Restart,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "applied by a reload (SIGHUP)",
            Self::Restart => "needs a restart",
        })
    }
}

impl Key {
    /// Returns the section, which may be in another.
    pub(crate) fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// Returns the name within the section.
    pub(crate) fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }

    /// Returns the name of the environment variable.
    pub(crate) fn variable(&self) -> String {
        let derived = || format!("CHANWIRE_{}", self.path.replace('.', "_").to_uppercase());
        self.named_variable.map_or_else(derived, Into::into)
    }

    /// Returns the value of a key that is not given. `None`: it is found at the start.
    pub(crate) fn fallback(&self) -> Option<Value> {
        match self.default {
            Fallback::Value(text) if self.is_list => {
                text.split(',').map(|item| self.kind.parse(item).ok()).collect::<Option<_>>().map(Value::List)
            }
            Fallback::Value(text) => self.kind.parse(text).ok(),
            Fallback::Empty => Some(Value::List(Vec::new())),
            Fallback::Found(_) => None,
        }
    }
}

/// The keys that there are, and those that there were.
pub(crate) struct Table {
    pub(crate) keys: &'static [&'static Key],
    pub(crate) retired: &'static [Retired],
}

/// A key of an earlier version. It is accepted with a warning.
pub(crate) struct Retired {
    pub(crate) path: &'static str,
    /// The key that takes its value, if there is one.
    pub(crate) successor: Option<&'static str>,
}

/// The sections of which there may be several, as in `[[listener]]`.
pub(crate) const REPEATED: [&str; 2] = ["listener", "auth.rule"];

impl Table {
    pub(crate) fn find(&self, path: &str) -> Option<&'static Key> {
        self.keys.iter().copied().find(|key| key.path == path)
    }

    /// Returns the keys that have a flag and a variable.
    pub(crate) fn with_flags(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().copied().filter(|key| !key.only_in_file)
    }

    /// Returns the sections in the order of the table.
    pub(crate) fn sections(&self) -> Vec<&'static str> {
        let retired = self.retired.iter().filter_map(|retired| retired.path.rsplit_once('.'));
        let mut sections: Vec<&str> = self.keys.iter().map(|key| key.section()).collect();
        sections.extend(retired.map(|(section, _)| section));
        let mut seen = BTreeSet::new();
        sections.retain(|section| seen.insert(*section));
        sections
    }
}

/// The table of `chanwire serve`.
pub(crate) static TABLE: Table = Table { keys: KEYS, retired: &[] };

static KEYS: &[&Key] = &[
    &LISTENER_ADDRESS,
    &LISTENER_PROXY,
    &LISTENER_PROXY_FROM,
    &LISTENER_ADDRESS_RIGHTS,
    &LISTENER_TLS,
    &TLS_CERTIFICATE,
    &TLS_KEY,
    &TLS_MODE,
    &HOSTING_CHANNELS,
    &HOSTING_TRACKERS,
    &HOSTING_TRACKER_CA,
    &HOSTING_TRACKER_PINS,
    &HOSTING_LEASE,
    &HOSTING_ADVERTISE,
    &HTTP_LISTEN,
    &HTTP_HOSTS,
    &HTTP_TRUSTED_PROXIES,
    &HTTP_TLS,
    &METRICS_LISTEN,
    &METRICS_HOSTS,
    &STORE_DATA_DIR,
    &STORE_RETAIN_COUNT,
    &STORE_RETAIN_AGE,
    &STORE_RETAIN_BYTES,
    &STORE_MAX,
    &STORE_MIN_FREE,
    &RETRY_WINDOW,
    &RETRY_MAX_KEYS,
    &LIMITS_MAX_PAYLOAD,
    &LIMITS_MAX_CONNECTIONS,
    &LIMITS_MAX_CHANNELS,
    &LIMITS_MAX_NAMES,
    &LIMITS_FORGET_NAMES,
    &LIMITS_MAX_JOINS,
    &LIMITS_MAX_PUSHED,
    &LIMITS_REQUEST_TIMEOUT,
    &LIMITS_WRITE_TIMEOUT,
    &LIMITS_UNITS,
    &LIMITS_BURST,
    &LIMITS_ADDRESS_UNITS,
    &LIMITS_ADDRESS_BURST,
    &LIMITS_ADDRESS_CONNECTIONS,
    &LIMITS_ADDRESS_CONNECTS,
    &LIMITS_ADDRESS_CONNECTS_BURST,
    &LIMITS_ADDRESS_CHANNELS,
    &LIMITS_ACCOUNT_CHANNELS,
    &LIMITS_EXEMPT,
    &LIMITS_DENY,
    &AUTH_GUESTS,
    &AUTH_ALLOW_PLAINTEXT,
    &AUTH_RULE_CHANNELS,
    &AUTH_RULE_READ,
    &AUTH_RULE_WRITE,
    &AUTH_RULE_HOST,
    &DRAIN_DELAY,
    &DRAIN_RATE,
    &DRAIN_TIMEOUT,
    &LOG_LEVEL,
    &LOG_FORMAT,
];

/// The parts that most keys have in common.
pub(crate) const KEY: Key = Key {
    path: "",
    flag: "",
    value_name: "N",
    named_variable: None,
    kind: Kind::Path,
    is_list: false,
    default: Fallback::Empty,
    help: "",
    precedent: "",
    applied: Applied::Restart,
    is_secret: false,
    only_in_file: false,
};

const fn number(min: u64, max: u64) -> Kind {
    Kind::Number { min, max, unlimited: false }
}

const NETWORK: Kind = Kind::Text {
    expected: "an IP address, or a network such as \"192.0.2.0/24\"",
    check: |text| text.parse::<Network>().map(drop).map_err(|error| error.to_string()),
};

pub(crate) static LISTENER_ADDRESS: Key = Key {
    path: "listener.address",
    flag: "listen",
    value_name: "ADDR",
    kind: Kind::Text { expected: ListenAddress::EXPECTED, check: |text| text.parse::<ListenAddress>().map(drop) },
    is_list: true,
    default: Fallback::Value("127.0.0.1:22236"),
    help: "Listen here (IP:PORT, or unix:/PATH for a Unix socket) for every channel; may be given more than once",
    precedent: "Redis listens on loopback until it is told otherwise",
    ..KEY
};

pub(crate) static LISTENER_PROXY: Key = Key {
    path: "listener.proxy",
    kind: Kind::Bool,
    default: Fallback::Value("false"),
    help: "Take each client's address from the PROXY header (version 1 or 2) with which its connection must begin",
    precedent: "nginx and HAProxy read the header where they are told to",
    only_in_file: true,
    ..KEY
};

pub(crate) static LISTENER_PROXY_FROM: Key = Key {
    path: "listener.proxy_from",
    kind: NETWORK,
    is_list: true,
    help: "The networks of the proxies, such as 10.0.0.0/8; connections from elsewhere are closed",
    only_in_file: true,
    ..KEY
};

pub(crate) static LISTENER_ADDRESS_RIGHTS: Key = Key {
    path: "listener.address_rights",
    kind: Kind::Bool,
    default: Fallback::Value("true"),
    help: "Let clients of this listener host channels, each by its address; without, they are the host of none",
    precedent: "the protocol",
    only_in_file: true,
    ..KEY
};

pub(crate) static LISTENER_TLS: Key = Key {
    path: "listener.tls",
    kind: Kind::Choice(&["off", "optional", "required"]),
    default: Fallback::Found("that of tls.mode"),
    help: "Take TLS from clients that begin with it and plain text from the others, TLS alone, or plain text alone",
    precedent: "one port for old and new clients, since a client speaks first",
    only_in_file: true,
    ..KEY
};

pub(crate) static TLS_CERTIFICATE: Key = Key {
    path: "tls.certificate",
    flag: "tls-certificate",
    value_name: "FILE",
    kind: Kind::File,
    default: Fallback::Found("none: TLS is off"),
    help: "Serve TLS with the certificate in this file (PEM), followed by the others of its chain; read again at a \
           reload and when it changes",
    ..KEY
};

pub(crate) static TLS_KEY: Key = Key {
    path: "tls.key",
    flag: "tls-key",
    value_name: "FILE",
    kind: Kind::File,
    default: Fallback::Found("none: TLS is off"),
    help: "The certificate's key (PEM), which others must not be able to read",
    ..KEY
};

pub(crate) static TLS_MODE: Key = Key {
    path: "tls.mode",
    flag: "tls-mode",
    value_name: "MODE",
    kind: Kind::Choice(&["off", "optional", "required"]),
    default: Fallback::Found("\"optional\" with a certificate, \"off\" without"),
    help: "The `tls` of each listener that has none of its own, also those of --listen and --host: TLS from clients that \
           begin with it and plain text from the others, TLS alone, or plain text alone",
    ..KEY
};

pub(crate) static HOSTING_CHANNELS: Key = Key {
    path: "hosting.channels",
    flag: "host",
    value_name: "NAME=ADDR[@BIND]",
    kind: Kind::Text { expected: "NAME=ADDR or NAME=ADDR@BIND", check: |text| text.parse::<Hosted>().map(drop) },
    is_list: true,
    help: "Host a channel while this process runs, listed at ADDR; listen for it at BIND, or at ADDR; may be given more \
           than once",
    ..KEY
};

pub(crate) static HOSTING_TRACKERS: Key = Key {
    path: "hosting.trackers",
    flag: "tracker",
    value_name: "ADDR",
    kind: Kind::Text {
        expected: "HOST:PORT or tls://HOST:PORT",
        check: |text| text.parse::<ServerAddress>().map(drop).map_err(|error| error.to_string()),
    },
    is_list: true,
    help: "Keep the channels of --host on this server's list as well (HOST:PORT, or tls://HOST:PORT); may be \
           given more than once",
    ..KEY
};

pub(crate) static HOSTING_TRACKER_CA: Key = Key {
    path: "hosting.tracker_ca",
    flag: "tls-ca",
    value_name: "FILE",
    named_variable: Some("CHANWIRE_TLS_CA"),
    kind: Kind::File,
    default: Fallback::Found("the system's certificate authorities"),
    help: "Trust a `tls://` tracker by the certificate authorities in this PEM file, instead of the system's",
    ..KEY
};

pub(crate) static HOSTING_TRACKER_PINS: Key = Key {
    path: "hosting.tracker_pins",
    flag: "tls-pin",
    value_name: "PIN",
    named_variable: Some("CHANWIRE_TLS_PIN"),
    kind: Kind::Text {
        expected: "sha256/BASE64, as `chanwire tls show` prints it",
        check: |text| text.parse::<Pin>().map(drop).map_err(|error| error.to_string()),
    },
    is_list: true,
    help: "Trust a `tls://` tracker that has this key (sha256/BASE64, see `chanwire tls show`), whatever its certificate \
           says, and others only by --tls-ca; may be given more than once",
    ..KEY
};

pub(crate) static HOSTING_LEASE: Key = Key {
    path: "hosting.lease",
    flag: "lease",
    value_name: "SECONDS",
    kind: number(10, 86_400),
    default: Fallback::Value("300"),
    help: "Seconds for which a tracker lists them after it last heard of them, 10 to 86400",
    ..KEY
};

pub(crate) static HOSTING_ADVERTISE: Key = Key {
    path: "hosting.advertise",
    flag: "advertise",
    value_name: "ADDR",
    kind: Kind::Text { expected: "HOST or HOST:PORT", check: |text| text.parse::<Advertised>().map(drop) },
    is_list: true,
    help: "An address (HOST or HOST:PORT) at which others reach this server, beside those it listens at: a channel \
           registered there lives here; may be given more than once",
    ..KEY
};

pub(crate) static HTTP_LISTEN: Key = Key {
    path: "http.listen",
    flag: "http",
    value_name: "ADDR",
    kind: Kind::Text { expected: "IP:PORT, or \"off\"", check: |text| text.parse::<HttpAddress>().map(drop) },
    default: Fallback::Value("127.0.0.1:22280"),
    help: "Serve the inspector's page here, or `off`",
    ..KEY
};

pub(crate) static HTTP_HOSTS: Key = Key {
    path: "http.hosts",
    flag: "http-host",
    value_name: "HOST[:PORT]",
    kind: Kind::Text { expected: "HOST or HOST:PORT", check: |text| http_host(text).map(drop) },
    is_list: true,
    help: "Another name by which the page may be asked for, beside those of loopback (127.0.0.1, ::1, localhost); may be \
           given more than once",
    ..KEY
};

pub(crate) static HTTP_TRUSTED_PROXIES: Key = Key {
    path: "http.trusted_proxies",
    flag: "http-trusted-proxy",
    value_name: "NETWORK",
    kind: NETWORK,
    is_list: true,
    help: "Believe the header X-Forwarded-For of proxies in this network, such as 10.0.0.0/8, for the page's log; may be \
           given more than once",
    ..KEY
};

pub(crate) static HTTP_TLS: Key = Key {
    path: "http.tls",
    flag: "http-tls",
    value_name: "MODE",
    kind: Kind::Choice(&["off", "required"]),
    default: Fallback::Value("off"),
    help: "Serve the page by TLS alone (`required`), with the certificate of --tls-certificate, or in plain text alone \
           (`off`)",
    precedent: "the page is on loopback, and browsers warn of a certificate that no authority has signed",
    ..KEY
};

pub(crate) static METRICS_LISTEN: Key = Key {
    path: "metrics.listen",
    flag: "metrics",
    value_name: "ADDR",
    kind: Kind::Text { expected: "IP:PORT, or \"off\"", check: |text| text.parse::<MetricsAddress>().map(drop) },
    default: Fallback::Value(MetricsAddress::DEFAULT),
    help: "Serve metrics and health checks here, or `off`",
    ..KEY
};

pub(crate) static METRICS_HOSTS: Key = Key {
    path: "metrics.hosts",
    flag: "metrics-host",
    value_name: "HOST[:PORT]",
    kind: Kind::Text { expected: "HOST or HOST:PORT", check: |text| http_host(text).map(drop) },
    is_list: true,
    help: "A name by which metrics may be asked for, beside IP addresses and localhost; may be given more than once",
    ..KEY
};

pub(crate) static STORE_DATA_DIR: Key = Key {
    path: "store.data_dir",
    flag: "data-dir",
    value_name: "DIR",
    named_variable: Some("CHANWIRE_DATA_DIR"),
    kind: Kind::Path,
    default: Fallback::Found("$XDG_DATA_HOME/chanwire or ~/.local/share/chanwire"),
    help: "Keep messages and channels here",
    precedent: "the XDG base directory rule",
    ..KEY
};

pub(crate) static STORE_RETAIN_COUNT: Key = Key {
    path: "store.retain_count",
    flag: "retain-count",
    kind: Kind::Number { min: 1, max: 1 << 53, unlimited: true },
    default: Fallback::Value("unlimited"),
    help: "Keep at most this many messages of each channel; older ones are dropped",
    precedent: "a NATS stream has no limit of messages",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static STORE_RETAIN_AGE: Key = Key {
    path: "store.retain_age",
    flag: "retain-age",
    value_name: "TIME",
    kind: Kind::Time { unlimited: true },
    default: Fallback::Value("unlimited"),
    help: "Keep messages this long, such as 90s, 30m, 12h or 30d",
    precedent: "a NATS stream has no limit of age",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static STORE_RETAIN_BYTES: Key = Key {
    path: "store.retain_bytes",
    flag: "retain-bytes",
    value_name: "SIZE",
    kind: Kind::Size { min: 1 },
    default: Fallback::Value("1G"),
    help: "Keep at most this many bytes of each channel's messages, such as 512K, 100M or 2G, or `unlimited`",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static STORE_MAX: Key = Key {
    path: "store.max",
    flag: "store-max",
    value_name: "SIZE",
    kind: Kind::Size { min: store::LEAST },
    default: Fallback::Found("half of the space that is free at the start"),
    help: "Let the store take at most this many bytes over all channels, such as 512M or 20G, or `unlimited`; beyond \
           that the oldest messages of the largest channels are dropped",
    precedent: "JetStream takes up to three quarters of the free space",
    ..KEY
};

pub(crate) static STORE_MIN_FREE: Key = Key {
    path: "store.min_free",
    flag: "store-min-free",
    value_name: "SIZE",
    kind: Kind::Size { min: 1 },
    default: Fallback::Value("256M"),
    help: "Store nothing while fewer bytes than this are free on the file system",
    ..KEY
};

pub(crate) static RETRY_WINDOW: Key = Key {
    path: "retry.window",
    flag: "retry-window",
    value_name: "TIME",
    kind: Kind::Time { unlimited: false },
    default: Fallback::Value("1h"),
    help: "Remember for this time the ids under which clients sent messages, such as 10m or 1h: a message that is sent \
           again is stored once",
    precedent: "JetStream remembers ids for 2 minutes, Redis streams for 100 s to a day",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static RETRY_MAX_KEYS: Key = Key {
    path: "retry.max_keys",
    flag: "retry-max-keys",
    kind: number(1, 50_000_000),
    default: Fallback::Value("500000"),
    help: "Remember at most this many of these ids; beyond it, the oldest are dropped",
    precedent: "140 messages a second for an hour; each takes about 200 bytes of memory",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_MAX_PAYLOAD: Key = Key {
    path: "limits.max_payload",
    flag: "max-payload",
    // Every connection may keep a payload in memory.
    kind: number(256, 16 * 1024 * 1024),
    default: Fallback::Value("65536"),
    help: "Refuse a request with a payload of more bytes than this",
    precedent: "the protocol",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_MAX_CONNECTIONS: Key = Key {
    path: "limits.max_connections",
    flag: "max-connections",
    kind: number(1, 1_000_000),
    default: Fallback::Value("10000"),
    help: "Serve at most this many connections at one time",
    precedent: "Redis's maxclients",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_MAX_CHANNELS: Key = Key {
    path: "limits.max_channels",
    flag: "max-channels",
    kind: number(1, 10_000_000),
    default: Fallback::Value("100000"),
    help: "List at most this many channels",
    precedent: "the protocol; large IRC networks list some tens of thousands",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_MAX_NAMES: Key = Key {
    path: "limits.max_names",
    flag: "max-names",
    kind: number(1, 30_000_000),
    default: Fallback::Value("1000000"),
    help: "Know at most this many names: of listed channels, and of those that had messages or whose lease has just \
           ended",
    precedent: "ten times what is listed",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_FORGET_NAMES: Key = Key {
    path: "limits.forget_names",
    flag: "forget-names",
    value_name: "TIME",
    kind: Kind::Time { unlimited: false },
    default: Fallback::Value("30d"),
    help: "Forget a name after this time in which it was neither listed nor kept a message, such as 12h or 30d; its ids \
           begin anew then",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_MAX_JOINS: Key = Key {
    path: "limits.max_joins",
    flag: "max-joins",
    kind: number(1, 100_000),
    default: Fallback::Value("1000"),
    help: "Let one connection join at most this many channels",
    precedent: "the protocol; IRC networks allow a client 10 to 250",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_MAX_PUSHED: Key = Key {
    path: "limits.max_pushed",
    flag: "max-pushed",
    kind: number(1024, u32::MAX as u64),
    default: Fallback::Value("1048576"),
    help: "Close a connection as too slow that leaves more than this many bytes of new messages unread",
    precedent: "the protocol; Redis drops a subscriber at 8 to 32 MiB, NATS at 64 MiB",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_REQUEST_TIMEOUT: Key = Key {
    path: "limits.request_timeout",
    flag: "request-timeout",
    value_name: "SECONDS",
    kind: number(1, 86_400),
    default: Fallback::Value("120"),
    help: "Refuse a request that takes longer than this from its first byte to its last, in seconds",
    precedent: "the protocol; nginx gives a request's header 60 s",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_WRITE_TIMEOUT: Key = Key {
    path: "limits.write_timeout",
    flag: "write-timeout",
    value_name: "SECONDS",
    kind: number(1, 86_400),
    default: Fallback::Value("10"),
    help: "Reset a connection whose peer reads nothing for this long while bytes wait for it, in seconds",
    precedent: "the protocol; NATS resets a client that takes nothing for 10 s",
    applied: Applied::Live,
    ..KEY
};

/// The number of units, of connections or of channels that a limit of an address may have.
const MANY: Kind = number(1, 1_000_000);

pub(crate) static LIMITS_UNITS: Key = Key {
    path: "limits.units",
    flag: "units",
    kind: MANY,
    default: Fallback::Value("50"),
    help: "Give a connection this many units a second: a MESSAGE costs 1, a HISTORY 5; beyond them its requests wait",
    precedent: "IRC servers allow people at keyboards 1 to 2 lines a second",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_BURST: Key = Key {
    path: "limits.burst",
    flag: "burst",
    kind: MANY,
    default: Fallback::Value("500"),
    help: "Let a connection save up this many units",
    precedent: "a client's window of unanswered requests, several times over",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_ADDRESS_UNITS: Key = Key {
    path: "limits.address_units",
    flag: "address-units",
    kind: MANY,
    default: Fallback::Value("200"),
    help: "Give all connections from one address this many units a second; an address is an IPv4 address or the /64 \
           network of an IPv6 address",
    precedent: "four connections at their full rate",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_ADDRESS_BURST: Key = Key {
    path: "limits.address_burst",
    flag: "address-burst",
    kind: MANY,
    default: Fallback::Value("2000"),
    help: "Let an address save up this many units",
    precedent: "four connections' bursts",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_ADDRESS_CONNECTIONS: Key = Key {
    path: "limits.address_connections",
    flag: "address-connections",
    kind: MANY,
    default: Fallback::Value("256"),
    help: "Serve at most this many connections from one address at one time",
    precedent: "a school or an office behind one address; IRC networks allow 3 to 16",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_ADDRESS_CONNECTS: Key = Key {
    path: "limits.address_connects",
    flag: "address-connects",
    kind: MANY,
    default: Fallback::Value("20"),
    help: "Accept at most this many connections a second from one address",
    precedent: "IRC networks allow 10 to 40 in 10 minutes",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_ADDRESS_CONNECTS_BURST: Key = Key {
    path: "limits.address_connects_burst",
    flag: "address-connects-burst",
    kind: MANY,
    default: Fallback::Value("100"),
    help: "Accept this many connections from one address at once",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_ADDRESS_CHANNELS: Key = Key {
    path: "limits.address_channels",
    flag: "address-channels",
    kind: MANY,
    default: Fallback::Value("100"),
    help: "List at most this many channels that were registered from one address",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_ACCOUNT_CHANNELS: Key = Key {
    path: "limits.account_channels",
    flag: "account-channels",
    kind: MANY,
    default: Fallback::Value("1000"),
    help: "Let one account own at most this many channels, listed or not; operators have no such limit",
    precedent: "the operator makes accounts, and a bot may host many channels",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_EXEMPT: Key = Key {
    path: "limits.exempt",
    flag: "exempt",
    value_name: "NETWORK",
    kind: NETWORK,
    is_list: true,
    default: Fallback::Value("127.0.0.0/8,::1"),
    help: "Apply no limit of addresses, and no rate, to this network instead of loopback, such as 192.0.2.0/24; may be \
           given more than once",
    precedent: "programs of the same machine",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LIMITS_DENY: Key = Key {
    path: "limits.deny",
    flag: "deny",
    value_name: "NETWORK",
    kind: NETWORK,
    is_list: true,
    help: "Close connections from this network at once, such as 192.0.2.0/24, also if it is exempt; may be given more \
           than once",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static AUTH_GUESTS: Key = Key {
    path: "auth.guests",
    flag: "guests",
    value_name: "RIGHTS",
    kind: Kind::Choice(&["all", "read", "none"]),
    default: Fallback::Value("all"),
    help: "Give clients that are not signed in these rights to the channels without a rule: all, to read, or none",
    precedent: "the protocol",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static AUTH_ALLOW_PLAINTEXT: Key = Key {
    path: "auth.allow_plaintext",
    flag: "allow-plaintext-auth",
    value_name: "BOOL",
    kind: Kind::Bool,
    default: Fallback::Value("false"),
    help: "Accept passwords and tokens over plain text from other machines, too, where others can read them on their way",
    precedent: "mail servers refuse plain-text logins",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static AUTH_RULE_CHANNELS: Key = Key {
    path: "auth.rule.channels",
    kind: Kind::Text { expected: "a pattern of channel names, such as \"staff-*\"", check: check_pattern },
    default: Fallback::Found("none: each rule needs it"),
    help: "The channels that the rule is for: `*` is any text; the first rule that matches a channel decides",
    applied: Applied::Live,
    only_in_file: true,
    ..KEY
};

/// A right of a rule.
const RIGHT: Key = Key {
    kind: Kind::Text {
        expected: "an account's name, \"@\" and a group's name, \"accounts\" for all of them, or \"guests\" for everybody",
        check: |text| {
            text.parse::<Subject>().map(drop).map_err(|_| {
            format!("{text:?} is no name of an account, or of a group with @ in front, and neither `accounts` nor `guests`")
        })
        },
    },
    is_list: true,
    default: Fallback::Found("operators only"),
    applied: Applied::Live,
    only_in_file: true,
    ..KEY
};

pub(crate) static AUTH_RULE_READ: Key = Key {
    path: "auth.rule.read",
    help: "Those who may see the channels in LIST, join them and read their messages; to others they do not exist",
    ..RIGHT
};

pub(crate) static AUTH_RULE_WRITE: Key =
    Key { path: "auth.rule.write", help: "Those of them who may send messages", ..RIGHT };

pub(crate) static AUTH_RULE_HOST: Key =
    Key { path: "auth.rule.host", help: "Those of them who may host the channels", ..RIGHT };

/// Checks that a pattern can match a channel's name.
fn check_pattern(text: &str) -> Result<(), String> {
    text.parse::<Pattern>().map_err(|error| error.to_string())?;
    if rules::can_match(text) { Ok(()) } else { Err(format!("no channel's name can match {text:?}")) }
}

pub(crate) static DRAIN_DELAY: Key = Key {
    path: "drain.delay",
    flag: "drain-delay",
    value_name: "SECONDS",
    kind: number(0, 3600),
    default: Fallback::Value("0"),
    help: "After the signal to stop, serve on and be not ready for this long, in seconds, so that a load balancer sends \
           no new connections",
    precedent: "without a load balancer nothing is gained by a wait",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static DRAIN_RATE: Key = Key {
    path: "drain.rate",
    flag: "drain-rate",
    kind: number(1, 1_000_000),
    default: Fallback::Value("2000"),
    help: "When the server stops, close this many connections per second of clients that asked for notices; more if \
           else not all were closed in half of the drain timeout",
    precedent: "the protocol: 10,000 clients in 5 s",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static DRAIN_TIMEOUT: Key = Key {
    path: "drain.timeout",
    flag: "drain-timeout",
    value_name: "SECONDS",
    kind: number(1, 3600),
    default: Fallback::Value("10"),
    help: "Stop within this time after the drain delay, in seconds: connections that are left after six tenths of it \
           are reset",
    precedent: "Docker kills a container 10 s after the signal",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LOG_LEVEL: Key = Key {
    path: "log.level",
    flag: "log",
    value_name: "LEVEL",
    kind: Kind::Text { expected: "error, warn, info, debug, trace or off", check: logging::check_filter },
    default: Fallback::Value("info"),
    help: "Log this and everything more severe on standard error: error, warn, info, debug or trace",
    applied: Applied::Live,
    ..KEY
};

pub(crate) static LOG_FORMAT: Key = Key {
    path: "log.format",
    flag: "log-format",
    value_name: "FORMAT",
    kind: Kind::Choice(&["text", "json"]),
    default: Fallback::Value("text"),
    help: "Format of the log",
    ..KEY
};

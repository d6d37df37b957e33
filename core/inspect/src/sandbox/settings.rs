//! The settings of a sandbox.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use chanwire_core::{
    AddressLimits, Limits, Rate,
    hub::HubLimits,
    rights::{Rights, Rule, Subject},
};
use serde::Serialize;

use crate::{Problem, typed::Form};

/// The settings of a sandbox, from its start to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Everything that is left to chance comes from it: delays, and where reads are cut.
    pub seed: u64,
    /// Wall time at the start, in seconds since 1970.
    pub wall: i64,
    /// Whether reads are cut anywhere, as TCP may.
    pub cut_reads: bool,
    /// The largest payload, in bytes.
    pub max_payload: usize,
    /// The longest time of a frame, in seconds.
    pub frame_timeout: u64,
    /// The longest time without reads by a client, in seconds.
    pub write_timeout: u64,
    /// The most bytes of pushes that a subscriber may leave unread.
    pub max_pushed: usize,
    /// The most channels that are listed.
    pub max_channels: usize,
    /// The most channels that a connection may join.
    pub max_joins: usize,
    /// The most connections that are served.
    pub max_connections: usize,
    /// The units of requests that come back to a connection each second; 0 for no rate.
    pub units: u32,
    /// The most units that a connection can use at once.
    pub burst: u32,
    /// The units that come back to all connections from an address together each second; 0 for no rate.
    pub address_units: u32,
    /// The most units that they can use at once.
    pub address_burst: u32,
    /// The most connections from an address.
    pub address_connections: usize,
    /// The connections that an address may make each second, and at once; 0 for any number.
    pub address_connects: u32,
    /// Whether channels whose names begin with `staff-` are hidden from guests.
    pub hides_staff: bool,
    /// Whether only TLS is accepted, which the clients of a sandbox do not speak.
    pub requires_tls: bool,
    /// Whether AUTH may come over plain text from another machine.
    pub plaintext_auth: bool,
    /// The most bytes that the network holds in each direction of a connection.
    pub network: usize,
}

/// One number of the settings, for a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its field.
    pub name: &'static str,
    /// A description in words.
    pub about: &'static str,
    /// The least that it can be.
    pub least: u64,
    /// The most that it can be.
    pub most: u64,
    /// The value where nothing is typed.
    pub default: u64,
}

/// More connections than this cannot be open.
pub(super) const MAX_CONNECTIONS: usize = 64;

const SETTINGS: [(Setting, Put); 19] = [
    setting("seed", "seed of delays and of where reads are cut", 0..=u32::MAX as u64, 1, |settings, to| {
        settings.seed = to;
    }),
    setting("cut_reads", "reads cut anywhere: 1, or whole: 0", 0..=1, 1, |settings, to| settings.cut_reads = to == 1),
    setting("max_payload", "largest payload, bytes", 1..=1 << 20, 65_536, |settings, to| {
        settings.max_payload = size(to);
    }),
    setting("frame_timeout", "time for a whole request, seconds", 1..=86_400, 120, |settings, to| {
        settings.frame_timeout = to;
    }),
    setting("write_timeout", "time that a client may take nothing, seconds", 1..=86_400, 10, |settings, to| {
        settings.write_timeout = to;
    }),
    setting("max_pushed", "pushes that a reader may leave unread, bytes", 0..=16 << 20, 1 << 20, |settings, to| {
        settings.max_pushed = size(to);
    }),
    setting("max_channels", "channels on the list", 0..=100_000, 100_000, |settings, to| {
        settings.max_channels = size(to);
    }),
    setting("max_joins", "channels that a connection may join", 0..=1000, 1000, |settings, to| {
        settings.max_joins = size(to);
    }),
    setting("max_connections", "connections that are served", 0..=MAX_CONNECTIONS as u64, 64, |settings, to| {
        settings.max_connections = size(to);
    }),
    setting(
        "units",
        "units of requests a second on a connection, or 0 for no rate",
        0..=1_000_000,
        0,
        |settings, to| {
            settings.units = number(to);
        },
    ),
    setting("burst", "units that a connection may use at once", 1..=1_000_000, 500, |settings, to| {
        settings.burst = number(to);
    }),
    setting(
        "address_units",
        "units a second of all connections from one address, or 0 for no rate",
        0..=1_000_000,
        0,
        |settings, to| {
            settings.address_units = number(to);
        },
    ),
    setting("address_burst", "units that they may use at once", 1..=1_000_000, 2000, |settings, to| {
        settings.address_burst = number(to);
    }),
    setting("address_connections", "connections from one address", 1..=MAX_CONNECTIONS as u64, 64, |settings, to| {
        settings.address_connections = size(to);
    }),
    setting(
        "address_connects",
        "connections a second from one address, or 0 for no limit",
        0..=1000,
        0,
        |settings, to| {
            settings.address_connects = number(to);
        },
    ),
    setting("hides_staff", "channels 'staff-…' hidden from guests: 1, or shown: 0", 0..=1, 0, |settings, to| {
        settings.hides_staff = to == 1;
    }),
    setting("requires_tls", "only TLS is accepted: 1, or plain text: 0", 0..=1, 0, |settings, to| {
        settings.requires_tls = to == 1;
    }),
    setting("plaintext_auth", "AUTH over plain text is accepted: 1, or refused: 0", 0..=1, 1, |settings, to| {
        settings.plaintext_auth = to == 1;
    }),
    setting("network", "bytes that the network holds in each direction", 1..=1 << 20, 65_536, |settings, to| {
        settings.network = size(to);
    }),
];

type Put = fn(&mut Settings, u64);

const fn setting(
    name: &'static str,
    about: &'static str,
    range: RangeInclusive<u64>,
    default: u64,
    put: Put,
) -> (Setting, Put) {
    (Setting { name, about, least: *range.start(), most: *range.end(), default }, put)
}

fn number(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Default for Settings {
    /// Returns the protocol's limits.
    fn default() -> Self {
        let mut settings = Self {
            seed: 0,
            wall: 0,
            cut_reads: false,
            max_payload: 0,
            frame_timeout: 0,
            write_timeout: 0,
            max_pushed: 0,
            max_channels: 0,
            max_joins: 0,
            max_connections: 0,
            units: 0,
            burst: 0,
            address_units: 0,
            address_burst: 0,
            address_connections: 0,
            address_connects: 0,
            hides_staff: false,
            requires_tls: false,
            plaintext_auth: false,
            network: 0,
        };
        for (setting, put) in SETTINGS {
            put(&mut settings, setting.default);
        }
        settings
    }
}

impl Settings {
    /// Returns all settings that are numbers.
    #[must_use]
    pub fn all() -> Vec<Setting> {
        SETTINGS.map(|(setting, _)| setting).into()
    }

    /// Reads settings as they were typed; an empty field keeps its default.
    ///
    /// # Errors
    ///
    /// The problem of each invalid field.
    pub fn read(typed: &BTreeMap<String, String>, wall: i64) -> Result<Self, Vec<Problem>> {
        let mut form = Form::new(typed);
        let mut settings = Self { wall, ..Self::default() };
        for (setting, put) in SETTINGS {
            if let Some(number) = form.number(setting.name, setting.least..=setting.most) {
                put(&mut settings, number);
            }
        }
        form.finish(settings)
    }

    pub(super) fn limits(&self) -> Limits {
        let mut limits = Limits::server();
        limits.max_payload = self.max_payload;
        limits.max_pushed = self.max_pushed;
        limits.frame_timeout = Duration::from_secs(self.frame_timeout);
        limits.write_timeout = Duration::from_secs(self.write_timeout);
        limits.accounts = true;
        limits.plaintext_auth = self.plaintext_auth;
        limits.retry_window = Some(self.hub_limits().retry_window);
        limits
    }

    /// Returns whether requests have a rate, of a connection or of an address.
    pub(super) const fn has_rate(&self) -> bool {
        self.units > 0 || self.address_units > 0
    }

    /// Returns the limits of addresses, of which none is exempt.
    pub(super) fn address_limits(&self) -> AddressLimits {
        let unlimited = Rate::new(u32::MAX, u32::MAX);
        let mut limits = AddressLimits::default();
        limits.exempt.clear();
        limits.max_connections = self.address_connections;
        for (limit, rate) in [
            (&mut limits.connection_rate, Rate::new(self.units, self.burst)),
            (&mut limits.address_rate, Rate::new(self.address_units, self.address_burst)),
            (&mut limits.connects, Rate::new(self.address_connects, self.address_connects)),
        ] {
            if let Some(rate) = rate.or(unlimited) {
                *limit = rate;
            }
        }
        limits
    }

    /// Returns the rights of clients. Only the operator and accounts see what is hidden.
    pub(super) fn rights(&self) -> Rights {
        let mut rights = Rights::default();
        if self.hides_staff
            && let Ok(channels) = "staff-*".parse()
        {
            let accounts = || vec![Subject::Accounts];
            rights.rules.push(Rule { channels, read: accounts(), write: accounts(), host: accounts() });
        }
        rights
    }

    pub(super) fn hub_limits(&self) -> HubLimits {
        let mut limits = HubLimits::default();
        limits.max_channels = self.max_channels;
        limits.max_joins = self.max_joins;
        limits
    }
}

//! The effective settings: flags over environment over file over defaults, checked as a whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use chanwire_core::{AddressLimits, Limits, Network, Rate, hub::HubLimits};

use super::{
    Config, HttpAddress, Listen, MetricsAddress, MetricsConfig, Size, default_data_dir, file,
    finding::{Finding, Origin, Place},
    keys::{
        DRAIN_DELAY, DRAIN_RATE, DRAIN_TIMEOUT, HOSTING_ADVERTISE, HOSTING_CHANNELS, HOSTING_LEASE, HOSTING_TRACKERS,
        HTTP_HOSTS, HTTP_LISTEN, HTTP_TRUSTED_PROXIES, Key, LIMITS_ADDRESS_BURST, LIMITS_ADDRESS_CHANNELS,
        LIMITS_ADDRESS_CONNECTIONS, LIMITS_ADDRESS_CONNECTS, LIMITS_ADDRESS_CONNECTS_BURST, LIMITS_ADDRESS_UNITS,
        LIMITS_BURST, LIMITS_DENY, LIMITS_EXEMPT, LIMITS_FORGET_NAMES, LIMITS_MAX_CHANNELS, LIMITS_MAX_CONNECTIONS,
        LIMITS_MAX_JOINS, LIMITS_MAX_NAMES, LIMITS_MAX_PAYLOAD, LIMITS_MAX_PUSHED, LIMITS_REQUEST_TIMEOUT,
        LIMITS_UNITS, LIMITS_WRITE_TIMEOUT, LISTENER_ADDRESS, LISTENER_ADDRESS_RIGHTS, LISTENER_PROXY,
        LISTENER_PROXY_FROM, LOG_FORMAT, LOG_LEVEL, METRICS_HOSTS, METRICS_LISTEN, STORE_DATA_DIR, STORE_MAX,
        STORE_MIN_FREE, STORE_RETAIN_AGE, STORE_RETAIN_BYTES, STORE_RETAIN_COUNT, TABLE, Table,
    },
    suggest,
    value::Value,
};
use crate::{
    config::Hosted,
    drain::DrainConfig,
    logging::LogFormat,
    store::{self, Retention},
};

/// Variables of this program that are no keys. The last is of its build, and cargo sets it for what it runs.
const OTHER_VARIABLES: [&str; 4] =
    ["CHANWIRE_CONFIG", "CHANWIRE_KEEP_ALIVE", "CHANWIRE_SERVER", "CHANWIRE_SQLITE_ADVICE"];

/// The sources of settings.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    /// The file, if one is used.
    pub(crate) file: Option<PathBuf>,
    /// The environment variables whose names begin with `CHANWIRE_`.
    pub(crate) variables: Vec<(String, OsString)>,
    /// The flags that were given.
    pub(crate) flags: Vec<(&'static Key, Value)>,
}

impl Sources {
    /// Returns these sources beside the process's environment.
    pub(crate) fn new(file: Option<PathBuf>, flags: Vec<(&'static Key, Value)>) -> Self {
        let ours = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        let ours = std::env::vars_os().filter_map(ours);
        let mut variables: Vec<_> = ours.filter(|(name, _)| name.starts_with("CHANWIRE_")).collect();
        variables.sort();
        Self { file, variables, flags }
    }

    /// Reads the file and puts everything together. Returns every fault where there is one.
    pub(crate) fn read(&self) -> Read {
        self.read_by(&TABLE)
    }

    pub(super) fn read_by(&self, table: &'static Table) -> Read {
        let mut settings = Settings::defaults(table);
        let mut findings = Vec::new();
        if let Some(path) = &self.file {
            let contents = file::read(table, path);
            settings.add_file(contents.given);
            findings = contents.findings;
        }
        for (name, value) in &self.variables {
            findings.extend(settings.add_variable(table, name, value));
        }
        for (key, value) in &self.flags {
            settings.set(key, value.clone(), Origin::Flag(key.flag), Vec::new());
        }
        findings.extend(settings.contradictions());
        findings.sort_by_key(Finding::order);
        Read { settings, findings }
    }
}

/// Settings, with everything that is wrong about them.
pub(crate) struct Read {
    settings: Settings,
    /// In the order of the file.
    pub(crate) findings: Vec<Finding>,
}

impl Read {
    /// Returns the settings with the warnings, or all findings if one of them is a fault.
    pub(crate) fn checked(self) -> Result<(Settings, Vec<Finding>), Vec<Finding>> {
        if self.findings.iter().any(Finding::is_fault) {
            Err(self.findings)
        } else {
            Ok((self.settings, self.findings))
        }
    }
}

/// The effective value of a key.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) key: &'static Key,
    /// `None`: it is found at the start.
    pub(crate) value: Option<Value>,
    pub(crate) origin: Origin,
    /// The places of the value's parts, if they are in a file.
    places: Vec<Place>,
}

impl Setting {
    /// Returns the origin of one of its values.
    pub(crate) fn origin_of(&self, index: usize) -> Origin {
        self.places.get(index).map_or_else(|| self.origin.clone(), |place| Origin::File(place.clone()))
    }
}

/// The effective value of every key.
#[derive(Clone, Debug)]
pub(crate) struct Settings(Vec<Setting>);

impl FromIterator<Setting> for Settings {
    fn from_iter<I: IntoIterator<Item = Setting>>(settings: I) -> Self {
        Self(settings.into_iter().collect())
    }
}

impl Settings {
    fn defaults(table: &'static Table) -> Self {
        let default =
            |key: &&'static Key| Setting { key, value: key.fallback(), origin: Origin::Default, places: Vec::new() };
        let mut settings = Self(table.keys.iter().map(default).collect());
        settings.leave_out_of_sections(1);
        settings
    }

    /// Returns the settings in the order of the table.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.0.iter()
    }

    /// Leaves out the keys that only sections have, in this number of sections.
    fn leave_out_of_sections(&mut self, count: usize) {
        for setting in self.0.iter_mut().filter(|setting| setting.key.only_in_file) {
            let value = Some(Value::List(vec![Value::Unset; count]));
            *setting = Setting { key: setting.key, value, origin: Origin::Default, places: Vec::new() };
        }
    }

    fn set(&mut self, key: &'static Key, value: Value, origin: Origin, places: Vec<Place>) {
        if key.path == LISTENER_ADDRESS.path && !matches!(origin, Origin::File(_)) {
            // They replace the listeners of the file.
            self.leave_out_of_sections(value.items().len());
        }
        if let Some(setting) = self.0.iter_mut().find(|setting| setting.key.path == key.path) {
            *setting = Setting { key, value: Some(value), origin, places };
        }
    }

    fn add_file(&mut self, given: Vec<file::Given>) {
        for file::Given { key, value, place, values } in given {
            self.set(key, value, Origin::File(place), values);
        }
    }

    fn add_variable(&mut self, table: &Table, name: &str, value: &OsString) -> Option<Finding> {
        let origin = Origin::Variable(name.into());
        let Some(key) = table.with_flags().find(|key| key.variable() == name) else {
            if OTHER_VARIABLES.contains(&name) {
                return None;
            }
            let suggestion = suggest::variable(table, name, &OTHER_VARIABLES);
            return Some(Finding::fault(origin, name, "is no variable of chanwire").warning().suggest(suggestion));
        };
        let parsed = match (key.is_list, value.to_str()) {
            (false, _) => key.kind.parse_os(value),
            (true, None) => Err("it is not UTF-8".into()),
            (true, Some(text)) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                items.map(|item| key.kind.parse(item)).collect::<Result<_, _>>().map(Value::List)
            }
        };
        match parsed {
            Ok(value) => {
                self.set(key, value, origin, Vec::new());
                None
            }
            Err(message) => Some(Finding::fault(origin, key.path, message)),
        }
    }

    fn setting(&self, key: &Key) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.key.path == key.path)
    }

    fn value(&self, key: &Key) -> Option<&Value> {
        self.setting(key)?.value.as_ref()
    }

    fn count(&self, key: &Key) -> usize {
        self.value(key).and_then(Value::limit).and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX)
    }

    fn number(&self, key: &Key) -> u32 {
        self.value(key).and_then(Value::limit).and_then(|count| u32::try_from(count).ok()).unwrap_or(u32::MAX)
    }

    fn seconds(&self, key: &Key) -> Duration {
        Duration::from_secs(self.number(key).into())
    }

    fn text(&self, key: &Key) -> String {
        self.value(key).map(ToString::to_string).unwrap_or_default()
    }

    /// Returns the parsed values of a list. Each was checked when it was read.
    fn all<T: FromStr>(&self, key: &Key) -> Vec<T> {
        let values = self.value(key).map(Value::items).unwrap_or_default();
        values.iter().filter_map(|value| value.to_string().parse().ok()).collect()
    }

    pub(crate) fn log_level(&self) -> String {
        self.text(&LOG_LEVEL)
    }

    pub(crate) fn log_format(&self) -> LogFormat {
        if self.text(&LOG_FORMAT) == "json" { LogFormat::Json } else { LogFormat::Text }
    }

    /// Returns the server's configuration. `None`: there is no home directory to keep data in.
    pub(crate) fn config(&self) -> Option<Config> {
        let data_dir = match self.value(&STORE_DATA_DIR) {
            Some(Value::Path(path)) => path.clone(),
            _ => default_data_dir()?,
        };
        let mut limits = Limits::server();
        limits.max_payload = self.count(&LIMITS_MAX_PAYLOAD);
        limits.frame_timeout = self.seconds(&LIMITS_REQUEST_TIMEOUT);
        limits.write_timeout = self.seconds(&LIMITS_WRITE_TIMEOUT);
        limits.max_pushed = self.count(&LIMITS_MAX_PUSHED);
        let mut hub_limits = HubLimits::default();
        hub_limits.max_joins = self.count(&LIMITS_MAX_JOINS);
        hub_limits.max_channels = self.count(&LIMITS_MAX_CHANNELS);
        hub_limits.max_address_channels = self.count(&LIMITS_ADDRESS_CHANNELS);
        hub_limits.exempt = self.all(&LIMITS_EXEMPT);
        hub_limits.max_names = self.count(&LIMITS_MAX_NAMES);
        hub_limits.drop_names_after = self.value(&LIMITS_FORGET_NAMES).and_then(Value::time).unwrap_or(Duration::MAX);
        hub_limits.max_id = store::MAX_ID;
        Some(Config {
            listen: self.listeners(),
            hosted: self.all(&HOSTING_CHANNELS),
            advertised: self.all(&HOSTING_ADVERTISE),
            http: self.http(),
            http_hosts: self.all(&HTTP_HOSTS),
            trusted_proxies: self.all(&HTTP_TRUSTED_PROXIES),
            metrics: MetricsConfig {
                address: self.metrics(),
                is_default: self.has_default_metrics(),
                hosts: self.all(&METRICS_HOSTS),
            },
            data_dir,
            retention: Retention {
                count: self.value(&STORE_RETAIN_COUNT).and_then(Value::limit),
                age: self.value(&STORE_RETAIN_AGE).and_then(Value::time),
                bytes: self.value(&STORE_RETAIN_BYTES).and_then(Value::limit),
            },
            store_max: self.value(&STORE_MAX).map(|max| Size(max.limit())),
            store_min_free: self.value(&STORE_MIN_FREE).and_then(Value::limit).unwrap_or_default(),
            trackers: self.all(&HOSTING_TRACKERS),
            lease: self.number(&HOSTING_LEASE),
            limits,
            hub_limits,
            address_limits: self.address_limits(),
            max_connections: self.number(&LIMITS_MAX_CONNECTIONS),
            drain: DrainConfig {
                delay: self.seconds(&DRAIN_DELAY),
                rate: NonZeroU32::new(self.number(&DRAIN_RATE)).unwrap_or(NonZeroU32::MIN),
                timeout: self.seconds(&DRAIN_TIMEOUT),
            },
        })
    }

    /// Returns the listeners for all channels.
    fn listeners(&self) -> Vec<Listen> {
        let addresses: Vec<SocketAddr> = self.all(&LISTENER_ADDRESS);
        let listener = |(index, address): (usize, SocketAddr)| Listen {
            address,
            proxies: self.proxies(index),
            address_rights: self.of_section(&LISTENER_ADDRESS_RIGHTS, index).is_none_or(|it| *it == Value::Bool(true)),
        };
        addresses.into_iter().enumerate().map(listener).collect()
    }

    /// Returns the networks of a listener's proxies, if clients connect through them.
    fn proxies(&self, index: usize) -> Option<Vec<Network>> {
        self.of_section(&LISTENER_PROXY, index).filter(|proxy| **proxy == Value::Bool(true))?;
        let networks = self.of_section(&LISTENER_PROXY_FROM, index).map(Value::items).unwrap_or_default();
        Some(networks.iter().filter_map(|network| network.to_string().parse().ok()).collect())
    }

    /// Returns the value that one of several sections has for a key, if it has one.
    fn of_section(&self, key: &Key, index: usize) -> Option<&Value> {
        self.value(key)?.items().get(index).filter(|value| **value != Value::Unset)
    }

    fn address_limits(&self) -> AddressLimits {
        // No number is 0.
        let rate = |units, burst| Rate::new(self.number(units), self.number(burst));
        let mut limits = AddressLimits::default();
        limits.connection_rate = rate(&LIMITS_UNITS, &LIMITS_BURST).unwrap_or(limits.connection_rate);
        limits.address_rate = rate(&LIMITS_ADDRESS_UNITS, &LIMITS_ADDRESS_BURST).unwrap_or(limits.address_rate);
        limits.connects = rate(&LIMITS_ADDRESS_CONNECTS, &LIMITS_ADDRESS_CONNECTS_BURST).unwrap_or(limits.connects);
        limits.max_connections = self.count(&LIMITS_ADDRESS_CONNECTIONS);
        limits.exempt = self.all(&LIMITS_EXEMPT);
        limits.deny = self.all(&LIMITS_DENY);
        limits
    }

    fn http(&self) -> Option<SocketAddr> {
        self.text(&HTTP_LISTEN).parse().ok().and_then(|HttpAddress(address)| address)
    }

    /// Returns whether nobody has chosen the address of the metrics. It is done without if it is taken.
    fn has_default_metrics(&self) -> bool {
        matches!(self.origin(&METRICS_LISTEN, 0), Origin::Default)
    }

    fn metrics(&self) -> Option<SocketAddr> {
        self.text(&METRICS_LISTEN).parse().ok().and_then(|MetricsAddress(address)| address)
    }

    /// Returns the origin of one of the values of a key.
    fn origin(&self, key: &Key, index: usize) -> Origin {
        self.setting(key).map_or(Origin::Default, |setting| setting.origin_of(index))
    }

    /// Finds settings that do not go together.
    fn contradictions(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |key: &Key, index, message: String| {
            findings.push(Finding::fault(self.origin(key, index), key.path, message));
        };
        let given = |key: &Key| self.value(key).is_some_and(|value| !value.items().is_empty());
        if given(&HTTP_HOSTS) && self.http().is_none() {
            find(&HTTP_HOSTS, 0, super::NO_PAGE.into());
        }
        if given(&HTTP_TRUSTED_PROXIES) && self.http().is_none() {
            find(&HTTP_TRUSTED_PROXIES, 0, super::NO_PAGE.into());
        }
        if given(&METRICS_HOSTS) && self.metrics().is_none() {
            find(&METRICS_HOSTS, 0, super::NO_METRICS.into());
        }
        if given(&HOSTING_TRACKERS) && !given(&HOSTING_CHANNELS) {
            let message = "no channel is hosted (--host), so there is none to keep on the list of another server";
            find(&HOSTING_TRACKERS, 0, message.into());
        }
        let is_flag = |key| self.setting(key).is_some_and(|setting| matches!(setting.origin, Origin::Flag(_)));
        if is_flag(&HOSTING_LEASE) && !given(&HOSTING_TRACKERS) {
            find(&HOSTING_LEASE, 0, "no tracker is given (--tracker), so nothing has this lease".into());
        }
        let hosted: Vec<Hosted> = self.all(&HOSTING_CHANNELS);
        let mut names = BTreeSet::new();
        for (index, Hosted { channel, .. }) in hosted.iter().enumerate() {
            if !names.insert(channel.channel_name.as_str()) {
                let name = &channel.channel_name;
                find(
                    &HOSTING_CHANNELS,
                    index,
                    format!("the channel '{name}' is named more than once; name each channel once"),
                );
            }
        }
        let listen: Vec<SocketAddr> = self.all(&LISTENER_ADDRESS);
        if listen.is_empty() {
            find(&LISTENER_ADDRESS, 0, "there is no address to listen at".into());
        }
        for (index, _) in listen.iter().enumerate() {
            let networks = self.of_section(&LISTENER_PROXY_FROM, index).map(Value::items);
            match (self.proxies(index), networks) {
                (Some(proxies), _) if proxies.is_empty() => {
                    let message = "it needs proxy_from, the networks of the proxies, as in [\"10.0.0.0/8\"]";
                    find(&LISTENER_PROXY, index, message.into());
                }
                (None, Some(networks)) if !networks.is_empty() => {
                    find(&LISTENER_PROXY_FROM, index, "it has no effect without proxy = true".into());
                }
                _ => {}
            }
        }
        // Addresses by the key that takes them first.
        let mut taken: BTreeMap<SocketAddr, &Key> = BTreeMap::new();
        for (index, address) in listen.iter().enumerate().filter(|(_, address)| address.port() != 0) {
            // The flag may be repeated.
            if taken.insert(*address, &LISTENER_ADDRESS).is_some() && !is_flag(&LISTENER_ADDRESS) {
                find(&LISTENER_ADDRESS, index, format!("{address} is given more than once; leave one of them out"));
            }
        }
        taken.extend(hosted.iter().map(|hosted| (hosted.bind, &HOSTING_CHANNELS)));
        let everywhere = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        for (index, address) in listen.iter().enumerate() {
            let is_wildcard = address.is_ipv6() && address.ip().is_unspecified() && address.port() != 0;
            let v4 = taken.keys().find(|other| other.is_ipv4() && other.port() == address.port());
            if let Some(v4) = v4.filter(|_| is_wildcard && !taken.contains_key(&everywhere(address.port()))) {
                let all = everywhere(address.port());
                find(
                    &LISTENER_ADDRESS,
                    index,
                    format!("{address} takes IPv4 as well, and so {v4}; leave {v4} out, or add {all} for all of IPv4"),
                );
            }
        }
        let metrics = self.metrics().filter(|_| !self.has_default_metrics());
        for (key, address) in [(&HTTP_LISTEN, self.http()), (&METRICS_LISTEN, metrics)] {
            let Some(address) = address.filter(|address| address.port() != 0) else { continue };
            if let Some(other) = taken.insert(address, key) {
                find(
                    key,
                    0,
                    format!("{address} is also an address of {} (--{}); choose another one", other.path, other.flag),
                );
            }
        }
        findings
    }
}

/// Returns a path as it is from everywhere.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

#[cfg(test)]
mod tests;

//! The effective settings: flags over environment over file over defaults, checked as a whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use chanwire_core::{
    AddressLimits, Limits, Network, Rate,
    hub::HubLimits,
    rights::{GuestPolicy, Rule, Subject},
};

use super::{
    Config, HttpAddress, Listen, MetricsAddress, MetricsConfig, Size, default_data_dir, file,
    finding::{Finding, Origin, Place},
    keys::{
        AUTH_ALLOW_PLAINTEXT, AUTH_GUESTS, AUTH_RULE_CHANNELS, AUTH_RULE_HOST, AUTH_RULE_READ, AUTH_RULE_WRITE,
        DRAIN_DELAY, DRAIN_RATE, DRAIN_TIMEOUT, HOSTING_ADVERTISE, HOSTING_CHANNELS, HOSTING_LEASE, HOSTING_TRACKER_CA,
        HOSTING_TRACKER_PINS, HOSTING_TRACKERS, HTTP_HOSTS, HTTP_LISTEN, HTTP_TLS, HTTP_TRUSTED_PROXIES, Key,
        LIMITS_ACCOUNT_CHANNELS, LIMITS_ADDRESS_BURST, LIMITS_ADDRESS_CHANNELS, LIMITS_ADDRESS_CONNECTIONS,
        LIMITS_ADDRESS_CONNECTS, LIMITS_ADDRESS_CONNECTS_BURST, LIMITS_ADDRESS_UNITS, LIMITS_BURST, LIMITS_DENY,
        LIMITS_EXEMPT, LIMITS_FORGET_NAMES, LIMITS_MAX_CHANNELS, LIMITS_MAX_CONNECTIONS, LIMITS_MAX_JOINS,
        LIMITS_MAX_NAMES, LIMITS_MAX_PAYLOAD, LIMITS_MAX_PUSHED, LIMITS_REQUEST_TIMEOUT, LIMITS_UNITS,
        LIMITS_WRITE_TIMEOUT, LISTENER_ADDRESS, LISTENER_ADDRESS_RIGHTS, LISTENER_PROXY, LISTENER_PROXY_FROM,
        LISTENER_TLS, LOG_FORMAT, LOG_LEVEL, METRICS_HOSTS, METRICS_LISTEN, RETRY_MAX_KEYS, RETRY_WINDOW,
        STORE_DATA_DIR, STORE_MAX, STORE_MIN_FREE, STORE_RETAIN_AGE, STORE_RETAIN_BYTES, STORE_RETAIN_COUNT, TABLE,
        TLS_CERTIFICATE, TLS_KEY, TLS_MODE, Table,
    },
    rules, suggest,
    value::Value,
};
use crate::{
    accounts::{Accounts, Contents},
    clock::wall_time,
    config::Hosted,
    drain::DrainConfig,
    logging::LogFormat,
    store::{self, Retention, SendRetention},
    tls::{Pair, PairFault, Pin, TlsFiles, TlsMode, Trust},
    unix_socket::{ListenAddress, UnixPath},
};

/// Variables of this program that are no keys. The last is of its build, and cargo sets it for what it runs.
const OTHER_VARIABLES: [&str; 5] =
    ["CHANWIRE_CONFIG", "CHANWIRE_KEEP_ALIVE", "CHANWIRE_SERVER", "CHANWIRE_TOKEN", "CHANWIRE_SQLITE_ADVICE"];

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
        let require_tls = settings.sections_that_require_tls();
        for (name, value) in &self.variables {
            findings.extend(settings.add_variable(table, name, value));
        }
        for (key, value) in &self.flags {
            settings.set(key, value.clone(), Origin::Flag(key.flag), Vec::new());
        }
        let is_replaced = !matches!(settings.origin(&LISTENER_ADDRESS, 0), Origin::File(_));
        if is_replaced && settings.default_tls_mode() != Some(TlsMode::Required) {
            let message = "it is left out, since --listen or CHANWIRE_LISTENER_ADDRESS replaces the listeners of the \
                           file: plain text is served too";
            let lost = |origin| Finding::fault(origin, LISTENER_TLS.path, message).warning();
            findings.extend(require_tls.into_iter().map(lost));
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
    /// Adds what is wrong with the files that the settings name. Not for a reload, where a certificate that is half
    /// renewed must not keep other settings from their change.
    pub(crate) fn with_files(mut self) -> Self {
        self.findings.extend(self.settings.faults_of_pair());
        self.findings.sort_by_key(Finding::order);
        self
    }

    /// Adds what is wrong with the accounts of this data directory, or of the configured one, and with the rules that name
    /// them. Returns the accounts as well.
    pub(crate) fn with_accounts(mut self, data_dir: Option<&Path>) -> (Self, Contents) {
        let configured = || match self.settings.value(&STORE_DATA_DIR) {
            Some(Value::Path(path)) => Some(path.clone()),
            _ => default_data_dir(),
        };
        let contents = data_dir.map(Into::into).or_else(configured).map(|it| Contents::read(&it)).unwrap_or_default();
        self.findings.extend(self.settings.unknown_subjects(&contents.accounts));
        self.findings.sort_by_key(Finding::order);
        self.findings.extend(contents.findings.iter().cloned());
        (self, contents)
    }

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
        let default = |key: &&'static Key| {
            let value = if key.only_in_file { Some(Value::List(Vec::new())) } else { key.fallback() };
            Setting { key, value, origin: Origin::Default, places: Vec::new() }
        };
        let mut settings = Self(table.keys.iter().map(default).collect());
        settings.leave_out_of_listeners(1);
        settings
    }

    /// Returns the settings in the order of the table.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.0.iter()
    }

    /// Leaves out the keys that only the sections of listeners have, in this number of sections.
    fn leave_out_of_listeners(&mut self, count: usize) {
        let section = LISTENER_ADDRESS.section();
        let of_listeners = |setting: &&mut Setting| setting.key.only_in_file && setting.key.section() == section;
        for setting in self.0.iter_mut().filter(of_listeners) {
            let value = Some(Value::List(vec![Value::Unset; count]));
            *setting = Setting { key: setting.key, value, origin: Origin::Default, places: Vec::new() };
        }
    }

    fn set(&mut self, key: &'static Key, value: Value, origin: Origin, places: Vec<Place>) {
        if key.path == LISTENER_ADDRESS.path && !matches!(origin, Origin::File(_)) {
            // They replace the listeners of the file.
            self.leave_out_of_listeners(value.items().len());
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
        hub_limits.max_account_names = self.count(&LIMITS_ACCOUNT_CHANNELS);
        hub_limits.exempt = self.all(&LIMITS_EXEMPT);
        hub_limits.max_names = self.count(&LIMITS_MAX_NAMES);
        hub_limits.drop_names_after = self.value(&LIMITS_FORGET_NAMES).and_then(Value::time).unwrap_or(Duration::MAX);
        hub_limits.max_id = store::MAX_ID;
        hub_limits.retry_window = self.value(&RETRY_WINDOW).and_then(Value::time).unwrap_or(hub_limits.retry_window);
        hub_limits.max_send_keys = self.count(&RETRY_MAX_KEYS);
        limits.retry_window = Some(hub_limits.retry_window);
        limits.plaintext_auth = self.value(&AUTH_ALLOW_PLAINTEXT) == Some(&Value::Bool(true));
        Some(Config {
            listen: self.listeners(),
            unix_sockets: self.unix_sockets(),
            tls: self.tls(),
            tls_mode: self.default_tls_mode(),
            hosted: self.all(&HOSTING_CHANNELS),
            advertised: self.all(&HOSTING_ADVERTISE),
            http: self.http(),
            http_hosts: self.all(&HTTP_HOSTS),
            trusted_proxies: self.all(&HTTP_TRUSTED_PROXIES),
            http_tls: self.requires_http_tls(),
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
                sends: SendRetention::of(&hub_limits),
            },
            store_max: self.value(&STORE_MAX).map(|max| Size(max.limit())),
            store_min_free: self.value(&STORE_MIN_FREE).and_then(Value::limit).unwrap_or_default(),
            trackers: self.all(&HOSTING_TRACKERS),
            tracker_trust: self.tracker_trust(),
            lease: self.number(&HOSTING_LEASE),
            limits,
            hub_limits,
            address_limits: self.address_limits(),
            accounts: Arc::default(),
            rules: self.rules(),
            guests: self.guests(),
            max_connections: self.number(&LIMITS_MAX_CONNECTIONS),
            drain: DrainConfig {
                delay: self.seconds(&DRAIN_DELAY),
                rate: NonZeroU32::new(self.number(&DRAIN_RATE)).unwrap_or(NonZeroU32::MIN),
                timeout: self.seconds(&DRAIN_TIMEOUT),
            },
        })
    }

    /// Returns the TCP addresses to listen at, each with the number of its section.
    fn tcp_addresses(&self) -> Vec<(usize, SocketAddr)> {
        let addresses = self.all(&LISTENER_ADDRESS).into_iter().enumerate();
        let tcp = addresses.filter_map(|(index, address)| match address {
            ListenAddress::Tcp(address) => Some((index, address)),
            ListenAddress::Unix(_) => None,
        });
        tcp.collect()
    }

    /// Returns the Unix sockets for all channels, each once.
    fn unix_sockets(&self) -> Vec<UnixPath> {
        let mut paths = Vec::new();
        for address in self.all(&LISTENER_ADDRESS) {
            if let ListenAddress::Unix(path) = address
                && !paths.contains(&path)
            {
                paths.push(path);
            }
        }
        paths
    }

    /// Returns the listeners for all channels.
    fn listeners(&self) -> Vec<Listen> {
        let listener = |(index, address): (usize, SocketAddr)| Listen {
            address,
            proxies: self.proxies(index),
            address_rights: self.of_section(&LISTENER_ADDRESS_RIGHTS, index).is_none_or(|it| *it == Value::Bool(true)),
            tls: self.tls_mode(index),
        };
        self.tcp_addresses().into_iter().map(listener).collect()
    }

    /// Returns where the file says that a listener takes TLS alone.
    fn sections_that_require_tls(&self) -> Vec<Origin> {
        let count = self.value(&LISTENER_TLS).map_or(0, |value| value.items().len());
        let required = (0..count).filter(|index| self.tls_mode(*index) == Some(TlsMode::Required));
        required.map(|index| self.origin(&LISTENER_TLS, index)).collect()
    }

    /// Returns the TLS mode of a listener, if it has one of its own.
    fn tls_mode(&self, index: usize) -> Option<TlsMode> {
        self.of_section(&LISTENER_TLS, index)?.to_string().parse().ok()
    }

    /// Returns whether the page is to be served by TLS.
    fn requires_http_tls(&self) -> bool {
        self.value(&HTTP_TLS).is_some_and(|value| value.to_string() == "required")
    }

    /// Returns the TLS mode of the listeners that have none of their own, if it is given.
    fn default_tls_mode(&self) -> Option<TlsMode> {
        self.value(&TLS_MODE)?.to_string().parse().ok()
    }

    /// Returns the files of the certificate and its key, if they are given.
    fn tls(&self) -> Option<TlsFiles> {
        let path = |key| match self.value(key) {
            Some(Value::Path(path)) => Some(absolute(path)),
            _ => None,
        };
        path(&TLS_CERTIFICATE).zip(path(&TLS_KEY)).map(|(certificate, key)| TlsFiles { certificate, key })
    }

    /// Finds what is wrong with the certificate and its key.
    fn faults_of_pair(&self) -> Option<Finding> {
        let files = self.tls()?;
        match Pair::load(&files) {
            Err(fault) => {
                let key = if matches!(fault, PairFault::Key(_)) { &TLS_KEY } else { &TLS_CERTIFICATE };
                Some(Finding::fault(self.origin(key, 0), key.path, fault.to_string()))
            }
            Ok(pair) => {
                let warning = pair.certificate().expiry(wall_time())?;
                Some(Finding::fault(self.origin(&TLS_CERTIFICATE, 0), TLS_CERTIFICATE.path, warning).warning())
            }
        }
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

    fn guests(&self) -> GuestPolicy {
        match self.text(&AUTH_GUESTS).as_str() {
            "none" => GuestPolicy::None,
            "read" => GuestPolicy::Read,
            _ => GuestPolicy::All,
        }
    }

    /// Returns the rules of rights. One without a pattern is left out, and a fault.
    fn rules(&self) -> Vec<Rule> {
        let subjects = |key, index| self.subjects(key, index).into_iter().map(|(subject, _)| subject).collect();
        let rule = |index| {
            let channels = self.of_section(&AUTH_RULE_CHANNELS, index)?.to_string().parse().ok()?;
            let (read, write) = (subjects(&AUTH_RULE_READ, index), subjects(&AUTH_RULE_WRITE, index));
            Some(Rule { channels, read, write, host: subjects(&AUTH_RULE_HOST, index) })
        };
        (0..self.rule_count()).filter_map(rule).collect()
    }

    fn rule_count(&self) -> usize {
        self.value(&AUTH_RULE_CHANNELS).map_or(0, |value| value.items().len())
    }

    /// Returns those to whom a rule gives a right, each with its origin.
    fn subjects(&self, key: &Key, index: usize) -> Vec<(Subject, Origin)> {
        let subjects = self.of_section(key, index).map(Value::items).unwrap_or_default().iter();
        let subjects = subjects.filter_map(|subject| subject.to_string().parse().ok());
        subjects.map(|subject| (subject, self.origin(key, index))).collect()
    }

    /// Finds names in the rules that no account or group has. They are warnings: a rule for an account that was removed
    /// must not keep the account in force.
    fn unknown_subjects(&self, accounts: &Accounts) -> Vec<Finding> {
        let mut findings = Vec::new();
        for index in 0..self.rule_count() {
            for key in [&AUTH_RULE_READ, &AUTH_RULE_WRITE, &AUTH_RULE_HOST] {
                for (subject, origin) in self.subjects(key, index) {
                    if let Some((message, meant)) = rules::unknown(&subject, accounts) {
                        findings.push(Finding::fault(origin, key.path, message).warning().suggest(meant));
                    }
                }
            }
        }
        findings
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

    /// Returns the file of the authorities that vouch for trackers.
    fn tracker_ca(&self) -> Option<&Path> {
        match self.value(&HOSTING_TRACKER_CA) {
            Some(Value::Path(file)) => Some(file),
            _ => None,
        }
    }

    fn tracker_trust(&self) -> Trust {
        let pins: Vec<Pin> = self.all(&HOSTING_TRACKER_PINS);
        match self.tracker_ca() {
            Some(file) => Trust::authorities_unchecked(file).or_pins(pins),
            None if pins.is_empty() => Trust::system(),
            None => Trust::pins(pins),
        }
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
        if self.requires_http_tls() && self.http().is_none() {
            find(&HTTP_TLS, 0, super::NO_PAGE.into());
        } else if self.requires_http_tls() && self.tls().is_none() {
            find(&HTTP_TLS, 0, "it needs a certificate: set tls.certificate and tls.key".into());
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
        let listen: Vec<ListenAddress> = self.all(&LISTENER_ADDRESS);
        if listen.is_empty() {
            find(&LISTENER_ADDRESS, 0, "there is no address to listen at".into());
        }
        for (index, address) in listen.iter().enumerate() {
            if matches!(address, ListenAddress::Unix(_)) {
                let is_on = |key| self.of_section(key, index).is_some_and(|value| *value == Value::Bool(true));
                if is_on(&LISTENER_ADDRESS_RIGHTS) {
                    let message = "clients of a Unix socket have no address, and so no rights by it; leave this out";
                    find(&LISTENER_ADDRESS_RIGHTS, index, message.into());
                }
                if is_on(&LISTENER_PROXY) {
                    let message = "a Unix socket takes no PROXY header, as its clients have no address rights; let the \
                                   proxy connect to an IP:PORT, or leave this out";
                    find(&LISTENER_PROXY, index, message.into());
                    continue;
                }
            }
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
        for index in (0..self.rule_count()).filter(|index| self.of_section(&AUTH_RULE_CHANNELS, *index).is_none()) {
            find(&AUTH_RULE_CHANNELS, index, "each rule needs it, as in channels = \"staff-*\"".into());
        }
        for (index, earlier) in rules::shadowed(&self.rules()) {
            let message = match self.origin(&AUTH_RULE_CHANNELS, earlier) {
                Origin::File(place) => {
                    format!("an earlier rule, in line {}, matches all of these channels", place.line)
                }
                _ => "an earlier rule matches all of these channels".into(),
            };
            find(&AUTH_RULE_CHANNELS, index, message + "; put this one before it");
        }
        for (one, other) in [(&TLS_CERTIFICATE, &TLS_KEY), (&TLS_KEY, &TLS_CERTIFICATE)] {
            if self.value(one).is_some() && self.value(other).is_none() {
                find(one, 0, format!("it needs {} as well", other.path));
            }
        }
        if self.default_tls_mode().is_some_and(|mode| mode != TlsMode::Off) && self.tls().is_none() {
            find(&TLS_MODE, 0, "it needs a certificate: set tls.certificate and tls.key".into());
        }
        for (index, address) in listen.iter().enumerate() {
            if matches!(address, ListenAddress::Unix(_)) {
                if self.tls_mode(index).is_some_and(|mode| mode != TlsMode::Off) {
                    find(&LISTENER_TLS, index, "a Unix socket takes no TLS; leave this out".into());
                }
            } else if self.tls_mode(index).is_some_and(|mode| mode != TlsMode::Off) && self.tls().is_none() {
                find(&LISTENER_TLS, index, "it needs a certificate: set tls.certificate and tls.key".into());
            }
        }
        // Addresses by the key that takes them first.
        let mut given = BTreeSet::new();
        for (index, address) in listen.iter().enumerate() {
            let is_free_port = matches!(address, ListenAddress::Tcp(address) if address.port() == 0);
            // The flag may be repeated.
            if !is_free_port && !given.insert(address) && !is_flag(&LISTENER_ADDRESS) {
                find(&LISTENER_ADDRESS, index, format!("{address} is given more than once; leave one of them out"));
            }
        }
        let listen = self.tcp_addresses();
        let fixed = listen.iter().filter(|(_, address)| address.port() != 0);
        let mut taken: BTreeMap<SocketAddr, &Key> = fixed.map(|(_, address)| (*address, &LISTENER_ADDRESS)).collect();
        taken.extend(hosted.iter().map(|hosted| (hosted.bind, &HOSTING_CHANNELS)));
        let everywhere = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        for (index, address) in listen {
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

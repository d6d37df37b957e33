//! Admission of connections: how many an address may open, how fast, and at which rate they are served.

use alloc::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    format,
    sync::Arc,
    vec::Vec,
};
use core::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    str::FromStr,
};

use crate::{
    Bucket, Rate, Time,
    endpoint::{Reason, Throttle},
    wire::{ErrorResponse, canonical},
};

/// Limits of what one address may cost.
///
/// | limit | default | precedent |
/// |---|---|---|
/// | `connection_rate` | 50/s, burst 500 | IRC servers allow people at keyboards 1 to 2/s |
/// | `address_rate` | 200/s, burst 2,000 | four connections at their full rate |
/// | `max_connections` | 256 | a school or an office behind one address; IRC networks allow 3 to 16 |
/// | `connects` | 20/s, burst 100 | IRC networks allow 10 to 40 in 10 minutes |
/// | `exempt` | loopback | tools of the same machine |
///
/// An address is an IPv4 address, or the /64 network of an IPv6 address, which is what one subscriber is given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressLimits {
    /// The rate of requests on one connection. See [`Throttle`] for the units that a request costs.
    pub connection_rate: Rate,
    /// The rate of requests on all connections of an address.
    pub address_rate: Rate,
    /// The most connections of an address.
    pub max_connections: usize,
    /// The rate at which an address may open connections.
    pub connects: Rate,
    /// Networks that no limit of this table is for.
    pub exempt: Vec<Network>,
    /// Networks whose connections are closed without a word.
    pub deny: Vec<Network>,
}

impl Default for AddressLimits {
    fn default() -> Self {
        const fn at_least_one(number: u32) -> NonZeroU32 {
            match NonZeroU32::new(number) {
                Some(number) => number,
                None => NonZeroU32::MIN,
            }
        }
        const fn rate(units_per_second: u32, burst: u32) -> Rate {
            Rate { units_per_second: at_least_one(units_per_second), burst: at_least_one(burst) }
        }
        Self {
            connection_rate: rate(50, 500),
            address_rate: rate(200, 2000),
            max_connections: 256,
            connects: rate(20, 100),
            exempt: [Network::LOOPBACK_V4, Network::LOOPBACK_V6].into(),
            deny: Vec::new(),
        }
    }
}

/// A network: the addresses that begin with the same bits. It is written as its first address and their number, such as
/// `192.0.2.0/24`; an address alone is a network of one. IPv4 addresses that are written as IPv6 addresses, such as
/// `::ffff:192.0.2.0/120`, are a network of IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

impl Network {
    /// The addresses of a machine itself, 127.0.0.0/8.
    pub const LOOPBACK_V4: Self = Self { first: IpAddr::V4(core::net::Ipv4Addr::new(127, 0, 0, 0)), bits: 8 };
    /// The address of a machine itself, `::1`.
    pub const LOOPBACK_V6: Self = Self { first: IpAddr::V6(Ipv6Addr::LOCALHOST), bits: 128 };

    /// Returns whether an address belongs to it. An IPv4 address that is written as an IPv6 address is an IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, canonical(address)) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                (first.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                (first.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

/// A text that is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkError {
    /// It does not begin with an address.
    NoAddress,
    /// The number of bits is none, or more than the address has.
    Bits,
    /// The address has bits beyond those of the network.
    BitsBeyond,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAddress => "not an IP address, or one with a number of bits such as 192.0.2.0/24",
            Self::Bits => "the number of bits is 0 to 32 for IPv4, and 0 to 128 for IPv6",
            Self::BitsBeyond => "the address has bits beyond those of the network: give its first address",
        })
    }
}

impl core::error::Error for NetworkError {}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let first: IpAddr = address.parse().map_err(|_| NetworkError::NoAddress)?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let is_number = |bits: &str| (1..=3).contains(&bits.len()) && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits: u8 = match bits {
            Some(bits) if is_number(bits) => bits.parse().map_err(|_| NetworkError::Bits)?,
            Some(_) => return Err(NetworkError::Bits),
            None => most,
        };
        if bits > most {
            return Err(NetworkError::Bits);
        }
        let beyond = match first {
            IpAddr::V4(first) => first.to_bits().checked_shl(bits.into()).unwrap_or(0) != 0,
            IpAddr::V6(first) => first.to_bits().checked_shl(bits.into()).unwrap_or(0) != 0,
        };
        if beyond {
            return Err(NetworkError::BitsBeyond);
        }
        // Addresses are compared in their canonical form.
        Ok(match (canonical(first), bits.checked_sub(96)) {
            (first @ IpAddr::V4(_), Some(bits)) => Self { first, bits },
            _ => Self { first, bits },
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// The number of addresses without a connection that are remembered. Beyond it the oldest is forgotten.
const MAX_LEFT: usize = 65_536;

/// The most TLS handshakes of an address at one time: a share of the server's that leaves room for the other addresses.
pub const MAX_HANDSHAKES: usize = 64;

/// The connections of each address.
///
/// Ask it of each connection that comes, and give it back the permit of each that is over. It counts nothing of
/// addresses that are exempt, and remembers an address without connections only until its buckets are full again.
#[derive(Debug)]
pub struct Admission {
    limits: AddressLimits,
    /// One for each address that has a connection, or had one lately.
    addresses: BTreeMap<IpAddr, Account>,
    /// Addresses whose last connection is over, with the time at which they may be forgotten. Some have come back.
    left: VecDeque<(Time, IpAddr)>,
}

#[derive(Debug)]
struct Account {
    connections: usize,
    /// Those of them that are in their TLS handshake.
    handshakes: usize,
    connects: Bucket,
    requests: Arc<Bucket>,
}

/// The permit of an admitted connection, to be [released](Admission::release) when the connection is over.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit that is not given back counts for ever"]
pub struct Permit {
    /// The address that it counts for; `None` if that is exempt.
    address: Option<IpAddr>,
    /// Whether it counts as a handshake, too.
    is_in_handshake: bool,
}

/// A refusal of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a listener handles each")]
pub enum Refusal {
    /// Its network is denied: close it without a word.
    Denied,
    /// Its address has as many connections as the limit.
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Its address opens connections faster than the limit.
    TooFast {
        /// The limit, in connections a second.
        limit: u32,
    },
}

impl Refusal {
    /// Returns the reason, for the log and as a metric's label.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Denied => Reason::Denied,
            Self::TooMany { .. } | Self::TooFast { .. } => Reason::AddressBusy,
        }
    }

    /// Returns the limit that was reached: its name, and its value.
    #[must_use]
    pub const fn limit(self) -> Option<(&'static str, u64)> {
        match self {
            Self::Denied => None,
            Self::TooMany { limit } => Some(("address_connections", limit as u64)),
            Self::TooFast { limit } => Some(("address_connects", limit as u64)),
        }
    }

    /// Returns the error that the peer is told, if it is told one.
    #[must_use]
    pub fn answer(self) -> Option<ErrorResponse> {
        let limit = match self {
            Self::Denied => return None,
            Self::TooMany { limit } => format!("{limit} connections"),
            Self::TooFast { limit } => format!("{limit} connections a second"),
        };
        let details = format!("The server has reached its limit of {limit} from your address");
        Some(ErrorResponse::server("Server busy", details))
    }
}

impl Admission {
    /// Makes an admission without connections.
    #[must_use]
    pub const fn new(limits: AddressLimits) -> Self {
        Self { limits, addresses: BTreeMap::new(), left: VecDeque::new() }
    }

    /// Replaces the limits. Connections that were admitted keep theirs.
    pub fn set_limits(&mut self, limits: AddressLimits) {
        if (limits.address_rate, limits.connects) != (self.limits.address_rate, self.limits.connects) {
            for account in self.addresses.values_mut() {
                account.connects = Bucket::new(limits.connects);
                account.requests = Arc::new(Bucket::new(limits.address_rate));
            }
        }
        self.limits = limits;
    }

    /// Returns the number of addresses that are remembered.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.addresses.len()
    }

    /// Admits a connection from an address, or says why not. Its requests are to be taken at the rate of the throttle;
    /// an exempt address has none.
    ///
    /// # Errors
    ///
    /// The [`Refusal`].
    pub fn admit(&mut self, now: Time, address: IpAddr) -> Result<(Permit, Option<Throttle>), Refusal> {
        self.forget_some(now);
        let is_in = |networks: &[Network]| networks.iter().any(|network| network.contains(address));
        let limits = &self.limits;
        if is_in(&limits.deny) {
            return Err(Refusal::Denied);
        }
        if is_in(&limits.exempt) {
            return Ok((Permit { address: None, is_in_handshake: false }, None));
        }
        let address = of_subscriber(address);
        let limit = limits.max_connections.max(1);
        let account = match self.addresses.entry(address) {
            Entry::Vacant(account) => account.insert(Account {
                connections: 0,
                handshakes: 0,
                connects: Bucket::new(limits.connects),
                requests: Arc::new(Bucket::new(limits.address_rate)),
            }),
            Entry::Occupied(account) => account.into_mut(),
        };
        if account.connections >= limit {
            return Err(Refusal::TooMany { limit });
        }
        if account.connects.ready_at(now) > now {
            return Err(Refusal::TooFast { limit: limits.connects.units_per_second.get() });
        }
        account.connects.charge(now, 1);
        account.connections += 1;
        let permit = Permit { address: Some(address), is_in_handshake: false };
        Ok((permit, Some(Throttle::new(limits.connection_rate, Arc::clone(&account.requests)))))
    }

    /// Begins the TLS handshake of a connection. Returns whether its address has fewer than [`MAX_HANDSHAKES`] of them;
    /// if not, the connection is to be closed. An exempt address has any number.
    pub fn begin_handshake(&mut self, permit: &mut Permit) -> bool {
        let account = permit.address.and_then(|address| self.addresses.get_mut(&address));
        let Some(account) = account.filter(|_| !permit.is_in_handshake) else { return true };
        let is_free = account.handshakes < MAX_HANDSHAKES;
        account.handshakes += usize::from(is_free);
        permit.is_in_handshake = is_free;
        is_free
    }

    /// Ends the TLS handshake of a connection that goes on. [`release`](Self::release) ends that of any other.
    pub fn end_handshake(&mut self, permit: &mut Permit) {
        if core::mem::take(&mut permit.is_in_handshake)
            && let Some(account) = permit.address.and_then(|address| self.addresses.get_mut(&address))
        {
            account.handshakes -= 1;
        }
    }

    /// Returns the throttle of a connection that has no address, such as one through a Unix socket. No other limit of
    /// addresses is for it.
    #[must_use]
    pub const fn throttle_without_address(&self) -> Throttle {
        Throttle::without_address(self.limits.connection_rate)
    }

    /// Takes back the permit of a connection that is over.
    pub fn release(&mut self, now: Time, mut permit: Permit) {
        self.forget_some(now);
        self.end_handshake(&mut permit);
        let Some(address) = permit.address else { return };
        let Some(account) = self.addresses.get_mut(&address) else { return };
        account.connections -= 1;
        if account.connections == 0 {
            self.left.push_back((account.full_at(now), address));
        }
    }

    /// Forgets a few addresses that have no connection and whose buckets are full, or of which there are too many.
    fn forget_some(&mut self, now: Time) {
        for _ in 0..2 {
            let is_over = self.left.len() > MAX_LEFT;
            let Some((_, address)) = self.left.pop_front_if(|(until, _)| is_over || *until <= now) else { return };
            let Entry::Occupied(account) = self.addresses.entry(address) else { continue };
            // One that has come back stands in the queue once more, when it has left again.
            if account.get().connections == 0 && (is_over || account.get().full_at(now) <= now) {
                account.remove();
            }
        }
    }
}

impl Account {
    /// Returns the time at which its buckets are full.
    fn full_at(&self, now: Time) -> Time {
        self.connects.full_at(now).max(self.requests.full_at(now))
    }
}

/// Returns the address that stands for all those of a subscriber: an IPv4 address itself, the first of an IPv6 address's
/// /64 network.
pub(crate) fn of_subscriber(address: IpAddr) -> IpAddr {
    match canonical(address) {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_millis(1_000_000 + millis)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admission(change: impl FnOnce(&mut AddressLimits)) -> Admission {
        let mut limits = AddressLimits::default();
        change(&mut limits);
        Admission::new(limits)
    }

    #[test]
    fn a_network_has_the_addresses_with_its_bits() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("127.0.0.0/8", "::ffff:127.255.0.1", "128.0.0.1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(address(inside)), "{network} {inside}");
            assert!(!parsed.contains(address(outside)), "{network} {outside}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains(address("255.255.255.255")) && !all.contains(address("::")));
        for (text, same) in [
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
        ] {
            assert_eq!(text.parse::<Network>(), same.parse());
        }
        assert_eq!("192.0.2.0/33".parse::<Network>(), Err(NetworkError::Bits));
        assert_eq!("192.0.2.0/-1".parse::<Network>(), Err(NetworkError::Bits));
        assert_eq!("192.0.2.0/+8".parse::<Network>(), Err(NetworkError::Bits));
        assert_eq!("192.0.2.1/24".parse::<Network>(), Err(NetworkError::BitsBeyond));
        assert_eq!("example.org".parse::<Network>(), Err(NetworkError::NoAddress));
    }

    #[test]
    fn an_address_has_as_many_connections_as_the_limit_and_others_are_served() {
        let mut admission = admission(|limits| limits.max_connections = 3);
        let mut permits: Vec<Permit> =
            (0..3).map(|_| admission.admit(at(0), address("192.0.2.7")).unwrap().0).collect();
        assert_eq!(admission.admit(at(0), address("::ffff:192.0.2.7")).unwrap_err(), Refusal::TooMany { limit: 3 });
        let other = admission.admit(at(0), address("192.0.2.8")).unwrap().0;
        admission.release(at(1), permits.pop().unwrap());
        permits.push(admission.admit(at(1), address("192.0.2.7")).unwrap().0);
        assert!(admission.admit(at(1), address("192.0.2.7")).is_err());
        permits.push(other);
        permits.into_iter().for_each(|permit| admission.release(at(2), permit));
        assert_eq!(admission.addresses(), 2);
    }

    #[test]
    fn a_network_of_an_ipv6_subscriber_is_one_address() {
        let mut admission = admission(|limits| limits.max_connections = 1);
        let _held = admission.admit(at(0), address("2001:db8:0:1::1")).unwrap();
        assert!(admission.admit(at(0), address("2001:db8:0:1:ffff::9")).is_err());
        assert!(admission.admit(at(0), address("2001:db8:0:2::1")).is_ok());
    }

    #[test]
    fn an_address_has_a_share_of_the_handshakes_until_they_end() {
        let mut admission = admission(|limits| limits.connects = Rate::new(1000, 1000).unwrap());
        let admit = |admission: &mut Admission, from| admission.admit(at(0), address(from)).unwrap().0;
        let mut permits: Vec<Permit> = (0..=MAX_HANDSHAKES).map(|_| admit(&mut admission, "2001:db8:0:1::1")).collect();
        let mut last = permits.pop().unwrap();
        for permit in &mut permits {
            assert!(admission.begin_handshake(permit));
        }
        assert!(!admission.begin_handshake(&mut last));
        let mut neighbour = admit(&mut admission, "2001:db8:0:1::2");
        assert!(!admission.begin_handshake(&mut neighbour), "it is of the same network");
        for from in ["192.0.2.8", "127.0.0.1"] {
            let mut other = admit(&mut admission, from);
            assert!(admission.begin_handshake(&mut other), "{from}");
        }
        // One succeeds, and another's connection ends.
        admission.end_handshake(&mut permits[0]);
        assert!(admission.begin_handshake(&mut last));
        admission.end_handshake(&mut permits[0]);
        assert!(!admission.begin_handshake(&mut neighbour), "a handshake ends once");
        admission.release(at(1), permits.pop().unwrap());
        assert!(admission.begin_handshake(&mut neighbour));
    }

    #[test]
    fn an_address_that_connects_too_fast_is_refused_until_its_rate_allows() {
        let mut admission = admission(|limits| limits.connects = Rate::new(2, 3).unwrap());
        let mut connect = |millis| {
            let admitted = admission.admit(at(millis), address("192.0.2.7"));
            admitted.map(|(permit, _)| admission.release(at(millis), permit))
        };
        let results = [0, 0, 0, 0, 499, 500, 501, 1000].map(|millis| connect(millis).is_ok());
        assert_eq!(results, [true, true, true, false, false, true, false, true]);
    }

    #[test]
    fn exempt_and_denied_networks() {
        let mut admission = admission(|limits| {
            limits.max_connections = 1;
            limits.deny = ["198.51.100.0/24".parse().unwrap()].into();
        });
        for _ in 0..1000 {
            let (permit, throttle) = admission.admit(at(0), address("127.0.0.2")).unwrap();
            assert!(throttle.is_none());
            // It is never counted, so that a permit which is lost would not matter.
            drop(permit);
        }
        assert_eq!(admission.addresses(), 0);
        assert_eq!(admission.admit(at(0), address("198.51.100.9")).unwrap_err(), Refusal::Denied);
    }

    #[test]
    fn an_address_is_forgotten_when_its_buckets_are_full_again() {
        let mut admission = admission(|_| {});
        for number in 0..1000 {
            let (permit, throttle) =
                admission.admit(at(0), address(&format!("10.0.{}.{}", number / 256, number % 256))).unwrap();
            assert!(throttle.is_some());
            admission.release(at(0), permit);
        }
        assert_eq!(admission.addresses(), 1000);
        // A connect comes back after 50 ms. Each call forgets two.
        for _ in 0..500 {
            let (permit, _) = admission.admit(at(50), address("127.0.0.1")).unwrap();
            admission.release(at(50), permit);
        }
        assert_eq!(admission.addresses(), 0);
    }

    #[test]
    fn no_more_addresses_without_connections_are_remembered_than_the_limit() {
        let mut admission = admission(|limits| limits.connects = Rate::new(1, 1).unwrap());
        for number in 0..2 * u32::try_from(MAX_LEFT).unwrap() {
            let (permit, _) = admission.admit(at(0), IpAddr::V4((0x0a00_0000 + number).into())).unwrap();
            admission.release(at(0), permit);
            assert!(admission.addresses() <= MAX_LEFT + 2);
        }
    }
}

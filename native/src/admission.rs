//! The limits of addresses, shared by all listeners.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chanwire_core::{
    AddressLimits,
    admission::{Admission, Permit, Refusal},
    endpoint::Throttle,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::clock::Clock;

/// The connections of each address.
#[derive(Debug)]
pub(crate) struct Addresses {
    admission: Mutex<Admission>,
    clock: Clock,
}

impl Addresses {
    pub(crate) fn new(limits: AddressLimits, clock: Clock) -> Arc<Self> {
        Arc::new(Self { admission: Mutex::new(Admission::new(limits)), clock })
    }

    /// Applies these limits to the connections that are accepted from now on.
    pub(crate) fn set_limits(&self, limits: AddressLimits) {
        self.lock().set_limits(limits);
    }

    /// Admits a connection from an address, or says why not.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Admitted, Refusal> {
        let (permit, throttle) = self.lock().admit(self.clock.now(), address)?;
        // An exempt address has no throttle, and its connections are not counted.
        Ok(throttle.map_or_else(Admitted::default, |throttle| Admitted {
            permit: Some(Box::new(AddressPermit { addresses: self.clone(), permit: Some(permit) })),
            throttle: Some(Box::new(throttle)),
        }))
    }

    /// Admits a connection that has no address.
    pub(crate) fn admit_without_address(&self) -> Admitted {
        Admitted { permit: None, throttle: Some(Box::new(self.lock().throttle_without_address())) }
    }

    fn lock(&self) -> MutexGuard<'_, Admission> {
        // No holder can panic half-way through a change.
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An admitted connection. The default is one that no limit of addresses applies to.
#[derive(Debug, Default)]
pub(crate) struct Admitted {
    pub(crate) permit: Option<Box<AddressPermit>>,
    pub(crate) throttle: Option<Box<Throttle>>,
}

/// A connection that counts toward its address's limit until this is dropped.
#[derive(Debug)]
pub(crate) struct AddressPermit {
    addresses: Arc<Addresses>,
    /// `None` once it is dropped.
    permit: Option<Permit>,
}

impl AddressPermit {
    /// Begins the connection's TLS handshake. Returns whether its address has not too many of them.
    fn begin_handshake(&mut self) -> bool {
        self.permit.as_mut().is_none_or(|permit| self.addresses.lock().begin_handshake(permit))
    }

    /// Ends the connection's TLS handshake.
    fn end_handshake(&mut self) {
        if let Some(permit) = &mut self.permit {
            self.addresses.lock().end_handshake(permit);
        }
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.addresses.lock().release(self.addresses.clock.now(), permit);
        }
    }
}

/// The place of a connection under the limits of the server and of its address.
#[derive(Debug)]
pub(crate) struct Place {
    _connection: OwnedSemaphorePermit,
    address: Option<Box<AddressPermit>>,
}

impl Place {
    pub(crate) const fn new(connection: OwnedSemaphorePermit, address: Option<Box<AddressPermit>>) -> Self {
        Self { _connection: connection, address }
    }

    /// Begins the connection's TLS handshake. Returns whether its address has not too many of them.
    pub(crate) fn begin_handshake(&mut self) -> bool {
        self.address.as_mut().is_none_or(|address| address.begin_handshake())
    }

    /// Ends the connection's TLS handshake.
    pub(crate) fn end_handshake(&mut self) {
        if let Some(address) = &mut self.address {
            address.end_handshake();
        }
    }
}

impl From<OwnedSemaphorePermit> for Place {
    fn from(connection: OwnedSemaphorePermit) -> Self {
        Self::new(connection, None)
    }
}

//! The state that a new capture goes on from: open connections in the middle of what they say.

use serde::{Deserialize, Serialize};

use super::{Capture, clock::Clock, connection::Connection, pairing, store::Store, stream};

/// The state that a new capture takes over from the one before: its connections, and no row.
///
/// It can be serialized, because the next capture may live in another memory: that of a WebAssembly module only ever
/// grows, so a large capture's memory is given back only with the whole module.
#[derive(Debug, Serialize, Deserialize)]
pub struct Carried {
    /// The number of the next row.
    end: u64,
    bad_seen: u64,
    origin: Option<i64>,
    last: i64,
    connections: Vec<CarriedConnection>,
}

#[derive(Debug, Serialize, Deserialize)]
struct CarriedConnection {
    number: u32,
    label: String,
    out: stream::Carried,
    r#in: stream::Carried,
    pairing: pairing::Carried,
}

impl Capture {
    /// Returns the state for another capture to go on from as this one would after [`clear`](Self::clear). `None` where
    /// a connection is in a state that cannot be serialized or would be too long: after a gap or a fatal fault, or in
    /// the middle of a very large frame. Not all of these pass soon.
    #[must_use]
    pub fn carried(&self) -> Option<Carried> {
        let open = self.connections.iter().filter(|(_, connection)| connection.is_open());
        let connections = open
            .map(|(number, connection)| {
                let (out, r#in, pairing) = connection.carried()?;
                Some(CarriedConnection { number: *number, label: connection.label().into(), out, r#in, pairing })
            })
            .collect::<Option<Vec<_>>>()?;
        // Without a connection, the next times may count from elsewhere.
        let (origin, last) = if connections.is_empty() { (None, 0) } else { (self.clock.origin, self.clock.last) };
        Some(Carried { end: self.end_number(), bad_seen: self.bad_seen(), origin, last, connections })
    }

    /// Returns a capture that goes on where another was, with its numbers and open connections.
    #[must_use]
    pub fn resumed(limit: usize, carried: Carried) -> Self {
        let mut capture = Self::new(limit);
        let Carried { end, bad_seen, origin, last, connections } = carried;
        capture.store = Store::after(capture.limit(), end, bad_seen);
        capture.clock = Clock { origin, last };
        for CarriedConnection { number, label, out, r#in, pairing } in connections {
            let mut connection = Connection::new(&label, out.max_payload, r#in.max_payload);
            connection.resume(out, r#in, pairing);
            capture.pending += connection.memory();
            capture.unfinished += connection.unfinished();
            if connection.waiting().iter().any(|(bytes, _)| *bytes > 0) {
                capture.busy.insert(number);
            }
            capture.connections.insert(number, connection);
        }
        capture
    }
}

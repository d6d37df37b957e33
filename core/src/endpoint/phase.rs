//! The phases of a connection, and the events that lead from one to the next.

use super::ConnectionAction;
use crate::Time;

/// The phase of a connection, from its start to its end.
///
/// ```text
///   Open ──► PeerEnded ──► Promised
///     │          │             │
///     ├──────────┴──► Stopping ┴──► Owing      all output is written
///     │                  │            │  ├─────────────────────────────► Lingering ──► Closed
///     └──────────────────┴────────────┴► Closing                             ▲
///                        └──► HalfClosed ────────────────────────────────────┘
/// ```
///
/// Lingering ends when the peer ends its stream, and is passed over where it has. Whatever the phase, the connection
/// can be abandoned (Closed) or reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Input is decoded, and output is queued.
    Open {
        /// Pushes may come after the last answer.
        joined: bool,
    },
    /// The peer has ended its stream. Earlier input is decoded and answered.
    PeerEnded {
        /// Pushes may come after the last answer.
        joined: bool,
    },
    /// The peer has ended its stream and all is answered. The messages that were promised to it are to be pushed.
    Promised,
    /// The application has asked to shut down. Earlier input is decoded and answered.
    Stopping {
        /// The peer has ended its stream.
        peer_ended: bool,
    },
    /// Input is closed. The answers that are owed are queued and written, and pushes until then.
    Owing {
        /// The peer has ended its stream.
        peer_ended: bool,
    },
    /// Input is closed, and pushes are dropped. The answers that are owed are queued and written.
    Closing {
        /// The peer has ended its stream.
        peer_ended: bool,
    },
    /// All output is written. Answers are still decoded.
    HalfClosed,
    /// All output is written. Input is discarded until the peer ends its stream.
    Lingering {
        /// The start of the linger timeout.
        since: Time,
    },
    /// The connection is to be closed.
    Closed,
    /// The connection is to be reset.
    Reset,
}

/// An event that may lead to another phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PhaseEvent {
    /// A channel was joined.
    Joined,
    /// The peer has ended its stream.
    PeerEnded,
    /// All that came before the peer's end of stream is decoded and answered.
    Answered,
    /// The application asks to shut down.
    Shutdown,
    /// All that came before the shutdown is decoded.
    Decoded,
    /// Nothing but what is owed is sent any more.
    Close,
    /// All output is queued and written.
    OutputDone {
        /// The peer still owes answers.
        is_owed: bool,
    },
    /// The transport holds no output back any more.
    Flushed,
    /// The connection is of no more use.
    Abandon,
    /// The peer takes no output, or the rest of a list cannot be had.
    Reset,
}

impl Phase {
    /// The phase of a new connection.
    pub(crate) const START: Self = Self::Open { joined: false };

    /// Returns the phase that follows from an event. Events that mean nothing in a phase leave it.
    pub(crate) const fn after(self, event: PhaseEvent, now: Time) -> Self {
        use PhaseEvent::{Abandon, Answered, Close, Decoded, Flushed, Joined, OutputDone, PeerEnded, Reset, Shutdown};
        match (self, event) {
            (Self::Reset, _) | (_, Reset) => Self::Reset,
            (Self::Closed, _) | (_, Abandon) => Self::Closed,

            (Self::Lingering { .. }, Flushed) => Self::Lingering { since: now },
            (_, Flushed) => self,

            (Self::Open { .. }, Joined) => Self::Open { joined: true },
            (Self::Open { joined }, PeerEnded) => Self::PeerEnded { joined },
            (Self::Open { .. }, Shutdown) => Self::Stopping { peer_ended: false },
            (Self::Open { .. }, Close) => Self::Closing { peer_ended: false },
            (Self::Open { .. }, Answered | Decoded | OutputDone { .. }) => self,

            (Self::PeerEnded { .. }, Joined) => Self::PeerEnded { joined: true },
            (Self::PeerEnded { joined: true }, Answered) => Self::Promised,
            (Self::PeerEnded { joined: false }, Answered) => Self::Owing { peer_ended: true },
            (Self::PeerEnded { .. }, Shutdown) => Self::Stopping { peer_ended: true },
            (Self::PeerEnded { .. }, Close) => Self::Closing { peer_ended: true },
            (Self::PeerEnded { .. }, PeerEnded | Decoded | OutputDone { .. }) => self,

            (Self::Promised, Shutdown) => Self::Owing { peer_ended: true },
            (Self::Promised, Close) => Self::Closing { peer_ended: true },
            (Self::Promised, Joined | PeerEnded | Answered | Decoded | OutputDone { .. }) => self,

            (Self::Stopping { .. }, PeerEnded) => Self::Stopping { peer_ended: true },
            (Self::Stopping { peer_ended }, Decoded) => Self::Owing { peer_ended },
            (Self::Stopping { peer_ended }, Close) => Self::Closing { peer_ended },
            (Self::Stopping { peer_ended: false }, OutputDone { is_owed: true }) => Self::HalfClosed,
            (Self::Stopping { peer_ended }, OutputDone { .. }) => Self::done(peer_ended, now),
            (Self::Stopping { .. }, Joined | Answered | Shutdown) => self,

            (Self::Owing { .. }, PeerEnded) => Self::Owing { peer_ended: true },
            (Self::Owing { peer_ended }, Close) => Self::Closing { peer_ended },
            (Self::Owing { peer_ended }, OutputDone { .. }) => Self::done(peer_ended, now),
            (Self::Owing { .. }, Joined | Answered | Shutdown | Decoded) => self,

            (Self::Closing { .. }, PeerEnded) => Self::Closing { peer_ended: true },
            (Self::Closing { peer_ended }, OutputDone { .. }) => Self::done(peer_ended, now),
            (Self::Closing { .. }, Joined | Answered | Shutdown | Decoded | Close) => self,

            (Self::HalfClosed, PeerEnded) => Self::Closed,
            (Self::HalfClosed, OutputDone { is_owed: false }) => Self::Lingering { since: now },
            (Self::HalfClosed, Joined | Answered | Shutdown | Decoded | Close | OutputDone { is_owed: true }) => self,

            (Self::Lingering { .. }, PeerEnded) => Self::Closed,
            (Self::Lingering { .. }, Joined | Answered | Shutdown | Decoded | Close | OutputDone { .. }) => self,
        }
    }

    const fn done(peer_ended: bool, now: Time) -> Self {
        if peer_ended { Self::Closed } else { Self::Lingering { since: now } }
    }

    /// Returns whether input is decoded.
    pub(crate) const fn decodes(self) -> bool {
        match self {
            Self::Open { .. } | Self::PeerEnded { .. } | Self::Stopping { .. } | Self::HalfClosed => true,
            Self::Promised
            | Self::Owing { .. }
            | Self::Closing { .. }
            | Self::Lingering { .. }
            | Self::Closed
            | Self::Reset => false,
        }
    }

    /// Returns whether input is awaited: the peer's end of stream, if nothing else.
    pub(crate) const fn awaits_input(self) -> bool {
        match self {
            Self::Open { .. } | Self::HalfClosed | Self::Lingering { .. } => true,
            Self::Stopping { peer_ended } | Self::Owing { peer_ended } | Self::Closing { peer_ended } => !peer_ended,
            Self::PeerEnded { .. } | Self::Promised | Self::Closed | Self::Reset => false,
        }
    }

    /// Returns whether pushes are sent.
    pub(crate) const fn takes_pushes(self) -> bool {
        match self {
            Self::Open { .. }
            | Self::PeerEnded { .. }
            | Self::Promised
            | Self::Stopping { .. }
            | Self::Owing { .. } => true,
            Self::Closing { .. } | Self::HalfClosed | Self::Lingering { .. } | Self::Closed | Self::Reset => false,
        }
    }

    /// Returns whether nothing more comes of the connection.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Lingering { .. } | Self::Closed | Self::Reset)
    }

    /// Returns what is to be done with the transport.
    pub(crate) const fn action(self) -> ConnectionAction {
        match self {
            Self::Open { .. }
            | Self::PeerEnded { .. }
            | Self::Promised
            | Self::Stopping { .. }
            | Self::Owing { .. }
            | Self::Closing { .. } => ConnectionAction::Open,
            Self::HalfClosed | Self::Lingering { .. } => ConnectionAction::FinishWriting,
            Self::Closed => ConnectionAction::Close,
            Self::Reset => ConnectionAction::Reset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(7);

    fn phases() -> impl Iterator<Item = Phase> {
        let flagged = [false, true].into_iter().flat_map(|flag| {
            [
                Phase::Open { joined: flag },
                Phase::PeerEnded { joined: flag },
                Phase::Stopping { peer_ended: flag },
                Phase::Owing { peer_ended: flag },
                Phase::Closing { peer_ended: flag },
            ]
        });
        let others = [Phase::Promised, Phase::HalfClosed, Phase::Lingering { since: NOW }, Phase::Closed, Phase::Reset];
        flagged.chain(others)
    }

    const EVENTS: [PhaseEvent; 11] = [
        PhaseEvent::Joined,
        PhaseEvent::PeerEnded,
        PhaseEvent::Answered,
        PhaseEvent::Shutdown,
        PhaseEvent::Decoded,
        PhaseEvent::Close,
        PhaseEvent::OutputDone { is_owed: false },
        PhaseEvent::OutputDone { is_owed: true },
        PhaseEvent::Flushed,
        PhaseEvent::Abandon,
        PhaseEvent::Reset,
    ];

    #[test]
    fn no_event_leads_back() {
        for (phase, event) in phases().flat_map(|phase| EVENTS.map(|event| (phase, event))) {
            let next = phase.after(event, NOW);
            assert!(next.action() >= phase.action(), "{phase:?} {event:?} {next:?}");
            assert!(phase.decodes() || !next.decodes(), "{phase:?} {event:?} {next:?}");
            assert!(phase.awaits_input() || !next.awaits_input(), "{phase:?} {event:?} {next:?}");
            assert!(phase.takes_pushes() || !next.takes_pushes(), "{phase:?} {event:?} {next:?}");
            assert!(!phase.is_over() || next.is_over(), "{phase:?} {event:?} {next:?}");
        }
    }

    #[test]
    fn every_phase_is_left_for_good() {
        for phase in phases() {
            let close = [PhaseEvent::Close, PhaseEvent::OutputDone { is_owed: false }, PhaseEvent::PeerEnded];
            let end = close.into_iter().fold(phase, |phase, event| phase.after(event, NOW));
            assert!(end.action() >= ConnectionAction::Close, "{phase:?} {end:?}");
        }
    }
}

//! The flags of a row in 16 bits.

use chanwire_core::wire::Command;
use memchr::{memchr, memmem};

use super::reads::Reads;
use crate::{Direction, RowKind};

/// The flags of a row, its kind, its direction and the command that it answers, in 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags(u16);

const KIND: u16 = 0b111;
/// The kind of a frame that is a push or a notice.
const PUSH: u16 = 5;
const INWARD: u16 = 1 << 3;
const BAD: u16 = 1 << 4;
const BEGINS: u16 = 1 << 5;
const ENDS: u16 = 1 << 6;
const ESCAPES: u16 = 1 << 7;
const EXTRA: u16 = 1 << 8;
/// Above it stands which command is answered, counted from 1.
const ASKED: u32 = 9;
const ASKED_MASK: u16 = 0b1_1111;
/// A character may be spelled by its number.
const CODED: u16 = 1 << 14;
/// It is not known when it was.
const UNTIMED: u16 = 1 << 15;

const KINDS: [RowKind; 5] = [RowKind::Frame, RowKind::Fault, RowKind::Skipped, RowKind::Note, RowKind::Gap];

impl Flags {
    pub(super) const fn of(bits: u16) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(self) -> u16 {
        self.0
    }

    pub(super) fn new(kind: RowKind, direction: Direction) -> Self {
        let kind = KINDS.iter().position(|known| *known == kind).unwrap_or_default() as u16;
        Self(kind).with(INWARD, direction == Direction::In)
    }

    const fn with(self, bit: u16, on: bool) -> Self {
        Self(if on { self.0 | bit } else { self.0 })
    }

    pub(super) const fn with_bad(self, bad: bool) -> Self {
        self.with(BAD, bad)
    }

    /// Makes it those of a push or a notice, which is a frame.
    pub(super) const fn with_push(self) -> Self {
        Self(self.0 & !KIND | PUSH)
    }

    pub(super) const fn with_untimed(self, untimed: bool) -> Self {
        self.with(UNTIMED, untimed)
    }

    pub(super) const fn with_extra(self) -> Self {
        self.with(EXTRA, true)
    }

    pub(super) fn with_reads(self, reads: &Reads) -> Self {
        self.with(BEGINS, reads.begins).with(ENDS, reads.ends)
    }

    pub(super) fn with_escapes(self, bytes: &[u8]) -> Self {
        let Some(first) = memchr(b'\\', bytes) else { return self };
        let coded = memmem::find(bytes.get(first..).unwrap_or_default(), b"\\u").is_some();
        self.with(ESCAPES, true).with(CODED, coded)
    }

    pub(super) fn with_asked(self, command: Option<Command>) -> Self {
        let code = command.and_then(|command| Command::ALL.iter().position(|known| *known == command));
        Self(self.0 | code.map_or(0, |code| (code as u16 + 1) << ASKED))
    }

    const fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }

    pub(super) const fn bad(self) -> bool {
        self.has(BAD)
    }

    pub(super) const fn is_push(self) -> bool {
        self.0 & KIND == PUSH
    }

    pub(super) const fn is_timed(self) -> bool {
        !self.has(UNTIMED)
    }

    pub(super) const fn has_extra(self) -> bool {
        self.has(EXTRA)
    }

    /// Returns whether a read begins at the row's first byte.
    pub(super) const fn begins(self) -> bool {
        self.has(BEGINS)
    }

    /// Returns whether a read ends with the row's last byte.
    pub(super) const fn ends(self) -> bool {
        self.has(ENDS)
    }

    pub(super) const fn has_escapes(self) -> bool {
        self.has(ESCAPES)
    }

    pub(super) const fn is_coded(self) -> bool {
        self.has(CODED)
    }

    pub(super) const fn is_note(self) -> bool {
        matches!(self.kind(), RowKind::Note | RowKind::Gap)
    }

    pub(super) const fn direction(self) -> Direction {
        if self.has(INWARD) { Direction::In } else { Direction::Out }
    }

    pub(super) const fn kind(self) -> RowKind {
        match self.0 & KIND {
            0 | PUSH => RowKind::Frame,
            1 => RowKind::Fault,
            2 => RowKind::Skipped,
            3 => RowKind::Note,
            _ => RowKind::Gap,
        }
    }

    pub(super) fn asked(self) -> Option<Command> {
        Command::ALL.get(usize::from(self.0 >> ASKED & ASKED_MASK).checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_what_was_put_in() {
        for kind in KINDS {
            for direction in [Direction::Out, Direction::In] {
                for command in Command::ALL.iter().copied().map(Some).chain([None]) {
                    let flags = Flags::new(kind, direction).with_asked(command);
                    assert_eq!((flags.kind(), flags.direction(), flags.asked()), (kind, direction, command));
                    assert!(!flags.is_push() && !flags.bad() && flags.with_bad(true).bad());
                    let push = flags.with_push();
                    assert_eq!((push.kind(), push.direction(), push.asked()), (RowKind::Frame, direction, command));
                    assert!(push.is_push() && !push.bad() && push.with_bad(true).is_push());
                }
            }
        }
    }
}

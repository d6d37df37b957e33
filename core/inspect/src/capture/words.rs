//! The start lines of rows in one byte each, so that a row need not hold a text.

use chanwire_core::wire::{Command, StartLine as _, Status};

/// The reason why bytes mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SkipReason {
    WhiteSpace,
    Object,
    Discarded,
    /// The beginning of a frame whose rest is missing.
    Cut,
    /// Bytes after a gap, before the first frame.
    Unaligned,
}

/// The command or status of a row, or its reason for being skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Command(Command),
    Status(Status),
    Skipped(SkipReason),
    /// A text beside the row: a word that is not known, or the subject of a note.
    Other,
}

const SKIPPED: [SkipReason; 5] =
    [SkipReason::WhiteSpace, SkipReason::Object, SkipReason::Discarded, SkipReason::Cut, SkipReason::Unaligned];

impl Word {
    fn all() -> impl Iterator<Item = Self> {
        let commands = Command::ALL.iter().copied().map(Self::Command);
        commands.chain(Status::ALL.iter().copied().map(Self::Status)).chain(SKIPPED.map(Self::Skipped))
    }

    pub(super) fn code(self) -> u8 {
        Self::all().position(|word| word == self).and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
    }

    pub(super) fn of_code(code: u8) -> Self {
        Self::all().nth(code.into()).unwrap_or(Self::Other)
    }

    /// Returns the reason that is shown with this text.
    pub(super) fn skipped(text: &str) -> Option<Self> {
        SKIPPED.map(Self::Skipped).into_iter().find(|word| word.text() == Some(text))
    }

    /// Returns it as it is shown; `None` where it is kept beside the row.
    pub(super) fn text(self) -> Option<&'static str> {
        match self {
            Self::Command(command) => Some(command.name()),
            Self::Status(status) => Some(status.name()),
            Self::Skipped(reason) => Some(match reason {
                SkipReason::WhiteSpace => "white space",
                SkipReason::Object => "object",
                SkipReason::Discarded => "discarded",
                SkipReason::Cut => "cut",
                SkipReason::Unaligned => "unaligned",
            }),
            Self::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_a_code_of_its_own() {
        for word in Word::all() {
            assert_eq!(Word::of_code(word.code()), word);
        }
        assert_eq!(Word::of_code(Word::Other.code()), Word::Other);
    }
}

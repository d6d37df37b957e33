//! Input of a chat's user.

/// One action of the user.
pub(super) enum UserInput {
    Line(String),
    /// Lines that were pasted together.
    Paste(String),
    /// The request to complete the text before the cursor.
    Complete(String),
    /// The request to show the channel of this number, from 1.
    Switch(usize),
    /// The request to read back.
    ReadBack,
    /// The request for messages before this id, to read back.
    Older(u64),
    /// The end of reading back.
    ReadOn,
    /// Delayed output was drawn; the user did nothing.
    Drawn,
    /// A line or paste that cannot be used, with the reason.
    Unreadable(String),
    /// End of input.
    End,
}

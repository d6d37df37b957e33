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
    /// Delayed output was drawn; the user did nothing.
    Drawn,
    /// A line or paste that cannot be used, with the reason.
    Unreadable(String),
    /// End of input.
    End,
}
